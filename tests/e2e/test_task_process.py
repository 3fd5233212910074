"""The process of a task on a worker, and what the worker makes of its end."""

import io
import os
import pickle
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from e2e.stage import JPG, PATIENCE, VERSION, Machine

from cxrsync.config.job import Job
from cxrsync.config.parse_job import make_job
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.distributed import dask_worker, task_process
from cxrsync.distributed.dask_worker import (
    Ticket,
    Witness,
    probe,
    run_child,
    stop_tasks,
    witness_of,
)
from cxrsync.distributed.index_parts import IndexOrder, IndexPart
from cxrsync.distributed.task_process import carry_out
from cxrsync.distributed.task_stream import EventStream, Order, TaskEnd
from cxrsync.errors import ExitCode
from cxrsync.events import Event, FileDone, RunSummary, Started
from cxrsync.operations.verify import Verification

TICKET = Ticket("run", "p10", "", Witness(""))


@pytest.fixture(autouse=True)
def _nothing_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_worker, "_stopped", set())


@pytest.fixture
def job(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Job:
    for name, value in machine.variables().items():
        if not name.startswith("CXRSYNC_"):
            monkeypatch.setenv(name, value)
    made = make_job({
        "jpg": True, "dest": machine.dest, "base_url": machine.base_url,
        "ca_file": machine.ca_file,
    })  # fmt: skip
    return replace(made, partitions=frozenset({"p10"}))


def run(order: Order, forward: Callable[[Any], None] = lambda _batch: None) -> TaskEnd:
    return run_child(pickle.dumps(order), TICKET, forward)


def here(order: Order) -> TaskEnd:
    """Run an order in this process."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        return carry_out(order, EventStream(io.BytesIO()))
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def test_pull_and_verify(job: Job, machine: Machine) -> None:
    batches: list[Any] = []
    end = run(Order("pull", job), batches.append)
    assert (end.exit_code, end.error) == (0, "")
    assert isinstance(end.result, RunSummary)
    events = [event for batch in batches for event in batch]
    assert isinstance(next(each for each in events if isinstance(each, Started)), Started)
    done = [each for each in events if isinstance(each, FileDone)]
    assert len(done) == end.result.fetched.files > 0
    verified = here(Order("verify", job))
    assert isinstance(verified.result, Verification)
    assert (verified.exit_code, verified.result.good) == (0, len(done))
    assert list((machine.dest / JPG / VERSION / "files").iterdir()) == [
        machine.dest / JPG / VERSION / "files/p10"
    ]


def test_nobody_wants_the_task_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_worker, "_LOOK_SECONDS", 0.01)
    answers = [True, False]
    with (
        subprocess.Popen(["sleep", "60"]) as process,
        dask_worker._watching(process, lambda: answers.pop(0)),
    ):
        assert process.wait(PATIENCE) == -signal.SIGTERM
    assert answers == []


def test_a_wrong_password(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHYSIONET_PASSWORD", "wrong")
    end = here(Order("pull", job))
    assert end.exit_code == 3
    assert end.error
    assert "login" in end.next_step


def test_a_task_is_told_to_stop(
    job: Job, serve: Callable[..., MiniPhysioNet], make_machine: Callable[..., Machine]
) -> None:
    slow = make_machine(serve(rate=2_000))
    origin = replace(job.origin, base_url=slow.base_url, ca_file=slow.ca_file)

    def stop_at_first_batch(_batch: Any) -> None:
        stop_tasks(TICKET.run)

    end = run(Order("pull", replace(job, origin=origin)), stop_at_first_batch)
    assert end.exit_code == 143
    assert stop_tasks(TICKET.run) == 0


@pytest.mark.parametrize("command", ["verify", "index"])
def test_a_task_that_reads_is_told_to_stop(
    job: Job,
    machine: Machine,
    jpg: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Literal["verify", "index"],
) -> None:
    shutil.copytree(jpg, machine.dest / JPG / VERSION)

    def stop(_stream: EventStream, _event: Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def make_part(*given: Any) -> IndexPart:
        os.kill(os.getpid(), signal.SIGTERM)
        assert given[-1].wait(PATIENCE)
        return IndexPart(())

    monkeypatch.setattr(EventStream, "tell", stop)
    monkeypatch.setattr(task_process, "make_part", make_part)
    order = Order(command, job, index=IndexOrder("csv") if command == "index" else None)
    assert here(order) == TaskEnd(ExitCode.TERMINATED)


def test_a_child_that_is_killed(
    job: Job, serve: Callable[..., MiniPhysioNet], make_machine: Callable[..., Machine]
) -> None:
    slow = make_machine(serve(rate=2_000))
    origin = replace(job.origin, base_url=slow.base_url, ca_file=slow.ca_file)

    def kill(_batch: Any) -> None:
        for process in dask_worker._children[TICKET.run]:
            process.kill()

    end = run(Order("pull", replace(job, origin=origin)), kill)
    assert (end.exit_code, end.result) == (5, None)
    assert "-9" in end.error


def test_a_task_of_a_run_that_was_stopped_before(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client has asked all children to stop; this one had not begun."""
    began = dask_worker._registered

    def stopped_meanwhile(name: str, process: subprocess.Popen[bytes]) -> Any:
        stop_tasks(name)
        return began(name, process)

    with monkeypatch.context() as patch:
        patch.setattr(dask_worker, "_registered", stopped_meanwhile)
        assert run(Order("pull", job)) == TaskEnd(ExitCode.TERMINATED)
    stop_tasks(TICKET.run)
    assert run(Order("pull", job)) == TaskEnd(ExitCode.TERMINATED)


def test_what_a_worker_has(tmp_path: Path) -> None:
    file = tmp_path / "SHA256SUMS.txt"
    file.write_text("a")
    witness = witness_of(file)
    assert probe(str(file)).sees_destination
    assert probe(*witness).sees_destination
    file.write_text("another tree's")
    assert not probe(*witness).sees_destination
    assert not probe(str(tmp_path / "none")).sees_destination
