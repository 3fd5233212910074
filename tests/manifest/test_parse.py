"""Lines of a manifest: what is read, what is refused, and that nothing read leaves the tree."""

import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.manifest.parse import (
    MAX_LINE,
    MAX_NAME_BYTES,
    check_path,
    parse_line,
    parse_plain,
)
from cxrsync.model import Entry, RejectedLine

# Derandomised: the same cases each time, here and on the build machine.
many = settings(max_examples=examples(200))

DIGEST = "0123456789abcdef" * 4
IMAGE = "files/p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg"
TREE = "/mirror/mimic-cxr-jpg/2.1.0"


def line(path: str, digest: str = DIGEST) -> bytes:
    return f"{digest} {path}\n".encode()


@pytest.mark.parametrize(
    "text",
    [
        f"{DIGEST} {IMAGE}\n",
        f"{DIGEST} {IMAGE}",  # the last line of a file need not end
        f"{DIGEST}  {IMAGE}\n",  # GNU, text mode
        f"{DIGEST} *{IMAGE}\n",  # GNU, binary mode
        f"{DIGEST} {IMAGE}\r\n",
        f"{DIGEST} *{IMAGE}\r\n",
        f"{DIGEST.upper()} {IMAGE}\n",
        f"{DIGEST} ./{IMAGE}\n",  # as `find .` names it
        f"{DIGEST}  ././{IMAGE}\n",
        f"\ufeff{DIGEST} {IMAGE}\n",
    ],
)
def test_ways_to_write_one_line(text: str) -> None:
    assert parse_line(text.encode(), 1) == Entry(IMAGE, DIGEST)


@pytest.mark.parametrize(
    "blank", [b"", b"\n", b"\r\n", b"   \n", b"\t\n", b"# made by hand\n", b"\xef\xbb\xbf#\n"]
)
def test_a_blank_line_and_a_comment_are_no_lines(blank: bytes) -> None:
    assert parse_line(blank, 1) is None


@pytest.mark.parametrize(
    "path",
    [
        "LICENSE.txt",
        "two words.txt",
        " leading blank",  # behind "digest, blank, blank": the first two belong to the format
        "trailing blank ",
        "a#b?c%20d&e=f.txt",  # nothing is a URL here, nothing is decoded
        "%2e%2e/%2e%2e/etc/passwd",
        "C:file.txt",
        "~/file.txt",
        "naïve/日本語/🫁.jpg",
        "a\u0301.txt",  # decomposed: stays as it was published
        "...",
        "..a/b..",
        ".hidden/file",
        ".cxrsync2/file",
        "a.cxrsync/file",
        "-rf",
        "$(reboot)",
        "é" * (MAX_NAME_BYTES // 2),
        "x" * MAX_NAME_BYTES,
        "/".join(["d" * 100] * 80),  # 8,079 bytes
    ],
)
def test_unusual_paths_that_stay_inside(path: str) -> None:
    padding = " " if path.startswith(" ") else ""
    assert parse_line(line(padding + path), 1) == Entry(path, DIGEST)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/etc/passwd", "absolute"),
        ("//host/share", "absolute"),
        ("..", "leaves the tree"),
        ("../x", "leaves the tree"),
        ("files/../../x", "leaves the tree"),
        ("files/..", "leaves the tree"),
        (".", "empty name"),
        ("./", "empty name"),
        (".//x", "absolute"),
        ("files/./x", "empty name"),
        ("files//x", "empty name"),
        ("files/", "empty name"),
        ("a\\b", "backslash"),
        ("..\\x", "backslash"),
        ("a\0b", "control"),
        ("a\tb", "control"),
        ("a\x1b[2Jb", "control"),
        ("a\nb", "control"),
        ("a\rb", "control"),
        ("a\r", "control"),  # CR CR LF: only one of them ends the line
        ("a\x7fb", "control"),
        ("a\x85b", "control"),
        ("a\x9bb", "control"),
        (".cxrsync", "our own folder"),
        (".cxrsync/p10/state.sqlite3", "our own folder"),
        ("files/.cxrsync/x", "our own folder"),
        (".CXRSYNC/x", "our own folder"),
        (".CxrSync/x", "our own folder"),
        (".cxr\u017fync/x", "our own folder"),  # ſ: APFS folds it into s
        (".cx\u200crsync/x", "our own folder"),  # HFS+ does not see what has no width
        (".cxrsync./x", "our own folder"),  # Windows does not see a dot or a blank at the end
        (".cxrsync /x", "our own folder"),
        ("x" * (MAX_NAME_BYTES + 1), "more than 255 bytes"),
        ("x" * 250 + ".jpeg2k", "more than 255 bytes"),
        ("é" * 128, "more than 255 bytes"),
        ("d/" * 4096 + "x", "line of more than"),
    ],
)
def test_refused_paths(path: str, reason: str) -> None:
    # With "\r\n" as the end, so that the path's own CR is the path's.
    refused = parse_line(f"{DIGEST} {path}\r\n".encode(), 7)
    assert isinstance(refused, RejectedLine)
    assert refused.line == 7
    assert reason in refused.reason


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"hello\n", "not a SHA-256"),
        (f"{DIGEST[:-1]} x\n".encode(), "not a SHA-256"),
        (f"{DIGEST}0 x\n".encode(), "not a SHA-256"),
        (f"{DIGEST[:-1]}g x\n".encode(), "not a SHA-256"),
        (f"{DIGEST}\tx\n".encode(), "not a SHA-256"),
        (f"{DIGEST}x\n".encode(), "not a SHA-256"),
        (f"{DIGEST}\n".encode(), "not a SHA-256"),
        (f"{DIGEST} \n".encode(), "not a SHA-256"),
        (f" {DIGEST} x\n".encode(), "not a SHA-256"),
        (f"#{DIGEST[1:]} x\n".encode(), "first digit is '#'"),  # one flipped bit makes it of '3'
        (f"\\{DIGEST} a\\\\b\n".encode(), "not a SHA-256"),  # GNU's escaped form
        (f"SHA256 (x) = {DIGEST}\n".encode(), "not a SHA-256"),  # BSD
        (f"{'٠' * 64} x\n".encode(), "not a SHA-256"),  # digits, but not ours
        (DIGEST.encode() + b" \xff\xfe.txt\n", "not UTF-8"),
        (DIGEST.encode() + b" \xed\xa0\x80\n", "not UTF-8"),  # a lone surrogate
        (DIGEST.encode() + b" \xc0\xae\xc0\xae/x\n", "not UTF-8"),  # ".." in two bytes a dot
        (b"x" * (MAX_LINE + 1), "line of more than"),
    ],
)
def test_lines_that_are_none(raw: bytes, reason: str) -> None:
    refused = parse_line(raw, 3)
    assert isinstance(refused, RejectedLine)
    assert refused.line == 3
    assert reason in refused.reason


def test_a_line_cut_by_the_reader_is_not_taken_for_a_shorter_path() -> None:
    whole = line("/".join(["d" * 100] * 90))
    assert isinstance(parse_line(whole[: MAX_LINE + 2], 1), RejectedLine)


# What an attacker, or an accident, would write.
names = st.sampled_from(["a", "..", ".", "", ".cxrsync", ".CXRSYNC", "p10", "x y", "é", "\\", "\0"])
hostile = st.one_of(st.lists(names, min_size=1, max_size=6).map("/".join), st.text(max_size=40))


@many
@given(hostile)
@example("../" * 20 + "etc/passwd")
def test_an_accepted_path_never_leaves_the_tree(path: str) -> None:
    entry = parse_line(f"{DIGEST} {path}\n".encode("utf-8", "surrogatepass"), 1)
    if isinstance(entry, Entry):
        joined = f"{TREE}/{entry.path}"
        assert os.path.normpath(joined) == joined  # nothing to resolve: it is what it says
        assert joined.startswith(f"{TREE}/")
        assert not joined.casefold().startswith(f"{TREE}/.cxrsync/".casefold())
        assert check_path(entry.path) is None


digests = st.text("0123456789abcdefABCDEF", min_size=64, max_size=64)
almost = st.builds(lambda digest, rest: digest.encode() + rest, digests, st.binary(max_size=60))


@many
@given(st.one_of(st.binary(max_size=100), almost))
def test_no_bytes_make_it_raise(raw: bytes) -> None:
    parsed = parse_line(raw, 1)
    assert parsed is None or isinstance(parsed, Entry | RejectedLine)


safe_names = (
    st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="/\\"))
    .filter(lambda name: name not in {"", ".", ".."} and name.casefold() != ".cxrsync")
    .filter(lambda name: len(name.encode()) <= MAX_NAME_BYTES)
)


@many
@given(st.lists(safe_names, min_size=1, max_size=5).map("/".join), st.sampled_from(["  ", " *"]))
def test_a_safe_path_comes_back_as_it_was(path: str, between: str) -> None:
    entry = parse_line(f"{DIGEST}{between}{path}\n".encode(), 1)
    assert entry == Entry(path, DIGEST)


PIECES = st.lists(
    st.sampled_from(
        [
            *(line(IMAGE), line("LICENSE.txt"), line(IMAGE)[:-1], line("a" * 300), line("a\rb")),
            *(b"\n", b"# note\n", line(" two"), line("*x"), line(".cxrsync/x"), line("\u00e9")),
            *(line(IMAGE, DIGEST.upper()), b"x" + line(IMAGE), line("a/" * MAX_LINE + "b")),
            *(line(f"{IMAGE}/../x"), line(f"{IMAGE} {DIGEST} {IMAGE}"), DIGEST.encode()),
        ]
    ),
    max_size=4,
)


@given(PIECES)
def test_many_lines_at_once_are_what_each_of_them_is(lines: list[bytes]) -> None:
    piece = b"".join(lines)
    found = parse_plain(piece)
    if found is not None:
        parsed = [parse_line(each, 1) for each in piece.splitlines(keepends=True)]
        rest, entries = found
        assert [Entry(path, digest) for digest, path in entries] == parsed
        sizes = [len(each) for each in piece.splitlines(keepends=True)]
        assert [rest + len(path) for _digest, path in entries] == sizes


def test_usual_lines_are_taken_at_once() -> None:
    paths = ["LICENSE.txt", IMAGE, "a/b"]
    entries = [(DIGEST, path) for path in paths]
    assert parse_plain(b"".join(map(line, paths))) == (66, entries)
    for separator in ("  ", " *"):  # GNU's
        lines = "".join(f"{DIGEST}{separator}{path}\n" for path in paths)
        assert parse_plain(lines.encode()) == (67, entries)
        assert parse_plain(lines.encode() + line("z")) is None
    assert parse_plain(line(IMAGE)[:-1]) is None
    assert parse_plain(line("/".join(["x" * 200] * 60))) is None  # too long
