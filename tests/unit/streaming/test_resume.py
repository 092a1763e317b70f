"""Killed at any point, by anything, any number of times: the scored file is that of an undisturbed run, byte for byte."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dropscore.check.memory_s3 import MemoryS3
from scoring import streaming
from scoring.errors import DropscoreError
from scoring.files import objects, ranges
from scoring.intake.identity import Source, rejected_key
from scoring.protocols import RowProtocol, SasRows, model
from scoring.streaming import uploads
from tests.builders import OUTPUT_BUCKET, request
from tests.examples import examples
from tests.unit.servers import Server
from tests.unit.stand_ins import ROWS, SasContainer
from tests.unit.streaming.test_streaming import NOW, begun, drop, published

NEVER = 1 << 30


@pytest.fixture
def s3() -> MemoryS3:
    """A test has thousands of calls."""
    return MemoryS3()


class Killed(BaseException):
    """The process ends here, as if by SIGKILL: no handler of errors sees it."""


@dataclass
class Fate:
    """Ends the process at its `last` effect from now, before it is done or, with `after`, when it is.

    `time` effects from now, the Lambda's time is over.
    """

    last: int = NEVER
    after: bool = False
    time: int = NEVER
    effects: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def seconds_left(self) -> float:
        return 900.0 if self.effects < self.time else 30.0

    @contextlib.contextmanager
    def effect(self) -> Iterator[None]:
        """What happens inside is seen from outside the process; none of its threads has another effect after its last."""
        with self._lock:
            self.effects += 1
            is_last, is_dead = self.effects == self.last, self.effects > self.last
        if is_dead or (is_last and not self.after):
            raise Killed
        yield
        if is_last:
            raise Killed


class MortalS3:
    """S3 as this process sees it until it ends."""

    def __init__(self, s3: Any, fate: Fate) -> None:
        self._s3, self._fate = s3, fate

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            with self._fate.effect():
                return getattr(self._s3, name)(**arguments)

        return call


class MortalModel(model.Model):
    """The model as this process sees it until it ends."""

    def __init__(self, url: str, fate: Fate) -> None:
        super().__init__(url)
        self._fate = fate

    def request(self, *arguments: Any, **options: Any) -> model.Answer:
        with self._fate.effect():
            return super().request(*arguments, **options)

    def stream(self, *arguments: Any, **options: Any) -> tuple[int, Iterator[bytes]]:
        with self._fate.effect():
            status, chunks = super().stream(*arguments, **options)
        return status, self._each(chunks)

    def _each(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            with self._fate.effect():
                yield chunk


@dataclass(frozen=True)
class Sizes:
    batch: int
    chunk: int
    part: int
    range: int = 1 << 20
    """How much is read over one of several connections at once, which are always thought to be of use."""

    def apply(self, patch: pytest.MonkeyPatch) -> None:
        for protocol in (RowProtocol, SasRows):
            patch.setattr(protocol, "most_bytes", self.batch)
        for module in (objects, model):
            patch.setattr(module, "CHUNK_BYTES", self.chunk)
        patch.setattr(objects, "_PART_BYTES", self.part)
        patch.setattr(uploads, "_PARTS_OF_A_RECORD", 2)
        patch.setattr(ranges, "RANGE_BYTES", self.range)
        for judged in ("_WAITING", "_LOOK_SECONDS", "_LOOK_RANGES", "_GAIN"):
            patch.setattr(ranges, judged, 0 if self.range < 1 << 20 else getattr(ranges, judged))
        patch.setattr(MemoryS3, "least_part_bytes", 1)


@dataclass(frozen=True)
class End:
    """How one step ends: killed, or at the end of its time; then perhaps on a fresh pod."""

    last: int
    after: bool
    killed: bool
    fresh_pod: bool


SIZES = st.builds(
    Sizes, st.integers(1, 200), st.integers(1, 100), st.integers(1, 150), st.sampled_from([1, 7, 50, 1 << 20])
)
ENDS = st.lists(st.builds(End, st.integers(1, 40), st.booleans(), st.booleans(), st.booleans()), max_size=6)
KINDS = {
    "sagemaker": {"protocol": "sagemaker"},
    "mlflow": {"protocol": "mlflow"},
    "sas": {"protocol": "sas"},
    "sas split=rows": {"protocol": "sas", "split": "rows"},
}
FIELDS = st.one_of(st.text('a",;\n\r \\', max_size=6), st.integers().map(str))


@st.composite
def documents(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """A file in any of the formats, with short rows and long ones, and how it is to be read."""
    rows = draw(st.lists(st.lists(FIELDS, min_size=1, max_size=4), max_size=8))
    mark, end = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n"]))
    output = io.StringIO(newline="")
    writer = csv.writer(output, delimiter=mark, lineterminator=end)
    writer.writerows([["id", "b", "c"], *rows])
    if draw(st.booleans()):
        output.write(draw(st.sampled_from(['5" pipe', f'x{mark}6" y{mark}"a"b', " ", ""])) + end)
    asked: dict[str, Any] = {"delimiter": mark, "escape": "double", "header": draw(st.booleans())}
    if draw(st.booleans()):
        asked["sent"] = (1, 2)
    text = output.getvalue()
    asked["encoding"] = draw(st.sampled_from(["utf-8", "utf-8", "utf-16"]))
    body = text.encode(asked["encoding"])
    if draw(st.booleans()):
        asked["compression"], half = "gzip", len(body) // 2
        body = gzip.compress(body[:half]) + gzip.compress(body[half:])
    return asked, body


@dataclass
class Runs:
    """Runs of one file, each by an upload of its own."""

    s3: Any
    server: Server
    container: SasContainer | None
    asked: dict[str, Any]
    document: bytes
    disturbed: int = 0

    def run(self, ends: list[End], sizes: Sizes) -> tuple[bytes, int, bytes] | type[Exception]:
        """The scored file, its rows, and the list of bad ones; or what the user is told instead."""
        found = drop(self.s3, self.document)
        scoring, pod = begun(self.s3, found, self.asked), 1
        with pytest.MonkeyPatch.context() as patch:
            sizes.apply(patch)
            for end in [*ends, None]:
                try:
                    # After a kill the state machine repeats the step with the same state.
                    scoring = self.step(found, self.asked, scoring, f"uid-{pod}", end)
                except DropscoreError as error:
                    return type(error)
                except Killed:
                    assert end, "nobody else kills"
                if scoring.get("status") == "DONE":
                    return published(self.s3, scoring), scoring["rows"], self.rejected(scoring)
                self.disturbed += 1
                if end and end.fresh_pod:
                    pod += 1
                    if self.container:
                        self.container.start_anew()
        raise AssertionError("a step that nothing disturbs comes to the end")

    def step(
        self, found: Source, asked: dict[str, Any], scoring: dict[str, Any], pod_uid: str, end: End | None
    ) -> dict[str, Any]:
        """One step, which ends so."""
        fate = Fate()
        if end:
            fate = Fate(end.last, end.after) if end.killed else Fate(time=end.last)
        job = streaming.Job(
            s3=MortalS3(self.s3, fate),
            model=MortalModel(self.server.url, fate),
            source=found,
            request=asked,
            pod_uid=pod_uid,
            scoring=scoring,
            seconds_left=fate.seconds_left,
            now=lambda: NOW,
        )
        return streaming.advance(job)

    def rejected(self, scoring: dict[str, Any]) -> bytes:
        if "rejected" not in scoring:
            return b""
        key = rejected_key(self.asked["output"]["key"])
        body: bytes = self.s3.get_object(Bucket=OUTPUT_BUCKET, Key=key)["Body"].read()
        return body


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=examples(25),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(document=documents(), ends=ENDS, sizes=SIZES, ranges=st.booleans())
def test_a_file_killed_at_any_point_is_that_of_an_undisturbed_run(
    s3: Any,
    server: Server,
    kind: str,
    document: tuple[dict[str, Any], bytes],
    ends: list[End],
    sizes: Sizes,
    ranges: bool,
) -> None:
    how, body = document
    many = {"max_errors": ["100%"]} if kind != "sas" else {}
    asked = request(**KINDS[kind], **many, format=how)
    server.answers.clear()
    container = None
    if asked["protocol"] in ROWS:
        server.answers["POST /invocations"] = ROWS[asked["protocol"]]
    else:
        container = SasContainer(server, ranges)
    runs = Runs(s3, server, container, asked, body)
    undisturbed = runs.run([], Sizes(1 << 20, 1 << 20, 8 << 20))
    assert runs.run(ends, sizes) == undisturbed
    s3.delete_object(Bucket=OUTPUT_BUCKET, Key=asked["output"]["key"])


RECORDS = b"id;text\r\n" + b"".join(b'%d;"a\nb, %d"%b\r\n' % (n, n, b";" * (n == 3)) for n in range(5))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize(
    "sizes", [Sizes(40, 30, 50), Sizes(40, 30, 1), Sizes(40, 30, 50, 20)], ids=["tail", "parts", "ranges"]
)
def test_each_single_effect_may_be_the_last_of_a_step(
    s3: Any, server: Server, kind: str, killed: bool, sizes: Sizes
) -> None:
    """Not a sample of them: every one, until a step comes to the end of the file before its own.

    Killed before an effect is killed after the one before it: nothing is seen from outside in between.
    """
    asked = request(**KINDS[kind], format={"delimiter": ";"}, max_errors=["1" if kind != "sas" else "0"])
    container = SasContainer(server) if asked["protocol"] == "sas" else None
    server.answers["POST /invocations"] = ROWS.get(asked["protocol"], ROWS["sagemaker"])
    # A script that is sent the whole file reads all of it.
    runs = Runs(s3, server, container, asked, RECORDS.replace(b'";\r\n', b'"\r\n') if kind == "sas" else RECORDS)
    undisturbed = runs.run([], sizes)
    assert isinstance(undisturbed, tuple)
    assert undisturbed[1] == 5
    assert undisturbed[2].count(b"\n") == (0 if kind == "sas" else 3)
    effect = 0
    while runs.disturbed == effect:
        effect += 1
        assert runs.run([End(effect, after=False, killed=killed, fresh_pod=False)], sizes) == undisturbed
    assert effect >= 5, "or this test shows nothing"
