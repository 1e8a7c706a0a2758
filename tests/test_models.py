"""The networks of the tables: they learn, dense and pruned; what scoring may cut; precision."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import snipcore as snip
import sniplab as lab

KINDS = (  # the smallest of each kind: what shows that the kind learns
    *("lenet-300-100", "lenet-5-caffe", "alexnet-s", "vgg-c", "resnet-18", "squeezenet-bypass"),
    *("googlenet", "densenet-121", "wrn-16-8", "lstm-s", "gru-s"),
)


@pytest.fixture(scope="module")
def images(digits):
    """512 images for each kind of network: MNIST digits, and the same as CIFAR-10 is shaped."""
    with pytest.MonkeyPatch.context() as patch, pytest.warns(UserWarning, match="going on with"):
        patch.setattr(
            lab.data, "_from_torchvision", lambda *_: (_ for _ in ()).throw(OSError("none"))
        )
        rgb = lab.load_data("cifar10", root="/nowhere", device=digits.x_train.device)

    def few(data):
        train = {"x_train": data.x_train[:512], "y_train": data.y_train[:512]}
        return dataclasses.replace(data, **train, x_test=data.x_test[:20], y_test=data.y_test[:20])

    return {"mnist": few(digits), "cifar10": few(rgb)}


def built(name):
    """The network by name; of the wide kind one a quarter as wide, a sixteenth of the work."""
    if name == "wrn-16-8":
        return snip.initialize(snip.wide_resnet(16, 2, 10), "vs", seed=0)
    return snip.build_model(name)


def masks_of(model, name, x, y):
    return lab.make_masks(model, "snip", snip.MODELS[name].sparsity or 0.9, x, y, seed=0)


LARGE = ("alexnet-s", "vgg-c", "resnet-18", "densenet-121")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LARGE)) for n in KINDS]
)
def test_every_kind_of_network_is_scored_and_learns_its_batch_when_pruned(name, images, device):
    """Of one batch of eight images the loss falls, on kept weights alone."""
    model, data = built(name).to(device), images[snip.MODELS[name].dataset]
    x, y = data.x_train[:8], data.y_train[:8]
    scores = snip.sensitivity(model, x, y)
    assert all(score.any() for score in scores.values() if score.ndim > 1)  # each weight counts
    masks = snip.keep_top(scores, snip.MODELS[name].sparsity or 0.9)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    snip.hold(optimizer, model, masks)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        losses.append(F.cross_entropy(model(x), y))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    for key, weight in snip.prunable(model).items():
        assert not weight[~masks[key]].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in snip.MODELS if name not in KINDS])
def test_the_mask_of_every_other_network_leaves_a_path(name, images, device):
    model, data = snip.build_model(name).to(device), images[snip.MODELS[name].dataset]
    masks = masks_of(model, name, data.x_train[:8], data.y_train[:8])
    assert snip.collapsed(model, masks, data.x_train[:8]) == []


LARGE = ("vgg-c", "resnet-18", "wrn-16-8")  # minutes: they learn pruned alone


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "method"),
    [(n, m) for n in KINDS for m in ("snip", "dense") if m == "snip" or n not in LARGE],
)
def test_every_kind_of_network_learns_at_the_published_rate(name, method, images, device):
    spec, model = snip.MODELS[name], built(name).to(device)
    data, masks = images[spec.dataset], None
    if method == "snip":
        masks = masks_of(model, name, data.x_train[:32], data.y_train[:32])
        assert snip.collapsed(model, masks, data.x_train[:32]) == []
    # The published shape: the linear schedule would spend two of twenty steps on its warm-up.
    recipe = dataclasses.replace(lab.recipe_for(name, 20, 1), batch_size=64, schedule="stages")
    history = lab.train(model, data, recipe, masks)
    assert np.isfinite(history.loss).all()
    assert history.loss[-5:].mean() < history.loss[:5].mean()


@pytest.mark.parametrize("name", KINDS)
def test_another_number_of_classes(name):
    with torch.device("meta"):
        model, ten = snip.MODELS[name].build(7), snip.MODELS[name].build(10)
        assert model(torch.zeros(2, *snip.MODELS[name].input_shape)).shape == (2, 7)
    # The parameters that a class brings: its row of the last layer, and its bias.
    *_, weight, _ = snip.prunable(model).values()
    m = sum(w.numel() for w in snip.prunable(ten).values())
    assert sum(w.numel() for w in snip.prunable(model).values()) == m - 3 * (weight[0].numel() + 1)


def test_batch_statistics_cut_squeezenet_and_running_ones_do_not(images, device):
    model = snip.build_model("squeezenet-vanilla").to(device)
    x, y = images["cifar10"].x_train[:64], images["cifar10"].y_train[:64]
    cut = snip.collapsed(model, lab.make_masks(model, "snip", 0.95, x, y, 0, "batch"), x)
    assert cut[-1] == "no path from input to output" and len(cut) > 1
    assert all(name in snip.prunable(model) for name in cut[:-1])
    kept = lab.make_masks(model, "snip", 0.95, x, y, 0, "running")
    assert snip.collapsed(model, kept, x) == []


def test_a_result_says_how_it_was_scored_and_tested(tmp_path, device):
    """On a network whose masks depend on the kind of statistics."""
    recipe = dataclasses.replace(lab.recipe_for("squeezenet-vanilla", 1, 1), batch_size=8)
    common = {"model": "squeezenet-vanilla", "recipe": recipe, "sparsity": 0.95, "test_images": 10}
    configs = [lab.Config(**common, scoring_batch=16, norm=norm) for norm in ("batch", "running")]
    with pytest.warns(UserWarning, match="going on with|cut their network"):
        rows = lab.run_grid(configs, tmp_path / "rows.csv", n_jobs=1, device=device)
    assert rows.norm.tolist() == ["batch", "running"] and rows.masks.nunique() == 2
    assert set(rows.error) <= {10.0 * wrong for wrong in range(11)}  # ten test images
    assert set(rows.trained_in) <= {"float32", "bfloat16"} and (rows.precision == "auto").all()


# ------------------------------------------------------------------------------------- precision


def dtypes_seen(recipe, images, device):
    """The types of a convolution's, a normalisation's and the loss's numbers in a training run."""
    model, seen = snip.build_model("squeezenet-vanilla").to(device), {}
    convolution, norm = model[0][0], model[0][1]
    convolution.register_forward_hook(lambda *call: seen.update(product=call[2].dtype))
    norm.register_forward_hook(lambda *_: seen.update(statistics=norm.running_mean.dtype))
    history = lab.train(model, images["cifar10"], recipe)
    weights = {weight.dtype for weight in model.parameters()}
    return history, seen | {"weights": weights}


@pytest.mark.parametrize(
    ("precision", "units", "product"),
    [
        ("float32", True, torch.float32),
        ("bfloat16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
    ],
)
def test_the_precision_is_that_asked_for_or_what_the_processor_has(
    precision, units, product, images, device, monkeypatch
):
    monkeypatch.setattr(lab.training, "has_bfloat16", lambda device: units)
    recipe = lab.Recipe(2, batch_size=8, checkpoints=1, precision=precision)
    history, seen = dtypes_seen(recipe, images, device)
    assert seen["product"] == product and str(product) == f"torch.{history.precision}"
    assert seen["statistics"] == torch.float32 and seen["weights"] == {torch.float32}
    assert history.loss.dtype == np.float32


def test_bfloat16_learns_as_float32_does(images, device):
    losses = []
    for precision in ("float32", "bfloat16"):
        recipe = lab.Recipe(20, batch_size=32, lr=0.02, checkpoints=1, precision=precision)
        history = lab.train(snip.build_model("lenet-5-caffe"), images["mnist"], recipe)
        losses.append(history.loss)
    assert losses[0][-5:].mean() < 0.7 * losses[0][:5].mean()
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.25)
    assert not np.array_equal(*losses)


# ------------------------------------------------------------------------------------- bad input


def test_one_image_has_no_batch_statistics(images, device):
    data = images["cifar10"]
    model = snip.build_model("squeezenet-vanilla").to(device)
    x, y = data.x_train[:3], data.y_train[:3]
    for images_, chunk in ((1, None), (3, 2), (2, 1)):
        with pytest.raises(ValueError, match="one image cannot be normalised"):
            snip.sensitivity(model, x[:images_], y[:images_], "batch", chunk_size=chunk)
    assert snip.sensitivity(model, x[:1], y[:1], norm="running")
    with pytest.raises(ValueError, match="take two or more"):
        lab.train(model, data, lab.Recipe(1, batch_size=1, checkpoints=1))
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10)).to(device)
    assert snip.sensitivity(linear, x[:1], y[:1])  # nothing is normalised


@pytest.mark.slow
def test_images_too_small_name_the_smallest():
    y = torch.zeros(2).long()
    for name, takes in (
        ("squeezenet-vanilla", r"\(batch, 3, 32, 32\) or larger"),
        ("vgg-d", r"\(batch, 3, 32, 32\)$"),
        ("gru-s", r"\(batch, 1, 28, 28\)$"),
    ):
        model = snip.build_model(name)
        with pytest.raises(ValueError, match=takes):
            snip.sensitivity(model, torch.zeros(2, model.snip_input_shape[0], 16, 16), y)
    larger = torch.randn(2, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    assert snip.sensitivity(snip.build_model("squeezenet-vanilla"), larger, y)
    with pytest.raises(ValueError, match=r"\(batch, 3, 32, 32\)"):
        snip.sensitivity(snip.build_model("vgg-d"), larger, y)
