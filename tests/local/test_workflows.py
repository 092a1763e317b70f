"""Step Functions as AWS runs them: nested executions, ends, retries, roles, redrive."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from local.processes import StackFailed
from tests.local.conftest import Aws, serve, wait_for

READING = [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]


def task(function: str, **fields: Any) -> dict[str, Any]:
    """Give a state machine of one task: the function, with the execution's input."""
    return {"StartAt": "work", "States": {"work": {"Type": "Task", "Resource": function, "End": True, **fields}}}


def nested(machine: str) -> dict[str, Any]:
    """Give a state machine of one task: another one, with the same input."""
    parameters = {"StateMachineArn": machine, "Input.$": "$"}
    return task("arn:aws:states:::states:startExecution.sync:2", Parameters=parameters)


def waiting(seconds: int, **fields: Any) -> dict[str, Any]:
    return {"StartAt": "wait", "States": {"wait": {"Type": "Wait", "Seconds": seconds, "End": True}}, **fields}


def only_execution(aws: Aws, machine: str) -> str:
    listed: list[dict[str, str]] = wait_for(lambda: aws.states.list_executions(stateMachineArn=machine)["executions"])
    return listed[0]["executionArn"]


def test_a_failed_child_reaches_the_parent_as_task_failed(aws: Aws, worker: str) -> None:
    parent = aws.machine("told", nested(aws.machine("fails", task(worker))))
    ended = aws.end(aws.start(parent, {"raise": "no"}))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.TaskFailed")
    cause = json.loads(ended["cause"])
    assert (cause["Status"], cause["Error"]) == ("FAILED", "ModelFailed")


def test_a_function_without_room_is_an_error_of_lambda(aws: Aws) -> None:
    function = aws.function("full")
    aws.client("lambda").put_function_concurrency(FunctionName="full", ReservedConcurrentExecutions=0)
    ended = aws.end(aws.start(aws.machine("throttled", task(function))))
    assert (ended["status"], ended["error"]) == ("FAILED", "Lambda.TooManyRequestsException")


def test_a_child_answers_its_output_as_json(aws: Aws) -> None:
    child = aws.machine("answers", {"StartAt": "a", "States": {"a": {"Type": "Succeed"}}})
    ended = aws.end(aws.start(aws.machine("asks", nested(child)), {"rows": 3}))
    assert json.loads(ended["output"])["Output"] == {"rows": 3}


def test_stopping_the_parent_stops_the_child(aws: Aws) -> None:
    child = aws.machine("long", waiting(60))
    execution = aws.start(aws.machine("longer", nested(child)))
    nested_execution = only_execution(aws, child)
    aws.states.stop_execution(executionArn=execution, error="Stopped", cause="by a person")
    assert aws.end(nested_execution)["status"] == "ABORTED"
    assert aws.end(execution)["cause"] == "by a person"


def test_the_end_of_a_child_is_told_to_eventbridge(aws: Aws, worker: str) -> None:
    child = aws.machine("heard", task(worker))
    sqs, events = aws.client("sqs"), aws.client("events")
    queue = sqs.create_queue(QueueName="ends")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.states"], "detail": {"stateMachineArn": [child], "status": ["FAILED"]}}
    events.put_rule(Name="ends", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="ends", Targets=[{"Id": "queue", "Arn": arn}])
    aws.end(aws.start(aws.machine("hears", nested(child)), {"raise": "no"}))
    received = wait_for(lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages"))
    assert json.loads(json.loads(received[0]["Body"])["detail"]["input"]) == {"raise": "no"}


def test_a_state_machine_has_a_deadline(aws: Aws) -> None:
    execution = aws.start(aws.machine("late", waiting(60, TimeoutSeconds=1)))
    assert aws.end(execution)["status"] == "TIMED_OUT"
    assert aws.entered(execution)[-1] == "ExecutionTimedOut"


def test_a_stopped_execution_stays_so_and_retries_nothing(aws: Aws, worker: str) -> None:
    retry = {"ErrorEquals": ["ModelFailed"], "IntervalSeconds": 1, "BackoffRate": 1.0, "MaxAttempts": 20}
    execution = aws.start(aws.machine("stubborn", task(worker, Retry=[retry])), {"raise": "no"})
    wait_for(lambda: "TaskFailed" in aws.entered(execution))
    aws.states.stop_execution(executionArn=execution)
    time.sleep(1.5)  # longer than until the next try
    assert aws.end(execution)["status"] == "ABORTED"
    assert aws.entered(execution).count("TaskScheduled") == 1


def test_the_longest_delay_of_a_retry_counts(aws: Aws, worker: str) -> None:
    retry = {"ErrorEquals": ["ModelFailed"], "IntervalSeconds": 30, "MaxDelaySeconds": 1, "MaxAttempts": 1}
    execution = aws.start(aws.machine("patient", task(worker, Retry=[retry])), {"raise": "no"})
    assert aws.end(execution)["error"] == "ModelFailed"
    assert aws.entered(execution).count("TaskFailed") == 2


def test_the_time_of_a_task_may_come_from_its_input(aws: Aws, worker: str) -> None:
    execution = aws.start(
        aws.machine("brief", task(worker, TimeoutSecondsPath="$.seconds")), {"sleep": 5, "seconds": 1}
    )
    assert aws.end(execution)["error"] == "States.Timeout"


def sleeping(function: str, **fields: Any) -> dict[str, Any]:
    """Give a state machine of one task that waits for its token: it is told to the function's `file`."""
    payload = {"token.$": "$$.Task.Token", "file.$": "$.file", "raise.$": "$.raise"}
    parameters = {"FunctionName": function, "Payload": payload}
    return task("arn:aws:states:::lambda:invoke.waitForTaskToken", Parameters=parameters, **fields)


def told(file: Path) -> str:
    return str(wait_for(lambda: file.exists() and file.read_text()))


def test_a_task_waits_for_its_token_and_the_first_answer_counts(aws: Aws, worker: str, tmp_path: Path) -> None:
    execution = aws.start(aws.machine("called", sleeping(worker)), {"file": str(tmp_path / "token"), "raise": ""})
    token = told(tmp_path / "token")
    aws.states.send_task_success(taskToken=token, output='{"freed": 1}')
    with pytest.raises(aws.states.exceptions.TaskTimedOut):
        aws.states.send_task_success(taskToken=token, output='{"freed": 2}')
    assert json.loads(aws.end(execution)["output"]) == {"freed": 1}
    with pytest.raises(aws.states.exceptions.InvalidToken):
        aws.states.send_task_success(taskToken="none", output="{}")


def test_a_token_is_over_with_its_execution_and_with_its_time(aws: Aws, worker: str, tmp_path: Path) -> None:
    stopped, late = tmp_path / "stopped", tmp_path / "late"
    catch = {"ErrorEquals": ["States.ALL"], "Next": "caught"}
    definition = sleeping(worker, Catch=[catch])
    definition["States"]["caught"] = {"Type": "Succeed"}
    execution = aws.start(aws.machine("stopped", definition), {"file": str(stopped), "raise": ""})
    token = told(stopped)
    aws.states.stop_execution(executionArn=execution)
    wait_for(lambda: "TaskFailed" in aws.entered(execution))
    assert "TaskStateExited" not in aws.entered(execution), "nothing is caught any more"
    with pytest.raises(aws.states.exceptions.TaskTimedOut):
        aws.states.send_task_success(taskToken=token, output="{}")
    ended = aws.end(
        aws.start(aws.machine("late-call", sleeping(worker, TimeoutSeconds=2)), {"file": str(late), "raise": ""})
    )
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Timeout")
    with pytest.raises(aws.states.exceptions.TaskTimedOut):
        aws.states.send_task_success(taskToken=told(late), output="{}")


def test_a_function_that_fails_with_a_token_fails_its_task(aws: Aws, worker: str) -> None:
    ended = aws.end(aws.start(aws.machine("never-asleep", sleeping(worker)), {"file": "", "raise": "no"}))
    assert (ended["status"], ended["error"]) == ("FAILED", "ModelFailed")


def test_the_same_start_while_it_runs_gets_the_first_ones_answer(aws: Aws) -> None:
    machine = aws.machine("once", waiting(60))
    first = aws.start(machine, {"a": 1}, name="file")
    assert aws.start(machine, {"a": 1}, name="file") == first
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        aws.start(machine, {"a": 2}, name="file")
    aws.states.stop_execution(executionArn=first)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        aws.start(machine, {"a": 1}, name="file")


def test_a_role_must_allow_the_function(aws: Aws, worker: str) -> None:
    ended = aws.end(aws.start(aws.machine("powerless", task(worker), role=aws.role("reader", READING))))
    assert ended["error"] == "Lambda.AWSLambdaException"
    assert "not authorized to perform: lambda:InvokeFunction" in ended["cause"]


def test_redrive_runs_the_nested_task_again(aws: Aws, worker: str) -> None:
    child = aws.machine("again-child", task(worker))
    execution = aws.start(aws.machine("again", nested(child)), {"raise": "no"})
    aws.end(execution)
    aws.states.redrive_execution(executionArn=execution)
    assert aws.end(execution)["status"] == "FAILED"
    assert len(aws.states.list_executions(stateMachineArn=child)["executions"]) == 2
    assert "ExecutionRedriven" in aws.entered(execution)


@pytest.mark.parametrize(
    ("allowed", "refusal"),
    [
        ("lambda:*", "is not authorized to create managed-rule"),
        ("events:*", "not authorized to access the Log Destination"),
        ("*", None),
    ],
)
def test_a_role_must_allow_what_step_functions_itself_does(aws: Aws, allowed: str, refusal: str | None) -> None:
    name = f"machine-of-{allowed.partition(':')[0].replace('*', 'all')}"
    properties = {
        "RoleArn": aws.role(name, [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]),
        "DefinitionString": json.dumps(nested("arn:aws:states:us-east-1:000000000000:stateMachine:child")),
        "LoggingConfiguration": {"Level": "ERROR"},
    }
    template = {"Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}}
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))

    def ended() -> str | None:
        status: str = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        return None if status.endswith("IN_PROGRESS") else status

    assert wait_for(ended) == ("ROLLBACK_COMPLETE" if refusal else "CREATE_COMPLETE")
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    assert not refusal or any(refusal in event.get("ResourceStatusReason", "") for event in events)


# A thread of the repairs that dies of their own mistake
BROKEN = """
from ministack.services import stepfunctions
from local.aws.__main__ import main

def broken(arn):
    raise RuntimeError("broken on purpose")

stepfunctions._run_execution = broken
main()
"""


def test_the_embedded_aws_does_not_outlive_a_workflow_that_nobody_runs_any_more(tmp_path: Path) -> None:
    with serve(tmp_path, "-c", BROKEN) as own:
        machine = own.machine("m", {"StartAt": "a", "States": {"a": {"Type": "Succeed"}}})
        # It may end before it has answered.
        with suppress(KeyError, BotoCoreError, ClientError):
            own.start(machine)
        with pytest.raises(
            StackFailed, match=r"The part aws of the embedded stack has ended(.|\n)*RuntimeError: broken on purpose"
        ):
            wait_for(lambda: not own.processes.all_alive())
            own.processes.check()
