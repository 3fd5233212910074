"""A run that is killed, or stopped for a while, before any of the calls that change the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

CALLS = (
    *("open", "mkdir", "rmdir", "rename", "replace", "link", "unlink"),
    *("write", "pwritev", "sendfile", "ftruncate", "fchmod", "chmod", "utime"),
    *("fsync", "fdatasync"),
)


class Killed(BaseException):
    """The process has ended here."""


@dataclass
class Steps:
    """The calls so far, each by its name and the last part of the path that it names."""

    taken: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.taken)


@contextmanager
def watched(before: Callable[[Steps], None]) -> Iterator[Steps]:
    """Call ``before`` before each call of ``os`` that changes the disk; not for its own calls."""
    steps = Steps()
    inside = False

    def watch(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **options: Any) -> Any:
            nonlocal inside
            if not inside:
                steps.taken.append(f"{name} {os.path.basename(str(words[0]))}")
                inside = True
                try:
                    before(steps)
                finally:
                    inside = False
            return real(*words, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, watch(name, getattr(os, name)))
        yield steps


@contextmanager
def killed_at(number: int) -> Iterator[Steps]:
    """A process that is killed before its call ``number``, counted from 0."""

    def before(steps: Steps) -> None:
        if steps.count > number:
            raise Killed  # and whatever tidies up does nothing any more

    with watched(before) as steps, suppress(Killed):
        yield steps


@contextmanager
def stopped_at(number: int, meanwhile: Callable[[], None]) -> Iterator[Steps]:
    """A process that is stopped before its call ``number``; it wakes up after ``meanwhile``."""

    def before(steps: Steps) -> None:
        if steps.count == number + 1:
            meanwhile()

    with watched(before) as steps:
        yield steps
