"""``cite``: from the public API while it answers, from the catalogue otherwise."""

import json
from collections.abc import Callable

import pytest
from e2e.stage import DICOM, JPG, VERSION, Machine

from cxrsync.demo.server.server import MiniPhysioNet

NOWHERE = "https://127.0.0.1:1/files"
SITE_SAYS = f"{JPG}, a synthetic miniature (version {VERSION}). PhysioNet. RRID:SCR_007345."


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


def test_by_the_site(machine: Machine, server: MiniPhysioNet) -> None:
    machine.environment |= {"PHYSIONET_USERNAME": None, "PHYSIONET_PASSWORD": None}
    done = machine.run("cite", JPG)
    assert (done.code, done.err) == (0, "")
    data, article, physionet = done.out.split("\n\n")
    assert data == (
        f"{JPG} {VERSION}:\n  Doe, J., & Roe, J. A. (2026). {SITE_SAYS} https://doi.org/10.5072/synthetic"
    )
    assert article.startswith(f"the article about {JPG}:\n  Johnson, A. E. W., Pollard")
    assert physionet.startswith("PhysioNet:\n  Goldberger, A. L., ")
    log = server.request_log.snapshot()
    assert (log.requests, log.password_checks) == (1, 0)
    assert machine.run("cite", JPG).out == done.out  # the answer is kept for a day
    assert server.request_log.snapshot().requests == 1
    assert not machine.dest.exists()


def test_by_the_catalogue(machine: Machine) -> None:
    machine.environment["CXRSYNC_BASE_URL"] = NOWHERE
    done = machine.run("cite", "--jpg", "--dicom")
    assert done.code == 0
    assert "(2024). MIMIC-CXR Database (version 2.1.0). PhysioNet." in done.out
    assert "https://doi.org/10.13026/jsn5-t979\n" in done.out
    assert done.out.count("PhysioBank") == 1
    assert done.err.startswith(f"from the catalogue: {DICOM} {VERSION}, {JPG} {VERSION}: ")
    assert len(done.err.splitlines()) == 1
    assert machine.run("-q", "cite", "--jpg").err == ""
    # Nobody is named for a version of which only the number is known.
    older = machine.run("cite", "mimiciv/2.2")
    assert older.out.startswith("mimiciv 2.2:\n  (n.d.). MIMIC-IV (version 2.2).")
    assert "https://physionet.org/content/mimiciv/2.2/ has them" in older.err


def test_the_version_in_the_destination(machine: Machine) -> None:
    assert machine.pull("--jpg", "--dataset-version", "2.0.0", "--only", "docs").code == 0
    assert machine.run("cite").out.startswith(f"{JPG} 2.0.0:")
    assert machine.run("cite", "--dataset-version", VERSION, JPG).out.startswith(
        f"{JPG} {VERSION}:"
    )


def test_for_programs(machine: Machine) -> None:
    works = json.loads(machine.run("cite", JPG, "--json").out)["works"]
    assert [work["what"] for work in works] == [
        f"{JPG} {VERSION}", f"the article about {JPG}", "PhysioNet"
    ]  # fmt: skip
    assert (works[0]["doi"], works[0]["version"]) == ("10.5072/synthetic", VERSION)
    bibtex = machine.run("cite", JPG, "--bibtex").out
    assert bibtex == "\n\n".join(work["bibtex"] for work in works) + "\n"
    assert bibtex.startswith(f"@misc{{{JPG}-{VERSION},\n  author = {{Doe, J. and Roe, J. A.}},")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "no dataset is named, and there is none in DEST\nName one: cxrsync cite "),
        ("mimic-cxr-jgp", "there is no dataset mimic-cxr-jgp\nSimilar names: mimic-cxr-jpg"),
        (f"{JPG}/9.9", "has no version 9.9\nIts versions: 2.0.0, 2.1.0."),
        (f"{JPG} --bibtex --json", "exclude each other"),
        ("--shard p10", "--shard is an option of other commands"),
    ],
)
def test_what_cannot_be_cited(machine: Machine, words: str, says: str) -> None:
    done = machine.run("cite", *words.split())
    assert (done.code, done.out) == (2, "")
    assert says in done.err


def test_an_unknown_dataset_without_an_answer(
    serve: Callable[..., MiniPhysioNet], make_machine: Callable[[MiniPhysioNet], Machine]
) -> None:
    machine = make_machine(serve(api_requests=0))
    done = machine.run("cite", "chexchonet")
    assert (done.code, done.out) == (10, "")
    assert "https://physionet.org/content/chexchonet/ shows how to cite it" in done.err
