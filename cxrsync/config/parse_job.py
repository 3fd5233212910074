"""Make a Job from options."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from cxrsync.catalog.load import dataset_info, load_stores
from cxrsync.config.job import (
    DEFAULT_BASE_URL,
    DEFAULT_DEST,
    DEFAULT_HTTP,
    DEFAULT_USER_AGENT,
    LATEST,
    MAX_CONNECTIONS,
    STORE_CONNECTIONS,
    STORE_FIRST_CONNECTIONS,
    HttpPath,
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
from cxrsync.config.parse_source import (
    FolderPlace,
    bucket_as_destination,
    check_endpoint_url,
    is_server_address,
    parse_source,
    source_advice,
)
from cxrsync.config.selection import Selection
from cxrsync.config.store_address import SitePlace, StoreAddress
from cxrsync.config.store_places import named_version
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
    if not is_server_address(url):
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


def _limits(options: Mapping[str, Any], origin: SourceConfig) -> TransferLimits:
    limits = {
        field.name: options[field.name]
        for field in fields(TransferLimits)
        if options.get(field.name) is not None
    }
    if limits.get("connections") == "auto":
        del limits["connections"]
    elif "connections" in limits:
        limits["first_connections"] = limits["connections"]
        if not origin.stores and limits["connections"] > MAX_CONNECTIONS:
            raise UsageError(
                f"--connections {limits['connections']} is more than {MAX_CONNECTIONS}",
                next_step="More than 8 connections to PhysioNet lead to connect timeouts, not to "
                "speed. More than 32 are for --from s3 and --from gcs.",
            )
    if origin.stores and "connections" not in limits:
        limits |= {"connections": STORE_CONNECTIONS, "first_connections": STORE_FIRST_CONNECTIONS}
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
    ca_file = options.get("ca_file")
    manifest, endpoint_url = options.get("manifest"), options.get("endpoint_url")
    places = tuple(map(_place, options.get("from_dir") or ()))
    if len(set(places)) < len(places):
        raise UsageError("--from names the same place twice", next_step="Name it once.")
    if endpoint_url is not None:
        endpoint_url = check_endpoint_url(endpoint_url, places)
    return SourceConfig(
        base_url=_check_base_url(options.get("base_url", DEFAULT_BASE_URL)),
        places=() if places == (SitePlace(),) else places,
        user=options.get("user"),
        ca_file=None if ca_file is None else existing(ca_file, "--ca-file", pipe=True),
        user_agent=_check_user_agent(options.get("user_agent", DEFAULT_USER_AGENT)),
        http=HttpPath(options.get("http", DEFAULT_HTTP)),
        manifest=None
        if manifest is None
        else absolute(existing(manifest, "--manifest"), "--manifest"),
        access_point_number=options.get("access_point_number", 1),
        aws_profile=options.get("aws_profile"),
        requester_pays=options.get("requester_pays"),
        endpoint_url=endpoint_url,
    )


def _place(named: Path | str) -> Path | StoreAddress | SitePlace:
    found = parse_source(named) if isinstance(named, str) else FolderPlace(str(named))
    return _folder(Path(named), "--from") if isinstance(found, FolderPlace) else found


def _check_store(origin: SourceConfig, dataset: str, version: str | None) -> None:
    """Raise UsageError if the store's address is that of another dataset or version."""
    for store in origin.stores:
        named = named_version(store, load_stores())
        if named is None or (named[0] == dataset and version in {None, LATEST, named[1]}):
            continue
        asked = dataset if version is None else f"{dataset} {version}"
        raise UsageError(
            f"--from {store} is {named[0]} {named[1]}, not {asked}",
            next_step=f"Name that one (--dataset {named[0]} --dataset-version {named[1]}), or give "
            "the address of the other.",
        )


def _destination(path: Path) -> Path:
    if (refused := bucket_as_destination(str(path))) is not None:
        raise refused
    if is_address(str(path)):  # a relative path of this name is never meant
        raise UsageError(
            f"--dest {shown_word(str(path))}: it is an address, not a folder of this machine",
            next_step="--dest is the folder to write to. Another server is named with --base-url.",
        )
    return path


def _folder(path: Path, label: str) -> Path:
    advice = source_advice(str(path)) if label == "--from" else ""
    if advice and not os.path.lexists(path):
        raise UsageError(f"--from {path}: no such folder", next_step=advice)
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


def _resize(options: Mapping[str, Any], selection: Selection) -> int | None:
    pixels: int | None = options.get("resize")
    if pixels is None and options.get("drop_originals"):
        raise UsageError(
            "--drop-originals removes originals of which copies are made, but none are",
            next_step="Add the size of the copies: --resize 512.",
        )
    if pixels is not None and selection.only and Kind.IMAGES not in selection.only:
        raise UsageError(
            "--resize makes copies of selected images, but no image is selected",
            next_step="Leave --only out, or add --only images.",
        )
    if pixels is not None and options.get("only_partition"):
        raise UsageError(
            "--resize cannot be combined with --only-partition: the copies are one tree, on which "
            "one run works at a time",
            next_step="Pull without --resize; when all parts are there: cxrsync resize.",
        )
    return pixels


def make_job(
    options: Mapping[str, Any], places: Sequence[str] = (), *, has_selection: bool = True
) -> Job:
    """Return the Job of these options: names as in the option table, and typed values.

    ``places``: names or addresses of a dataset, or of files and folders in it. ``has_selection``:
    False for a command about whole datasets: no message advises it to select files.
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
    chosen = choose(options, places, has_selection=has_selection)
    dataset, version = chosen.dataset, chosen.version
    selection = selection_of(options, dataset, chosen.paths)
    link_from, known = options.get("link_from"), options.get("acknowledge")
    origin = source_config(options)
    _check_store(origin, dataset, version)
    return Job(
        dataset=dataset,
        version=version,
        selection=selection,
        dest=_destination(options.get("dest", Path(DEFAULT_DEST))),
        origin=origin,
        limits=_limits(options, origin),
        fsync=not options.get("no_fsync"),
        reports=Reports(options.get("reports", Reports.AUTO)),
        with_reports=_with_reports(options, selection, dataset),
        gunzip_tables=bool(options.get("gunzip_tables")),
        link_from=None if link_from is None else _folder(link_from, "--link-from"),
        link=Link(options.get("link", Link.REFLINK)),
        force=bool(options.get("force")),
        allow_synced=bool(options.get("allow_synced")),
        acknowledged=frozenset() if known is None else read_acknowledged(known),
        refresh=_refresh(options),
        permissions=options.get("permissions"),
        partitions=_partitions(options),
        resize=_resize(options, selection),
        drop_originals=bool(options.get("drop_originals")),
    )
