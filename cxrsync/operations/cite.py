"""``cite``: which works a paper cites that uses a version of a dataset.

The public API is asked once for the versions, which come with their citations; its answer is kept
for a day. If it does not answer, the catalogue does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cxrsync.catalog.citation import RRID, Work, parse_wording
from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.catalog.load import dataset_info, near_datasets
from cxrsync.config.job import Job
from cxrsync.dataset.dataset_facts import THE_CATALOGUE, THE_SITE
from cxrsync.dataset.version import destination, version_key
from cxrsync.errors import Unanswered, UsageError
from cxrsync.threads import run_in_thread


class Site(Protocol):
    """What words the citations of a dataset's versions."""

    async def citations(self, dataset: str) -> dict[str, str]:
        """Return the wording for each version; empty if there is no such dataset. Raises
        Unanswered."""


@dataclass(frozen=True, slots=True)
class Citations:
    """What to cite for one version of a dataset.

    is_here: whether the version is the one in the destination. data: the dataset. article: the work
    that describes it. comes_from: what told ``data``. unanswered: why the site tells nothing.
    """

    dataset: DatasetInfo
    version: str
    is_here: bool
    data: Work
    article: Work | None
    comes_from: str
    unanswered: str = ""


async def gather_citations(job: Job, site: Site) -> Citations:
    """Return what to cite for the version that the job names, else the one in its destination, else
    the newest.

    Raises: UsageError if there is no such dataset or version; Unanswered if nothing knows it.
    """
    dataset = dataset_info(job.dataset)
    local = await run_in_thread(lambda: destination(job).versions(job.dataset))
    unanswered, worded = "", {}
    try:
        worded = await site.citations(job.dataset)
    except Unanswered as silent:
        unanswered = str(silent)
        if not dataset.versions and not local:
            raise _unknown(dataset, silent) from None
    version = choose_version(
        job.named_version, dataset, local=local, offered=list(worded), slug=job.dataset
    )
    data, comes_from = cited(dataset, version, worded)
    return Citations(
        dataset=dataset,
        version=version,
        is_here=version in local,
        data=data,
        article=dataset.citation.article,
        comes_from=comes_from,
        unanswered=unanswered,
    )


def choose_version(
    named: str | None,
    dataset: DatasetInfo,
    *,
    local: Sequence[str],
    offered: Sequence[str],
    slug: str,
) -> str:
    """Return the named version, else the newest in the destination, else the newest of all.

    Raises UsageError if there is none.
    """
    known = sorted({*offered, *dataset.versions, *local}, key=version_key)
    if not known:
        raise UsageError(
            f"there is no dataset {slug}",
            next_step=f"Similar names: {near_datasets(slug)}.",
        )
    if named is not None and named not in known:
        raise UsageError(
            f"{slug} has no version {named}", next_step=f"Its versions: {', '.join(known)}."
        )
    return named or max(local or known, key=version_key)


def cited(dataset: DatasetInfo, version: str, worded: Mapping[str, str]) -> tuple[Work, str]:
    """Return the dataset as a work, and what told it: the site's wording, else the catalogue."""
    if wording := worded.get(version, ""):
        return parse_wording(wording, version), THE_SITE
    year = dataset.citation.years.get(version, 0)
    work = Work(
        title=dataset.title,
        authors=dataset.citation.authors if year else (),  # those of another version may differ
        year=year,
        doi=dataset.dois.get(version, ""),
        rrid=RRID,
        version=version,
    )
    return work, THE_CATALOGUE


def _unknown(dataset: DatasetInfo, silent: Unanswered) -> Unanswered:
    return Unanswered(
        f"the catalogue has no dataset {dataset.slug}, and the site does not say whether there is "
        f"one: {silent}",
        next_step=f"Similar names: {near_datasets(dataset.slug)}. If the name is right, "
        f"{dataset.agreement} shows how to cite it. {silent.next_step}".rstrip(),
    )
