"""Where each partition of a tree stands. Reads only, hashes nothing."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from time import time

from cxrsync.dataset.states import partition_names
from cxrsync.model import FileStat, partition_of
from cxrsync.operations.expected import Expectation
from cxrsync.plan.survey import FileStatus, file_status, survey
from cxrsync.storage.partial_readers import count_partials
from cxrsync.storage.state_db import State


@dataclass(slots=True)
class Share:
    """Where one partition stands, in files and bytes. ``partial``: bytes of count_partials files.

    ``snapshot_age``: how long ago, in seconds, the state was published that this was read from
    (None: there is none). ``snapshot_behind``: whether a run, at work or killed, has more than that
    in a copy of its own.
    """

    selected: int = 0
    verified: int = 0
    unproved: int = 0
    missing: int = 0
    verified_bytes: int = 0
    partial_bytes: int = 0
    snapshot_age: float | None = None
    snapshot_behind: bool = False

    def add(self, other: Share) -> None:
        """Count another partition's files and bytes too."""
        self.selected += other.selected
        self.verified += other.verified
        self.unproved += other.unproved
        self.missing += other.missing
        self.verified_bytes += other.verified_bytes
        self.partial_bytes += other.partial_bytes

    def as_json(self) -> dict[str, object]:
        """It as other people's scripts read it."""
        return {
            "selected": self.selected,
            "verified": self.verified,
            "unproved": self.unproved,
            "missing": self.missing,
            "verified_bytes": self.verified_bytes,
            "partial_bytes": self.partial_bytes,
            "snapshot_age": self.snapshot_age,
            "snapshot_behind": self.snapshot_behind,
        }


def status(expected: Expectation) -> dict[str, Share]:
    """Where each partition stands, by state, size and time alone: nothing is hashed."""
    tree = expected.target.tree
    shares: dict[str, Share] = {}
    with ExitStack() as stack:
        states = {
            name: stack.enter_context(state)
            for name in partition_names(tree)
            if (state := State.read(tree.partition(name))) is not None
        }
        records = {
            name: states[name].records() if name in states else iter(())
            for name in expected.manifest.partitions
        }
        for _offset, entry, record, found in survey(
            expected.manifest, expected.selected.is_wanted, records, tree
        ):
            there = found if isinstance(found, FileStat) else None
            if there is None and expected.only_present:
                continue
            share = shares.setdefault(partition_of(entry.path), Share())
            share.selected += 1
            where = file_status(entry, record, there)
            if where is FileStatus.PRESENT and there is not None:
                share.verified += 1
                share.verified_bytes += there.size
            elif where is FileStatus.HASH:
                share.unproved += 1
            else:
                share.missing += 1
        now = time()
        for name, share in shares.items():
            _files, share.partial_bytes = count_partials(tree.partials(name))
            if name in states and (at := states[name].snapshot_at) is not None:
                share.snapshot_age = round(max(0.0, now - at), 1)
                share.snapshot_behind = states[name].behind
    return dict(sorted(shares.items()))
