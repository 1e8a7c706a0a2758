"""How numbers, tables and figures are shown, and the files that a figure leaves."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import sniplab as lab
from sniplab import report, show


def runs(model, method, errors, status="ok"):
    cells = {"model": model, "method": method, "seed": range(len(errors)), "error": errors}
    return pd.DataFrame(cells).assign(status=status)


def test_words_for_numbers():
    assert [lab.counted(np.int64(1), "seed"), lab.counted(75_000, "step")] == [
        "1 seed",
        "75,000 steps",
    ]
    assert [lab.spanned([3, 3]), lab.spanned([4000, 3])] == ["3", "3 to 4,000"]


def test_a_tally_says_what_is_missing_and_lost():
    configs = [lab.Config("lenet-300-100", lab.Recipe(20), seed=seed) for seed in range(3)]
    configs.append(lab.Config("gru-s", lab.Recipe(20)))
    rows = runs("lenet-300-100", "snip", [1.0, 2.0]).assign(seconds=1800.0)
    rows.loc[1, "status"] = "failed: no"
    there = "2 runs (LeNet-300-100 2 of 3; none yet of 1 other network)"
    text = f"{there}, 1.00 hours of training, 1 failed."
    assert lab.tally(rows, configs) == f"{text} The others have not been done yet."
    assert lab.tally(rows, configs[:2]).endswith(
        "(LeNet-300-100 2), 1.00 hours of training, 1 failed."
    )
    rows["status"] = ["diverged: the loss is nan", "ok"]
    assert lab.tally(rows, configs[:2]).endswith("1.00 hours of training, 1 diverged.")
    assert lab.tally(rows.iloc[:0], configs) == "None of the 4 runs has been done yet."
    assert lab.provenance(rows.iloc[:0], "desktop") == "No runs yet. Profile desktop."
    columns = {"source": "none", "iterations": 20, "precision": "float32", "hardware": "abacus"}
    many = pd.concat([rows.iloc[:1].assign(seed=seed, **columns) for seed in range(20)])
    assert "seeds 0 to 19;" in lab.provenance(many, "desktop")
    assert "seeds 0, 1, 2, 4;" in lab.provenance(many[many.seed.isin([0, 1, 2, 4])], "desktop")


def test_a_figure_is_shown_and_leaves_its_picture_and_its_numbers(tmp_path, monkeypatch):
    (tmp_path / "figures").mkdir()
    figure, axis = plt.subplots()
    axis.plot([1, 2])
    table = pd.DataFrame({"x": [1, 2]})
    shown = []
    monkeypatch.setattr(show, "display", lambda *what, **how: shown.append((what, how)))
    lab.save_figure(figure, "f", tmp_path, table, "Data: none.", alt="A line that rises.")
    assert shown == [((figure,), {"metadata": {"image/png": {"alt": "A line that rises."}}})]
    assert not plt.fignum_exists(figure.number)  # so that a notebook shows it once
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == ["f.csv", "f.pdf", "f.png"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "figures" / "f.csv"), table)


ROOMS = sorted(Path(show.__file__).parent.rglob("*.py"))

HOSTILE = 'my <img src="x" onerror="alert(1)"> photos & <script>alert(2)</script>, $1 < $2'


def test_what_an_archive_says_of_itself_is_shown_as_text(monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(show, "display", lambda what, **_: shown.append(what))
    columns = {"source": HOSTILE, "iterations": 20, "precision": "float32", "hardware": "abacus"}
    rows = runs("lenet-300-100", "snip", [1.0]).assign(**columns)
    note = lab.provenance(rows, "quick")
    lab.show_table(rows[["source"]], note, index=True)
    lab.say(f"Trained on {HOSTILE}.")
    outputs = {"text/html": shown[0].to_html(), "text/markdown": shown[1].data}
    cells = [
        nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("display_data", {kind: text})])
        for kind, text in outputs.items()
    ]
    path = tmp_path / "1.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    soup = report.as_html(path, {})
    assert not soup.find_all(["script", "img"])
    texts = [soup.caption.text, soup.tbody.text, soup.find_all("p")[-1].text]
    assert all("<script>alert(2)</script>" in text and "photos & <" in text for text in texts)
    (tmp_path / "figures").mkdir()
    figure, _ = plt.subplots()
    note += r" $\nothing$"  # dollars make no formula, least of all one that cannot be set
    lab.save_figure(figure, "f", tmp_path, rows, note, "Nothing.")
    assert "$1 < $2" in figure.get_supxlabel()


@pytest.mark.parametrize("path", [*report.NOTEBOOKS, *ROOMS], ids=lambda path: path.stem)
def test_captions_are_set_in_one_place(path):
    """Where they are escaped."""
    assert ".set_caption(" not in path.read_text() or path.name == "show.py"


def test_a_table_is_shown_as_asked(monkeypatch):
    shown = []
    monkeypatch.setattr(show, "display", lambda what: shown.append(what.to_html()))
    table = pd.DataFrame({"n": [1000, 20], "q": [0.25, np.nan]}, index=["first", "second"])
    lab.show_table(table, "Some.", {"n": "{:,}", "q": "{:.3f}"})
    lab.show_table(table, "Some.", "{:.1f}", index=True)
    assert all(cell in shown[0] for cell in (">1,000<", ">0.250<", ">–<", ">Some.<"))
    assert "first" not in shown[0] and ">first<" in shown[1] and ">1000.0<" in shown[1]


def test_every_method_and_engine_has_a_look():
    labels = [row.label for row in lab.METHODS.values()]
    looks = [(row.colour, row.marker) for row in lab.METHODS.values()]
    assert len(set(labels)) == len(set(looks)) == len(labels)
    assert tuple(lab.ENGINE_LOOKS) == lab.ENGINES
