"""The page: self-contained, with its contents, numbered figures and tables, and folds."""

import re

import nbformat
import pandas as pd
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from sniplab.page import join


def write(path, *cells):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=list(cells), metadata={"kernelspec": kernel}), path)
    return path


def test_the_page_joins_the_notebooks_and_needs_no_network(tmp_path):
    alt = {"image/png": {"alt": 'The "error" grows: a < b.'}}
    picture = new_output("display_data", {"image/png": "iVBORw0KGgo="}, metadata=alt)
    first = write(
        tmp_path / "0_first.ipynb",
        new_markdown_cell("# One\n\nHere $w_j$ is, and $$\\frac{a}{b}$$ too.\n\n## Part"),
        new_code_cell("profile = 'left out'", metadata={"tags": ["parameters"]}),
        new_code_cell("draw()", outputs=[picture]),
        new_code_cell("say()", outputs=[new_output("display_data", {"text/markdown": "$x$ *it*"})]),
    )
    second = write(
        tmp_path / "1_second.ipynb",
        new_markdown_cell("# Two\n\n## Part\n\n#### Deep\n\n[there](0_first.ipynb)"),
        new_code_cell("1", outputs=[new_output("execute_result", {"text/plain": "shown"})]),
    )
    page = join([first, second], "All of it")
    soup = BeautifulSoup(page, "html.parser")
    headings = [(h.name, h.text) for h in soup.main.find_all(re.compile("^h[1-6]$"))]
    assert headings == [
        ("h1", "One"),
        ("h2", "Part"),
        ("h2", "Two"),
        ("h3", "Part"),
        ("h4", "Deep"),
    ]
    links = {a["href"]: a.text for a in soup.nav.find_all("a")}
    assert list(links.values()) == ["Part", "Two", "Part"]
    assert all(soup.main.find(id=href[1:]).text == text for href, text in links.items())
    assert [a.text for a in soup.nav.select("details details a")] == ["Part"]  # folded under Two
    assert soup.title.text == "All of it" and soup.main.find("a")["href"] == "#0_first"
    assert page.count("<math") == 3 and "<mfrac>" in page and "$" not in str(soup.main)
    assert soup.img["src"] == "data:image/png;base64,iVBORw0KGgo=" and "left out" not in page
    assert soup.img["alt"] == alt["image/png"]["alt"] and "<em>it</em>" in page
    assert soup.main.find("pre", string="shown")
    assert all(code.find_parent("details") for code in soup.select(".highlight"))
    assert not re.search(r'<(script|link|img)[^>]*(src|href)="http', page)


def test_tables_scroll_by_keyboard_and_have_headers_that_say_something(tmp_path):
    ours = ["long " * 20, "1.4 %"]  # a column of prose breaks into lines, and stays to the left
    table = pd.DataFrame({"ours": ours, "published": ["1.7", "0.9"]}, index=["LeNet", "VGG"])
    table.index.name = "network"  # in a row of its own under the heads of the columns
    html = new_output("display_data", {"text/html": table.style.set_caption("Data.").to_html()})
    cells = new_markdown_cell("# One"), new_code_cell("a", outputs=[html])
    soup = BeautifulSoup(join([write(tmp_path / "1.ipynb", *cells)], "All"), "html.parser")
    box = soup.table.parent
    assert (box["role"], box["tabindex"], box["aria-label"]) == ("region", "0", "Table 1, One")
    heads = [(th["scope"], th.text) for th in soup.table.find_all("th")]
    columns = [("col", name) for name in ("ours", "published", "network")]
    assert heads == [*columns, ("row", "LeNet"), ("row", "VGG")]
    prose = [td.text[:5] for td in soup.select("tbody td.prose")]
    assert prose == ["long ", "1.4\N{NO-BREAK SPACE}%"]
    assert [cell.text.strip() for cell in soup.select(".number")] == ["published", "", "1.7", "0.9"]


def test_a_fallback_is_told_once_at_the_top(tmp_path):
    text = (
        "there is no {0}.npz, and {0} could not be downloaded: going on with <digits> in its place"
    )
    stderr = [
        new_output("stream", name="stderr", text=f"/somewhere/1.py:3: FallbackWarning: {line}\n"
                   "  data = lab.load_data(name)\n")
        for line in (text.format("mnist"), text.format("mnist"), text.format("cifar10"))
    ]  # fmt: skip
    stderr[1].text += "UserWarning: something else\n"
    cells = [new_code_cell("load()", outputs=[output]) for output in stderr]
    page = join([write(tmp_path / "1.ipynb", new_markdown_cell("# One"), *cells)], "All")
    note = "Not to be had: mnist, cifar10. In their place: &lt;digits&gt;."
    assert page.count(note) == 1 and page.index("One</h1>") < page.index(note) < page.index(
        "<details class"
    )
    assert "FallbackWarning" not in page and "/somewhere" not in page
    assert page.count("something else") == 1
