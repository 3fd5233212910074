"""``receipt``: which files of a version a work used, and how they were proven; without any id.

A receipt names the selection in words, and the list of its files by a digest. So it can be
published, and whoever has access to the data can tell whether a tree has the same files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from cxrsync import __version__, humanize
from cxrsync.config.selection import Selection
from cxrsync.dataset.copies import copy_finder
from cxrsync.dataset.target import Target
from cxrsync.errors import UsageError
from cxrsync.manifest.path_ids import parse_image_path
from cxrsync.model import MANIFEST_NAME, FileStat, Kind, is_digest, is_time
from cxrsync.operations.expected_files import Expectation
from cxrsync.operations.index_formats import iso_time
from cxrsync.plan.survey import FileStatus, Surveyed, survey
from cxrsync.sanitize import without_ids
from cxrsync.sources.version_info import VersionInfo
from cxrsync.storage.checksum import sha256_file
from cxrsync.storage.state_db import State

FORMAT = 1
_IDS = {"subjects": "subject", "studies": "study", "images": "image", "paths": "path"}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a work used. All of it may be published.

    manifest_sha256: of the version's SHA256SUMS.txt; None if only a part of it is here.
    selection: in words. selections: the same for programs; None if it names ids.
    list_sha256: of the list of the files as ``cxrsync ls --format sha256sum`` prints it.
    files: how many there are; by kind in ``kinds``. present: how many of them are here; bytes: of
    these. doi: None if it is not known.
    copies: how many verified files smaller copies have replaced, by the pixels of the shorter side.
    verified: how many are proven. oldest_proof, newest_proof: of these, in ISO 8601.
    """

    dataset: str
    title: str
    version: str
    doi: str | None
    manifest_sha256: str | None
    selection: str
    selections: list[dict[str, Any]] | None
    list_sha256: str
    files: int
    images: int
    studies: int
    subjects: int
    bytes: int
    verified: int
    oldest_proof: str | None
    newest_proof: str | None
    kinds: dict[str, int] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)
    present: int | None = None  # version 0.3 did not say it
    cxrsync: str = __version__
    format: int = FORMAT

    @property
    def is_proven(self) -> bool:
        """Whether every file is here, or its smaller copy, and was verified."""
        return self.verified + sum(self.copies.values()) == self.files

    def as_json(self) -> dict[str, Any]:
        """Return the receipt under the keys of the JSON output."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: object) -> Self:
        """Return the receipt that :meth:`as_json` returned. Raises ValueError."""
        names = {each.name for each in fields(cls)}
        if not isinstance(raw, Mapping) or not names - {"copies", "present"} <= raw.keys():
            raise ValueError("not a receipt")
        raw = {"copies": {}, "present": None, **raw}  # version 0.3 had neither
        texts = ("dataset", "version", "list_sha256", "selection")
        selections = raw["selections"]
        is_valid = (
            raw["format"] == FORMAT
            and all(isinstance(raw[name], str) for name in texts)
            and is_digest(raw["list_sha256"])
            and isinstance(raw["files"], int)
            and (raw["manifest_sha256"] is None or is_digest(str(raw["manifest_sha256"])))
            and (selections is None or isinstance(selections, list))
        )
        if not is_valid:
            raise ValueError("not a receipt of this form")
        return cls(**{name: raw[name] for name in names})

    def known_selections(self) -> tuple[Selection, ...]:
        """Return the selections; none if they are not in the receipt. Raises ValueError."""
        try:
            return tuple(map(Selection.from_json, self.selections or ()))
        except (KeyError, TypeError, AttributeError, ArithmeticError):
            raise ValueError("not a selection that this release can read") from None


def needs_site(target: Target) -> bool:
    """Return whether the catalogue lacks the DOI of a version, so that its site is asked."""
    return not target.dataset.dois.get(target.version)


def make_receipt(expected: Expectation, about: VersionInfo | None = None) -> Receipt:
    """Return the receipt of the files that a tree should hold, by its records; hashes nothing but
    the manifest.

    ``about``: what the site says about the version, if the catalogue does not have its DOI.

    Raises: OSError, DiskError; UsageError if no file is selected.
    """
    target, about = expected.target, about or VersionInfo()
    counts = _Counts()
    with ExitStack() as stack:
        for surveyed in _surveyed(expected, stack):
            counts.add(surveyed, target.dataset.kind_of(surveyed.entry.path))
    if not counts.files:
        raise UsageError("no file is selected", next_step="Name a selection, or pull one first.")
    whole = target.tree.find(MANIFEST_NAME) is not None
    selections = () if expected.only_present else expected.selections
    return Receipt(
        dataset=target.dataset.slug,
        title=about.title or target.dataset.title,
        version=target.version,
        doi=target.dataset.dois.get(target.version) or about.doi or None,
        manifest_sha256=sha256_file(target.tree.final(MANIFEST_NAME)) if whole else None,
        selection="; ".join(map(in_words, selections)) or expected.description,
        selections=_for_programs(selections),
        list_sha256=counts.digest.hexdigest(),
        files=counts.files,
        images=counts.kinds.get(Kind.IMAGES.value, 0),
        studies=counts.studies,
        subjects=counts.subjects,
        bytes=counts.bytes,
        present=counts.present,
        verified=counts.verified,
        oldest_proof=iso_time(min(counts.proofs, default=None)),
        newest_proof=iso_time(max(counts.proofs, default=None)),
        kinds=dict(sorted(counts.kinds.items())),
        copies={str(pixels): count for pixels, count in sorted(counts.copies.items())},
    )


def _surveyed(expected: Expectation, stack: ExitStack) -> Iterator[Surveyed]:
    tree, selected = expected.target.tree, expected.selected
    records = {}
    for name in selected.partitions:
        state = State.read(tree.partition(name))
        records[name] = iter(()) if state is None else stack.enter_context(state).records()
    has_copy = copy_finder(expected.target)
    for surveyed in survey(expected.manifest, selected.is_wanted, records, tree, has_copy):
        is_here = isinstance(surveyed.found, FileStat) or surveyed.status is FileStatus.DERIVED
        if is_here or not expected.only_present:
            yield surveyed


class _Counts:
    """Counts files one by one, in the order of the manifest."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.files = self.studies = self.subjects = self.bytes = self.verified = self.present = 0
        self.kinds: dict[str, int] = {}
        self.copies: dict[int, int] = {}
        self.proofs: set[float] = set()
        self._study = self._subject = ""

    def add(self, surveyed: Surveyed, kind: Kind) -> None:
        _offset, entry, record, found = surveyed
        self.files += 1
        self.digest.update(f"{entry.as_line()}\n".encode("utf-8", "surrogateescape"))
        self.kinds[kind.value] = self.kinds.get(kind.value, 0) + 1
        ids = parse_image_path(entry.path)
        if ids is not None:  # those of a study, and of a subject, follow each other
            self.studies += ids.study != self._study
            self.subjects += ids.subject != self._subject
            self._study, self._subject = ids.study, ids.subject
        if record is not None and record.copy and surveyed.status is FileStatus.DERIVED:
            pixels = record.copy.pixels
            self.copies[pixels] = self.copies.get(pixels, 0) + 1
            if is_time(record.verified_at):
                self._remember(record.verified_at)
        if not isinstance(found, FileStat):
            return
        self.present += 1
        self.bytes += found.size
        if record is not None and surveyed.status is FileStatus.PRESENT:
            self.verified += 1
            if is_time(record.verified_at):
                self._remember(record.verified_at)

    def _remember(self, at: float) -> None:
        """Keep only the oldest and the newest time."""
        self.proofs = {min({at, *self.proofs}), max({at, *self.proofs})}


def in_words(selection: Selection) -> str:
    """Return the filters of a selection in words that contain no id: ids become their number."""
    if selection.whole:
        return "the whole version"
    words = []
    for text, fields_set in selection.filters():
        plural = next(iter(fields_set))
        if plural in _IDS:
            count = len(fields_set[plural])
            words.append(f"{count:,} {_IDS[plural] if count == 1 else plural}")
        else:
            words.append(without_ids(text))
    return ", ".join(words)


def _for_programs(selections: Sequence[Selection]) -> list[dict[str, Any]] | None:
    """Return the selections as the state stores them; None if one holds an id, or a path of this
    machine."""
    for each in selections:
        if each.split_table or any(getattr(each, name) for name in _IDS):
            return None
        if without_ids(str(each.as_json())) != str(each.as_json()):
            return None
    return [each.as_json() for each in selections] or None


def as_paragraph(receipt: Receipt) -> str:
    """Return the receipt as a paragraph for the methods section of a paper."""
    source = f"https://doi.org/{receipt.doi}" if receipt.doi else "PhysioNet; its DOI is not known"
    title = receipt.title or receipt.dataset
    counts = [humanize.number(receipt.images, "image")] if receipt.images else []
    if receipt.studies:
        studies = humanize.number(receipt.studies, "study", "studies")
        counts.append(f"{studies} of {humanize.number(receipt.subjects, 'subject')}")
    of_files, size = humanize.files(receipt.files), humanize.size(receipt.bytes)
    if receipt.present in {None, receipt.files}:
        of_files += f", {size}"
    else:  # the size of the others is not known
        of_files += f", of which {receipt.present:,} are here ({size})"
    parts = [
        (
            f"We used {title}, version {receipt.version} ({source}): {receipt.selection}; "
            f"{', '.join([*counts, of_files])}."
        )
    ]
    if receipt.is_proven and receipt.oldest_proof and receipt.newest_proof:
        first, last = receipt.oldest_proof[:10], receipt.newest_proof[:10]
        when = f"on {first}" if first == last else f"between {first} and {last}"
        parts.append(
            f"Every file was verified against its published SHA-256 {when} with cxrsync "
            f"{receipt.cxrsync}."
        )
    else:
        parts.append(
            f"{receipt.verified:,} of these files were verified against their published SHA-256 "
            f"with cxrsync {receipt.cxrsync}."
        )
    for pixels, count in receipt.copies.items():
        parts.append(
            f"{count:,} of them were used as JPEG copies whose shorter side has {pixels} pixels, "
            "made of the verified originals."
        )
    parts.append(f"The list of the files has the SHA-256 {receipt.list_sha256}")
    if receipt.manifest_sha256 is not None:
        parts[-1] += f", the version's SHA256SUMS.txt {receipt.manifest_sha256}"
    return " ".join(parts) + "."


def differences(receipt: Receipt, found: Receipt) -> list[str]:
    """Return in sentences what the receipt says otherwise than that of a tree; none if they name
    the same files."""
    if (receipt.dataset, receipt.version) != (found.dataset, found.version):
        return [
            (
                f"the receipt is of {receipt.dataset} {receipt.version}, the tree holds "
                f"{found.dataset} {found.version}"
            )
        ]
    sentences = []
    if receipt.list_sha256 != found.list_sha256:
        sentences.append(
            f"the list of the files is another: {receipt.files:,} in the receipt "
            f"({receipt.selection}), {found.files:,} here ({found.selection})"
        )
    manifests = (receipt.manifest_sha256, found.manifest_sha256)
    if None not in manifests and manifests[0] != manifests[1]:
        sentences.append("the version's SHA256SUMS.txt is another")
    return sentences
