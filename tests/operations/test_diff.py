"""The differences between two sorted manifests, compared with a model that holds both in memory."""

from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.manifest.diff import Change, Difference, differences
from cxrsync.model import Entry

many = settings(max_examples=examples(200))

# Few names and fewer digests, so that versions meet; names that sort around the slash.
names = st.text(alphabet="ab-/é", min_size=1, max_size=3)
digests = st.sampled_from(["0" * 64, "1" * 64, "2" * 64])
versions = st.dictionaries(names, digests, max_size=12)


def entries(version: dict[str, str]) -> list[Entry]:
    return [Entry(path, version[path]) for path in sorted(version)]


def model(old: dict[str, str], new: dict[str, str]) -> list[Difference]:
    found = {path: Difference(Change.REMOVED, Entry(path, old[path])) for path in old.keys() - new}
    for path, digest in new.items():
        if path not in old:
            found[path] = Difference(Change.ADDED, Entry(path, digest))
        elif old[path] != digest:
            found[path] = Difference(Change.CHANGED, Entry(path, digest))
    return [found[path] for path in sorted(found)]


@many
@given(versions, versions)
def test_differences_are_those_of_the_model(old: dict[str, str], new: dict[str, str]) -> None:
    assert list(differences(iter(entries(old)), iter(entries(new)))) == model(old, new)


@many
@given(versions)
def test_a_version_does_not_differ_from_itself(version: dict[str, str]) -> None:
    assert not list(differences(iter(entries(version)), iter(entries(version))))


@many
@given(versions, versions)
def test_files_added_in_one_direction_are_removed_in_the_other(
    old: dict[str, str], new: dict[str, str]
) -> None:
    def changes(one: dict[str, str], other: dict[str, str]) -> dict[str, Change]:
        found = differences(iter(entries(one)), iter(entries(other)))
        return {each.entry.path: each.change for each in found}

    opposite = {Change.ADDED: Change.REMOVED, Change.REMOVED: Change.ADDED}
    forth = changes(old, new)
    assert changes(new, old) == {
        path: opposite.get(change, change) for path, change in forth.items()
    }
