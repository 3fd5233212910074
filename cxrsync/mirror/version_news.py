"""What a mirror says about newer versions of its dataset, in words. Pure."""

from __future__ import annotations

from dataclasses import replace

from cxrsync import humanize
from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.catalog.load import dataset_info
from cxrsync.dataset.known_versions import Access, FoundVersion, KnownVersions, VersionChanges
from cxrsync.errors import RefusedForSafety
from cxrsync.plan.newer_versions import doubt, newer


def news(known: KnownVersions, present: str, dataset: DatasetInfo, *, follows: bool) -> list[str]:
    """Return what the user has not been told of yet, a text for each newer version.

    ``follows``: the mirror follows the newest version.
    """
    texts = []
    for version in newer(known.listed, present):
        found = known.found.get(version)
        if found is None or found.told:
            continue
        name = f"version {version} of {dataset.slug}"
        if found.access is Access.DENIED:
            page = dataset_info(found.dataset).page(version)
            is_own = found.dataset == dataset.slug
            what = "it" if is_own else f"{found.dataset}, which the job needs too,"
            then = "and the mirror follows it" if follows else "to be able to change to it"
            texts.append(
                f"{name} is published, but {what} is not open to this user (403): each version has "
                f"a data use agreement of its own. Sign it at the foot of {page} {then}; {present} "
                "stays the mirror's version until then"
            )
        elif found.access is Access.OPEN and not (follows and doubt(found.changes)):
            what = f"{name} is published{changes_in_words(found.changes, present)}"
            step = (
                "the mirror follows it"
                if follows
                else f"the mirror stays with {present}, as the job says. For the new one write "
                f'dataset_version: "{version}" and run cxrsync mirror --init'
            )
            texts.append(f"{what}; {step}")
    return texts


def with_all_told(known: KnownVersions, *, told: bool) -> KnownVersions:
    """Return the same, with everything told, or nothing."""
    return replace(
        known, found={version: replace(each, told=told) for version, each in known.found.items()}
    )


def refusal(
    known: KnownVersions, present: str, dataset: DatasetInfo, *, follows: bool
) -> RefusedForSafety | None:
    """Return the error for the newest version that a mirror would follow if its manifest did not
    look like a fault of the server; None if there is none."""
    if not follows:
        return None
    for version in newer(known.listed, present):
        found = known.found.get(version)
        if found is not None and found.access is Access.OPEN and (why := doubt(found.changes)):
            return RefusedForSafety(
                f"version {version} of {dataset.slug} is published, but its manifest {why}: the "
                f"mirror stays with {present}, and nothing was changed",
                next_step="Look at the version in a browser. If the publisher means it, write "
                f'dataset_version: "{version}", run cxrsync mirror --init, and the mirror once. '
                "Then dataset_version: latest goes on with it.",
            )
    return None


def changes_in_words(changes: VersionChanges | None, present: str) -> str:
    """Return what a newer version changes, as the end of a sentence; "" if it is not known."""
    if changes is None:
        return ""
    counts = (
        (changes.added, "new"), (changes.changed, "changed"), (changes.removed, "gone"),
    )  # fmt: skip
    parts = [f"{humanize.files(count)} {word}" for count, word in counts if count]
    if not parts:
        return f" (nothing of the selection differs from {present})"
    most = "" if changes.exact else " at most (the tables decide)"
    text = f" (against {present}{most}: {', '.join(parts)}; "
    if not changes.to_fetch:
        return text + "nothing to fetch)"
    text += f"{humanize.files(changes.to_fetch)} to fetch"
    if changes.unknown < changes.to_fetch:
        text += f", about {humanize.size(changes.bytes)}"
    if changes.unknown:
        text += f", {humanize.files(changes.unknown)} of unknown size"
    return text + ")"


def short(known: KnownVersions, present: str) -> str:
    """Return the newer versions that are published, for one line of a report; "" if none are."""
    found = [each for each in newer(known.listed, present) if _is_published(known.found.get(each))]
    return f"{', '.join(found)} is published" if found else ""


def _is_published(found: FoundVersion | None) -> bool:
    return found is not None and found.access is not Access.ABSENT
