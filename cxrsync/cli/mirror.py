"""``cxrsync mirror``: run the jobs of a file, unattended."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from time import time

import click

from cxrsync.cli.environment import Command, option
from cxrsync.cli.job_reporters import JobReporters
from cxrsync.cli.main import Verbosity, say_error
from cxrsync.cli.mirror_print import setup_text
from cxrsync.cli.mirror_reports import check_name, write_reports
from cxrsync.cli.mirror_text import QUIET, check_lines, report_lines
from cxrsync.cli.signals import obeying_signals
from cxrsync.config.job_file import MirrorFile, MirrorJob, read_job_file
from cxrsync.config.job_keys import as_keys
from cxrsync.config.job_schema import job_schema
from cxrsync.errors import CxrsyncError, ExitCode, OutputLost, UsageError, worst_of
from cxrsync.mirror.check import JobCheck
from cxrsync.mirror.check import check as check_job
from cxrsync.mirror.check_outputs import check_outputs
from cxrsync.mirror.mirror import init
from cxrsync.mirror.mirror import mirror as run_jobs
from cxrsync.mirror.notify import Notifier, Write, notifications_of
from cxrsync.mirror.result import MirrorResult
from cxrsync.progress_events import Activity, Phase
from cxrsync.sanitize import reason_of
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.threads import run_in_thread
from cxrsync.ui.console import to_stderr
from cxrsync.ui.log_file import LogFile
from cxrsync.ui.reporters import Reporters

# What people write instead of an option.
_WORDS = {
    **{word: f"--{word}" for word in ("check", "init", "schema")},
    "print": "--print systemd", "systemd": "--print systemd", "cron": "--print cron",
}  # fmt: skip


@click.command(cls=Command)
@click.argument("files", nargs=-1, metavar="[FILE]", type=click.Path(path_type=Path))
@option("job")
@option("check")
@option("init")
@option("schema")
@option("print")
@click.pass_obj
def mirror(
    verbosity: Verbosity,
    /,
    files: tuple[Path, ...],
    job: str | None,
    form: str | None,
    **flags: bool,
) -> int:
    """Run the jobs of FILE one after the other, unattended, as from cron.

    FILE is YAML: configs/nightly.yaml is an example, and explains the form. Manifests and tables
    of all jobs come first, and then the job whose last complete run is the longest ago. A job that
    fails does not stop the next; the exit code is the worst of all jobs.

    Nobody is asked for a password. Without a terminal nothing is printed at exit 0 or 9; otherwise
    one paragraph on stderr says what failed, and what to do. Progress goes to the file that the key
    `log` names. A job whose tree another run works on has nothing to do (9), unless that run has
    published no file for 24 hours (8).

    Each tree must have been marked once by --init, so that an unmounted disk does not look like a
    mirror in which everything is missing (else exit 11, and nothing is created).
    """
    check, init = flags["check"], flags["init"]
    if flags["schema"]:
        verbosity.output.write(json.dumps(job_schema(), indent=1) + "\n")
        return ExitCode.COMPLETE
    file = _one_of(files)
    if check and init:
        raise UsageError("--check and --init exclude each other", next_step="Use one of the two.")
    whole = read_job_file(file)
    check_name(whole)
    if form is not None:
        verbosity.output.write(setup_text(form, whole))
        return ExitCode.COMPLETE
    jobs = whole if job is None else whole.only(job)
    if init:
        return _init(jobs, verbosity)
    if check:
        return _check(jobs, verbosity)
    return _run(jobs, whole.jobs, verbosity)


def _one_of(files: tuple[Path, ...]) -> Path:
    """Return the file that is named. Raises UsageError if it is none, or one of several words."""
    if not files:
        raise UsageError("no job file is named", next_step="Say cxrsync mirror FILE.")
    word, *more = map(str, files)
    if word in _WORDS and not os.path.lexists(word):
        # Any other word may be a secret, and is not repeated.
        file = shlex.quote(more[-1]) if more and os.path.isfile(more[-1]) else "FILE"
        raise UsageError(
            f"mirror has no command {word}", next_step=f"Say cxrsync mirror {_WORDS[word]} {file}."
        )
    if more:
        raise UsageError(
            "mirror takes FILE, and nothing else",
            next_step="Put all jobs into one file, or run cxrsync mirror once for each file.",
        )
    return files[0]


def _log_of(file: MirrorFile) -> LogFile | None:
    return LogFile(file.settings["log"]) if "log" in file.settings else None


# ── run ────────────────────────────────────────────────────────────────────────────────────────


def _run(file: MirrorFile, jobs: Sequence[MirrorJob], verbosity: Verbosity) -> int:
    """Run the jobs of ``file``. ``jobs``: all that it has, also those that do not run now."""
    log = _log_of(file)

    def write(line: str) -> None:
        if log is not None:
            log.write(line)
        if sys.stderr.isatty() and verbosity.level >= 0:
            with reporters.beside():
                to_stderr(f"cxrsync: {line}")

    with JobReporters(verbosity.level, log) as reporters:
        result = asyncio.run(_run_jobs(file, jobs, reporters, write))
    if result is None:
        return ExitCode.LIMIT
    lines = report_lines(f"cxrsync: mirror {file.path}", result)
    if log is not None:
        for line in lines:
            log.write(line)
    is_loud = result.code not in QUIET
    for line in lines if is_loud or (sys.stderr.isatty() and verbosity.level >= 0) else ():
        to_stderr(line)
    if log is None or log.lost is None:
        return result.code
    say_error(log.lost)
    return worst_of((result.code, log.lost.exit_code))


async def _run_jobs(
    file: MirrorFile, jobs: Sequence[MirrorJob], reporters: JobReporters, write: Write
) -> MirrorResult | None:
    """Run the jobs of ``file``, with what surrounds them. Return None if a hook skips them."""
    with obeying_signals(TerminalPrompt(), reporters) as cancel:
        notifier = Notifier(notifications_of(file.settings), jobs, write, cancel)
        reporters.tell(Phase(Activity.NOTIFYING, "before the jobs"))
        if not await notifier.begin():
            return None
        began = time()
        result = await run_jobs(file.jobs, reporters.sink, cancel)
        # Before the hook, which may send them.
        reporters.tell(Phase(Activity.REPORTING))
        warnings = await run_in_thread(lambda: list(write_reports(file, jobs, result, began)))
        for warning in warnings:
            write(f"warning: {warning}")
        reporters.tell(Phase(Activity.NOTIFYING, "after the jobs"))
        await notifier.end(result)
        return result


# ── --check and --init ─────────────────────────────────────────────────────────────────────────


_CREATE_FOLDER = "Create its folder, and let this user write there."


def _check(file: MirrorFile, verbosity: Verbosity) -> int:
    """Say what each job would do, and at the end, where the eye is, every problem."""
    errors: list[CxrsyncError] = []
    of_jobs: list[tuple[str, CxrsyncError]] = []
    if (log := _log_of(file)) is not None:
        log.check()
        if log.lost is not None:
            errors.append(OutputLost(str(log.lost), next_step=_CREATE_FOLDER))
    for finding in check_outputs(file.settings):
        if finding.error is None:
            verbosity.output.write_lines([f"{finding.key}: {finding.text}"])
        else:
            errors.append(finding.error)
    for job in file.jobs:
        found = asyncio.run(_check_job(job, verbosity))
        verbosity.output.write_lines([*check_lines(found), ""])
        of_jobs += [(job.name, error) for error in found.errors]
    count = len(errors) + len(of_jobs)
    if count > 1:
        to_stderr(f"cxrsync: {file.path} has {count} problems:")
    for error in errors:
        say_error(error)
    for name, error in of_jobs:
        to_stderr(f"cxrsync: job {name}: {as_keys(reason_of(error))}")
        for line in filter(None, as_keys(error.next_step).split("\n")):
            to_stderr(line)
    return worst_of(each.exit_code for each in (*errors, *(error for _name, error in of_jobs)))


async def _check_job(job: MirrorJob, verbosity: Verbosity) -> JobCheck:
    with (
        Reporters(verbosity.level, progress="auto", label=job.name) as reporters,
        obeying_signals(TerminalPrompt(), reporters) as cancel,
    ):
        return await check_job(job, reporters.tell, cancel)


def _init(file: MirrorFile, verbosity: Verbosity) -> int:
    codes = [ExitCode.COMPLETE]
    for job in file.jobs:
        try:
            with Reporters(verbosity.level) as reporters:
                tree = asyncio.run(init(job, reporters.tell))
        except CxrsyncError as problem:
            say_error(problem)
            codes.append(problem.exit_code)
        else:
            verbosity.output.write_lines([f"{job.name}: {tree.root} is ready"])
    return worst_of(codes)
