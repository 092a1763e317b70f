"""Profiles: named sets of values in SSM Parameter Store that count where a file's tags say nothing.

Whoever may write such a parameter is an administrator: a profile may say more than tags, and is not held within what tags
may ask for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from scoring.errors import DropscoreError, InvalidProfile, InvalidTags
from scoring.intake import schema
from scoring.intake.parameters import Stored, Version

# Two ways to say which columns a model sees: who says one takes back the other.
_OTHER_WAY = {"exclude": "include", "include": "exclude"}


@dataclass(frozen=True)
class Profile(Version):
    """A profile that counts for a file, which may have none; `values` is all it says, each as the schema has it."""

    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tags(self) -> dict[str, str]:
        """What it says that tags may say, too, as tags write it."""
        return {name: str(value) for name, value in self.part(schema.TAGS).items()}

    @property
    def locked(self) -> tuple[str, ...]:
        return tuple(self.values.get("locked", ()))

    def part(self, keys: tuple[str, ...]) -> dict[str, Any]:
        """What it says under some of the keys."""
        return {key: self.values[key] for key in keys if key in self.values}

    def checked(self, tags: Mapping[str, str]) -> dict[str, str]:
        """What the tags of a file say, and the profile where they are silent.

        Raises
        ------
        InvalidTags
            A tag says other than what the profile has locked.
        """
        said = self.tags
        for name in self.locked:
            other = _OTHER_WAY.get(name, "")
            for tag in (name, other):
                if tag in tags and tags[tag] != said.get(tag) and (tag == name or name in said) and tag != "profile":
                    raise InvalidTags(
                        f"The tag {tag} is {tags[tag]!r}, but the profile {self.label} has locked {name}.",
                        f"Leave the tag {tag} out, or ask the administrator to change the profile.",
                    )
        return {name: value for name, value in said.items() if _OTHER_WAY.get(name) not in tags} | dict(tags)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Let the reader of an error know that there is a profile, which may be what has to be corrected."""
        try:
            yield
        except DropscoreError as error:
            if self.name:
                if isinstance(error, InvalidTags):
                    error.summary += f" (What the tags do not say, the profile {self.label} says.)"
                error.details.setdefault("profile", self.identity)
            raise


NONE = Profile()
"""For a file without a profile."""


def choose(stored: Mapping[str, Stored], wanted: str, path: str) -> Profile:
    """The profile of a file: the one that its tag wants, else that of the longest folder that its path lies in.

    Parameters
    ----------
    path
        Of the file below the input prefix.

    Raises
    ------
    InvalidTags
        There is no such profile, or the folder's own may not be left.
    InvalidProfile
        The profile that counts is broken, or nobody can tell which one counts.
    """
    documents = {name: _document(one) for name, one in sorted(stored.items())}
    folders = [(folder, name) for name, found in documents.items() for folder in found.get("folders", ())]
    longest = max((folder for folder, _ in folders if path.startswith(folder)), key=len, default=None)
    owners = [name for folder, name in folders if folder == longest]
    if len(owners) > 1:
        others = " and ".join(stored[name].label for name in owners[1:])
        raise _invalid(stored[owners[0]], f"says the folder {longest!r}, and so does {others}")
    name = wanted or (owners[0] if owners else "")
    if not name:
        return NONE
    if name not in stored:
        raise InvalidTags(
            f"The tag profile is {name!r}, and there is no such profile ({', '.join(documents) or 'there is none'})."
        )
    if owners and name != owners[0] and "profile" in documents[owners[0]].get("locked", ()):
        raise InvalidTags(
            f"The tag profile is {name!r}, but the profile {stored[owners[0]].label} of the folder {longest!r} is locked.",
            "Leave the tag profile out, or drop the file in another folder.",
        )
    if wrong := schema.problem(documents[name]):
        raise _invalid(stored[name], f"is broken: {wrong}")
    return Profile(name, stored[name].version, documents[name])


def _document(stored: Stored) -> dict[str, Any]:
    """What a profile says, its `folders` and `locked` checked: these decide about files that have other profiles, too."""
    try:
        found = stored.document()
    except ValueError as error:
        raise _invalid(stored, f"is not JSON ({error}), so nobody can tell which files it is for") from error
    if not isinstance(found, dict):
        raise _invalid(stored, "is not a JSON object, so nobody can tell which files it is for")
    for key in ("folders", "locked"):
        if wrong := schema.problem(found.get(key, []), schema.SCHEMA["properties"][key], key):
            raise _invalid(stored, f"is broken: {wrong}")
    return found


def _invalid(stored: Stored, summary: str) -> InvalidProfile:
    return InvalidProfile(f"The profile {stored.label} {summary}.", profile=stored.identity)
