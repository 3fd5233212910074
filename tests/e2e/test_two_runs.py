"""Two runs on one tree at once: one works, or both do; readers are never kept out."""

import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e.stage import JPG, PATIENCE, VERSION, Ended, Machine, fingerprint, wait_until

from cxrsync.demo.server.server import MiniPhysioNet

P10 = ("--jpg", "--shard", "p10")
P11 = ("--jpg", "--shard", "p11")
QUIET = ("--json", "--progress", "none")


@pytest.fixture
def slow(serve: Callable[..., MiniPhysioNet]) -> MiniPhysioNet:
    """A shard lasts for five seconds, so that two runs overlap; then :func:`hurry`."""
    return serve(rate=12 << 10)


def hurry(server: MiniPhysioNet) -> None:
    """Nothing more has to happen while a pull is at work."""
    server.set_behaviour(rate=None)


@pytest.fixture
def user(slow: MiniPhysioNet, make_machine: Callable[[MiniPhysioNet], Machine]) -> Machine:
    return make_machine(slow)


@pytest.fixture
def stopped(user: Machine, slow: MiniPhysioNet) -> Iterator[subprocess.Popen[str]]:
    """A pull of p10 that has been stopped at its work: nothing can wait for its end."""
    process = user.start("pull", *QUIET, *P10)
    wait_until(lambda: is_at_work(user))
    process.send_signal(signal.SIGSTOP)
    # The signal is only on its way: its heart may beat once more.
    state = Path(f"/proc/{process.pid}/stat")
    wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")
    hurry(slow)
    yield process
    process.kill()
    process.communicate()


def end_of(process: subprocess.Popen[str]) -> Ended:
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=PATIENCE)
    return Ended(process.returncode, out, err)


def pull_both(
    user: Machine, slow: MiniPhysioNet, *words: tuple[str, ...]
) -> list[tuple[int, Ended]]:
    """Pulls that start at the same moment: their process ids, and how each ended. The server is
    slow until one has ended, or each is at work on a shard of its own."""
    processes = [user.start("pull", *QUIET, *each) for each in words]
    shards = {each[each.index("--shard") + 1] for each in words}
    wait_until(
        lambda: (
            any(process.poll() is not None for process in processes)
            or (len(shards) == 2 and all(is_at_work(user, shard) for shard in shards))
            or ("--wait-lock" in words[0] and is_at_work(user))
        )
    )
    hurry(slow)
    return [(process.pid, end_of(process)) for process in processes]


def root_of(user: Machine) -> Path:
    return user.dest / JPG / VERSION


def is_at_work(user: Machine, shard: str = "p10") -> bool:
    return (root_of(user) / ".cxrsync" / shard / "lock").exists()


def asked_twice(server: MiniPhysioNet) -> list[str]:
    """The files (not the manifest) that were sent more than once."""
    sent = Counter(
        each.path
        for each in server.request_log.snapshot().log
        if each.method == "GET" and each.status in {200, 206}
    )
    return [path for path, times in sent.items() if times > 1 and "SHA256SUMS" not in path]


def assert_right(user: Machine, jpg: Path, *shards: str) -> None:
    here = fingerprint(root_of(user))
    there = fingerprint(jpg)
    assert here.keys() >= {path for path in there if path.startswith(shards)}
    assert here.items() <= there.items()
    assert {path.split("/")[1] for path in here if path.startswith("files/")} == {
        shard.split("/")[1] for shard in shards
    }
    left = [path.name for path in (root_of(user) / ".cxrsync").glob("*/lock*")]
    assert not left


@pytest.mark.parametrize("attempt", range(2))
def test_one_shard_at_the_same_moment(
    user: Machine, slow: MiniPhysioNet, jpg: Path, attempt: int
) -> None:
    ended = sorted(pull_both(user, slow, P10, P10), key=lambda each: each[1].code)
    (winner, done), (_loser, refused) = ended
    assert (done.code, refused.code) == (0, 8), refused.err
    assert re.search(rf"process {winner} on .+, since \d{{4}}-\d\d-\d\d", refused.err)
    assert refused.summary["exit_code"] == 8
    assert refused.summary["files"]["fetched"] == 0
    assert asked_twice(slow) == []
    assert_right(user, jpg, "files/p10/")


def test_one_shard_and_patience(user: Machine, slow: MiniPhysioNet, jpg: Path) -> None:
    words = (*P10, "--wait-lock", "60")
    (_, one), (_, other) = pull_both(user, slow, words, words)
    assert (one.code, other.code) == (0, 0), one.err + other.err
    fetched = sorted(each.summary["files"]["fetched"] for each in (one, other))
    assert fetched[0] == 0
    assert asked_twice(slow) == []
    assert_right(user, jpg, "files/p10/")


def test_two_shards_at_the_same_moment(user: Machine, slow: MiniPhysioNet, jpg: Path) -> None:
    """Both want the tables, which one of them brings."""
    (_, one), (_, other) = pull_both(user, slow, P10, P11)
    assert (one.code, other.code) == (0, 0), one.err + other.err
    assert asked_twice(slow) == []
    assert_right(user, jpg, "files/p10/", "files/p11/")
    assert user.run("verify", "--jpg").code == 0


def test_patience_that_ends(user: Machine, stopped: subprocess.Popen[str]) -> None:
    waited = user.pull(*P10, "--wait-lock", "0.2")
    assert waited.code == 8
    assert str(stopped.pid) in waited.err
    assert end_of(stopped).code == 0


def test_a_killed_run_keeps_nobody_out(user: Machine, slow: MiniPhysioNet, jpg: Path) -> None:
    killed = user.interrupt(lambda: is_at_work(user), signal.SIGKILL, *P10)
    assert killed.code == -signal.SIGKILL
    hurry(slow)
    assert user.pull(*P10).code == 0
    assert_right(user, jpg, "files/p10/")


def test_repair_beside_a_pull(user: Machine, stopped: subprocess.Popen[str], jpg: Path) -> None:
    """A repair is a pull of what was found wrong: it is kept out of that shard, and only of it."""
    kept_out = user.run("verify", *P10, "--repair", "--json")
    elsewhere = user.run("verify", *P11, "--no-tables", "--repair", "--json")
    assert kept_out.code == 8
    assert str(stopped.pid) in kept_out.err
    assert elsewhere.code == 0, elsewhere.err
    assert end_of(stopped).code == 0
    assert_right(user, jpg, "files/p10/", "files/p11/")


@pytest.mark.parametrize(
    ("words", "code"),
    [(("ls", *P10), 0), (("status", "--jpg", "--json"), 0), (("verify", *P10, "--json"), 5)],
    ids=["ls", "status", "verify"],
)
def test_readers_need_no_lock(
    user: Machine, stopped: subprocess.Popen[str], words: tuple[str, ...], code: int
) -> None:
    own = root_of(user) / ".cxrsync"
    before = {path: path.stat().st_mtime_ns for path in own.rglob("lock*")}
    read = user.run(*words)
    assert read.code == code, read.err
    assert {path: path.stat().st_mtime_ns for path in own.rglob("lock*")} == before
    assert end_of(stopped).code == 0


def test_verify_says_why_files_are_missing(user: Machine, stopped: subprocess.Popen[str]) -> None:
    said = user.run("verify", *P10).err
    assert re.search(rf"\(process {stopped.pid} on .+\).*; files that are on their way", said)
    assert end_of(stopped).code == 0
    assert "on their way" not in user.run("verify", *P10).err
