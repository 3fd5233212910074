"""What follows the selected files from another dataset: the reports of their studies."""

from __future__ import annotations

from dataclasses import replace

from cxrsync.config.selection import Selection
from cxrsync.dataset.context import RunContext
from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.dataset.sibling import sibling_run, sibling_target
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import destination
from cxrsync.errors import (
    AccessDenied,
    Interrupted,
    InvalidResponse,
    NotFound,
    Throttled,
    UsageError,
)
from cxrsync.events import Notice
from cxrsync.manifest.path_ids import parse_image_path
from cxrsync.model import Kind
from cxrsync.storage.executors import run_in_thread


async def check_followers(run: RunContext) -> tuple[Target, ...]:
    """The targets whose files follow the job's own, asked for access before an image is fetched.

    Raises UsageError where the source does not have them, AccessDenied where we may not read them.
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
            next_step="Leave --with-reports out.",
        ) from None
    except AccessDenied as refused:
        sibling.tree.remove_created()
        raise AccessDenied(
            f"the reports are in {slug}, under an agreement of its own: {refused}",
            next_step=f"Sign it at the foot of {sibling.dataset.agreement}, or leave "
            "--with-reports out.",
        ) from None
    except (Interrupted, InvalidResponse, Throttled):
        pass  # an accident: fetching the manifest waits and tries again
    return (sibling,)


async def follow(
    run: RunContext, selected: ResolvedSelection, sibling: Target
) -> RunContext | None:
    """The run that fetches the reports of the selected studies; None where no study is selected."""
    selection = await run_in_thread(lambda: _reports_of(run.job.selection, selected))
    if selection is None:
        return None
    slug, root = sibling.dataset.slug, sibling.tree.root
    run.emit(Notice(f"the reports are in {slug}: they are fetched into {root}"))
    return sibling_run(run, sibling, selection)


def _reports_of(selection: Selection, selected: ResolvedSelection) -> Selection | None:
    """The reports of the studies with a selected image, as a selection of the other dataset; None
    where there is no image."""
    by_image = selection.images or selection.sample or selection.limit is not None
    if by_image or selection.include or selection.exclude:
        images = (parse_image_path(entry.path) for entry in selected.entries())
        studies = tuple(sorted({each.study for each in images if each and each.image}))
        if not studies:
            return None
        return Selection(only=(Kind.REPORTS,), studies=studies)
    return replace(selection, only=(Kind.REPORTS,), tables=False)
