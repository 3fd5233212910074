"""What follows a failed request of one file: wait and retry, give the file up, or end the run.

What an error means is decided purely, by :mod:`cxrsync.transfer.response_policy` and
:mod:`cxrsync.transfer.retry_policy`; this module waits, and asks the run's circuit breaker.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from time import monotonic

from cxrsync.errors import (
    AccessDenied,
    CxrsyncError,
    FileDenied,
    Interrupted,
    SourceError,
    Throttled,
)
from cxrsync.events import Retrying
from cxrsync.model import MANIFEST_NAME, RemotePath
from cxrsync.sources.base import SourceChanged
from cxrsync.transfer.breaker_state import RequestStart
from cxrsync.transfer.response_policy import Action, LocalState, decide
from cxrsync.transfer.retry_policy import RetryState, next_delay
from cxrsync.transfer.source_limits import SourceLimits
from cxrsync.transfer.transfer_context import TransferContext


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request of a file, by the limits of the source that is asked.

    ``is_over``: whether no request is wanted any more. ``offset``: the first byte that is wanted.
    """

    limits: SourceLimits
    is_over: Callable[[], bool]
    offset: Callable[[], int]


class FailureRecovery:
    """The retry budget of one file, shared by all connections that fetch it."""

    def __init__(self, context: TransferContext, ref: RemotePath) -> None:
        self._context = context
        self._ref = ref
        self._retries = RetryState()
        # The breaker's number of answers before the last outage that was charged to this file.
        self._charged_at = -1

    async def make(
        self, attempt: Attempt, send: Callable[[Callable[[], None]], Awaitable[None]]
    ) -> CxrsyncError | None:
        """Make a request by ``send``; after a failure wait until the file may be requested again.

        ``send`` gets a function to call when the request is answered. Returns and raises as
        :meth:`recover`.
        """
        breaker = attempt.limits.circuit_breaker
        request, offset = breaker.begin_request(), attempt.offset()

        def admitted() -> None:
            breaker.record_success(request)
            answered()

        try:
            async with attempt.limits.limiter.acquire(breaker.wait_closed) as answered:
                if not attempt.is_over():
                    request = breaker.begin_request()
                    await send(admitted)
        except SourceError as problem:
            if attempt.is_over():
                return None
            progress = attempt.offset() > offset
            return await self.recover(problem, request, attempt.limits, progress=progress)
        return None

    async def recover(
        self, problem: SourceError, request: RequestStart, limits: SourceLimits, *, progress: bool
    ) -> CxrsyncError | None:
        """Wait until the file may be requested again; return None then.

        Returns the error with which the file has failed, if it is not to be requested again.
        ``limits``: of the source that was asked. ``progress``: whether bytes arrived since
        ``request`` began.
        Raises ``problem``, or another SourceError, where it ends the run.
        """
        if isinstance(problem, SourceChanged):
            return None
        breaker, probe = limits.circuit_breaker, self._context.probe
        local = LocalState(progress=progress, failures=self._retries.failures)
        action, _reason = decide(local, problem)
        if action is Action.FILE_FAILED:
            return problem
        if action is Action.PROBE_ACCESS and probe is not None:
            is_file = await breaker.probe_access(problem, request, probe)
            return _denied_file(problem) if is_file else None
        if action is Action.WAIT:
            return await self._wait_for_server(problem, request, limits, progress=progress)
        if action is Action.RETRY:
            if isinstance(problem, Interrupted):
                breaker.record_interruption()
            return await self._wait_before_retry(problem, progress=progress)
        raise problem

    async def _wait_for_server(
        self, problem: SourceError, request: RequestStart, limits: SourceLimits, *, progress: bool
    ) -> CxrsyncError | None:
        """Wait until the server has answered any request made after ``request``."""
        began = monotonic()
        breaker, probe = limits.circuit_breaker, self._context.probe
        left_out = breaker.left_out
        breaker.record_failure(problem, request)
        if breaker.left_out == left_out:
            was_away = await breaker.probe_until_up(request, self._probe_of(limits))
        if breaker.left_out != left_out:
            return None  # the file is asked of another source
        if was_away and probe is None:
            return None  # only this file is being fetched: it did not cause the outage
        # A file that brings the server down must fail in the end. But the connections of one file
        # meet one outage together, so it is charged once.
        charge = request.answers != self._charged_at
        self._charged_at = request.answers
        return await self._wait_before_retry(
            problem, progress=progress, waited=monotonic() - began, charge=charge
        )

    def _probe_of(self, limits: SourceLimits) -> Callable[[], Awaitable[None]]:
        """Return the probe of the source that was asked."""
        manifest = replace(self._ref, path=MANIFEST_NAME)
        is_of_run = self._context.limits_of.of(manifest) is limits
        return (self._context.probe if is_of_run else None) or self._probe

    async def _probe(self) -> None:
        """Request the first byte of this file: the run has no better probe."""
        async with self._context.source.open(self._ref, 0, 1):
            pass

    async def _wait_before_retry(
        self, problem: SourceError, *, progress: bool, waited: float = 0.0, charge: bool = True
    ) -> CxrsyncError | None:
        """Charge the file's retry budget if ``charge``, and wait for its backoff.

        ``waited``: seconds since the server sent its Retry-After. Returns ``problem`` if the budget
        is spent.
        """
        if charge:
            self._retries = self._retries.failed(progress=progress)
        retry_after = (problem.after or 0.0) - waited if isinstance(problem, Throttled) else 0.0
        limits = self._context.limits
        jitter = random.random()  # noqa: S311 - spreads clients in time, guards nothing
        wait = next_delay(self._retries, limits.retries, jitter, retry_after, limits.give_up_after)
        if wait is None:
            return problem
        self._context.emit(Retrying(self._ref.path, wait, str(problem)))
        await asyncio.sleep(wait)
        return None


def _denied_file(problem: SourceError) -> FileDenied:
    """The error of a file that is refused while the manifest is served: the user has access."""
    status = problem.status if isinstance(problem, AccessDenied) else AccessDenied.status
    return FileDenied(f"the server refuses this file, and serves others of the dataset ({status})")
