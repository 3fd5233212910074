"""Values of the wrong type are refused in every interface, and the message says what to write."""

import datetime as dt
import decimal
import fractions
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.config.job import Job
from cxrsync.config.option import Type
from cxrsync.config.option_table import BY_NAME, JOB_OPTIONS, OPTIONS
from cxrsync.config.option_value import check_options, check_value, parse_text
from cxrsync.config.parse_job import make_job
from cxrsync.config.quantities import parse_duration, spell_duration
from cxrsync.config.time_window import Window
from cxrsync.config.timetable import Timetable
from cxrsync.config.wall_clock import DaySpan
from cxrsync.errors import ExitCode, UsageError
from cxrsync.model import Kind

many = settings(deadline=None, max_examples=examples(400), derandomize=True)

HUGE = 10**5_000  # Python refuses to print a number of so many digits


class Index:
    """Like a whole number of numpy."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number


class Flat:
    """Like a numpy array of dimension 0: iterable by its type, but not in fact."""

    def __iter__(self) -> Iterator[object]:
        raise TypeError


class OddPath:
    """Like a path, but without a name."""

    def __fspath__(self) -> object:
        return 3


ACCEPTED: list[tuple[str, Any, Any]] = [
    ("force", True, True),
    ("force", False, False),
    ("retries", 3, 3),
    ("retries", 0, 0),
    ("retries", Index(3), 3),
    ("seed", -7, -7),
    ("connections", "auto", "auto"),
    ("connections", "AUTO", "auto"),
    ("connections", 8, 8),
    ("progress", "None", "none"),
    ("wait_lock", 2, 2.0),
    ("wait_lock", 1.5, 1.5),
    ("wait_lock", "90", 90.0),
    ("wait_lock", "90m", 5400.0),
    ("connect_timeout", "1m30s", 90.0),
    ("max_duration", "8h", 28_800.0),
    ("limit_rate", "off", Timetable()),
    ("limit_rate", "500k", Timetable(otherwise=float(500 << 10))),
    ("limit_rate", "1.5m", Timetable(otherwise=float(3 << 19))),
    ("limit_rate", 500_000, Timetable(otherwise=500_000.0)),
    ("limit_rate", 1e5, Timetable(otherwise=100_000.0)),
    ("window", "22:00-06:00", Window(DaySpan(22 * 60, 6 * 60))),
    ("max_bytes", "1.5M", 3 << 19),
    ("max_bytes", 0, 0),
    ("keep_free", "50G", 50 << 30),
    ("keep_free", "2TB", 2 << 40),
    ("dest", "/data", Path("/data")),
    ("dest", PurePosixPath("/data"), Path("/data")),
    ("user", "alice", "alice"),
    ("link", "copy", "copy"),
    ("shard", "p10", ["p10"]),
    ("shard", ("p10", "p11"), ["p10", "p11"]),
    ("shard", (each for each in ["p10"]), ["p10"]),
    ("subject", 10000032, ["10000032"]),
    ("subject", ["p10000032", Index(10000033)], ["p10000032", "10000033"]),
    ("subject", (10000032.0, PurePosixPath("p10/p10000033")), ["10000032", "p10/p10000033"]),
    ("subject", {10000032: 1}.keys(), ["10000032"]),
    ("shard", [10, "11"], ["10", "11"]),
    ("wait_lock", dt.timedelta(minutes=90), 5400.0),
    ("label", {"Pneumonia": 1}, ["Pneumonia=1"]),
    ("label", {"Edema": (1, -1), "No Finding": "blank"}, ["Edema=1,-1", "No Finding=blank"]),
    ("label", {"Edema": 1.0, "Fracture": True, "Lesion": None}, ["Edema=1", "Fracture=1",
                                                                 "Lesion=blank"]),
    ("label", {"Edema": math.nan, "Fracture": "positive"}, ["Edema=blank", "Fracture=positive"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "checked"), ACCEPTED, ids=range(len(ACCEPTED)))
def test_a_value_of_its_type(name: str, value: Any, checked: Any) -> None:
    found = check_value(BY_NAME[name], value)
    assert found == checked
    assert type(found) is type(checked)
    if found is not None:  # a checked value passes a second check
        assert check_value(BY_NAME[name], found) == found


REFUSED: list[tuple[str, Any, str]] = [
    ("force", "no", "--force 'no' is not true or false Write False, without quotes."),
    ("force", "Yes", "Write True, without quotes."),
    ("force", "maybe", "--force 'maybe' is not true or false Write True or False."),
    ("force", 1, "--force 1 is not true or false"),
    ("force", [True], "--force (list) is not true or false"),
    ("retries", "3", "--retries '3' is not a whole number of at least 0 Write 3, without quotes."),
    ("retries", "many", "--retries 'many' is not a whole number of at least 0"),
    ("retries", 3.0, "--retries 3.0 is not a whole number"),
    ("retries", -1, "--retries -1 is not a whole number of at least 0"),
    ("retries", True, "--retries True is not a whole number"),
    ("retries", HUGE, "--retries (int) is not a whole number"),
    ("max_files", 2.5, "--max-files 2.5 is not a whole number of at least 0"),
    ("limit", True, "--limit True is not a whole number of at least 1"),
    ("limit", 0, "--limit 0 is not a whole number of at least 1"),
    ("seed", 1.0, "--seed 1.0 is not a whole number"),
    ("seed", HUGE, "--seed (int) is not a whole number"),
    ("connections", "3", "is not auto or a whole number from 1 to 128 Write 3, without quotes."),
    (
        "connections",
        129,
        "--connections 129 is not auto or a whole number from 1 to 128 Leave it out",
    ),
    ("wait_lock", "90x", "--wait-lock '90x' is not a duration of at least 0 Write it as 30d, 2h"),
    ("wait_lock", "1:30", "1:30 could be hours or minutes: write 90m or 90s."),
    ("wait_lock", math.inf, "--wait-lock inf is not a duration"),
    ("wait_lock", math.nan, "--wait-lock nan is not a duration"),
    ("wait_lock", HUGE, "--wait-lock (int) is not a duration"),
    ("wait_lock", 2e9, "--wait-lock 2000000000.0 is not a duration"),
    ("wait_lock", dt.timedelta(days=-1), "--wait-lock (timedelta) is not a duration"),
    ("retries", dt.timedelta(1), "--retries (timedelta) is not a whole number"),
    ("stall_timeout", 0, "--stall-timeout 0 is not a duration above 0"),
    ("stall_timeout", "0s", "--stall-timeout '0s' is not a duration above 0"),
    ("window", 1320, 'Write both times, in quotes: "22:00-06:00".'),
    ("window", "22:00", "--window: '22:00' is not a span of the day"),
    ("max_bytes", "much", "--max-bytes 'much' is not a number of bytes Write it as 500M, 50G"),
    ("keep_free", -1, "--keep-free -1 is not a number of bytes"),
    ("keep_free", True, "--keep-free True is not a number of bytes"),
    ("limit_rate", True, "--limit-rate: True is not a rate YAML reads off without quotes as false"),
    ("limit_rate", 0, "--limit-rate: a rate of 0 all day would never fetch anything Write off"),
    ("limit_rate", "fast", "--limit-rate: 'fast' is not a rate Write bytes per second of all"),
    ("limit_rate", math.nan, "--limit-rate: nan is not a rate"),
    ("dest", 3, "--dest 3 is not a path Write text, in quotes, such as '/data'."),
    ("dest", b"/data", "--dest (bytes) is not a path"),
    ("dest", "a\0b", r"--dest 'a\x00b' is not a path"),
    ("dest", "\ud800", "is not a path"),
    ("dest", ["/a"], "--dest (list) is not a path"),
    ("dest", OddPath(), "--dest (OddPath) is not a path"),
    ("user", 3, "--user 3 is not text Write text, in quotes, such as 'alice'."),
    (
        "dataset_version",
        2.1,
        "--dataset-version 2.1 is not text Write text, in quotes, such as '2.1",
    ),
    ("base_url", None.__class__, "--base-url (type) is not text"),
    ("link", "symlink", "--link 'symlink' is not reflink, hardlink or copy A link to"),
    ("link", 3, "--link 3 is not reflink, hardlink or copy"),
    ("split", 10, "--split 10 is not text Write text, in quotes, such as 'test'."),
    ("shard", ["p10", None], "--shard has an empty value"),
    ("shard", True, "--shard True is not a shard"),
    ("label", {1: "Pneumonia"}, "--label 1 is not text"),
    ("split", {"train": 1}, "--split (dict) is not text"),
    ("only", Kind.IMAGES, "--only (Kind) is not text"),
    ("include", b"*.dcm", "--include (bytes) is not text"),
    ("subject", True, "--subject True is not an id"),
    ("subject", 10000032.5, "--subject 10000032.5 is not an id"),
    ("subject", math.nan, "--subject nan is not an id A value is missing: drop the missing ones"),
    ("subject", math.inf, "--subject inf is not an id"),
    ("subject", HUGE, "--subject (int) is not an id"),
    ("subject", Flat(), "--subject (Flat) is not an id"),
    ("user", "x" * 999, ""),
]


@pytest.mark.parametrize(("name", "value", "said"), REFUSED[:-1], ids=range(len(REFUSED) - 1))
def test_a_value_of_another_type(name: str, value: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_job({"jpg": True, name: value})
    assert caught.value.exit_code is ExitCode.USAGE
    assert said in f"{caught.value} {caught.value.next_step}"


def test_a_long_value_is_cut_short() -> None:
    with pytest.raises(UsageError) as caught:
        make_job({"jpg": True, "retries": "x" * 9_999})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("user_name", "no such option: user_name Did you mean user?"),
        ("shards", "no such option: shards Did you mean shard?"),
        ("threads", "Did you mean connections?"),
        ("password", "A password is never an argument."),
        ("from", "no such option: from Did you mean from_dir?"),
        ("xyzzy", "lists the options; in Python, write _ for -."),
        (
            "dry_run",
            "dry_run is not an option of a job It exists on the command line only: --dry-run.",
        ),
    ],
)
def test_an_unknown_name(name: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_job({"jpg": True, name: "x"})
    assert said in f"{caught.value} {caught.value.next_step}"


# ── text: the command line and the environment ─────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("force", "1", True),
        ("force", "off", False),
        ("force", " TRUE ", True),
        ("retries", "3", 3),
        ("retries", " 3", 3),
        ("connections", "auto", "auto"),
        ("connections", "3", 3),
        ("wait_lock", "1.5", 1.5),
        ("wait_lock", "2h", 7200.0),
        ("limit_rate", "2M", Timetable(otherwise=float(2 << 20))),
        ("limit_rate", "off", Timetable()),
        ("dest", "/data", Path("/data")),
        ("progress", "bar", "bar"),
        ("shard", "p10", "p10"),
    ],
)
def test_text_as_a_value(name: str, text: str, value: Any) -> None:
    found = parse_text(BY_NAME[name], text)
    assert found == value
    assert type(found) in (type(value), type(Path()), float)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("retries", "many", "CXRSYNC_X 'many' is not a whole number of at least 0 "),
        ("retries", "2.5", "CXRSYNC_X '2.5' is not a whole number of at least 0 "),
        ("retries", "9" * 5_000, "is not a whole number"),
        ("retries", " ", "CXRSYNC_X is empty"),
        ("force", "maybe", "CXRSYNC_X 'maybe' is not true or false "),
        ("wait_lock", "nan", "CXRSYNC_X 'nan' is not a duration"),
        ("wait_lock", "90 minutes", "CXRSYNC_X '90 minutes' is not a duration of at least 0"),
        ("connections", "many", "is not auto or a whole number from 1 to 128 Leave it out"),
        ("limit_rate", "fast", "CXRSYNC_X: 'fast' is not a rate Write bytes per second"),
        ("link", "sym", "CXRSYNC_X 'sym' is not reflink"),
    ],
)
def test_invalid_text(name: str, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_text(BY_NAME[name], text, "CXRSYNC_X")
    assert said in f"{caught.value} {caught.value.next_step}"
    assert "quotes" not in caught.value.next_step  # on a command line every value is text


# ── anything ───────────────────────────────────────────────────────────────────────────────────

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([-1, 1]).map(lambda sign: sign * HUGE),
    st.floats(), st.complex_numbers(), st.decimals(), st.fractions(),
    st.text(max_size=20), st.text("~/\0@.-p1\ud800", max_size=5), st.just("x" * 5_000),
    st.just("@" + "x" * 5_000), st.binary(max_size=8), st.dates(), st.timedeltas(),
    st.sampled_from([
        Path("/x"), Path("x" * 5_000), Path(), Kind.IMAGES, Flat(), object(), int, Ellipsis,
        decimal.Decimal("NaN"), fractions.Fraction(1, 3), range(3), Index(3), Index(HUGE),
    ]),
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.lists(below, max_size=2).map(tuple),
        st.dictionaries(st.text(max_size=4), below, max_size=2),
    ),
    max_leaves=6,
)
# Likely values, so that some options pass and later checks are reached.
likely = st.sampled_from(
    ["p10", "test", "PA", "Edema=1", "10000032", "images", "2.1.0", "reflink", "subject", 1, True]
)


@many
@given(st.dictionaries(st.sampled_from([each.name for each in JOB_OPTIONS]), anything | likely))
@example({"subject": "@\0"})
@example({"image": "@\ud800"})
@example({"acknowledge": "\0"})
@example({"ca_file": "x" * 5_000})
@example({"from_dir": "x" * 5_000})
@example({"split": "test", "split_table": "x" * 5_000})
@example({"user_agent": "\ud800"})
@example({"shard": "p٣٣"})
@example({"base_url": "https://[::1]:٣/"})
def test_any_value_makes_a_job_or_a_usage_error(options: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in (options, {"jpg": True, **options}):
            try:
                job = make_job(words)
            except UsageError:
                continue
            assert isinstance(job, Job)
            assert str(job.selection)


@many
@given(
    st.sampled_from(OPTIONS), st.text(max_size=20) | st.text("0123456789.eE+-_kMnaif", max_size=9)
)
def test_any_text_makes_a_value_or_a_usage_error(option: Any, text: str) -> None:
    try:
        value = parse_text(option, text)
        checked = check_options({option.name: value}) if option.is_of_job else {}
    except UsageError:
        return
    assert option.type is not Type.FLAG or isinstance(value, bool)
    if option.is_of_job and not option.repeatable:
        assert checked == ({} if value is None else {option.name: value})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("30d", 2_592_000), ("2h", 7200), ("90m", 5400), ("1.5h", 5400), ("45s", 45),
        ("2w", 1_209_600), ("60", 60), (60, 60), (0.5, 0.5), ("0", 0), (" 30d ", 2_592_000),
        ("1h30m", 5400), ("1d12h", 129_600), ("1w1d1h1m1s", 694_861),
    ],
)  # fmt: skip
def test_a_duration(value: object, expected: float) -> None:
    assert check_value(BY_NAME["trash_keep"], value) == expected
    if isinstance(value, str):
        assert parse_text(BY_NAME["trash_keep"], value) == expected


@pytest.mark.parametrize(
    "value",
    ["30 d", "30m1h", "1h1h", "1h30", "d", "-1d", "1y", "1e3", "1 day", -1, math.nan, True,
     "9" * 12 + "d"],
)  # fmt: skip
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        check_value(BY_NAME["trash_keep"], value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0"), (30, "30s"), (60, "1m"), (90, "90s"), (5400, "90m"), (3600, "1h"), (86_400, "1d"),
     (2_592_000, "30d"), (0.5, "0.5s")],
)  # fmt: skip
def test_a_duration_is_spelled_as_it_is_read(seconds: float, text: str) -> None:
    assert spell_duration(seconds) == text
    assert parse_duration(text) == seconds


def test_a_period_of_no_length_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a duration above 0"):
        check_value(BY_NAME["scrub"], "0d")


@pytest.mark.parametrize(
    ("value", "total", "expected"),
    [
        ("1%", 1000, 10), ("1%", 1001, 11), ("1%", 5, 1), ("0%", 1000, 0), ("0.5 %", 1000, 5),
        ("100%", 7, 7), ("20", 1000, 20), (20, 5, 20), (0, 1000, 0), ("1%", 0, 0),
    ],
)  # fmt: skip
def test_a_share(value: object, total: int, expected: int) -> None:
    assert check_value(BY_NAME["max_delete"], value).of(total) == expected
    if isinstance(value, str):
        assert parse_text(BY_NAME["max_delete"], value).of(total) == expected


def test_a_percentage_may_have_a_least_number_and_a_count_is_exact() -> None:
    assert check_value(BY_NAME["max_refetch"], "1%").of(50, at_least=100) == 100
    assert check_value(BY_NAME["max_refetch"], "0%").of(50, at_least=100) == 0
    assert check_value(BY_NAME["max_refetch"], 3).of(50, at_least=100) == 3


@pytest.mark.parametrize("value", ["101%", "-1%", "%", "1 percent", "1.5", 1.5, -1, True])
def test_what_is_no_share(value: object) -> None:
    with pytest.raises(UsageError, match="is not a number of files or a percentage"):
        check_value(BY_NAME["max_delete"], value)


def test_a_place_that_cannot_be_a_path_has_a_next_step() -> None:
    with pytest.raises(UsageError) as refused:
        check_options({"from_dir": ["a\0b"]})
    assert refused.value.next_step == "Check the name of the folder."
