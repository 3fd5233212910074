"""The summary of a run as text for people."""

from __future__ import annotations

import shlex

from cxrsync import humanize
from cxrsync.errors import ExitCode
from cxrsync.events import RunSummary
from cxrsync.sanitize import printable

_MAX_NAMED = 10


def as_text(summary: RunSummary) -> str:
    """The summary in a few lines. Newlines in names are escaped, so that there are no more."""
    if not summary.selected.files and summary.error:
        return ""  # the run ended before its plan; the error says why
    if not (summary.dataset or summary.selected.files) and summary.limited:
        return "stopped at a limit before anything was requested"
    rate = summary.fetched.bytes / summary.seconds if summary.seconds else 0.0
    lines = [
        f"{summary.dataset} {summary.version} ({summary.selection}): "
        f"{humanize.files(summary.selected.files)} selected, "
        f"{humanize.were(summary.present.files)} verified before, {summary.fetched.files:,} fetched"
        + (f" ({summary.copied.files:,} of them from this disk)" if summary.copied.files else "")
        + (f", {summary.adopted.files:,} adopted" if summary.adopted.files else "")
        + (f", {_derived(summary)}" if summary.derived.files else "")
        + (f", {summary.failed.files:,} failed" if summary.failed.files else "")
        + (f", {summary.mismatched.files:,} mismatched" if summary.mismatched.files else "")
        + (f", {summary.acknowledged.files:,} acknowledged" if summary.acknowledged.files else "")
        + (f", {summary.deleted.files:,} moved to the trash" if summary.deleted.files else ""),
        f"{humanize.size(summary.fetched.bytes)} in {humanize.duration(summary.seconds)}"
        f" ({humanize.size(rate)}/s), {humanize.number(summary.requests, 'request')}"
        + (
            f"; {humanize.size(summary.resumed.bytes)} of {humanize.files(summary.resumed.files)} "
            "were already here"
            if summary.resumed.files
            else ""
        ),
    ]
    lines.extend(
        f"  {humanize.files(totals.files)} ({humanize.size(totals.bytes)}) from {name}"
        for name, totals in summary.sources
    )
    lines.extend(
        f"  {problem.result.value}: {problem.path}: {problem.reason}"
        for problem in summary.problems[:_MAX_NAMED]
    )
    problems = summary.failed.files + summary.mismatched.files + summary.acknowledged.files
    more = problems - min(len(summary.problems), _MAX_NAMED)
    if more > 0 and summary.problems:
        lines.append(f"  and {more:,} more: see {summary.root}/.cxrsync/runs/")
    for refused in summary.refused[:_MAX_NAMED]:
        where = f"manifest line {refused.line}" if refused.line else "a manifest line"
        lines.append(f"  rejected: {where}: {refused.reason}")
    if len(summary.refused) > _MAX_NAMED:
        lines.append(f"  and {len(summary.refused) - _MAX_NAMED:,} more manifest lines")
    if summary.limited and not summary.error:
        all_well = ", all well" if summary.exit_code == ExitCode.LIMIT else ""
        lines.append(f"stopped at a limit{all_well}; run the same command again to resume")
    if summary.exit_code == ExitCode.COMPLETE:
        exception = " except for the acknowledged files" if summary.acknowledged.files else ""
        lines.append(f"complete and verified{exception}: {' and '.join(_roots(summary))}")
    return "\n".join(map(printable, lines))


def _derived(summary: RunSummary) -> str:
    copies = humanize.size(summary.derived.bytes)
    return f"{summary.derived.files:,} derived (smaller copies: {copies})"


def next_command(summary: RunSummary) -> str:
    """Return what to do after a run, for a person; empty if its error says so, or nothing is to do.

    A tree is named by its root, which every command takes for ``--dest``.
    """
    if summary.error or not summary.selected.files or summary.limited:
        return ""
    if summary.exit_code == ExitCode.COMPLETE:
        return f"To hash the files again, at any time: {_for_each_tree('verify', summary)}"
    if summary.failed.files:
        return (
            "To try the failed files again, run the same command again; what is here stays. To see "
            f"what is here: {_for_each_tree('status', summary)}"
        )
    return f"To see what is here: {_for_each_tree('status', summary)}"


def _roots(summary: RunSummary) -> list[str]:
    return [summary.root, *([summary.reports_root] if summary.reports_root else [])]


def _for_each_tree(command: str, summary: RunSummary) -> str:
    """Return the command lines for the tree of a run, and for that of its reports."""
    roots = (printable(shlex.quote(root)) for root in _roots(summary))
    return "; ".join(f"cxrsync {command} --dest {root}" for root in roots)
