"""``login``, ``logout`` and ``whoami``: stored once it is accepted, found by every command, shown
never."""

import base64
import os
import pty
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from e2e.stage import PATIENCE, Machine, wait_until
from free_port import free_port

from cxrsync.cli import login
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.sources.credentials import Credentials
from cxrsync.sources.prompt import TerminalPrompt

Serve = Callable[..., MiniPhysioNet]
HOST = "127.0.0.1"
OTHER = "machine example.org login bob password other\n"
NOBODY = {"PHYSIONET_USERNAME": None, "PHYSIONET_PASSWORD": None}


class FakeKeyring:
    """The module ``keyring`` with a back end that keeps passwords in memory, and that cannot say
    which users it knows, as the base class of back ends."""

    def __init__(self, priority: float = 5.0) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.backend = SimpleNamespace(name="fake Keyring", priority=priority)

    def get_keyring(self) -> SimpleNamespace:
        return self.backend

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def get_credential(self, service: str, username: str | None) -> SimpleNamespace | None:
        password = None if username is None else self.get_password(service, username)
        return None if password is None else SimpleNamespace(username=username, password=password)

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> FakeKeyring:
    fake = FakeKeyring()
    monkeypatch.setitem(sys.modules, "keyring", fake)  # type: ignore[arg-type]
    return fake


@pytest.fixture
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)  # type: ignore[arg-type]


@pytest.fixture
def server(shared_server: MiniPhysioNet) -> MiniPhysioNet:
    return shared_server


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> SimpleNamespace:
    """Who types at the terminal: ``answer`` to questions with yes or no, name and password."""
    machine.environment.update(NOBODY)
    typist = SimpleNamespace(name="demo", password="demo-password", answer=True, asked=[])

    def ask(_self: TerminalPrompt, host: str, user: str | None) -> Credentials | None:
        typist.asked.append((host, user))
        return Credentials(user or typist.name, typist.password, "the terminal")

    def confirm(_self: TerminalPrompt, question: str) -> bool | None:
        typist.asked.append(question)
        return bool(typist.answer)

    monkeypatch.setattr(TerminalPrompt, "__call__", ask)
    monkeypatch.setattr(TerminalPrompt, "confirm", confirm)
    return typist


def netrc_of(machine: Machine) -> Path:
    return machine.home / ".netrc"


# ── the keyring ────────────────────────────────────────────────────────────────────────────────


def test_login_pull_whoami_logout(
    machine: Machine, server: MiniPhysioNet, person: SimpleNamespace, keyring: FakeKeyring
) -> None:
    done = machine.run("login")
    assert done.code == 0, done.err
    assert f"{HOST} accepts the password of demo" in done.out
    assert "the keyring (fake Keyring)" in done.out
    assert "demo-password" in keyring.kept.values()
    assert server.request_log.snapshot().password_checks == 1
    assert not netrc_of(machine).exists()

    assert machine.pull("--jpg", "--only", "docs").code == 0
    who = machine.run("whoami")
    assert who.out == f"demo: password from keyring; {HOST} accepts it\n"
    assert person.asked == [(HOST, None)]

    gone = machine.run("logout")
    assert (gone.code, gone.out) == (
        0, f"The password of demo for {HOST} is deleted from the keyring.\n",
    )  # fmt: skip
    assert keyring.kept == {}
    assert machine.run("logout").out == f"No password for {HOST} is stored.\n"
    assert machine.run("whoami").code == 3
    assert "demo-password" not in done.out + done.err + who.out + who.err + gone.out


def test_the_last_login_is_used_and_a_user_may_be_named(
    serve: Serve, machine: Machine, person: SimpleNamespace, keyring: FakeKeyring
) -> None:
    keyring.set_password(f"cxrsync:{HOST}", "zoe", "z")
    assert machine.run("login", "--user", "demo").code == 0
    assert person.asked == [(HOST, "demo")]
    assert machine.run("whoami").out.startswith("demo: password from keyring")
    assert machine.run("whoami", "--user", "zoe").code == 3  # hers is refused
    assert machine.run("logout", "--user", "zoe").code == 0
    assert machine.run("whoami").code == 0


@pytest.mark.parametrize("wrong", ["refused", "unreachable"])
def test_what_is_not_accepted_is_not_stored(
    machine: Machine, person: SimpleNamespace, keyring: FakeKeyring, wrong: str
) -> None:
    netrc_of(machine).write_text(OTHER)
    person.password = "a-wrong-secret"
    if wrong == "unreachable":
        machine.base_url = f"https://{HOST}:{free_port()}/files"
    for words in (("login",), ("login", "--netrc")):
        refused = machine.run(*words)
        assert refused.code == (3 if wrong == "refused" else 10)
        assert "nothing was stored" in refused.err
        assert "a-wrong-secret" not in refused.err + refused.out
    assert keyring.kept == {}
    assert netrc_of(machine).read_text() == OTHER


def test_a_keyring_that_breaks(
    machine: Machine, person: SimpleNamespace, keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_args: str) -> None:
        raise RuntimeError("locked: demo-password")

    monkeypatch.setattr(keyring, "set_password", locked)
    broken = machine.run("login")
    assert broken.code == 2
    assert "cxrsync login --netrc" in broken.err
    assert "demo-password" not in broken.err

    monkeypatch.setattr(keyring, "set_password", lambda *_args: None)
    forgets = machine.run("login")
    assert forgets.code == 2
    assert "does not give back" in forgets.err


# ── netrc ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["no keyring", "a keyring without a back end", "--netrc"])
def test_netrc_where_there_is_no_keyring_or_where_it_is_asked_for(
    machine: Machine,
    person: SimpleNamespace,
    keyring: FakeKeyring,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    if how == "no keyring":
        monkeypatch.setitem(sys.modules, "keyring", None)  # type: ignore[arg-type]
    if how == "a keyring without a back end":
        keyring.backend.priority = 0  # keyring.backends.fail
    file = netrc_of(machine)
    file.write_text(f"# mine\n{OTHER}")
    file.chmod(0o644)

    done = machine.run("login", *(["--netrc"] if how == "--netrc" else []))

    assert done.code == 0, done.err
    assert file.read_text() == f"# mine\n{OTHER}machine {HOST} login demo password demo-password\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(machine.home) == [".netrc"]
    questions = [each for each in person.asked if isinstance(each, str)]
    assert len(questions) == (0 if how == "--netrc" else 1)
    assert keyring.kept == {}
    assert machine.run("whoami").out.startswith(f"demo: password from {file}; {HOST} accepts it")

    left = machine.run("logout")
    assert "cxrsync logout --netrc" in left.out
    gone = machine.run("logout", "--netrc")
    assert f"The entry of demo for {HOST} is deleted from {file}" in gone.out
    assert file.read_text() == f"# mine\n{OTHER}"


def test_no_is_no(machine: Machine, person: SimpleNamespace, no_keyring: None) -> None:
    person.answer = False
    ended = machine.run("login")
    assert ended.code == 2
    assert "the answer was no, so nothing was stored" in ended.err
    assert "answer y" in ended.err
    assert len(person.asked) == 1  # no password was asked for
    assert not netrc_of(machine).exists()


def test_an_empty_answer_is_no_missing_terminal(
    machine: Machine, person: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TerminalPrompt, "__call__", lambda *_: None)
    assert "asks on a terminal" in machine.run("login", "--netrc").err
    monkeypatch.setattr(login, "has_terminal", lambda: True)
    ended = machine.run("login", "--netrc")
    assert ended.code == 2
    assert "an answer was empty, so nothing was stored" in ended.err
    assert "on a terminal" not in ended.err


def test_a_netrc_that_is_a_link_stays_one(
    machine: Machine, person: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "dotfiles").mkdir()
    real = tmp_path / "dotfiles" / "netrc"
    real.write_text(OTHER)
    netrc_of(machine).symlink_to(real)
    assert machine.run("login", "--netrc").code == 0
    assert netrc_of(machine).is_symlink()
    assert "demo-password" in real.read_text()


def test_the_file_that_netrc_names(machine: Machine, person: SimpleNamespace) -> None:
    file = machine.home / "my netrc"
    machine.environment["NETRC"] = str(file)
    assert machine.run("login", "--netrc").code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert machine.run("whoami").code == 0


@pytest.mark.parametrize("place", ["a folder", "no such folder"])
def test_a_netrc_that_cannot_be_written(
    machine: Machine, person: SimpleNamespace, place: str
) -> None:
    file = machine.home / "x" / "netrc"
    if place == "a folder":
        file.mkdir(parents=True)
    machine.environment["NETRC"] = str(file)
    ended = machine.run("login", "--netrc")
    assert ended.code in (2, 7)
    assert str(file) in ended.err
    assert "Nothing was changed" in ended.err


# ── without a person, and with variables ───────────────────────────────────────────────────────


@pytest.mark.parametrize("words", [("login",), ("login", "--netrc")])
def test_nobody_can_be_asked(
    machine: Machine, keyring: FakeKeyring, server: MiniPhysioNet, words: tuple[str, ...]
) -> None:
    ended = machine.run(*words)
    assert ended.code == 2
    assert "PHYSIONET_PASSWORD_FILE" in ended.err
    assert server.request_log.snapshot().requests == 0


def test_variables_come_first_and_that_is_said(
    machine: Machine, person: SimpleNamespace, keyring: FakeKeyring
) -> None:
    machine.environment["PHYSIONET_USERNAME"] = "demo"
    machine.environment["PHYSIONET_PASSWORD"] = "another"
    for words in (("login",), ("logout",)):
        done = machine.run(*words)
        assert done.code == 0
        assert "PHYSIONET_PASSWORD is set, and is used first" in done.out
    who = machine.run("whoami")
    assert who.code == 3
    assert who.out == f"demo: password from PHYSIONET_PASSWORD; {HOST} refuses it\n"


def test_verbose_says_whose_password_is_used_and_never_which(machine: Machine) -> None:
    said = machine.run("-v", "pull", "--jpg", "--only", "docs").err
    assert "signing in as demo, with the password from PHYSIONET_PASSWORD" in said
    assert "demo-password" not in said
    assert "signing in" not in machine.run("pull", "--jpg", "--only", "docs").err


def test_whoami_for_programs(machine: Machine, server: MiniPhysioNet) -> None:
    [found] = machine.run("whoami", "--json").events
    assert found == {
        "host": HOST, "user": "demo", "found_in": "PHYSIONET_PASSWORD", "accepted": True,
        "warnings": [], "exit_code": 0,
    }  # fmt: skip
    assert server.request_log.snapshot().password_checks == 1
    machine.environment["PHYSIONET_PASSWORD"] = "wrong"
    [found] = machine.run("whoami", "--json").events
    assert (found["accepted"], found["exit_code"]) == (False, 3)
    assert server.request_log.snapshot().password_checks == 2
    machine.environment.update(NOBODY)
    [found] = machine.run("whoami", "--json").events
    assert (found["user"], found["accepted"], found["exit_code"]) == (None, None, 3)


def test_whoami_needs_no_agreement(serve: Serve, make_machine: Callable[..., Machine]) -> None:
    machine: Machine = make_machine(serve(agreements=frozenset()))
    assert machine.run("whoami").code == 0
    agent = machine.run("whoami", "--user-agent", "Mozilla/5.0")
    assert agent.code == 4
    assert "could not be tried" in agent.out
    assert "user agent" in agent.err
    machine = make_machine(serve(active=False))
    assert machine.run("whoami").code == 3


@pytest.mark.parametrize("password", ["demo-password", "a-wrong-secret"])
def test_no_output_holds_a_secret(
    machine: Machine, person: SimpleNamespace, keyring: FakeKeyring, password: str
) -> None:
    person.password = password
    said = ""
    for words in (("login",), ("login", "--netrc"), ("access",), ("whoami",), ("logout",)):
        ended = machine.run("-v", "--debug", *words)
        said += ended.out + ended.err
    encoded = base64.b64encode(f"demo:{password}".encode()).decode()
    assert "demo" in said
    assert [each for each in (password, encoded, "sessionid=") if each in said] == []


# ── a real terminal ────────────────────────────────────────────────────────────────────────────


def test_at_a_terminal(machine: Machine) -> None:
    machine.environment.update(NOBODY)
    ours, theirs = pty.openpty()
    process = machine.start("login", "--netrc", stdin=theirs, stderr=theirs)
    said = b""
    for prompt, typed in (
        (b"User name for ", b"demo\n"),
        (b"Password of demo", b"demo-password\n"),
    ):
        while prompt not in said:
            said += os.read(ours, 1024)
        if prompt.startswith(b"Password"):  # what is typed before the echo is off is discarded
            wait_until(lambda: not termios.tcgetattr(theirs)[3] & termios.ECHO)
        os.write(ours, typed)
    out, _err = process.communicate(timeout=PATIENCE)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0
    assert f"{HOST} accepts the password of demo" in out
    assert b"demo-password" not in said
    assert netrc_of(machine).read_text().endswith("login demo password demo-password\n")
