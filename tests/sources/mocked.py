"""The public API, mocked: no real server can be made to say all this as easily."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from cxrsync.config.job import SourceConfig, TransferLimits
from cxrsync.sources.physionet import PhysioNet


class Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not know the ``stream_writer`` that aiohttp 3.14 wants."""

    def __init__(self, *args: Any, **kinds: Any) -> None:
        kinds.pop("writer", None)
        super().__init__(*args, **kinds, writer=None, stream_writer=_Writer())


class _Writer:
    output_size = 0


@pytest.fixture
async def source() -> AsyncIterator[PhysioNet]:
    def nobody(host: str, user: str | None) -> None:
        pytest.fail(f"{host} asks for the password of {user}")

    source = PhysioNet(SourceConfig(), TransferLimits(), nobody)
    yield source
    await source.close()
