"""A fault of our own that loses a file, or counts one twice, is never "complete and verified"."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.scripted import SLUG, VERSION, Pulled, ScriptedServer, noise, pull_from
from e2e.stage import DICOM
from e2e.stage import VERSION as DICOM_VERSION

from cxrsync.api import run_job
from cxrsync.config.parse_job import make_job
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import CxrsyncError, ExitCode, Unbalanced
from cxrsync.events import FileDone
from cxrsync.model import Entry, Outcome, Result
from cxrsync.plan.planner import Plan
from cxrsync.sync import copy_reusable, publisher, reports_zip
from cxrsync.sync.outcome_log import OutcomeLog
from cxrsync.sync.scheduler import FileJob, Scheduler
from cxrsync.ui.summary_text import as_text

A, B, C = (f"files/p10/{name}.jpg" for name in "abc")
FILES = {path: noise(path, 3_000) for path in (A, B, C)}


def check(pulled: Pulled, *said: str) -> None:
    assert pulled.code == ExitCode.UNEXPECTED
    assert isinstance(pulled.error, Unbalanced)
    assert pulled.error.exit_code == ExitCode.UNEXPECTED
    for each in said:
        assert each in str(pulled.error), pulled.error
    assert "report" in pulled.error.next_step
    assert pulled.summary.error == str(pulled.error)
    assert "complete" not in as_text(pulled.summary)


async def test_a_wrong_file_that_the_queue_forgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(_queue: Scheduler, _task: FileJob) -> None: ...

    monkeypatch.setattr(Scheduler, "add", forget)
    final = tmp_path / SLUG / VERSION / B
    final.parent.mkdir(parents=True)
    final.write_bytes(b"wrong")
    with ScriptedServer(FILES) as server:
        pulled = await pull_from(server, tmp_path)
        check(pulled, "1 of 3 selected files", B)
        assert A not in str(pulled.error)
        # What was right is here all the same, and the next run makes up for the rest.
        assert pulled.summary.fetched.files == 2
        monkeypatch.undo()
        assert (await pull_from(server, tmp_path)).code == ExitCode.COMPLETE


async def test_a_file_that_is_missing_in_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Plan.entries_to_fetch

    def all_but_the_first(plan: Plan) -> Iterator[Entry]:
        entries = original(plan)
        next(entries, None)
        return entries

    monkeypatch.setattr(Plan, "entries_to_fetch", all_but_the_first)
    with ScriptedServer(FILES) as server:
        check(await pull_from(server, tmp_path), "1 of 3 selected files", A)


async def test_an_older_version_s_file_that_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_reusable.CarryOver, "_dispatch", lambda *_: _nothing())
    with ScriptedServer(FILES) as server:
        manifest = server.body("SHA256SUMS.txt")
        assert manifest is not None
        for path, data in {**FILES, "SHA256SUMS.txt": manifest}.items():
            final = tmp_path / SLUG / "0.9" / path
            final.parent.mkdir(parents=True, exist_ok=True)
            final.write_bytes(data)
        check(await pull_from(server, tmp_path), "3 of 3 selected files", A, B, C)


async def _nothing() -> None: ...


async def test_a_file_that_is_published_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = publisher._record

    def last(entry: Entry, *rest: Any) -> Any:
        if entry.path == C:
            monkeypatch.setattr(OutcomeLog, "_emit_outcome", lambda *_: None)
        return record(entry, *rest)

    monkeypatch.setattr(publisher, "_record", last)
    with ScriptedServer({C: FILES[C]}) as server:
        check(await pull_from(server, tmp_path), "1 of 1 selected files", C)


@pytest.mark.parametrize("result", [Result.FETCHED, Result.FAILED])
async def test_a_file_that_is_told_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: Result
) -> None:
    """Even where another one is not told at all, so that the numbers are right."""
    original = OutcomeLog._emit_outcome

    def count(outcomes: OutcomeLog, outcome: Outcome) -> None:
        if outcome.path == B:
            outcome = Outcome(A, result)
        original(outcomes, outcome)

    monkeypatch.setattr(OutcomeLog, "_emit_outcome", count)
    with ScriptedServer(FILES) as server:
        pulled = await pull_from(server, tmp_path, connections=1)
    check(pulled, "1 of 3 selected files have no outcome", B, "1 outcomes are of", A)
    assert C not in str(pulled.error)
    told = [each.outcome for each in pulled.events if isinstance(each, FileDone)]
    assert len(told) == pulled.summary.selected.files


async def test_a_run_that_is_stopped_tells_nothing_twice_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = OutcomeLog._emit_outcome

    def count(outcomes: OutcomeLog, outcome: Outcome) -> None:
        original(outcomes, outcome)
        original(outcomes, outcome)

    monkeypatch.setattr(OutcomeLog, "_emit_outcome", count)
    with ScriptedServer(FILES) as server:
        check(await pull_from(server, tmp_path, connections=1, max_files=1), "1 outcomes are of", A)
        monkeypatch.undo()
        assert (await pull_from(server, tmp_path, max_files=1)).code == ExitCode.LIMIT


# ── the archive of reports, tables that come first, another dataset's files ────────────────────


@pytest.fixture
def pull(
    server: MiniPhysioNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    monkeypatch.setenv("PHYSIONET_USERNAME", "demo")
    monkeypatch.setenv("PHYSIONET_PASSWORD", "demo-password")

    async def pull(**options: Any) -> Any:
        job = make_job({
            "dest": tmp_path / "mirror", "base_url": server.base_url, "ca_file": server.ca_file,
            "dataset_version": DICOM_VERSION, **options,
        })  # fmt: skip
        return await run_job(job, lambda _event: None)

    return pull


async def test_reports_that_the_archive_makes_one_of(
    pull: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports are found by a hash of their path; two that share one would be one."""
    with monkeypatch.context() as patched:
        patched.setattr(reports_zip, "hash", len, raising=False)
        with pytest.raises(Unbalanced, match=r"selected files have no outcome \(files/"):
            await pull(dicom=True, only=["reports"])
    assert (await pull(dicom=True, only=["reports"])).exit_code == ExitCode.COMPLETE


async def test_files_of_another_dataset_are_named_as_such(
    pull: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = OutcomeLog._emit_outcome

    def count(outcomes: OutcomeLog, outcome: Outcome) -> None:
        if not outcome.path.endswith(".txt"):
            original(outcomes, outcome)

    monkeypatch.setattr(OutcomeLog, "_emit_outcome", count)
    with pytest.raises(CxrsyncError, match=f"{DICOM}/{DICOM_VERSION}/files/p") as raised:
        await pull(jpg=True, split=["test"], no_tables=True, with_reports=True)
    assert raised.value.exit_code == ExitCode.UNEXPECTED


@pytest.mark.parametrize(
    "options",
    [
        {"jpg": True},
        {"jpg": True, "split": ["test"], "view": ["PA"], "with_reports": True},
        {"dicom": True, "split": ["test"]},
        {"dicom": True, "split": ["test"], "no_tables": True},
        {"dicom": True, "only": ["reports", "archives"]},
        {"dicom": True, "reports": "zip"},
        {"dicom": True, "study": ["s50414267"]},
    ],
    ids=str,
)
async def test_the_books_of_every_way_balance(pull: Callable[..., Any], options: Any) -> None:
    for again in (False, True):
        done = await pull(**options)
        assert done.exit_code == ExitCode.COMPLETE
        parts = (done.present, done.fetched, done.adopted)
        assert done.selected.files == sum(part.files for part in parts)
        assert (done.selected.files == done.present.files) == again
