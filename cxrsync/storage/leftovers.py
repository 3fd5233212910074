"""What other runs left of files on their way, made ours; and what we leave.

A partial at rest is called by its digest alone; while a run works on it, the name bears the token
of that run's lock as well. Whoever takes a lock adopts what lies in its folder before anything else
is done there:

* What a dead owner left, or what lies at rest, keeps its file and gets (or has) its name at rest.
* What an owner left that may wake up is copied to a file of our own, and its names are unlinked.
  Whatever that owner does then by name fails, and what it writes leads to a file without a name.
* What lies at rest is not believed either where an owner was replaced that may wake up: cxrsync
  0.1.0 works on those names. It is set apart under a token that nobody has, and copied.

Of two of one digest the one with more bytes stays. A sidecar goes before its data when they leave
their names at rest, and follows them when they get these: so a sidecar alone with a token is that
of data at rest without one. A kill at any step loses nothing: the next owner goes on from there.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from cxrsync.errors import CxrsyncError, DiskError
from cxrsync.sanitize import reason_of
from cxrsync.storage import byte_ranges as sets
from cxrsync.storage.atomic_write import COPY_SUFFIX, UNFINISHED, write_all, write_file
from cxrsync.storage.disk_space import free_space
from cxrsync.storage.filesystem import FILE_MODE, is_same_file, may_open
from cxrsync.storage.lock import Lock, ReplacedOwner
from cxrsync.storage.partial_names import (
    Leftover,
    LeftoverAction,
    action_for,
    claimed_name,
    read_name,
)
from cxrsync.storage.partial_readers import open_partial
from cxrsync.storage.prefix_hash import ranges_digest
from cxrsync.storage.reflink import RESERVE, clone
from cxrsync.storage.shared_names import take
from cxrsync.storage.sidecar import (
    PartialState,
    read_partial_state,
    sidecar_json,
    sidecar_path,
)

# Of one digest there is seldom more than one leftover, and each takes a few steps.
_MAX_ROUNDS = 1000
_PIECE = 4 << 20


def recover_partials(
    folder: Path,
    lock: Lock,
    replaced: Sequence[ReplacedOwner],
    *,
    only: str | None = None,
    digest_known: bool = True,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Path, ...]:
    """Make what other runs left in ``folder`` ours, under ``lock``, which was taken just now.

    ``replaced``: from whom, as the lock has it; ``digest_known`` as of a
    :class:`~cxrsync.storage.partial.Partial`; ``cancelled`` is asked while much is copied. Raises
    LockLost, DiskError, RecoveryCancelled.
    """
    try:
        ended = {each.owner.token for each in replaced if each.dead}
        rest_is_safe = all(each.dead for each in replaced)
        work = _Adoption(
            folder, lock, only, digest_known, cancelled, {*ended, lock.token}, rest_is_safe
        )
        work.run()
        lock.forget_replaced(replaced)
        return tuple(folder / name for name in sorted(work.forbidden))
    except OSError as problem:
        raise DiskError(
            f"cannot take over what another run left in {folder}: {reason_of(problem)}"
        ) from None


class RecoveryCancelled(Exception):
    """Whoever wanted it wants it no more."""


def release_partials(folder: Path, lock: Lock, *, only: str | None = None) -> None:
    """Let what we have worked on rest, before ``lock`` is released: every run may go on from there.

    As far as the disk lets us, and if the lock is still ours; else the next owner adopts it.
    """
    with suppress(OSError, CxrsyncError):
        names = set(os.listdir(folder))
        if not any(lock.token in name for name in names):
            return
        lock.check()
        for name in sorted(names):
            left = read_name(name)
            if left is None or left.token != lock.token or (only not in {None, left.base}):
                if lock.token in name and (COPY_SUFFIX in name or name.endswith(UNFINISHED)):
                    os.unlink(folder / name)
            elif left.is_sidecar:
                if replace(left, is_sidecar=False).name not in names:
                    os.unlink(folder / name)  # of a file that was published
            elif left.base not in names:
                _rename(folder, left, token="")


def _rename(folder: Path, data: Leftover, *, token: str) -> None:
    sidecar = replace(data, is_sidecar=True)
    if not os.lstat(folder / data.name).st_size:
        os.unlink(folder / data.name)
        with suppress(FileNotFoundError):
            os.unlink(folder / sidecar.name)
        return
    with suppress(FileNotFoundError):
        os.rename(folder / data.name, folder / replace(data, token=token).name)
        os.rename(folder / sidecar.name, folder / replace(sidecar, token=token).name)


@dataclass(slots=True)
class _Group:
    """The leftovers of one digest."""

    base: str
    data: list[Leftover] = field(default_factory=list)
    sidecars: list[Leftover] = field(default_factory=list)


@dataclass(slots=True)
class _Adoption:
    folder: Path
    lock: Lock
    only: str | None
    digest_known: bool
    cancelled: Callable[[], bool]
    ended: set[str]
    rest_is_safe: bool
    emptied: set[str] = field(default_factory=set)
    forbidden: set[str] = field(default_factory=set)
    """The names of partials that we may not open: another user's."""
    opened: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Step by step, each looked at anew: a sleeper may wake up meanwhile."""
        for _round in range(_MAX_ROUNDS):
            busy = False
            for group in _grouped(self._look()):
                busy |= self._step(group)
            if not busy:
                return
        raise OSError(errno.EBUSY, "its names change all the time")

    def _look(self) -> list[Leftover]:
        """What is left; what is of no use is swept on the way."""
        lefts = []
        with suppress(FileNotFoundError), os.scandir(self.folder) as found:
            for item in found:
                if item.is_dir(follow_symlinks=False):
                    continue
                what = action_for(
                    item.name, self.ended, rest_is_safe=self.rest_is_safe, only=self.only
                )
                left = read_name(item.name)
                if what is LeftoverAction.DELETE:
                    self._unlink(item.name)
                elif left is not None and what is not LeftoverAction.IGNORE:
                    if item.is_file(follow_symlinks=False):
                        lefts.append(left)
                    elif left.token:
                        self._unlink(item.name)  # a link or a pipe is nobody's bytes
        return [left for left in lefts if self._may_open(replace(left, is_sidecar=False).name)]

    def _may_open(self, name: str) -> bool:
        if name not in self.opened | self.forbidden:
            allowed = may_open(self.folder / name)
            (self.opened if allowed else self.forbidden).add(name)
        return name in self.opened

    def _step(self, group: _Group) -> bool:
        """One step towards one partial at rest; False where there is nothing to do."""
        at_rest = [left for left in group.data if not left.token]
        working = [left for left in group.data if left.token]
        alone = [left for left in group.sidecars if not _has(group.data, left.token)]
        self.lock.guard()
        if alone:
            has_none = bool(at_rest) and not _has(group.sidecars, "")
            self._settle_alone(alone, wanted=has_none)
        elif at_rest and (working or not self._is_safe(at_rest[0])):
            self._set_apart(at_rest[0])
        elif len(working) > 1:
            self._choose(working)
        elif working and group.base in self.forbidden and working[0].token == self.lock.token:
            return False  # its name at rest is taken
        elif working and working[0].token in self.ended:
            taken = group.base in self.forbidden
            _rename(self.folder, working[0], token=self.lock.token if taken else "")
        elif working:
            self._copy(working[0])
        else:
            return False
        return True

    def _settle_alone(self, sidecars: list[Leftover], *, wanted: bool) -> None:
        """Sidecars without data: the one that belongs to data at rest, and those that speak of
        nothing any more."""
        worn = [left for left in sidecars if left.token]
        ours = [left for left in worn if left.token in self.ended]
        fitting = worn if len(worn) == 1 else ours if len(ours) == 1 else []
        if wanted and fitting:
            with suppress(FileNotFoundError):
                [left] = fitting
                os.rename(self.folder / left.name, self.folder / replace(left, token="").name)
            return
        for left in sidecars:
            if left.token:
                self._unlink(left.name)
            else:
                self._unlink_shared(left.name)

    def _is_safe(self, at_rest: Leftover) -> bool:
        """Whether nobody can be at work on what lies at rest; what gets there later is ours."""
        return self.rest_is_safe or at_rest.base in self.emptied

    def _set_apart(self, left: Leftover) -> None:
        """Give what lies at rest a name that is nobody's."""
        token = secrets.token_hex(16)
        if self._is_safe(left):
            self.ended.add(token)
        self.emptied.add(left.base)
        pairs = [
            (self.folder / each.name, self.folder / replace(each, token=token).name)
            for each in (replace(left, is_sidecar=True), left)
        ]
        take(pairs, self.lock.check)

    def _choose(self, lefts: Sequence[Leftover]) -> None:
        """Keep the one with more bytes; one that need not be copied, where they are equal."""

        def worth(left: Leftover) -> tuple[bool, int, bool]:
            stock = self._stock_of(left)
            # Without a digest bytes of unknown origin prove nothing, be they ever so many.
            counts = stock is not None and (self.digest_known or stock.object_version is not None)
            return counts, (0 if stock is None else stock.size), left.token in self.ended

        best = max(lefts, key=worth)
        for left in lefts:
            if left is not best:
                self._remove(left)

    def _stock_of(self, left: Leftover) -> PartialState | None:
        try:
            length = os.lstat(self.folder / left.name).st_size
        except FileNotFoundError:
            return None
        return read_partial_state(
            length, sidecar_path(self.folder / left.name), digest_known=self.digest_known
        )

    def _remove(self, left: Leftover) -> None:
        self._unlink(left.name)  # first: a sidecar alone speaks of nothing
        self._unlink(replace(left, is_sidecar=True).name)

    def _copy(self, left: Leftover) -> None:
        """Copy what an owner left that may wake up, or be at work still, and unlink its names."""
        source = self.folder / left.name
        opened = open_partial(source, digest_known=self.digest_known)
        if opened is None:
            return  # it has another name by now
        fd, stock = opened
        fresh = self.folder / f"{claimed_name(left.base, self.lock.token)}{UNFINISHED}"
        ours = replace(left, token=self.lock.token)
        try:
            if stock.ranges:
                ranges = self._fill(fd, stock, fresh)
                if not is_same_file(
                    fd, source
                ):  # begun anew meanwhile: the sidecar may be of either
                    fresh.unlink()
                    return
                if stock.object_version is not None or stock.segmented:
                    digest = None if self.digest_known else ranges_digest(fresh, ranges)
                    known = ranges if stock.segmented else None
                    words = sidecar_json(stock.object_version, known, digest)
                    write_file(self.folder / replace(ours, is_sidecar=True).name, words)
                os.rename(fresh, self.folder / ours.name)
        finally:
            os.close(fd)
        self._remove(left)

    def _fill(self, source: int, stock: PartialState, target: Path) -> list[sets.Range]:
        """Bring the bytes that are there into a new file, and that to the disk; which they are."""
        target.unlink(missing_ok=True)
        fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            if not clone(source, fd):
                if free_space(self.folder).bytes < stock.size + RESERVE:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
                for start, stop in stock.ranges:
                    self._copy_range(source, fd, start, stop)
            # Before a sidecar claims any of it.
            os.fsync(fd)
            return sets.normal(stock.ranges, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def _copy_range(self, source: int, target: int, at: int, stop: int) -> None:
        while at < stop and (data := os.pread(source, min(_PIECE, stop - at), at)):
            if self.cancelled():
                raise RecoveryCancelled
            self.lock.guard()
            write_all(target, [data], at)
            at += len(data)

    def _unlink_shared(self, name: str) -> None:
        own = self.folder / f"{name}.{self.lock.token}{UNFINISHED}"
        take([(self.folder / name, own)], self.lock.check)
        self._unlink(own.name)

    def _unlink(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.folder / name)


def _grouped(lefts: Sequence[Leftover]) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for left in lefts:
        group = groups.setdefault(left.base, _Group(left.base))
        (group.sidecars if left.is_sidecar else group.data).append(left)
    return list(groups.values())


def _has(lefts: Sequence[Leftover], token: str) -> bool:
    return any(left.token == token for left in lefts)
