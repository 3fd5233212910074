"""Bisection in a manifest: against full scans, and how little of it is read."""

from bisect import bisect_left
from itertools import accumulate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from thorough import IS_THOROUGH, examples

from cxrsync.demo.data.tree import manifest_lines
from cxrsync.manifest.bisect import ManifestNotSorted, path_of, paths_of, prefix_range, seek

many = settings(max_examples=examples(200))

DIGEST = b"0123456789abcdef" * 4
MAX_ROUNDS = 200

Asked = list[tuple[tuple[int, int], ...]]


def drive(text: bytes, key: bytes, fan: int = 8) -> tuple[int, Asked]:
    """The offset found, and what was asked for, round by round: never the impossible."""
    asked: Asked = []
    search = seek(key, len(text), fan)
    try:
        ranges = next(search)
        while True:
            asked.append(ranges)
            assert len(asked) <= MAX_ROUNDS
            ends = [end for pair in ranges for end in pair]
            assert len(ends) >= 2
            assert ends[0] >= 0
            assert ends[-1] <= len(text)
            assert all(start < stop for start, stop in ranges)
            assert ends == sorted(ends)
            ranges = search.send(tuple(text[start:stop] for start, stop in ranges))
    except StopIteration as end:
        return end.value, asked


def lines_of(paths: list[bytes]) -> list[bytes]:
    return [DIGEST + b" " + path + b"\n" for path in paths]


def numbered(count: int) -> list[bytes]:
    return [b"files/p%06d" % number for number in range(count)]


def bytes_asked(asked: Asked) -> int:
    """How many different bytes."""
    return len({at for ranges in asked for pair in ranges for at in range(*pair)})


# A run of short lines, or one that may be long: enough of them for several rounds.
# No path begins with "./": that is no part of it.
names = st.binary(min_size=1, max_size=4).filter(
    lambda n: b"\n" not in n and n[-1:] != b"\r" and not n.startswith(b"./")
)
runs = st.tuples(names, st.integers(1, 400)).map(
    lambda run: [run[0] + b"%04d" % number for number in range(run[1])]
)
long = st.tuples(names, st.sampled_from([0, 700, 3000, 8000])).map(
    lambda it: [it[0] + b"x" * it[1]]
)
some_paths = st.lists(runs | long, max_size=20).map(
    lambda lists: sorted({path for paths in lists for path in paths})
)
blanks = st.sampled_from([b"\n", b"\r\n", b"  \n", b"\n" * 3000])


@st.composite
def manifests(draw: st.DrawFn) -> tuple[bytes, list[bytes], list[int]]:
    """A text, the paths in it, and where their lines begin."""
    paths = draw(some_paths)
    # With one blank, a path's own first blank or asterisk would pass for the second.
    one = b" " if all(path[0] not in b" *" for path in paths) else b"  "
    separators = draw(st.lists(st.sampled_from([one, b"  ", b" *"]), min_size=1, max_size=3))
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    before = draw(st.dictionaries(st.integers(0, max(len(paths) - 1, 0)), blanks, max_size=3))
    lines = [
        DIGEST + separators[number % len(separators)] + path + end
        for number, path in enumerate(paths)
    ]
    skipped = [before.get(number, b"") for number in range(len(paths))]
    stops = accumulate(len(blank + line) for blank, line in zip(skipped, lines, strict=True))
    starts = [stop - len(line) for stop, line in zip(stops, lines, strict=True)]
    text = b"".join(blank + line for blank, line in zip(skipped, lines, strict=True))
    if draw(st.booleans()):
        text = text.removesuffix(b"\n").removesuffix(b"\r")
    return text, paths, starts


@st.composite
def keys(draw: st.DrawFn, paths: list[bytes]) -> bytes:
    """One that is there, one beside it, or any."""
    if not paths or draw(st.integers(0, 3)) == 0:
        return draw(st.binary(max_size=5))
    path = draw(st.sampled_from(paths))
    return draw(st.sampled_from([path, path + b"\0", path[:-1]]))


@many
@given(st.data(), manifests(), st.integers(2, 16))
def test_it_finds_what_a_full_scan_finds(
    data: st.DataObject, manifest: tuple[bytes, list[bytes], list[int]], fan: int
) -> None:
    text, paths, starts = manifest
    key = data.draw(keys(paths))
    found, asked = drive(text, key, fan)
    assert found == [*starts, len(text)][bisect_left(paths, key)]
    assert drive(text, key, fan) == (found, asked)


@many
@given(st.data(), some_paths, st.integers(2, 16))
def test_it_ends_whatever_the_order(data: st.DataObject, paths: list[bytes], fan: int) -> None:
    key = data.draw(keys(paths))
    data.draw(st.randoms(use_true_random=False)).shuffle(paths)
    text = b"".join(lines_of(paths))
    try:
        found, _asked = drive(text, key, fan)
    except ManifestNotSorted:
        assert paths != sorted(paths)
    else:
        assert 0 <= found <= len(text)


@many
@given(st.binary(max_size=200_000), st.binary(max_size=3), st.integers(2, 16))
@example(b"\n" * 100_000, b"a", 2)
@example(b"x" * 100_000, b"a", 16)
def test_it_ends_on_what_is_no_manifest(text: bytes, key: bytes, fan: int) -> None:
    try:
        found, _asked = drive(text, key, fan)
    except ManifestNotSorted:
        return
    assert 0 <= found <= len(text)


@many
@given(st.lists(names), names.filter(lambda name: name[-1] != 0xFF))
def test_a_prefix_is_a_range(paths: list[bytes], prefix: bytes) -> None:
    low, high = prefix_range(prefix)
    around = [*paths, low, high, prefix + b"\0", prefix + b"\xff\xff", prefix[:-1]]
    for path in around:
        assert (low <= path < high) == path.startswith(prefix)


@pytest.mark.parametrize("prefix", [b"", b"\xff", b"files\xff"])
def test_a_prefix_without_a_range(prefix: bytes) -> None:
    with pytest.raises(ValueError, match="prefix"):
        prefix_range(prefix)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (DIGEST + b" a/b.jpg\n", b"a/b.jpg"),
        (DIGEST + b"  a b\r\n", b"a b"),
        (DIGEST + b" *a", b"a"),
        (DIGEST + b"   a\n", b" a"),
        (DIGEST + b" **a\n", b"*a"),
        (DIGEST + b" a\rb\n", b"a\rb"),
        (DIGEST + b" \n", b""),
        (b"\r\n", b""),
        (b"", b""),
    ],
)
def test_the_path_of_a_line(line: bytes, path: bytes) -> None:
    assert path_of(line) == path


LINE = (
    st.binary(max_size=3).map(lambda rest: b"a" * 64 + rest)
    | st.text(" *./#\ufeffa\r", max_size=4).map(lambda rest: f"{'a' * 64} {rest}".encode())
    | st.text("#\ufeffa\r", max_size=3).map(str.encode)
)


@many
@given(st.lists(LINE.filter(lambda line: b"\n" not in line), min_size=1, max_size=4), st.booleans())
def test_the_paths_of_several_lines(lines: list[bytes], is_ended: bool) -> None:
    found = paths_of(b"\n".join(lines) + b"\n" * is_ended)
    assert found is None or found == [path_of(line) for line in lines]


def test_the_paths_of_usual_lines_are_found_together() -> None:
    lines = list(manifest_lines(30))
    assert paths_of(b"".join(lines)) == [path_of(line) for line in lines]


def test_of_lines_listed_twice_the_first() -> None:
    first, *others = lines_of([b"a", b"b"])
    assert drive(first + b"".join(others) * 500, b"b")[0] == len(first)


def test_a_lone_carriage_return_ends_no_line() -> None:
    first, second = lines_of([b"a\rb", b"a\rd"])
    assert drive(first + second, b"a\ra")[0] == 0
    assert drive(first + second, b"a\rc")[0] == len(first)


def test_a_small_manifest_is_asked_for_in_one_piece() -> None:
    text = b"".join(lines_of(numbered(100)))
    for fan in (2, 8):
        assert drive(text, b"files/p000050", fan) == (len(text) // 2, [((0, len(text)),)])
    assert drive(b"", b"a") == (0, [])


def test_only_what_was_not_decided_is_asked_for_again_larger() -> None:
    paths = numbered(2000)
    paths[1000] += b"x" * 8000
    text = b"".join(lines_of(paths))
    found, asked = drive(text, paths[1000], fan=4)
    assert found == len(b"".join(lines_of(paths[:1000])))
    [quarter, middle, _] = [start for start, _stop in asked[0]]
    assert asked[0][0] == (quarter, quarter + 1024)
    assert asked[1:3] == [((middle, middle + 2048),), ((middle, middle + 4096),)]


def test_what_has_become_small_is_read_whole_whatever_was_not_decided() -> None:
    paths = numbered(330)
    paths[165] += b"x" * 3000
    text = b"".join(lines_of(paths))
    found, asked = drive(text, paths[165], fan=4)
    assert found == text.index(paths[165]) - len(DIGEST + b" ")
    [(_, quarter), _middle, (three_quarters, _)] = asked[0]
    low = text.rindex(b"\n", 0, quarter) + 1
    high = text.index(b"\n", three_quarters) + 1
    assert asked[1:] == [((low, high),)]


def test_what_is_read_of_the_longest_lines() -> None:
    paths = [b"%04d" % number + b"x" * 8000 for number in range(1000)]
    text = b"".join(lines_of(paths))
    found, asked = drive(text, b"0700")
    assert found == len(text) * 7 // 10
    assert bytes_asked(asked) < len(text) // 15


@pytest.mark.parametrize("spoiled", [b"!", b"~"], ids=["before", "after"])
def test_a_line_beyond_what_earlier_rounds_established(spoiled: bytes) -> None:
    text = b"".join(lines_of(numbered(5000)))
    _found, asked = drive(text, b"files/p002222")
    [(low, high)] = asked[-1]
    lines = text[low:high].splitlines(keepends=True)
    number = 0 if spoiled == b"!" else -1
    [lines[number]] = lines_of([spoiled * len(path_of(lines[number]))])
    paths = [path_of(line) for line in lines]
    assert paths == sorted(paths)  # among themselves
    with pytest.raises(ManifestNotSorted):
        drive(text[:low] + b"".join(lines) + text[high:], b"files/p002222")


@pytest.mark.parametrize("count", [2, 5000], ids=["in one piece", "from probe to probe"])
def test_a_manifest_that_is_not_sorted(count: int) -> None:
    with pytest.raises(ManifestNotSorted, match="at byte"):
        drive(b"".join(lines_of(numbered(count)[::-1])), b"files/p000001")


@pytest.mark.parametrize("total", [100, 100_000])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_block_of_another_length_is_not_read(total: int, change: int) -> None:
    search = seek(b"a", total)
    first, *others = next(search)
    blocks = [bytes(first[1] - first[0] + change), *(bytes(b - a) for a, b in others)]
    with pytest.raises(ValueError, match="asked for"):
        search.send(tuple(blocks))


@pytest.mark.parametrize(("total", "fan"), [(100, 1), (100_000, 0), (-1, 8)])
def test_what_cannot_be_divided(total: int, fan: int) -> None:
    with pytest.raises(ValueError, match="divide"):
        next(seek(b"a", total, fan))


def test_one_subject_of_all_costs_little() -> None:
    text = b"".join(manifest_lines(621_000 if IS_THOROUGH else 100_000))
    subject = path_of(text[len(text) * 2 // 3 :].split(b"\n", 2)[1]).rsplit(b"/", 2)[0] + b"/"
    low, high = prefix_range(subject)
    (start, asked_first), (stop, asked_last) = drive(text, low), drive(text, high)
    inside = text[start:stop].splitlines()
    assert inside
    assert all(path_of(line).startswith(subject) for line in inside)
    assert len(inside) == text.count(b" " + subject)
    assert max(len(asked_first), len(asked_last)) <= 6
    assert bytes_asked(asked_first + asked_last) < 100_000
