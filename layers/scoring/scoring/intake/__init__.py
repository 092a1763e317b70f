"""What is asked for: the S3 event, the file's tags, the model image."""
