"""Ask a store everything that access to its copies depends on: who asks, and one byte of each
manifest. :mod:`cxrsync.preflight.store_checklist` infers what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from cxrsync.catalog.load import dataset_info, load_stores
from cxrsync.config.job import Job
from cxrsync.config.store_address import StoreAddress
from cxrsync.config.store_places import is_physionets, named_version, place_of_version
from cxrsync.dataset.version import destination, pick_version
from cxrsync.errors import CredentialsRefused, CxrsyncError, UsageError
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.preflight.access_facts import destination_facts
from cxrsync.preflight.store_checklist import StoreFacts, StoreReply
from cxrsync.threads import run_in_thread

if TYPE_CHECKING:
    from cxrsync.sources.store.object_store import ObjectStore


async def find_out_store(
    jobs: Sequence[Job], address: StoreAddress, store: ObjectStore
) -> StoreFacts:
    """Return the facts about the access of ``jobs``, which have the same sources and destination,
    to the store at ``address``. Raises UsageError if no version of a dataset is known."""
    stores, number = load_stores(), jobs[0].origin.access_point_number
    asked = [(job.dataset, await run_in_thread(partial(_version_of, job, address))) for job in jobs]
    places = [place_of_version(address, slug, version, number, stores) for slug, version in asked]
    facts = StoreFacts(address.service, str(address), all(is_physionets(p, stores) for p in places))
    try:
        facts = replace(facts, found_in=await store.credentials_found_in())
        facts = replace(facts, caller=await store.caller())
    except CredentialsRefused as none:
        facts = replace(facts, unusable=none)
    replies: list[StoreReply] = []
    for (slug, version), place in zip(asked, places, strict=True):
        reply = StoreReply(dataset_info(slug), version, str(place))
        is_over = facts.unusable is not None or any(
            isinstance(each.refusal, CredentialsRefused) for each in replies
        )
        if is_over:
            replies.append(replace(reply, is_asked=False))
        else:
            replies.append(replace(reply, refusal=await _refusal(store, slug, version)))
    found = await run_in_thread(lambda: destination_facts(jobs[0].dest))
    return replace(facts, versions=tuple(replies), destination=found)


async def _refusal(store: ObjectStore, slug: str, version: str) -> CxrsyncError | None:
    try:
        async with store.open(RemotePath(slug, version, MANIFEST_NAME), 0, 1):
            return None
    except CxrsyncError as refused:
        return refused


def _version_of(job: Job, address: StoreAddress) -> str:
    """Return the version that a pull would be about."""
    named = named_version(address, load_stores())
    local: list[str] = []
    with suppress(CxrsyncError):  # what is wrong with the destination is told later
        local = destination(job).versions(job.dataset)
    known = dataset_info(job.dataset).versions
    version = job.named_version or (named[1] if named is not None else None)
    version = version or pick_version(None, local, known=known)
    if version is None:
        raise UsageError(
            f"no version of {job.dataset} is known",
            next_step=f"Name it: cxrsync access {job.dataset}/1.0 --from …",
        )
    return version
