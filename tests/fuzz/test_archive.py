"""Archives: what is given out is what the CRC stands for; anything else is InvalidArchive."""

import io
import tempfile
import tracemalloc
import zipfile
import zlib

from fuzz.mutations import many, mutated
from hypothesis import example, given
from hypothesis import strategies as st

from cxrsync.storage.zip_reader import InvalidArchive, Member, members, read_member

MOST = 1 << 16
REPORTS = {f"files/p10/p1/s{n}.txt": b"FINAL REPORT %d\n" % n * 20 for n in range(6)}


def packed(method: int, *, wide: bool = False, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.comment = comment
        for name, data in REPORTS.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=wide) as file:
                file.write(data)
    return buffer.getvalue()


DEFLATED = packed(zipfile.ZIP_DEFLATED)
STORED = packed(zipfile.ZIP_STORED, wide=True, comment=b"PK\5\6" * 4)


@many
@given(mutated(DEFLATED, STORED, most=4))
@example(b"")
@example(b"PK\5\6" + b"\0" * 18)
@example(b"PK\5\6" + b"\xff" * 18)
@example(b"PK\6\7" + b"\xff" * 16 + b"PK\5\6" + b"\0" * 18)
@example(b"PK\5\6" * 5_000)
def test_any_bytes(data: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        tracemalloc.start()
        found = []
        try:
            for member in members(file.fileno()):
                found.append(member)
                assert "\0" in member.name or len(member.name) < 1 << 16
        except InvalidArchive:
            pass
        assert len(found) <= len(data) // 46  # an entry's least size
        for member in found:
            try:
                content = read_member(file.fileno(), member, MOST)
            except InvalidArchive:
                continue
            assert len(content) == member.size <= MOST
            assert zlib.crc32(content) == member.crc
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 16 << 20


sizes = st.one_of(st.integers(0, 1_000), st.sampled_from([2**31, 2**32 - 1, 2**63, 2**64 - 1]))


@many
@given(
    st.builds(
        Member,
        name=st.sampled_from([*REPORTS, "", "no such", "\u00e9", "../../x"]),
        size=sizes, packed=sizes, method=st.sampled_from([0, 8, 9, 65535]),
        flags=st.integers(0, 0xFFFF), crc=st.integers(0, 2**32 - 1), header=sizes,
    )
)  # fmt: skip
def test_any_claim(member: Member) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(DEFLATED)
        file.flush()
        try:
            content = read_member(file.fileno(), member, MOST)
        except (InvalidArchive, UnicodeEncodeError):
            return
        assert zlib.crc32(content) == member.crc
