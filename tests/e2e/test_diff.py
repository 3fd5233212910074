"""What changed from one version to the next, as two dictionaries would tell it."""

import hashlib
import json
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e.stage import DICOM, JPG, PATIENCE, VERSION, Ended, Machine, fingerprint, wait_until

from cxrsync.demo.data.tree import MARKER
from cxrsync.demo.server.server import MiniPhysioNet

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]

OLD = "2.0.0"
MANIFEST = "SHA256SUMS.txt"
FLAGS = {JPG: "--jpg", DICOM: "--dicom"}
OFFLINE = {"max_connections": 0}  # each connection is closed at once


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


def manifest(root: Path, keep: Callable[[str], bool] = lambda _path: True) -> dict[str, str]:
    """Path → digest, without any of our modules."""
    lines = (root / MANIFEST).read_text().splitlines()
    return {line[65:]: line[:64] for line in lines if keep(line[65:])}


def told_apart(old: dict[str, str], new: dict[str, str]) -> list[tuple[str, str, str]]:
    """Change, path and digest, by path."""
    found = [("removed", path, old[path]) for path in old.keys() - new]
    found += [("added", path, new[path]) for path in new.keys() - old]
    both = old.keys() & new
    found += [("changed", path, new[path]) for path in both if old[path] != new[path]]
    return sorted(found, key=lambda each: each[1])


def is_table(path: str) -> bool:
    return path.endswith((".csv", ".csv.gz"))


def check(done: Ended, old: dict[str, str], new: dict[str, str]) -> dict[str, Any]:
    """Compare what ``--json`` told with what two dictionaries tell; the summary."""
    assert done.code == 0, done.err
    *told, summary = done.events
    assert {each["event"] for each in told} <= {"difference"}
    expected = told_apart(old, new)
    assert [(each["change"], each["path"], each["sha256"]) for each in told] == expected
    counts = Counter(change for change, _path, _digest in expected)
    assert summary["event"] == "summary"
    for change in ("added", "removed", "changed"):
        assert summary[change] == counts[change]
    fresh = {digest for change, _path, digest in expected if change != "removed"}
    assert summary["files_moving"] == len(fresh - set(old.values()))
    return summary


Keep = Callable[[str], bool]
CASES: list[tuple[str, str, Keep]] = [
    (JPG, "", lambda _path: True),
    (JPG, "--shard p10,p12", lambda p: p.startswith(("files/p10/", "files/p12/")) or is_table(p)),
    (JPG, "--shard p15 --no-tables", lambda path: path.startswith("files/p15/")),
    (JPG, "--only tables", is_table),
    (JPG, "--include *.jpg --exclude files/p1[2-9]/*",
     lambda path: path.startswith(("files/p10/", "files/p11/"))),
    (JPG, "--subject 10000032 --only images", lambda path: "/p10000032/" in path),
    (DICOM, "", lambda _path: True),
    (DICOM, "--only reports", lambda path: path.startswith("files/") and path.endswith(".txt")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dataset", "words", "keep"), CASES, ids=[f"{dataset} {words}" for dataset, words, _ in CASES]
)
def test_as_the_two_manifests_tell_it(
    machine: Machine,
    server: MiniPhysioNet,
    files_root: Path,
    dataset: str,
    words: str,
    keep: Keep,
) -> None:
    old = manifest(files_root / dataset / OLD, keep)
    new = manifest(files_root / dataset / VERSION, keep)
    assert old
    assert new

    done = machine.run("diff", OLD, VERSION, FLAGS[dataset], *words.split(), "--json")

    check(done, old, new)
    counts = server.request_log.snapshot()
    assert {path for path, each in counts.by_path.items() if each.requests} == {
        f"{dataset}/{version}/{MANIFEST}" for version in (OLD, VERSION)
    }
    assert counts.password_checks == 1


def test_by_a_table_of_each_version(machine: Machine, server: MiniPhysioNet) -> None:
    words = ("--jpg", "--split", "test", "--only", "images")

    done = machine.run("diff", OLD, VERSION, *words, "--json")

    old, new = (
        dict(
            reversed(line.split("  ", 1))
            for line in machine.run(
                "ls", *words, "--dataset-version", version, "--format", "sha256sum"
            ).out.splitlines()
        )
        for version in (OLD, VERSION)
    )
    assert old
    check(done, old, new)
    assert server.request_log.snapshot().password_checks <= 1


def test_for_a_person_and_without_a_network(
    serve: Serve, make_machine: MakeMachine, files_root: Path
) -> None:
    server = serve()
    machine = make_machine(server)
    words = ("diff", OLD, VERSION, "--jpg")
    first = machine.run(*words)
    server.set_behaviour(**OFFLINE)

    again = machine.run(*words)

    assert (again.code, again.out, again.err) == (0, first.out, first.err)
    expected = told_apart(*(manifest(files_root / JPG / each) for each in (OLD, VERSION)))
    assert again.out.splitlines() == [f"{change:<8} {path}" for change, path, _ in expected]
    counts = Counter(change for change, _path, _digest in expected)
    [line] = again.err.splitlines()
    assert line.startswith(
        f"{JPG} {OLD} → {VERSION}: {counts['added']} added, {counts['removed']} removed, "
        f"{counts['changed']} changed; {counts['added'] + counts['changed']} files to fetch"
    )
    assert "by the catalogue's means" in line
    quiet = machine.run("-q", *words)
    assert (quiet.out, quiet.err) == (first.out, "")
    # The other way round, and without a dataset: the trees in the destination are all of one.
    back = machine.run("diff", VERSION, OLD, "--json")
    check(back, *(manifest(files_root / JPG / each) for each in (VERSION, OLD)))


def test_what_would_move_is_told_by_the_sizes_that_are_known(
    machine: Machine, server: MiniPhysioNet, files_root: Path
) -> None:
    old, new = (manifest(files_root / JPG / version) for version in (OLD, VERSION))
    assert machine.pull("--jpg", "--dataset-version", OLD, "--shard", "p10-p13").code == 0
    sizes = [path.stat().st_size for path in (machine.dest / JPG / OLD).rglob("*.jpg")]

    words = ("--only", "images")
    summary = check(
        machine.run("diff", OLD, VERSION, "--jpg", *words, "--json"),
        *({p: d for p, d in each.items() if p.endswith(".jpg")} for each in (old, new)),
    )

    assert len(sizes) > 20
    assert summary["basis"] == ["sizes learned so far"]
    mean = sum(sizes) / len(sizes)
    assert summary["bytes_moving"] == pytest.approx(summary["files_moving"] * mean, abs=1)
    assert summary["files_of_unknown_size"] == 0


def test_a_selection_that_one_version_has_nothing_of(
    machine: Machine, server: MiniPhysioNet, files_root: Path
) -> None:
    def keep(path: str) -> bool:
        return "test-set-labeled" in path

    old, new = (manifest(files_root / JPG / version, keep) for version in (OLD, VERSION))
    assert (len(old), len(new)) == (0, 1)
    words = ("--jpg", "--include", "*test-set-labeled*", "--json")
    check(machine.run("diff", OLD, VERSION, *words), old, new)


# ── a dataset of a few lines ───────────────────────────────────────────────────────────────────

FEW = "few"


@pytest.fixture
def few(tmp_path: Path, serve: Serve, make_machine: MakeMachine) -> Machine:
    """Its second version moves a file, copies one, and puts another's bytes under a known name."""
    versions = {
        "1.0": {"a.txt": "a", "b.txt": "b", "c.txt": "c"},
        "2.0": {"b.txt": "a", "c.txt": "c", "sub/c again.txt": "c"},
        "3.0": {"b.txt": "new", "c.txt": "c", "d/e.txt": "new"},
    }
    root = tmp_path / "files"
    for version, files in versions.items():
        (root / FEW / version).mkdir(parents=True)
        (root / FEW / version / MANIFEST).write_text(
            "".join(
                f"{hashlib.sha256(text.encode()).hexdigest()} {path}\n"
                for path, text in sorted(files.items(), reverse=True)
            )
        )
    (root / MARKER).touch()
    return make_machine(serve(root, open_datasets=frozenset({FEW})))


def test_bytes_that_are_there_under_another_name_do_not_move(few: Machine) -> None:
    done = few.run("diff", "1.0", "2.0", "--dataset", FEW)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "removed  a.txt",
        "changed  b.txt",
        "added    sub/c again.txt",
    ]
    assert done.err.splitlines()[-1] == (
        f"{FEW} 1.0 → 2.0: 1 added, 1 removed, 1 changed; nothing to fetch"
    )
    summary = few.run("diff", "1.0", "2.0", "--dataset", FEW, "--json").events[-1]
    assert (summary["files_moving"], summary["bytes_moving"], summary["basis"]) == (0, 0, [])


def test_the_same_bytes_twice_move_once(few: Machine) -> None:
    summary = few.run("diff", "2.0", "3.0", "--dataset", FEW, "--json").events[-1]
    assert (summary["added"], summary["removed"], summary["changed"]) == (1, 1, 1)
    assert (summary["files_moving"], summary["files_of_unknown_size"]) == (1, 1)


def test_versions_that_do_not_differ(few: Machine, tmp_path: Path) -> None:
    root = tmp_path / "files" / FEW
    (root / "3.0" / MANIFEST).write_bytes((root / "2.0" / MANIFEST).read_bytes())
    done = few.run("diff", "2.0", "3.0", "--dataset", FEW)
    assert (done.code, done.out) == (0, "")
    assert "0 added, 0 removed, 0 changed; nothing to fetch" in done.err


# ── where the destination is a version's own folder ────────────────────────────────────────────


def test_in_a_version_s_own_folder(
    machine: Machine, server: MiniPhysioNet, files_root: Path
) -> None:
    assert machine.pull("--jpg", "--shard", "p10").code == 0
    machine.dest = machine.dest / JPG / VERSION
    before = fingerprint(machine.dest)
    manifests = [manifest(files_root / JPG / version) for version in (OLD, VERSION)]

    for _time in range(2):
        check(machine.run("diff", OLD, VERSION, "--jpg", "--json"), *manifests)

    assert fingerprint(machine.dest) == before
    verified = machine.run("verify", "--json", "--progress", "none")
    assert (verified.code, verified.summary["files"]["extra"]) == (0, 0)


# ── what is refused, who goes away, who asks to stop ───────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"{OLD} {OLD} --jpg", "the same version"),
        (f"{OLD} 9.9.9 --jpg", "has no version 9.9.9"),
        (f"9.9.9 {OLD} --jpg", f"Its versions: {OLD}, {VERSION}"),
        (f"../{OLD} {VERSION} --jpg", f"../{OLD}"),
        (f"{OLD} {VERSION} --jpg --dataset-version {VERSION}", "--dataset-version"),
        (f"{OLD} {VERSION} --jpg --shard p20", "p20"),
        (f"{OLD} {VERSION} --jpg --split tset", "Did you mean test?"),
        (f"{OLD} {VERSION}", "--jpg"),
        (f"{OLD} --jpg", "V2"),
    ],
)
def test_usage(machine: Machine, server: MiniPhysioNet, words: str, said: str) -> None:
    ended = machine.run("diff", *words.split())
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "Traceback" not in ended.err
    # No folder is left for a version that is none.
    left = {path.name for path in machine.dest.glob("*/*")} if machine.dest.exists() else set()
    assert left <= {OLD, VERSION}


@pytest.mark.parametrize("words", ["", "--json", "--only tables"])
def test_a_closed_pipe(machine: Machine, server: MiniPhysioNet, words: str) -> None:
    assert machine.run("diff", OLD, VERSION, "--jpg").code == 0
    assert machine.run_unread("diff", OLD, VERSION, "--jpg", *words.split()) == (0, "")


def test_ctrl_c_while_the_second_manifest_comes(
    serve: Serve, make_machine: MakeMachine, files_root: Path
) -> None:
    server = serve()
    machine = make_machine(server)
    assert machine.run("ls", "--jpg", "--dataset-version", OLD).code == 0
    server.set_behaviour(rate=10_000)
    server.request_log.reset()
    process = machine.start("diff", OLD, VERSION, "--jpg")
    wait_until(lambda: server.request_log.snapshot().bytes_sent > 4_000)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    server.set_behaviour(rate=None)
    check(
        machine.run("diff", OLD, VERSION, "--jpg", "--json"),
        *(manifest(files_root / JPG / version) for version in (OLD, VERSION)),
    )


def test_each_line_is_json(machine: Machine, server: MiniPhysioNet) -> None:
    machine.environment = {"CXRSYNC_JSON": "1"}
    done = machine.run("diff", OLD, VERSION, "--jpg", "--only", "tables")
    assert (done.code, done.err) == (0, "")
    assert [json.loads(line) for line in done.out.splitlines()] == done.events
