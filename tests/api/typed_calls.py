"""What a type checker says of calls. ``scripts/check`` runs mypy on it; nobody runs it.

A right call passes. A wrong one has the reason that mypy must give: an ignored error that does not
occur is itself an error.
"""

from datetime import timedelta
from pathlib import Path

import numpy as np

import cxrsync
from cxrsync import events


def say(event: events.Event) -> None:
    """Receive an event."""


async def right() -> None:
    """Call everything as it is meant."""
    ids = np.array([10000032])
    dest = Path("/data")
    report = cxrsync.pull("mimic-cxr-jpg", shard=["p10", 11], dest=dest, progress=True)
    cxrsync.pull(jpg=True, subject=ids, study={50414267}, limit=ids[0], on_event=say, user=None)
    cxrsync.pull(jpg=True, label={"Pneumonia": 1, "Edema": [0, None]}, retries=3)
    cxrsync.pull(jpg=True, connections="auto", limit_rate={"08:00-20:00": "1M"}, keep_free="50G")
    cxrsync.pull(jpg=True, max_duration=timedelta(hours=8), max_delete="1%", link="hardlink")
    _files: int = report.fetched.files
    _names: list[str] = [each.path for each in cxrsync.ls(dicom=True, split=["test"])]
    _missing: int = cxrsync.status(all=True).total.missing
    _bad: list[str] = cxrsync.verify(jpg=True, dest="/data").bad
    _repaired: cxrsync.Report | None = cxrsync.verify(repair=True, connections=2).repair
    _text: str = str(cxrsync.dry_run(jpg=True))
    _done: cxrsync.Report = await cxrsync.apull(jpg=True)
    for image in cxrsync.iter_verified(jpg=True, shard="p10", record=dest / "used", keep=False):
        _data: bytes | None = image.data
    async for image in cxrsync.aiter_verified("mimic-cxr-jpg", keep=True, connections=2):
        _file: Path | None = image.file
    try:
        cxrsync.pull()
    except cxrsync.CxrsyncError as error:
        _code: cxrsync.ExitCode = error.exit_code
        _is_known: bool = isinstance(error, cxrsync.UsageError | cxrsync.Locked)


def wrong() -> None:
    """Call everything as people do who mistype."""
    cxrsync.pull(jpg=True, shards="p10")  # type: ignore[call-arg]
    cxrsync.pull(jpg=True, password="secret")  # type: ignore[call-arg]
    cxrsync.pull(jpg="yes")  # type: ignore[arg-type]
    cxrsync.pull(jpg=True, retries="3")  # type: ignore[arg-type]
    cxrsync.pull(jpg=True, link="symlink")  # type: ignore[arg-type]
    cxrsync.pull(jpg=True, dataset_version=2.1)  # type: ignore[arg-type]
    cxrsync.pull(jpg=True, subject=object())  # type: ignore[arg-type]
    cxrsync.pull(7)  # type: ignore[arg-type]
    cxrsync.pull(jpg=True, on_event=say(events.Notice("x")))  # type: ignore[func-returns-value]
    cxrsync.ls(jpg=True, connections=4)  # type: ignore[call-arg]
    cxrsync.pull(jpg=True, repair=True)  # type: ignore[call-arg]
    cxrsync.status(jpg=True, progress=True)  # type: ignore[call-arg]
    cxrsync.iter_verified(jpg=True, max_files=3)  # type: ignore[call-arg]
    cxrsync.nothing()  # type: ignore[attr-defined]
    _text: str = cxrsync.pull(jpg=True)  # type: ignore[assignment]
