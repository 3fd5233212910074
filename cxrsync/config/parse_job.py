"""The words of a job → a Job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from cxrsync.catalog.dataset_info import NAME, suggest
from cxrsync.catalog.load import dataset_info, load
from cxrsync.config.given import given
from cxrsync.config.job import (
    AUTO_CONNECTIONS,
    DEFAULT_BASE_URL,
    DEFAULT_DEST,
    DEFAULT_USER_AGENT,
    MAX_CONNECTIONS,
    Job,
    Link,
    Reports,
    SourceConfig,
    TransferLimits,
)
from cxrsync.config.parse_acknowledged import read_acknowledged
from cxrsync.config.parse_selection import SELECTION_OPTIONS, make_selection
from cxrsync.errors import UsageError
from cxrsync.model import Kind

# The words of a job, the same in options, environment, job files and Python.
OPTIONS = (
    *("jpg", "dicom", "dataset", "dataset_version", "dest"),
    *SELECTION_OPTIONS,
    *("from_dir", "base_url", "user", "ca_file", "user_agent"),
    *("connections", "retries", "connect_timeout", "stall_timeout", "give_up_after"),
    *("wait_lock", "max_files", "max_duration", "no_fsync", "force", "allow_synced"),
    "acknowledge",
    "limit_rate",
    *("reports", "with_reports", "link_from", "link"),
)

E = TypeVar("E", bound=Enum)

_RATE = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,9})?)(?P<unit>[kKmMgG]?)", re.ASCII)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")


def parse_connections(value: str | int) -> int:
    """``auto`` or a number from 1 to :data:`MAX_CONNECTIONS`. Raises UsageError."""
    if value == "auto":
        return AUTO_CONNECTIONS
    number = int(value) if str(value).isascii() and str(value).isdigit() else 0
    if not 1 <= number <= MAX_CONNECTIONS:
        raise UsageError(
            f"--connections {value!r} is not auto or a number from 1 to {MAX_CONNECTIONS}",
            next_step="Leave it out: more than 8 gets connect timeouts from PhysioNet, not speed.",
        )
    return number


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


def parse_rate(value: str | float | None) -> float | None:
    """``500k`` or ``2M`` → bytes per second, by powers of 1,024 as wget has them; None or ``off``:
    no limit. Raises UsageError."""
    if value is None or value == "off":
        return None
    match = _RATE.fullmatch(str(value))
    rate = float(match["number"]) * _UNITS[match["unit"].lower()] if match else 0.0
    if not 1 <= rate < float("inf"):
        raise UsageError(
            f"--limit-rate {value!r} is no rate",
            next_step="Bytes per second, of all connections together: 500k, 2M or 1.5M; or off.",
        )
    return rate


def _path(options: Mapping[str, Any], name: str) -> Path | None:
    value = options.get(name)
    if value is None:
        return None
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise UsageError(f"{value}: there is no such user") from None


def _limits(options: Mapping[str, Any]) -> TransferLimits:
    said = {
        field.name: options[field.name]
        for field in fields(TransferLimits)
        if options.get(field.name) is not None
    }
    if "connections" in said:
        asked = said["connections"]
        said["connections"] = parse_connections(asked)
        if asked != "auto":
            said["first_connections"] = said["connections"]
    for name in ("retries", "wait_lock", "max_files", "max_duration"):
        if not said.get(name, 0) >= 0:  # so that NaN is refused too
            raise UsageError(f"--{name.replace('_', '-')} cannot be negative")
    for name in ("connect_timeout", "stall_timeout", "give_up_after"):
        if not said.get(name, 1) > 0:
            raise UsageError(f"--{name.replace('_', '-')} must be more than 0 seconds")
    return TransferLimits(**said, rate=parse_rate(options.get("limit_rate")))


def _word(options: Mapping[str, Any], name: str, default: E) -> E:
    """An option that takes one of a few words. Raises UsageError, naming what is near."""
    value = options.get(name)
    words = {each.value: each for each in type(default)}
    if not value:
        return default
    if value not in words:
        raise UsageError(
            f"--{name} {value!r} is not known", next_step=f"Near: {suggest(value, list(words))}."
        )
    return words[value]


def make_job(options: Mapping[str, Any]) -> Job:
    """A Job from option names (with ``_`` for ``-``) and their values. Raises UsageError.

    A name that is missing or None takes its default; an empty value is refused.
    """
    options = given(options)
    dataset = _choose_dataset(options)
    version = options.get("dataset_version")
    if version is not None and not (isinstance(version, str) and NAME.fullmatch(version)):
        # A number, as an unquoted 2.10 in YAML is one, has lost its zeros already.
        raise UsageError(
            f"--dataset-version {version!r} is not a version",
            next_step=f"Known: {', '.join(dataset_info(dataset).versions) or 'none'} (as text).",
        )
    ca_file = _path(options, "ca_file")
    if ca_file is not None and not ca_file.is_file():
        raise UsageError(f"--ca-file {ca_file}: no such file")
    from_dir = _path(options, "from_dir")
    if from_dir is not None and not from_dir.is_dir():
        raise UsageError(f"--from {from_dir}: no such folder")
    link_from = _path(options, "link_from")
    if link_from is not None and not link_from.is_dir():
        raise UsageError(f"--link-from {link_from}: no such folder")
    acknowledged = _path(options, "acknowledge")
    with_reports = bool(options.get("with_reports"))
    if with_reports and not dataset_info(dataset).reports_in:
        raise UsageError(
            f"--with-reports: no other dataset has reports of {dataset}",
            next_step="It is for --jpg. With --dicom the reports come along anyway.",
        )
    selection = make_selection(options, dataset)
    if with_reports and selection.only and Kind.IMAGES not in selection.only:
        raise UsageError(
            "--with-reports brings the reports of selected images, and no image is selected",
            next_step="Leave --only out, or say --only images too.",
        )
    return Job(
        dataset=dataset,
        version=version,
        selection=selection,
        dest=_path(options, "dest") or Path(DEFAULT_DEST),
        origin=SourceConfig(
            base_url=_check_base_url(options.get("base_url") or DEFAULT_BASE_URL),
            from_dir=None if from_dir is None else from_dir.absolute(),
            user=options.get("user"),
            ca_file=ca_file,
            user_agent=_check_user_agent(options.get("user_agent") or DEFAULT_USER_AGENT),
        ),
        limits=_limits(options),
        fsync=not options.get("no_fsync"),
        reports=_word(options, "reports", Reports.AUTO),
        with_reports=with_reports,
        link_from=None if link_from is None else link_from.absolute(),
        link=_word(options, "link", Link.REFLINK),
        force=bool(options.get("force")),
        allow_synced=bool(options.get("allow_synced")),
        acknowledged=frozenset() if acknowledged is None else read_acknowledged(acknowledged),
    )
