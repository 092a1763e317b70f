"""Whether a container is fit: what is tried on a model, and what is made of what Docker says of an image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from dropscore.check.containers import Image, arguments, listening
from dropscore.check.findings import BAD, GOOD, of_image, of_ports
from dropscore.check.trial import Sample
from dropscore.main import cli
from tests.unit.servers import Reply, Request, Server


@pytest.fixture
def model() -> Iterator[Server]:
    """Speaks sagemaker's protocol; each record's prediction is how many fields it has."""

    def predicted(asked: Request) -> Reply:
        return Reply(200, b"".join(b"%d\n" % (line.count(b",") + 1) for line in asked.body.splitlines()))

    with Server() as server:
        server.answers["GET /ping"] = Reply(200)
        server.answers["POST /invocations"] = predicted
        yield server


def check(server: Server, sample: Path, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["check", server.url, str(sample), *more], standalone_mode=False)
    assert done.exception is None or not isinstance(done.exception, AssertionError), done.exception
    return done.return_value, done.output


def test_a_fit_model_is_told_its_tags(model: Server, tmp_path: Path) -> None:
    sample = tmp_path / "people.csv"
    sample.write_bytes(b"a;b\n" + b"1,5;x\n" * 1_500)
    code, said = check(model, sample, "--tag", "decimal=comma")
    assert code == 0, said
    assert "speaks sagemaker, as its answers tell" in said
    assert "10 records in" in said
    assert "1,000 records in" in said
    assert "decimal=comma&protocol=sagemaker" in said.replace("\n", "")


def test_a_model_that_refuses_says_why(model: Server, tmp_path: Path) -> None:
    sample = tmp_path / "people.csv"
    sample.write_bytes(b"a,b\n1,x\n2,y\n")
    model.answers["POST /invocations"] = Reply(400, b"column b: no number")
    code, said = check(model, sample)
    assert code == 3
    assert "column b: no number" in said


def test_a_server_that_takes_no_single_record_is_found_out(model: Server, tmp_path: Path) -> None:
    sample = tmp_path / "people.csv"
    sample.write_bytes(b"a,b\n" + b"1,x\n" * 20)
    answer = model.answers["POST /invocations"]
    assert callable(answer)
    model.answers["POST /invocations"] = lambda asked: Reply(500) if asked.body.count(b"\n") < 2 else answer(asked)
    code, said = check(model, sample)
    assert code == 0
    assert "A file of a single record fails" in said


def test_what_is_no_model_is_told_by_its_answers(tmp_path: Path) -> None:
    sample = tmp_path / "people.csv"
    sample.write_bytes(b"a,b\n1,x\n")
    with Server() as server:
        code, said = check(server, sample, "--wait", "1")
    assert code == 3
    assert "GET /ping: 404" in said


def test_a_sample_is_cut_between_records_whatever_it_is_written_in(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes('a;b\r\n"1\r\n2";ä\r\n3;ö\r\n5;ü'.encode("utf-16"))
    sample = Sample(path, {})
    assert sample.first(1) == ('a;b\r\n"1\r\n2";ä\r\n'.encode(), 1)
    assert sample.first(9) == ('a;b\r\n"1\r\n2";ä\r\n3;ö\r\n5;ü'.encode(), 3)


def image(user: str) -> Image:
    return Image("risk", user, ("serve",), "amd64", 1)


POD = {"port": 9000, "args": ["serve"], "env": {"A": "b c"}}


def test_an_image_runs_as_in_a_pod() -> None:
    given = arguments(image("1000"), POD, {"cpu": "1", "memory": "1Gi"})
    assert given[-2:] == ["risk", "serve"]
    assert "127.0.0.1::9000" in given
    assert given[given.index("--memory") + 1] == str(1 << 30)
    assert given[given.index("--env") + 1] == "A=b c"
    assert given[given.index("--cap-drop") + 1] == "ALL"
    assert "--cap-add" not in given
    assert "SETUID" in arguments(image(""), POD, {"memory": "1Gi"})


@pytest.mark.parametrize(
    ("user", "profile"),
    [
        ("", {"run_as_non_root": False}),
        ("0:0", {"run_as_non_root": False}),
        ("root", {"run_as_non_root": False}),
        ("mlflow", {"run_as_user": 1234}),
        ("1000:100", {}),
    ],
)
def test_what_a_kubelet_would_refuse_is_told_before(user: str, profile: dict[str, object]) -> None:
    (finding,) = of_image(image(user), "1234")
    assert finding.profile == profile
    assert (finding.kind == BAD) == bool(profile)


# cat /proc/net/tcp /proc/net/tcp6, cut after the state: 127.0.0.1:5000, 0.0.0.0:8080, [::1]:6000, [::]:9000 listen.
TABLES = """\
  sl  local_address rem_address   st
   0: 0100007F:1388 00000000:0000 0A
   1: 00000000:1F90 00000000:0000 0A
   2: 0200A8C0:A3F2 0100A8C0:01BB 01
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:1770 00000000000000000000000000000000:0000 0A
   1: 00000000000000000000000000000000:2328 00000000000000000000000000000000:0000 0A
"""


def test_where_a_container_listens_is_read_from_the_kernel() -> None:
    found = listening(TABLES.splitlines())
    assert found == {(5000, True), (8080, False), (6000, True), (9000, False)}
    assert [each.kind for each in of_ports(8080, found, is_ready=True)] == [GOOD]
    (loopback,) = of_ports(5000, found, is_ready=False)
    assert "loopback alone" in loopback.what
    (elsewhere,) = of_ports(7000, found, is_ready=False)
    assert elsewhere.profile == {"port": 8080}
