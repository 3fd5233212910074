"""The URL that a mirror pings, in the manner of healthchecks.io. The URL is a secret.

Whoever knows the URL can report success. So its ``repr`` and ``str`` show the host only, and no
error quotes the text.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from cxrsync.config.secret_file import is_on_read_only_mount
from cxrsync.errors import UsageError
from cxrsync.sanitize import reason_of

_START = "start"
_MAX_TEXT = 1 << 14
_NEXT_STEP = (
    "Copy the ping URL of the check, as in https://hc-ping.com/UUID, without /start, /fail or an "
    "exit code: cxrsync adds these itself."
)
_FILE = (
    "The file holds the address of the ping, one line; only the user of the mirror can read it "
    "(chmod 600)."
)


@dataclass(frozen=True, slots=True)
class PingURL:
    """The address of a check. ``host``: the only part that messages may show."""

    host: str
    _parts: SplitResult = field(repr=False)

    def __str__(self) -> str:
        return self.host

    @property
    def secret(self) -> str:
        """The part of the URL that nobody else may learn."""
        return self._parts.path.strip("/") or self._parts.netloc

    def for_start(self) -> str:
        """Return the URL that says that a run begins. It is a secret."""
        return self._below(_START)

    def for_end(self, exit_code: int, *, is_success: bool) -> str:
        """Return the URL that says how a run ended. It is a secret.

        Success is the URL itself, a failure is ``URL/<exit code>``. An exit code that the service
        would not take (it knows 1 to 255) is ``URL/fail``.
        """
        if is_success:
            return self._parts.geturl()
        return self._below(str(exit_code) if 0 < exit_code < 256 else "fail")

    def _below(self, word: str) -> str:
        # Not urljoin, which would replace the last part of the path. The query stays: it may hold
        # "create=1".
        return self._parts._replace(path=f"{self._parts.path.rstrip('/')}/{word}").geturl()


@dataclass(frozen=True, slots=True)
class UnusablePing:
    """A ping whose file cannot be used now. It must not stop a mirror; ``problem`` says why."""

    problem: UsageError


def parse_ping_url(value: object, label: str = "ping") -> PingURL | UnusablePing:
    """Return the checked URL: of a text, or of the file that ``@FILE`` names.

    Raises UsageError, whose text does not contain the URL. What is wrong with the file, which may
    change from night to night, is not raised, but returned.
    """
    if isinstance(value, PingURL | UnusablePing):
        return value
    if not isinstance(value, str):
        raise UsageError(f"{label} is not text", next_step=_NEXT_STEP)
    if not value.startswith("@"):
        return _parse(value, label)
    path = os.path.expanduser(value[1:])
    if not os.path.isabs(path):
        raise UsageError(
            f"{label} names the file {path}, which is not an absolute path",
            next_step="Write @/etc/cxrsync/ping-url, for example.",
        )
    try:
        return _parse(_read(path, label), f"{label} in {path}")
    except UsageError as problem:
        return UnusablePing(problem)


def _parse(text: str, label: str) -> PingURL:
    text = text.strip()
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
        (host or "").encode("idna").decode("idna")  # a ValueError for what can be no host name
    except ValueError:
        raise UsageError(f"{label} is not a valid address", next_step=_NEXT_STEP) from None
    if parts.scheme not in {"http", "https"} or not host:
        raise UsageError(f"{label} is not an http:// or https:// address", next_step=_NEXT_STEP)
    if not text.isprintable() or any(each.isspace() for each in text):
        raise UsageError(f"{label} contains blanks or control characters", next_step=_NEXT_STEP)
    return PingURL(host, parts._replace(fragment=""))


def _read(path: str, label: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            by_all = os.fstat(file.fileno()).st_mode & stat.S_IROTH
            if by_all and not is_on_read_only_mount(Path(path)):
                raise UsageError(
                    f"{path} ({label}) can be read by other users", next_step=f"chmod 600 {path}"
                )
            return file.read(_MAX_TEXT)
    except UnicodeDecodeError:
        raise UsageError(f"cannot read {path} ({label}): not UTF-8", next_step=_FILE) from None
    except OSError as problem:
        raise UsageError(
            f"cannot read {path} ({label}): {reason_of(problem)}",
            next_step=_FILE,
        ) from None
