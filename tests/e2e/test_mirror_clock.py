"""A mirror by a simulated clock: whatever it records or decides by the date goes by that clock."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.stage import JOB_DEFAULTS, JPG, VERSION, Machine

from cxrsync.cancellation import CancelToken
from cxrsync.clock import Clock
from cxrsync.config.job_file import read_job_file
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import ExitCode
from cxrsync.mirror.mirror import mirror
from cxrsync.mirror.report import report_of
from cxrsync.mirror.result import MirrorResult
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree

JOBS = (
    JOB_DEFAULTS
    + """  jpg: true
jobs:
  - shard: p10
    trash_keep: 10d
    window: "{window}"
"""
)
BEGIN = 1_800_054_000.0  # 15 January 2027, 23:00 UTC
HOUR = time.localtime(BEGIN).tm_hour
WINDOW = f"{HOUR:02}:00-{(HOUR + 8) % 24:02}:00"


class Nights:
    """A clock that goes on from where it was set to."""

    def __init__(self) -> None:
        self.set(BEGIN)

    def set(self, now: float) -> None:
        self._offset = now - time.time()

    def __call__(self) -> float:
        return time.time() + self._offset


@pytest.fixture
def machine(
    shared_server: MiniPhysioNet,
    make_machine: Callable[[MiniPhysioNet], Machine],
    monkeypatch: pytest.MonkeyPatch,
) -> Machine:
    machine = make_machine(shared_server)
    for name in ("PHYSIONET_USERNAME", "PHYSIONET_PASSWORD"):
        monkeypatch.setenv(name, str(machine.variables()[name]))
    return machine


@pytest.fixture
def file(machine: Machine) -> Path:
    path = machine.home / "jobs.yaml"
    path.write_text(JOBS.replace("{window}", WINDOW))
    return path


def night(machine: Machine, file: Path, now: Clock) -> MirrorResult:
    jobs = read_job_file(file, machine.variables()).jobs
    return asyncio.run(mirror(jobs, lambda _job: lambda _event: None, CancelToken(), now))


def proofs(root: Path) -> list[float]:
    found = []
    for name in ("p10", "root"):
        state = State.read(Tree(root).partition(name))
        assert state is not None
        with state:
            found += [record.verified_at for record in state.records()]
    return found


def test_a_night_of_next_year(machine: Machine, file: Path) -> None:
    assert machine.run("mirror", "--init", str(file)).code == 0
    root = machine.dest / JPG / VERSION
    trash = root / ".cxrsync/trash"
    (trash / "20270104T230000Z").mkdir(parents=True)
    (trash / "20270107T230000Z").mkdir()
    runs = root / ".cxrsync/runs"
    runs.mkdir()
    (runs / "20270115T010000Z.json").write_text("{}")  # two runs must agree on what is old
    clock = Nights()

    result = night(machine, file, clock)

    assert result.code is ExitCode.COMPLETE
    assert all(BEGIN <= each < BEGIN + 3600 for each in proofs(root))
    _earlier, log = sorted(runs.iterdir())
    assert log.name.startswith("20270115T23")
    assert [each.name for each in trash.iterdir()] == ["20270107T230000Z"]
    jobs = {each.name: each for each in read_job_file(file, machine.variables()).jobs}
    [report] = report_of(result, jobs, 1.0, clock).jobs
    assert BEGIN <= report.ended_at < BEGIN + 3600
    assert report.oldest_proof == min(proofs(root))

    clock.set(BEGIN + 12 * 3600)  # it is day: nothing is fetched
    before = proofs(root)
    assert night(machine, file, clock).code is ExitCode.LIMIT
    assert proofs(root) == before
