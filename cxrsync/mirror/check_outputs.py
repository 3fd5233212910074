"""``mirror --check``: would the hooks, the ping, the metrics file, the log and the report work?

Nothing is run, pinged or written, but for an empty log.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrsync.errors import CxrsyncError, UsageError
from cxrsync.mirror.notify import notifications_of

# Where cron looks for commands (crontab(5)); systemd looks in more folders.
_CRON_PATH = "/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one key of a job file. ``error``: None if it would work."""

    key: str
    text: str
    error: CxrsyncError | None = None


def check_outputs(
    settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> Iterator[Finding]:
    """Yield what is found out about each key that ``settings`` has, but for the log."""
    wanted = notifications_of(settings)
    if wanted.ping is not None:
        yield Finding("ping", f"to {wanted.ping.host}, when the mirror begins and ends")
    if (problem := wanted.ping_problem) is not None:
        yield Finding("ping", "cannot be sent", problem)
    for key, command in (("before", wanted.before), ("after", wanted.after)):
        if command:
            yield _inspect_hook(key, command[0], environ.get("PATH", os.defpath))
    if wanted.metrics_file is not None:
        yield _inspect_metrics(wanted.metrics_file)
    if (report := settings.get("report")) is not None:
        yield _inspect_file("report", report)


def _inspect_hook(key: str, program: str, path: str) -> Finding:
    """Say whether the program of a hook can be started; only its name is shown."""
    found = shutil.which(program, path=path)
    if found is None:
        what, step = "is not there", "Correct the path, or install the program."
        if os.path.isdir(program):
            what, step = "is a folder", "Name a program."
        elif os.path.exists(program):
            what, step = "cannot be executed by this user", f"chmod u+x {program}"
        elif os.sep not in program:
            what, step = f"is in no folder of PATH ({path})", "Write its whole path."
        return Finding(key, program, UsageError(f"{key}: {program} {what}", next_step=step))
    if shutil.which(program, path=_CRON_PATH) is None:
        path = os.path.abspath(found)
        return Finding(
            key, f"warning: cron looks in {_CRON_PATH} only. Write the whole path: {path}"
        )
    return Finding(key, f"{found} can be started")


def _inspect_metrics(path: Path) -> Finding:
    if path.suffix != ".prom":
        step = f"node_exporter reads no other files: {path.with_suffix('.prom')}"
        error = UsageError(f"metrics_file: {path} does not end with .prom", next_step=step)
        return Finding("metrics_file", str(path), error)
    return _inspect_file("metrics_file", path)


def _inspect_file(key: str, path: Path) -> Finding:
    """Say whether a file can be replaced, for which its folder must be writable."""
    folder = path.parent
    by_effective_id = os.access in os.supports_effective_ids
    what, step = "", ""
    if os.path.isdir(path):
        what, step = f"{path} is a folder", "Name a file in it."
    elif not os.path.isdir(folder):
        what, step = f"there is no folder {folder}", f"mkdir -p {folder}"
    elif not os.access(folder, os.W_OK | os.X_OK, effective_ids=by_effective_id):
        what, step = f"this user may not create files in {folder}", "Allow it, or name another."
    if what:
        return Finding(key, str(path), UsageError(f"{key}: {what}", next_step=step))
    return Finding(key, f"{path} can be written")
