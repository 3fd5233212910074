"""JSON lines: every public field of a plan has its key."""

import io
import json
from array import array
from contextlib import redirect_stdout
from dataclasses import fields

from cxrsync.events import Planned
from cxrsync.model import RejectedLine
from cxrsync.ui.console import Output
from cxrsync.ui.json_lines import JsonReporter

INTERNAL = {"due", "prefix"}
# Keys that keep an older name than their field.
KEYS = {"reusable": "to_take"}


def test_a_plan_as_json() -> None:
    plan = Planned(
        9, 1, 10, 2, 3, 1, (RejectedLine(4, "junk"),), 1, 3, array("q", range(8)), "x/1.0/"
    )
    with redirect_stdout(io.StringIO()) as out:
        JsonReporter(Output()).listen(plan)
    written = json.loads(out.getvalue())
    assert written.pop("event") == "plan"
    assert written.pop("refused") == [{"line": 4, "reason": "junk"}]
    names = {field.name for field in fields(Planned)} - INTERNAL - {"refused"}
    assert written == {KEYS.get(name, name): getattr(plan, name) for name in names}
