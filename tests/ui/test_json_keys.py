"""The keys of JSON are written by hand: these tests fail when a field was added without its key."""

from dataclasses import fields

import pytest

from cxrsync.dataset.local_manifest import ManifestMetadata
from cxrsync.events import (
    Checked,
    ConcurrencyChanged,
    FileDone,
    Finding,
    Notice,
    Planned,
    Retrying,
    Started,
    Waiting,
)
from cxrsync.model import Outcome, RejectedLine, Result
from cxrsync.operations.status import PartitionStatus
from cxrsync.ui.json_lines import JsonEvent, as_fields

# These fields only serve the check that every file has an outcome.
INTERNAL = {Planned: {"due", "prefix"}}


@pytest.mark.parametrize(
    "event",
    [
        Started("d", "v", "r", "s", 4),
        Planned(1, 2, 3, 4, 5, refused=(RejectedLine(1, "r"),)),
        Checked("p", Finding.GOOD),
        Retrying("p", 1.0, "r"),
        Waiting("w", 1.0, 2.0),
        ConcurrencyChanged(4),
        Notice("t"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_every_field_of_an_event_has_a_key(event: JsonEvent) -> None:
    _name, keys = as_fields(event)
    assert len(keys) == len(fields(event)) - len(INTERNAL.get(type(event), ()))


def test_every_field_of_an_outcome_has_a_key() -> None:
    outcome = Outcome("p", Result.FETCHED)
    _name, keys = as_fields(FileDone(outcome))
    assert len(keys) == len(fields(outcome))


@pytest.mark.parametrize(
    "value", [RejectedLine(1, "r"), PartitionStatus(), ManifestMetadata("s", "v", 1, 2, "d")]
)
def test_every_field_of_a_value_has_a_key(
    value: RejectedLine | PartitionStatus | ManifestMetadata,
) -> None:
    assert len(value.as_json()) == len(fields(value))
