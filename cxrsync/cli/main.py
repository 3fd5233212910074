"""The ``cxrsync`` command: its subcommands, and how an error becomes a message and an exit code."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from dataclasses import dataclass, field

import click
from click.shell_completion import CompletionItem

from cxrsync import __version__
from cxrsync.cli.commands import COMMANDS
from cxrsync.cli.diagnostics import capture_library_output, ignore_unusable_key_log
from cxrsync.cli.environment import ShortHelp, option
from cxrsync.cli.help.terminal import shown, wants_style
from cxrsync.cli.shells import COMPLETE_VARIABLE
from cxrsync.cli.signal_codes import STOPPED, STOPPED_AT_ONCE, end_at_warnings
from cxrsync.cli.unknown_option import unknown_option
from cxrsync.config.option_table import BY_NAME
from cxrsync.config.option_value import TRUE_WORDS
from cxrsync.errors import CxrsyncError, ExitCode
from cxrsync.sanitize import reason_of, trace, without_secrets
from cxrsync.ui.console import Output, hide_ids, open_standard_streams, redirect_to_null, to_stderr


@dataclass(slots=True)
class Verbosity:
    """How much to print for people: -1 quiet, 0 normal, 1 verbose. ``as_json``: whether --json
    stands before the command. ``output``: standard output. ``lost_code``: 7 once a log file could
    not be written, which has been said."""

    level: int = 0
    as_json: bool = False
    output: Output = field(default_factory=Output)
    lost_code: ExitCode = ExitCode.COMPLETE


class _Commands(ShortHelp, click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as problem:
            raise unknown_option(problem.option_name, ctx) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing:
            from cxrsync.cli.unknown_command import unknown_command  # here: it needs the catalogue

            raise unknown_command(args[0], list(COMMANDS))
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's interface
        cmd_name: str,
    ) -> click.Command | None:
        return COMMANDS[cmd_name].imported() if cmd_name in COMMANDS else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        named = (each for each in COMMANDS.values() if each.name.startswith(incomplete))
        items = [CompletionItem(each.name, help=each.summary) for each in named]
        return items + click.Command.shell_complete(self, ctx, incomplete)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from cxrsync.cli.help.program_page import program_page  # here: only help needs it

        formatter.write(shown(program_page(ctx), style=ctx.color))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cxrsync")
@option("verbose")
@option("quiet")
@option("debug")
@option("debug_ids")
@click.option("--json", "as_json", is_flag=True, hidden=True)
@click.help_option("--help-all", hidden=True)  # it is the option of each command
@click.pass_context
def cli(ctx: click.Context, /, verbose: bool, quiet: bool, as_json: bool, **_debug: bool) -> None:
    """Download and mirror PhysioNet's chest X-ray datasets: resumable, verified, gentle."""
    ctx.obj.level = int(verbose) - int(quiet)
    ctx.obj.as_json = as_json


def _use_utf8_names() -> None:
    """Start again in Python's UTF-8 mode (PEP 540) if the names of files have another encoding.

    Paths of a manifest are UTF-8. Under a locale like ISO-8859-1, or C with PYTHONUTF8=0, Python
    cannot give every such name to a file.
    """
    if sys.getfilesystemencoding() != "utf-8" and sys.executable:
        with contextlib.suppress(OSError):  # without it, the lines of such names are rejected
            words = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
            os.execv(sys.executable, words)  # noqa: S606 - this very program


def entry() -> None:
    """Run the ``cxrsync`` command of this process."""
    _use_utf8_names()
    open_standard_streams()
    end_at_warnings()
    code: int = ExitCode.UNEXPECTED
    try:
        if COMPLETE_VARIABLE in os.environ:
            code = _complete()
        else:
            ignore_unusable_key_log()
            is_debugged = wants_tracebacks(sys.argv[1:])
            capture_library_output(debug=is_debugged)
            if is_debugged and not _is_set("debug_ids", sys.argv[1:]):
                hide_ids()
            code = run(sys.argv[1:])
    finally:
        _flush_output()
    sys.exit(code)


def _complete() -> int:
    """Answer a shell that completes a command line."""
    from cxrsync.cli.complete import answered

    with contextlib.suppress(CxrsyncError):
        Output().write_lines(answered(cli))
    return ExitCode.COMPLETE


def wants_tracebacks(arguments: list[str]) -> bool:
    """Return whether ``--debug``, ``--debug-ids`` or a variable of the two is set."""
    return _is_set("debug", arguments) or _is_set("debug_ids", arguments)


def _is_set(name: str, arguments: list[str]) -> bool:
    """Whether the flag or its variable is set.

    The answer is needed before the arguments are parsed: errors of parsing get a traceback, too.
    """
    value = os.environ.get(BY_NAME[name].variable, "")
    return BY_NAME[name].typed in arguments or value.strip().casefold() in TRUE_WORDS


def _flush_output() -> None:
    """Flush the output here: without its reader, Python's flush at exit would change the code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            redirect_to_null(stream.fileno())


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    # Files may hold patients' data. Without an explicit mode they are readable by the owner only.
    os.umask(os.umask(0o077) | 0o077)
    verbosity = Verbosity()
    output = verbosity.output
    # This catches only what click prints itself, such as --help. Commands write to ``output``.
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = _run(arguments, verbosity)
    if text := printed.getvalue():
        output.write(text)
    if output.lost is not None:
        say_error(output.lost)
        verbosity.lost_code = output.lost.exit_code
    if verbosity.lost_code is not ExitCode.COMPLETE:
        from cxrsync.errors import worst_of  # here, so that --help does not import asyncio

        code = worst_of((code, verbosity.lost_code))
    return code


def _run(arguments: list[str], verbosity: Verbosity) -> int:
    try:
        result = cli.main(
            args=arguments, prog_name="cxrsync", standalone_mode=False, obj=verbosity,
            color=wants_style(is_terminal=verbosity.output.is_terminal),
        )  # fmt: skip
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
        to_stderr(f"cxrsync: {STOPPED_AT_ONCE if _resumes(arguments) else STOPPED}")
        return ExitCode.INTERRUPTED
    except Exception as problem:  # noqa: BLE001 - the last handler: it reports the error in our own words
        return _last_resort(problem, traced=wants_tracebacks(arguments))
    return int(result or 0)


def _resumes(arguments: list[str]) -> bool:
    """Return whether the command of these arguments goes on where it was stopped."""
    command = next((COMMANDS[word] for word in arguments if word in COMMANDS), None)
    return command is not None and command.resumes


def _last_resort(problem: Exception, *, traced: bool) -> int:
    """Report an error that nobody has expected. An error of the system comes from outside."""
    try:  # imported here, so that --help does not import asyncio
        from cxrsync.errors import unwrap
        from cxrsync.operations.exit_status import machine_error
    except (ImportError, MemoryError, OSError):  # ImportError: a library that cannot be mapped
        to_stderr("cxrsync: cannot continue: the system gives no more memory or open files")
        return ExitCode.DISK
    cause = machine_error(unwrap(problem))
    for line in trace(problem) if traced and cause is not None else ():
        to_stderr(line)
    say_error(cause or problem, traced=traced and cause is None)
    return ExitCode.UNEXPECTED if cause is None else cause.exit_code


def say_error(problem: Exception, *, traced: bool = False) -> None:
    """Print an error and its next step to stderr; with ``traced``, its traceback first."""
    for line in trace(problem) if traced else ():
        to_stderr(line)
    for line in error_lines(problem):
        to_stderr(line)


def error_lines(problem: Exception) -> list[str]:
    """Return what a person is told of an error."""
    what = without_secrets(reason_of(problem))
    if isinstance(problem, CxrsyncError):
        next_step = without_secrets(problem.next_step)
    else:
        what = f"unexpected {what}. Nothing that was downloaded is lost."
        next_step = "Run the command again with `cxrsync --debug` and report the traceback."
    return [f"cxrsync: {what}", *(next_step.split("\n") if next_step else ())]
