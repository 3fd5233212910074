"""What a newcomer types wrong, and what a manifest may hold: a clear error, and nothing lost."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.stage import JPG, VERSION, Machine, fingerprint, wait_until

from cxrsync.demo.server.server import MiniPhysioNet


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dataset", "mimic-cxr-jgp"], ["mimic-cxr-jpg"]),
        (["--dataset", "mimic-cxr-jgp", "--dataset-version", "2.1.0"], ["mimic-cxr-jpg"]),
        (["--jpg", "--dataset-version", "2.2.0"], ["2.0.0", "2.1.0"]),
        (["--jpg", "--shard", "p20"], ["p10", "p19"]),
        (["--jpg", "--shard", "ten"], ["p10-p14"]),
        (["--jpg", "--shard", "p14-p10"], ["p10-p14"]),
        (["--jpg", "--dicom"], ["more than one dataset"]),
        ([], ["--jpg", "--dicom", "--dataset"]),
        (["--jpg", "--only", "imgae"], ["images"]),
        (["--jpg", "--include", "*.dcm"], ["nothing is selected"]),
        (["--jpg", "--connections", "0"], ["1 to 128"]),
        (["--jpg", "--connections", "many"], ["1 to 128"]),
        (["--jpg", "--stall-timeout", "0"], ["--stall-timeout"]),
        (["--jpg", "--ca-file", "/no/such/file"], ["/no/such/file"]),
        (["--jpg", "--from", "/no/such/folder"], ["/no/such/folder"]),
        (["--jpg", "--base-url", "physionet.org"], ["https://"]),
        (["--no-such-option"], ["--no-such-option"]),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_usage(machine: Machine, words: list[str], said: list[str]) -> None:
    ended = machine.pull(*words)

    assert ended.code == 2
    for each in said:
        assert each in ended.err
    assert "Traceback" not in ended.err
    assert not list(machine.dest.rglob("*.jpg"))


@pytest.mark.parametrize(
    "words",
    ["mirror", "pull --jpg --label", "pull --jpg --shard", "pull --jpg --only", "status --html",
     "pull --jpg --limit", "pull --jpg --view", "diff", "verify --jpg --image", "head", "info"],
)  # fmt: skip
@pytest.mark.parametrize("word", ["https://alice:hunter2@x.org/a", "https://x.org/a?sig=hunter2"])
def test_no_message_shows_the_secret_of_a_pasted_address(
    machine: Machine, words: str, word: str
) -> None:
    ended = machine.run(*words.split(), word)
    assert ended.code
    assert "hunter2" not in ended.out + ended.err


def test_a_destination_that_is_a_file(machine: Machine, server: MiniPhysioNet) -> None:
    machine.dest.write_text("in the way")
    ended = machine.pull("--jpg", "--shard", "p10")
    assert ended.code == 2
    assert machine.dest.read_text() == "in the way"
    assert server.request_log.snapshot().requests == 0


def test_a_destination_that_cannot_be_written(
    machine: Machine, server: MiniPhysioNet, small_disk: Callable[[str], Path]
) -> None:
    machine.dest = small_disk("ro")
    ended = machine.pull("--jpg", "--shard", "p10")
    assert ended.code == 7
    assert "Read-only" in ended.err
    assert server.request_log.snapshot().requests == 0


def test_a_disk_that_fills_up(
    machine: Machine, jpg: Path, small_disk: Callable[[str], Path]
) -> None:
    machine.dest = small_disk("size=500k,mode=0700")
    full = machine.pull("--jpg", "--shard", "p10-p12")
    assert full.code == 7, full.err
    assert "full" in full.err or "No space left" in full.err
    root = machine.dest / JPG / VERSION
    there = fingerprint(root, below="files/")
    assert there.items() <= fingerprint(jpg).items()

    subprocess.run(["mount", "-o", "remount,size=16m", machine.dest], check=True)
    done = machine.pull("--jpg", "--shard", "p10-p12")
    assert done.code == 0, done.err
    assert done.summary["files"]["present"] + done.summary["files"]["adopted"] >= len(there)


BAD_LINES = {
    "an absolute path": b"%s /etc/passwd",
    "leaves the tree": b"%s files/../../escape.jpg",
    "a backslash": b"%s files\\p10\\x.jpg",
    "a control character": b"%s files/p10/\x01.jpg",
    "our own folder": b"%s .cxrsync/p10/state.sqlite3",
    "not a SHA-256": b"short%s files/p10/x.jpg",
}


def test_bad_manifest_lines_are_refused_and_the_rest_goes_on(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    own_files: Path,
    tmp_path: Path,
) -> None:
    manifest = own_files / JPG / VERSION / "SHA256SUMS.txt"
    lines = manifest.read_bytes().splitlines()
    lines += [line % (b"0" * 59 if b"short" in line else b"0" * 64) for line in BAD_LINES.values()]
    manifest.write_bytes(b"\n".join(lines) + b"\n")
    machine = make_machine(serve(own_files))

    done = machine.pull("--jpg")

    # Everything that can be followed is here; what cannot is told, and is no success.
    assert done.code == 5
    assert done.summary["files"]["fetched"] == len(lines) - len(BAD_LINES)
    reasons = [each["reason"] for each in done.summary["refused"]]
    for reason in BAD_LINES:
        assert any(reason in each for each in reasons), reason
    assert not list(tmp_path.rglob("escape.jpg"))


def test_a_manifest_that_is_not_sorted(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    own_files: Path,
) -> None:
    manifest = own_files / JPG / VERSION / "SHA256SUMS.txt"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(reversed(lines)))
    machine = make_machine(serve(own_files))

    assert machine.pull("--jpg", "--shard", "p10").code == 0
    again = machine.pull("--jpg", "--shard", "p10")
    assert again.event("plan")["to_hash"] == again.event("plan")["to_fetch"] == 0


def test_another_datasets_folder_is_not_mixed_up(machine: Machine) -> None:
    assert machine.pull("--jpg", "--shard", "p10").code == 0
    root = machine.dest / JPG / VERSION
    before = fingerprint(root)
    ended = machine.pull("--dicom", "--shard", "p10", "--dest", str(root))
    assert ended.code == 2
    assert "holds mimic-cxr-jpg 2.1.0" in ended.err
    assert fingerprint(root) == before


def test_another_datasets_folder_is_known_by_its_images(machine: Machine, files_root: Path) -> None:
    """As wget left it: nothing of ours says what it is."""
    root = machine.dest
    shutil.copytree(files_root / JPG / VERSION, root)
    ended = machine.pull("--dicom", "--shard", "p10")
    assert ended.code == 2
    assert "holds images of mimic-cxr-jpg" in ended.err
    assert fingerprint(root) == fingerprint(files_root / JPG / VERSION)


def test_a_second_run_on_the_same_shard(
    serve: Callable[..., MiniPhysioNet], make_machine: Callable[[MiniPhysioNet], Machine]
) -> None:
    server = serve(rate=32 << 10)
    machine = make_machine(server)
    first = machine.start("pull", "--jpg", "--shard", "p10")
    lock = machine.dest / JPG / VERSION / ".cxrsync/p10/lock"
    wait_until(lambda: lock.exists() and lock.stat().st_size > 0)

    second = machine.pull("--jpg", "--shard", "p10")
    assert second.code == 8
    assert str(first.pid) in second.err
    # Another shard works meanwhile, although both want the tables.
    other = machine.pull("--jpg", "--shard", "p11")
    assert other.code == 0, other.err

    first.communicate(timeout=60)
    assert first.returncode == 0
    assert machine.run("verify", "--jpg").code == 0


def test_output_to_a_pipe_that_closes(machine: Machine) -> None:
    machine.pull("--jpg", "--shard", "p10")
    process = machine.start("status", "--jpg")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.wait(timeout=60)
    process.stderr.close()
    assert err == ""


def test_verify_and_status_without_a_tree(machine: Machine) -> None:
    for command in ("verify", "status"):
        ended = machine.run(command, "--jpg")
        assert ended.code == 2
        assert "cxrsync pull" in ended.err


def test_environment_variables_stand_for_options(machine: Machine, server: MiniPhysioNet) -> None:
    machine.environment = {
        "CXRSYNC_DATASET": JPG,
        "CXRSYNC_SHARD": "p10\np11",
        "CXRSYNC_NO_TABLES": "1",
    }
    assert machine.pull().code == 0
    found = {path.name for path in (machine.dest / JPG / VERSION / "files").iterdir()}
    assert found == {"p10", "p11"}
    assert not os.path.exists(machine.dest / JPG / VERSION / "mimic-cxr-2.0.0-split.csv.gz")
