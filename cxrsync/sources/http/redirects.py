"""Where a redirect points, in words that hold no secret, and what to do about it. Pure.

No redirect is followed: the password and the session are for one origin. So the user must see where
the server points. A query is never shown, because a signed address has its signature there; nor is
a user name, a fragment, or a part of the path that looks like a token.
"""

from __future__ import annotations

import re

from yarl import URL

from cxrsync.config.job import is_loopback
from cxrsync.errors import CredentialsRefused, SourceError
from cxrsync.sources.http.refusals import TEMPORARY_REDIRECTS, named

_MAX_SHOWN = 200
# Long, and of letters and digits mixed: an id of a session, a signature, a key.
_TOKEN = re.compile(r"(?=[^/]*[0-9])(?=[^/]*[A-Za-z])[A-Za-z0-9_.~%+=!*$:@,-]{20,}")
_HIDDEN = "…"
_NOT_FOLLOWED = "cxrsync follows no redirects."


def target_of(location: str | None, asked: URL) -> URL | None:
    """Return the address that an answer to ``asked`` points to; None if it names none."""
    if not location or not location.strip():
        return None
    try:
        target = asked.join(URL(location.strip()))
        is_address = bool(target.host) and target.port is not None
    except ValueError:
        return None
    return target if is_address else None


def shown(target: URL, asked: URL) -> str:
    """Return an address as it may be shown: scheme, host and path. Parts of the path that
    ``asked`` has too are shown as they are."""
    known = set(asked.raw_parts)
    parts = [_without_secret(each, known) for each in target.raw_path.split("/")]
    text = f"{target.origin()}{'/'.join(parts)}"
    if len(text) > _MAX_SHOWN:
        text = text[:_MAX_SHOWN] + _HIDDEN
    return f"{text}?{_HIDDEN}" if target.raw_query_string else text


def _without_secret(part: str, known: set[str]) -> str:
    name, semicolon, _parameters = part.partition(";")
    if name not in known and _TOKEN.fullmatch(name):
        name = _HIDDEN
    return f"{name};{_HIDDEN}" if semicolon else name


def explain_redirect(
    refused: SourceError, status: int, location: str | None, asked: URL, base: URL
) -> SourceError:
    """Return the error ``refused`` for a redirect, with where it points and what to do next.

    ``base``: the --base-url; ``asked`` is below it.
    """
    target = target_of(location, asked)
    if target is None:
        where = ", but does not say where"
        step = f"Check --base-url ({base}), and whether the files open in a browser."
    else:
        where = f": to {shown(target, asked)}"
        step = f"{_NOT_FOLLOWED} {_next_step(status, target, asked, base)}"
    return type(refused)(f"{refused}{where}", next_step=step)


def redirected_sign_in(
    whose: str, status: int, location: str | None, asked: URL
) -> CredentialsRefused:
    """Return the error for a password that was answered with a redirect, as to a login page.

    It is not sent again, so this is final. ``whose``: which password, in words.
    """
    target = target_of(location, asked)
    where = "as to a login page" if target is None else f"to {shown(target, asked)}"
    return CredentialsRefused(
        f"the server refuses {whose} with a redirect ({named(status)}), {where}",
        next_step=f"{CredentialsRefused.next_step} If you can, the server gives its files at "
        "another address: check --base-url.",
    )


def _next_step(status: int, target: URL, asked: URL, base: URL) -> str:
    moved = moved_base(target, asked, base)
    if moved is not None:
        return f"If you trust that address, give it with --base-url {moved}"
    if status in TEMPORARY_REDIRECTS:
        return (
            "Open the address in a browser: it may be a login page of the site or of your network, "
            "or a notice of repairs. Then run the same command again."
        )
    return f"Check --base-url ({base}): open it in a browser to see where the files are now."


def moved_base(target: URL, asked: URL, base: URL) -> str | None:
    """Return the --base-url at which the server has the files now: ``target`` without what
    ``asked`` adds to ``base``. None if the target does not end so, or is not safe for a password.
    """
    if target.scheme != "https" and not is_loopback(target.host):
        return None
    stem = base.raw_path.rstrip("/")
    rest = asked.raw_path.removeprefix(stem)
    if not asked.raw_path.startswith(stem) or not rest.strip("/"):
        return None
    if not target.raw_path.endswith(rest) or target.raw_query_string:
        return None
    path = target.raw_path.removesuffix(rest)
    moved = f"{target.origin()}{path}"
    is_same = moved == f"{base.origin()}{stem}"
    return None if is_same or shown(target, asked) != f"{moved}{rest}" else moved
