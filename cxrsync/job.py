"""One Job: dataset + selection + source + destination + limits, as frozen values.

Command line, environment, job files and the Python functions all say the same things under the
same names; :func:`make_job` is the one place where those words become a Job.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cxrsync import __version__
from cxrsync.catalog import describe, load, nearest
from cxrsync.errors import UsageError
from cxrsync.model import Kind

DEFAULT_DEST = "physionet.org/files"
DEFAULT_BASE_URL = "https://physionet.org/files"
# PhysioNet honours basic auth only from agents that start with "Wget/" or "libwfdb/", and asks
# new programs to say who they are; this does both.
DEFAULT_USER_AGENT = f"Wget/1.21 (compatible; cxrsync/{__version__})"
# Users report 24 connections ending in connect timeouts, and 8 working for weeks.
AUTO_CONNECTIONS = 8
MOST_CONNECTIONS = 32

# The words of a job, the same in options, environment, job files and Python.
OPTIONS = (
    *("jpg", "dicom", "dataset", "dataset_version", "dest"),
    *("shard", "only", "include", "exclude", "tables"),
    *("from_dir", "base_url", "user", "ca_file", "user_agent"),
    *("connections", "retries", "connect_timeout", "stall_timeout", "give_up_after"),
    *("wait_lock", "max_files", "max_duration", "fsync"),
)

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_VERSION = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z.-]*[0-9A-Za-z])?")
_SHARD = re.compile(r"p(\d\d)(?:-p?(\d\d))?")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files of a version are meant. Values of one field are alternatives; fields all hold.

    No field set means the whole version. ``tables`` brings the tables along with a selection of
    shards.
    """

    shards: tuple[str, ...] = ()
    only: tuple[Kind, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tables: bool = True

    @property
    def whole(self) -> bool:
        """Whether this is every file of the manifest."""
        return not (self.shards or self.only or self.include or self.exclude)

    def __str__(self) -> str:
        if self.whole:
            return "the whole version"
        words = []
        if self.shards:
            words.append(" ".join(self.shards))
        if self.only:
            words.append("only " + " and ".join(kind.value for kind in self.only))
        if self.include:
            words.append("paths like " + " or ".join(self.include))
        if self.exclude:
            words.append("not " + " nor ".join(self.exclude))
        if self.shards and self.tables and not self.only:
            words.append("with the tables")
        return ", ".join(words)

    def as_json(self) -> dict[str, Any]:
        """The selection as the state keeps it."""
        return {
            "shards": list(self.shards),
            "only": [kind.value for kind in self.only],
            "include": list(self.include),
            "exclude": list(self.exclude),
            "tables": self.tables,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Selection:
        """The selection that :meth:`as_json` wrote. Raises ValueError, KeyError or TypeError."""
        return cls(
            shards=tuple(str(shard) for shard in raw["shards"]),
            only=tuple(Kind(kind) for kind in raw["only"]),
            include=tuple(str(glob) for glob in raw["include"]),
            exclude=tuple(str(glob) for glob in raw["exclude"]),
            tables=bool(raw["tables"]),
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the bytes come from: a server, or a tree on a local disk (``from_dir``)."""

    base_url: str = DEFAULT_BASE_URL
    from_dir: Path | None = None
    user: str | None = None
    ca_file: Path | None = None
    user_agent: str = DEFAULT_USER_AGENT


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard and how long to try; times in seconds.

    There is deliberately no total timeout: an image of 13 MB at 25 KB/s takes nine minutes.
    ``give_up_after`` is how long the whole server may be away before the run ends.
    """

    connections: int = AUTO_CONNECTIONS
    retries: int = 5
    connect_timeout: float = 30.0
    stall_timeout: float = 60.0
    give_up_after: float = 3600.0
    wait_lock: float = 0.0
    max_files: int | None = None
    max_duration: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What is wanted. ``version`` None means: the one in the destination, else the newest known."""

    dataset: str
    version: str | None = None
    selection: Selection = Selection()
    dest: Path = Path(DEFAULT_DEST)
    origin: Origin = Origin()
    limits: Limits = Limits()
    fsync: bool = True


def is_loopback(host: str | None) -> bool:
    """Whether ``host`` names this machine."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_shards(values: Iterable[str]) -> tuple[str, ...]:
    """``["p10-p12", "p14,p15"]`` → the shards in order. Raises UsageError."""
    shards: set[str] = set()
    for value in values:
        for word in value.replace(" ", ",").split(","):
            if not word:
                continue
            match = _SHARD.fullmatch(word)
            if match is None:
                raise UsageError(
                    f"--shard {word!r} is not a shard",
                    next_step="A shard is p10 to p19; p10-p14 and p10,p12 work too.",
                )
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first:
                raise UsageError(
                    f"--shard {word!r} runs backwards", next_step=f"Say p{last:02}-p{first:02}."
                )
            shards.update(f"p{number:02}" for number in range(first, last + 1))
    return tuple(sorted(shards))


def parse_connections(value: str | int) -> int:
    """``auto`` or a number from 1 to :data:`MOST_CONNECTIONS`. Raises UsageError."""
    if value == "auto":
        return AUTO_CONNECTIONS
    try:
        number = int(value)
    except ValueError:
        number = 0
    if not 1 <= number <= MOST_CONNECTIONS:
        raise UsageError(
            f"--connections {value!r} is not auto or a number from 1 to {MOST_CONNECTIONS}",
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
    except ValueError:  # brackets that do not close, a port that is none
        is_address = False
    if not is_address:
        raise UsageError(f"--base-url {url!r} is not an https:// address")
    return url.rstrip("/")


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
            next_step=f"Known names: {nearest(said[0], list(load()))}. It is the last part of "
            "the dataset's address, https://physionet.org/content/NAME/.",
        )
    return said[0]


def make_selection(options: Mapping[str, Any], dataset: str) -> Selection:
    """The selection that the options name. Raises UsageError, naming what is near."""
    shards = parse_shards(_many(options, "shard"))
    known = describe(dataset).shards
    for shard in shards:
        if known and shard not in known:
            raise UsageError(
                f"{dataset} has no shard {shard}",
                next_step=f"Its shards: {', '.join(known)}.",
            )
    kinds = []
    for word in _many(options, "only"):
        try:
            kinds.append(Kind(word))
        except ValueError:
            names = [kind.value for kind in Kind]
            raise UsageError(
                f"--only {word!r} is not a kind of file",
                next_step=f"Near: {nearest(word, names)}.",
            ) from None
    return Selection(
        shards=shards,
        only=tuple(kinds),
        include=tuple(_many(options, "include")),
        exclude=tuple(_many(options, "exclude")),
        tables=options.get("tables") is not False,
    )


def _many(options: Mapping[str, Any], name: str) -> list[str]:
    value = options.get(name) or ()
    return [value] if isinstance(value, str) else [str(item) for item in value]


def _limits(options: Mapping[str, Any]) -> Limits:
    given = {
        field.name: options[field.name]
        for field in fields(Limits)
        if options.get(field.name) is not None
    }
    if "connections" in given:
        given["connections"] = parse_connections(given["connections"])
    for name in ("retries", "wait_lock", "max_files", "max_duration"):
        if given.get(name, 0) < 0:
            raise UsageError(f"--{name.replace('_', '-')} cannot be negative")
    for name in ("connect_timeout", "stall_timeout", "give_up_after"):
        if given.get(name, 1) <= 0:
            raise UsageError(f"--{name.replace('_', '-')} must be more than 0 seconds")
    return Limits(**given)


def make_job(options: Mapping[str, Any]) -> Job:
    """A Job from option names (with ``_`` for ``-``) and their values. Raises UsageError.

    A name that is missing or None takes its default.
    """
    dataset = _choose_dataset(options)
    version = options.get("dataset_version")
    if version is not None and not _VERSION.fullmatch(version):
        raise UsageError(
            f"--dataset-version {version!r} is not a version",
            next_step=f"Known: {', '.join(describe(dataset).versions) or 'none'}.",
        )
    ca_file = options.get("ca_file")
    if ca_file is not None and not Path(ca_file).is_file():
        raise UsageError(f"--ca-file {ca_file}: no such file")
    from_dir = options.get("from_dir")
    if from_dir is not None and not Path(from_dir).is_dir():
        raise UsageError(f"--from {from_dir}: no such folder")
    return Job(
        dataset=dataset,
        version=version,
        selection=make_selection(options, dataset),
        dest=Path(options.get("dest") or DEFAULT_DEST).expanduser(),
        origin=Origin(
            base_url=_check_base_url(options.get("base_url") or DEFAULT_BASE_URL),
            from_dir=None if from_dir is None else Path(from_dir).resolve(),
            user=options.get("user"),
            ca_file=None if ca_file is None else Path(ca_file),
            user_agent=options.get("user_agent") or DEFAULT_USER_AGENT,
        ),
        limits=_limits(options),
        fsync=options.get("fsync") is not False,
    )
