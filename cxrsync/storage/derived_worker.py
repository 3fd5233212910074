"""A worker process that makes smaller copies: one task a line on its input, one result a line back.

It ends when its input ends, or its parent does, however that ends. Signals of a terminal or of a
batch system are for the parent, which decides what is finished.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict

from cxrsync.storage.derived_image import Derivation, Derived, Task, derive

FOR_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PARENT_SECONDS = 0.25


def main() -> None:
    """Work until the input ends."""
    for number in FOR_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)
    _end_with_parent(os.getppid())
    for line in sys.stdin:
        done = derive(Task(**json.loads(line)))
        sys.stdout.write(json.dumps({**asdict(done), "result": done.result.name}) + "\n")
        sys.stdout.flush()


def as_line(task: Task) -> str:
    """Return a task as a line of the input."""
    return json.dumps(asdict(task)) + "\n"


def parse_line(line: str) -> Derived:
    """Return the result in a line of the output. Raises ValueError, KeyError, TypeError."""
    fields = json.loads(line)
    return Derived(**{**fields, "result": Derivation[fields["result"]]})


def _end_with_parent(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
