"""The part of the option table that concerns single commands and the program, not a job."""

from __future__ import annotations

from cxrsync.config.option import Group, Option, Section, Type

COMMAND = (
    Option(
        "dry_run", Type.FLAG, Group.COMMAND, section=Section.OUTPUT, short="-n",
        help="Print what would be fetched, and how long it would take; fetch no file.",
        near="dryrun simulate spider plan preview what_if just_print",
    ),
    Option(
        "report", Type.PATH, Group.COMMAND, advanced=True, section=Section.OUTPUT,
        metavar="FILE", example="report.html",
        help="Write an HTML report to FILE at the end, also if the run fails.",
        near="html_report write_report report_to",
    ),
    Option(
        "html", Type.PATH, Group.COMMAND, section=Section.OUTPUT,
        metavar="FILE", example="status.html",
        help="Also write an HTML report to FILE: one page with pictures.",
        near="html_file to_html page",
    ),
    Option(
        "all", Type.FLAG, Group.COMMAND, help="Verify against the whole manifest.",
        near="a everything whole complete full",
    ),
    Option(
        "repair", Type.FLAG, Group.COMMAND,
        help="Fetch files that are bad, missing, or lost to a disk error.",
        near="fix heal",
    ),
    Option(
        "scrub", Type.DURATION, Group.COMMAND, metavar="30d", example="30d", above=0,
        help="Hash only the share that is due tonight, so that no proof gets older than that if it "
        "is run each night; record the proofs. --max-duration ends it earlier.",
        near="rolling share due period rehash bitrot",
    ),
    Option(
        "format", Type.CHOICE, Group.COMMAND, section=Section.OUTPUT,
        metavar="[paths|urls|sha256sum|json]",
        words=("paths", "urls", "sha256sum", "json"), default="paths",
        help="sha256sum: input for `sha256sum -c` in the version's folder [default: {default}].",
        near="output_format as json",
    ),
    Option(
        "bibtex", Type.FLAG, Group.COMMAND, section=Section.OUTPUT,
        help="BibTeX entries, for LaTeX.", near="bib latex biblatex tex",
    ),
    Option(
        "netrc", Type.FLAG, Group.COMMAND,
        help="Use ~/.netrc (or the file that NETRC names), not the keyring.",
        near="netrc_file use_netrc no_keyring",
    ),
    Option(
        "rows", Type.INT, Group.COMMAND, section=Section.OUTPUT,
        short="-n", metavar="N", default=10, at_least=0,
        help="So many rows [default: {default}]; as many as its first 64 KiB hold, if the table is "
        "not on this disk.",
        near="lines count max_rows nrows number head top first limit",
    ),
    Option(
        "job", Type.TEXT, Group.COMMAND, metavar="NAME", example="jpg",
        help="Only the job of this name.", near="only_job job_name",
    ),
    Option(
        "check", Type.FLAG, Group.COMMAND,
        help="Check the file, and print what each job would do, how large it is, how long it takes "
        "and which credentials are found; fetch no file.",
        near="check_config validate test_config lint",
    ),
    Option(
        "schema", Type.FLAG, Group.COMMAND,
        help="Print the JSON Schema of job files, for editors.", near="json_schema print_schema",
    ),
    Option(
        "init", Type.FLAG, Group.COMMAND,
        help="Mark the destination of each job as a mirror's, once: a new folder, or a tree that "
        "wget made.",
        near="initialize initialise setup create mark",
    ),
    Option(
        "print", Type.CHOICE, Group.COMMAND, metavar="[systemd|cron]", words=("systemd", "cron"),
        help="Print what runs FILE each night on this machine, to be read and installed: a "
        "systemd service in a sandbox with its timer, or the lines of a crontab.",
        near="print_unit unit systemd cron crontab install timer service",
    ),
)  # fmt: skip

ON = Option(
    "on", Type.TEXT, Group.COMMAND, advanced=True, metavar="dask[:ADDRESS]", example="dask:tcp://10.0.0.1:8786",
    help="Let the workers of a Dask cluster do it, a task for each shard and one for the tables: "
    "dask:tcp://HOST:8786, or dask for workers on this machine. --connections is the total.",
    near="dask cluster scheduler distributed workers_on run_on",
)  # fmt: skip

SLURM = (
    Option(
        "tasks", Type.INT, Group.COMMAND, metavar="N", at_least=1,
        help="So many tasks at a time [default: one for each partition, if --connections allows "
        "that]. --connections is the total of all.",
        near="at_once ntasks array_limit throttle nodes",
    ),
    Option(
        "time", Type.TEXT, Group.COMMAND, metavar="D-HH:MM:SS", example="1-00:00:00",
        default="24:00:00",
        help="The time limit of a task, in SLURM's form; what is left is requeued [default: "
        "{default}].",
        near="walltime time_limit t",
    ),
    Option(
        "mem", Type.TEXT, Group.COMMAND, metavar="SIZE", example="1G", default="1G",
        help="The memory of a task, in SLURM's form [default: {default}].", near="memory ram",
    ),
    Option(
        "cpus", Type.INT, Group.COMMAND, metavar="N", at_least=1, default=1,
        help="The cores of a task [default: {default}]; verify uses all of them.",
        near="cpus_per_task cores c",
    ),
    Option(
        "sbatch", Type.TEXT, Group.COMMAND, metavar="OPTION", example="--account=radiology",
        repeatable=True,
        help='Another option of sbatch, such as "--account=radiology"; repeatable.',
        near="directive slurm_option slurm_options account qos",
    ),
    Option(
        "no_verify", Type.FLAG, Group.COMMAND,
        help="When all tasks have ended, only gather their results; do not hash every file again.",
        near="skip_verify without_verify",
    ),
    Option(
        "submit", Type.FLAG, Group.COMMAND,
        help="Submit the script with sbatch, too.", near="run start go",
    ),
)  # fmt: skip

OUTPUT = (
    Option(
        "json", Type.FLAG, Group.OUTPUT,
        help="One JSON object a line on stdout; messages for people go to stderr.",
        near="as_json json_output json_lines jsonl output_format use_json_log format",
    ),
    Option(
        "progress", Type.CHOICE, Group.OUTPUT, advanced=True, metavar="[auto|bar|log|none]",
        words=("auto", "bar", "log", "none"), default="auto",
        help="auto: a bar on a terminal, lines elsewhere [default: {default}].",
        near="P progress_bar no_progress show_progress bar stats",
    ),
    Option(
        "progress_interval", Type.DURATION, Group.OUTPUT, advanced=True,
        metavar="30s", example="5m", at_least=1,
        default=30.0,
        help="The time between two lines of progress in a log [default: {default}].",
        near="interval every stats_interval progress_every log_interval",
    ),
    Option(
        "log_file", Type.PATH, Group.OUTPUT, advanced=True, metavar="FILE", example="pull.log",
        help="Append what is said to FILE, too, each line with its time. It names files: it gets "
        "the mode 0600. logrotate may move it away at any time.",
        near="log logfile o_log output_log append_output",
    ),
    Option(
        "summary_file", Type.PATH, Group.OUTPUT, metavar="FILE", example="summaries.jsonl",
        advanced=True,
        help="Append the summary to FILE, as one line of JSON, however the command ends.",
        near="summary_json json_summary results_file",
    ),
)  # fmt: skip

PROGRAM = (
    Option(
        "verbose", Type.FLAG, Group.PROGRAM, short="-v", help="Name every file and every retry."
    ),
    Option(
        "quiet", Type.FLAG, Group.PROGRAM, short="-q", help="Print errors only.",
        near="silent s no_verbose nv",
    ),
    Option(
        "debug", Type.FLAG, Group.PROGRAM, advanced=True,
        help="Show tracebacks, and hide ids of subjects, studies and images, so that all of it can "
        "be pasted into a public issue.",
        near="trace traceback tracebacks",
    ),
    Option(
        "debug_ids", Type.FLAG, Group.PROGRAM, help="As --debug, and show ids.", advanced=True,
        near="show_ids with_ids",
    ),
)  # fmt: skip
