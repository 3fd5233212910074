"""Completion: how a line is read, what is offered, and the shells themselves."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrsync.cli.complete import answered
from cxrsync.cli.main import cli, run
from cxrsync.cli.shells import SCRIPTS, Candidate, TypedLine, answer, read_line
from cxrsync.dataset.tree_identity import claim_tree
from cxrsync.storage.tree import Tree

# ── pure: the line, and the answer ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "words", "last", "quote"),
    [
        ("cxrsync ", ["cxrsync"], "", ""),
        ("cxrsync pu", ["cxrsync"], "pu", ""),
        ("cxrsync pull  --jpg ", ["cxrsync", "pull", "--jpg"], "", ""),
        ("cxrsync pull --label No\\ F", ["cxrsync", "pull", "--label"], "No F", ""),
        ('cxrsync pull --label "No F', ["cxrsync", "pull", "--label"], "No F", '"'),
        ("cxrsync pull --label 'No F", ["cxrsync", "pull", "--label"], "No F", "'"),
        ('cxrsync pull --label "No Finding=1" --s', ["cxrsync", "pull", "--label", "No Finding=1"],
         "--s", ""),
        ('cxrsync "" x', ["cxrsync", ""], "x", ""),
        ("cxrsync 'a\\b' c\\", ["cxrsync", "a\\b"], "c", ""),
        ("", [], "", ""),
    ],
)  # fmt: skip
def test_a_line_is_read_as_a_shell_reads_it(
    line: str, words: list[str], last: str, quote: str
) -> None:
    assert read_line(line) == TypedLine(tuple(words), last, quote)


@given(st.lists(st.text(st.characters(exclude_characters="\0"))))
def test_quoted_words_are_read_back(words: list[str]) -> None:
    assert read_line(shlex.join(words) + " ") == TypedLine(tuple(words), "", "")


LABEL = Candidate("plain", "No Finding=1", "a\tlabel\nof two lines")


@pytest.mark.parametrize(
    ("shell", "line", "found", "value"),
    [
        ("bash", "x --label No", LABEL, "No\\ Finding=1"),
        ("bash", 'x --label "No', LABEL, "No Finding=1"),
        ("bash", "x --label=No", LABEL, "No\\ Finding=1"),  # bash keeps what is before "="
        ("bash", "x --label No\\ Finding=", LABEL, "1"),
        ("bash", "x --label=No\\ Finding=", LABEL, "1"),
        ("bash", 'x --label "No Finding=', LABEL, "No Finding=1"),
        ("bash", "x --sh", Candidate("plain", "--shard"), "--shard"),
        ("zsh", "x --label=No", LABEL, "--label=No Finding=1"),
        ("fish", "x --label=No", LABEL, "--label=No Finding=1"),
        ("fish", "x --label No", LABEL, "No Finding=1"),
        ("zsh", "x --dest=/d", Candidate("dir", "/d"), "/d"),
    ],
)
def test_the_answer_replaces_what_the_shell_completes(
    shell: str, line: str, found: Candidate, value: str
) -> None:
    [told] = answer(shell, read_line(line), [found], {})
    assert told.split("\t") == [found.kind, value, " ".join(found.text.split())]


def test_bash_without_a_break_at_the_sign_completes_the_whole_word() -> None:
    typed = read_line("x --label Edema=")
    [told] = answer("bash", typed, [Candidate("plain", "Edema=1")], {"COMP_WORDBREAKS": " \t"})
    assert told.split("\t")[1] == "Edema=1"


# ── what is offered ────────────────────────────────────────────────────────────────────────────


def offered(line: str, shell: str = "fish") -> list[str]:
    """The values that are offered at the end of a line; ``<dir>`` and ``<file>`` for a path."""
    lines = answered(cli, {"_CXRSYNC_COMPLETE": shell, "COMP_LINE": line})
    parts = [line.split("\t") for line in lines]
    return [value if kind == "plain" else f"<{kind}>" for kind, value, _ in parts]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("cxrsync pu", "pull"),
        ("cxrsync log", "login logout"),
        ("cxrsync --ver", "--version --verbose"),
        ("CXRSYNC_DEST=/d cxrsync pu", "pull"),
        ("cxrsync pull --shar", "--shard"),
        ("cxrsync pull --help", "--help-all --help"),
        ("cxrsync pull --shard p1", " ".join(f"p1{n}" for n in range(10))),
        ("cxrsync pull --shard p10,p11,p19", "p10,p11,p19"),
        ("cxrsync pull --split t", "train test"),
        ("cxrsync pull --dicom --split v", "validate"),
        ("cxrsync pull --view L", "LATERAL LL LAO LPO"),
        ("cxrsync pull --view PA,LA", "PA,LATERAL PA,LAO"),
        ("cxrsync pull --label Edema=", "Edema=1 Edema=0 Edema=-1 Edema=blank"),
        ("cxrsync pull --labeler n", "negbio"),
        ("cxrsync pull --only im", "images"),
        ("cxrsync pull --sample-by s", "subject study"),
        ("cxrsync pull --dataset mimic-cxr", "mimic-cxr mimic-cxr-jpg"),
        ("cxrsync pull mimic-cxr-", "mimic-cxr-jpg"),
        ("cxrsync ls mimic-cxr/", "mimic-cxr/2.1.0 mimic-cxr/2.0.0"),
        ("cxrsync pull --jpg --dataset-version ", "2.1.0 2.0.0 latest"),
        ("cxrsync pull mimiciv --dataset-version 3", "3.1 3.0"),
        ("cxrsync diff --jpg 2.0.0 ", "2.1.0 2.0.0"),
        ("cxrsync access mimic-cxr-", "mimic-cxr-jpg"),
        ("cxrsync info mimici", "mimiciv mimiciii"),
        ("cxrsync head sp", "split"),
        ("cxrsync head --dicom cxr-p", "cxr-provider-list.csv.gz"),
        ("cxrsync pull --dest /d", "<dir>"),
        ("cxrsync pull --from /d", "<dir>"),
        ("cxrsync pull --from s", "s3 <dir>"),
        ("cxrsync pull --split-table /d", "<file>"),
        ("cxrsync pull --subject @i", "<file>"),
        ("cxrsync mirror jo", "<file>"),
        ("cxrsync mirror --print s", "systemd"),
        ("cxrsync verify --progress n", "none"),
        ("cxrsync help ex", "exit-codes"),
        ("cxrsync completion z", "zsh"),
        ("cxrsync pull --shard=p19", "--shard=p19"),
        # An option that is wrong does not matter to the next one.
        ("cxrsync pull --xyzzy --shar", "--shard"),
        ("cxrsync pul --shar", ""),
        ("cxrsync pull --subject 10", ""),
        ("cxrsync pull --limit ", ""),
        ("", ""),
    ],
)
def test_what_is_offered(line: str, values: str, tmp_path: Path) -> None:
    os.chdir(tmp_path)  # the default destination is below it
    assert offered(line) == values.split()


@pytest.fixture(autouse=True)
def _same_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_versions_in_the_destination_come_first(tmp_path: Path) -> None:
    for version in ("2.0.0", "9.9.9"):
        tree = Tree(tmp_path / "here" / "mimic-cxr-jpg" / version)
        claim_tree(tree, "mimic-cxr-jpg", version)
    line = f"cxrsync pull --jpg --dest {tmp_path}/here --dataset-version "
    assert offered(line) == ["9.9.9", "2.0.0", "2.1.0", "latest"]
    assert offered(f"cxrsync diff --dest {tmp_path}/here --jpg 9") == ["9.9.9"]


def test_the_jobs_of_the_file_are_offered(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.yaml"
    jobs.write_text("jobs: [{name: nightly, dataset: mimic-cxr, dataset_version: '2.1.0'}]\n")
    assert offered("cxrsync mirror jobs.yaml --job n") == ["nightly"]
    jobs.write_text("jobs: [")
    assert offered("cxrsync mirror jobs.yaml --job n") == []


def test_an_error_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXRSYNC_DATASETS", "/nowhere/datasets.yaml")
    assert offered("cxrsync pull --label Ed") == []
    assert offered("cxrsync pull --shar") == ["--shard"]
    assert offered("cxrsync pu", shell="tcsh") == []


def test_a_list_of_commands_imports_none_of_them() -> None:
    code = (
        "import sys; from cxrsync.cli.complete import answered; from cxrsync.cli.main import cli; "
        "answered(cli); print([each for each in ('aiohttp', 'yaml', 'cxrsync.cli.pull') "
        "if each in sys.modules])"
    )
    environment = {**os.environ, "_CXRSYNC_COMPLETE": "bash", "COMP_LINE": "cxrsync "}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# ── the command ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("words", ["bash", "zsh", "fish", "/usr/bin/zsh", "BASH"])
def test_the_script_of_a_shell(capsys: pytest.CaptureFixture[str], words: str) -> None:
    assert run(["completion", words]) == 0
    assert capsys.readouterr().out == SCRIPTS[words.rpartition("/")[2].lower()]


@pytest.mark.parametrize("words", [[], ["tcsh"]])
def test_another_shell(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run(["completion", *words]) == 2
    assert "cxrsync completion bash or zsh or fish" in capsys.readouterr().err


# ── the shells ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with a command ``cxrsync``, for PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    file = folder / "cxrsync"
    file.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cxrsync "$@"\n')
    file.chmod(0o755)
    return folder


def shell_says(program: Path, *command: str) -> list[str]:
    environment = {**os.environ, "PATH": f"{program}:{os.environ['PATH']}", "HOME": str(program)}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


# The function as bash calls it: the command, the word at the cursor, and the line.
DRIVE_BASH = r"""
eval "$(cxrsync completion bash)"
try() {
    COMP_LINE=$1 COMP_POINT=${#1} COMPREPLY=()
    _cxrsync_completion cxrsync "$2" 2>/dev/null
    (IFS='|'; echo "${COMPREPLY[*]}")
}
complete -p cxrsync
"""


def test_bash(program: Path, tmp_path: Path) -> None:
    (tmp_path / "my ids.txt").touch()
    lines = (
        "try 'cxrsync pu' pu",
        r"try 'cxrsync pull --label No\ Finding=' ''",
        "try 'cxrsync pull --label \"No F' 'No F'",
        "try 'cxrsync pull --subject @my' @my",
        "try 'cxrsync pull --shard p10 --only t --shard p19' 'p19'",
    )
    said = shell_says(program, "bash", "--noprofile", "--norc", "-c", DRIVE_BASH + "\n".join(lines))
    assert re.fullmatch("complete.* -F _cxrsync_completion cxrsync", said[0])
    assert said[1:] == [
        "pull",
        "1|0|-1|blank",
        "No Finding=1|No Finding=0|No Finding=-1|No Finding=blank",
        r"@my\ ids.txt",
        "p19",
    ]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish(program: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").touch()
    script = "cxrsync completion fish | source\n" + "\n".join(
        f"complete -C '{line}'"
        for line in ("cxrsync pul", "cxrsync pull --split=v", "cxrsync pull --subject @id")
    )
    said = shell_says(program, "fish", "--no-config", "-c", script)
    assert [line.split("\t")[0] for line in said] == ["pull", "--split=validate", "@ids.txt"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh(program: Path) -> None:
    """The function alone: zsh completes on a terminal only, so compadd says what it was given."""
    script = """
        compdef() { print -r -- "$@" }; compadd() { print -rl -- $values }; compset() { }
        eval "$(cxrsync completion zsh)"
        words=(cxrsync pull --label 'No\\ F'); CURRENT=4; _cxrsync
        words=(cxrsync pull --split=v); CURRENT=3; _cxrsync
    """
    said = shell_says(program, "zsh", "-f", "-c", script)
    labels = [f"No Finding={value}" for value in ("1", "0", "-1", "blank")]
    assert said == ["_cxrsync cxrsync", *labels, "--split=validate"]
