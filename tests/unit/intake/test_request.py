"""Tags and settings → the request: each tag by itself, none of them trusted."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.errors import ClusterNotFound, DropscoreError, InvalidTags, NamespaceNotAllowed
from scoring.intake import request
from scoring.intake import state as held
from scoring.intake.quantities import quantity
from scoring.intake.tags import ALIASES
from tests.builders import CLUSTER, GATEWAY_URL, settings

OTHER = {"namespaces": ["gpu"], "route": "pod_ip"}
CLUSTERS = json.dumps(
    {CLUSTER: {"namespaces": ["dropscore", "batch"], "url": GATEWAY_URL}, "other": OTHER},
)


def test_a_file_without_tags_gets_the_defaults() -> None:
    wanted = request.from_tags({}, settings())
    assert (wanted.model_image, wanted.cluster.name, wanted.namespace) == ("sas-anomaly", CLUSTER, "dropscore")
    assert (wanted.protocol, wanted.resources) == ("sas", {"cpu": "500m", "memory": "1Gi"})
    assert (wanted.split, wanted.rows, wanted.max_errors, wanted.reading) == ("file", "same", ("0",), {})


@pytest.mark.parametrize(
    ("tags", "field", "value"),
    [
        ({"model_image": "credit:3"}, "model_image", "credit:3"),
        ({"modelimagename": "credit:3"}, "model_image", "credit:3"),
        ({"k8s_namespace": "batch"}, "namespace", "batch"),
        ({"k8snamespace": "batch"}, "namespace", "batch"),
        ({"protocol": "mlflow"}, "protocol", "mlflow"),
        ({"protocol": "oip"}, "protocol", "oip"),
        ({"protocol": "auto"}, "protocol", "auto"),
        ({"split": "rows"}, "split", "rows"),
        ({"split": "file"}, "split", "file"),
        ({"rows": "any"}, "rows", "any"),
        ({"delimiter": "tab"}, "reading", {"delimiter": "tab"}),
        (
            {"header": "none", "decimal": "comma", "escape": "double", "encoding": "cp1252"},
            "reading",
            {"header": "none", "decimal": "comma", "escape": "double", "encoding": "cp1252"},
        ),
        ({"cpu": "2"}, "resources", {"cpu": "2", "memory": "1Gi"}),
        ({"memory": "512Mi"}, "resources", {"cpu": "500m", "memory": "512Mi"}),
        ({"gpu": "01"}, "resources", {"cpu": "500m", "memory": "1Gi", "gpu": "1"}),
        ({"gpu": "0"}, "resources", {"cpu": "500m", "memory": "1Gi"}),
        ({"ingress_url": f"{GATEWAY_URL}/"}, "namespace", "dropscore"),
        ({"k8singressurl": GATEWAY_URL}, "namespace", "dropscore"),
        ({"owner": "risk", "model_image": " credit "}, "model_image", "credit"),
        ({"model_image": "  ", "modelimagename": "credit"}, "model_image", "credit"),
    ],
)
def test_each_tag_is_taken_under_either_name_and_the_rest_falls_back(
    tags: dict[str, str], field: str, value: object
) -> None:
    configured = settings(max_gpu="2")
    wanted = request.from_tags(tags, configured)
    assert getattr(wanted, field) == value
    others = {
        "model_image",
        "cluster",
        "namespace",
        "protocol",
        "model_name",
        "split",
        "rows",
        "max_errors",
        "reading",
        "resources",
    } - {field}
    defaults = request.from_tags({}, configured)
    assert all(getattr(wanted, other) == getattr(defaults, other) for other in others)


@pytest.mark.parametrize("tag", ["eks_cluster", "k8scluster"])
def test_another_cluster_brings_its_own_first_namespace(tag: str) -> None:
    wanted = request.from_tags({tag: "other"}, settings(clusters=CLUSTERS))
    assert (wanted.cluster.name, wanted.namespace) == ("other", "gpu")


def test_both_names_of_a_tag_may_be_there_if_they_agree() -> None:
    agreed = {"model_image": "a", "modelimagename": "a"}
    assert request.from_tags(agreed, settings()).model_image == "a"
    with pytest.raises(InvalidTags, match="model_image and modelimagename mean the same but differ"):
        request.from_tags(agreed | {"modelimagename": "b"}, settings())


@pytest.mark.parametrize(
    ("tags", "error", "sentence"),
    [
        ({"eks_cluster": "elsewhere"}, ClusterNotFound, "'elsewhere' is not one that dropscore is set up for"),
        ({"k8s_namespace": "kube-system"}, NamespaceNotAllowed, "(dropscore, batch are)"),
        ({"k8s_namespace": "../default"}, NamespaceNotAllowed, "not open to dropscore"),
        ({"ingress_url": "http://attacker.example.com"}, InvalidTags, f"is reached at {GATEWAY_URL}"),
        ({"ingress_url": f"{GATEWAY_URL}.attacker.example.com"}, InvalidTags, "The tag ingress_url is"),
        ({"eks_cluster": "other", "ingress_url": GATEWAY_URL}, InvalidTags, "is reached at its pods"),
        ({"protocol": "SAS"}, InvalidTags, "must be one of auto, sas, sagemaker, mlflow, oip"),
        ({"protocol": "oip", "model_name": "../admin"}, InvalidTags, "must be letters, digits, and _ . -"),
        ({"split": "rows", "model_name": ".."}, InvalidTags, "no dot at its beginning"),
        ({"model_name": "wine"}, InvalidTags, "each call of a model takes a batch"),
        ({"split": "rows", "rows": "any", "model_name": "wine"}, InvalidTags, "says nothing of how its script ended"),
        ({"protocol": "mlflow", "model_name": "wine"}, InvalidTags, "of the protocol mlflow has one model"),
        ({"split": "columns"}, InvalidTags, "The tag split is 'columns'; it must be file or rows, or left out"),
        ({"delimiter": ";"}, InvalidTags, "must be comma or semicolon or tab or pipe"),
        ({"header": "yes"}, InvalidTags, "must be first or none"),
        ({"exclude": "id"}, InvalidTags, "a sas container gets the file whole"),
        ({"max_errors": "1"}, InvalidTags, "a sas container gets the file whole"),
        ({"protocol": "auto", "rows": "any", "max_errors": "1"}, InvalidTags, "no row belongs to a record"),
        ({"split": "rows", "rows": "any", "output": "1"}, InvalidTags, "no row belongs to a record"),
        ({"protocol": "mlflow", "rows": "any"}, InvalidTags, "answers each record"),
        ({"protocol": "mlflow", "max_errors": "few"}, InvalidTags, "write a number of records, or a share"),
        ({"protocol": "mlflow", "max_errors": "10001"}, InvalidTags, "at most 10000 are allowed"),
        ({"cpu": "4001m"}, InvalidTags, "at most 4 is allowed"),
        ({"cpu": "0"}, InvalidTags, "The tag cpu is '0'"),
        ({"cpu": "-1"}, InvalidTags, "write it as Kubernetes does"),
        ({"cpu": "1e3"}, InvalidTags, "write it as Kubernetes does"),
        ({"cpu": "٢"}, InvalidTags, "write it as Kubernetes does"),
        ({"memory": "17Gi"}, InvalidTags, "at most 16Gi is allowed"),
        ({"memory": "18G"}, InvalidTags, "at most 16Gi is allowed"),
        ({"memory": "1GB"}, InvalidTags, "write it as Kubernetes does"),
        ({"gpu": "1"}, InvalidTags, "at most 0 are allowed"),
        ({"gpu": "1.5"}, InvalidTags, "must be a whole number"),
        ({"gpu": "-1"}, InvalidTags, "must be a whole number"),
        ({"gpu": "²"}, InvalidTags, "must be a whole number"),
    ],
)
def test_what_a_tag_may_not_ask_for_is_refused_with_the_reason(
    tags: dict[str, str], error: type[DropscoreError], sentence: str
) -> None:
    with pytest.raises(error) as refused:
        request.from_tags(tags, settings(clusters=CLUSTERS))
    assert sentence in refused.value.summary


def test_a_file_without_an_image_and_without_a_default_is_told_to_name_one() -> None:
    with pytest.raises(InvalidTags, match="no tag model_image"):
        request.from_tags({}, settings(default_model_image=""))


@pytest.mark.parametrize("tags", [{"exclude": "id"}, {"max_errors": "1"}, {"rows": "any"}, {"model_name": "wine"}])
def test_what_depends_on_a_protocol_that_is_not_known_yet_is_left_to_whoever_finds_it(tags: dict[str, str]) -> None:
    assert request.from_tags({"protocol": "auto", **tags}, settings()).protocol == "auto"


def test_the_request_of_a_state_bears_the_protocol_that_was_found() -> None:
    asked = {"protocol": "auto", "split": "file"}
    assert held.request({"request": asked}) == asked
    found = {"request": asked, "pod": {"endpoint": {"status": "READY", "protocol": "mlflow"}}}
    assert held.request(found) == {"protocol": "mlflow", "split": "file"}


@given(st.dictionaries(st.sampled_from(sorted(ALIASES)), st.text(max_size=256)))
def test_no_value_of_a_tag_does_more_than_choose_or_fail_with_a_name(tags: dict[str, str]) -> None:
    configured = settings(clusters=CLUSTERS, max_gpu="2")
    try:
        wanted = request.from_tags(tags, configured)
    except DropscoreError:
        return
    assert wanted.cluster is configured.clusters[wanted.cluster.name]
    assert wanted.namespace in wanted.cluster.namespaces
    most = {"cpu": 4, "memory": 16 * 2**30, "gpu": 2}
    for name, text in wanted.resources.items():
        amount = quantity(text)
        assert amount is not None
        assert 0 < amount <= most[name]


@pytest.mark.parametrize(
    ("tag", "stack", "limits"),
    [
        ("0", "10000", ("0",)),
        ("5", "10000", ("5",)),
        ("0.1%", "1%", ("0.1%",)),
        ("0.1%", "10000", ("0.1%", "10000")),
        ("7", "1%", ("7", "1%")),
        ("0", "1%", ("0",)),
    ],
)
def test_the_stacks_limit_counts_where_only_the_files_size_can_tell_which_is_less(
    tag: str, stack: str, limits: tuple[str, ...]
) -> None:
    tags = {"protocol": "mlflow", "max_errors": tag}
    assert request.from_tags(tags, settings(max_errors=stack)).max_errors == limits


@pytest.mark.parametrize(
    ("text", "amount"),
    [("500m", "0.5"), ("2", 2), ("1.5Gi", 1_610_612_736), ("1k", 1000), ("3Ti", 3 * 2**40), ("1T", 10**12)],
)
def test_quantities_are_read_as_kubernetes_writes_them(text: str, amount: str | int) -> None:
    assert quantity(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "1,5", "1e9", "0x10", "1\n"])
def test_other_text_is_no_quantity(text: str) -> None:
    assert quantity(text) is None


def test_the_request_of_the_state_holds_all_that_the_later_steps_need() -> None:
    configured = settings(scoring_deadline_seconds="60")
    output = {"bucket": "b", "key": "k"}
    assert request.to_json(
        request.from_tags({"gpu": "1"}, settings(max_gpu="1")), "r/i@sha256:0", output, {"kind": "csv"}, configured
    ) == {
        "image": "r/i@sha256:0",
        "profile": "",
        "cluster": CLUSTER,
        "cluster_settings": configured.clusters[CLUSTER].to_json(),
        "namespace": "dropscore",
        "protocol": "sas",
        "model_name": "",
        "split": "file",
        "rows": "same",
        "max_errors": ["0"],
        "format": {"kind": "csv"},
        "resources": {"cpu": "500m", "memory": "1Gi", "gpu": "1"},
        "pod": {"port": 8080},
        "limits": {},
        "pods": 1,
        "asked_pods": "1",
        "output": output,
        "deadlines": {"start_seconds": 900, "route_seconds": 120, "scoring_seconds": 60},
    }
