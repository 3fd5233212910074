"""Be another user of the machine for a while, in this process. Needs root."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module

import pytest
from e2e.forked import import_everything


@cache
def _import_first() -> None:
    """Import what a command may import late: another user may not read this interpreter's files."""
    import_everything()
    import_module("_strptime")  # which datetime imports with the first date that it reads
    for name in ("idna", "ascii", "latin-1", "utf-8-sig", "punycode"):
        codecs.lookup(name)


@contextmanager
def as_user(uid: int, gid: int, *groups: int) -> Iterator[None]:
    """Have the rights of a user with these groups. Skips the test where this user is not root.

    The effective ids of all threads change, and those of the file system with them.
    """
    if os.geteuid():
        pytest.skip("only root can be another user")
    _import_first()
    before = os.getgroups(), os.getegid()
    os.setgroups(list(groups))
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(before[1])
        os.setgroups(before[0])
