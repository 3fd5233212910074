"""What ``mirror`` says to people: the report of a night that needs attention, and the check."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from cxrsync import humanize
from cxrsync.catalog.load import dataset_info
from cxrsync.config.job import LATEST, Job, TransferLimits
from cxrsync.config.job_keys import as_keys
from cxrsync.config.wall_clock import MINUTES_A_DAY
from cxrsync.errors import CxrsyncError, ExitCode
from cxrsync.mirror.check import JobCheck
from cxrsync.mirror.result import JobResult, MirrorResult
from cxrsync.plan.forecast import Forecast
from cxrsync.plan.scrub import NIGHT, horizon
from cxrsync.sanitize import reason_of, without_ids
from cxrsync.ui.dry_run_text import in_words

QUIET = frozenset({ExitCode.COMPLETE, ExitCode.LIMIT})
# Bytes per second of eight connections together (docs/PHYSIONET.md).
_RATES = (0.35 * (1 << 20), 0.7 * (1 << 20))
_RENEW = (
    "Trainings expire: see https://physionet.org/settings/training/, and renew yours there if it "
    "has."
)


def report_lines(title: str, result: MirrorResult) -> list[str]:
    """Return the report of all jobs in a paragraph. ``title`` names the job file.

    No subject, study or image is named in it, because cron mails it.
    """
    bad = [each for each in result.jobs if each.code not in QUIET]
    if not bad:
        remarks = "; ".join(f"{each.name}: {each.remark}" for each in result.jobs if each.remark)
        jobs = len(result.jobs)
        count = "the job is well" if jobs == 1 else f"{jobs} of {jobs} jobs are well"
        return [f"{title}: {count}{f' ({remarks})' if remarks else ''}"]
    one = len(result.jobs) == 1
    count = "the job" if one else f"{len(bad)} of {len(result.jobs)} jobs"
    lines = [f"{title}: {count} did not complete (exit {result.code:d})"]
    for each in result.jobs:
        lines += [f"  {without_ids(line)}" for line in _job(each)]
    return lines


def _job(result: JobResult) -> Iterator[str]:
    if result.code == ExitCode.COMPLETE:
        remark = f" ({result.remark})" if result.remark else ""
        yield f"{result.name}: complete and verified{_scrubbed(result)}{remark}"
    elif result.code == ExitCode.LIMIT:
        yield f"{result.name}: all well, to be continued by the next run (exit 9)"
    else:
        yield f"{result.name} (exit {result.code:d}): {_reason(result)}"
        yield from (f"  {line}" for line in _advice(result))


def _reason(result: JobResult) -> str:
    if result.error is not None:
        return as_keys(reason_of(result.error))
    summary = result.summary
    if summary is None:
        return _unread(result)
    parts = [
        f"{humanize.files(totals.files)} {word}"
        for totals, word in (
            (summary.failed, "failed"),
            (summary.mismatched, "without the published digest"),
        )
        if totals.files
    ]
    if not parts:
        return _unread(result)
    return f"{' and '.join(parts)}, of {summary.selected.files:,}"


def _unread(result: JobResult) -> str:
    count = 0 if result.scrub is None else result.scrub.unreadable
    return f"{humanize.files(count)} that were verified before cannot be read"


def _scrubbed(result: JobResult) -> str:
    """What was hashed again, if any file was rotten: it was fetched again."""
    scrub = result.scrub
    rotten = 0 if scrub is None else scrub.bad + scrub.unreadable
    return f"; {humanize.files(rotten)} had rotted, and were fetched again" if rotten else ""


def _advice(result: JobResult) -> Iterator[str]:
    if isinstance(result.error, CxrsyncError) and result.error.next_step:
        yield from as_keys(result.error.next_step).split("\n")
    if result.code == ExitCode.ACCESS:
        yield _RENEW
    summary = result.summary
    if summary is not None and result.error is None:
        yield f"The newest file in {summary.root}/.cxrsync/runs names them, with the reasons."


def _usual_duration(forecast: Forecast, job: Job) -> Iterator[str]:
    """Yield how long it will take at PhysioNet's usual rates, if no pull has measured the rate."""
    if forecast.rate is not None or not forecast.from_source or not job.origin.is_site:
        return
    slowest, fastest = (usual_seconds(forecast.from_source, rate, job.limits) for rate in _RATES)
    shown = f"{humanize.duration(fastest)} to {humanize.duration(slowest)}"
    rates = " to ".join(f"{humanize.size(rate)}/s" for rate in _RATES)
    within = [
        words
        for words, is_set in (
            ("limit_rate", job.limits.rate.slowest is not None),
            ("the hours of window", job.limits.window is not None),
        )
        if is_set
    ]
    limits = f", within {' and '.join(within)}" if within else ""
    yield f"at the rates that PhysioNet usually has ({rates}){limits}: {shown}"


def usual_seconds(size: float, rate: float, limits: TransferLimits) -> float:
    """Return the seconds until ``size`` bytes are there at ``rate``, within limit and window."""
    if len(limits.rate.rates) == 1:  # the same limit all day
        rate = min(rate, limits.rate.slowest or rate)
    share = 1.0
    if limits.window is not None:
        minutes = sum(end - start for start, end in limits.window.span.within_days())
        share = minutes / MINUTES_A_DAY
    return size / rate / share


def check_lines(check: JobCheck) -> Iterator[str]:
    """Yield what a job would do, in words."""
    job = check.job.job
    version = check.version or job.version or LATEST
    yield f"job {check.job.name}: {job.dataset} {version} ({job.selection})"
    yield from (f"versions: {text}" for text in check.news)
    if check.forecast is not None:
        yield f"destination: {check.forecast.root}"
        yield from in_words(check.forecast).split("\n")
        yield from _usual_duration(check.forecast, job)
    limits = job.limits
    if limits.window is not None:
        yield f"hours: {limits.window} only, local time"
    if (period := check.job.settings.get("scrub")) is not None:
        share = horizon(period) / NIGHT
        yield (
            f"scrub: every file within {humanize.duration(period)}; each night about "
            + (f"1/{share:.0f} of the bytes" if share > 1 else "all bytes")
        )
    if not job.origin.is_site:
        yield f"source: {job.origin.shown}"
    found = check.credentials
    if found is not None:
        yield f"source: {job.origin.base_url}"
        yield f"credentials: {found.place or 'none were found'}"
        if found.warning:
            yield f"warning: {found.warning}"
        elif found.problem:
            yield f"warning: {found.problem} (A dataset that is open to all needs none.)"
    yield from unused_variables(job, os.environ)
    yield from _readers(check)


def unused_variables(job: Job, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each variable that would send a pull, but not this job, elsewhere."""
    for name, value in (
        ("base_url", job.origin.base_url if job.origin.is_site else None),
        ("ca_file", job.origin.ca_file),
    ):
        variable = f"CXRSYNC_{name.upper()}"
        asked = environ.get(variable, "").rstrip("/")
        if asked and asked != str(value or "").rstrip("/"):
            yield (
                f"warning: {variable} of this shell changes no job. If it is meant, write {name}: "
                f"${{{variable}}}"
            )


def _readers(check: JobCheck) -> Iterator[str]:
    """Yield who can read the mirror, and what each of them must have done."""
    job = check.job.job
    readers = "Everyone who can read the mirror"
    if check.permissions is not None:
        yield f"permissions: {check.permissions}"
    if check.readers is not None:
        name, count = check.readers.name, check.readers.members
        readers = f"Each member of the group {name}"
        if count is not None:
            members = "1 user" if count == 1 else f"{count:,} users"
            readers += f" ({members}, besides those whose primary group it is)"
    dataset = dataset_info(job.dataset)
    version = check.version or job.version
    agreement = dataset.agreement if version is None else dataset.page(version)
    yield f"{readers} must be credentialed and have signed the data use agreement: {agreement}"
