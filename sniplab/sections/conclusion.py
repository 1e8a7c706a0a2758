"""The conclusion's own runs: choices on which implementations of SNIP differ."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F

from snipcore import apply_masks, build_model, kept_count, prunable
from sniplab.batches import Batches
from sniplab.data import Data, draw_batch, load_data
from sniplab.methods import make_masks
from sniplab.recipe import Recipe, recipe_for
from sniplab.runs import Config, hardware, parameter_count
from sniplab.runs.machine import computing_with
from sniplab.runs.worker import prepare
from sniplab.sections import COMMITTED, check_profile, stored_table
from sniplab.sections.data_and_initialization_masks import jaccard
from sniplab.stats import paired, points, t_interval
from sniplab.training import evaluate

NETWORK = "lenet-300-100"
SPARSITIES = (0.95, 0.98)  # of Table 1


# ------------------------------------------------------------------------------------- what is run


@dataclass(frozen=True)
class Numbers:
    """What a profile says of this section."""

    iterations: int
    seeds: int
    leak_iterations: int = 540  # one epoch: a second or two for each seed
    leak_seeds: int = 10


NUMBERS = {
    "smoke": Numbers(iterations=20, seeds=2, leak_iterations=20, leak_seeds=2),
    "quick": Numbers(iterations=180, seeds=3, leak_iterations=180, leak_seeds=3),
    "desktop": Numbers(iterations=25_000, seeds=5),
    "paper": Numbers(iterations=75_000, seeds=20),
}

USUAL = "as elsewhere"
CHOICES = {  # where public implementations differ: changes of a Config
    USUAL: {},
    "gradient without the weight": {"method": "gradient"},
    "biases neither pruned nor counted": {"biases": False},
    "new weights under the mask": {"reinit": "vs"},
}


def plan(profile: str, dataset: str = "mnist") -> dict[str, list[Config]]:
    """NETWORK pruned to SPARSITIES by each of CHOICES: by its name, the runs.

    Raises ValueError for an unknown profile.
    """
    check_profile(profile)
    numbers = NUMBERS[profile]
    recipe = recipe_for(NETWORK, numbers.iterations, 10)
    return {
        name: [
            Config(NETWORK, recipe, sparsity=sparsity, seed=seed, dataset=dataset, **changed)
            for seed in range(numbers.seeds)
            for sparsity in SPARSITIES
        ]
        for name, changed in CHOICES.items()
    }


def effects(rows: pd.DataFrame) -> pd.DataFrame:
    """The test error by each other choice minus that by the usual one, as from `paired`, for each
    `choice` and sparsity. Rows as from `rows_of`."""
    usual = rows[rows.part == USUAL]
    other_choices = rows[rows.part != USUAL].rename(columns={"part": "choice"})
    return paired(other_choices, usual, ["choice", "sparsity"], ("model", "sparsity", "seed"))


# ------------------------------------------------------------------ what is measured in no run


def measure_overlaps(data: Data) -> pd.DataFrame:
    """How far the mask of each choice is that of the usual one, by the Jaccard overlap, at 95 %
    with seed 0: choice, overlap, source, hardware."""
    # The first run of each is at 95 %, with seed 0.
    masks = {name: prepare(runs[0], data)[1] for name, runs in plan(COMMITTED).items()}
    rows = [(name, jaccard(mask, masks[USUAL])) for name, mask in masks.items()]
    table = pd.DataFrame(rows, columns=["choice", "overlap"])
    return table.assign(source=data.source, hardware=hardware(data.x_train.device))


LEAKY = 0.98  # sparsity


def leak(data: Data, steps: int, seed: int) -> dict:
    """Train with the mask before each forward pass only, as some implementations do: how many
    pruned weights are `alive`, not zero, after the last step, the test error in percent as the
    network stands, and that with the mask applied."""
    device = data.x_train.device
    recipe = Recipe(steps, stages=1, checkpoints=1)  # a constant rate, as the reference has
    model = build_model(NETWORK, seed=seed).to(device)
    masks = make_masks(model, "snip", LEAKY, *draw_batch(data, 100, seed), seed)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay
    )
    batches = Batches(data, recipe, seed)
    for step in range(steps):
        apply_masks(model, masks)
        images, labels = batches.take(step)
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    alive = sum(int((w[~masks[name]] != 0).sum()) for name, w in prunable(model).items())
    as_it_stands = evaluate(model, data.x_test, data.y_test)
    apply_masks(model, masks)
    masked = evaluate(model, data.x_test, data.y_test)
    return {"seed": seed, "alive": alive, "as it stands": as_it_stands, "mask applied": masked}


def measure_leak(data: Data, profile: str) -> pd.DataFrame:
    """`leak` for each seed, with iterations, pruned (parameters), test_images, source and
    hardware."""
    numbers = NUMBERS[profile]
    table = pd.DataFrame(
        [leak(data, numbers.leak_iterations, seed) for seed in range(numbers.leak_seeds)]
    )
    m = parameter_count(NETWORK)
    return table.assign(
        iterations=numbers.leak_iterations,
        pruned=m - kept_count(m, LEAKY),
        test_images=len(data.y_test),
        source=data.source,
        hardware=hardware(data.x_train.device),
    )


def leaks_of(profile: str, dataset: str, device: str | None) -> pd.DataFrame:
    """`measure_leak`; under the committed profile, of MNIST, as it is stored."""
    if profile == COMMITTED and dataset == "mnist":
        return stored_table("6_leak")
    return measure_leak(load_data(dataset, device=device), profile)


def leak_difference(leaks: pd.DataFrame) -> str:
    """The test error as the network stands minus that with the mask applied, in points."""
    differences = leaks["as it stands"] - leaks["mask applied"]
    low, high = t_interval(differences)
    return points(differences.mean(), (high - low) / 2)


def write_stored(folder: Path) -> None:
    """Measure the small tables of the committed report into a folder, on MNIST, on the CPU with one
    thread."""
    data = load_data("mnist", device="cpu")
    with computing_with(1, torch.device("cpu")):  # last digits depend on it
        measure_overlaps(data).to_csv(folder / "6_overlaps.csv", index=False)
        measure_leak(data, COMMITTED).to_csv(folder / "6_leak.csv", index=False)
