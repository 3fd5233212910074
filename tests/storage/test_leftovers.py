"""What other runs left: nothing is lost, and nothing is gone on with that somebody may write to."""

import errno
import hashlib
import json
import os
import random
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from storage.steps import killed_at, stopped_at

from cxrsync.errors import DiskError, LockLost
from cxrsync.storage import leftovers as module
from cxrsync.storage import lock as locks
from cxrsync.storage.byte_ranges import Range, gaps
from cxrsync.storage.leftovers import RecoveryCancelled, recover_partials, release_partials
from cxrsync.storage.lock import Lock
from cxrsync.storage.lock_owner import myself
from cxrsync.storage.partial import Partial
from cxrsync.storage.partial_names import LeftoverAction, action_for
from cxrsync.storage.partial_readers import count_partials, open_best_partial, unclaimed_names
from cxrsync.storage.sidecar import ObjectVersion

DATA = random.Random(11).randbytes(30_000)
NAME = hashlib.sha256(DATA).hexdigest()
BINDING = ObjectVersion("https://physionet.org", len(DATA), '"tag"', 1_721_736_000.0)
A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lives is silent; the dead are dead at once; and no power is cut here."""
    monkeypatch.setattr(locks, "SILENT_SECONDS", -1.0)
    monkeypatch.setattr(os, "fsync", lambda _fd: None)
    monkeypatch.setattr(os, "fdatasync", lambda _fd: None)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "partial"


def lock_of(place: Path, token: str, *, dead: bool = False) -> Lock:
    """The lock of a run with this token; ``dead``: of one that ends before anybody looks."""
    owner = replace(myself(), token=token, **({"pid": 1 << 30} if dead else {}))
    return Lock(place.parent, describe="shard p10", owner=owner)


def taken(place: Path, token: str, *, dead: bool = False) -> Lock:
    lock = lock_of(place, token, dead=dead)
    lock.acquire()
    lock._stop_heartbeat.set()
    return lock


def take_over(place: Path, token: str, *, dead: bool = False) -> Lock:
    """Take the lock, and adopt what lies there."""
    lock = taken(place, token, dead=dead)
    recover_partials(place, lock, lock.replaced_owners())
    return lock


def begin(place: Path, lock: Lock | None, *ranges: Range, name: str = NAME) -> Partial:
    """Bytes of the file, written by the owner of ``lock`` (None: by cxrsync 0.1.0)."""
    partial = Partial(place, name, lease=lock)
    partial.load()
    partial.bind(BINDING)
    for start, stop in ranges:
        partial.write(start, [DATA[start:stop]], partial.generation)
    partial.save()
    return partial


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def go_on(place: Path, lock: Lock) -> Partial:
    partial = Partial(place, NAME, lease=lock)
    partial.load()
    return partial


def assert_true(partial: Partial) -> None:
    """Every byte that is claimed is there, and is the right one."""
    for start, stop in partial.ranges:
        assert partial.read(start, stop) == DATA[start:stop]


def complete(partial: Partial) -> None:
    partial.bind(BINDING)
    for start, stop in gaps(partial.ranges, len(DATA)):
        partial.write(start, [DATA[start:stop]], partial.generation)
    assert partial.digest() == NAME


# ── the decision ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "safe", "unsafe"),
    [
        (NAME, LeftoverAction.KEEP, LeftoverAction.COPY),
        (f"{NAME}.json", LeftoverAction.KEEP, LeftoverAction.COPY),
        (f"{NAME}.{A}", LeftoverAction.RENAME, LeftoverAction.RENAME),
        (f"{NAME}.{A}.json", LeftoverAction.RENAME, LeftoverAction.RENAME),
        (f"{NAME}.{B}", LeftoverAction.COPY, LeftoverAction.COPY),
        (f"{NAME}.{B}.json", LeftoverAction.COPY, LeftoverAction.COPY),
        (f"{NAME}.0123456789abcdef.copy", LeftoverAction.DELETE, LeftoverAction.DELETE),
        (f"{NAME}.0123456789abcdef.copy.{A}", LeftoverAction.DELETE, LeftoverAction.DELETE),
        (f"{NAME}.0123456789abcdef.copy.{B}.json", LeftoverAction.DELETE, LeftoverAction.DELETE),
        (f"{NAME}.{B}.json.123.new", LeftoverAction.DELETE, LeftoverAction.DELETE),
        (f"{NAME}.new", LeftoverAction.DELETE, LeftoverAction.DELETE),
        (f"{NAME}.{B[:-1]}", LeftoverAction.IGNORE, LeftoverAction.IGNORE),
        (f"{NAME}.{B}.txt", LeftoverAction.IGNORE, LeftoverAction.IGNORE),
        (".nfs000000000000000100000001", LeftoverAction.IGNORE, LeftoverAction.IGNORE),
    ],
)
def test_what_becomes_of_a_name(name: str, safe: LeftoverAction, unsafe: LeftoverAction) -> None:
    assert action_for(name, {A, C}, unclaimed_is_safe=True) is safe
    assert action_for(name, {A, C}, unclaimed_is_safe=False) is unsafe


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("partial", LeftoverAction.KEEP),
        (f"partial.{B}", LeftoverAction.COPY),
        ("partial.json", LeftoverAction.KEEP),
        ("current.json", LeftoverAction.IGNORE),
        (f"current.json.{B}.new", LeftoverAction.DELETE),
        ("20250102T030405.000000Z-SHA256SUMS.txt", LeftoverAction.IGNORE),
    ],
)
def test_among_the_manifests(name: str, expected: LeftoverAction) -> None:
    assert action_for(name, {A}, unclaimed_is_safe=True, only="partial") is expected


# ── the dead and the living ────────────────────────────────────────────────────────────────────

STREAM, SEGMENTS = ((0, 10_000),), ((0, 4_000), (20_000, 25_000))


@pytest.mark.parametrize("ranges", [STREAM, SEGMENTS], ids=["stream", "segments"])
def test_what_a_dead_owner_left_is_gone_on_with_where_it_lies(
    place: Path, ranges: tuple[Range, ...]
) -> None:
    left = begin(place, taken(place, A, dead=True), *ranges)
    inode = left.path.stat().st_ino
    lock = take_over(place, B)
    assert names(place) == [NAME, f"{NAME}.json"]
    assert lock.replaced_owners() == ()
    partial = go_on(place, lock)
    assert names(place) == [f"{NAME}.{B}", f"{NAME}.{B}.json"]
    assert partial.path.stat().st_ino == inode
    assert (partial.ranges, partial.object_version) == (list(ranges), BINDING)
    complete(partial)


@pytest.mark.parametrize("ranges", [STREAM, SEGMENTS], ids=["stream", "segments"])
@pytest.mark.parametrize("old", [True, False], ids=["0.1.0", "today"])
def test_what_a_silent_owner_left_is_copied(
    place: Path, ranges: tuple[Range, ...], *, old: bool
) -> None:
    """Whatever it does when it wakes up leads nowhere."""
    silent = taken(place, A)
    left = begin(place, None if old else silent, *ranges)
    lock = take_over(place, B)
    assert names(place) == [NAME, f"{NAME}.json"]
    assert os.fstat(left.fileno()).st_nlink == 0
    partial = go_on(place, lock)
    assert (partial.ranges, partial.object_version) == (list(ranges), BINDING)
    complete(partial)
    left.write(10_000, [b"\0" * 9_000], left.generation)
    assert partial.path.read_bytes() == DATA


def test_a_sleeper_that_goes_on_meets_its_guard(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = taken(place, A)
    left = begin(place, silent, (0, 10_000))
    lock = take_over(place, B)
    now = locks.boottime()
    monkeypatch.setattr(locks, "boottime", lambda: now + 61)
    with pytest.raises(LockLost):
        left.write(10_000, [b"\0" * 9_000], left.generation)
    left.save()  # nothing is written for it
    assert names(place) == [NAME, f"{NAME}.json"]
    lock.check()


def test_holes_are_not_copied(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "clone", lambda _source, _target: False)
    size = 64 << 20
    left = Partial(place, NAME, lease=taken(place, A))
    left.bind(ObjectVersion("s", size, '"t"'))
    left.write(0, [DATA], 0)
    left.write(size - len(DATA), [DATA], 0)
    left.save()
    take_over(place, B)
    copy = (place / NAME).stat()
    assert copy.st_size == size
    assert copy.st_blocks * 512 < 1 << 20
    assert (place / NAME).read_bytes()[-len(DATA) :] == DATA


def test_a_claim_beyond_the_bytes_is_not_copied(place: Path) -> None:
    left = begin(place, taken(place, A), *SEGMENTS)
    os.truncate(left.path, 22_000)
    take_over(place, B)
    assert json.loads((place / f"{NAME}.json").read_text())["ranges"] == [
        [0, 4_000],
        [20_000, 22_000],
    ]


@pytest.mark.parametrize("dead", [True, False])
def test_a_taker_that_lives_on_others_names_takes_them_all(place: Path, *, dead: bool) -> None:
    """Two were replaced, and the second was killed before it had looked at anything."""
    first = begin(place, taken(place, A), *STREAM)
    inode = first.path.stat().st_ino
    taken(place, B, dead=dead)
    take_over(place, C)
    assert names(place) == [NAME, f"{NAME}.json"]
    assert (place / NAME).stat().st_ino != inode


def test_at_rest_after_a_release_nothing_is_touched(place: Path) -> None:
    lock = taken(place, A)
    begin(place, lock, *SEGMENTS).close()
    release_partials(place, lock)
    lock.release()
    before = {path.name: path.stat() for path in place.iterdir()}
    lock = take_over(place, B)
    assert {path.name: path.stat() for path in place.iterdir()} == before
    assert go_on(place, lock).ranges == list(SEGMENTS)


def test_what_a_run_did_not_lay_down_is_copied(place: Path) -> None:
    """It has released its lock, and does not say what became of it."""
    lock = taken(place, A)
    left = begin(place, lock, *SEGMENTS)
    lock.release()
    take_over(place, B)
    assert (place / NAME).stat().st_ino != os.fstat(left.fileno()).st_ino
    assert names(place) == [NAME, f"{NAME}.json"]


# ── several, alone, half made ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dead", [True, False])
@pytest.mark.parametrize(("rest", "work", "kept"), [(5_000, 9_000, 9_000), (9_000, 5_000, 9_000)])
def test_of_two_the_one_with_more_bytes_stays(
    place: Path, rest: int, work: int, kept: int, *, dead: bool
) -> None:
    begin(place, None, (0, rest)).close()
    (place / f"{NAME}.{A}").write_bytes(DATA[:work])
    taken(place, A, dead=dead)
    lock = take_over(place, B)
    assert set(names(place)) <= {NAME, f"{NAME}.json"}
    partial = go_on(place, lock)
    assert partial.ranges == [(0, kept)]
    complete(partial)


def test_holes_are_no_bytes(place: Path) -> None:
    """Of two the longer file may have less."""
    begin(place, None, (0, 9_000)).close()
    begin(place, taken(place, A, dead=True), (25_000, 26_000), name=f"{NAME}x").close()
    os.rename(place / f"{NAME}x.{A}", place / f"{NAME}.{A}")
    os.rename(place / f"{NAME}x.{A}.json", place / f"{NAME}.{A}.json")
    assert go_on(place, take_over(place, B)).ranges == [(0, 9_000)]


def test_bytes_of_unknown_origin_do_not_outweigh_those_of_a_manifest(place: Path) -> None:
    """No digest would tell that they are wrong."""
    begin(place, None, *SEGMENTS, name="partial").close()
    (place / f"partial.{A}").write_bytes(b"x" * 29_000)
    lock = taken(place, B)
    recover_partials(place, lock, lock.replaced_owners(), only="partial", digest_known=False)
    partial = Partial(place, "partial", digest_known=False, lease=lock)
    partial.load()
    assert (partial.ranges, partial.object_version) == (list(SEGMENTS), BINDING)
    partial.close()
    silent = json.loads((place / f"partial.{B}.json").read_text())
    lock = taken(place, C)
    recover_partials(place, lock, lock.replaced_owners(), only="partial", digest_known=False)
    copied = json.loads((place / "partial.json").read_text())
    assert copied == silent | {"sha256": digest_of(SEGMENTS)}


def digest_of(ranges: Sequence[Range]) -> str:
    return hashlib.sha256(b"".join(DATA[start:stop] for start, stop in ranges)).hexdigest()


def test_what_is_half_made_or_alone_is_swept(place: Path) -> None:
    place.mkdir()
    for name in (
        *(f"{NAME}.{A}.copy", f"{NAME}.0123456789abcdef.copy.{A}", f"{NAME}.{A}.new"),
        *(f"{NAME}.json", f"{NAME}x.{A}.json"),
    ):
        (place / name).write_text("{}")
    take_over(place, B)
    assert names(place) == []


def test_what_is_none_of_ours_stays(place: Path) -> None:
    place.mkdir()
    (place / f"{NAME}.{A}").mkdir()
    (place / "a.folder").mkdir()
    (place / "notes.txt").touch()
    (place / f"{NAME}.{B}").symlink_to(place.parent)
    os.mkfifo(place / f"{NAME}.{'d' * 32}")
    take_over(place, C)
    assert names(place) == sorted([f"{NAME}.{A}", "a.folder", "notes.txt"])


def test_no_folder_no_leftovers(place: Path) -> None:
    lock = take_over(place, A)
    release_partials(place, lock)
    assert not place.exists()
    assert unclaimed_names(place) == set()
    assert count_partials(place) == (0, 0)
    assert open_best_partial(place, NAME, digest_known=True) is None


# ── laying down ────────────────────────────────────────────────────────────────────────────────


def test_what_is_laid_down(place: Path) -> None:
    """Bytes get their name at rest; what is of no use any more goes."""
    lock = taken(place, A)
    begin(place, lock, *SEGMENTS).close()
    begin(place, lock, *STREAM, name="stream").close()
    begin(place, lock, *STREAM, name="x.copy").close()
    Partial(place, "empty", lease=lock).fileno()
    (place / f"published.{A}.json").touch()
    (place / f"left.{A}.json.9.new").touch()
    (place / f"foreign.{B}").touch()
    release_partials(place, lock)
    assert names(place) == sorted([NAME, f"{NAME}.json", "stream", "stream.json", f"foreign.{B}"])


def test_what_was_lost_is_not_laid_down(place: Path) -> None:
    silent = taken(place, A)
    begin(place, silent, *STREAM).close()
    lock = take_over(place, B)
    begin(place, lock, (0, 20_000)).close()
    (place / f"{NAME}.{A}").write_bytes(b"late")
    release_partials(place, silent)
    assert (place / f"{NAME}.{A}").read_bytes() == b"late"
    assert not (place / NAME).exists()


def test_what_rests_already_is_not_replaced(place: Path) -> None:
    lock = taken(place, A)
    begin(place, lock, *STREAM).close()
    (place / NAME).write_bytes(b"somebody's")
    release_partials(place, lock)
    assert (place / NAME).read_bytes() == b"somebody's"
    assert (place / f"{NAME}.{A}").read_bytes() == DATA[:10_000]


# ── killed, stopped, out of room ───────────────────────────────────────────────────────────────

Scene = Callable[[Path], None]


def dead_with_segments(place: Path) -> None:
    begin(place, taken(place, A, dead=True), *SEGMENTS).close()


def silent_with_segments(place: Path) -> None:
    begin(place, taken(place, A), *SEGMENTS).close()


def silent_0_1_0(place: Path) -> None:
    taken(place, A)
    begin(place, None, *SEGMENTS).close()


def at_rest_and_dead(place: Path) -> None:
    """Less at rest: a stream without a sidecar."""
    place.mkdir()
    (place / NAME).write_bytes(DATA[:3_000])
    begin_beside(place, taken(place, A, dead=True))


def at_rest_and_silent(place: Path) -> None:
    begin(place, None, (0, 3_000), (29_000, 29_500)).close()
    begin_beside(place, taken(place, A))


def begin_beside(place: Path, lock: Lock) -> None:
    begin(place, lock, *SEGMENTS, name="x").close()
    os.rename(place / f"x.{lock.token}", place / f"{NAME}.{lock.token}")
    os.rename(place / f"x.{lock.token}.json", place / f"{NAME}.{lock.token}.json")


SCENES = [
    *(dead_with_segments, silent_with_segments, silent_0_1_0),
    *(at_rest_and_dead, at_rest_and_silent),
]


@pytest.mark.parametrize("next_is_dead", [True, False], ids=["killed", "silent"])
@pytest.mark.parametrize("scene", SCENES)
def test_whoever_is_killed_while_it_adopts_loses_nothing(
    tmp_path: Path, scene: Scene, *, next_is_dead: bool
) -> None:
    number = 0
    while True:
        place = tmp_path / str(number) / "partial"
        place.parent.mkdir()
        scene(place)
        with killed_at(number) as steps:
            take_over(place, B, dead=next_is_dead)
        lock = take_over(place, C)
        partial = go_on(place, lock)
        assert partial.ranges == list(SEGMENTS), steps.taken
        assert partial.object_version == BINDING, steps.taken
        assert_true(partial)
        complete(partial)
        assert set(names(place)) == {f"{NAME}.{C}", f"{NAME}.{C}.json"}, steps.taken
        lock.release()
        if steps.count <= number:
            break
        number += 1
    assert number > 5


@pytest.mark.parametrize("act", ["take up", "lay down"])
def test_whoever_is_killed_between_rest_and_work_loses_nothing(tmp_path: Path, act: str) -> None:
    number = 0
    while True:
        place = tmp_path / str(number) / "partial"
        place.parent.mkdir()
        begin(place, None, *SEGMENTS).close()
        with killed_at(number) as steps:
            lock = take_over(place, A, dead=True)
            partial = go_on(place, lock)
            if act == "lay down":
                partial.close()
                release_partials(place, lock)
        partial = go_on(place, take_over(place, B))
        assert (partial.ranges, partial.object_version) == (list(SEGMENTS), BINDING), steps.taken
        assert_true(partial)
        if steps.count <= number:
            break
        number += 1
    assert number > 5


@pytest.mark.parametrize("scene", SCENES)
def test_whoever_is_stopped_while_it_adopts_takes_nothing_away(
    tmp_path: Path, scene: Scene
) -> None:
    """At each step another one takes over, goes on, and lets its bytes rest; then it wakes up."""
    number = 0
    more = [(0, 6_000), (20_000, 25_000)]
    while True:
        place = tmp_path / str(number) / "partial"
        place.parent.mkdir()
        scene(place)

        def go_on_meanwhile(place: Path = place) -> None:
            lock = take_over(place, C)
            partial = go_on(place, lock)
            assert partial.ranges == list(SEGMENTS)
            partial.write(4_000, [DATA[4_000:6_000]], partial.generation)
            partial.save()
            partial.close()
            release_partials(place, lock)
            lock.release()

        with stopped_at(number, go_on_meanwhile) as steps:
            sleeper = lock_of(place, B)
            try:
                sleeper.acquire()
                recover_partials(place, sleeper, sleeper.replaced_owners())
                release_partials(place, sleeper)
            except (LockLost, DiskError):
                pass
            sleeper.release()
        partial = go_on(place, take_over(place, "d" * 32))
        expected = more if steps.count > number else list(SEGMENTS)
        assert partial.ranges == expected, steps.taken[number:]
        assert_true(partial)
        if steps.count <= number:
            break
        number += 1
    assert number > 5


def test_without_room_for_a_copy_what_was_left_stays(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "clone", lambda _source, _target: False)
    begin(place, taken(place, A), *SEGMENTS).close()
    real = module.free_space
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "free_space", lambda folder: real(folder)._replace(bytes=1_000))
        with pytest.raises(DiskError, match=os.strerror(errno.ENOSPC)):
            take_over(place, B)
    assert {f"{NAME}.{A}", f"{NAME}.{A}.json"} <= set(names(place))
    partial = go_on(place, take_over(place, C))
    assert partial.ranges == list(SEGMENTS)


def test_a_copy_that_nobody_wants_any_more_is_not_finished(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "clone", lambda _source, _target: False)
    begin(place, taken(place, A), *SEGMENTS).close()
    lock = taken(place, B)
    with pytest.raises(RecoveryCancelled):
        recover_partials(place, lock, lock.replaced_owners(), cancelled=lambda: True)
    lock.release()
    assert go_on(place, take_over(place, C)).ranges == list(SEGMENTS)


def test_one_that_begins_anew_while_it_is_copied(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the sidecar said is of bytes that are gone: the copy must not claim it."""
    other = ObjectVersion("https://physionet.org", len(DATA), '"another"')
    left = begin(place, taken(place, A), *SEGMENTS)

    def clone(_source: int, _target: int) -> bool:
        if left.generation == 0:
            left.discard()
            left.bind(other)
            left.write(0, [b"\0" * 100], left.generation)
        return False

    monkeypatch.setattr(module, "clone", clone)
    partial = go_on(place, take_over(place, B))
    assert (partial.ranges, partial.object_version) == ([(0, 100)], other)


# ── for readers ────────────────────────────────────────────────────────────────────────────────


def test_the_best_is_opened_wherever_it_lies(place: Path) -> None:
    begin(place, None, (0, 3_000), name="partial").close()
    begin(place, taken(place, A), *SEGMENTS, name="partial").close()
    (place / f"partial.{B}").write_bytes(b"\0" * 29_000)
    found = open_best_partial(place, "partial", digest_known=False)
    assert found is not None
    fd, stock = found
    assert os.pread(fd, 5_000, 20_000) == DATA[20_000:25_000]
    assert (stock.ranges, stock.object_version) == (list(SEGMENTS), BINDING)
    os.close(fd)
    assert open_best_partial(place, "other", digest_known=False) is None


def test_what_is_unfinished_is_counted_at_rest_and_at_work(place: Path) -> None:
    lock = taken(place, A)
    begin(place, lock, *STREAM).close()
    begin(place, None, *STREAM, name="x").close()
    (place / f"y.{A}.new").touch()
    sizes = [(place / name).stat().st_blocks * 512 for name in (f"{NAME}.{A}", "x")]
    assert count_partials(place) == (2, sum(sizes))
    assert unclaimed_names(place) == {"x"}


def test_a_copy_is_for_its_owner_alone(place: Path) -> None:
    begin(place, taken(place, A), *SEGMENTS).close()
    umask = os.umask(0)
    try:
        take_over(place, B)
    finally:
        os.umask(umask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o600}


# ── partials of another user, which we may not open ────────────────────────────────────────────


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a file one that we may not open, root or not."""
    real, files = os.open, set[tuple[int, int]]()

    def opened(path: object, flags: int, *more: int, **where: int) -> int:
        try:
            found = os.stat(path, follow_symlinks=False, **where)  # type: ignore[call-overload]
        except OSError:
            pass
        else:
            if (found.st_dev, found.st_ino) in files:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, *more, **where)  # type: ignore[call-overload]

    def close(path: Path) -> None:
        found = path.stat()
        files.add((found.st_dev, found.st_ino))

    monkeypatch.setattr(os, "open", opened)
    return close


@pytest.mark.parametrize("dead", [True, False])
def test_a_claimed_partial_that_we_may_not_open_is_left_alone(
    place: Path, closed: Callable[[Path], None], dead: bool
) -> None:
    theirs = begin(place, taken(place, A, dead=dead), (0, 20_000))
    theirs.close()
    closed(theirs.path)
    before = theirs.path.stat()
    lock = taken(place, B)
    assert recover_partials(place, lock, lock.replaced_owners()) == (theirs.path,)
    assert lock.replaced_owners() == ()
    assert (theirs.path.stat(), names(place)) == (before, [f"{NAME}.{A}", f"{NAME}.{A}.json"])
    complete(go_on(place, lock))
    assert theirs.path.stat() == before


@pytest.mark.parametrize("silent", [False, True])
def test_an_unclaimed_partial_that_we_may_not_open_is_left_alone(
    place: Path, closed: Callable[[Path], None], silent: bool
) -> None:
    """We keep ours under another name, from run to run, whoever was replaced meanwhile."""
    begin(place, None, (0, 20_000)).close()
    closed(place / NAME)
    theirs = [place / NAME, place / f"{NAME}.json"]
    before = [path.stat().st_ino for path in theirs]
    for number, token in enumerate((A, B, C), start=1):
        lock = taken(place, token)
        assert recover_partials(place, lock, lock.replaced_owners()) == (place / NAME,)
        partial = go_on(place, lock)
        assert partial.size == 5_000 * (number - 1)
        partial.bind(BINDING)
        partial.write(partial.size, [DATA[partial.size : 5_000 * number]], partial.generation)
        assert_true(partial)
        partial.close()
        if not silent:
            release_partials(place, lock)
            lock.release()
    assert [path.stat().st_ino for path in theirs] == before
    complete(go_on(place, lock))


def test_a_dead_owners_partial_keeps_its_bytes_where_its_name_is_taken(
    place: Path, closed: Callable[[Path], None]
) -> None:
    begin(place, None, (0, 20_000)).close()
    closed(place / NAME)
    theirs = (place / NAME).stat()
    begin(place, taken(place, A, dead=True), *SEGMENTS).close()
    lock = take_over(place, B)
    partial = go_on(place, lock)
    assert (partial.ranges, partial.object_version) == (list(SEGMENTS), BINDING)
    complete(partial)
    assert (place / NAME).stat() == theirs


def test_a_reader_passes_over_what_it_may_not_open(
    place: Path, closed: Callable[[Path], None]
) -> None:
    begin(place, taken(place, A), (0, 20_000)).close()
    closed(place / f"{NAME}.{A}")
    assert open_best_partial(place, NAME, digest_known=True) is None
    begin(place, None, (0, 100)).close()
    found = open_best_partial(place, NAME, digest_known=True)
    assert found is not None
    os.close(found[0])
    assert found[1].size == 100


def test_an_error_of_the_disk_is_told_as_it_is(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for a name that changes all the time."""
    begin(place, taken(place, A), (0, 20_000)).close()
    real = os.open

    def failing(path: object, flags: int, *more: int, **where: int) -> int:
        if str(path).endswith(A) and flags & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path, flags, *more, **where)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(DiskError, match=os.strerror(errno.EIO)):
        take_over(place, B)
