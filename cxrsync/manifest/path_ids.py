"""The subject, study and image of a file, read from its path.

``files/p10/p10000032/s50414267/<image>.jpg`` is an image, ``…/s50414267.txt`` its study's report.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_REPORT = ".txt"
# Limited, because a cell of a table may hold more digits than Python converts to an int.
_NUMBER = re.compile(r"[0-9]{1,18}")


class ImageIds(NamedTuple):
    """The ids of a file. ``image`` is empty for a report, which belongs to its whole study."""

    subject: str
    study: str
    image: str


def parse_image_path(path: str) -> ImageIds | None:
    """Return the ids of an image or a report; None for any other file."""
    parts = path.split("/")
    if len(parts) == 5 and parts[0] == "files":
        return ImageIds(parts[2], parts[3], parts[4].partition(".")[0])
    if len(parts) == 4 and parts[0] == "files" and parts[3].endswith(_REPORT):
        return ImageIds(parts[2], parts[3].removesuffix(_REPORT), "")
    return None


def image_key(image: str) -> bytes:
    """Return a DICOM id as bytes, short enough to keep 377,110 of them."""
    try:
        return bytes.fromhex(image.replace("-", ""))
    except ValueError:
        return image.encode()


def study_key(study: str) -> int:
    """Return ``s50414267`` (in paths) or ``50414267`` (in tables) as a number; -1 for others."""
    digits = study.removeprefix("s")
    return int(digits) if _NUMBER.fullmatch(digits) else -1
