"""Where a file stands among subjects, studies and images: read from its path.

``files/p10/p10000032/s50414267/<image>.jpg`` is an image, ``…/s50414267.txt`` its study's report.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_REPORT = ".txt"
# Not any number of digits: a table's cell may hold more of them than Python takes for an int.
_NUMBER = re.compile(r"[0-9]{1,18}")


class ImageIds(NamedTuple):
    """``image`` is empty for a report, which is its whole study's."""

    subject: str
    study: str
    image: str


def parse_image_path(path: str) -> ImageIds | None:
    """The place of an image or a report; None for any other file."""
    parts = path.split("/")
    if len(parts) == 5 and parts[0] == "files":
        return ImageIds(parts[2], parts[3], parts[4].partition(".")[0])
    if len(parts) == 4 and parts[0] == "files" and parts[3].endswith(_REPORT):
        return ImageIds(parts[2], parts[3].removesuffix(_REPORT), "")
    return None


def image_key(image: str) -> bytes:
    """A DICOM id, short enough to hold 377,110 of them."""
    try:
        return bytes.fromhex(image.replace("-", ""))
    except ValueError:
        return image.encode()


def study_key(study: str) -> int:
    """``s50414267`` (a path's) or ``50414267`` (a table's) as a number; -1 if it is neither."""
    digits = study.removeprefix("s")
    return int(digits) if _NUMBER.fullmatch(digits) else -1
