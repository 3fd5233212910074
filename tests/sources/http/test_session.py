"""Signing in once, and what becomes of answers that are none; the server is real, and hostile."""

import asyncio
import base64
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cxrsync.config.job import SourceConfig, TransferLimits
from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import (
    AccessDenied,
    CredentialsRefused,
    FileDenied,
    Interrupted,
    InvalidResponse,
    NotFound,
    NotServed,
    SourceError,
    Throttled,
    Unreachable,
    Untrusted,
    UsageError,
)
from cxrsync.model import RemotePath
from cxrsync.sources.base import Opened
from cxrsync.sources.credentials import Credentials
from cxrsync.sources.physionet import PhysioNet

SECRET = "correct horse grüße"
BEHAVIOUR = ServerBehaviour(
    password=SECRET, password_check_seconds=0.001, open_datasets=frozenset({"open"})
)
LIMITS = TransferLimits(connect_timeout=60.0, stall_timeout=60.0)
NAMES = ["a#b", "what?", "50%", "%20", "%2e%2e", "a b", "Grüße 北京", "a+b&c=d;e", "c:\\d", "'\"<>"]
# What a run asks for first.
NAME = "SHA256SUMS.txt"
MANIFEST = RemotePath("alpha", "1.0", NAME)
FILE = RemotePath("alpha", "1.0", "one.txt")
OPEN = RemotePath("open", "1.0", "one.txt")

Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Requests = list[web.BaseRequest]


@dataclass
class Person:
    """Somebody at a terminal, who counts how often they were asked."""

    password: str | None = SECRET
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, user: str | None) -> Credentials | None:
        self.asked.append(host)
        return self.password and Credentials("demo", self.password, "a test")


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("NETRC", "PHYSIONET_USERNAME", "PHYSIONET_PASSWORD", "PHYSIONET_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MiniPhysioNet]:
    root = tmp_path / "root"
    for version in ("alpha/1.0", "open/1.0"):
        for name in [NAME, "one.txt", *(f"files/{name}/{name}.jpg" for name in NAMES)]:
            path = root / version / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
    (root / ".cxrsync-demo").touch()
    with MiniPhysioNet(root, BEHAVIOUR) as server:
        yield server


@asynccontextmanager
async def guest(
    server: MiniPhysioNet | str,
    person: Person | None = None,
    limits: TransferLimits = LIMITS,
    **origin: Any,
) -> AsyncIterator[PhysioNet]:
    is_mini = isinstance(server, MiniPhysioNet)
    where = {"base_url": server.base_url, "ca_file": server.ca_file} if is_mini else {}
    origin = SourceConfig(**{"base_url": server, **where, **origin})
    source = PhysioNet(origin, limits, person or Person())
    try:
        async with asyncio.timeout(60):
            yield source
    finally:
        await source.close()


@asynccontextmanager
async def raw(answer: Raw) -> AsyncIterator[str]:
    """A server that does with each connection what ``answer`` does."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(converse, "127.0.0.1") as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/files"


@asynccontextmanager
async def web_server(
    answer: Callable[[web.BaseRequest], web.Response],
) -> AsyncIterator[tuple[str, Requests]]:
    """A small server of our own, and what it was asked."""
    seen: Requests = []

    async def handle(request: web.BaseRequest) -> web.Response:
        seen.append(request)
        return answer(request)

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/files", seen
    finally:
        await runner.cleanup()


async def read(source: PhysioNet, ref: RemotePath = MANIFEST) -> bytes:
    async with source.open(ref) as answer:
        assert isinstance(answer, Opened)
        return b"".join([chunk async for chunk in answer.chunks])


async def attempts(source: PhysioNet, ref: RemotePath = MANIFEST) -> list[bytes | BaseException]:
    return await asyncio.gather(*(read(source, ref) for _ in range(8)), return_exceptions=True)


# ── the handshake and its gate ─────────────────────────────────────────────────────────────────


async def test_a_bare_request_then_one_password_check(server: MiniPhysioNet) -> None:
    async with guest(server, person := Person()) as source:
        for _ in range(3):
            assert await read(source) == NAME.encode()
        counts = server.request_log.snapshot()
        assert [entry.status for entry in counts.log] == [401, 200, 200, 200]
        assert (counts.password_checks, len(person.asked), source.requests) == (1, 1, 4)


async def test_an_open_dataset_asks_nobody(server: MiniPhysioNet) -> None:
    async with guest(server, person := Person()) as source:
        assert await read(source, OPEN) == b"one.txt"
    assert (person.asked, server.request_log.password_checks) == ([], 0)


async def test_the_password_travels_once() -> None:
    def answer(request: web.BaseRequest) -> web.Response:
        if "Authorization" not in request.headers:
            return web.Response(status=401, headers={"Set-Cookie": "testcookie=1; Path=/"})
        return web.Response(headers={"Set-Cookie": "sessionid=s; Path=/"})

    async with web_server(answer) as (url, seen), guest(url) as source:
        for _ in range(3):
            await read(source)
    sent = [request.headers.get("Authorization", "-").split()[0] for request in seen]
    assert sent == ["-", "Basic", "Session", "Session"]
    assert [dict(request.cookies) for request in seen] == [
        {}, {"testcookie": "1"}, *[{"testcookie": "1", "sessionid": "s"}] * 2,
    ]  # fmt: skip


@pytest.mark.parametrize("ref", [MANIFEST, FILE], ids=["the manifest", "a file"])
async def test_a_session_that_ends_is_renewed_by_one(
    server: MiniPhysioNet, ref: RemotePath
) -> None:
    async with guest(server, person := Person()) as source:
        await read(source)
        server.forget_sessions()
        assert await attempts(source, ref) == [ref.path.encode()] * 8
        assert (server.request_log.password_checks, len(person.asked)) == (2, 1)


async def test_a_file_that_is_asked_for_first_is_not_what_one_signs_in_at(
    server: MiniPhysioNet,
) -> None:
    async with guest(server) as source:
        assert await attempts(source, FILE) == [b"one.txt"] * 8
        log = server.request_log.snapshot().log
        assert next(each.path for each in log if each.status < 400) == f"alpha/1.0/{NAME}"
        assert server.request_log.password_checks == 1


@pytest.mark.parametrize("session_first", [False, True])
async def test_a_refused_password_is_the_end_for_everyone(
    server: MiniPhysioNet, session_first: bool
) -> None:
    async with guest(server, Person(SECRET if session_first else "wrong")) as source:
        if session_first:
            await read(source)
            server.change_password("another")
        assert {type(end) for end in await attempts(source)} == {CredentialsRefused}
        requests = server.request_log.snapshot().requests
        assert {type(end) for end in await attempts(source)} == {CredentialsRefused}
        assert server.request_log.snapshot().requests == requests
        assert server.request_log.password_checks == (2 if session_first else 1)


async def test_where_there_is_no_password_one_asks_and_nobody_again(server: MiniPhysioNet) -> None:
    async with guest(server, person := Person(None)) as source:
        ends = await attempts(source)
        assert {type(end) for end in ends} == {CredentialsRefused}
        assert {"chmod 600" in getattr(end, "next_step", "") for end in ends} == {True}
        requests = server.request_log.snapshot().requests
        await attempts(source)
        assert (len(person.asked), server.request_log.snapshot().requests) == (1, requests)


async def test_a_password_that_is_no_utf_8_goes_out_as_it_came_in() -> None:
    """As the environment of a terminal in Latin-1 hands it over."""

    def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=200 if "Authorization" in request.headers else 401)

    async with web_server(answer) as (url, seen), guest(url, Person("gr\udcfc\udcdfe")) as source:
        await read(source)
    sent = seen[1].headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent) == "demo:grüße".encode("latin-1")


async def test_without_sessions_the_password_goes_each_time(server: MiniPhysioNet) -> None:
    server.set_behaviour(sessions=False)
    async with guest(server) as source:
        for _ in range(3):
            await read(source)
        assert (source.requests, server.request_log.password_checks) == (4, 3)
        server.change_password("another")
        with pytest.raises(CredentialsRefused):
            await read(source)


async def test_a_cookie_that_is_no_session_is_tried_once() -> None:
    def answer(request: web.BaseRequest) -> web.Response:
        is_right = request.headers.get("Authorization", "").startswith("Basic ")
        return web.Response(status=200 if is_right else 401, headers={"Set-Cookie": "lb=1"})

    async with web_server(answer) as (url, seen), guest(url, person := Person()) as source:
        for _ in range(4):
            await read(source)
        assert [type(end) for end in await attempts(source)] == [bytes] * 8
    sent = [request.headers.get("Authorization", "-").split()[0] for request in seen]
    assert sent == ["-", "Basic", "Session"] + ["Basic"] * 11
    assert len(person.asked) == 1


async def test_no_password_over_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web_server(lambda _request: web.Response(status=401)) as (url, seen):
        port = int(url.split(":")[2].split("/")[0])
        here = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kinds: [here])
        async with guest("http://example.invalid/files", person := Person()) as source:
            ends = await attempts(source)
            assert {type(end) for end in ends} == {UsageError}
    assert {"https://" in getattr(end, "next_step", "") for end in ends} == {True}
    assert person.asked == []
    assert not any("Authorization" in request.headers for request in seen)


async def test_secrets_are_not_shown(server: MiniPhysioNet) -> None:
    assert "hush" not in repr(Credentials("demo", "hush", "a test"))
    async with guest(server, Person("hush")) as source:
        with pytest.raises(CredentialsRefused) as refused:
            await read(source)
    error = refused.value
    shown = f"{error!s} {error!r} {error.next_step} {''.join(traceback.format_exception(error))}"
    assert "demo" in shown
    for secret in ("hush", "ZGVtbzpodXNo"):  # as it is, and as it travels
        assert secret not in shown


async def test_a_redirect_is_not_followed() -> None:
    async with web_server(lambda _request: web.Response()) as (other, seen_there):
        elsewhere = web.Response(status=302, headers={"Location": other.replace("/files", "/x")})
        async with web_server(lambda _request: elsewhere) as (url, seen), guest(url) as source:
            with pytest.raises(Throttled, match="302"):
                await read(source)
    assert (len(seen), len(seen_there)) == (1, 0)


async def test_a_redirect_does_not_take_the_password_along() -> None:
    """Nor does a cookie go anywhere else: to another port, which is another origin."""
    async with web_server(lambda _request: web.Response()) as (other, seen_there):

        def answer(request: web.BaseRequest) -> web.Response:
            if "Authorization" not in request.headers:
                return web.Response(status=401, headers={"Set-Cookie": "sessionid=s; Path=/"})
            there = other.replace("/files", "/x")
            return web.Response(status=308, headers={"Location": there})

        async with web_server(answer) as (url, seen), guest(url) as source:
            for _ in range(2):
                with pytest.raises(NotServed, match="308"):
                    await read(source)
    sent = [request.headers.get("Authorization", "-").split()[0] for request in seen]
    assert sent[:2] == ["-", "Basic"]
    assert seen_there == []


@pytest.mark.parametrize("status", [302, 303, 307])
async def test_a_password_that_is_answered_with_a_redirect_is_sent_once(status: int) -> None:
    """To a login page, say: the password is wrong, or the site wants another way of signing in."""

    def answer(request: web.BaseRequest) -> web.Response:
        if "Authorization" not in request.headers:
            return web.Response(status=401, headers={"Set-Cookie": "testcookie=1; Path=/"})
        return web.Response(status=status, headers={"Location": "/login/?next=/files"})

    async with web_server(answer) as (url, seen), guest(url) as source:
        ends = await attempts(source) + await attempts(source)
    assert {type(end) for end in ends} == {CredentialsRefused}
    assert f"redirect ({status} " in str(ends[0])
    assert "/login/?…" in str(ends[0])
    assert passwords(seen) == [NAME]


async def test_a_password_that_each_request_bears_is_not_sent_to_a_login_page_again() -> None:
    is_moved = False

    def answer(request: web.BaseRequest) -> web.Response:
        if "Authorization" not in request.headers:
            return web.Response(status=401)
        return web.Response(status=302 if is_moved else 200)

    async with web_server(answer) as (url, seen), guest(url) as source:
        await read(source)
        await read(source)
        is_moved = True
        with pytest.raises(Throttled):  # it may be a site under repair
            await read(source)
        for _ in range(3):
            with pytest.raises(CredentialsRefused):
                await read(source)
    assert passwords(seen) == [NAME] * 4


async def test_403_before_and_after_sign_in(server: MiniPhysioNet) -> None:
    async with guest(server, user_agent="curl/8") as source:
        with pytest.raises(AccessDenied, match="user agent 'curl/8'") as agent:
            await read(source)
    assert "--user-agent" in agent.value.next_step
    assert server.request_log.password_checks == 0
    server.set_behaviour(agreements=frozenset())
    async with guest(server) as source:
        with pytest.raises(AccessDenied, match="demo is signed in") as access:
            await read(source)
    assert "content/alpha/" in access.value.next_step


async def test_names_reach_the_server_as_they_are(server: MiniPhysioNet) -> None:
    async with guest(server) as source:
        for name in NAMES:
            path = f"files/{name}/{name}.jpg"
            assert await read(source, RemotePath("open", "1.0", path)) == path.encode()
            assert server.request_log.by_path[f"open/1.0/{path}"].requests == 1


# ── answers that are none ──────────────────────────────────────────────────────────────────────

OK = b"HTTP/1.1 200 OK\r\n"
LONG = OK + b"Content-Length: 10\r\n\r\n"
BROKEN = (Interrupted, InvalidResponse)
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 2", LONG + b"abc", CHUNKED + b"3\r\nabc\r\n"])
async def test_a_silent_server_is_given_up(said: bytes) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await reader.read()

    limits = TransferLimits(stall_timeout=0.1)
    async with raw(silent) as url, guest(url, limits=limits) as source:
        with pytest.raises(Interrupted, match=r"0\.1 s"):
            await read(source)


@pytest.mark.parametrize(
    ("said", "errors"),
    [
        (b"", Interrupted), (LONG, Interrupted), (LONG + b"abc", Interrupted),
        (CHUNKED + b"3\r\nabc\r\n", Interrupted), (CHUNKED + b"3\r\nab", Interrupted),
        (CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n", BROKEN),
        (b"220 smtp.example.org ESMTP\r\n", BROKEN),
        (b"HTTP/1.1 abc OK\r\n\r\n", BROKEN),
        (b"\x16\x03\x01\x02\x00\x01\x00" * 9, BROKEN),
        (OK + b"Content-Length: many\r\n\r\nabc", BROKEN),
        (OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", BROKEN),
        (OK + b"X: " + b"y" * 100_000 + b"\r\n\r\n", BROKEN),
        (OK + b"no colon\r\n\r\n", BROKEN),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", InvalidResponse),
        # A refusal whose page breaks off is still that refusal.
        (b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\nabc", NotFound),
        (b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", NotFound),
    ],
)  # fmt: skip
async def test_a_broken_answer(said: bytes, errors: type[SourceError]) -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()

    async with raw(broken) as url, guest(url) as source:
        with pytest.raises(errors):
            await read(source)


async def test_a_connection_that_closes_as_the_request_goes_out_is_tried_again() -> None:
    served: list[bytes] = []

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK + b"Content-Length: 2\r\n\r\nok")
        await reader.readuntil(b"\r\n\r\n")  # and closes on the second

    async with raw(hasty) as url, guest(url) as source:
        assert [await read(source) for _ in range(3)] == [b"ok"] * 3
    assert len(served) == 3


async def test_a_server_that_cannot_be_trusted(server: MiniPhysioNet) -> None:
    async with guest(server, person := Person(), ca_file=None) as source:
        with pytest.raises(Untrusted, match="127"):
            await read(source)
    assert (person.asked, server.request_log.snapshot().requests) == ([], 0)


async def test_a_server_that_is_not_there_or_speaks_no_tls() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with guest(f"https://127.0.0.1:{free.getsockname()[1]}/files") as source:
            with pytest.raises(Unreachable, match="cannot reach"):
                await read(source)
    async with web_server(lambda _request: web.Response()) as (url, seen):
        source = PhysioNet(SourceConfig(base_url=url.replace("http:", "https:")), LIMITS)
        with pytest.raises(Unreachable):
            await read(source)
        await source.close()
    assert seen == []


# ── one path that answers 401 ──────────────────────────────────────────────────────────────────

CLOSED = RemotePath("alpha", "1.0", "closed.txt")


@dataclass
class OnePathClosed:
    """A server with one path that answers 401 to everybody; a session, or the password each time.

    ``suffices``: whether the manifest lets the password in, and ``session``: the cookie that is
    good now (None: there are no sessions).
    """

    session: str | None = "s1"
    suffices: bool = True
    is_open: bool = False

    def __call__(self, request: web.BaseRequest) -> web.Response:
        if request.path.endswith(CLOSED.path) or not self._admits(request):
            return web.Response(status=401, headers={"Set-Cookie": "testcookie=1; Path=/"})
        cookie = {"Set-Cookie": f"sessionid={self.session}; Path=/"} if self.session else {}
        return web.Response(headers=cookie)

    def _admits(self, request: web.BaseRequest) -> bool:
        scheme = request.headers.get("Authorization", "-").split()[0]
        if self.session and scheme != "-" and request.cookies.get("sessionid") == self.session:
            return True
        return self.is_open or (self.suffices and scheme == "Basic")


def passwords(seen: Requests) -> list[str]:
    """The last names of the paths that the password went to."""
    sent = [each for each in seen if each.headers.get("Authorization", "").startswith("Basic")]
    return [each.path.rsplit("/", 1)[1] for each in sent]


async def test_one_path_that_asks_for_a_password_fails_alone() -> None:
    async with web_server(OnePathClosed()) as (url, seen), guest(url, person := Person()) as source:
        await read(source)
        ends = await asyncio.gather(
            *(read(source, CLOSED) for _ in range(8)),
            *(read(source, FILE) for _ in range(8)),
            return_exceptions=True,
        )
        assert [type(end) for end in ends] == [FileDenied] * 8 + [bytes] * 8
        assert "for this file only" in str(ends[0])
    assert passwords(seen) == [NAME]
    assert len(person.asked) == 1


async def test_a_session_that_ended_is_renewed_at_the_manifest() -> None:
    site = OnePathClosed()
    async with web_server(site) as (url, seen), guest(url) as source:
        await read(source)
        await read(source, FILE)
        site.session = "s2"
        ends = await asyncio.gather(
            *(read(source, FILE) for _ in range(4)),
            *(read(source, CLOSED) for _ in range(4)),
            return_exceptions=True,
        )
        assert [type(end) for end in ends] == [bytes] * 4 + [FileDenied] * 4
    assert passwords(seen) == [NAME] * 2


async def test_a_password_that_changed_is_refused_at_the_manifest() -> None:
    site = OnePathClosed()
    async with web_server(site) as (url, seen), guest(url) as source:
        await read(source)
        await read(source, FILE)
        site.session, site.suffices = "s2", False
        for _ in range(3):
            with pytest.raises(CredentialsRefused):
                await read(source, CLOSED)
    assert passwords(seen) == [NAME] * 2


@pytest.mark.parametrize("suffices", [True, False])
async def test_where_each_request_bears_the_password_one_more_tells(suffices: bool) -> None:
    site = OnePathClosed(session=None)
    async with web_server(site) as (url, seen), guest(url) as source:
        await read(source)
        site.suffices = suffices
        with pytest.raises(FileDenied if suffices else CredentialsRefused):
            await read(source, CLOSED)
        assert passwords(seen) == [NAME, CLOSED.path, NAME]
        sent = len(seen)
        if suffices:
            await read(source)
        else:
            with pytest.raises(CredentialsRefused):
                await read(source)
        assert len(seen) == sent + suffices


async def test_in_an_open_dataset_nobody_is_asked_for_one_path() -> None:
    site = OnePathClosed(is_open=True)
    async with web_server(site) as (url, seen), guest(url, person := Person()) as source:
        await read(source)
        await read(source, FILE)
        with pytest.raises(FileDenied):
            await read(source, CLOSED)
        await read(source)
    assert (passwords(seen), person.asked) == ([], [])


@dataclass
class PublicManifest:
    """A server whose manifest is public and whose files are not."""

    session: str | None = "s1"

    def __call__(self, request: web.BaseRequest) -> web.Response:
        scheme = request.headers.get("Authorization", "-").split()[0]
        expected = f"Basic {base64.b64encode(f'demo:{SECRET}'.encode()).decode()}"
        is_right = request.headers.get("Authorization") == expected
        has_session = scheme != "-" and self.session == request.cookies.get("sessionid", "-")
        if not (is_right or has_session or request.path.endswith(NAME)):
            return web.Response(status=401, headers={"Set-Cookie": "testcookie=1; Path=/"})
        cookie = {"Set-Cookie": f"sessionid={self.session}; Path=/"}
        return web.Response(headers=cookie if self.session and is_right else {})


@pytest.mark.parametrize("session", ["s1", None])
async def test_private_files_of_a_public_manifest_lead_to_one_sign_in(session: str | None) -> None:
    site = PublicManifest(session)
    async with web_server(site) as (url, seen), guest(url, person := Person()) as source:
        await read(source)
        assert await attempts(source, FILE) == [b""] * 8
        if session is not None:
            site.session = "s2"
            assert await attempts(source, FILE) == [b""] * 8
    assert passwords(seen) == [FILE.path] * (2 if session else 9)
    assert len(person.asked) == 1


@pytest.mark.parametrize("password", ["wrong", None])
async def test_private_files_of_a_public_manifest_end_the_run_without_the_right_password(
    password: str | None,
) -> None:
    site = PublicManifest()
    async with web_server(site) as (url, seen), guest(url, person := Person(password)) as source:
        await read(source)
        ends = await attempts(source, FILE) + await attempts(source, FILE)
    assert {type(end) for end in ends} == {CredentialsRefused}
    assert passwords(seen) == ([] if password is None else [FILE.path])
    assert len(person.asked) == 1


async def test_another_datasets_manifest_that_asks_for_a_password() -> None:
    """With a session that is good, it is that dataset which lets nobody in."""

    def answer(request: web.BaseRequest) -> web.Response:
        is_closed = "/beta/" in request.path
        return web.Response(status=401) if is_closed else OnePathClosed()(request)

    async with web_server(answer) as (url, seen), guest(url) as source:
        await read(source)
        with pytest.raises(FileDenied):
            await read(source, RemotePath("beta", "1.0", NAME))
        await read(source)
    assert passwords(seen) == [NAME]


async def test_a_manifest_that_says_later_tells_nothing_of_a_path() -> None:
    busy = False

    def answer(request: web.BaseRequest) -> web.Response:
        if busy and request.path.endswith(NAME):
            return web.Response(status=503, headers={"Retry-After": "7"})
        return OnePathClosed()(request)

    async with web_server(answer) as (url, seen), guest(url) as source:
        await read(source)
        busy = True
        with pytest.raises(Throttled) as later:
            await read(source, CLOSED)
        assert later.value.after == 7
        busy = False
        with pytest.raises(FileDenied):
            await read(source, CLOSED)
    assert passwords(seen) == [NAME]
