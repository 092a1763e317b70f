"""The account in the embedded AWS: its administrator, and how tools reach it and nothing else."""

import os
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3

ACCOUNT = "000000000000"
REGION = "us-east-1"
# MiniStack's own administrator; these open nothing anywhere else.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


def session(credentials: Mapping[str, str] = CREDENTIALS) -> boto3.Session:
    """Make a session; the administrator's, unless there are other credentials."""
    return boto3.Session(
        aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=credentials.get("AWS_SESSION_TOKEN"),
        region_name=REGION,
    )


# A session reads what it knows of a service, megabytes of JSON, once; it makes one client at a time.
_kept_session = cache(lambda *credentials: session(dict(credentials)))
_making = threading.Lock()


def client(endpoint_url: str, service: str, credentials: Mapping[str, str] = CREDENTIALS) -> Any:
    """Make a boto3 client of any service for who has these credentials."""
    with _making:
        kept = _kept_session(*sorted(credentials.items()))
        return kept.client(service, endpoint_url=endpoint_url)  # type: ignore[call-overload]


def environment(endpoint_url: str) -> dict[str, str]:
    """Give an environment in which AWS's tools reach this account, whatever the user has set up for real ones."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_", "PYTHON"))}
    return {
        **own,
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
