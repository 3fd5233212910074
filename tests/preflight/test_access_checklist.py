"""What is missing first, inferred from answers of which all refusals are the same page."""

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from cxrsync.catalog.load import dataset_info, load
from cxrsync.config.job import SourceConfig
from cxrsync.errors import (
    AccessDenied,
    CredentialsRefused,
    ExitCode,
    FileDenied,
    Interrupted,
    NotFound,
    Throttled,
    Unreachable,
    Untrusted,
)
from cxrsync.preflight.access_checklist import Cause, cause_of, checklist, settled
from cxrsync.preflight.access_facts import (
    AccessFacts,
    DestinationFacts,
    SignIn,
    SiteWords,
    VersionReply,
    destination_facts,
)
from cxrsync.preflight.checklist import Mark
from cxrsync.preflight.cloud_sync import SyncedDrive
from cxrsync.preflight.destination import Mount
from cxrsync.sources.access_probe import Reply
from cxrsync.sources.credentials import Credentials
from cxrsync.sources.version_info import VersionInfo
from cxrsync.storage.disk_space import FreeSpace

OPENS, DENIED = Reply(206), Reply(403, AccessDenied("the server refuses access (403)"))
CHALLENGE = Reply(401, ahead=0.2)
ANN = Credentials("ann", "hush", "keyring")
JPG, DICOM = "mimic-cxr-jpg", "mimic-cxr"
CREDENTIALING = "https://physionet.org/settings/credentialing"
LARGE = FreeSpace(10**13, 10**8)
DISK = DestinationFacts(
    PurePosixPath("/data/x"),
    PurePosixPath("/data"),
    free=LARGE,
    mount=Mount(PurePosixPath("/data"), "ext4", "/dev/sdb1"),
)


def page(slug: str, version: str = "2.1.0") -> str:
    return f"https://physionet.org/content/{slug}/{version}/"


def asked(
    slug: str, reply: Reply | None, version: str = "2.1.0", *, signed_in: bool = True
) -> VersionReply:
    return VersionReply(dataset_info(slug), version, reply, signed_in, slug in load())


def facts(*versions: VersionReply, **more: Any) -> AccessFacts:
    """A user who is signed in, unless ``more`` says otherwise."""
    usual: dict[str, Any] = {
        "addresses": ("18.18.42.54",),
        "first": CHALLENGE,
        "sign_in": SignIn(ANN),
        "destination": DISK,
    }
    return AccessFacts("physionet.org", SourceConfig(), versions=versions, **{**usual, **more})


def agent_refused() -> AccessFacts:
    told = facts(
        *(asked(slug, DENIED, signed_in=False) for slug in (DICOM, JPG)), first=DENIED, sign_in=None
    )
    return replace(told, origin=SourceConfig(user_agent="Mozilla/5.0"))


unasked = [asked(slug, None, signed_in=False) for slug in (DICOM, JPG)]
REFUSED = CredentialsRefused("the server refuses the password of ann (from keyring)")
BY_PROXY = CredentialsRefused("asks for a password (407)", next_step="into the variable")
CASES: dict[str, tuple[AccessFacts, str, str, int]] = {
    # The facts; what is missing first; a part of what to do, with the page; the exit code.
    "no network": (
        facts(*unasked, lookup=Unreachable("cannot reach it"), first=None, sign_in=None),
        "network", "Check the network", 10,
    ),
    "nothing listens": (
        facts(*unasked, first=Reply(refusal=Unreachable("cannot reach it")), sign_in=None),
        "server", "Check the network", 10,
    ),
    "not trusted": (
        facts(*unasked, first=Reply(refusal=Untrusted("cannot trust it")), sign_in=None),
        "server", "Do not send a password", 10,
    ),
    "busy": (
        facts(*unasked, first=Reply(503, Throttled("later (503)")), sign_in=None),
        "server", "run the same command again", 10,
    ),
    "agent refused": (agent_refused(), "server", "leave out --user-agent", 4),
    "barred before any sign-in": (
        facts(asked(JPG, DENIED, signed_in=False), first=DENIED, sign_in=None),
        "server", page(JPG), 4,
    ),
    "a silent server": (
        facts(*unasked, first=Reply(refusal=Interrupted("no response for 60 s")), sign_in=None),
        "server", "run the same command again", 10,
    ),
    "a proxy that asks for a password": (
        facts(*unasked, proxy="the proxy p", first=Reply(refusal=BY_PROXY), sign_in=None),
        "server", "into the variable", 3,
    ),
    "no password": (
        facts(*unasked, sign_in=SignIn(None, CredentialsRefused("none were found"))),
        "sign-in", "https://physionet.org/register/", 3,
    ),
    "wrong password": (
        facts(*unasked, sign_in=SignIn(ANN, REFUSED)),
        "sign-in", "https://physionet.org/login/", 3,
    ),
    "deactivated": (
        facts(*unasked, sign_in=SignIn(ANN, REFUSED)),
        "sign-in", "A deactivated account is refused with the right password, too", 3,
    ),
    "no credentialing": (
        facts(asked(DICOM, DENIED), asked(JPG, DENIED), others=(asked(JPG, DENIED, "2.0.0"),)),
        f"{DICOM} 2.1.0", CREDENTIALING, 4,
    ),
    "no credentialing, one dataset": (
        facts(asked(JPG, DENIED), others=(asked(JPG, DENIED, "2.0.0"), asked(DICOM, DENIED))),
        f"{JPG} 2.1.0", CREDENTIALING, 4,
    ),
    "one agreement of two": (
        facts(asked(DICOM, OPENS), asked(JPG, DENIED)),
        f"{JPG} 2.1.0", f"{DICOM} 2.1.0 opens to you. Sign the data use agreement", 4,
    ),
    "the agreement of an older version": (
        facts(asked(JPG, DENIED), others=(asked(JPG, OPENS, "2.0.0"),)),
        f"{JPG} 2.1.0", f"{JPG} 2.0.0 opens to you", 4,
    ),
    "the agreement of the newest version only": (
        facts(asked(JPG, DENIED, "2.0.0"), others=(asked(JPG, OPENS),)),
        f"{JPG} 2.0.0", page(JPG, "2.0.0"), 4,
    ),
    "withdrawn": (
        facts(asked(JPG, DENIED), others=(asked(JPG, OPENS, "2.0.0"),)),
        f"{JPG} 2.1.0", "has withdrawn the files of this version", 4,
    ),
    "nothing to compare with": (
        facts(asked("unheard-of", DENIED, "1.0")),
        "unheard-of 1.0", "withdrawn: if all three are done", 4,
    ),
    "by law": (
        facts(asked(JPG, Reply(451, denied := AccessDenied("by law (451)")))),
        f"{JPG} 2.1.0", page(JPG), 4,
    ),
    "one path of many": (
        facts(asked(DICOM, OPENS), asked(JPG, Reply(refusal=FileDenied("for this file only")))),
        f"{JPG} 2.1.0", "Check in a browser", 4,
    ),
    "no such version": (
        facts(asked(JPG, Reply(404, NotFound("no such file (404)")), "9.9")),
        f"{JPG} 9.9", "Known versions: 2.0.0, 2.1.0", 2,
    ),
    "busy in between": (
        facts(asked(DICOM, OPENS), asked(JPG, Reply(502, Throttled("later (502)")))),
        f"{JPG} 2.1.0", "run the same command again", 10,
    ),
    "a full disk": (
        facts(asked(JPG, OPENS), destination=replace(DISK, free=FreeSpace(10**6, 10**6))),
        "destination", "--dest", 7,
    ),
    "no inodes": (
        facts(asked(JPG, OPENS), destination=replace(DISK, free=FreeSpace(10**12, 3))),
        "destination", "--dest", 7,
    ),
    "a folder of another's": (
        facts(asked(JPG, OPENS), destination=replace(DISK, writable=False)),
        "destination", "ask the owner of /data", 7,
    ),
    "read-only": (
        facts(asked(JPG, OPENS), destination=replace(DISK, read_only=True)),
        "destination", "--dest", 7,
    ),
    "a file": (
        facts(asked(JPG, OPENS), destination=replace(DISK, obstacle="/data is not a folder")),
        "destination", "--dest", 7,
    ),
    "a synced drive": (
        facts(asked(JPG, OPENS), destination=replace(DISK, synced=SyncedDrive("Dropbox", "x"))),
        "destination", "data use agreement", 7,
    ),
}  # fmt: skip
denied.status = 451


@pytest.mark.parametrize("name", CASES)
def test_what_is_missing_first(name: str) -> None:
    told, missing, step, code = CASES[name]
    done = checklist(told)
    first = done.first_missing
    assert first is not None
    assert first.name == missing
    assert step in f"{first.step} {first.page}"
    assert done.code == code


def test_all_well() -> None:
    done = checklist(facts(asked(DICOM, OPENS), asked(JPG, OPENS)))
    assert done.first_missing is None
    assert done.code == ExitCode.COMPLETE
    assert {each.mark for each in done.checks} == {Mark.OK}
    assert [each.name for each in done.checks] == [
        "network", "server", "sign-in", f"{DICOM} 2.1.0", f"{JPG} 2.1.0", "destination", "clock",
    ]  # fmt: skip


def test_a_clock_that_is_off_is_a_warning() -> None:
    for ahead, told in ((7200.0, "2 h behind"), (-7200.0, "2 h ahead of"), (86_400.0, "1 d")):
        done = checklist(facts(asked(JPG, OPENS), first=replace(CHALLENGE, ahead=ahead)))
        clock = done.checks[-1]
        assert clock.mark is Mark.WARNING
        assert told in clock.found
        assert "timedatectl" in clock.step
        assert done.code == 0


@pytest.mark.parametrize("ahead", [None, 0.0, 59.0, -59.0])
def test_a_clock_that_is_right(ahead: float | None) -> None:
    done = checklist(facts(asked(JPG, OPENS), first=replace(CHALLENGE, ahead=ahead)))
    assert done.checks[-1].mark is (Mark.SKIPPED if ahead is None else Mark.OK)


@pytest.mark.parametrize("free", [FreeSpace(10**12, 10**8), FreeSpace(10**13, 5_000)])
def test_a_disk_too_small_for_the_whole_is_a_warning(free: FreeSpace) -> None:
    about = {f"{DICOM} 2.1.0": 4_700_000_000_000, f"{JPG} 2.1.0": 558_000_000}
    done = checklist(
        facts(
            asked(DICOM, OPENS),
            asked(JPG, OPENS),
            destination=replace(DISK, free=free),
            site={name: SiteWords("2.1.0", VersionInfo(total)) for name, total in about.items()},
        )
    )
    [told] = [each for each in done.checks if each.name == "destination"]
    assert told.mark is Mark.WARNING
    assert f"{DICOM} 2.1.0 (4.70 TB)" in told.found
    assert JPG not in told.found
    assert "--split test" in told.step
    assert done.code == 0


def test_what_the_site_says() -> None:
    about = VersionInfo(558_000_000_000, "MIMIC-CXR-JPG", "10.13026/x", "Credentialed 1.5.0")
    site = {f"{JPG} 2.1.0": SiteWords("2.2.0", about), f"{DICOM} 2.1.0": SiteWords(silent="429")}
    done = checklist(facts(asked(DICOM, OPENS), asked(JPG, OPENS), site=site))
    said = {each.name: each.about for each in done.checks if each.about}
    assert said == {
        f"{DICOM} 2.1.0": "no details: 429",
        f"{JPG} 2.1.0": "the newest version is 2.2.0, 558.0 GB, doi:10.13026/x, Credentialed 1.5.0",
    }


@pytest.mark.parametrize(
    ("others", "cause"),
    [
        ([], Cause.ANY),
        ([asked(DICOM, DENIED)], Cause.ACCOUNT),
        ([asked(DICOM, DENIED), asked(JPG, OPENS, "2.0.0")], Cause.VERSION),
        ([asked(DICOM, Reply(404, NotFound("404")))], Cause.ANY),
        ([asked(DICOM, Reply(503, Throttled("503")))], Cause.ANY),
        # What is open to everybody, or may need no credentialing, proves nothing.
        ([asked("mimiciv", OPENS, signed_in=False)], Cause.ANY),
        ([asked("unheard-of", OPENS, "1.0")], Cause.ANY),
        ([asked("unheard-of", DENIED, "1.0")], Cause.ANY),
        ([asked("unheard-of", OPENS, "1.0"), asked(DICOM, DENIED)], Cause.ACCOUNT),
        # Itself.
        ([asked(JPG, DENIED)], Cause.ANY),
    ],
)
def test_the_cause_of_a_403(others: list[VersionReply], cause: Cause) -> None:
    assert cause_of(asked(JPG, DENIED), others) is cause


# ── facts about a destination ──────────────────────────────────────────────────────────────────


def test_a_destination_that_does_not_exist_yet(tmp_path: Path) -> None:
    found = destination_facts(tmp_path / "a" / "b")
    assert (found.place, found.folder) == (tmp_path / "a" / "b", tmp_path)
    assert found.writable
    assert not found.read_only
    assert found.free is not None
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        assert destination_facts(place).obstacle == f"{tmp_path / 'file'} is not a folder"


# ── while it is found out ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", CASES)
def test_what_is_shown_early_does_not_change(name: str) -> None:
    """The same marks and words, in the order of the whole list."""
    whole = CASES[name][0]
    site = {each.name: SiteWords("2.1.0") for each in whole.versions}
    whole = replace(whole, site=site if whole.first and whole.first.status else {})
    steps = [
        replace(whole, first=None, sign_in=None, versions=(), site={}, others=()),
        replace(whole, sign_in=None, site={}, others=()),
        replace(whole, site={}, others=()),
        replace(whole, others=()),
        whole,
    ]
    final = [(each.name, each.mark, each.found) for each in checklist(whole).checks]
    shown = 0
    for step in steps:
        early = [(e.name, e.mark, e.found) for e in settled(replace(step, destination=None))]
        assert early == final[: len(early)]
        assert len(early) >= shown
        shown = len(early)
    assert settled(whole) == checklist(whole).checks


def test_the_first_checks_are_shown_at_once() -> None:
    told = facts(asked(JPG, OPENS), destination=None)
    assert [each.name for each in settled(told)] == ["network", "server", "sign-in"]
    assert settled(replace(told, addresses=(), first=None, sign_in=None)) == ()
