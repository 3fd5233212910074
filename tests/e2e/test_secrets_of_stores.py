"""No key, token or signature for a store is left behind by a run, however it ends, nor shown.

Searched is what :mod:`e2e.test_secrets` searches.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from e2e.scripted import MANIFEST, SLUG, VERSION, manifest_of, noise
from e2e.stage import Machine
from e2e.test_secrets import CRASH, Watch
from sources.fault_proxy import Fault, FaultProxy
from sources.stores import BUCKET, KEY, SECRET, TOKEN, Store

FILES = {f"files/p10/p1000003{n}/s50414267/{n}.jpg": noise(f"{n}", 9000 + n) for n in range(4)}
SESSION_TOKEN = "FwoGZXIvYXdzEXAMPLE-session-token-of-the-test"
QUOTING = (
    "<Error><Code>{}</Code><Message>{}</Message><AWSAccessKeyId>{}</AWSAccessKeyId>"
    "<SignatureProvided>{}</SignatureProvided></Error>"
)


def stock(store: Store) -> None:
    for path, data in {**FILES, MANIFEST: manifest_of(FILES)}.items():
        store.put(f"secrets/{SLUG}/{VERSION}/{path}", data)


class Searched:
    """A machine whose every trace is searched for what the store was sent."""

    def __init__(self, store: Store, proxy: FaultProxy, home: Path) -> None:
        self.proxy = proxy
        self.is_process = False
        home.mkdir()
        machine = Machine(home, home.parent / "data", "https://127.0.0.1:1/files", home / "none")
        machine.environment = {
            "CXRSYNC_CA_FILE": None, "PHYSIONET_USERNAME": None, "PHYSIONET_PASSWORD": None,
            "CXRSYNC_ENDPOINT_URL": proxy.url, **store.environment(home),
        }  # fmt: skip
        self.watch = Watch(machine)
        self.watch.written_by_hand.add(home / "service-account.json")
        self.source = f"{store.scheme}://{BUCKET}/secrets"

    def run(self, *words: str, **stop: object) -> int:
        words = (*words, "--dataset", SLUG, "--dataset-version", VERSION, "--from", self.source)
        words = ("-vv", "--debug", *words)
        if stop or self.is_process:
            return self.watch.run(*words, **stop)  # type: ignore[arg-type]
        return self.watch.run_here(*words)

    def hits(self) -> set[str]:
        sent = " ".join(headers.get("authorization", "") for _path, headers in self.proxy.seen)
        signatures = re.findall(r"Signature=([0-9a-f]{64})", sent)
        tokens = re.findall(r"Bearer (\S+)", sent)
        assert signatures or tokens
        return self.watch.hits(KEY, SECRET, SESSION_TOKEN, TOKEN, *signatures, *tokens)


@pytest.fixture(params=["rclone", "gcs"])
def searched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Searched]:
    store = request.getfixturevalue(request.param)
    stock(store)
    with FaultProxy(store.endpoint, own_host=store.scheme == "gs") as proxy:
        yield Searched(store, proxy, tmp_path / "home")


def quoting(code: str, headers: Mapping[str, str]) -> bytes:
    """The body of a refusal that quotes what was sent, as the real ones do."""
    return QUOTING.format(code, SECRET, KEY, headers["authorization"]).encode()


def test_what_works(searched: Searched) -> None:
    assert searched.run("pull", "--json") == 0, searched.watch.output()
    assert searched.run("access") == 0, searched.watch.output()
    assert searched.hits() == set()


@pytest.mark.parametrize(
    ("status", "code", "ends"),
    [
        (403, "AccessDenied", 4), (400, "ExpiredToken", 3), (301, "PermanentRedirect", 10),
    ],
)  # fmt: skip
@pytest.mark.parametrize("searched", ["rclone"], indirect=True)
def test_a_refusal_that_quotes_them(searched: Searched, status: int, code: str, ends: int) -> None:
    machine = searched.watch.machine
    machine.environment["AWS_SESSION_TOKEN"] = SESSION_TOKEN
    there = {"Location": f"https://evil.test/?X-Amz-Signature={'0' * 64}"}
    searched.proxy.plan = lambda _path, headers: Fault(status, there, quoting(code, headers))
    assert searched.run("pull", "--json") == ends, searched.watch.output()
    assert searched.hits() == set()
    assert "evil.test" not in searched.watch.output()


@pytest.mark.parametrize("searched", ["rclone"], indirect=True)
def test_a_crash_and_a_kill(searched: Searched) -> None:
    machine = searched.watch.machine
    searched.is_process = True
    (machine.home / "sitecustomize.py").write_text(CRASH)
    machine.environment["PYTHONPATH"] = str(machine.home)
    assert searched.run("pull") == 1
    assert "ZeroDivisionError" in searched.watch.output()
    machine.environment["PYTHONPATH"] = None
    images = [path for path in FILES if path.endswith("3.jpg")]
    searched.proxy.plan = lambda path, _headers: (
        Fault(cut=1000, silent=True) if path.endswith(images[0]) else None
    )

    def is_silent() -> bool:
        return any(path.endswith(images[0]) for path, _headers in searched.proxy.seen)

    for number, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        searched.proxy.seen.clear()
        assert searched.run("pull", when=is_silent, number=number) == code
        assert searched.hits() == set()
