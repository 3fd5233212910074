"""The same job against a real nginx: TLS, basic auth, plain files."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from e2e.stage import DICOM, JPG, VERSION, Machine, fingerprint, sha256sum, wait_until

NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

CONFIGURATION = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
    location /files/ {{
      root {root}; autoindex on; limit_rate {rate};
      auth_basic PhysioNet; auth_basic_user_file {folder}/users;
    }}
  }}
}}
"""


class Nginx:
    def __init__(self, folder: Path, root: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.root = root
        folder.mkdir()
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        certificate.private_key_pem.write_to_path(str(folder / "server.key"))
        for pem in certificate.cert_chain_pems:
            pem.write_to_path(str(folder / "server.pem"), append=True)
        (folder / "users").write_text("demo:{PLAIN}demo-password\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, rate: str = "0") -> None:
        text = CONFIGURATION.format(folder=self.folder, port=self.port, root=self.root, rate=rate)
        (self.folder / "nginx.conf").write_text(text)
        assert NGINX is not None
        self.process = subprocess.Popen([NGINX, "-c", str(self.folder / "nginx.conf")])
        wait_until(self._answers)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=30)

    def log(self) -> list[str]:
        return (self.folder / "access.log").read_text().splitlines()


@pytest.fixture
def nginx(tmp_path: Path, files_root: Path) -> Iterator[Nginx]:
    # nginx must be able to walk in: pytest keeps its folders to their owner.
    top = tmp_path
    while top != top.parent and top.stat().st_uid == os.getuid() and top != Path("/tmp"):
        top = top.parent
    server = Nginx(tmp_path / "nginx", files_root.parent)
    yield server
    server.stop()


@pytest.fixture
def machine(nginx: Nginx, tmp_path: Path) -> Machine:
    home = tmp_path / "home"
    home.mkdir()
    url = f"https://127.0.0.1:{nginx.port}/files"
    return Machine(home, tmp_path / "mirror", url, nginx.ca_file)


@pytest.mark.parametrize("flag", ["--jpg", "--dicom"])
def test_a_shard(nginx: Nginx, machine: Machine, files_root: Path, flag: str) -> None:
    nginx.start()
    done = machine.pull(flag, "--shard", "p10")

    assert done.code == 0, done.err
    dataset = JPG if flag == "--jpg" else DICOM
    root = machine.dest / dataset / VERSION
    source = files_root / dataset / VERSION
    assert fingerprint(root, below="files/") == fingerprint(source, below="files/p10/")
    assert machine.run("verify", flag).code == 0
    assert sha256sum(root, "--ignore-missing").returncode == 0
    assert len(nginx.log()) <= done.summary["files"]["selected"] + 5
    before = len(nginx.log())
    assert machine.pull(flag, "--shard", "p10").code == 0
    assert len(nginx.log()) - before <= 3


def test_a_whole_version_killed_half_way(nginx: Nginx, machine: Machine, files_root: Path) -> None:
    nginx.start(rate="64k")
    source = files_root / JPG / VERSION
    half = len(list(source.rglob("*.jpg"))) / 2
    log = nginx.folder / "access.log"
    machine.interrupt(lambda: log.exists() and len(nginx.log()) > half, signal.SIGKILL, "--jpg")
    nginx.stop()
    nginx.start()

    done = machine.pull("--jpg")

    assert done.code == 0, done.err
    assert fingerprint(machine.dest / JPG / VERSION) == fingerprint(source)
    assert sha256sum(machine.dest / JPG / VERSION).returncode == 0


def test_a_wrong_password(nginx: Nginx, machine: Machine) -> None:
    nginx.start()
    machine.environment["PHYSIONET_PASSWORD"] = "wrong"
    assert machine.pull("--jpg", "--connections", "8").code == 3
    # One bare request, one with the password.
    assert len(nginx.log()) == 2
