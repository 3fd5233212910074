"""``cxrsync access``: try the credentials, and say what is missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import click

from cxrsync.cancellation import NOTHING_CHANGED
from cxrsync.catalog.load import load_stores
from cxrsync.cli.completion_values import complete_place
from cxrsync.cli.environment import Command, option
from cxrsync.cli.main import Verbosity
from cxrsync.cli.signals import obeying_signals
from cxrsync.config.job import Job
from cxrsync.config.parse_job import make_job
from cxrsync.config.parse_source import parse_source
from cxrsync.config.store_address import StoreAddress
from cxrsync.config.store_places import named_version
from cxrsync.dataset.api_cache import ApiCache, cache_folder
from cxrsync.dataset.source_factory import opened
from cxrsync.errors import UsageError
from cxrsync.operations.access import Tell, find_out
from cxrsync.operations.exit_status import explained_errors
from cxrsync.operations.store_access import find_out_store
from cxrsync.preflight.access_checklist import checklist, settled
from cxrsync.preflight.access_facts import AccessFacts
from cxrsync.preflight.store_checklist import StoreFacts, store_checklist, stores_checklist
from cxrsync.progress_events import Activity, Phase
from cxrsync.sources.access_probe import AccessProbe, usual_credentials
from cxrsync.sources.credentials import alone
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.checklist_text import ChecklistWriter, store_as_json, stores_as_json
from cxrsync.ui.checklist_text import as_json as checklist_as_json
from cxrsync.ui.reporters import Reporters

_USUAL = ("mimic-cxr", "mimic-cxr-jpg")


@click.command(cls=Command)
@click.argument("places", nargs=-1, metavar="[DATASET]...", shell_complete=complete_place)
@option("jpg")
@option("dicom")
@option("dataset")
@option("dataset_version")
@option("dest")
@option("from_dir", "Check a copy in the cloud instead: s3, gcs, or an address; repeatable.")
@option("access_point_number")
@option("endpoint_url")
@option("aws_profile")
@option("requester_pays")
@option("base_url")
@option("user")
@option("ca_file")
@option("user_agent")
@option("json", "One JSON object.")
@click.pass_obj
def access(verbosity: Verbosity, /, places: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Try the credentials, and say which step of PhysioNet's access process is missing.

    Checks the network, the server, the sign-in, each DATASET (NAME or NAME/VERSION; default:
    mimic-cxr and mimic-cxr-jpg), the destination and the clock, each once. What a refusal means is
    inferred from what else opens. A password is sent at most once. Nothing is written.

    With --from s3 or --from gcs: the credentials, whose they are, and a byte of each manifest.

    Exit codes: 0 every dataset opens, 2 no such dataset or version, 3 credentials refused, 4 access
    denied, 7 the destination cannot be used, 10 server unreachable.
    """
    jobs = _jobs(places, options)
    if jobs[0].origin.places:
        return _access_of_store(jobs, verbosity, as_json=as_json)
    widest = max(len(f"{job.dataset} {job.named_version or '0.0.0'}") for job in jobs)
    output = verbosity.output
    writer = ChecklistWriter(output.write_lines, max(widest, len("destination")), output.width)

    def tell(facts: AccessFacts) -> None:
        if not as_json:
            writer.show(settled(facts))

    with Reporters(verbosity.level) as reporters:

        def show(facts: AccessFacts) -> None:
            with reporters.beside():
                tell(facts)

        facts = asyncio.run(_run(jobs, reporters, show))
    done = checklist(facts)
    if as_json:
        verbosity.output.write(json.dumps(checklist_as_json(facts, done)) + "\n")
    else:
        writer.end(done)
    return done.code


def _access_of_store(jobs: Sequence[Job], verbosity: Verbosity, *, as_json: bool) -> int:
    """Check the access to each store in the cloud that the jobs name, in order."""
    if not jobs[0].origin.stores:
        raise UsageError(
            f"access to {jobs[0].origin.shown} is not checked",
            next_step="Name a store, as --from s3, or leave --from out for PhysioNet.",
        )
    with Reporters(verbosity.level) as reporters:
        stores = asyncio.run(_ask_stores(jobs, reporters))
    several = len(stores) > 1
    done = stores_checklist(stores) if several else store_checklist(stores[0])
    if as_json:
        alone = [(facts, store_checklist(facts)) for facts in stores]
        found = stores_as_json(alone, done) if several else store_as_json(stores[0], done)
        verbosity.output.write(json.dumps(found) + "\n")
    else:
        width = max(len(each.name) for each in done.checks)
        output = verbosity.output
        ChecklistWriter(output.write_lines, width, output.width).end(done)
    return done.code


async def _ask_stores(jobs: Sequence[Job], reporters: Reporters) -> list[StoreFacts]:
    from cxrsync.sources.store.object_store import ObjectStore  # here: help needs no aiohttp

    prompt = TerminalPrompt()
    first = jobs[0]
    reporters.tell(Phase(Activity.ASKING, first.origin.shown))
    with obeying_signals(prompt, reporters, NOTHING_CHANGED) as cancel, explained_errors(cancel):
        origin, facts = first.origin, []
        for address in origin.stores:
            tell = reporters.tell
            # An address that does not say which version it holds can be one of them only.
            asked = (first.dataset, first.named_version) if len(jobs) == 1 else None
            store = ObjectStore(address, origin, first.limits, load_stores(), tell, asked)
            async with opened(store):
                facts.append(await find_out_store(jobs, address, store))
        return facts


def _jobs(places: Sequence[str], options: dict[str, Any]) -> list[Job]:
    """Return a job for each dataset that is named."""
    shared = {
        name: value for name, value in options.items() if name not in {"jpg", "dicom", "dataset"}
    }
    named = [{name: options[name]} for name in ("dicom", "jpg", "dataset") if options.get(name)]
    jobs = [make_job({**shared, **each}) for each in named]
    jobs += [make_job(shared, [place], has_selection=False) for place in places]
    if not jobs:
        slugs = _named_by_address(shared) or _USUAL
        jobs = [make_job({**shared, "dataset": slug}) for slug in slugs]
    return list({(job.dataset, job.version): job for job in jobs}.values())


def _named_by_address(options: dict[str, Any]) -> tuple[str, ...]:
    """Return the dataset of which the address of a store is, if it is of one."""
    for word in options.get("from_dir") or ():
        place = parse_source(word)
        named = named_version(place, load_stores()) if isinstance(place, StoreAddress) else None
        if named is not None:
            return named[:1]
    return ()


async def _run(jobs: Sequence[Job], reporters: Reporters, tell: Tell) -> AccessFacts:
    prompt = TerminalPrompt()
    first = jobs[0]
    memory = ApiCache(cache_folder())
    find = usual_credentials(first.origin, alone(prompt, reporters.tell))
    probe = AccessProbe(first.origin, first.limits, find, reporters.tell, memory)
    reporters.tell(Phase(Activity.ASKING, probe.host))
    try:
        with (
            obeying_signals(prompt, reporters, NOTHING_CHANGED) as cancel,
            explained_errors(cancel),
        ):
            return await find_out(jobs, probe, tell)
    finally:
        await probe.close()
