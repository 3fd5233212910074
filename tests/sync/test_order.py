"""The order in which the tasks of a pull begin must not matter: no connection ends too early."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from e2e.scripted import SLUG, VERSION, ScriptedServer, differences, noise, pull_from

from cxrsync.errors import ExitCode
from cxrsync.sync.adopt import Adopter
from cxrsync.sync.copy_reusable import CarryOver
from cxrsync.sync.publisher import Publisher
from cxrsync.sync.scheduler import Scheduler

OLD = "0.9"
FILES = {f"files/p10/{number}.jpg": noise(f"{number}", 2_000) for number in range(6)}
Delay = Callable[[str], int]
"""The number of iterations of the event loop before a task begins, by the name of its coroutine."""


def late(*functions: Callable[..., Coroutine[Any, Any, None]]) -> Delay:
    """Let the tasks of these functions begin long after all others."""
    names = {function.__qualname__ for function in functions}
    return lambda name: 50 * (name in names)


def shuffled(seed: int) -> Delay:
    """Let the tasks begin in a random order."""
    dice = random.Random(seed)
    return lambda _name: dice.randrange(20)


def begin_in_order(delay: Delay) -> None:
    """Delay each task that this event loop creates from now on."""

    async def waiting(coroutine: Coroutine[Any, Any, Any], rounds: int) -> Any:
        begun = False
        try:
            for _ in range(rounds):
                await asyncio.sleep(0)
            begun = True
            return await coroutine
        finally:
            if not begun:
                coroutine.close()

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        rounds = delay(coroutine.__qualname__)
        return asyncio.Task(waiting(coroutine, rounds), loop=loop, **options)

    asyncio.get_running_loop().set_task_factory(make)


ORDERS = {
    "connections first": late(Adopter.run, CarryOver.run),
    "hashing first": late(Scheduler.serve_connection),
    "publisher last": late(Publisher.run),
    **{f"order {seed}": shuffled(seed) for seed in range(5)},
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("there", ["wrong", "short", "gone"])
async def test_wrong_files_are_fetched(tmp_path: Path, order: Delay, there: str) -> None:
    """All files have their final names, and some are wrong: only hashing finds that out. Or an
    older version lists all files and lacks some: only copying them over finds that out."""
    for number, (path, data) in enumerate(FILES.items()):
        version = OLD if there == "gone" else VERSION
        final = tmp_path / SLUG / version / path
        final.parent.mkdir(parents=True, exist_ok=True)
        if number % 2:
            final.write_bytes(data)
        elif there != "gone":
            final.write_bytes(data[:700] if there == "short" else bytes(len(data)))
    begin_in_order(order)
    with ScriptedServer(dict(FILES)) as server:
        if there == "gone":
            manifest = server.body("SHA256SUMS.txt")
            assert manifest is not None
            (tmp_path / SLUG / OLD / "SHA256SUMS.txt").write_bytes(manifest)
        pulled = await pull_from(server, tmp_path, connections=3)

    assert pulled.code == ExitCode.COMPLETE
    assert differences(tmp_path, FILES) == []
    files = pulled.summary
    assert files.selected.files == files.present.files + files.fetched.files + files.adopted.files
