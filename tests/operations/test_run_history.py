"""Logs of runs: what they tell without an id in it, and whatever else may lie there."""

import json
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from cxrsync.clock import DAY, stamp_of, time_of
from cxrsync.events import RunSummary, ScrubCounts, Totals
from cxrsync.model import Outcome, Result
from cxrsync.operations.run_history import read_history
from cxrsync.operations.run_log import KEPT_RUNS, write_summary
from cxrsync.report_data import Trouble, TroubleGroup
from cxrsync.storage.tree import Tree

NOTHING = {each.name: Totals() for each in fields(RunSummary) if each.type == "Totals"}
SUMMARY = RunSummary("d", "1", "/srv/d/1", "all", **NOTHING, requests=0, seconds=2.5, exit_code=0)
STAMP = "20261126T042813.123456Z"
IMAGE = "files/p12/p12000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    tree.own.mkdir()
    return tree


def raw(**more: Any) -> dict[str, Any]:
    return {**SUMMARY.as_json(), **more}


def put(tree: Tree, stamp: str, content: object) -> Path:
    file = tree.own / "runs" / f"{stamp}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_what_was_scrubbed_is_read(tree: Tree) -> None:
    scrub = ScrubCounts(30.0, good=Totals(7, 700), bad=2, unreadable=1)
    write_summary(tree, STAMP, replace(SUMMARY, scrub=scrub))
    [run] = read_history(tree).runs
    assert (run.scrubbed, run.scrubbed_bytes, run.rotten) == (7, 700, 3)
    put(tree, STAMP, raw(scrub={"files": "?"}))
    assert read_history(tree).unread == 1


def test_what_was_kept_is_read(tree: Tree) -> None:
    problems = (
        Outcome(IMAGE, Result.FAILED, reason=f"404: no {IMAGE}"),
        Outcome(IMAGE.replace("p12", "p13"), Result.CONTRADICTED, reason="not the digest"),
        Outcome("LICENSE.txt", Result.ACKNOWLEDGED, reason="not the digest"),
    )
    summary = replace(
        SUMMARY,
        fetched=Totals(3, 300),
        exit_code=5,
        error=f"cannot go on /srv/d/1/{IMAGE}: full",
        problems=problems,
        samples=((0.0, 0), (2.5, 300)),
    )
    write_summary(tree, STAMP, summary)
    [run] = (history := read_history(tree)).runs
    assert run.began == time_of(STAMP)
    assert (run.ended - run.began, run.fetched, run.fetched_bytes) == (2.5, 3, 300)
    assert run.samples == ((0.0, 0), (2.5, 300))
    assert run.error == "cannot go on /srv/d/1/…: full"
    assert set(run.problems) == {
        TroubleGroup(Trouble.FAILED, "p12", "404: no the file", 1),
        TroubleGroup(Trouble.MISMATCHED, "p13", "not the digest", 1),
        TroubleGroup(Trouble.ACKNOWLEDGED, "root", "not the digest", 1),
    }
    assert history.acknowledged == {"LICENSE.txt"}


def test_the_log_is_the_summary_and_the_samples(tree: Tree) -> None:
    write_summary(tree, STAMP, replace(SUMMARY, samples=((1.0, 5),)))
    kept = json.loads((tree.own / "runs" / f"{STAMP}.json").read_text())
    assert kept == {**SUMMARY.as_json(), "samples": [[1.0, 5]]}


def test_a_log_of_an_earlier_version_has_no_samples(tree: Tree) -> None:
    put(tree, STAMP, {key: value for key, value in raw().items() if key != "limited"})
    [run] = read_history(tree).runs
    assert (run.samples, run.limited) == ((), False)


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", "{}", raw(files={}), raw(seconds=-1), raw(seconds="2"),
        raw(exit_code=True), raw(problems=[{}]), raw(problems=3), raw(samples=[[1, 2, 3]]),
        raw(samples=[[2, 1], [1, 1]]), raw(samples=[[0, 0]] * 121), raw(seconds=1e300),
        raw(bytes={"fetched": 1 << 60}),
    ],
)  # fmt: skip
def test_what_is_no_log_is_counted_and_no_more(tree: Tree, content: object) -> None:
    put(tree, "20261125T000000.1Z", raw())
    put(tree, STAMP, content)
    history = read_history(tree)
    assert (len(history.runs), history.unread) == (1, 1)


def test_what_a_reader_may_not_read_is_counted(tree: Tree) -> None:
    put(tree, STAMP, raw())
    (tree.own / "runs" / "20261127T000000Z.json").symlink_to(tree.own / "runs" / f"{STAMP}.json")
    (tree.own / "runs" / "notes.json").write_text("mine")
    history = read_history(tree)
    assert (len(history.runs), history.unread) == (1, 1)


def test_no_logs_at_all(tree: Tree) -> None:
    assert read_history(tree).runs == ()
    assert read_history(tree).unread == 0


def test_the_newest_stay(tree: Tree) -> None:
    stranger = put(tree, "mine", "{}")
    for minute in range(5):
        write_summary(tree, f"20261126T04{minute:02}00.1Z", SUMMARY, keep=3)
    names = sorted(os.listdir(tree.own / "runs"))
    assert names == [*(f"20261126T04{minute:02}00.1Z.json" for minute in (2, 3, 4)), "mine.json"]
    assert stranger.exists()
    assert KEPT_RUNS == 400


def test_a_run_whose_clock_was_ahead_is_not_the_newest(tree: Tree) -> None:
    now = time_of(STAMP)
    ahead, yesterday = stamp_of(now + 365 * DAY), stamp_of(now - DAY)
    for stamp, code in ((yesterday, 0), (ahead, 0), (STAMP, 10)):
        write_summary(tree, stamp, replace(SUMMARY, exit_code=code))
    runs = read_history(tree, lambda: now).runs
    assert [each.exit_code for each in runs] == [0, 0, 10]
    assert runs[0].began == time_of(ahead)
    # Later, that time has come: it is one run of many.
    assert read_history(tree, lambda: now + 400 * DAY).runs[-1].began == time_of(ahead)
    write_summary(tree, STAMP, SUMMARY, keep=2)
    assert sorted(os.listdir(tree.own / "runs")) == [f"{yesterday}.json", f"{STAMP}.json"]
