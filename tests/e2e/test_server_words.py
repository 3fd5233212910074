"""What the server says about the manifest is never hidden: status, address, what to do, exit code.

Each case is a whole pull from the miniature server, which says one thing of the manifest.
"""

import re
from collections.abc import Callable
from http import HTTPStatus

import pytest
from e2e.stage import DICOM, JPG, VERSION, Machine

from cxrsync.demo.server.faults import Rule, headed, says, script
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.sources.http import silence

MANIFEST = f"{JPG}/{VERSION}/SHA256SUMS.txt"
PAGE = f"https://physionet.org/content/{JPG}/{VERSION}/"
IMPATIENT = ("--give-up-after", "0.05", "--retries", "0")
SIGNED = "https://store.example/bucket/key?X-Amz-Signature=0123456789abcdef&Expires=1"

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]


# status, headers, exit code, what is told
CASES: list[tuple[int, dict[str, str], int, list[str]]] = [
    (301, {"Location": f"https://www.physionet.org/files/{MANIFEST}"}, 10,
     ["301 Moved Permanently", "--base-url https://www.physionet.org/files"]),
    (301, {"Location": "/static/elsewhere/"}, 10, ["/static/elsewhere/", "Check --base-url"]),
    (301, {}, 10, ["301", "does not say where", "--base-url"]),
    (302, {"Location": "/login/?next=/files/token-0123456789"}, 10, ["/login/?…", "browser"]),
    (302, {"Location": SIGNED}, 10, ["302", "https://store.example/bucket/key?…"]),
    (303, {}, 10, ["303 See Other", "does not say where"]),
    (307, {"Location": "https://portal.example/sign-in"}, 10, ["portal.example", "login page"]),
    (308, {"Location": "https://store.example/x"}, 10, ["308", "https://store.example/x"]),
    (308, {}, 10, ["308 Permanent Redirect", "does not say where"]),
    (400, {}, 10, ["400 Bad Request", "--base-url"]),
    (402, {}, 10, ["402 Payment Required", "browser"]),
    (410, {}, 2, ["410 Gone", "--dataset-version", "page on PhysioNet"]),
    (418, {}, 10, ["418", "browser"]),
    (431, {}, 10, ["431 Request Header Fields Too Large"]),
    (451, {}, 4, ["451", "regions", PAGE]),
    (429, {"Retry-After": "7200"}, 10, ["429", "not before", "2 h"]),
    (501, {}, 10, ["501 Not Implemented"]),
    (503, {"Retry-After": "7200"}, 10, ["503 Service Unavailable", "not before"]),
    (511, {}, 10, ["511 Network Authentication Required", "sign in to this network"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "headers", "code", "told"),
    CASES,
    ids=[f"{status}-{number}" for number, (status, *_) in enumerate(CASES)],
)
def test_the_word_on_the_manifest(
    serve: Serve,
    make_machine: MakeMachine,
    status: int,
    headers: dict[str, str],
    code: int,
    told: list[str],
) -> None:
    fault = says(HTTPStatus(status), *headers.items())
    server = serve(faults=script(Rule(MANIFEST, fault, None)), open_datasets=frozenset({JPG}))
    machine = make_machine(server)

    ended = machine.run("pull", "--jpg", "--shard", "p10", *IMPATIENT)

    assert ended.code == code, ended.err
    assert [each for each in told if each not in ended.err] == []
    for never in ("there is no dataset", "has no version", "has no manifest", "0123456789"):
        assert never not in ended.err
    # The public API is rationed: no word on the manifest is a reason to ask it.
    assert not any("/api/" in each.path for each in server.request_log.snapshot().log)
    if status in {301, 308, 400, 402, 410, 418, 431}:  # final
        assert not list(machine.dest.rglob("*")), "nothing is left of a pull that never began"


def test_only_404_means_that_there_is_no_such_version(machine: Machine) -> None:
    ended = machine.run("pull", "--jpg", "--dataset-version", "9.9", *IMPATIENT)
    assert ended.code == 2
    assert "has no version 9.9" in ended.err


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_goes_to_where_a_redirect_points(
    serve: Serve, make_machine: MakeMachine, status: int
) -> None:
    """Neither the password nor the session, nor the request itself."""
    other = serve()
    there = f"{other.base_url}/{MANIFEST}"
    fault = says(HTTPStatus(status), ("Location", there))
    server = serve(faults=script(Rule("*", fault, None)))

    ended = make_machine(server).run("pull", "--jpg", "--shard", "p10", *IMPATIENT)

    if status in {302, 303, 307}:  # as to a login page
        assert ended.code == 3
        assert f"({status} " in ended.err
        assert f"to {there}\n" in ended.err
    else:
        assert ended.code == 10
        assert f"give it with --base-url {other.base_url}\n" in ended.err
    counts = other.request_log.snapshot()
    assert (counts.requests, counts.connections) == (0, 0)
    assert server.request_log.snapshot().password_checks == 1


@pytest.mark.parametrize(("lines", "size"), [(1, 9_000), (200, 10), (200, 1_000), (4, 60_000)])
def test_a_large_head_is_no_trouble(
    serve: Serve, make_machine: MakeMachine, lines: int, size: int
) -> None:
    server = serve(faults=script(Rule("*", headed(lines, size), None)))
    ended = make_machine(server).pull("--jpg", "--only", "docs")
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    ("lines", "size", "told"),
    [(1, 70_000, "longer than 64 KiB"), (600, 10, "more than 512 lines")],
)
def test_a_head_that_is_too_large(
    serve: Serve, make_machine: MakeMachine, lines: int, size: int, told: str
) -> None:
    server = serve(faults=script(Rule("*", headed(lines, size), None)))
    ended = make_machine(server).run("pull", "--jpg", "--only", "docs", *IMPATIENT)
    assert ended.code == 10
    assert "(status 200) cannot be read: " in ended.err
    assert told in ended.err
    assert "proxy or a firewall" in ended.err


def test_a_retry_of_the_manifest_is_told(serve: Serve, make_machine: MakeMachine) -> None:
    """Everything waits for it."""
    server = serve(faults=script(Rule(MANIFEST, says(HTTPStatus.NOT_IMPLEMENTED), (1,))))
    ended = make_machine(server).run("pull", "--jpg", "--only", "docs", "--progress", "log")
    assert ended.code == 0
    assert "for SHA256SUMS.txt: the server answers 501 Not Implemented" in ended.err


# ── access ─────────────────────────────────────────────────────────────────────────────────────


def test_the_agreement_is_signed_for_each_version(serve: Serve, make_machine: MakeMachine) -> None:
    machine = make_machine(serve(agreements=frozenset({f"{JPG}/{VERSION}"})))

    denied = machine.run("pull", "--jpg", "--dataset-version", "2.0.0", "--only", "docs")

    assert denied.code == 4
    assert f"https://physionet.org/content/{JPG}/2.0.0/" in denied.err
    assert "each version has its own" in denied.err
    assert machine.run("pull", "--jpg", "--only", "docs").code == 0


def test_withdrawn_files(serve: Serve, make_machine: MakeMachine) -> None:
    server = serve(withdrawn=frozenset({f"{JPG}/{VERSION}"}))
    denied = make_machine(server).run("pull", "--jpg", "--only", "docs")
    assert denied.code == 4
    assert "withdrawn" in denied.err
    assert PAGE in denied.err
    assert server.request_log.snapshot().requests == 2


def test_a_deactivated_account(serve: Serve, make_machine: MakeMachine) -> None:
    server = serve(active=False)
    refused = make_machine(server).run("pull", "--jpg", "--only", "docs")
    assert refused.code == 3
    assert "deactivated account" in refused.err
    assert server.request_log.snapshot().password_checks == 1


def test_access_to_the_tables_of_another_dataset(serve: Serve, make_machine: MakeMachine) -> None:
    machine = make_machine(serve(agreements=frozenset({DICOM})))
    denied = machine.run("pull", "--dicom", "--split", "test")
    assert denied.code == 4
    assert PAGE in denied.err
    assert "settings/training" in denied.err
    assert "--split-table" in denied.err


@pytest.mark.parametrize("status", [403, 451])
def test_one_file_that_is_refused_is_no_missing_agreement(
    serve: Serve, make_machine: MakeMachine, status: int
) -> None:
    fault = says(HTTPStatus(status))
    server = serve(faults=script(Rule("*/LICENSE.txt", fault, None)))
    ended = make_machine(server).pull("--jpg", "--only", "docs")
    assert ended.code == 5
    [failed] = [each for each in ended.events if each.get("result") == "failed"]
    assert failed["reason"] == (
        f"the server refuses this file, and serves others of the dataset ({status})"
    )


# ── silence ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "words",
    ["pull --jpg --only docs", "pull --jpg --dry-run", "ls --jpg", "diff 2.0.0 2.1.0 --jpg"],
)
def test_a_server_that_does_not_answer_is_waited_for_aloud(
    serve: Serve, make_machine: MakeMachine, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "FIRST_SECONDS", 0.02)
    ended = make_machine(serve(latency=0.1)).run(*words.split())
    # For a connection, or for the answer, whichever a busy machine waits for first.
    assert re.search(r"waiting up to (30 s|1 min): no answer yet from 127\.0\.0\.1\n", ended.err)
    assert ended.code == 0
