"""Begin in threads what a pull from a site needs later, while the command itself is imported.

A third of the start of a pull is to read the certificates of the system's authorities: aiohttp does
that twice when it is imported, and a context of ours once. OpenSSL does it without the interpreter.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

# A run with one of these may need no connection to a site.
_NO_SITE = ("-h", "--help", "--from", "--on", "--dry-run")


def needs_site(command: str, words: Sequence[str]) -> bool:
    """Return whether a command line will ask a site over HTTP, as far as its words tell."""
    return command == "pull" and not any(word.startswith(_NO_SITE) for word in words)


def begin() -> None:
    """Import aiohttp and make a TLS context, each in a thread; nothing if that was done before."""
    if "aiohttp" in sys.modules:
        return
    for work in (_import_client, _prepare_context):
        with suppress(RuntimeError):  # no more threads: it is done when it is needed
            threading.Thread(target=_quietly, args=(work,), name=work.__name__).start()


def _quietly(work: Callable[[], None]) -> None:
    # The same fails again where it is needed, and is told there.
    with suppress(Exception):
        work()


def _import_client() -> None:
    import cxrsync.sources.http.client  # noqa: F401 - which imports it


def _prepare_context() -> None:
    from cxrsync.sources.http import tls

    tls.prepare()
