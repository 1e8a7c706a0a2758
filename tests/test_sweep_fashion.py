"""What SNIP costs on Fashion-MNIST beside what it costs on MNIST."""

import pandas as pd
import pytest
from conftest import configs_of, rows_for

from sniplab.recipe import Recipe
from sniplab.runs import Config
from sniplab.sections import COMMITTED, sweep_fashion, sweep_tables

LEVELS = (0.5, 0.9)


def runs(dataset, method, errors):
    """Three seeds at each sparsity, 0 where the network is dense."""
    levels = LEVELS if method == "snip" else (0.0,)
    configs = [config(dataset, method, level, seed) for level in levels for seed in range(3)]
    return rows_for(configs, [*errors] * len(levels))


def config(dataset, method, sparsity, seed):
    return Config("lenet-300-100", Recipe(75_000), method, sparsity, seed, dataset)


def swept():
    """On MNIST SNIP costs 0.5, 0.6, 0.7; runs by the defaults of the code must not count."""
    found = [runs("mnist", "dense", (1.5, 1.4, 1.3)), runs("mnist", "snip", (2.0, 2.0, 2.0))]
    by_protocol = pd.concat(found).assign(part="sweep")
    return pd.concat([by_protocol, by_protocol.assign(part="defaults", error=9.0)])


def fashion(*extra):
    dense = (10.0, 10.2, 10.4)
    pruned = [a + b for a, b in zip(dense, extra, strict=True)]
    parts = [runs("fashion_mnist", "dense", dense), runs("fashion_mnist", "snip", pruned)]
    return pd.concat(parts, ignore_index=True)


def claim_of(rows, missing=0):
    plan = configs_of(rows)
    plan += [config("fashion_mnist", "dense", 0.0, seed) for seed in range(7, 7 + missing)]
    (claim,) = sweep_fashion.claims(rows, swept(), {"fashion": plan})
    return claim


def test_costs_are_compared_within_a_seed():
    both = sweep_fashion.on_both(fashion(1.5, 1.7, 1.6), swept())
    costs = sweep_tables.costs(both, "dataset").set_index(["dataset", "sparsity"])["mean"]
    assert costs["mnist", 0.9] == pytest.approx(0.6)
    assert costs["fashion_mnist", 0.9] == pytest.approx(1.6)
    table = sweep_fashion.harder(both).set_index("sparsity")
    # By hand: 1.0, 1.1, 0.9; s = 0.1, t = 4.303, 4.303 * 0.1 / sqrt(3).
    assert table["mean"].tolist() == pytest.approx([1.0, 1.0])
    assert table.half[0.9] == pytest.approx(0.2484, abs=1e-4)
    quoted = sweep_fashion.values(fashion(1.5, 1.7, 1.6), swept())
    assert quoted["harder.90"] == "1.00 ± 0.25" and quoted["fashion_cost.50.mean"] == "1.60"
    assert quoted["fashion_error.0.tenths"] == "10.2"


def test_it_is_harder_where_it_costs_more():
    assert claim_of(fashion(1.5, 1.7, 1.6))["verdict"] == "reproduced"
    assert claim_of(fashion(-1.5, -1.7, -1.6))["verdict"] == "not reproduced"
    found = claim_of(fashion(0.5, 0.6, 0.8))
    assert found["verdict"] == "inconclusive" and found["seeds"] == 3
    assert found["ours"].endswith("+0.03 points: 0 of 2 hold, 2 undecided")


def test_no_verdict_while_a_run_is_missing():
    found = claim_of(fashion(1.5, 1.7, 1.6), missing=2)
    assert found["verdict"] == "untested: 2 of 11 runs missing" and found["ours"] == "–"
    assert claim_of(fashion(1.5, 1.7, 1.6).iloc[:0])["verdict"] == "untested"


def test_a_line_for_each_data_set():
    both = sweep_fashion.on_both(fashion(1.5, 1.7, 1.6), swept())
    figure = sweep_fashion.draw_costs(sweep_tables.costs(both, "dataset"))
    (axis,) = figure.axes
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels == ["MNIST", "Fashion-MNIST"]
    (planned,) = sweep_fashion.fashion_plan(COMMITTED).values()
    assert {config.dataset for config in planned} == {"fashion_mnist"}
