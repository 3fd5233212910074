"""Which version of a dataset, and whose tree the destination is."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path

from cxrsync.catalog import NAME, describe, load, nearest
from cxrsync.errors import DiskError, NotHere, UsageError
from cxrsync.job import Job
from cxrsync.model import Emit, Kind, Notice
from cxrsync.source.base import Source
from cxrsync.store.layout import (
    Tree,
    is_version_root,
    read_json,
    version_root,
    versions_present,
)
from cxrsync.store.writing import write_file

# Enough to pass over what wget leaves beside the first images.
_FILES_TO_JUDGE = 1000
_NUMBER = re.compile(r"[0-9]{1,18}")


async def choose_version(job: Job, source: Source, emit: Emit) -> str:
    """The version to work on: named, else the one in the destination, else the newest known."""
    if job.version is not None:
        return job.version
    tree = read_claim(Tree(job.dest))
    if tree is not None and tree[0] == job.dataset:
        return tree[1]
    here = versions_present(job.dest, job.dataset)
    if here:
        newest = max(here, key=_by_number)
        emit(Notice(f"version {newest} of {job.dataset}: it is the one in {job.dest}"))
        return newest
    known = describe(job.dataset).versions
    if job.dataset not in load():
        known = tuple(await source.versions(job.dataset))
    if not known:
        raise UsageError(
            f"no dataset {job.dataset} is known",
            next_step=f"Near: {nearest(job.dataset, list(load()))}. If the name is right, say "
            "--dataset-version too.",
        )
    newest = max(known, key=_by_number)
    emit(Notice(f"version {newest} of {job.dataset}: the newest one known"))
    return newest


def find_tree(job: Job) -> tuple[Tree, str]:
    """The tree and the version in the destination that the job means, for whoever only reads.

    Raises NotHere where there is none, UsageError where it is another's.
    """
    version = job.version
    claimed = read_claim(Tree(job.dest))
    if version is None and claimed is not None and claimed[0] == job.dataset:
        version = claimed[1]
    if version is None:
        here = versions_present(job.dest, job.dataset)
        version = max(here, key=_by_number) if here else None
    if version is None:
        # A version's own folder that wget filled says nothing of its number.
        version = (describe(job.dataset).versions or ("?",))[-1]
    tree = Tree(version_root(job.dest, job.dataset, version).absolute())
    if not is_version_root(tree.root):
        raise NotHere(
            f"no {job.dataset} {version} in {job.dest}",
            next_step="Name the folder with --dest, or run `cxrsync pull` first.",
        )
    claimed = read_claim(tree)
    if claimed is not None and claimed != (job.dataset, version):
        raise UsageError(f"{tree.root} holds {claimed[0]} {claimed[1]}")
    return tree, version


def trees_in(dest: Path) -> list[tuple[str, str]]:
    """Dataset and version of every tree of ours that ``dest`` is, or holds."""
    return [
        claimed
        for folder in (dest, *dest.glob("*/*"), *dest.glob("physionet.org/files/*/*"))
        if (claimed := read_claim(Tree(folder))) is not None
    ]


async def no_such_version(source: Source, dataset: str, version: str) -> UsageError:
    """The error for a version that the source does not have, naming those it has."""
    known = await source.versions(dataset) or list(describe(dataset).versions)
    if version in known:
        return UsageError(
            f"{source.identity} has no manifest of {dataset} {version}",
            next_step="Check --base-url (it ends in /files) or --from (it holds NAME/VERSION).",
        )
    if known:
        return UsageError(
            f"{dataset} has no version {version}",
            next_step=f"Its versions: {', '.join(sorted(known, key=_by_number))}.",
        )
    return UsageError(
        f"there is no dataset {dataset} (version {version})",
        next_step=f"Near: {nearest(dataset, list(load()))}.",
    )


def _by_number(version: str) -> list[tuple[int, int, str]]:
    """2.10 comes after 2.9; words after numbers."""
    parts = version.replace("-", ".").split(".")
    return [(0, int(part), "") if _NUMBER.fullmatch(part) else (1, 0, part) for part in parts]


def claim(tree: Tree, dataset: str, version: str) -> None:
    """Make the tree, prove that it can be written, and note whose it is.

    Raises UsageError where it is another dataset's already.
    """
    other = read_claim(tree)
    if other is not None and other != (dataset, version):
        raise UsageError(
            f"{tree.root} holds {other[0]} {other[1]}, not {dataset} {version}",
            next_step="Choose another --dest; one folder holds one version.",
        )
    if other is None and (stranger := _stranger(tree, dataset)):
        raise UsageError(
            f"{tree.root} holds images of {stranger}, not of {dataset}",
            next_step="Choose another --dest; one folder holds one version.",
        )
    tree.create()
    if other is None:
        words = json.dumps({"dataset": dataset, "version": version}).encode()
        try:
            write_file(tree.own / "tree.json", words)
            tree.made_file(tree.own / "tree.json", words)
        except OSError as problem:
            raise DiskError(f"cannot write to {tree.root}: {problem.strerror}") from None


def _stranger(tree: Tree, dataset: str) -> str | None:
    """The dataset whose images a tree holds that nobody has claimed, if it is another one."""
    mine = describe(dataset)
    for path in islice(tree.files("files"), _FILES_TO_JUDGE):
        if mine.kind_of(path) is Kind.IMAGES:
            return None
        for slug, other in load().items():
            if other.kind_of(path) is Kind.IMAGES:
                return slug
    return None


def read_claim(tree: Tree) -> tuple[str, str] | None:
    """Dataset and version of a tree, if one of our runs has noted them."""
    try:
        raw = read_json(tree.own / "tree.json")
        dataset, version = str(raw["dataset"]), str(raw["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # They become parts of paths and addresses.
    return (dataset, version) if NAME.fullmatch(dataset) and NAME.fullmatch(version) else None
