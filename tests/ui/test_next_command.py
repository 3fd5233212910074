"""The last line of a summary: what a person does next."""

from dataclasses import replace

import pytest

from cxrsync.errors import ExitCode
from cxrsync.events import RunSummary, Totals
from cxrsync.ui.summary_text import as_text, next_command

DONE = RunSummary("d", "1.0", "/data/my files/1.0", "s", Totals(5, 9), *[Totals()] * 8, 1, 1.0, 0)
TREE = "--dest '/data/my files/1.0'"

WITH_REPORTS = replace(DONE, reports_root="/data/reports/2.0")


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        (DONE, f"cxrsync verify {TREE}"),
        (replace(DONE, exit_code=ExitCode.FILES_FAILED, failed=Totals(2)), "same command again"),
        (replace(DONE, exit_code=ExitCode.FILES_FAILED, failed=Totals(2)), f"status {TREE}"),
        (replace(DONE, exit_code=ExitCode.CONTRADICTED, mismatched=Totals(1)), f"status {TREE}"),
        (WITH_REPORTS, f"cxrsync verify {TREE}; cxrsync verify --dest /data/reports/2.0"),
        (
            replace(WITH_REPORTS, exit_code=ExitCode.CONTRADICTED),
            "; cxrsync status --dest",
        ),
        (replace(DONE, limited=True, exit_code=ExitCode.LIMIT), ""),  # the summary says it
        (replace(DONE, error="e", exit_code=ExitCode.DISK), ""),  # the error says it
        (replace(DONE, selected=Totals()), ""),
    ],
)
def test_what_to_do_next(summary: RunSummary, said: str) -> None:
    assert said in next_command(summary)
    assert bool(next_command(summary)) == bool(said)


@pytest.mark.parametrize(
    ("summary", "trees"),
    [(DONE, DONE.root), (WITH_REPORTS, f"{DONE.root} and /data/reports/2.0")],
)
def test_what_is_complete_is_named(summary: RunSummary, trees: str) -> None:
    assert as_text(summary).endswith(f"complete and verified: {trees}")
    assert ("reports_root" in summary.as_json()) == bool(summary.reports_root)
