"""Statistics over rows, and the files that a figure leaves."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import sniplab as lab


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
            "error": [1.0, 2.0, 3.0, np.nan, np.nan, 7.0],
        }
    )
    a, b = lab.summarize(rows, ["model"]).itertuples()
    assert (a.mean, a.n, a.lost) == (2.0, 3, 2)  # NaN is no result, whatever the status says
    assert a.half == pytest.approx(4.3027 / 3**0.5, abs=1e-4)  # the whole of "±"
    assert a.text == "2.00 ± 2.48 (2 of 5 lost)"
    assert (b.mean, b.n, b.lost, b.text) == (7.0, 1, 0, "7.00")
    none = lab.summarize(rows.iloc[:0], ["model"])
    assert none.empty and list(none) == ["model", "mean", "half", "n", "lost", "text"]


def test_a_figure_leaves_its_picture_and_its_numbers(tmp_path):
    (tmp_path / "figures").mkdir()
    figure, axis = plt.subplots()
    axis.plot([1, 2])
    table = pd.DataFrame({"x": [1, 2]})
    lab.save_figure(figure, "f", tmp_path, table, "Data: none.")
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == ["f.csv", "f.pdf", "f.png"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "figures" / "f.csv"), table)


def test_every_method_and_engine_has_a_look():
    assert tuple(lab.METHOD_LOOKS) == lab.METHODS and tuple(lab.ENGINE_LOOKS) == lab.ENGINES
