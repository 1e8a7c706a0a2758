"""§5.6: what is run on random labels, and what may be said of it."""

import math

import pandas as pd
import pytest
import scipy.stats
from conftest import configs_of, no_images, rows_for

import sniplab as lab
from sniplab import methods
from sniplab.recipe import Recipe
from sniplab.runs import Config
from sniplab.sections import COMMITTED, PROFILES, RESULTS, random_labels, select, stored_table
from sniplab.sections import random_labels_comparisons as comparisons
from sniplab.sections import random_labels_figures as figures
from sniplab.sections.random_labels import NETWORK, SECOND, held_back, memory

SEVERED = "no path from input to output"
UNABLE = "untested: dense network does not learn them"


def made(errors, part="usual", model=NETWORK, labels="random", sparsity=0.9, iterations=15_000):
    """Rows of a part, from training errors by method, one for each seed."""
    recipe = Recipe(iterations, weight_decay=5e-4 * (part == "decayed"), checkpoints=1)
    configs = [
        Config(model, recipe, method, sparsity * (method != "dense"), seed, labels=labels)
        for method, of_seeds in errors.items()
        for seed in range(len(of_seeds))
    ]
    found = [error for of_seeds in errors.values() for error in of_seeds]
    status = ["diverged: nan" if math.isnan(error) else "ok" for error in found]
    return rows_for(configs, found, part=part, status=status, train_error=found, kept=1000)


def together(*parts):
    return pd.concat(parts, ignore_index=True)


def planned(rows):
    """The plan that these rows fulfil."""
    parts = ("usual", "decayed", "longer")
    return {part: configs_of(rows[rows.part == part]) for part in parts}


# ------------------------------------------------------------------------------------ what is run


def test_a_desktop_sees_all_images_and_one_network_longer():
    plan = random_labels.plan("desktop")
    every = [config for part in plan.values() for config in part]
    assert {c.train_images for c in every} == {0} and {c.seed for c in every} == {0, 1, 2}
    assert {c.recipe.weight_decay for c in plan["usual"] + plan["longer"]} == {0.0}
    assert {(c.model, c.method, c.labels, c.recipe.weight_decay) for c in plan["decayed"]} == {
        (NETWORK, "dense", "random", 5e-4)
    }
    assert {(c.model, c.method, c.sparsity, c.labels) for c in plan["longer"]} == {
        (SECOND, "snip", 0.99, "random")
    }
    assert {c.recipe.iterations for c in plan["longer"]} == {300_000}
    lengths = {(c.model, c.recipe.iterations, c.recipe.lr) for c in plan["usual"]}
    assert lengths == {(NETWORK, 15_000, 0.02), (SECOND, 75_000, 0.01)}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_choice_of_connections_meets_snip_and_dense(profile):
    runs = {(c.model, c.labels, c.sparsity, c.seed, c.method)
            for c in random_labels.plan(profile)["usual"]}  # fmt: skip
    for model, labels, sparsity, seed, method in runs:
        for other in comparisons.PRUNED if sparsity else ["dense"]:
            assert (model, labels, sparsity, seed, other) in runs
        assert method != "dense" or sparsity == 0
        assert (model, labels, 0.0, seed, "dense") in runs


def test_a_plan_is_changed_by_what_the_user_says():
    plan = random_labels.plan(
        "smoke", "digits", models=SECOND, seeds=3, iterations=7, train_images=0
    )
    every = [config for part in plan.values() for config in part]
    assert {(c.model, c.dataset, c.train_images) for c in every} == {(SECOND, "digits", 0)}
    assert {c.seed for c in every} == {0, 1, 2} and plan["decayed"] == []
    assert [c.recipe.iterations for c in plan["longer"]] == [28, 28, 28]
    with pytest.raises(ValueError, match=f"'gru-s'; known: {NETWORK}, {SECOND}"):
        random_labels.plan("smoke", models=["gru-s"])


def test_the_number_of_train_images_of_the_committed_report_needs_no_data(monkeypatch):
    whole = random_labels.plan("desktop")
    few = random_labels.plan("quick")
    digits = random_labels.plan("paper", "digits")
    assert random_labels.images_seen(digits, "paper") == 3600
    monkeypatch.setattr(random_labels, "load_data", no_images)
    assert random_labels.images_seen(whole, COMMITTED) == 54_000
    assert random_labels.images_seen(few, "quick") == 200
    with pytest.raises(AssertionError, match="images were read"):
        random_labels.images_seen(whole, "paper")


# -------------------------------------------------------------------------------------- the curves


@pytest.mark.parametrize(
    ("key", "dense", "errors", "verdict"),
    [
        ("dense_random", (1.0, 9.0), (), "reproduced"),
        ("dense_random", (85.0, 90.0), (), "not reproduced"),
        ("dense_random", (1.0, 12.0), (), "in part"),
        ("dense_random", (30.0, 50.0), (), "in part"),
        ("dense_random", (1.0, math.nan), (), "in part"),
        ("dense_random", (math.nan, math.nan), (), "untested"),
        ("dense_random", (1.0,), (), "untested"),
        ("pruned_random", (1.0, 1.0), (85.0, 90.0), "reproduced"),
        ("pruned_random", (1.0, 1.0), (20.0, 90.0), "in part"),
        ("pruned_random", (1.0, 1.0), (30.0, 50.0), "in part"),
        ("pruned_random", (1.0, 1.0), (1.0, 2.0), "not reproduced"),
        # If the dense network cannot learn them in every seed, sparsity is not the reason.
        ("pruned_random", (1.0, 88.0), (85.0, 90.0), UNABLE),
        ("pruned_random", (1.0,), (85.0, 90.0), UNABLE),
    ],
)
def test_memory(key, dense, errors, verdict):
    rows = made({"dense": dense, "snip": errors}, sparsity=0.99)
    claim = memory(rows, planned(rows), key)
    assert claim["verdict"] == verdict and claim["seeds"] == len(errors or dense)
    assert claim["id"] == f"memory.{key}" and claim["group"] == "random labels"


def test_memory_is_of_the_labels_the_sparsity_and_the_decay_of_its_curve():
    rows = together(
        made({"dense": (1.0, 2.0), "snip": (85.0, 87.0)}, sparsity=0.99),
        made({"dense": (0.0, 0.0), "snip": (0.5, 0.7)}, sparsity=0.99, labels="true"),
        made({"dense": (3.0, 4.0)}, part="decayed"),
        made({"snip": (50.0, 51.0)}, sparsity=0.9),
        made({"dense": (30.0, 31.0), "snip": (40.0, 41.0)}, sparsity=0.99, model=SECOND),
    )
    plan = planned(rows)
    ours = {key: memory(rows, plan, key)["ours"] for key in random_labels.CURVES}
    assert ours == {
        "dense_true": "0.0 % training error",
        "dense_random": "1.0 to 2.0 % training error",
        "dense_random_l2": "3.0 to 4.0 % training error",
        "pruned_true": "0.5 to 0.7 % training error",
        "pruned_random": "85.0 to 87.0 % training error",
    }
    table = random_labels.beside_published(
        rows.assign(train_loss=rows.train_error, error=rows.train_error), plan
    )
    assert list(table.verdict) == ["reproduced"] * 5
    assert list(table["training error (%)"])[3] == "0.60 (0.50 to 0.70)"
    claims = random_labels.claims(rows, plan)
    assert [c["claim"] for c in claims[:4]] == [
        "LeNet-5-Caffe dense learns random labels",
        "LeNet-5-Caffe dense with L2 learns random labels",
        "LeNet-5-Caffe at 99 % learns true labels",
        "LeNet-5-Caffe at 99 % fails to learn random labels",
    ]


def test_no_verdict_on_a_curve_of_which_a_run_is_missing():
    rows = made({"dense": (1.0, 2.0, 3.0), "snip": (85.0, 86.0, 87.0)}, sparsity=0.99)
    plan = planned(rows)
    for key, method in (("dense_random", "dense"), ("pruned_random", "snip")):
        fewer = rows[(rows.method != method) | (rows.seed < 2)]
        claim = memory(fewer, plan, key)
        assert claim["verdict"] == "untested: 1 of 3 runs missing" and claim["seeds"] == 2
    assert memory(rows, plan, "pruned_random")["verdict"] == "reproduced"
    table = random_labels.beside_published(
        fewer.assign(train_loss=0.0, error=0.0), plan
    )  # SNIP's third run is the one that is missing
    missing = "untested: 1 of 3 runs missing"
    assert list(table.verdict[[0, 1, 4]]) == ["untested", "reproduced", missing]


def test_a_run_that_is_there_twice_is_refused():
    rows = made({"dense": (1.0,), "snip": (85.0,)}, sparsity=0.99)
    twice = together(rows, rows)
    for claim in (lambda r, p: memory(r, p, "dense_random"), held_back):
        assert claim(rows, planned(rows))["verdict"] == "untested"  # of one seed
        with pytest.raises(ValueError, match=r"two (rows|runs) of"):
            claim(twice, planned(rows))


def test_curves_of_runs_that_ended_well():
    rows = made({"dense": (1.0, 1.0, math.nan), "snip": (85.0,) * 2}, sparsity=0.99, iterations=100)
    rows = rows.assign(loss_curve="2.3 1.5", error_curve="90 40.5")
    points = random_labels.curve_points(random_labels.published_runs(rows))
    dense = points[points.curve == "dense, random labels"]
    assert list(dense.seed) == [0, 0, 1, 1] and list(dense.iteration) == [25, 75, 25, 75]
    assert list(dense.loss[:2]) == [2.3, 1.5] and list(dense.error[:2]) == [90, 40.5]
    assert list(points.seed) == [0, 0, 0, 0, 1, 1, 1, 1]  # seed by seed
    assert random_labels.curve_points(random_labels.published_runs(rows[:0])).empty


# ------------------------------------------------------------------------------------- comparisons


HIGHER, LOWER, EQUAL = (50.0, 51.2, 51.8), (30.0, 31.2, 31.8), (10.0, 41.0, 90.0)
SURE = "training error: +10.00 ± 0.50 points"


def choices(dense=(2.0, 3.0, 1.0), snip=(40.0, 41.0, 42.0), cut=(), **others):
    rows = made({"dense": dense, "snip": snip, **others})
    return rows.assign(collapsed=[SEVERED if m in cut else "" for m in rows.method])


def told(rows):
    claim = held_back(rows, planned(rows))
    return claim["verdict"], claim["ours"]


def test_what_other_choices_learn_by_heart():
    assert told(choices(random=HIGHER)) == ("not reproduced", SURE)
    assert told(choices(random=LOWER))[0] == "reproduced"
    assert told(choices(random=LOWER, shuffled=HIGHER))[0] == "in part"
    assert told(choices(random=EQUAL))[0] == "inconclusive"  # undecided
    # Nothing is told by labels that the dense network does not learn in every seed,
    assert told(choices(random=HIGHER, dense=(2.0, 11.0, 1.0))) == ("untested", "–")
    assert told(choices(random=HIGHER, dense=(2.0, math.nan, 1.0))) == ("untested", "–")
    guess = (85.0, 85.2, 85.1)  # by two networks that learn next to none of them,
    assert told(choices(random=(88.0, 88.1, 88.2), snip=guess)) == ("untested", "–")
    assert told(choices(random=LOWER, snip=guess))[0] == "reproduced"
    # by one that is cut in two, or by a run that is longer than the others.
    severed = choices(random=HIGHER, shuffled=(90.0, 90.2, 90.1), cut=["shuffled"])
    assert told(severed) == ("not reproduced", SURE)
    longer = made({"snip": (0.0, 0.0, 0.0)}, part="longer", iterations=60_000)
    assert told(together(choices(random=HIGHER), longer)) == ("not reproduced", SURE)
    true = made({"dense": (0.0,) * 3, "snip": (1.0, 1.1, 1.2), "random": LOWER}, labels="true")
    assert told(together(choices(random=HIGHER), true)) == ("not reproduced", SURE)


def test_no_verdict_on_choices_while_a_run_is_missing():
    rows = choices(random=LOWER, shuffled=HIGHER)
    plan = planned(rows)
    assert held_back(rows, plan)["verdict"] == "in part"
    missing = {  # another choice, one seed of one
        "3 of 12": rows[rows.method != "shuffled"],
        "1 of 12": rows[(rows.method != "random") | (rows.seed > 0)],
    }
    for how, fewer in missing.items():
        claim = held_back(fewer, plan)
        assert claim["verdict"] == f"untested: {how} runs missing"
    # On true labels, which share the correction.
    true = made({"dense": (0.0,) * 3, "snip": (1.0, 1.1, 1.2), "random": LOWER}, labels="true")
    claim = held_back(rows, planned(together(rows, true)))
    assert claim["verdict"] == "untested: 9 of 21 runs missing"


def test_a_comparison_that_lost_a_pair_is_undecided():
    lost = (*LOWER[:2], math.nan)
    snip = (40.0, 41.0, 42.0)  # −10.0, −9.8: told apart, even of two pairs
    verdict, ours = told(choices(random=lost, shuffled=LOWER, snip=snip))
    assert verdict == "in part" and ours.endswith(": 1 of 2 hold, 1 undecided")
    assert told(choices(random=lost, snip=snip))[0] == "inconclusive"
    assert told(choices(random=(50.0, 50.8, math.nan), snip=snip))[0] == "inconclusive"


def test_a_table_is_one_family():
    true = made({"dense": (0.0,) * 3, "snip": (1.0, 1.1, 1.3), "random": EQUAL}, labels="true")
    usual = comparisons.usual_runs(together(choices(random=HIGHER, shuffled=LOWER), true))
    table = comparisons.other_choices(usual)
    assert len(table) == 3
    assert list(table.q) == pytest.approx(list(scipy.stats.false_discovery_control(table.p)))


def test_what_has_no_verdict_says_why_and_is_not_corrected_for():
    guess = made(
        {"snip": (86.0, 86.1, 86.3), "random": (88.0, 88.2, 88.5)}, sparsity=0.99
    )  # dense, at 0, is in `choices`
    usual = comparisons.usual_runs(together(choices(random=HIGHER), guess))
    table = comparisons.other_choices(usual).set_index("sparsity")
    assert table.verdict[0.9] == "higher" and table.q[0.9] == table.p[0.9]
    assert table.verdict[0.99] == "both fit hardly any" and math.isnan(table.q[0.99])
    assert table["mean"][0.99] == pytest.approx(2.1)
    dense = comparisons.usual_runs(choices(random=HIGHER, dense=(2.0, 50.0, 1.0)))
    assert set(comparisons.other_choices(dense).verdict) == {"dense does not fit"}
    assert set(comparisons.usual_runs(usual[usual.method != "dense"]).why_not) == {"dense not run"}


def test_where_snip_memorises_most():
    rows = together(
        choices(random=LOWER),  # at 90 %
        made({"snip": (60.0, 70.0), "random": (80.0, 81.0)}, sparsity=0.98),
        made({"snip": (85.0, 86.0), "random": (88.0, 89.0)}, sparsity=0.99),  # none fits anything
    )
    assert comparisons.snip_first(comparisons.usual_runs(rows)) == "1 of 2"
    true = comparisons.usual_runs(rows.assign(labels="true"))
    assert comparisons.snip_first(true) == "–"


def test_a_longer_run_is_compared_with_the_usual_one():
    usual = made({"snip": (86.0, 87.0)}, sparsity=0.99, model=SECOND)
    longer = made({"snip": (85.0, 85.5)}, sparsity=0.99, model=SECOND, part="longer")
    others = made({"snip": (10.0, 20.0), "random": (30.0, 40.0)}, sparsity=0.9, model=SECOND)
    rows = together(usual, longer, others)
    (row,) = random_labels.longer_minus_usual(rows).itertuples()
    assert row.n == 2 and row.mean == pytest.approx(-1.25)
    assert random_labels.longer_minus_usual(rows[:2]).empty


# --------------------------------------------------------------------------------- what is counted


def test_bits_about_random_labels():
    assert comparisons.label_bits([0, 90, 95]) == pytest.approx([math.log2(10), 0, 0], abs=1e-9)
    half = math.log2(10) - 1 - 0.5 * math.log2(9)  # one bit says whether it is right
    assert comparisons.label_bits(50) == pytest.approx(half)
    error = comparisons.least_error(4311, 54_000)  # LeNet-5-Caffe at 99 %
    assert 54_000 * comparisons.label_bits(error) <= 32 * 4311
    assert 54_000 * comparisons.label_bits(error - 0.01) > 32 * 4311
    assert comparisons.least_error(4311, 500) == 0
    assert comparisons.least_error(4311, 54_000, bits=1) > 2 * error


def test_bits_that_each_parameter_has_learned():
    rows = together(
        choices(dense=(0.0,) * 3, snip=(90.0,) * 3, random=(50.0, 50.0, math.nan)),
        made({"snip": (0.0,)}, labels="true"),  # says nothing about random ones
    )
    table = comparisons.bits_per_parameter(comparisons.usual_runs(rows), images=2000)
    assert list(table.need) == pytest.approx([2 * math.log2(10)] * 2)
    assert table.dense[0] == pytest.approx(2 * math.log2(10)) and table.snip[1] == pytest.approx(0)
    assert table.random[1] == pytest.approx(2 * comparisons.label_bits(50))
    few = comparisons.usual_runs(rows.assign(train_images=500))
    table = comparisons.bits_per_parameter(few, images=2000)
    assert table.random[1] == pytest.approx(0.5 * comparisons.label_bits(50))


def test_the_number_of_train_images_is_that_of_the_data():
    assert random_labels.TRAIN_IMAGES == stored_table("4_data").train_images[0]


# ------------------------------------------------------------------------------------ a first trial


def test_what_is_trained_on_random_labels_is_tested_on_them(digits):
    few = random_labels.relabelled(digits, images=200)
    assert len(few.y_train) == 200 and few.x_test.equal(digits.x_train[:200])
    assert few.y_test.equal(few.y_train) and not few.y_train.equal(digits.y_train[:200])
    course = lab.compare(SECOND, None, few, steps=100, images=200)
    assert course.error.iloc[-1] < 20  # percent; 90 by guessing


def test_values_of_the_committed_rows():
    plan = random_labels.plan(COMMITTED)
    values = random_labels.values(select(plan, RESULTS / "5_random_labels.csv"), plan)
    table = pd.read_csv(RESULTS.parent / "figures" / "5_table.csv").set_index("curve")
    ours = table["training error (%)"]["pruned, random labels"]
    assert values["memory.error.lenet-5-caffe.snip.random.99"] == ours
    differences = pd.read_csv(RESULTS.parent / "figures" / "5_differences.csv")
    asked = differences[(differences.labels == "random") & differences.q.notna()]
    assert values["memory.controls.higher"] == str((asked.verdict == "higher").sum())
    at = asked[(asked.network == "LeNet-5-Caffe") & (asked.method == "random")].iloc[0]
    name = "memory.control.lenet-5-caffe.random.random.90"
    assert values[name] == at.text.removeprefix("+") and values[f"{name}.verdict"] == at.verdict
    assert values[f"{name}.tenths"] == f"{at['mean']:.1f}" and values["memory.images"] == "54,000"
    assert values["memory.least_error.all_bits.lenet-5-caffe"] == "9.7"
    wrong = values["memory.error.lenet-5-caffe.snip.random.99.mean"]
    bits = 54_000 * comparisons.label_bits(float(wrong)) / 4311
    assert values["memory.bits.snip.lenet-5-caffe"] == f"{bits:.2f}"


# ----------------------------------------------------------------------------------------- figures


def test_the_figure_by_method_takes_its_methods_from_the_table(monkeypatch):
    new = methods.Method("new", "a new one", "#123456", "*", ":", None)
    monkeypatch.setitem(methods.METHODS, "new", new)
    rows = together(
        choices(new=LOWER),
        made({"snip": (60.0, 70.0), "new": (20.0, 30.0)}, sparsity=0.99),
        made({"new": (1.0, 3.0)}, sparsity=0.99, labels="true"),
        made({"snip": (60.0, 70.0)}, sparsity=0.95, model=SECOND),
    )
    above, below = figures.draw_memory(comparisons.usual_runs(rows)).axes
    assert [text.get_text() for text in above.get_yticklabels()] == ["dense", "SNIP", "a new one"]
    assert above.get_title() == "LeNet-5-Caffe" and below.get_title() == "LeNet-300-100"
    assert [text.get_text() for text in below.texts] == ["95"]
    drawn = [bars.lines[0] for bars in above.containers if bars.lines[0].get_marker() == "*"]
    random, true = drawn
    assert list(random.get_xdata()) == pytest.approx([31.0, 25.0]) and list(true.get_xdata()) == [2]
    assert random.get_color() == "#123456" and true.get_markerfacecolor() == "white"
    assert true.get_ydata()[0] > random.get_ydata()[0]  # beside it, or one hides the other
    assert len(figures.draw_memory(comparisons.usual_runs(rows[:0])).axes) == 1


def test_the_figure_of_curves():
    rows = made({"dense": (1.0, 2.0), "snip": (85.0, 85.0)}, sparsity=0.99, iterations=100)
    rows = rows.assign(loss_curve="2 1", error_curve="90 40")
    points = random_labels.curve_points(random_labels.published_runs(rows))
    figure = figures.draw_curves(points)
    left, right = figure.axes
    assert len(left.lines) == 3 and len(right.lines) == 2  # error and guessing; loss alone
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    assert names == {*points.curve, "guessing"}
    figures.draw_curves(points[:0])
