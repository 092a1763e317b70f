"""S3 event → one `score_file` execution a file."""

import json
from typing import Any

from botocore.exceptions import ClientError

from scoring import aws, settings
from scoring.intake import identity
from scoring.observability import count, logger, observed


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    """Start the execution of each file that the event tells of; a duplicate event starts nothing.

    Raises
    ------
    AwsThrottled, AccessDenied
        Not all files could be started: Lambda delivers the event again, and those already started are then duplicates.
    """
    configured = settings.current()
    started, skipped = [], []
    for source in identity.sources(event):
        reason = identity.refusal(source, configured)
        if reason:
            logger.info("skipped", source=source.uri, reason=reason)
            skipped.append(source.uri)
            continue
        name = identity.file_id(source)
        _start(configured.score_file_state_machine_arn, name, {"source": source.to_json(), "file_id": name})
        started.append(name)
    count("FilesStarted", len(started))
    return {"started": started, "skipped": skipped}


def _start(state_machine_arn: str, name: str, state: dict[str, Any]) -> None:
    with aws.errors_named(f"states:StartExecution of {name}"):
        try:
            aws.client("stepfunctions").start_execution(
                stateMachineArn=state_machine_arn, name=name, input=json.dumps(state, sort_keys=True)
            )
        except ClientError as error:
            if aws.code(error) != "ExecutionAlreadyExists":
                raise
            logger.info("duplicate event", file_id=name)
