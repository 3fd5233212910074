"""Ask everything that access to datasets depends on, each once, in order.

1. The address of the server. 2. A byte of the first manifest, without credentials; its answer also
tells the server's clock. 3. The one sign-in, at the first version that asks for it. 4. A byte of
the manifest of each other version. 5. For each, the public API, within its ration. 6. If one is
refused and none opens: a byte of further versions, to compare with. 7. The destination.

:mod:`cxrsync.preflight.access_checklist` infers what is missing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from cxrsync.catalog.load import dataset_info, load, near_datasets
from cxrsync.config.job import Job
from cxrsync.dataset.version import destination, version_key
from cxrsync.errors import CredentialsRefused, CxrsyncError, Unanswered, UsageError
from cxrsync.preflight.access_facts import (
    AccessFacts,
    SignIn,
    SiteWords,
    VersionReply,
    destination_facts,
)
from cxrsync.sources.access_probe import AccessProbe, Reply
from cxrsync.threads import run_in_thread

# Requests that only serve to tell the causes of a 403 apart.
_MAX_OTHERS = 4


Tell = Callable[[AccessFacts], None]
"""Gets the facts whenever something was found out."""


async def find_out(jobs: Sequence[Job], probe: AccessProbe, tell: Tell) -> AccessFacts:
    """Return the facts about the access to the datasets of ``jobs``, which have the same source and
    destination. Raises UsageError if no version of a dataset is known, Unanswered if neither the
    catalogue nor the site tells one."""
    survey = _Survey(probe, AccessFacts(probe.host, jobs[0].origin, probe.proxy), tell)
    await survey.look_up()
    if survey.facts.lookup is None:
        for job in jobs:
            await survey.ask_about(await _version_of(job, probe))
        for other in _to_compare(survey.facts.versions):
            reply = await survey.ask(other)
            survey.note(others=(*survey.facts.others, reply))
    else:
        survey.note(versions=tuple([_unasked(job) for job in jobs]))
    found = await run_in_thread(lambda: destination_facts(jobs[0].dest))
    survey.note(destination=found)
    return survey.facts


class _Survey:
    """Gathers facts. The first request that gets a 401 signs in; after a refusal, or if the server
    is away, no other manifest is asked for."""

    def __init__(self, probe: AccessProbe, facts: AccessFacts, tell: Tell) -> None:
        self.facts = facts
        self._probe = probe
        self._tell = tell
        self._is_over = False

    def note(self, **found: Any) -> None:
        """Add facts, and tell them."""
        self.facts = replace(self.facts, **found)
        self._tell(self.facts)

    async def look_up(self) -> None:
        """Look up the server's name; a proxy would do that itself."""
        try:
            self.note(addresses=() if self.facts.proxy else await self._probe.look_up())
        except CxrsyncError as problem:
            self.note(lookup=problem)

    async def ask_about(self, version: VersionReply) -> None:
        """Ask for a version, and what the site says of it."""
        asked = await self.ask(version)
        self.note(versions=(*self.facts.versions, asked))
        first = self.facts.first
        if first is not None and first.status is not None:
            words = await _site_words(asked, self._probe)
            self.note(site={**self.facts.site, asked.name: words})

    async def ask(self, version: VersionReply) -> VersionReply:
        """Return the version with its reply; without one if no other is asked for."""
        if self._is_over:
            return version
        slug, number = version.dataset.slug, version.version
        if self.facts.sign_in is not None:
            return await self._as_user(version, self._probe.signed_in)
        reply = await self._probe.without_credentials(slug, number)
        if self.facts.first is None:
            self._is_over = reply.status is None
            # The check of the server names the page of the version, if it is refused.
            versions = () if reply.status == 401 else (replace(version, reply=reply),)
            self.facts = replace(self.facts, first=reply)
            self._tell(replace(self.facts, versions=versions))
        if reply.status != 401:
            return replace(version, reply=reply)
        return await self._as_user(version, self._probe.sign_in)

    async def _as_user(
        self, version: VersionReply, send: Callable[[str, str], Awaitable[Reply]]
    ) -> VersionReply:
        try:
            reply = await send(version.dataset.slug, version.version)
        except CredentialsRefused as refused:
            self._is_over = True
            self.note(sign_in=SignIn(self._probe.credentials, refused))
            return version
        if self.facts.sign_in is None:
            self.note(sign_in=SignIn(self._probe.credentials))
        return replace(version, reply=reply, signed_in=True)


def _unasked(job: Job) -> VersionReply:
    dataset = dataset_info(job.dataset)
    version = job.named_version or next(reversed(dataset.versions), "")
    return VersionReply(dataset, version, listed=job.dataset in load())


async def _version_of(job: Job, probe: AccessProbe) -> VersionReply:
    """Return the version that a pull would be about: that which the job names, else the newest in
    the destination, else the newest that the catalogue knows, else that which the site knows."""
    dataset = dataset_info(job.dataset)
    found = [job.named_version] if job.named_version else []
    if not found and job.version is None:
        with suppress(CxrsyncError):  # what is wrong with the destination is told later
            found = await run_in_thread(lambda: destination(job).versions(job.dataset))
    if not found:
        found = list(dataset.versions)
    if not found or (job.version is not None and not job.named_version):
        try:
            found = await probe.api.versions(job.dataset) or found
        except Unanswered:
            if not found:
                raise
    if not found:
        raise UsageError(
            f"no version of {job.dataset} is known",
            next_step=f"Near: {near_datasets(job.dataset)}. If the name is right, name the "
            f"version, too: cxrsync access {job.dataset}/1.0",
        )
    return VersionReply(dataset, max(found, key=version_key), listed=job.dataset in load())


def _to_compare(versions: Sequence[VersionReply]) -> Iterator[VersionReply]:
    """Yield further versions to ask for, if one is refused and none opens to the user: the others
    of the same datasets, and those of the datasets with their tables or reports."""
    denied = [each for each in versions if each.is_denied and each.listed]
    if not denied or any(each.opens and each.signed_in for each in versions):
        return
    seen = {each.name for each in versions}
    slugs = [each.dataset.slug for each in denied]
    slugs += [
        other for each in denied for other in (each.dataset.tables_in, each.dataset.reports_in)
    ]
    asked = 0
    for slug in dict.fromkeys(filter(None, slugs)):
        dataset = dataset_info(slug)
        for number in reversed(dataset.versions):
            other = VersionReply(dataset, number)
            if other.name not in seen and asked < _MAX_OTHERS:
                asked += 1
                yield other


async def _site_words(version: VersionReply, probe: AccessProbe) -> SiteWords:
    slug = version.dataset.slug
    words = SiteWords()
    try:
        known = await probe.api.versions(slug)
        words = replace(words, newest=max(known, key=version_key, default=""))
        about = await probe.api.about(slug, version.version) if known else None
        return replace(words, about=about)
    except Unanswered as silent:
        return replace(words, silent=str(silent))
