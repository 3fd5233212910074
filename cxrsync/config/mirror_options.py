"""The keys of a job file besides the options of pull, in the form of the option table.

A key of ``FILE_OPTIONS`` stands at the top of the file and holds for the whole mirror; its value
is in ``MirrorFile.settings``. A key of ``JOB_SETTINGS`` stands in a job or in ``defaults``; its
value is in ``MirrorJob.settings``. Both by the option's name, and only if the file has the key.
"""

from __future__ import annotations

from cxrsync.config.job import KEPT_RUNS
from cxrsync.config.option import Group, Option, Type

DAY_SECONDS = 86_400.0

FILE_OPTIONS: tuple[Option, ...] = (
    Option(
        "log", Type.PATH, Group.MIRROR, metavar="FILE", example="/var/log/cxrsync.log",
        help="Append what happens to FILE, with the time; logrotate may move it away at any time.",
        near="logfile log_file output logs",
    ),
    Option(
        "ping", Type.PING, Group.MIRROR, metavar="URL", example="${PING_URL}",
        help="Ping URL of a check, as of healthchecks.io: URL/start at the begin, URL at exit 0 "
        "or 9, else URL/EXIT_CODE. It is a secret: ${VARIABLE}, or @FILE that holds it.",
        near="ping_url healthcheck healthchecks healthchecks_url heartbeat monitor",
    ),
    Option(
        "before", Type.HOOK, Group.MIRROR, metavar="COMMAND", example="/usr/local/bin/before",
        help="Run a command first. If it ends with exit code 75, the mirror does nothing (9).",
        near="hook hooks pre pre_hook run_before before_hook on_start",
    ),
    Option(
        "after", Type.HOOK, Group.MIRROR, metavar="COMMAND", example="/usr/local/bin/after",
        help="Run a command at the end, with the result in variables CXRSYNC_RESULT_….",
        near="hook hooks post post_hook run_after after_hook on_end notify",
    ),
    Option(
        "hook_timeout", Type.DURATION, Group.MIRROR, metavar="TIME", example="10m", default=600.0,
        above=0,
        help="End a hook that takes longer [default: {default}].",
        near="timeout hooks_timeout hook_time",
    ),
    Option(
        "report", Type.PATH, Group.MIRROR, metavar="FILE", example="/var/lib/cxrsync/report.html",
        help="Write an HTML report to FILE at the end. With several jobs each has a file of its "
        "own: report-NAME.html for report.html and the job NAME.",
        near="html html_report report_file reports_file",
    ),
    Option(
        "metrics_file", Type.PATH, Group.MIRROR, metavar="FILE", example="/var/lib/x/cxrsync.prom",
        help="Write metrics for node_exporter's textfile collector to FILE, whose name ends with "
        ".prom.",
        near="metrics prometheus textfile prom metrics_path",
    ),
)  # fmt: skip

JOB_SETTINGS: tuple[Option, ...] = (
    Option(
        "scrub", Type.DURATION, Group.MIRROR, metavar="30d", example="30d", at_least=DAY_SECONDS,
        help="Hash each night the share of the files that is due, oldest proof first, so that no "
        "proof gets older than that; fetch rotten files again.",
        near="rolling rehash bitrot verify reverify check_period scrub_period",
    ),
    Option(
        "keep_runs", Type.INT, Group.MIRROR, metavar="N", at_least=1, default=KEPT_RUNS,
        help="Keep the logs of the last N runs in .cxrsync/runs [default: {default}].",
        near="keep_logs kept_runs runs_kept history max_runs keep_history",
    ),
    Option(
        "keep_versions", Type.INT, Group.MIRROR, metavar="N", at_least=1,
        help="Keep the N newest versions of the dataset, the job's own among them. The trees of "
        "older ones are moved to its trash, once its own is complete and verified "
        "[default: all are kept].",
        near="versions keep_old keep_last retain retention max_versions",
    ),
)  # fmt: skip
