"""The demonstration: one network, pruned and trained before the reader's eyes."""

import matplotlib.pyplot as plt
import pytest

import snipcore as snip
import sniplab as lab
from sniplab.sections import introduction


@pytest.fixture(scope="module")
def demonstration(digits):
    model = snip.build_model(introduction.NETWORK, seed=0).to(digits.x_train.device)
    scores = snip.sensitivity(model, *lab.draw_batch(digits, 100, seed=0))
    masks = snip.keep_top(scores, introduction.SPARSITY)
    return masks, introduction.measure_demonstration(digits, model, scores, masks, 40)


def test_the_tables_tell_what_is_kept(demonstration):
    masks, tables = demonstration
    kept = sum(int(mask.sum()) for mask in masks.values())
    layers = introduction.layer_table(tables["0_layers"])
    assert list(layers) == [*masks, "all"]
    assert list(layers["all"]) == [266_610, kept] and kept == snip.kept_count(266_610, 0.95)
    scores = tables["0_sensitivities"]
    assert scores.kept.sum() == kept
    assert 0 < scores.pruned.sum() < 266_610 - kept  # those of 0 are left out
    assert scores.low[scores.kept > 0].min() >= scores.low[scores.pruned > 0].max()  # one bin cut
    assert tables["0_pixels"].kept.sum() == layers["fc1.weight"]["after"]


def test_both_networks_learn(demonstration):
    training = demonstration[1]["0_training"]
    assert list(training.iteration) == [10, 20, 30, 40]
    for name in ("dense", "pruned"):
        assert training[name].iloc[-1] < 60 < training.untrained[0]
    assert not training.dense.equals(training.pruned)


def test_the_committed_demonstration_is_drawn_without_data(monkeypatch):
    monkeypatch.setattr(introduction, "load_data", lambda *_, **__: pytest.fail("data asked for"))
    tables = introduction.stored_demonstration()
    training = tables["0_training"]
    assert training.source.str.startswith("MNIST").all()
    assert training.iteration.iloc[-1] == introduction.length("desktop")
    figure = introduction.draw_demonstration(tables)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:3] == ["Connection sensitivity", "Kept in the first layer", "Training"]
    plt.close(figure)
