"""The embedded stack on a cluster of yours: pods run there, and everything of AWS on this machine.

The functions know EKS and nothing else. Hence the front (`front`): an API server to them, which has their tokens reviewed as
EKS does, and calls the real one as the user of your kubeconfig, who asks to be taken for whom the token is from. So the
cluster's own RBAC decides, as it does on EKS.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.processes import StackFailed

ROUTES = ("gateway", "ingress", "pod_ip")
RECORD = "foreign.json"
"""What a stack has made in a cluster of yours, in the stack's folder."""

_VARIABLES = ("KUBECONFIG", "CONTEXT", "REGISTRY", "ROUTE", "URL")


@dataclass(frozen=True)
class Foreign:
    """A cluster of yours, and how it is used.

    `kubeconfig` is a path, or several with colons between them; `registry` is a host with its port, empty where
    images are loaded into the cluster's nodes; `url` is where the gateway or ingress is reached from this machine, empty where the
    cluster says so itself.
    """

    kubeconfig: str
    context: str
    registry: str = ""
    route: str = "gateway"
    url: str = ""

    @classmethod
    def asked(cls, environ: Mapping[str, str] = os.environ) -> Foreign | None:
        """Read what `make` was told (it puts DROPSCORE_ before the variables); None for the embedded clusters.

        Raises
        ------
        StackFailed
            It does not say which cluster is meant, or names a route that there is not.
        """
        said = {name: value for name in _VARIABLES if (value := environ.get(f"DROPSCORE_{name}", ""))}
        if not said:
            return None
        if "CONTEXT" not in said:
            # Not the kubeconfig's current one: a cluster is meant when it is named.
            raise StackFailed(
                f"{', '.join(said)}: say which cluster is meant by CONTEXT=…, a context of the kubeconfig."
            )
        route, url = said.get("ROUTE", "gateway"), said.get("URL", "").rstrip("/")
        if route not in ROUTES:
            raise StackFailed(f"ROUTE must be one of {', '.join(ROUTES)}, not {route!r}.")
        if route == "ingress" and not url:
            raise StackFailed("ROUTE=ingress needs URL=…: where the ingress controller is reached from this machine.")
        paths = said.get("KUBECONFIG") or environ.get("KUBECONFIG") or "~/.kube/config"
        kubeconfig = os.pathsep.join(os.path.abspath(os.path.expanduser(path)) for path in paths.split(os.pathsep))  # noqa: PTH100, PTH111
        return cls(kubeconfig, said["CONTEXT"], said.get("REGISTRY", ""), route, url)


def leave(state: Path) -> None:
    """Remove what the stack of a folder has made in a cluster of yours. Does nothing if there is nothing.

    Raises
    ------
    StackFailed
        It may be left there; the message says how it is removed.
    """
    if (state / RECORD).exists():
        from local.foreign import namespace  # not before, since the Kubernetes client takes its time

        namespace.remove(state)
