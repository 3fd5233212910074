"""The address of a store: a bucket or an access point on AWS, a bucket on Google Cloud. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

ACCESS_POINT = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):s3:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):"
    r"accesspoint[/:](?P<name>[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?)"
)


class Service(Enum):
    """A kind of store; the word for PhysioNet's own copy there, as a value of ``--from``."""

    S3 = "s3"
    GCS = "gcs"

    @property
    def scheme(self) -> str:
        """What its addresses begin with."""
        return "gs" if self is Service.GCS else self.value

    @property
    def title(self) -> str:
        """Its name for people."""
        return "Google Cloud" if self is Service.GCS else "S3"


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A store as ``--from`` names it.

    bucket: the name of a bucket, the ARN or the alias of an access point; "" for PhysioNet's own
    copy. prefix: what the keys begin with, without a slash at either end.
    """

    service: Service
    bucket: str = ""
    prefix: str = ""

    def __str__(self) -> str:
        if not self.bucket:
            return self.service.value
        return f"{self.service.scheme}://{'/'.join(filter(None, (self.bucket, self.prefix)))}"


@dataclass(frozen=True, slots=True)
class SitePlace:
    """PhysioNet's own server, or that of ``--base-url``."""


@dataclass(frozen=True, slots=True)
class VersionPlace:
    """Where one version lies: its bucket (or ARN), and what its keys begin with ("" or with a slash
    at the end). ``open``: everybody may read it, so that no request is signed."""

    service: Service
    bucket: str
    prefix: str
    open: bool = False

    def __str__(self) -> str:
        return f"{self.service.scheme}://{self.bucket}/{self.prefix}"
