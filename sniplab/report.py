"""Run the notebooks under one profile and join them into one page that needs no network.

    python -m sniplab.report [smoke|quick|desktop|paper]
    python -m sniplab.report page    the notebooks as they are, without running anything
    python -m sniplab.report rows [section …]    what results/ still lacks of the committed report

Writes build/<profile>/: the executed notebooks, their results and figures, and report.html.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import joblib
import latex2mathml.converter
import nbformat
import papermill
from nbconvert import HTMLExporter
from nbconvert.filters import strip_ansi
from traitlets.config import Config

from sniplab.grid import run_grid
from sniplab.profiles import PROFILES, RESULTS, SECTIONS, output_folder

NOTEBOOKS = sorted(Path(__file__).resolve().parent.parent.glob("notebooks/[0-9]*.ipynb"))

STYLE = """<style>
main { max-width: 1080px; margin: 0 auto; padding: 0 12px; }
main table { display: block; overflow-x: auto; max-width: 100%; }
main td { white-space: nowrap !important; }
main caption { text-align: left; font-size: 85%; }
main img { max-width: 100%; height: auto; }
main math[display=block] { overflow-x: auto; overflow-y: hidden; }
main summary { color: #757575; font-size: 80%; cursor: pointer; }
.jp-InputPrompt, .jp-OutputPrompt { display: none !important; }
</style>"""

# People look first and read code when they doubt: every code cell starts folded.
FOLDED = """{% extends "lab/index.html.j2" %}
{% block input %}<details><summary>code</summary>{{ super() }}</details>{% endblock %}"""


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
                cwd=source.parent,
                config=Config(KernelManager={} if os.name == "nt" else channel),
            )
    except papermill.PapermillExecutionError as error:
        raise RuntimeError(
            f"{source.name} stopped at In [{error.exec_count}]: {strip_ansi(str(error))}\n"
            f"As far as it came: {os.path.relpath(target)}. Runs that ended are kept: "
            "mend the cause, and the same command goes on from there."
        ) from error
    return time.perf_counter() - started


def with_mathml(text: str) -> str:
    """Markdown with its TeX formulas turned into MathML, which browsers show without a script."""

    def convert(match: re.Match) -> str:
        display = "block" if match[1] else "inline"
        return latex2mathml.converter.convert(match[1] or match[2], display=display)

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


def join(paths: list[Path], title: str) -> str:
    """One HTML page of the executed notebooks, with a table of contents. What data had to be
    replaced by others is said at its top."""
    book, contents = nbformat.v4.new_notebook(metadata=nbformat.read(paths[0], 4).metadata), []
    told: dict[str, str] = {}
    for path in paths:
        for cell in nbformat.read(path, 4).cells:
            tags = cell.metadata.get("tags", [])
            if "parameters" in tags:  # the defaults; what was injected in their place stays
                continue
            if cell.cell_type == "markdown":
                for hashes, heading in re.findall(r"^(#{1,2}) (.+)$", cell.source, re.MULTILINE):
                    anchor = f"section-{len(contents) + 1}"
                    indent = "    " * (len(hashes) - 1)
                    contents.append(f"{indent}- [{heading}](#{anchor})")
                    line = f"{hashes} {heading}"
                    cell.source = cell.source.replace(line, f'<a id="{anchor}"></a>\n\n{line}', 1)
                cell.source = with_mathml(cell.source)
            without_fallbacks(cell, told)
            cell.id = f"cell-{len(book.cells)}"
            book.cells.append(cell)
    names, others = ", ".join(told), "; ".join(dict.fromkeys(told.values()))
    note = f"**Data.** Not to be had: {names}. In their place: {others}.\n\n" if told else ""
    front = f"# {title}\n\n{note}" + "\n".join(contents)
    front = nbformat.v4.new_markdown_cell(front, id="contents")
    book.cells.insert(0, front)
    exporter = HTMLExporter(
        template_name="lab",
        raw_template=FOLDED,
        mathjax_url="",
        require_js_url="",
        mermaid_js_url="",
        jupyter_widgets_base_url="",
    )
    page, _ = exporter.from_notebook_node(book, {"metadata": {"name": title}})
    return page.replace("</head>", STYLE + "</head>", 1)


def write_page(folder: Path, paths: list[Path], title: str) -> None:
    report = folder / "report.html"
    report.write_text(join(paths, title), encoding="utf-8")
    print(os.path.relpath(report))


def run_notebooks(profile: str) -> None:
    """Execute all notebooks under a profile and join them."""
    folder = output_folder(profile)
    # Under smoke most of the time goes by on one core, in imports and figures. Elsewhere the runs
    # of one notebook fill the machine.
    together = 2 if profile == "smoke" else 1
    if together > 1:  # kernels whose threads share cores wait for each other most of the time
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        seconds = joblib.Parallel(n_jobs=together, prefer="threads")(
            joblib.delayed(execute)(path, folder, profile) for path in NOTEBOOKS
        )
    except RuntimeError as error:
        sys.exit(str(error))
    for path, duration in zip(NOTEBOOKS, seconds, strict=True):
        print(f"{path.stem}: {duration:.0f} s")
    write_page(folder, [folder / path.name for path in NOTEBOOKS], f"SNIP, re-run ({profile})")


def do_missing_rows(sections: Iterable[str]) -> None:
    """The runs of the committed report that results/ lacks, with checkpoints: hours or days."""
    for section in sections:
        rows = run_grid(SECTIONS[section](), RESULTS / f"{section}.csv")
        print(f"{section}: {len(rows)} rows, {(rows.status != 'ok').sum()} of them lost")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", default="quick", choices=[*PROFILES, "page", "rows"])
    help_ = f"with rows: which sections; default: all of {', '.join(SECTIONS)}"
    parser.add_argument("sections", nargs="*", metavar="section", help=help_)
    given = parser.parse_args()
    if unknown := set(given.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(unknown)}; known: {', '.join(SECTIONS)}")
    if given.what == "page":
        folder = output_folder("desktop").parent / "page"
        folder.mkdir(exist_ok=True)
        write_page(folder, NOTEBOOKS, "SNIP, re-run")
    elif given.what == "rows":
        do_missing_rows(given.sections or SECTIONS)
    else:
        run_notebooks(given.what)


if __name__ == "__main__":
    main()
