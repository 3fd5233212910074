"""Every selected file has one outcome: any sequence of events that violates this is found."""

from array import array
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.events import Event, FileDone, Planned, Unaccounted
from cxrsync.model import Outcome, RejectedLine, Result
from cxrsync.stats import Books, RunStats

many = settings(max_examples=examples(400))

PREFIXES = ["", "other/1.0/"]
PATHS = [f"files/p10/{letter}.jpg" for letter in "abcdef"]


def plan(paths: Sequence[str], present: int = 0, prefix: str = "", lost: int = 0) -> Planned:
    """``lost``: so many files are selected, and neither present nor due."""
    selected = len(paths) + present + lost
    due = array("q", map(hash, paths))
    return Planned(selected, present, 0, len(paths), 0, due=due, prefix=prefix)


def done(path: str, result: Result = Result.FETCHED) -> FileDone:
    return FileDone(Outcome(path, result))


plans = st.builds(
    plan,
    st.lists(st.sampled_from(PATHS), unique=True),
    st.integers(0, 3),
    st.sampled_from(PREFIXES),
    st.sampled_from([0, 0, 0, 1]),
)
names = [prefix + path for prefix in PREFIXES for path in [*PATHS, "nobody's"]]
outcomes = st.builds(done, st.sampled_from(names), st.sampled_from(Result))


@st.composite
def orderly(draw: st.DrawFn) -> list[Event]:
    """The events of a correct run in any order, and then perhaps one mistake."""
    events: list[Event] = []
    for each in draw(st.lists(plans, max_size=3)):
        events.append(each)
        paths = [path for path in PATHS if hash(path) in each.due]
        events += [done(each.prefix + path) for path in draw(st.permutations(paths))]
    mistake = draw(st.sampled_from(["none", "lost", "twice", "another's"]))
    done_at = [at for at, event in enumerate(events) if isinstance(event, FileDone)]
    if done_at and mistake != "none":
        at = draw(st.sampled_from(done_at))
        if mistake == "lost":
            del events[at]
        else:
            events.insert(at, events[at] if mistake == "twice" else done("nobody's"))
    return events


def count_by_sets(events: Sequence[Event]) -> tuple[int, int]:
    """Count files without an outcome and outcomes without a file, by sets of whole paths."""
    due: Counter[str] = Counter()
    missing = surplus = 0
    by_hash = {hash(path): path for path in PATHS}
    for event in events:
        if isinstance(event, Planned):
            due.update(event.prefix + by_hash[key] for key in event.due)
            missing += event.selected - event.present - len(event.due)
        elif isinstance(event, FileDone):
            surplus += not due[event.outcome.path]
            due[event.outcome.path] -= due[event.outcome.path] > 0
    return missing + due.total(), surplus


@many
@given(st.lists(plans | outcomes, max_size=20) | orderly(), st.booleans())
def test_every_imbalance_is_found(events: list[Event], complete: bool) -> None:
    stats = RunStats()
    for event in events:
        stats.record(event)
    missing, surplus = count_by_sets(events)
    if not complete:  # a stopped run may leave files without an outcome, but none may have two
        missing = sum(
            event.selected - event.present - len(event.due)
            for event in events
            if isinstance(event, Planned)
        )

    found = stats.books.imbalance(complete=complete)

    assert (found is not None) == bool(missing or surplus)
    if found is not None:
        assert (found.missing, found.surplus) == (missing, surplus)
    elif complete:
        summary = stats.summary(requests=0, exit_code=0)
        parts = (summary.present, summary.fetched, summary.adopted, summary.failed)
        parts += (summary.mismatched, summary.acknowledged)
        assert summary.selected.files == sum(part.files for part in parts)


def test_the_message_names_the_files() -> None:
    books = Books()
    books.open(plan(PATHS[:4], present=2))
    for path in (PATHS[0], PATHS[1], PATHS[1], "nobody's"):
        books.settle(path)
    assert books.unsettled() == {hash(PATHS[2]), hash(PATHS[3])}
    books.name(PATHS[2:4])
    message = str(books.imbalance(complete=True))
    assert "2 of 6 selected files have no outcome" in message
    assert all(path in message for path in PATHS[1:4])
    assert "nobody's" in message
    assert PATHS[0] not in message


def test_paths_that_share_a_hash_are_two_files() -> None:
    books = Books()
    books.open(Planned(2, 0, 0, 2, 0, due=array("q", [hash(PATHS[0])] * 2)))
    books.settle(PATHS[0])
    assert books.imbalance(complete=True) is not None
    books.settle(PATHS[0])
    assert books.imbalance(complete=True) is None


def test_the_message_gives_the_number_of_many_files() -> None:
    stats = RunStats()
    paths = [f"files/p10/{number}.jpg" for number in range(5_000)]
    stats.record(plan(paths))
    stats.record(Unaccounted(tuple(paths[:10])))
    message = str(stats.books.imbalance(complete=True))
    assert "5,000 of 5,000" in message
    assert message.count(".jpg") == 10
    assert "…" in message


# ── rejected manifest lines ─────────────────────────────────────────────────────


@pytest.mark.parametrize("plans", [1, 3])
def test_rejected_lines_count_once_per_dataset(plans: int) -> None:
    stats = RunStats()
    for _ in range(plans):
        for prefix, lines in (("", 2), ("other/1.0/", 3)):
            refused = tuple(RejectedLine(line, f"{prefix}junk") for line in range(1, lines + 1))
            event = Planned(0, 0, 0, 0, 0, refused=refused, refused_lines=lines, prefix=prefix)
            stats.record(event)
    assert stats.refused_lines == 5
    summary = stats.summary(requests=0, exit_code=5)
    assert (len(summary.refused), summary.failed.files) == (5, 5)
