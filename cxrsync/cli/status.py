"""``cxrsync status``: count verified and missing files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from cxrsync import humanize
from cxrsync.cli.environment import Command, option
from cxrsync.cli.html_report import report_file, write_report
from cxrsync.cli.main import Verbosity
from cxrsync.cli.options import job_of_tree, places_argument, selection_options
from cxrsync.dataset.version import find_target
from cxrsync.events import Event, TreeNotice
from cxrsync.operations.expected_files import expectation
from cxrsync.operations.html_report import gather
from cxrsync.operations.proof_ages import RECENT_DAYS
from cxrsync.operations.run_log import active_runs, scrub_of
from cxrsync.operations.status import PartitionStatus, total_of
from cxrsync.operations.status import status as status_of
from cxrsync.sanitize import printable
from cxrsync.ui.console import to_stderr
from cxrsync.ui.table import as_table

_HEADINGS: tuple[str, ...] = (
    *("", "selected", "verified", "unverified"),
    *("missing", "bytes", "partial"),
)


@click.command(cls=Command)
@places_argument
@selection_options
@option("base_url")
@option("all", "Count the whole manifest.")
@option("html")
@option("json", "One JSON object.")
@click.pass_obj
def status(
    verbosity: Verbosity, /, everything: bool, html: Path | None, as_json: bool, **options: Any
) -> int:
    """Count verified and missing files, by shard. Hashes nothing; needs no lock or write access.

    PLACE: as for pull. Without a selection, everything that this tree was pulled with is counted.
    While a pull is
    running, the counts may be half a minute old; the output says so.
    """
    file = report_file(html, "--html")
    job = job_of_tree(options)

    def say(event: Event) -> None:
        if isinstance(event, TreeNotice) and verbosity.level >= 0:
            to_stderr(f"note: {event.text}")

    target = find_target(job, say)
    with expectation(target, job, everything=everything) as expected:
        for text in expected.selected.left_out if verbosity.level >= 0 else ():
            to_stderr(f"note: {text}")
        gathered = None if file is None else gather(expected)
        shares = status_of(expected) if gathered is None else gathered.statuses
    runs = active_runs(target.tree)
    if file is not None and gathered is not None:
        write_report(file, gathered.data)
    if as_json:
        answer = {
            "dataset": job.dataset,
            "version": target.version,
            "root": str(target.tree.root),
            "selection": expected.description,
            "partitions": {name: share.as_json() for name, share in shares.items()},
            "proofs": total_of(shares).proofs.as_json(),
            "running": runs[0] if runs else None,
            "runs": runs,
        }
        verbosity.output.write(json.dumps(answer) + "\n")
        return 0
    title = f"{target.name} ({expected.description}) in {target.tree.root}"
    lines = [title, *_table(shares).split("\n"), *_remarks(shares, runs)]
    if file is not None:
        lines.append(f"the report is in {file}")
    verbosity.output.write_lines(map(printable, lines))
    return 0


def _remarks(shares: dict[str, PartitionStatus], runs: list[dict[str, Any]]) -> Iterator[str]:
    proofs = total_of(shares).proofs
    if proofs.oldest is not None:
        yield (
            f"the oldest proof is {humanize.duration(proofs.oldest)} old; "
            f"{humanize.files(proofs.recent_files)} ({humanize.size(proofs.recent_bytes)}) were "
            f"verified in the last {RECENT_DAYS} days"
        )
    for run in runs:
        yield run_in_words(run)
    behind = {
        name: share.snapshot_age
        for name, share in shares.items()
        if share.snapshot_behind and share.snapshot_age is not None
    }
    if behind and runs:
        yield f"the table is {humanize.duration(max(behind.values()))} old"
    elif behind:
        oldest = datetime.now().astimezone() - timedelta(seconds=max(behind.values()))
        yield (
            f"files of {', '.join(behind)} that were verified after "
            f"{oldest.isoformat(' ', 'minutes')} are not counted: a pull was killed before it "
            "updated the snapshot; the next pull does"
        )


def run_in_words(run: dict[str, Any]) -> str:
    """Return what a run does, from its progress."""
    files = run["files"]
    where = f"process {run['pid']}" + (f" on {run['host']}" if "host" in run else "")
    if (scrub := scrub_of(run)) is not None:
        if not scrub[1]:
            return f"a scrub is preparing ({where})"
        return f"a scrub is running ({where}): {scrub[0]:,} of {scrub[1]:,} due files are hashed"
    done = files["present"] + files["fetched"] + files["adopted"]
    if not files["selected"]:
        return f"a pull is preparing ({where})"
    return f"a pull is running ({where}): {done:,} of {files['selected']:,} files are verified"


def _table(shares: dict[str, PartitionStatus]) -> str:
    rows = [_HEADINGS]
    rows += [_row(name, share) for name, share in shares.items()]
    rows.append(_row("total", total_of(shares)))
    return as_table(rows)


def _row(name: str, share: PartitionStatus) -> tuple[str, ...]:
    return (
        name,
        f"{share.selected:,}",
        f"{share.verified:,}",
        f"{share.unverified:,}",
        f"{share.missing:,}",
        humanize.size(share.verified_bytes),
        humanize.size(share.partial_bytes),
    )
