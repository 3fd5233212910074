"""``cxrsync access`` against each state that PhysioNet can be in: what is missing first, which page
to go to; one sign-in, and a password that is never sent twice."""

import os
import socket
import ssl
from collections.abc import Callable
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from e2e.stage import DICOM, JPG, VERSION, Machine
from free_port import free_port

from cxrsync.demo.server.server import MiniPhysioNet

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]
CREDENTIALING = "https://physionet.org/settings/credentialing"
REGISTER = "https://physionet.org/register/"
LOGIN = "https://physionet.org/login/"


def page(slug: str, version: str = VERSION) -> str:
    return f"https://physionet.org/content/{slug}/{version}/"


WRONG = {"PHYSIONET_PASSWORD": "not-the-password"}
NONE = {"PHYSIONET_USERNAME": None, "PHYSIONET_PASSWORD": None}
AGENT = {"CXRSYNC_USER_AGENT": "Mozilla/5.0"}
# The state of the server, the user's environment; exit code, what is missing first, its page, a
# part of what is said.
STATES: dict[str, tuple[dict[str, Any], dict[str, Any], int, str | None, str | None, str]] = {
    "all well": ({}, {}, 0, None, None, "opens to you"),
    "wrong password": ({}, WRONG, 3, "sign-in", LOGIN, "refuses the password of demo"),
    "no password": ({}, NONE, 3, "sign-in", REGISTER, "asks for a user name and a password"),
    "deactivated": ({"active": False}, {}, 3, "sign-in", LOGIN, "A deactivated account"),
    "no credentialing": (
        {"agreements": frozenset()}, {},
        4, f"{DICOM} {VERSION}", CREDENTIALING, "settings/training",
    ),
    "one agreement of two": (
        {"agreements": frozenset({JPG})}, {},
        4, f"{DICOM} {VERSION}", page(DICOM), f"{JPG} {VERSION} opens to you",
    ),
    "one version of two": (
        {"agreements": frozenset({f"{DICOM}/{VERSION}", f"{JPG}/2.0.0"})}, {},
        4, f"{JPG} {VERSION}", page(JPG), f"{DICOM} {VERSION} opens to you",
    ),
    "an older version only": (
        {"agreements": frozenset({f"{JPG}/2.0.0"})}, {},
        4, f"{DICOM} {VERSION}", page(DICOM), f"{JPG} 2.0.0 opens to you",
    ),
    "withdrawn": (
        {"withdrawn": frozenset({f"{JPG}/{VERSION}"})}, {},
        4, f"{JPG} {VERSION}", page(JPG), "has withdrawn the files of this version",
    ),
    "agent refused": ({}, AGENT, 4, "server", None, "leave out --user-agent"),
    "clock behind": ({"clock_ahead": 7200.0}, {}, 0, None, None, "2 h behind the server's"),
    "clock ahead": ({"clock_ahead": -90.0}, {}, 0, None, None, "1 min 30 s ahead of the"),
    "api spent": ({"api_requests": 0}, {}, 0, None, None, "no details: "),
    "no sessions": ({"sessions": False}, {}, 0, None, None, "opens to you"),
}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_each_state(serve: Serve, make_machine: MakeMachine, state: str) -> None:
    behaviour, environment, code, missing, goal, said = STATES[state]
    server = serve(**behaviour)
    machine = make_machine(server)
    machine.environment.update(environment)

    told = machine.run("access", "--json")
    checks = server.request_log.snapshot().password_checks
    shown = machine.run("access")

    assert (told.code, shown.code) == (code, code), shown.out + shown.err
    [found] = told.events
    assert found["missing"] == missing
    [first] = [each for each in found["checks"] if each["name"] == missing] or [{"page": None}]
    assert first["page"] == goal
    assert said in shown.out
    assert (goal or "") in shown.out
    if behaviour.get("sessions", True):
        assert checks == (0 if environment in (NONE, AGENT) else 1)
    assert "not-the-password" not in shown.out + shown.err + told.out
    assert not machine.dest.exists()  # it only looks


def test_what_the_site_says_is_asked_within_its_ration(
    machine: Machine, server: MiniPhysioNet
) -> None:
    [found] = machine.run("access", "--json").events
    [dicom, jpg] = found["datasets"]
    assert (dicom["dataset"], jpg["dataset"]) == (DICOM, JPG)
    assert jpg["newest"] == VERSION
    assert jpg["bytes"] > 100_000
    assert jpg["doi"]
    assert jpg["license"]
    assert [found["host"], found["user"]] == ["127.0.0.1", "demo"]

    def asked() -> int:
        paths = server.request_log.snapshot().by_path
        return sum(each.requests for path, each in paths.items() if path.startswith("/api/"))

    assert asked() == 4
    machine.run("access")
    assert asked() == 4  # remembered for a day


def test_each_thing_is_asked_once(machine: Machine, server: MiniPhysioNet) -> None:
    machine.run("access")
    log = server.request_log.snapshot().log
    manifests = [each for each in log if not each.path.startswith("/api/")]
    assert [(each.path.split("/")[0], each.status) for each in manifests] == [
        (DICOM, 401), (DICOM, 206), (JPG, 206),
    ]  # fmt: skip


def test_datasets_and_versions_that_are_named(machine: Machine) -> None:
    [found] = machine.run("access", "--json", f"{JPG}/2.0.0", DICOM).events
    assert [(each["dataset"], each["version"]) for each in found["datasets"]] == [
        (JPG, "2.0.0"), (DICOM, VERSION),
    ]  # fmt: skip
    [found] = machine.run("access", "--json", "--jpg").events
    assert [each["dataset"] for each in found["datasets"]] == [JPG]

    absent = machine.run("access", f"{JPG}/9.9")
    assert absent.code == 2
    assert f"Its newest version is {VERSION}" in absent.out
    unknown = machine.run("access", "mimic-cxr-jgp")
    assert unknown.code == 2
    assert "no version of mimic-cxr-jgp is known" in unknown.err
    assert f"Near: {JPG}" in unknown.err
    machine.base_url = f"https://127.0.0.1:{free_port()}/files"
    assert machine.run("access", "unheard-of").code == 10  # the site does not say


def test_no_network(machine: Machine) -> None:
    machine.base_url = f"https://127.0.0.1:{free_port()}/files"
    ended = machine.run("access")
    assert ended.code == 10
    assert "Missing: server: cannot reach 127.0.0.1" in ended.out
    assert "- sign-in" in ended.out


def test_a_name_without_an_address(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_args: Any, **_more: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    machine.base_url = "https://nowhere.invalid/files"
    ended = machine.run("access")
    assert ended.code == 10
    assert "Missing: network: cannot reach nowhere.invalid: its name is unknown" in ended.out


def test_a_certificate_that_cannot_be_trusted(machine: Machine, server: MiniPhysioNet) -> None:
    machine.environment["CXRSYNC_CA_FILE"] = None
    ended = machine.run("access")
    assert ended.code == 10
    assert "Missing: server: cannot trust 127.0.0.1" in ended.out
    assert server.request_log.snapshot().requests == 0


def test_a_disk_that_is_too_small(machine: Machine, small_disk: Callable[[str], Path]) -> None:
    machine.dest = small_disk("size=2m") / "physionet.org"
    ended = machine.run("access")
    assert ended.code == 7
    assert "Missing: destination: " in ended.out
    assert "--dest" in ended.out
    assert os.listdir(machine.dest.parent) == []


def test_a_destination_that_is_a_file(machine: Machine) -> None:
    machine.dest.touch()
    ended = machine.run("access")
    assert ended.code == 7
    assert f"{machine.dest} is not a folder" in ended.out


def test_the_version_in_the_destination(machine: Machine) -> None:
    assert machine.pull("--jpg", "--dataset-version", "2.0.0", "--only", "docs").code == 0
    [found] = machine.run("access", "--json").events
    assert [each["version"] for each in found["datasets"]] == [VERSION, "2.0.0"]


def test_it_is_typed_wrong(machine: Machine) -> None:
    for word, meant in (("acess", "access"), ("doctor", "access"), ("permissions", "access")):
        ended = machine.run(word)
        assert ended.code == 2
        assert f"Did you mean cxrsync {meant}?" in ended.err
    ended = machine.run("access", "--dest", "")
    assert ended.code == 2


# ── the server ─────────────────────────────────────────────────────────────────────────────────


def refusal(server: MiniPhysioNet, slug: str, agent: str = "Wget/1.21") -> tuple[str, bytes]:
    """The answer to a signed-in request for a manifest, without what names time and session."""
    address = urlsplit(server.base_url)
    tls = ssl.create_default_context(cafile=server.ca_file)
    connection = HTTPSConnection(address.hostname or "", address.port, context=tls)
    headers = {
        "Authorization": "Basic ZGVtbzpkZW1vLXBhc3N3b3Jk", "Cookie": "testcookie=1",
        "User-Agent": agent,
    }  # fmt: skip
    connection.request("GET", f"/files/{slug}/{VERSION}/SHA256SUMS.txt", headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status == 403
    varying = {"date", "set-cookie"}
    head = [f"{name}: {value}" for name, value in response.getheaders()]
    return "\n".join(line for line in head if line.split(":")[0].lower() not in varying), body


def test_every_403_is_the_same_page(serve: Serve) -> None:
    pages = {
        refusal(serve(agreements=frozenset()), JPG),
        refusal(serve(agreements=frozenset({DICOM})), JPG),
        refusal(serve(agreements=frozenset({f"{JPG}/2.0.0"})), JPG),
        refusal(serve(withdrawn=frozenset({f"{JPG}/{VERSION}"})), JPG),
        refusal(serve(withdrawn=frozenset({f"{DICOM}/{VERSION}"})), DICOM),
        refusal(serve(), JPG, agent="Mozilla/5.0"),
    }
    assert len(pages) == 1


def test_the_checklist_is_for_people(machine: Machine) -> None:
    lines = machine.run("access").out.splitlines()
    marks = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert marks == ["✓"] * 7
