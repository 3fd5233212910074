"""Mirrors to look at in an HTML report: whole, stale, filling, broken. Made up, always the same."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from cxrsync.model import ROOT
from cxrsync.report_data import (
    PartitionData,
    ProofData,
    ReportData,
    RunData,
    Trouble,
    TroubleGroup,
    WorkingRun,
)

NOW = 1_795_665_600.0  # 26 November 2026, 04:00 UTC
DAY = 86_400.0
IMAGE = 1_478_000
# 377,110 files with those of the root, in about as many shares as MIMIC-CXR-JPG 2.1.0 has.
_SHARDS = {f"p1{n}": 36_787 + 205 * n + (n == 9) * 6 for n in range(10)}
_SELECTION = "the whole version"


def samples() -> dict[str, ReportData]:
    """The mirrors by name. ``stale``: the whole one, after a run that failed."""
    failed = RunData(NOW, 61.0, 10, _SELECTION, error="physionet.org cannot be reached: timed out")
    stale = replace(whole(), runs=(*whole().runs, failed))
    return {"whole": whole(), "stale": stale, "filling": filling(), "broken": broken()}


def whole() -> ReportData:
    """Everything is verified; a nightly run finds nothing new, but for one new version's files."""
    partitions = tuple(_full(name, files) for name, files in {**_SHARDS, ROOT: 9}.items())
    total = sum(each.selected for each in partitions)
    runs = [_idle(total, NOW - DAY * back) for back in range(39, -1, -1)]
    fetched = replace(runs[-9], present=total - 1_204, fetched=1_204, requests=1_219)
    runs[-9] = replace(
        fetched,
        fetched_bytes=1_204 * IMAGE,
        seconds=9_310.0,
        samples=_curve(9_310.0, 1_204 * IMAGE),
    )
    runs[-17] = replace(
        runs[-17],
        exit_code=10,
        error="physionet.org cannot be reached: timed out",
        present=0,
        selected=0,
    )
    ages = (12_730, 25_140, 50_213, 88_322, total - 176_405, 0, 0, 0, 0, 0)
    proofs = ProofData(ages, 26.2 * DAY, 30, total, total * IMAGE)
    return _report(partitions, runs=tuple(runs), proofs=proofs)


def filling() -> ReportData:
    """The first fill, a window each night: four shards are here, the fifth is on its way."""
    shares = [1.0, 1.0, 1.0, 1.0, 0.43, 0.0, 0.0, 0.0, 0.0, 0.0]
    partitions = []
    for (name, files), share in zip(_SHARDS.items(), shares, strict=True):
        here = int(files * share)
        partitions.append(
            PartitionData(
                name, files, here, 0, files - here, here * IMAGE, 41_000_000 if 0 < share < 1 else 0
            )
        )
    partitions.append(_full(ROOT, 9))
    total = sum(each.selected for each in partitions)
    runs, here = [], 9
    for back in range(8, 0, -1):
        count = 20_640 + 37 * back if back > 1 else 17_000
        bytes_ = count * IMAGE
        runs.append(
            RunData(
                NOW - DAY * back - 6 * 3600,
                8 * 3600.0,
                9,
                _SELECTION,
                total,
                here,
                count,
                0,
                0,
                0,
                bytes_,
                count + 9,
                limited=True,
                samples=_curve(8 * 3600.0, bytes_),
            )
        )
        here += count
    verified = sum(each.verified for each in partitions)
    ages = (20_677, 41_000, verified - 61_677, 0, 0, 0, 0, 0, 0, 0)
    return _report(
        tuple(partitions),
        runs=tuple(runs),
        working=(WorkingRun(verified, total),),
        proofs=ProofData(ages, 8.2 * DAY, 30, verified, verified * IMAGE),
        behind=("p14",),
    )


def broken() -> ReportData:
    """A purge took files of one shard, some files fail, and the last nights' runs were refused."""
    partitions = [_full(name, files) for name, files in _SHARDS.items()]
    partitions[3] = _without(partitions[3], gone=2_143)
    partitions[6] = _without(partitions[6], gone=12, changed=31)
    partitions[8] = _without(partitions[8], gone=3)
    partitions.append(_full(ROOT, 9))
    total = sum(each.selected for each in partitions)
    runs = [_idle(total, NOW - DAY * back) for back in range(52, 0, -1)]
    for place in (-1, -2):
        runs[place] = replace(
            runs[place], exit_code=4, selected=0, present=0, seconds=3.1, requests=2,
            error="physionet.org denies access to mimic-cxr-jpg 2.1.0 (403): the account has not "
            "signed its data use agreement, or a training has expired",
        )  # fmt: skip
    failing = (
        TroubleGroup(Trouble.FAILED, "p16", "the server answers 404: no such file", 9),
        TroubleGroup(Trouble.FAILED, "p18", "the server answers 404: no such file", 3),
        TroubleGroup(Trouble.FAILED, "p13", "the connection broke 6 times in a row", 2),
    )
    runs[-3] = replace(runs[-3], exit_code=5, failed=14, problems=failing, present=total - 14)
    runs[-4] = replace(runs[-4], exit_code=9, limited=True)
    ages = (0, 0, 0, 0, 40_000, 91_400, 120_330, total - 253_919, 0, 0)
    return _report(
        tuple(partitions),
        runs=tuple(runs),
        troubles=(
            TroubleGroup(Trouble.GONE, "p13", "", 2_141),
            *failing,
            TroubleGroup(Trouble.CHANGED, "p16", "", 31),
            TroubleGroup(Trouble.MISMATCHED, "p16", "", 3),
        ),
        proofs=ProofData(ages, 151 * DAY, 30, 40_000, 40_000 * IMAGE),
        unread_runs=2,
    )


def _report(partitions: tuple[PartitionData, ...], **more: object) -> ReportData:
    values = {
        "dataset": "mimic-cxr-jpg",
        "version": "2.1.0",
        "root": "/srv/mirror/mimic-cxr-jpg/2.1.0",
        "selection": _SELECTION,
        "made_at": NOW + 3 * 3600,
        "made_by": "cxrsync 0.3.0",
        "partitions": partitions,
    }
    return ReportData(**{**values, **more})  # type: ignore[arg-type]


def _full(name: str, files: int) -> PartitionData:
    return PartitionData(name, files, files, 0, 0, files * IMAGE)


def _without(partition: PartitionData, gone: int, changed: int = 0) -> PartitionData:
    verified = partition.selected - gone - changed
    return replace(
        partition, verified=verified, missing=gone, unverified=changed,
        verified_bytes=verified * IMAGE, troubled=gone + changed,
    )  # fmt: skip


def _idle(total: int, began: float) -> RunData:
    return RunData(
        began, 4.2, 0, _SELECTION, total, total, requests=2, scrubbed=total // 26,
        scrubbed_bytes=total // 26 * IMAGE,
    )  # fmt: skip


def _curve(seconds: float, bytes_: int) -> tuple[tuple[float, int], ...]:
    """Samples of a run whose rate sways, with one pause in it."""
    dice = random.Random(7)
    weights = [
        0.0 if 58 < n < 63 else 1 + 0.35 * math.sin(n / 9) + dice.uniform(-0.2, 0.2)
        for n in range(100)
    ]
    total, points = 0.0, []
    for number, weight in enumerate(weights, start=1):
        total += weight
        points.append((round(seconds * number / 100, 1), int(bytes_ * total / sum(weights))))
    return ((0.0, 0), *points)
