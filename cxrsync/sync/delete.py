"""Move files that left the manifest to the trash.

A file may go only if an earlier manifest, which was kept, lists its path, if its bytes are those of
that manifest, and if the present manifest does not list the path. What merely left the selection
is still listed, and stays; what was never the dataset's is in no manifest, and is not touched.

The candidates are found without a lock. Their partitions are locked before their bytes are hashed.
Each file is moved by one rename, after its record is deleted: a run that is killed in between
leaves files that the next run moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

from cxrsync import humanize
from cxrsync.dataset.copies import copies_roots
from cxrsync.dataset.local_manifest import manifests_folder
from cxrsync.dataset.locking import shared_lock_timeout
from cxrsync.dataset.resolve_selection import ResolvedSelection
from cxrsync.dataset.run_context import RunContext
from cxrsync.errors import CxrsyncError
from cxrsync.events import Deleted, Notice
from cxrsync.manifest.clashes import name_key
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.key_ranges import is_in_key_ranges
from cxrsync.model import MANIFEST_NAME, ROOT, Entry, partition_of
from cxrsync.plan.deletions import Withdrawn, check_deletions, withdrawn
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.trash import Trash
from cxrsync.storage.tree import Tree
from cxrsync.sync.delete_copies import delete_copies, has_copies
from cxrsync.sync.partitions import Partitions
from cxrsync.threads import run_in_thread

_BATCH = 64


async def delete_withdrawn(run: RunContext, selected: ResolvedSelection) -> None:
    """Move the files of the run's target that left the manifest to the trash.

    Only files in the partitions of the selection are considered; with slices of a manifest, only
    those within the slices.

    Raises: RefusedForSafety if they are too many (then none is moved), Locked, LockLost, DiskError.
    """
    tree, manifest = run.target.tree, selected.manifest
    candidates = await run_in_thread(lambda: find_withdrawn(run, selected))
    if not candidates:
        return
    if manifest.refused_lines:
        run.emit(
            Notice(
                f"nothing is deleted: {manifest.refused_lines:,} lines of the manifest are "
                "rejected, and may be those of files that seem to have left it"
            )
        )
        return
    names = {partition_of(each.path) for each in candidates}
    partitions = Partitions(tree, names, run.stamp, run.now)
    limits = run.job.limits
    timeout = shared_lock_timeout(limits) if names == {ROOT} else limits.wait_lock
    await partitions.open(timeout, run.emit, run.cancel.fail)
    try:
        await _delete(run, manifest, partitions, candidates)
    except BaseException:
        with suppress(CxrsyncError):  # the first error is the one to raise
            await partitions.close()
        raise
    await partitions.close()


async def _delete(
    run: RunContext, manifest: ManifestFile, partitions: Partitions, candidates: list[Withdrawn]
) -> None:
    tree, root = run.target.tree, str(run.target.tree.root)
    listed = await run_in_thread(lambda: sum(1 for _entry in manifest.entries()))
    most = run.job.refresh.max_delete
    roots = await run_in_thread(lambda: copies_roots(run.target))
    paths: list[str] = []
    copied: list[Withdrawn] = []
    count = 0
    for each in candidates:
        has_file = await run_in_thread(partial(_has_known_bytes, tree, each))
        has_copy = await run_in_thread(partial(has_copies, roots, each.path))
        count += has_file or has_copy
        check_deletions(most, count, listed, root)  # before more files are hashed
        if has_file:
            paths.append(each.path)
        if has_copy:
            copied.append(each)
    trash = Trash(tree, run.stamp, lambda path: partitions.check([partition_of(path)]))
    moved = 0
    for start in range(0, len(paths), _BATCH):
        batch = paths[start : start + _BATCH]
        await partitions.delete_records(batch)
        for path in batch:
            size = await run_in_thread(partial(_move, trash, tree, path))
            if size is not None:
                moved += 1
                run.emit(Deleted(1, size))
    if moved:
        run.emit(Notice(f"{humanize.files(moved)} that left the manifest: now in {trash.folder}"))
    if copied:
        await _delete_copies(run, partitions, copied, trash.folder)


async def _delete_copies(
    run: RunContext, partitions: Partitions, copied: list[Withdrawn], trash: Path
) -> None:
    """Move the copies of files that left the manifest to the trash."""
    tree = run.target.tree
    await partitions.delete_records(each.path for each in copied if tree.find(each.path) is None)
    if moved := await delete_copies(run, copied, trash):
        which = "1 smaller copy" if moved == 1 else f"{moved:,} smaller copies"
        run.emit(Notice(f"{which} of files that left the manifest: now in {trash}"))


def _move(trash: Trash, tree: Tree, path: str) -> int | None:
    """Move a file to the trash; return its size, None if it was not there."""
    found = tree.find(path)
    try:
        trash.move(path)
    except FileNotFoundError:
        return None
    return 0 if found is None else found.size


def _has_known_bytes(tree: Tree, each: Withdrawn) -> bool:
    """Return whether the file has the bytes that an earlier manifest lists. A file that cannot be
    read stays where it is."""
    try:
        tree.check_parent(each.path)
        return sha256_file(tree.final(each.path)) in each.digests
    except OSError:
        return False


def find_withdrawn(run: RunContext, selected: ResolvedSelection) -> list[Withdrawn]:
    """Return what left the manifest and is on the disk, whatever its bytes are.

    Raises: OSError.
    """
    tree, manifest = run.target.tree, selected.manifest
    kept = sorted(manifests_folder(tree).glob(f"*-{MANIFEST_NAME}"))
    if not kept:
        return []
    roots = copies_roots(run.target)
    is_whole = any(each.whole for each in run.job.selections)

    def is_in_scope(path: str) -> bool:
        partition = partition_of(path)
        is_selected = partition in selected.partitions or (
            is_whole and run.target.dataset.is_in_partitions(partition, run.job.partitions)
        )
        return is_selected and is_in_key_ranges(manifest.keys, path)

    with ExitStack() as stack:
        earlier = [_entries(stack.enter_context(closing(ManifestFile(path)))) for path in kept]
        found = [
            each
            for each in withdrawn(earlier, _entries(manifest))
            if is_in_scope(each.path)
            and (tree.find(each.path) is not None or has_copies(roots, each.path))
        ]
    if found and any(tree.names):
        # A disk that cannot tell a from A: under the name that left may lie a file that is listed.
        keys = {name_key(each.path, tree.names) for each in found}
        keys &= {name_key(path, tree.names) for path in manifest.paths()}
        found = [each for each in found if name_key(each.path, tree.names) not in keys]
    return found


def _entries(manifest: ManifestFile) -> Iterator[Entry]:
    return (entry for _offset, entry in manifest.entries())
