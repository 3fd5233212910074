"""Infer from facts about a user's access what is missing first, and what to do about it. Pure.

PhysioNet answers the same page (403) for every step of its access process that is missing, and for
files that it has withdrawn. So the cause is inferred from what else opens:

1. Another version or dataset opens to the user: account, training and credentialing are in order.
   The agreement of this version is not signed, or its files are withdrawn.
2. Every version that was asked for is refused: credentialing or training is missing or expired.
3. Nothing to compare with: one of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum

from cxrsync.errors import AccessDenied, CxrsyncError, ExitCode, FileDenied, NotFound, Unreachable
from cxrsync.humanize import duration, size
from cxrsync.preflight.access_facts import AccessFacts, SiteWords, VersionReply
from cxrsync.preflight.checklist import Check, Checklist, Mark
from cxrsync.preflight.destination_check import check_destination
from cxrsync.sources.http.access import Asker, explain_denial

CREDENTIALING = "https://physionet.org/settings/credentialing"
TRAINING = "https://physionet.org/settings/training"
REGISTER = "https://physionet.org/register/"
LOGIN = "https://physionet.org/login/"
# Less says nothing: a Date has whole seconds, and the answer may have been under way for some.
_MAX_AHEAD_SECONDS = 60.0


class Cause(Enum):
    """Why a signed-in user gets 403, as far as the answers to other requests tell."""

    VERSION = "this version: its agreement, or its files are withdrawn"
    ACCOUNT = "the account: credentialing or training"
    ANY = "one of these"


def cause_of(denied: VersionReply, answered: Sequence[VersionReply]) -> Cause:
    """Return why ``denied`` is refused. ``answered``: all versions that were asked for.

    A version that opens without a sign-in, or of a dataset that may need no credentialing, proves
    nothing.
    """
    others = [each for each in answered if each.name != denied.name and each.listed]
    if any(each.opens and each.signed_in for each in others):
        return Cause.VERSION
    if any(each.is_denied for each in others):
        return Cause.ACCOUNT
    return Cause.ANY


def checklist(facts: AccessFacts) -> Checklist:
    """Return the checks in the order in which they were made."""
    return Checklist(tuple(_checks(facts)))


def settled(facts: AccessFacts) -> tuple[Check, ...]:
    """Return the first checks of the list, as far as nothing that is still asked can change what
    they found, for facts that are still being gathered."""
    if facts.destination is not None:
        return tuple(_checks(facts))
    done: list[Check] = []
    if facts.lookup is not None or facts.addresses or facts.proxy:
        done.append(_network(facts))
    if facts.first is not None:
        done.append(_server(facts))
    if facts.first is not None and facts.sign_in is not None:
        done.append(_sign_in(facts))
        asked = [each for each in facts.versions if each.name in facts.site]
        done += [_described_version(each, facts) for each in asked]
    return tuple(done)


def _checks(facts: AccessFacts) -> Iterator[Check]:
    yield _network(facts)
    yield _server(facts)
    yield _sign_in(facts)
    for each in facts.versions:
        yield _described_version(each, facts)
    if facts.destination is not None:
        sizes = {
            each.name: (each.dataset, site.about.total)
            for each in facts.versions
            if (site := facts.site.get(each.name)) and site.about and site.about.total
        }
        yield check_destination(facts.destination, sizes)
    yield _clock(facts)


def _failed(name: str, problem: CxrsyncError, page: str = "") -> Check:
    step = problem.next_step or Unreachable.next_step
    return Check(name, Mark.MISSING, str(problem), step, page, problem.exit_code)


def _network(facts: AccessFacts) -> Check:
    name = "network"
    if facts.lookup is not None:
        return _failed(name, facts.lookup)
    if facts.proxy:
        return Check(name, Mark.OK, f"{facts.host} is reached through {facts.proxy}")
    if facts.addresses == (facts.host,):
        return Check(name, Mark.OK, f"{facts.host} is an address")
    shown = ", ".join(facts.addresses[:2])
    return Check(name, Mark.OK, f"{facts.host} is {shown}")


def _server(facts: AccessFacts) -> Check:
    name, first = "server", facts.first
    if first is None:
        return Check(name, Mark.SKIPPED, "not asked")
    if first.status is None:
        assert first.refusal is not None
        return _failed(name, first.refusal)
    secure = "its certificate is trusted; " if facts.origin.base_url.startswith("https:") else ""
    if first.status == 401:
        return Check(name, Mark.OK, f"{secure}it asks for a user name and a password (401)")
    if isinstance(first.refusal, AccessDenied):
        asked = facts.versions[0]
        asker = Asker(None, facts.origin.user_agent, facts.host)
        denied = explain_denial(first.refusal, asker, asked.dataset, asked.version)
        page = asked.dataset.page(asked.version)
        return _failed(name, denied, page if page in denied.next_step else "")
    if first.refusal is not None and not isinstance(first.refusal, NotFound):
        return _failed(name, first.refusal)
    return Check(name, Mark.OK, f"{secure}it answers ({first.status})")


def _sign_in(facts: AccessFacts) -> Check:
    name, sign_in = "sign-in", facts.sign_in
    if sign_in is None:
        is_open = facts.first is not None and facts.first.opens
        return Check(name, Mark.SKIPPED, "not needed" if is_open else "not tried")
    used = sign_in.credentials
    about = "" if used is None else "; ".join(used.warnings)
    if used is None:
        assert sign_in.refused is not None
        failed = _failed(name, sign_in.refused, REGISTER)
        return replace(failed, step=f"{failed.step}\nWithout an account, register at {REGISTER}")
    if sign_in.refused is not None:
        return replace(_failed(name, sign_in.refused, LOGIN), about=about)
    found = f"{used.username} is signed in (password from {used.found_in})"
    return Check(name, Mark.OK, found, about=about)


def _described_version(asked: VersionReply, facts: AccessFacts) -> Check:
    return replace(_version(asked, facts), about=_about(asked, facts.site.get(asked.name)))


def _version(asked: VersionReply, facts: AccessFacts) -> Check:
    name, reply = asked.name, asked.reply
    if reply is None:
        return Check(name, Mark.SKIPPED, "not tried")
    if asked.is_denied and not asked.signed_in and facts.first and facts.first.status == 403:
        return Check(name, Mark.SKIPPED, "refused in the same way")
    if reply.opens:
        return Check(name, Mark.OK, "opens" if asked.signed_in else "opens to everybody")
    if reply.status == 401:
        return Check(name, Mark.SKIPPED, "not tried without a sign-in")
    assert reply.refusal is not None
    if isinstance(reply.refusal, NotFound):
        return _unknown(asked, facts.site.get(name))
    if isinstance(reply.refusal, AccessDenied) and not isinstance(reply.refusal, FileDenied):
        return _denied(asked, reply.refusal, facts)
    return _failed(name, reply.refusal)


def _about(asked: VersionReply, site: SiteWords | None) -> str:
    """Return what the site says of a version, in one line; "" if it was not asked."""
    if site is None:
        return ""
    parts = []
    if site.newest:
        is_newest = site.newest == asked.version
        parts.append("the newest version" if is_newest else f"the newest version is {site.newest}")
    if site.about is not None:
        if site.about.total:
            parts.append(size(site.about.total))
        parts += [f"doi:{site.about.doi}"] if site.about.doi else []
        parts += [site.about.license] if site.about.license else []
    return ", ".join(parts) or f"no details: {site.silent}" * bool(site.silent)


def _unknown(asked: VersionReply, site: SiteWords | None) -> Check:
    known = site.newest if site is not None and site.newest else ""
    versions = ", ".join(asked.dataset.versions)
    step = "Check name and version."
    if known:
        step = f"Its newest version is {known}."
    elif versions:
        step = f"Known versions: {versions}."
    what = "the server has no such version (404)"
    page = asked.dataset.agreement
    return Check(asked.name, Mark.MISSING, what, f"{step} See {page}", page, ExitCode.USAGE)


def _denied(asked: VersionReply, refusal: AccessDenied, facts: AccessFacts) -> Check:
    user = facts.sign_in.user if facts.sign_in is not None and asked.signed_in else None
    asker = Asker(user, facts.origin.user_agent, facts.host)
    denied = explain_denial(refusal, asker, asked.dataset, asked.version)
    page = asked.dataset.page(asked.version)
    if refusal.status != 403 or user is None:
        return _failed(asked.name, denied, page)
    answered = (*facts.versions, *facts.others)
    step = denied.next_step
    match cause_of(asked, answered):
        case Cause.VERSION:
            step = _sign_agreement(asked, answered)
        case Cause.ACCOUNT:
            step, page = _complete_account(facts.versions), CREDENTIALING
    return Check(asked.name, Mark.MISSING, "refused (403)", step, page, ExitCode.ACCESS)


def _sign_agreement(asked: VersionReply, answered: Sequence[VersionReply]) -> str:
    proof = [each.name for each in answered if each.opens and each.signed_in and each.listed]
    return (
        f"Your account, training and credentialing are in order: {proof[0]} opens to you. Sign the "
        f"data use agreement of {asked.name}, at the foot of {asked.dataset.page(asked.version)}\n"
        "Each version of each dataset has its own agreement. If the page shows that it is signed, "
        "the site has withdrawn the files of this version; the page says so."
    )


def _complete_account(versions: Sequence[VersionReply]) -> str:
    denied = [each for each in versions if each.is_denied]
    pages = "".join(f"\n     {each.dataset.page(each.version)}" for each in denied)
    return (
        "Nothing that was asked for opens to you, so a step that all of it needs is missing or "
        "has expired, most likely. In this order:\n"
        f"  1. credentialing: apply, or see how far it is (days to weeks): {CREDENTIALING}\n"
        "  2. training: upload the completion report of the CITI course 'Data or Specimens Only "
        f"Research', or renew it: {TRAINING}\n"
        "  3. agreement: sign that of each version that you want, at the foot of its page:" + pages
    )


def _clock(facts: AccessFacts) -> Check:
    name = "clock"
    ahead = None if facts.first is None else facts.first.ahead
    if ahead is None:
        return Check(name, Mark.SKIPPED, "the server has told no time")
    if abs(ahead) <= _MAX_AHEAD_SECONDS:
        return Check(name, Mark.OK, "this machine's clock agrees with the server's")
    which = "behind" if ahead > 0 else "ahead of"
    return Check(
        name,
        Mark.WARNING,
        f"this machine's clock is {duration(abs(ahead))} {which} the server's",
        "Set it (timedatectl set-ntp true, or ask the administrator): with a wrong clock "
        "certificates are refused, and the dates of runs and proofs are wrong.",
    )
