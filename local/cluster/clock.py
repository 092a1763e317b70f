"""Times in the forms Kubernetes writes them."""

from __future__ import annotations

from datetime import UTC, datetime

NEVER = "1970-01-01T00:00:00Z"


def now() -> datetime:
    return datetime.now(UTC)


def seconds(moment: datetime | None = None) -> str:
    """RFC 3339 in whole seconds (metav1.Time), of now by default."""
    return (moment or now()).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro() -> str:
    """Now in RFC 3339 with microseconds (metav1.MicroTime)."""
    return now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> datetime:
    """Any of the forms above, back to an aware datetime."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def duration(seconds: float) -> str:
    """A length of time as Go prints it: ``114.262ms``, ``1m20s``."""
    if seconds < 1:
        return f"{seconds * 1000:.6g}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:.9g}s" if minutes else f"{rest:.9g}s"
