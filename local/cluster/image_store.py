"""The node's images: which are present, and how one is pulled (the kubelet's EnsureImageExists)."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from local import images
from local.cluster import clock
from local.cluster.events import EventType
from local.images import PulledImage

# Writes an event about the container that wants the image: type, reason, message.
Tell = Callable[[EventType, str, str], None]


class ImageProblem(Exception):
    """An image cannot be had; ``reason`` is the kubelet's word for it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class ImageStore:
    """Pulls images from one registry into one directory."""

    def __init__(self, registry_url: str, directory: Path) -> None:
        self._registry_url = registry_url
        self._directory = directory
        self._present: dict[str, PulledImage] = {}
        self._pulling: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, reference: str, policy: str, tell: Tell) -> PulledImage:
        """The image, pulled if the pull policy wants it. ``tell`` writes the events; raises ImageProblem."""
        try:
            images.Reference.parse(reference)
        except images.InvalidReference as error:
            tell("Warning", "InspectFailed", str(error))
            raise ImageProblem("InvalidImageName", str(error)) from error
        present = self._present.get(reference)
        if present and policy != "Always":
            tell("Normal", "Pulled", f'Container image "{reference}" already present on machine')
            return present
        if policy == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", message)
            raise ImageProblem("ErrImageNeverPull", message)
        tell("Normal", "Pulling", f'Pulling image "{reference}"')
        start = time.monotonic()
        try:
            async with self._pulling[reference]:
                pulled = await asyncio.to_thread(images.pull, reference, self._registry_url, self._directory)
        except images.PullFailed as error:
            tell("Warning", "Failed", f'Failed to pull image "{reference}": {error}')
            raise ImageProblem("ErrImagePull", str(error)) from error
        self._present[reference] = pulled
        took = clock.duration(time.monotonic() - start)
        tell("Normal", "Pulled", f'Successfully pulled image "{reference}" in {took}')
        return pulled
