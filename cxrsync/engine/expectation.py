"""What a tree ought to hold, for whoever only reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cxrsync.catalog import describe
from cxrsync.engine.manifest_file import ManifestFile
from cxrsync.engine.plan import survey
from cxrsync.errors import UsageError
from cxrsync.job import Selection
from cxrsync.manifest.select import any_wanted, wanted
from cxrsync.model import Entry, Found, Row
from cxrsync.store.layout import Tree
from cxrsync.store.state import STATE_NAME, State


@dataclass(frozen=True, slots=True)
class Expectation:
    """Which files ought to be there, and in words. ``only_present``: nothing is known of what was
    asked for, so that only what is there can be judged."""

    is_wanted: Callable[[str], bool]
    words: str
    selections: tuple[Selection, ...]
    only_present: bool = False


def expectation(tree: Tree, dataset: str, selection: Selection, *, everything: bool) -> Expectation:
    """What a tree ought to hold: what is asked for now, else what it was pulled with."""
    known = describe(dataset)
    if everything or not selection.whole:
        return Expectation(wanted(selection, known), str(selection), (selection,))
    remembered: dict[Selection, None] = {}
    for name in partition_names(tree):
        state = State.read(tree.partition(name))
        if state is not None:
            with state:
                remembered.update(dict.fromkeys(state.selections()))
    if not remembered:
        return Expectation(lambda _path: True, "what is there", (selection,), only_present=True)
    selections = tuple(remembered)
    return Expectation(any_wanted(selections, known), "; ".join(map(str, selections)), selections)


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
    tree: Tree, manifest: ManifestFile, expected: Expectation
) -> Iterator[tuple[int, Entry, Row | None, Found | None]]:
    """Every expected entry beside what is on the disk, whatever the state claims."""
    none: dict[str, Iterator[Row]] = {name: iter(()) for name in manifest.partitions}
    return survey(manifest, expected.is_wanted, none, tree)
