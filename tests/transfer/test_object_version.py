"""Which time a file gets, when several sources and answers tell one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cxrsync.sources.base import Opened
from cxrsync.storage.sidecar import ObjectVersion
from cxrsync.transfer.object_version import version_after, version_at


async def nothing() -> AsyncIterator[bytes]:
    yield b""


@pytest.mark.parametrize(
    ("known", "told", "is_own", "expected"),
    [
        (None, 2.0, True, 2.0),
        (None, 2.0, False, 2.0),
        (1.0, 2.0, True, 2.0),
        (1.0, 2.0, False, 1.0),  # that of a copy in a store
        (1.0, None, True, 1.0),
        (0.0, 2.0, False, 0.0),
    ],
)
def test_the_time_of_a_file(
    known: float | None, told: float | None, is_own: bool, expected: float
) -> None:
    opened = Opened(0, 9, None, told, nothing(), is_own_time=is_own)
    before = ObjectVersion("s3", modified=known)
    assert version_after(before, opened, 9, found=False).modified == expected


def test_a_time_from_elsewhere_counts_where_the_partial_has_none() -> None:
    bound = ObjectVersion("https://physionet.org", 9, '"v"', 1.0)
    assert version_at("s3", None, 5.0) == ObjectVersion("s3", modified=5.0)
    assert version_at("s3", bound, 5.0) == ObjectVersion("s3", modified=1.0)
    assert version_at(bound.source, bound, 5.0) == bound
