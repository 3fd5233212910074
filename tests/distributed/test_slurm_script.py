"""The printed script, run by bash with SLURM's commands replaced by ones that write down how they
are called. The real SLURM is in scripts/acceptance."""

import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from cxrsync.config.job import Job
from cxrsync.distributed.divide import divide
from cxrsync.distributed.slurm_script import Command, Resources, check_time, slurm_script
from cxrsync.errors import UsageError

RECORDER = '#!/bin/bash\necho "$(basename "$0") $*" >> "$CALLS"\n'
# The words that scontrol has for a job, and for another one of the same array.
SCONTROL = """#!/bin/bash
if [ "$1" = show ]; then
  echo "JobId=8 ArrayJobId=7 JobState=RUNNING X=1"
  echo "JobId=$3 ArrayJobId=7 JobState=$JOB_STATE X=1"
else echo "$(basename "$0") $*" >> "$CALLS"; fi
"""
DIVISION = divide(Job("mimic-cxr-jpg"), ("p10", "p11"), 2)


class Cluster:
    """A folder, a cxrsync that ends with ``code``, and the commands of SLURM."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        for name in ("sbatch", "scontrol", "scancel", "sleep"):
            (folder / name).write_text(SCONTROL if name == "scontrol" else RECORDER)
            (folder / name).chmod(0o755)

    def command(
        self, program: str, *words: str, variables: dict[str, str] | None = None
    ) -> Command:
        script = self.folder / "program"
        script.write_text(f"#!/bin/bash\n{program}\n")
        script.chmod(0o755)
        return Command(
            (str(script),), "pull", words, variables or {}, self.folder, "mimic-cxr-jpg", ("--jpg",)
        )

    def run(self, script: str, task: int = 1, **variables: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "script").write_text(script)
        environment = {
            "PATH": f"{self.folder}:{os.environ['PATH']}", "CALLS": str(self.calls),
            "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task), "SLURM_JOB_ID": "9",
            "JOB_STATE": "RUNNING", **variables,
        }  # fmt: skip
        return subprocess.run(
            ["bash", str(self.folder / "script")],
            cwd=self.folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def called(self) -> list[str]:
        """The calls but that of the last job."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line for line in lines if not line.startswith("sbatch")]

    def submitted(self) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if line.startswith("sbatch")]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.mark.parametrize(
    ("code", "calls"),
    [
        (0, []),
        (5, []),
        (9, ["scontrol requeue 7_1", "sleep 60"]),
        (143, []),  # killed by somebody, without the signal of the time limit
        (3, ["scancel 7"]),
        (4, ["scancel 7"]),
        (11, ["scancel 7"]),
    ],
)
def test_what_follows_an_exit_code(cluster: Cluster, code: int, calls: list[str]) -> None:
    ended = cluster.run(slurm_script(DIVISION, cluster.command(f"exit {code}"), Resources()))
    assert (ended.returncode, cluster.called()) == (code, calls)
    assert f'"exit_code": {code}}}' in (cluster.folder / "cxrsync-7/p10.jsonl").read_text()


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        ("RUNNING", ["sleep 1", "scontrol requeue 7_1", "sleep 60"]),
        ("COMPLETING", ["sleep 1"]),  # the user has cancelled it
        ("CANCELLED", ["sleep 1"]),
    ],
)
def test_the_signal_of_the_time_limit(cluster: Cluster, state: str, calls: list[str]) -> None:
    # SLURM signals the shell alone, here the parent of the program, which takes a while to end. The
    # program must not get SIGTERM: those of a cancelled job have had it from SLURM.
    program = """/bin/sleep 60 & other=$!
    trap "kill $other; exit 1" TERM; trap "kill $other; /bin/sleep 0.2; exit 143" USR1
    kill -TERM $PPID; wait"""
    ended = cluster.run(
        slurm_script(DIVISION, cluster.command(program), Resources()), JOB_STATE=state
    )
    assert ended.returncode == 143
    assert cluster.called() == calls


def test_a_program_that_had_not_begun_when_the_time_was_over(cluster: Cluster) -> None:
    script = slurm_script(DIVISION, cluster.command("kill -TERM $PPID; exec /bin/sleep 60"),
                          Resources())  # fmt: skip
    assert cluster.run(script).returncode == 143
    assert '"exit_code": 143' in (cluster.folder / "cxrsync-7/p10.jsonl").read_text()


def test_the_tasks_and_their_words(cluster: Cluster) -> None:
    words = ("--label", "No Finding=1", "--subject", "@ids of $HOME.txt", "it's")
    command = cluster.command(
        'printf "%s\\n" "$@" > "$CXRSYNC_DEST"', *words, variables={"CXRSYNC_DEST": "a b"}
    )
    cluster.run(slurm_script(DIVISION, command, Resources()), task=2)
    given = (cluster.folder / "a b").read_text().splitlines()
    assert given[0] == "pull"
    assert given[given.index("--label") :][: len(words)] == list(words)
    assert given[-6:-2] == ["--connections", "4", "--only-partition", "p11"]
    assert given[-1] == str(cluster.folder / "cxrsync-7/p11.jsonl")


def test_the_first_task_to_begin_submits_the_last_job(cluster: Cluster) -> None:
    directives = ("--constraint='ib|eth'", "--dependency=afterok:5")
    resources = Resources("1:00", 2, "3G", directives)
    script = slurm_script(DIVISION, cluster.command("exit 0"), resources)
    # A node may fail before the first of them begins.
    cluster.run(script, task=2, SLURM_RESTART_COUNT="1")
    [called] = cluster.submitted()
    assert called == (
        "sbatch --constraint=ib|eth --dependency=afterok:5 --job-name=cxrsync-gather "
        "--dependency=afterany:7 --time=1:00 --mem=3G --cpus-per-task=2 "
        f"--chdir={cluster.folder} --output={cluster.folder}/cxrsync-7/gather.log "
        f"--open-mode=append {cluster.folder}/cxrsync-7/gather.sh {cluster.folder}/cxrsync-7"
    )
    gather = (cluster.folder / "cxrsync-7/gather.sh").read_text()
    program = shlex.quote(str(cluster.folder / "program"))
    assert f'{program} slurm gather "$1" root p10 p11; code=$?' in gather
    assert f"{program} verify --jpg; verified=$?" in gather
    cluster.run(script, task=0)
    assert len(cluster.submitted()) == 1


@pytest.mark.parametrize(
    ("directive", "said"),
    [
        ("--account=a\nb", "line break"),
        ("--comment='a", "not an option of sbatch"),
        ("", "not an option of sbatch"),
        ("account=a", "not an option of sbatch"),
        ("--array=1-3", "says that itself"),
        ("-D /tmp", "says that itself"),
    ],
)
def test_what_no_directive_can_be(cluster: Cluster, directive: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        slurm_script(DIVISION, cluster.command(""), Resources(directives=(directive,)))


@pytest.mark.parametrize("name", ["50%j", "back\\slash", "line\nbreak"])
def test_a_folder_that_slurm_cannot_be_told(cluster: Cluster, name: str) -> None:
    command = replace(cluster.command(""), folder=cluster.folder / name)
    with pytest.raises(UsageError, match="SLURM cannot"):
        slurm_script(DIVISION, command, Resources())


@pytest.mark.parametrize("text", ["10", "10:00", "1:00:00", "0-1", "1-12:30", "1-00:00:00", " 60 "])
def test_time_limits(text: str) -> None:
    assert check_time(text) == text.strip()


@pytest.mark.parametrize("text", ["9", "9:59", "0:05:00", "0-0:05", "24h", "", "1-", "-5", "X"])
def test_what_is_no_time_limit(text: str) -> None:
    with pytest.raises(UsageError, match="--time"):
        check_time(text)
