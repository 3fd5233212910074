"""The sidecar of a partial: what binds its bytes to one object at one source."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrsync.model import is_size, is_time, is_validator
from cxrsync.storage import byte_ranges as sets
from cxrsync.storage.filesystem import read_json

# Re-reading what was written out of order: small enough to keep the hand-over short.
_REREAD = 1 << 20


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """The object at the source that a partial's bytes belong to.

    ``source`` is the source's identity, within which alone ``validator`` (a strong ETag) means
    anything; ``modified`` a POSIX time in seconds. ``found``: the first bytes stood under the final
    name, and may be somebody's: where they prove wrong they are set aside.
    """

    source: str
    total: int | None = None
    validator: str | None = None
    modified: float | None = None
    found: bool = False


@dataclass(frozen=True, slots=True)
class PartialState:
    """What lies on the disk of a partial. ``segmented``: ``ranges`` are those of its sidecar;
    ``is_bound``: that one claims nothing that is not there; ``is_sealed``: it has their digest, and
    that is right."""

    ranges: list[sets.Range]
    object_version: ObjectVersion | None = None
    segmented: bool = False
    has_sidecar: bool = False
    is_bound: bool = False
    is_sealed: bool = False

    @property
    def size(self) -> int:
        """How many bytes are there."""
        return sets.size(self.ranges)


def sidecar_path(data: Path) -> Path:
    """Where the sidecar of a partial lies."""
    return data.with_name(f"{data.name}.json")


def sidecar_json(
    binding: ObjectVersion | None, ranges: Sequence[sets.Range] | None, seal: str | None = None
) -> bytes:
    """What a sidecar says; ``ranges`` None: the frontier is the file's length. ``seal``: the
    SHA-256 of the bytes in ``ranges``, where no other digest would show that a disk changed them.
    """
    binding = binding or ObjectVersion(source="")
    raw: dict[str, object] = {
        "source": binding.source,
        "total": binding.total,
        "validator": binding.validator,
        "modified": binding.modified,
    }
    if binding.found:
        raw["found"] = True
    if ranges is not None:
        raw["ranges"] = ranges
    if seal is not None:
        raw["sha256"] = seal
    return json.dumps(raw).encode()


def read_partial_state(length: int, sidecar: Path, *, digest_known: bool) -> PartialState:
    """What is there of a partial of ``length`` bytes, by its sidecar. Nothing is changed."""
    everything = sets.normal([(0, length)], length)
    has_sidecar = os.path.lexists(sidecar)
    # Without its sidecar a partial is bytes of unknown origin; its digest will tell.
    unknown = PartialState(everything, has_sidecar=has_sidecar)
    try:
        raw = read_json(sidecar)
        binding = _binding_of(raw)
        parts = [(int(start), int(stop)) for start, stop in raw.get("ranges", everything)]
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return unknown
    segmented = "ranges" in raw
    if not digest_known and not segmented:
        return unknown  # a power cut may have taken any of it
    if not _is_sound(binding, raw) and not segmented:
        return unknown  # as without it: the bytes are asked after, and bring what it should say
    ranges = sets.normal(parts, length)
    if not ranges:
        # A total or a validator without a byte belongs to nothing, and would be believed.
        return PartialState(ranges, None, segmented, has_sidecar)
    seal = None if digest_known else raw.get("sha256")
    if seal is not None and seal != ranges_digest(Path(str(sidecar).removesuffix(".json")), ranges):
        return PartialState([], None, segmented, has_sidecar)  # the disk has changed some of it
    if binding.total is not None and ranges[-1][1] > binding.total:
        # More bytes than the file has: one of the two is wrong, and nobody knows which.
        return unknown
    # What it claims beyond the end must not come true by itself when the file grows again.
    is_bound = ranges == sets.normal(parts, sys.maxsize)
    return PartialState(ranges, binding, segmented, has_sidecar, is_bound, seal is not None)


def ranges_digest(data: Path, ranges: Sequence[sets.Range]) -> str | None:
    """The SHA-256 of the bytes in ``ranges``; None where they cannot be read."""
    seal = hashlib.sha256()
    try:
        with data.open("rb", buffering=0) as file:
            for start, stop in ranges:
                at = start
                while at < stop:
                    piece = os.pread(file.fileno(), min(_REREAD, stop - at), at)
                    if not piece:
                        return None
                    seal.update(piece)
                    at += len(piece)
    except OSError:
        return None
    return seal.hexdigest()


def _binding_of(raw: dict[str, Any]) -> ObjectVersion:
    """What a sidecar says. It goes into requests, file times and the state: what cannot be true is
    left out, as if nobody had said it. Raises KeyError, TypeError."""
    source, validator = raw["source"], raw["validator"]
    total, modified = raw["total"], raw["modified"]
    return ObjectVersion(
        source=source if isinstance(source, str) and source.isprintable() else "",
        total=total if type(total) is int and is_size(total) else None,
        validator=validator if isinstance(validator, str) and is_validator(validator) else None,
        modified=modified if type(modified) in {int, float} and is_time(modified) else None,
        found=raw.get("found") is True,
    )


def _is_sound(binding: ObjectVersion, raw: dict[str, Any]) -> bool:
    """Whether a sidecar says nothing that cannot be true."""
    return (binding.source, binding.total, binding.validator, binding.modified) == (
        raw["source"], raw["total"], raw["validator"], raw["modified"]
    )  # fmt: skip
