"""``iter_verified``: a loop over images that arrive, verified, and need not be kept."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from cxrsync.api.calls import ErrorsForPython, error_of, options_of
from cxrsync.api.frontend import showing
from cxrsync.api.options import StreamOptions
from cxrsync.api.own_loop import TICK_SECONDS
from cxrsync.config.parse_job import make_job
from cxrsync.config.python_words import in_python
from cxrsync.errors import UsageError
from cxrsync.events import Event, EventSink, Notice
from cxrsync.model import Kind
from cxrsync.operations.image_stream import StreamOrder, VerifiedImage, stream_images

__all__ = ["StreamOptions", "VerifiedImage", "aiter_verified", "iter_verified"]

T = TypeVar("T")


def iter_verified(
    *places: str,
    keep: bool = False,
    record: str | os.PathLike[str] | None = None,
    **options: Unpack[StreamOptions],
) -> Generator[VerifiedImage, None, None]:
    """Loop over the selected images while they arrive. Each is verified, and comes once.

    An image counts as used when the next one is asked for. So if the program is killed, or the loop
    is left, the image that it had last comes again, and no other: name the same ``record``.

    The images come about in the order of the manifest. At most twice as many as there are
    connections are fetched before they are asked for. Nobody is asked for a password:
    ``cxrsync login`` stores it.

    Args:
        *places: As for :func:`cxrsync.pull`.
        keep: Keep the images in ``dest``, as a pull does. Without it an image is in memory, and
            ``dest`` has only manifest, tables, and the images on their way. An image that is in
            ``dest`` already stays there, and is not fetched.
        record: A file that remembers which images were used, over several calls. With a new one the
            loop begins anew. Without one nothing is remembered.
        **options: The options of ``cxrsync pull`` that select files, ``dest``, and those of source
            and connections. Only images are selected.

    Returns:
        The images. One has a ``path``, its ``sha256``, and its bytes in ``data``; with ``keep`` a
        ``file`` instead.

    Raises:
        UsageError: A keyword or a value is wrong, nothing is selected, or the record is of another
            selection.
        ImagesFailed: At the end, if single images could not be had. The same call tries them again.
        CxrsyncError: Anything else that ends the loop early, as for :func:`cxrsync.pull`.
        KeyboardInterrupt: The loop was interrupted. The same call goes on from there.

    Example:
        >>> for image in cxrsync.iter_verified(jpg=True, shard="p10", record="p10.jsonl"):
        ...     learn(image.data)
    """
    with ErrorsForPython():
        order = _order("iter_verified", places, keep, record, options)
        return _in_thread(order)


def aiter_verified(
    *places: str,
    keep: bool = False,
    record: str | os.PathLike[str] | None = None,
    **options: Unpack[StreamOptions],
) -> AsyncGenerator[VerifiedImage, None]:
    """Do what :func:`iter_verified` does in the event loop that runs already, with ``async for``.

    Whoever leaves the loop early closes it: ``async with contextlib.aclosing(images)``.

    Args:
        *places: As for :func:`iter_verified`.
        keep: As for :func:`iter_verified`.
        record: As for :func:`iter_verified`.
        **options: As for :func:`iter_verified`.

    Returns:
        The images, as :func:`iter_verified` yields them.

    Raises:
        CxrsyncError: As for :func:`iter_verified`.

    Example:
        >>> async for image in cxrsync.aiter_verified(jpg=True, shard="p10", record="p10.jsonl"):
        ...     learn(image.data)
    """
    with ErrorsForPython():
        order = _order("aiter_verified", places, keep, record, options)
        return _here(order)


def _order(
    function: str,
    places: tuple[str, ...],
    keep: object,
    record: str | os.PathLike[str] | None,
    options: StreamOptions,
) -> StreamOrder:
    """Return what to stream. Raises UsageError."""
    if not isinstance(keep, bool):
        raise UsageError(
            f"keep= is neither True nor False, but a value of type {type(keep).__name__}",
            next_step="Write keep=True to keep the images in dest.",
        )
    job = make_job(options_of(function, StreamOptions, options), places)
    selection = job.selection
    if selection.only and Kind.IMAGES not in selection.only:
        raise UsageError(
            f"{function}() yields images, and only= selects none", next_step="Leave only= out."
        )
    job = replace(job, selection=replace(selection, only=(Kind.IMAGES,)))
    return StreamOrder(job, keep, None if record is None else _record_file(record))


def _record_file(record: str | os.PathLike[str]) -> Path:
    try:
        file = Path(record).expanduser().absolute()
    except (TypeError, RuntimeError):
        raise UsageError(
            "record= is not the name of a file", next_step='Write record="used.jsonl".'
        ) from None
    is_folder = os.path.isdir(file)
    if is_folder or not os.path.isdir(file.parent):
        what = "is a folder" if is_folder else "lies in no folder that is there"
        raise UsageError(f"record={file}: it {what}", next_step="Name a file in a folder of yours.")
    return file


async def _here(order: StreamOrder) -> AsyncGenerator[VerifiedImage, None]:
    """Yield the images, and raise errors as a Python program gets them."""
    with ErrorsForPython():
        async with aclosing(_images(order)) as images:
            async for image in images:
                yield image


async def _images(order: StreamOrder) -> AsyncGenerator[VerifiedImage, None]:
    with showing(progress=False) as shown:
        images = stream_images(order, _in_words(shown.listen))
        try:
            async for image in images:
                yield image
        except Exception as problem:  # noqa: BLE001 - none is lost
            raise error_of(problem) from None
        finally:
            await images.aclose()


def _in_words(listen: EventSink) -> EventSink:
    def tell(event: Event) -> None:
        listen(replace(event, text=in_python(event.text)) if isinstance(event, Notice) else event)

    return tell


def _in_thread(order: StreamOrder) -> Generator[VerifiedImage, None, None]:
    """Yield what :func:`_here` does, from a loop of its own: the caller's may run, as in a
    notebook, and an interrupt must not meet a write to the disk."""
    with ErrorsForPython(), _LoopThread() as thread:
        images = _images(order)
        try:
            while (image := thread.run(lambda: anext(images, None))) is not None:
                yield image
        finally:
            if not thread.is_left:
                thread.run(images.aclose)


class _LoopThread:
    """An event loop in a thread, for one coroutine after the other, each of which is waited for.

    A daemon: a loop that nobody closes must not keep the program from ending. What it leaves is
    what a kill leaves.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_ready = threading.Event()
        self._task: asyncio.Task[Any] | None = None
        self.is_left = False
        """Whether nobody waits any more: a second interrupt came, or the program ends."""
        self._thread = threading.Thread(target=self._run, name="cxrsync", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._is_ready.wait()
        # At the end of the program threads stand still, and a wait for one would have no end.
        atexit.register(self._leave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: object, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        atexit.unregister(self._leave)
        if not self.is_left:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.call_soon(self._is_ready.set)
            self._loop.run_forever()

    def run(self, begin: Callable[[], Any]) -> Any:
        """Run the coroutine that ``begin`` makes, and return its result. After an interrupt it is
        cancelled, and waited for to its end; then KeyboardInterrupt is raised."""
        assert self._loop is not None
        future = asyncio.run_coroutine_threadsafe(self._await(begin), self._loop)
        try:
            while True:
                # Not without end: the signal may have come to another thread.
                done, _not_done = concurrent.futures.wait([future], TICK_SECONDS)
                if done:
                    return future.result()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(self._cancel)
            try:
                while not concurrent.futures.wait([future], TICK_SECONDS).done:
                    pass
            except KeyboardInterrupt:
                self.is_left = True
            raise KeyboardInterrupt(
                "stopped as asked; the state is saved. Make the same call again to resume."
            ) from None

    async def _await(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self._task = asyncio.current_task()
        return await begin()

    def _leave(self) -> None:
        self.is_left = True

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
