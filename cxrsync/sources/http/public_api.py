"""PhysioNet's public API: which versions a dataset has, and what it says about a version.

It is a convenience, asked without signing in, and it is rationed. So each question is asked at most
once in a run, also after a failure; its answer is remembered for a day, and a refusal (429, or a
Retry-After) until its end, for all questions. "There is no such dataset" (404) is an answer; where
there is none, Unanswered says why.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from typing import Any

import aiohttp
from yarl import URL

from cxrsync.catalog.citation import plain_wording
from cxrsync.catalog.dataset_info import NAME
from cxrsync.errors import SourceError, Unanswered
from cxrsync.model import is_size
from cxrsync.sources.http.api_memory import (
    Answer,
    Memory,
    decode_answer,
    decode_pause,
    encode_answer,
    encode_pause,
    name_of,
)
from cxrsync.sources.http.body import BodyReader
from cxrsync.sources.http.refusals import named, retry_after
from cxrsync.sources.http.session import Session
from cxrsync.sources.version_info import VersionInfo

_MAX_BYTES = 1 << 20
_MAX_LINE = 300
_TOO_MANY = 429
_RATION = (
    "PhysioNet rations its public API: all users behind one address share 100 requests a day. "
    "Run the command again later."
)


@dataclass(frozen=True, slots=True)
class _Question:
    """What the API can be asked. ``parse`` takes the value out of its JSON, ``is_valid`` checks it;
    a value that was remembered is checked, too."""

    parse: Callable[[Any], Any]
    is_valid: Callable[[Any], bool]


_VERSIONS = _Question(
    lambda found: (  # version → how the site words its citation
        {project["version"]: plain_wording(project.get("citation")) for project in found}
        if isinstance(found, list)
        else None
    ),
    lambda value: (
        isinstance(value, dict)
        and all(isinstance(each, str) and NAME.fullmatch(each) for each in value)
        and all(wording == plain_wording(wording) for wording in value.values())
    ),
)
_VERSION = _Question(
    lambda found: {
        "total": _total(found.get("main_storage_size")),
        "title": _line(found.get("title")),
        "doi": _line(found.get("doi")),
        "license": _license(found.get("license")),
    },
    lambda value: (
        isinstance(value, dict)
        and value.keys() == {"total", "title", "doi", "license"}
        and value["total"] == _total(value["total"])
        and all(value[key] == _line(value[key]) for key in ("title", "doi", "license"))
        and any(value.values())
    ),
)


def _total(size: object) -> int | None:
    return size if type(size) is int and size > 0 and is_size(size) else None


def _line(text: object) -> str:
    is_line = isinstance(text, str) and text.isprintable() and len(text) <= _MAX_LINE
    return text if isinstance(text, str) and is_line else ""


def _license(found: object) -> str:
    return _line(found.get("name") if isinstance(found, dict) else found)


class PublicApi:
    """The API of the site of ``base``."""

    def __init__(self, session: Session, base: URL, memory: Memory, bodies: BodyReader) -> None:
        self._session = session
        self._origin = base.origin()
        self._memory = memory
        self._bodies = bodies
        self._answers: dict[URL, Answer] = {}
        self._failures: dict[URL, str] = {}
        self._paused_until: float | None = None

    async def versions(self, dataset: str) -> list[str]:
        """Return the versions of ``dataset`` in the site's order; empty if it knows no such
        dataset. Raises Unanswered."""
        return list(await self._ask(_VERSIONS, dataset) or {})

    async def citations(self, dataset: str) -> dict[str, str]:
        """Return how the site words the citation of each version of ``dataset``, "" where it does
        not: the same request as that for its versions. Raises Unanswered."""
        return dict(await self._ask(_VERSIONS, dataset) or {})

    async def total(self, dataset: str, version: str) -> int | None:
        """Return the size of a version in bytes; None if the site knows no such version. Raises
        Unanswered."""
        found = await self.about(dataset, version)
        if found is not None and found.total is None:
            raise Unanswered(f"the public API of {self._origin.host} gives no usable answer")
        return None if found is None else found.total

    async def about(self, dataset: str, version: str) -> VersionInfo | None:
        """Return what the site says about a version; None if it knows no such version. Raises
        Unanswered."""
        found = await self._ask(_VERSION, dataset, version)
        return None if found is None else VersionInfo(**found)

    async def _ask(self, question: _Question, *names: str) -> Any:
        url = self._origin.joinpath("api/v1/project/published", *names, "")
        answer = self._answers.get(url)
        if answer is None and url not in self._failures:
            answer = await asyncio.to_thread(self._recall, url, question)
        if answer is None:
            self._check_may_ask(url)
            try:
                answer = await self._request(url, question)
            except Unanswered as failed:
                self._failures[url] = str(failed)
                raise
            await asyncio.to_thread(self._remember, url, answer)
        self._answers[url] = answer
        return answer.value

    def _check_may_ask(self, url: URL) -> None:
        """Raise Unanswered if this run has asked in vain, or if the API is to be left alone."""
        if self._paused_until is not None and time() < self._paused_until:
            then = datetime.fromtimestamp(self._paused_until, UTC).astimezone()
            raise Unanswered(
                f"the public API of {self._origin.host} was asked too often, and is not asked "
                f"again before {then:%Y-%m-%d %H:%M %Z}",
                next_step=_RATION,
            )
        if url in self._failures:
            raise Unanswered(self._failures[url])

    def _recall(self, url: URL, question: _Question) -> Answer | None:
        """Return the answer that an earlier run got today; note until when the API is not to be
        asked."""
        pause = self._memory.read(name_of("pause", str(self._origin)))
        paused_until = decode_pause(pause, str(self._origin), time())
        self._paused_until = paused_until or self._paused_until
        known = self._memory.read(name_of("answer", str(url)))
        answer = decode_answer(known, str(url), time())
        is_good = answer is not None and (answer.value is None or question.is_valid(answer.value))
        return answer if is_good else None

    def _remember(self, url: URL, answer: Answer) -> None:
        data = encode_answer(str(url), time(), answer.value)
        self._memory.write(name_of("answer", str(url)), data)

    async def _request(self, url: URL, question: _Question) -> Answer:
        """Ask the site. Raises Unanswered."""
        told = f"the public API of {self._origin.host}"
        try:
            response = await self._session.get_public(url, {"Accept": "application/json"})
            try:
                if response.status == 404:
                    return Answer(None)
                if response.status != 200:
                    await self._obey(response)
                    raise Unanswered(f"{told} answers {named(response.status)}")
                if response.content_type != "application/json":
                    raise ValueError(response.content_type)
                found = json.loads(await self._bodies.small(response, _MAX_BYTES))
            finally:
                response.close()
        except Unanswered:
            raise
        except SourceError as problem:
            raise Unanswered(f"{told} gives no answer: {problem}") from None
        except TimeoutError:
            raise Unanswered(f"{told} gives no whole answer in time") from None
        except (ValueError, RecursionError):
            raise Unanswered(f"{told} gives no usable answer") from None
        try:
            value = question.parse(found)
        except (LookupError, TypeError, AttributeError):
            value = None
        if not question.is_valid(value):
            raise Unanswered(f"{told} gives no usable answer")
        return Answer(value)

    async def _obey(self, response: aiohttp.ClientResponse) -> None:
        """Remember for how long the API is not to be asked, if the response says so. Raises
        Unanswered."""
        after = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        if response.status != _TOO_MANY and after is None:
            return
        data = encode_pause(str(self._origin), time(), after)
        self._paused_until = decode_pause(data, str(self._origin), time())
        await asyncio.to_thread(self._memory.write, name_of("pause", str(self._origin)), data)
