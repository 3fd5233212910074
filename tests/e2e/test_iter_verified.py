"""`iter_verified`: each image once, verified, whatever ends the loop. scripts/streams kills it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from e2e.stage import JPG, PATIENCE, VERSION, Machine, wait_until

import cxrsync
from cxrsync.model import Result

ROOT = Path(JPG, VERSION)


@pytest.fixture
def options(files_root: Path, tmp_path: Path) -> dict[str, Any]:
    """A shard, from a copy of the server's tree, so that no test needs the server."""
    shutil.copytree(files_root / ROOT, tmp_path / "from" / ROOT)
    return {"jpg": True, "shard": "p10", "from_dir": tmp_path / "from", "dest": tmp_path / "dest"}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "used.jsonl"


def expected(tmp_path: Path) -> dict[str, str]:
    lines = (tmp_path / "from" / ROOT / "SHA256SUMS.txt").read_text().splitlines()
    return dict(line.split()[::-1] for line in lines if " files/p10/" in line)


def test_each_once(options: dict[str, Any], record: Path, tmp_path: Path) -> None:
    sums, got = expected(tmp_path), []
    for stop in (1, 4, 2, None):
        images = cxrsync.iter_verified(record=record, **options)
        for number, image in enumerate(images, start=1):
            assert image.data is not None
            assert hashlib.sha256(image.data).hexdigest() == image.sha256 == sums[image.path]
            assert (image.file, image.path in repr(image)) == (None, False)
            got.append(image.path)
            if number == stop:
                break  # it counts as used only if another one is asked for
        images.close()
        assert list((tmp_path / "dest").rglob("*.jpg")) == []
    # Images come in the order in which they arrive, so the same one may be the last of two loops.
    assert Counter(got) == Counter(sums.keys()) + Counter([got[0], got[4], got[6]])
    partials = tmp_path / "dest" / ROOT / ".cxrsync/p10/partial"
    assert list(partials.glob("*")) == []


def test_what_is_used_up(
    options: dict[str, Any], record: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(list(cxrsync.iter_verified(record=record, **options))) > 10
    with caplog.at_level(logging.INFO, "cxrsync"):
        assert list(cxrsync.iter_verified(record=record, **options)) == []
    assert "every selected image was used before" in caplog.text
    assert len(list(cxrsync.iter_verified(**options))) > 10  # without a record, all again


def test_the_images_that_are_kept(options: dict[str, Any], record: Path, tmp_path: Path) -> None:
    """They are those of a pull; and those that a tree has already are taken from it."""
    images = list(cxrsync.iter_verified(keep=True, record=record, **options))
    assert {image.path for image in images} == set(expected(tmp_path))
    for image in images:
        assert image.file == tmp_path / "dest" / ROOT / image.path
        assert image.data is None
        assert hashlib.sha256(image.file.read_bytes()).hexdigest() == image.sha256
    status = cxrsync.status(jpg=True, dest=options["dest"])
    assert (status.selection, status.complete) == ("p10, only images", True)
    wrong = images[3].file
    assert wrong is not None
    wrong.write_bytes(b"rot")
    shutil.rmtree(tmp_path / "from" / ROOT / "files")
    image = Path(images[3].path)
    source = tmp_path / "from" / ROOT / image
    source.parent.mkdir(parents=True)
    source.write_bytes(b"rot")
    others: list[str] = []
    with pytest.raises(cxrsync.ImagesFailed) as caught:
        others.extend(each.path for each in cxrsync.iter_verified(**options))
    assert str(image) not in others
    assert len(others) == len(images) - 1
    assert [each.result for each in caught.value.problems] == [Result.CONTRADICTED]
    assert wrong.read_bytes() == b"rot"  # it is the user's until the right one is there


def test_an_image_that_cannot_be_had(options: dict[str, Any], record: Path, tmp_path: Path) -> None:
    """The others come; the next call yields it alone, once it can be had."""
    paths = sorted(expected(tmp_path))
    source = tmp_path / "from" / ROOT / paths[2]
    source.rename(tmp_path / "away")
    with pytest.raises(cxrsync.ImagesFailed, match="1 image could not be had") as caught:
        list(cxrsync.iter_verified(record=record, **options))
    assert [each.path for each in caught.value.problems] == [paths[2]]
    assert caught.value.exit_code == 5
    assert str(caught.value).count("Make the same call again") == 1
    (tmp_path / "away").rename(source)
    assert [each.path for each in cxrsync.iter_verified(record=record, **options)] == [paths[2]]


def test_in_a_loop_that_runs(machine: Machine, record: Path) -> None:
    """From the server, with a password that the environment has."""
    options: dict[str, Any] = {"jpg": True, "shard": "p11", "dest": machine.dest}
    got: list[str] = []

    async def look(most: int) -> None:
        async with aclosing(cxrsync.aiter_verified(record=record, **options)) as images:
            async for image in images:
                got.append(image.path)
                if len(got) == most:
                    break

    with pytest.MonkeyPatch.context() as patch:
        for name, value in machine.variables().items():
            patch.setenv(name, value)
        asyncio.run(look(3))
        asyncio.run(look(-1))
    listed = machine.run("ls", "--jpg", "--shard", "p11", "--only", "images").out.split()
    assert set(got) == set(listed)
    assert len(got) == len(listed) + 1


def test_an_interrupt(options: dict[str, Any], record: Path) -> None:
    """What was begun is kept, and the lock is free."""
    images = cxrsync.iter_verified(record=record, limit_rate=1, **options)

    def interrupt() -> None:
        """Once it is at work (on the manifest, at this rate), and thus waited for."""
        wait_until((options["dest"] / ROOT / ".cxrsync").exists)
        signal.raise_signal(signal.SIGINT)

    timer = threading.Thread(target=interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt, match="the state is saved"):
        next(images)
    timer.join()
    assert len(list(cxrsync.iter_verified(record=record, **options))) > 10


def test_a_program_that_ends_before_its_loop(options: dict[str, Any], tmp_path: Path) -> None:
    """It must not wait for a thread that stands still."""
    words = {
        name: str(value) if isinstance(value, Path) else value for name, value in options.items()
    }
    code = f"import cxrsync; images = cxrsync.iter_verified(**{words}); print(next(images))"
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(Path(cxrsync.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, timeout=PATIENCE, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "<VerifiedImage in memory>\n", "")
    assert len(list(cxrsync.iter_verified(**options))) >= 5  # its lock is that of a dead process


def test_a_record_that_cannot_be_written(
    options: dict[str, Any], small_disk: Callable[[str], Path]
) -> None:
    record = small_disk("size=4k") / "used.jsonl"
    (record.parent / "other").write_bytes(bytes(4096))
    with pytest.raises(cxrsync.DiskError, match=f"cannot write the record {record}"):
        list(cxrsync.iter_verified(record=record, **options))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"shards": "p10"}, "iter_verified\\(\\) has no keyword shards"),
        ({"keep": "yes"}, "keep= is neither True nor False"),
        ({"only": "tables"}, "yields images"),
        ({"record": "{tmp}/no/record"}, "lies in no folder"),
        ({"record": "{tmp}"}, "is a folder"),
        ({"record": 3}, "is not the name of a file"),
        ({"split": "tset"}, "Did you mean test"),
    ],
)
def test_usage(options: dict[str, Any], tmp_path: Path, words: dict[str, Any], said: str) -> None:
    """Before anything is done: not only when the loop begins."""
    words = {
        name: value.format(tmp=tmp_path) if isinstance(value, str) else value
        for name, value in words.items()
    }
    with pytest.raises(cxrsync.UsageError, match=said):
        cxrsync.iter_verified(**{**options, **words})
    assert not (tmp_path / "dest").exists()


def test_a_record_of_a_list_that_has_grown(
    options: dict[str, Any], record: Path, tmp_path: Path
) -> None:
    """What was added before the place of the record must not be left out without a word."""
    sums = tmp_path / "from" / ROOT / "SHA256SUMS.txt"
    whole = sums.read_text().splitlines(keepends=True)
    first = next(line for line in whole if " files/p10/" in line)
    sums.write_text("".join(line for line in whole if line != first))
    assert len(list(cxrsync.iter_verified(record=record, **options))) == len(expected(tmp_path))
    sums.write_text("".join(whole))
    shutil.rmtree(tmp_path / "dest")
    with pytest.raises(cxrsync.UsageError, match="has changed since"):
        list(cxrsync.iter_verified(record=record, **options))
    new = list(cxrsync.iter_verified(record=tmp_path / "new", **options))
    assert first.split()[1] in {each.path for each in new}


def test_a_record_of_another_selection(options: dict[str, Any], record: Path) -> None:
    assert len(list(cxrsync.iter_verified(record=record, limit=3, **options))) == 3
    with pytest.raises(cxrsync.UsageError, match="another dataset, version or selection"):
        list(cxrsync.iter_verified(record=record, **options))
