"""The worker processes that make smaller copies: how they begin, and what a signal does to them."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from cxrsync.errors import DiskError
from cxrsync.storage import derivation_pool
from cxrsync.storage.derivation_pool import DerivationPool
from cxrsync.storage.derived_image import Derivation, Task


def task(tmp_path: Path) -> Task:
    return Task("x.jpg", "a" * 64, f"{tmp_path}/x.jpg", f"{tmp_path}/c.jpg", str(tmp_path), 32)


def test_ctrl_c_before_a_worker_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal sends it to all processes. The parent decides what it ends."""
    start = subprocess.Popen

    def start_and_signal(*words: object, **options: object) -> subprocess.Popen[str]:
        process = start(*words, **options)  # type: ignore[call-overload]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(process.pid, number)
        return process  # type: ignore[no-any-return]

    monkeypatch.setattr(derivation_pool.subprocess, "Popen", start_and_signal)
    with DerivationPool(1) as pool:
        assert pool.submit(task(tmp_path)).result().result is Derivation.UNREADABLE


def test_a_worker_that_cannot_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object, **_options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(derivation_pool.subprocess, "Popen", refuse)
    with DerivationPool(1) as pool, pytest.raises(DiskError, match="cannot start a worker"):
        pool.submit(task(tmp_path)).result()
