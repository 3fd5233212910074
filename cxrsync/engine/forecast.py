"""What a pull would do, without doing it: read from what is here, and from manifest and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from cxrsync.engine.course import Course, set_course
from cxrsync.engine.ending import in_our_words
from cxrsync.engine.expectation import partition_names
from cxrsync.engine.inventory import Estimate, Inventory
from cxrsync.engine.leg import look_back
from cxrsync.engine.plan import Plan, make_plan
from cxrsync.engine.room import files_to_make, in_words, lacking, need, published_estimate
from cxrsync.engine.run import Run
from cxrsync.engine.start import set_out
from cxrsync.engine.stop import Stop
from cxrsync.engine.tally import Tally
from cxrsync.errors import WillNotFit
from cxrsync.job import Job
from cxrsync.model import Emit, Row
from cxrsync.source.base import Source
from cxrsync.store.layout import PARTIAL_FOLDER
from cxrsync.store.partial import unfinished
from cxrsync.store.space import Room, room
from cxrsync.store.state import State
from cxrsync.store.threads import in_thread


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a pull of one version would do. ``resumable``: files and bytes of them that are in
    partials; ``rate``: the bytes per second that the line gave last, if it is known."""

    root: str
    dataset: str
    version: str
    selection: str
    inventory: Inventory
    selected: int
    to_take: int
    resumable: tuple[int, int]
    estimate: Estimate
    need_bytes: int
    need_files: int
    room: Room
    rate: float | None
    refusal: WillNotFit | None

    @property
    def seconds(self) -> float | None:
        """How long the line would need at the rate seen last."""
        if not self.rate:
            return None
        return max(0, self.estimate.bytes - self.resumable[1]) / self.rate


async def forecast(job: Job, source: Source, emit: Emit, stop: Stop) -> Forecast:
    """What a pull of the job would do. Fetches manifest and tables, as far as they are needed to
    know it, and nothing else. Raises UsageError, and what ends a run."""
    with in_our_words(stop):
        run = await set_out(job, source, emit, stop)
        course = await set_course(run, Tally())
        try:
            names = course.meant.partitions
            plan = await in_thread(lambda: _plan(run, course))
            guess = await published_estimate(run, plan)
        finally:
            course.manifest.close()
    free = await in_thread(lambda: room(run.tree.root))
    short = None
    if lacking(plan, guess, free) is not None:
        short = WillNotFit(f"it will not fit on the disk: {in_words(plan, guess, free)}")
    return Forecast(
        root=str(run.tree.root),
        dataset=job.dataset,
        version=run.version,
        selection=str(job.selection),
        inventory=plan.inventory,
        selected=plan.selected,
        to_take=len(plan.to_take),
        resumable=await in_thread(lambda: _resumable(run, names)),
        estimate=guess,
        need_bytes=need(plan, guess),
        need_files=files_to_make(plan),
        room=free,
        rate=await in_thread(lambda: _last_rate(run)),
        refusal=short,
    )


def _plan(run: Run, course: Course) -> Plan:
    """The plan that a pull would make, from states as they are now: no lock, nothing written."""
    with ExitStack() as stack:
        rows: dict[str, Iterator[Row]] = {}
        for name in course.meant.partitions:
            state = State.read(run.tree.partition(name))
            rows[name] = iter(()) if state is None else stack.enter_context(state).rows()
        plan = make_plan(
            course.manifest, course.meant.is_wanted, rows, run.tree, run.dataset.kind_of
        )
    look_back(run, plan)
    return plan


def _resumable(run: Run, names: Iterable[str]) -> tuple[int, int]:
    """Files of which some bytes are here, and these bytes."""
    found = [unfinished(run.tree.partition(name) / PARTIAL_FOLDER) for name in names]
    return sum(files for files, _size in found), sum(size for _files, size in found)


def _last_rate(run: Run) -> float | None:
    """What the line gave last, in bytes per second, whichever partition notes it."""
    rates = []
    for name in partition_names(run.tree):
        state = State.read(run.tree.partition(name))
        if state is not None:
            with state:
                rates.append(state.last_rate())
    known = [rate for rate in rates if rate is not None]
    return max(known)[1] if known else None
