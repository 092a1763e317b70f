"""Profiles: which one counts for a file, what it may say, and what tags may say above it."""

import json
import re
from typing import Any

import pytest

from scoring.errors import InvalidProfile, InvalidTags
from scoring.intake import profiles, request, schema
from scoring.intake.parameters import Stored
from scoring.intake.profiles import Profile
from scoring.intake.tags import ALIASES
from tests.builders import ROOT, settings

# One of everything that a profile may say.
EVERYTHING: dict[str, Any] = {
    "folders": ["risk/"],
    "locked": ["model_image", "gpu"],
    "model_image": "credit:7",
    "eks_cluster": "dropscore-local",
    "k8s_namespace": "batch",
    "ingress_url": "http://gateway.example.com",
    "protocol": "sagemaker",
    "model_name": "wine",
    "split": "file",
    "rows": "same",
    "max_errors": 20_000,
    "header": "none",
    "delimiter": "tab",
    "decimal": "comma",
    "escape": "backslash",
    "encoding": "latin-1",
    "exclude": "1 3",
    "include": "2",
    "output": "1-2",
    "cpu": 8,
    "memory": "64Gi",
    "gpu": 1,
    "pods": 3,
    "args": ["serve", "--quiet"],
    "command": ["/opt/start"],
    "env": {"OMP_NUM_THREADS": "4"},
    "port": 9000,
    "service_account": "scorer",
    "pull_secrets": ["registry"],
    "run_as_user": 1000,
    "run_as_non_root": False,
    "capabilities": ["SETUID"],
    "read_only_root": True,
    "shm": "1Gi",
    "labels": {"kueue.x-k8s.io/queue-name": "scoring"},
    "annotations": {"example.com/team": "risk & co"},
    "priority_class": "high",
    "runtime_class": "gvisor",
    "node_selector": {"pool": "gpu"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 5}],
    "cpu_limit": "8",
    "ephemeral_storage": "20Gi",
    "max_in_flight": 2,
    "max_batch_bytes": 65_536,
    "max_batch_records": 1,
    "start_seconds": 1_800,
    "scoring_seconds": 600,
}


def stored(**documents: Any) -> dict[str, Stored]:
    """Profiles by name, each in its third version; a text is taken as it is."""
    texts = {name: found if isinstance(found, str) else json.dumps(found) for name, found in documents.items()}
    return {name: Stored(name, 3, text) for name, text in texts.items()}


def profile(**values: Any) -> Profile:
    return profiles.choose(stored(risk=values), "risk", "a.csv")


@pytest.mark.parametrize(
    ("wanted", "path", "name"),
    [
        ("", "loans.csv", ""),
        ("", "risk/loans.csv", "risk"),
        ("", "risk/2026/loans.csv", "risk"),
        ("", "risk/2026/q1/loans.csv", "quarter"),
        ("", "risk", ""),
        ("", "risk-other/loans.csv", ""),
        ("", "Risk/loans.csv", ""),
        ("plain", "loans.csv", "plain"),
        ("plain", "risk/loans.csv", "plain"),
    ],
)
def test_the_tag_chooses_or_else_the_longest_folder(wanted: str, path: str, name: str) -> None:
    known = stored(risk={"folders": ["risk/", "other/"]}, quarter={"folders": ["risk/2026/q1/"]}, plain={})
    assert profiles.choose(known, wanted, path).name == name


def test_a_profile_may_be_for_every_file_that_no_other_is_for() -> None:
    known = stored(all={"folders": [""]}, risk={"folders": ["risk/"]})
    assert [profiles.choose(known, "", path).identity for path in ("a.csv", "risk/a.csv")] == ["all:3", "risk:3"]


@pytest.mark.parametrize(
    ("known", "wanted", "path", "error", "sentence"),
    [
        ({"wine": {}, "risk": {}}, "rsik", "a.csv", InvalidTags, "'rsik', and there is no such profile (risk, wine)"),
        ({}, "risk", "a.csv", InvalidTags, "no such profile (there is none)"),
        (
            {"a": {"folders": ["x/"]}, "b": {"folders": ["y/", "x/"]}},
            "",
            "x/a.csv",
            InvalidProfile,
            "The profile a (version 3) says the folder 'x/', and so does b (version 3).",
        ),
        (
            {"a": {"folders": ["x/"], "locked": ["profile"]}, "b": {}},
            "b",
            "x/a.csv",
            InvalidTags,
            "the profile a (version 3) of the folder 'x/' is locked",
        ),
    ],
)
def test_what_cannot_be_chosen_is_an_error(
    known: dict[str, Any], wanted: str, path: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as refused:
        profiles.choose(stored(**known), wanted, path)
    assert sentence in str(json.loads(str(refused.value))["summary"])


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "{",
        "[]",
        '"x"',
        '{"cpu": "1", "cpu": "2"}',
        '{"folders": "x/"}',
        '{"folders": ["/x/"]}',
        '{"locked": ["port"]}',
    ],
)
def test_a_profile_whose_folders_cannot_be_told_stops_the_files_that_may_be_its_own(broken: str) -> None:
    """Scoring them by the stack's defaults would be a guess."""
    with pytest.raises(InvalidProfile, match=r"The profile other \(version 3\) is"):
        profiles.choose(stored(other=broken, risk={}), "", "a.csv")


def test_a_profile_that_is_broken_otherwise_stops_its_own_files_alone() -> None:
    known = stored(risk={"folders": ["risk/"], "cpus": 1}, wine={"folders": ["wine/"]})
    assert profiles.choose(known, "", "wine/a.csv").name == "wine"
    with pytest.raises(InvalidProfile) as refused:
        profiles.choose(known, "", "risk/a.csv")
    assert refused.value.summary == "The profile risk (version 3) is broken: cpus is no key that is known."
    assert refused.value.details == {"profile": "risk:3"}


def test_a_profile_may_say_everything_that_is_in_the_schema_and_nothing_else() -> None:
    assert EVERYTHING.keys() == schema.SCHEMA["properties"].keys()
    assert profile(**EVERYTHING).values == EVERYTHING
    assert {*schema.TAGS} == ALIASES.keys() - {"profile"}


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("cpu", "0", "cpu is '0', which does not match"),
        ("cpu", 0, "cpu is 0; it must be at least 1"),
        ("cpu", True, "cpu must be a text or a whole number, not True"),
        ("cpu", None, "cpu must be a text or a whole number, not None"),
        ("memory", "1GB", "memory is '1GB', which does not match"),
        ("memory", "1Gi\n", "memory is '1Gi\\n', which does not match"),
        ("protocol", "rest", "protocol is 'rest'; it must be one of auto, sas"),
        ("model_image", " ", "model_image is ' ', which does not match"),
        ("max_errors", "few", "max_errors is 'few', which does not match"),
        ("port", "8080", "port must be a whole number, not '8080'"),
        ("port", 65_536, "port is 65536; it must be at least 1 and at most 65535"),
        ("run_as_non_root", "false", "run_as_non_root must be true or false, not 'false'"),
        ("args", "serve", "args must be a list, not 'serve'"),
        ("args", [1], "args[0] must be a text, not 1"),
        ("command", [], "command must not be empty"),
        ("env", {"A": 1}, "env.A must be a text, not 1"),
        ("env", {"A=B": "1"}, "env.A=B cannot be set: the name does not match"),
        ("capabilities", ["SYS_ADMIN"], "capabilities[0] is 'SYS_ADMIN'; it must be one of AUDIT_WRITE"),
        ("capabilities", ["CHOWN", "CHOWN"], "capabilities says 'CHOWN' twice"),
        ("labels", {"dropscore.io/attempt": "x"}, "labels.dropscore.io/attempt cannot be set"),
        ("labels", {"app.kubernetes.io/managed-by": "x"}, "labels.app.kubernetes.io/managed-by cannot be set"),
        ("annotations", {"dropscore.io/execution": "x"}, "annotations.dropscore.io/execution cannot be set"),
        ("tolerations", [{"key": "a", "op": "Exists"}], "tolerations[0].op is no key that is known"),
        ("start_seconds", 29, "start_seconds is 29; it must be at least 30 and at most 43200"),
        ("scoring_seconds", 518_401, "scoring_seconds is 518401; it must be at least 60 and at most 518400"),
        ("max_in_flight", 0, "max_in_flight is 0; it must be at least 1"),
        ("folders", ["a/", "a/"], "folders says 'a/' twice"),
        ("folders", ["a"], "folders[0] is 'a', which does not match"),
        ("podz", 2, "podz is no key that is known"),
    ],
)
def test_a_value_that_is_not_what_its_key_says_is_named(key: str, value: Any, problem: str) -> None:
    with pytest.raises(InvalidProfile) as refused:
        profile(**{key: value})
    assert refused.value.summary.startswith(f"The profile risk (version 3) is broken: {problem}")


def test_the_schema_in_the_documentation_is_the_one_that_counts() -> None:
    """`make profile-schema` writes it."""
    assert json.loads((ROOT / "docs/profile.schema.json").read_text()) == schema.SCHEMA


def test_the_file_counts_before_the_profile_and_the_profile_before_the_stack() -> None:
    given = profile(model_image="credit:7", protocol="mlflow", memory="2Gi", gpu=0, exclude="id")
    wanted = request.from_tags({"modelimagename": "credit:8"}, settings(), given)
    assert (wanted.model_image, wanted.protocol) == ("credit:8", "mlflow")
    assert wanted.resources == {"cpu": "500m", "memory": "2Gi"}
    assert wanted.reading == {"exclude": "id"}


def test_a_profile_is_not_held_within_what_tags_may_ask_for_but_tags_above_it_are() -> None:
    given = profile(cpu=8, memory="64Gi", gpu=1, max_errors=20_000, protocol="mlflow", cpu_limit=8)
    wanted = request.from_tags({}, settings(), given)
    assert wanted.resources == {"cpu": "8", "memory": "64Gi", "gpu": "1", "cpu_limit": "8"}
    assert wanted.max_errors == ("20000",)
    for tag, value in (("cpu", "5"), ("memory", "17Gi"), ("gpu", "1"), ("max_errors", "10001")):
        with pytest.raises(InvalidTags, match=f"The tag {tag} asks for {value}; at most"):
            request.from_tags({tag: value}, settings(), given)


def test_what_is_locked_may_be_said_again() -> None:
    known = stored(risk={"folders": ["risk/"], "locked": ["profile", "exclude"]})
    given = profiles.choose(known, "risk", "risk/a.csv")
    assert given.name == "risk"
    tags = {"profile": "risk", "protocol": "mlflow", "include": "income"}
    assert request.from_tags(tags, settings(), given).reading == {"include": "income"}, "it says nothing to exclude"
    with pytest.raises(InvalidTags, match="has locked exclude"):
        request.from_tags({"exclude": "id"}, settings(), given)


@pytest.mark.parametrize("tags", [{"model_image": "other"}, {"modelimagename": "other"}, {"gpu": "0"}])
def test_what_a_profile_has_locked_tags_may_not_change(tags: dict[str, str]) -> None:
    given = profile(model_image="credit:7", locked=["model_image", "gpu"])
    with pytest.raises(InvalidTags, match=r"but the profile risk \(version 3\) has locked") as refused:
        request.from_tags(tags, settings(max_gpu="1"), given)
    assert "Leave the tag" in refused.value.remedy
    assert request.from_tags({"model_image": "credit:7", "cpu": "1"}, settings(), given).model_image == "credit:7"


def test_a_tag_that_includes_columns_counts_before_a_profile_that_excludes_some() -> None:
    """They are two ways to say one thing."""
    given = profile(protocol="mlflow", exclude="id")
    assert request.from_tags({"include": "income"}, settings(), given).reading == {"include": "income"}
    with pytest.raises(InvalidTags, match=r"The tag include is 'income', but the profile .* has locked exclude"):
        request.from_tags({"include": "income"}, settings(), profile(exclude="id", locked=["exclude"]))


def test_a_cpu_above_the_profiles_limit_is_refused_before_the_cluster_does() -> None:
    with pytest.raises(InvalidTags, match="The tag cpu asks for 2; cpu_limit is 1"):
        request.from_tags({"cpu": "2"}, settings(), profile(cpu_limit=1))


def test_what_a_profile_says_travels_in_the_request() -> None:
    everything = profile(**EVERYTHING | {"protocol": "oip"})
    asked = request.to_json(request.from_tags({}, settings(), everything), "i@sha256:0", {}, {}, settings())
    assert asked["profile"] == "risk:3"
    assert asked["limits"] == {"max_in_flight": 2, "max_batch_bytes": 65_536, "max_batch_records": 1}
    assert asked["deadlines"] == {"start_seconds": 1_800, "route_seconds": 120, "scoring_seconds": 600}
    assert asked["resources"]["ephemeral_storage"] == "20Gi"
    assert asked["pod"] == {key: EVERYTHING[key] for key in schema.POD} | {"env": asked["pod"]["env"]}
    assert asked["model_name"] == "wine"
    assert asked["pod"]["env"].items() >= EVERYTHING["env"].items()


@pytest.mark.parametrize(
    ("tags", "values", "pod"),
    [
        ({"protocol": "sas"}, {}, {"port": 8080}),
        (
            {"protocol": "sagemaker"},
            {},
            {
                "port": 8080,
                "args": ["serve"],
                "env": {"SAGEMAKER_BATCH": "true", "SAGEMAKER_BIND_TO_PORT": "8080"},
            },
        ),
        (
            {"protocol": "sagemaker"},
            {"port": 9000, "args": [], "env": {"SAGEMAKER_BATCH": "false", "A": "b"}},
            {
                "port": 9000,
                "args": [],
                "env": {"SAGEMAKER_BATCH": "false", "SAGEMAKER_BIND_TO_PORT": "9000", "A": "b"},
            },
        ),
        ({"protocol": "oip"}, {}, {"port": 8080}),
        (
            {"protocol": "auto"},
            {"port": 9000},
            {
                "port": 9000,
                "env": {"SAGEMAKER_BATCH": "true", "SAGEMAKER_BIND_TO_PORT": "9000", "MLFLOW_MODELS_WORKERS": "1"},
            },
        ),
        ({"protocol": "mlflow"}, {}, {"port": 8080, "env": {"MLFLOW_MODELS_WORKERS": "1"}}),
        ({"protocol": "mlflow", "cpu": "2500m"}, {}, {"port": 8080, "env": {"MLFLOW_MODELS_WORKERS": "2"}}),
        ({"protocol": "sas"}, {"env": {"A": "b"}}, {"port": 8080, "env": {"A": "b"}}),
    ],
)
def test_a_container_is_started_as_its_protocol_expects_unless_the_profile_says_otherwise(
    tags: dict[str, str], values: dict[str, Any], pod: dict[str, Any]
) -> None:
    assert request.from_tags(tags, settings(), profile(**values)).pod == pod


def test_a_command_of_the_profiles_own_is_not_given_the_protocols_arguments() -> None:
    given = profile(protocol="sagemaker", command=["/start"])
    assert "args" not in request.from_tags({}, settings(), given).pod


def test_an_error_tells_of_the_profile_that_may_be_the_reason() -> None:
    with pytest.raises(InvalidTags) as refused, profile(eks_cluster="x").named():
        raise InvalidTags("The tag exclude says id, but the file has no such column.")
    told = json.loads(str(refused.value))
    assert told["summary"].endswith("(What the tags do not say, the profile risk (version 3) says.)")
    assert told["details"] == {"profile": "risk:3"}


@pytest.mark.parametrize("page", ["docs/files.md", "docs/containers.md"])
def test_every_profile_in_the_documentation_is_one(page: str) -> None:
    text = (ROOT / page).read_text()
    shown = re.findall(r"```json\n(\{.*?\})\n```", text, re.DOTALL) + re.findall(
        r"--value '(\{.*?\})'", text, re.DOTALL
    )
    assert shown
    for document in shown:
        assert profiles.choose(stored(shown=document), "shown", "a.csv").name == "shown"


def test_every_key_is_in_the_documentation() -> None:
    text = (ROOT / "docs/files.md").read_text()
    assert not [key for key in schema.SCHEMA["properties"] if f"`{key}`" not in text and f'"{key}"' not in text]
