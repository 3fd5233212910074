"""What a tree ought to hold, for whoever only reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from cxrsync.catalog.dataset_info import Dataset
from cxrsync.catalog.load import describe
from cxrsync.config.job import Job
from cxrsync.config.selection import Selection
from cxrsync.engine.beside import Home
from cxrsync.engine.choice import understand
from cxrsync.engine.local_manifest import open_local
from cxrsync.engine.plan import survey
from cxrsync.engine.tables import Tables, owners
from cxrsync.engine.version import destination
from cxrsync.errors import UsageError
from cxrsync.manifest.file import ManifestFile
from cxrsync.manifest.key_ranges import keys_of, needs_lookup
from cxrsync.model import MANIFEST_NAME, Entry, Found, Row
from cxrsync.storage.state_db import State
from cxrsync.storage.state_snapshot import STATE_NAME
from cxrsync.storage.tree import Tree


@dataclass(frozen=True, slots=True)
class Expectation:
    """Which files ought to be there, and in words. ``only_present``: nothing is known of what was
    asked for, so that only what is there can be judged."""

    manifest: ManifestFile
    is_wanted: Callable[[str], bool]
    words: str
    selections: tuple[Selection, ...]
    only_present: bool = False


@contextmanager
def expectation(tree: Tree, job: Job, version: str, *, everything: bool) -> Iterator[Expectation]:
    """What a tree ought to hold: what is asked for now, else what it was pulled with.

    Reads manifest and tables that are here already. Raises UsageError where they are not, or where
    nothing is meant; Damaged, BadTable.
    """
    asked = everything or not job.selection.whole
    selections = (job.selection,) if asked else remembered(tree)
    known = describe(job.dataset)
    tables = Tables(Home(tree, known, version), destination(job))
    with closing(_open(tree, selections, known, tables)) as manifest:
        if not selections:
            nothing_said = (job.selection,)
            yield Expectation(manifest, lambda _: True, "what is there", nothing_said, True)
            return
        meant = understand(selections, known, manifest, tables)
        words = "; ".join(map(str, selections))
        yield Expectation(manifest, meant.is_wanted, words, selections)


def _open(
    tree: Tree, selections: tuple[Selection, ...], known: Dataset, tables: Tables
) -> ManifestFile:
    """The manifest, or as much of it as these selections can mean."""
    lookups = [each for each in selections if needs_lookup(each)]
    keys = keys_of(selections, known, {})
    if keys is None and lookups and tree.find(MANIFEST_NAME) is None:
        keys = keys_of(selections, known, owners(tables, lookups))
    return open_local(tree, keys)


def remembered(tree: Tree) -> tuple[Selection, ...]:
    """What a tree was pulled with, as its states tell; empty where they do not."""
    found: dict[Selection, None] = {}
    for name in partition_names(tree):
        state = State.read(tree.partition(name))
        if state is None and not os.path.getsize(tree.partition(name) / STATE_NAME):
            continue  # a run of 0.1.0 was killed as it began
        if state is None:
            # Without it less would be judged than was pulled, and called right.
            raise UsageError(
                f"the state of {name} cannot be read: it knows what was pulled there",
                next_step="Say what to look for: --shard p10, for example, or --all; or run "
                "`cxrsync pull` again, which rebuilds it from the files.",
            )
        with state:
            found.update(dict.fromkeys(state.selections()))
    return tuple(found)


def observations(tree: Tree) -> frozenset[tuple[str, str]]:
    """Path and digest of the files that pulls have found to contradict the manifest."""
    found: set[tuple[str, str]] = set()
    for name in partition_names(tree):
        state = State.read(tree.partition(name))
        if state is not None:
            with state:
                found.update((each.path, each.observed) for each in state.contradictions())
    return frozenset(found)


def partition_names(tree: Tree) -> list[str]:
    """The partitions that have a state in the tree."""
    try:
        names = os.listdir(tree.own)
    except PermissionError:
        raise UsageError(
            f"{tree.own} cannot be read: it knows what this tree was pulled with",
            next_step="Say what to look for: --shard p10, for example, or --all.",
        ) from None
    except OSError:
        return []
    return sorted(name for name in names if (tree.own / name / STATE_NAME).is_file())


def without_proof(
    tree: Tree, expected: Expectation
) -> Iterator[tuple[int, Entry, Row | None, Found | OSError | None]]:
    """Every expected entry beside what is on the disk, whatever the state claims."""
    none: dict[str, Iterator[Row]] = {name: iter(()) for name in expected.manifest.partitions}
    return survey(expected.manifest, expected.is_wanted, none, tree)
