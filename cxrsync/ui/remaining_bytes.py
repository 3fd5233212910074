"""How many bytes of a job are still to come, as an estimate with its range and its basis.

The manifest has no sizes. Known are those of files that have arrived or are arriving. The others
are taken to have the mean of their kind: what was expected before the run, and what has been seen
since, each with its weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, sqrt

from cxrsync.model import Kind
from cxrsync.progress_events import Expected, ExpectedSizes, Sized, Unpacking

_SEEN = "sizes seen so far"
# Fewer sizes say nothing about how much they differ.
_MIN_SEEN = 5
_USUAL_SPREAD = 1.0
# The range holds about 19 of 20 jobs.
_DEVIATIONS = 2.0


@dataclass(frozen=True, slots=True)
class Bytes:
    """An estimate in bytes, and the range in which it probably is. ``basis``: in words."""

    low: float = 0.0
    likely: float = 0.0
    high: float = 0.0
    basis: tuple[str, ...] = ()

    def plus(self, known: float) -> Bytes:
        """Return the estimate with so many bytes more, which are known."""
        return Bytes(self.low + known, self.likely + known, self.high + known, self.basis)


@dataclass(slots=True)
class _Sizes:
    """What is expected, and what was seen, of the sizes of one kind."""

    files: int = 0
    begun: int = 0
    mean: float = 0.0
    weight: float = 0.0
    spread: float = _USUAL_SPREAD
    basis: str = ""
    unpacked: int = 0
    seen: int = 0
    sum: float = 0.0
    squares: float = 0.0

    def expect(self, sizes: ExpectedSizes) -> None:
        left = self.left
        self.files += sizes.files
        if sizes.weight and sizes.files:
            mean = sizes.bytes / sizes.files
            known = left if self.weight else 0
            self.mean = (self.mean * known + mean * sizes.files) / (known + sizes.files)
            self.weight, self.spread, self.basis = sizes.weight, sizes.spread, sizes.basis

    def see(self, size: int) -> None:
        self.begun += 1
        self.seen += 1
        self.sum += size
        self.squares += size * size

    @property
    def left(self) -> int:
        return max(0, self.files - self.begun - self.unpacked)

    def likely_mean(self, fallback: float | None) -> float | None:
        if self.weight == inf:
            return self.mean
        if self.weight + self.seen == 0:
            return fallback
        return (self.weight * self.mean + self.sum) / (self.weight + self.seen)

    def deviation(self, mean: float) -> float:
        """The standard deviation of the sum of the files that are left."""
        if self.weight == inf:
            return 0.0
        spread = self.spread
        if self.seen >= _MIN_SEEN and self.sum:
            variance = max(0.0, self.squares / self.seen - (self.sum / self.seen) ** 2)
            spread = sqrt(variance) / (self.sum / self.seen)
        worth = max(1.0, self.weight + self.seen)
        return mean * spread * sqrt(self.left + self.left**2 / worth)

    @property
    def grounds(self) -> str:
        return _SEEN if not self.basis or self.seen > self.weight else self.basis


@dataclass(slots=True)
class _Arriving:
    total: int | None
    have: int


@dataclass(slots=True)
class _Tree:
    """The missing files of one dataset. Its paths begin with ``prefix`` in events."""

    prefix: str
    kind_of: Callable[[str], Kind]
    sizes: dict[Kind, _Sizes] = field(default_factory=dict)


class RemainingBytes:
    """The bytes to come, from the events about single files."""

    def __init__(self) -> None:
        self._trees: dict[str, _Tree] = {}
        self._arriving: dict[str, _Arriving] = {}

    def expect(self, event: Expected) -> None:
        """Note the missing files of a plan."""
        if event.kind_of is None:
            return
        tree = self._trees.setdefault(event.prefix, _Tree(event.prefix, event.kind_of))
        for sizes in event.sizes:
            tree.sizes.setdefault(sizes.kind, _Sizes()).expect(sizes)

    def unpack(self, event: Unpacking) -> None:
        """Note that so many of the expected files will come out of an archive."""
        for tree in self._trees.values():
            if tree.prefix == event.prefix and event.kind in tree.sizes:
                tree.sizes[event.kind].unpacked = event.files

    def begin(self, event: Sized) -> bool:
        """Note the size of a file that arrives. Return whether it is a new file."""
        arriving = self._arriving.get(event.path)
        is_new = arriving is None or arriving.total is None
        if is_new:
            self._see(event.path, event.total)
        self._arriving[event.path] = _Arriving(event.total, event.have)
        return is_new

    def receive(self, path: str, count: int) -> None:
        """Note that bytes of a file arrived, or were discarded."""
        self._arriving.setdefault(path, _Arriving(None, 0)).have += count

    def end(self, path: str, size: int | None, *, is_copy: bool = False) -> bool:
        """Note that a file has its outcome; ``size`` None: without having arrived; ``is_copy``:
        from a file on this disk. Return whether it is a new file."""
        arriving = self._arriving.pop(path, None)
        if arriving is not None and arriving.total is not None:
            return False
        sizes = self._sizes_of(path)
        if sizes is not None:
            if is_copy and sizes.unpacked:
                sizes.unpacked -= 1
                sizes.begun += 1
            elif size is None:
                sizes.begun += 1
            else:
                sizes.see(size)
        return size is not None and not is_copy

    @property
    def files_left(self) -> int:
        """The files that are not requested yet, without those that an archive holds."""
        return sum(sizes.left for sizes in self._all_sizes())

    @property
    def to_unpack(self) -> int:
        """The files that an archive holds, and that are not here yet."""
        return sum(sizes.unpacked for sizes in self._all_sizes())

    @property
    def arrived(self) -> int:
        """Bytes of files that are still arriving, which are here."""
        return sum(max(0, each.have) for each in self._arriving.values())

    def estimate(self) -> Bytes | None:
        """Return the bytes to come; None if there is nothing that an estimate could go by."""
        rest = sum(max(0, (each.total or 0) - each.have) for each in self._arriving.values())
        fallback = self._mean_of_all()
        likely, variance = float(rest), 0.0
        basis: dict[str, None] = {}
        for sizes in self._all_sizes():
            if not sizes.left:
                continue
            mean = sizes.likely_mean(fallback)
            if mean is None:
                return None
            likely += sizes.left * mean
            variance += sizes.deviation(mean) ** 2
            basis[sizes.grounds] = None
        margin = _DEVIATIONS * sqrt(variance)
        low = max(rest, likely - margin)
        return Bytes(low, likely, likely + margin, tuple(basis))

    def _mean_of_all(self) -> float | None:
        """The mean of what is known of other kinds, for a kind of which nothing is known."""
        seen = sum(each.seen for each in self._all_sizes())
        if seen:
            return sum(each.sum for each in self._all_sizes()) / seen
        return None

    def _all_sizes(self) -> list[_Sizes]:
        return [sizes for tree in self._trees.values() for sizes in tree.sizes.values()]

    def _see(self, path: str, size: int) -> None:
        if (sizes := self._sizes_of(path)) is not None:
            sizes.see(size)

    def _sizes_of(self, path: str) -> _Sizes | None:
        """The sizes of the kind of a path. The longest prefix that fits is its dataset's."""
        trees = [each for each in self._trees.values() if path.startswith(each.prefix)]
        if not trees:
            return None
        tree = max(trees, key=lambda each: len(each.prefix))
        return tree.sizes.get(tree.kind_of(path.removeprefix(tree.prefix)))
