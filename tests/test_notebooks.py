"""What the notebooks may hold: results are computed from rows, never typed."""

import re

import nbformat
import pytest

from sniplab import report

FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$|`[^`]+`", re.DOTALL)
RESULT = re.compile(r"\d\.\d+ ?(%|points?\b)|± ?\d")


def typed_results(text: str) -> list[str]:
    """Lines of Markdown that hold an error or a difference; published ones and tables are not."""
    lines = FORMULA.sub("", text).splitlines()
    return [
        line
        for line in lines
        if RESULT.search(line) and not line.startswith("|") and not re.search("publish|paper", line)
    ]


def test_a_typed_result_is_found():
    assert typed_results("At 90 % it errs on 2.36 % of them.") and typed_results("1 ± 0.3 higher")
    assert not typed_results("A rate of $0.1$ %, momentum 0.9.\n| 2.4 % | \nThe paper has 2.4 %.")


@pytest.mark.parametrize("path", report.NOTEBOOKS, ids=lambda path: path.stem)
def test_no_result_is_typed(path):
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    assert not [line for cell in cells for line in typed_results(cell.source)]


@pytest.mark.parametrize("path", report.NOTEBOOKS, ids=lambda path: path.stem)
def test_the_stored_outputs_are_clean(path):
    for cell in nbformat.read(path, 4).cells:
        assert cell.source.count("\n") < 40, "a long cell belongs in sniplab"
        for output in cell.get("outputs", []):
            assert output.output_type != "error" and output.get("name") != "stderr"


@pytest.mark.parametrize("path", report.NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_whoever_opens_a_notebook_finds_its_answer_without_scrolling_through_code(path):
    open_lines = 0
    for cell in nbformat.read(path, 4).cells:
        if any("**Answer" in str(output) for output in cell.get("outputs", [])):
            break
        folded = cell.metadata.get("jupyter", {}).get("source_hidden")
        if cell.cell_type == "code" and not folded:
            open_lines += cell.source.count("\n") + 1
    else:
        pytest.fail("there is no answer")
    assert open_lines <= 80, "fold what only prepares sentences and drawings"


@pytest.mark.parametrize("path", report.NOTEBOOKS, ids=lambda path: path.stem)
def test_no_widget_catches_output(path):
    # Under nbclient, and so papermill, a cell that fills an Output widget, as `interactive` does,
    # now and then never ends: https://github.com/jupyter/nbclient/issues/312.
    stored = nbformat.read(path, 4).metadata.get("widgets", {}).values()
    models = {model["model_name"] for part in stored for model in part["state"].values()}
    assert "OutputModel" not in models
