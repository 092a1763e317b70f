"""The people's side: drop files, look how they are, fetch what came of them, retry, and try an image before all that.

Works on any stack that the shell's AWS credentials reach, an embedded one as well.
"""
