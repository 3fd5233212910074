"""The results of the tasks become one summary and one exit code."""

import json
from pathlib import Path
from typing import Any

import pytest

from cxrsync.distributed.gather import TaskResult, gather, read_results, task_result
from cxrsync.errors import UsageError


def run(code: int | None, seconds: float = 1.0, **files: int) -> list[str]:
    """The lines that one run of a task has left; ``code`` None: it was killed."""
    summary: dict[str, Any] = {
        "event": "summary", "files": files, "bytes": {name: 10 * n for name, n in files.items()},
        "requests": 3, "seconds": seconds, "exit_code": code, "error": "",
    }  # fmt: skip
    lines = [json.dumps(summary)]
    return lines if code is None else [*lines, json.dumps({"event": "exit", "exit_code": code})]


def test_two_tasks_one_of_them_requeued() -> None:
    first = task_result("root", run(0, 5, selected=4, present=0, fetched=4, failed=0))
    lines = run(143, 60, selected=9, present=0, fetched=5, failed=0)
    lines += run(0, 30, selected=9, present=5, fetched=4, failed=0)
    found = gather([first, task_result("p10", lines)])
    assert found.exit_code == 0
    assert found.files == {"selected": 13, "present": 0, "fetched": 13, "failed": 0}
    assert found.bytes["fetched"] == 130
    assert (found.requests, found.seconds) == (9, 90)
    assert [task["runs"] for task in found.as_json()["tasks"]] == [1, 2]  # type: ignore[attr-defined]


def test_what_failed_is_what_the_last_run_says() -> None:
    lines = [*run(5, selected=3, present=0, fetched=1, failed=2)]
    lines += run(0, selected=3, present=1, fetched=2, failed=0)
    assert gather([task_result("p10", lines)]).files["failed"] == 0


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([0, 0], 0),
        ([0, 9], 9),
        ([5, 6, 9], 6),
        ([0, None], 5),  # it was killed: some of its files may be missing
        ([143, 3, 143], 3),  # the wrong password cancelled the others
        ([143, 0], 143),
        ([130, 11, 4], 4),
        ([0, 77], 1),
    ],
)
def test_exit_code(codes: list[int | None], code: int) -> None:
    assert gather([TaskResult("p10", (), each) for each in codes]).exit_code == code


def test_lines_that_are_cut_short_or_odd() -> None:
    lines = [
        *run(9, selected=1),
        '{"event": "summ',
        "[]",
        "null",
        '{"event": "exit", "exit_code": "x"}',
    ]
    assert task_result("p10", lines).exit_code == 9
    killed = task_result("p10", [*lines, *run(None, selected=1)])
    assert killed.exit_code is None
    odd = task_result("p10", ['{"event": "summary", "files": [], "bytes": 3, "seconds": "x"}'])
    assert gather([odd]).files == {}


def test_read_results(tmp_path: Path) -> None:
    (tmp_path / "p10.jsonl").write_text("\n".join(run(0, selected=1)))
    there, missing = read_results(tmp_path, ["p10", "p11"])
    assert (there.exit_code, missing.exit_code) == (0, None)
    with pytest.raises(UsageError, match="not a folder"):
        read_results(tmp_path / "p10.jsonl", ["p10"])
