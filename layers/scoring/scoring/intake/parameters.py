"""JSON documents in SSM Parameter Store, each a parameter of its own below a path of the stack's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.parameters.base import BaseProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from scoring import aws

_CACHED_SECONDS = 60


@dataclass(frozen=True)
class Version:
    """Which version of which parameter; `name` is the last part of its name, empty for none."""

    name: str = ""
    version: int = 0

    @property
    def identity(self) -> str:
        """`name:version`; empty for none."""
        return f"{self.name}:{self.version}" if self.name else ""

    @property
    def label(self) -> str:
        return f"{self.name} (version {self.version})"


@dataclass(frozen=True)
class Stored(Version):
    """A document as Parameter Store has it."""

    text: str = ""

    def document(self) -> Any:
        """What it says.

        Raises
        ------
        ValueError
            It is not JSON, or says a key twice.
        """
        try:
            return json.loads(self.text, object_pairs_hook=_once)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        doubled = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
        raise ValueError(f"the key {doubled!r} is there twice")
    return found


class _Parameters(BaseProvider):
    """Parameters with their versions, which the provider that comes with Powertools leaves out."""

    def _get(self, name: str, **_: Any) -> str:
        raise NotImplementedError

    def _get_multiple(self, path: str, **_: Any) -> dict[str, Any]:
        pages = aws.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=path)
        found = [parameter for page in pages for parameter in page["Parameters"]]
        names = {parameter["Name"].rpartition("/")[2]: parameter for parameter in found}
        return {name: Stored(name, one["Version"], one["Value"]) for name, one in names.items()}


@cache
def _parameters() -> _Parameters:
    return _Parameters()  # type: ignore[no-untyped-call]


def load(path: str, wanted: str = "") -> dict[str, Stored]:
    """All documents right below a path of Parameter Store, by name; at most a minute old, and as they are now where one is
    `wanted` that was not there. No path, no documents.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    if not path:
        return {}
    with aws.errors_named(f"ssm:GetParametersByPath of {path}"):
        try:
            found: dict[str, Any] = _parameters().get_multiple(path, max_age=_CACHED_SECONDS)
            if wanted and wanted not in found:
                # Whoever has just made it drops a file for it.
                found = _parameters().get_multiple(path, max_age=_CACHED_SECONDS, force_fetch=True)
        except GetParameterError as error:
            # Powertools gives every error this one name; ours tell what may be tried again.
            raise error.__context__ or error from None
    return found
