"""Write the script of a SLURM job array that pulls or verifies, a task a partition. Pure.

What the script relies on (sbatch(1), scontrol(1)): ``--array=0-10%4`` caps the tasks at work;
``--signal=B:TERM@120`` sends SIGTERM to the batch shell alone; ``scontrol requeue`` starts a task
again, after two minutes; ``--open-mode=append`` keeps its log.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cxrsync.distributed.divide import Division
from cxrsync.errors import ExitCode, UsageError
from cxrsync.storage.lock import SILENT_SECONDS

# A task that was killed on another host leaves a lock, which is taken over after this silence.
_WAIT_LOCK = SILENT_SECONDS + 100
# A run that is told to stop needs seconds. SLURM looks at the limits of time each half minute, and
# sends the signal up to a minute late.
SECONDS_TO_STOP = 120
_MAX_REQUEUES = 1000
_TEMPLATE = Path(__file__).with_name("slurm_array.sh.jinja")


@dataclass(frozen=True, slots=True)
class Resources:
    """What each task asks of SLURM. ``time``: as SLURM writes it. ``directives``: further options
    of sbatch."""

    time: str = "24:00:00"
    cpus: int = 1
    memory: str = "1G"
    directives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """What each task runs.

    ``program``: the words that start cxrsync as it was started here. ``command``: pull or verify;
    ``arguments``: as they were given. ``variables``: options that were given in the environment.
    ``folder``: the absolute working folder, which relative paths in the arguments start from.
    ``verify_arguments``: those of the verification after the last task; None for none. ``name``: of
    the dataset, for people.
    """

    program: Sequence[str]
    command: str
    arguments: Sequence[str]
    variables: Mapping[str, str]
    folder: Path
    name: str
    verify_arguments: Sequence[str] | None = None


def slurm_script(division: Division, command: Command, resources: Resources) -> str:
    """Return the text of the script.

    Raises: UsageError for a path or a value with a line break, which no directive can hold.
    """
    import jinja2  # here: only this command needs it

    for text in (str(command.folder), *resources.directives):
        if not text.isprintable():
            raise UsageError(
                f"SLURM cannot be told {text!r}: it has a line break or a control character",
                next_step="Start from a folder with a plain name.",
            )
    transfers = command.command == "pull"
    # The user's own words come after the defaults, and before what is divided: the last one holds.
    arguments = ["--progress", "log", *command.arguments]
    if transfers:
        arguments = ["--wait-lock", f"{_WAIT_LOCK:.0f}s", *arguments]
        arguments += ["--connections", str(division.connections)]
        if division.rate.slowest is not None:
            arguments += ["--limit-rate", str(division.rate)]
    environment = jinja2.Environment(  # noqa: S701 - a shell script; each value is quoted for it
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {"quoted": shlex.quote, "joined": shlex.join}
    return environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        {
            **asdict(resources),
            "command": command.command,
            "name": command.name,
            "program": command.program,
            "arguments": arguments,
            "variables": sorted(command.variables.items()),
            "folder": shlex.quote(str(command.folder)),
            "verify_arguments": command.verify_arguments,
            "partitions": division.partitions,
            "at_once": division.at_once,
            "connections": division.connections,
            "transfers": transfers,
            "codes": {code.name: int(code) for code in ExitCode},
            "seconds_to_stop": SECONDS_TO_STOP,
            "max_requeues": _MAX_REQUEUES,
        }
    )
