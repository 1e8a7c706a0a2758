"""The engines that take the same training steps, masked, sparse or stacked: which one
trains what."""

import contextlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from snipcore import check_known, prunable
from sniplab.data import Data
from sniplab.recipe import Recipe
from sniplab.sparse import sparse_linears, stackable, train_stacked
from sniplab.training import History, settled_precision, train

ENGINES = ("masked", "sparse", "stacked")

# From these sparsities on, what keeps the kept weights alone takes less time than masks do
# (figures/1_time.csv and figures/benchmark.csv).
STACKED_FROM = 0.8
SPARSE_FROM = 0.9
STACK = 16  # networks trained as one, at most


def engine_for(model: nn.Module, sparsity: float, recipe: Recipe, device: torch.device) -> str:
    """The one of ENGINES that trains this network. It follows from what is run, never from a clock:
    the engines differ in their rounding, and so in the rows."""
    if settled_precision(recipe, device) != "float32":
        return "masked"  # PyTorch's sparse products are in float32
    if stackable(model) and sparsity >= STACKED_FROM:
        return "stacked"
    linear = [layer for layer in model.modules() if type(layer) is nn.Linear]
    share = sum(layer.weight.numel() for layer in linear)
    share /= sum(weight.numel() for weight in prunable(model).values())
    return "sparse" if share > 0.5 and sparsity >= SPARSE_FROM else "masked"


def train_with(
    engine: str,
    models: Sequence[nn.Module],
    data: Data,
    recipe: Recipe,
    masks: Sequence[Mapping[str, Tensor] | None],
    seed: int = 0,
    **keep,
) -> list[History | FloatingPointError]:
    """Train networks by one of ENGINES, several by "stacked" only: a history of each, or why it has
    none. `keep`: the checkpoint and more, as for `train`."""
    check_known(engine, ENGINES, "engine")
    if engine == "stacked":
        return train_stacked(models, data, recipe, masks, seed, **keep)
    (model,), (mask,) = models, masks
    sparse = sparse_linears(model, mask) if engine == "sparse" else None
    try:
        with sparse or contextlib.nullcontext(mask) as fitting:
            return [train(model, data, recipe, fitting, seed, **keep)]
    except FloatingPointError as error:
        return [error]
