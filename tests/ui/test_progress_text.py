"""The line of progress at every width: it fits, and no number loses its unit."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.progress_events import Activity
from cxrsync.ui.progress import ProgressValues, Seconds
from cxrsync.ui.progress_text import log_line, progress_line, time_left
from cxrsync.ui.remaining_bytes import Bytes

GB, HOUR = 10**9, 3600.0
FETCHING = ProgressValues(
    activity=Activity.FETCHING, what="", elapsed=100, files_done=15_371, files=37_452,
    bytes_done=22_800_000_000, bytes_all=Bytes(50 * GB, 55.6 * GB, 60 * GB, ("guesses",)),
    rate=2_400_000, left=Seconds(3 * HOUR, 4 * HOUR, 5 * HOUR),
    manifest_done=0, manifest_all=None, failed=0, connections=8, resumed=3, retries=2,
)  # fmt: skip
SURE = replace(
    FETCHING, bytes_all=Bytes(57 * GB, 57 * GB, 57 * GB), left=Seconds(*[4 * HOUR - 60] * 3)
)
MANIFEST = replace(
    FETCHING, activity=Activity.MANIFEST, files=0, what="mimic-cxr-jpg 2.1.0",
    manifest_done=3_100_000, manifest_all=77_000_000, rate=41_000, left=Seconds(*[1802.0] * 3),
)  # fmt: skip
UNPACKING = replace(
    FETCHING, activity=Activity.UNPACKING, what="reports.zip", elapsed=12.3,
    left=Seconds(30, 30, 30),
)  # fmt: skip
PLANNING = replace(FETCHING, activity=Activity.PLANNING, what="37,452 files", elapsed=12.3)
WAITING = replace(FETCHING, waits=": nothing arrives", waited=14.2)


def bar(share: float, width: int) -> str:
    return ("#" * round(share * width)).ljust(width)


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        (SURE, 200, (" 40 % |############                  | 15,371 of 37,452 files, "
                    "22.8 of 57.0 GB, 2.4 MB/s, 3 h 59 min left")),
        (SURE, 80, (" 40 % |##   | 15,371 of 37,452 files, 22.8 of 57.0 GB, 2.4 MB/s, "
                   "3 h 59 min left")),
        (SURE, 72, " 40 %, 15,371/37,452 files, 22.8 of 57.0 GB, 2.4 MB/s, 3 h 59 min left"),
        (SURE, 90, (" 40 % |######         | 15,371 of 37,452 files, 22.8 of 57.0 GB, 2.4 MB/s, "
                   "3 h 59 min left")),
        (SURE, 40, " 40 % |##    | 2.4 MB/s, 3 h 59 min left"),
        (SURE, 24, " 40 %, 3 h 59 min left"),
        (SURE, 12, " 40 %"),
        (FETCHING, 200, (" 41 % |############                  | 15,371 of 37,452 files, "
                        "22.8 of about 55.6 GB, 2.4 MB/s, 3 h to 5 h left, by guesses")),
        (FETCHING, 80, (" 41 %, 15,371 of 37,452 files, 22.8 of about 55.6 GB, 2.4 MB/s, "
                       "3 h to 5 h left")),
        (FETCHING, 40, " 41 % |##    | 2.4 MB/s, 3 h to 5 h left"),
        (MANIFEST, 200, ("  4 % |#                             | fetching the manifest of "
                        "mimic-cxr-jpg 2.1.0: 3.1 of 77.0 MB, 41.0 kB/s, 30 min left")),
        (MANIFEST, 80, ("  4 % |#                      | manifest: 3.1 of 77.0 MB, 41.0 kB/s, "
                       "30 min left")),
        (MANIFEST, 40, "  4 %, manifest: 3.1 MB, 30 min left"),
        (PLANNING, 80, "planning: 37,452 files, 12 s"),
        (UNPACKING, 80, "unpacking: reports.zip, 12 s, 30 s left"),
        (UNPACKING, 30, "unpacking, 12 s, 30 s left"),
        (UNPACKING, 20, "unpacking, 12 s"),
        (PLANNING, 20, "planning, 12 s"),
        (WAITING, 80, " 41 % |############                  | waiting 14 s: nothing arrives"),
        (WAITING, 24, " 41 %, waiting 14 s"),
        (replace(WAITING, waited=75), 40, " 41 % |#####        | waiting 1 min 15 s"),
    ],
)  # fmt: skip
def test_the_line(values: ProgressValues, width: int, line: str) -> None:
    assert progress_line(values, width, bar) == line


def test_details_with_v() -> None:
    line = progress_line(SURE, 200, bar, verbose=True)
    assert line.endswith("left, 8 connections, 3 resumed, 2 retried")
    failing = replace(SURE, failed=3)
    assert "3 failed" in progress_line(failing, 80, bar)
    assert "3 failed" in progress_line(failing, 40, bar)


def test_a_log_has_everything() -> None:
    assert log_line(FETCHING, verbose=True) == (
        "41 %, 15,371 of 37,452 files, 22.8 of about 55.6 GB, 2.4 MB/s, 3 h to 5 h left, "
        "by guesses, 8 connections, 3 resumed, 2 retried"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        # A full pull of each: JPG takes 18 days, DICOM 150 days, which tqdm shows as 3600:00:00.
        ((1_555_000, 1_555_000, 1_555_000), "18 d left"),
        ((12_985_000, 12_985_000, 12_985_000), "150 d left"),
        ((0, 0.2, 0.3), "1 s left"),
        ((59, 60, 61), "1 min left"),
        ((100, 150, 200), "1 min 40 s to 3 min 20 s left"),
        ((7190, 7200, 7210), "2 h left"),
        ((30 * 60, 50 * 60, 70 * 60), "30 min to 1 h 10 min left"),
    ],
)
def test_the_time_left(seconds: tuple[float, float, float], text: str) -> None:
    assert time_left(Seconds(*seconds)) == text


NUMBER = re.compile(
    r"\d[\d,.]*(?: of (?:about )?\d[\d,.]*)? (?:[kMGT]?B(?:/s)?|files?|min|h|d|s|%|failed|"
    r"connections?|resumed|retried)|\d[\d,]*/\d[\d,]* files|\d[\d,.]* [kMGT]?B of (?:about )?"
    r"\d[\d,.]* [kMGT]?B|mimic-cxr-jpg 2.1.0"
)
amounts = st.floats(0, 1e13)


@settings(max_examples=examples(200))
@given(
    st.sampled_from([SURE, FETCHING, MANIFEST, PLANNING]), st.integers(1, 250),
    amounts, amounts, amounts, st.integers(0, 10**6), st.booleans(),
)  # fmt: skip
def test_no_line_is_too_long_and_no_number_loses_its_unit(
    values: ProgressValues, width: int, done: float, more: float, seconds: float, files: int,
    verbose: bool,
) -> None:  # fmt: skip
    values = replace(
        values, bytes_done=int(done), bytes_all=Bytes(done, done + more / 2, done + more),
        left=Seconds(seconds / 2, seconds, seconds * 2), files_done=files // 2, files=files,
    )  # fmt: skip
    line = progress_line(values, width, bar, verbose=verbose)
    assert len(line) <= width
    text = line.replace("#", "")
    assert not re.search(r"\d", NUMBER.sub("", text)), line
    if width >= 40 and values.activity is Activity.FETCHING and files:
        assert "%" in line
        assert "left" in line
