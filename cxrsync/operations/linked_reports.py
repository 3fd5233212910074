"""The followers of a run: reports of the selected studies, which are in another dataset."""

from __future__ import annotations

from dataclasses import replace

from cxrsync.config.selection import Selection
from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.dataset.run_context import RunContext
from cxrsync.dataset.sibling_dataset import sibling_run, sibling_target
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import destination
from cxrsync.errors import (
    AccessDenied,
    Interrupted,
    InvalidResponse,
    NotFound,
    NotServed,
    Throttled,
    UsageError,
)
from cxrsync.events import Notice
from cxrsync.manifest.path_ids import parse_image_path
from cxrsync.model import Kind
from cxrsync.threads import run_in_thread


async def check_followers(run: RunContext) -> tuple[Target, ...]:
    """Return the targets of the followers, after checking access to them.

    The check comes before any image is fetched.

    Raises: UsageError if the source does not have the dataset, AccessDenied if the user may not
    read it, NotServed if the source answers otherwise.
    """
    if not run.job.with_reports:
        return ()
    slug = run.target.dataset.reports_in
    sibling = sibling_target(run.target, destination(run.job), slug)
    try:
        await sibling_run(run, sibling, run.job.selection).probe()
    except NotFound:
        sibling.tree.remove_created()
        raise UsageError(
            f"{run.source.identity} has no {sibling.name}, which holds the reports",
            next_step="Run the command without --with-reports.",
        ) from None
    except AccessDenied as refused:
        sibling.tree.remove_created()
        raise AccessDenied(
            f"the reports are in {slug}, which has its own data use agreement: {refused}",
            next_step=f"{refused.next_step}\nOr run the command without --with-reports.",
        ) from None
    except NotServed as refused:
        sibling.tree.remove_created()
        raise type(refused)(
            f"the reports are in {sibling.name}, which cannot be fetched: {refused}",
            next_step=f"{refused.next_step}\nOr run the command without --with-reports.",
        ) from None
    except (Interrupted, InvalidResponse, Throttled):
        pass  # temporary: the fetch of the manifest waits and retries
    return (sibling,)


async def follow(
    run: RunContext, selected: ResolvedSelection, sibling: Target
) -> RunContext | None:
    """Return the run that fetches the reports of the selected studies; None if there are none."""
    selection = await run_in_thread(lambda: _report_selection(run.job.selection, selected))
    if selection is None:
        return None
    slug, root = sibling.dataset.slug, sibling.tree.root
    run.emit(Notice(f"the reports are in {slug}: they are fetched into {root}"))
    return sibling_run(run, sibling, selection)


def _report_selection(selection: Selection, selected: ResolvedSelection) -> Selection | None:
    """Return the selection of the reports of all studies with a selected image; None if there is no
    image."""
    by_image = selection.images or selection.sample or selection.limit is not None
    if by_image or selection.include or selection.exclude or selection.paths:
        images = (parse_image_path(entry.path) for entry in selected.entries())
        studies = tuple(sorted({each.study for each in images if each and each.image}))
        if not studies:
            return None
        return Selection(only=(Kind.REPORTS,), studies=studies)
    return replace(selection, only=(Kind.REPORTS,), tables=False)
