"""Processes that begin with everything imported: forked from one that has done so.

Such a process is one of its own in all that a test can see of it: its id, signals, standard
streams, working folder, environment, exit code, and what its interpreter does at the end. It only
does not pay half a second for the beginning of an interpreter.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from e2e import beats

_PR_SET_CHILD_SUBREAPER = 36
_MAX_ORDER = 1 << 20
# What an interpreter, or the loader, reads before the first line of Python.
_OF_THE_START = ("PYTHON", "LD_", "LANG", "LC_", "MALLOC")
_WARNINGS = {"PYTHONWARNINGS": "error"}


def is_usual(environment: Mapping[str, str]) -> bool:
    """Whether all interpreters that the tests start, their own too, began with such variables."""
    of_the_start = {
        name: value for name, value in environment.items() if name.startswith(_OF_THE_START)
    }
    return of_the_start == _WARNINGS


def can_fork(environment: Mapping[str, str], options: Mapping[str, Any]) -> bool:
    """Whether a process that is forked would be as one that is started."""
    is_known = options.keys() <= {"cwd", "stdin", "stdout", "stderr", "text"}
    return sys.platform == "linux" and is_usual(environment) and is_known


class ForkedProcess(subprocess.Popen[str]):
    """``cxrsync words``, with its standard streams as :class:`subprocess.Popen` makes them.

    ``through``: what changes the rights of a process, and then runs another program. ``closed``:
    the standard streams that it begins without, as after ``>&-``.
    """

    def __init__(
        self,
        words: list[str],
        *,
        through: tuple[str, ...] = (),
        closed: Sequence[int] = (),
        **options: Any,
    ) -> None:
        self._through, self._closed = through, closed
        super().__init__(words, **options)

    def _execute_child(self, args: Any, *others: Any) -> None:
        names = ("executable", "preexec_fn", "close_fds", "pass_fds", "cwd", "env")
        names += ("startupinfo", "creationflags", "shell")
        told = dict(zip(names, others, strict=False))
        ours = others[len(names) : len(names) + 6]  # of each stream: the child's end, and this one
        stdin, _, _, stdout, _, stderr = ours
        order = {
            "words": args, "cwd": told["cwd"] or os.getcwd(), "environment": told["env"],
            "closed": self._closed,
        }  # fmt: skip
        nursery = _nursery(self._through)
        socket.send_fds(
            nursery, [json.dumps(order, default=os.fspath).encode()], [stdin, stdout, stderr]
        )
        self.pid = int(nursery.recv(_MAX_ORDER))
        self._child_created = True
        self._close_pipe_fds(*ours)  # type: ignore[attr-defined]


@cache
def _nursery(through: tuple[str, ...]) -> socket.socket:
    """The process that forks, one of each kind for each process of tests. It ends with this
    socket."""
    # A process whose parent has ended becomes a child of this one, which can wait for it.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [*through, sys.executable, "-m", "e2e.forked", str(there.fileno())],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parent.parent)}
        | _WARNINGS,
        pass_fds=[there.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    there.close()

    def end() -> None:
        here.close()
        process.wait()

    atexit.register(end)
    return here


# ── in the child ───────────────────────────────────────────────────────────────────────────────


def import_everything() -> None:
    """Import every module of cxrsync, and what these import at their top."""
    import cxrsync

    for module in pkgutil.walk_packages(cxrsync.__path__, "cxrsync."):
        if not module.name.startswith(("cxrsync.demo", "cxrsync.__main__", "cxrsync.cli.demo")):
            import_module(module.name)


def _next_order(orders: socket.socket) -> dict[str, Any] | None:
    """Fork for each order, and return in the process that is to carry it out; None at the end."""
    while True:
        text, streams, _, _ = socket.recv_fds(orders, _MAX_ORDER, 3)
        if not text:
            return None
        answer, tell = os.pipe()
        between = os.fork()
        if not between:
            process = os.fork()
            if process:
                os.write(tell, b"%d" % process)
                os._exit(0)
            for number in (answer, tell):
                os.close(number)
            orders.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            return dict(json.loads(text))
        os.waitpid(between, 0)  # from now on the process is the tests' child
        orders.send(os.read(answer, 32))
        for number in (answer, tell, *streams):
            os.close(number)


def _begin(order: Mapping[str, Any]) -> None:
    """Be what an interpreter is that was started so. (Its streams stay: they write to 0, 1, 2.)"""
    os.chdir(order["cwd"])
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    os.environ.clear()
    os.environ.update(order["environment"])
    beats.begin(order["environment"])
    for number in order["closed"]:
        os.close(number)
        name = ("stdin", "stdout", "stderr")[number]
        setattr(sys, name, None)  # as an interpreter begins that finds it closed
        setattr(sys, f"__{name}__", None)
    words: Sequence[str] = order["words"]
    sys.argv = ["cxrsync", *words]


def _main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        import_everything()
        gc.freeze()  # what all share is neither gone through nor copied at the end of each
        order = _next_order(orders)
    if order is not None:
        from cxrsync.cli.main import entry

        _begin(order)
        entry()


if __name__ == "__main__":
    _main()
