"""Hooks as real processes."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from cxrsync.config.hook_command import parse_hook_command
from cxrsync.errors import UsageError
from cxrsync.mirror import hooks
from cxrsync.mirror.hooks import HookResult, hook_environment, run_after, run_before
from cxrsync.mirror.report import FileCounts, JobReport, MirrorReport

RESULT = MirrorReport(
    5,
    61.4,
    (
        JobReport(
            "jpg", "mimic-cxr-jpg", 5, 1e9, 60.0, FileCounts(9, 2, 3, 1), run_file=Path("/a b")
        ),
        JobReport("dicom", "mimic-cxr", 0, 1e9, 1.0, FileCounts(1), run_file=Path("/c")),
    ),
    news=("jpg: new",),
)
ENVIRONMENT = {"PATH": os.environ["PATH"]}


async def run(*command: str, **options: object) -> tuple[HookResult, list[str]]:
    lines: list[str] = []
    result = await run_before(command, lines.append, environ=ENVIRONMENT, **options)  # type: ignore[arg-type]
    return result, lines


async def test_output_goes_to_the_log() -> None:
    result, lines = await run("sh", "-c", "echo one; echo two >&2; printf 'three\\033[1m'; cat")
    assert result == HookResult(0)
    assert lines == ["before: one", "before: two", "before: three\\x1b[1m"]


async def test_after_gets_the_result() -> None:
    lines: list[str] = []
    secret = "https://hc.test/secret"
    environ = {
        **ENVIRONMENT,
        "PHYSIONET_PASSWORD": "hidden",
        "PHYSIONET_PASSWORD_FILE": "/run/secret",
        "NETRC": "/n",
        "CREDENTIALS_DIRECTORY": "/c",
        "PING_URL": f"{secret}?x",
        "CXRSYNC_RESULT_OLD": "old",
        "SLACK_URL": "kept",
    }
    result = await run_after(("env",), RESULT, lines.append, environ=environ, secrets=(secret, ""))
    assert result == HookResult(0)
    assert set(lines) == {
        f"after: PATH={os.environ['PATH']}", "after: SLACK_URL=kept",
        "after: CXRSYNC_RESULT_EXIT_CODE=5", "after: CXRSYNC_RESULT_SENTENCE=some files failed",
        "after: CXRSYNC_RESULT_GOOD=no", "after: CXRSYNC_RESULT_NEWS=jpg: new",
        "after: CXRSYNC_RESULT_JOBS=jpg dicom",
        "after: CXRSYNC_RESULT_FILES_VERIFIED=10", "after: CXRSYNC_RESULT_FILES_MISSING=2",
        "after: CXRSYNC_RESULT_FILES_FETCHED=3", "after: CXRSYNC_RESULT_FILES_FAILED=1",
        "after: CXRSYNC_RESULT_FILES_MISMATCHED=0", "after: CXRSYNC_RESULT_FILES_SCRUBBED=0",
        "after: CXRSYNC_RESULT_FILES_ROTTEN=0", "after: CXRSYNC_RESULT_FILES_DELETED=0",
        "after: CXRSYNC_RESULT_BYTES_FETCHED=0",
        "after: CXRSYNC_RESULT_BYTES_SCRUBBED=0", "after: CXRSYNC_RESULT_SECONDS=61",
        "after: CXRSYNC_RESULT_RUN_FILES=/a b", "after: /c",
    }  # fmt: skip


def test_before_has_no_result() -> None:
    environ = {"CXRSYNC_RESULT_EXIT_CODE": "0", "CXRSYNC_DEST": "/d"}
    assert hook_environment(environ, None) == {"CXRSYNC_DEST": "/d"}


async def test_temporary_failure_of_before_skips_the_run() -> None:
    result, _lines = await run("sh", "-c", "exit 75")
    assert result == HookResult(75, skips=True)
    after = await run_after(("sh", "-c", "exit 75"), RESULT, print, environ=ENVIRONMENT)
    assert after == HookResult(75, "the hook after failed with exit code 75")


@pytest.mark.parametrize(
    ("command", "warning"),
    [
        (("false",), "the hook before failed with exit code 1"),
        (("sh", "-c", "kill -9 $$"), "the hook before was ended by signal 9"),
        (("/nonexistent/hook",), "the hook before cannot be started: No such file or directory"),
        ((os.devnull,), "the hook before cannot be started: Permission denied"),
    ],
)
async def test_a_broken_hook_is_a_warning(command: tuple[str, ...], warning: str) -> None:
    result, lines = await run(*command)
    assert result.warning == warning
    assert not result.skips
    assert lines == []


async def test_time_limit_ends_the_whole_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_GRACE_SECONDS", 0.3)
    pids = tmp_path / "pids"
    child = f"sh -c 'trap \"\" TERM; echo $$ >{pids}.new; mv {pids}.new {pids}; sleep 60; sleep 60'"
    script = f"trap '' TERM; {child} & sleep 60; sleep 60"
    real, limits, asked = asyncio.timeout, [], []

    def limit(seconds: float) -> asyncio.Timeout:
        """The hook's time ends when its child has begun, however late that is."""
        asked.append(seconds)
        limits.append(real(seconds if limits else 50))
        return limits[-1]

    async def end_when_begun() -> None:
        while not (limits and pids.exists()):
            await asyncio.sleep(0.01)
        limits[0].reschedule(asyncio.get_running_loop().time())

    monkeypatch.setattr(asyncio, "timeout", limit)
    watching = asyncio.create_task(end_when_begun())
    began = time.monotonic()
    result, lines = await run("sh", "-c", f"echo begun; {script}", seconds=0.7)
    assert result == HookResult(None, "the hook before took longer than 0.7 s and was ended")
    assert asked == [0.7, 0.3]  # of the hook, and of what does not end when it is told to
    assert lines == ["before: begun"]
    assert time.monotonic() - began < 50
    await watching
    await assert_ended(int(pids.read_text()))


async def test_cancellation_ends_the_hook(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    task = asyncio.create_task(run("sh", "-c", f"echo $$ >{pid}.new; mv {pid}.new {pid}; sleep 60"))
    while not pid.exists():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_ended(int(pid.read_text()))


async def assert_ended(pid: int) -> None:
    for _attempt in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state in "ZX":
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"process {pid} still runs")


async def test_a_process_left_behind_does_not_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_OUTPUT_SECONDS", 0.1)
    began = time.monotonic()
    result, lines = await run("sh", "-c", "sleep 60 & echo done")
    assert result == HookResult(0)
    assert lines == ["before: done"]
    assert time.monotonic() - began < 30


async def test_much_output_is_cut() -> None:
    program = "print('x' * 5000); [print(n) for n in range(3000)]"
    result, lines = await run(sys.executable, "-c", program)
    assert result == HookResult(0)
    assert len(lines) == hooks._MAX_LINES + 1
    assert max(map(len, lines)) <= hooks._MAX_LINE + len("before: ")
    assert lines[-1] == "before: 2,001 more lines were left out"


def test_commands() -> None:
    assert parse_hook_command("mail -s 'the result' me", "after") == (
        "mail", "-s", "the result", "me",
    )  # fmt: skip
    assert parse_hook_command(["sh", "-c", "a | b"], "after") == ("sh", "-c", "a | b")
    assert parse_hook_command("sh -c 'a | b'", "after") == ("sh", "-c", "a | b")


def test_the_home_in_the_path_of_a_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """``dest``, ``log`` and ``ping`` know ``~``, so a hook does, too; its arguments are its own."""
    monkeypatch.setenv("HOME", "/home/me")
    assert parse_hook_command("~/tell-me ~/x", "after") == ("/home/me/tell-me", "~/x")
    assert parse_hook_command(["~/tell-me"], "after") == ("/home/me/tell-me",)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a 'b", "after has a quote without its end"),
        ("a | b", "after has |, and no shell runs the command"),
        ("a > b", "after has >, and no shell"),
        ("", "after is empty"),
        ([], "after is empty"),
        ([1], "after is neither a command nor a list of words"),
        (None, "after is neither"),
        (["a\0b"], "after contains a zero byte"),
    ],
)
def test_what_is_no_command(value: object, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("|", r"\|")):
        parse_hook_command(value, "after")
