"""What is found about an image or a model, and what to do about it (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from dropscore.check.containers import Image

GOOD, NOTE, BAD = "good", "note", "bad"


@dataclass(frozen=True)
class Finding:
    """One thing: `bad` would fail in the cluster, a `note` is to know. With it comes what the image's `profile` needs."""

    kind: str
    what: str
    remedy: str = ""
    profile: Mapping[str, Any] = field(default_factory=dict)


def of_image(image: Image, user: str) -> list[Finding]:
    """What a kubelet would say of the image's user; it runs as `user`, a number, if that is known."""
    runs_as = f" (it runs as user {user})" if user else ""
    if image.is_root:
        return [
            Finding(
                BAD,
                f"The image starts as root{runs_as}; a pod of dropscore's may not.",
                "Name a user by number in its Dockerfile (`USER 1000`). Where it insists on root, the administrator's profile can "
                "allow for it.",
                {"run_as_non_root": False},
            )
        ]
    if image.is_named:
        return [
            Finding(
                BAD,
                f"The image's user is the name {image.user!r}{runs_as}; a kubelet cannot tell that it is not root's.",
                f"Write it by number in its Dockerfile (`USER {user or 1000}`), or let the profile say it.",
                {"run_as_user": int(user) if user.isdecimal() else 1000},
            )
        ]
    return [Finding(GOOD, f"It runs as user {user or image.user}, who is not root.")]


def of_ports(port: int, listening: Set[tuple[int, bool]], *, is_ready: bool) -> list[Finding]:
    """What it means on which ports a container listens."""
    ports = dict(listening)
    if ports.get(port) is False or (is_ready and port not in ports):
        return [Finding(GOOD, f"It listens on port {port}.")]
    if ports.get(port):
        return [
            Finding(
                BAD,
                f"It listens on port {port} of loopback alone, which nobody outside of the pod reaches.",
                "Let it listen on 0.0.0.0.",
            )
        ]
    others = sorted(each for each, is_loopback in listening if not is_loopback)
    if not others:
        return [Finding(BAD, f"It does not listen on port {port}.", "Let it listen on 0.0.0.0:8080.")]
    return [
        Finding(
            BAD,
            f"It does not listen on port {port}, but on {', '.join(map(str, others))}.",
            "Let it listen on 8080, or let the administrator's profile name the port (here: --port).",
            {"port": others[0]},
        )
    ]


def of_batches(sent: Sequence[int], rows: int, seconds: float) -> Finding:
    """How fast it was, by how many requests."""
    rate = rows / seconds if seconds > 0 else 0.0
    by = f"{len(sent)} requests of up to" if len(sent) > 1 else "one request of"
    most = max(sent, default=0)
    return Finding(GOOD, f"{rows:,} records in {seconds:.2f} s ({rate:,.0f} a second), by {by} {most:,} bytes.")


def what_fits(
    image: str, protocol: str, tags: Mapping[str, str], found: Sequence[Finding]
) -> tuple[str, dict[str, Any]]:
    """The tags that fit, as S3 writes them, and the profile that the image needs besides (empty: none)."""
    fitting = {**({"model_image": image} if image else {}), **tags, "protocol": protocol}
    profile: dict[str, Any] = {}
    for each in found:
        profile |= each.profile
    return "&".join(f"{name}={value}" for name, value in fitting.items()), profile


def profile_text(image: str, profile: Mapping[str, Any]) -> str:
    """The profile as a parameter's value."""
    return json.dumps({**({"model_image": image} if image else {}), **profile})
