"""The options that name one tree, for the commands that a message advises."""

from __future__ import annotations

import shlex

from cxrsync.dataset.target import Target
from cxrsync.dataset.tree_identity import read_claim


def tree_options(target: Target) -> str:
    """Return the options that name exactly this tree, whatever else is beside it.

    A tree that no run of cxrsync has claimed may not tell its dataset and version: they are named.
    """
    root = f"--dest {shlex.quote(str(target.tree.root))}"
    if read_claim(target.tree) is not None:
        return root
    return f"--dataset {target.dataset.slug} --dataset-version {target.version} {root}"
