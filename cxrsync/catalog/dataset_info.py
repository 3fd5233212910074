"""What is known of a dataset: its kinds of files, tables, splits, views and labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cxrsync.model import Kind

# The variable that names a catalogue of the user's own.
OWN_CATALOGUE = "CXRSYNC_DATASETS"
# A dataset or a version: it becomes a folder's name and a part of an address.
NAME = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.-]{0,100}[0-9A-Za-z])?")
# The tables that every labelled dataset has, and what tells whose a study or an image is; any other
# is a labeler's.
SPLIT, METADATA = "split", "metadata"
STUDIES, IMAGES = "studies", "images"


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """One dataset. ``means`` holds the mean bytes of a file by kind, for estimates only.

    ``tables`` says, as globs, which file of the root tells what of the images (split, metadata,
    and one for each labeler); ``splits``, ``views`` and ``labels`` what those files know.
    ``tables_in`` and ``reports_in`` name the dataset that holds the tables or the reports of this
    one's images, where that is another; ``reports_archive`` is one file with all reports.
    """

    slug: str
    title: str = ""
    alias: str = ""
    versions: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()
    means: Mapping[Kind, int] = field(default_factory=dict)
    agreement: str = ""
    elsewhere: str = ""
    patterns: tuple[tuple[Kind, re.Pattern[str]], ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    tables_in: str = ""
    reports_in: str = ""
    reports_archive: str = ""
    splits: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def kind_of(self, path: str) -> Kind:
        """The kind of the file at ``path`` (relative to the version's root); docs if none fits."""
        for kind, pattern in self.patterns:
            if pattern.match(path):
                return kind
        return Kind.DOCS

    @property
    def labelers(self) -> tuple[str, ...]:
        """The labelers that it has a table of."""
        others = {SPLIT, METADATA, STUDIES, IMAGES}
        return tuple(name for name in self.tables if name not in others)


def suggest(name: str, known: Sequence[str]) -> str:
    """``known`` as a phrase for an error message: the names near to ``name``, else all of them."""
    import difflib  # only where something is wrong

    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return ", ".join(near) if near else ", ".join(known)
