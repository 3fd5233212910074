"""A mirror whose dataset gets a new version: it is reported or followed; old ones are let go."""

import errno
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from another_process import another_process
from e2e.stage import JPG, Ended, Machine, files_below, fingerprint

from cxrsync import humanize
from cxrsync.cancellation import CancelToken
from cxrsync.cli import mirror as cli_mirror
from cxrsync.config.job_file import MirrorJob
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import ExitCode
from cxrsync.mirror import mirror
from cxrsync.mirror import versions as mirror_versions
from cxrsync.mirror.scrub import EmitFor
from cxrsync.operations import pull
from cxrsync.storage.lock import Lock

MANIFEST = "SHA256SUMS.txt"
OLD, NEW = "2.0.0", "2.1.0"
JOBS = """
defaults:
  dest: ${CXRSYNC_DEST}
  base_url: ${CXRSYNC_BASE_URL}
  ca_file: ${CXRSYNC_CA_FILE}
jobs:
  - name: jpg
    jpg: true
    shard: p10
    dataset_version: latest
    EXTRA
log: mirror.log
"""
PINNED = JOBS.replace("latest", f'"{OLD}"')


class Stage:
    """A mirror of version 2.0.0, and a server that may publish 2.1.0."""

    def __init__(self, machine: Machine, server: MiniPhysioNet, files: Path) -> None:
        self.machine = machine
        self.server = server
        self.published = files / JPG
        self.drawer = files.parent / "not published"
        self.drawer.mkdir()
        (self.published / NEW).rename(self.drawer / NEW)
        self.days = 0

    def write(self, text: str, extra: str = "") -> None:
        (self.machine.home / "jobs.yaml").write_text(text.replace("EXTRA", extra))

    def publish(self) -> None:
        (self.drawer / NEW).rename(self.published / NEW)

    def sign(self, *versions: str) -> None:
        self.server.set_behaviour(agreements=frozenset(f"{JPG}/{each}" for each in versions))

    def mirror(self, *words: str) -> Ended:
        return self.machine.run("mirror", *words, str(self.machine.home / "jobs.yaml"))

    def wait(self, days: int = 1) -> None:
        self.days += days
        # The answers of the public API are kept for a day by another clock.
        shutil.rmtree(self.machine.home / ".cache", ignore_errors=True)

    def night(self, days: int = 1) -> Ended:
        """The mirror, a day later; the requests and the log of this night."""
        self.wait(days)
        self.server.request_log.reset()
        (self.machine.home / "mirror.log").unlink(missing_ok=True)
        return self.mirror()

    @property
    def requests(self) -> int:
        return sum(each.requests for each in self.server.request_log.snapshot().by_path.values())

    @property
    def log(self) -> str:
        return (self.machine.home / "mirror.log").read_text()

    def tree(self, version: str) -> Path:
        return self.machine.dest / JPG / version

    def trashed(self, version: str = OLD) -> list[Path]:
        return sorted(self.tree(NEW).glob(f".cxrsync/trash/*/{version}"))


@pytest.fixture
def stage(
    own_files: Path,
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    server = serve(own_files)
    made = Stage(make_machine(server), server, own_files)

    def now() -> float:
        return time.time() + made.days * 86_400

    async def mirror_then(
        jobs: Sequence[MirrorJob], emit_for: EmitFor, cancel: CancelToken
    ) -> mirror.MirrorResult:
        return await mirror.mirror(jobs, emit_for, cancel, now)

    monkeypatch.setattr(cli_mirror, "run_jobs", mirror_then)
    monkeypatch.setattr(mirror_versions, "time", now)
    return made


def begin(stage: Stage, text: str = JOBS, extra: str = "") -> None:
    stage.write(text, extra)
    done = stage.mirror("--init")
    assert (done.code, done.out) == (0, f"jpg: {stage.tree(OLD)} is ready\n"), done.err
    assert stage.mirror() == Ended(0, "", "")


def test_a_night_without_change_is_three_requests(stage: Stage) -> None:
    begin(stage)
    for days, requests in ((1, 3), (0, 2), (1, 3), (400, 3)):
        assert stage.night(days) == Ended(0, "", "")
        assert stage.requests == requests


def test_a_new_version_is_followed(stage: Stage) -> None:
    begin(stage)
    stage.publish()
    assert stage.night() == Ended(0, "", "")
    new = stage.tree(NEW)
    assert fingerprint(new, below="files/") == fingerprint(
        stage.published / NEW, below="files/p10/"
    )
    assert "version 2.1.0 of mimic-cxr-jpg is published (against 2.0.0: " in stage.log
    assert "; the mirror follows it" in stage.log
    assert stage.tree(OLD).exists()
    assert not (stage.tree(OLD) / ".cxrsync/beside" / JPG / NEW).exists()
    [run] = [json.loads(each.read_text()) for each in (new / ".cxrsync/runs").iterdir()]
    assert run["files"]["copied"] > 0  # what is unchanged was not fetched again
    assert run["files"]["copied"] + 20 > run["files"]["selected"]
    manifest = stage.server.request_log.snapshot().by_path[f"{JPG}/{NEW}/SHA256SUMS.txt"]
    assert manifest.bytes_sent < 1.5 * (new / "SHA256SUMS.txt").stat().st_size  # fetched once

    assert stage.night() == Ended(0, "", "")
    assert stage.requests == 3
    assert "is published" not in stage.log


@pytest.mark.parametrize("where", ["create_tree", "sync_folders"])
def test_a_kill_while_a_version_is_begun(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    begin(stage)
    stage.publish()

    def die(*_arguments: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(mirror_versions, where, die)
        assert stage.night().code == ExitCode.UNEXPECTED
    assert stage.night(0) == Ended(0, "", "")
    assert fingerprint(stage.tree(NEW), below="files/") == fingerprint(
        stage.published / NEW, below="files/p10/"
    )


def test_a_diff_decides_nothing(stage: Stage) -> None:
    """It fetches the manifest of the new version to where the tree of that version belongs."""
    begin(stage, JOBS + "report: report.html\n", "keep_versions: 1")
    stage.publish()
    collapse(stage, shuffled=False)
    assert stage.machine.run("diff", "--jpg", OLD, NEW).code == 0
    assert (stage.tree(NEW) / "SHA256SUMS.txt").exists()
    assert stage.night().code == ExitCode.REFUSED
    assert (stage.tree(OLD) / "SHA256SUMS.txt").exists()
    page = (stage.machine.home / "report.html").read_text()
    assert (OLD in page, NEW in page) == (True, False)


def test_nothing_is_asked_outside_of_the_window(stage: Stage) -> None:
    begin(stage)
    stage.publish()
    hour = datetime.now().astimezone().hour
    stage.write(JOBS, f"window: {(hour + 2) % 24:02}:00-{(hour + 3) % 24:02}:00")
    assert stage.night() == Ended(ExitCode.LIMIT, "", "")
    assert stage.requests == 0


def test_a_check_looks_at_any_hour(stage: Stage) -> None:
    """A mirror is set up by day: its window, which is at night, must not end the check."""
    begin(stage)
    stage.publish()
    hour = datetime.now().astimezone().hour
    stage.write(
        PINNED, f"window: {(hour + 2) % 24:02}:00-{(hour + 3) % 24:02}:00\n    delete: true"
    )
    check = stage.mirror("--check")
    assert (check.code, "destination: " in check.out, check.err.count("left the manifest")) == (
        0, True, 0,
    )  # fmt: skip


def test_a_server_that_is_away_loses_no_news(stage: Stage) -> None:
    authority = stage.machine.home / "ca.pem"  # the server's own goes when it stops
    stage.machine.ca_file = Path(shutil.copy(stage.machine.ca_file, authority))
    begin(stage)
    stage.publish()
    stage.server.stop()
    # So little patience only where nobody answers anyway.
    stage.write(JOBS, extra="give_up_after: 0.1\n    connect_timeout: 0.5")
    assert stage.night().code == ExitCode.UNREACHABLE
    stage.write(JOBS)
    stage.server.start()
    assert stage.night() == Ended(0, "", "")
    assert stage.tree(NEW).exists()


def test_a_version_in_a_folder_is_followed(stage: Stage) -> None:
    stage.publish()
    source = stage.machine.home / "source"
    for version in (OLD, NEW):
        pulled = stage.machine.run(
            "pull", "--jpg", "--shard", "p10", "--dataset-version", version, "--dest", str(source)
        )
        assert pulled.code == 0
    (source / JPG / NEW).rename(stage.machine.home / NEW)
    begin(stage, extra=f"from: {source}\n    keep_versions: 1")
    (stage.machine.home / NEW).rename(source / JPG / NEW)
    assert stage.night() == Ended(0, "", "")
    assert fingerprint(stage.tree(NEW)) == fingerprint(source / JPG / NEW)
    assert len(stage.trashed()) == 1


def test_a_tree_of_wgets_is_reused(stage: Stage) -> None:
    root = stage.tree(OLD)
    for each in [
        *(stage.published / OLD).glob("files/p10/*/*/*"),
        stage.published / OLD / MANIFEST,
    ]:
        target = root / each.relative_to(stage.published / OLD)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(each, target)
    begin(stage, extra="keep_versions: 1")
    [run] = [json.loads(each.read_text()) for each in (root / ".cxrsync/runs").iterdir()]
    assert run["files"]["adopted"] > 10
    (root / "files/p10/index.html").write_text("<html>")
    stage.publish()
    assert stage.night() == Ended(0, "", "")
    assert len(stage.trashed()) == 1


def test_a_version_that_is_denied_is_told_once(stage: Stage) -> None:
    begin(stage)
    stage.publish()
    stage.sign(OLD)
    assert stage.night() == Ended(0, "", "")
    page = f"https://physionet.org/content/mimic-cxr-jpg/{NEW}/"
    assert page in stage.log
    assert f"{OLD} stays the mirror's version until then" in stage.log
    assert not stage.tree(NEW).exists()
    for _night in range(8):
        assert stage.night() == Ended(0, "", "")
        assert page not in stage.log
        assert stage.requests <= 3
    stage.sign(OLD, NEW)
    assert stage.night(2) == Ended(0, "", "")
    assert (stage.tree(NEW) / "SHA256SUMS.txt").exists()


def test_a_dataset_with_the_reports_has_an_agreement_of_its_own(stage: Stage) -> None:
    begin(stage, extra="with_reports: true")
    stage.publish()
    both = {f"{JPG}/{NEW}", f"{JPG}/{OLD}", f"mimic-cxr/{OLD}"}
    stage.server.set_behaviour(agreements=frozenset(both))
    assert stage.night() == Ended(0, "", "")
    assert "mimic-cxr, which the job needs too, is not open to this user (403)" in stage.log
    assert f"https://physionet.org/content/mimic-cxr/{NEW}/" in stage.log
    assert not stage.tree(NEW).exists()
    stage.server.set_behaviour(agreements=None)
    assert stage.night() == Ended(0, "", "")
    assert (stage.machine.dest / "mimic-cxr" / NEW / "SHA256SUMS.txt").exists()


def test_no_access_at_all_is_no_missing_signature(stage: Stage) -> None:
    """A training that has expired: the page of the new version would be the wrong advice."""
    begin(stage)
    stage.publish()
    stage.sign()
    assert stage.night().code == ExitCode.ACCESS
    assert "is published" not in stage.log
    stage.sign(OLD)
    assert stage.night() == Ended(0, "", "")
    assert f"Sign it at the foot of https://physionet.org/content/{JPG}/{NEW}/" in stage.log


def test_a_job_that_names_its_version_is_told_what_a_newer_one_costs(stage: Stage) -> None:
    begin(stage, PINNED)
    stage.publish()
    assert stage.night() == Ended(0, "", "")
    assert stage.requests <= 5  # list, sign-in, two manifests and what asks for the second
    [line] = [each for each in stage.log.splitlines() if "is published (" in each]
    diff = stage.machine.run(
        "diff", "--jpg", "--shard", "p10", "--json", "--dest", str(stage.machine.home / "x"),
        OLD, NEW,
    ).summary  # fmt: skip
    counts = [(diff["added"], "new"), (diff["changed"], "changed"), (diff["removed"], "gone")]
    words = ", ".join(f"{humanize.files(count)} {word}" for count, word in counts if count)
    assert f" (against {OLD}: {words}; " in line
    assert f"{diff['files_moving']:,} files to fetch, about " in line
    assert f'dataset_version: "{NEW}"' in line
    assert "2.1.0 is published" in stage.log.splitlines()[-1]
    assert not stage.tree(NEW).exists()
    assert stage.machine.run("status", "--jpg").code == 0  # which finds one version only
    assert stage.night() == Ended(0, "", "")
    assert stage.requests == 3
    assert "is published (" not in stage.log
    assert "2.1.0 is published" in stage.log.splitlines()[-1]


def test_what_tables_decide_is_not_fetched_for_the_report(stage: Stage) -> None:
    begin(stage, PINNED, "split: test")
    stage.publish()
    assert stage.night() == Ended(0, "", "")
    assert "at most (the tables decide)" in stage.log
    assert stage.requests <= 5


def collapse(stage: Stage, shuffled: bool) -> None:
    manifest = stage.published / NEW / "SHA256SUMS.txt"
    lines = manifest.read_text().splitlines(keepends=True)
    kept = lines[20:] + lines[:20] if shuffled else lines[: len(lines) // 2]
    manifest.write_text("".join(kept))


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_new_version_whose_manifest_collapsed_is_not_followed(
    stage: Stage, shuffled: bool
) -> None:
    begin(stage, extra="keep_versions: 1")
    before = fingerprint(stage.tree(OLD))
    stage.publish()
    shutil.copy2(stage.published / NEW / "SHA256SUMS.txt", stage.drawer)
    collapse(stage, shuffled)
    for days in (1, 0, 1, 7):
        done = stage.night(days)
        assert (done.code, done.out) == (ExitCode.REFUSED, "")
        words = "is not sorted" if shuffled else "lists only"
        assert words in done.err
        assert "mirror --init" in done.err
        assert fingerprint(stage.tree(OLD)) == before
        assert not stage.tree(NEW).exists()
        assert stage.requests <= 3 + (days == 1 and "is published" in stage.log) * 2
    shutil.copy2(stage.drawer / "SHA256SUMS.txt", stage.published / NEW)
    assert stage.night(2) == Ended(0, "", "")
    assert fingerprint(stage.tree(NEW), below="files/")


def test_a_person_may_insist_on_a_version(stage: Stage) -> None:
    begin(stage)
    stage.publish()
    collapse(stage, shuffled=False)
    assert stage.night().code == ExitCode.REFUSED
    stage.write(JOBS.replace("latest", f'"{NEW}"'))
    assert stage.mirror("--init").code == 0
    assert stage.mirror() == Ended(0, "", "")
    stage.write(JOBS)
    assert stage.night() == Ended(0, "", "")
    assert (stage.tree(NEW) / ".cxrsync/runs").exists()


def test_a_version_never_lands_on_another_disk(
    stage: Stage, small_disk: Callable[[str], Path]
) -> None:
    """A disk for each version: the next one would fill the disk below the mount points."""
    stage.tree(OLD).parent.mkdir(parents=True)
    stage.tree(OLD).symlink_to(small_disk("size=20m"))
    begin(stage)
    stage.publish()
    done = stage.night()
    assert (done.code, "would be on another disk" in done.err) == (ExitCode.REFUSED, True)
    assert not stage.tree(NEW).exists()
    assert f"complete and verified: {stage.tree(OLD)}" in stage.log  # it is kept up meanwhile


# ── older versions ─────────────────────────────────────────────────────────────────────────────


def test_an_older_version_goes_to_the_trash_of_the_newest(stage: Stage) -> None:
    begin(stage, extra="keep_versions: 1\n    trash_keep: 30d")
    earlier = stage.tree(OLD) / ".cxrsync/trash/20990101T000000.000000Z/x"
    earlier.mkdir(parents=True)
    files = fingerprint(stage.tree(OLD))
    stage.publish()
    assert stage.night() == Ended(0, "", "")
    [place] = stage.trashed()
    assert fingerprint(place) == files
    assert not stage.tree(OLD).exists()
    assert str(place) in stage.log
    assert (stage.tree(NEW) / ".cxrsync/trash/20990101T000000.000000Z/x").is_dir()
    assert list(place.glob(".cxrsync/*/lock")) == []
    assert stage.machine.run("verify", "--jpg").code == 0
    # It can be put back.
    place.rename(stage.tree(OLD))
    assert stage.machine.run("verify", "--jpg", "--dataset-version", OLD).code == 0
    assert stage.machine.pull("--jpg", "--shard", "p10", "--dataset-version", OLD).code == 0
    assert stage.night() == Ended(0, "", "")
    [place] = stage.trashed()
    # And it does not stay for ever.
    place.parent.rename(place.parent.with_name("20200101T000000.000000Z"))
    assert stage.night() == Ended(0, "", "")
    assert stage.trashed() == []


def test_tables_that_were_unpacked_go_to_the_trash_too(stage: Stage) -> None:
    begin(stage, extra="keep_versions: 1\n    gunzip_tables: true")
    assert len(list(stage.tree(OLD).glob("*-2.0.0-*.csv"))) == 4
    stage.publish()
    assert stage.night() == Ended(0, "", "")
    assert len(stage.trashed()) == 1


def test_two_versions_are_kept(stage: Stage) -> None:
    begin(stage, extra="keep_versions: 2")
    stage.publish()
    assert stage.night() == Ended(0, "", "")
    assert (stage.tree(OLD) / "SHA256SUMS.txt").exists()
    assert (stage.tree(NEW) / "SHA256SUMS.txt").exists()


def test_what_diff_has_begun_is_no_version_that_is_kept(stage: Stage) -> None:
    begin(stage, extra="keep_versions: 2")
    hollow = stage.tree("2.0.5")
    (hollow / ".cxrsync").mkdir(parents=True)
    claim = {"dataset": JPG, "version": "2.0.5"}
    (hollow / ".cxrsync/tree.json").write_text(json.dumps(claim))
    shutil.copy2(stage.published / OLD / MANIFEST, hollow)
    stage.publish()
    assert stage.night() == Ended(0, "", "")
    assert (stage.tree(OLD) / MANIFEST).exists()
    stage.write(JOBS, "keep_versions: 1")
    assert stage.night() == Ended(0, "", "")
    assert (stage.trashed() != [], stage.tree(OLD).exists()) == (True, False)
    assert (hollow / MANIFEST).exists()


def test_a_version_that_was_never_complete_is_not_counted(stage: Stage) -> None:
    begin(stage, extra="keep_versions: 2")
    middle = stage.tree("2.0.5")
    shutil.copytree(stage.tree(OLD), middle)
    (middle / ".cxrsync/tree.json").write_text(json.dumps({"dataset": JPG, "version": "2.0.5"}))
    for log in (middle / ".cxrsync/runs").iterdir():
        log.write_text(json.dumps({**json.loads(log.read_text()), "exit_code": 5}))
    stage.publish()
    stage.write(JOBS.replace("latest", f'"{NEW}"'), "keep_versions: 2")
    assert stage.mirror("--init").code == 0
    assert stage.night() == Ended(0, "", "")
    assert (stage.trashed(), stage.tree(OLD).exists(), middle.exists()) == ([], True, True)


def test_files_whose_times_were_lost_are_still_the_datasets(stage: Stage) -> None:
    """As in a tree that was copied to another disk."""
    begin(stage)
    stage.publish()
    assert stage.night() == Ended(0, "", "")
    for path in files_below(stage.tree(OLD)):
        os.utime(stage.tree(OLD) / path, (1_700_000_000,) * 2)
    stage.write(JOBS, "keep_versions: 1")
    assert stage.night() == Ended(0, "", "")
    assert len(stage.trashed()) == 1


def test_tables_that_another_job_fetches_are_not_moved_each_night(stage: Stage) -> None:
    other = f"""  - name: dicom
    dicom: true
    shard: p10
    split: test
    dataset_version: "{OLD}"
log: mirror.log"""
    text = JOBS.replace("    shard: p10\n", "").replace("log: mirror.log", other)
    stage.write(text, "keep_versions: 1")
    assert stage.mirror("--init").code == 0
    assert stage.mirror() == Ended(0, "", "")
    stage.publish()
    for _night in range(2):  # the tables come back for the other job
        assert stage.night() == Ended(0, "", "")
    for _night in range(2):
        assert stage.night() == Ended(0, "", "")
        assert len(stage.trashed()) == 1
        assert stage.requests <= 8  # of two jobs, one of which needs two datasets


def test_a_place_that_cannot_be_made_is_named(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(stage)
    stage.publish()

    def refuse(*_paths: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(mirror_versions, "sync_folders", refuse)
        patch.setattr(mirror_versions, "create_tree", refuse)
        done = stage.night()
    assert done.code == ExitCode.DISK
    assert f"its tree {stage.tree(NEW)} cannot be made" in done.err


def test_not_before_the_new_one_is_complete(stage: Stage) -> None:
    begin(stage, extra="keep_versions: 1")
    stage.publish()
    stage.write(JOBS, "keep_versions: 1\n    max_files: 12")
    assert stage.night().code == ExitCode.LIMIT
    assert stage.tree(OLD).exists()
    stage.write(JOBS, "keep_versions: 1")
    lost = next((stage.published / NEW).glob("files/p10/*/*/*.jpg"))
    changed = lost.read_bytes()
    lost.unlink()
    (stage.tree(NEW) / lost.relative_to(stage.published / NEW)).unlink(missing_ok=True)
    for version in (OLD, NEW):
        for each in stage.tree(version).rglob(lost.name):
            each.unlink()
    assert stage.night().code == ExitCode.FILES_FAILED
    assert stage.tree(OLD).exists()
    lost.write_bytes(changed)
    assert stage.night() == Ended(0, "", "")
    assert not stage.tree(OLD).exists()


def own_notes(stage: Stage) -> None:
    (stage.tree(OLD) / "files/p10/notes.txt").write_text("a doctor's")


def own_change(stage: Stage) -> None:
    image = next(stage.tree(OLD).glob("files/p10/*/*/*.jpg"))
    image.chmod(0o600)
    image.write_bytes(b"a doctor's")


def own_link(stage: Stage) -> None:
    image = next(stage.tree(OLD).glob("files/p10/*/*/*.jpg"))
    image.unlink()
    image.symlink_to(stage.machine.home)


def other_selection(stage: Stage) -> None:
    pulled = stage.machine.pull("--jpg", "--shard", "p11", "--dataset-version", OLD)
    assert pulled.code == 0


def other_mark(stage: Stage) -> None:
    claim = {"dataset": "mimic-cxr", "version": OLD}
    (stage.tree(OLD) / ".cxrsync/tree.json").write_text(json.dumps(claim))


def no_mark(stage: Stage) -> None:
    shutil.rmtree(stage.tree(OLD) / ".cxrsync")


def elsewhere(stage: Stage) -> None:
    stage.tree(OLD).rename(stage.machine.home / "elsewhere")
    stage.tree(OLD).symlink_to(stage.machine.home / "elsewhere")


def at_work(stage: Stage) -> None:
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + ".000000Z"
    folder = stage.tree(OLD) / ".cxrsync/progress"
    folder.mkdir(exist_ok=True)
    counts = dict.fromkeys(("selected", "present", "fetched", "adopted"), 0)
    record = {**another_process(), "run": stamp, "files": counts}
    (folder / f"{stamp}.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (own_notes, "files/p10/notes.txt in "),
        (own_change, "has not the bytes of the dataset's file"),
        (own_link, "has not the bytes of the dataset's file"),
        (other_selection, "was also pulled with another selection"),
        (other_mark, ""),
        (no_mark, ""),
        (elsewhere, "does not lie beside"),
        (at_work, "another run works on"),
    ],
)
def test_a_tree_that_may_be_somebodys_stays(
    stage: Stage, spoil: Callable[[Stage], None], said: str
) -> None:
    begin(stage)
    stage.publish()
    assert stage.night() == Ended(0, "", "")
    spoil(stage)
    before = set(files_below(stage.tree(OLD)))
    stage.write(JOBS, "keep_versions: 1")
    assert stage.night() == Ended(0, "", "")
    assert set(files_below(stage.tree(OLD))) == before
    assert said in stage.log
    assert stage.trashed() == []


def test_a_run_that_holds_a_lock_keeps_its_tree(stage: Stage) -> None:
    begin(stage, extra="keep_versions: 1")
    stage.publish()
    with Lock(stage.tree(OLD) / ".cxrsync/p10"):
        assert stage.night() == Ended(0, "", "")
        assert "version 2.0.0 is not moved to the trash: another run holds" in stage.log
    assert stage.tree(OLD).exists()
    assert stage.night() == Ended(0, "", "")
    assert not stage.tree(OLD).exists()


def follow_elsewhere(stage: Stage) -> None:
    """Do what another run of the mirror does that has followed the new version."""
    new = stage.tree(NEW)
    shutil.copytree(stage.tree(OLD), new)
    (new / ".cxrsync/tree.json").write_text(json.dumps({"dataset": JPG, "version": NEW}))
    place = new / ".cxrsync/trash/20261126T050000.000000Z"
    place.mkdir(parents=True)
    stage.tree(OLD).rename(place / OLD)


@pytest.mark.parametrize("place", ["_look", "scrub", "waiting_since", "pull", "fetch"])
@pytest.mark.parametrize("extra", ["", "scrub: 1d"])
def test_another_run_has_followed_meanwhile(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, place: str, extra: str
) -> None:
    """Its tree was moved away under a run that had chosen it: no disk is unmounted."""
    begin(stage, extra=extra)
    patched = {
        "_look": (mirror_versions, "_look"),
        "scrub": (mirror.Scrubs, "run"),
        "waiting_since": (mirror, "waiting_since"),
        "pull": (mirror, "pull"),
        "fetch": (pull, "fetch_prerequisites"),
    }[place]
    original = getattr(*patched)

    def called(*arguments: object, **named: object) -> object:
        if not stage.tree(NEW).exists():
            follow_elsewhere(stage)
        return original(*arguments, **named)

    monkeypatch.setattr(*patched, called)
    assert stage.night() == Ended(ExitCode.LIMIT, "", "")
    assert "another run follows version 2.1.0" in stage.log
    assert not stage.tree(OLD).exists()


def test_a_new_version_is_no_excuse_for_a_tree_that_is_gone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(stage)
    original = mirror.waiting_since

    def called(*arguments: object) -> object:
        follow_elsewhere(stage)
        [moved] = stage.trashed()
        moved.rename(stage.machine.home / "gone")
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(mirror, "waiting_since", called)
    done = stage.night()
    assert (done.code, "Is the disk mounted?" in done.err) == (ExitCode.REFUSED, True)


# ── --init and --check ─────────────────────────────────────────────────────────────────────────


def test_init_takes_the_newest_version_that_opens(stage: Stage) -> None:
    stage.publish()
    stage.write(JOBS)
    stage.sign(OLD)
    done = stage.mirror("--init")
    assert (done.code, done.out) == (0, f"jpg: {stage.tree(OLD)} is ready\n")
    stage.sign()
    shutil.rmtree(stage.machine.dest)
    refused = stage.mirror("--init")
    assert refused.code == ExitCode.ACCESS
    assert not stage.machine.dest.exists()
    stage.sign(OLD, NEW)
    assert stage.mirror("--init").out == f"jpg: {stage.tree(NEW)} is ready\n"
    # Signed when it was marked, and not any more in the first night.
    stage.sign(OLD)
    assert stage.mirror() == Ended(0, "", "")
    assert (stage.tree(OLD) / "SHA256SUMS.txt").exists()


def test_without_a_marked_tree_nothing_is_created(stage: Stage) -> None:
    stage.write(JOBS)
    done = stage.mirror()
    assert (done.code, "--init" in done.err) == (ExitCode.REFUSED, True)
    assert not stage.machine.dest.exists()
    assert stage.mirror("--check").code == ExitCode.REFUSED


def test_check_says_what_would_be_followed(stage: Stage) -> None:
    begin(stage)
    stage.publish()
    stage.wait()
    done = stage.mirror("--check")
    assert done.code == 0, done.err
    assert f"job jpg: {JPG} {OLD} (p10, with the tables)" in done.out
    assert "version 2.1.0 of mimic-cxr-jpg is published (against 2.0.0: " in done.out
    assert "the mirror follows it" in done.out
    assert not stage.tree(NEW).exists()
    assert stage.mirror() == Ended(0, "", "")
    assert stage.tree(NEW).exists()


def test_a_destination_that_is_one_version_cannot_follow(stage: Stage) -> None:
    begin(stage)
    stage.write(JOBS.replace("${CXRSYNC_DEST}", str(stage.tree(OLD))))
    for words in ((), ("--init",), ("--check",)):
        done = stage.mirror(*words)
        assert (done.code, "the tree of one version" in done.err) == (ExitCode.USAGE, True)


# ── the present version's manifest ─────────────────────────────────────────────────────────────


def test_a_present_manifest_that_collapsed_waits_for_a_person(stage: Stage) -> None:
    begin(stage, extra="delete: true\n    max_delete: 100%")
    before = fingerprint(stage.tree(OLD))
    manifest = stage.published / OLD / MANIFEST
    lines = manifest.read_text().splitlines(keepends=True)
    left = [line for line in lines if "files/p1" not in line or "files/p10/" in line]
    assert len(left) < 0.9 * len(lines)
    manifest.write_text("".join(left))
    for _night in range(2):
        done = stage.night()
        assert (done.code, done.out) == (ExitCode.REFUSED, "")
        assert "has lost " in done.err
        assert fingerprint(stage.tree(OLD)) == before
    # The command in the mail accepts the new one. Nothing of the selection has left.
    command = done.err.split("run the command again: ")[1].splitlines()[0]
    subprocess.run(shlex.split(command), check=True)
    assert stage.night() == Ended(0, "", "")
    assert (stage.tree(OLD) / MANIFEST).read_text() == "".join(left)
    [kept] = stage.tree(OLD).glob(f".cxrsync/manifests/*-{MANIFEST}")
    assert kept.read_text() == "".join(lines)
