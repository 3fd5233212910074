"""The address of an object in a store, purely: from bucket, region and key to a URL.

On AWS an access point and a bucket have a host of their own. A bucket with a dot in its name is
part of the path, because no certificate covers its host; so is any bucket of another endpoint.
"""

from __future__ import annotations

from urllib.parse import quote

from yarl import URL

from cxrsync.config.store_address import ACCESS_POINT, Service, VersionPlace

GCS_ENDPOINT = "https://storage.googleapis.com"
DEFAULT_REGION = "us-east-1"
_CHINA = "aws-cn"


def object_url(place: VersionPlace, path: str, region: str, endpoint: str | None) -> URL:
    """Return the URL of the file ``path`` of a version, quoted once, as it is to be signed.

    ``region``: of the bucket; an ARN names its own. ``endpoint``: of another store than AWS or
    Google Cloud.
    """
    key = quote(place.prefix + path, safe="/-_.~")
    return URL(f"{_base(place, region, endpoint)}/{key}", encoded=True)


def list_url(place: VersionPlace, region: str, endpoint: str | None) -> URL:
    """Return the URL at which a store lists one object of a version."""
    query = f"list-type=2&max-keys=1&prefix={quote(place.prefix, safe='-_.~')}"
    return URL(f"{_base(place, region, endpoint)}/?{query}", encoded=True)


def caller_identity_url(region: str) -> URL:
    """Return the URL at which AWS says who signs."""
    query = "Action=GetCallerIdentity&Version=2011-06-15"
    domain = _domain(_CHINA if region.startswith("cn-") else "aws")
    return URL(f"https://sts.{region}.{domain}/?{query}", encoded=True)


def region_of(place: VersionPlace, region: str) -> str:
    """Return the region for which a request to ``place`` is signed."""
    arn = ACCESS_POINT.fullmatch(place.bucket)
    return arn["region"] if arn is not None else region


def _base(place: VersionPlace, region: str, endpoint: str | None) -> str:
    bucket = place.bucket
    arn = ACCESS_POINT.fullmatch(bucket)
    if arn is not None:
        host = f"s3-accesspoint.{arn['region']}.{_domain(arn['partition'])}"
        scheme = "https"
        if endpoint is not None:
            scheme, host = endpoint.rstrip("/").split("://", 1)
        return f"{scheme}://{arn['name']}-{arn['account']}.{host}"
    if endpoint is not None:
        return f"{endpoint.rstrip('/')}/{bucket}"
    if place.service is Service.GCS:
        return f"{GCS_ENDPOINT}/{bucket}"
    host = f"s3.{region}.{_domain(_CHINA if region.startswith('cn-') else 'aws')}"
    if "." in bucket or bucket != bucket.lower() or "_" in bucket:
        return f"https://{host}/{bucket}"
    return f"https://{bucket}.{host}"


def _domain(partition: str) -> str:
    return "amazonaws.com.cn" if partition == _CHINA else "amazonaws.com"
