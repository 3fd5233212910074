"""``pull``, ``verify`` and ``index`` with ``--on dask``: the tasks of a job on the workers of a
cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cxrsync.cancellation import STATE_IS_SAVED
from cxrsync.catalog.load import dataset_info
from cxrsync.cli.main import Verbosity, say_error
from cxrsync.cli.output_file import refuse_file_of_dataset, whole_file
from cxrsync.cli.output_options import OutputOptions, reporting
from cxrsync.cli.signals import obeying_signals, raising_at_signals
from cxrsync.cli.verify_text import verification_lines
from cxrsync.config.job import Job
from cxrsync.dataset.version import find_target
from cxrsync.distributed.dask_client import Place, notice_of, run_on_dask
from cxrsync.distributed.divide import Division, divide
from cxrsync.distributed.gather import code_of_tasks
from cxrsync.distributed.index_parts import (
    Form,
    IndexOrder,
    IndexPart,
    merged_part,
    text_of,
    write_joined,
)
from cxrsync.distributed.merge import merged_summary, merged_verification
from cxrsync.distributed.task_stream import Order, TaskEnd
from cxrsync.errors import CxrsyncError, ExitCode, UsageError
from cxrsync.events import Finished, RunSummary
from cxrsync.operations.index import ImageIndex
from cxrsync.operations.verify import Verification
from cxrsync.progress_events import Activity, Phase
from cxrsync.sanitize import shown_word
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.reporters import Reporters

_ENGINE = "dask"
_NOT_WRITTEN = "the index is not written"


def pull_on_dask(job: Job, on: str, verbosity: Verbosity, output: OutputOptions) -> int:
    """Pull a job on a cluster. Return the exit code."""
    job = _absolute(job)
    division = divide(job, dataset_info(job.dataset).shards)
    orders = [Order("pull", each) for each in division.jobs]
    with reporting(verbosity, output) as reporters:
        place = Place(_address(on), job.dest)
        ends, stopped = asyncio.run(_run(division, orders, place, verbosity, reporters))
        summary = merged_summary(
            [end.result for end in ends.values() if isinstance(end.result, RunSummary)],
            _code(ends, stopped),
            str(job.selection),
            "; ".join(_errors(ends)),
        )
        reporters.tell(Finished(summary))
    _say_errors(ends)
    return summary.exit_code


def verify_on_dask(
    job: Job, on: str, verbosity: Verbosity, output: OutputOptions, *, everything: bool
) -> int:
    """Verify a tree on a cluster. Return the exit code."""
    job = _absolute(job)
    target = find_target(job, lambda _event: None)
    job = replace(job, version=target.version, dest=target.tree.root)
    division = divide(job, dataset_info(job.dataset).shards, transfers=False)
    orders = [Order("verify", each, everything) for each in division.jobs]
    with reporting(verbosity, output) as reporters:
        place = Place(_address(on), job.dest)
        ends, stopped = asyncio.run(_run(division, orders, place, verbosity, reporters))
        found = [end.result for end in ends.values() if isinstance(end.result, Verification)]
        code = _code(ends, stopped)
        if found:
            merged = merged_verification(found)
            place_fields = {
                "dataset": target.dataset.slug,
                "version": target.version,
                "root": str(target.tree.root),
            }
            fields = {**place_fields, **merged.as_json(), "exit_code": int(code)}
            is_of_tree = not everything and job.selection.whole
            lines = verification_lines(merged, target, is_of_tree=is_of_tree, hint=True)
            reporters.say_summary(fields, lines)
    _say_errors(ends)
    return code


@dataclass(frozen=True, slots=True)
class IndexFile:
    """Where an index goes. ``path``: None for standard output."""

    path: Path | None
    force: bool
    verbosity: Verbosity


@dataclass(frozen=True, slots=True)
class IndexEnd:
    """How an index ended. ``index``: None if it was not written, because a task failed; that was
    said then. Its rows are written; ``rows`` is their number, ``unproven`` that of images without
    a proof."""

    exit_code: ExitCode
    index: ImageIndex | None = None
    rows: int = 0
    unproven: int = 0


def index_on_dask(job: Job, on: str, order: IndexOrder, file: IndexFile) -> IndexEnd:
    """Write the index of a tree whose rows the workers of a cluster make: whole, or not at all."""
    job = _absolute(job)
    target = find_target(job, lambda _event: None)
    if file.path is not None:
        refuse_file_of_dataset(file.path, target)
    job = replace(job, version=target.version)
    division = divide(job, dataset_info(job.dataset).shards, transfers=False)
    orders = [Order("index", each, index=order) for each in division.jobs]
    place = Place(_address(on), target.tree.root)
    with Reporters(file.verbosity.level, json_to=None, progress="tree") as reporters:
        reporters.tell(Phase(Activity.SELECTING, target.name))
        ends, stopped = asyncio.run(
            _run(division, orders, place, file.verbosity, reporters, _NOT_WRITTEN)
        )
    parts = [end.result for end in ends.values() if isinstance(end.result, IndexPart)]
    if stopped is not None or len(parts) < len(orders):
        _say_errors(ends)
        # What failed has stopped the other tasks, whose codes tell nothing.
        codes = {name: end for name, end in ends.items() if end.error} or ends
        return IndexEnd(_code(codes, stopped))
    whole = merged_part(parts)
    _write(whole, order.form, file)
    index = ImageIndex(target, whole.columns, iter(()), whole.unmatched)
    return IndexEnd(ExitCode.COMPLETE, index, whole.rows, whole.unproven)


def _write(whole: IndexPart, form: Form, file: IndexFile) -> None:
    if file.path is None:
        pieces = (text.decode("utf-8", "surrogateescape") for text in text_of(whole, form))
        file.verbosity.output.write_lines(line for text in pieces for line in text.split("\n")[:-1])
        return
    with raising_at_signals(), whole_file(file.path, force=file.force) as output:
        write_joined(whole, form, output)


async def _run(
    division: Division,
    orders: list[Order],
    place: Place,
    verbosity: Verbosity,
    reporters: Reporters,
    safe: str = STATE_IS_SAVED,
) -> tuple[dict[str, TaskEnd], ExitCode | None]:
    """Run the orders. Return how each task ended, and which signal has ended the whole."""
    reporters.tell(notice_of(division, place))
    with obeying_signals(TerminalPrompt(), reporters, safe) as cancel:
        ends = await run_on_dask(
            division, orders, place, reporters.tell, cancel, verbose=verbosity.level > 0
        )
    return ends, cancel.code


def _address(on: str) -> str:
    """Return the address in ``dask:tcp://HOST:8786``; "" for ``dask``. Raises UsageError."""
    engine, colon, address = on.strip().partition(":")
    if engine != _ENGINE or (colon and "://" not in address):
        hint = "`cxrsync slurm pull` prints a script for SLURM. " if engine == "slurm" else ""
        raise UsageError(
            f"--on {shown_word(on)!r} is not a cluster",
            next_step=f"{hint}Write dask:tcp://HOST:8786, or dask for workers on this machine.",
        )
    return address


def _absolute(job: Job) -> Job:
    """Return the job with absolute paths: workers have other working folders."""
    ca_file = job.origin.ca_file
    origin = replace(job.origin, ca_file=None if ca_file is None else Path(ca_file).absolute())
    return replace(job, dest=job.dest.absolute(), origin=origin)


def _code(ends: Mapping[str, TaskEnd], stopped: ExitCode | None) -> ExitCode:
    codes = [end.exit_code for end in ends.values()]
    return code_of_tasks(codes if stopped is None else [*codes, stopped])


def _errors(ends: Mapping[str, TaskEnd]) -> list[str]:
    """Return the error of each task that ended early; one that several tasks have is said once."""
    errors: dict[str, list[str]] = {}
    for name, end in ends.items():
        if end.error:
            errors.setdefault(end.error, []).append(name)
    return [f"{', '.join(names)}: {error}" for error, names in errors.items()]


def _say_errors(ends: Mapping[str, TaskEnd]) -> None:
    steps = {end.error: end.next_step for end in ends.values() if end.error}
    for line, step in zip(_errors(ends), steps.values(), strict=True):
        say_error(CxrsyncError(line, next_step=step))
