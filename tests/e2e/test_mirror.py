"""``cxrsync mirror``: a file of jobs, run unattended against the miniature PhysioNet."""

import contextlib
import grp
import json
import os
import pty
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from another_process import another_process
from e2e.stage import DICOM, JOB_DEFAULTS, JPG, VERSION, Ended, Machine, fingerprint, wait_until

from cxrsync.cancellation import CancelToken
from cxrsync.config.job_keys import as_keys
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.demo.walkthrough import DemoSetup
from cxrsync.errors import ExitCode, WillNotFit

JOBS = (
    JOB_DEFAULTS
    + """jobs:
  - name: jpg
    jpg: true
    shard: p10
  - name: dicom
    dicom: true
    metadata_only: true
log: mirror.log
"""
)


@pytest.fixture
def machine(
    shared_server: MiniPhysioNet, make_machine: Callable[[MiniPhysioNet], Machine]
) -> Machine:
    return make_machine(shared_server)


@pytest.fixture
def jobs(machine: Machine) -> Path:
    return write(machine, JOBS)


def write(machine: Machine, text: str) -> Path:
    file = machine.home / "jobs.yaml"
    file.write_text(text)
    return file


def init(machine: Machine, file: Path) -> None:
    done = machine.run("mirror", "--init", str(file))
    assert (done.code, done.err) == (0, "")


def tree(machine: Machine, dataset: str = JPG) -> Path:
    return machine.dest / dataset / VERSION


def log(machine: Machine) -> str:
    return (machine.home / "mirror.log").read_text()


def run_logs(root: Path) -> list[dict[str, object]]:
    return [json.loads(each.read_text()) for each in sorted((root / ".cxrsync/runs").iterdir())]


def test_two_jobs_are_mirrored_without_a_byte_of_output(
    machine: Machine, jobs: Path, jpg: Path
) -> None:
    init(machine, jobs)
    done = machine.run("mirror", str(jobs))
    assert done == Ended(0, "", "")
    assert fingerprint(tree(machine), below="files/") == fingerprint(jpg, below="files/p10/")
    assert list(fingerprint(tree(machine, DICOM)))
    # One log of a run for each job: fetching the tables first is a part of it.
    assert [len(run_logs(tree(machine, each))) for each in (JPG, DICOM)] == [1, 1]
    text = log(machine)
    assert "jpg: complete and verified" in text
    assert "dicom: complete and verified" in text
    assert text.count("complete and verified") == 2
    assert (machine.home / "mirror.log").stat().st_mode & 0o077 == 0
    # Once more: nothing changed.
    assert machine.run("mirror", str(jobs)) == Ended(0, "", "")


def test_the_log_may_be_moved_away(machine: Machine, jobs: Path) -> None:
    init(machine, jobs)
    assert machine.run("mirror", "--job", "dicom", str(jobs)).code == 0
    os.rename(machine.home / "mirror.log", machine.home / "mirror.log.1")
    assert machine.run("mirror", "--job", "dicom", str(jobs)).code == 0
    assert "dicom: complete and verified" in log(machine)
    assert not tree(machine).joinpath("SHA256SUMS.txt").exists()  # the other job


def test_a_log_that_cannot_be_written_is_said(machine: Machine) -> None:
    file = write(machine, JOBS.replace("mirror.log", "no/such/folder.log"))
    init(machine, file)
    done = machine.run("mirror", str(file))
    assert (done.code, done.out) == (ExitCode.DISK, "")
    assert "folder.log cannot be written" in done.err
    assert tree(machine).joinpath("SHA256SUMS.txt").exists()


def test_one_failing_job_does_not_stop_the_next(machine: Machine) -> None:
    text = JOBS.replace("    jpg: true\n", '    jpg: true\n    include: "nothing/*"\n')
    file = write(machine, text)
    init(machine, file)
    done = machine.run("mirror", str(file))
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert done.err.startswith(f"cxrsync: mirror {file}: 1 of 2 jobs did not complete (exit 2)\n")
    assert "\n  jpg (exit 2): " in done.err
    assert done.err.rstrip().endswith("dicom: complete and verified")
    assert "jpg (exit 2)" in log(machine)


def test_a_missing_marker_is_no_empty_mirror(machine: Machine, jobs: Path) -> None:
    """As with a disk that is not mounted."""
    done = machine.run("mirror", str(jobs))
    assert (done.code, done.out) == (ExitCode.REFUSED, "")
    assert "does not exist" in done.err
    assert "--init" in done.err
    assert not machine.dest.exists()
    machine.dest.mkdir()
    done = machine.run("mirror", str(jobs))
    assert (done.code, "holds no mirror of mimic-cxr-jpg 2.1.0" in done.err) == (11, True)
    assert list(machine.dest.iterdir()) == []
    # One job with a marker runs.
    assert machine.run("mirror", "--init", "--job", "dicom", str(jobs)).code == 0
    assert machine.run("mirror", str(jobs)).code == ExitCode.REFUSED
    assert tree(machine, DICOM).joinpath("SHA256SUMS.txt").exists()
    assert not tree(machine).exists()


def test_a_tree_of_wgets_is_adopted_after_init(machine: Machine, jobs: Path, jpg: Path) -> None:
    root = machine.dest / "physionet.org/files" / JPG / VERSION
    image = next(jpg.glob("files/p10/*/*/*.jpg")).relative_to(jpg)
    (root / image).parent.mkdir(parents=True)
    (root / image).write_bytes((jpg / image).read_bytes())
    done = machine.run("mirror", "--job", "jpg", str(jobs))
    assert (done.code, "holds no folder .cxrsync" in done.err) == (11, True)
    done = machine.run("mirror", "--init", "--job", "jpg", str(jobs))
    assert (done.code, done.out) == (0, f"jpg: {root} is ready\n")
    assert machine.run("mirror", "--job", "jpg", str(jobs)) == Ended(0, "", "")
    [run] = run_logs(root)
    assert run["files"]["adopted"] == 1  # type: ignore[index]


def at_work(root: Path, began: float, **process: object) -> None:
    """Leave the progress file of a run: that process is alive, so the run is."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(began)) + ".000000Z"
    folder = root / ".cxrsync/progress"
    folder.mkdir(parents=True, exist_ok=True)
    counts = dict.fromkeys(("selected", "present", "fetched", "adopted"), 0)
    record = {**another_process(), "run": stamp, "files": counts, **process}
    (folder / f"{stamp}.json").write_text(json.dumps(record))


def test_a_run_at_work_is_left_alone(machine: Machine, jobs: Path) -> None:
    init(machine, jobs)
    at_work(tree(machine), time.time() - 3600)
    assert machine.run("mirror", str(jobs)) == Ended(ExitCode.LIMIT, "", "")
    assert "jpg: note: another run works on" in log(machine)
    assert "Nothing is done now" in log(machine)
    assert not tree(machine).joinpath("SHA256SUMS.txt").exists()
    assert tree(machine, DICOM).joinpath("SHA256SUMS.txt").exists()


def test_a_run_that_published_nothing_for_a_day_is_said(machine: Machine, jobs: Path) -> None:
    init(machine, jobs)
    at_work(tree(machine), time.time() - 90_000)
    done = machine.run("mirror", str(jobs))
    assert (done.code, done.out) == (ExitCode.LOCKED, "")
    assert "its last file was published 1 d 1 h ago" in done.err
    assert "Look at that process" in done.err
    assert tree(machine, DICOM).joinpath("SHA256SUMS.txt").exists()


def test_the_job_that_has_waited_longest_is_first(machine: Machine, jobs: Path) -> None:
    init(machine, jobs)
    assert machine.run("mirror", "--job", "jpg", str(jobs)).code == 0
    (machine.home / "mirror.log").unlink()
    assert machine.run("mirror", str(jobs)).code == 0
    assert log(machine).index("dicom: complete and") < log(machine).index("jpg: complete and")
    (machine.home / "mirror.log").unlink()
    assert machine.run("mirror", "--job", "dicom", str(jobs)).code == 0
    (machine.home / "mirror.log").unlink()
    assert machine.run("mirror", str(jobs)).code == 0
    assert log(machine).index("jpg: complete and") < log(machine).index("dicom: complete and")


def test_a_refused_password_is_sent_once(
    machine: Machine, jobs: Path, shared_server: MiniPhysioNet
) -> None:
    init(machine, jobs)
    machine.environment["PHYSIONET_PASSWORD"] = "wrong"
    shared_server.request_log.reset()
    done = machine.run("mirror", str(jobs))
    assert (done.code, done.out) == (ExitCode.CREDENTIALS, "")
    assert "2 of 2 jobs did not complete" in done.err
    assert shared_server.request_log.snapshot().password_checks == 1
    assert done.err.count("not begun, because the server refuses the password") == 1


def test_no_password_is_asked_for(machine: Machine, jobs: Path) -> None:
    init(machine, jobs)
    machine.environment["PHYSIONET_PASSWORD"] = None
    done = machine.run("mirror", str(jobs))
    assert (done.code, done.out) == (ExitCode.CREDENTIALS, "")
    assert "asks for a user name and a password" in done.err


def test_a_failed_file_is_not_named_in_what_cron_mails(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    own_files: Path,
) -> None:
    machine = make_machine(serve(own_files))
    file = write(machine, JOBS)
    init(machine, file)
    image = next((own_files / JPG / VERSION).glob("files/p10/*/*/*.jpg"))
    image.unlink()
    done = machine.run("mirror", str(file))
    assert (done.code, done.out) == (ExitCode.FILES_FAILED, "")
    assert "  jpg (exit 5): 1 file failed, of " in done.err
    assert f"The newest file in {tree(machine)}/.cxrsync/runs names them" in done.err
    assert image.name not in done.err
    assert image.parent.name not in done.err
    assert image.name in log(machine)


def test_a_limit_is_quiet(machine: Machine) -> None:
    file = write(machine, JOBS.replace("defaults:\n", "defaults:\n  max_files: 3\n"))
    init(machine, file)
    assert machine.run("mirror", str(file)) == Ended(ExitCode.LIMIT, "", "")
    assert run_logs(tree(machine))[-1]["limited"]


def test_check(machine: Machine, jobs: Path) -> None:
    done = machine.run("mirror", "--check", str(jobs))
    assert done.code == ExitCode.REFUSED
    assert not machine.dest.exists()
    init(machine, jobs)
    done = machine.run("mirror", "--check", str(jobs))
    assert done.code == 0
    assert f"job jpg: mimic-cxr-jpg {VERSION} (p10, with the tables)" in done.out
    assert "to fetch: about " in done.out
    assert "duration: unknown" in done.out
    assert "at the rates that PhysioNet usually has (367.0 kB/s to 734.0 kB/s): " in done.out
    assert "disk space needed: " in done.out
    assert "credentials: PHYSIONET_PASSWORD" in done.out
    assert "must be credentialed and have signed the data use agreement: https://" in done.out
    assert "demo-password" not in done.out + done.err
    assert not list(tree(machine).glob("files/*"))
    machine.environment["PHYSIONET_PASSWORD"] = None
    done = machine.run("mirror", "--check", str(jobs))
    assert (done.code, "credentials: none were found" in done.out) == (ExitCode.CREDENTIALS, True)


def test_the_job_file_of_the_demo(machine: Machine, shared_server: MiniPhysioNet) -> None:
    """What `cxrsync demo --serve` writes is a mirror of its own server, whatever the shell has."""
    file = machine.home / "nightly.yaml"
    file.write_text(DemoSetup(machine.home, shared_server).job_file)
    assert machine.run("mirror", "--init", str(file)).code == 0
    check = machine.run("mirror", "--check", str(file))
    assert check.code == 0
    assert "of this shell changes no job" not in check.out
    file.write_text(
        re.sub(
            "  base_url: .*",
            '  base_url: "https://127.0.0.1:9/files"\n  retries: 0\n  give_up_after: 1s',
            file.read_text(),
        )
    )
    elsewhere = machine.run("mirror", "--check", str(file))
    assert "warning: CXRSYNC_BASE_URL of this shell changes no job" in elsewhere.out
    file.write_text(DemoSetup(machine.home, shared_server).job_file)
    assert machine.run("mirror", str(file)) == Ended(0, "", "")
    assert (machine.home / "nightly/mimic-cxr-jpg/2.1.0/files/p10").is_dir()
    assert (machine.home / "report.html").exists()


def test_check_says_that_a_log_cannot_be_written(machine: Machine) -> None:
    file = write(machine, JOBS.replace("mirror.log", "no/such/folder.log"))
    init(machine, file)
    done = machine.run("mirror", "--check", str(file))
    assert done.code == ExitCode.DISK  # as a run would end
    assert f"the log {machine.home}/no/such/folder.log cannot be written" in done.err
    assert "job jpg" in done.out


def test_check_says_all_problems_at_once(machine: Machine) -> None:
    """Of the tree, the password, the group, a hook and the metrics."""
    text = JOBS.replace("shard: p10\n", "shard: p10\n    permissions: {group: no-such-group}\n")
    file = write(machine, f"{text}before: /nonexistent\nmetrics_file: no/x.prom\n")
    machine.environment["PHYSIONET_PASSWORD"] = "wrong"
    done = machine.run("mirror", "--check", "--job", "jpg", str(file))
    assert done.code == ExitCode.USAGE
    for said in (
        "before: /nonexistent is not there",
        f"metrics_file: there is no folder {machine.home}/no",
        "job jpg: permissions: this machine has no group 'no-such-group'",
        "so there is no mirror of mimic-cxr-jpg",
        "the server refuses the password",
        f"{file} has 5 problems:",
    ):
        assert said in done.err
    heading = done.err.index(" has 5 problems:")
    assert done.err.find("note:", heading) == done.err.find("warning:", heading) == -1
    assert done.err.index("before: /nonexistent") > heading  # all of them are at the end
    assert not machine.dest.exists()


def test_check_of_a_shared_mirror(machine: Machine) -> None:
    group = grp.getgrgid(os.getegid()).gr_name
    text = JOBS.replace("defaults:\n", f"defaults:\n  permissions: {{group: {group}}}\n")
    file = write(machine, text)
    init(machine, file)
    assert tree(machine).stat().st_mode & 0o7777 == 0o2750
    done = machine.run("mirror", "--check", str(file))
    assert (done.code, f"Each member of the group {group}" in done.out) == (0, True)
    if tree(machine).parents[3].stat().st_mode & 0o010 == 0:  # pytest's folders are its user's
        assert f"the group {group} cannot read the tree" in done.err
    assert machine.run("mirror", str(file)) == Ended(0, "", "")
    image = next(tree(machine).rglob("*.jpg"))
    assert image.stat().st_mode & 0o7777 == 0o440
    # The tree keeps them, so the check of a job that does not name them says them, too.
    done = machine.run("mirror", "--check", str(write(machine, JOBS)))
    assert f"permissions: files=0440,folders=2750,group={group}" in done.out


def test_tables_of_all_jobs_come_first(machine: Machine, jobs: Path) -> None:
    init(machine, jobs)
    assert machine.run("mirror", str(jobs)).code == 0
    text = log(machine)
    # The plan of the tables of each job, and then the plan of each whole job.
    planned = re.findall(r"(\w+): [0-9,]+ files? selected: ", text)
    assert planned == ["jpg", "dicom", "jpg", "dicom"]


def test_schema_and_usage(machine: Machine, jobs: Path) -> None:
    done = machine.run("mirror", "--schema")
    assert (done.code, json.loads(done.out)["required"]) == (0, ["jobs"])
    assert machine.run("mirror").code == ExitCode.USAGE
    both = machine.run("mirror", "--check", "--init", str(jobs))
    assert (both.code, "exclude each other" in both.err) == (ExitCode.USAGE, True)
    unknown = machine.run("mirror", "--job", "jpeg", str(jobs))
    assert (unknown.code, "Its jobs: jpg, dicom." in unknown.err) == (ExitCode.USAGE, True)
    wrong = write(machine, JOBS.replace("shard:", "shrad:"))
    done = machine.run("mirror", str(wrong))
    assert (done.code, "line 10, column 5: jobs[0].shrad" in done.err) == (ExitCode.USAGE, True)
    assert "Did you mean shard?" in done.err


@pytest.mark.parametrize(
    ("words", "said", "step"),
    [
        (("check", "a.yaml"), "mirror has no command check", "cxrsync mirror --check FILE."),
        (("check",), "mirror has no command check", "cxrsync mirror --check FILE."),
        (("cron", "a.yaml"), "mirror has no command cron", "cxrsync mirror --print cron FILE."),
        (("a.yaml", "b.yaml"), "mirror takes FILE, and nothing else", "into one file"),
    ],
)
def test_one_file_is_named(machine: Machine, words: tuple[str, ...], said: str, step: str) -> None:
    done = machine.run("mirror", *words)
    assert (done.code, said in done.err, step in done.err) == (ExitCode.USAGE, True, True)


def test_a_full_disk_is_answered_with_a_key_of_the_job_file() -> None:
    assert "force: true starts anyway" in as_keys(WillNotFit("x").next_step)


def test_two_destinations_that_are_one_tree(machine: Machine) -> None:
    root = f"${{CXRSYNC_DEST}}/mimic-cxr-jpg/{VERSION}"
    second = f"  - name: b\n    jpg: true\n    dest: {root}\nlog:"
    file = write(machine, JOBS.replace("log:", second))
    init(machine, file)
    done = machine.run("mirror", str(file))
    assert done.code == ExitCode.USAGE
    assert "are for one tree" in done.err


def test_the_token_of_one_of_several_runs() -> None:
    token = CancelToken()
    before = token.child()
    before.request(ExitCode.LIMIT)
    assert (token.code, before.code) == (None, ExitCode.LIMIT)
    token.request(ExitCode.TERMINATED)
    assert token.child().code is ExitCode.TERMINATED


# ── the files that are shipped ─────────────────────────────────────────────────────────────────

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize(
    ("name", "job", "datasets"),
    [
        ("nightly", "jpg", [JPG]),
        ("metadata-only", "jpg-tables", [JPG, DICOM]),
        ("test-split", "test-split", [JPG]),
        ("full-dicom", "dicom", [DICOM]),
    ],
)
def test_a_shipped_file(machine: Machine, name: str, job: str, datasets: list[str]) -> None:
    """As it is, but for the place of the mirror, the server, and the limits."""
    text = (CONFIGS / f"{name}.yaml").read_text()
    here = (
        "dest: ${CXRSYNC_DEST}\n  base_url: ${CXRSYNC_BASE_URL}\n  ca_file: ${CXRSYNC_CA_FILE}\n"
        "  # "
    )
    text = text.replace("dest: /data/physionet.org/files", here)
    text = re.sub("  (window|keep_free|limit_rate): ", r"  # \1: ", text)
    text = text.replace("  limit_rate:", "  # ").replace('    "08:00', '    # "08:00')
    file = write(machine, text)
    init(machine, file)
    check = machine.run("mirror", "--check", str(file))
    assert (check.code, f"job {job}: " in check.out) == (0, True)
    assert machine.run("mirror", str(file)) == Ended(0, "", "")
    for dataset in datasets:
        done = machine.run("verify", "--dataset", dataset)
        assert done.code == 0, done.err


# ── a process of its own ───────────────────────────────────────────────────────────────────────


def test_a_signal_ends_all_jobs(
    serve: Callable[..., MiniPhysioNet], make_machine: Callable[[MiniPhysioNet], Machine]
) -> None:
    machine = make_machine(serve(rate=20_000))
    file = write(machine, JOBS)
    init(machine, file)
    process = machine.start("mirror", str(file))
    wait_until(lambda: tree(machine).joinpath("SHA256SUMS.txt").exists())
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (ExitCode.TERMINATED, "")
    assert "2 of 2 jobs did not complete (exit 143)" in err
    assert "stopped as asked" in err


def test_on_a_terminal_the_usual_lines_are_shown(machine: Machine, jobs: Path) -> None:
    init(machine, jobs)
    controller, terminal = pty.openpty()
    process = machine.start("mirror", str(jobs), stderr=terminal)
    os.close(terminal)
    said = b""
    with contextlib.suppress(OSError):  # the other side was closed
        while chunk := os.read(controller, 65_536):
            said += chunk
    os.close(controller)
    assert process.wait(timeout=60) == 0
    assert said.count(b"complete and verified: ") == 2
    assert b"2 of 2 jobs are well" in said
