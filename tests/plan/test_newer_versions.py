"""When a mirror asks for newer versions, which one it follows, and which old ones it lets go."""

import pytest

from cxrsync.dataset.known_versions import Access, FoundVersion, KnownVersions, VersionChanges
from cxrsync.plan.newer_versions import (
    Look,
    doubt,
    newer,
    next_look,
    surplus_versions,
    unseen,
    version_to_follow,
)

NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 86_400.0
SAME = VersionChanges(1, 1, 1, 2, 10, 0, before=100, now=100)
FEW = VersionChanges(0, 0, 50, 0, 0, 0, before=100, now=50)


def open_(changes: VersionChanges | None = SAME, hours: float = 24) -> FoundVersion:
    return FoundVersion(Access.OPEN, NOW - hours * HOUR, changes=changes)


def denied(hours: float = 24) -> FoundVersion:
    return FoundVersion(Access.DENIED, NOW - hours * HOUR, "mimic-cxr-jpg")


def absent(hours: float = 24) -> FoundVersion:
    return FoundVersion(Access.ABSENT, NOW - hours * HOUR, "mimic-cxr-jpg")


def known(
    found: dict[str, FoundVersion], looked: float | None = 24, listed: float | None = 24
) -> KnownVersions:
    """``looked``, ``listed``: hours ago."""
    return KnownVersions(
        None if looked is None else NOW - looked * HOUR,
        None if listed is None else NOW - listed * HOUR,
        ("2.0.0", "2.1.0", *found),
        found,
    )


@pytest.mark.parametrize(
    ("what", "asked"),
    [
        (KnownVersions(), Look(lists=True)),
        (known({}, 24, 24), Look(lists=True)),
        (known({}, 1, 1), Look()),
        (known({}, 19, 19), Look()),
        (known({}, 21, 21), Look(lists=True)),
        (known({}, -30, -30), Look(lists=True)),  # the clock was set back
        (known({}, -1, -1), Look()),
        # A version that can be had, and that the job does not follow.
        (known({"2.2.0": open_()}), Look(lists=True)),
        (known({"2.2.0": open_(None)}), Look(lists=True)),
        # One that cannot be had: it is asked for, and the list waits for a week.
        (known({"2.2.0": denied()}), Look(version="2.2.0")),
        (known({"2.2.0": absent()}), Look(version="2.2.0")),
        (known({"2.2.0": open_(FEW)}), Look(version="2.2.0")),
        (known({"2.2.0": denied()}, 1), Look()),
        (known({"2.2.0": denied()}, 24, 24 * 7), Look(lists=True)),
        (known({"2.2.0": denied()}, 24, None), Look(lists=True)),
        # Several: one each time.
        (known({"2.2.0": denied(48), "2.3.0": denied(24)}), Look(version="2.2.0")),
        (known({"2.2.0": denied(24), "2.3.0": denied(48)}), Look(version="2.3.0")),
        # What is not newer does not matter.
        (known({"1.0": denied()}), Look(lists=True)),
    ],
)  # fmt: skip
def test_what_is_asked(what: KnownVersions, asked: Look) -> None:
    assert next_look(what, "2.1.0", NOW) == asked


@pytest.mark.parametrize(
    ("found", "followed"),
    [
        ({}, None),
        ({"2.2.0": open_()}, "2.2.0"),
        ({"2.2.0": open_(None)}, "2.2.0"),
        ({"2.2.0": denied()}, None),
        ({"2.2.0": absent()}, None),
        ({"2.2.0": open_(FEW)}, None),
        ({"2.2.0": open_(), "2.10.0": open_()}, "2.10.0"),
        ({"2.2.0": open_(), "2.10.0": denied()}, "2.2.0"),
        ({"2.2.0": open_(), "2.10.0": open_(FEW)}, "2.2.0"),
        ({"2.0.0": open_(), "2.1.0": open_()}, None),
    ],
)
def test_what_is_followed(found: dict[str, FoundVersion], followed: str | None) -> None:
    assert version_to_follow(known(found), "2.1.0") == followed


def test_what_is_newer_and_unseen() -> None:
    listed = ["2.1.0", "2.9.0", "2.10.0", "2.0.0", "2.9.0", "3.0"]
    assert newer(listed, "2.1.0") == ["3.0", "2.10.0", "2.9.0"]
    assert newer([], "2.1.0") == newer(["2.0.0"], "2.1.0") == []
    seen = KnownVersions(listed=tuple(listed), found={"2.10.0": denied()})
    assert unseen(seen, "2.1.0") == ["3.0", "2.9.0"]


@pytest.mark.parametrize(
    ("before", "now", "sorted_", "is_doubtful"),
    [
        (100, 100, (True, True), False),
        (100, 90, (True, True), False),
        (100, 89, (True, True), True),
        (100, 0, (True, True), True),
        (100, 200, (True, True), False),
        (0, 0, (True, True), False),
        (100, 100, (True, False), True),
        (100, 100, (False, False), False),
        (100, 100, (False, True), False),
    ],
)
def test_what_may_be_a_fault(
    before: int, now: int, sorted_: tuple[bool, bool], is_doubtful: bool
) -> None:
    changes = VersionChanges(0, 0, 0, 0, 0, 0, before, now, *sorted_)
    assert bool(doubt(changes)) is is_doubtful
    assert doubt(None) == ""


@pytest.mark.parametrize(
    ("versions", "keep", "surplus"),
    [
        (["2.1.0"], 1, []),
        (["2.0.0", "2.1.0"], 1, ["2.0.0"]),
        (["2.0.0", "2.1.0"], 2, []),
        (["2.0.0", "2.1.0"], 9, []),
        (["2.1.0", "2.0.0", "1.10", "1.9"], 1, ["1.9", "1.10", "2.0.0"]),
        (["2.1.0", "2.0.0", "1.10", "1.9"], 3, ["1.9"]),
        # Newer ones are somebody else's, and do not count.
        (["2.0.0", "2.1.0", "2.2.0", "3.0"], 1, ["2.0.0"]),
        (["2.0.0", "2.1.0", "2.2.0", "3.0"], 2, []),
        ([], 1, []),
    ],
)
def test_what_is_no_longer_kept(versions: list[str], keep: int, surplus: list[str]) -> None:
    assert surplus_versions(versions, versions, "2.1.0", keep) == surplus


@pytest.mark.parametrize(
    ("complete", "keep", "surplus"),
    [
        (["2.0.0"], 1, ["1.9", "1.10", "2.0.0"]),
        (["2.0.0"], 2, ["1.9", "1.10"]),
        (["1.10"], 2, ["1.9"]),  # 2.0.0 takes nobody's place
        (["1.9"], 2, []),
        (["1.9", "1.10"], 3, []),
        ([], 2, []),
    ],
)
def test_an_incomplete_version_is_not_counted(
    complete: list[str], keep: int, surplus: list[str]
) -> None:
    versions = ["2.1.0", "2.0.0", "1.10", "1.9"]
    assert surplus_versions(versions, complete, "2.1.0", keep) == surplus
