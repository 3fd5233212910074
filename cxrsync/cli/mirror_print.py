"""``cxrsync mirror --print``: the units or the crontab line that run a job file each night."""

from __future__ import annotations

import os
import pwd
import socket
import sys
from pathlib import Path

from cxrsync.catalog.load import own_catalogue
from cxrsync.config.job_file import MirrorFile
from cxrsync.mirror.crontab import crontab_text
from cxrsync.mirror.setup import PASSWORD_FILE, MirrorSetup, setup_of
from cxrsync.mirror.systemd_units import systemd_text

_PROGRAM = "cxrsync"


def setup_text(form: str, file: MirrorFile) -> str:
    """Return what to install, for ``systemd`` or ``cron``. Raises UsageError."""
    if form == "systemd":
        return systemd_text(_setup(file, PASSWORD_FILE))
    own = os.environ.get("PHYSIONET_PASSWORD_FILE")
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    password_file = Path(os.path.abspath(own)) if own else home / ".physionet-password"
    return crontab_text(_setup(file, password_file), socket.gethostname())


def _setup(file: MirrorFile, password_file: Path) -> MirrorSetup:
    return setup_of(file, _command(), _user(file), password_file, _reads())


def _command() -> tuple[str, ...]:
    """Return the command that ran this process, with absolute paths."""
    program = os.path.abspath(sys.argv[0])
    if os.path.basename(program) == _PROGRAM and os.path.isfile(program):
        return (program,)
    return (sys.executable, "-m", _PROGRAM)


def _user(file: MirrorFile) -> str:
    """Return who is to run the mirror: the owner of the first destination that exists.

    A unit is printed by whoever administers the machine; the files belong to somebody else.
    """
    for each in file.jobs:
        try:
            return pwd.getpwuid(each.job.dest.stat().st_uid).pw_name
        except (OSError, KeyError):
            continue
    return pwd.getpwuid(os.getuid()).pw_name


def _reads() -> tuple[Path, ...]:
    """Return what the program reads: Python, the packages, and the user's own catalogue."""
    # The folder of the packages: with an editable installation it is outside of both others.
    packages = Path(__file__).parent.parent.parent
    paths = [Path(sys.prefix), Path(sys.base_prefix), packages]
    catalogue = own_catalogue()
    return (*paths, *([] if catalogue is None else [Path(os.path.abspath(catalogue))]))
