"""All cases of the fault suite, by what goes wrong; docs/failures.md is made of them (document.py)."""

from __future__ import annotations

from tests.e2e.faults import aws, beside, cluster, files, model, pod, queue, requests, script, shards, workflow
from tests.e2e.faults.case import Case

CASES: dict[str, tuple[Case, ...]] = {
    "The file": files.CASES,
    "What its tags ask for": requests.CASES,
    "The pod": pod.CASES,
    "What the cluster does to the pod": beside.CASES,
    "The model": model.CASES,
    "A script in a `sas` container": script.CASES,
    "The execution": workflow.CASES,
    "One of a file's several pods": shards.CASES,
    "A namespace that is full": queue.CASES,
    "The cluster": cluster.CASES,
    "AWS": aws.CASES,
}
