"""The checklist for people: each line once, as soon as it is known; then what to do."""

from collections.abc import Iterable

import pytest

from cxrsync.errors import ExitCode
from cxrsync.preflight.checklist import Check, Checklist, Mark
from cxrsync.ui.checklist_text import ChecklistWriter

PAGE = "https://physionet.org/content/a/1.0/"
CHECKS = (
    Check("network", Mark.OK, "it is an address"),
    Check("a 1.0", Mark.MISSING, "refused (403)", f"Sign it: {PAGE}\nElse ask.", PAGE, ExitCode(4)),
    Check("b 1.0", Mark.MISSING, "refused (403)", "Sign it.", f"{PAGE}b", ExitCode.ACCESS, "1 GB"),
    Check("c 1.0", Mark.MISSING, "refused (403)", "Sign it.", PAGE, ExitCode.ACCESS),
    Check("destination", Mark.SKIPPED, "not tried"),
    Check("clock", Mark.WARNING, "2 h behind", "Set it."),
)
LINES = [
    "  ✓ network      it is an address",
    "  ✗ a 1.0        refused (403)",
    "  ✗ b 1.0        refused (403)",
    "                 1 GB",
    "  ✗ c 1.0        refused (403)",
    "  - destination  not tried",
    "  ! clock        2 h behind",
    "",
    "Note: clock: 2 h behind",
    "    Set it.",
    "Missing: a 1.0: refused (403)",
    f"    Sign it: {PAGE}",
    "    Else ask.",
    f"Then: b 1.0: refused (403): {PAGE}b",
]


@pytest.mark.parametrize("told", [(), (1,), (1, 1, 3), (6,), range(7)])
def test_each_line_once(told: Iterable[int]) -> None:
    lines: list[str] = []
    writer = ChecklistWriter(lines.extend, len("destination"))
    for count in told:
        writer.show(CHECKS[:count])
        assert sum(line[2:3] in "✓✗!-" for line in lines) == count
    writer.end(Checklist(CHECKS))
    assert lines == LINES


def test_nothing_is_missing() -> None:
    lines: list[str] = []
    ChecklistWriter(lines.extend, 0).end(Checklist(CHECKS[:1]))
    assert lines[-1] == "Every dataset that was asked for opens to you."


def test_a_page_that_the_step_does_not_name() -> None:
    lines: list[str] = []
    ChecklistWriter(lines.extend, 0).end(Checklist(CHECKS[3:4]))
    assert lines[-2:] == ["    Sign it.", f"    {PAGE}"]


@pytest.mark.parametrize("columns", [30, 40, 60, 80])
def test_no_line_is_longer_than_the_terminal_but_an_address(columns: int) -> None:
    lines: list[str] = []
    found = "its certificate is trusted; it asks for a user name and a password (401)"
    checks = (Check("mimic-cxr-jpg 2.1.0", Mark.OK, found, about="the newest, 558.0 GB"), *CHECKS)
    ChecklistWriter(lines.extend, len(checks[0].name), columns).end(Checklist(checks))
    assert [line for line in lines if len(line) > columns and PAGE not in line] == []
    assert found in " ".join(" ".join(lines).split())
    begun = [line for line in lines if line[2:3] in "✓✗!-" and line[:2] == "  "]
    assert len([line for line in begun if line[2:3].strip()]) == len(checks)
    [beside] = [line for line in lines if "its certificate" in line]
    assert (beside[2] == "✓") == (columns >= 60)
