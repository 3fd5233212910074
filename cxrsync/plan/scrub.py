"""Choose the files to hash tonight, so that every proof stays younger than a period.

A proof is the moment at which the bytes of a file were last verified. The rule is one straight
line: of all bytes, at most the part ``1 - a / horizon`` may have a proof of age ``a`` or more (all
at age 0, none at the horizon). What is above the line is hashed, oldest first. So each night has
the same share; a missed night is made up for in the next; and a run that was stopped goes on with
the rest, because what it proved is young by then.

The horizon is shorter than the period by four nights: two nights may be missed in a row, and the
next run still comes before any proof is too old, also if it begins some hours late.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

NIGHT = 86_400.0
# Two nights may be missed, so the next run may come after three; one more for a late beginning.
_SPARE_NIGHTS = 4
# What one night may hash at most, in shares of a night. A clock that jumps makes all proofs old, or
# of the future, at once: they are renewed within a third of the horizon, and not in one night.
MAX_SHARES = 3
# To open a file costs as much as to hash this many bytes; so empty files have their nights, too.
_FILE_COST = 4096
_BUCKETS = 1024
# Half a byte: a sum that is off by less, because numbers are rounded, adds no file.
_ROUNDING = 0.5


@dataclass(slots=True)
class Proofs:
    """The size and the last proof (POSIX time) of each file: 16 bytes a file."""

    sizes: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))

    def add(self, size: int, verified_at: float) -> None:
        """Add a file."""
        self.sizes.append(size)
        self.times.append(verified_at)

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(self.sizes)

    def oldest(self, now: float) -> float | None:
        """Return the age of the oldest proof in seconds; None without files. A proof of the future
        has no age that could be known, and counts as none."""
        ages = (now - each for each in self.times if each <= now + NIGHT)
        return max((max(0.0, age) for age in ages), default=None)


def horizon(period: float) -> float:
    """Return the age in seconds at which a proof is renewed at the latest, for a period."""
    return max(period - _SPARE_NIGHTS * NIGHT, period / 2)


def due_share(proofs: Proofs, period: float, now: float) -> array[int]:
    """Return the numbers of the files to hash tonight, those with the oldest proofs first.

    ``period``: the age in seconds that no proof may reach. ``now``: POSIX time. A proof of the
    future (the clock was wrong then, or is wrong now) counts as too old. A file is taken when the
    line has room for all of it, or at the horizon: a tree of few large files is not hashed each
    night.
    """
    limit = horizon(period)
    ages = array("d", (_age(now, each, period) for each in proofs.times))
    order = oldest_first(ages)
    costs = array("q", (size + _FILE_COST for size in proofs.sizes))
    share = sum(costs) * NIGHT / limit
    wanted = _above_line(costs, ages, order, limit) + _ROUNDING
    most = MAX_SHARES * share + max(costs, default=0)
    due = array("Q")
    taken = 0
    for index in order:
        after = taken + costs[index]
        if after > most or (after > wanted and ages[index] < limit):
            break
        due.append(index)
        taken = after
    return due


def _age(now: float, verified_at: float, period: float) -> float:
    """Return the age of a proof; a period, if it is of the future, or no number."""
    age = now - verified_at
    return max(0.0, age) if age >= -NIGHT else period


def oldest_first(ages: array[float]) -> array[int]:
    """Return the numbers of the files, the oldest proof first; of equal ones, the lesser number.

    They are sorted in buckets, because a list of 621,000 numbers with their ages takes 50 MB.
    """
    order = array("Q", bytes(8 * len(ages)))
    oldest = max(ages, default=0.0)
    width = (oldest - min(ages, default=0.0)) / _BUCKETS or 1.0
    buckets = array("H", (min(_BUCKETS, int((oldest - age) / width)) for age in ages))
    counts = Counter(buckets)
    begins = list(accumulate((counts[each] for each in range(_BUCKETS + 1)), initial=0))
    free = begins[:]
    for number, bucket in enumerate(buckets):
        order[free[bucket]] = number
        free[bucket] += 1
    for begin, end in pairwise(begins):
        bucket_order = sorted(order[begin:end], key=ages.__getitem__, reverse=True)
        order[begin:end] = array("Q", bucket_order)
    return order


def _above_line(costs: array[int], ages: array[float], order: array[int], limit: float) -> float:
    """Return how much to hash, oldest first, so that nothing is above the line."""
    wanted, older = 0.0, 0
    total = sum(costs)
    for index in order:
        older += costs[index]
        allowed = max(0.0, total * (1 - ages[index] / limit))
        wanted = max(wanted, older - allowed)
    return wanted
