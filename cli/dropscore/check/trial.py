"""Some records of a sample through the engine and a model, as stream_file sends them; no AWS is needed for that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dropscore.check.memory_s3 import MemoryS3
from scoring import protocols, streaming
from scoring.errors import DropscoreError
from scoring.files import content, inspection
from scoring.files.blocks import Blocks
from scoring.files.rejects import Limit
from scoring.intake import request as asked
from scoring.intake.identity import Source
from scoring.outcome import files as outcome
from scoring.protocols import detection
from scoring.protocols.model import Answer, Model, NoAnswer, NoConnection, StillBusy
from scoring.settings import ClusterSettings, Settings

_PING_PAUSE_SECONDS = 0.25
_CHUNK_BYTES = 1 << 20
_SETTINGS = Settings(
    input_bucket="input",
    input_suffix=(".csv", ".csv.gz", ".jsonl"),
    output_bucket="output",
    default_eks_cluster="local",
    clusters={"local": ClusterSettings("local", ("dropscore",), url="http://localhost")},
    # What fits here is a question to the administrator's limits there.
    max_cpu="1000",
    max_memory="100Ti",
    max_gpu=100,
    max_errors="100%",
)
_OUTPUT = {"bucket": "output", "key": "sample.scoreout", "progress": ".progress/1"}


class Asked(Model):
    """A model that is asked, and how many bytes it was asked at a time: `sent`."""

    def __init__(self, url: str) -> None:
        super().__init__(url.rstrip("/"))
        self.sent: list[int] = []

    def request(self, method: str, path: str, seconds: float, **more: Any) -> Answer:
        body = more.get("body")
        if method == "POST":
            self.sent.append(sum(map(len, body)) if isinstance(body, tuple) else len(body or b""))
        return super().request(method, path, seconds, **more)


@dataclass(frozen=True)
class Tried:
    """What came of some records: how many were scored in so many seconds, by requests of so many bytes each."""

    rows: int
    seconds: float
    sent: list[int] = field(repr=False)
    output: bytes = field(repr=False)
    rejected: int = 0


def wanted(tags: Mapping[str, str]) -> asked.Wanted:
    """What tags ask for.

    Raises
    ------
    InvalidTags
    """
    return asked.from_tags({"model_image": "model", **tags}, _SETTINGS)


class Sample:
    """The beginning of a file, whatever it is written in, as UTF-8."""

    def __init__(self, path: Path, tags: Mapping[str, str]) -> None:
        """Look how the file is to be read.

        Raises
        ------
        InvalidFile, EmptyFile, InvalidTags
        """
        reading = wanted(tags).reading
        self._path = path
        self._spec = inspection.inspect(path.name, _chunks(path), reading, _SETTINGS.input_suffix)
        self.name = path.name.lower().removesuffix(".gz")
        self.tags = {name: value for name, value in tags.items() if name != "encoding"}

    def first(self, records: int) -> tuple[bytes, int]:
        """The file with no more than so many records, and how many these are.

        Raises
        ------
        InvalidFile, EmptyFile
        """
        passed: list[bytes] = []

        def text() -> Iterator[bytes]:
            for chunk in content.text(_chunks(self._path), self._spec.compression, self._spec.encoding):
                passed.append(chunk)
                yield chunk

        # As small as they come: a record.
        blocks, count = Blocks(text(), 1, self._spec.dialect), 0
        file = inspection.format_of(self._spec)
        file.open(blocks)
        for block in blocks:
            count += file.batch(block, blocks.position - len(block), count + 1).count
            if count >= records:
                break
        return b"".join(passed)[: blocks.position], count


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def wait_until_ready(
    model: Model, request: Mapping[str, Any], seconds: float, check: Callable[[], None] = lambda: None
) -> tuple[str, float]:
    """The protocol that a model speaks and after how many seconds it was ready; `check` may raise what became of it.

    Raises
    ------
    DropscoreError
        It is not ready in time; the summary has its last answers.
    """
    began, said, is_reached = time.monotonic(), "", False
    protocol = protocols.of_request(request, model)
    while True:
        try:
            found = protocol.ready()
            if found is None:
                return protocol.name, time.monotonic() - began
            said, is_reached = found, True
        except (NoConnection, NoAnswer, StillBusy) as error:
            said, is_reached = error.summary, is_reached or not isinstance(error, NoConnection)
        check()
        if time.monotonic() - began > seconds:
            kind = NotReady if is_reached else NotReached
            raise kind(f"The model is not ready after {seconds:.0f} s. {said}")
        # Servers tell nobody when they are ready; they have to be asked.
        time.sleep(_PING_PAUSE_SECONDS)


class NotReady(DropscoreError):
    remedy = "Let it listen on port 8080 of all addresses (0.0.0.0), and answer the ping of one of the protocols (docs/models.md); a larger model needs more time: --wait."


class NotReached(NotReady):
    """Nobody has taken a connection, all the time."""


def run(
    model: Asked, body: bytes, name: str, tags: Mapping[str, str], protocol: str, check: Callable[[], None]
) -> Tried:
    """Score a file by the engine.

    Raises
    ------
    DropscoreError
        What the file's `.error` would be made of.
    """
    s3, model.sent = MemoryS3(), []
    etag = s3.put_object(Bucket="input", Key=name, Body=body)["ETag"].strip('"')
    source = Source("input", name, "", etag, len(body), "")
    request = request_of(s3, source, tags)
    detection.check(request, protocol)
    request |= {"protocol": protocol}
    given = outcome.scored_tags(source, request, "check")
    scoring: Mapping[str, Any] = streaming.open_upload(s3, source, request, given, datetime.now(UTC))
    began = time.monotonic()
    while scoring.get("status") != "DONE":
        scoring = streaming.advance(
            streaming.Job(
                s3=s3,
                model=model,
                source=source,
                request=request,
                pod_uid="check",
                scoring=scoring,
                seconds_left=lambda: 900.0,
                now=lambda: datetime.now(UTC),
                check_pod=check,
            )
        )
    seconds = time.monotonic() - began
    outcome.complete(s3, _OUTPUT, scoring, given)
    found = s3.get_object(Bucket="output", Key=_OUTPUT["key"])["Body"].read()
    return Tried(scoring["rows"], seconds, model.sent, found, scoring.get("rejected", 0))


def request_of(s3: Any, source: Source, tags: Mapping[str, str]) -> dict[str, Any]:
    """The `request` of an attempt for a file with these tags.

    Raises
    ------
    InvalidTags, InvalidFile, EmptyFile
    """
    found = wanted(tags)
    strict = not Limit.of(found.max_errors)
    spec = inspection.of_object(s3, source, found.reading, _SETTINGS.input_suffix, found.protocol, strict=strict)
    return asked.to_json(found, "model@sha256:0", _OUTPUT, spec.to_json(), _SETTINGS)
