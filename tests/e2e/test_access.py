"""Signing in: once, never twice with a wrong password, and every refusal says what to do."""

import signal
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest
from e2e.stage import DICOM, JPG, PATIENCE, VERSION, Machine, image_bytes_sent, wait_until
from free_port import free_port

from cxrsync.demo.server.faults import Rule, says, script
from cxrsync.demo.server.server import MiniPhysioNet

SHARD = ("--jpg", "--shard", "p10")
Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]


@pytest.mark.parametrize("connections", ["1", "8", "32"])
def test_a_wrong_password_is_tried_once(
    machine: Machine, server: MiniPhysioNet, connections: str
) -> None:
    machine.environment["PHYSIONET_PASSWORD"] = "not-the-password"

    refused = machine.pull(*SHARD, "--connections", connections)

    assert refused.code == 3
    assert server.request_log.snapshot().password_checks == 1
    assert "demo" in refused.err
    assert "PHYSIONET_PASSWORD" in refused.err
    assert "not-the-password" not in refused.err + refused.out
    assert refused.summary["exit_code"] == 3


def test_a_password_that_changes_in_mid_run_meets_one_more_attempt(
    serve: Serve, make_machine: MakeMachine
) -> None:
    server = serve(rate=32 << 10)
    machine = make_machine(server)
    process = machine.start("pull", *SHARD, "--json", "--progress", "none")
    wait_until(lambda: image_bytes_sent(server) > 50_000)
    assert server.request_log.snapshot().password_checks == 1

    server.change_password("something else")
    process.communicate(timeout=PATIENCE)

    assert process.returncode == 3
    assert server.request_log.snapshot().password_checks == 2


def test_a_session_that_ends_in_mid_run_is_renewed_once(
    serve: Serve, make_machine: MakeMachine
) -> None:
    server = serve(rate=32 << 10)
    machine = make_machine(server)
    process = machine.start("pull", *SHARD)
    wait_until(lambda: image_bytes_sent(server) > 50_000)

    server.forget_sessions()
    process.communicate(timeout=PATIENCE)

    assert process.returncode == 0
    assert server.request_log.snapshot().password_checks == 2


def test_a_server_without_sessions_gets_the_password_each_time(
    serve: Serve, make_machine: MakeMachine
) -> None:
    server = serve(sessions=False, password_check_seconds=0.001)
    done = make_machine(server).pull(*SHARD)

    assert done.code == 0
    assert server.request_log.snapshot().password_checks == done.summary["requests"] - 1


@pytest.mark.parametrize("sessions", [True, False])
def test_one_path_that_asks_for_a_password_fails_alone(
    serve: Serve, make_machine: MakeMachine, jpg: Path, sessions: bool
) -> None:
    images = sorted((jpg / "files/p10").rglob("*.jpg"))
    closed = str(images[2].relative_to(jpg))
    denied = script(Rule(f"*/{closed}", says(HTTPStatus.UNAUTHORIZED), None))
    server = serve(sessions=sessions, password_check_seconds=0.001, faults=denied)
    machine = make_machine(server)

    done = machine.pull(*SHARD)

    assert done.code == 5, done.err
    [failed] = [each for each in done.events if each.get("result") == "failed"]
    assert failed["path"] == closed
    assert "for this file only" in failed["reason"]
    here = list((machine.dest / JPG / VERSION / "files").rglob("*.jpg"))
    assert len(here) == len(images) - 1
    counts = server.request_log.snapshot()
    assert counts.by_path[f"{JPG}/{VERSION}/{closed}"].requests == 1
    # With a session once; without one each request but the first bears it.
    assert counts.password_checks == (1 if sessions else counts.requests - 1)


def test_no_agreement(serve: Serve, make_machine: MakeMachine) -> None:
    server = serve(agreements=frozenset({DICOM}))
    machine = make_machine(server)

    denied = machine.pull(*SHARD)

    assert denied.code == 4
    for hint in (
        "https://physionet.org/content/mimic-cxr-jpg/",
        "https://physionet.org/settings/training",
        "https://physionet.org/settings/credentialing",
    ):
        assert hint in denied.err
    assert server.request_log.snapshot().requests <= 3
    # Each project has its own.
    assert machine.pull("--dicom", "--only", "docs").code == 0


def test_an_agent_that_is_not_let_in(machine: Machine, server: MiniPhysioNet) -> None:
    denied = machine.pull(*SHARD, "--user-agent", "Mozilla/5.0")

    assert denied.code == 4
    assert "user agent" in denied.err
    assert "training" not in denied.err
    assert server.request_log.snapshot().password_checks == 0


def test_access_that_is_withdrawn_in_mid_run(serve: Serve, make_machine: MakeMachine) -> None:
    server = serve(rate=32 << 10)
    machine = make_machine(server)
    process = machine.start("pull", *SHARD, "--json", "--give-up-after", "1")
    wait_until(lambda: image_bytes_sent(server) > 50_000)

    server.set_behaviour(agreements=frozenset())
    _out, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 4
    assert "agreement" in err


def test_no_credentials_and_nobody_to_ask(machine: Machine, server: MiniPhysioNet) -> None:
    machine.environment = {"PHYSIONET_USERNAME": "", "PHYSIONET_PASSWORD": ""}

    refused = machine.pull(*SHARD)

    assert refused.code == 3
    assert ".netrc" in refused.err
    assert server.request_log.snapshot().password_checks == 0


def test_netrc_is_read_unless_others_can_read_it(machine: Machine, server: MiniPhysioNet) -> None:
    machine.environment = {"PHYSIONET_USERNAME": "", "PHYSIONET_PASSWORD": ""}
    netrc = machine.home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login demo password demo-password\n")
    netrc.chmod(0o644)
    refused = machine.pull("--jpg", "--only", "docs")
    assert refused.code == 3
    assert "chmod 600" in refused.err

    netrc.chmod(0o600)
    assert machine.pull("--jpg", "--only", "docs").code == 0


def test_a_password_file(machine: Machine) -> None:
    file = machine.home / "password"
    file.write_text("demo-password\n")
    file.chmod(0o600)
    machine.environment = {"PHYSIONET_PASSWORD": "", "PHYSIONET_PASSWORD_FILE": str(file)}
    assert machine.pull("--jpg", "--only", "docs").code == 0


def test_the_password_is_nowhere(machine: Machine) -> None:
    machine.environment["PHYSIONET_PASSWORD"] = "a-wrong-secret"
    texts = []
    for verbosity in ([], ["-q"], ["-v"], ["--debug"], ["-v", "--debug"]):
        ended = machine.run(*verbosity, "pull", "--json", *SHARD)
        texts += [ended.out, ended.err]
    machine.environment["PHYSIONET_PASSWORD"] = "demo-password"
    for verbosity in ([], ["-v", "--debug"]):
        ended = machine.run(*verbosity, "pull", "--json", *SHARD)
        texts += [ended.out, ended.err]
    left = [path.read_bytes() for path in machine.dest.rglob("*") if path.is_file()]
    for secret in ("a-wrong-secret", "demo-password", "ZGVtbzpkZW1vLXBhc3N3b3Jk", "sessionid="):
        assert not any(secret in text for text in texts)
        assert not any(secret.encode() in data for data in left)


def test_a_password_never_goes_over_plain_http(machine: Machine) -> None:
    # A name that is not loopback, whatever it resolves to: refused before anything is sent.
    refused = machine.run("pull", *SHARD, "--base-url", "http://user:pw@example.invalid/files")
    assert refused.code == 2
    assert "user name or a password" in refused.err


def test_a_certificate_that_cannot_be_trusted(machine: Machine, server: MiniPhysioNet) -> None:
    machine.environment = {"CXRSYNC_CA_FILE": None}

    refused = machine.pull(*SHARD)

    assert refused.code == 10
    assert "--ca-file" in refused.err
    assert server.request_log.snapshot().requests == 0


def test_a_server_that_is_not_there(machine: Machine) -> None:
    machine.base_url = f"https://127.0.0.1:{free_port()}/files"

    ended = machine.pull(*SHARD, "--give-up-after", "0.1")

    assert ended.code == 10
    assert "cannot reach 127.0.0.1" in ended.err


def test_a_server_that_goes_away_and_comes_back(
    serve: Serve, make_machine: MakeMachine, jpg: Path
) -> None:
    server = serve(rate=32 << 10)
    machine = make_machine(server)
    process = machine.start("pull", *SHARD, "--json", "--progress", "none")
    wait_until(lambda: image_bytes_sent(server) > 50_000)
    server.stop()
    assert process.stdout is not None
    for line in process.stdout:
        if '"retry"' in line:
            break

    server.start()
    process.communicate(timeout=PATIENCE)

    assert process.returncode == 0
    images = list((machine.dest / JPG / VERSION / "files").rglob("*.jpg"))
    assert len(images) == len(list((jpg / "files/p10").rglob("*.jpg")))


def test_interrupt_while_signing_in(serve: Serve, make_machine: MakeMachine) -> None:
    server = serve(latency=30.0)
    machine = make_machine(server)
    stopped = machine.interrupt(
        lambda: server.request_log.snapshot().requests > 0, signal.SIGINT, *SHARD
    )
    assert stopped.code == 130
