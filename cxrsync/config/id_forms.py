"""How ids of subjects, studies and images are written: alone, in paths, and in URLs. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# What a path may consist of here: whatever separates values ends it.
_FOLDERS = r"(?:[^\n\t,;\"']*/)?"
_REST = r"[^\n\t,;\"']*"
_BEFORE, _AFTER = r"^[ \t\"']*", rf"(?:[?#]{_REST})?[ \t\"']*$"
_NUMBER, _HEX = r"([0-9]{8})", "[0-9a-f]"


@dataclass(frozen=True, slots=True)
class Form:
    """How ids of one sort are written.

    prefix: the letter before the number; a user may leave it out.
    columns: names of the columns that hold such ids, in lower case, best first.
    """

    name: str
    prefix: str
    example: str
    columns: tuple[str, ...]
    _lines: re.Pattern[str] = field(repr=False)

    @property
    def described(self) -> str:
        """The name with its article."""
        return f"an {self.name}" if self.name == "image" else f"a {self.name}"

    @property
    def plural(self) -> str:
        """Several of them."""
        return "studies" if self.name == "study" else f"{self.name}s"

    def parse(self, word: str) -> str | None:
        """Return the id that one word or line means, as paths have it; None if it means none."""
        found = self.parse_lines(word.strip()) if "\n" not in word.strip() else None
        return found[0] if found else None

    def parse_lines(self, text: str) -> list[str] | None:
        """Return the ids of lines that hold one each; None if any line does not."""
        text = text.replace("\\", "/").lower()
        found = self._lines.findall(text)
        if len(found) != text.count("\n") + (not text.endswith("\n")):
            return None
        if self.prefix:
            prefix = self.prefix
            return [prefix + number for number in found]
        return [each if len(each) == _WITH_DASHES else _dashed(each) for each in found]


_WITH_DASHES = 44


def _dashed(image: str) -> str:
    return "-".join(image[at : at + 8] for at in range(0, 40, 8))


def _lines(pattern: str) -> re.Pattern[str]:
    return re.compile(_BEFORE + pattern + _AFTER, re.MULTILINE | re.ASCII)


# A number may have been a float in a table: 50414267.0.
SUBJECT = Form(
    "subject",
    "p",
    "p10000032 or 10000032",
    ("subject_id", "subject", "patient_id", "patient"),
    _lines(rf"(?:{_FOLDERS}p)?{_NUMBER}(?:\.0*)?(?:/{_REST})?"),
)
STUDY = Form(
    "study",
    "s",
    "s50414267 or 50414267",
    ("study_id", "study"),
    _lines(rf"(?:{_FOLDERS}s)?{_NUMBER}(?:\.0*|(?:\.[a-z][a-z0-9]{{0,4}}){{1,2}})?(?:/{_REST})?"),
)
IMAGE = Form(
    "image",
    "",
    "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014",
    ("dicom_id", "image_id", "img_id", "dicom", "instance_id", "image", "id"),
    _lines(
        rf"{_FOLDERS}({_HEX}{{8}}(?:-{_HEX}{{8}}){{4}}|{_HEX}{{40}})(?:\.[a-z][a-z0-9]{{0,4}}){{0,2}}"
    ),
)
FORMS = (SUBJECT, STUDY, IMAGE)
# Columns with the path or the URL of a file, which shows all ids.
PATH_COLUMNS = (
    *("path", "file", "filename", "file_name", "filepath", "file_path", "image_path"),
    *("img_path", "image_paths", "dicom_path", "jpg_path", "study_path", "url"),
)


def other_form(word: str, form: Form | None) -> Form | None:
    """Return the sort of id that a word is, if it is surely not one of ``form``."""
    for other in FORMS:
        is_bare_number = word.strip().isdigit()
        if other is not form and not is_bare_number and other.parse(word) is not None:
            return other
    return None
