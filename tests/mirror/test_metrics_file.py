from __future__ import annotations

import os
from pathlib import Path

import pytest

from cxrsync.mirror.metrics_file import metrics_after, parse_metrics, write_metrics
from cxrsync.mirror.report import FileCounts, JobReport

GOOD = JobReport(
    "jpg", "mimic-cxr-jpg", 0, 1_800_000_000.5, 61.5, FileCounts(9, 2, 3, 1, 4, 6), 1 << 42,
    fetched_bytes=5, scrubbed_bytes=700, rotten_files=2,
    oldest_proof=1_790_000_000.0, run_file=Path("/secret/p10"),
)  # fmt: skip
BAD = JobReport("jpg", "mimic-cxr-jpg", 10, 1_800_086_400.0, 3600.0, scrubbed_bytes=50)
OTHER = JobReport("dicom", "mimic-cxr", 9, 1_800_000_100.0, 1.0, oldest_proof=None)


def samples(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def test_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "cxrsync.prom"
    assert write_metrics(path, [GOOD], {"jpg"}) is None
    labels = '{dataset="mimic-cxr-jpg",job="jpg"}'
    of_state = '{dataset="mimic-cxr-jpg",job="jpg",state="%s"}'
    written = [line.replace("e+012", "e+12") for line in samples(path)]  # before version 0.25
    assert written == [
        f"cxrsync_last_success_timestamp_seconds{labels} 1.8000000005e+09",
        f"cxrsync_last_run_timestamp_seconds{labels} 1.8000000005e+09",
        f"cxrsync_last_exit_code{labels} 0.0",
        f"cxrsync_bytes{labels} 4.398046511104e+12",
        f"cxrsync_oldest_proof_timestamp_seconds{labels} 1.79e+09",
        f"cxrsync_scrubbed_bytes_total{labels} 700.0",
        f"cxrsync_rotten_files_total{labels} 2.0",
        f"cxrsync_deleted_files_total{labels} 6.0",
        f"cxrsync_run_duration_seconds{labels} 61.5",
        f"cxrsync_files{of_state % 'verified'} 9.0",
        f"cxrsync_files{of_state % 'missing'} 2.0",
        f"cxrsync_files{of_state % 'failed'} 1.0",
        f"cxrsync_files{of_state % 'mismatched'} 4.0",
    ]
    assert "# TYPE cxrsync_scrubbed_bytes_total counter" in path.read_text()
    assert "secret" not in path.read_text()


def test_everybody_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_metrics(tmp_path / "cxrsync.prom", [GOOD], {"jpg"})
    finally:
        os.umask(before)
    assert (tmp_path / "cxrsync.prom").stat().st_mode & 0o777 == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["cxrsync.prom"]


def test_a_failure_keeps_the_last_success_and_counts_on(tmp_path: Path) -> None:
    path = tmp_path / "cxrsync.prom"
    write_metrics(path, [GOOD, OTHER], {"jpg", "dicom"})
    write_metrics(path, [BAD], {"jpg", "dicom"})
    metrics = parse_metrics(path.read_text())
    jpg = metrics["jpg", "mimic-cxr-jpg"].values
    assert jpg["last_success"] == GOOD.ended_at
    assert (jpg["last_run"], jpg["exit_code"]) == (BAD.ended_at, 10)
    assert (jpg["scrubbed_bytes"], jpg["deleted_files"]) == (750, 6)
    assert jpg["oldest_proof"] == GOOD.oldest_proof
    assert jpg["verified_bytes"] == GOOD.verified_bytes  # BAD ended before it counted
    assert metrics["jpg", "mimic-cxr-jpg"].files["verified"] == 9
    assert metrics["dicom", "mimic-cxr"].values["last_success"] == OTHER.ended_at  # did not run


def test_a_job_that_was_removed_disappears() -> None:
    before = metrics_after({}, [GOOD, OTHER], {"jpg", "dicom"})
    assert metrics_after(before, [BAD], {"jpg"}).keys() == {("jpg", "mimic-cxr-jpg")}


@pytest.mark.parametrize("damage", [b"", b"}{ \n", b"\xff\xfe", b'cxrsync_files{job="a'])
def test_a_damaged_file_is_replaced(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "cxrsync.prom"
    path.write_bytes(damage)
    assert write_metrics(path, [BAD], {"jpg"}) is None
    [metrics] = parse_metrics(path.read_text()).values()
    assert "last_success" not in metrics.values
    assert metrics.values["scrubbed_bytes"] == 50


def test_a_folder_that_is_missing_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "cxrsync.prom"
    assert write_metrics(path, [GOOD], {"jpg"}) == (
        f"the metrics file {path} cannot be written: No such file or directory"
    )


def test_odd_names_of_jobs_survive(tmp_path: Path) -> None:
    path = tmp_path / "cxrsync.prom"
    odd = JobReport('a"b\\c\nd', "mimic-cxr", 0, 5.0, 1.0)
    write_metrics(path, [odd], {odd.job})
    assert list(parse_metrics(path.read_text())) == [(odd.job, "mimic-cxr")]
