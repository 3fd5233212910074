"""Every operation on the disk, failing in every way: the run stops or the file fails, with the
state right, and the next run goes on."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest
from e2e.failing_disk import FailingDisk, Fault, Told, build, failing_disk
from e2e.stage import (
    JPG,
    VERSION,
    HeldImages,
    Machine,
    fingerprint,
    image_bytes_sent,
    wait_until,
)

from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.server import MiniPhysioNet

SHARD = ("--jpg", "--shard", "p10")
PULL = ("pull", "--json", "--progress", "none", *SHARD)
WHOLE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE)
ONE_FILE = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM)

PARTIAL = "*/p10/partial/*"
IMAGES = "*/files/p10*"
STATE = "*/p10/state.*"

# What a run does to the disk, in the order in which it does it.
STEPS = [
    ("mkdir", "*/mirror*"),
    ("write", "*/tree.json*"),
    ("rename", "*/tree.json*"),
    ("mkdir", "*/manifests"),
    ("open", "*/lock.*"),
    ("write", "*/p10/lock.*"),
    ("sync", "*/lock.*"),
    ("write", "*/manifests/partial.*"),
    ("sync", "*/manifests/partial.*"),
    ("rename", "*/SHA256SUMS.txt"),
    ("write", "*/manifests/current.json*"),
    ("rename", "*/manifests/current.json*"),
    ("open", STATE),
    ("write", STATE),
    ("sync", STATE),
    ("unlink", "*/state.*.sqlite3-journal"),
    ("mkdir", "*/p10/partial"),
    ("open", PARTIAL),
    ("write", PARTIAL),
    ("write", "*/root/partial/*"),
    ("mode", PARTIAL),
    ("sync", PARTIAL),
    ("close", PARTIAL),
    ("mkdir", IMAGES),
    ("rename", IMAGES),
    ("list", IMAGES),
    ("sync", IMAGES),
]
# What a run can do without: its summary, its news, whether a lock goes at once.
CONVENIENCES = [
    ("mkdir", "*/runs"),
    ("write", "*/runs/*"),
    ("rename", "*/runs/*"),
    ("mkdir", "*/progress"),
    ("open", "*/progress/*"),
    ("write", "*/progress/*"),
    ("rename", "*/progress/*"),
    ("unlink", "*/progress/*"),
]


def each(steps: list[tuple[str, str]], errors: tuple[int, ...], **when: int) -> list[Fault]:
    """Each step with one of the errors after the other."""
    turn = cycle(errors)
    return [Fault(call, where, next(turn), **when) for call, where in steps]


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = build(tmp_path_factory.mktemp("layer"))
    if made is None:
        pytest.skip("needs Linux and a C compiler")
    return made


@pytest.fixture(scope="module")
def near(files_root: Path) -> Iterator[MiniPhysioNet]:
    with MiniPhysioNet(files_root, ServerBehaviour(password_check_seconds=0)) as server:
        yield server


@pytest.fixture(scope="module")
def disk(
    layer: Path, near: MiniPhysioNet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FailingDisk]:
    home = tmp_path_factory.mktemp("home")
    machine = Machine(home, home / "mirror", near.base_url, near.ca_file)
    with failing_disk(layer, machine.variables()) as disk:
        yield disk


@pytest.fixture(scope="module")
def whole(disk: FailingDisk, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A tree that came about without a fault, and how many files its pull left open."""
    dest = tmp_path_factory.mktemp("whole") / "mirror"
    told = disk.run(*PULL, "--dest", str(dest))
    assert told.code == 0, told.err
    return dest / JPG / VERSION, told.open_files


@pytest.fixture
def pulled(
    disk: FailingDisk, near: MiniPhysioNet, whole: tuple[Path, int], tmp_path: Path
) -> Callable[..., Told]:
    """Pulls with a fault, looks at what it left, pulls without: that must complete."""
    dest = tmp_path / "mirror"
    root = dest / JPG / VERSION
    right, open_files = fingerprint(whole[0]), whole[1]

    def pull(fault: Fault, *options: str) -> Told:
        told = disk.run(*PULL, *options, "--dest", str(dest), fault=fault)
        assert told.failed, "nothing failed"
        there = fingerprint(root)
        assert there.items() <= right.items(), "wrong under a final name"
        status = disk.run("status", "--jpg", "--json", "--dest", str(dest))
        if status.code == 0:
            shares = json.loads(status.out)["partitions"].values()
            verified = sum(share["verified"] for share in shares)
            assert verified <= len(there)

        near.request_log.reset()
        done = disk.run(*PULL, *options, "--dest", str(dest))

        assert done.code == 0, done.err
        assert fingerprint(root) == right
        asked = near.request_log.snapshot().by_path
        again = [path for path in there if asked.get(f"{JPG}/{VERSION}/{path}")]
        assert set(again) <= {"SHA256SUMS.txt"}, "fetched although it was published"
        for each in (told, status, done):
            assert "Traceback" not in each.err
            assert "unexpected" not in each.err
        assert done.open_files <= open_files, "left open"
        return told

    return pull


@pytest.mark.parametrize(
    "fault",
    [
        *each(STEPS, WHOLE_DISK, first=1),
        *each(STEPS[::2], WHOLE_DISK[::-1], first=1, times=1),
        *each([("write", PARTIAL)] * 5, WHOLE_DISK, first=5),
        *each([("sync", PARTIAL)] * 5, WHOLE_DISK, first=5, times=1),
        *each([("write", STATE), ("sync", STATE)], WHOLE_DISK, first=12),
        *each([("rename", STATE)], WHOLE_DISK),
    ],
    ids=str,
)
def test_the_whole_disk(pulled: Callable[..., Told], fault: Fault) -> None:
    told = pulled(fault)
    assert told.code == 7, told.err
    assert "run the same command again" in told.err or "Choose a --dest" in told.err


@pytest.mark.parametrize(
    "fault",
    [
        *each(CONVENIENCES, WHOLE_DISK),
        # The first snapshot; the next one makes up for it.
        *each([("open", "*/state.*.new"), ("rename", "*/state.*.new")], WHOLE_DISK, times=1),
    ],
    ids=str,
)
def test_what_a_run_can_do_without(pulled: Callable[..., Told], fault: Fault) -> None:
    assert pulled(fault).code == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault(call, where, error, first=2, times=1)
        for call, where in [("rename", "*/files/p10/*.jpg"), ("sync", PARTIAL), ("mode", PARTIAL)]
        for error in ONE_FILE
    ],
    ids=str,
)
def test_one_file_only(pulled: Callable[..., Told], fault: Fault) -> None:
    """It fails, says why, and all others arrive."""
    told = pulled(fault)
    assert told.code == 5, told.err
    assert told.summary["files"]["failed"] == 1
    [problem] = told.summary["problems"]
    assert os.strerror(fault.error) in problem["reason"]


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        (Fault("sync", PARTIAL, errno.EIO, times=1), ()),
        (Fault("sync", PARTIAL, errno.ENOSPC, times=1), ()),
        # NFS tells of a full disk when a file is closed.
        (Fault("close", PARTIAL, errno.EDQUOT, times=1), ("--no-fsync",)),
        (Fault("close", PARTIAL, errno.ENOSPC), ("--no-fsync",)),
    ],
    ids=str,
)
def test_bytes_that_did_not_reach_the_disk_are_fetched_anew(
    pulled: Callable[..., Told],
    near: MiniPhysioNet,
    whole: tuple[Path, int],
    tmp_path: Path,
    fault: Fault,
    options: tuple[str, ...],
) -> None:
    """The page cache still shows them, the next sync says that all is well: they are not there."""
    told = pulled(fault, *options)

    assert told.code == 7
    sizes = {path.stat().st_size for path in (whole[0] / "files").rglob("*.jpg")}
    sent = [
        each.bytes_sent
        for path, each in near.request_log.snapshot().by_path.items()
        if "/p10/" in path
    ]
    assert sizes.intersection(sent), "no file was fetched from its beginning"


def test_a_manifest_that_did_not_reach_the_disk_is_fetched_anew(
    pulled: Callable[..., Told], near: MiniPhysioNet, whole: tuple[Path, int]
) -> None:
    assert pulled(Fault("sync", "*/manifests/partial.*", errno.EIO, times=1)).code == 7
    sent = near.request_log.snapshot().by_path[f"{JPG}/{VERSION}/SHA256SUMS.txt"].bytes_sent
    assert sent >= (whole[0] / "SHA256SUMS.txt").stat().st_size


def test_the_state_speaks_of_what_was_published_before_the_disk_failed(
    pulled: Callable[..., Told], disk: FailingDisk, tmp_path: Path
) -> None:
    told = pulled(Fault("rename", "*/files/p10/*.jpg", errno.EIO, first=3))
    assert told.summary["files"]["fetched"] >= 2
    again = disk.run(*PULL, "--dest", str(tmp_path / "mirror"))
    assert again.summary["files"]["adopted"] == 0


def test_a_name_too_long(
    own_files: Path,
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
) -> None:
    """No file system has such a name: this file fails, the others arrive."""
    manifest = own_files / JPG / VERSION / "SHA256SUMS.txt"
    folder = "files/p10/p10000000"
    with manifest.open("a") as file:
        file.writelines(f"{'0' * 64} {folder}/{letter * 256}.jpg\n" for letter in "xé")
    machine = make_machine(serve(own_files))
    done = machine.pull(*SHARD)
    assert done.code == 5, done.err
    assert done.summary["files"]["failed"] == 2
    assert "Traceback" not in done.err
    assert len(fingerprint(machine.dest / JPG / VERSION)) == done.summary["files"]["fetched"] + 1


def test_the_folder_is_moved_away_and_back(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    jpg: Path,
    tmp_path: Path,
) -> None:
    server = serve(faults=(held := HeldImages(jpg)))
    machine = make_machine(server)
    process = machine.start("pull", "--json", "--progress", "none", *SHARD)
    images = machine.dest / JPG / VERSION / "files/p10"
    wait_until(lambda: any(images.rglob("*.jpg")))
    machine.dest.rename(tmp_path / "elsewhere")
    held.go_on()
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 7, err
    assert "Nothing that was downloaded is lost" in err
    assert not machine.dest.exists(), "a second tree was begun where the first had been"

    (tmp_path / "elsewhere").rename(machine.dest)
    sent = image_bytes_sent(server)
    there = sum(path.stat().st_size for path in images.rglob("*.jpg"))
    done = machine.pull(*SHARD)

    assert done.code == 0, done.err
    assert fingerprint(images) == fingerprint(jpg / "files/p10")
    whole = sum(path.stat().st_size for path in (jpg / "files/p10").rglob("*.jpg"))
    assert image_bytes_sent(server) - sent <= whole - there
