"""Runs a coroutine in a thread with an event loop of its own, while the caller's thread waits.

So a call works where a loop runs already, as in a notebook, and an interrupt (Ctrl-C, the stop
button of a notebook) meets a thread that waits, not a write to the disk. Whatever concerns the
person happens in the caller's thread: a bar is drawn there, a password is asked for there. In a
notebook only that thread belongs to the cell.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

from cxrsync.cancellation import STATE_IS_SAVED, CancelToken
from cxrsync.errors import CxrsyncError, ExitCode, Stopped

T = TypeVar("T")
A = TypeVar("A")

TICK_SECONDS = 0.5
_STILL_SAVING = (
    "cxrsync saves the state of this run, which may take some seconds more. Nothing that was "
    "downloaded is lost."
)


class OwnLoop(Generic[T]):
    """One call in a loop of its own.

    ``work`` makes the coroutine, from the token that an interrupt cancels. ``tick`` is called in
    the caller's thread about twice a second. ``safe``: see :class:`CancelToken`.
    """

    def __init__(
        self,
        work: Callable[[CancelToken], Coroutine[Any, Any, T]],
        tick: Callable[[], None] = lambda: None,
        safe: str = STATE_IS_SAVED,
    ) -> None:
        self._work = work
        self._tick = tick
        self._cancel = CancelToken(safe)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_interrupted = False
        self._has_left = False
        self._lock = threading.Lock()
        # What the caller's thread is to do; None: the coroutine has ended.
        self._errands: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._asked: Future[Any] | None = None
        self._result: Future[T] = Future()

    def run(self) -> T:
        """Run the coroutine, and return its result or raise its exception.

        An interrupt lets it end in good order, and is raised as KeyboardInterrupt when that is
        done. A second one is raised at once; the state is then saved by the thread that is left.
        """
        context = contextvars.copy_context()  # so that a callback may print into its cell
        thread = threading.Thread(target=context.run, args=(self._run,), name="cxrsync")
        is_begun = is_done = False
        try:
            while not is_done:
                try:
                    if not is_begun:
                        is_begun = True
                        thread.start()
                    is_done = self._do_next()
                except KeyboardInterrupt:
                    if self._is_interrupted:
                        raise KeyboardInterrupt(_STILL_SAVING) from None
                    self._interrupt()
        finally:
            self._leave()
        thread.join()
        if self._is_interrupted:
            raise KeyboardInterrupt(self._ending()) from None
        return self._result.result()

    def in_callers_thread(self, call: Callable[[], A]) -> A | None:
        """Run ``call`` in the thread that waits, and wait for its end. To be called in any other
        thread but the loop's. None if nobody waits any more, or if the call was interrupted."""
        answer: Future[A | None] = Future()

        def errand() -> None:
            try:
                answer.set_result(None if self._is_interrupted else call())
            except KeyboardInterrupt:
                answer.set_result(None)
                raise
            except BaseException as problem:  # noqa: BLE001 - whoever asks gets it
                answer.set_exception(problem)

        with self._lock:
            if self._has_left or self._is_interrupted:
                return None
            self._errands.put(errand)
            self._asked = answer
        return answer.result()

    # ── in the caller's thread ─────────────────────────────────────────────────────────────────

    def _do_next(self) -> bool:
        """Wait for something to do, and do it. Return whether the coroutine has ended."""
        try:
            errand = self._errands.get(timeout=TICK_SECONDS)
        except queue.Empty:
            self._tick()
            return False
        if errand is None:
            return True
        errand()
        return False

    def _interrupt(self) -> None:
        self._is_interrupted = True
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._cancel.request, ExitCode.INTERRUPTED)

    def _leave(self) -> None:
        """Answer what nobody in this thread will do any more."""
        with self._lock:
            self._has_left = True
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(None)

    def _ending(self) -> str:
        """Return what an interrupt has led to, in words."""
        problem = self._result.exception()
        if problem is None:
            return "the call had ended before it was interrupted; everything is saved"
        if isinstance(problem, Stopped | asyncio.CancelledError):
            then = self._cancel.next_step.replace("Run the same command", "Make the same call")
            return f"stopped as asked; {self._cancel.safe}. {then}"
        return str(problem) if isinstance(problem, CxrsyncError) else type(problem).__name__

    # ── in the thread of the loop ──────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:  # not asyncio.run, which some notebooks replace
                result = runner.run(self._main())
            self._result.set_result(result)
        except BaseException as problem:  # noqa: BLE001 - the caller's thread raises it
            self._result.set_exception(problem)
        finally:
            self._errands.put(None)

    async def _main(self) -> T:
        self._loop = asyncio.get_running_loop()
        if self._is_interrupted:  # before there was a loop to tell it to
            self._cancel.request(ExitCode.INTERRUPTED)
        return await self._work(self._cancel)
