"""Through a proxy: whose it is, what it may see, and what it means when it says no.

The proxy is real, on loopback; the server behind it bears a name that only the proxy can resolve.
"""

import asyncio
import base64
import contextlib
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from sources.http.connect_proxy import ESTABLISHED, NAME, ConnectProxy, field, known_as
from thorough import examples

from cxrsync.config.job import SourceConfig, TransferLimits
from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import (
    AccessDenied,
    CredentialsRefused,
    CxrsyncError,
    Interrupted,
    Unreachable,
    Untrusted,
    UsageError,
)
from cxrsync.model import RemotePath
from cxrsync.sources.base import Opened
from cxrsync.sources.credentials import Credentials
from cxrsync.sources.http.proxy import proxy_for
from cxrsync.sources.physionet import PhysioNet

HTTPS = f"https://{NAME}/files"
HTTP = f"http://{NAME}/files"
PASSWORD = "correct horse grüße"
SECRET = "hush/hush@hush"
PAIR = f"clerk:{SECRET}"
OF_PROXY = base64.b64encode(PAIR.encode())
OF_SITE = base64.b64encode(f"demo:{PASSWORD}".encode())
MARK = "-".join(["hush"] * 3)  # not as such in a traceback's source lines
LIMITS = TransferLimits(connect_timeout=60.0, stall_timeout=60.0)
FILE = RemotePath("alpha", "1.0", "SHA256SUMS.txt")  # what a run asks for first


def shown(error: BaseException) -> str:
    """Everything that a person, a log or a debugger's first look gets of an error."""
    return f"{error} {error!r} {error.__dict__} {''.join(traceback.format_exception(error))}"


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)
    for name in ("NETRC", "PHYSIONET_USERNAME", "PHYSIONET_PASSWORD", "PHYSIONET_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PHYSIONET_HOST", raising=False)


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[[str], MiniPhysioNet]]:
    path = tmp_path / "root/alpha/1.0/SHA256SUMS.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one")
    (tmp_path / "root/.cxrsync-demo").touch()
    behaviour = ServerBehaviour(password=PASSWORD, password_check_seconds=0.001)
    with contextlib.ExitStack() as stack:

        def make(name: str) -> MiniPhysioNet:
            server = known_as(MiniPhysioNet(tmp_path / "root", behaviour), name)
            return stack.enter_context(server)

        yield make


@asynccontextmanager
async def guest(
    base_url: str = HTTPS, ca_file: Path | None = None, limits: TransferLimits = LIMITS
) -> AsyncIterator[PhysioNet]:
    def ask(host: str, user: str | None) -> Credentials:
        return Credentials("demo", PASSWORD, "a test")

    source = PhysioNet(SourceConfig(base_url=base_url, ca_file=ca_file), limits, ask)
    try:
        async with asyncio.timeout(60):
            yield source
    finally:
        await source.close()


async def read(source: PhysioNet) -> bytes:
    async with source.open(FILE) as answer:
        assert isinstance(answer, Opened)
        return b"".join([chunk async for chunk in answer.chunks])


# ── which proxy ────────────────────────────────────────────────────────────────────────────────

P, Q = "http://p.test:3128", "http://q.test:3129"


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        (HTTPS, {}, None),
        (HTTPS, {"HTTPS_PROXY": P}, P),
        (HTTPS, {"https_proxy": P, "HTTPS_PROXY": Q}, P),
        (HTTPS, {"HTTPS_PROXY": P, "ALL_PROXY": Q}, P),
        (HTTPS, {"HTTPS_PROXY": "", "ALL_PROXY": P}, P),
        (HTTPS, {"all_proxy": P, "ALL_PROXY": Q}, P),
        (HTTPS, {"http_proxy": P}, None),
        (HTTPS, {"HTTPS_PROXY": "p.test:3128"}, P),
        (HTTPS, {"HTTPS_PROXY": "me:it@p.test:3128"}, P),
        (HTTPS, {"HTTPS_PROXY": " http://p.test:3128/ "}, P),
        (HTTPS, {"HTTPS_PROXY": "http://p.test"}, "http://p.test"),
        (HTTPS, {"HTTPS_PROXY": "https://p.test"}, "https://p.test"),
        (HTTPS, {"HTTPS_PROXY": "http://[2001:db8::1]:3128"}, "http://[2001:db8::1]:3128"),
        (HTTP, {"http_proxy": P}, P),
        (HTTP, {"HTTP_PROXY": P}, None),  # httpoxy
        (HTTP, {"HTTP_PROXY": P, "ALL_PROXY": Q}, Q),
        (HTTP, {"HTTPS_PROXY": P}, None),
    ],
)
def test_which_variable_counts(url: str, environ: dict[str, str], expected: str | None) -> None:
    found = proxy_for(url, environ)
    assert (found and str(found.url)) == expected


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "LOCALHOST"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_this_machine_needs_no_proxy(scheme: str, host: str) -> None:
    assert proxy_for(f"{scheme}://{host}:8443/files", {"all_proxy": P}) is None


@pytest.mark.parametrize(
    ("exempt", "host", "is_direct"),
    [
        ("", NAME, False), (" , ,", NAME, False), ("*", NAME, True), ("other,*", NAME, True),
        (NAME, NAME, True), (NAME.upper(), NAME, True), (NAME, f"{NAME}.", True),
        (f"a.test, {NAME}", NAME, True), (f"a.test {NAME}", NAME, True),
        ("test", NAME, True), (".test", NAME, True), ("*.test", NAME, True),
        (f".{NAME}", NAME, True), (NAME, f"www.{NAME}", True), (f"www.{NAME}", NAME, False),
        ("net.test", NAME, False), ("et.test", NAME, False), (".", NAME, False),
        (f"{NAME}:443", NAME, True), (f"{NAME}:80", NAME, False), (".test:443", NAME, True),
        (f"{NAME}:", NAME, False), (f"{NAME}:x", NAME, False), (":443", NAME, False),
        ("10.1.2.3", "10.1.2.3", True), ("10.1.2.4", "10.1.2.3", False),
        ("10.1.2.3:443", "10.1.2.3", True), ("10.1.2.3:80", "10.1.2.3", False),
        ("10.0.0.0/8", "10.1.2.3", True), ("10.1.0.0/8", "10.1.2.3", True),
        ("11.0.0.0/8", "10.1.2.3", False), ("10.0.0.0/99", "10.1.2.3", False),
        ("0.0.0.0/0", NAME, False), ("10.0.0.0/8", "[2001:db8::1]", False),
        ("2001:db8::/32", "[2001:db8::1]", True), ("2001:db8::1", "[2001:db8::1]", True),
        ("[2001:db8::1]:443", "[2001:db8::1]", True), ("[2001:db8::1]:80", "[2001:db8::1]", False),
        ("2.3", "10.1.2.3", False),
    ],
)  # fmt: skip
def test_what_needs_no_proxy(exempt: str, host: str, is_direct: bool) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        found = proxy_for(f"https://{host}/files", {"https_proxy": P, name: exempt})
        assert (found is None) == is_direct


@pytest.mark.parametrize(
    "value",
    [
        "socks5://me:hushhush@p.test:1080", "socks5h://p.test:1080/hushhush", "socks4://p.test:1",
        "ftp://me:hushhush@p.test", "http://me:hushhush@", "http://", "://hushhush",
        "http://me:hushhush@p.test:99999", "http://me:hushhush@p.test:port", "http://[hushhush",
        "http://me:12/hushhush@p.test:1", "http://me:12?hushhush@p.test:1",
        "http://me:12#hushhush@p.test:1", "http://me:hush/hush@p.test:1", "file:///hushhush",
        "http://me:hushhush@p.test:0", "hush hush:hushhush@",
    ],
)  # fmt: skip
def test_a_proxy_of_no_use(value: str) -> None:
    with pytest.raises(UsageError, match="ALL_PROXY") as refused:
        proxy_for(HTTPS, {"ALL_PROXY": value})
    assert "hush" not in shown(refused.value)
    assert "%XX" in refused.value.next_step
    assert ("SOCKS" in str(refused.value)) == value.startswith("socks")
    assert proxy_for(HTTPS, {"ALL_PROXY": value, "NO_PROXY": "test"}) is None


@settings(max_examples=examples(100))
@given(user=st.text(min_size=1), password=st.text())
def test_any_name_and_password_arrive(user: str, password: str) -> None:
    pair = f"{quote(user, safe='', errors='replace')}:{quote(password, safe='', errors='replace')}"
    found = proxy_for(HTTPS, {"HTTPS_PROXY": f"http://{pair}@p.test:3128"})
    assert found is not None
    assert found.authorization is not None
    sent = base64.b64decode(found.authorization.removeprefix("Basic ")).decode()
    assert sent == f"{user}:{password}".encode(errors="replace").decode()
    assert found.authorization not in f"{found} {found!r}"


@settings(max_examples=examples(100))
@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_proxy_never_shows_its_password(before: str, after: str) -> None:
    try:
        found = proxy_for(HTTPS, {"HTTPS_PROXY": f"http://me:{before}{MARK}{after}@p.test:1"})
        text = f"{found} {found!r} {found and found.url!r}"
    except UsageError as refused:
        text = shown(refused)
    assert MARK not in text


# ── what the proxy sees ────────────────────────────────────────────────────────────────────────


def https_proxy_tls(ca: Path) -> ssl.SSLContext:
    """A proxy that speaks TLS itself, vouched for by an authority that is added to ``ca``."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ca.open("ab") as file:
        file.write(authority.cert_pem.bytes())
    return context


@pytest.mark.parametrize("is_tls", [False, True])
async def test_signing_in_through_a_proxy(
    make_server: Callable[[str], MiniPhysioNet], monkeypatch: pytest.MonkeyPatch, is_tls: bool
) -> None:
    server = make_server(NAME)
    seen: list[Mapping[str, str]] = []
    admit = server._authenticator.admit

    async def see(headers: Mapping[str, str], *rest: Any, **kinds: Any) -> Any:
        seen.append(headers)
        return await admit(headers, *rest, **kinds)

    monkeypatch.setattr(server._authenticator, "admit", see)
    tls = https_proxy_tls(server.ca_file) if is_tls else None
    with ConnectProxy(server._port, pair=PAIR, tls=tls) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address(PAIR))
        async with guest(ca_file=server.ca_file) as source:
            assert [await read(source) for _ in range(3)] == [b"one"] * 3
            assert proxy.address() not in source.identity
    counts = server.request_log.snapshot()
    assert [entry.status for entry in counts.log] == [401, 200, 200, 200]
    assert counts.password_checks == 1
    assert [headers.get("Authorization", "-")[:7] for headers in seen] == [
        "-", "Basic " + OF_SITE.decode()[:1], "Session", "Session",
    ]  # fmt: skip
    assert not any("Proxy-Authorization" in headers for headers in seen)
    [head] = proxy.heads  # the tunnel is kept
    assert head.startswith(b"CONNECT physionet.test:443 HTTP/1.1\r\n")
    assert field(head, b"Proxy-Authorization") == b"Basic " + OF_PROXY
    assert not {field(head, name) for name in (b"Authorization", b"Cookie")} - {None}
    assert len(proxy.tunnel) > 500
    for secret in (b"Authorization", b"Cookie", b"session", PASSWORD.encode(), OF_SITE, OF_PROXY):
        assert secret not in proxy.tunnel


@pytest.mark.parametrize("named", ["", "elsewhere.test", f"{NAME}:8443", NAME, f"{NAME}:443"])
async def test_what_the_environment_holds_goes_to_the_host_that_it_names(
    make_server: Callable[[str], MiniPhysioNet], monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Whatever --base-url says: with a certificate for its name, any host could ask."""
    server = make_server(NAME)
    monkeypatch.setenv("PHYSIONET_USERNAME", "demo")
    monkeypatch.setenv("PHYSIONET_PASSWORD", PASSWORD)
    monkeypatch.setenv("PHYSIONET_HOST", named)
    with ConnectProxy(server._port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address())
        source = PhysioNet(SourceConfig(base_url=HTTPS, ca_file=server.ca_file), LIMITS)
        try:
            if named in {NAME, f"{NAME}:443"}:
                assert await read(source) == b"one"
            else:
                with pytest.raises(CredentialsRefused, match=r"for physionet\.org only") as refused:
                    await read(source)
                assert f"PHYSIONET_HOST={NAME}" in refused.value.next_step
        finally:
            await source.close()
    assert server.request_log.password_checks == (named in {NAME, f"{NAME}:443"})


async def test_a_server_behind_a_proxy_must_prove_its_name(
    make_server: Callable[[str], MiniPhysioNet], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server("other.test")
    with ConnectProxy(server._port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address())
        for ca_file in (server.ca_file, None):
            async with guest(ca_file=ca_file) as source:
                with pytest.raises(Untrusted, match=f"{NAME} through .*:{proxy.port}"):
                    await read(source)
    assert server.request_log.snapshot().requests == 0


async def test_a_proxy_must_prove_its_own_name(
    make_server: Callable[[str], MiniPhysioNet], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = make_server(NAME)
    with ConnectProxy(server._port, tls=https_proxy_tls(tmp_path / "elsewhere.pem")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address(PAIR))
        async with guest(ca_file=server.ca_file) as source:
            with pytest.raises(Untrusted, match=r"127\.0\.0\.1"):
                await read(source)
    assert proxy.heads == []


async def test_the_server_on_this_machine_is_asked_directly(
    make_server: Callable[[str], MiniPhysioNet], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server("127.0.0.1")
    with ConnectProxy(server._port) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.address())
        async with guest(server.base_url, server.ca_file) as source:
            assert await read(source) == b"one"
    assert proxy.heads == []


# ── a proxy that says no ───────────────────────────────────────────────────────────────────────


def says(status: int, body: bytes = b"") -> dict[str, Any]:
    length = len(body)
    return {"answer": b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%s" % (status, length, body)}


@pytest.mark.parametrize(
    ("behaviour", "errors", "code"),
    [
        ({"pair": "clerk:another"}, CredentialsRefused, 3),
        (says(403, b"<html>forbidden</html>"), AccessDenied, 4),
        (says(401), AccessDenied, 4), (says(405), AccessDenied, 4),
        (says(429), Unreachable, 10), (says(502), Unreachable, 10), (says(503), Unreachable, 10),
        (says(302), Unreachable, 10),
        ({"answer": b""}, Unreachable, 10), ({"answer": b"220 smtp\r\n"}, Unreachable, 10),
        ({"answer": ESTABLISHED}, Unreachable, 10),
        ({"answer": ESTABLISHED + b"no tls at all" * 99}, Unreachable, 10),
        ({"silent": True}, Unreachable, 10),
    ],
)  # fmt: skip
async def test_a_proxy_that_refuses(
    behaviour: dict[str, Any],
    errors: type[CxrsyncError],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = TransferLimits(
        connect_timeout=0.3 if "silent" in behaviour else 60.0, stall_timeout=60.0
    )
    with ConnectProxy(**behaviour) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address(PAIR))
        async with guest(limits=limits) as source:
            with pytest.raises(errors, match=f"the proxy 127.0.0.1:{proxy.port}") as refused:
                await read(source)
    assert (type(refused.value), refused.value.exit_code) == (errors, code)
    assert "hush" not in shown(refused.value)
    assert OF_PROXY.decode() not in shown(refused.value)


@pytest.mark.parametrize(("pair", "hint"), [(None, "asks for a user"), (PAIR, "refuses its user")])
@pytest.mark.parametrize("base_url", [HTTPS, HTTP])
async def test_a_proxy_is_told_a_password_once(
    base_url: str, pair: str | None, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ConnectProxy(pair="clerk:another") as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.address(pair))
        async with guest(base_url) as source:
            for _ in range(3):
                with pytest.raises(CredentialsRefused, match=hint) as refused:
                    await read(source)
    assert len(proxy.heads) == 1
    assert "USER:PASSWORD@" in refused.value.next_step


async def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hush@{where}")
        async with guest() as source:
            with pytest.raises(Unreachable, match=f"{NAME} through the proxy {where}") as refused:
                await read(source)
    assert "hush" not in shown(refused.value)


async def test_a_proxy_whose_name_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: object, **_kinds: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hush@proxy.test:3128")
    async with guest() as source:
        with pytest.raises(Unreachable, match=r"the proxy proxy\.test:3128") as refused:
            await read(source)
    assert "hush" not in shown(refused.value)


@pytest.mark.parametrize("host", ["p..test", f"{'p' * 64}.test"])
async def test_a_proxy_whose_name_can_be_none(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hush@{host}:3128")
    async with guest() as source:
        with pytest.raises(UsageError, match="not a valid host name") as refused:
            await read(source)
    assert "hush" not in shown(refused.value)


# ── plain http ─────────────────────────────────────────────────────────────────────────────────


async def test_plain_http_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    one = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\none"
    with ConnectProxy(answer=one) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address(PAIR))
        async with guest(HTTP) as source:
            assert await read(source) == b"one"
    [head] = proxy.heads
    assert head.startswith(b"GET http://physionet.test/files/alpha/1.0/SHA256SUMS.txt HTTP/1.1\r\n")
    assert field(head, b"Proxy-Authorization") == b"Basic " + OF_PROXY


async def test_no_password_in_the_clear_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = b"Set-Cookie: sessionid=taken; Path=/"
    asks = b"HTTP/1.1 401 No\r\n%s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % cookie
    with ConnectProxy(answer=asks) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address())
        async with guest(HTTP) as source:
            with pytest.raises(UsageError, match="plain http"):
                await read(source)
    assert [field(head, b"Authorization") for head in proxy.heads] == [None]


async def test_a_tunnel_that_breaks_in_mid_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    torn = b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\none"
    with ConnectProxy(answer=torn) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address())
        async with guest(HTTP) as source:
            with pytest.raises(Interrupted):
                await read(source)
