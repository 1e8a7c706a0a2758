"""Many runs: what each is, doing them in parallel, and the file that holds a row of each."""

import contextlib
import csv
import dataclasses
import hashlib
import json
import math
import multiprocessing
import os
import platform
import tempfile
import threading
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import filelock
import joblib
import numpy as np
import pandas as pd
import torch
from torch import nn

from snipcore import (
    INITIALIZERS,
    MODELS,
    build_model,
    check_known,
    collapsed,
    derive_seed,
    initialize,
    kept_count,
    pick_device,
    prunable,
)
from sniplab.controls import METHODS, digest, make_masks
from sniplab.data import DATASETS, Data, draw_batch, load_data, random_labels
from sniplab.sparse import STACK, STACK_SPARSITY, TRIAL_WORTH, fastest_engine, stackable, train_with
from sniplab.training import PROTOCOLS, History, Recipe, progress

RESULTS_VERSION = 3  # of the columns and of what they mean; another version is not read as this one


@dataclass(frozen=True)
class Config:
    """One run: build, score, prune, train. Two runs with one seed share initial weights, scoring
    batch and order of batches, whatever their method and sparsity: they are paired."""

    model: str
    recipe: Recipe
    method: str = "snip"
    sparsity: float = 0.9  # 0 for "dense"
    seed: int = 0
    dataset: str = ""  # default: the model's own
    init: str = "vs"
    reinit: str = ""  # initialiser of new weights under the mask; default: train those scored
    scoring_batch: int = 100  # images; 0: the whole train split
    norm: str = "batch"  # or "initial": statistics of normalisation while scoring
    labels: str = "true"  # "random": train on labels dealt out anew; scored on true ones always
    train_images: int = 0  # train on so many of the train images, drawn by the seed; 0: on all
    test_images: int = 0  # test on the first so many; 0: on all

    def __post_init__(self):
        check_known(self.model, MODELS, "model")
        check_known(self.method, METHODS, "method")
        check_known(self.init, INITIALIZERS, "initialiser")
        if self.reinit:
            check_known(self.reinit, INITIALIZERS, "initialiser")
        if not self.dataset:
            object.__setattr__(self, "dataset", MODELS[self.model].dataset)
        check_known(self.dataset, DATASETS, "data set")
        kept_count(2**62, self.sparsity)
        if self.method == "dense" and self.sparsity:
            raise ValueError(f"a dense network has sparsity 0, not {self.sparsity}")
        check_known(self.norm, ("batch", "initial"), "norm")
        check_known(self.labels, ("true", "random"), "kind of labels")
        for name in ("seed", "scoring_batch", "train_images", "test_images"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)} is below 0")


def _identity(config: Config, source: str) -> dict:
    """The columns of the results that say which run a row is of."""
    fields = dataclasses.asdict(config)
    recipe = fields.pop("recipe")
    row = {"version": RESULTS_VERSION, **fields, **recipe, "source": source}
    text = json.dumps(row, sort_keys=True, default=lambda number: number.item())  # NumPy's numbers
    return {"run": hashlib.sha256(text.encode()).hexdigest()[:16], **row}


OUTCOME = {  # column: value until the run has one
    "status": "ok",  # else "diverged: …" or "failed: …"
    "m": 0,
    "kept": 0,
    "masks": "",  # their digest
    "collapsed": "",  # what they cut: see `collapsed`
    "error": math.nan,
    "error_best": math.nan,
    "train_loss": math.nan,  # mini-batches of the last tenth of the iterations
    "train_error": math.nan,  # the same
    "loss_curve": "",  # means over CURVE_POINTS equal parts of the run, separated by spaces
    "error_curve": "",  # the same of the train error
    "engine": "",  # how it was trained: "masked", "sparse" or "stacked"
    "trained_in": "",  # the precision: what "auto" came to
    "seconds": math.nan,
    "step_seconds": math.nan,  # of a training step, in the mean
    "hardware": "",
    "threads": 0,
}

COLUMNS = {  # name: type
    name: type(value)
    for name, value in (
        _identity(Config("lenet-300-100", PROTOCOLS["mnist"]), "") | OUTCOME
    ).items()
}


def hardware(device: torch.device | None = None) -> str:
    """What computed it, for the line under a figure: processor, cores, version of PyTorch."""
    if device is not None and device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():  # Linux: `platform` knows no more than the architecture
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if "model name" in line), name)
    return f"{name}, {joblib.cpu_count()} cores, torch {torch.__version__}"


CURVE_POINTS = 100


def curve_text(values: np.ndarray) -> str:
    """Means over CURVE_POINTS equal parts (or all values, if they are fewer), as a table keeps
    them: "2.303 1.71 …"."""
    parts = np.array_split(values, min(CURVE_POINTS, len(values)))
    return " ".join(f"{part.mean():.4g}" for part in parts)


def _prepare(config: Config, data: Data) -> tuple[nn.Module, dict | None, Data, dict]:
    """Build, score and prune: the model, its masks, the data to train on, and outcome columns."""
    model = build_model(config.model, config.init, config.seed).to(data.x_train.device)
    m = sum(weight.numel() for weight in prunable(model).values())
    x, y = draw_batch(data, config.scoring_batch or len(data.y_train), config.seed)
    masks = make_masks(model, config.method, config.sparsity, x, y, config.seed, config.norm)
    outcome = {"m": m, "kept": m}
    if masks is not None:
        outcome["kept"] = sum(int(mask.sum()) for mask in masks.values())
        outcome["masks"] = digest(masks)
        outcome["collapsed"] = "; ".join(collapsed(model, masks, x))
    if config.reinit:
        initialize(model, config.reinit, derive_seed(config.seed, "weights after pruning"))
    if config.train_images:
        x, y = draw_batch(data, config.train_images, derive_seed(config.seed, "train images"))
        data = dataclasses.replace(data, x_train=x, y_train=y)
    if config.test_images:
        x, y = data.x_test[: config.test_images], data.y_test[: config.test_images]
        data = dataclasses.replace(data, x_test=x, y_test=y)
    if config.labels == "random":
        data = dataclasses.replace(data, y_train=random_labels(data.y_train, config.seed))
    return model, masks, data, outcome


def _result(history: History, engine: str) -> dict:
    """The outcome columns of a run that was trained."""
    last = -max(1, len(history.loss) // 10)
    return {
        "error": history.error,
        "error_best": history.error_best,
        "train_loss": float(history.loss[last:].mean()),
        "train_error": float(history.train_error[last:].mean()),
        "loss_curve": curve_text(history.loss),
        "error_curve": curve_text(history.train_error),
        "engine": engine,
        "trained_in": history.precision,
        "seconds": history.seconds,
        "step_seconds": history.step_seconds,
    }


def run(configs: Sequence[Config], data: Data) -> list[dict | Exception]:
    """Build, score, prune and train as each of `configs` says: the outcome columns of its row, or
    what went wrong. They must share seed, recipe, train and test images, and so their batches."""
    outcomes, ready = [], []
    for config in configs:
        try:
            ready.append(_prepare(config, data))
            outcomes.append(ready[-1][-1])
        except Exception as error:  # its own row says so; the others go on
            outcomes.append(error)
    if not ready:
        return outcomes
    models, masks, train_data, _ = (list(part) for part in zip(*ready, strict=True))
    recipe, seed = configs[0].recipe, configs[0].seed
    engine = fastest_engine(models, train_data[0], recipe, masks, seed)
    histories = iter(train_with(engine, models, train_data[0], recipe, masks, seed))
    for k, outcome in enumerate(outcomes):
        if isinstance(outcome, dict):
            history = next(histories)
            failed = isinstance(history, Exception)
            outcomes[k] = history if failed else outcome | _result(history, engine)
    return outcomes


@lru_cache(maxsize=2)
def _worker_data(name: str, device: str, source: str) -> Data:
    """`load_data`, once in a worker for its many runs, of the data that `run_grid` has seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # `run_grid` has passed on that of a fallback
        data = load_data(name, device=device)
    if data.source != source:
        raise RuntimeError(f"the data changed during the runs: {data.source}, not {source}")
    return data


@lru_cache
def _end_with_parent() -> None:
    """In a worker: end when the process that started it is gone, by a kernel's restart, say.
    Otherwise it would go on with its run for nobody."""
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@lru_cache
def _own_gpu() -> tuple[str, filelock.FileLock | None]:
    """A GPU that no other worker on this machine has taken, and the lock that says so for as long
    as this process lives; any GPU, if all are taken."""
    for number in range(torch.cuda.device_count()):
        lock = filelock.FileLock(Path(tempfile.gettempdir()) / f"snip-gpu-{number}.lock", timeout=0)
        with contextlib.suppress(filelock.Timeout):
            lock.acquire()
            return f"cuda:{number}", lock
    return "cuda", None


def _rows(configs: Sequence[Config], source: str, device: str, threads: int) -> list[dict]:
    """Runs in a worker, as rows; what goes wrong becomes a row's status."""
    if multiprocessing.current_process().name != "MainProcess":
        _end_with_parent()
    if device == "cuda" and torch.cuda.device_count() > 1:
        device, _ = _own_gpu()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        outcomes = run(configs, _worker_data(configs[0].dataset, device, source))
    except Exception as error:  # rows that say so; the other runs go on
        outcomes = [error] * len(configs)
    finally:
        torch.set_num_threads(before)
    common = {"threads": threads, "hardware": hardware(torch.device(device))}
    rows = []
    for config, outcome in zip(configs, outcomes, strict=True):
        row = {**_identity(config, source), **OUTCOME, **common}
        if isinstance(outcome, dict):
            row |= outcome
        elif isinstance(outcome, FloatingPointError):
            row["status"] = f"diverged: {outcome}"
        else:
            row["status"] = f"failed: {type(outcome).__name__}: {outcome}"
        row["status"] = " ".join(row["status"].split())[:300]
        rows.append(row)
    return rows


def _together(configs: Sequence[Config], workers: int) -> list[list[Config]]:
    """The configurations in groups, each for one worker at a time: those that `train_stacked` can
    train as one network, sparse ones first, and every other by itself."""
    shapes = {name: stackable(build_model(name)) for name in {c.model for c in configs}}
    alone, groups = 0, {}
    for config in configs:
        sparse = config.sparsity >= STACK_SPARSITY and config.recipe.iterations >= TRIAL_WORTH
        key = (config.model, config.recipe, config.seed, config.dataset)
        key += (config.labels, config.train_images, config.test_images)
        if not (sparse and shapes[config.model]):
            key, alone = alone, alone + 1
        groups.setdefault(key, []).append(config)
    size = min(STACK, max(4, -(-(len(configs) - alone) // workers)))
    return [
        group[start : start + size]
        for group in (sorted(g, key=lambda c: -c.sparsity) for g in groups.values())
        for start in range(0, len(group), size)
    ]


def read_results(path: str | os.PathLike) -> pd.DataFrame:
    """The rows that `run_grid` wrote to `path`; none if there is no such file.

    Raises ValueError for a torn or foreign file and for one of another version.
    """
    path = Path(path)
    if not path.exists():
        return pd.DataFrame(columns=list(COLUMNS))
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = list(csv.reader(text.splitlines()))
    if not lines or lines[0][:2] != ["run", "version"]:
        raise ValueError(f"{path} is no file of results; move it away, or write elsewhere")
    versions = {line[1] for line in lines[1:] if len(line) > 1} | {str(RESULTS_VERSION)}
    if lines[0] != list(COLUMNS) or len(versions) > 1:
        raise ValueError(
            f"{path} was written by another version of snipcore (this one writes version "
            f"{RESULTS_VERSION}); move it away, and the runs are done again"
        )
    torn = [n for n, line in enumerate(lines, 1) if len(line) != len(COLUMNS)]
    if torn or not text.endswith("\n"):
        n = torn[0] if torn else len(lines)
        raise ValueError(
            f"line {n} of {path} is torn, as by a full disk or a copy cut short; delete that line, "
            "and its run is done again"
        )
    rows = pd.DataFrame(lines[1:], columns=list(COLUMNS))
    for name, kind in COLUMNS.items():
        if kind is bool:
            rows[name] = rows[name] == "True"
        elif kind is not str:  # "" is written for NaN
            rows[name] = np.array([kind(text or "nan") for text in rows[name]], dtype=kind)
    return rows


def _write_results(rows: pd.DataFrame, path: Path) -> None:
    """Replace the file as a whole: whoever reads it, after a kill too, finds the old or the new."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8") as file:
        rows.to_csv(file, index=False)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def run_grid(
    configs: Iterable[Config | Mapping],
    results: str | os.PathLike,
    n_jobs: int = -1,
    device: str | torch.device | None = None,
) -> pd.DataFrame:
    """Do every run that `results` does not hold yet, in parallel, and return the rows of `configs`.

    Each row is on disk as soon as its run ends, so a call that was killed is simply repeated. A
    run that diverges or raises becomes a row whose `status` says so; repeating the call tries
    the failed ones again, not the diverged ones.

    Args:
        configs: Configs, or mappings of their fields.
        results: a CSV file; its folder is made if need be.
        n_jobs: workers, each with its share of the cores; -1: one for each core, or, on CUDA, one
            for each GPU, which it has to itself. Under `joblib.parallel_config(backend="dask")`
            they are those of the cluster (on CUDA say how many).
        device: default CUDA where there is one.

    Returns:
        One row for each configuration, in their order, with COLUMNS.

    Raises:
        ValueError: a configuration that cannot be right (before anything runs), n_jobs 0, or a
            results file that is torn, foreign or of another version.
        RuntimeError: another process is writing to `results`, or there is no such device.
        OSError: the folder cannot be written.
    """
    configs = [c if isinstance(c, Config) else Config(**c) for c in configs]
    device = str(pick_device(device))
    if n_jobs == 0:
        raise ValueError("n_jobs 0 does nothing: give the number of workers, or -1 for all cores")
    cores = joblib.cpu_count()
    gpus = torch.cuda.device_count() if device == "cuda" else 1
    workers = gpus if device != "cpu" and n_jobs < 0 else joblib.effective_n_jobs(n_jobs)
    threads = max(1, cores // workers)  # not by how many runs are left: a resumed sweep is the same
    results = Path(results)
    results.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(f"{results}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RuntimeError(
            f"another process is writing to {results}; wait for it or end it"
        ) from None
    try:
        rows = read_results(results)
        # Loaded here once, so that a download or a warning happens once, and so that rows of a
        # fallback are never taken for rows of the real data.
        sources = {
            name: load_data(name, device=device).source for name in {c.dataset for c in configs}
        }
        wanted = {_identity(c, sources[c.dataset])["run"]: c for c in configs}
        done = set(rows.run[~rows.status.str.startswith("failed")]) if len(rows) else set()
        todo = [c for key, c in wanted.items() if key not in done]
        tasks = [
            (group, sources[group[0].dataset], device, threads)
            for group in _together(todo, workers)
        ]
        finished = joblib.Parallel(
            n_jobs=min(workers, max(1, len(tasks))), return_as="generator_unordered", batch_size=1
        )(joblib.delayed(_rows)(*task) for task in tasks)
        bar = progress(None, total=len(todo), desc="runs", unit="run")
        for new in map(pd.DataFrame, finished):
            others = rows[~rows.run.isin(new.run)]
            rows = pd.concat([others, new]) if len(others) else new
            _write_results(rows, results)
            bar.update(len(new))
        bar.close()
    finally:
        lock.release()
    if not len(rows):
        return pd.DataFrame(columns=list(COLUMNS))
    rows = rows.set_index("run", drop=False).loc[list(wanted)].reset_index(drop=True)
    cut = rows[rows.collapsed != ""]
    if len(cut):
        warnings.warn(
            f"{len(cut)} of {len(rows)} masks cut their network, see the column collapsed; the "
            f"first: {cut.model.iloc[0]}, {cut.method.iloc[0]}, {cut.collapsed.iloc[0]}",
            UserWarning,
            stacklevel=2,
        )
    bad = rows[rows.status != "ok"]
    if len(bad):
        warnings.warn(
            f"{len(bad)} of {len(rows)} runs did not end well, see the column status; the first: "
            f"{bad.model.iloc[0]}, {bad.method.iloc[0]}, {bad.status.iloc[0]}",
            UserWarning,
            stacklevel=2,
        )
    return rows
