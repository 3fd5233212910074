"""The age of the proofs, as a histogram."""

from __future__ import annotations

from cxrsync.report_data import AGE_BOUNDS_DAYS, ProofData
from cxrsync.ui.pictures.svg import picture, rect, rule, text

_TOP, _HEIGHT, _BELOW = 20, 120, 34


def age_histogram(proofs: ProofData) -> str:
    """Files by the age of their proof."""
    names = age_names()
    most = max(proofs.ages)
    pitch = 100 / len(names)
    base = _TOP + _HEIGHT
    parts = [rule(base, "axis")]
    for place, (name, files) in enumerate(zip(names, proofs.ages, strict=True)):
        middle = (place + 0.5) * pitch
        if files:
            height = max(2.0, _HEIGHT * files / most)
            tip = f"{name}: {files:,} files"
            parts.append(
                rect(place * pitch + pitch * 0.1, base - height, pitch * 0.8, height, "age", tip)
            )
            parts.append(text(short(files), middle, base - height - 5, "middle", "value"))
    # The bounds stand between the bars, where a phone has place for them.
    parts.append(text("0", 0, base + 16))
    for place, bound in enumerate(AGE_BOUNDS_DAYS, start=1):
        parts.append(text(str(bound), place * pitch, base + 16, "middle", "label"))
    told = ", ".join(
        f"{name}: {files:,}" for name, files in zip(names, proofs.ages, strict=True) if files
    )
    parts.append(text("days since the file was hashed", 50, base + 32, "middle", "label"))
    title = f"Verified files by the age of their proof in days. {told or 'None yet'}."
    return picture("ages", title, base + _BELOW + 2, parts)


def age_names() -> list[str]:
    """What each bar stands for, in days."""
    lower = (0, *AGE_BOUNDS_DAYS)
    names = [f"{low}–{high}" for low, high in zip(lower, AGE_BOUNDS_DAYS, strict=False)]
    names[0] = f"<{AGE_BOUNDS_DAYS[0]}"
    return [*names, f"{AGE_BOUNDS_DAYS[-1]}+"]


def short(count: int) -> str:
    """A count in at most four characters: ``377k``."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= size:
            value = count / size
            return f"{value:.1f}{letter}" if value < 10 else f"{value:.0f}{letter}"
    return str(count)
