"""What lies in the folder of partials: whatever it says, no byte is claimed that is not there, and
a file that is published in the end has the right digest."""

import hashlib
import json
import os
import random
import tempfile
from pathlib import Path
from typing import Any

from fuzz.mutations import NESTED, NESTED_OBJECTS, anything, many, misshapen, mutated, numbers
from hypothesis import example, given
from hypothesis import strategies as st

from cxrsync.model import Entry, FileRecord, is_validator
from cxrsync.storage.byte_ranges import gaps
from cxrsync.storage.partial import Partial
from cxrsync.storage.publish import VerifiedFile, publish
from cxrsync.storage.sidecar import ObjectVersion
from cxrsync.storage.state_db import State
from cxrsync.storage.tree import Tree

DATA = random.Random(3).randbytes(3_000)
NAME = hashlib.sha256(DATA).hexdigest()
PATH = "files/p10/a.jpg"
GOOD: dict[str, Any] = {
    "source": "https://physionet.org/files",
    "total": 3_000,
    "validator": '"5f8-1"',
    "modified": 1_721_736_000.0,
    "ranges": [[0, 1_000], [1_500, 2_000]],
}
CANARY = b"mine"


def take_up(sidecar: bytes, there: int) -> None:
    """Load a partial that lies beside this sidecar, fetch what it lacks, and publish it."""
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary"
        canary.write_bytes(CANARY)
        tree = Tree(Path(folder) / "mirror")
        place = tree.partition("p10") / "partial"
        place.mkdir(parents=True)
        (place / NAME).write_bytes(DATA[:there])
        (place / f"{NAME}.json").write_bytes(sidecar)
        partial = Partial(place, NAME)
        partial.load()

        assert all(0 <= start < stop <= there for start, stop in partial.ranges)
        assert partial.ranges == sorted(partial.ranges)
        assert partial.total is None or 0 <= partial.total <= 1 << 50
        binding = partial.object_version
        if binding is not None and binding.validator is not None:
            assert is_validator(binding.validator)  # it goes into a request's header
        if binding is not None:
            assert binding.source.isprintable()  # it goes into the state
            assert binding.modified is None or 0 <= binding.modified * 10**9 < 1 << 63

        for start, stop in gaps(partial.ranges, len(DATA)):
            partial.bind(ObjectVersion("x", len(DATA), None, binding.modified if binding else None))
            partial.write(start, [DATA[start:stop]], partial.generation)
        partial.bind(ObjectVersion("x", len(DATA), None, binding.modified if binding else None))
        assert partial.digest() == NAME
        [found] = publish(tree, [VerifiedFile(Entry(PATH, NAME), partial)], os.unlink, fsync=False)
        assert not isinstance(found, OSError), found
        row = FileRecord(PATH, NAME, *found, binding.source if binding else "", "", 1.0)
        state, _aside = State.open(tree.partition("p10"), "now")
        with state:
            state.record([row], at=1.0)
            assert list(state.records()) == [row]
        assert Path(tree.final(PATH)).read_bytes() == DATA
        assert list(place.iterdir()) == []
        assert sorted(os.listdir(folder)) == ["canary", "mirror"]
        assert canary.read_bytes() == CANARY


lengths = st.integers(0, len(DATA))


@many
@given(mutated(json.dumps(GOOD).encode()), lengths)
@example(NESTED, 10)
@example(NESTED_OBJECTS, 10)
@example(b"9" * 5_000, 10)
@example(b"x" * (5 << 20), 10)
@example(b"\xff\xfe\0\0", 10)
def test_any_bytes(sidecar: bytes, there: int) -> None:
    take_up(sidecar, there)


@many
@given(st.one_of(misshapen(GOOD), anything), lengths)
@example(GOOD | {"modified": 1e300}, 3_000)
@example(GOOD | {"modified": 10_413_792_000}, 3_000)
@example(GOOD | {"source": "\udcff"}, 3_000)
@example(GOOD | {"total": 10**18}, 3_000)
@example(GOOD | {"validator": "*"}, 1_000)
@example(GOOD | {"validator": '"' + "x" * 9_000 + '"'}, 1_000)
@example(GOOD | {"modified": 1e999}, 3_000)
@example(GOOD | {"modified": -1e15, "ranges": [[0, 3_000]]}, 3_000)
@example(GOOD | {"total": -1}, 3_000)
@example(GOOD | {"total": 10**400}, 3_000)
@example(GOOD | {"validator": '"a"\r\nAuthorization: Basic eA=='}, 1_000)
@example(GOOD | {"validator": "\ud800"}, 1_000)
@example(GOOD | {"ranges": "ab"}, 1_000)
@example(GOOD | {"ranges": {"10": 1}}, 1_000)
@example(GOOD | {"ranges": None}, 1_000)
def test_any_json(raw: Any, there: int) -> None:
    take_up(json.dumps(raw).encode(), there)


@many
@given(st.lists(st.lists(numbers, min_size=1, max_size=3), max_size=8), lengths)
@example([[5, 1], [-9, 9], [0, 10**30], [2_999, 3_001]], 3_000)
@example([[n, n + 1] for n in range(0, 2_000, 2)], 3_000)
def test_any_ranges(ranges: list[list[Any]], there: int) -> None:
    take_up(json.dumps(GOOD | {"ranges": ranges}).encode(), there)
