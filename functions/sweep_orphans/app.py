"""Every few minutes: pods whose attempt is over → gone. The net under tear_down."""

from typing import Any

from botocore.exceptions import ClientError

from scoring import aws, clusters, pods, settings
from scoring.observability import count, logger, observed


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    """Tear down each attempt that has a pod and no running execution.

    Raises
    ------
    ClusterUnreachable, ClusterAccessDenied, AccessDenied, AwsThrottled
    """
    swept: list[str] = []
    for cluster in settings.current().clusters.values():
        api = clusters.connect(cluster.name)
        for namespace in cluster.namespaces:
            for attempt_id in pods.attempts(api, namespace):
                if not _running(attempt_id):
                    swept += pods.tear_down(api, namespace, attempt_id)
                    logger.warning("orphan swept", attempt_id=attempt_id, cluster=cluster.name)
    count("PodsSwept", len(swept))
    return {"deleted": swept}


def _running(attempt_id: str) -> bool:
    state_machine_arn = settings.current().attempt_state_machine_arn
    arn = f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:{attempt_id}"
    with aws.errors_named(f"states:DescribeExecution of {arn}"):
        try:
            status = aws.client("stepfunctions").describe_execution(executionArn=arn)["status"]
        except ClientError as error:
            if aws.code(error) == "ExecutionDoesNotExist":
                return False
            raise
    return str(status) in ("RUNNING", "PENDING_REDRIVE")
