"""``cxrsync``: the group, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from dataclasses import dataclass, field
from importlib import import_module

import click

from cxrsync import __version__
from cxrsync.cli.diagnostics import speak_for_libraries
from cxrsync.cli.environment import option
from cxrsync.cli.unknown_option import unknown_option
from cxrsync.config.option_table import BY_NAME
from cxrsync.config.option_value import TRUE_WORDS
from cxrsync.errors import CxrsyncError, ExitCode
from cxrsync.sanitize import reason_of, trace
from cxrsync.ui.console import Output, open_standard_streams, redirect_to_null, to_stderr

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
class Verbosity:
    """How much a person wants to hear: -1 quiet, 0 normal, 1 verbose; and ``output``, where
    programs read."""

    level: int = 0
    output: Output = field(default_factory=Output)


class _Commands(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as problem:
            raise unknown_option(problem.option_name, ctx) from None

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
@option("verbose")
@option("quiet")
@option("debug")
@click.pass_context
def cli(ctx: click.Context, verbose: bool, quiet: bool, debug: bool) -> None:  # noqa: ARG001
    """Download and mirror PhysioNet's chest X-ray datasets: resumable, verified, gentle.

    \b
      cxrsync pull --jpg --shard p10      fetch one tenth of MIMIC-CXR-JPG; run again to go on
      cxrsync pull --jpg --split test     … or the test split; --dry-run says what it would take
      cxrsync ls --jpg --frontal          the paths that a selection means
      cxrsync verify --jpg                hash again what is there
      cxrsync status --jpg                what is there, by shard
      cxrsync demo                        try all of it on this machine, without an account

    Exit codes: 0 complete and verified, 1 unexpected, 2 usage, 3 credentials refused, 4 access
    denied, 5 some files failed, 6 some files contradict their checksum, 7 disk or output cannot be
    written, 8 another run is at work, 9 stopped at a limit, all well, 10 server unreachable,
    11 refused for safety (a person must look), 130 interrupted, 143 terminated. Of several the
    first of: 130, 143, 1, 2, 3, 4, 11, 7, 10, 8, 6, 5, 9, 0.
    """
    ctx.obj.level = int(verbose) - int(quiet)


def entry() -> None:
    """The ``cxrsync`` command."""
    open_standard_streams()
    code: int = ExitCode.UNEXPECTED
    try:
        speak_for_libraries(debug=wants_tracebacks(sys.argv[1:]))
        code = run(sys.argv[1:])
    finally:
        _let_output_go()
    sys.exit(code)


def wants_tracebacks(arguments: list[str]) -> bool:
    """Whether ``--debug`` or its variable is set: asked before anything is parsed, as what goes
    wrong there is shown with it, too."""
    said = os.environ.get(BY_NAME["debug"].variable, "")
    return "--debug" in arguments or said.strip().casefold() in TRUE_WORDS


def _let_output_go() -> None:
    """Whoever read our output may have gone: Python's own last flush must not change the code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            redirect_to_null(stream.fileno())


def run(arguments: list[str]) -> int:
    """Run one command line; returns its exit code."""
    # What is written may be patients' data: for the owner only, wherever a mode is not said.
    os.umask(os.umask(0o077) | 0o077)
    verbosity = Verbosity()
    output = verbosity.output
    # Ours goes to the output; what is caught here is click's own, as of --help.
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = _run(arguments, verbosity)
    if text := said.getvalue():
        output.write(text)
    if output.lost is not None:
        from cxrsync.errors import worst_of  # --help need not wait for asyncio

        say_error(output.lost)
        code = worst_of((code, output.lost.exit_code))
    return code


def _run(arguments: list[str], verbosity: Verbosity) -> int:
    try:
        result = cli.main(args=arguments, prog_name="cxrsync", standalone_mode=False, obj=verbosity)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as problem:  # usage errors among them
        with contextlib.suppress(OSError):
            problem.show()
        return ExitCode.USAGE
    except CxrsyncError as problem:
        say_error(problem, traced=wants_tracebacks(arguments))
        return problem.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except Exception as problem:  # noqa: BLE001 - the last door: it is told, in our own words
        say_error(problem, traced=wants_tracebacks(arguments))
        return ExitCode.UNEXPECTED
    return int(result or 0)


def say_error(problem: Exception, *, traced: bool = False) -> None:
    """What happened and what to do next, on stderr; with ``traced`` where, too."""
    what = reason_of(problem)
    if isinstance(problem, CxrsyncError):
        next_step = problem.next_step
    else:
        what = f"unexpected {what}. Nothing that was downloaded is lost."
        next_step = "Run it again with `cxrsync --debug …` and report what it says."
    for line in trace(problem) if traced else ():
        to_stderr(line)
    to_stderr(f"cxrsync: {what}")
    for line in next_step.split("\n") if next_step else ():
        to_stderr(line)
