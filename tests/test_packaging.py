"""What is released agrees with itself: one version number, and forms that ask for no data."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import cxrsync

ROOT = Path(__file__).parent.parent
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"))
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
DATA = [
    "physionet.org/files/x", "a/p10000032/x.txt", "s50414267.txt", "x.dcm",
    "mimic-cxr-2.0.0-split.csv.gz",
]  # fmt: skip


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_version_is_the_same_everywhere() -> None:
    cited = yaml.safe_load(text("CITATION.cff"))
    newest = re.search(r"^## \[([0-9].*)\] - (.*)$", text("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert (cited["version"], str(cited["date-released"])) == newest.groups()
    assert cited["version"] == cxrsync.__version__


def test_the_sdist_has_everything_at_the_top() -> None:
    """Whoever adds a folder or a file there says whether it is packed."""
    project = tomllib.loads(text("pyproject.toml"))
    packed = {name[1:] for name in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]}
    assert packed <= {path.name for path in ROOT.iterdir()}
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    there = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    assert there - packed <= {"pyproject.toml", ".gitignore"}  # hatchling packs both


def test_every_python_is_told_and_tried() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    prefix = "Programming Language :: Python :: "
    told = [each.removeprefix(prefix) for each in project["classifiers"] if each.startswith(prefix)]
    assert [each for each in told if "." in each] == list(PYTHONS)
    assert project["requires-python"] == f">={PYTHONS[0]}"
    jobs = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]
    assert jobs["python"]["strategy"]["matrix"]["python"] == list(PYTHONS)
    assert "bash .ci/run" in [step.get("run") for step in jobs["run"]["steps"]]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_a_form_says_that_no_data_is_public_and_asks_for_a_yes(form: Path) -> None:
    body: list[dict[str, Any]] = yaml.safe_load(form.read_text("utf-8"))["body"]
    assert "no ids, no images, no report text" in body[0]["attributes"]["value"]
    [yes] = body[-1]["attributes"]["options"]
    assert "no ids, no images, no report text" in yes["label"]
    assert yes["required"]


def test_documents_and_requests_say_where_findings_in_the_data_go() -> None:
    for name in ("SECURITY.md", "CONTRIBUTING.md", "docs/report-a-problem.md"):
        assert "PHI-report@physionet.org" in text(name)
    assert "no ids of subjects" in text(".github/PULL_REQUEST_TEMPLATE.md")


@pytest.mark.parametrize("path", DATA)
def test_data_is_not_committed(path: str) -> None:
    hooks = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    [pattern] = [re.compile(each["files"]) for each in hooks if each["id"] == "no-data"]
    assert pattern.search(path)
    assert not pattern.search("tests/golden/p10.txt")


def test_windows_is_told_of_wsl(monkeypatch: pytest.MonkeyPatch) -> None:
    source = text("cxrsync/__init__.py")
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ImportError, match="WSL"):
        exec(compile(source, "cxrsync/__init__.py", "exec"), {"__name__": "cxrsync"})
