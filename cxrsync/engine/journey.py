"""The way of a pull: what is meant, then every partition of it, then what is beside it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from cxrsync.config.selection import Selection
from cxrsync.dataset.context import Run
from cxrsync.dataset.sibling import beside, other_run
from cxrsync.dataset.target import Home
from cxrsync.dataset.version import destination
from cxrsync.engine.course import Course, set_course
from cxrsync.engine.records import write_progress
from cxrsync.errors import (
    AccessDenied,
    BadAnswer,
    Interrupted,
    NotFound,
    Throttled,
    UsageError,
)
from cxrsync.events import Notice, Summary
from cxrsync.manifest.path_ids import place_of
from cxrsync.model import Kind
from cxrsync.stats import Tally
from cxrsync.storage.executors import in_thread
from cxrsync.sync.partition_sync import travel_legs


async def travel(run: Run, tally: Tally, distrust: tuple[str, ...]) -> None:
    """Everything between the version's choice and the summary. Raises what ends the run."""

    def snapshot() -> Summary:
        return tally.summary(requests=run.source.requests, exit_code=-1)

    reports = await _reports_beside(run) if run.job.with_reports else None
    course = await set_course(run, tally)
    try:
        async with asyncio.TaskGroup() as group:
            news = group.create_task(write_progress(run.tree, run.stamp, snapshot))
            await _bring_files(run, tally, course, distrust)
            if reports is not None:
                await bring_reports(run, tally, course, reports)
            news.cancel()
    finally:
        course.manifest.close()


async def _bring_files(run: Run, tally: Tally, course: Course, distrust: tuple[str, ...]) -> None:
    meant = course.meant
    if course.brought:  # counted already

        def rest(path: str) -> bool:
            return path not in course.brought and course.meant.is_wanted(path)

        meant = replace(meant, is_wanted=rest)
        distrust = tuple(set(distrust) - course.brought)  # they were hashed since
    await travel_legs(
        run, tally, course.manifest, meant, remember=run.job.selections, distrust=distrust
    )
    if not tally.selected:
        raise UsageError(
            f"nothing is selected by: {run.job.selection}",
            next_step=f"Take a filter away, or look at the names in {course.manifest.path}.",
        )


# ── the reports of the selected studies, which are another dataset's ───────────────────────────


async def _reports_beside(run: Run) -> Home:
    """Where the reports belong; refuses before a single image is fetched what will be refused."""
    slug = run.dataset.reports_in
    home = beside(run.tree, destination(run.job), slug, run.version)
    other = other_run(run, home, run.job.selection)
    try:
        await other.probe()
    except NotFound:
        home.tree.abandon()
        raise UsageError(
            f"{run.source.identity} has no {slug} {run.version}, which holds the reports",
            next_step="Leave --with-reports out.",
        ) from None
    except AccessDenied as refused:
        home.tree.abandon()
        raise AccessDenied(
            f"the reports are in {slug}, under an agreement of its own: {refused}",
            next_step=f"Sign it at the foot of {home.dataset.agreement}, or leave "
            "--with-reports out.",
        ) from None
    except (Interrupted, BadAnswer, Throttled):
        pass  # an accident: getting the manifest knows how to wait
    return home


async def bring_reports(run: Run, tally: Tally, course: Course, home: Home) -> None:
    selection = await in_thread(lambda: _reports_of(run.job.selection, course))
    if selection is None:
        return
    run.emit(Notice(f"the reports are in {home.dataset.slug}: they come into {home.tree.root}"))
    other = other_run(run, home, selection)
    there = await set_course(other, tally)
    try:
        await _bring_files(other, tally, there, ())
    finally:
        there.manifest.close()


def _reports_of(selection: Selection, course: Course) -> Selection | None:
    """The reports of the studies that have a selected image, as a selection of their dataset; None
    where there is no image."""
    by_image = selection.images or selection.sample or selection.limit is not None
    if by_image or selection.include or selection.exclude:
        places = filter(
            None, map(place_of, filter(course.meant.is_wanted, course.manifest.paths()))
        )
        studies = tuple(sorted({place.study for place in places if place.image}))
        if not studies:
            return None
        return Selection(only=(Kind.REPORTS,), studies=studies)
    return replace(selection, only=(Kind.REPORTS,), tables=False)
