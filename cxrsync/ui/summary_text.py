"""The last words of a run, for a person."""

from __future__ import annotations

from cxrsync import humanize
from cxrsync.errors import ExitCode
from cxrsync.events import RunSummary
from cxrsync.sanitize import printable

_MAX_NAMED = 10


def as_text(summary: RunSummary) -> str:
    """What was done, in a few lines; whatever stands in them, they are no more."""
    if not summary.selected.files and summary.error:
        return ""  # it ended before there was anything to tell; the error says why
    rate = summary.fetched.bytes / summary.seconds if summary.seconds else 0.0
    lines = [
        f"{summary.dataset} {summary.version} ({summary.selection}): "
        f"{humanize.files(summary.selected.files)} selected, "
        f"{summary.present.files:,} were here, {summary.fetched.files:,} fetched"
        + (f" ({summary.copied.files:,} of them from this disk)" if summary.copied.files else "")
        + (f", {summary.adopted.files:,} adopted" if summary.adopted.files else "")
        + (f", {summary.failed.files:,} failed" if summary.failed.files else "")
        + (f", {summary.mismatched.files:,} mismatched" if summary.mismatched.files else "")
        + (f", {summary.acknowledged.files:,} acknowledged" if summary.acknowledged.files else ""),
        f"{humanize.size(summary.fetched.bytes)} in {humanize.duration(summary.seconds)}"
        f" ({humanize.size(rate)}/s), {summary.requests:,} requests"
        + (
            f"; {humanize.size(summary.resumed.bytes)} of {humanize.files(summary.resumed.files)} "
            "were not fetched again"
            if summary.resumed.files
            else ""
        ),
    ]
    lines.extend(
        f"  {problem.result.value}: {problem.path}: {problem.reason}"
        for problem in summary.problems[:_MAX_NAMED]
    )
    amiss = summary.failed.files + summary.mismatched.files + summary.acknowledged.files
    more = amiss - min(len(summary.problems), _MAX_NAMED)
    if more > 0 and summary.problems:
        lines.append(f"  and {more:,} more: see {summary.root}/.cxrsync/runs/")
    for refused in summary.refused[:_MAX_NAMED]:
        where = f"manifest line {refused.line}" if refused.line else "a manifest line"
        lines.append(f"  refused: {where}: {refused.reason}")
    if len(summary.refused) > _MAX_NAMED:
        lines.append(f"  and {len(summary.refused) - _MAX_NAMED:,} more manifest lines")
    if summary.limited and not summary.error:
        well = ", all well" if summary.exit_code == ExitCode.LIMIT else ""
        lines.append(f"stopped at a limit{well}; run the same command again to go on")
    if summary.exit_code == ExitCode.COMPLETE:
        but = " but for what is acknowledged" if summary.acknowledged.files else ""
        lines.append(f"complete and verified{but}: {summary.root}")
    return "\n".join(map(printable, lines))
