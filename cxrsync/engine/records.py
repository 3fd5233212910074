"""What a run leaves for later: ``runs/<UTC>.json``, and ``progress.json`` while it is at work."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiofiles

from cxrsync.model import Summary
from cxrsync.store.layout import FILE_MODE, Tree, make_folders
from cxrsync.store.writing import write_file

PROGRESS_NAME = "progress.json"
_PROGRESS_SECONDS = 5.0


async def write_progress(tree: Tree, stamp: str, snapshot: Callable[[], Summary]) -> None:
    """Keep ``progress.json`` fresh, for `status` beside a running pull, until cancelled."""
    path = tree.own / PROGRESS_NAME
    fresh = path.with_name(f"{PROGRESS_NAME}.new")
    while True:
        text = json.dumps({"pid": os.getpid(), "run": stamp, **snapshot().as_json()})
        with suppress(OSError):  # a convenience: the run itself will meet a full disk
            async with aiofiles.open(fresh, "w", encoding="utf-8", opener=_private) as file:
                await file.write(text)
            os.replace(fresh, path)
        await asyncio.sleep(_PROGRESS_SECONDS)


def read_progress(tree: Tree) -> dict[str, Any] | None:
    """What a pull that is at work on the tree has done so far; None if none is."""
    try:
        raw = json.loads((tree.own / PROGRESS_NAME).read_bytes())
        os.kill(int(raw["pid"]), 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(raw)


def keep_summary(tree: Tree, stamp: str, summary: Summary) -> None:
    """Write down what a run did, for later."""
    with suppress(OSError, ValueError):  # a full disk must not hide what filled it
        make_folders(tree.own / "runs")
        text = json.dumps(summary.as_json(), indent=1)
        write_file(tree.own / "runs" / f"{stamp}.json", text.encode())
        # Another run on another shard may be at work, and its news are not ours to take away.
        if json.loads((tree.own / PROGRESS_NAME).read_bytes()).get("run") == stamp:
            (tree.own / PROGRESS_NAME).unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, FILE_MODE)
