"""Where PhysioNet's copies in the clouds are: the entry ``stores`` of the catalogue."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

STORES = "stores"
# What a pattern may name, in braces.
_FIELDS = "slug|version|dashed|number"
_Pattern = Annotated[str, msgspec.Meta(pattern=rf"\A(?:[0-9A-Za-z./-]|\{{(?:{_FIELDS})\}})*\Z")]
_Word = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z-]+\Z")]
_Price = Annotated[float, msgspec.Meta(ge=0)]


class S3Copies(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The copies on AWS: access points of one account, and buckets that are open to everybody.

    ``access_point``: the name of the access point of a version; ``number`` is the user's.
    ``prefix``: what its keys begin with.
    """

    account: Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{12}\Z")]
    region: _Word
    access_point: _Pattern
    prefix: _Pattern
    open_buckets: tuple[str, ...] = ()


class GcsCopies(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The copies on Google Cloud: one bucket for each version. ``prefix``: of its keys."""

    bucket: _Pattern
    prefix: _Pattern = ""


class Price(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a transfer costs, for estimates only: nothing unless the user's own file says it."""

    per_gb: _Price
    per_1000_requests: _Price = 0.0
    currency: str = "USD"


class Stores(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The entry ``stores``. ``prices``: by the name of the cloud, s3 or gcs."""

    s3: S3Copies
    gcs: GcsCopies
    prices: dict[str, Price] = {}


def fill(pattern: str, slug: str, version: str, number: str = "") -> str:
    """Return a pattern with the names of a dataset's version."""
    values = {
        "slug": slug, "version": version, "dashed": version.replace(".", "-"), "number": number,
    }  # fmt: skip
    return re.sub(rf"\{{({_FIELDS})\}}", lambda match: values[match[1]], pattern)
