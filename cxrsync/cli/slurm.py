"""``cxrsync slurm``: print a SLURM script for a pull or a verification over many nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import urlsplit

import click

from cxrsync import humanize
from cxrsync.catalog.dataset_info import OWN_CATALOGUE
from cxrsync.catalog.load import dataset_info
from cxrsync.cli.environment import Command, CommandGroup, option
from cxrsync.cli.main import Verbosity
from cxrsync.cli.options import (
    job_of,
    job_of_tree,
    places_argument,
    pull_options,
    selection_options,
    source_options,
)
from cxrsync.config.command_options import SLURM
from cxrsync.config.job import Job
from cxrsync.config.option_table import OPTIONS
from cxrsync.distributed.divide import Division, divide
from cxrsync.distributed.gather import ENDS_ALL, Gathered, TaskResult, gather, read_results
from cxrsync.distributed.slurm_script import Command as TaskCommand
from cxrsync.distributed.slurm_script import Resources, check_time, slurm_script
from cxrsync.errors import CxrsyncError, ExitCode, Unreachable, UsageError
from cxrsync.sources import credentials
from cxrsync.ui.console import to_stderr

_OWN = frozenset(each.name for each in SLURM)
# Of the environment, besides cxrsync's own: where the credentials are, never a password.
_VARIABLES = (
    OWN_CATALOGUE,
    "NETRC",
    "PHYSIONET_HOST",
    "PHYSIONET_PASSWORD_FILE",
    "PHYSIONET_USERNAME",
)


class _Remembering(Command):
    """A command that remembers the words that it was given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[__name__] = list(args)
        return super().parse_args(ctx, args)


def _slurm_options(function: Any) -> Any:
    for each in reversed(SLURM):
        if each.name != "no_verify":
            function = option(each.name)(function)
    return function


@click.group(cls=CommandGroup)
def slurm() -> None:
    """Pull or verify with SLURM: many nodes, one tree, one budget of connections."""


@slurm.command(cls=_Remembering)
@places_argument
@selection_options
@source_options
@pull_options
@_slurm_options
@option("no_verify")
@click.pass_context
def pull(ctx: click.Context, /, no_verify: bool, **options: Any) -> int:
    """Print a script that pulls with an array of tasks, one for each shard and one for the tables.

    The options are those of pull. --connections is the total of all tasks; PhysioNet bears about 8
    of one user. The last job gathers the results, and hashes every file again. Each task looks for
    its own credentials: set PHYSIONET_PASSWORD_FILE, or run `cxrsync login --netrc`.
    """
    own = _taken(options)
    job = job_of(options)
    words = list(_words(ctx))
    _warn_of_credentials(job)
    verify = None if no_verify else list(_words(ctx, _names_of(verify_command)))
    return _script(ctx, job, own, TaskWords("pull", words, verify))


@slurm.command("verify", cls=_Remembering)
@places_argument
@selection_options
@option("all")
@option("acknowledge")
@option("only_partition")
@_slurm_options
@click.pass_context
def verify_command(ctx: click.Context, /, everything: bool, **options: Any) -> int:
    """Print a script that verifies with an array of tasks, one for each shard and the tables.

    The options are those of verify.
    """
    del everything  # the tasks get it in their own words
    own = _taken(options)
    job = job_of_tree(options)
    return _script(ctx, job, own, TaskWords("verify", list(_words(ctx)), None))


@slurm.command("gather", cls=Command)
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("partitions", nargs=-1, required=True)
@option("json")
@click.pass_obj
def gather_command(
    verbosity: Verbosity, /, folder: Path, partitions: tuple[str, ...], as_json: bool
) -> int:
    """Print the results of the tasks of an array as one summary; exit with the worst of them.

    The last job of a script runs it. FOLDER has the results; PARTITIONS are those of the tasks.
    """
    found = gather(read_results(folder, partitions))
    for line in gathered_lines(found):
        to_stderr(line)
    if as_json:
        verbosity.output.write(json.dumps({"event": "summary", **found.as_json()}) + "\n")
    return found.exit_code


class TaskWords:
    """What each task runs: the command with its words, and the words of a verification after it."""

    def __init__(self, command: str, words: Sequence[str], verify: Sequence[str] | None) -> None:
        self.command = command
        self.words = words
        self.verify = verify


def _taken(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of SLURM out of a command's options."""
    return {name: options.pop(name) for name in list(options) if name in _OWN}


def _script(ctx: click.Context, job: Job, own: Mapping[str, Any], task: TaskWords) -> int:
    transfers = task.command == "pull"
    shards = dataset_info(job.dataset).shards
    division = divide(job, shards, own["tasks"], transfers=transfers)
    name = job.dataset + ("" if job.version is None else f" {job.version}")
    command = TaskCommand(
        (sys.executable, "-m", "cxrsync"),
        task.command,
        task.words,
        _variables(os.environ),
        Path.cwd(),
        name,
        task.verify,
    )
    resources = Resources(
        check_time(own["time"]), own["cpus"], own["mem"], tuple(own["sbatch"] or ())
    )
    script = slurm_script(division, command, resources)
    if transfers and division.at_once * division.connections < job.limits.connections:
        to_stderr(_unused(division, job.limits.connections))
    ctx.obj.output.write(script)
    return _submit(script) if own["submit"] else ExitCode.COMPLETE


def _unused(division: Division, total: int) -> str:
    return (
        f"{division.at_once} tasks at a time share {total} connections: "
        f"{division.connections} each, {total - division.at_once * division.connections} not used"
    )


def _names_of(command: click.Command) -> frozenset[str]:
    return frozenset(param.name or "" for param in command.params) - _OWN


def _words(ctx: click.Context, only: frozenset[str] | None = None) -> Iterator[str]:
    """Yield the words that a command was given, without the options of SLURM itself.

    ``only``: the names of the parameters to keep; None: all. Raises UsageError for ``@-``: no task
    has the standard input of this command.
    """
    parser = ctx.command.make_parser(ctx)
    values, _rest, order = parser.parse_args(list(ctx.meta[__name__]))
    for param in dict.fromkeys(order):
        if param.name in _OWN or (only is not None and param.name not in only):
            continue
        value = values.get(param.name or "")
        if isinstance(value, list | tuple):
            given = list(value)
        else:  # an argument that was not given is a marker of click's
            given = [] if isinstance(param, click.Argument) else [value]
        if any(each in {"@-", "-"} for each in given):
            raise UsageError(
                "a task cannot read the standard input of this command",
                next_step="Write the ids to a file that every node sees, and name it: @FILE.",
            )
        if isinstance(param, click.Argument):
            yield from map(str, given)
        elif getattr(param, "is_flag", False):
            yield param.opts[-1]
        else:
            for each in given:
                yield from (param.opts[-1], str(each))


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the tasks need: the options in them, and where credentials are."""
    known = {each.variable for each in OPTIONS if each.name not in _OWN}
    return {name: value for name, value in environ.items() if name in known or name in _VARIABLES}


def _warn_of_credentials(job: Job) -> None:
    """Say on a terminal if the only password is in a keyring, which no batch job can open."""
    if job.origin.from_dir is not None:
        return
    parts = urlsplit(job.origin.base_url)
    try:
        found = credentials.find(parts.hostname or "", job.origin.user, port=parts.port)
    except CxrsyncError:
        to_stderr("no password was found here. Each task looks for one on its node.")
        return
    if found.found_in == credentials.KEYRING:
        to_stderr(
            "the password is in the keyring of this session, which a batch job cannot open: set "
            "PHYSIONET_USERNAME and PHYSIONET_PASSWORD_FILE, or run `cxrsync login --netrc`"
        )


def _submit(script: str) -> int:
    sbatch = which("sbatch")
    if sbatch is None:
        raise UsageError(
            "there is no sbatch on this machine",
            next_step="Run the command on a login node of the cluster, or save the script there.",
        )
    done = subprocess.run([sbatch], input=script, text=True, check=False)  # noqa: S603 - the script above
    if done.returncode:
        raise Unreachable(
            f"sbatch ended with {done.returncode}", next_step="Its message above says why."
        )
    return ExitCode.COMPLETE


def gathered_lines(found: Gathered) -> list[str]:
    """Return the result of a job in lines for people."""
    files = found.files
    if "good" in files:
        text = (
            f"{humanize.files(files['selected'])} selected, {files['good']:,} verified, "
            f"{files.get('bad', 0):,} bad, {files.get('missing', 0):,} missing"
        )
    else:
        fetched = humanize.size(found.bytes.get("fetched", 0))
        text = (
            f"{humanize.files(files.get('selected', 0))} selected, "
            f"{humanize.were(files.get('present', 0))} verified before, "
            f"{files.get('fetched', 0):,} fetched ({fetched}), {files.get('failed', 0):,} failed, "
            f"{files.get('mismatched', 0):,} mismatched; {found.requests:,} requests"
        )
    lines = [f"{len(found.tasks)} tasks: {text}"]
    for task in found.tasks:
        if task.exit_code:
            error = task.last.get("error") or _found_wrong(task) or "its log says why"
            lines.append(f"  {task.partition}: exit {task.exit_code}: {error}")
        elif task.exit_code is None:
            lines.append(f"  {task.partition}: did not begin, was killed, or is still at work")
    if found.exit_code != ExitCode.COMPLETE:
        if "good" in files and (files.get("bad") or files.get("missing")):
            lines.append("`cxrsync verify --repair` fetches what is bad or missing.")
        else:
            first = "Mend that first, then s" if found.exit_code in ENDS_ALL else "S"
            lines.append(f"{first}ubmit the same script again: nothing is fetched twice.")
    return lines


def _found_wrong(task: TaskResult) -> str:
    """Return what a verification has found in a task's partition, in words."""
    files = task.last.get("files")
    counts = files if isinstance(files, dict) and "good" in files else {}
    words = ("bad", "unreadable", "missing", "refused")
    return ", ".join(f"{counts[each]:,} {each}" for each in words if counts.get(each))
