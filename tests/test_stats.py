"""Statistics over rows: what an interval, a paired difference and a correction are taken over."""

import math

import numpy as np
import pandas as pd
import pytest

import sniplab as lab
from sniplab import stats


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
            "error": [4.0, 5.0, 6.0, 90.0, np.nan, 7.0],  # a diverged run may leave a finite one
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
    assert (a.text, a.verdict, b.verdict) == ("+1.10 ± 0.25", "higher", "undecided")
    assert b.n == 2 and b.q == pytest.approx(b.p) == pytest.approx(0.5)  # t(1) = 1: p = 1/2


def test_lost_and_single_pairs_give_no_verdict():
    dense, snips = runs("a", "dense", [1.0, 2.0]), runs("a", "snip", [0.5, 9.0])
    snips.loc[1, "status"] = "diverged: the loss is nan"
    (row,) = lab.paired(snips, dense, ["model"]).itertuples()
    assert (row.mean, row.n, row.lost, row.verdict) == (-0.5, 1, 1, "one pair")
    assert row.text == "−0.50 (1 of 2 pairs lost)"
    same = runs("a", "snip", [1.5, 2.5])  # no scatter: two equal signs are chance
    (row,) = lab.paired(same, dense, ["model"]).itertuples()
    assert (row.p, row.verdict) == (0.5, "undecided")
    many = [runs("a", method, [error] * 7) for method, error in (("snip", 1.5), ("dense", 1.0))]
    (row,) = lab.paired(*many, ["model"]).itertuples()
    assert (row.p, row.verdict) == (2 / 2**7, "higher")
    near = runs("a", "snip", [1.0 + 1e-16, 2.0 + 4e-16])  # nor does rounding make a difference
    (row,) = lab.paired(near, dense, ["model"]).itertuples()
    assert (row.p, row.verdict) == (1.0, "undecided")
    assert lab.paired(runs("b", "snip", [1.0]), dense, ["model"]).empty  # no twin
    (row,) = lab.paired(snips, dense, ["model"], on=("seed",)).itertuples()
    assert row.text == "−0.50 (1 of 2 pairs lost)"
    with pytest.raises(ValueError, match="two runs of the base share one model, seed"):
        lab.paired(snips, pd.concat([dense, dense]), ["model"])


def test_differences_are_pooled_over_sparsities_within_a_seed():
    levels = (0.9, 0.95, 0.98)
    snips = pd.concat([runs("a", "snip", [2.0, 2.1, 2.2]).assign(sparsity=s) for s in levels])
    others = [runs("a", "other", [2.1, 2.2, 2.3]).assign(sparsity=s) for s in levels[:2]]
    others.append(runs("a", "other", [2.1, 2.5, 2.6]).assign(sparsity=0.98))
    beyond = [runs("a", "other", [9.0, 9.0, 9.0]).assign(sparsity=0.99)] * 2  # do not count
    table = stats.pooled(pd.concat([*others, *beyond]), snips, levels, ["method"])
    # By hand: 0.1, 0.2, 0.2; s = 0.0577, t = 4.303, 4.303 * 0.0577 / sqrt(3).
    assert list(table.method) == ["other"] and table.text[0] == "+0.17 ± 0.14"
    assert stats.pooled(snips[:0], snips, levels, ["method"]).empty
    others[-1].loc[0, "status"] = "diverged: nan"  # the whole seed is lost
    table = stats.pooled(pd.concat(others), snips, levels, ["method"])
    assert table.text[0] == "+0.20 ± 0.00 (1 of 3 pairs lost)"
    table = stats.pooled(pd.concat(others[:-1]), snips, levels, ["method"])  # one was not run
    assert table.n[0] == 0 and table.lost[0] == 3


def test_a_difference_is_judged_by_its_corrected_p():
    # −0.2, −0.3, −0.4: t = 0.3 / (0.1 / √3) = √27 with 2 degrees of freedom, p = 0.035; beside a
    # comparison that shows nothing twice that.
    dense = pd.concat([runs("a", "dense", [1.0, 2.0, 3.0]), runs("b", "dense", [1.0, 2.0, 3.0])])
    a, b = runs("a", "snip", [0.8, 1.7, 2.6]), runs("b", "snip", [1.5, 2.0, 2.6])
    p = 1 - (27 / 29) ** 0.5
    (row,) = lab.paired(a, dense, ["model"]).itertuples()
    assert row.q == pytest.approx(p) and p < 0.05 and row.verdict == "lower"
    row, _ = lab.paired(pd.concat([a, b]), dense, ["model"]).itertuples()
    assert row.p == pytest.approx(p) and row.q == pytest.approx(2 * p)
    assert row.verdict == "undecided"


def test_a_run_counts_once():
    """Two pairs repeated four times went from p = 0.37 to 0.005."""
    dense, snips = runs("a", "dense", [1.0, 2.0]), runs("a", "snip", [1.5, 4.0])
    four = pd.concat([snips] * 4)
    for function in (lambda rows: lab.summarize(rows, ["model"]),
                     lambda rows: lab.paired(rows, dense, ["model"])):  # fmt: skip
        assert function(snips).n[0] == 2
        with pytest.raises(ValueError, match=r"twice in one group by model: model a.* seed 0"):
            function(four)
        with pytest.raises(ValueError, match="run x0, method snip, seed 0"):
            function(four.assign(run="x" + four.seed.astype(str), part=np.arange(8)))


def test_a_measurement_that_is_no_run_counts_once():
    """It has no column `run`, but may hold an array."""
    measured = runs("a", "snip", [1.5, 1.5]).assign(picture=[np.zeros(3), np.ones(3)])
    assert lab.summarize(measured, ["model"]).n[0] == 2  # of two seeds
    with pytest.raises(ValueError, match="twice in one group by model: model a, method snip"):
        lab.summarize(pd.concat([measured, measured]), ["model"])


def test_a_run_may_be_in_several_groups_and_on_several_data():
    snips = runs("a", "snip", [1.5, 4.0]).assign(run=["x0", "x1"], data="3af0")
    parts = pd.concat([snips.assign(part=part) for part in ("sweep", "table_1")])
    assert list(lab.summarize(parts, ["part"]).n) == [2, 2]
    with pytest.raises(ValueError, match="twice in one group by model: model a, run x0"):
        lab.summarize(parts, ["model"])
    both = pd.concat([snips, snips.assign(data="77c1")])
    assert lab.summarize(both, ["model"]).n[0] == 4


def test_pairs_share_no_run():
    """Two runs of a seed, of two sparsities, say, beside one dense run are no two seeds."""
    dense = runs("a", "dense", [1.0, 2.0])
    levels = [runs("a", "snip", errors).assign(sparsity=level)
              for level, errors in ((0.5, [1.5, 4.0]), (0.9, [2.5, 5.0]))]  # fmt: skip
    snips = pd.concat(levels)
    assert list(lab.paired(snips, dense, ["sparsity"]).n) == [2, 2]
    with pytest.raises(ValueError, match="by model share one of the base: model a, seed 0"):
        lab.paired(snips, dense, ["model"])


def test_words_for_errors_and_differences():
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


def test_a_row_is_quoted_with_and_without_its_interval():
    row = {"text": "+0.67 ± 0.05", "mean": 0.668, "half": 0.045, "verdict": "higher"}
    row |= {"least": 0.62, "most": 0.71, "n": 3}
    assert stats.quoted("cost", row) == {
        "cost": "0.67 ± 0.05", "cost.mean": "0.67", "cost.size": "0.67", "cost.tenths": "0.7",
        "cost.low": "0.62", "cost.open": "0.71", "cost.verdict": "higher",
        "cost.span": "0.6 to 0.7", "cost.pairs": "all 3 higher",
    }  # fmt: skip
    mixed = stats.quoted("cost", row | {"least": -0.12})
    assert (mixed["cost.span"], mixed["cost.pairs"]) == ("−0.1 to 0.7", "mixed")
    lower = stats.quoted("cost", row | {"least": -2.5, "most": -1.0})
    assert (lower["cost.span"], lower["cost.pairs"]) == ("1.0 to 2.5", "all 3 lower")
    alone = stats.quoted("error", {"text": "−1.25", "mean": -1.25, "half": math.nan})
    assert alone == {
        "error": "−1.25",
        "error.mean": "−1.25",
        "error.size": "1.25",
        "error.tenths": "−1.2",
    }
    # Ends that were cut at the smallest and the largest seed are quoted as the text has them.
    ends = {
        "mean": 48.6,
        "half": 60.0,
        "low": 21.3,
        "high": 87.02,
        "text": "48.60 (21.30 to 87.02)",
    }
    cut = stats.quoted("error", ends)
    assert (cut["error.low"], cut["error.open"]) == ("21.30", "87.02")
    lost = stats.quoted("error", {"text": "–", "mean": math.nan, "half": math.nan})
    assert set(lost.values()) == {"–"}


def test_a_table_is_quoted_row_by_row():
    fixed = {"text": "1.25", "mean": 1.25, "half": math.nan}
    table = pd.DataFrame([{"part": "no momentum", "sparsity": 0.95, "seed": 3, **fixed}])
    found = stats.quoted_table("variant", table, ["part", "sparsity", "seed"])
    assert found["variant.no_momentum.95.3.tenths"] == "1.2" and len(found) == 4


def test_a_difference_that_rounds_to_0_has_no_minus_sign():
    assert stats.points(-0.001) == "+0.00" and stats.tenths(-0.04) == "0.0"
    assert stats.points(-0.006) == "−0.01" and stats.tenths(-0.06) == "−0.1"
