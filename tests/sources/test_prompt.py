"""A person at a terminal: asked for what is not known, and free to leave."""

import getpass
import io
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import CredentialsRefused
from cxrsync.sources.credentials import Credentials, find
from cxrsync.sources.prompt import TerminalPrompt

HOST = "physionet.org"
NO_HOME = {"HOME": "/nonexistent"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> TerminalPrompt:
    """No fixture: between set-up and test pytest puts streams of its own in place."""
    monkeypatch.setattr(termios, "tcgetattr", lambda _stream: [0])
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(sys, "stdin", Terminal("me\n"))
    monkeypatch.setattr(getpass, "getpass", lambda prompt, stream: "hush")
    return TerminalPrompt()


def test_a_person_is_asked_for_what_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = at_a_terminal(monkeypatch)
    assert find(HOST, None, NO_HOME, ask) == Credentials("me", "hush", "the terminal")
    assert isinstance(sys.stderr, Terminal)
    assert HOST in sys.stderr.getvalue()
    assert find(HOST, "she", NO_HOME, ask).username == "she"


def test_an_empty_name_is_no_name_and_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = at_a_terminal(monkeypatch)
    assert find(HOST, None, {"PHYSIONET_USERNAME": ""}, ask).username == "me"


def test_a_person_who_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = at_a_terminal(monkeypatch)

    def end_of_file(prompt: str, stream: object) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", end_of_file)
    assert ask(HOST, "me") is None
    assert isinstance(sys.stderr, Terminal)
    assert sys.stderr.getvalue() == "\n"  # what comes next is not written behind the question
    monkeypatch.setattr(getpass, "getpass", lambda prompt, stream: "")
    assert ask(HOST, "me") is None
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    assert ask(HOST, None) is None
    assert sys.stderr.getvalue().endswith(": \n")


@pytest.mark.parametrize("answer", ["\n", ""])
def test_an_empty_answer_is_no_missing_terminal(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = at_a_terminal(monkeypatch)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    with pytest.raises(CredentialsRefused, match="an answer was empty") as raised:
        find(HOST, None, NO_HOME, ask)
    assert "Run the same command again and type them" in raised.value.next_step
    assert "on a terminal" not in raised.value.next_step


def test_what_may_be_asked_for_is_not_said_to_be() -> None:
    with pytest.raises(CredentialsRefused, match="would have no password: none were found"):
        find(HOST, None, NO_HOME, is_required=False)


def test_nobody_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("me\nhush\n"))
    assert TerminalPrompt()(HOST, None) is None


def test_there_is_nothing_to_abandon_unless_a_question_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = at_a_terminal(monkeypatch)
    assert not ask.abandon()
    assert ask(HOST, "me") is not None
    assert not ask.abandon()


@pytest.mark.parametrize("user", [(), ("--user", "demo")], ids=["name", "password"])
def test_one_interrupt_ends_the_question_and_gives_the_echo_back(
    tmp_path: Path, user: tuple[str, ...]
) -> None:
    root = tmp_path / "files"
    (root / "d/1.0").mkdir(parents=True)
    (root / "d/1.0/SHA256SUMS.txt").write_text(f"{'0' * 64} x\n")
    (root / ".cxrsync-demo").touch()
    ours, theirs = pty.openpty()
    with MiniPhysioNet(root) as server:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cxrsync", "pull", "--dataset", "d"),
                *("--dataset-version", "1.0", "--dest", f"{tmp_path}/mirror", *user),
                *("--base-url", server.base_url, "--ca-file", str(server.ca_file)),
            ],
            stdin=theirs,
            stderr=theirs,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )
        said = b""
        while b" for 127.0.0.1:" not in said:
            said += os.read(ours, 1000)
        if user:  # getpass turns the echo off right after it has asked
            while termios.tcgetattr(theirs)[3] & termios.ECHO and process.poll() is None:
                time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert termios.tcgetattr(theirs)[3] & termios.ECHO
    os.close(ours)
    os.close(theirs)
