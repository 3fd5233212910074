"""Which files with a secret are accepted, and which are a mistake of the user's."""

import os
from pathlib import Path

import pytest

from cxrsync.config.secret_file import Exposure, Group, exposure, exposure_of
from cxrsync.errors import CredentialsRefused
from cxrsync.sources.password_file import check_exposure

PRIVATE, SHARED, OPEN = Exposure
US, ROOT = 1000, 0
OWN = Group("me", is_private=True, is_ours=True)
STAFF = Group("staff", is_ours=True)
OTHERS = Group("others")
OF_CONTAINER = Group(None, is_ours=True)


@pytest.mark.parametrize(
    ("mode", "owner", "group", "read_only", "seen"),
    [
        (0o600, US, STAFF, False, PRIVATE),
        (0o400, ROOT, STAFF, True, PRIVATE),
        (0o640, US, OWN, False, PRIVATE),  # each user has a group of the same name
        (0o660, US, OWN, False, PRIVATE),
        (0o640, US, STAFF, False, OPEN),
        (0o644, US, OWN, False, OPEN),
        (0o604, US, OWN, False, OPEN),
        (0o644, ROOT, OWN, False, OPEN),
        (0o640, ROOT, STAFF, False, SHARED),  # an administrator's, for a group of services
        (0o640, ROOT, OTHERS, False, OPEN),
        (0o640, US, OF_CONTAINER, False, SHARED),  # Kubernetes: fsGroup
        (0o444, ROOT, OTHERS, True, SHARED),  # Docker: /run/secrets
        (0o440, ROOT, STAFF, True, SHARED),
        (0o444, US, OWN, True, SHARED),
        (0o440, US, OWN, True, PRIVATE),
    ],
)
def test_who_can_read_a_file(
    mode: int, owner: int, group: Group, read_only: bool, seen: Exposure
) -> None:
    assert exposure(mode, owner, group, user=US, read_only=read_only) is seen


def test_a_file_of_our_own(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch()
    for mode, seen in ((0o600, PRIVATE), (0o604, OPEN)):
        file.chmod(mode)
        assert exposure_of(file) is seen


@pytest.mark.parametrize(
    ("mode", "said"), [(0o440, "the members of its group"), (0o444, "all users")]
)
def test_a_mounted_secret_is_accepted_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, said: str
) -> None:
    file = tmp_path / "secret"
    file.touch()
    file.chmod(mode)
    monkeypatch.setattr("cxrsync.config.secret_file._group", lambda _number: OTHERS)
    with pytest.raises(CredentialsRefused):
        check_exposure(file, "netrc")
    monkeypatch.setattr(
        "cxrsync.config.secret_file.is_on_read_only_mount", lambda _path: os.path.exists(_path)
    )
    [warning] = check_exposure(file, "netrc")
    assert said in warning
    assert str(file) in warning
