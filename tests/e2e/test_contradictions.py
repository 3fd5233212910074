"""Files that the publisher has otherwise than they are published."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.linked_copy import rewrite
from e2e.stage import JPG, VERSION, Machine, fingerprint

from cxrsync.demo.server.server import MiniPhysioNet

Serve = Callable[..., MiniPhysioNet]
MakeMachine = Callable[[MiniPhysioNet], Machine]

PULL = ("--jpg", "--shard", "p10", "--no-tables")


@pytest.fixture
def wrong(own_files: Path) -> Path:
    """An image at the server, of its size, with other bytes than the manifest says."""
    path = min((own_files / JPG / VERSION / "files/p10").rglob("*.jpg"))
    change(path, b"\0" + path.read_bytes()[1:])
    return path


@pytest.fixture
def server(serve: Serve, own_files: Path, wrong: Path) -> MiniPhysioNet:
    assert wrong.exists()
    return serve(own_files)


def change(path: Path, data: bytes) -> None:
    time = path.stat().st_mtime + 10
    rewrite(path, data)
    os.utime(path, (time, time))


def asked(server: MiniPhysioNet, path: Path) -> list[int]:
    return [each.status for each in server.request_log.log if each.path.endswith(path.name)]


def observed(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_is_set_aside_and_asked_for_again_only_if_it_changed(
    machine: Machine, server: MiniPhysioNet, wrong: Path, own_files: Path
) -> None:
    first = machine.pull(*PULL)
    assert (first.code, first.summary["files"]["mismatched"]) == (6, 1)
    [problem] = first.summary["problems"]
    assert problem["result"] == "contradicted"
    assert observed(wrong) in problem["reason"]
    root = machine.dest / JPG / VERSION
    assert not (root / wrong.relative_to(own_files / JPG / VERSION)).exists()
    [aside] = root.glob(f".cxrsync/trash/*/**/{wrong.name}")
    assert observed(aside) == observed(wrong)
    assert asked(server, wrong) == [200, 200]  # twice, before the publisher is blamed

    server.request_log.reset()
    second = machine.pull(*PULL)
    assert (second.code, second.summary["files"]["mismatched"]) == (6, 1)
    assert second.summary["problems"] == first.summary["problems"]
    assert asked(server, wrong) == [304]

    # The publisher has another copy, no better.
    change(wrong, b"\1" + wrong.read_bytes()[1:])
    server.request_log.reset()
    assert machine.pull(*PULL).code == 6
    assert asked(server, wrong) == [200, 200]

    good = aside.read_bytes()
    first_byte = next(
        bytes([each])
        for each in range(256)
        if hashlib.sha256(bytes([each]) + good[1:]).hexdigest() == published(own_files, wrong)
    )
    change(wrong, first_byte + good[1:])
    assert machine.pull(*PULL).code == 0
    assert machine.pull(*PULL).summary["files"]["mismatched"] == 0
    assert machine.run("verify", "--jpg").code == 0
    assert fingerprint(root, below="files/") == fingerprint(
        own_files / JPG / VERSION, below="files/p10"
    )


def published(own_files: Path, path: Path) -> str:
    manifest = own_files / JPG / VERSION / "SHA256SUMS.txt"
    [line] = [line for line in manifest.read_text().splitlines() if line.endswith(path.name)]
    return line[:64]


def test_a_manifest_that_is_mended_instead(
    machine: Machine, server: MiniPhysioNet, wrong: Path, own_files: Path
) -> None:
    assert machine.pull(*PULL).code == 6
    manifest = own_files / JPG / VERSION / "SHA256SUMS.txt"
    text = manifest.read_text().replace(published(own_files, wrong), observed(wrong))
    change(manifest, text.encode())
    assert machine.pull(*PULL).code == 0
    assert machine.run("verify", "--jpg").code == 0


@pytest.mark.parametrize("order", ["{digest}  {path}", "{digest} *{path}", "{path}\t{digest}"])
def test_what_is_acknowledged_is_no_fault(
    machine: Machine, server: MiniPhysioNet, wrong: Path, own_files: Path, order: str
) -> None:
    path = str(wrong.relative_to(own_files / JPG / VERSION))
    known = machine.home / "known.txt"
    known.write_text(f"# a letter is on its way\n\n{order.format(digest='0' * 64, path=path)}\n")
    words = ("--acknowledge", str(known))
    assert machine.pull(*PULL, *words).code == 6  # another digest than the one that is seen

    known.write_text(order.format(digest=observed(wrong), path=path) + "\n")
    done = machine.pull(*PULL, *words)
    assert done.code == 0
    files = done.summary["files"]
    assert (files["mismatched"], files["acknowledged"]) == (0, 1)
    assert [problem["path"] for problem in done.summary["problems"]] == [path]
    assert f"acknowledged: {path}" in machine.run("pull", *PULL, *words).err

    assert machine.run("verify", "--jpg").code == 5
    verified = machine.run("verify", "--jpg", "--json", *words)
    assert (verified.code, verified.summary["files"]["acknowledged"]) == (0, 1)
    # That it is known of one file says nothing of another.
    other = next(each for each in (machine.dest / JPG / VERSION / "files").rglob("*.jpg"))
    other.unlink()
    assert machine.run("verify", "--jpg", *words).code == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("files/p10/x.jpg\n\nnothing\n", "line 1, 3"),
        ("0" * 63 + " x\n", "line 1"),
        ("0" * 64 + "\n", "line 1"),
        ("\n".join("junk" * 9), "and "),
        (None, "o such file"),
    ],
)
def test_a_file_that_acknowledges_nothing(
    machine: Machine, server: MiniPhysioNet, text: str | None, said: str
) -> None:
    known = machine.home / "known.txt"
    if text is not None:
        known.write_text(text)
    refused = machine.pull(*PULL, "--acknowledge", str(known))
    assert (refused.code, said in refused.err) == (2, True), refused.err
    assert server.request_log.requests == 0
