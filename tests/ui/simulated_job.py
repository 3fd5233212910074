"""A simulated job: its events as a pull emits them, by a clock that only the simulation moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from cxrsync.events import Event, FileDone, Planned, Received, Started
from cxrsync.model import MANIFEST_NAME, Kind, Outcome, Result
from cxrsync.progress_events import Activity, Expected, ExpectedSizes, Phase, Sized, Unpacking

MB = 10**6
STEP = 0.25
CONNECTIONS = 8
LATENCY = 0.25
REPORT = 1200
UNPACKED_PER_STEP = 1000


KINDS = {"jpg": Kind.IMAGES, "txt": Kind.REPORTS, "zip": Kind.ARCHIVES}


def kind_of(path: str) -> Kind:
    return KINDS[path.rpartition(".")[2]]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Shape:
    """A job. ``sizes``: of the missing files, in the order in which they are fetched; ``present``:
    of the files that are here. ``wrong``: the expected mean, as a part of the true one.
    ``manifest``: the bytes of the manifest that comes first, 0 if it is here. ``unpacked``: how
    many reports come out of an archive of ``archive`` bytes, which comes before all files."""

    sizes: tuple[int, ...]
    paths: tuple[str, ...]
    present: tuple[int, ...] = ()
    wrong: float = 1.0
    weight: float = 50.0
    manifest: int = 0
    unpacked: int = 0
    archive: int = 0

    def begin(self) -> list[Event]:
        count = len(self.sizes) + self.unpacked
        expected = []
        if self.unpacked:
            guess = self.unpacked * REPORT * self.wrong
            expected.append(
                ExpectedSizes(Kind.REPORTS, self.unpacked, guess, self.weight, 0.5, "guesses")
            )
        for kind in (Kind.IMAGES, Kind.REPORTS, Kind.ARCHIVES):
            mine = [
                size for size, path in zip(self.sizes, self.paths, strict=True)
                if kind_of(path) is kind
            ]  # fmt: skip
            if mine:
                guess = sum(mine) * self.wrong
                expected.append(ExpectedSizes(kind, len(mine), guess, self.weight, 0.5, "guesses"))
        return [
            Started("d", "v", "r", "s", CONNECTIONS),
            Phase(Activity.PLANNING),
            Planned(count + len(self.present), len(self.present), sum(self.present), count, 0),
            Expected(0, tuple(expected), kind_of),
            Phase(Activity.FETCHING),
        ]


@dataclass
class Stream:
    path: str
    size: int
    left: float
    waits: float = LATENCY


def run(shape: Shape, rate: float, clock: Clock, tell: Callable[[Event], None]) -> Iterator[float]:
    """Run a job over a line of ``rate`` bytes per second; yield the time after each step of its
    files."""
    if shape.manifest:
        tell(Phase(Activity.MANIFEST))
        tell(Sized(MANIFEST_NAME, shape.manifest, is_manifest=True))
        for _now in stream(MANIFEST_NAME, shape.manifest, rate, clock, tell):
            pass
    for event in shape.begin():
        tell(event)
    if shape.unpacked:
        yield from unpack(shape, rate, clock, tell)
    files = iter(zip(shape.paths, shape.sizes, strict=True))
    streams: list[Stream] = []
    while True:
        while len(streams) < CONNECTIONS and (file := next(files, None)) is not None:
            streams.append(Stream(*file, left=float(file[1])))
        if not streams:
            return
        clock.now += STEP
        active = [each for each in streams if each.waits <= 0]
        for each in streams:
            each.waits -= STEP
            if each.waits <= 0 and each not in active:
                tell(Sized(each.path, each.size))
        for each in active:
            count = min(each.left, rate * STEP / len(active))
            before, each.left = each.left, each.left - count
            tell(Received(round(before) - round(each.left), each.path))
            if each.left <= 0:
                tell(FileDone(Outcome(each.path, Result.FETCHED, each.size)))
        streams = [each for each in streams if each.left > 0]
        yield clock.now


def stream(
    path: str, size: int, rate: float, clock: Clock, tell: Callable[[Event], None]
) -> Iterator[float]:
    """Fetch one file alone, which the whole line serves."""
    left = float(size)
    while left > 0:
        clock.now += STEP
        count = min(left, rate * STEP)
        left -= count
        tell(Received(round(count), path, path == MANIFEST_NAME))
        yield clock.now


def unpack(
    shape: Shape, rate: float, clock: Clock, tell: Callable[[Event], None]
) -> Iterator[float]:
    """Fetch an archive that is not selected itself, and publish the reports in it."""
    tell(Unpacking(Kind.REPORTS, shape.unpacked))
    tell(Sized("reports-of-all.zip", shape.archive))
    yield from stream("reports-of-all.zip", shape.archive, rate, clock, tell)
    tell(Phase(Activity.UNPACKING))
    for first in range(0, shape.unpacked, UNPACKED_PER_STEP):
        clock.now += STEP
        for number in range(first, first + UNPACKED_PER_STEP):
            tell(FileDone(Outcome(f"files/p10/s{number}.txt", Result.COPIED, REPORT)))
        yield clock.now
    tell(Unpacking(Kind.REPORTS, 0))
    tell(Phase(Activity.FETCHING))


def sizes_around(mean: float, count: int, seed: int) -> tuple[int, ...]:
    random = Random(seed)
    return tuple(max(1, round(random.lognormvariate(0, 0.4) * mean)) for _ in range(count))


def names(count: int) -> tuple[str, ...]:
    return tuple(f"files/p10/{number}.jpg" for number in range(count))


def many_small(seed: int, wrong: float) -> Shape:
    return Shape(sizes_around(0.3 * MB, 1500, seed), names(1500), wrong=wrong)


def one_large_at_the_end(seed: int, wrong: float) -> Shape:
    sizes = (*sizes_around(0.5 * MB, 300, seed), 200 * MB)
    return Shape(sizes, (*names(300), "all.zip"), wrong=wrong)


def resumed_at_half(seed: int, wrong: float) -> Shape:
    sizes = sizes_around(0.5 * MB, 800, seed)
    return Shape(sizes[400:], names(400), sizes[:400], wrong=wrong, weight=400)


def many_tiny_before_a_large_one(seed: int, wrong: float) -> Shape:
    """Requests per second limit the first part, and the line the second."""
    paths = (*(f"files/p10/s{number}.txt" for number in range(4000)), "all.zip")
    sizes = (*sizes_around(5_000, 4000, seed), 300 * MB)
    return Shape(sizes, paths, wrong=wrong, manifest=20 * MB)


def many_tiny(seed: int, wrong: float) -> Shape:
    paths = tuple(f"files/p10/s{number}.txt" for number in range(4000))
    return Shape(sizes_around(5_000, 4000, seed), paths, wrong=wrong, manifest=20 * MB)


def many_tiny_after_large_ones(seed: int, wrong: float) -> Shape:
    paths = (*names(60), *(f"files/p10/s{number}.txt" for number in range(4000)))
    sizes = (*sizes_around(5 * MB, 60, seed), *sizes_around(5_000, 4000, seed))
    return Shape(sizes, paths, wrong=wrong)


def reports_in_an_archive(seed: int, wrong: float) -> Shape:
    """Nothing but reports, as 227,835 of them come: unpacked they are larger than the archive."""
    return Shape((), (), wrong=wrong, unpacked=20_000, archive=12 * MB + seed * MB)


def reports_in_an_archive_before_images(seed: int, wrong: float) -> Shape:
    sizes = sizes_around(0.5 * MB, 200, seed)
    return Shape(sizes, names(200), wrong=wrong, unpacked=20_000, archive=100 * MB)
