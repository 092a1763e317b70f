"""The python3.x Lambda runtime, as far as AWS adds it to a Python: search path, then AWS's own runtime client.

Runs in the runtime's own environment (awslambdaric and boto3), isolated (`python -I`), with the folder that stands for
/opt as its only argument.
"""

import os
import sys
from pathlib import Path

from awslambdaric.__main__ import main

task, layers = Path(os.environ["LAMBDA_TASK_ROOT"]), Path(sys.argv[1])
version = f"python{sys.version_info.major}.{sys.version_info.minor}"
# AWS's order: the function, its layers, then what the runtime brings.
sys.path[:0] = [str(task), str(layers / "python/lib" / version / "site-packages"), str(layers / "python")]
main(["bootstrap", os.environ["_HANDLER"]])
