"""Once a day: versions of functions and state machine that no attempt runs by any more → deleted."""

from datetime import UTC, datetime
from typing import Any

from scoring import aws, settings
from scoring.observability import observed
from scoring.outcome import versions


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    """Delete what deployments have left behind; gives the ARNs of the versions.

    Raises
    ------
    AccessDenied, AwsThrottled
    """
    state_machine = settings.current().attempt_state_machine_arn
    deleted = versions.sweep(
        aws.client("stepfunctions"), aws.client("lambda"), state_machine, f"{state_machine}:live", datetime.now(UTC)
    )
    return {"deleted": deleted}
