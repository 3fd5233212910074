"""The user's own catalogue file: it adds datasets, or changes fields of known ones."""

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
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder."""
    monkeypatch.delenv("CXRSYNC_DATASETS", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def place(home: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path at which a file is loaded in this way."""
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

    added, changed = describe("vindr-cxr"), describe(JPG)

    assert list(load()) == [*shipped, "vindr-cxr"]
    assert (added.title, added.versions) == ("VinDr-CXR", ("1.0.0",))
    assert added.means == {Kind.IMAGES: 11_000_000}
    kinds = [added.kind_of(path) for path in ("train/a.dicom", "annotations/a.csv", "a.csv")]
    assert kinds == [Kind.IMAGES, Kind.TABLES, Kind.DOCS]
    assert added.agreement == "https://physionet.org/content/vindr-cxr/"
    # One field of a known dataset is changed; the others are as shipped.
    assert changed.title == "Ours"
    for name in dataset_info.DatasetInfo.__dataclass_fields__.keys() - {"title"}:
        assert getattr(changed, name) == getattr(shipped[JPG], name), name
    assert {slug: load()[slug] for slug in shipped if slug != JPG} == {
        slug: known for slug, known in shipped.items() if slug != JPG
    }


def test_the_variable_replaces_the_usual_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(home, "usual", monkeypatch).write_text("one: {title: One}")
    place(home, "named", monkeypatch).write_text("other: {title: Other}")
    assert "other" in load()
    assert "one" not in load()


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}", "mimic-cxr: {}", "\ufeff{}"])
def test_an_empty_file(home: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = dict(load())
    place(home, "usual", monkeypatch).write_text(text)
    assert load() == shipped


MALFORMED: dict[str, list[str]] = {
    "a: [": ["not valid YAML", "line 1, column 5", "quotes"],
    "a: b: c": ["line 1, column 5: this is not valid YAML"],
    "a:\n\ttitle: A": ["line 2, column 1: this is not valid YAML"],
    "a: {}\n---\nb: {}": ["line 2, column 1: this is not valid YAML"],
    "[" * 5000: ["line 1, column 17: lists and mappings are nested more than 16"],
    "a:\n  title: !!python/object/apply:os.getcwd []": ["line 2, column 10: tags (!) are not"],
    "a: &x {title: A}": ["line 1, column 4: anchors and aliases (& and *) are not accepted"],
    "a: *x": ["line 1, column 4: anchors and aliases (& and *) are not accepted"],
    "a: {title: A}\nb: {}\na: {}": [
        "line 3, column 1: a is a duplicate key (the first is in line 1, column 1"
    ],
    "a:\n  title: A\n  title: B": [
        "line 3, column 3: a.title is a duplicate key (the first is in line 2,"
    ],
    "? {a: b}\n: c": ["line 1, column 3: a key must be text"],
    "a: {<<: {title: A}}": ["a.<<: there is no such field"],
    "- mimic-cxr": ["a list is not a mapping"],
    "just words": ["'just words' is not a mapping"],
    "7": ["7 is not a mapping"],
    "a: b": ["line 1, column 1: a: 'b' is not a mapping"],
    "a:": ["a: nothing is not a mapping"],
    "../a: {}": ["'../a' is not the name of a dataset or a version"],
    "a: {titel: A}": ["line 1, column 5: a.titel: there is no such field. Did you mean title?"],
    "a: {1: A}": ["a.1: there is no such field"],
    "a:\n  title: 7": ["line 2, column 3: a.title: 7 is not text (put it in quotes)"],
    "a: {title: }": ["a.title: nothing is not text"],
    "a: {title: no}": ["a.title: false is not text"],
    "a: {versions: [2.2]}": ["line 1, column 16: a.versions[0]: 2.2 is not text (put it in quotes"],
    "a: {versions: ['1', '../2']}": [
        "column 21: a.versions[1]: '../2' is not the name of a dataset"
    ],
    "a: {versions: '2.2'}": ["a.versions: '2.2' is not a list"],
    "a: {shards: {p10: p11}}": ["a.shards: a mapping is not a list"],
    "a: {kinds: [images]}": ["a.kinds: a list is not a mapping"],
    "a: {kinds: {docs: ['*'], images: '*.png'}}": ["column 26: a.kinds.images: '*.png' is not a l"],
    "a: {kinds: {images: ['*', 5]}}": ["a.kinds.images[1]: 5 is not text"],
    "a: {kinds: {docs: ['*'], image: ['*.png']}}": [
        "a.kinds.image: 'image' is not valid. Did you me"
    ],
    "a: {means: {images: many}}": ["a.means.images: 'many' is not a whole number"],
    "a: {means: {images: 1.5}}": ["a.means.images: 1.5 is not a whole number"],
    "a: {means: {images: yes}}": ["a.means.images: true is not a whole number"],
    "a: {means: {images: -1}}": ["a.means.images: -1 is too small"],
    "a: {means: {images: 9999999999999999}}": ["a.means.images: 9999999999999999 is too large"],
    "a: {means: {images: 99999999999999999999999}}": ["is not a whole number"],
    "a: {means: {images: 1:30}}": ["a.means.images: '1:30' is not a whole number"],
    "a: {means: {images: 010}}": ["a.means.images: '010' is not a whole number"],
    "a: {means: {scans: 7}}": ["a.means.scans: 'scans' is not valid. Known: images, reports,"],
    "a: {tables: {split: [x.csv]}}": ["a.tables.split: a list is not text"],
    "a: {tables_in: /etc}": ["a.tables_in: '/etc' is not the name of a dataset"],
    "a: {}\nb: {title: A}\nc: {title: 3}": ["line 3, column 5: c.title: 3 is not text"],
}


@pytest.mark.parametrize(("text", "said"), MALFORMED.items(), ids=[each[:40] for each in MALFORMED])
def test_malformed(home: Path, text: str, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file = place(home, "usual", monkeypatch)
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        load()
    assert refused.value.exit_code == 2
    text = f"{refused.value} {refused.value.next_step}"
    assert [word for word in [str(file), *said] if word not in text] == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"title: \xff", "the file is not UTF-8 text"),
        (b"a: \0", "not valid YAML"),
        (b"# " + b"x" * (1 << 20), "more than 262,144 bytes"),
    ],
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


def test_a_folder_as_catalogue_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXRSYNC_DATASETS", str(home))
    with pytest.raises(UsageError, match="directory"):
        load()


def test_a_job_of_an_added_dataset(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_command_line_uses_it(home: Path, machine: Machine) -> None:
    file = home / "mine.yaml"
    machine.environment = {"CXRSYNC_DATASETS": str(file)}
    missing = machine.run("ls", "--jpg")
    assert (missing.code, missing.out) == (2, "")
    assert f"cannot read the catalogue {file}: No such file" in missing.err

    file.write_text(f"{JPG}:\n  kinds:\n    docs: ['*.jpg']\n    images: ['LICENSE.txt']\n")
    assert machine.run("ls", "--jpg", "--only", "images").out == "LICENSE.txt\n"
    # Other fields of the entry, such as the shards, are unchanged.
    refused = machine.run("ls", "--jpg", "--shard", "p20")
    assert (refused.code, "p10" in refused.err) == (2, True)
    file.write_text(f"{JPG}: {{mean: {{images: 7}}}}")
    refused = machine.run("pull", "--jpg", "--dry-run")
    assert refused.code == 2
    assert (
        f"{file}, line 1, column 17: {JPG}.mean: there is no such field. Did you mean means?"
        in refused.err
    )
    assert "configs/datasets.yaml" in refused.err


def test_a_file_that_is_changed_is_read_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook lives longer than its owner's first try."""
    file = place(home, "named", monkeypatch)
    file.parent.mkdir(exist_ok=True)
    file.write_text("alpha: {title: First}\n")
    assert load()["alpha"].title == "First"
    file.write_text("alpha: {title: Second try}\n")
    assert load()["alpha"].title == "Second try"
