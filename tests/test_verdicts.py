"""Verdicts follow from what is compared by the rules, and from nothing else."""

import math

import pandas as pd
import pytest

import sniplab as lab
from sniplab import verdicts


def runs(errors, **columns):
    cells = {"seed": range(len(errors)), "error": errors, "model": "lenet-300-100", "status": "ok"}
    return pd.DataFrame(cells).assign(**columns)


def summary(errors, **columns):
    return lab.summarize(runs(errors, **columns), ["model"]).iloc[0]


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [
        ([1.6, 1.7, 1.65], "reproduced"),  # published 1.6
        ([1.2, 1.6, 2.0], "inconclusive"),  # near, but ± 0.99
        ([1.7, 1.75, 1.8], "reproduced"),  # ± 0.12: the whole interval is near
        ([1.7, 1.8, 1.9], "in part"),  # ± 0.25: the mean is
        ([1.8, 2.0, 2.2], "inconclusive"),  # ± 0.50: far, but the interval holds 1.6
        ([1.6, 1.7, 1.65, None], "in part"),  # one seed is lost
        ([1.7], "untested"),  # near, but without an interval
        ([2.5], "untested"),
        ([2.4, 2.5, 2.45], "not reproduced"),
    ],
)
def test_a_number_beside_a_published_one(errors, verdict):
    assert verdicts.near(summary(errors), published=1.6) == verdict


def test_the_best_of_the_last_five_checkpoints_may_come_near():
    # LeNet-5-Caffe at 99 %: 1.47 ± 0.13, published 1.1; the best of 75 checkpoints, 1.400, would
    # just do; that of the last five, 1.453, does not.
    ours = summary([1.41, 1.48, 1.51])
    assert ours.text == "1.47 ± 0.13"
    assert verdicts.near(ours, 1.1, best=1.453) == verdicts.near(ours, 1.1) == "not reproduced"
    assert verdicts.near(ours, 1.1, best=1.400) == "in part"
    assert verdicts.near(summary([1.0, 1.4, 2.0]), 1.1, best=1.1) == "inconclusive"  # ± 1.25
    wide = summary([1.8, 2.0, 2.2])  # ± 0.50: it excludes 1.45, to which only the best comes near
    assert verdicts.near(wide, 1.45) == "not reproduced"
    assert verdicts.near(wide, 1.45, best=1.7) == "inconclusive"


def test_a_difference_beside_a_published_one():
    def of(*changes):
        dense = runs([2.0] * len(changes))
        pairs = lab.paired(runs([2.0 + change for change in changes]), dense, ["model"])
        return verdicts.near(pairs.iloc[0], published=-0.1)

    assert of(-0.15, -0.1, 0.0) == "reproduced" and of(0.7, 0.8, 0.9) == "not reproduced"
    assert of(0.0, 0.1, 0.2) == "in part"  # 0.1 ± 0.25: the mean is within 0.3
    assert of(-0.5, 0.4, 1.3) == "inconclusive"  # 0.4 ± 2.2 holds it, and much else
    assert of(0.0) == "untested"


@pytest.mark.parametrize(
    ("holds", "fails", "verdict", "how"),
    [
        ([True], None, "reproduced", ""),
        ([True, True], None, "reproduced", ": 2 of 2 hold"),
        ([True, False], None, "in part", ": 1 of 2 hold"),
        ([False, False], None, "not reproduced", ": 0 of 2 hold"),
        ([True, False, False], [False, True, False], "in part", ": 1 of 3 hold, 1 undecided"),
        ([True, False], [False, False], "in part", ": 1 of 2 hold, 1 undecided"),
        ([False, False], [True, False], "not reproduced", ": 0 of 2 hold, 1 undecided"),
        ([False], [False], "inconclusive", ""),
        ([], [], "untested", ""),
    ],
)
def test_several_comparisons(holds, fails, verdict, how):
    assert verdicts.judged(holds, fails) == (verdict, how)


def test_an_equality_needs_the_whole_interval():
    def of(*ends, lost=0):
        table = pd.DataFrame(ends, columns=["mean", "half"]).assign(lost=lost)
        return verdicts.equal({"ours": "x"}, table, 0.3)

    assert of((0.1, 0.1), (-0.1, 0.1)) == {"ours": "x: 2 of 2 hold", "verdict": "reproduced"}
    assert of((0.1, 0.1), (0.5, 0.1))["verdict"] == "in part"
    assert of((0.5, 0.1), (-0.5, 0.1))["verdict"] == "not reproduced"
    assert of((1.1 - 0.8, 0.0))["verdict"] == "reproduced"  # more than 0.3 to a computer
    assert of((0.1, 0.5))["verdict"] == of((0.4, 0.2))["verdict"] == "inconclusive"
    # An interval that there is not, of one pair, tells nothing.
    assert of((0.0, math.nan)) == {"ours": "x", "verdict": "untested"}
    assert of((0.0, math.nan), (0.1, 0.1))["verdict"] == "in part"
    # Of pairs of which one is lost nothing follows, either way.
    assert of((0.1, 0.1), lost=1)["verdict"] == of((0.5, 0.1), lost=1)["verdict"] == "inconclusive"


def test_a_published_difference_is_excluded_beyond_its_rounding():
    """Published: −0.03, of two errors with two digits."""

    def verdict(mean):
        row = {"mean": [mean], "half": [0.07], "lost": [0], "published": [-0.03]}
        return verdicts.directed(pd.DataFrame(row).assign(verdict="undecided"), "lower")[0]

    assert verdict(0.045) == "inconclusive" and verdict(0.055) == "not reproduced"


def test_a_dense_network_is_trained_out_within_a_point_of_the_published():
    assert verdicts.undertrained(16.5, 8.2) == (
        "dense network not trained out (16.5 %, published 8.2)"
    )
    assert verdicts.undertrained(9.21, 8.2)
    assert verdicts.undertrained(9.2, 8.2) == verdicts.undertrained(5.0, 8.2) == ""
    assert verdicts.undertrained(math.nan, 8.2) == "no dense network ended well"


def test_a_claim_is_untested_until_it_is_judged():
    words = {"claim": "It holds.", "published": "1 %", "runs": "none", "seeds": 3}
    where = {"group": verdicts.GROUPS[0], "section": "§1", "rule": "number"}
    claim = verdicts.new_claim("cost", **where, **words)
    assert (claim["id"], claim["ours"], claim["verdict"]) == ("cost", "–", "untested")
    assert claim | words | where == claim
    with pytest.raises(ValueError, match="unknown group of claims 'errors'; known: "):
        verdicts.new_claim("cost", **(where | {"group": "errors"}), **words)
    with pytest.raises(ValueError, match="unknown rule 'taste'"):
        verdicts.new_claim("cost", **(where | {"rule": "taste"}), **words)


def test_words_for_differences_and_runs():
    assert verdicts.from_to([0.3, 4.021]) == "+0.30 to +4.02"
    assert verdicts.from_to([-0.1, -0.1001]) == "−0.10"
    assert verdicts.fewest(pd.DataFrame({"n": [3, 2]})) == 2
    assert verdicts.fewest(pd.DataFrame({"n": []})) == 0
    assert [verdicts.at(0.95), verdicts.at(0.0)] == ["at 95 %", "dense"]
    own = runs([1.0, 2.0], iterations=[1000, 75_000], reinit="")
    assert verdicts.length_of(own) == "1,000 to 75,000 iterations"
    theirs = own.assign(reinit="vs")
    assert verdicts.length_of(theirs).endswith("iterations, the code's defaults")
    assert verdicts.length_of(pd.concat([own, theirs])) == "1,000 to 75,000 iterations"
    assert verdicts.length_of(own[:0]) == "no runs yet"
    assert list(verdicts.close(pd.Series([1.1 - 0.8, -0.31]))) == [True, False]
