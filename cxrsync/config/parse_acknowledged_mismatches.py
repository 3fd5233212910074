"""Read ``--acknowledge FILE``: mismatches that the user knows of and accepts."""

from __future__ import annotations

import re
from pathlib import Path

from cxrsync.errors import UsageError
from cxrsync.sanitize import reason_of
from cxrsync.utf8_stream import UnreadableStream, utf8_pieces

# The line of sha256sum, or path before digest, as reports of a run have them.
_LINE = re.compile(
    r"(?P<first>[0-9a-f]{64}) [ *]?(?P<path_after>\S.*)|(?P<path>\S.*?)\s+(?P<last>[0-9a-f]{64})",
)
_MAX_NAMED = 5
_FORM = "It is a text file with a path and the observed SHA-256 a line."


def read_acknowledged(file: Path) -> frozenset[tuple[str, str]]:
    """Return the pairs of path and observed SHA-256 in a file, one pair a line, in either order.

    Blank lines and lines that begin with ``#`` are ignored. Raises UsageError, which names the
    invalid lines.
    """
    try:
        with file.open("rb") as stream:
            lines = b"".join(utf8_pieces(stream)).decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise UsageError(
            f"--acknowledge {file}: the file is not UTF-8 text", next_step=_FORM
        ) from None
    except (OSError, UnreadableStream) as problem:
        raise UsageError(
            f"--acknowledge {file}: {reason_of(problem)}",
            next_step=f"Check that you may read it. {_FORM}",
        ) from None
    pairs: set[tuple[str, str]] = set()
    invalid: list[int] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            invalid.append(number)
        else:
            pairs.add((match["path"] or match["path_after"], match["last"] or match["first"]))
    if invalid:
        named = ", ".join(str(number) for number in invalid[:_MAX_NAMED])
        more = f" and {len(invalid) - _MAX_NAMED:,} more" if len(invalid) > _MAX_NAMED else ""
        raise UsageError(
            f"--acknowledge {file}: not a path and a SHA-256: line {named}{more}",
            next_step="Each line holds the path of a file, relative to the version's root, and the "
            "digest that was observed. A run that meets a mismatch reports both.",
        )
    return frozenset(pairs)
