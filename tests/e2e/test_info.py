"""``info``: what the site, the catalogue and the disk tell of a dataset, without a sign-in."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from e2e.stage import DICOM, JPG, VERSION, Machine

from cxrsync.demo.server.server import MiniPhysioNet

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]
NOWHERE = "https://127.0.0.1:1/files"


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


def told(machine: Machine, *words: str) -> dict[str, Any]:
    done = machine.run("info", "--json", *words)
    assert done.code == 0, done.err
    facts: dict[str, Any] = json.loads(done.out)
    return facts


def test_the_site_is_asked_twice_without_a_sign_in(machine: Machine, server: MiniPhysioNet) -> None:
    machine.environment |= {"PHYSIONET_USERNAME": None, "PHYSIONET_PASSWORD": None}
    facts = told(machine, JPG)
    assert (facts["versions"], facts["versions_from"]) == (["2.0.0", VERSION], "the site")
    assert facts["bytes_from"] == "the version's published total"
    assert (facts["doi"], facts["license"]) == ("10.5072/synthetic", "Synthetic data, free to use")
    assert (facts["files_from"], facts["here"]) == ("the catalogue", [])
    log = server.request_log.snapshot()
    assert (log.requests, log.password_checks) == (2, 0)
    # The answers are kept for a day.
    assert told(machine, "--jpg") == facts
    assert server.request_log.snapshot().requests == 2
    assert not machine.dest.exists()


def test_without_a_network(machine: Machine) -> None:
    machine.environment["CXRSYNC_BASE_URL"] = NOWHERE
    facts = told(machine, DICOM)
    assert facts["versions_from"] == "the catalogue"
    assert facts["bytes"] == pytest.approx(4.7e12, rel=0.01)
    assert facts["bytes_from"] == "the catalogue's means"
    assert facts["files"] == {"images": 377110, "reports": 227835, "tables": 3, "archives": 1}
    assert facts["doi"] == "10.13026/4jqj-jw95"
    assert "cannot reach 127.0.0.1" in facts["unanswered"]
    text = machine.run("info", DICOM).out
    assert "the site   does not tell more now" in text
    assert "(by the catalogue)" in text


def test_what_is_here(machine: Machine) -> None:
    assert machine.pull("--jpg", "--only", "docs").code == 0
    shutil.copytree(machine.dest / JPG / VERSION, machine.dest / JPG / "2.0.0")
    shutil.rmtree(machine.dest / JPG / "2.0.0" / ".cxrsync")
    machine.environment["CXRSYNC_BASE_URL"] = NOWHERE
    facts = told(machine, JPG)
    first, second = facts["here"]
    assert (first["version"], first["verified_files"]) == ("2.0.0", None)
    assert (second["version"], second["verified_files"]) == (VERSION, 3)
    assert second["root"] == str(machine.dest / JPG / VERSION)
    assert facts["files_from"] == "the manifest on this disk"
    assert facts["files"]["images"] < 1000
    assert "not verified by cxrsync" in " ".join(machine.run("info", JPG).out.split())
    assert f"{VERSION} in {machine.dest}" in machine.run("info").out
    # A version's own folder is a destination, too.
    machine.environment["CXRSYNC_DEST"] = str(machine.dest / JPG / VERSION)
    assert [tree["version"] for tree in told(machine, JPG)["here"]] == [VERSION]
    assert told(machine, DICOM)["here"] == []


def test_the_datasets_of_the_catalogue(machine: Machine, server: MiniPhysioNet) -> None:
    listed = told(machine)["datasets"]
    assert {DICOM, JPG, "mimiciv"} <= {each["dataset"] for each in listed}
    assert server.request_log.snapshot().requests == 0
    assert "--dataset mimiciv" in machine.run("info").out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("mimic-cxr-jgp", 2, "there is no dataset mimic-cxr-jgp\nSimilar names: mimic-cxr-jpg"),
        (f"{JPG}/9.9", 2, "has no version 9.9\nIts versions: 2.0.0, 2.1.0."),
        (f"{JPG} {DICOM}", 2, "one dataset at a time"),
        ("--jpg --dicom", 2, "more than one dataset"),
        ("p10", 2, "It is a shard"),
        ("--shard p10", 2, "--shard is an option of other commands"),
    ],
)
def test_what_is_no_dataset(machine: Machine, words: str, code: int, says: str) -> None:
    done = machine.run("info", *words.split())
    assert (done.code, done.out) == (code, "")
    assert says in done.err


def test_an_unknown_dataset_without_a_network(machine: Machine) -> None:
    machine.environment["CXRSYNC_BASE_URL"] = NOWHERE
    done = machine.run("info", "mimic-cxr-jgp")
    assert (done.code, done.out) == (10, "")
    assert "the site does not say whether there is one" in done.err
    assert "Similar names: mimic-cxr-jpg" in done.err


def test_a_dataset_that_only_the_catalogue_knows(machine: Machine) -> None:
    assert "the site   lists no such dataset" in machine.run("info", "mimiciv").out


def test_an_exhausted_ration(serve: Serve, make_machine: MakeMachine) -> None:
    machine = make_machine(serve(api_requests=0))
    facts = told(machine, JPG)
    assert "429" in facts["unanswered"]
    assert facts["versions_from"] == "the catalogue"
