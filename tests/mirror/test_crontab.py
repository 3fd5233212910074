from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from cxrsync.config.time_window import parse_window
from cxrsync.mirror.crontab import crontab_line, crontab_text, time_for
from cxrsync.mirror.setup import MirrorSetup

SETUP = MirrorSetup(
    ("/opt/my venv/bin/cxrsync",),
    Path("/etc/cxrsync/100%.yaml"),
    (Path("/srv/files"),),
    "mirror",
    physionet_user="alice",
    password_file=Path("/home/mirror/.physionet-password"),
)


def test_the_text() -> None:
    lines = [line for line in crontab_text(SETUP, "host").splitlines() if line[0] != "#"]
    assert lines[:2] == [
        'PHYSIONET_PASSWORD_FILE="/home/mirror/.physionet-password"',
        'PHYSIONET_USERNAME="alice"',
    ]
    minute, hour, *rest = lines[2].split(" ", 5)
    assert (int(hour), int(minute)) == time_for(SETUP, "host")
    assert rest[:3] == ["*", "*", "*"]
    assert rest[3] == "nice -n 10 '/opt/my venv/bin/cxrsync' mirror /etc/cxrsync/100\\%.yaml"


def test_the_shell_gets_the_words() -> None:
    command = crontab_line(SETUP, "host").split(" ", 5)[5].replace("\\%", "%")
    assert tuple(shlex.split(command)[3:]) == SETUP.arguments


def test_hosts_are_spread_and_stable() -> None:
    times = [time_for(SETUP, f"host-{number}") for number in range(2000)]
    assert times[:50] == [time_for(SETUP, f"host-{number}") for number in range(50)]
    assert {hour for hour, _minute in times} == {22, 23, 0, 4, 5}
    assert len(set(times)) > 290
    assert max(map(times.count, set(times))) < 25


def test_in_a_window() -> None:
    setup = replace(SETUP, window=parse_window("23:45-06:00"))
    for number in range(100):
        hour, minute = time_for(setup, f"host-{number}")
        assert 23 * 60 + 45 <= (hour * 60 + minute) + (1440 if hour == 0 else 0) < 1440 + 15
