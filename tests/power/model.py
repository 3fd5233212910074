"""A disk in the model: what was asked of it, and what power loss may leave of that.

POSIX promises what was synced and nothing more: a name once its folder was synced, bytes and times
once their file was. Whatever else was asked for may have reached the disk or not; the fates below
are the ways in which file systems are known to choose. Pure: no clock, no file, and chance only
from a seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

ROOT = 0
"""The inode of the folder in which everything happens; itself it outlasts everything."""


@dataclass(frozen=True, slots=True)
class Change:
    """In ``folder`` a name now stands for ``inode`` (None: for nothing any more)."""

    folder: int
    name: str
    inode: int | None
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class Naming:
    """A file or folder is made, linked or unlinked (one change) or renamed (two)."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Writing:
    """Bytes are written into a file at ``offset``."""

    inode: int
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cutting:
    """A file is made ``size`` bytes long."""

    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Stamping:
    """A file is given a time."""

    inode: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Syncing:
    """A file or folder is brought to the disk, as it was when the call began: the operations
    before number ``since``. ``data_only`` (fdatasync): bytes and size without times."""

    inode: int
    since: int
    data_only: bool = False


Operation = Naming | Writing | Cutting | Stamping | Syncing


class Fate(Enum):
    """What becomes of that which was asked for and not synced."""

    KEPT = "all of it is there: the process died, not the machine"
    SYNCED = "none of it is there"
    HOLLOW = "names, times and sizes are there, and zeros where bytes should be"
    UNEVEN = "as HOLLOW, but small files are there as a whole"
    EMPTY = "names and times are there, and no byte"
    ORDERED = "ext4: names and times in order up to some moment, bytes up to another before it"
    ANY = "each operation for itself, whole, in part or not at all"


# What a file system brings to the disk at once, in bytes.
_PAGE = 4096


class _Bytes(Enum):
    WRITTEN = "written"
    TORN = "only the first half"
    GROWN = "only the size"
    LOST = "lost"


@dataclass(slots=True)
class _File:
    """What is on the disk for sure, and what is under way to it, each with its number."""

    content: bytearray = field(default_factory=bytearray)
    mtime_ns: int | None = None
    edition: int = 0
    bytes_under_way: list[tuple[int, Writing | Cutting]] = field(default_factory=list)
    times_under_way: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Folder:
    names: dict[str, int] = field(default_factory=dict)
    under_way: list[tuple[int, Change]] = field(default_factory=list)


class Disk:
    """A disk of which operations are asked one after the other."""

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self.count = 0
        """How many operations have been asked for."""
        self._files: dict[int, _File] = {}
        self._folders: dict[int, _Folder] = {ROOT: _Folder()}
        self._committed = 0
        for operation in operations:
            self.ask(operation)

    def ask(self, operation: Operation) -> None:
        """One more operation."""
        number = self.count
        self.count += 1
        if isinstance(operation, Naming):
            for change in operation.changes:
                self._folders[change.folder].under_way.append((number, change))
                if change.is_folder and change.inode is not None:
                    self._folders.setdefault(change.inode, _Folder())
        elif isinstance(operation, Stamping):
            self._file(operation.inode).times_under_way.append((number, operation.mtime_ns))
        elif isinstance(operation, Syncing):
            self._sync(operation)
        else:
            self._file(operation.inode).bytes_under_way.append((number, operation))

    def has_under_way(self, inode: int) -> bool:
        """Whether bytes of a file were asked for and not synced."""
        return bool(self._file(inode).bytes_under_way)

    def after_power_loss(self, fate: Fate, seed: int = 0) -> Survivor:
        """What is found when power returns now. The same seed leaves the same, whatever is looked
        at, and in whichever order."""
        return Survivor(self, fate, f"{seed}/{self.count}")

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    def _file(self, inode: int) -> _File:
        return self._files.setdefault(inode, _File())

    def _sync(self, sync: Syncing) -> None:
        # A journal is committed as a whole: on ext4 a sync of anything brings all names with it.
        self._committed = max(self._committed, sync.since)
        folder = self._folders.get(sync.inode)
        if folder is not None:
            for number, naming in folder.under_way:
                if number < sync.since:
                    _rename(folder.names, naming)
            folder.under_way = [each for each in folder.under_way if each[0] >= sync.since]
        file = self._files.get(sync.inode)
        if file is not None:
            for number, change in file.bytes_under_way:
                if number < sync.since:
                    _apply(file.content, change)
            file.bytes_under_way = [x for x in file.bytes_under_way if x[0] >= sync.since]
            file.edition = self.count
            if not sync.data_only:
                for number, mtime_ns in file.times_under_way:
                    if number < sync.since:
                        file.mtime_ns = mtime_ns
                file.times_under_way = [x for x in file.times_under_way if x[0] >= sync.since]


class Survivor:
    """What power loss left. To be looked at before the disk is asked for anything more."""

    def __init__(self, disk: Disk, fate: Fate, seed: str) -> None:
        self._disk = disk
        self._fate = fate
        self._seed = seed
        # On ext4: the last moment that was committed to the journal.
        self._moment = self._chance("moment").randint(disk._committed, disk.count)

    def files(self, folder: int = ROOT, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Path and inode of every file that has a name."""
        for name, inode in sorted(self._names(folder).items()):
            if inode in self._disk._folders:
                yield from self.files(inode, f"{prefix}{name}/")
            else:
                yield prefix + name, inode

    def folders(self, folder: int = ROOT, prefix: str = "") -> Iterator[str]:
        """The path of every folder, those above before those below."""
        for name, inode in sorted(self._names(folder).items()):
            if inode in self._disk._folders:
                yield prefix + name
                yield from self.folders(inode, f"{prefix}{name}/")

    def content(self, inode: int) -> bytes:
        """The bytes of a file."""
        file = self._disk._files.get(inode, _File())
        content = bytearray(file.content)
        for (_number, change), outcome in zip(
            file.bytes_under_way, self._outcomes(inode, file), strict=True
        ):
            _apply(content, change, outcome)
        return bytes(content)

    def identity(self, inode: int) -> tuple[object, ...]:
        """The same for two survivors of one recording only where the bytes are the same."""
        file = self._disk._files.get(inode, _File())
        outcomes = self._outcomes(inode, file)
        numbers = (number for number, _change in file.bytes_under_way)
        return (inode, file.edition, *zip(numbers, outcomes, strict=True))

    def mtime_ns(self, inode: int) -> int | None:
        """The time that a file was given; None where nothing of that was left."""
        file = self._disk._files.get(inode, _File())
        chance = self._chance("time", inode)
        kept = [mtime for number, mtime in file.times_under_way if self._keeps(number, chance)]
        return kept[-1] if kept else file.mtime_ns

    # ── inside ─────────────────────────────────────────────────────────────────────────────────

    def _chance(self, *what: object) -> random.Random:
        return random.Random(f"{self._seed}/{self._fate.name}/{what}")

    def _keeps(self, number: int, chance: random.Random) -> bool:
        """Whether a change of names or times was left."""
        if self._fate is Fate.ORDERED:
            return number < self._moment
        if self._fate is Fate.ANY:
            return chance.random() < 0.5
        return self._fate is not Fate.SYNCED

    def _names(self, folder: int) -> dict[str, int]:
        found = self._disk._folders[folder]
        names = dict(found.names)
        chance = self._chance("names", folder)
        for number, change in found.under_way:
            if self._keeps(number, chance):
                _rename(names, change)
        return names

    def _outcomes(self, inode: int, file: _File) -> list[_Bytes]:
        count = len(file.bytes_under_way)
        chance = self._chance("bytes", inode)
        if self._fate is Fate.ANY:
            return chance.choices(list(_Bytes), k=count)
        if self._fate is Fate.ORDERED:
            allocated = sum(number < self._moment for number, _ in file.bytes_under_way)
            written = chance.randint(0, allocated)
            torn = [chance.choice((_Bytes.TORN, _Bytes.LOST))] if written < allocated else []
            outcomes = [_Bytes.WRITTEN] * written + torn
            return outcomes + [_Bytes.LOST] * (count - len(outcomes))
        if self._fate is Fate.UNEVEN:
            small = all(_stop(change) <= _PAGE for _number, change in file.bytes_under_way)
            return [_Bytes.WRITTEN if small else _Bytes.GROWN] * count
        always = {Fate.KEPT: _Bytes.WRITTEN, Fate.HOLLOW: _Bytes.GROWN}
        return [always.get(self._fate, _Bytes.LOST)] * count


def _stop(change: Writing | Cutting) -> int:
    """Where the file ends after the change, if not behind that."""
    return change.size if isinstance(change, Cutting) else change.offset + len(change.data)


def _rename(names: dict[str, int], change: Change) -> None:
    if change.inode is None:
        names.pop(change.name, None)
    else:
        names[change.name] = change.inode


def _apply(content: bytearray, change: Writing | Cutting, outcome: _Bytes = _Bytes.WRITTEN) -> None:
    if outcome is _Bytes.LOST:
        return
    if isinstance(change, Cutting):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    data = change.data if outcome is _Bytes.WRITTEN else change.data[: len(change.data) // 2]
    stop = change.offset + len(data) if outcome is _Bytes.TORN else _stop(change)
    content.extend(bytes(max(0, stop - len(content))))
    if outcome is not _Bytes.GROWN:
        content[change.offset : change.offset + len(data)] = data
