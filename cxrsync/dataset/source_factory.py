"""Create the source of a job, and close it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from cxrsync.catalog.load import load_stores
from cxrsync.config.job import Job
from cxrsync.dataset.api_cache import ApiCache, cache_folder
from cxrsync.dataset.local_source_trees import source_trees
from cxrsync.events import EventSink
from cxrsync.sources.base import Source
from cxrsync.sources.credentials import Ask
from cxrsync.sources.local import LocalTree
from cxrsync.sources.physionet import PhysioNet
from cxrsync.sources.store.object_store import ObjectStore

T = TypeVar("T", bound=Source)


def open_source(job: Job, emit: EventSink, ask: Ask | None = None) -> Source:
    """Create the source that the job names. Call it inside a running event loop.

    Raises: UsageError if a local tree is not of the dataset and version that the job names, or if
    a package that the source needs is not installed.
    """
    if job.origin.from_dir is not None:
        return LocalTree(job.origin.from_dir, source_trees(job, job.origin.from_dir, emit))
    if job.origin.store is not None:
        return ObjectStore(job.origin.store, job.origin, job.limits, load_stores(), emit)
    memory = ApiCache(cache_folder())
    return PhysioNet(job.origin, job.limits, ask, emit=emit, memory=memory)


def open_site(job: Job, emit: EventSink) -> PhysioNet:
    """Create the site that the job's address names, for what it tells without a sign-in."""
    return PhysioNet(job.origin, job.limits, emit=emit, memory=ApiCache(cache_folder()))


@asynccontextmanager
async def opened(source: T) -> AsyncIterator[T]:
    """Yield the source, and close it at the end."""
    try:
        yield source
    finally:
        await source.close()
