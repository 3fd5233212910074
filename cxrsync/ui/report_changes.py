"""What the last run changed, in the sentences of the HTML report. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cxrsync import humanize
from cxrsync.report_data import ReportData, RunData, Trouble
from cxrsync.ui.report_headline import DAY, age_words
from cxrsync.ui.report_troubles import TROUBLE_WORDS
from cxrsync.ui.run_words import class_of, result_of, when


def changes(data: ReportData) -> Iterator[str]:
    """What the last run changed, and what has happened since, a sentence each."""
    if not data.runs:
        yield "No run is on record yet."
        return
    last = data.runs[-1]
    rate = last.fetched_bytes / last.seconds if last.seconds >= 1 else last.fetched_bytes
    yield (
        f"The last run began on {when(last.began)} and took {humanize.duration(last.seconds)}: "
        f"{result_of(last)}."
    )
    if last.fetched or last.adopted:
        taken = f" and adopted {humanize.files(last.adopted)}" if last.adopted else ""
        yield (
            f"It fetched {humanize.files(last.fetched)} ({humanize.size(last.fetched_bytes)} at "
            f"{humanize.size(rate)}/s){taken}."
        )
    elif class_of(last) == "complete":
        asked = "1 request" if last.requests == 1 else f"{last.requests:,} requests"
        yield f"It had nothing to fetch ({asked})."
    yield from _scrubbed(last)
    before = next((run for run in reversed(data.runs[:-1]) if run.selected), None)
    if before is not None and last.selected:
        yield from _compared(before, last)
    yield from _since(data, last)


def _scrubbed(run: RunData) -> Iterator[str]:
    if run.scrubbed:
        yield f"It hashed {again(run.scrubbed, run.scrubbed_bytes)}."
    if run.rotten:
        yield rotten_words(run.rotten)


def again(files: int, size: int) -> str:
    """Files that were hashed again and found right, in words."""
    return f"{humanize.files(files)} ({humanize.size(size)}) again and found them right"


def rotten_words(files: int) -> str:
    """Files that a scrub found to be wrong, as a sentence."""
    return f"{humanize.files(files)} had lost the right bytes: such files are fetched again."


def scrubs(data: ReportData) -> Iterator[str]:
    """What the scrubs of the last days did, a sentence each; nothing without scrubs."""
    since = data.made_at - data.proofs.recent_days * DAY
    runs = [run for run in data.runs if run.ended > since and (run.scrubbed or run.rotten)]
    if not runs:
        return
    files, size = sum(run.scrubbed for run in runs), sum(run.scrubbed_bytes for run in runs)
    nights = "1 run" if len(runs) == 1 else f"{len(runs):,} runs"
    yield f"In these days {nights} of a mirror hashed {again(files, size)}."
    if rotten := sum(run.rotten for run in runs):
        yield rotten_words(rotten)


def _compared(before: RunData, last: RunData) -> Iterator[str]:
    if before.selection != last.selection:
        yield f"The run before selected something else: {before.selection}."
        return
    if last.selected != before.selected:
        yield f"Selected: {last.selected:,} files, before {before.selected:,}."
    if last.verified != before.verified:
        yield f"Verified at its end: {last.verified:,} files, before {before.verified:,}."
    now, then = _counted(last), _counted(before)
    for (trouble, partition), files in sorted((now - then).items(), key=lambda item: -item[1]):
        yield f"New: {humanize.files(files)} of {partition}: {TROUBLE_WORDS[trouble]}."
    for (trouble, partition), files in sorted((then - now).items(), key=lambda item: -item[1]):
        yield f"Solved: {humanize.files(files)} of {partition}: {TROUBLE_WORDS[trouble]}."


def _counted(run: RunData) -> Counter[tuple[Trouble, str]]:
    counts: Counter[tuple[Trouble, str]] = Counter()
    for group in run.problems:
        counts[group.trouble, group.partition] += group.files
    return counts


def _since(data: ReportData, last: RunData) -> Iterator[str]:
    lost = Counter[Trouble]()
    for group in data.troubles:
        lost[group.trouble] += group.files
    for trouble in (Trouble.GONE, Trouble.CHANGED):
        if files := lost[trouble]:
            yield f"Since then: {humanize.files(files)}: {TROUBLE_WORDS[trouble]}."
    if data.made_at - last.ended > 2 * DAY and not data.working:
        yield f"No run has ended since: {age_words(data.made_at - last.ended)}."
