"""Make a Job from options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cxrsync.catalog.load import dataset_info
from cxrsync.config.job import (
    DEFAULT_BASE_URL,
    DEFAULT_DEST,
    DEFAULT_USER_AGENT,
    Job,
    Link,
    Refresh,
    Reports,
    SourceConfig,
    TransferLimits,
)
from cxrsync.config.local_path import absolute, existing
from cxrsync.config.option_value import check_options
from cxrsync.config.parse_acknowledged_mismatches import read_acknowledged
from cxrsync.config.parse_place import choose
from cxrsync.config.parse_selection import parse_partitions, selection_of
from cxrsync.config.selection import Selection
from cxrsync.config.timetable import Timetable
from cxrsync.errors import UsageError
from cxrsync.model import Kind
from cxrsync.sanitize import is_address, shown_word


def _check_base_url(url: str) -> str:
    # First of all checks: the messages of the others print the address, and with it the password.
    if "@" in url:
        raise UsageError(
            "--base-url contains a user name or a password",
            next_step="Every user of the machine can see arguments. Use --user, and "
            "PHYSIONET_PASSWORD or ~/.netrc.",
        )
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        is_valid = is_valid and not (parts.query or parts.fragment)  # they would stay in each URL
    except ValueError:  # an unclosed bracket, or an invalid port
        is_valid = False
    if not (is_valid and url.isprintable()):
        raise UsageError(
            f"--base-url {shown_word(url)!r} is not an https:// address of files",
            next_step="It begins with https://, usually ends with /files, and has no ? and no #: "
            f"the default is {DEFAULT_BASE_URL}.",
        )
    return url.rstrip("/")


def _check_user_agent(agent: str) -> str:
    if not agent.isprintable():  # for example a newline, which no header can contain
        raise UsageError(
            f"--user-agent {agent!r} contains characters that a header cannot contain",
            next_step="Leave it out: PhysioNet accepts the default.",
        )
    return agent


def _limits(options: Mapping[str, Any]) -> TransferLimits:
    limits = {
        field.name: options[field.name]
        for field in fields(TransferLimits)
        if options.get(field.name) is not None
    }
    if limits.get("connections") == "auto":
        del limits["connections"]
    elif "connections" in limits:
        limits["first_connections"] = limits["connections"]
    return TransferLimits(**limits, rate=options.get("limit_rate", Timetable()))


def _refresh(options: Mapping[str, Any]) -> Refresh:
    return Refresh(
        **{
            field.name: options[field.name]
            for field in fields(Refresh)
            if options.get(field.name) is not None
        }
    )


def source_config(options: Mapping[str, Any]) -> SourceConfig:
    ca_file, from_dir = options.get("ca_file"), options.get("from_dir")
    return SourceConfig(
        base_url=_check_base_url(options.get("base_url", DEFAULT_BASE_URL)),
        from_dir=None if from_dir is None else _folder(from_dir, "--from"),
        user=options.get("user"),
        ca_file=None if ca_file is None else existing(ca_file, "--ca-file", pipe=True),
        user_agent=_check_user_agent(options.get("user_agent", DEFAULT_USER_AGENT)),
    )


def _destination(path: Path) -> Path:
    if is_address(str(path)):  # a relative path of this name is never meant
        raise UsageError(
            f"--dest {shown_word(str(path))}: it is an address, not a folder of this machine",
            next_step="--dest is the folder to write to. Another server is named with --base-url.",
        )
    return path


def _folder(path: Path, label: str) -> Path:
    return absolute(existing(path, label, folder=True), label)


def _with_reports(options: Mapping[str, Any], selection: Selection, dataset: str) -> bool:
    wanted = bool(options.get("with_reports"))
    if wanted and not dataset_info(dataset).reports_in:
        raise UsageError(
            f"--with-reports: no other dataset has the reports of {dataset}",
            next_step="The option is for --jpg. With --dicom, images select their reports.",
        )
    if wanted and selection.only and Kind.IMAGES not in selection.only:
        raise UsageError(
            "--with-reports adds the reports of selected images, but no image is selected",
            next_step="Leave --only out, or add --only images.",
        )
    return wanted


def _partitions(options: Mapping[str, Any]) -> frozenset[str]:
    partitions = parse_partitions(options.get("only_partition", ()))
    if partitions and options.get("reports") == Reports.ZIP.value:
        raise UsageError(
            "--reports zip cannot be combined with --only-partition: one archive has the reports "
            "of all shards",
            next_step="Fetch the reports in a run of their own: --only reports --reports zip.",
        )
    return partitions


def make_job(options: Mapping[str, Any], places: Sequence[str] = ()) -> Job:
    """Return the Job of these options: names as in the option table, and typed values.

    ``places``: names or addresses of a dataset, or of files and folders in it.
    An option that is missing or None has its default. Raises UsageError for an unknown name, for a
    value that is empty or of the wrong type, and for options that exclude each other.
    """
    options = check_options(options)
    for place in places:
        if not isinstance(place, str):
            raise UsageError(
                f"({type(place).__name__}) is not the name of a dataset",
                next_step="Write text, in quotes, such as 'mimic-cxr-jpg'.",
            )
    chosen = choose(options, places)
    dataset, version = chosen.dataset, chosen.version
    selection = selection_of(options, dataset, chosen.paths)
    link_from, known = options.get("link_from"), options.get("acknowledge")
    return Job(
        dataset=dataset,
        version=version,
        selection=selection,
        dest=_destination(options.get("dest", Path(DEFAULT_DEST))),
        origin=source_config(options),
        limits=_limits(options),
        fsync=not options.get("no_fsync"),
        reports=Reports(options.get("reports", Reports.AUTO)),
        with_reports=_with_reports(options, selection, dataset),
        link_from=None if link_from is None else _folder(link_from, "--link-from"),
        link=Link(options.get("link", Link.REFLINK)),
        force=bool(options.get("force")),
        allow_synced=bool(options.get("allow_synced")),
        acknowledged=frozenset() if known is None else read_acknowledged(known),
        refresh=_refresh(options),
        permissions=options.get("permissions"),
        partitions=_partitions(options),
    )
