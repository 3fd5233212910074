"""The result of a call as a small table of HTML, for a notebook. Pure.

A notebook is shared and committed with its outputs: every text is escaped, and loses what looks
like an id or a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from cxrsync.sanitize import printable, without_ids, without_secrets

Row = Sequence[str]


def safe(text: str) -> str:
    """Return a text as the output of a notebook may contain it, not yet escaped for HTML."""
    return without_ids(without_secrets(printable(text)))


def html_table(
    title: str, rows: Iterable[Row], *, heading: Row = (), notes: Iterable[str] = ()
) -> str:
    """Return a title, a table with left cells as headings, and a line for each note."""
    parts = [f"<div><strong>{_cell(title)}</strong>", "<table>"]
    if heading:
        parts.append(f"<thead><tr>{_cells('th', heading)}</tr></thead>")
    parts.append("<tbody>")
    for first, *others in rows:
        parts.append(f'<tr><th scope="row">{_cell(first)}</th>{_cells("td", others)}</tr>')
    parts.append("</tbody></table>")
    parts += [f"<p>{_cell(note)}</p>" for note in notes]
    return "\n".join([*parts, "</div>"])


def html_lines(title: str, text: str) -> str:
    """Return a title, and lines whose columns stand below each other."""
    lines = "\n".join(escape(safe(line)) for line in text.split("\n"))
    return f"<div><strong>{_cell(title)}</strong>\n<pre>{lines}</pre></div>"


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{_cell(text)}</{tag}>" for text in texts)


def _cell(text: str) -> str:
    return escape(safe(text))
