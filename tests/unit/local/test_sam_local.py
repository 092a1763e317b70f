"""What `sam local` is given: the built template, with code where it is and with the variables that Lambda adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from local.sam_local import for_sam_local

BUILT: dict[str, Any] = {
    "Globals": {"Function": {"Environment": {"Variables": {"INPUT_BUCKET": {"Ref": "InputBucketName"}}}}},
    "Resources": {
        "ScoringLayer": {"Type": "AWS::Serverless::LayerVersion", "Properties": {"ContentUri": "ScoringLayer"}},
        "LaunchPod": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "LaunchPod", "Timeout": 60}},
        "InputBucket": {"Type": "AWS::S3::Bucket"},
    },
}


def test_a_template_finds_its_code_from_any_folder(tmp_path: Path) -> None:
    resources = for_sam_local(BUILT, tmp_path)["Resources"]
    assert resources["LaunchPod"]["Properties"] == {"CodeUri": str(tmp_path / "LaunchPod"), "Timeout": 60}
    assert resources["ScoringLayer"]["Properties"] == {"ContentUri": str(tmp_path / "ScoringLayer")}


def test_the_variables_that_lambda_adds_are_declared_beside_the_templates_own(tmp_path: Path) -> None:
    declared = for_sam_local(BUILT, tmp_path)["Globals"]["Function"]["Environment"]["Variables"]
    assert declared["INPUT_BUCKET"] == {"Ref": "InputBucketName"}
    assert declared["AWS_ENDPOINT_URL"] == declared["AWS_SESSION_TOKEN"] == ""
