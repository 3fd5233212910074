"""`status` and `verify` without a dataset: every tree in the destination is spoken of, rightly."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e.stage import DICOM, JPG, VERSION, Ended, Machine, wait_until

from cxrsync.demo.server import faults
from cxrsync.demo.server.faults import Rule, script
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.operations import status
from cxrsync.progress_events import Activity, Phase
from cxrsync.ui.reporters import Reporters

OLD = "2.0.0"
SHARD = ("--shard", "p10", "--no-tables")


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


@pytest.fixture
def trees(machine: Machine) -> Path:
    """Two versions of one dataset. Returns the folder that holds them."""
    assert machine.pull("--jpg", *SHARD).code == 0
    assert machine.pull("--jpg", "--dataset-version", OLD, *SHARD).code == 0
    return machine.dest / JPG


def copy(tree: Path, root: Path) -> Path:
    """What somebody, or wget, left there: a shard of it, and nothing of ours."""
    shutil.copytree(tree / "files/p10", root / "files/p10")
    shutil.copy2(tree / "SHA256SUMS.txt", root)
    return root


def spoken_of(ended: Ended) -> list[tuple[str, str, int]]:
    """Dataset, version and exit code of each tree."""
    return [
        (each["dataset"], each["version"], each["exit_code"])
        for each in ended.events
        if each.get("event", "summary") == "summary"
    ]


def both(machine: Machine) -> dict[str, Ended]:
    return {
        "status": machine.run("status", "--json"),
        "verify": machine.run("verify", "--json", "--progress", "none"),
    }


# ── which trees ────────────────────────────────────────────────────────────────────────────────


def test_older_versions_are_spoken_of(machine: Machine, trees: Path) -> None:
    for ended in both(machine).values():
        assert spoken_of(ended) == [(JPG, OLD, 0), (JPG, VERSION, 0)]
        assert ended.code == 0


def test_each_tree_has_a_block_for_people(machine: Machine, trees: Path) -> None:
    blocks = machine.run("status").out.split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [
        f"{JPG} {version} (p10) in {trees / version}" for version in (OLD, VERSION)
    ]
    said = machine.run("verify").err
    for version in (OLD, VERSION):
        assert f"{JPG} {version} (p10) → {trees / version}" in said
        assert f"{JPG} {version} (p10): " in said


def test_a_dataset_that_is_named_is_one_tree(machine: Machine, trees: Path) -> None:
    for words in (("--jpg",), (JPG,), ("--dataset", JPG)):
        [said] = machine.run("status", *words, "--json").events
        assert said["version"] == VERSION


def test_a_version_alone_chooses_among_the_trees(machine: Machine, trees: Path) -> None:
    for words in (["--dataset-version", OLD], [OLD], [f"v{OLD}"]):
        [said] = machine.run("status", *words, "--json").events
        assert said["version"] == OLD
    assert [each[1] for each in spoken_of(machine.run("verify", OLD, "--json"))] == [OLD]
    ended = machine.run("status", "--dataset-version", "9.9.9")
    assert ended.code == 2
    assert "in version 9.9.9" in ended.err


def test_a_dataset_that_the_catalogue_does_not_have(
    machine: Machine, trees: Path, jpg: Path
) -> None:
    root = copy(jpg, machine.dest / "other-dataset/1.0")
    for ended in both(machine).values():
        assert spoken_of(ended)[-1] == ("other-dataset", "1.0", 0)
    advised = [line for line in machine.run("status").out.splitlines() if str(root) in line][-1]
    words = advised.partition("cxrsync verify ")[2].split()
    assert machine.run("verify", *words).code == 0


def test_a_tree_that_wget_left(machine: Machine, trees: Path, jpg: Path) -> None:
    """In another of wget's places than the tree of the same version: both are spoken of."""
    root = copy(jpg, machine.dest / "physionet.org/files" / JPG / VERSION)
    for ended in both(machine).values():
        roots = [each["root"] for each in ended.events if "root" in each]
        assert str(root) in roots
        assert str(trees / VERSION) in roots
    said = machine.run("status").out
    assert "What was pulled is not recorded here" in said


def test_one_tree_by_two_names_is_one(machine: Machine, trees: Path) -> None:
    (trees / "2.1").symlink_to(trees / VERSION)
    assert len(machine.run("status", "--json").events) == 2


def test_reports_beside_images_and_inside_a_root(machine: Machine) -> None:
    assert machine.pull("--jpg", *SHARD, "--with-reports").code == 0
    expected = [(DICOM, VERSION, 0), (JPG, VERSION, 0)]
    for ended in both(machine).values():
        assert spoken_of(ended) == expected
    # The root of a version has no place beside it: the reports are in its own folder.
    machine.dest = machine.home / "flat"
    (machine.dest / ".cxrsync").mkdir(parents=True)
    assert machine.pull("--jpg", *SHARD, "--with-reports").code == 0
    for ended in both(machine).values():
        assert spoken_of(ended) == expected


def test_a_manifest_that_diff_fetched_is_no_pull(machine: Machine, trees: Path) -> None:
    assert machine.run("diff", OLD, VERSION, "--dicom").code == 0
    ended = machine.run("status")
    assert ended.code == 0
    assert ended.out.count("nothing was pulled here yet") == 2


def test_folders_that_are_no_trees_are_passed_over(machine: Machine, trees: Path) -> None:
    (machine.dest / "notes/1.0").mkdir(parents=True)
    shutil.copytree(trees / VERSION, machine.dest / "backup" / VERSION)
    (machine.dest / "elsewhere").symlink_to("/nowhere")
    for ended in both(machine).values():
        assert spoken_of(ended) == [(JPG, OLD, 0), (JPG, VERSION, 0)]


# ── nothing there ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["status", "verify"])
@pytest.mark.parametrize("is_there", [False, True])
def test_nothing_there(machine: Machine, command: str, is_there: bool) -> None:
    if is_there:
        machine.dest.mkdir()
    ended = machine.run(command)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"cxrsync: there is no tree of a dataset in {machine.dest}\n")
    assert "cxrsync pull" in ended.err


# ── what cannot be used ────────────────────────────────────────────────────────────────────────


def told(ended: Ended, version: str) -> dict[str, Any]:
    [found] = [
        each for each in ended.events
        if each.get("version") == version and each.get("event", "summary") == "summary"
    ]  # fmt: skip
    return found


def damaged(root: Path, how: str) -> None:
    if how == "broken link":
        root.rename(root.parent / "moved")
        root.symlink_to(root.parent / "unmounted")
    elif how == "damaged manifest":
        (root / "SHA256SUMS.txt").write_text("garbage\n")
    elif how == "another version":
        claim = root / ".cxrsync/tree.json"
        claim.write_text(json.dumps({"dataset": JPG, "version": "1.0"}))
    else:
        state = root / ".cxrsync/p10/state.sqlite3"
        state.write_bytes(b"no database" * 1000)


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("broken link", 7, "which is not there"),
        ("damaged manifest", 6, "SHA256SUMS.txt"),
        ("another version", 2, f"holds {JPG} 1.0, not {JPG} {OLD}"),
        ("damaged state", 2, "the state of p10"),
    ],
)
def test_a_tree_that_cannot_be_used_does_not_hide_the_others(
    machine: Machine, trees: Path, how: str, code: int, said: str
) -> None:
    damaged(trees / OLD, how)
    for command, ended in both(machine).items():
        assert ended.code == code
        problem = told(ended, OLD)
        assert (problem["exit_code"], problem["root"]) == (code, str(trees / OLD))
        assert said in problem["error"]
        good = told(ended, VERSION)
        assert good["exit_code"] == 0
        assert good.keys() <= problem.keys() | {"error"}, command
    counted, verify = machine.run("status"), machine.run("verify")
    assert f"{JPG} {OLD} in {trees / OLD}\nnot counted: " in counted.out
    assert said in counted.out
    assert f"{JPG} {VERSION} (p10)" in counted.out
    assert f"{JPG} {OLD} in {trees / OLD} is not verified:" in verify.err
    assert f"{JPG} {VERSION} (p10): " in verify.err


def test_the_worst_exit_code_is_that_of_all(machine: Machine, trees: Path) -> None:
    [lost, *_] = (trees / OLD / "files").rglob("*.jpg")
    lost.unlink()
    [bad, *_] = (trees / VERSION / "files").rglob("*.jpg")
    bad.write_bytes(b"not that")
    ended = machine.run("verify", "--json", "--progress", "none")
    assert spoken_of(ended) == [(JPG, OLD, 5), (JPG, VERSION, 6)]
    assert ended.code == 6


def test_all_trees_are_repaired(machine: Machine, trees: Path) -> None:
    for version in (OLD, VERSION):
        min((trees / version / "files").rglob("*.jpg")).unlink()
    assert machine.run("verify", "--repair").code == 0
    assert machine.run("verify").code == 0


def test_a_selection_holds_for_each_tree(machine: Machine, trees: Path, jpg: Path) -> None:
    copy(jpg, machine.dest / "other-dataset/1.0")
    ended = machine.run("status", "--split", "test", "--json")
    assert [each["exit_code"] for each in ended.events] == [2, 2, 2]  # no tables are here
    assert "split" in ended.events[0]["error"] + ended.events[1]["error"]


@pytest.mark.parametrize("command", ["status", "verify"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shard", "p1x"), "--shard 'p1x' is not a shard"),
        (("--subject", "@-"), "--subject: the list can be read only once, and there are 2 trees"),
        (("--image", "@/dev/fd/63"), "--image: the list can be read only once"),
    ],
)
def test_a_mistake_is_said_once(
    machine: Machine, trees: Path, command: str, words: tuple[str, ...], said: str
) -> None:
    ended = machine.run(command, *words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count(said) == 1


def test_a_report_is_of_one_tree(machine: Machine, trees: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    ended = machine.run("status", "--html", str(file))
    assert ended.code == 2
    assert f"{JPG} {OLD} in {trees / OLD}" in ended.err
    assert not file.exists()
    assert machine.run("status", f"{JPG}/{OLD}", "--html", str(file)).code == 0


def test_a_reader_that_has_enough(machine: Machine, trees: Path) -> None:
    assert machine.run_unread("status") == (0, "")


def test_the_bar_says_which_tree_is_counted(
    machine: Machine, trees: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ticker draws what it was told last: it must be told before a tree is looked at."""
    told: list[object] = []

    def survey(*arguments: Any) -> Any:
        told.append("survey")
        return real(*arguments)

    real = status.survey_in_batches
    monkeypatch.setattr(status, "survey_in_batches", survey)
    monkeypatch.setattr(Reporters, "tell", lambda _self, event: told.append(event))
    assert machine.run("status").code == 0
    expected = [Phase(Activity.COUNTING, f"{JPG} {version}") for version in (OLD, VERSION)]
    assert told == [expected[0], "survey", expected[1], "survey"]


# ── the words ──────────────────────────────────────────────────────────────────────────────────


def test_the_words_for_people(machine: Machine, trees: Path) -> None:
    root = trees / VERSION
    first, second, *_others = sorted((root / "files").rglob("*.jpg"))
    first.write_bytes(b"not that")
    second.unlink()
    (root / "files/p10/notes.txt").write_text("mine")
    other = root / "mimic-cxr-2.0.0-split.csv.gz"
    other.write_bytes(b"a file of the dataset that nobody selected")

    counted = machine.run("status", "--jpg").out
    assert counted.splitlines()[1].split() == [
        "verified", "unverified", "missing", "total", "bytes", "partial",
    ]  # fmt: skip
    assert f"cxrsync verify --repair --dest {root}" in counted
    ended = machine.run("verify", "--jpg")
    files = machine.run("verify", "--jpg", "--json").summary["files"]
    good, total = files["good"], files["selected"]
    assert f"1 unverified (1 bad), 1 missing, {total} in total; 1 extra" in ended.err
    assert f"{JPG} {VERSION} (p10): {good} verified" in ended.err
    assert "extra: files/p10/notes.txt" in ended.err
    assert "1 file of this version is here though no pull selected" in ended.err
    assert files["unselected"] == 1
    assert "--repair" in ended.err


# ── while a first pull has just begun ──────────────────────────────────────────────────────────

BEGUN = {
    "the manifest": ("*SHA256SUMS.txt", "fetching the manifest, ", SHARD, 2),
    "a table": ("*split.csv.gz", "fetching the tables", ("--split", "test"), 0),
}


@pytest.mark.parametrize("what", BEGUN)
def test_status_says_what_a_first_pull_does(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    what: str,
) -> None:
    """From another process, and before there is anything to count."""
    name, doing, selection, code = BEGUN[what]
    drops = faults.drips(200, 20)
    machine = make_machine(serve(faults=script(Rule(name, drops, attempts=None))))
    process = machine.start("pull", "--jpg", *selection, "--stall-timeout", "600")
    root = machine.dest / JPG / VERSION
    try:
        wait_until(lambda: doing in machine.run("status").out or process.poll() is not None)
        for words in ((), ("--jpg",)):
            ended = machine.run("status", *words)
            assert ended.code == 0, ended.err
            where, unknown, at_work = ended.out.splitlines()
            assert where.startswith(f"{JPG} {VERSION} (")
            assert where.endswith(f" in {root}")
            assert unknown == "which files are due is not known yet"
            assert f"a pull is preparing (process {process.pid} on " in at_work
            assert ", since " in at_work
            assert doing in at_work
            [said] = machine.run("status", "--json", *words).events
            assert (said["partitions"], said["exit_code"]) == ({}, 0)
            assert said["running"]["preparing"] is True
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()
    ended = machine.run("status")
    assert ended.code == code  # without a manifest there is nothing to tell
    assert "process" not in ended.out
    assert ("nothing was pulled here yet" if code == 0 else "cxrsync pull") in ended.out + ended.err
