"""Where a store has a version of a dataset: by its address, and by the catalogue. Pure."""

from __future__ import annotations

import re

from cxrsync.catalog.stores import Stores, fill
from cxrsync.config.store_address import ACCESS_POINT, Service, StoreAddress, VersionPlace

_VERSION = re.compile(r"[0-9]+(?:\.[0-9A-Za-z-]+)*")


def named_version(address: StoreAddress, stores: Stores) -> tuple[str, str] | None:
    """Return dataset and version of which the address is the folder, by its last parts, or by the
    name that PhysioNet's bucket has; None if it may hold several."""
    parts = address.prefix.split("/")
    if len(parts) > 1 and _VERSION.fullmatch(parts[-1]):
        return parts[-2], parts[-1]
    if address.service is Service.GCS and not address.prefix:
        pattern = re.escape(fill(stores.gcs.bucket, "SLUG", "VERSION"))
        pattern = pattern.replace("SLUG", "(.+)").replace("VERSION", rf"({_VERSION.pattern}?)")
        if match := re.fullmatch(pattern, address.bucket):
            return match[1], match[2]
    return None


def is_physionets(place: VersionPlace, stores: Stores) -> bool:
    """Return whether a place is in PhysioNet's own copies. Of the alias of an access point nothing
    tells whose it is: PhysioNet's page shows such, too."""
    if place.service is Service.GCS:
        return named_version(StoreAddress(Service.GCS, place.bucket), stores) is not None
    arn = ACCESS_POINT.fullmatch(place.bucket)
    is_ours = arn is not None and arn["account"] == stores.s3.account
    return is_ours or place.bucket.endswith("-s3alias")


def place_of_version(
    address: StoreAddress, dataset: str, version: str, number: int, stores: Stores
) -> VersionPlace:
    """Return where ``address`` has a version.

    PhysioNet's own copies are named by the patterns of the catalogue, with ``number`` for the
    access point. An address that ends with DATASET/VERSION is that version's folder; any other
    holds folders DATASET/VERSION. Where an address is PhysioNet's own copy of one version, another
    version is in its own access point or bucket, by the same pattern.
    """
    if not address.bucket:
        return _own_copy(address.service, dataset, version, f"{number:02}", stores)
    own = named_version(address, stores)
    is_open = address.service is Service.S3 and address.bucket in stores.s3.open_buckets
    if own is not None:
        copy = _physionets(address, own, (dataset, version), stores)
        if copy is not None and own != (dataset, version):
            return copy
        folder = address.prefix if own == (dataset, version) else None
        above = "/".join(address.prefix.split("/")[:-2])
    else:
        folder, above = None, address.prefix
    if folder is None:
        folder = "/".join(filter(None, (above, dataset, version)))
    return VersionPlace(address.service, address.bucket, f"{folder}/" if folder else "", is_open)


def _own_copy(
    service: Service, dataset: str, version: str, number: str, stores: Stores
) -> VersionPlace:
    if service is Service.GCS:
        bucket = fill(stores.gcs.bucket, dataset, version)
        prefix = fill(stores.gcs.prefix, dataset, version)
    else:
        s3 = stores.s3
        name = fill(s3.access_point, dataset, version, number)
        bucket = f"arn:aws:s3:{s3.region}:{s3.account}:accesspoint/{name}"
        prefix = fill(s3.prefix, dataset, version)
    return VersionPlace(service, bucket, f"{prefix}/" if prefix else "")


def _physionets(
    address: StoreAddress, own: tuple[str, str], wanted: tuple[str, str], stores: Stores
) -> VersionPlace | None:
    """Return PhysioNet's copy of ``wanted``, if the address is its copy of ``own``."""
    arn = ACCESS_POINT.fullmatch(address.bucket)
    tail = re.search(r"[0-9]+\Z", arn["name"]) if arn is not None else None
    number = tail[0] if tail is not None else ""
    if _own_copy(address.service, *own, number, stores).bucket != address.bucket:
        return None
    return _own_copy(address.service, *wanted, number, stores)
