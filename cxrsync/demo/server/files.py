"""The folder that the server serves: what is visible in it, and how it is listed."""

import functools
import html
import os
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from cxrsync.demo.data.tree import MARKER, NotSynthetic
from cxrsync.demo.server.responses import Reply

_NAME_WIDTH = 50  # NGX_HTTP_AUTOINDEX_NAME_LEN


class FileTree:
    """A folder of `<slug>/<version>/…`; symbolic links and dotfiles in it are invisible.

    Raises NotSynthetic without the marker of `make_tree`, so that no real dataset is ever served.
    """

    def __init__(self, root: Path) -> None:
        if not (root / MARKER).is_file():
            raise NotSynthetic(
                f"{root} is not a demo tree: it has no file {MARKER}. Only synthetic trees are "
                "served; make one with `cxrsync demo`."
            )
        self._root = os.path.realpath(root)
        self._project = functools.cache(self._describe)

    def find(self, parts: tuple[str, ...]) -> str | None:
        """Return the file or folder with this path, or None."""
        if not all(map(_is_plain, parts)):
            return None
        path = os.path.join(self._root, *parts)
        return path if os.path.exists(path) and os.path.realpath(path) == path else None

    def has_version(self, parts: tuple[str, ...]) -> bool:
        """Return whether a path begins with a slug and version that exist."""
        found = self.find(parts[:2]) if len(parts) >= 2 else None
        return found is not None and os.path.isdir(found)

    def describe(self, slug: str, version: str | None) -> Any:
        """Return what the public API says about a version, or about all; None if unknown.

        Sizes are in bytes, and are computed only once.
        """
        if version is not None:
            return self._project(slug, version) if self.has_version((slug, version)) else None
        folder = self.find((slug,))
        if folder is None or not os.path.isdir(folder):
            return None
        versions = sorted(entry.name for entry in _visible(folder) if entry.is_dir())
        short = ("slug", "title", "version", "abstract")
        return [
            {key: self._project(slug, v)[key] for key in short} | {"citation": _citation(slug, v)}
            for v in versions
        ]

    def _describe(self, slug: str, version: str) -> dict[str, Any]:
        folder = os.path.join(self._root, slug, version)
        return {
            "slug": slug,
            "title": f"{slug}, a synthetic miniature",
            "version": version,
            "abstract": "Made by cxrsync for its demo and tests: no data of any patient.",
            "doi": "10.5072/synthetic",  # the prefix for tests
            "license": {"name": "Synthetic data, free to use", "slug": "synthetic"},
            "main_storage_size": sum(_sizes(folder)),
        }


def _citation(slug: str, version: str) -> str:
    """Return a citation in HTML, as PhysioNet's ``citation_text`` makes one in Vancouver style."""
    return (
        f"Doe J, Roe J A. {slug}, a synthetic miniature (version {version}). PhysioNet. 2026. "
        'RRID:SCR_007345. Available from: <a href="https://doi.org/10.5072/synthetic">'
        "https://doi.org/10.5072/synthetic</a>"
    )


def split(raw_path: str) -> tuple[str, ...]:
    """Decode a URL's path, segment by segment; an encoded slash does not split."""
    return tuple(unquote(part, errors="surrogateescape") for part in raw_path.split("/"))


def listing(folder: str, shown_path: str) -> Reply:
    """Make the page of nginx's autoindex: folders first, dates in UTC, exact sizes."""
    title = html.escape(f"Index of {shown_path}")
    entries = sorted(_visible(folder), key=lambda e: (not e.is_dir(), os.fsencode(e.name)))
    lines = "".join(map(_line, entries))
    text = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<h1>{title}</h1><hr><pre>"
        f'<a href="../">../</a>\r\n{lines}</pre><hr></body>\r\n</html>\r\n'
    )
    body = (os.fsencode(text),)
    return Reply(HTTPStatus.OK, (("Content-Type", "text/html; charset=utf-8"),), body)


def _line(entry: os.DirEntry[str]) -> str:
    slash = "/" if entry.is_dir() else ""
    name = entry.name + slash
    shown = name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 3] + "..>"
    status = entry.stat()
    date = time.strftime("%d-%b-%Y %H:%M", time.gmtime(status.st_mtime))
    href = quote(os.fsencode(entry.name), safe="") + slash
    padding = " " * (_NAME_WIDTH - len(shown))
    size = "-" if slash else str(status.st_size)
    return f'<a href="{href}">{html.escape(shown)}</a>{padding} {date} {size:>19}\r\n'


def _visible(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (e for e in entries if _is_plain(e.name) and not e.is_symlink())


def _sizes(folder: str) -> Iterator[int]:
    for entry in _visible(folder):
        if entry.is_dir():
            yield from _sizes(entry.path)
        else:
            yield entry.stat().st_size


def _is_plain(name: str) -> bool:
    return bool(name) and not name.startswith(".") and "/" not in name and "\0" not in name
