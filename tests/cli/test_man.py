"""The man pages: their form, and what groff and mandoc say about them. tests/e2e/test_golden.py
compares them with the files in man/."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from cxrsync.cli.commands import COMMANDS
from cxrsync.cli.help.man import as_man
from cxrsync.cli.help.manual import man_pages
from cxrsync.cli.help.page import Heading, Page, Rows, Text, Verbatim
from cxrsync.cli.help.topics import TOPICS

PAGES = man_pages()
ROOT = Path(__file__).parents[2]


def test_each_command_and_topic_has_one() -> None:
    below = ("slurm-pull", "slurm-verify", "slurm-gather")
    commands = {f"man1/cxrsync-{name}.1" for name in (*COMMANDS, *below)}
    topics = {f"man7/cxrsync-{name}.7" for name in TOPICS}
    assert set(PAGES) == {"man1/cxrsync.1", *commands, *topics}


def test_the_wheel_has_them() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    shared = build["targets"]["wheel"]["shared-data"]
    assert shared == {"man/man1": "share/man/man1", "man/man7": "share/man/man7"}
    assert "/man" in build["targets"]["sdist"]["include"]


def test_what_roff_takes_for_its_own_is_escaped() -> None:
    page = Page(
        "cxrsync it's",
        "A summary.",
        (Heading("Part"), Text(".dot -n \\ `a` ~ ^ …"), Rows((("--x", "'quoted'"),)),
         Verbatim(("", ".x  y"))),
    )  # fmt: skip
    assert as_man(page, 7).splitlines()[4:] == [
        "cxrsync\\-it\\(aqs \\- A summary",
        ".SH PART",
        "\\&.dot \\-n \\e \\(gaa\\(ga \\(ti \\(ha \\[u2026]",
        ".TP",
        ".B \\-\\-x",
        "\\(aqquoted\\(aq",
        ".PP",
        ".RS 4",
        ".nf",
        "\\&",
        "\\&.x  y",
        ".fi",
        ".RE",
    ]


@pytest.mark.parametrize(
    "command", [("groff", "-ww", "-man", "-Tutf8", "-z"), ("mandoc", "-Tlint", "-W", "error")],
    ids=lambda command: command[0],
)  # fmt: skip
def test_programs_for_man_pages_find_nothing_wrong(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    files = []
    for name, text in PAGES.items():
        files.append(tmp_path / Path(name).name)
        files[-1].write_text(text, "ascii")
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
