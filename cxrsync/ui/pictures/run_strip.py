"""The last runs as a strip: one bar a run, the newest at the right."""

from __future__ import annotations

from collections.abc import Sequence

from cxrsync.report_data import RunData
from cxrsync.ui.pictures.svg import picture, rect, rule, text
from cxrsync.ui.run_words import class_of, day, result_of, when, words_of

MAX_RUNS = 30
_TOP, _HEIGHT = 18, 40
# By class: height of the bar, the mark above it. What is told by colour is told by these too.
_LOOKS = {"complete": (0.55, "✓"), "limited": (0.3, "–"), "failed": (1.0, "×")}


def run_strip(runs: Sequence[RunData]) -> str:
    """The strip of the last 30 runs at the most."""
    runs = runs[-MAX_RUNS:]
    pitch = 100 / MAX_RUNS
    base = _TOP + _HEIGHT
    parts = [rule(base, "axis")]
    first = MAX_RUNS - len(runs)
    parts += [
        rect((place + 0.12) * pitch, base - 4, pitch * 0.76, 4, "empty") for place in range(first)
    ]
    for place, run in enumerate(runs, start=first):
        class_ = class_of(run)
        share, mark = _LOOKS[class_]
        height = _HEIGHT * share
        tip = f"{when(run.began)}: {result_of(run)}"
        x = place * pitch
        parts.append(rect(x + pitch * 0.12, base - height, pitch * 0.76, height, class_, tip))
        parts.append(text(mark, x + pitch / 2, base - height - 4, "middle", f"mark {class_}-text"))
    if runs:
        parts.append(text(day(runs[-1].began), 100, base + 16, "end"))
        if len(runs) > MAX_RUNS // 3:  # else the two dates could touch on a phone
            parts.append(text(day(runs[0].began), first * pitch, base + 16))
    counts = [(name, sum(class_of(run) == name for run in runs)) for name in _LOOKS]
    told = ", ".join(f"{count} {words_of(name)}" for name, count in counts if count)
    return picture("strip", f"The last {len(runs)} runs: {told or 'none'}", base + 22, parts)
