"""JSON documents in Parameter Store: all of a path, with their versions, kept for a minute."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from scoring import aws
from scoring.errors import AccessDenied
from scoring.intake import parameters
from scoring.intake.parameters import Stored


def test_documents_are_read_with_their_versions_and_kept_for_a_minute(mocked_aws: None) -> None:
    ssm = aws.client("ssm")
    for number in range(12):
        ssm.put_parameter(Name=f"/dropscore/profiles/p{number}", Value="{}", Type="String")
    ssm.put_parameter(Name="/dropscore/profiles/p0", Value='{"cpu": 2}', Type="String", Overwrite=True)
    ssm.put_parameter(Name="/dropscore/profiles/deeper/p0", Value="{}", Type="String")
    ssm.put_parameter(Name="/dropscore/clusters/p0", Value="{}", Type="String")
    found = parameters.load("/dropscore/profiles")
    assert found.keys() == {f"p{number}" for number in range(12)}
    assert (found["p0"], found["p1"].version) == (Stored("p0", 2, '{"cpu": 2}'), 1)
    ssm.delete_parameter(Name="/dropscore/profiles/p0")
    assert parameters.load("/dropscore/profiles") == found


def test_a_document_that_was_just_made_is_there_for_whoever_asks_for_it(mocked_aws: None) -> None:
    assert parameters.load("/dropscore/profiles", "new") == {}
    aws.client("ssm").put_parameter(Name="/dropscore/profiles/new", Value="{}", Type="String")
    assert parameters.load("/dropscore/profiles") == {}
    assert parameters.load("/dropscore/profiles", "new").keys() == {"new"}
    aws.client("ssm").delete_parameter(Name="/dropscore/profiles/new")
    assert parameters.load("/dropscore/profiles", "new").keys() == {"new"}, "what is there is kept for a minute"


def test_no_path_no_documents() -> None:
    assert parameters.load("") == {}


def test_what_parameter_store_refuses_has_the_name_that_the_state_machine_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Refusing:
        def get_paginator(self, name: str) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetParametersByPath")

    monkeypatch.setattr(aws, "client", lambda service: Refusing())
    with pytest.raises(AccessDenied, match="ssm:GetParametersByPath of /dropscore/profiles"):
        parameters.load("/dropscore/profiles")
