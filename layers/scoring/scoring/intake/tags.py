"""The tags that a file may have: their names and what they may say. A profile may say the same."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from scoring.errors import InvalidTags

# The name in the documentation first; the others mean the same.
ALIASES: dict[str, tuple[str, ...]] = {
    "profile": (),
    "model_image": ("modelimagename",),
    "eks_cluster": ("k8scluster",),
    "k8s_namespace": ("k8snamespace",),
    "ingress_url": ("k8singressurl",),
    "protocol": (),
    "model_name": (),
    "split": (),
    "rows": (),
    "max_errors": (),
    "header": (),
    "delimiter": (),
    "decimal": (),
    "escape": (),
    "encoding": (),
    "exclude": (),
    "include": (),
    "output": (),
    "cpu": (),
    "memory": (),
    "gpu": (),
    "pods": (),
}
# A tag cannot hold most of these characters itself.
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
CHOICES = {
    "split": ("file", "rows"),
    "rows": ("same", "any"),
    "header": ("first", "none"),
    "delimiter": tuple(DELIMITERS),
    "decimal": ("point", "comma"),
    "escape": ("double", "backslash"),
}
"""What those tags may say that choose among a few words; the first is what counts without the tag, or what is looked for."""
READING = ("header", "delimiter", "decimal", "escape", "encoding", "exclude", "include", "output")
"""The tags that say how the file is to be read: the file itself decides what they come to."""
# It goes into a path of the model server's, which does not lead out of it.
MODEL_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")


def by_name(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags under their documented names; empty and unknown ones left out.

    Raises
    ------
    InvalidTags
        Both names of one tag are there and differ.
    """
    values: dict[str, str] = {}
    for name, aliases in ALIASES.items():
        found = {tags[key].strip() for key in (name, *aliases) if tags.get(key, "").strip()}
        if len(found) > 1:
            raise InvalidTags(f"The tags {' and '.join((name, *aliases))} mean the same but differ.")
        if found:
            values[name] = found.pop()
    return values


def check_honoured(protocol: str, split: str, rows: str, tags: Collection[str], model_name: str) -> None:
    """Refuse what a model of the protocol cannot honour; with `auto`, what none can.

    Parameters
    ----------
    tags
        Those that are there.

    Raises
    ------
    InvalidTags
    """
    if protocol == "sas" and split == "file":
        _refuse(
            tags, ("exclude", "include", "output", "max_errors"), "split=rows", "a sas container gets the file whole"
        )
    if protocol not in ("sas", "auto") and rows == "any":
        raise InvalidTags(
            f"The tag rows is any, but a model of the protocol {protocol} answers each record.", "Leave the tag out."
        )
    if rows == "any":
        _refuse(tags, ("exclude", "include", "output", "max_errors"), "", "with rows=any no row belongs to a record")
    if model_name and protocol == "sas":
        if split == "file":
            _refuse(("model_name",), ("model_name",), "split=rows", "each call of a model takes a batch")
        if rows == "any":
            raise InvalidTags(
                "The tag rows is any, but a call of a sas model by its model_name says nothing of how its script ended.",
                "Leave one of the two out.",
            )
    elif model_name and protocol not in ("oip", "auto"):
        raise InvalidTags(
            f"The tag model_name is {model_name!r}, but a container of the protocol {protocol} has one model.",
            "Leave the tag out.",
        )


def _refuse(tags: Collection[str], refused: tuple[str, ...], instead: str, why: str) -> None:
    """No tag is ignored that would change a result."""
    if found := [tag for tag in refused if tag in tags]:
        remedy = f"Tag the file with {instead}, too, or leave {found[0]} out." if instead else f"Leave {found[0]} out."
        raise InvalidTags(f"The tag {found[0]} cannot be honoured: {why}.", remedy)
