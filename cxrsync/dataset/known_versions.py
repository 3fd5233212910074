"""What a mirror has found out about newer versions: ``.cxrsync/versions.json`` of its tree.

So a newer version is looked for once a day, whatever the mirror runs, and told once. The file is a
memory, and no evidence: without it the mirror asks again, and tells again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from typing import Any

from cxrsync.catalog.dataset_info import NAME
from cxrsync.model import is_size, is_time
from cxrsync.storage.atomic_write import write_file
from cxrsync.storage.filesystem import read_json
from cxrsync.storage.tree import Tree

VERSIONS_NAME = "versions.json"
_MAX_VERSIONS = 1000
_FLAGS = {"was_sorted", "is_sorted", "exact"}


class Access(Enum):
    """What the source answers for the manifest of a version that it lists."""

    OPEN = "open"
    DENIED = "denied"  # 403: agreements are signed for each version
    ABSENT = "absent"  # 404: it is listed, and its files are not there yet


@dataclass(frozen=True, slots=True)
class VersionChanges:
    """What a newer version changes in the selected files, as far as manifests tell.

    ``to_fetch``: files whose bytes the present version does not have; ``bytes``: their estimated
    size, without that of ``unknown`` files. ``before``, ``now``: how many files the two manifests
    list. ``was_sorted``, ``is_sorted``: whether the lines of the two manifests are. ``exact``:
    False if tables, which are not asked, leave fewer files.
    """

    added: int
    changed: int
    removed: int
    to_fetch: int
    bytes: int
    unknown: int
    before: int
    now: int
    was_sorted: bool = True
    is_sorted: bool = True
    exact: bool = True


@dataclass(frozen=True, slots=True)
class FoundVersion:
    """What is known of a newer version.

    ``asked_at``: POSIX time of the last answer. ``dataset``: which dataset's, if it is not open:
    tables or reports may be in another one than the job's. ``changes``: None if they are not known.
    ``told``: whether the user has been told of this state.
    """

    access: Access
    asked_at: float
    dataset: str = ""
    changes: VersionChanges | None = None
    told: bool = False

    def told_as(self, before: FoundVersion | None) -> FoundVersion:
        """Return the same, told if ``before`` was told and says the same to a person."""
        if before is None:
            return self
        same = replace(before, asked_at=self.asked_at, told=self.told) == self
        return replace(self, told=same and before.told)


@dataclass(frozen=True, slots=True)
class KnownVersions:
    """The versions that the source lists, and what is known of newer ones.

    ``looked_at``: POSIX time of the last look, ``listed_at``: of the last one that asked for the
    list. None: never.
    """

    looked_at: float | None = None
    listed_at: float | None = None
    listed: tuple[str, ...] = ()
    found: Mapping[str, FoundVersion] = field(default_factory=dict)

    def with_found(self, version: str, found: FoundVersion) -> KnownVersions:
        """Return the same with what was found of one version."""
        return replace(self, found={**self.found, version: found})


def read_known(tree: Tree) -> KnownVersions:
    """Return what the mirror of a tree knows of newer versions; nothing if the file is no good."""
    try:
        return _parsed(read_json(tree.own / VERSIONS_NAME))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return KnownVersions()


def write_known(tree: Tree, known: KnownVersions) -> None:
    """Record what the mirror of a tree knows. Without it, it asks again: no error is raised."""
    raw = {
        "looked_at": known.looked_at,
        "listed_at": known.listed_at,
        "listed": list(known.listed),
        "found": {
            version: {
                "access": each.access.value,
                "asked_at": each.asked_at,
                "dataset": each.dataset,
                "changes": None if each.changes is None else asdict(each.changes),
                "told": each.told,
            }
            for version, each in known.found.items()
        },
    }
    with suppress(OSError):
        write_file(tree.own / VERSIONS_NAME, json.dumps(raw, indent=1).encode())


def _parsed(raw: Any) -> KnownVersions:
    """Raises ValueError, KeyError, TypeError or AttributeError for what no mirror has written."""
    listed = tuple(map(_name, raw["listed"]))
    if len(listed) > _MAX_VERSIONS:
        raise ValueError("too many versions")
    found = {
        _name(version): FoundVersion(
            Access(each["access"]),
            _time(each["asked_at"]),
            each["dataset"] and _name(each["dataset"]),
            None if each["changes"] is None else _changes(each["changes"]),
            each["told"] is True,
        )
        for version, each in raw["found"].items()
    }
    looked_at, listed_at = raw["looked_at"], raw["listed_at"]
    return KnownVersions(
        None if looked_at is None else _time(looked_at),
        None if listed_at is None else _time(listed_at),
        listed,
        found,
    )


def _changes(raw: Any) -> VersionChanges:
    values = {each.name: raw[each.name] for each in fields(VersionChanges)}
    for name, value in values.items():
        if type(value) is not (bool if name in _FLAGS else int) or not is_size(value):
            raise ValueError(name)
    return VersionChanges(**values)


def _name(value: Any) -> str:
    # It becomes a part of paths and addresses.
    if type(value) is not str or not NAME.fullmatch(value):
        raise ValueError("not the name of a version or a dataset")
    return value


def _time(value: Any) -> float:
    if type(value) not in (int, float) or not is_time(value):
        raise ValueError("not a time")
    return float(value)
