"""HTTP to a model: a real server that answers, refuses, breaks off, falls silent or points elsewhere."""

import errno
import gzip
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection

from scoring.protocols import model as model_module
from scoring.protocols.model import Answer, Model, NoAnswer, StillBusy
from tests.unit.servers import HangUp, Reply, Request, Server, Silence


@pytest.fixture
def model(server: Server) -> Model:
    return Model(server.url)


def get(model: Model, seconds: float = 5.0) -> Answer:
    return model.request("GET", "/x", seconds)


@pytest.mark.parametrize("status", [200, 201, 400, 404, 413, 500, 504])
def test_an_answer_is_an_answer_whatever_its_status(model: Model, server: Server, status: int) -> None:
    server.answers["GET"] = Reply(status, b"body")
    assert get(model) == Answer(status, b"body")


@pytest.mark.parametrize("status", [502, 503])
def test_a_route_without_a_pod_is_silence_of_the_model(model: Model, server: Server, status: int) -> None:
    server.answers["GET"] = Reply(status, b"<html>")
    with pytest.raises(NoAnswer, match=f"The route answered {status} to GET /x in the model's place"):
        get(model)
    with pytest.raises(NoAnswer, match=f"The route answered {status}"):
        model.stream("/x", 5.0)


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "7", 7.0),
        (503, "7", 7.0),
        (429, "Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (429, "soon", None),
        (429, "9" * 5_000, None),
        (429, "Mon, 01 Jan 99999999 00:00:00 GMT", None),
        (200, "9" * 5_000, None),
    ],
)
def test_when_to_come_back_is_as_the_model_says_if_it_can_be_read(
    model: Model, server: Server, status: int, header: str, seconds: float | None
) -> None:
    server.answers["GET"] = Reply(status, b"body", {"Retry-After": header})
    assert get(model) == Answer(status, b"body", seconds)


def test_a_gateway_that_says_when_to_come_back_is_still_no_model(model: Model, server: Server) -> None:
    server.answers["GET"] = Reply(502, b"", {"Retry-After": "7"})
    with pytest.raises(NoAnswer, match="The route answered 502"):
        get(model)


def test_the_time_for_a_request_includes_what_it_takes_to_send_it(model: Model, server: Server) -> None:
    """Or a file of hours would be waited for after it was sent for as long again."""
    answer = threading.Event()

    def late(asked: Request) -> Reply:
        answer.wait(20)
        return Reply()

    def slowly() -> Iterator[bytes]:
        yield b"x"
        time.sleep(1)
        yield b"x"

    server.answers["POST"] = late
    began = time.monotonic()
    with pytest.raises(StillBusy):
        model.request("POST", "/x", 1.5, body=slowly(), headers={"Content-Length": "2"})
    assert time.monotonic() - began < 2.4, "not 1.5 s more"
    answer.set()


def test_a_node_that_acknowledges_nothing_is_gone_and_not_busy(
    model: Model, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel gives the connection up when its keep-alives were not answered, long before our own time is over."""

    def given_up(_: HTTPConnection) -> HTTPResponse:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(HTTPConnection, "getresponse", given_up)
    with pytest.raises(NoAnswer, match="The node of the model is gone"):
        get(model)


def test_a_redirect_is_not_followed(model: Model, server: Server) -> None:
    """What it points to is not the pod: it could be any address that the function reaches."""
    with Server() as elsewhere:
        server.answers["GET"] = Reply(302, b"", {"Location": f"{elsewhere.url}/secret"})
        assert get(model).status == 302
        assert model.stream("/x", 5.0)[0] == 302
        assert not elsewhere.requests


@pytest.mark.parametrize("answer", [Reply(body=b"half", promised=100), Reply(chunks=(b"half",), broken=True)])
def test_a_truncated_answer_is_none(model: Model, server: Server, answer: Reply) -> None:
    server.answers["GET"] = answer
    with pytest.raises(NoAnswer, match="broke off its answer to GET /x"):
        get(model)
    status, chunks = model.stream("/x", 5.0)
    assert status == 200
    with pytest.raises(NoAnswer, match="broke off its answer to GET /x"):
        list(chunks)


GZIPPED = gzip.compress(b"0.5\n" * 1_000)
GZIP = {"Content-Encoding": "gzip"}


def test_an_answer_that_is_compressed_is_inflated(model: Model, server: Server) -> None:
    server.answers["GET"] = Reply(body=GZIPPED, headers=GZIP)
    assert get(model).body == b"0.5\n" * 1_000
    assert b"".join(model.stream("/x", 5.0)[1]) == b"0.5\n" * 1_000


@pytest.mark.parametrize("size", [len(GZIPPED) - 1, len(GZIPPED) - 8, len(GZIPPED) // 2], ids=["end", "sum", "half"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunks"])
def test_a_compressed_answer_that_is_cut_short_is_none_though_all_of_it_came(
    model: Model, server: Server, size: int, is_chunked: bool
) -> None:
    """As a proxy passes it on whose server died: as many bytes as were promised, and no end of the gzip in them."""
    cut = GZIPPED[:size]
    server.answers["GET"] = Reply(chunks=(cut,), headers=GZIP) if is_chunked else Reply(body=cut, headers=GZIP)
    with pytest.raises(NoAnswer, match="broke off its answer to GET /x: its gzip is broken or cut short"):
        get(model)
    _, chunks = model.stream("/x", 5.0)
    with pytest.raises(NoAnswer, match="broke off its answer to GET /x"):
        list(chunks)


def test_what_comes_before_an_answer_is_none_of_a_stream_either(model: Model, server: Server) -> None:
    server.answers["GET"] = Reply(103, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n8\n9\n")
    with pytest.raises(NoAnswer, match="answered 103 to GET /x, which is no answer yet"):
        model.stream("/x", 5.0)
    server.answers["GET"] = Reply(200, b"1\n2\n")
    assert b"".join(model.stream("/x", 5.0)[1]) == b"1\n2\n"


def test_a_stream_is_the_whole_body_in_chunks(model: Model, server: Server) -> None:
    server.answers["GET"] = Reply(body=b"x" * (5 << 20))
    _, chunks = model.stream("/x", 5.0)
    sizes = [len(chunk) for chunk in chunks]
    assert sum(sizes) == 5 << 20
    assert max(sizes) <= 1 << 20


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_closed_without_an_answer_is_silence_and_nothing_is_sent_twice(
    model: Model, server: Server, method: str
) -> None:
    """A model may have done its work all the same."""
    server.answers[method] = HangUp()
    with pytest.raises(NoAnswer, match="closed the connection without an answer"):
        model.request(method, "/x", 5.0, body=b"data" if method == "POST" else None)
    assert len(server.requests) == 1


def test_a_model_that_does_not_answer_in_time_is_busy_not_dead(model: Model, server: Server) -> None:
    server.answers["POST"] = Silence()
    with pytest.raises(StillBusy, match="did not answer POST /x within"):
        model.request("POST", "/x", 0.1, body=b"data")
    assert len(server.requests) == 1


def test_a_model_that_stops_in_the_middle_is_busy_not_dead(model: Model, server: Server) -> None:
    server.answers["GET"] = Reply(body=b"half", promised=100, stalls=True)
    with pytest.raises(StillBusy, match="stopped in the middle of its answer to GET /x"):
        get(model, 0.1)
    _, chunks = model.stream("/x", 0.1)
    with pytest.raises(StillBusy, match="stopped in the middle of its answer to GET /x"):
        list(chunks)


def test_a_port_where_nobody_listens_refuses() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NoAnswer, match="took no connection"):
        get(Model(f"http://127.0.0.1:{port}"))


def test_a_pod_that_is_off_the_network_is_silent_not_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node is gone, packets are dropped: nobody is there to wait for."""
    monkeypatch.setattr(model_module, "_CONNECT_SECONDS", 0.1)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        # A queue that is full drops what comes, as a lost node does.
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        with pytest.raises(NoAnswer, match="took no connection"):
            get(Model(f"http://127.0.0.1:{address[1]}"), seconds=30)
        for each in waiting:
            each.close()


def test_an_answer_that_no_memory_would_hold_is_given_up(
    model: Model, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "MAX_ANSWER_BYTES", 1000)
    server.answers["GET"] = Reply(body=b"x" * 1000)
    assert len(get(model).body) == 1000
    server.answers["GET"] = Reply(body=b"x" * 1001)
    with pytest.raises(NoAnswer, match="is longer than"):
        get(model)


def test_one_connection_serves_many_requests(model: Model, server: Server) -> None:
    server.answers["GET"] = Reply()
    for _ in range(3):
        get(model)
    assert model._http.connection_from_url(model.url).num_connections == 1


@pytest.mark.parametrize("length", [3_000, 50_000], ids=["of one piece", "not looked at in its middle"])
def test_text_of_an_answer_is_its_beginning_and_its_end_for_a_person(length: int) -> None:
    """MLflow's message says that something went wrong; what did is the last line of the traceback behind it."""
    answer = Answer(500, b"\xffoops" + "ü".encode() * length + b"ValueError: why")
    begin = "\N{REPLACEMENT CHARACTER}oops" + "ü" * 995
    assert answer.text == f"{begin} … {'ü' * 985}ValueError: why"


def test_text_of_a_short_answer_is_all_of_it() -> None:
    assert Answer(500, b"\xff" + "ü".encode() * 1_999).text == "\N{REPLACEMENT CHARACTER}" + "ü" * 1_999
