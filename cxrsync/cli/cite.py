"""``cxrsync cite``: how to cite a dataset, its article and PhysioNet."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import textwrap
from collections.abc import Sequence
from typing import Any

import click

from cxrsync.cancellation import NOTHING_CHANGED
from cxrsync.catalog.citation import PHYSIONET, Work
from cxrsync.cli.completion_values import complete_place
from cxrsync.cli.environment import Command, option
from cxrsync.cli.main import Verbosity
from cxrsync.cli.options import trees_in_dest
from cxrsync.cli.signals import obeying_signals
from cxrsync.config.job import Job
from cxrsync.config.option_value import check_options
from cxrsync.config.parse_job import make_job
from cxrsync.dataset.source_factory import open_site, opened
from cxrsync.errors import ExitCode, UsageError
from cxrsync.operations.cite import Citations, gather_citations
from cxrsync.operations.exit_status import explained_errors
from cxrsync.progress_events import Activity, Phase
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.citation_text import as_bibtex, as_text
from cxrsync.ui.console import to_stderr
from cxrsync.ui.reporters import Reporters


@click.command(cls=Command)
@click.argument("places", nargs=-1, metavar="[DATASET]...", shell_complete=complete_place)
@option("jpg")
@option("dicom")
@option("dataset")
@option("dataset_version")
@option("bibtex")
@option("dest")
@option("base_url")
@option("ca_file")
@option("user_agent")
@option("json", "One JSON object.")
@click.pass_obj
def cite(
    verbosity: Verbosity,
    /,
    places: tuple[str, ...],
    bibtex: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Say how to cite each DATASET, the article about it, and PhysioNet.

    DATASET is NAME or NAME/VERSION; default: the datasets in DEST. The version is the one in DEST,
    else the newest, and is part of the citation. Needs no account: the site's public API is asked
    without signing in, at most once a day; if it does not answer, the catalogue tells.
    """
    if bibtex and as_json:
        raise UsageError(
            "--bibtex and --json exclude each other",
            next_step="Leave one out: the JSON has the BibTeX entries, too.",
        )
    jobs = _jobs(places, options)
    found = asyncio.run(_run(jobs, verbosity))
    output = verbosity.output
    if as_json:
        output.write(json.dumps({"works": [_fields(*each) for each in _works(found)]}) + "\n")
    elif bibtex:
        entries = [as_bibtex(work, key) for _what, key, work in _works(found)]
        output.write("\n\n".join(entries) + "\n")
    else:
        output.write_lines(_lines(found, output.width))
    if verbosity.level >= 0:
        _say_what_is_missing(found)
    return ExitCode.COMPLETE


def _jobs(places: Sequence[str], options: dict[str, Any]) -> list[Job]:
    """Return a job for each dataset that is named, else for each in the destination."""
    flags = ("dicom", "jpg", "dataset")
    shared = {name: value for name, value in options.items() if name not in flags}
    jobs = [make_job({**shared, each: options[each]}) for each in flags if options.get(each)]
    jobs += [make_job(shared, [place], has_selection=False) for place in places]
    if not jobs:
        checked = check_options(shared)
        slugs = sorted({each.dataset for each in trees_in_dest(checked)})
        jobs = [make_job({**shared, "dataset": slug}) for slug in slugs]
    if not jobs:
        raise UsageError(
            "no dataset is named, and there is none in DEST",
            next_step="Name one: cxrsync cite mimic-cxr-jpg, or --dest DIR.",
        )
    return list({(job.dataset, job.version): job for job in jobs}.values())


async def _run(jobs: Sequence[Job], verbosity: Verbosity) -> list[Citations]:
    prompt = TerminalPrompt()
    with Reporters(verbosity.level) as reporters:
        reporters.tell(Phase(Activity.ASKING, jobs[0].origin.base_url))
        async with opened(open_site(jobs[0], reporters.tell)) as site:
            with (
                obeying_signals(prompt, reporters, NOTHING_CHANGED) as cancel,
                explained_errors(cancel),
            ):
                return [await gather_citations(job, site) for job in jobs]


def _works(found: Sequence[Citations]) -> list[tuple[str, str, Work]]:
    """Return what each work is, its key in BibTeX, and the work."""
    works = []
    for each in found:
        slug = each.dataset.slug
        works.append((f"{slug} {each.version}", f"{slug}-{each.version}", each.data))
        if each.article is not None:
            works.append((f"the article about {slug}", f"{slug}-article", each.article))
    return [*works, ("PhysioNet", "physionet", PHYSIONET)]


def _lines(found: Sequence[Citations], width: int) -> list[str]:
    """``width``: of a terminal; 0 for a pipe, whose reader gets each citation as one line."""
    lines: list[str] = []
    for what, _key, work in _works(found):
        text = as_text(work)
        broken = textwrap.wrap(
            text, max(width, 40) - 2, break_long_words=False, break_on_hyphens=False
        )
        lines += [f"{what}:", *(f"  {line}" for line in (broken if width else [text])), ""]
    return lines[:-1]


def _fields(what: str, key: str, work: Work) -> dict[str, object]:
    return {
        "what": what,
        "text": as_text(work),
        "bibtex": as_bibtex(work, key),
        **dataclasses.asdict(work),
    }


def _say_what_is_missing(found: Sequence[Citations]) -> None:
    """Say on stderr which citations the catalogue told, why, and what they lack."""
    by_reason: dict[str, list[str]] = {}
    for each in found:
        if each.unanswered:
            by_reason.setdefault(each.unanswered, []).append(f"{each.dataset.slug} {each.version}")
    for reason, names in by_reason.items():
        to_stderr(f"from the catalogue: {', '.join(names)}: {reason}")
    for each in found:
        if not (each.data.wording or (each.data.doi and each.data.year)):
            to_stderr(
                f"{each.dataset.slug} {each.version}: authors, year or DOI are not known here; "
                f"{each.dataset.page(each.version)} has them"
            )
