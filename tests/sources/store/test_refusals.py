"""The table of a store's refusals: status and code in, error and next step out."""

from datetime import UTC, datetime

import pytest

from cxrsync.config.store_address import Service, VersionPlace
from cxrsync.errors import (
    AccessDenied,
    CredentialsRefused,
    CxrsyncError,
    ExitCode,
    InvalidResponse,
    NotFound,
    NotServed,
    Throttled,
)
from cxrsync.sources.store.refusals import (
    Caller,
    NoSuchBucket,
    needs_renewal,
    other_region,
    read_refusal,
    store_error,
)

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
S3 = VersionPlace(Service.S3, "lab", "mimic-cxr-jpg/2.1.0/")
POINT = VersionPlace(Service.S3, "arn:aws:s3:us-east-1:724665945834:accesspoint/x-01", "x/1.0/")
ALIAS = VersionPlace(Service.S3, "x-abc-s3alias", "x/1.0/")
GCS = VersionPlace(Service.GCS, "mimic-cxr-2.1.0.physionet.org", "")
SECRETS = ("AKIAIOSFODNN7EXAMPLE", "SIGSECRET")


def body(code: str, more: str = "") -> bytes:
    return (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>AKIAIOSFODNN7EXAMPLE</Message>"
        f"{more}<SignatureProvided>SIGSECRET</SignatureProvided></Error>"
    ).encode()


@pytest.mark.parametrize(
    ("place", "status", "code", "error", "said"),
    [
        (S3, 403, "AccessDenied", AccessDenied, "refuses access to s3://lab/mimic-cxr-jpg/2.1.0/"),
        (S3, 403, "InvalidAccessKeyId", CredentialsRefused, "does not know the access key"),
        (S3, 403, "SignatureDoesNotMatch", CredentialsRefused, "the secret does not belong"),
        (S3, 400, "InvalidToken", CredentialsRefused, "aws sso login"),
        (S3, 400, "ExpiredToken", CredentialsRefused, "aws sso login"),
        (S3, 400, "AuthorizationHeaderMalformed", CredentialsRefused, "cannot read the signature"),
        (S3, 403, "RequestTimeTooSkewed", CredentialsRefused, "clock is 1 h behind the store's"),
        (S3, 404, "NoSuchKey", NotFound, "no such file"),
        (S3, 404, "", NotFound, "no such file (404 Not Found)"),
        (S3, 404, "NoSuchBucket", NoSuchBucket, "Check the bucket's name in --from"),
        (POINT, 404, "NoSuchAccessPoint", NoSuchBucket, "--access-point-number"),
        (ALIAS, 404, "NoSuchBucket", NoSuchBucket, "--access-point-number"),
        (GCS, 404, "NoSuchBucket", NoSuchBucket, "may have removed its copy"),
        (S3, 503, "SlowDown", Throttled, "503 SlowDown"),
        (S3, 500, "InternalError", Throttled, "try later"),
        (S3, 429, "", Throttled, "429 Too Many Requests"),
        (S3, 400, "RequestTimeout", NotServed, "will not give the file"),
        (S3, 301, "PermanentRedirect", NotServed, "AWS_REGION"),
        (S3, 204, "", InvalidResponse, "answers 204"),
        (GCS, 400, "UserProjectMissing", AccessDenied, "--requester-pays PROJECT"),
        (GCS, 403, "UserProjectAccountProblem", AccessDenied, "the project ours cannot pay"),
        (GCS, 401, "AuthenticationRequired", CredentialsRefused, "gcloud auth application-default"),
        (GCS, 403, "AccessDenied", AccessDenied, "Google Cloud refuses access"),
    ],
)
def test_what_a_refusal_means(
    place: VersionPlace, status: int, code: str, error: type[CxrsyncError], said: str
) -> None:
    headers = {"Date": "Thu, 26 Nov 2026 13:00:00 GMT", "Retry-After": "7"}
    refused = read_refusal(status, headers, body(code) if code else b"<html>no code</html>")
    found = store_error(refused, place, Caller("the environment", "ours"), headers, NOW)
    assert type(found) is error
    message = f"{found} {found.next_step}"
    assert said in message
    assert not any(secret in message for secret in SECRETS)
    if isinstance(found, CredentialsRefused):
        assert found.exit_code is ExitCode.CREDENTIALS
    if isinstance(found, Throttled):
        assert found.after == 7.0
        assert found.overloaded == (code != "InternalError")


@pytest.mark.parametrize(
    ("status", "headers", "content", "region"),
    [
        (301, {"x-amz-bucket-region": "eu-west-1"}, b"", "eu-west-1"),
        (307, {}, body("TemporaryRedirect", "<Endpoint>lab.s3-eu-west-1.amazonaws.com</Endpoint>"),
         "eu-west-1"),
        (400, {}, body("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"), "eu-west-1"),
        (301, {}, body("PermanentRedirect"), None),
        (301, {"x-amz-bucket-region": "us-east-1"}, b"", None),  # that is where we asked
        (301, {"x-amz-bucket-region": "evil.test/"}, b"", None),
        (301, {"Location": "https://evil.test/"}, b"", None),
        (403, {"x-amz-bucket-region": "eu-west-1"}, body("AccessDenied"), None),
    ],
)  # fmt: skip
def test_another_region(
    status: int, headers: dict[str, str], content: bytes, region: str | None
) -> None:
    assert other_region(read_refusal(status, headers, content), "us-east-1") == region


def test_when_other_credentials_may_help() -> None:
    assert needs_renewal(read_refusal(400, {}, body("ExpiredToken")), Service.S3)
    assert needs_renewal(read_refusal(401, {}, b""), Service.GCS)
    assert not needs_renewal(read_refusal(403, {}, body("AccessDenied")), Service.S3)
    assert not needs_renewal(read_refusal(401, {}, b""), Service.S3)


def test_the_size_of_an_object_that_ended_before_the_range() -> None:
    refused = read_refusal(416, {}, body("InvalidRange", "<ActualObjectSize>30</ActualObjectSize>"))
    assert refused.size == 30
