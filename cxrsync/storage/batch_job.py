"""The batch job that a process belongs to, and whether SLURM says that a job has ended.

A lock whose owner is on another host can otherwise be taken over only after minutes of silence. An
engine that runs jobs knows more: it runs one attempt of a job at a time, and it knows which jobs
are at work. It may err: a node that it cannot reach may still run its job. So an owner whose job
has ended is treated like one that is silent, not like one that is certainly dead.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable, Mapping
from shutil import which

from cxrsync.config.variables import JOB_VARIABLE

_SLURM = "slurm"
_SECONDS = 20.0
_CONTROLLER_FIELDS = 3
_JOB = re.compile(r"(?P<engine>[a-z]+):(?P<job>[^/]+)/(?P<attempt>[^/]+)")
_WORKING = frozenset({"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING"})

Ask = Callable[[str], str | None]
"""Returns what ``scontrol show job --oneliner`` says of a job; "" if SLURM does not know it; None
if SLURM cannot be asked."""


def this_job(environ: Mapping[str, str]) -> str:
    """Return the job and attempt that this process belongs to, as ``slurm:CLUSTER@1f8a3c5e.7/0``;
    "" if it belongs to none. Many clusters have the same name: after it is a digest of the
    controller's address, where that is known."""
    if named := environ.get(JOB_VARIABLE, ""):
        return named if _JOB.fullmatch(named) and named.isprintable() else ""
    number = environ.get("SLURM_JOB_ID", "")
    if not number.isdigit():
        return ""
    cluster = environ.get("SLURM_CLUSTER_NAME", "")
    controller = environ.get("SLURM_WORKING_CLUSTER", "").split(":")
    if len(controller) >= _CONTROLLER_FIELDS:  # name:host:port:…
        digest = hashlib.sha256(":".join(controller[1:3]).encode(errors="replace")).hexdigest()
        cluster += f"@{digest[:8]}"
    attempt = environ.get("SLURM_RESTART_COUNT", "0")
    text = f"{_SLURM}:{cluster}.{number}/{attempt}"
    return text if _JOB.fullmatch(text) and text.isprintable() else ""


def is_other_attempt(owner: str, mine: str) -> bool:
    """Return whether both are attempts of one job. The one that waits for the other's lock began
    later, so that the engine has ended the other."""
    theirs, own = _JOB.fullmatch(owner), _JOB.fullmatch(mine)
    if theirs is None or own is None or theirs["attempt"] == own["attempt"]:
        return False
    return (theirs["engine"], theirs["job"]) == (own["engine"], own["job"])


def has_ended(owner: str, mine: str, ask: Ask) -> bool:
    """Return whether SLURM says that the attempt of ``owner`` has ended. ``mine``: our own job; the
    SLURM of another cluster has other numbers."""
    if is_other_attempt(owner, mine):
        return True
    theirs, own = _JOB.fullmatch(owner), _JOB.fullmatch(mine)
    if theirs is None or own is None or {theirs["engine"], own["engine"]} != {_SLURM}:
        return False
    cluster, _dot, number = theirs["job"].rpartition(".")
    if cluster != own["job"].rpartition(".")[0]:
        return False
    said = ask(number)
    if said is None:
        return False
    # An array has the number of one of its tasks, so that SLURM tells of all of them.
    lines = re.findall(rf"^JobId={re.escape(number)} .*", said, re.MULTILINE)
    if not lines:
        # SLURM forgets a job some minutes after its end.
        return said == "" or re.match(r"JobId=[0-9]+ ", said) is not None
    state = re.search(r"\bJobState=([A-Z_]+)", lines[0])
    restarts = re.search(r"\bRestarts=([0-9]+)", lines[0])
    if state is None:
        return False
    if restarts is not None and restarts[1] != theirs["attempt"]:
        return True
    return state[1] not in _WORKING


def ask_slurm(number: str) -> str | None:
    """Ask the SLURM of this machine for a job."""
    scontrol = which("scontrol")
    if scontrol is None:
        return None
    command = [scontrol, "show", "job", "--oneliner", number]
    try:
        done = subprocess.run(  # noqa: S603 - a number
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    if done.returncode == 0:
        return done.stdout
    return "" if "Invalid job id" in done.stderr else None
