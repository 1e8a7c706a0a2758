"""The controls, and the masks of every method."""

import pytest
import torch
from torch import nn

import snipcore as snip
import sniplab as lab


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


def test_the_gradient_alone_leaves_the_weight_out(digits):
    model = snip.build_model("lenet-300-100", seed=0).to(digits.x_train.device)
    x, y = lab.draw_batch(digits, 20, seed=0)
    gradients, right = lab.methods.gradient_scores(model, x, y), snip.sensitivity(model, x, y)
    product = {n: g * snip.prunable(model)[n].abs() for n, g in gradients.items()}
    total = sum(part.sum() for part in product.values()).detach()
    for name, score in right.items():
        torch.testing.assert_close(product[name].detach() / total, score, rtol=1e-4, atol=1e-9)
    assert gradients["fc1.bias"].any() and not right["fc1.bias"].any()  # they start at 0


def test_rescaling_gives_a_layer_its_variance_back():
    model = snip.build_model("lenet-300-100", seed=0)
    x = torch.randn(500, 784, generator=torch.Generator().manual_seed(0))
    before = model.fc1(x).detach().std()
    masks = lab.make_masks(model, "rescaled", 0.9, x, None, seed=0)
    assert lab.digest(masks) == lab.digest(lab.make_masks(model, "random", 0.9, x, None, seed=0))
    lab.methods.rescale(model, masks)
    snip.apply_masks(model, masks)
    torch.testing.assert_close(model.fc1(x).detach().std(), before, rtol=0.1, atol=0)


def test_biases_may_be_left_out_of_the_count(digits):
    model = snip.build_model("lenet-300-100").to(digits.x_train.device)
    x, y = lab.draw_batch(digits, 20, seed=0)
    masks = lab.make_masks(model, "snip", 0.9, x, y, seed=0, biases=False)
    assert list(masks) == list(snip.prunable(model))
    assert all(mask.all() for mask in masks.values() if mask.ndim == 1)
    kept = sum(int(mask.sum()) for mask in masks.values() if mask.ndim > 1)
    assert kept == round(0.1 * (784 * 300 + 300 * 100 + 100 * 10))


def test_a_chunk_is_never_one_image():
    """1,001 images in passes of at most 1,000: one alone could not be normalised."""
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
    x, y = torch.randn(1001, 2, generator=torch.Generator().manual_seed(0)), torch.arange(1001) % 3
    masks = lab.make_masks(model, "snip", 0.5, x, y, seed=0, norm="batch")
    assert sum(int(mask.sum()) for mask in masks.values()) == round(27 / 2)
    with pytest.raises(ValueError, match="one image cannot"):
        lab.make_masks(model, "snip", 0.5, x[:1], y[:1], seed=0, norm="batch")
