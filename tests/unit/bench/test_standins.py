"""The stand-ins of the benchmarks, by the real client and by the engine itself."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from bench import data, engine, s3, shards, standins

FILE = data.File(8)
WHOLE = b"".join(FILE.read())
WHERE = {"Bucket": "output", "Key": "scored/a.csv.scoreout"}


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with standins.running("bench.s3") as url:
        yield url


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    with standins.running("bench.model") as url:
        yield url


@pytest.fixture
def client(s3_url: str) -> Any:
    return boto3.client("s3", endpoint_url=s3_url, config=Config(retries={"total_max_attempts": 1}))


def get(client: Any, **more: str) -> bytes:
    return bytes(client.get_object(Bucket="input", Key=f"incoming/{FILE.name}", **more)["Body"].read())


def test_an_object_is_read_whole_or_from_any_byte_on(client: Any) -> None:
    assert get(client, IfMatch=f'"{s3.ETAG}"') == WHOLE
    assert get(client, Range="bytes=1000000-") == WHOLE[1_000_000:]
    assert get(client, Range="bytes=10-19") == WHOLE[10:20]


def test_each_request_is_held_back_if_it_is_to_be() -> None:
    with standins.running("bench.s3", "--get-mb-s", "5", "--part-mb-s", "2") as url:
        client = boto3.client("s3", endpoint_url=url)
        began = time.monotonic()
        assert get(client) == WHOLE
        assert time.monotonic() - began > FILE.size / 5e6 * 0.9
        upload = client.create_multipart_upload(**WHERE)["UploadId"]
        began = time.monotonic()
        client.upload_part(**WHERE, UploadId=upload, PartNumber=1, Body=WHOLE)
        assert time.monotonic() - began > FILE.size / 2e6 * 0.9


def test_another_version_is_refused(client: Any) -> None:
    with pytest.raises(ClientError, match="PreconditionFailed"):
        get(client, IfMatch='"other"')


def test_an_upload_has_the_parts_that_came(client: Any) -> None:
    upload = client.create_multipart_upload(**WHERE)["UploadId"]
    for number in (1, 2):
        client.upload_part(**WHERE, UploadId=upload, PartNumber=number, Body=WHOLE)
    parts = client.list_parts(**WHERE, UploadId=upload)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in parts] == [(1, FILE.size), (2, FILE.size)]
    listed = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
    client.complete_multipart_upload(**WHERE, UploadId=upload, MultipartUpload={"Parts": listed})
    with pytest.raises(ClientError, match="InvalidPart"):
        wrong = [{"PartNumber": 3, "ETag": '"x"'}]
        client.complete_multipart_upload(**WHERE, UploadId=upload, MultipartUpload={"Parts": wrong})


def test_a_part_that_was_damaged_on_its_way_is_refused(client: Any) -> None:
    upload = client.create_multipart_upload(**WHERE)["UploadId"]
    with pytest.raises(ClientError, match="BadDigest"):
        client.upload_part(**WHERE, UploadId=upload, PartNumber=1, Body=b"x", ChecksumCRC32="AAAAAA==")


def test_the_model_answers_for_each_record(model_url: str) -> None:
    answer = requests.post(f"{model_url}/executions", files={"file": ("input.csv", WHOLE)}, timeout=10).json()
    scored = requests.get(f"{model_url}/query/{answer['id']}", timeout=10).text
    assert len(scored.splitlines()) == 1 + FILE.records


def test_a_part_is_a_range_of_an_object_that_was_uploaded(client: Any) -> None:
    place = WHERE | {"Key": "scored/1.scoreout"}
    for copied in (False, True):
        upload = client.create_multipart_upload(**place)["UploadId"]
        part = place | {"UploadId": upload, "PartNumber": 1}
        if copied:
            source = {"CopySource": {"Bucket": "output", "Key": "scored/1.scoreout"}, "CopySourceRange": "bytes=2-4"}
            assert client.upload_part_copy(**part, **source)["CopyPartResult"]["ETag"]
            with pytest.raises(ClientError, match="InvalidArgument"):
                client.upload_part_copy(**part, **source | {"CopySourceRange": f"bytes=0-{FILE.size}"})
        else:
            client.upload_part(**part, Body=WHOLE)
        (found,) = client.list_parts(**place, UploadId=upload)["Parts"]
        assert found["Size"] == (3 if copied else FILE.size)
        done = [{"PartNumber": 1, "ETag": found["ETag"]}]
        client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": done})
    assert client.get_object(**place, Range="bytes=0-1")["Body"].read() == bytes(2)


def test_a_pod_that_sleeps_takes_one_request_at_a_time() -> None:
    with standins.running("bench.model", "--mb-s", "1") as url:

        def ask(pod: str) -> int:
            return requests.post(f"{url}/{pod}/invocations", data=b"1\n" * 150_000, timeout=10).status_code

        with ThreadPoolExecutor(4) as pool:
            began = time.monotonic()
            assert list(pool.map(ask, ["1", "1", "2", "2"])) == [200] * 4
        # Of each pod, twice 0.3 s.
        assert time.monotonic() - began > 0.6


def test_a_file_is_scored_on_several_pods_and_planned_alone(s3_url: str) -> None:
    with standins.running("bench.model", "--mb-s", "100") as sleeping:
        assert shards.run(s3_url, data.File(12), 3, sleeping).cpu_seconds > 0
    assert shards.run(s3_url, data.File(12), 3).seconds > 0


@pytest.mark.parametrize("protocol", ["sas", "sagemaker", "mlflow"])
def test_the_engine_scores_a_file_of_theirs(s3_url: str, model_url: str, protocol: str) -> None:
    run = engine.run(protocol, s3_url, model_url, FILE)
    assert run.peak_mib >= run.idle_mib > 0
    assert min(run.seconds, run.cpu_seconds) > 0
