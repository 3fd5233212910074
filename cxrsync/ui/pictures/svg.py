"""The few elements of SVG that the pictures are made of."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def element(name: str, *children: str, **attributes: object) -> str:
    """One element. ``_`` at the end of an attribute's name is dropped, within it becomes ``-``;
    numbers are rounded to what a screen can show."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{words}>{''.join(children)}</{name}>"


def picture(
    name: str, title: str, height: float, children: Iterable[str], class_: str = "picture"
) -> str:
    """A whole picture, with the title that a screen reader reads in its place.

    ``name`` is unique on the page; ``height`` in pixels.
    """
    return element(
        "svg",
        element("title", escape(title), id=f"{name}-title"),
        *children,
        class_=class_,
        role="img",
        aria_labelledby=f"{name}-title",
        width="100%",
        height=height,
    )


def text(words: str, x: float, y: float, anchor: str = "start", class_: str = "label") -> str:
    """Words at ``x`` percent and ``y`` pixels."""
    return element("text", escape(words), x=percent(x), y=y, text_anchor=anchor, class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, tip: str = "") -> str:
    """A rectangle: ``x`` and ``width`` in percent, ``y`` and ``height`` in pixels."""
    children = [element("title", escape(tip))] if tip else []
    return element(
        "rect",
        *children,
        x=percent(x),
        y=y,
        width=percent(width),
        height=max(0.0, height),
        class_=class_,
    )


def rule(y: float, class_: str = "grid") -> str:
    """A line from side to side."""
    return element("line", x1="0%", x2="100%", y1=y, y2=y, class_=class_)


def plot(y: float, height: float, children: Iterable[str]) -> str:
    """A part of a picture in which both axes run from 0 to 100, for paths: they know no percent."""
    return element(
        "svg",
        *children,
        x="0%",
        y=y,
        width="100%",
        height=height,
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
    )


def percent(value: float) -> str:
    """``12.5%``"""
    return f"{_text(value)}%"


def _text(value: object) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
