"""Counts, initialisation, sensitivity and masks, against numbers got another way."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import snipcore as snip
import sniplab as lab

# m and κ as published; where (1 − κ̄) · m ends in .5 either neighbour is right
COUNTS = {
    "lenet-300-100": (266_610, None),
    "lenet-5-caffe": (431_080, None),
    "alexnet-s": (5_070_218, 507_022),
    "alexnet-b": (8_490_378, 849_038),
    "vgg-c": (10_526_538, 526_327),
    "vgg-d": (15_245_130, 762_256.5),
    "vgg-like": (14_982_474, 449_474),
    "resnet-18": (10_996_234, 549_812),
    "resnet-34": (21_100_682, 1_055_034),
    "squeezenet-vanilla": (740_554, 37_028),
    "squeezenet-bypass": (740_554, 37_028),
    "googlenet": (2_754_106, 137_705),
    "googlenet-full": (5_983_802, 299_190),
    "densenet-121": (4_395_114, 219_756),
    "densenet-169": (7_836_522, 391_826),
    "densenet-201": (11_099_498, 554_975),
    "densenet-264": (18_662_762, 933_138),
    "wrn-16-8": (10_958_666, 547_933),
    "wrn-16-10": (17_113_258, 855_663),
    "wrn-22-8": (17_153_610, 857_680.5),
    "lstm-s": (136_586, 6_829),
    "lstm-b": (535_306, 26_765),
    "gru-s": (103_690, 5_184.5),
    "gru-b": (403_978, 20_199),
}


def test_the_models_are_those_of_the_tables():
    assert list(snip.MODELS) == list(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_every_model_has_the_published_counts_and_can_be_scored(name, device):
    m, kappa = COUNTS[name]
    spec, model = snip.MODELS[name], snip.build_model(name).to(device)
    assert sum(weight.numel() for weight in snip.prunable(model).values()) == m
    x = torch.randn(4, *spec.input_shape, device=device)
    assert model(x).shape == (4, 10)
    scores = snip.sensitivity(model, x, torch.arange(4, device=device))
    assert all(score.any() for score in scores.values() if score.ndim > 1)  # each weight counts
    if kappa:
        masks = snip.keep_top(scores, spec.sparsity)
        assert abs(sum(int(mask.sum()) for mask in masks.values()) - kappa) <= 0.5


@pytest.mark.parametrize("sparsity", [0, *lab.ALL])
@pytest.mark.parametrize("name", ["lenet-300-100", "lenet-5-caffe"])
def test_kappa_is_exact_at_every_sparsity(name, sparsity):
    masks = snip.keep_top(lab.random_scores(snip.build_model(name), seed=0), sparsity)
    percent = round(100 * sparsity)
    kept = (COUNTS[name][0] * (100 - percent) + 50) // 100
    assert sum(int(mask.sum()) for mask in masks.values()) == kept


def test_a_recurrent_model_trains_one_bias_vector_alone(digits):
    model = snip.build_model("lstm-s")
    lab.train(model, digits, lab.recipe_for("lstm-s", 3, 1))
    assert not model.cell.bias_hh_l0.any() and model.cell.bias_ih_l0.any()


# ---------------------------------------------------------------------------------- initialise


@pytest.mark.parametrize(
    ("scheme", "std"), [("vs", 1 / 20), ("vs-x", math.sqrt(2 / 1200)), ("vs-h", math.sqrt(2) / 20)]
)
def test_variance_scaling_has_the_variance_of_its_formula(scheme, std):
    layer = nn.Linear(400, 800)
    snip.initialize(layer, scheme, seed=0)
    assert layer.weight.std().item() == pytest.approx(std, rel=0.01)
    # cut off at two standard deviations of the normal distribution that it is cut from
    assert layer.weight.abs().max().item() == pytest.approx(2 * std / 0.87962566, rel=0.01)
    assert not layer.bias.any()


def test_rn_and_tn_have_the_standard_deviation_asked_for():
    layer = nn.Linear(400, 800)
    assert snip.initialize(layer, "rn", 0).weight.std().item() == pytest.approx(1, rel=0.01)
    assert snip.initialize(layer, "tn", 0).weight.abs().max().item() <= 2
    assert snip.initialize(layer, "rn", 0, std=0.1).weight.std().item() == pytest.approx(
        0.1, rel=0.01
    )


def test_fan_in_of_a_convolution_counts_its_kernel():
    layer = snip.initialize(nn.Conv2d(16, 256, 5), "vs", seed=0)
    assert layer.weight.std().item() == pytest.approx(1 / 20, rel=0.01)


def test_building_follows_the_seed_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    first, again, other = (snip.build_model("lenet-300-100", seed=s) for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.fc1.weight, again.fc1.weight)
    assert not torch.equal(first.fc1.weight, other.fc1.weight)


# --------------------------------------------------------------------------------- sensitivity


def autograd_scores(model, x, y):
    """g of Eq. 5 with the c written out: the derivative by c of L(c ⊙ w) at c = 1."""
    weights = {name: weight.detach() for name, weight in snip.prunable(model).items()}
    c = {name: torch.ones_like(weight, requires_grad=True) for name, weight in weights.items()}
    product = {name: c[name] * weight for name, weight in weights.items()}
    loss = F.cross_entropy(torch.func.functional_call(model, product, (x,)), y)
    g = torch.autograd.grad(loss, list(c.values()))
    total = sum(part.abs().sum() for part in g)
    return {name: part.abs() / total for name, part in zip(c, g, strict=True)}


def scoring_twin(model, norm):
    """A copy of the model, set by hand to the mode that `norm` names."""
    twin = copy.deepcopy(model).eval()
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.train(norm == "batch")
    return twin


@pytest.mark.parametrize("norm", ["batch", "initial"])
def test_sensitivity_is_the_derivative_by_c(tiny, batch, norm):
    tiny[1].running_mean += 3  # "initial" must not mean "as they are now"
    scores = snip.sensitivity(tiny, *batch, norm=norm)
    expected = autograd_scores(scoring_twin(tiny, norm), *batch)
    assert list(scores) == ["0.weight", "0.bias", "5.weight", "5.bias"]
    for name, score in scores.items():
        torch.testing.assert_close(score, expected[name])
    assert sum(score.sum() for score in scores.values()).item() == pytest.approx(1)


@pytest.mark.parametrize("norm", ["batch", "initial"])
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
    whole = snip.sensitivity(tiny, *batch, norm="initial")
    chunked = snip.sensitivity(tiny, *batch, norm="initial", chunk_size=size)
    for name in whole:
        torch.testing.assert_close(chunked[name], whole[name])


def test_one_forward_and_one_backward(tiny, batch):
    calls = []
    tiny.register_forward_hook(lambda *_: calls.append("forward"))
    tiny[5].register_full_backward_hook(lambda *_: calls.append("backward"))
    snip.sensitivity(tiny, *batch)
    assert calls == ["forward", "backward"]


@pytest.mark.parametrize("norm", ["batch", "initial"])
@pytest.mark.parametrize("fails", [False, True])
def test_scoring_leaves_the_model_as_it_was(tiny, batch, norm, fails):
    tiny.train()
    tiny[4].eval()
    tiny[0].bias.requires_grad_(False)
    tiny[5].weight.grad = torch.full_like(tiny[5].weight, 7)
    tiny[1].running_mean += 1
    before, buffer = copy.deepcopy(tiny.state_dict()), tiny[1].running_mean
    x, y = batch
    if fails:
        with pytest.raises(ValueError, match="labels run from 0 to 9"):
            snip.sensitivity(
                tiny, x, y.clone().index_fill_(0, torch.tensor([3], device=y.device), 9)
            )
    else:
        snip.sensitivity(tiny, x, y, norm=norm)
    for name, value in tiny.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert tiny[1].running_mean is buffer
    assert tiny.training and tiny[1].training and not tiny[4].training
    assert not tiny[0].bias.requires_grad and tiny[0].weight.requires_grad
    assert tiny[0].weight.grad is None and (tiny[5].weight.grad == 7).all()


@pytest.mark.parametrize("norm", ["batch", "initial"])
@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(4, momentum=None),
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, track_running_stats=False),
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


def test_a_shared_tensor_counts_once():
    a, b = nn.Linear(4, 4), nn.Linear(4, 4)
    b.weight = a.weight
    assert list(snip.prunable(nn.Sequential(a, b))) == ["0.weight", "0.bias", "1.bias"]


# --------------------------------------------------------------------------------------- masks


def test_equal_scores_are_kept_by_position(device):
    scores = {"a": torch.ones(3, 5, device=device), "b": torch.ones(7, device=device)}
    masks = snip.keep_top(scores, 0.2)  # 17.6 → 18 of 22
    assert masks["a"].all() and masks["b"].tolist() == [True] * 3 + [False] * 4


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
    large["a"][3] = torch.inf
    with pytest.raises(FloatingPointError, match="NaN or Inf in the score of a"):
        snip.keep_top(large, 0.5)


@pytest.mark.parametrize("k", [1, 7, 500, 9_000, 19_999, 20_000])
@pytest.mark.parametrize("sample", ["fair", "all too large", "all too small"])
def test_the_kth_largest_is_exact_however_its_sample_came_out(k, sample, device):
    flat = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    parts = flat.split([5_000, 14_990, 10])  # views
    if sample != "fair":
        for part in parts:
            part[::256] += 5 if sample == "all too large" else -5
    expected = flat.sort(descending=True).values[k - 1]
    parts = [part.to(device) for part in (parts[0].view(50, 100), *parts[1:])]
    threshold, reached = snip._kth_largest(parts, k)
    assert threshold.item() == expected.item()
    assert reached == (flat >= expected).sum()


def test_random_scores_know_nothing_of_the_weights():
    model = snip.build_model("lenet-300-100", init="rn", seed=5)
    scores = lab.random_scores(model, seed=5)
    for name, weight in snip.prunable(model).items():
        if weight.ndim == 2:
            both = torch.stack([scores[name].flatten(), weight.detach().flatten()])
            sizes = torch.stack([both[0], both[1].abs()])
            assert both.corrcoef()[0, 1].abs() < 0.1 and sizes.corrcoef()[0, 1].abs() < 0.1


def test_magnitude_keeps_the_largest_weights():
    model = snip.build_model("lenet-300-100")
    masks = snip.keep_top(lab.magnitude_scores(model), 0.9)
    kept = torch.cat([w[masks[n]].abs() for n, w in snip.prunable(model).items()])
    cut = torch.cat([w[~masks[n]].abs() for n, w in snip.prunable(model).items()])
    assert kept.min() >= cut.max() and len(kept) == 26_661


def test_shuffling_keeps_the_count_of_every_tensor(digits):
    model = snip.build_model("lenet-300-100").to(digits.x_train.device)
    x, y = lab.draw_batch(digits, 100, seed=0)
    masks = snip.keep_top(snip.sensitivity(model, x, y), 0.9)
    shuffled = lab.shuffle_masks(masks, seed=0)
    for name, mask in masks.items():
        assert shuffled[name].shape == mask.shape and shuffled[name].sum() == mask.sum()
    assert not torch.equal(shuffled["fc1.weight"], masks["fc1.weight"])
    assert lab.digest(shuffled) != lab.digest(masks)
    assert lab.digest(shuffled) == lab.digest(lab.shuffle_masks(masks, seed=0))


def test_applying_masks_zeroes_the_pruned_and_nothing_else(tiny, batch):
    masks = snip.keep_top(snip.sensitivity(tiny, *batch), 0.7)
    before = copy.deepcopy(tiny.state_dict())
    snip.apply_masks(tiny, masks)
    for name, value in tiny.state_dict().items():
        expected = before[name] * masks[name] if name in masks else before[name]
        assert torch.equal(value, expected), name


# ----------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("sparsity", "message"),
    [(-0.1, "-0.1 is not"), (1, "1 is not"), (math.nan, "nan is not"), (90, "for 90 % write 0.9")],
)
def test_sparsity_out_of_range(sparsity, message):
    with pytest.raises(ValueError, match=message):
        snip.keep_top({"a": torch.rand(10)}, sparsity)


def test_a_kappa_of_zero():
    with pytest.raises(ValueError, match=r"keeps none of 10 parameters; the most is 0\.9"):
        snip.keep_top({"a": torch.rand(10)}, 0.96)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_no_numbers(bad):
    with pytest.raises(FloatingPointError, match="score of b"):
        snip.keep_top({"a": torch.rand(3), "b": torch.tensor([1.0, bad])}, 0.5)


def test_scores_that_are_all_zero(tiny, batch):
    with pytest.raises(ValueError, match="all scores are 0"):
        snip.keep_top({"a": torch.zeros(3)}, 0.5)
    with torch.no_grad():
        tiny[5].weight.zero_()
        tiny[5].bias.zero_()
    with pytest.raises(ValueError, match="all sensitivities are 0"):
        snip.sensitivity(tiny, *batch)


def test_unknown_names_list_the_known():
    with pytest.raises(
        ValueError, match="unknown model 'lenet'; known: lenet-300-100, lenet-5-caffe"
    ):
        snip.build_model("lenet")
    with pytest.raises(ValueError, match="unknown initialiser 'he'; known: rn, tn, vs, vs-x, vs-h"):
        snip.build_model("lenet-300-100", init="he")
    with pytest.raises(ValueError, match="unknown norm 'running'; known: batch, initial"):
        snip.sensitivity(nn.Linear(2, 2), torch.zeros(1, 2), torch.zeros(1).long(), norm="running")
    with pytest.raises(ValueError, match="unknown method 'grasp'; known: dense, snip"):
        lab.make_masks(nn.Linear(2, 2), "grasp", 0.5, torch.zeros(1, 2), torch.zeros(1).long(), 0)
    with pytest.raises(ValueError, match="unknown profile 'fast'; known: smoke, quick"):
        lab.sweep_configs("fast")


def test_batches_that_do_not_fit(tiny, batch):
    x, y = batch
    for bad_x, bad_y, message in (
        (x[:0], y[:0], "the batch is empty"),
        (x, y[:5], "12 images need as many labels"),
        (x, y - 1, "labels run from -1 to 1; the model has classes 0 to 2"),
        (x, y + 1, "labels run from 1 to 3"),
        (x, y.double(), "must be integers"),
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
    with pytest.raises(FloatingPointError, match="NaN or Inf in the sensitivity of"):
        snip.sensitivity(tiny, *batch)


def test_nothing_to_prune():
    with pytest.raises(ValueError, match="nothing to prune"):
        snip.sensitivity(nn.BatchNorm1d(3), torch.zeros(2, 3), torch.zeros(2).long())


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


@pytest.mark.parametrize("name", ["resnet-18", "densenet-121", "squeezenet-bypass", "gru-s"])
def test_whole_networks_hang_together_and_a_lost_layer_shows(name, device):
    model = snip.build_model(name).to(device)
    x = torch.zeros(1, *snip.MODELS[name].input_shape, device=device)
    masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in snip.prunable(model).items()}
    assert snip.collapsed(model, masks, x) == []
    *_, last = (n for n, mask in masks.items() if mask.ndim > 1)
    masks[last] = torch.zeros_like(masks[last])
    assert snip.collapsed(model, masks, x) == [last, "no path from input to output"]


def test_masks_that_do_not_fit(tiny, batch):
    masks = snip.keep_top(snip.sensitivity(tiny, *batch), 0.5)
    without = {name: mask for name, mask in masks.items() if name != "5.bias"}
    for bad, message in (
        (without, "do not fit; only in one of them: 5.bias"),
        ({**masks, "6.weight": masks["5.bias"]}, "only in one of them: 6.weight"),
        ({**masks, "5.bias": masks["0.bias"]}, r"the mask of 5.bias is torch.bool of shape \(4,\)"),
        ({**masks, "5.bias": masks["5.bias"].float()}, "the mask of 5.bias is torch.float32"),
    ):
        before = copy.deepcopy(tiny.state_dict())
        with pytest.raises(ValueError, match=message):
            snip.apply_masks(tiny, bad)
        assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())
