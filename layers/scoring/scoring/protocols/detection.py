"""Which protocol a container speaks, where nobody has said it: told by what it answers, or not at all.

Each protocol has an answer that no other has: `GET /v2` of the Open Inference Protocol is the server's metadata, a SAS
container answers `pong` at `/`, MLflow's server its version at `/version`. What answers `/ping` and none of these speaks
SageMaker's. (MLServer also answers `/ping` and `/version` where it serves a model of MLflow's: the first that fits counts.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from scoring.errors import InvalidFile
from scoring.files.formats import Spec
from scoring.files.inspection import NOT_FOR_SAS
from scoring.intake import pods
from scoring.intake.tags import check_honoured
from scoring.protocols.model import Answer, Model, NoAnswer, NoConnection, StillBusy

PROBES = ("/v2", "/", "/ping", "/version")
REMEDY = (
    "If these are the model's own answers, tag the file with protocol, the one that it speaks (sas, sagemaker, mlflow or oip); "
    "if not, let the administrator check the gateway or ingress controller of the cluster. Then drop the file again."
)
_SECONDS = 5.0
_VERSION = re.compile(rb'\s*"?[0-9]+\.[0-9]+[\w.+-]*"?\s*')
_SHOWN = 100


def detect(model: Model) -> str | list[str]:
    """The protocol that a model speaks, or what each probe was answered.

    Raises
    ------
    NoConnection, NoAnswer
        As `probe` does.
    """
    answers = probe(model)
    return speaks(answers) or told(answers)


def probe(model: Model) -> dict[str, Answer]:
    """The answer to each probe.

    Raises
    ------
    NoConnection
    NoAnswer
        What each was answered until one was not: it is asked no further, since nothing can be told then.
    """
    answers: dict[str, Answer] = {}
    for path in PROBES:
        try:
            answers[path] = model.request("GET", path, _SECONDS)
        except NoConnection:
            raise
        except (NoAnswer, StillBusy) as error:
            lines = [*told(answers), f"GET {path}: {error.summary}"]
            raise NoAnswer("; ".join(lines), **error.details) from error
    return answers


def speaks(answers: Mapping[str, Answer]) -> str | None:
    """The protocol that a model speaks by its answers to all probes; None if it cannot be told (pure)."""
    good = {path: answer for path, answer in answers.items() if answer.status == 200}
    if "/v2" in good and _is_metadata(good["/v2"].document):
        return "oip"
    if "/" in good and good["/"].body.strip() == b"pong":
        return "sas"
    if "/ping" not in good:
        return None
    return "mlflow" if "/version" in good and _VERSION.fullmatch(good["/version"].body) else "sagemaker"


def _is_metadata(document: Any) -> bool:
    return isinstance(document, dict) and {"name", "version"} <= document.keys()


def told(answers: Mapping[str, Answer]) -> list[str]:
    """What each probe was answered, for a person."""
    return [f"GET {path}: {each.status} {each.text.strip()[:_SHOWN]}".rstrip() for path, each in answers.items()]


def check(request: Mapping[str, Any], protocol: str) -> None:
    """Look whether a model of the protocol that was found can do what a request asks for: what is refused before a pod is
    launched where the protocol is told.

    Raises
    ------
    InvalidTags, InvalidFile
    """
    spec = Spec.of(request)
    tags: Sequence[str] = [
        *(["exclude"] if spec.hidden or spec.sent is not None else []),
        *(["output"] if spec.kept is not None else []),
        *(["max_errors"] if set(request["max_errors"]) != {"0"} else []),
    ]
    check_honoured(protocol, request["split"], request["rows"], tags, request["model_name"])
    if request.get("shard"):
        pods.check_honoured(request["asked_pods"], protocol, request["split"])
    if protocol == "sas" and spec.kind != "csv":
        raise InvalidFile(*NOT_FOR_SAS)
