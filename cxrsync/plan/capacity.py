"""Whether what is missing will fit on the disk: looked at before it is fetched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from cxrsync import humanize
from cxrsync.dataset.context import RunContext
from cxrsync.errors import WillNotFit
from cxrsync.model import Kind
from cxrsync.plan.estimate import Estimate, estimate
from cxrsync.plan.planner import Plan
from cxrsync.storage.disk_space import FreeSpace, Shortage, free_space, shortage
from cxrsync.storage.executors import run_in_thread
from cxrsync.storage.partial_readers import count_partials


async def check_free_space(run: RunContext, plan: Plan) -> None:
    """Raises WillNotFit where the missing files will not fit, unless the job says `--force`.

    The public total of the version is asked for only where it could change the answer.
    """
    if run.job.force or not plan.to_fetch:
        return
    guess = estimate(plan.inventory, run.target.dataset.means)
    free = await run_in_thread(lambda: free_space(run.target.tree.root))
    if lacking(plan, guess, free) is None:
        return
    guess = await published_estimate(run, plan)
    _files, here = await run_in_thread(lambda: partial_usage(run, plan))
    if lacking(plan, guess, free, here) is not None:
        raise WillNotFit(f"it will not fit on the disk: {in_words(plan, guess, free, here)}")


def partial_usage(run: RunContext, plan: Plan) -> tuple[int, int]:
    """How many partials lie where something is missing, and the bytes that they take already."""
    names = {partition for partition, _kind in plan.inventory.missing}
    found = [count_partials(run.target.tree.partials(name)) for name in names]
    return sum(files for files, _size in found), sum(size for _files, size in found)


async def published_estimate(run: RunContext, plan: Plan) -> Estimate:
    """What is missing, with the version's public total to go by where it is known."""
    total = await run.source.total(run.target.dataset.slug, run.target.version)
    everything = await run_in_thread(lambda: _kinds(plan)) if total else None
    return estimate(plan.inventory, run.target.dataset.means, total, everything)


def _kinds(plan: Plan) -> Mapping[Kind, int] | None:
    """How many files of each kind the version has; None where only a part of it is known."""
    if not plan.manifest.whole:
        return None
    return Counter(map(plan.inventory.kind_of, plan.manifest.paths()))


def need(plan: Plan, guess: Estimate, here: int = 0) -> int:
    """The bytes that the disk must have room for: what is cloned or linked takes none, and the
    bytes ``here``, in partials, have theirs."""
    share = 1.0
    if plan.to_fetch and not plan.copies_take_space:
        share -= len(plan.reusable) / plan.to_fetch
    return max(0, round(guess.bytes * share) - here)


def lacking(plan: Plan, guess: Estimate, free: FreeSpace, here: int = 0) -> Shortage | None:
    """What the disk lacks for the missing files; None if they fit."""
    return shortage(free, need(plan, guess, here), files_to_make(plan))


def in_words(plan: Plan, guess: Estimate, free: FreeSpace, here: int = 0) -> str:
    """Need against room, and where the need is from."""
    text = f"about {humanize.size(need(plan, guess, here))} are missing"
    if guess.basis:
        text += f" (by {' and '.join(guess.basis)})"
    text += f", {humanize.size(free.bytes)} are free"
    if free.files is not None:
        text += (
            f"; {files_to_make(plan):,} files and folders, "
            f"the file system has room for {free.files:,}"
        )
    if guess.unknown:
        text += f"; of {humanize.files(guess.unknown)} no size is known"
    return text


def files_to_make(plan: Plan) -> int:
    """Inodes: the missing files, and the folders for them."""
    return plan.to_fetch + plan.inventory.folders
