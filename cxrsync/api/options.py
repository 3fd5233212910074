"""The keywords of the Python interface and their types, for editors and type checkers.

A test compares them with the option table. A value of None is the same as no keyword.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Literal, SupportsIndex, TypedDict

Path = str | os.PathLike[str]
Texts = str | Iterable[str]
Number = SupportsIndex  # int, and whole numbers of NumPy
Id = str | SupportsIndex | float | os.PathLike[str]
Ids = Id | Iterable[Id]
"""One or more ids. A column of a table is one of the values: ``table["subject_id"]``."""
LabelValue = str | float | None
Labels = Texts | Mapping[str, LabelValue | Iterable[LabelValue]]
"""``{"Pneumonia": 1}``, or the texts of the command line: ``"Pneumonia=1"``."""
Amount = str | float
"""A number of bytes, or text such as ``"50G"``."""
Duration = str | float | timedelta
"""Text such as ``"90m"``, or a number of seconds."""


class TreeOptions(TypedDict, total=False):
    """What a call is about: the dataset, the selected files, and their folder."""

    jpg: bool | None
    dicom: bool | None
    dataset: str | None
    dataset_version: str | None
    shard: Ids | None
    split: Texts | None
    subject: Ids | None
    study: Ids | None
    image: Ids | None
    skip_unknown: bool | None
    view: Texts | None
    frontal: bool | None
    lateral: bool | None
    label: Labels | None
    labeler: str | None
    only: Texts | None
    metadata_only: bool | None
    include: Texts | None
    exclude: Texts | None
    limit: Number | None
    sample: Number | None
    sample_by: Literal["subject", "study", "image"] | None
    seed: Number | None
    split_table: Path | None
    no_tables: bool | None
    dest: Path | None


class StatusOptions(TreeOptions, total=False):
    """The keywords of :func:`cxrsync.status`."""

    base_url: str | None
    all: bool | None


class FilesOptions(TreeOptions, total=False):
    """The keywords of :func:`cxrsync.files`."""

    base_url: str | None
    present: bool | None


class ListOptions(TreeOptions, total=False):
    """The keywords of :func:`cxrsync.ls`."""

    from_dir: Path | Iterable[Path] | None
    manifest: Path | None
    access_point_number: Number | None
    endpoint_url: str | None
    aws_profile: str | None
    requester_pays: str | None
    base_url: str | None
    user: str | None
    ca_file: Path | None
    user_agent: str | None
    http: Literal["lean", "aiohttp"] | None
    allow_synced: bool | None


class ConnectionOptions(ListOptions, total=False):
    """By what connections, and by what means, files are fetched."""

    connections: Number | Literal["auto"] | None
    retries: Number | None
    connect_timeout: Duration | None
    stall_timeout: Duration | None
    give_up_after: Duration | None
    wait_lock: Duration | None
    limit_rate: Amount | Mapping[str, Amount] | None
    keep_free: Amount | None
    no_fsync: bool | None
    only_partition: Ids | None


class StreamOptions(ConnectionOptions, total=False):
    """The keywords of :func:`cxrsync.iter_verified` and :func:`cxrsync.aiter_verified`."""


class TransferOptions(ConnectionOptions, total=False):
    """How files are fetched, and how many."""

    window: str | None
    max_files: Number | None
    max_bytes: Amount | None
    max_duration: Duration | None
    acknowledge: Path | None


class VerifyOptions(TransferOptions, total=False):
    """The keywords of :func:`cxrsync.verify`."""

    all: bool | None
    repair: bool | None


class PullOptions(TransferOptions, total=False):
    """The keywords of :func:`cxrsync.pull`, :func:`cxrsync.apull` and :func:`cxrsync.dry_run`."""

    with_reports: bool | None
    gunzip_tables: bool | None
    resize: Number | None
    drop_originals: bool | None
    reports: Literal["auto", "zip", "files"] | None
    link_from: Path | None
    link: Literal["reflink", "hardlink", "copy"] | None
    force: bool | None
    delete: bool | None
    max_delete: str | Number | None
    trash_keep: Duration | None
    max_refetch: str | Number | None
    refetch: bool | None
    permissions: str | Mapping[str, str] | None
