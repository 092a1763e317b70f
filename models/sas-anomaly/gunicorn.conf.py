"""Gunicorn reads this file from its working directory."""

import os

bind = f"{os.environ.get('HOST', '0.0.0.0')}:8080"
# As a SAS model container: a single synchronous worker. It is busy for as long as a script runs.
workers = 1
# Gunicorn's default kills a worker that is silent for 30 s, and with it the answer to any run that takes longer.
# The pod's own deadline is what ends a run here.
timeout = 0
# Nobody administers this server, and its file system may be read-only.
control_socket_disable = True
