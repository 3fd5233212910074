"""Filters from tables, samples and limits: rows and paths in, sets of ids out. Pure."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from cxrsync.catalog.dataset_info import METADATA, SPLIT
from cxrsync.config.near_values import chosen_splits
from cxrsync.config.selection import Label, Sample, Selection, Unit
from cxrsync.manifest.csv_reader import label_value
from cxrsync.manifest.path_ids import image_key, parse_image_path, study_key

_MAX_SPLITS = 1000


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """The conditions of a selection that a path alone does not decide. None: no condition.

    ``images``: the images that pass (as :func:`~cxrsync.manifest.path_ids.image_key`).
    ``image_studies``: the studies whose reports pass. ``studies`` and ``subjects`` hold for images
    and reports. ``last``: the path of the last file within the limit.
    """

    images: frozenset[bytes] | None = None
    image_studies: frozenset[int] | None = None
    studies: frozenset[int] | None = None
    subjects: frozenset[str] | None = None
    last: str | None = None


def tables_needed(selection: Selection) -> tuple[str, ...]:
    """Return the roles of the tables that are needed to resolve the selection."""
    needed = []
    if selection.splits:
        needed.append(SPLIT)
    if selection.views:
        needed.append(METADATA)
    if selection.labels:
        needed.append(selection.labeler)
    return tuple(needed)


def choose_images(
    rows: Iterable[tuple[str, ...]], values: Container[str], among: Container[bytes] | None
) -> frozenset[bytes]:
    """Return the images whose value is in ``values``, from rows of image and value.

    ``among``: consider only these images (None: all).
    """
    keys = (image_key(image) for image, value in rows if value in values)
    return frozenset(key for key in keys if among is None or key in among)


def choose_split(
    rows: Iterable[tuple[str, ...]], words: Sequence[str], among: Container[bytes] | None
) -> frozenset[bytes]:
    """Return the images of the splits that the words mean, from rows of image and split.

    The rows are of a user's own table, whose splits have their own names. ``among`` as in
    :func:`choose_images`. Raises UnknownSplit.
    """
    images: dict[str, set[bytes]] = {}
    for image, split in rows:
        if split not in images and len(images) >= _MAX_SPLITS:
            raise UnknownSplit(words, ())
        images.setdefault(split, set()).add(image_key(image))
    chosen, unknown = chosen_splits(images, words)
    if unknown:
        raise UnknownSplit(unknown, sorted(images))
    keys = set().union(*(images[split] for split in chosen))
    return frozenset(key for key in keys if among is None or key in among)


class UnknownSplit(Exception):
    """A table has no split that a word means. ``words``, ``names``: the words, and its splits; none
    if they are too many to be splits."""

    def __init__(self, words: Sequence[str], names: Sequence[str]) -> None:
        super().__init__()
        self.words = tuple(words)
        self.names = tuple(names)


def choose_studies(rows: Iterable[tuple[str, ...]], labels: Iterable[Label]) -> frozenset[int]:
    """Return the studies with all labels, from rows of a study and one value for each label."""
    wanted = [frozenset(label.values) for label in labels]
    return frozenset(
        study_key(study)
        for study, *values in rows
        if all(label_value(text) in ok for text, ok in zip(values, wanted, strict=True))
    )


def studies_of(paths: Iterable[str], images: Container[bytes]) -> frozenset[int]:
    """Return the studies of these images, according to the paths of the manifest."""
    files = filter(None, map(parse_image_path, paths))
    return frozenset(
        study_key(ids.study) for ids in files if ids.image and image_key(ids.image) in images
    )


def draw_sample(sample: Sample, paths: Iterable[str], chosen: ImageFilter) -> ImageFilter:
    """Return ``chosen`` narrowed to a sample of the files at ``paths``, which are sorted.

    The units with the smallest SHA-256 of seed and id are drawn. So the sample is the same on every
    machine and in any order, and a larger sample contains the smaller one.
    """
    units = _units(paths, sample.by)
    drawn = heapq.nsmallest(sample.count, ((_rank(sample.seed, unit), unit) for unit in units))
    if sample.by is Unit.SUBJECT:
        return replace(chosen, subjects=frozenset(subject for _, (subject, _, _) in drawn))
    studies = frozenset(study_key(study) for _, (_, study, _) in drawn)
    if sample.by is Unit.STUDY:
        return replace(chosen, studies=studies)
    images = frozenset(image_key(image) for _, (_, _, image) in drawn)
    return replace(chosen, images=images, image_studies=studies)


def _units(paths: Iterable[str], by: Unit) -> Iterator[tuple[str, str, str]]:
    """Yield each unit once: its files are adjacent."""
    last = None
    for path in paths:
        ids = parse_image_path(path)
        if ids is None or (by is Unit.IMAGE and not ids.image):
            continue
        unit = (
            ids.subject,
            "" if by is Unit.SUBJECT else ids.study,
            ids.image if by is Unit.IMAGE else "",
        )
        if unit != last:
            last = unit
            yield unit


def _rank(seed: int, unit: tuple[str, str, str]) -> bytes:
    name = next(part for part in reversed(unit) if part)
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def apply_limit(count: int, paths: Iterable[str], chosen: ImageFilter) -> ImageFilter:
    """Return ``chosen`` narrowed to the first ``count`` of ``paths``, which are sorted."""
    last = next(islice(paths, count - 1, None), None)
    return chosen if last is None else replace(chosen, last=last)
