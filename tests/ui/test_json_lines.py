"""JSON lines: every public field of a plan has its key."""

import io
import json
from array import array
from contextlib import redirect_stdout
from dataclasses import fields
from datetime import datetime
from math import inf

from ui.simulated_job import MB, Clock, kind_of

from cxrsync.events import Planned, Received
from cxrsync.model import Kind, RejectedLine
from cxrsync.progress_events import Activity, Expected, ExpectedSizes, Phase, Sized
from cxrsync.ui.console import Output
from cxrsync.ui.json_lines import JsonReporter, progress_fields
from cxrsync.ui.progress import Progress

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


def test_the_progress_as_json_in_every_phase() -> None:
    clock = Clock()
    with redirect_stdout(io.StringIO()) as out:
        reporter = JsonReporter(Output(), clock)
        for activity in Activity:
            reporter.listen(Phase(activity))
            clock.now += 1
            reporter.tick()
        reporter.say_summary({})
        clock.now += 5
        reporter.tick()  # the summary is the last line
    *lines, summary = map(json.loads, out.getvalue().splitlines())
    assert summary == {"event": "summary"}
    assert [line["phase"] for line in lines] == [each.value for each in Activity]
    datetime.fromisoformat(lines[0]["time"])
    assert lines[0].keys() >= {"files_done", "files_todo", "bytes_received", "bytes_per_second"}


def test_the_bytes_and_the_time_left_as_json() -> None:
    clock = Clock()
    progress = Progress(clock)
    sizes = ExpectedSizes(Kind.IMAGES, 1, 10 * MB, inf, 0.0, "records")
    for event in (
        Phase(Activity.MANIFEST), Sized("SHA256SUMS.txt", MB, is_manifest=True),
        Received(MB, "SHA256SUMS.txt", is_manifest=True), Phase(Activity.PLANNING),
        Planned(2, 1, 10 * MB, 1, 0), Expected(0, (sizes,), kind_of), Phase(Activity.FETCHING),
        Sized("a.jpg", 10 * MB),
    ):  # fmt: skip
        progress.listen(event)
    clock.now += 5
    progress.listen(Received(5 * MB, "a.jpg"))
    said = progress_fields(progress)
    del said["time"]
    assert said == {
        "files_done": 0, "files_todo": 1, "bytes_received": 5 * MB,
        "bytes_per_second": 1_200_000, "phase": "fetching", "percent": 75.0,
        "files_here": 1, "files_selected": 2, "bytes_here": 15 * MB,
        "bytes_selected": 20 * MB, "bytes_selected_range": [20 * MB, 20 * MB], "basis": [],
        "seconds_left": 4.2, "seconds_left_range": [4.2, 4.2],
        "manifest_bytes": MB, "manifest_bytes_total": MB, "failed": 0,
    }  # fmt: skip
