"""A short part of ``scripts/fuzz``, the same each time: no oddity of a machine ends with exit 1."""

from collections.abc import Iterator

import pytest
from fuzz.machine import Case, Stage, cases, complaint, process_cases, staged
from hypothesis import given, settings


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("fuzz")) as stage:
        yield stage


def test_in_this_process(stage: Stage) -> None:
    @settings(max_examples=25)
    @given(cases)
    def play(case: Case) -> None:
        ended = stage.play(case)
        assert complaint(case, ended) is None, ended

    play()


def test_with_streams_and_locales(stage: Stage) -> None:
    @settings(max_examples=3)
    @given(process_cases)
    def play(case: Case) -> None:
        ended = stage.play_in_process(case)
        assert complaint(case, ended) is None, ended

    play()
