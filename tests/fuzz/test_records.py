"""The small files of ours: claims, news of a run, locks. What is odd about them is no news."""

import json
import os
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from fuzz.mutations import NESTED, NESTED_OBJECTS, anything, many, misshapen, mutated
from hypothesis import example, given
from hypothesis import strategies as st

from cxrsync.dataset.local_manifest import CURRENT, read_metadata
from cxrsync.dataset.tree_identity import read_claim
from cxrsync.dataset.tree_location import Location
from cxrsync.errors import DiskError, Locked
from cxrsync.events import RunSummary, Totals
from cxrsync.model import is_validator
from cxrsync.operations.run_log import OLD_PROGRESS_NAME, active_runs, write_summary
from cxrsync.storage import lock as locks
from cxrsync.storage.filesystem import read_json
from cxrsync.storage.lock import Lock
from cxrsync.storage.lock_folder import LOCK_NAME
from cxrsync.storage.lock_owner import myself, this_process
from cxrsync.storage.tree import Tree

COUNTS = dict.fromkeys(("selected", "present", "fetched", "adopted"), 5)
OLD_PROGRESS = {"pid": os.getpid(), "run": "now", "files": COUNTS}
PROGRESS = {**OLD_PROGRESS, **this_process()}
CLAIM = {"dataset": "mimic-cxr-jpg", "version": "2.1.0"}
OWNER = {
    "token": "a" * 32, "host": "elsewhere", "boot": "b", "pid": 7, "start": "9", "since": 1.7e9,
    "beat": 3, "machine": "m", "space": "s",
}  # fmt: skip
AMOUNTS = {each.name: Totals() for each in fields(RunSummary) if each.type == "Totals"}
SUMMARY = RunSummary("d", "1", "/", "all", **AMOUNTS, requests=0, seconds=0.0, exit_code=0)


def files_of(*good: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """What may stand in the place of such a file."""
    texts = [json.dumps(each).encode() for each in good]
    shaped = st.one_of(*map(misshapen, good), anything)
    return st.one_of(
        mutated(*texts),
        shaped.map(lambda raw: json.dumps(raw).encode()),
        st.sampled_from([b"", NESTED, NESTED_OBJECTS, b"9" * 5_000, b" " * (5 << 20)]),
    )


def tree_with(folder: str, name: str, content: bytes) -> Tree:
    tree = Tree(Path(folder) / "mirror")
    tree.own.mkdir(parents=True)
    (tree.own / name).parent.mkdir(exist_ok=True)
    (tree.own / name).write_bytes(content)
    return tree


@many
@given(files_of(CLAIM))
@example(b'{"dataset": "..", "version": "2.1.0"}')
@example(b'{"dataset": "mimic-cxr", "version": "../../../outside"}')
@example(b'{"dataset": "mimic-cxr", "version": "2.1.0\\n"}')
@example(b'{"dataset": "mimic-cxr", "version": "\\ud800"}')
def test_a_claim(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = tree_with(folder, "tree.json", content)
        claimed = read_claim(tree)
        assert Location(tree.root).claimed() == ([] if claimed is None else [claimed])
        for name in claimed or ():
            assert Path(folder, name).resolve().parent == Path(folder).resolve()
            assert name.isascii()
            assert name.isprintable()


@many
@given(files_of(OLD_PROGRESS, PROGRESS), st.sampled_from([OLD_PROGRESS_NAME, "progress/now.json"]))
@example(b'{"pid": 1e999, "files": {}}', OLD_PROGRESS_NAME)
@example(json.dumps(OLD_PROGRESS | {"pid": 10**30}).encode(), OLD_PROGRESS_NAME)
@example(json.dumps(OLD_PROGRESS | {"pid": -1}).encode(), OLD_PROGRESS_NAME)
@example(json.dumps(OLD_PROGRESS | {"files": []}).encode(), OLD_PROGRESS_NAME)
@example(json.dumps(OLD_PROGRESS | {"files": COUNTS | {"present": "1"}}).encode(), "progress/x")
@example(json.dumps(PROGRESS | {"host": "\x1b[2J"}).encode(), "progress/x")
@example(json.dumps(PROGRESS | {"run": None, "boot": 5}).encode(), "progress/x")
def test_news_of_a_run(content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = tree_with(folder, name, content)
        for running in active_runs(tree):
            files = running["files"]
            assert files["present"] + files["fetched"] + files["adopted"] <= 10**9 * max(
                1, *files.values()
            )
            assert running["pid"] >= 0
            assert str(running.get("host", "")).isprintable()
        write_summary(tree, "now", SUMMARY)
        assert [path.name for path in (tree.own / "runs").iterdir()] == ["now.json"]


@pytest.fixture(autouse=True, scope="module")
def never_silent() -> Any:
    """An owner that does not say who it is can only be found silent; not while a test runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks, "SILENT_SECONDS", 1e9)
        yield


@many
@given(files_of(OWNER, {**OWNER, "host": myself().host, "boot": myself().boot}))
@example(json.dumps(OWNER | {"since": 1e300}).encode())
@example(json.dumps(OWNER | {"since": -1e15}).encode())
@example(json.dumps(OWNER | {"pid": -1}).encode())
@example(json.dumps(OWNER | {"pid": 10**300}).encode())
@example(json.dumps(OWNER | {"host": ["a"], "token": None}).encode())
@example(json.dumps(OWNER | {"host": "\x1b[2J\ud800"}).encode())
def test_a_lock(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        partition = tree_with(folder, f"{LOCK_NAME}/{'c' * 32}.1", content).own
        lock = Lock(partition, describe="shard p10")
        try:
            lock.acquire()
        except (Locked, DiskError) as problem:
            said = str(problem)
        else:
            lock.release()
            said = "shard p10"
        assert "shard p10" in said
        assert said.isprintable()


NOTE = {
    "source": "https://physionet.org/files", "validator": '"5f8-1"', "size": 10, "mtime_ns": 10**18,
    "sha256": "a" * 64, "format": 2,
}  # fmt: skip


@many
@given(files_of(NOTE, NOTE | {"validator": None}))
@example(json.dumps(NOTE | {"validator": "*"}).encode())
@example(json.dumps(NOTE | {"validator": '"a"\r\nX: y'}).encode())
@example(json.dumps(NOTE | {"validator": '"' + "x" * 9_000 + '"'}).encode())
@example(json.dumps(NOTE | {"validator": ["a"]}).encode())
@example(json.dumps(NOTE | {"size": 10**400}).encode())
@example(json.dumps(NOTE | {"source": "\ud800"}).encode())
def test_a_note_of_the_manifest(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = tree_with(folder, f"manifests/{CURRENT}", content)
        kept = read_metadata(tree)
        if kept is None:
            return
        assert kept.validator is None or is_validator(kept.validator)
        assert {type(kept.size), type(kept.mtime_ns)} == {int}
        assert {type(kept.source), type(kept.sha256)} == {str}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file(make: Any, tmp_path: Path) -> None:
    make(tmp_path / "x")
    with pytest.raises(OSError):
        read_json(tmp_path / "x")
