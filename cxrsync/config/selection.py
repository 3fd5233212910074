"""A Selection: which files of a version the user asked for, as a frozen value.

It is made before any table or manifest is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from cxrsync.model import Kind

CHEXPERT = "chexpert"
_MAX_NAMED = 3


class Unit(Enum):
    """The unit that a sample is drawn from; the values of ``--sample-by``."""

    SUBJECT = "subject"
    STUDY = "study"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Label:
    """A label of a labeler's table, and its selected values: 1, 0, -1, blank."""

    name: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return " or ".join(f"{self.name}={value}" for value in self.values)


@dataclass(frozen=True, slots=True)
class Sample:
    """``count`` units drawn from the selected files: the same ones on every machine."""

    count: int
    by: Unit = Unit.IMAGE
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files of a version are selected.

    Values of one field are alternatives; all fields must match. Without any field the whole version
    is selected. Fields that select images also select the tables of the root (unless ``tables`` is
    false), and a report with the images of its study. Subjects are written p10000032, studies
    s50414267, images as their DICOM id. ``split_table`` is a file to use instead of the published
    split table; its splits have the names that it gives them. ``skip_unknown``: ids and
    paths that the version does not have are left out, instead of refused. ``paths``: files and
    folders, by their names.
    """

    shards: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    studies: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    labels: tuple[Label, ...] = ()
    labeler: str = CHEXPERT
    only: tuple[Kind, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    sample: Sample | None = None
    limit: int | None = None
    tables: bool = True
    split_table: str = ""
    skip_unknown: bool = False
    paths: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every file of the manifest is selected."""
        return not (self.narrows or self.only or self.include or self.exclude or self.paths)

    @property
    def narrows(self) -> bool:
        """Whether a field selects images, so that the tables are selected with them."""
        return bool(
            self.shards or self.subjects or self.studies or self.images
            or self.splits or self.views or self.labels
            or self.sample is not None or self.limit is not None
        )  # fmt: skip

    @property
    def brings_tables(self) -> bool:
        """Whether the tables of the root are selected although the user did not name them."""
        return self.narrows and self.tables and not self.only

    def steps(self) -> Iterator[tuple[str, Selection]]:
        """Yield the filters in order: each in words, and the selection up to that filter."""
        upto = Selection(tables=self.tables, labeler=self.labeler, split_table=self.split_table)
        for words, fields in self.filters():
            upto = replace(upto, **fields)
            yield words, upto

    def __str__(self) -> str:
        if self.whole:
            return "the whole version"
        words = [words for words, _fields in self.filters()]
        if self.brings_tables and not (self.include or self.paths):  # these select among them, too
            words.append("with the tables")
        return ", ".join(words)

    def filters(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the fields that are set, widest first: in words, and as fields."""
        if self.shards:
            yield " ".join(self.shards), {"shards": self.shards}
        for name in ("subject", "study", "image"):
            plural = "studies" if name == "study" else f"{name}s"
            ids = getattr(self, plural)
            if ids:
                yield _named(ids, name, plural), {plural: ids}
        if self.paths:
            yield _named(self.paths, "path", "paths"), {"paths": self.paths}
        if self.splits:
            yield "split " + " or ".join(self.splits), {"splits": self.splits}
        if self.views:
            views = (view or "blank" for view in self.views)
            yield "view " + " or ".join(views), {"views": self.views}
        for number, label in enumerate(self.labels, start=1):
            words = str(label) if self.labeler == CHEXPERT else f"{label} ({self.labeler})"
            yield words, {"labels": self.labels[:number]}
        yield from self._further_filters()

    def _further_filters(self) -> Iterator[tuple[str, dict[str, Any]]]:
        if self.only:
            yield "only " + " and ".join(kind.value for kind in self.only), {"only": self.only}
        if self.include:
            some = "paths like " + " or ".join(self.include)
            if len(self.include) > _MAX_NAMED:
                some = f"{len(self.include):,} paths or globs"
            yield some, {"include": self.include}
        if self.exclude:
            some = "not " + " nor ".join(self.exclude)
            if len(self.exclude) > _MAX_NAMED:
                some = f"none of {len(self.exclude):,} paths or globs"
            yield some, {"exclude": self.exclude}
        if self.sample is not None:
            drawn = f"{self.sample.count:,} by {self.sample.by.value}, seed {self.sample.seed}"
            yield f"a sample of {drawn}", {"sample": self.sample}
        if self.limit is not None:
            yield f"the first {self.limit:,}", {"limit": self.limit}

    def as_json(self) -> dict[str, Any]:
        """Return the selection in the form that the state stores."""
        sample = self.sample
        # Releases that do not know a field refuse it, so it is there only if it matters.
        more: dict[str, Any] = {"skip_unknown": True} if self.skip_unknown else {}
        if self.paths:
            more["paths"] = list(self.paths)
        return {
            "shards": list(self.shards),
            "subjects": list(self.subjects),
            "studies": list(self.studies),
            "images": list(self.images),
            "splits": list(self.splits),
            "views": list(self.views),
            "labels": {label.name: list(label.values) for label in self.labels},
            "labeler": self.labeler,
            "only": [kind.value for kind in self.only],
            "include": list(self.include),
            "exclude": list(self.exclude),
            "sample": None if sample is None else [sample.count, sample.by.value, sample.seed],
            "limit": self.limit,
            "tables": self.tables,
            "split_table": self.split_table,
            **more,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Selection:
        """Return the selection that :meth:`as_json` of this or an earlier release wrote.

        Raises ValueError, KeyError or TypeError.
        """
        known = cls(skip_unknown=True, paths=("",)).as_json().keys()
        if not isinstance(raw, Mapping) or not raw.keys() <= known:
            # A later release wrote a further filter. Without it, too many files would be selected.
            raise ValueError("not a selection that this release can read")

        def texts(name: str) -> tuple[str, ...]:
            return tuple(str(each) for each in raw.get(name, ()))

        drawn, limit = raw.get("sample"), raw.get("limit")
        if drawn is not None:
            count, by, seed = drawn
            drawn = Sample(int(count), Unit(by), int(seed))
        counts = (1 if limit is None else int(limit), 1 if drawn is None else drawn.count)
        if min(counts) < 1:
            raise ValueError("a limit or a sample of less than one")
        labels = dict(raw.get("labels", {}))
        return cls(
            shards=texts("shards"),
            subjects=texts("subjects"),
            studies=texts("studies"),
            images=texts("images"),
            splits=texts("splits"),
            views=texts("views"),
            labels=tuple(Label(name, tuple(map(str, each))) for name, each in labels.items()),
            labeler=str(raw.get("labeler", CHEXPERT)),
            only=tuple(Kind(kind) for kind in raw["only"]),
            include=texts("include"),
            exclude=texts("exclude"),
            sample=drawn,
            limit=None if limit is None else int(limit),
            tables=bool(raw["tables"]),
            split_table=str(raw.get("split_table", "")),
            skip_unknown=bool(raw.get("skip_unknown")),
            paths=texts("paths"),
        )


def _named(ids: tuple[str, ...], one: str, many: str) -> str:
    """Return a few ids as a list, and many as their number."""
    if len(ids) > _MAX_NAMED:
        return f"{len(ids):,} {many}"
    return f"{one if len(ids) == 1 else many} " + " or ".join(ids)
