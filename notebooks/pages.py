"""The self-contained HTML page of an executed notebook, which needs no Internet connection."""

import re

from bs4 import BeautifulSoup
from latex2mathml.converter import convert
from nbconvert import HTMLExporter

# Formulas in the text of a page, as written by nbconvert: $$...$$ on a separate line, $...$ within a line.
FORMULA = re.compile(r"\$\$(?P<display>.+?)\$\$|\$(?P<inline>\S(?:[^$\n]*?\S)?)\$(?!\d)", re.DOTALL)


def page(notebook, title):
    """One HTML page that contains all scripts, styles and pictures."""
    exporter = HTMLExporter(
        embed_images=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        # Without these settings nbconvert loads scripts from a content delivery network.
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        widget_renderer_url="",
        html_manager_semver_range="",
        mermaid_js_url="",
        mermaid_layout_elk_js_url="",
    )
    html, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    soup = BeautifulSoup(html, "html.parser")
    show_formulas(soup)
    describe_pictures(soup, notebook)
    return str(soup)


def show_formulas(soup):
    """Convert the LaTeX in the text of a page to MathML, which browsers can display."""
    for text in soup.find_all(string=re.compile(r"\$")):
        if not text.find_parent(class_="jp-MarkdownOutput") or text.find_parent(["code", "pre"]):
            continue
        # The text between formulas is not parsed: `<` does not start a tag.
        pieces, end = [], 0
        for match in FORMULA.finditer(text):
            display = "inline" if match["display"] is None else "block"
            try:
                formula = BeautifulSoup(convert(match["display"] or match["inline"], display=display), "html.parser")
            except Exception:  # LaTeX that the converter does not support is kept
                formula = match[0]
            pieces += [str(text)[end : match.start()], formula]
            end = match.end()
        text.replace_with(*pieces, str(text)[end:])


def describe_pictures(soup, notebook):
    """Add the description of each figure, which the template of nbconvert omits."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    words = {
        output.data["image/png"].strip(): output.metadata.get("image/png", {}).get("alt")
        for output in outputs
        if "image/png" in output.data
    }
    for picture in soup.find_all("img"):
        _, _, data = picture.get("src", "").partition("base64,")
        if words.get(data.strip()):
            picture["alt"] = words[data.strip()]
