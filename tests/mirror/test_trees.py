"""The trees of a mirror: the marker, the last complete run, a run at work."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from another_process import another_process

from cxrsync.config.job import Job
from cxrsync.config.parse_job import make_job
from cxrsync.errors import RefusedForSafety, UsageError
from cxrsync.mirror.trees import IDLE_SECONDS, marked_tree, run_at_work, waiting_since
from cxrsync.storage.lock_owner import this_process
from cxrsync.storage.tree import Tree

NOW = datetime(2026, 11, 26, 6, 0, tzinfo=UTC)
COUNTS = dict.fromkeys(("selected", "present", "fetched", "adopted"), 0)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / ".cxrsync/runs").mkdir(parents=True)
    (tmp_path / ".cxrsync/progress").mkdir()
    return Tree(tmp_path)


def log(tree: Tree, day: int, exit_code: object) -> str:
    name = f"202611{day:02}T010203.123456Z.json"
    (tree.own / "runs" / name).write_text(json.dumps({"exit_code": exit_code}))
    return name


def test_the_job_that_has_waited_longest(tree: Tree, tmp_path: Path) -> None:
    assert waiting_since(Tree(tmp_path / "none"), 0.0) == ("", "")
    assert waiting_since(tree, NOW.timestamp()) == ("", "")
    first = log(tree, 1, 0)
    assert waiting_since(tree, NOW.timestamp()) == (first, first)
    last = log(tree, 3, 5)
    log(tree, 2, 9)
    assert waiting_since(tree, NOW.timestamp()) == (first, last)
    (tree.own / "runs" / first).unlink()
    assert waiting_since(tree, NOW.timestamp()) == ("", last)


def test_a_complete_run_of_the_future_is_an_old_one(tree: Tree) -> None:
    """Its clock was ahead. Else the job would be the last one for a year."""
    first, last = log(tree, 1, 0), log(tree, 3, 0)
    ahead = "20271126T010203.123456Z.json"
    (tree.own / "runs" / ahead).write_text('{"exit_code": 0}')
    assert waiting_since(tree, NOW.timestamp()) == (last, last)
    (tree.own / "runs" / last).unlink()
    (tree.own / "runs" / first).unlink()
    assert waiting_since(tree, NOW.timestamp()) == (ahead, ahead)


@pytest.mark.parametrize("text", ["", "[]", "7", '{"exit_code": null}', '{"exit_code": "0"}', "{}"])
def test_logs_that_are_none(tree: Tree, text: str) -> None:
    first = log(tree, 1, 0)
    broken = log(tree, 2, 0)
    (tree.own / "runs" / broken).write_text(text)
    (tree.own / "runs/notes.txt").write_text("x")
    assert waiting_since(tree, NOW.timestamp()) == (first, broken)


def at_work(tree: Tree, run: str = "20261126T050000.000000Z", **process: object) -> None:
    record = {**another_process(), "run": run, "files": COUNTS, **process}
    (tree.own / "progress/x.json").write_text(json.dumps(record))


def test_a_run_at_work(tree: Tree) -> None:
    assert run_at_work(tree, NOW) is None
    at_work(tree)
    found = run_at_work(tree, NOW)
    assert found is not None
    assert (found.idle, found.is_stuck) == (3600, False)
    assert f"another run works on {tree.root} (process {os.getppid()} on " in str(found)
    assert "its last file was published 1 h ago" in str(found)


def test_what_this_process_could_not_remove_is_no_other_run(tree: Tree) -> None:
    """The disk turned read-only when a part of this run was done."""
    at_work(tree, **this_process())
    assert run_at_work(tree, NOW) is None


def test_a_run_that_has_ended(tree: Tree) -> None:
    at_work(tree, start="1")
    assert run_at_work(tree, NOW) is None


@pytest.mark.parametrize(
    ("idle", "is_stuck"), [(IDLE_SECONDS - 1, False), (IDLE_SECONDS + 1, True)]
)
def test_a_run_is_stuck_if_no_state_was_written_for_a_day(
    tree: Tree, idle: float, is_stuck: bool
) -> None:
    at_work(tree, run="20261101T050000Z")
    for partition, later in (("p10", 0), ("root", 100)):
        (tree.own / partition).mkdir()
        state = tree.own / partition / "state.sqlite3"
        state.write_bytes(b"x")
        at = NOW.timestamp() - idle - later
        os.utime(state, (at, at))
    found = run_at_work(tree, NOW)
    assert found is not None
    assert (found.idle, found.is_stuck) == (idle, is_stuck)


@pytest.mark.parametrize("run", ["", "yesterday", "20269999T000000Z"])
def test_a_run_that_does_not_say_when_it_began(tree: Tree, run: str) -> None:
    at_work(tree, run=run)
    found = run_at_work(tree, NOW)
    assert found is not None
    assert found.is_stuck


# ── the marker ─────────────────────────────────────────────────────────────────────────────────


def job(dest: Path) -> Job:
    return make_job({"jpg": True, "dataset_version": "2.1.0", "dest": dest})


@pytest.mark.parametrize(
    "place", ["mimic-cxr-jpg/2.1.0", "2.1.0", "physionet.org/files/mimic-cxr-jpg/2.1.0"]
)
def test_the_marker_in_each_layout(tmp_path: Path, place: str) -> None:
    own = tmp_path / place / ".cxrsync"
    own.mkdir(parents=True)
    (own / "tree.json").write_text('{"dataset": "mimic-cxr-jpg", "version": "2.1.0"}')
    assert marked_tree(job(tmp_path)).root == tmp_path / place


def test_no_marker(tmp_path: Path) -> None:
    dest = tmp_path / "data"
    with pytest.raises(RefusedForSafety, match=r"data does not exist, so there is no mirror of"):
        marked_tree(job(dest))
    dest.mkdir()
    with pytest.raises(RefusedForSafety, match=r"data holds no mirror of mimic-cxr-jpg 2\.1\.0"):
        marked_tree(job(dest))
    older = dest / "mimic-cxr-jpg/2.0.0/.cxrsync"
    older.mkdir(parents=True)
    with pytest.raises(RefusedForSafety, match=r"data holds no mirror of mimic-cxr-jpg 2\.1\.0"):
        marked_tree(job(dest))
    wget = dest / "mimic-cxr-jpg/2.1.0"
    wget.mkdir()
    (wget / "SHA256SUMS.txt").write_text("")
    with pytest.raises(RefusedForSafety, match=r"2\.1\.0 holds no folder \.cxrsync") as refused:
        marked_tree(job(dest))
    assert "--init" in refused.value.next_step
    assert not (wget / ".cxrsync").exists()
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UsageError, match="is not a folder"):
        marked_tree(job(file))
