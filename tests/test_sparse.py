"""Sparse and stacked training give what masked training gives, up to rounding."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

import snipcore as snip
import sniplab as lab

RECIPE = lab.Recipe(iterations=200, lr=0.05, checkpoints=2)


def pruned(count, device, digits, method="snip", sparsities=(0.98, 0.9, 0.95)):
    models = [snip.build_model("lenet-300-100", seed=k).to(device) for k in range(count)]
    x, y = lab.draw_batch(digits, 100, seed=0)
    masks = [
        lab.make_masks(model, method, sparsities[k % len(sparsities)], x, y, seed=k)
        for k, model in enumerate(models)
    ]
    return models, masks


def net_with_everything():
    """Convolution, norm, linear layers on three axes, without bias, and two that share a tensor."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, 3),  # (B, 4, 9, 9)
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Linear(9, 12),  # (B, 4, 9, 12)
        nn.Linear(12, 6, bias=False),
        nn.Flatten(),
        nn.Linear(216, 16),
        nn.Linear(16, 16),
        nn.Linear(16, 16),
        nn.Linear(16, 10),
    )
    net[8].weight = net[7].weight
    return net


def test_the_product_and_its_gradients_are_those_of_the_masked_layer(device):
    torch.manual_seed(1)
    dense = nn.Linear(7, 5).double().to(device)
    mask = torch.rand(5, 7, device=device) < 0.4
    mask[2], mask[:, 3] = False, False  # an empty row and an empty column
    sparse = lab.SparseLinear([dense], [mask])
    x = torch.randn(3, 4, 7, dtype=torch.float64, device=device, requires_grad=True)
    twin = x.detach().clone().requires_grad_()
    expected = nn.functional.linear(twin, dense.weight * mask, dense.bias)
    torch.testing.assert_close(sparse(x), expected)
    weights = torch.randn_like(expected)
    (sparse(x) * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(x.grad, twin.grad)
    torch.testing.assert_close(sparse.values.grad, dense.weight.grad[mask])
    torch.testing.assert_close(sparse.bias.grad, dense.bias.grad)
    assert not dense.weight.grad[~mask].any()


def test_sparse_products_stay_in_float32_under_autocast(digits, device):
    (model,), (masks,) = pruned(1, device, digits)
    recipe = dataclasses.replace(RECIPE, iterations=20, precision="bfloat16")
    with lab.sparse_linears(model, masks) as rest:
        history = lab.train(model, digits, recipe, rest)
    assert history.loss[-5:].mean() < history.loss[:5].mean()


def test_a_layer_that_keeps_nothing(device):
    dense = nn.Linear(6, 4).to(device)
    sparse = lab.SparseLinear([dense], [torch.zeros(4, 6, dtype=torch.bool, device=device)])
    x = torch.randn(2, 6, device=device, requires_grad=True)
    out = sparse(x)
    out.sum().backward()
    assert out.equal(dense.bias.expand(2, 4)) and not x.grad.any()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_sparse_training_is_masked_training(digits, device, optimizer):
    recipe = dataclasses.replace(
        RECIPE, optimizer=optimizer, lr=0.02 if optimizer == "sgd" else 1e-3
    )
    (model,), (masks,) = pruned(1, device, digits, "random")  # random masks keep biases, too
    twin = copy.deepcopy(model)
    kinds = [type(layer) for layer in model]
    expected = lab.train(model, digits, recipe, masks, seed=3)
    with lab.sparse_linears(twin, masks) as rest:
        assert isinstance(twin.fc1, lab.SparseLinear)
        assert sum(p.numel() for p in snip.prunable(twin).values()) < 6000  # optimiser state, too
        history = lab.train(twin, digits, recipe, rest, seed=3)
    assert [type(layer) for layer in twin] == kinds
    np.testing.assert_allclose(history.loss, expected.loss, rtol=2e-3, atol=2e-4)
    assert abs(history.error - expected.error) <= 0.5
    state, other = model.state_dict(), twin.state_dict()
    assert list(state) == list(other)
    for name, weight in state.items():
        torch.testing.assert_close(other[name], weight, rtol=0.02, atol=2e-3)
        assert not other[name][~masks[name]].any()


def test_any_linear_layer_may_be_sparse_but_a_shared_one(digits, device):
    model = net_with_everything().to(device)
    twin = copy.deepcopy(model)
    masks = snip.keep_top(lab.random_scores(model, 0), 0.5)
    recipe = lab.Recipe(iterations=20, lr=0.02, checkpoints=1)
    expected = lab.train(model, digits, recipe, masks)
    with lab.sparse_linears(twin, masks) as rest:
        sparse = [n for n, layer in twin.named_modules() if isinstance(layer, lab.SparseLinear)]
        assert sparse == ["3", "4", "6", "9"]
        history = lab.train(twin, digits, recipe, rest)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-3)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(twin.state_dict()[name], weight, rtol=1e-2, atol=1e-4)


def test_layers_are_put_back_when_training_fails(digits, device):
    (model,), (masks,) = pruned(1, device, digits)
    with pytest.raises(FloatingPointError), lab.sparse_linears(model, masks) as rest:
        lab.train(model, digits, dataclasses.replace(RECIPE, lr=1e20), rest)
    assert type(model.fc1) is nn.Linear


@pytest.mark.parametrize("method", ["snip", "random"])
def test_stacked_networks_train_as_they_would_alone(digits, device, method):
    models, masks = pruned(3, device, digits, method)
    twins = copy.deepcopy(models)
    histories = lab.train_stacked(twins, digits, RECIPE, masks, seed=7)
    for model, twin, mask, history in zip(models, twins, masks, histories, strict=True):
        alone = lab.train(model, digits, RECIPE, mask, seed=7)
        np.testing.assert_allclose(history.loss, alone.loss, rtol=5e-3, atol=5e-4)
        np.testing.assert_allclose(history.test_error, alone.test_error, atol=0.5)
        assert np.mean(history.train_error == alone.train_error) > 0.95
        assert history.iteration == alone.iteration
        for name, weight in snip.prunable(model).items():
            other = snip.prunable(twin)[name]
            torch.testing.assert_close(other, weight, rtol=0.02, atol=5e-3)
            assert not other[~mask[name]].any()
        assert history.error == lab.evaluate(twin, digits.x_test, digits.y_test)


def test_one_that_diverges_leaves_the_others_alone(digits, device):
    models, masks = pruned(3, device, digits)
    alone = lab.train_stacked([copy.deepcopy(models[2])], digits, RECIPE, [masks[2]])
    with torch.no_grad():
        models[1].fc1.weight.mul_(1e30)
    histories = lab.train_stacked(models, digits, RECIPE, masks)
    assert isinstance(histories[1], FloatingPointError) and "the loss is nan" in str(histories[1])
    np.testing.assert_allclose(histories[2].loss, alone[0].loss, rtol=1e-5)


def test_logits_that_overflow_after_the_last_loss_are_no_result(monkeypatch, digits, device):
    models, masks = pruned(3, device, digits)
    recipe = lab.Recipe(iterations=1, lr=0.05, checkpoints=1)
    with torch.no_grad():
        models[1].fc3.bias.fill_(math.inf)
    network, _ = lab.sparse._stack_networks(models, masks)
    errors = lab.sparse._evaluate_stacked(network, digits, 3)
    assert math.isnan(errors[1]) and all(0 < errors[k] <= 100 for k in (0, 2))
    monkeypatch.setattr(lab.sparse, "_evaluate_stacked", lambda *stack: errors)
    histories = lab.train_stacked(pruned(3, device, digits)[0], digits, recipe, masks)
    assert str(histories[1]) == "NaN or Inf in the logits" and histories[2].error == errors[2]


@pytest.mark.parametrize("fastest", lab.ENGINES)
def test_the_engine_of_the_shortest_step_is_taken(monkeypatch, digits, device, fastest):
    def timed(engine, models, data, recipe, masks, seed):
        seconds = 1.0 if engine == fastest else 2.0
        return [lab.History(np.zeros(1), np.zeros(1), [1], [0.0], 0.0, seconds)] * len(models)

    monkeypatch.setattr(lab.sparse, "train_with", timed)
    models, masks = pruned(2, device, digits, sparsities=(0.98,))
    assert lab.sparse.fastest_engine(models, digits, RECIPE, masks, 0) == fastest


def test_what_cannot_be_stacked(digits, device):
    model = snip.build_model("lenet-5-caffe").to(device)
    masks = snip.keep_top(lab.random_scores(model, 0), 0.9)
    with pytest.raises(ValueError, match="only networks of linear layers and ReLU"):
        lab.train_stacked([model], digits, RECIPE, [masks])


def grid(iterations=lab.sparse.TRIAL_WORTH, **changes):
    recipe = lab.Recipe(iterations, lr=0.05, checkpoints=1)
    base = dict(model="lenet-300-100", recipe=recipe, dataset="digits")
    return [
        lab.Config(**(base | changes), method=method, sparsity=sparsity, seed=seed)
        for seed in (0, 1)
        for method, sparsity in (
            *(("dense", 0.0), ("snip", 0.5), ("snip", 0.9), ("snip", 0.98), ("snip", 0.99)),
            *(("random", 0.98), ("magnitude", 0.98)),
        )
    ]


def test_what_is_trained_together():
    groups = lab.grid._together(grid(), workers=2)
    assert [[(c.method, c.sparsity) for c in group] for group in groups[:3]] == [
        [("dense", 0.0)],
        [("snip", 0.5)],
        [("snip", 0.99), ("snip", 0.98), ("random", 0.98), ("magnitude", 0.98), ("snip", 0.9)],
    ]
    assert len(groups) == 6 and {c.seed for c in groups[2]} == {0}
    assert len(lab.grid._together(grid(iterations=20), 2)) == 14  # too short to be worth it
    assert len(lab.grid._together(grid(model="lenet-5-caffe"), 2)) == 14
    many = [c for c in grid() if c.sparsity >= 0.9] * 8
    assert [len(group) for group in lab.grid._together(many, 1)] == [16, 16, 8] * 2


@pytest.mark.filterwarnings("ignore:1 of 5 masks cut")
@pytest.mark.parametrize("engine", ["masked", "sparse", "stacked"])
def test_every_engine_gives_the_rows_of_the_masked_one(tmp_path, monkeypatch, engine):
    results = {}
    for name in dict.fromkeys(("masked", engine)):
        monkeypatch.setattr(lab.grid, "fastest_engine", lambda *trial, name=name: name)
        configs = [c for c in grid() if c.seed == 0 and c.sparsity >= 0.9]
        results[name] = lab.run_grid(configs, tmp_path / f"{name}.csv", n_jobs=1)
    rows, expected = results[engine], results["masked"]
    assert rows.engine.unique().tolist() == [engine] and rows.status.unique().tolist() == ["ok"]
    assert rows.run.tolist() == expected.run.tolist()
    assert rows.masks.tolist() == expected.masks.tolist()
    assert rows.collapsed.tolist() == expected.collapsed.tolist() and rows.collapsed[4] != ""
    np.testing.assert_allclose(rows.error, expected.error, atol=0.5)
    np.testing.assert_allclose(rows.train_loss, expected.train_loss, rtol=0.01)


def test_step_costs_cover_every_engine(digits):
    before = torch.get_num_threads()
    table = lab.step_costs("lenet-300-100", (0.9, 0.98), digits, rounds=2, steps=3, networks=2)
    assert table.groupby(["sparsity", "engine"]).size().tolist() == [2] * 6
    assert (table.seconds > 0).all() and (table.speed > 0).all()
    assert torch.get_num_threads() == before


def test_the_engine_is_timed_and_dense_networks_are_not(digits, device):
    models, masks = pruned(2, device, digits, sparsities=(0.98,))
    before = copy.deepcopy(models[0].state_dict())
    long = dataclasses.replace(RECIPE, iterations=lab.sparse.TRIAL_WORTH)
    trial = (models, digits, long, masks, 0)
    assert lab.sparse.fastest_engine(*trial) in lab.ENGINES
    for name, value in models[0].state_dict().items():
        assert value.equal(before[name])  # trials train copies
    assert lab.sparse.fastest_engine(models[:1], digits, long, [None], 0) == "masked"
    assert lab.sparse.fastest_engine(models[:1], digits, lab.Recipe(50), masks[:1], 0) == "masked"
