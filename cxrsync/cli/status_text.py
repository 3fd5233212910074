"""What ``status`` says of one tree, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from time import time
from typing import Any

from cxrsync import humanize
from cxrsync.cli.tree_words import tree_options
from cxrsync.clock import time_of
from cxrsync.dataset.found_trees import FoundTree
from cxrsync.errors import CxrsyncError
from cxrsync.operations.proof_ages import RECENT_DAYS
from cxrsync.operations.run_log import scrub_of
from cxrsync.operations.status import PartitionStatus, total_of
from cxrsync.operations.tree_status import TreeStatus
from cxrsync.progress_events import Activity
from cxrsync.sanitize import reason_of, without_secrets
from cxrsync.ui.table import as_fitting_table

_HEADINGS: tuple[str, ...] = (
    *("", "verified", "unverified", "missing"),
    *("total", "bytes", "partial"),
)
# What a run does before it knows which files are due.
_DOING = {
    Activity.ASKING: "asking the server",
    Activity.MANIFEST: "fetching the manifest",
    Activity.SELECTING: "reading the tables",
    Activity.PLANNING: "planning",
    Activity.UNPACKING: "unpacking",
    Activity.FETCHING: "fetching the tables",
}


def status_lines(found: TreeStatus, *, hint: bool, width: int = 0) -> Iterator[str]:
    """Yield what there is to say of a tree. ``hint``: also the next useful command. ``width``: of
    the terminal; 0 for none."""
    target = found.target
    selection = f" ({found.selection})" if found.selection else ""
    yield f"{target.name}{selection} in {target.tree.root}"
    is_empty = not found.total.selected and not found.is_recorded
    if not found.is_counted or (is_empty and found.runs):
        yield "which files are due is not known yet"
    elif is_empty:
        yield "nothing was pulled here yet: of this version only the manifest is here"
    else:
        yield from _table(found.partitions, width).split("\n")
    yield from _remarks(found)
    if hint and (text := next_command(found)):
        yield text


def problem_lines(tree: FoundTree, problem: CxrsyncError) -> Iterator[str]:
    """Yield what there is to say of a tree that cannot be used."""
    yield f"{tree.name} in {tree.root}"
    yield f"not counted: {without_secrets(reason_of(problem))}"
    yield from filter(None, without_secrets(problem.next_step).split("\n"))


def next_command(found: TreeStatus) -> str:
    """Return what to do next; empty if a run is at work, or if nothing was pulled.

    No ``cxrsync pull`` is written out: without its selection it would fetch the whole version.
    """
    tree, total = tree_options(found.target), found.total
    if found.runs or not total.selected:
        return ""
    if not found.is_recorded:
        return (
            "What was pulled is not recorded here. A pull with your selection verifies and records "
            "what is here, and fetches what is missing. To hash what is here: "
            f"cxrsync verify {tree}"
        )
    if total.missing:
        return (
            "To fetch what is missing, run the same pull again; or, whatever it was: cxrsync "
            f"verify --repair {tree}"
        )
    if total.unverified:
        return "To verify and record the other files, run the same pull again"
    return f"To hash the files again, at any time: cxrsync verify {tree}"


def _remarks(found: TreeStatus) -> Iterator[str]:
    proofs, total = found.total.proofs, found.total
    if total.derived:
        text = humanize.as_copies(total.derived, " of the total")
        yield f"{text} ({humanize.size(total.derived_bytes)}), made of the verified originals"
    if proofs.oldest is not None:
        yield (
            f"the oldest proof is {humanize.duration(proofs.oldest)} old; "
            f"{humanize.files(proofs.recent_files)} ({humanize.size(proofs.recent_bytes)}) were "
            f"verified in the last {RECENT_DAYS} days"
        )
    for run in found.runs:
        yield run_in_words(run)
    behind = {
        name: share.snapshot_age
        for name, share in found.partitions.items()
        if share.snapshot_behind and share.snapshot_age is not None
    }
    if behind and found.runs:
        yield f"the table is {humanize.duration(max(behind.values()))} old"
    elif behind:
        oldest = datetime.now().astimezone() - timedelta(seconds=max(behind.values()))
        yield (
            f"files of {', '.join(behind)} that were verified after "
            f"{oldest.isoformat(' ', 'minutes')} are not counted: a pull was killed before it "
            "updated the snapshot; the next pull does"
        )


def run_in_words(run: Mapping[str, Any]) -> str:
    """Return what a run does, from its progress: where, since when, and how far it is."""
    files = run["files"]
    where = f"process {run['pid']}" + (f" on {run['host']}" if "host" in run else "")
    where += _since(run)
    if (scrub := scrub_of(run)) is not None:
        if not scrub[1]:
            return f"a scrub is preparing ({where})"
        return f"a scrub is running ({where}): {scrub[0]:,} of {scrub[1]:,} due files are hashed"
    done = files["present"] + files["fetched"] + files["adopted"] + files.get("derived", 0)
    doing = _doing(run)
    if not files["selected"] or run.get("preparing") is True:
        return f"a pull is preparing ({where})" + (f": {doing}" if doing else "")
    is_fetching = run.get("phase") == Activity.FETCHING.value
    count = f"{done:,} of {files['selected']:,} files are verified"
    return f"a pull is running ({where}): {count if is_fetching or not doing else doing}"


def _since(run: Mapping[str, Any]) -> str:
    """``, since 05:00, 2 h 10 min ago``; empty if its progress does not say."""
    with suppress(KeyError, ValueError, OverflowError, OSError):
        began = time_of(run["run"])
        seconds = max(0.0, time() - began)
        ago = humanize.duration(seconds) if seconds >= 10 else f"{round(seconds)} s"
        return f", since {datetime.fromtimestamp(began).astimezone():%H:%M}, {ago} ago"
    return ""


def _doing(run: Mapping[str, Any]) -> str:
    with suppress(KeyError, ValueError, TypeError):
        activity = Activity(run["phase"])
        text = _DOING.get(activity, "")
        done, whole = run.get("manifest_bytes"), run.get("manifest_bytes_total")
        if activity is Activity.MANIFEST and done:
            amount = humanize.size(done) if whole is None else humanize.part_of(done, whole)
            return f"{text}, {amount}"
        return text
    return ""


def _table(shares: Mapping[str, PartitionStatus], width: int) -> str:
    rows = [_HEADINGS]
    rows += [_row(name, share) for name, share in shares.items()]
    rows.append(_row("total", total_of(shares)))
    return as_fitting_table(rows, width)


def _row(name: str, share: PartitionStatus) -> tuple[str, ...]:
    return (
        name,
        f"{share.verified:,}",
        f"{share.unverified:,}",
        f"{share.missing:,}",
        f"{share.selected:,}",
        humanize.size(share.verified_bytes),
        humanize.size(share.partial_bytes),
    )
