"""A file without any tag is scored as the profile of its folder says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e import models
from tests.e2e.conftest import PROFILES
from tests.e2e.pipeline import Pipeline


@pytest.fixture(autouse=True)
def in_ecr(pipeline: Pipeline) -> None:
    pipeline.only_embedded("the profile names its image by a repository of ECR")


def test_a_file_without_tags_is_scored_with_the_image_the_arguments_and_the_port_of_its_folders_profile(
    pipeline: Pipeline,
) -> None:
    models.push(pipeline, "telling", app=Path(__file__).with_name("telling.py"))
    execution = pipeline.drop("told/2026/a.csv", b"id\n7\n8\n")
    outcome = pipeline.outcome(execution)
    told = b"serve --calm,hello,true,8765"
    names = b",".join(b"prediction_%d" % number for number in range(4))
    assert outcome.lines == [b"id," + names, b"7," + told, b"8," + told]
    assert outcome.tags["profile"].partition(":")[0] == "telling"
    assert outcome.tags["model_image"].endswith("/tests/telling")
    assert outcome.tags["k8s_namespace"] == pipeline.stack.namespace
    pod = pipeline.state(execution, "launch_pod")["request"]["pod"]
    assert pod["labels"] == PROFILES["telling"]["labels"]
    pipeline.assert_nothing_left(execution)


def test_what_a_profile_has_locked_a_tag_may_not_change(pipeline: Pipeline) -> None:
    outcome = pipeline.score("told/locked.csv", b"id\n7\n", model_image="sagemaker-wine")
    assert outcome.error["error"] == "InvalidTags"
    assert "has locked model_image" in outcome.error["summary"]
    assert outcome.error["details"]["profile"].startswith("telling:")


def test_a_broken_profile_is_told_with_its_key_before_a_pod_is_launched(pipeline: Pipeline) -> None:
    outcome = pipeline.score("broken/a.csv", b"id\n7\n")
    assert (outcome.error["error"], outcome.error["stage"]) == ("InvalidProfile", "resolve_request")
    assert "The profile broken (version " in outcome.error["summary"]
    assert "cpus is no key that is known" in outcome.error["summary"]
    assert json.dumps(outcome.error["remedy"]).count("Parameter Store") == 1
