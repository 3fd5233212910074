"""Partials that other runs left in a folder, made usable for us; and what this run leaves.

An unclaimed partial is named by its digest alone. While a run works on a partial, its name also
holds the token of that run's lock: see :mod:`cxrsync.storage.partial_names`. A run that takes
a lock recovers the partials in its folder before anything else:

1. A partial of an owner that certainly ended, or an unclaimed one, keeps its file and gets its
   unclaimed name.
2. A partial of an owner that may wake up is copied to a file of our own; then its names are
   unlinked. What that owner does by name fails from then on, and what it writes to its open file
   goes to a file without a name.
3. If an owner was replaced that may wake up, unclaimed partials are not safe either: cxrsync 0.1.0
   works on those names. They get a token that nobody has, and are copied.
4. A partial that we may not open (another user's) is left as it is, and returned. Ours of the same
   digest then keeps its claimed name.

Of two partials of one digest the one with more bytes stays. The order of the renames: a sidecar
loses its unclaimed name before its data does, and gets it after its data. So a claimed sidecar
alone belongs to unclaimed data without a sidecar. A kill at any step loses nothing: the next owner
continues from there.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from cxrsync.errors import CxrsyncError
from cxrsync.storage import byte_ranges
from cxrsync.storage.atomic_write import COPY_SUFFIX, UNFINISHED, write_all, write_file
from cxrsync.storage.disk_space import free_space
from cxrsync.storage.filesystem import FILE_MODE, disk_failure, is_same_file, may_open
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
from cxrsync.storage.shared_names import take_names
from cxrsync.storage.sidecar import PartialState, read_partial_state, sidecar_json, sidecar_path

# One digest seldom has more than one leftover, and each takes a few steps.
_MAX_ROUNDS = 1000
_PIECE = 4 << 20


class RecoveryCancelled(Exception):
    """The caller does not want the recovery any more."""


def recover_partials(
    folder: Path,
    lock: Lock,
    replaced: Sequence[ReplacedOwner],
    *,
    only: str | None = None,
    digest_known: bool = True,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Path, ...]:
    """Make the partials in ``folder`` usable for the owner of ``lock``, which was taken just now.

    ``replaced``: the owners that the lock was taken from. ``only``: the one partial that the folder
    holds. ``digest_known``: see :class:`~cxrsync.storage.partial.Partial`. ``cancelled`` is asked
    while much is copied.

    Returns the partials that we may not open. Raises LockLost, DiskError, RecoveryCancelled.
    """
    try:
        ended = {each.owner.token for each in replaced if each.dead}
        recovery = _Recovery(
            folder, lock, only, digest_known, cancelled, {*ended, lock.token},
            unclaimed_is_safe=all(each.dead for each in replaced),
        )  # fmt: skip
        recovery.run()
        lock.forget_replaced(replaced)
        return tuple(folder / name for name in sorted(recovery.forbidden))
    except OSError as problem:
        raise disk_failure(problem, f"cannot take over what another run left in {folder}") from None


def release_partials(folder: Path, lock: Lock, *, only: str | None = None) -> None:
    """Give our partials their unclaimed names before ``lock`` is released, so that every run can
    continue them.

    Errors of the disk, and a lock that was lost, are ignored: the next owner recovers the rest.
    """
    with suppress(OSError, CxrsyncError):
        names = set(os.listdir(folder))
        if not any(lock.token in name for name in names):
            return
        lock.check()
        for name in sorted(names):
            leftover = read_name(name)
            is_ours = leftover is not None and leftover.token == lock.token
            if leftover is None or not is_ours or (only not in {None, leftover.base}):
                if lock.token in name and (COPY_SUFFIX in name or name.endswith(UNFINISHED)):
                    os.unlink(folder / name)
            elif leftover.is_sidecar:
                if replace(leftover, is_sidecar=False).name not in names:
                    os.unlink(folder / name)  # of a file that was published
            elif leftover.base not in names:
                _rename(folder, leftover, token="")


def _rename(folder: Path, data: Leftover, *, token: str) -> None:
    """Give a partial and its sidecar the names with ``token``; delete an empty one. Raises
    OSError."""
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
class _Recovery:
    folder: Path
    lock: Lock
    only: str | None
    digest_known: bool
    cancelled: Callable[[], bool]
    ended: set[str]
    unclaimed_is_safe: bool
    emptied: set[str] = field(default_factory=set)
    """Partials whose unclaimed name we have taken: what gets it now is ours."""
    forbidden: set[str] = field(default_factory=set)
    """The names of partials that we may not open."""
    opened: set[str] = field(default_factory=set)
    """The names of partials that we may open."""

    def run(self) -> None:
        """Take one step at a time, each on a fresh listing: a former owner may wake up between
        two steps. Raises OSError, LockLost, DiskError, RecoveryCancelled."""
        for _round in range(_MAX_ROUNDS):
            busy = False
            for group in _grouped(self._list()):
                busy |= self._step(group)
            if not busy:
                return
        raise OSError(errno.EBUSY, "its names change all the time")

    def _list(self) -> list[Leftover]:
        """Return the leftovers that we may open, and delete what nobody can use."""
        leftovers = []
        with suppress(FileNotFoundError), os.scandir(self.folder) as found:
            for item in found:
                if item.is_dir(follow_symlinks=False):
                    continue
                action = action_for(
                    item.name,
                    self.ended,
                    unclaimed_is_safe=self.unclaimed_is_safe,
                    only=self.only,
                )
                leftover = read_name(item.name)
                if action is LeftoverAction.DELETE:
                    self._unlink(item.name)
                elif leftover is not None and action is not LeftoverAction.IGNORE:
                    if item.is_file(follow_symlinks=False):
                        leftovers.append(leftover)
                    elif leftover.token:
                        self._unlink(item.name)  # a link or a pipe holds no bytes of ours
        return [each for each in leftovers if self._may_open(replace(each, is_sidecar=False).name)]

    def _may_open(self, name: str) -> bool:
        if name not in self.opened | self.forbidden:
            allowed = may_open(self.folder / name)
            (self.opened if allowed else self.forbidden).add(name)
        return name in self.opened

    def _step(self, group: _Group) -> bool:
        """Take one step towards one unclaimed partial. Return False if there is none to take."""
        unclaimed = [each for each in group.data if not each.token]
        claimed = [each for each in group.data if each.token]
        alone = [each for each in group.sidecars if not _has(group.data, each.token)]
        name_is_taken = group.base in self.forbidden
        self.lock.guard()
        if alone:
            is_missing = bool(unclaimed) and not _has(group.sidecars, "")
            self._settle_sidecars(alone, is_missing=is_missing)
        elif unclaimed and (claimed or not self._is_safe(unclaimed[0])):
            self._set_apart(unclaimed[0])
        elif len(claimed) > 1:
            self._choose(claimed)
        elif claimed and name_is_taken and claimed[0].token == self.lock.token:
            return False
        elif claimed and claimed[0].token in self.ended:
            _rename(self.folder, claimed[0], token=self.lock.token if name_is_taken else "")
        elif claimed:
            self._copy(claimed[0])
        else:
            return False
        return True

    def _settle_sidecars(self, sidecars: list[Leftover], *, is_missing: bool) -> None:
        """Settle sidecars without data: rename the one that belongs to unclaimed data whose sidecar
        ``is_missing``, and delete those that describe nothing any more."""
        claimed = [each for each in sidecars if each.token]
        ended = [each for each in claimed if each.token in self.ended]
        fitting = claimed if len(claimed) == 1 else ended if len(ended) == 1 else []
        if is_missing and fitting:
            with suppress(FileNotFoundError):
                [sidecar] = fitting
                unclaimed = replace(sidecar, token="")
                os.rename(self.folder / sidecar.name, self.folder / unclaimed.name)
            return
        for sidecar in sidecars:
            if sidecar.token:
                self._unlink(sidecar.name)
            else:
                self._unlink_shared(sidecar.name)

    def _is_safe(self, unclaimed: Leftover) -> bool:
        """Whether no other run can be working on an unclaimed partial."""
        return self.unclaimed_is_safe or unclaimed.base in self.emptied

    def _set_apart(self, leftover: Leftover) -> None:
        """Give an unclaimed partial a token that no run has."""
        token = secrets.token_hex(16)
        if self._is_safe(leftover):
            self.ended.add(token)
        self.emptied.add(leftover.base)
        pairs = [
            (self.folder / each.name, self.folder / replace(each, token=token).name)
            for each in (replace(leftover, is_sidecar=True), leftover)
        ]
        take_names(pairs, self.lock.check)

    def _choose(self, leftovers: Sequence[Leftover]) -> None:
        """Keep the leftover with more bytes; of equal ones, one that need not be copied."""

        def worth(leftover: Leftover) -> tuple[bool, int, bool]:
            state = self._state_of(leftover)
            # Without a published digest, bytes of unknown origin prove nothing, however many.
            counts = state is not None and (self.digest_known or state.object_version is not None)
            return counts, (0 if state is None else state.size), leftover.token in self.ended

        best = max(leftovers, key=worth)
        for leftover in leftovers:
            if leftover is not best:
                self._remove(leftover)

    def _state_of(self, leftover: Leftover) -> PartialState | None:
        data = self.folder / leftover.name
        try:
            length = os.lstat(data).st_size
        except FileNotFoundError:
            return None
        return read_partial_state(length, sidecar_path(data), digest_known=self.digest_known)

    def _remove(self, leftover: Leftover) -> None:
        self._unlink(leftover.name)  # the data first: a sidecar alone describes nothing
        self._unlink(replace(leftover, is_sidecar=True).name)

    def _copy(self, leftover: Leftover) -> None:
        """Copy the partial of an owner that may wake up, or still works on it; then unlink it."""
        source = self.folder / leftover.name
        opened = open_partial(source, digest_known=self.digest_known)
        if opened is None:
            return  # it has another name by now
        fd, state = opened
        fresh = self.folder / f"{claimed_name(leftover.base, self.lock.token)}{UNFINISHED}"
        target = replace(leftover, token=self.lock.token)
        try:
            if state.ranges:
                ranges = self._fill(fd, state, fresh)
                if not is_same_file(fd, source):
                    # Its owner began a new file meanwhile: the sidecar may describe either one.
                    fresh.unlink()
                    return
                if state.object_version is not None or state.segmented:
                    digest = None if self.digest_known else ranges_digest(fresh, ranges)
                    known = ranges if state.segmented else None
                    text = sidecar_json(state.object_version, known, digest)
                    write_file(self.folder / replace(target, is_sidecar=True).name, text)
                os.rename(fresh, self.folder / target.name)
        finally:
            os.close(fd)
        self._remove(leftover)

    def _fill(self, source: int, state: PartialState, target: Path) -> list[byte_ranges.Range]:
        """Copy the bytes of a partial to a new file, and sync it. Return the ranges it holds."""
        target.unlink(missing_ok=True)
        fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            if not clone(source, fd):
                if free_space(self.folder).bytes < state.size + RESERVE:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
                for start, stop in state.ranges:
                    self._copy_range(source, fd, start, stop)
            # Before a sidecar lists any of these bytes.
            os.fsync(fd)
            return byte_ranges.normal(state.ranges, os.fstat(fd).st_size)
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
        take_names([(self.folder / name, own)], self.lock.check)
        self._unlink(own.name)

    def _unlink(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.folder / name)


def _grouped(leftovers: Sequence[Leftover]) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for leftover in leftovers:
        group = groups.setdefault(leftover.base, _Group(leftover.base))
        (group.sidecars if leftover.is_sidecar else group.data).append(leftover)
    return list(groups.values())


def _has(leftovers: Sequence[Leftover], token: str) -> bool:
    return any(leftover.token == token for leftover in leftovers)
