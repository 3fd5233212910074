"""Create the source of a job, and close it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cxrsync.catalog.load import load_stores
from cxrsync.config.job import AUTO_CONNECTIONS, Job
from cxrsync.config.store_address import SitePlace, StoreAddress
from cxrsync.dataset.api_cache import ApiCache, cache_folder
from cxrsync.dataset.local_source_trees import source_trees
from cxrsync.events import EventSink
from cxrsync.sources.base import Source
from cxrsync.sources.credentials import Ask
from cxrsync.sources.in_order import Part, SourcesInOrder
from cxrsync.sources.local import LocalTree, ManifestFile

if TYPE_CHECKING:
    from cxrsync.sources.physionet import PhysioNet

T = TypeVar("T", bound=Source)


def open_source(job: Job, emit: EventSink, ask: Ask | None = None) -> Source:
    """Create the source that the job names. Call it inside a running event loop.

    Of several, each is created at once, so that what is wrong with one is told before anything is
    fetched. A store that has no manifest leaves it to PhysioNet, which is asked only then.

    Raises: UsageError if a local tree is not of the dataset and version that the job names, or if
    a package that the source needs is not installed.
    """
    origin = job.origin

    # Imported where they are used: neither help nor a command that only reads needs aiohttp.
    def site() -> Source:
        from cxrsync.sources.physionet import PhysioNet

        return PhysioNet(origin, job.limits, ask, emit=emit, memory=ApiCache(cache_folder()))

    def made(place: Path | StoreAddress | SitePlace) -> Source:
        if isinstance(place, Path):
            return LocalTree(place, source_trees(job, place, emit))
        if isinstance(place, StoreAddress):
            from cxrsync.sources.store.object_store import ObjectStore

            asked = (job.dataset, job.named_version)
            return ObjectStore(place, origin, job.limits, load_stores(), emit, asked)
        return site()

    places = origin.places or (SitePlace(),)
    parts = [
        Part(
            partial(made, each),
            connections=AUTO_CONNECTIONS if isinstance(each, SitePlace) else None,
        )
        for each in places
    ]
    for part in parts:
        part.made = part.make()
    if origin.manifest is not None:
        file = origin.manifest
        parts.insert(0, Part(lambda: ManifestFile(file, job.dataset), has_files=False))
    elif origin.stores and not origin.is_site:
        parts.append(Part(site, has_files=False, connections=AUTO_CONNECTIONS))
    return parts[0].source if len(parts) == 1 else SourcesInOrder(parts, emit)


def open_site(job: Job, emit: EventSink) -> PhysioNet:
    """Create the site that the job's address names, for what it tells without a sign-in."""
    from cxrsync.sources.physionet import PhysioNet

    return PhysioNet(job.origin, job.limits, emit=emit, memory=ApiCache(cache_folder()))


@asynccontextmanager
async def opened(source: T) -> AsyncIterator[T]:
    """Yield the source, and close it at the end."""
    try:
        yield source
    finally:
        await source.close()
