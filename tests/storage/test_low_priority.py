"""A thread with low priority; the others keep theirs, and a sandbox may forbid it."""

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Never

import pytest

from cxrsync.storage.low_priority import lower_thread_priority


def in_new_thread(call: Callable[[], int]) -> int:
    with ThreadPoolExecutor(1, initializer=lower_thread_priority) as pool:
        return pool.submit(call).result()


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_only_the_thread_itself_has_low_priority() -> None:
    before = priority()
    assert in_new_thread(priority) == 19
    assert priority() == before


def test_where_it_is_forbidden_the_thread_works_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_args: object) -> Never:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert in_new_thread(lambda: 7) == 7
