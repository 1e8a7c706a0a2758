"""The report page: self-contained, with its contents; and what a failing notebook says."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import sniplab as lab
from sniplab import report


def write(path, *cells):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=list(cells), metadata={"kernelspec": kernel}), path)
    return path


def test_the_page_joins_the_notebooks_and_needs_no_network(tmp_path):
    picture = new_output("display_data", {"image/png": "iVBORw0KGgo="})
    first = write(
        tmp_path / "1.ipynb",
        new_markdown_cell("# One\n\nHere $w_j$ is, and $$\\frac{a}{b}$$ too.\n\n## Part"),
        new_code_cell("profile = 'left out'", metadata={"tags": ["parameters"]}),
        new_code_cell("draw()", outputs=[picture]),
    )
    second = write(tmp_path / "2.ipynb", new_markdown_cell("# Two\n\n## Part"))
    page = report.join([first, second], "All of it")
    links = re.findall(r'<a href="#(section-\d)">(\w+)</a>', page)
    assert [text for _, text in links] == ["One", "Part", "Two", "Part"]
    assert all(f'id="{anchor}"' in page for anchor, _ in links)
    assert page.count("<math") == 2 and "<mfrac>" in page and "$" not in page[page.index("<main") :]
    assert "data:image/png;base64,iVBORw0KGgo=" in page and "left out" not in page
    assert not re.search(r'<(script|link|img)[^>]*(src|href)="http', page)


def test_a_fallback_is_told_once_at_the_top(tmp_path):
    text = "there is no {0}.npz, and {0} could not be downloaded: going on with digits in its place"
    stderr = [
        new_output("stream", name="stderr", text=f"/somewhere/1.py:3: FallbackWarning: {line}\n"
                   "  data = lab.load_data(name)\n")
        for line in (text.format("mnist"), text.format("mnist"), text.format("cifar10"))
    ]  # fmt: skip
    stderr[1].text += "UserWarning: something else\n"
    cells = [new_code_cell("load()", outputs=[output]) for output in stderr]
    page = report.join([write(tmp_path / "1.ipynb", new_markdown_cell("# One"), *cells)], "All")
    note = "Not to be had: mnist, cifar10. In their place: digits."
    assert page.count(note) == 1 and page.index(note) < page.index("One</a>")
    assert "FallbackWarning" not in page and "/somewhere" not in page
    assert page.count("something else") == 1


def test_the_page_of_the_notebooks_as_they_are(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "output_folder", lambda profile: tmp_path / "build" / profile)
    (tmp_path / "build").mkdir()
    monkeypatch.setattr("sys.argv", ["report", "page"])
    report.main()
    page = (tmp_path / "build" / "page" / "report.html").read_text()
    assert all(f"{number} · " in page for number in range(1, 6))
    assert "report.html" in capsys.readouterr().out


def test_missing_rows_are_done_into_the_results(tmp_path, monkeypatch, capsys):
    recipe = lab.Recipe(2, checkpoints=1)
    configs = [lab.Config("lenet-300-100", recipe, dataset="digits")]
    monkeypatch.setattr(report, "SECTIONS", {"some": lambda: configs})
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["report", "rows"])
    report.main()
    assert len(lab.read_results(tmp_path / "some.csv")) == 1
    assert "some: 1 rows, 0 of them lost" in capsys.readouterr().out


def test_a_notebook_that_fails_says_where_and_keeps_what_it_has(tmp_path):
    source = write(tmp_path / "1.ipynb", new_code_cell("print('so far')"), new_code_cell("1 / 0"))
    (tmp_path / "out").mkdir()
    with pytest.raises(
        RuntimeError, match=r"1\.ipynb stopped at In \[3\]: [\s\S]*ZeroDivisionError"
    ):
        report.execute(source, tmp_path / "out", "smoke")
    assert "so far" in (tmp_path / "out" / "1.ipynb").read_text()


def test_every_notebook_has_a_parameters_cell_and_names_no_machine():
    assert report.NOTEBOOKS
    for path in report.NOTEBOOKS:
        cells = nbformat.read(path, 4).cells
        assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
        assert not re.search(r"/(home|root|Users|tmp)/", path.read_text()), path.name
