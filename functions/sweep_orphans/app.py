"""Every few minutes: pods whose attempt is over → gone, and who waits for room is called. The net under tear_down."""

from datetime import UTC, datetime
from typing import Any

from scoring import aws, settings
from scoring.cluster import api as clusters
from scoring.cluster import pods
from scoring.cluster.queue import Queue
from scoring.errors import DropscoreError
from scoring.intake import clusters as configured
from scoring.intake import parameters
from scoring.observability import count, gauge_seconds, logger, observed
from scoring.outcome import history
from scoring.settings import ClusterSettings


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    """Tear down each attempt that has a pod and no running execution; call the first file that waits for room in each
    namespace, since somebody may have made some; measure how old the oldest running attempt is.

    Raises
    ------
    ClusterUnreachable, ClusterAccessDenied, InvalidSettings, AccessDenied, AwsThrottled
        At least one cluster was not swept; the others were.
    """
    stepfunctions, state_machine = aws.client("stepfunctions"), settings.current().attempt_state_machine_arn
    swept: list[str] = []
    failures: list[DropscoreError] = []
    try:
        stored = parameters.load(settings.current().clusters_path)
    except DropscoreError as error:
        stored = {}
        failures.append(error)
    for name in sorted({*settings.current().clusters, *stored}):
        try:
            swept += _sweep(configured.find(name, settings.current(), stored), stepfunctions, state_machine)
        except DropscoreError as error:
            failures.append(error)
    count("OrphansSwept", len(swept))
    gauge_seconds("OldestAttemptAge", history.oldest_running_seconds(stepfunctions, state_machine, datetime.now(UTC)))
    if failures:
        raise failures[0]
    return {"swept": swept}


def _sweep(cluster: ClusterSettings, stepfunctions: Any, state_machine: str) -> list[str]:
    api, swept = clusters.connect(cluster.name), []
    for namespace in cluster.namespaces:
        for attempt_id in sorted(pods.attempts(api, namespace, history.executions_of(state_machine))):
            if history.is_over(stepfunctions, state_machine, attempt_id):
                deleted = pods.tear_down(api, namespace, attempt_id)
                logger.warning("orphan swept", attempt_id=attempt_id, cluster=cluster.name, deleted=deleted)
                swept.append(attempt_id)
        if not cluster.queue:
            Queue.of(cluster.name, namespace).call(None)
    return swept
