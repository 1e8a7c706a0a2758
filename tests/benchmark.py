"""What things cost, each as a ratio of two sides timed in turn: `make bench`.

Writes figures/benchmark.csv. Nothing in the tests depends on a time.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from tqdm import tqdm

import snipcore as snip

ROUNDS = 9
FOLDER = Path(__file__).resolve().parent.parent / "figures"


def bare_steps(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int) -> None:
    """Forward, backward and SGD on one batch that is already in memory: nothing can be less."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9, weight_decay=5e-4, fused=True)
    for _ in range(steps):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def compare(what: str, ours: Callable[[], None], other: Callable[[], None]) -> dict:
    """The time of `ours` over that of `other`, in ROUNDS pairs, one after the other."""
    seconds = []
    for _ in tqdm(range(ROUNDS + 1), desc=what, leave=False):
        pair = []
        for side in (ours, other):
            started = time.perf_counter()
            side()
            pair.append(time.perf_counter() - started)
        seconds.append(pair)
    ratios = np.array([a / b for a, b in seconds[1:]])  # the first pair warms up
    low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    return {"what": what, "ratio": median, "quartile_1": low, "quartile_3": high, "pairs": ROUNDS}


def step_cost(name: str, data: snip.Data, steps: int, masked: bool) -> dict:
    few = dataclasses.replace(data, x_test=data.x_test[:100], y_test=data.y_test[:100])
    recipe = snip.recipe_for(name, steps, checkpoints=1)
    x, y = data.x_train[:100].clone(), data.y_train[:100].clone()
    model = snip.build_model(name).to(x.device)
    masks = snip.keep_top(snip.sensitivity(model, x, y), 0.9) if masked else None

    def ours():
        snip.train(snip.build_model(name), few, recipe, masks)

    def bare():
        bare_steps(snip.build_model(name).to(x.device), x, y, steps)

    kind = "masked (90 %)" if masked else "dense"
    return compare(f"{name}: {kind} training / bare forward + backward + SGD", ours, bare)


def layout_cost(data: snip.Data) -> dict:
    x, y = data.x_train[:100].clone(), data.y_train[:100].clone()

    default = snip.initialize(snip.lenet_5_caffe(10), "vs", seed=0).to(x.device)
    ours = snip.build_model("lenet-5-caffe").to(x.device)
    return compare(
        "lenet-5-caffe: step in channels-last / in the default layout",
        lambda: bare_steps(ours, x, y, 20),
        lambda: bare_steps(default, x, y, 20),
    )


def scoring_cost(name: str, data: snip.Data) -> dict:
    x, y = snip.draw_batch(data, 100, seed=0)
    model = snip.build_model(name).to(x.device)

    def ours():
        for _ in range(5):
            snip.keep_top(snip.sensitivity(model, x, y), 0.9)

    def plain():
        for _ in range(5):
            F.cross_entropy(model(x), y).backward()

    return compare(f"{name}: sensitivity + keep_top / one forward + backward", ours, plain)


def main() -> None:
    data = snip.load_data("mnist")
    rows = [
        step_cost("lenet-300-100", data, steps=540, masked=False),
        step_cost("lenet-300-100", data, steps=540, masked=True),
        step_cost("lenet-5-caffe", data, steps=60, masked=False),
        layout_cost(data),
        scoring_cost("lenet-300-100", data),
        scoring_cost("lenet-5-caffe", data),
    ]
    device = data.x_train.device
    table = pd.DataFrame(rows).assign(
        hardware=snip.hardware(device), threads=torch.get_num_threads(), data=data.source
    )
    print(table[["what", "ratio", "quartile_1", "quartile_3"]].round(3).to_string(index=False))
    print(f"{snip.hardware(device)}, {torch.get_num_threads()} threads. {data.source}.")
    FOLDER.mkdir(exist_ok=True)
    table.to_csv(FOLDER / "benchmark.csv", index=False)


if __name__ == "__main__":
    main()
