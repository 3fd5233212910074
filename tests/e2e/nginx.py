"""A real nginx."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import trustme
from e2e.stage import wait_until
from free_port import free_port

NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
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
    location /files/ {{ {where} limit_rate {rate}; }}
  }}
}}
"""


# Plain files behind basic auth; or another server, as the real site's Django stands behind it.
FILES = """
  root {root}; autoindex on; auth_basic PhysioNet; auth_basic_user_file {folder}/users;
"""
OPEN = """
  root {root}; autoindex on;
"""
BEHIND = """
  proxy_pass https://{upstream}; proxy_http_version 1.1; proxy_set_header Connection "";
  proxy_buffering off; proxy_next_upstream off;
"""


class Nginx:
    """A real nginx on loopback over TLS; stopped and started again, it keeps its port.

    It serves the files below ``root``, or hands requests on to ``upstream`` (host:port).
    """

    def __init__(
        self, folder: Path, root: Path, upstream: str = "", *, open_to_all: bool = False
    ) -> None:
        where = BEHIND if upstream else OPEN if open_to_all else FILES
        self._where = where.format(root=root, folder=folder, upstream=upstream)
        self.port = free_port()
        self.folder = folder
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
        text = CONFIGURATION.format(
            folder=self.folder, port=self.port, where=self._where, rate=rate
        )
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
            self.process.wait(timeout=60)

    def log(self) -> list[str]:
        return (self.folder / "access.log").read_text().splitlines()
