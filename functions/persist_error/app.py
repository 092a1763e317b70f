"""Whatever went wrong → `.error`, in words that say what to do."""

from datetime import UTC, datetime
from typing import Any

from scoring import aws, settings
from scoring.cluster.containers import parse_time
from scoring.errors import DropscoreError
from scoring.intake import identity, shard
from scoring.observability import count, logger, observed
from scoring.outcome import events, evidence, index, receipts
from scoring.outcome import files as outcome


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Write the `.error`; gives the `failure` of the state: `error` and `cause` for the Fail state.

    Called by the state machine, and by EventBridge for an execution that ended without having written one.

    Raises
    ------
    AccessDenied, AwsThrottled
        The `.error` itself could not be written.
    """
    if "detail" in event:
        ended = evidence.unreported(event["detail"], aws.client("stepfunctions"))
        if ended is None:
            return {}
        state, execution = ended, event["detail"]["executionArn"]
        started = datetime.fromtimestamp(event["detail"]["startDate"] / 1000, UTC)
    else:
        state, execution, started = event["state"], event["execution"], parse_time(event["started"])
    state = shard.own(state)
    attempt_id = execution.rsplit(":", 1)[-1]
    logger.append_keys(file_id=state.get("file_id"), attempt_id=attempt_id)
    source, configured = identity.Source.from_json(state["source"]), settings.current()
    key = identity.output_key(source.key, configured, identity.ERROR_SUFFIX)
    failure, stage, pod = evidence.of_failure(aws.client("s3"), state)
    link, now = {"arn": execution, "console": outcome.console_link(execution)}, datetime.now(UTC)
    document = outcome.error_document(failure, stage, state | {"attempt_id": attempt_id}, pod, link, now)
    if "shard" in state:
        # For the attempt of the file to find.
        where = state["request"]["output"]
        outcome.put_error(aws.client("s3"), where["bucket"], outcome.error_key(where["key"]), document, {})
        return {"error": failure.name, "cause": f"{failure.summary} {failure.remedy}"}
    tags = {"error": outcome.tag_value(failure.name), "stage": stage, "sequencer": source.sequencer}
    there = _there(configured.output_bucket, identity.output_key(source.key, configured))
    if "detail" in event and (
        # Stopped when its file had just been published, which its history does not show; or told of a second time.
        there.get("execution") == outcome.tag_value(execution) or events.is_told(configured, f"{attempt_id}/failed")
    ):
        return {}
    # An older version may fail later.
    newest = there, _there(configured.output_bucket, key)
    superseded = any(outcome.is_newer(each.get("sequencer", ""), source.sequencer) for each in newest)
    if not superseded:
        outcome.put_error(aws.client("s3"), configured.output_bucket, key, document, tags)
    output = {"bucket": configured.output_bucket, "key": key}
    told = events.failed(
        state, execution, started, now, configured.stack_name, failure, stage, output, superseded=superseded
    )
    receipts.write(configured, told, state, now)
    events.tell(configured, events.FAILED, told)
    uri = f"s3://{configured.output_bucket}/{key}"
    ends = {"error": failure.name, "cause": f"{failure.summary} {failure.remedy} See {uri}"}
    index.write(configured, told, **(evidence.ends(event["detail"]) if "detail" in event else ends))
    logger.warning("file failed", error=failure.name, stage=stage, summary=failure.summary)
    count("FilesFailed")
    return {**ends, "uri": uri}


def _there(bucket: str, key: str) -> dict[str, str]:
    """The tags of the outcome that is there; empty if there is none, or nobody can tell."""
    try:
        return outcome.tags_of(aws.client("s3"), bucket, key)
    except DropscoreError as error:
        # Better an error too many than a user who waits for a word.
        logger.warning("cannot tell whether there is a newer outcome", reason=error.summary)
        return {}
