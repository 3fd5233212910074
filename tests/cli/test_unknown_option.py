"""Unknown options and commands, and variables of the wrong type: the message says what to write."""

from pathlib import Path
from typing import Any

import click
import pytest

from cxrsync.cli.main import Verbosity, run, wants_tracebacks
from cxrsync.cli.pull import pull
from cxrsync.cli.status import status
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
        ("ls --threads 3", "--connections is an option of other commands. `cxrsync ls --help-all`"),
        ("status --retries 3", "--retries is an option of other commands."),
        ("pull -jpg", "no such option: -jpg\nWrite --jpg, with two hyphens."),
        ("pull -dicom --shard p10", "no such option: -dicom\nWrite --dicom, with two hyphens."),
        ("pull -dataset=x", "Write --dataset, with two hyphens."),
        ("pull –jpg", "no such option: –jpg\nWrite --jpg, with two hyphens."),
        ("pull —shard=p10", "Write --shard, with two hyphens."),
        ("demo -serve", "Write --serve, with two hyphens."),
        ("--jpg pull", "Write it after the command: cxrsync pull --jpg"),
        ("pull --continue", "every run resumes where the last one stopped"),
        ("pull -c", "every run resumes where the last one stopped"),
        ("pull --recursive", "without a selection the whole version is pulled"),
        ("pull --checksum", "every file is verified before it gets its final name"),
        ("pull --password secret", "PHYSIONET_PASSWORD_FILE"),
        ("pull --ask-password", "or use ~/.netrc"),
        ("demo --patient 30", "Did you mean --patients"),
        ("pull --hlep", "Did you mean --help?"),
        ("--vresion", "Did you mean --version?"),
        ("pull --xyzzy", "`cxrsync pull --help-all` lists the options."),
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


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("head", "cxrsync: head needs TABLE\nFor example: cxrsync head split, or"),
        ("diff", "cxrsync: diff needs V1\nFor example: cxrsync diff --jpg 2.0.0 2.1.0."),
        ("diff 2.0.0", "cxrsync: diff needs V2\n"),
        ("mirror a.yaml s3cret", "cxrsync: mirror takes FILE, and nothing else\n"),
        ("demo s3cret", "cxrsync: demo takes no argument, and nothing else\n"),
        ("pull --jpg --shard", "--shard requires an argument\nWrite --shard P10. `cxrsync pull"),
        ("pull --jpg=s3cret", "cxrsync: --jpg takes no value\nWrite --jpg alone."),
        ("head split -n", "-n requires an argument\nWrite -n N."),
    ],
)
def test_too_few_words_and_too_many(
    capsys: pytest.CaptureFixture[str], words: str, says: str
) -> None:
    said_words = said(capsys, *words.split())
    assert says in said_words
    assert "s3cret" not in said_words


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
    assert wants_tracebacks(["pull", "--debug-ids"])


def test_the_variable_prints_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXRSYNC_DEBUG", "1")
    assert "Traceback" in said(capsys, "pull", "--jpg", "--sample", "0")


# ── commands ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ("pul --jpg", "no such command: pul\nDid you mean cxrsync pull?"),
        ("PULL", "Did you mean cxrsync pull?"),
        ("download --jpg", "Did you mean cxrsync pull?"),
        ("sync", "Did you mean cxrsync pull?"),
        ("list", "Did you mean cxrsync ls?"),
        ("columns", "Did you mean cxrsync head?"),
        ("about", "Did you mean cxrsync info?"),
        ("haed", "Did you mean cxrsync head?"),
        ("verfiy", "Did you mean cxrsync verify?"),
        ("repair", "Did you mean cxrsync verify --repair?"),
        ("estimate", "Did you mean cxrsync pull --dry-run?"),
        ("mimic-cxr-jpg", "Did you mean cxrsync pull mimic-cxr-jpg?"),
        ("MIMIC-CXR/2.1.0", "Did you mean cxrsync pull MIMIC-CXR/2.1.0?"),
        ("https://physionet.org/content/x/1.0/", "cxrsync pull https://physionet.org/content/x/1"),
        ("nightly.yaml", "Did you mean cxrsync mirror nightly.yaml?"),
        ("usage", "Write `cxrsync --help`, or `cxrsync help pull` for one command."),
        ("hepl", "Did you mean cxrsync help?"),
        ("completions", "Did you mean cxrsync completion?"),
        ("version", "Write `cxrsync --version`."),
        ("slurm pul", "cxrsync slurm has no command pul\nDid you mean cxrsync slurm pull?"),
        ("slurm xyzzy", "Write cxrsync slurm pull, verify or gather."),
        ("signin", "Did you mean cxrsync login?"),
        ("clean", "cxrsync removes no files by itself."),
        ("xyzzy", "`cxrsync --help` lists the commands."),
    ],
)
def test_the_message_names_the_command(
    capsys: pytest.CaptureFixture[str], words: str, step: str
) -> None:
    assert step in said(capsys, *words.split())


def test_a_password_in_an_address_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert "s3cret" not in said(capsys, "pull", "https://me:s3cret@physionet.org/files/x/1/")


# ── options that may stand before or after the command ─────────────────────────────────────────


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """The level of what is printed, and whether it is JSON, of each status."""
    found: list[tuple[int, bool]] = []

    def invoke(ctx: click.Context) -> int:
        found.append((ctx.obj.level, bool(ctx.params["as_json"])))
        return 0

    monkeypatch.setattr(status, "invoke", invoke)
    return found


@pytest.mark.parametrize(
    ("words", "level", "as_json"),
    [
        ("status", 0, False),
        ("-v status", 1, False),
        ("status -v", 1, False),
        ("-v status --verbose", 1, False),
        ("status -q --json", -1, True),
        ("--quiet --json status", -1, True),
        ("--json status --json", 0, True),
        ("-v status -q", 0, False),
        ("status -qv", 0, False),
        ("--debug status --debug", 0, False),
        ("--debug-ids status --debug-ids", 0, False),
    ],
)
def test_before_or_after_the_command(
    seen: list[tuple[int, bool]], words: str, level: int, as_json: bool
) -> None:
    assert run(words.split()) == 0
    assert seen == [(level, as_json)]


def test_the_variable_counts_once(
    monkeypatch: pytest.MonkeyPatch, seen: list[tuple[int, bool]]
) -> None:
    monkeypatch.setenv("CXRSYNC_VERBOSE", "1")
    assert run(["status", "-q"]) == 0
    assert seen == [(0, False)]


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ("--json ls --jpg", "ls has no --json\nWrite --format json."),
        ("--json mirror x.yaml", "mirror has no --json\nLeave it out."),
    ],
)
def test_a_command_without_json(capsys: pytest.CaptureFixture[str], words: str, step: str) -> None:
    assert step in said(capsys, *words.split())


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("-n -d /data -j 3", {"dry_run": True, "dest": Path("/data"), "connections": 3}),
        ("-nj3 -d/data", {"dry_run": True, "dest": Path("/data"), "connections": 3}),
        ("-j auto", {"dry_run": False, "connections": "auto"}),
    ],
)
def test_short_options(words: str, options: dict[str, Any]) -> None:
    with pull.make_context("pull", words.split(), obj=Verbosity()) as ctx:
        assert options.items() <= ctx.params.items()
