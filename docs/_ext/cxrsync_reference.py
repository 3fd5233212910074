"""The directive ``cxrsync-reference``: a part of the reference, made when the pages are built."""

from __future__ import annotations

from docutils import nodes
from reference_text import PARTS
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Reference(SphinxDirective):
    """``{cxrsync-reference} options`` stands for the table of all options, and so on."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(PARTS[self.arguments[0]](), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("cxrsync-reference", Reference)
    return {"parallel_read_safe": True}
