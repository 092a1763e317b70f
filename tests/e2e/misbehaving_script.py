"""A script in a `sas` container that goes wrong on purpose: `python score.py -i input.csv -o output.csv`.

The container's server is the example model's (models/sas-anomaly/app.py); the image's variable BEHAVIOUR says what
this script does in it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

BEHAVIOUR = os.environ["BEHAVIOUR"]
source, target = Path(sys.argv[2]), Path(sys.argv[4])
header, *records = source.read_bytes().splitlines()
if BEHAVIOUR == "script-is-slow":
    time.sleep(8)
if BEHAVIOUR == "script-loses-its-worker":
    os.kill(os.getppid(), signal.SIGKILL)
if BEHAVIOUR == "script-is-killed":
    os.kill(os.getpid(), signal.SIGKILL)
if BEHAVIOUR == "script-writes-nothing":
    sys.exit()
if BEHAVIOUR == "script-fills-the-disk":
    target = Path("/dev/full")
stops = BEHAVIOUR in ("script-raises-half-way", "script-stops-half-way", "r-script-stops-half-way")
half = len(records) // 2 if stops else len(records)
with target.open("wb") as output:
    output.write(header + b",prediction\n")
    output.writelines(record + b",1\n" for record in records[:half])
if BEHAVIOUR == "script-raises-half-way":
    raise ValueError("could not convert string to float: 'n/a'")
if BEHAVIOUR == "r-script-stops-half-way":
    sys.stderr.write("Error in predict(model, data) : object 'x' not found\nExecution halted\n")
