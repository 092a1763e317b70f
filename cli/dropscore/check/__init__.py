"""Is this container fit for dropscore? Tried by the engine of stream_file itself, on a URL or on an image that the local Docker
runs as a pod would.
"""
