"""resolve_request: tags of the file → the request, with the image by digest."""

import json
from typing import Any

import pytest

from scoring import aws
from scoring.errors import (
    ClusterNotFound,
    EmptyFile,
    ImageNotAllowed,
    ImageNotFound,
    InvalidFile,
    InvalidTags,
    SourceGone,
)
from scoring.files.formats import Spec
from tests.builders import CLUSTER, INPUT_BUCKET, REGISTRY, Context, event, function, settings
from tests.unit.intake.test_images import MEDIA_TYPE

app = function("resolve_request")


@pytest.fixture
def account(s3: Any) -> str:
    """An account with the cluster and the default model's image; its digest."""
    aws.client("eks").create_cluster(
        name=CLUSTER, roleArn="arn:aws:iam::000000000000:role/eks", resourcesVpcConfig={"subnetIds": ["subnet-1"]}
    )
    ecr = aws.client("ecr")
    ecr.create_repository(repositoryName="sas-anomaly")
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MEDIA_TYPE, "config": {}, "layers": []})
    pushed = ecr.put_image(repositoryName="sas-anomaly", imageManifest=manifest, imageTag="latest")
    return str(pushed["image"]["imageId"]["imageDigest"])


def drop(s3: Any, **tags: str) -> dict[str, Any]:
    """The sample event, of a file that is there."""
    given = event("resolve_request")
    source = given["state"]["source"]
    tagging = "&".join(f"{key}={value}" for key, value in tags.items())
    s3.put_object(Bucket=INPUT_BUCKET, Key=source["key"], Body=b"a\n1\n", Tagging=tagging)
    etag = s3.head_object(Bucket=INPUT_BUCKET, Key=source["key"])["ETag"].strip('"')
    source |= {"version_id": "", "etag": etag}
    return given


def test_a_file_without_tags_gets_the_defaults_with_the_image_by_digest(s3: Any, account: str) -> None:
    assert app.handler(drop(s3), Context()) == {
        "image": f"{REGISTRY}/sas-anomaly@{account}",
        "profile": "",
        "cluster": CLUSTER,
        "cluster_settings": settings().clusters[CLUSTER].to_json(),
        "namespace": "dropscore",
        "protocol": "sas",
        "model_name": "",
        "resources": {"cpu": "500m", "memory": "1Gi"},
        "pod": {"port": 8080},
        "limits": {},
        "pods": 1,
        "asked_pods": "1",
        "split": "file",
        "rows": "same",
        "max_errors": ["0"],
        "format": Spec().to_json(),
        "output": {
            "bucket": "dropscore-output",
            "key": "scored/2026/people & march.csv.scoreout",
            "progress": f"scored/.progress/{event('resolve_request')['attempt_id']}",
        },
        "deadlines": {"start_seconds": 900, "route_seconds": 120, "scoring_seconds": 86_400},
    }


def test_a_cluster_of_parameter_store_is_as_good_as_one_of_the_stack(
    s3: Any, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLUSTERS", "{}")
    monkeypatch.setenv("CLUSTERS_PATH", "/dropscore/clusters")
    entry = {"namespaces": ["gpu"], "route": "pod_ip"}
    aws.client("ssm").put_parameter(Name=f"/dropscore/clusters/{CLUSTER}", Value=json.dumps(entry), Type="String")
    asked = app.handler(drop(s3), Context())
    assert (asked["cluster"], asked["namespace"]) == (CLUSTER, "gpu")
    assert asked["cluster_settings"].items() >= entry.items()


def test_tags_choose_among_what_is_configured(s3: Any, account: str) -> None:
    asked = app.handler(drop(s3, k8snamespace="batch", protocol="mlflow", memory="2Gi"), Context())
    assert (asked["namespace"], asked["protocol"], asked["resources"]["memory"]) == ("batch", "mlflow", "2Gi")


def test_a_file_without_tags_is_scored_as_the_profile_of_its_folder_says(
    s3: Any, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROFILES", "/dropscore/profiles")
    document = {"folders": ["2026/"], "protocol": "mlflow", "port": 9000, "max_in_flight": 1, "k8s_namespace": "batch"}
    aws.client("ssm").put_parameter(
        Name="/dropscore/profiles/people", Value=json.dumps(document), Type="String", Overwrite=True
    )
    asked = app.handler(drop(s3), Context())
    assert (asked["profile"], asked["protocol"], asked["namespace"]) == ("people:1", "mlflow", "batch")
    assert (asked["pod"]["port"], asked["limits"]) == (9000, {"max_in_flight": 1})
    with pytest.raises(ImageNotFound) as refused:
        app.handler(drop(s3, model_image="nothing"), Context())
    assert refused.value.details["profile"] == "people:1"
    with pytest.raises(InvalidTags, match="'person', and there is no such profile"):
        app.handler(drop(s3, profile="person"), Context())


@pytest.mark.parametrize(
    ("tags", "error"),
    [
        ({"model_image": "nothing"}, ImageNotFound),
        ({"model_image": "sas-anomaly:v9"}, ImageNotFound),
        ({"model_image": "docker.io/library/nginx"}, ImageNotAllowed),
        ({"model_image": "No Image"}, InvalidTags),
        ({"eks_cluster": "elsewhere"}, ClusterNotFound),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_is_launched(
    s3: Any, account: str, tags: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        app.handler(drop(s3, **tags), Context())


@pytest.mark.parametrize(
    ("body", "tags", "error", "sentence"),
    [
        (b"", {}, EmptyFile, "is empty"),
        (b"a,b\n", {}, EmptyFile, "no record below its header"),
        (b"a,b\n1,2,3\n", {}, InvalidFile, "Row 1: It has 3 fields"),
        (b"PAR1\x15\x00", {}, InvalidFile, "a Parquet file"),
        (b"a,b\n1,2\n", {"protocol": "mlflow", "exclude": "c"}, InvalidTags, "no such column"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_before_anything_is_launched(
    s3: Any, account: str, body: bytes, tags: dict[str, str], error: type[Exception], sentence: str
) -> None:
    given = drop(s3, **tags)
    source = given["state"]["source"]
    tagging = "&".join(f"{key}={value}" for key, value in tags.items())
    etag = s3.put_object(Bucket=INPUT_BUCKET, Key=source["key"], Body=body, Tagging=tagging)["ETag"].strip('"')
    source |= {"etag": etag, "size": len(body)}
    with pytest.raises(error, match=sentence):
        app.handler(given, Context())


def test_a_cluster_that_is_configured_but_gone_is_refused(s3: Any, account: str) -> None:
    aws.client("eks").delete_cluster(name=CLUSTER)
    with pytest.raises(ClusterNotFound, match="EKS has no cluster"):
        app.handler(drop(s3), Context())


def test_a_file_that_was_deleted_meanwhile_is_gone(s3: Any, account: str) -> None:
    given = drop(s3)
    s3.delete_object(Bucket=INPUT_BUCKET, Key=given["state"]["source"]["key"])
    with pytest.raises(SourceGone):
        app.handler(given, Context())
