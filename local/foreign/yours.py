"""A cluster of yours, as a stack uses its clusters."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local import parts
from local.foreign import Foreign, namespace
from local.foreign.api import Api
from local.foreign.images import Publisher


class Yours:
    """A cluster of yours, with a namespace made for the stack."""

    _publisher: Publisher
    environment: Mapping[str, str] = os.environ  # an exec plugin of the kubeconfig's needs what its user has set up

    def __init__(self, state: Path, foreign: Foreign) -> None:
        self._state, self._foreign = state, foreign
        self._api = Api(foreign)
        self.routes: Mapping[str, str] = {parts.CLUSTER: foreign.route}

    def program(self, _endpoint_url: str, _gateway_port: int) -> list[str | Path]:
        """Give the front's."""
        return ["local.foreign", *("--kubeconfig", self._foreign.kubeconfig), *("--context", self._foreign.context)]

    def check(self) -> None:
        namespace.check(self._foreign, self._api)
        self._publisher = Publisher.find(self._foreign, self._api, parts.MODELS_PYTHON)

    def build(self) -> dict[str, str]:
        """Build and publish at once, since no ECR is asked."""
        return {name: self._publisher.publish(folder, name) for name, folder in parts.model_folders().items()}

    def publish(self, _endpoint_url: str, built: Mapping[str, str]) -> dict[str, str]:
        return dict(built)

    def apply(self) -> dict[str, dict[str, Any]]:
        made = namespace.create(self._foreign, self._api, self._state)
        url = namespace.url(self._foreign, self._api, made)
        return {parts.CLUSTER: {"namespaces": [made], "route": self._foreign.route, "url": url}}

    def access(self) -> tuple[str, str]:
        return self._foreign.kubeconfig, self._foreign.context
