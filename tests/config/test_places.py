"""Names and addresses that users paste: which dataset, version and path they mean."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.api import calls
from cxrsync.catalog.load import load
from cxrsync.cli.every_tree import job_or_trees
from cxrsync.cli.options import job_of_tree
from cxrsync.config.job import Job
from cxrsync.config.parse_job import make_job
from cxrsync.config.parse_place import version_as_option
from cxrsync.config.places import Place, parse_place, parse_version
from cxrsync.dataset.tree_identity import claim_tree
from cxrsync.errors import ExitCode, UsageError
from cxrsync.storage.tree import Tree

many = settings(max_examples=examples(200))

JPG, DICOM = "mimic-cxr-jpg", "mimic-cxr"
IMAGE = "files/p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg"
SITE = "https://physionet.org"
OWN = "https://localhost:8443/mirror/files"


def place(word: str, base_url: str = f"{SITE}/files") -> Place:
    return parse_place(word, "the argument", base_url, load())


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (JPG, Place(JPG)),
        ("MIMIC-CXR-JPG", Place(JPG)),
        ("mimic_cxr_jpg", Place(JPG)),
        ("MIMIC-CXR", Place(DICOM)),
        ("MIMIC-CXR Database", Place(DICOM)),
        ("MIMIC-CXR-JPG - chest radiographs with structured labels", Place(JPG)),
        ("jpg", Place(JPG)),
        ("dicom", Place(DICOM)),
        ("MIMIC-IV", Place("mimiciv")),
        ("mimic-iii", Place("mimiciii")),
        ("novel", Place("novel")),
        (f"{JPG}/", Place(JPG)),
        (f"{JPG}/2.1.0", Place(JPG, "2.1.0")),
        (f"{JPG}/v2.1.0/", Place(JPG, "2.1.0")),
        (f"{JPG}/latest", Place(JPG, "latest")),
        (f"{JPG}-2.1.0", Place(JPG, "2.1.0")),
        (f"{JPG}==2.1.0", Place(JPG, "2.1.0")),
        (f"{JPG}@v2.1.0", Place(JPG, "2.1.0")),
        ("mimiciv-3.1", Place("mimiciv", "3.1")),
        ("novel-2.1.0", Place("novel-2.1.0")),
        (f"{JPG}/2.1.0/{IMAGE}", Place(JPG, "2.1.0", IMAGE)),
        ("files/p10/", Place("", None, "files/p10")),
        ("./files/p10/p10000032", Place("", None, "files/p10/p10000032")),
        ("files\\p10\\", Place("", None, "files/p10")),
        (f"{SITE}/content/{JPG}/2.1.0/", Place(JPG, "2.1.0")),
        (f"{SITE}/content/{JPG}/", Place(JPG)),
        (f"{SITE}/content/{JPG}", Place(JPG)),
        (f"http://www.physionet.org/content/{JPG}/2.1.0", Place(JPG, "2.1.0")),
        (f"{SITE}/content/{JPG}/2.1.0/#files", Place(JPG, "2.1.0")),
        (
            f"{SITE}/content/{DICOM}/2.1.0/files/p10/#files-panel",
            Place(DICOM, "2.1.0", "files/p10"),
        ),
        (f"{SITE}/content/{JPG}/view-dua/2.1.0/", Place(JPG, "2.1.0")),
        (f"{SITE}/content/{JPG}/get-zip/2.1.0/", Place(JPG, "2.1.0")),
        (f"{SITE}/sign-dua/{JPG}/2.1.0/", Place(JPG, "2.1.0")),
        (f"{SITE}/api/v1/project/published/{JPG}/2.1.0/", Place(JPG, "2.1.0")),
        (f"{SITE}/static/published-projects/{JPG}/x-2.1.0.zip", Place(JPG)),
        (f"{SITE}/files/{JPG}/2.1.0/", Place(JPG, "2.1.0")),
        (f"{SITE}/files/{JPG}/2.1.0/index.html", Place(JPG, "2.1.0")),
        (f"{SITE}/files/{JPG}/2.1.0/{IMAGE}", Place(JPG, "2.1.0", IMAGE)),
        (f"{SITE}/files/{JPG}/2.1.0/{IMAGE}?download", Place(JPG, "2.1.0", IMAGE)),
        (f"{SITE}:443/files/{JPG}/2.1.0/a%20b.csv", Place(JPG, "2.1.0", "a b.csv")),
        (f" {SITE}/files/novel/1.0/x/y/ ", Place("novel", "1.0", "x/y")),
        (f"physionet.org/files/{JPG}/2.1.0/files/p10/", Place(JPG, "2.1.0", "files/p10")),
        (f"PhysioNet.org/content/{JPG}/", Place(JPG)),
    ],
)
def test_what_is_meant(word: str, expected: Place) -> None:
    assert place(word) == expected


def test_another_server() -> None:
    assert place(f"{OWN}/{JPG}/2.1.0/{IMAGE}", OWN) == Place(JPG, "2.1.0", IMAGE)
    assert place(f"{OWN}/{JPG}/2.1.0/", f"{OWN}") == Place(JPG, "2.1.0")
    assert place(f"{SITE}/content/{JPG}/2.1.0/", OWN) == Place(JPG, "2.1.0")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (f"{SITE}/", "this address names no dataset"),
        (f"{SITE}/settings/training/", "this address names no dataset"),
        (f"{SITE}/content/", "this address names no dataset"),
        (f"https://example.org/files/{JPG}/2.1.0/", "is no address of physionet.org"),
        (f"https://physionet.org.example.org/files/{JPG}/", "is no address of physionet.org"),
        (f"https://notphysionet.org/files/{JPG}/", "is no address of physionet.org"),
        (f"s3://{JPG}-2.1.0/", "is no address of physionet.org"),
        (f"file:///data/{JPG}/2.1.0/", "is no address of physionet.org"),
        ("https://[physionet.org/", "this is not a valid address"),
        ("https://physionet.org:x/", "this is not a valid address"),
        (f"https://me:s3cret@physionet.org/files/{JPG}/", "contains a user name or a password"),
        (f"{SITE}/files/{JPG}/2.1.0/../../x", "this cannot be the path of a file"),
        (f"{SITE}/files/{JPG}/2.1.0/a%0Ab", "this cannot be the path of a file"),
        (f"{SITE}/files/{JPG}/2.1.0/a//b", "this cannot be the path of a file"),
        ("a/b", "'b' is not a version of a"),
        (f"{JPG}/files/p10", "'files' is not a version of mimic-cxr-jpg"),
    ],
)
def test_what_is_refused(word: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        place(word)
    assert caught.value.exit_code is ExitCode.USAGE
    assert said in str(caught.value)
    assert "s3cret" not in f"{caught.value} {caught.value.next_step}"


@pytest.mark.parametrize(
    ("word", "version"),
    [
        *(("2.1.0", "2.1.0"), ("v2.1.0", "2.1.0"), ("V2.1.0", "2.1.0"), ("2.1.0/", "2.1.0")),
        *(("LATEST", "latest"), ("3.0.0-beta.1", "3.0.0-beta.1"), ("1", "1"), ("a b", "a b")),
    ],
)
def test_versions(word: str, version: str) -> None:
    assert parse_version(word) == version


@many
@given(
    st.lists(st.sampled_from([*"/:@.?#%[]\\ v21", "https://", "physionet.org", "files", JPG])).map(
        "".join
    )
)
def test_no_text_makes_it_raise_anything_else(word: str) -> None:
    try:
        found = place(word)
    except UsageError:
        return
    assert not found.path.startswith("/")
    assert ".." not in found.path.split("/")


# ── as options and arguments of a job ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("places", "options", "dataset", "version", "paths"),
    [
        ([JPG], {}, JPG, None, ()),
        ([], {"dataset": f"{SITE}/content/{JPG}/2.0.0/"}, JPG, "2.0.0", ()),
        ([], {"dataset": "MIMIC-CXR-JPG/2.0.0"}, JPG, "2.0.0", ()),
        ([], {"dataset": JPG, "dataset_version": "v2.1.0"}, JPG, "2.1.0", ()),
        ([], {"dataset": JPG, "dataset_version": "Latest"}, JPG, "latest", ()),
        ([f"{JPG}/2.1.0"], {"jpg": True, "dataset_version": "2.1.0"}, JPG, "2.1.0", ()),
        ([f"{SITE}/files/{JPG}/2.1.0/{IMAGE}"], {}, JPG, "2.1.0", (IMAGE,)),
        ([f"{SITE}/files/{JPG}/2.1.0/files/p10/", f"{SITE}/files/{JPG}/2.1.0/README"], {}, JPG,
         "2.1.0", ("files/p10", "README")),
        (["files/p10/", "README"], {"jpg": True}, JPG, None, ("files/p10", "README")),
        (["mimic-cxr-2.0.0-split.csv.gz"], {"jpg": True}, JPG, None,
         ("mimic-cxr-2.0.0-split.csv.gz",)),
        ([JPG, "README"], {}, JPG, None, ("README",)),
        ([JPG, "v2.1.0"], {}, JPG, "2.1.0", ()),
        (["latest"], {"jpg": True}, JPG, "latest", ()),
        (["physionet.org/content/novel/1.0/"], {}, "novel", "1.0", ()),
    ],
)  # fmt: skip
def test_a_job(
    places: list[str],
    options: dict[str, Any],
    dataset: str,
    version: str | None,
    paths: tuple[str, ...],
) -> None:
    job = make_job(options, places)
    assert (job.dataset, job.version, job.selection.paths) == (dataset, version, paths)
    assert job.named_version == (None if version == "latest" else version)


@pytest.mark.parametrize(
    ("places", "options", "said"),
    [
        ([JPG, DICOM], {}, "more than one dataset: mimic-cxr-jpg, mimic-cxr"),
        ([f"{SITE}/content/{DICOM}/2.1.0/"], {"jpg": True}, "more than one dataset"),
        ([f"{JPG}/2.0.0"], {"dataset_version": "2.1.0"}, "more than one version: 2.0.0, 2.1.0"),
        (["files/p10"], {}, "no dataset that has files/p10 is named Add --jpg"),
        (
            ["1"],
            {"jpg": True, "label": ["Pneumonia"]},
            "two words Write the label",
        ),
        (["=", "1"], {"jpg": True, "label": ["Pneumonia"]}, 'in quotes: --label "Pneumonia=1".'),
        (["Finding=1"], {"jpg": True, "label": ["No"]}, 'in quotes: --label "No Finding=1".'),
        (["1"], {"jpg": True, "label": ["Pneumonia=1"]}, "--limit 1 selects the first 1"),
        (
            ["/data/cxr"],
            {},
            "'/data/cxr' is not the name of a dataset It is a path",
        ),
        (
            ["/nonexist"],
            {},
            "--dest /nonexist names the destination, --from /nonexist a source.",
        ),
        (["./cxr"], {"jpg": True}, "'./cxr' is not the name"),
        (["../cxr"], {}, "'../cxr' is not the name"),
        (["~/cxr"], {}, "'~/cxr' is not the name"),
        (["."], {"jpg": True}, "'.' is not the name"),
        (["p10"], {"jpg": True}, "'p10' is not the name of a dataset It is a shard: write --shard"),
        (["p10000032"], {}, "It is the id of a subject: write --subject p10000032."),
        (["s50414267"], {"jpg": True}, "It is the id of a study: write --study s50414267."),
        ([" "], {"jpg": True}, "an argument is empty Is a variable of your script unset?"),
        ([7], {}, "(int) is not the name of a dataset Write text, in quotes"),
        ([JPG, "2.0.0"], {"dataset_version": "2.1.0"}, "more than one version: 2.0.0, 2.1.0"),
        (["2.1.0"], {}, "2.1.0 is a version, and no dataset is named Write mimic-cxr-jpg/2.1.0"),
        (
            [],
            {"dest": f"/data/{JPG}/2.1.0"},
            "no dataset is named DEST is in a folder called mimic-cxr-jpg: add --jpg.",
        ),
        ([], {"dest": f"/data/{JPG}"}, "DEST is in a folder called mimic-cxr-jpg: add --jpg."),
        ([], {"dest": "/data/mimiciv/3.1/files"}, "no dataset is named Add --jpg"),
        (["2.2"], {"dest": "/data/mimiciv"}, "called mimiciv: add --dataset mimiciv."),
        (["jobs.yaml"], {}, "A file of jobs is run by `cxrsync mirror jobs.yaml`."),
        (["/tmp"], {}, "It is a folder: --dest /tmp names the destination, --from /tmp a source."),
        ([f"{SITE}/files/{JPG}/2.1.0/SHA256SUMS.txt"], {}, "txt is the manifest itself"),
        (
            [],
            {"dataset": "https://example.org/x/"},
            "--dataset 'https://example.org/x/' is no ",
        ),
        ([], {"dataset": "https://a:s3cret@physionet.org/"}, "--dataset contains a user name"),
    ],
)
def test_a_job_that_is_refused(places: list[str], options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_job(options, places)
    assert said in f"{caught.value} {caught.value.next_step}"


SECRETS = ["hunter2", "alice", "SIGSECRET"]


@pytest.mark.parametrize(
    "option", ["place", "dataset", "include", "study", "base_url", "from_dir", "dest"]
)
@pytest.mark.parametrize(
    "word",
    [
        "https://alice:hunter2@physionet.org/files/x/1.0/a",
        "https://alice:hun/ter2/hunter2@physionet.org/files/x/1.0/a",
        "https://alice@example.org/files/x?sig=SIGSECRET",
        "https://example.org/x?X-Amz-Signature=SIGSECRET#SIGSECRET",
        "s3://alice:hunter2@bucket/x?sig=SIGSECRET",
        "alice:hunter2@physionet.org/files/x/1.0/a",
    ],
)
def test_no_message_shows_a_secret_of_a_pasted_address(option: str, word: str) -> None:
    """Messages are pasted into public issues."""
    value: Any = Path(word) if option in {"from_dir", "dest"} else word
    options = {"jpg": True} if option in {"place", "dataset"} else {"jpg": True, option: value}
    options = {"dataset": value} if option == "dataset" else options
    if option in {"include", "dest"} and word.startswith("alice:"):
        return  # it may be a glob, or a folder
    with pytest.raises(UsageError) as caught:
        make_job(options, [word] if option == "place" else [])
    said = f"{caught.value} {caught.value.next_step}"
    assert [secret for secret in SECRETS if secret in said] == []
    assert caught.value.next_step or "no such folder" in said


def test_an_address_after_from_is_told_apart_from_a_folder() -> None:
    with pytest.raises(UsageError, match="it is an address, not a folder") as caught:
        make_job({"jpg": True, "from_dir": Path("https://physionet.org/files")})
    assert "--base-url" in caught.value.next_step


@pytest.mark.parametrize("options", [{}, {"jpg": True}])
def test_a_number_is_no_dataset_and_no_path(options: dict[str, Any]) -> None:
    """-n is the number of rows in other programs, and the dry run here."""
    with pytest.raises(UsageError, match="'10' is not the name of a dataset") as caught:
        make_job(options, ["10"])
    assert "--limit 10" in caught.value.next_step
    assert "-n is --dry-run" in caught.value.next_step


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("p10", "It is a shard, and this command is about whole datasets"),
        ("s50414267", "It is the id of a study, and"),
        ("5", "It is a number, and"),
    ],
)
def test_a_command_without_a_selection_advises_none(word: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        make_job({}, [word], has_selection=False)
    assert raised.value.next_step.startswith(said)


@pytest.mark.parametrize(
    ("options", "words", "version", "rest"),
    [
        ({}, ["2.1.0"], "2.1.0", []),
        ({}, ["v2.1.0/", "files/p10"], "2.1.0", ["files/p10"]),
        ({"shard": ["p10"]}, ["2.1.0"], "2.1.0", []),
        ({"jpg": True}, ["2.1.0"], None, ["2.1.0"]),
        ({"dataset": "mimiciv"}, ["2.1.0"], None, ["2.1.0"]),
        ({"dataset_version": "2.0.0"}, ["2.1.0"], "2.0.0", ["2.1.0"]),
        ({}, ["2.0.0", "2.1.0"], None, ["2.0.0", "2.1.0"]),
        ({}, ["mimic-cxr-jpg/2.1.0"], None, ["mimic-cxr-jpg/2.1.0"]),
        ({}, [], None, []),
    ],
    ids=str,
)
def test_a_version_may_be_all_that_is_named_of_a_tree_that_is_here(
    options: dict[str, Any], words: list[str], version: str | None, rest: list[str]
) -> None:
    found, left = version_as_option(options, words)
    assert (found.get("dataset_version"), left) == (version, rest)


@pytest.mark.parametrize(
    "job_of",
    [
        lambda options: calls.job_of_tree(options, ["2.1.0"]),
        lambda options: job_of_tree({**options, "places": ("2.1.0",)}),
        lambda options: job_or_trees({**options, "places": ("2.1.0",)}),
    ],
    ids=["python", "receipt", "status"],
)
def test_every_door_finds_the_tree_of_a_version(
    job_of: Callable[[dict[str, Any]], Job], tmp_path: Path
) -> None:
    for dataset, version in ((JPG, "2.0.0"), (JPG, "2.1.0"), (DICOM, "2.0.0")):
        claim_tree(Tree(tmp_path / dataset / version), dataset, version)
        (tmp_path / dataset / version / "SHA256SUMS.txt").touch()
    job = job_of({"dest": tmp_path})
    assert (job.dataset, job.version) == (JPG, "2.1.0")
