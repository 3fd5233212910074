"""``scrub: 30d`` in a job file: each night proves a share anew, and rotten files are replaced."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from another_process import another_process
from e2e.stage import DICOM, JOB_DEFAULTS, JPG, VERSION, Ended, Machine, wait_until
from e2e.test_scrub import make_older, records

from cxrsync.cancellation import CancelToken
from cxrsync.config.job_file import read_job_file
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import ExitCode
from cxrsync.events import Checked, Event, RunSummary
from cxrsync.mirror import mirror as mirror_module
from cxrsync.mirror import scrub as mirror_scrub
from cxrsync.mirror.metrics_file import parse_metrics
from cxrsync.mirror.mirror import mirror
from cxrsync.mirror.result import MirrorResult
from cxrsync.mirror.trees import RunAtWork
from cxrsync.operations.run_log import active_runs, scrub_of
from cxrsync.plan import refetch
from cxrsync.storage.lock import Lock
from cxrsync.storage.tree import Tree
from cxrsync.sync.scrub import Scrubber

JOBS = (
    JOB_DEFAULTS
    + """  scrub: 30d
jobs:
  - name: jpg
    jpg: true
    shard: p10-p11
log: mirror.log
metrics_file: cxrsync.prom
"""
)
DICOM_JOB = "jobs:\n  - name: dicom\n    dicom: true\n    metadata_only: true\n"


@pytest.fixture
def machine(
    shared_server: MiniPhysioNet, make_machine: Callable[[MiniPhysioNet], Machine]
) -> Machine:
    return make_machine(shared_server)


@pytest.fixture
def file(machine: Machine) -> Path:
    file = machine.home / "jobs.yaml"
    file.write_text(JOBS)
    assert machine.run("mirror", "--init", str(file)).code == 0
    assert machine.run("mirror", str(file)) == Ended(0, "", "")
    return file


@pytest.fixture
def root(machine: Machine, file: Path) -> Path:
    assert file.exists()
    return machine.dest / JPG / VERSION


def last_run(root: Path) -> dict[str, Any]:
    newest = max((root / ".cxrsync/runs").iterdir())
    found: dict[str, Any] = json.loads(newest.read_text())
    return found


def rot(root: Path, number: int = 1, age: float = 28.0) -> dict[Path, bytes]:
    """Change bytes of so many images and nothing else, and let their proofs be old."""
    paths = sorted(path for path in records(root) if path.endswith(".jpg"))[:number]
    make_older(root, dict.fromkeys(paths, age))
    right = {root / path: (root / path).read_bytes() for path in paths}
    for path, content in right.items():
        found = path.stat()
        path.write_bytes(b"rot" + content[3:])
        os.utime(path, ns=(found.st_mtime_ns, found.st_mtime_ns))
    return right


def trashed(root: Path) -> list[Path]:
    return [path for path in root.glob(".cxrsync/trash/*/**/*") if path.is_file()]


def log(machine: Machine) -> str:
    return (machine.home / "mirror.log").read_text()


def direct(
    machine: Machine, file: Path, tell: Callable[[Event], None], cancel: CancelToken | None = None
) -> MirrorResult:
    jobs = read_job_file(file, machine.variables()).jobs
    return asyncio.run(mirror(jobs, lambda _job: tell, cancel or CancelToken()))


@pytest.fixture
def credentials(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PHYSIONET_USERNAME", "PHYSIONET_PASSWORD"):
        monkeypatch.setenv(name, str(machine.variables()[name]))


def test_a_rotten_file_is_fetched_again_in_the_same_night(
    machine: Machine, file: Path, root: Path
) -> None:
    runs = len(list((root / ".cxrsync/runs").iterdir()))
    right = rot(root)

    assert machine.run("mirror", str(file)) == Ended(0, "", "")

    assert all(path.read_bytes() == content for path, content in right.items())
    [kept] = trashed(root)
    assert kept.read_bytes()[:3] == b"rot"
    assert len(list((root / ".cxrsync/runs").iterdir())) == runs + 1
    run = last_run(root)
    assert run["files"]["fetched"] == 1
    assert run["scrub"]["files"]["bad"] == run["scrub"]["files"]["due"] == 1
    assert run["scrub"]["oldest_age"] > 27 * 86_400
    assert "jpg: note: scrub: 1 of " in log(machine)
    assert "jpg: complete and verified; 1 file had rotted" not in log(machine)  # all is well
    [metrics] = parse_metrics((machine.home / "cxrsync.prom").read_text()).values()
    assert metrics.values["rotten_files"] == 1
    assert metrics.values["oldest_proof"] > time.time() - 3600  # it was renewed
    assert machine.run("mirror", str(file)).code == 0
    assert last_run(root)["scrub"]["files"]["due"] == 0


def test_the_share_is_proven_and_counted(machine: Machine, file: Path, root: Path) -> None:
    old = sorted(path for path in records(root) if path.startswith("files/"))[::7]
    make_older(root, dict.fromkeys(old, 28.0))

    assert machine.run("mirror", str(file)) == Ended(0, "", "")

    renewed = [path for path in old if records(root)[path].verified_at > time.time() - 99]
    assert renewed
    run = last_run(root)
    size = sum(records(root)[path].size for path in renewed)
    assert run["scrub"]["files"]["good"] == len(renewed)
    assert run["scrub"]["bytes"]["good"] == size
    assert not run["scrub"]["stopped"]
    [metrics] = parse_metrics((machine.home / "cxrsync.prom").read_text()).values()
    assert metrics.values["scrubbed_bytes"] == size


def test_the_server_is_away(machine: Machine, file: Path, root: Path) -> None:
    """A scrub needs no network. What rotted has no proof any more, and is fetched later."""
    right = rot(root)
    away = file.read_text().replace("${CXRSYNC_BASE_URL}", "http://127.0.0.1:9/files")
    file.with_name("away.yaml").write_text(away.replace("  scrub", "  give_up_after: 1\n  scrub"))

    done = machine.run("mirror", str(file.with_name("away.yaml")))

    assert done.code == ExitCode.UNREACHABLE
    assert len(trashed(root)) == 1
    [path] = right
    assert str(path.relative_to(root)) not in records(root)
    assert last_run(root)["exit_code"] == ExitCode.UNREACHABLE
    assert last_run(root)["scrub"]["files"]["bad"] == 1
    assert machine.run("mirror", str(file)).code == 0
    assert path.read_bytes() == right[path]


def test_a_refused_password_does_not_stop_a_scrub(machine: Machine, file: Path, root: Path) -> None:
    """The other job was refused first: this one is not even begun."""
    file.write_text(JOBS.replace("jobs:\n", DICOM_JOB))
    assert machine.run("mirror", "--init", str(file)).code == 0
    rot(root)
    machine.environment["PHYSIONET_PASSWORD"] = "wrong"
    runs = len(list((root / ".cxrsync/runs").iterdir()))

    assert machine.run("mirror", str(file)).code == ExitCode.CREDENTIALS

    assert len(trashed(root)) == 1
    assert len(list((root / ".cxrsync/runs").iterdir())) == runs + 1
    run = last_run(root)
    assert (run["exit_code"], run["scrub"]["files"]["bad"]) == (3, 1)
    assert "not begun" in run["error"]
    assert not (machine.dest / DICOM / VERSION / "SHA256SUMS.txt").exists()


def test_a_scrub_at_work_is_seen(
    machine: Machine, file: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second mirror would leave the tree alone; status says what goes on."""
    rot(root)
    seen: list[dict[str, Any]] = []
    real = Scrubber._hash

    def hash_when_seen(scrubber: Scrubber, item: Any) -> Any:
        wait_until(lambda: active_runs(Tree(root)) != [])
        seen.extend(active_runs(Tree(root)))
        return real(scrubber, item)

    monkeypatch.setattr(Scrubber, "_hash", hash_when_seen)
    assert machine.run("mirror", str(file)).code == 0
    [run] = seen
    assert scrub_of(run) == (0, 1)
    assert active_runs(Tree(root)) == []
    (root / ".cxrsync/progress" / f"{run['run']}.json").write_text(
        json.dumps(run | another_process())
    )
    done = machine.run("status", "--jpg")
    assert f"a scrub is running (process {os.getppid()} on " in done.out
    assert ": 0 of 1 due files are hashed" in done.out
    assert machine.run("mirror", str(file)) == Ended(ExitCode.LIMIT, "", "")


def test_a_window_that_is_closed(machine: Machine, file: Path, root: Path) -> None:
    rot(root)
    hour = (time.localtime().tm_hour + 12) % 24
    file.write_text(
        file.read_text().replace("  scrub", f'  window: "{hour:02}:00-{hour:02}:30"\n  scrub')
    )
    before = last_run(root)
    assert machine.run("mirror", str(file)) == Ended(ExitCode.LIMIT, "", "")
    assert not trashed(root)
    assert last_run(root) == before


def test_a_limit_on_files_concerns_the_pull_only(machine: Machine, file: Path, root: Path) -> None:
    right = rot(root, 2)
    file.write_text(file.read_text().replace("  scrub", "  max_files: 1\n  scrub"))
    assert machine.run("mirror", str(file)).code == ExitCode.LIMIT
    assert len(trashed(root)) == 2
    assert sum(path.exists() for path in right) == 1
    assert machine.run("mirror", str(file)).code == 0
    assert all(path.read_bytes() == content for path, content in right.items())


def test_too_many_rotten_files_are_left_as_they_are(
    machine: Machine, file: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refetch, "MIN_REFETCHED", 0)
    rot(root, 3, age=40.0)
    before = records(root)
    done = machine.run("mirror", str(file))
    assert done.code == ExitCode.REFUSED
    assert "3 of " in done.err
    assert "have lost their right bytes (max_refetch 1% allows " in done.err
    assert not trashed(root)
    assert records(root) == before


def test_another_run_holds_a_partition(machine: Machine, file: Path, root: Path) -> None:
    """It holds only the lock: no run of this version is at work. The pull finds it, too."""
    rot(root)
    lock = Lock(root / ".cxrsync/p10", describe="shard p10", on_loss=lambda _lost: None)
    assert lock.try_acquire() is None
    try:
        assert machine.run("mirror", str(file)).code == ExitCode.LOCKED
    finally:
        lock.release()
    assert not trashed(root)
    assert machine.run("mirror", str(file)).code == 0
    assert len(trashed(root)) == 1


def test_a_run_that_begins_meanwhile_is_no_failed_run_in_the_logs(
    machine: Machine, file: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run is seen only after the lock was found taken. It does the work: all is well."""
    lock = Lock(root / ".cxrsync/p10", describe="shard p10", on_loss=lambda _lost: None)
    assert lock.try_acquire() is None
    before = set((root / ".cxrsync/runs").iterdir())
    found = iter([None, None])  # at the begin, and after the scrub
    at_work = RunAtWork("another run works on the tree", 60.0)
    monkeypatch.setattr(mirror_module, "run_at_work", lambda *_: next(found, at_work))
    try:
        assert machine.run("mirror", str(file)) == Ended(ExitCode.LIMIT, "", "")
    finally:
        lock.release()
    [name] = {*(root / ".cxrsync/runs").iterdir()} - before
    told = json.loads(name.read_text())
    assert (told["exit_code"], told["limited"], told["error"]) == (ExitCode.LIMIT, True, "")


@pytest.mark.usefixtures("credentials")
def test_a_signal_ends_it_and_the_next_night_goes_on(
    machine: Machine, file: Path, root: Path
) -> None:
    right = rot(root)
    cancel = CancelToken()

    def tell(event: Event) -> None:
        if isinstance(event, Checked):
            cancel.request(ExitCode.TERMINATED)

    assert direct(machine, file, tell, cancel).code is ExitCode.TERMINATED
    assert not trashed(root)
    [path] = right
    assert path.read_bytes() != right[path]
    assert direct(machine, file, lambda _event: None).code is ExitCode.COMPLETE
    assert path.read_bytes() == right[path]


@pytest.mark.usefixtures("credentials")
def test_scrubs_take_half_of_the_time_at_most_and_go_on_after_the_pull(
    machine: Machine,
    file: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[float | None] = []
    scrub_tree = mirror_scrub.scrub_tree

    async def stopped_once(*given: Any) -> None:
        night, job, *others = given
        limits.append(job.limits.max_duration)
        if len(limits) == 1:
            night.is_open = True
            return
        await scrub_tree(night, job, *others)

    monkeypatch.setattr(mirror_scrub, "scrub_tree", stopped_once)
    text = file.read_text().replace("  scrub", "  max_duration: 1000\n  scrub")
    file.write_text(text)
    right = rot(root)

    result = direct(machine, file, lambda _event: None)

    assert result.code is ExitCode.COMPLETE
    assert limits[0] == 500
    assert limits[1] is not None
    assert 900 < limits[1] < 1000
    # What it found then was fetched by a second pull in the same night.
    assert all(path.read_bytes() == content for path, content in right.items())


@pytest.mark.usefixtures("credentials")
def test_a_pull_of_months_is_ended_each_day_for_the_scrub(
    machine: Machine,
    file: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    days = 0.0
    real = mirror_module.pull

    async def pull_for_a_day(job: Any, *others: Any) -> RunSummary:
        nonlocal days
        assert job.limits.max_duration == 86_400
        limited = mirror_module.within(job, 0.0) if not days else job
        days += 1
        return await real(limited, *others)

    monkeypatch.setattr(mirror_module, "pull", pull_for_a_day)
    monkeypatch.setattr(mirror_module, "monotonic", lambda: days * 86_400)
    rot(root)

    result = direct(machine, file, lambda _event: None)

    assert days == 2
    assert result.code is ExitCode.COMPLETE
    [job] = result.jobs
    assert job.scrub is not None
    assert job.scrub.bad == 1
    assert len(trashed(root)) == 1


def test_what_belongs_to_no_scrub(machine: Machine, file: Path) -> None:
    for wrong, said in (
        ("30", "is not a duration of at least"),
        ("12h", "is not a duration of at least"),
        ("monthly", "is not a duration"),
    ):
        file.write_text(JOBS.replace("30d", wrong))
        done = machine.run("mirror", str(file))
        assert done.code == ExitCode.USAGE
        assert said in done.err


def test_what_a_group_reads_stays_readable(machine: Machine, file: Path, root: Path) -> None:
    file.write_text(
        JOBS.replace(
            "  scrub",
            f'  permissions: {{files: "0440", folders: "0750", group: "{os.getegid()}"}}\n  scrub',
        )
    )
    assert machine.run("mirror", str(file)).code == 0
    rot(root)
    assert machine.run("mirror", str(file)) == Ended(0, "", "")
    assert last_run(root)["scrub"]["files"]["bad"] == 1
    for path in (*root.glob(".cxrsync/runs/*"), *root.glob(".cxrsync/*/state.sqlite3")):
        assert path.stat().st_mode & 0o077 == 0o040, path
    for name in ("*.jpg", "*.txt"):
        assert all(path.stat().st_mode & 0o777 == 0o440 for path in root.glob(f"files/**/{name}"))


def test_the_check_says_what_is_hashed(machine: Machine, file: Path) -> None:
    for period, said in (
        ("30d", "30 d; each night about 1/26"),
        ("1d", "1 d; each night about all"),
    ):
        file.write_text(JOBS.replace("30d", period))
        done = machine.run("mirror", "--check", str(file))
        assert f"scrub: every file within {said}" in done.out


def test_the_logs_of_runs_are_kept_as_asked(machine: Machine, file: Path, root: Path) -> None:
    file.write_text(JOBS.replace("  scrub", "  keep_runs: 2\n  scrub"))
    for _ in range(3):
        assert machine.run("mirror", str(file)).code == 0
    assert len(list((root / ".cxrsync/runs").iterdir())) == 2
