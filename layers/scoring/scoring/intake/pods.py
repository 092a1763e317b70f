"""How many pods a file is scored on, side by side."""

from __future__ import annotations

from scoring.errors import InvalidTags

AUTO = "auto"
# With `auto`, a pod for so much: a minute's work of a model of 25 MB/s or so, which is what a pod's start takes.
_BYTES_A_POD = 1 << 30


def checked(text: str, protocol: str, split: str, most: int | None) -> str:
    """What the tag says, if it can be honoured; without `most`, it is a profile's word.

    Raises
    ------
    InvalidTags
    """
    if text != AUTO and not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise InvalidTags(f"The tag pods is {text!r}; it must be a number of pods from 1 on, or auto.")
    if text != AUTO and most is not None and int(text) > most:
        raise InvalidTags(f"The tag pods asks for {text}; at most {most} are allowed (MaxPodsPerFile).")
    if text not in (AUTO, "1"):
        check_honoured(text, protocol, split)
    return text


def check_honoured(text: str, protocol: str, split: str) -> None:
    """Refuse several pods for what gets a file whole.

    Raises
    ------
    InvalidTags
    """
    if protocol == "sas" and split == "file":
        raise InvalidTags(
            f"The tag pods is {text}, but a sas container gets the file whole.",
            "Tag the file with split=rows, too, or leave pods out.",
        )


def number(text: str, size: int, most: int, *, protocol: str, split: str, is_own_text: bool) -> int:
    """How many pods there are to be for a file of `size` bytes: one where it cannot be cut without being read from its
    beginning, and where a container gets it whole.
    """
    if text == "1" or not is_own_text or (protocol == "sas" and split == "file"):
        return 1
    return max(min(-(-size // _BYTES_A_POD), most), 1) if text == AUTO else int(text)
