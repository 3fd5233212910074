"""Paths that cannot stand side by side on a disk."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsync.manifest.clashes import Nesting

many = settings(deadline=None, max_examples=400, derandomize=True)
names = st.text("ab.-0", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@many
@given(st.lists(paths, max_size=30))
def test_which_files_are_folders_of_others(listed: list[str]) -> None:
    nesting = Nesting()
    for path in sorted(each.encode() for each in listed):
        nesting.add(path)
    assert nesting.folders == {
        path for path in listed if any(other.startswith(f"{path}/") for other in listed)
    }


def test_those_in_between_do_not_hide_it() -> None:
    nesting = Nesting()
    for path in (b"files/p10", b"files/p10-old", b"files/p10.txt", b"files/p10/p1/a.jpg", b"z"):
        nesting.add(path)
    assert nesting.folders == {"files/p10"}
