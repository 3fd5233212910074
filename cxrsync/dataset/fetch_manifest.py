"""Fetch the manifest of a version: the whole file, or only the slices that a selection needs.

The manifest is downloaded again only if it has changed at the source. No digest of the manifest is
published, so nothing proves its bytes directly. These rules decide which bytes are trusted:

1. The local manifest is hashed first. If its digest is not the one that was recorded when it
   arrived, the disk has changed it.
2. Bytes of several responses are joined only if all of them have the same strong ETag. Without one,
   the manifest must arrive in one response.
3. The manifest is complete if the server stated its total size and all bytes arrived, or if the
   framing of the response proves the end. If the response ended only by a closed connection
   (RFC 9112, section 8), one more request asks for bytes after that end. If that request gives no
   answer, the manifest must arrive twice with the same bytes. If even the end of the stream can be
   forged (TLS without a closing alert), two equal arrivals prove nothing: an attacker on the
   network can cut both at the same byte.
4. A manifest that has lost more than a tenth of its lines does not replace the local one; nor does
   one that is not sorted, although the local one is.
"""

from __future__ import annotations

from dataclasses import dataclass

from cxrsync.dataset.fetch_manifest_slices import fetch_slices
from cxrsync.dataset.local_manifest import (
    FORMAT,
    PARTIAL,
    ManifestMetadata,
    manifests_folder,
    read_metadata,
    write_metadata,
)
from cxrsync.dataset.locking import LockedFolder, call_in_loop, shared_lock_timeout
from cxrsync.dataset.lost_entries import EarlierSlices
from cxrsync.dataset.publish_manifest import ManifestPublisher
from cxrsync.dataset.run_context import RunContext
from cxrsync.dataset.shared_tree import share_slices
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
from cxrsync.progress_events import Activity, Phase
from cxrsync.sources.base import BodyEnd, Opened, PastEnd, SourceChanged, identity_of
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.lock import Lock
from cxrsync.storage.partial import Partial
from cxrsync.storage.trash import Trash
from cxrsync.threads import run_in_thread
from cxrsync.transfer.pool import TransferPool, fetch_alone
from cxrsync.transfer.transfer import Transfer
from cxrsync.transfer.transfer_context import TransferContext
from cxrsync.transfer.transfer_options import TransferOptions

# A hundred times the manifest of the largest known dataset: a larger response is a server's fault.
_MAX_BYTES = 8 << 30
_MAX_ATTEMPTS = 3
_UNPROVEN_ENDS = {BodyEnd.CLOSED, BodyEnd.FORGEABLE}
# Errors that say nothing about the manifest. The transfer that follows waits and retries.
_TEMPORARY_ERRORS = (Interrupted, InvalidResponse, SourceChanged, Throttled, Unreachable)


async def fetch_manifest(
    run: RunContext, keys: tuple[KeyRange, ...] | None = None, *, revalidate: bool = True
) -> ManifestFile:
    """Return the manifest of the version as the source has it now; download only what is missing.

    ``keys``: if the local tree has no manifest and the source's is large, fetch only the slices
    with these keys. ``revalidate`` False: local slices are used without asking the source whether
    they are current, because this run has asked before.

    Raises: NotFound if the version does not exist, RefusedForSafety if the manifest has lost too
    many lines or is not sorted any more, and any CxrsyncError that ends the run.
    """
    tree = run.target.tree
    folder = manifests_folder(tree)
    # The partial of a manifest is not named by a digest: two runs must not write it at once.
    lock = Lock(folder, describe="the manifest", on_loss=call_in_loop(run.cancel.fail))
    locked_folder = LockedFolder(lock, folder, only=PARTIAL, digest_known=False)
    run.emit(Phase(Activity.MANIFEST, run.target.name))
    await run_in_thread(lambda: tree.make_own_folder(folder))
    await locked_folder.acquire(shared_lock_timeout(run.job.limits), run.emit)
    partial = Partial(folder, PARTIAL, digest_known=False, lease=lock)
    try:
        return await _fetch(run, lock, partial, keys, revalidate=revalidate)
    except OSError:
        # If another run has taken the lock over, that is the cause, and not the disk.
        await run_in_thread(lock.check)
        raise
    finally:
        try:
            await run_in_thread(partial.save)
        finally:
            partial.close()
            await locked_folder.release()
            await run_in_thread(lambda: share_slices(tree, tree.access))


async def _fetch(
    run: RunContext,
    lock: Lock,
    partial: Partial,
    keys: tuple[KeyRange, ...] | None,
    *,
    revalidate: bool,
) -> ManifestFile:
    tree, pool = run.target.tree, TransferPool()
    context = run.transfer_context(pool)
    earlier: EarlierSlices | None = None
    if keys is not None and tree.find(MANIFEST_NAME) is None:
        ref = run.target.remote(MANIFEST_NAME)
        await run_in_thread(partial.load)
        earlier = await run_in_thread(lambda: EarlierSlices.read_from(partial))
        slices = await fetch_slices(context, pool, ref, partial, keys, revalidate=revalidate)
        if slices is not None:
            publisher = ManifestPublisher(run, lock, partial, earlier)
            await run_in_thread(lambda: publisher.accept_slices(slices))
            return slices
    publisher = ManifestPublisher(run, lock, partial, earlier)
    whole = _WholeManifest(run, lock, partial, context, pool)
    if await whole.fetch():
        await run_in_thread(publisher.publish)
    return await run_in_thread(lambda: ManifestFile(tree.manifest))


@dataclass(frozen=True, slots=True)
class _LocalManifest:
    """The manifest in the local tree: its size and time, its metadata, the digest of its bytes.

    ``metadata`` None: another tool wrote the file.
    """

    stat: FileStat
    metadata: ManifestMetadata | None
    sha256: str


def is_unchanged(local: FileStat, metadata: ManifestMetadata, source: str, answer: Opened) -> bool:
    """Return whether the local manifest is the source's, by the source's answer for one byte.

    The strong ETag and the total must agree; the time must agree too if the local manifest came
    from another address. Size and time alone never suffice: they do not prove the bytes.
    """
    if answer.total != local.size:
        return False
    same_time = answer.modified is not None and int(answer.modified) == local.mtime_ns // 10**9
    same_tag = metadata.validator is not None and metadata.validator == answer.validator
    return same_tag and (metadata.source == source or same_time)


class _WholeManifest:
    """Fetch the whole manifest of a version into its partial."""

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

    @property
    def _source(self) -> str:
        return identity_of(self._run.source, self._ref)

    async def fetch(self) -> bool:
        """Fetch the manifest unless the local one is current; return whether it was fetched.

        Raises: any CxrsyncError that ends the run.
        """
        local = await run_in_thread(self._inspect_local)
        skip_if = None
        if local is not None and local.stat.size:
            metadata = local.metadata
            is_known = metadata is not None and metadata.format == FORMAT
            if metadata is not None and is_known and metadata.source == self._source:
                skip_if = metadata.validator
            elif metadata is not None and await self._confirm(local, metadata):
                return False
        return await self._fetch(skip_if)

    def _inspect_local(self) -> _LocalManifest | None:
        """Return the local manifest; None if there is none.

        A manifest that the disk has damaged is moved to the trash. Compared with the new one, it
        would make the publisher look as if it had removed lines.
        """
        tree = self._tree
        found = tree.find(MANIFEST_NAME)
        if found is None:
            return None
        metadata, sha256 = read_metadata(tree), sha256_file(str(tree.manifest))
        if metadata is None or sha256 == metadata.sha256:
            return _LocalManifest(found, metadata, sha256)
        if (metadata.size, metadata.mtime_ns) != found:
            return _LocalManifest(found, None, sha256)  # another tool has replaced the file
        trash = Trash(tree, self._run.stamp, lambda _path: self._lock.check())
        trash.move(MANIFEST_NAME)
        self._run.emit(
            Notice(
                f"{tree.manifest} has changed on the disk since it was downloaded: it was moved to "
                f"{trash.folder} and is downloaded again"
            )
        )
        return None

    async def _confirm(self, local: _LocalManifest, metadata: ManifestMetadata) -> bool:
        """Return whether the local manifest is the source's; ask for its last byte to find out."""
        size = local.stat.size
        try:
            async with self._context.source.open(self._ref, size - 1, size) as answer:
                pass
        except _TEMPORARY_ERRORS:
            return False
        if not isinstance(answer, Opened):
            return False
        if not is_unchanged(local.stat, metadata, self._source, answer):
            return False
        validator = answer.validator
        await run_in_thread(
            lambda: write_metadata(
                self._tree, self._lock, self._source, validator, local.stat, local.sha256
            )
        )
        return True

    async def _fetch(self, skip_if: str | None) -> bool:
        """Fetch the manifest into the partial until it is proved complete. False: not changed.

        Raises: InvalidResponse if no attempt proves where the manifest ends, and any CxrsyncError
        that ends the run.
        """
        # A search for slices has just loaded the partial, and the source has confirmed its bytes.
        searched = bool(self._partial.size)
        if not searched:
            await run_in_thread(self._partial.load)
        bound = self._partial.object_version
        if bound is None or bound.validator is None or bound.source != self._source:
            await run_in_thread(self._partial.discard)  # no proof of which manifest it is a part of
        elif self._partial.size:
            skip_if = None  # the partial belongs to a newer manifest than the local one
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
            if transfer.end not in _UNPROVEN_ENDS or await self._is_whole(transfer.end, seen):
                return True
            await transfer.restart(self._partial.generation)
        raise InvalidResponse(
            f"the server sends {MANIFEST_NAME} without its length, and nothing shows that it "
            "arrived complete"
        )

    async def _is_whole(self, end: BodyEnd | None, seen: set[tuple[int, str]]) -> bool:
        """Return whether the manifest is complete though only a closed connection ended it.

        ``seen``: size and digest of the earlier arrivals that were not proved complete.
        """
        size = self._partial.size
        has_more = await self._has_more_bytes(size)
        if has_more is not None:
            return not has_more
        if end is BodyEnd.FORGEABLE:
            return False
        arrival = (size, await run_in_thread(self._partial.digest))
        ends_with_newline = (
            size > 0 and await run_in_thread(lambda: self._partial.read(size - 1, size)) == b"\n"
        )
        if arrival in seen and ends_with_newline:
            return True
        seen.add(arrival)
        return False

    async def _has_more_bytes(self, size: int) -> bool | None:
        """Return whether the source's manifest is longer than ``size``; None if unknown."""
        bound = self._partial.object_version
        tag = None if bound is None else bound.validator
        try:
            async with self._context.source.open(self._ref, size, resume_if=tag) as answer:
                if isinstance(answer, Opened | PastEnd) and answer.total is not None:
                    return answer.total != size
                return True if isinstance(answer, Opened) and answer.start == size > 0 else None
        except _TEMPORARY_ERRORS:
            return None
