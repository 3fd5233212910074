"""Every fault, met by one connection and by several: what becomes of the file, at what cost.

The table that this prints at the end of the tests is the answer to: what is lost?
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from e2e.stage import fingerprint

from cxrsync.api import run_job
from cxrsync.config.job import HttpPath
from cxrsync.config.parse_job import make_job
from cxrsync.demo.data.images import noise
from cxrsync.demo.data.tree import MARKER
from cxrsync.demo.server import faults
from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.faults import Fault, Rule, Script, script
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import ExitCode
from cxrsync.events import Event, Received, Retrying, RunSummary
from cxrsync.transfer import retry_policy, segments, transfer

SLUG, VERSION, NAME = "faulty", "1.0", "data.bin"
AT = 70_000
SIZE = {1: 200_000, 4: 1 << 20}
DATA = {connections: noise(f"{connections}", size) for connections, size in SIZE.items()}
NOTHING, ALL = 0, 1  # what may have to be fetched twice
SOON = ("Retry-After", "0")


@dataclass
class Stage:
    """A server with one file, the folder to pull it to, and what a pull of it told."""

    root: Path
    dest: Path
    connections: int
    path: HttpPath
    server: MiniPhysioNet
    events: list[Event]

    @property
    def data(self) -> bytes:
        return DATA[self.connections]

    @property
    def source(self) -> Path:
        return self.root / SLUG / VERSION / NAME

    async def pull(self, **options: Any) -> RunSummary:
        job = make_job({
            "dataset": SLUG, "dataset_version": VERSION, "dest": self.dest,
            "base_url": self.server.base_url, "ca_file": self.server.ca_file,
            "connections": self.connections, "retries": 4, "stall_timeout": 2,
            "http": self.path.value, **options,
        })  # fmt: skip
        return await run_job(job, self.events.append)

    @property
    def retries(self) -> int:
        return sum(isinstance(event, Retrying) for event in self.events)

    @property
    def lost(self) -> int:
        """Bytes that arrived and had to be given up again."""
        return -sum(e.count for e in self.events if isinstance(e, Received) and e.count < 0)


# One connection by aiohttp shows nothing that several do not.
@pytest.fixture(
    params=[(1, HttpPath.LEAN), (4, HttpPath.LEAN), (4, HttpPath.AIOHTTP)],
    ids=["single", "segmented", "by aiohttp"],
)
def stage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    for module in (segments, transfer):
        monkeypatch.setattr(module, "MIN_SHARE", 64 << 10)
    monkeypatch.setattr(transfer, "HANDOVER_BYTES", 16 << 10)
    monkeypatch.setattr(retry_policy, "_FIRST_BACKOFF", 0.02)
    monkeypatch.setattr(retry_policy, "_MAX_RETRY_AFTER", 0.1)
    monkeypatch.setenv("PHYSIONET_USERNAME", "demo")
    monkeypatch.setenv("PHYSIONET_PASSWORD", "demo-password")
    connections, path = request.param
    root = tmp_path / "files"
    (root / SLUG / VERSION).mkdir(parents=True)
    (root / MARKER).touch()
    (root / SLUG / VERSION / NAME).write_bytes(DATA[connections])
    digest = hashlib.sha256(DATA[connections]).hexdigest()
    (root / SLUG / VERSION / "SHA256SUMS.txt").write_text(f"{digest} {NAME}\n")
    with MiniPhysioNet(root, ServerBehaviour(rate=2 << 20, password_check_seconds=0.001)) as server:
        yield Stage(root, tmp_path / "mirror", connections, path, server, [])


@dataclass(frozen=True)
class Order:
    """A fault for the first request that each connection makes again, or for all from then on.

    By then each has been cut off once, so that there is something to lose.
    """

    fault: Fault
    for_ever: bool

    def script(self, connections: int) -> Script:
        cut_off, then = range(1, connections + 1), range(connections + 1, 1 << 30)
        return script(
            Rule(f"*/{NAME}", faults.closes(AT), cut_off),
            Rule(f"*/{NAME}", self.fault, then if self.for_ever else then[:1]),
        )


def once(fault: Fault) -> Order:
    return Order(fault, for_ever=False)


def always(fault: Fault) -> Order:
    return Order(fault, for_ever=True)


DONE, FAILED, WRONG = ExitCode.COMPLETE, ExitCode.FILES_FAILED, ExitCode.CONTRADICTED
IN_THE_PAST = ("Retry-After", formatdate(1e9, usegmt=True))
MANY = HTTPStatus.TOO_MANY_REQUESTS
BUSY = HTTPStatus.SERVICE_UNAVAILABLE

FAULTS: dict[str, tuple[Order, ExitCode, int]] = {
    # the line
    "closed": (once(faults.closes(9_000)), DONE, NOTHING),
    "closed at once, after the head": (once(faults.closes(0)), DONE, NOTHING),
    "closed every 20 kB": (always(faults.closes(20_000)), DONE, NOTHING),
    "reset": (once(faults.resets(9_000)), DONE, NOTHING),
    "silent": (once(faults.stalls(9_000)), DONE, NOTHING),
    "silent from the head on": (once(faults.stalls(0)), DONE, NOTHING),
    "dripping": (once(faults.drips(9_000, 300_000)), DONE, NOTHING),
    # sizes
    "no length": (once(faults.unsized()), DONE, NOTHING),
    "no length, cut short": (once(faults.unsized(9_000)), DONE, ALL),
    "length too long": (once(faults.misjudged(9_000)), DONE, NOTHING),
    "length too short": (once(faults.misjudged(-9_000)), DONE, NOTHING),
    # another answer than was asked for
    "200 for a range": (once(faults.whole), DONE, ALL),
    "200 for a range, always": (always(faults.whole), DONE, ALL),
    "another range": (once(faults.shifted(7)), DONE, NOTHING),
    "another range, always": (always(faults.shifted(7)), FAILED, NOTHING),
    "another total": (once(faults.retotalled(7)), DONE, ALL),
    "compressed": (once(faults.gzipped), DONE, NOTHING),
    "compressed, always": (always(faults.gzipped), FAILED, NOTHING),
    "another tag each time": (always(faults.retagged()), DONE, ALL),
    "416 of a larger total": (once(faults.unsatisfied("9" * 12)), DONE, ALL),
    "416 of a smaller total": (once(faults.unsatisfied("9000")), DONE, ALL),
    "416 of nothing": (once(faults.unsatisfied("0")), DONE, ALL),
    "416 without a total": (once(faults.unsatisfied(None)), DONE, ALL),
    "416 always": (always(faults.unsatisfied(None)), FAILED, ALL),
    # other bytes
    "a byte flipped once": (always(faults.flips(100_000, times=1)), DONE, ALL),
    "a byte flipped always": (always(faults.flips(100_000)), WRONG, ALL),
    # not now
    "408": (once(faults.says(HTTPStatus.REQUEST_TIMEOUT)), DONE, NOTHING),
    "429": (once(faults.says(MANY, SOON)), DONE, NOTHING),
    "429 with a date": (
        once(faults.says(MANY, ("Retry-After", formatdate(None, usegmt=True)))), DONE, NOTHING,
    ),
    "429 with an absurd wish": (
        once(faults.says(MANY, ("Retry-After", "9" * 30))), DONE, NOTHING,
    ),
    "503": (once(faults.says(BUSY)), DONE, NOTHING),
    "503 with a date that is past": (once(faults.says(BUSY, IN_THE_PAST)), DONE, NOTHING),
    "503 with a wish that is none": (
        once(faults.says(BUSY, ("Retry-After", "soon"))), DONE, NOTHING,
    ),
    "503 always": (always(faults.says(BUSY)), FAILED, NOTHING),
    "500": (once(faults.says(HTTPStatus.INTERNAL_SERVER_ERROR)), DONE, NOTHING),
    "502": (once(faults.says(HTTPStatus.BAD_GATEWAY)), DONE, NOTHING),
    "504": (once(faults.says(HTTPStatus.GATEWAY_TIMEOUT)), DONE, NOTHING),
    # pages
    "the sign-in page with 200": (once(faults.signs_in), DONE, NOTHING),
    "the sign-in page, always": (always(faults.signs_in), FAILED, NOTHING),
    "pointed to the same server": (once(faults.redirects("/login/")), DONE, NOTHING),
    "pointed elsewhere": (once(faults.redirects("https://localhost:9/x")), DONE, NOTHING),
    "pointed elsewhere, always": (always(faults.redirects("//else.where/")), FAILED, NOTHING),
    "404": (once(faults.says(HTTPStatus.NOT_FOUND)), FAILED, NOTHING),
    "403 for this file": (always(faults.says(HTTPStatus.FORBIDDEN)), FAILED, NOTHING),
    "501": (always(faults.says(HTTPStatus.NOT_IMPLEMENTED)), FAILED, NOTHING),
}  # fmt: skip


# ── what is not the answer's fault ─────────────────────────────────────────────────────────────


def swapped(stage: Stage) -> None:
    """The published file replaces another of its size, while that is sent."""
    new = stage.source.with_name("new")
    stage.source.rename(new)
    stage.source.write_bytes(noise("another", len(stage.data)))
    os.utime(stage.source, (1e9, 1e9))
    rule = Rule(f"*/{NAME}", faults.closes(AT, do=lambda: os.replace(new, stage.source)))
    stage.server.set_behaviour(faults=script(rule))


def forgotten(stage: Stage) -> None:
    stage.server.set_behaviour(
        faults=script(Rule(f"*/{NAME}", faults.closes(AT, do=stage.server.forget_sessions)))
    )


def refused(stage: Stage) -> None:
    stage.server.set_behaviour(
        max_connections=2, faults=once(faults.closes(9_000)).script(stage.connections)
    )


def cut_off(stage: Stage) -> None:
    rules = once(faults.closes(9_000)).script(stage.connections)
    stage.server.set_behaviour(cuts_handshake=lambda number: number in {2, 3, 5}, faults=rules)


ACCIDENTS: dict[str, tuple[Callable[[Stage], None], int]] = {
    "swapped in the middle": (swapped, ALL),
    "the session forgotten": (forgotten, NOTHING),
    "connections refused above two": (refused, NOTHING),
    "TLS handshakes cut": (cut_off, NOTHING),
}


def order(name: str) -> Callable[[Stage], None]:
    ordered = FAULTS[name][0]
    return lambda stage: stage.server.set_behaviour(faults=ordered.script(stage.connections))


CASES = {name: (order(name), code, losable) for name, (_, code, losable) in FAULTS.items()} | {
    name: (arrange, DONE, losable) for name, (arrange, losable) in ACCIDENTS.items()
}


@pytest.mark.parametrize("name", CASES)
async def test_nothing_is_lost(
    stage: Stage, name: str, record_property: Callable[[str, object], None]
) -> None:
    arrange, expected, losable = CASES[name]
    arrange(stage)

    summary = await stage.pull()

    way = "segmented" if stage.connections > 1 else "single"
    if stage.path is HttpPath.AIOHTTP:
        way = "by aiohttp"
    outcome = expected.name.lower()
    record_property("fault", (name, way, outcome, stage.retries, stage.lost))
    assert summary.exit_code == expected, summary
    check_tree(stage, complete=expected is DONE)
    assert stage.lost <= {NOTHING: 0, ALL: 3 * len(stage.data)}[losable]
    if name in FAULTS:  # it was met
        assert (
            len([1 for each in stage.server.request_log.log if NAME in each.path])
            > stage.connections
        )
    # One to sign in; one more where the session was forgotten.
    assert stage.server.request_log.password_checks == 1 + (arrange is forgotten)

    # What is here is gone on with once the server has come to its senses.
    stage.server.set_behaviour(faults=None)
    if expected is WRONG:  # not asked for again before the publisher has touched it
        os.utime(stage.source, (2e9, 2e9))
    assert (await stage.pull()).exit_code is DONE
    check_tree(stage, complete=True)


def check_tree(stage: Stage, *, complete: bool) -> None:
    """Nothing wrong under a final name, and everything there if it is said to be."""
    here = stage.dest / SLUG / VERSION / NAME
    assert here.exists() == complete
    if complete:
        assert fingerprint(here.parent) == fingerprint(stage.source.parent)
        assert not list(here.parent.glob(".cxrsync/*/partial/*"))
