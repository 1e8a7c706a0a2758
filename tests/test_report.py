"""The report page: self-contained, with its contents; and what a failing notebook says."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

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
