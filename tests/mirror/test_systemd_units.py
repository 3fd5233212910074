"""The units by systemd's own tools, where they are installed, and by their text."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from cxrsync.config.time_window import parse_window
from cxrsync.errors import UsageError
from cxrsync.mirror.setup import MirrorSetup, outermost
from cxrsync.mirror.systemd_units import service_lines, systemd_text, timer_lines

SETUP = MirrorSetup(
    ("/bin/true",),
    Path("/etc/cxrsync/nightly.yaml"),
    (Path("/srv/physionet.org/files"),),
    "daemon",
    writes=(Path("/var/log/cxrsync"),),
    physionet_user="alice",
)
IN_HOME = replace(
    SETUP,
    destinations=(Path('/home/al ice/100% "data"/files'),),
    writes=(Path("/srv/log"),),
    reads=(Path("/home/al ice/venv"),),
)

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed"
)


def install(setup: MirrorSetup, folder: Path) -> list[Path]:
    """Write the units as the printed awk command does."""
    text = systemd_text(setup).replace("/etc/systemd/system", str(folder))
    [command] = [line[2:].strip() for line in text.splitlines() if "sudo awk" in line]
    program = command.removeprefix("sudo awk '").removesuffix("'")
    program = program.replace("\\/etc\\/systemd\\/", str(folder).replace("/", "\\/"))
    subprocess.run(["awk", program], input=text, text=True, check=True)
    return sorted(folder.iterdir())


@needs_systemd
@pytest.mark.parametrize(
    "setup",
    [
        SETUP,
        IN_HOME,
        replace(IN_HOME, has_hooks=True),
        replace(SETUP, sets_permissions=True, window=parse_window("21:30-06:00")),
        replace(SETUP, destinations=(Path("/tmp/a:b;c#d"), Path("/srv/x$HOME"))),
    ],
)
def test_systemd_accepts_the_units(tmp_path: Path, setup: MirrorSetup) -> None:
    units = install(setup, tmp_path)
    assert [each.name for each in units] == ["cxrsync-nightly.service", "cxrsync-nightly.timer"]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", "--man=no", *map(str, units)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize(
    ("setup", "at_most"),
    [(SETUP, 2.0), (IN_HOME, 2.0), (replace(SETUP, sets_permissions=True), 2.5)],
)
def test_exposure(tmp_path: Path, setup: MirrorSetup, at_most: float) -> None:
    service, _timer = install(setup, tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(service)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    [line] = [line for line in done.stdout.splitlines() if "Overall exposure" in line]
    assert float(line.split(":")[1].split()[0]) <= at_most, done.stdout


def test_the_service() -> None:
    lines = list(service_lines(SETUP))
    for line in (
        "RequiresMountsFor=/srv/physionet.org/files",
        "ExecStart=/bin/true mirror /etc/cxrsync/nightly.yaml",
        "User=daemon",
        "LoadCredential=physionet:/etc/cxrsync/physionet-password",
        "Environment=PHYSIONET_PASSWORD_FILE=%d/physionet",
        "Environment=PHYSIONET_USERNAME=alice",
        "ProtectHome=yes",
        "ReadWritePaths=/srv/physionet.org/files /var/log/cxrsync",
        "RestrictSUIDSGID=yes",
        "PrivateTmp=yes",
    ):
        assert line in lines


def test_a_destination_in_a_home() -> None:
    lines = list(service_lines(IN_HOME))
    place = '"/home/al ice/100%% \\"data\\"/files"'
    for line in (
        "ProtectHome=tmpfs",
        f"BindPaths={place}",
        'BindReadOnlyPaths="/home/al ice/venv"',
        "ReadWritePaths=/srv/log",
    ):
        assert line in lines
    assert f"ReadWritePaths={place} /srv/log" in list(
        service_lines(replace(IN_HOME, has_hooks=True))
    )


def test_permissions_need_chown_and_the_setgid_bit() -> None:
    lines = list(service_lines(replace(SETUP, sets_permissions=True)))
    assert "RestrictSUIDSGID=yes" not in lines
    assert lines.index("SystemCallFilter=@chown") > lines.index("SystemCallFilter=~@privileged")


def test_the_timer() -> None:
    assert "OnCalendar=*-*-* 22:00:00" in list(timer_lines(SETUP))
    lines = list(timer_lines(replace(SETUP, window=parse_window("21:30-06:00"))))
    assert "OnCalendar=*-*-* 21:30:00" in lines
    assert {"RandomizedDelaySec=30min", "FixedRandomDelay=yes", "Persistent=yes"} <= set(lines)


@pytest.mark.parametrize(
    "changes",
    [
        {"user": "a\nb"},
        {"user": "-x"},
        {"job_file": Path("jobs.yaml")},
        {"destinations": (Path("/a\nExecStartPre=/bin/x"),)},
        {"command": ("cxrsync",)},
    ],
)
def test_what_no_unit_can_hold(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(SETUP, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("file", "name"),
    [("nightly.yaml", "cxrsync-nightly"), ("cxrsync.yml", "cxrsync"), ("a b@c", "cxrsync-a-b-c"),
     ("…", "cxrsync-mirror")],
)  # fmt: skip
def test_names(file: str, name: str) -> None:
    assert replace(SETUP, job_file=Path("/x") / file).name == name


def test_outermost() -> None:
    paths = tuple(map(Path, ("/a/b", "/c", "/a", "/c", "/ab")))
    assert outermost(paths) == (Path("/c"), Path("/a"), Path("/ab"))
