"""Manifests: whatever they hold, every line is an entry, refused or blank, and no path leaves."""

import os
import tempfile
import tracemalloc
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from fuzz.mutations import many, mutated
from hypothesis import example, given
from hypothesis import strategies as st

from cxrsync.manifest.bisect import ManifestNotSorted, Range, path_of, prefix_range, seek
from cxrsync.manifest.file import (
    FAN_OUT,
    WHOLE,
    ManifestFile,
    find_slices_on_disk,
    looks_like_manifest,
)
from cxrsync.manifest.key_ranges import ROOT_KEYS
from cxrsync.manifest.parse import MAX_LINE, parse_line
from cxrsync.manifest.path_ids import image_key, parse_image_path, study_key
from cxrsync.model import Entry, RejectedLine, partition_of

ROOT = "/mirror/mimic-cxr-jpg/2.1.0"
LINE = b"0123456789abcdef" * 4 + b" files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg\n"
SORTED = b"".join(
    b"%064x files/p1%d/p1%07d/s5%07d/%d.jpg\n" % (n, n // 40, n, n, n) for n in range(400)
)
MANIFEST = b"a" * 64 + b" LICENSE.txt\n" + SORTED[:2_000] + b"b" * 64 + b"  mimic-cxr.csv.gz\r\n"


def assert_inside(path: str) -> None:
    joined = f"{ROOT}/{path}"
    assert os.path.normpath(joined) == joined
    assert joined.startswith(f"{ROOT}/")
    assert ".cxrsync" not in path.casefold().split("/")
    assert not any(ord(char) < 32 or char == "\\" for char in path)
    assert "/" not in partition_of(path)
    assert not partition_of(path).startswith(".")


@contextmanager
def opened(data: bytes) -> Iterator[ManifestFile]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "SHA256SUMS.txt"
        path.write_bytes(data)
        looks_like_manifest(path)
        with closing(ManifestFile(path)) as manifest:
            yield manifest


@many
@given(mutated(LINE, LINE.replace(b"\n", b"\r\n"), LINE.replace(b" ", b" *")))
def test_a_line(raw: bytes) -> None:
    parsed = parse_line(raw, 7)
    assert parsed is None or isinstance(parsed, Entry | RejectedLine)
    if isinstance(parsed, Entry):
        assert_inside(parsed.path)
        assert len(bytes.fromhex(parsed.sha256)) == 32
        assert path_of(raw) == parsed.path.encode()
        place = parse_image_path(parsed.path)
        if place is not None:
            study_key(place.study)
            image_key(place.image)


@many
@given(st.one_of(st.text(), st.text("s0123456789٣²", min_size=1).map(lambda text: text * 500)))
@example("9" * 5_000)
def test_an_id_that_is_none(text: str) -> None:
    assert study_key(text) >= -1
    image_key(text)


@many
@given(mutated(MANIFEST, most=12))
@example(b"")
@example(b"\n" * 1_000)
@example(b"x" * (3 * MAX_LINE))
@example(LINE[:65] + b"a/" * (MAX_LINE // 2) + b"\r\n" + LINE)
@example(MANIFEST.replace(b"\n", b"\0"))
@example(MANIFEST[::-1])
def test_a_whole_one(data: bytes) -> None:
    with opened(data) as manifest:
        entries = list(manifest.entries())
        paths = [entry.path for _offset, entry in entries]
        assert paths == sorted(set(paths), key=str.encode)
        for offset, entry in entries:
            assert_inside(entry.path)
            assert manifest.entry_at(offset) == entry
        root = [entry for _o, entry in entries if not entry.path.startswith("files/")]
        found = manifest.root_entries()
        assert [entry for entry in found if not entry.path.startswith("files/")] == root
        assert len(manifest.refused) <= manifest.refused_lines
        assert len(entries) + manifest.refused_lines <= data.count(b"\n") + 1


@many
@given(mutated(SORTED, most=3), st.sampled_from([*(n * 2_500 for n in range(16)), 10**6]))
def test_the_search_ends_and_finds(data: bytes, byte: int) -> None:
    key = path_of(SORTED[byte:].partition(b"\n")[2].partition(b"\n")[0]) or b"z"
    found: list[int] = []

    def search() -> Generator[tuple[Range, ...], tuple[bytes, ...], None]:
        found.append((yield from seek(key, len(data), FAN_OUT)))

    rounds = search()
    with suppress(StopIteration, ManifestNotSorted):  # told, not guessed
        ranges = next(rounds)
        for _ in range(200):
            assert all(0 <= start < stop <= len(data) for start, stop in ranges)
            ranges = rounds.send(tuple(data[start:stop] for start, stop in ranges))
        pytest.fail("it does not end")
    assert all(0 <= offset <= len(data) for offset in found)


@many
@given(mutated(SORTED, most=3), st.lists(st.tuples(st.integers(), st.integers()), max_size=3))
def test_slices_of_what_is_here(data: bytes, there: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        for ranges in (there, [(0, len(data))]):
            for keys in (WHOLE, ROOT_KEYS, (prefix_range(b"files/p14/"),)):
                try:
                    found = find_slices_on_disk(file.fileno(), ranges, keys, len(data))
                except (LookupError, ManifestNotSorted):
                    continue
                assert all(0 <= start < stop <= len(data) for start, stop in found)


def test_one_line_without_end_takes_no_memory() -> None:
    data = LINE + b"a" * (32 << 20)
    with opened(data) as manifest:
        tracemalloc.start()
        entries = list(manifest.entries())
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert len(entries) == 1
    assert peak < 1 << 20
