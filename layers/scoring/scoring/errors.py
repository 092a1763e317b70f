"""Every error that a user can meet.

The class name is the error name in the state machine (Step Functions reports a Python exception by its class name), so
Retry and Catch can name it. What a person needs travels in the message: `str(error)` is one JSON document with the
summary, the remedy and the details, because Step Functions passes nothing else of an exception on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

# Step Functions cuts a Cause at 32,768 characters, and what is cut is no JSON any more.
_SUMMARY_CHARACTERS, _DETAILS_CHARACTERS = 2_000, 16_000


def abridged(text: str, characters: int) -> str:
    """The text, or its beginning and its end."""
    if len(text) <= characters:
        return text
    return f"{text[: characters // 2]} … {text[-characters // 2 :]}"


UNNAMED_ENDS = {"ABORTED": "Aborted", "TIMED_OUT": "States.Timeout"}
"""What an execution has ended with to which Step Functions gives no error of its own, by its status."""


def first_sentence(text: str) -> str:
    """The first sentence of a text, in one line."""
    sentence, stop, _ = " ".join(text.split()).partition(". ")
    return sentence + stop.strip()


class DropscoreError(Exception):
    """What happened (`summary`), what its reader can do (`remedy`), and what helps to see why (`details`)."""

    remedy: str = "Read the details below; when they do not help, hand this file to the administrator of dropscore."
    retryable: ClassVar[bool] = False
    """Whether the state machine has to try again by itself (tests hold its Retry fields against this)."""

    def __init__(self, summary: str, remedy: str | None = None, **details: Any) -> None:
        self.summary = summary
        self.remedy = remedy or type(self).remedy
        self.details = {name: value for name, value in details.items() if value not in (None, "", [], {})}
        super().__init__(summary)

    def __str__(self) -> str:
        document: dict[str, Any] = {"summary": abridged(self.summary, _SUMMARY_CHARACTERS), "remedy": self.remedy}
        text = json.dumps(self.details, default=str)
        if len(text) > _DETAILS_CHARACTERS:
            document["details"] = {"abridged": abridged(text, _DETAILS_CHARACTERS)}
        elif self.details:
            document["details"] = self.details
        return json.dumps(document, ensure_ascii=False, default=str)


class InvalidTags(DropscoreError):
    remedy = "Correct the tags of the file and drop it again."


class InvalidProfile(DropscoreError):
    remedy = (
        "Ask the administrator to correct the parameter in SSM Parameter Store (a String of JSON, see docs/files.md), then "
        "redrive the execution a minute later or drop the file again."
    )


class ImageNotFound(DropscoreError):
    remedy = "Push the model image to ECR, or correct the tag model_image, then drop the file again."


class ImageNotAllowed(DropscoreError):
    remedy = "Use an image of an allowed repository, or ask the administrator to add it to AllowedModelImages."


class ClusterNotFound(DropscoreError):
    remedy = (
        "Correct the tag eks_cluster, or ask the administrator to set the cluster up (Clusters, or Parameter Store)."
    )


class ClusterNotActive(DropscoreError):
    remedy = "Wait until the cluster is ACTIVE, then redrive the execution or drop the file again."


class ClusterUnreachable(DropscoreError):
    remedy = "Check that the functions reach the cluster's endpoint (subnets, security groups, public access)."
    retryable = True


class ClusterAccessDenied(DropscoreError):
    remedy = "Ask the cluster's administrator to apply cluster/ and the access entry of this function's role."


class NamespaceNotAllowed(DropscoreError):
    remedy = "Correct the tag k8s_namespace, or ask the administrator to allow it in the parameter Clusters."


class QuotaExceeded(DropscoreError):
    remedy = "Nothing: the file waits for room in the namespace. Raise its ResourceQuota to let more files run at once."
    retryable = True


class PodRefused(DropscoreError):
    remedy = "Correct the request named above (size tags, settings of the cluster), then drop the file again."


class ImagePullFailed(DropscoreError):
    remedy = "Check that the image is still there and that the cluster's nodes may pull it, then redrive the execution."


class PodCrashed(DropscoreError):
    remedy = "Read the log tail below: the model's container ended. Repair the image, push it and drop the file again."


class PodUnschedulable(DropscoreError):
    remedy = "Ask for less (tags cpu, memory, gpu) or let the administrator add nodes, then redrive the execution."


class PodNotReady(DropscoreError):
    remedy = "Check that the model listens on port 8080 (or its profile's) in time; its log tail is below. Then redrive the execution."


class PodLost(DropscoreError):
    remedy = "Redrive the execution: the node or somebody ended the pod, not the model."
    retryable = True


class RouteNotReady(DropscoreError):
    remedy = "Let the administrator check the gateway or ingress controller of the cluster, then redrive the execution."


class ModelFailed(DropscoreError):
    remedy = "Read the model's answer and log below; repair the model or the file, then drop the file again."


SERVER_TIME_OUT = (
    "Read the log tail below. A server inside the image that ends its worker after a time-out of its own (gunicorn: 30 s) "
    "looks like this: raise that time-out in the image."
)
"""The remedy of a ModelFailed without a word of the model's: what it is most often."""
LOADS_OR_SERVES = (
    "Give the model more time (StartDeadlineSeconds, or `start_seconds` of its profile) if its log below shows that it loads. "
    "If it shows that it serves, check the tag protocol"
)
"""How the remedy begins for a model of which nobody knows whether it has loaded."""


class ModelTimeout(DropscoreError):
    remedy = "Give the model more time (setting ScoringDeadlineSeconds) or cpu, or drop a smaller file."


class RowCountMismatch(DropscoreError):
    remedy = "The model must answer one row for each row of the file; repair it, then drop the file again."


class SourceGone(DropscoreError):
    remedy = "Drop the file again: it was deleted before it was scored."


class SourceChanged(DropscoreError):
    remedy = "Nothing, if the file was replaced on purpose: the newer one is scored on its own."


class EmptyFile(DropscoreError):
    remedy = "Drop a file with a header line and at least one record."


class InvalidFile(DropscoreError):
    remedy = "Correct the file and drop it again."


class AccessDenied(DropscoreError):
    remedy = "Ask the administrator to allow the call named above in the function's role, the bucket or the key policy."


class AwsThrottled(DropscoreError):
    remedy = "Nothing: the call is repeated."
    retryable = True


class ScoringFailed(DropscoreError):
    """Whatever has no name of its own."""


class InvalidSettings(DropscoreError):
    remedy = "Correct the stack's parameters and deploy again."


# Errors that Lambda or Step Functions raise in a function's place, in words that a person understands.
_SERVICE_ERRORS = {
    "Sandbox.Timedout": "The function ran out of time.",
    "Lambda.Unknown": "The function was killed, mostly for want of time or memory.",
    "States.Timeout": "The step ran out of time.",
    "Runtime.OutOfMemory": "The function ran out of memory.",
    "Runtime.ExitError": "The function's process ended unexpectedly, mostly for want of memory.",
    "States.TaskFailed": "The step failed.",
    "Aborted": "Somebody stopped the execution before the file was scored.",
}


@dataclass(frozen=True)
class Failure:
    """An error as the state machine holds it, taken apart: `name`, `summary`, `remedy` and `details`."""

    name: str
    summary: str
    remedy: str
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_state(cls, error: dict[str, Any]) -> Failure:
        """Read the `{"Error", "Cause"}` of a Catch; never raises, since it must not hide the first error."""
        name = str(error.get("Error") or ScoringFailed.__name__)
        cause = error.get("Cause") or ""
        payload = _json_object(cause)
        message = payload.get("errorMessage", cause)
        document = _json_object(message)
        if "summary" in document:
            details = document.get("details")
            return cls(
                name,
                str(document["summary"]),
                str(document.get("remedy") or DropscoreError.remedy),
                details if isinstance(details, dict) else {},
            )
        summary = _SERVICE_ERRORS.get(name, "The step failed for a reason that has no name yet.")
        details = {"message": str(message)[:8_000]} if message else {}
        if trace := payload.get("stackTrace"):
            details["stack_trace"] = trace
        remedy = "Redrive the execution; when it fails again, hand this file to the administrator of dropscore."
        return cls(name, summary, remedy, details)


def _json_object(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
