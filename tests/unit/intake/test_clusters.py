"""Which cluster a name means, wherever it is configured."""

import json
from typing import Any

import pytest

from scoring.errors import ClusterNotFound, InvalidSettings
from scoring.intake import clusters, request
from scoring.intake.parameters import Stored
from scoring.settings import ClusterSettings
from tests.builders import CLUSTER, GATEWAY_URL, settings

ENTRY = {"namespaces": ["gpu"], "route": "pod_ip", "tolerations": [{"key": "gpu"}]}


def stored(**entries: Any) -> dict[str, Stored]:
    texts = {name: entry if isinstance(entry, str) else json.dumps(entry) for name, entry in entries.items()}
    return {name: Stored(name, 4, text) for name, text in texts.items()}


def test_a_cluster_is_found_in_either_place() -> None:
    known = stored(other=ENTRY)
    assert clusters.find(CLUSTER, settings(), known).url == GATEWAY_URL
    assert clusters.find("other", settings(), known) == ClusterSettings.from_json("other", ENTRY)
    wanted = request.from_tags({"eks_cluster": "other"}, settings(), stored_clusters=known)
    assert (wanted.cluster.name, wanted.namespace) == ("other", "gpu")


def test_an_unknown_cluster_is_told_with_those_of_both_places() -> None:
    with pytest.raises(ClusterNotFound, match=r"\(dropscore-local, other\)"):
        clusters.find("elsewhere", settings(), stored(other=ENTRY))


@pytest.mark.parametrize(
    ("name", "entry", "sentence"),
    [
        ("Other", "{", "The parameter /dropscore/clusters/Other (version 4) is not JSON"),
        ("other", {"route": "pod_ip"}, "The parameter /dropscore/clusters/other (version 4) is broken."),
        (CLUSTER, ENTRY, "is in the parameter Clusters of the stack and in the parameter /dropscore/clusters/"),
    ],
)
def test_a_broken_cluster_is_told_by_its_parameter_and_stops_no_other(name: str, entry: Any, sentence: str) -> None:
    configured, known = settings(clusters_path="/dropscore/clusters"), stored(**{name: entry, "third": ENTRY})
    with pytest.raises(InvalidSettings) as refused:
        clusters.find(name, configured, known)
    assert sentence in refused.value.summary
    assert clusters.find("third", configured, known).name == "third"


def test_the_request_bears_the_cluster_as_it_is_now() -> None:
    """No later function has to read where clusters are configured."""
    for entry in (
        ENTRY,
        {"namespaces": ["a", "b"], "url": GATEWAY_URL, "ingress": {"class_name": "alb"}, "run_as_non_root": False},
        ENTRY | {"queue": "risk"},
    ):
        found = ClusterSettings.from_json("other", entry)
        asked = json.loads(json.dumps({"cluster": "other", "cluster_settings": found.to_json()}))
        assert clusters.of_request(asked) == found


def test_an_attempt_from_before_an_update_of_the_stack_goes_by_the_stacks_settings() -> None:
    assert clusters.of_request({"cluster": CLUSTER}) == settings().clusters[CLUSTER]


def test_an_attempt_whose_cluster_has_moved_to_parameter_store_meanwhile_is_to_be_redriven() -> None:
    """No later function may read there."""
    with pytest.raises(ClusterNotFound, match="has no 'other' any more") as refused:
        clusters.of_request({"cluster": "other"})
    assert "Redrive the execution of score_file" in refused.value.remedy
