"""The node's images: which are present, and how one is pulled."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from pathlib import Path

from local import images
from local.images import PulledImage


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

    def present(self, reference: str) -> PulledImage | None:
        """The image if it is on the node; raises ImageProblem (InvalidImageName) for what no runtime can read."""
        try:
            images.Reference.parse(reference)
        except images.InvalidReference as error:
            raise ImageProblem("InvalidImageName", str(error)) from error
        return self._present.get(reference)

    async def pull(self, reference: str) -> tuple[PulledImage, float]:
        """The image and the seconds it took; raises ImageProblem (ErrImagePull)."""
        start = time.monotonic()
        async with self._pulling[reference]:
            try:
                pulled = await asyncio.to_thread(images.pull, reference, self._registry_url, self._directory)
            except images.PullFailed as error:
                raise ImageProblem("ErrImagePull", str(error)) from error
        self._present[reference] = pulled
        return pulled, time.monotonic() - start
