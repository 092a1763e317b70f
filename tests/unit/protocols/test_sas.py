"""The protocol of SAS containers: what is sent byte for byte, and what a real container's answers mean."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.errors import ModelFailed
from scoring.protocols import Sas
from scoring.protocols.model import Model, NoAnswer, StillBusy, TookTooLong, TooMany, TooMuch
from scoring.protocols.sas_log import judge
from tests.unit.servers import HangUp, Reply, Server, Silence

CREATED = Reply(201, b'{"id":"1795335372.2752411","status":201}')
FILE = b"a,b\r\n1,\xff\r\n--not-the-boundary\r\n"

# As a real container writes them.
WELL = "Scoring...\n python /pythonrunner/score.py\nscored 3 rows\nCompleted!\n"
TRACEBACK = (
    "Scoring...\n python score.py\nTraceback (most recent call last):\n"
    '  File "score.py", line 9, in <module>\n    rate = row["rate"]\nKeyError: \'rate\'\nCompleted!\n'
)
HALTED = "Scoring...\n Rscript score.R\nError in eval(expr) : object 'rate' not found\nExecution halted\nCompleted!\n"


@pytest.fixture
def sas(server: Server) -> Sas:
    return Sas(Model(server.url))


@pytest.mark.parametrize(
    ("reply", "refused"),
    [
        (Reply(200, b"pong"), None),
        (Reply(200, b"pong\n"), None),
        (Reply(200, b"<html>welcome"), "200 <html>welcome"),
        (Reply(404, b"no"), "404 no"),
    ],
)
def test_a_container_is_ready_when_it_answers_pong(sas: Sas, server: Server, reply: Reply, refused: str | None) -> None:
    """Whatever else answers 200 at `/` is not the model: a gateway's own page, for example."""
    server.answers["GET /"] = reply
    assert sas.ready() == refused


def test_a_file_is_sent_as_one_part_with_its_exact_length(sas: Sas, server: Server) -> None:
    server.answers["POST /executions"] = CREATED
    chunks = [FILE[:5], FILE[5:]]
    assert sas.submit(iter(chunks), len(FILE), 5.0) == "1795335372.2752411"
    (request,) = server.requests
    form = re.fullmatch(r"multipart/form-data; boundary=(\w+)", request.headers["content-type"])
    assert form
    boundary = form[1].encode()
    assert request.body == (
        b"--" + boundary + b"\r\n"
        b'Content-Disposition: form-data; name="file"; filename="input.csv"\r\n'
        b"Content-Type: text/csv\r\n\r\n" + FILE + b"\r\n--" + boundary + b"--\r\n"
    )
    assert request.headers["content-length"] == str(len(request.body))
    assert "transfer-encoding" not in request.headers, "a proxy would buffer it, and gunicorn's apps may not read it"


def test_a_file_is_sent_while_it_is_read(sas: Sas, server: Server) -> None:
    """Nothing holds the file in memory: not the client's multipart encoder either."""
    server.answers["POST /executions"] = CREATED
    alive: list[int] = []

    class Chunk(bytes):
        def __del__(self) -> None:
            alive.remove(id(self))

    def chunks() -> Iterator[bytes]:
        for _ in range(50):
            chunk = Chunk(b"x" * 1000)
            alive.append(id(chunk))
            assert len(alive) < 5
            yield chunk
            del chunk

    sas.submit(chunks(), 50_000, 5.0)
    assert len(server.requests[0].body) > 50_000


def test_what_breaks_the_reading_breaks_the_sending(sas: Sas, server: Server) -> None:
    """The error of S3 is the one to be told, not the connection that ends for it."""

    def chunks() -> Iterator[bytes]:
        yield FILE
        raise ModelFailed("as raised while reading")

    with pytest.raises(ModelFailed, match="as raised while reading"):
        sas.submit(chunks(), 10_000, 5.0)


@pytest.mark.parametrize("status", [200, 302, 400, 500])
def test_a_file_that_is_not_taken_is_a_failure_of_the_model(sas: Sas, server: Server, status: int) -> None:
    server.answers["POST /executions"] = Reply(status, b"request entity too large")
    with pytest.raises(ModelFailed, match=f"The model refused the file: {status}") as failed:
        sas.submit([FILE], len(FILE), 5.0)
    assert failed.value.details == {"status": status, "answer": "request entity too large"}


@pytest.mark.parametrize(("status", "error"), [(413, TooMuch), (408, TookTooLong), (504, TookTooLong), (429, TooMany)])
def test_a_file_that_is_too_much_is_told_from_one_that_is_wrong(
    sas: Sas, server: Server, status: int, error: type[Exception]
) -> None:
    server.answers["POST /executions"] = Reply(status, b"request entity too large")
    with pytest.raises(error, match=f"answered {status}: request entity too large"):
        sas.submit([FILE], len(FILE), 5.0)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"id":', b'{"id": ""}', b'{"id": "../../secret"}', b'{"id": "a b"}', b"\xff"],
)
def test_an_id_that_is_none_or_not_fit_for_a_path_is_not_used(sas: Sas, server: Server, body: bytes) -> None:
    server.answers["POST /executions"] = Reply(201, body)
    with pytest.raises(ModelFailed, match="gave no id of its execution"):
        sas.submit([FILE], len(FILE), 5.0)


def test_a_worker_that_is_killed_while_it_scores_is_silent(sas: Sas, server: Server) -> None:
    """What gunicorn's time-out of 30 s looks like."""
    server.answers["POST /executions"] = HangUp()
    with pytest.raises(NoAnswer):
        sas.submit([FILE], len(FILE), 5.0)
    server.answers["POST /executions"] = Silence()
    with pytest.raises(StillBusy):
        sas.submit([FILE], len(FILE), 0.1)


LOG = "GET /query/7.1/log"


def test_an_execution_is_polled_by_its_log(sas: Sas, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers[LOG] = Reply(200, b"Scoring...\n python score.py\n")
    assert sas.poll("7.1") is False
    server.answers[LOG] = Reply(200, WELL.encode())
    assert sas.poll("7.1") is True
    monkeypatch.setattr("scoring.protocols.sas._ANSWER_SECONDS", 0.1)
    server.answers[LOG] = Silence()
    assert sas.poll("7.1") is False, "one worker: it answers nothing while it scores"


def test_a_log_that_ends_well_means_that_the_result_is_there() -> None:
    assert judge(200, WELL) is True
    assert judge(200, WELL.rstrip()) is True
    assert judge(200, "Scoring...\n") is False
    assert judge(200, "") is False


@pytest.mark.parametrize(
    ("log", "last"),
    [(TRACEBACK, "KeyError: 'rate'"), (HALTED, "Execution halted")],
)
def test_a_script_that_raised_is_a_failure_at_once_with_its_last_line(log: str, last: str) -> None:
    """A container says Completed! and 404 to that, or shows a truncated result; waiting would not change it."""
    with pytest.raises(ModelFailed) as failed:
        judge(200, log)
    assert failed.value.summary == f"The model's script raised an error: {last}"
    assert failed.value.details["log_tail"] == log


def test_an_execution_that_nobody_knows_any_more_was_lost_with_its_worker() -> None:
    with pytest.raises(ModelFailed, match="its worker was started anew"):
        judge(404, "")
    with pytest.raises(ModelFailed, match="cannot show the log of the execution: 500"):
        judge(500, "<html>")


@given(st.integers(100, 599), st.text())
def test_any_log_is_an_answer_or_a_failure_of_the_model(status: int, log: str) -> None:
    try:
        assert judge(status, log) in (True, False)
    except ModelFailed:
        assert status != 200 or "Traceback" in log or "Execution halted" in log


def test_a_result_is_collected_as_it_is(sas: Sas, server: Server) -> None:
    server.answers["GET /query/7.1"] = Reply(200, FILE, {"Content-Type": "text/csv"})
    assert b"".join(sas.collect("7.1")) == FILE


def test_a_result_that_is_not_there_is_a_failure_of_the_model(sas: Sas, server: Server) -> None:
    server.answers["GET /query/7.1"] = Reply(404, b'{"error": "not found"}')
    with pytest.raises(ModelFailed, match="ended without a result: 404") as failed:
        sas.collect("7.1")
    assert failed.value.details["answer"] == '{"error": "not found"}'


def test_a_result_that_is_cut_short_is_silence_not_a_result(sas: Sas, server: Server) -> None:
    server.answers["GET /query/7.1"] = Reply(200, FILE, promised=1000)
    with pytest.raises(NoAnswer):
        list(sas.collect("7.1"))
