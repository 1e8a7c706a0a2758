"""Run the notebooks under one profile and join them into one page that needs no network.

    python -m sniplab.report [smoke|quick|desktop|paper]
    python -m sniplab.report page    the notebooks as they are, without running anything
    python -m sniplab.report rows [file …]    what results/ still lacks of the committed report
    python -m sniplab.report tables [notebook …]    measures anew what results/ keeps besides rows
    python -m sniplab.report order    names the notebooks in the order in which they are to be run
    python -m sniplab.report prose    renews the numbers in README, docs and notebooks

Writes build/<profile>/: the executed notebooks, their results and figures, and report.html; with
--pdf its print, too.
"""

import argparse
import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from string import Template

import joblib
import latex2mathml.converter
import nbformat
import papermill
from bs4 import BeautifulSoup, Tag
from nbconvert import HTMLExporter
from nbconvert.filters import strip_ansi
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

from sniplab.data import FallbackWarning
from sniplab.prose import renew_documents
from sniplab.runs import run_grid
from sniplab.sections import (
    COMMITTED,
    PROFILES,
    RESULTS,
    conclusion,
    connections_scored,
    data_and_initialization,
    output_folder,
    random_labels_capacity,
    sweep,
    sweep_paths,
    sweep_time,
)

NOTEBOOKS = sorted(Path(__file__).resolve().parent.parent.glob("notebooks/[0-9]*.ipynb"))
PROSE = 24  # characters; a column of a table with a cell of more is text to be broken into lines

# The runs of the committed report, by the file in RESULTS that keeps their rows.
PLANS = {
    "1_learning_rates": sweep.rates_plan,
    **conclusion.PLANS,
    "6_conclusion": conclusion.plan,
    "1_more_seeds": sweep.more_seeds_plan,
}

# What notebooks measure without training, or in seconds: functions that write it into a folder.
TABLES: dict[str, Callable[[Path], None]] = {
    "1_paths": sweep_paths.write_stored,
    "1_sparsity_sweep": sweep_time.write_stored,
    "3_pruned_connections": connections_scored.write_stored,
    "4_data_and_initialization": data_and_initialization.write_stored,
    "5_random_labels": random_labels_capacity.write_stored,
    "6_conclusion": conclusion.write_stored,
}

FRAME = ("introduction", "conclusion")  # computed from the rows that the sections leave: run last

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


def execute(source: Path, folder: Path, profile: str) -> float:
    """Run one notebook into `folder`; the seconds it took.

    Raises RuntimeError, with what to do next, when a cell fails.
    """
    started = time.perf_counter()
    target, bar = folder / source.name, sys.stderr.isatty() and profile != "smoke"
    try:
        with tempfile.TemporaryDirectory() as private:
            # Over TCP others of this machine could listen, as every kernel warns. Windows has
            # nothing else.
            channel = {"transport": "ipc", "ip": f"{private}/kernel"}
            papermill.execute_notebook(
                source,
                target,
                {"profile": profile},
                progress_bar=bar,
                config=Config(KernelManager={} if os.name == "nt" else channel),
            )
    except papermill.PapermillExecutionError as error:
        raise RuntimeError(
            f"{source.name} stopped at In [{error.exec_count}]: {strip_ansi(str(error))}\n"
            f"As far as it came: {target}. Runs that ended are kept: "
            "mend the cause, and the same command goes on from there."
        ) from error
    return time.perf_counter() - started


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


def print_page(page: Path) -> Path:
    """Print a page to a PDF beside it, by the browser that is there."""
    target = page.with_suffix(".pdf")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        sys.exit(f"No {target.name}: that needs one of {', '.join(names)} on the PATH. Or print "
                 f"{page.name} from any browser.")  # fmt: skip
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as private:  # not the profile of a window that is open
        how = [
            "--headless",
            "--disable-gpu",
            "--no-pdf-header-footer",
            f"--user-data-dir={private}",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # the browser's sandbox refuses root
            how.append("--no-sandbox")
        command = [browser, *how, f"--print-to-pdf={target.resolve()}", page.resolve().as_uri()]
        done = subprocess.run(command, capture_output=True, text=True)
    if not target.exists():
        sys.exit(f"No {target.name}: {browser} says:\n{done.stderr}")
    return target


def write_page(folder: Path, paths: list[Path], title: str, pdf: bool) -> None:
    report = folder / "report.html"
    report.write_text(join(paths, title), encoding="utf-8")
    print(os.path.relpath(report))
    if pdf:
        print(os.path.relpath(print_page(report)))


def running_order() -> tuple[list[Path], list[Path]]:
    """The notebooks that are run first, and those that need the rows of all of them."""
    last = [path for path in NOTEBOOKS if path.stem.endswith(FRAME)]
    return [path for path in NOTEBOOKS if path not in last], last


def run_notebooks(profile: str, pdf: bool) -> None:
    """Execute all notebooks under a profile and join them."""
    folder = output_folder(profile)
    # Under smoke, and under the committed profile, whose rows are stored, most of the time goes by
    # on one core, in imports and figures. Elsewhere the runs of one notebook fill the machine.
    cores, together = joblib.cpu_count(), 1
    if profile in ("smoke", COMMITTED):
        together = min(cores, len(NOTEBOOKS))
        # Kernels whose threads share cores wait for each other most of the time.
        os.environ.setdefault("OMP_NUM_THREADS", str(cores // together))
    for paths in running_order():
        try:
            # For all of them at once: it is one folder for all threads of a process.
            with contextlib.chdir(NOTEBOOKS[0].parent):
                seconds = joblib.Parallel(n_jobs=together, prefer="threads")(
                    joblib.delayed(execute)(path, folder, profile) for path in paths
                )
        except RuntimeError as error:
            sys.exit(str(error))
        for path, duration in zip(paths, seconds, strict=True):
            print(f"{path.stem}: {duration:.0f} s")
    title = f"SNIP, re-run ({profile})"
    write_page(folder, [folder / path.name for path in NOTEBOOKS], title, pdf)


def do_missing_rows(files: Iterable[str]) -> None:
    """The runs of the committed report that RESULTS lacks, with checkpoints: hours or days.

    Raises FallbackWarning where the data are not to be had: others are not of this report.
    """
    for name in files:
        plan = PLANS[name](COMMITTED)
        configs = list(dict.fromkeys(config for part in plan.values() for config in part))
        with warnings.catch_warnings():
            warnings.simplefilter("error", FallbackWarning)
            rows = run_grid(configs, RESULTS / f"{name}.csv")
        print(f"{name}: {len(rows)} rows, {(rows.status != 'ok').sum()} of them lost")


def measure_tables(notebooks: Iterable[str]) -> None:
    """Measure anew what RESULTS keeps besides rows: minutes. Raises as `do_missing_rows`."""
    for name in notebooks:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FallbackWarning)
            TABLES[name](RESULTS)
        print(f"{name}: measured")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    choices = [*PROFILES, "page", "rows", "tables", "order", "prose"]
    parser.add_argument("what", nargs="?", default="quick", choices=choices)
    help_ = f"with rows, which files: {', '.join(PLANS)}; with tables, which notebooks: "
    help_ += f"{', '.join(TABLES)}; default: all"
    parser.add_argument("names", nargs="*", metavar="name", help=help_)
    parser.add_argument("--pdf", action="store_true", help="print the page to report.pdf, too")
    given = parser.parse_args()
    known = {"rows": PLANS, "tables": TABLES}.get(given.what, {})
    if unknown := set(given.names) - set(known):
        parser.error(f"no {', '.join(sorted(unknown))}; known: {', '.join(known) or 'none'}")
    if given.what == "page":
        folder = output_folder(COMMITTED).parent / "page"
        folder.mkdir(exist_ok=True)
        write_page(folder, NOTEBOOKS, "SNIP, re-run", given.pdf)
    elif given.what == "rows":
        do_missing_rows(given.names or PLANS)
    elif given.what == "tables":
        measure_tables(given.names or TABLES)
    elif given.what == "prose":
        renew_documents(NOTEBOOKS[0].parent.parent)
    elif given.what == "order":
        print(*(os.path.relpath(path) for paths in running_order() for path in paths))
    else:
        run_notebooks(given.what, given.pdf)


if __name__ == "__main__":
    main()
