"""The main job, as a newcomer would do it."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.stage import DICOM, JPG, VERSION, Machine, fingerprint, sha256sum

from cxrsync.demo.server.server import MiniPhysioNet


def test_a_shard_is_pulled_and_verified(machine: Machine, server: MiniPhysioNet, jpg: Path) -> None:
    done = machine.pull("--jpg", "--shard", "p10")

    assert done.code == 0, done.err
    root = machine.dest / JPG / VERSION
    assert fingerprint(root, below="files/") == fingerprint(jpg, below="files/p10/")
    assert machine.run("verify", "--jpg").code == 0
    assert sha256sum(root, "--ignore-missing").returncode == 0
    # The tables come along with a shard, the archives and the rest do not.
    tables = {path.name for path in root.iterdir() if path.name.startswith("mimic-cxr-2")}
    assert tables == {path.name for path in jpg.iterdir() if path.name.startswith("mimic-cxr-2")}
    assert not (root / "README").exists()


def test_one_password_check_and_one_request_a_file(machine: Machine, server: MiniPhysioNet) -> None:
    done = machine.pull("--jpg", "--shard", "p10")

    counts = server.request_log.snapshot()
    assert counts.password_checks == 1
    assert counts.requests <= done.summary["files"]["selected"] + 5
    assert done.summary["requests"] == counts.requests
    assert counts.peak_connections <= 8


def test_a_run_with_nothing_to_do(machine: Machine, server: MiniPhysioNet) -> None:
    assert machine.pull("--jpg", "--shard", "p10").code == 0
    server.request_log.reset()

    again = machine.pull("--jpg", "--shard", "p10")

    assert again.code == 0
    assert server.request_log.snapshot().requests <= 3
    plan = again.event("plan")
    assert (plan["to_fetch"], plan["to_hash"]) == (0, 0)
    assert plan["present"] == plan["selected"] > 0


@pytest.mark.parametrize("flag", ["--jpg", "--dicom"])
def test_a_whole_version_is_what_wget_would_have_made(
    machine: Machine, files_root: Path, flag: str
) -> None:
    done = machine.pull(flag)

    assert done.code == 0, done.err
    dataset = JPG if flag == "--jpg" else DICOM
    root = machine.dest / dataset / VERSION
    assert fingerprint(root) == fingerprint(files_root / dataset / VERSION)
    assert sha256sum(root).returncode == 0


def test_what_is_written_is_for_its_owner_only(machine: Machine) -> None:
    machine.run("pull", "--jpg", "--shard", "p10")

    for path in (machine.dest, *machine.dest.rglob("*")):
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


def test_kinds_and_globs(machine: Machine, server: MiniPhysioNet) -> None:
    reports = ("--only", "reports", "--reports", "files")
    assert machine.pull("--dicom", *reports, "--shard", "p11").code == 0
    root = machine.dest / DICOM / VERSION
    assert {path.suffix for path in (root / "files").rglob("*") if path.is_file()} == {".txt"}

    assert machine.pull("--dicom", "--include", "*.csv.gz", "--exclude", "*study*").code == 0
    assert sorted(path.name for path in root.glob("cxr-*")) == [
        "cxr-provider-list.csv.gz",
        "cxr-record-list.csv.gz",
    ]
    # Nothing else was asked for.
    asked = set(server.request_log.snapshot().by_path)
    assert not any(path.endswith((".dcm", ".zip")) for path in asked)


def test_an_older_version_lies_beside_the_newer(machine: Machine, files_root: Path) -> None:
    assert machine.pull("--jpg", "--dataset-version", "2.0.0", "--shard", "p10").code == 0
    assert machine.pull("--jpg", "--dataset-version", "2.1.0", "--shard", "p10").code == 0
    for version in ("2.0.0", "2.1.0"):
        here = fingerprint(machine.dest / JPG / version, below="files/")
        assert here == fingerprint(files_root / JPG / version, below="files/p10/")


def test_from_a_tree_on_a_local_disk(machine: Machine, files_root: Path, jpg: Path) -> None:
    done = machine.pull("--jpg", "--shard", "p10", "--from", str(files_root))

    assert done.code == 0, done.err
    root = machine.dest / JPG / VERSION
    assert fingerprint(root, below="files/") == fingerprint(jpg, below="files/p10/")


def test_an_open_dataset_needs_no_credentials(
    serve: Callable[..., MiniPhysioNet], make_machine: Callable[[MiniPhysioNet], Machine]
) -> None:
    server = serve(open_datasets=frozenset({JPG}))
    machine = make_machine(server)
    machine.environment = {"PHYSIONET_USERNAME": "", "PHYSIONET_PASSWORD": ""}

    assert machine.pull("--jpg", "--shard", "p10").code == 0
    assert server.request_log.snapshot().password_checks == 0


def test_json_goes_to_stdout_and_words_to_stderr(machine: Machine, jpg: Path) -> None:
    done = machine.run("pull", "--jpg", "--shard", "p10", "--json")

    assert [event["event"] for event in done.events][:2] == ["notice", "start"]
    assert len(done.events) == len(done.out.splitlines())
    assert "complete and verified" in done.err
    summary = done.event("summary")
    assert summary["exit_code"] == 0
    files, sizes = summary["files"], summary["bytes"]
    assert files["fetched"] == files["selected"] > 0
    # On the wire, the manifest included.
    manifest = (jpg / "SHA256SUMS.txt").stat().st_size
    assert sizes["fetched"] == sizes["selected"] + manifest
    assert {"present", "resumed", "failed", "mismatched"} <= files.keys() & sizes.keys()


def test_stopping_at_a_limit_and_going_on(machine: Machine) -> None:
    first = machine.pull("--jpg", "--shard", "p10", "--max-files", "3")
    assert (first.code, first.summary["files"]["fetched"]) == (9, 3)

    rest = machine.pull("--jpg", "--shard", "p10")
    assert rest.code == 0
    assert rest.summary["files"]["present"] == 3


def test_python_says_the_same(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    import cxrsync

    monkeypatch.setenv("PHYSIONET_USERNAME", "demo")
    monkeypatch.setenv("PHYSIONET_PASSWORD", "demo-password")
    report = cxrsync.pull(
        dataset=JPG,
        shard=["p10"],
        dest=machine.dest,
        base_url=machine.base_url,
        ca_file=machine.ca_file,
    )

    assert report.exit_code == 0
    assert report.fetched.files == report.selected.files > 0
