"""What a pull would do: in words, and as other people's scripts read it."""

from __future__ import annotations

from cxrsync import humanize
from cxrsync.model import Kind
from cxrsync.plan.estimate import Count, Counts
from cxrsync.plan.forecast import Forecast
from cxrsync.ui.table import as_table

_HEADINGS = ("", "kind", "files", "here", "unproved", "missing", "to come")


def in_words(found: Forecast) -> str:
    """The forecast for a person."""
    rows = [_HEADINGS, *(_row(found, *key) for key in _keys(found))]
    rows.append(_totals(found))
    lines = [as_table(rows, left=2)]
    fetch = _total(found.inventory.missing)
    if found.to_take:
        lines.append(
            f"{humanize.files(found.to_take)} of them are in an older version on this disk"
        )
    files, size = found.resumable
    if files:
        lines.append(f"{humanize.files(files)} are begun: {humanize.size(size)} of them are here")
    guess = found.estimate
    basis = f" (by {' and '.join(guess.basis)})" if guess.basis else ""
    if fetch.files:
        text = f"to come: about {humanize.size(guess.bytes)}{basis}"
        if guess.unknown:
            text += f", and {humanize.files(guess.unknown)} of unknown size"
        if found.to_take or files:
            text += f"; {humanize.size(found.from_source)} of it over the line"
        lines.append(text)
        lines.append(_duration(found))
    room = humanize.size(found.room.bytes)
    need = f"needed on the disk: {humanize.size(found.need_bytes)}, free: {room}"
    inodes = f"{found.need_files:,} files and folders"
    free = "no fixed number" if found.room.files is None else f"{found.room.files:,}"
    lines.append(f"{need}; {inodes}, free: {free}; a quota of yours may be lower")
    return "\n".join(lines)


def _duration(found: Forecast) -> str:
    if found.seconds is None or found.rate is None:
        return "how long: unknown, for nothing was fetched here yet that tells the line's rate"
    pace = f"at {humanize.size(found.rate)}/s, the rate seen last"
    return f"how long: about {humanize.duration(found.seconds)} {pace}"


def _keys(found: Forecast) -> list[tuple[str, Kind]]:
    inventory = found.inventory
    keys = {*inventory.present, *inventory.unproved, *inventory.missing}
    return sorted(keys, key=lambda key: (key[0], key[1].value))


def _row(found: Forecast, partition: str, kind: Kind) -> tuple[str, ...]:
    inventory = found.inventory
    counts = [
        each.get((partition, kind), Count())
        for each in (inventory.present, inventory.unproved, inventory.missing)
    ]
    return (partition, kind.value, *_cells(counts, _size(found, kind, counts[2])))


def _totals(found: Forecast) -> tuple[str, ...]:
    inventory = found.inventory
    counts = [_total(each) for each in (inventory.present, inventory.unproved, inventory.missing)]
    return ("all", "", *_cells(counts, found.estimate.bytes))


def _cells(counts: list[Count], size: float) -> tuple[str, ...]:
    files = sum(count.files for count in counts)
    return (f"{files:,}", *(f"{count.files:,}" for count in counts), humanize.size(size))


def _size(found: Forecast, kind: Kind, missing: Count) -> float:
    mean = found.estimate.means.get(kind, 0)
    return missing.bytes + (missing.files - missing.sized) * mean


def _total(counts: Counts) -> Count:
    return sum(counts.values(), Count())


def as_fields(found: Forecast) -> dict[str, object]:
    """The forecast as other people's scripts read it."""

    def files(counts: Counts, key: tuple[str, Kind]) -> int:
        return counts[key].files if key in counts else 0

    inventory = found.inventory
    return {
        "event": "forecast",
        "dataset": found.dataset,
        "version": found.version,
        "root": found.root,
        "selection": found.selection,
        "files": [
            {
                "partition": partition,
                "kind": kind.value,
                "present": files(inventory.present, (partition, kind)),
                "unproved": files(inventory.unproved, (partition, kind)),
                "missing": files(inventory.missing, (partition, kind)),
            }
            for partition, kind in _keys(found)
        ],
        "to_take": found.to_take,
        "resumable": dict(zip(("files", "bytes"), found.resumable, strict=True)),
        "bytes": found.estimate.bytes,
        "bytes_from_source": found.from_source,
        "basis": list(found.estimate.basis),
        "files_of_unknown_size": found.estimate.unknown,
        "need": {"bytes": found.need_bytes, "files": found.need_files},
        "free": {"bytes": found.room.bytes, "files": found.room.files},
        "fits": found.refusal is None,
        "seconds": found.seconds,
    }
