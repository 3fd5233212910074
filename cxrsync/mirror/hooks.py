"""Run the commands that a job file names with ``before`` and ``after``.

1. ``before`` runs before anything else. If it ends with exit code 75 (EX_TEMPFAIL of sysexits.h:
   try again later), this run of the mirror is skipped. So a hook can keep a mirror away from a
   storage under maintenance.
2. ``after`` runs at the end, with the result in variables ``CXRSYNC_RESULT_…``.
3. Whatever else a hook does, fails at or exceeds is a warning. It never changes the exit code.

No shell runs a command. A hook inherits the environment without the credentials for PhysioNet, has
an empty standard input, and its output goes to the log. A hook is ended after its time limit,
together with every process of its process group.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, cast

from cxrsync import humanize
from cxrsync.mirror.report import MirrorReport
from cxrsync.sanitize import printable, reason_of

HOOK_SECONDS = 600.0
SKIP_CODE = 75
RESULT_PREFIX = "CXRSYNC_RESULT_"
# Every variable with credentials for PhysioNet, the file that holds some, and the folder into which
# systemd puts such files.
_CREDENTIAL_PREFIX = "PHYSIONET_"
_CREDENTIAL_NAMES = frozenset({"NETRC", "CREDENTIALS_DIRECTORY"})
_GRACE_SECONDS = 5.0
# A process that the hook left behind may hold the pipe open for ever.
_OUTPUT_SECONDS = 1.0
_MAX_LINES = 1000
_MAX_LINE = 2000


@dataclass(frozen=True, slots=True)
class HookResult:
    """How a hook ended. ``exit_code``: None if it did not start or was ended by a signal.

    ``warning``: what to say to the user; "" if all is well. ``skips``: this run of the mirror is
    to be skipped.
    """

    exit_code: int | None
    warning: str = ""
    skips: bool = False


LogLine = Callable[[str], None]
"""Takes one line of a hook's output."""


async def run_before(
    command: tuple[str, ...],
    log: LogLine,
    *,
    seconds: float = HOOK_SECONDS,
    environ: Mapping[str, str] = os.environ,
    secrets: tuple[str, ...] = (),
) -> HookResult:
    """Run the hook that precedes a mirror. ``secrets``: see :func:`hook_environment`."""
    environment = hook_environment(environ, None, secrets)
    result = await _run("before", command, environment, log, seconds)
    if result.exit_code == SKIP_CODE:
        return HookResult(SKIP_CODE, skips=True)
    return result


async def run_after(
    command: tuple[str, ...],
    result: MirrorReport,
    log: LogLine,
    *,
    seconds: float = HOOK_SECONDS,
    environ: Mapping[str, str] = os.environ,
    secrets: tuple[str, ...] = (),
) -> HookResult:
    """Run the hook that follows a mirror, with its result in the environment."""
    return await _run("after", command, hook_environment(environ, result, secrets), log, seconds)


def hook_environment(
    environ: Mapping[str, str], result: MirrorReport | None, secrets: tuple[str, ...] = ()
) -> dict[str, str]:
    """Return the environment of a hook.

    Variables with credentials for PhysioNet are left out, and each variable that contains one of
    ``secrets``, such as the URL of a ping.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith((_CREDENTIAL_PREFIX, RESULT_PREFIX))
        and name not in _CREDENTIAL_NAMES
        and not any(secret in value for secret in secrets if secret)
    }
    return kept if result is None else kept | result_variables(result)


def result_variables(result: MirrorReport) -> dict[str, str]:
    """Return the variables that tell a hook how the mirror ended."""
    files = result.files
    values: dict[str, object] = {
        "EXIT_CODE": int(result.exit_code),
        "SENTENCE": result.sentence,
        "GOOD": "yes" if result.is_good else "no",
        "JOBS": " ".join(each.job for each in result.jobs),
        "NEWS": "\n".join(result.news),
        "FILES_VERIFIED": files.verified,
        "FILES_MISSING": files.missing,
        "FILES_FETCHED": files.fetched,
        "FILES_FAILED": files.failed,
        "FILES_MISMATCHED": files.mismatched,
        "FILES_SCRUBBED": result.scrubbed_files,
        "FILES_ROTTEN": result.rotten_files,
        "FILES_DELETED": files.deleted,
        "BYTES_FETCHED": result.fetched_bytes,
        "BYTES_SCRUBBED": result.scrubbed_bytes,
        "SECONDS": round(result.seconds),
        "RUN_FILES": "\n".join(str(each.run_file) for each in result.jobs if each.run_file),
    }
    return {f"{RESULT_PREFIX}{name}": str(value) for name, value in values.items()}


async def _run(
    name: str, command: tuple[str, ...], environment: dict[str, str], log: LogLine, seconds: float
) -> HookResult:
    receiving, sending = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            # A pipe of our own: with asyncio's, wait() would also wait for every process that has
            # inherited the pipe and outlives the hook.
            stdout=sending,
            stderr=sending,
            env=environment,
            start_new_session=True,  # its children are ended with it
        )
    except (OSError, ValueError) as problem:
        os.close(receiving)
        return HookResult(None, f"the hook {name} cannot be started: {reason_of(problem)}")
    finally:
        os.close(sending)
    pipe = cast("BinaryIO", os.fdopen(receiving, "rb", buffering=0))
    output = asyncio.create_task(_log_output(name, pipe, log))
    try:
        async with asyncio.timeout(seconds):
            code = await process.wait()
        await asyncio.wait({output}, timeout=_OUTPUT_SECONDS)
    except TimeoutError:
        return HookResult(
            None, f"the hook {name} took longer than {humanize.duration(seconds)} and was ended"
        )
    finally:
        # Also if this run is cancelled: nothing may be left behind.
        await _end(process)
        output.cancel()
        await asyncio.wait({output})
        pipe.close()
    if code < 0:
        return HookResult(None, f"the hook {name} was ended by signal {-code}")
    warning = f"the hook {name} failed with exit code {code}" if code else ""
    return HookResult(code, warning)


async def _log_output(name: str, pipe: BinaryIO, log: LogLine) -> None:
    """Pass each line of the output on, up to a limit; read the rest, so that the hook can end."""
    reader = asyncio.StreamReader()
    transport, _protocol = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        await _log_lines(name, reader, log)
    finally:
        transport.close()


async def _log_lines(name: str, reader: asyncio.StreamReader, log: LogLine) -> None:
    count, line = 0, b""
    while chunk := await reader.read(1 << 14):
        *lines, line = (line + chunk).split(b"\n")
        if len(line) > _MAX_LINE:
            lines, line = [*lines, line], b""
        for each in lines:
            count += 1
            if count <= _MAX_LINES:
                log(_line(name, each))
    if line:
        count += 1
        log(_line(name, line))
    if count > _MAX_LINES:
        log(f"{name}: {count - _MAX_LINES:,} more lines were left out")


def _line(name: str, raw: bytes) -> str:
    return f"{name}: {printable(raw[:_MAX_LINE].decode('utf-8', 'replace').rstrip())}"


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a hook that still runs, with its process group: politely, then for certain.

    A hook that has ended is left alone: its process id may belong to another process by now.
    """
    if process.returncode is not None:
        return
    _signal_group(process, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_SECONDS):
            await process.wait()
    _signal_group(process, signal.SIGKILL)  # also children that outlived the hook
    await process.wait()


def _signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
