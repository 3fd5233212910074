"""``cxrsync login``, ``logout`` and ``whoami``: the password of PhysioNet, and where it is kept."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from cxrsync.cancellation import NOTHING_CHANGED
from cxrsync.cli.environment import Command, option
from cxrsync.cli.main import Verbosity, say_error
from cxrsync.cli.signals import obeying_signals
from cxrsync.config.job import SourceConfig, TransferLimits
from cxrsync.config.option_value import check_options
from cxrsync.config.parse_job import source_config
from cxrsync.errors import CredentialsRefused, CxrsyncError, ExitCode, SourceError, UsageError
from cxrsync.operations.exit_status import explained_errors
from cxrsync.operations.sign_in import (
    delete_from_netrc,
    store_in_netrc,
    try_sign_in,
    users_in_netrc,
)
from cxrsync.progress_events import Activity, Phase
from cxrsync.sources import keyring_store
from cxrsync.sources.access_probe import AccessProbe, Find, usual_credentials
from cxrsync.sources.credentials import Credentials, alone, asking, has_terminal, netrc_path
from cxrsync.sources.prompt import TerminalPrompt
from cxrsync.ui.reporters import Reporters

_NOTHING_STORED = "nothing was stored"
_VARIABLES = ("PHYSIONET_PASSWORD", "PHYSIONET_PASSWORD_FILE")


@click.command(cls=Command)
@option("netrc", "Store it in ~/.netrc (or the file that NETRC names), not in the keyring.")
@option("user")
@option("base_url")
@option("ca_file")
@option("user_agent")
@click.pass_obj
def login(verbosity: Verbosity, /, netrc: bool, **options: Any) -> int:
    """Ask for user name and password, try them once, and store them.

    They are stored in the system's keyring (pip install 'cxrsync[keyring]'). Where there is none,
    you are asked whether ~/.netrc may hold them: as plain text, in a file that only you can read.
    Cron, systemd and batch systems open no keyring: use --netrc or PHYSIONET_PASSWORD_FILE there.
    """
    origin = source_config(check_options(options))
    with Reporters(verbosity.level) as reporters:
        done = asyncio.run(_login(origin, reporters, to_netrc=netrc))
    verbosity.output.write_lines(done)
    return ExitCode.COMPLETE


@click.command(cls=Command)
@option("netrc", "Delete it from ~/.netrc (or the file that NETRC names), too.")
@option("user")
@option("base_url")
@click.pass_obj
def logout(verbosity: Verbosity, /, netrc: bool, **options: Any) -> int:
    """Delete the stored password from the keyring; with --netrc, from ~/.netrc, too."""
    origin = source_config(check_options(options))
    host, file = _host(origin), netrc_path()
    lines = []
    if (gone := keyring_store.delete(host, origin.user)) is not None:
        lines.append(f"The password of {gone} for {host} is deleted from the keyring.")
    if netrc:
        users = delete_from_netrc(file, host, origin.user)
        lines += [f"The entry of {each} for {host} is deleted from {file}." for each in users]
    elif users := users_in_netrc(file, host):
        lines.append(
            f"{file} still has the password of {', '.join(users)} for {host}: "
            "`cxrsync logout --netrc` deletes it."
        )
    lines = lines or [f"No password for {host} is stored."]
    verbosity.output.write_lines([*lines, *_variables_in_use()])
    return ExitCode.COMPLETE


@click.command(cls=Command)
@option("user")
@option("base_url")
@option("ca_file")
@option("user_agent")
@option("json", "One JSON object.")
@click.pass_obj
def whoami(verbosity: Verbosity, /, as_json: bool, **options: Any) -> int:
    """Say which user name and password a pull would use, where they come from, and whether the site
    accepts them.

    They are tried once. The password is never shown. Exit codes: 0 accepted, 3 none found or
    refused, 4 the program is not let in, 10 server unreachable.
    """
    origin = source_config(check_options(options))
    host = _host(origin)
    found: Credentials | None = None
    problem: CxrsyncError | None = None
    accepted: bool | None = None
    try:
        with Reporters(verbosity.level) as reporters:
            reporters.tell(Phase(Activity.ASKING, host))
            found = usual_credentials(origin, None, is_required=False)()
            accepted = asyncio.run(_whoami(origin, reporters, found)) or None
    except SourceError as refused:
        problem = refused
        if found is not None and isinstance(refused, CredentialsRefused):
            accepted = False
    code = ExitCode.COMPLETE if problem is None else problem.exit_code
    if as_json:
        answer = {
            "host": host,
            "user": None if found is None else found.username,
            "found_in": None if found is None else found.found_in,
            "accepted": accepted,
            "warnings": [] if found is None else list(found.warnings),
            "exit_code": int(code),
        }
        verbosity.output.write(json.dumps(answer) + "\n")
    elif found is not None:
        verdict = f"{host} accepts it" if accepted else f"{host} asks for none"
        if problem is not None:
            verdict = f"{host} refuses it" if accepted is False else "it could not be tried"
        verbosity.output.write_lines(
            [f"{found.username}: password from {found.found_in}; {verdict}", *found.warnings]
        )
    if problem is not None:
        say_error(problem)
    return code


async def _whoami(origin: SourceConfig, reporters: Reporters, found: Credentials) -> bool:
    prompt = TerminalPrompt()
    with obeying_signals(prompt, reporters, NOTHING_CHANGED) as cancel, explained_errors(cancel):
        return await _try(origin, reporters, found)


async def _login(origin: SourceConfig, reporters: Reporters, *, to_netrc: bool) -> list[str]:
    """Return what was done, in lines."""
    host, file = _host(origin), netrc_path()
    prompt = TerminalPrompt()
    with obeying_signals(prompt, reporters, _NOTHING_STORED) as cancel, explained_errors(cancel):
        keyring = None if to_netrc else await asyncio.to_thread(keyring_store.keyring_name)
        if keyring is None and not to_netrc:
            with asking(reporters.tell):
                await _ask_for_netrc(prompt, file)
        user = origin.user or os.environ.get("PHYSIONET_USERNAME", "").strip() or None
        typed = await asyncio.to_thread(alone(prompt, reporters.tell), host, user)
        if typed is None:
            raise _nothing_typed()
        try:
            reporters.tell(Phase(Activity.ASKING, host))
            accepted = await _try(origin, reporters, typed)
        except SourceError as problem:
            raise type(problem)(
                f"{problem}; {_NOTHING_STORED}", next_step=problem.next_step
            ) from None
        cancel.safe = "`cxrsync whoami` says what is stored"
        if keyring is not None:
            await asyncio.to_thread(keyring_store.store, host, typed.username, typed.password)
        else:
            store_in_netrc(file, host, typed.username, typed.password)
    where = f"the keyring ({keyring})" if keyring is not None else f"{file}, readable by you only"
    tried = f"{host} accepts" if accepted else f"{host} asks for no password, so nothing tried"
    return [
        f"{tried} the password of {typed.username}. It is stored in {where}.",
        *_variables_in_use(),
        "Next: `cxrsync access` shows which datasets open to you.",
    ]


async def _ask_for_netrc(prompt: TerminalPrompt, file: Path) -> None:
    """Ask whether the netrc file may hold the password. Raises UsageError if not."""
    answer = await asyncio.to_thread(
        prompt.confirm,
        f"There is no keyring here. Store the password in {file}, as plain text that only you can "
        "read?",
    )
    if answer is None:
        raise _nothing_typed()
    if not answer:
        raise UsageError(
            f"the answer was no, so {_NOTHING_STORED}",
            next_step="To store it in the file, run it again and answer y. "
            "To have a keyring: pip install 'cxrsync[keyring]'. Without storing it, each "
            "command asks for the password; or set PHYSIONET_PASSWORD_FILE.",
        )


def _nothing_typed() -> UsageError:
    """Return the error for an empty answer, or for no terminal to answer on."""
    if has_terminal():
        return UsageError(
            f"an answer was empty, so {_NOTHING_STORED}",
            next_step="Run `cxrsync login` again, and type the user name and the password of "
            "PhysioNet. The password is not shown while it is typed.",
        )
    return UsageError(
        f"no user name and password were typed, and {_NOTHING_STORED}",
        next_step="`cxrsync login` asks on a terminal. Without one, set PHYSIONET_USERNAME and "
        "PHYSIONET_PASSWORD_FILE.",
    )


async def _try(origin: SourceConfig, reporters: Reporters, found: Credentials) -> bool:
    """Sign in once with these credentials. Return whether they were asked for."""
    find: Find = lambda: found  # noqa: E731
    probe = AccessProbe(origin, TransferLimits(), find, reporters.tell)
    try:
        return await try_sign_in(probe, origin)
    finally:
        await probe.close()


def _host(origin: SourceConfig) -> str:
    return urlsplit(origin.base_url).hostname or ""


def _variables_in_use() -> list[str]:
    return [
        f"Note: the variable {name} is set, and is used first: unset it to use what is stored."
        for name in _VARIABLES
        if os.environ.get(name)
    ]
