"""The table of ways to choose connections, SNIP's and the controls that the paper left out.

To add a method: write a function that makes its masks and give it a line in METHODS. `run_grid`,
tables and figures take it from there.

Frankle, Dziugaite, Roy & Carbin. Pruning neural networks at initialization: why are we missing the
mark? ICLR 2021, arXiv:2009.08576.
"""

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


SCORING_CHUNK = 1000  # images per pass: a batch of the whole train split needs no more memory


def keep(scores: Mapping[str, Tensor], sparsity: float, biases: bool) -> dict[str, Tensor]:
    """`keep_top`; without `biases`, they all stay and do not count."""
    counted = {name: score for name, score in scores.items() if biases or score.ndim > 1}
    masks = keep_top(counted, sparsity)
    masks |= {n: torch.ones_like(scores[n], dtype=bool) for n in scores.keys() - masks.keys()}
    return {name: masks[name] for name in scores}  # in module order


def snip_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """SNIP: the largest connection sensitivities (Lee, Ajanthan & Torr, Eqs. 5 and 6)."""
    # One image less a pass where the last would be of one: batch statistics need two.
    chunk = SCORING_CHUNK - (len(x) % SCORING_CHUNK == 1)
    return keep(sensitivity(model, x, y, norm, chunk), sparsity, biases)


def shuffled_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """Control: SNIP's counts in each tensor, at places drawn anew."""
    return shuffle_masks(snip_masks(model, x, y, sparsity, seed, norm, biases), seed)


def magnitude_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """Control: the largest weights at initialisation."""
    return keep(magnitude_scores(model), sparsity, biases)


def random_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """Control: connections drawn at random over the whole network."""
    return keep(random_scores(model, seed), sparsity, biases)


def gradient_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """A common slip: the largest gradients, without the weight."""
    return keep(gradient_scores(model, x, y), sparsity, biases)


@dataclass(frozen=True)
class Method:
    """A row of METHODS: how connections are chosen, and how the report calls and draws it."""

    name: str  # of `Config.method` and of the column of the rows
    label: str  # in legends and tables
    words: str  # in a sentence
    colour: str  # told apart by a colour-blind reader, too (Okabe & Ito)
    marker: str
    line: str  # matplotlib's line style
    # From (model, x, y, sparsity, seed, norm, biases), as `make_masks` has them, to masks.
    masks: Callable[..., dict[str, Tensor]] | None
    adjust: Callable[[nn.Module, Mapping[str, Tensor]], None] | None = None  # weights, once pruned


_ROWS = (
    Method("dense", "dense", "the dense network", "#000000", "s", "-", None),
    Method("snip", "SNIP", "SNIP", "#0072b2", "o", "-", snip_masks),
    Method(
        *("shuffled", "SNIP, shuffled within layers", "SNIP's mask shuffled within layers"),
        *("#cc79a7", "D", "--", shuffled_masks),
    ),
    Method(
        *("magnitude", "magnitude at initialisation", "magnitude pruning"),
        *("#e69f00", "^", "-.", magnitude_masks),
    ),
    Method("random", "random", "random pruning", "#009e73", "v", ":", random_masks),
    Method(
        *("rescaled", "random, rescaled", "random pruning with rescaled weights"),
        *("#56b4e9", "P", ":", random_masks, rescale),
    ),
    Method(
        *("gradient", "gradient alone", "the gradient without the weight"),
        *("#d55e00", "X", ":", gradient_masks),
    ),
)
METHODS = {row.name: row for row in _ROWS}


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
    """The masks of one of METHODS; None for "dense".

    Arguments as for `sensitivity` and `keep_top`; without `biases`, they all stay and do not count.
    """
    check_known(method, METHODS, "method")
    function = METHODS[method].masks
    return function and function(model, x, y, sparsity, seed, norm, biases)


def digest(masks: Mapping[str, Tensor]) -> str:
    """Twelve hexadecimal digits that change when any mask does: for a test to compare."""
    bits = hashlib.sha256()
    for name, mask in masks.items():
        bits.update(name.encode() + np.packbits(mask.cpu().numpy()).tobytes())
    return bits.hexdigest()[:12]
