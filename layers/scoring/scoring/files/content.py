"""The dropped object as UTF-8 text: inflated where it is compressed, decoded where it is written otherwise.

Memory is constant. A place in the text is found again by inflating and decoding anew up to it: neither gives its inner
state away. A file that is plain UTF-8 is its own text, and is read on from any byte.
"""

from __future__ import annotations

import codecs
import encodings.aliases
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from scoring.errors import InvalidFile, InvalidTags
from scoring.files import objects
from scoring.files.checksums import Digest
from scoring.files.ranges import Connections
from scoring.intake.identity import Source

UTF8, GZIP = "utf-8", "gzip"
_CHUNK_BYTES = 1 << 20
# What Python knows under the name of an encoding and is none for a file of text, or names another by the machine's locale.
_NOT_TEXT = {"idna", "mbcs", "oem", "punycode", "raw_unicode_escape", "undefined", "unicode_escape", "utf_7"}


def encoding(name: str) -> str:
    """The name of a text encoding as Python writes it; `utf-8-sig` and other names of UTF-8 are `utf-8`.

    Raises
    ------
    InvalidTags
        Python has no text encoding of that name.
    """
    normal = encodings.normalize_encoding(name).lower()
    normal = encodings.aliases.aliases.get(normal, normal)
    # Only what Python lists: the name of a codec is the name of a module that would be imported.
    if normal in {*encodings.aliases.aliases.values(), "utf_8_sig"} - _NOT_TEXT:
        found = codecs.lookup(normal)
        if found._is_text_encoding:
            return UTF8 if found.name == "utf-8-sig" else found.name
    raise InvalidTags(
        f"The tag encoding is {name!r}, which is not the name of a text encoding.",
        "Write it as Python does, for example latin-1, cp1252, cp850, utf-16 or shift_jis.",
    )


def read(
    s3: Any,
    source: Source,
    compression: str,
    written: str,
    offset: int,
    digest: Callable[[int], Digest],
    stop: int | None,
    connections: Connections,
) -> tuple[Iterator[bytes], Digest, Callable[[bytes], None]]:
    """The text from byte `offset` on; of a file that is its own text, to before `stop`, if that is given.

    Returns
    -------
    tuple
        The chunks; the checksum of the object's own bytes; and what is to be told of the text that is done with (for a
        file that is its own text, that is what the checksum is of).
    """
    if not compression and written == UTF8:
        whole = digest(offset)
        return objects.read(s3, source, offset, stop, connections), whole, whole.update
    whole = digest(0)
    chunks: Iterator[bytes] = whole.pass_on(objects.read(s3, source, connections=connections))
    return skipped(text(chunks, compression, written), offset), whole, lambda _: None


def text(chunks: Iterable[bytes], compression: str, written: str) -> Iterator[bytes]:
    """An object's own bytes as UTF-8.

    Raises
    ------
    InvalidFile
        They are not what they are said to be.
    """
    inner = inflated(chunks) if compression == GZIP else iter(chunks)
    return inner if written == UTF8 else decoded(inner, written)


def inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What is in a gzip file of one member or several, in chunks of at most 1 MiB.

    Zeros behind the last member are padding (RFC 1952 says nothing of them; `gzip` itself ignores them).

    Raises
    ------
    InvalidFile
        It is broken, or cut short.
    """
    member = zlib.decompressobj(wbits=31)
    began, offset = False, 0
    for chunk in chunks:
        rest = chunk
        while rest:
            if member.eof or not began:
                if member.eof:
                    # Between two members there is nothing, or padding behind the last.
                    rest = rest.lstrip(b"\0")
                    if not rest:
                        break
                    member = zlib.decompressobj(wbits=31)
                began = True
            try:
                out = member.decompress(rest, _CHUNK_BYTES)
            except zlib.error as error:
                raise InvalidFile(
                    f"The gzip file is broken after {offset} bytes of what is in it: {error}.", "Compress it anew."
                ) from error
            if out:
                offset += len(out)
                yield out
            rest = member.unused_data if member.eof else member.unconsumed_tail
    while began and not member.eof:
        # What zlib holds back of a chunk that was larger inflated than it may give at once.
        out = member.decompress(member.unconsumed_tail, _CHUNK_BYTES)
        if not out:
            break
        offset += len(out)
        yield out
    if began and not member.eof:
        raise InvalidFile(
            f"The gzip file is cut short: it ends after {offset} bytes of what is in it, before its own end.",
            "Upload the whole file.",
        )


def decoded(chunks: Iterable[bytes], written: str) -> Iterator[bytes]:
    """Text in an encoding of Python's as UTF-8.

    Raises
    ------
    InvalidFile
        It is not in that encoding.
    """
    decoder = codecs.getincrementaldecoder(written)()
    lines = 0
    try:
        for chunk in chunks:
            characters = decoder.decode(chunk)
            lines += characters.count("\n")
            if characters:
                yield characters.encode()
        characters = decoder.decode(b"", True)
        if characters:
            yield characters.encode()
    except UnicodeError as error:
        raise InvalidFile(
            f"The file is not {written}, in or after line {lines + 1}: {getattr(error, 'reason', error)}.",
            "Correct the tag encoding=, or the file, and drop it again.",
        ) from error


def skipped(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The chunks without their first `size` bytes."""
    for chunk in chunks:
        if len(chunk) > size:
            yield chunk[size:]
        size = max(size - len(chunk), 0)
