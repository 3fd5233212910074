"""All reports in one request: the archive is fetched, and each member whose digest stands in the
manifest is published under its own path. The rest is fetched file by file.

A report is 1.2 KB; 227,835 of them are as many requests, or one archive of 135 MB. Unpacked reports
bear the archive's time at the source: each one's own would cost the request that is saved.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from cxrsync.config.job import Job, Reports
from cxrsync.dataset.context import RunContext
from cxrsync.errors import FileDenied, InvalidResponse, NotFound, SourceError
from cxrsync.events import Notice
from cxrsync.model import ROOT, Entry, Kind
from cxrsync.plan.planner import Plan
from cxrsync.sources.base import Opened
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.executors import run_in_thread
from cxrsync.storage.partial import Partial
from cxrsync.storage.publish import VerifiedFile
from cxrsync.storage.sidecar import ObjectVersion
from cxrsync.storage.zip_reader import InvalidArchive, Member, members, read_member
from cxrsync.sync.context import SyncContext
from cxrsync.sync.publisher import PublishItem
from cxrsync.transfer.pool import fetch_alone
from cxrsync.transfer.transfer import Transfer

# What a request costs server and line, as bytes of one long answer: below this a file, or rather
# its share of the archive, comes more cheaply with the others.
_REQUEST_COST = 16 << 10
# For fewer it is not even worth asking how large the archive is.
_LEAST = 8
# Of a single report; the real ones have some KB.
_MAX_BYTES = 16 << 20


def may_unpack(job: Job) -> bool:
    """Whether the archive may be of use: then the root's lock is needed for it.

    Unless asked for, only where reports (and archives) are all that is meant: a tree of everything
    is to have each file's own time, as `wget -N` wants it, and what the archive saves is little
    there.
    """
    if job.reports is Reports.AUTO:
        return all(
            Kind.REPORTS in each.only and {*each.only} <= {Kind.REPORTS, Kind.ARCHIVES}
            for each in job.selections
        )
    return job.reports is Reports.ZIP


class ReportArchive:
    """The archive of reports: fetched, unpacked, and deleted again (or published, where the
    selection has it)."""

    def __init__(self, run: RunContext, sync: SyncContext, plan: Plan) -> None:
        self._run = run
        self._sync = sync
        self._plan = plan

    async def unpack(self) -> Plan:
        """Publish the reports that the archive holds; the plan of what is left to fetch.

        A fault of the archive never ends the run: the reports are fetched one by one then.
        Raises what ends a run.
        """
        found = await run_in_thread(self._entry)
        if found is None:
            return self._plan
        offset, entry = found
        selected = offset in self._plan.in_root
        partial = self._sync.partitions.partial(entry)
        await run_in_thread(partial.load)
        if not (self._is_enough() or selected or partial.size):
            return self._plan
        here = self._run.target.tree.final(entry.path)
        if await run_in_thread(lambda: _is_right(here, entry)):
            return await self._unpack_file(here, None)
        if not (selected or await self._is_worth_it(entry, partial)):
            return self._plan
        handed_on = False
        try:
            if not await self._fetch(entry, partial):
                return self._plan
            modified = partial.object_version.modified if partial.object_version else None
            plan = await self._unpack_file(str(partial.path), modified)
            if selected:
                await self._sync.publisher.submit(PublishItem(VerifiedFile(entry, partial)))
                handed_on = True
                left = array("Q", (each for each in plan.in_root if each != offset))
                return replace(plan, in_root=left)
            await run_in_thread(partial.discard)  # nobody asked for the archive itself
            return plan
        finally:
            if not handed_on:
                await run_in_thread(partial.save)
                partial.close()

    def _entry(self) -> tuple[int, Entry] | None:
        """The archive in the manifest, if it may be unpacked: all that it holds, or none of it."""
        name = self._run.target.dataset.reports_archive
        count, most = len(self._plan.reports), self._run.job.limits.max_files
        if not count or (most is not None and most < count) or not may_unpack(self._run.job):
            return None
        if not name or ROOT not in self._sync.partitions.names:
            return None
        manifest = self._plan.manifest
        if not any(entry.path == name for entry in manifest.root_entries()):
            return None
        return next((each for each in manifest.entries() if each[1].path == name), None)

    def _is_enough(self) -> bool:
        """Whether there are so many reports that it is worth to look at the archive."""
        return self._run.job.reports is Reports.ZIP or len(self._plan.reports) >= _LEAST

    async def _is_worth_it(self, entry: Entry, partial: Partial) -> bool:
        """Whether the rest of the archive asks less of server and line than the reports singly."""
        if self._run.job.reports is Reports.ZIP:
            return True
        total = partial.total
        if total is None:
            try:
                async with self._run.source.open(
                    self._run.target.remote(entry.path), 0, 1
                ) as answer:
                    total = answer.total if isinstance(answer, Opened) else None
            except (NotFound, InvalidResponse, FileDenied):
                return False
            except SourceError:
                return True  # an accident: the transfer knows how to wait
        count = len(self._plan.reports)
        return total is not None and total - partial.size <= count * _REQUEST_COST

    async def _fetch(self, entry: Entry, partial: Partial) -> bool:
        self._run.emit(Notice(f"{len(self._plan.reports):,} reports come in {entry.path}"))
        transfer = Transfer(self._sync.context, self._run.target.remote(entry.path), partial)
        await transfer.begin(load=False)  # it has been looked at
        await fetch_alone(self._sync.pool, transfer, self._run.job.limits.connections)
        if transfer.failure is not None:
            self._say(f"{entry.path} does not arrive ({transfer.failure})")
            return False
        if await run_in_thread(partial.digest) != entry.sha256:
            self._say(f"{entry.path} is not the one that the manifest names")
            await run_in_thread(partial.discard)
            return False
        return True

    async def _unpack_file(self, path: str, modified: float | None) -> Plan:
        """Publish every member that is a wanted report; the plan with the others."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if modified is None:
                modified = os.fstat(fd).st_mtime
            wanted = self._wanted()
            reports = self._reports(fd, wanted, modified)
            problem = None
            while problem is None:
                batch, problem = await run_in_thread(lambda: _next(reports, self._run.batch_files))
                for ready in batch:
                    await self._sync.publisher.submit(PublishItem(ready, copied=True))
        finally:
            os.close(fd)
        left = array("Q", sorted(wanted.values()))
        if isinstance(problem, InvalidArchive):
            self._say(f"the archive of reports cannot be read on: {problem}")
        elif left:
            self._say(f"the archive lacks {len(left):,} reports, or has others")
        return replace(self._plan, reports=left)

    def _wanted(self) -> dict[int, int]:
        """The wanted reports: a hash of the path, not the path, for there are 227,835 of them; and
        the offset in the manifest, which tells the path."""
        entry_at = self._plan.manifest.entry_at
        return {hash(entry_at(offset).path): offset for offset in self._plan.reports}

    def _reports(self, fd: int, wanted: dict[int, int], modified: float) -> Iterator[VerifiedFile]:
        """Each member that is right, in our own folder and on its way to its name."""
        identity = self._run.source.identity
        for member in members(fd):
            offset = wanted.get(hash(member.name))
            if offset is None:
                continue
            entry = self._plan.manifest.entry_at(offset)
            data = _read(fd, member, entry)
            if data is None:
                continue
            # Reports share their text, to the byte: a name by the path, not by the digest alone.
            partial = self._sync.partitions.copy(entry)
            partial.bind(ObjectVersion(identity, len(data), None, modified))
            partial.write(0, [data], partial.generation)
            del wanted[hash(member.name)]
            yield VerifiedFile(entry, partial)

    def _say(self, what: str) -> None:
        self._run.emit(Notice(f"{what}: the rest of the reports comes file by file"))


def _next(
    reports: Iterator[VerifiedFile], count: int
) -> tuple[list[VerifiedFile], InvalidArchive | StopIteration | None]:
    """The next few, and what has ended them: those before a flaw are as good as any."""
    batch: list[VerifiedFile] = []
    try:
        while len(batch) < count:
            batch.append(next(reports))
    except (InvalidArchive, StopIteration) as end:
        return batch, end
    return batch, None


def _read(fd: int, member: Member, entry: Entry) -> bytes | None:
    """The member's bytes, if they are the report's."""
    if member.name != entry.path:
        return None
    with suppress(InvalidArchive):  # this member is of no use; the others may be
        data = read_member(fd, member, _MAX_BYTES)
        if hashlib.sha256(data).hexdigest() == entry.sha256:
            return data
    return None


def _is_right(path: str, entry: Entry) -> bool:
    try:
        return sha256_file(path) == entry.sha256
    except OSError:
        return False
