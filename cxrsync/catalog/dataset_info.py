"""What the catalogue knows about a dataset: kinds of files, tables, splits, views and labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cxrsync.catalog.citation import CitationInfo
from cxrsync.model import ROOT, Kind

# The environment variable that names the user's own catalogue file.
OWN_CATALOGUE = "CXRSYNC_DATASETS"
# The name of a dataset or a version. It becomes the name of a folder and a part of a URL.
NAME = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.-]{0,100}[0-9A-Za-z])?")
# Roles of tables: the splits, the metadata, and the tables that map studies and images to subjects.
# Any other role is the name of a labeler.
SPLIT, METADATA = "split", "metadata"
STUDIES, IMAGES = "studies", "images"


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What is known about one dataset.

    means: the mean size of a file in bytes, by kind; for estimates only.
    counts: the number of files in the newest version, by kind, as far as it is known.
    dois: the DOI of each version. license: the name of the licence. citation: how to cite it.
    table_files: the paths of the tables that some version has.
    tables: a glob for the table of each role (split, metadata, one for each labeler).
    splits, views, labels: the values that occur in those tables.
    tables_in, reports_in: the dataset with the tables or the reports of these images, if it is
    another one.
    reports_archive: a file of the root that contains all reports.
    agreement: the dataset's page on PhysioNet, or another page where its agreement is signed.
    """

    slug: str
    title: str = ""
    alias: str = ""
    versions: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()
    means: Mapping[Kind, int] = field(default_factory=dict)
    counts: Mapping[Kind, int] = field(default_factory=dict)
    dois: Mapping[str, str] = field(default_factory=dict)
    license: str = ""
    citation: CitationInfo = field(default_factory=CitationInfo)
    agreement: str = ""
    elsewhere: str = ""
    patterns: tuple[tuple[Kind, re.Pattern[str]], ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    table_files: tuple[str, ...] = ()
    tables_in: str = ""
    reports_in: str = ""
    reports_archive: str = ""
    splits: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def kind_of(self, path: str) -> Kind:
        """Return the kind of the file at ``path``, relative to the version's root; else docs."""
        for kind, pattern in self.patterns:
            if pattern.match(path):
                return kind
        return Kind.DOCS

    def is_in_partitions(self, partition: str, names: frozenset[str]) -> bool:
        """Return whether a partition is one of ``names``; none stands for all.

        The root stands for every partition that is not a known shard, too: so the tasks of a
        divided job leave nothing out, also of a shard that came with a later version.
        """
        is_known = partition in self.shards
        return not names or partition in names or (ROOT in names and not is_known)

    def page(self, version: str) -> str:
        """Return the page at whose foot the data use agreement of a version is signed.

        PhysioNet's agreements are signed for each version, and the page without a version leads
        to the newest one.
        """
        ours = self.agreement.rstrip("/")
        return f"{ours}/{version}/" if ours.endswith(f"/content/{self.slug}") else self.agreement

    @property
    def labelers(self) -> tuple[str, ...]:
        """The labelers whose tables the dataset has."""
        others = {SPLIT, METADATA, STUDIES, IMAGES}
        return tuple(name for name in self.tables if name not in others)


def suggest(name: str, known: Sequence[str]) -> str:
    """Return those of the ``known`` names that are similar to ``name``, else all; as a phrase."""
    import difflib  # here, because only errors need it

    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return ", ".join(near) if near else ", ".join(known)


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return a sentence for an error message: which of the ``known`` names may be meant."""
    names = suggest(name, known)
    return f"Known: {names}." if names == ", ".join(known) else f"Did you mean {names}?"
