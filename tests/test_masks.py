"""Masks: exactly κ kept, zeros that stay zeros, and what a mask cuts."""

import copy
import json
import math
import warnings
from collections import namedtuple
from pathlib import Path

import accelerate
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import full_masks
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._python_dispatch import TorchDispatchMode

import snipcore as snip


def test_equal_scores_are_kept_by_position(device):
    scores = {"a": torch.ones(3, 5, device=device), "b": torch.ones(7, device=device)}
    masks = snip.keep_top(scores, 0.2)  # 17.6 → 18 of 22
    assert masks["a"].all() and masks["b"].tolist() == [True] * 3 + [False] * 4


def test_scores_may_carry_a_graph(recwarn):
    """PyTorch warned of a conversion to a number."""
    model = nn.Linear(4, 3)
    masks = snip.keep_top({name: weight.abs() for name, weight in model.named_parameters()}, 0.6)
    assert sum(int(mask.sum()) for mask in masks.values()) == 6 and not recwarn.list


def test_keep_top_agrees_with_a_stable_sort(device):
    generator = torch.Generator().manual_seed(0)
    for trial in range(50):
        flat = torch.randint(-2, 4, (60,), generator=generator).float()  # many ties
        flat[0] = 1
        sparsity = trial / 51
        order = torch.sort(flat, descending=True, stable=True).indices[: round((1 - sparsity) * 60)]
        a = flat[:24].view(2, 3, 2, 2).to(device, memory_format=torch.channels_last)
        b = flat[24:].view(3, 12).to(device).t().contiguous().t()  # its memory is in another order
        masks = snip.keep_top({"a": a, "b": b}, sparsity)
        kept = torch.cat([mask.flatten() for mask in masks.values()]).nonzero().squeeze(1).cpu()
        assert torch.equal(kept, order.sort().values)


def test_whole_numbers_beyond_float32_are_scores_too(device):
    scores = torch.tensor([16777219, 16777217, 1, 2], device=device)
    masks = snip.keep_top({"a": scores, "b": torch.tensor([16777218], device=device)}, 0.6)
    assert masks["a"].tolist() == [True, False, False, False] and masks["b"].all()


def test_a_mask_is_stored_without_the_others(device):
    masks = snip.keep_top({name: torch.rand(50, device=device) for name in "ab"}, 0.5)
    assert masks["a"].untyped_storage().nbytes() == 50 and masks["a"].device.type == device.type


def test_odd_scores():
    with pytest.raises(ValueError, match="no scores"):
        snip.keep_top({}, 0.5)
    for scores in ({"a": torch.zeros(3)}, {"a": torch.zeros(3), "b": torch.zeros(2, 2)}):
        with pytest.raises(ValueError, match="all scores are 0"):
            snip.keep_top(scores, 0.5)
    every_other = {"a": torch.arange(6.0)[::2]}
    assert snip.keep_top(every_other, 0.5)["a"].tolist() == [False, True, True]
    opposite = {"a": torch.tensor([1.0, -1.0])}  # their sum is 0, they are not
    assert snip.keep_top(opposite, 0.5)["a"].tolist() == [True, False]
    large = {"a": torch.full((4,), 3e38)}  # their sum is beyond float32, none of them is
    large["a"][2] = 1.0
    assert snip.keep_top(large, 0.5)["a"].tolist() == [True, True, False, False]


def test_applying_masks_zeroes_the_pruned_and_nothing_else(tiny, batch):
    masks = snip.keep_top(snip.sensitivity(tiny, *batch), 0.7)
    before = copy.deepcopy(tiny.state_dict())
    snip.apply_masks(tiny, masks)
    for name, value in tiny.state_dict().items():
        expected = before[name] * masks[name] if name in masks else before[name]
        assert torch.equal(value, expected), name


def test_scores_of_several_types_are_compared_exactly():
    """0.1 in float32 is more than 0.1 in float64; and bfloat16 has no NumPy type."""
    scores = {"a": torch.tensor([0.1]), "b": torch.tensor([0.1, 0.2, 0.05], dtype=torch.float64)}
    masks = snip.keep_top(scores, 0.5)
    assert masks["a"].tolist() == [True] and masks["b"].tolist() == [False, True, False]
    half = {"a": torch.tensor([1.0, 3.0, 2.0, 0.0], dtype=torch.bfloat16)}
    assert snip.keep_top(half, 0.5)["a"].tolist() == [False, True, True, False]


# ---------------------------------------------------------------------------------------- hold


def small_case(device, sparsity=0.7):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)).to(device)
    x, y = torch.randn(20, 8, device=device), torch.arange(20, device=device) % 3
    return model, snip.keep_top(snip.sensitivity(model, x, y), sparsity), x, y


def pruned_are_zero(model, masks):
    weights = snip.prunable(model).items()
    return all(not w[~masks[name].to(w.device)].any() for name, w in weights)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, fused=True),
        lambda p: torch.optim.AdamW(p, 0.1),
        lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.9),
    ],
)
def test_pruned_parameters_stay_zero_whatever_the_optimiser_remembers(make, device):
    model, masks, x, y = small_case(device)
    before = copy.deepcopy(model.state_dict())
    optimizer = make(model.parameters())
    for _ in range(3):  # dense first: now the optimiser has momentum for what will be pruned
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    handle = snip.hold(optimizer, model, masks)
    assert pruned_are_zero(model, masks)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)
    for step in range(6):
        if step == 3:
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        scheduler.step()
        assert pruned_are_zero(model, masks)
    for name, weight in snip.prunable(model).items():
        assert (weight != before[name])[masks[name]].any()
    handle.remove()
    optimizer.step()
    assert not pruned_are_zero(model, masks)


def test_hold_under_a_gradient_scaler(device):
    model, masks, x, y = small_case(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    snip.hold(optimizer, model, masks)
    scaler = torch.amp.GradScaler(device.type)
    for step in range(4):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y) * (math.inf if step == 1 else 1)  # a step left out
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        assert pruned_are_zero(model, masks)
        assert all(weight.isfinite().all() for weight in model.parameters())


def test_clipping_counts_kept_gradients_alone_where_hooks_clear_the_others(device):
    """By the lines in the docstring of `hold`."""
    model, masks, x, y = small_case(device)
    masks = {name: mask.cpu() for name, mask in masks.items()}  # as from a file
    weights = snip.check_masks(model, masks)
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(weights.values()))
    pairs = zip(gradients, masks.values(), strict=True)
    kept = torch.cat([gradient[mask.to(device)] for gradient, mask in pairs])
    for name, weight in weights.items():
        if weight.requires_grad:
            weight.register_hook(masks[name].to(weight).mul)
    F.cross_entropy(model(x), y).backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    assert norm.item() == pytest.approx(kept.norm().item())


class Seen(TorchDispatchMode):
    """Notes the operations done, with the devices and types of their tensors."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kinds = {(t.device.type, t.dtype) for t in args if isinstance(t, torch.Tensor)}
        self.operations.append((function.overloadpacket.__name__, kinds))
        return function(*args, **kwargs or {})


@pytest.mark.parametrize("where", ["meta", torch.float64])
def test_hold_takes_its_masks_along_once_when_weights_move(where, monkeypatch):
    """To a device without memory, as there may be no second one here."""
    model, masks, *_ = small_case("cpu")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    snip.hold(optimizer, model, masks)
    monkeypatch.setattr(torch.__future__, "_swap_module_params_on_conversion", True)
    model.to(where)
    weight = model[0].weight
    for step in range(2):
        with Seen() as seen:
            optimizer.step()
        products = [kinds for name, kinds in seen.operations if name == "mul_"]
        assert products == [{(weight.device.type, weight.dtype)}] * 4
        assert step == 0 or not any("copy" in name for name, _ in seen.operations)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a second device")
def test_hold_follows_weights_to_another_device():
    model, masks, x, y = small_case("cpu")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    snip.hold(optimizer, model, masks)
    model.cuda()
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(model(x.cuda()), y.cuda()).backward()
        optimizer.step()
        assert pruned_are_zero(model, masks)


def test_hold_leaves_unpruned_tensors_alone_and_checks_masks(device):
    model, masks, *_ = small_case(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    masks["2.weight"] = torch.ones_like(masks["2.weight"])
    snip.hold(optimizer, model, masks)
    version = model[2].weight._version
    model[0].weight.grad = torch.ones_like(model[0].weight)
    optimizer.step()
    assert model[2].weight._version == version
    with pytest.raises(ValueError, match="do not fit"):
        snip.hold(optimizer, nn.Linear(2, 2), masks)


@pytest.mark.parametrize("wrapped", [False, True])
def test_hold_in_a_loop_of_accelerate(wrapped):
    model, masks, x, y = small_case("cpu")
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    accelerator = accelerate.Accelerator(cpu=True)
    prepared, stepper = accelerator.prepare(model, optimizer)
    snip.hold(stepper if wrapped else optimizer, model, masks)
    losses = []
    for _ in range(20):
        stepper.zero_grad()
        losses.append(F.cross_entropy(prepared(x), y))
        accelerator.backward(losses[-1])
        stepper.step()
        assert pruned_are_zero(model, masks)
    assert losses[-1] < losses[0]


class Sam(torch.optim.Optimizer):
    """Sharpness-aware minimisation as its public code has it: a loop calls its two steps, never
    `step`."""

    def __init__(self, weights, inner, **how):
        super().__init__(weights, how)
        self.base = inner(self.param_groups, **how)

    @torch.no_grad()
    def first_step(self):
        self.before = [w.clone() for g in self.param_groups for w in g["params"]]
        for group in self.param_groups:
            for weight in group["params"]:
                weight.add_(weight.grad, alpha=0.05)
        self.zero_grad()

    @torch.no_grad()
    def second_step(self):
        weights = [w for g in self.param_groups for w in g["params"]]
        for weight, before in zip(weights, self.before, strict=True):
            weight.copy_(before)
        self.base.step()
        self.zero_grad()

    def step(self, closure=None):
        raise AssertionError("the loop does not call it")


def test_hold_of_an_optimiser_whose_step_is_never_called(tiny, batch):
    x, y = batch
    optimizer = Sam(tiny.parameters(), torch.optim.SGD, lr=0.1, momentum=0.9)
    F.cross_entropy(tiny(x), y).backward()
    optimizer.base.step()  # momentum for what will be pruned
    masks = snip.keep_top(snip.sensitivity(tiny, x, y), 0.7)
    handle = snip.hold(optimizer, tiny, masks)
    for _ in range(3):
        F.cross_entropy(tiny(x), y).backward()
        optimizer.first_step()
        F.cross_entropy(tiny(x), y).backward()
        optimizer.second_step()
        assert pruned_are_zero(tiny, masks)
    handle.remove()
    F.cross_entropy(tiny(x), y).backward()
    optimizer.base.step()
    assert not pruned_are_zero(tiny, masks)


class Bare:
    """An optimiser that is none of PyTorch's, and writes weights after the step of the one it
    wraps, as timm's Lookahead, which never calls the constructor of PyTorch's, either."""

    def __init__(self, inner):
        self.inner, self.weights = inner, [w for g in inner.param_groups for w in g["params"]]
        self.slow = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def step(self):
        self.inner.step()
        for slow, weight in zip(self.slow, self.weights, strict=True):
            weight.copy_(slow.lerp_(weight, 0.5))
        return "stepped"


def test_hold_of_an_optimiser_of_another_make(tiny, batch):
    x, y = batch
    optimizer = Bare(torch.optim.SGD(tiny.parameters(), 0.1))  # remembers the dense weights
    masks = snip.keep_top(snip.sensitivity(tiny, x, y), 0.7)
    handle = snip.hold(optimizer, tiny, masks)
    for _ in range(2):
        F.cross_entropy(tiny(x), y).backward()
        assert optimizer.step() == "stepped" and pruned_are_zero(tiny, masks)
    handle.remove()
    assert "step" not in vars(optimizer)
    optimizer.step()
    assert not pruned_are_zero(tiny, masks)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_holds_on_an_optimiser_of_another_make_end_one_by_one(order):
    nets = nn.Linear(8, 3, bias=False), nn.Linear(8, 3, bias=False)
    optimizer = Bare(torch.optim.SGD([w for net in nets for w in net.parameters()], 0.1))
    optimizer.inner = Bare(optimizer.inner)  # none of PyTorch's is found in it
    masks = {"weight": torch.rand(3, 8) < 0.5}
    holds = [snip.hold(optimizer, net, masks) for net in nets]
    (a, first), (b, second) = ((nets[k], holds[k]) for k in order)

    def step():
        (a(torch.ones(1, 8)) + b(torch.ones(1, 8))).sum().backward()
        optimizer.step()

    first.remove()
    step()
    assert pruned_are_zero(b, masks) and not pruned_are_zero(a, masks)
    snip.apply_masks(a, masks)
    second.remove()
    step()
    assert not pruned_are_zero(a, masks) and not pruned_are_zero(b, masks)


def test_a_copy_of_an_optimiser_of_another_make_steps_its_own_network():
    model = nn.Linear(8, 3, bias=False)
    optimizer = Bare(torch.optim.SGD(model.parameters(), 0.1))
    optimizer.inner = Bare(optimizer.inner)  # none of PyTorch's is found in it
    snip.hold(optimizer, model, {"weight": torch.rand(3, 8) < 0.5})
    before = model.weight.detach().clone()
    other_model, other_optimizer = copy.deepcopy((model, optimizer))
    (model(torch.ones(1, 8)) + other_model(torch.ones(1, 8))).sum().backward()
    other_optimizer.step()
    assert model.weight.equal(before) and not other_model.weight.equal(before)


def test_a_schedule_may_be_made_after_hold():
    """Schedules wrap step, and ask for the function of a method."""

    class Lookahead(torch.optim.Optimizer):  # without the constructor of PyTorch's, as timm's
        def __init__(self, inner):
            self.inner, self.defaults, self.param_groups = inner, {}, inner.param_groups

        def step(self, closure=None):
            return self.inner.step(closure)

    model = nn.Linear(8, 3, bias=False)
    masks = {"weight": torch.rand(3, 8) < 0.5}
    optimizer = Lookahead(torch.optim.SGD(model.parameters(), 0.1))
    handle = snip.hold(optimizer, model, masks)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)
    for _ in range(2):
        model(torch.ones(2, 8)).sum().backward()
        optimizer.step()
        schedule.step()
        assert pruned_are_zero(model, masks)
    handle.remove()
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.step()
    assert not pruned_are_zero(model, masks)


def test_hold_of_the_optimiser_of_another_model_is_said(tiny, batch):
    masks = snip.keep_top(snip.sensitivity(tiny, *batch), 0.5)
    optimizer = torch.optim.SGD(tiny.parameters(), 0.1)
    with pytest.warns(UserWarning, match="trains none of the masked parameters"):
        snip.hold(optimizer, copy.deepcopy(tiny), masks)


def test_hold_changes_nothing_where_it_cannot_hold(tiny, batch):
    masks = snip.keep_top(snip.sensitivity(tiny, *batch), 0.7)
    before = copy.deepcopy(tiny.state_dict())
    with pytest.raises(TypeError, match=r"list has no step\(\)"):
        snip.hold(list(tiny.parameters()), tiny, masks)
    assert all(value.equal(before[name]) for name, value in tiny.state_dict().items())


class Lookahead(torch.optim.Optimizer):
    """Two steps forward, one step back: it writes weights after the step of the one it wraps."""

    def __init__(self, inner):
        weights = [weight for group in inner.param_groups for weight in group["params"]]
        super().__init__(weights, {})
        self.optimizer, self.weights, self.steps = inner, weights, 0
        self.slow = [weight.detach().clone() for weight in weights]

    @torch.no_grad()
    def step(self, closure=None):
        self.optimizer.step()
        self.steps += 1
        for slow, weight in zip(self.slow, self.weights, strict=True):
            if self.steps % 2 == 0:
                weight.copy_(slow.lerp_(weight, 0.5))


def test_hold_of_an_optimiser_that_wraps_another(tiny, batch):
    x, y = batch
    optimizer = Lookahead(torch.optim.SGD(tiny.parameters(), 0.1))  # with the dense weights
    masks = snip.keep_top(snip.sensitivity(tiny, x, y), 0.7)
    snip.hold(optimizer, tiny, masks)
    for _ in range(4):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(tiny(x), y).backward()
        optimizer.step()
        assert pruned_are_zero(tiny, masks)


@pytest.mark.parametrize(
    ("sparsity", "message"),
    [
        (-0.1, "-0.1 is not"),
        (1, "1 is not .*; 0.99 keeps"),
        (math.nan, "nan is not"),
        (90, "for 90 % write 0.9"),
        (0.96, r"keeps none of 10 parameters; at most 0\.9"),
    ],
)
def test_sparsity_out_of_range(sparsity, message):
    with pytest.raises(ValueError, match=message):
        snip.keep_top({"a": torch.rand(10)}, sparsity)


def test_sparsity_may_be_a_tensor_and_a_layer_empty():
    scores = {"weight": torch.arange(20.0).view(4, 5), "empty": torch.zeros(0, 8)}
    masks = snip.keep_top(scores, torch.tensor(0.9))
    assert masks["weight"].sum() == 2
    model = nn.Linear(5, 4)
    model.empty = nn.Parameter(torch.zeros(0, 8))
    assert snip.collapsed(model, masks, torch.ones(1, 5)) == []
    only = nn.Module()
    only.empty = model.empty
    assert "0.00%" in snip.summary(only, {"empty": masks["empty"]})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_no_numbers(bad):
    with pytest.raises(FloatingPointError, match="score of b"):
        snip.keep_top({"a": torch.rand(3), "b": torch.tensor([1.0, bad])}, 0.5)


def test_masks_that_do_not_fit(tiny, batch):
    masks = snip.keep_top(snip.sensitivity(tiny, *batch), 0.5)
    for bad, message in (
        ({}, "do not fit; there are no masks"),
        ({**masks, "6.weight": masks["5.bias"]}, "do not fit; the model lacks 6.weight"),
        ({**masks, "5.bias": masks["0.bias"]}, r"the mask of 5.bias is torch.bool of shape \(4,\)"),
        ({**masks, "5.bias": masks["5.bias"].float()}, "the mask of 5.bias is torch.float32"),
    ):
        before = copy.deepcopy(tiny.state_dict())
        with pytest.raises(ValueError, match=message):
            snip.apply_masks(tiny, bad)
        assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())


# ----------------------------------------------------------------------------------- collapsed


def test_the_generators_of_other_gpus_are_let_be(monkeypatch):
    """A model on the CPU draws from no GPU, where others may be at work."""
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    model = snip.build_model("lenet-300-100")
    masks = {name: weight > 0 for name, weight in snip.prunable(model).items()}
    before = torch.get_rng_state()
    snip.collapsed(model, masks, torch.zeros(1, 1, 28, 28))
    assert not seeded and torch.get_rng_state().equal(before)


def test_a_cut_is_seen_in_a_model_that_draws():
    """Other inputs were drawn from its own generator: it then drew otherwise, too."""

    class Drawing(nn.Sequential):
        def forward(self, x):
            return self[1](F.dropout(self[0](x), 0.5, training=True))

    model, x = Drawing(nn.Linear(8, 8), nn.Linear(8, 3)), torch.randn(4, 8)
    whole = {"0.weight": torch.ones(8, 8, dtype=torch.bool)}
    assert snip.collapsed(model, whole, x) == []
    cut = {"0.weight": torch.zeros(8, 8, dtype=torch.bool)}
    assert snip.collapsed(model, cut, x) == ["0.weight", "no path from input to output"]


def test_a_cut_network_is_named(device):
    """784 … 300 … 100 … 10 with one connection in each layer, joined up or not."""
    model = snip.build_model("lenet-300-100").to(device)
    before = copy.deepcopy(model.state_dict())
    x = torch.zeros(1, 1, 28, 28, device=device)
    masks = {n: torch.zeros_like(w, dtype=torch.bool) for n, w in snip.prunable(model).items()}
    masks["fc1.weight"][7, 500] = masks["fc2.weight"][3, 7] = masks["fc3.weight"][9, 3] = True
    assert snip.collapsed(model, masks, x) == []
    masks["fc2.weight"][3, 7], masks["fc2.weight"][3, 8] = False, True  # no layer is empty
    assert snip.collapsed(model, masks, x) == ["no path from input to output"]
    masks["fc3.weight"][9, 3] = False
    assert snip.collapsed(model, masks, x) == ["fc3.weight", "no path from input to output"]
    for name, value in model.state_dict().items():
        assert value.equal(before[name])


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("resnet-18", "densenet-121")),
        *("squeezenet-bypass", "gru-s"),
    ],
)
def test_whole_networks_hang_together_and_a_lost_layer_shows(name, device):
    model = snip.build_model(name).to(device)
    x = torch.zeros(1, *snip.MODELS[name].input_shape, device=device)
    masks = full_masks(model)
    assert snip.collapsed(model, masks, x) == []
    *_, last = (n for n, mask in masks.items() if mask.ndim > 1)
    masks[last] = torch.zeros_like(masks[last])
    assert snip.collapsed(model, masks, x) == [last, "no path from input to output"]


class Net(nn.Module):
    """A forward pass written as a function of the modules and the input."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return self.function(self, x)


def linear(inputs=8, outputs=8):
    return nn.Linear(inputs, outputs)


def lstm(**how):
    return nn.LSTM(8, 6, batch_first=True, **how)


def packed_last(net, x):
    return net.h(net.r(pack_padded_sequence(x, [5, 3][: len(x)], batch_first=True))[1][-1])


def attend(net, x):
    return net.h(net.a(x, x, x, need_weights=False)[0])


ROWS, VECTORS, IMAGES = torch.randn(4, 5, 8), torch.randn(4, 8), torch.randn(4, 2, 6, 6)

RING = torch.eye(9).roll(1, 0) + torch.eye(9)  # of a graph, each node with its neighbour

CASES = {  # what: (network, input, layers of which each one, all cut, leaves no path)
    "layer norm": (
        nn.Sequential(linear(), nn.LayerNorm(8), nn.ReLU(), linear()),
        *(VECTORS, ["0.weight", "3.weight"]),
    ),
    "instance norm": (
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.InstanceNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1)),
        *(IMAGES, ["0.weight", "3.weight"]),
    ),
    "batch norm of the batch": (
        nn.Sequential(linear(), nn.BatchNorm1d(8, track_running_stats=False), linear()),
        *(VECTORS, ["0.weight", "2.weight"]),
    ),
    "transposed": (
        nn.Sequential(nn.ConvTranspose2d(2, 4, 3, 2), nn.GroupNorm(2, 4), nn.Conv2d(4, 2, 1)),
        *(IMAGES, ["0.weight", "2.weight"]),
    ),
    "signs turned": (
        Net(lambda net, x: net.b(F.relu(-net.a(x))), a=linear(), b=linear()),
        *(VECTORS, ["a.weight", "b.weight"]),
    ),
    "sigmoid": (
        nn.Sequential(linear(), nn.Sigmoid(), linear(), nn.LogSoftmax(1)),
        *(VECTORS, ["0.weight", "2.weight"]),
    ),
    "lstm": (
        Net(lambda net, x: net.h(net.r(x)[0][:, -1]), r=lstm(num_layers=2), h=linear(6)),
        *(ROWS, ["r.weight_ih_l0", "r.weight_ih_l1", "h.weight"]),
    ),
    "packed sequence": (Net(packed_last, r=lstm(), h=linear(6)), ROWS[:2], ["r.weight_ih_l0"]),
    "attention": (
        Net(attend, a=nn.MultiheadAttention(8, 2, batch_first=True), h=linear()),
        *(ROWS, ["a.in_proj_weight", "a.out_proj.weight", "h.weight"]),
    ),
    "transformer": (
        nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), linear()),
        *(ROWS, ["1.weight"]),  # the rest has a bridge over it
    ),
    "types changed within": (
        Net(lambda net, x: net.b(net.a(x.double().float()).float()), a=linear(), b=linear()),
        *(VECTORS, ["a.weight", "b.weight"]),
    ),
    "a dict": (
        Net(lambda net, x: {"y": net.a(x["x"]) * x["on"]}, a=linear()),
        *(({"x": VECTORS, "on": torch.ones(4, 1, dtype=torch.int64)},), ["a.weight"]),
    ),
    "tokens": (
        nn.Sequential(nn.Embedding(9, 8), linear(), nn.ReLU(), linear()),
        *(torch.arange(8).view(2, 4), ["1.weight", "3.weight"]),
    ),
    "bags of tokens": (
        nn.Sequential(nn.EmbeddingBag(9, 8), linear()),
        *(torch.arange(8).view(2, 4), ["1.weight"]),
    ),
    "bytes": (
        Net(lambda net, x: net.b(net.a(x.flatten(1) / 255).relu()), a=linear(16), b=linear()),
        *((torch.arange(64) * 3).to(torch.uint8).view(4, 4, 4), ["a.weight", "b.weight"]),
    ),
    "a graph": (  # rows are nodes; nine of them, no fewer
        Net(lambda net, x: net.b(RING @ net.a(RING @ x).relu()), a=linear(), b=linear()),
        *(torch.randn(9, 8), ["a.weight", "b.weight"]),
    ),
    "an embedding with a frozen bridge": (
        Net(
            lambda net, x: net.a(net.e(x)) + net.b(torch.ones(2, 4, 8)),
            e=nn.Embedding(9, 8),
            a=linear(),
            b=linear(),
        ),
        *(torch.arange(8).view(2, 4), ["a.weight"]),
    ),
}


def test_a_network_of_two_inputs(device):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(2, 3)

        def forward(self, x, z):
            return self.a(x) + self.b(z)

    model, inputs = Two().to(device), (torch.randn(5, 4), torch.randn(5, 2))
    inputs = tuple(part.to(device) for part in inputs)
    masks = full_masks(model)
    masks["a.weight"][:] = False
    assert snip.collapsed(model, masks, inputs) == ["a.weight"]
    masks["b.weight"][:] = False
    cut = ["a.weight", "b.weight", "no path from input to output"]
    assert snip.collapsed(model, masks, inputs) == cut


def test_a_scalar_parameter_of_a_layer_stops_no_judgement():
    """It is prunable; to follow NaN through its layer raised IndexError."""

    class Gain(nn.Linear):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.gain = nn.Parameter(torch.tensor(1.0))

        def forward(self, x):
            return self.gain * super().forward(x)

    model = nn.Sequential(Gain(4, 4), nn.Linear(4, 2))
    nothing = {"0.weight": torch.zeros(4, 4, dtype=torch.bool)}
    cut = ["0.weight", "no path from input to output"]
    assert snip.collapsed(model, nothing, torch.randn(3, 4)) == cut


@pytest.mark.parametrize("case", CASES)
def test_no_false_alarm_and_no_cut_missed(case):
    model, x, layers = CASES[case]
    before = copy.deepcopy(model.state_dict())
    whole = full_masks(model)
    assert snip.collapsed(model, whole, x) == []
    for name in layers:
        masks = whole | {name: torch.zeros_like(whole[name])}
        assert snip.collapsed(model, masks, x) == [name, "no path from input to output"]
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert model.training and all(weight.requires_grad for weight in model.parameters())


def cut_in_the_middle(a, b):
    """Masks of two layers of which the second reads what the first does not give."""
    masks = {f"{n}.weight": torch.ones(8, 8, dtype=torch.bool) for n in (a, b)}
    masks[f"{a}.weight"][:4] = False
    masks[f"{b}.weight"][:, 4:] = False
    return masks


def finite(net, x):
    if not x.isfinite().all():
        raise FloatingPointError("not finite")
    return net.b(net.a(x))


UNCLEAR = {  # what: (the pass of a network of layers a and b, why it cannot tell)
    "a weight outside": (
        lambda net, x: net.b(F.linear(x, net.a.weight)),
        "a weight with a mask is used outside its layer",
    ),
    "a weight outside, last": (
        lambda net, x: F.linear(net.a(x), net.b.weight),
        "a weight with a mask is used outside its layer",
    ),
    "NaN lost": (
        lambda net, x: net.b(torch.where(net.a(x) > 0, 1.0, 0.0)),
        "NaN gets lost on the way, even if nothing is pruned",
    ),
    "NaN refused": (finite, "on NaN it ends in FloatingPointError: not finite"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_cannot_be_followed_is_not_judged(case):
    """The output is constant each time, for a and b do not meet, nor have they biases."""
    forward, why = UNCLEAR[case]
    torch.manual_seed(0)
    model = Net(forward, a=nn.Linear(8, 8, bias=False), b=nn.Linear(8, 8))
    model.b.bias.data.fill_(0.5)
    masks = cut_in_the_middle("a", "b")
    assert snip.collapsed(model, {n: torch.ones_like(m) for n, m in masks.items()}, VECTORS) == []
    assert snip.collapsed(model, masks, VECTORS) == [f"{snip.UNKNOWN}: {why}"]
    assert model.a.weight.all() and "forward" not in vars(model.a)


@pytest.mark.parametrize("low", [-math.inf, torch.finfo(torch.float32).min])
def test_a_cut_behind_attention_is_seen_where_its_mask_is_infinite(low):
    """PyTorch's own causal mask goes in; behind it two layers do not meet."""

    class Masked(Net):
        def forward(self, x, mask):
            return self.b(self.a(self.encoder(x, src_mask=mask)))

    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = Masked(None, encoder=encoder, a=linear(), b=linear())
    inputs = torch.randn(2, 5, 8), torch.full((5, 5), low).triu(1)
    masks = cut_in_the_middle("a", "b")
    assert snip.collapsed(model, full_masks(model), inputs) == []
    assert snip.collapsed(model, masks, inputs) == ["no path from input to output"]


def test_nothing_depends_on_the_mode_or_the_device_of_the_caller():
    forward, why = UNCLEAR["a weight outside"]
    model = Net(forward, a=nn.Linear(8, 8, bias=False), b=nn.Linear(8, 8))
    with torch.inference_mode():
        found = snip.collapsed(model, cut_in_the_middle("a", "b"), VECTORS)
    assert found == [f"{snip.UNKNOWN}: {why}"]
    model = Net(lambda net, x: net.b(net.a(x)), a=linear(), b=linear())
    masks = cut_in_the_middle("a", "b")
    with torch.inference_mode():
        made = Net(model.function, a=linear(), b=linear())
        assert snip.collapsed(made, masks, VECTORS) == ["no path from input to output"]
        assert all(weight.requires_grad for weight in made.parameters())
    with torch.device("meta"):  # for a GPU, where there is none
        assert snip.collapsed(model, masks, VECTORS) == ["no path from input to output"]


def test_a_network_that_takes_packed_sequences():
    forward = lambda net, x: net.a(net.rnn(x)[1][-1])  # noqa: E731
    model = Net(forward, rnn=nn.GRU(8, 8, batch_first=True), a=linear())
    packed = pack_padded_sequence(torch.randn(2, 5, 8), [5, 3], batch_first=True)
    assert snip.collapsed(model, full_masks(model), packed) == []
    Pair = namedtuple("Pair", "x y")  # is spread, as any other tuple
    model = nn.Bilinear(4, 3, 2)
    pair = Pair(torch.randn(5, 4), torch.randn(5, 3))
    assert snip.collapsed(model, {"weight": torch.ones(2, 4, 3, dtype=torch.bool)}, pair) == []


def test_a_network_that_makes_nan_of_itself_is_not_judged():
    model = Net(lambda net, x: (-net.a(x).abs()).log(), a=linear())
    model.a.bias.data.fill_(0.5)
    masks = {"a.weight": torch.zeros(8, 8, dtype=torch.bool)}
    found = snip.collapsed(model, masks, VECTORS)
    assert found == ["a.weight", f"{snip.UNKNOWN}: NaN comes out of it"]


def test_what_has_nothing_to_follow_is_not_judged():
    model = Net(lambda net, x: net.a(F.one_hot(x, 8).float()), a=linear())
    x, masks = torch.arange(4), {"a.weight": torch.ones(8, 8, dtype=torch.bool)}
    why = [f"{snip.UNKNOWN}: no floats, bytes or tokens go into the model itself"]
    assert snip.collapsed(model, masks, x) == why
    assert snip.collapsed(model, masks, lambda: None) == why
    model = Net(lambda net, x: [], a=linear())
    assert snip.collapsed(model, masks, VECTORS) == [f"{snip.UNKNOWN}: no tensor comes out"]


def test_a_model_that_refuses_other_inputs_is_not_judged():
    def forward(net, x):
        if not torch.equal(x, VECTORS):
            raise AssertionError("boxes should have positive width")
        return net.a(x)

    masks = {"a.weight": torch.ones(8, 8, dtype=torch.bool)}
    why = "on other inputs it ends in AssertionError: boxes should have positive width"
    found = snip.collapsed(Net(forward, a=linear()), masks, VECTORS)
    assert found == [f"{snip.UNKNOWN}: {why}"]


def test_what_a_model_raises_of_itself_is_raised():
    model = Net(lambda net, x: {}[x.shape], a=linear())
    masks = {"a.weight": torch.zeros(8, 8, dtype=torch.bool)}
    with pytest.raises(KeyError):
        snip.collapsed(model, masks, VECTORS)
    assert model.a.weight.all() and model.training


def test_inputs_may_be_given_by_name_or_by_a_function():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 4), nn.Linear(4, 2)

        def forward(self, *, image, scale):
            return {"loss": self.b(self.a(image) * scale).sum(), "seen": image}

    model, batch = Named(), {"image": VECTORS, "scale": torch.tensor(2)}
    masks = full_masks(model)
    masks["b.weight"][:] = False
    assert snip.collapsed(model, masks, batch) == ["b.weight"]  # "seen" is an output, too
    cut = ["b.weight", "no path from input to output"]
    assert snip.collapsed(model, masks, lambda: model(**batch)["loss"]) == cut
    masks["b.weight"][0, 0] = True
    assert snip.collapsed(model, masks, lambda: model(**batch)["loss"]) == []


def test_layers_that_standardise_their_weights(device):
    """With equal weights in the probe, nothing would be left of them."""

    class Standardised(nn.Conv2d):
        def forward(self, x):
            w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            w = w / (w.std((1, 2, 3), keepdim=True) + 1e-6)
            return F.conv2d(x, w, self.bias)

    model = nn.Sequential(Standardised(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1)).to(device)
    whole = full_masks(model)
    x = IMAGES.to(device)
    assert snip.collapsed(model, whole, x) == []
    with torch.no_grad():
        model[0].bias.fill_(-100)  # dead: only NaN can tell
    masks = whole | {"2.weight": torch.ones_like(whole["2.weight"])}
    masks["2.weight"][:, 1:] = False
    assert snip.collapsed(model, masks, x) == []
    masks["0.weight"] = torch.ones_like(whole["0.weight"])
    masks["0.weight"][0] = False
    assert snip.collapsed(model, masks, x) == ["no path from input to output"]


def test_forces_as_gradients_within_the_pass():
    def forces(net, x):
        x = x.detach().requires_grad_(True)
        return torch.autograd.grad(net.b(net.a(x).tanh()).sum(), x, create_graph=True)[0]

    model = Net(forces, a=linear(), b=linear())
    whole = full_masks(model)
    assert snip.collapsed(model, whole, VECTORS) == []
    [answer] = snip.collapsed(model, cut_in_the_middle("a", "b"), VECTORS)
    assert answer.startswith(snip.UNKNOWN)


def test_a_pass_leaves_nothing_behind_when_masks_are_checked(tiny, batch):
    """A graph that is waiting for its backward pass can still have it, and weights keep their
    bits."""
    masks = snip.keep_top(snip.sensitivity(tiny, *batch), 0.9)
    before = copy.deepcopy(tiny.state_dict())
    loss = F.cross_entropy(tiny(batch[0]), batch[1])
    state = torch.get_rng_state()
    masks["5.weight"][:] = False
    assert snip.collapsed(tiny, masks, batch[0])[0] == "5.weight"
    assert torch.equal(torch.get_rng_state(), state) and tiny.training
    after = tiny.state_dict()
    assert all(
        after[n].equal(v) for n, v in before.items() if "running" not in n and "num" not in n
    )
    loss.backward()
    assert all(weight.requires_grad and weight.grad is not None for weight in tiny.parameters())


def test_one_thin_path_through_a_deep_network_is_found():
    """Thirty layers, of each one connection in 4,096: random weights would hardly ever show it."""
    torch.manual_seed(0)
    model = nn.Sequential(*(m for _ in range(30) for m in (nn.Linear(64, 64), nn.ReLU())))
    masks = {n: torch.zeros_like(w, dtype=torch.bool) for n, w in snip.prunable(model).items()}
    units = torch.randint(64, (31,)).tolist()
    for i in range(30):
        masks[f"{2 * i}.weight"][units[i + 1], units[i]] = True
    assert snip.collapsed(model, masks, torch.randn(4, 64)) == []
    masks["20.weight"] = masks["20.weight"].roll(1, 0)
    assert snip.collapsed(model, masks, torch.randn(4, 64)) == ["no path from input to output"]


# --------------------------------------------------------------------------- masks of a part, files


def test_masks_of_a_part_are_masks(tiny, batch):
    masks = snip.keep_top(snip.sensitivity(tiny, *batch, exclude="0"), 0.9)
    assert list(masks) == ["5.weight", "5.bias"]
    before = tiny[0].weight.clone()
    optimizer = torch.optim.SGD(tiny.parameters(), 0.1, momentum=0.9)
    snip.hold(optimizer, tiny, masks)
    assert tiny[0].weight.equal(before)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(tiny(batch[0]), batch[1]).backward()
        optimizer.step()
    assert not tiny[5].weight[~masks["5.weight"]].any() and tiny[0].weight.all()
    assert snip.collapsed(tiny, masks, batch[0]) == []


def test_masks_go_between_a_model_and_its_wrapper(tiny, batch):
    masks = snip.keep_top(snip.sensitivity(tiny, *batch), 0.7)
    parallel = nn.DataParallel(tiny)
    compiled = torch.compile(copy.deepcopy(tiny))
    checkpointed = checkpoint_wrapper(copy.deepcopy(tiny))
    for wrapper, prefix in (
        (parallel, "module."),
        (compiled, "_orig_mod."),
        (checkpointed, "_checkpoint_wrapped_module."),
    ):
        assert set(snip.prunable(wrapper)) == {prefix + name for name in masks}
        snip.apply_masks(wrapper, masks)
        renamed = {prefix + name: mask for name, mask in masks.items()}
        snip.apply_masks(tiny, renamed)
        snip.apply_masks(wrapper, renamed)
        for name, weight in snip.prunable(wrapper).items():
            assert not weight[~renamed[name]].any() and weight[renamed[name]].all()
    inner = nn.Sequential()  # a module that is truly called so
    inner.module = nn.Linear(2, 2)
    snip.apply_masks(inner, {"module.weight": torch.eye(2, dtype=torch.bool)})
    assert (inner.module.weight == 0).tolist() == [[False, True], [True, False]]
    # Names of its wrapper that could be of two of its own.
    inner.weight = nn.Parameter(torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"the model knows two of module\.module\.weight"):
        snip.apply_masks(inner, {"module.module.weight": torch.eye(2, dtype=torch.bool)})


def test_a_summary_counts_what_is_kept_and_what_has_no_mask():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2), nn.LayerNorm(2))
    mask = torch.tensor([[True, False, False, False], [True, True, False, False]])
    table = snip.summary(model, {"1.weight": mask, "1.bias": torch.ones(2, dtype=torch.bool)})
    assert [line.split() for line in table.splitlines()] == [
        ["parameter", "shape", "size", "kept", "sparsity"],
        ["0.weight", "5×4", "20", "all", "no", "mask"],
        ["1.weight", "2×4", "8", "3", "62.50%"],
        ["1.bias", "2", "2", "2", "0.00%"],
        ["all", "with", "a", "mask", "10", "5", "50.00%"],
        ["all", "of", "the", "model", "34", "29", "14.71%"],
    ]
    assert len({len(line) for line in table.splitlines()}) == 1


def test_a_tensor_of_two_names_counts_once():
    """With its mask under both, -8 of its entries were kept, and 150 % were pruned."""
    tied = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    tied[1].weight = tied[0].weight
    mask = torch.eye(4, dtype=torch.bool)
    *_, masked, whole = snip.summary(tied, {"0.weight": mask, "1.weight": mask}).splitlines()
    assert masked.split()[-3:] == whole.split()[-3:] == ["16", "4", "75.00%"]


def test_masks_come_back_from_a_file(tiny, batch, tmp_path):
    masks = snip.keep_top(snip.sensitivity(tiny, *batch), 0.7)
    masks["0.scalar"] = torch.tensor(True)
    path = tmp_path / "tiny.masks"
    snip.save_masks(path, masks)
    loaded = snip.load_masks(path)
    assert list(loaded) == list(masks) and snip.digest(loaded) == snip.digest(masks)
    assert all(loaded[n].equal(m) and loaded[n].dtype == torch.bool for n, m in masks.items())
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.masks"]
    large = {"a": torch.rand(1000, 1000) < 0.05}
    snip.save_masks(path, large)
    assert snip.load_masks(path)["a"].equal(large["a"])
    assert path.stat().st_size < 0.45 * 1000 * 1000 / 8  # a random mask of 5 % has 0.29 bits each


def test_masks_of_numbers_are_not_stored(tmp_path):
    with pytest.raises(ValueError, match=r"mask of a is torch\.float32; it must be"):
        snip.save_masks(tmp_path / "masks.npz", {"a": torch.ones(3)})
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_damaged_or_another_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    snip.save_masks(path, {"a": torch.rand(50, 40) < 0.5})
    good = path.read_bytes()
    with np.load(path) as file:
        head, bits = file["head"], file["bits"].copy()
    bits[7] ^= 1
    np.savez(path, head=head, bits=bits)
    with pytest.raises(ValueError, match="damaged: its masks are not those"):
        snip.load_masks(path)
    np.savez(path, head=head, bits=bits[:-1])
    with pytest.raises(ValueError, match=r"a\.npz"):
        snip.load_masks(path)
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(ValueError, match=r"a\.npz is damaged"):
        snip.load_masks(path)
    for other in (b"", b"text", np.array([{}], dtype=object)):
        path.write_bytes(other) if isinstance(other, bytes) else np.save(path, other)
        path = path if path.exists() else tmp_path / "a.npz.npy"
        with pytest.raises(ValueError, match="holds no masks"):
            snip.load_masks(path)
    for shape in ([-1, -5], [2**70], [2**45]):
        odd = {"shapes": {"a": shape}, "digest": ""}
        np.savez(path, head=np.frombuffer(json.dumps(odd).encode(), np.uint8), bits=bits)
        with pytest.raises(ValueError, match=r"a\.npz"):
            snip.load_masks(path)
    np.savez(path, head=head, bits=np.array([{}], dtype=object))  # pickled code is not run
    with pytest.raises(ValueError, match="holds no masks"):
        snip.load_masks(path)
    with pytest.raises(FileNotFoundError):
        snip.load_masks(tmp_path / "none")


def test_a_file_of_masks_is_kept_if_a_new_one_cannot_be_written(tmp_path, monkeypatch):
    path, masks = tmp_path / "a.npz", {"a": torch.eye(3, dtype=torch.bool)}
    snip.save_masks(path, masks)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space left"):
        snip.save_masks(path, {"a": ~masks["a"]})
    assert snip.load_masks(path)["a"].equal(masks["a"]) and len(list(tmp_path.iterdir())) == 1


def test_scores_of_zero_that_are_kept_are_counted():
    scores = {"a": torch.tensor([0.0, 0.5, 0.0]), "b": torch.tensor([0.5, 0.0])}
    with pytest.warns(UserWarning, match="1 of the 3 kept have a score of 0, as have 2 that are"):
        masks = snip.keep_top(scores, 0.4)
    assert masks["a"].tolist() == [True, True, False] and masks["b"].tolist() == [True, False]
    with warnings.catch_warnings(action="error"):
        snip.keep_top(scores, 0.6)
        snip.keep_top(scores, 0)  # all are kept: none is chosen


def test_hold_takes_a_wrapper_that_hands_everything_on():
    """Its class has no `step` of its own."""

    class Wrapper:
        def __init__(self, optimizer):
            self.inner = optimizer

        def __getattr__(self, name):
            return getattr(self.__dict__["inner"], name)

    model, masks, x, y = small_case("cpu")
    stepper = Wrapper(torch.optim.SGD(model.parameters(), 0.1, momentum=0.9))
    held = snip.hold(stepper, model, masks)
    for _ in range(3):
        stepper.zero_grad()
        F.cross_entropy(model(x), y).backward()
        stepper.step()
        assert pruned_are_zero(model, masks)
    held.remove()
    stepper.step()
    assert not pruned_are_zero(model, masks)


def test_processes_may_save_to_one_path(tmp_path, monkeypatch):
    """The draft of one must not be that of another."""
    drafts, replace = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda p, to: drafts.append(p) or replace(p, to))
    masks = {"weight": torch.eye(3, dtype=torch.bool)}
    for number in (1, 2):
        monkeypatch.setattr(snip.os, "getpid", lambda number=number: number)
        snip.save_masks(tmp_path / "masks.npz", masks)
    assert len({*drafts}) == 2 and [p.name for p in tmp_path.iterdir()] == ["masks.npz"]
