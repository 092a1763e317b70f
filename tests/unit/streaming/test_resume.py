"""Killed at any point, by anything, any number of times: the scored file is that of an undisturbed run, byte for byte."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoring import streaming
from scoring.errors import EmptyFile
from scoring.files import objects
from scoring.protocols import RowProtocol, SasRows, model
from tests.builders import OUTPUT_BUCKET, request
from tests.unit.files.test_records import LINES, documents
from tests.unit.servers import Server
from tests.unit.stand_ins import ROWS, SasContainer
from tests.unit.streaming.test_streaming import NOW, drop, opened, published

NEVER = 1 << 30


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
        """What happens inside is seen from outside the process."""
        with self._lock:
            self.effects += 1
            fatal = self.effects == self.last
        if fatal and not self.after:
            raise Killed
        yield
        if fatal:
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

    def apply(self, patch: pytest.MonkeyPatch) -> None:
        for protocol in (RowProtocol, SasRows):
            patch.setattr(protocol, "most_bytes", self.batch)
        for module in (objects, model):
            patch.setattr(module, "CHUNK_BYTES", self.chunk)
        patch.setattr(objects, "_PART_BYTES", self.part)
        patch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)


@dataclass(frozen=True)
class End:
    """How one step ends: killed, or at the end of its time; then perhaps on a fresh pod."""

    last: int
    after: bool
    killed: bool
    fresh_pod: bool


SIZES = st.builds(Sizes, st.integers(1, 200), st.integers(1, 100), st.integers(1, 150))
ENDS = st.lists(st.builds(End, st.integers(1, 40), st.booleans(), st.booleans(), st.booleans()), max_size=6)
KINDS = {
    "sagemaker": {"protocol": "sagemaker"},
    "mlflow": {"protocol": "mlflow"},
    "sas": {"protocol": "sas"},
    "sas split=rows": {"protocol": "sas", "split": "rows"},
}
DELIMITED = st.sampled_from(",;\t|").flatmap(lambda mark: st.tuples(st.just(mark), st.one_of(documents(mark), LINES)))


@dataclass
class Runs:
    """Runs of one file, each by an upload of its own."""

    s3: Any
    server: Server
    container: SasContainer | None
    asked: dict[str, Any]
    document: bytes
    disturbed: int = 0

    def run(self, ends: list[End], sizes: Sizes) -> tuple[bytes, int] | type[Exception]:
        """The scored file and its rows, or what the user is told instead."""
        found = drop(self.s3, self.document)
        scoring, pod = opened(self.s3, found), 1
        with pytest.MonkeyPatch.context() as patch:
            sizes.apply(patch)
            for end in [*ends, None]:
                fate = Fate()
                if end:
                    fate = Fate(end.last, end.after) if end.killed else Fate(time=end.last)
                job = streaming.Job(
                    s3=MortalS3(self.s3, fate),
                    model=MortalModel(self.server.url, fate),
                    source=found,
                    request=self.asked,
                    pod_uid=f"uid-{pod}",
                    scoring=scoring,
                    seconds_left=fate.seconds_left,
                    now=lambda: NOW,
                )
                try:
                    # After a kill the state machine repeats the step with the same state.
                    scoring = streaming.advance(job)
                except EmptyFile as error:
                    return type(error)
                except Killed:
                    assert end, "nobody else kills"
                if scoring["status"] == "DONE":
                    return published(self.s3, scoring), scoring["rows"]
                self.disturbed += 1
                if end and end.fresh_pod:
                    pod += 1
                    if self.container:
                        self.container.start_anew()
        raise AssertionError("a step that nothing disturbs comes to the end")


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(delimited=DELIMITED, ends=ENDS, sizes=SIZES, ranges=st.booleans())
def test_a_file_killed_at_any_point_is_that_of_an_undisturbed_run(
    s3: Any,
    server: Server,
    kind: str,
    delimited: tuple[str, bytes],
    ends: list[End],
    sizes: Sizes,
    ranges: bool,
) -> None:
    delimiter, document = delimited
    asked = request(**KINDS[kind], delimiter=delimiter)
    server.answers.clear()
    container = None
    if asked["protocol"] in ROWS:
        server.answers["POST /invocations"] = ROWS[asked["protocol"]]
    else:
        container = SasContainer(server, ranges)
    runs = Runs(s3, server, container, asked, document or b"\n")
    undisturbed = runs.run([], Sizes(1 << 20, 1 << 20, 8 << 20))
    assert runs.run(ends, sizes) == undisturbed
    s3.delete_object(Bucket=OUTPUT_BUCKET, Key=asked["output"]["key"])


RECORDS = b"id;text\r\n" + b"".join(b'%d;"a\nb, %d"\r\n' % (n, n) for n in range(5))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("killed", "after"), [(True, False), (True, True), (False, False)])
@pytest.mark.parametrize("sizes", [Sizes(40, 30, 50), Sizes(40, 30, 1)], ids=["tail", "parts"])
def test_each_single_effect_may_be_the_last_of_a_step(
    s3: Any, server: Server, kind: str, killed: bool, after: bool, sizes: Sizes
) -> None:
    """Not a sample of them: every one, until a step comes to the end of the file before its own."""
    asked = request(**KINDS[kind], delimiter=";")
    container = SasContainer(server) if asked["protocol"] == "sas" else None
    server.answers["POST /invocations"] = ROWS.get(asked["protocol"], ROWS["sagemaker"])
    runs = Runs(s3, server, container, asked, RECORDS)
    undisturbed = runs.run([], sizes)
    assert isinstance(undisturbed, tuple)
    assert undisturbed[1] == 5
    effect = 0
    while runs.disturbed == effect:
        effect += 1
        assert runs.run([End(effect, after, killed, fresh_pod=False)], sizes) == undisturbed
    assert effect > 5, "or this test shows nothing"
