"""The bar of a notebook: what it shows, and when; with a bar that notes what it is told."""

from typing import Any

import pytest

from cxrsync.events import (
    Checked,
    FileDone,
    Finding,
    Finished,
    Notice,
    Planned,
    RunSummary,
    Totals,
)
from cxrsync.model import Outcome, Result
from cxrsync.progress_events import Activity, Phase, Resumed, Suspended
from cxrsync.ui.notebook_bar import NotebookBar

SECRET_PATH = "files/p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg"


class Widget:
    """As tqdm.notebook's bar: it draws the share itself."""

    container = None

    def __init__(self, **options: Any) -> None:
        self.total = options["total"]
        self.n = 0.0
        self.leave = True
        self.texts: list[str] = []
        self.written: list[str] = []
        self.is_closed = False

    def set_description_str(self, text: str, *, refresh: bool) -> None:
        self.texts.append(text)

    def write(self, text: str) -> None:
        self.written.append(text)

    def close(self) -> None:
        self.is_closed = True


class Stage:
    """A bar, its clock, and the widgets that it made."""

    def __init__(self) -> None:
        self.now = 0.0
        self.made: list[Widget] = []
        self.bar = NotebookBar(self._class, lambda: self.now)

    def _class(self) -> Any:
        def make(**options: Any) -> Widget:
            self.made.append(Widget(**options))
            return self.made[-1]

        return make

    @property
    def widget(self) -> Widget:
        [made] = self.made
        return made


def summary(code: int, files: int = 4) -> RunSummary:
    none, some = Totals(), Totals(files, 100)
    counts = (some, none, some, *[none] * 6)
    return RunSummary("mimic-cxr-jpg", "2.1.0", "/data", "p10", *counts, 9, 2.0, code)


def fetched(*, path: str = SECRET_PATH) -> FileDone:
    return FileDone(Outcome(path, Result.FETCHED, 25))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_first_second_has_no_bar(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.bar.listen(Notice("using version 2.1.0"))
    stage.bar.tick()
    stage.bar.listen(Finished(summary(0)))
    stage.bar.close(well=True)
    assert stage.made == []
    said = capsys.readouterr().out
    assert said.startswith("note: using version 2.1.0\nmimic-cxr-jpg 2.1.0 (p10): 4 files selected")
    assert said.endswith("complete and verified: /data\n")


def test_the_bar_stands_while_files_arrive(stage: Stage) -> None:
    stage.bar.listen(Planned(4, 0, 0, 4, 0))
    stage.bar.listen(Phase(Activity.FETCHING))
    stage.now = 1.5
    for _ in range(2):
        stage.bar.listen(fetched())
    assert stage.made == [], "events come from another thread: nothing is drawn"
    stage.bar.tick()
    assert stage.widget.n == 0.5
    assert stage.widget.texts[-1].startswith("50 %, 2 of 4 files")
    assert stage.widget.written == ["4 files selected: 0 verified, 4 to fetch"]


@pytest.mark.parametrize(
    ("done", "code", "well", "is_full"),
    [(4, 0, True, True), (3, 5, True, False), (1, 130, False, False), (4, 130, False, False)],
)
def test_the_end(stage: Stage, done: int, code: int, well: bool, is_full: bool) -> None:
    """tqdm makes a bar green that is full, and any other red. It stays, without a time left."""
    stage.now = 2.0
    stage.bar.listen(Planned(4, 0, 0, 4, 0))
    stage.bar.listen(Phase(Activity.FETCHING))
    stage.bar.tick()
    for _ in range(done):
        stage.now += 1.0
        stage.bar.listen(fetched())
    stage.bar.listen(Finished(summary(code)))
    stage.bar.close(well=well)
    bar = stage.widget
    assert (bar.n >= bar.total, bar.leave, bar.is_closed) == (is_full, True, True)
    assert "left" not in bar.texts[-1]


@pytest.mark.parametrize(("well", "stays"), [(True, False), (False, True)])
def test_a_bar_without_files_goes(stage: Stage, well: bool, stays: bool) -> None:
    stage.bar.listen(Phase(Activity.SELECTING, "the tables"))
    stage.now = 3.0
    stage.bar.tick()
    assert stage.widget.texts[0].startswith("reading the tables: the tables, 3")
    stage.bar.close(well=well)
    assert (stage.widget.n >= stage.widget.total, stage.widget.leave) == (well, stays)


def test_nothing_is_drawn_while_a_question_is_open(stage: Stage) -> None:
    stage.now = 3.0
    stage.bar.listen(Suspended(asks=True))
    stage.bar.tick()
    assert stage.made == []
    stage.bar.listen(Resumed())
    stage.bar.tick()
    assert len(stage.made) == 1


def test_no_id_gets_into_a_notebook(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.now = 3.0
    stage.bar.listen(Notice(f"left out: {SECRET_PATH}, p10000032, \x1b[2J"))
    failed = Outcome(SECRET_PATH, Result.FAILED, 0, reason=f"{SECRET_PATH} is broken")
    stage.bar.listen(FileDone(failed))
    stage.bar.listen(Checked(SECRET_PATH, Finding.BAD, 5))
    stage.bar.tick()
    stage.bar.listen(Finished(summary(5)))
    stage.bar.close(well=True)
    shown = "".join([*stage.widget.written, *stage.widget.texts, capsys.readouterr().out])
    assert "left out: " in shown
    for secret in ("10000032", "50414267", "02aa804e", "\x1b"):
        assert secret not in shown


def test_a_line_of_text_where_there_are_no_widgets(capsys: pytest.CaptureFixture[str]) -> None:
    """As tqdm's own bar draws it, on stdout: stderr is red in a notebook."""
    from tqdm import tqdm

    now = [0.0]
    bar = NotebookBar(lambda: tqdm, lambda: now[0])
    bar.listen(Planned(4, 0, 0, 4, 0))
    bar.listen(Phase(Activity.FETCHING))
    now[0] = 2.0
    bar.listen(fetched())
    bar.tick()
    bar.close(well=False)
    out, err = capsys.readouterr()
    assert err == ""
    assert " 25 % |" in out
    assert "1 of 4 files" in out
    assert max(map(len, out.replace("\r", "\n").split("\n"))) < 80
