"""Messages of the command line, as a Python program gets them."""

import pytest

from cxrsync.config.python_words import in_python, keyword


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("--retries '3' is not a whole number", "retries='3' is not a whole number"),
        ("--dest 3 is not a path", "dest=3 is not a path"),
        ("--subject nan is not an id", "subject=nan is not an id"),
        ("--subject (DataFrame) is not an id", "subject= (DataFrame) is not an id"),
        ("--force 'no' is not true or false", "force='no' is not true or false"),
        ("--force 1 is not true", "force=1 is not true"),
        ("--dest is not a folder", "dest= is not a folder"),
        ("--dest /a b is not there", 'dest="/a" b is not there'),
        ("--shard is empty", "shard= is empty"),
        (
            "Add --jpg (MIMIC-CXR-JPG), --dicom (MIMIC-CXR) or --dataset SLUG.",
            'Add jpg=True (MIMIC-CXR-JPG), dicom=True (MIMIC-CXR) or dataset="SLUG".',
        ),
        ("It is a shard: write --shard p10.", 'It is a shard: write shard="p10".'),
        ("Wait (--wait-lock 10m), or", 'Wait (wait_lock="10m"), or'),
        ("of silence: --wait-lock 400.", "of silence: wait_lock=400."),
        ("Leave --only out, or add --only images.", 'Leave only= out, or add only="images".'),
        ('Write --label "Pneumonia=1" (present)', 'Write label="Pneumonia=1" (present)'),
        ("choose another --dest, or", "choose another dest=, or"),
        ("--force starts anyway", "force=True starts anyway"),
        ("--base-url contains a user name", "base_url= contains a user name"),
        ("Use --user, and PHYSIONET_PASSWORD", "Use user=, and PHYSIONET_PASSWORD"),
        ("Copy with --from /mnt/a b", 'Copy with from_dir="/mnt/a" b'),
        ("Use --from gcs.", 'Use from_dir="gcs".'),
        ("--from and --dest are one folder", "from_dir= and dest= are one folder"),
        ("write --dataset mimic-cxr-jpg --dest /d.", 'write dataset="mimic-cxr-jpg" dest="/d".'),
        ("--dry-run tells it", "cxrsync.dry_run() tells it"),
        ("Add --all.", "Add all=True."),
        ("Run the same command again.", "Make the same call again."),
        ("then run the same command again: it", "then make the same call again: it"),
        ("Run `cxrsync pull` first", "Run `cxrsync.pull()` first"),
        # What is typed in a terminal stays.
        ("Run `cxrsync login --netrc` on", "Run `cxrsync login --netrc` on"),
        ("`cxrsync pull … --only docs` fetches", "`cxrsync pull … --only docs` fetches"),
        ("wget --cut-dirs=1 --no-index", "wget --cut-dirs=1 --no-index"),
        ("/data/--dest/x", "/data/--dest/x"),
        ("no option in it", "no option in it"),
    ],
)
def test_in_python(said: str, expected: str) -> None:
    assert in_python(said) == expected
    assert in_python(expected) == expected


def test_keyword() -> None:
    assert (keyword("shard"), keyword("jpg")) == ("shard=", "jpg=True")
