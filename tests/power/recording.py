"""A command under strace, and what it asked of the disk below one folder, in order.

Lines come in the order in which calls ended (``-e status=successful`` holds each back until then).
A sync covers what had ended when it began.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from power.model import (
    ROOT,
    Change,
    Cutting,
    Naming,
    Operation,
    Stamping,
    Syncing,
    Writing,
)

# What is not understood must not pass unseen: the last line's calls are refused by name.
CALLS = (
    *("openat", "open", "creat", "mkdir", "mkdirat", "link", "linkat"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir"),
    *("write", "pwrite64", "writev", "pwritev", "pwritev2", "lseek", "sendfile"),
    *("truncate", "ftruncate", "utimensat", "fsync", "fdatasync", "ioctl"),
    *("copy_file_range", "fallocate", "symlink", "symlinkat", "sync_file_range", "splice"),
)
_REFUSED = CALLS[-6:]

_LINE = re.compile(
    rb"\d+ +(\d+\.\d+) (\w+)\((.*)\) += (\d+)(?:<[^>]*>(?:\(deleted\))?)? <(\d+\.\d+)>", re.DOTALL
)
_UNFINISHED = b" <unfinished ...>\n"
_FD = re.compile(rb"(\d+|AT_FDCWD)<([^>]*)>")
_TEXT = re.compile(rb'"([^"]*)"')
_PATH = re.compile(rb'(?:(?:\d+|AT_FDCWD)<([^>]*)>, )?"([^"]*)"')
_OFFSET = re.compile(rb"\[(\d+)\]")
_TIMES = re.compile(rb"tv_sec=(-?\d+), tv_nsec=(\d+)")


def why_not() -> str | None:
    """Why nothing can be recorded here; None where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-f", "-e", "trace=none", "true"], capture_output=True)
    return None if tried.returncode == 0 else "strace may not trace here (ptrace is not allowed)"


def record(
    command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str]
) -> tuple[list[Operation], int]:
    """Run ``command``; what it asked of the disk in ``folder``.

    The operations begin with those that make what was in ``folder`` before, all of it synced; the
    number says how many these are. Raises CalledProcessError where the command fails.
    """
    recording = Recording(os.path.realpath(folder))
    recording.take_in(folder)
    before = len(recording.operations)
    subprocess.run(
        [
            *("strace", "-f", "-y", "-ttt", "-T", "-xx", "-s", str(1 << 26), "--seccomp-bpf"),
            *("-e", f"trace={','.join(CALLS)}", "-e", "status=successful", "-e", "signal=none"),
            *("-o", str(log), *command),
        ],
        env=dict(environment), check=True, capture_output=True, text=True,
    )  # fmt: skip
    with log.open("rb") as lines:
        recording.read(lines)
    return recording.operations, before


@dataclass(slots=True)
class _Open:
    """An open file: where its next byte goes."""

    inode: int
    at: int = 0
    appends: bool = False


@dataclass
class Recording:
    """The operations below ``root``, and as much of the tree as it takes to understand them."""

    root: str
    operations: list[Operation] = field(default_factory=list)
    _folders: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    _files: dict[int, bytearray] = field(default_factory=dict)
    _open: dict[int, _Open] = field(default_factory=dict)
    _ended: list[float] = field(default_factory=list)
    _next: int = ROOT + 1

    def take_in(self, folder: Path, at: int = ROOT) -> None:
        """What is there before the recording begins, as if it had been made and synced."""
        for item in sorted(folder.iterdir()):
            inode = self._make(at, item.name, is_folder=item.is_dir())
            if item.is_dir():
                self.take_in(item, inode)
                continue
            self._write(inode, 0, item.read_bytes())
            self._ask(Stamping(inode, item.stat().st_mtime_ns))
            self._ask(Syncing(inode, len(self.operations)))
        self._ask(Syncing(at, len(self.operations)))

    def read(self, lines: Iterable[bytes]) -> None:
        """Follow the lines of strace. Raises ValueError for what the model does not know."""
        halves: dict[bytes, bytes] = {}
        last = b""
        for line in lines:
            thread = line.partition(b" ")[0]
            if line.endswith(_UNFINISHED):
                # Another thread is told of in between; the rest has a line of its own.
                halves[thread] = line.removesuffix(_UNFINISHED)
                last = thread
                continue
            if not line[:1].isdigit():
                whole = halves.pop(last, b"") + line
            elif b" resumed>" in line:
                whole = halves.pop(thread, b"") + line.partition(b" resumed>")[2]
            else:
                whole = line
            match = _LINE.match(whole)
            if match is not None:
                began, name, words, result, took = match.groups()
                self._follow(name.decode(), words, int(result), float(began), float(took))
            elif b" +++ " not in whole:
                raise ValueError(f"no line of strace: {whole[:200]!r}")

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    def _follow(self, name: str, words: bytes, result: int, began: float, took: float) -> None:
        count = len(self.operations)
        if name in {"openat", "open", "creat"}:
            self._opened(words, result, creat=name == "creat")
        elif name in {"mkdir", "mkdirat"}:
            for folder, leaf in self._places(words):
                self._make(folder, leaf, is_folder=True)
        elif name in {"unlink", "unlinkat", "rmdir"}:
            for folder, leaf in self._places(words):
                self._name([Change(folder, leaf, None)])
        elif name.startswith(("rename", "link")):
            self._renamed(words, keep=name.startswith("link"))
        elif name == "utimensat":
            self._stamped(words)
        elif name == "truncate":
            raise ValueError("truncate by name is not in the model")
        elif (open_file := self._file(words)) is not None:
            self._touched(name, words, result, open_file, began)
        elif name == "sendfile" and any(map(self._inside, _FD.findall(words))):
            raise ValueError(f"{name} with one end outside the tree")
        self._ended.extend([0.0] * (count - len(self._ended)))  # what was there before
        self._ended.extend([began + took] * (len(self.operations) - count))

    def _touched(self, name: str, words: bytes, result: int, file: _Open, began: float) -> None:
        if name in {"fsync", "fdatasync"}:
            since = bisect(self._ended, began)
            self.operations.append(Syncing(file.inode, since, data_only=name == "fdatasync"))
        elif name == "lseek":
            file.at = result
        elif name == "ftruncate":
            self._cut(file.inode, int(words.rpartition(b",")[2]))
        elif name in {"write", "writev"}:
            at = len(self._files[file.inode]) if file.appends else file.at
            self._write(file.inode, at, _bytes_in(words)[:result])
            file.at = at + result
        elif name in {"pwrite64", "pwritev", "pwritev2"}:
            rest = words[max(words.rfind(b'"'), words.rfind(b"]")) + 1 :].split(b",")
            offset = int(rest[2])
            self._write(file.inode, offset, _bytes_in(words)[:result])
        elif name == "sendfile":
            fds = _FD.findall(words)
            if not self._inside(fds[1]):
                raise ValueError("sendfile from outside the tree")
            source = self._open[int(fds[1][0])]
            told = _OFFSET.search(words)  # as it was before the call; NULL: where the file stands
            start = int(told.group(1)) if told else source.at
            source.at += 0 if told else result
            self._write(file.inode, file.at, bytes(self._files[source.inode][start:][:result]))
            file.at += result
        elif name == "ioctl" and b"FICLONE" in words:
            source_fd = _FD.findall(words)[1]
            if not self._inside(source_fd):
                raise ValueError("a clone from outside the tree")
            self._write(file.inode, 0, bytes(self._files[self._open[int(source_fd[0])].inode]))
        elif name in _REFUSED:
            raise ValueError(f"{name} is not in the model")

    def _opened(self, words: bytes, fd: int, *, creat: bool) -> None:
        for folder, leaf in self._places(words):
            flags = b"O_CREAT|O_TRUNC" if creat else words.rpartition(b'"')[2]
            inode = self._folders[folder].get(leaf) if leaf else folder
            if inode is None:
                if b"O_CREAT" not in flags:
                    raise ValueError(f"{leaf} was opened, and never made")
                inode = self._make(folder, leaf, is_folder=False)
            elif b"O_TRUNC" in flags and self._files[inode]:
                self._cut(inode, 0)
            if b"O_TMPFILE" in flags:
                raise ValueError("O_TMPFILE is not in the model")
            self._open[fd] = _Open(inode, appends=b"O_APPEND" in flags)

    def _renamed(self, words: bytes, *, keep: bool) -> None:
        if b"RENAME_EXCHANGE" in words or b"RENAME_WHITEOUT" in words:
            raise ValueError("an exchange of names is not in the model")
        places = list(self._places(words))
        if len(places) == 1:
            raise ValueError("a name came from outside the tree, or left it")
        if places:
            (old_folder, old), (folder, new) = places
            inode = self._folders[old_folder][old]
            gone = [] if keep else [Change(old_folder, old, None)]
            self._name([*gone, Change(folder, new, inode)])

    def _stamped(self, words: bytes) -> None:
        seconds = _TIMES.findall(words)
        inode: int | None = None
        file = self._file(words)
        if b"NULL, [" in words:
            inode = file.inode if file is not None else None
        else:
            for folder, leaf in self._places(words):
                inode = self._folders[folder][leaf]
        if inode in self._files and seconds:
            self._ask(Stamping(inode, int(seconds[-1][0]) * 10**9 + int(seconds[-1][1])))

    # ── the tree as it is now ──────────────────────────────────────────────────────────────────

    def _inside(self, fd: tuple[bytes, bytes]) -> bool:
        path = os.fsdecode(_unhex(fd[1]))
        return fd[0].isdigit() and (path == self.root or path.startswith(self.root + "/"))

    def _file(self, words: bytes) -> _Open | None:
        """The open file that a call's first word means, if it lies in the tree. Closing is not
        followed: a number that is given anew shows where it leads to."""
        match = _FD.match(words)
        if match is None or not self._inside((match.group(1), match.group(2))):
            return None
        return self._open[int(match.group(1))]

    def _places(self, words: bytes) -> Iterable[tuple[int, str]]:
        """Folder and name of each path in a call's words that lies in the tree."""
        found = []
        for base, text in _PATH.findall(words):
            path = os.fsdecode(os.path.normpath(os.path.join(_unhex(base), _unhex(text))))
            if not path.startswith("/"):
                raise ValueError(f"{path} is relative to a folder that is not told")
            if path == self.root:
                found.append((ROOT, ""))
            elif path.startswith(self.root + "/"):
                *above, leaf = path[len(self.root) + 1 :].split("/")
                folder = ROOT
                for name in above:
                    folder = self._folders[folder][name]
                found.append((folder, leaf))
        return found

    def _ask(self, operation: Operation) -> None:
        self.operations.append(operation)

    def _name(self, changes: list[Change]) -> None:
        self._ask(Naming(tuple(changes)))
        for change in changes:
            if change.inode is None:
                self._folders[change.folder].pop(change.name, None)
            else:
                self._folders[change.folder][change.name] = change.inode

    def _make(self, folder: int, name: str, *, is_folder: bool) -> int:
        inode = self._next
        self._next += 1
        if is_folder:
            self._folders[inode] = {}
        else:
            self._files[inode] = bytearray()
        self._name([Change(folder, name, inode, is_folder)])
        return inode

    def _write(self, inode: int, offset: int, data: bytes) -> None:
        self._ask(Writing(inode, offset, data))
        content = self._files[inode]
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset : offset + len(data)] = data

    def _cut(self, inode: int, size: int) -> None:
        self._ask(Cutting(inode, size))
        content = self._files[inode]
        del content[size:]
        content.extend(bytes(size - len(content)))


def _unhex(text: bytes) -> bytes:
    """``\\x2f\\x61`` → ``/a``."""
    return bytes.fromhex(text.replace(b"\\x", b"").decode("ascii"))


def _bytes_in(words: bytes) -> bytes:
    """The bytes that a call writes, of however many buffers."""
    return b"".join(map(_unhex, _TEXT.findall(words)))
