"""``cxrsync demo``: pull, kill, resume and verify against a server on this machine."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cxrsync import humanize
from cxrsync.cli.environment import Command
from cxrsync.cli.main import Verbosity
from cxrsync.errors import DiskError, Stopped, UsageError, WillNotFit
from cxrsync.progress_events import Activity, Phase
from cxrsync.sanitize import reason_of
from cxrsync.storage.disk_space import free_space, shortage
from cxrsync.ui.reporters import Reporters

if TYPE_CHECKING:
    from cxrsync.demo.walkthrough import DemoSetup

# Slow enough that a user can watch, fast enough that nobody has to wait.
DEMO_RATE = 128 << 10
_WITHOUT_TLS = (
    "note: without the package trustme the server has no TLS, as PhysioNet has. To add it, in the "
    "checkout: pip install '.[demo]'; elsewhere: pip install trustme"
)


@click.command(cls=Command)
@click.option("--serve", is_flag=True, help="Keep the server running, to try commands by hand.")
@click.option(
    "--patients",
    type=click.IntRange(10, 60_000),
    metavar="N",
    default=300,
    help="The number of patients [default: 300].",
)
@click.option(
    "--dir",
    "folder",
    metavar="DIR",
    help="Work in this folder and keep it [default: a temporary folder].",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=0,
    help="The port of the server [default: any free one].",
)
@click.option(
    "--rate",
    type=click.IntRange(1024),
    metavar="N",
    default=None,
    help=f"Bytes per second for each connection [default: {DEMO_RATE:,}; with --serve: no limit].",
)
@click.pass_obj
def demo(
    verbosity: Verbosity,
    /,
    serve: bool,
    patients: int,
    folder: str | None,
    port: int,
    rate: int | None,
) -> int:
    """Try cxrsync with a miniature PhysioNet server on this machine.

    A shard is pulled, killed half-way, resumed and verified. Needs no account and no network. The
    data is synthetic.
    """
    from cxrsync.demo.walkthrough import set_up

    if folder is not None and not folder.strip():
        raise UsageError("--dir is empty", next_step="Give a value, or leave the option out.")

    def say(line: str) -> None:
        verbosity.output.write(line + "\n")

    refuse_without_space(Path(folder or tempfile.gettempdir()).absolute(), patients)
    place = Path(folder or tempfile.mkdtemp(prefix="cxrsync-demo-")).absolute()
    pace = rate or (None if serve else DEMO_RATE)
    try:
        try:
            with Reporters(verbosity.level) as reporters:
                reporters.tell(Phase(Activity.MAKING, f"{patients:,} patients"))
                stage = set_up(
                    place, patients=patients, rate=pace, port=port, plain=not has_extra()
                )
        except (ValueError, OSError) as problem:
            if isinstance(problem, OSError) and problem.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise DiskError(
                    f"cannot set up the demo in {place}: {reason_of(problem)}",
                    next_step="Name a folder on a larger disk with --dir, or fewer --patients.",
                ) from None
            raise UsageError(
                f"cannot set up the demo in {place}: {reason_of(problem)}",
                next_step="Name a new folder with --dir, and another --port or none.",
            ) from None
        if stage.server.behaviour.plain:
            say(_WITHOUT_TLS)
        try:
            return _serve(stage, say) if serve else _show(stage, say)
        finally:
            stage.server.stop()
    except KeyboardInterrupt:
        left = "nothing of it is kept" if folder is None else f"its files are in {place}"
        raise Stopped(
            f"the demo was stopped; {left}",
            next_step="Run the same command again to see all of it.",
        ) from None
    finally:
        if folder is None:
            with Reporters(verbosity.level) as reporters:
                reporters.tell(Phase(Activity.DELETING, str(place)))
                shutil.rmtree(place, ignore_errors=True)


def refuse_without_space(folder: Path, patients: int) -> None:
    """Raise WillNotFit if the disk of a folder has no room for so many patients."""
    from cxrsync.demo.walkthrough import space_needed

    try:
        free = free_space(folder)
    except OSError:
        return  # making the folder says why
    need = space_needed(patients)
    if (short := shortage(free, *need)) is None:
        return
    kind = "bytes" if short.bytes else "inodes"
    has = humanize.size(free.bytes) if short.bytes else f"{free.files:,}"
    wants = humanize.size(need[0]) if short.bytes else f"{need[1]:,} files and folders"
    raise WillNotFit(
        f"{patients:,} patients need about {wants}, and {folder} has {has} free ({kind})",
        next_step="Name a folder on a larger disk with --dir, or fewer --patients.",
    )


def has_extra() -> bool:
    """Whether the extra ``demo`` is installed, which makes the certificate of the server."""
    return find_spec("trustme") is not None


def _show(stage: DemoSetup, say: Callable[[str], None]) -> int:
    from cxrsync.demo.walkthrough import run_walkthrough

    say(
        f"A miniature PhysioNet server is at {stage.server.base_url} (synthetic data, this machine)"
    )
    say("")
    code = run_walkthrough(stage, say)
    say("")
    if code == 0:
        say("With an account at physionet.org:")
        say("  cxrsync login                    # once: user name and password")
        say("  cxrsync access                   # which datasets open to you; if not, what to do")
        say("  cxrsync pull --jpg --shard p10")
        say("To try more commands against the miniature server: cxrsync demo --serve")
    else:
        say(f"The demo failed with exit code {code}.")
    return code


def _serve(stage: DemoSetup, say: Callable[[str], None]) -> int:
    jobs = stage.folder / "nightly.yaml"
    if not os.path.exists(jobs):  # with --dir it may be the user's by now
        jobs.write_text(stage.job_file, encoding="utf-8")
    say("A miniature PhysioNet server is running. In another terminal:")
    say("")
    for name, value in stage.environment.items():
        say(f"  export {name}={value}")
    say("")
    for line in (
        "cxrsync access                        # which datasets open to you",
        "cxrsync pull --jpg --shard p10        # a shard; press Ctrl-C, then run it again",
        "cxrsync pull --dicom --only reports   # one kind of file",
        "cxrsync pull --jpg --split test --with-reports --dry-run",
        "cxrsync diff --jpg 2.0.0 2.1.0",
        "cxrsync status --jpg",
        "cxrsync verify --jpg",
        "PHYSIONET_PASSWORD=wrong cxrsync pull --jpg --only docs   # exit 3, one attempt",
        "",
        f"cxrsync mirror --init {shlex.quote(str(jobs))}    # a nightly mirror; edit the file",
        f"cxrsync mirror --check {shlex.quote(str(jobs))}",
        f"cxrsync mirror {shlex.quote(str(jobs))}",
    ):
        say(f"  {line}".rstrip())
    say("")
    say("Press Ctrl-C to stop the server.")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    while not ended.wait(1.0):
        pass
    counts = stage.server.request_log.snapshot()
    say(f"\n{counts.requests:,} requests, {counts.password_checks:,} password checks")
    return 0
