"""Getting the manifest: fetched whole and put under its own name, or only the slices that matter;
asked for again only if changed."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from cxrsync.engine.flight import Flight, fetch_alone
from cxrsync.engine.manifest_file import (
    CURRENT,
    PARTIAL,
    Kept,
    ManifestFile,
    looks_like_one,
    manifests_folder,
    read_kept,
)
from cxrsync.engine.run import Run
from cxrsync.engine.slices import fetch_slices
from cxrsync.engine.transfer import Line, Transfer
from cxrsync.errors import BadAnswer, DiskError
from cxrsync.manifest.slices import KeyRange
from cxrsync.model import MANIFEST_NAME, Entry, Ref
from cxrsync.store.hashing import digest_of
from cxrsync.store.layout import Tree, make_folders
from cxrsync.store.lock import Lock
from cxrsync.store.partial import Partial
from cxrsync.store.publish import Ready, publish
from cxrsync.store.threads import in_thread
from cxrsync.store.writing import write_file

_WAIT_FOR_OTHERS = 3600.0
# Later the run waits for --give-up-after, but a mistyped address should say so at once.
_FIRST_ANSWER_SECONDS = 15.0
# A hundred times that of the largest dataset we know: what is larger is a server gone wrong.
_MOST_BYTES = 8 << 30


async def obtain(
    run: Run, keys: tuple[KeyRange, ...] | None = None, *, ask: bool = True
) -> ManifestFile:
    """The version's manifest as it is at the source now; fetched only if it is not here yet.

    With ``keys``, where the whole is not here and is large, only the slices that hold them are
    fetched. Without ``ask`` what this run has been told before is believed.

    Raises NotFound where there is no such version, and what ends a run.
    """
    limits = run.job.limits
    folder = manifests_folder(run.tree)
    flight = Flight()
    partial = Partial(folder, PARTIAL, proved=False)
    line = run.line(flight, min(_FIRST_ANSWER_SECONDS, limits.give_up_after))
    # Its partial has no digest for a name: two runs must not write it at once.
    lock = Lock(folder, wait=_WAIT_FOR_OTHERS, describe="the manifest")
    try:
        await in_thread(lambda: lock.acquire(run.stop.flag))
        if keys is not None and run.tree.find(MANIFEST_NAME) is None:
            ref = run.ref(MANIFEST_NAME)
            part = await fetch_slices(line, flight, ref, partial, keys, ask=ask)
            if part is not None:
                return part
        await _fetch_whole(run, line, flight, partial)
    finally:
        try:
            await in_thread(partial.save)
        finally:
            # Whatever the disk says: a lock that a living process holds keeps everyone out.
            await in_thread(lock.release)
            partial.close()
    return await in_thread(lambda: ManifestFile(run.tree.manifest))


async def _fetch_whole(run: Run, line: Line, flight: Flight, partial: Partial) -> None:
    connections = run.job.limits.connections
    transfer = await _begin(run.tree, line, partial, run.ref(MANIFEST_NAME))
    await fetch_alone(flight, transfer, connections)
    if transfer.complete and not _is_proved(run.tree, transfer):
        await transfer.start_over(partial.epoch)
        await fetch_alone(flight, transfer, connections)
    if transfer.failed is not None:
        raise transfer.failed
    if not transfer.unchanged:
        await in_thread(lambda: _publish(run.tree, partial, run.stamp))


async def _begin(tree: Tree, line: Line, partial: Partial, ref: Ref) -> Transfer:
    kept = read_kept(tree)
    found = tree.find(MANIFEST_NAME)
    known = (
        kept is not None
        and found is not None
        and (kept.size, kept.mtime_ns) == found
        and kept.source == line.source.identity
    )
    skip_if = kept.validator if known and kept is not None else None
    transfer = Transfer(line, ref, partial, skip_if=skip_if, most=_MOST_BYTES)
    if found is not None and kept is None:
        # wget left one. If the source's has its size and time (wget's own rule) it is that one.
        await in_thread(lambda: _copy(tree.manifest, partial.path))
    # What the search for slices has brought is known by now, and perhaps nowhere but here.
    await transfer.begin(maybe_there=not known and not partial.size)
    binding = partial.binding
    # No digest will prove these bytes: only a strong validator lets us go on with our own.
    is_ours = kept is not None or found is None
    provable = (
        binding is not None
        and binding.validator is not None
        and binding.source == line.source.identity
    )
    if partial.size and is_ours and not provable:
        await transfer.start_over(partial.epoch)
    return transfer


def _copy(source: Path, target: Path) -> None:
    make_folders(target.parent)
    target.unlink(missing_ok=True)  # perhaps the same file still, by a name that a crash left
    shutil.copyfile(source, target)
    target.with_name(f"{target.name}.json").unlink(missing_ok=True)


def _is_proved(tree: Tree, transfer: Transfer) -> bool:
    """Whether another tool's manifest, taken for a beginning, is the source's own."""
    binding = transfer.partial.binding
    if not transfer.resumed or binding is None:
        return True
    found = tree.find(MANIFEST_NAME)
    if found is None or read_kept(tree) is not None:
        return True  # our own bytes, resumed under If-Range
    same_time = binding.modified is not None and int(binding.modified) == found.mtime_ns // 10**9
    return binding.total == found.size and same_time


def _publish(tree: Tree, partial: Partial, stamp: str) -> None:
    """Put the manifest in its place; the one before it is kept."""
    folder = manifests_folder(tree)
    binding = partial.binding
    assert binding is not None

    if binding.total and not looks_like_one(partial.path):
        # A page of HTML with status 200, say. What was here stays.
        partial.discard()
        raise BadAnswer(f"what the server sends as {MANIFEST_NAME} is no manifest")

    digest = partial.digest()

    def keep(_path: str) -> None:
        if digest_of(str(tree.manifest)) != digest:
            kept = folder / f"{stamp}-{MANIFEST_NAME}"
            try:
                shutil.copy2(tree.manifest, kept)
            except OSError:
                kept.unlink(missing_ok=True)  # the half of it would pass for the whole
                raise

    [found] = publish(tree, [Ready(Entry(MANIFEST_NAME, ""), partial)], keep)
    if isinstance(found, OSError):
        raise DiskError(f"cannot put {tree.manifest} in place: {found.strerror}") from found
    kept = Kept(binding.source, binding.validator, found.size, found.mtime_ns, digest)
    write_file(folder / CURRENT, json.dumps(asdict(kept)).encode())
