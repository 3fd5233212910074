"""The progress of a command, from its events: what it does, how much is done, and the time left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from cxrsync.events import (
    Checked,
    ConcurrencyChanged,
    Event,
    FileDone,
    Notice,
    Planned,
    Received,
    Retrying,
    Started,
    Waiting,
)
from cxrsync.model import MANIFEST_NAME, Outcome, Result
from cxrsync.progress_events import (
    Activity,
    Advanced,
    Expected,
    Hashed,
    Phase,
    ProgressEvent,
    Replanned,
    Resumed,
    Sized,
    Suspended,
    Unpacking,
    WaitingEnded,
)
from cxrsync.ui.remaining_bytes import Bytes, RemainingBytes
from cxrsync.ui.transfer_rate import TransferRate
from cxrsync.ui.transfer_time import TransferTime

_TRANSFERRING = {Activity.MANIFEST, Activity.FETCHING}
# Files of an archive that a disk takes per second, until it is known of this one.
_USUAL_UNPACKED = 3000.0
_HASHING = {Activity.FETCHING, Activity.VERIFYING}
# Everything waits for the server (which has no path) and for the manifest; other files do not.
ALL_WAIT = {"", MANIFEST_NAME}


def is_problem(outcome: Outcome) -> bool:
    """Whether an outcome is a failure or a mismatch."""
    return outcome.result in {Result.FAILED, Result.CONTRADICTED, Result.ACKNOWLEDGED}


@dataclass(frozen=True, slots=True)
class Seconds:
    """The time left, and the range in which it probably is. Seconds."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True, slots=True)
class ProgressValues:
    """The progress at one moment.

    ``elapsed``: seconds since the phase began. ``files_done`` of ``files``: with those that were
    here before. ``bytes_done``: of these files, with what has arrived of others; ``bytes_all``: of
    the whole job, None if it cannot be estimated. ``rate``: bytes per second of the last seconds of
    transfer. ``left``: None while it is not known. ``manifest_all``: None if only a part of the
    manifest is fetched, or its size is not known yet. ``waits``: what everything waits for; empty
    if it does not. ``waited``: for how many seconds so far. ``advanced``: the part of the phase
    that is done, where it is told.
    """

    activity: Activity
    what: str
    elapsed: float
    files_done: int
    files: int
    bytes_done: int
    bytes_all: Bytes | None
    rate: float
    left: Seconds | None
    manifest_done: int
    manifest_all: int | None
    failed: int
    connections: int
    resumed: int
    retries: int
    waits: str = ""
    waited: float = 0.0
    advanced: float | None = None

    @property
    def share(self) -> float | None:
        """The part that is done, from 0 to 1: of the manifest while it is fetched, else of the
        bytes, or of the files where no size is known. 1 only at the end."""
        if self.activity is Activity.MANIFEST:
            return self.manifest_done / self.manifest_all if self.manifest_all else None
        if self.advanced is not None:
            return self.advanced
        if not self.files or self.activity not in _HASHING:
            return None
        if self.files_done >= self.files:
            return 1.0
        if self.bytes_all is not None and self.bytes_all.likely > 0:
            share = self.bytes_done / self.bytes_all.likely
        else:
            share = self.files_done / self.files
        return max(0.0, min(share, 0.99))


class Progress:
    """Counts the events of a command. Times are in seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._phase = Phase(Activity.STARTING)
        self._phase_began = self._clock()
        self._transferred = TransferTime(self._clock)
        self._hashed = TransferRate(self._clock)
        self._unpacked = TransferRate(self._clock)
        self._remaining = RemainingBytes()
        self._files = 0
        self._present = 0
        self._settled_bytes = 0
        self._to_hash = 0
        self._is_sized = True
        self._manifest_done = 0
        self._manifest_all: int | None = None
        self._connections = 0
        self._resumed = 0
        self._retries = 0
        self._waits = ""
        self._waits_since = 0.0
        self._advanced: float | None = None
        self.is_suspended = False
        self.asks = False
        self.received = 0
        self.todo = 0
        self.done = 0
        self.failed = 0

    def listen(self, event: Event) -> None:
        """Count an event."""
        self._note_wait(event)
        if isinstance(event, Received):
            self._receive(event)
        elif isinstance(event, FileDone):
            self._settle(event.outcome)
        elif isinstance(event, Checked):
            self._check(event)
        elif isinstance(event, Planned):
            self.todo += event.to_fetch + event.to_hash + event.blocked + event.to_copy
            self._files += event.selected
            self._present += event.present + event.derived
            self._settled_bytes += event.present_bytes
            self._is_sized = not event.to_fetch  # else its sizes follow
        elif isinstance(event, Retrying):
            self._retries += 1
        elif isinstance(event, Started):
            if self._files:  # a mirror pulls the tables of each job first, and then the job
                self._begin()
            self._connections = event.connections
        elif isinstance(event, ConcurrencyChanged):
            self._connections = event.count
        elif isinstance(event, ProgressEvent):
            self._listen_to_phases(event)

    def _note_wait(self, event: Event) -> None:
        """Any event but news of a wait shows that it is over."""
        if isinstance(event, Waiting):
            self._waits, self._waits_since = f": {event.what}", self._clock() - event.waited
        elif isinstance(event, Retrying):
            if event.path in ALL_WAIT:
                what = event.path or "the server"
                self._waits, self._waits_since = f" for {what}: {event.reason}", self._clock()
        elif not isinstance(event, Notice | ConcurrencyChanged):
            self._waits = ""

    def _listen_to_phases(self, event: ProgressEvent) -> None:
        if isinstance(event, Phase):
            self._phase, self._phase_began = event, self._clock()
            self._advanced = None
            if event.activity is Activity.MANIFEST:
                self._manifest_done, self._manifest_all = 0, None
        elif isinstance(event, Suspended | Resumed):
            self.is_suspended = isinstance(event, Suspended)
            self.asks = isinstance(event, Suspended) and event.asks
        elif isinstance(event, Sized):
            if event.is_manifest:
                self._manifest_done, self._manifest_all = event.have, event.total
            elif self._remaining.begin(event):
                self._transferred.answer()
        elif isinstance(event, Unpacking):
            self._remaining.unpack(event)
        elif isinstance(event, WaitingEnded):
            return
        elif isinstance(event, Advanced):
            self._advanced = event.share
        elif isinstance(event, Replanned):
            self.todo += event.to_fetch + event.to_hash - event.announced
            self._present += event.present
            self._settled_bytes += event.present_bytes
        elif isinstance(event, Expected):
            self._is_sized = True
            self._to_hash += event.to_hash
            self._remaining.expect(event)
        else:
            self._hash(event)
        self._run_clocks()

    def _run_clocks(self) -> None:
        activity = None if self.is_suspended else self._phase.activity
        _run_or_stop(self._transferred, runs=activity in _TRANSFERRING)
        _run_or_stop(self._hashed, runs=activity in _HASHING)
        _run_or_stop(self._unpacked, runs=activity is Activity.UNPACKING)

    def _receive(self, event: Received) -> None:
        self._transferred.receive(event.count)
        if event.is_manifest:
            self._manifest_done += event.count
        else:
            self.received += event.count
            self._remaining.receive(event.path, event.count)

    def _settle(self, outcome: Outcome) -> None:
        self.done += 1
        self._resumed += bool(outcome.resumed)
        if is_problem(outcome):
            self.failed += 1
            self._remaining.end(outcome.path, None)
            return
        self._settled_bytes += outcome.size
        if outcome.result is not Result.ADOPTED:  # that was never missing
            is_copy = outcome.result is Result.COPIED
            if is_copy and self._phase.activity is Activity.UNPACKING:
                self._unpacked.add(1)
            if self._remaining.end(outcome.path, outcome.size, is_copy=is_copy):
                self._transferred.answer()

    def _hash(self, event: Hashed) -> None:
        self._hashed.add(event.size)
        self._to_hash = max(0, self._to_hash - event.size)

    def _check(self, event: Checked) -> None:
        if event.size:
            self.done += 1
            self.received += event.size
            self._settled_bytes += event.size
            self._hash(Hashed(event.size))

    def values(self) -> ProgressValues:
        """Return the progress at this moment."""
        remaining = self._remaining.estimate() if self._is_sized else None
        bytes_done = self._settled_bytes + self._remaining.arrived
        is_hash = self._phase.activity is Activity.VERIFYING
        return ProgressValues(
            activity=self._phase.activity,
            what=self._phase.what,
            elapsed=self._clock() - self._phase_began,
            files_done=self._present + self.done,
            files=self._files,
            bytes_done=bytes_done,
            bytes_all=None if remaining is None else remaining.plus(bytes_done + self._to_hash),
            rate=self._hashed.rate if is_hash else self._transferred.rate,
            left=self._left(remaining),
            manifest_done=self._manifest_done,
            manifest_all=self._manifest_all,
            failed=self.failed,
            connections=self._connections,
            resumed=self._resumed,
            retries=self._retries,
            waits=self._waits,
            waited=self._clock() - self._waits_since,
            advanced=self._advanced,
        )

    def _left(self, remaining: Bytes | None) -> Seconds | None:
        """The time left. Files are hashed while others are fetched: the longer of the two."""
        if self._phase.activity is Activity.MANIFEST:
            rest = (self._manifest_all or 0) - self._manifest_done
            remaining, to_hash, files = Bytes(rest, rest, rest), 0, 0
        else:
            to_hash, files = self._to_hash, self._remaining.files_left
        unpacking = self._remaining.to_unpack / (self._unpacked.rate or _USUAL_UNPACKED)
        if remaining is None or not (remaining.likely > 0 or to_hash or unpacking):
            return None
        hashing = _seconds(to_hash, self._hashed.rate)
        times = [
            self._transferred.seconds(each, files, self._connections)
            for each in _range_of(remaining)
        ]
        if hashing is None or None in times:
            return None
        low, likely, high = (max(hashing, each + unpacking) for each in times if each is not None)
        return Seconds(low, likely, high)


def _run_or_stop(clock: TransferTime | TransferRate, *, runs: bool) -> None:
    if runs:
        clock.run()
    else:
        clock.stop()


def _range_of(estimate: Bytes) -> tuple[float, float, float]:
    return estimate.low, estimate.likely, estimate.high


def _seconds(count: float, rate: float) -> float | None:
    """Seconds for so many bytes; None if that cannot be said."""
    if count <= 0:
        return 0.0
    return count / rate if rate > 0 else None
