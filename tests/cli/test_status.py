"""What ``cxrsync status`` says of the runs that work on a tree."""

import pytest
from another_process import another_process

from cxrsync.cli.status import run_in_words

COUNTS = dict.fromkeys(("selected", "present", "fetched", "adopted"), 0)
SCRUB = dict.fromkeys(("due", "good", "bad", "unreadable", "missing"), 0)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"files": COUNTS}, "a pull is preparing (process "),
        ({"files": {**COUNTS, "selected": 9, "present": 2}}, ": 2 of 9 files are verified"),
        ({"files": COUNTS, "scrub": {"files": SCRUB}}, "a scrub is preparing (process "),
        ({"files": COUNTS, "scrub": {"files": {**SCRUB, "due": 4, "bad": 1}}}, ": 1 of 4 due"),
    ],
)
def test_a_run_in_words(more: dict[str, object], said: str) -> None:
    words = run_in_words({**another_process(), "run": "20261126T050000Z", **more})
    assert said in words
    assert "0 of 0" not in words
