"""One owner at a time, between real processes; the dead and the silent are taken over."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cxrsync.errors import DiskError, Locked, LockLost
from cxrsync.store import lock as module
from cxrsync.store.lock import Lock, Owner, is_dead, myself

HOLD = """
import sys
from pathlib import Path
from cxrsync.store.lock import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
"""

DEAD = replace(myself(), token="d" * 32, pid=1 << 30)  # no system numbers so far
FOREIGN = replace(DEAD, token="f" * 32, host="another-machine", boot="another-boot")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again at once, instead of twice a second."""
    monkeypatch.setattr(module, "sleep", lambda _seconds: time.sleep(0.002))


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def put_lock(folder: Path, owner: Owner) -> None:
    (folder / "lock").write_text(json.dumps(asdict(owner)).ljust(512))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ── one owner ──────────────────────────────────────────────────────────────────────────────────


def test_taken_and_given_back(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "p10"
    lock = Lock(folder)
    for _again in range(2):
        with lock:
            assert names(folder) == ["lock"]
            assert (folder / "lock").stat().st_mode & 0o777 == 0o600
            lock.check()
        assert names(folder) == []
        assert threading.active_count() == 1
    with pytest.raises(LockLost):
        lock.check()


def test_a_live_owner_is_named(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(Locked) as caught:
        Lock(tmp_path, describe="shard p10").acquire()
    assert caught.value.exit_code == 8
    who = f"another run holds shard p10: process {holder.pid} on {myself().host}, since "
    assert str(caught.value).startswith(who)
    since = datetime.fromisoformat(str(caught.value).removeprefix(who))
    assert abs((datetime.now(UTC) - since).total_seconds()) < 120
    assert "--wait-lock" in caught.value.next_step
    assert names(tmp_path) == ["lock"]


def test_waiting_until_the_owner_has_done(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0

    def look(_seconds: float) -> None:
        nonlocal looked
        looked += 1
        if looked == 3:
            holder.communicate("done\n")

    monkeypatch.setattr(module, "sleep", look)
    with Lock(tmp_path, wait=60):
        assert looked == 3
        assert holder.returncode == 0


def test_waiting_in_vain(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    with pytest.raises(Locked, match=f"process {holder.pid}"):
        Lock(tmp_path, wait=0.05).acquire()
    assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("dead", [False, True])
def test_a_signal_ends_the_wait(tmp_path: Path, *, dead: bool) -> None:
    put_lock(tmp_path, DEAD if dead else FOREIGN)
    (tmp_path / "lock.takeover").touch()  # nobody gets further for a minute
    stop = threading.Event()
    stop.set()
    with pytest.raises(Locked):
        Lock(tmp_path, wait=3_600).acquire(stop)


# ── the dead ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("reaped", [True, False])
def test_a_killed_owner_is_taken_over_at_once(
    tmp_path: Path, holder: subprocess.Popen[str], *, reaped: bool
) -> None:
    """Also where nobody has asked for its exit status yet: a zombie holds nothing."""
    holder.send_signal(signal.SIGKILL)
    if reaped:
        holder.wait()
    elif not Path("/proc/self/stat").exists():
        pytest.skip("this system does not tell zombies from the living")
    else:
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    with Lock(tmp_path) as lock:
        lock.check()
        assert names(tmp_path) == ["lock"]
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "dead"),
    [
        ({}, False),
        ({"start": "2"}, True),  # another process with the same number
        ({"start": ""}, False),  # a system that tells no start times
        ({"pid": 404}, True),
        ({"boot": "earlier"}, True),
        ({"boot": ""}, False),
        ({"host": "other"}, False),
        ({"host": "other", "pid": 404}, False),
        ({"host": "other", "boot": "earlier"}, False),
        ({"machine": "another of that name", "pid": 404}, False),
        ({"machine": "another of that name", "boot": "earlier"}, False),
        ({"space": "another container", "pid": 404}, False),
        ({"space": "another container", "boot": "earlier"}, True),
    ],
)
def test_who_is_dead(change: dict[str, object], *, dead: bool) -> None:
    me = Owner("t", "here", "this", 7, "1", 0.0, machine="m", space="s")
    starts = {7: "1"}
    changed = replace(me, **change)  # type: ignore[arg-type]
    assert is_dead(changed, me, starts.get) is dead


def test_where_boots_have_no_names_nobody_died_with_them() -> None:
    owner = Owner("t", "here", "", 7, "1", 0.0, machine="m")
    assert not is_dead(owner, replace(owner, boot="this"), lambda _pid: None)
    assert is_dead(owner, owner, lambda _pid: None)


def test_two_machines_of_one_name_that_cannot_be_told_apart() -> None:
    owner = Owner("t", "localhost", "boot of one", 7, "1", 0.0)
    assert not is_dead(owner, replace(owner, boot="boot of the other"), lambda _pid: None)


def test_the_living_are_alive() -> None:
    start = module._start_of(os.getpid())
    assert start is not None
    assert start == myself().start
    assert module._start_of(1) is not None
    assert module._start_of(10**30) is None


# ── the silent ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("garbage", [None, b"", b"{", b"\xff" * 9, b"[]", b'{"pid": 1}'])
def test_a_silent_owner_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, garbage: bytes | None
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.05)
    put_lock(tmp_path, FOREIGN)
    if garbage is not None:
        (tmp_path / "lock").write_bytes(garbage)
    began = time.monotonic()
    with Lock(tmp_path, wait=60) as lock:
        assert time.monotonic() - began > 0.05
        lock.check()
        assert names(tmp_path) == ["lock"]


def test_an_owner_that_beats_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It beats more often than we call it silent, for as long as we wait."""
    now, beat = 0.0, 0

    def pass_time(_seconds: float) -> None:
        nonlocal now, beat
        now, beat = now + 0.9 * module.SILENT_SECONDS, beat + 1
        put_lock(tmp_path, replace(FOREIGN, beat=beat))

    monkeypatch.setattr(module, "monotonic", lambda: now)
    monkeypatch.setattr(module, "sleep", pass_time)
    put_lock(tmp_path, FOREIGN)
    with pytest.raises(Locked, match="another-machine"):
        Lock(tmp_path, wait=20 * module.SILENT_SECONDS).acquire()
    assert beat >= 20


@pytest.mark.parametrize("wait", [0, 0.05])
def test_an_owner_on_another_host_is_never_dead(tmp_path: Path, wait: float) -> None:
    put_lock(tmp_path, replace(FOREIGN, pid=10**8))
    with pytest.raises(Locked, match="process 100000000 on another-machine"):
        Lock(tmp_path, wait=wait).acquire()


def test_an_owner_without_a_name_is_not_dead(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    with pytest.raises(Locked):
        Lock(tmp_path).acquire()


@pytest.mark.parametrize(
    "change", [{"pid": "x"}, {"pid": None}, {"since": "yesterday"}, {"since": []}, {"pid": 1e999}]
)
def test_nonsense_in_the_right_form(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "lock").write_text(json.dumps({**asdict(myself()), **change}))
    with pytest.raises(Locked):
        Lock(tmp_path).acquire()


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.001)
    with Lock(tmp_path) as lock:
        deadline = time.monotonic() + 10
        while (owner := lock._read()) is None or owner.beat < 12:  # into two digits
            assert time.monotonic() < deadline
        lock.check()
        assert (tmp_path / "lock").stat().st_size == 512
    assert names(tmp_path) == []


# ── losing it ──────────────────────────────────────────────────────────────────────────────────


def test_a_lock_that_was_taken_over_is_lost_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We slept through our own silence: the lock is another's by now."""
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.0)
    sleeper = Lock(tmp_path, describe="partition p10")
    sleeper.acquire()
    with Lock(tmp_path, wait=10) as other:
        with pytest.raises(LockLost, match=f"partition p10 .* process {os.getpid()}") as caught:
            sleeper.check()
        assert caught.value.exit_code == 8
        sleeper._write_owner()  # a late beat goes nowhere
        other.check()
        sleeper.release()
        other.check()
        assert names(tmp_path) == ["lock"]
    assert names(tmp_path) == []


@pytest.mark.parametrize("loss", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_lock_that_was_removed_or_emptied_is_lost(
    tmp_path: Path, loss: Callable[[Path], object]
) -> None:
    with Lock(tmp_path) as lock:
        loss(tmp_path / "lock")
        with pytest.raises(LockLost):
            lock.check()


# ── taking over ────────────────────────────────────────────────────────────────────────────────


def test_a_takeover_under_way_is_not_disturbed(tmp_path: Path) -> None:
    put_lock(tmp_path, FOREIGN)
    (tmp_path / "lock.takeover").write_text("somebody's")
    before = (tmp_path / "lock").read_bytes()
    lock = Lock(tmp_path)
    assert not lock._take_over(FOREIGN.token, module._Watch())
    assert (tmp_path / "lock").read_bytes() == before
    assert (tmp_path / "lock.takeover").read_text() == "somebody's"


def test_a_takeover_left_by_a_killed_process_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALE_TAKEOVER_SECONDS", 0.05)
    put_lock(tmp_path, DEAD)
    (tmp_path / "lock.takeover").touch()
    began = time.monotonic()
    with Lock(tmp_path):
        assert time.monotonic() - began > 0.05
        assert names(tmp_path) == ["lock"]


@pytest.mark.parametrize("meanwhile", ["replaced", "released"])
def test_who_comes_late_to_a_takeover_leaves_the_lock_alone(tmp_path: Path, meanwhile: str) -> None:
    """Between our look and our takeover somebody else was quicker."""
    if meanwhile == "replaced":
        put_lock(tmp_path, FOREIGN)
    before = names(tmp_path)
    lock = Lock(tmp_path)
    assert not lock._take_over(DEAD.token, module._Watch())
    assert names(tmp_path) == before
    assert lock._fd == -1


RACE = """
import os, sys, time
from pathlib import Path
from cxrsync.store import lock as module
module.sleep = lambda seconds: time.sleep(0.0005)
print("ready", flush=True)
for line in sys.stdin:
    folder = Path(line.strip())
    witness = folder / "witness"
    with module.Lock(folder, wait=60) as lock:
        try:
            os.close(os.open(witness, os.O_CREAT | os.O_EXCL))
            for _ in range(5):
                lock.check()
            os.unlink(witness)
        except Exception as problem:
            print(repr(problem), flush=True)
            continue
    print("alone", flush=True)
"""


def test_eight_processes_over_one_dead_owner(tmp_path: Path) -> None:
    """Each gets it in its turn; the witness file proves that no two had it at a time."""
    rounds = [tmp_path / f"round-{number}" for number in range(25)]
    for folder in rounds:
        folder.mkdir()
        put_lock(folder, DEAD)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen([sys.executable, "-c", RACE], **pipes) for _ in range(8)]
    try:
        assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 8
        for folder in rounds:
            for racer in racers:
                racer.stdin.write(f"{folder}\n")
            for racer in racers:
                racer.stdin.flush()
            assert [racer.stdout.readline() for racer in racers] == ["alone\n"] * 8
            assert names(folder) == []
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


# ── the disk ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", ["pwrite", "fsync"])
def test_no_lock_without_a_name_is_left_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(DiskError, match="No space left") as caught:
        Lock(tmp_path).acquire()
    assert caught.value.exit_code == 7
    assert names(tmp_path) == []
    monkeypatch.undo()
    with Lock(tmp_path):
        pass


def test_a_place_where_no_lock_can_be(tmp_path: Path) -> None:
    (tmp_path / "p10").write_text("mine")
    with pytest.raises(DiskError, match="cannot lock"):
        Lock(tmp_path / "p10").acquire()
    (tmp_path / "p11" / "lock").mkdir(parents=True)
    with pytest.raises(DiskError, match="cannot read the lock"):
        Lock(tmp_path / "p11").acquire()
