"""Fair random masks, other shuffles and the methods after SNIP, beside SNIP."""

import pandas as pd
import pytest
from conftest import configs_of, rows_for

import sniplab as lab
from sniplab.sections import COMMITTED, sweep_methods
from sniplab.sections.sweep import ABOVE

SNIPS = (2.0, 2.1, 2.3)  # errors of three seeds, at every sparsity


def runs(method, differences, sparsities=ABOVE, base=SNIPS, **how):
    """Three seeds of a method, whose errors are those of SNIP plus `differences`."""
    configs = [
        lab.Config("lenet-300-100", lab.Recipe(75_000), method, sparsity, seed, **how)
        for sparsity in sparsities
        for seed in range(3)
    ]
    errors = [error + more for error, more in zip(base, differences, strict=True)]
    return rows_for(configs, errors * len(sparsities))


def snips():
    """By the published protocol, and others that must not count, by the defaults of the code."""
    swept = runs("snip", (0, 0, 0)).assign(part="sweep")
    return pd.concat([swept, runs("snip", (5, 5, 5)).assign(part="defaults")])


def planned(rows):
    return {"methods": configs_of(rows)}


def claim_of(rows, method, plan=None):
    claims = sweep_methods.claims(rows, snips(), plan or planned(rows))
    return next(c for c in claims if c["id"] == f"beside_{method}.lenet-300-100")


def test_a_method_is_compared_with_snip_within_a_seed():
    rows = pd.concat([runs("erk", (0.4, 0.5, 0.6)), runs("force", (-0.3, 0.3, 0.03), [0.98])])
    table = sweep_methods.compared(rows, snips()).set_index(["method", "sparsity"])
    assert len(table) == 4 + 1 and (table.n == 3).all()
    assert table["mean"]["erk", 0.99] == pytest.approx(0.5)
    # By hand: s = 0.1, t = 4.303 for two degrees of freedom, 4.303 * 0.1 / sqrt(3).
    assert table.half["erk", 0.99] == pytest.approx(0.2484, abs=1e-4)
    assert table.verdict["erk", 0.99] == "higher" and table.verdict["force", 0.98] == "undecided"
    quoted = sweep_methods.values(rows, snips())
    assert quoted["beside.erk.99"] == "0.50 ± 0.25" and quoted["beside.force.98.mean"] == "0.01"
    assert quoted["pooled.erk"] == "0.50 ± 0.25"


def test_iterative_snip_is_compared_with_force_and_by_its_median():
    """Of one seed in three the mask may be broken: the mean is that seed's."""
    rows = pd.concat([runs("iterative-snip", (-0.1, 0.2, 9.0)), runs("force", (-0.2, 0.0, -0.1))])
    quoted = sweep_methods.values(rows, snips())
    assert quoted["median.iterative-snip.99"] == "0.20"
    assert quoted["iterative_minus_force.98.span"] == "0.1 to 9.1"


def test_the_shuffle_within_units_is_compared_with_the_full_one():
    swept = pd.concat([snips(), runs("shuffled", (0.1, 0.2, 0.3)).assign(part="sweep")])
    quoted = sweep_methods.values(runs("shuffled-units", (0.4, 0.6, 0.8)), swept)
    assert quoted["units_minus_shuffled.99.span"] == "0.3 to 0.5"


def test_a_second_training_is_compared_with_the_first_of_its_seed():
    once = runs("dense", (0, 0.1, 0.2), [0.0]).assign(part="sweep")
    again = runs("dense", (0.3, 0.4, 0.5), [0.0], pretrain=75_000)
    narrow = runs("dense", (5, 5, 5), [0.0], width=0.125)  # is dense, too
    quoted = sweep_methods.values(pd.concat([again, narrow]), pd.concat([snips(), once]))
    assert quoted["second_training.dense"] == "0.30 ± 0.00"


def test_random_masks_are_beaten_where_they_err_more_and_later_methods_beat_where_less():
    more, less = (0.4, 0.5, 0.6), (-0.4, -0.5, -0.6)
    assert claim_of(runs("erk", more), "erk")["verdict"] == "reproduced"
    assert claim_of(runs("erk", less), "erk")["verdict"] == "not reproduced"
    assert claim_of(runs("force", less), "force")["verdict"] == "reproduced"
    found = claim_of(runs("force", more), "force")
    assert found["verdict"] == "not reproduced" and found["seeds"] == 3
    assert found["ours"] == "FORCE − SNIP: +0.50 points: 0 of 4 hold"


def test_no_verdict_while_a_run_is_missing():
    rows = runs("grasp", (0.4, 0.5, 0.6))
    found = claim_of(rows.iloc[1:], "grasp", planned(rows))
    assert found["verdict"] == "untested: 1 of 12 runs missing" and found["ours"] == "–"
    assert claim_of(rows.iloc[:0], "grasp", {"methods": []})["verdict"] == "untested"


def narrow(differences):
    """As wide as leaves as many parameters as each sparsity."""
    widths = (0.111, 0.056, 0.022, 0.011)
    return pd.concat([runs("dense", differences, [0.0], width=width) for width in widths])


def test_a_narrow_network_stands_beside_the_sparsity_that_leaves_as_many_parameters():
    rows = pd.concat([runs("erk", (0.4, 0.5, 0.6)), narrow((1.0, 1.1, 1.2))], ignore_index=True)
    table = sweep_methods.compared(rows, snips()).set_index(["method", "sparsity"])
    assert table["mean"]["narrow"].tolist() == pytest.approx([1.1] * 4)
    assert table.loc["narrow"].index.tolist() == list(ABOVE)
    plan = planned(rows)
    assert claim_of(rows, "narrow", plan)["verdict"] == "reproduced"
    found = claim_of(rows.iloc[:-2], "narrow", plan)
    assert found["verdict"] == "untested: 2 of 12 runs missing"


def trained_first(differences, rewind):
    return runs("magnitude", differences, pretrain=75_000, rewind=rewind)


def test_a_network_pruned_after_training_is_a_method_of_its_own_name():
    trained = trained_first((0.4, 0.5, 0.6), rewind=False)
    rewound = trained_first((-0.4, -0.5, -0.6), rewind=True)
    again = runs("dense", (0, 0, 0), [0.0], (1.1, 1.3, 1.2), pretrain=75_000)
    rows = pd.concat([trained, rewound, again], ignore_index=True)
    table = sweep_methods.compared(rows, snips()).set_index("method")
    assert set(table.index) == {"trained", "rewound"}
    assert table["mean"]["trained"].tolist() == pytest.approx([0.5] * 4)
    assert table["mean"]["rewound"].tolist() == pytest.approx([-0.5] * 4)
    assert claim_of(rows, "rewound")["verdict"] == "reproduced"


def test_every_planned_method_has_its_panel():
    shown = {method for methods in sweep_methods.PANELS.values() for method in methods}
    (runs_planned,) = sweep_methods.methods_plan(COMMITTED).values()
    pruned = [config for config in runs_planned if config.method != "dense"]
    later = [config for config in pruned if not config.pretrain]
    own = {"narrow", "trained", "rewound"}
    assert shown == {config.method for config in later} | own | {"shuffled"}  # this of the sweep
    assert len(later) == 9 * 4 * 5 + 5 * 4 * 15 and len(pruned) - len(later) == 2 * 4 * 5
    widths = {(c.width, c.recipe.lr) for c in runs_planned if c.width < 1}
    assert widths == {(0.111, 0.1), (0.056, 0.1), (0.022, 0.02), (0.011, 0.02)}
    trained = [config for config in runs_planned if config.pretrain]
    assert len(trained) == 2 * 4 * 5 + 3 and {c.pretrain for c in trained} == {75_000}
    assert shown >= set(sweep_methods.QUESTIONS)
    errors = (0.4, 0.5, 0.6)
    rows = [runs(method, errors) for method in shown if method in lab.METHODS]
    rows += [narrow(errors)] + [trained_first(errors, rewind) for rewind in (False, True)]
    rows = pd.concat(rows, ignore_index=True)
    table = sweep_methods.compared(rows[rows.method != "shuffled"], snips())
    controls = sweep_methods.compared(rows, snips())  # as a table of controls, but without curves
    figure = sweep_methods.draw_methods(table, controls)
    panels = [len(axis.get_legend().get_texts()) for axis in figure.axes]
    assert panels == [3, 4, 4, 2]


def test_without_runs_nothing_is_drawn_or_claimed(recwarn):
    none = runs("erk", (0.4, 0.5, 0.6)).iloc[:0]
    table = sweep_methods.compared(none, snips())
    controls = sweep_methods.compared(runs("shuffled", (0.4, 0.5, 0.6)), snips())
    figure = sweep_methods.draw_methods(table, controls)
    assert table.empty and not recwarn.list
    assert [axis.get_legend() for axis in figure.axes] == [None] * 4
    assert sweep_methods.values(none, snips()) == {"median.iterative-snip.99": "–"}
