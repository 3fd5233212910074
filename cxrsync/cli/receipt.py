"""``cxrsync receipt``: what a paper must say about the data, and whether a tree matches it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import click

from cxrsync.cli.environment import Command, option
from cxrsync.cli.main import Verbosity
from cxrsync.cli.options import job_of_tree, places_argument, selection_options
from cxrsync.cli.output_file import check_output, refuse_file_of_dataset, whole_file, write_lines
from cxrsync.cli.signals import raising_at_signals
from cxrsync.cli.verify_text import verification_lines
from cxrsync.config.job import Job
from cxrsync.dataset.source_factory import open_site, opened
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import find_target
from cxrsync.errors import CxrsyncError, ExitCode, UsageError, worst_of
from cxrsync.events import EventSink
from cxrsync.operations.expected_files import expectation
from cxrsync.operations.receipt import (
    Receipt,
    as_paragraph,
    differences,
    make_receipt,
    needs_site,
)
from cxrsync.operations.verify import verify as verify_tree
from cxrsync.progress_events import Activity, Phase
from cxrsync.sanitize import reason_of
from cxrsync.sources.version_info import VersionInfo
from cxrsync.ui.console import to_stderr
from cxrsync.ui.reporters import Reporters

_MAX_BYTES = 1 << 20


@click.command(cls=Command)
@places_argument
@selection_options
@option("base_url")
@option("ca_file")
@option("user_agent")
@option("all", "The whole version, not what this tree was pulled with.")
@option("check", "Check whether the tree matches the receipt that the first argument names.")
@option("output", "Write the receipt to FILE as JSON; its name ends in .json.")
@option("force", "Replace FILE if it exists, in one step.")
@option("json", "One JSON object.")
@click.pass_obj
def receipt(
    verbosity: Verbosity,
    /,
    everything: bool,
    check: bool,
    output: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Say which files a work used: a paragraph for the methods section, and JSON. No ids.

    It has dataset, version, DOI, the SHA-256 of SHA256SUMS.txt and of the list of the files, the
    selection in words, counts, and when the files were proven. PLACE: as for pull. Without a
    selection: what this tree was pulled with. The site's public API is asked, without signing in,
    only for a DOI that the catalogue does not have.

    receipt --check FILE hashes the files of a tree, and says whether they are those of the receipt
    in FILE: exit 0, or 6 if a file or the list is another, 5 if a file is missing. A selection that
    names ids is not in the receipt: say it again.
    """
    if check:
        if output is not None:
            raise UsageError("--check writes no file", next_step="Leave --output out.")
        return _check(verbosity, options, everything=everything, as_json=as_json)
    file = None if output is None else _output(output, force=force)
    job = job_of_tree(options)
    with Reporters(verbosity.level, json_to=None, progress="tree") as reporters:
        reporters.tell(Phase(Activity.COUNTING, job.dataset))
        target = find_target(job, reporters.tell)
        if file is not None:
            refuse_file_of_dataset(file, target)
        with expectation(target, job, everything=everything) as expected:
            about, unanswered = asyncio.run(_about(job, target, reporters.tell))
            made = make_receipt(expected, about)
    text = as_paragraph(made)
    fields = {**made.as_json(), "text": text}
    if file is not None:
        with raising_at_signals(), whole_file(file, force=force) as written:
            write_lines([json.dumps(fields, indent=2, ensure_ascii=False)], written)
    verbosity.output.write_lines([json.dumps(fields) if as_json else text])
    if verbosity.level >= 0 and made.doi is None:
        page = target.dataset.page(target.version)
        to_stderr(
            f"note: the DOI of {target.name} is not known{unanswered}"
            + (f"; {page} shows it, if it has one" if page else "")
        )
    if verbosity.level >= 0 and not made.is_proven:
        to_stderr(
            f"note: only {made.verified:,} of {made.files:,} files are here and proven: "
            "`cxrsync pull` fetches and proves the others"
        )
    return ExitCode.COMPLETE


async def _about(job: Job, target: Target, emit: EventSink) -> tuple[VersionInfo | None, str]:
    """Return what the site says, if that is needed, and in words why it says nothing."""
    if not needs_site(target):
        return None, ""
    try:
        async with opened(open_site(job, emit)) as site:
            return await site.about(target.dataset.slug, target.version), ""
    except CxrsyncError as silent:
        return None, f": {silent}"


def _output(output: Path, *, force: bool) -> Path:
    if output.suffix.lower() != ".json":
        raise UsageError(
            f"--output {output}: the receipt is a JSON file, and its name ends in .json",
            next_step="Say, for example, --output receipt.json.",
        )
    return check_output(output, force=force)


def _check(
    verbosity: Verbosity, options: dict[str, Any], *, everything: bool, as_json: bool
) -> int:
    file, *places = options.pop("places", ()) or (None,)
    if file is None:
        raise UsageError(
            "no receipt is named", next_step="Name its file: cxrsync receipt --check receipt.json"
        )
    known = _read(Path(file))
    if not places and not any(options.get(name) for name in ("jpg", "dicom", "dataset")):
        options |= {"dataset": known.dataset, "dataset_version": known.version}
    job = job_of_tree({**options, "places": places})
    selections = known.known_selections() if job.selection.whole and not everything else ()
    with Reporters(verbosity.level, json_to=None, progress="auto") as reporters:
        target = find_target(job, reporters.tell)
        with expectation(target, job, everything=everything, selections=selections) as expected:
            found = make_receipt(expected)
            wrong = differences(known, found)
            result = asyncio.run(verify_tree(expected, reporters.tell))
    codes = [result.exit_code, ExitCode.CONTRADICTED if wrong else ExitCode.COMPLETE]
    code = worst_of(codes)
    if as_json:
        fields = {"matches": code is ExitCode.COMPLETE, "differences": wrong}
        verbosity.output.write(json.dumps({**result.as_json(), **fields, "exit_code": code}) + "\n")
        return code
    lines = verification_lines(result, target, is_of_tree=False, hint=False)
    if code is ExitCode.COMPLETE:
        lines.append(f"the tree in {target.tree.root} matches the receipt")
    else:
        lines += [*wrong, f"the tree in {target.tree.root} does not match the receipt"]
        if wrong and known.selections is None and job.selection.whole:
            lines.append(
                f"The receipt does not hold its selection ({known.selection}), which names ids: "
                "say it again, with the options of then"
            )
    verbosity.output.write_lines(lines)
    return code


def _read(file: Path) -> Receipt:
    """Return the receipt in a file. Raises UsageError."""
    try:
        with open(file, "rb") as stream:
            text = stream.read(_MAX_BYTES)
        receipt = Receipt.from_json(json.loads(text))
        receipt.known_selections()
    except OSError as problem:
        raise UsageError(
            f"cannot read {os.fspath(file)}: {reason_of(problem)}",
            next_step="Name the file that `cxrsync receipt --output FILE` wrote.",
        ) from None
    except (ValueError, RecursionError):
        raise UsageError(
            f"{os.fspath(file)} is not a receipt that this release can read",
            next_step="Name the file that `cxrsync receipt --output FILE` wrote.",
        ) from None
    return receipt
