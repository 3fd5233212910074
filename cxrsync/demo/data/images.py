"""Synthetic chest X-rays: one small picture as JPEG or DICOM, padded to any size.

Every viewer opens them. No two are equal: each has its stamp, and noise derived from the stamp.
"""

import base64
import functools
import hashlib
import struct
from collections.abc import Mapping

SIDE = 64
"""Width and height of the picture, in pixels."""

_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywt"
    "QFdBRkxOUlNSMj5aYVpQYEpRUk//wAALCABAAEABAREA/8QAGQAAAwEBAQAAAAAAAAAAAAAAAAMFBAYC/8QALRAAAQQB"
    "AgMFCQEAAAAAAAAAAQACAxIEBREhkbEkJVFzgRMiMTJBYYLB0XH/2gAIAQEAAD8AzVRVFUVRVFUVRVNqvMjmRRukkcGt"
    "aNySpLtbFjXGJG/Al+36VPHljyYRLEd2nmD4Fe5HMijdJI4Na0bklSXa2LGuMSN+BL9v0qePLHkwiWI7tPMHwKbVNqou"
    "vSOvHAB7oFz9zxH95qRVUdEkdHm+yA3bKNj/AKOO/Xmna9I68cAHugXP3PEf3mpFVR0SR0eb7IDdso2P+jjv15roKptV"
    "zWrt7ym/HoFjqnYbe2weY3qnau3vKb8egWOqdht7bB5jeq6uqbVc1q7e8pvx6BY6p2G3tsHmN6p2rt7ym/HoFjqnYbe2"
    "weY3qurqm1ULXsctnZMGirm1JA+o8fTopVVv0fHMuc19QWxix3HL1/idr2OWzsmDRVzakgfUePp0Uqq36PjmXOa+oLYx"
    "Y7jl6/xdHVNqlZGNHkwmKVu7TzB8QoztCyLGskRG/AkkfpVsPCjxIaM4uPzOPxcV7yMaPJhMUrd2nmD4hRnaFkWNZIiN"
    "+BJI/SrYeFHiQ0Zxcfmcfi4rRVNqiqKoqiqKoqiq/9k="
)
_JFIF_HEAD = 20  # SOI and APP0: JFIF requires APP0 first, so comments follow it
_COMMENT_MAX = 65_533  # a segment's 16-bit length counts its own two bytes

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def noise(name: str, size: int) -> bytes:
    """`size` incompressible bytes, derived from `name` alone."""
    return hashlib.shake_128(name.encode()).digest(size)


@functools.cache
def picture() -> bytes:
    """The picture of both formats, 8-bit greys row by row: a torso with two dark lungs."""

    def in_lung(x: int, y: int, centre: int) -> bool:
        return ((x - centre) * 21) ** 2 + ((y - SIDE // 2) * 11) ** 2 < (11 * 21) ** 2

    return bytes(
        110 + y - (80 if in_lung(x, y, 20) or in_lung(x, y, 44) else 0)
        for y in range(SIDE)
        for x in range(SIDE)
    )


def jpeg(stamp: str, size: int) -> bytes:
    """A baseline JPEG of exactly `size` bytes, or larger if the picture needs more.

    The stamp and the padding are in comment (COM) segments, which decoders skip.
    """
    text = stamp.encode("ascii") + b"\n"
    padding = max(size - len(_JPEG), len(text) + 4)
    count = -(-padding // (_COMMENT_MAX + 4))
    body = text + noise(stamp, padding - 4 * count - len(text))
    # Parts of equal size: no remainder is too short for a segment.
    step = -(-len(body) // count)
    parts = [body[at : at + step] for at in range(0, len(body), step)]
    comments = b"".join(b"\xff\xfe" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return _JPEG[:_JFIF_HEAD] + comments + _JPEG[_JFIF_HEAD:]


def dicom(stamp: str, size: int, about: Mapping[str, str]) -> bytes:
    """A DICOM file of `size` bytes, rounded down to even, or larger if the picture needs more.

    `about` has the keys subject, study, image, date (YYYYMMDD), time (HHMMSS.FFF) and view. The
    class is Secondary Capture, which requires the fewest attributes; the padding is Data Set
    Trailing Padding (PS3.10, 7.2).
    """
    instance = _uid("image", about["image"])
    meta = (
        _element(0x0002, 0x0001, "OB", b"\0\1")
        + _element(0x0002, 0x0002, "UI", _SECONDARY_CAPTURE)
        + _element(0x0002, 0x0003, "UI", instance)
        + _element(0x0002, 0x0010, "UI", _EXPLICIT_LITTLE_ENDIAN)
        + _element(0x0002, 0x0012, "UI", _uid("implementation", "cxrsync"))
    )
    head = (
        bytes(128)
        + b"DICM"
        + _element(0x0002, 0x0000, "UL", struct.pack("<I", len(meta)))
        + meta
        + _element(0x0008, 0x0016, "UI", _SECONDARY_CAPTURE)
        + _element(0x0008, 0x0018, "UI", instance)
        + _element(0x0008, 0x0020, "DA", about["date"])
        + _element(0x0008, 0x0030, "TM", about["time"])
        + _element(0x0008, 0x0050, "SH", "")
        + _element(0x0008, 0x0060, "CS", "CR")
        + _element(0x0008, 0x0064, "CS", "SYN")  # synthetic: made by a program
        + _element(0x0008, 0x0090, "PN", "")
        + _element(0x0010, 0x0010, "PN", "")
        + _element(0x0010, 0x0020, "LO", about["subject"])
        + _element(0x0010, 0x0030, "DA", "")
        + _element(0x0010, 0x0040, "CS", "")
        + _element(0x0018, 0x5101, "CS", about["view"])
        + _element(0x0020, 0x000D, "UI", _uid("study", about["study"]))
        + _element(0x0020, 0x000E, "UI", _uid("series", about["image"]))
        + _element(0x0020, 0x0010, "SH", about["study"])
        + _element(0x0020, 0x0011, "IS", "1")
        + _element(0x0020, 0x0013, "IS", "1")
        + _element(0x0020, 0x4000, "LT", stamp)
        + _element(0x0028, 0x0002, "US", 1)
        + _element(0x0028, 0x0004, "CS", "MONOCHROME2")
        + _element(0x0028, 0x0010, "US", SIDE)
        + _element(0x0028, 0x0011, "US", SIDE)
        + _element(0x0028, 0x0100, "US", 8)
        + _element(0x0028, 0x0101, "US", 8)
        + _element(0x0028, 0x0102, "US", 7)
        + _element(0x0028, 0x0103, "US", 0)
        + _element(0x7FE0, 0x0010, "OB", picture())
    )
    padding = max(size // 2 * 2 - len(head) - 12, 0)
    return head + _element(0xFFFC, 0xFFFC, "OB", noise(stamp, padding))


def _element(group: int, number: int, vr: str, value: str | int | bytes) -> bytes:
    """One data element, explicit VR little endian, its value padded to an even length."""
    if isinstance(value, int):
        value = struct.pack("<H", value)
    elif isinstance(value, str):
        value = value.encode("ascii")
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB") else b" "
    # OB has the long form: two reserved bytes and a 32-bit length (PS3.5, 7.1.2).
    length = struct.pack("<HI", 0, len(value)) if vr == "OB" else struct.pack("<H", len(value))
    return struct.pack("<HH", group, number) + vr.encode("ascii") + length + value


def _uid(kind: str, name: str) -> str:
    """A UID under 2.25, the root for those derived from a 128-bit number (PS3.5, B.2)."""
    return f"2.25.{int.from_bytes(noise(f'{kind} {name}', 16), 'big')}"
