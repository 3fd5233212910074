"""Why a store refuses access, as far as it can be told, and what to do next. Pure.

PhysioNet lets in IAM users that it has verified, for versions whose agreement they have signed and
for which they have pressed a button; it lets in no role, no single sign-on and no root user. A
store answers the same (403) for each of these, and for a file that does not exist. docs/cloud.md
has the steps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.config.store_address import Service, VersionPlace
from cxrsync.errors import AccessDenied

SETTINGS = "https://physionet.org/settings/cloud/"
_ARN = re.compile(rb"<Arn>arn:aws[a-z-]*:(?:iam|sts)::[0-9]{12}:([^<\s]{1,512})</Arn>")


class CallerKind(Enum):
    """What AWS knows a caller as."""

    USER = "an IAM user"
    ROLE = "a role"
    SSO = "a role of single sign-on"
    ROOT = "the root user of an account"
    FEDERATED = "a federated user"


@dataclass(frozen=True, slots=True)
class AwsCaller:
    """Who the credentials are of. ``name``: without the account."""

    kind: CallerKind
    name: str = ""

    @property
    def may_be_let_in(self) -> bool:
        """Whether PhysioNet lets in callers of this kind."""
        return self.kind is CallerKind.USER

    def __str__(self) -> str:
        return f"{self.kind.value}{f' ({self.name})' if self.name else ''}"


def parse_caller(body: bytes) -> AwsCaller | None:
    """Return who an answer of GetCallerIdentity says the caller is; None if it does not say."""
    match = _ARN.search(body)
    if match is None:
        return None
    kind, _, rest = match[1].decode("ascii", "replace").partition("/")
    name = rest.split("/")[-1 if kind == "user" else 0]
    if kind == "assumed-role":
        is_sso = name.startswith("AWSReservedSSO_")
        return AwsCaller(CallerKind.SSO if is_sso else CallerKind.ROLE, name)
    kinds = {"user": CallerKind.USER, "root": CallerKind.ROOT}
    return AwsCaller(kinds.get(kind, CallerKind.FEDERATED), name)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, and by whom. ``is_physionets``: whether the store is PhysioNet's own
    copy. ``caller``: None if it is not known."""

    place: VersionPlace
    dataset: DatasetInfo
    version: str
    is_physionets: bool
    caller: AwsCaller | None = None


def explain_store_denial(refused: AccessDenied, asked: Asked) -> AccessDenied:
    """Return the error for a refusal, with the step to take. A next step of its own is kept."""
    if refused.next_step != AccessDenied.next_step:
        return refused
    what = str(refused)
    if not asked.is_physionets:
        step = (
            "Ask the bucket's owner for the right to read (s3:GetObject, or "
            "roles/storage.objectViewer), and check the address: without the right to list a "
            "bucket, a file that does not exist is refused, too."
        )
    elif asked.place.service is Service.GCS:
        step = google_steps(asked.dataset, asked.version)
    elif asked.caller is not None and not asked.caller.may_be_let_in:
        what = f"{what}: the caller is {asked.caller}"
        step = wrong_kind_of_caller()
    else:
        step = aws_steps(asked.dataset, asked.version)
    return AccessDenied(what, next_step=step)


def wrong_kind_of_caller() -> str:
    """Return what to do about a caller that PhysioNet does not let in."""
    return (
        "PhysioNet lets in IAM users only: no role, no single sign-on, no root user. Make an IAM "
        "user and a key for it (aws iam create-user, aws iam create-access-key), store the key "
        f"(aws configure --profile physionet), register the user at {SETTINGS}, and add "
        "--aws-profile physionet."
    )


def aws_steps(dataset: DatasetInfo, version: str) -> str:
    """Return the steps of which one is missing on AWS, in their order."""
    page = dataset.page(version)
    return (
        "One of these is missing:\n"
        f"  user: register the IAM user, and verify it: {SETTINGS}\n"
        f"  agreement: sign that of this version, at the foot of {page}\n"
        f"  access: press 'Enable AWS access' on the same page, after signing: {page}\n"
        "  policy: the IAM user's own policy must allow it (AmazonS3ReadOnlyAccess, or "
        "s3:GetObject on the access point)"
    )


def google_steps(dataset: DatasetInfo, version: str) -> str:
    """Return the steps of which one is missing on Google Cloud, in their order."""
    page = dataset.page(version)
    return (
        "One of these is missing:\n"
        f"  account: register the Google account whose credentials are used: {SETTINGS}\n"
        f"  agreement: sign that of this version, at the foot of {page}\n"
        f"  access: ask for Google Cloud access on the same page, after signing: {page}\n"
        "  login: the credentials must be of that account (gcloud auth application-default login)"
    )
