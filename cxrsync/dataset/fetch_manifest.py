"""Getting the manifest: fetched whole and put under its own name, or only the slices that matter;
asked for again only if changed.

Nothing vouches for its bytes: no digest of it is published. So this is what is believed, and why:

1. What lies here is hashed first. Where it is not what arrived once, the disk has changed it.
2. What arrives in several answers is joined by a strong ETag only, or else comes in one stream.
3. It is whole where its total was told and is covered, or its framing proves the end. An end that
   is only a closed connection (RFC 9112, section 8) is proved by one more request: nothing lies
   behind it. Where that tells nothing, it must arrive twice, the same each time; over TLS not even
   that is enough, since whoever is on the line can cut it at the same byte twice.
4. One that has lost more than a tenth of its lines does not replace the one that is here.
"""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from dataclasses import dataclass

from cxrsync.dataset.context import RunContext
from cxrsync.dataset.fetch_slices import fetch_slices
from cxrsync.dataset.local_manifest import (
    FORMAT,
    PARTIAL,
    ManifestMetadata,
    manifests_folder,
    read_kept,
    write_kept,
)
from cxrsync.dataset.locking import Workplace, in_loop, patience_for_shared
from cxrsync.dataset.manifest_losses import EarlierSlices, Losses, losses
from cxrsync.errors import (
    DiskError,
    Interrupted,
    InvalidResponse,
    RefusedForSafety,
    Throttled,
    Unreachable,
)
from cxrsync.events import Notice
from cxrsync.manifest.file import ManifestFile, looks_like_one
from cxrsync.manifest.key_ranges import KeyRange
from cxrsync.model import MANIFEST_NAME, Entry, FileStat
from cxrsync.sanitize import reason_of
from cxrsync.sources.base import End, Opened, PastEnd
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.executors import run_in_thread
from cxrsync.storage.lock import Lock
from cxrsync.storage.partial import Partial
from cxrsync.storage.publish import VerifiedFile, publish
from cxrsync.storage.trash import Trash
from cxrsync.transfer.context import TransferContext
from cxrsync.transfer.pool import TransferPool, fetch_alone
from cxrsync.transfer.transfer import Transfer

# A hundred times that of the largest dataset we know: what is larger is a server gone wrong.
_MAX_BYTES = 8 << 30
_MAX_ATTEMPTS = 3
_UNPROVED = {End.CLOSED, End.FORGEABLE}
# What says nothing of the manifest: whoever fetches it knows how to wait.
_ACCIDENTS = (Interrupted, InvalidResponse, Throttled, Unreachable)


async def fetch_manifest(
    run: RunContext, keys: tuple[KeyRange, ...] | None = None, *, ask: bool = True
) -> ManifestFile:
    """The version's manifest as it is at the source now; fetched only if it is not here yet.

    With ``keys``, where the whole is not here and is large, only the slices that hold them are
    fetched. Without ``ask`` what this run has been told before is believed.

    Raises NotFound where there is no such version, RefusedForSafety where it has lost too much, and
    what ends a run.
    """
    folder = manifests_folder(run.tree)
    pool = TransferPool()
    line = run.line(pool)
    # Its partial has no digest for a name: two runs must not write it at once.
    lock = Lock(folder, describe="the manifest", on_loss=in_loop(run.stop.fail))
    place = Workplace(lock, folder, only=PARTIAL, proved=False)
    await run_in_thread(lambda: run.tree.make_own(folder))
    await place.enter(patience_for_shared(run.job.limits), run.emit)
    partial = Partial(folder, PARTIAL, proved=False, lease=lock)
    earlier: EarlierSlices | None = None
    try:
        if keys is not None and run.tree.find(MANIFEST_NAME) is None:
            ref = run.ref(MANIFEST_NAME)
            await run_in_thread(partial.load)
            earlier = await run_in_thread(lambda: EarlierSlices.of(partial))
            part = await fetch_slices(line, pool, ref, partial, keys, ask=ask)
            if part is not None:
                if earlier is not None and partial.generation != earlier.epoch:
                    await run_in_thread(lambda: _judge_slices(run, part, partial, earlier))
                return part
        await _WholeManifest(run, line, pool, lock, partial, earlier).bring()
        return await run_in_thread(lambda: ManifestFile(run.tree.manifest))
    except OSError:
        await run_in_thread(
            lock.check
        )  # where it is another run's by now, the disk is not at fault
        raise
    finally:
        try:
            await run_in_thread(partial.save)
        finally:
            partial.close()
            await place.leave()


def _judge_slices(
    run: RunContext, part: ManifestFile, partial: Partial, earlier: EarlierSlices
) -> None:
    """Of another manifest than the slices are from that were here: what it has lost of them.

    Raises RefusedForSafety where that is too much; then the earlier slices are here again.
    """
    lost = losses(earlier.entries(part.keys), (entry for _offset, entry in part.entries()))
    if lost.too_many:
        part.close()
        earlier.restore(partial)
        raise _refused(lost, partial)
    if lost.count:
        run.emit(Notice(f"the new manifest does not list {lost} any more"))


def _refused(lost: Losses, here: Partial) -> RefusedForSafety:
    return RefusedForSafety(
        f"the server's {MANIFEST_NAME} has lost {lost}: what is here of the earlier one stays",
        next_step=f"Look at it in a browser. If the publisher did withdraw these files, move "
        f"{here.at_rest} away, and run the command again.",
    )


@dataclass(frozen=True, slots=True)
class _Ours:
    """The manifest in place: its size and time, what is known of it, the digest of its bytes now.

    ``kept`` None: another tool's.
    """

    found: FileStat
    kept: ManifestMetadata | None
    sha256: str


def is_still(ours: FileStat, kept: ManifestMetadata, source: str, told: Opened) -> bool:
    """Whether the manifest in place is the one that the source has, by one byte's answer.

    The strong ETag and the total must agree, and the time too where it came from another address.
    Of another tool's manifest nothing is recorded: no size and time show that its bytes are right.
    """
    if told.total != ours.size:
        return False
    same_time = told.modified is not None and int(told.modified) == ours.mtime_ns // 10**9
    same_tag = kept.validator is not None and kept.validator == told.validator
    return same_tag and (kept.source == source or same_time)


class _WholeManifest:
    """Brings the whole manifest of a version to its place."""

    def __init__(
        self,
        run: RunContext,
        line: TransferContext,
        pool: TransferPool,
        lock: Lock,
        partial: Partial,
        earlier: EarlierSlices | None,
    ) -> None:
        self._run = run
        self._earlier = earlier
        self._lock = lock
        self._tree = run.tree
        self._line = line
        self._pool = pool
        self._partial = partial
        self._ref = run.ref(MANIFEST_NAME)
        self._source = line.source.identity

    async def bring(self) -> None:
        """Have it in place, as it is at the source. Raises what ends a run."""
        ours = await run_in_thread(self._look_at_ours)
        skip_if = None
        if ours is not None and ours.found.size:
            kept = ours.kept
            is_known = kept is not None and (kept.format, kept.source) == (FORMAT, self._source)
            if kept is not None and is_known:
                skip_if = kept.validator
            elif kept is not None and await self._confirm(ours, kept):
                return
        if not await self._fetch(skip_if):
            return
        text = await run_in_thread(self._publish)
        if text:
            self._run.emit(Notice(text))

    def _look_at_ours(self) -> _Ours | None:
        """What is in place. What a disk has damaged is set aside: it proves nothing, and the
        publisher is not to blame for it."""
        tree = self._tree
        found = tree.find(MANIFEST_NAME)
        if found is None:
            return None
        kept, sha256 = read_kept(tree), sha256_file(str(tree.manifest))
        if kept is None or sha256 == kept.sha256:
            return _Ours(found, kept, sha256)
        if (kept.size, kept.mtime_ns) != found:
            return _Ours(found, None, sha256)  # another tool has put another there
        trash = Trash(tree, self._run.stamp, lambda _path: self._lock.check())
        trash.take(MANIFEST_NAME)
        self._run.emit(
            Notice(
                f"{tree.manifest} was not what had been fetched (a disk's fault): it is set aside "
                f"in {trash.folder}, and fetched anew"
            )
        )
        return None

    async def _confirm(self, ours: _Ours, kept: ManifestMetadata) -> bool:
        """Ask for the last byte of what is in place, and with it whether that is the source's."""
        size = ours.found.size
        try:
            async with self._line.source.open(self._ref, size - 1, size) as answer:
                told = answer
        except _ACCIDENTS:
            return False
        if not isinstance(told, Opened) or not is_still(ours.found, kept, self._source, told):
            return False
        validator = told.validator
        await run_in_thread(
            lambda: write_kept(
                self._tree, self._lock, self._source, validator, ours.found, ours.sha256
            )
        )
        return True

    async def _fetch(self, skip_if: str | None) -> bool:
        """Fetch it into the partial, whole beyond doubt. False if it has not changed."""
        searched = bool(self._partial.size)  # for slices: what it brought is known by now
        if not searched:
            await run_in_thread(self._partial.load)
        bound = self._partial.binding
        if bound is None or bound.validator is None or bound.source != self._source:
            await run_in_thread(self._partial.discard)  # nothing could show what it is a part of
        elif self._partial.size:
            skip_if = None  # a newer one was on its way
        transfer = Transfer(
            self._line, self._ref, self._partial,
            skip_if=skip_if, most=_MAX_BYTES, by_digest=False,
        )  # fmt: skip
        await transfer.begin(maybe_there=False, just_asked=searched)
        connections = self._run.job.limits.connections
        seen: set[tuple[int, str]] = set()
        for _attempt in range(_MAX_ATTEMPTS):
            await fetch_alone(self._pool, transfer, connections)
            if transfer.failed is not None:
                raise transfer.failed
            if transfer.unchanged:
                return False
            if transfer.end not in _UNPROVED or await self._is_whole(transfer.end, seen):
                return True
            await transfer.restart(self._partial.generation)
        raise InvalidResponse(
            f"the server sends {MANIFEST_NAME} without its length, and nothing proves where it ends"
        )

    async def _is_whole(self, end: End | None, seen: set[tuple[int, str]]) -> bool:
        """Whether an end that was only a closed connection is the manifest's. ``seen``: size and
        digest of what came so far and was not proved."""
        size = self._partial.size
        behind = await self._ask_behind(size)
        if behind is not None:
            return not behind
        if end is End.FORGEABLE:
            return False
        this = (size, await run_in_thread(self._partial.digest))
        ended = (
            size > 0 and await run_in_thread(lambda: self._partial.read(size - 1, size)) == b"\n"
        )
        if this in seen and ended:
            return True
        seen.add(this)
        return False

    async def _ask_behind(self, size: int) -> bool | None:
        """Whether the source has anything behind so many bytes; None if it does not tell."""
        bound = self._partial.binding
        tag = None if bound is None else bound.validator
        try:
            async with self._line.source.open(self._ref, size, resume_if=tag) as answer:
                if isinstance(answer, Opened | PastEnd) and answer.total is not None:
                    return answer.total != size
                return True if isinstance(answer, Opened) and answer.start == size > 0 else None
        except _ACCIDENTS:
            return None

    # ── putting it in place ────────────────────────────────────────────────────────────────────

    def _publish(self) -> str:
        """Put it in place; the one before it is kept. Returns what a person should know of it."""
        tree, partial = self._tree, self._partial
        binding = partial.binding
        assert binding is not None
        if not partial.complete:
            partial.discard()
            raise InvalidResponse(f"{MANIFEST_NAME} did not arrive whole")
        if not partial.size or not looks_like_one(partial.path):
            # Empty, or a page of HTML with status 200. What was here stays.
            if self._earlier is not None:
                self._earlier.restore(partial)
            else:
                partial.discard()
            raise InvalidResponse(f"what the server sends as {MANIFEST_NAME} is no manifest")
        lost = self._judge_losses()
        digest = partial.digest()
        kept = manifests_folder(tree) / f"{self._run.stamp}-{MANIFEST_NAME}"

        def keep(_path: str) -> None:
            if sha256_file(str(tree.manifest)) == digest:
                return
            try:
                shutil.copy2(tree.manifest, kept)
                with kept.open("rb+") as file:
                    os.fsync(file.fileno())
            except OSError:
                kept.unlink(missing_ok=True)  # the half of it would pass for the whole
                raise

        self._lock.check()
        [found] = publish(tree, [VerifiedFile(Entry(MANIFEST_NAME, ""), partial)], keep)
        if isinstance(found, OSError):
            self._lock.check()
            raise DiskError(f"cannot put {tree.manifest} in place: {reason_of(found)}")
        write_kept(tree, self._lock, binding.source, binding.validator, found, digest)
        if not lost:
            return ""
        earlier = f"; the earlier one is kept: {kept}" if kept.exists() else ""
        return f"the new manifest does not list {lost} any more{earlier}"

    def _judge_losses(self) -> str:
        """In words, the files that the manifest here lists, or its slices do, and the new one does
        not. Raises RefusedForSafety where they are too many."""
        if self._tree.find(MANIFEST_NAME) is None:
            return self._judge_lost_slices()
        with (
            closing(ManifestFile(self._tree.manifest)) as old,
            closing(ManifestFile(self._partial.path)) as new,
        ):
            there = (entry for _offset, entry in old.entries())
            lost = losses(there, (entry for _offset, entry in new.entries()))
        if lost.too_many:
            raise RefusedForSafety(
                f"the server's {MANIFEST_NAME} has lost {lost}: the one that is here stays",
                next_step=f"Compare it with the new one, {self._partial.at_rest}. If the publisher "
                f"did withdraw these files, move {self._tree.manifest} away, and run the command "
                "again.",
            )
        return str(lost) if lost.count else ""

    def _judge_lost_slices(self) -> str:
        if self._earlier is None or self._partial.generation == self._earlier.epoch:
            return ""
        with closing(ManifestFile(self._partial.path)) as new:
            lost = losses(self._earlier.entries(), (entry for _offset, entry in new.entries()))
        if lost.too_many:
            self._earlier.restore(self._partial)
            raise _refused(lost, self._partial)
        return str(lost) if lost.count else ""
