"""The controls that the paper left out, each a way of making masks, and how masks are told apart.

Frankle, Dziugaite, Roy & Carbin. Pruning neural networks at initialization: why are we missing the
mark? ICLR 2021, arXiv:2009.08576.
"""

import copy
import hashlib
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snipcore import check_known, generator_for, keep_top, prunable, sensitivity


def random_scores(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """Control: uniform scores, so that `keep_top` prunes at random over the whole network."""
    generator = generator_for(seed, "random scores")
    return {
        name: torch.rand(weight.shape, generator=generator, device="cpu").to(weight.device)
        for name, weight in prunable(model).items()
    }


def magnitude_scores(model: nn.Module) -> dict[str, Tensor]:
    """Control: |w| as drawn, so that `keep_top` prunes by magnitude at initialisation."""
    return {name: weight.detach().abs() for name, weight in prunable(model).items()}


def shuffle_masks(masks: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Control: as many kept in each tensor, but which ones is drawn anew."""
    generator = generator_for(seed, "shuffled masks")
    return {
        name: mask.flatten()[
            torch.randperm(mask.numel(), generator=generator, device="cpu").to(mask.device)
        ].view(mask.shape)
        for name, mask in masks.items()
    }


def gradient_scores(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """A common slip: |∂L/∂w| without the weight, in evaluation mode. x: (B, …), y: (B,)."""
    twin = copy.deepcopy(model).eval()
    weights = prunable(twin)
    gradients = torch.autograd.grad(F.cross_entropy(twin(x), y), list(weights.values()))
    return {name: g.abs() for name, g in zip(weights, gradients, strict=True)}


@torch.no_grad()
def rescale(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Multiply each weight tensor by 1/√(the fraction of it that is kept), so that what passes
    through a layer pruned at random has the variance that it would have had."""
    for name, weight in prunable(model).items():
        if weight.ndim > 1 and masks[name].any():
            weight.div_(masks[name].float().mean().sqrt())


METHODS = ("dense", "snip", "shuffled", "magnitude", "random", "rescaled", "gradient")

SCORING_CHUNK = 1000  # images per pass: a batch of the whole train split needs no more memory


def make_masks(
    model: nn.Module,
    method: str,
    sparsity: float,
    x: Tensor,
    y: Tensor,
    seed: int,
    norm: str = "running",
    biases: bool = True,
) -> dict[str, Tensor] | None:
    """The masks of one of METHODS; None for "dense". "rescaled" has those of "random".

    Arguments as for `sensitivity` and `keep_top`; without `biases`, they all stay and do not count.
    """
    check_known(method, METHODS, "method")
    if method == "dense":
        return None
    if method in ("random", "rescaled"):
        scores = random_scores(model, seed)
    elif method == "magnitude":
        scores = magnitude_scores(model)
    elif method == "gradient":
        scores = gradient_scores(model, x, y)
    else:
        # One image less a pass where the last would be of one: batch statistics need two.
        chunk = SCORING_CHUNK - (len(x) % SCORING_CHUNK == 1)
        scores = sensitivity(model, x, y, norm, chunk)
    counted = {name: score for name, score in scores.items() if biases or score.ndim > 1}
    masks = keep_top(counted, sparsity)
    masks |= {n: torch.ones_like(scores[n], dtype=bool) for n in scores.keys() - masks.keys()}
    masks = {name: masks[name] for name in scores}  # in module order
    return shuffle_masks(masks, seed) if method == "shuffled" else masks


def digest(masks: Mapping[str, Tensor]) -> str:
    """Twelve hexadecimal digits that change when any mask does: for a test to compare."""
    bits = hashlib.sha256()
    for name, mask in masks.items():
        bits.update(name.encode() + np.packbits(mask.cpu().numpy()).tobytes())
    return bits.hexdigest()[:12]
