"""What a worker of Dask does: run one task in a child process, and forward its events.

Importable without Dask. A worker that is killed takes its child with it, so that the task can
begin elsewhere. A task that nobody waits for any more, because its client is gone, is told to stop:
Dask lets it run to its end.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cxrsync import __version__
from cxrsync.config.variables import JOB_VARIABLE
from cxrsync.distributed.task_stream import TaskEnd, read_stream
from cxrsync.errors import ExitCode
from cxrsync.sanitize import reason_of

_LOOK_SECONDS = 2.0
# States of a task in Dask's worker (distributed.worker_state_machine).
_AT_WORK = frozenset({"executing", "long-running"})
_children: dict[str, set[subprocess.Popen[bytes]]] = {}
_stopped: set[str] = set()
_lock = threading.Lock()


class Witness(NamedTuple):
    """A file in the destination that every worker must see. ``stamp``: its size and its time of
    modification at the client; None for a file that only this destination can have."""

    path: str
    stamp: tuple[int, int] | None = None


def witness_of(file: Path) -> Witness:
    """Return a file that is there as a witness. Raises OSError."""
    found = file.stat()
    return Witness(str(file), (found.st_size, int(found.st_mtime)))


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a task needs besides its order.

    ``run``: the name of the client's run. ``partition``: the task's. ``version``: the client's.
    ``witness``: a file in the destination that the worker must see.
    """

    run: str
    partition: str
    version: str
    witness: Witness


@dataclass(frozen=True, slots=True)
class Probed:
    """What a worker has: its version of cxrsync, and whether it sees the destination."""

    version: str
    sees_destination: bool


def probe(path: str, stamp: tuple[int, int] | None = None) -> Probed:
    """Return what this worker has, by the path and stamp of a :class:`Witness`."""
    try:
        seen = witness_of(Path(path)).stamp
    except OSError:
        return Probed(__version__, sees_destination=False)
    return Probed(__version__, sees_destination=stamp in {None, seen})


def run_task(order: bytes, ticket: Ticket) -> TaskEnd:
    """Run a task; its events go to the topic that is named like the run. Called in a thread of a
    worker. ``order`` is pickled, so that another version of cxrsync need not understand it."""
    from distributed import get_worker

    worker = get_worker()
    name, key = str(worker.address), worker.get_current_task()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state in _AT_WORK

    def forward(events: object) -> None:
        worker.log_event(ticket.run, pickle.dumps((ticket.partition, name, events)))

    found = probe(*ticket.witness)
    if found != Probed(ticket.version, sees_destination=True):  # a worker that came later
        return TaskEnd(ExitCode.USAGE, None, unsuitable(name, found, ticket.version))
    try:
        return run_child(order, ticket, forward, is_wanted)
    except OSError as problem:
        return TaskEnd(
            ExitCode.FILES_FAILED, None, f"{name} cannot run a process: {reason_of(problem)}"
        )


def run_child(
    order: bytes,
    ticket: Ticket,
    forward: Callable[[object], None],
    is_wanted: Callable[[], bool] = lambda: True,
) -> TaskEnd:
    """Run an order in a child process. A child that ends without a word was killed.

    ``is_wanted``: is asked now and then; when it says no, the child is told to stop. Raises
    OSError.
    """
    if ticket.run in _stopped:
        return TaskEnd(ExitCode.TERMINATED)
    variables = {**os.environ, JOB_VARIABLE: f"dask:{ticket.run}-{ticket.partition}/{uuid.uuid4()}"}
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-X", "utf8", "-m", "cxrsync.distributed.task_process", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=variables,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    end: TaskEnd | None = None
    with process, _registered(ticket.run, process), _watching(process, is_wanted):
        with suppress(BrokenPipeError):  # it has ended: its code tells more
            process.stdin.write(order)
            process.stdin.close()
        for what in read_stream(process.stdout):
            if isinstance(what, TaskEnd):
                end = what
            else:
                forward(what)
    if end is not None:
        return end
    if process.returncode == -signal.SIGTERM and ticket.run in _stopped:
        return TaskEnd(ExitCode.TERMINATED)  # before it had begun
    return TaskEnd(
        ExitCode.FILES_FAILED, None, f"the process of the task ended with {process.returncode}"
    )


def stop_tasks(run: str) -> int:
    """Ask the children of a run on this worker to save their state and end, also those that begin
    later; return how many there are."""
    with _lock:
        _stopped.add(run)
        children = list(_children.get(run, ()))
    for process in children:
        process.send_signal(signal.SIGTERM)
    return len(children)


def unsuitable(worker: str, found: Probed, version: str) -> str:
    """Return what a worker lacks, in words."""
    if found.version != version:
        return f"the worker {worker} has cxrsync {found.version}, and this is {version}"
    return f"the worker {worker} does not see the destination of this machine"


@contextmanager
def _watching(process: subprocess.Popen[bytes], is_wanted: Callable[[], bool]) -> Iterator[None]:
    """Tell a process to stop as soon as nobody wants it any more."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK_SECONDS):
            if not is_wanted():
                process.send_signal(signal.SIGTERM)
                return

    thread = threading.Thread(target=watch, name="watch-task", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _registered(run: str, process: subprocess.Popen[bytes]) -> Iterator[None]:
    with _lock:
        _children.setdefault(run, set()).add(process)
        is_late = run in _stopped
    if is_late:
        process.send_signal(signal.SIGTERM)
    try:
        yield
    finally:
        with _lock:
            _children[run].discard(process)
