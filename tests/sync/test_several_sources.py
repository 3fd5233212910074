"""Several sources in order: each has its own limits, and none holds back another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from sync.test_scheduler import Run, ScriptedSource, sha

from cxrsync.errors import NotFound, SourceError, Throttled, Unreachable
from cxrsync.events import Event, Notice
from cxrsync.model import Entry, RemotePath, Result
from cxrsync.sources.base import SourceChanged, answer_of_any
from cxrsync.sources.in_order import Part, SourcesInOrder
from cxrsync.transfer import retry_policy

FILES = {f"files/p10/{number:02}.jpg": bytes([number]) * 900 for number in range(20)}
REF = RemotePath("alpha", "1.0", "files/p10/00.jpg")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "_FIRST_BACKOFF", 0.0)


class Two:
    """A run from two sources. ``only``: how many requests the second gets at a time."""

    def __init__(
        self, root: Path, first: ScriptedSource, second: ScriptedSource, only: int
    ) -> None:
        first.identity, second.identity = "first:", "second:"
        self.events: list[Event] = []
        self.now = 0.0
        parts = [Part(lambda: first), Part(lambda: second, connections=only)]
        self.sources = SourcesInOrder(parts, self.events.append, lambda: self.now)
        self.run = Run(root, cast("ScriptedSource", self.sources))
        self.run.source = cast("ScriptedSource", self.sources)
        self.first, self.second = first, second

    async def go(self) -> None:
        await self.run.go([Entry(path, sha(data)) for path, data in FILES.items()], connections=10)

    def came_from(self, source: str) -> set[str]:
        return {path for path, each in self.run.outcomes.items() if each.source == source}


async def test_a_slow_second_source_does_not_hold_back_the_first(tmp_path: Path) -> None:
    lacking = set(list(FILES)[:12])  # more than there are connections
    first = ScriptedSource({path: data for path, data in FILES.items() if path not in lacking})
    second = ScriptedSource(FILES)
    second.gate.clear()
    two = Two(tmp_path, first, second, only=2)
    running = asyncio.create_task(two.go())
    async with asyncio.timeout(20):
        while len(two.came_from("first:")) < len(first.files):
            await asyncio.sleep(0.01)
    assert second.requests == 1  # half of its connections, at first
    second.gate.set()
    await running
    assert two.came_from("second:") == lacking


@pytest.mark.parametrize(
    "problem", [Unreachable("refused"), Throttled("503", after=None), Throttled("503", after=600)]
)
async def test_a_first_source_that_goes_away_is_followed_by_the_second(
    tmp_path: Path, problem: SourceError
) -> None:
    class Dying(ScriptedSource):
        def open(self, *args: object, **options: object):  # type: ignore[no-untyped-def, override]
            self.files = self.files if self.requests < 6 else Gone()
            return super().open(*args, **options)  # type: ignore[arg-type]

    class Gone(dict[str, bytes]):
        def get(self, _path: object, _default: object = None) -> Exception:  # type: ignore[override]
            return problem

    two = Two(tmp_path, Dying(dict(FILES)), ScriptedSource(FILES), only=2)
    await two.go()
    assert set(two.run.results().values()) == {Result.FETCHED}
    assert two.came_from("first:")
    assert two.came_from("second:")
    [told] = [each.text for each in two.events if isinstance(each, Notice)]
    assert told.startswith("nothing is fetched from first: for ")
    assert told.endswith("second: is asked")


async def test_a_last_source_that_is_away_ends_only_its_own_files(tmp_path: Path) -> None:
    lacking = set(list(FILES)[:3])
    first = ScriptedSource({path: data for path, data in FILES.items() if path not in lacking})

    class Away(ScriptedSource):
        def open(self, *_args: object, **_options: object):  # type: ignore[no-untyped-def, override]
            raise Unreachable("refused")

    two = Two(tmp_path, first, Away({}), only=2)
    two.run.give_up_after = 0.2
    await two.go()
    assert two.came_from("first:") == set(FILES) - lacking
    assert {path for path, each in two.run.results().items() if each is Result.FAILED} == lacking


def parts_of(*has_files: bool) -> list[Part]:
    return [
        Part(lambda number=number: replace(ScriptedSource({}), identity=str(number)), has_files=has)  # type: ignore[misc]
        for number, has in enumerate(has_files)
    ]


def test_a_source_that_is_left_out_is_asked_again_later() -> None:
    now, events = [0.0], []  # type: ignore[var-annotated]
    sources = SourcesInOrder(parts_of(True, True, False), events.append, lambda: now[0])
    away = Unreachable("refused")
    waits = []
    for _ in range(5):
        assert sources.leave_out(0, away, for_good=False)
        assert sources.leave_out(
            0, away, for_good=False
        )  # another connection has met the same outage
        assert sources.number_of(REF) == 1
        began = now[0]
        while sources.number_of(REF) == 1:
            now[0] += 100
        waits.append(now[0] - began)
    assert waits == [300, 600, 1200, 2400, 3600]
    assert len(events) == 5
    # The last one that has files cannot be left out, nor one that has only the manifest.
    assert not sources.leave_out(1, away, for_good=False)
    assert not sources.leave_out(2, away, for_good=True)
    sources.leave_out(0, Throttled("503", after=9000), for_good=False)
    assert not sources.leave_out(1, away, for_good=True)  # nothing else is fetched either
    now[0] += 8999
    assert sources.number_of(REF) == 1
    now[0] += 1
    assert sources.number_of(REF) == 0


async def test_a_refusal_is_followed_by_the_next_request() -> None:
    first, second = ScriptedSource({}), ScriptedSource({REF.path: b"x"})
    sources = SourcesInOrder([Part(lambda: first), Part(lambda: second)], lambda _event: None)
    with pytest.raises(SourceChanged):
        async with sources.open(REF):
            pass
    async with sources.open(REF):
        pass
    with pytest.raises(NotFound):
        async with answer_of_any(sources, replace(REF, path="other")):
            pass
