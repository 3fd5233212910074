"""The way of a pull: what is meant, then every partition of it, then what is beside it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from cxrsync.engine.course import Course, set_course
from cxrsync.engine.leg import travel_legs
from cxrsync.engine.records import write_progress
from cxrsync.engine.run import Run
from cxrsync.engine.tally import Tally
from cxrsync.errors import UsageError
from cxrsync.model import Summary


async def travel(run: Run, tally: Tally, distrust: tuple[str, ...]) -> None:
    """Everything between the version's choice and the summary. Raises what ends the run."""

    def snapshot() -> Summary:
        return tally.summary(requests=run.source.requests, exit_code=-1)

    course = await set_course(run, tally)
    try:
        async with asyncio.TaskGroup() as beside:
            news = beside.create_task(write_progress(run.tree, run.stamp, snapshot))
            await _bring_files(run, tally, course, distrust)
            news.cancel()
    finally:
        course.manifest.close()


async def _bring_files(run: Run, tally: Tally, course: Course, distrust: tuple[str, ...]) -> None:
    meant = course.meant
    if course.brought:  # counted already

        def rest(path: str) -> bool:
            return path not in course.brought and course.meant.is_wanted(path)

        meant = replace(meant, is_wanted=rest)
    await travel_legs(
        run, tally, course.manifest, meant, remember=run.job.selections, distrust=distrust
    )
    if not tally.selected:
        raise UsageError(
            f"nothing is selected by: {run.job.selection}",
            next_step=f"Take a filter away, or look at the names in {course.manifest.path}.",
        )
