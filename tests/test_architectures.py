"""The architectures of §5.3: what is run, what the rows say of it, and how it is shown."""

import math

import matplotlib.pyplot as plt
import pandas as pd
import pytest

import snipcore as snip
from sniplab.sections import PROFILES, architectures
from sniplab.sections import architectures_costs as costs
from sniplab.sections import architectures_layers as layers
from sniplab.sections import architectures_published as published

CONVOLUTIONAL = [n for n in published.TABLE_2 if published.kind_of(n) == "convolutional"]
RECURRENT = [n for n in published.TABLE_2 if published.kind_of(n) == "recurrent"]
NOISE = (-0.02, 0.0, 0.02)  # of three seeds


def runs(errors, model="alexnet-s", method="snip", **columns):
    """One row for each error, seed by seed; `status`, for one seed, may be among the columns."""
    spec = snip.MODELS[model]
    fixed = {
        "part": "trained",
        "model": model,
        "dataset": spec.dataset,
        "method": method,
        "sparsity": 0.0 if method == "dense" else spec.sparsity,
        "norm": "running",
        "status": "ok",
        "reinit": "",
        "collapsed": "",
        "layers": "",
        "iterations": 75_000,
        "seconds": 36.0,
        "train_loss": 0.5,
    }
    cells = pd.DataFrame({"seed": range(len(errors)), "error": errors})
    return cells.assign(**(fixed | columns))


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
    tested = {"smoke": 100, "quick": 1000, "desktop": 0, "paper": 0}  # images; 0: all
    assert {c.test_images for c in configs} == {tested[profile]}


def test_the_committed_table_has_the_lengths_it_says():
    configs = architectures.plan("desktop")["trained"]
    lengths = {c.model: (c.recipe.iterations, c.recipe.schedule) for c in configs}
    assert lengths["alexnet-s"] == (12 * 351, "linear") and lengths["vgg-d"] == (6 * 351, "linear")
    assert lengths["resnet-34"] == (4 * 351, "linear") and lengths["gru-s"] == (15_000, "stages")
    seeds = {name: {c.seed for c in configs if c.model == name} for name in lengths}
    assert seeds["lstm-s"] == seeds["googlenet"] == {0, 1, 2} and seeds["alexnet-b"] == {0}
    longer = architectures.plan("desktop", ["alexnet-s"], epochs=2, seeds=2)["trained"]
    assert {c.recipe.iterations for c in longer} == {702} and len(longer) == 4
    assert {c.recipe.checkpoints for c in longer} == {2}
    # A network that the profile does not train.
    (dense, pruned) = architectures.plan("desktop", "wrn-22-8")["trained"]
    assert dense.recipe.iterations == 351 and dense.recipe.batch_size == pruned.scoring_batch == 128


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


def test_networks_are_names_of_the_tables():
    lone = architectures.plan("smoke", models="gru-s")
    assert lone == architectures.plan("smoke", models=["gru-s"])
    assert {c.model for c in lone["trained"]} == {"gru-s"}
    assert architectures.plan("smoke", models=["gru-s", "gru-s"]) == lone  # each run once
    for name in ("resnet18", "lenet-300-100"):  # LeNets have no sparsity of their own
        with pytest.raises(ValueError, match=f"unknown model '{name}'; known: alexnet-s"):
            architectures.plan("smoke", [name])
    with pytest.raises(ValueError, match="models names no network"):
        architectures.plan("smoke", models=[])


@pytest.mark.parametrize("argument", ["epochs", "seeds"])
@pytest.mark.parametrize("value", [0, -1])
def test_no_seeds_and_no_epochs_are_refused(argument, value):
    with pytest.raises(ValueError, match=f"{argument} {value}: at least 1"):
        architectures.plan("smoke", **{argument: value})


def test_an_unknown_profile_is_named():
    for plan in (architectures.plan, architectures.survival_plan):
        with pytest.raises(ValueError, match="unknown profile 'night'; known: smoke, quick"):
            plan("night")


# ------------------------------------------------------------------------- claims: within a point


def test_a_claim_on_every_network_is_confirmed_by_all_of_them():
    assert judged("convolutional", *all_within(CONVOLUTIONAL))[0] == "reproduced"
    assert judged("recurrent", *all_within(RECURRENT))[0] == "reproduced"
    verdict, ours = judged("convolutional", *all_within(CONVOLUTIONAL, but=["wrn-22-8"]))
    assert verdict == "untested: 7 of 8 networks told with several seeds"
    assert ours.endswith("; not run: WRN-22-8")
    verdict, _ = judged("convolutional", pair("alexnet-s", NOISE))
    assert verdict == "untested: 1 of 8 networks told with several seeds"


def test_a_claim_on_every_network_is_refuted_by_one():
    worse = pair("alexnet-s", [3.0, 3.1, 3.2])
    assert judged("convolutional", worse)[0] == "not"
    assert judged("convolutional", worse, *all_within(["vgg-c"]))[0] == "in part"
    verdict, ours = judged("convolutional", worse, *all_within(CONVOLUTIONAL, but=["alexnet-s"]))
    assert verdict == "in part" and ours.startswith("+0.00 to +3.10 in 8 networks: 7 of 8 hold")
    better = pair("alexnet-s", [-3.0, -3.1, -3.2])  # nor are they "within a point" then
    assert judged("convolutional", better)[0] == "not"


def test_a_wide_interval_decides_nothing():
    wide = pair("lstm-s", [-0.6, 0.6])  # 0 ± 7.6 is no equality, nor its contrary
    assert judged("recurrent", wide)[0].startswith("untested")
    verdict, ours = judged("recurrent", wide, *all_within(RECURRENT, but=["lstm-s"]))
    assert verdict == "in part" and "3 of 4 hold, 1 undecided" in ours


def test_one_seed_is_said_and_tells_nothing():
    alone = pair("gru-b", [5.0])
    verdict, ours = judged("recurrent", alone)
    assert verdict == "untested: 0 of 4 networks told with several seeds"
    assert ours.startswith("+5.00 in 1 of one seed; 100 % of the protocol's length; not run: ")
    verdict, ours = judged("recurrent", alone, *all_within(RECURRENT, but=["gru-b"]))
    assert verdict == "untested: 3 of 4 networks told with several seeds"
    assert ours.startswith("+0.00 in 3 networks: 3 of 3 hold; +5.00 in 1 of one seed; ")
    claim = architectures.within_a_point(pd.concat([alone, *all_within(["lstm-s"])]), "recurrent")
    assert claim["seeds"] == 3  # of what is judged


def test_a_network_is_told_where_its_dense_one_is_trained_out():
    names = [name for name in RECURRENT if name != "gru-s"]
    at_the_limit = pair("gru-s", NOISE, dense=2.87)  # published 1.87
    assert judged("recurrent", at_the_limit, *all_within(names))[0] == "reproduced"
    beyond = pair("gru-s", [3.0, 3.1, 3.2], dense=2.9)  # would refute the claim
    verdict, ours = judged("recurrent", beyond, *all_within(names))
    assert verdict == "untested: 3 of 4 networks told with several seeds"
    assert "dense not trained out: GRU-s (2.9 %, published 1.87)" in ours
    short = pair("gru-s", [3.0, 3.1, 3.2], iterations=15_000)  # that it is short does not matter
    verdict, ours = judged("recurrent", short)
    assert verdict == "not" and "; 20 % of the protocol's length" in ours


def test_why_no_network_is_told():
    one = pair("resnet-18", [0.2, 0.3], dense=16.5)
    verdict, ours = judged("other", one)
    assert verdict == "untested: dense network not trained out (16.5 %, published 8.2)"
    assert ours.startswith("dense not trained out: ResNet-18 (16.5 %, published 8.2); not run: ")
    two = [pair(name, NOISE, dense=30.0) for name in ("alexnet-s", "vgg-c")]
    assert judged("convolutional", *two)[0] == "untested: 2 dense networks not trained out"
    lost = pair("alexnet-s", NOISE)
    lost.loc[lost.method == "dense", ["status", "error"]] = ["diverged: nan", math.nan]
    verdict, ours = judged("convolutional", lost)
    assert verdict == "untested: no dense network ended well" and "AlexNet-s (lost)" in ours


def test_a_network_without_a_published_error_is_never_compared():
    own = pair("googlenet-full", [5.0, 5.1, 5.2], dense=9.0)
    verdict, ours = judged("other", own)
    assert verdict == "untested: nothing published says whether the dense network is trained out"
    assert ours.startswith("no dense error published of GoogLeNet-full; not run: ")
    others = all_within(published.CLASS_REPORT_DENSE)
    verdict, ours = judged("other", own, *others)
    assert verdict == "reproduced" and "no dense error published of GoogLeNet-full" in ours


def test_each_claim_is_judged_by_its_own_networks():
    others = pair("googlenet", [5.0, 5.1, 5.2])
    assert judged("convolutional", others, *all_within(CONVOLUTIONAL))[0] == "reproduced"
    assert judged("other", others, *all_within(CONVOLUTIONAL))[0] == "not"
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
    assert verdict == "in part" and "3 of 4 hold, 1 undecided" in ours and "; 1 pair lost" in ours
    rows.loc[rows.model == "lstm-b", ["status", "error"]] = ["diverged: nan", math.nan]
    assert set(costs.costs(rows).model) == {*RECURRENT} - {"lstm-b"}


def test_masks_of_batch_statistics_do_not_count_in_a_claim():
    rows = pd.concat([
        pair("squeezenet-bypass", NOISE),
        runs([60.0, 61.0, 62.0], "squeezenet-bypass", norm="batch"),
    ])  # fmt: skip
    assert judged("other", rows)[1].startswith("+0.00 in 1 network; ")
    assert costs.costs(rows)["mean"].tolist() == pytest.approx([0.0])


@pytest.mark.parametrize("methods", [["snip"], ["dense"], ["snip", "dense"]])
def test_a_run_counts_once(methods):
    """Repeated rows would narrow the interval."""
    rows = pair("lstm-s", [0.2, 0.4])
    rows = pd.concat([rows, *[rows[rows.method.isin(methods)]] * 3])
    for function in (architectures.claims, costs.differences, costs.costs):
        with pytest.raises(ValueError, match=r"two runs of|twice in one group"):
            function(rows)
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
    ours = "12 of 12, and 1 of 1 other; with batch statistics 1 of the 2 that normalise"
    assert claim["ours"] == ours
    kept.loc[1, "kept"] = 0  # with one seed of two
    claim = architectures.connected(kept)
    assert claim["ours"].startswith("11 of 12, and") and claim["verdict"] == "in part"


def test_every_architecture_needs_every_architecture():
    claim = architectures.connected(scored(TABLE_2_WHOLE[:1]))
    assert claim["verdict"] == "untested: 11 of 12 networks not scored"
    assert claim["ours"] == "1 of 1 (11 not scored)"
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
    found = architectures.claims(pair("lstm-s", NOISE))
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
    shown = layers.survival_table(table.reset_index())
    assert shown.loc["GoogLeNet", ("batch statistics", "path")] == "1 of the 2"
    assert shown.loc["GoogLeNet", ("initial statistics", "smallest kept")] == "2.00 %"
    assert shown.loc["GRU-s", ("batch statistics", "smallest kept")] == "nothing to normalise"
    alone = layers.survival_table(layers.survival(kept[kept.seed == 1]))
    assert alone["batch statistics", "path"].tolist() == ["no", ""]


def test_what_is_kept_moves_towards_the_input():
    kept = scored([
        *(("googlenet", "running", 1, 2, 3), ("googlenet", "batch", 3, 2, 1)),
        *(("vgg-c", "running", 3, 2, 1), ("vgg-c", "batch", 1, 2, 3)),
        *(("gru-s", "running", 1, 2, 3), ("gru-s", "batch", 3, 2, 1)),
    ])  # fmt: skip
    assert layers.towards_input(kept).to_dict() == {"googlenet": True, "vgg-c": False}


def test_every_published_count_comes_out(monkeypatch):
    counts = published.parameter_counts()
    assert published.counts_right(counts) == len(published.TABLE_I) == 14
    assert counts.published.notna().sum() == 14 and len(counts) == len(published.systems())
    for wrong in (published.Parameters(1.06e7, 5.26e5), published.Parameters(1.05e7, 5.31e5)):
        monkeypatch.setitem(published.TABLE_I, "vgg-c", wrong)  # by a last digit, by a percent
        assert published.counts_right(published.parameter_counts()) == 13


def test_a_network_that_is_hardly_trained_is_left_out():
    rows = pd.concat([pair("lstm-s", NOISE), pair("alexnet-s", [-9.0] * 3, dense=54.0)])
    table = costs.differences(rows).set_index("model")
    assert table.verdict["alexnet-s"] == costs.LEFT_OUT != table.verdict["lstm-s"]
    assert costs.untrained(rows) == ["alexnet-s"]
    assert costs.costs(rows).model.tolist() == ["lstm-s"]
    shown = costs.cost_table(rows, planned={"lstm-s", "alexnet-s", "vgg-c"})
    assert shown.loc["alexnet-s", "Δ"].endswith(f"({costs.LEFT_OUT})")
    assert shown.loc["lstm-s", "Δ"] == "+0.00 ± 0.05"
    assert shown.loc["vgg-c", "Δ"] == "not yet" and shown.loc["vgg-d", "Δ"] == "not planned"
    assert shown.loc["resnet-18", "Δ, published"] == "+0.15"
    assert shown.loc["resnet-34", "published by"] == "–"
    assert shown.index[:14].tolist() == list(published.TABLE_I)


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
    assert table.model.tolist() == ["SqueezeNet-bypass", *["GoogLeNet"] * 3]
    cut = table[table.path == "no"].iloc[0]
    assert (cut.model, cut["scored with"], cut["layers lost"]) == (
        *("GoogLeNet", "batch statistics", "2"),
    )
    assert table[table.method == "dense"]["scored with"].tolist() == [""]
    assert costs.batch_mask_table(rows[rows.norm != "batch"]).empty


def test_the_table_for_latex():
    rows = pair("alexnet-s", NOISE)
    table = costs.cost_table(rows, planned={"alexnet-s", "wrn-16-8"})
    text = costs.latex(table, rows, "50 % of A&B, run_1.")
    lines = text.splitlines()
    assert r"AlexNet-s & 90 & 5.07e6 & 5.07e5 & 14.12 +- 0.00 & 14.12 +- 0.05 & " in text
    assert r"50 \% of A\&B, run\_1. Lost runs: none." in text
    first = lines.index(r"\midrule") + 1
    assert lines[first + 14] == r"\midrule" and lines[first].startswith("AlexNet-s")
    (later,) = [line for line in lines if line.startswith("WRN-16-8")]
    assert later.count(r"{\dots}") == 3 and later.endswith(r"& 6.21 & 6.63 & +0.42 \\")
    (never,) = [line for line in lines if line.startswith("ResNet-34")]
    assert never.count("{--}") == 6


# ------------------------------------------------------------------------------- figures, numbers


def test_the_figure_of_costs_shows_what_there_is():
    rows = pd.concat([pair("lstm-s", NOISE), pair("alexnet-s", [-9.0] * 3, dense=54.0)])
    figure = costs.draw_costs(costs.differences(rows), ["alexnet-s", "vgg-c", "lstm-s"])
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        *("LSTM-s", "VGG-C", "AlexNet-s"),  # from below
    ]
    assert [text.get_text() for text in axis.texts] == ["not run yet"]
    assert axis.texts[0].get_position()[1] == 1
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[0] == "ours" and f"ours, {costs.LEFT_OUT}" in labels
    ours, left_out = axis.containers
    assert ours[0].get_xydata().tolist() == [[pytest.approx(0), 0]]
    assert left_out[0].get_xydata().tolist() == [[pytest.approx(-9), 2]]
    plt.close(figure)


def test_the_figure_of_layers_marks_those_that_are_lost():
    kept = scored([("googlenet", "running", 4, 2), ("googlenet", "batch", 4, 0)], seeds=[0])
    figure = layers.draw_layers(kept, ["googlenet", "gru-s"])
    first, second = figure.axes
    (lost,) = [line for line in first.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert list(lost.get_xdata()) == [2]
    assert [text.get_text() for text in second.texts] == ["not run yet"] and not first.texts
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-1] == "nothing kept, batch statistics"
    plt.close(figure)


def test_numbers_of_prose():
    rows = pd.concat([
        pair("lstm-s", [1.0, 1.1, 1.2], iterations=15_000),
        pair("alexnet-s", [2.0], dense=20.0, iterations=1500),
        pair("vgg-c", [-9.0], dense=54.0),  # hardly trained
    ])  # fmt: skip
    found = architectures.values(rows)
    assert found["trained"] == "3" and found["of_one_seed"] == "1" and found["hours"] == "0.10"
    assert (found["cost_least"], found["cost_least_in"]) == ("+1.10", "LSTM-s")
    assert (found["cost_most"], found["cost_most_in"]) == ("+2.00", "AlexNet-s")
    assert found["share.mnist"] == "20.0" and found["share.cifar10"] == "1.0"
    assert found["dense_errors.cifar10"] == "20.0" and found["costs.mnist"] == "+1.10"
    assert (found["larger_than_published"], found["published_differences"]) == ("2", "2")
    assert found["worse"] == "LSTM-s" and found["better"] == "none"
    assert found["cost.lstm-s"] == "+1.10 ± 0.25" and found["cost.gru-s"] == "–"
    assert found["smallest_kept"] == "–" and found["counts_right"] == "14"


def test_numbers_of_what_masks_keep():
    kept = scored([("googlenet", "running", 4, 2), ("googlenet", "batch", 4, 0)])
    kept.loc[kept.norm == "batch", "path"] = False
    found = layers.survival_values(kept)
    assert found["whole_initial"] == found["path_initial"] == found["scored_initial"] == "1"
    assert found["whole_batch"] == found["path_batch"] == "0" and found["scored_batch"] == "1"
    assert found["cut_by_batch"] == "GoogLeNet" and found["scored_seeds"] == "2"
    assert (found["smallest_kept"], found["smallest_in"]) == ("2.00", "GoogLeNet")
