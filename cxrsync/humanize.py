"""Numbers as people read them: sizes, durations, numbers of files."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes in decimal units, as disks and PhysioNet count them: ``1.6 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        digits = 0 if unit == "B" else 1
        if abs(round(count, digits)) < 1000:  # rounded first, so that "1000.0 kB" never appears
            return f"{count:.{digits}f} {unit}"
        count /= 1000
    return f"{count:.2f} TB"


def part_of(done: float, whole: float, guess: str = "") -> str:
    """``22.8 of 57.0 GB``, or ``0 B of 57.0 GB`` where the units differ. ``guess`` comes before the
    whole."""
    number, unit = size(done).split(" ")
    whole_text = size(whole)
    is_same = whole_text.endswith(f" {unit}")
    return f"{number if is_same else size(done)} of {guess}{whole_text}"


def duration(seconds: float) -> str:
    """Seconds in at most two units: ``42 s``, ``3 min 5 s``, ``18 d 4 h``."""
    whole = round(seconds)
    for unit, length, lesser, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= length:
            rest = whole % length // part
            return (
                f"{whole // length} {unit} {rest} {lesser}" if rest else f"{whole // length} {unit}"
            )
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"


def number(count: int, one: str, many: str = "") -> str:
    """``1 image``, ``2,500 images``. ``many``: the plural, if it is not made with an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def were(count: int) -> str:
    """``1 was``, ``2,500 were``."""
    return f"{count:,} {'was' if count == 1 else 'were'}"


def files(count: int) -> str:
    """``1 file``, ``2,500 files``."""
    return number(count, "file")


def as_copies(count: int, which: str = "") -> str:
    """``1 file is here as a smaller copy``, ``5 files are here as smaller copies``."""
    how = "is here as a smaller copy" if count == 1 else "are here as smaller copies"
    return f"{files(count)}{which} {how}"
