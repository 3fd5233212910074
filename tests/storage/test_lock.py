"""One owner at a time, between real processes; the dead and the silent are taken over."""

import json
import os
import shutil
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
from cxrsync.storage import lock as module
from cxrsync.storage import lock_owner as owners
from cxrsync.storage.lock import Lock, OwnerState, judge_owner
from cxrsync.storage.lock_owner import Owner, is_dead, myself

HOLD = """
import sys
from pathlib import Path
from cxrsync.storage.lock import Lock
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
    (folder / "lock").mkdir(exist_ok=True)
    (folder / "lock" / f"{owner.token}.1").write_text(json.dumps(asdict(owner)))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def settle(lock: Lock) -> list[tuple[str, bool]]:
    """Forget whom the lock was taken from; their tokens, and whether they were dead."""
    replaced = lock.replaced_owners()
    lock.forget_replaced(replaced)
    return [(each.owner.token, each.dead) for each in replaced]


def name_in(folder: Path) -> str:
    """What the owner's file is called; it may be renamed while the folder is read."""
    return "".join(names(folder / "lock"))


# ── one owner ──────────────────────────────────────────────────────────────────────────────────


def test_taken_and_given_back(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "p10"
    lock = Lock(folder)
    before = {*threading.enumerate()}  # another test's heartbeat may just be ending
    for _again in range(2):
        with lock:
            assert names(folder) == ["lock"]
            assert (folder / "lock").stat().st_mode & 0o777 == 0o700
            [words] = (folder / "lock").iterdir()
            assert words.stat().st_mode & 0o777 == 0o600
            lock.check()
        assert names(folder) == []
        assert {*threading.enumerate()} <= before
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
        settle(lock)
        assert names(tmp_path) == ["lock"]
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "dead"),
    [
        ({}, False),
        ({"start": "2"}, True),  # another process with the same number
        ({"start": ""}, False),  # a system that tells no start times
        ({"pid": 404}, True),
        ({"boot": "earlier"}, False),
        ({"boot": ""}, False),
        ({"host": "other"}, False),
        ({"host": "other", "pid": 404}, False),
        ({"host": "other", "boot": "earlier"}, False),
        ({"machine": "another of that name", "pid": 404}, False),
        ({"machine": "another of that name", "boot": "earlier"}, False),
        ({"space": "another container", "pid": 404}, False),
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
    assert not is_dead(owner, owner, lambda _pid: None)
    named = replace(owner, boot="this", machine="")
    assert is_dead(named, named, lambda _pid: None)


JUST, BEAT, ANOTHER, LONG = 0.0, 30.1, 45.1, 300.1


@pytest.mark.parametrize(
    ("change", "standings"),
    [
        # After no time, a beat, a beat and a half, five minutes.
        ({}, "living living living silent"),
        ({"pid": 404}, "dead dead dead dead"),
        ({"boot": "earlier"}, "living living earlier_boot silent"),
        ({"boot": "earlier", "pid": 404}, "living living earlier_boot silent"),
        ({"boot": "earlier", "space": "another container"}, "living living earlier_boot silent"),
        ({"space": "another container", "pid": 404}, "living living living silent"),
        ({"boot": ""}, "living living living silent"),
        ({"host": "other", "boot": "earlier"}, "living living living silent"),
        ({"machine": "another", "boot": "earlier"}, "living living living silent"),
        ({"machine": "", "boot": "earlier"}, "living living living silent"),
        ({"token": "", "host": "?", "boot": "", "pid": 0}, "living living living silent"),
    ],
)
def test_what_is_known_of_an_owner(change: dict[str, object], standings: str) -> None:
    me = Owner("t", "here", "this", 7, "1", 0.0, machine="m", space="s")
    owner = replace(me, **change)  # type: ignore[arg-type]
    found = [
        judge_owner(owner, me, {7: "1"}.get, unchanged).name.lower()
        for unchanged in (JUST, BEAT, ANOTHER, LONG)
    ]
    assert found == standings.split()


def test_without_a_machine_id_another_boot_is_another_machine() -> None:
    owner = Owner("t", "localhost", "boot of one", 7, "1", 0.0)
    me = replace(owner, boot="boot of the other")
    assert judge_owner(owner, me, {7: "1"}.get, ANOTHER) is OwnerState.LIVING
    assert judge_owner(owner, me, {7: "1"}.get, LONG) is OwnerState.SILENT


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (b"8f3c2b1a9d8e7f60123456789abcdef0\n", True),
        (b"8F3C2B1A9D8E7F60123456789ABCDEF0", True),
        (b"", False),
        (b"uninitialized\n", False),
        (b"0" * 32, False),
        (b"8f3c2b1a9d8e7f60123456789abcdef", False),
        (b"8f3c2b1a9d8e7f60123456789abcdef0\nmore", False),
        (b"8f3c2b1a-9d8e-7f60-1234-56789abcdef0", False),
        (b"\xff" * 32, False),
    ],
)
def test_what_tells_machines_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: bytes, *, known: bool
) -> None:
    monkeypatch.setattr(owners, "_MACHINE_ID", tmp_path / "machine-id")
    assert myself().machine == ""
    (tmp_path / "machine-id").write_bytes(words)
    assert bool(myself().machine) is known


def test_the_living_are_alive() -> None:
    start = owners.start_of(os.getpid())
    assert start is not None
    assert start == myself().start
    assert owners.start_of(1) is not None
    assert owners.start_of(10**30) is None


# ── another boot ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def rebooted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Owner:
    """An owner that calls itself this machine, in another boot."""
    monkeypatch.setattr(owners, "_MACHINE_ID", tmp_path.with_suffix(".machine-id"))
    owners._MACHINE_ID.write_bytes(b"8f3c2b1a9d8e7f60123456789abcdef0\n")
    owner = replace(myself(), token="b" * 32, boot="another boot")
    put_lock(tmp_path, owner)
    return owner


def test_an_earlier_boot_is_waited_for_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rebooted: Owner
) -> None:
    """A person who comes back after a reboot need not ask for it."""
    now = 1_000.0

    def pass_time(_seconds: float) -> None:
        nonlocal now
        now += 5.0

    monkeypatch.setattr(module, "monotonic", lambda: now)
    monkeypatch.setattr(module, "sleep", pass_time)
    lock = Lock(tmp_path)
    holder = lock.try_acquire()
    assert holder is not None
    assert holder.ends_in == 45.0
    with lock:
        assert now == 1_050.0
        assert [(each.owner, each.dead) for each in lock.replaced_owners()] == [(rebooted, False)]


def test_a_clone_whose_name_moves_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rebooted: Owner
) -> None:
    now, beat = 1_000.0, 1

    def pass_time(_seconds: float) -> None:
        nonlocal now, beat
        now += 30.0
        os.rename(name_of(beat), name_of(beat + 1))
        beat += 1

    def name_of(number: int) -> Path:
        return tmp_path / "lock" / f"{rebooted.token}.{number}"

    monkeypatch.setattr(module, "monotonic", lambda: now)
    monkeypatch.setattr(module, "sleep", pass_time)
    with pytest.raises(Locked):
        Lock(tmp_path).acquire()
    assert now == 1_030.0
    with pytest.raises(Locked):
        Lock(tmp_path, wait=10_000).acquire()
    assert now >= 11_000


# ── the silent ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("garbage", [None, b"", b"{", b"\xff" * 9, b"[]", b'{"pid": 1}'])
def test_a_silent_owner_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, garbage: bytes | None
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.05)
    put_lock(tmp_path, FOREIGN)
    if garbage is not None:
        (tmp_path / "lock" / f"{FOREIGN.token}.1").write_bytes(garbage)
    began = time.monotonic()
    with Lock(tmp_path, wait=60) as lock:
        assert time.monotonic() - began > 0.05
        lock.check()
        assert settle(lock) == [(FOREIGN.token if garbage is None else "", False)]
        assert names(tmp_path) == ["lock"]


def test_an_owner_that_beats_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It beats more often than we call it silent, for as long as we wait."""
    now, beat = 0.0, 0

    def pass_time(_seconds: float) -> None:
        nonlocal now, beat
        now, beat = now + 0.9 * module.SILENT_SECONDS, beat + 1
        path = tmp_path / "lock" / f"{FOREIGN.token}.{beat}"
        path.rename(path.with_suffix(f".{beat + 1}"))

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
    (tmp_path / "lock").mkdir()
    (tmp_path / "lock" / f"{FOREIGN.token}.1").touch()
    with pytest.raises(Locked):
        Lock(tmp_path).acquire()


@pytest.mark.parametrize(
    "change", [{"pid": "x"}, {"pid": None}, {"since": "yesterday"}, {"since": []}, {"pid": 1e999}]
)
def test_nonsense_in_the_right_form(tmp_path: Path, change: dict[str, object]) -> None:
    put_lock(tmp_path, FOREIGN)
    [words] = (tmp_path / "lock").iterdir()
    words.write_text(json.dumps({**asdict(myself()), **change}))
    with pytest.raises(Locked):
        Lock(tmp_path).acquire()


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.001)
    with Lock(tmp_path) as lock:
        first = name_in(tmp_path)
        deadline = time.monotonic() + 60
        while name_in(tmp_path) in {first, ""}:
            assert time.monotonic() < deadline
        lock.check()
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
        assert not sleeper._renew()  # a late beat goes nowhere
        other.check()
        sleeper.release()
        other.check()
        assert settle(other) == [(sleeper.token, False)]
        assert names(tmp_path) == ["lock"]
    assert names(tmp_path) == []


def remove_words(folder: Path) -> None:
    [words] = (folder / "lock").iterdir()
    words.unlink()


def remove(folder: Path) -> None:
    shutil.rmtree(folder / "lock")


def put_another(folder: Path) -> None:
    remove(folder)
    put_lock(folder, FOREIGN)


def put_a_file(folder: Path) -> None:
    remove(folder)
    (folder / "lock").touch()


@pytest.mark.parametrize("loss", [remove_words, remove, put_another])
def test_a_lock_that_was_removed_or_replaced_is_lost(
    tmp_path: Path, loss: Callable[[Path], None]
) -> None:
    with Lock(tmp_path) as lock:
        loss(tmp_path)
        with pytest.raises(LockLost):
            lock.check()


def test_what_is_no_lock_is_the_disks_fault(tmp_path: Path) -> None:
    with Lock(tmp_path) as lock:
        put_a_file(tmp_path)
        with pytest.raises(DiskError):
            lock.check()
    assert names(tmp_path) == ["lock"]


def test_since_when_is_told_from_the_moment_it_was_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Lock(tmp_path)
    monkeypatch.setattr(module, "time", lambda: 7e9)  # it was waited for
    with lock:
        found = lock._disk.read_owner()
        assert found is not None
        assert found.owner.since == 7e9


# ── taking over: what each step does when others were quicker ──────────────────────────────────


def test_an_owner_that_woke_up_is_left_alone(tmp_path: Path) -> None:
    """Found silent under a name that it bears no more once it has checked."""
    sleeper, other = Lock(tmp_path), Lock(tmp_path)
    with sleeper:
        silent = name_in(tmp_path)
        sleeper.check()
        other._disk.take_out(silent)
        sleeper.check()
        assert not other._enter()
        sleeper.check()
        assert names(tmp_path) == ["lock"]


def test_an_owner_that_was_dropped_before_it_woke_up_stops(tmp_path: Path) -> None:
    sleeper, other = Lock(tmp_path), Lock(tmp_path)
    with sleeper:
        other._disk.take_out(name_in(tmp_path))
        with pytest.raises(LockLost):
            sleeper.check()
        with other:
            with pytest.raises(LockLost):
                sleeper.check()
            sleeper.release()
            other.check()
            assert settle(other) == [(sleeper.token, False)]


def test_who_drops_too_late_meets_nobody(tmp_path: Path) -> None:
    """Two found the same dead owner; one of them has had the lock since, and a third has it now."""
    put_lock(tmp_path, DEAD)
    late = Lock(tmp_path)
    found = late._disk.read_owner()
    assert found is not None
    with Lock(tmp_path) as second:
        assert settle(second) == [(DEAD.token, True)]
    with Lock(tmp_path) as third:
        late._disk.take_out(found.name)
        assert not late._enter()
        third.check()
        assert names(tmp_path) == ["lock"]


def test_a_release_that_comes_too_late_releases_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of its release for as long as you like."""
    sleeper, other = Lock(tmp_path), Lock(tmp_path)
    sleeper.acquire()
    leave = sleeper._disk.leave

    def sleep_and_leave() -> None:
        other._disk.take_out(sleeper._disk.own_name)
        other.acquire()
        leave()

    monkeypatch.setattr(sleeper._disk, "leave", sleep_and_leave)
    sleeper.release()
    other.check()
    assert settle(other) == [(sleeper.token, False)]
    other.release()
    assert names(tmp_path) == []


def test_who_was_replaced_is_told_until_it_is_settled(tmp_path: Path) -> None:
    """By whoever has the lock: the first who took it may be killed before it has done with it."""
    put_lock(tmp_path, DEAD)
    with Lock(tmp_path):
        pass
    silent = Lock(tmp_path)
    silent.acquire()
    Lock(tmp_path)._disk.take_out(name_in(tmp_path))
    silent.release()
    with Lock(tmp_path) as lock:
        assert sorted(settle(lock)) == sorted([(DEAD.token, True), (silent.token, False)])
    with Lock(tmp_path) as lock:
        assert settle(lock) == []


def test_a_name_that_is_too_long_to_be_kept_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", -1.0)
    (tmp_path / "lock").mkdir()
    (tmp_path / "lock" / f"{FOREIGN.token}.{'1' * 222}").touch()
    with Lock(tmp_path) as lock:
        assert settle(lock) == [("", False)]


def test_no_name_is_borne_twice(tmp_path: Path) -> None:
    """Else who watched the first owner would call the second one silent."""
    lock = Lock(tmp_path)
    borne = []
    for _again in range(3):
        with lock:
            borne.append(name_in(tmp_path))
    assert len(set(borne)) == 3


def test_what_the_killed_left_is_swept(tmp_path: Path) -> None:
    """One before it had entered; one after it had dropped the owner before it."""
    (tmp_path / "lock.killed").mkdir()
    (tmp_path / "lock.killed" / "killed.1").touch()
    (tmp_path / "lock").mkdir()
    with Lock(tmp_path) as lock:
        assert names(tmp_path) == ["lock"]
        lock.check()
    assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["_write_owner", "rename"])
def test_who_is_swept_while_it_enters_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It may even put an empty folder under the lock's name: that is nobody's."""
    lock, other = Lock(tmp_path), Lock(tmp_path)
    swept = []
    where = os if step == "rename" else lock._disk
    real = getattr(where, step)

    def sweep_first(*words: object) -> object:
        if not swept:
            swept.append(True)
            for path in lock._disk.candidate.glob("*"):
                path.unlink()
            if step == "_write_owner":
                other._disk.sweep()
        return real(*words)

    monkeypatch.setattr(where, step, sweep_first)
    with lock:
        assert swept
        lock.check()
        assert names(tmp_path) == ["lock"]
    assert names(tmp_path) == []


def test_nobody_sees_a_lock_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before any of its operations, a run leaves no lock that does not say whose it is."""
    seen: set[str] = set()
    for name in ("open", "fsync", "mkdir", "rename", "unlink", "rmdir"):
        real = getattr(os, name)

        def look(*words: object, real: Callable[..., object] = real, **more: object) -> object:
            seen.update(path.read_text()[:2] for path in tmp_path.glob("lock/*"))
            return real(*words, **more)

        monkeypatch.setattr(os, name, look)
    with Lock(tmp_path) as lock:
        lock.check()
    assert seen == {'{"'}


# ── proof before bytes are written ─────────────────────────────────────────────────────────────


def test_the_guard_asks_only_after_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(module, "boottime", lambda: now)
    with Lock(tmp_path) as lock:
        before = name_in(tmp_path)
        now += 60.0
        lock.guard()
        assert name_in(tmp_path) == before
        now += 1.0
        lock.guard()
        after = name_in(tmp_path)
        assert after != before
        lock.guard()
        assert name_in(tmp_path) == after


def test_who_slept_may_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(module, "boottime", lambda: now)
    with Lock(tmp_path) as sleeper:
        Lock(tmp_path)._disk.take_out(name_in(tmp_path))
        sleeper.guard()  # nobody may have taken it over so soon
        now += 61.0
        for _again in range(2):
            with pytest.raises(LockLost):
                sleeper.guard()
            now -= 61.0  # a clock that was set back changes nothing


def test_the_heart_finds_the_lock_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.001)
    lost: list[LockLost] = []
    told = threading.Event()

    def on_loss(problem: LockLost) -> None:
        lost.append(problem)
        told.set()

    with Lock(tmp_path, on_loss=on_loss, describe="shard p10") as lock:
        remove(tmp_path)
        assert told.wait(60)
    assert [str(each) for each in lost] == ["the lock of shard p10 was taken over"]
    with pytest.raises(LockLost):
        lock.guard()


def test_a_heart_on_a_failing_disk_beats_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What writes meets the disk's trouble by itself; the lock is not lost for it."""
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.001)
    tried = threading.Event()
    rename, failing = os.rename, 3

    def fail(source: object, target: object) -> None:
        nonlocal failing
        if failing and threading.current_thread() is not threading.main_thread():
            failing -= 1
            raise OSError(5, "Input/output error")
        rename(source, target)  # type: ignore[arg-type]
        if not failing:
            tried.set()

    with Lock(tmp_path, on_loss=pytest.fail) as lock:
        monkeypatch.setattr(os, "rename", fail)
        assert tried.wait(60)
        lock.check()


RACE = """
import os, sys, time
from pathlib import Path
from cxrsync.storage import lock as module
module.sleep = lambda seconds: time.sleep(0.0005)
print("ready", flush=True)
for line in sys.stdin:
    folder = Path(line.strip())
    witness = folder / "witness"
    with module.Lock(folder, wait=60) as lock:
        lock.forget_replaced(lock.replaced_owners())
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
    """Each gets it in its turn; the witness file proves that no two had it at a time. In every
    second round another program's file lies in the lock."""
    rounds = [tmp_path / f"round-{number}" for number in range(25)]
    for folder in rounds:
        folder.mkdir()
        put_lock(folder, DEAD)
    for folder in rounds[::2]:
        put_foreign(folder, ".DS_Store")
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
            kept = [name for name in names(folder) if name.endswith(".DS_Store")]
            assert names(folder) == kept
            assert len(kept) == (folder in rounds[::2])
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


# ── the disk ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", ["mkdir", "fsync", "rename"])
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
    (tmp_path / "p11").mkdir()
    (tmp_path / "p11" / "lock").touch()
    with pytest.raises(DiskError, match="cannot lock"):
        Lock(tmp_path / "p11").acquire()


def test_a_file_system_that_never_gives_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rename says yes, and nothing is there afterwards."""
    rename = os.rename

    def lie(source: object, target: object) -> None:
        if Path(str(target)).name == "lock":
            shutil.rmtree(str(source))
        else:
            rename(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", lie)
    with pytest.raises(DiskError, match="neither gives the lock nor says who has it"):
        Lock(tmp_path, wait=3_600).acquire()


def test_a_file_system_that_keeps_what_was_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_lock(tmp_path, DEAD)
    monkeypatch.setattr(os, "rename", lambda _source, _target: None)
    with pytest.raises(DiskError, match="neither gives"):
        Lock(tmp_path).acquire()


# ── other programs' files in the lock ──────────────────────────────────────────────────────────

FOREIGN_NAMES = [".DS_Store", "Thumbs.db", ".nfs000000000a1b2c3d00000001", "@eaDir", "x.1"]


def put_foreign(folder: Path, name: str) -> None:
    (folder / "lock").mkdir(exist_ok=True)
    if name == "@eaDir":
        (folder / "lock" / name).mkdir()
        (folder / "lock" / name / "SYNO@.fileindexdb").write_text("mine")
    else:
        (folder / "lock" / name).write_text("mine")


@pytest.mark.parametrize("name", FOREIGN_NAMES)
def test_another_programs_file_is_no_owner(tmp_path: Path, name: str) -> None:
    put_foreign(tmp_path, name)
    with Lock(tmp_path) as lock:
        lock.check()
        assert len(names(tmp_path / "lock")) == 1
        assert settle(lock) == []
    [kept] = tmp_path.iterdir()
    assert kept.name.startswith("aside.")
    assert kept.name.endswith(name)
    assert [path.read_text() for path in (kept, *kept.glob("*")) if path.is_file()] == ["mine"]


@pytest.mark.parametrize("name", FOREIGN_NAMES)
def test_another_programs_file_beside_an_owner(tmp_path: Path, name: str) -> None:
    """The owner keeps the lock; after its release, or its death, the lock can be taken."""
    with Lock(tmp_path, describe="shard p10") as lock:
        put_foreign(tmp_path, name)
        lock.check()
        with pytest.raises(Locked, match=f"another run holds shard p10: process {os.getpid()}"):
            Lock(tmp_path, describe="shard p10").acquire()
        lock.check()
    assert names(tmp_path / "lock") == [name]
    put_lock(tmp_path, DEAD)
    with Lock(tmp_path) as lock:
        assert settle(lock) == [(DEAD.token, True)]
    assert len(names(tmp_path)) == 1


def test_a_long_name_of_another_program(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127, "x.1"):
        put_foreign(tmp_path, name)
    with Lock(tmp_path) as lock:
        lock.check()


def test_another_programs_file_that_cannot_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_foreign(tmp_path, "@eaDir")
    rename = os.rename

    def refuse(source: object, target: object) -> None:
        if Path(str(source)).name == "@eaDir":
            raise PermissionError(13, "Permission denied", str(source))
        rename(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(DiskError, match=r"@eaDir.*Permission denied") as caught:
        Lock(tmp_path).acquire()
    assert str(tmp_path / "lock" / "@eaDir") in str(caught.value)
