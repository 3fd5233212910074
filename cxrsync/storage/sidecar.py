"""The sidecar of a partial: which object at which source its bytes belong to."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrsync.model import is_size, is_time, is_validator
from cxrsync.storage import byte_ranges
from cxrsync.storage.filesystem import read_json
from cxrsync.storage.prefix_hash import ranges_digest


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """The object at the source that a partial's bytes belong to.

    ``source``: the identity of the source. ``validator``: a strong ETag, which means something only
    at that source. ``modified``: a POSIX time in seconds. ``found``: the first bytes stood under
    the final name and may be the user's: if they prove wrong, they are moved to the trash.
    """

    source: str
    total: int | None = None
    validator: str | None = None
    modified: float | None = None
    found: bool = False


@dataclass(frozen=True, slots=True)
class PartialState:
    """What a partial and its sidecar hold on the disk.

    ``segmented``: ``ranges`` come from the sidecar. ``is_current``: the sidecar lists no byte that
    is missing. ``has_digest``: the sidecar holds the digest of the ranges, and it is right.
    """

    ranges: list[byte_ranges.Range]
    object_version: ObjectVersion | None = None
    segmented: bool = False
    has_sidecar: bool = False
    is_current: bool = False
    has_digest: bool = False

    @property
    def size(self) -> int:
        """How many bytes are on the disk."""
        return byte_ranges.size(self.ranges)


def sidecar_path(data: Path) -> Path:
    """Return the path of a partial's sidecar."""
    return data.with_name(f"{data.name}.json")


def sidecar_json(
    object_version: ObjectVersion | None,
    ranges: Sequence[byte_ranges.Range] | None,
    digest: str | None = None,
) -> bytes:
    """Return the content of a sidecar.

    ``ranges`` None: the bytes are one stream, as long as the file. ``digest``: the SHA-256 of the
    bytes in ``ranges``, for a file without a published digest: it shows whether a disk changed
    them.
    """
    version = object_version or ObjectVersion(source="")
    raw: dict[str, object] = {
        "source": version.source,
        "total": version.total,
        "validator": version.validator,
        "modified": version.modified,
    }
    if version.found:
        raw["found"] = True
    if ranges is not None:
        raw["ranges"] = ranges
    if digest is not None:
        raw["sha256"] = digest
    return json.dumps(raw).encode()


def read_partial_state(length: int, sidecar: Path, *, digest_known: bool) -> PartialState:
    """Return what a partial of ``length`` bytes holds according to its sidecar. Changes nothing.

    ``digest_known``: a published digest will prove the bytes later.
    """
    everything = byte_ranges.normal([(0, length)], length)
    has_sidecar = os.path.lexists(sidecar)
    # Without its sidecar a partial is bytes of unknown origin. The published digest decides later.
    unknown = PartialState(everything, has_sidecar=has_sidecar)
    try:
        raw = read_json(sidecar)
        version = _version_of(raw)
        parts = [(int(start), int(stop)) for start, stop in raw.get("ranges", everything)]
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return unknown
    segmented = "ranges" in raw
    if not digest_known and not segmented:
        return unknown  # a power cut may have taken any of the bytes
    if not _is_sound(version, raw) and not segmented:
        return unknown  # as without a sidecar: the next response says what it should hold
    ranges = byte_ranges.normal(parts, length)
    if not ranges:
        # A total or a validator without a single byte proves nothing, and would be believed.
        return PartialState(ranges, None, segmented, has_sidecar)
    digest = None if digest_known else raw.get("sha256")
    data = Path(str(sidecar).removesuffix(".json"))
    if digest is not None and digest != ranges_digest(data, ranges):
        return PartialState([], None, segmented, has_sidecar)  # the disk changed some of the bytes
    if version.total is not None and ranges[-1][1] > version.total:
        # More bytes than the file has: one of the two is wrong, and nobody knows which.
        return unknown
    # A range that ends behind the data must not come true by itself when the file grows again.
    is_current = ranges == byte_ranges.normal(parts, sys.maxsize)
    return PartialState(ranges, version, segmented, has_sidecar, is_current, digest is not None)


def _version_of(raw: dict[str, Any]) -> ObjectVersion:
    """Return the object that a sidecar names. Raises KeyError, TypeError.

    Its values go into requests, file times and the state: impossible ones are left out, as if they
    were not in the sidecar.
    """
    source, validator = raw["source"], raw["validator"]
    total, modified = raw["total"], raw["modified"]
    return ObjectVersion(
        source=source if isinstance(source, str) and source.isprintable() else "",
        total=total if type(total) is int and is_size(total) else None,
        validator=validator if isinstance(validator, str) and is_validator(validator) else None,
        modified=modified if type(modified) in {int, float} and is_time(modified) else None,
        found=raw.get("found") is True,
    )


def _is_sound(version: ObjectVersion, raw: dict[str, Any]) -> bool:
    """Whether every value of a sidecar is a possible one."""
    return (version.source, version.total, version.validator, version.modified) == (
        raw["source"], raw["total"], raw["validator"], raw["modified"]
    )  # fmt: skip
