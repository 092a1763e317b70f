"""Reading a request's query as Kubernetes reads it."""

from __future__ import annotations

from collections.abc import Mapping


def flag(query: Mapping[str, str], name: str) -> bool:
    """A parameter that is there is true, unless it says ``false`` or ``0`` (apimachinery: Convert_Slice_string_To_bool)."""
    return query.get(name, "false").lower() not in ("false", "0")
