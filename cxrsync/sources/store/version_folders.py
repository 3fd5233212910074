"""Where a store has each version: by its address, or by what was found there.

An address may be the folder of one version although its name does not say so.
"""

from __future__ import annotations

from dataclasses import replace

from cxrsync.catalog.stores import Stores
from cxrsync.config.store_address import StoreAddress, VersionPlace
from cxrsync.config.store_places import named_version, place_of_version
from cxrsync.errors import UsageError
from cxrsync.events import EventSink, TreeNotice
from cxrsync.model import RemotePath


class VersionFolders:
    """The places of versions at ``address``.

    ``number``: of the user's access point. ``asked``: dataset and version that the job names.
    """

    def __init__(
        self,
        address: StoreAddress,
        stores: Stores,
        number: int,
        asked: tuple[str, str | None] | None,
        emit: EventSink,
    ) -> None:
        self._address = address
        self._stores = stores
        self._number = number
        self._asked = asked
        self._emit = emit
        # Versions that need not be looked for any more.
        self._settled: set[tuple[str, str]] = set()
        self._is_folder_of: tuple[str, str] | None = None

    def place(self, dataset: str, version: str) -> VersionPlace:
        """Return where a version is."""
        place = place_of_version(self._address, dataset, version, self._number, self._stores)
        return self._itself(place) if self._is_folder_of == (dataset, version) else place

    def settle(self, ref: RemotePath) -> None:
        """Note that the place of a version is right."""
        self._settled.add((ref.dataset, ref.version))

    def candidate(self, ref: RemotePath, place: VersionPlace) -> VersionPlace | None:
        """Return the other place where a version may be, which was not found at ``place``; None if
        there is none, and the second time."""
        wanted = (ref.dataset, ref.version)
        is_first = wanted not in self._settled
        self._settled.add(wanted)
        is_named = not self._address.bucket or named_version(self._address, self._stores)
        is_asked = self._asked is not None and self._asked[0] == ref.dataset
        may_be = is_first and is_asked and not is_named and self._is_folder_of is None
        return self._itself(place) if may_be else None

    def assume(self, ref: RemotePath) -> None:
        """Take the address for the folder of a version. Raises UsageError unless the job names it:
        a manifest does not say of which version it is."""
        if self._asked is None or self._asked[1] is None:
            raise UsageError(
                f"--from {self._address} is the folder of one version, and does not say of which",
                next_step="Say --dataset-version, if you know it.",
            )
        if self._is_folder_of is None:
            self._is_folder_of = (ref.dataset, ref.version)
            self._emit(
                TreeNotice(
                    f"{self._address} does not say which version it holds: {ref.dataset} "
                    f"{ref.version} is assumed, as named"
                )
            )

    def _itself(self, place: VersionPlace) -> VersionPlace:
        return replace(place, prefix=f"{self._address.prefix}/" if self._address.prefix else "")
