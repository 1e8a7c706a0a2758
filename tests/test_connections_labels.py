"""Whether a mask scored on permuted labels trains worse than SNIP's."""

import pandas as pd
import pytest
from conftest import rows_for

from sniplab.recipe import Recipe
from sniplab.runs import Config
from sniplab.sections import COMMITTED
from sniplab.sections import connections_labels as labels


def config(dataset, method, seed):
    sparsity = 0 if method == "dense" else 0.9
    return Config("lenet-300-100", Recipe(75_000), method, sparsity, seed, dataset)


def runs(dataset, method, *errors, part="sweep", **changed):
    """Three seeds of LeNet-300-100."""
    configs = [config(dataset, method, seed) for seed in range(len(errors))]
    return rows_for(configs, errors, data=dataset, part=part, **changed)


SWEPT = pd.concat([
    runs("mnist", "snip", 2.0, 2.1, 2.2),
    runs("mnist", "shuffled", 4.0, 4.1, 4.2),
    runs("mnist", "snip", 9.0, 9.0, 9.0, part="defaults"),  # another recipe,
    runs("mnist", "dense", 1.0, 1.0, 1.0, sparsity=0.9),  # no mask,
    runs("mnist", "snip", 9.0, 9.0, 9.0, model="lenet-5-caffe"),  # another network
])  # fmt: skip
FASHION = runs("fashion_mnist", "snip", 12.0, 12.1, 12.2)


def permuted(*extra, dataset="mnist"):
    base = (2.0, 2.1, 2.2) if dataset == "mnist" else (12.0, 12.1, 12.2)
    errors = [a + b for a, b in zip(base, extra, strict=True)]
    return runs(dataset, "permuted-labels", *errors)


def claims_of(rows, **missing):
    plan = [
        config(name, "permuted-labels", seed)
        for name in labels.LEVELS
        for seed in range((rows.dataset == name).sum() + missing.get(name, 0))
    ]
    return labels.claims(rows, SWEPT, FASHION, {"labels": plan})


def test_a_mask_is_compared_with_that_of_its_seed_and_data():
    rows = pd.concat([
        permuted(1.0, 1.1, 0.9), permuted(3.0, 3.1, 2.9, dataset="fashion_mnist")
    ])  # fmt: skip
    table = labels.compared(rows, SWEPT, FASHION).set_index("dataset")
    assert table["mean"].to_dict() == pytest.approx({"mnist": 1.0, "fashion_mnist": 3.0})
    # By hand: s = 0.1, t = 4.303, 4.303 * 0.1 / sqrt(3).
    assert table.half.tolist() == pytest.approx([0.2484] * 2, abs=1e-4)
    found = labels.values(rows, SWEPT, FASHION)
    assert found["labels.mnist.90"] == "1.00 ± 0.25"
    assert found["labels.fashion_mnist.90.verdict"] == "higher"
    assert found["labels_minus_shuffled.90"] == "−1.00 ± 0.25"


def test_a_small_cost_may_show_in_the_mean_over_sparsities():
    """What permuted labels cost at 90, 95 and 98 %: 0.1, 0.2, 0.6 of one seed, 0.3 in the mean."""
    levels = (0.9, 0.95, 0.98)
    snips = pd.concat([SWEPT.assign(sparsity=level) for level in levels])
    rows = pd.concat([
        permuted(0.1, 0.3, 0.2).assign(sparsity=0.9),
        permuted(0.2, 0.4, 0.3).assign(sparsity=0.95),
        permuted(0.6, 0.5, 0.1).assign(sparsity=0.98),
    ])  # fmt: skip
    found = labels.values(rows, snips, FASHION)
    # By hand: 0.3, 0.4, 0.2; s = 0.1, t = 4.303, 4.303 * 0.1 / sqrt(3).
    assert found["pooled_labels.mnist"] == "0.30 ± 0.25"


def test_labels_matter_where_the_error_rises_without_them():
    mnist, fashion = claims_of(permuted(1.0, 1.1, 0.9))
    assert (
        mnist["verdict"] == "reproduced" and mnist["ours"] == "permuted − SNIP: +1.00 ± 0.25 points"
    )
    assert fashion["verdict"] == "untested" and fashion["ours"] == "–"
    assert claims_of(permuted(-1.0, -1.1, -0.9))[0]["verdict"] == "not reproduced"
    assert claims_of(permuted(-0.1, 0.1, 0.0))[0]["verdict"] == "inconclusive"


def test_no_verdict_while_a_run_is_missing():
    mnist, fashion = claims_of(permuted(1.0, 1.1, 0.9), mnist=2, fashion_mnist=1)
    assert mnist["verdict"] == "untested: 2 of 5 runs missing"
    assert fashion["verdict"] == "untested: 1 of 1 runs missing"


def test_a_line_for_each_data_set():
    table = labels.compared(permuted(1.0, 1.1, 0.9), SWEPT, FASHION)
    figure = labels.draw_labels(table)
    (axis,) = figure.axes
    texts = [text.get_text() for text in axis.get_legend().get_texts()]
    assert texts == ["MNIST", "Fashion-MNIST"]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["90"]


def test_each_run_has_one_of_snip_to_be_held_against():
    (planned,) = labels.labels_plan(COMMITTED).values()
    assert len(planned) == 20 * 4 + 5 * 3 and {c.method for c in planned} == {"permuted-labels"}
    assert {c.recipe.iterations for c in planned} == {75_000}
