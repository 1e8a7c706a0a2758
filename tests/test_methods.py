"""The controls, what came after SNIP, and the masks of every method.

Rounds are checked one by one, against values worked out by hand: in a hundred of them the last bit
of a weight decides which are left, so that no final mask is the same on all processors.
"""

import copy
import itertools
import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from conftest import full_masks
from torch import Tensor, nn

import snipcore as snip
import sniplab as lab
from sniplab import controls, pruners

CHOOSING = [name for name in lab.METHODS if name != "dense"]


def linear(*rows: list[float]) -> nn.Linear:
    """A linear layer of these weights in float64, with no biases."""
    weight = torch.tensor(rows, dtype=torch.float64)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


def images(count: int, device) -> tuple[Tensor, Tensor]:
    """For `tiny`: 8×8, of three classes in turn, in float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 2, 8, 8, dtype=torch.float64, generator=generator)
    return x.to(device), (torch.arange(count) % 3).to(device)


def near(found: Tensor, *rows) -> None:
    wanted = torch.tensor(rows, dtype=found.dtype)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=0)


# ---------------------------------------------------------------------------- every method


@pytest.mark.parametrize("method", CHOOSING)
def test_a_method_keeps_just_so_many_and_leaves_the_model_alone(tiny, device, method):
    x, y = images(30, device)
    model = tiny
    before = copy.deepcopy(model.state_dict())
    state, modes = torch.get_rng_state(), [layer.training for layer in model.modules()]
    masks = lab.make_masks(model, method, 0.8, x, y, seed=3)
    snip.check_masks(model, masks)
    assert list(masks) == list(snip.prunable(model))
    m = sum(mask.numel() for mask in masks.values())
    assert sum(int(mask.sum()) for mask in masks.values()) == round(0.2 * m)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert modes == [layer.training for layer in model.modules()]
    assert all(w.grad is None and w.requires_grad for w in model.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert lab.digest(masks) == lab.digest(lab.make_masks(model, method, 0.8, x, y, seed=3))
    weights = lab.make_masks(model, method, 0.8, x, y, seed=3, biases=False)
    assert list(weights) == list(masks)
    assert all(mask.all() for mask in weights.values() if mask.ndim == 1)
    kept = sum(int(mask.sum()) for mask in weights.values() if mask.ndim > 1)
    assert kept == round(0.2 * sum(mask.numel() for mask in weights.values() if mask.ndim > 1))


@pytest.mark.parametrize("method", CHOOSING)
def test_only_what_is_drawn_depends_on_the_seed(tiny, device, method):
    x, y = images(30, device)
    digests = {lab.digest(lab.make_masks(tiny, method, 0.8, x, y, seed)) for seed in (0, 1)}
    drawn = ("random", "rescaled", "erk", "uniform", "permuted-labels")
    assert len(digests) == 1 + (method in drawn or method.startswith("shuffled"))


# ------------------------------------------------------------------------------- controls


def test_random_scores_are_drawn_from_a_stream_of_their_own():
    """From that of the weights, say, scores would be tied to their sizes."""
    first = lab.random_scores(snip.build_model("lenet-300-100"), 5)["fc1.weight"].flatten()[:10]
    purposes = ("random scores", "initial weights", "scoring batch", "batches", "dropout")
    streams = {p: torch.rand(10, generator=snip.generator_for(5, p)) for p in purposes}
    assert [p for p, numbers in streams.items() if numbers.equal(first)] == ["random scores"]


def test_labels_are_permuted_among_the_images_of_the_batch(tiny, device):
    x, y = images(30, device)
    permuted = controls.permute_labels(y, seed=1)
    assert torch.equal(permuted.sort()[0], y.sort()[0]) and not torch.equal(permuted, y)
    masks = lab.make_masks(tiny, "permuted-labels", 0.8, x, y, seed=1)
    assert lab.digest(masks) == lab.digest(lab.make_masks(tiny, "snip", 0.8, x, permuted, seed=9))


def test_magnitude_keeps_the_largest_weights():
    model = snip.build_model("lenet-300-100")
    masks = snip.keep_top(lab.magnitude_scores(model), 0.9)
    kept = torch.cat([w[masks[n]].abs() for n, w in snip.prunable(model).items()])
    cut = torch.cat([w[~masks[n]].abs() for n, w in snip.prunable(model).items()])
    assert kept.min() >= cut.max() and len(kept) == 26_661


def test_the_gradient_alone_leaves_the_weight_out(digits):
    model = snip.build_model("lenet-300-100", seed=0).to(digits.x_train.device)
    x, y = lab.draw_batch(digits, 20, seed=0)
    gradients, right = lab.pruners.gradient_scores(model, x, y), snip.sensitivity(model, x, y)
    product = {n: g * snip.prunable(model)[n].abs() for n, g in gradients.items()}
    total = sum(part.sum() for part in product.values()).detach()
    for name, score in right.items():
        torch.testing.assert_close(product[name].detach() / total, score, rtol=1e-4, atol=1e-9)
    assert gradients["fc1.bias"].any() and not right["fc1.bias"].any()  # they start at 0


@torch.no_grad()
def test_the_gradient_alone_of_what_is_not_used_is_0(digits):
    class Spare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = snip.build_model("lenet-300-100"), torch.nn.Linear(3, 3)

        def forward(self, x):
            return self.used(x)

    model = Spare().to(digits.x_train.device)
    x, y = lab.draw_batch(digits, 20, 0)
    scores = lab.pruners.gradient_scores(model, x, y)
    assert not scores["unused.weight"].any() and scores["used.fc1.weight"].any()
    with pytest.raises(ValueError, match="with running statistics only"):
        lab.make_masks(model, "gradient", 0.5, x, y, seed=0, norm="batch")


@pytest.mark.parametrize("name", ["gradient_scores", "masked_sensitivity"])
def test_a_score_is_that_of_parts_added_up(digits, monkeypatch, name):
    model = snip.build_model("lenet-300-100", seed=0).to(digits.x_train.device)
    x, y = lab.draw_batch(digits, 20, seed=0)
    score = getattr(pruners, name)
    masks = [full_masks(model)] * (name == "masked_sensitivity")
    whole = score(model, *masks, x, y)
    monkeypatch.setattr(pruners, "SCORING_CHUNK", 8)  # the last part has 4
    for key, part in score(model, *masks, x, y).items():
        torch.testing.assert_close(part, whole[key], rtol=1e-4, atol=1e-7)


def test_a_chunk_is_never_one_image():
    """1,001 images in passes of at most 1,000: one alone could not be normalised."""
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
    x, y = torch.randn(1001, 2, generator=torch.Generator().manual_seed(0)), torch.arange(1001) % 3
    masks = lab.make_masks(model, "snip", 0.5, x, y, seed=0, norm="batch")
    assert sum(int(mask.sum()) for mask in masks.values()) == round(27 / 2)
    with pytest.raises(ValueError, match="one image cannot"):
        lab.make_masks(model, "snip", 0.5, x[:1], y[:1], seed=0, norm="batch")


# -------------------------------------------------------------------- random, layer by layer


def test_erk_makes_layers_that_would_exceed_one_dense_and_solves_the_rest_again():
    shapes = {"a": (100, 100), "b": (10, 100), "c": (8, 4, 3, 3)}
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    # Σ dims / Π dims · size = Σ dims: 200, 110, 18.
    found = controls.erk_density(shapes, sizes, 500)
    epsilon = 500 / 328
    assert found == pytest.approx(
        {"a": epsilon * 200 / 10_000, "b": epsilon * 110 / 1000, "c": epsilon * 18 / 288}
    )
    # ε = 4888 / 328 = 14.9: b would have 1.6 of its weights; the others share 3,888: ε = 17.8, and
    # c, which had 0.93 of its own, exceeds 1, too: a has the other 3,600 of 10,000.
    assert controls.erk_density(shapes, sizes, 4888) == pytest.approx({"a": 0.36, "b": 1, "c": 1})
    assert controls.erk_density(shapes, sizes, 11_288) == pytest.approx({"a": 1, "b": 1, "c": 1})


def test_erk_and_uniform_densities_arrive_in_the_masks():
    model = snip.build_model("lenet-300-100")
    x = torch.zeros(1, 1, 28, 28)
    masks = lab.make_masks(model, "erk", 0.98, x, None, seed=0, biases=False)
    epsilon = 0.02 * 266_200 / (1084 + 400 + 110)
    for name, dims in (("fc1", 1084), ("fc2", 400), ("fc3", 110)):
        assert abs(int(masks[f"{name}.weight"].sum()) - epsilon * dims) < 1
    masks = lab.make_masks(model, "erk", 0.98, x, None, seed=0)  # a bias is as dense as its layer
    densities = [float(mask.float().mean()) for mask in masks.values()]
    assert densities[0] == pytest.approx(densities[1], abs=1 / 300)
    assert densities[4] == pytest.approx(densities[5], abs=1 / 10)
    masks = lab.make_masks(model, "uniform", 0.95, x, None, seed=0)
    counts = [int(mask.sum()) for mask in masks.values()]
    assert counts in ([11_760, 15, 1500, 5, 50, 1], [11_760, 15, 1500, 5, 50, 0])
    assert sum(counts) in (13_330, 13_331)


# ----------------------------------------------------------------------- shuffles


@pytest.fixture
def mask_of_a_convolution() -> Tensor:
    """6 filters, 5 channels, 3×3 places, denser from filter to filter and channel to channel."""
    draws = torch.rand(6, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    rising = torch.linspace(0.05, 0.9, 6).view(6, 1, 1, 1)
    return draws < rising * torch.linspace(0.2, 1, 5).view(1, 5, 1, 1)


@pytest.mark.parametrize(
    ("shuffle", "kept", "changed"),
    [
        (controls.shuffle_masks, [(0, 1, 2, 3)], [(1, 2, 3), (0, 2, 3)]),
        (controls.shuffle_within_units, [(1, 2, 3)], [(0, 2, 3)]),
        (controls.shuffle_within_inputs, [(0, 2, 3)], [(1, 2, 3)]),
        (controls.shuffle_degrees, [(1, 2, 3), (0, 2, 3)], [(0, 1), (2, 3)]),
    ],
)
def test_a_shuffle_keeps_the_counts_it_says_and_no_others(
    mask_of_a_convolution, shuffle, kept, changed
):
    before = mask_of_a_convolution.contiguous(memory_format=torch.channels_last)
    masks = {"conv.weight": before, "fc.weight": before[..., 0, 0], "fc.bias": before[:, 0, 0, 0]}
    whole = {name: mask.clone() for name, mask in masks.items()}
    shuffled = shuffle(masks, seed=0)
    assert all(torch.equal(masks[name], mask) for name, mask in whole.items())
    after = shuffled["conv.weight"]
    for dims in kept:  # summed over filters (0), channels (1) or places (2, 3)
        assert torch.equal(before.sum(dims), after.sum(dims))
    for dims in changed:
        assert not torch.equal(before.sum(dims), after.sum(dims))
    for dims in {dims[0] for dims in kept if len(dims) == 3}:
        assert torch.equal(masks["fc.weight"].sum(dims), shuffled["fc.weight"].sum(dims))
    assert not torch.equal(masks["fc.weight"], shuffled["fc.weight"])
    assert masks["fc.bias"].sum() == shuffled["fc.bias"].sum()
    by_units = (1, 2, 3) in kept  # each has its bias, or not, as before
    assert not by_units or torch.equal(masks["fc.bias"], shuffled["fc.bias"])
    assert lab.digest(shuffled) == lab.digest(shuffle(masks, seed=0))
    assert lab.digest(shuffled) != lab.digest(shuffle(masks, seed=1))


@pytest.mark.parametrize(
    ("mask", "states"),
    [
        (torch.eye(3), 6),  # the permutations of three
        (torch.eye(2).view(2, 2, 1, 1) * torch.tensor([1.0, 0.0]), 8),  # 2, times places 2 × 2
        (torch.tensor([[1.0, 1, 0], [1, 0, 1]]), 2),  # what both have stays
    ],
)
def test_degree_preserving_shuffles_are_uniform(mask, states):
    masks, draws = {"a.weight": mask.bool()}, 400
    found = Counter(
        tuple(controls.shuffle_degrees(masks, seed, trades=12)["a.weight"].flatten().tolist())
        for seed in range(draws)
    )
    assert len(found) == states
    spread = 5 * math.sqrt(draws / states)
    assert all(abs(count - draws / states) < spread for count in found.values())


def test_a_hundred_trades_are_enough(digits):
    """As much of the mask is left in place after them as after two hundred."""
    model = snip.build_model("lenet-300-100").to(digits.x_train.device)
    x, y = lab.draw_batch(digits, 100, seed=0)
    masks = lab.make_masks(model, "snip", 0.98, x, y, seed=0)
    some = {"fc1.weight": masks["fc1.weight"][:100]}  # a third of its units: trades take time

    def left(trades: int) -> float:
        (before,), (after,) = some.values(), controls.shuffle_degrees(some, 0, trades).values()
        return float((after & before).sum() / before.sum())

    assert left(2) > left(100) + 0.2
    assert left(100) == pytest.approx(left(200), abs=0.03)


# ------------------------------------------------------------------------------- in rounds


def test_each_round_removes_the_same_share_of_what_is_left():
    model = nn.Linear(100, 10, bias=False)
    seen = []

    def score(masks):
        seen.append(masks["weight"])
        return {"weight": torch.arange(1000.0).view(10, 100)}

    masks = pruners.keep_in_rounds(model, score, 0.99, biases=True, rounds=4)
    assert [int(mask.sum()) for mask in seen] == [1000, 316, 100, 32]  # 1000 · 0.01^(k/4)
    assert masks["weight"].flatten().nonzero().flatten().tolist() == list(range(990, 1000))


def test_what_is_pruned_ranks_below_what_is_live_and_scores_nothing():
    """Three of six after the first round; in the second the live ones score 0, the others 9."""
    model = nn.Linear(6, 1, bias=False)
    seen = []

    def score(masks):
        seen.append(masks["weight"].flatten().tolist())
        first = torch.tensor([[1.0, 0, 3, 0, 5, 0]])
        return {"weight": first if len(seen) == 1 else torch.where(masks["weight"], 0.0, 9.0)}

    how = {"biases": True, "rounds": 2}
    masks = pruners.keep_in_rounds(model, score, 0.75, **how)  # 3, then 2 (of 1.5)
    assert seen[1] == [True, False, True, False, True, False]
    assert masks["weight"].flatten().tolist() == [True, False, True, False, False, False]
    seen.clear()
    masks = pruners.keep_in_rounds(model, score, 0.75, revive=True, **how)
    assert masks["weight"].flatten().tolist() == [False, True, False, True, False, False]


# ---------------------------------------------------------------- iterative SNIP and FORCE


def test_the_scores_of_iterative_snip_and_of_force_by_hand():
    """Two inputs, two classes: ∂L/∂W = (p − y) xᵀ, with p of the logits that the mask leaves."""
    model = linear([1.0, 2.0], [0.5, -1.0])
    x, y = torch.tensor([[3.0, 1.0]], dtype=torch.float64), torch.tensor([0])
    masks = {"weight": torch.tensor([[True, False], [True, True]])}
    # Logits 3 and 0.5; p of class 1 is 1 / (1 + e^2.5) = q; rows of the gradient −q x and q x.
    # |w̄ ∂L/∂w| / q: 3, 2 (2 · 1, of the pruned one), 1.5, 1: 7.5 in all.
    found = pruners.masked_sensitivity(model, masks, x, y)["weight"]
    near(found, [3 / 7.5, 2 / 7.5], [1.5 / 7.5, 1 / 7.5])
    assert model.weight.tolist() == [[1.0, 2.0], [0.5, -1.0]]


def test_masked_sensitivity_is_that_of_the_pruned_network(tiny, device):
    x, y = images(12, device)
    for norm in ("running", "batch"):
        right = snip.sensitivity(tiny, x, y, norm)
        found = pruners.masked_sensitivity(tiny, full_masks(tiny), x, y, norm)
        for name, score in right.items():
            torch.testing.assert_close(found[name], score, rtol=1e-4, atol=1e-9)
        masks = snip.keep_top(right, 0.7)
        pruned = copy.deepcopy(tiny)
        snip.apply_masks(pruned, masks)
        right = snip.sensitivity(pruned, x, y, norm)
        found = pruners.masked_sensitivity(tiny, masks, x, y, norm)
        live = sum(float(found[name][mask].sum()) for name, mask in masks.items())
        for name, mask in masks.items():
            torch.testing.assert_close(
                found[name][mask] / live, right[name][mask], rtol=1e-3, atol=1e-9
            )
    with pytest.raises(ValueError, match="one image cannot"):
        pruners.masked_sensitivity(tiny, masks, x[:1], y[:1], norm="batch")


def test_iterative_snip_only_takes_away_and_force_brings_back(digits, monkeypatch):
    model = snip.build_model("lenet-300-100").to(digits.x_train.device)
    x, y = lab.draw_batch(digits, 100, seed=0)
    monkeypatch.setattr(pruners.keep_in_rounds, "__defaults__", (False, 5))
    seen, real = [], pruners.masked_sensitivity

    def watch(model, masks, **how):
        seen.append(masks)
        return real(model, masks, **how)

    monkeypatch.setattr(pruners, "masked_sensitivity", watch)
    for method in ("iterative-snip", "force"):
        seen.clear()
        lab.make_masks(model, method, 0.98, x, y, seed=0)
        pairs = itertools.pairwise(seen)
        back = sum(int((new[n] & ~old[n]).sum()) for old, new in pairs for n in old)
        assert len(seen) == 5 and (back > 0) == (method == "force")


@pytest.mark.slow
def test_rounds_are_chaotic_where_one_is_not(digits):
    """A relative 10⁻⁶ on the weights: why no test compares final masks."""
    x, y = lab.draw_batch(digits, 100, seed=0)
    model = snip.build_model("lenet-300-100").to(x.device)
    nudged = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in snip.prunable(nudged).values():
            weight.mul_(1 + 1e-6 * torch.randn(weight.shape, generator=generator).to(x.device))
    same = {}
    for method in ("snip", "iterative-snip"):
        one, two = (lab.make_masks(net, method, 0.98, x, y, seed=0) for net in (model, nudged))
        both = sum(int((one[name] & two[name]).sum()) for name in one)
        same[method] = both / sum(int(mask.sum()) for mask in one.values())
        for name, mask in one.items():
            assert int(two[name].sum()) == pytest.approx(int(mask.sum()), rel=0.2, abs=5)
    assert same["iterative-snip"] < 0.9 < 0.99 < same["snip"]


# --------------------------------------------------------------------------------- SynFlow


def test_synflow_of_two_layers_by_hand():
    """R = Σ_j |v_j| Σ_i |w_ji|: a weight carries |w_ji v_j|, a unit's output all that comes in."""
    model = nn.Sequential(linear([1.0, -2.0], [3.0, 4.0]), nn.ReLU(), linear([-5.0, 0.5]))
    scores = pruners.synflow_scores(model, full_masks(model), (2,))
    near(scores["0.weight"], [5.0, 10.0], [1.5, 2.0])
    near(scores["2.weight"], [15.0, 3.5])
    masks = full_masks(model)
    masks["0.weight"][0, 1] = False
    scores = pruners.synflow_scores(model, masks, (2,))
    near(scores["0.weight"], [5.0, 0.0], [1.5, 2.0])
    near(scores["2.weight"], [5.0, 3.5])
    assert model[0].weight.tolist() == [[1.0, -2.0], [3.0, 4.0]]
    # In rounds: 6, 5, … 1 weights of 6. 1.5 goes first, then 2, and with them the flow of unit 1.
    masks = lab.make_masks(model, "synflow", 0.6, torch.zeros(9, 2), None, seed=0)  # 2 (of 2.4)
    assert masks["0.weight"].tolist() == [[False, True], [False, False]]
    assert masks["2.weight"].tolist() == [[True, False]]


def test_synflow_takes_absolute_values_of_normalisation_and_does_not_train_it():
    norm = nn.BatchNorm1d(1, eps=0.0, dtype=torch.float64)
    model = nn.Sequential(linear([3.0, -1.0]), norm, linear([2.0]))
    with torch.no_grad():
        for tensor, value in ((norm.weight, -5.0), (norm.bias, -7.0)):
            tensor.fill_(value)
        norm.running_mean.fill_(-1.0)
        norm.running_var.fill_(4.0)
    scores = pruners.synflow_scores(model, full_masks(model), (2,))
    # (4 − 1) / 2 · 5 + 7 = 14.5 comes out of the normalisation; a weight carries |w| · 5 / 2 · 2.
    near(scores["0.weight"], [15.0, 5.0])
    near(scores["2.weight"], [29.0])
    assert norm.weight.item() == -5 and norm.running_mean.item() == -1
    assert norm.training and norm.num_batches_tracked == 0


def test_synflow_conserves_flow_through_layers_and_empties_none(digits):
    model = snip.build_model("lenet-300-100")
    scores = pruners.synflow_scores(model, full_masks(model), (1, 28, 28))
    flows = [float(scores[f"{name}.weight"].sum()) for name in ("fc1", "fc2", "fc3")]
    assert flows == pytest.approx([flows[0]] * 3, rel=1e-12)
    assert all(score.dtype == torch.float64 for score in scores.values())
    x = torch.zeros(1, 1, 28, 28)
    masks = lab.make_masks(model, "synflow", 0.999, x, None, seed=0)
    counts = [int(mask.sum()) for mask in masks.values() if mask.ndim > 1]
    assert sum(counts) == 267 and min(counts) > 30  # once, without rounds, a layer is emptied
    assert snip.collapsed(model, masks, x) == []
    with pytest.raises(ValueError, match="not for recurrent networks"):
        lab.make_masks(snip.build_model("gru-s"), "synflow", 0.9, x, None, seed=0)


# ----------------------------------------------------------------------------------- GraSP


def test_grasp_of_one_weight_a_class_by_hand():
    """Logits w x / T: g = q x/T · (−1, 1), H = q (1 − q) (x/T)² · [[1, −1], [−1, 1]], with q the
    softmax of the wrong class; so H g = 2 q² (1 − q) (x/T)³ · (−1, 1), and S = −w ⊙ H g."""
    model = linear([1.0], [3.0])
    x, y = torch.tensor([[2.0]], dtype=torch.float64), torch.tensor([0])
    for temperature in (1.0, 200.0):
        q = 1 / (1 + math.exp(-(3 - 1) * 2 / temperature))
        size = 2 * q**2 * (1 - q) * (2 / temperature) ** 3
        scores = pruners.grasp_scores(model, x, y, temperature=temperature)["weight"]
        near(scores, [1.0 * size], [-3.0 * size])
    # The largest goes: the weight of the right class, whose loss would make the gradient grow.
    assert lab.make_masks(model, "grasp", 0.5, x, y, seed=0)["weight"].tolist() == [[False], [True]]


def test_a_grasp_score_is_what_removal_adds_to_half_the_squared_gradient(tiny):
    """By finite differences, in training mode, whatever the running statistics."""
    tiny = tiny.cpu()
    x, y = images(12, "cpu")
    scores = pruners.grasp_scores(tiny, x, y)

    def half_square(model: nn.Module) -> float:
        twin = copy.deepcopy(model).train()
        for layer in twin.modules():
            if isinstance(layer, nn.Dropout):
                layer.eval()
        weights = list(snip.prunable(twin).values())
        gradients = torch.autograd.grad(F.cross_entropy(twin(x) / 200, y), weights)
        return sum(float(g.square().sum()) for g in gradients) / 2

    step = 1e-4
    for name, weight in snip.prunable(tiny).items():
        place = int(scores[name].abs().argmax())
        kept = weight.data.flatten()[place].item()
        sides = []
        for part in (1 - step, 1 + step):
            weight.data.view(-1)[place] = part * kept
            sides.append(half_square(tiny))
        weight.data.view(-1)[place] = kept
        slope = (sides[0] - sides[1]) / (2 * step)
        assert slope == pytest.approx(float(scores[name].flatten()[place]), rel=1e-4, abs=1e-16)
    with torch.no_grad():
        for layer in tiny.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_var.fill_(9.0)
    again = pruners.grasp_scores(tiny.eval(), x, y)
    assert all(torch.equal(score, again[name]) for name, score in scores.items())


def test_without_biases_grasp_is_of_weights_alone():
    model = nn.Sequential(linear([1.0], [3.0]))
    model[0].bias = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    x, y = torch.tensor([[2.0]], dtype=torch.float64), torch.tensor([0])
    alone = pruners.grasp_scores(linear([1.0], [3.0]), x, y)["weight"]
    scores = pruners.grasp_scores(model, x, y, biases=False)
    assert torch.equal(scores["0.weight"], alone) and not scores["0.bias"].any()
    assert not torch.equal(pruners.grasp_scores(model, x, y)["0.weight"], alone)


def test_grasp_takes_ten_images_of_a_class_and_no_more(digits):
    y = torch.tensor([0, 1, 0, 0, 1, 2])
    x, kept = pruners.first_of_each_class(torch.arange(6), y, 2)
    assert x.tolist() == [0, 1, 2, 4, 5] and kept.tolist() == [0, 1, 0, 1, 2]
    model = snip.build_model("lenet-300-100").to(digits.x_train.device)
    x, y = lab.draw_batch(digits, 400, seed=0)
    first = pruners.first_of_each_class(x, y, 10)
    assert len(first[1]) == 100
    masks = lab.make_masks(model, "grasp", 0.9, x, y, seed=0)
    scores = {name: -score for name, score in pruners.grasp_scores(model, *first).items()}
    assert lab.digest(masks) == lab.digest(lab.keep(scores, 0.9, biases=True))


def test_the_temperature_of_grasp_matters(digits):
    model = snip.build_model("lenet-300-100").to(digits.x_train.device)
    x, y = lab.draw_batch(digits, 100, seed=0)
    counts = []
    for temperature in (200.0, 1.0):
        scores = pruners.grasp_scores(model, x, y, temperature=temperature)
        masks = snip.keep_top({name: -score for name, score in scores.items()}, 0.98)
        counts.append([int(mask.sum()) for mask in masks.values() if mask.ndim > 1])
    assert abs(counts[0][0] - counts[1][0]) > 100


@pytest.mark.parametrize("name", ["lstm-s", "gru-s"])
def test_recurrent_networks_have_second_derivatives(name):
    model = snip.build_model(name)
    x = torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    masks = lab.make_masks(model, "grasp", 0.9, x, torch.arange(20) % 10, seed=0)
    assert all(mask.any() for mask in masks.values() if mask.ndim > 1)
