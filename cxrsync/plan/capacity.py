"""Check, before anything is fetched, that the missing files will fit on the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from cxrsync import humanize
from cxrsync.dataset.run_context import RunContext
from cxrsync.errors import Unanswered, WillNotFit
from cxrsync.model import Kind
from cxrsync.plan.copies import copy_bytes
from cxrsync.plan.estimate import Counts, Estimate, by_kind, estimate
from cxrsync.plan.planner import Plan
from cxrsync.progress_events import Expected
from cxrsync.storage.disk_space import FreeSpace, Shortage, free_space, shortage
from cxrsync.storage.partial_readers import count_partials
from cxrsync.threads import run_in_thread

# The mean size of fewer copies is no useful estimate for the others.
_ENOUGH_COPIES = 20


async def check_free_space(run: RunContext, plan: Plan) -> None:
    """Raise WillNotFit if the missing files will not fit, unless the job says ``--force``.

    The source is asked for the published total of the version only if it could change the result.
    """
    if run.job.force or not (plan.to_fetch or plan.to_copy):
        return
    size_estimate = estimate(plan.inventory, run.target.dataset.means)
    free = await usable_space(run)
    if shortage_of(plan, size_estimate, free) is None:
        return
    size_estimate = await published_estimate(run, plan)
    _files, partial_bytes = await run_in_thread(lambda: partial_usage(run, plan))
    if shortage_of(plan, size_estimate, free, partial_bytes) is not None:
        space = describe_space(plan, size_estimate, free, partial_bytes)
        raise WillNotFit(f"it will not fit on the disk: {space}{beyond_keep_free(run)}")


def expected_sizes(run: RunContext, plan: Plan) -> Expected:
    """Return what the plan has to do in bytes, as the progress shows it. Asks nobody."""
    inventory = plan.inventory
    guess = estimate(inventory, run.target.dataset.means)
    to_hash = sum(count.bytes for count in inventory.unverified.values())
    return Expected(to_hash, guess.sizes, inventory.kind_of)


async def usable_space(run: RunContext) -> FreeSpace:
    """Return what is free on the disk beyond ``--keep-free``."""
    free = await run_in_thread(lambda: free_space(run.target.tree.root))
    return free._replace(bytes=max(0, free.bytes - run.disk.keep_free))


def beyond_keep_free(run: RunContext) -> str:
    """Return what to add to a text about free space, where some of it is not to be used."""
    keep = run.disk.keep_free
    return f"; {humanize.size(keep)} more are to stay free (--keep-free)" if keep else ""


def partial_usage(run: RunContext, plan: Plan) -> tuple[int, int]:
    """Return the number of partials in the partitions with missing files, and their total bytes."""
    names = {partition for partition, _kind in plan.inventory.missing}
    found = [count_partials(run.target.tree.partials(name)) for name in names]
    return sum(files for files, _size in found), sum(size for _files, size in found)


async def published_estimate(run: RunContext, plan: Plan) -> Estimate:
    """Estimate the missing bytes, by the published total of the version if it is known.

    The source is asked only if the total could change the estimate: it rations such questions.
    """
    means = run.target.dataset.means
    size_estimate = estimate(plan.inventory, means)
    if not size_estimate.needs_total or not plan.manifest.whole:
        return size_estimate
    try:
        total = await run.source.total(run.target.dataset.slug, run.target.version)
    except Unanswered as silent:
        return replace(size_estimate, without_total=str(silent))
    files_of_version = await run_in_thread(lambda: _count_by_kind(plan)) if total else None
    return estimate(plan.inventory, means, total, files_of_version)


def _count_by_kind(plan: Plan) -> Mapping[Kind, int]:
    """Return the number of files of each kind in the version, whose whole manifest is here."""
    return Counter(map(plan.inventory.kind_of, plan.manifest.paths()))


def needed_bytes(plan: Plan, size_estimate: Estimate, partial_bytes: int = 0) -> int:
    """Return the bytes that have to be free on the disk.

    Cloned and linked files take no space, and ``partial_bytes`` are on the disk already. Smaller
    copies take space; if they replace the originals, only those in flight do.
    """
    share = 1.0
    if plan.to_fetch and not plan.copies_take_space:
        share -= len(plan.reusable) / plan.to_fetch
    images = [each for each in size_estimate.sizes if each.kind is Kind.IMAGES]
    originals, count = sum(each.bytes for each in images), sum(each.files for each in images)
    kept = originals
    if plan.order.drop and count:
        kept = min(originals, originals / count * plan.order.in_flight)
    others = size_estimate.bytes - originals
    return max(0, round((others + kept) * share + _copy_bytes(plan)) - partial_bytes)


def _copy_bytes(plan: Plan) -> int:
    """Return the bytes to expect of the copies that are to be made."""
    if plan.order.pixels is None:
        return 0
    replaced, inventory = plan.replaced, plan.inventory
    mean = copy_bytes(plan.order.pixels)
    if replaced.kept.files >= _ENOUGH_COPIES:
        mean = replaced.copies // replaced.kept.files
    return mean * (len(plan.to_copy) + _images(inventory.missing) + _images(inventory.unverified))


def _images(counts: Counts) -> int:
    count = by_kind(counts).get(Kind.IMAGES)
    return 0 if count is None else count.files


def shortage_of(
    plan: Plan, size_estimate: Estimate, free: FreeSpace, partial_bytes: int = 0
) -> Shortage | None:
    """Return what the disk lacks for the missing files; None if they fit."""
    return shortage(free, needed_bytes(plan, size_estimate, partial_bytes), needed_files(plan))


def describe_space(
    plan: Plan, size_estimate: Estimate, free: FreeSpace, partial_bytes: int = 0
) -> str:
    """Return needed and free space in words, and what the estimate is based on."""
    text = f"about {humanize.size(needed_bytes(plan, size_estimate, partial_bytes))} are needed"
    if size_estimate.basis:
        text += f" (by {' and '.join(size_estimate.basis)})"
    text += f", {humanize.size(free.bytes)} are free"
    if free.files is not None:
        text += (
            f"; {needed_files(plan):,} files and folders are needed, "
            f"the file system has room for {free.files:,}"
        )
    if size_estimate.unknown:
        text += f"; the size of {humanize.files(size_estimate.unknown)} is unknown"
    if size_estimate.without_total:
        text += f"; the published total is not known: {size_estimate.without_total}"
    return text


def needed_files(plan: Plan) -> int:
    """Return the number of inodes that the missing files and their folders need, and the smaller
    copies."""
    needed = plan.to_fetch + plan.inventory.folders
    if plan.order.pixels is None:
        return needed
    images = _images(plan.inventory.missing)
    originals_gone = max(0, images - plan.order.in_flight) if plan.order.drop else 0
    return needed + images + len(plan.to_copy) + plan.inventory.folders - originals_gone
