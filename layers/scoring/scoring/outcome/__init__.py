"""What the user finds: the `.scoreout` or the `.error`, and what explains it."""
