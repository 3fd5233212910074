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
