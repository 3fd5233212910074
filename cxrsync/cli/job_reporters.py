"""The reporters of a mirror's jobs: on a terminal one bar, of the job that is at work."""

from __future__ import annotations

import sys
import threading
from contextlib import AbstractContextManager
from typing import Self

from cxrsync.config.job_file import MirrorJob
from cxrsync.events import Event, EventSink
from cxrsync.ui.log_file import LogFile
from cxrsync.ui.log_lines import LineReporter, ProgressLines
from cxrsync.ui.reporters import Reporters, SummaryReporter
from cxrsync.ui.ticker import Ticker


class JobReporters:
    """The reporters of each job: the terminal, if there is one, and the log.

    What belongs to no job, such as a hook, has reporters of its own. All draw to one terminal, so
    only those that got the last event are shown.
    """

    def __init__(self, level: int, log: LogFile | None) -> None:
        self._level = level
        self._log = log
        self._lock = threading.RLock()
        self._ticker = Ticker(self._tick)
        self._of_jobs: dict[str, Reporters] = {}
        self._between = self._shown = Reporters(self._level_here, progress="auto")

    def __enter__(self) -> Self:
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the reporters of all jobs."""
        self._ticker.stop()
        for each in (self._between, *self._of_jobs.values()):
            each.close()

    def sink(self, job: MirrorJob) -> EventSink:
        """Return where the events of a job go."""
        reporters = self._of(job)

        def tell(event: Event) -> None:
            self._tell(reporters, event)

        return tell

    def tell(self, event: Event) -> None:
        """Take an event that belongs to no job."""
        self._tell(self._between, event)

    def beside(self) -> AbstractContextManager[None]:
        """Let a block write to the terminal: meanwhile nothing else is written there."""
        return self._shown.beside()

    @property
    def _level_here(self) -> int:
        return self._level if sys.stderr.isatty() else -1

    def _of(self, job: MirrorJob) -> Reporters:
        if job.name not in self._of_jobs:
            reporters = Reporters(self._level_here, progress="auto", label=job.name)
            if (log := self._log) is not None:

                def write(line: str) -> None:
                    log.write(f"{job.name}: {line}")

                reporters.add(LineReporter(write, verbose=self._level > 0))
                reporters.add(ProgressLines(write, stamped=False))
                reporters.add(SummaryReporter(write))
            self._of_jobs[job.name] = reporters
        return self._of_jobs[job.name]

    def _tell(self, reporters: Reporters, event: Event) -> None:
        with self._lock:
            if self._shown is not reporters:
                self._shown.hide()
                self._shown = reporters
            reporters.tell(event)

    def _tick(self) -> None:
        with self._lock:
            self._shown.tick()
