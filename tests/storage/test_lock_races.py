"""Races for a lock that was left: a few rounds of ``scripts/races``, and its judge's own test."""

import random
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "races"
SILENCE = 0.4


@pytest.fixture(scope="module")
def races() -> ModuleType:
    spec = spec_from_loader("races", SourceFileLoader("races", str(SCRIPT)))
    assert spec is not None
    assert spec.loader is not None
    found = module_from_spec(spec)
    sys.modules["races"] = found  # its dataclasses look themselves up there
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize("kind", ["dead", "silent", "woken"])
def test_never_two_owners(
    races: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Three processes, delays before every file operation, now and then one that is killed."""
    monkeypatch.setattr(races, "SILENCE", 0.2)
    found = races.takeovers(kind, 10, tmp_path, random.Random(kind), racing=3)
    assert not races.faults(found), found
    # Those that were killed may have had it, or not yet.
    assert found["holders"] >= 30 - found["killed in the middle"]
    # Of "silent" none has to be, but a holder whose heart had no processor for a while may be.
    assert (found["replaced while silent"] > 0) is (kind == "woken") or kind == "silent"


ALONE = "1 begin 0\n1 act 0\n1 end 0.1\n2 begin 0\n2 act 0\n2 end 0.1\n"
TOGETHER = "1 begin 0\n2 begin 0\n1 end 0.1\n2 end 0.1\n"
UNENDED = "1 begin 0\n1 act 0\n2 begin 0\n2 end 0.1\n"
WOKEN = "1 begin 0\n2 begin 0\n2 act 0\n1 lost 0.5\n2 end 0.1\n"
ACTED = "1 begin 0\n2 begin 0\n2 act 0\n1 act 0\n1 lost 0.5\n2 end 0.1\n"
SLEPT = "1 begin 0\n2 begin 0\n2 act 0\n1 act 0.45\n1 lost 0.5\n2 end 0.1\n"
BEGAN_LATE = "2 begin 0\n1 begin 0\n1 lost 0.5\n2 end 0.1\n"
ROBBED = "1 begin 0\n1 lost 0.1\n"


@pytest.mark.parametrize(
    ("journal", "killed", "faults"),
    [
        (ALONE, set(), set()),
        (TOGETHER, set(), {"TWO OWNERS"}),
        (UNENDED, set(), {"TWO OWNERS"}),
        (UNENDED, {"1"}, set()),
        (WOKEN, set(), set()),
        (ACTED, set(), {"ACTS OF TWO"}),
        (SLEPT, set(), set()),
        (BEGAN_LATE, set(), set()),
        (ROBBED, set(), {"LOST FOR NOTHING"}),
    ],
    ids=[
        "alone",
        "together",
        "unended",
        "killed",
        "woken",
        "acted",
        "slept",
        "began late",
        "robbed",
    ],
)
def test_what_the_journal_tells(
    races: ModuleType, journal: str, killed: set[str], faults: set[str]
) -> None:
    assert races.faults(races.judge(journal, killed, SILENCE)).keys() == faults
