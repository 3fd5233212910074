"""The pictures of the HTML report, as inline SVG: pure functions from values to text.

Widths and places across are percentages, so that a picture is as wide as its page and its letters
keep their size. Colours are classes of the page's style sheet: they follow light, dark and print.
"""
