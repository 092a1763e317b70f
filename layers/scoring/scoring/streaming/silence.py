"""A model that fell silent while its pod is alive, as far as the cluster knows: come back, but not for ever."""

from __future__ import annotations

from typing import Any

from scoring import pauses, protocols
from scoring.errors import LOADS_OR_SERVES, SERVER_TIME_OUT, DropscoreError, InvalidTags, ModelFailed
from scoring.protocols.model import NoAnswer, StillBusy
from scoring.streaming.job import Job
from scoring.streaming.progress import Progress

# Of a node that is gone without a word, a cluster says so after 40 s, and gives its pods up after 300 s more (Kubernetes:
# node-monitor-grace-period, and the toleration of node.kubernetes.io/unreachable that each pod has by itself).
_MOST_SECONDS = 420.0
# What a server that loads still answers, and what stands before it.
_LOADING = (404, 503)
_NOT_LOADED = f"{LOADS_OR_SERVES}, or repair what the model answers; then drop the file again."
# A model that answers its ping but not this is silent for a reason of its own, which may pass once.
_MOST_TIMES = 1


def outlast(job: Job, silence: DropscoreError) -> dict[str, Any]:
    """Come back to the model later; `silent` of the state's `scoring` tells since when this pod has got no further.

    A model that has scored nothing yet may load still, and has the time that a start may take.

    Raises
    ------
    ModelFailed
        It has been silent for too long.
    """
    progress = Progress.load(job.s3, job.request["output"])
    here = {"pod": job.pod_uid, "at": progress.offset + progress.written}
    silent = job.scoring.get("silent", {})
    if not here.items() <= silent.items():
        silent = here | {"since": job.now().isoformat(), "times": 0}
    waited = job.seconds_since(silent["since"])
    if silence.details.get("status") in _LOADING and _is_untried(progress):
        if waited > job.request["deadlines"]["start_seconds"]:
            raise ModelFailed(
                f"{silence.summary} It has not scored a record in {waited:.0f} s.", _NOT_LOADED, **silence.details
            ) from silence
    elif silent["times"] >= _MOST_TIMES or waited > _MOST_SECONDS:
        if silence.details.get("answer"):
            # It was not silent: its own words tell more than a guess of ours.
            raise ModelFailed(silence.summary, **silence.details) from silence
        raise ModelFailed(
            f"{silence.summary} Its container is running still.", SERVER_TIME_OUT, **silence.details
        ) from silence
    return job.running(pauses.silent(waited)) | {"silent": silent | {"times": silent["times"] + _pings(job)}}


def loading(job: Job, failure: DropscoreError) -> NoAnswer | None:
    """What a 404 means of a model that has scored nothing yet: its server answers the ping before it knows the model."""
    if failure.details.get("status") != 404 or not _is_untried(Progress.load(job.s3, job.request["output"])):
        return None
    return NoAnswer(failure.summary, **failure.details)


def _is_untried(progress: Progress) -> bool:
    """Whether no model has scored, or taken, anything of the file."""
    return not progress.columns and not progress.execution


def _pings(job: Job) -> bool:
    try:
        return protocols.of_request(job.request, job.model).ready() is None
    except (NoAnswer, StillBusy, InvalidTags):
        # What a server of several models has against the tags, it is asked for when the file goes on.
        return False
