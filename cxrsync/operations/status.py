"""The status of each partition of a tree, by its state. Reads only, and hashes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import time

from cxrsync.clock import Clock
from cxrsync.dataset.copies import copy_finder
from cxrsync.dataset.partition_states import partition_names
from cxrsync.model import FileRecord, FileStat, partition_of
from cxrsync.operations.expected_files import Expectation
from cxrsync.operations.proof_ages import ProofAges
from cxrsync.plan.survey import FileStatus, PresentFiles, Surveyed, survey_in_batches
from cxrsync.storage.partial_readers import count_partials
from cxrsync.storage.state_db import State


@dataclass(slots=True)
class PartitionStatus:
    """The status of one partition, in files and bytes. ``partial_bytes``: bytes in partials.

    ``snapshot_age``: the age in seconds of the snapshot that was read, None if there is none.
    ``snapshot_behind``: whether a run, active or killed, has newer records in its working copy.
    ``proofs``: how long ago the verified files were hashed. ``derived``: files that smaller copies
    have replaced; ``derived_bytes``: of the copies.
    """

    selected: int = 0
    verified: int = 0
    unverified: int = 0
    missing: int = 0
    verified_bytes: int = 0
    partial_bytes: int = 0
    snapshot_age: float | None = None
    snapshot_behind: bool = False
    proofs: ProofAges = field(default_factory=ProofAges)
    derived: int = 0
    derived_bytes: int = 0

    def add(self, other: PartitionStatus) -> None:
        """Add the files and bytes of another partition."""
        self.selected += other.selected
        self.verified += other.verified
        self.unverified += other.unverified
        self.missing += other.missing
        self.verified_bytes += other.verified_bytes
        self.partial_bytes += other.partial_bytes
        self.proofs.add(other.proofs)
        self.derived += other.derived
        self.derived_bytes += other.derived_bytes

    def add_verified(self, record: FileRecord, size: int, now: float) -> None:
        """Add a file of so many bytes that is verified by its record. ``now``: POSIX time."""
        self.selected += 1
        self.verified += 1
        self.verified_bytes += size
        self.proofs.count(record.verified_at, size, now)

    def as_json(self) -> dict[str, object]:
        """Return the status under the keys of the JSON output."""
        return {
            "selected": self.selected,
            "verified": self.verified,
            "unproved": self.unverified,
            "missing": self.missing,
            "verified_bytes": self.verified_bytes,
            "partial_bytes": self.partial_bytes,
            "snapshot_age": self.snapshot_age,
            "snapshot_behind": self.snapshot_behind,
            "proofs": self.proofs.as_json(),
            "derived": self.derived,
            "derived_bytes": self.derived_bytes,
        }


def total_of(statuses: Mapping[str, PartitionStatus]) -> PartitionStatus:
    """Return the sum of all partitions."""
    total = PartitionStatus()
    for partition in statuses.values():
        total.add(partition)
    return total


def status(
    expected: Expectation,
    on_unverified: Callable[[Surveyed, FileStatus], None] = lambda _surveyed, _decision: None,
    clock: Clock = time,
) -> dict[str, PartitionStatus]:
    """Return the status of each partition, by state, size and time of the files.

    ``on_unverified`` is called with each selected file that is not verified.
    """
    tree = expected.target.tree
    now = clock()
    statuses: dict[str, PartitionStatus] = {}
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
        has_copy = copy_finder(expected.target)
        is_wanted = expected.selected.is_wanted
        for found in survey_in_batches(expected.manifest, is_wanted, records, tree, has_copy):
            if isinstance(found, PresentFiles):
                partition = statuses.setdefault(found.partition, PartitionStatus())
                for record, size in zip(found.records, found.sizes, strict=True):
                    partition.add_verified(record, size, now)
                continue
            _offset, entry, known, file = found
            stat = file if isinstance(file, FileStat) else None
            decision = found.status
            if stat is None and expected.only_present and decision is not FileStatus.DERIVED:
                continue
            partition = statuses.setdefault(partition_of(entry.path), PartitionStatus())
            if decision is FileStatus.PRESENT and stat is not None and known is not None:
                partition.add_verified(known, stat.size, now)
                continue
            partition.selected += 1
            if decision is FileStatus.DERIVED and known is not None and known.copy is not None:
                partition.derived += 1
                partition.derived_bytes += known.copy.size
                continue
            on_unverified(found, decision)
            if decision is FileStatus.HASH:
                partition.unverified += 1
            else:
                partition.missing += 1
        for name, partition in statuses.items():
            _files, partition.partial_bytes = count_partials(tree.partials(name))
            if name in states and (at := states[name].snapshot_at) is not None:
                partition.snapshot_age = round(max(0.0, now - at), 1)
                partition.snapshot_behind = states[name].behind
    return dict(sorted(statuses.items()))
