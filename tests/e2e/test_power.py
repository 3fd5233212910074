"""Power loss, as far as it can be rehearsed: a small pull, recorded, cut after each operation.

``scripts/powerloss`` does the same with more files, and more of the runs that come after.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.stage import Machine
from power.model import Disk, Fate
from power.recording import why_not
from power.rehearsal import (
    FATES,
    SLUG,
    Published,
    Rehearsal,
    next_runs,
    publish_dataset,
    rehearse,
)

from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.server import MiniPhysioNet

REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

IMAGES = 12
ARCHIVE_BYTES = 5 << 20
MANIFEST_PARTIAL = r"manifests/partial\.[0-9a-f]{32}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("power").resolve()


@pytest.fixture(scope="module")
def published(place: Path) -> Published:
    return publish_dataset(place / "files", IMAGES, ARCHIVE_BYTES)


@pytest.fixture(scope="module")
def power_server(place: Path, published: Published) -> Iterator[MiniPhysioNet]:
    behaviour = ServerBehaviour(rate=8 << 20, open_datasets=frozenset({SLUG}))
    with MiniPhysioNet(place / "files", behaviour) as server:
        yield server


def machine_at(place: Path, name: str, server: MiniPhysioNet) -> Machine:
    home = place / name
    home.mkdir()
    return Machine(home, home / "dest", server.base_url, server.ca_file)


@pytest.fixture(scope="module")
def rehearsal(place: Path, published: Published, power_server: MiniPhysioNet) -> Rehearsal:
    return rehearse(machine_at(place, "first", power_server), published, place / "log")


def trees_with_wrong_files(rehearsal: Rehearsal, disks: Iterator[Disk]) -> list[tuple[int, Fate]]:
    return [
        (disk.count - rehearsal.before, fate)
        for disk in disks
        for fate, throw in FATES
        if rehearsal.wrong(disk.after_power_loss(fate, throw))
    ]


def test_the_recording_ends_with_the_whole_tree(rehearsal: Rehearsal) -> None:
    disk = Disk(rehearsal.operations)
    everything = rehearsal.published.digests.keys()
    assert rehearsal.right(disk.after_power_loss(Fate.KEPT)) == everything
    # What a pull has said is complete outlasts a power cut.
    assert rehearsal.right(disk.after_power_loss(Fate.SYNCED)) == everything


def test_at_no_moment_a_final_name_is_wrong(rehearsal: Rehearsal) -> None:
    every_moment = rehearsal.moments(rehearsal.operations, range(rehearsal.count + 1))
    assert trees_with_wrong_files(rehearsal, every_moment) == []


def test_without_syncs_it_would_be(rehearsal: Rehearsal) -> None:
    operations = rehearsal.unsynced()
    every_moment = rehearsal.moments(operations, range(0, len(operations), 4))
    found = {fate for _moment, fate in trees_with_wrong_files(rehearsal, every_moment)}
    assert found == {Fate.HOLLOW, Fate.UNEVEN, Fate.EMPTY, Fate.ORDERED, Fate.ANY}


def test_no_fsync_is_as_unsafe_as_its_help_says(
    place: Path, published: Published, power_server: MiniPhysioNet
) -> None:
    machine = machine_at(place, "careless", power_server)
    careless = rehearse(machine, published, place / "careless.log", "--no-fsync")
    every_moment = careless.moments(careless.operations, range(0, careless.count, 4))
    assert trees_with_wrong_files(careless, every_moment)


@pytest.mark.parametrize("fate", [Fate.UNEVEN, Fate.ORDERED, Fate.ANY])
def test_the_next_run_completes_the_tree(
    place: Path, power_server: MiniPhysioNet, rehearsal: Rehearsal, fate: Fate
) -> None:
    power_server.set_behaviour(rate=None)
    machine = machine_at(place, f"next-{fate.name}", power_server)
    chance = random.Random(fate.name)
    moments = list(range(rehearsal.count + 1))
    if fate is Fate.UNEVEN:
        # No digest proves a manifest: bytes of it that are zeros must not be gone on with.
        moments = rehearsal.while_under_way(MANIFEST_PARTIAL)
    chance.shuffle(moments)
    survivor = rehearsal.at(moments[0]).after_power_loss(fate)
    assert next_runs(machine, rehearsal, survivor) == []
