"""Verdicts follow from the rows by the rules, and from nothing else."""

import pandas as pd
import pytest

import sniplab as lab
from sniplab import claims


def runs(errors, model="lenet-300-100", method="snip", sparsity=0.95, **columns):
    cells = {"seed": range(len(errors)), "error": errors, "error_best": errors}
    fixed = {
        "model": model,
        "method": method,
        "sparsity": sparsity,
        "status": "ok",
        "norm": "running",
    }
    return pd.DataFrame(cells).assign(**(fixed | {"iterations": 75_000} | columns))


@pytest.mark.parametrize(
    ("errors", "columns", "verdict"),
    [
        ([1.6, 1.7, 1.65], {}, "reproduced"),  # published 1.6
        ([1.2, 1.6, 2.0], {}, "in part"),  # near, but ± 0.99
        ([1.7], {}, "untested"),  # near, but without an interval
        ([2.5], {}, "untested"),
        ([2.4, 2.5, 2.45], {}, "not"),
        ([2.4, 2.5, 2.45], {"error_best": 1.7}, "in part"),  # the best checkpoint is near
        ([1.6, 1.7, 1.65], {"iterations": 30_000}, "untested"),
        ([1.6, 1.7, 1.65], {"status": "diverged: nan"}, "untested"),
    ],
)
def test_a_number(errors, columns, verdict):
    claim = claims.number(runs(errors, **columns), "lenet-300-100", 0.95)
    assert claim["verdict"] == verdict and claim["published"] == "1.6 %"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ([-0.1, 0.0, 0.1], "reproduced"),  # published −0.1
        ([0.7, 0.8, 0.9], "not"),
        ([-0.5, 0.4, 1.3], "in part"),  # 0.4 ± 2.2 holds it
        ([0.0], "untested"),
    ],
)
def test_a_difference(changes, verdict):
    dense = runs([2.0] * len(changes), method="dense", sparsity=0.0)
    rows = pd.concat([dense, runs([2.0 + change for change in changes])])
    assert claims.change(rows, "lenet-300-100", 0.95)["verdict"] == verdict


def test_one_seed_tells_nothing_of_an_architecture():
    def table(*changes):
        dense = runs([20.0] * len(changes), "alexnet-s", "dense", 0.0, iterations=4212)
        snips = runs([20.0 + c for c in changes], "alexnet-s", "snip", 0.9, iterations=4212)
        return claims.architectures(pd.concat([dense, snips]), "")

    assert (
        table(0.2)["verdict"] == "untested" and table(0.2)["ours"] == "+0.20 to +0.20 in 1 network"
    )
    assert table(0.2, 0.3)["verdict"] == "reproduced" and table(3.0, 3.1)["verdict"] == "not"


def test_directions_and_memory():
    def batch(errors):
        fixed = {"scoring_batch": 1}
        rows = [runs([2.0, 2.1, 2.2], **fixed), runs(errors, **(fixed | {"scoring_batch": 10_000}))]
        return claims.scoring_batch(pd.concat(rows), 1, 10_000, -0.54)["verdict"]

    assert [batch([1.5, 1.6, 1.75]), batch([2.5, 2.6, 2.75])] == ["reproduced", "not"]
    assert batch([1.5]) == "untested"  # one pair

    def learns(*train_errors, learned=True):
        rows = runs([1.0] * len(train_errors), "lenet-5-caffe", "snip", 0.99)
        rows = rows.assign(labels="random", weight_decay=0.0, train_error=train_errors)
        return claims.memory(rows, "snip", 0.99, "random", learned)["verdict"]

    assert [learns(1.0, 2.0), learns(1.0, 9.0), learns(7.0, 9.0)] == [
        "reproduced",
        "in part",
        "not",
    ]
    assert [learns(80.0, 90.0, learned=False), learns(20.0, 90.0, learned=False)] == [
        "reproduced",
        "in part",
    ]


def test_pictures_are_judged_by_mean_image_and_magnitude():
    def verdict(plain, magnitude):
        cells = {"data": "MNIST", "sparsity": [0.1, 0.9], "seed": 0}
        hits = pd.DataFrame(cells).assign(hits=plain, hits_magnitude=magnitude)
        return claims.drawn(hits, "MNIST")["verdict"]

    assert [verdict(10, 10), verdict(4, 10), verdict(4, 9)] == ["reproduced", "in part", "not"]


def test_another_recipe():
    """Published: 1.7 % dense, 1.6 % at 95 %, 2.4 % at 98 %."""

    def told(**changes):
        cells = [
            (part, sparsity, mean, 0.1, n)
            for part, (n, *means) in changes.items()
            for sparsity, mean in zip((0, 0.95, 0.98), means, strict=False)
        ]
        return claims.recipes(
            pd.DataFrame(cells, columns=["part", "sparsity", "mean", "half", "n"])
        )

    far, shifted, close = (3, 1.4, 2.0, 3.1), (3, 0.8, 1.4, 2.4), (3, 1.7, 1.6, 2.7)
    assert told(a=far) == (
        "Of 1 change of the recipe, one at a time, none gives all three published errors of "
        "LeNet-300-100 within 0.3 points."
    )
    assert told(a=far, b=shifted).endswith(
        " SNIP's two alone come out with “b” (dense 0.80 ± 0.10 %)."
    )
    assert "Of 2 changes of the recipe, one at a time, 1 gives all" in told(a=far, b=close)
    assert told(a=far, b=close).endswith("within 0.3 points: b.")
    # What is unchanged, of one seed, or without one of its cells is not judged.
    others = {"as published": close, "one": (1, *close[1:]), "torn": close[:3]}
    assert told(**others) == told() == claims.recipes(pd.DataFrame())
    assert told().startswith("No change")


@pytest.mark.filterwarnings("ignore::sniplab.data.FallbackWarning")
def test_without_rows_every_claim_is_untested(tmp_path):
    rows = lab.known_rows("smoke", tmp_path)
    assert all(part.empty for part in rows.values())
    table = lab.claims_table(rows, tmp_path)
    assert set(table.verdict) == {"untested"} and set(table.rule) <= set(lab.RULES)
    assert table.claim.is_unique and (table.seeds == 0).all()
