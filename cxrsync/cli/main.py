"""``cxrsync``: the group, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from dataclasses import dataclass
from importlib import import_module

import click

from cxrsync import __version__
from cxrsync.errors import CxrsyncError, ExitCode

# Name → module and function; imported only when the command is called.
_COMMANDS = {
    "pull": "cxrsync.cli.pull:pull",
    "ls": "cxrsync.cli.ls:ls",
    "diff": "cxrsync.cli.diff:diff",
    "verify": "cxrsync.cli.verify:verify",
    "status": "cxrsync.cli.status:status",
    "demo": "cxrsync.cli.demo:demo",
}


@dataclass(slots=True)
class Loudness:
    """How much a person wants to hear: -1 quiet, 0 normal, 1 verbose."""

    level: int = 0


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        return list(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's interface
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name].split(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cxrsync")
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    envvar="CXRSYNC_VERBOSE",
    help="Name every file and every retry.",
)
@click.option("-q", "--quiet", is_flag=True, envvar="CXRSYNC_QUIET", help="Say nothing but errors.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def cli(ctx: click.Context, verbose: bool, quiet: bool, debug: bool) -> None:
    """Download and mirror PhysioNet's chest X-ray datasets: resumable, verified, gentle.

    \b
      cxrsync pull --jpg --shard p10      fetch one tenth of MIMIC-CXR-JPG; run again to go on
      cxrsync pull --jpg --split test     … or the test split; --dry-run says what it would take
      cxrsync ls --jpg --frontal          the paths that a selection means
      cxrsync verify --jpg                hash again what is there
      cxrsync status --jpg                what is there, by shard
      cxrsync demo                        try all of it on this machine, without an account

    Exit codes: 0 complete and verified, 2 usage, 3 credentials refused, 4 access denied,
    5 some files failed, 6 some files contradict their checksum, 7 disk, 8 another run is at work,
    9 stopped at a limit, 10 server unreachable, 11 refused for safety (a person must look),
    130 interrupted, 143 terminated.
    """
    ctx.obj = Loudness(int(verbose) - int(quiet))
    logging.basicConfig(level=logging.WARNING if not debug else logging.INFO)


def entry() -> None:
    """The ``cxrsync`` command."""
    code: int = ExitCode.UNEXPECTED
    try:
        code = run(sys.argv[1:])
    except BrokenPipeError:
        pass  # nobody is left to be told
    finally:
        _let_output_go()
    sys.exit(code)


def _let_output_go() -> None:
    """Whoever read our output may have gone: Python's own last flush must not change the code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run(arguments: list[str]) -> int:
    """Run one command line; returns its exit code."""
    # What is written may be patients' data: for the owner only, wherever a mode is not said.
    os.umask(os.umask(0o077) | 0o077)
    try:
        result = cli.main(args=arguments, prog_name="cxrsync", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as problem:
        problem.show()
        return ExitCode.USAGE
    except click.ClickException as problem:
        problem.show()
        return ExitCode.USAGE
    except CxrsyncError as problem:
        if "--debug" in arguments:
            logging.getLogger("cxrsync").exception("the run ended here")
        say_error(problem)
        return problem.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return ExitCode.UNEXPECTED  # as of `| head`: nothing more to say, and no complaint
    except Exception as problem:
        if "--debug" in arguments:
            raise
        click.echo(
            f"cxrsync: unexpected {type(problem).__name__}. Nothing that was downloaded is lost.\n"
            "Run it again with `cxrsync --debug …` and report what it says.",
            err=True,
        )
        return ExitCode.UNEXPECTED
    return int(result or 0)


def say_error(problem: CxrsyncError) -> None:
    """What happened and what to do next, on stderr."""
    with contextlib.suppress(OSError):  # nobody may be left to read it; the exit code tells too
        click.echo(f"cxrsync: {problem}", err=True)
        if problem.next_step:
            click.echo(problem.next_step, err=True)
