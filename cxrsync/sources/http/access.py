"""Why a server refuses access (403, 451), as far as its answer tells, and what to do next. Pure.

PhysioNet answers 403 for every step of its access process that is missing, and for files that it
has withdrawn. docs/PHYSIONET.md has the causes, and how they were found.
"""

from __future__ import annotations

from dataclasses import dataclass

from cxrsync.catalog.dataset_info import DatasetInfo
from cxrsync.errors import AccessDenied

# PhysioNet's own condition for basic authentication.
_ACCEPTED_AGENTS = ("Wget/", "libwfdb/")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the user, if signed in; the user agent; the server's host."""

    user: str | None
    agent: str
    host: str | None


def explain_denial(
    refused: AccessDenied, asker: Asker, dataset: DatasetInfo, version: str
) -> AccessDenied:
    """Return the error for a 403 or 451: which of the causes are possible, and each one's step."""
    page = dataset.page(version)
    if refused.status != 403:
        barred = AccessDenied(
            f"{refused}: {dataset.slug} {version} at {asker.host}",
            next_step="The site, or a network in between, bars some countries or regions, or may "
            f"no longer publish these files. Open {page} to read why, or ask PhysioNet.",
        )
        barred.status = refused.status
        return barred
    if asker.user is not None:
        return _denied_user(asker.user, dataset, version)
    if not asker.agent.startswith(_ACCEPTED_AGENTS):
        return AccessDenied(
            f"{asker.host} refuses the user agent {asker.agent!r} (403)",
            next_step="PhysioNet lets programs sign in only if their user agent begins with "
            "'Wget/' or 'libwfdb/': leave out --user-agent.",
        )
    return AccessDenied(
        f"{asker.host} refuses access before it asks for a password (403)",
        next_step="It is not the user agent, and not your account. Something in front of the site "
        "(a firewall, a proxy), or the site itself, may bar your network or region: open "
        f"{page} in a browser on this network, and try another network.",
    )


def _denied_user(user: str, dataset: DatasetInfo, version: str) -> AccessDenied:
    """Return the error for a user who is signed in."""
    return AccessDenied(
        f"{user} is signed in, but has no access to {dataset.slug} {version} (403)",
        next_step="One step of PhysioNet's access process is missing or has expired, or the files "
        "are no longer given out:\n"
        "  agreement: sign the data use agreement of this version (each version has its own), at "
        f"the foot of {dataset.page(version)}\n"
        "  training: upload the CITI completion report, or renew it: "
        "https://physionet.org/settings/training\n"
        "  credentialing: apply, or see how far it is: "
        "https://physionet.org/settings/credentialing\n"
        "  withdrawn: if all three are done, the site may have withdrawn the files of this "
        f"version, or bars your region; its page says so: {dataset.page(version)}",
    )
