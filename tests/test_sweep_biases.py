"""All biases kept, beside biases pruned and counted."""

import dataclasses

import pandas as pd
import pytest
from conftest import rows_for

import sniplab as lab
from sniplab.sections import COMMITTED, sweep, sweep_biases, sweep_methods


def runs(method, errors, sparsity=0.99, **how):
    """A run for each error, seed by seed."""
    configs = [
        lab.Config("lenet-300-100", lab.Recipe(75_000), method, sparsity, seed, **how)
        for seed in range(len(errors))
    ]
    return rows_for(configs, errors)


# By the published protocol, and others that must not count: the defaults of the code, and the mask
# of a trained network, which is by magnitude, too.
SWEPT = pd.concat([
    runs("snip", (4.0, 4.1, 4.2)).assign(part="sweep"),
    runs("magnitude", (6.0, 6.0, 6.0)).assign(part="sweep"),
    runs("snip", (9.0, 9.0, 9.0)).assign(part="defaults"),
])  # fmt: skip
LATER = pd.concat([
    runs("force", (3.0, 3.1, 3.2)), runs("magnitude", (2.0, 2.0, 2.0), pretrain=75_000),
])  # fmt: skip
ROWS = pd.concat([
    runs("snip", (3.0, 3.2, 3.1), biases=False),
    runs("magnitude", (6.1, 6.0, 5.9), biases=False),
    runs("force", (3.1, 3.0, 3.2), biases=False),
])  # fmt: skip


def test_kept_biases_are_compared_within_a_method_and_seed():
    table = sweep_biases.compared(ROWS, LATER, SWEPT).set_index("method")
    expected = {"snip": -1.0, "magnitude": 0.0, "force": 0.0}
    assert table["mean"].to_dict() == pytest.approx(expected, abs=1e-9)
    assert (table.n == 3).all() and table.verdict["snip"] == "lower"
    # By hand: −1.0, −0.9, −1.1; s = 0.1, t = 4.303, 4.303 * 0.1 / sqrt(3).
    found = sweep_biases.values(ROWS, LATER, SWEPT)
    assert found["biases_kept.snip.99"] == "−1.00 ± 0.25"
    assert found["biases_kept_widest.99"] == "1.25"


def test_a_mask_that_leaves_no_path_tells_nothing_of_biases():
    """Both networks guess: neither side of such a pair counts."""
    cut = {"collapsed": "no path from input to output"}
    for rows, swept in ((ROWS, SWEPT.assign(**cut)), (ROWS.assign(**cut), SWEPT)):
        snip = sweep_biases.compared(rows[rows.method == "snip"], LATER, swept)
        assert snip.empty


def test_methods_are_compared_with_snip_at_equal_counting():
    table = sweep_biases.beside_snip(ROWS).set_index("method")
    assert table["mean"].to_dict() == pytest.approx({"magnitude": 2.9, "force": 0.0}, abs=1e-9)
    found = sweep_biases.values(ROWS, LATER, SWEPT)
    assert found["biases_kept_beside.magnitude.99.mean"] == "2.90"


def test_a_panel_for_each_sparsity():
    rows = pd.concat([ROWS, runs("snip", (2.0, 2.1, 2.2), 0.95, biases=False)])
    swept = pd.concat([SWEPT, runs("snip", (2.0, 2.0, 2.0), 0.95).assign(part="sweep")])
    figure = sweep_biases.draw_biases(sweep_biases.compared(rows, LATER, swept))
    assert [axis.get_title() for axis in figure.axes] == ["95 %", "99 %"]
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["SNIP", "magnitude at initialisation", "FORCE"]
    none = sweep_biases.compared(ROWS[:0], LATER, SWEPT)  # of a profile without such runs
    sweep_biases.draw_biases(none)


def test_every_run_has_its_twin():
    (planned,) = sweep_biases.biases_plan(COMMITTED).values()
    (later,) = sweep_methods.methods_plan(COMMITTED).values()
    assert len(planned) == 60 and not any(config.biases for config in planned)
    twins = {dataclasses.replace(config, biases=True) for config in planned}
    assert twins <= {*later, *sweep.plan(COMMITTED)["sweep"]}
