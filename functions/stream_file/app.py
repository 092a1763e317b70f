"""File → model → parts of the scored file, without a disk and without the file in memory."""

from datetime import UTC, datetime
from typing import Any

from scoring import aws, streaming
from scoring.cluster import api as clusters
from scoring.cluster import pings, readiness
from scoring.cluster.pings import Pings
from scoring.errors import ModelFailed, ModelTimeout
from scoring.intake import clusters as configured
from scoring.intake import identity
from scoring.intake import state as held
from scoring.observability import observed
from scoring.outcome import files as outcome
from scoring.protocols.model import Model, NoAnswer, StillBusy


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Take the file one step further; gives the `scoring` of the state: `status` RUNNING (come back) or DONE.

    Raises
    ------
    EmptyFile, InvalidFile, InvalidTags, SourceGone, SourceChanged, ModelFailed, ModelTimeout, RowCountMismatch, PodCrashed,
    PodLost, RouteNotReady
    """
    s3, state = aws.client("s3"), event["state"]
    source, request = identity.Source.from_json(state["source"]), held.request(state)
    scoring = state.get("scoring")
    if not scoring:
        tags = outcome.scored_tags(source, request, event["execution"])
        scoring = streaming.open_upload(s3, source, request, tags, datetime.now(UTC))
    pod = state["pod"]

    def check_pod() -> None:
        readiness.check_alive(clusters.connect(request["cluster"]), pod)

    job = streaming.Job(
        s3=s3,
        model=Model(held.endpoint(state)["url"]),
        source=source,
        request=request,
        pod_uid=pod["uid"],
        scoring=scoring,
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
        now=lambda: datetime.now(UTC),
        check_pod=check_pod,
    )
    try:
        scoring = streaming.advance(job)
    except (NoAnswer, StillBusy) as silence:
        problem = readiness.blame(clusters.connect(request["cluster"]), pod)
        if problem:
            raise problem from silence
        return streaming.outlast(job, silence)
    except (ModelFailed, ModelTimeout) as failure:
        # A dead node is silent; a route whose pod was just taken away answers 404 in the model's place.
        check_pod()
        cluster = configured.of_request(request)
        ping = Pings.to(pod, request, job.model.url, cluster)
        away = ping.silence(failure) or streaming.loading(job, failure)
        if away is None:
            raise
        try:
            return streaming.outlast(job, away)
        except ModelFailed:
            raise pings.lasting(clusters.connect(request["cluster"]), pod, cluster, ping, failure) from away
    if scoring["status"] == "RUNNING":
        # A dead model is told from a slow one before it is waited for.
        check_pod()
    return scoring
