"""What sparsity saves in time: measured, not trained for."""

import copy
import dataclasses
import itertools
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from snipcore import build_model, keep_top, sensitivity
from sniplab.data import Data, draw_batch, load_data
from sniplab.engines import STACK, train_with
from sniplab.recipe import recipe_for
from sniplab.runs import hardware
from sniplab.runs.machine import computing_with
from sniplab.sections import COMMITTED, RESULTS, stored_table
from sniplab.sections.sweep_figures import SMALL, SPARSITY
from sniplab.show import legend_above
from sniplab.training import progress

NETWORK = "lenet-300-100"
TIMED = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)  # sparsities
FEWER = {"smoke": (0.9,), "quick": (0.5, 0.8, 0.9, 0.99)}  # sparsities by profile
ROUNDS = {"smoke": 2, "quick": 2}
STEPS = 20  # of a round
LOOKS = {  # of ENGINES: label, colour, marker
    "masked": ("masked", "#d55e00", "s"),
    "sparse": ("sparse", "#56b4e9", "o"),
    "stacked": ("sparse and stacked", "#0072b2", "D"),
}


def step_costs(sparsities: Iterable[float], data: Data, rounds: int) -> pd.DataFrame:
    """What a training step of NETWORK costs on one thread, each beside dense steps of its round:
    round, sparsity, engine, seconds (of a step of one network) and speed, the dense step's seconds
    over these."""
    subset = dataclasses.replace(data, x_test=data.x_test[:10], y_test=data.y_test[:10])
    recipe = dataclasses.replace(recipe_for(NETWORK, STEPS, 1), lr=0.01)
    device, rows = data.x_train.device, []
    x, y = draw_batch(data, 100, seed=0)
    with computing_with(1, device):
        models = [build_model(NETWORK, seed=seed).to(device) for seed in range(STACK)]
        scores = [sensitivity(m, x, y) for m in models]
        masks = {s: [keep_top(score, s) for score in scores] for s in sparsities}
        for number in progress(range(rounds + 1), desc="timing", unit="round"):
            dense = train_with("masked", copy.deepcopy(models[:1]), subset, recipe, [None])
            for sparsity, engine in itertools.product(masks, LOOKS):
                count = STACK if engine == "stacked" else 1
                trial = (copy.deepcopy(models[:count]), subset, recipe, masks[sparsity][:count])
                seconds = train_with(engine, *trial)[0].step_seconds
                speed = dense[0].step_seconds / seconds
                rows.append((number, sparsity, engine, seconds, speed))
    table = pd.DataFrame(rows, columns=["round", "sparsity", "engine", "seconds", "speed"])
    return table[table["round"] > 0]  # the first round warms up


def measure_time(data: Data, profile: str) -> pd.DataFrame:
    """`step_costs` with a `note` on how and where they were measured."""
    rounds = ROUNDS.get(profile, 9)
    table = step_costs(FEWER.get(profile, TIMED), data, rounds)
    return table.assign(
        note=f"Data: {data.source}. LeNet-300-100, batches of 100, {rounds} rounds of {STEPS} "
        f"steps, 1 thread; {STACK} networks stacked. Profile {profile}. "
        f"{hardware(data.x_train.device)}."
    )


def time_of(profile: str, dataset: str, device: str | torch.device | None) -> pd.DataFrame:
    """`measure_time`; under the committed profile as it is stored, for other work on the machine
    would spoil a new measurement."""
    if profile == COMMITTED:
        return stored_table("1_time")
    return measure_time(load_data(dataset, device=device), profile)


def draw_speeds(costs: pd.DataFrame) -> plt.Figure:
    """How many times as fast as a dense step a step is, by engine and sparsity; bars are quartiles.
    `costs`: as from `step_costs`."""
    speed = costs.groupby(["engine", "sparsity"]).speed.quantile([0.25, 0.5, 0.75]).unstack()
    levels = sorted(costs.sparsity.unique())
    with plt.rc_context(SMALL):
        figure, axis = plt.subplots(figsize=(7.5, 3.4))
        for shift, (engine, style) in zip((-0.12, 0, 0.12), LOOKS.items(), strict=True):
            label, colour, marker = style
            low, middle, high = speed.loc[engine].to_numpy().T
            x, options = np.arange(len(levels)) + shift, {"fmt": f"{marker}-", "color": colour}
            axis.errorbar(x, middle, [middle - low, high - middle], label=label, **options)
        axis.axhline(1, color="black", lw=1, ls="--", label="dense")
        axis.set_yscale("log", base=2)
        axis.yaxis.set_major_formatter("{x:g}")
        axis.set_xticks(range(len(levels)), [f"{100 * s:g}" for s in levels])
        axis.set(xlabel=SPARSITY, ylabel="times as fast as a dense step")
        legend_above(figure, 4)
    return figure


USUAL = "DataLoader + torch.nn.utils.prune"
QUOTED = {  # of figures/benchmark.csv: the name in prose, and what was timed
    "scoring": "14 networks of torchvision: scoring / one forward + backward",
    "usual.lenet-300-100": f"lenet-300-100 at 95 %: {USUAL} / ours, stacked",
    "usual.resnet-18": f"resnet-18 at 95 %: {USUAL} / ours, masked",
    "sparselab": "784 → 300 at 95 %, batch 100, forward + backward: sparselab / our SparseLinear",
}


def values() -> dict[str, str]:
    """Medians for prose: of `make bench`, "bench.scoring" and so on, and of how many times as fast
    as a dense step one is, "speed.stacked.99"."""
    table = pd.read_csv(RESULTS.parent / "figures" / "benchmark.csv").set_index("what").ratio
    speed = stored_table("1_time").groupby(["engine", "sparsity"]).speed.median()
    numbers = {f"speed.{engine}.{100 * s:g}": f"{v:.1f}" for (engine, s), v in speed.items()}
    for name, key in QUOTED.items():
        ratio = table[key]
        numbers[f"bench.{name}"] = f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"
    return numbers


def write_stored(folder: Path) -> None:
    """Measure the small tables of the committed report into a folder, on MNIST, on the CPU."""
    data = load_data("mnist", device="cpu")
    measure_time(data, COMMITTED).to_csv(folder / "1_time.csv", index=False)
