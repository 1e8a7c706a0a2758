"""A first trial on a GPU: are captured steps the same as others, how long do they take, and rows of
the published length.

    python -m sniplab.gpu FOLDER    all of it; what FOLDER has already is not done again

A trial takes hours in all. It begins nothing when `--minutes` are over, nor, in the second half of
them, what would last longer; it may be killed. The same command goes on. FOLDER has equality.csv,
steps.csv and rows.csv, a line as soon as it is measured, and the checkpoints of runs that were cut
off.
"""

import argparse
import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from torch import nn

from snipcore import MODELS, build_model, keep_top, pick_device, sensitivity
from sniplab.checkpoint import replacing
from sniplab.data import Data, FallbackWarning, draw_batch, load_data
from sniplab.engines import engine_for, train_with
from sniplab.recipe import recipe_for
from sniplab.runs import Config, run_grid
from sniplab.runs.machine import computing_with
from sniplab.training import train

FAMILIES = (  # one network of each, and of LeNet by each engine
    ("lenet-300-100", 0.5),
    ("lenet-300-100", 0.95),
    ("lenet-5-caffe", 0.95),
    ("alexnet-s", 0.9),
    ("resnet-18", 0.95),
    ("squeezenet-bypass", 0.95),
    ("googlenet", 0.95),
    ("densenet-121", 0.95),
    ("lstm-s", 0.95),
    ("gru-s", 0.95),
)
SIDE_BY_SIDE = (1, 4, 16)
ITERATIONS = 75_000
SEEDS = 5
ROWS = (  # networks of Table I, those first that the report needs most
    ("alexnet-s", "vgg-d", "resnet-18"),
    ("squeezenet-vanilla", "squeezenet-bypass", "googlenet", "vgg-c"),
    ("vgg-like",),
    ("densenet-121", "densenet-169", "densenet-201", "densenet-264", "resnet-34"),
)

# --------------------------------------------------------------------------------------- measuring


def prepared(name: str, sparsity: float, data: Data) -> tuple[nn.Module, dict | None]:
    """A network pruned by SNIP, and its masks; of sparsity 0, dense."""
    model = build_model(name).to(data.x_train.device)
    if not sparsity:
        return model, None
    return model, keep_top(sensitivity(model, *draw_batch(data, 100, seed=0)), sparsity)


def few_tests(name: str, device: str) -> Data:
    data = load_data(MODELS[name].dataset, device=device)
    return dataclasses.replace(data, x_test=data.x_test[:100], y_test=data.y_test[:100])


def equality(name: str, sparsity: float, device: str, steps: int = 200) -> dict:
    """Losses and weights after `steps`, operations started one by one against captured ones."""
    with computing_with(1, torch.device(device)), warnings.catch_warnings():
        warnings.filterwarnings("error", "the step cannot be captured")
        data, recipe, sides = few_tests(name, device), recipe_for(name, steps, 1), []
        for graph in (False, True):
            model, masks = prepared(name, sparsity, data)
            engine = engine_for(model, sparsity, recipe, data.x_train.device)
            (history,) = train_with(engine, [model], data, recipe, [masks], graph=graph)
            if isinstance(history, Exception):
                raise history
            weights = torch.cat([value.flatten().double() for value in model.state_dict().values()])
            sides.append((history, weights))
    (eager_history, weights), (graph_history, captured) = sides
    return {
        "engine": engine,
        "precision": eager_history.precision,
        "steps": steps,
        "losses_equal": int((eager_history.loss == graph_history.loss).sum()),
        "largest_difference": float(np.abs(eager_history.loss - graph_history.loss).max()),
        "weights_equal": weights.equal(captured),
        "seconds_one_by_one": eager_history.step_seconds,
        "seconds_captured": graph_history.step_seconds,
    }


def step_seconds(name: str, device: str, steps: int) -> float:
    """Of a step of a pruned network, in a process of its own."""
    with computing_with(1, torch.device(device)), warnings.catch_warnings():
        warnings.filterwarnings("error", "the step cannot be captured")
        data = few_tests(name, device)
        model, masks = prepared(name, MODELS[name].sparsity or 0.9, data)
        return train(model, data, recipe_for(name, steps, 1), masks).step_seconds


def side_by_side(name: str, together: int, device: str, steps: int = 400) -> dict:
    """Step times of so many processes at once, which start within a second."""
    with joblib.Parallel(n_jobs=together) as pool:
        for count in (10, steps):  # the first time, each loads the images and sets itself up
            tasks = (joblib.delayed(step_seconds)(name, device, count) for _ in range(together))
            seconds = pool(tasks)
    return {"seconds": float(np.mean(seconds)), "seconds_of_all": 1 / sum(1 / s for s in seconds)}


def plan() -> Iterator[list[Config]]:
    """The runs of the trial, in groups that are side by side: a seed of a few networks each."""
    for networks in ROWS:
        for seed in range(SEEDS):
            group = []
            for name in networks:
                recipe = recipe_for(name, ITERATIONS, checkpoints=10)
                group.append(Config(name, recipe, "dense", 0.0, seed))
                group.append(Config(name, recipe, "snip", MODELS[name].sparsity, seed))
            yield group


# --------------------------------------------------------------------------------------- the trial


def noted(
    path: Path, cases: Sequence[tuple], names: Sequence[str], measure: Callable, left: Callable
) -> bool:
    """Measure each case that the table at `path` does not have yet, a line at once. Whether all are
    there: else the time is over. What raises is a line, too."""
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    stored_cases = {tuple(row[name] for name in names) for row in rows}
    for case in cases:
        if case in stored_cases:
            continue
        if left() <= 0:
            return False
        row = dict(zip(names, case, strict=True))
        try:
            row |= {**measure(*case), "status": "ok"}
        except Exception as error:  # the other networks go on
            row["status"] = " ".join(f"failed: {type(error).__name__}: {error}".split())[:300]
        print(row, flush=True)
        rows.append(row)
        with replacing(path, "w", encoding="utf-8") as file:
            pd.DataFrame(rows).to_csv(file, index=False)
    return True


def trial(folder: Path, device: str, minutes: float) -> bool:
    """Whether all of the trial is done; else call it again."""
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * minutes

    def left() -> float:  # seconds
        return end - time.monotonic()

    measure = partial(equality, device=device)
    if not noted(folder / "equality.csv", FAMILIES, ("network", "sparsity"), measure, left):
        return False
    cases = [(name, together) for together in SIDE_BY_SIDE for name in MODELS]
    measure = partial(side_by_side, device=device)
    if not noted(folder / "steps.csv", cases, ("network", "together"), measure, left):
        return False
    steps = pd.read_csv(folder / "steps.csv").set_index(["network", "together"])
    steps = steps.reindex(columns=["seconds"]).seconds  # not there where all failed
    most = max(SIDE_BY_SIDE)
    for group in plan():
        needed = max(steps.get((config.model, most), 0) for config in group) * ITERATIONS
        if left() < min(needed, 60 * minutes / 2):  # too long a one goes on from its checkpoints
            return False
        run_grid(group, folder / "rows.csv", n_jobs=most, device=device, checkpoint_seconds=60)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=9.0, help="nothing is begun after")
    parser.add_argument("--device", default=None)
    arguments = parser.parse_args()
    warnings.simplefilter("error", FallbackWarning)  # digits say nothing of CIFAR-10
    done = trial(arguments.folder, str(pick_device(arguments.device)), arguments.minutes)
    print("all is done" if done else "the time is over: the same command goes on")


if __name__ == "__main__":
    main()
