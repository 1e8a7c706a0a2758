"""Training against a loop written out by hand; evaluation, augmentation, bad input."""

import contextlib
import dataclasses
import errno
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import bits, same_run
from torch import nn

import snipcore as snip
import sniplab as lab


def small_net(device, seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3)
    )
    return net.to(device)


def some_masks(model):
    return snip.keep_top(lab.random_scores(model, 0), 0.6)


RECIPE = lab.Recipe(iterations=30, batch_size=8, checkpoints=3)


def test_training_is_sgd_on_the_kept_weights(small_data, device):
    """Against torch.optim.SGD on v with w = c ⊙ v, where pruned weights do not exist at all."""
    model, twin = small_net(device), small_net(device)
    masks = some_masks(model)
    history = lab.train(model, small_data, RECIPE, masks, seed=5)

    weights = snip.prunable(twin)
    norm = [p for p in twin.parameters() if all(p is not w for w in weights.values())]
    sgd = torch.optim.SGD(
        [{"params": list(weights.values()), "weight_decay": 5e-4}, {"params": norm}], 0.1, 0.9
    )
    generator = snip.generator_for(5, "batches")
    losses = []
    for i in range(30):
        if i % 5 == 0:  # 40 images in batches of 8
            order = torch.randperm(40, generator=generator).to(device)
        index = order[i % 5 * 8 : (i % 5 + 1) * 8]
        for group in sgd.param_groups:
            group["lr"] = (0.1, 0.01, 0.001)[i // 10]
        product = {name: masks[name] * weight for name, weight in weights.items()}
        logits = torch.func.functional_call(twin, product, (small_data.x_train[index],))
        loss = F.cross_entropy(logits, small_data.y_train[index])
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    np.testing.assert_allclose(history.loss, losses, rtol=1e-4)
    for name, weight in weights.items():
        torch.testing.assert_close(
            snip.prunable(model)[name], masks[name] * weight, rtol=1e-3, atol=1e-5
        )


def test_weight_decay_is_on_the_prunable_alone(small_data, device):
    """Without gradients (zero images; normalisation takes the biases out) only decay moves a
    weight: w · (1 − lr · λ)ⁿ."""
    model = small_net(device)
    nn.init.constant_(model[2].weight, 0.5)
    flat = dataclasses.replace(small_data, x_train=torch.zeros_like(small_data.x_train))
    before = model[1].weight.detach().clone()
    recipe = lab.Recipe(1, batch_size=8, lr=0.1, weight_decay=0.01, checkpoints=1)
    lab.train(model, flat, recipe)
    torch.testing.assert_close(model[1].weight, before * (1 - 0.1 * 0.01))
    assert (model[2].weight == 0.5).all()


def test_the_same_seed_gives_the_same_bits(small_data, device):
    def trained(seed):
        model = small_net(device)
        history = lab.train(model, small_data, RECIPE, some_masks(model), seed)
        return history, bits(model)

    first, again, other = trained(1), trained(1), trained(2)
    assert same_run(first, again) and not torch.equal(first[1][0], other[1][0])


def test_history(small_data, device):
    model = small_net(device)
    history = lab.train(model, small_data, dataclasses.replace(RECIPE, checkpoints=4))
    assert history.iteration == [7, 15, 22, 30]
    assert (
        history.error
        == history.test_error[-1]
        == lab.evaluate(model, small_data.x_test, small_data.y_test)
    )
    assert history.error_best == min(history.test_error)
    assert 0 < history.step_seconds * 30 <= history.seconds  # steps, and four tests
    assert history.loss.shape == (30,) and history.loss[-5:].mean() < history.loss[:5].mean()
    assert history.train_error.shape == (30,) and set(history.train_error * 8 / 100) <= set(
        range(9)
    )
    assert history.train_error[-5:].mean() < history.train_error[:5].mean()


def test_which_errors_are_picked_on_the_test_set():
    def history(*errors):
        return lab.History(np.zeros(7), np.zeros(7), list(range(1, 8)), list(errors), 1.0, 0.1)

    ours = history(3.0, 1.0, 7.0, 5.0, 4.0, 8.0, 6.0)
    assert (ours.error, ours.error_best, ours.error_last_five) == (6.0, 1.0, 4.0)
    assert history(9.0, 2.0, 5.0, 6.0, 7.0, 8.0).error_last_five == 2.0  # the fifth from the end
    assert history(2.0, 3.0).error_last_five == 2.0  # there are but two


@pytest.mark.slow
def test_a_real_network_learns_real_digits(digits):
    model = snip.build_model("lenet-5-caffe")
    x, y = lab.draw_batch(digits, 100, seed=0)
    masks = snip.keep_top(snip.sensitivity(model.to(x.device), x, y), 0.9)
    history = lab.train(model, digits, lab.recipe_for("lenet-5-caffe", 60, 1), masks)
    assert history.error < 15  # ten classes: 90 % by chance


def test_evaluate_counts_wrong_answers(device):
    class Threshold(nn.Module):
        def forward(self, x):  # says class 1 where the first pixel is positive
            assert not self.training
            return torch.stack([torch.zeros(len(x), device=x.device), x[:, 0]], 1)

    model = Threshold().train()
    x = torch.tensor([[1.0], [-1.0], [2.0], [-2.0]] * 300, device=device)
    y = torch.tensor([1, 1, 1, 0] * 300, device=device)
    assert lab.evaluate(model, x, y) == 25.0
    assert model.training


def test_augmentation_flips_and_moves_whole_images():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(200, 3, 6, 5) + 1  # no pixel is 0, the filling
    moves = lab.data.draw_moves(len(x), generator, shift=4, flip=True)
    out = lab.data.moved(x, moves, shift=4)
    assert out.shape == x.shape and out.is_contiguous(memory_format=torch.channels_last)
    padded = F.pad(x, (4, 4, 4, 4))
    found = []
    for image, result in zip(padded, out, strict=True):
        found += [
            (flip, dy, dx)
            for flip, source in ((False, image), (True, image.flip(2)))
            for dy in range(9)
            for dx in range(9)
            if torch.equal(source[:, dy : dy + 6, dx : dx + 5], result)
        ]
    assert len(found) == 200
    flips, rows, columns = zip(*found, strict=True)
    assert 70 < sum(flips) < 130
    assert set(rows) == set(columns) == set(range(9))
    assert len(set(zip(rows, columns, strict=True))) > 50  # of 81: down is not tied to right


def test_a_scoring_batch_is_drawn_without_repeats(digits):
    x, y = lab.draw_batch(digits, 3600, seed=0)
    assert torch.equal(y.sort().values, digits.y_train.sort().values) and len(x) == 3600
    again, other = lab.draw_batch(digits, 10, 0), lab.draw_batch(digits, 10, 1)
    assert torch.equal(again[0], x[:10]) and not torch.equal(other[0], x[:10])
    for size in (0, 3601):
        with pytest.raises(
            ValueError, match=f"a scoring batch of {size} cannot be drawn from 3600"
        ):
            lab.draw_batch(digits, size, 0)


def test_a_default_device_does_not_reach_in():
    recipe = lab.Recipe(iterations=2, checkpoints=1, shift=1, flip=True)

    def everything():
        data = lab.load_data("digits", device="cpu")
        model = snip.build_model("lenet-300-100")
        x, y = lab.draw_batch(data, 20, 0)
        masks = [lab.make_masks(model, method, 0.9, x, y, 0) for method in ("random", "shuffled")]
        lab.train(model, data, recipe, masks[0])
        drawn = [x, y, data.x_train, data.y_val, lab.random_labels(y, 0), *model.parameters()]
        return drawn + [mask for kind in masks for mask in kind.values()]

    expected = everything()
    with torch.device("meta"):
        got = everything()
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


# ------------------------------------------------------------------------------- the schedule


def test_the_linear_schedule_rises_for_a_tenth_and_falls_to_nothing():
    recipe = lab.Recipe(100, lr=1.0, schedule="linear")
    rates = [recipe.rate(step) for step in range(100)]
    np.testing.assert_allclose(rates[:11], [*np.arange(1, 11) / 10, 1.0])
    np.testing.assert_allclose(np.diff(rates[10:]), -1 / 90)
    assert rates[99] == pytest.approx(1 / 90)
    assert lab.Recipe(1, lr=1.0, schedule="linear", checkpoints=1).rate(0) == 1.0
    stages = lab.Recipe(9, lr=1.0, checkpoints=1)
    np.testing.assert_allclose([stages.rate(i) for i in range(9)], np.repeat((1, 0.1, 0.01), 3))


def test_stages_change_where_the_protocol_says():
    for protocol, length, decay, stages in (("mnist", 25_000, 0.1, 3), ("cifar10", 30_000, 0.2, 5)):
        recipe = lab.PROTOCOLS[protocol]
        for stage in range(stages):
            first, last = stage * length, (stage + 1) * length - 1
            rates = [recipe.rate(first), recipe.rate(last)]
            assert rates == pytest.approx([0.1 * decay**stage] * 2)
        assert last == recipe.iterations - 1
    uneven = lab.Recipe(10, lr=1.0, checkpoints=1)  # never a fourth stage
    expected = np.repeat((1, 0.1, 0.01), (4, 3, 3))
    np.testing.assert_allclose([uneven.rate(i) for i in range(10)], expected)


def test_short_runs_take_the_linear_schedule():
    for model, iterations, schedule in (
        ("lenet-300-100", 37_500, "stages"),
        ("lenet-300-100", 37_499, "linear"),
        ("alexnet-s", 4212, "linear"),
        ("alexnet-s", 75_000, "stages"),
    ):
        assert lab.recipe_for(model, iterations, 5).schedule == schedule


def test_a_network_on_data_without_protocol_asks_for_one(monkeypatch):
    spec = dataclasses.replace(snip.MODELS["lenet-300-100"], dataset="fashion_mnist")
    monkeypatch.setitem(snip.MODELS, "mine", spec)
    with pytest.raises(ValueError, match="no protocol for mine on fashion_mnist: give PROTOCOLS"):
        lab.recipe_for("mine", 100, 1)
    monkeypatch.setitem(lab.PROTOCOLS, "mine", lab.Recipe(100))
    assert lab.recipe_for("mine", 100, 1).lr == 0.1
    reference = lab.REFERENCE
    assert {reference.rate(step) for step in range(10_000)} == {0.1}
    assert (reference.iterations, reference.momentum, reference.weight_decay) == (10_000, 0, 5e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_rate_of_the_schedule_reaches_the_optimiser(small_data, device, optimizer, monkeypatch):
    seen = []
    real = lab.training.make_optimizer

    def watched(*args, **how):
        made = real(*args, **how)
        made.register_step_pre_hook(
            lambda o, *_: seen.append({float(g["lr"]) for g in o.param_groups})
        )
        return made

    monkeypatch.setattr(lab.training, "make_optimizer", watched)
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, lr=0.01)
    lab.train(small_net(device), small_data, recipe)
    assert seen == [{recipe.rate(step)} for step in range(30)]
    assert len({rate for rates in seen for rate in rates}) == 3


# ------------------------------------------------------------------------------- the static step


def plain_loop(model, data, recipe, masks, seed):
    """The same run as it is usually written: numbers drawn when they are needed, images moved one
    by one, the rate a number. Losses, numbers of wrong answers, and how the optimiser ended."""
    decayed = list(snip.prunable(model).values())
    rest = [p for p in model.parameters() if all(p is not weight for weight in decayed)]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": rest}]
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, 1.0, recipe.momentum, fused=True)
    else:
        optimizer = torch.optim.Adam(groups, 1.0, fused=True)
    generator = snip.generator_for(seed, "batches")
    (count, _, height, width), size = data.x_train.shape, recipe.batch_size
    s, losses, wrong = recipe.shift, [], []
    snip.apply_masks(model, masks)
    model.train()
    torch.manual_seed(snip.derive_seed(seed, "dropout"))
    for i in range(recipe.iterations):
        place = i % (count // size) * size
        if place == 0:
            order = torch.randperm(count, generator=generator)
        x, y = (part[order[place : place + size]] for part in (data.x_train, data.y_train))
        if s or recipe.flip:
            dy, dx, flips = (
                torch.randint(high, (size,), generator=generator).tolist()
                for high in (2 * s + 1, 2 * s + 1, 1 + recipe.flip)
            )
            images = []
            for image, down, right, flip in zip(x, dy, dx, flips, strict=True):
                image = F.pad(image, (s, s, s, s))[:, down : down + height, right : right + width]
                images.append(image.flip(2) if flip else image)
            x = torch.stack(images).to(memory_format=torch.channels_last)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(i)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            logits = model(x).float()
        loss = F.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for name, weight in snip.prunable(model).items():
                weight.mul_(masks[name])
        losses.append(loss.item())
        wrong.append(int((logits.argmax(1) != y).sum()))
    return losses, wrong, optimizer.state_dict()


PLAIN = {"batch_size": 8, "lr": 0.02, "checkpoints": 4}
FEATURES = [
    {"shift": 1, "flip": True, "schedule": "linear"},
    {"shift": 1, "flip": True, "schedule": "linear", "precision": "bfloat16"},
    {"shift": 2, "optimizer": "adam", "precision": "bfloat16"},
    *(
        pytest.param(features, marks=pytest.mark.slow)
        for features in (
            {"flip": True, "optimizer": "adam", "schedule": "linear"},
            {"weight_decay": 0.3, "stages": 5, "batch_size": 40},
            {"momentum": 0.0, "stages": 1, "weight_decay": 0.0},
        )
    ),
]


def check_against_the_plain_loop(make, data, recipe, path):
    twin, model = make(), make()
    masks = some_masks(model)
    before = torch.get_rng_state()
    losses, wrong, remembered = plain_loop(twin, data, recipe, masks, seed=3)
    torch.set_rng_state(before)
    keep = {"checkpoint": path, "checkpoint_seconds": 0}
    history = lab.train(model, data, recipe, masks, seed=3, **keep)
    assert history.loss.tolist() == losses
    assert (history.train_error * recipe.batch_size / 100).round().tolist() == wrong
    assert all(a.equal(b) for a, b in zip(bits(model), bits(twin), strict=True))
    state = torch.load(path, weights_only=True)["optimizer"]
    for kept, expected in zip(state["param_groups"], remembered["param_groups"], strict=True):
        assert kept == expected  # the rate is a number there
    for number, values in remembered["state"].items():
        assert all(state["state"][number][name].equal(value) for name, value in values.items())
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("features", FEATURES)
def test_a_step_gives_the_bits_of_a_loop_as_usually_written(small_data, tmp_path, features):
    parts = [f"{kind}_{part}" for kind in "xy" for part in ("train", "val", "test")]
    there = {part: getattr(small_data, part).cpu() for part in parts}
    data = dataclasses.replace(small_data, **there)
    recipe = lab.Recipe(**{"iterations": 110, **PLAIN, **features})
    check_against_the_plain_loop(lambda: everything("cpu"), data, recipe, tmp_path / "run.pt")


@pytest.mark.parametrize(
    "name",
    [
        *("lenet-300-100", "lenet-5-caffe", "squeezenet-bypass", "googlenet", "lstm-s", "gru-s"),
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("alexnet-s", "resnet-18")),
        pytest.param("densenet-121", marks=pytest.mark.slow),
    ],
)
def test_a_step_of_each_family_gives_the_bits_of_the_usual_loop(name, tmp_path):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, *snip.MODELS[name].input_shape, generator=generator)
    y = torch.arange(6)
    data = lab.Data("random", x[:4], y[:4], x, y, x[4:], y[4:], "random numbers")
    images = snip.MODELS[name].dataset == "cifar10"
    recipe = lab.Recipe(3, 2, lr=0.01, checkpoints=1, shift=4 * images, flip=images)
    check_against_the_plain_loop(lambda: snip.build_model(name), data, recipe, tmp_path / "run.pt")


def test_the_counter_alone_says_which_step_it_is(small_data, device):
    recipe = lab.Recipe(120, batch_size=8, schedule="linear", shift=1, flip=True)
    apart, batches = (lab.batches.Batches(small_data, recipe, 0) for _ in range(2))
    drawn = [apart.draw(step) for step in range(120)]
    for first, last in ((0, 100), (100, 120)):
        batches.prepare(first)
        for step in (last - 1, first, first + 7):
            batches.counter.fill_(step - first)
            x, y, rate = batches.at_counter()
            index, moves = (part.to(device) for part in drawn[step])
            assert x.equal(lab.data.moved(small_data.x_train[index], moves, 1))
            assert y.equal(small_data.y_train[index])
            assert rate.item() == pytest.approx(recipe.rate(step))
    assert (batches.first, batches.end) == (100, 120)


def test_the_state_within_a_chunk_is_that_of_numbers_drawn_one_by_one(small_data):
    recipe = lab.Recipe(230, batch_size=8, shift=1)
    batches, apart = (lab.batches.Batches(small_data, recipe, 0) for _ in range(2))
    for step in range(140):
        batches.prepare(step)
        apart.draw(step)
        if step in (0, 36, 99, 100, 139):
            state = batches.state(step + 1)
            assert state["generator"].equal(apart.generator.get_state())
            assert state["order"].equal(apart.order)


def rehearsed(step, network, optimizer, dropout, counter):
    """What capturing does on CUDA, but that the step is not recorded: it is done four times."""
    with lab.capture.undone(network, optimizer, dropout, counter):
        for _ in range(4):
            step()
        assert counter.item() == 4
    assert counter.item() == 0
    return step


@pytest.mark.parametrize("optimizer", ["sgd", pytest.param("adam", marks=pytest.mark.slow)])
def test_steps_before_capture_leave_no_trace(
    small_data, device, tmp_path, monkeypatch, stop_at, optimizer
):
    """Neither at the start of a run nor where it goes on in the middle of a chunk."""
    recipe = lab.Recipe(
        130, batch_size=8, optimizer=optimizer, lr=0.01, schedule="linear", shift=1, checkpoints=3
    )

    def trained(**keep):
        model = everything(device)
        history = lab.train(model, small_data, recipe, some_masks(model), seed=1, **keep)
        return history, bits(model)

    whole, calls = trained(), []
    monkeypatch.setattr(
        lab.training, "captured", lambda *parts: calls.append(parts) or rehearsed(*parts)
    )
    steps = stop_at((40, 120), Stopped)
    for _ in range(2):
        with pytest.raises(Stopped):
            trained(checkpoint=tmp_path / "run.pt", checkpoint_seconds=0)
    assert same_run(trained(checkpoint=tmp_path / "run.pt", checkpoint_seconds=0), whole)
    assert len(calls) == 3 and len(steps) == 130 + 2
    trained(graph=False)
    assert len(calls) == 3


class OnCuda(torch.Tensor):
    """A tensor that says so, for what is only done there."""

    is_cuda = True


@pytest.mark.parametrize("fails", [False, True])
def test_a_step_is_captured_once_on_a_stream_of_its_own(monkeypatch, fails):
    """Against stand-ins for CUDA's graph and streams: in which order all comes, and what is put
    back, also where a network cannot be captured."""
    events = []

    class Stream:
        def wait_stream(self, other):
            events.append("wait")

    class Graph:
        def replay(self):
            events.append("replay")

    @contextlib.contextmanager
    def recording(graph, stream):
        events.append("begin")
        yield
        events.append("end")

    quiet = lambda _: contextlib.nullcontext()  # noqa: E731
    for name, part in {
        **{"Stream": Stream, "CUDAGraph": Graph, "graph": recording, "current_stream": Stream},
        **{"device": quiet, "stream": quiet},
    }.items():
        monkeypatch.setattr(torch.cuda, name, part)
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9)
    counter = torch.zeros(1).as_subclass(OnCuda)
    before, dropout = bits(model), torch.Generator()

    def step():
        events.append("step")
        torch.rand(1, generator=dropout)
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        counter.add_(1)
        if fails and "begin" in events:
            raise RuntimeError("operation not permitted when stream is capturing")

    drawn = dropout.get_state()
    says = pytest.warns(UserWarning, match="the step cannot be captured .operation not permitted")
    with says if fails else contextlib.nullcontext():
        started = lab.capture.captured(step, model, optimizer, dropout, counter)
    assert events == ["wait", "step", "step", "step", "begin", "step", *["end"][fails:], "wait"]
    assert all(a.equal(b) for a, b in zip(bits(model), before, strict=True))
    assert counter.item() == 0 and dropout.get_state().equal(drawn)
    assert all(not state["momentum_buffer"].any() for state in optimizer.state.values())
    assert (started is step) == fails
    if not fails:
        started()
        assert events[-1] == "replay"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="graphs are CUDA's")
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_captured_steps_are_those_started_one_by_one(small_data, device, optimizer, precision):
    recipe = lab.Recipe(
        230, batch_size=8, optimizer=optimizer, lr=0.01, schedule="linear", shift=1, flip=True,
        checkpoints=3, precision=precision,
    )  # fmt: skip
    sides = []
    for graph in (False, True):
        model = everything(device)
        history = lab.train(model, small_data, recipe, some_masks(model), graph=graph)
        sides.append((history, bits(model)))
    assert same_run(*sides)


# ------------------------------------------------------------------ randomness and checkpoints


class Stopped(Exception):
    """Stands for a kill, at a moment of the test's choice."""


def everything(device):
    """Convolution, batch norm and dropout, on 4×4 images in three classes."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3))
    net = nn.Sequential(*layers, nn.Linear(16, 3)).to(device, memory_format=torch.channels_last)
    return net


def test_dropout_is_seeded_by_the_run_and_the_global_state_is_left(small_data, device):
    results = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        model = everything(device)
        before = torch.get_rng_state()
        results.append((lab.train(model, small_data, RECIPE, seed=3), bits(model)))
        assert torch.get_rng_state().equal(before)
    assert same_run(*results)
    other = everything(device)
    other[4].p = 0.0
    assert not np.array_equal(lab.train(other, small_data, RECIPE, seed=3).loss, results[0][0].loss)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_a_run_that_was_killed_goes_on_to_the_same_bits(
    small_data, device, tmp_path, stop_at, optimizer, precision
):
    recipe = lab.Recipe(
        60, batch_size=8, optimizer=optimizer, lr=0.01, schedule="linear", shift=1, flip=True,
        checkpoints=4, precision=precision,
    )  # fmt: skip
    path = tmp_path / "run.pt"

    def trained(model, **keep):
        masks = some_masks(model)
        history = lab.train(model, small_data, recipe, masks, seed=1, **keep)
        return history, bits(model)

    whole = trained(everything(device))
    steps = stop_at((7, 20, 33, 61), Stopped)
    for _ in range(4):
        with pytest.raises(Stopped):
            trained(everything(device), checkpoint=path, checkpoint_seconds=0)
    assert same_run(trained(everything(device), checkpoint=path, checkpoint_seconds=0), whole)
    assert len(steps) == 60 + 4  # nothing done twice but the step that was killed


def test_checkpoints_come_at_most_so_often(small_data, device, tmp_path):
    lab.train(small_net(device), small_data, RECIPE, checkpoint=tmp_path / "a" / "run.pt")
    assert not list((tmp_path / "a").iterdir())  # in less than 30 seconds there is none
    path = tmp_path / "run.pt"
    lab.train(small_net(device), small_data, RECIPE, checkpoint=path, checkpoint_seconds=0)
    state = torch.load(path, weights_only=True)
    assert state["done"] == 30 and len(state["losses"]) == 30


def flip_a_bit(path):
    """In the first weight tensor that the checkpoint holds."""
    weights = next(iter(torch.load(path, weights_only=True)["network"].values()))
    there = bytearray(path.read_bytes())
    there[there.index(weights.cpu().numpy().tobytes()) + 1] ^= 1
    path.write_bytes(there)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (flip_a_bit, "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-500]), "cannot be read"),
        (lambda path: path.write_bytes(b"\x00" * 100), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: torch.save({"done": 3}, path), "cannot be read"),
        ({"seed": 2}, "is of another configuration, other data, version or number of threads"),
        ({"recipe": dataclasses.replace(RECIPE, lr=0.05)}, "is of another configuration"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_put_aside(small_data, device, tmp_path, spoil, message):
    path = tmp_path / "run.pt"
    keep = {"checkpoint": path, "checkpoint_seconds": 0}
    expected = lab.train(small_net(device), small_data, RECIPE, seed=1)
    other = {} if callable(spoil) else spoil
    lab.train(small_net(device), small_data, **({"recipe": RECIPE, "seed": 1} | other), **keep)
    if callable(spoil):
        spoil(path)
    with pytest.warns(UserWarning, match=f"{message}.*run.pt.aside, and the run starts anew"):
        history = lab.train(small_net(device), small_data, RECIPE, seed=1, **keep)
    assert np.array_equal(history.loss, expected.loss)
    assert (tmp_path / "run.pt.aside").exists()


def test_a_run_is_told_from_one_of_another_network(small_data):
    """The same weights, but another activation, rate of dropout or mask, or a frozen layer."""
    bodies = [nn.ReLU(), nn.Tanh(), nn.Dropout(0.1), nn.Dropout(0.2)]
    networks = [nn.Sequential(small_net("cpu"), body) for body in (*bodies, nn.ReLU())]
    networks[-1][0].requires_grad_(False)
    marks = [lab.checkpoint.fingerprint(network, None, small_data) for network in networks]
    masks = some_masks(networks[0])
    others = (masks, masks | {"0.1.bias": ~masks["0.1.bias"]})
    marks += [lab.checkpoint.fingerprint(networks[0], m, small_data) for m in others]
    assert len(set(marks)) == len(marks)
    again = nn.Sequential(small_net("cpu"), nn.ReLU())
    assert lab.checkpoint.fingerprint(again, None, small_data) == marks[0]


def test_any_image_or_label_tells_runs_apart(small_data, device):
    """Of many, too, and with the digest unchanged: images negated, one pixel, one label."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(500, 1, 4, 4, generator=generator), torch.arange(500) % 3
    data = dataclasses.replace(small_data, x_train=x, y_train=y, x_test=x + 1, y_test=y)
    negated, pixel, label = -x, x.clone(), y.clone()
    negated[::5] = x[::5]
    pixel[-2, 0, 3, 3] += 1e-3
    label[-2] = (y[-2] + 1) % 3
    changes = [{}, {"x_train": negated}, {"x_train": pixel}, {"y_train": label}]
    changes += [{"x_test": pixel + 1}, {"y_test": label}, {"digest": "another"}]
    marks = [
        lab.checkpoint.fingerprint(small_net("cpu"), None, dataclasses.replace(data, **change))
        for change in changes
    ]
    assert len(set(marks)) == len(changes)
    layout = x.transpose(2, 3).contiguous().transpose(2, 3)
    again = dataclasses.replace(data, x_train=layout)  # the same images, laid out otherwise
    assert lab.checkpoint.fingerprint(small_net("cpu"), None, again) == marks[0]


def test_the_number_of_threads_tells_runs_apart(small_data):
    before, marks = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            marks.append(lab.checkpoint.fingerprint(small_net("cpu"), None, small_data))
    finally:
        torch.set_num_threads(before)
    assert marks[0] != marks[1] and marks[0] == marks[2]


@pytest.mark.parametrize("dies", [(1,), (2, 4), (4, 5, 6)])
def test_a_run_killed_in_a_test_goes_on_with_it_to_the_same_bits(
    small_data, device, tmp_path, monkeypatch, stop_at, dies
):
    recipe = lab.Recipe(30, batch_size=8, lr=0.01, shift=1, checkpoints=4)
    path = tmp_path / "run.pt"

    def trained(**keep):
        model = everything(device)
        history = lab.train(model, small_data, recipe, some_masks(model), seed=1, **keep)
        return history, bits(model)

    whole, steps, tests = trained(), stop_at(()), []
    really = lab.training.evaluate

    def killed(*args):
        tests.append(args)
        if len(tests) in dies:
            raise Stopped
        return really(*args)

    monkeypatch.setattr(lab.training, "evaluate", killed)
    for _ in dies:
        with pytest.raises(Stopped):
            trained(checkpoint=path, checkpoint_seconds=0)
    assert same_run(trained(checkpoint=path, checkpoint_seconds=0), whole)
    assert steps == list(range(30)) and len(tests) == 4 + len(dies)


def clocked(monkeypatch, step, test):
    """Steps and tests that take so many seconds of a clock which the test turns; gives the moments
    at which tests begin, and those of saves."""
    now, tests, saves = [0.0], [], []
    real, really, replacing = (
        lab.batches.Batches.prepare, lab.training.evaluate, lab.checkpoint.replacing
    )  # fmt: skip

    def slow_step(self, i):
        now[0] += step
        return real(self, i)

    def slow_test(*args):
        tests.append(now[0])
        now[0] += test
        return really(*args)

    def saved(path):
        saves.append(now[0])
        return replacing(path)

    monkeypatch.setattr(lab.training.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(lab.batches.Batches, "prepare", slow_step)
    monkeypatch.setattr(lab.training, "evaluate", slow_test)
    monkeypatch.setattr(lab.checkpoint, "replacing", saved)
    return tests, saves


def test_before_a_long_test_the_run_is_saved(small_data, device, tmp_path, monkeypatch):
    """Else a kill in a test of four minutes loses what came since the last save besides."""
    tests, saves = clocked(monkeypatch, step=1, test=240)
    recipe = dataclasses.replace(RECIPE, iterations=40, checkpoints=4)
    lab.train(small_net(device), small_data, recipe, checkpoint=tmp_path / "run.pt")
    assert tests == [10, 260, 510, 760]
    # Of the first test nobody knows; before and after each of the others.
    assert saves == [250, 260, 500, 510, 750, 760, 1000]


def test_the_first_test_is_taken_for_steps_on_as_many_images(
    small_data, device, tmp_path, monkeypatch
):
    tests, saves = clocked(monkeypatch, step=25, test=30)  # 10 test images in batches of 8
    recipe = dataclasses.replace(RECIPE, iterations=1, checkpoints=1)
    lab.train(small_net(device), small_data, recipe, checkpoint=tmp_path / "run.pt")
    assert tests == [25] and saves == [25]


def test_before_a_short_test_nothing_is_saved(small_data, device, tmp_path, monkeypatch):
    tests, saves = clocked(monkeypatch, step=1, test=0.5)
    recipe = dataclasses.replace(RECIPE, iterations=60, checkpoints=6)
    lab.train(small_net(device), small_data, recipe, checkpoint=tmp_path / "run.pt")
    assert len(tests) == 6 and len(saves) == 2
    assert all(30 < b - a < 32 for a, b in zip((0, *saves), saves, strict=False))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_tests_are_computed_as_the_steps_are(small_data, device, precision):
    model, seen = small_net(device), []
    model.register_forward_hook(
        lambda net, x, out: seen.append((net.training, len(x[0]), out.dtype))
    )
    lab.train(model, small_data, dataclasses.replace(RECIPE, precision=precision))
    kind = getattr(torch, precision)
    steps = [dtype for training, _, dtype in seen if training]
    tests = [dtype for training, count, dtype in seen if not training and count == 10]
    assert steps == [kind] * 30 and tests == [kind] * 3


def test_the_watcher_is_told_how_far_it_is(small_data, device, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(lab.training.time, "perf_counter", lambda: float(next(clock)))
    told = []
    lab.train(small_net(device), small_data, RECIPE, watch=lambda *how: told.append(how))
    assert told and all(0 < done <= 30 and seconds > 0 for done, seconds in told)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_a_refused_run_leaves_the_mode(small_data, device):
    model = small_net(device).train()
    bad = dataclasses.replace(small_data, y_train=small_data.y_train + 1)
    with pytest.raises(ValueError, match="labels run from 1 to 3"):
        lab.train(model, bad, RECIPE)
    assert all(module.training for module in model.modules())


def test_precision_is_what_the_processor_can_do(monkeypatch):
    recipe, place = lab.PROTOCOLS["cifar10"], torch.device("cpu")
    for flags, precision in (
        ("flags: avx2 avx512_bf16 fma", "bfloat16"),
        ("flags: amx_bf16", "bfloat16"),
        ("Features: asimd bf16", "bfloat16"),
        ("flags: avx2 avx512f", "float32"),
    ):
        monkeypatch.setattr(lab.training.Path, "read_text", lambda path, flags=flags: flags)
        assert lab.training.settled_precision(recipe, place) == precision
        named = dataclasses.replace(recipe, precision="float32")
        assert lab.training.settled_precision(named, place) == "float32"


# -------------------------------------------------------------------- files that replace others


@pytest.fixture
def room():
    """Sets how long a file may become, in bytes: a disk that is full, as the system has it."""
    resource = pytest.importorskip("resource")
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size=before: resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_full_disk_leaves_the_old_file_and_no_draft(tmp_path, room):
    path = tmp_path / "rows.csv"
    path.write_text("old")
    room(1000)
    for _ in range(2):  # nothing is wedged
        with pytest.raises(OSError, match=rf"'{path}'$") as caught:
            with lab.checkpoint.replacing(path) as file:
                file.write(b"new" * 1000)
        assert caught.value.errno == errno.EFBIG and content(tmp_path) == {"rows.csv": "old"}
    room()
    with lab.checkpoint.replacing(path, "w", encoding="utf-8") as file:
        file.write("new")
    assert content(tmp_path) == {"rows.csv": "new"}


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(5, "no", "else")])
def test_whatever_goes_wrong_in_writing_no_draft_is_left(tmp_path, error):
    path = tmp_path / "rows.csv"
    path.write_text("old")
    with pytest.raises(type(error)) as caught, lab.checkpoint.replacing(path) as file:
        file.write(b"new")
        raise error
    assert caught.value is error  # of another file, it keeps that one's name
    assert content(tmp_path) == {"rows.csv": "old"}


@pytest.mark.parametrize("place", ["missing/rows.csv", "a file/rows.csv", "folder"])
def test_a_file_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "a file").write_text("")
    (tmp_path / "folder").mkdir()
    path = tmp_path / place
    with pytest.raises(OSError, match=rf"'{path}'$"), lab.checkpoint.replacing(path) as file:
        file.write(b"new")
    assert {p.name for p in tmp_path.rglob("*")} == {"a file", "folder"}


def test_two_writers_share_no_draft(tmp_path):
    path = tmp_path / "rows.csv"
    with lab.checkpoint.replacing(path, "w") as slow:
        slow.write("one")
        with lab.checkpoint.replacing(path, "w") as quick:
            quick.write("another")
        assert path.read_text() == "another"
    assert content(tmp_path) == {"rows.csv": "one"}


def test_many_threads_write_whole_files(tmp_path):
    path, texts = tmp_path / "rows.csv", [str(k) * 20_000 for k in range(8)]

    def write(text):
        for _ in range(5):
            with lab.checkpoint.replacing(path, "w") as file:
                file.write(text)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, texts))  # raises what a thread raised
    assert path.read_text() in texts and list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link_and_a_mode_a_mode(tmp_path):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "rows.csv", tmp_path / "rows.csv"
    target.write_text("old")
    target.chmod(0o604)
    link.symlink_to(target)
    before = os.umask(0o027)
    try:
        for path in (link, tmp_path / "fresh.csv"):
            with lab.checkpoint.replacing(path, "w") as file:
                file.write("new")
    finally:
        os.umask(before)
    assert link.is_symlink() and target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o604
    assert (tmp_path / "fresh.csv").stat().st_mode & 0o777 == 0o666 & ~0o027
    assert len(list(tmp_path.rglob("*"))) == 4


def test_drafts_of_kills_long_ago_are_cleared_away(tmp_path):
    old, young, other = (
        tmp_path / f".{name}.{digit * 32}.draft"
        for name, digit in (("a[1].csv", "0"), ("a[1].csv", "1"), ("a1.csv", "2"))
    )
    for draft in (old, young, other):
        draft.write_text("torn")
    for draft in (old, other):
        os.utime(draft, (time.time() - 4000,) * 2)
    with lab.checkpoint.replacing(tmp_path / "a[1].csv", "w") as file:
        file.write("new")
    assert set(content(tmp_path)) == {"a[1].csv", young.name, other.name}


def test_training_goes_on_where_no_checkpoint_can_be_written(
    small_data, device, tmp_path, monkeypatch, room
):
    """Said once, and saved again as soon as there is room."""
    expected = lab.train(small_net(device), small_data, RECIPE)
    path, real, there = tmp_path / "run.pt", lab.batches.Batches.prepare, []

    def step(self, i):
        there.append(path.exists())
        if i == 20:
            room()
        return real(self, i)

    monkeypatch.setattr(lab.batches.Batches, "prepare", step)
    room(1000)
    message = rf"run\.pt cannot be written .*'{path}'\): training goes on; nothing is saved until"
    with pytest.warns(UserWarning, match=message) as said:
        history = lab.train(
            small_net(device), small_data, RECIPE, checkpoint=path, checkpoint_seconds=0
        )
    assert len(said) == 1 and said[0].filename == __file__
    assert np.array_equal(history.loss, expected.loss)
    assert there == [False] * 21 + [True] * 9 and list(tmp_path.iterdir()) == [path]
    assert torch.load(path, weights_only=True)["done"] == 30


def test_a_folder_for_checkpoints_that_cannot_be_made(small_data, device, tmp_path):
    (tmp_path / "a file").write_text("")
    path = tmp_path / "a file" / "run.pt"
    with pytest.warns(UserWarning, match="training goes on") as said:
        lab.train(small_net(device), small_data, RECIPE, checkpoint=path, checkpoint_seconds=0)
    assert len(said) == 1 and said[0].filename == __file__


# ----------------------------------------------------------------------------------- bad input


def test_a_diverging_loss_names_the_iteration(small_data, device):
    model, steps = small_net(device), []

    def diverge(net, _, out):  # in the eighteenth step
        steps.append(net.training)
        return out * (math.inf if sum(steps) > 17 else 1)

    model.register_forward_hook(diverge)
    with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf) at iteration 17$"):
        lab.train(model, small_data, RECIPE, graph=False)  # a captured step calls no hooks


def test_data_that_do_not_fit_the_model(small_data, device):
    def but(**changes):
        return dataclasses.replace(small_data, **changes)

    for bad, message in (
        (but(x_train=small_data.x_train * math.nan), "NaN or Inf"),
        (but(x_test=small_data.x_test * math.inf), "NaN or Inf"),
        (
            but(y_train=small_data.y_train + 1),
            "labels run from 1 to 3; the model has classes 0 to 2",
        ),
        (but(y_train=small_data.y_train[:7]), "40 inputs need as many labels"),
        (but(x_train=small_data.x_train[:0], y_train=small_data.y_train[:0]), "batch is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            lab.train(small_net(device), bad, RECIPE)
    with pytest.raises(ValueError, match="batch_size 100 is more than the 40 train images"):
        lab.train(small_net(device), small_data, lab.Recipe(5, checkpoints=1))
    with pytest.raises(ValueError, match="a recipe of 0 iterations trains nothing"):
        lab.train(small_net(device), small_data, lab.Recipe(0, checkpoints=0))
    with pytest.raises(ValueError, match="masks and model do not fit"):
        lab.train(small_net(device), small_data, RECIPE, {})


def test_recipes_that_make_no_sense():
    for changes, message in (
        ({"iterations": -1}, "iterations -1 is below 0"),
        ({"iterations": 0}, "checkpoints in 0 iterations"),
        ({"checkpoints": 0}, "checkpoints 0 is below 1"),
        ({"batch_size": 0}, "batch_size 0 is below 1"),
        ({"checkpoints": 31}, "31 checkpoints in 30 iterations"),
        ({"optimizer": "lion"}, "unknown optimizer 'lion'; known: sgd, adam"),
        ({"schedule": "cosine"}, "unknown schedule 'cosine'; known: stages, linear"),
        ({"iterations": 1e3}, "iterations 1000.0 must be a whole number below"),
        ({"batch_size": 10.0}, "batch_size 10.0 must be a whole number"),
        ({"iterations": 2**63}, "iterations 9223372036854775808 must be a whole number below"),
        ({"lr": math.nan}, "lr nan must be a finite number"),
        ({"lr": "0.1"}, "lr '0.1' must be a finite number"),
        ({"momentum": -1}, "momentum -1.0 is below 0"),
        ({"flip": 2}, "flip 2 must be of type bool"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(RECIPE, **changes)


def test_equal_recipes_are_one():
    plain = lab.Recipe(np.int64(30), lr=np.float32(0.5), momentum=1, flip=1)
    assert dataclasses.asdict(plain) == dataclasses.asdict(
        lab.Recipe(30, lr=0.5, momentum=1.0, flip=True)
    )
    kinds = [type(getattr(plain, name)) for name in ("iterations", "lr", "momentum", "flip")]
    assert kinds == [int, float, float, bool]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none():
    with pytest.raises(
        RuntimeError, match="device='cuda', but PyTorch sees no CUDA here: use 'cpu'"
    ):
        lab.load_data("digits", device="cuda")


def test_a_parametrised_layer_is_trained(digits):
    """It is not pruned, and was refused with advice that does not apply to training."""
    model = nn.Sequential(
        nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(784, 16)), nn.ReLU(),
        nn.Linear(16, 10),
    )  # fmt: skip
    masks = snip.keep_top(snip.sensitivity(model, *lab.draw_batch(digits, 20, 0), exclude="1"), 0.5)
    before = model[1].weight.detach().clone()
    lab.train(model, digits, lab.Recipe(3, batch_size=10, checkpoints=1), masks)
    assert not before.equal(model[1].weight)
    assert not model[3].weight[~masks["3.weight"]].any()


def test_a_state_that_is_no_tensor_is_part_of_a_checkpoint(digits, tmp_path):
    class Noted(nn.Linear):
        def get_extra_state(self):
            return self.note

        def set_extra_state(self, state):
            self.note = state

    def mark(note):
        model = nn.Sequential(nn.Flatten(), Noted(784, 10))
        snip.initialize(model, "vs", 0)
        model[1].note = note
        recipe = lab.Recipe(2, batch_size=10, checkpoints=1)
        lab.train(model, digits, recipe, checkpoint=tmp_path / repr(note), checkpoint_seconds=0)
        return lab.checkpoint.fingerprint(model, None, digits)

    assert mark({"version": 1}) != mark({"version": 2})
