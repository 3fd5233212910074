"""The permissions of a tree that a group reads: every form, and what is refused with what to write
instead."""

from pathlib import Path

import pytest

from cxrsync.config.job_file import read_job_file
from cxrsync.config.permissions import Permissions, parse_permissions
from cxrsync.errors import UsageError

FULL = Permissions(0o440, 0o2750, "cxr-jpg")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("files=0440,folders=2750,group=cxr-jpg", FULL),
        (" files = 440 , folders=02750,group=cxr-jpg", FULL),
        ("group=cxr-jpg", FULL),
        ({"group": "cxr-jpg"}, FULL),
        ({"files": "0640", "folders": "750", "group": "1234"}, Permissions(0o640, 0o750, "1234")),
        ("files=0600", Permissions(0o600, 0o700)),
        ("files=0400,folders=2700,group=x", Permissions(0o400, 0o2700, "x")),
        (FULL, FULL),
    ],
)
def test_what_is_read(value: object, expected: Permissions) -> None:
    found = parse_permissions(value)
    assert found == expected
    assert parse_permissions(str(found)) == parse_permissions(found.as_json()) == found


@pytest.mark.parametrize(
    ("value", "said", "step"),
    [
        ("", "neither text nor keys", "files=0440"),
        ({}, "neither text nor keys", "files=0440"),
        (["0440"], "neither text nor keys", "files=0440"),
        ("0440", "'0440' has no value", "files=0440"),
        ("group=a,group=b", "'group' is there twice", "files=0440"),
        ("grp=cxr", "there is no 'grp' in it", "files=0440"),
        ("files=0440", "names none", "group=NAME"),
        ("group=a b", "'a b' is not the name of a group", "group=NAME"),
        ({"group": ""}, "'' is not the name of a group", "group=NAME"),
        ({"group": ["x"]}, "group is not text", "group=NAME"),
        ({"group": 1000}, "group is a number", '"1000", in quotes'),
        # What 0440 is where no quotes are: in YAML 1.1 and in Python; and what people write.
        ({"files": 0o440, "group": "x"}, "files is a number", '"0440", in quotes'),
        ({"files": 440, "group": "x"}, "files is a number", '"0440", in quotes'),
        ({"folders": 2750, "group": "x"}, "folders is a number", '"2750", in quotes'),
        ({"folders": 0o2750, "group": "x"}, "folders is a number", '"2750", in quotes'),
        ({"files": 9, "group": "x"}, "files is a number", '"0440", in quotes'),
        ({"files": True, "group": "x"}, "bool is not a mode", "files=0440"),
        ({"files": "rw-r-----", "group": "x"}, "is not a mode in octal digits", "files=0440"),
        ({"files": "0o440", "group": "x"}, "is not a mode in octal digits", "files=0440"),
        ({"files": "0448", "group": "x"}, "is not a mode in octal digits", "files=0440"),
        ("files=0444,group=x", "0444 gives other users of the machine access", "0440"),
        ("folders=2755,group=x", "2755 gives other users of the machine access", "2750"),
        ("files=0660,group=x", "0660 lets the group write", "0640"),
        ("folders=2770,group=x", "2770 lets the group write", "2750"),
        ("files=0040,group=x", "files cannot be 0040", "0440"),
        ("files=0550,group=x", "files cannot be 0550", "0440"),
        ("files=4440,group=x", "files cannot be 4440", "0440"),
        ("folders=1750,group=x", "folders cannot be 1750", "2750"),
        ("folders=0550,group=x", "folders cannot be 0550", "2750"),
        ("folders=0700,group=x", "files 0440 and folders 0700 do not agree", "0600 and 0700"),
        ("files=0600,folders=2750,group=x", "do not agree", "0440 and 2750"),
    ],
)
def test_what_is_refused(value: object, said: str, step: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_permissions(value, "permissions")
    assert str(refused.value).startswith("permissions")
    assert said in str(refused.value)
    assert step in refused.value.next_step


def job_file(folder: Path, permissions: str) -> Path:
    file = folder / "jobs.yaml"
    file.write_text(
        'jobs: [{dataset: mimic-cxr-jpg, dataset_version: "2.1.0", '
        f"permissions: {permissions}}}]\n"
    )
    return file


def test_in_a_job_file(tmp_path: Path) -> None:
    """0440 without quotes is what it looks like here, unlike elsewhere in YAML 1.1."""
    for text in (
        '{files: "0440", folders: "2750", group: cxr-jpg}',
        '{files: 0440, folders: "2750", group: cxr-jpg}',
        "files=0440,folders=2750,group=cxr-jpg" and '"files=0440,folders=2750,group=cxr-jpg"',
    ):
        [job] = read_job_file(job_file(tmp_path, text), {}).jobs
        assert job.job.permissions == FULL


@pytest.mark.parametrize(
    ("text", "said", "step"),
    [
        ('{files: 440, folders: "2750", group: x}', "YAML reads 440 without quotes", '"440"'),
        ('{files: "0440", folders: 2750, group: x}', "YAML reads 2750 without", '"2750"'),
        ('{files: "0444", group: x}', "0444 gives other users", "0440"),
        ("{group: 1000}", "YAML reads 1000 without quotes", '"1000"'),
        ("{group: no}", "YAML reads no without quotes as true or false", '"no"'),
    ],
)
def test_a_place_and_the_quotes(tmp_path: Path, text: str, said: str, step: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_job_file(job_file(tmp_path, text), {})
    assert "line 1, column" in str(refused.value)
    assert "permissions" in str(refused.value)
    assert said in str(refused.value)
    assert step in refused.value.next_step
