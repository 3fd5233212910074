"""The site's public API is rationed: a whole pull asks it at most once, and a refusal is never
"there is no such dataset"."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.stage import JPG, VERSION, Machine

from cxrsync.demo.data.tree import TreeSpec, make_tree
from cxrsync.demo.server.server import MiniPhysioNet

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]
OTHER = "chest-xrays-of-nowhere"  # a dataset that the catalogue does not have


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """What the server has: besides, a dataset that the catalogue does not know."""
    files = tmp_path / "files"
    make_tree(files, JPG, VERSION, TreeSpec(patients=10, image_bytes=1_000))
    shutil.copytree(files / JPG, files / OTHER)
    return files


def api_requests(server: MiniPhysioNet) -> int:
    return sum("/api/" in each.path for each in server.request_log.snapshot().log)


def test_a_second_dry_run_of_the_day_asks_nothing(
    serve: Serve, make_machine: MakeMachine, files: Path
) -> None:
    server = serve(files)
    machine = make_machine(server)
    first = machine.run("pull", "--dry-run", "--jpg")
    assert first.code == 0, first.err
    assert "(by the version's published total)" in first.out
    assert api_requests(server) == 1

    server.set_behaviour(api_requests=0)
    assert "(by the version's published total)" in machine.run("pull", "--dry-run", "--jpg").out
    assert api_requests(server) == 1
    assert list((machine.home / ".cache/cxrsync").glob("answer-*.json"))


def test_an_estimate_without_the_published_total_says_so(
    serve: Serve, make_machine: MakeMachine, files: Path
) -> None:
    server = serve(files, api_requests=0, api_retry_after="7200")
    machine = make_machine(server)
    for number in (1, 2):  # the second obeys the Retry-After of the first
        told = machine.run("pull", "--dry-run", "--jpg")
        assert told.code == 0
        assert "(by the catalogue's means)" in told.out
        assert "the published total is not known: the public API of 127.0.0.1 " in told.out
        assert ("429 Too Many Requests" if number == 1 else "not asked again before") in told.out
    fields = json.loads(machine.run("pull", "--dry-run", "--jpg", "--json").out.splitlines()[-1])
    assert "asked too often" in fields["without_total"]
    assert api_requests(server) == 1


def test_a_pull_that_will_not_fit_says_so_too(
    serve: Serve, make_machine: MakeMachine, files: Path, small_disk: Callable[[str], Path]
) -> None:
    server = serve(files, api_requests=0)
    machine = make_machine(server)
    machine.dest = small_disk("size=1m")
    refused = machine.run("pull", "--jpg")
    assert refused.code == 7
    assert "the published total is not known: the public API" in refused.err
    assert api_requests(server) == 1


def test_a_pull_that_needs_no_estimate_asks_nothing(
    serve: Serve, make_machine: MakeMachine, files: Path
) -> None:
    server = serve(files)
    machine = make_machine(server)
    assert machine.pull("--jpg").code == 0
    # Nothing is missing, so no size is.
    assert machine.run("pull", "--dry-run", "--jpg").code == 0
    assert api_requests(server) == 0


def test_a_dataset_that_the_catalogue_does_not_know(
    serve: Serve, make_machine: MakeMachine, files: Path
) -> None:
    server = serve(files)
    done = make_machine(server).pull("--dataset", OTHER, "--only", "docs")
    assert done.code == 0, done.err
    assert api_requests(server) == 1


# what is asked for; the exit code; what is told
REFUSED = [
    (("--dataset", OTHER, "--dataset-version", "latest"), 10, ["does not say", "429"]),
    (("--dataset", OTHER), 10, ["does not say which versions", "--dataset-version", "429"]),
    (("--dataset", OTHER, "--dataset-version", "7"), 2, ["does not say whether", "429"]),
    (("--dataset", "no-such", "--dataset-version", "7"), 2, ["does not say whether", "429"]),
    (("--jpg", "--dataset-version", "7"), 2, ["has no version 7", "2.1.0", "the catalogue"]),
]


@pytest.mark.parametrize(("words", "code", "told"), REFUSED)
def test_a_refusal_is_never_a_dataset_that_is_not_there(
    serve: Serve,
    make_machine: MakeMachine,
    files: Path,
    words: tuple[str, ...],
    code: int,
    told: list[str],
) -> None:
    server = serve(files, api_requests=0)
    ended = make_machine(server).run("pull", *words)
    assert ended.code == code, ended.err
    assert [each for each in told if each not in ended.err] == []
    assert "there is no dataset" not in ended.err
    assert "no dataset chest-xrays-of-nowhere is known" not in ended.err
    assert api_requests(server) == 1


def test_the_newest_version_is_the_catalogues_where_the_site_does_not_say(
    serve: Serve, make_machine: MakeMachine, files: Path
) -> None:
    server = serve(files, api_requests=0)
    done = make_machine(server).run(
        "pull", "--jpg", "--dataset-version", "latest", "--only", "docs"
    )
    assert done.code == 0, done.err
    assert f"only the catalogue says which versions of {JPG} there are: " in done.err
    assert "429 Too Many Requests" in done.err
    assert f"using version {VERSION} of {JPG}" in done.err
    assert api_requests(server) == 1


def test_a_dataset_that_is_not_there(serve: Serve, make_machine: MakeMachine, files: Path) -> None:
    """Only a 404 of the API says so."""
    server = serve(files)
    machine = make_machine(server)
    for words in (("--dataset-version", "7"), ()):
        ended = machine.run("pull", "--dataset", "no-such", *words)
        assert ended.code == 2
        assert "no dataset no-such" in ended.err
    assert api_requests(server) == 1  # remembered
    assert (
        "has no manifest of" in machine.run("pull", "--jpg", "--dataset-version", "2.0.0").err
    )  # the catalogue knows it: not asked
    assert api_requests(server) == 1


def test_a_home_that_cannot_be_written_is_no_trouble(
    serve: Serve, make_machine: MakeMachine, files: Path
) -> None:
    server = serve(files)
    machine = make_machine(server)
    machine.environment["HOME"] = "/dev/null"
    assert "published total)" in machine.run("pull", "--dry-run", "--jpg").out
    assert "published total)" in machine.run("pull", "--dry-run", "--jpg").out
    assert api_requests(server) == 2
