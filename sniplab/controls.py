"""The controls that the paper left out, each a way of making masks, and how masks are told apart.

Frankle, Dziugaite, Roy & Carbin. Pruning neural networks at initialization: why are we missing the
mark? ICLR 2021, arXiv:2009.08576.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from snipcore import check_known, generator_for, keep_top, prunable, sensitivity


def random_scores(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """Control: uniform scores, so that `keep_top` prunes at random over the whole network."""
    generator = generator_for(seed, "random scores")
    return {
        name: torch.rand(weight.shape, generator=generator).to(weight.device)
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
            torch.randperm(mask.numel(), generator=generator).to(mask.device)
        ].view(mask.shape)
        for name, mask in masks.items()
    }


METHODS = ("dense", "snip", "shuffled", "magnitude", "random")

SCORING_CHUNK = 1000  # images per pass: a batch of the whole train split needs no more memory


def make_masks(
    model: nn.Module,
    method: str,
    sparsity: float,
    x: Tensor,
    y: Tensor,
    seed: int,
    norm: str = "running",
) -> dict[str, Tensor] | None:
    """The masks of one of METHODS; None for "dense". Arguments as for `sensitivity`, `keep_top`."""
    check_known(method, METHODS, "method")
    if method == "dense":
        return None
    if method == "random":
        return keep_top(random_scores(model, seed), sparsity)
    if method == "magnitude":
        return keep_top(magnitude_scores(model), sparsity)
    # One image less a pass where the last would be of one: batch statistics need two.
    chunk = SCORING_CHUNK - (len(x) % SCORING_CHUNK == 1)
    masks = keep_top(sensitivity(model, x, y, norm, chunk), sparsity)
    return shuffle_masks(masks, seed) if method == "shuffled" else masks


def digest(masks: Mapping[str, Tensor]) -> str:
    """Twelve hexadecimal digits that change when any mask does: for a test to compare."""
    bits = hashlib.sha256()
    for name, mask in masks.items():
        bits.update(name.encode() + np.packbits(mask.cpu().numpy()).tobytes())
    return bits.hexdigest()[:12]
