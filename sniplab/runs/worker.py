"""What a worker does: build, score, prune and train, and make a row of each run."""

import contextlib
import copy
import dataclasses
import hashlib
import multiprocessing
import os
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from snipcore import (
    MODELS,
    ModelSpec,
    build_model,
    collapsed,
    derive_seed,
    digest,
    initialize,
    pick_device,
    prunable,
)
from sniplab.connectivity import effective_fraction
from sniplab.data import Data, FallbackWarning, draw_batch, load_data, random_labels
from sniplab.engines import train_with
from sniplab.methods import METHODS, Method, make_masks
from sniplab.runs.config import CURVES, OUTCOME, Config, flat_fields, identity
from sniplab.runs.machine import (
    computing_with,
    end_with_parent,
    give_memory_back,
    hardware,
    own_gpu,
)
from sniplab.training import History, train

CURVE_POINTS = 100


@dataclass(frozen=True)
class Placement:
    """Where runs are done, and how."""

    device: str  # "" leaves it to the worker
    threads: int  # of each worker
    parent: int  # the process that started the workers; 0: another program did
    root: Path | None  # of the data; None: the worker's own `data_root()`
    checkpoint_seconds: float  # at most so often a checkpoint is written


@dataclass(frozen=True)
class Task:
    """Runs for one worker at a time: several are trained as one network."""

    configs: tuple[Config, ...]
    engine: str
    precision: str  # what "auto" comes to: of all workers the same
    data: str  # digest of the data set
    source: str  # of the data, in a sentence
    folder: Path  # of checkpoints
    # A worker is a fresh interpreter: it learns of networks and methods that the caller added.
    spec: ModelSpec
    methods: tuple[Method, ...]

    @property
    def runs(self) -> list[str]:
        return [identity(config) for config in self.configs]

    def file(self, suffix: str) -> Path:
        """A file of this task beside the results: ".pt" is its checkpoint, ".dense.pt" that of what
        is trained before it is pruned, ".steps" says how far it is, ".runs" which runs it is of."""
        key = hashlib.sha256(" ".join([self.data, *self.runs]).encode()).hexdigest()[:16]
        return self.folder / f"{key}{suffix}"


# ------------------------------------------------------------------------------------------- a run


def images_of(config: Config, data: Data) -> tuple[Data, Data]:
    """The images to score on and those to train and test on, as a configuration has them. Runs that
    are trained as one network share them."""
    if config.inputs == "unit":
        data = _from_0_to_1(data)
    scored = data
    if config.tested == "validation":
        data = dataclasses.replace(data, x_test=data.x_val, y_test=data.y_val)
    if config.validation:
        x, y = torch.cat([data.x_train, data.x_val]), torch.cat([data.y_train, data.y_val])
        data = dataclasses.replace(data, x_train=x, y_train=y)
    if config.train_images:
        x, y = draw_batch(data, config.train_images, derive_seed(config.seed, "train images"))
        data = dataclasses.replace(data, x_train=x, y_train=y)
    if config.test_images:
        x, y = data.x_test[: config.test_images], data.y_test[: config.test_images]
        data = dataclasses.replace(data, x_test=x, y_test=y)
    if config.labels == "random":
        data = dataclasses.replace(data, y_train=random_labels(data.y_train, config.seed))
    return scored, data


def _from_0_to_1(data: Data) -> Data:
    """The same images as x/255: the scale on which they are stored."""
    parts = ("x_train", "x_val", "x_test")
    span = data.white - data.black
    return dataclasses.replace(data, **{p: (getattr(data, p) - data.black) / span for p in parts})


def _built(config: Config, data: Data) -> nn.Module:
    model = build_model(
        config.model, config.init, config.seed, gates=config.gates, width=config.width
    )
    return model.to(data.x_train.device)


def pretrained(config: Config, data: Data, **keep) -> nn.Module:
    """The dense network of a run that is pruned after training (Han, Pool, Tran & Dally, 2015): as
    its recipe says, but for `pretrain` iterations. Where these are the recipe's own, it is the very
    network of the dense run of its seed. `keep`: as for `train`.

    What is left is trained as any pruned network is, from the first rate of the schedule on, where
    Han et al. go on at a smaller one (Renda, Frankle & Carbin, 2020, find the former better), or,
    by `Config.rewind`, from its initial weights (Frankle & Carbin, 2019).

    Raises FloatingPointError where the dense network diverges.
    """
    model = _built(config, data)
    recipe = dataclasses.replace(config.recipe, iterations=config.pretrain, checkpoints=1)
    train(model, data, recipe, seed=config.seed, **keep)
    return model


def prepare(
    config: Config, data: Data, dense: nn.Module | None = None
) -> tuple[nn.Module, dict | None, dict]:
    """Build, or take a copy of `dense`, score on `data` and prune: the model, its masks, and
    outcome columns."""
    model = _built(config, data) if dense is None else copy.deepcopy(dense)
    m = sum(weight.numel() for weight in prunable(model).values())
    x, y = draw_batch(data, config.scoring_batch or len(data.y_train), config.seed)
    arguments = (config.method, config.sparsity, x, y, config.seed, config.norm, config.biases)
    masks = make_masks(model, *arguments)
    outcome = {"m": m, "kept": m}
    if masks is not None:
        outcome["kept"] = sum(int(mask.sum()) for mask in masks.values())
        outcome["masks"] = digest(masks)
        # Of a batch as large as the train split, not all: each image would be in memory at once.
        outcome["collapsed"] = "; ".join(collapsed(model, masks, x[:128]))
        with contextlib.suppress(ValueError):  # a network whose paths we cannot follow
            outcome["effective"] = effective_fraction(model, masks, x[:1])
    if masks is not None and config.recipe.iterations == 0:
        kept = [int(mask.sum()) for mask in masks.values() if mask.ndim > 1]
        outcome["layers"] = " ".join(map(str, kept))
    if config.rewind:
        model = _built(config, data)
    if config.reinit:
        seed = derive_seed(config.seed, "weights after pruning")
        initialize(model, config.reinit, seed, gates=config.reinit_gates)
    if adjust := METHODS[config.method].adjust:
        adjust(model, masks)
    return model, masks, outcome


def curve_text(values: np.ndarray) -> str:
    """Means over CURVE_POINTS equal parts (or all values, if they are fewer), as a table keeps
    them: "2.303 1.71 …"."""
    parts = np.array_split(values, min(CURVE_POINTS, len(values)))
    return " ".join(f"{part.mean():.4g}" for part in parts)


def _result(history: History, engine: str) -> dict:
    """The outcome columns of a run that was trained."""
    last = -max(1, len(history.loss) // 10)
    return {
        "error": history.error,
        "error_best": history.error_best,
        "error_last_five": history.error_last_five,
        "train_loss": float(history.loss[last:].mean()),
        "train_error": float(history.train_error[last:].mean()),
        "loss_curve": curve_text(history.loss),
        "error_curve": curve_text(history.train_error),
        "test_curve": " ".join(f"{error:.4g}" for error in history.test_error),
        "engine": engine,
        "trained_in": history.precision,
        "seconds": history.seconds,
        "step_seconds": history.step_seconds,
    }


def run(configs: Sequence[Config], data: Data, engine: str, **keep) -> list[dict | Exception]:
    """Build, score, prune and, unless for 0 iterations, train as each of `configs` says: the
    outcome columns of its row, or what went wrong. Several must share seed, recipe, train and test
    images and their scale, and so their batches; the network, where it is trained before it is
    pruned, or scored and not trained. `keep`: the checkpoint and more, as for `train`.
    """
    scored, data = images_of(configs[0], data)
    dense, outcomes, ready = None, [], []
    if configs[0].pretrain:
        file = keep.get("checkpoint")
        before = {"checkpoint": file and Path(file).with_suffix(".dense.pt"), "watch": None}
        dense = pretrained(configs[0], data, **keep | before)
    elif configs[0].recipe.iterations == 0:
        dense = _built(configs[0], scored)  # to draw a large one takes longer than to score it
    for config in configs:
        try:
            ready.append(prepare(config, scored, dense))
            outcomes.append(ready[-1][-1])
        except Exception as error:  # its own row says so; the others go on
            traceback.print_exception(error)  # where in a method or network of one's own
            outcomes.append(error)
    if not ready or configs[0].recipe.iterations == 0:
        return outcomes
    models, masks, _ = (list(part) for part in zip(*ready, strict=True))
    recipe, seed = configs[0].recipe, configs[0].seed
    histories = iter(train_with(engine, models, data, recipe, masks, seed, **keep))
    for k, outcome in enumerate(outcomes):
        if isinstance(outcome, dict):
            history = next(histories)
            failed = isinstance(history, Exception)
            outcomes[k] = history if failed else outcome | _result(history, engine)
    return outcomes


# ------------------------------------------------------------------------------------ in a worker


def do_task(task: Task, place: Placement) -> tuple[str, list[dict]]:
    """The runs of a task, in a worker: its key, and a row of each; what goes wrong becomes a row's
    status."""
    # A worker is used again, and its caller may have changed them since.
    MODELS[task.configs[0].model] = task.spec
    METHODS.update({method.name: method for method in task.methods})
    # One job runs in the very process that called `run_grid`, which may be anybody's child.
    if os.getpid() != place.parent and multiprocessing.current_process().name != "MainProcess":
        end_with_parent(place.parent)
    with contextlib.suppress(OSError):  # a full disk: these runs are then begun anew, if killed
        task.file(".runs").write_text(" ".join([task.data, *task.runs]))
    device = str(pick_device(place.device or None))
    several = device == "cuda" and torch.cuda.device_count() > 1

    configs = [
        dataclasses.replace(
            config, recipe=dataclasses.replace(config.recipe, precision=task.precision)
        )
        for config in task.configs
    ]

    def watch(done: int, seconds: float) -> None:
        with contextlib.suppress(OSError):  # a full disk: only the bar misses it
            task.file(".steps").write_text(f"{done} {seconds}")

    keep = {"checkpoint": task.file(".pt"), "checkpoint_seconds": place.checkpoint_seconds}
    with own_gpu() if several else contextlib.nullcontext(device) as device:
        try:
            with computing_with(place.threads, torch.device(device)):
                data = _worker_data(configs[0].dataset, place.root, device, task.data)
                outcomes = run(configs, data, task.engine, watch=watch, **keep)
        except Exception as error:  # rows that say so; the other runs go on
            if not isinstance(error, FloatingPointError):  # which diverged: no error of the code
                traceback.print_exception(error)
            outcomes = [error] * len(task.configs)
        common = {"data": task.data, "source": task.source, "threads": place.threads}
        common["hardware"] = hardware(torch.device(device))
    give_memory_back()
    rows = []
    for config, outcome in zip(task.configs, outcomes, strict=True):
        row = {"run": identity(config), **flat_fields(config), **OUTCOME, **CURVES, **common}
        if isinstance(outcome, dict):
            row |= outcome
        elif isinstance(outcome, FloatingPointError):
            row["status"] = f"diverged: {outcome}"
        else:
            row["status"] = f"failed: {type(outcome).__name__}: {outcome}"
        row["status"] = " ".join(row["status"].split())[:300]
        rows.append(row)
    return task.file("").name, rows


@lru_cache(maxsize=2)
def _worker_data(name: str, root: Path | None, device: str, expected: str) -> Data:
    """`load_data`, once in a worker for its many runs, of the data that `run_grid` has seen."""
    with warnings.catch_warnings(action="ignore", category=FallbackWarning):  # said by `run_grid`
        data = load_data(name, root, device)
    if data.digest != expected:
        raise RuntimeError(f"the data changed during the runs: {data.digest}, not {expected}")
    return data
