"""Choose dataset, version and paths from the options and arguments that name them."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrsync.catalog.dataset_info import NAME, DatasetInfo
from cxrsync.catalog.load import dataset_info, load, near_datasets
from cxrsync.config.id_forms import other_form
from cxrsync.config.job import DEFAULT_BASE_URL, LATEST
from cxrsync.config.near_values import label_and_value
from cxrsync.config.places import Place, is_address, known_name, parse_place, parse_version
from cxrsync.errors import UsageError
from cxrsync.model import MANIFEST_NAME, SHARD_NAME
from cxrsync.sanitize import shown_word

_ID_DIGITS = 8
# The beginning of a path: /, ./, ../ and ~.
_OF_THIS_MACHINE = re.compile(r"(?:\./)*/|\.{1,2}(?:/|\Z)|~[^/]*(?:/|\Z)")
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)+")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The dataset that a job is about, its version (None: not named), and paths in it."""

    dataset: str
    version: str | None
    paths: tuple[str, ...] = ()


def choose(
    options: Mapping[str, Any], words: Sequence[str] = (), *, has_selection: bool = True
) -> Chosen:
    """Return what ``--jpg``, ``--dicom``, ``--dataset``, ``--dataset-version`` and the arguments
    of a command name together. ``has_selection``: whether the command has options that select
    files. Raises UsageError if they contradict each other."""
    known = load()
    base_url = str(options.get("base_url") or DEFAULT_BASE_URL)
    _refuse_split_label(options.get("label"), words, known)
    named = [slug for slug, info in known.items() if info.alias and options.get(info.alias)]
    places = [Place(slug) for slug in named]
    if options.get("dataset"):
        places.append(parse_place(str(options["dataset"]), "--dataset", base_url, known))
    for word in words:
        if not word.strip():
            raise UsageError(
                "an argument is empty",
                next_step="Is a variable of your script unset? Give a name, or leave it out.",
            )
        _refuse_path(word, known)
        place = parse_place(word, "the argument", base_url, known)
        if place.dataset and known_name(place.dataset, known) is None and not is_address(word):
            if not has_selection:
                _refuse_selection(word)
            place = _unknown_word(word, place, has_dataset=bool(places))
        places.append(place)
    slugs = list(dict.fromkeys(place.dataset for place in places if place.dataset))
    _check(slugs, places, options.get("dest"))
    version = _version(options, slugs[0], places)
    paths = tuple(dict.fromkeys(place.path for place in places if place.path))
    if MANIFEST_NAME in paths:
        raise UsageError(
            f"{MANIFEST_NAME} is the manifest itself: every command fetches what it needs of it",
            next_step="`cxrsync pull … --only docs` fetches all of it.",
        )
    return Chosen(slugs[0], version, paths)


def is_version(word: str) -> bool:
    """Return whether an argument is the number of a version, without a dataset."""
    return _VERSION.fullmatch(parse_version(word)) is not None


def _refuse_split_label(
    labels: object, words: Sequence[str], known: Mapping[str, DatasetInfo]
) -> None:
    """Raise UsageError if the shell has split a label: ``--label Pneumonia 1``."""
    names = [name for info in known.values() for name in info.labels]
    for label in labels if isinstance(labels, list | tuple) and words else ():
        if isinstance(label, str) and (meant := label_and_value([label, *words], names)):
            raise UsageError(
                f"--label {shown_word(label)!r} and {shown_word(' '.join(words))!r} are two words",
                next_step=f'Write the label and its value as one, in quotes: --label "{meant}".',
            )


def _refuse_path(word: str, known: Mapping[str, DatasetInfo]) -> None:
    """Raise UsageError for a path of this machine. A path that begins as those of a manifest does,
    or with a dataset, is no such path."""
    if not _OF_THIS_MACHINE.match(word):
        return
    first = _OF_THIS_MACHINE.sub("", word).partition("/")[0]
    if first != "files" and known_name(first, known) is None:
        raise UsageError(
            f"{shown_word(word)!r} is not the name of a dataset", next_step=_options_for_path(word)
        )


def _options_for_path(word: str) -> str:
    """Return which options name a path of this machine."""
    what = "folder" if os.path.isdir(word) else "path of this machine"
    path = shlex.quote(shown_word(word))
    return f"It is a {what}: --dest {path} names the destination, --from {path} a source."


def version_as_option(
    options: Mapping[str, Any], words: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return options and arguments; a version among the arguments, without a dataset, becomes
    ``--dataset-version``. So a version can be all that is named of a tree that is here."""
    is_named = any(options.get(name) for name in ("jpg", "dicom", "dataset", "dataset_version"))
    versions = [word for word in words if is_version(word)]
    if is_named or len(versions) != 1:
        return dict(options), list(words)
    rest = [word for word in words if word not in versions]
    return {**options, "dataset_version": parse_version(versions[0])}, rest


def _refuse_selection(word: str) -> None:
    """Raise UsageError for a shard, an id or a number: the command is about whole datasets."""
    other = other_form(word, None)
    if SHARD_NAME.fullmatch(word.casefold()):
        what = "a shard"
    elif other is not None and "/" not in word.rstrip("/"):
        what = f"the id of {other.described}"
    elif _is_number(word):
        what = "a number"
    else:
        return
    raise UsageError(
        f"{shown_word(word)!r} is not the name of a dataset",
        next_step=f"It is {what}, and this command is about whole datasets: name one, such as "
        "mimic-cxr-jpg.",
    )


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < _ID_DIGITS


def _unknown_word(word: str, place: Place, *, has_dataset: bool) -> Place:
    """Return the place of an argument that no dataset of the catalogue is called.

    Raises UsageError if it is something else than a dataset or a path in one.
    """
    other = other_form(word, None)
    version = parse_version(word)
    if version == LATEST or is_version(word):
        return Place("", version)
    if _is_number(word) and other is None:
        step = f"It is a number: --limit {word} selects the first {word} (-n is --dry-run)."
    elif SHARD_NAME.fullmatch(word.casefold()):
        step = f"It is a shard: write --shard {word}."
    elif other is not None and "/" not in word.rstrip("/"):
        step = f"It is the id of {other.described}: write --{other.name} {word}."
    elif word.endswith((".yaml", ".yml")):
        step = f"A file of jobs is run by `cxrsync mirror {word}`."
    elif has_dataset:
        return Place("", None, word.strip().strip("/"))
    elif os.path.isdir(word):
        step = _options_for_path(word)
    else:
        return place
    raise UsageError(f"{shown_word(word)!r} is not the name of a dataset", next_step=step)


def _check(slugs: Sequence[str], places: Sequence[Place], dest: object) -> None:
    if len(slugs) > 1:
        raise UsageError(
            f"more than one dataset: {', '.join(slugs)}", next_step="Name one of them."
        )
    if not slugs:
        raise _none_named(places, dest)
    if not _is_slug(slugs[0]):
        raise UsageError(
            f"{shown_word(slugs[0])!r} cannot be the name of a PhysioNet dataset",
            next_step=f"Similar names: {near_datasets(slugs[0])}. The name is part of the "
            "dataset's address: https://physionet.org/content/NAME/.",
        )


def _none_named(places: Sequence[Place], dest: object) -> UsageError:
    """Return the error of options that name no dataset. Its next step is as exact as a version, and
    the names of the destination's folders, allow."""
    version = next((place.version for place in places if place.version), None)
    path = next((place.path for place in places if place.path), "")
    where = f" that has {path}" if path else ""
    what = f"no dataset{where} is named"
    if version is not None:
        what = f"{version} is a version, and {what}"
    if (slug := _name_of_folder(dest)) is not None:
        alias = load()[slug].alias
        option = f"--{alias}" if alias else f"--dataset {slug}"
        step = f"DEST is in a folder called {slug}: add {option}."
    elif version is not None:
        step = (
            f"Write mimic-cxr-jpg/{version} or mimic-cxr/{version}, or add --jpg, --dicom or "
            "--dataset SLUG."
        )
    else:
        step = "Add --jpg (MIMIC-CXR-JPG), --dicom (MIMIC-CXR) or --dataset SLUG."
    return UsageError(what, next_step=step)


def _name_of_folder(dest: object) -> str | None:
    """Return the dataset of the catalogue after which the folder, or its parent, is called."""
    if not isinstance(dest, str | os.PathLike):
        return None
    known = load()
    parts = Path(os.path.abspath(dest)).parts[-2:]
    return next((each for each in reversed(parts) if each in known), None)


def _is_slug(name: str) -> bool:
    return NAME.fullmatch(name) is not None and name == name.lower()


def _version(options: Mapping[str, Any], dataset: str, places: Sequence[Place]) -> str | None:
    named: list[str] = [place.version for place in places if place.version]
    if options.get("dataset_version") is not None:
        named.append(parse_version(str(options["dataset_version"])))
    for version in named:
        if not NAME.fullmatch(version):
            raise UsageError(
                f"--dataset-version {shown_word(version)!r} is not a version",
                next_step=f"Known versions: {', '.join(dataset_info(dataset).versions) or 'none'}, "
                f"or {LATEST}.",
            )
    if len(set(named)) > 1:
        raise UsageError(
            f"more than one version: {', '.join(dict.fromkeys(named))}",
            next_step="Name one of them.",
        )
    return named[0] if named else None
