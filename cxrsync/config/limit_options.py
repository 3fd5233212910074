"""The options that limit a run: how fast, when, how much, and what must stay free."""

from __future__ import annotations

from cxrsync.config.option import Group, Option, Section, Type

LIMITS = (
    Option(
        "limit_rate", Type.RATE, Group.TRANSFER, metavar="RATE", words=("off",), default="off",
        help="Bytes per second for all connections together: 500k, 2M [default: {default}]; or by "
        'local time, "08:00-20:00=1M,20:00-08:00=off", where 0 is a pause.',
        near="rate rate_limit bwlimit bandwidth bandwidth_limit limit_download speed speed_limit "
        "max_speed max_download_limit max_overall_download_limit throttle",
    ),
    Option(
        "window", Type.WINDOW, Group.TRANSFER, metavar="HH:MM-HH:MM", example="22:00-06:00",
        advanced=True,
        help="Run in these hours only, local time: the run ends when they end (exit 9).",
        near="hours time_window between schedule run_between",
    ),
    Option(
        "max_files", Type.INT, Group.TRANSFER, advanced=True, metavar="N", at_least=0,
        help="Stop after this many files (exit 9).",
        near="max_downloads file_limit",
    ),
    Option(
        "max_bytes", Type.SIZE, Group.TRANSFER, advanced=True, metavar="SIZE", example="100G",
        help="Stop after receiving so many bytes: 500M, 100G (exit 9). Small files that have begun "
        "are finished.",
        near="max_size max_transfer quota max_download max_total_size bytes",
    ),
    Option(
        "max_duration", Type.DURATION, Group.TRANSFER, metavar="TIME", example="8h", at_least=0,
        help="Stop after that time: 8h, 90m, or a number of seconds (exit 9).",
        near="max_time time_limit duration stop_after",
    ),
    Option(
        "keep_free", Type.SIZE, Group.TRANSFER, section=Section.DESTINATION, advanced=True,
        metavar="SIZE", example="50G",
        help="Leave so many bytes of the disk free at all times: 50G (else exit 7).",
        near="min_free min_free_space reserve free_space leave_free keep_free_space disk_reserve",
    ),
)  # fmt: skip
