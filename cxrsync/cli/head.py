"""``cxrsync head``: show the columns and first rows of a table."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import Any

import click

from cxrsync.cancellation import NOTHING_CHANGED
from cxrsync.catalog.load import load
from cxrsync.cli.completion_values import complete_table
from cxrsync.cli.environment import Command, option
from cxrsync.cli.main import Verbosity
from cxrsync.cli.options import job_of_tree, trees_in_dest
from cxrsync.cli.signals import obeying_signals
from cxrsync.config.job import DEFAULT_BASE_URL, Job
from cxrsync.config.option_value import check_options
from cxrsync.config.parse_job import make_job
from cxrsync.config.parse_table import parse_table
from cxrsync.dataset.source_factory import open_source, opened
from cxrsync.errors import ExitCode, UsageError
from cxrsync.operations.exit_status import explained_errors
from cxrsync.operations.head import (
    FoundTable,
    option_of,
    owners_of,
    read_head_of,
    unknown_table_error,
)
from cxrsync.progress_events import Activity, Phase
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.console import to_stderr
from cxrsync.ui.reporters import Reporters
from cxrsync.ui.table_head_text import as_aligned, as_csv

_OPTIONS_OF_DATASETS = ("jpg", "dicom", "dataset")


@click.command(cls=Command)
@click.argument("table", shell_complete=complete_table)
@option("jpg")
@option("dicom")
@option("dataset")
@option("dataset_version")
@option("dest")
@option("from_dir", "Read from a tree on a local disk, or from the cloud, instead: as for pull.")
@option("access_point_number")
@option("endpoint_url")
@option("aws_profile")
@option("requester_pays")
@option("base_url")
@option("user")
@option("ca_file")
@option("user_agent")
@option("rows")
@option("json", "One JSON object.")
@click.pass_obj
def head(verbosity: Verbosity, /, table: str, rows: int, as_json: bool, **options: Any) -> int:
    """Show the columns and first rows of TABLE, a .csv or .csv.gz file, without fetching it.

    TABLE is the name of the file, a part of it (split, metadata, record-list), DATASET/TABLE, or
    the address of the file. It is read from DEST if it is there; otherwise one request brings its
    first 64 KiB. A terminal gets aligned columns, a program CSV. Free text is not shown, only its
    length.

    The rows are data under the dataset's agreement: keep them on this machine.
    """
    job, word = _job(table, options)
    found = asyncio.run(_run(job, word, rows, verbosity))
    if verbosity.level >= 0:
        for line in _remarks(found, rows):
            to_stderr(line)
    output = verbosity.output
    if as_json:
        output.write(json.dumps(_fields(found)) + "\n")
    elif output.is_terminal:
        output.write_lines(as_aligned(found.head, shutil.get_terminal_size().columns))
    else:
        output.write(as_csv(found.head))
    return ExitCode.COMPLETE


def _job(table: str, options: dict[str, Any]) -> tuple[Job, str]:
    """Return the job of the dataset that has the table, and the name of the table.

    Raises: UsageError if no dataset is named, and none or several are known to have the table.
    """
    options = check_options(options)
    place = parse_table(table, options.get("base_url", DEFAULT_BASE_URL), load())
    if place.dataset:
        named = f"{place.dataset}/{place.version}" if place.version else place.dataset
        return make_job(options, [named]), place.path
    if any(options.get(name) for name in _OPTIONS_OF_DATASETS):
        return make_job(options), place.path
    if len({each.dataset for each in trees_in_dest(options)}) == 1:
        job = job_of_tree(options)
        if not (owners := owners_of(place.path)) or job.dataset in owners:
            return job, place.path
    owners = owners_of(place.path)
    if len(owners) > 1:
        words = [f"{option_of(load()[slug])} ({slug})" for slug in owners]
        raise UsageError(
            f"more than one dataset has a table {place.path}",
            next_step=f"Add {' or '.join(words)}.",
        )
    if not owners:
        raise unknown_table_error(place.path)
    return make_job(options, owners), place.path


async def _run(job: Job, word: str, rows: int, verbosity: Verbosity) -> FoundTable:
    with Reporters(verbosity.level) as reporters:
        prompt = TerminalPrompt()
        reporters.tell(Phase(Activity.ASKING, f"the beginning of {word}"))
        async with opened(open_source(job, reporters.tell, prompt)) as source:
            with (
                obeying_signals(prompt, reporters, NOTHING_CHANGED) as cancel,
                explained_errors(cancel),
            ):
                return await read_head_of(job, word, rows, source, reporters.tell)


def _remarks(found: FoundTable, asked: int) -> list[str]:
    head, name = found.head, f"{found.dataset.slug} {found.version}"
    shown = len(head.rows)
    rows = f"{'all' if head.ends else 'the first'} {shown:,} row" + ("" if shown == 1 else "s")
    where = f"in {found.file}" if found.file is not None else f"from {found.source}"
    lines = [f"{found.path} of {name}: {len(head.columns)} columns, {rows} ({where})"]
    if head.is_cut and shown < asked:
        lines.append(
            f"its first 64 KiB hold no more rows; for all of them: cxrsync pull "
            f"{option_of(found.dataset)} --include {found.path}"
        )
    if head.hidden:
        lines.append(f"free text is not shown: {', '.join(head.hidden)}")
    lines.append(
        f"these are data under the agreement of {found.dataset.slug}: keep them on this machine"
    )
    return lines


def _fields(found: FoundTable) -> dict[str, object]:
    head = found.head
    return {
        "dataset": found.dataset.slug,
        "version": found.version,
        "path": found.path,
        "file": None if found.file is None else str(found.file),
        "source": found.source or None,
        "columns": head.columns,
        "rows": head.rows,
        "hidden": head.hidden,
        "all_rows": head.ends,
    }
