"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cxrsync.cli.variables import Option
from cxrsync.config.given import given
from cxrsync.config.job import DEFAULT_BASE_URL, DEFAULT_DEST, Job
from cxrsync.config.parse_job import make_job
from cxrsync.dataset.placement import Location, wget_folders
from cxrsync.dataset.tree_identity import Identity
from cxrsync.dataset.tree_parts import refuse_inside

F = TypeVar("F", bound=Callable[..., Any])


def option(*names: str, **kwargs: Any) -> Callable[[F], F]:
    """``click.option`` with our variables."""
    return click.option(*names, cls=Option, **kwargs)


acknowledge_option = option(
    "--acknowledge",
    metavar="FILE",
    help="Contradictions that you know of, a path and the observed SHA-256 a line: still "
    "listed, but no fault (exit 0).",
)


base_url_option = option("--base-url", metavar="URL", help="Default: https://physionet.org/files.")


def _all(function: F, options: list[Callable[[F], F]]) -> F:
    for each in reversed(options):
        function = each(function)
    return function


def selection_options(function: F) -> F:
    """Which files: shared by pull, ls, diff, verify and status."""
    return _all(
        function,
        [
            option("--jpg", is_flag=True, help="MIMIC-CXR-JPG."),
            option("--dicom", is_flag=True, help="MIMIC-CXR, the DICOM images and the reports."),
            option("--dataset", metavar="SLUG", help="Any PhysioNet dataset, by its name there."),
            option(
                "--dataset-version", metavar="V", help="Default: the one in DEST, else the newest."
            ),
            option(
                "--shard", multiple=True, metavar="P10", help="p10 … p19; also p10-p14 and p10,p12."
            ),
            option(
                "--split", multiple=True, metavar="S", help="train, validate, test; repeatable."
            ),
            option(
                "--subject", multiple=True, metavar="ID", help="p10000032; or @FILE, one a line."
            ),
            option("--study", multiple=True, metavar="ID", help="s50414267; or @FILE."),
            option(
                "--image",
                multiple=True,
                metavar="ID",
                help="By DICOM id; or @FILE (@- reads stdin).",
            ),
            option(
                "--view", multiple=True, metavar="PA,AP", help="View positions; blank: not told."
            ),
            option("--frontal", is_flag=True, help="Views PA and AP."),
            option("--lateral", is_flag=True, help="Views LATERAL and LL."),
            option(
                "--label",
                multiple=True,
                metavar="L=V",
                help='"Pneumonia=1" (or 0, -1, blank); values of one label are alternatives, '
                "several labels all hold.",
            ),
            option("--labeler", metavar="NAME", help="chexpert or negbio [default: chexpert]."),
            option(
                "--only",
                multiple=True,
                metavar="KIND",
                help="images, reports, tables, archives or docs; repeatable.",
            ),
            option("--metadata-only", is_flag=True, help="Tables and documents, no images."),
            option(
                "--include",
                multiple=True,
                metavar="GLOB",
                help="Only paths like this; * crosses /.",
            ),
            option("--exclude", multiple=True, metavar="GLOB", help="No paths like this."),
            option(
                "--limit", type=int, metavar="N", help="The first N files (tables not counted)."
            ),
            option(
                "--sample", type=int, metavar="N", help="N drawn by chance, the same everywhere."
            ),
            option("--sample-by", metavar="UNIT", help="subject, study or image [default: image]."),
            option(
                "--seed", type=int, metavar="S", help="Another seed, another sample [default: 0]."
            ),
            option(
                "--split-table", metavar="FILE", help="Take the splits from this table of yours."
            ),
            option("--no-tables", is_flag=True, help="Images without the tables of the root."),
            option(
                "--dest",
                metavar="DIR",
                help="Where the tree lies [default: physionet.org/files], as DATASET/VERSION or "
                "in a layout of wget's. A version's own folder is taken as it is.",
            ),
        ],
    )


def place_options(function: F) -> F:
    """Where the bytes come from, and where they may go: shared by every command that may fetch
    something."""
    return _all(
        function,
        [
            option(
                "--from",
                "from_dir",
                metavar="DIR",
                help="Copy from a tree on a local disk instead: its folder, or one that holds "
                "DATASET/VERSION.",
            ),
            base_url_option,
            option("--user", metavar="NAME", help="User name; the password is never an argument."),
            option("--ca-file", metavar="PEM", help="Trust this certificate authority too."),
            option(
                "--user-agent",
                metavar="STR",
                help="PhysioNet lets in only those that begin with Wget/.",
            ),
            option(
                "--allow-synced",
                is_flag=True,
                help="Into a drive that syncs online too (Google Drive, OneDrive, Dropbox, …); ask "
                "first whether the data use agreement lets you.",
            ),
        ],
    )


def source_options(function: F) -> F:
    """Where the bytes come from and how hard to try: shared by pull and verify --repair."""
    return _all(
        place_options(function),
        [
            option(
                "--connections",
                metavar="N|auto",
                help="Connections in all, ranges included [default: auto, 4 to 8].",
            ),
            option(
                "--retries",
                type=int,
                metavar="N",
                help="Failures in a row before a file is given up [default: 5].",
            ),
            option("--connect-timeout", type=float, metavar="S", help="[default: 30]"),
            option(
                "--stall-timeout",
                type=float,
                metavar="S",
                help="Drop a silent connection after this [default: 60].",
            ),
            option(
                "--give-up-after",
                type=float,
                metavar="S",
                help="How long the server may be away, or ask to be left alone "
                "(Retry-After) [default: 3600].",
            ),
            option(
                "--wait-lock",
                type=float,
                metavar="S",
                help="Wait so long for another run's lock [default: 0]; for what all runs share "
                "(manifest, tables) at least --give-up-after.",
            ),
            option(
                "--limit-rate",
                metavar="RATE",
                help="Bytes per second of all connections together: 500k, 2M [default: off].",
            ),
            option(
                "--max-files", type=int, metavar="N", help="Stop after this many files (exit 9)."
            ),
            option(
                "--max-duration",
                type=float,
                metavar="S",
                help="Stop after this many seconds (exit 9).",
            ),
            option(
                "--no-fsync",
                is_flag=True,
                help="For scratch disks: quicker, but after a power cut only verify knows.",
            ),
        ],
    )


def pull_options(function: F) -> F:
    """How files come, beyond being fetched: for pull."""
    return _all(
        function,
        [
            option(
                "--with-reports",
                is_flag=True,
                help="With --jpg: the reports of the selected studies too, from MIMIC-CXR.",
            ),
            option(
                "--reports",
                metavar="zip|files",
                help="In one archive, or each by itself [default: for --only reports and "
                "--with-reports the archive, where that is less]. Unpacked reports bear the "
                "archive's time.",
            ),
            option(
                "--link-from",
                metavar="DIR",
                help="An older version that has files of this one; one that lies beside the new "
                "one is found by itself.",
            ),
            option(
                "--link",
                metavar="HOW",
                help="reflink (else a copy), copy, or hardlink: then one in-place edit, as "
                "wget's, changes both versions [default: reflink].",
            ),
            option("--force", is_flag=True, help="Pull although it seems not to fit on the disk."),
            acknowledge_option,
        ],
    )


def output_options(function: F) -> F:
    """What is shown: shared by pull and verify."""
    return _all(
        function,
        [
            option("--json", "as_json", is_flag=True, envvar="CXRSYNC_JSON",
                   help="One JSON object a line on stdout; what is for people goes to stderr."),
            option(
                "--progress",
                type=click.Choice(["auto", "bar", "log", "none"]),
                default="auto",
                help="auto: a bar on a terminal, lines elsewhere.",
            ),
        ],
    )  # fmt: skip


def job_of_tree(options: dict[str, Any]) -> Job:
    """The job that the options name; without a dataset, that of the trees in the destination, if
    they are all of one; without a version, the one that is there, if it is the only one."""
    options = given(options)
    if not any(options.get(name) for name in ("jpg", "dicom", "dataset")):
        found = _trees_in_dest(options)
        if len({each.dataset for each in found}) == 1:
            options["dataset"] = found[0].dataset
            if len(found) == 1:
                options.setdefault("dataset_version", found[0].version)
    return make_job(options)


def _trees_in_dest(options: dict[str, Any]) -> list[Identity]:
    try:
        dest = Path(options.get("dest", DEFAULT_DEST)).expanduser()
    except RuntimeError:  # no such user: the job will say so
        return []
    place = Location(dest, wget_folders(options.get("base_url", DEFAULT_BASE_URL)))
    found = place.claimed()
    if not found:
        refuse_inside(place.top)
    return found
