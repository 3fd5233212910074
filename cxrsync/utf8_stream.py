"""A file's bytes as UTF-8, whatever it is stored in: plain, gzip, UTF-8 or UTF-16.

Gzip is recognized by its first bytes, not by its name; UTF-16 by its mark, or by a first character
whose other byte is zero. A stream is never trusted: see the limits.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO

# The limit of uncompressed bytes. The largest real table has about 50 MB.
MAX_BYTES = 4 << 30
# After the first bytes no table is compressed this well; gzip's own limit is about 1,030.
BOMB_FROM_BYTES = 64 << 20
BOMB_RATIO = 1000

_PIECE = 128 << 10
_GZIP = b"\x1f\x8b"
_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class UnreadableStream(Exception):
    """The bytes cannot be read to their end; the text says why."""


def utf8_pieces(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the uncompressed text of a stream as UTF-8, without a byte order mark.

    The stream is read from its current position and stays open. Text that says that it is UTF-8 is
    not checked. Raises UnreadableStream during the iteration, possibly at the end.
    """
    pieces = _pieces(stream)
    head = next(pieces, b"")
    while 0 < len(head) < len(codecs.BOM_UTF8) and (more := next(pieces, b"")):
        head += more
    coded = _utf_16(head)
    if coded is not None:
        yield from _transcoded(chain([head], pieces), coded)
        return
    if first := head.removeprefix(codecs.BOM_UTF8):
        yield first
    yield from pieces


def _utf_16(head: bytes) -> str | None:
    if len(head) < 2 or head[:2] == b"\0\0":
        return None
    if head[0] == 0:
        return "utf-16-be"
    return "utf-16-le" if head[1] == 0 else _UTF_16.get(head[:2])


def _transcoded(pieces: Iterable[bytes], coded: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(coded)()
    is_first = True
    try:
        for piece in chain(pieces, [b""]):
            text = decoder.decode(piece, final=not piece)
            if text and is_first:
                text, is_first = text.removeprefix("\ufeff"), False
            if text:
                yield text.encode()
    except UnicodeError:
        raise UnreadableStream("not valid UTF-16") from None


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the uncompressed bytes in pieces of at most _PIECE."""
    source = _Counted(stream)
    total = 0
    for piece in _uncompressed(source) if source.is_gzip else iter(source.piece, b""):
        total += len(piece)
        if total > MAX_BYTES:
            raise UnreadableStream(f"more than {MAX_BYTES:,} bytes")
        if total > BOMB_FROM_BYTES and total > BOMB_RATIO * source.bytes_read:
            raise UnreadableStream(f"expands to more than {BOMB_RATIO:,} times its size")
        yield piece


def _uncompressed(source: _Counted) -> Iterator[bytes]:
    unpacked = gzip.GzipFile(fileobj=source)
    try:
        while piece := unpacked.read1(_PIECE):
            yield piece
    except EOFError:
        raise UnreadableStream("cut off: its gzip stream does not end") from None
    except (gzip.BadGzipFile, zlib.error):
        raise UnreadableStream("damaged gzip") from None


class _Counted(io.BufferedIOBase):
    """A stream that recognizes gzip by its first bytes, and counts the bytes read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._head = stream.read(len(_GZIP))
        if len(self._head) == 1:  # an unbuffered stream may return less than was asked for
            self._head += stream.read(1)
        self.is_gzip = self._head == _GZIP
        self.bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._head or self._stream.read(-1 if size is None else size)
        self._head = b""
        self.bytes_read += len(data)
        return data

    def piece(self) -> bytes:
        """Return the next piece of bytes."""
        return self.read(_PIECE)
