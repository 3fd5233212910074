"""Archives, against Python's own zipfile; and whatever is done to one, it is never believed."""

import io
import os
import random
import struct
import tempfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.storage import zip_reader as module
from cxrsync.storage.zip_reader import InvalidArchive, Member, members, read_member

many = settings(max_examples=examples(200))

MOST = 1 << 20
REPORT = b"FINAL REPORT\nEXAMINATION: CHEST (PA AND LAT)\n" * 9
NOISE = random.Random(5).randbytes(600)


@contextmanager
def opened(data: bytes) -> Iterator[int]:
    """A descriptor of a file that holds ``data``."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.fileno()


def contents(data: bytes) -> list[tuple[str, bytes]]:
    with opened(data) as fd:
        return [(member.name, read_member(fd, member, MOST)) for member in members(fd)]


class Packed(NamedTuple):
    name: str
    data: bytes
    deflated: bool = True
    wide: bool = False


def packed(*files: Packed, comment: bytes = b"") -> bytes:
    """An archive as zipfile writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = comment
        for name, data, deflated, wide in files:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
            with archive.open(info, "w", force_zip64=wide) as file:
                file.write(data)
    return buffer.getvalue()


def as_zipfile_reads(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(i.filename, archive.read(i)) for i in archive.infolist() if not i.is_dir()]


SMALL = packed(
    Packed("files/", b"", deflated=False),
    Packed("files/p10/s1.txt", REPORT),
    Packed("files/p10/s2.txt", b"stored", deflated=False),
    Packed("files/p10/ß.txt", b"", wide=True),
    comment=b"reports",
)
FILES = [
    ("files/p10/s1.txt", REPORT),
    ("files/p10/s2.txt", b"stored"),
    ("files/p10/ß.txt", b""),
]


# ── what zipfile writes reads back ─────────────────────────────────────────────────────────────

# Not NUL: zipfile cuts names there.
names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=40)
files = st.builds(
    Packed,
    names,
    st.binary(max_size=40) | st.builds(bytes.__mul__, st.binary(max_size=9), st.integers(0, 200)),
    st.booleans(),
    st.booleans(),
)


@many
@given(
    st.lists(files, max_size=6, unique_by=lambda file: file.name),
    st.binary(max_size=60),
    st.sampled_from([0, 100, zipfile.ZIP64_LIMIT]),
    st.sampled_from([0, zipfile.ZIP_FILECOUNT_LIMIT]),
)
def test_against_zipfile(chosen: list[Packed], comment: bytes, limit: int, count: int) -> None:
    # With low limits zipfile writes zip64 fields and records where 32 bits would have done.
    with (
        patch.object(zipfile, "ZIP64_LIMIT", limit),
        patch.object(zipfile, "ZIP_FILECOUNT_LIMIT", count),
    ):
        data = packed(*(file._replace(wide=file.wide or limit < MOST) for file in chosen),
                      comment=comment)  # fmt: skip
    expected = [(file.name, file.data) for file in chosen if not file.name.endswith("/")]
    assert contents(data) == expected
    if b"PK\5\6" not in comment:
        assert as_zipfile_reads(data) == expected


def test_a_name_of_before_unicode() -> None:
    data = SMALL.replace(b"files/p10/s2.txt", b"files/p10/\x81\xe1.txt")
    assert contents(data)[1] == ("files/p10/üß.txt", b"stored")
    assert as_zipfile_reads(data)[1] == ("files/p10/üß.txt", b"stored")


def test_an_archive_that_was_streamed() -> None:
    """Sizes and CRC stand behind the data then, and in the directory."""

    class Pipe(io.BytesIO):
        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", REPORT)
        archive.writestr("b", b"")
    assert pipe.getvalue()[14:26] == bytes(12)
    assert contents(pipe.getvalue()) == [("a", REPORT), ("b", b"")]


@pytest.mark.parametrize("comment", [b"PK\5\6", b"PK\5\6" + bytes(18), b"PK\5\6" * 16_383])
def test_a_comment_that_looks_like_an_end_record(comment: bytes) -> None:
    assert contents(packed(Packed("a", b"1"), comment=comment + b".")) == [("a", b"1")]


def test_entries_that_lie_across_blocks() -> None:
    lengths = [0, 1, 100, 65_000, 65_535, 65_535, 65_535, 65_535, 7]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, length in enumerate(lengths):
            info = zipfile.ZipInfo(f"{number}")
            info.comment = bytes(length)
            archive.writestr(info, f"data {number}")
    expected = [(f"{number}", b"data %d" % number) for number in range(len(lengths))]
    assert contents(buffer.getvalue()) == expected


def test_a_file_longer_than_a_block() -> None:
    data = random.Random(7).randbytes(3 * module._BLOCK + 1)
    archive = packed(Packed("a", data), Packed("b", data, deflated=False))
    assert contents(archive) == [("a", data), ("b", data)]


def test_a_system_that_reads_a_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, at: pread(fd, min(count, 3), at))
    assert contents(SMALL) == FILES


@pytest.mark.parametrize(
    ("claimed", "wide", "is_true"),
    [
        (2, False, True),  # as macOS writes it: modulo 65,536, and no zip64 record
        (3, False, False),
        (65_538, True, True),
        (2, True, False),
    ],
)
def test_more_entries_than_16_bits_count(claimed: int, *, wide: bool, is_true: bool) -> None:
    one = packed(Packed("a", b"1"))
    start = one.index(b"PK\1\2")
    entry = one[start:-22]
    size = len(entry) * 65_538
    data = one[:start] + entry * 65_538
    if wide:
        data += struct.pack(
            "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, claimed, claimed, size, start
        )
        data += struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1)
        claimed = 0xFFFF
    data += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, claimed, claimed, size, start, 0)
    with opened(data) as fd:
        if is_true:
            assert sum(1 for _ in members(fd)) == 65_538
        else:
            with pytest.raises(InvalidArchive, match=r"65,538 entries and claims \d$"):
                list(members(fd))


def test_nothing_is_kept_of_the_members() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(4_000):
            info = zipfile.ZipInfo(f"files/p10/s{number}.txt")
            info.comment = bytes(1_000)
            archive.writestr(info, NOISE)
    with opened(buffer.getvalue()) as fd:
        tracemalloc.start()
        try:
            for member in members(fd):
                read_member(fd, member, MOST)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 2_000_000  # of a directory of 4 MB and data of 2 MB


# ── what is not so ─────────────────────────────────────────────────────────────────────────────


def changed(data: bytes, at: int, layout: str, *values: int) -> bytes:
    """``data`` with ``values`` in place of what it has at ``at`` (from the end if negative)."""
    buffer = bytearray(data)
    struct.pack_into(f"<{layout}", buffer, at % len(buffer), *values)
    return bytes(buffer)


# One member, one entry, no comment: the places of all fields are known.
DEFLATED = packed(Packed("a", REPORT))
STORED = packed(Packed("a", NOISE, deflated=False))
ENTRY = DEFLATED.index(b"PK\1\2")
STORED_ENTRY = STORED.index(b"PK\1\2")
END = len(DEFLATED) - 22
SIZE = len(DEFLATED[ENTRY:END])
with patch.object(zipfile, "ZIP_FILECOUNT_LIMIT", 0):
    WIDE = packed(Packed("a", REPORT))
WIDE_END = WIDE.index(b"PK\6\6")

BAD_DIRECTORIES = {
    "empty": b"",
    "no end record": DEFLATED[:END],
    "an end record cut short": DEFLATED[:-1],
    "bytes after it": DEFLATED + b"x",
    "bytes before it": b"x" + DEFLATED,
    "another disk": changed(DEFLATED, END + 4, "H", 1),
    "a directory on another disk": changed(DEFLATED, END + 6, "H", 1),
    "entries on another disk": changed(DEFLATED, END + 8, "H", 0),
    "one entry too many": changed(DEFLATED, END + 8, "HH", 2, 2),
    "one entry too few": changed(DEFLATED, END + 8, "HH", 0, 0),
    "a directory beyond the file": changed(DEFLATED, END + 16, "L", 1 << 31),
    "a directory longer than the file": changed(DEFLATED, END + 12, "L", 1 << 31),
    "a directory that ends early": changed(DEFLATED, END + 12, "L", SIZE - 1),
    "a directory that begins early": changed(DEFLATED, END + 12, "LL", SIZE + 1, ENTRY - 1),
    "a directory that begins late": changed(DEFLATED, END + 12, "LL", SIZE - 46, ENTRY + 46),
    "less than an entry": changed(DEFLATED, END + 12, "LL", 20, END - 20),
    "an entry's signature": changed(DEFLATED, ENTRY, "B", 0),
    "a name beyond the directory": changed(DEFLATED, ENTRY + 28, "H", 2),
    "an extra field beyond it": changed(DEFLATED, ENTRY + 30, "H", 1),
    "a comment beyond it": changed(DEFLATED, ENTRY + 32, "H", 1),
    "a name that is not UTF-8": changed(SMALL, SMALL.rindex("ß".encode()), "B", 0xFF),
    "a zip64 size nowhere": changed(DEFLATED, ENTRY + 24, "L", 0xFFFF_FFFF),
    "a zip64 record elsewhere": changed(WIDE, -22 - 12, "Q", WIDE_END - 1),
    "a zip64 record far beyond": changed(WIDE, -22 - 12, "Q", (1 << 64) - 1),
    "a zip64 record's signature": changed(WIDE, WIDE_END, "B", 0),
    "a zip64 count": changed(WIDE, WIDE_END + 24, "QQ", 65_537, 65_537),
    "a zip64 directory far beyond": changed(WIDE, WIDE_END + 48, "Q", (1 << 64) - 1),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_DIRECTORIES)
def test_a_directory_that_lies(case: str) -> None:
    with opened(BAD_DIRECTORIES[case]) as fd, pytest.raises(InvalidArchive):
        list(members(fd))


@pytest.mark.parametrize(
    ("extra", "sizes"),
    [
        (struct.pack("<HHQQQ", 1, 24, 5, 6, 7), (5, 6, 7)),
        (struct.pack("<HHxHHQQQL", 9, 1, 1, 28, 5, 6, 7, 0), (5, 6, 7)),  # behind another field
        (struct.pack("<HHQQ", 1, 24, 5, 6), None),  # shorter than it says
        (struct.pack("<HHQQQ", 1, 16, 5, 6, 7), None),  # says less than is needed
        (struct.pack("<HHQQQ", 2, 24, 5, 6, 7), None),
        (b"\1", None),
    ],
)
def test_zip64_fields(extra: bytes, sizes: tuple[int, int, int] | None) -> None:
    entry = changed(DEFLATED[ENTRY:END], 20, "LL", 0xFFFF_FFFF, 0xFFFF_FFFF)
    entry = changed(entry, 42, "L", 0xFFFF_FFFF)
    entry = changed(entry, 30, "H", len(extra)) + extra
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), 0, 0)
    with opened(entry + end) as fd:
        if sizes is None:
            with pytest.raises(InvalidArchive):
                list(members(fd))
        else:
            [member] = members(fd)
            assert (member.size, member.packed, member.header) == sizes


LIARS = {
    "encrypted": (DEFLATED, {"flags": 0x0001}),
    "a patch": (DEFLATED, {"flags": 0x0020}),
    "strongly encrypted": (DEFLATED, {"flags": 0x0040}),
    "masked": (DEFLATED, {"flags": 0x2000}),
    "bzip2": (STORED, {"method": 12}),
    "one byte too few": (DEFLATED, {"size": len(REPORT) - 1}),
    "one byte too many": (DEFLATED, {"size": len(REPORT) + 1}),
    "nothing": (DEFLATED, {"size": 0}),
    "packed too short": (DEFLATED, {"packed": ENTRY - 31 - 1}),
    "packed too long": (DEFLATED, {"packed": ENTRY - 31 + 1}),
    "packed to nothing": (DEFLATED, {"packed": 0}),
    "packed beyond the file": (DEFLATED, {"packed": (1 << 64) - 1}),
    "packed by nobody": (STORED, {"method": 8}),
    "another name": (DEFLATED, {"name": "b"}),
    "a longer name": (DEFLATED, {"name": "aa"}),
    "the beginning of a name": (SMALL, {"name": "f", "header": 0}),
    "elsewhere": (DEFLATED, {"header": 1}),
    "elsewhere by far": (DEFLATED, {"header": (1 << 64) - 1}),
    "another CRC": (DEFLATED, {"crc": 0}),
    "stored, another CRC": (STORED, {"crc": 0}),
    "stored, two sizes": (STORED, {"packed": 599}),
    "stored, too short": (STORED, {"size": 599, "packed": 599}),
    "stored, beyond the file": (STORED, {"size": MOST, "packed": MOST}),
}


@pytest.mark.parametrize("case", LIARS)
def test_a_member_that_lies(case: str) -> None:
    data, lie = LIARS[case]
    with opened(data) as fd:
        member = next(members(fd))
        assert read_member(fd, member, MOST) in {REPORT, NOISE}
        with pytest.raises(InvalidArchive):
            read_member(fd, member._replace(**lie), MOST)


@pytest.mark.parametrize(("data", "entry"), [(DEFLATED, ENTRY), (STORED, STORED_ENTRY)])
@pytest.mark.parametrize("size", [0, 1, 404, 406, 599, 601, MOST, MOST + 1, 0xFFFF_FFFE])
def test_a_size_patched_into_the_directory(data: bytes, entry: int, size: int) -> None:
    with opened(changed(data, entry + 24, "L", size)) as fd:
        [member] = members(fd)
        assert member.size == size
        with pytest.raises(InvalidArchive, match="may have" if size > MOST else None):
            read_member(fd, member, MOST)


@pytest.mark.parametrize(("at", "layout", "value"), [(0, "B", 0), (26, "H", 2), (30, "B", 98)])
def test_a_local_header_that_differs(at: int, layout: str, value: int) -> None:
    """Its signature, the length of its name, its name: the data behind it are right."""
    with opened(changed(DEFLATED, at, layout, value)) as fd:
        [member] = members(fd)
        with pytest.raises(InvalidArchive, match="not where the archive's directory says"):
            read_member(fd, member, MOST)


def test_no_more_than_the_most() -> None:
    with opened(DEFLATED) as fd:
        [member] = members(fd)
        assert read_member(fd, member, len(REPORT)) == REPORT
        with pytest.raises(InvalidArchive, match="may have 404"):
            read_member(fd, member, len(REPORT) - 1)


def test_a_bomb_is_not_unpacked() -> None:
    data = packed(Packed("a", bytes(50_000_000)))
    with opened(data) as fd:
        [member] = members(fd)
        tracemalloc.start()
        try:
            with pytest.raises(InvalidArchive, match="more bytes than the 10 it claims"):
                read_member(fd, member._replace(size=10), MOST)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 2 * module._BLOCK


def test_no_more_than_one_byte_too_many_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = 0

    class Counting:
        def __init__(self, bits: int) -> None:
            self._inflater = inflater(bits)

        def __getattr__(self, name: str) -> object:
            return getattr(self._inflater, name)

        def decompress(self, data: bytes, most: int) -> bytes:
            nonlocal unpacked
            part = self._inflater.decompress(data, most)
            unpacked += len(part)
            return part

    inflater = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Counting)
    monkeypatch.setattr(module, "_BLOCK", 32)
    with opened(packed(Packed("a", NOISE))) as fd:
        member = Member("a", 500, 605, 8, 0, 0, 0)
        with pytest.raises(InvalidArchive, match="more bytes than the 500 it claims"):
            read_member(fd, member, MOST)
    assert unpacked == 501


def test_deflated_data_that_end_with_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(DEFLATED) as fd:
        [member] = members(fd)
        monkeypatch.setattr(module, "_BLOCK", member.packed)
        assert read_member(fd, member, MOST) == REPORT
        with pytest.raises(InvalidArchive, match="does not end where it claims to"):
            read_member(fd, member._replace(packed=member.packed + 1), MOST)


def test_what_follows_the_deflated_data_is_not_read_into_memory() -> None:
    tail = bytes(8_000_000)
    data = packed(Packed("a", REPORT), Packed("b", tail, deflated=False))
    with opened(data) as fd:
        first = next(members(fd))
        tracemalloc.start()
        try:
            with pytest.raises(InvalidArchive, match="does not end where it claims to"):
                read_member(fd, first._replace(packed=len(tail)), MOST)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 * module._BLOCK


def test_a_file_that_becomes_shorter_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pread", lambda fd, count, at: b"")
    with opened(SMALL) as fd, pytest.raises(InvalidArchive, match="became shorter"):
        list(members(fd))


# ── whatever is done to it ─────────────────────────────────────────────────────────────────────


def survivors(data: bytes) -> list[bytes] | None:
    """What can still be read, or None. Lets nothing but InvalidArchive pass unnoticed."""
    try:
        return [file for _, file in contents(data)]
    except InvalidArchive:
        return None


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
@pytest.mark.parametrize("data", [SMALL, WIDE])
def test_every_byte_changed(data: bytes, mask: int) -> None:
    right = survivors(data)
    assert right is not None
    results = [survivors(changed(data, at, "B", byte ^ mask)) for at, byte in enumerate(data)]
    # A file can be missed (its name may be a folder's now), but none is wrong.
    assert all(set(result) <= set(right) for result in results if result is not None)
    assert results.count(None) > len(data) // 2


@pytest.mark.parametrize("data", [SMALL, WIDE])
def test_cut_short_at_any_byte(data: bytes) -> None:
    assert {at: survivors(data[:at]) for at in range(len(data))} == dict.fromkeys(range(len(data)))


@many
@given(st.data())
def test_several_bytes_changed(data: st.DataObject) -> None:
    archive = bytearray(data.draw(st.sampled_from([SMALL, WIDE])))
    places = st.tuples(st.integers(0, len(archive) - 1), st.integers(0, 255))
    for at, byte in data.draw(st.lists(places, max_size=9)):
        archive[at] = byte
    survivors(bytes(archive))


@many
@given(st.binary(max_size=300))
def test_anything(data: bytes) -> None:
    survivors(data + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(data), 0, 0))
