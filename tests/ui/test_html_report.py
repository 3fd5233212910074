"""The HTML report as text: what it says at the top, that it is whole in itself, and no id in it."""

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from cxrsync.report_data import (
    PartitionData,
    ProofData,
    ReportData,
    RunData,
    Trouble,
    TroubleGroup,
    WorkingRun,
)
from cxrsync.ui.html_report import render, run_rows, trouble_sections
from cxrsync.ui.report_changes import changes, scrubs
from cxrsync.ui.report_headline import Tone, days_left, headline
from cxrsync.ui.report_troubles import TROUBLE_WORDS, next_step, run_step

DAY = 86_400.0
NOW = 1_795_665_600.0
SUBJECT, STUDY = "p10000032", "s50414267"
IMAGE = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
DIGEST = "0123456789abcdef" * 4
IDS = re.compile(
    r"[ps][0-9]{5}|[0-9a-f]{8}-[0-9a-f]{8}|[0-9a-f]{40}|\b[15][0-9]{7}\b", re.IGNORECASE
)
# Elements that have no end.
VOID = {"meta", "link", "br", "img", "hr"}

WHOLE = ReportData(
    dataset="mimic-cxr-jpg",
    version="2.1.0",
    root="/srv/mirror",
    selection="the whole version",
    made_at=NOW,
    made_by="cxrsync 1",
    partitions=(PartitionData("p10", 300, 300, 0, 0, 4_000), PartitionData("root", 9, 9, 0, 0, 90)),
    proofs=ProofData(oldest=12.4 * DAY, recent_files=309, recent_bytes=4_090),
)
RUN = RunData(NOW - 7_200, 3_600.0, 0, "the whole version", 309, 309)


def with_missing(count: int, troubled: int = 0, **more: object) -> ReportData:
    part = PartitionData("p10", 300, 300 - count, 0, count, troubled=troubled)
    return replace(WHOLE, partitions=(part, WHOLE.partitions[1]), **more)  # type: ignore[arg-type]


class Page(HTMLParser):
    """What is in a page. ``elements``: name and attributes of each; ``open``: those not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += data.replace("\N{NO-BREAK SPACE}", " ")


# ── the sentence at the top ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "tone", "sentence"),
    [
        (WHOLE, Tone.RIGHT,
         "All 309 selected files are here and verified; the oldest proof is 12 days old."),
        (replace(WHOLE, partitions=(PartitionData("p10", 1, 1, 0, 0),)), Tone.RIGHT,
         "The one selected file is here and verified; the oldest proof is 12 days old."),
        (replace(WHOLE, only_present=True), Tone.RIGHT,
         "All 309 files in this tree are verified; the oldest proof is 12 days old."),
        (with_missing(143), Tone.WRONG, "143 files are missing, of 309 selected."),
        (with_missing(1, 1), Tone.WRONG, "1 file is missing, of 309 selected."),
        (replace(WHOLE, partitions=(PartitionData("p10", 9, 2, 3, 4),)), Tone.WRONG,
         "4 files are missing and 3 files are not verified, of 9 selected."),
        (replace(WHOLE, partitions=(PartitionData("p10", 9, 8, 1, 0),)), Tone.WRONG,
         "1 file is not verified, of 9 selected."),
        (with_missing(143, working=(WorkingRun(166, 309),)), Tone.FILLING,
         "The mirror is being filled: 166 of 309 selected files (53.7 %) are here and verified."),
        (with_missing(143, runs=(replace(RUN, exit_code=9),)), Tone.FILLING,
         "The mirror is being filled: 166 of 309 selected files (53.7 %) are here and verified."),
        (replace(WHOLE, partitions=(PartitionData("p10", 300_000, 299_999, 0, 1),),
                 runs=(replace(RUN, exit_code=9),)), Tone.FILLING,
         ("The mirror is being filled: 299,999 of 300,000 selected files (99.9 %) are here and "
         "verified.")),
        (with_missing(143, 1, runs=(replace(RUN, exit_code=9),)), Tone.WRONG,
         "143 files are missing, of 309 selected."),
        (replace(WHOLE, runs=(replace(RUN, exit_code=4),)), Tone.STALE,
         "All 309 selected files are here and verified; the oldest proof is 12 days old."),
        (with_missing(2, troubles=(TroubleGroup(Trouble.ACKNOWLEDGED, "p10", "", 2),)), Tone.RIGHT,
         ("All selected files but 2 are here and verified; of those the source's copy differs from "
         "the published digest, which is acknowledged.")),
        (replace(WHOLE, partitions=()), Tone.WRONG, "No file is selected, or none is here."),
        (replace(WHOLE, unknown="there is no manifest"), Tone.WRONG,
         "The contents of this mirror are not known."),
    ],
)  # fmt: skip
def test_the_sentence(data: ReportData, tone: Tone, sentence: str) -> None:
    found = headline(data)
    assert (found.tone, found.sentence) == (tone, sentence)
    page = render(data).replace("\N{NO-BREAK SPACE}", " ")
    assert f'<h1 id="sentence">{sentence}</h1>'.replace("'", "&#39;") in page


def test_what_more_it_says() -> None:
    failed = replace(RUN, exit_code=4, error="access denied")
    data = replace(
        WHOLE, runs=(failed,), unread_runs=2, behind=("p10",), working=(WorkingRun(3, 9),)
    )
    said = " ".join(headline(data).more)
    assert "3 of 9 files are verified so far" in said
    assert "more of p10 than is counted here" in said
    assert "The last run failed: access denied." in said
    assert "2 logs of earlier runs cannot be read" in said
    assert "training" in run_step(data)
    assert run_step(replace(WHOLE, runs=(RUN,))) == ""


def test_a_reader_who_sees_the_states_alone() -> None:
    assert headline(with_missing(9, behind=("p10",))).tone is Tone.FILLING
    assert headline(with_missing(9, behind=("p10",), runs=(RUN,))).tone is Tone.WRONG


def test_files_that_no_run_has_tried() -> None:
    assert headline(with_missing(9, 4)).more == (
        "No run has tried to fetch 5 of the missing files yet.",
    )
    assert headline(with_missing(4, 4)).more == ()


def test_how_long_the_rest_takes() -> None:
    runs = tuple(
        replace(RUN, began=NOW - DAY * back, exit_code=9, fetched=10) for back in (3, 2, 1)
    )
    assert days_left(with_missing(100, runs=runs)) == "10 days"
    assert days_left(with_missing(0, runs=runs)) is None
    assert days_left(with_missing(100, 1, runs=runs)) is None
    assert days_left(with_missing(100)) is None


# ── what is wrong, and what changed ────────────────────────────────────────────────────────────


def test_a_reason_is_told_once_with_its_shards() -> None:
    groups = (
        TroubleGroup(Trouble.FAILED, "p10", f"404 for {IMAGE}", 3),
        TroubleGroup(Trouble.FAILED, "p11", f"404 for {IMAGE.replace('0', '1')}", 2),
        TroubleGroup(Trouble.GONE, "p12", "", 9),
        *(TroubleGroup(Trouble.FAILED, "p10", f"reason {n}", 1) for n in range(20)),
    )
    gone, failed = trouble_sections(groups[:3])
    assert (gone.files, gone.rows) == (9, (("", 9, "p12: 9"),))
    assert (failed.files, failed.rows) == (5, (("404 for …", 5, "p10: 3, p11: 2"),))
    [many, _gone] = trouble_sections(groups)
    assert (many.files, len(many.rows), many.more) == (25, 12, 9)


def test_every_trouble_has_words_and_a_next_step() -> None:
    for trouble in Trouble:
        assert TROUBLE_WORDS[trouble]
        assert next_step(trouble)


def test_what_was_scrubbed() -> None:
    nights = [
        replace(RUN, began=NOW - back * DAY, scrubbed=10, scrubbed_bytes=4_000)
        for back in (40, 3, 2)
    ]
    last = replace(RUN, scrubbed=12, scrubbed_bytes=5_000, rotten=1)
    data = replace(WHOLE, runs=(*nights, last))
    assert list(scrubs(data)) == [
        "In these days 3 runs of a mirror hashed 32 files (13.0 kB) again and found them right.",
        "1 file had lost the right bytes: such files are fetched again.",
    ]
    assert "It hashed 12 files (5.0 kB) again and found them right." in changes(data)
    assert "In these days 3 runs" in Page(render(data)).words
    assert list(scrubs(replace(WHOLE, runs=(RUN,)))) == []


def test_what_changed() -> None:
    before = replace(
        RUN,
        began=NOW - DAY,
        present=200,
        problems=(TroubleGroup(Trouble.FAILED, "p11", "x", 4),),
    )
    last = replace(
        RUN,
        fetched=99,
        present=210,
        fetched_bytes=990_000,
        problems=(TroubleGroup(Trouble.FAILED, "p12", "x", 2),),
    )
    gone = (TroubleGroup(Trouble.GONE, "p10", "", 7),)
    said = list(changes(replace(WHOLE, runs=(before, last), troubles=gone)))
    assert said[1:] == [
        "It fetched 99 files (990.0 kB at 275 B/s).",
        "Verified at its end: 309 files, before 200.",
        "New: 2 files of p12: not fetched.",
        "Solved: 4 files of p11: not fetched.",
        "Since then: 7 files: verified before, gone now.",
    ]
    other = list(changes(replace(WHOLE, runs=(replace(before, selection="p10"), last))))
    assert "The run before selected something else: p10." in other
    assert list(changes(WHOLE)) == ["No run is on record yet."]
    # A run that failed before it had anything selected says nothing of what is verified.
    failed = replace(RUN, selected=0, present=0, exit_code=4)
    assert not any("Verified" in each for each in changes(replace(WHOLE, runs=(before, failed))))


def test_runs_with_nothing_to_do_are_one_row() -> None:
    runs = [replace(RUN, began=NOW - DAY * back) for back in range(8, 0, -1)]
    runs[-1] = replace(runs[-1], fetched=1)
    runs[-2] = replace(runs[-2], exit_code=10)
    rows = list(run_rows(runs, NOW))
    assert [(row.count, row.class_) for row in rows] == [
        (1, "complete"),
        (1, "failed"),
        (6, "complete"),
    ]
    assert sum(row.count for row in rows) == len(runs)


# ── the page ───────────────────────────────────────────────────────────────────────────────────


def full() -> ReportData:
    """A report in which every text that comes from outside has ids in it."""
    path = f"files/p10/{SUBJECT}/{STUDY}/{IMAGE}.jpg"
    text = f"{path} {SUBJECT.upper()} {STUDY} 10000032 50414267 {IMAGE} {DIGEST} {DIGEST[:40]} <b>&"
    troubles = tuple(TroubleGroup(each, "p10", text, 1) for each in Trouble)
    runs = tuple(
        replace(RUN, began=NOW - DAY * n, exit_code=code, error=text, selection=text,
                fetched=n, fetched_bytes=10 * n, problems=troubles[n:],
                samples=((0.0, 0), (1_000.0, 4 * n), (3_600.0, 10 * n)))
        for n, code in zip((5, 4, 3, 2, 1), (0, 9, 5, 130, 4), strict=True)
    )  # fmt: skip
    return replace(
        WHOLE, dataset=f"d {text}", version=text, root=f"/srv/{text}", selection=text,
        made_by=text, unknown="", troubles=troubles, runs=runs, behind=("p10",),
        working=(WorkingRun(1, 2),),
        partitions=(PartitionData("p10", 300, 100, 100, 100, 4_000, 10, 8), *WHOLE.partitions[1:]),
    )  # fmt: skip


def test_no_line_is_broken_between_a_number_and_its_unit() -> None:
    page = render(replace(WHOLE, runs=(replace(RUN, seconds=4.2),)))
    assert "4.2\N{NO-BREAK SPACE}s" in page
    assert re.search(r"(?<![\d:.]) 4\.2 s\b", page) is None


@pytest.mark.parametrize("data", [full(), replace(full(), unknown=f"no {SUBJECT}/{IMAGE}")])
def test_no_id_is_anywhere(data: ReportData) -> None:
    page = render(data)
    assert IDS.findall(page) == []
    assert "…" in page


def test_the_test_would_see_them() -> None:
    assert len(IDS.findall(f"{SUBJECT} {STUDY} {IMAGE} {DIGEST[:40]} 10000032 50414267")) >= 6


def test_text_from_outside_is_escaped() -> None:
    data = replace(full(), selection='<script>alert("1")</script>\x1b[2J\n')
    page = render(data)
    assert "<script" not in page
    assert "<b>" not in page
    assert "\x1b" not in page


@pytest.mark.parametrize(
    "data",
    [WHOLE, full(), with_missing(3), replace(full(), unknown="x"), replace(WHOLE, partitions=())],
)
def test_the_page_is_whole_in_itself(data: ReportData) -> None:
    page = Page(text := render(data))
    assert page.open == []
    counts = Counter(name for name, _ in page.elements)
    assert counts["h1"] == 1
    [_title, *in_pictures] = [each for name, each in page.elements if name == "title"]
    pictures = [each for name, each in page.elements if name == "svg" and "role" in each]
    assert len(in_pictures) >= len(pictures) > 0
    assert all(each["role"] == "img" and each["aria-labelledby"] for each in pictures)
    assert ("html", {"lang": "en"}) in page.elements
    assert not counts.keys() & {"script", "iframe", "object", "embed", "img", "form", "base"}
    loads = [
        value
        for _name, attributes in page.elements
        for key, value in attributes.items()
        if key in {"src", "href", "srcset", "data", "action", "xlink:href"} or key.startswith("on")
    ]
    assert loads == ["data:,"]
    assert "@import" not in text
    assert "url(" not in text
    ids = [attributes["id"] for _name, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _name, attributes in page.elements:
        for named in (attributes.get("aria-labelledby") or "").split():
            assert named in ids


def test_a_narrow_page_hides_no_file_that_is_not_verified() -> None:
    """Its table has no column for them, so they stand below those that are missing."""
    page = render(replace(full(), partitions=(PartitionData("p16", 100, 57, 31, 12),)))
    assert '<span class="phone">and 31 not verified</span>' in page
    page = render(replace(full(), partitions=(PartitionData("p16", 100, 88, 0, 12),)))
    assert 'class="phone' not in page


def test_jinja_is_imported_only_where_a_report_is_made() -> None:
    code = (
        "import sys; from cxrsync.cli import main; import cxrsync.cli.pull, cxrsync.cli.status; "
        "main.run(['pull', '--help']); assert 'jinja2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
