"""The line of a crontab that runs a mirror each night. Pure.

Minute and hour are drawn from the name of the host: the same each time, and others on others, so
that not every mirror asks PhysioNet at the same moment.
"""

from __future__ import annotations

import hashlib
import shlex

from cxrsync.mirror.setup import MirrorSetup

# No hour in which a clock is set forward or back: a local time may be skipped or come twice there.
_HOURS = (22, 23, 0, 4, 5)
_MINUTES_A_DAY = 24 * 60
# In a window, most of its time must be left.
_SPREAD_IN_WINDOW = 30


def crontab_text(setup: MirrorSetup, host: str) -> str:
    """Return the variables and the line for ``crontab -e``, with comments."""
    lines = [
        f"# Add these lines to the crontab of {setup.user}, with `crontab -e`. cron mails what a",
        "# run prints; cxrsync prints nothing if all is well.",
        "# Variables that the job file names stand here, too: NAME=VALUE, one a line. None of them",
        "# may be a secret: cron writes them into its mails. For a ping use a file: ping: '@FILE'.",
    ]
    if setup.needs_password:
        lines += [
            "# The password, alone in a file that only this user can read (chmod 600):",
            _variable("PHYSIONET_PASSWORD_FILE", str(setup.password_file)),
        ]
        if setup.physionet_user is None:
            lines.append("# The name that you sign in with at physionet.org:")
            lines.append("#PHYSIONET_USERNAME=NAME")
        else:
            lines.append(_variable("PHYSIONET_USERNAME", setup.physionet_user))
    lines.append(crontab_line(setup, host))
    return "\n".join(lines) + "\n"


def crontab_line(setup: MirrorSetup, host: str) -> str:
    """Return the line itself."""
    hour, minute = time_for(setup, host)
    # A percent sign would begin the standard input, also inside of quotes.
    command = shlex.join(["nice", "-n", "10", *setup.arguments]).replace("%", "\\%")
    return f"{minute} {hour} * * * {command}"


def time_for(setup: MirrorSetup, host: str) -> tuple[int, int]:
    """Return hour and minute of the host: at the begin of the window, else in a quiet hour."""
    digest = hashlib.sha256(f"{host}\0{setup.job_file}".encode("utf-8", "surrogateescape")).digest()
    drawn = int.from_bytes(digest[:8], "big")
    if setup.window is not None:
        at = (setup.window.span.start + drawn % _SPREAD_IN_WINDOW) % _MINUTES_A_DAY
        return divmod(at, 60)
    at = drawn % (len(_HOURS) * 60)
    return _HOURS[at // 60], at % 60


def _variable(name: str, value: str) -> str:
    """Return an assignment. cron takes quotes of one kind off, and knows no escapes."""
    quote = "'" if '"' in value else '"'
    return f"{name}={quote}{value}{quote}"
