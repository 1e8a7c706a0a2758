"""LeNet-5-Caffe at the published rate, beside our Table 1 at a fifth of it."""

import pandas as pd
import pytest
from conftest import rows_for

from sniplab.recipe import Recipe
from sniplab.runs import Config
from sniplab.sections import sweep_published_rate as published_rate
from sniplab.sections import sweep_tables

CAFFE = "lenet-5-caffe"


def runs(method, sparsity, errors, model=CAFFE):
    configs = [Config(model, Recipe(75_000), method, sparsity, seed) for seed in range(len(errors))]
    return rows_for(configs, errors, error_last_five=[error - 0.1 for error in errors])


ROWS = pd.concat(
    [runs("dense", 0.0, (0.8, 0.7, 0.9)), runs("snip", 0.98, (1.0, 1.0, 1.3))], ignore_index=True
)
SWEPT = pd.concat(
    [
        runs("snip", 0.98, (1.2, 1.3, 1.7)).assign(part="table_1"),
        runs("snip", 0.98, (9.0, 9.0, 9.0)).assign(part="defaults"),  # of another recipe
        runs("snip", 0.98, (9.0, 9.0, 9.0), "lenet-300-100").assign(part="table_1"),
    ]
)


def test_it_is_compared_with_our_table_1_within_seeds():
    table = published_rate.change(ROWS, SWEPT)
    assert table.sparsity.tolist() == [0.98] and table.n.tolist() == [3]
    # By hand: -0.2, -0.3, -0.4; s = 0.1, t = 4.303, 4.303 * 0.1 / sqrt(3).
    assert table["mean"][0] == pytest.approx(-0.3)
    assert table.half[0] == pytest.approx(0.2484, abs=1e-4)


def test_the_numbers_of_its_prose():
    numbers = published_rate.values(ROWS, SWEPT)
    assert numbers["published_rate_error.0.mean"] == "0.80"
    assert numbers["published_rate_last_five.98.mean"] == "1.00"
    assert numbers["published_rate_cost.98.span"] == "0.2 to 0.4"  # 0.2, 0.3, 0.4
    assert numbers["published_rate_change.98"] == "−0.30 ± 0.25"
    assert published_rate.values(ROWS[:0], SWEPT) == {}


def test_it_stands_beside_the_published_numbers():
    shown = sweep_tables.published_text(sweep_tables.beside_published(ROWS))
    assert shown.network.unique().tolist() == ["LeNet-5-Caffe"]
    assert shown.published.tolist() == ["0.9", "0.8"] and shown.seeds.tolist() == [3, 3]
    # Of a profile without such runs nothing is shown, and nothing fails.
    none = sweep_tables.beside_published(ROWS[:0])
    assert sweep_tables.published_text(none).empty
