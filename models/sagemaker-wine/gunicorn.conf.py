"""Gunicorn reads this file from its working directory."""

import os

# SageMaker's contract: the port is 8080 unless this variable says another.
bind = f"{os.environ.get('HOST', '0.0.0.0')}:{os.environ.get('SAGEMAKER_BIND_TO_PORT', '8080')}"
# Load the model before the port opens: a tcpSocket probe that connects then means that the model is ready.
preload_app = True
# /ping answers while a batch is being scored.
threads = 4
# Longer than the 60 s for which proxies keep an idle connection: a proxy never reuses one that was just closed.
keepalive = 75
# Nobody administers this server, and its file system may be read-only.
control_socket_disable = True
