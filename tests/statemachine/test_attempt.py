"""The way of a file through its attempt, path by path; each test's case is in mocks.json."""

from __future__ import annotations

import pytest

from scoring.outcome import history
from tests.statemachine.conftest import CASES, MOCKS, Outcome, Run
from tests.statemachine.definitions import definition, items, states, tasks

UP_TO_A_POD = ["resolve_request", "launch_pod", "is_pod_ready"]
LOOK_AGAIN = ["wait_for_pod", "await_pod", "is_pod_ready"]
SCORED = ["stream_file", "is_file_scored", "persist_output"]
TO_AN_OUTPUT = ["tear_down"]
TO_AN_ERROR = ["persist_error", "tear_down_after_error", "is_error_written", "failed"]
AFTER_A_LOSS = [
    "count_lost_pod",
    "may_launch_again",
    "tear_down_lost_pod",
    "forget_call",
    "launch_pod",
    "is_pod_ready",
]


def succeeded(outcome: Outcome) -> None:
    assert (outcome.status, outcome.error) == ("SUCCEEDED", "")
    assert outcome.output["output"] == {"uri": "s3://out/a.csv.scoreout", "rows": 2}


def failed(outcome: Outcome) -> None:
    """With the words of the `.error`, which name it."""
    assert outcome.status == "FAILED"
    assert (outcome.error, outcome.cause) == ("PodCrashed", "It crashed. Repair it. See s3://out/a.csv.error")


def test_a_file_goes_through_every_step_and_comes_out_scored(run: Run) -> None:
    outcome = run("ScoredAtOnce")
    succeeded(outcome)
    assert outcome.path == [*UP_TO_A_POD, *SCORED, *TO_AN_OUTPUT]


def test_the_state_gathers_what_each_step_gave(run: Run) -> None:
    outcome = run("ScoredAtOnce")
    given = {"source", "file_id", "lost_pods"}
    assert outcome.output.keys() == given | {"request", "pod", "scoring", "output", "torn_down"}
    assert outcome.output["pod"]["endpoint"]["status"] == "READY"
    assert outcome.output["scoring"]["status"] == "DONE"


def test_a_pod_that_needs_time_is_waited_for_between_the_looks(run: Run) -> None:
    outcome = run("PodNeedsTime")
    succeeded(outcome)
    assert outcome.path == [*UP_TO_A_POD, *LOOK_AGAIN, *LOOK_AGAIN, *LOOK_AGAIN, *SCORED, *TO_AN_OUTPUT]
    assert outcome.output["pod"].keys() == {"name", "uid", "endpoint"}, "a look adds to what launch_pod told of the pod"


def test_a_model_that_needs_time_is_waited_for_between_the_steps(run: Run) -> None:
    outcome = run("ModelNeedsTime")
    succeeded(outcome)
    step_again = ["wait_for_model", "stream_file", "is_file_scored"]
    assert outcome.path == [
        *UP_TO_A_POD,
        "stream_file",
        "is_file_scored",
        *step_again,
        *step_again,
        "persist_output",
        *TO_AN_OUTPUT,
    ]


PLANNED = [*UP_TO_A_POD, "plan_shards", "is_file_planned"]


@pytest.mark.parametrize("case", ["ScoredOnTwoPods", "PlannedInTwoLooks", "ShardIsThrottled"])
def test_a_file_on_several_pods_is_planned_scored_side_by_side_and_put_together(run: Run, case: str) -> None:
    outcome = run(case)
    succeeded(outcome)
    look_again = ["plan_shards", "is_file_planned"] * (case == "PlannedInTwoLooks")
    assert outcome.path == [
        *PLANNED,
        *look_again,
        "score_shards",
        *2 * ["score_shard"],
        "persist_output",
        *TO_AN_OUTPUT,
    ]
    assert [each["output"] for each in outcome.output["shards"]] == [{"rows": 1}, {"rows": 1}]
    assert outcome.input_of["score_shard"].keys() == {"source", "file_id", "request", "state_machine", "shard"}


def test_a_shard_that_fails_ends_the_file(run: Run) -> None:
    outcome = run("FailsInAShard")
    failed(outcome)
    assert [name for name in outcome.path if name != "score_shard"] == [*PLANNED, "score_shards", *TO_AN_ERROR]
    given = outcome.input_of["persist_error"]
    assert given["error"]["Error"] == "States.TaskFailed"
    assert [shard["number"] for shard in given["scoring"]["shards"]] == [1, 2], "each may have told what happened to it"


def test_what_a_function_reads_of_a_history_is_the_state_of_the_attempt_and_not_that_of_an_item() -> None:
    assert set(history.OF_ITEMS) == items("attempt").keys()


def test_a_shard_is_scored_by_the_version_of_the_state_machine_that_plan_shards_tells() -> None:
    given = items("attempt")["score_shard"]["Parameters"]
    assert given["StateMachineArn.$"] == "$.state_machine"
    assert (
        definition("attempt")["States"]["score_shards"]["ItemSelector"]["state_machine.$"] == "$.scoring.state_machine"
    )
    assert given["Input"].keys() > {"shard.$", "request.$", "source.$", "file_id.$", "lost_pods"}


@pytest.mark.parametrize(
    ("case", "error", "path"),
    [
        ("FailsInPlanShards", "InvalidFile", PLANNED[:-1]),
        ("FailsInResolveRequest", "ImageNotFound", ["resolve_request"]),
        ("FailsInLaunchPod", "PodRefused", ["resolve_request", "launch_pod"]),
        ("FailsInQueueFile", "AccessDenied", ["resolve_request", "launch_pod", "queue_file"]),
        ("FailsInAwaitPod", "PodCrashed", [*UP_TO_A_POD, "wait_for_pod", "await_pod"]),
        ("FailsWithoutAName", "KeyError", [*UP_TO_A_POD, "wait_for_pod", "await_pod"]),
        ("FailsInStreamFile", "ModelFailed", [*UP_TO_A_POD, "stream_file"]),
        ("FailsInPersistOutput", "ScoringFailed", [*UP_TO_A_POD, *SCORED]),
    ],
)
def test_an_error_in_any_step_is_told_torn_down_after_and_ends_the_attempt(
    run: Run, case: str, error: str, path: list[str]
) -> None:
    outcome = run(case)
    failed(outcome)
    assert outcome.path == [*path, *TO_AN_ERROR]
    told = outcome.input_of["persist_error"]["error"]
    assert told == {"Error": error, "Cause": f"{error}, as the function told it"}


def test_what_the_steps_before_the_error_gave_is_there_to_be_told(run: Run) -> None:
    given = run("FailsInPersistOutput").input_of["persist_error"]
    assert {"source", "request", "pod", "scoring", "error"} <= given.keys()
    assert given["scoring"]["upload_id"] == "u", "tear_down aborts it"


def test_errors_that_pass_are_waited_out_in_every_step(run: Run) -> None:
    """Those of Lambda itself, AWS and API servers that ask to come back, and functions that were killed."""
    outcome = run("ErrorsThatPassOnTheWayToAnOutput")
    succeeded(outcome)
    assert outcome.path == [*UP_TO_A_POD, *LOOK_AGAIN, *SCORED, *TO_AN_OUTPUT]


def test_errors_that_pass_are_waited_out_on_the_way_to_an_error_too(run: Run) -> None:
    outcome = run("ErrorsThatPassOnTheWayToAnError")
    failed(outcome)
    assert outcome.path == run("FailsInAwaitPod").path


def test_a_namespace_that_is_full_behind_a_kueue_is_tried_again(run: Run) -> None:
    succeeded(run("QuotaIsFullBehindAKueue"))


IN_THE_QUEUE = ["queue_file", "wait_for_room", "launch_pod"]


@pytest.mark.parametrize(
    ("case", "queued"),
    [
        ("WaitsForRoom", IN_THE_QUEUE),
        ("IsCalledInVain", [*IN_THE_QUEUE, *IN_THE_QUEUE]),
        ("NobodyCalls", ["queue_file", "launch_pod", *IN_THE_QUEUE]),
    ],
)
def test_a_file_without_room_sleeps_until_it_is_called(run: Run, case: str, queued: list[str]) -> None:
    outcome = run(case)
    succeeded(outcome)
    assert outcome.path == [*UP_TO_A_POD[:-1], *queued, "is_pod_ready", *SCORED, *TO_AN_OUTPUT]
    assert outcome.input_of["queue_file"]["full"]["Error"] == "NoRoom"
    assert outcome.input_of["wait_for_room"]["called"] == {"wait_seconds": 5, "freed": {"pods": 1}, "awake": ""}


def test_a_call_to_the_room_of_a_pod_that_was_lost_is_no_call_to_another(run: Run) -> None:
    outcome = run("LosesItsPodAfterACall")
    succeeded(outcome)
    assert outcome.path.count("launch_pod") == 3
    assert outcome.output["called"] == {}


def test_a_function_that_is_killed_again_and_again_is_an_error(run: Run) -> None:
    outcome = run("IsKilledAgainAndAgain")
    failed(outcome)
    assert outcome.input_of["persist_error"]["error"]["Error"] == "Sandbox.Timedout"


def test_an_error_that_cannot_be_written_ends_the_attempt_in_its_own_words(run: Run) -> None:
    """And the pod goes all the same."""
    outcome = run("ErrorCannotBeWritten")
    assert outcome.status == "FAILED"
    assert (outcome.error, outcome.cause) == ("PodCrashed", "PodCrashed, as the function told it")
    assert outcome.path[-4:] == [
        "persist_error",
        "tear_down_after_error",
        "is_error_written",
        "failed_without_error_file",
    ]
    assert outcome.input_of["is_error_written"]["persist_failure"]["Error"] == "AccessDenied"


def test_a_scored_file_stays_scored_even_if_its_pod_cannot_be_torn_down(run: Run) -> None:
    outcome = run("TearDownFailsAfterAnOutput")
    succeeded(outcome)
    assert outcome.output["tear_down_failure"]["Error"] == "ClusterAccessDenied"


def test_an_error_stays_the_one_that_was_told_even_if_the_pod_cannot_be_torn_down(run: Run) -> None:
    outcome = run("TearDownFailsAfterAnError")
    failed(outcome)
    assert outcome.path == run("FailsInAwaitPod").path


@pytest.mark.parametrize(
    ("case", "before", "after"),
    [
        ("PodIsLostWhileStarting", [*UP_TO_A_POD, "wait_for_pod", "await_pod"], SCORED),
        ("PodIsLostWhileScoring", [*UP_TO_A_POD, "stream_file"], SCORED),
    ],
)
def test_a_lost_pod_is_replaced_and_the_file_goes_on(run: Run, case: str, before: list[str], after: list[str]) -> None:
    outcome = run(case)
    succeeded(outcome)
    assert outcome.path == [*before, *AFTER_A_LOSS, *after, *TO_AN_OUTPUT]
    assert outcome.output["lost_pods"] == {"count": 1}


def test_the_upload_of_a_lost_pod_is_still_there_for_the_next_one() -> None:
    assert tasks("attempt")["tear_down_lost_pod"]["Parameters"]["keep_upload"] is True
    for last in ("tear_down", "tear_down_after_error"):
        assert "keep_upload" not in tasks("attempt")[last]["Parameters"]


def test_the_fourth_lost_pod_is_an_error(run: Run) -> None:
    outcome = run("PodsAreLostAgainAndAgain")
    failed(outcome)
    assert outcome.path.count("launch_pod") == 4
    assert outcome.path[-8:] == ["stream_file", "count_lost_pod", "may_launch_again", "give_up", *TO_AN_ERROR]
    assert outcome.input_of["persist_error"]["error"]["Error"] == "PodLost"


def test_a_lost_pod_that_cannot_be_torn_down_is_an_error(run: Run) -> None:
    """Or two pods would work on one file."""
    outcome = run("LostPodCannotBeTornDown")
    failed(outcome)
    assert outcome.path[-5:] == ["tear_down_lost_pod", *TO_AN_ERROR]
    assert outcome.input_of["persist_error"]["error"]["Error"] == "ClusterAccessDenied"


def test_errors_that_pass_are_waited_out_between_two_pods_too(run: Run) -> None:
    succeeded(run("LostPodIsTornDownAfterErrorsThatPass"))


def test_no_attempt_ends_without_a_tear_down(run: Run) -> None:
    for case in CASES["attempt"]["TestCases"]:
        path = [name for name in run(case).path if name != "scored"]
        assert path[-1] == "tear_down" or path[-3:-1] == ["tear_down_after_error", "is_error_written"], case


def test_every_state_is_entered_by_some_case(run: Run) -> None:
    entered = {state for case in CASES["attempt"]["TestCases"] for state in run(case).path}
    assert entered == states("attempt").keys()


def test_every_case_mocks_every_task() -> None:
    """Or Step Functions Local would call a function for real."""
    for machine, mocked in CASES.items():
        for case, mocks in mocked["TestCases"].items():
            assert mocks.keys() == tasks(machine).keys(), f"{case} in {MOCKS.name}"
