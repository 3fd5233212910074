"""The synthetic cohort, and the tables that describe it.

The seed decides the subjects, studies and images; their ids decide everything else (dates, labels,
reports). So both datasets and both versions describe the same patients. Names and columns are those
of the real tables. No data is real.
"""

import csv
import datetime as dt
import io
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

FIRST_SUBJECT = 10_000_032
FIRST_STUDY = 50_414_267
FIRST_IMAGE = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"

LABELS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)

_VIEWS = {
    "PA": "postero-anterior",
    "AP": "antero-posterior",
    "LATERAL": "lateral",
    "LL": "left lateral",
    "": "",
}
_METADATA = (
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "Rows",
    "Columns",
    "StudyDate",
    "StudyTime",
    "ProcedureCodeSequence_CodeMeaning",
    "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
)


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its DICOM id, its view (may be empty), and the edition of its bytes."""

    id: str
    view: str
    edition: int = 1


@dataclass(frozen=True, slots=True)
class Study:
    """One study of one subject: ids, split (train, validate or test), date, time, images."""

    subject: int
    id: int
    split: str
    date: str  # YYYYMMDD, in 2100-2200 as the shifted dates are
    time: str  # HHMMSS.FFF
    images: tuple[Image, ...]

    @property
    def folder(self) -> str:
        """The folder of its images, below the version's root; its report is `<folder>.txt`."""
        subject = str(self.subject)
        return f"files/p{subject[:2]}/p{subject}/s{self.id}"


def rng_for(*name: object) -> random.Random:
    """A random generator seeded by `name`: the same on every machine and in every run."""
    return random.Random("/".join(map(str, name)))  # noqa: S311 -- synthetic data, no secrets


def cohort(patients: int, seed: int, version: str) -> list[Study]:
    """The studies of a version, by subject and study.

    From 2.0.0 to 2.1.0 the very first study loses its last image, every 50th image (at least one)
    is a new edition, and the last subject gains a study.
    """
    studies = _draw(patients, seed)
    if version == "2.0.0":
        return studies[:-1]
    studies[0] = replace(studies[0], images=studies[0].images[:-1])
    kept = [image for study in studies[:-1] for image in study.images]
    again = {image.id for image in kept[::-50]}

    def edition(image: Image) -> Image:
        return replace(image, edition=2) if image.id in again else image

    return [replace(study, images=tuple(map(edition, study.images))) for study in studies]


def _draw(patients: int, seed: int) -> list[Study]:
    """Every study that either version has."""
    rng = rng_for("cohort", seed)
    shards = [rng.sample(range(33, 1_000_000), len(range(at, patients, 10))) for at in range(10)]
    subjects = [(10 + at) * 1_000_000 + number for at in range(10) for number in shards[at]]
    subjects[0] = FIRST_SUBJECT  # all others are larger
    subjects.sort()
    # Larger than the first study's id, so that this one sorts first within its subject.
    ids = iter(rng.sample(range(FIRST_STUDY + 1, 60_000_000), 4 * patients))

    studies = []
    for index, subject in enumerate(subjects):
        split = {1: "validate", 2: "test"}.get(index % 7, "train")
        # The last subject has a study in 2.0.0 already, before it gains another.
        count = rng.randint(2 if index == patients - 1 else 1, 4)
        for number in sorted(next(ids) for _ in range(count)):
            date = dt.date(2100, 1, 1) + dt.timedelta(days=rng.randrange(36_500))
            second = rng.randrange(86_400)
            time = f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}.{number % 1000:03}"
            studies.append(
                Study(subject, number, split, f"{date:%Y%m%d}", time, tuple(_images(rng)))
            )
    extra = Image(_dicom_id(rng), "LATERAL")
    images = (Image(FIRST_IMAGE, "PA"), extra)  # `extra` is the one that 2.1.0 withdraws
    studies[0] = replace(studies[0], id=FIRST_STUDY, images=images)
    return studies


def _images(rng: random.Random) -> Iterator[Image]:
    for index in range(rng.randint(1, 3)):
        views = ("PA", "AP") if index == 0 else ("LATERAL", "LL", "AP", "")
        yield Image(_dicom_id(rng), rng.choice(views))


def _dicom_id(rng: random.Random) -> str:
    return "-".join(f"{rng.getrandbits(32):08x}" for _ in range(5))


def report(study: Study) -> str:
    """The study's report: invented text. Reports without findings are equal byte for byte."""
    rng = rng_for("report", study.id)
    if rng.random() < 0.2:
        findings, impression = "The lungs are clear, as nobody's are.", "No acute invention."
    else:
        size = rng.choice(("small", "moderate", "fictional"))
        side = rng.choice(("left", "right", "other"))
        findings = f"A {size} synthetic opacity in the {side} lung of study {study.id}."
        impression = f"Invented {side} opacity. Compare with nothing."
    return (
        "                                 FINAL REPORT\n"
        " EXAMINATION:  CHEST (SYNTHETIC, MADE BY CXRSYNC)\n \n"
        f" FINDINGS: \n \n {findings}\n \n"
        f" IMPRESSION: \n \n {impression}\n"
    )


def record_list(studies: Iterable[Study]) -> bytes:
    """cxr-record-list: the path of each DICOM image."""
    return _csv(
        ("subject_id", "study_id", "dicom_id", "path"),
        (
            (study.subject, study.id, image.id, f"{study.folder}/{image.id}.dcm")
            for study in studies
            for image in study.images
        ),
    )


def study_list(studies: Iterable[Study]) -> bytes:
    """cxr-study-list: the path of each report."""
    return _csv(
        ("subject_id", "study_id", "path"),
        ((study.subject, study.id, f"{study.folder}.txt") for study in studies),
    )


def provider_list(studies: Iterable[Study]) -> bytes:
    """cxr-provider-list: who ordered and who read each study; about a third have no resident."""

    def row(study: Study) -> tuple[object, ...]:
        rng = rng_for("providers", study.id)
        order, attending, resident = (f"P{rng.randrange(100):02}SYN{digit}" for digit in "123")
        return (study.subject, study.id, order, attending, rng.choice((resident, resident, "")))

    columns = ("ordering_provider_id", "attending_provider_id", "resident_provider_id")
    return _csv(("subject_id", "study_id", *columns), map(row, studies))


def metadata(studies: Iterable[Study], side: int) -> bytes:
    """metadata: view, date, time and size (`side` by `side` pixels) of each image."""

    def row(study: Study, image: Image) -> tuple[object, ...]:
        place = (image.id, study.subject, study.id)
        portable = study.images[0].view == "AP"
        step = "CHEST (PORTABLE AP)" if portable else "CHEST (PA AND LAT)"
        posture = "Recumbent" if image.view == "AP" else "Erect"
        when = (study.date, study.time)
        return (*place, step, image.view, side, side, *when, step, _VIEWS[image.view], posture)

    return _csv(_METADATA, (row(study, image) for study in studies for image in study.images))


def split(studies: Iterable[Study]) -> bytes:
    """split: train, validate or test, the same for all of a subject's images."""
    return _csv(
        ("dicom_id", "study_id", "subject_id", "split"),
        (
            (image.id, study.id, study.subject, study.split)
            for study in studies
            for image in study.images
        ),
    )


def labels(studies: Iterable[Study], labeler: str) -> bytes:
    """chexpert and negbio: 14 labels per study; the two labelers mostly agree."""
    rows = ((study.subject, study.id, *_findings(study, labeler)) for study in studies)
    return _csv(("subject_id", "study_id", *LABELS), rows)


def test_set_labeled(studies: Iterable[Study]) -> bytes:
    """test-set-labeled: the test split's studies, labelled by an invented radiologist."""
    names = ("Airspace Opacity" if name == "Lung Opacity" else name for name in LABELS)
    rows = (
        (study.id, *_findings(study, "radiologist")) for study in studies if study.split == "test"
    )
    return _csv(("study_id", *names), rows)


def _findings(study: Study, labeler: str) -> list[str]:
    rng = rng_for("labels", study.id)
    values = rng.choices(("", "1.0", "0.0", "-1.0"), (70, 15, 10, 5), k=len(LABELS))
    values[LABELS.index("No Finding")] = "" if "1.0" in values else "1.0"
    values[rng_for(labeler, study.id).randrange(len(LABELS))] = (
        ""  # a label that this labeler missed
    )
    return values


def _csv(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    return text.getvalue().encode()
