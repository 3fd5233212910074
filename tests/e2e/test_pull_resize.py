"""`pull --resize`: copies are made as files are verified, beside the originals or instead."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e.command_line import Ended
from e2e.linked_copy import rewrite
from e2e.stage import JOB_DEFAULTS, JPG, VERSION, Machine, sha256sum, wait_until
from e2e.test_delete import Publisher
from e2e.test_resize import is_alive

from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.plan import refetch

P10 = ("--jpg", "--shard", "p10")
BESIDE = (*P10, "--resize", "32")
INSTEAD = (*BESIDE, "--drop-originals")
# The images of p10; and with the tables.
COUNT, SELECTED = 12, 17


def originals(machine: Machine) -> Path:
    return machine.dest / JPG / VERSION


def copies(machine: Machine) -> Path:
    return machine.dest / f"{JPG}-32" / VERSION


def images(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.glob("files/*/*/*/*.jpg"))


def files_of(done: Ended) -> dict[str, Any]:
    """The counts that are not 0 in the summary."""
    counts: dict[str, int] = json.loads(done.out.splitlines()[-1])["files"]
    return {name: count for name, count in counts.items() if count}


@pytest.fixture
def wanted(jpg: Path) -> list[str]:
    """The images of p10, as their server has them."""
    return [path for path in images(jpg) if "/p10/" in path]


def test_beside(machine: Machine, server: MiniPhysioNet) -> None:
    done = machine.pull(*BESIDE, "--json")
    assert done.code == 0, done.err
    assert files_of(done) == {"selected": SELECTED, "fetched": 5, "derived": COUNT}
    assert images(originals(machine)) == images(copies(machine))
    assert sha256sum(copies(machine)).returncode == 0
    assert sha256sum(copies(machine), "--strict").returncode == 0

    # Nothing again; what is missing is made anew, without a request for it.
    inodes = {path: (copies(machine) / path).stat().st_ino for path in images(copies(machine))}
    (copies(machine) / min(inodes)).unlink()
    requests = server.request_log.snapshot().requests
    assert files_of(machine.pull(*BESIDE, "--json")) == {
        "selected": SELECTED, "present": SELECTED - 1, "derived": 1,
    }  # fmt: skip
    assert server.request_log.snapshot().requests - requests <= 2
    stayed = {
        path: (copies(machine) / path).stat().st_ino for path in inodes if path != min(inodes)
    }
    assert stayed.items() <= inodes.items()
    assert files_of(machine.pull(*BESIDE, "--json")) == {"selected": SELECTED, "present": SELECTED}

    # From now on instead: each copy is proven, and none is made anew.
    assert files_of(machine.pull(*INSTEAD, "--json")) == {
        "selected": SELECTED, "present": 5, "derived": COUNT,
    }  # fmt: skip
    assert images(originals(machine)) == []
    assert all((copies(machine) / path).stat().st_ino == inode for path, inode in stayed.items())


def test_instead(machine: Machine, server: MiniPhysioNet) -> None:
    """A replaced file is neither missing nor fetched again, whoever looks."""
    done = machine.pull(*INSTEAD, "--json")
    assert done.code == 0, done.err
    assert files_of(done) == {"selected": SELECTED, "fetched": 5, "derived": COUNT}
    assert images(originals(machine)) == []
    listed = images(copies(machine))
    assert len(listed) == COUNT
    assert sha256sum(copies(machine)).returncode == 0
    requests = server.request_log.snapshot().requests
    assert files_of(machine.pull(*INSTEAD, "--json")) == {
        "selected": SELECTED, "present": 5, "derived": COUNT,
    }  # fmt: skip
    assert server.request_log.snapshot().requests - requests <= 2

    status = json.loads(machine.run("status", "--json").out)["partitions"]["p10"]
    assert (status["derived"], status["missing"], status["verified"]) == (COUNT, 0, 0)
    verified = machine.run("verify", "--json")
    assert (verified.code, files_of(verified)) == (
        0,
        {"selected": SELECTED, "good": 5, "derived": COUNT},
    )
    assert f"{COUNT} images" in machine.run("receipt").out
    assert f"{COUNT} of them were used as JPEG copies" in machine.run("receipt").out
    assert machine.run("index", "--jpg", "--shard", "p10", "--present").out.count("\n") == 1
    # A repair leaves them, too, and a scrub has nothing to hash of them.
    (originals(machine) / "mimic-cxr-2.0.0-split.csv.gz").unlink()
    assert files_of(machine.run("verify", "--repair", "--json"))["fetched"] == 1
    scrubbed = json.loads(machine.run("verify", "--scrub", "1d", "--json").out.splitlines()[-1])
    assert (scrubbed["files"]["total"], scrubbed["files"]["missing"]) == (5, 0)

    # A copy that has lost its bytes is wrong, and one that is gone is missing.
    (copies(machine) / listed[0]).unlink()
    data = (copies(machine) / listed[1]).read_bytes()
    (copies(machine) / listed[1]).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    verified = machine.run("verify", "--json")
    assert verified.code == 6
    assert files_of(verified) == {
        "selected": SELECTED,
        "good": 5,
        "derived": COUNT - 2,
        "bad": 1,
        "missing": 1,
    }
    assert files_of(machine.pull(*INSTEAD, "--json"))["derived"] == COUNT
    assert (copies(machine) / listed[0]).exists()


@pytest.mark.parametrize("damage", [None, b"", b"no database", 4096])
def test_lost_records_of_the_copies(machine: Machine, damage: bytes | int | None) -> None:
    """The lists of digests stay, with the copies whose originals are gone."""
    assert machine.pull(*INSTEAD).code == 0
    lists = [copies(machine) / name for name in ("SHA256SUMS.txt", "SOURCE_SHA256SUMS.txt")]
    before = [each.read_text() for each in lists]
    records = copies(machine) / ".derived/records.sqlite3"
    if damage is None:
        records.unlink()
    else:
        raw = records.read_bytes()
        kept = damage if isinstance(damage, int) else 0
        records.write_bytes(raw[:kept] + bytes(len(raw) - kept) if kept else bytes(damage))
    assert files_of(machine.pull(*INSTEAD, "--json"))["derived"] == COUNT
    assert [each.read_text() for each in lists] == before
    assert before[0].count("\n") == COUNT
    assert (records.with_name("records.sqlite3.damaged").exists()) == bool(damage)


def test_copies_that_are_gone_are_told_before_their_originals_are_fetched_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their disk may not be mounted."""
    monkeypatch.setattr(refetch, "MIN_REFETCHED", COUNT)
    assert machine.pull(*INSTEAD).code == 0
    shutil.rmtree(copies(machine) / "files")
    done = machine.pull(*INSTEAD)
    assert done.code == 0
    assert f"{COUNT} files that were verified in {originals(machine)}" in done.out


def test_a_damaged_description_of_the_copies(machine: Machine) -> None:
    assert machine.pull(*INSTEAD).code == 0
    file = copies(machine) / "DERIVED.json"
    file.write_bytes(b"")
    done = machine.pull(*INSTEAD)
    assert done.code == 2
    assert f"{file} is damaged" in done.err


def test_other_wishes(machine: Machine) -> None:
    """Another size needs the originals, and whoever wants these gets them: both are said."""
    assert machine.pull(*INSTEAD).code == 0
    done = machine.pull(*P10, "--resize", "16", "--drop-originals")
    assert done.code == 2
    assert f"{COUNT} files were replaced by copies of 32 pixels" in done.err
    assert "--resize 32" in done.err
    assert not list(originals(machine).parent.parent.glob(f"{JPG}-16/*/files"))
    done = machine.pull(*P10, "--json")
    assert files_of(done) == {"selected": SELECTED, "present": 5, "fetched": COUNT}
    assert f"{COUNT} originals that copies have replaced are fetched again" in done.out
    assert len(images(originals(machine))) == COUNT
    for words in (
        ("--drop-originals",),
        ("--resize", "32", "--only", "tables"),
        ("--resize", "32", "--only-partition", "p10"),
    ):
        assert machine.pull(*P10, *words).code == 2
    assert machine.pull("--dicom", "--shard", "p10", "--resize", "32").code == 2


@pytest.fixture
def publisher(own_files: Path) -> Publisher:
    return Publisher(own_files / JPG / VERSION)


@pytest.fixture
def own_machine(
    own_files: Path,
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
) -> Machine:
    """A machine whose server has files of its own."""
    return make_machine(serve(own_files))


def test_an_image_that_no_decoder_opens(own_machine: Machine, publisher: Publisher) -> None:
    """It is named, counted and kept; the next run tries it again."""
    machine, bad = own_machine, publisher.images[0]
    rewrite(publisher.root / bad, b"no image")
    digest = hashlib.sha256(b"no image").hexdigest()
    publisher.write({**publisher.manifest(), bad: digest})
    for _ in range(2):
        done = machine.pull(*INSTEAD, "--json")
        assert done.code == 5
        files = files_of(done)
        assert (files["derived"], files["failed"]) == (COUNT - 1, 1)
        [problem] = json.loads(done.out.splitlines()[-1])["problems"]
        assert problem["path"] == bad
        assert "no decoder opens it" in problem["reason"]
        assert images(originals(machine)) == [bad]
        assert (originals(machine) / bad).read_bytes() == b"no image"


def test_killed_and_resumed(machine: Machine, wanted: list[str]) -> None:
    """No original is gone without its copy, each image is there once in the end, and no worker
    outlives the run for long."""
    process = machine.start("pull", *INSTEAD, start_new_session=True)
    wait_until(lambda: images(copies(machine)) != [] or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not is_alive(process.pid))
    done = machine.pull(*INSTEAD, "--json")
    assert done.code == 0, done.err
    assert images(originals(machine)) == []
    assert images(copies(machine)) == wanted
    assert sha256sum(copies(machine)).returncode == 0
    assert files_of(machine.pull(*INSTEAD, "--json"))["derived"] == len(wanted)


@pytest.mark.parametrize("name", ["--from", "--dest"])
def test_copies_are_no_source(machine: Machine, name: str) -> None:
    assert machine.pull(*INSTEAD).code == 0
    place = copies(machine)
    if name == "--dest":
        machine.dest = place
        done = machine.pull(*P10)
    else:
        machine.dest = machine.dest.with_name("other")
        done = machine.pull(*P10, name, str(place))
    assert done.code == 2, done.out
    shutil.rmtree(place)


@pytest.mark.parametrize("order", [BESIDE, INSTEAD])
def test_copies_of_what_left_the_manifest(
    own_machine: Machine, publisher: Publisher, order: tuple[str, ...]
) -> None:
    """They go to the trash, too, and not past the limit; a pull without --delete leaves them."""
    machine, gone = own_machine, publisher.images[:3]
    assert machine.pull(*order).code == 0
    publisher.withdraw(*gone)
    assert machine.pull(*order).code == 0
    assert set(gone) <= set(images(copies(machine)))
    assert machine.pull(*order, "--delete", "--max-delete", "2").code == 11
    assert set(gone) <= set(images(copies(machine)))
    done = machine.pull(*order, "--delete", "--max-delete", "3", "--json")
    assert done.code == 0
    assert "3 smaller copies of files that left the manifest" in done.out
    assert not set(gone) & set(images(copies(machine)))
    in_trash = (originals(machine) / ".cxrsync/trash").rglob("copies-32/**/*.jpg")
    assert sorted(str(path).rpartition("copies-32/")[2] for path in in_trash) == gone
    assert sha256sum(copies(machine), "--strict").returncode == 0
    verified = machine.run("verify", "--json")
    assert (verified.code, files_of(verified).get("extra")) == (0, None)


def test_a_mirror(own_machine: Machine, publisher: Publisher) -> None:
    """A job without the keys leaves what is derived, and fetches only what is new; one with them
    makes its copy; refetch fetches the originals again."""
    machine = own_machine
    new = publisher.images[0]
    whole = publisher.manifest()
    publisher.withdraw(new)
    jobs = machine.home / "jobs.yaml"
    text = JOB_DEFAULTS + "jobs:\n  - {name: jpg, jpg: true, shard: p10"
    keys = ", resize: 32, drop_originals: true"
    jobs.write_text(f"{text}{keys}}}\n")
    assert machine.run("mirror", "--init", str(jobs)).code == 0
    assert machine.run("mirror", str(jobs)).code == 0
    before = images(copies(machine))
    assert (len(before), images(originals(machine))) == (COUNT - 1, [])
    publisher.write(whole)
    jobs.write_text(f"{text}, delete: true, scrub: 30d}}\n")
    assert machine.run("mirror", str(jobs)).code == 0
    assert (images(copies(machine)), images(originals(machine))) == (before, [new])
    jobs.write_text(f"{text}{keys}}}\n")
    assert machine.run("mirror", str(jobs)).code == 0
    assert (len(images(copies(machine))), images(originals(machine))) == (COUNT, [])
    jobs.write_text(f"{text}, resize: 16}}\n")
    assert machine.run("mirror", str(jobs)).code == 2
    jobs.write_text(f"{text}, refetch: true}}\n")
    assert machine.run("mirror", str(jobs)).code == 0
    assert len(images(originals(machine))) == COUNT
