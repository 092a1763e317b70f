"""The contract of models/sas-anomaly, over HTTP: that of a SAS model container."""

import csv
import http.client
import io
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from local.images import PulledImage
from tests.models.serving import ROOT, Server, sample, serve

SAMPLE = "".join(f"{line}\n" for line in sample("sas-anomaly"))
UPLOAD = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="input.csv"\r\nContent-Type: text/csv\r\n\r\n'
    b"%b\r\n--x--\r\n"
)


@pytest.fixture(scope="module")
def model(pull_model: Callable[[str], PulledImage], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(pull_model("sas-anomaly"), tmp_path_factory.mktemp("anomaly")) as server:
        yield server


@pytest.fixture(scope="module")
def execution(model: Server) -> str:
    """The id of the sample's execution: a script is started for each, and imports a library for seconds."""
    return execute(model, SAMPLE)


def execute(model: Server, content: str | bytes) -> str:
    answer = requests.post(f"{model.url}/executions", files={"file": ("input.csv", content)}, timeout=60)
    assert answer.status_code == 201
    document = answer.json()
    assert document == {"id": document["id"], "status": 201}
    return str(document["id"])


def scored(model: Server, content: str | bytes) -> list[dict[str, str]]:
    return result(model, execute(model, content))


def result(model: Server, execution_id: str) -> list[dict[str, str]]:
    answer = model.get(f"/query/{execution_id}")
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))


def log_of(model: Server, execution_id: str) -> list[str]:
    answer = model.get(f"/query/{execution_id}/log")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text.endswith("\nCompleted!\n")
    return answer.text.splitlines()


def test_the_root_answers_pong(model: Server) -> None:
    answer = model.get("/")
    assert (answer.status_code, answer.text) == (200, "pong")
    assert answer.headers["Content-Type"].startswith("text/plain")


class TestExecution:
    def test_the_result_is_the_input_and_two_columns(self, model: Server, execution: str) -> None:
        answer = model.get(f"/query/{execution}")
        assert answer.headers["Content-Type"].startswith("text/csv")
        header, *rows = answer.text.splitlines()
        given = SAMPLE.splitlines()
        assert header == f"{given[0]},anomaly_score,is_anomaly"
        assert [row.rsplit(",", 2)[0] for row in rows] == given[1:]

    def test_the_log_shows_the_command_and_its_output(self, model: Server, execution: str) -> None:
        first, command, output, empty, last = log_of(model, execution)
        assert (first, empty, last) == ("Scoring...", "", "Completed!")
        assert command.startswith(" ")
        assert "score.py -i " in command
        assert output.startswith("442 rows compared with the reference by age, sex, ")

    def test_a_script_that_raises_is_answered_201_as_well(self, model: Server) -> None:
        execution_id = execute(model, "name\nAda\n")
        answer = model.get(f"/query/{execution_id}")
        assert (answer.status_code, answer.json()["status"]) == (404, 404)
        log = log_of(model, execution_id)
        assert "Traceback (most recent call last):" in log
        assert "ValueError: None of the columns is numeric: name" in log

    @pytest.mark.parametrize("path", ["/query/1.5", "/query/1.5/log", "/query/%2e%2e/log", "/other"])
    def test_what_is_not_known_is_404(self, model: Server, path: str) -> None:
        answer = model.get(path)
        assert (answer.status_code, answer.json()["status"]) == (404, 404)

    def test_a_raw_body_is_refused(self, model: Server) -> None:
        assert model.post("/executions", SAMPLE).status_code == 400

    @pytest.mark.parametrize(
        "part", [{"data": ("input.csv", "a\n1\n")}, {"file": (None, "a\n1\n")}], ids=["other field", "no file name"]
    )
    def test_a_form_without_the_file_is_refused(self, model: Server, part: dict[str, tuple[str | None, str]]) -> None:
        answer = requests.post(f"{model.url}/executions", files=part, timeout=30)
        assert (answer.status_code, answer.json()["status"]) == (400, 400)

    def test_nothing_answers_while_a_script_runs(self, model: Server) -> None:
        connection = http.client.HTTPConnection(model.url.removeprefix("http://"), timeout=60)
        body = UPLOAD % SAMPLE.encode()
        connection.request("POST", "/executions", body, {"Content-Type": "multipart/form-data; boundary=x"})
        with pytest.raises(requests.ReadTimeout):
            requests.get(model.url, timeout=0.3)
        assert connection.getresponse().status == 201
        connection.close()
        assert model.get("/").text == "pong"

    def test_a_script_may_take_its_time(self) -> None:
        assert runpy.run_path(str(ROOT / "models" / "sas-anomaly" / "gunicorn.conf.py"))["timeout"] == 0


class TestResult:
    def test_a_part_of_it_can_be_asked_for(self, model: Server, execution: str) -> None:
        path = f"/query/{execution}"
        whole = model.get(path)
        assert whole.headers["Content-Length"] == str(len(whole.content))
        part = model.get(path, headers={"Range": "bytes=100-199", "If-Range": whole.headers["ETag"]})
        assert part.status_code == 206
        assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole.content)}"
        assert part.content == whole.content[100:200]

    def test_large_files_go_through_the_disk_not_the_memory(self, model: Server, execution: str) -> None:
        """A single huge field: large to receive and to send, quick to score. Held in memory, it would show twice over."""
        # The worker: gunicorn's only child.
        worker = Path(f"/proc/{model.process.pid}/task/{model.process.pid}/children").read_text().split()[0]
        before = peak_memory(worker)
        size = 48 << 20
        result = model.get(f"/query/{execute(model, b'id,text' + bytes([10]) + b'1,' + b'x' * size)}").content
        assert result.endswith(b"xxx,0.500000,0\n")
        assert len(result) > size
        assert peak_memory(worker) - before < 20 << 20

    def test_the_upload_is_removed_when_it_has_been_scored(self, model: Server, execution: str) -> None:
        assert model.get(f"/query/{execution}").ok
        assert not list(model.workspace.rglob("input.csv"))


def peak_memory(pid: str) -> int:
    """Read the highest resident size of a process so far, in bytes."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) << 10


class TestScore:
    def test_the_row_that_is_unlike_the_others_scores_highest(self, model: Server) -> None:
        """With a text column, empty fields, a missing value as SAS writes it, and quotes."""
        usual = [f"{20000 + number},{number % 7},HomeImp,{'' if number % 5 else '.'}\n" for number in range(300)]
        rows = scored(model, 'LOAN,"YOJ",REASON,DEBTINC\n' + "".join(usual) + '950000,70,"a ""new""\nreason",\n')
        assert len(rows) == 301
        assert max(rows, key=lambda row: float(row["anomaly_score"])) is rows[-1]
        *given, _, is_anomaly = rows[-1].values()
        assert (given, is_anomaly) == (["950000", "70", 'a "new"\nreason', ""], "1")

    def test_against_the_reference_each_row_stands_alone(self, model: Server, execution: str) -> None:
        header, *lines = SAMPLE.splitlines()
        some = scored(model, "".join(f"{line}\n" for line in [header, *lines[100:110]]))
        assert some == result(model, execution)[100:110]

    def test_the_columns_of_the_reference_must_be_numbers(self, model: Server) -> None:
        header, first = SAMPLE.splitlines()[:2]
        execution_id = execute(model, f"{header}\n{first}\n{first.replace('59', 'old', 1)}\n")
        assert "ValueError: These columns must be numeric: age (row 2 has 'old')" in log_of(model, execution_id)

    def test_a_file_with_only_a_header_has_only_a_header(self, model: Server) -> None:
        assert model.get(f"/query/{execute(model, 'a,b')}").text == "a,b,anomaly_score,is_anomaly\n"

    def test_what_is_not_text_in_utf_8_passes_through(self, model: Server) -> None:
        answer = model.get(f"/query/{execute(model, b'city,n' + bytes([10]) + b'K' + bytes([0xF6]) + b'ln,1')}")
        assert b"\nK\xf6ln,1,0.5" in answer.content

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("", "The file is empty: it needs a header."),
            ("a,b\n1,2\n1,2,3\n", "Row 2 has 3 fields, the header has 2."),
            ("a,b\n,.\n", "None of the columns is numeric: a, b"),
        ],
    )
    def test_what_cannot_be_scored_says_why_in_the_log(self, model: Server, content: str, reason: str) -> None:
        assert f"ValueError: {reason}" in log_of(model, execute(model, content))


def test_the_sample_is_the_data_set(data_sets: dict[str, list[list[float]]]) -> None:
    rows = [[float(value) for value in line.split(",")] for line in SAMPLE.splitlines()[1:]]
    assert rows == [row[:-1] for row in data_sets["diabetes"]]


def test_its_files_are_removed_when_it_ends(pull_model: Callable[[str], PulledImage], tmp_path: Path) -> None:
    with serve(pull_model("sas-anomaly"), tmp_path) as server:
        execute(server, "a,b")
        assert list(server.workspace.rglob("output.csv"))
    assert not list(server.workspace.rglob("*.csv"))
