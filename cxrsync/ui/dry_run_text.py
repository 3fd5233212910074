"""The forecast of ``pull --dry-run``: as text for people, and as fields for scripts."""

from __future__ import annotations

from cxrsync import humanize
from cxrsync.model import Kind
from cxrsync.plan.estimate import Count, Counts
from cxrsync.plan.forecast import Forecast
from cxrsync.ui.table import as_fitting_table

_HEADINGS = ("", "kind", "total", "verified", "unverified", "missing", "to fetch")


def in_words(forecast: Forecast, width: int = 0) -> str:
    """The forecast as text for people. ``width``: of the terminal; 0 for none."""
    rows = [_HEADINGS, *(_row(forecast, *key) for key in _keys(forecast))]
    rows.append(_totals(forecast))
    lines = [as_fitting_table(rows, width, left=2)]
    fetch = _total(forecast.inventory.missing)
    if forecast.reusable:
        lines.append(
            f"{humanize.files(forecast.reusable)} of them are in an older version on this disk"
        )
    files, size = forecast.resumable
    if files:
        lines.append(f"{humanize.files(files)} are partly here: {humanize.size(size)} of them")
    estimate = forecast.estimate
    basis = f" (by {' and '.join(estimate.basis)})" if estimate.basis else ""
    if fetch.files:
        text = f"to fetch: about {humanize.size(estimate.bytes)}{basis}"
        if estimate.unknown:
            text += f", and {humanize.files(estimate.unknown)} of unknown size"
        if forecast.reusable or files:
            text += f"; {humanize.size(forecast.from_source)} of it from the server"
        lines.append(text)
        if estimate.without_total:
            lines.append(f"the published total is not known: {estimate.without_total}")
        lines.append(_duration(forecast))
        if forecast.store:
            lines.append(_cost(forecast))
    free = humanize.size(forecast.free_space.bytes)
    need = f"disk space needed: {humanize.size(forecast.need_bytes)}, free: {free}"
    inodes = f"{forecast.need_files:,} files and folders"
    free_files = (
        "no fixed number" if forecast.free_space.files is None else f"{forecast.free_space.files:,}"
    )
    lines.append(f"{need}; {inodes}, free: {free_files}; your quota may be lower")
    return "\n".join(lines)


def _duration(forecast: Forecast) -> str:
    if forecast.seconds is None or forecast.rate is None:
        return "duration: unknown, because no pull has measured the rate yet"
    rate = f"at {humanize.size(forecast.rate)}/s, the rate of the last pull"
    return f"duration: about {humanize.duration(forecast.seconds)} {rate}"


def _cost(forecast: Forecast) -> str:
    requests = f"{forecast.store}: about {humanize.number(forecast.requests, 'request')}"
    if forecast.cost is None or forecast.price is None:
        return f"{requests}; the cloud may charge for them, and for what leaves its region"
    return f"{requests}, about {forecast.cost:,.2f} {forecast.price.currency} by your prices"


def _keys(forecast: Forecast) -> list[tuple[str, Kind]]:
    inventory = forecast.inventory
    keys = {*inventory.present, *inventory.unverified, *inventory.missing}
    return sorted(keys, key=lambda key: (key[0], key[1].value))


def _row(forecast: Forecast, partition: str, kind: Kind) -> tuple[str, ...]:
    inventory = forecast.inventory
    counts = [
        each.get((partition, kind), Count())
        for each in (inventory.present, inventory.unverified, inventory.missing)
    ]
    return (partition, kind.value, *_cells(counts, _size(forecast, kind, counts[2])))


def _totals(forecast: Forecast) -> tuple[str, ...]:
    inventory = forecast.inventory
    counts = [_total(each) for each in (inventory.present, inventory.unverified, inventory.missing)]
    return ("all", "", *_cells(counts, forecast.estimate.bytes))


def _cells(counts: list[Count], size: float) -> tuple[str, ...]:
    files = sum(count.files for count in counts)
    return (f"{files:,}", *(f"{count.files:,}" for count in counts), humanize.size(size))


def _size(forecast: Forecast, kind: Kind, missing: Count) -> float:
    mean = forecast.estimate.means.get(kind, 0)
    return missing.bytes + (missing.files - missing.sized) * mean


def _total(counts: Counts) -> Count:
    return sum(counts.values(), Count())


def as_fields(forecast: Forecast) -> dict[str, object]:
    """The forecast as users' scripts read it. Its keys never change."""

    def files(counts: Counts, key: tuple[str, Kind]) -> int:
        return counts[key].files if key in counts else 0

    inventory = forecast.inventory
    return {
        "event": "forecast",
        "dataset": forecast.dataset,
        "version": forecast.version,
        "root": forecast.root,
        "selection": forecast.selection,
        "files": [
            {
                "partition": partition,
                "kind": kind.value,
                "present": files(inventory.present, (partition, kind)),
                "unproved": files(inventory.unverified, (partition, kind)),
                "missing": files(inventory.missing, (partition, kind)),
            }
            for partition, kind in _keys(forecast)
        ],
        "to_take": forecast.reusable,
        "resumable": dict(zip(("files", "bytes"), forecast.resumable, strict=True)),
        "bytes": forecast.estimate.bytes,
        "bytes_from_source": forecast.from_source,
        "basis": list(forecast.estimate.basis),
        "without_total": forecast.estimate.without_total,
        "files_of_unknown_size": forecast.estimate.unknown,
        "need": {"bytes": forecast.need_bytes, "files": forecast.need_files},
        "free": {"bytes": forecast.free_space.bytes, "files": forecast.free_space.files},
        "fits": forecast.refusal is None,
        "seconds": forecast.seconds,
        "requests": forecast.requests,
        "cost": None if forecast.cost is None else round(forecast.cost, 2),
    }
