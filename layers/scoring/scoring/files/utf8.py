"""Whether bytes are UTF-8, looked at by little: a text as large as a chunk would not stay in a processor's cache, and memory
for it would be new to the process each time, which takes longer than to decode it.
"""

from __future__ import annotations

import codecs

# A character has four bytes at most.
_AT_ONCE_BYTES = 64 << 10


class NotUtf8(ValueError):
    """`place` is that of the first byte that is wrong, from the beginning of the data; negative for one before it."""

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


def check(data: bytes) -> None:
    """Look whether all of it is UTF-8.

    Raises
    ------
    NotUtf8
    """
    if begun := check_on(b"", data):
        raise NotUtf8(len(data) - len(begun))


def check_on(begun: bytes, data: bytes) -> bytes:
    """Look whether data is UTF-8 that goes on behind what has `begun` of a character; what has begun of one at its end.

    Raises
    ------
    NotUtf8
    """
    if not begun and data.isascii():
        return b""
    view, place = memoryview(data), -len(begun)
    while True:
        stop = max(place, 0) + _AT_ONCE_BYTES
        piece = view[place:stop] if place >= 0 else begun + data[:stop]
        try:
            _, taken = codecs.utf_8_decode(piece, "strict", False)
        except UnicodeDecodeError as error:
            raise NotUtf8(place + error.start) from error
        place += taken
        if stop >= len(data):
            return bytes(piece[taken:])
