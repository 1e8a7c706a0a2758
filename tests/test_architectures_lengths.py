"""What SNIP costs on CIFAR-10 by the length of training."""

import pandas as pd
import pytest
from conftest import configs_of, rows_for

from sniplab.recipe import Recipe
from sniplab.runs import Config
from sniplab.sections import COMMITTED
from sniplab.sections import architectures_lengths as lengths
from sniplab.stats import minus_twin

DENSE = (20.0, 20.2, 20.4)


def config(method, iterations, seed):
    return Config("alexnet-s", Recipe(iterations), method, 0.9 * (method == "snip"), seed)


def runs(epochs, *costs, **changed):
    """Three seeds of AlexNet-s, dense and by SNIP at 90 %."""
    configs = [config(m, 351 * epochs, seed) for m in ("dense", "snip") for seed in range(3)]
    rows = rows_for(configs, [*DENSE, *(a + b for a, b in zip(DENSE, costs, strict=True))])
    return rows.assign(train_error=rows.error - 1, **changed)


SHORT = pd.concat([
    runs(12, 2.0, 2.5, 3.0),
    runs(12, 9.0, 9.0, 9.0, model="vgg-d"),  # of other networks,
    runs(12, 9.0, 9.0, 9.0, norm="batch")[3:],  # or by other statistics: not to be counted
])  # fmt: skip


def claim_of(longer, missing=0):
    planned = configs_of(longer)
    planned += [config("dense", 10, seed) for seed in range(missing)]
    (claim,) = lengths.claims(longer, SHORT, {"lengths": planned})
    return claim


def test_costs_are_compared_within_a_seed():
    both = lengths.by_length(runs(24, 3.0, 3.6, 3.9), SHORT)
    table = lengths.costs(both).set_index("epochs")
    assert table["mean"].to_dict() == pytest.approx({12: 2.5, 24: 3.5}) and list(table.n) == [3, 3]
    (change,) = lengths.changes(both).to_dict("records")
    # By hand: 1.0, 1.1, 0.9; s = 0.1, t = 4.303, 4.303 * 0.1 / sqrt(3).
    assert change["epochs"] == 24 and change["mean"] == pytest.approx(1.0)
    assert change["half"] == pytest.approx(0.2484, abs=1e-4) and change["verdict"] == "higher"
    quoted = lengths.values(runs(24, 3.0, 3.6, 3.9), SHORT)
    assert (
        quoted["length_change.alexnet-s.24"] == "1.00 ± 0.25"
        and quoted["length_cost.alexnet-s.12.mean"] == "2.50"
    )
    assert quoted["length.test.alexnet-s.dense.12.tenths"] == "20.2"
    assert quoted["length.training.alexnet-s.dense.12.tenths"] == "19.2"
    assert quoted["longest_epochs.alexnet-s"] == "24"
    assert quoted["longest_share.alexnet-s"] == "6"  # of 427


def test_the_longest_runs_are_those_of_three_pairs():
    begun = runs(48, 3.0, 3.6, 3.9).drop(index=5)  # one of three pruned runs is missing
    quoted = lengths.values(pd.concat([runs(24, 3.0, 3.6, 3.9), begun]), SHORT)
    assert quoted["longest_epochs.alexnet-s"] == "24"
    assert quoted["length_cost.alexnet-s.48.mean"] == "3.30"  # of the two pairs that there are


def test_without_longer_runs_there_is_nothing_to_compare():
    assert lengths.by_length(SHORT[:0], SHORT).empty
    assert lengths.values(SHORT[:0], SHORT) == {}


def test_it_costs_less_where_every_longer_run_does():
    assert claim_of(runs(24, 1.0, 1.6, 1.9))["verdict"] == "reproduced"
    assert claim_of(runs(24, 3.0, 3.6, 3.9))["verdict"] == "not reproduced"
    both = pd.concat([runs(24, 3.0, 3.6, 3.9), runs(48, 1.0, 1.6, 1.9)])
    found = claim_of(both)
    assert found["verdict"] == "in part" and found["seeds"] == 3
    assert found["ours"].endswith("−1.00 to +1.00 points: 1 of 2 hold")


def test_no_verdict_while_a_run_is_missing():
    found = claim_of(runs(24, 1.0, 1.6, 1.9), missing=2)
    assert found["verdict"] == "untested: 2 of 8 runs missing" and found["ours"] == "–"


def test_no_verdict_while_a_run_of_the_sections_own_length_is_missing():
    longer = runs(24, 1.0, 1.6, 1.9)
    for lone in (SHORT.seed == 2, (SHORT.seed == 2) & (SHORT.method == "snip")):
        (claim,) = lengths.claims(longer, SHORT[~lone], {"lengths": configs_of(longer)})
        assert claim["verdict"].startswith("untested: runs of the section") and claim["ours"] == "–"


def test_a_run_without_its_twin_is_no_cost():
    longer = runs(24, 3.0, 3.6, 3.9)
    longer.loc[0, "status"] = "diverged"  # dense, of seed 0
    assert lengths.changes(lengths.by_length(longer, SHORT)).n.tolist() == [2]


def test_two_twins_are_refused():
    base = runs(12, 2.0, 2.5, 3.0)
    with pytest.raises(pd.errors.MergeError, match="many-to-one"):
        minus_twin(base, pd.concat([base, base]), ["method", "seed"])


def test_the_figure_ends_at_the_published_length():
    both = lengths.by_length(runs(24, 3.0, 3.6, 3.9), SHORT)
    figure = lengths.draw_lengths(both)
    _, right = figure.axes
    assert [text.get_text() for text in right.get_xticklabels()] == ["12", "24", "427"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    named = {"dense, training images", "paper, dense", "class report, SNIP"}
    assert named < set(labels) and len(labels) == 12
    (seeds,) = [line for line in right.lines if line.get_label() == "SNIP − dense, a seed"]
    assert sorted(seeds.get_ydata()) == pytest.approx([2.0, 2.5, 3.0, 3.0, 3.6, 3.9])
    lengths.draw_lengths(both[:0])  # of a profile without them


def test_two_seeds_have_no_bar():
    longer = runs(24, 3.0, 3.6, 3.9)
    figure = lengths.draw_lengths(lengths.by_length(longer[longer.seed < 2], SHORT))
    for axis in figure.axes:
        for bars in (container for container in axis.containers if container.has_yerr):
            heights = [abs(y1 - y0) for (_, y0), (_, y1) in bars.lines[2][0].get_segments()]
            # The errors have a point without a bar at 24 epochs, the costs no point.
            assert heights[0] > 0 and heights[1:] == [0] * (axis is figure.axes[0])


def test_each_network_is_compared_with_its_own_shortest_runs():
    recurrent = {"model": "lstm-s", "dataset": "mnist", "sparsity": 0.95}
    own = pd.concat([SHORT, runs(24, 0.5, 0.4, 0.6, **recurrent, iterations=37_500)])
    shorter = runs(12, 1.0, 1.0, 1.0, **recurrent, iterations=15_000)
    both = lengths.by_length(pd.concat([runs(24, 3.0, 3.6, 3.9), shorter]), own)
    table = lengths.changes(both).set_index(["model", "epochs"])["mean"]
    # 15,000 and 37,500 iterations are 27.8 and 69.4 epochs of 540
    assert table.to_dict() == pytest.approx({("alexnet-s", 24): 1.0, ("lstm-s", 69): -0.5})
    figure = lengths.draw_lengths(both)
    ticks = [text.get_text() for text in figure.axes[-1].get_xticklabels()]
    assert ticks == ["28", "69", "139"]


def test_as_many_runs_are_planned_as_the_report_says():
    (planned,) = lengths.lengths_plan(COMMITTED).values()
    assert len(set(planned)) == 36
    cells = {(c.model, c.method, c.sparsity, c.recipe.iterations, c.seed) for c in planned}
    for model, sparsity, lengths_, seeds in (
        ("alexnet-s", 0.9, (8424, 16_848, 33_696), 3),
        ("lstm-s", 0.95, (15_000, 75_000), 3),
        ("gru-s", 0.95, (15_000,), 3),
    ):
        wanted = {
            (model, *cell, length, seed)
            for cell in (("dense", 0.0), ("snip", sparsity))
            for length in lengths_
            for seed in range(seeds)
        }
        assert wanted == {cell for cell in cells if cell[0] == model}
    schedules = {(c.model, c.recipe.schedule) for c in planned}
    assert schedules == {("alexnet-s", "linear"), ("lstm-s", "stages"), ("gru-s", "stages")}
