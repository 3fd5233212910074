"""What newcomers met by hand: each of these was once confusing, or wrong."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.stage import DICOM, JPG, PATIENCE, VERSION, Machine, fingerprint, wait_until

from cxrsync.demo.server.server import MiniPhysioNet

SHARD = ("--jpg", "--shard", "p10")
Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]


@pytest.mark.parametrize("damage", ["cut at a line", "empty", "garbage", "one digit"])
def test_a_damaged_manifest_is_told_by_readers_and_mended_by_pull(
    machine: Machine, jpg: Path, damage: str
) -> None:
    assert machine.pull(*SHARD).code == 0
    manifest = machine.dest / JPG / VERSION / "SHA256SUMS.txt"
    good = manifest.read_bytes()
    bad = {
        "cut at a line": b"".join(good.splitlines(keepends=True)[:80]),
        "empty": b"",
        "garbage": b"\xff" * 1000,
        "one digit": bytes([good[0] ^ 1]) + good[1:],
    }[damage]
    manifest.write_bytes(bad)

    for command in ("verify", "status"):
        told = machine.run(command, "--jpg")
        assert told.code == 6, told.out
        assert "cxrsync pull" in told.err
    assert machine.pull(*SHARD).code == 0
    assert manifest.read_bytes() == good
    assert machine.run("verify", "--jpg").code == 0


def test_a_mistyped_version_leaves_nothing_behind(machine: Machine) -> None:
    assert machine.pull(*SHARD, "--dataset-version", "9.9.9").code == 2
    assert not machine.dest.exists() or not list(machine.dest.rglob("*"))
    assert machine.pull(*SHARD).code == 0


@pytest.mark.parametrize("inside", [f"physionet.org/files/{JPG}", "any-name"])
def test_the_datasets_own_folder_as_destination(
    machine: Machine, files_root: Path, inside: str
) -> None:
    dest = machine.dest / inside
    shutil.copytree(files_root / JPG / VERSION, dest / VERSION)
    done = machine.pull("--jpg", "--dest", str(dest))
    assert done.code == 0, done.err
    assert done.summary["root"] == str(dest / VERSION)
    assert done.summary["files"]["fetched"] == 0


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_shard_that_is_no_folder(
    machine: Machine, server: MiniPhysioNet, tmp_path: Path, kind: str
) -> None:
    shard = machine.dest / JPG / VERSION / "files/p10"
    shard.parent.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if kind == "link":
        shard.symlink_to(elsewhere)
    else:
        shard.write_text("in the way")
    ended = machine.pull(*SHARD)
    assert ended.code == 2
    assert str(shard) in ended.err
    assert not any(path.endswith(".jpg") for path in server.request_log.snapshot().by_path)
    assert not list(elsewhere.iterdir())


def test_repair_is_one_run_whatever_the_tree_was_pulled_with(
    machine: Machine, server: MiniPhysioNet, jpg: Path
) -> None:
    for shard in ("p10", "p11", "p12"):
        assert machine.pull("--jpg", "--shard", shard).code == 0
    root = machine.dest / JPG / VERSION
    victim = min((root / "files/p11").rglob("*.jpg"))
    victim.unlink()
    server.request_log.reset()

    done = machine.run("verify", "--jpg", "--repair", "--json")

    assert done.code == 0, done.err
    assert server.request_log.snapshot().password_checks == 1
    assert server.request_log.snapshot().requests <= 4
    assert [event["event"] for event in done.events].count("summary") == 1
    assert victim.read_bytes() == (jpg / victim.relative_to(root)).read_bytes()
    assert machine.pull("--jpg", "--shard", "p13").code == 0  # still remembered apart


def test_the_root_is_let_go_long_before_the_shards(serve: Serve, make_machine: MakeMachine) -> None:
    server = serve(rate=48 << 10)
    machine = make_machine(server)
    process = machine.start("pull", "--jpg")
    own = machine.dest / JPG / VERSION / ".cxrsync"
    tables = own.parent / "mimic-cxr-2.0.0-split.csv.gz"
    wait_until(lambda: tables.exists() and not (own / "root/lock").exists())
    assert (own / "p19/lock").exists()
    server.set_behaviour(rate=None)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert machine.run("verify", "--jpg").code == 0


def test_a_signal_is_obeyed_although_nobody_reads_any_more(
    serve: Serve, make_machine: MakeMachine
) -> None:
    server = serve(rate=16 << 10)
    machine = make_machine(server)
    process = machine.start("pull", *SHARD, "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    wait_until(lambda: server.request_log.snapshot().requests > 5)
    process.stdout.close()
    process.stderr.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143


def test_one_file_that_always_fails_does_not_stop_the_others(
    serve: Serve, make_machine: MakeMachine, own_files: Path
) -> None:
    """A file that the server does not have; everything else arrives, and it is told."""
    lost = min((own_files / JPG / VERSION / "files/p10").rglob("*.jpg"))
    lost.unlink()
    server = serve(own_files)
    done = make_machine(server).pull(*SHARD)
    assert done.code == 5
    assert done.summary["files"]["failed"] == 1
    assert done.summary["problems"][0]["path"].endswith(lost.name)
    assert server.request_log.snapshot().by_path[str(lost.relative_to(own_files))].requests == 1


def test_verify_says_what_to_do(machine: Machine) -> None:
    assert machine.pull(*SHARD).code == 0
    min((machine.dest / JPG / VERSION / "files").rglob("*.jpg")).unlink()
    assert "--repair" in machine.run("verify", "--jpg").err


def test_pull_inside_a_running_loop(machine: Machine) -> None:
    """It has a loop of its own; no warning, nothing printed."""
    code = (
        "import asyncio, cxrsync\n"
        "async def main(): return cxrsync.pull(jpg=True, shard=['p10'])\n"
        "print(asyncio.run(main()).complete)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=machine.variables(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_the_time_limit_counts_from_the_start(serve: Serve, make_machine: MakeMachine) -> None:
    server = serve(rate=2 << 10)
    done = make_machine(server).pull(*SHARD, "--max-duration", "1")
    assert done.code == 9
    assert done.summary["seconds"] < 30  # all of it takes a minute


def test_reports_and_images_of_dicom_lie_as_wget_lays_them(
    machine: Machine, files_root: Path
) -> None:
    assert machine.pull("--dicom", "--shard", "p10-p11", "--no-tables").code == 0
    source = files_root / DICOM / VERSION
    expected = fingerprint(source, below="files/p10/") | fingerprint(source, below="files/p11/")
    assert fingerprint(machine.dest / DICOM / VERSION, below="files/") == expected
