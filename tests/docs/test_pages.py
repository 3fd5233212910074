"""The pages: each is in the navigation, no link is dead, and what they say of the program is so."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from docs.pages import PAGES, REASONS, ROOT, blocks, name_of

from cxrsync.cli.main import cli
from cxrsync.config.mirror_options import FILE_OPTIONS, JOB_SETTINGS
from cxrsync.config.option_table import OPTIONS
from cxrsync.errors import ExitCode

DOCS = ROOT / "docs"
TOCTREE = re.compile(r"```\{toctree\}\n(?P<body>.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|mailto:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
OPTION = re.compile(r"`[^`\n]*?(?<![\w-])(--[a-z][a-z-]+)")
# Options of other programs, and those that do not exist, which the pages say.
FOREIGN = {
    "--cut-dirs", "--ignore-missing", "--signal", "--time", "--sort", "--collector", "--group",
    "--quick", "--faults", "--growing", "--histories", "--serve", "--dir", "--port", "--help",
    "--help-all", "--profile",
    "--version", "--out", "--patients", "--rate",
}  # fmt: skip


def in_navigation() -> set[Path]:
    found = {DOCS / "index.md"}
    for page in DOCS.rglob("*.md"):
        for tree in TOCTREE.finditer(page.read_text("utf-8")):
            lines = [
                line for line in tree["body"].splitlines() if line and not line.startswith(":")
            ]
            found |= {(page.parent / f"{line}.md").resolve() for line in lines}
    return found


def test_each_page_is_in_the_navigation() -> None:
    """A new page is named in a toctree of docs/index.md, or of recipes/ or reference/."""
    assert in_navigation() == set(DOCS.rglob("*.md"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    heads = re.findall(r"^#{1,4} (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    text = page.read_text("utf-8")
    said = [block.not_run for block in blocks(text, "sh", "console", "python") if block.not_run]
    assert set(said) <= REASONS
    assert len(said) == len(re.findall(r"^<!-- not run: ", text, re.MULTILINE))


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_no_link_is_dead(page: Path) -> None:
    for link in LINK.finditer(page.read_text("utf-8")):
        target = (page.parent / link["path"]).resolve() if link["path"] else page
        assert target.exists(), link[0]
        if link["anchor"]:
            assert link["anchor"] in anchors(target), link[0]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_option_exists(page: Path) -> None:
    known = {option.typed for option in OPTIONS} | FOREIGN
    assert set(OPTION.findall(page.read_text("utf-8"))) <= known


def test_the_recording_shows_what_the_front_pages_begin_with() -> None:
    picture = ET.parse(DOCS / "_static/recording.svg")
    shown = ["".join(text.itertext()) for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    prompts = [line for line in shown if line.startswith("$ ")]
    first = prompts[0].removeprefix("$ ")
    for page in (ROOT / "README.md", DOCS / "index.md", DOCS / "tutorial.md"):
        assert first in page.read_text("utf-8")
    assert prompts[1].startswith(f"$ {first} ")
    assert any(line.startswith("complete and verified: ") for line in shown)


def test_each_exit_code_is_explained() -> None:
    text = (DOCS / "troubleshooting.md").read_text("utf-8")
    rows = re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE)
    assert {int(each) for row in rows for each in row.split(", ")} == {
        int(each) for each in ExitCode
    }


def test_each_message_is_one_of_the_program() -> None:
    """The headings of the list by message quote what the program says."""
    text = (DOCS / "troubleshooting.md").read_text("utf-8")
    part = text.partition("## By message\n")[2].partition("\n## ")[0]
    quoted = [
        fragment.strip(" .")
        for heading in re.findall(r"^### (.+)$", part, re.MULTILINE)
        if "wget" not in heading
        for words in re.findall(r"`([^`]+)`", heading)
        for fragment in re.split(r"…|physionet\.org|: ", words)
        if fragment.strip(" .:")
    ]
    code = " ".join(
        re.sub(r'"\s*f?"', "", file.read_text("utf-8"))
        for file in sorted((ROOT / "cxrsync").rglob("*.py"))
    )
    assert quoted
    assert [fragment for fragment in quoted if fragment not in code] == []


def test_the_reference_has_everything() -> None:
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        from reference_text import PARTS
    finally:
        sys.path.pop(0)
    options, commands, keys = (PARTS[name]() for name in ("options", "commands", "job-keys"))
    assert [each.typed for each in OPTIONS if each.typed not in options] == []
    assert [each.variable for each in OPTIONS if f"`{each.variable}`" not in options] == []
    assert [
        name for name in cli.list_commands(None) if f"## cxrsync {name}\n" not in commands
    ] == []  # type: ignore[arg-type]
    assert [
        each.key for each in (*FILE_OPTIONS, *JOB_SETTINGS) if f"`{each.key}`" not in keys
    ] == []
    assert "### cxrsync slurm pull\n" in commands
    assert "`seconds_left`" in PARTS["json-keys"]()
