"""Make a Selection from options.

A value that the dataset does not have is an error before anything is fetched; the message names
similar values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cxrsync.catalog.dataset_info import DatasetInfo, suggestion
from cxrsync.catalog.load import dataset_info, load
from cxrsync.config.id_forms import other_form
from cxrsync.config.job import DEFAULT_BASE_URL
from cxrsync.config.local_path import absolute, existing
from cxrsync.config.near_values import (
    label_and_value,
    label_value,
    means_split,
    singular_or_plural,
    value_advice,
)
from cxrsync.config.option_value import check_options
from cxrsync.config.parse_globs import parse_globs
from cxrsync.config.parse_ids import IMAGE, STUDY, SUBJECT, parse_ids
from cxrsync.config.selection import CHEXPERT, Label, Sample, Selection, Unit
from cxrsync.errors import UsageError
from cxrsync.model import ROOT, Kind

FRONTAL = ("PA", "AP")
LATERAL = ("LATERAL", "LL")
BLANK = "blank"
_VALUES = ": =1 (present), =0 (absent), =-1 (uncertain) or =blank (not mentioned)."
_LABEL_VALUES = ("1", "0", "-1", BLANK)
# p10, P10, 10, files/p10/, p10-p14, 10-14
_SHARDS = re.compile(r"(?:files/)?p?(\d\d)(?:[-:]p?(\d\d))?/?", re.ASCII)
# Options that select images: by the folders files/p10/p10000032/s50414267/, or by tables.
_BY_IMAGE = ("split", "subject", "study", "image", "view", "frontal", "lateral", "label")


def parse_shards(values: Iterable[str]) -> tuple[str, ...]:
    """Return the shards that values such as ``p10-p12`` and ``p14,p15`` name, in order.

    Raises UsageError.
    """
    shards: set[str] = set()
    for word in _words(values):
        match = _SHARDS.fullmatch(word.casefold())
        if match is None:
            other = other_form(word, None)
            step = "Write p10 to p19, a range p10-p14, or a list p10,p12."
            if other is not None:
                step = f"It is the id of {other.described}: use --{other.name}."
            raise UsageError(
                f"--shard {word!r} is not a shard", next_step=value_advice("shard", word) or step
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(
                f"--shard {word!r} is a reversed range", next_step=f"Write p{last:02}-p{first:02}."
            )
        shards.update(f"p{number:02}" for number in range(first, last + 1))
    return tuple(sorted(shards))


def parse_partitions(values: Iterable[str]) -> frozenset[str]:
    """Return the partitions that values such as ``root`` and ``p10-p12`` name. Raises UsageError.

    A partition is a shard, or ``root``: the files outside of all shards.
    """
    words = [word.casefold() for word in _words(values)]
    partitions = {ROOT} if ROOT in words else set()
    for word in words:
        if word != ROOT and _SHARDS.fullmatch(word) is None:
            raise UsageError(
                f"--only-partition {word!r} is not a partition",
                next_step="Write root (the files outside of all shards), or p10 to p19.",
            )
    return frozenset(partitions.union(parse_shards(word for word in words if word != ROOT)))


def _words(values: Iterable[str], *, at_blanks: bool = True) -> list[str]:
    """Split values at commas (and blanks).

    A value that consists of separators only stays as it is, so that it is refused later: it must
    not mean "everything".
    """
    found: list[str] = []
    for value in values:
        parts = (value.replace(" ", ",") if at_blanks else value).split(",")
        found.extend([part.strip() for part in parts if part.strip()] or [value])
    return found


def make_selection(options: Mapping[str, Any], dataset: str) -> Selection:
    """Return the Selection of these options. Raises UsageError, which names similar values."""
    return selection_of(check_options(options), dataset)


def selection_of(
    options: Mapping[str, Any], dataset: str, paths: tuple[str, ...] = ()
) -> Selection:
    """Return the Selection of options whose values were checked already.

    ``paths``: files and folders that are selected by name.
    """
    _check_standard_input(options)
    known = dataset_info(dataset)
    labelled_by = dataset_info(known.tables_in) if known.tables_in else known
    by_image = [name for name in _BY_IMAGE if options.get(name)]
    if by_image and known.patterns and not known.shards and not _may_have_images(known):
        raise UsageError(
            f"{dataset} has no images, so --{by_image[0]} selects nothing",
            next_step="Use --only, --include and --exclude.",
        )
    selection = Selection(
        shards=_shards(options, known),
        subjects=parse_ids(options.get("subject", ()), SUBJECT),
        studies=parse_ids(options.get("study", ()), STUDY),
        images=parse_ids(options.get("image", ()), IMAGE),
        splits=_splits(options, labelled_by),
        views=_views(options, labelled_by),
        labels=_labels(options.get("label", ()), labelled_by),
        labeler=_labeler(options, labelled_by),
        only=_only(options),
        include=_globs(options, "include", dataset),
        exclude=_globs(options, "exclude", dataset),
        sample=_sample(options),
        limit=options.get("limit"),
        tables=not options.get("no_tables"),
        split_table=_split_table(options),
        skip_unknown=bool(options.get("skip_unknown")),
        paths=paths,
    )
    _check_for_contradictions(selection, options, known)
    return selection


def _check_standard_input(options: Mapping[str, Any]) -> None:
    """Raise UsageError if several lists are to be read from standard input: the second would be
    empty, and would be blamed for it."""
    readers = [
        f"--{name}"
        for name in ("subject", "study", "image", "include", "exclude")
        for value in options.get(name) or ()
        if value in {"@-", "@/dev/stdin", "@/dev/fd/0"}
    ]
    if len(readers) > 1:
        raise UsageError(
            f"standard input can be read only once, and {' and '.join(readers)} name it",
            next_step="Save it to a file, and name that with @FILE.",
        )


def _may_have_images(known: DatasetInfo) -> bool:
    return any(kind is Kind.IMAGES for kind, _pattern in known.patterns)


def _shards(options: Mapping[str, Any], known: DatasetInfo) -> tuple[str, ...]:
    shards = parse_shards(options.get("shard", ()))
    for shard in shards:
        if known.shards and shard not in known.shards:
            raise UsageError(
                f"{known.slug} has no shard {shard}",
                next_step=f"Its shards: {', '.join(known.shards)}.",
            )
    return shards


def _known(
    words: Sequence[str], known: Sequence[str], option: str, dataset: DatasetInfo
) -> tuple[str, ...]:
    """Return the values in the spelling of the tables, without duplicates, in catalogue order.

    Raises UsageError for a value that the dataset does not have. If the catalogue does not know the
    values of a dataset, all are accepted here; its tables are checked later.
    """
    if not known:
        return tuple(dict.fromkeys(words))
    spelled = {name.casefold(): name for name in known}
    found = set()
    for word in words:
        name = spelled.get(word.casefold())
        if name is None:
            raise UsageError(
                f"{dataset.slug} has no {option.removeprefix('--')} {word!r}",
                next_step=value_advice(option.removeprefix("--"), word)
                or suggestion(word, list(known)),
            )
        found.add(name)
    return tuple(name for name in known if name in found)


def _splits(options: Mapping[str, Any], known: DatasetInfo) -> tuple[str, ...]:
    words = _words(options.get("split", ()))
    if options.get("split_table") or not known.splits:
        return tuple(dict.fromkeys(words))  # the table decides
    meant = [
        next((split for split in known.splits if means_split(split, word)), word) for word in words
    ]
    return _known(meant, known.splits, "--split", known)


def _globs(options: Mapping[str, Any], name: str, dataset: str) -> tuple[str, ...]:
    values = options.get(name, ())
    base_url = str(options.get("base_url") or DEFAULT_BASE_URL)
    return parse_globs(values, f"--{name}", dataset, load(), base_url) if values else ()


def _views(options: Mapping[str, Any], known: DatasetInfo) -> tuple[str, ...]:
    # Names of views contain blanks ("AP AXIAL"), so only commas separate them.
    words = _words(options.get("view", ()), at_blanks=False)
    blank = any(word.casefold() == BLANK for word in words)
    words = [word for word in words if word.casefold() != BLANK]
    words += FRONTAL if options.get("frontal") else ()
    words += LATERAL if options.get("lateral") else ()
    return (*_known(words, known.views, "--view", known), *([""] if blank else []))


def _labels(values: Sequence[str], known: DatasetInfo) -> tuple[Label, ...]:
    """Return the labels of values such as ``Pneumonia=1``.

    Values of one label are alternatives; different labels must all match.
    """
    found: dict[str, set[str]] = {}
    for value in values:
        name, equals, wanted = value.partition("=")
        given = [label_value(part) for part in wanted.split(",")]
        if not equals or not set(given) <= set(_LABEL_VALUES):
            meant = label_and_value([value], known.labels)
            raise UsageError(
                f"--label {value!r} does not name a value of the label",
                next_step=f'Write --label "{meant or "Pneumonia=1"}"' + _VALUES,
            )
        [spelled] = _known([name.strip()], known.labels, "--label", known)
        found.setdefault(spelled, set()).update(given)
    return tuple(
        Label(name, tuple(value for value in _LABEL_VALUES if value in given))
        for name, given in sorted(found.items())
    )


def _labeler(options: Mapping[str, Any], known: DatasetInfo) -> str:
    labeler = options.get("labeler")
    if not labeler:
        return CHEXPERT
    if not options.get("label"):
        raise UsageError("--labeler without --label selects nothing", next_step="Add --label.")
    return _known([labeler], known.labelers, "--labeler", known)[0]


def _only(options: Mapping[str, Any]) -> tuple[Kind, ...]:
    words = _words(options.get("only", ()))
    if options.get("metadata_only"):
        if words:
            raise UsageError(
                f"--metadata-only and --only {words[0]} contradict each other",
                next_step="--metadata-only means --only tables --only docs. Use one of the two.",
            )
        return (Kind.TABLES, Kind.DOCS)
    names = [kind.value for kind in Kind]
    meant = [singular_or_plural(word, names) for word in words]
    for word, name in zip(words, meant, strict=True):
        if name not in names:
            raise UsageError(
                f"--only {word!r} is not a kind of file",
                next_step=value_advice("only", word) or suggestion(word, names),
            )
    return tuple(dict.fromkeys(map(Kind, meant)))


def _sample(options: Mapping[str, Any]) -> Sample | None:
    count, by, seed = (options.get(name) for name in ("sample", "sample_by", "seed"))
    if count is None:
        if by or seed is not None:
            raise UsageError(
                "--sample-by and --seed need --sample",
                next_step="Add --sample N, the size of the sample.",
            )
        return None
    return Sample(count, Unit(by) if by else Unit.IMAGE, seed or 0)


def _split_table(options: Mapping[str, Any]) -> str:
    path = options.get("split_table")
    if path is None:
        return ""
    if not options.get("split"):
        raise UsageError("--split-table without --split selects nothing", next_step="Add --split.")
    return str(absolute(existing(path, "--split-table"), "--split-table"))


def _check_for_contradictions(
    selection: Selection, options: Mapping[str, Any], known: DatasetInfo
) -> None:
    """Refuse a selection that cannot match any file. Raises UsageError."""
    only = set(selection.only)
    if options.get("metadata_only") and selection.narrows:
        raise UsageError(
            "--metadata-only selects no images, so filters of images have no effect",
            next_step="Leave the other filters out: the tables describe the whole version.",
        )
    shards = {f"p{subject[1:3]}" for subject in selection.subjects}
    if selection.shards and shards and not shards & set(selection.shards):
        raise UsageError(
            f"subject {selection.subjects[0]} is not in {' '.join(selection.shards)}",
            next_step=f"It is in {min(shards)}: the first two digits of a subject name its shard.",
        )
    by_image = selection.sample is not None and selection.sample.by is Unit.IMAGE
    if by_image and only and Kind.IMAGES not in only:
        raise UsageError(
            f"a sample of images selects no {' and no '.join(sorted(kind.value for kind in only))}",
            next_step="Add --sample-by study or --sample-by subject.",
        )
    if Kind.REPORTS in only and len(only) == 1 and known.reports_in:
        raise UsageError(
            f"{known.slug} has no reports: they are in {known.reports_in}",
            next_step="Use --dicom --only reports, or --with-reports for the reports of selected "
            "images.",
        )
