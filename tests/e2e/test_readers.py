"""`status` beside pulls that are at work, and after one was killed; what the next one finds."""

import json
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from e2e.stage import JPG, PATIENCE, VERSION, Machine, wait_until

from cxrsync.demo.server.server import MiniPhysioNet

P10 = ("--jpg", "--shard", "p10", "--no-tables")
P11 = ("--jpg", "--shard", "p11", "--no-tables")
QUIET = ("--json", "--progress", "none")


@pytest.fixture
def user(
    serve: Callable[..., MiniPhysioNet], make_machine: Callable[[MiniPhysioNet], Machine]
) -> Machine:
    return make_machine(serve(rate=32 << 10))


def own(user: Machine) -> Path:
    return user.dest / JPG / VERSION / ".cxrsync"


def rows_committed(user: Machine) -> int:
    """How many rows are in the working copy of p10, of a run that stands still."""
    [working] = (own(user) / "p10").glob("state.*.sqlite3")
    journal = working.with_name(f"{working.name}-journal")
    if journal.exists():  # it was killed in a commit, which is undone
        shutil.copy(journal, user.home / "copy-journal")
    with closing(sqlite3.connect(shutil.copy(working, user.home / "copy"))) as db:
        return int(db.execute("SELECT count(*) FROM file").fetchone()[0])


def status(user: Machine) -> dict[str, Any]:
    told = user.run("status", "--jpg", "--json")
    assert told.code == 0, told.err
    return dict(json.loads(told.out))


@pytest.fixture
def at_work(user: Machine) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts pulls, each stopped once readers see a state of its shard and a file is recorded."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        process = user.start("pull", *QUIET, *words)
        started.append(process)
        shard = words[words.index("--shard") + 1]
        assert process.stdout is not None
        assert any(json.loads(line)["event"] == "file" for line in process.stdout)
        wait_until(lambda: (own(user) / shard / "state.sqlite3").exists())
        process.send_signal(signal.SIGSTOP)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_status_beside_two_pulls(
    user: Machine, at_work: Callable[..., subprocess.Popen[str]]
) -> None:
    first = at_work(*P10)
    alone = status(user)
    assert [run["pid"] for run in alone["runs"]] == [first.pid]
    assert alone["running"] == alone["runs"][0]

    second = at_work(*P11)
    told = status(user)

    assert [run["pid"] for run in told["runs"]] == [second.pid, first.pid]
    assert told["running"]["pid"] == second.pid
    for shard in ("p10", "p11"):
        assert told["partitions"][shard]["snapshot_behind"]
        assert 0 <= told["partitions"][shard]["snapshot_age"] < PATIENCE
    said = user.run("status", "--jpg").out
    for process in (first, second):
        who = rf"\(process {process.pid} on [^)]+\)"  # perhaps before it knows of any
        assert re.search(rf"a pull is (running {who}: \d+ of \d+|preparing {who})", said)
    assert re.search(r"the table is [\d.]+ s old", said)

    for process in (first, second):
        process.send_signal(signal.SIGCONT)
    for process in (first, second):
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
    told = status(user)
    assert (told["running"], told["runs"]) == (None, [])
    assert list((own(user) / "progress").iterdir()) == []
    for share in told["partitions"].values():
        assert share["snapshot_behind"] is False
        assert (share["verified"], share["unproved"]) == (share["selected"], 0)
    assert "is running" not in user.run("status", "--jpg").out


def test_what_a_killed_pull_had_committed_is_there_for_the_next(
    user: Machine, at_work: Callable[..., subprocess.Popen[str]]
) -> None:
    process = at_work(*P10)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    committed = rows_committed(user)

    told = status(user)
    assert (told["running"], told["runs"]) == (None, [])
    assert told["partitions"]["p10"]["snapshot_behind"]
    assert told["partitions"]["p10"]["verified"] <= committed
    said = user.run("status", "--jpg").out
    assert "files of p10 that were verified after" in said
    assert "a pull was killed before it updated the snapshot" in said

    done = user.pull(*P10)

    assert done.code == 0, done.err
    assert done.event("plan")["present"] == committed > 0
    assert not any("was damaged" in event.get("text", "") for event in done.events)
    assert {path.name for path in (own(user) / "p10").iterdir()} == {"state.sqlite3", "partial"}
    assert list((own(user) / "progress").iterdir()) == []


def test_a_pull_with_nothing_to_do_leaves_the_states_as_they_are(user: Machine) -> None:
    assert user.pull(*P10).code == 0
    states = {path: path.stat() for path in own(user).rglob("state.*")}
    assert len(states) == 1
    assert user.pull(*P10).event("plan")["to_fetch"] == 0
    after = {path: path.stat() for path in own(user).rglob("state.*")}
    assert {path: found.st_ino for path, found in after.items()} == {
        path: found.st_ino for path, found in states.items()
    }
