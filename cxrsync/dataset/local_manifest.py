"""Read the manifest in a tree, whole or in slices, and the metadata that was recorded for it.

``current.json`` records the source of the manifest and the digest of the bytes that arrived. No
digest of a manifest is published: only this record shows that the disk has changed it since.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cxrsync.errors import ManifestDamaged, NotFetchedYet
from cxrsync.manifest.bisect import ManifestNotSorted
from cxrsync.manifest.file import ManifestFile, find_slices_on_disk, looks_like_manifest
from cxrsync.manifest.key_ranges import KeyRange
from cxrsync.model import MANIFEST_NAME, FileStat, is_validator
from cxrsync.sanitize import reason_of
from cxrsync.storage.atomic_write import write_file
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.filesystem import UnexpectedFile, forbidden_error, read_json
from cxrsync.storage.lock import Lock
from cxrsync.storage.partial_readers import open_best_partial
from cxrsync.storage.tree import Tree

CURRENT = "current.json"
PARTIAL = "partial"
# Version 0.1 wrote metadata without a format number. It could cut a manifest to an older size and
# record the new validator with it: the source is asked before such metadata is trusted.
FORMAT = 2


@dataclass(frozen=True, slots=True)
class ManifestMetadata:
    """The metadata of the manifest under its final name, as ``current.json`` holds it.

    ``validator``: the source's strong ETag. ``sha256``: the digest of the bytes that arrived.
    """

    source: str
    validator: str | None
    size: int
    mtime_ns: int
    sha256: str
    format: int = 1

    def as_json(self) -> dict[str, object]:
        """Return the content of ``current.json``."""
        return {
            "source": self.source,
            "validator": self.validator,
            "size": self.size,
            "mtime_ns": self.mtime_ns,
            "sha256": self.sha256,
            "format": self.format,
        }


def manifests_folder(tree: Tree) -> Path:
    """Return the folder of earlier manifests and of the metadata of the current one."""
    return tree.own / "manifests"


def read_metadata(tree: Tree) -> ManifestMetadata | None:
    """Return the metadata of the manifest in the tree; None if another tool wrote the manifest."""
    try:
        metadata = ManifestMetadata(**read_json(manifests_folder(tree) / CURRENT))
    except (OSError, ValueError, TypeError):
        return None
    numbers = (metadata.size, metadata.mtime_ns, metadata.format)
    texts = (
        metadata.source,
        metadata.sha256,
        "" if metadata.validator is None else metadata.validator,
    )
    has_types = all(type(each) is int for each in numbers) and all(type(t) is str for t in texts)
    if not has_types or (metadata.validator is not None and not is_validator(metadata.validator)):
        return None
    return metadata


def write_metadata(
    tree: Tree, lock: Lock, source: str, validator: str | None, found: FileStat, sha256: str
) -> None:
    """Record the metadata of the manifest in the tree. Raises: OSError, LockLost, DiskError."""
    metadata = ManifestMetadata(source, validator, found.size, found.mtime_ns, sha256, FORMAT)
    content = json.dumps(metadata.as_json()).encode()
    file = manifests_folder(tree) / CURRENT
    write_file(file, content, access=tree.access, check_lock=lock.check)


def open_local(tree: Tree, keys: tuple[KeyRange, ...] | None = None) -> ManifestFile:
    """Open the manifest in the tree for reading; take no lock.

    If a pull has fetched only slices, open the slices with ``keys`` (None: the whole manifest is
    needed).

    Raises: NotFetchedYet if the tree has no manifest, or not the slices; DiskError if we may not
    read it; ManifestDamaged if the
    manifest is not the one that was downloaded.
    """
    repair = "Run `cxrsync pull` again: it downloads the manifest again, and keeps verified files."
    try:
        if tree.find(MANIFEST_NAME) is None:
            if (slices := _open_slices(tree, keys)) is not None:
                return slices
            raise UnexpectedFile(errno.ENOENT, "no such file")
        metadata = read_metadata(tree)
        if metadata is not None and sha256_file(str(tree.manifest)) != metadata.sha256:
            raise ManifestDamaged(
                f"{tree.manifest} has changed since it was downloaded", next_step=repair
            )
        if not looks_like_manifest(tree.manifest):
            raise ManifestDamaged(f"{tree.manifest} is not a manifest", next_step=repair)
        return ManifestFile(tree.manifest)
    except PermissionError:
        raise forbidden_error(tree.manifest) from None
    except OSError as problem:
        raise NotFetchedYet(
            f"there is no {MANIFEST_NAME} in {tree.root} ({reason_of(problem)})",
            next_step="Name the tree with --dest, or run `cxrsync pull` first.",
        ) from None


def _open_slices(tree: Tree, keys: tuple[KeyRange, ...] | None) -> ManifestFile | None:
    """Open the slices of a manifest that was downloaded in part; None if there is no partial.

    Raises: NotFetchedYet if the partial lacks bytes that ``keys`` need.
    """
    opened = open_best_partial(manifests_folder(tree), PARTIAL, digest_known=False)
    if opened is None:
        return None
    fd, partial = opened
    with os.fdopen(fd, "rb") as file:
        total = None if partial.object_version is None else partial.object_version.total
        if keys is not None and total is not None:
            with suppress(LookupError, ManifestNotSorted):
                slices = find_slices_on_disk(fd, partial.ranges, keys, total)
                copy = os.fdopen(os.dup(file.fileno()), "rb")
                return ManifestFile(manifests_folder(tree) / PARTIAL, slices, keys, opened=copy)
    raise NotFetchedYet(
        f"{tree.root} holds only a part of its {MANIFEST_NAME}",
        next_step="If a pull was stopped meanwhile, run the same `cxrsync pull` again. Else select "
        "only what was pulled, or run `cxrsync ls` with this selection first: it fetches the "
        "missing part of the manifest.",
    )
