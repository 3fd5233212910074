"""What the states of a tree's partitions remember."""

from __future__ import annotations

import os

from cxrsync.config.selection import Selection
from cxrsync.errors import UsageError
from cxrsync.storage.state_db import State
from cxrsync.storage.state_snapshot import STATE_NAME
from cxrsync.storage.tree import Tree


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
                found.update((each.path, each.observed) for each in state.mismatches())
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
