"""The words of a selection → a Selection. What does not exist is refused before anything is
fetched, and what is near to it is named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cxrsync.catalog.dataset_info import DatasetInfo, suggest
from cxrsync.catalog.load import dataset_info
from cxrsync.config.option_value import absolute, check_options, existing
from cxrsync.config.parse_ids import IMAGE, STUDY, SUBJECT, parse_ids
from cxrsync.config.selection import CHEXPERT, Label, Sample, Selection, Unit
from cxrsync.errors import UsageError
from cxrsync.model import Kind

FRONTAL = ("PA", "AP")
LATERAL = ("LATERAL", "LL")
BLANK = "blank"
_LABEL_VALUES = ("1", "0", "-1", BLANK)
_SHARD = re.compile(r"p(\d\d)(?:-p?(\d\d))?")
# Fields that choose by the folders files/p10/p10000032/s50414267/ and what lies in them.
_BY_IMAGE = ("split", "subject", "study", "image", "view", "frontal", "lateral", "label")


def parse_shards(values: Iterable[str]) -> tuple[str, ...]:
    """``["p10-p12", "p14,p15"]`` → the shards in order. Raises UsageError."""
    shards: set[str] = set()
    for word in _words(values):
        match = _SHARD.fullmatch(word)
        if match is None:
            raise UsageError(
                f"--shard {word!r} is not a shard",
                next_step="A shard is p10 to p19; p10-p14 and p10,p12 work too.",
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(
                f"--shard {word!r} runs backwards", next_step=f"Say p{last:02}-p{first:02}."
            )
        shards.update(f"p{number:02}" for number in range(first, last + 1))
    return tuple(sorted(shards))


def _words(values: Iterable[str], *, at_blanks: bool = True) -> list[str]:
    """Values with commas (and blanks) as single words. One of nothing but these stays as it is, to
    be refused: it is no wish for everything."""
    found: list[str] = []
    for value in values:
        parts = (value.replace(" ", ",") if at_blanks else value).split(",")
        found.extend([part.strip() for part in parts if part.strip()] or [value])
    return found


def make_selection(options: Mapping[str, Any], dataset: str) -> Selection:
    """The selection that the options name. Raises UsageError, naming what is near."""
    return selection_of(check_options(options), dataset)


def selection_of(options: Mapping[str, Any], dataset: str) -> Selection:
    """The same, of options whose values were checked."""
    known = dataset_info(dataset)
    told_by = dataset_info(known.tables_in) if known.tables_in else known
    by_image = [name for name in _BY_IMAGE if options.get(name)]
    if by_image and known.patterns and not known.shards and not _may_have_images(known):
        raise UsageError(
            f"{dataset} has no images to choose among by --{by_image[0]}",
            next_step="Choose by --only, --include and --exclude.",
        )
    selection = Selection(
        shards=_shards(options, known),
        subjects=parse_ids(options.get("subject", ()), SUBJECT),
        studies=parse_ids(options.get("study", ()), STUDY),
        images=parse_ids(options.get("image", ()), IMAGE),
        splits=_known(_words(options.get("split", ())), told_by.splits, "--split", told_by),
        views=_views(options, told_by),
        labels=_labels(options.get("label", ()), told_by),
        labeler=_labeler(options, told_by),
        only=_only(options),
        include=tuple(options.get("include", ())),
        exclude=tuple(options.get("exclude", ())),
        sample=_sample(options),
        limit=options.get("limit"),
        tables=not options.get("no_tables"),
        split_table=_split_table(options),
    )
    _check_for_contradictions(selection, options, known)
    return selection


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
    """The values as the tables spell them, each once, in the catalogue's order.

    Raises UsageError for one that is not among them. A dataset of which nothing is known is let
    through: its tables will tell.
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
                next_step=f"Near: {suggest(word, list(known))}.",
            )
        found.add(name)
    return tuple(name for name in known if name in found)


def _views(options: Mapping[str, Any], known: DatasetInfo) -> tuple[str, ...]:
    # Views have blanks in their names ("AP AXIAL"): only commas part them.
    words = _words(options.get("view", ()), at_blanks=False)
    blank = any(word.casefold() == BLANK for word in words)
    words = [word for word in words if word.casefold() != BLANK]
    words += FRONTAL if options.get("frontal") else ()
    words += LATERAL if options.get("lateral") else ()
    return (*_known(words, known.views, "--view", known), *([""] if blank else []))


def _labels(values: Sequence[str], known: DatasetInfo) -> tuple[Label, ...]:
    """``Pneumonia=1`` …: values of one label are alternatives, different labels all hold."""
    found: dict[str, set[str]] = {}
    for value in values:
        name, equals, wanted = value.partition("=")
        given = [part.strip().casefold() for part in wanted.split(",")]
        if not equals or not set(given) <= set(_LABEL_VALUES):
            raise UsageError(
                f"--label {value!r} does not say what the label is to be",
                next_step='Say --label "Pneumonia=1" (present), =0 (absent), =-1 (uncertain) or '
                "=blank (not mentioned).",
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
        raise UsageError("--labeler without --label chooses nothing")
    return _known([labeler], known.labelers, "--labeler", known)[0]


def _only(options: Mapping[str, Any]) -> tuple[Kind, ...]:
    words = _words(options.get("only", ()))
    if options.get("metadata_only"):
        if words:
            raise UsageError(
                f"--metadata-only and --only {words[0]} contradict each other",
                next_step="--metadata-only is --only tables --only docs: say what you want.",
            )
        return (Kind.TABLES, Kind.DOCS)
    names = [kind.value for kind in Kind]
    for word in words:
        if word not in names:
            raise UsageError(
                f"--only {word!r} is not a kind of file", next_step=f"Near: {suggest(word, names)}."
            )
    return tuple(dict.fromkeys(map(Kind, words)))


def _sample(options: Mapping[str, Any]) -> Sample | None:
    count, by, seed = (options.get(name) for name in ("sample", "sample_by", "seed"))
    if count is None:
        if by or seed is not None:
            raise UsageError(
                "--sample-by and --seed say how to draw a sample, not how many",
                next_step="Say --sample N too.",
            )
        return None
    return Sample(count, Unit(by) if by else Unit.IMAGE, seed or 0)


def _split_table(options: Mapping[str, Any]) -> str:
    path = options.get("split_table")
    if path is None:
        return ""
    if not options.get("split"):
        raise UsageError("--split-table without --split chooses nothing")
    return str(absolute(existing(path, "--split-table"), "--split-table"))


def _check_for_contradictions(
    selection: Selection, options: Mapping[str, Any], known: DatasetInfo
) -> None:
    """Refuse what can never mean a file, before anything is asked for. Raises UsageError."""
    only = set(selection.only)
    if options.get("metadata_only") and selection.narrows:
        raise UsageError(
            "--metadata-only takes no images, so there is nothing to choose among them",
            next_step="Leave the other filters out: the tables are of the whole version.",
        )
    shards = {f"p{subject[1:3]}" for subject in selection.subjects}
    if selection.shards and shards and not shards & set(selection.shards):
        raise UsageError(
            f"subject {selection.subjects[0]} is not in {' '.join(selection.shards)}",
            next_step=f"It is in {min(shards)}: a shard is named by the first two digits.",
        )
    by_image = selection.sample is not None and selection.sample.by is Unit.IMAGE
    if by_image and only and Kind.IMAGES not in only:
        raise UsageError(
            f"a sample by image of {' and '.join(sorted(kind.value for kind in only))}",
            next_step="Say --sample-by study, or subject.",
        )
    if Kind.REPORTS in only and len(only) == 1 and known.reports_in:
        raise UsageError(
            f"{known.slug} has no reports: they are in {known.reports_in}",
            next_step="Say --dicom --only reports; or --with-reports, for those of the images "
            "selected here.",
        )
