"""Mutated catalogue files and lists of ids: each is read, or refused with a UsageError."""

import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz.mutations import many, mutated
from hypothesis import example, given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.catalog import load as catalogue
from cxrsync.catalog.dataset_info import NAME
from cxrsync.catalog.load import dataset_info, load
from cxrsync.config.parse_ids import IMAGE, STUDY, SUBJECT, Form, parse_ids
from cxrsync.errors import UsageError

GOOD = b"""\
vindr-cxr:
  title: VinDr-CXR
  versions: ["1.0.0"]
  shards: [p10, p11]
  kinds:
    images: ["*.dicom", "train/[a-z]*.png"]
    tables: ["annotations/*.csv"]
  means: {images: 11000000, tables: 7}
  tables: {split: split.csv, chexpert: "*-chexpert.csv.gz"}
  tables_in: mimic-cxr-jpg
other: {kinds: {images: ['*.png']}, title: Other}
"""


def levels(begin: str, line: str, count: int) -> bytes:
    """Aliases in levels: each level repeats the one above nine times."""
    return "\n".join(
        [begin, *(line.format(n=n, above=", ".join([f"*a{n - 1}"] * 9)) for n in range(1, count))]
    ).encode()


MERGES = levels("a0: &a0 {title: x, alias: y}", "a{n}: &a{n} {{<<: [{above}]}}", 12)
LISTS = levels("a0: &a0 [x, x]", "a{n}: &a{n} [{above}]", 12)
GLOBS = b"a: {kinds: {images: [&g '" + b"x" * 9_000 + b"'" + b", *g" * 9_000 + b"]}}"


@pytest.fixture(autouse=True, scope="module")
def own() -> Iterator[Path]:
    """The path of the user's own catalogue; as the environment names it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXRSYNC_DATASETS", f"{folder}/mine.yaml")
        yield Path(folder) / "mine.yaml"


def understood(own: Path, text: bytes) -> bool:
    own.write_bytes(text)
    catalogue._load.cache_clear()  # written faster than the clock of the file system ticks
    try:
        known = load()
    except UsageError as problem:
        said = str(problem)
        assert str(own) in said
        return False
    for slug, dataset in known.items():
        for name in (
            slug,
            *dataset.versions,
            *filter(None, (dataset.tables_in, dataset.reports_in)),
        ):
            assert NAME.fullmatch(name)  # each becomes the name of a folder
        dataset.kind_of("files/p10/a.jpg")
        assert dataset.labelers is not None
        assert all(mean >= 0 for mean in dataset.means.values())
        assert dataset_info(slug) is dataset
    return True


def test_a_valid_file(own: Path) -> None:
    assert understood(own, GOOD)


@settings(many, max_examples=examples(150))
@given(text=mutated(GOOD, most=4))
@example(text=b"!!int ''")
@example(text=b"a: {title: !!float ''}")
@example(text=b"a: {title: !!bool x}")
@example(text=b"a: {title: !!timestamp x}")
@example(text=b"a: !!binary x")
@example(text=b"a: {means: {images: -5}}")
@example(text=b"a: {means: {images: 1" + b":1" * 9_000 + b"}}")
@example(text=b"../../x: {}")
@example(text=b"a: {versions: ['../../..']}")
@example(text=b"a: {tables_in: /etc}")
@example(text=b"a: &a {kinds: {images: &b [*b]}}")
@example(text=b"a: &a {<<: *a}")
@example(text=b"&a {x: *a}")
@example(text=b"? {a: b}\n: c")
@example(text=b"{" * 20_000)
@example(text=b"a: {kinds: {images: ['[!]', '[]', '[z-a]', '**', '\\x00', '(?P<a>']}}")
def test_any_text(own: Path, text: bytes) -> None:
    understood(own, text)


@pytest.mark.parametrize("bomb", [MERGES, LISTS, GLOBS, b"# " + b"x" * (9 << 20)])
def test_an_expanding_file_is_refused_in_little_memory(own: Path, bomb: bytes) -> None:
    tracemalloc.start()
    assert not understood(own, bomb)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20


IDS = b"p10000032\n10000033\n\ns50414267\r\n02aa804e-bde0afdd-112c0b34-7bc16630-4e384014\n"


@many
@given(mutated(IDS, b"\xef\xbb\xbf" + IDS), st.sampled_from([SUBJECT, STUDY, IMAGE]))
@example(b"a/" * 50_000 + b"x", IMAGE)
@example(b"\0" * 1_000, SUBJECT)
@example("p١٠٠٠٠٠٣٢".encode(), SUBJECT)
def test_a_list_of_ids(content: bytes, form: Form) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            found = parse_ids([f"@{file.name}"], form)
        except UsageError as problem:
            said = str(problem)
        else:
            assert found == tuple(sorted(set(found)))
            assert all(form.pattern.fullmatch(each) and each.isascii() for each in found)
            return
        assert len(said) < 1_000
