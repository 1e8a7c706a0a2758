"""Controls: masks drawn at random, over the network, with layers of given density, or by shuffling
those of SNIP within what is to stay as it is; and SNIP's own on labels that tell it nothing.

Each `…_masks` is called as `make_masks` says.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from snipcore import generator_for, kept_count, prunable
from sniplab.data import random_labels
from sniplab.pruners import keep, snip_masks

TRADES = 100  # of degree-preserving shuffles


def random_scores(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """Control: uniform scores, so that `keep_top` prunes at random over the whole network."""
    generator = generator_for(seed, "random scores")
    return {
        name: torch.rand(weight.shape, generator=generator, device="cpu").to(weight.device)
        for name, weight in prunable(model).items()
    }


def random_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """Control: connections drawn at random over the whole network."""
    return keep(random_scores(model, seed), sparsity, biases)


@torch.no_grad()
def rescale(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Multiply each weight tensor by 1/√(the fraction of it that is kept), so that what passes
    through a layer pruned at random has the variance that it would have had."""
    for name, weight in prunable(model).items():
        if weight.ndim > 1 and masks[name].any():
            weight.div_(masks[name].float().mean().sqrt())


# ------------------------------------------------------------------------------ without labels


def permute_labels(y: Tensor, seed: int) -> Tensor:
    """The labels of a batch, (B,), in another order: each class as often, but with any images."""
    return random_labels(y, seed, "permuted labels")


def permuted_labels_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """Control: SNIP, scored with the labels permuted among the images of the batch."""
    return snip_masks(model, x, permute_labels(y, seed), sparsity, seed, norm, biases)


# ------------------------------------------------------------------- random, layer by layer


def _drawn(
    model: nn.Module,
    density: Callable[[Mapping[str, int], int], Mapping[str, float]],
    sparsity: float,
    seed: int,
    biases: bool,
) -> dict[str, Tensor]:
    """Masks at random places, of the densities that `density` gives from {name: size} and the
    number to keep, κ; κ of them in all: parts of a connection go to the largest parts."""
    weights = prunable(model)
    sizes = {name: w.numel() for name, w in weights.items() if biases or w.ndim > 1}
    kept = kept_count(sum(sizes.values()), sparsity)
    shares = {name: part * sizes[name] for name, part in density(sizes, kept).items()}
    counts = {name: math.floor(share) for name, share in shares.items()}
    by_rest = sorted(sizes, key=lambda name: counts[name] - shares[name])  # stable: in module order
    for name in by_rest[: kept - sum(counts.values())]:
        counts[name] += 1
    masks = {}
    for name, weight in weights.items():
        first = torch.arange(weight.numel()) < counts.get(name, weight.numel())
        masks[name] = first.view(weight.shape).to(weight.device)
    return shuffle_masks(masks, seed)


def uniform_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """Control: connections drawn at random, the same share of every tensor.

    As "random" in google-research/rigl, but for the first layer, which stays dense there, and the
    biases, which are never pruned there (`biases=False`). Where a layer's share is no whole number,
    it is rounded so that κ are kept in all.
    """

    def density(sizes: Mapping[str, int], kept: int) -> dict[str, float]:
        return dict.fromkeys(sizes, kept / sum(sizes.values()))

    return _drawn(model, density, sparsity, seed, biases)


def erk_density(
    shapes: Mapping[str, tuple[int, ...]], sizes: Mapping[str, int], kept: int
) -> dict[str, float]:
    """Densities ε · Σ dims / Π dims of each of `shapes`, ε such that `kept` of `sizes` are kept.
    Those above 1 are set to 1, and ε is solved again for the others."""
    raw = {name: sum(shapes[name]) / math.prod(shapes[name]) for name in sizes}
    full: set[str] = set()
    while len(full) < len(raw):
        free = [name for name in raw if name not in full]
        epsilon = (kept - sum(sizes[n] for n in full)) / sum(raw[n] * sizes[n] for n in free)
        # ε only grows as they are set to 1, so that those above 1 now would be in the end.
        if not (over := {name for name in free if epsilon * raw[name] > 1}):
            break
        full |= over
    return {name: 1.0 if name in full else epsilon * raw[name] for name in raw}


def erk_masks(model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """Control: connections drawn at random, with more left in small layers than in large (ERK).

    Density of a layer: ε · (n_in + n_out + height + width) / (n_in · n_out · height · width), at
    most 1; of a linear layer ε · (n_in + n_out) / (n_in · n_out), so that a unit keeps about as
    many connections in every layer. A bias has the density of its layer.

    Evci, Gale, Menick, Castro & Elsen. Rigging the lottery: making all tickets winners. ICML 2020,
    arXiv:1911.11134; after Mocanu et al., Nature Communications 9, 2018. As in google-research/rigl
    layers that would exceed 1 become dense and the rest is solved again; its biases are never
    pruned (`biases=False`). It rounds each layer by itself; here κ are kept exactly.
    """
    shapes, last = {}, ()
    for name, weight in prunable(model).items():
        last = tuple(weight.shape) if weight.ndim > 1 else last
        shapes[name] = last  # a bias comes after its weight
    return _drawn(model, partial(erk_density, shapes), sparsity, seed, biases)


# ---------------------------------------------------------------------- SNIP's masks, shuffled


def shuffle_masks(masks: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Control: as many kept in each tensor, but which ones is drawn anew."""
    generator = generator_for(seed, "shuffled masks")
    return {
        name: mask.flatten()[
            torch.randperm(mask.numel(), generator=generator, device="cpu").to(mask.device)
        ].view(mask.shape)
        for name, mask in masks.items()
    }


def _as_kernels(mask: Tensor) -> Tensor:
    """(units or filters, inputs or channels, places of a kernel), on the CPU, to be written to. A
    bias is one input: the constant 1."""
    inputs = mask.shape[1] if mask.ndim > 1 else 1
    return mask.cpu().reshape(len(mask), inputs, -1).clone()


def _shuffled_rows(mask: Tensor, generator: torch.Generator) -> Tensor:
    """Each row of (R, N) in an order of its own."""
    return mask.gather(1, torch.rand(mask.shape, generator=generator).argsort(1))


def shuffle_within_units(masks: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Control: as many kept of each unit, filter or gate (a row of its tensor), at places drawn
    anew. A bias is a row of one: it stays."""
    generator = generator_for(seed, "masks shuffled within units")
    shuffled = {}
    for name, mask in masks.items():
        rows = _shuffled_rows(_as_kernels(mask).flatten(1), generator)
        shuffled[name] = rows.view(mask.shape).to(mask.device)
    return shuffled


def shuffle_within_inputs(masks: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Control: as many kept of each input of a layer, a pixel, unit or channel (a column of its
    tensor), at places drawn anew: in a convolution of any filter and place of the kernel. A layer's
    biases are one column."""
    generator = generator_for(seed, "masks shuffled within inputs")
    shuffled = {}
    for name, mask in masks.items():
        kernels = _as_kernels(mask).transpose(0, 1)  # (inputs, units, places)
        rows = _shuffled_rows(kernels.flatten(1), generator).view(kernels.shape)
        shuffled[name] = rows.transpose(0, 1).reshape(mask.shape).to(mask.device)
    return shuffled


def _trade(rows: Tensor, generator: torch.Generator) -> None:
    """A global trade, in place: rows of (R, N) in pairs drawn at random share out anew what only
    one of the two has, each as many as before. Counts of rows and columns stay."""
    order = torch.randperm(len(rows), generator=generator)
    first, second = order[: len(rows) // 2], order[len(rows) // 2 :][: len(rows) // 2]
    first_rows, second_rows = rows[first], rows[second]
    differ = first_rows ^ second_rows
    draws = torch.rand(differ.shape, generator=generator).masked_fill_(~differ, 2)
    count = (first_rows & differ).sum(1, keepdim=True)
    chosen = torch.arange(rows.shape[1]) < count  # that many of the smallest draws
    taken = torch.zeros_like(differ).scatter_(1, draws.argsort(1), chosen)
    rows[first] = torch.where(differ, taken, first_rows)
    rows[second] = torch.where(differ, ~taken, second_rows)


def shuffle_degrees(
    masks: Mapping[str, Tensor], seed: int, trades: int = TRADES
) -> dict[str, Tensor]:
    """Control: as many kept of each unit or filter, and of each input or channel: a random graph
    with the degrees that the layer had.

    By global curveball trades, whose limit is uniform over all such masks: `trades` times, rows in
    random pairs share out anew what only one of the two keeps. In a convolution a column of these
    is a place of a channel's kernel; before each trade the places within every kernel, of one
    filter and one channel, are shuffled, so that nothing but filters and channels keeps its count.

    Carstens, Hamann, Meyer, Penschuck, Tran & Wagner. Parallel and I/O-efficient randomisation of
    massive networks using global curveball trades. ESA 2018, arXiv:1804.08487.
    """
    generator = generator_for(seed, "masks shuffled at equal degrees")
    shuffled = {}
    for name, mask in masks.items():
        kernels = _as_kernels(mask)
        for _ in range(trades):
            if kernels.shape[2] > 1:
                places = _shuffled_rows(kernels.flatten(0, 1), generator)
                kernels = places.view(kernels.shape)
            _trade(kernels.view(len(kernels), -1), generator)
        shuffled[name] = kernels.view(mask.shape).to(mask.device)
    return shuffled


def _shuffled(shuffle, model, x, y, sparsity, seed, norm, biases) -> dict[str, Tensor]:
    """Control: SNIP's masks, shuffled."""
    return shuffle(snip_masks(model, x, y, sparsity, seed, norm, biases), seed)


shuffled_masks = partial(_shuffled, shuffle_masks)
units_masks = partial(_shuffled, shuffle_within_units)
inputs_masks = partial(_shuffled, shuffle_within_inputs)
degrees_masks = partial(_shuffled, shuffle_degrees)
