"""``cxrsync resize``: smaller copies of verified images, in a tree of their own."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from typing import Any

import click

from cxrsync import humanize
from cxrsync.cancellation import RESUME
from cxrsync.cli.environment import Command, option
from cxrsync.cli.main import Verbosity
from cxrsync.cli.options import job_of_tree, places_argument, selection_options
from cxrsync.cli.signals import raising_at_signals
from cxrsync.dataset.copies import check_pillow
from cxrsync.dataset.version import find_target
from cxrsync.errors import DiskError
from cxrsync.operations.expected_files import expectation
from cxrsync.operations.resize import Resizing
from cxrsync.operations.resize import resize as make_copies
from cxrsync.sanitize import printable, reason_of
from cxrsync.ui.console import to_stderr
from cxrsync.ui.reporters import Reporters

_MAX_NAMED = 20


@click.command(cls=Command)
@places_argument
@selection_options
@option("base_url")
@option("all", "Every image of the version that is here, not what this tree was pulled with.")
@option("pixels")
@option("json", "One JSON object.")
@click.pass_obj
def resize(
    verbosity: Verbosity,
    /,
    everything: bool,
    pixels: int,
    as_json: bool,
    **options: Any,
) -> int:
    """Make smaller copies of the images of a tree, beside it: mimic-cxr-jpg-512/VERSION/files/….

    Each original is hashed before it is decoded, on all cores; none is changed. The copies have a
    SHA256SUMS.txt of their own, and DERIVED.json says how they were made. Run the same command
    again to resume, or after a further pull. PLACE: as for pull. Without a selection: what this
    tree was pulled with. Needs Pillow (the extra images).

    Exit 0 if every image has its copy, 5 if one is missing or cannot be decoded, 6 if one does not
    have its published digest.
    """
    check_pillow()
    job = job_of_tree(options)
    with Reporters(verbosity.level, json_to=None, progress="auto") as reporters:
        target = find_target(job, reporters.tell)
        try:
            with (
                expectation(target, job, everything=everything) as expected,
                raising_at_signals(RESUME),
            ):
                made = make_copies(expected, pixels, reporters.tell)
        except sqlite3.Error as problem:
            raise DiskError(
                f"cannot write the records of the copies: {reason_of(problem)}",
                next_step="Check the space and the permissions of the copies' folder, then run the "
                "same command again: copies that are made are kept.",
            ) from None
    if as_json:
        verbosity.output.write(json.dumps(made.as_json()) + "\n")
    if verbosity.level >= 0:
        for line in _in_words(made):
            to_stderr(printable(line))
    return made.exit_code


def _in_words(made: Resizing) -> list[str]:
    images = "1 image" if made.made == 1 else f"{made.made:,} images"
    text = f"{images} scaled ({humanize.size(made.made_bytes)}), {made.there:,} were there before"
    if made.missing:
        is_one = made.missing == 1
        text += f", {made.missing:,} original{' is' if is_one else 's are'} missing"
    lines = [f"{text}: {made.root}"]
    for reason, count in Counter(reason for _path, reason in made.failed).items():
        lines.append(f"{humanize.files(count)} without a copy: {reason.value}")
    lines += [f"  {path}: {reason.value}" for path, reason in made.failed[:_MAX_NAMED]]
    if len(made.failed) > _MAX_NAMED:
        lines.append(f"  and {len(made.failed) - _MAX_NAMED:,} more: --json names all")
    return lines
