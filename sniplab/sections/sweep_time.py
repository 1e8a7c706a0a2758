"""What sparsity saves in time, and how many test images there are: measured, not trained for."""

from pathlib import Path

import pandas as pd
import torch

from sniplab.data import Data, load_data
from sniplab.engines import STACK, step_costs
from sniplab.runs import hardware
from sniplab.sections import COMMITTED, RESULTS, stored_table

NETWORK = "lenet-300-100"
TIMED = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)  # sparsities
FEWER = {"smoke": (0.9,), "quick": (0.5, 0.8, 0.9, 0.99)}  # sparsities by profile
ROUNDS = {"smoke": 2, "quick": 2}


def measure_time(data: Data, profile: str) -> pd.DataFrame:
    """What a training step of NETWORK costs by engine and sparsity, as from `step_costs`, with a
    `note` on how and where it was measured."""
    rounds = ROUNDS.get(profile, 9)
    table = step_costs(NETWORK, FEWER.get(profile, TIMED), data, rounds)
    return table.assign(
        note=f"Data: {data.source}. LeNet-300-100, batches of 100, {rounds} rounds of 20 steps, "
        f"1 thread; {STACK} networks stacked. Profile {profile}. {hardware(data.x_train.device)}."
    )


def time_of(profile: str, dataset: str, device: str | torch.device | None) -> pd.DataFrame:
    """`measure_time`; under the committed profile as it is stored, for other work on the machine
    would spoil a new measurement."""
    if profile == COMMITTED:
        return stored_table("1_time")
    return measure_time(load_data(dataset, device=device), profile)


USUAL = "DataLoader + torch.nn.utils.prune"
QUOTED = {  # of figures/benchmark.csv: the name in prose, and what was timed
    "scoring": "14 networks of torchvision: scoring / one forward + backward",
    "usual.lenet-300-100": f"lenet-300-100 at 95 %: {USUAL} / ours, stacked",
    "usual.resnet-18": f"resnet-18 at 95 %: {USUAL} / ours, masked",
    "sparselab": "784 → 300 at 95 %, batch 100, forward + backward: sparselab / our SparseLinear",
}


def values() -> dict[str, str]:
    """Ratios of `make bench` that prose may quote, medians: "bench.scoring" and so on."""
    table = pd.read_csv(RESULTS.parent / "figures" / "benchmark.csv").set_index("what").ratio
    return {
        f"bench.{name}": f"{table[key]:.0f}" if table[key] >= 10 else f"{table[key]:.2g}"
        for name, key in QUOTED.items()
    }


def write_stored(folder: Path) -> None:
    """Measure the small tables of the committed report into a folder, on MNIST, on the CPU."""
    data = load_data("mnist", device="cpu")
    measure_time(data, COMMITTED).to_csv(folder / "1_time.csv", index=False)
