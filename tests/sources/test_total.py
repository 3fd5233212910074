"""How many bytes a version has in all: a number for estimates, from whoever can tell.

The site's answers are mocked: no real server can be made to say all this as easily.
"""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses
from sources.mocked import Response, source
from sources.trees import local_tree

from cxrsync.dataset.tree_identity import Identity
from cxrsync.errors import Unanswered
from cxrsync.sources.physionet import PhysioNet

__all__ = ["source"]  # a fixture

URL = "https://physionet.org/api/v1/project/published/mimic-cxr/2.1.0/"
GOOD = {"slug": "mimic-cxr", "version": "2.1.0", "main_storage_size": 4_700_000_000_000}


async def told(source: PhysioNet, **answer: Any) -> int | None:
    with aioresponses() as mocked:
        mocked.get(URL, response_class=Response, repeat=True, **answer)
        try:
            return await source.total("mimic-cxr", "2.1.0")
        finally:
            [calls] = mocked.requests.values()
            assert len(calls) == 1  # the API is rationed
            assert "Authorization" not in calls[0].kwargs["headers"]


async def says_nothing(source: PhysioNet, **answer: Any) -> None:
    with pytest.raises(Unanswered, match=r"the public API of physionet\.org"):
        await told(source, **answer)


async def test_as_the_site_tells_it(source: PhysioNet) -> None:
    assert await told(source, payload=GOOD) == 4_700_000_000_000


@pytest.mark.parametrize("status", [204, 301, 403, 429, 500, 503])
async def test_no_answer(source: PhysioNet, status: int) -> None:
    await says_nothing(source, status=status, payload=GOOD)


async def test_no_such_version(source: PhysioNet) -> None:
    assert await told(source, status=404) is None


@pytest.mark.parametrize(
    "body",
    [
        *(
            json.dumps(payload)
            for payload in (
                [], {}, [GOOD], "4.7 TB", 7, None, {"detail": "Not found."},
                *({"main_storage_size": size} for size in (0, -1, None, "4.7 TB", 4.7e12, [1])),
            )
        ),
        "", "{", "[" * 100_000,
    ],
    ids=lambda body: body[:40],
)  # fmt: skip
async def test_an_answer_of_another_shape(source: PhysioNet, body: str) -> None:
    await says_nothing(source, body=body)


@pytest.mark.parametrize(
    "problem", [aiohttp.ClientConnectionError("gone"), TimeoutError(), OSError(101, "unreachable")]
)
async def test_a_server_that_is_away(source: PhysioNet, problem: Exception) -> None:
    await says_nothing(source, exception=problem)


# ── a tree on a local disk ─────────────────────────────────────────────────────────────────────


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A version's root; the tree is two folders above."""
    root = tmp_path / "alpha" / "1.0"
    for path, size in (("README", 10), ("files/p10/a.jpg", 2_000), ("files/p11/b c/d.jpg", 300)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(bytes(size))
    (root.parent / "2.0").mkdir()
    (root.parent / "2.0" / "README").write_bytes(bytes(77))
    return root


async def test_a_local_tree_is_measured(root: Path) -> None:
    tree = local_tree(root.parents[1])
    assert await tree.total("alpha", "1.0") == 2_310
    assert await tree.total("alpha", "2.0") == 77
    assert tree.requests == 0


async def test_so_is_a_version_s_own_folder(root: Path) -> None:
    (root / "SHA256SUMS.txt").write_bytes(bytes(5))
    assert await local_tree(root, Identity("whatever", "9")).total("whatever", "9") == 2_315


async def test_links_are_not_followed(root: Path) -> None:
    before = await local_tree(root.parents[1]).total("alpha", "1.0")
    assert before is not None
    (root / "elsewhere").symlink_to(root.parent / "2.0")
    (root / "broken").symlink_to("nowhere")
    after = await local_tree(root.parents[1]).total("alpha", "1.0")
    assert after is not None
    assert after - before <= 200  # the names of the links, at the most


async def test_what_is_not_there_has_no_size(root: Path) -> None:
    assert not await local_tree(root.parents[1]).total("alpha", "3.0")
    assert not await local_tree(root.parents[1]).total("beta", "1.0")
