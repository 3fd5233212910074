"""Help: what it says, how wide it is, and what it imports."""

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import click
import pytest

from cxrsync.cli.commands import COMMANDS, Part
from cxrsync.cli.environment import TableOption
from cxrsync.cli.help import topic_pages
from cxrsync.cli.help.command_page import MOST_EVERYDAY, command_page, has_more
from cxrsync.cli.help.page import Page, Rows, Verbatim
from cxrsync.cli.help.program_page import contents_page, program_page
from cxrsync.cli.help.terminal import as_text, wants_style
from cxrsync.cli.help.topics import TOPICS
from cxrsync.cli.main import cli, run
from cxrsync.config.option import Section
from cxrsync.config.option_table import OPTIONS
from cxrsync.exit_codes import MEANINGS, ORDER, ExitCode

ROOT = click.Context(cli, info_name="cxrsync")
CONTEXTS = {name: click.Context(entry.imported(), ROOT, name) for name, entry in COMMANDS.items()}
for parent in list(CONTEXTS.values()):
    if isinstance(parent.command, click.Group):
        for name, command in parent.command.commands.items():
            CONTEXTS[f"{parent.info_name} {name}"] = click.Context(command, parent, name)
PAGES = {
    "cxrsync": program_page(ROOT),
    "help": contents_page(),
    **{f"help {name}": topic.page() for name, topic in TOPICS.items()},
    **{f"{name} --help": command_page(each, everything=False) for name, each in CONTEXTS.items()},
    **{
        f"{name} --help-all": command_page(each, everything=True) for name, each in CONTEXTS.items()
    },
}


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert run(list(words)) == 0
    return capsys.readouterr().out


# ── imports ────────────────────────────────────────────────────────────────────────────────────

# Each group of command lines runs in one new process, and imports none of these modules.
RARE = (
    "keyring", "jinja2", "tenacity", "tqdm", "zipfile", "multiprocessing", "importlib.metadata",
    "prometheus_client", "PIL", "distributed", "pyarrow", "botocore", "numpy", "cxrsync.demo",
)  # fmt: skip
NO_SITE = ("aiohttp", *RARE)
NO_YAML = ("yaml", *NO_SITE)
NOTHING = ("msgspec", "asyncio", "ssl", "sqlite3", *NO_YAML)
QUICK = (
    ["--help"], ["--version"], ["help"], ["help", "selection"], ["help", "exit-codes"],
    ["help", "environment"], ["completion", "bash"],
)  # fmt: skip
# Two read job files, one begins processes, one is a server.
HEAVY = {"mirror", "slurm", "resize", "demo"}
HELP = [[name, "--help"] for name in COMMANDS if name not in HEAVY]
LOCAL_PULL = ["pull", "--from", "{tree}", "--dest", "{dest}", "--dataset", "d",
              "--dataset-version", "1", "--progress", "none"]  # fmt: skip
IMPORTS = {
    "the package": ([], NOTHING),
    "quick": (QUICK, NOTHING),
    "help of commands": (HELP, NO_YAML),
    "help of a mirror": ([["mirror", "--help"], ["slurm", "--help"]], NO_SITE),
    "a pull from a disk, and again": ([LOCAL_PULL, LOCAL_PULL], NO_YAML),
}


def imported_by(runs: Sequence[list[str]], modules: Sequence[str]) -> list[str]:
    """Return those of ``modules`` that a new process imports."""
    code = (
        "import sys, cxrsync\n"
        f"if {runs!r}:\n    from cxrsync.cli.main import run; assert not any(map(run, {runs!r}))\n"
        f"print([each for each in {modules!r} if each in sys.modules], file=sys.__stderr__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return list(eval(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("name", IMPORTS)
def test_what_a_command_does_not_import(name: str, tmp_path: Path) -> None:
    runs, modules = IMPORTS[name]
    tree = tmp_path / "server/d/1"
    tree.mkdir(parents=True)
    (tree / "a.txt").write_text("a")
    (tree / "SHA256SUMS.txt").write_text(f"{sha256(b'a').hexdigest()} a.txt\n")
    places = {"{tree}": str(tree), "{dest}": str(tmp_path / "mine")}
    assert imported_by([[places.get(word, word) for word in run] for run in runs], modules) == []


# ── the table of commands ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command_fits_the_command(name: str) -> None:
    entry = COMMANDS[name]
    command = entry.imported()
    assert (entry.name, command.name) == (name, name)
    assert entry.summary.endswith(".")
    assert len(entry.summary) <= 66
    verb = (command.help or "").split()[0]
    assert entry.summary.split()[0] == verb


def test_the_list_shows_every_command_once_in_its_part() -> None:
    text = as_text(PAGES["cxrsync"], 100)
    for part in Part:
        assert f"\n{part.value}:\n" in text
    for entry in COMMANDS.values():
        line = rf"(?m)^  {entry.name} +{re.escape(entry.summary)}$"
        assert len(re.findall(line, text)) == 1


# ── options ────────────────────────────────────────────────────────────────────────────────────


def options_of(name: str) -> list[TableOption]:
    return [each for each in CONTEXTS[name].command.params if isinstance(each, TableOption)]


def terms(page: Page) -> list[str]:
    return [term for block in page.blocks if isinstance(block, Rows) for term, _ in block.rows]


@pytest.mark.parametrize("name", CONTEXTS)
def test_help_shows_the_everyday_options_and_help_all_the_others(name: str) -> None:
    everyday = {each for each in terms(PAGES[f"{name} --help"]) if each.startswith("-")}
    everything = {each for each in terms(PAGES[f"{name} --help-all"]) if each.startswith("-")}
    assert everyday <= everything
    about_help = {"-h, --help", "--help-all", "-v, -q, --debug"}
    more = 5 if name == "slurm pull" else 0  # those of pull, and of the script
    assert len(everyday - about_help) <= MOST_EVERYDAY + more
    assert has_more(CONTEXTS[name]) == (everyday < everything) == ("--help-all" in everyday)
    for option in options_of(name):
        assert any(option.opts[-1] in re.split("[ ,]+", term) for term in everything), option.opts


@pytest.mark.parametrize("option", OPTIONS, ids=lambda each: each.name)
def test_help_says_the_default_of_each_option(option: object) -> None:
    assert option in OPTIONS
    [known] = [each for each in OPTIONS if each is option]
    assert known.default is None or "default" in known.help
    assert known.shown_in in Section


@pytest.mark.parametrize("name", [name for name in CONTEXTS if options_of(name)])
def test_help_names_the_variable_of_each_option(name: str) -> None:
    page = PAGES[f"{name} --help-all"]
    rows = [row for block in page.blocks if isinstance(block, Rows) for row in block.rows]
    for option in options_of(name):
        assert any(text.endswith(f"[env: {option.envvar}]") for _, text in rows), option.envvar


def test_the_sections_of_pull() -> None:
    text = as_text(PAGES["pull --help"], 80)
    headings = [line for line in text.splitlines() if re.fullmatch("[A-Z].*:", line)]
    assert headings == [
        "Examples:", "Selection:", "Source:", "Destination:", "Speed and limits:", "Output:",
        "Help:",
    ]  # fmt: skip
    assert text.count("    cxrsync pull ") == 3


# ── examples ───────────────────────────────────────────────────────────────────────────────────


def command_lines() -> list[str]:
    """Each command line on a page."""
    blocks = [block for page in PAGES.values() for block in page.blocks]
    lines = [line for block in blocks if isinstance(block, Verbatim) for line in block.lines]
    return sorted({line for line in lines if line.startswith("cxrsync ")})


@pytest.mark.parametrize("line", command_lines())
def test_each_example_is_a_valid_command_line(line: str) -> None:
    program, *words = shlex.split(re.split(" [|>] ", line)[0], comments=True)
    assert program == "cxrsync"
    name = max((each for each in CONTEXTS if words[: len(each.split())] == each.split()), key=len)
    context, rest = CONTEXTS[name], words[len(name.split()) :]
    with context.command.make_context(name, rest, parent=context.parent) as made:
        assert made.params is not None


# ── the width, and bold headings ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_lines_fit_the_terminal(width: int) -> None:
    for name, page in PAGES.items():
        fixed = {f"    {line}" for block in page.blocks if isinstance(block, Verbatim)
                 for line in block.lines}  # fmt: skip
        for line in as_text(page, width).splitlines():
            is_one_word = len(line.split()) <= 1 or "[env:" in line
            assert len(line) <= width or line in fixed or is_one_word, (name, line)


def test_the_width_of_the_terminal_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    widths = []
    for columns in ("40", "80", "300"):
        monkeypatch.setenv("COLUMNS", columns)
        lines = said(capsys, "help", "access").splitlines()
        widths.append(max(map(len, lines)))
    narrow, usual, wide = widths
    assert narrow < usual <= 80 < wide <= 100


@pytest.mark.parametrize(
    ("environment", "is_terminal", "wanted"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),  # no-color.org: only if it is not empty
        ({}, True, True),
    ],
)
def test_headings_are_bold_on_a_terminal(
    environment: dict[str, str], is_terminal: bool, wanted: bool
) -> None:
    assert wants_style(environment, is_terminal=is_terminal) is wanted
    text = as_text(PAGES["pull --help"], 80, style=wanted)
    assert ("\x1b[1mSelection:\x1b[0m" in text) is wanted


# ── cxrsync help ───────────────────────────────────────────────────────────────────────────────


def test_help_alone_lists_topics_and_commands(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "help")
    for name in TOPICS:
        assert f"  help {name} " in out
    for name in COMMANDS:
        assert f"\n  {name} " in out


def test_help_of_a_command_is_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in CONTEXTS.keys() - TOPICS.keys():
        assert said(capsys, "help", *name.split()) == said(capsys, *name.split(), "--help")


def test_the_exit_codes_are_all_explained() -> None:
    assert set(MEANINGS) == set(ORDER) == set(ExitCode)
    assert terms(topic_pages.exit_codes()) == [str(int(code)) for code in ExitCode]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("exit codes", "Which one counts"),
        ("Exit_Codes", "Which one counts"),
        ("SELECTION", "Values of one option are alternatives"),
        ("7", "disk is full"),
        ("130", "Ctrl-C"),
    ],
)
def test_topics_by_other_spellings(
    capsys: pytest.CaptureFixture[str], words: str, says: str
) -> None:
    assert says in said(capsys, "help", *words.split())


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ("selectoin", "Did you mean cxrsync help selection?"),
        ("filter", "Did you mean cxrsync help selection?"),
        ("exit", "Did you mean cxrsync help exit-codes?"),
        ("variables", "Did you mean cxrsync help environment?"),
        ("403", "Did you mean cxrsync help access?"),
        ("password", "Did you mean cxrsync help access?"),
        ("trash", "Did you mean cxrsync help layout?"),
        ("pul", "Did you mean cxrsync help pull?"),
        ("--shard", "--shard is an option: `cxrsync pull --help-all` explains it."),
        ("repair", "--repair is an option: `cxrsync verify --help-all` explains it."),
        ("bandwidth", "--limit-rate is an option"),
        ("sbatch", "`cxrsync help environment` lists all options."),
        ("conections", "Did you mean the option --connections?"),
        ("pull verify", "Did you mean cxrsync help pull?"),
        ("slurm pul", "Did you mean cxrsync help slurm pull?"),
        ("nightly", "Did you mean cxrsync help mirror?"),
        ("cron", "Did you mean cxrsync help mirror?"),
        ("schedule", "Did you mean cxrsync help mirror?"),
        ("systemd", "Did you mean cxrsync help mirror?"),
        ("scrub", "--scrub is an option: `cxrsync verify --help-all` explains it."),
        ("checksums", "Did you mean cxrsync help verify?"),
        ("resume", "Did you mean cxrsync help pull?"),
        ("jupyter", "In Python: import cxrsync; help(cxrsync.pull)"),
        ("nope", "`cxrsync help` lists the topics and commands."),
        ("99", "`cxrsync help` lists the topics and commands."),
        ("xyzzy", "`cxrsync help` lists the topics and commands."),
    ],
)
def test_an_unknown_topic_names_what_was_meant(
    capsys: pytest.CaptureFixture[str], words: str, step: str
) -> None:
    assert run(["help", *words.split()]) == 2
    err = capsys.readouterr().err
    assert "no such topic or command" in err
    assert step in err


@pytest.mark.parametrize("words", ["5", "exit 5", "exit code 5", "exit-codes 5", "Code 5"])
def test_an_exit_code_is_explained_alone(capsys: pytest.CaptureFixture[str], words: str) -> None:
    assert "  5  Some files failed" in said(capsys, "help", *words.split())


def test_every_name_of_a_topic_finds_one() -> None:
    names = [each for topic in TOPICS.values() for each in topic.near.split()]
    assert len(names) == len(set(names))
    assert not set(names) & (set(TOPICS) | set(COMMANDS))


def test_help_all_needs_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--help-all") == said(capsys, "--help")
    out = said(capsys, "diff", "--help-all")  # without V1 and V2
    assert "  --labeler NAME" in out
    assert "  --labeler NAME" not in said(capsys, "diff", "--help")
    out = said(capsys, "pull", "--jpg", "--help-all")
    assert "--max-refetch" in out
    assert "--max-refetch" not in said(capsys, "pull", "--help")
