"""The option table: complete, consistent, and quick to import."""

import subprocess
import sys
from pathlib import Path

import pytest

from cxrsync.config.job import Job, TransferLimits
from cxrsync.config.option import Group, Option, Type, called, nearest
from cxrsync.config.option_table import BY_NAME, JOB_OPTIONS, OPTIONS, options_of
from cxrsync.config.option_value import check_value
from cxrsync.config.parse_job import make_job

DEFAULTS = {each.name: each.default for each in JOB_OPTIONS if each.default is not None}


def test_names_are_unique_in_every_interface() -> None:
    for name_of in (lambda each: each.name, lambda each: each.key, lambda each: each.variable):
        assert len({name_of(each) for each in OPTIONS}) == len(OPTIONS)
    assert set(BY_NAME.values()) == set(OPTIONS)
    assert sum(len(options_of(group)) for group in Group) == len(OPTIONS)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda each: each.name)
def test_each_option(option: Option) -> None:
    assert option.help
    assert option.typed == "--" + option.key.replace("_", "-")
    assert bool(option.metavar) == (option.type is not Type.FLAG)
    assert "{" not in option.help_text
    if option.type is Type.CHOICE:
        assert option.default in (None, *option.words)
    if option.example:
        assert check_value(option, option.example)


def test_the_defaults_are_those_of_the_job() -> None:
    """Options with their defaults make the same job as no options."""
    # Some options are valid only beside a label or a sample.
    said = {name: value for name, value in DEFAULTS.items() if name not in NEED_OTHERS}
    assert make_job({"jpg": True, **said}) == make_job({"jpg": True})
    labelled = {"jpg": True, "label": "Edema=1", "sample": 3}
    assert make_job({**labelled, **DEFAULTS}) == make_job(labelled)
    assert make_job({"jpg": True}).limits == TransferLimits()
    assert make_job({"jpg": True}) == Job("mimic-cxr-jpg")


NEED_OTHERS = {"labeler", "sample_by", "seed"}


@pytest.mark.parametrize(
    ("name", "key", "typed", "variable"),
    [
        ("from_dir", "from", "--from", "CXRSYNC_FROM"),
        ("dataset_version", "dataset_version", "--dataset-version", "CXRSYNC_DATASET_VERSION"),
        ("json", "json", "--json", "CXRSYNC_JSON"),
    ],
)
def test_one_name_for_each_interface(name: str, key: str, typed: str, variable: str) -> None:
    option = BY_NAME[name]
    assert (option.key, option.typed, option.variable) == (key, typed, variable)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("--user-name username http-user", "user"),
        ("--output -o -O -P directory-prefix outdir target-dir OUTPUT_DIR", "dest"),
        ("--subset fold splits", "split"),
        ("--threads -j jobs transfers parallel workers", "connections"),
        ("--bwlimit rate rate-limit max-speed", "limit_rate"),
        ("--tries -t max-retries low-level-retries", "retries"),
        ("--timeout read-timeout -T", "stall_timeout"),
        ("--retry-lock lock-timeout", "wait_lock"),
        ("--version release", "dataset_version"),
        ("--patient patients subject-ids", "subject"),
        ("--accept -A", "include"),
        ("--reject -R", "exclude"),
        ("--cacert ca-certificate no-check-certificate", "ca_file"),
        ("--link-dest", "link_from"),
        ("--dryrun -n simulate spider", "dry_run"),
        ("--from-dir source", "from_dir"),
        ("--shrad sahrd", "shard"),
        ("--metadataonly", "metadata_only"),
        ("--subjekt", "subject"),
    ],
)
def test_names_of_other_programs_and_typos(words: str, name: str) -> None:
    for word in words.split():
        assert nearest(word, OPTIONS)[0].name == name, word


def test_each_name_means_one_option_of_a_job() -> None:
    for option in JOB_OPTIONS:
        for name in (option.key, *option.near.split()):
            assert called(name, JOB_OPTIONS) == [option], name


def test_names_without_a_similar_option() -> None:
    assert nearest("xyzzy", OPTIONS) == []
    assert nearest("", OPTIONS) == []


def test_the_table_imports_no_library() -> None:
    code = (
        "import sys; from cxrsync.config import option_table, option_value; "
        "print([name for name in ('click', 'yaml', 'msgspec', 'aiohttp', 'difflib') "
        "if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout == "[]\n"
