"""A section as a notebook opens it: rows, claims, figures and tables."""

import dataclasses
import warnings

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from bs4 import BeautifulSoup

import sniplab as lab
from sniplab import notebook, verdicts
from sniplab.sections import sweep


@pytest.fixture
def shown(monkeypatch):
    """What is displayed: data or object, and its metadata."""
    found = []
    monkeypatch.setattr(
        notebook, "display", lambda what, metadata=None: found.append((what, metadata))
    )
    return found


@pytest.fixture
def section(tmp_path):
    return lab.open_section("1_sparsity_sweep", "smoke", "cpu", 1, tmp_path)


ROWS = pd.DataFrame(
    {
        "model": ["a", "a", "b"],
        "seed": [0, 1, 0],
        "iterations": [10, 10, 1000],
        "dataset": ["mnist", "mnist", "cifar10"],
        "source": "real",
    }
)


def test_facts_of_rows():
    assert lab.facts(ROWS) == "1 to 2 seeds; 10 to 1,000 iterations; MNIST, CIFAR-10"
    # Five seeds and twenty are of two cells, not twenty of both.
    cells = pd.concat([ROWS[:1], ROWS[:2].assign(seed=[3, 4])]).assign(
        method=["snip", *["erk"] * 2]
    )
    assert lab.facts(cells).startswith("1 to 2 seeds")
    assert lab.facts(ROWS[2:]) == "1 seed; 1,000 iterations; CIFAR-10"
    assert lab.facts(ROWS[:0]) == "No runs"
    assert "scored, not trained" in lab.facts(ROWS.assign(iterations=0))
    fallback = ROWS[:2].assign(source="digits, standing in for mnist, which could not be had")
    assert lab.facts(fallback).endswith("digits in place of MNIST")


def test_a_figure_leaves_its_picture_its_numbers_and_its_caption(section, shown, monkeypatch):
    monkeypatch.delenv("SNIP_PDF", raising=False)
    figure = plt.figure()
    section.figure(figure, "1_test", pd.DataFrame({"a": [1]}), "A line.", ROWS[:2])
    folder = section.folder / "figures"
    assert (folder / "1_test.png").stat().st_size and not (folder / "1_test.pdf").exists()
    assert (folder / "1_test.csv").read_text() == "a\n1\n"
    (_, picture), (text, caption) = shown
    assert picture["image/png"]["caption"] == "A line. 2 seeds; 10 iterations; MNIST."
    assert picture["image/png"]["alt"] == "A line." and caption == {"caption": "1_test"}
    assert text.data == "*A line. 2 seeds; 10 iterations; MNIST.*"
    assert figure.number not in plt.get_fignums()


def test_no_figure_is_drawn_of_no_runs(section, shown, capsys):
    figure = plt.figure()
    section.figure(figure, "1_test", pd.DataFrame({"a": []}), "A line.", ROWS[:0])
    assert not shown and not list((section.folder / "figures").iterdir())
    assert capsys.readouterr().out == "No figure: profile smoke has no runs for it. A line.\n"
    assert figure.number not in plt.get_fignums()


def test_no_table_is_shown_of_no_runs(section, shown, capsys):
    section.table(pd.DataFrame({"a": []}), "1_test", "A line.", ROWS[:0])
    assert not shown and not list((section.folder / "figures").iterdir())
    assert capsys.readouterr().out == "No table: profile smoke has no runs for it. A line.\n"


def test_a_figure_is_written_as_pdf_when_asked(section, shown, monkeypatch):
    monkeypatch.setenv("SNIP_PDF", "1")
    section.figure(plt.figure(), "1_test", pd.DataFrame(), "A line.")
    assert (section.folder / "figures" / "1_test.pdf").stat().st_size


def test_a_table_is_shown_in_part_and_kept_whole(section, shown):
    table = pd.DataFrame({"name": ["<b>", "c"], "error": [1.234, None], "n": [1000, 2]})
    section.table(table, "1_test", "All & more.", shown=table[:1], form={"error": "{:.1f}"})
    ((what, metadata),) = shown
    assert "&lt;b&gt;" in what.data and "1.2<" in what.data and "1,000" in what.data
    assert "All &amp; more." in what.data and ">c<" not in what.data
    assert metadata == {"text/html": {"name": "1_test", "caption": "All & more."}}
    kept = pd.read_csv(section.folder / "figures" / "1_test.csv")
    assert list(kept.name) == ["<b>", "c"] and kept.error[0] == 1.234
    section.table(table, "1_test", "All & more.", shown=table[:1], form={"error": "{:.1f}"})
    assert shown[1][0].data == what.data  # the same table twice is the same output


def test_text_is_aligned_to_the_left_without_a_style_sheet(section, shown):
    """JupyterLab leaves style sheets out of a notebook that it does not trust."""
    section.table(pd.DataFrame({"name": ["a"], "n": [1]}), "", "Caption.")
    soup = BeautifulSoup(shown[0][0].data, "html.parser")
    name, number = soup.select("tbody td")
    assert name["style"] == soup.select("thead th")[0]["style"] == "text-align: left"
    assert "style" not in number.attrs and not soup("style")


def test_a_dash_stands_where_there_is_no_value(section, shown):
    section.table(pd.DataFrame({"a": [None, 1.5]}), "", "Caption.")
    assert ">–<" in shown[0][0].data and ">1.50<" in shown[0][0].data


def test_claims_are_shown_with_what_the_paper_says(section, shown):
    claim = verdicts.new_claim("a", verdicts.GROUPS[0], "§1", "It holds", "1 %", "number", "", 3)
    claims = [claim | {"ours": "2 %", "verdict": "not reproduced"}]
    section.claims(claims)
    html = shown[0][0].data
    for text in ("It holds", ">paper<", ">1 %<", ">2 %<", ">not reproduced<"):
        assert text in html
    assert "of this run, those in the text of the committed report" in html
    dataclasses.replace(section, profile="desktop").claims(claims)  # the committed report itself
    assert "of this run" not in shown[1][0].data


def test_rows_say_how_many_there_are_and_what_to_do(tmp_path, capsys):
    stored = lab.open_section("1_sparsity_sweep", "desktop", "cpu", 1, tmp_path)
    plan = sweep.plan("desktop", models="gru-s", sparsities=0.5)
    assert stored.rows(plan).empty
    said = capsys.readouterr().out
    assert said.startswith("0 of ") and "trains nothing: for runs of your own take quick" in said
    assert len(stored.rows(sweep.plan("desktop")))
    said = capsys.readouterr().out
    assert "diverged or failed" in said and "quick" not in said


def test_what_the_line_says_is_no_warning_but_other_warnings_are(section, monkeypatch, capsys):
    found = lab.select(sweep.plan("desktop"), lab.RESULTS / "1_sparsity_sweep.csv")

    def rows_of(*_):
        some = ROWS.assign(method="snip", status="ok", collapsed="fc1.weight")
        for what in (lab.runs.grid.CUT, lab.runs.grid.LOST):
            lab.runs.grid._warn_of(some, some.seed >= 0, what, "collapsed")
        warnings.warn("the stored rows are of other data", UserWarning, stacklevel=2)
        return found

    monkeypatch.setattr(notebook, "rows_of", rows_of)
    with pytest.warns(UserWarning) as told:
        section.rows(sweep.plan("desktop"))
    texts = [str(one.message) for one in told if one.category is UserWarning]
    assert texts == ["the stored rows are of other data"]
    assert "2 of them diverged or failed, 50 with a mask that empties" in capsys.readouterr().out


def test_a_trial_takes_seconds(section, tmp_path):
    assert section.steps("lenet-300-100") == 8
    quick = lab.open_section("1_sparsity_sweep", "quick", "cpu", 1, tmp_path)
    assert [quick.steps(name) for name in ("lenet-300-100", "gru-b", "vgg-d")] == [540, 120, 3]
