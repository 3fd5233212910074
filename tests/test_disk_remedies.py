"""What to do about an error of the disk: space only where space is missing."""

import ast
import errno
import os
import sqlite3
from pathlib import Path

import pytest

import cxrsync
from cxrsync.disk_remedies import NOTHING_IS_LOST, next_step_of, remedy_of
from cxrsync.errors import DiskError, OutputLost
from cxrsync.storage.filesystem import NotAFolder, disk_failure
from cxrsync.storage.tree import Tree

PACKAGE = Path(cxrsync.__file__).parent
SPACE = {errno.ENOSPC, errno.EDQUOT}


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "free disk space"),
        (errno.EDQUOT, "quota"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENFILE, "the machine has too many open files"),
        (errno.EFBIG, "ulimit -f"),
        (errno.ENAMETOOLONG, "shorter path"),
        (errno.EACCES, "ask the owner"),
        (errno.EPERM, "ask the owner"),
        (errno.EROFS, "for writing"),
        (errno.EIO, "dmesg"),
        (errno.ENOMEM, "memory"),
        (errno.ESTALE, "mount the disk again"),
        (errno.ENOTCONN, "mount the disk again"),
        (errno.EBADF, "closed"),
        (errno.EINVAL, "what the message names"),
    ],
)
def test_each_error(number: int, said: str) -> None:
    error = disk_failure(OSError(number, os.strerror(number)), "cannot write a")
    assert said in remedy_of(OSError(number, ""))
    assert said.lower() in error.next_step.lower()
    assert str(error) == f"cannot write a: {os.strerror(number)}"
    assert error.exit_code == 7
    assert ("space" in error.next_step) == (number in SPACE)


def test_no_error_of_the_system_is_mended_by_space_but_a_full_disk() -> None:
    named = {number for number in errno.errorcode if "space" in remedy_of(OSError(number, ""))}
    assert named == SPACE


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (sqlite3.SQLITE_FULL, "free disk space"),
        (sqlite3.SQLITE_READONLY, "for writing"),
        (sqlite3.SQLITE_PERM, "ask the owner"),
        (sqlite3.SQLITE_IOERR_WRITE, "ulimit -f"),
        (sqlite3.SQLITE_CORRUPT, "what the message names"),
    ],
)
def test_errors_of_sqlite(code: int, said: str) -> None:
    problem = sqlite3.OperationalError()
    problem.sqlite_errorcode = code
    assert said in remedy_of(problem)


def test_our_own_errors_have_only_borrowed_their_number() -> None:
    assert "what the message names" in next_step_of(NotAFolder(errno.EACCES, "a link"))


def test_every_disk_error_with_a_reason_has_a_remedy() -> None:
    """One that tells a system's reason must not tell a remedy for another one."""
    bare = []
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ERRORS):
                continue
            has_step = any(each.arg == "next_step" for each in node.keywords)
            if "reason_of(" in ast.unparse(node) and not has_step:
                bare.append(f"{file.relative_to(PACKAGE)}:{node.lineno}")
    assert bare == []


ERRORS = {"DiskError", "OutputLost"}
# They raise an error where we may not look: who asks has another question.
RAISING = {"is_file", "is_dir", "exists", "is_symlink", "samefile", "is_mount"}


def test_a_path_is_looked_at_without_an_error() -> None:
    """``os.path`` has the same questions and answers no. An ``os.DirEntry`` is asked with
    ``follow_symlinks``."""
    found = [
        f"{file.relative_to(PACKAGE)}:{node.lineno} {ast.unparse(node)}"
        for file in PACKAGE.rglob("*.py")
        if file.relative_to(PACKAGE).parts[0] != "demo"
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in RAISING
        and not node.keywords
        and not ast.unparse(node.func).startswith("os.path.")
    ]
    assert found == []


@pytest.mark.parametrize("is_there", [True, False])
def test_the_assurance_is_given_only_where_something_may_have_been_downloaded(
    is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_places: object, **_settings: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    root = tmp_path / "mimic-cxr-jpg/2.1.0"
    if is_there:
        root.mkdir(parents=True)
    monkeypatch.setattr(os, "mkdir", fail)
    with pytest.raises(DiskError) as raised:
        Tree(root).create()
    assert (NOTHING_IS_LOST in raised.value.next_step) == is_there
    assert "ount the disk for writing" in raised.value.next_step


def test_an_output_is_no_download() -> None:
    assert NOTHING_IS_LOST not in OutputLost("cannot write standard output").next_step
