"""Ask everything that access to datasets depends on, each once, in order.

1. The address of the server. 2. A byte of the first manifest, without credentials; its answer also
tells the server's clock. 3. The one sign-in, at the first version that asks for it. 4. A byte of
the manifest of each other version. 5. If one is refused and none opens: of further versions, to
compare with. 6. The public API, within its ration. 7. The destination.

:mod:`cxrsync.preflight.access_checklist` infers what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from cxrsync.catalog.dataset_info import suggest
from cxrsync.catalog.load import dataset_info, load
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


async def find_out(jobs: Sequence[Job], probe: AccessProbe) -> AccessFacts:
    """Return the facts about the access to the datasets of ``jobs``, which have the same source and
    destination. Raises UsageError if no version of a dataset is known, Unanswered if neither the
    catalogue nor the site tells one."""
    first = jobs[0]
    facts = AccessFacts(probe.host, first.origin, probe.proxy)
    try:
        facts = replace(facts, addresses=() if facts.proxy else await probe.look_up())
    except CxrsyncError as problem:
        facts = replace(facts, lookup=problem)
    if facts.lookup is None:
        facts = await _ask_server(facts, jobs, probe)
    else:
        facts = replace(facts, versions=tuple([_unasked(job) for job in jobs]))
    found = await run_in_thread(lambda: destination_facts(first.dest))
    return replace(facts, destination=found)


async def _ask_server(facts: AccessFacts, jobs: Sequence[Job], probe: AccessProbe) -> AccessFacts:
    asking = _Asking(probe)
    versions = [await asking.ask(await _version_of(job, probe)) for job in jobs]
    others = [await asking.ask(each) for each in _to_compare(versions)]
    is_away = asking.first is None or asking.first.status is None
    site = {} if is_away else {each.name: await _site_words(each, probe) for each in versions}
    return replace(
        facts,
        first=asking.first,
        sign_in=asking.sign_in,
        versions=tuple(versions),
        others=tuple(others),
        site=site,
    )


@dataclass(slots=True)
class _Asking:
    """The requests for manifests, of which the first that gets a 401 signs in."""

    probe: AccessProbe
    first: Reply | None = None
    sign_in: SignIn | None = None
    is_over: bool = field(default=False)

    async def ask(self, version: VersionReply) -> VersionReply:
        """Return the version with its reply; without one after the sign-in was refused, or if the
        server is away."""
        if self.is_over:
            return version
        slug, number = version.dataset.slug, version.version
        if self.sign_in is not None:
            reply, signed_in = await self._as_user(slug, number), self.sign_in.refused is None
            return replace(version, reply=reply, signed_in=signed_in)
        reply = await self.probe.without_credentials(slug, number)
        if self.first is None:
            self.first = reply
            self.is_over = reply.status is None
        if reply.status != 401:
            return replace(version, reply=reply)
        try:
            reply = await self.probe.sign_in(slug, number)
        except CredentialsRefused as refused:
            self.sign_in = SignIn(self.probe.credentials, refused)
            self.is_over = True
            return version
        self.sign_in = SignIn(self.probe.credentials)
        return replace(version, reply=reply, signed_in=True)

    async def _as_user(self, slug: str, number: str) -> Reply | None:
        try:
            return await self.probe.signed_in(slug, number)
        except CredentialsRefused as refused:  # a session that ended just now
            self.sign_in = SignIn(self.probe.credentials, refused)
            self.is_over = True
            return None


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
            next_step=f"Near: {suggest(job.dataset, list(load()))}. If the name is right, name the "
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
