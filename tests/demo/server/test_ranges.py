"""The range decisions as a table, and the same table against a real nginx."""

import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from free_port import free_port

from cxrsync.demo.server.ranges import Stored, decide

STORED = Stored(size=10, mtime=1_721_736_000)
EMPTY = Stored(size=0, mtime=1_721_736_000)
TAG, DATE = STORED.etag, STORED.last_modified
EARLIER = Stored(10, STORED.mtime - 1).last_modified
LATER = Stored(10, STORED.mtime + 1).last_modified

RANGES = [
    ("bytes=0-3", 206, [range(4)]),
    ("bytes=7-", 206, [range(7, 10)]),
    ("bytes=-4", 206, [range(6, 10)]),
    ("bytes=-99", 206, [range(10)]),
    ("bytes=5-99", 206, [range(5, 10)]),
    ("BYTES=1-1", 206, [range(1, 2)]),
    ("bytes= 1 - 2 , 4 - ", 206, [range(1, 3), range(4, 10)]),
    ("bytes=0-1,-2", 206, [range(2), range(8, 10)]),
    ("bytes=1-2,50-60", 206, [range(1, 3)]),
    ("bytes=0-,0-", 200, []),  # longer than the file in sum
    ("bytes=10-", 416, []),
    ("bytes=10-20", 416, []),
    ("bytes=-0", 416, []),
    ("bytes=5-2", 416, []),
    ("bytes=a-b", 416, []),
    ("bytes=1", 416, []),
    ("bytes=-", 416, []),
    ("bytes=- 5", 416, []),
    ("bytes=0-1,", 416, []),
    ("bytes=0-99999999999999999999", 416, []),
    ("bytes=", 200, []),
    ("bytes 0-1", 200, []),
    ("lines=0-1", 200, []),
]
CONDITIONS = [
    ({"If-None-Match": TAG}, 304),
    ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": f"W/{TAG}"}, 304),
    ({"If-None-Match": f'"other", {TAG}'}, 304),
    ({"If-None-Match": '"other"'}, 200),
    ({"If-Modified-Since": DATE}, 304),
    ({"If-Modified-Since": EARLIER}, 200),
    ({"If-Modified-Since": LATER}, 200),  # nginx's default is `exact`
    ({"If-Modified-Since": "yesterday"}, 200),
    ({"If-None-Match": TAG, "If-Modified-Since": EARLIER}, 200),
    ({"If-None-Match": '"other"', "If-Modified-Since": DATE}, 200),
    ({"If-None-Match": TAG, "Range": "bytes=0-1"}, 304),
    ({"If-Match": TAG}, 200),
    ({"If-Match": f"W/{TAG}"}, 412),
    ({"If-Match": '"other"'}, 412),
    ({"If-Unmodified-Since": DATE}, 200),
    ({"If-Unmodified-Since": EARLIER}, 412),
    ({"If-Unmodified-Since": "yesterday"}, 412),
    ({"If-Range": TAG, "Range": "bytes=2-"}, 206),
    ({"If-Range": DATE, "Range": "bytes=2-"}, 206),
    ({"If-Range": '"other"', "Range": "bytes=2-"}, 200),
    ({"If-Range": f"W/{TAG}", "Range": "bytes=2-"}, 200),
    ({"If-Range": EARLIER, "Range": "bytes=2-"}, 200),
    ({"If-Range": LATER, "Range": "bytes=2-"}, 200),
    ({"If-Range": "nonsense", "Range": "bytes=2-"}, 200),
    ({"If-Range": '"other"', "Range": "bytes=50-"}, 200),
    ({"If-Range": TAG, "Range": "bytes=50-"}, 416),
]
EMPTY_RANGES = [("bytes=0-", 200), ("bytes=0-0", 200), ("bytes=-5", 200), ("bytes=3-", 416)]


@pytest.mark.parametrize(("wanted", "status", "parts"), RANGES)
def test_a_range_header_decides_the_bytes(wanted: str, status: int, parts: list[range]) -> None:
    decision = decide({"Range": wanted}, STORED)
    assert (decision.status, list(decision.parts)) == (status, parts)


@pytest.mark.parametrize(("headers", "status"), CONDITIONS)
def test_conditions_decide_the_status(headers: dict[str, str], status: int) -> None:
    assert decide(headers, STORED).status == status


@pytest.mark.parametrize(("wanted", "status"), EMPTY_RANGES)
def test_an_empty_file_has_no_ranges(wanted: str, status: int) -> None:
    assert decide({"Range": wanted}, EMPTY).status == status


def test_validators_are_those_of_nginx() -> None:
    assert Stored(size=255, mtime=1_721_736_000).etag == '"669f9b40-ff"'
    assert Stored(size=255, mtime=1_721_736_000).last_modified == "Tue, 23 Jul 2024 12:00:00 GMT"


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 16; }}
http {{
  access_log off; root {folder}/root;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; }}
}}
"""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[http.client.HTTPConnection]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("no nginx here")
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    root = folder / "root"
    root.mkdir()
    for name, stored in (("ten", STORED), ("empty", EMPTY)):
        (root / name).write_bytes(b"0123456789"[: stored.size])
        os.utime(root / name, (stored.mtime, stored.mtime))
    port = free_port()
    config = folder / "conf"
    config.write_text(NGINX.format(folder=folder, port=port))
    process = subprocess.Popen([program, "-c", str(config), "-e", str(folder / "log")])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        wait_until_open(port)
        yield connection
    finally:
        connection.close()
        process.terminate()
        process.wait()


def wait_until_open(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return


def test_a_real_nginx_decides_the_same(nginx: http.client.HTTPConnection) -> None:
    cases = [("ten", STORED, {"Range": wanted}) for wanted, _, _ in RANGES]
    cases += [("ten", STORED, headers) for headers, _ in CONDITIONS]
    cases += [("empty", EMPTY, {"Range": wanted}) for wanted, _ in EMPTY_RANGES]
    for name, stored, headers in cases:
        nginx.request("GET", f"/{name}", headers={**headers, "Connection": "close"})
        response = nginx.getresponse()
        body = response.read()
        ours = decide(headers, stored)
        assert response.status == ours.status, headers
        if len(ours.parts) == 1:
            assert body == b"0123456789"[ours.parts[0].start : ours.parts[0].stop], headers
        if response.status == 200:
            assert response.headers["ETag"] == stored.etag
            assert response.headers["Last-Modified"] == stored.last_modified
