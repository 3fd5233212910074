"""Report a run: balance its outcomes, decide its exit code, write and emit its summary."""

from __future__ import annotations

import os

from cxrsync import humanize
from cxrsync.cancellation import CancelToken
from cxrsync.dataset.target import Target
from cxrsync.errors import CxrsyncError, ExitCode, Unbalanced, code_of, unwrap
from cxrsync.events import EventSink, Finished, Notice, RunSummary
from cxrsync.model import Result
from cxrsync.operations.exit_status import Ending, exit_status
from cxrsync.operations.run_log import keep_summary
from cxrsync.sanitize import reason_of
from cxrsync.stats import RunStats


class Report:
    """What a run has done, told at its end. ``error``: what ended it early, None for nothing."""

    def __init__(
        self, stats: RunStats, cancel: CancelToken, emit: EventSink, error: BaseException | None
    ) -> None:
        self._stats = stats
        self._cancel = cancel
        self._emit = emit
        self.error = error

    def finish(self, requests: int) -> RunSummary:
        """Decide the exit code and sum up. ``requests``: how many the source was sent.

        Afterwards ``error`` is what the caller raises; it bears the exit code, too.
        """
        stats = self._stats
        if stats.open_to_others:
            self._emit(Notice(_open_to_others(stats.open_to_others)))
        stats.limited = stats.limited or self._cancel.code is ExitCode.LIMIT
        is_balanced = self._balance()
        code = exit_status(
            Ending(
                asked=self._cancel.code,
                errors=() if self.error is None else (code_of(self.error),),
                failed=stats.files[Result.FAILED],
                contradicted=stats.files[Result.CONTRADICTED],
                refused_lines=stats.refused_lines,
                limited=stats.limited,
                balanced=is_balanced,
            )
        )
        if isinstance(self.error, CxrsyncError):
            self.error.exit_code = code  # whoever catches it learns of all that happened
        words = reason_of(self.error) if self.error else ""
        return stats.summary(requests=requests, exit_code=code, error=words)

    def publish(self, summary: RunSummary, target: Target | None, stamp: str) -> None:
        """Keep the summary in the tree, where one was made, and emit it."""
        if target is not None and os.path.isdir(target.tree.own):
            keep_summary(target.tree, stamp, summary)
        self._emit(Finished(summary))

    def _balance(self) -> bool:
        """Whether every selected file has its outcome. If not, that is an error of its own."""
        stopped = self.error is not None or self._cancel.code is not None or self._stats.limited
        imbalance = self._stats.books.imbalance(complete=not stopped)
        if imbalance is None:
            return True
        unbalanced = Unbalanced(str(imbalance))
        self.error = unbalanced if self.error is None else unwrap(self.error, unbalanced)
        if self.error is not unbalanced:
            self._emit(Notice(f"{unbalanced}. {unbalanced.next_step}"))
        return False


def _open_to_others(count: int) -> str:
    return (
        f"{humanize.files(count)} that others can read were adopted as they are: they belong to "
        "another user, or have another name elsewhere, so that their mode is not ours to change. "
        "The data use agreement wants them closed: chmod o-rwx, by whoever may"
    )
