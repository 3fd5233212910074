"""The schema of job files: valid itself, and of one mind with the reader about every key."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from cxrsync.catalog.yaml_file import read_yaml
from cxrsync.config.job_file import read_job_file
from cxrsync.config.job_keys import JOB_KEYS
from cxrsync.config.job_schema import job_schema
from cxrsync.errors import UsageError

CONFIGS = Path(__file__).parents[2] / "configs"
SHIPPED = ["nightly.yaml", "metadata-only.yaml", "test-split.yaml", "full-dicom.yaml"]


def problems(value: Any) -> list[str]:
    found = Draft202012Validator(job_schema()).iter_errors(value)
    return [f"{each.json_path}: {each.message}" for each in found]


def job(**more: Any) -> dict[str, Any]:
    return {"jobs": [{"dataset": "mimic-cxr-jpg", "dataset_version": "2.1.0", **more}]}


def test_the_schema_is_valid() -> None:
    Draft202012Validator.check_schema(job_schema())
    assert set(job_schema()["properties"]) == {
        *("defaults", "jobs", "log"),
        *("ping", "before", "after", "hook_timeout", "report", "metrics_file"),
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_files(name: str) -> None:
    """As they are: without a change, and without a variable of the environment."""
    file = read_job_file(CONFIGS / name, {})
    assert all(each.job.version == "2.1.0" for each in file.jobs)
    assert all(str(each.job.dest) == "/data/physionet.org/files" for each in file.jobs)
    assert problems(read_yaml(CONFIGS / name, name).value) == []
    # Other programs read YAML by its own rules: they find the same.
    assert problems(yaml.safe_load((CONFIGS / name).read_text())) == []


def test_all_configs_are_known() -> None:
    assert {each.name for each in CONFIGS.iterdir()} == {
        *SHIPPED, "datasets.yaml", "datasets.json",
    }  # fmt: skip


@pytest.mark.parametrize("option", JOB_KEYS, ids=lambda each: each.key)
def test_an_example_of_each_option_is_valid(option: Any) -> None:
    example = option.example or option.default
    if example:
        assert problems(job(**{option.key: example})) == []
        assert problems({"defaults": {option.key: "${NAME}"}, **job()}) == []
    assert problems(job(**{option.key: {}})) != []


@pytest.mark.parametrize(
    "more",
    [
        {"shrad": "p10"}, {"retries": -1}, {"retries": "3"}, {"jpg": "yes"}, {"link": "symlink"},
        {"shard": []}, {"split": 10}, {"user": 7}, {"from_dir": "/data"}, {"password": "x"},
        {"name": "a b"}, {"stall_timeout": 0}, {"connections": 129}, {"user": ""},
    ],
)  # fmt: skip
def test_what_both_refuse(tmp_path: Path, more: dict[str, Any]) -> None:
    assert problems(job(**more)) != []
    file = tmp_path / "jobs.yaml"
    file.write_text(yaml.safe_dump(job(**more)))
    with pytest.raises(UsageError):
        read_job_file(file, {})


@pytest.mark.parametrize(
    "more",
    [
        {"limit_rate": {"08:00-20:00": "1M"}}, {"limit_rate": "off"}, {"limit_rate": 1000},
        {"subject": [10000032, "p10000084"]}, {"subject": 10000032}, {"shard": "p10"},
        {"shard": 10}, {"connections": "auto"}, {"connections": 3}, {"max_duration": 1.5},
        {"max_duration": "8h"}, {"keep_free": "50G"},
    ],
)  # fmt: skip
def test_what_both_accept(tmp_path: Path, more: dict[str, Any]) -> None:
    assert problems(job(**more)) == []
    file = tmp_path / "jobs.yaml"
    file.write_text(yaml.safe_dump(job(**more)))
    read_job_file(file, {})


@pytest.mark.parametrize("value", [{}, {"jobs": []}, {"jobs": {}}, [], {**job(), "dest": "/data"}])
def test_what_is_no_job_file(value: Any) -> None:
    assert problems(value) != []
