"""What the functions of the Python interface return.

``repr`` and the HTML of a notebook name no file and no id: a notebook is shared and committed with
its outputs. The values themselves have them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

from cxrsync import humanize
from cxrsync.config.python_words import in_python
from cxrsync.errors import ExitCode
from cxrsync.events import RunSummary, Totals
from cxrsync.operations import verify
from cxrsync.operations.exit_status import sentence_of
from cxrsync.operations.status import PartitionStatus, total_of
from cxrsync.plan import forecast
from cxrsync.ui.dry_run_text import as_fields, in_words
from cxrsync.ui.notebook_table import Row, html_lines, html_table, safe

_MAX_REASONS = 5


class File(NamedTuple):
    """A selected file.

    path: below the version's folder. sha256: the published digest, in hex. kind: images, reports,
    tables, archives or docs. partition: its shard, such as p10; or root.
    """

    path: str
    sha256: str
    kind: str
    partition: str


def _values_of(instance: Any) -> dict[str, Any]:
    return {each.name: getattr(instance, each.name) for each in fields(instance)}


@dataclass(frozen=True, slots=True, repr=False)
class Report(RunSummary):
    """What a pull did.

    ``exit_code`` is the one of the command line: 0 if every selected file is here and verified, 5
    if some files failed, 6 if some do not match their published checksum, 9 if a limit left some
    out. ``problems`` names the files that failed, and why. ``selected``, ``present``, ``fetched``,
    ``resumed``, ``failed`` … have ``.files`` and ``.bytes``; ``root`` is the folder of the files.
    """

    @classmethod
    def of(cls, summary: RunSummary) -> Self:
        """Return the report of a summary."""
        return cls(**_values_of(summary))

    @property
    def complete(self) -> bool:
        """Whether every selected file is here and verified."""
        return self.exit_code == ExitCode.COMPLETE

    def __repr__(self) -> str:
        done = ", ".join(f"{humanize.files(each.files)} {name}" for name, each in self._counts())
        ended = sentence_of(self.exit_code)
        return safe(
            f"<Report of {self.dataset} {self.version}: {ended} (exit_code {self.exit_code}); "
            f"{done}; {humanize.size(self.fetched.bytes)} in {humanize.duration(self.seconds)}>"
        )

    def _counts(self) -> Iterator[tuple[str, Totals]]:
        """Yield what is worth a word: selected and fetched always, others where there are any."""
        yield "selected", self.selected
        names = {
            "present": "verified before", "fetched": "fetched", "resumed": "of them resumed",
            "copied": "of them from this disk", "adopted": "adopted", "failed": "failed",
            "mismatched": "mismatched", "acknowledged": "acknowledged",
            "deleted": "moved to the trash",
        }  # fmt: skip
        for name, words in names.items():
            each: Totals = getattr(self, name)
            if each.files or name == "fetched":
                yield words, each

    def _repr_html_(self) -> str:
        """Return the report as a table, for a notebook."""
        rows: list[Row] = [
            (words, humanize.files(each.files), humanize.size(each.bytes))
            for words, each in self._counts()
        ]
        rate = self.fetched.bytes / self.seconds if self.seconds else 0.0
        rows.append(("time", humanize.duration(self.seconds), f"{humanize.size(rate)}/s"))
        notes = [f"Selection: {self.selection}", f"Folder: {self.root}", *self._reasons()]
        if self.refused:
            notes.append(f"{len(self.refused):,} lines of the manifest are rejected")
        if not self.complete:
            notes.append("What is here stays. To fetch the rest, make the same call again.")
        title = f"{self.dataset} {self.version}: {sentence_of(self.exit_code)}"
        return html_table(title, rows, notes=notes)

    def _reasons(self) -> Iterator[str]:
        reasons = Counter(f"{each.result.value}: {safe(each.reason)}" for each in self.problems)
        for reason, count in reasons.most_common(_MAX_REASONS):
            yield f"{humanize.files(count)} {reason}"
        if reasons:
            yield "The attribute problems names the files."


@dataclass(frozen=True, slots=True, repr=False)
class Forecast(forecast.Forecast):
    """What a pull would do. ``refusal``: the error that the pull would raise because its files do
    not fit on the disk, or None. ``str()`` of it is the table of ``cxrsync pull --dry-run``."""

    @classmethod
    def of(cls, found: forecast.Forecast) -> Self:
        """Return the forecast with its words."""
        return cls(**_values_of(found))

    def as_json(self) -> dict[str, object]:
        """Return the fields of ``cxrsync pull --dry-run --json``."""
        return as_fields(self)

    def __str__(self) -> str:
        return in_words(self)

    def __repr__(self) -> str:
        missing = sum(each.files for each in self.inventory.missing.values())
        return safe(
            f"<Forecast of {self.dataset} {self.version}: {humanize.files(missing)} of "
            f"{self.selected:,} to fetch, about {humanize.size(self.from_source)}; "
            f"{humanize.size(self.free_space.bytes)} free>"
        )

    def _repr_html_(self) -> str:
        """Return the table of a dry run, for a notebook."""
        refusal = "" if self.refusal is None else f"\n{in_python(str(self.refusal))}"
        title = f"{self.dataset} {self.version}: {self.selection}"
        return html_lines(title, f"{self}{refusal}")


@dataclass(repr=False)
class Verification(verify.Verification):
    """What hashing the files again has shown. ``bad`` and ``unreadable`` name files, ``missing``
    and ``extra`` are numbers of files; ``exit_code`` is 0 if every expected file is right.

    ``repair``: what the repair has fetched, if one was asked for and necessary. The exit code is
    then that of the repair; the other fields say what was found before.
    """

    repair: Report | None = None
    repair_exit_code: ExitCode | None = None

    @classmethod
    def of(cls, found: verify.Verification) -> Self:
        """Return the result with its words."""
        return cls(**_values_of(found))

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of ``cxrsync verify``, which is 0 if all is well or was repaired."""
        return super().exit_code if self.repair_exit_code is None else self.repair_exit_code

    @property
    def complete(self) -> bool:
        """Whether every expected file is here and right."""
        return self.exit_code == ExitCode.COMPLETE

    def _counts(self) -> dict[str, int]:
        return {
            "good": self.good,
            "bad": len(self.bad),
            "unreadable": len(self.unreadable),
            "missing": self.missing,
            "extra": self.extra,
        }

    def __repr__(self) -> str:
        counts = ", ".join(f"{count:,} {name}" for name, count in self._counts().items())
        return safe(
            f"<Verification of {humanize.files(self.selected)} ({self.selection}): {counts} "
            f"{'' if self.repair is None else '; repaired '}(exit_code {int(self.exit_code)})>"
        )

    def _repr_html_(self) -> str:
        """Return the result as a table, for a notebook."""
        rows = [(name, f"{count:,}") for name, count in self._counts().items()]
        wrong = self.bad or self.unreadable or self.missing
        notes = ["To fetch what is bad or missing: cxrsync.verify(repair=True)"] if wrong else []
        if self.repair is not None:
            notes = [f"Repair: {sentence_of(self.exit_code)}"]
        return html_table(
            f"{humanize.files(self.selected)} hashed again: {self.selection}", rows, notes=notes
        )


@dataclass(frozen=True, slots=True, repr=False)
class Status:
    """What of a tree is here, by the records of earlier runs.

    ``partitions``: by shard (and root) the numbers of files and bytes. ``runs``: what works on the
    tree at this moment.
    """

    dataset: str
    version: str
    root: str
    selection: str
    partitions: Mapping[str, PartitionStatus]
    runs: tuple[Mapping[str, Any], ...] = ()

    @property
    def total(self) -> PartitionStatus:
        """The sum of all partitions."""
        return total_of(self.partitions)

    @property
    def complete(self) -> bool:
        """Whether every selected file is here and verified."""
        total = self.total
        return total.verified + total.derived == total.selected > 0

    def __repr__(self) -> str:
        total = self.total
        derived = f", {total.derived:,} derived" if total.derived else ""
        return safe(
            f"<Status of {self.dataset} {self.version} ({self.selection}): {total.verified:,} of "
            f"{humanize.files(total.selected)} verified, {total.unverified:,} unverified, "
            f"{total.missing:,} missing{derived}; {humanize.size(total.verified_bytes)}>"
        )

    def _repr_html_(self) -> str:
        """Return the status as a table by shard, for a notebook."""
        shares = [*self.partitions.items(), ("total", self.total)]
        rows = [
            (name, f"{each.selected:,}", f"{each.verified:,}", f"{each.unverified:,}",
             f"{each.missing:,}", humanize.size(each.verified_bytes))
            for name, each in shares
        ]  # fmt: skip
        heading = ("", "selected", "verified", "unverified", "missing", "bytes")
        running = [f"{len(self.runs):,} running at this moment"] if self.runs else []
        title = f"{self.dataset} {self.version}: {self.selection}"
        return html_table(title, rows, heading=heading, notes=[f"Folder: {self.root}", *running])
