"""``cxrsync index``: write one row for each selected image, for programs that read the images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cxrsync import humanize
from cxrsync.cli.environment import Command, option
from cxrsync.cli.main import Verbosity
from cxrsync.cli.options import job_of_tree, places_argument, selection_options
from cxrsync.cli.output_file import (
    check_folder,
    check_output,
    refuse_file_of_dataset,
    whole_file,
    write_lines,
)
from cxrsync.cli.signals import raising_at_signals
from cxrsync.config.job import Job
from cxrsync.errors import ExitCode, UsageError
from cxrsync.operations.index import ImageIndex, Row, image_index
from cxrsync.operations.index_formats import as_csv, as_json_lines, import_pyarrow, write_parquet
from cxrsync.operations.loader_files import (
    METADATA_LINES,
    as_image_folder,
    as_published_tables,
    without_tables,
)
from cxrsync.progress_events import Activity, Phase
from cxrsync.ui.console import Output, to_stderr
from cxrsync.ui.reporters import Reporters

_JSON, _PARQUET = (".jsonl", ".ndjson"), ".parquet"
_SUFFIXES = (".csv", *_JSON, _PARQUET)
TORCHXRAYVISION = "torchxrayvision"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What to write, and where. ``output``: a file, or with ``loader`` a folder; None: stdout."""

    output: Path | None
    loader: str | None
    force: bool
    as_json: bool


@click.command(cls=Command)
@places_argument
@selection_options
@option("base_url")
@option("present")
@option("as")
@option("output")
@option("force", "Replace FILE if it exists, in one step.")
@option("json", "JSON lines instead of CSV, on standard output.")
@option("on")
@click.pass_obj
def index(
    verbosity: Verbosity,
    /,
    present: bool,
    loader: str | None,
    output: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Write one row for each selected image: path, ids, split, view, labels, size, last proof.

    CSV goes to standard output, or to the file that --output names. Columns have the names of
    PhysioNet's tables; labels have the labeler in front (chexpert_Edema). Paths begin in the
    version's folder. PLACE: as for pull.

    Needs no network, no lock and no write access to the tree, and can run during a pull. Images
    that are not on the disk have a row, too, without --present. --no-tables leaves out the columns
    of the tables.
    """
    wanted = _checked(_Wanted(output, loader, force, as_json))
    on = options.pop("on")
    job = job_of_tree(options)
    if on is not None:
        return _index_on(on, job, wanted, verbosity, present=present)
    if loader == TORCHXRAYVISION:
        job = without_tables(job)
    with Reporters(verbosity.level, json_to=None, progress="tree") as reporters:
        reporters.tell(Phase(Activity.SELECTING, job.dataset))
        with image_index(job, reporters.tell, present=present or loader is not None) as found:
            counted = _Counted(found)
            if wanted.output is None:
                if verbosity.output.is_terminal:
                    reporters.close()
                _print(found, verbosity.output, as_json=as_json)
                done = ""
            else:
                with raising_at_signals():
                    done = _write(found, job, wanted)
    if verbosity.level >= 0:
        _tell(found, done, counted.rows, counted.unproven)
    return ExitCode.COMPLETE


def _index_on(on: str, job: Job, wanted: _Wanted, verbosity: Verbosity, *, present: bool) -> int:
    """Write the index that the workers of a cluster make. Return the exit code."""
    # Here: few need it.
    from cxrsync.cli.on_dask import IndexFile, index_on_dask
    from cxrsync.cli.pull import refuse_with_on
    from cxrsync.distributed.index_parts import IndexOrder

    refuse_with_on(**{"as": wanted.loader})
    suffix = "" if wanted.output is None else wanted.output.suffix.lower()
    is_json = wanted.as_json or suffix in _JSON
    order = IndexOrder("parquet" if suffix == _PARQUET else "json" if is_json else "csv", present)
    file = IndexFile(wanted.output, wanted.force, verbosity)
    end = index_on_dask(job, on, order, file)
    if end.index is not None and verbosity.level >= 0:
        _tell(end.index, str(wanted.output or ""), end.rows, end.unproven)
    return end.exit_code


def _tell(found: ImageIndex, done: str, rows: int, unproven: int) -> None:
    """Say what did not fit together, and what was written (``done``: the name of the file)."""
    for line in found.remarks():
        to_stderr(f"note: {line}")
    if done:
        to_stderr(f"{done}: {humanize.number(rows, 'image')} of {found.target.name}")
    if done and unproven:
        to_stderr(
            f"note: {unproven:,} of {rows:,} images are not verified here, and their verified_at "
            "is empty; --present leaves out those that are not on the disk"
        )


class _Counted:
    """Counts the rows of an index while they are read, and those whose image is not proven."""

    def __init__(self, index: ImageIndex) -> None:
        self.rows = 0
        self.unproven = 0
        self._proof = [column.name for column in index.columns].index("verified_at")
        index.rows = self._count(index.rows)

    def _count(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self.rows += 1
            self.unproven += row[self._proof] is None
            yield row


def _checked(wanted: _Wanted) -> _Wanted:
    """Return what to write, with real paths. Raises UsageError before any work."""
    output = wanted.output
    if output is not None and str(output) == "-":
        output = None
    if wanted.loader is not None:
        if output is None:
            raise UsageError(
                f"--as {wanted.loader} needs a folder to write to",
                next_step="Name it with --output; it may be the version's own folder.",
            )
        return _Wanted(check_folder(output), wanted.loader, wanted.force, wanted.as_json)
    if output is None:
        return _Wanted(None, None, wanted.force, wanted.as_json)
    suffix = output.suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(
            f"--output {output}: its name does not tell the format",
            next_step="It ends in .csv, .jsonl or .parquet.",
        )
    if wanted.as_json and suffix not in _JSON:
        raise UsageError(
            f"--json and --output {output} contradict each other",
            next_step="A file of JSON lines has a name that ends in .jsonl.",
        )
    if suffix == _PARQUET:
        import_pyarrow()
    return _Wanted(check_output(output, force=wanted.force), None, wanted.force, wanted.as_json)


def _print(index: ImageIndex, output: Output, *, as_json: bool) -> None:
    form = as_json_lines if as_json else as_csv
    output.write_lines(form(index.columns, index.rows))


def _write(index: ImageIndex, job: Job, wanted: _Wanted) -> str:
    """Write the index to a file, or the files of a loader to a folder. Return their names."""
    assert wanted.output is not None
    folder, force = wanted.output, wanted.force
    if wanted.loader == TORCHXRAYVISION:
        names = []
        for name, lines in as_published_tables(index, job):
            file = check_output(folder / name, force=force)
            refuse_file_of_dataset(file, index.target)
            with whole_file(file, force=force) as output:
                write_lines(lines, output)
            names.append(str(folder / name))
        return " and ".join(names)
    columns, rows = index.columns, index.rows
    file = wanted.output
    if wanted.loader is not None:
        file = check_output(folder / METADATA_LINES, force=force)
        columns, rows = as_image_folder(index, folder)
    refuse_file_of_dataset(file, index.target)
    with whole_file(file, force=force) as output:
        if file.suffix.lower() == _PARQUET:
            write_parquet(columns, rows, output)
        else:
            is_json = file.suffix.lower() in _JSON
            write_lines((as_json_lines if is_json else as_csv)(columns, rows), output)
    return str(file)
