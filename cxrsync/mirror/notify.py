"""What surrounds the jobs of a mirror: hooks, pings and the metrics file, in this order.

1. The hook ``before``. If it ends with exit code 75, nothing else happens, not even a ping. So the
   service that expects a ping each night notices a mirror that is skipped night after night.
2. The ping that the mirror begins; then the jobs.
3. The metrics file, the ping with the result, and last the hook ``after``: it may take long.

Each failure of these is a warning, which goes to the log. None of them changes the exit code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Any

from cxrsync.cancellation import CancelToken
from cxrsync.clock import Clock
from cxrsync.config.job_file import MirrorJob
from cxrsync.config.ping_url import PingURL, UnusablePing
from cxrsync.errors import UsageError
from cxrsync.mirror.hooks import HOOK_SECONDS, run_after, run_before
from cxrsync.mirror.metrics_file import write_metrics
from cxrsync.mirror.report import MirrorReport, report_of
from cxrsync.mirror.result import MirrorResult
from cxrsync.operations.exit_status import is_callers_cancellation
from cxrsync.sanitize import reason_of
from cxrsync.threads import run_in_thread

# A service manager that has sent SIGTERM kills the mirror after a while: systemd after 90 s, unless
# its unit says otherwise.
_STOPPED_HOOK_SECONDS = 30.0

Write = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Notifications:
    """What a job file asks for besides its jobs; None and () where it does not.

    ``ping_problem``: why no ping can be sent, though one is asked for.
    """

    ping: PingURL | None = None
    ping_problem: UsageError | None = None
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    hook_seconds: float = HOOK_SECONDS
    metrics_file: Path | None = None


def notifications_of(settings: Mapping[str, Any]) -> Notifications:
    """Return what the settings of a job file ask for."""
    ping = settings.get("ping")
    problem = ping.problem if isinstance(ping, UnusablePing) else None
    return Notifications(
        ping=None if problem else ping,
        ping_problem=problem,
        before=settings.get("before", ()),
        after=settings.get("after", ()),
        hook_seconds=settings.get("hook_timeout", HOOK_SECONDS),
        metrics_file=settings.get("metrics_file"),
    )


class Notifier:
    """Runs the hooks, sends the pings and writes the metrics of one run of a mirror.

    ``jobs``: all jobs of the file, also those that do not run this time. ``write`` gets each
    warning and each line of a hook's output.
    """

    def __init__(
        self,
        wanted: Notifications,
        jobs: Sequence[MirrorJob],
        write: Write,
        cancel: CancelToken,
        now: Clock = time,
    ) -> None:
        self._wanted = wanted
        self._jobs = {each.name: each for each in jobs}
        self._write = write
        self._cancel = cancel
        self._now = now
        self._began = monotonic()

    async def begin(self) -> bool:
        """Run the hook ``before`` and say that the mirror begins.

        Return whether the jobs are to run. If the mirror is to end meanwhile, the hook is ended and
        the answer is yes: each job then ends with the reason.
        """
        try:
            with self._cancel.child().watching(None):
                return await self._begin()
        except asyncio.CancelledError as problem:
            if is_callers_cancellation(problem, self._cancel):
                raise
            return True

    async def _begin(self) -> bool:
        wanted = self._wanted
        if wanted.before:
            hook = await run_before(
                wanted.before, self._write, seconds=wanted.hook_seconds, secrets=self._secrets
            )
            self._warn(hook.warning)
            if hook.skips:
                self._write("skipped: the hook before asks to try again later (exit code 75)")
                return False
        if (problem := wanted.ping_problem) is not None:
            self._warn(f"no ping is sent: {reason_of(problem)}. {problem.next_step}")
        if wanted.ping is not None:
            from cxrsync.mirror.ping import ping_start  # here: few mirrors have one

            self._warn(await ping_start(wanted.ping))
        return True

    async def end(self, result: MirrorResult) -> None:
        """Write the metrics, ping, and run the hook ``after``."""
        wanted = self._wanted
        if wanted == Notifications():
            return
        seconds = monotonic() - self._began
        report = await run_in_thread(lambda: report_of(result, self._jobs, seconds, self._now))
        if (path := wanted.metrics_file) is not None:
            self._warn(await run_in_thread(lambda: write_metrics(path, report.jobs, self._jobs)))
        if wanted.ping is not None:
            from cxrsync.mirror.ping import ping_end

            self._warn(await ping_end(wanted.ping, report))
        if wanted.after:
            await self._run_after(report)

    async def _run_after(self, report: MirrorReport) -> None:
        seconds = self._wanted.hook_seconds
        if self._cancel.code is not None:
            seconds = min(seconds, _STOPPED_HOOK_SECONDS)
        hook = await run_after(
            self._wanted.after, report, self._write, seconds=seconds, secrets=self._secrets
        )
        self._warn(hook.warning)

    @property
    def _secrets(self) -> tuple[str, ...]:
        """What no variable of a hook may contain."""
        return () if self._wanted.ping is None else (self._wanted.ping.secret,)

    def _warn(self, text: str | None) -> None:
        if text:
            self._write(f"warning: {text}")
