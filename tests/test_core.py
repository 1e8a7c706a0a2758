"""The networks' counts and initial weights, against numbers got another way."""

import dataclasses
import math
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import snipcore as snip
import sniplab as lab
from sniplab.sections import sweep

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
    assert [name for name in snip.MODELS if name in COUNTS] == list(COUNTS)  # and one's own


@pytest.mark.parametrize("name", COUNTS)
def test_every_model_has_the_published_counts(name):
    with torch.device("meta"):
        model = snip.MODELS[name].build(10)
    m, kappa = COUNTS[name]
    assert sum(weight.numel() for weight in snip.prunable(model).values()) == m
    if kappa:
        assert abs(snip.kept_count(m, snip.MODELS[name].sparsity) - kappa) <= 0.5


@pytest.mark.parametrize("sparsity", [0, *sweep.ALL])
@pytest.mark.parametrize("name", ["lenet-300-100", "lenet-5-caffe"])
def test_kappa_is_exact_at_every_sparsity(name, sparsity):
    masks = snip.keep_top(lab.random_scores(snip.build_model(name), seed=0), sparsity)
    percent = round(100 * sparsity)
    kept = (COUNTS[name][0] * (100 - percent) + 50) // 100
    assert sum(int(mask.sum()) for mask in masks.values()) == kept


# ---------------------------------------------------------------------------------- initialise


@pytest.mark.parametrize(
    ("layer", "scheme", "std"),
    [
        (nn.Linear(400, 800), "vs", 1 / 20),
        (nn.Linear(400, 800), "vs-x", math.sqrt(2 / 1200)),
        (nn.Linear(400, 800), "vs-h", math.sqrt(2) / 20),
        (nn.Conv2d(16, 256, 5), "vs", 1 / 20),  # fan-in 16 · 25 = 400
        (nn.Conv2d(16, 32, 5), "vs-x", math.sqrt(2 / 1200)),  # and fan-out 32 · 25 = 800
    ],
)
def test_variance_scaling_has_the_variance_of_its_formula(layer, scheme, std):
    snip.initialize(layer, scheme, seed=0)
    assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
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


@pytest.mark.parametrize(("scheme", "total"), [("vs", 17.377876), ("tn", 152.86026)])
def test_a_seed_draws_the_same_weights_by_pytorch_2_11_and_2_14(scheme, total):
    """Of 5,000 weights: −1.94 and −17.09 with `trunc_normal_` of PyTorch 2.11."""
    layer = snip.initialize(nn.Linear(100, 50), scheme, seed=0)
    assert layer.weight.double().sum().item() == pytest.approx(total, rel=1e-6)


def test_frozen_normalisation_stays_as_it_is():
    norms = [nn.BatchNorm1d(4), nn.BatchNorm1d(4), nn.BatchNorm1d(4, affine=False)]
    model = nn.Sequential(nn.Linear(4, 4), *norms)
    for norm in norms:
        norm.running_mean.fill_(2.0)
    norms[1].requires_grad_(False)
    snip.initialize(model, "vs", seed=0)
    assert [norm.running_mean[0].item() for norm in norms] == [0, 2, 0]


def test_a_frozen_recurrent_layer_stays_as_it_is():
    """Its biases, which are not prunable, were set all the same."""
    gru = nn.GRU(3, 2)
    model = nn.Sequential(gru, nn.Linear(2, 2))
    gru.requires_grad_(False)
    before = {name: weight.clone() for name, weight in gru.named_parameters()}
    snip.initialize(model, "vs", 0)
    assert all(torch.equal(weight, before[name]) for name, weight in gru.named_parameters())


@pytest.mark.parametrize("gates", [1.0, 0.0])
def test_gates_start_as_in_the_framework_of_the_reference(gates):
    """Reset and update of a GRU at 1, prunable; the forget gate of an LSTM at 1, a constant. New
    weights under a mask start alike."""
    for build in (
        lambda name: snip.build_model(name, gates=gates),
        lambda name: snip.initialize(snip.build_model(name, gates=5), "vs", 3, gates=gates),
    ):
        gru, lstm = build("gru-s").cell, build("lstm-s").cell
        assert gru.bias_ih_l0.view(3, 128)[:, 0].tolist() == [gates, gates, 0]
        assert lstm.bias_hh_l0.view(4, 128)[:, 5].tolist() == [0, gates, 0, 0]
        assert not gru.bias_hh_l0.any() and not lstm.bias_ih_l0.any()
        assert not lstm.bias_hh_l0.requires_grad
    assert "cell.bias_hh_l0" not in snip.prunable(snip.build_model("lstm-s"))


def test_every_kind_of_recurrent_layer_gets_gates_and_no_random_bias():
    lstm = snip.initialize(nn.LSTM(3, 2, num_layers=2, bidirectional=True), "vs", 0)
    for name, bias in lstm.named_parameters():
        if name.startswith("bias_hh"):
            assert bias.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert snip.initialize(nn.GRUCell(3, 2), "vs", 0).bias_ih.tolist() == [1, 1, 1, 1, 0, 0]
    assert not snip.initialize(nn.RNNCell(3, 2), "vs", 0).bias_hh.any()


@pytest.mark.parametrize("name", ["lstm-s", "gru-s"])
def test_a_recurrent_model_trains_one_bias_vector_alone(name, digits):
    model = snip.build_model(name)
    before = model.cell.bias_hh_l0.clone()
    lab.train(model, digits, lab.recipe_for(name, 3, 1))
    model.cpu()
    assert torch.equal(model.cell.bias_hh_l0, before)
    assert not torch.equal(model.cell.bias_ih_l0, snip.build_model(name).cell.bias_ih_l0)


def test_building_follows_the_seed_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    first, again, other = (snip.build_model("lenet-300-100", seed=s) for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.fc1.weight, again.fc1.weight)
    assert not torch.equal(first.fc1.weight, other.fc1.weight)


def test_two_parameters_in_one_memory_are_refused():
    """A decoder tied to its encoder by a transpose, or to an embedding by a second parameter; but
    not the parts, or the columns, of one tensor."""
    a, b = nn.Linear(6, 4), nn.Linear(4, 6)
    b.weight = nn.Parameter(a.weight.t())
    model = nn.Sequential(a, b)
    with pytest.raises(
        ValueError, match=r"0\.weight and 1\.weight are two parameters in one memory"
    ):
        snip.prunable(model)
    assert "1.weight" not in snip.prunable(model, exclude="1.weight")
    flat, wide = torch.zeros(48), torch.zeros(8, 16)
    a.weight, b.weight = (nn.Parameter(flat[i : i + 24]) for i in (0, 24))
    assert len(snip.prunable(model)) == 4
    a.weight, b.weight = (nn.Parameter(wide[:, i : i + 8]) for i in (0, 8))
    assert len(snip.prunable(model)) == 4
    embed, head = nn.Embedding(9, 4), nn.Linear(4, 9)
    head.weight = nn.Parameter(embed.weight)
    with pytest.raises(ValueError, match=r"are two parameters in one memory"):
        snip.prunable(nn.Sequential(embed, head))
    head.weight = embed.weight
    assert list(snip.prunable(nn.Sequential(embed, head))) == ["1.bias"]
    several = nn.Module()  # the weight is a part of `whole`, and lies behind another part of it
    several.whole, several.part = nn.Parameter(flat), nn.Parameter(flat[6:12])
    several.layer = nn.Linear(6, 4, bias=False)
    several.layer.weight = nn.Parameter(flat[24:48].view(4, 6))
    with pytest.raises(ValueError, match=r"whole and layer\.weight are two parameters in one"):
        snip.prunable(several)
    with torch.device("meta"):  # where all lie at 0
        assert len(snip.prunable(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))) == 4


def weight_normed(layer):
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return nn.utils.weight_norm(layer)


@pytest.mark.parametrize(
    "computed",
    [
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
        lambda: nn.utils.parametrizations.orthogonal(nn.Linear(4, 4)),
        lambda: weight_normed(nn.Conv1d(4, 4, 1)),
        lambda: prune.identity(nn.Linear(4, 4), "weight"),
        lambda: prune.identity(nn.Linear(4, 4), "bias"),
        lambda: nn.utils.parametrizations.weight_norm(nn.GRU(4, 4), "weight_hh_l0"),
    ],
)
def test_a_parametrised_weight_is_refused_by_name(computed):
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(computed()))
    with pytest.raises(ValueError, match=r"the weight of layer 1\.0 is parametrised"):
        snip.prunable(model)
    norm = nn.BatchNorm1d(4)
    norm.running_mean.fill_(3)
    with pytest.raises(ValueError, match="parametrised"):
        snip.initialize(nn.Sequential(norm, model), "vs", seed=0)
    assert (norm.running_mean == 3).all()  # nothing is changed before


def test_a_layer_may_keep_tensors_of_its_own():
    layer = nn.Linear(4, 3)
    layer.class_weights = torch.ones(3)
    assert list(snip.prunable(layer)) == ["weight", "bias"]


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
@pytest.mark.parametrize("kind", ["lazy", "lazy normalisation", "scripted"])
def test_layers_that_cannot_be_looked_into_are_named(kind):
    layer = {
        "lazy": lambda: nn.LazyLinear(4),
        "lazy normalisation": nn.LazyBatchNorm1d,
        "scripted": lambda: torch.jit.script(nn.Linear(4, 4)),
    }[kind]()
    with pytest.raises(ValueError, match="layer '1' is scripted, or has no shape before a first"):
        snip.prunable(nn.Sequential(nn.Linear(4, 4), layer))
    if kind != "scripted":
        layer(torch.ones(2, 4))
        assert len(snip.prunable(nn.Sequential(nn.Linear(4, 4), layer))) >= 2


def test_normalisation_of_every_kind_is_reset():
    layers = [nn.BatchNorm1d(3), nn.GroupNorm(3, 3), nn.LayerNorm(3), nn.RMSNorm(3)]
    model = nn.Sequential(nn.Linear(3, 3), *layers)
    for layer in layers:
        nn.init.constant_(layer.weight, 7)
    snip.initialize(model, "vs", 0)
    assert all((layer.weight == 1).all() for layer in layers)


def test_attention_is_four_linear_maps():
    names = list(snip.prunable(nn.MultiheadAttention(8, 2)))
    assert names == ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]


def test_what_initialise_leaves_alone_is_drawn_by_the_seed_too(monkeypatch):
    """An embedding, say, in a network of one's own."""

    def network(classes):
        return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, classes))

    spec = dataclasses.replace(snip.MODELS["lenet-300-100"], build=network)
    monkeypatch.setitem(snip.MODELS, "mine", spec)
    tables = []
    for seed in (0, 0, 1):
        state = torch.random.get_rng_state()
        tables.append(snip.build_model("mine", seed=seed)[0].weight)
        assert torch.equal(torch.random.get_rng_state(), state)
        torch.rand(1)
    assert torch.equal(tables[0], tables[1]) and not torch.equal(tables[0], tables[2])


def test_what_is_no_device_is_refused():
    with pytest.raises(ValueError, match="device 'gpu': 'cpu', 'cuda' or"):
        snip.pick_device("gpu")


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match=r"unknown model 'lenet'; known: .*lenet-300-100, "):
        snip.build_model("lenet")
    with pytest.raises(ValueError, match="unknown initialiser 'he'; known: rn, tn, vs, vs-x, vs-h"):
        snip.build_model("lenet-300-100", init="he")
    with pytest.raises(ValueError, match="unknown norm 'initial'; known: running, batch"):
        snip.sensitivity(nn.Linear(2, 2), torch.zeros(1, 2), torch.zeros(1).long(), norm="initial")
    with pytest.raises(ValueError, match="unknown method 'grasq'; known: dense, snip"):
        lab.make_masks(nn.Linear(2, 2), "grasq", 0.5, torch.zeros(1, 2), torch.zeros(1).long(), 0)


def test_an_empty_layer_is_initialised_too():
    with warnings.catch_warnings(action="ignore"):  # PyTorch has nothing to draw for them
        layers = nn.Linear(0, 2), nn.Linear(3, 0)
    for empty in layers:
        for scheme in snip.INITIALIZERS:
            model = nn.Sequential(nn.Linear(4, 4), empty)
            snip.initialize(model, scheme, 0)
            assert model[0].weight.std() > 0 and not empty.weight.any()
