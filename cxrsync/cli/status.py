"""``cxrsync status``"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from cxrsync import words
from cxrsync.cli.main import Loudness
from cxrsync.cli.options import job_of_tree, option, selection_options
from cxrsync.engine.expectation import expectation
from cxrsync.engine.records import read_progress
from cxrsync.engine.status import Share
from cxrsync.engine.status import status as status_of
from cxrsync.engine.version import find_tree
from cxrsync.report.table import as_table

_HEADINGS: tuple[str, ...] = (
    *("", "selected", "verified", "unproved"),
    *("missing", "bytes", "unfinished"),
)


@click.command()
@selection_options
@option("--all", "everything", is_flag=True, help="Of the whole manifest.")
@option("--json", "as_json", is_flag=True, envvar="CXRSYNC_JSON", help="One JSON object.")
@click.pass_obj
def status(loudness: Loudness, /, everything: bool, as_json: bool, **options: Any) -> int:
    """What is there, by shard. Hashes nothing; needs no lock and no write access.

    Without a selection: what this tree was pulled with.
    """
    job = job_of_tree(options)
    tree, version = find_tree(job)
    with expectation(tree, job, version, everything=everything) as expected:
        shares = status_of(tree, expected)
    running = read_progress(tree)
    if as_json:
        answer = {
            "dataset": job.dataset,
            "version": version,
            "root": str(tree.root),
            "selection": expected.words,
            "partitions": {name: asdict(share) for name, share in shares.items()},
            "running": running,
        }
        loudness.output.write(json.dumps(answer) + "\n")
        return 0
    lines = [f"{job.dataset} {version} ({expected.words}) in {tree.root}", _table(shares)]
    if running is not None:
        files = running["files"]
        done = files["present"] + files["fetched"] + files["adopted"]
        lines.append(
            f"a pull is at work (process {running['pid']}): "
            f"{done:,} of {files['selected']:,} files are here"
        )
    loudness.output.write_lines(lines)
    return 0


def _table(shares: dict[str, Share]) -> str:
    rows = [_HEADINGS]
    total = Share()
    for name, share in shares.items():
        rows.append(_row(name, share))
        for field, value in asdict(share).items():
            setattr(total, field, getattr(total, field) + value)
    rows.append(_row("all", total))
    return as_table(rows)


def _row(name: str, share: Share) -> tuple[str, ...]:
    return (
        name,
        f"{share.selected:,}",
        f"{share.verified:,}",
        f"{share.unproved:,}",
        f"{share.missing:,}",
        words.size(share.verified_bytes),
        words.size(share.partial_bytes),
    )
