"""The style sheet of the report: readable in light, dark and print, by the measure of WCAG."""

import re
from importlib.resources import files

import pytest

STYLE = (files("cxrsync.ui") / "report.css").read_text("utf-8")
SCHEMES = dict(
    zip(("light", "dark", "print"), re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL), strict=True)
)
TEXTS = [
    ("text", "page"), ("text", "card"), ("quiet", "page"), ("quiet", "card"), ("wrong", "card"),
    ("right", "card"), ("text", "right-back"), ("text", "busy-back"), ("text", "wrong-back"),
    ("right", "right-back"), ("busy", "busy-back"), ("wrong", "wrong-back"),
    ("stale", "stale-back"), ("text", "stale-back"), ("card", "stale"),
    ("card", "right"), ("card", "busy"), ("card", "wrong"),
]  # fmt: skip
# WCAG 1.4.11: what a picture is read by.
SHAPES = ["verified", "troubled", "frame", "axis"]


def colours(scheme: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", SCHEMES[scheme]))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_measure() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("front", "back"), TEXTS)
def test_text_can_be_read(scheme: str, front: str, back: str) -> None:
    found = colours(scheme)
    assert contrast(found[front], found[back]) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_can_be_seen(scheme: str, shape: str) -> None:
    found = colours(scheme)
    assert contrast(found[shape], found["card"]) >= 3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_colour_is_there_in_every_scheme(scheme: str) -> None:
    assert colours(scheme).keys() == set(re.findall(r"var\(--([a-z-]+)\)", STYLE))
