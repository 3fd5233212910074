"""``cxrsync verify``"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cxrsync.cli.main import Loudness
from cxrsync.cli.options import option, output_options, selection_options, source_options
from cxrsync.cli.pull import pull_job
from cxrsync.engine.manifest import open_local
from cxrsync.engine.verify import Verification, expectation
from cxrsync.engine.verify import verify as verify_tree
from cxrsync.engine.version import find_tree, only_tree
from cxrsync.errors import UsageError
from cxrsync.job import DEFAULT_DEST, Job
from cxrsync.model import Event
from cxrsync.options import make_job
from cxrsync.report import words
from cxrsync.report.listeners import listeners_for
from cxrsync.report.progress import JsonListener


def job_of_tree(options: dict[str, Any]) -> Job:
    """The job that the options name; without a dataset, the one tree that the destination holds."""
    if not any(options.get(name) for name in ("jpg", "dicom", "dataset")):
        found = only_tree(Path(options.get("dest") or DEFAULT_DEST).expanduser())
        if found is not None:
            options["dataset"] = found[0]
            options["dataset_version"] = options.get("dataset_version") or found[1]
    return make_job(options)


@click.command()
@selection_options
@source_options
@option("--all", "everything", is_flag=True, help="Against the whole manifest.")
@option("--repair", is_flag=True, help="Fetch what is bad or missing.")
@output_options
@click.pass_obj
def verify(
    loudness: Loudness,
    /,
    everything: bool,
    repair: bool,
    as_json: bool,
    progress: str,
    **options: Any,
) -> int:
    """Hash again what is there; tell what is missing, bad or extra.

    Without a selection: what this tree was pulled with. Needs no network, no lock and no write
    access (--repair needs all three). Exit 0 if everything is right, 6 if a file is bad, 5 if one
    is missing.
    """
    job = job_of_tree(options)
    tree, version = find_tree(job)
    listeners = listeners_for(loudness.level, as_json=as_json, progress=progress)

    def emit(event: Event) -> None:
        for listener in listeners:
            listener.listen(event)

    expected = expectation(tree, job.dataset, job.selection, everything=everything)
    manifest = open_local(tree)
    try:
        found = asyncio.run(verify_tree(tree, manifest, expected, emit))
    finally:
        manifest.close()
        for listener in listeners:
            listener.close()
    if loudness.level >= 0:
        click.echo(_in_words(found, f"{job.dataset} {version}"), err=True)
    if repair and found.exit_code:
        if expected.only_present:
            raise UsageError(
                "this tree was not made by cxrsync: it does not say what it ought to hold",
                next_step="Say so: verify --repair --shard p10, for example, or --all.",
            )
        # Everything that was asked for of this tree, the bad files without their proof.
        fixed = replace(job, version=version, dest=tree.root)
        return max(
            pull_job(
                replace(fixed, selection=selection),
                loudness,
                as_json=as_json,
                progress=progress,
                distrust=found.bad,
            )
            for selection in expected.selections
        )
    for listener in listeners:
        if isinstance(listener, JsonListener):
            listener.say_summary(found.as_json())
    return found.exit_code


def _in_words(found: Verification, name: str) -> str:
    text = (
        f"{name} ({found.selection}): {words.files(found.good)} good "
        f"({words.size(found.good_bytes)}), {len(found.bad):,} bad, {found.missing:,} missing, "
        f"{found.extra:,} extra"
    )
    if found.debris:
        text += f"\n{words.files(found.debris)} index.html that wget left: of no use, no harm"
    if found.refused_lines:
        text += f"\n{found.refused_lines:,} manifest lines are refused"
    return text
