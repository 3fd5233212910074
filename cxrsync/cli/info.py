"""``cxrsync info``: what is known about a dataset, and what of it is here."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from cxrsync.cancellation import NOTHING_CHANGED
from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.catalog.load import dataset_info, load
from cxrsync.cli.completion_values import complete_place
from cxrsync.cli.environment import Command, option
from cxrsync.cli.main import Verbosity
from cxrsync.cli.options import job_of, trees_in_dest
from cxrsync.cli.signals import obeying_signals
from cxrsync.config.job import Job
from cxrsync.config.option_value import check_options
from cxrsync.config.parse_job import make_job
from cxrsync.dataset.dataset_facts import DatasetFacts, TreeHere
from cxrsync.dataset.source_factory import open_site, opened
from cxrsync.errors import ExitCode, UsageError
from cxrsync.operations.exit_status import explained_errors
from cxrsync.operations.info import gather_facts, trees_here
from cxrsync.progress_events import Activity, Phase
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.info_text import as_lines, as_overview
from cxrsync.ui.reporters import Reporters

_OPTIONS_OF_DATASETS = ("jpg", "dicom", "dataset")
_WIDTH_OF_PIPES = 100


@click.command(cls=Command)
@click.argument("places", nargs=-1, metavar="[DATASET]", shell_complete=complete_place)
@option("jpg")
@option("dicom")
@option("dataset")
@option("dataset_version", "Tell about this version [default: the newest].")
@option("dest")
@option("base_url")
@option("ca_file")
@option("user_agent")
@option("json", "One JSON object.")
@click.pass_obj
def info(verbosity: Verbosity, /, as_json: bool, **options: Any) -> int:
    """Tell about DATASET: versions, size, files, tables, agreement, DOI, and what is here already.

    DATASET is NAME, NAME/VERSION or an address; without it, the datasets of the catalogue are
    listed. Needs no account: the site's public API is asked without signing in, at most once a day.
    Without a network, the catalogue and the disk tell. Each fact says where it is from.
    """
    output = verbosity.output
    is_named = options["places"] or any(options.get(name) for name in _OPTIONS_OF_DATASETS)
    if not is_named:
        with Reporters(verbosity.level) as reporters:
            reporters.tell(Phase(Activity.COUNTING))
            rows = _overview(options)
        if as_json:
            datasets = [_brief(dataset, here) for dataset, here in rows]
            output.write(json.dumps({"datasets": datasets}) + "\n")
        else:
            output.write_lines(
                [*as_overview(rows, output.width), "", "cxrsync info DATASET tells more."]
            )
        return ExitCode.COMPLETE
    if len(options["places"]) > 1:
        raise UsageError(
            "info tells about one dataset at a time",
            next_step="Name one; `cxrsync info` alone lists all that are known.",
        )
    job = make_job(options, options.pop("places"), has_selection=False)
    facts = asyncio.run(_run(job, verbosity))
    if as_json:
        output.write(json.dumps(_fields(facts)) + "\n")
    else:
        width = output.width or _WIDTH_OF_PIPES
        output.write_lines(as_lines(facts, job.dest, width))
    return ExitCode.COMPLETE


async def _run(job: Job, verbosity: Verbosity) -> DatasetFacts:
    prompt = TerminalPrompt()
    with Reporters(verbosity.level) as reporters:
        reporters.tell(Phase(Activity.ASKING, job.dataset))
        async with opened(open_site(job, reporters.tell)) as site:
            with (
                obeying_signals(prompt, reporters, NOTHING_CHANGED) as cancel,
                explained_errors(cancel),
            ):
                return await gather_facts(job, site, reporters.tell)


def _overview(options: dict[str, Any]) -> list[tuple[DatasetInfo, list[TreeHere]]]:
    """Return the datasets of the catalogue and those in the destination, with their trees."""
    checked = check_options({name: each for name, each in options.items() if name != "places"})
    slugs = dict.fromkeys([*load(), *(each.dataset for each in trees_in_dest(checked))])
    return [
        (dataset_info(slug), trees_here(job_of({**options, "places": (slug,)}))) for slug in slugs
    ]


def _brief(dataset: DatasetInfo, here: list[TreeHere]) -> dict[str, object]:
    return {
        "dataset": dataset.slug,
        "title": dataset.title,
        "versions": dataset.versions,
        "here": [_tree(tree) for tree in here],
    }


def _fields(facts: DatasetFacts) -> dict[str, object]:
    return {
        "dataset": facts.dataset.slug,
        "version": facts.version,
        "title": facts.title,
        "versions": facts.versions,
        "versions_from": facts.versions_from,
        "bytes": facts.bytes,
        "bytes_from": facts.bytes_from,
        "files": {kind.value: count for kind, count in facts.files.items()},
        "files_from": facts.files_from,
        "tables": facts.tables,
        "agreement": facts.dataset.page(facts.version),
        "doi": facts.doi,
        "license": facts.license,
        "here": [_tree(tree) for tree in facts.here],
        "listed": facts.is_listed,
        "unanswered": facts.unanswered,
    }


def _tree(tree: TreeHere) -> dict[str, object]:
    return {
        "version": tree.version,
        "root": str(tree.root),
        "verified_files": tree.files,
        "verified_bytes": tree.bytes,
    }
