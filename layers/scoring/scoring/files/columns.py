"""Which columns a model sees and which come back: chosen by name or position, taken out of a record (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from scoring.errors import InvalidTags

_POSITIONS = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")
_NAMES_SHOWN = 30


@dataclass(frozen=True)
class Columns:
    """Some of the columns of records of `width` fields, by their places from 0, in the order of the file."""

    places: tuple[int, ...]
    width: int

    @classmethod
    def of(cls, places: Sequence[int | str] | None, width: int) -> Columns | None:
        """None where it is all of them."""
        return None if places is None else cls(tuple(int(place) for place in places), width)

    def __len__(self) -> int:
        return len(self.places)

    @cached_property
    def _rest(self) -> int:
        """From which place on all are taken: what is behind it need not be taken apart."""
        place = self.width
        while place and place - 1 in self._set:
            place -= 1
        return place

    @cached_property
    def _set(self) -> frozenset[int]:
        return frozenset(self.places)

    @cached_property
    def splits(self) -> tuple[int, tuple[int, ...]]:
        """How often a record has to be split, and which of the pieces are taken."""
        if self._rest < self.width:
            return self._rest, tuple(place for place in self.places if place <= self._rest)
        return self.places[-1] + 1, self.places

    def of_record(self, record: bytes, delimiter: bytes) -> list[bytes]:
        """The pieces of a record without quotes; the last may hold several fields."""
        splits, taken = self.splits
        pieces = record.split(delimiter, splits)
        return [pieces[place] for place in taken]

    def of_fields(self, fields: Sequence[bytes]) -> list[bytes]:
        """These of all fields."""
        return [fields[place] for place in self.places]


def places(tag: str, text: str, names: Sequence[str], width: int) -> list[int]:
    """The columns that a tag names: names, positions from 1, or ranges of these, with spaces between them.

    Raises
    ------
    InvalidTags
        There is no such column, or what is meant cannot be told.
    """
    found: set[int] = set()
    for word in text.split():
        by_name = [place for place, name in enumerate(names) if name == word]
        match = _POSITIONS.fullmatch(word)
        by_position = range(int(match[1]) - 1, int(match[2] or match[1])) if match else range(0)
        is_position = bool(match) and 0 <= by_position.start < by_position.stop <= width
        if by_name and is_position and list(by_position) != by_name and (match is None or not match[2]):
            there = ", ".join(f"{place + 1}-{place + 1}" for place in by_name)
            raise InvalidTags(
                f"The tag {tag} says {word}, which is the name of a column and the position of another.",
                f"Write {there} for the column of that name, or {word}-{word} for the position, and drop the file again.",
            )
        if by_name and not (match and match[2]):
            found.update(by_name)
        elif is_position:
            found.update(by_position)
        else:
            known = ", ".join(names[:_NAMES_SHOWN]) + (" …" if len(names) > _NAMES_SHOWN else "")
            raise InvalidTags(
                f"The tag {tag} says {word}, but the file has no such column: it has {width}"
                + (f" ({known})." if names else ", and no header that gives them names."),
                f"Correct the tag {tag}: names or positions (from 1, also 7-9), with spaces between them.",
            )
    return sorted(found)
