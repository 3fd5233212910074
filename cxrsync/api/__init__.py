"""The Python interface: each function has the options of a command as keyword arguments."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Unpack

from cxrsync.api.calls import (
    ErrorsForPython,
    Work,
    call,
    call_here,
    job_of_tree,
    options_of,
    refuse_dry_run,
    taken_flag,
)
from cxrsync.api.options import ListOptions, PullOptions, StatusOptions, TreeOptions, VerifyOptions
from cxrsync.api.results import File, Forecast, Report, Status, Verification
from cxrsync.cancellation import NOTHING_CHANGED, STATE_IS_SAVED, CancelToken
from cxrsync.config.job import Job
from cxrsync.config.parse_job import make_job
from cxrsync.dataset.source_factory import open_source, opened
from cxrsync.dataset.version import find_target
from cxrsync.events import EventSink, LeftOut, RunSummary
from cxrsync.model import partition_of
from cxrsync.operations import dry_run as dry_runs
from cxrsync.operations.exit_status import explained_errors
from cxrsync.operations.expected_files import expectation
from cxrsync.operations.ls import list_files
from cxrsync.operations.pull import Scope
from cxrsync.operations.pull import pull as run_pull
from cxrsync.operations.repair import refuse_repair, repair_exit_code, repair_job
from cxrsync.operations.run_log import active_runs
from cxrsync.operations.status import status as status_of
from cxrsync.operations.verify import verify as verify_tree
from cxrsync.sources.credentials import Ask

__all__ = [
    "File",
    "Forecast",
    "ListOptions",
    "PullOptions",
    "Report",
    "Status",
    "StatusOptions",
    "TreeOptions",
    "Verification",
    "VerifyOptions",
    "apull",
    "dry_run",
    "ls",
    "pull",
    "status",
    "verify",
]


async def run_job(
    job: Job,
    emit: EventSink,
    cancel: CancelToken | None = None,
    ask: Ask | None = None,
    distrust: Iterable[str] = (),
) -> RunSummary:
    """Open the source of a job and pull it.

    Raises the errors of :func:`cxrsync.operations.pull.pull`.
    """
    async with opened(open_source(job, emit, ask)) as source:
        return await run_pull(job, source, emit, cancel, Scope(frozenset(distrust)))


def pull(
    *places: str,
    progress: bool = False,
    on_event: EventSink | None = None,
    **options: Unpack[PullOptions],
) -> Report:
    """Fetch the selected files that are not here yet, resume what was begun, and verify all.

    Works wherever Python runs, also in a notebook. An interrupt (Ctrl-C, the notebook's stop
    button) saves the state and is then raised as KeyboardInterrupt, so that the cells below do not
    run with half of the files; the same call goes on from there. A second interrupt does not wait.

    Args:
        *places: Names or addresses of a dataset, or of files and folders in it.
        progress: Show a bar: in a notebook as a widget, on a terminal the line of the command.
        on_event: Called with each event of the run (:mod:`cxrsync.events`), in the thread of the
            run. An exception that it raises ends the run in good order, and is raised.
        **options: The options of ``cxrsync pull``, with ``_`` for ``-``: ``jpg=True``,
            ``dataset="mimic-cxr-jpg"``, ``shard=["p10"]``, ``split="test"``,
            ``subject=table["subject_id"]``, ``label={"Pneumonia": 1}``, ``dest="/data"``,
            ``max_bytes="50G"`` and so on; ``from_dir`` stands for ``--from``. What no keyword says
            is taken from the variables ``CXRSYNC_…``.

    Returns:
        The report. If single files failed, that is no exception; look at ``report.complete``,
        ``report.exit_code`` and ``report.problems``.

    Raises:
        UsageError: A keyword or a value is wrong. Nothing was fetched.
        CredentialsRefused: User name or password are missing or wrong. A person at a notebook or a
            terminal is asked for missing ones.
        AccessDenied: The agreement of the dataset is not signed, or another step is missing.
        CxrsyncError: Anything else that ends a run early. Its text says what to do next; its
            ``report`` says what was done until then.
        KeyboardInterrupt: The run was interrupted, and its state is saved.

    Example:
        >>> import cxrsync
        >>> report = cxrsync.pull(jpg=True, split="test", limit=5, progress=True)
        >>> report.complete
        True
    """
    with ErrorsForPython():
        return call(_pulling(places, options), progress=progress, on_event=on_event)


async def apull(
    *places: str,
    progress: bool = False,
    on_event: EventSink | None = None,
    **options: Unpack[PullOptions],
) -> Report:
    """Do what :func:`pull` does in the event loop that runs already.

    Nobody is asked for a password: a question would stop the loop. ``cxrsync login`` stores it. A
    cancellation of the task saves what has arrived, and is raised as asyncio.CancelledError.

    Args:
        *places: As for :func:`pull`.
        progress: As for :func:`pull`.
        on_event: As for :func:`pull`; called in the loop's own thread.
        **options: As for :func:`pull`.

    Returns:
        The report, as :func:`pull` returns it.

    Raises:
        CxrsyncError: As for :func:`pull`.

    Example:
        >>> report = await cxrsync.apull(jpg=True, split="test", limit=5)
    """
    with ErrorsForPython():
        return await call_here(_pulling(places, options), progress=progress, on_event=on_event)


def ls(
    *places: str,
    progress: bool = False,
    on_event: EventSink | None = None,
    **options: Unpack[ListOptions],
) -> list[File]:
    """List the selected files without fetching them.

    The manifest and the tables that the selection needs are enough. One that is not in ``dest`` yet
    is fetched into it, where a later pull finds it.

    Args:
        *places: As for :func:`pull`.
        progress: As for :func:`pull`.
        on_event: As for :func:`pull`.
        **options: The options of ``cxrsync ls``: those that select files, ``dest``, and those of
            the source.

    Returns:
        The files, in the order of the manifest. ``pandas.DataFrame(cxrsync.ls(…))`` has a column
        for each of path, sha256, kind and partition.

    Raises:
        UsageError: A keyword or a value is wrong, or nothing is selected.
        CxrsyncError: The manifest or a table cannot be fetched.

    Example:
        >>> files = cxrsync.ls(jpg=True, split="test", frontal=True, only="images")
        >>> files[0].path.endswith(".jpg")
        True
    """
    with ErrorsForPython():
        job = make_job(options_of("ls", ListOptions, options), places)
        return call(_listing(job), progress=progress, on_event=on_event)


def dry_run(
    *places: str,
    progress: bool = False,
    on_event: EventSink | None = None,
    **options: Unpack[PullOptions],
) -> Forecast:
    """Tell what a pull with these options would do. Only the manifest and tables are fetched.

    Args:
        *places: As for :func:`pull`.
        progress: As for :func:`pull`.
        on_event: As for :func:`pull`.
        **options: As for :func:`pull`.

    Returns:
        The forecast, with how many files, about how many bytes and how long. ``print()`` shows it
        as ``cxrsync pull --dry-run`` does. Its ``refusal`` is an error if the files will not fit.

    Raises:
        UsageError: A keyword or a value is wrong, or nothing is selected.
        CxrsyncError: The manifest or a table cannot be fetched.

    Example:
        >>> forecast = cxrsync.dry_run(jpg=True, shard="p10")
        >>> forecast.refusal is None
        True
    """
    with ErrorsForPython():
        job = make_job(options_of("dry_run", PullOptions, options), places)
        return call(_forecasting(job), progress=progress, on_event=on_event)


def verify(
    *places: str,
    progress: bool = False,
    on_event: EventSink | None = None,
    **options: Unpack[VerifyOptions],
) -> Verification:
    """Hash the files of a tree again, and find what is missing, bad, unreadable or extra.

    Reads only: no network, no lock, no write access. With ``repair=True`` it then fetches what is
    bad, unreadable or missing.

    Args:
        *places: As for :func:`pull`. Without a dataset, the only tree in ``dest``.
        progress: As for :func:`pull`.
        on_event: As for :func:`pull`.
        **options: The options of ``cxrsync verify``: those that select files, ``dest``,
            ``all=True`` for the whole manifest, ``repair=True``, and for a repair those of source
            and transfer. Without a selection: what the tree was pulled with.

    Returns:
        The result, with ``complete``, ``good``, ``bad`` (paths), ``missing`` and so on, and
        ``repair``, the report of a repair.

    Raises:
        NotFetchedYet: There is no such tree in ``dest``, or a table that the selection needs.
        UsageError: A keyword or a value is wrong, or nothing is selected.
        DiskError: The disk fails.
        CxrsyncError: Anything else that ends a repair early, as for :func:`pull`.

    Example:
        >>> cxrsync.verify(jpg=True, shard="p10").complete
        True
    """
    with ErrorsForPython():
        given = options_of("verify", VerifyOptions, options)
        everything, repair = taken_flag(given, "all"), taken_flag(given, "repair")
        work = _verifying(job_of_tree(given, places), everything=everything, repair=repair)
        safe = STATE_IS_SAVED if repair else NOTHING_CHANGED
        return call(work, progress=progress, on_event=on_event, safe=safe)


def status(*places: str, **options: Unpack[StatusOptions]) -> Status:
    """Count the verified and the missing files of a tree, by shard. Nothing is hashed.

    Reads only: no network, no lock, no write access; also while a pull works on the tree.

    Args:
        *places: As for :func:`pull`. Without a dataset, the only tree in ``dest``.
        **options: The options that select files, ``dest``, and ``all=True`` for the whole manifest.
            Without a selection: what the tree was pulled with.

    Returns:
        The status, with ``complete``, ``total``, and ``partitions`` by name.

    Raises:
        NotFetchedYet: There is no such tree in ``dest``, or a table that the selection needs.
        UsageError: A keyword or a value is wrong, or nothing is selected.

    Example:
        >>> cxrsync.status(jpg=True, shard="p10").total.missing
        0
    """
    with ErrorsForPython():
        given = options_of("status", StatusOptions, options)
        everything = taken_flag(given, "all")
        job = job_of_tree(given, places)
        target = find_target(job, lambda _event: None)
        with expectation(target, job, everything=everything) as expected:
            return Status(
                dataset=job.dataset,
                version=target.version,
                root=str(target.tree.root),
                selection=expected.description,
                partitions=status_of(expected),
                runs=tuple(active_runs(target.tree)),
            )


def _pulling(places: tuple[str, ...], options: PullOptions) -> Work[Report]:
    refuse_dry_run()
    job = make_job(options_of("pull", PullOptions, options), places)

    async def work(emit: EventSink, cancel: CancelToken, ask: Ask | None) -> Report:
        return Report.of(await run_job(job, emit, cancel, ask))

    return work


def _listing(job: Job) -> Work[list[File]]:
    async def work(emit: EventSink, cancel: CancelToken, ask: Ask | None) -> list[File]:
        async with AsyncExitStack() as stack:
            source = await stack.enter_async_context(opened(open_source(job, emit, ask)))
            found = await stack.enter_async_context(list_files(job, source, emit, cancel))
            kind_of = found.target.dataset.kind_of
            return [
                File(path, sha256, kind_of(path).value, partition_of(path))
                for path, sha256 in found.entries()
            ]

    return work


def _forecasting(job: Job) -> Work[Forecast]:
    async def work(emit: EventSink, cancel: CancelToken, ask: Ask | None) -> Forecast:
        async with opened(open_source(job, emit, ask)) as source:
            return Forecast.of(await dry_runs.forecast(job, source, emit, cancel))

    return work


def _verifying(job: Job, *, everything: bool, repair: bool) -> Work[Verification]:
    async def work(emit: EventSink, cancel: CancelToken, ask: Ask | None) -> Verification:
        target = find_target(job, emit)
        with explained_errors(cancel), expectation(target, job, everything=everything) as expected:
            if repair:
                refuse_repair(expected)
            for text in expected.selected.left_out:
                emit(LeftOut(text))
            found = Verification.of(await verify_tree(expected, emit, job.acknowledged))
        if repair and not found.complete:
            wanted = repair_job(job, expected)
            done = await run_job(wanted, emit, cancel, ask, found.bad + found.unreadable)
            found.repair_exit_code = repair_exit_code(done, found.bad, target.tree)
            found.repair = Report.of(done)
        return found

    return work
