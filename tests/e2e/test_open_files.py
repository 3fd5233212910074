"""``ulimit -n``: raised as far as a run needs, or obeyed; never found out in the middle."""

import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from e2e.scripted import SLUG, VERSION, ScriptedServer, differences, noise
from e2e.stage import Ended, Machine

# Publication lags behind, as on a disk that is busy: what waits for it holds a file open each.
SLOW_DISK = """
import os, time
real = os.fsync
def slow(fd):
    time.sleep(0.01)
    real(fd)
os.fsync = slow
"""
FILES = {f"files/p10/p1/s1/{number:04}.jpg": noise(str(number), 2_000) for number in range(160)}
Limit = tuple[int, int]


@pytest.fixture
def pull_within(tmp_path: Path) -> Callable[[Limit], Ended]:
    """Pulls with 32 connections, in a process with a soft and a hard limit of open files."""

    def pull(limit: Limit) -> Ended:
        (tmp_path / "sitecustomize.py").write_text(SLOW_DISK)
        with ScriptedServer(dict(FILES)) as server:
            trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
            machine = Machine(tmp_path, tmp_path / "mirror", server.base_url, tmp_path / "ca.pem")
            machine.environment = {"PYTHONPATH": str(tmp_path)}
            process = machine.start(
                "pull", "--json", "--progress", "none", "--connections", "32",
                "--dataset", SLUG, "--dataset-version", VERSION,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
            )  # fmt: skip
            out, err = process.communicate(timeout=60)
        return Ended(process.returncode, out, err)

    return pull


@pytest.mark.parametrize("limit", [(256, 2048), (256, 256), (128, 128), (48, 48)])
def test_a_pull_within_a_limit(
    pull_within: Callable[[Limit], Ended], limit: Limit, tmp_path: Path
) -> None:
    ended = pull_within(limit)
    assert ended.code == 0, ended.out[-2_000:] + ended.err
    assert differences(tmp_path / "mirror", FILES) == []
    assert "Too many open files" not in ended.out
    connections = ended.event("start")["connections"]
    assert (connections == 32) or limit[1] < 2048
    assert (connections < 16) or limit[1] > 128
    notices = [each["text"] for each in ended.events if each["event"] == "notice"]
    told = f"at most {limit[1]} files may be open at a time (ulimit -n): {connections} of 32"
    assert any(told in text for text in notices) == (connections < 32)
