"""One embedded stack for the whole test session, shared by all workers, in a locked-down account."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local import account
from local import stack as embedded
from local.foreign import Foreign
from tests.conftest import use
from tests.e2e import locked, models
from tests.e2e.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".local/e2e"
NOTIFICATIONS = f"arn:aws:sns:{account.REGION}:{account.ACCOUNT}:notifications"
PARAMETERS = {
    "StartDeadlineSeconds": "60",
    "TagWaitSeconds": "1",
    "NotificationEmail": "owner@example.com",
    "NotificationTopicArn": NOTIFICATIONS,
}
PROFILES: dict[str, dict[str, Any]] = {
    "telling": {
        "folders": ["told/"],
        "locked": ["model_image"],
        "model_image": "tests/telling",
        "protocol": "sagemaker",
        "args": ["serve", "--calm"],
        "env": {"GREETING": "hello"},
        "port": 8765,
        "labels": {"example.com/team": "risk"},
        "max_batch_records": 1,
        "ephemeral_storage": "64Mi",
        "cpu_limit": 2,
        "shm": "64Mi",
        "read_only_root": True,
        "run_as_user": 1000,
    },
    "broken": {"folders": ["broken/"], "cpus": 2},
}


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> embedded.Stack:
    use(STATE, pytestconfig)
    found = embedded.up(STATE, parameters=PARAMETERS, foreign=Foreign.asked(), prepare=locked.prepare)
    for bucket in (found.input_bucket, found.output_bucket):
        locked.deny_what_names_no_key(found.client("s3"), bucket)
    # Before any file of this session: a function keeps the profiles that it knows for a minute.
    for name, document in PROFILES.items():
        found.client("ssm").put_parameter(
            Name=f"/dropscore/profiles/{name}", Value=json.dumps(document), Type="String", Overwrite=True
        )
    return found


@pytest.fixture(scope="session")
def pipeline(stack: embedded.Stack) -> Pipeline:
    return Pipeline(stack)


@pytest.fixture
def well(pipeline: Pipeline) -> dict[str, str]:
    """The tags for a model that starts in a fraction of the time of an example model: for what is not about the models."""
    return {"model_image": models.push(pipeline, "well"), "protocol": "sagemaker"}


@pytest.fixture
def misbehaving(pipeline: Pipeline) -> Callable[[str], str]:
    """Push an image that misbehaves in the given way; its repository."""
    return lambda behaviour: models.push(pipeline, behaviour)
