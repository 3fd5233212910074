"""Whoever hands work to a thread waits for its end, whatever happens meanwhile."""

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cxrsync.threads import in_loop_thread, run_in_thread


class Work:
    """Something that a thread does until it is let go."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.done = False
        self._error = error
        self._begun = threading.Event()
        self._go = threading.Event()

    def __call__(self) -> str:
        self._begun.set()
        assert self._go.wait(60)
        self.done = True
        if self._error is not None:
            raise self._error
        return "result"

    def let_go(self) -> None:
        self._go.set()

    async def begun(self) -> None:
        await asyncio.to_thread(self._begun.wait, 10)


async def limiter(count: int = 5) -> None:
    """Let the loop take a few turns: time enough for anything that would end too early."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_result_and_the_thread() -> None:
    assert await run_in_thread(threading.get_ident) != threading.get_ident()
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        name = await run_in_thread(lambda: threading.current_thread().name, pool)
    assert name.startswith("mine")


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyError("x")])
async def test_exceptions_pass_through(error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await run_in_thread(fail)
    assert caught.value is error


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("error", [None, OSError(28, "full")])
async def test_cancellation_waits_for_the_thread(times: int, error: OSError | None) -> None:
    work = Work(error)
    task = asyncio.create_task(run_in_thread(work))
    await work.begun()
    for _ in range(times):
        task.cancel()
        await limiter()
        assert not task.done()
        assert not work.done
    work.let_go()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.done
    assert task.cancelled()


async def test_a_failure_of_the_thread_is_not_reported_again_after_a_cancellation() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: reported.append(what))
    work = Work(OSError(28, "full"))
    task = asyncio.create_task(run_in_thread(work))
    await work.begun()
    task.cancel()
    await limiter()
    work.let_go()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    await limiter()
    assert reported == []


async def test_work_that_has_not_begun_is_waited_for_too() -> None:
    """It would begin all the same, behind our back."""
    first, second = Work(), Work()
    with ThreadPoolExecutor(1) as pool:
        one = asyncio.create_task(run_in_thread(first, pool))
        two = asyncio.create_task(run_in_thread(second, pool))
        await first.begun()
        two.cancel()
        await limiter()
        assert not two.done()
        first.let_go()
        assert await one == "result"
        await second.begun()
        second.let_go()
        with pytest.raises(asyncio.CancelledError):
            await two
    assert second.done


async def test_a_timeout_around_it_comes_late_but_comes() -> None:
    work = Work()
    loop = asyncio.get_running_loop()

    async def impatient() -> None:
        async with asyncio.timeout(0):
            loop.call_later(0.02, work.let_go)
            await run_in_thread(work)

    with pytest.raises(TimeoutError):
        await impatient()
    assert work.done


async def test_a_call_from_a_thread_is_run_in_the_loop_s_own() -> None:
    seen: list[tuple[str, bool]] = []
    own = threading.get_ident()

    def listen(word: str) -> None:
        seen.append((word, threading.get_ident() == own))

    emit = in_loop_thread(listen)
    emit("at once")
    assert seen == [("at once", True)]
    await run_in_thread(lambda: emit("from a thread"))
    # It was scheduled before the end of the thread was.
    assert seen == [("at once", True), ("from a thread", True)]
