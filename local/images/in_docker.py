"""Images that this machine's Docker has built: described to the registry, and left where they are."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.images.blobs import move_into_place
from local.images.build import CACHE
from local.images.oci import IN_DOCKER, Image, write_image

# What of Docker's own description a container is run with; the words are the same in both.
_CONFIG = ("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "WorkingDir")


def describe(inspected: Mapping[str, Any], cache: Path = CACHE) -> Image:
    """Make the image that a registry is given in the place of one of Docker's: its configuration, and no layers.

    Parameters
    ----------
    inspected
        What `docker image inspect` says of it.
    """
    layout = cache / "in-docker" / str(inspected["Id"]).removeprefix("sha256:")
    if not layout.is_dir():
        layout.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=layout.parent, prefix=".describing-") as scratch:
            made = Path(scratch, "layout")
            made.mkdir()
            config = {name: inspected["Config"][name] for name in _CONFIG if inspected["Config"].get(name)}
            write_image(made, [], config, {IN_DOCKER: inspected["Id"]})
            move_into_place(made, layout)
    return Image.read(layout)
