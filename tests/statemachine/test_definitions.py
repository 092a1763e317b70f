"""What must hold for every state, so that none is forgotten when one is added."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from scoring import errors
from scoring.cluster import pods, room
from scoring.errors import DropscoreError
from tests.builders import template
from tests.statemachine.definitions import MACHINES, PLACEHOLDER, ROOT, definition, items, states, tasks, text

# Step Functions Developer Guide, "Best practices": the errors of Lambda itself, which pass.
LAMBDA_ERRORS = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
}
KILLED = {"Sandbox.Timedout", "Runtime.ExitError", "Runtime.OutOfMemory"}
# What functions do; the attempts of shards are tried again as that of a file.
ATTEMPT = {name: state for name, state in tasks("attempt").items() if name not in items("attempt")}
ALL_STATES = [(machine, name) for machine in MACHINES for name in states(machine)]


def retried(state: dict[str, Any]) -> set[str]:
    return {error for retrier in state.get("Retry", ()) for error in retrier["ErrorEquals"]}


def caught(state: dict[str, Any]) -> dict[str, str]:
    """Where each error that is caught leads to."""
    return {error: catcher["Next"] for catcher in state.get("Catch", ()) for error in catcher["ErrorEquals"]}


@pytest.mark.parametrize("name", ATTEMPT)
def test_every_function_is_called_again_when_lambda_or_its_time_failed_it(name: str) -> None:
    # A Task that sleeps runs out of its time only when nobody has called.
    late = set() if name == "queue_file" else {"States.Timeout"}
    assert retried(ATTEMPT[name]) >= LAMBDA_ERRORS | KILLED | late | {"AwsThrottled", "ClusterUnreachable"}


@pytest.mark.parametrize("name", ATTEMPT)
def test_every_error_of_every_function_leads_on(name: str) -> None:
    """An execution that dies in a step would leave its pod, and its file without an outcome."""
    after = {
        "persist_error": "tear_down_after_error",
        "tear_down": "scored",
        "tear_down_after_error": "is_error_written",
    }.get(name, "persist_error")
    assert caught(ATTEMPT[name])["States.ALL"] == after
    assert ATTEMPT[name]["Catch"][-1]["ErrorEquals"] == ["States.ALL"], "it must stand alone and last"


@pytest.mark.parametrize("name", ATTEMPT)
def test_what_a_catch_keeps_overwrites_nothing_that_is_needed_later(name: str) -> None:
    kept = {catcher["ResultPath"] for catcher in ATTEMPT[name]["Catch"]}
    assert kept <= {"$.error", "$.lost", "$.full", "$.called", "$.persist_failure", "$.tear_down_failure"}


@pytest.mark.parametrize(("machine", "name"), ALL_STATES)
def test_every_retry_and_catch_says_why(machine: str, name: str) -> None:
    state = states(machine)[name]
    for rule in (*state.get("Retry", ()), *state.get("Catch", ())):
        assert rule["Comment"].endswith(".")


@pytest.mark.parametrize("name", ATTEMPT)
def test_every_retry_spreads_out(name: str) -> None:
    """A hundred files that are throttled together must not come back together."""
    assert all(rule["JitterStrategy"] == "FULL" and rule["BackoffRate"] > 1 for rule in ATTEMPT[name]["Retry"])


@pytest.mark.parametrize("name", [name for name in ATTEMPT if name != "queue_file"])
def test_no_step_may_hang_for_ever(name: str) -> None:
    assert 900 < ATTEMPT[name]["TimeoutSeconds"] <= 1_000, "the longest that a function may take, and little more"


OURS = {name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, DropscoreError)}
OURS |= {kind.__name__: kind for kind in (pods.Leftover, room.NoRoom, room.NoRoomYet)}


def test_every_error_that_is_named_is_one_that_exists() -> None:
    named = {error for state in ATTEMPT.values() for error in retried(state) | caught(state).keys() if "." not in error}
    assert named <= OURS.keys()


def test_every_error_whose_reader_is_told_to_do_nothing_is_tried_again() -> None:
    again = {error for state in ATTEMPT.values() for error in retried(state)}
    assert {name for name, kind in OURS.items() if kind.remedy.startswith("Nothing:")} <= again


def test_a_leftover_is_waited_for_where_it_arises() -> None:
    assert "Leftover" in retried(ATTEMPT["launch_pod"])


def test_whoever_finds_no_room_sleeps_and_looks_again_if_nobody_calls_for_half_a_day() -> None:
    launch, sleep = ATTEMPT["launch_pod"], ATTEMPT["queue_file"]
    assert caught(launch)["NoRoom"] == caught(launch)["NoRoomYet"] == "queue_file"
    assert "NoRoom" not in retried(launch), "each would be billed"
    assert launch["Parameters"]["queues"] is True, "who does not say so is told QuotaExceeded"
    assert caught(sleep)["States.Timeout"] == "launch_pod"
    # One of these looks is two calls: a week has few.
    assert 3_600 < sleep["TimeoutSeconds"] <= 86_400


@pytest.mark.parametrize("name", ["await_pod", "stream_file"])
def test_a_lost_pod_is_replaced_wherever_a_pod_is_used(name: str) -> None:
    assert caught(ATTEMPT[name])["PodLost"] == "count_lost_pod"


def test_every_step_has_the_name_of_its_function() -> None:
    for name, state in ATTEMPT.items():
        function = "tear_down" if name.startswith("tear_down") else name
        called = state["Parameters"].get("FunctionName", state["Resource"])
        assert called == f"${{{function.title().replace('_', '')}Arn}}"
        assert (ROOT / "functions" / function / "app.py").exists()


@pytest.mark.parametrize("name", ATTEMPT)
def test_every_function_gets_the_same_envelope(name: str) -> None:
    whole = ATTEMPT[name]["Parameters"].get("Payload", ATTEMPT[name]["Parameters"])
    given = {key: value for key, value in whole.items() if key not in ("keep_upload", "token.$", "queues")}
    assert given == {
        "state.$": "$",
        "file_id.$": "$.file_id",
        "attempt_id.$": "$$.Execution.Name",
        "execution.$": "$$.Execution.Id",
        "started.$": "$$.Execution.StartTime",
    }


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_is_reached_and_leads_to_one_that_exists(machine: str) -> None:
    whole = definition(machine)
    found, ahead = set(), [whole["StartAt"]]
    while ahead:
        name = ahead.pop()
        if name in found:
            continue
        found.add(name)
        state = whole["States"][name]
        ahead += [rule["Next"] for rule in (*state.get("Choices", ()), *state.get("Catch", ()))]
        ahead += [state[key] for key in ("Next", "Default") if key in state]
        assert state.get("End") or state["Type"] in ("Succeed", "Fail") or "Next" in state or "Default" in state
    assert found == whole["States"].keys()


def test_the_parent_is_one_task_without_a_catch_so_that_redrive_starts_a_fresh_attempt() -> None:
    """A redrive of an execution that ended in a Fail state only fails again."""
    ((_, only),) = definition("score_file")["States"].items()
    assert only["Type"] == "Task"
    assert "Catch" not in only
    assert only["Parameters"]["Name.$"] == "States.UUID()", "a child of a fixed name could not be started twice"
    assert only["Resource"].endswith("startExecution.sync:2")


def test_a_shard_has_one_attempt_even_if_the_answer_to_its_start_is_lost() -> None:
    """StartExecution of a name that runs with the same input answers as it did before."""
    name = items("attempt")["score_shard"]["Parameters"]["Name.$"]
    assert name == "States.Format('{}-{}', $$.Execution.Name, $.shard.number)"


def resources() -> dict[str, Any]:
    found: dict[str, Any] = template()["Resources"]
    return found


def machine_of(machine: str) -> dict[str, Any]:
    uri = f"statemachine/{machine}.asl.json"
    (found,) = (each for each in resources().values() if each.get("Properties", {}).get("DefinitionUri") == uri)
    properties: dict[str, Any] = found["Properties"]
    return properties


@pytest.mark.parametrize("machine", MACHINES)
def test_every_placeholder_is_filled_in_by_the_template_with_what_it_is_named_after(machine: str) -> None:
    substitutions = machine_of(machine)["DefinitionSubstitutions"]
    assert substitutions.keys() == set(PLACEHOLDER.findall(text(machine)))
    for name, value in substitutions.items():
        resource = name.removesuffix("Arn")
        # What an attempt began with, it ends with; what a file begins anew is by what is deployed then.
        assert value == (f"!Ref {resource}.Version" if machine == "attempt" else f"!Ref {resource}Aliaslive")
        assert resources()[resource]["Properties"]["AutoPublishAlias"] == "live"


def test_another_value_of_a_parameter_makes_another_version_of_each_function_that_an_attempt_calls() -> None:
    content = resources()["Settings"]["Properties"]["Content"]
    assert set(re.findall(r"!Ref (\w+)", content)) == template()["Parameters"].keys()
    assert (
        template()["Globals"]["Function"]["Environment"]["Variables"]["SETTINGS_VERSION"]
        == "!Sub ${Settings} ${Release}"
    )
    for name in machine_of("attempt")["DefinitionSubstitutions"]:
        function = resources()[name.removesuffix("Arn")]
        assert function["Properties"]["AutoPublishAliasAllProperties"] is True
        assert function["Properties"]["VersionDescription"] == "!Sub settings ${Settings} ${Release}"
        # For the versions, which have the function's.
        assert (function["UpdateReplacePolicy"], "DeletionPolicy" in function) == ("Retain", False)
    for layer in ("ScoringLayer", "KubernetesLayer"):
        assert resources()[layer]["Properties"]["PublishLambdaVersion"] is True


def test_the_attempts_role_may_call_each_of_its_functions_and_no_other() -> None:
    statements = [one for policy in machine_of("attempt")["Policies"] for one in policy["Statement"]]
    (allowed,) = (one["Resource"] for one in statements if one["Action"] == "lambda:InvokeFunction")
    functions = {name.removesuffix("Arn") for name in machine_of("attempt")["DefinitionSubstitutions"]}
    # All versions: those that an attempt under way began with as well.
    assert set(allowed) == {f"!Sub ${{{name}.Arn}}:*" for name in functions} | {
        f"!GetAtt {name}.Arn" for name in functions
    }
