"""What all functions of the Python interface do: keywords → job → call → result or error.

The variables ``CXRSYNC_…`` hold for what no keyword says. Errors and notices leave in the words of
Python.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from cxrsync.api.frontend import Shown, prompt, showing
from cxrsync.api.own_loop import TICK_SECONDS, OwnLoop
from cxrsync.api.results import Report
from cxrsync.cancellation import STATE_IS_SAVED, CancelToken
from cxrsync.config.job import DEFAULT_BASE_URL, DEFAULT_DEST, Job
from cxrsync.config.option import nearest
from cxrsync.config.option_table import BY_NAME
from cxrsync.config.option_value import SIGN_IN_HINT, check_options, check_value
from cxrsync.config.parse_job import make_job
from cxrsync.config.parse_place import version_as_option
from cxrsync.config.python_words import in_python, keyword
from cxrsync.config.variables import options_from, refuse_unknown_variables
from cxrsync.dataset.found_trees import trees_in
from cxrsync.dataset.tree_identity import Identity
from cxrsync.errors import CxrsyncError, ExitCode, UsageError, unwrap
from cxrsync.events import Event, EventSink, Finished, Notice, RunSummary
from cxrsync.operations.exit_status import machine_error
from cxrsync.sanitize import reason_of, without_secrets
from cxrsync.sources.credentials import Ask
from cxrsync.threads import in_loop_thread

T = TypeVar("T")

Work = Callable[[EventSink, CancelToken, Ask | None], Coroutine[Any, Any, T]]
"""A call: it gets where events go, what cancels it, and who can be asked for a password."""

# Options of the command line that are functions or parameters here.
_ELSEWHERE = {
    "dry_run": "Write cxrsync.dry_run(…), which fetches no file.",
    "quiet": "Nothing is printed, unless you write progress=True.",
    "verbose": "on_event= gets all that happens: docs/python.md explains it.",
    "json": "The result has a method as_json().",
    "repair": "Write cxrsync.verify(repair=True).",
    "scrub": "Run `cxrsync verify --scrub` in a terminal.",
    "report": "Run `cxrsync status --html FILE` in a terminal.",
}


class ErrorsForPython:
    """Let the text of an error be what a traceback should show: the message with the names of
    keywords, and the next step."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, problem: BaseException | None, _trace: object) -> None:
        if isinstance(problem, CxrsyncError):
            _tell(problem)
            if problem.exit_code is not ExitCode.UNEXPECTED:
                raise problem.with_traceback(None)


def _tell(error: CxrsyncError) -> None:
    """Change the text of an error, and take its causes away: they are for developers, and foreign
    ones among them may contain secrets. IPython does not show an error as one if there is a group
    of exceptions among them."""
    what, error.next_step = (
        without_secrets(in_python(text)) for text in (str(error), error.next_step)
    )
    error.args = ("\n".join(filter(None, (what, error.next_step))),)
    error.__context__ = error.__cause__ = None


# ── what is wanted ─────────────────────────────────────────────────────────────────────────────


class Keywords(Protocol):
    """A TypedDict without required keys."""

    __optional_keys__: ClassVar[frozenset[str]]


def options_of(function: str, typed: type[Keywords], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a call: its keywords, and the variables of the others.

    ``typed``: the TypedDict that has the function's keywords. Raises UsageError.
    """
    names = sorted(typed.__optional_keys__)
    known = [BY_NAME[name] for name in names]
    for name in given:
        if name not in names:
            raise _unknown(function, name, names)
    refuse_unknown_variables()
    return {
        **options_from(known),
        **{name: each for name, each in given.items() if each is not None},
    }


def _unknown(function: str, name: str, names: Sequence[str]) -> UsageError:
    near = [each.name for each in nearest(name, [BY_NAME[known] for known in names])]
    if "password" in name.casefold():
        step = SIGN_IN_HINT
    elif name in _ELSEWHERE:
        step = _ELSEWHERE[name]
    elif name in BY_NAME and BY_NAME[name].is_of_job:
        step = f"{keyword(name)} belongs to cxrsync.pull()."
    elif near:
        step = f"Did you mean {' or '.join(keyword(each) for each in near)}?"
    else:
        step = f"help(cxrsync.{function}) names the most usual keywords, docs/python.md all."
    return UsageError(f"{function}() has no keyword {name}", next_step=step)


def taken_flag(options: dict[str, Any], name: str) -> bool:
    """Take a flag of a command, such as ``all``, out of the options. Raises UsageError."""
    return bool(check_value(BY_NAME[name], options.pop(name, False)))


def check_shown(progress: object, on_event: object) -> None:
    """Raise UsageError unless these are a truth value and a function."""
    if not isinstance(progress, bool):
        raise UsageError(
            f"progress= is neither True nor False, but a value of type {type(progress).__name__}",
            next_step="Write progress=True for a bar in a notebook or on a terminal.",
        )
    if on_event is not None and not callable(on_event):
        raise UsageError(
            f"on_event= is not a function, but a value of type {type(on_event).__name__}",
            next_step="Write the name of a function that takes an event: on_event=look.",
        )


def refuse_dry_run() -> None:
    """Raise UsageError if the environment asks for a dry run: a pull must not fetch then."""
    if options_from([BY_NAME["dry_run"]]).get("dry_run"):
        raise UsageError(
            f"{BY_NAME['dry_run'].variable} is set, and pull() fetches files",
            next_step="Call cxrsync.dry_run(), or unset the variable.",
        )


def job_of_tree(options: dict[str, Any], places: Sequence[str]) -> Job:
    """Return the job of a tree that is here: of the dataset that is named, else the only one in the
    destination.

    Raises: NotFetchedYet if there is none, UsageError if there are several.
    """
    options, places = version_as_option(check_options(options), [str(word) for word in places])
    is_named = any(options.get(name) for name in ("jpg", "dicom", "dataset"))
    if is_named or not all(word.startswith("files/") for word in places):
        return make_job(options, places)
    dest = options.get("dest", Path(DEFAULT_DEST))
    base_url = options.get("base_url", DEFAULT_BASE_URL)
    trees = trees_in(dest, base_url, options.get("dataset_version"))
    only = trees[0]
    if len(trees) > 1:
        named = next((each.identity for each in trees if each.identity), Identity("NAME", "V"))
        raise UsageError(
            f"{dest} holds {len(trees)} trees: {', '.join(each.name for each in trees)}",
            next_step=f"Name one of them: --dataset {named.dataset}/{named.version}.",
        )
    if only.problem is not None:
        raise only.problem
    assert only.identity is not None  # else it has a problem
    dataset, version = only.identity
    return make_job({**options, "dataset": dataset, "dataset_version": version}, places)


# ── the call ───────────────────────────────────────────────────────────────────────────────────


class _Events:
    """Passes events on. A callback that fails ends the run in good order; its error is raised
    afterwards."""

    def __init__(self, shown: Shown, on_event: EventSink | None, cancel: CancelToken) -> None:
        self._shown = shown
        self._on_event = on_event
        self._stop = in_loop_thread(cancel.request)
        self.problem: Exception | None = None
        self.summary: RunSummary | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Notice):
            event = replace(event, text=in_python(event.text))
        elif isinstance(event, Finished):
            self.summary = event.summary
        self._shown.listen(event)
        if self._on_event is None or self.problem is not None:
            return
        try:
            self._on_event(event)
        except Exception as problem:  # noqa: BLE001 - the caller's own; it gets it back
            self.problem = problem
            self._stop(ExitCode.INTERRUPTED)


async def _call(
    work: Work[T],
    shown: Shown,
    on_event: EventSink | None,
    cancel: CancelToken,
    ask: Ask | None,
) -> T:
    events = _Events(shown, on_event, cancel)
    problem: Exception
    try:
        result = await work(events, cancel, ask)
        if events.problem is None:
            return result
    except Exception as caught:  # noqa: BLE001 - raised below
        problem = caught
    if events.problem is not None:
        raise events.problem
    error = error_of(problem)
    if events.summary is not None:
        error.report = Report.of(events.summary)
    raise error


def error_of(problem: Exception) -> CxrsyncError:
    """Return the error for an exception: the text of a foreign one may contain secrets."""
    known = machine_error(unwrap(problem))
    if known is not None:
        return known
    error = CxrsyncError(
        f"unexpected {reason_of(problem)}. Nothing that was downloaded is lost",
        next_step="Please report it as a bug, with this traceback. `cxrsync verify` tells whether "
        "all is well.",
    )
    return error.with_traceback(problem.__traceback__)


def call(
    work: Work[T],
    *,
    progress: bool = False,
    on_event: EventSink | None = None,
    safe: str = STATE_IS_SAVED,
) -> T:
    """Run a call in a loop of its own, and return its result. ``safe``: see :class:`CancelToken`.

    Raises: any CxrsyncError; KeyboardInterrupt, after an interrupt, when the state is saved.
    """
    check_shown(progress, on_event)
    asker = prompt()
    with showing(progress=progress) as shown:

        def start(cancel: CancelToken) -> Coroutine[Any, Any, T]:
            def ask(host: str, user: str | None) -> Any:
                assert asker is not None
                return own.in_callers_thread(lambda: asker(host, user))

            return _call(work, shown, on_event, cancel, None if asker is None else ask)

        own = OwnLoop(start, shown.tick, safe)
        return own.run()


async def call_here(work: Work[T], *, progress: bool, on_event: EventSink | None) -> T:
    """Run a call in the loop that runs already. Nobody is asked for a password: a question would
    stop everything else in that loop."""
    check_shown(progress, on_event)
    with showing(progress=progress) as shown:
        async with _ticking(shown.tick):
            return await _call(work, shown, on_event, CancelToken(), None)


@asynccontextmanager
async def _ticking(tick: Callable[[], None]) -> AsyncIterator[None]:
    async def run() -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            tick()

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
