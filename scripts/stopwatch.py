"""Measures for `scripts/bench`: one client, several clients in turn, and the table of results."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from clients import PASSWORD, USER, Client, Server, Tree

MIB = 1 << 20
OWN = "cxrsync"
_MAX_RATIO = 5
HEADINGS = (
    *("client", "wall s", "+ verify s", "least–most", "CPU s", "RSS MiB", "requests"),
    *("sent MiB", "password checks", "× best peer"),
)
HEAD = (f"| {' | '.join(HEADINGS)} |", f"|---{'|--:' * (len(HEADINGS) - 1)}|")


@dataclass
class Took:
    """One round of one client: seconds, bytes, and its requests.

    ``verify``: the seconds of GNU's sha256sum afterwards; its CPU seconds are part of ``cpu``.
    """

    wall: float
    cpu: float
    rss: int
    right: bool
    verify: float = 0.0
    requests: int = 0
    sent: int = 0
    password_checks: int = 0

    @property
    def whole(self) -> float:
        return self.wall + self.verify


@dataclass
class Column:
    """All rounds of one client in one scenario."""

    name: str
    rounds: list[Took] = field(default_factory=list)

    def median(self, of: Callable[[Took], float]) -> float:
        return statistics.median(map(of, self.rounds))

    @property
    def whole(self) -> float:
        return self.median(lambda took: took.whole)

    @property
    def is_ours(self) -> bool:
        return self.name.startswith(OWN)


def measure(
    tree: Tree, server: Server, dest: Path, client: Client, *, verified: bool = False
) -> Took:
    """Run a client once.

    ``verified``: the client verifies its files itself. Otherwise the time of sha256sum counts, too.
    """
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(dest.parent), "LANG": "C.UTF-8",
        "PHYSIONET_USERNAME": USER, "PHYSIONET_PASSWORD": PASSWORD,
        "REQUESTS_CA_BUNDLE": str(server.ca_file),
    }  # fmt: skip
    command = client(tree, server, dest)
    before = server.counts()
    wall, cpu, rss = run(command, environment)
    after = server.counts()
    root = next(
        (each for each in (dest / tree.slug / tree.version, dest / f"{tree.slug}-{tree.version}")
         if each.is_dir()),
        dest.parent,
    )  # fmt: skip
    wanted = set(tree.paths)
    with (tree.root / "SHA256SUMS.txt").open() as sums:
        listed = "".join(line for line in sums if line[65:].rstrip("\n") in wanted)
    began = os.times()
    checked = subprocess.run(
        ["sha256sum", "-c", "--quiet", "-"],
        cwd=root, input=listed, text=True, capture_output=True, check=False,
    )  # fmt: skip
    ended = os.times()
    used = sum(ended[2:4]) - sum(began[2:4])
    return Took(
        wall=wall,
        verify=0.0 if verified else ended.elapsed - began.elapsed,
        cpu=cpu if verified else cpu + used,
        rss=rss,
        requests=after.requests - before.requests,
        sent=after.sent - before.sent,
        password_checks=after.password_checks - before.password_checks,
        right=checked.returncode == 0,
    )


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and peak resident bytes of a command, whatever its exit code."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with peak_memory(process.pid) as peak:
        _pid, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return wall, usage.ru_utime + usage.ru_stime, peak[0]


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """The peak resident memory of a process in bytes, by sampling.

    The value of wait4 would include the memory of the process that started it.
    """
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                return
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    peak[0] = int(line.split()[1]) << 10

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def compete(
    place: Path, tree: Tree, server: Server, rounds: int, clients: dict[str, Client]
) -> list[Column]:
    """Every client in turn, round after round, each into an empty folder of a new name.

    A client that took five times as long as the best in the first round takes no further part.
    Files are kept while there is disk space: for minutes after a deletion ext4 avoids the inodes
    of deleted files, which costs the client with the most files in one folder.
    """
    columns = {name: Column(name) for name in clients}
    keep = tree.size * rounds * len(clients) < shutil.disk_usage(place).free / 2
    for number in range(rounds):
        least = min((column.whole for column in columns.values() if column.rounds), default=0.0)
        for name, client in clients.items():
            if number and columns[name].whole > _MAX_RATIO * least:
                continue
            dest = place / f"{name.replace(' ', '')}-{number}"
            took = measure(tree, server, dest, client, verified=columns[name].is_ours)
            columns[name].rounds.append(took)
            if not keep:
                for made in place.glob(f"{dest.name}*"):
                    shutil.rmtree(made) if made.is_dir() else made.unlink()
            os.sync()  # no client pays for the writes of another
    return list(columns.values())


def report(scenario: str, what: str, columns: Iterable[Column]) -> list[dict[str, object]]:
    """One row per client. ``ratio``: its time divided by the best peer's, with verification."""
    columns = list(columns)
    peers = [each.whole for each in columns if not each.is_ours and _is_right(each)]
    best = min(peers, default=None)
    return [
        {
            "scenario": scenario,
            "what": what,
            "client": each.name,
            "wall": each.median(lambda took: took.wall),
            "verify": each.median(lambda took: took.verify),
            "least": min(took.whole for took in each.rounds),
            "most": max(took.whole for took in each.rounds),
            "rounds": len(each.rounds),
            "cpu": each.median(lambda took: took.cpu),
            "rss": each.median(lambda took: took.rss),
            "requests": each.median(lambda took: took.requests),
            "sent": each.median(lambda took: took.sent),
            "password_checks": each.median(lambda took: took.password_checks),
            "ratio": None if best is None else each.whole / best,
            "right": _is_right(each),
        }
        for each in columns
    ]


def _is_right(column: Column) -> bool:
    return all(took.right for took in column.rounds)


def as_markdown(rows: list[dict[str, object]]) -> str:
    """One table per scenario."""
    lines: list[str] = []
    for number, row in enumerate(rows):
        if number == 0 or row["scenario"] != rows[number - 1]["scenario"]:
            lines += ["", f"**{row['scenario']}**: {row['what']}; {row['rounds']} rounds", ""]
            lines += HEAD
        lines.append(_line(row))
    return "\n".join(lines) + "\n"


def _line(row: dict[str, object]) -> str:
    value: dict[str, float] = {
        name: each for name, each in row.items() if isinstance(each, int | float)
    }
    name = row["client"] if row["right"] else f"{row['client']} (**wrong**)"
    cells = [
        f"{name}", f"{value['wall']:.2f}", f"{value['verify']:.2f}",
        f"{value['least']:.2f}–{value['most']:.2f}", f"{value['cpu']:.2f}",
        f"{value['rss'] / MIB:.0f}", f"{value['requests']:.0f}", f"{value['sent'] / MIB:.1f}",
        f"{value['password_checks']:.0f}",
        f"{value['ratio']:.2f}" if "ratio" in value else "",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"
