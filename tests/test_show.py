"""Statistics over rows, and the files that a figure leaves."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import sniplab as lab
from sniplab import show


def test_the_interval_is_students():
    # t(0.975, 2 degrees of freedom) = 4.3027; mean 2, standard deviation 1, √3
    low, high = lab.t_interval([1, 2, 3])
    assert (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert np.isnan(lab.t_interval([1])).all()


def test_a_summary_counts_what_ended_well():
    rows = pd.DataFrame(
        {
            "model": ["a"] * 5 + ["b"],
            "status": ["ok", "ok", "ok", "diverged: the loss is nan", "ok", "ok"],
            "error": [4.0, 5.0, 6.0, np.nan, np.nan, 7.0],
        }
    )
    table = lab.summarize(rows, ["model"])
    a, b = table.itertuples()
    assert (a.mean, a.n, a.lost) == (5.0, 3, 2)  # NaN is no result, whatever the status says
    assert a.half == pytest.approx(4.3027 / 3**0.5, abs=1e-4)  # the whole of "±"
    assert a.text == "5.00 ± 2.48 (2 of 5 lost)"
    assert (b.mean, b.n, b.lost, b.text) == (7.0, 1, 0, "7.00")
    # No error is negative, so an interval that is gives way to the smallest and the largest.
    rows["error"] -= 4
    small = lab.summarize(rows, ["model"]).iloc[0]
    assert (small.text, small.low, small.high) == ("1.00 (0.00 to 2.00) (2 of 5 lost)", 0, 2)
    rows["error"] -= 1  # a difference may be
    assert lab.summarize(rows, ["model"]).text[0] == "0.00 ± 2.48 (2 of 5 lost)"
    none = lab.summarize(rows.iloc[:0], ["model"])
    assert none.empty and list(none) == list(table)


def runs(model, method, errors, status="ok"):
    cells = {"model": model, "method": method, "seed": range(len(errors)), "error": errors}
    return pd.DataFrame(cells).assign(status=status)


def test_differences_are_paired_and_corrected():
    dense = pd.concat([runs("a", "dense", [1.0, 2.0, 3.0]), runs("b", "dense", [1.0, 5.0])])
    snips = pd.concat([runs("a", "snip", [2.0, 3.1, 4.2]), runs("b", "snip", [1.5, 5.0])])
    a, b = lab.paired(snips, dense, ["model"]).itertuples()
    # 1, 1.1, 1.2: mean 1.1, standard deviation 0.1, t = 1.1 / (0.1 / √3) = 19.05 with 2 degrees
    # of freedom, where p = 1 - t / √(t² + 2)
    t = 1.1 / (0.1 / 3**0.5)
    p = 1 - t / (t * t + 2) ** 0.5
    assert (a.mean, a.n, a.lost) == (pytest.approx(1.1), 3, 0)
    assert a.half == pytest.approx(4.3027 * 0.1 / 3**0.5, abs=1e-4)
    assert (a.least, a.most) == (pytest.approx(1.0), pytest.approx(1.2))
    assert a.p == pytest.approx(p) and a.q == pytest.approx(2 * p)  # the smaller of two
    assert (a.text, a.verdict, b.verdict) == ("+1.10 ± 0.25", "higher", "not told apart")
    assert b.n == 2 and b.q == pytest.approx(b.p) == pytest.approx(0.5)  # t(1) = 1: p = 1/2


def test_lost_and_single_pairs_give_no_verdict():
    dense, snips = runs("a", "dense", [1.0, 2.0]), runs("a", "snip", [0.5, 9.0])
    snips.loc[1, "status"] = "diverged: the loss is nan"
    (row,) = lab.paired(snips, dense, ["model"]).itertuples()
    assert (row.mean, row.n, row.lost, row.verdict) == (-0.5, 1, 1, "one pair")
    assert row.text == "−0.50 (1 of 2 pairs lost)"
    same = runs("a", "snip", [1.5, 2.5])  # no scatter: two equal signs are chance
    (row,) = lab.paired(same, dense, ["model"]).itertuples()
    assert (row.p, row.verdict) == (0.5, "not told apart")
    many = [runs("a", method, [error] * 7) for method, error in (("snip", 1.5), ("dense", 1.0))]
    (row,) = lab.paired(*many, ["model"]).itertuples()
    assert (row.p, row.verdict) == (2 / 2**7, "higher")
    near = runs("a", "snip", [1.0 + 1e-16, 2.0 + 4e-16])  # nor does rounding make a difference
    (row,) = lab.paired(near, dense, ["model"]).itertuples()
    assert (row.p, row.verdict) == (1.0, "not told apart")
    assert lab.paired(runs("b", "snip", [1.0]), dense, ["model"]).empty  # no twin
    (row,) = lab.paired(snips, dense, ["model"], on=("seed",)).itertuples()
    assert row.text == "−0.50 (1 of 2 pairs lost)"
    with pytest.raises(ValueError, match="two runs of the base share one model, seed"):
        lab.paired(snips, pd.concat([dense, dense]), ["model"])


def test_words_for_numbers():
    nan = float("nan")
    assert [lab.percent(2.356, 0.14), lab.percent(2.356), lab.percent(nan)] == [
        "2.36 ± 0.14 %",
        "2.36 %",
        "–",
    ]
    assert [lab.points(-0.3, 0.1), lab.points(0.3), lab.points(nan)] == [
        "−0.30 ± 0.10",
        "+0.30",
        "–",
    ]
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


def test_every_method_and_engine_has_a_look():
    looks = [(row.label, row.colour, row.marker) for row in lab.METHODS.values()]
    assert all(len(set(some)) == len(looks) for some in zip(*looks, strict=True))
    assert tuple(lab.ENGINE_LOOKS) == lab.ENGINES
