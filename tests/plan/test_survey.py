"""Files that are surveyed together are found as those that are surveyed one by one."""

import os
import shutil
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.manifest import file as manifest_file
from cxrsync.manifest.file import ManifestFile
from cxrsync.model import CopyRecord, FileRecord, partition_of
from cxrsync.plan import survey as survey_module
from cxrsync.plan.survey import PresentFiles, Surveyed, survey, survey_in_batches
from cxrsync.storage.tree import Tree

S = 10**9
T = 1_721_736_000 * S
SHARDS = {"p10", "p11"}
IMAGES = [f"files/{shard}/p{n:02}/a.jpg" for shard in sorted(SHARDS) for n in range(60)]
PATHS = ["LICENSE.txt", *IMAGES, "z.csv"]
COPY = CopyRecord(512, "c" * 64, 2)

CHANGES = (
    "no record",
    "another digest",
    "another size",
    "2 s later",
    "more than 2 s later",
    "before 1970",
    "a copy",
    "a copy that is gone",
    "no file",
    "a link",
    "a folder",
    "no folder",
    "not selected",
    "a line of another form",
    "not listed",
    "listed after a record of another file",
)


def digest_of(path: str) -> str:
    return f"{PATHS.index(path):064x}"


class World:
    """A tree, its manifest and its records, of which some differ from the others."""

    def __init__(self, root: Path, changes: dict[str, str], separator: str = " ") -> None:
        self.tree = Tree(root)
        self.records: list[FileRecord] = []
        self.unwanted = {path for path, what in changes.items() if what == "not selected"}
        lines = []
        for path in PATHS:
            what = changes.get(path, "")
            self._add_file(root / path, what)
            self._add_record(path, what)
            other = f" *./{path}" if what == "a line of another form" else separator + path
            if what != "not listed":
                lines.append(f"{digest_of(path)}{other}\n")
        self.sums = root / "SHA256SUMS.txt"
        self.sums.write_text("".join(lines))

    def _add_file(self, file: Path, what: str) -> None:
        if what == "no folder":
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        if what == "a link":
            file.symlink_to("x")  # its own size and time are those of the record
            os.utime(file, ns=(T, T), follow_symlinks=False)
        elif what == "a folder":
            file.mkdir()
        elif what != "no file":
            file.write_bytes(b"xx" if what == "another size" else b"x")
            late = {"2 s later": 2 * S, "more than 2 s later": 2 * S + 1, "before 1970": -T - S}
            os.utime(file, ns=(T, T + late.get(what, 0)))

    def _add_record(self, path: str, what: str) -> None:
        sha256 = "b" * 64 if what == "another digest" else digest_of(path)
        copy = COPY if what.startswith("a copy") else None
        if what == "listed after a record of another file":
            self.records.append(FileRecord(f"{path[:-4]}-.jpg", sha256, 1, T, "", "", 0.0))
        if what != "no record":
            source = "gone" if what == "a copy that is gone" else ""
            self.records.append(FileRecord(path, sha256, 1, T, source, "", 0.0, copy))

    def of(self, partitions: set[str], *, shared: bool = False) -> dict[str, Iterator[FileRecord]]:
        """The records by partition. ``shared``: those of all shards in one stream."""
        ordered = sorted(self.records, key=lambda record: record.path)
        records = {
            name: iter([each for each in ordered if partition_of(each.path) == name])
            for name in partitions
        }
        if shared:
            shards = sorted(partitions & SHARDS)
            records |= dict.fromkeys(
                shards, chain.from_iterable([records[name] for name in shards])
            )
        return records

    def is_wanted(self, path: str) -> bool:
        return path not in self.unwanted

    @staticmethod
    def has_copy(record: FileRecord) -> bool:
        return record.source != "gone"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 18 lines, so that most are wholly in one shard."""
    monkeypatch.setattr(manifest_file, "_BLOCK", 1_600)


def told(surveyed: Sequence[Surveyed]) -> list[tuple[object, ...]]:
    """The same with an error as its text: two errors are never equal."""
    return [(*each[:3], str(found) if (found := each.found) else found) for each in surveyed]


changed = st.dictionaries(st.sampled_from(PATHS), st.sampled_from(CHANGES), max_size=4)


@settings(max_examples=examples(100))
@given(
    changes=changed,
    partitions=st.sets(st.sampled_from(["root", *sorted(SHARDS)]), min_size=1),
    shared=st.booleans(),
    separator=st.sampled_from([" ", "  "]),
)
def test_together_as_one_by_one(
    tmp_path_factory: pytest.TempPathFactory,
    changes: dict[str, str],
    partitions: set[str],
    shared: bool,
    separator: str,
) -> None:
    root = tmp_path_factory.getbasetemp() / "survey"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    world = World(root, changes, separator)
    manifest = ManifestFile(world.sums)
    try:
        arguments = (world.tree, world.has_copy)
        records = world.of(partitions, shared=shared)
        together = list(survey(manifest, world.is_wanted, records, *arguments))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(survey_module, "_MIN_BATCH", 1_000_000)
            single = list(survey(manifest, world.is_wanted, world.of(partitions), *arguments))
    finally:
        manifest.close()
    assert told(together) == told(single)


@pytest.mark.parametrize(
    ("what", "is_present"),
    [(what, what in {"", "2 s later"}) for what in ("", *CHANGES)],
)
def test_which_files_are_taken_together(tmp_path: Path, what: str, is_present: bool) -> None:
    """A file that needs a look of its own keeps the others of its batch from being taken together,
    and not those of the next one."""
    world = World(tmp_path, {IMAGES[25]: what})
    manifest = ManifestFile(world.sums)
    found = list(
        survey_in_batches(manifest, world.is_wanted, world.of({"p10"}), world.tree, world.has_copy)
    )
    manifest.close()
    together = [each for each in found if isinstance(each, PresentFiles)]
    paths = {path for each in together for _sha256, path in each.batch.entries}
    assert all(each.partition == "p10" for each in together)
    assert (IMAGES[26] in paths) is is_present
    assert IMAGES[40] in paths
