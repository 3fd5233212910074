"""Connections share one file: every byte once, and no share too small for a request."""

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.storage.byte_ranges import Range, add, normal, size
from cxrsync.transfer.segments import MIN_SHARE, Segment, Segments

many = settings(max_examples=examples(200))

MIB = 1 << 20


def spans(*segments: Segment | None) -> list[tuple[int, int | None]]:
    return [(each.offset, each.stop) for each in segments if each is not None]


def take_all(segments: Segments) -> list[Segment]:
    taken = []
    while (segment := segments.take_idle(1)) is not None:
        taken.append(segment)
    return taken


@pytest.mark.parametrize(
    ("present", "total", "free"),
    [
        ([], None, [(0, None)]),
        ([], 100, [(0, 100)]),
        ([(0, 40)], 100, [(40, 100)]),
        ([(0, 40)], None, [(40, None)]),
        ([(0, 100)], 100, []),
        ([(0, 100)], None, [(100, None)]),
        ([(0, 10), (20, 30)], 100, [(10, 20), (30, 100)]),
        ([(20, 30)], 30, [(0, 20)]),
        # Without a total: the gaps, and whatever lies behind the last byte.
        ([(0, 10), (20, 30)], None, [(10, 20), (30, None)]),
        ([(20, 30)], None, [(0, 20), (30, None)]),
        # The file became shorter at the source.
        ([(0, 10), (60, 100)], 50, [(10, 50)]),
        ([], 0, []),
    ],
)
def test_the_missing_segments(
    present: list[Range], total: int | None, free: list[tuple[int, int | None]]
) -> None:
    segments = Segments(present, total)
    assert segments.complete == (total is not None and not free)
    assert spans(*take_all(segments)) == free
    assert segments.busy == bool(free)


def test_one_connection_gets_the_whole_file() -> None:
    assert spans(Segments([], 100 * MIB).take_idle(1)) == [(0, 100 * MIB)]


def test_several_idle_connections_find_the_rest_free() -> None:
    segments = Segments([], 80 * MIB)
    taken = [segments.take_idle(idle) for idle in (4, 3, 2, 1)]
    assert spans(*taken) == [
        (0, 20 * MIB),
        (20 * MIB, 40 * MIB),
        (40 * MIB, 60 * MIB),
        (60 * MIB, 80 * MIB),
    ]
    assert segments.take_idle(1) is None


def test_a_small_file_is_not_split() -> None:
    segments = Segments([], 2 * MIN_SHARE - 1)
    assert spans(segments.take_idle(8)) == [(0, 2 * MIN_SHARE - 1)]
    assert segments.split_longest(8) is None


def test_a_file_without_a_total_is_not_split() -> None:
    segments = Segments([], None)
    first = segments.take_idle(8)
    assert spans(first) == [(0, None)]
    assert segments.take_idle(8) is segments.split_longest(8) is None
    assert segments.longest == 0
    segments.learn_total(80 * MIB)
    assert segments.longest == 80 * MIB
    assert spans(segments.split_longest(1), first) == [(40 * MIB, 80 * MIB), (0, 40 * MIB)]


def test_the_longest_segment_is_split() -> None:
    segments = Segments([(30 * MIB, 40 * MIB)], 200 * MIB)
    short, long = take_all(segments)
    long.offset += 60 * MIB
    end = segments.split_longest(1)
    assert spans(short, long, end) == [
        (0, 30 * MIB),
        (100 * MIB, 150 * MIB),
        (150 * MIB, 200 * MIB),
    ]
    assert end is not None
    assert end.busy


def test_a_connection_that_stops_leaves_its_rest_free() -> None:
    segments = Segments([], 100)
    first = segments.take_idle(1)
    assert first is not None
    first.offset = 40
    first.busy = False
    assert spans(segments.take_idle(1)) == [(40, 100)]


def test_complete_only_after_the_last_byte() -> None:
    segments = Segments([(0, 98)], 100)
    segment = segments.take_idle(1)
    assert segment is not None
    segment.offset = 99
    assert not segments.complete
    segment.offset = 100
    assert segments.complete
    assert not Segments([], None).complete


@dataclass
class Connections:
    """Connections that take segments, receive some bytes, and sometimes stop, in any order."""

    segments: Segments
    total: int
    connections: int
    arrived: list[Range] = field(default_factory=list)
    working: list[Segment] = field(default_factory=list)
    shares: list[int] = field(default_factory=list)

    def take_up(self) -> bool:
        idle = self.connections - len(self.working)
        if not idle:
            return False
        taken = self.segments.take_idle(idle)
        if taken is None:
            before = {segment: segment.stop for segment in self.working}
            taken = self.segments.split_longest(idle)
            if taken is not None:
                # What is cut and what stays are both worth their request.
                [cut] = [each for each in self.working if each.stop != before[each]]
                self.shares += [taken.remaining, cut.remaining]
        if taken is None:
            return False
        assert taken.busy
        assert taken not in self.working
        self.working.append(taken)
        return True

    def receive(self, segment: Segment, count: int) -> None:
        stop = self.total if segment.stop is None else segment.stop
        after = min(segment.offset + count, stop)
        there = size(self.arrived)
        self.arrived = add(self.arrived, segment.offset, after)
        # Every byte once: what arrives was not there before.
        assert size(self.arrived) - there == after - segment.offset
        segment.offset = after
        if segment.done:
            self.drop(segment)

    def drop(self, segment: Segment) -> None:
        segment.busy = False
        self.working.remove(segment)


@many
@given(
    total=st.integers(0, 100 * MIB),
    parts=st.lists(st.tuples(st.integers(0, 100 * MIB), st.integers(0, 100 * MIB)), max_size=4),
    total_is_known=st.booleans(),
    connections=st.integers(1, 8),
    random=st.randoms(use_true_random=False),
)
def test_every_byte_is_requested_once(
    total: int, parts: list[Range], total_is_known: bool, connections: int, random: Random
) -> None:
    present = normal(parts, total)
    if not total_is_known:
        present = [] if not present or present[0][0] else present[:1]
    connections_at_work = Connections(
        Segments(present, total if total_is_known else None), total, connections, present
    )
    is_known = total_is_known
    while not connections_at_work.segments.complete:
        act = random.random()
        if not is_known and connections_at_work.working and act < 0.3:
            connections_at_work.segments.learn_total(total)
            is_known = True
            for segment in [each for each in connections_at_work.working if each.done]:
                connections_at_work.drop(segment)
        elif act < 0.4 or not connections_at_work.working:
            assert (
                connections_at_work.take_up() or connections_at_work.working
            )  # nobody idles while bytes are free
        else:
            segment = random.choice(connections_at_work.working)
            if act < 0.45:
                connections_at_work.drop(segment)
            else:
                connections_at_work.receive(segment, random.randint(1, 8 * MIB))
    assert connections_at_work.arrived == ([(0, total)] if total else [])
    assert all(share >= MIN_SHARE for share in connections_at_work.shares)


@many
@given(st.integers(0, 100 * MIB), st.lists(st.integers(1, 8), min_size=1, max_size=12))
def test_no_share_is_too_small(total: int, idles: list[int]) -> None:
    segments = Segments([], total)
    taken: list[Segment] = []
    for idle in idles:
        share = segments.take_idle(idle) or segments.split_longest(idle)
        if share is not None:
            taken.append(share)
    # The last may be as small as the file is; of two or more each is worth a request.
    least = min(total, MIN_SHARE)
    free = take_all(segments)
    assert all(share.remaining >= least for share in [*taken, *free])
    assert sum(share.remaining for share in [*taken, *free]) == total


def test_another_total_is_another_file() -> None:
    segments = Segments([], 314)
    segments.learn_total(314)
    with pytest.raises(ValueError, match="314"):
        segments.learn_total(460)
