"""The result of the tasks of an array, in words."""

import pytest

from cxrsync.cli.slurm import gathered_lines
from cxrsync.distributed.gather import TaskResult, gather

GOOD = {"selected": 3, "good": 3}
WRONG = {"selected": 3, "good": 1, "bad": 1, "missing": 1}


@pytest.mark.parametrize(
    ("task", "line", "last"),
    [
        (TaskResult("p10", ({"files": WRONG},), 6), "exit 6: 1 bad, 1 missing", "--repair"),
        (TaskResult("p10", ({"error": "full"},), 7), "exit 7: full", "Submit the same script"),
        (TaskResult("p10", (), 5), "exit 5: its log says why", "Submit the same script"),
        (TaskResult("p10", ({"error": "no"},), 3), "exit 3: no", "Mend that first, then submit"),
        (TaskResult("p10"), "did not begin, was killed", "Submit the same script"),
    ],
)
def test_what_went_wrong_and_what_to_do(task: TaskResult, line: str, last: str) -> None:
    lines = gathered_lines(gather([task]))
    assert line in lines[1]
    assert last in lines[-1]


def test_all_is_well() -> None:
    [line] = gathered_lines(gather([TaskResult("p10", ({"files": GOOD},), 0)]))
    assert line.startswith("1 tasks: 3 files selected, 3 verified")
