"""Settings out of the environment: what is taken, and what is refused at once."""

import json
import re
from typing import Any

import pytest

from scoring import settings as settings_module
from scoring.errors import InvalidSettings
from scoring.settings import ClusterSettings, Settings
from tests.builders import CLUSTER, ENVIRONMENT, GATEWAY_URL, ROOT, parameter_takes, settings, template


def test_what_template_yaml_sets_is_read() -> None:
    found = settings()
    assert found.clusters[CLUSTER] == ClusterSettings(CLUSTER, ("dropscore", "batch"), "gateway", GATEWAY_URL)
    assert found.allowed_model_images == ("000000000000.dkr.ecr.us-east-1.amazonaws.com/*",)
    assert found.tag_wait_seconds == 0


def test_every_variable_is_set_by_the_template() -> None:
    """A field that the template forgot would keep its default for ever."""
    template = (ROOT / "template.yaml").read_text()
    missing = [name for name in Settings.__dataclass_fields__ if f"        {name.upper()}: " not in template]
    assert not missing


def test_the_tests_go_by_what_the_template_ships() -> None:
    parameters = template()["Parameters"]
    for name in ("InputSuffix", "IgnoredFiles", "MaxErrors"):
        variable = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).upper()
        assert ENVIRONMENT[variable] == parameters[name]["Default"]
        assert parameter_takes(name, parameters[name]["Default"])


LIMITED = {"StartScoring": "StartConcurrency", "StreamFile": "StreamConcurrency"}


@pytest.mark.parametrize("parameter", LIMITED.values())
def test_functions_share_the_accounts_concurrency_unless_the_stack_says_how_much_is_their_own(parameter: str) -> None:
    """A new account has too little to reserve any; a reservation of 0 would stop every file."""
    assert template()["Parameters"][parameter]["Default"] == ""
    assert [text for text in ("", "0", "1", "50", "-1", "05", "1.5", "ten") if parameter_takes(parameter, text)] == [
        "",
        "1",
        "50",
    ]


def test_only_what_a_crowd_may_call_at_once_has_a_concurrency_of_its_own() -> None:
    limited = {
        name for name, one in template()["Resources"].items() if "ReservedConcurrentExecutions" in one["Properties"]
    }
    assert limited == LIMITED.keys()


def test_an_event_that_finds_no_room_is_tried_for_as_long_as_lambda_tries() -> None:
    """Lambda Developer Guide, "Configuring error handling settings for asynchronous invocations": six hours."""
    config = template()["Resources"]["StartScoring"]["Properties"]["EventInvokeConfig"]
    assert (config["MaximumEventAgeInSeconds"], config["MaximumRetryAttempts"]) == (6 * 3_600, 2)
    assert config["DestinationConfig"]["OnFailure"]["Destination"] == "!GetAtt NotStarted.Arn"


def test_what_is_not_set_keeps_its_default() -> None:
    found = Settings.from_environ({"MAX_CPU": "", "DEFAULT_CPU": "2"})
    assert (found.max_cpu, found.default_cpu, found.scoring_deadline_seconds) == ("4", "2", 86_400)


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = settings_module.current()
    monkeypatch.setenv("DEFAULT_CPU", "3")
    assert settings_module.current() is first


def test_the_allow_list_is_split_at_commas() -> None:
    assert settings(allowed_model_images=" a/* , b/c,,").allowed_model_images == ("a/*", "b/c")


@pytest.mark.parametrize(
    ("text", "suffixes"),
    [(".csv", (".csv",)), (".CSV, .csv.GZ", (".csv", ".csv.gz"))],
)
def test_suffixes_are_a_list_in_lower_case(text: str, suffixes: tuple[str, ...]) -> None:
    assert settings(input_suffix=text).input_suffix == suffixes
    assert parameter_takes("InputSuffix", text)


@pytest.mark.parametrize("text", ["", ".csv,", ",.csv", ".csv,,.jsonl", "a/b.csv", "*.csv", ". csv"])
def test_the_stack_is_not_deployed_with_suffixes_that_no_name_can_have(text: str) -> None:
    assert not parameter_takes("InputSuffix", text)


@pytest.mark.parametrize(
    ("text", "patterns"),
    [("", ()), ("_*", ("_*",)), ("Thumbs.db, ~$*, .spark-*/", ("Thumbs.db", "~$*", ".spark-*/"))],
)
def test_ignored_files_are_patterns_and_may_be_none(text: str, patterns: tuple[str, ...]) -> None:
    assert settings(ignored_files=text).ignored_files == patterns
    assert parameter_takes("IgnoredFiles", text)


@pytest.mark.parametrize("text", ["/", "_temporary/0", "/_*", "_*,"])
def test_the_stack_is_not_deployed_with_patterns_that_match_no_name(text: str) -> None:
    assert not parameter_takes("IgnoredFiles", text)


@pytest.mark.parametrize("text", ["0", "10000", "5%", "0.1%"])
def test_a_limit_of_errors_is_a_number_or_a_percentage(text: str) -> None:
    assert settings(max_errors=text).max_errors == text
    assert parameter_takes("MaxErrors", text)


@pytest.mark.parametrize("text", ["-1", "0.1", ".1%", "1.%", "10 %", "%", "ten", "²"])
def test_any_other_limit_of_errors_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettings, match="MAX_ERRORS must be a number of records or a percentage"):
        settings(max_errors=text)
    assert not parameter_takes("MaxErrors", text)


@pytest.mark.parametrize("output_prefix", ["incoming/", "incoming/scored/"])
def test_output_under_the_input_prefix_is_refused(output_prefix: str) -> None:
    with pytest.raises(InvalidSettings, match="would be scored again"):
        settings(output_bucket="dropscore-input", output_prefix=output_prefix)


def test_output_beside_the_input_prefix_is_fine() -> None:
    assert settings(output_bucket="dropscore-input").output_prefix == "scored/"


def test_a_number_must_be_one() -> None:
    with pytest.raises(InvalidSettings, match="MAX_GPU must be a whole number, not 'two'"):
        settings(max_gpu="two")


@pytest.mark.parametrize(
    ("clusters", "sentence"),
    [
        ("{", "Clusters is not JSON"),
        ("[]", "must be a JSON object"),
        ({"c": []}, "the entry of 'c' must be an object"),
        ({"c": {"namespaces": ["a"], "rote": "gateway"}}, "keys out of"),
        ({"c": {"name": "d", "namespaces": ["a"], "route": "pod_ip"}}, "keys out of"),
        ({"c": {"route": "pod_ip"}}, "needs `namespaces`"),
        ({"c": {"namespaces": [], "route": "pod_ip"}}, "needs `namespaces`"),
        ({"c": {"namespaces": "default", "route": "pod_ip"}}, "needs `namespaces`"),
        ({"c": {"namespaces": ["a"], "route": "tunnel"}}, "must be one of gateway, ingress, pod_ip, not 'tunnel'"),
        ({"c": {"namespaces": ["a"]}}, "needs `url`"),
        ({"c": {"namespaces": ["a"], "route": "ingress", "url": "example.com"}}, "needs `url`"),
        (
            {
                "c": {
                    "namespaces": ["a"],
                    "route": "ingress",
                    "url": "http://10.0.0.7",
                    "ingress": {"host": "m.example"},
                }
            },
            "so `url` must name that host",
        ),
        *(
            ({"c": {"namespaces": ["a"], "route": "pod_ip", "queue": queue}}, "must be the name of a LocalQueue")
            for queue in ("Risk", "a_b", "-a", "a-", "a..b", "a\n", "x" * 64, None, 7, ["a"])
        ),
    ],
)
def test_a_wrong_cluster_is_refused_with_the_reason(clusters: Any, sentence: str) -> None:
    text = clusters if isinstance(clusters, str) else json.dumps(clusters)
    with pytest.raises(InvalidSettings) as refused:
        settings(clusters=text)
    assert sentence in refused.value.summary


def test_a_cluster_reached_by_pod_ip_needs_no_url() -> None:
    found = ClusterSettings.from_json("c", {"namespaces": ["a"], "route": "pod_ip", "tolerations": [{"key": "gpu"}]})
    assert (found.url, found.tolerations) == ("", ({"key": "gpu"},))


def test_the_slash_at_the_end_of_a_url_goes() -> None:
    assert ClusterSettings.from_json("c", {"namespaces": ["a"], "url": "https://x/"}).url == "https://x"


@pytest.mark.parametrize("queue", ["", "a", "risk-2", "team.risk", "x" * 63])
def test_a_clusters_queue_is_the_name_of_an_object_of_kueues(queue: str) -> None:
    entry = {"namespaces": ["a"], "route": "pod_ip", "queue": queue}
    assert settings(clusters=json.dumps({"c": entry})).clusters["c"].queue == queue
