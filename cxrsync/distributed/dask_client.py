"""Run the tasks of a divided job on Dask, and follow them.

The root of a pull is first, alone: the other tasks may need its tables. Of the others, so many are
submitted at a time as the connections allow (workers come and go, so that no limit on their side
would hold). A task whose worker dies begins on another one. Credentials are never sent: each worker
finds its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from cxrsync import __version__
from cxrsync.cancellation import CancelToken
from cxrsync.dataset.version import find_target
from cxrsync.distributed.dask_worker import (
    Ticket,
    Witness,
    probe,
    run_task,
    stop_tasks,
    unsuitable,
    witness_of,
)
from cxrsync.distributed.divide import Division
from cxrsync.distributed.gather import ENDS_ALL
from cxrsync.distributed.merge import EventMerger
from cxrsync.distributed.task_stream import Order, TaskEnd
from cxrsync.errors import CxrsyncError, ExitCode, Unreachable, UsageError
from cxrsync.events import EventSink, Notice
from cxrsync.model import MANIFEST_NAME, OWN_FOLDER, ROOT, Kind, partition_of
from cxrsync.operations.expected_files import expectation
from cxrsync.sanitize import reason_of
from cxrsync.storage.filesystem import disk_failure
from cxrsync.threads import run_in_thread

_CONNECT_SECONDS = 15
_PROBE_SECONDS = 60
# The children need some seconds to save their state.
_STOP_SECONDS = 60
_INSTALL = f"Install cxrsync {__version__} where the workers run."
_PIP = "pip install 'cxrsync[dask]'"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the tasks run. ``address``: of the scheduler; "" for a cluster on this machine.
    ``folder``: of the destination, which every worker must see."""

    address: str
    folder: Path


async def run_on_dask(
    division: Division,
    orders: Sequence[Order],
    place: Place,
    emit: EventSink,
    cancel: CancelToken,
    *,
    verbose: bool = False,
) -> dict[str, TaskEnd]:
    """Run one order for each partition of a division; return how each task ended.

    A task that was not begun, because another one ended the job, is not in the result.

    Raises: UsageError if Dask is not installed, or if a worker lacks the destination or has another
    version; Unreachable if the scheduler cannot be reached or is lost.
    """
    run = f"cxrsync-{secrets.token_hex(6)}"
    with shown_to_workers(place.folder, run, reads=orders[0].command != "pull") as witness:
        async with _connected(place.address, local_size(division, os.cpu_count() or 1)) as client:
            await _check_workers(client, witness)
            job = _DaskJob(client, division.at_once, run, witness, cancel)
            is_pull = orders[0].command == "pull"

            async def announce() -> None:
                files = await run_in_thread(partial(selected_files, division))
                if files is not None:
                    for event in merger.announce(*files):
                        emit(event)

            connections = division.at_once * division.connections
            merger = EventMerger(connections, verbose)

            def hear(item: Any) -> None:
                _time, message = item
                partition, worker, batch = pickle.loads(message)  # noqa: S301 - of our own tasks
                for event in merger.events(partition, worker, batch):
                    emit(event)

            client.subscribe_topic(run, hear)
            try:
                by_name = dict(zip(division.partitions, orders, strict=True))
                return await job.run(by_name, announce if is_pull else None)
            finally:
                with suppress(Exception):  # the scheduler may be gone
                    client.unsubscribe_topic(run)


class _DaskJob:
    """The tasks of one run on a cluster."""

    def __init__(
        self, client: Any, at_once: int, run: str, witness: Witness, cancel: CancelToken
    ) -> None:
        self._client = client
        self._window = asyncio.Semaphore(at_once)
        self._run = run
        self._witness = witness
        self._cancel = cancel
        self._ends: dict[str, TaskEnd] = {}
        self._is_over = False

    async def run(
        self, orders: dict[str, Order], announce: Callable[[], Awaitable[None]] | None
    ) -> dict[str, TaskEnd]:
        """Run the tasks. If cancelled, the children save their state first.

        ``announce``: is called when the root of a pull is done, and with it manifest and tables
        are here; None if the tasks need not wait for the root.
        """
        tasks: list[asyncio.Task[None]] = []
        with self._cancel.watching(None):
            try:
                if announce is not None and ROOT in orders:
                    await self._one(ROOT, orders.pop(ROOT))
                    if not self._is_over:
                        await announce()
                async with asyncio.TaskGroup() as group:
                    tasks += [
                        group.create_task(self._one(name, order)) for name, order in orders.items()
                    ]
            except asyncio.CancelledError:
                if self._cancel.code is None:
                    raise
        return self._ends

    async def _one(self, partition: str, order: Order) -> None:
        async with self._window:
            if self._is_over:
                return
            ticket = Ticket(self._run, partition, __version__, self._witness)
            future = self._client.submit(
                run_task,
                pickle.dumps(order),
                ticket,
                key=f"{self._run}-{partition}",
                pure=False,
            )
            try:
                end = await self._result(future, partition)
            except asyncio.CancelledError:
                end = await self._stopped(future, partition)
                self._ends[partition] = end
                raise
            self._ends[partition] = end
            if _ends_all(order, end) and not self._is_over:
                self._is_over = True
                await self._stop_children()

    async def _result(self, future: Any, partition: str) -> TaskEnd:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        try:
            end = await future.result()
        except KilledWorker:
            words = f"the workers that had {partition} died one after the other"
            return TaskEnd(ExitCode.FILES_FAILED, None, words)
        except (FutureCancelledError, OSError, TimeoutError) as problem:
            raise Unreachable(
                f"the scheduler of Dask is lost: {reason_of(problem)}",
                next_step="Run the same command again when it is back: verified files are kept.",
            ) from None
        except Exception as problem:  # noqa: BLE001 - of a worker that came later
            words = f"a worker has no cxrsync, or another version ({reason_of(problem)})"
            return TaskEnd(ExitCode.USAGE, None, words, _INSTALL)
        assert isinstance(end, TaskEnd)
        return end

    async def _stopped(self, future: Any, partition: str) -> TaskEnd:
        """Ask the children to stop, and wait for this one."""
        await self._stop_children()
        with suppress(Exception):  # the scheduler may be gone, too
            end = await asyncio.wait_for(future.result(), _STOP_SECONDS)
            assert isinstance(end, TaskEnd)
            return end
        return TaskEnd(ExitCode.TERMINATED, None, f"{partition} did not say how it ended")

    async def _stop_children(self) -> None:
        with suppress(Exception):  # the scheduler may be gone: the children end with their workers
            await self._client.run(stop_tasks, self._run, on_error="ignore")


def _ends_all(order: Order, end: TaskEnd) -> bool:
    """Return whether the other tasks need not go on. An index is written whole, or not at all."""
    is_incomplete = order.command == "index" and end.exit_code != ExitCode.COMPLETE
    return is_incomplete or end.exit_code in ENDS_ALL


def local_size(division: Division, cores: int) -> tuple[int, int]:
    """Return how many workers a cluster of this machine has, and how many tasks each has at a time.

    A task is a process of its own. Tasks that transfer wait for the server; others need a core.
    """
    workers = min(division.at_once, cores)
    return workers, -(-division.at_once // workers) if division.transfers else 1


def selected_files(
    division: Division,
) -> tuple[dict[str, Counter[Kind]], Callable[[str], Kind]] | None:
    """Return how many files of each kind are selected in each partition but the root, by what is on
    the disk, and the function that tells the kind of a path; None if that cannot be told.

    Reads the manifest: call it in a thread.
    """
    found: dict[str, Counter[Kind]] = {
        name: Counter() for name in division.partitions if name != ROOT
    }
    try:
        target = find_target(division.job, lambda _event: None)
        kind_of = target.dataset.kind_of
        with expectation(target, division.job, everything=True) as expected:
            for entry in expected.selected.entries():
                name = partition_of(entry.path)
                if name in found:
                    found[name][kind_of(entry.path)] += 1
    except CxrsyncError:  # the tasks will say what is wrong
        return None
    return found, kind_of


async def _check_workers(client: Any, witness: Witness) -> None:
    """Raise UsageError if a worker has another version, or does not see the destination."""
    try:
        await asyncio.wait_for(client.wait_for_workers(1), _PROBE_SECONDS)
    except TimeoutError:
        raise Unreachable(
            "the cluster has no worker", next_step="Start some: dask worker tcp://HOST:8786."
        ) from None
    found = await client.run(probe, *witness, on_error="return")
    for worker, each in found.items():
        if isinstance(each, BaseException):
            raise UsageError(
                f"the worker {worker} has no cxrsync, or another version ({reason_of(each)})",
                next_step=_INSTALL,
            )
        if each.version != __version__:
            raise UsageError(
                unsuitable(worker, each, __version__),
                next_step=_INSTALL,
            )
        if not each.sees_destination:
            raise UsageError(
                unsuitable(worker, each, __version__),
                next_step="--dest must be on a file system that all workers share, under the same "
                "path.",
            )


@asynccontextmanager
async def _connected(address: str, size: tuple[int, int]) -> AsyncIterator[Any]:
    """Yield a client of the scheduler; without an address, of a cluster of this machine, of a
    :func:`local_size`."""
    try:
        dask: Any = import_module("distributed")
    except ImportError:
        raise UsageError("--on dask needs Dask, which is not installed", next_step=_PIP) from None
    # Its loggers tell each step of each connection. What matters becomes an error of ours.
    for name in logging.root.manager.loggerDict:
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)
    if not address:
        async with (
            dask.LocalCluster(
                n_workers=size[0],
                threads_per_worker=size[1],
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
                asynchronous=True,
            ) as cluster,
            dask.Client(cluster, asynchronous=True) as client,
        ):
            yield client
        return
    try:
        client = await dask.Client(address, asynchronous=True, timeout=_CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as problem:
        raise Unreachable(
            f"there is no scheduler of Dask at {address}: {reason_of(problem)}",
            next_step="Start one with `dask scheduler`; it prints its address: tcp://HOST:8786.",
        ) from None
    async with client:
        yield client


@contextmanager
def shown_to_workers(folder: Path, run: str, *, reads: bool) -> Iterator[Witness]:
    """Yield a file in the destination that shows whether a worker sees it: one of our own, or the
    manifest, if the job only ``reads`` the tree, which need not be writable. Raises: DiskError."""
    if reads and os.path.isfile(manifest := folder / MANIFEST_NAME):
        yield witness_of(manifest)
        return
    own = folder / OWN_FOLDER
    path = (own if os.path.isdir(own) else folder) / f".{run}"
    made: list[Path] = []
    try:
        try:
            made += _make_folders(path.parent)
            path.touch(mode=0o600)
        except OSError as problem:
            raise disk_failure(problem, f"cannot write to {path.parent}") from None
        yield Witness(str(path))
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
            for each in reversed(made):  # a job that wrote nothing leaves nothing
                each.rmdir()


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder. Return those that were made, the outermost first. Raises OSError."""
    missing = [each for each in (folder, *folder.parents) if not os.path.isdir(each)]
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return missing[::-1]


def notice_of(division: Division, place: Place) -> Notice:
    """Return what the user should know at the beginning."""
    where = f"the workers of {place.address}" if place.address else "workers of this machine"
    text = f"{len(division.partitions)} tasks on {where}: at most {division.at_once} at a time"
    if division.transfers:
        text += f", with {division.connections} connection{'s' * (division.connections > 1)} each"
    return Notice(text)
