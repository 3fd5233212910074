"""The metrics of a mirror for Prometheus: a file for node_exporter's textfile collector.

The file is replaced whole after each run. Names and units follow the conventions of Prometheus; the
only labels are ``job`` and ``dataset``, and ``state`` for numbers of files. No path, no id and no
name of a user is in it, because every user of the machine can read it: node_exporter runs as a user
of its own.

The old file is read first. It has what a run cannot know: when a job that failed now succeeded
last, how much was scrubbed before, and everything about jobs that did not run this time. A file
that is lost or damaged costs only that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cxrsync.mirror.report import GOOD_CODES, FileCounts, JobReport
from cxrsync.sanitize import reason_of
from cxrsync.storage.access import Access
from cxrsync.storage.atomic_write import write_file

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

# node_exporter runs as another user.
_ACCESS = Access(files=0o644)
FILES = "cxrsync_files"
STATES = ("verified", "missing", "failed", "mismatched")
# Name in JobMetrics → name of the metric, its type, and its help.
_METRICS = {
    "last_success": (
        "cxrsync_last_success_timestamp_seconds", "gauge",
        "Unix time of the end of the last run with exit code 0 or 9.",
    ),
    "last_run": (
        "cxrsync_last_run_timestamp_seconds", "gauge", "Unix time of the end of the last run.",
    ),
    "exit_code": ("cxrsync_last_exit_code", "gauge", "Exit code of the last run."),
    "verified_bytes": ("cxrsync_bytes", "gauge", "Bytes of the verified files."),
    "oldest_proof": (
        "cxrsync_oldest_proof_timestamp_seconds", "gauge",
        "Unix time at which the file that was hashed longest ago was hashed.",
    ),
    "scrubbed_bytes": (
        "cxrsync_scrubbed_bytes_total", "counter", "Bytes that were hashed again by all runs.",
    ),
    "rotten_files": (
        "cxrsync_rotten_files_total", "counter",
        "Files that all runs found to have lost their right bytes.",
    ),
    "deleted_files": (
        "cxrsync_deleted_files_total", "counter",
        "Files that left the manifest and were moved to the trash by all runs.",
    ),
    "seconds": ("cxrsync_run_duration_seconds", "gauge", "Duration of the last run."),
}  # fmt: skip
_FILES_HELP = "Files of the selection by state, after the last run."


@dataclass(frozen=True, slots=True)
class JobMetrics:
    """The metrics of one job: values by their names in ``_METRICS``, and numbers of files by
    state."""

    values: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, float] = field(default_factory=dict)


JobKey = tuple[str, str]
"""The name of a job and its dataset."""


def metrics_after(
    before: Mapping[JobKey, JobMetrics], results: Iterable[JobReport], jobs: Collection[str]
) -> dict[JobKey, JobMetrics]:
    """Return the metrics after a run. ``jobs``: the names of all jobs of the job file, also of
    those that did not run; metrics of other jobs are dropped."""
    after = {key: value for key, value in before.items() if key[0] in jobs}
    for result in results:
        key = (result.job, result.dataset)
        after[key] = _job_metrics(after.get(key, JobMetrics()), result)
    return after


def _job_metrics(before: JobMetrics, result: JobReport) -> JobMetrics:
    old = before.values
    values: dict[str, float] = {
        "last_run": result.ended_at,
        "exit_code": result.exit_code,
        "scrubbed_bytes": old.get("scrubbed_bytes", 0.0) + result.scrubbed_bytes,
        "rotten_files": old.get("rotten_files", 0.0) + result.rotten_files,
        "deleted_files": old.get("deleted_files", 0.0) + result.files.deleted,
        "seconds": result.seconds,
    }
    # A run that failed early knows neither of these; what was known stays true or gets older.
    if result.exit_code in GOOD_CODES:
        values["last_success"] = result.ended_at
    elif "last_success" in old:
        values["last_success"] = old["last_success"]
    if result.oldest_proof is not None:
        values["oldest_proof"] = result.oldest_proof
    elif "oldest_proof" in old:
        values["oldest_proof"] = old["oldest_proof"]
    if result.files == FileCounts():  # it ended before it counted, or left the work to another run
        values["verified_bytes"] = old.get("verified_bytes", result.verified_bytes)
        return JobMetrics(values, before.files)
    values["verified_bytes"] = result.verified_bytes
    return JobMetrics(values, {each: getattr(result.files, each) for each in STATES})


def metrics_text(metrics: Mapping[JobKey, JobMetrics]) -> str:
    """Return the metrics in the text format of Prometheus."""
    # Here, because few runs write metrics.
    from prometheus_client import CollectorRegistry, generate_latest

    class Collected:
        def collect(self) -> Iterable[Metric]:
            return _families(metrics)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())
    return generate_latest(registry).decode("utf-8")


def _families(metrics: Mapping[JobKey, JobMetrics]) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    labels = ("job", "dataset")
    for name, (called, kind, help_text) in _METRICS.items():
        family: Metric
        make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
        family = made = make(called, help_text, labels=labels)
        for key, each in sorted(metrics.items()):
            if name in each.values:
                made.add_metric(list(key), each.values[name])
        yield family
    files = GaugeMetricFamily(FILES, _FILES_HELP, labels=(*labels, "state"))
    for key, each in sorted(metrics.items()):
        for state in STATES:
            if state in each.files:
                files.add_metric([*key, state], each.files[state])
    yield files


def parse_metrics(text: str) -> dict[JobKey, JobMetrics]:
    """Return the metrics of a file that :func:`metrics_text` made. Raises ValueError."""
    from prometheus_client.parser import text_string_to_metric_families

    names = {called: name for name, (called, *_more) in _METRICS.items()}
    found: dict[JobKey, JobMetrics] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.labels.get("job", ""), sample.labels.get("dataset", ""))
            known = found.setdefault(key, JobMetrics())
            if sample.name in names:
                values = {**known.values, names[sample.name]: sample.value}
                found[key] = replace(known, values=values)
            elif sample.name == FILES and (state := sample.labels.get("state")) in STATES:
                found[key] = replace(known, files={**known.files, state: sample.value})
    return found


def write_metrics(path: Path, results: Iterable[JobReport], jobs: Collection[str]) -> str | None:
    """Replace the metrics file at once. Return a warning if that failed, else None.

    ``jobs``: see :func:`metrics_after`.
    """
    try:
        text = metrics_text(metrics_after(_read(path), results, jobs))
        # The temporary name does not end with .prom: node_exporter never reads half a file.
        write_file(path, text.encode(), fsync=False, access=_ACCESS)
    except OSError as problem:
        return f"the metrics file {path} cannot be written: {reason_of(problem)}"
    return None


def _read(path: Path) -> dict[JobKey, JobMetrics]:
    try:
        return parse_metrics(path.read_text("utf-8"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # the parser has no error of its own
