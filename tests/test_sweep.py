"""The sparsity sweep: its runs, its tables, its claims, and a method that somebody adds."""

import math

import pandas as pd
import pytest
import torch
from conftest import configs_of, no_images, rows_for

import snipcore as snip
import sniplab as lab
from sniplab.runs import config as config_file
from sniplab.sections import COMMITTED, sweep, sweep_claims, sweep_paths, sweep_time
from sniplab.sections import sweep_figures as figures
from sniplab.sections import sweep_tables as tables

LENET, CAFFE = "lenet-300-100", "lenet-5-caffe"

# ------------------------------------------------------------------------------------- what is run


def test_the_sweep_is_paired_and_complete():
    configs = sweep.plan("paper")["sweep"]
    cells = {(c.model, c.method, c.sparsity) for c in configs}
    assert len(cells) == 2 * (1 + 4 * 12)  # dense, and four methods at twelve sparsities
    assert len(configs) == len(set(configs)) == 98 * 20
    assert len(sweep.plan("paper", seeds=1, iterations=5)["sweep"]) == 98
    for profile in lab.PROFILES:
        methods = {c.method for c in sweep.plan(profile)["sweep"]}
        assert methods == {"dense", "snip", *sweep.CONTROLS}


def test_the_committed_sweep_follows_the_protocol_and_the_defaults_the_reference():
    plan = sweep.plan("desktop")
    published = plan["table_1"]
    assert len(published) == 3 * 20 + 3 * 3
    assert {(c.recipe.iterations, c.recipe.schedule) for c in published} == {(75_000, "stages")}
    assert {c.recipe.lr for c in published if c.model == CAFFE} == {0.02}
    swept = {name: [c for c in plan["sweep"] if c.model == name] for name in (LENET, CAFFE)}
    assert len(swept[LENET]) == 5 * (13 + 18) + 15 * (1 + 4 * 4)  # twenty seeds from 90 % on
    assert len(swept[CAFFE]) == 3 * 10 and {c.recipe.lr for c in swept[CAFFE]} == {0.02}
    assert {c.recipe for c in swept[LENET]} == {published[0].recipe}
    assert len(set(plan["sweep"]) & set(published)) == 20 * 3  # which are trained once
    defaults = plan["defaults"]
    # Of LeNet-5-Caffe three seeds more from 90 % on.
    assert len(defaults) == 5 * (13 + 18) + 3 * (13 + 15) + 3 * (1 + 4 * 4)
    assert {c.recipe for c in defaults} == {lab.REFERENCE} and {c.reinit for c in defaults} == {
        "vs"
    }
    short = sweep.plan("desktop", seeds=1, iterations=5)["defaults"]
    assert {c.recipe.iterations for c in short} == {5} and len(short) == 31 + 28
    assert sweep.plan("quick")["defaults"] == []


@pytest.mark.parametrize("profile", lab.PROFILES)
def test_a_variant_changes_one_thing(profile):
    plan = sweep.plan(profile)
    variants = {part: runs for part, runs in plan.items() if part.startswith(tables.VARIANT)}
    plain = variants.pop(tables.VARIANT + tables.UNCHANGED)
    if profile in ("desktop", "paper"):  # nothing is trained twice
        assert set(plain) <= set(plan["table_1"])
    assert variants
    for name, configs in variants.items():
        for config, twin in zip(configs, plain, strict=True):
            one, other = map(config_file.flat_fields, (config, twin))
            assert sum(one[field] != other[field] for field in one) == 1, name


def test_what_is_asked_for_takes_the_place_of_the_profiles_own():
    plan = sweep.plan("quick", models="gru-s", methods=["snip", "random"], sparsities=0.97, seeds=1)
    cells = [(c.model, c.method, c.sparsity) for c in plan["sweep"]]
    assert cells == [("gru-s", "dense", 0), ("gru-s", "snip", 0.97), ("gru-s", "random", 0.97)]
    assert plan["table_1"] == [] and not any(part.startswith(tables.VARIANT) for part in plan)
    for wrong, message in (
        ({"methods": ["grasq"]}, "unknown method 'grasq'"),
        ({"sparsities": "0.9"}, "sparsity '0.9' is no number"),
        ({"sparsities": 90}, "sparsity 90"),
    ):
        with pytest.raises(ValueError, match=message):
            sweep.plan("quick", **wrong)


def test_what_is_asked_for_may_be_one_or_many():
    """An int had no elements, a generator was empty at the second look."""
    plan = sweep.plan("smoke", models=[LENET], methods=["snip", "random"], sparsities=[0.9, 0.98])
    asked = {"models": LENET, "methods": ("snip", "random"), "sparsities": (0.9, 0.98)}
    assert plan == sweep.plan("smoke", **asked)
    twice = {"models": iter([LENET] * 2), "methods": iter(["snip", "random", "snip"])}
    assert plan == sweep.plan("smoke", **twice, sparsities=iter([0.9, 0.98, 0.9]))
    none = sweep.plan("smoke", models=LENET, methods="snip", sparsities=0)["sweep"]
    assert {(c.method, c.sparsity) for c in none} == {("dense", 0), ("snip", 0)}


# ------------------------------------------------------------------------------------------ claims


def runs(errors, model=LENET, method="snip", sparsity=0.95, **columns):
    """Rows of one cell, a seed each."""
    recipe = lab.Recipe(75_000)
    configs = [lab.Config(model, recipe, method, sparsity, seed) for seed in range(len(errors))]
    fixed = {"part": "table_1", "error_best": errors, "error_last_five": errors}
    return rows_for(configs, errors, **fixed | columns)


DENSE = runs([1.7, 1.71, 1.72], method="dense", sparsity=0.0)  # as published


@pytest.mark.parametrize(
    ("errors", "columns", "verdict"),
    [
        ([1.6, 1.7, 1.65], {}, "reproduced"),  # published 1.6
        ([2.4, 2.5, 2.45], {"error_last_five": 1.7}, "in part"),  # the reference's best is near
        ([2.4, 2.5, 2.45], {"error_best": 1.7}, "not reproduced"),  # the best of all says nothing
        ([1.6, 1.7, 1.65], {"iterations": 30_000}, "reproduced"),  # the dense one is trained out
        ([1.6, 1.7, 1.65], {"status": "diverged: nan"}, "untested"),
    ],
)
def test_a_number(errors, columns, verdict):
    claim = sweep_claims.number(pd.concat([DENSE, runs(errors, **columns)]), LENET, 0.95)
    assert claim["verdict"] == verdict and claim["published"] == "1.6 %"
    assert "lower" not in claim["ours"]


def test_a_dense_network_better_than_published_is_not_the_published_one():
    rows = runs([1.3, 1.35, 1.4], method="dense", sparsity=0.0)
    claim = sweep_claims.number(rows, LENET, 0.0)
    assert (
        claim["ours"].endswith(", lower than published") and claim["verdict"] == "not reproduced"
    )  # 1.7
    assert claim["group"] == "dense networks and implementation"


def test_a_control_at_the_same_sparsity_is_not_pooled_with_snip():
    """Errors of random pruning made a mean of both."""
    rows = pd.concat([DENSE, runs([1.6, 1.61, 1.62]), runs([9.0, 9.1, 9.2], method="random")])
    assert sweep_claims.number(rows, LENET, 0.95)["ours"].startswith("1.61 ± 0.02 %")
    assert sweep_claims.change(rows, LENET, 0.95)["ours"] == "−0.10 ± 0.00"


def test_repeated_rows_are_refused():
    """They narrowed intervals: two seeds six times went from "untested" to "reproduced"."""
    rows = pd.concat([DENSE, *[runs([1.6, 1.9])] * 6])
    for judge in (sweep_claims.number, sweep_claims.change):
        with pytest.raises(ValueError, match=r"twice in one group|share one"):
            judge(rows, LENET, 0.95)


def test_what_stands_beside_an_undertrained_dense_network_is_untested():
    dense = runs([2.71, 2.72, 2.73], method="dense", sparsity=0.0)  # published 1.7
    rows = pd.concat([dense, runs([1.6, 1.7, 1.65])])
    why = "untested: dense network not trained out (2.7 %, published 1.7)"
    for claim in (sweep_claims.number(rows, LENET, 0.95), sweep_claims.change(rows, LENET, 0.95)):
        assert claim["verdict"] == why and claim["ours"] != "–"
    lost = pd.concat([dense.assign(status="diverged: nan"), runs([1.6, 1.7, 1.65])])
    assert (
        sweep_claims.number(lost, LENET, 0.95)["verdict"] == "untested: no dense network ended well"
    )


def test_every_sparsity_of_the_sweep():
    near, far = [2.0, 2.11, 2.2], [4.0, 4.11, 4.2]

    def of(last, first=near, levels=sweep.FIG_1, dense=(2.0, 2.1, 2.2)):
        """Errors at the last sparsity, at the first, and near ones at those between."""
        errors = [first, *[near] * (len(levels) - 2), last]
        parts = [runs(list(dense), method="dense", sparsity=0.0)]
        parts += [runs(each, sparsity=s) for s, each in zip(levels, errors, strict=True)]
        claim = sweep_claims.every_level(pd.concat(parts), LENET)
        return claim["ours"], claim["seeds"], claim["verdict"]

    assert of(near) == ("+0.00 at 10 to 90 %: 9 of 9 hold", 3, "reproduced")
    assert of(far) == ("+0.00 to +2.00 at 10 to 90 %: 8 of 9 hold", 3, "in part")
    # One pair has no interval; a sparsity that is lost, or was not run, may be the one that fails.
    assert of(near[:1])[2] == "untested"
    lost = of([math.nan] * 3)
    assert lost[0].endswith("10 to 80 %") and lost[1:] == (0, "untested")
    assert of(near, levels=sweep.FIG_1[:-1])[2] == "untested"
    assert of([2.0, 2.11, math.nan])[2] == "untested: 1 of 27 pairs lost"  # it was "reproduced"
    # Table 1 says what pruning costs beyond.
    assert of(far, levels=(*sweep.FIG_1, 0.99))[1:] == (3, "reproduced")


def planned(rows):
    """The plan that some rows fulfil."""
    once = rows.drop_duplicates(["part", "run"])
    parts = ("sweep", "defaults", "table_1")
    return {part: configs_of(once[once.part == part]) for part in parts}


def judged(rows, name, plan=None):
    """A claim by its id, by a plan that the rows fulfil or by another."""
    found = sweep_claims.claims(rows, planned(rows) if plan is None else plan)
    return {claim["id"]: claim for claim in found}[name]


SNIPS = [2.0, 2.1, 2.2]
OTHERS = {0.9: [2.3, 2.41, 2.5], 0.95: [2.3, 2.4, 2.51], 0.98: [2.4, 2.51, 2.6], 0.99: [8, 8.1, 9]}


def controlled(method="shuffled", **changes):
    """SNIP and a control at each sparsity from 90 % on; by "at_95", say, other errors of it."""
    errors = {s: changes.get(f"at_{100 * s:g}", e) for s, e in OTHERS.items()}
    parts = [runs(SNIPS, sparsity=s, part="sweep") for s in errors]
    parts += [runs(e, method=method, sparsity=s, part="sweep") for s, e in errors.items()]
    return pd.concat(parts, ignore_index=True)


def test_a_control_at_equal_sparsity():
    name, rows = f"over_shuffled.{LENET}", controlled()
    claim = judged(rows, name)
    assert (claim["verdict"], claim["seeds"]) == ("reproduced", 3)
    assert claim["ours"] == "control − SNIP: +0.30 to +6.27 points: 4 of 4 hold"
    open_ = judged(controlled(at_95=[1.0, 2.1, 3.4]), name)
    assert open_["verdict"] == "in part" and open_["ours"].endswith(": 3 of 4 hold, 1 undecided")
    assert judged(rows, f"over_random.{LENET}")["verdict"] == "untested"
    assert judged(rows[rows.seed == 0], name)["verdict"] == "untested"
    lost = judged(controlled(at_95=[2.3, 2.4, math.nan]), name)
    assert lost["verdict"] == "in part" and lost["ours"].endswith(": 3 of 4 hold, 1 undecided")


def test_a_control_is_judged_by_the_table_that_is_shown():
    """p = 0.038 alone, and q = 0.038 among the four of the claim; but the table shows more."""
    rows = controlled(at_95=[2.2, 2.4, 2.61])
    name = f"over_shuffled.{LENET}"
    assert judged(rows, name)["ours"].endswith(": 4 of 4 hold")
    open_ = [[1.0, 2.1, 3.4], [1.0, 2.2, 3.4], [1.0, 2.3, 3.4], [1.0, 2.0, 3.4]]
    random = [
        runs(e, method="random", sparsity=s, part="sweep")
        for e, s in zip(open_, OTHERS, strict=True)
    ]
    both = pd.concat([rows, *random], ignore_index=True)
    table = tables.controls(tables.with_curves(both))
    shown = table[(table.method == "shuffled") & (table.sparsity == 0.95)].iloc[0]
    assert shown.p < 0.05 and shown.verdict == "undecided"
    assert judged(both, name)["ours"].endswith(": 3 of 4 hold, 1 undecided")


def test_a_control_is_compared_at_every_sparsity_of_the_claim():
    """At one of four, by a plan that asks for no more, it was "reproduced": `smoke` has one."""
    rows = controlled()
    for levels, why in (([0.9], "95 %, 98 %, 99 %"), ([0.9, 0.95, 0.99], "98 %")):
        some = rows[rows.sparsity.isin(levels)]
        assert judged(some, f"over_shuffled.{LENET}")["verdict"] == f"untested: not run at {why}"


def whole():
    """Runs that let every claim on LeNet-300-100 be "reproduced", but that on a dense error."""
    swept = [runs([1.7, 1.71, 1.72], sparsity=s, part="sweep") for s in sweep.ALL]
    others = [
        runs([e, e + 0.01, e + 0.03], method=method, sparsity=s, part="sweep")
        for method, e in (("random", 2.5), ("shuffled", 2.1))
        for s in sweep.ABOVE
    ]
    cells = [runs([1.6, 1.61, 1.62], sparsity=0.95), runs([2.4, 2.41, 2.42], sparsity=0.98)]
    return pd.concat(
        [DENSE, DENSE.assign(part="sweep"), *swept, *others, *cells], ignore_index=True
    )


def test_with_every_planned_run_there_is_a_verdict():
    claims = {claim["id"]: claim for claim in sweep_claims.claims(whole(), planned(whole()))}
    judged_well = [f"every_level.{LENET}", f"cost.{LENET}.95", f"over_random.{LENET}"]
    judged_well += [f"error.{LENET}.{level}" for level in (0, 95, 98)] + [f"over_shuffled.{LENET}"]
    assert {claims[name]["verdict"] for name in judged_well} == {"reproduced"}


@pytest.mark.parametrize(
    ("name", "part", "method", "sparsity", "count"),
    [
        (f"every_level.{LENET}", "sweep", "snip", 0.9, 30),
        (f"every_level.{LENET}", "sweep", "dense", 0.0, 30),
        (f"error.{LENET}.0", "table_1", "dense", 0.0, 3),
        (f"error.{LENET}.95", "table_1", "snip", 0.95, 6),
        (f"error.{LENET}.98", "table_1", "dense", 0.0, 6),
        (f"cost.{LENET}.95", "table_1", "snip", 0.95, 6),
        (f"over_random.{LENET}", "sweep", "random", 0.99, 24),
        (f"over_shuffled.{LENET}", "sweep", "snip", 0.95, 24),
    ],
)
def test_no_verdict_while_a_planned_run_is_missing(name, part, method, sparsity, count):
    """Two seeds of three were enough for "reproduced"."""
    rows = whole()
    gone = (rows.part == part) & (rows.method == method) & (rows.sparsity == sparsity)
    fewer = rows[~(gone & (rows.seed == 2))]
    why = f"untested: 1 of {count} runs missing"
    assert judged(fewer, name, planned(rows))["verdict"] == why


def test_a_network_is_judged_by_the_curve_that_is_planned():
    rows = pd.concat([
        runs([2.0], part="sweep"), runs([3.0], part="defaults"),
        runs([1.0], part="defaults", model=CAFFE),
    ])  # fmt: skip
    plan = planned(rows)
    assert list(sweep_claims.main_curve(rows, plan, LENET).error) == [2.0]
    assert list(sweep_claims.main_curve(rows, plan, CAFFE).error) == [1.0]
    assert sweep_claims.main_curve(rows, plan, "gru-s").empty
    # Its controls by the part that has them, SNIP's runs of it beside them.
    caffe = [
        runs([error], part=part, method=method, model=CAFFE)
        for error, part, method in (
            (2.0, "sweep", "snip"), (3.0, "defaults", "snip"), (4.0, "defaults", "random")
        )
    ]  # fmt: skip
    plan = planned(pd.concat(caffe))
    assert list(sweep_claims.main_curve(pd.concat(caffe), plan, CAFFE).error) == [2.0]
    control = sweep_claims.main_curve(pd.concat(caffe), plan, CAFFE, ["random"])
    assert list(control.error) == [3.0, 4.0]
    assert tables.control_curves(plan) == ["LeNet-5-Caffe, defaults"]
    # Not by the defaults while its own curve is still to be run.
    plan = planned(rows)
    assert sweep_claims.main_curve(rows[rows.part != "sweep"], plan, LENET).empty


def test_a_published_error_is_near_by_the_last_five_checkpoints():
    """By the best of all checkpoints the table said so where the claims say "not reproduced"."""
    rows = runs([2.4, 2.5, 2.45], error_best=1.7)
    table = tables.beside_published(rows).set_index(["model", "sparsity"])
    assert table.near[LENET, 0.95] == "neither"
    rows = runs([2.4, 2.5, 2.45], error_best=1.0, error_last_five=1.7)
    table = tables.beside_published(rows).set_index(["model", "sparsity"])
    assert table.near[LENET, 0.95] == "best of last five"
    assert table.text_best[LENET, 0.95] == "1.70 ± 0.00"


def test_what_pruning_costs_stands_beside_the_published_errors():
    rows = pd.concat([DENSE, runs([2.1, 2.11, 2.12], sparsity=0.95)])
    shown = tables.published_text(tables.beside_published(rows)).set_index("sparsity")
    assert shown.loc["95 %", ["cost, published", "cost, ours"]].tolist() == [
        "−0.10",
        "+0.40 ± 0.00",
    ]
    assert shown.loc["0 %", "cost, published"] == "–" and pd.isna(shown.loc["0 %", "cost, ours"])


def test_variants_that_come_near_the_published_errors():
    def variant(part, *errors):
        return [
            runs([e, e + 0.01], sparsity=s, part=part, method="snip" if s else "dense")
            for s, e in zip((0.0, 0.95, 0.98), errors, strict=True)
        ]

    parts = [*variant(tables.UNCHANGED, 1.7, 1.6, 2.4), *variant("flips", 1.7, 1.6, 2.4)]
    parts += [*variant("no momentum", 0.8, 1.6, 2.4), *variant("batches of 25", 1.7, 2.4, 3.0)]
    parts += [part[part.seed == 0] for part in variant("shifts by 1 pixel", 1.7, 1.6, 2.4)]
    table = tables.recipes_near(pd.concat(parts)).set_index("part")
    assert table["all"].to_dict() == {"flips": True, "no momentum": False, "batches of 25": False}
    assert table.pruned.to_dict() == {"flips": True, "no momentum": True, "batches of 25": False}


def test_the_rate_of_a_trial_does_not_fall():
    """It fell after 20 of 60 steps, so a network that diverges at 0.1 in step 65 did not."""
    (trials,) = sweep.rates_plan(COMMITTED).values()
    for recipe in {config.recipe for config in trials}:
        assert recipe.rate(recipe.iterations - 1) == recipe.rate(0) == recipe.lr


def test_trials_that_diverge_are_counted():
    trial = {"lr": 0.1, "momentum": 0.9, "init": "vs", "inputs": "standard"}
    dense = runs([1.0, 2.0], method="dense", sparsity=0.0, **trial)
    dense.loc[1, "status"] = "diverged: the loss is nan"
    pruned = runs([1.0, 2.0], sparsity=0.98, **trial)
    table = tables.lost_trials(pd.concat([dense, pruned]))
    columns = table[["sparsity", "start", "diverged"]].to_numpy().tolist()
    assert columns == [
        ["0 %", "as the reference", "1 of 2"],
        ["98 %", "as the reference", "0 of 2"],
    ]


def test_what_is_measured_is_stored_for_the_committed_report(monkeypatch):
    monkeypatch.setattr(sweep_time, "load_data", no_images)
    times = sweep_time.time_of(COMMITTED, "mnist", None)
    assert set(times.sparsity) == set(sweep_time.TIMED) and set(times.engine) == set(lab.ENGINES)
    with pytest.raises(AssertionError, match="images were read"):
        sweep_time.time_of("quick", "mnist", None)


def test_shares_on_a_path_are_those_of_the_runs():
    rows = pd.concat([
        runs([2.0, 2.1], part="sweep", sparsity=0.99, effective=[0.25, 0.75]),
        runs([2.0], part="sweep", sparsity=0.5, effective=1.0),  # too few are cut off to be shown
        runs([2.0], part="defaults", sparsity=0.99, effective=0.1),
        runs([2.0], part="sweep", method="dense", sparsity=0.0, effective=1.0),
        runs([90.0], part="sweep", method="magnitude", sparsity=0.99, effective=0.0),
    ])  # fmt: skip
    later = pd.concat([
        runs([2.0], method="force", sparsity=0.99, effective=1.0, pretrain=0),
        runs([2.0], method="magnitude", sparsity=0.99, effective=0.5, pretrain=10),  # trained first
    ])  # fmt: skip
    assert sweep_paths.values(rows, later) == {
        "on_a_path.snip.99": "50.0",
        "on_a_path.magnitude.99": "0.0",
        "on_a_path.force.99": "100.0",
    }
    figure = sweep_paths.draw_paths(sweep_paths.on_paths(rows, later))
    legends = [[text.get_text() for text in a.get_legend().get_texts()] for a in figure.axes]
    assert legends == [["SNIP", "magnitude at initialisation"], ["SNIP"], ["SNIP", "FORCE"]]


# -------------------------------------------------------------------------------- somebody's method


@pytest.mark.filterwarnings("ignore:.*masks empty a layer or cut their network")
def test_a_method_is_one_function_and_one_line(tmp_path, monkeypatch):
    """Run, summarised, compared and drawn, and nothing else had to be told of it."""

    def last_ones(model, x, y, sparsity, seed, norm, biases):
        scores = {
            name: torch.arange(1.0, weight.numel() + 1).view(weight.shape)
            for name, weight in snip.prunable(model).items()
        }
        return lab.keep(scores, sparsity, biases)

    line = lab.Method("last", "the last ones", "#333333", "h", ":", last_ones)
    monkeypatch.setitem(lab.METHODS, line.name, line)

    plan = sweep.plan("smoke", "digits", LENET, ["snip", "last"], 0.9, seeds=2, iterations=3)
    plan = {part: plan[part] for part in ("sweep", "defaults")}
    configs = [config for part in plan.values() for config in part]
    rows = lab.parts_of(lab.run_grid(configs, tmp_path / "r.csv", n_jobs=1), plan)
    rows = tables.with_curves(rows)
    assert set(rows.method) == {"dense", "snip", "last"} and (rows.status == "ok").all()

    means = lab.summarize(rows, ["curve", "method", "sparsity"])
    controls = tables.controls(rows)
    assert set(controls.method) == {"last"} and set(controls.n) == {2}
    drawn = [
        figures.draw_curves(means, tables.curves_shown(plan, "sweep")),
        figures.draw_controls(controls, tables.severed(rows)),
    ]
    for figure in drawn:
        assert "the last ones" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_figures_of_nothing_say_so():
    empty = tables.with_curves(lab.read_results("nowhere.csv").assign(part=""))
    means = lab.summarize(empty, ["curve", "method", "sparsity"])
    figure = figures.draw_curves(means, {"LeNet-300-100": LENET})
    assert "not run" in [text.get_text() for text in figure.axes[0].texts]
    figure = figures.draw_curves(means, {})  # a part that a profile leaves out
    assert "not run" in [text.get_text() for text in figure.axes[0].texts]
    figure = figures.draw_controls(tables.controls(empty), set())
    assert "not run" in [text.get_text() for text in figure.axes[0].texts]


def test_published_cells_beyond_a_curve_are_drawn_hollow_beside_it():
    rows = pd.concat([DENSE, runs([1.6, 1.7, 1.8]), runs([2.6, 2.7, 2.8], sparsity=0.98)])
    means = lab.summarize(rows.assign(curve="a"), ["curve", "method", "sparsity"])
    figure = figures.draw_curves(
        means[means.sparsity < 0.98], {"a": LENET}, tables.beside_published(rows)
    )
    label = "SNIP, runs of Table 1"
    (drawn,) = [bars for bars in figure.axes[0].containers if bars.get_label() == label]
    # That at 95 % is on the curve.
    assert drawn.lines[0].get_xydata().round(3).tolist() == [[2.0, 2.7]]


def test_a_curve_says_how_many_dense_runs_were_lost():
    dense = runs([0.8, 5.0, 5.0], method="dense", sparsity=0.0)
    dense.loc[1:, "status"] = "diverged: nan"
    rows = pd.concat([dense, runs([1.0, 1.1, 1.2])]).assign(curve="a")
    means = lab.summarize(rows, ["curve", "method", "sparsity"])
    figure = figures.draw_curves(means, {"a": LENET})
    assert "dense: 2 of 3 runs lost" in [text.get_text() for text in figure.axes[0].texts]


def test_numbers_of_the_prose_are_those_of_the_rows():
    plan = sweep.plan("desktop")
    rows = lab.select(plan, lab.RESULTS / "1_sparsity_sweep.csv")
    values = sweep_claims.values(rows, plan)
    cell = (rows.part == "table_1") & (rows.model == LENET)
    pruned = rows[cell & (rows.sparsity == 0.95)].set_index("seed").error
    dense = rows[cell & (rows.method == "dense")].set_index("seed").error
    assert values["cost.lenet-300-100.95"].startswith(f"{(pruned - dense).mean():.2f} ± ")
    assert values["error.lenet-300-100.95"].startswith(f"{pruned.mean():.2f} ± ")
    assert all(isinstance(text, str) and text for text in values.values())
