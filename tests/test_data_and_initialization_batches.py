"""Larger batches, for scoring and training alike."""

import pandas as pd
import pytest
from conftest import configs_of, rows_for

import sniplab as lab
from sniplab.sections import COMMITTED
from sniplab.sections import data_and_initialization_batches as batches


def runs(size, sparsity, *errors):
    """A run for each error, seed by seed; dense at sparsity 0."""
    recipe, method = lab.Recipe(7_500_000 // size, batch_size=size), "snip" if sparsity else "dense"
    configs = [
        lab.Config("lenet-300-100", recipe, method, sparsity, seed, scoring_batch=size)
        for seed in range(len(errors))
    ]
    return rows_for(configs, errors)


def rows_of(*pruned_in_large):
    """At 90 % SNIP costs 0.5, 0.6, 0.7 in small batches."""
    return pd.concat([
        runs(50, 0.0, 1.5, 1.4, 1.3), runs(50, 0.9, 2.0, 2.0, 2.0),
        runs(1000, 0.0, 2.0, 2.0, 2.0), runs(1000, 0.9, *pruned_in_large),
    ], ignore_index=True)  # fmt: skip


def claim_of(rows, plan=None):
    (claim,) = batches.claims(rows, {"batches": plan or configs_of(rows)})
    return claim


def test_costs_of_two_sizes_are_compared_within_a_seed():
    rows = rows_of(3.5, 3.7, 3.6)
    assert batches.costs(rows)["mean"].tolist() == pytest.approx([0.6, 1.6])
    found = batches.values(rows)
    # By hand: 1.0, 1.1, 0.9; s = 0.1, t = 4.303, 4.303 * 0.1 / sqrt(3).
    assert found["batches_change.90"] == "1.00 ± 0.25"
    assert found["batches_cost.1000.90.mean"] == "1.60"
    assert found["batches_error.1000.0.mean"] == "2.00"
    at_10 = rows[rows.sparsity == 0.9].assign(sparsity=0.1)
    at_10["error"] -= [0.4, 0.5, 0.6] * (len(at_10) // 3)
    at_10["run"] += " at 10 %"
    found = batches.values(pd.concat([rows, at_10], ignore_index=True))
    assert found["batches_gap.1000"] == "0.50 ± 0.25"
    hundred = [runs(100, 0.0, 1.0, 1.0, 1.0), runs(100, 0.9, 2.3, 2.5, 2.4)]
    found = batches.values(pd.concat([rows, *hundred], ignore_index=True))
    # Costs of 1.5, 1.7, 1.6 in large batches and of 1.3, 1.5, 1.4 in those of 100.
    assert found["batches_change_from_100.90"] == "0.20 ± 0.00"
    assert found["batches_change_to_100.90"] == "0.80 ± 0.25"  # 0.8, 0.9, 0.7
    assert found["batches_change.90"] == "1.00 ± 0.25"


def test_snip_gets_worse_where_it_costs_more_in_large_batches():
    assert claim_of(rows_of(3.5, 3.7, 3.6))["verdict"] == "reproduced"
    assert claim_of(rows_of(1.5, 1.7, 1.6))["verdict"] == "not reproduced"
    assert claim_of(rows_of(2.5, 2.6, 2.8))["verdict"] == "inconclusive"
    rows = rows_of(3.5, 3.7, 3.6)
    assert claim_of(rows[1:], configs_of(rows))["verdict"] == "untested: 1 of 12 runs missing"


def test_a_line_for_each_sparsity_that_is_there():
    figure = batches.draw_batches(rows_of(3.5, 3.7, 3.6))
    left, right = figure.axes
    assert [line.get_label() for line in right.containers] == ["90 %"]
    assert [line.get_label() for line in left.containers] == ["dense", "90 %"]


def test_every_run_sees_as_many_images():
    (planned,) = batches.batches_plan(COMMITTED).values()
    assert {c.recipe.batch_size * c.recipe.iterations for c in planned} == {7_500_000}
    assert all(c.scoring_batch == c.recipe.batch_size for c in planned) and len(planned) == 80
