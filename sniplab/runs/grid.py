"""Many runs: what each is, doing them in parallel, and the file that holds a row of each."""

import contextlib
import csv
import ctypes
import dataclasses
import getpass
import hashlib
import io
import json
import math
import multiprocessing
import os
import platform
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import filelock
import joblib
import numpy as np
import pandas as pd
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from torch import nn
from tqdm.auto import tqdm

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
from sniplab.data import (
    DATASETS,
    Data,
    FallbackWarning,
    data_root,
    draw_batch,
    load_data,
    random_labels,
)
from sniplab.methods import METHODS, digest, make_masks
from sniplab.sparse import STACK, engine_for, train_with
from sniplab.training import (
    PROTOCOLS,
    History,
    Recipe,
    progress,
    replacing,
    settle_types,
    settled_precision,
)

RESULTS_VERSION = 6  # of the columns and of what they mean; another version is not read as this one


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
    gates: float = 1.0  # what the biases of a recurrent network's gates start at
    reinit: str = ""  # initialiser of new weights under the mask; default: train those scored
    reinit_gates: float = -1.0  # the same for the new weights; below 0: as `gates`
    scoring_batch: int = 100  # images; 0: the whole train split
    norm: str = "running"  # or "batch": statistics of normalisation while scoring
    biases: bool = True  # pruned and counted; if not, all stay
    inputs: str = "standard"  # or "unit": pixels from 0 to 1
    validation: bool = False  # train on the validation images, too
    labels: str = "true"  # "random": train on labels dealt out anew; scored on true ones always
    train_images: int = 0  # train on so many of the train images, drawn by the seed; 0: on all
    test_images: int = 0  # test on the first so many; 0: on all

    def __post_init__(self):
        settle_types(self)
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
        check_known(self.norm, ("running", "batch"), "norm")
        if self.method == "gradient" and self.norm == "batch":
            raise ValueError("the gradient alone is taken with running statistics only")
        check_known(self.inputs, ("standard", "unit"), "scale of the inputs")
        if self.reinit_gates < 0 or not self.reinit:
            object.__setattr__(self, "reinit_gates", self.gates)
        check_known(self.labels, ("true", "random"), "kind of labels")
        for name in ("seed", "scoring_batch", "train_images", "test_images"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)} is below 0")


def _config(given: Config | Mapping) -> Config:
    """A Config of a mapping of its fields, such as `dataclasses.asdict` gives."""
    if isinstance(given, Config):
        return given
    fields = dict(given)
    if isinstance(fields.get("recipe"), Mapping):
        fields["recipe"] = Recipe(**fields["recipe"])
    return Config(**fields)


def _identity(config: Config, data: str) -> dict:
    """The columns of the results that say which run a row is of; `data` is the digest of the data
    set."""
    fields = dataclasses.asdict(config)
    recipe = fields.pop("recipe")
    row = {"version": RESULTS_VERSION, **fields, **recipe, "data": data}
    return {"run": hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16], **row}


OUTCOME = {  # column: value until the run has one
    "status": "ok",  # else "diverged: …" or "failed: …"
    "source": "",  # of the data, in a sentence
    "m": 0,
    "kept": 0,
    "masks": "",  # their digest
    "collapsed": "",  # what they cut: see `collapsed`
    "layers": "",  # of a run that only scores: how many of each layer's weights they keep
    "error": math.nan,
    "error_best": math.nan,
    "train_loss": math.nan,  # mini-batches of the last tenth of the iterations
    "train_error": math.nan,  # the same
    "loss_curve": "",  # means over CURVE_POINTS equal parts of the run, separated by spaces
    "error_curve": "",  # the same of the train error
    "test_curve": "",  # test error at each checkpoint, separated by spaces
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
    """What computed it, for the line under a figure: processor, cores, the vector units that
    PyTorch uses there (others round otherwise, so the last digits differ), version of PyTorch."""
    if device is not None and device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():  # Linux: `platform` knows no more than the architecture
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if "model name" in line), name)
    units = torch.backends.cpu.get_cpu_capability()
    return f"{name}, {joblib.cpu_count()} cores, {units}, torch {torch.__version__}"


CURVE_POINTS = 100


def curve_text(values: np.ndarray) -> str:
    """Means over CURVE_POINTS equal parts (or all values, if they are fewer), as a table keeps
    them: "2.303 1.71 …"."""
    parts = np.array_split(values, min(CURVE_POINTS, len(values)))
    return " ".join(f"{part.mean():.4g}" for part in parts)


def _from_0_to_1(data: Data) -> Data:
    """The same images as x/255: the scale on which they are stored."""
    low, high = (limit(data.x_train, (0, 2, 3), keepdim=True) for limit in (torch.amin, torch.amax))
    parts = ("x_train", "x_val", "x_test")
    return dataclasses.replace(data, **{p: (getattr(data, p) - low) / (high - low) for p in parts})


def _prepare(config: Config, data: Data) -> tuple[nn.Module, dict | None, Data, dict]:
    """Build, score and prune: the model, its masks, the data to train on, and outcome columns."""
    if config.inputs == "unit":
        data = _from_0_to_1(data)
    model = build_model(config.model, config.init, config.seed, gates=config.gates)
    model.to(data.x_train.device)
    m = sum(weight.numel() for weight in prunable(model).values())
    x, y = draw_batch(data, config.scoring_batch or len(data.y_train), config.seed)
    how = (config.method, config.sparsity, x, y, config.seed, config.norm, config.biases)
    masks = make_masks(model, *how)
    outcome = {"m": m, "kept": m}
    if masks is not None:
        outcome["kept"] = sum(int(mask.sum()) for mask in masks.values())
        outcome["masks"] = digest(masks)
        outcome["collapsed"] = "; ".join(collapsed(model, masks, x))
    if masks is not None and config.recipe.iterations == 0:
        kept = [int(mask.sum()) for mask in masks.values() if mask.ndim > 1]
        outcome["layers"] = " ".join(map(str, kept))
    if config.reinit:
        seed = derive_seed(config.seed, "weights after pruning")
        initialize(model, config.reinit, seed, gates=config.reinit_gates)
    if adjust := METHODS[config.method].adjust:
        adjust(model, masks)
    if config.validation:
        x, y = torch.cat([data.x_train, data.x_val]), torch.cat([data.y_train, data.y_val])
        data = dataclasses.replace(data, x_train=x, y_train=y)
    for name, labels in (("train_images", data.y_train), ("test_images", data.y_test)):
        if (wanted := getattr(config, name)) > len(labels):
            raise ValueError(f"{name} {wanted}: there are {len(labels)}")
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
        "test_curve": " ".join(f"{error:.4g}" for error in history.test_error),
        "engine": engine,
        "trained_in": history.precision,
        "seconds": history.seconds,
        "step_seconds": history.step_seconds,
    }


def run(configs: Sequence[Config], data: Data, engine: str, **keep) -> list[dict | Exception]:
    """Build, score, prune and, unless for 0 iterations, train as each of `configs` says: the
    outcome columns of its row, or what went wrong. Several must share seed, recipe, train and test
    images and their scale, and so their batches. `keep`: the checkpoint and more, as for `train`.
    """
    outcomes, ready = [], []
    for config in configs:
        try:
            ready.append(_prepare(config, data))
            outcomes.append(ready[-1][-1])
        except Exception as error:  # its own row says so; the others go on
            outcomes.append(error)
    if not ready or configs[0].recipe.iterations == 0:
        return outcomes
    models, masks, train_data, _ = (list(part) for part in zip(*ready, strict=True))
    recipe, seed = configs[0].recipe, configs[0].seed
    histories = iter(train_with(engine, models, train_data[0], recipe, masks, seed, **keep))
    for k, outcome in enumerate(outcomes):
        if isinstance(outcome, dict):
            history = next(histories)
            failed = isinstance(history, Exception)
            outcomes[k] = history if failed else outcome | _result(history, engine)
    return outcomes


# ------------------------------------------------------------------------------------ in a worker


@lru_cache(maxsize=2)
def _worker_data(name: str, root: Path | None, device: str, expected: str) -> Data:
    """`load_data`, once in a worker for its many runs, of the data that `run_grid` has seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)  # `run_grid` has passed on the same
        data = load_data(name, root, device)
    if data.digest != expected:
        raise RuntimeError(f"the data changed during the runs: {data.digest}, not {expected}")
    return data


@lru_cache
def _end_with_parent(parent: int) -> None:
    """In a worker: end when the process that started it is gone, by a kernel's restart, say.
    Otherwise it would go on with its run for nobody. `parent`: its number, since it may be gone
    before a worker can ask; 0 if another program starts the workers."""
    parent = parent or os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _own_gpu() -> Iterator[str]:
    """A GPU that no other worker of this user on this machine has taken; any, if all are taken."""
    for number in range(torch.cuda.device_count()):
        name = f"snip-gpu-{number}-{getpass.getuser()}.lock"
        lock = filelock.FileLock(Path(tempfile.gettempdir()) / name, timeout=0)
        with contextlib.suppress(filelock.Timeout), lock:
            yield f"cuda:{number}"
            return
    yield "cuda"


@contextlib.contextmanager
def _computing_with(threads: int, device: torch.device) -> Iterator[None]:
    """So many threads, float32 that is float32, and on CUDA deterministic operations only, none
    chosen by trial. On the CPU nothing is random as it is."""
    before, was = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    precision, cudnn = torch.get_float32_matmul_precision(), contextlib.nullcontext()
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.use_deterministic_algorithms(True)
        # TF32, of 10 bits a product, is PyTorch's default for convolutions.
        how = {"benchmark": False, "deterministic": True, "allow_tf32": False}
        cudnn = torch.backends.cudnn.flags(enabled=True, **how)
    try:
        with cudnn:
            yield
    finally:
        torch.set_num_threads(before)
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(was)


def _give_memory_back() -> None:
    """To the system, what large networks have freed: the C library keeps it, a gigabyte after a
    ResNet-34, and joblib takes a worker that grew for one that leaks, and starts another."""
    with contextlib.suppress(OSError, AttributeError):  # other systems have another library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@dataclass(frozen=True)
class _Task:
    """Runs for one worker at a time: several are trained as one network."""

    configs: tuple[Config, ...]
    engine: str
    data: str  # digest of the data set
    source: str  # of the data, in a sentence
    parts: Path  # the folder of checkpoints

    @property
    def key(self) -> str:
        runs = "".join(_identity(config, self.data)["run"] for config in self.configs)
        return hashlib.sha256(runs.encode()).hexdigest()[:16]

    @property
    def checkpoint(self) -> Path:
        return self.parts / f"{self.key}.pt"

    @property
    def steps(self) -> Path:
        """Where the worker says how far it is: steps done and the seconds of one."""
        return self.parts / f"{self.key}.steps"


def _rows(
    task: _Task,
    device: str,
    threads: int,
    parent: int,
    root: Path | None,
    every: float,
) -> tuple[str, list[dict]]:
    """Runs in a worker: the key of the task, and rows; what goes wrong becomes a row's status.
    `parent`: as for `_end_with_parent`; `root`: as for `load_data`."""
    # One job runs in the very process that called `run_grid`, which may be anybody's child.
    if os.getpid() != parent and multiprocessing.current_process().name != "MainProcess":
        _end_with_parent(parent)
    device = str(pick_device(device or None))
    several = device == "cuda" and torch.cuda.device_count() > 1

    def watch(done: int, seconds: float) -> None:
        task.steps.write_text(f"{done} {seconds}")

    keep = {"checkpoint": task.checkpoint, "checkpoint_seconds": every, "watch": watch}
    with _own_gpu() if several else contextlib.nullcontext(device) as place:
        try:
            with _computing_with(threads, torch.device(place)):
                data = _worker_data(task.configs[0].dataset, root, place, task.data)
                outcomes = run(task.configs, data, task.engine, **keep)
        except Exception as error:  # rows that say so; the other runs go on
            outcomes = [error] * len(task.configs)
        common = {"source": task.source, "threads": threads}
        common["hardware"] = hardware(torch.device(place))
    _give_memory_back()
    rows = []
    for config, outcome in zip(task.configs, outcomes, strict=True):
        row = {**_identity(config, task.data), **OUTCOME, **common}
        if isinstance(outcome, dict):
            row |= outcome
        elif isinstance(outcome, FloatingPointError):
            row["status"] = f"diverged: {outcome}"
        else:
            row["status"] = f"failed: {type(outcome).__name__}: {outcome}"
        row["status"] = " ".join(row["status"].split())[:300]
        rows.append(row)
    return task.key, rows


# --------------------------------------------------------------------------------- the whole grid


@lru_cache
def _shapes(model: str) -> nn.Module:
    """A network of which there are only the shapes: nothing is stored or drawn."""
    with torch.device("meta"):
        return MODELS[model].build(10)


def _together(
    configs: Sequence[Config], data: Mapping[str, tuple], parts: Path, device: str, workers: int
) -> list[_Task]:
    """The configurations as tasks: those that `train_stacked` can train as one network, sparse ones
    first, and every other by itself. `data`: digest and source of each data set."""
    place = torch.device(device)
    engines = [engine_for(_shapes(c.model), c.sparsity, c.recipe, place) for c in configs]
    groups = {}
    for number, (config, engine) in enumerate(zip(configs, engines, strict=True)):
        key = (config.model, config.recipe, config.seed, config.dataset)
        key += (config.labels, config.train_images, config.test_images)
        key += (config.inputs, config.validation)
        groups.setdefault(key if engine == "stacked" else number, (engine, []))[1].append(config)
    size = min(STACK, max(4, -(-engines.count("stacked") // workers)))
    tasks = []
    for engine, group in groups.values():
        group = sorted(group, key=lambda config: -config.sparsity)
        for start in range(0, len(group), size):
            some = tuple(group[start : start + size])
            tasks.append(_Task(some, engine, *data[some[0].dataset], parts))
    return tasks


def _check_pairs(hows: Mapping[Config, tuple[str, int]]) -> None:
    """Raise ValueError where runs of one pair differ in `hows`, precision and threads of each."""
    pairs = {}
    for config, how in hows.items():
        recipe = dataclasses.replace(config.recipe, precision="auto")
        pair = (config.model, recipe, config.seed, config.dataset, config.labels)
        other = pairs.setdefault((*pair, config.train_images), how)
        if other != how:
            both = " and some ".join(
                f"in {precision} with {threads} thread{'s' * (threads != 1)}"
                for precision, threads in (other, how)
            )
            raise ValueError(
                f"the runs of {config.model}, seed {config.seed}, would be compared, but some are "
                f"{both}: name one precision in the recipe of all and give the same n_jobs, or "
                "move away the rows of the other"
            )


def read_results(path: str | os.PathLike) -> pd.DataFrame:
    """The rows that `run_grid` wrote to `path`; none if there is no such file.

    Raises ValueError for a torn, damaged or foreign file, for one of another version, and where
    two lines are of the same run.
    """
    path = Path(path).expanduser()
    if not path.exists():
        return _typed(pd.DataFrame(columns=list(COLUMNS)))
    text = path.read_bytes().decode("utf-8", errors="replace")
    # Line ends inside of a quoted field are part of it.
    try:
        lines = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:  # a field without end
        raise ValueError(
            f"{path} is damaged, as by a power cut ({error}); delete what follows its last whole "
            "line, and what is lost is done again"
        ) from error
    if not lines or lines[0][:2] != ["run", "version"]:
        raise ValueError(f"{path} is no file of results; move it away, or write elsewhere")
    versions = {line[1] for line in lines[1:] if len(line) > 1} | {str(RESULTS_VERSION)}
    if lines[0] != list(COLUMNS) or len(versions) > 1:
        raise ValueError(
            f"{path} was written by another version of sniplab (this one writes version "
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
    if rows.run.duplicated().any():
        n = int(rows.run.duplicated().argmax()) + 2
        raise ValueError(f"line {n} of {path} is of a run that an earlier line is of: delete one")
    try:
        return _typed(rows)
    except ValueError as error:
        raise ValueError(f"{path} holds what is no result: {error}; move it away") from error


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Each column as its type, read from text or not."""
    for name, kind in COLUMNS.items():
        if kind is bool:
            if wrong := set(rows[name].astype(str)) - {"True", "False"}:
                raise ValueError(f"{name} {min(wrong)!r}, neither True nor False")
            rows[name] = rows[name].astype(str) == "True"
        elif kind is str:
            rows[name] = pd.Series([str(value) for value in rows[name]], rows.index, dtype=str)
        else:  # "" is written for NaN
            values = [kind("nan" if value == "" else value) for value in rows[name]]
            rows[name] = np.array(values, dtype=kind)
    return rows


def _write_results(rows: pd.DataFrame, path: Path) -> None:
    with replacing(path, "w", encoding="utf-8", newline="") as file:
        rows.to_csv(file, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


def layer_counts(rows: pd.DataFrame) -> pd.DataFrame:
    """What the masks of runs that only scored keep, a line for each layer of each run.

    Returns:
        Columns model, norm, seed, scoring_batch, path (whether one leads through the network),
        number (of the layer, from the input), layer, kept, size and fraction, all of weights;
        biases are left out.
    """
    lines = []
    for row in rows[rows.layers != ""].itertuples():
        run = (row.model, row.norm, row.seed, row.scoring_batch, "no path" not in row.collapsed)
        weights = prunable(_shapes(row.model)).items()
        sizes = [(name, weight.numel()) for name, weight in weights if weight.ndim > 1]
        layers = zip(map(int, row.layers.split()), sizes, strict=True)
        lines += [
            (*run, number, layer, kept, size, kept / size)
            for number, (kept, (layer, size)) in enumerate(layers, 1)
        ]
    columns = ["model", "norm", "seed", "scoring_batch", "path", "number", "layer", "kept", "size"]
    return pd.DataFrame(lines, columns=[*columns, "fraction"])


def _hours(seconds: float) -> str:
    """'40 s', '12 min' or '3.4 h'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _seconds_left(tasks: Iterable[_Task], rows: pd.DataFrame, workers: int) -> float:
    """The seconds that unfinished tasks will take, by the steps that are done and by those of
    finished runs of the same kind; NaN while nothing is known."""
    trained = rows[rows.step_seconds.notna()]  # others failed, or only scored
    known = trained.groupby(["model", "engine"]).step_seconds.median().to_dict()
    open_steps, going = [], {}
    for task in tasks:
        kind, iterations = (task.configs[0].model, task.engine), task.configs[0].recipe.iterations
        seconds, done = known.get(kind, math.nan) * len(task.configs), 0
        with contextlib.suppress(OSError, ValueError):  # not begun, or read in mid-writing
            words = task.steps.read_text().split()
            done, seconds = int(words[0]), float(words[1])
            going[kind] = seconds
        open_steps.append((kind, iterations - done, seconds))
    guess = statistics.fmean([*known.values(), *going.values()] or [math.nan])
    times = [
        steps * (going.get(kind, guess) if math.isnan(seconds) else seconds)
        for kind, steps, seconds in open_steps
    ]
    return max(sum(times) / workers, *times, 0) if times else 0.0


@contextlib.contextmanager
def _bar(
    todo: Mapping[str, _Task], rows: Callable[[], pd.DataFrame], workers: int
) -> Iterator[tqdm]:
    """A bar over runs that says how long is left, by the times of steps."""
    total = sum(len(task.configs) for task in todo.values())
    bar, ended = progress(None, total=total, desc="runs", unit="run"), threading.Event()

    def tell():
        while not ended.wait(2):
            left = _seconds_left(list(todo.values()), rows(), workers)
            if not math.isnan(left):
                bar.set_postfix_str(f"about {_hours(left)} left")

    teller = threading.Thread(target=tell, daemon=True)
    if not bar.disable:
        teller.start()
    try:
        yield bar
    finally:
        ended.set()
        if teller.is_alive():
            teller.join()
        bar.close()


def run_grid(
    configs: Iterable[Config | Mapping],
    results: str | os.PathLike,
    n_jobs: int = -1,
    device: str | torch.device | None = None,
    known: str | os.PathLike | None = None,
    train: bool = True,
    checkpoint_seconds: float = 30.0,
) -> pd.DataFrame:
    """Do every run that `results` does not hold yet, in parallel, and return the rows of `configs`.

    Each row is on disk as soon as its run ends, and every run keeps a checkpoint beside `results`
    while it lasts, so a call that was killed is simply repeated: the rows are the same, to the bit.
    A run that diverges or raises becomes a row whose `status` says so; repeating the call tries
    the failed ones again, not the diverged ones.

    Args:
        configs: Configs, or mappings of their fields.
        results: a CSV file; its folder is made if need be. Checkpoints lie in a folder beside it,
            which the machines of a cluster must share if they are to be found again.
        n_jobs: workers, each with its share of the cores; -1: one for each core, or, on CUDA, one
            for each GPU, which it has to itself. Under `joblib.parallel_config(backend="dask")`
            they are those of the cluster, with one thread each (on CUDA say how many).
        device: default CUDA where there is one, on the machine that does the run.
        known: a file of results whose rows are not run again; it is only read.
        train: do what is missing, and warn of runs that did not end well or whose masks cut their
            network; if not, what is missing is left out of the rows returned, and `results` is only
            read, while another process may be writing to it.
        checkpoint_seconds: at most so often a checkpoint is written.

    Returns:
        One row for each configuration, in their order, with COLUMNS.

    Raises:
        ValueError: a configuration that cannot be right (before anything runs), n_jobs 0, runs of a
            pair in different precisions or with different numbers of threads, or a results file
            that is torn, foreign or of another version.
        RuntimeError: another process is writing to `results`, a worker was killed, or there is no
            such device.
        OSError: the folder cannot be written, or there is no file `known`.
    """
    configs = [_config(given) for given in configs]
    here = str(pick_device(device))
    if n_jobs == 0:
        raise ValueError("n_jobs 0 does nothing: give the number of workers, or -1 for all cores")
    cores, gpus = joblib.cpu_count(), torch.cuda.device_count() if here == "cuda" else 1
    workers = gpus if here != "cpu" and n_jobs < 0 else joblib.effective_n_jobs(n_jobs)
    backend, _ = joblib.parallel.get_active_backend()
    elsewhere = type(backend).__module__ != "joblib._parallel_backends"
    # Not by how many runs are left: a resumed sweep is the same.
    threads = 1 if elsewhere else max(1, cores // workers)
    results = Path(results).expanduser().absolute()
    if train:
        results.parent.mkdir(parents=True, exist_ok=True)
    if known and not Path(known).expanduser().exists():
        raise FileNotFoundError(f"there is no {known}, whose rows should be known")
    lock = filelock.FileLock(f"{results}.lock", timeout=0)
    try:
        if train:  # who only reads need not wait: the file is replaced as a whole
            lock.acquire()
    except filelock.Timeout:
        raise RuntimeError(
            f"another process is writing to {results}; wait for it or end it"
        ) from None
    try:
        own = read_results(results)
        given = read_results(known) if known else own.iloc[:0]
        # Loaded here once, so that a download or a warning happens once, and so that rows of a
        # fallback are never taken for rows of the real data.
        loaded = {name: load_data(name, device=here) for name in {c.dataset for c in configs}}
        data = {name: (every.digest, every.source) for name, every in loaded.items()}
        digests = {name: every.digest for name, every in loaded.items()}
        del loaded
        ids = [_identity(c, digests[c.dataset])["run"] for c in configs]
        wanted = dict(zip(ids, configs, strict=True))
        _say_what_other_data_know(given, wanted, digests, train)
        # One of our own that failed, by want of memory, say, gives way to a known one.
        failed = own.status.str.startswith("failed") & own.run.isin(given.run)
        rows = pd.concat([own[~failed], given[~given.run.isin(own.run[~failed])]])
        done = set(rows.run[~rows.status.str.startswith("failed")])
        ended, place = rows[rows.status == "ok"], torch.device(here)
        hows = dict(zip(ended.run, zip(ended.trained_in, ended.threads, strict=True), strict=True))
        if train:
            for run, config in wanted.items():  # in their order: the same call, the same words
                if run not in done:
                    hows[run] = settled_precision(config.recipe, place), threads
        trained = {run: c for run, c in wanted.items() if c.recipe.iterations}
        _check_pairs({trained[run]: how for run, how in hows.items() if run in trained})
        parts = results.with_name(f"{results.stem}.checkpoints")
        # Grouped before what is done is left out, so that a resumed sweep has the same groups.
        tasks = _together(list(wanted.values()), data, parts, here, workers) if train else []
        todo = {}
        for task in tasks:
            left = [c for c in task.configs if _identity(c, task.data)["run"] not in done]
            if left:
                task = dataclasses.replace(task, configs=tuple(left))
                todo[task.key] = task
        tell = ("" if device is None and elsewhere else here, threads)
        # Workers are used again, with the environment of their start; other machines have theirs.
        tell += (0, None) if elsewhere else (os.getpid(), data_root().absolute())
        finished = joblib.Parallel(
            n_jobs=min(workers, max(1, len(todo))), return_as="generator_unordered", batch_size=1
        )(joblib.delayed(_rows)(task, *tell, checkpoint_seconds) for task in list(todo.values()))
        with _bar(todo, lambda: rows, workers) as bar:
            for key, new in finished:
                new = _typed(pd.DataFrame(new))
                own = pd.concat([own[~own.run.isin(new.run)], new])
                rows = pd.concat([rows[~rows.run.isin(new.run)], new])
                _write_results(own, results)
                task = todo.pop(key)
                task.steps.unlink(missing_ok=True)
                if not new.status.str.startswith("failed").all():  # others would have another key
                    task.checkpoint.unlink(missing_ok=True)
                bar.update(len(new))
        if train:
            with contextlib.suppress(OSError):  # not there, or not empty
                parts.rmdir()
    except TerminatedWorkerError as error:
        raise RuntimeError(
            "a worker was killed, most likely for want of memory; what has ended is kept: repeat "
            "the call, with fewer workers (n_jobs) if it happens again"
        ) from error
    finally:
        lock.release()
    there = set(rows.run)
    rows = rows.set_index("run", drop=False).loc[[run for run in ids if run in there]]
    rows = rows.reset_index(drop=True)
    if train:  # who only reads was warned when they were done
        _warn_of(rows, rows.collapsed != "", "masks cut their network", "collapsed")
        _warn_of(rows, rows.status != "ok", "runs did not end well", "status")
    return rows


def _say_what_other_data_know(
    given: pd.DataFrame, wanted: Mapping[str, Config], digests: Mapping[str, str], train: bool
) -> None:
    """Warn where the very runs that are wanted are known, but of other data than those at hand."""
    marks = set(zip(given.dataset, given.data, strict=True)) - set(digests.items())
    others = {
        mark
        for config in wanted.values()
        for dataset, mark in marks
        if dataset == config.dataset and (given.run == _identity(config, mark)["run"]).any()
    }
    if others:
        at_hand = ", ".join(f"{name} {mark}" for name, mark in digests.items())
        warnings.warn(
            f"the stored rows are of other data (digests {', '.join(sorted(others))}) than those "
            f"here ({at_hand}), so "
            + ("the runs are done anew" if train else "none of them is shown"),
            UserWarning,
            stacklevel=3,
        )


def _warn_of(rows: pd.DataFrame, which: pd.Series, what: str, column: str) -> None:
    if which.any():
        first = rows[which].iloc[0]
        warnings.warn(
            f"{which.sum()} of {len(rows)} {what}, see the column {column}; the first: "
            f"{first.model}, {first.method}, {first[column]}",
            UserWarning,
            stacklevel=3,
        )


def parts_of(rows: pd.DataFrame, plan: Mapping[str, Sequence[Config]]) -> pd.DataFrame:
    """Rows of runs, a row for each part of `plan` that a run is in, named in column `part`, in the
    order of the plan."""
    keys = {}
    for row in rows.itertuples():
        keys.setdefault(_key(row), row.Index)
    places = [
        (part, keys[key])
        for part, configs in plan.items()
        for config in configs
        for key in [_key_of(config)]
        if key in keys
    ]
    found = rows.loc[[place for _, place in places]].reset_index(drop=True)
    return found.assign(part=[part for part, _ in places])


def _fields() -> list[str]:
    return [
        name
        for name in _identity(Config("lenet-300-100", Recipe(1, checkpoints=1)), "")
        if name not in ("run", "version", "data")
    ]


def _key(row) -> tuple:
    return tuple(getattr(row, name) for name in _fields())


def _key_of(config: Config) -> tuple:
    row = _identity(config, "")
    return tuple(row[name] for name in _fields())


def select(plan: Mapping[str, Sequence[Config]], *paths: str | os.PathLike) -> pd.DataFrame:
    """The rows of a plan in files of results, as from `parts_of`; nothing is run."""
    rows = pd.concat([read_results(path) for path in paths], ignore_index=True)
    return parts_of(rows, plan)
