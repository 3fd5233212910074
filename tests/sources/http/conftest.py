"""Both ways in which files are fetched over HTTP."""

import pytest

from cxrsync.config.job import HttpPath
from cxrsync.sources.http.lean.client import LeanClient


@pytest.fixture(params=list(HttpPath), ids=lambda path: path.value)
def both_paths(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> HttpPath:
    """Run the test by the lean client, where it takes the answer, and by aiohttp alone."""
    path: HttpPath = request.param
    if path is HttpPath.AIOHTTP:
        monkeypatch.setattr(LeanClient, "of_use", False)
    return path
