"""The clients of `scripts/bench`, each with the flags that its manual recommends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

CONNECTIONS = 8
USER, PASSWORD = "demo", "demo-password"


@dataclass(frozen=True)
class Tree:
    """What a scenario fetches: the root of a version, and the paths below it that are compared."""

    root: Path
    slug: str
    version: str
    paths: tuple[str, ...]
    words: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum((self.root / path).stat().st_size for path in self.paths)


class Counts(NamedTuple):
    """The requests to a server so far; ``sent``: the bytes of bodies."""

    requests: int
    sent: int
    password_checks: int = 0


@dataclass(frozen=True)
class Server:
    """A server, as a client knows it."""

    base_url: str
    ca_file: Path
    counts: Callable[[], Counts]
    needs_password: bool = False

    @property
    def origin(self) -> str:
        return self.base_url.removesuffix("/files")

    def url(self, tree: Tree, path: str = "") -> str:
        return f"{self.base_url}/{tree.slug}/{tree.version}/{path}"


Client = Callable[[Tree, Server, Path], list[str]]
"""Makes the command that fetches a tree from a server into a folder."""


def urls(tree: Tree, server: Server) -> list[str]:
    return [server.url(tree, path) for path in tree.paths]


def cxrsync(*more: str) -> Client:
    def command(tree: Tree, server: Server, dest: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "cxrsync", "-q", "pull", "--progress", "none", *tree.words),
            *("--dataset", tree.slug, "--dataset-version", tree.version, "--dest", str(dest)),
            *("--base-url", server.base_url, "--ca-file", str(server.ca_file)),
            *("--connections", str(CONNECTIONS), *more),
        ]

    return command


def url_file(tree: Tree, server: Server, dest: Path) -> Path:
    """Write the URLs, one per line, to a file next to the destination."""
    path = dest.with_name(f"{dest.name}.urls")
    path.write_text("\n".join(urls(tree, server)) + "\n")
    return path


def wget(tree: Tree, server: Server, dest: Path) -> list[str]:
    return [
        *("wget", "-q", "-N", "-c", "-x", "-nH", "--cut-dirs=1", "-P", str(dest)),
        *("--ca-certificate", str(server.ca_file), "-i", str(url_file(tree, server, dest))),
        *(("--user", USER, "--password", PASSWORD) if server.needs_password else ()),
    ]


def wget2(tree: Tree, server: Server, dest: Path) -> list[str]:
    return [
        *("wget2", "-q", "-N", "-c", "-x", "-nH", "--cut-dirs=1", "-P", str(dest)),
        *(f"--max-threads={CONNECTIONS}", "--no-robots", "--https-enforce=hard"),
        *("-U", "Wget/1.21"),
        *("--ca-certificate", str(server.ca_file), "-i", str(url_file(tree, server, dest))),
        *(("--http-user", USER, "--http-password", PASSWORD) if server.needs_password else ()),
    ]


def aria2(tree: Tree, server: Server, dest: Path) -> list[str]:
    names = dest.with_name(f"{dest.name}.aria2")
    lines = zip(urls(tree, server), tree.paths, strict=True)
    names.write_text(
        "".join(f"{url}\n  out={tree.slug}/{tree.version}/{path}\n" for url, path in lines)
    )
    return [
        *("aria2c", "-q", "-c", "-i", str(names), "-d", str(dest), f"-j{CONNECTIONS}"),
        *("-x", str(CONNECTIONS), "-s", str(CONNECTIONS), "--min-split-size=2M"),
        *("--ca-certificate", str(server.ca_file), "--file-allocation=none"),
        *((f"--http-user={USER}", f"--http-passwd={PASSWORD}") if server.needs_password else ()),
        *(("-U", "Wget/1.21") if server.needs_password else ()),
    ]


def curl(tree: Tree, server: Server, dest: Path) -> list[str]:
    config = dest.with_name(f"{dest.name}.curl")
    lines = zip(urls(tree, server), tree.paths, strict=True)
    config.write_text(
        "".join(
            f'url = "{url}"\noutput = "{dest}/{tree.slug}/{tree.version}/{path}"\n'
            for url, path in lines
        )
    )
    return [
        *("curl", "-sS", "--fail", "--parallel", "--parallel-max", str(CONNECTIONS)),
        *("--create-dirs", "-R", "--cacert", str(server.ca_file), "-K", str(config)),
        *(("-u", f"{USER}:{PASSWORD}", "-A", "Wget/1.21") if server.needs_password else ()),
    ]


def rclone(tree: Tree, server: Server, dest: Path) -> list[str]:
    names = dest.with_name(f"{dest.name}.names")
    names.write_text("\n".join(tree.paths) + "\n")
    url = server.url(tree)
    if server.needs_password:
        url = url.replace("https://", f"https://{USER}:{PASSWORD}@")
    return [
        *("rclone", "copy", ":http:", str(dest / tree.slug / tree.version), "--http-url", url),
        *("--files-from-raw", str(names), "--no-traverse", "--config", "/dev/null"),
        *("--transfers", str(CONNECTIONS), "--checkers", str(CONNECTIONS)),
        *("--ca-cert", str(server.ca_file), "--user-agent", "Wget/1.21"),
    ]


def lftp(tree: Tree, server: Server, dest: Path) -> list[str]:
    login = f"-u {USER},{PASSWORD} " if server.needs_password else ""
    below = f"/files/{tree.slug}/{tree.version}/files"
    below += "/p10" if all("/p10/" in path for path in tree.paths) else ""
    here = dest / tree.slug / tree.version / below.partition(f"{tree.version}/")[2]
    words = (
        f"set ssl:ca-file {server.ca_file}; set http:user-agent Wget/1.21; "
        f"open {login}{server.origin}; "
        f"mirror --continue --parallel={CONNECTIONS} {below}/ {here}/"
    )
    return ["lftp", "-c", words]


# The version is set here: the client would ask the site's API, which nginx does not have.
_PHYSIONET = """
import importlib, sys
module = importlib.import_module("physionet.download")
slug, version, dest, url, *include = sys.argv[1:]
module._resolve_version = lambda client, slug, version: version
module.download(slug, version, dest, include=include, source="physionet", base_url=url)
"""


def physionet(python: Path) -> Client:
    """The official client, in its own environment. It fetches one file after the other."""

    def command(tree: Tree, server: Server, dest: Path) -> list[str]:
        where = (tree.slug, tree.version, str(dest), server.origin, "files/*")
        return [str(python), "-c", _PHYSIONET, *where]

    return command


PEERS: dict[str, Client] = {
    "wget": wget, "wget2": wget2, "aria2c": aria2, "curl": curl, "rclone": rclone, "lftp": lftp,
}  # fmt: skip
