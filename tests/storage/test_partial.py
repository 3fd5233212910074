"""Bytes so far: what is recorded is true whatever the order, the kill, or the damage."""

import errno
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsync.storage import byte_ranges as sets
from cxrsync.storage import partial as module
from cxrsync.storage import prefix_hash
from cxrsync.storage.partial import Partial
from cxrsync.storage.sidecar import ObjectVersion

DATA = random.Random(10).randbytes(10_000)
NAME = hashlib.sha256(DATA).hexdigest()
BINDING = ObjectVersion("https://physionet.org", len(DATA), '"tag"', 1_721_736_000.0)
OTHER = ObjectVersion("file:/mirror", len(DATA), None, 1_600_000_000.0)


def put(partial: Partial, start: int, stop: int) -> None:
    assert partial.write(start, [DATA[start:stop]], partial.generation)


def loaded(folder: Path) -> Partial:
    """What a run after a kill finds: nothing but the disk."""
    partial = Partial(folder, NAME)
    partial.load()
    return partial


def sidecar(folder: Path) -> Path:
    return folder / f"{NAME}.json"


def assert_true(partial: Partial) -> None:
    """Every byte that is claimed is on the disk, and is the right one."""
    on_disk = partial.path.read_bytes() if partial.path.exists() else b""
    for start, stop in partial.ranges:
        assert on_disk[start:stop] == DATA[start:stop]
        assert stop <= len(on_disk)


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[Partial]:
    partial = Partial(tmp_path / "partial", NAME)
    partial.bind(BINDING)
    yield partial
    partial.close()


# ── one stream ─────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_arrives_at_once_needs_no_sidecar(bound: Partial) -> None:
    put(bound, 0, len(DATA))
    assert bound.complete
    assert bound.hashed
    assert bound.digest() == NAME
    assert [path.name for path in bound.path.parent.iterdir()] == [NAME]


def test_a_stream_is_bound_before_its_first_byte_and_only_once(bound: Partial) -> None:
    folder = bound.path.parent
    put(bound, 0, 10)
    before = sidecar(folder).stat()
    put(bound, 10, 20)
    bound.bind(BINDING)
    put(bound, 20, 30)
    assert sidecar(folder).stat().st_ino == before.st_ino
    assert "ranges" not in json.loads(sidecar(folder).read_bytes())


def test_a_stream_goes_on_from_its_length(bound: Partial) -> None:
    put(bound, 0, 4_000)
    again = loaded(bound.path.parent)
    assert (again.ranges, again.object_version, again.segmented) == ([(0, 4_000)], BINDING, False)
    assert not again.complete
    put(again, 4_000, len(DATA))
    assert again.complete
    assert again.digest() == NAME
    again.close()


def test_a_prefix_is_read_again_rather_than_trusted(bound: Partial) -> None:
    put(bound, 0, 4_000)
    with bound.path.open("r+b") as file:
        file.write(b"\0\0\0\0")
    again = loaded(bound.path.parent)
    put(again, 4_000, len(DATA))
    assert again.digest() == hashlib.sha256(b"\0\0\0\0" + DATA[4:]).hexdigest()
    again.close()


def test_a_long_prefix_is_read_again_a_share_at_a_time(
    bound: Partial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefix_hash, "_READ", 100)
    monkeypatch.setattr(module, "_REREAD_A_WRITE", 1_000)
    put(bound, 0, 9_000)
    again = loaded(bound.path.parent)
    put(again, 9_000, len(DATA))
    assert not again.hashed
    assert again.digest() == NAME
    assert again.hashed
    again.close()


def test_the_file_is_for_its_owner_alone(bound: Partial) -> None:
    umask = os.umask(0)
    try:
        put(bound, 0, 10)
    finally:
        os.umask(umask)
    folder = bound.path.parent
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_an_empty_file_has_a_digest(tmp_path: Path) -> None:
    partial = Partial(tmp_path, "empty")
    partial.bind(ObjectVersion("source", 0))
    assert partial.complete
    assert partial.digest() == hashlib.sha256().hexdigest()
    assert partial.path.stat().st_size == 0
    partial.close()


def test_nothing_there_is_nothing(tmp_path: Path) -> None:
    partial = loaded(tmp_path)
    assert (partial.ranges, partial.object_version, partial.total) == ([], None, None)
    assert not partial.complete


# ── segments ───────────────────────────────────────────────────────────────────────────────────


def segments_of(cuts: list[int]) -> list[tuple[int, int]]:
    return list(pairwise([0, *sorted(set(cuts)), len(DATA)]))


@given(
    cuts=st.lists(st.integers(1, len(DATA) - 1), max_size=12),
    order=st.randoms(use_true_random=False),
)
def test_the_digest_is_right_whatever_the_order(cuts: list[int], order: random.Random) -> None:
    segments = segments_of(cuts)
    order.shuffle(segments)
    with tempfile.TemporaryDirectory() as folder:
        partial = Partial(Path(folder), NAME)
        partial.bind(BINDING)
        for start, stop in segments:
            assert not partial.complete
            put(partial, start, stop)
        assert partial.complete
        assert partial.digest() == NAME
        partial.close()


def test_several_connections_write_at_a_time(bound: Partial) -> None:
    segments = segments_of(list(range(50, len(DATA), 50)))
    random.Random(1).shuffle(segments)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda segment: put(bound, *segment), segments))
    assert bound.complete
    assert bound.digest() == NAME
    assert bound.path.read_bytes() == DATA


@pytest.mark.parametrize("save_every", [0, 1_000, 1 << 20])
@given(
    cuts=st.lists(st.integers(1, len(DATA) - 1), max_size=8),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=40)
def test_a_kill_at_any_point_leaves_a_true_record(
    save_every: int, cuts: list[int], order: random.Random
) -> None:
    """After each write the disk is looked at by a new object, as after a kill -9."""
    segments = segments_of(cuts)
    order.shuffle(segments)
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SAVE_EVERY_BYTES", save_every)
        folder = Path(name)
        partial = Partial(folder, NAME)
        partial.bind(BINDING)
        written: list[sets.Range] = []
        for start, stop in segments:
            put(partial, start, stop)
            written = sets.add(written, start, stop)
            after_kill = loaded(folder)
            assert_true(after_kill)
            assert sets.gaps(written, len(DATA)) == sets.gaps(partial.ranges, len(DATA))
            for kept_start, kept_stop in after_kill.ranges:
                assert sets.add(written, kept_start, kept_stop) == written
            if save_every == 0:
                assert after_kill.ranges == written
        partial.close()


@given(st.data())
@settings(max_examples=40)
def test_killed_again_and_again_it_still_arrives(data: st.DataObject) -> None:
    """Each life writes some of what is missing, in any order, and is killed."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SAVE_EVERY_BYTES", 3_000)
        folder = Path(name)
        for _life in range(4):
            partial = loaded(folder)
            assert_true(partial)
            partial.bind(BINDING)
            for start, stop in data.draw(st.permutations(sets.gaps(partial.ranges, len(DATA)))):
                at = data.draw(st.integers(start, stop - 1))
                put(partial, at, data.draw(st.integers(at + 1, stop)))
            partial.close()
        partial = loaded(folder)
        assert_true(partial)
        partial.bind(BINDING)
        for start, stop in sets.gaps(partial.ranges, len(DATA)):
            put(partial, start, stop)
        assert partial.digest() == NAME
        partial.close()


def test_bytes_out_of_order_are_noted_without_being_asked(bound: Partial) -> None:
    """A file with a gap must never look like a stream that has arrived."""
    put(bound, 0, 1_000)
    put(bound, 9_000, len(DATA))
    assert bound.segmented
    assert bound.path.stat().st_size == len(DATA)
    again = loaded(bound.path.parent)
    assert again.segmented
    assert not again.complete
    assert_true(again)


def test_saving_writes_what_was_not_yet_written(bound: Partial) -> None:
    put(bound, 5_000, 6_000)
    put(bound, 7_000, 8_000)
    assert loaded(bound.path.parent).ranges == []
    bound.save()
    assert loaded(bound.path.parent).ranges == [(5_000, 6_000), (7_000, 8_000)]


def test_segments_are_saved_when_time_has_passed(
    bound: Partial, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    bound.split()
    put(bound, 5_000, 6_000)
    assert loaded(bound.path.parent).ranges == []
    now += module.SAVE_EVERY_SECONDS
    put(bound, 7_000, 8_000)
    assert loaded(bound.path.parent).ranges == [(5_000, 6_000), (7_000, 8_000)]


def test_bytes_are_on_the_disk_before_they_are_claimed(
    bound: Partial, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, replace = os.fdatasync, os.replace
    monkeypatch.setattr(os, "fdatasync", lambda fd: (steps.append("data"), sync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (steps.append("record"), replace(a, b)))
    put(bound, 9_000, len(DATA))
    bound.save()
    assert steps
    assert steps == ["data", "record"] * (len(steps) // 2)


def test_where_there_is_no_fdatasync_all_is_synced(
    bound: Partial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS."""
    synced: list[int] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(os, "fdatasync")
    monkeypatch.setattr(os, "fsync", synced.append)
    put(bound, 9_000, len(DATA))
    bound.save()
    assert synced


def test_bytes_that_are_written_twice_are_hashed_as_they_lie_there(bound: Partial) -> None:
    assert bound.write(0, [b"\0" * 5_000], 0)
    put(bound, 0, 3_000)
    put(bound, 3_000, len(DATA))
    assert bound.digest() == hashlib.sha256(bound.path.read_bytes()).hexdigest() == NAME


# ── damage ─────────────────────────────────────────────────────────────────────────────────────

GARBAGE = [
    b"",
    b"{",
    b"\xff\xfe",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b'{"source": "s"}',
    b'{"source": "s", "total": "many", "validator": null, "modified": null}',
    b'{"source": "s", "total": 1e999, "validator": null, "modified": null}',
    b'{"source": "s", "total": Infinity, "validator": null, "modified": null}',
    b'{"source": "s", "total": 9, "validator": null, "modified": NaN}',
    b'{"source": "s", "total": 9, "validator": null, "modified": null, "ranges": null}',
    b'{"source": "s", "total": 9, "validator": null, "modified": null, "ranges": [[1]]}',
    b'{"source": "s", "total": 9, "validator": null, "modified": null, "ranges": [[0, "x"]]}',
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_sidecar_that_says_nothing_leaves_bytes_of_unknown_origin(
    tmp_path: Path, garbage: bytes
) -> None:
    (tmp_path / NAME).write_bytes(DATA[:5_000])
    sidecar(tmp_path).write_bytes(garbage)
    partial = loaded(tmp_path)
    assert (partial.object_version, partial.ranges) == (None, [(0, 5_000)])
    assert not partial.complete
    # The garbage is replaced by the truth, and does not outlive the file.
    partial.bind(BINDING)
    put(partial, 5_000, len(DATA))
    assert loaded(tmp_path).object_version == BINDING
    assert partial.digest() == NAME
    partial.forget_sidecar()
    partial.close()
    assert not sidecar(tmp_path).exists()


@pytest.mark.parametrize("length", range(0, 100, 7))
def test_a_sidecar_cut_short_at_any_length(bound: Partial, length: int) -> None:
    put(bound, 0, 5_000)
    folder = bound.path.parent
    whole = sidecar(folder).read_bytes()
    assert length < len(whole)
    sidecar(folder).write_bytes(whole[:length])
    assert loaded(folder).object_version is None
    assert loaded(folder).ranges == [(0, 5_000)]


def test_no_sidecar_at_all(bound: Partial) -> None:
    put(bound, 0, 5_000)
    sidecar(bound.path.parent).unlink()
    again = loaded(bound.path.parent)
    assert (again.object_version, again.ranges) == (None, [(0, 5_000)])


def test_a_sidecar_alone_speaks_of_nothing(bound: Partial) -> None:
    put(bound, 9_000, len(DATA))
    bound.path.unlink()
    again = loaded(bound.path.parent)
    assert (again.object_version, again.ranges) == (None, [])
    assert not sidecar(bound.path.parent).exists()


@given(
    ranges=st.lists(st.tuples(st.integers(-5, 12_000), st.integers(-5, 12_000))),
    length=st.integers(0, len(DATA)),
)
def test_ranges_beyond_the_data_are_not_believed(
    ranges: list[tuple[int, int]], length: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / NAME).write_bytes(DATA[:length])
        raw = {"source": "s", "total": len(DATA), "validator": None, "modified": None}
        sidecar(folder).write_text(json.dumps({**raw, "ranges": ranges}))
        partial = loaded(folder)
        assert_true(partial)
        assert all(0 <= start < stop <= length for start, stop in partial.ranges)


def test_a_claim_that_was_cut_does_not_come_true_when_the_file_grows(bound: Partial) -> None:
    """The data lost its end (a damaged disk); then bytes behind the loss are written, then a kill
    before their record."""
    put(bound, 0, 2_000)
    put(bound, 4_000, 6_000)
    bound.save()
    os.truncate(bound.path, 1_000)
    again = loaded(bound.path.parent)
    assert again.ranges == [(0, 1_000)]
    again.bind(BINDING)
    again._saved_at = float("inf")  # no record is due
    put(again, 8_000, 9_000)
    assert_true(loaded(bound.path.parent))
    again.close()


def test_data_that_vanish_while_they_are_hashed_are_missing(bound: Partial) -> None:
    put(bound, 0, 9_000)
    fresh = loaded(bound.path.parent)
    os.truncate(bound.path, 2_000)
    assert fresh.digest() == hashlib.sha256(DATA[:2_000]).hexdigest()
    assert fresh.ranges == [(0, 2_000)]
    assert not fresh.complete
    fresh.close()


def test_longer_than_the_total_is_not_complete(bound: Partial) -> None:
    put(bound, 0, 9_000)
    with bound.path.open("ab") as file:
        file.write(b"x" * 2_000)
    again = loaded(bound.path.parent)
    assert again.size == 11_000
    assert not again.complete
    assert again.digest() != NAME
    again.close()


@pytest.mark.parametrize("segmented", [False, True])
def test_a_stray_tail_is_cut_off_before_anyone_publishes_it(
    bound: Partial, *, segmented: bool
) -> None:
    if segmented:
        put(bound, 5_000, len(DATA))
    put(bound, 0, 4_000)
    with bound.path.open("ab") as file:
        file.truncate(len(DATA))
        file.write(b"stray")
    put(bound, 4_000, 5_000 if segmented else len(DATA))
    assert bound.digest() == NAME
    assert bound.path.read_bytes() == DATA


def test_a_digest_with_a_gap_gives_up_what_lies_behind_it(bound: Partial) -> None:
    put(bound, 0, 1_000)
    put(bound, 5_000, 6_000)
    assert bound.digest() == hashlib.sha256(DATA[:1_000]).hexdigest()
    assert bound.path.read_bytes() == DATA[:1_000]
    assert bound.ranges == [(0, 1_000)]
    put(bound, 7_000, 8_000)
    assert_true(loaded(bound.path.parent))


def test_a_stale_file_is_not_appended_to(bound: Partial) -> None:
    """What nobody took stock of is not ours to go on with."""
    bound.path.parent.mkdir()
    bound.path.write_bytes(b"something else, and longer" * 1_000)
    put(bound, 0, len(DATA))
    assert bound.path.read_bytes() == DATA


def test_a_link_in_the_place_of_the_data_is_not_written_through(
    bound: Partial, tmp_path: Path
) -> None:
    bound.path.parent.mkdir()
    target = tmp_path / "elsewhere"
    target.write_bytes(b"mine")
    bound.path.symlink_to(target)
    put(bound, 0, len(DATA))
    assert not bound.path.is_symlink()
    assert bound.path.read_bytes() == DATA
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("ranges", [[[0, 4_000]], []], ids=["some", "none"])
def test_bytes_that_have_another_name_are_copied_before_they_change(
    bound: Partial, tmp_path: Path, ranges: list[list[int]]
) -> None:
    """As `cp -al` makes them; and an empty sidecar must not cut them off either."""
    put(bound, 0, 4_000)
    (tmp_path / "snapshot").hardlink_to(bound.path)
    raw = {"source": "", "total": len(DATA), "validator": None, "modified": None, "ranges": ranges}
    sidecar(bound.path.parent).write_text(json.dumps(raw))
    again = loaded(bound.path.parent)
    for start, stop in sets.gaps(again.ranges, len(DATA)):
        put(again, start, stop)
    assert again.digest() == NAME
    assert (tmp_path / "snapshot").read_bytes() == DATA[:4_000]
    again.close()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: Path(path).symlink_to("/dev/zero")])
def test_what_is_no_file_is_no_beginning(bound: Partial, make: Callable[[Path], None]) -> None:
    bound.path.parent.mkdir()
    make(bound.path)
    again = loaded(bound.path.parent)
    assert (again.size, again.object_version) == (0, None)
    again.bind(BINDING)
    put(again, 0, len(DATA))
    assert again.path.read_bytes() == DATA
    again.close()


# ── another object, another source ─────────────────────────────────────────────────────────────


def test_late_bytes_of_an_earlier_epoch_are_void(bound: Partial) -> None:
    folder = bound.path.parent
    put(bound, 5_000, 6_000)
    bound.discard()
    assert list(folder.iterdir()) == []
    assert not bound.write(6_000, [DATA[6_000:7_000]], generation=0)
    assert list(folder.iterdir()) == []
    assert (bound.size, bound.object_version, bound.segmented, bound.generation) == (
        0,
        None,
        False,
        1,
    )
    bound.bind(BINDING)
    put(bound, 0, len(DATA))
    assert bound.digest() == NAME


def test_discarding_makes_a_new_file(bound: Partial) -> None:
    put(bound, 0, 5_000)
    with bound.path.open("rb") as old:
        bound.discard()
        bound.bind(BINDING)
        put(bound, 0, 100)
        assert os.fstat(old.fileno()).st_nlink == 0
        assert old.read() == DATA[:5_000]


def test_a_new_binding_replaces_the_old_on_the_disk(bound: Partial) -> None:
    """Also where its bytes complete the file at once: the next run must not believe the old."""
    put(bound, 0, 5_000)
    bound.bind(OTHER)
    put(bound, 5_000, len(DATA))
    assert loaded(bound.path.parent).object_version == OTHER
    bound.forget_sidecar()
    assert not sidecar(bound.path.parent).exists()


@pytest.mark.parametrize(
    "binding", [BINDING, OTHER, ObjectVersion("s"), ObjectVersion("s", 3, '""', 0.5)]
)
def test_a_binding_comes_back_as_it_went(tmp_path: Path, binding: ObjectVersion) -> None:
    partial = Partial(tmp_path, NAME)
    partial.bind(binding)
    put(partial, 0, 1)
    partial.close()
    assert loaded(tmp_path).object_version == binding


# ── a full disk ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "cxrsync-test", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not permitted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("segmented", [False, True])
def test_on_a_full_disk_the_record_stays_true(small_disk: Path, *, segmented: bool) -> None:
    data = random.Random(3).randbytes(200_000)
    partial = Partial(small_disk, "full")
    partial.bind(ObjectVersion("s", len(data)))
    if segmented:
        assert partial.write(100_000, [data[100_000:101_000]], 0)
    partial.write(0, [data[:7_000]], 0)
    with pytest.raises(OSError) as caught:
        partial.write(7_000, [data[7_000:90_000]], 0)
    assert caught.value.errno == errno.ENOSPC
    assert partial.size == 7_000 + (1_000 if segmented else 0)
    partial.close()

    # Room was made: the next run goes on from a true record.
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    again = Partial(small_disk, "full")
    again.load()
    on_disk = (small_disk / "full").read_bytes()
    for start, stop in again.ranges:
        assert on_disk[start:stop] == data[start:stop]
    again.bind(ObjectVersion("s", len(data)))
    for start, stop in sets.gaps(again.ranges, len(data)):
        again.write(start, [data[start:stop]], 0)
    assert again.digest() == hashlib.sha256(data).hexdigest()
    again.close()


def test_a_sidecar_that_finds_no_room_leaves_the_old_one(small_disk: Path) -> None:
    partial = Partial(small_disk, NAME)
    partial.bind(BINDING)
    put(partial, 0, 4_096)
    with (small_disk / "filler").open("wb", buffering=0) as filler:
        filler.write(b"x" * 65_536)  # as much of it as there is room for
    partial.bind(OTHER)
    with pytest.raises(OSError, match="No space"):
        put(partial, 4_096, 9_000)
    partial.close()
    again = loaded(small_disk)
    assert again.object_version == BINDING
    assert_true(again)
    assert {path.name for path in small_disk.iterdir()} == {NAME, f"{NAME}.json", "filler"}


# ── bytes that no published digest proves, as a manifest's ─────────────────────────────────────


SLICES = [(0, 2_000), (4_000, 5_000), (7_000, 9_000)]


def unproved(folder: Path) -> Partial:
    partial = Partial(folder, NAME, digest_known=False)
    partial.load()
    return partial


@pytest.mark.parametrize("slices", [SLICES, [(0, 9_000)]], ids=["slices", "a stream"])
@pytest.mark.parametrize("saved", [True, False], ids=["ended", "killed"])
def test_what_the_disk_changes_between_two_runs_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slices: list[sets.Range], saved: bool
) -> None:
    """Nothing else would show it: the first run's record of the bytes has their digest."""
    monkeypatch.setattr(module, "SAVE_EVERY_BYTES", 1)
    partial = unproved(tmp_path)
    partial.bind(BINDING)
    for start, stop in slices:
        put(partial, start, stop)
    if saved:
        partial.save()
        partial.close()
    assert unproved(tmp_path).ranges == slices
    with partial.path.open("rb+") as file:
        file.seek(1_000)
        file.write(bytes([DATA[1_000] ^ 1]))
    assert unproved(tmp_path).ranges == []


def test_the_digest_of_many_bytes_waits_for_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would cost more than it is worth to read them again at each record."""
    monkeypatch.setattr(module, "SAVE_EVERY_BYTES", 1)
    monkeypatch.setattr(module, "_MAX_DIGEST_BYTES", 4_000)
    partial = unproved(tmp_path)
    partial.bind(BINDING)
    for start, stop in SLICES:
        put(partial, start, stop)
    assert "sha256" not in json.loads(sidecar(tmp_path).read_text())
    partial.save()
    assert "sha256" in json.loads(sidecar(tmp_path).read_text())
    partial.close()
