"""Both ways in which files are fetched over HTTP."""

from dataclasses import replace
from typing import Any

import pytest

from cxrsync.config.job import HttpPath, SourceConfig
from cxrsync.sources.http.client import HttpClient


@pytest.fixture(params=list(HttpPath), ids=lambda path: path.value)
def both_paths(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> HttpPath:
    """Run the test by the lean client, where it takes the answer, and by aiohttp alone."""
    path: HttpPath = request.param
    make = HttpClient.__init__

    def by_path(made: HttpClient, origin: SourceConfig, *others: Any, **named: Any) -> None:
        make(made, replace(origin, http=path), *others, **named)

    monkeypatch.setattr(HttpClient, "__init__", by_path)
    return path
