"""make_selection: what options mean, which are refused, and which similar names are named."""

from pathlib import Path
from typing import Any

import pytest

from cxrsync.config.parse_selection import make_selection
from cxrsync.config.selection import Label, Sample, Selection, Unit
from cxrsync.errors import ExitCode, UsageError
from cxrsync.model import Kind

JPG, DICOM = "mimic-cxr-jpg", "mimic-cxr"
ID = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"


def refusal(dataset: str = JPG, **options: Any) -> str:
    """The message of the error and its next step."""
    with pytest.raises(UsageError) as caught:
        make_selection(options, dataset)
    assert caught.value.exit_code is ExitCode.USAGE
    return f"{caught.value} {caught.value.next_step}"


# ── what options mean ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "selection"),
    [
        ({}, Selection()),
        ({"subject": None, "frontal": False, "no_tables": False}, Selection()),
        ({"subject": ["10000032", "P10000032,p10000033"]},
         Selection(subjects=("p10000032", "p10000033"))),
        ({"subject": 10000032}, Selection(subjects=("p10000032",))),  # an id as a number
        ({"study": [50414267, "s50414268"]}, Selection(studies=("s50414267", "s50414268"))),
        ({"image": f"files/p10/p10000032/s50414267/{ID.upper()}.jpg"}, Selection(images=(ID,))),
        # In the order and spelling of the tables, without duplicates.
        ({"split": ["Test", "train,test"]}, Selection(splits=("train", "test"))),
        ({"split": "test train"}, Selection(splits=("train", "test"))),
        ({"split": ["val", "Training"]}, Selection(splits=("train", "validate"))),
        ({"split": "dev"}, Selection(splits=("validate",))),
        ({"shard": ["P12", "10", 11]}, Selection(shards=("p10", "p11", "p12"))),
        ({"shard": "files/p10/, 12-14"}, Selection(shards=("p10", "p12", "p13", "p14"))),
        ({"only": ["Image", "REPORTS"]}, Selection(only=(Kind.IMAGES, Kind.REPORTS))),
        ({"label": "Edema=positive,nan"}, Selection(labels=(Label("Edema", ("1", "blank")),))),
        ({"label": "Edema=1.0"}, Selection(labels=(Label("Edema", ("1",)),))),
        ({"subject": [10000032.0, Path("files/p10/p10000033")]},
         Selection(subjects=("p10000032", "p10000033"))),
        ({"subject": 10000032, "skip_unknown": True},
         Selection(subjects=("p10000032",), skip_unknown=True)),
        ({"view": "ap axial, pa"}, Selection(views=("PA", "AP AXIAL"))),
        ({"view": ["blank", "LL"]}, Selection(views=("LL", ""))),
        ({"frontal": True}, Selection(views=("PA", "AP"))),
        ({"lateral": True, "view": "pa"}, Selection(views=("PA", "LATERAL", "LL"))),
        ({"label": "Pneumonia=1"}, Selection(labels=(Label("Pneumonia", ("1",)),))),
        ({"label": ["no finding=Blank, -1", "Edema=0", "No Finding=1"]},
         Selection(labels=(Label("Edema", ("0",)), Label("No Finding", ("1", "-1", "blank"))))),
        ({"label": "Edema=1", "labeler": "NegBio"},
         Selection(labels=(Label("Edema", ("1",)),), labeler="negbio")),
        ({"metadata_only": True}, Selection(only=(Kind.TABLES, Kind.DOCS))),
        ({"metadata_only": True, "include": ["*.csv*"]},
         Selection(only=(Kind.TABLES, Kind.DOCS), include=("*.csv*",))),
        ({"limit": 3, "no_tables": True}, Selection(limit=3, tables=False)),
        ({"sample": 5}, Selection(sample=Sample(5, Unit.IMAGE, 0))),
        ({"sample": 5, "sample_by": "subject", "seed": -7},
         Selection(sample=Sample(5, Unit.SUBJECT, -7))),
        ({"shard": "p10", "subject": ["10000032", "11000032"]},
         Selection(shards=("p10",), subjects=("p10000032", "p11000032"))),
        ({"sample": 2, "sample_by": "image", "only": ["images", "tables"]},
         Selection(sample=Sample(2), only=(Kind.IMAGES, Kind.TABLES))),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dataset", [JPG, DICOM])
def test_words(dataset: str, options: dict[str, Any], selection: Selection) -> None:
    # mimic-cxr takes splits, views and labels from the dataset with its tables.
    assert make_selection(options, dataset) == selection


def test_a_split_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.csv").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("mine.csv", "~/mine.csv", str(tmp_path / "mine.csv")):
        found = make_selection({"split": "test", "split_table": name}, JPG)
        # The path is absolute: a later run may start in another folder.
        assert found == Selection(splits=("test",), split_table=str(tmp_path / "mine.csv"))


def test_the_splits_of_ones_own_table_have_its_names(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").touch()
    options = {"split": "Dev, val", "split_table": str(tmp_path / "mine.csv")}
    assert make_selection(options, JPG).splits == ("Dev", "val")


def test_any_value_of_an_unknown_dataset_is_accepted() -> None:
    found = make_selection(
        {"split": "dev", "view": "OBLIQUE", "label": "Cough=1", "labeler": "gpt"}, "novel"
    )
    assert found == Selection(
        splits=("dev",), views=("OBLIQUE",), labels=(Label("Cough", ("1",)),), labeler="gpt"
    )


# ── what is refused ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "tset"}, "mimic-cxr-jpg has no split 'tset' Did you mean test?"),
        ({"view": "PAA"}, "has no view 'PAA' Did you mean PA"),
        ({"view": "Frontal"}, "has no view 'Frontal' Write --frontal, which means PA and AP."),
        ({"view": "side"}, "has no view 'side' Write --lateral"),
        ({"split": "all"}, "has no split 'all' Leave --split out: without it nothing is left out."),
        ({"shard": "all"}, "--shard 'all' is not a shard Leave --shard out"),
        ({"shard": "p10000032"}, "is not a shard It is the id of a subject: use --subject."),
        ({"only": "dicom"}, "--only 'dicom' is not a kind of file Did you mean images?"),
        ({"label": "Pneumona=1"}, "has no label 'Pneumona' Did you mean Pneumonia"),
        ({"label": "=1"}, "has no label ''"),
        ({"label": "Pneumonia"}, "'Pneumonia' does not name a value of the label Write --label"),
        ({"label": "Pneumonia="}, "does not name a value"),
        ({"label": "Pneumonia 1"}, 'Write --label "Pneumonia=1": =1'),
        ({"label": "no finding: yes"}, 'Write --label "No Finding=1": =1'),
        ({"label": "Edema -1"}, 'Write --label "Edema=-1": =1'),
        ({"label": "Pneumonia=2"}, "=0 (absent), =-1 (uncertain)"),
        ({"label": "Edema=1,"}, "does not name a value"),
        ({"label": "Edema=1", "labeler": "negbioo"}, "labeler 'negbioo' Did you mean negbio?"),
        ({"label": "Edema=1", "labeler": "split"}, "labeler 'split' Known: chexpert, negbio"),
        ({"label": "Edema=1", "labeler": "images"}, "has no labeler 'images'"),
        ({"labeler": "negbio"}, "--labeler without --label selects nothing Add --label."),
        ({"sample": 5, "sample_by": "patient"},
         "'patient' is not subject, study or image Did you mean subject?"),
        ({"sample": 5, "sample_by": 3}, "--sample-by 3 is not subject, study or image"),
        ({"sample": 0}, "--sample 0 is not a whole number of at least 1"),
        ({"sample": "5"}, "--sample '5' is not a whole number"),
        ({"sample": True}, "--sample True is not a whole number"),
        ({"sample": 5, "seed": "x"}, "--seed 'x' is not a whole number"),
        ({"sample": 5, "seed": 1.5}, "--seed 1.5 is not a whole number"),
        ({"seed": 0}, "--sample-by and --seed need --sample Add --sample N"),
        ({"sample_by": "study"}, "--sample-by and --seed need --sample"),
        ({"limit": -1}, "--limit -1 is not a whole number of at least 1"),
        ({"only": "imges"}, "'imges' is not a kind of file Did you mean images"),
        ({"metadata_only": True, "only": "images"}, "--metadata-only and --only images"),
        ({"metadata_only": True, "split": "test"}, "--metadata-only selects no images"),
        ({"metadata_only": True, "limit": 3}, "--metadata-only selects no images"),
        ({"shard": "p11-p12", "subject": "10000032"},
         "subject p10000032 is not in p11 p12 It is in p10"),
        ({"only": "reports"}, "mimic-cxr-jpg has no reports: they are in mimic-cxr Use --dicom"),
        ({"sample": 3, "only": "tables"}, "of images selects no tables Add --sample-by study"),
        ({"split_table": "mine.csv"}, "--split-table without --split selects nothing Add --split."),
        ({"split": "test", "split_table": "/no/such/file"}, "/no/such/file: no such file"),
        ({"split": "test", "split_table": "/tmp"}, "/tmp: it is a folder"),
        ({"split": "test", "split_table": "~nobody-of-that-name/x"}, "there is no such user"),
        ({"subject": "10000032,,x"}, "--subject 'x' is not the id of a subject"),
        ({"study": "p50414267"}, "'p50414267' is not the id of a study It is the id of a subject"),
        ({"image": ID[:-1]}, "is not the id of an image An id looks like 02aa"),
        ({"subject": True}, "--subject True is not an id"),
    ],
)  # fmt: skip
def test_refused(options: dict[str, Any], said: str) -> None:
    assert said in refusal(**options)


def test_refused_for_other_datasets() -> None:
    for option in ("split", "view", "label", "subject", "study", "image"):
        said = refusal("mimiciv", **{option: "Edema=1"})
        assert f"mimiciv has no images, so --{option} selects nothing" in said
    said = refusal("mimiciv", frontal=True)
    assert "has no images, so --frontal selects nothing" in said
    assert "--sample-by study" in refusal(DICOM, sample=3, only="reports")
    assert make_selection({"only": "reports"}, DICOM).only == (Kind.REPORTS,)


@pytest.mark.parametrize(
    "options",
    [
        {"study": ["@-"], "image": ["@-"]},
        {"study": ["@-", "@/dev/stdin"]},
        {"subject": ["@/dev/stdin"], "exclude": ["@-"]},
    ],
)
def test_standard_input_is_read_once(options: dict[str, list[str]]) -> None:
    """The second list was blamed for being empty."""
    with pytest.raises(UsageError, match="standard input can be read only once") as caught:
        make_selection(options, "mimic-cxr-jpg")
    assert "@FILE" in caught.value.next_step
