"""Executed notebooks as one HTML page that needs no network."""

import itertools
import re
from html import escape
from pathlib import Path
from string import Template

import latex2mathml.converter
import nbformat
from bs4 import BeautifulSoup, Tag
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

PROSE = 24  # characters; a column of a table with a cell of more is text to be broken into lines

# One cell as HTML. People look first and read code when they doubt: it starts folded. What needs a
# running kernel, such as a slider, is left out.
CELL = """{% extends "display_priority.j2" %}
{% block markdowncell %}{{ cell.source | markdown2html }}{% endblock %}
{% block input %}<details class="code"><summary>code</summary>
{{- cell.source | highlight_code(metadata=cell.metadata) }}</details>{% endblock %}
{% block execute_result %}{% block data_priority scoped %}{{ super() }}{% endblock %}{% endblock %}
{% block stream %}<pre>{{ output.text | ansi2html }}</pre>{% endblock %}
{% block error %}<pre>{{ super() }}</pre>{% endblock %}
{% block traceback_line %}{{ line | ansi2html }}{% endblock %}
{% block data_html %}{{ output.data["text/html"] }}{% endblock %}
{% block data_markdown %}{{ output.data["text/markdown"] | markdown2html }}{% endblock %}
{% block data_text %}<pre>{{ output.data["text/plain"] | ansi2html }}</pre>{% endblock %}
{% block data_png %}<div class="figure">
<img src="data:image/png;base64,{{ output.data["image/png"] }}"
{%- set alt = output | get_metadata("alt", "image/png") %}
{%- if alt %} alt="{{ alt | escape_html }}"{% endif %}></div>{% endblock %}"""


def with_mathml(text: str) -> str:
    """Markdown with its TeX formulas turned into MathML, which browsers show without a script."""

    def convert(match: re.Match) -> str:
        if not match[1]:
            return latex2mathml.converter.convert(match[2])
        formula = latex2mathml.converter.convert(match[1], display="block")
        # On a phone a long one scrolls, for those without a mouse, too.
        return formula.replace("<math ", '<math tabindex="0" ', 1)

    return re.sub(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", convert, text, flags=re.DOTALL)


def without_fallbacks(cell: nbformat.NotebookNode, told: dict[str, str]) -> None:
    """Take the warnings that data could not be had out of a cell's outputs, and note for each data
    set what stands in for it: the page says it once."""
    for output in cell.get("outputs", []):
        if output.get("name") == "stderr":
            said = r"FallbackWarning: there is no (\w+)\.npz.*going on with (.+) in its place"
            told.update(re.findall(said, output.text))
            # Python's own form: the place, then the line of code.
            output.text = re.sub(r".*FallbackWarning: .+\n(?:  .*\n)?", "", output.text)
    if "outputs" in cell:
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr" or o.text.strip()]


def as_html(path: Path, told: dict[str, str]) -> BeautifulSoup:
    """The cells of an executed notebook, one after the other."""
    notebook = nbformat.read(path, 4)
    # Without the defaults of the parameters; what was injected in their place stays.
    cells = [c for c in notebook.cells if "parameters" not in c.metadata.get("tags", [])]
    for cell in cells:
        without_fallbacks(cell, told)
        if cell.cell_type == "markdown":
            cell.source = with_mathml(cell.source)
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                output.data["text/markdown"] = with_mathml(output.data["text/markdown"])
    notebook.cells = cells
    exporter = HTMLExporter(
        template_name="lab",
        raw_template=CELL,
        exclude_anchor_links=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    soup = BeautifulSoup(exporter.from_notebook_node(notebook)[0], "html.parser")
    for code in soup.select(".code + .code"):  # nothing to look at between them: one to unfold
        code.find_previous_sibling().append(code.div.extract())
        code.decompose()
    return soup


def number_headings(soup: BeautifulSoup, stem: str, deeper: int) -> None:
    """Give the headings of a notebook anchors, and levels `deeper` than its own, none skipped."""
    last = deeper
    for number, heading in enumerate(soup.find_all(re.compile("^h[1-6]$"))):
        last = min(int(heading.name[1]) + deeper, last + 1)
        heading.name, heading["id"] = f"h{last}", f"{stem}-{number}" if number else stem


def add_class(tag: Tag, name: str) -> None:
    tag["class"] = [*tag.get("class", []), name]


def frame_tables(soup: BeautifulSoup) -> None:
    """Put every table into a box that scrolls, and tell headers, numbers and prose in it apart."""
    for number, table in enumerate(soup.find_all("table"), 1):
        heading = table.find_previous(re.compile("^h[1-6]$"))
        label = f"Table {number}" + (f", {heading.get_text()}" if heading else "")
        box = {"class": "table", "role": "region", "tabindex": "0", "aria-label": label}
        table.wrap(soup.new_tag("div", attrs=box))
        for text in table.find_all(string=re.compile(r"\d %")):
            text.replace_with(text.replace(" %", "\N{NO-BREAK SPACE}%"))
        # From the right, since a cell of the index may stand for several rows.
        rows = [row.find_all(["th", "td"])[::-1] for row in table.find_all("tr")]
        if len(rows[-1]) >= 8:
            add_class(table, "wide")
        heads = len(table.select("thead tr"))
        groups = len(table.select("thead tr:has([colspan])"))  # heads of several columns
        for column in zip(*rows[groups:], strict=False):
            texts = [cell.get_text(strip=True) for cell in column[heads - groups :]]
            prose = any(len(text) > PROSE for text in texts)
            if prose or any(re.match(r"[−+-]?\d", text) for text in texts):
                for cell in column:
                    add_class(cell, "prose" if prose else "number")
        for cell in itertools.chain(*rows):
            if cell.name == "th" and not cell.get_text(strip=True):
                cell.name = "td"  # the corner over an index heads nothing
            elif cell.name == "th":
                cell["scope"] = "col" if cell.find_parent("thead") else "row"


def contents_of(page: BeautifulSoup) -> str:
    """Links to the headings of the second level, and folded under each those of the third."""
    entries: list[tuple[str, str, list[str]]] = []
    for heading in page.find_all(["h2", "h3"]):
        link = f'<a href="#{heading["id"]}">{heading.decode_contents()}</a>'
        if heading.name == "h2":
            entries.append((link, escape(heading.get_text()), []))
        elif entries:
            entries[-1][2].append(f"<li>{link}</li>")
    folded = (
        '<details name="part"><summary aria-label="Sections of {}"></summary><ul>{}</ul></details>'
    )
    lines = (
        link + (folded.format(name, "".join(under)) if under else "")
        for link, name, under in entries
    )
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def join(paths: list[Path], title: str) -> str:
    """One HTML page of the executed notebooks, with a table of contents.

    The first notebook gives the page its heading; those of the others are one level deeper. What
    data had to be replaced by others is said under it.
    """
    told: dict[str, str] = {}
    page = BeautifulSoup("", "html.parser")
    for path in paths:
        part = as_html(path, told)
        number_headings(part, path.stem, deeper=int(path != paths[0]))
        page.append(page.new_tag("section"))
        page.contents[-1].extend(part.contents)
    frame_tables(page)
    for link in page.find_all("a", href=re.compile(r"^[^/:#]+\.ipynb$")):
        link["href"] = f"#{Path(link['href']).stem}"
    if told:
        names, others = ", ".join(told), "; ".join(dict.fromkeys(told.values()))
        note = f"Not to be had: {names}. In their place: {escape(others)}."
        note = f"<p><strong>Data.</strong> {note}</p>"
        page.h1.insert_after(BeautifulSoup(note, "html.parser"))
    # Of Pygments' styles one with enough contrast on white.
    highlight = HtmlFormatter(style="xcode").get_style_defs(".highlight")
    shell = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return shell.substitute(
        title=title, highlight=highlight, contents=contents_of(page), notebooks=page
    )
