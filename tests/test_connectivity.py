"""Effective sparsity: kept weights on a path from input to output, by hand and against others."""

import pytest
import torch
from conftest import full_masks
from torch import nn

import snipcore as snip
import sniplab as lab
from sniplab.connectivity import effective_fraction, effective_masks


def bools(rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.bool)


def masks_of(model: nn.Module, **kept) -> dict[str, torch.Tensor]:
    """Masks that keep all but of what is named: `a_weight=…` is of the parameter "a.weight"."""
    return full_masks(model) | {
        name.replace("_", ".", 1): bools(mask) for name, mask in kept.items()
    }


def named(**layers) -> nn.Sequential:
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    return model


@pytest.fixture
def chain():
    """Three linear layers of 2-3-2-2 units."""
    return named(a=nn.Linear(2, 3), r=nn.ReLU(), b=nn.Linear(3, 2), s=nn.ReLU(), c=nn.Linear(2, 2))


def test_a_weight_needs_an_input_before_it_and_an_output_behind_it(chain):
    masks = masks_of(
        chain,
        # Unit 1 has no inputs; unit 2 has one and leads nowhere.
        a_weight=[[1, 0], [0, 0], [0, 1]],
        b_weight=[[1, 1, 0], [0, 1, 0]],  # unit 1 is fed by the constant alone
        c_weight=[[1, 1], [0, 1]],  # output 1 hangs on it
        a_bias=[1, 1, 1],
        b_bias=[0, 1],
    )
    found = effective_masks(chain, masks, torch.zeros(1, 2))
    assert torch.equal(found["a.weight"], bools([[1, 0], [0, 0], [0, 0]]))
    assert torch.equal(found["b.weight"], bools([[1, 0, 0], [0, 0, 0]]))
    assert torch.equal(found["c.weight"], bools([[1, 0], [0, 0]]))
    # Of the biases, those of units with inputs that lead to an output, where they are kept.
    assert torch.equal(found["a.bias"], bools([1, 0, 0]))
    assert torch.equal(found["b.bias"], bools([0, 0]))
    assert torch.equal(found["c.bias"], bools([1, 0]))
    assert effective_fraction(chain, masks, torch.zeros(1, 2)) == 5 / 14


def test_what_has_no_mask_is_kept_whole(chain):
    some = {"b.weight": bools([[1, 0, 0], [0, 0, 1]])}
    found = effective_masks(chain, some, torch.zeros(1, 2))
    assert list(found) == ["b.weight"] and found["b.weight"].equal(some["b.weight"])


def test_masks_count_and_weights_do_not(chain):
    """Weights of 0, or so small that their product is, and negative ones lead on all the same."""
    with torch.no_grad():
        for name, weight in snip.prunable(chain).items():
            weight.fill_(1e-30 if name.startswith("a") else -1e-30)
        chain.c.weight[0] = 0
    before = {name: weight.clone() for name, weight in chain.state_dict().items()}
    assert effective_fraction(chain, full_masks(chain), torch.zeros(7, 2)) == 1
    assert all(torch.equal(before[name], weight) for name, weight in chain.state_dict().items())
    assert chain.training and all(weight.requires_grad for weight in chain.parameters())
    assert not any(layer._forward_hooks for layer in chain.modules())


def test_of_a_kernel_only_what_meets_the_image_is_effective():
    """3×3 on one pixel with padding: its centre; with stride 2 on 2×2: what is not padding."""
    model = named(a=nn.Conv2d(1, 2, 3, 2, padding=1), b=nn.Conv2d(2, 1, 3, padding=1))
    found = effective_masks(model, full_masks(model), torch.zeros(1, 1, 2, 2))
    inner = bools([[0, 0, 0], [0, 1, 1], [0, 1, 1]])
    centre = bools([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert all(torch.equal(kernel, inner) for kernel in found["a.weight"][:, 0])
    assert all(torch.equal(kernel, centre) for kernel in found["b.weight"][0])
    # A filter that only keeps what meets the padding has no inputs.
    a_weight = [[inner.logical_not().tolist()], [inner.tolist()]]
    found = effective_masks(model, masks_of(model, a_weight=a_weight), torch.zeros(1, 1, 2, 2))
    assert found["a.weight"].sum(dim=(1, 2, 3)).tolist() == [0, 4]
    assert torch.equal(found["b.weight"].sum(dim=(0, 2, 3)), torch.tensor([0, 1]))
    assert torch.equal(found["a.bias"], bools([0, 1]))


def test_a_network_that_takes_no_float64_is_named_as_such():
    class Fixed(nn.Linear):
        def forward(self, x):
            return super().forward(x @ torch.eye(2))

    model = named(a=nn.Linear(2, 2), b=Fixed(2, 1))
    with pytest.raises(ValueError, match=r"cannot follow the paths: .*dtype"):
        effective_fraction(model, full_masks(model), torch.zeros(1, 2))


def test_a_network_that_refuses_the_probe_is_named_as_such():
    class Careful(nn.Linear):
        def forward(self, x):
            assert x.any(), "an empty image"
            return super().forward(x)

    model = named(a=Careful(2, 2), b=nn.Linear(2, 1))
    with pytest.raises(ValueError, match="cannot follow the paths: an empty image"):
        effective_fraction(model, full_masks(model), torch.ones(1, 2))


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveMaxPool2d(1)])
def test_pooling_leads_back_to_the_whole_window(pool):
    """One pixel, which each of four outputs sees through one place of the kernel: a maximum takes
    one of these."""
    model = named(a=nn.Conv2d(1, 1, 2, padding=1), p=pool, f=nn.Flatten(), b=nn.LazyLinear(1))
    model(torch.zeros(1, 1, 1, 1))
    found = effective_masks(model, full_masks(model), torch.zeros(1, 1, 1, 1))
    assert found["a.weight"].all()  # of its 2×2 outputs, each sees the pixel through one weight


def test_a_normalised_unit_without_inputs_is_a_constant():
    model = named(a=nn.Linear(1, 2), n=nn.BatchNorm1d(2), s=nn.Sigmoid(), b=nn.Linear(2, 1))
    with torch.no_grad():
        model.n.weight.neg_()
        model.n.bias.fill_(1)
    found = effective_masks(model, masks_of(model, a_weight=[[1], [0]]), torch.zeros(1, 1))
    assert torch.equal(found["b.weight"], bools([[1, 0]]))
    assert torch.equal(found["a.bias"], bools([1, 0]))


def test_a_residual_block_is_passed_by():
    block = snip.BasicBlock(1, 2, 2)
    model = named(a=nn.Conv2d(1, 1, 1), block=block, b=nn.Conv2d(2, 1, 1))
    masks = full_masks(model)
    masks["block.residual.1.weight"] = torch.zeros(2, 2, 3, 3, dtype=torch.bool)
    found = effective_masks(model, masks, torch.zeros(1, 1, 4, 4))
    # Its second convolution keeps nothing, so its first leads nowhere; channel 1 of its output is
    # padding that nothing is added to.
    assert not found["block.residual.0.0.weight"].any()
    assert found["a.weight"].all()
    assert found["b.weight"].flatten().tolist() == [True, False]


def test_concatenated_channels_keep_their_places():
    fire = snip.Fire(1, 1, 1, False)
    model = named(fire=fire, b=nn.Conv2d(2, 2, 1))
    masks = full_masks(model)
    masks["b.weight"] = bools([[1, 0], [0, 0]]).view(2, 2, 1, 1)  # of `expand_1` alone
    found = effective_masks(model, masks, torch.zeros(1, 1, 3, 3))
    assert found["fire.expand_1.0.weight"].all() and found["fire.squeeze.0.weight"].all()
    assert not found["fire.expand_3.0.weight"].any()


@pytest.mark.parametrize("cell", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_recurrent_unit_is_reached_through_any_gate_and_any_step(cell):
    """Two units. Unit 0 hears the input through its last gate alone, unit 1 hears unit 0 a step
    later through its first; the output reads unit 1."""
    model = snip.RowReader(cell, 2, 1)
    gates = model.cell.weight_ih_l0.shape[0] // 2
    masks = {name: torch.zeros_like(mask) for name, mask in full_masks(model).items()}
    masks["embed.weight"][0, 5] = True
    masks["cell.weight_ih_l0"][2 * (gates - 1), 0] = True  # input 0 → unit 0, last gate
    masks["cell.weight_hh_l0"][1, 0] = True  # unit 0 → unit 1, first gate
    masks["cell.weight_hh_l0"][0, 1] = True  # unit 1 → unit 0: back, so on a path, too
    masks["cell.bias_ih_l0"][:] = True
    masks["classify.weight"][0, 1] = True
    x = torch.zeros(1, 1, 28, 28)
    found = effective_masks(model, masks, x)
    weights = [name for name in masks if name.endswith(("weight", "weight_ih_l0", "weight_hh_l0"))]
    assert all(torch.equal(found[name], masks[name]) for name in weights)
    reached = {0, 1, 2 * (gates - 1)}  # of the biases, those of gates with inputs
    assert set(found["cell.bias_ih_l0"].nonzero().flatten().tolist()) == reached
    assert found["classify.bias"].sum() == 0  # it was not kept
    masks["classify.weight"] = bools([[1, 0]])  # now unit 0: the way through unit 1 is a detour
    assert effective_masks(model, masks, x)["cell.weight_hh_l0"].sum() == 2
    masks["cell.weight_hh_l0"][0, 1] = False  # and then a dead end
    assert not effective_masks(model, masks, x)["cell.weight_hh_l0"].any()


@pytest.mark.parametrize("name", ["lenet-5-caffe", "squeezenet-bypass", "gru-s"])
def test_nothing_is_effective_where_no_path_is_left(name):
    """As `collapsed` finds it in another way, by NaN."""
    model = snip.build_model(name)
    x = torch.zeros(2, *snip.MODELS[name].input_shape)
    verdicts = set()
    for sparsity in (0.9, 0.9997):
        masks = lab.make_masks(model, "random", sparsity, x, None, seed=0)
        path = "no path from input to output" not in snip.collapsed(model, masks, x)
        found = effective_masks(model, masks, x)
        assert any(bool(mask.any()) for mask in found.values()) == path
        assert all(bool((masks[name] >= mask).all()) for name, mask in found.items())
        verdicts.add(path)
    assert verdicts == {True, False}


FAMILIES = ("lenet-5-caffe", "alexnet-s", "squeezenet-bypass")
FAMILIES += ("googlenet-full", "lstm-s", "gru-s")
LARGE = ("vgg-c", "resnet-18", "densenet-121", "wrn-16-8")
FAMILIES += tuple(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_whole_network_is_effective(name):
    """But for what only ever meets the padding, where images have shrunk to a few pixels: the same
    places of all kernels of a layer, never their centre."""
    model = snip.build_model(name)
    x = torch.zeros(1, *snip.MODELS[name].input_shape)
    lost = set()
    for key, mask in effective_masks(model, full_masks(model), x).items():
        if not mask.all():
            assert torch.equal(mask, mask[:1, :1].expand_as(mask)), key
            assert mask[0, 0, mask.shape[2] // 2, mask.shape[3] // 2], key
            lost.add((*mask.shape[2:], int(mask[0, 0].sum())))
    shrunk = {
        "alexnet-s": {(3, 3, 4)},  # of stride 2 on 2×2 pixels
        "googlenet-full": {(5, 5, 9), (3, 3, 1), (5, 5, 1)},  # on 2×2 pixels, then on one
        "densenet-121": {(3, 3, 1)},  # on one pixel
    }
    assert lost == shrunk.get(name, set())


def test_random_masks_lose_a_tenth_and_those_of_snip_next_to_nothing(digits):
    """SNIP leaves 99 % of what it keeps at 95 % on a path, random pruning much less."""
    model = snip.build_model("lenet-300-100").to(digits.x_train.device)
    x, y = lab.draw_batch(digits, 100, seed=0)
    share = {
        method: effective_fraction(model, lab.make_masks(model, method, 0.95, x, y, 0), x)
        for method in ("snip", "shuffled", "random")
    }
    assert share["random"] < 0.9 < 0.97 < share["snip"] < 1 and share["shuffled"] > 0.99


def test_what_cannot_be_followed_is_said():
    x = torch.zeros(1, 2, 2)

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(2, 2)

        def forward(self, x):
            return torch.sigmoid(self.a(x))

    model = Functional()
    with pytest.raises(ValueError, match="something comes out though nothing goes in"):
        effective_masks(model, full_masks(model), x)
    model = named(a=nn.Linear(2, 2))
    with pytest.raises(ValueError, match="do not fit"):
        effective_masks(model, {}, x)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (nn.LSTM(2, 2, num_layers=2), "stacked"),
        (nn.GRU(2, 2, bidirectional=True), "stacked, bidirectional"),
        (nn.LSTM(3, 3, proj_size=2), "stacked, bidirectional or projected"),
        (nn.GRUCell(2, 2), "a GRUCell"),
        (nn.MultiheadAttention(2, 1), "a MultiheadAttention"),
        (nn.MaxPool2d(2, dilation=2), "pooling with gaps"),
    ],
)
def test_layers_whose_paths_are_not_followed_are_named(layer, why):
    model = named(a=layer, b=nn.Linear(2, 2))
    with pytest.raises(ValueError, match=f"through a: {why}"):
        effective_masks(model, full_masks(model), torch.zeros(1, 2))


def test_masks_of_what_is_not_prunable_are_refused_by_name():
    """A method of one's own may mask normalisation, too: its row then has no effective share."""
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    x, y = torch.randn(6, 4), torch.arange(6) % 3
    masks = snip.keep_top(snip.sensitivity(model, x, y, include=nn.BatchNorm1d), 0.5)
    with pytest.raises(ValueError, match=r"through 1\.bias, 1\.weight: not prunable"):
        effective_masks(model, masks, x)
