"""The architectures of §5.3: what is run, what the rows say of it, and how it is shown."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import rows_for

import snipcore as snip
import sniplab as lab
from sniplab.sections import PROFILES, architectures
from sniplab.sections import architectures_costs as costs
from sniplab.sections import architectures_layers as layers
from sniplab.sections import architectures_published as published

CONVOLUTIONAL = [n for n in published.TABLE_2 if published.kind_of(n) == "convolutional"]
RECURRENT = [n for n in published.TABLE_2 if published.kind_of(n) == "recurrent"]
NOISE = (-0.02, 0.0, 0.02)  # of three seeds


def runs(errors, model="alexnet-s", method="snip", **columns):
    """One row for each error, seed by seed; `status`, for one seed, may be among the columns."""
    level = 0.0 if method == "dense" else published.own_sparsity(model)
    recipe = lab.Recipe(75_000)
    configs = [lab.Config(model, recipe, method, level, seed) for seed in range(len(errors))]
    fixed = {"part": "trained", "seconds": 36.0, "train_error": 1.0}
    return rows_for(configs, errors, **fixed | columns)


def pair(model, changes, dense=None, **columns):
    """Rows of a network, dense and pruned: by how much pruning changes the error with each seed,
    and the dense error, if it is not the published one."""
    start = published.dense_error(model) if dense is None else dense
    base = runs([start] * len(changes), model, "dense", **columns)
    return pd.concat([base, runs([start + change for change in changes], model, **columns)])


def judged(kind, *parts):
    claim = architectures.within_a_point(pd.concat(parts, ignore_index=True), kind)
    return claim["verdict"], claim["ours"]


def all_within(names, but=()):
    return [pair(name, NOISE) for name in names if name not in but]


# ------------------------------------------------------------------------------------------- plans


@pytest.mark.parametrize("profile", PROFILES)
def test_trained_runs_come_in_pairs(profile):
    configs = architectures.plan(profile)["trained"]
    recipes = {}
    for c in configs:
        assert recipes.setdefault((c.model, c.seed), c.recipe) == c.recipe
        assert c.sparsity == (0 if c.method == "dense" else snip.MODELS[c.model].sparsity)
    dense = {(c.model, c.seed) for c in configs if c.method == "dense"}
    pruned = {(c.model, c.seed) for c in configs if c.method == "snip" and c.norm == "running"}
    batch = {(c.model, c.seed) for c in configs if c.norm == "batch"}
    assert dense == pruned == set(recipes)
    assert batch == {key for key in dense if key[0] in costs.CUT}
    tested = {"smoke": 100, "quick": 500, "desktop": 0, "paper": 0}  # images; 0: all
    assert {c.test_images for c in configs} == {tested[profile]}


def test_the_committed_table_has_the_lengths_it_says():
    configs = architectures.plan("desktop")["trained"]
    lengths = {c.model: (c.recipe.iterations, c.recipe.schedule) for c in configs}
    assert lengths["alexnet-s"] == (12 * 351, "linear") and lengths["vgg-d"] == (6 * 351, "linear")
    assert lengths["resnet-34"] == (4 * 351, "linear") and lengths["gru-s"] == (37_500, "stages")
    seeds = {name: {c.seed for c in configs if c.model == name} for name in lengths}
    assert seeds["googlenet"] == {0, 1, 2} and seeds["alexnet-b"] == {0}
    assert seeds["lstm-s"] == seeds["gru-s"] == {0, 1, 2, 3, 4}
    longer = architectures.plan("desktop", ["alexnet-s"], epochs=2, seeds=2)["trained"]
    assert {c.recipe.iterations for c in longer} == {702} and len(longer) == 4
    assert {c.recipe.checkpoints for c in longer} == {2}
    # A network that the profile does not train.
    (dense, pruned) = architectures.plan("desktop", "wrn-22-8")["trained"]
    assert dense.recipe.iterations == 150_000
    assert dense.recipe.batch_size == pruned.scoring_batch == 128
    assert architectures.plan("smoke", "wrn-22-8")["trained"][0].recipe.iterations == 3


@pytest.mark.parametrize("profile", PROFILES)
def test_every_network_of_the_table_is_scored_both_ways(profile):
    configs = architectures.survival_plan(profile)["scored"]
    found = {(c.model, c.seed, c.norm) for c in configs}
    models, seeds, norms = map(set, zip(*found, strict=True))
    assert len(configs) == len(found) == len(models) * len(seeds) * len(norms) and len(norms) == 2
    if profile != "smoke":
        assert models == {name for name, spec in snip.MODELS.items() if spec.sparsity}
    assert {c.recipe.iterations for c in configs} == {0}
    trained = architectures.plan(profile, models)["trained"]
    sizes = {(c.model, c.scoring_batch) for c in trained}  # the trained networks' own masks
    assert {(c.model, c.scoring_batch) for c in configs} == sizes


def test_a_network_named_twice_is_run_once_and_none_is_refused():
    lone = architectures.plan("smoke", models="gru-s")
    assert architectures.plan("smoke", models=["gru-s", "gru-s"]) == lone  # each run once
    with pytest.raises(ValueError, match="models names no network"):
        architectures.plan("smoke", models=[])
    with pytest.raises(ValueError, match="unknown profile 'night'; known: smoke, quick"):
        architectures.survival_plan("night")


def test_any_network_method_and_sparsity_can_be_asked_for():
    for name, spec in snip.MODELS.items():
        dense, pruned, *_ = architectures.plan("smoke", name)["trained"]
        assert (dense.sparsity, pruned.sparsity) == (0, spec.sparsity or 0.95)
    asked = architectures.plan("smoke", "googlenet", ("dense", "snip", "random"), (0.5, 0.9))
    cells = [(c.method, c.sparsity, c.norm) for c in asked["trained"]]
    assert len(cells) == len(set(cells)) == 7  # dense once, and SNIP's masks by both statistics
    assert {norm for method, _, norm in cells if method == "random"} == {"running"}
    with pytest.raises(ValueError, match="unknown method 'luck'"):
        architectures.plan("smoke", methods="luck")


# ------------------------------------------------------------------------- claims: within a point


def test_a_claim_on_every_network_is_confirmed_by_all_of_them():
    assert judged("convolutional", *all_within(CONVOLUTIONAL))[0] == "reproduced"
    assert judged("recurrent", *all_within(RECURRENT))[0] == "reproduced"
    verdict, ours = judged("convolutional", *all_within(CONVOLUTIONAL, but=["wrn-22-8"]))
    assert verdict == "untested: 7 of 8 networks have several seeds"
    assert ours == "+0.00 in 7 networks: 7 of 7 hold"
    verdict, _ = judged("convolutional", pair("alexnet-s", NOISE))
    assert verdict == "untested: 1 of 8 networks have several seeds"


def test_a_claim_on_every_network_is_refuted_by_one():
    worse = pair("alexnet-s", [3.0, 3.1, 3.2])
    assert judged("convolutional", worse)[0] == "not reproduced"
    assert judged("convolutional", worse, *all_within(["vgg-c"]))[0] == "in part"
    verdict, ours = judged("convolutional", worse, *all_within(CONVOLUTIONAL, but=["alexnet-s"]))
    assert verdict == "in part" and ours.startswith("+0.00 to +3.10 in 8 networks: 7 of 8 hold")
    better = pair("alexnet-s", [-3.0, -3.1, -3.2])  # nor are they "within a point" then
    assert judged("convolutional", better)[0] == "not reproduced"


def test_a_wide_interval_decides_nothing():
    wide = pair("lstm-s", [-0.6, 0.6])  # 0 ± 7.6 is no equality, nor its contrary
    assert judged("recurrent", wide)[0].startswith("untested")
    verdict, ours = judged("recurrent", wide, *all_within(RECURRENT, but=["lstm-s"]))
    assert verdict == "in part" and "3 of 4 hold, 1 undecided" in ours


def test_one_seed_is_said_and_tells_nothing():
    alone = pair("gru-b", [5.0])
    verdict, ours = judged("recurrent", alone)
    assert verdict == "untested: 0 of 4 networks have several seeds"
    assert ours == "+5.00 in 1 of one seed"
    verdict, ours = judged("recurrent", alone, *all_within(RECURRENT, but=["gru-b"]))
    assert verdict == "untested: 3 of 4 networks have several seeds"
    assert ours == "+0.00 in 3 networks: 3 of 3 hold; +5.00 in 1 of one seed"
    claim = architectures.within_a_point(pd.concat([alone, *all_within(["lstm-s"])]), "recurrent")
    assert claim["seeds"] == 3  # of what is judged


def test_a_network_is_told_where_its_dense_one_is_trained_out():
    names = [name for name in RECURRENT if name != "gru-s"]
    at_the_limit = pair("gru-s", NOISE, dense=2.87)  # published 1.87
    assert judged("recurrent", at_the_limit, *all_within(names))[0] == "reproduced"
    beyond = pair("gru-s", [3.0, 3.1, 3.2], dense=2.9)  # would refute the claim
    verdict, ours = judged("recurrent", beyond, *all_within(names))
    assert verdict == "untested: 3 of 4 networks have several seeds"
    assert ours == "+0.00 in 3 networks: 3 of 3 hold"
    short = pair("gru-s", [3.0, 3.1, 3.2], iterations=15_000)  # that it is short does not matter
    assert judged("recurrent", short)[0] == "not reproduced"


def test_why_no_network_is_told():
    one = pair("resnet-18", [0.2, 0.3], dense=16.5)
    verdict, ours = judged("other", one)
    why = "untested: dense network not trained out (16.5 %, published 8.2), 8 not trained"
    assert verdict == why
    assert ours == "–"
    two = [pair(name, NOISE, dense=30.0) for name in ("alexnet-s", "vgg-c")]
    verdict = "untested: 2 dense networks not trained out, 6 not trained"
    assert judged("convolutional", *two)[0] == verdict
    lost = pair("alexnet-s", NOISE)
    lost.loc[lost.method == "dense", ["status", "error"]] = ["diverged: nan", math.nan]
    assert judged("convolutional", lost) == (
        "untested: no dense network ended well, 7 not trained",
        "–",
    )


def test_a_network_without_a_published_error_is_never_compared():
    own = pair("googlenet-full", [5.0, 5.1, 5.2], dense=9.0)
    verdict, ours = judged("other", own)
    assert verdict == "untested: nothing published says whether the dense network is trained out"
    assert ours == "–"
    others = all_within([n for n in published.CLASS_REPORT if n not in published.TABLE_2])
    assert judged("other", own, *others)[0] == "reproduced"


def test_each_claim_is_judged_by_its_own_networks():
    others = pair("googlenet", [5.0, 5.1, 5.2])
    assert judged("convolutional", others, *all_within(CONVOLUTIONAL))[0] == "reproduced"
    assert judged("other", others, *all_within(CONVOLUTIONAL))[0] == "not reproduced"
    claim = architectures.within_a_point(others, "recurrent")
    assert (claim["verdict"], claim["ours"], claim["seeds"]) == ("untested", "–", 0)
    claim = architectures.within_a_point(others, "other")
    assert claim["published"] == "–" and claim["section"] == "not in the paper"
    with pytest.raises(ValueError, match="unknown kind of networks 'dense'"):
        architectures.within_a_point(others, "dense")


def test_a_lost_pair_leaves_its_network_undecided():
    rows = pd.concat(all_within(RECURRENT), ignore_index=True)
    hit = (rows.model == "lstm-b") & (rows.method == "snip") & (rows.seed == 2)
    rows.loc[hit, ["status", "error"]] = ["diverged: nan", math.nan]
    verdict, ours = judged("recurrent", rows)
    assert verdict == "in part" and "3 of 4 hold, 1 undecided" in ours
    rows.loc[rows.model == "lstm-b", ["status", "error"]] = ["diverged: nan", math.nan]
    assert set(costs.costs(rows).index) == {*RECURRENT} - {"lstm-b"}


def test_masks_of_batch_statistics_do_not_count_in_a_claim():
    rows = pd.concat([
        pair("squeezenet-bypass", NOISE),
        runs([60.0, 61.0, 62.0], "squeezenet-bypass", norm="batch"),
    ])  # fmt: skip
    assert judged("other", rows)[1] == "+0.00 in 1 network"
    assert costs.costs(rows)["mean"].tolist() == pytest.approx([0.0])


@pytest.mark.parametrize("methods", [["snip"], ["dense"], ["snip", "dense"]])
def test_a_run_counts_once(methods):
    """Repeated rows would narrow the interval."""
    rows = pair("lstm-s", [0.2, 0.4])
    rows = pd.concat([rows, *[rows[rows.method.isin(methods)]] * 3])
    for function in (architectures.claims, costs.differences, costs.costs):
        known = [rows[:0]] * (function is architectures.claims)  # nothing is scored
        with pytest.raises(ValueError, match=r"two runs of|twice in one group"):
            function(rows, *known)
    batch = pd.concat([runs([1.0, 2.0], norm="batch")] * 2)
    with pytest.raises(ValueError, match="twice in one group by model"):
        costs.between_statistics(batch)


# ------------------------------------------------------------------------------ claims: every layer


def scored(cells, seeds=(0, 1)):
    """Tables as from `layer_counts`: model, norm and what is kept of each layer in turn."""
    lines = [
        (model, norm, seed, number, kept, kept / 100, True)
        for seed in seeds
        for model, norm, *counts in cells
        for number, kept in enumerate(counts, 1)
    ]
    return pd.DataFrame(
        lines, columns=["model", "norm", "seed", "number", "kept", "fraction", "path"]
    )


TABLE_2_WHOLE = [(name, "running", 5, 1) for name in published.TABLE_2]


def test_networks_that_keep_something_of_every_layer():
    others = [
        *(("googlenet", "running", 2), ("googlenet", "batch", 0), ("alexnet-s", "batch", 3)),
        ("gru-s", "batch", 2),  # normalises nothing
    ]
    kept = scored(TABLE_2_WHOLE + others)
    claim = architectures.connected(kept)
    assert (claim["verdict"], claim["seeds"]) == ("reproduced", 2)
    assert claim["ours"] == "12 of 12"
    kept.loc[1, "kept"] = 0  # with one seed of two
    claim = architectures.connected(kept)
    assert claim["ours"] == "11 of 12" and claim["verdict"] == "in part"


def test_every_architecture_needs_every_architecture():
    claim = architectures.connected(scored(TABLE_2_WHOLE[:1]))
    assert claim["verdict"] == "untested: 11 of 12 networks not scored"
    assert claim["ours"] == "1 of 1"
    only_others = architectures.connected(scored([("googlenet", "running", 2)]))
    assert only_others["verdict"] == "untested" and only_others["seeds"] == 0
    some = architectures.connected(scored([("vgg-c", "running", 0), ("vgg-d", "running", 1)]))
    assert some["verdict"] == "in part"  # one refutes it


def test_the_fewest_seeds_of_any_architecture():
    kept = pd.concat([scored(TABLE_2_WHOLE, seeds=range(5)), scored(TABLE_2_WHOLE[1:], [5])])
    assert architectures.connected(kept)["seeds"] == 5
    more = scored([("googlenet", "running", 2)], seeds=[0])  # not asked for
    assert architectures.connected(pd.concat([kept, more]))["seeds"] == 5


def test_claims_have_names_in_order():
    rows = pair("lstm-s", NOISE)
    found = architectures.claims(rows, rows[:0])
    assert [claim["id"] for claim in found] == [
        *("within_a_point.convolutional", "within_a_point.recurrent", "connected"),
        "within_a_point.other",
    ]
    assert {claim["group"] for claim in found} == {"architectures"}
    assert found[2]["verdict"] == "untested"  # nothing has been scored


# ---------------------------------------------------------------------------------- layers, tables


def test_what_masks_keep_of_each_layer():
    line = {"model": "lenet-300-100", "norm": "running", "seed": 3, "scoring_batch": 100}
    rows = pd.DataFrame([
        line | {"layers": "2352 300 0", "collapsed": "fc3.weight, no path"},
        line | {"layers": "", "collapsed": ""},  # a run that was trained
    ])  # fmt: skip
    kept = layers.layer_counts(rows)
    assert kept.layer.tolist() == ["fc1.weight", "fc2.weight", "fc3.weight"]
    assert kept.number.tolist() == [1, 2, 3] and kept.kept.tolist() == [2352, 300, 0]
    assert kept["size"].tolist() == [784 * 300, 300 * 100, 100 * 10]
    assert kept.fraction.tolist() == [0.01, 0.01, 0.0] and not kept.path.any()
    assert layers.layer_counts(rows.assign(collapsed="fc3.weight")).path.all()


def test_survival_is_counted_over_seeds():
    kept = scored([
        *(("googlenet", "running", 4, 2), ("googlenet", "batch", 4, 0)),
        *(("gru-s", "running", 3, 3), ("gru-s", "batch", 3, 3)),
    ])  # fmt: skip
    cut = (kept.norm == "batch") & (kept.seed == 1)
    kept.loc[cut, "path"] = False
    kept.loc[(kept.norm == "batch") & (kept.seed == 0) & (kept.number == 2), "kept"] = 1
    table = layers.survival(kept).set_index(["model", "norm"])
    assert ("gru-s", "batch") not in table.index  # it normalises nothing
    batch = table.loc["googlenet", "batch"]
    assert (batch.layers, batch.lost, batch.lost_text) == (2, 1, "0 to 1")
    assert not batch.path and (batch.paths, batch.seeds) == (1, 2)
    assert table.loc["googlenet", "running"].smallest == 0.02


def test_what_is_kept_moves_towards_the_input():
    kept = scored([
        *(("googlenet", "running", 1, 2, 3), ("googlenet", "batch", 3, 2, 1)),
        *(("vgg-c", "running", 3, 2, 1), ("vgg-c", "batch", 1, 2, 3)),
        *(("gru-s", "running", 1, 2, 3), ("gru-s", "batch", 3, 2, 1)),
    ])  # fmt: skip
    assert layers.towards_input(kept).to_dict() == {"googlenet": True, "vgg-c": False}


def test_the_printed_counts_come_out_but_for_one(monkeypatch):
    counts = published.parameter_counts()
    assert set(counts.model) == set(published.systems())
    assert published.disagreeing(counts, "class_report") == []
    assert published.disagreeing(counts, "paper") == ["wrn-16-8: 10.0m"]
    wrong = dataclasses.replace(published.CLASS_REPORT["vgg-c"], m="10.7m")
    monkeypatch.setitem(published.CLASS_REPORT, "vgg-c", wrong)
    counts = published.parameter_counts()
    assert published.disagreeing(counts, "class_report") == ["vgg-c: 10.7m"]


@pytest.mark.parametrize(
    ("count", "printed", "right"),
    [
        (14_982_474, "14.9m", True),  # cut
        (14_982_474, "15.0m", True),  # rounded
        (14_982_474, "14.8m", False),
        (507_022, "507k", True),
        (507_022, "508k", True),
        (507_022, "509k", False),
    ],
)
def test_a_printed_count_is_right_to_less_than_one_in_its_last_digit(count, printed, right):
    assert published.agrees(count, printed) == right


def test_what_is_no_count_is_refused():
    with pytest.raises(ValueError, match=r"'5\.07e6' is no count"):
        published.agrees(1, "5.07e6")


def test_differences_say_how_far_they_can_be_judged():
    rows = pd.concat([
        pair("lstm-s", NOISE, iterations=15_000),
        pair("alexnet-s", [-9.0], dense=54.0),
        pair("lenet-300-100", [1.0], dense=2.0),
    ])  # fmt: skip
    table = costs.differences(rows).set_index("model")
    assert list(table.index) == ["lenet-300-100", "alexnet-s", "lstm-s"]  # by family
    assert dict(table.trained_out) == {
        **{"lenet-300-100": "unknown", "alexnet-s": "no", "lstm-s": "yes"},
    }
    assert dict(table.share) == {"lenet-300-100": 100, "alexnet-s": 50, "lstm-s": 20}
    assert table.paper["lstm-s"] == pytest.approx(-0.31) and math.isnan(
        table.class_report["lstm-s"]
    )
    assert table.class_report["alexnet-s"] == pytest.approx(2.24)


def test_other_methods_and_sparsities_are_lines_of_their_own():
    rows = pd.concat([
        pair("alexnet-s", NOISE),
        runs([20.0, 21.0, 22.0], method="random"),
        runs([20.0, 21.0, 22.0], sparsity=0.99),
    ])  # fmt: skip
    table = costs.differences(rows)
    assert list(table.network) == ["AlexNet-s", "AlexNet-s, random", "AlexNet-s, 99 %"]
    assert table.paper.notna().tolist() == [True, False, False]
    assert costs.costs(rows).network.tolist() == ["AlexNet-s"]
    shown = costs.error_text(costs.error_table(rows))
    assert shown["paper, Δ"].tolist() == ["+0.87", "–", "–"]
    assert costs.initial_runs(rows).sparsity.tolist() == [0.9] * 3


def test_the_table_of_errors_puts_the_published_beside_ours():
    rows = pd.concat([pair("lstm-s", NOISE), pair("googlenet", [1.0])])
    table = costs.error_table(rows)
    shown = costs.error_text(table).set_index("network")
    assert list(shown.index) == ["GoogLeNet", "LSTM-s"]
    assert shown["class report, dense"].tolist() == ["14.11", "–"]
    assert shown["paper, pruned"].tolist() == ["–", "1.57"]
    assert shown["paper, Δ"].tolist() == ["–", "−0.31"]
    assert shown["Δ"].tolist() == ["+1.00", "+0.00 ± 0.05"]


def test_statistics_are_compared_within_seeds():
    rows = pd.concat([
        runs([20.0, 21.0], "googlenet"),
        runs([83.0, 85.0], "googlenet", norm="batch"),
        runs([10.0, 10.0], "googlenet", "dense"),
    ])  # fmt: skip
    (row,) = costs.between_statistics(rows).itertuples()
    assert row.model == "googlenet" and row.mean == 63.5 and row.n == 2


def test_networks_cut_by_batch_statistics_are_shown_apart():
    rows = pd.concat([
        runs([20.0, 21.0], "googlenet"),
        runs([90.0], "googlenet", norm="batch", collapsed="a.weight b.weight no path"),
        runs([10.0, 10.0], "googlenet", "dense"),
        runs([22.0], "squeezenet-bypass", norm="batch", collapsed="a.weight"),
        runs([22.0], "vgg-c"),
    ])  # fmt: skip
    table = costs.batch_mask_table(rows)
    assert table.network.tolist() == ["SqueezeNet-bypass", *["GoogLeNet"] * 3]
    cut = table[table.path == "no"].iloc[0]
    assert (cut.network, cut["scored with"], cut["layers lost"]) == (
        *("GoogLeNet", "batch statistics", "2"),
    )
    assert table[table.method == "dense"]["scored with"].tolist() == [""]
    assert costs.batch_mask_table(rows[rows.norm != "batch"]).empty


# ------------------------------------------------------------------------------- figures, numbers


def test_the_figure_of_costs_tells_seeds_and_training_apart():
    rows = pd.concat([
        pair("lstm-s", NOISE),
        pair("gru-s", [2.0]),
        pair("alexnet-s", [-9.0] * 3, dense=54.0),
    ])  # fmt: skip
    figure = costs.draw_delta(costs.differences(rows))
    plain, recurrent = figure.axes
    assert [text.get_text() for text in recurrent.get_yticklabels()] == ["LSTM-s", "GRU-s"]
    assert [text.get_text() for text in recurrent.texts] == ["100 %", "100 %"]  # the lengths
    faces = {
        c.get_label(): c[0].get_markerfacecolor() for axis in figure.axes for c in axis.containers
    }
    assert faces == {
        "ours": costs.METHODS["snip"].colour,
        "ours, one seed": "white",
        "ours, dense not trained out": "0.55",
    }
    assert plain.containers[0][0].get_xdata().tolist() == [pytest.approx(-9)]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[0] == "ours" and labels[-2:] == ["published: paper", "published: class report"]


def test_the_figure_of_layers_marks_those_that_are_lost():
    kept = scored([
        *(("googlenet", "running", 4, 2), ("googlenet", "batch", 4, 0)),
        *(("vgg-c", "running", 4, 2), ("vgg-c", "batch", 4, 1), ("gru-s", "running", 3, 3)),
    ])  # fmt: skip
    kept.loc[(kept.model == "googlenet") & (kept.norm == "batch"), "path"] = False
    figure = layers.draw_smallest(layers.survival(kept))
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["VGG-C", "GoogLeNet", "GRU-s"]
    initial, batch, cut = (np.asarray(points.get_offsets()) for points in axis.collections)
    assert initial.tolist() == [[0.02, 1], [0.02, 0], [0.03, 2]]
    assert cut.tolist() == [batch[0].tolist()] and batch[0, 0] < 0.01 == batch[1, 0]
    assert [text.get_text() for text in axis.texts] == ["1 of 2"]


def test_a_figure_without_rows_is_drawn():
    empty = pair("lstm-s", NOISE)[:0]
    costs.draw_delta(costs.differences(empty))
    layers.draw_smallest(layers.survival(scored([])))
    assert costs.error_text(costs.error_table(empty)).empty
    assert costs.batch_mask_table(empty).empty


@pytest.mark.filterwarnings("ignore::sniplab.data.FallbackWarning")
@pytest.mark.parametrize("method", ["dense", "random"])
def test_a_network_and_method_that_the_tables_lack_run_to_the_end(method, tmp_path):
    configs = architectures.plan("smoke", "lenet-300-100", method, 0.5)["trained"]
    rows = lab.run_grid(configs, tmp_path / "rows.csv", n_jobs=1).assign(part="trained")
    claims = architectures.claims(rows, rows[:0])
    assert {claim["verdict"].partition(":")[0] for claim in claims} == {"untested"}
    changes = costs.differences(rows)
    assert changes.network.tolist() == ["LeNet-300-100, random, 50 %"] * (method == "random")
    costs.draw_delta(changes)
    assert len(costs.error_text(costs.error_table(rows))) == len(changes)
    assert architectures.values(rows, rows[:0])["networks_trained"] == "0"


def test_the_layers_that_lose_most_are_weights():
    model = snip.build_model("lenet-300-100")
    masks = {name: weight == weight for name, weight in snip.prunable(model).items()}
    masks["fc3.weight"][:5] = False
    masks["fc1.bias"][:] = False
    most = layers.most_pruned(lab.layers(model, masks), 2)
    assert most.layer.tolist() == ["fc3.weight", "fc1.weight", "all"]


def test_digits_fit_every_network():
    x = torch.arange(784.0).view(1, 1, 28, 28)
    assert layers.fitted(x, "gru-s") is x
    padded = layers.fitted(x, "alexnet-s")
    assert padded.shape == (1, 3, 32, 32) and padded[0, 2, 0, 0] == 0 == x[0, 0, 0, 0]
    assert torch.equal(padded[0, 1, 2:-2, 2:-2], x[0, 0])


def test_numbers_of_prose():
    rows = pd.concat([
        pair("lstm-s", [1.0, 1.1, 1.2], iterations=15_000),
        pair("gru-s", [0.5, 0.6, 0.4], iterations=15_000),
        pair("alexnet-s", [2.0], dense=20.0, iterations=1500),
        runs([3.0], "googlenet", norm="batch"),
        pair("googlenet", [-4.0], dense=7.0),
    ])  # fmt: skip
    found = architectures.values(rows, rows[:0])
    assert (found["networks_trained"], found["of_one_seed"]) == ("4", "2")
    assert (found["share.mnist"], found["share.cifar10"]) == ("20.0", "1.0 to 50.0")
    assert found["costs.mnist"] == "0.50 to 1.10" and found["costs.cifar10"] == "−4.00 to +2.00"
    assert found["dense_errors.cifar10"] == "7.0 to 20.0"
    assert (found["trained_out.mnist"], found["trained_out.cifar10"]) == ("2", "1")
    assert found["dense_train_errors.mnist"] == "1.0"
    assert found["cost.lstm-s"] == "1.10 ± 0.25" and found["cost.lstm-s.mean"] == "1.10"
    assert found["cost.lstm-s.verdict"] == "higher" and "cost.lstm-b" not in found
    assert found["pruned_error.lstm-s.mean"] == "2.98"  # 1.88, the published one, + 1.10
    assert found["batch_minus_initial.googlenet"] == "0.00"
    assert found["smallest_kept"] == "–" and found["counts.paper.right"] == "23"
    assert found["m.wrn-16-8"] == "10.96"


def test_numbers_of_what_masks_keep():
    kept = scored([("googlenet", "running", 4, 2), ("googlenet", "batch", 4, 0)])
    kept.loc[kept.norm == "batch", "path"] = False
    found = layers.survival_values(kept)
    assert found["whole_initial"] == found["scored_initial"] == "1"
    assert found["whole_batch"] == found["path_batch"] == "0" and found["scored_batch"] == "1"
    assert found["cut_by_batch"] == "GoogLeNet" and found["cut_seeds"] == "2"
    assert (found["smallest_kept"], found["smallest_in"]) == ("2.00", "GoogLeNet")


def test_the_masks_in_files_are_those_of_the_rows():
    """Digest by digest: of the runs of seed 0 that only scored, by initial statistics."""
    rows = lab.read_results(lab.RESULTS / "2_layers.csv").query("seed == 0 and norm == 'running'")
    digests = rows.set_index("model").masks
    files = sorted((lab.RESULTS / "masks").glob("*.npz"))
    assert {file.stem for file in files} == set(published.systems())
    for file in files:
        masks = snip.load_masks(file)
        m = sum(mask.numel() for mask in masks.values())
        kept = sum(int(mask.sum()) for mask in masks.values())
        assert kept == snip.kept_count(m, snip.MODELS[file.stem].sparsity)
        assert snip.digest(masks) == digests[file.stem], file.stem
