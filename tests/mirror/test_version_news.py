"""What a mirror says about newer versions."""

from dataclasses import replace

import pytest

from cxrsync.catalog.load import dataset_info
from cxrsync.dataset.known_versions import Access, FoundVersion, KnownVersions, VersionChanges
from cxrsync.mirror.version_news import changes_in_words, news, refusal, short, with_all_told

JPG = dataset_info("mimic-cxr-jpg")
CHANGES = VersionChanges(12, 3, 1, 14, 21_000_000, 0, 1000, 1011)
AGAINST, SIZE = "against 2.1.0", "about 21.0 MB"
UNKNOWN = "1 file to fetch, 1 file of unknown size"
FEW = replace(CHANGES, now=10)


def known(found: FoundVersion) -> KnownVersions:
    return KnownVersions(listed=("2.1.0", "2.2.0"), found={"2.2.0": found})


OPEN = known(FoundVersion(Access.OPEN, 1.0, changes=CHANGES))
DENIED = known(FoundVersion(Access.DENIED, 1.0, "mimic-cxr-jpg"))
OTHER = known(FoundVersion(Access.DENIED, 1.0, "mimic-cxr"))
ABSENT = known(FoundVersion(Access.ABSENT, 1.0, "mimic-cxr-jpg"))
DOUBTFUL = known(FoundVersion(Access.OPEN, 1.0, changes=FEW))


@pytest.mark.parametrize(
    ("what", "follows", "says"),
    [
        (OPEN, True, ["the mirror follows it"]),
        (OPEN, False, ["the mirror stays with 2.1.0", 'dataset_version: "2.2.0"', "--init"]),
        (
            DENIED,
            True,
            ["it is not open", "content/mimic-cxr-jpg/2.2.0/ and the mirror follows it"],
        ),
        (DENIED, False, ["content/mimic-cxr-jpg/2.2.0/ to be able", "2.1.0 stays"]),
        (OTHER, True, ["mimic-cxr, which the job needs too,", "content/mimic-cxr/2.2.0/ "]),
        (DOUBTFUL, False, ["is published ("]),
    ],
)
def test_news(what: KnownVersions, follows: bool, says: list[str]) -> None:
    [text] = news(what, "2.1.0", JPG, follows=follows)
    assert all(words in text for words in ["version 2.2.0 of mimic-cxr-jpg is published", *says])
    assert "--" not in text.replace("--init", "")
    assert news(with_all_told(what, told=True), "2.1.0", JPG, follows=follows) == []
    assert news(what, "2.2.0", JPG, follows=follows) == []


def test_what_is_no_news() -> None:
    assert news(ABSENT, "2.1.0", JPG, follows=True) == []
    assert news(KnownVersions(listed=("2.2.0",)), "2.1.0", JPG, follows=True) == []
    assert news(DOUBTFUL, "2.1.0", JPG, follows=True) == []  # it is a refusal


def test_a_refusal() -> None:
    refused = refusal(DOUBTFUL, "2.1.0", JPG, follows=True)
    assert refused is not None
    assert "its manifest lists only 10 files, and the present one 1,000" in str(refused)
    assert 'dataset_version: "2.2.0"' in refused.next_step
    for what in (OPEN, DENIED, ABSENT):
        assert refusal(what, "2.1.0", JPG, follows=True) is None
    assert refusal(DOUBTFUL, "2.1.0", JPG, follows=False) is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (None, ""),
        (CHANGES,
         f" ({AGAINST}: 12 files new, 3 files changed, 1 file gone; 14 files to fetch, {SIZE})"),
        (VersionChanges(0, 0, 0, 0, 0, 0, 9, 9),
         " (nothing of the selection differs from 2.1.0)"),
        (VersionChanges(0, 0, 2, 0, 0, 0, 9, 7), f" ({AGAINST}: 2 files gone; nothing to fetch)"),
        (VersionChanges(1, 0, 0, 1, 0, 1, 9, 9, exact=False),
         f" ({AGAINST} at most (the tables decide): 1 file new; {UNKNOWN})"),
    ],
)  # fmt: skip
def test_changes_in_words(changes: VersionChanges | None, text: str) -> None:
    assert changes_in_words(changes, "2.1.0") == text


def test_a_short_remark() -> None:
    assert short(OPEN, "2.1.0") == short(DENIED, "2.1.0") == "2.2.0 is published"
    assert short(ABSENT, "2.1.0") == short(OPEN, "2.2.0") == ""
