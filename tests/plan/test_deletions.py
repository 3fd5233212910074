"""What left the manifest: compared with a naive model, and how much of it may be deleted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.config.quantities import Share
from cxrsync.errors import ExitCode, RefusedForSafety
from cxrsync.model import Entry
from cxrsync.plan.deletions import Withdrawn, check_deletions, withdrawn

many = settings(max_examples=examples(200))
A, B = "a" * 64, "b" * 64


def entries(*items: tuple[str, str]) -> list[Entry]:
    return sorted(Entry(*item) for item in items)


@pytest.mark.parametrize(
    ("earlier", "present", "expected"),
    [
        ([], [("x", A)], []),
        ([[("x", A)]], [("x", A)], []),
        ([[("x", A)]], [("x", B)], []),  # changed, and still listed
        ([[("x", A)]], [], [("x", {A})]),
        ([[("x", A)], [("x", B)]], [], [("x", {A, B})]),
        ([[("x", A), ("z", A)], [("y", B)]], [("z", A)], [("x", {A}), ("y", {B})]),
        ([[], []], [], []),
    ],
)
def test_withdrawn(
    earlier: list[list[tuple[str, str]]],
    present: list[tuple[str, str]],
    expected: list[tuple[str, set[str]]],
) -> None:
    found = withdrawn([iter(entries(*each)) for each in earlier], iter(entries(*present)))
    assert list(found) == [Withdrawn(path, frozenset(digests)) for path, digests in expected]


manifests = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([A, B]))


@many
@given(earlier=st.lists(manifests, max_size=4), present=manifests)
def test_withdrawn_as_a_model_says(earlier: list[dict[str, str]], present: dict[str, str]) -> None:
    gone = {path for each in earlier for path in each} - present.keys()
    found = list(
        withdrawn(
            [iter(entries(*each.items())) for each in earlier], iter(entries(*present.items()))
        )
    )
    assert [each.path for each in found] == sorted(gone)
    for each in found:
        assert each.digests == {some[each.path] for some in earlier if each.path in some}


@pytest.mark.parametrize(
    ("most", "count", "listed", "allowed"),
    [
        ("1%", 10, 1000, True),
        ("1%", 11, 1000, False),
        ("1%", 1, 3, True),
        ("0%", 1, 3, False),
        ("0", 1, 1000, False),
        ("5", 5, 6, True),
        ("5", 6, 10_000, False),
    ],
)
def test_how_many_may_be_deleted(most: str, count: int, listed: int, allowed: bool) -> None:
    number = most.removesuffix("%")
    share = Share(percent=float(number)) if most.endswith("%") else Share(int(number))
    if allowed:
        check_deletions(share, count, listed, "/data")
        return
    with pytest.raises(RefusedForSafety, match="nothing was deleted") as refused:
        check_deletions(share, count, listed, "/data")
    assert refused.value.exit_code is ExitCode.REFUSED
