"""On how many pods a file is scored."""

from __future__ import annotations

import pytest

from scoring.errors import InvalidTags
from scoring.intake import pods

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "size", "count"),
    [
        ("1", 100 * GIB, 1),
        ("4", 1, 4),
        ("auto", 0, 1),
        ("auto", GIB, 1),
        ("auto", GIB + 1, 2),
        ("auto", 100 * GIB, 8),
    ],
)
def test_a_file_has_as_many_pods_as_it_asks_for_or_by_its_size(text: str, size: int, count: int) -> None:
    assert pods.number(text, size, 8, protocol="mlflow", split="file", is_own_text=True) == count


@pytest.mark.parametrize("text", ["auto", "4"])
def test_what_cannot_be_cut_has_one(text: str) -> None:
    """Text that is compressed, or written in another encoding, is found only from its beginning on."""
    assert pods.number(text, 100 * GIB, 8, protocol="mlflow", split="file", is_own_text=False) == 1


def test_what_a_container_gets_whole_has_one_and_is_refused_more() -> None:
    assert pods.number("auto", 100 * GIB, 8, protocol="sas", split="file", is_own_text=True) == 1
    assert pods.number("4", 1, 8, protocol="sas", split="rows", is_own_text=True) == 4
    for protocol, split in (("sas", "rows"), ("auto", "file"), ("mlflow", "file")):
        assert pods.checked("4", protocol, split, 8) == "4"
    with pytest.raises(InvalidTags, match="gets the file whole") as refused:
        pods.checked("4", "sas", "file", 8)
    assert "split=rows" in refused.value.remedy


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "", "٣"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidTags, match="from 1 on, or auto"):
        pods.checked(text, "auto", "file", 8)


def test_a_tag_is_held_to_the_stacks_limit_and_a_profile_is_not() -> None:
    with pytest.raises(InvalidTags, match="at most 8 are allowed"):
        pods.checked("9", "auto", "file", 8)
    assert pods.checked("9", "auto", "file", None) == "9"
    assert pods.number("9", 1, 8, protocol="auto", split="file", is_own_text=True) == 9
