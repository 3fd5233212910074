"""Write the script of a SLURM job array that pulls or verifies, a task a partition. Pure.

What the script relies on (sbatch(1), scontrol(1)): ``--array=0-10%4`` caps the tasks at work;
``--signal=B:TERM@120`` sends SIGTERM to the batch shell alone; ``scontrol requeue`` starts a task
again, after two minutes; ``--open-mode=append`` keeps its log.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cxrsync.distributed.divide import Division
from cxrsync.distributed.gather import ENDS_ALL
from cxrsync.errors import ExitCode, UsageError
from cxrsync.storage.lock import SILENT_SECONDS

# A task that was killed on another host leaves a lock, which is taken over after this silence.
_WAIT_LOCK = SILENT_SECONDS + 100
# A run that is told to stop needs seconds. SLURM looks at the limits of time each half minute, and
# sends the signal up to a minute late.
SECONDS_TO_STOP = 120
_MAX_REQUEUES = 1000
_TEMPLATE = Path(__file__).with_name("slurm_array.sh.jinja")


_NO_MATTER = "Leave it out."
# What the script cannot do without, and what to say instead.
_OURS = {
    **dict.fromkeys(("--array", "-a"), "--tasks N says how many tasks run at a time."),
    **dict.fromkeys(
        ("--chdir", "-D"), "Print the script in the folder that its tasks should have."
    ),
    **dict.fromkeys(("--signal", "--no-requeue", "--wrap", "--parsable"), _NO_MATTER),
}

# minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes,
# days-hours:minutes:seconds (sbatch(1))
_TIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<d_hours>\d+)(?::(?P<d_minutes>\d+))?(?::(?P<d_seconds>\d+))?"
    r"|(?:(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+)|(?P<only>\d+))",
    re.ASCII,
)
_MIN_SECONDS = 600


def check_time(text: str) -> str:
    """Return a time limit in one of SLURM's forms. Raises: UsageError.

    A task is told to stop two minutes before its end: with less than ten it would get nowhere.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"--time {text!r} is not a time limit of SLURM",
            next_step="Write hours:minutes:seconds, as 24:00:00, or days-hours, as 2-12.",
        )
    parts = {name: int(value) for name, value in match.groupdict(default="0").items()}
    seconds = (
        parts["days"] * 86_400
        + (parts["hours"] + parts["d_hours"]) * 3600
        + (parts["minutes"] + parts["d_minutes"] + parts["only"]) * 60
        + parts["seconds"]
        + parts["d_seconds"]
    )
    if seconds < _MIN_SECONDS:
        raise UsageError(
            f"--time {text} is too short: a task is told to stop {SECONDS_TO_STOP} s before it",
            next_step="Give each task ten minutes at least, better a day: --time 24:00:00.",
        )
    return text.strip()


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


def _check_words(folder: Path, directives: Sequence[str]) -> None:
    """Raise UsageError for what SLURM cannot be told in a directive."""
    for text in (str(folder), *directives):
        if not text.isprintable():
            raise UsageError(
                f"SLURM cannot be told {text!r}: it has a line break or a control character",
                next_step="Start from a folder with a plain name.",
            )
    if found := {"%", "\\"}.intersection(str(folder)):
        raise UsageError(
            f"SLURM cannot write its logs to {folder}: it replaces {min(found)} in the name",
            next_step="Start from a folder with a plain name.",
        )
    for each in directives:
        try:
            words = shlex.split(each)
        except ValueError:
            words = []
        if not words or not words[0].startswith("-"):
            raise UsageError(
                f"--sbatch {each!r} is not an option of sbatch",
                next_step="Write it as in a script, with its dashes: --sbatch --account=radiology.",
            )
        name = words[0].partition("=")[0]
        if name in _OURS:
            raise UsageError(f"--sbatch {name}: the script says that itself", next_step=_OURS[name])


def _requoted(directive: str) -> str:
    return shlex.join(shlex.split(directive))


def slurm_script(division: Division, command: Command, resources: Resources) -> str:
    """Return the text of the script.

    Raises: UsageError for a path or a value with a line break, which no directive can hold.
    """
    import jinja2  # here: only this command needs it

    _check_words(command.folder, resources.directives)
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
    environment.filters |= {"quoted": shlex.quote, "joined": shlex.join, "requoted": _requoted}
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
            "ends_all": sorted(map(int, ENDS_ALL)),
            "codes": {code.name: int(code) for code in ExitCode},
            "seconds_to_stop": SECONDS_TO_STOP,
            "max_requeues": _MAX_REQUEUES,
        }
    )
