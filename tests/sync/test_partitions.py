"""The locks and states that a run holds: released whatever ends the run."""

import asyncio
from pathlib import Path

import pytest

from cxrsync.storage.tree import Tree
from cxrsync.sync.partitions import Partitions

NAMES = ("p10", "root")


async def test_a_cancellation_while_a_partition_is_released_leaves_no_lock(tmp_path: Path) -> None:
    """A notebook's process lives on: its own lock would keep its next pull out."""
    tree = Tree(tmp_path)
    tree.create()
    partitions = Partitions(tree, NAMES, "now")
    await partitions.open(0.0, lambda _event: None, pytest.fail)
    with partitions._checking:  # as a check holds it while it looks at a slow disk
        closing = asyncio.create_task(partitions.close())
        while not any(thread_waits(partitions)):
            await asyncio.sleep(0.01)
        closing.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await closing
    again = Partitions(tree, NAMES, "later")
    await again.open(0.0, lambda _event: None, pytest.fail)
    await again.close()


def thread_waits(partitions: Partitions) -> list[bool]:
    """Whether a state is closed already: what follows waits for the check."""
    return [name not in partitions._states for name in NAMES]
