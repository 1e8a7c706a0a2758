"""Run the notebooks under one profile and join them into one page that needs no network.

    python -m sniplab.report [smoke|quick|desktop|paper]

Writes build/<profile>/: the executed notebooks, their results and figures, and report.html.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import joblib
import latex2mathml.converter
import nbformat
import papermill
from nbconvert import HTMLExporter
from nbconvert.filters import strip_ansi

from sniplab.profiles import PROFILES, output_folder

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
        papermill.execute_notebook(
            source, target, {"profile": profile}, progress_bar=bar, cwd=source.parent
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


def join(paths: list[Path], title: str) -> str:
    """One HTML page of the executed notebooks, with a table of contents."""
    book, contents = nbformat.v4.new_notebook(metadata=nbformat.read(paths[0], 4).metadata), []
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
            cell.id = f"cell-{len(book.cells)}"
            book.cells.append(cell)
    front = nbformat.v4.new_markdown_cell(f"# {title}\n\n" + "\n".join(contents), id="contents")
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile", nargs="?", default="quick", choices=PROFILES)
    profile = parser.parse_args().profile
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
    report = folder / "report.html"
    page = join([folder / path.name for path in NOTEBOOKS], f"SNIP, re-run ({profile})")
    report.write_text(page, encoding="utf-8")
    for path, duration in zip(NOTEBOOKS, seconds, strict=True):
        print(f"{path.stem}: {duration:.0f} s")
    print(os.path.relpath(report))


if __name__ == "__main__":
    main()
