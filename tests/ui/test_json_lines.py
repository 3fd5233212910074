"""What programs read: every field of an event that is theirs."""

import io
import json
from array import array
from contextlib import redirect_stdout
from dataclasses import fields

from cxrsync.events import Planned
from cxrsync.model import RejectedLine
from cxrsync.ui.console import Output
from cxrsync.ui.json_lines import JsonReporter

OURS = {"due", "prefix"}


def test_a_plan() -> None:
    plan = Planned(
        9, 1, 10, 2, 3, 1, (RejectedLine(4, "junk"),), 1, 3, array("q", range(8)), "x/1.0/"
    )
    with redirect_stdout(io.StringIO()) as out:
        JsonReporter(Output()).listen(plan)
    said = json.loads(out.getvalue())
    assert said.pop("event") == "plan"
    assert said.pop("refused") == [{"line": 4, "reason": "junk"}]
    names = {field.name for field in fields(Planned)} - OURS - {"refused"}
    # The key is older than the field's name, and other people's scripts stand on it.
    assert said.pop("to_take") == plan.reusable
    assert said == {name: getattr(plan, name) for name in names - {"reusable"}}
