"""The forms of ``--from``: which place each means, and what is said of those that mean none."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrsync.catalog.load import load_stores
from cxrsync.config.parse_source import (
    FolderPlace,
    SitePlace,
    bucket_as_destination,
    parse_source,
    source_advice,
)
from cxrsync.config.store_address import Service, StoreAddress
from cxrsync.config.store_places import named_version, place_of_version
from cxrsync.errors import UsageError

JPG, DICOM, V = "mimic-cxr-jpg", "mimic-cxr", "2.1.0"
S3, GCS = Service.S3, Service.GCS
ARN = "arn:aws:s3:us-east-1:724665945834:accesspoint/mimic-cxr-jpg-v2-1-0"
ALIAS = "mimic-cxr-jpg-v2-1-0-01-abc1def2ghi3jkl4mno5pqr6stu7-s3alias"


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("/mnt/mirror", FolderPlace("/mnt/mirror")),
        ("mirror", FolderPlace("mirror")),
        ("./s3", FolderPlace("./s3")),
        ("./gcs", FolderPlace("./gcs")),
        ("gs", FolderPlace("gs")),
        ("C:/data", FolderPlace("C:/data")),
        ("physionet", SitePlace()),
        ("PhysioNet", SitePlace()),
        ("s3", StoreAddress(S3)),
        (" S3/ ", StoreAddress(S3)),
        ("gcs", StoreAddress(GCS)),
        ("s3://lab", StoreAddress(S3, "lab")),
        ("s3:/lab/a", StoreAddress(S3, "lab", "a")),  # as pathlib writes it
        ("S3://lab/a//b/", StoreAddress(S3, "lab", "a/b")),
        ("s3a://lab/a", StoreAddress(S3, "lab", "a")),
        ("s3://lab/a/*", StoreAddress(S3, "lab", "a")),
        ("s3://lab/a/SHA256SUMS.txt", StoreAddress(S3, "lab", "a")),
        ("s3://physionet-open/x/2.2/", StoreAddress(S3, "physionet-open", "x/2.2")),
        (f"s3://{ALIAS}/{JPG}/{V}/", StoreAddress(S3, ALIAS, f"{JPG}/{V}")),
        (f"s3://{ARN}-01/{JPG}/{V}/", StoreAddress(S3, f"{ARN}-01", f"{JPG}/{V}")),
        (f"{ARN}-01", StoreAddress(S3, f"{ARN}-01")),
        (f"s3://{ARN.replace('point/', 'point:')}-01/x", StoreAddress(S3, f"{ARN}-01", "x")),
        (f"{ARN}-01/object/{JPG}", StoreAddress(S3, f"{ARN}-01", JPG)),
        ("gs://lab/a", StoreAddress(GCS, "lab", "a")),
        ("gcs://lab", StoreAddress(GCS, "lab")),
        (f"gs://{JPG}-{V}.physionet.org", StoreAddress(GCS, f"{JPG}-{V}.physionet.org")),
    ],
)  # fmt: skip
def test_what_a_word_means(word: str, place: object) -> None:
    assert parse_source(word) == place


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("s3://", "names no bucket"),
        ("s3://a", "cannot be a bucket"),
        ("s3://my bucket/x", "cannot be a bucket"),
        ("s3://lab/../x", "without . and .."),
        ("s3://lab/a?X-Amz-Signature=SIGSECRET", "A signed address is for one file only"),
        ("s3://AKIAKEY:hunter2@lab/a", "contains a key or a password"),
        ("arn:aws:s3:::lab", "not the ARN of an access point"),
        ("s3://arn:aws:s3-outposts:us-east-1:123456789012:x", "not the ARN of an access point"),
        (f"s3://{ARN}_01/x", "not the ARN of an access point"),
        (f"s3://lab/{JPG}/{V}/files/p10", f"Write s3://…/{JPG}/{V} there, and --shard p10"),
        (f"https://lab.s3.us-east-1.amazonaws.com/{JPG}/{V}/", f"Write --from s3://lab/{JPG}/{V}."),
        ("https://s3.amazonaws.com/lab/a", "Write --from s3://lab/a."),
        (
            f"https://{JPG}-v2-1-0-01-724665945834.s3-accesspoint.us-east-1.amazonaws.com/a",
            f"Write --from s3://{ARN}-01/a.",
        ),
        ("https://storage.googleapis.com/lab/a", "Write --from gs://lab/a."),
        (
            "https://console.cloud.google.com/storage/browser/lab/a",
            "Write --from gs://lab/a.",
        ),
        ("https://lab.s3.amazonaws.com/a?sig=SIGSECRET", "Another server than PhysioNet"),
        ("https://physionet.org/files", "PhysioNet is the source without --from"),
        ("https://alice:hunter2@example.org/x", "--base-url"),
        ("file:///mnt/mirror", "without file://"),
        ("azure://lab/x", "Write s3 or gcs"),
    ],
)
def test_what_is_said_of_a_word_that_means_none(word: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(word)
    message = f"{caught.value} {caught.value.next_step}"
    assert said in message
    assert not any(secret in message for secret in ("hunter2", "SIGSECRET", "AKIAKEY", "alice"))


@pytest.mark.parametrize(
    ("word", "advice"),
    [("aws", "s3"), ("S3:", "s3"), ("GS", "gcs"), ("google", "gcs"), ("site", "physionet")],
)
def test_what_may_be_meant_by_a_folder_that_is_not_there(word: str, advice: str) -> None:
    assert source_advice(word) == f"Did you mean --from {advice}?"
    assert source_advice("mirror") == ""
    assert source_advice("s3:lab/a") == "Did you mean --from s3://lab/a?"
    assert source_advice("GCS:lab") == "Did you mean --from gs://lab?"


@given(st.text(max_size=40))
def test_any_text_is_a_place_or_a_usage_error(word: str) -> None:
    with suppress(UsageError):
        place = parse_source(word)
        assert not isinstance(place, StoreAddress) or parse_source(str(place)) == place


@pytest.mark.parametrize(
    ("word", "dataset", "where"),
    [
        ("s3", JPG, f"s3://{ARN}-02/{JPG}/{V}/"),
        ("gcs", JPG, f"gs://{JPG}-{V}.physionet.org/"),
        (f"s3://{ARN}-01/{JPG}/{V}", JPG, f"s3://{ARN}-01/{JPG}/{V}/"),
        # The reports are in an access point of their own, with the user's number.
        (f"s3://{ARN}-07/{JPG}/{V}", DICOM,
         f"s3://{ARN.replace(JPG, DICOM)}-07/{DICOM}/{V}/"),
        (f"gs://{JPG}-{V}.physionet.org", JPG, f"gs://{JPG}-{V}.physionet.org/"),
        (f"gs://{JPG}-{V}.physionet.org", DICOM, f"gs://{DICOM}-{V}.physionet.org/"),
        ("s3://lab", JPG, f"s3://lab/{JPG}/{V}/"),
        ("s3://lab/a", JPG, f"s3://lab/a/{JPG}/{V}/"),
        (f"s3://lab/a/{JPG}/{V}", JPG, f"s3://lab/a/{JPG}/{V}/"),
        (f"s3://lab/a/{JPG}/{V}", DICOM, f"s3://lab/a/{DICOM}/{V}/"),
        ("gs://lab/a", JPG, f"gs://lab/a/{JPG}/{V}/"),
        (f"s3://{ALIAS}/{JPG}/{V}", JPG, f"s3://{ALIAS}/{JPG}/{V}/"),
    ],
)  # fmt: skip
def test_where_a_version_is(word: str, dataset: str, where: str) -> None:
    address = parse_source(word)
    assert isinstance(address, StoreAddress)
    place = place_of_version(address, dataset, V, 2, load_stores())
    assert str(place) == where
    assert not place.open


def test_an_open_bucket_needs_no_signature() -> None:
    address = StoreAddress(S3, "physionet-open", "mimic-iv-demo/2.2")
    assert place_of_version(address, "mimic-iv-demo", "2.2", 1, load_stores()).open


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("s3", None),
        ("s3://lab/a", None),
        ("s3://lab/a/b", None),
        (f"s3://lab/{JPG}/{V}", (JPG, V)),
        (f"gs://{JPG}-{V}.physionet.org", (JPG, V)),
        (f"gs://{JPG}-{V}.physionet.org/x", None),
    ],
)
def test_which_version_an_address_is_of(word: str, named: tuple[str, str] | None) -> None:
    address = parse_source(word)
    assert isinstance(address, StoreAddress)
    assert named_version(address, load_stores()) == named


@pytest.mark.parametrize(
    ("word", "refused"),
    [
        ("s3://lab/x", True),
        ("s3:/lab/x", True),
        ("gs:/lab", True),
        ("arn:aws:s3:::lab", True),
        ("https:/lab.s3.amazonaws.com/x", True),
        ("/mnt/s3", False),
        ("s3", False),
        ("https:/physionet.org/files", False),
    ],
)
def test_a_bucket_is_no_destination(word: str, refused: bool) -> None:
    error = bucket_as_destination(word)
    assert (error is not None) == refused
    if error is not None:
        assert "agreement forbids" in error.next_step
        assert "docs/cloud.md" in error.next_step
