"""How the container of a model is started: as its protocol's own images expect it, then as the profile says."""

from __future__ import annotations

from typing import Any

from scoring.intake import schema
from scoring.intake.profiles import Profile
from scoring.intake.quantities import quantity
from scoring.intake.state import PORT


def pod(protocol: str, resources: dict[str, str], profile: Profile) -> dict[str, Any]:
    """The `pod` of the request: its `port`, and what else the protocol and the profile say, under the profile's keys.

    Variables merge by name. A command of the profile's own is not given the protocol's arguments.
    """
    said = profile.part(schema.POD)
    port = said.get("port", PORT)
    own: dict[str, Any] = {"port": port}
    variables: dict[str, str] = {}
    if protocol == "sagemaker":
        # SageMaker Developer Guide, "Custom Inference Code with Hosting Services": `docker run IMAGE serve`; images that
        # are made for it have no CMD.
        own |= {"args": ["serve"]}
    # A container whose protocol is not told gets the variables of each: to the others they say nothing.
    if protocol in ("sagemaker", "auto"):
        # Without SAGEMAKER_BATCH, XGBoost's answers a batch in one line.
        variables |= {"SAGEMAKER_BATCH": "true", "SAGEMAKER_BIND_TO_PORT": str(port)}
    if protocol in ("mlflow", "auto"):
        # MLflow's image starts a worker for each core of the node, each with the model in its memory, and the pod has
        # the memory that was asked for (mlflow/models/container: MLFLOW_MODELS_WORKERS, else cpu_count).
        variables |= {"MLFLOW_MODELS_WORKERS": str(max(int(quantity(resources["cpu"]) or 1), 1))}
    env = variables | said.get("env", {})
    if "command" in said:
        own.pop("args", None)
    return own | said | ({"env": env} if env else {})
