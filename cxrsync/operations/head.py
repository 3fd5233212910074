"""``head``: the columns and first rows of a table, without fetching it.

The table is read from the disk if it is here. Otherwise one ranged request brings its first bytes.
Which tables there are, the catalogue and the manifest on the disk tell. If neither does, the first
bytes of the source's manifest are requested: that of a dataset without images has a few kB.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.catalog.load import dataset_info, load
from cxrsync.catalog.table_names import (
    find_tables,
    is_table_name,
    roles_of,
    short_name,
    similar_tables,
)
from cxrsync.config.job import LATEST, Job
from cxrsync.dataset.local_manifest import open_local
from cxrsync.dataset.target import Target
from cxrsync.dataset.version import choose_version, find_target, unknown_version_error
from cxrsync.errors import (
    Interrupted,
    InvalidResponse,
    ManifestDamaged,
    NotFetchedYet,
    NotFound,
    NotServed,
    Throttled,
    Unreachable,
    UsageError,
)
from cxrsync.events import Event, EventSink, TreeNotice
from cxrsync.manifest.csv_reader import InvalidTable
from cxrsync.manifest.key_ranges import ROOT_KEYS
from cxrsync.manifest.parse import check_path, parse_line
from cxrsync.manifest.table_head import TableHead, read_table_head
from cxrsync.model import MANIFEST_NAME, Entry, Kind, RemotePath
from cxrsync.sanitize import reason_of
from cxrsync.sources.base import Opened, Source, answer_of_any
from cxrsync.threads import run_in_thread

HEAD_BYTES = 64 << 10
# On the disk more bytes cost nothing, if the rows that were asked for need them.
_MOST_BYTES_OF_DISK = 16 << 20
_OTHER_FORMATS = (
    *(".txt", ".html", ".json", ".md", ".pdf", ".parquet", ".zip", ".gz", ".tar", ".tgz"),
    *(".jpg", ".png", ".dcm", ".sql", ".py"),
)


@dataclass(frozen=True, slots=True)
class FoundTable:
    """The beginning of a table. ``file``: where it is on the disk; None if it came from ``source``,
    whose name is then set."""

    dataset: DatasetInfo
    version: str
    path: str
    head: TableHead
    file: Path | None = None
    source: str = ""


async def read_head_of(
    job: Job, word: str, most_rows: int, source: Source, emit: EventSink
) -> FoundTable:
    """Return the first rows of the table of the job's dataset that ``word`` names.

    Raises: UsageError if there is no such table; InvalidTable; any CxrsyncError of the source.
    """
    if job.version == LATEST:
        job = replace(job, version=await choose_version(job, source, emit))
    dataset = dataset_info(job.dataset)
    target = await run_in_thread(lambda: _local_target(job))
    names = await run_in_thread(lambda: _known_tables(dataset, target))
    version = target.version if target is not None else ""
    if not names:
        version = version or await choose_version(job, source, emit)
        names = await _listed_tables(dataset, version, source)
    path = choose_table(word, names, dataset)
    if target is not None:
        tree, file = target.tree, Path(target.tree.final(path))
        if await run_in_thread(lambda: tree.find(path)) is not None:
            head = await run_in_thread(lambda: _read_file(file, most_rows))
            return FoundTable(dataset, version, path, head, file=file)
    version = version or await choose_version(job, source, emit)
    emit(TreeNotice(f"asking {_place(source)} for the beginning of {path}"))
    data, whole = await _first_bytes(RemotePath(job.dataset, version, path), names, source)
    try:
        head = read_table_head(data, path, most_rows, whole=whole)
    except InvalidTable as problem:
        raise _as_received(problem, _place(source)) from None
    return FoundTable(dataset, version, path, head, source=_place(source))


def choose_table(word: str, names: Sequence[str], dataset: DatasetInfo) -> str:
    """Return the path of the table of a dataset that ``word`` names.

    ``names``: the paths of the tables that are known; another path that may be a table is returned
    unchanged. Raises UsageError if ``word`` names no table, several, or one of another dataset.
    """
    roles = roles_of(dataset)
    found = find_tables(word, names, roles)
    if len(found) > 1:
        raise UsageError(
            f"{word} may be any of {len(found):,} tables of {dataset.slug}",
            next_step=f"Name one: {_listed([short_name(path, roles) for path in found])}.",
        )
    if found:
        return found[0]
    if elsewhere := _table_elsewhere(word, dataset):
        raise UsageError(f"{dataset.slug} has no table {word}", next_step=elsewhere)
    if is_table_name(word) and check_path(word) is None:
        return word
    kind = dataset.kind_of(word)
    if kind in {Kind.IMAGES, Kind.REPORTS, Kind.ARCHIVES} or word.endswith(_OTHER_FORMATS):
        raise UsageError(
            f"{word} is not a table",
            next_step="head shows .csv and .csv.gz files, and no other. " + _tables(names, dataset),
        )
    raise UsageError(
        f"{dataset.slug} has no table {word}", next_step=_suggestion(word, names, dataset)
    )


def owners_of(word: str) -> list[str]:
    """Return the datasets of the catalogue that have a table which ``word`` names."""
    return [
        slug for slug, info in load().items() if find_tables(word, info.table_files, roles_of(info))
    ]


def unknown_table_error(word: str) -> UsageError:
    """Return the error for a word that names a table of no dataset of the catalogue."""
    near = [
        f"cxrsync head {short_name(path, roles_of(info))} {option_of(info)}"
        for info in load().values()
        for path in similar_tables(word, info.table_files, roles_of(info))
    ]
    meant = f"Did you mean `{near[0]}`? " if near else ""
    return UsageError(
        f"no dataset is named, and the catalogue knows no table {word}",
        next_step=f"{meant}For a table of another dataset add --dataset NAME. `cxrsync info NAME` "
        "lists the tables of a dataset.",
    )


def option_of(info: DatasetInfo) -> str:
    """Return the option that names a dataset."""
    return f"--{info.alias}" if info.alias else f"--dataset {info.slug}"


def _table_elsewhere(word: str, dataset: DatasetInfo) -> str:
    """Return the sentence that names the other dataset with this table; empty if none has it."""
    for slug in owners_of(word):
        info = dataset_info(slug)
        if slug != dataset.slug:
            return (
                f"It is in {slug}, which has its own agreement: cxrsync head {word} "
                f"{option_of(info)}"
            )
    return ""


def _suggestion(word: str, names: Sequence[str], dataset: DatasetInfo) -> str:
    if near := similar_tables(word, names, roles_of(dataset)):
        return f"Did you mean {' or '.join(short_name(p, roles_of(dataset)) for p in near)}?"
    return _tables(names, dataset)


def _tables(names: Sequence[str], dataset: DatasetInfo) -> str:
    if not names:
        return f"Its page lists its files: {dataset.agreement}"
    return f"Its tables: {_listed([short_name(path, roles_of(dataset)) for path in names])}."


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# ── what is on the disk ────────────────────────────────────────────────────────────────────────


def _local_target(job: Job) -> Target | None:
    ignored: list[Event] = []
    try:
        return find_target(job, ignored.append)
    except NotFetchedYet:
        return None


def _known_tables(dataset: DatasetInfo, target: Target | None) -> tuple[str, ...]:
    """Return the paths of the tables that the manifest on the disk lists, else those that the
    catalogue knows."""
    if target is None:
        return dataset.table_files
    try:
        with closing(open_local(target.tree, ROOT_KEYS)) as manifest:
            listed = [each.path for each in manifest.root_entries()]
    except (NotFetchedYet, ManifestDamaged):  # the beginning of a table needs no manifest
        return dataset.table_files
    return _only_tables(listed, dataset) or dataset.table_files


def _only_tables(paths: Sequence[str], dataset: DatasetInfo) -> tuple[str, ...]:
    return tuple(
        path for path in paths if dataset.kind_of(path) is Kind.TABLES and is_table_name(path)
    )


def _read_file(file: Path, most_rows: int) -> TableHead:
    """Return the first rows of a table on the disk."""
    try:
        with file.open("rb") as stream:
            data = stream.read(HEAD_BYTES)
            while True:
                more = stream.read(1)
                head = read_table_head(data + more, file.name, most_rows, whole=not more)
                if not head.is_cut or not more or len(data) >= _MOST_BYTES_OF_DISK:
                    return head
                data += more + stream.read(len(data))
    except OSError as problem:
        raise UsageError(
            f"cannot read {file}: {reason_of(problem)}",
            next_step="Make it readable for you; or name another --dest, so that the server is "
            "asked for the table.",
        ) from None


# ── what the source has ────────────────────────────────────────────────────────────────────────


def _place(source: Source) -> str:
    parts = urlsplit(source.identity)
    return parts.hostname or source.identity


async def _listed_tables(dataset: DatasetInfo, version: str, source: Source) -> tuple[str, ...]:
    """Return the tables in the first bytes of the source's manifest."""
    ref = RemotePath(dataset.slug, version, MANIFEST_NAME)
    try:
        data, whole = await _read_beginning(ref, source)
    except NotFound:
        raise await unknown_version_error(source, dataset.slug, version) from None
    lines = data.split(b"\n") if whole else data.split(b"\n")[:-1]
    entries = [entry for line in lines if isinstance(entry := parse_line(line, 0), Entry)]
    return _only_tables([entry.path for entry in entries], dataset)


async def _first_bytes(ref: RemotePath, names: Sequence[str], source: Source) -> tuple[bytes, bool]:
    """Return the first bytes of a table, and whether they are all. Raises UsageError if the version
    has no such table."""
    try:
        return await _read_beginning(ref, source)
    except NotFound:
        pass
    try:
        await _read_beginning(replace(ref, path=MANIFEST_NAME), source, 1)
    except NotFound:
        raise await unknown_version_error(source, ref.dataset, ref.version) from None
    dataset = dataset_info(ref.dataset)
    others = [path for path in names if path != ref.path]
    raise UsageError(
        f"{ref.dataset} {ref.version} has no table {ref.path}",
        next_step=_suggestion(ref.path, others, dataset)
        if ref.path not in names
        else f"Another version may have it: `cxrsync info {ref.dataset}` lists the versions.",
    )


async def _read_beginning(
    ref: RemotePath, source: Source, size: int = HEAD_BYTES
) -> tuple[bytes, bool]:
    """Return the first ``size`` bytes of a file, and whether they are the whole file."""
    data = bytearray()
    try:
        async with answer_of_any(source, ref, 0, size) as answer:
            if not isinstance(answer, Opened):  # nothing after byte 0: the file is empty
                return b"", True
            async for chunk in answer.chunks:
                data += chunk
                if len(data) >= size:
                    break
    except NotFound:
        raise
    except NotServed as refused:
        what = f"cannot read {ref.path}: {refused}"
        raise type(refused)(what, next_step=refused.next_step) from None
    except (Interrupted, InvalidResponse, Throttled) as problem:
        what = f"cannot read {ref.path}: {problem}"
        raise Unreachable(what, next_step=problem.next_step) from None
    whole = answer.total is not None and len(data) >= answer.total
    return bytes(data[:size]), whole and len(data) <= size


def _as_received(problem: InvalidTable, place: str) -> InvalidTable:
    problem.next_step = (
        f"What {place} sent is shown nowhere else, and was not verified. Run the command again; if "
        "it says the same, pull the table, which verifies it, and report it to PhysioNet."
    )
    return problem
