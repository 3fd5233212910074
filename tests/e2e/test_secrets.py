"""Whatever is run, and however it ends: no secret is left behind by it, nor shown while it runs.

Searched is everything: both outputs, every file in the destination, in the home and among the
temporary ones, and the command lines of all processes. Left out is only what the person wrote.
"""

import base64
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from e2e.command_line import cxrsync, cxrsync_process
from e2e.stage import JPG, PATIENCE, VERSION, Machine, image_bytes_sent
from sources.http.connect_proxy import NAME, ConnectProxy, known_as

from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.server import MiniPhysioNet

USER = "demo"
PASSWORD = "grüße-hunter2-site"
WRONG = "grüße-hunter2-wrong"
OF_PROXY = "hunter2-proxy/@:"
SHARD = ("--jpg", "--shard", "p10")
DOCS = ("--jpg", "--only", "docs")
LOUDNESS = [(), ("-q",), ("-v",), ("-vv", "--debug")]

Serve = Callable[..., MiniPhysioNet]
# A crash in the middle of a request that carries the password.
CRASH = """
import aiohttp

get = aiohttp.ClientSession.get

def fall_over(self, url, **kinds):
    if "Authorization" in kinds["headers"]:
        raise ZeroDivisionError("an internal error")
    return get(self, url, **kinds)

aiohttp.ClientSession.get = fall_over
"""


def forms(secret: str) -> set[bytes]:
    """How a secret may look: as it is, quoted for an address or by Python, and inside base64."""
    plain = secret.encode()
    quoted = (ascii(secret), repr(plain)[1:], json.dumps(secret))
    shown = {plain, quote(secret, "").encode(), *(each[1:-1].encode() for each in quoted)}
    # Of the three ways in which base64 may cut it, what does not depend on its neighbours.
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + plain)
        begin, length = (0, 2, 3)[shift], (shift + len(plain)) * 8 // 6
        shown |= {whole[begin:length], base64.urlsafe_b64encode(plain)[:length]}
    return shown


def _processes() -> set[str]:
    """The ids of all processes of the machine, where it tells."""
    return set(filter(str.isdigit, os.listdir("/proc"))) if os.path.isdir("/proc") else set()


@dataclass
class Watch:
    """Runs commands on a user's machine and keeps whatever can be seen of them."""

    machine: Machine
    seen: dict[str, bytes] = field(default_factory=dict)
    written_by_hand: set[Path] = field(default_factory=set)
    runs: int = 0
    # With env, each command is a new interpreter, whose command line shows its words.
    through: tuple[str, ...] = ()

    def write(self, name: str, text: str) -> Path:
        """A file of the person's own, which may hold a secret."""
        path = self.machine.home / name
        path.write_text(text)
        path.chmod(0o600)
        self.written_by_hand.add(path)
        return path

    def run(
        self,
        *words: str,
        when: Callable[[], bool] = lambda: False,
        number: signal.Signals = signal.SIGINT,
    ) -> int:
        """The exit code; with ``when``, a signal is sent as soon as it holds."""
        temporary = self.machine.home / "tmp"
        temporary.mkdir(exist_ok=True)
        self.runs += 1
        outputs = [self.machine.home / f"{self.runs}.{stream}" for stream in ("out", "err")]
        with outputs[0].open("wb") as out, outputs[1].open("wb") as err:
            process = cxrsync_process(
                words, self.machine.variables() | {"TMPDIR": str(temporary)},
                through=self.through, cwd=self.machine.home, stdout=out, stderr=err,
            )  # fmt: skip
            deadline = time.monotonic() + PATIENCE
            others = _processes() - {str(process.pid)}
            told = False
            while process.poll() is None:
                assert time.monotonic() < deadline
                self._look_at_processes(_processes() - others)
                if not told and when():
                    process.send_signal(number)
                    told = True
                time.sleep(0.05)
        return process.returncode

    def run_here(self, *words: str) -> int:
        """The exit code of a command in this process, which has no command line of its own."""
        temporary = self.machine.home / "tmp"
        temporary.mkdir(exist_ok=True)
        self.runs += 1
        done = cxrsync(words, self.machine.variables() | {"TMPDIR": str(temporary)})
        for end, text in (("out", done.out), ("err", done.err)):
            (self.machine.home / f"{self.runs}.{end}").write_text(text)
        return done.code

    def output(self) -> str:
        """What the last command wrote."""
        return "".join(
            (self.machine.home / f"{self.runs}.{end}").read_text() for end in ("out", "err")
        )

    def _look_at_processes(self, numbers: set[str]) -> None:
        for number in numbers:
            path = Path(f"/proc/{number}/cmdline")
            with suppress(OSError):
                # Of a process that has just ended nothing is left to read: what was seen stays.
                if words := path.read_bytes():
                    self.seen[f"{self.runs} {path}"] = words

    def everything(self) -> Iterator[tuple[str, bytes]]:
        yield from self.seen.items()
        for root in (self.machine.home, self.machine.dest):
            for path in root.rglob("*"):
                yield "a name", str(path).encode()
                if path.is_file() and path not in self.written_by_hand:
                    yield str(path), path.read_bytes()

    def hits(self, *secrets: str) -> set[str]:
        """Where any secret can be seen, in any form."""
        looks = set().union(*map(forms, secrets))
        return {name for name, data in self.everything() if any(look in data for look in looks)}


def sessions(server: MiniPhysioNet) -> list[str]:
    """The values of the session cookies that are good; they are as good as the password."""
    return list(server._authenticator._sessions)


@pytest.fixture
def serve(files_root: Path) -> Iterator[Serve]:
    started: list[MiniPhysioNet] = []

    def start(name: str = "127.0.0.1", **behaviour: object) -> MiniPhysioNet:
        fast = {"password": PASSWORD, "password_check_seconds": 0.001, **behaviour}
        server = known_as(MiniPhysioNet(files_root, ServerBehaviour(**fast)), name)  # type: ignore[arg-type]
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def watch(tmp_path: Path) -> Callable[[MiniPhysioNet], Watch]:
    def make(server: MiniPhysioNet) -> Watch:
        home = tmp_path / "home"
        home.mkdir()
        machine = Machine(home, tmp_path / "mirror", server.base_url, server.ca_file)
        machine.environment = {"PHYSIONET_USERNAME": USER, "PHYSIONET_PASSWORD": PASSWORD}
        return Watch(machine)

    return make


MakeWatch = Callable[[MiniPhysioNet], Watch]


@pytest.mark.parametrize(
    "leak",
    [
        PASSWORD.encode(), b"x" + PASSWORD.encode() + b"x", quote(PASSWORD).encode(),
        repr(PASSWORD.encode()).encode(), ascii(PASSWORD).encode(), json.dumps(PASSWORD).encode(),
        *(base64.b64encode(f"{user}:{PASSWORD}!".encode()) for user in ("a", "me", "you", USER)),
        base64.b64encode(PASSWORD.encode()),
    ],
)  # fmt: skip
def test_the_search_finds(leak: bytes, serve: Serve, watch: MakeWatch) -> None:
    looking = watch(serve())
    looking.machine.dest.mkdir()
    (looking.machine.dest / "log").write_bytes(b"before " + leak + b" after")
    assert looking.hits(PASSWORD) == {str(looking.machine.dest / "log")}


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc")
def test_the_search_finds_command_lines(serve: Serve, watch: MakeWatch) -> None:
    looking = watch(serve())
    looking.through = ("env",)
    looking.run("ls", "--user", "hunter2-argument")
    assert any("cmdline" in name for name in looking.hits("hunter2-argument"))


def test_every_command(serve: Serve, watch: MakeWatch) -> None:
    looking = watch(server := serve())
    looking.through = ("env",)
    commands = [
        (("pull", *SHARD, "--dry-run"), 0), (("pull", *SHARD, "--dry-run", "--json"), 0),
        (("ls", *DOCS), 0), (("diff", "--jpg", "2.0.0", VERSION, "--json"), 0),
        (("pull", *SHARD, "--json"), 0), (("pull", *SHARD, "--progress", "log"), 0),
        (("status", "--jpg", "--json"), 0), (("verify", *SHARD, "--json"), 0),
    ]  # fmt: skip
    for words, code in commands:
        assert looking.run("-vv", "--debug", *words) == code, looking.output()
    assert sessions(server)
    assert looking.hits(PASSWORD, *sessions(server)) == set()


def test_every_loudness(serve: Serve, watch: MakeWatch) -> None:
    looking = watch(server := serve())
    for verbosity in LOUDNESS:
        assert looking.run(*verbosity, "pull", *DOCS) == 0
    assert len(sessions(server)) == len(LOUDNESS)
    assert looking.hits(PASSWORD, *sessions(server)) == set()


@pytest.mark.parametrize("password", [PASSWORD, WRONG])
@pytest.mark.parametrize("where", ["environment", "file", "netrc", "broken netrc"])
def test_wherever_the_password_comes_from(
    where: str, password: str, serve: Serve, watch: MakeWatch
) -> None:
    looking = watch(server := serve())
    environment = looking.machine.environment
    environment["PHYSIONET_PASSWORD"] = ""
    if where == "environment":
        environment["PHYSIONET_PASSWORD"] = password
    elif where == "file":
        environment["PHYSIONET_PASSWORD_FILE"] = str(looking.write("password", password))
    else:
        environment["PHYSIONET_USERNAME"] = ""
        broken = "nonsense " if where == "broken netrc" else ""
        looking.write(".netrc", f"machine 127.0.0.1 login {USER} {broken}password {password}\n")

    code = looking.run("-v", "--debug", "pull", *DOCS, "--json")

    is_right = password == PASSWORD and where != "broken netrc"
    assert code == (0 if is_right else 3), looking.output()
    assert looking.hits(password, *sessions(server)) == set()


@pytest.mark.parametrize(
    ("behaviour", "environment", "code"),
    [
        ({"agreements": frozenset()}, {}, 4),
        ({"sessions": False}, {}, 0),
        ({}, {"CXRSYNC_CA_FILE": None}, 10),
        ({}, {"CXRSYNC_USER_AGENT": "Mozilla/5.0"}, 4),
        ({}, {"PHYSIONET_USERNAME": "another"}, 3),
    ],
)
def test_a_refusal(
    behaviour: dict[str, object],
    environment: dict[str, str | None],
    code: int,
    serve: Serve,
    watch: MakeWatch,
) -> None:
    looking = watch(server := serve(**behaviour))
    looking.machine.environment |= environment
    assert looking.run("-v", "--debug", "pull", *DOCS, "--json") == code, looking.output()
    assert looking.hits(PASSWORD, *sessions(server)) == set()


@pytest.mark.parametrize("verbosity", [(), ("--debug",)])
def test_a_crash(verbosity: tuple[str, ...], serve: Serve, watch: MakeWatch) -> None:
    looking = watch(serve())
    (looking.machine.home / "sitecustomize.py").write_text(CRASH)
    looking.machine.environment["PYTHONPATH"] = str(looking.machine.home)
    assert looking.run("-v", *verbosity, "pull", *DOCS) == 1
    assert ("ZeroDivisionError" if verbosity else "unexpected") in looking.output()
    assert looking.hits(PASSWORD) == set()


def test_a_run_that_is_stopped_or_killed(serve: Serve, watch: MakeWatch) -> None:
    looking = watch(server := serve(rate=8 << 10))
    for number, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)):
        server.request_log.reset()
        ended = looking.run(
            "-v", "--debug", "pull", *SHARD, "--json",
            when=lambda: image_bytes_sent(server) > 30_000, number=number,
        )  # fmt: skip
        assert ended == code, looking.output()
        assert (looking.machine.dest / JPG / VERSION / ".cxrsync").is_dir()
        assert looking.hits(PASSWORD, *sessions(server)) == set()


@pytest.mark.parametrize(
    ("wanted", "told", "code"),
    [
        (OF_PROXY, "http://clerk:{}@{}", 0),
        (OF_PROXY, "http://{}@{}", 3),
        ("another", "http://clerk:{}@{}", 3),
        (OF_PROXY, "socks5://clerk:{}@{}", 2),
        (OF_PROXY, "http://clerk:{}@{}/behind", 2),
    ],
)
def test_a_proxy(wanted: str, told: str, code: int, serve: Serve, watch: MakeWatch) -> None:
    looking = watch(server := serve(NAME))
    looking.machine.base_url = f"https://{NAME}/files"
    looking.machine.environment["PHYSIONET_HOST"] = NAME
    with ConnectProxy(server._port, pair=f"clerk:{wanted}") as proxy:
        where = f"127.0.0.1:{proxy.port}"
        looking.machine.environment["HTTPS_PROXY"] = told.format(quote(OF_PROXY, ""), where)
        assert looking.run("-v", "--debug", "pull", *DOCS, "--json") == code, looking.output()
        assert len(proxy.heads) == {0: len(proxy.heads) or 1, 3: 1, 2: 0}[code]
    if code == 3:
        assert where in looking.output()
    assert looking.hits(PASSWORD, OF_PROXY, *sessions(server)) == set()
