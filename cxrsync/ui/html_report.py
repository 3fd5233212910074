"""Render an HTML report: one self-contained page from frozen values."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any

from cxrsync import humanize
from cxrsync.report_data import PartitionData, ReportData, RunData, Trouble, TroubleGroup
from cxrsync.sanitize import printable, without_ids
from cxrsync.ui.pictures.completeness import completeness_bar
from cxrsync.ui.pictures.proof_ages import age_histogram
from cxrsync.ui.pictures.run_strip import MAX_RUNS, run_strip
from cxrsync.ui.pictures.transfer_history import daily_transfer, rate_in_run, rates
from cxrsync.ui.report_changes import changes, scrubs
from cxrsync.ui.report_headline import age_words, headline
from cxrsync.ui.report_troubles import TROUBLE_WORDS, next_step, run_step
from cxrsync.ui.run_words import class_of, day, moment, result_of, when

_TEMPLATE, _STYLE = "report.html.jinja", "report.css"
_MAX_REASONS = 12
_AMOUNT = re.compile(r"([0-9]) ((?:s|min|h|d|B|[kMGT]B)\b|%)")


def render(data: ReportData) -> str:
    """The page as text: HTML without scripts that loads nothing.

    No id of a subject, study or image is in it: whatever text is put into the page passes
    :func:`cxrsync.sanitize.without_ids`.
    """
    # Imported here: no other command needs the time that it takes.
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    def safe(value: Any) -> Any:
        is_text = isinstance(value, str) and not isinstance(value, Markup)
        return with_whole_amounts(without_ids(printable(value))) if is_text else value

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=safe, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        size=humanize.size, count=lambda number: f"{number:,}", when=when,
        duration=humanize.duration, share=_share,
    )  # fmt: skip
    package = files("cxrsync.ui")
    template = environment.from_string((package / _TEMPLATE).read_text("utf-8"))
    style = Markup((package / _STYLE).read_text("utf-8"))  # noqa: S704 - a file of ours
    pictures = {name: Markup(svg) for name, svg in _pictures(data)}  # noqa: S704 - escaped there
    return template.render(
        data=data,
        style=style,
        total=data.total,
        headline=headline(data),
        oldest=age_words(data.proofs.oldest) if data.proofs.oldest is not None else "",
        partitions=data.partitions,
        pictures=pictures,
        rated=_last_rated(data),
        sections=list(trouble_sections(data.troubles)),
        run_step=run_step(data),
        changes=list(changes(data)),
        scrubs=list(scrubs(data)),
        shown=min(len(data.runs), MAX_RUNS),
        rows=list(run_rows(data.runs[-MAX_RUNS:], data.made_at)),
    )


def with_whole_amounts(text: str) -> str:
    """Return a text in which no line is broken between a number and its unit."""
    return _AMOUNT.sub("\\1\N{NO-BREAK SPACE}\\2", text)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run in the table, or several that had nothing to do, one after the other."""

    when: str
    class_: str
    result: str
    run: RunData
    count: int = 1


def run_rows(runs: Sequence[RunData], now: float) -> Iterator[RunRow]:
    """The rows of the table of runs, the newest first."""
    for idle, group in groupby(reversed(runs), _is_idle):
        found = list(group)
        if idle and len(found) > 2:
            span = f"{day(found[-1].began)} – {day(found[0].began)}"
            result = f"{len(found)} runs, complete, nothing to fetch"
            yield RunRow(span, "complete", result, found[0], len(found))
            continue
        for run in found:
            yield RunRow(moment(run.began, now), class_of(run), result_of(run), run)


def _is_idle(run: RunData) -> bool:
    return class_of(run) == "complete" and not (run.fetched or run.adopted)


def _pictures(data: ReportData) -> Iterator[tuple[str, str]]:
    for each in data.partitions:
        yield each.name, completeness_bar(each)
    yield "history", daily_transfer(data.runs, data.made_at)
    rated = _last_rated(data)
    yield "rate", rate_in_run(rated) if rated else ""
    yield "ages", age_histogram(data.proofs)
    yield "strip", run_strip(data.runs)


def _last_rated(data: ReportData) -> RunData | None:
    """The last run whose rate over time is known."""
    return next((run for run in reversed(data.runs) if run.fetched_bytes and rates(run)), None)


@dataclass(frozen=True, slots=True)
class TroubleSection:
    """All files with the same trouble. ``rows``: reason, files, and where they are;
    ``more``: how many reasons are not listed."""

    title: str
    files: int
    unit: str
    next_step: str
    rows: tuple[tuple[str, int, str], ...]
    more: int


def trouble_sections(groups: tuple[TroubleGroup, ...]) -> Iterator[TroubleSection]:
    """What is wrong, the trouble with the most files first; each reason once, with its shards."""
    by_trouble: dict[Trouble, dict[str, list[TroubleGroup]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for group in groups:
        by_trouble[group.trouble][without_ids(group.reason)].append(group)
    sections = []
    for trouble, reasons in by_trouble.items():
        rows = [
            (reason, sum(each.files for each in found), _where(found))
            for reason, found in reasons.items()
        ]
        rows.sort(key=lambda row: -row[1])
        section = TroubleSection(
            title=TROUBLE_WORDS[trouble],
            files=sum(row[1] for row in rows),
            unit="line" if trouble is Trouble.REFUSED else "file",
            next_step=next_step(trouble),
            rows=tuple(rows[:_MAX_REASONS]),
            more=len(rows[_MAX_REASONS:]),
        )
        sections.append(section)
    yield from sorted(sections, key=lambda each: -each.files)


def _where(groups: list[TroubleGroup]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for group in groups:
        counts[group.partition] += group.files
    return ", ".join(f"{name}: {files:,}" for name, files in sorted(counts.items()) if name)


def _share(partition: PartitionData) -> str:
    """How much of a partition is verified: never 100 % before all of it is."""
    if partition.verified == partition.selected:
        return "100 %"
    return f"{min(99.9, 100 * partition.verified / partition.selected):.1f} %"
