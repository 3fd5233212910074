"""403 and 451: each cause that docs/PHYSIONET.md has, with the page of the version."""

import pytest

from cxrsync.catalog.load import dataset_info
from cxrsync.errors import AccessDenied, ExitCode
from cxrsync.sources.http.access import Asker, explain_denial

WGET = "Wget/1.21 (compatible; cxrsync)"
PAGE = "https://physionet.org/content/mimic-cxr-jpg/2.0.0/"


@pytest.mark.parametrize(
    ("status", "user", "agent", "told", "untold"),
    [
        (
            403,
            "ann",
            WGET,
            [
                "ann is signed in",
                "mimic-cxr-jpg 2.0.0",
                PAGE,
                "each version",
                "settings/training",
                "settings/credentialing",
                "withdrawn",
                "region",
            ],
            ["user agent"],
        ),
        (403, None, "Mozilla/5.0", ["Mozilla/5.0", "Wget/", "libwfdb/"], ["training", PAGE]),
        (403, None, "wget/1.21", ["user agent", "wget/1.21"], ["training"]),
        # Before any sign-in, with an agent that is accepted: not the agent, not the user.
        (403, None, WGET, ["before it asks for a password", PAGE, "region"], ["training"]),
        (403, None, "libwfdb/10.7", ["before it asks for a password"], ["--user-agent"]),
        (451, "ann", WGET, ["(451)", "mimic-cxr-jpg 2.0.0", PAGE, "regions"], ["training"]),
        (451, None, WGET, ["(451)", PAGE, "regions"], ["user agent"]),
    ],
)
def test_the_causes_of_a_denial(
    status: int, user: str | None, agent: str, told: list[str], untold: list[str]
) -> None:
    asker = Asker(user, agent, "physionet.org")
    dataset = dataset_info("mimic-cxr-jpg")
    refused = AccessDenied(f"x ({status})")
    refused.status = status
    denied = explain_denial(refused, asker, dataset, "2.0.0")
    assert denied.status == status
    text = f"{denied} {denied.next_step}"
    assert [each for each in told if each not in text] == []
    assert [each for each in untold if each in text] == []
    assert denied.exit_code == ExitCode.ACCESS


@pytest.mark.parametrize("slug", ["mimic-cxr", "mimic-cxr-jpg", "mimiciv", "eicu-crd", "unknown"])
def test_the_page_of_a_version(slug: str) -> None:
    assert dataset_info(slug).page("3.1") == f"https://physionet.org/content/{slug}/3.1/"
