"""What --debug shows goes to public issues: it names no subject, study or image."""

import re

import pytest
from e2e.command_line import Ended
from e2e.stage import PATIENCE, Machine
from e2e.terminal import Terminal, watch

ID = re.compile(r"[ps][0-9]{8}|[0-9a-f]{8}-[0-9a-f]{8}")
NOTE = 'note: "…" stands for ids'
PULL = ("pull", "--jpg", "--only", "images", "--no-tables", "--limit", "2")
UNKNOWN = ("pull", "--jpg", "--study", "59999999")


def test_debug_hides_ids_and_says_so_once(machine: Machine) -> None:
    pulled = machine.run("-v", "--debug", *PULL)
    assert pulled.code == 0
    assert not ID.search(pulled.err)
    assert "files/p10/…/…/….jpg" in pulled.err
    assert pulled.err.count(NOTE) == 1


@pytest.mark.parametrize("words", [("--debug-ids",), ("--debug", "--debug-ids"), ()])
def test_ids_are_there_for_whoever_asks(machine: Machine, words: tuple[str, ...]) -> None:
    pulled = machine.run("-v", *words, *PULL)
    assert ID.search(pulled.err)
    assert NOTE not in pulled.err


def test_the_traceback_of_an_error_hides_them(machine: Machine) -> None:
    def lines(ended: Ended) -> str:
        assert ended.code == 2
        assert "Traceback" in ended.err
        return ended.err

    assert "59999999" not in lines(machine.run("--debug", *UNKNOWN))
    assert "59999999" in lines(machine.run("--debug-ids", *UNKNOWN))


def test_programs_get_ids_and_a_terminal_does_not(machine: Machine) -> None:
    words = ["--debug", "ls", "--jpg", "--only", "images", "--limit", "2"]
    assert len(ID.findall(machine.run(*words).out)) >= 2
    terminal = Terminal(words, machine.variables())
    try:
        watch(terminal, seconds=PATIENCE)
    finally:
        terminal.close()
    assert "files/p10/…/…/….jpg" in terminal.text
    assert not ID.search(terminal.text)


def test_a_log_file_stays_here_and_has_them(machine: Machine) -> None:
    log = machine.home / "pull.log"
    machine.run("-v", "--debug", *PULL, "--log-file", str(log))
    assert ID.search(log.read_text("utf-8"))
    assert log.stat().st_mode & 0o777 == 0o600
