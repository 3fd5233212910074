"""The documentation: Sphinx with MyST (Markdown) and Furo. ``scripts/docs`` builds it."""

import sys
from pathlib import Path

import cxrsync

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "cxrsync"
author = "The cxrsync developers"
project_copyright = author
version = release = cxrsync.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "cxrsync_reference",
]
exclude_patterns = ["_build"]
nitpicky = True  # a reference that leads nowhere is a warning, and scripts/docs takes no warning
nitpick_ignore_regex = [("py:.*", ".*")]  # signatures name types that have no page here

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
autodoc_typehints = "signature"
autodoc_type_aliases = {"EventSink": "EventSink"}

# A page loads nothing from elsewhere: no fonts, no scripts of others.
html_theme = "furo"
html_title = f"cxrsync {release}"
html_static_path = ["_static"]
html_css_files = ["extra.css"]
html_favicon = "_static/icon.svg"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6e75", "color-brand-content": "#0b6e75"},
    "dark_css_variables": {"color-brand-primary": "#5ec4cc", "color-brand-content": "#5ec4cc"},
    "navigation_with_keys": True,
}
smartquotes = False  # "--split" is no dash
pygments_style = "friendly"
pygments_dark_style = "native"
# The copy button takes commands only, without the prompt and the answers.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_line_continuation_character = "\\"
