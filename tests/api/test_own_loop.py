"""A call in a thread of its own, and what an interrupt does to it."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from cxrsync.api import own_loop
from cxrsync.api.own_loop import OwnLoop
from cxrsync.cancellation import CancelToken
from cxrsync.errors import ExitCode, Stopped, UsageError

Saved = list[str]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "cxrsync":
            thread.join(5)
            assert not thread.is_alive()


def interrupt() -> None:
    """As Ctrl-C does: the main thread gets it, whatever it waits for."""
    assert threading.main_thread().ident is not None
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


async def until_stopped(
    cancel: CancelToken, saved: Saved, saving: Callable[[], object] = lambda: None
) -> None:
    """Work until the call is to end, then save: as a pull does."""
    try:
        with cancel.watching(None):
            await asyncio.sleep(30)
    except asyncio.CancelledError:
        await asyncio.to_thread(saving)
        saved.append("saved")
        raise Stopped("stopped as asked; the state is saved") from None


async def test_it_runs_beside_a_loop_that_runs_already() -> None:
    async def work(_cancel: CancelToken) -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    assert OwnLoop(work).run() != threading.get_ident()


def test_an_exception_is_the_callers() -> None:
    async def work(_cancel: CancelToken) -> None:
        raise UsageError("wrong")

    with pytest.raises(UsageError, match="wrong"):
        OwnLoop(work).run()


def test_an_interrupt_is_raised_when_all_is_saved() -> None:
    saved: Saved = []

    async def work(cancel: CancelToken) -> None:
        asyncio.get_running_loop().call_later(0.05, interrupt)
        await until_stopped(cancel, saved, lambda: time.sleep(0.05))

    with pytest.raises(KeyboardInterrupt, match="the state is saved"):
        OwnLoop(work).run()
    assert saved == ["saved"]


def test_an_interrupt_before_the_loop_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: Saved = []
    start = threading.Thread.start

    def start_late(thread: threading.Thread) -> None:
        monkeypatch.undo()
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", start_late)
    with pytest.raises(KeyboardInterrupt, match="the state is saved"):
        OwnLoop(lambda cancel: until_stopped(cancel, saved)).run()
    assert saved == ["saved"]


def test_a_second_interrupt_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread goes on to save."""
    monkeypatch.setattr(own_loop, "TICK_SECONDS", 0.01)
    saved: Saved = []
    saving, go_on = threading.Event(), threading.Event()

    def save() -> None:
        saving.set()
        go_on.wait(60)

    async def work(cancel: CancelToken) -> None:
        asyncio.get_running_loop().call_soon(interrupt)
        await until_stopped(cancel, saved, save)

    def tick() -> None:
        if saving.is_set():  # the first one has been dealt with: two signals at once are one
            interrupt()

    with pytest.raises(KeyboardInterrupt, match="saves the state of this run, which may take"):
        OwnLoop(work, tick).run()
    assert saved == []
    go_on.set()
    [thread] = [each for each in threading.enumerate() if each.name == "cxrsync"]
    thread.join()
    assert saved == ["saved"]


def test_an_interrupt_at_the_end_is_raised_too() -> None:
    """Whoever interrupts does not want the next cell to run."""

    async def work(cancel: CancelToken) -> str:
        interrupt()
        while cancel.code is None:
            await asyncio.sleep(0.001)
        return "done"

    with pytest.raises(KeyboardInterrupt, match="had ended before it was interrupted"):
        OwnLoop(work).run()


def asking(question: Callable[[], str], answers: list[str | None]) -> OwnLoop[None]:
    """A call that asks a question in the caller's thread."""

    async def work(cancel: CancelToken) -> None:
        with cancel.watching(None):
            await asyncio.to_thread(lambda: answers.append(own.in_callers_thread(question)))
            if answers[-1] is None:
                await asyncio.sleep(30)

    own: OwnLoop[None] = OwnLoop(work)
    return own


def test_a_question_is_asked_in_the_callers_thread() -> None:
    answers: list[str | None] = []
    asking(lambda: threading.current_thread().name, answers).run()
    assert answers == [threading.main_thread().name]


def test_an_error_of_the_question_is_the_works() -> None:
    def fail() -> str:
        raise UsageError("nobody is here")

    with pytest.raises(UsageError, match="nobody is here"):
        asking(fail, []).run()


def test_an_interrupt_at_the_question() -> None:
    def question() -> str:
        interrupt()
        time.sleep(30)
        return "too late"

    answers: list[str | None] = []
    with pytest.raises(KeyboardInterrupt):
        asking(question, answers).run()
    assert answers == [None]


def test_what_waits_is_ticked() -> None:
    ticked = threading.Event()

    async def work(_cancel: CancelToken) -> bool:
        return await asyncio.to_thread(ticked.wait, 30)

    assert OwnLoop(work, ticked.set).run()


def test_the_code_is_that_of_an_interrupt() -> None:
    seen: list[ExitCode | None] = []

    async def work(cancel: CancelToken) -> None:
        try:
            await until_stopped(cancel, [])
        finally:
            seen.append(cancel.code)

    async def begin(cancel: CancelToken) -> None:
        asyncio.get_running_loop().call_soon(interrupt)
        await work(cancel)

    with pytest.raises(KeyboardInterrupt):
        OwnLoop(begin).run()
    assert seen == [ExitCode.INTERRUPTED]
