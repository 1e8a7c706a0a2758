"""Executed notebooks joined into one HTML page that needs no network.

The notebooks are chapters of one paper: the first gives the title, the summary and the parts I and
II, those called "III A · …" the sections of part III, the last part IV, the references and the
appendix. What stands under a heading "Checks" goes to the appendix. Tags of cells:

    parameters  left out; what papermill injected in their place stays
    committed   written by hand about the committed report, left out under any other profile
    claims      rows of the table of claims, which stands once, under "All claims": a link to it
    try         its code is not folded
"""

import itertools
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

import latex2mathml.converter
import nbformat
from bs4 import BeautifulSoup, Comment, Tag
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from sniplab.page_tables import finish_tables, set_caption
from sniplab.sections import COMMITTED

WIDGET = "application/vnd.jupyter.widget-view+json"  # needs a running kernel
HEADINGS = re.compile("^h[1-6]$")
SECTION = re.compile(r"III [A-Z]\b")  # titles of the notebooks of part III
BACK = ("References", "Appendix")  # parts of the page of their own, whatever notebook they stand in

# A logarithm, with its base or without, is set apart from its argument, but not from a bracket.
LOG = re.compile(
    r"(<msub><mi>log</mi><mrow><mn>\d+</mn></mrow></msub>|(?<!<msub>)<mi>log</mi>)(?!<mo)"
)

# One cell as HTML. People look first and read code when they doubt: it starts folded.
CELL = """{% extends "display_priority.j2" %}
{% block markdowncell %}{{ cell.source | markdown2html }}{% endblock %}
{% block input %}
{%- if "claims" in cell.metadata.get("tags", []) %}<p>The claims of this section stand in the
<a href="#all-claims">table of all claims</a>.</p>
{%- elif "try" in cell.metadata.get("tags", []) %}<div class="try">
{{- cell.source | highlight_code(metadata=cell.metadata) }}</div>
{%- else %}<details class="code"><summary>Code</summary>
{{- cell.source | highlight_code(metadata=cell.metadata) }}</details>{% endif %}{% endblock %}
{% block execute_result %}{% block data_priority scoped %}{{ super() }}{% endblock %}{% endblock %}
{% block stream %}<pre>{{ output.text | ansi2html }}</pre>{% endblock %}
{% block error %}<pre>{{ super() }}</pre>{% endblock %}
{% block traceback_line %}{{ line | ansi2html }}{% endblock %}
{% block data_html %}
{%- set caption = output | get_metadata("caption", "text/html") %}
{%- if caption %}<div class="captioned"
 data-name="{{ output | get_metadata("name", "text/html") | escape_html }}">
{{ output.data["text/html"] }}<div class="caption">{{ caption | markdown2html }}</div></div>
{%- else %}{{ output.data["text/html"] }}{% endif %}{% endblock %}
{% block data_markdown %}
{%- if not output | get_metadata("caption") %}{{ output.data["text/markdown"] | markdown2html }}
{%- endif %}{% endblock %}
{% block data_text %}<pre>{{ output.data["text/plain"] | ansi2html }}</pre>{% endblock %}
{% block data_png %}
{%- set alt = output | get_metadata("alt", "image/png") %}
{%- set name = output | get_metadata("name", "image/png") %}
{%- set caption = output | get_metadata("caption", "image/png") %}
<figure{% if name %} id="fig-{{ name | escape_html }}"{% endif %}>
<img src="data:image/png;base64,{{ output.data["image/png"] }}"
{%- if alt %} alt="{{ alt | escape_html }}"{% endif %}>
{%- if caption %}<figcaption>{{ caption | markdown2html }}</figcaption>{% endif %}
</figure>{% endblock %}"""


# ------------------------------------------------------------------------------------------- cells


def with_mathml(text: str) -> str:
    """Markdown with its TeX formulas turned into MathML, which browsers show without a script."""

    def converted(formula: str, display: str) -> str:
        # Only with braces does a bold letter become one that Chromium shows bold.
        formula = re.sub(r"\\mathbf\s+(\w)", r"\\mathbf{\1}", formula)
        math = latex2mathml.converter.convert(formula, display=display)
        math = math.replace("<mo>&#x0007C;</mo>", '<mo lspace="0" rspace="0">|</mo>')  # |w|
        return LOG.sub(r'\1<mspace width="0.17em"/>', math)

    def convert(match: re.Match) -> str:
        if not match[1]:
            return converted(match[2], "inline")
        # On a phone a long one scrolls, for those without a mouse, too.
        return converted(match[1], "block").replace("<math ", '<math tabindex="0" ', 1)

    return re.sub(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", convert, text, flags=re.DOTALL)


def readable(text: str) -> str:
    """Markdown as it is shown: without comments, which mark numbers for the tool that renews them,
    with its formulas in MathML, and with no line that breaks within "95 %" or "0.67 ± 0.05"."""
    text = with_mathml(re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL))
    return re.sub(r"(?<=\d) (?=%)|(?<=\d) (?=± )|(?<=±) (?=\d)", "\N{NO-BREAK SPACE}", text)


def without_fallbacks(cell: nbformat.NotebookNode, sources: dict[str, str]) -> None:
    """Take the warnings that data could not be had out of a cell's outputs, and note for each data
    set what stands in for it: the page says it once."""
    for output in cell.get("outputs", []):
        if output.get("name") == "stderr":
            pattern = r"FallbackWarning: there is no (\w+)\.npz.*going on with (.+) in its place"
            sources.update(re.findall(pattern, output.text))
            # Python's own form: the place, then the line of code.
            output.text = re.sub(r".*FallbackWarning: .+\n(?:  .*\n)?", "", output.text)
    if "outputs" in cell:
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr" or o.text.strip()]


def make_readable(cell: nbformat.NotebookNode) -> None:
    """`readable` for every Markdown text of a cell: its source, its outputs, their captions."""
    if cell.cell_type == "markdown":
        cell.source = readable(cell.source)
    for output in cell.get("outputs", []):
        if "text/markdown" in output.get("data", {}):
            output.data["text/markdown"] = readable(output.data["text/markdown"])
        for kind in ("image/png", "text/html"):
            about = output.get("metadata", {}).get(kind, {})
            if "caption" in about:
                about["caption"] = readable(about["caption"])


def as_html(cells: list[nbformat.NotebookNode]) -> BeautifulSoup:
    """Cells as HTML, one after the other, without what needs a running kernel, such as a slider."""
    for cell in cells:
        make_readable(cell)
        if "claims" in tags(cell):
            cell.outputs = []
        elif cell.cell_type == "code":
            cell.outputs = [
                output for output in cell.outputs if WIDGET not in output.get("data", {})
            ]
    exporter = HTMLExporter(
        template_name="lab",
        raw_template=CELL,
        exclude_anchor_links=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    notebook = nbformat.v4.new_notebook(cells=cells)
    soup = BeautifulSoup(exporter.from_notebook_node(notebook)[0], "html.parser")
    for comment in soup.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    for code in soup.select(".code + .code"):  # nothing to look at between them: one to unfold
        code.find_previous_sibling().append(code.div.extract())
        code.decompose()
    return soup


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


# --------------------------------------------------------------------------------------- structure


def slug(text: str) -> str:
    """ "All claims" is anchored at #all-claims."""
    return re.sub(r"\W+", "-", text.lower()).strip("-")


def place_headings(soup: BeautifulSoup, stem: str, top: int, prefix: str) -> None:
    """Give the headings of a notebook their levels, none skipped, and anchors.

    Args:
        stem: of the notebook's file, the anchor of its title.
        top: level of its title; those below follow, but for BACK, which are of the second level.
        prefix: of the other anchors, since each notebook may have its "Answer".
    """
    last, taken = top - 1, set()
    for number, heading in enumerate(soup.find_all(HEADINGS)):
        text = heading.get_text()
        level = 2 if text.startswith(BACK) else int(heading.name[1]) + top - 1
        last = min(level, last + 1)
        anchor = prefix + slug(text) if number else stem
        while anchor in taken:
            anchor += "-"
        taken.add(anchor)
        heading.name, heading["id"] = f"h{last}", anchor


def cut_checks(soup: BeautifulSoup) -> Tag | None:
    """Take the heading "Checks" and all that follows it out of a notebook: a fold with the
    notebook's title; None where there is none."""
    heading = soup.find(HEADINGS, string=re.compile(r"^\s*Checks\s*$"))
    if heading is None:
        return None
    fold = soup.new_tag("details", attrs={"class": "checks"})
    name = soup.new_tag("summary")
    name.string = soup.find(HEADINGS).get_text()
    fold.append(name)
    fold.extend(list(heading.next_siblings))
    heading.decompose()
    return fold


FOLDED = (  # headings of what is for few readers of a page
    "Try it",
    "What sparsity saves in time",
    "Where the biases of the gates start",
    "Where this re-run deviates",
)


def fold_parts(soup: BeautifulSoup) -> None:
    """Put what follows a heading of FOLDED, up to the next heading, into a fold of that name."""
    for heading in soup.find_all(HEADINGS, string=re.compile("|".join(FOLDED))):
        inside = list(itertools.takewhile(lambda tag: not is_heading(tag), heading.next_siblings))
        fold = soup.new_tag("details", attrs={"class": ["part", slug(heading.get_text())]})
        heading.wrap(soup.new_tag("summary")).wrap(fold)
        fold.extend(inside)


def is_heading(tag: object) -> bool:
    return isinstance(tag, Tag) and HEADINGS.match(tag.name) is not None


def add_heading(into: Tag, text: str, level: int, page: BeautifulSoup) -> None:
    heading = page.new_tag(f"h{level}", attrs={"id": slug(text)})
    heading.string = text
    into.append(heading)


def between(start: Tag, end: str, name: str) -> Tag | None:
    """The first element `name` after `start` and before the next `end`; None if there is none."""
    after = start.find_next([end, name])
    return after if after is not None and after.name == name else None


def lay_out_first_screen(page: BeautifulSoup, notes: Iterable[str]) -> None:
    """Title, line about the paper, notes, the sentences under the unseen heading "Summary", and its
    first list in a box."""
    title = page.find("h1")
    if title is None:
        return
    summary = page.find("h2", id="summary")
    place = title
    if summary is not None and (line := between(title, "h2", "p")) is not None:
        line["class"] = "byline"
        place = line
    for note in notes:
        paragraph = page.new_tag("p", attrs={"class": "note"})
        paragraph.append(BeautifulSoup(note, "html.parser"))
        place.insert_after(paragraph)
        place = paragraph
    if summary is not None:
        summary["class"] = "unseen"
        if (findings := between(summary, "h2", "ul")) is not None:
            findings["class"] = "findings"


def number_figures(page: BeautifulSoup) -> None:
    """Number the figures that have a caption, and say the number in links to them."""
    number = itertools.count(1)
    taken = set()
    for figure in page.find_all("figure"):
        if figure.get("id") in taken:  # shown once more
            del figure["id"]
        taken.add(figure.get("id"))
        if figure.figcaption:
            figure["data-label"] = f"Figure {next(number)}"
            set_caption(figure.figcaption, figure["data-label"])


def mend_links(page: BeautifulSoup, first: str) -> None:
    """Links to other notebooks lead to their part of this page; those to figures and tables, whose
    text is "Figure" or "Table", get its number."""
    for link in page.find_all("a", href=re.compile(r"^[^/:#]+\.ipynb(#|$)")):
        name, _, part = link["href"].partition(".ipynb")
        prefix = "" if name == first else f"{name}-"
        link["href"] = f"#{prefix}{slug(part)}" if part else f"#{name}"
    for link in page.find_all("a", href=re.compile("^#(fig|tab)-"), string=["Figure", "Table"]):
        target = page.find(id=link["href"][1:])
        if target is not None:
            link.string = target["data-label"].replace(" ", "\N{NO-BREAK SPACE}")


def contents_of(page: BeautifulSoup) -> str:
    """Links to the headings of the second level, and under "Results" to those of the third."""
    entries: list[tuple[str, list[str]]] = []
    for heading in page.find_all(["h2", "h3"]):
        text = re.sub("^III (?=[A-Z] )", "", heading.get_text())
        link = f'<a href="#{heading["id"]}">{escape(text)}</a>'
        if heading.name == "h2":
            entries.append((link, []))
        elif SECTION.match(heading.get_text()):
            entries[-1][1].append(f"<li>{link}</li>")
    lines = (link + (f"<ul>{''.join(under)}</ul>" if under else "") for link, under in entries)
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


# ------------------------------------------------------------------------------------------- page


def join(paths: list[Path], title: str, profile: str) -> str:
    """One HTML page of the notebooks executed under a profile, with a table of contents.

    What data had to be replaced by others, and that what was written about the committed report is
    left out, is said under its heading.
    """
    sources: dict[str, str] = {}
    page, folds, left_out = BeautifulSoup("", "html.parser"), [], False
    for path in paths:
        cells = nbformat.read(path, 4).cells
        hidden = {"parameters"} if profile == COMMITTED else {"parameters", "committed"}
        kept = [cell for cell in cells if hidden.isdisjoint(tags(cell))]
        left_out |= profile != COMMITTED and any("committed" in tags(cell) for cell in cells)
        for cell in kept:
            without_fallbacks(cell, sources)
        part = as_html(kept)
        if (checks := cut_checks(part)) is not None:
            folds.append(checks)
        heading = part.find(HEADINGS)
        in_results = heading is not None and SECTION.match(heading.get_text())
        top = 1 if path == paths[0] else 3 if in_results else 2
        place_headings(part, path.stem, top, "" if path == paths[0] else f"{path.stem}-")
        if path != paths[0]:  # the first notebook shows how it goes
            fold_parts(part)
        section = page.new_tag("section")
        if in_results and page.find(id="iii-results") is None:
            add_heading(section, "III · Results", 2, page)
        section.extend(list(part.contents))
        page.append(section)
    append_checks(page, folds)
    number_figures(page)
    finish_tables(page)
    mend_links(page, paths[0].stem)
    notes = []
    if sources:
        names, text = ", ".join(sources), escape("; ".join(dict.fromkeys(sources.values())))
        notes.append(f"<strong>Data.</strong> Not to be had: {names}. In their place: {text}.")
    if left_out:
        notes.append(
            f"This page was computed under the profile “{profile}”. What was written about the "
            "committed report is left out."
        )
    lay_out_first_screen(page, notes)
    # Of Pygments' styles one with enough contrast on white.
    highlight = HtmlFormatter(style="xcode").get_style_defs(".highlight")
    shell = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return shell.substitute(
        title=title, highlight=highlight, contents=contents_of(page), notebooks=page
    )


def append_checks(page: BeautifulSoup, folds: list[Tag]) -> None:
    """Put the checks of all notebooks, folded, under the appendix."""
    if not folds:
        return
    into = page.find_all("section")[-1]
    if not page.find("h2", string=re.compile("^Appendix")):
        add_heading(into, "Appendix", 2, page)
    add_heading(into, "Checks", 3, page)
    for number, fold in enumerate(folds):
        for heading in fold.find_all(HEADINGS):
            heading.name, heading["id"] = "h4", f"checks-{number}-{slug(heading.get_text())}"
        into.append(fold)
