"""Without the extra ``demo``, the demo's server speaks http, and the demo says how to have TLS."""

import sys
from pathlib import Path

import pytest
from e2e.command_line import cxrsync

from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.demo.walkthrough import DemoSetup, make_trees

FILES = ("pull", "--jpg", "--only", "docs")


def environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PYTHONWARNINGS": "error"}


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)


@pytest.fixture
def setup(tmp_path: Path, without_extra: None) -> DemoSetup:
    make_trees(tmp_path / "files", 10)
    server = MiniPhysioNet(tmp_path / "files", ServerBehaviour(plain=True), certificates=tmp_path)
    return DemoSetup(tmp_path, server)


def test_files_are_fetched_with_one_password_check(setup: DemoSetup, tmp_path: Path) -> None:
    with setup.server:
        assert setup.server.base_url.startswith("http://127.0.0.1:")
        ended = cxrsync(FILES, {**environment(tmp_path), **setup.environment})
    assert (ended.code, setup.server.request_log.snapshot().password_checks) == (0, 1), ended.err
    assert "CXRSYNC_CA_FILE" not in setup.environment
    assert "ca_file" not in setup.job_file


@pytest.mark.parametrize("has_extra", [True, False])
def test_the_demo_says_how_to_have_tls(
    has_extra: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_extra:
        monkeypatch.setitem(sys.modules, "trustme", None)
    monkeypatch.setattr("cxrsync.demo.walkthrough.run_walkthrough", lambda _stage, _say: 0)
    words = ["demo", "--patients", "10", "--dir", str(tmp_path / "demo")]
    ended = cxrsync(words, environment(tmp_path))
    assert ended.code == 0, ended.err
    assert ("pip install '.[demo]'" in ended.out) != has_extra
    assert ("at https://127.0.0.1" in ended.out) == has_extra


def test_help_needs_no_extra(without_extra: None, tmp_path: Path) -> None:
    ended = cxrsync(["demo", "--help"], environment(tmp_path))
    assert (ended.code, ended.err) == (0, "")
