"""The engines that take the same training steps, masked, sparse or stacked: which one trains what,
and what a step of each costs."""

import contextlib
import copy
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from snipcore import build_model, check_known, keep_top, prunable, sensitivity
from sniplab.data import Data, draw_batch
from sniplab.recipe import Recipe, recipe_for
from sniplab.sparse import sparse_linears, stackable, train_stacked
from sniplab.training import History, progress, settled_precision, train

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


def step_costs(
    model: str,
    sparsities: Iterable[float],
    data: Data,
    rounds: int = 5,
    steps: int = 20,
    networks: int = STACK,
) -> pd.DataFrame:
    """What a training step costs, by engine and sparsity, each beside dense steps of its round.

    Args:
        model: one for which `stackable` is true.
        networks: how many are stacked.

    Returns:
        Columns round, sparsity, engine, seconds (of a step of one network) and speed: the dense
        step's seconds over these.
    """
    subset = dataclasses.replace(data, x_test=data.x_test[:10], y_test=data.y_test[:10])
    recipe = dataclasses.replace(recipe_for(model, steps, 1), lr=0.01)
    device, rows = data.x_train.device, []
    x, y = draw_batch(data, 100, seed=0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        models = [build_model(model, seed=seed).to(device) for seed in range(networks)]
        scores = [sensitivity(m, x, y) for m in models]
        masks = {s: [keep_top(score, s) for score in scores] for s in sparsities}
        for number in progress(range(rounds + 1), desc="timing", unit="round"):
            dense = train_with("masked", copy.deepcopy(models[:1]), subset, recipe, [None])
            for sparsity, engine in itertools.product(masks, ENGINES):
                count = networks if engine == "stacked" else 1
                trial = (copy.deepcopy(models[:count]), subset, recipe, masks[sparsity][:count])
                seconds = train_with(engine, *trial)[0].step_seconds
                speed = dense[0].step_seconds / seconds
                rows.append((number, sparsity, engine, seconds, speed))
    finally:
        torch.set_num_threads(before)
    table = pd.DataFrame(rows, columns=["round", "sparsity", "engine", "seconds", "speed"])
    return table[table["round"] > 0]  # the first round warms up
