"""The table of addresses: bucket, region and key in, URL out."""

import pytest

from cxrsync.config.store_address import Service, VersionPlace
from cxrsync.sources.store.endpoints import object_url, region_of

ARN = "arn:aws:s3:us-east-1:724665945834:accesspoint/mimic-cxr-jpg-v2-1-0-01"
POINT = "mimic-cxr-jpg-v2-1-0-01-724665945834.s3-accesspoint.us-east-1.amazonaws.com"
ODD = "a b#?%20+é&=.bin"
QUOTED = "a%20b%23%3F%2520%2B%C3%A9%26%3D.bin"


@pytest.mark.parametrize(
    ("bucket", "region", "endpoint", "base"),
    [
        (ARN, "eu-west-1", None, f"https://{POINT}"),
        (ARN.replace("aws:", "aws-cn:").replace("us-east-1", "cn-north-1"), "", None,
         f"https://{POINT.replace('us-east-1', 'cn-north-1')}.cn"),
        (ARN, "", "https://vpce.test", "https://mimic-cxr-jpg-v2-1-0-01-724665945834.vpce.test"),
        ("lab", "us-east-1", None, "https://lab.s3.us-east-1.amazonaws.com"),
        ("lab", "cn-north-1", None, "https://lab.s3.cn-north-1.amazonaws.com.cn"),
        ("x-abc-s3alias", "us-east-1", None, "https://x-abc-s3alias.s3.us-east-1.amazonaws.com"),
        # No certificate covers a name with a dot in it.
        ("lab.example.org", "eu-west-1", None, "https://s3.eu-west-1.amazonaws.com/lab.example.org"),
        ("Lab_1", "us-east-1", None, "https://s3.us-east-1.amazonaws.com/Lab_1"),
        ("lab", "us-east-1", "http://127.0.0.1:9000/", "http://127.0.0.1:9000/lab"),
    ],
)  # fmt: skip
def test_s3(bucket: str, region: str, endpoint: str | None, base: str) -> None:
    place = VersionPlace(Service.S3, bucket, "a/1.0/")
    assert str(object_url(place, ODD, region, endpoint)) == f"{base}/a/1.0/{QUOTED}"


def test_google_cloud() -> None:
    place = VersionPlace(Service.GCS, "mimic-cxr-2.1.0.physionet.org", "")
    url = object_url(place, "files/p10/x.dcm", "", None)
    assert str(url) == (
        "https://storage.googleapis.com/mimic-cxr-2.1.0.physionet.org/files/p10/x.dcm"
    )


def test_an_access_point_names_its_region() -> None:
    assert region_of(VersionPlace(Service.S3, ARN, ""), "eu-west-1") == "us-east-1"
    assert region_of(VersionPlace(Service.S3, "lab", ""), "eu-west-1") == "eu-west-1"
