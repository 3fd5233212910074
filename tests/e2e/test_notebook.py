"""The Python interface in a notebook: a real kernel, run by nbclient and by jupyter_client."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import nbformat
import pytest
from e2e.stage import PATIENCE, Machine, image_requests, wait_until
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from cxrsync.demo.server.server import MiniPhysioNet

# Slow enough for a bar, which the first second of a call does not have: by two connections.
RATE = 50_000
FIRST = """\
import cxrsync
cxrsync.pull(jpg=True, shard="p10", connections=2, progress=True)"""
MISTYPED = 'cxrsync.pull(jpg=True, shards="p10")'
NOBODY_TO_ASK = """\
import os
password = os.environ.pop("PHYSIONET_PASSWORD")
cxrsync.pull(jpg=True, shard="p11")"""
TO_BE_STOPPED = """\
os.environ["PHYSIONET_PASSWORD"] = password
cxrsync.pull(jpg=True, shard="p12-p19", progress=True)"""
IN_ITS_LOOP = 'await cxrsync.apull(jpg=True, shard="p12", limit=1)'


@pytest.fixture
def slow_server(serve: Callable[..., MiniPhysioNet]) -> MiniPhysioNet:
    return serve(rate=RATE)


@pytest.fixture
def slow(slow_server: MiniPhysioNet, make_machine: Callable[..., Machine]) -> Machine:
    return make_machine(slow_server)


def environment(machine: Machine) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if name.startswith("SSL_CERT")}
    usual = {"IPYTHONDIR": str(machine.home), "PYTHONWARNINGS": "default"}
    return {**known, **machine.variables(), **usual, "XDG_CACHE_HOME": os.devnull}


def outputs(cell: Any, kind: str) -> list[Any]:
    return [each for each in cell.outputs if each.output_type == kind]


def printed(cell: Any, name: str = "stdout") -> str:
    return "".join(each.text for each in outputs(cell, "stream") if each.name == name)


def test_a_notebook(slow: Machine, slow_server: MiniPhysioNet) -> None:
    """Run all: right, mistyped, without a password, stopped, and again."""
    cells = [FIRST, MISTYPED, NOBODY_TO_ASK, TO_BE_STOPPED, IN_ITS_LOOP]
    notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, cells)])

    def stop(cell: Any, cell_index: int) -> None:
        if cell.source != TO_BE_STOPPED:
            return
        before = image_requests(slow_server)

        def interrupt() -> None:
            wait_until(lambda: image_requests(slow_server) > before)
            os.kill(client.km.provisioner.pid, 2)

        threading.Thread(target=interrupt).start()

    client = NotebookClient(
        notebook, timeout=PATIENCE, kernel_name="python3", allow_errors=True, on_cell_execute=stop
    )
    client.execute(env=environment(slow))
    first, mistyped, nobody, stopped, again = notebook.cells

    [result] = outputs(first, "execute_result")
    assert "complete and verified" in result.data["text/html"]
    assert "complete and verified" in result.data["text/plain"]
    assert "must not be shared" in printed(first)
    assert "complete and verified: " in printed(first)
    widgets = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    states = [each["state"] for each in widgets.values()]
    bars = [each for each in states if "bar_style" in each]
    assert [each["bar_style"] for each in bars][:1] == ["success"]
    assert bars[0]["value"] == bars[0]["max"]
    texts = [str(each.get("value")).replace("\u2007", " ") for each in states]
    assert any(each.startswith("100 %, ") for each in texts)

    said = [(each.ename, each.evalue) for cell in (mistyped, nobody, stopped)
            for each in outputs(cell, "error")]  # fmt: skip
    assert said[0] == ("UsageError", "pull() has no keyword shards\nDid you mean shard=?")
    assert said[1][0] == "CredentialsRefused"
    assert "`cxrsync login`" in said[1][1]
    assert said[2][0] == "KeyboardInterrupt"
    assert said[2][1].startswith("stopped as asked; the state is saved. Make the same call again")
    assert outputs(again, "execute_result"), outputs(again, "error")
    for cell in notebook.cells:
        assert printed(cell, "stderr") == ""
        for each in outputs(cell, "error"):  # ours alone: no frame of what is inside
            assert len(each.traceback) <= 8
    assert "p10000" not in json.dumps(notebook)


class Person:
    """Sits at a frontend, and answers."""

    def __init__(self, client: Any, *answers: str) -> None:
        self._client = client
        self._answers = list(answers)
        self.asked: list[tuple[str, bool]] = []
        self.seen: list[Any] = []

    def run(self, code: str) -> Any:
        """Run a cell; return the kernel's reply."""
        return self._client.execute_interactive(
            code, allow_stdin=True, stdin_hook=self._answer, output_hook=self._see, timeout=PATIENCE
        )["content"]

    def _answer(self, message: Any) -> None:
        self.asked.append((message["content"]["prompt"], message["content"]["password"]))
        self._client.input(self._answers.pop(0))

    def _see(self, message: Any) -> None:
        self.seen.append(message["content"])


@pytest.fixture
def kernel(machine: Machine) -> Iterator[Any]:
    machine.environment |= dict.fromkeys(("PHYSIONET_USERNAME", "PHYSIONET_PASSWORD"))
    manager, client = start_new_kernel(kernel_name="python3", env=environment(machine))
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_person_is_asked(kernel: Any, server: MiniPhysioNet) -> None:
    """Below the cell; once, although the password is wrong; and never by apull."""
    person = Person(kernel, "demo", "a wrong one", "demo", "demo-password")
    silent = person.run("import cxrsync; await cxrsync.apull(jpg=True, shard='p10')")
    assert (silent["ename"], person.asked) == ("CredentialsRefused", [])
    refused = person.run("cxrsync.pull(jpg=True, shard='p10')")
    assert refused["ename"] == "CredentialsRefused"
    question = ("Password of demo for 127.0.0.1: ", True)
    assert person.asked == [("User name for 127.0.0.1: ", False), question]
    assert person.run("report = cxrsync.pull(jpg=True, shard='p10'); report")["status"] == "ok"
    assert len(person.asked) == 4
    assert "complete and verified" in str(person.seen)
    assert "wrong" not in str(person.seen[2:])
    assert "demo-password" not in str(person.seen)
