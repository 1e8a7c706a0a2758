"""Sparse and stacked training give what masked training gives, up to rounding."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from conftest import bits, full_masks, same_run
from torch import nn

import snipcore as snip
import sniplab as lab
from sniplab.sections import sweep_time

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


def test_sparse_products_stay_in_float32_under_autocast(device):
    """Whatever comes in: the first layer has no mask, and gives bfloat16."""
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).to(device)
    masks = {"2.weight": torch.ones(3, 8, dtype=torch.bool, device=device)}
    x = torch.randn(5, 6, device=device)
    expected = model(x)
    with lab.sparse_linears(model, masks), torch.autocast(device.type, torch.bfloat16):
        assert model[0](x).dtype == torch.bfloat16
        out = model(x)
        out.square().mean().backward()
    assert out.dtype == torch.float32 and model[0].weight.grad.any()
    torch.testing.assert_close(out, expected, rtol=0.05, atol=0.05)


def test_a_layer_that_keeps_nothing(device):
    dense = nn.Linear(6, 4).to(device)
    sparse = lab.SparseLinear([dense], [torch.zeros(4, 6, dtype=torch.bool, device=device)])
    x = torch.randn(2, 6, device=device, requires_grad=True)
    out = sparse(x)
    out.sum().backward()
    assert out.equal(dense.bias.expand(2, 4)) and not x.grad.any()


@pytest.mark.parametrize("optimizer", ["sgd", pytest.param("adam", marks=pytest.mark.slow)])
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


@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward"])
def test_a_layer_with_a_hook_or_a_shared_bias_stays_as_it_is(kind, device):
    model = nn.Sequential(*(nn.Linear(6, 6) for _ in range(5))).to(device)
    model[2].bias = model[1].bias
    seen = []
    getattr(model[3], f"register_{kind}_hook")(lambda *_: seen.append("hook"))
    masks = snip.keep_top(lab.random_scores(model, 0), 0.5)
    with lab.sparse_linears(model, masks) as rest:
        model(torch.ones(2, 6, device=device)).sum().backward()
        kinds = [type(layer) is lab.SparseLinear for layer in model]
        assert "3.weight" in rest and "0.values" in rest
    assert kinds == [True, False, False, False, True] and seen == ["hook"]


def test_layers_are_put_back_when_training_fails(digits, device):
    (model,), (masks,) = pruned(1, device, digits)
    with pytest.raises(FloatingPointError), lab.sparse_linears(model, masks) as rest:
        lab.train(model, digits, dataclasses.replace(RECIPE, lr=1e20), rest)
    assert type(model.fc1) is nn.Linear


@pytest.mark.parametrize("method", ["snip", pytest.param("random", marks=pytest.mark.slow)])
def test_stacked_networks_train_as_they_would_alone(digits, device, method):
    models, masks = pruned(2, device, digits, method)
    twins = copy.deepcopy(models)
    histories = lab.train_stacked(twins, digits, RECIPE, masks, seed=7)
    for model, twin, mask, history in zip(models, twins, masks, histories, strict=True):
        alone = lab.train(model, digits, RECIPE, mask, seed=7)
        np.testing.assert_allclose(history.loss, alone.loss, rtol=5e-3, atol=5e-4)
        np.testing.assert_allclose(history.test_error, alone.test_error, atol=0.5)
        assert np.mean(history.train_error == alone.train_error) > 0.95
        assert history.iteration == alone.iteration
        assert 0 < history.step_seconds * 200 <= history.seconds
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


def test_a_stack_of_which_all_diverge_ends(digits, device, stop_at):
    models, masks = pruned(2, device, digits)
    with torch.no_grad():
        for model in models:
            model.fc1.weight.mul_(1e30)
    steps = stop_at(())  # none stops
    recipe = dataclasses.replace(RECIPE, iterations=1000)
    histories = lab.train_stacked(models, digits, recipe, masks)
    assert all("the loss is nan" in str(history) for history in histories)
    assert len(steps) == lab.batches.CHUNK < 1000


def test_a_sparse_layer_takes_one_vector(device):
    layer = nn.Linear(5, 3).to(device)
    mask = torch.ones(3, 5, dtype=torch.bool, device=device)
    x = torch.arange(5.0, device=device)
    torch.testing.assert_close(lab.SparseLinear([layer], [mask])(x), layer(x))


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


def broken(kind):
    """Networks that look as if they could be stacked, and two that can."""
    a, b, relu = nn.Linear(784, 20), nn.Linear(20, 10), nn.ReLU()
    square, shared = nn.Linear(20, 20), nn.ReLU()
    layers = {
        "fine": [nn.Flatten(), a, relu, b],
        "one ReLU used twice": [nn.Flatten(), a, shared, square, shared, b],
        "a linear layer used twice": [nn.Flatten(), a, relu, square, nn.ReLU(), square, relu, b],
        "two ReLU in a row": [nn.Flatten(), a, relu, nn.ReLU(), b],
        "no ReLU between": [nn.Flatten(), a, square, relu, b],
        "linear before Flatten": [nn.Linear(28, 28), nn.Flatten(), a, relu, b],
        "widths that do not fit": [nn.Flatten(), a, relu, nn.Linear(30, 10)],
        "Flatten of other axes": [nn.Flatten(0), a, relu, b],
        "ReLU at the end": [nn.Flatten(), a, relu],
        "a layer with bias and one without": [
            nn.Flatten(), a, relu, nn.Linear(20, 10, bias=False)
        ],
    }  # fmt: skip
    return nn.Sequential(*layers[kind])


def test_a_network_with_hooks_is_not_stacked():
    """A stack calls none of its layers, so that a hook would be lost."""
    model = broken("fine")
    hook = model[1].register_forward_hook(lambda layer, inputs, output: 2 * output)
    assert not lab.stackable(model)
    hook.remove()
    assert lab.stackable(model)


@pytest.mark.parametrize("kind", ["fine", "one ReLU used twice"])
def test_what_can_be_stacked(digits, device, kind):
    torch.manual_seed(0)
    model = broken(kind).to(device)
    twin = copy.deepcopy(model)
    masks = snip.keep_top(lab.random_scores(model, 0), 0.5)
    recipe = lab.Recipe(30, lr=0.05, checkpoints=1)
    assert lab.stackable(model)
    (stacked,) = lab.train_stacked([model], digits, recipe, [masks])
    alone = lab.train(twin, digits, recipe, masks)
    np.testing.assert_allclose(stacked.loss, alone.loss, rtol=1e-3)


@pytest.mark.parametrize(
    "kind",
    [
        *("a linear layer used twice", "two ReLU in a row", "no ReLU between"),
        *("linear before Flatten", "widths that do not fit", "Flatten of other axes"),
        *("ReLU at the end", "a layer with bias and one without"),
    ],
)
def test_what_cannot_be_stacked(digits, device, kind):
    model = broken(kind).to(device)
    masks = snip.keep_top(lab.random_scores(model, 0), 0.5)
    assert not lab.stackable(model)
    with pytest.raises(ValueError, match="only networks of one shape can be stacked"):
        lab.train_stacked([model], digits, RECIPE, [masks])


def test_stacks_refuse_what_they_would_get_wrong(digits, device):
    models, masks = pruned(2, device, digits)
    bfloat16 = dataclasses.replace(RECIPE, precision="bfloat16")
    with pytest.raises(ValueError, match="stacked networks train in float32"):
        lab.train_stacked(models, digits, bfloat16, masks)
    for changes, message in (
        ({"y_test": digits.y_test + 5}, "labels run from 5 to 14; the model has classes 0 to 9"),
        ({"x_test": digits.x_test * math.nan}, "the inputs hold NaN or Inf"),
    ):
        with pytest.raises(ValueError, match=message):
            lab.train_stacked(models, dataclasses.replace(digits, **changes), RECIPE, masks)
    with pytest.raises(ValueError, match="one network is given twice"):
        lab.train_stacked(models[:1] * 2, digits, RECIPE, masks)
    models[1].fc2.requires_grad_(False)
    with pytest.raises(ValueError, match="only networks of one shape can be stacked"):
        lab.train_stacked(models, digits, RECIPE, masks)


def test_what_is_frozen_stays(digits, device):
    (model,), (masks,) = pruned(1, device, digits)
    model.fc1.weight.requires_grad_(False)
    model.fc2.bias.requires_grad_(False)
    before = model.fc1.weight * masks["fc1.weight"]
    with lab.sparse_linears(model, masks) as rest:
        lab.train(model, digits, lab.Recipe(5, checkpoints=1), rest)
    assert model.fc1.weight.equal(before) and not model.fc2.bias.any()
    assert not model.fc1.weight.requires_grad and model.fc2.weight.requires_grad


def test_inside_the_block_the_model_is_copied_moved_and_looked_at(digits, device):
    (model,), (masks,) = pruned(1, device, digits)
    snip.apply_masks(model, masks)
    dense, x = copy.deepcopy(model), digits.x_test[:20]
    with lab.sparse_linears(model, masks) as rest:
        torch.testing.assert_close(model.fc2.weight, dense.fc2.weight)
        assert snip.collapsed(model, rest, x) == []
        twin = copy.deepcopy(model)
        lab.train(twin, digits, lab.Recipe(3, checkpoints=1), rest)
        assert not twin.fc1.values.equal(model.fc1.values)  # a copy of its own
        model.double().to(device)
        torch.testing.assert_close(model(x.double()), dense.double()(x.double()))
        model(x.double()).sum().backward()
    assert model.fc1.weight.dtype == torch.float64 == model.fc2.bias.dtype
    torch.testing.assert_close(model.state_dict(), dense.state_dict())


def test_a_layer_called_from_elsewhere_than_its_place_is_named(device):
    """Else its weights would never be stepped, and nobody would know."""

    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
            self.steps = [self.first, self.last]  # a plain list

        def forward(self, x):
            for step in self.steps:
                x = step(x)
            return x

    model = Listed().to(device)
    masks = full_masks(model)
    x = torch.ones(2, 6, device=device)
    before = model(x)
    with lab.sparse_linears(model, masks):
        with pytest.raises(RuntimeError, match="calls layer first by a reference of its own"):
            model(x)
        torch.testing.assert_close(model.last(model.first(x)), before)  # by its place it is
    torch.testing.assert_close(model(x), before)  # outside of the block it may


def test_a_transformer_layer_takes_sparse_linears(device):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).to(device).eval()
    masks = snip.keep_top(lab.random_scores(layer, 0), 0.5)
    snip.apply_masks(layer, masks)
    x = torch.randn(2, 3, 8, device=device)
    with torch.no_grad():
        expected = layer(x)
        with lab.sparse_linears(layer, masks):
            assert type(layer.linear1) is lab.SparseLinear
            torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("optimizer", "threads"), [pytest.param("sgd", 2, marks=pytest.mark.slow), ("adam", 1)]
)
def test_a_stack_gives_the_same_bits_however_it_is_grouped(digits, optimizer, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        recipe = lab.Recipe(
            20, optimizer=optimizer, lr=0.1 if optimizer == "sgd" else 1e-3, checkpoints=2
        )
        sparsities = (0.99, 0.95, 0.9, 0.8)

        def trained(which):
            models, masks = pruned(
                4, "cpu", lab.load_data("digits", device="cpu"), "snip", sparsities
            )
            some = [models[k] for k in which]
            data = lab.load_data("digits", device="cpu")
            histories = lab.train_stacked(some, data, recipe, [masks[k] for k in which])
            return dict(zip(which, zip(histories, map(bits, some), strict=True), strict=True))

        whole = trained((0, 1, 2, 3))
        for which in ((2, 0), (1,), (3,)):
            assert all(same_run(run, whole[k]) for k, run in trained(which).items())
    finally:
        torch.set_num_threads(before)


@pytest.fixture(params=["sparse", "stacked"])
def engine(request):
    return request.param


@pytest.fixture
def killed_twice(digits, device, tmp_path, engine):
    """Lets an engine train, be killed twice and end, and compares that with the whole."""

    def trained(**keep):
        models, masks = pruned(2 if engine == "stacked" else 1, device, digits)
        recipe = lab.Recipe(30, checkpoints=3)
        histories = lab.engines.train_with(engine, models, digits, recipe, masks, **keep)
        return list(zip(histories, map(bits, models), strict=True))

    whole = trained()

    def again():
        keep = {"checkpoint": tmp_path / "run.pt", "checkpoint_seconds": 0}
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                trained(**keep)
        assert all(map(same_run, trained(**keep), whole))

    return again


def test_sparse_runs_go_on_to_the_same_bits(killed_twice, stop_at):
    steps = stop_at((11, 25))
    killed_twice()
    assert len(steps) == 32


@pytest.mark.slow
def test_sparse_runs_killed_in_a_test_go_on_to_the_same_bits(
    killed_twice, engine, monkeypatch, stop_at
):
    room, name = {
        "sparse": (lab.training, "evaluate"),
        "stacked": (lab.sparse, "_evaluate_stacked"),
    }[engine]
    tests, steps = [], stop_at(())
    really = getattr(room, name)

    def killed(*args):
        tests.append(args)
        if len(tests) in (2, 4):
            raise KeyboardInterrupt
        return really(*args)

    monkeypatch.setattr(room, name, killed)
    killed_twice()
    assert steps == list(range(30)) and len(tests) == 5


def test_a_network_of_a_stack_took_its_share_of_the_seconds(digits, device, monkeypatch):
    """By a clock that ticks whenever it is asked: as often for a stack of any size."""
    recipe, histories = lab.Recipe(6, checkpoints=2), {}
    for count in (1, 3):
        models, masks = pruned(count, device, digits)
        ticks = iter(range(10**6))
        monkeypatch.setattr(lab.training.time, "perf_counter", lambda t=ticks: float(next(t)))
        histories[count] = lab.train_stacked(models, digits, recipe, masks)
    (alone,) = histories[1]
    for history in histories[3]:
        assert history.seconds == pytest.approx(alone.seconds / 3)
        assert history.step_seconds == pytest.approx(alone.step_seconds / 3)


def test_the_engine_goes_by_what_auto_comes_to(device, monkeypatch):
    lenet, caffe = snip.build_model("lenet-300-100"), snip.build_model("lenet-5-caffe")
    auto = dataclasses.replace(RECIPE, precision="auto")
    for units, engines in ((True, ["masked"] * 2), (False, ["stacked", "sparse"])):
        monkeypatch.setattr(lab.training, "has_bfloat16", lambda _, units=units: units)
        assert [lab.engines.engine_for(m, 0.99, auto, device) for m in (lenet, caffe)] == engines


def test_the_engine_follows_from_what_is_run(device):
    lenet, caffe = snip.build_model("lenet-300-100"), snip.build_model("lenet-5-caffe")
    in_bfloat16 = dataclasses.replace(RECIPE, precision="bfloat16")
    for model, sparsity, recipe, engine in (
        (lenet, 0.0, RECIPE, "masked"),
        (lenet, math.nextafter(0.8, 0), RECIPE, "masked"),
        (lenet, 0.8, RECIPE, "stacked"),
        (lenet, 0.99, in_bfloat16, "masked"),
        (caffe, math.nextafter(0.9, 0), RECIPE, "masked"),
        (caffe, 0.9, RECIPE, "sparse"),
        (snip.build_model("squeezenet-bypass"), 0.99, RECIPE, "masked"),
    ):
        assert lab.engines.engine_for(model, sparsity, recipe, device) == engine


def test_step_costs_cover_every_engine(digits, monkeypatch):
    monkeypatch.setattr(sweep_time, "STEPS", 3)
    monkeypatch.setattr(sweep_time, "STACK", 2)
    before = torch.get_num_threads()
    table = sweep_time.step_costs((0.9, 0.98), digits, rounds=2)
    assert table.groupby(["sparsity", "engine"]).size().tolist() == [2] * 6
    assert (table.seconds > 0).all() and (table.speed > 0).all()
    assert torch.get_num_threads() == before
