"""Unknown options, and variables of the wrong type: the message says what to write."""

import pytest

from cxrsync.cli.main import run, wants_tracebacks
from cxrsync.errors import ExitCode


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(list(arguments)) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ("pull --user-name alice", "no such option: --user-name\nDid you mean --user?"),
        ("pull --output x", "Did you mean --dest?"),
        ("pull -o x", "Did you mean --dest?"),
        ("pull --subset test", "Did you mean --split?"),
        ("verify --threads 3", "Did you mean --connections?"),
        ("pull --shrad p10", "Did you mean --shard?"),
        ("pull --version 2.1.0", "Did you mean --dataset-version?"),
        ("ls --threads 3", "--connections is an option of other commands. `cxrsync ls --help`"),
        ("status --retries 3", "--retries is an option of other commands."),
        ("pull -v", "Write it before the command: cxrsync --verbose pull"),
        ("pull --debug", "Write it before the command: cxrsync --debug pull"),
        ("--jpg pull", "Write it after the command: cxrsync pull --jpg"),
        ("pull --continue", "every run resumes where the last one stopped"),
        ("pull -c", "every run resumes where the last one stopped"),
        ("pull --recursive", "without a selection the whole version is pulled"),
        ("pull --checksum", "every file is verified before it gets its final name"),
        ("pull --password secret", "PHYSIONET_PASSWORD_FILE"),
        ("pull --ask-password", "or use ~/.netrc"),
        ("demo --patient 30", "Did you mean --patients"),
        ("pull --xyzzy", "`cxrsync pull --help` lists the options."),
    ],
)
def test_the_message_names_the_option(
    capsys: pytest.CaptureFixture[str], words: str, step: str
) -> None:
    assert step in said(capsys, *words.split())


def test_a_password_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert "s3cret" not in said(capsys, "pull", "--password=s3cret")


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("CXRSYNC_RETRIES", "many", "CXRSYNC_RETRIES 'many' is not a whole number"),
        ("CXRSYNC_MAX_FILES", "2.5", "CXRSYNC_MAX_FILES '2.5' is not a whole number"),
        ("CXRSYNC_FORCE", "maybe", "CXRSYNC_FORCE 'maybe' is not true or false"),
        ("CXRSYNC_WAIT_LOCK", "1:30", "CXRSYNC_WAIT_LOCK '1:30' is not a duration"),
        ("CXRSYNC_PROGRESS", "baar", "CXRSYNC_PROGRESS 'baar' is not auto, bar, log or none"),
        ("CXRSYNC_DEBUG", "maybe", "CXRSYNC_DEBUG 'maybe' is not true or false"),
    ],
)
def test_a_variable_of_the_wrong_type(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    text: str,
    words: str,
) -> None:
    monkeypatch.setenv(variable, text)
    assert words in said(capsys, "pull", "--jpg")


def test_an_option_without_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert "requires an argument" in said(capsys, "pull", "--jpg", "--shard")
    # After an option that takes a value, -1 is its value.
    assert "--retries -1 is not a whole number" in said(capsys, "pull", "--jpg", "--retries", "-1")


@pytest.mark.parametrize(
    ("text", "wanted"), [("1", True), ("yes", True), ("0", False), ("maybe", False), ("", False)]
)
def test_the_variable_for_tracebacks(
    monkeypatch: pytest.MonkeyPatch, text: str, wanted: bool
) -> None:
    monkeypatch.setenv("CXRSYNC_DEBUG", text)
    assert wants_tracebacks(["pull"]) is wanted
    assert wants_tracebacks(["--debug", "pull"])


def test_the_variable_prints_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXRSYNC_DEBUG", "1")
    assert "Traceback" in said(capsys, "pull", "--jpg", "--sample", "0")
