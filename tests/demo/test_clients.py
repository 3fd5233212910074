"""The miniature server with the programs that people use on the real site."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from demo.guest import AGENT, BIG, MTIME, TREE

from cxrsync.demo.server.server import MiniPhysioNet


def run(program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [program, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )


def test_wget_mirrors_a_version_with_one_password_check(
    server: MiniPhysioNet, tmp_path: Path
) -> None:
    arguments = [
        *("-r", "-N", "-c", "-np", "-nH", "--user", "demo", "--password", "demo-password"),
        *("--ca-certificate", str(server.ca_file), f"{server.base_url}/alpha/1.0/"),
    ]
    done = run("wget", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    fetched = tmp_path / "files/alpha/1.0"
    names = {str(p.relative_to(fetched)) for p in fetched.rglob("*") if p.is_file()}
    wanted = {k.removeprefix("alpha/1.0/") for k in TREE if k.startswith("alpha/1.0/")}
    assert {n for n in names if "index.html" not in n} == wanted - {".hidden"}
    for name in wanted - {".hidden"}:
        assert (fetched / name).read_bytes() == TREE[f"alpha/1.0/{name}"]
        assert (fetched / name).stat().st_mtime == MTIME
    assert server.request_log.password_checks == 1
    assert server.request_log.snapshot().by_path["alpha/1.0/big.bin"].bytes_sent == len(BIG)

    server.request_log.reset()
    run("wget", *arguments, cwd=tmp_path)
    assert server.request_log.statuses[304] == len(wanted) - 1


def test_curl_resumes_where_it_stopped(server: MiniPhysioNet, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(BIG[:1000])
    arguments = [
        *("--fail", "--silent", "--show-error", "--user", "demo:demo-password"),
        *("--cacert", str(server.ca_file), "--continue-at", "-", "--output", "big.bin"),
        f"{server.base_url}/alpha/1.0/big.bin",
    ]
    assert "403" in run("curl", *arguments, cwd=tmp_path).stderr
    done = run("curl", "--user-agent", AGENT, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "big.bin").read_bytes() == BIG
    assert server.request_log.log[-1].range == "bytes=1000-"
