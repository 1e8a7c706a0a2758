"""Numbers in prose are those of the committed rows, and are renewed with them."""

import re

import nbformat
import pytest

from sniplab import prose, verdicts

ROOT = prose.RESULTS.parent
VALUES = {"cost": "0.67 ± 0.05", "first": "80 %", "none": "–"}


@pytest.fixture(scope="module")
def committed():
    return prose.committed()


@pytest.mark.parametrize("path", prose.documents(ROOT), ids=lambda path: path.name)
def test_every_number_is_that_of_the_rows(path, committed):
    """Fails where `make publish` would change a number, or the words no longer fit the rows."""
    for where, text in prose.texts(path):
        assert prose.renewed(text, committed[0], where) == text


def test_numbers_are_words_under_names(committed):
    for name, text in committed[0].items():
        assert isinstance(name, str) and name.strip() == name != ""
        assert isinstance(text, str) and text.strip(), name
        assert not re.search(r"\bnan\b", text, re.IGNORECASE), name


def test_the_tables_of_claims_are_those_of_the_rows(committed):
    claims = committed[1]
    assert (claims.verdict.str.partition(":")[0] != "untested").mean() > 0.5
    assert prose.claims_as_markdown(claims) in (ROOT / "docs" / "claims.md").read_text()
    assert prose.verdicts_as_markdown(claims) in (ROOT / "README.md").read_text()


def test_a_number_is_renewed_between_its_markers():
    text = "It costs <!--=cost-->stale<!--/--> points,\nfrom <!--=first-->70 %<!--/--> on."
    new = "It costs <!--=cost-->0.67 ± 0.05<!--/--> points,\nfrom <!--=first-->80 %<!--/--> on."
    assert prose.renewed(text, VALUES, "here") == new == prose.renewed(new, VALUES, "here")


def test_an_unknown_name_and_a_number_that_there_is_none_of_are_named():
    for name in ("coast", "none"):
        with pytest.raises(ValueError, match=f"README, line 3: no number is called {name}"):
            prose.renewed(f"<!--={name}-->1<!--/-->", VALUES, "README, line 3")


def test_words_that_no_longer_fit_stop_the_publishing():
    assert prose.renewed("a<!--expect first=80 %-->", VALUES, "here") == "a<!--expect first=80 %-->"
    with pytest.raises(ValueError, match="cell 4: the words expect first to be 70 %; by the rows"):
        prose.renewed("a<!--expect first=70 %-->", VALUES, "cell 4")


def test_a_notebook_and_a_file_are_renewed_in_place(tmp_path):
    text, new = "<!--=cost-->1<!--/-->", "<!--=cost-->0.67 ± 0.05<!--/-->"
    file, notebook = tmp_path / "a.md", tmp_path / "a.ipynb"
    file.write_text(text)
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell(f"'{text}'")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)
    for path in (file, notebook):
        assert prose.renew(path, VALUES) and not prose.renew(path, VALUES)
    assert file.read_text() == new
    assert [cell.source for cell in nbformat.read(notebook, 4).cells] == [new, f"'{text}'"]


def test_a_bar_in_a_cell_does_not_end_it():
    table = prose.pd.DataFrame({"a": ["|w|"], "b": [1]})
    assert prose.as_markdown(table) == "| a | b |\n| --- | --- |\n| \\|w\\| | 1 |\n"


def test_a_table_is_put_between_its_marks_and_nothing_else_changes():
    text = "a\n<!-- claims -->\nstale\n<!-- end of claims -->\nb\n"
    new = prose.with_table(text, "claims", "| new |\n")
    assert new == "a\n<!-- claims -->\n\n| new |\n\n<!-- end of claims -->\nb\n"
    assert prose.with_table(new, "claims", "| new |\n") == new


def test_claims_stand_group_by_group_with_where_the_paper_makes_them():
    words = {"published": "1 %", "rule": "number", "runs": "none", "seeds": 3}
    claims = verdicts.table_of(
        verdicts.new_claim(group, group, "§1", f"It is {group}.", **words)
        for group in (verdicts.GROUPS[4], verdicts.GROUPS[0])
    )
    text = prose.claims_as_markdown(claims)
    assert "| It is pruned beside dense. (§1) | 1 % | – | untested | 3 | none |" in text
    assert "| pruned beside dense | 0 | 0 | 0 | 0 | 1 | 0 |" in text  # of the tally
    assert text.index("## Pruned beside dense") < text.index("## Random labels")
