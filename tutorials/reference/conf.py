"""How `make docs` makes pages of the docstrings and notebooks: Sphinx's settings.

Docstrings stay as they read best in the code: an indented block is a drawing or code, and a name
between single backticks leads to where it is described. The directive `names` of the pages is here,
too: a list of names becomes a table of one line each, and their full descriptions below it. A
public name that no page lists is a warning, and a warning is an error.
"""

import json
import re
import sys
from importlib import import_module
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

project = html_title = "minicnn"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "myst_nb"]
exclude_patterns = ["sources", "solutions"]
default_role = "py:obj"
add_module_names = False

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints = "none"  # the docstrings say more
autosummary_generate = False
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_param = napoleon_use_rtype = False  # types are plain English, no names to look up

nb_execution_mode = "off"  # notebooks come with the outputs they were committed with
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_math_renderer = "mathml"
html_copy_source = html_show_sphinx = html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["pages.css"]

# Modules whose public names must all be on a page.
PUBLIC = (
    "minicnn", "minicnn.functional", "minicnn.nn", "minicnn.optim", "minicnn.models",
    "minicnn.data", "minicnn.data.transforms", "minicnn.training", "minicnn.analysis",
    "minicnn.stepper", "minicnn.checks", "minicnn.emulator", "minicnn.interop", "minicnn.grading",
)  # fmt: skip
LOG = logging.getLogger(__name__)
DESCRIBED = set()


class Names(SphinxDirective):
    """```{names} MODULE, and below it the names, apart by spaces."""

    required_arguments = 1
    has_content = True

    def run(self):
        module = import_module(self.arguments[0])
        names = " ".join(self.content).split()
        DESCRIBED.update(getattr(module, name) for name in names)
        text = [f".. py:currentmodule:: {module.__name__}", ""]
        if len(names) > 1:
            text += [".. autosummary::", "   :signatures: none", ""]
            text += [f"   {name}" for name in names]
        for name in names:
            if isinstance(getattr(module, name), type):
                text += ["", f".. autoclass:: {name}", "   :members:"]
            else:
                text += ["", f".. autofunction:: {name}"]
        return self.parse_text_to_nodes("\n".join(["```{eval-rst}", *text, "```"]))


def drawings(app, what, name, obj, options, lines):
    """An indented block after a blank line is shown letter by letter; "C." begins no list."""
    found, above, inside = [], 0, None
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip():
            if inside is not None and indent <= inside:
                inside = None
            if inside is None and found and not found[-1].strip() and indent > above:
                found += [" " * above + ".. code-block:: text", ""]
                inside = above
            above = indent if inside is None else inside
        found.append(line if inside is not None else re.sub(r"^( *[A-Za-z])\.", r"\1\\.", line))
    if what == "property":  # else napoleon takes what is before a colon for the type
        found.insert(0, "")
    lines[:] = found


def without_first_cell(app, docname, source):
    """A notebook's first code cell installs minicnn: of no interest to who reads a page."""
    if app.env.doc2path(docname).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    notebook["cells"].remove(first)
    source[0] = json.dumps(notebook)


def all_public_names(app, env):
    """Warn of public functions and classes that no page describes."""
    for name in PUBLIC:
        module = import_module(name)
        for member in module.__all__:
            value = getattr(module, member)
            if callable(value) and value not in DESCRIBED:
                LOG.warning("%s.%s is public, but on no page", name, member)


def mathml(self, node):
    """A formula in the browser's own language: no script, no fonts, no network."""
    block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=block)
    self.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app):
    app.add_directive("names", Names)
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
    app.connect("autodoc-process-docstring", drawings, priority=400)  # napoleon: 500
    app.connect("source-read", without_first_cell)
    app.connect("env-updated", all_public_names)
