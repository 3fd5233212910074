"""When the whole server is away or refuses everyone: one wait for all connections, then go on.

A file does not fail because the server is down for an hour, and eight connections do not knock
eight times as often as one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from time import monotonic

from cxrsync.engine.pace import bounded_wish, pause
from cxrsync.errors import (
    AccessDenied,
    CredentialsRefused,
    Interrupted,
    SourceError,
    Unreachable,
    Untrusted,
)
from cxrsync.model import Emit, Retrying


class Outage:
    """What all connections of a run know together about the server."""

    def __init__(self, give_up_after: float, emit: Emit) -> None:
        self._give_up_after = give_up_after
        self._emit = emit
        self._not_before = 0.0
        # Until the first answer: since we began to ask.
        self._away_since: float | None = monotonic()
        self._failures = 0
        self._regained = 0
        self._probe = asyncio.Lock()
        self.answers = 0

    async def clear(self) -> None:
        """Wait until a request may be made."""
        # Not an Event: the moment moves away while we wait, whenever another request fails.
        while (wait := self._not_before - monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait)

    def well(self) -> None:
        """A request was answered with bytes: the server is there, and lets us in."""
        self.answers += 1
        self._failures = 0
        self._away_since = None

    def flowing(self) -> None:
        """Bytes arrive, whenever they were asked for: the server is there."""
        self._away_since = None

    def away(self, problem: SourceError, after: float | None = None) -> None:
        """No connection, or "try later": hold every request for a while.

        Raises ``problem`` once the server has been away for longer than the run is to wait, and at
        once where it has never proved who it is.
        """
        now = monotonic()
        if self._away_since is None:
            self._away_since = now
        if now - self._away_since > self._give_up_after:
            if isinstance(problem, Interrupted):
                raise Unreachable(str(problem)) from None
            raise problem
        if isinstance(problem, Untrusted) and not self.answers:
            raise problem
        if self._not_before > now:
            return  # several connections meet one outage: it counts once
        self._failures += 1
        wait = max(pause(self._failures, random.random()), bounded_wish(after))  # noqa: S311
        self._not_before = now + wait
        self._emit(Retrying("", wait, str(problem)))

    async def knock(self, answers: int, probe: Callable[[], Awaitable[None]]) -> None:
        """One asks for all whether the server is back; returns once anybody has been answered."""
        async with self._probe:
            while self.answers == answers:
                await self.clear()
                if self.answers != answers:
                    return
                try:
                    await probe()
                except (CredentialsRefused, AccessDenied):
                    raise
                except SourceError as still:
                    self.away(still, getattr(still, "after", None))
                else:
                    self.well()

    async def denied(self, problem: SourceError, probe: Callable[[], Awaitable[None]]) -> bool:
        """A 403 in mid-run. True if it concerns this file only; else waits for access to return,
        and False: then the file is worth another request.

        ``probe`` asks for the manifest, which every reader of the dataset may have. Raises
        AccessDenied once access has been gone for longer than the run is to wait.
        """
        seen, regained = self.answers, self._regained
        async with self._probe:
            if self._regained != regained:
                return False
            if self.answers != seen:
                return True  # others have been let in meanwhile
            began = monotonic()
            failures = 0
            while True:
                try:
                    await probe()
                except CredentialsRefused:
                    raise
                except SourceError as still:  # still denied, or no answer: either tells nothing new
                    failures += 1
                    wait = pause(failures, random.random())  # noqa: S311
                    if monotonic() - began + wait > self._give_up_after:
                        raise problem from None
                    self._emit(Retrying("", wait, str(still)))
                    await asyncio.sleep(wait)
                else:
                    self._regained += bool(failures)
                    return not failures
