"""Read what the states of all partitions of a tree record: selections and mismatches."""

from __future__ import annotations

import os
from collections.abc import Iterator

from cxrsync.config.selection import Selection
from cxrsync.errors import UsageError
from cxrsync.model import FileRecord
from cxrsync.storage.state_db import State
from cxrsync.storage.state_snapshot import STATE_NAME
from cxrsync.storage.tree import Tree


def pulled_selections(tree: Tree) -> tuple[Selection, ...]:
    """Return the selections that the tree was pulled with; empty if no state records any.

    Raises: UsageError if a state cannot be read.
    """
    found: dict[Selection, None] = {}
    for name in partition_names(tree):
        state = State.read(tree.partition(name))
        if state is None and not os.path.getsize(tree.partition(name) / STATE_NAME):
            continue  # version 0.1.0 was killed before it wrote anything
        if state is None:
            # Without this state fewer files would be checked than were pulled, and the tree would
            # be called complete.
            raise UsageError(
                f"the state of {name}, which records what was pulled, cannot be read",
                next_step="Select files yourself (--shard p10, for example, or --all), or run "
                "`cxrsync pull` again, which rebuilds the state from the files.",
            )
        with state:
            found.update(dict.fromkeys(state.selections()))
    return tuple(found)


def known_mismatches(tree: Tree) -> frozenset[tuple[str, str]]:
    """Return path and observed digest of each mismatch that a pull has recorded."""
    found: set[tuple[str, str]] = set()
    for name in partition_names(tree):
        state = State.read(tree.partition(name))
        if state is not None:
            with state:
                found.update((each.path, each.observed) for each in state.mismatches())
    return frozenset(found)


def records_of_copies(tree: Tree, name: str) -> Iterator[FileRecord]:
    """Yield the records of those files of a partition that smaller copies have replaced."""
    state = State.read(tree.partition(name))
    if state is not None:
        with state:
            if state.may_have_copies:
                yield from (record for record in state.records() if record.copy is not None)


def partition_names(tree: Tree) -> list[str]:
    """Return the names of the partitions that have a state in the tree, sorted.

    Raises: UsageError if the folder of the states cannot be read.
    """
    try:
        names = os.listdir(tree.own)
    except PermissionError:
        raise UsageError(
            f"{tree.own}, which records what was pulled, cannot be read",
            next_step="Select files yourself: --shard p10, for example, or --all.",
        ) from None
    except OSError:
        return []
    return sorted(name for name in names if os.path.isfile(tree.own / name / STATE_NAME))
