"""The keys of a job file besides the options of pull, in the form of the option table.

A key of ``FILE_OPTIONS`` stands at the top of the file and holds for the whole mirror; its value
is in ``MirrorFile.settings``. A key of ``JOB_SETTINGS`` stands in a job or in ``defaults``; its
value is in ``MirrorJob.settings``. Both by the option's name, and only if the file has the key.
"""

from __future__ import annotations

from cxrsync.config.option import Group, Option, Type

FILE_OPTIONS: tuple[Option, ...] = (
    Option(
        "log", Type.PATH, Group.MIRROR, metavar="FILE", example="/var/log/cxrsync.log",
        help="Append what happens to FILE, with the time; logrotate may move it away at any time.",
        near="logfile log_file output logs",
    ),
)  # fmt: skip

JOB_SETTINGS: tuple[Option, ...] = ()
