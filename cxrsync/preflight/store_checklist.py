"""Infer from facts about a store what is missing first, and what to do about it. Pure.

A store answers the same (403) for each step of PhysioNet's access process. So the cause is inferred
from who asks, and from what else opens: if another version opens to the caller, the account is
registered, and the agreement or the access of the refused version is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.config.store_address import Service
from cxrsync.errors import AccessDenied, CredentialsRefused, CxrsyncError, ExitCode
from cxrsync.preflight.access_facts import DestinationFacts
from cxrsync.preflight.checklist import Check, Checklist, Mark
from cxrsync.preflight.destination_check import check_destination
from cxrsync.sources.store.access import SETTINGS, AwsCaller, wrong_kind_of_caller


@dataclass(frozen=True, slots=True)
class StoreReply:
    """What the manifest of one version answered. ``refusal``: None if it opens.

    is_asked: False if it was not asked for, because the credentials were refused before.
    """

    dataset: DatasetInfo
    version: str
    place: str
    refusal: CxrsyncError | None = None
    is_asked: bool = True

    @property
    def name(self) -> str:
        """Dataset and version, as messages have them."""
        return f"{self.dataset.slug} {self.version}"

    @property
    def opens(self) -> bool:
        """Whether the store gives this version's files to the caller."""
        return self.is_asked and self.refusal is None


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """Everything that was found out about a store.

    found_in: where the credentials come from; "" if no request is signed. unusable: why there are
    none. caller: whose they are; None if it is not known. is_physionets: whether the store is
    PhysioNet's own copy.
    """

    service: Service
    address: str
    is_physionets: bool
    found_in: str = ""
    unusable: CxrsyncError | None = None
    caller: AwsCaller | None = None
    versions: tuple[StoreReply, ...] = ()
    destination: DestinationFacts | None = None


def store_checklist(facts: StoreFacts) -> Checklist:
    """Return the checks in the order in which they were made."""
    return Checklist(tuple(_checks(facts)))


def stores_checklist(stores: Sequence[StoreFacts]) -> Checklist:
    """Return the checks of several stores in order, each under the address of its store."""
    checks = [
        replace(each, name=f"{facts.address}: {each.name}")
        for facts in stores
        for each in _checks(replace(facts, destination=None))
    ]
    at_end = [each.destination for each in stores if each.destination is not None][:1]
    return Checklist((*checks, *(check_destination(each, {}) for each in at_end)))


def _checks(facts: StoreFacts) -> Iterator[Check]:
    yield _credentials(facts)
    if facts.caller is not None:
        yield _caller(facts, facts.caller)
    for each in facts.versions:
        yield _version(each, facts)
    if facts.destination is not None:
        yield check_destination(facts.destination, {})


def _failed(name: str, problem: CxrsyncError, page: str = "") -> Check:
    return Check(name, Mark.MISSING, str(problem), problem.next_step, page, problem.exit_code)


def _credentials(facts: StoreFacts) -> Check:
    name = "credentials"
    refused = facts.unusable or next(
        (each.refusal for each in facts.versions if isinstance(each.refusal, CredentialsRefused)),
        None,
    )
    if refused is not None:
        return _failed(name, refused)
    if not facts.found_in:
        return Check(name, Mark.SKIPPED, f"not needed: {facts.address} is open to everybody")
    return Check(name, Mark.OK, f"found in {facts.found_in}")


def _caller(facts: StoreFacts, caller: AwsCaller) -> Check:
    name = "caller"
    if caller.may_be_let_in or not facts.is_physionets:
        return Check(name, Mark.OK, f"{caller}")
    step, found = wrong_kind_of_caller(), f"{caller}, which PhysioNet does not let in"
    return Check(name, Mark.MISSING, found, step, SETTINGS, ExitCode.ACCESS)


def _version(asked: StoreReply, facts: StoreFacts) -> Check:
    if not asked.is_asked:
        return Check(asked.name, Mark.SKIPPED, "not tried")
    if asked.refusal is None:
        return Check(asked.name, Mark.OK, f"opens: {asked.place}")
    if isinstance(asked.refusal, CredentialsRefused):
        return Check(asked.name, Mark.SKIPPED, "not tried with other credentials")
    page = asked.dataset.page(asked.version)
    if not isinstance(asked.refusal, AccessDenied) or not facts.is_physionets:
        return _failed(asked.name, asked.refusal)
    if facts.caller is not None and not facts.caller.may_be_let_in:
        return Check(asked.name, Mark.MISSING, "refused (403)", "", SETTINGS, ExitCode.ACCESS)
    proof = _proof(asked, facts.versions)
    step = _steps_of_version(asked, facts.service, proof) if proof else asked.refusal.next_step
    return Check(asked.name, Mark.MISSING, "refused (403)", step, page, ExitCode.ACCESS)


def _proof(asked: StoreReply, versions: Sequence[StoreReply]) -> str:
    """Return another version that opens to the same caller; "" if none does."""
    return next((each.name for each in versions if each.opens and each.name != asked.name), "")


def _steps_of_version(asked: StoreReply, service: Service, proof: str) -> str:
    page = asked.dataset.page(asked.version)
    button = "press 'Enable AWS access' there"
    if service is Service.GCS:
        button = "ask for Google Cloud access there"
    return (
        f"Your account is registered: {proof} opens to it. Sign the data use agreement of "
        f"{asked.name}, and {button}: {page}"
    )
