"""A simulated job: its events as a pull emits them, by a clock that only the simulation moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from cxrsync.events import Event, FileDone, Planned, Received, Started
from cxrsync.model import Kind, Outcome, Result
from cxrsync.progress_events import Activity, Expected, ExpectedSizes, Phase, Sized

MB = 10**6
STEP = 0.25
CONNECTIONS = 8
LATENCY = 0.25


def kind_of(path: str) -> Kind:
    return Kind.IMAGES if path.endswith(".jpg") else Kind.ARCHIVES


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Shape:
    """A job. ``sizes``: of the missing files, in the order in which they are fetched; ``present``:
    of the files that are here. ``wrong``: the expected mean, as a part of the true one."""

    sizes: tuple[int, ...]
    paths: tuple[str, ...]
    present: tuple[int, ...] = ()
    wrong: float = 1.0
    weight: float = 50.0

    def begin(self) -> list[Event]:
        count = len(self.sizes)
        expected = []
        for kind in (Kind.IMAGES, Kind.ARCHIVES):
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
    """Run a job over a line of ``rate`` bytes per second; yield the time after each step."""
    for event in shape.begin():
        tell(event)
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
