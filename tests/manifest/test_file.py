"""The manifest as a file: its order, what is refused, and that an offset leads back to its line."""

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.parse import MAX_LINE
from cxrsync.model import Entry, RejectedLine, partition_of

many = settings(max_examples=examples(100))

A, B, C = (letter * 64 for letter in "abc")
Open = Callable[[bytes | str], ManifestFile]


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Open]:
    files: list[ManifestFile] = []

    def open_manifest(text: bytes | str) -> ManifestFile:
        path = tmp_path / "SHA256SUMS.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        files.append(ManifestFile(path))
        return files[-1]

    yield open_manifest
    for file in files:
        file.close()


def paths(manifest: ManifestFile) -> list[str]:
    return [entry.path for _offset, entry in manifest.entries()]


def refused(manifest: ManifestFile) -> list[tuple[int, str]]:
    return [(each.line, each.reason) for each in manifest.refused]


def lines(*names: str) -> str:
    return "".join(f"{A} {name}\n" for name in names)


SORTED = ["LICENSE.txt", "files/p10/a.jpg", "files/p10/a/b.jpg", "files/p11/a.jpg", "z", "é"]


def test_in_order(read: Open) -> None:
    manifest = read(lines(*SORTED))
    entries = list(manifest.entries())
    assert [entry.path for _offset, entry in entries] == SORTED
    assert [manifest.entry_at(offset) for offset, _entry in entries] == [e for _o, e in entries]
    offsets = [offset for offset, _entry in entries]
    for order in (offsets, offsets[::-1], offsets[::2] + offsets[1::2]):
        assert list(manifest.entries_at(order)) == [manifest.entry_at(at) for at in order]
    assert (manifest.refused, manifest.refused_lines) == ([], 0)


@pytest.mark.parametrize("order", [1, -1])
def test_a_file_that_is_a_folder_of_others_is_refused(read: Open, order: int) -> None:
    """It, and not the 37,000 others; wherever its line stands."""
    names = ["files/p10", "files/p10.txt", "files/p10/a.jpg", "files/p10/b.jpg"]
    manifest = read(lines(*names[::order]))
    assert paths(manifest) == names[1:]
    assert refused(manifest) == [(1, "files/p10 is a folder of other files")]
    assert manifest.partitions == {"root", "p10"}


def test_byte_order_is_the_order(read: Open) -> None:
    # LC_ALL=C: "." before "/" before letters, capitals first, what is not ASCII last.
    names = ["B", "a", "s1.txt", "s1/x", "s10", "\uffee", "\U0001fac1"]
    assert paths(read(lines(*names))) == names
    assert paths(read(lines(*reversed(names)))) == names


def test_one_that_is_not_sorted_is_read_sorted(read: Open, tmp_path: Path) -> None:
    text = f"{C} c\n{A} *a\r\n{B}  b"  # three ways to write a line, and no end to the last
    manifest = read(text)
    entries = list(manifest.entries())
    assert [entry for _offset, entry in entries] == [Entry("a", A), Entry("b", B), Entry("c", C)]
    assert [manifest.entry_at(offset) for offset, _entry in entries] == [e for _o, e in entries]
    assert (tmp_path / "SHA256SUMS.txt").read_text() == text.replace("\r\n", "\n")  # untouched


def test_asterisks_and_blanks_of_the_path_are_sorted_as_they_are_read(read: Open) -> None:
    assert paths(read(f"{A}  *x\n{A} a\n{A} *y\n")) == ["*x", "a", "y"]


@pytest.mark.parametrize("ends", ["\n", ""])
def test_the_last_line_need_not_end(read: Open, ends: str) -> None:
    manifest = read(f"{A} a\n{B} b{ends}")
    [(_offset, first), (offset, second)] = manifest.entries()
    assert (first, second) == (Entry("a", A), Entry("b", B))
    assert manifest.entry_at(offset) == second


def test_an_empty_one(read: Open) -> None:
    manifest = read("")
    assert (paths(manifest), manifest.partitions) == ([], frozenset())


def test_what_is_listed_twice(read: Open) -> None:
    """The same line again says nothing new; another digest contradicts the first."""
    manifest = read(f"{A} a\n{B} a\n{C} b\n{C} b\n{C}  ./b\n")
    assert [entry for _offset, entry in manifest.entries()] == [Entry("a", A), Entry("b", C)]
    assert refused(manifest) == [(2, "a is listed twice, as two files")]


def test_twice_in_one_that_is_not_sorted(read: Open) -> None:
    # The first mention holds, as it does in a sorted one.
    manifest = read(f"{C} b\n{A} a\n{B} b\n")
    assert [entry for _offset, entry in manifest.entries()] == [Entry("a", A), Entry("b", C)]
    assert manifest.refused_lines == 1


def test_the_manifest_does_not_list_itself(read: Open) -> None:
    """Where it does, that line is passed over: no file can hold its own digest."""
    manifest = read(lines("LICENSE", "SHA256SUMS.txt", "a"))
    assert paths(manifest) == ["LICENSE", "a"]
    assert refused(manifest) == []


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_editors_and_other_tools_write_is_no_fault(read: Open, end: str) -> None:
    """A byte order mark, comments, ``./`` before each path, as ``find . | xargs sha256sum``."""
    text = end.join([f"\ufeff{A} ./LICENSE", "# made by hand", f"{B}  ././a/b", f"{C} *./c", ""])
    manifest = read(text)
    entries = [entry for _offset, entry in manifest.entries()]
    assert entries == [Entry("LICENSE", A), Entry("a/b", B), Entry("c", C)]
    assert refused(manifest) == []
    unsorted = read(end.join([f"\ufeff{B} b", f"{A} a", ""]))
    assert [entry for _offset, entry in unsorted.entries()] == [Entry("a", A), Entry("b", B)]


def test_two_readers_at_a_time_do_not_disturb_each_other(read: Open) -> None:
    manifest = read(lines(*(f"{number:04}" for number in range(5000))))
    one = manifest.paths()
    first = [next(one) for _ in range(3000)]
    assert len(list(manifest.paths())) == 5000
    assert len([*first, *one]) == 5000


def test_it_is_read_to_its_end_whatever_becomes_of_its_name(read: Open) -> None:
    manifest = read(lines(*SORTED))
    manifest.path.unlink()
    assert paths(manifest) == SORTED
    assert [entry.path for entry in manifest.root_entries()] == ["LICENSE.txt", "z", "é"]


def test_what_is_refused_keeps_its_line_number(read: Open) -> None:
    # Lines that are none put nothing out of order: no sorted copy, whose numbers are others.
    text = f"\n{A} a\n\nhello\n{A} b/../../x\n{A} c\n\n<html>\n"
    manifest = read(text)
    assert paths(manifest) == ["a", "c"]
    assert [line for line, _reason in refused(manifest)] == [4, 5, 8]
    assert manifest.refused_lines == 3


def test_what_is_refused_is_told_of_the_last_reading(read: Open) -> None:
    manifest = read("x\n" + lines("a"))
    for _reading in range(2):
        assert paths(manifest) == ["a"]
        assert manifest.refused_lines == len(manifest.refused) == 1


def test_refused_lines_are_all_counted_and_not_all_kept(read: Open) -> None:
    manifest = read("no manifest\n" * 5000 + lines("a"))
    assert paths(manifest) == ["a"]
    assert (manifest.refused_lines, len(manifest.refused)) == (5000, 1000)


@pytest.mark.parametrize("length", [MAX_LINE + 1, 3 * MAX_LINE, 100 * MAX_LINE])
@pytest.mark.parametrize("ends", ["\n", ""])
def test_a_line_without_end(read: Open, length: int, ends: str) -> None:
    # Of short names, each of which is good: cut anywhere it is still a path, but another.
    endless = (f"{A} b" + "/b" * length)[:length] + ends
    manifest = read(f"{A} a\n{endless}" + (f"{B} c\n" if ends else ""))
    entries = list(manifest.entries())
    assert [entry.path for _offset, entry in entries] == (["a", "c"] if ends else ["a"])
    assert [manifest.entry_at(offset) for offset, _entry in entries] == [e for _o, e in entries]
    assert refused(manifest) == [(2, f"a line of more than {MAX_LINE} bytes")]


def test_a_line_without_end_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "SHA256SUMS.txt"
    with path.open("wb") as file:
        file.truncate(16 << 20)
    tracemalloc.start()
    try:
        manifest = ManifestFile(path)
        assert paths(manifest) == []
        manifest.close()
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("ends", ["\n", "\r\n", ""])
def test_the_longest_line(read: Open, ends: str) -> None:
    path = "/".join(["d" * 255] * 31) + "/" + "d" * (MAX_LINE - 65 - 31 * 256)
    manifest = read(f"{A} {path}{ends}")
    [(offset, entry)] = manifest.entries()
    assert entry == Entry(path, A) == manifest.entry_at(offset)


@pytest.mark.parametrize(
    ("names", "partitions"),
    [
        (["LICENSE"], {"root"}),
        (["files/p10/a"], {"p10"}),
        (["files/p10/a", "files/p10/b", "files/p19/c", "x"], {"p10", "p19", "root"}),
        (["files/p10.txt", "files/p100/a", "files/x"], {"root"}),
        (["a/files/p10/b"], {"root"}),
        # Digits to Python, not to us: such a file must not fall between two partitions.
        (["files/p١٢/a"], {"root"}),
        (["files/p10/é"], {"p10"}),
    ],
)
def test_partitions(read: Open, names: list[str], partitions: set[str]) -> None:
    manifest = read(lines(*names))
    assert manifest.partitions == partitions
    assert {partition_of(path) for path in paths(manifest)} == partitions
    assert read("".join(f"{A} *{name}\r\n" for name in names)).partitions == partitions


def test_lines_that_are_none_have_no_partition(read: Open) -> None:
    assert read("\nhello\n" + lines("files/p10/a")).partitions == {"p10"}


names = st.from_regex(r"(files/p1[0-2]/)?[a-cé*. -]{0,3}[a-c]", fullmatch=True)
RUBBISH = ["", "hello", f"{A} ../x", f"{A} /x", f"{A[1:]} x", "x" * 9000, f"{A} {'x/' * 5000}x"]
texts = st.lists(
    st.one_of(
        st.builds(
            "{}{}{}".format, st.sampled_from([A, B, C]), st.sampled_from(["  ", " *"]), names
        ),
        st.sampled_from(RUBBISH),
    ),
    max_size=12,
)


@many
@given(texts, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_any_file_is_read_as_a_sorted_dictionary(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str, ends: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "manifest"
    path.write_bytes((end.join(lines) + (end if ends else "")).encode())
    expected: dict[str, str] = {}
    bad = 0
    for line in lines:
        if line in RUBBISH:
            bad += line != ""
        else:
            first = expected.setdefault(line[66:], line[:64])
            bad += first != line[:64]
    manifest = ManifestFile(path)
    try:
        entries = list(manifest.entries())
        assert [tuple(entry) for _offset, entry in entries] == sorted(expected.items())
        assert [manifest.entry_at(offset) for offset, _entry in entries] == [e for _o, e in entries]
        assert manifest.refused_lines == bad
        assert all(isinstance(each, RejectedLine) for each in manifest.refused)
    finally:
        manifest.close()
