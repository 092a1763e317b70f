"""S3 by moto, in the test's own process; the servers are real ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from scoring import aws
from tests.builders import INPUT_BUCKET, OUTPUT_BUCKET, REGION


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """S3 with the two buckets."""
    from moto import mock_aws

    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    aws.client.cache_clear()
    with mock_aws():
        client = aws.client("s3")
        for bucket in (INPUT_BUCKET, OUTPUT_BUCKET):
            client.create_bucket(Bucket=bucket)
        yield client
    aws.client.cache_clear()
