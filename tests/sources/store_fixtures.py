"""One store of each kind for all tests of a session; each module has folders of its own there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sources.stores import GcsStore, MotoStore, RcloneStore, Store


def _until_the_end(store: Store) -> Iterator[Store]:
    try:
        yield store
    finally:
        store.stop()


@pytest.fixture(scope="session")
def moto() -> Iterator[Store]:
    yield from _until_the_end(MotoStore())


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    yield from _until_the_end(RcloneStore(tmp_path_factory.mktemp("rclone")))


@pytest.fixture(scope="session")
def gcs() -> Iterator[Store]:
    yield from _until_the_end(GcsStore())
