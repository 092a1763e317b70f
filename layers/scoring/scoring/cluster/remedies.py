"""What to do about a container that does not serve, told by the words of the kubelet, the runtime or its own log (pure)."""

from __future__ import annotations

import re
from typing import NamedTuple

from scoring.errors import DropscoreError, abridged

ARGUMENTS = (
    "The image's command does something else than serve. Name what it wants in `args` (or `command`) of the image's "
    "profile; SageMaker's images want `serve`. Then drop the file again."
)
OF_ANOTHER = (
    "That container is none of the model's: the cluster puts it into each pod (a service mesh, an agent, a policy). Let the "
    "cluster's administrator repair it, or exempt the namespace from it, then redrive the execution."
)
ARCHITECTURE = (
    "Build the image for the architecture of the cluster's nodes (docker buildx build --platform linux/amd64 or linux/arm64, "
    "or both), or let the administrator name nodes of the image's architecture with `node_selector` "
    "(kubernetes.io/arch) in its profile. Then drop the file again."
)
_USER = (
    "Name the user by its number in the image's Dockerfile (`USER 1000`), or let the administrator set `run_as_user` to such a "
    "number in the image's profile{or_root}. Then drop the file again."
)
_REFUSED = (
    ("image will run as root", _USER.format(or_root=", or `run_as_non_root` to false where it insists on root")),
    ("non-numeric user", _USER.format(or_root="")),
)
_CAPABILITIES = (
    "Each pod drops all capabilities. Let the image start as the user that it serves as (`USER` with a number in its "
    "Dockerfile, no change of user or owner at its start), or let the administrator name what it needs (SETGID, SETUID, "
    "CHOWN) in `capabilities` of the image's profile. Then drop the file again."
)
_READ_ONLY = (
    "Let the image write to /tmp alone, or let the administrator set `read_only_root` to false in the image's profile. Then "
    "drop the file again."
)
# nginx, Python, su-exec and their like name the call and the kernel's word for it, in this order.
_NOT_PERMITTED = re.compile(r"(set(res|re|e)?[gu]id|setgroups|initgroups|chown)\b.*not permitted", re.IGNORECASE)
_LOG_LINE_CHARACTERS = 300


class Cause(NamedTuple):
    """What a text betrays, and what to do about it."""

    summary: str
    remedy: str


def of_refusal(message: str) -> str | None:
    """What to do about a container that a kubelet will not configure; None if its words are not known."""
    return next((remedy for words, remedy in _REFUSED if words in message), None)


def is_of_another_architecture(text: str) -> bool:
    """Whether a runtime, a registry or a shell says that the image is for other processors."""
    return "exec format error" in text.lower() or "no match for platform" in text


def of_log(log: str) -> Cause | None:
    """What the end of a container's log betrays."""
    if is_of_another_architecture(log):
        return Cause("The image is built for another processor architecture than the node's.", ARCHITECTURE)
    if _NOT_PERMITTED.search(log):
        return Cause("The image wants to change its user or an owner at its start, which it may not.", _CAPABILITIES)
    if "Read-only file system" in log:
        return Cause("The image writes to its root, which is read-only.", _READ_ONLY)
    return None


def explained(error: DropscoreError, log: str) -> DropscoreError:
    """The same error with what the log betrays, or else with its last words."""
    cause = of_log(log)
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")
    said = [error.summary, cause.summary if cause else "", f"The log ends: {_short(last)}" if last else ""]
    return type(error)(" ".join(filter(None, said)), cause.remedy if cause else error.remedy, **error.details)


def _short(line: str) -> str:
    return abridged(line, _LOG_LINE_CHARACTERS)
