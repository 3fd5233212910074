"""Fetch all reports in one archive, and publish each member whose digest is in the manifest.

The other reports are fetched one by one. A report has 1.2 KB; 227,835 of them take as many
requests, or one archive of 135 MB. Unpacked reports get the time of the archive at the source: to
learn the time of each report would cost the request that the archive saves.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from cxrsync.config.job import Job, Reports
from cxrsync.dataset.run_context import RunContext
from cxrsync.errors import FileDenied, InvalidResponse, NotServed, SourceError, StoppedAtLimit
from cxrsync.events import Notice
from cxrsync.model import ROOT, Entry, Kind
from cxrsync.plan.planner import Plan
from cxrsync.progress_events import Activity, Phase, Unpacking
from cxrsync.sources.base import Opened, answer_of_any, identity_of
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.partial import Partial
from cxrsync.storage.publish import VerifiedFile
from cxrsync.storage.sidecar import ObjectVersion
from cxrsync.storage.zip_reader import InvalidArchive, Member, members, read_member
from cxrsync.sync.publisher import PublishItem
from cxrsync.sync.save_partials import save_and_close
from cxrsync.sync.sync_context import SyncContext
from cxrsync.threads import run_in_thread
from cxrsync.transfer.pool import fetch_alone
from cxrsync.transfer.transfer import Transfer

# The cost of a request, expressed in bytes of one long response: if the archive is smaller than
# this for each report, it costs less than single requests.
_REQUEST_COST = 16 << 10
# For fewer reports even the request for the archive's size is not worth its cost.
_MIN_REPORTS = 8
# The limit for a single report; real ones have some KB.
_MAX_REPORT_BYTES = 16 << 20


def may_unpack(job: Job) -> bool:
    """Return whether the archive may be used; its lock, that of the root partition, is then needed.

    By default it is used only if the job selects nothing but reports (and archives). In a tree of
    everything each file should have its own time, as ``wget -N`` expects, and the archive would
    save little.
    """
    if job.partitions:  # one archive has the reports of all shards: each task would fetch it
        return False
    if job.reports is Reports.AUTO:
        return all(
            Kind.REPORTS in each.only and {*each.only} <= {Kind.REPORTS, Kind.ARCHIVES}
            for each in job.selections
        )
    return job.reports is Reports.ZIP


class ReportArchive:
    """Fetch and unpack the archive of reports; then delete it, or publish it if it is selected."""

    def __init__(self, run: RunContext, sync: SyncContext, plan: Plan) -> None:
        self._run = run
        self._sync = sync
        self._plan = plan

    async def unpack(self) -> Plan:
        """Publish the reports in the archive; return the plan without them.

        A fault of the archive does not end the run: the reports are then fetched one by one.

        Raises: any CxrsyncError that ends the run.
        """
        archive = await run_in_thread(self._find_entry)
        if archive is None:
            return self._plan
        offset, entry = archive
        selected = offset in self._plan.in_root
        partial = self._sync.partitions.partial(entry)
        await run_in_thread(partial.load)
        if not (self._has_enough_reports() or selected or partial.size):
            return self._plan
        published = self._run.target.tree.final(entry.path)
        if await run_in_thread(lambda: _is_verified(published, entry)):
            return await self._unpack_file(published, None)
        if self._run.budget.is_spent or not (selected or await self._is_worth_it(entry, partial)):
            return self._plan
        submitted = False
        try:
            if not await self._fetch(entry, partial):
                return self._plan
            modified = partial.object_version.modified if partial.object_version else None
            plan = await self._unpack_file(str(partial.path), modified)
            if selected:
                self._run.budget.take_file()
                await self._sync.publisher.submit(PublishItem(VerifiedFile(entry, partial)))
                submitted = True
                remaining = array("Q", (each for each in plan.in_root if each != offset))
                return replace(plan, in_root=remaining)
            await run_in_thread(partial.discard)  # the archive itself is not selected
            return plan
        finally:
            self._tell_unpacking(0)
            if not submitted:
                await save_and_close([partial])

    def _find_entry(self) -> tuple[int, Entry] | None:
        """Return offset and entry of the archive; None if it may not be used.

        It is not used if the run's budget has fewer files left than there are reports.
        """
        name = self._run.target.dataset.reports_archive
        count, limit = len(self._plan.reports), self._run.budget.files_left
        if not count or (limit is not None and limit < count) or not may_unpack(self._run.job):
            return None
        if not name or ROOT not in self._sync.partitions.names:
            return None
        manifest = self._plan.manifest
        if not any(entry.path == name for entry in manifest.root_entries()):
            return None
        return next((each for each in manifest.entries() if each[1].path == name), None)

    def _has_enough_reports(self) -> bool:
        """Return whether there are enough reports to ask for the size of the archive."""
        return self._run.job.reports is Reports.ZIP or len(self._plan.reports) >= _MIN_REPORTS

    async def _is_worth_it(self, entry: Entry, partial: Partial) -> bool:
        """Return whether the rest of the archive costs less than one request for each report."""
        if self._run.job.reports is Reports.ZIP:
            return True
        total = partial.total
        if total is None:
            try:
                ref = self._run.target.remote(entry.path)
                async with answer_of_any(self._run.source, ref, 0, 1) as answer:
                    total = answer.total if isinstance(answer, Opened) else None
            except (NotServed, InvalidResponse, FileDenied):
                return False
            except SourceError:
                return True  # temporary: the transfer that follows waits and retries
        count = len(self._plan.reports)
        return total is not None and total - partial.size <= count * _REQUEST_COST

    async def _fetch(self, entry: Entry, partial: Partial) -> bool:
        self._run.emit(
            Notice(f"{len(self._plan.reports):,} reports are fetched in one file, {entry.path}")
        )
        self._tell_unpacking(len(self._plan.reports))
        transfer = Transfer(self._sync.context, self._run.target.remote(entry.path), partial)
        await transfer.begin(load=False)  # the partial is loaded already
        await fetch_alone(self._sync.pool, transfer, self._run.job.limits.connections)
        if isinstance(transfer.failure, StoppedAtLimit):
            return False  # the scheduler will start no report, and say so
        if transfer.failure is not None:
            self._notify_fallback(f"{entry.path} cannot be fetched ({transfer.failure})")
            return False
        if await run_in_thread(partial.digest) != entry.sha256:
            self._notify_fallback(f"{entry.path} does not have the digest in the manifest")
            await run_in_thread(partial.discard)
            return False
        return True

    async def _unpack_file(self, path: str, modified: float | None) -> Plan:
        """Publish every member that is a report of the plan; return the plan with the others."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._run.emit(Phase(Activity.UNPACKING, os.path.basename(path)))
        try:
            if modified is None:
                modified = os.fstat(fd).st_mtime
            wanted = self._wanted()
            reports = self._reports(fd, wanted, modified)
            problem = None
            while problem is None:
                await self._run.disk.check()
                batch, problem = await run_in_thread(
                    lambda: _next_batch(reports, self._run.batch_files)
                )
                for verified in batch:
                    self._run.budget.take_file()
                    await self._sync.publisher.submit(PublishItem(verified, copied=True))
        finally:
            os.close(fd)
            self._run.emit(Phase(Activity.FETCHING))
        missing = array("Q", sorted(wanted.values()))
        if isinstance(problem, InvalidArchive):
            self._notify_fallback(f"the archive of reports cannot be read to its end: {problem}")
        elif missing:
            self._notify_fallback(
                f"{len(missing):,} reports are missing in the archive, or differ from the manifest"
            )
        return replace(self._plan, reports=missing)

    def _wanted(self) -> dict[int, int]:
        """Return the reports of the plan: the hash of each path, and its offset in the manifest.

        There may be 227,835 of them: their paths would take too much memory.
        """
        entry_at = self._plan.manifest.entry_at
        return {hash(entry_at(offset).path): offset for offset in self._plan.reports}

    def _reports(self, fd: int, wanted: dict[int, int], modified: float) -> Iterator[VerifiedFile]:
        """Yield each member that has the digest of its report, written to a partial."""
        archive = self._run.target.remote(self._run.target.dataset.reports_archive)
        identity = identity_of(self._run.source, archive)
        for member in members(fd):
            offset = wanted.get(hash(member.name))
            if offset is None:
                continue
            entry = self._plan.manifest.entry_at(offset)
            data = _read_report(fd, member, entry)
            if data is None:
                continue
            # Several reports have the same bytes: the name of the partial contains the path.
            partial = self._sync.partitions.copy(entry)
            partial.bind(ObjectVersion(identity, len(data), None, modified))
            partial.write(0, [data], partial.generation)
            del wanted[hash(member.name)]
            yield VerifiedFile(entry, partial)

    def _tell_unpacking(self, files: int) -> None:
        self._run.emit(Unpacking(Kind.REPORTS, files))

    def _notify_fallback(self, problem: str) -> None:
        self._run.emit(Notice(f"{problem}: the other reports are fetched one by one"))


def _next_batch(
    reports: Iterator[VerifiedFile], count: int
) -> tuple[list[VerifiedFile], InvalidArchive | StopIteration | None]:
    """Return up to ``count`` reports, and what ended the iteration, None if it has not ended.

    Reports before a fault of the archive are verified and count.
    """
    batch: list[VerifiedFile] = []
    try:
        while len(batch) < count:
            batch.append(next(reports))
    except (InvalidArchive, StopIteration) as end:
        return batch, end
    return batch, None


def _read_report(fd: int, member: Member, entry: Entry) -> bytes | None:
    """Return the bytes of the member; None if they do not have the digest of the report."""
    if member.name != entry.path:
        return None
    with suppress(InvalidArchive):  # only this member is damaged
        data = read_member(fd, member, _MAX_REPORT_BYTES)
        if hashlib.sha256(data).hexdigest() == entry.sha256:
            return data
    return None


def _is_verified(path: str, entry: Entry) -> bool:
    try:
        return sha256_file(path) == entry.sha256
    except OSError:
        return False
