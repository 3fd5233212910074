"""The values of options and arguments that a shell offers: from the catalogue, the option table and
the destination. No network is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.config.option import Option, Type

# Options whose value is a folder, which the shell completes itself.
_PATHS = {"dest": "dir", "link_from": "dir"}
_STORES = (("s3", "Amazon"), ("gcs", "Google Cloud"))
# Options whose values may be separated by commas.
_LISTS = frozenset({"shard", "view"})
_LABEL_VALUES = ("1", "0", "-1", "blank")
_KINDS = ("images", "reports", "tables", "archives", "docs")
_JPG, _DICOM = "mimic-cxr-jpg", "mimic-cxr"

Value = tuple[str, str]  # and its explanation


def complete_option(option: Option, ctx: click.Context, word: str) -> list[CompletionItem]:
    """Return the values of an option that begin with ``word``."""
    if option.type is Type.PLACE:
        return [*_items(word, _STORES), CompletionItem(word, type="dir")]
    if option.type is Type.PATH:
        return [CompletionItem(word, type=_PATHS.get(option.name, "file"))]
    if word.startswith("@") and option.repeatable:
        return [CompletionItem(word, type="file")]
    before, comma, _last = word.rpartition(",") if option.name in _LISTS else ("", "", word)
    return _items(word, ((before + comma + value, text) for value, text in _values(option, ctx)))


def complete_place(ctx: click.Context, _param: click.Parameter, word: str) -> list[CompletionItem]:
    """Return the datasets, and behind a dataset and a slash its versions."""
    slug, slash, _version = word.partition("/")
    if slash:
        return _items(word, ((f"{slug}/{each}", text) for each, text in _versions(ctx, slug)))
    return _items(word, _datasets())


def complete_version(
    ctx: click.Context, _param: click.Parameter, word: str
) -> list[CompletionItem]:
    """Return the versions of the dataset that the command line names."""
    return _items(word, _versions(ctx, _named(ctx)))


def complete_table(ctx: click.Context, _param: click.Parameter, word: str) -> list[CompletionItem]:
    """Return the tables of the dataset that the command line names, and roles such as split."""
    from cxrsync.catalog.table_names import roles_of

    info = _catalogue().get(_named(ctx) or _JPG)
    if info is None:
        return []
    roles = ((role, f"of {info.slug}") for role in roles_of(info))
    return _items(word, [*roles, *((path, "") for path in info.table_files)])


def complete_help(_ctx: click.Context, _param: click.Parameter, word: str) -> list[CompletionItem]:
    """Return the topics and commands of ``cxrsync help``."""
    from cxrsync.cli.commands import COMMANDS
    from cxrsync.cli.help.topics import TOPICS

    topics = ((name, topic.summary) for name, topic in TOPICS.items())
    return _items(word, [*topics, *((each.name, each.summary) for each in COMMANDS.values())])


def _items(word: str, values: Iterable[Value]) -> list[CompletionItem]:
    found = {value: text for value, text in values if value.startswith(word)}
    return [CompletionItem(value, help=text) for value, text in found.items()]


def _values(option: Option, ctx: click.Context) -> Iterator[Value]:
    name, info = option.name, _catalogue().get(_named(ctx) or _JPG)
    if info is not None and info.tables_in and not info.splits:
        info = _catalogue().get(info.tables_in)
    if name == "dataset":
        yield from _datasets()
    elif name == "dataset_version":
        yield from _versions(ctx, _named(ctx))
        yield "latest", "the newest"
    elif name == "shard":
        yield from ((each, "") for each in _shards(info))
    elif name == "job":
        yield from _jobs(ctx)
    elif name == "only":
        yield from ((each, "") for each in _KINDS)
    elif info is not None and name == "label":
        yield from ((f"{label}={each}", "") for label in info.labels for each in _LABEL_VALUES)
    elif info is not None:
        words = {"split": info.splits, "view": (*info.views, "blank"), "labeler": info.labelers}
        yield from ((each, "") for each in words.get(name, option.words))
    else:
        yield from ((each, "") for each in option.words)


def _shards(info: DatasetInfo | None) -> tuple[str, ...]:
    return info.shards if info is not None else ()


def _catalogue() -> Mapping[str, DatasetInfo]:
    from cxrsync.catalog.load import load  # here: it imports a reader of YAML

    return load()


def _datasets() -> Iterator[Value]:
    for slug, info in _catalogue().items():
        yield slug, info.title


def _named(ctx: click.Context) -> str:
    """Return the dataset that the command line names so far, or ""."""
    given = ctx.params
    places = given.get("places") or _arguments(ctx) or [""]
    slug = given.get("dataset") or str(places[0]).split("/")[0]
    if given.get("dicom"):
        return _DICOM
    return _JPG if given.get("jpg") else slug if slug in _catalogue() else ""


def _arguments(ctx: click.Context) -> list[str]:
    """Return the arguments of a line that ends in an option without its value: click leaves them
    where they are."""
    return [each for each in ctx.args if not each.startswith("-")]


def _versions(ctx: click.Context, slug: str) -> Iterator[Value]:
    """Return the versions in the destination, then those of the catalogue, newest first."""
    here = sorted({version for dataset, version in _trees(ctx) if slug in ("", dataset)})
    yield from ((each, "here") for each in reversed(here))
    infos = [_catalogue()[slug]] if slug in _catalogue() else list(_catalogue().values())
    for info in infos:
        if slug or info.slug in (_JPG, _DICOM):
            yield from ((each, "") for each in reversed(info.versions) if each not in here)


def _trees(ctx: click.Context) -> list[tuple[str, str]]:
    """Return dataset and version of each tree in the destination."""
    from cxrsync.config.job import DEFAULT_BASE_URL, DEFAULT_DEST
    from cxrsync.dataset.tree_location import Location, wget_folders

    dest = ctx.params.get("dest") or Path(DEFAULT_DEST)
    found = Location(dest, wget_folders(DEFAULT_BASE_URL)).claimed()
    return [(each.dataset, each.version) for each in found]


def _jobs(ctx: click.Context) -> Iterator[Value]:
    """Return the names of the jobs in the file that the command line names."""
    from cxrsync.config.job_file import read_job_file

    for file in ctx.params.get("files") or _arguments(ctx):
        yield from ((job.name, "") for job in read_job_file(Path(file)).jobs)
