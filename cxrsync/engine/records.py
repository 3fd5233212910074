"""What a run leaves for later: ``runs/<UTC>.json``, and ``progress.json`` while it is at work."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiofiles

from cxrsync.model import Summary
from cxrsync.store.layout import FILE_MODE, Tree, make_folders, read_json
from cxrsync.store.threads import ended
from cxrsync.store.writing import UNFINISHED, write_file

PROGRESS_NAME = "progress.json"
_PROGRESS_SECONDS = 5.0
# What a reader goes by.
_COUNTED = {"selected", "present", "fetched", "adopted"}


async def write_progress(tree: Tree, stamp: str, snapshot: Callable[[], Summary]) -> None:
    """Keep ``progress.json`` fresh, for `status` beside a running pull, until cancelled."""
    while True:
        raw = {"pid": os.getpid(), "run": stamp, **snapshot().as_json()}
        with suppress(OSError):  # a convenience: the run itself will meet a full disk
            await ended(asyncio.ensure_future(_put(tree.own / PROGRESS_NAME, json.dumps(raw))))
        await asyncio.sleep(_PROGRESS_SECONDS)


async def _put(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
    fresh.unlink(missing_ok=True)  # whatever lies there may be a link to somebody's file
    async with aiofiles.open(fresh, "x", encoding="utf-8", opener=_private) as file:
        await file.write(text)
    os.replace(fresh, path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, FILE_MODE)


def read_progress(tree: Tree) -> dict[str, Any] | None:
    """What a pull that is at work on the tree has done so far; None if none is."""
    try:
        raw = read_json(tree.own / PROGRESS_NAME)
        counts = [raw["pid"], *raw["files"].values()]
        if not all(type(count) is int and count >= 0 for count in counts):
            return None
        if not raw["files"].keys() >= _COUNTED:
            return None
        os.kill(raw["pid"], 0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    return dict(raw)


def keep_summary(tree: Tree, stamp: str, summary: Summary) -> None:
    """Write down what a run did, for later."""
    with suppress(OSError, ValueError):  # a full disk must not hide what filled it
        make_folders(tree.own / "runs")
        text = json.dumps(summary.as_json(), indent=1)
        write_file(tree.own / "runs" / f"{stamp}.json", text.encode())
        # Another run on another shard may be at work, and its news are not ours to take away.
        progress = read_json(tree.own / PROGRESS_NAME)
        if isinstance(progress, dict) and progress.get("run") == stamp:
            (tree.own / PROGRESS_NAME).unlink()
