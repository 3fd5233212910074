"""Keys of JSON are written by hand; this is what remembers a field that was added since."""

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
from cxrsync.operations.status import Share
from cxrsync.ui.json_lines import Told, as_fields

# What the books are balanced with is nobody else's.
OURS_ALONE = {Planned: {"due", "prefix"}}


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
def test_every_field_of_an_event_is_told(event: Told) -> None:
    _name, told = as_fields(event)
    assert len(told) == len(fields(event)) - len(OURS_ALONE.get(type(event), ()))


def test_every_field_of_an_outcome_is_told() -> None:
    outcome = Outcome("p", Result.FETCHED)
    _name, told = as_fields(FileDone(outcome))
    assert len(told) == len(fields(outcome))


@pytest.mark.parametrize(
    "value", [RejectedLine(1, "r"), Share(), ManifestMetadata("s", "v", 1, 2, "d")]
)
def test_every_field_of_a_record_is_kept(value: RejectedLine | Share | ManifestMetadata) -> None:
    assert len(value.as_json()) == len(fields(value))
