"""The words of a job → a Job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cxrsync.catalog.dataset_info import NAME, suggest
from cxrsync.catalog.load import dataset_info, load
from cxrsync.config.job import (
    DEFAULT_BASE_URL,
    DEFAULT_DEST,
    DEFAULT_USER_AGENT,
    Job,
    Link,
    Reports,
    SourceConfig,
    TransferLimits,
)
from cxrsync.config.option_value import absolute, check_options, existing
from cxrsync.config.parse_acknowledged_mismatches import read_acknowledged
from cxrsync.config.parse_selection import selection_of
from cxrsync.config.selection import Selection
from cxrsync.errors import UsageError
from cxrsync.model import Kind

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")


def _check_base_url(url: str) -> str:
    # Before any message that would print the address, and with it the password.
    if "@" in url:
        raise UsageError(
            "--base-url carries a user name or password",
            next_step="Arguments are visible to everyone on the machine: use --user, and "
            "PHYSIONET_PASSWORD or ~/.netrc.",
        )
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        is_address = is_address and not (parts.query or parts.fragment)  # they would be kept
    except ValueError:  # brackets that do not close, a port that is none
        is_address = False
    if not (is_address and url.isprintable()):
        raise UsageError(f"--base-url {url!r} is not an https:// address")
    return url.rstrip("/")


def _check_user_agent(agent: str) -> str:
    if not agent.isprintable():  # as a newline in a variable: no header holds it
        raise UsageError(f"--user-agent {agent!r} is not the text of a header")
    return agent


def _choose_dataset(options: Mapping[str, Any]) -> str:
    """The slug that ``--jpg``, ``--dicom`` or ``--dataset`` names."""
    said = [slug for slug, known in load().items() if known.alias and options.get(known.alias)]
    if options.get("dataset"):
        said.append(str(options["dataset"]))
    if len(set(said)) > 1:
        raise UsageError(f"more than one dataset: {', '.join(said)}", next_step="Choose one.")
    if not said:
        raise UsageError(
            "no dataset named",
            next_step="Say --jpg (MIMIC-CXR-JPG), --dicom (MIMIC-CXR) or --dataset SLUG.",
        )
    if not _SLUG.fullmatch(said[0]):
        raise UsageError(
            f"{said[0]!r} is not a PhysioNet dataset's name",
            next_step=f"Known names: {suggest(said[0], list(load()))}. It is the last part of "
            "the dataset's address, https://physionet.org/content/NAME/.",
        )
    return said[0]


def _limits(options: Mapping[str, Any]) -> TransferLimits:
    said = {
        field.name: options[field.name]
        for field in fields(TransferLimits)
        if options.get(field.name) is not None
    }
    if said.get("connections") == "auto":
        del said["connections"]
    elif "connections" in said:
        said["first_connections"] = said["connections"]
    return TransferLimits(**said, rate=options.get("limit_rate"))


def _source(options: Mapping[str, Any]) -> SourceConfig:
    ca_file, from_dir = options.get("ca_file"), options.get("from_dir")
    return SourceConfig(
        base_url=_check_base_url(options.get("base_url", DEFAULT_BASE_URL)),
        from_dir=None if from_dir is None else _folder(from_dir, "--from"),
        user=options.get("user"),
        ca_file=None if ca_file is None else existing(ca_file, "--ca-file"),
        user_agent=_check_user_agent(options.get("user_agent", DEFAULT_USER_AGENT)),
    )


def _folder(path: Path, label: str) -> Path:
    return absolute(existing(path, label, folder=True), label)


def _version(options: Mapping[str, Any], dataset: str) -> str | None:
    version: str | None = options.get("dataset_version")
    if version is not None and not NAME.fullmatch(version):
        raise UsageError(
            f"--dataset-version {version!r} is not a version",
            next_step=f"Known: {', '.join(dataset_info(dataset).versions) or 'none'}.",
        )
    return version


def _with_reports(options: Mapping[str, Any], selection: Selection, dataset: str) -> bool:
    wanted = bool(options.get("with_reports"))
    if wanted and not dataset_info(dataset).reports_in:
        raise UsageError(
            f"--with-reports: no other dataset has reports of {dataset}",
            next_step="It is for --jpg. With --dicom the reports come along anyway.",
        )
    if wanted and selection.only and Kind.IMAGES not in selection.only:
        raise UsageError(
            "--with-reports brings the reports of selected images, and no image is selected",
            next_step="Leave --only out, or say --only images too.",
        )
    return wanted


def make_job(options: Mapping[str, Any]) -> Job:
    """A Job from option names (as in the option table) and typed values. Raises UsageError.

    A name that is missing or None takes its default; an empty value is refused.
    """
    options = check_options(options)
    dataset = _choose_dataset(options)
    version = _version(options, dataset)
    selection = selection_of(options, dataset)
    link_from, known = options.get("link_from"), options.get("acknowledge")
    return Job(
        dataset=dataset,
        version=version,
        selection=selection,
        dest=options.get("dest", Path(DEFAULT_DEST)),
        origin=_source(options),
        limits=_limits(options),
        fsync=not options.get("no_fsync"),
        reports=Reports(options.get("reports", Reports.AUTO)),
        with_reports=_with_reports(options, selection, dataset),
        link_from=None if link_from is None else _folder(link_from, "--link-from"),
        link=Link(options.get("link", Link.REFLINK)),
        force=bool(options.get("force")),
        allow_synced=bool(options.get("allow_synced")),
        acknowledged=frozenset() if known is None else read_acknowledged(known),
    )
