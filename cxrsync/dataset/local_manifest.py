"""The manifest that lies in a tree, and what is known of it: whole, or the slices that came.

``current.json`` says where the manifest in place came from and which bytes arrived. No digest of a
manifest is published: this record is what shows that a disk has changed it since.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cxrsync.errors import Damaged, NotHere
from cxrsync.manifest.bisect import ManifestNotSorted
from cxrsync.manifest.file import ManifestFile, find_slices_on_disk, looks_like_manifest
from cxrsync.manifest.key_ranges import KeyRange
from cxrsync.model import MANIFEST_NAME, FileStat, is_validator
from cxrsync.sanitize import reason_of
from cxrsync.storage.atomic_write import write_file
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import UnexpectedFile, read_json
from cxrsync.storage.lock import Lock
from cxrsync.storage.partial_readers import open_best_partial
from cxrsync.storage.tree import Tree

CURRENT = "current.json"
PARTIAL = "partial"
# Records without a number were written by 0.1, which could cut a manifest to an older size and
# record the new validator with it: they are asked after before they are believed.
FORMAT = 2


@dataclass(frozen=True, slots=True)
class ManifestMetadata:
    """What we know of the manifest under its final name (``current.json``).

    ``validator`` is the source's for it, ``sha256`` that of the bytes that arrived.
    """

    source: str
    validator: str | None
    size: int
    mtime_ns: int
    sha256: str
    format: int = 1

    def as_json(self) -> dict[str, object]:
        """It as it stands in ``current.json``."""
        return {
            "source": self.source,
            "validator": self.validator,
            "size": self.size,
            "mtime_ns": self.mtime_ns,
            "sha256": self.sha256,
            "format": self.format,
        }


def manifests_folder(tree: Tree) -> Path:
    """Where earlier manifests lie, and what is known of the present one."""
    return tree.own / "manifests"


def read_metadata(tree: Tree) -> ManifestMetadata | None:
    """What we know of the manifest in place; None if it is not ours."""
    try:
        kept = ManifestMetadata(**read_json(manifests_folder(tree) / CURRENT))
    except (OSError, ValueError, TypeError):
        return None
    numbers = (kept.size, kept.mtime_ns, kept.format)
    texts = (kept.source, kept.sha256, "" if kept.validator is None else kept.validator)
    sound = all(type(each) is int for each in numbers) and all(type(t) is str for t in texts)
    return kept if sound and (kept.validator is None or is_validator(kept.validator)) else None


def write_metadata(
    tree: Tree, lock: Lock, source: str, validator: str | None, found: FileStat, sha256: str
) -> None:
    """Note what is known of the manifest in place. Raises OSError, LockLost, DiskError."""
    kept = ManifestMetadata(source, validator, found.size, found.mtime_ns, sha256, FORMAT)
    words = json.dumps(kept.as_json()).encode()
    write_file(manifests_folder(tree) / CURRENT, words, check_lock=lock.check)


def open_local(tree: Tree, keys: tuple[KeyRange, ...] | None = None) -> ManifestFile:
    """The manifest that lies in the tree, for whoever only reads; or, where a pull has fetched no
    more of it, its slices for ``keys`` (None: the whole is needed).

    Raises NotHere where there is none of it, Damaged where it is not the one that was fetched.
    """
    mend = "Run `cxrsync pull` again: it fetches the manifest anew, and nothing that is right."
    try:
        if tree.find(MANIFEST_NAME) is None:
            if (part := _open_slices(tree, keys)) is not None:
                return part
            raise UnexpectedFile(errno.ENOENT, "no such file")
        kept = read_metadata(tree)
        if kept is not None and sha256_file(str(tree.manifest)) != kept.sha256:
            raise Damaged(f"{tree.manifest} is not the manifest that was fetched", next_step=mend)
        if not looks_like_manifest(tree.manifest):
            raise Damaged(f"{tree.manifest} is no manifest", next_step=mend)
        return ManifestFile(tree.manifest)
    except OSError as problem:
        raise NotHere(
            f"{tree.root} holds no {MANIFEST_NAME} ({reason_of(problem)})",
            next_step="Name the tree with --dest, or run `cxrsync pull` first.",
        ) from None


def _open_slices(tree: Tree, keys: tuple[KeyRange, ...] | None) -> ManifestFile | None:
    """The slices of a manifest that is here in part. None where there is not even a part."""
    opened = open_best_partial(manifests_folder(tree), PARTIAL, digest_known=False)
    if opened is None:
        return None
    fd, stock = opened
    with os.fdopen(fd, "rb") as file:
        total = None if stock.object_version is None else stock.object_version.total
        if keys is not None and total is not None:
            with suppress(LookupError, ManifestNotSorted):
                slices = find_slices_on_disk(fd, stock.ranges, keys, total)
                again = os.fdopen(os.dup(file.fileno()), "rb")
                return ManifestFile(manifests_folder(tree) / PARTIAL, slices, keys, opened=again)
    raise NotHere(
        f"{tree.root} holds only a part of its {MANIFEST_NAME}",
        next_step="What was pulled can be asked about; for anything else `cxrsync ls` fetches "
        "the rest of the manifest first.",
    )
