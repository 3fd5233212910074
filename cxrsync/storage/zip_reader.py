"""Reads a ZIP archive on the disk member by member, in memory that does not grow with the archive.

Python's own ``zipfile`` keeps some 500 bytes for each member: 160 MiB for the 227,835 reports of
mimic-cxr-reports.zip. This module reads the central directory in blocks and keeps none of it: it
needs 18 MiB.

The format is PKWARE's APPNOTE.TXT; comments give the section that a rule comes from. What an
archive says of itself is checked, never trusted. Whether a member's path is safe is not checked
here: the caller publishes only paths that the manifest lists.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from cxrsync.errors import CxrsyncError

# Each begins with its signature; "x" skips fields that are not needed here.
_LOCAL = struct.Struct("<4s22xHH")  # 4.3.7: lengths of name and extra field
_ENTRY = struct.Struct("<4s4xHH4xLLL3H8xL")  # 4.3.12
_END = struct.Struct("<4s4H2LH")  # 4.3.16
_WIDE_END = struct.Struct("<4s12x2L4Q")  # 4.3.14
_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_EXTRA = struct.Struct("<HH")  # 4.5.1

_LONGEST_LENGTH = 0xFFFF  # of a name, an extra field, a comment
_LONGEST_ENTRY = _ENTRY.size + 3 * _LONGEST_LENGTH
# Larger than any entry, so that one read always completes the next one.
_BLOCK = 1 << 18

_WIDE = 0xFFFF_FFFF  # "see the zip64 extra field"
_WIDE_KIND = 1  # 4.5.3
_COUNTS = 1 << 16
_WIDE_COUNTS = 1 << 64

# 4.4.4: encrypted, patched data, strong encryption, masked headers.
_UNREADABLE = 0x0001 | 0x0020 | 0x0040 | 0x2000
_UTF8 = 0x0800
_STORED = 0
_DEFLATED = 8


class InvalidArchive(CxrsyncError):
    """An archive, or a member of it, is not what it claims. Its files can be downloaded singly."""


class Member(NamedTuple):
    """A file in the archive, as the central directory describes it."""

    name: str
    size: int
    """Bytes, unpacked."""
    packed: int
    """Bytes in the archive."""
    method: int
    flags: int
    crc: int
    header: int
    """The offset of its local header in the archive, in bytes."""


class _Directory(NamedTuple):
    start: int
    stop: int
    claimed: int
    """The number of entries, modulo ``counts``."""
    counts: int


def members(fd: int) -> Iterator[Member]:
    """Yield every file of the archive's central directory, in its order, without folders.

    Files that are listed before a damaged entry have been yielded when it raises. Raises
    :class:`InvalidArchive`, OSError.
    """
    directory = _find_directory(fd)
    unread = directory.start
    count = at = 0
    block = b""
    while at < len(block) or unread < directory.stop:
        if len(block) - at < _LONGEST_ENTRY and unread < directory.stop:
            fresh = _read(fd, unread, min(_BLOCK, directory.stop - unread))
            unread += len(fresh)
            block = block[at:] + fresh
            at = 0
        if len(block) - at < _ENTRY.size:
            raise InvalidArchive("the archive's directory ends in the middle of an entry")
        signature, flags, method, crc, packed, size, *lengths, header = _ENTRY.unpack_from(
            block, at
        )
        if signature != b"PK\1\2":
            raise InvalidArchive("the archive's directory has something else than an entry in it")
        name_stop = at + _ENTRY.size + lengths[0]
        extra_stop = name_stop + lengths[1]
        raw_name = block[at + _ENTRY.size : name_stop]
        at = extra_stop + lengths[2]
        if at > len(block):
            raise InvalidArchive("the archive's directory ends in the middle of an entry")
        count += 1
        if raw_name.endswith(b"/"):
            continue
        try:
            name = raw_name.decode(_encoding(flags))
        except UnicodeDecodeError:
            raise InvalidArchive(f"a name in the archive is not UTF-8: {raw_name!r}") from None
        if _WIDE in (size, packed, header):
            extra = block[name_stop:extra_stop]
            size, packed, header = _widened(name, (size, packed, header), extra)
        yield Member(name, size, packed, method, flags, crc, header)
    if count % directory.counts != directory.claimed:
        raise InvalidArchive(f"the archive has {count:,} entries and claims {directory.claimed:,}")


def read_member(fd: int, member: Member, limit: int) -> bytes:
    """Return the bytes of ``member``, after checking their size and CRC-32.

    ``limit``: how many bytes it may have. No more than its claimed size is ever unpacked or kept in
    memory. Raises :class:`InvalidArchive`, OSError.
    """
    if member.size > limit:
        raise InvalidArchive(
            f"{member.name!r} claims {member.size:,} bytes, but may have {limit:,}"
        )
    if member.flags & _UNREADABLE:
        raise InvalidArchive(f"{member.name!r} is encrypted, or a patch of another file")
    if member.method not in {_STORED, _DEFLATED}:
        raise InvalidArchive(f"{member.name!r} is packed by method {member.method}")
    name = member.name.encode(_encoding(member.flags))
    local = _read(fd, member.header, _LOCAL.size + len(name))
    signature, name_length, extra_length = _LOCAL.unpack_from(local)
    if signature != b"PK\3\4" or name_length != len(name) or local[_LOCAL.size :] != name:
        raise InvalidArchive(f"{member.name!r} is not where the archive's directory says")
    # Sizes and CRC of the local header are ignored: they are 0 for a streamed member (4.4.4).
    start = member.header + len(local) + extra_length
    if member.method == _DEFLATED:
        data = _inflated(fd, start, member)
    elif member.packed == member.size:
        data = _read(fd, start, member.size)
    else:
        raise InvalidArchive(f"{member.name!r} is stored, and claims two different sizes")
    if len(data) != member.size:
        raise InvalidArchive(f"{member.name!r} has {len(data):,} bytes and claims {member.size:,}")
    if zlib.crc32(data) != member.crc:
        raise InvalidArchive(f"{member.name!r} has another CRC than the archive's directory says")
    return data


def _inflated(fd: int, start: int, member: Member) -> bytes:
    """Return the inflated bytes from ``start`` on: at most one byte more than claimed."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    stop = start + member.packed
    parts: list[bytes] = []
    size = 0
    # Block by block: its claimed size in the archive can be wrong as well.
    while start < stop and size <= member.size and not inflater.eof:
        block = _read(fd, start, min(_BLOCK, stop - start))
        start += len(block)
        try:
            parts.append(inflater.decompress(block, member.size + 1 - size))
        except zlib.error:
            raise InvalidArchive(f"{member.name!r} is damaged") from None
        size += len(parts[-1])
    if size > member.size:
        raise InvalidArchive(f"{member.name!r} has more bytes than the {member.size:,} it claims")
    if not inflater.eof or inflater.unused_data or start < stop:
        raise InvalidArchive(f"{member.name!r} does not end where it claims to")
    return b"".join(parts)


def _find_directory(fd: int) -> _Directory:
    """Return where the central directory is, according to the end records: right before them."""
    total = os.fstat(fd).st_size
    tail_start = max(0, total - _END.size - _LONGEST_LENGTH)
    tail = _read(fd, tail_start, total - tail_start)
    at = len(tail)
    # A comment may hold the signature too; the record's own comment reaches to the file's end.
    while (at := tail.rfind(b"PK\5\6", 0, at)) >= 0:
        if at + _END.size <= len(tail):
            _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
            if at + _END.size + comment == len(tail):
                break
    else:
        raise InvalidArchive("not a ZIP archive: it has no end record, or is cut short")
    stop = tail_start + at
    # With more than 65,535 entries and no zip64 record, some writers (macOS's among them) let the
    # count overflow. The offset and the size of the directory are still right.
    counts = _COUNTS
    if stop >= _LOCATOR.size:
        signature, _, wide_end, _ = _LOCATOR.unpack(_read(fd, stop - _LOCATOR.size, _LOCATOR.size))
        if signature == b"PK\6\7":
            stop = wide_end
            counts = _WIDE_COUNTS
            signature, disk, first_disk, here, count, size, start = _WIDE_END.unpack(
                _read(fd, wide_end, _WIDE_END.size)
            )
            if signature != b"PK\6\6":
                raise InvalidArchive("the archive's zip64 end record is not where it should be")
    if disk or first_disk or here != count:
        raise InvalidArchive("the archive is one part of several")
    if start + size != stop:
        raise InvalidArchive("the archive's directory is not where its end record says")
    return _Directory(start, stop, count, counts)


def _widened(name: str, fields: tuple[int, int, int], extra: bytes) -> Iterator[int]:
    """Return the fields in the order of 4.5.3; those that need 64 bits come from ``extra``."""
    needed = fields.count(_WIDE)
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if kind == _WIDE_KIND:
            if 8 * needed > min(length, len(extra) - at):
                break
            wide = iter(struct.unpack_from(f"<{needed}Q", extra, at))
            return (next(wide) if field == _WIDE else field for field in fields)
        at += length
    raise InvalidArchive(f"{name!r} has a size or an offset that the archive does not give")


def _encoding(flags: int) -> str:
    """Return the encoding of a name (appendix D). Both encode back to the same bytes."""
    return "utf-8" if flags & _UTF8 else "cp437"


def _read(fd: int, start: int, count: int) -> bytes:
    """Return exactly ``count`` bytes from ``start`` on. Raises InvalidArchive if the file is
    shorter.

    The file's size is checked first: a count from a damaged archive must not become a buffer.
    """
    if start + count > os.fstat(fd).st_size:
        raise InvalidArchive("the archive points beyond its own end")
    data = os.pread(fd, count, start)
    while len(data) < count:
        more = os.pread(fd, count - len(data), start + len(data))
        if not more:
            raise InvalidArchive("the archive became shorter while it was read")
        data += more
    return data
