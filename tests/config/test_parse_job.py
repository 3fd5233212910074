"""make_job: what options mean, which are refused, and that each error says what to do."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync import __version__
from cxrsync.config.job import (
    AUTO_CONNECTIONS,
    DEFAULT_BASE_URL,
    MAX_CONNECTIONS,
    Job,
    SourceConfig,
    TransferLimits,
    is_loopback,
)
from cxrsync.config.option_table import JOB_OPTIONS
from cxrsync.config.parse_job import make_job
from cxrsync.config.parse_selection import parse_shards
from cxrsync.config.selection import Selection
from cxrsync.config.store_address import Service, SitePlace, StoreAddress
from cxrsync.config.timetable import Timetable
from cxrsync.errors import ExitCode, UsageError
from cxrsync.model import Kind

many = settings(max_examples=examples(150))


def job(**options: Any) -> Job:
    return make_job({"jpg": True, **options})


def refusal(**options: Any) -> str:
    """The message of the error and its next step."""
    with pytest.raises(UsageError) as caught:
        make_job(options)
    assert caught.value.exit_code is ExitCode.USAGE
    return f"{caught.value} {caught.value.next_step}"


def test_defaults() -> None:
    assert job() == Job("mimic-cxr-jpg", dest=Path("physionet.org/files"))
    # click passes None for options that are absent.
    assert job(**{each.name: None for each in JOB_OPTIONS if each.name != "jpg"}) == job()
    # PhysioNet's server requires the first word, its operators the rest.
    assert job().origin.user_agent.startswith("Wget/")
    assert f"cxrsync/{__version__}" in job().origin.user_agent


def test_every_option(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    made = make_job(
        {
            "dataset": "mimic-cxr",
            "dataset_version": "2.1.0",
            "dest": tmp_path,
            "shard": ["p11", "p10"],
            "only": ["images", "reports"],
            "include": ["*.dcm"],
            "exclude": "*s5*",  # a single value need not be a list
            "no_tables": True,
            "from_dir": str(tmp_path),
            "base_url": "https://localhost:8443/files/",
            "user": "alice",
            "ca_file": str(authority),
            "user_agent": "Wget/2",
            "connections": 3,
            "retries": 0,
            "connect_timeout": 1.5,
            "stall_timeout": 2.5,
            "give_up_after": 3.5,
            "wait_lock": 4.5,
            "max_files": 0,
            "max_duration": 5.5,
            "no_fsync": True,
            "allow_synced": True,
        }
    )
    assert made == Job(
        dataset="mimic-cxr",
        version="2.1.0",
        selection=Selection(
            ("p10", "p11"),
            only=(Kind.IMAGES, Kind.REPORTS),
            include=("*.dcm",),
            exclude=("*s5*",),
            tables=False,
        ),
        dest=tmp_path,
        origin=SourceConfig(
            "https://localhost:8443/files", (tmp_path.resolve(),), "alice", authority, "Wget/2"
        ),
        limits=TransferLimits(3, 0, 1.5, 2.5, 3.5, 4.5, 0, 5.5, first_connections=3),
        fsync=False,
        allow_synced=True,
    )


# ── the dataset ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "slug"),
    [
        ({"jpg": True}, "mimic-cxr-jpg"),
        ({"dicom": True}, "mimic-cxr"),
        ({"dataset": "mimiciv"}, "mimiciv"),
        ({"dataset": "not-in-the-catalogue"}, "not-in-the-catalogue"),
        ({"jpg": True, "dataset": "mimic-cxr-jpg"}, "mimic-cxr-jpg"),  # both name the same dataset
        ({"jpg": False, "dicom": True}, "mimic-cxr"),
    ],
)
def test_dataset(options: dict[str, Any], slug: str) -> None:
    assert make_job(options).dataset == slug


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["no dataset", "--jpg", "--dicom", "--dataset"]),
        ({"jpg": False}, ["no dataset"]),
        ({"jpg": True, "dicom": True}, ["mimic-cxr, mimic-cxr-jpg", "Name one of them"]),
        ({"jpg": True, "dataset": "mimiciv"}, ["mimic-cxr-jpg, mimiciv", "Name one of them"]),
        ({"dataset": "mimic_cxr_jpgs"}, ["Similar names: mimic-cxr-jpg"]),
        ({"dataset": "../etc"}, ["cannot be the name of a PhysioNet dataset"]),
        ({"dataset": "a/b"}, ["--dataset: 'b' is not a version of a"]),
        ({"dataset": ".."}, ["cannot be the name of a PhysioNet dataset"]),
        ({"dataset": "-x"}, ["cannot be the name of a PhysioNet dataset"]),
        ({"jpg": True, "dataset_version": "../2.1.0"}, ["not a version", "2.0.0, 2.1.0"]),
        ({"jpg": True, "dataset_version": ".."}, ["not a version"]),
        ({"dataset": "novel", "dataset_version": "a b"}, ["not a version", "Known versions: none"]),
    ],
)
def test_dataset_refused(options: dict[str, Any], words: list[str]) -> None:
    said = refusal(**options)
    assert [word for word in words if word not in said] == []


def test_a_version_outside_the_catalogue_is_accepted() -> None:
    assert job(dataset_version="3.0.0-beta.1").version == "3.0.0-beta.1"


# ── the selection ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("values", "shards"),
    [
        ([], ""),
        (["p10"], "p10"),
        (["p12", "p10", "p12"], "p10 p12"),
        (["p10,p12"], "p10 p12"),
        (["p10, p12"], "p10 p12"),
        (["p10 p12"], "p10 p12"),
        (["p10-p13"], "p10 p11 p12 p13"),
        (["p10-13"], "p10 p11 p12 p13"),
        (["p18-p19,p10", "p18"], "p10 p18 p19"),
        (["p15-p15"], "p15"),
        (["p08-p11"], "p08 p09 p10 p11"),
    ],
)
def test_shards(values: list[str], shards: str) -> None:
    assert parse_shards(values) == tuple(shards.split())


@pytest.mark.parametrize("word", ["1", "p1", "p100", "p10-", "-p10", "p10..p12", "p10-p1x"])
def test_invalid_shards(word: str) -> None:
    said = refusal(jpg=True, shard=["p10", word])
    assert repr(word) in said
    assert "p10-p14" in said


def test_the_message_corrects_a_reversed_range() -> None:
    said = refusal(jpg=True, shard=["p14-p10"])
    assert "'p14-p10' is a reversed range" in said
    assert "Write p10-p14." in said


@pytest.mark.parametrize(("shard", "near"), [("p20", "p10"), ("p09", "p19"), ("p18-p21", "p10")])
def test_a_shard_that_the_dataset_does_not_have(shard: str, near: str) -> None:
    said = refusal(jpg=True, shard=shard)
    assert "mimic-cxr-jpg has no shard" in said
    assert near in said.split("Its shards:")[1]


def test_any_shard_of_an_unknown_dataset_is_accepted() -> None:
    assert make_job({"dataset": "novel", "shard": ["p77"]}).selection.shards == ("p77",)


def test_an_invalid_kind() -> None:
    said = refusal(jpg=True, only=["imgae"])
    assert "'imgae'" in said
    assert "images" in said.split("Did you mean")[1]


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        (Selection(), "the whole version"),
        (Selection(tables=False), "the whole version"),
        (Selection(shards=("p10", "p11")), "p10 p11, with the tables"),
        (Selection(shards=("p10",), tables=False), "p10"),
        (
            Selection(shards=("p10",), only=(Kind.IMAGES, Kind.REPORTS)),
            "p10, only images and reports",
        ),
        (Selection(include=("a", "b"), exclude=("c", "d")), "paths like a or b, not c nor d"),
    ],
)
def test_a_selection_in_words(selection: Selection, text: str) -> None:
    assert str(selection) == text


texts = st.lists(st.text(max_size=8), max_size=3).map(tuple)


@many
@given(
    st.builds(
        Selection,
        shards=texts,
        only=st.lists(st.sampled_from(Kind)).map(tuple),
        include=texts,
        exclude=texts,
        tables=st.booleans(),
    )
)
def test_a_selection_survives_json(selection: Selection) -> None:
    assert Selection.from_json(json.loads(json.dumps(selection.as_json()))) == selection


@pytest.mark.parametrize(
    "raw",
    [{}, [], {**Selection().as_json(), "only": ["x"]}, {**Selection().as_json(), "shards": 1}],
)
def test_json_without_a_selection(raw: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Selection.from_json(raw)


# ── the source and the limits ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "number"), [("auto", AUTO_CONNECTIONS), (1, 1), (32, MAX_CONNECTIONS)]
)
def test_connections(value: str | int, number: int) -> None:
    assert job(connections=value).limits.connections == number


@pytest.mark.parametrize(
    ("said", "first", "most"), [(None, 4, 8), ("auto", 4, 8), (8, 8, 8), (2, 2, 2)]
)
def test_a_given_number_of_connections_is_fixed(
    said: str | int | None, first: int, most: int
) -> None:
    limits = make_job({"jpg": True, "connections": said}).limits
    assert (limits.first_connections, limits.connections) == (first, most)


@pytest.mark.parametrize("value", [0, -1, 129, "0", "129", "many", "4.5", "AUT"])
def test_connections_refused(value: str | int) -> None:
    assert "from 1 to 128" in refusal(jpg=True, connections=value)


def test_only_a_store_may_have_many_connections() -> None:
    assert "33 is more than 32" in refusal(jpg=True, connections=33)
    assert job(connections=128, from_dir="s3").limits.connections == 128
    limits = job(from_dir="gcs").limits
    assert (limits.first_connections, limits.connections) == (16, 32)
    assert job(from_dir="physionet") == job()


def test_several_sources_in_order(tmp_path: Path) -> None:
    origin = job(from_dir=[tmp_path, "s3", "physionet"]).origin
    assert origin.places == (tmp_path, StoreAddress(Service.S3), SitePlace())
    assert (origin.from_dir, origin.folders) == (tmp_path, (tmp_path,))
    assert origin.is_site
    assert origin.shown == f"{tmp_path}, then s3, then https://physionet.org/files"
    assert "names the same place twice" in refusal(jpg=True, from_dir=["s3", "s3/"])
    assert "--from has an empty value" in refusal(jpg=True, from_dir=["s3", ""])
    assert "--manifest" in refusal(jpg=True, manifest=str(tmp_path / "sums"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"from_dir": "s3://lab/mimic-cxr/2.1.0"}, "is mimic-cxr 2.1.0, not mimic-cxr-jpg"),
        (
            {"from_dir": "s3://lab/mimic-cxr-jpg/2.0.0", "dataset_version": "2.1.0"},
            "is mimic-cxr-jpg 2.0.0",
        ),
        (
            {"from_dir": "gs://mimic-cxr-2.1.0.physionet.org"},
            "is mimic-cxr 2.1.0, not mimic-cxr-jpg",
        ),
        ({"from_dir": "aws"}, "Did you mean --from s3?"),
        ({"dest": Path("s3://lab/x")}, "The data use agreement forbids"),
        ({"from_dir": "s3", "endpoint_url": "https://minio.test"}, "Name the bucket there"),
        ({"endpoint_url": "https://KEY:hunter2@minio.test"}, "contains a key or a password"),
        ({"endpoint_url": "minio:9000"}, "It begins with https://"),
        ({"access_point_number": 0}, "from 1 to 99"),
    ],
)
def test_a_store_refused(options: dict[str, Any], said: str) -> None:
    message = refusal(jpg=True, **options)
    assert said in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (None, None), ("off", None), (1, 1), ("1", 1), (500_000, 500_000), ("500k", 500 << 10),
        ("2M", 2 << 20), ("1.5m", 3 << 19), ("1G", 1 << 30), ("0.001k", 1.024),
    ],
)  # fmt: skip
def test_a_rate(value: Any, rate: float | None) -> None:
    assert job(limit_rate=value).limits.rate == Timetable(otherwise=rate)


@pytest.mark.parametrize(
    "value", [0, "0", "0.5", "-1", "2 M", "2MB/s", "fast", "1e6", "²", "nan", "9" * 400 + "G"]
)
def test_an_invalid_rate(value: Any) -> None:
    assert "500k, 2M" in refusal(jpg=True, limit_rate=value)


@pytest.mark.parametrize("name", ["retries", "wait_lock", "max_files", "max_duration"])
def test_limits_that_may_be_zero_but_not_negative(name: str) -> None:
    assert getattr(job(**{name: 0}).limits, name) == 0
    assert f"--{name.replace('_', '-')} -1 is not a" in refusal(jpg=True, **{name: -1})


@pytest.mark.parametrize("name", ["connect_timeout", "stall_timeout", "give_up_after"])
def test_limits_that_must_be_positive(name: str) -> None:
    assert getattr(job(**{name: 0.1}).limits, name) == 0.1
    for value in (0, -1.0):
        assert f"--{name.replace('_', '-')} {value} is not a duration above 0" in refusal(
            jpg=True, **{name: value}
        )


@pytest.mark.parametrize(
    ("url", "base"),
    [
        (None, DEFAULT_BASE_URL),
        ("https://mirror.example/files//", "https://mirror.example/files"),
        ("http://[::1]:8080/files", "http://[::1]:8080/files"),
    ],
)
def test_base_url(url: str | None, base: str) -> None:
    assert job(base_url=url).origin.base_url == base


@pytest.mark.parametrize("agent", ["Wget/1\r\nX: y", "Wget/\x1b[2J", "Wget/\udcff"])
def test_a_user_agent_that_no_header_can_contain(agent: str) -> None:
    said = refusal(jpg=True, user_agent=agent)
    assert "--user-agent" in said
    assert said.isprintable()


@pytest.mark.parametrize(
    "url",
    ["physionet.org/files", "ftp://physionet.org", "https:///files", "file:///etc",
     "https://[::1/files", "https://host:99999/files", "https://host:http/files",
     "https://host/a\r\nX: y", "https://host/\udcff", "https://ho\x1bst/files",
     "https://xn--.example/files", "https://a..b/files", f"https://{'a' * 70}.org/files"],
)  # fmt: skip
def test_an_invalid_base_url(url: str) -> None:
    assert "is not an https:// address" in refusal(jpg=True, base_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "https://alice:s3cret@physionet.org/files",
        "https://s3cret@physionet.org/files",
        "https://:s3cret@physionet.org/files",
        # Invalid for another reason, too: that message must not print the password either.
        "ftp://alice:s3cret@physionet.org/files",
        "alice:s3cret@physionet.org/files",
        "//alice:s3cret@physionet.org/files",
        "https://alice:s3cret@[physionet.org/files",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_printed(url: str) -> None:
    said = refusal(jpg=True, base_url=url)
    assert "contains a user name or a password" in said
    assert "s3cret" not in said


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert "no such file" in refusal(jpg=True, ca_file=str(tmp_path / "ca.pem"))
    assert "it is a folder" in refusal(jpg=True, ca_file=str(tmp_path))
    assert "no such folder" in refusal(jpg=True, from_dir=str(tmp_path / "tree"))


def test_home_in_dest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    assert job(dest="~/cxr").dest == Path("/home/alice/cxr")


@pytest.mark.parametrize(
    ("hosts", "answer"),
    [
        (["localhost", "127.0.0.1", "127.8.9.1", "::1"], True),
        ([None, "", "physionet.org", "10.0.0.1", "localhost.example.org", "::", "0.0.0.0"], False),
    ],
)
def test_is_loopback(hosts: Iterable[str | None], answer: bool) -> None:
    assert {is_loopback(host) for host in hosts} == {answer}


words = st.one_of(
    st.text(max_size=12), st.from_regex(re.compile(r"p\d\d(-p\d\d)?"), fullmatch=True)
)


@many
@given(st.lists(words, max_size=4))
def test_any_shard_is_parsed_or_refused(values: list[str]) -> None:
    try:
        shards = parse_shards(values)
    except UsageError:
        return
    assert list(shards) == sorted(set(shards))
    assert all(re.fullmatch(r"p[0-9]{2}", shard) for shard in shards)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shard": [","]}, "not a shard"),
        ({"stall_timeout": float("nan")}, "--stall-timeout"),
        ({"connections": 8.7}, "1 to 128"),
        ({"dataset_version": 2.1}, "--dataset-version 2.1 is not text"),
        ({"dest": "~nobody-of-that-name/x"}, "no such user"),
    ],
)
def test_values_that_scripts_get_wrong(options: dict[str, Any], said: str) -> None:
    assert said in refusal(jpg=True, **options)
