"""Report a run: balance its outcomes, decide its exit code, write and emit its summary."""

from __future__ import annotations

import os

from cxrsync import humanize
from cxrsync.cancellation import CancelToken
from cxrsync.dataset.target import Target
from cxrsync.errors import CxrsyncError, ExitCode, SourceError, Unbalanced, code_of, unwrap
from cxrsync.events import EventSink, Finished, Notice, RunSummary
from cxrsync.model import Result
from cxrsync.operations.exit_status import Ending, exit_status
from cxrsync.operations.run_log import write_summary
from cxrsync.sanitize import reason_of
from cxrsync.stats import RunStats

_KEPT = "Verified files are kept and are not fetched again."


class Report:
    """The report at the end of a run. ``error``: the one that ended it early, None if none did."""

    def __init__(
        self, stats: RunStats, cancel: CancelToken, emit: EventSink, error: BaseException | None
    ) -> None:
        self._stats = stats
        self._cancel = cancel
        self._emit = emit
        self.error = error

    def finish(self, requests: int) -> RunSummary:
        """Decide the exit code and return the summary. ``requests``: the number of requests sent.

        Afterwards ``error`` is the error for the caller to raise; it has the exit code, too.
        """
        stats = self._stats
        if stats.open_to_others:
            self._emit(Notice(_open_to_others(stats.open_to_others)))
        codes = {self._cancel.code, None if self.error is None else code_of(self.error)}
        stats.limited = stats.limited or ExitCode.LIMIT in codes
        is_balanced = self._balance()
        code = exit_status(
            Ending(
                requested=self._cancel.code,
                errors=() if self.error is None else (code_of(self.error),),
                failed=stats.files[Result.FAILED],
                mismatched=stats.files[Result.CONTRADICTED],
                refused_lines=stats.refused_lines,
                limited=stats.limited,
                balanced=is_balanced,
            )
        )
        if isinstance(self.error, CxrsyncError):
            self.error.exit_code = code  # the code of the whole run, not of this error alone
            if self.error.next_step == SourceError.next_step:
                self.error.next_step = f"{SourceError.next_step} {_KEPT}"
        reason = reason_of(self.error) if self.error else ""
        return stats.summary(requests=requests, exit_code=code, error=reason)

    def publish(self, summary: RunSummary, target: Target | None, keep: int) -> None:
        """Write the summary into the tree, if there is one, and emit it. ``keep``: how many logs of
        runs the tree keeps."""
        if target is not None and os.path.isdir(target.tree.own):
            write_summary(target.tree, summary.run, summary, keep)
        self._emit(Finished(summary))

    def _balance(self) -> bool:
        """Return whether every selected file has its outcome. If not, set ``error``."""
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
        f"{humanize.files(count)} that other users can read were adopted as they are. They belong "
        "to another user, or have hard links elsewhere, so cxrsync does not change their mode. The "
        "data use agreement requires that others cannot read them: their owner should run "
        "chmod o-rwx"
    )
