"""Paths that cannot stand side by side on a disk."""

from collections.abc import Iterable
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.manifest.clashes import NestingDetector, find_name_clashes, name_key
from cxrsync.model import NameRules

EVERY = [NameRules(case, forms) for case in (False, True) for forms in (False, True)]

many = settings(max_examples=examples(400))
names = st.text("ab.-0", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@many
@given(st.lists(paths, max_size=30))
def test_which_files_are_folders_of_others(listed: list[str]) -> None:
    nesting = NestingDetector()
    together = NestingDetector()
    ordered = sorted(each.encode() for each in listed)
    for path in ordered:
        nesting.add(path)
    for first in range(0, len(ordered), 3):
        together.add_all(ordered[first : first + 3])
    assert together.folders == nesting.folders
    assert nesting.folders == {
        path for path in listed if any(other.startswith(f"{path}/") for other in listed)
    }


def test_those_in_between_do_not_hide_it() -> None:
    nesting = NestingDetector()
    for path in (b"files/p10", b"files/p10-old", b"files/p10.txt", b"files/p10/p1/a.jpg", b"z"):
        nesting.add(path)
    assert nesting.folders == {"files/p10"}


# ── where a disk takes two names for one ───────────────────────────────────────────────────────

E, E_IN_TWO = "\u00e9", "e\u0301"


@pytest.mark.parametrize(
    ("one", "other", "case", "forms"),
    [
        ("a.jpg", "A.jpg", True, False),
        ("Files/P10/a", "files/p10/A", True, False),
        (E, "\u00c9", True, False),
        (E, E_IN_TWO, False, True),
        ("\u00c9", E_IN_TWO, None, None),  # only where both are taken for one
        ("Stra\u00dfe", "STRASSE", True, False),
        ("\u03a3", "\u03c2", True, False),
        ("a", "b", None, None),
        ("a/b", "a-b", None, None),
    ],
)
def test_what_names_come_to(one: str, other: str, case: bool | None, forms: bool | None) -> None:
    for rules in EVERY:
        same = (rules.case and case) or (rules.forms and forms)
        if (one, other) == ("\u00c9", E_IN_TWO):
            same = rules.case and rules.forms
        assert (name_key(one, rules) == name_key(other, rules)) == bool(same), rules


def folders_of(listed: Iterable[str]) -> set[str]:
    return {path[:at] for path in listed for at, char in enumerate(path) if char == "/"}


@many
@given(
    st.sets(
        st.lists(
            st.sampled_from(["a", "A", "b", E, "\u00c9", E_IN_TWO]), min_size=1, max_size=3
        ).map("/".join),
        max_size=12,
    ),
    st.sampled_from(EVERY),
)
def test_those_that_fall_together(listed: set[str], rules: NameRules) -> None:
    # A file with the very name of a folder is refused before.
    files = sorted(listed - folders_of(listed), key=str.encode)
    expected = set()
    for one, other in combinations(files, 2):
        if name_key(one, rules) == name_key(other, rules):
            expected |= {one, other}
    there = {name_key(folder, rules) for folder in folders_of(files)}
    expected |= {path for path in files if name_key(path, rules) in there}

    found = find_name_clashes(lambda: files, rules)

    assert found.keys() == expected
    for path, other in found.items():
        assert path != other
        assert name_key(path, rules) == name_key(other, rules)
