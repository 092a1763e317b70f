"""No test reaches AWS: false credentials, moto where AWS is meant, and nothing kept from one test to the next."""

import os
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
import pytest
from botocore import hooks
from hypothesis import settings as hypothesis_settings

from scoring import aws, settings
from scoring.cluster import api as clusters
from scoring.intake import parameters
from scoring.streaming import scorer
from tests.builders import ENVIRONMENT, INPUT_BUCKET, OUTPUT_BUCKET, REGION
from tests.unit.servers import Server

# How long an example takes says more about the machine than about the code.
hypothesis_settings.register_profile("dropscore", deadline=None)
hypothesis_settings.load_profile("dropscore")

# Moto ends boto3's session with each test, and with it the models of AWS's services (megabytes of JSON) that it has read,
# and what it has found out of the names of its events and the signatures of its own handlers: a third of what a client
# costs. They are the same for all tests.
botocore.session.create_loader = cache(botocore.session.create_loader)
alias = cache(hooks.EventAliaser(hooks.HierarchicalEmitter())._alias_event_name)  # type: ignore[attr-defined]
hooks.EventAliaser._alias_event_name = lambda _, name: alias(name)  # type: ignore[attr-defined]
accepts_kwargs = cache(hooks.accepts_kwargs)
# Of a method, the function: no client is kept.
hooks.accepts_kwargs = lambda func: accepts_kwargs(getattr(func, "__func__", func))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of a function, and nothing that the developer's own shell may hold."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    forget()
    yield
    forget()


# Held here, since a test may put something else in their place.
CACHED = (settings.current, aws.client, parameters._parameters)


def forget() -> None:
    """What a function keeps for the life of its process."""
    for function in CACHED:
        function.cache_clear()
    clusters._connected.clear()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two tries of a batch: how often counts here, and not for how long."""
    for name in (
        "_LEAST_PAUSE_SECONDS",
        "_MOST_PAUSE_SECONDS",
        "_MOST_SILENT_PAUSE_SECONDS",
        "_PATIENCE_FOR_ONE_RECORD_SECONDS",
    ):
        monkeypatch.setattr(scorer, name, getattr(scorer, name) / 100)


@cache
def keep_urls() -> None:
    """Let moto look only once for the urls of a service: it does so at each call, and reads a module anew for S3's.

    Then they are compiled once, too.
    """
    from moto.core.base_backend import BaseBackend
    from moto.s3.models import S3Backend

    found: Any = BaseBackend.urls
    kept: dict[type, dict[re.Pattern[str], Any]] = {}

    def urls(backend: BaseBackend) -> dict[re.Pattern[str], Any]:
        if type(backend) not in kept:
            kept[type(backend)] = {re.compile(url): method for url, method in found.fget(backend).items()}
        return kept[type(backend)]

    # Its reads the module anew; the one it has from BaseBackend does not.
    del S3Backend._url_module
    BaseBackend.urls = property(urls)  # type: ignore[assignment,method-assign]


@pytest.fixture
def mocked_aws() -> Iterator[None]:
    """AWS in this process: moto."""
    from moto import mock_aws

    keep_urls()
    with mock_aws():
        yield


@pytest.fixture
def s3(mocked_aws: None) -> Any:
    """S3 with the two buckets."""
    client = aws.client("s3")
    for bucket in (INPUT_BUCKET, OUTPUT_BUCKET):
        client.create_bucket(Bucket=bucket)
    return client


@pytest.fixture
def server() -> Iterator[Server]:
    """A real HTTP server on loopback, to be told what it answers."""
    with Server() as running:
        yield running
