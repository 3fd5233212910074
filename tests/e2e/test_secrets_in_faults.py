"""Whatever goes wrong with a request, and wherever in it: no secret is shown or kept.

Commands run in this process, as loud as they can be, so that every fault there is can be met.
Searched are both outputs and every file that is left; what may not be found is the password, the
proxy's, and whatever the server sent that could be as good as they: cookies, and anything beside
them in a head.
"""

import asyncio
import os
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from e2e.scripted import MANIFEST, SLUG, VERSION, Request, ScriptedServer, noise, pull_from
from e2e.test_faults import FAULTS
from e2e.test_secrets import forms, sessions
from sources.http.connect_proxy import NAME, ConnectProxy

from cxrsync.cli.main import run
from cxrsync.config.job import HttpPath
from cxrsync.demo.data.tree import MARKER
from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.faults import Answer, Fault, Rule, script
from cxrsync.demo.server.faults import Request as Headers
from cxrsync.demo.server.responses import Reply
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.sanitize import trace
from cxrsync.transfer import retry_policy

USER = "dömo+\"user'"
PASSWORD = "grüße-hunter2-site"
OF_PROXY = "hunter2-proxy/@:"
SESSION = "hunter2-session-4f"  # what a server gave
CANARY = "hunter2-canary-9a"  # what is in a head that went wrong
SECRETS = (PASSWORD, OF_PROXY, SESSION, CANARY)
LOUD = ("--debug", "-v")
FEW = ("--retries", "1", "--stall-timeout", "0.3", "--connect-timeout", "3")
SOON = ("--give-up-after", "0.2")


@dataclass
class User:
    """Somebody whose commands run here, and what these leave behind."""

    home: Path
    dest: Path
    capture: pytest.CaptureFixture[str]
    said: str = ""

    def run(self, *words: str) -> int:
        code = run([*LOUD, *words])
        self.said = "".join(self.capture.readouterr())
        return code

    def pull(self, base_url: str, *words: str) -> int:
        what = ("--dataset", SLUG, "--dataset-version", VERSION, "--dest", str(self.dest))
        return self.run("pull", "--json", *what, "--base-url", base_url, *FEW, *words)

    def everything(self) -> Iterator[tuple[str, bytes]]:
        yield "what it said", self.said.encode("utf-8", "surrogateescape")
        for root in (self.home, self.dest):
            for path in root.rglob("*"):
                yield f"the name {path}", os.fsencode(path)
                if path.is_file():
                    yield str(path), path.read_bytes()

    def hits(self, *more: str) -> set[str]:
        """Where any secret can be seen, in any form."""
        looks = set().union(*map(forms, [*SECRETS, *more]))
        return {name for name, data in self.everything() if any(look in data for look in looks)}


@pytest.fixture
def user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> User:
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("NETRC", "PHYSIONET_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PHYSIONET_USERNAME", USER)
    monkeypatch.setenv("PHYSIONET_PASSWORD", PASSWORD)
    monkeypatch.setenv("PHYSIONET_HOST", NAME)
    monkeypatch.setattr(retry_policy, "_FIRST_BACKOFF", 0.02)
    monkeypatch.setattr(retry_policy, "_MAX_BACKOFF", 0.05)
    monkeypatch.setattr(retry_policy, "_MAX_RETRY_AFTER", 0.05)
    return User(home, tmp_path / "mirror", capsys)


@pytest.fixture(params=list(HttpPath), ids=lambda path: path.value)
def both_paths(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands of a test by each HTTP client."""
    monkeypatch.setenv("CXRSYNC_HTTP", request.param.value)


# ── heads that go wrong ────────────────────────────────────────────────────────────────────────

OK = b"HTTP/1.1 200 OK\r\n"
COOKIE = f"Set-Cookie: sessionid={CANARY}; HttpOnly; Path=/\r\n".encode()
LAST = b"Content-Length: 3\r\n\r\nabc"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
C = CANARY.encode()

HEADS: dict[str, bytes] = {
    "broken off in a head": OK + COOKIE + b"Content-Len",
    "broken off in the cookie": OK + COOKIE[:-20],
    "broken off after the status": b"HTTP/1.1 200 OK " + C,
    "401 broken off": b"HTTP/1.1 401 Unauthorized\r\n" + COOKIE + b"WWW-Auth",
    "103, then broken off": b"HTTP/1.1 103 Early Hints\r\n" + COOKIE + b"\r\n" + OK + COOKIE,
    "a header too long": OK + COOKIE[:-2] + b"y" * 100_000 + b"\r\n" + LAST,
    "a name too long": OK + b"X-" + C * 6_000 + b": 1\r\n" + LAST,
    "a header without a colon": OK + b"Set-Cookie sessionid=" + C + b"\r\n" + LAST,
    "a NUL in the cookie": OK + b"Set-Cookie: sessionid=\0" + C + b"\r\n" + LAST,
    "a cookie that is none": OK + b"Set-Cookie: \x01=" + C + b"; a b=" + C + b"\r\n" + LAST,
    "no UTF-8": OK + b"Content-Encoding: \xff\x1b[2J" + C + b"\r\n" + COOKIE + LAST,
    "no status": b"HTTP/1.1 " + C + b" OK\r\n\r\n",
    "no HTTP": b"220 " + C + b" ESMTP\r\n",
    "two lengths": OK + COOKIE + b"Content-Length: 4\r\n" + LAST,
    "a length that is none": OK + COOKIE + b"Content-Length: " + C + b"\r\n\r\nabc",
    "a body cut short": OK + COOKIE + b"Content-Length: 9\r\n\r\n" + C[:5],
    "a chunk that is none": OK + COOKIE + CHUNKED + b"zz" + C + b"\r\n",
    "a chunk cut short": OK + COOKIE + CHUNKED + b"9\r\nab",
    "a trailer that is none": OK + CHUNKED + b"1\r\na\r\n0\r\n" + C + b"\r\n",
    "an unknown packing": OK + COOKIE + b"Transfer-Encoding: " + C + b"\r\n\r\nabc",
    "compressed": OK + COOKIE + b"Content-Encoding: gzip\r\n" + LAST,
    "a range that is none": b"HTTP/1.1 206 P\r\nContent-Range: " + C + b"\r\n" + COOKIE + LAST,
    "a reason": b"HTTP/1.1 500 " + C + b"\r\n" + COOKIE + LAST,
    "a wish": b"HTTP/1.1 503 Busy\r\nRetry-After: " + C + b"\r\n" + COOKIE + LAST,
    "another status": b"HTTP/1.1 299 " + C + b"\r\n" + COOKIE + LAST,
    "pointed elsewhere": (
        b"HTTP/1.1 302 F\r\nLocation: https://u:" + C + b"@localhost:9/?s=" + C + b"\r\n"
        + COOKIE + LAST
    ),
    "a page that says who we are": OK + b"Content-Type: text/html\r\n" + COOKIE + b"\r\n" + C,
    "refused, and why": b"HTTP/1.1 403 " + C + b"\r\n" + COOKIE + LAST,
}  # fmt: skip


def signs_in(request: Request, writer: asyncio.StreamWriter, server: ScriptedServer) -> bool:
    """Asks for a password where there is no session; whether it has answered."""
    said = request.headers.get("authorization", "")
    if SESSION in request.headers.get("cookie", "") and said:
        return False
    if said.startswith("Basic"):
        server.answer(request, writer, f"Set-Cookie: sessionid={SESSION}; Path=/")
    else:
        writer.write(
            b"HTTP/1.1 401 U\r\nWWW-Authenticate: Basic realm=x\r\n"
            b"Set-Cookie: test=1; Path=/\r\nContent-Length: 0\r\n\r\n"
        )
    return True


def sends(
    heads: Mapping[str, bytes], path: str = "", *, signing_in: bool = False
) -> Callable[[Request, asyncio.StreamWriter, ScriptedServer], Awaitable[bool | None]]:
    """Answers what is asked for ``path`` (or for a file of that head's name) with a head."""

    async def answer(
        request: Request, writer: asyncio.StreamWriter, server: ScriptedServer
    ) -> bool | None:
        head = heads.get(path or request.path) if path in {"", request.path} else None
        with_password = request.headers.get("authorization", "").startswith("Basic")
        # The manifest's goes wrong before anybody signs in, or only then.
        is_its_turn = with_password if signing_in else bool(path)
        if not is_its_turn and signs_in(request, writer, server):
            return True
        if head is None:
            return None
        writer.write(head)
        return False

    return answer


@pytest.mark.usefixtures("both_paths")
def test_a_head_of_a_file_goes_wrong(user: User) -> None:
    """One file for each; the others, and what is said of them, are as they should be."""
    files = {"a.bin": noise("a", 3_000)}
    heads = {f"{number:02}.bin": head for number, head in enumerate(HEADS.values())}
    with ScriptedServer(files | dict.fromkeys(heads, b"abc")) as server:
        server.script = sends(heads)
        code = user.pull(server.base_url, "--give-up-after", "20")
        assert {name for name in heads if server.requests_for(name)} == heads.keys()
    assert code == 5, user.said
    assert (user.dest / SLUG / VERSION / "a.bin").read_bytes() == files["a.bin"]
    assert user.hits() == set()


@pytest.mark.usefixtures("both_paths")
@pytest.mark.parametrize("name", HEADS)
def test_the_head_of_the_manifest_goes_wrong(user: User, name: str) -> None:
    with ScriptedServer({"a.bin": b"a"}) as server:
        server.script = sends({MANIFEST: HEADS[name]}, MANIFEST)
        code = user.pull(server.base_url, *SOON)
        assert server.requests_for(MANIFEST)
    assert code in {2, 3, 4, 10}, user.said
    assert "Traceback" in user.said
    assert user.hits() == set()


@pytest.mark.parametrize("name", HEADS)
def test_the_answer_to_the_password_goes_wrong(user: User, name: str) -> None:
    with ScriptedServer({"a.bin": b"a"}) as server:
        server.script = sends({MANIFEST: HEADS[name]}, MANIFEST, signing_in=True)
        code = user.pull(server.base_url, *SOON)
    assert code in {2, 3, 4, 10}, user.said
    assert user.hits() == set()


@pytest.mark.parametrize("name", HEADS)
async def test_what_is_raised_in_python(user: User, name: str) -> None:
    """Its own traceback, as a notebook prints it, holds nothing of the head either."""
    with ScriptedServer({"a.bin": b"a"}) as server:
        server.script = sends({MANIFEST: HEADS[name]}, MANIFEST)
        quick = {"retries": 0, "stall_timeout": 0.3, "give_up_after": 0.1}
        pulled = await pull_from(server, user.dest, **quick)
    assert pulled.error is not None
    shown = [*traceback.format_exception(pulled.error), *trace(pulled.error), repr(pulled)]
    user.said = "\n".join(shown)
    assert user.hits() == set()


# ── the faults of the table ────────────────────────────────────────────────────────────────────


def with_a_cookie(fault: Fault) -> Fault:
    """The same fault, in an answer that also gives a cookie."""

    def reply(request: Headers, answer: Answer) -> Reply:
        return fault(request, answer).adding(("Set-Cookie", f"other={CANARY}; Path=/"))

    return reply


@pytest.mark.usefixtures("both_paths")
@pytest.mark.parametrize("part", range(4))
def test_every_fault_of_the_table(user: User, tmp_path: Path, part: int) -> None:
    faults = [order for order, _code, _lost in FAULTS.values()][part::4]
    root = tmp_path / "files"
    place = root / SLUG / VERSION
    place.mkdir(parents=True)
    (root / MARKER).touch()
    files = {f"{number:02}.bin": noise(str(number), 120_000) for number in range(len(faults))}
    for name, data in files.items():
        (place / name).write_bytes(data)
    with ScriptedServer(files) as helper:  # for its manifest only
        (place / MANIFEST).write_bytes(helper.body(MANIFEST) or b"")
    rules = [
        Rule(f"*/{name}", with_a_cookie(order.fault), None if order.for_ever else (1,))
        for name, order in zip(files, faults, strict=True)
    ]
    behaviour = ServerBehaviour(
        username=USER, password=PASSWORD, password_check_seconds=0.001, faults=script(*rules)
    )
    with MiniPhysioNet(root, behaviour) as server:
        code = user.pull(server.base_url, "--ca-file", str(server.ca_file), "--give-up-after", "30")
        asked = {each.path.rpartition("/")[2] for each in server.request_log.snapshot().log}
        good = sessions(server)
    assert asked >= files.keys()
    assert code in {5, 6}, user.said
    assert good
    assert user.hits(*good) == set()


# ── proxies, and no TLS where there should be some ─────────────────────────────────────────────

GARBAGE = [HEADS["broken off in a head"], OK + COOKIE + LAST, b"\x16\x03\x01" + C * 99]


@pytest.mark.parametrize(
    "answer",
    [
        *GARBAGE,
        b"HTTP/1.1 407 P\r\nProxy-Authenticate: Basic realm=" + C + b"\r\nContent-Le",
        b"HTTP/1.1 407 P\r\nProxy-Authenticate: Basic realm=" + C + b"\r\n" + LAST,
        b"HTTP/1.1 502 " + C + b"\r\n" + COOKIE + LAST,
        b"HTTP/1.1 200 OK\r\n" + COOKIE + b"\r\n" + C * 99,
        b"HTTP/1.1 302 F\r\nLocation: http://u:" + C + b"@localhost:9/\r\n" + LAST,
    ],
)
def test_what_a_proxy_answers(user: User, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with ConnectProxy(answer=answer) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address(f"clerk:{OF_PROXY}"))
        code = user.pull(f"https://{NAME}/files", *SOON)
        assert proxy.heads
    assert code in {3, 4, 10}, user.said
    assert "Traceback" in user.said
    assert user.hits(quote(OF_PROXY, "")) == set()


@pytest.mark.parametrize("answer", GARBAGE)
def test_no_tls_where_there_should_be_some(user: User, answer: bytes) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = ScriptedServer({})
    server._converse = converse  # type: ignore[method-assign]
    with server:
        code = user.pull(server.base_url.replace("http:", "https:"), *SOON)
    assert code == 10, user.said
    assert "cannot reach 127.0.0.1" in user.said
    assert user.hits() == set()
