"""Connection sensitivity, against the derivative by an explicit c and the difference of losses."""

import copy
import math
import warnings
from collections import Counter
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import nn

import snipcore as snip
import sniplab as lab


def explicit_scores(model, loss_of):
    """|g| / Σ|g| with the c of Eq. 5 written out: g is the derivative of the loss by c at c = 1.
    `loss_of` takes a function that runs the model, so any input and any loss will do."""
    weights = {name: weight.detach() for name, weight in snip.prunable(model).items()}
    c = {name: torch.ones_like(weight, requires_grad=True) for name, weight in weights.items()}
    product = {name: c[name] * weight for name, weight in weights.items()}
    loss = loss_of(lambda *inputs: torch.func.functional_call(model, product, inputs))
    g = torch.autograd.grad(loss, list(c.values()), materialize_grads=True)
    total = sum(part.abs().sum() for part in g)
    return {name: part.abs() / total for name, part in zip(c, g, strict=True)}


def assert_explicit(scores, model, loss_of):
    expected = explicit_scores(model, loss_of)
    assert list(scores) == list(expected)
    for name, score in scores.items():
        torch.testing.assert_close(score, expected[name], msg=lambda text, n=name: f"{n}: {text}")
    assert sum(score.sum() for score in scores.values()).item() == pytest.approx(1)


def scoring_twin(model, norm):
    """A copy of the model, set by hand to the mode that `norm` names."""
    twin = copy.deepcopy(model).eval()
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(norm == "batch")
    return twin


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("norm", ["batch", "running"])
def test_sensitivity_is_the_derivative_by_c(tiny, batch, norm, trained):
    if trained:  # "running" are the statistics as they stand, mean and variance
        tiny[1].running_mean += torch.tensor([3.0, 0, -1, 0.5], device=tiny[1].running_mean.device)
        tiny[1].running_var *= torch.tensor([4.0, 1, 0.1, 2], device=tiny[1].running_var.device)
    x, y = batch
    twin = scoring_twin(tiny, norm)
    scores = snip.sensitivity(tiny, x, y, norm=norm)
    assert list(scores) == ["0.weight", "0.bias", "5.weight", "5.bias"]
    assert_explicit(scores, twin, lambda run: F.cross_entropy(run(x), y))


@pytest.mark.parametrize("norm", ["batch", "running"])
def test_sensitivity_is_the_finite_difference_of_the_loss(tiny, batch, norm):
    x, y = batch
    twin = scoring_twin(tiny, norm)
    scores = snip.sensitivity(tiny, x, y, norm=norm)
    numbers = {}
    for name, index in (("0.weight", (1, 0, 2, 1)), ("5.weight", (2, 30)), ("5.weight", (0, 7))):
        weight = twin.get_parameter(name).data
        value, losses = weight[index].item(), []
        for c in (1 + 1e-5, 1 - 1e-5):
            weight[index] = c * value
            with torch.no_grad():
                losses.append(F.cross_entropy(twin(x), y).item())
        weight[index] = value
        numbers[name, index] = abs(losses[0] - losses[1]) / 2e-5
    # s is g up to one common factor
    factors = [scores[name][index].item() / g for (name, index), g in numbers.items()]
    np.testing.assert_allclose(factors, factors[0], rtol=1e-4)


def test_sensitivity_by_hand():
    """One image x = (1, 2), w = [[1, 0], [0, 0]], label 1: logits (1, 0), p = (e, 1) / (e + 1);
    ∂L/∂w = (p − (0, 1)) ⊗ x, and only w_00 = 1 is not zero, so it has all the sensitivity."""
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        layer.bias.zero_()
    x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([1])
    assert snip.sensitivity(layer, x, y)["weight"].tolist() == [[1, 0], [0, 0]]
    with torch.no_grad():
        layer.weight[1, 1] = 0.5  # now the logits are (1, 1): p = (½, ½), g = (½·1·1, −½·2·½)
    assert snip.sensitivity(layer, x, y)["weight"].tolist() == [[0.5, 0], [0, 0.5]]


@pytest.mark.parametrize("size", [1, 5, 12, 100])
def test_chunks_add_up_to_the_whole(tiny, batch, size):
    whole = snip.sensitivity(tiny, *batch, norm="running")
    chunked = snip.sensitivity(tiny, *batch, norm="running", chunk_size=size)
    for name in whole:
        torch.testing.assert_close(chunked[name], whole[name])


def test_one_forward_and_one_backward(tiny, batch):
    calls = []
    tiny.register_forward_hook(lambda *_: calls.append("forward"))
    tiny[5].register_full_backward_hook(lambda *_: calls.append("backward"))
    snip.sensitivity(tiny, *batch)
    assert calls == ["forward", "backward"]


@pytest.mark.parametrize("norm", ["batch", "running"])
@pytest.mark.parametrize("fails", [False, True])
def test_scoring_leaves_the_model_as_it_was(tiny, batch, norm, fails):
    tiny.train()
    tiny[4].eval()
    tiny[0].bias.requires_grad_(False)
    tiny[5].weight.grad = torch.full_like(tiny[5].weight, 7)
    tiny[1].running_mean += 1
    tiny[1].running_var *= 2
    before, buffer = copy.deepcopy(tiny.state_dict()), tiny[1].running_mean
    x, y = batch
    random_state = torch.get_rng_state()
    if fails:
        y = y.clone().index_fill_(0, torch.tensor([3], device=y.device), 9)
        with pytest.raises(ValueError, match="labels run from 0 to 9"):
            snip.sensitivity(tiny, x, y, norm=norm)
    else:
        snip.sensitivity(tiny, x, y, norm=norm)
    for name, value in tiny.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert tiny[1].running_mean is buffer and tiny[1].track_running_stats
    assert torch.equal(torch.get_rng_state(), random_state)
    assert tiny.training and tiny[1].training and not tiny[4].training
    assert not tiny[0].bias.requires_grad and tiny[0].weight.requires_grad
    assert tiny[0].weight.grad is None and (tiny[5].weight.grad == 7).all()


@pytest.mark.parametrize("norm", ["batch", "running"])
@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(4, momentum=None),
        nn.BatchNorm2d(4, affine=False),
        nn.InstanceNorm2d(4),
        nn.InstanceNorm2d(4, track_running_stats=True),
    ],
    ids=str,
)
def test_no_kind_of_normalisation_remembers_the_scoring_batch(layer, norm, device):
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), copy.deepcopy(layer), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10)
    ).to(device)
    x, y = torch.randn(6, 1, 8, 8, device=device), torch.arange(6, device=device)
    before, tracks = copy.deepcopy(model.state_dict()), model[1].track_running_stats
    snip.sensitivity(model, x, y, norm=norm)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert model[1].track_running_stats == tracks
    model(x)
    assert not tracks or (model[1].running_mean != 0).any()  # in training it does


def test_without_running_statistics_only_those_of_the_batch_will_do(device):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    model = nn.Sequential(model, nn.Flatten(), nn.Linear(4 * 36, 3)).to(device)
    x, y = torch.randn(6, 1, 8, 8, device=device), torch.arange(6, device=device) % 3
    with pytest.raises(ValueError, match=r"layer 0\.1 keeps no running statistics: .*'batch'"):
        snip.sensitivity(model, x, y)
    assert_explicit(
        snip.sensitivity(model, x, y, norm="batch"), model, lambda run: F.cross_entropy(run(x), y)
    )


def test_any_module_of_the_known_layers_can_be_scored(device):
    class Rows(nn.Module):
        """An image as a sequence of rows; two normalisations that are not batch norm."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(8, 8, 3, padding=1)
            self.norm = nn.GroupNorm(2, 8)
            self.lstm = nn.LSTM(8, 5, batch_first=True)
            self.cell = nn.GRUCell(5, 6)
            self.layer_norm = nn.LayerNorm(6)
            self.head = nn.Linear(6, 3)

        def forward(self, x):  # (B, 8, 8)
            out, _ = self.lstm(self.norm(self.conv(x)).transpose(1, 2))
            return self.head(self.layer_norm(self.cell(out[:, -1])))

    model = Rows().to(device)
    scores = snip.sensitivity(
        model, torch.randn(6, 8, 8, device=device), torch.arange(6, device=device) % 3
    )
    lstm = 4 * 5 * (8 + 5 + 1)  # one bias vector a gate, not PyTorch's two
    gru = 3 * 6 * (5 + 6 + 1)
    m = (8 * 8 * 3 + 8) + lstm + gru + (6 * 3 + 3)
    assert sum(score.numel() for score in scores.values()) == m
    assert sum(int(k.sum()) for k in snip.keep_top(scores, 0.5).values()) == round(m / 2)


# --------------------------------------------------------------------- any network, any loss


def test_another_loss_knows_no_default_device():
    """Inputs were counted by a tensor that was made on it."""
    model, x, y = nn.Linear(4, 2), torch.randn(6, 4), torch.zeros(6, 2)
    expected = snip.sensitivity(model, x, y, loss=F.mse_loss)
    with torch.device("meta"):  # stands for a GPU
        found = snip.sensitivity(model, x, y, loss=F.mse_loss)
    assert all(found[name].equal(score) for name, score in expected.items())


def test_a_regression_network(device):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2)).to(device)
    x, y = torch.randn(10, 6, device=device), torch.randn(10, 2, device=device)
    for size in (None, 3):
        scores = snip.sensitivity(model, x, y, chunk_size=size, loss=F.mse_loss)
        assert_explicit(scores, model, lambda run: F.mse_loss(run(x), y))
    assert sum(int(m.sum()) for m in snip.keep_top(scores, 0.5).values()) == 73
    with pytest.raises(ValueError, match="10 inputs need as many labels, not shape"):
        snip.sensitivity(model, x, y[:1], loss=F.mse_loss)
    with pytest.raises(ValueError, match="hold NaN or Inf"):
        snip.sensitivity(model, x / 0, y, loss=F.mse_loss)


class Encoder(nn.Module):
    """A transformer encoder over tokens, given as a dict, as tokenisers make them."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, batch):
        states = self.encoder(self.embed(batch["tokens"]), src_key_padding_mask=batch["padding"])
        return self.head(states[:, 0])


def test_a_transformer_encoder_with_a_dict_as_input(device):
    torch.manual_seed(0)
    model = Encoder().to(device)
    tokens = torch.randint(20, (8, 7), device=device)
    batch = {"tokens": tokens, "padding": torch.arange(7, device=device).expand(8, 7) > 4}
    y = torch.arange(8, device=device) % 3
    scores = snip.sensitivity_of(model, lambda: F.cross_entropy(model(batch), y))
    assert model.training
    assert_explicit(scores, model.eval(), lambda run: F.cross_entropy(run(batch), y))
    assert scores["encoder.layers.1.self_attn.in_proj_weight"].any()
    masks = snip.keep_top(scores, 0.9)
    snip.apply_masks(model, masks)
    kept = sum(int(mask.sum()) for mask in masks.values())
    assert kept == round(0.1 * sum(w.numel() for w in snip.prunable(model).values()))


class SmallUNet(nn.Module):
    """Down by a strided convolution, up by a transposed one, and a bridge over both."""

    def __init__(self):
        super().__init__()
        self.enter = nn.Conv2d(1, 4, 3, padding=1)
        self.down = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.leave = nn.Conv2d(8, 2, 1)

    def forward(self, x):  # (B, 1, H, W)
        x = self.enter(x)
        return self.leave(torch.cat([x, self.up(self.down(x))], 1))  # (B, 2, H, W)


def test_a_u_net_with_a_segmentation_loss(device):
    torch.manual_seed(0)
    model = SmallUNet().to(device)
    x, y = torch.randn(4, 1, 8, 8, device=device), torch.randint(2, (4, 8, 8), device=device)

    def dice(logits, y):
        p = logits.softmax(1)[:, 1]
        return (1 - 2 * (p * y).sum((1, 2)) / (p + y).sum((1, 2))).mean()

    scores = snip.sensitivity(model, x, y, loss=dice)
    assert scores["up.weight"].any() and not model.down[1].running_mean.any()
    model.eval()
    assert_explicit(scores, model, lambda run: dice(run(x), y))
    assert snip.collapsed(model, snip.keep_top(scores, 0.5), x) == []


def test_a_closure_may_yield_the_parts_of_its_loss(tiny, batch):
    x, y = batch

    def parts():
        for i in range(0, 12, 5):
            yield F.cross_entropy(tiny(x[i : i + 5]), y[i : i + 5], reduction="sum") / 12

    summed, whole = snip.sensitivity_of(tiny, parts), snip.sensitivity(tiny, x, y)
    for name in whole:
        torch.testing.assert_close(summed[name], whole[name])


@pytest.mark.parametrize("chunk_size", [None, 4])
def test_weights_that_share_one_gradient(device, chunk_size):
    """Autograd gives a and b of a + b one tensor, and a sum's an expanded one of one number."""

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(5, 3), nn.Linear(5, 3), nn.Linear(5, 3)

        def forward(self, x):
            return F.linear(x, self.a.weight + self.b.weight) + self.c.weight.sum() * x[:, :3]

    torch.manual_seed(0)
    model = Sum().to(device)
    x, y = torch.randn(8, 5, device=device), torch.arange(8, device=device) % 3
    scores = snip.sensitivity(model, x, y, chunk_size=chunk_size)
    assert_explicit(scores, model, lambda run: F.cross_entropy(run(x), y))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_layers_are_scored_without_dropout(kind, device):
    """On CUDA in training mode: cuDNN has no backward pass in evaluation mode."""
    torch.manual_seed(0)

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = kind(5, 4, num_layers=2, dropout=0.5, batch_first=True)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            modes.append((self.cell.training, self.cell.dropout))
            return self.head(self.cell(x)[0][:, -1])

    modes = []
    model = Reader().double().to(device).eval()  # cuDNN rounds float32 otherwise than PyTorch does
    x, y = torch.randn(6, 7, 5), torch.arange(6, device=device) % 3
    x = x.double().to(device)
    scores = snip.sensitivity(model, x, y)
    assert modes == [(True, 0.0) if x.is_cuda else (False, 0.5)]
    assert not model.cell.training and model.cell.dropout == 0.5
    with torch.backends.cudnn.flags(enabled=False):
        assert_explicit(scores, model, lambda run: F.cross_entropy(run(x), y))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a second device")
def test_a_model_over_two_devices():
    class Split(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(5, 4), nn.Linear(4, 3).cuda()

        def forward(self, x):
            return self.b(self.a(x).relu().cuda())

    model, x, y = Split(), torch.randn(6, 5), torch.arange(6).cuda() % 3
    scores = snip.sensitivity_of(model, lambda: F.cross_entropy(model(x), y))
    masks = snip.keep_top(scores, 0.5)
    assert sum(int(mask.sum()) for mask in masks.values()) == round(39 / 2)
    for name, weight in snip.prunable(model).items():
        assert scores[name].device == masks[name].device == weight.device
    snip.hold(torch.optim.SGD(model.parameters(), 0.1), model, masks)


# ----------------------------------------------------------------------------------- bad input


def test_batches_that_do_not_fit(tiny, batch):
    x, y = batch
    for bad_x, bad_y, message in (
        (x[:0], y[:0], "the batch is empty"),
        (x, y[:5], "12 inputs need as many labels"),
        (x, y - 1, "labels run from -1 to 1; the model has classes 0 to 2"),
        (x, y + 1, "labels run from 1 to 3"),
        (x, y.double(), "must be integers"),
        (x, y.int(), "labels are torch.int32 .* must be integers, torch.int64"),
        (x, y[:, None], r"of shape \(12, 1\); they must be integers"),
        (x * math.nan, y, "inputs hold NaN or Inf"),
    ):
        with pytest.raises(ValueError, match=message):
            snip.sensitivity(tiny, bad_x, bad_y)
        with pytest.raises(ValueError, match=message):
            lab.evaluate(tiny, bad_x, bad_y)
    with pytest.raises(ValueError, match="chunk_size 0 is below 1"):
        snip.sensitivity(tiny, x, y, chunk_size=0)
    model = snip.build_model("lenet-5-caffe")
    with pytest.raises(
        ValueError, match=r"shape \(2, 3, 32, 32\); this model takes \(batch, 1, 28, 28\)"
    ):
        snip.sensitivity(model, torch.zeros(2, 3, 32, 32), torch.zeros(2).long())


def test_nan_weights_name_the_layer(tiny, batch):
    with torch.no_grad():
        tiny[5].weight[0, 0] = math.nan
    with pytest.raises(FloatingPointError, match=r"NaN or Inf, as are weights of 5\.weight$"):
        snip.sensitivity(tiny, *batch)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(dtype):
    model = nn.Sequential(nn.Linear(4, 3)).to(dtype)
    with pytest.raises(ValueError, match=r"0\.weight is torch.*16: score in float32"):
        snip.sensitivity(model, torch.randn(2, 4, dtype=dtype), torch.arange(2))


def test_dropout_of_a_layer_made_from_a_recurrent_one_is_off():
    class Dropped(nn.LSTM):
        def forward(self, x):
            return super().forward(F.dropout(x, 0.5, self.training))

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = Dropped(5, 4, batch_first=True), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.cell(x)[0][:, -1])

    torch.manual_seed(0)
    model, x, y = Reader(), torch.randn(6, 7, 5), torch.arange(6) % 3
    first = snip.sensitivity(model, x, y)
    torch.randn(1)  # dropout would draw otherwise
    for name, score in snip.sensitivity(model, x, y).items():
        assert torch.equal(score, first[name])


class Statistics(nn.Module):
    """Batch statistics, written through a kernel that counts no version."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("variance", torch.ones(8))

    def forward(self, x):
        return F.batch_norm(x, self.mean, self.variance, training=True)


class Average(nn.Module):
    """A moving average, written through `.data`, and a frozen weight that follows it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))
        self.follows = nn.Parameter(torch.zeros(8), requires_grad=False)

    def forward(self, x):
        self.mean.data.lerp_(x.detach().mean(0), 0.5)
        self.follows.data = self.mean.clone()
        return x


@pytest.mark.parametrize("kind", [Statistics, Average])
def test_what_is_written_without_a_version_is_put_back(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), kind(), nn.Linear(8, 3))
    x, y = torch.randn(12, 8), torch.arange(12) % 3
    before = copy.deepcopy(model.state_dict())
    masks = snip.keep_top(snip.sensitivity(model, x, y), 0.5)
    snip.collapsed(model, masks, x)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_an_embedding_that_scales_its_rows_is_left_as_it_was():
    model = nn.Sequential(nn.Embedding(20, 4, max_norm=0.5), nn.Flatten(), nn.Linear(20, 3))
    x, y = torch.randint(0, 20, (6, 5)), torch.arange(6) % 3
    before = model[0].weight.detach().clone()
    masks = snip.keep_top(snip.sensitivity(model, x, y, exclude="0"), 0.5)
    snip.collapsed(model, masks, x)
    assert torch.equal(model[0].weight, before)


def test_a_sparse_gradient_is_as_good_as_a_dense_one():
    scores = []
    for sparse in (True, False):
        torch.manual_seed(0)
        embedding = nn.Embedding(20, 4, sparse=sparse)
        model = nn.Sequential(embedding, nn.Flatten(), nn.Linear(20, 3))
        x, y = torch.randint(0, 20, (6, 5)), torch.arange(6) % 3
        scores.append(snip.sensitivity(model, x, y, include="0", chunk_size=2))
    torch.testing.assert_close(*scores)


def test_complex_weights_are_refused():
    model = nn.Linear(4, 3, dtype=torch.complex64)
    with pytest.raises(ValueError, match="only real weights can be scored"):
        snip.sensitivity_of(model, lambda: model(torch.ones(2, 4) + 0j).abs().mean())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_caller_may_have_switched_gradients_off(tiny, batch, mode):
    expected = snip.sensitivity(tiny, *batch)
    with mode():
        found = snip.sensitivity(tiny, *batch)
    for name, score in found.items():
        assert torch.equal(score, expected[name])


def test_what_is_no_tensor_is_said(tiny, batch):
    x, y = batch
    with pytest.raises(TypeError, match=r"inputs are a dict, not a tensor.*sensitivity_of"):
        snip.sensitivity(tiny, {"x": x}, y)
    with pytest.raises(TypeError, match="labels are a list, not a tensor"):
        snip.sensitivity(tiny, x, y.tolist())

    class Named(nn.Linear):
        def forward(self, x):
            return {"logits": super().forward(x)}

    model, x, y = Named(4, 3), torch.randn(6, 4), torch.arange(6) % 3
    with pytest.raises(TypeError, match=r"the model gives a dict.*output\[…\]"):
        snip.sensitivity(model, x, y)
    scores = snip.sensitivity(model, x, y, loss=lambda out, y: F.cross_entropy(out["logits"], y))
    assert_explicit(scores, model, lambda run: F.cross_entropy(run(x)["logits"], y))


def test_a_model_that_draws_leaves_the_global_random_state(device):
    class Drawing(nn.Linear):
        def forward(self, x):
            return F.dropout(super().forward(x), 0.3)  # in evaluation mode, too

    model, x = Drawing(6, 3).to(device), torch.randn(8, 6, device=device)
    before = torch.get_rng_state()
    first, again = (snip.sensitivity(model, x, torch.arange(8, device=device) % 3) for _ in "ab")
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)


# ------------------------------------------------------------------- what is prunable, and chosen


class Block(nn.Module):
    """A linear map stored transposed, as GPT-2's, raw experts, an embedding and a tied head."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4))
        self.experts = nn.Parameter(torch.randn(2, 4, 4))
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        h = self.body(self.embed(x).mean(1))
        return self.head(torch.einsum("bi,eij->bj", h, self.experts))


LINEAR = ["body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (None, None, LINEAR),
        (None, "body.2", LINEAR[:2]),
        (None, ["*.bias"], [LINEAR[0], LINEAR[2]]),
        (None, nn.Sequential, []),  # in a module of that type
        (None, lambda name, module, weight: weight.ndim < 2, [LINEAR[0], LINEAR[2]]),
        ("experts", None, ["experts", *LINEAR]),
        (nn.Embedding, "body", ["embed.weight"]),
        ("head", "body", ["head.weight"]),
        ([nn.LayerNorm, "experts"], [nn.Linear, "*.bias"], ["experts", "body.1.weight"]),
        ("*", "body.1.*", ["experts", "embed.weight", *LINEAR]),
        ("experts", "exp*", LINEAR),
    ],
)
def test_what_is_prunable_can_be_chosen(include, exclude, expected):
    model = Block()
    found = snip.prunable(model, include, exclude)
    assert list(found) == expected
    assert all(model.get_parameter(name) is weight for name, weight in found.items())


def test_what_is_excluded_stays_by_whatever_name():
    """A tensor, and a module, may stand in two places."""
    tied = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 3))
    tied[2].weight = tied[0].weight
    assert list(snip.prunable(tied, exclude="0")) == ["2.bias", "3.weight", "3.bias"]
    assert list(snip.prunable(tied, exclude="2")) == ["0.bias", "3.weight", "3.bias"]
    shared = nn.Linear(8, 8)
    twice = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(8, 3))
    for name in ("0", "2", "2.*"):
        assert list(snip.prunable(twice, exclude=name)) == ["3.weight", "3.bias"]
    assert list(snip.prunable(twice, exclude="2.bias")) == ["0.weight", "3.weight", "3.bias"]


def test_what_is_excluded_by_its_second_name_is_not_warned_of():
    embed, head = nn.Embedding(60, 4), nn.Linear(4, 60, bias=False)
    head.weight = embed.weight
    model = nn.Sequential(embed, nn.Flatten(), nn.Linear(12, 4), head)
    tokens, y = torch.randint(60, (5, 3)), torch.arange(5)
    with pytest.warns(UserWarning, match=r"% of the trainable weights"):
        snip.sensitivity_of(model, lambda: F.cross_entropy(model(tokens), y))
    with warnings.catch_warnings(action="error"):
        snip.sensitivity_of(model, lambda: F.cross_entropy(model(tokens), y), exclude="3")
        names = (name for name in ["3"])  # an iterator was used up before the warning
        snip.sensitivity_of(model, lambda: F.cross_entropy(model(tokens), y), exclude=names)


def test_a_buffer_that_is_computed_can_be_excluded():
    """It is computed from no parameter: looking for one raised KeyError."""
    layer = nn.Linear(4, 4)
    layer.register_buffer("scale", torch.ones(4))
    nn.utils.parametrize.register_parametrization(layer, "scale", nn.ReLU())
    model = nn.Sequential(layer, nn.Linear(4, 3))
    assert list(snip.prunable(model, exclude="0")) == ["1.weight", "1.bias"]
    assert list(snip.prunable(model, exclude="0.scale")) == list(snip.prunable(model))


def test_a_model_of_inference_mode_is_refused():
    """Its weights got scores of 0, and its bias all of them."""
    with torch.inference_mode():
        model = nn.Linear(4, 3)
    with pytest.raises(RuntimeError, match="inference tensor"):
        snip.sensitivity(model, torch.randn(6, 4), torch.arange(6) % 3)


def test_parameters_are_not_picked_by_objects():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    for pick, kind in ((model[1], "Linear"), ([model[1].weight], "Parameter"), (0, "int")):
        with pytest.raises(TypeError, match=f"by names, types .* not by {kind}"):
            snip.prunable(model, exclude=pick)
    with pytest.raises(TypeError, match="not by Sequential"):
        snip.prunable(model, include=model)


def test_listing_what_is_prunable_changes_nothing():
    """Spectral norm moves its vectors whenever its weight is read; others draw."""
    torch.manual_seed(0)
    normed = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))
    model = nn.Sequential(normed, nn.Linear(8, 3))
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    assert list(snip.prunable(model, exclude="0")) == ["1.weight", "1.bias"]
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_name_that_nothing_has_is_refused():
    with pytest.raises(ValueError, match=r"no parameter and no module .* called 'tail\.\*'"):
        snip.prunable(Block(), exclude=["body", "tail.*"])


def test_scores_of_what_is_chosen_alone_add_up_to_1():
    torch.manual_seed(0)
    model, x, y = Block(), torch.randint(6, (5, 3)), torch.arange(5)
    scores = snip.sensitivity(model, x, y, include="experts", exclude=[nn.Embedding, "*.bias"])
    assert list(scores) == ["experts", "body.0.weight", "body.2.weight"]
    F.cross_entropy(model(x), y).backward()
    g = {
        name: (model.get_parameter(name) * model.get_parameter(name).grad).abs() for name in scores
    }
    total = sum(part.sum() for part in g.values())
    for name, score in scores.items():
        torch.testing.assert_close(score, g[name] / total)


def test_what_is_left_out_is_said():
    """24 + 32 of 88 weights: embedding and experts."""
    x, y = torch.randint(6, (5, 3)), torch.arange(5)
    with pytest.warns(UserWarning, match="64% of the trainable weights .* experts, embed.weight"):
        snip.sensitivity_of(model := Block(), lambda: F.cross_entropy(model(x), y))
    with warnings.catch_warnings(action="error"):
        for how in ({"include": "experts", "exclude": "embed"}, {"exclude": ["embed", "experts"]}):
            snip.sensitivity_of(model, lambda: F.cross_entropy(model(x), y), **how)
        model.embed.requires_grad_(False)
        model.experts.requires_grad_(False)
        snip.sensitivity_of(model, lambda: F.cross_entropy(model(x), y))


def test_frozen_layers_are_left_as_they_are_unless_included(tiny, batch):
    tiny[0].requires_grad_(False)
    assert list(snip.prunable(tiny)) == ["5.weight", "5.bias"]
    scores = snip.sensitivity(tiny, *batch, include="0")
    assert list(scores) == ["0.weight", "0.bias", "5.weight", "5.bias"] and scores["0.weight"].any()
    assert not tiny[0].weight.requires_grad and tiny[0].weight.grad is None
    tiny.requires_grad_(False)
    with pytest.raises(ValueError, match=r"nothing to prune: no trainable .* include=… takes"):
        snip.sensitivity(tiny, *batch)


def test_a_parametrised_layer_refuses_no_other():
    model = nn.Sequential(nn.Linear(4, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)))
    with pytest.raises(
        ValueError, match=r"layer 1 is parametrised, .* leave the layer out, exclude='1'"
    ):
        snip.prunable(model)
    x, y = torch.randn(6, 4), torch.arange(6) % 3
    masks = snip.keep_top(snip.sensitivity(model, x, y, exclude="1"), 0.5)
    assert list(masks) == ["0.weight", "0.bias"]
    assert snip.collapsed(model, masks, x) == []
    old = nn.Sequential(nn.Linear(4, 4), nn.utils.spectral_norm(nn.Linear(4, 3)))
    assert list(snip.prunable(old, exclude="1")) == ["0.weight", "0.bias"]
    for normed in (model, old):  # its bias is computed from nothing
        with warnings.catch_warnings(action="error"):  # what is said to stay is not named again
            scores = snip.sensitivity(normed, x, y, exclude="1.weight")
        assert list(scores) == ["0.weight", "0.bias", "1.bias"]


@pytest.fixture
def one_process(tmp_path):
    """A group of one process, as `torchrun` would start several: the mesh of its devices."""
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    yield torch.distributed.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def test_weights_spread_over_processes_take_masks_made_before(one_process):
    from torch.distributed.fsdp import fully_shard

    model, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.arange(6) % 3
    masks = snip.keep_top(snip.sensitivity(model, x, y), 0.5)
    fully_shard(model, mesh=one_process)
    with pytest.raises(ValueError, match="weight is spread over processes, as by FSDP2"):
        snip.prunable(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    snip.hold(optimizer, model, masks)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        whole = {name: weight.full_tensor() for name, weight in model.named_parameters()}
        assert all((whole[name] != 0).equal(mask) for name, mask in masks.items())


def test_a_model_in_fsdp1_is_to_be_pruned_before():
    kind = type("FullyShardedDataParallel", (nn.Sequential,), {})
    with pytest.raises(ValueError, match="wrapped in FSDP, which flattens weights"):
        snip.prunable(kind(nn.Linear(4, 3)))


def test_processes_that_would_each_make_masks_are_refused(one_process, monkeypatch):
    model, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.arange(6) % 3
    scores, spread = snip.sensitivity(model, x, y), nn.parallel.DistributedDataParallel(model)
    alone = snip.sensitivity(spread, x, y)
    assert all(alone[f"module.{name}"].equal(score) for name, score in scores.items())
    monkeypatch.setattr(spread, "process_group", SimpleNamespace(size=lambda: 2))
    with pytest.raises(ValueError, match=r"masks of its own, .* score model\.module in one"):
        snip.sensitivity(nn.Sequential(spread), x, y)
    assert snip.sensitivity(model, x, y)["weight"].equal(scores["weight"])


def test_offloaded_weights_are_refused_and_nothing_is_left_behind():
    model, x, y = Leaver(), torch.randn(6, 4), torch.arange(6) % 3
    model.spare = nn.Parameter(torch.ones(2, device="meta"))  # in no layer
    snip.sensitivity(model, x, y)
    assert model.passes == 0
    model.head.to("meta")
    with pytest.raises(ValueError, match=r"head\.weight is on the meta device, without values"):
        snip.sensitivity(model, x, y)


# --------------------------------------------------------------------- what a pass leaves behind


class Leaver(nn.Module):
    """A network that keeps things of its passes wherever it can."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 3)
        self.cache, self.past, self.names = {"nested": {}, "own": 1}, [], set()
        self.register_buffer("passes", torch.zeros(()))
        self.plain, self.hooked, self.seen = torch.zeros(2), False, 0
        self.calls, self.input_shape = Counter(forward=2), 4  # a shape that says nothing to us
        self.generator = torch.Generator().manual_seed(3)

    def forward(self, x):
        if not self.hooked:
            self.body.register_forward_hook(lambda *_: setattr(self, "seen", self.seen + 1))
            self.hooked = True
        h = self.body(x)
        self.cache["nested"]["h"], self.cache["new"] = h, h
        self.past.append(h)
        self.names.add("h")
        self.passes += 1
        self.calls["forward"] += 1
        self.plain.add_(1)
        torch.rand(1, generator=self.generator)
        self.last = h
        self.add_module("extra", nn.Linear(1, 1))
        self.register_buffer("late", torch.ones(1))
        return self.head(h.relu())


@pytest.mark.parametrize("norm", ["running", "batch"])
def test_nothing_of_a_pass_stays_in_the_model(norm):
    model, x, y = Leaver(), torch.randn(6, 4), torch.arange(6) % 3
    cache, past = model.cache, model.past

    def assert_untouched():
        assert model.cache is cache and cache == {"nested": {}, "own": 1}
        assert model.past is past and past == [] and model.names == set()
        assert model.passes == 0 and not model.plain.any() and model.seen == 0
        assert not model.hooked and not model.body._forward_hooks
        assert not hasattr(model, "last") and not hasattr(model, "extra")
        assert "late" not in model._buffers and model.calls == {"forward": 2}
        fresh = torch.Generator().manual_seed(3)
        assert torch.equal(model.generator.get_state(), fresh.get_state())
        copy.deepcopy(model)

    masks = snip.keep_top(snip.sensitivity(model, x, y, norm=norm), 0.5)
    assert_untouched()
    assert snip.collapsed(model, masks, x) == []
    assert_untouched()
    masks["head.weight"][:] = False
    assert snip.collapsed(model, masks, x) == ["head.weight", "no path from input to output"]
    assert_untouched()
    model(x)
    assert model.seen == 1  # hooks once, not twice


# ------------------------------------------------------------------------- closures and losses


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.embed = nn.Embedding(9, 8)
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.head, self.reentrant = nn.Linear(8, 3), reentrant

    def forward(self, x):
        h = self.embed(x).mean(1)
        for block in self.blocks:
            if self.reentrant is None:
                h = block(h).tanh()
            else:
                run = lambda t, block=block: block(t).tanh()  # noqa: E731
                h = torch.utils.checkpoint.checkpoint(run, h, use_reentrant=self.reentrant)
        return self.head(h)


def test_blocks_in_checkpoints_are_scored_or_refused_by_name():
    scores, x, y = {}, torch.randint(9, (6, 4)), torch.arange(6) % 3
    for reentrant in (None, False):
        torch.manual_seed(0)
        scores[reentrant] = snip.sensitivity(Checkpointed(reentrant), x, y, exclude=nn.Embedding)
    for name, score in scores[None].items():
        torch.testing.assert_close(score, scores[False][name])
    assert scores[None]["blocks.0.weight"].any()
    with pytest.raises(ValueError, match=r"reentrant=True\) .* blocks.0.weight, blocks.0.bias"):
        snip.sensitivity(Checkpointed(True), x, y, exclude=nn.Embedding)


@pytest.mark.parametrize(
    ("closure", "error", "message"),
    [
        (lambda model: None, TypeError, "gave NoneType for a loss"),
        (lambda model: {"loss": model.weight.sum()}, TypeError, "gave dict for a loss"),
        (lambda model: iter(()), ValueError, "the closure gave no loss"),
        (lambda model: [], ValueError, "the closure gave no loss"),
        (lambda model: model.weight, TypeError, r"gave \(2, 2\) for a loss"),
        (lambda model: iter([3.0]), TypeError, "gave float for a loss"),
        (
            lambda model: model.weight.sum().detach(),
            ValueError,
            "does not depend on any weight, or was computed without gradients",
        ),
        (lambda model: model.weight.sum() / 0, FloatingPointError, "the loss is NaN or Inf$"),
    ],
)
def test_closures_that_give_no_loss(closure, error, message):
    model = nn.Linear(2, 2)
    with pytest.raises(error, match=message):
        snip.sensitivity_of(model, lambda: closure(model))


def test_losses_of_one_pass_are_returned_as_a_list():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    x, y = torch.randn(6, 8), torch.arange(6) % 3

    def losses():
        inner = model[:2](x)
        return [F.cross_entropy(model[2](inner), y), inner.pow(2).mean()]

    whole = snip.sensitivity_of(model, lambda: sum(losses()))
    for closure in (losses, lambda: tuple(losses()), lambda: iter([losses()])):
        torch.testing.assert_close(snip.sensitivity_of(model, closure), whole)
    with pytest.raises(ValueError, match=r"share a forward pass: .* as a list"):
        snip.sensitivity_of(model, lambda: iter(losses()))


def test_a_closure_that_calls_backward_is_told():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))

    def closure(**options):
        loss = F.cross_entropy(model(torch.ones(2, 4)), torch.tensor([0, 1]))
        loss.backward(**options)
        return loss

    own = model[0].weight.grad = torch.ones(4, 4)
    with pytest.raises(ValueError, match=r"the closure called backward\(\)"):
        snip.sensitivity_of(model, closure)
    snip.sensitivity_of(model, lambda: closure(retain_graph=True))
    assert model[0].weight.grad is own and own.eq(1).all() and model[2].weight.grad is None
    model[0].bias.requires_grad_(False)
    snip.sensitivity_of(model, lambda: model.double()(torch.ones(2, 4).double()).sum())
    assert model[0].weight.grad.equal(own.double()) and not model[0].bias.requires_grad
    with pytest.raises(TypeError, match="the closure is a Tensor"):
        snip.sensitivity_of(model, torch.ones(()))


def test_a_detector_that_has_losses_in_training_alone():
    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
            self.head = nn.Conv2d(2, 1, 1)

        def forward(self, x, y=None):
            out = self.head(self.backbone(x))
            return {"loss": (out - y).square().mean()} if self.training else [out]

    torch.manual_seed(0)
    model, x, y = Detector(), torch.randn(2, 1, 6, 6), torch.randn(2, 1, 4, 4)

    def closure():
        model.training = True
        return model(x, y)["loss"]

    scores = snip.sensitivity_of(model, closure)
    twin = copy.deepcopy(model).eval()
    assert_explicit(scores, twin, lambda run: (run(x)[0] - y).square().mean())
    assert not model.backbone[1].running_mean.any() and model.training


@pytest.mark.parametrize("size", [1, 2, 3])
def test_labels_that_are_passed_over_do_not_count_in_chunks(size):
    """One chunk has all its labels, one a few, one none."""
    torch.manual_seed(0)
    model, x = nn.Linear(4, 3), torch.randn(6, 4)
    y = torch.tensor([0, 1, 2, -100, -100, -100])
    whole, chunked = snip.sensitivity(model, x, y), snip.sensitivity(model, x, y, chunk_size=size)
    for name, score in whole.items():
        torch.testing.assert_close(chunked[name], score)
    with pytest.raises(ValueError, match="all labels are -100"):
        snip.sensitivity(model, x, torch.full((6,), -100), chunk_size=size)


@pytest.mark.parametrize(
    ("y", "loss"),
    [
        (torch.arange(32).view(2, 4, 4) % 3, F.cross_entropy),
        (torch.arange(32).view(2, 4, 4) % 4 - 1, partial(F.cross_entropy, ignore_index=-1)),
        (torch.full((2, 4, 4), -100).index_fill(2, torch.tensor([1]), 2), F.cross_entropy),
        (torch.rand(2, 3, 4, 4).softmax(1), F.cross_entropy),
        (torch.arange(32).view(2, 4, 4) % 3, nn.CrossEntropyLoss(torch.tensor([1.0, 2, 3]))),
    ],
    ids=["pixels", "ignored", "ignored by default", "soft", "weighted"],
)
def test_targets_that_cross_entropy_takes(y, loss):
    torch.manual_seed(0)
    model, x = nn.Conv2d(2, 3, 3), torch.randn(2, 2, 6, 6)
    scores = snip.sensitivity(model, x, y, loss=loss)
    assert_explicit(scores, model, lambda run: loss(run(x), y))


def test_targets_of_another_loss_are_refused_by_the_default():
    x, tags = torch.randn(6, 4), torch.tensor([[1.0, 1, 0], [0, 0, 0]]).repeat(3, 1)
    signed = torch.tensor([[1.5, -0.5, 0.0]]).repeat(6, 1)
    for y in (tags, torch.randn(6, 3), signed):  # of several labels, of a regression, of signs
        with pytest.raises(ValueError, match=r"must be probabilities, .* by loss=… what the loss"):
            snip.sensitivity(nn.Linear(4, 3), x, y)
        snip.sensitivity(nn.Linear(4, 3), x, y, loss=F.mse_loss)
    model = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    for y in (torch.rand(6), torch.ones(6).long()):
        with pytest.raises(ValueError, match=r"gives shape \(6,\), no logits .* by loss=…"):
            snip.sensitivity(model, x, y)


def test_sensitivities_whose_sum_is_beyond_float32():
    """Each of 2,500 is 3e36, and float32 ends at 3.4e38."""
    model, x, y = nn.Linear(50, 50, bias=False), torch.ones(1, 50), torch.zeros(1, 50)
    nn.init.ones_(model.weight)
    loss = lambda output, _: 3e36 * (output - output.detach()).sum()  # noqa: E731
    scores = snip.sensitivity(model, x, y, loss=loss)
    torch.testing.assert_close(scores["weight"], torch.full((50, 50), 1 / 2500))


def test_what_no_gradient_reaches_is_said():
    """A branch that adds nothing at first, as in ResNets whose last gain is 0."""

    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(x + self.branch(x))

    model, x, y = Branch(), torch.randn(6, 4), torch.arange(6) % 3
    snip.sensitivity(model, x, y)  # no warning
    nn.init.zeros_(model.branch[1].weight)
    with pytest.warns(UserWarning, match=r"1 of the weights score 0 .*: branch\.0\.weight") as said:
        scores = snip.sensitivity(model, x, y)
    assert said[0].filename == __file__ and not scores["branch.0.weight"].any()
    snip.sensitivity(model, x, y, exclude="branch")


def test_what_stops_all_gradients_is_named():
    x, y = torch.randn(6, 4), torch.arange(6) % 3
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))
    with torch.no_grad():
        model[2].weight.zero_()
        model[2].bias.zero_()
    with pytest.raises(ValueError, match=r"2\.weight has only zeros, .* draw its weights"):
        snip.sensitivity(model, x, y)
    with torch.no_grad():
        model[2].weight.fill_(1)
        model[0].bias.fill_(-100)  # all units dead
    with pytest.raises(ValueError, match=r"so are all gradients: the signal dies .* norm='batch'"):
        snip.sensitivity(model, x, y, exclude="2.bias")


def test_a_model_prepared_for_quantisation_is_as_it_was():
    """Its observers resize their buffers in the first pass; to put them back raised, and lost the
    gradients."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).train()
    model.qconfig = torch.ao.quantization.get_default_qat_qconfig("x86")
    with warnings.catch_warnings(action="ignore"):
        model = torch.ao.quantization.prepare_qat(model)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    before = copy.deepcopy(model.state_dict())
    x, y = torch.randn(6, 4), torch.arange(6) % 3
    masks = snip.keep_top(snip.sensitivity(model, x, y), 0.5)
    (text,) = snip.collapsed(model, masks, x)  # its kernels take no double precision
    assert text.startswith("cannot tell whether a path leads from input to output")
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(weight.grad.eq(1).all() for weight in model.parameters())


def test_complex_inputs_are_scored_and_checked():
    class Parts(nn.Module):
        def forward(self, x):
            return torch.view_as_real(x).flatten(1)

    x, y = torch.randn(6, 4, dtype=torch.complex64), torch.arange(6) % 3
    model = nn.Sequential(Parts(), nn.Linear(8, 3))
    assert snip.sensitivity(model, x, y)["1.weight"].sum() > 0
    x[2, 1] = complex(0, math.nan)
    with pytest.raises(ValueError, match="the inputs hold NaN"):
        snip.sensitivity(model, x, y)


def test_logits_with_the_classes_last_are_told_how_to_be_scored():
    model, tokens = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 9)), torch.randint(9, (4, 7))
    with pytest.raises(ValueError, match=r"score with loss=lambda .*movedim\(-1, 1\)"):
        snip.sensitivity(model, tokens, tokens, exclude="0")
    x, y = torch.randn(4, 8), torch.zeros(4, dtype=torch.int32)  # only the type is wrong
    with pytest.raises(ValueError, match=r"or probabilities of shape \(4, 9\)$"):
        snip.sensitivity(model[1], x, y)
    loss = lambda output, y: F.cross_entropy(output.movedim(-1, 1), y)  # noqa: E731
    assert snip.sensitivity(model, tokens, tokens, exclude="0", loss=loss)["1.weight"].sum() > 0


def test_a_frozen_backbone_is_not_copied(monkeypatch):
    """Only the head is scored; a copy of the rest would be as large as the model."""
    model = nn.Sequential(nn.Linear(300, 300), nn.ReLU(), nn.Linear(300, 3))
    model[0].requires_grad_(False)
    copied, clone = [], torch.Tensor.clone
    monkeypatch.setattr(
        torch.Tensor, "clone", lambda t, **how: copied.append(t.numel()) or clone(t, **how)
    )
    snip.sensitivity(model, torch.randn(6, 300), torch.arange(6) % 3, exclude="0")
    assert max(copied, default=0) < 90_000
