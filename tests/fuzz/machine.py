"""Runs of the command line on a machine where anything outside the program may be odd.

A case has the words of a command, its environment, the files that it meets with their modes, and,
in a process of its own, its streams and its locale. Whatever they are, the command ends with one
of its exit codes but never with 1, which is the code of a bug, and it says what is wrong.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import click
from e2e.command_line import Ended, cxrsync
from fuzz.mutations import mutated
from hypothesis import strategies as st

from cxrsync.cli.main import cli
from cxrsync.config.option import Option, Type
from cxrsync.config.option_table import OPTIONS
from cxrsync.demo.data.tree import TreeSpec, make_tree
from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.server import MiniPhysioNet
from cxrsync.errors import ExitCode

# A command that neither ends nor is stopped by its --max-duration hangs.
PATIENCE = 90
SHARD = ("--jpg", "--shard", "p10")
COMMANDS: tuple[tuple[str, ...], ...] = (
    *[("pull", *SHARD)] * 4,
    ("pull", "--jpg", "--metadata-only"),
    ("pull", *SHARD, "--dry-run"),
    ("pull", *SHARD, "--delete", "--trash-keep", "0"),
    ("verify", "--jpg"),
    ("verify", "--jpg", "--repair"),
    ("verify", "--jpg", "--scrub", "30d"),
    ("status", "--jpg"),
    ("status", "--jpg", "--html", "report.html"),
    ("ls", "--jpg"),
    ("ls", *SHARD, "--format", "json"),
    ("diff", "2.0.0", "2.1.0", "--jpg"),
    ("mirror", "jobs.yaml"),
    ("mirror", "--check", "jobs.yaml"),
    ("mirror", "--print", "systemd", "jobs.yaml"),
    ("--version",),
    ("--help",),
    (),
)

# ── what a case consists of ────────────────────────────────────────────────────────────────────


def _words(text: str) -> list[str]:
    return text.split()


# As bytes that are no UTF-8 come in from the system; no NUL and no slash can be in a name.
names = (
    st.binary(min_size=1, max_size=20)
    .filter(lambda raw: not {b"/"[0], 0} & set(raw) and raw not in {b".", b".."})
    .map(os.fsdecode)
    .filter(lambda name: not name.startswith(("-", "~")))
)
# Values of every sort of option, good and bad.
_ODD = _words(
    r"""- -- . .. * % {} \ ' " # = , 0 -1 1 007 1e3 1e999 nan inf ٣ 1,5 0x10 1s 2h 30d 1% 101%"""
    " 5M -5M 1.5G 22:00-06:00 25:00-1:00 p10 P10 p10-p11 p10,p11 p20 p10000032 s50414267 10000032"
    " train PA Pneumonia=1 images mimic-cxr-jpg 2.1.0 true yes maybe auto none é \u202e \udcff"
)
_ODD += ["", " ", "\n", "No Finding=1", "9" * 30, "x" * 300]
texts = st.one_of(
    st.sampled_from(_ODD),
    names,
    st.text(st.characters(exclude_characters="\0"), max_size=12).filter(
        lambda text: not text.startswith("@")
    ),
)
# None leads out of the folder in which a case is played, but for reading.
_PATHS = _words(
    "file folder folder/none file/below none/below mirror loop link closed closed/x ~/x ~nosuchuser"
    " /dev/null/x /proc/self/mem . jobs.yaml ca.pem list.csv pw report.html"
)
_PATHS += ["", "x" * 300, "x/" * 2000]
paths = st.one_of(st.sampled_from(_PATHS), names)
# Only this machine is ever asked.
_ADDRESSES = _words(
    "x http:// https://127.0.0.1:1/files ftp://127.0.0.1/ https://[::1 https://127.0.0.1:99999/ //"
    " https://u:p@127.0.0.1/ https://127.0.0.1:1/a?b#c http://127.0.0.1:1 https://[::1]:1/files"
    " HTTPS://127.0.0.1:1/ https://localhost:1"
)
addresses = st.sampled_from(["", *_ADDRESSES])
# What makes a run wait must not be long, and what names another host must not be said.
_SHORT = {"wait_lock", "give_up_after", "connect_timeout", "stall_timeout", "max_duration"}
_waits = st.sampled_from(["0", "0.01", "1", "-1", "nan", "1e999", "x", "", "1s"])
_FOR_VALUES: dict[str, st.SearchStrategy[str]] = {
    "base_url": addresses,
    "limit_rate": st.sampled_from(["", "0", "1M", "10M", "x", "00:00-24:00=5M", "08:00=1M", "-1"]),
    **dict.fromkeys(_SHORT, _waits),
}


@cache
def _options_of(command: str) -> list[Option]:
    """The options of the table that a command has."""
    found = cli.get_command(click.Context(cli), command)
    names = {name for param in found.params for name in param.opts} if found is not None else ()
    return [option for option in OPTIONS if option.typed in names]


# Those of a job, which have variables. Passwords go to the server of the test alone.
_OF_JOBS = _options_of("pull")


_GOOD = {
    Type.INT: ["1", "2", "32"],
    Type.SIZE: ["1k", "5M", "1T"],
    Type.DURATION: ["0", "1d", "2.5", "90m"],
    Type.SHARE: ["1", "100%"],
    Type.WINDOW: ["00:00-24:00", "22:00-06:00"],
    Type.IDS: ["@list.csv", "@file"],
}


def values_of(option: Option) -> st.SearchStrategy[str]:
    if option.name in _FOR_VALUES:
        return _FOR_VALUES[option.name]
    if option.type is Type.PATH:
        return paths
    if option.type is Type.IDS:
        return st.one_of(texts, paths.map("@{}".format))
    good = [word for word in (*option.words, option.example) if word]
    good += _GOOD.get(option.type, [])
    return st.one_of(*[st.sampled_from(good)] * 2, texts) if good else texts


@st.composite
def options(draw: st.DrawFn, command: str) -> list[str]:
    if not _options_of(command):
        return [draw(texts)]
    option = draw(st.sampled_from(_options_of(command)))
    typed = option.short if option.short and draw(st.booleans()) else option.typed
    if option.type is Type.FLAG:
        return [typed]
    value = draw(values_of(option))
    either = [[typed, value], [f"{option.typed}={value}"]]
    return draw(st.sampled_from([*either * 5, [typed]]))


@st.composite
def commands(draw: st.DrawFn) -> list[str]:
    words = list(draw(st.sampled_from(COMMANDS)))
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 1, 2, 3]))):
        words += draw(options(words[0] if words else ""))
    if words and words[0] in {"pull", "verify", "status"} and draw(st.booleans()):
        words += ["--json"]
    if draw(st.integers(0, 19)) == 0:
        words.insert(draw(st.integers(0, len(words))), draw(texts))
    before = draw(st.sampled_from([[], [], [], ["-v"], ["-q"], ["--debug"]]))
    return [*before, *words]


_OF_SYSTEM = {
    "HOME": st.one_of(paths, st.none()),
    "XDG_CONFIG_HOME": paths,
    "TMPDIR": paths,
    "PATH": paths,
    "NETRC": st.one_of(st.just("netrc"), paths),
    "TZ": st.one_of(st.sampled_from(["UTC", "Europe/Berlin", "x", "/etc/passwd"]), names),
    "COLUMNS": texts,
    "LINES": texts,
    "TERM": texts,
    "NO_COLOR": texts,
    "SSL_CERT_FILE": paths,
    "SSL_CERT_DIR": paths,
    "SSLKEYLOGFILE": paths,
    "https_proxy": addresses,
    "http_proxy": addresses,
    "no_proxy": texts,
    "PHYSIONET_USERNAME": st.one_of(texts, st.none()),
    "PHYSIONET_PASSWORD": st.one_of(texts, st.none()),
    "PHYSIONET_PASSWORD_FILE": st.one_of(st.just("pw"), paths),
    "PHYSIONET_HOST": texts,
    "CREDENTIALS_DIRECTORY": paths,
    "CXRSYNC_DATASETS": st.one_of(st.just("datasets.yaml"), paths),
}


@st.composite
def environments(draw: st.DrawFn) -> dict[str, str | None]:
    of_system = st.sampled_from(sorted(_OF_SYSTEM)).flatmap(
        lambda name: st.tuples(st.just(name), _OF_SYSTEM[name])
    )
    of_options = st.sampled_from(_OF_JOBS).flatmap(
        lambda option: st.tuples(st.just(option.variable), values_of(option))
    )
    pairs = draw(st.lists(st.one_of(*[of_system] * 7, of_options), max_size=3))
    return {name: value for name, value in pairs if value is None or "\0" not in value}


NETRC = b"machine 127.0.0.1 login demo password demo-password\n"
JOBS = b"""defaults: {connections: 2, give_up_after: 0.1, base_url: SERVER, ca_file: ca.pem}
jobs:
  - {name: jpg, dataset: mimic-cxr-jpg, dataset_version: "2.1.0", shard: [p10], dest: DEST}
"""
LIST = b"subject_id,study_id\n10000032,50414267\n"
IMAGE = b"02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
TABLE = b"dicom_id,study_id,subject_id,split\n" + IMAGE + b",50414267,10000032,train\n"
FILES: dict[str, st.SearchStrategy[bytes]] = {
    "netrc": mutated(NETRC),
    "pw": st.one_of(st.just(b"demo-password\n"), mutated(b"demo-password\n")),
    "list.csv": mutated(LIST, TABLE),
    "file": mutated(LIST, NETRC, JOBS),
    "datasets.yaml": mutated(b"mimic-cxr-jpg: {title: x}\n", b"a: {versions: ['1.0']}\n"),
}
_MODES = (0o600, 0o644, 0o640, 0o400, 0o200, 0o000)


@dataclass(frozen=True)
class Planted:
    """A file of the user's, next to the destination."""

    name: str
    content: bytes
    mode: int


planted = st.sampled_from(sorted(FILES)).flatmap(
    lambda name: st.builds(Planted, st.just(name), FILES[name], st.sampled_from(_MODES))
)

Damage = Callable[[Path], None]


def _removed(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _replaced(make: Damage) -> Damage:
    def act(path: Path) -> None:
        _removed(path)
        make(path)

    return act


DAMAGES: dict[str, Damage] = {
    **{f"mode {mode:o}": (lambda path, mode=mode: path.chmod(mode)) for mode in
       (0o000, 0o111, 0o222, 0o444, 0o555, 0o777)},
    "removed": _removed,
    "a folder": _replaced(Path.mkdir),
    "an empty file": _replaced(Path.touch),
    "noise": _replaced(lambda path: path.write_bytes(os.urandom(99)) and None),
    "a pipe": _replaced(os.mkfifo),
    "a link to itself": _replaced(lambda path: path.symlink_to(path.name)),
    "a link to nothing": _replaced(lambda path: path.symlink_to("nowhere")),
    "cut short": lambda path: os.truncate(path, path.stat().st_size // 2),
    "of another name": lambda path: os.rename(path, path.with_name(os.fsdecode(b"\xff"))),
    "of the year 1": lambda path: os.utime(path, (-62_000_000_000, -62_000_000_000)),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """``tree``: whether a tree was pulled before; ``damages``: the number of a path in it (or in
    the folder) and what happened to it. ``streams``: redirections of the shell, for a process."""

    words: list[str]
    environment: dict[str, str | None]
    files: list[Planted] = field(default_factory=list)
    dest: str = "mirror"
    tree: bool = True
    damages: list[tuple[float, str]] = field(default_factory=list)
    streams: str = ""
    locale: dict[str, str] = field(default_factory=dict)


_damages = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(sorted(DAMAGES))), max_size=3
)
_dests = st.one_of(*[st.just("mirror")] * 3, names, st.sampled_from(["mirror", "file", "closed/x"]))
cases = st.builds(
    Case,
    words=commands(),
    environment=environments(),
    files=st.lists(planted, max_size=2),
    dest=_dests,
    tree=st.sampled_from([True, True, True, False]),
    damages=_damages,
)
_ENCODINGS = ("ascii:strict", "latin-1", "utf-16", "cp037")
_LOCALES = st.sampled_from(
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LANG": "xx_YY.ISO-8859-1"},
        *({"PYTHONIOENCODING": each} for each in _ENCODINGS),
        *({name: "1"} for name in ("PYTHONUNBUFFERED", "PYTHONDEVMODE", "PYTHONUTF8")),
        {},
    ]
)
_REDIRECTIONS = _words("<&- </dev/null <list.csv >&- >/dev/full 2>&- 2>/dev/full 2>&1")
# 2>&1 stands first: after >&- it is the shell that fails.
_STREAMS = st.lists(st.sampled_from(_REDIRECTIONS), max_size=3).map(
    lambda words: " ".join(sorted(words, key=lambda word: word != "2>&1"))
)
process_cases = st.builds(
    Case,
    words=commands(),
    environment=environments(),
    files=st.lists(planted, max_size=1),
    dest=_dests,
    tree=st.sampled_from([True, True, True, False]),
    damages=_damages,
    streams=_STREAMS,
    locale=_LOCALES,
)

# ── playing a case ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Stage:
    """A server, and a tree that was pulled from it. ``folder``: where cases are played."""

    server: MiniPhysioNet
    pulled: Path
    folder: Path

    def set_up(self, case: Case) -> Path:
        """Make the folder in which a case is played."""
        _make_accessible(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        place = self.folder
        shutil.copy(self.server.ca_file, place / "ca.pem")
        dest = place / case.dest
        if case.tree and case.dest != "file":
            with suppress(OSError):
                shutil.copytree(self.pulled, dest)
        (place / "folder").mkdir()
        (place / "file").write_bytes(LIST)
        (place / "list.csv").write_bytes(LIST)
        (place / "pw").write_text("demo-password\n")
        (place / "netrc").write_bytes(NETRC)
        (place / "datasets.yaml").write_text("{}\n")
        (place / "jobs.yaml").write_text(self._jobs(dest))
        (place / "loop").symlink_to("loop")
        (place / "link").symlink_to("folder")
        (place / "closed").mkdir(exist_ok=True)
        for each in case.files:
            (place / each.name).write_bytes(each.content)
            (place / each.name).chmod(each.mode)
        for where, damage in case.damages:
            with suppress(OSError):
                found = sorted(dest.rglob("*"))
                DAMAGES[damage](found[int(where * len(found))] if found else dest)
        (place / "closed").chmod(0o000)
        return place

    def _jobs(self, dest: Path) -> str:
        # JSON's quotes are those of YAML.
        text = JOBS.decode().replace("DEST", json.dumps(str(dest)))
        return text.replace("SERVER", json.dumps(self.server.base_url))

    def variables(self, case: Case) -> dict[str, str]:
        variables: dict[str, str | None] = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "folder"),
            "PYTHONWARNINGS": "error",
            "CXRSYNC_DEST": str(self.folder / case.dest),
            "CXRSYNC_BASE_URL": self.server.base_url,
            "CXRSYNC_CA_FILE": str(self.folder / "ca.pem"),
            "CXRSYNC_GIVE_UP_AFTER": "0.1",
            "CXRSYNC_MAX_DURATION": "5",
            "CXRSYNC_PROGRESS": "none",
            "PHYSIONET_USERNAME": "demo",
            "PHYSIONET_PASSWORD": "demo-password",
            **case.environment,
        }
        found = {name: value for name, value in variables.items() if value is not None}
        # "diff" and "mirror" have no such options; an unknown variable is no error there.
        return {
            os.fsdecode(os.fsencode(name)): value
            for name, value in found.items()
            if _can_be_passed(value)
        }

    def play(self, case: Case) -> Ended:
        """Run the command of a case in this process."""
        place, before = self.set_up(case), os.getcwd()
        words = [word for word in case.words if _can_be_passed(word)]
        os.chdir(place)
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        try:
            with as_a_user():
                return cxrsync(words, self.variables(case))
        finally:
            faulthandler.cancel_dump_traceback_later()
            os.chdir(before)

    def play_in_process(self, case: Case) -> Ended:
        """Run it in a process of its own, with its streams and its locale."""
        place = self.set_up(case)
        words = [word for word in case.words if _can_be_passed(word)]
        command = f'exec "$0" -m cxrsync "$@" {case.streams}'
        done = subprocess.run(
            ["/bin/bash", "-c", command, sys.executable, *words],
            cwd=place,
            env=self.variables(case) | {"PYTHONPATH": _SOURCE} | case.locale,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        streams = (each.decode(errors="backslashreplace") for each in (done.stdout, done.stderr))
        return Ended(done.returncode, *streams)


_SOURCE = str(Path(__file__).resolve().parent.parent.parent)


def _can_be_passed(word: str) -> bool:
    """Whether the system can hand it over: it has bytes for it, and no NUL."""
    with suppress(UnicodeEncodeError):
        return b"\0" not in os.fsencode(word)
    return False


def _make_accessible(folder: Path) -> None:
    """Let root's own modes keep nobody from removing a folder."""
    if folder.exists():
        for path, folders, _files in os.walk(folder):
            for name in folders:
                if not os.path.islink(os.path.join(path, name)):
                    os.chmod(os.path.join(path, name), 0o700)


_KNOWN = {int(code) for code in ExitCode}


def complaint(case: Case, ended: Ended) -> str | None:
    """Return what is wrong with the end of a command; None if nothing is."""
    if ended.code == ExitCode.UNEXPECTED:
        return "exit code 1"
    if ended.code not in _KNOWN:
        return f"exit code {ended.code}, which is none of cxrsync's"
    is_traced = bool({"--debug", "--debug-ids"}.intersection(case.words)) or bool(
        {"CXRSYNC_DEBUG", "CXRSYNC_DEBUG_IDS"}.intersection(case.environment)
    )
    if not is_traced and "Traceback" in ended.err:
        return "a traceback"
    is_told = bool(ended.err.strip()) or "2>" in case.streams or ended.code in {0, 5, 6, 9}
    if not is_told and "-q" not in case.words:
        return "nothing is said"
    return None


@contextmanager
def staged(place: Path) -> Iterator[Stage]:
    """Serve a small dataset, and pull a shard of it."""
    for version in ("2.0.0", "2.1.0"):
        make_tree(place / "files", "mimic-cxr-jpg", version, TreeSpec(10, 2_000))
    with MiniPhysioNet(place / "files", ServerBehaviour(password_check_seconds=0.001)) as server:
        stage = Stage(server, place / "pulled", place / "case")
        first = Case(["pull", *SHARD, "--dest", str(stage.pulled)], {})
        ended = stage.play(first)
        assert ended.code == 0, ended
        yield stage


# ── modes that bind root ───────────────────────────────────────────────────────────────────────

_LIBC = ctypes.CDLL(None, use_errno=True)
_VERSION_3 = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Set(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


@contextmanager
def as_a_user() -> Iterator[None]:
    """Let the modes of files bind this thread, and those that it starts, as they bind any user."""
    if os.geteuid() or sys.platform != "linux":
        yield
        return
    header, sets = _Header(_VERSION_3, 0), (_Set * 2)()
    if _LIBC.capget(ctypes.byref(header), sets):
        yield
        return
    whole = sets[0].effective
    sets[0].effective = whole & ~(_DAC_OVERRIDE | _DAC_READ_SEARCH)
    _LIBC.capset(ctypes.byref(header), sets)
    try:
        yield
    finally:
        sets[0].effective = whole
        _LIBC.capset(ctypes.byref(header), sets)
