"""What the notebooks may hold: prose with a little code in it, and numbers that are computed."""

import re

import nbformat
import papermill
import pytest

from sniplab import report

FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$|`[^`]+`", re.DOTALL)
MARKED = re.compile(r"<!--=\S+?-->.*?<!--/-->|<!--.*?-->", re.DOTALL)
RESULT = re.compile(r"\d\.\d+ ?(%|points?\b)|± ?\d")
each = pytest.mark.parametrize("path", report.NOTEBOOKS, ids=lambda path: path.stem)


def typed_results(text: str) -> list[str]:
    """Sentences of Markdown that hold an error or a difference outside markers; published ones,
    rules and tables are not."""
    text = FORMULA.sub("", MARKED.sub("", text))
    lines = [line for line in text.splitlines() if not line.startswith("|")]
    sentences = re.split(r"(?<=[.:;!?)]) ", "\n".join(lines))
    return [
        s
        for s in sentences
        if RESULT.search(s) and not re.search("publish|paper|[Aa]t an error of", s)
    ]


def cells_of(path, kind: str) -> list:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == kind]


@each
def test_no_result_is_typed(path):
    assert not [line for cell in cells_of(path, "markdown") for line in typed_results(cell.source)]


@each
def test_numbers_of_the_committed_rows_stand_in_committed_cells_alone(path):
    """Pages of other profiles leave these cells out. How many claims there are, all profiles
    share."""
    for cell in cells_of(path, "markdown"):
        if re.search(r"<!--(expect |=(?!claims-->))", cell.source):
            assert "committed" in cell.metadata.get("tags", []), cell.id


@each
def test_a_notebook_is_prose_with_a_little_code(path):
    cells = cells_of(path, "code")
    lengths = [len(cell.source.splitlines()) for cell in cells]
    assert sum(lengths) <= 100 and max(lengths) <= 12
    assert sum(length <= 5 for length in lengths) >= len(cells) / 2
    assert not any(cell.metadata.get("jupyter", {}).get("source_hidden") for cell in cells)


@each
def test_no_code_builds_a_sentence(path):
    for cell in cells_of(path, "code"):
        if cell.source.startswith("# NBVAL_CHECK_OUTPUT"):
            continue  # lines for a test, not for a reader
        assert not re.search(r"""\bf["']|\.format\(|\bif .+ else """, cell.source), cell.source


@each
def test_the_stored_outputs_are_clean(path):
    for cell in cells_of(path, "code"):
        assert "execution" not in cell.metadata, "times change with every run"
        for output in cell.outputs:
            assert output.output_type != "error" and output.get("name") != "stderr"


@each
def test_the_three_lines_and_the_answer_are_there(path):
    if path.stem[0] not in "06":
        tags = [cell.metadata.get("tags", []) for cell in nbformat.read(path, 4).cells]
        assert ["claims"] in tags and ["committed"] in tags and ["try"] in tags
    if path.stem[0] != "6":
        code = "\n".join(cell.source for cell in cells_of(path, "code"))
        for line in ("snip.build_model(", "snip.sensitivity(", "snip.keep_top("):
            assert line in code


@each
def test_no_line_of_prose_begins_with_a_marker(path):
    """Markdown would take the whole line for HTML."""
    for cell in cells_of(path, "markdown"):
        assert not re.search(r"^<!--=", cell.source, re.MULTILINE)


@each
def test_no_widget_catches_output(path):
    # Under nbclient, and so papermill, a cell that fills an Output widget, as `interactive` does,
    # now and then never ends: https://github.com/jupyter/nbclient/issues/312.
    stored = nbformat.read(path, 4).metadata.get("widgets", {}).values()
    models = {model["model_name"] for part in stored for model in part["state"].values()}
    assert "OutputModel" not in models


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stem", "choice"),
    [
        ("0_introduction", {"network": "squeezenet-vanilla", "method": "shuffled"}),
        ("0_introduction", {"network": "gru-b", "method": "dense", "sparsity": 0.0}),
        ("1_sparsity_sweep", {"network": "alexnet-s", "models": "gru-s", "sparsities": 0.97}),
        (
            "1_sparsity_sweep",
            {"network": "lstm-s", "method": "grasp", "sparsity": 0.5, "methods": "erk"},
        ),
        ("2_architectures", {"network": "lstm-s", "models": "lenet-5-caffe", "norm": "batch"}),
        ("2_architectures", {"network": "googlenet", "method": "random", "sparsities": 0.5}),
    ],
    ids=lambda given: given if isinstance(given, str) else given["network"],
)
def test_another_network_method_or_sparsity_runs_to_the_end(stem, choice, tmp_path):
    (path,) = [path for path in report.NOTEBOOKS if path.stem == stem]
    given = {"profile": "smoke", "out": str(tmp_path), **choice}
    if stem[0] != "0":
        given["steps"] = 2
    papermill.execute_notebook(path, tmp_path / path.name, given, progress_bar=False)
