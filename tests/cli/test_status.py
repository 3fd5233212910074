"""What ``cxrsync status`` says of the runs that work on a tree."""

import pytest
from another_process import another_process

from cxrsync.cli.status_text import run_in_words

COUNTS = dict.fromkeys(("selected", "present", "fetched", "adopted"), 0)
TABLE = {**COUNTS, "selected": 1}
ARRIVING = {"phase": "manifest", "manifest_bytes": 12_000_000, "manifest_bytes_total": 77_000_000}
SCRUB = dict.fromkeys(("due", "good", "bad", "unreadable", "missing"), 0)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"files": COUNTS}, "a pull is preparing (process "),
        ({"files": {**COUNTS, "selected": 9, "present": 2}}, ": 2 of 9 files are verified"),
        ({"files": COUNTS, "phase": "asking"}, "): asking the server"),
        ({"files": COUNTS, **ARRIVING}, "): fetching the manifest, 12.0 of 77.0 MB"),
        ({"files": COUNTS, **ARRIVING, "manifest_bytes_total": None}, "the manifest, 12.0 MB"),
        ({"files": COUNTS, "run": "20261126T050000Z"}, ", since "),
        (
            {"files": COUNTS, "run": "no time", "phase": "unheard of"},
            "a pull is preparing (process",
        ),
        ({"files": TABLE, "phase": "fetching", "preparing": True}, "): fetching the tables"),
        ({"files": TABLE, "phase": "planning", "preparing": False}, "is running"),
        ({"files": TABLE, "phase": "planning", "preparing": False}, "): planning"),
        ({"files": TABLE, "phase": "fetching", "preparing": False}, "): 0 of 1 files are verified"),
        ({"files": COUNTS, "scrub": {"files": SCRUB}}, "a scrub is preparing (process "),
        ({"files": COUNTS, "scrub": {"files": {**SCRUB, "due": 4, "bad": 1}}}, ": 1 of 4 due"),
    ],
)
def test_a_run_in_words(more: dict[str, object], said: str) -> None:
    words = run_in_words({**another_process(), "run": "", **more})
    assert said in words
    assert "0 of 0" not in words
