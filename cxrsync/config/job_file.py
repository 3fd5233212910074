"""Read a job file: YAML with ``defaults`` and ``jobs``, whose keys are the options of pull.

Each error names line, column and key. A relative path starts at the folder of the file, because
cron and systemd run a command in other folders than a person does. Variables of the environment
count only where the file names them, as ``${NAME}``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cxrsync.catalog.load import dataset_info, load
from cxrsync.catalog.yaml_document import ValuePath, YamlDocument
from cxrsync.catalog.yaml_file import read_yaml
from cxrsync.config.job import DEFAULT_DEST, LATEST, Job, unattended
from cxrsync.config.job_keys import (
    JOB_KEYS,
    OPTION_IN_TEXT,
    SEE_EXAMPLE,
    as_keys,
    key_advice,
)
from cxrsync.config.job_values import LISTED, Value, checked_value, is_secret, secret_error
from cxrsync.config.mirror_options import FILE_OPTIONS, JOB_SETTINGS
from cxrsync.config.option import Option, Type
from cxrsync.config.parse_job import make_job
from cxrsync.errors import UsageError

JOBS, DEFAULTS, NAME_KEY = "jobs", "defaults", "name"
JOB_NAME = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z._-]{0,62}[0-9A-Za-z])?", re.ASCII)
_NO_FILE = (
    "Check the name. To begin, copy configs/nightly.yaml of the source under this name, "
    "and edit it; --init marks the destination, and writes no job file."
)
_ONE_EACH = "Write jobs: and one - for each job."
# The options that name a dataset: a job's own replace those of the defaults.
_DATASET = ("dataset", "jpg", "dicom")
# What the dataset does not have: "mimic-cxr-jpg has no shard p99".
_MISSING_IN_TEXT = re.compile(r" has no ([a-z]+) ")


@dataclass(frozen=True, slots=True)
class MirrorJob:
    """One job of a file.

    ``settings``: what the mirror does besides pulling, by option name. ``follows_latest``: the job
    names no version; it is about the newest one that can be had.
    """

    name: str
    job: Job
    settings: Mapping[str, Any] = field(default_factory=dict)
    follows_latest: bool = False


@dataclass(frozen=True, slots=True)
class MirrorFile:
    """The jobs of a file, in its order. ``settings``: of the whole mirror, by option name."""

    path: Path
    jobs: tuple[MirrorJob, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def only(self, name: str) -> MirrorFile:
        """Return the file with one job only. Raises UsageError if there is no such job."""
        chosen = tuple(each for each in self.jobs if each.name == name)
        if not chosen:
            names = ", ".join(each.name for each in self.jobs)
            raise UsageError(f"{self.path} has no job {name!r}", next_step=f"Its jobs: {names}.")
        return replace(self, jobs=chosen)


def read_job_file(path: Path, environ: Mapping[str, str] = os.environ) -> MirrorFile:
    """Return the jobs of a file, with checked values.

    Raises UsageError for whatever is wrong in the file, with line, column and key; for several
    problems, the next step lists them.
    """
    return _Reader(read_yaml(path, str(path), if_missing=_NO_FILE), path, environ).read()


class _Reader:
    """Reads one document."""

    def __init__(self, document: YamlDocument, path: Path, environ: Mapping[str, str]) -> None:
        self._document = document
        self._path = path
        self._environ = environ
        self._folder = Path(os.path.abspath(path)).parent
        self._problems: list[UsageError] = []
        self._dataset_is_wrong = False  # that of the defaults

    def read(self) -> MirrorFile:
        top = self._mapping((), self._document.value)
        for key in top:
            if key not in {JOBS, DEFAULTS}:
                with self._collecting():
                    self._check_key((key,), FILE_OPTIONS, (JOBS, DEFAULTS))
        fields = self._mapping((DEFAULTS,), top.get(DEFAULTS, {}))
        defaults = self._values((DEFAULTS,), fields, JOB_KEYS)
        wrong = fields.keys() - defaults.keys()
        self._dataset_is_wrong = bool(wrong & {*_DATASET, "dataset_version"})
        listed = top.get(JOBS)
        if not isinstance(listed, list) or not listed:
            what = "there are no jobs" if not listed else "this is not a list of jobs"
            where: ValuePath = (JOBS,) if JOBS in top else ()
            raise self._document.error(
                where, what, f"Write jobs: and one - for each job. {SEE_EXAMPLE}"
            )
        jobs: list[MirrorJob] = []
        for at, each in enumerate(listed):
            with self._collecting():
                jobs.append(self._job((JOBS, at), each, defaults))
        known = {option.key for option in FILE_OPTIONS}
        options = {key: value for key, value in top.items() if key in known}
        settings = {
            each.option.name: each.value
            for each in self._values((), options, FILE_OPTIONS).values()
        }
        self._raise_problems()
        self._refuse_doubles(jobs)
        return MirrorFile(self._path, tuple(jobs), settings)

    @contextmanager
    def _collecting(self) -> Iterator[None]:
        """Keep an error of a part, so that the other parts are read, too."""
        try:
            yield
        except UsageError as problem:
            if problem not in self._problems:
                self._problems.append(problem)

    def _raise_problems(self) -> None:
        """Raise UsageError if there are any; one that lists all of them, if there are several."""
        if len(self._problems) == 1:
            raise self._problems[0]
        if self._problems:
            lines = [f"{each}. {each.next_step}".rstrip() for each in self._problems]
            raise UsageError(f"{self._path}: {len(lines)} problems", next_step="\n".join(lines))

    # ── one job ────────────────────────────────────────────────────────────────────────────────

    def _job(self, path: ValuePath, raw: Any, defaults: Mapping[str, Value]) -> MirrorJob:
        fields = dict(self._mapping(path, raw))
        named = {NAME_KEY: fields.pop(NAME_KEY)} if NAME_KEY in fields else {}
        before = len(self._problems)
        own = self._values(path, fields, JOB_KEYS, more=(NAME_KEY,))
        if len(self._problems) > before or self._dataset_is_wrong:
            raise self._problems[-1]  # without these values others would seem wrong
        if any(own[key].value for key in _DATASET if key in own):
            defaults = {key: each for key, each in defaults.items() if key not in _DATASET}
        values = {**defaults, **own}
        options = {each.option.name: each.value for each in values.values()}
        settings = {
            each.name: options.pop(each.name) for each in JOB_SETTINGS if each.name in options
        }
        options.setdefault("dest", self._folder / DEFAULT_DEST)
        self._check_dataset(path, options)
        try:
            job = unattended(make_job(options))
        except UsageError as problem:
            raise self._placed(problem, path, values) from None
        if job.version is None:
            raise self._no_version_error(path, options)
        follows = job.version == LATEST
        if follows:
            job = replace(job, version=None)
        job = replace(job, keep_runs=settings.get("keep_runs", job.keep_runs))
        return MirrorJob(self._name(path, named, job), job, settings, follows)

    def _check_dataset(self, path: ValuePath, options: Mapping[str, Any]) -> None:
        """Raise UsageError unless the job says which version of which dataset it mirrors."""
        if not any(options.get(name) for name in _DATASET):
            raise self._document.error(
                path, "the job names no dataset", "Add dataset: mimic-cxr-jpg, for example."
            )
        # The name or address of a dataset may have the version in it.
        if "dataset_version" not in options and "/" not in str(options.get("dataset", "")):
            raise self._no_version_error(path, options)

    def _no_version_error(self, path: ValuePath, options: Mapping[str, Any]) -> UsageError:
        return self._document.error(
            path,
            "the job names no dataset_version",
            f'Add dataset_version: "{self._newest(options)}", with the quotes; or {LATEST}, to '
            "follow the newest version.",
        )

    @staticmethod
    def _newest(options: Mapping[str, Any]) -> str:
        slugs = [slug for slug, known in load().items() if known.alias and options.get(known.alias)]
        known = dataset_info(str(options.get("dataset") or slugs[0])).versions
        return known[-1] if known else "2.1.0"

    def _name(self, path: ValuePath, named: Mapping[str, Any], job: Job) -> str:
        name = named.get(NAME_KEY, job.dataset)
        if not isinstance(name, str) or not JOB_NAME.fullmatch(name):
            raise self._document.error(
                (*path, NAME_KEY),
                "this is not a name for a job",
                'Write up to 64 letters, digits, dots, dashes and underscores: "jpg-frontal".',
            )
        return name

    def _refuse_doubles(self, jobs: Sequence[MirrorJob]) -> None:
        """Raise UsageError for two jobs of one name or one tree, and for a job that would take the
        tree of another one."""
        names: dict[str, int] = {}
        trees: dict[tuple[str, str, str | None], int] = {}
        for at, each in enumerate(jobs):
            job = each.job
            tree = (os.path.realpath(job.dest), job.dataset, job.version)
            if (first := trees.setdefault(tree, at)) != at:
                raise self._document.error(
                    (JOBS, at),
                    f"the jobs {jobs[first].name!r} and {each.name!r} are for one tree: "
                    f"{job.dataset} {job.version} in {job.dest}",
                    "Put both selections into one job, or give one of them another dest.",
                )
            if names.setdefault(each.name, at) != at:
                raise self._document.error(
                    (JOBS, at),
                    f"two jobs have the name {each.name!r}",
                    "Give each job a name: of its own.",
                )
        for at in range(len(jobs)):
            self._refuse_sharing(at, jobs)

    def _refuse_sharing(self, at: int, jobs: Sequence[MirrorJob]) -> None:
        """Raise UsageError if the job follows or discards versions of which another job has one."""
        taker = jobs[at]
        if not (taker.follows_latest or "keep_versions" in taker.settings):
            return
        what = f"{LATEST} may become" if taker.follows_latest else "keep_versions may discard"
        place = (os.path.realpath(taker.job.dest), taker.job.dataset)
        for each in jobs:
            self._refuse_naming(at, taker, each)
            if each is taker or (os.path.realpath(each.job.dest), each.job.dataset) != place:
                continue
            raise self._document.error(
                (JOBS, at),
                f"{what} the version of the job {each.name!r}: both are for {taker.job.dataset} in "
                f"{taker.job.dest}",
                "Put both selections into one job, or give one of them another dest.",
            )

    def _refuse_naming(self, at: int, taker: MirrorJob, other: MirrorJob) -> None:
        """Raise UsageError if another job names what a job may discard: without it the whole job
        file would be refused."""
        if "keep_versions" not in taker.settings or taker is other:
            return
        job = other.job
        named = [
            ("link_from", job.link_from),
            *(("from", each) for each in job.origin.folders),
            ("split_table", job.selection.split_table or None),
        ]
        held = Path(os.path.realpath(taker.job.dest))
        for key, path in named:
            real = held if path is None else Path(os.path.realpath(path))
            if real.is_relative_to(held) and taker.job.dataset in real.relative_to(held).parts[:-1]:
                what = f"{path}, which the job {other.name!r} names in {key}"
                raise self._document.error(
                    (JOBS, at),
                    f"keep_versions may discard {what}",
                    "Leave out keep_versions, or let that job name something that stays.",
                )

    # ── keys and values ────────────────────────────────────────────────────────────────────────

    def _mapping(self, path: ValuePath, raw: Any) -> Mapping[str, Any]:
        if isinstance(raw, dict):
            return raw
        what = "this is empty" if raw is None else "this is not a mapping of keys to values"
        raise self._document.error(path, what, f"Write key: value, one a line. {SEE_EXAMPLE}")

    def _values(
        self,
        path: ValuePath,
        fields: Mapping[str, Any],
        options: Sequence[Option],
        more: Sequence[str] = (),
    ) -> dict[str, Value]:
        """Return the checked values of a mapping, by key."""
        known = {option.key: option for option in options}
        found = {}
        for key, raw in fields.items():
            here = (*path, key)
            with self._collecting():
                if key not in known:
                    self._check_key(here, options, more)
                value = checked_value(self._document, here, known[key], raw, self._environ)
                found[key] = Value(known[key], here, _from_folder(known[key], value, self._folder))
        return found

    def _check_key(self, path: ValuePath, options: Sequence[Option], more: Sequence[str]) -> None:
        """Raise UsageError if the last part of ``path`` is none of the options' keys."""
        key = str(path[-1])
        if key in {option.key for option in options}:
            return
        if is_secret(key):
            raise secret_error(self._document, path)
        raise self._document.error(
            path, "there is no such key", key_advice(key, path, options, more)
        )

    def _placed(
        self, problem: UsageError, path: ValuePath, values: Mapping[str, Value]
    ) -> UsageError:
        """Return the error of an option as one about its place in the file, by its key."""
        text = str(problem)
        named = [key.replace("-", "_") for key in OPTION_IN_TEXT.findall(text)]
        named += _MISSING_IN_TEXT.findall(text)
        where = next((values[key].path for key in named if key in values), path)
        text = text.removeprefix(f"--{str(where[-1]).replace('_', '-')}").lstrip(": ")
        step = problem.next_step or None
        return self._document.error(where, as_keys(text), step if step is None else as_keys(step))


def _from_folder(option: Option, value: Any, folder: Path) -> Any:
    """Return a value whose relative paths start at ``folder``."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, list) and option.type is Type.PLACE:
        return [folder / each if isinstance(each, Path) else each for each in value]
    if isinstance(value, list) and option.name in LISTED:
        return [_id_file(each, folder) for each in value]
    return value


def _id_file(text: str, folder: Path) -> str:
    is_relative = text.startswith("@") and not text.startswith(("@/", "@~"))
    return f"@{folder / text[1:]}" if is_relative else text
