"""What a client does that knows the best batch for a server beforehand: so many bytes a request, so many at a time.

    plain_client.py <protocol> <CSV's URL> <model's URL> <output file> <bytes> <requests at a time>

It reads ahead no more than it sends, and writes the file with a prediction behind each line to disk. Prints rows and
seconds as JSON.
"""

import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

FIRST_BYTES = 16 << 10


def main() -> None:
    protocol, source, model, target, size, at_once = sys.argv[1:]
    began, rows = time.perf_counter(), 0
    with (
        requests.Session() as session,
        session.get(source, stream=True, timeout=60) as response,
        ThreadPoolExecutor(int(at_once)) as pool,
        Path(target).open("wb") as output,
    ):
        response.raise_for_status()
        header, _, first = response.raw.read(FIRST_BYTES).partition(b"\n")
        header += b"\n"
        under_way: deque[Future[bytes]] = deque()
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=int(at_once) + 1))
        output.write(header.rstrip() + b",prediction\n")
        for batch in batches(first, response.raw, int(size)):
            under_way.append(pool.submit(scored, session, f"{model}/invocations", protocol, header, batch))
            rows += batch.count(b"\n")
            if len(under_way) > int(at_once):
                output.write(under_way.popleft().result())
        for one in under_way:
            output.write(one.result())
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - began}))


def batches(first: bytes, file: Any, size: int) -> Iterator[bytes]:
    """Whole lines, about `size` bytes of them; the file ends with a line end."""
    rest = first
    while read := file.read(size - len(rest)):
        whole, end, rest = (rest + read).rpartition(b"\n")
        yield whole + end


def scored(session: requests.Session, url: str, protocol: str, header: bytes, batch: bytes) -> bytes:
    with_header = protocol == "mlflow"
    headers = {"Content-Type": "text/csv", "Accept": "application/json" if with_header else "text/csv"}
    answer = session.post(url, data=header + batch if with_header else batch, headers=headers, timeout=300)
    answer.raise_for_status()
    lines = batch.splitlines()
    if with_header:
        predictions = [str(one).encode() for one in answer.json()["predictions"]]
    else:
        predictions = answer.content.splitlines()
    if len(predictions) != len(lines):
        raise RuntimeError(f"{len(predictions)} predictions for {len(lines)} records")
    return b"".join(b"%b,%b\n" % pair for pair in zip(lines, predictions, strict=True))


if __name__ == "__main__":
    main()
