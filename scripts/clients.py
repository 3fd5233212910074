"""The clients of `scripts/bench`, each with the flags that its manual recommends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 8
USER, PASSWORD = "demo", "demo-password"


@dataclass(frozen=True)
class Tree:
    """What a scenario has to fetch: the root of a version, and the paths below it that count."""

    root: Path
    slug: str
    version: str
    paths: tuple[str, ...]
    words: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum((self.root / path).stat().st_size for path in self.paths)


@dataclass(frozen=True)
class Server:
    """A server as a client sees it; ``requests`` counts those made so far."""

    base_url: str
    ca_file: Path
    requests: Callable[[], int]
    password_checks: Callable[[], int] = lambda: 0
    needs_password: bool = False


Command = Callable[[Tree, Server, Path], list[str]]


def urls(tree: Tree, server: Server) -> list[str]:
    return [f"{server.base_url}/{tree.slug}/{tree.version}/{path}" for path in tree.paths]


def cxrsync(*more: str) -> Command:
    def command(tree: Tree, server: Server, dest: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "cxrsync", "-q", "pull", "--progress", "none", *tree.words),
            *("--dataset", tree.slug, "--dataset-version", tree.version, "--dest", str(dest)),
            *("--base-url", server.base_url, "--ca-file", str(server.ca_file)),
            *("--connections", str(CONNECTIONS), *more),
        ]

    return command


def listed(tree: Tree, server: Server, dest: Path) -> Path:
    """The addresses, one a line, in a file beside the destination."""
    path = dest.with_name(f"{dest.name}.urls")
    path.write_text("\n".join(urls(tree, server)) + "\n")
    return path


def wget(tree: Tree, server: Server, dest: Path) -> list[str]:
    return [
        *("wget", "-q", "-N", "-c", "-x", "-nH", "--cut-dirs=1", "-P", str(dest)),
        *("--ca-certificate", str(server.ca_file), "-i", str(listed(tree, server, dest))),
        *(("--user", USER, "--password", PASSWORD) if server.needs_password else ()),
    ]


def wget2(tree: Tree, server: Server, dest: Path) -> list[str]:
    return [
        *("wget2", "-q", "-N", "-c", "-x", "-nH", "--cut-dirs=1", "-P", str(dest)),
        *(f"--max-threads={CONNECTIONS}", "--no-robots", "--https-enforce=hard"),
        *("--ca-certificate", str(server.ca_file), "-i", str(listed(tree, server, dest))),
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


PEERS: dict[str, Command] = {"wget": wget, "wget2": wget2, "aria2c": aria2, "curl": curl}
