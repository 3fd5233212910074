"""How the bytes of a run arrived over time, in at most 120 samples."""

from __future__ import annotations

MAX_SAMPLES = 120
_FIRST_INTERVAL = 1.0


class ByteSamples:
    """Samples of a running count of bytes, evenly spread over a run whose length is not known.

    Where the samples would become too many, every second one is dropped and the interval doubles:
    a run of ten seconds has a sample a second, one of two weeks a sample every few hours.
    """

    def __init__(self) -> None:
        self._interval = _FIRST_INTERVAL
        self._kept: list[tuple[float, int]] = []
        self._last: tuple[float, int] | None = None

    def add(self, seconds: float, total: int) -> None:
        """Note that ``total`` bytes had arrived ``seconds`` after the run began."""
        self._last = (seconds, total)
        if self._kept and seconds < self._kept[-1][0] + self._interval:
            return
        self._kept.append(self._last)
        if len(self._kept) >= MAX_SAMPLES:
            self._kept = self._kept[::2]
            self._interval *= 2

    def samples(self) -> tuple[tuple[float, int], ...]:
        """Seconds since the run began, and bytes so far; the last count is always among them."""
        kept = list(self._kept)
        if self._last is not None and kept[-1] != self._last:
            kept.append(self._last)
        return tuple((round(seconds, 1), max(0, total)) for seconds, total in kept)
