"""What tables, a sample and a limit make of a selection, purely: rows and paths in, sets out."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from cxrsync.catalog.dataset_info import METADATA, SPLIT
from cxrsync.config.selection import Label, Sample, Selection, Unit
from cxrsync.manifest.csv_reader import label_value
from cxrsync.manifest.path_ids import image_key, parse_image_path, study_key


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """What a selection comes to, beyond what a path tells by itself. None: says nothing.

    ``images`` (as :func:`~cxrsync.manifest.path_ids.image_key`) are let through, and of the reports
    those of ``image_studies``; ``studies`` and ``subjects`` hold for both. ``last`` is the path
    of the last file that a limit leaves.
    """

    images: frozenset[bytes] | None = None
    image_studies: frozenset[int] | None = None
    studies: frozenset[int] | None = None
    subjects: frozenset[str] | None = None
    last: str | None = None


def tables_needed(selection: Selection) -> tuple[str, ...]:
    """The tables without which the selection cannot be understood, by what they tell."""
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
    """The images whose value is among ``values``: from rows of image and value.

    ``among``: only these images (None: all).
    """
    keys = (image_key(image) for image, value in rows if value in values)
    return frozenset(key for key in keys if among is None or key in among)


def choose_studies(rows: Iterable[tuple[str, ...]], labels: Iterable[Label]) -> frozenset[int]:
    """The studies of which all labels hold: from rows of study, then one value a label."""
    wanted = [frozenset(label.values) for label in labels]
    return frozenset(
        study_key(study)
        for study, *values in rows
        if all(label_value(text) in ok for text, ok in zip(values, wanted, strict=True))
    )


def studies_of(paths: Iterable[str], images: Container[bytes]) -> frozenset[int]:
    """The studies that hold these images, going by the paths of the manifest."""
    places = filter(None, map(parse_image_path, paths))
    return frozenset(
        study_key(place.study)
        for place in places
        if place.image and image_key(place.image) in images
    )


def draw_sample(sample: Sample, paths: Iterable[str], chosen: ImageFilter) -> ImageFilter:
    """``chosen`` narrowed to a sample of what stands at ``paths``, which are in order.

    The units with the smallest SHA-256 of seed and id are drawn: the same ones on every machine,
    whatever order they come in, and a larger sample holds the smaller one.
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
    """Each unit once: its files come one after the other."""
    last = None
    for path in paths:
        place = parse_image_path(path)
        if place is None or (by is Unit.IMAGE and not place.image):
            continue
        unit = (
            place.subject,
            "" if by is Unit.SUBJECT else place.study,
            place.image if by is Unit.IMAGE else "",
        )
        if unit != last:
            last = unit
            yield unit


def _rank(seed: int, unit: tuple[str, str, str]) -> bytes:
    name = next(part for part in reversed(unit) if part)
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def apply_limit(count: int, paths: Iterable[str], chosen: ImageFilter) -> ImageFilter:
    """``chosen`` narrowed to the first ``count`` of ``paths``, which are in order."""
    last = next(islice(paths, count - 1, None), None)
    return chosen if last is None else replace(chosen, last=last)
