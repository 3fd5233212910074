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

from dataclasses import dataclass

from cxrsync.dataset.context import RunContext
from cxrsync.dataset.fetch_slices import fetch_slices
from cxrsync.dataset.local_manifest import (
    FORMAT,
    PARTIAL,
    ManifestMetadata,
    manifests_folder,
    read_metadata,
    write_metadata,
)
from cxrsync.dataset.locking import Workplace, in_loop, patience_for_shared
from cxrsync.dataset.manifest_losses import EarlierSlices
from cxrsync.dataset.publish_manifest import ManifestPublisher
from cxrsync.errors import (
    Interrupted,
    InvalidResponse,
    Throttled,
    Unreachable,
)
from cxrsync.events import Notice
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.key_ranges import KeyRange
from cxrsync.model import MANIFEST_NAME, FileStat
from cxrsync.sources.base import BodyEnd, Opened, PastEnd
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.executors import run_in_thread
from cxrsync.storage.lock import Lock
from cxrsync.storage.partial import Partial
from cxrsync.storage.trash import Trash
from cxrsync.transfer.context import TransferContext
from cxrsync.transfer.options import TransferOptions
from cxrsync.transfer.pool import TransferPool, fetch_alone
from cxrsync.transfer.transfer import Transfer

# A hundred times that of the largest dataset we know: what is larger is a server gone wrong.
_MAX_BYTES = 8 << 30
_MAX_ATTEMPTS = 3
_UNPROVED = {BodyEnd.CLOSED, BodyEnd.FORGEABLE}
# What says nothing of the manifest: whoever fetches it knows how to wait.
_ACCIDENTS = (Interrupted, InvalidResponse, Throttled, Unreachable)


async def fetch_manifest(
    run: RunContext, keys: tuple[KeyRange, ...] | None = None, *, ask: bool = True
) -> ManifestFile:
    """The version's manifest as the source has it now; fetched only where it is not here yet.

    ``keys``: of a large manifest that is not here, fetch only the slices that hold these keys.
    ``ask`` False: the source was asked in this run already, and its answer still counts.

    Raises NotFound where there is no such version, RefusedForSafety where the manifest has lost too
    many lines, and any other error that ends a run.
    """
    tree = run.target.tree
    folder = manifests_folder(tree)
    # Its partial has no digest for a name: two runs must not write it at once.
    lock = Lock(folder, describe="the manifest", on_loss=in_loop(run.cancel.fail))
    place = Workplace(lock, folder, only=PARTIAL, digest_known=False)
    await run_in_thread(lambda: tree.make_own_folder(folder))
    await place.enter(patience_for_shared(run.job.limits), run.emit)
    partial = Partial(folder, PARTIAL, digest_known=False, lease=lock)
    try:
        return await _fetch(run, lock, partial, keys, ask=ask)
    except OSError:
        # Where the lock is another run's by now, the disk is not at fault.
        await run_in_thread(lock.check)
        raise
    finally:
        try:
            await run_in_thread(partial.save)
        finally:
            partial.close()
            await place.leave()


async def _fetch(
    run: RunContext,
    lock: Lock,
    partial: Partial,
    keys: tuple[KeyRange, ...] | None,
    *,
    ask: bool,
) -> ManifestFile:
    tree, pool = run.target.tree, TransferPool()
    context = run.transfer_context(pool)
    earlier: EarlierSlices | None = None
    if keys is not None and tree.find(MANIFEST_NAME) is None:
        ref = run.target.remote(MANIFEST_NAME)
        await run_in_thread(partial.load)
        earlier = await run_in_thread(lambda: EarlierSlices.of(partial))
        part = await fetch_slices(context, pool, ref, partial, keys, ask=ask)
        if part is not None:
            publisher = ManifestPublisher(run, lock, partial, earlier)
            await run_in_thread(lambda: publisher.accept_slices(part))
            return part
    publisher = ManifestPublisher(run, lock, partial, earlier)
    whole = _WholeManifest(run, lock, partial, context, pool)
    if await whole.fetch():
        await run_in_thread(publisher.publish)
    return await run_in_thread(lambda: ManifestFile(tree.manifest))


@dataclass(frozen=True, slots=True)
class _Ours:
    """The manifest in place: its size and time, what is known of it, the digest of its bytes now.

    ``metadata`` None: another tool wrote it.
    """

    found: FileStat
    metadata: ManifestMetadata | None
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
    """Fetches the whole manifest of a version into its partial."""

    def __init__(
        self,
        run: RunContext,
        lock: Lock,
        partial: Partial,
        context: TransferContext,
        pool: TransferPool,
    ) -> None:
        self._run = run
        self._tree = run.target.tree
        self._lock = lock
        self._partial = partial
        self._context = context
        self._pool = pool
        self._ref = run.target.remote(MANIFEST_NAME)
        self._source = run.source.identity

    async def fetch(self) -> bool:
        """Fetch it, unless the one in place is the source's. Whether one was fetched. Raises what
        ends a run."""
        ours = await run_in_thread(self._look_at_ours)
        skip_if = None
        if ours is not None and ours.found.size:
            metadata = ours.metadata
            is_known = metadata is not None and metadata.format == FORMAT
            if metadata is not None and is_known and metadata.source == self._source:
                skip_if = metadata.validator
            elif metadata is not None and await self._confirm(ours, metadata):
                return False
        return await self._fetch(skip_if)

    def _look_at_ours(self) -> _Ours | None:
        """What is in place. What a disk has damaged is set aside: it proves nothing, and the
        publisher is not to blame for it."""
        tree = self._tree
        found = tree.find(MANIFEST_NAME)
        if found is None:
            return None
        metadata, sha256 = read_metadata(tree), sha256_file(str(tree.manifest))
        if metadata is None or sha256 == metadata.sha256:
            return _Ours(found, metadata, sha256)
        if (metadata.size, metadata.mtime_ns) != found:
            return _Ours(found, None, sha256)  # another tool has put another there
        trash = Trash(tree, self._run.stamp, lambda _path: self._lock.check())
        trash.move(MANIFEST_NAME)
        self._run.emit(
            Notice(
                f"{tree.manifest} was not what had been fetched (a disk's fault): it is set aside "
                f"in {trash.folder}, and fetched anew"
            )
        )
        return None

    async def _confirm(self, ours: _Ours, metadata: ManifestMetadata) -> bool:
        """Ask for the last byte of what is in place, and with it whether that is the source's."""
        size = ours.found.size
        try:
            async with self._context.source.open(self._ref, size - 1, size) as answer:
                pass
        except _ACCIDENTS:
            return False
        if not isinstance(answer, Opened):
            return False
        if not is_still(ours.found, metadata, self._source, answer):
            return False
        validator = answer.validator
        await run_in_thread(
            lambda: write_metadata(
                self._tree, self._lock, self._source, validator, ours.found, ours.sha256
            )
        )
        return True

    async def _fetch(self, skip_if: str | None) -> bool:
        """Fetch it into the partial, whole beyond doubt. False if it has not changed."""
        searched = bool(self._partial.size)  # for slices: what it brought is known by now
        if not searched:
            await run_in_thread(self._partial.load)
        bound = self._partial.object_version
        if bound is None or bound.validator is None or bound.source != self._source:
            await run_in_thread(self._partial.discard)  # nothing could show what it is a part of
        elif self._partial.size:
            skip_if = None  # a newer one was on its way
        transfer = Transfer(
            self._context,
            self._ref,
            self._partial,
            TransferOptions(skip_if=skip_if, max_bytes=_MAX_BYTES, by_digest=False),
        )
        await transfer.begin(load=False, confirmed=searched)
        connections = self._run.job.limits.connections
        seen: set[tuple[int, str]] = set()
        for _attempt in range(_MAX_ATTEMPTS):
            await fetch_alone(self._pool, transfer, connections)
            if transfer.failure is not None:
                raise transfer.failure
            if transfer.unchanged:
                return False
            if transfer.end not in _UNPROVED or await self._is_whole(transfer.end, seen):
                return True
            await transfer.restart(self._partial.generation)
        raise InvalidResponse(
            f"the server sends {MANIFEST_NAME} without its length, and nothing proves where it ends"
        )

    async def _is_whole(self, end: BodyEnd | None, seen: set[tuple[int, str]]) -> bool:
        """Whether an end that was only a closed connection is the manifest's. ``seen``: size and
        digest of what came so far and was not proved."""
        size = self._partial.size
        behind = await self._ask_behind(size)
        if behind is not None:
            return not behind
        if end is BodyEnd.FORGEABLE:
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
        bound = self._partial.object_version
        tag = None if bound is None else bound.validator
        try:
            async with self._context.source.open(self._ref, size, resume_if=tag) as answer:
                if isinstance(answer, Opened | PastEnd) and answer.total is not None:
                    return answer.total != size
                return True if isinstance(answer, Opened) and answer.start == size > 0 else None
        except _ACCIDENTS:
            return None
