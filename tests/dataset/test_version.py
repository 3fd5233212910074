"""Which version a job is about."""

import pytest

from cxrsync.dataset.version import pick_version


@pytest.mark.parametrize(
    ("named", "local", "offered", "known", "expected"),
    [
        ("1.0", ["2.0"], ["3.0"], ["4.0"], "1.0"),
        (None, ["2.0.0", "2.1.0"], [], ["3.0.0"], "2.1.0"),
        (None, ["2.9", "2.10"], [], [], "2.10"),  # by number, not by letter
        (None, ["2.0", "2.1"], ["2.0"], ["3.0"], "2.0"),  # the newest in common
        (None, ["2.1"], ["2.0"], [], "2.1"),  # nothing in common: the caller refuses
        (None, [], ["1.0", "2.0"], ["3.0"], "2.0"),
        (None, [], [], ["1.0", "3.0"], "3.0"),
        (None, [], [], [], None),
    ],
)
def test_pick_version(
    named: str | None, local: list[str], offered: list[str], known: list[str], expected: str | None
) -> None:
    assert pick_version(named, local, offered, known) == expected
