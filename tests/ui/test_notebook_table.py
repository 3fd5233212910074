"""Results as HTML: escaped, without ids and secrets."""

import pytest

from cxrsync.ui.notebook_table import html_lines, html_table, safe

BAD = "<script>alert(1)</script> p10000032 s50414267 https://u:pw@host/x?sig=1 \x1b[2J"
SECRETS = ("<script>", "10000032", "50414267", "pw", "sig=1", "\x1b")


@pytest.mark.parametrize(
    "html",
    [
        html_table(BAD, [(BAD, BAD)], heading=(BAD, BAD), notes=[BAD]),
        html_lines(BAD, f"{BAD}\n{BAD}"),
    ],
)
def test_nothing_foreign_gets_out(html: str) -> None:
    assert "&lt;script&gt;" in html
    for secret in SECRETS:
        assert secret not in html


def test_a_table() -> None:
    assert html_table("t", [("a", "1", "2")], heading=("", "x", "y"), notes=["n"]) == (
        "<div><strong>t</strong>\n<table>\n"
        "<thead><tr><th></th><th>x</th><th>y</th></tr></thead>\n<tbody>\n"
        '<tr><th scope="row">a</th><td>1</td><td>2</td></tr>\n</tbody></table>\n<p>n</p>\n</div>'
    )
    assert html_lines("t", "a  1\nb  2") == "<div><strong>t</strong>\n<pre>a  1\nb  2</pre></div>"


def test_safe() -> None:
    assert safe("subject p10000032") == "subject …"
