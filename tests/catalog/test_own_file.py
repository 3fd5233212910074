"""A catalogue of the user's own: it adds datasets, or says something else of a known one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.stage import JPG, VERSION, Machine

from cxrsync.catalog import dataset_info
from cxrsync.catalog.load import dataset_info as describe
from cxrsync.catalog.load import load
from cxrsync.config.parse_job import make_job
from cxrsync.demo.data.tree import TreeSpec, make_tree
from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import UsageError
from cxrsync.model import Kind

ADDED = """
vindr-cxr:
  title: VinDr-CXR
  versions: ["1.0.0"]
  kinds:
    images: ["*.dicom"]
    tables: ["annotations/*.csv"]
  means: {images: 11000000}
mimic-cxr-jpg:
  title: Ours
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home; the catalogue is read anew, here and by whoever comes after."""
    monkeypatch.delenv("CXRSYNC_DATASETS", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    load.cache_clear()
    yield tmp_path
    load.cache_clear()


def place(home: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a file is to lie so that it is found in this way."""
    if way == "named":
        file = home / "anywhere" / "mine.yaml"
        monkeypatch.setenv("CXRSYNC_DATASETS", str(file))
    elif way == "XDG":
        file = home / "settings" / "cxrsync" / "datasets.yaml"
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "settings"))
    else:
        file = home / ".config" / "cxrsync" / "datasets.yaml"
    file.parent.mkdir(parents=True)
    return file


@pytest.mark.parametrize("way", ["named", "XDG", "usual"])
def test_it_adds_and_changes(home: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = dict(load())
    place(home, way, monkeypatch).write_text(ADDED)
    load.cache_clear()

    added, changed = describe("vindr-cxr"), describe(JPG)

    assert list(load()) == [*shipped, "vindr-cxr"]
    assert (added.title, added.versions) == ("VinDr-CXR", ("1.0.0",))
    assert added.means == {Kind.IMAGES: 11_000_000}
    kinds = [added.kind_of(path) for path in ("train/a.dicom", "annotations/a.csv", "a.csv")]
    assert kinds == [Kind.IMAGES, Kind.TABLES, Kind.DOCS]
    assert added.agreement == "https://physionet.org/content/vindr-cxr/"
    # One field of a known one; the others are as shipped.
    assert changed.title == "Ours"
    for name in dataset_info.DatasetInfo.__dataclass_fields__.keys() - {"title"}:
        assert getattr(changed, name) == getattr(shipped[JPG], name), name
    assert {slug: load()[slug] for slug in shipped if slug != JPG} == {
        slug: known for slug, known in shipped.items() if slug != JPG
    }


def test_the_named_file_comes_instead_of_the_usual(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(home, "usual", monkeypatch).write_text("one: {title: One}")
    place(home, "named", monkeypatch).write_text("other: {title: Other}")
    assert "other" in load()
    assert "one" not in load()


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}", "mimic-cxr: {}"])
def test_a_file_that_says_nothing(home: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = dict(load())
    place(home, "usual", monkeypatch).write_text(text)
    load.cache_clear()
    assert load() == shipped


MALFORMED: dict[str, list[str]] = {
    "a: [": ["no YAML", "line 1"],
    "a:\n  title: !!python/object/apply:os.getcwd []": ["no YAML", "line 2"],
    "a: {title: 2020-02-31}": ["no YAML"],
    "[" * 5000: ["no YAML"],
    "- mimic-cxr": ["not a mapping"],
    "just words": ["not a mapping"],
    "a: b": ["'a'", "fields below"],
    "a:": ["'a'", "fields below"],
    "2: {}": ["2 is not a name"],
    "a: {titel: A}": ["a: no field 'titel'", "near title"],
    "a: {1: A}": ["a: no field 1"],
    "a: {title: 7}": ["a: title is not a text", "quotes"],
    "a: {title: }": ["a: title is not a text"],
    "a: {versions: [2.2]}": ["a: versions is not a list of texts", "quotes"],
    "a: {versions: '2.2'}": ["a: versions is not a list of texts"],
    "a: {shards: {p10: p11}}": ["a: shards is not a list"],
    "a: {kinds: [images]}": ["a: kinds is not a mapping"],
    "a: {kinds: {images: '*.png'}}": ["a: kinds is not a mapping of kinds to lists"],
    "a: {kinds: {images: [5]}}": ["a: kinds is not a mapping of kinds to lists"],
    "a: {kinds: {image: ['*.png']}}": ["a: 'image' is no kind of file", "near images"],
    "a: {means: {images: many}}": ["a: means is not a mapping of kinds to bytes"],
    "a: {means: {images: 1.5}}": ["a: means is not a mapping"],
    "a: {means: {images: yes}}": ["a: means is not a mapping"],
    "a: {means: {scans: 7}}": ["a: 'scans' is no kind of file"],
    "a: {tables: {split: [x.csv]}}": ["a: tables is not a mapping"],
    "a: {tables: {1: x.csv}}": ["a: tables is not a mapping"],
}


@pytest.mark.parametrize(("text", "said"), MALFORMED.items(), ids=[each[:40] for each in MALFORMED])
def test_malformed(home: Path, text: str, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file = place(home, "usual", monkeypatch)
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        load()
    assert refused.value.exit_code == 2
    assert [word for word in [str(file), *said] if word not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"title: \xff", "no YAML"), (b"a: \0", "no YAML")],
)
def test_a_file_that_cannot_be_read(
    home: Path, content: bytes | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = place(home, "named", monkeypatch)
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=said) as refused:
        load()
    assert str(file) in str(refused.value)


def test_a_folder_is_no_catalogue(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXRSYNC_DATASETS", str(home))
    with pytest.raises(UsageError, match="directory"):
        load()


def test_a_job_of_a_dataset_that_was_added(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(home, "usual", monkeypatch).write_text("a-ct: {shards: [p10], alias: ''}")
    assert make_job({"dataset": "a-ct", "shard": ["p10"]}).selection.shards == ("p10",)
    with pytest.raises(UsageError, match="has no shard p11"):
        make_job({"dataset": "a-ct", "shard": ["p11"]})


# ── on the command line ────────────────────────────────────────────────────────────────────────


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    files = tmp_path / "files"
    make_tree(files, JPG, VERSION, TreeSpec(patients=10, image_bytes=2_000))
    with MiniPhysioNet(files, ServerBehaviour(password_check_seconds=0.001)) as server:
        yield Machine(tmp_path, tmp_path / "mirror", server.base_url, server.ca_file)


def test_the_command_line_goes_by_it(home: Path, machine: Machine) -> None:
    file = home / "mine.yaml"
    machine.environment = {"CXRSYNC_DATASETS": str(file)}
    missing = machine.run("ls", "--jpg")
    assert (missing.code, missing.out) == (2, "")
    assert f"cannot read the catalogue {file}: No such file" in missing.err

    file.write_text(f"{JPG}:\n  kinds:\n    docs: ['*.jpg']\n    images: ['LICENSE.txt']\n")
    assert machine.run("ls", "--jpg", "--only", "images").out == "LICENSE.txt\n"
    # What is said of the shards still holds, and what may be chosen.
    refused = machine.run("ls", "--jpg", "--shard", "p20")
    assert (refused.code, "p10" in refused.err) == (2, True)
    file.write_text(f"{JPG}: {{mean: {{images: 7}}}}")
    refused = machine.run("pull", "--jpg", "--dry-run")
    assert refused.code == 2
    assert f"{file}: {JPG}: no field 'mean' is known: near means" in refused.err
    assert "configs/datasets.yaml" in refused.err
