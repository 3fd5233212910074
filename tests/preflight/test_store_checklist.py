"""The table of what is missing on the way to a copy in the cloud: facts in, first cause out."""

from dataclasses import replace

import pytest

from cxrsync.catalog.load import dataset_info
from cxrsync.config.store_address import Service, VersionPlace
from cxrsync.errors import AccessDenied, CredentialsRefused, CxrsyncError, ExitCode
from cxrsync.preflight.checklist import Mark
from cxrsync.preflight.store_checklist import StoreFacts, StoreReply, store_checklist
from cxrsync.sources.store.access import (
    Asked,
    AwsCaller,
    CallerKind,
    explain_store_denial,
    parse_caller,
)
from cxrsync.sources.store.refusals import NoSuchBucket

JPG, DICOM, V = "mimic-cxr-jpg", "mimic-cxr", "2.1.0"
ALICE = AwsCaller(CallerKind.USER, "alice")
PAGE = f"https://physionet.org/content/{JPG}/{V}/"
SETTINGS = "https://physionet.org/settings/cloud/"


def denied(slug: str = JPG, caller: AwsCaller | None = ALICE) -> AccessDenied:
    place = VersionPlace(Service.S3, "x", f"{slug}/{V}/")
    asked = Asked(place, dataset_info(slug), V, is_physionets=True, caller=caller)
    return explain_store_denial(AccessDenied("S3 refuses access (403 AccessDenied)"), asked)


def reply(slug: str, refusal: CxrsyncError | None = None) -> StoreReply:
    return StoreReply(dataset_info(slug), V, f"s3://x/{slug}/{V}/", refusal)


FACTS = StoreFacts(Service.S3, "s3", True, "the environment", caller=ALICE)


def test_everything_opens() -> None:
    done = store_checklist(replace(FACTS, versions=(reply(JPG), reply(DICOM))))
    assert done.code is ExitCode.COMPLETE
    assert [each.mark for each in done.checks] == [Mark.OK] * 4
    assert done.checks[1].found == "an IAM user (alice)"


@pytest.mark.parametrize(
    ("facts", "missing", "said", "code"),
    [
        # No key, or a wrong one.
        ({"unusable": CredentialsRefused("no AWS credentials", next_step="aws configure")},
         "credentials", "aws configure", 3),
        ({"versions": (reply(JPG, CredentialsRefused("the secret is wrong", next_step="x")),)},
         "credentials", "the secret is wrong", 3),
        # A caller of a kind that PhysioNet does not let in, whatever else is missing.
        ({"caller": AwsCaller(CallerKind.ROLE, "ec2"), "versions": (reply(JPG, denied()),)},
         "caller", "a role (ec2), which PhysioNet does not let in", 4),
        ({"caller": AwsCaller(CallerKind.SSO, "x"), "versions": (reply(JPG, denied()),)},
         "caller", "aws iam create-user", 4),
        ({"caller": AwsCaller(CallerKind.ROOT), "versions": (reply(JPG, denied()),)},
         "caller", "the root user of an account", 4),
        # A user: one of four steps, unless another version opens.
        ({"versions": (reply(JPG, denied()),)}, f"{JPG} {V}", "policy: the IAM user's own", 4),
        ({"versions": (reply(DICOM), reply(JPG, denied()))}, f"{JPG} {V}",
         f"{DICOM} {V} opens to it. Sign the data use agreement of {JPG} {V}, and press", 4),
        ({"versions": (reply(DICOM), reply(JPG, denied())), "service": Service.GCS},
         f"{JPG} {V}", "ask for Google Cloud access there", 4),
        ({"versions": (reply(JPG, NoSuchBucket("no such bucket", next_step="number")),)},
         f"{JPG} {V}", "number", 2),
        # A bucket that is not PhysioNet's has other rules.
        ({"is_physionets": False, "caller": AwsCaller(CallerKind.ROLE, "ec2"),
          "versions": (reply(JPG, AccessDenied("refused", next_step="ask the owner")),)},
         f"{JPG} {V}", "ask the owner", 4),
    ],
)  # fmt: skip
def test_what_is_missing_first(
    facts: dict[str, object], missing: str, said: str, code: int
) -> None:
    done = store_checklist(replace(FACTS, **facts))  # type: ignore[arg-type]
    first = done.first_missing
    assert first is not None
    assert first.name == missing
    assert said in f"{first.found} {first.step}"
    assert done.code == code


@pytest.mark.parametrize(
    ("arn", "caller"),
    [
        ("arn:aws:iam::123456789012:user/alice", ALICE),
        ("arn:aws:iam::123456789012:user/team/lab/alice", ALICE),
        ("arn:aws-cn:iam::123456789012:user/alice", ALICE),
        ("arn:aws:iam::123456789012:root", AwsCaller(CallerKind.ROOT)),
        ("arn:aws:sts::123456789012:assumed-role/ec2/i-0123", AwsCaller(CallerKind.ROLE, "ec2")),
        (
            "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_0123/alice",
            AwsCaller(CallerKind.SSO, "AWSReservedSSO_Admin_0123"),
        ),
        (
            "arn:aws:sts::123456789012:federated-user/bob",
            AwsCaller(CallerKind.FEDERATED, "bob"),
        ),
        ("nobody", None),
    ],
)
def test_whose_the_credentials_are(arn: str, caller: AwsCaller | None) -> None:
    body = f"<GetCallerIdentityResult><Arn>{arn}</Arn></GetCallerIdentityResult>"
    assert parse_caller(body.encode()) == caller


@pytest.mark.parametrize(
    ("service", "physionets", "caller", "said"),
    [
        (Service.S3, True, None, f"user: register the IAM user, and verify it: {SETTINGS}"),
        (Service.S3, True, ALICE, f"'Enable AWS access' on the same page, after signing: {PAGE}"),
        (Service.S3, True, AwsCaller(CallerKind.ROLE, "ec2"), "the caller is a role (ec2)"),
        (Service.GCS, True, None, f"account whose credentials are used: {SETTINGS}"),
        (Service.S3, False, None, "Ask the bucket's owner"),
        (Service.GCS, False, None, "Ask the bucket's owner"),
    ],
)  # fmt: skip
def test_a_first_refusal_is_explained(
    service: Service, physionets: bool, caller: AwsCaller | None, said: str
) -> None:
    place = VersionPlace(service, "x", "")
    asked = Asked(place, dataset_info(JPG), V, physionets, caller)
    explained = explain_store_denial(AccessDenied("refused"), asked)
    assert said in f"{explained} {explained.next_step}"
    assert explained.exit_code is ExitCode.ACCESS
    own = AccessDenied("who pays?", next_step="--requester-pays")
    assert explain_store_denial(own, asked) is own
