"""A whole grid of runs, in parallel: what is left is done, and each row is on disk as it ends."""

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import filelock
import joblib
import pandas as pd
import torch
from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

from snipcore import MODELS, kept_count, pick_device, prunable
from sniplab.data import Data, data_root, load_data
from sniplab.engines import STACK, engine_for
from sniplab.methods import METHODS
from sniplab.runs.bar import run_bar
from sniplab.runs.config import Config, identity, shapes
from sniplab.runs.store import append_rows, curves_of, read_results, typed
from sniplab.runs.worker import Placement, Task, do_task
from sniplab.training import settled_precision

CUT, LOST = "masks empty a layer or cut their network", "runs did not end well"  # of warnings
CHECKPOINTS = (".pt", ".dense.pt")  # of a task
KEPT = (*CHECKPOINTS, ".runs")  # until its runs have ended


def run_grid(
    configs: Iterable[Config],
    results: str | os.PathLike,
    n_jobs: int = -1,
    device: str | torch.device | None = None,
    known: str | os.PathLike | None = None,
    checkpoint_seconds: float = 30.0,
) -> pd.DataFrame:
    """Do every run that `results` does not hold yet, in parallel, and return the rows of `configs`.

    Each row is on disk as soon as its run ends, and every run keeps a checkpoint beside `results`
    while it lasts, so a call that was killed is simply repeated: the rows are the same, to the bit.
    A run that diverges or raises becomes a row whose `status` says so; repeating the call tries
    the failed ones again, not the diverged ones.

    Args:
        results: a CSV file; its folder is made if need be. The curves of its runs and their
            checkpoints lie beside it, where the machines of a cluster must find them.
        n_jobs: workers, each with its share of the cores; -1: one for each core, or, on CUDA, one
            for each GPU, which it has to itself. Under `joblib.parallel_config(backend="dask")`
            they are those of the cluster, with one thread each (on CUDA say how many).
        device: default CUDA where there is one, on the machine that does the run.
        known: a file of results whose rows, of the data at hand, are not run again; only read.
        checkpoint_seconds: at most so often a checkpoint is written.

    Returns:
        One row for each configuration, in their order, with COLUMNS and CURVES. Runs that did not
        end well, or whose masks empty a layer or cut their network, are said in a warning.

    Raises:
        ValueError: a configuration that cannot be right (before anything runs), n_jobs 0, joblib's
            threads, runs of a pair in different precisions or with different numbers of threads,
            or a results file that is torn, foreign or of another version.
        RuntimeError: another process is writing to `results`, a worker was killed, or there is no
            such device.
        OSError: the folder or a row cannot be written, or there is no file `known`.
    """
    configs = list(configs)
    runs = [identity(config) for config in configs]
    config_by_run = dict(zip(runs, configs, strict=True))
    local_device = str(pick_device(device))
    workers, place = _placed(n_jobs, device, local_device, checkpoint_seconds)
    results = Path(results).expanduser().resolve()  # a link's target has one lock
    results.parent.mkdir(parents=True, exist_ok=True)
    if known and not Path(known).expanduser().exists():
        raise FileNotFoundError(f"there is no {known}, whose rows should be known")
    with alone(results):
        # Loaded here once, so that a download or a warning happens once, and so that rows of a
        # fallback are never taken for rows of the real data.
        names = {config.dataset for config in config_by_run.values()}
        data = {name: facts_of(load_data(name, device=local_device)) for name in names}
        precisions = {
            run: settled_precision(config.recipe, torch.device(local_device))
            for run, config in config_by_run.items()
        }
        settings = {run: (precision, place.threads) for run, precision in precisions.items()}
        rows = _known_rows(config_by_run, data, results, known, settings)
        done = set(rows.run[~rows.status.str.startswith("failed")])
        left = {run: config for run, config in config_by_run.items() if run not in done}
        for config in left.values():
            check_fits(config, data[config.dataset])
        for path in (results, curves_of(results)) if left else ():  # now, not after hours
            if path.exists() and not os.access(path, os.W_OK):
                raise PermissionError(f"{path} cannot be written: unlock it, or name another file")
        _check_pairs(config_by_run, rows, {run: settings[run] for run in left})
        folder = results.with_name(f"{results.stem}.checkpoints")
        _clear(folder, done, {each.digest for each in data.values()})
        tasks = tasks_of(left, data, folder, local_device, workers)
        rows = _do(tasks, rows, results, place, workers)
        with contextlib.suppress(OSError):  # not there, or not empty
            folder.rmdir()
    rows = rows.set_index("run", drop=False).loc[runs].reset_index(drop=True)
    _warn_of(rows, rows.collapsed != "", CUT, "collapsed")
    _warn_of(rows, rows.status != "ok", LOST, "status")
    return rows


def _placed(
    n_jobs: int, device: str | torch.device | None, local_device: str, checkpoint_seconds: float
) -> tuple[int, Placement]:
    """The number of workers, and where and how they compute."""
    if n_jobs == 0:
        raise ValueError("n_jobs 0 does nothing: give the number of workers, or -1 for all cores")
    backend, _ = joblib.parallel.get_active_backend()
    if isinstance(backend, joblib.parallel.ThreadingBackend):
        raise ValueError(
            "joblib's backend 'threading' cannot do runs: they would share PyTorch's one generator "
            "and number of threads, and give other rows; use 'loky', its default"
        )
    cores, gpus = joblib.cpu_count(), torch.cuda.device_count() if local_device == "cuda" else 1
    workers = gpus if local_device != "cpu" and n_jobs < 0 else joblib.effective_n_jobs(n_jobs)
    if type(backend).__module__ != "joblib._parallel_backends":  # of another program: a cluster's
        worker_device = "" if device is None else local_device
        return workers, Placement(worker_device, 1, 0, None, checkpoint_seconds)
    # Not by how many runs are left: a resumed sweep is the same. The root is given, since workers
    # are used again, with the environment of their start.
    threads, root = max(1, cores // workers), data_root().absolute()
    return workers, Placement(local_device, threads, os.getpid(), root, checkpoint_seconds)


@contextlib.contextmanager
def alone(results: Path) -> Iterator[None]:
    """The only process that writes to `results`."""
    try:
        with filelock.FileLock(f"{results}.lock", timeout=0):
            yield
    except filelock.Timeout:
        raise RuntimeError(
            f"another process is writing to {results}; wait for it or end it"
        ) from None


# ------------------------------------------------------------------------------ what is there, left


@dataclass(frozen=True)
class DataFacts:
    """What must be known of a data set to plan runs on it, without its images."""

    digest: str
    source: str
    shape: tuple[int, ...]  # (C, H, W)
    train: int
    val: int
    test: int


def facts_of(data: Data) -> DataFacts:
    """What of a data set is kept while its runs are planned."""
    sizes = (len(data.y_train), len(data.y_val), len(data.y_test))
    return DataFacts(data.digest, data.source, tuple(data.x_train.shape[1:]), *sizes)


def _known_rows(
    config_by_run: Mapping[str, Config],
    data: Mapping[str, DataFacts],
    results: Path,
    known,
    settings: Mapping[str, tuple[str, int]],
) -> pd.DataFrame:
    """The rows there are of the runs wanted, of the data at hand. One of our own that failed, by
    want of memory, say, gives way to a known one. Known ones that were trained otherwise than in
    `settings` (precision and threads, by run) would be no pair of new ones, and are done anew."""
    own = read_results(results)
    known_rows = read_results(known) if known else own.iloc[:0]
    digests = {name: facts.digest for name, facts in data.items()}
    candidates = known_rows[known_rows.run.isin(config_by_run)]
    at_hand = candidates.data == candidates.dataset.map(digests)
    if not at_hand.all():
        others = ", ".join(sorted(set(candidates.data[~at_hand])))
        digest_text = ", ".join(f"{name} {digest}" for name, digest in digests.items())
        warnings.warn(
            f"the stored rows are of other data (digests {others}) than those here "
            f"({digest_text}), so the runs are done anew",
            UserWarning,
            stacklevel=3,
        )
    candidates = candidates[at_hand]
    otherwise = [
        run for run, setting in _settings_of(candidates).items() if setting != settings[run]
    ]
    if otherwise:
        warnings.warn(
            f"{len(otherwise)} stored rows were trained in another precision or with another "
            "number of threads than runs here would be, so these runs are done anew",
            UserWarning,
            stacklevel=3,
        )
    candidates = candidates[~candidates.run.isin(otherwise)]
    rows = pd.concat([own, candidates])
    rows = rows[rows.run.isin(config_by_run) & (rows.data == rows.dataset.map(digests))]
    failed = rows.status.str.startswith("failed")
    return pd.concat([rows[~failed], rows[failed]]).drop_duplicates("run")


def _settings_of(rows: pd.DataFrame) -> dict[str, tuple[str, int]]:
    """Precision and threads, by run, of those that were trained to their end."""
    ended = rows[(rows.status == "ok") & (rows.iterations > 0)]
    return dict(zip(ended.run, zip(ended.trained_in, ended.threads, strict=True), strict=True))


def check_fits(config: Config, data: DataFacts) -> None:
    """Raise ValueError where a configuration cannot be right for its network and data."""
    spec, subject = MODELS[config.model], f"{config.model} on {config.dataset}"
    if tuple(spec.input_shape) != data.shape:
        raise ValueError(
            f"{subject}: it takes images of {spec.input_shape}, these are {data.shape}"
        )
    if config.method != "dense":
        weights = prunable(shapes(config.model, config.width)).values()
        counted = [weight.numel() for weight in weights if config.biases or weight.ndim > 1]
        kept_count(sum(counted), config.sparsity)
    train = config.train_images or data.train + config.validation * data.val
    limits = [
        (config.scoring_batch, data.train, "scoring_batch"),
        (config.train_images, data.train + config.validation * data.val, "train_images"),
        (config.test_images, data.test if config.tested == "test" else data.val, "test_images"),
    ]
    if config.pretrain or config.recipe.iterations:
        limits.append((config.recipe.batch_size, train, "batch_size"))
    for number, limit, field in limits:
        if number > limit:
            raise ValueError(
                f"{subject}: {field} {number} is more than the {limit} images there are"
            )


def _check_pairs(
    config_by_run: Mapping[str, Config], rows: pd.DataFrame, left: Mapping[str, tuple[str, int]]
) -> None:
    """Raise ValueError where trained runs of one pair differ, or would, in precision or threads;
    `left`: these two of the runs that are not done."""
    settings = _settings_of(rows) | left
    recipes = {config_by_run[run].recipe for run in settings}
    templates = {recipe: dataclasses.replace(recipe, precision="auto") for recipe in recipes}
    pairs = {}
    for run, setting in settings.items():
        config = config_by_run[run]
        if not config.recipe.iterations:
            continue
        pair = (config.model, templates[config.recipe], config.seed, config.dataset, config.labels)
        first_setting = pairs.setdefault((*pair, config.train_images), setting)
        if first_setting != setting:
            text = " and some ".join(
                f"in {precision} with {count} thread{'s' if count != 1 else ''}"
                for precision, count in (first_setting, setting)
            )
            raise ValueError(
                f"the runs of {config.model}, seed {config.seed}, would be compared, but some are "
                f"{text}: name one precision in the recipe of all and give the same n_jobs, or "
                "move away the rows of the other"
            )


# ------------------------------------------------------------------------------------------- tasks


def tasks_of(
    left: Mapping[str, Config],
    data: Mapping[str, DataFacts],
    folder: Path,
    device: str,
    workers: int,
) -> list[Task]:
    """Runs as tasks: stacks that were begun as they were begun, so that their checkpoints serve;
    of the others those that `train_stacked` can train as one network, sparse ones first; every
    other by itself."""
    place = torch.device(device)

    def engine(config: Config) -> str:
        network = shapes(config.model, config.width)
        return engine_for(network, config.sparsity, config.recipe, place)

    def task(configs: Sequence[Config], engine: str) -> Task:
        first, names = configs[0], {config.method for config in configs}
        facts = data[first.dataset]
        methods = tuple(METHODS[name] for name in sorted(names))
        return Task(
            tuple(configs),
            engine,
            settled_precision(first.recipe, place),
            facts.digest,
            facts.source,
            folder,
            MODELS[first.model],
            methods,
        )

    tasks, left = [], dict(left)
    for file in sorted(folder.glob("*.runs")):
        digest, runs = _runs_of(file)
        if _begun(file) and runs and all(run in left for run in runs):
            configs = [left[run] for run in runs]
            engine_name = engine(configs[0])  # another than that of the begun, on another device
            trained = configs[0].recipe.iterations > 0
            fits = len(configs) == 1 or engine_name == "stacked" or not trained
            if fits and data[configs[0].dataset].digest == digest:
                tasks.append(task(configs, engine_name))
                left = {run: config for run, config in left.items() if run not in runs}
    groups = {}
    for run, config in left.items():
        engine_name = engine(config)
        key = (config.model, config.recipe, config.seed, config.dataset, config.labels)
        key += (config.train_images, config.test_images, config.inputs, config.validation)
        key += (config.tested, config.width, config.pretrain)
        scored = config.recipe.iterations == 0  # and not trained
        if config.pretrain or scored:  # their network is made once for all of them
            key += (config.init, config.gates)
        together = engine_name == "stacked" or scored
        groups.setdefault(key if together else run, (engine_name, []))[1].append(config)
    stacked = sum(len(group) for engine_name, group in groups.values() if engine_name == "stacked")
    size = min(STACK, max(4, -(-stacked // workers)))
    for engine_name, group in groups.values():
        group = sorted(group, key=lambda config: -config.sparsity)
        tasks += [
            task(group[start : start + size], engine_name) for start in range(0, len(group), size)
        ]
    return tasks


def _begun(file: Path) -> bool:
    """Whether a task has a checkpoint; `file`: any of its files, or their common name."""
    return any(file.with_suffix(suffix).exists() for suffix in CHECKPOINTS)


def _runs_of(file: Path) -> tuple[str, list[str]]:
    """The digest of the data and the runs of a task, from its file ".runs"; none of a torn one."""
    digest, *runs = file.read_text(errors="replace").split() or [""]
    return digest, runs


def _clear(folder: Path, done: set[str], digests: set[str]) -> None:
    """Remove what a sweep that was killed left behind: half-written files, and the checkpoints of
    runs whose rows it had just written."""
    for draft in folder.glob(".*.draft"):
        draft.unlink()
    for file in folder.glob("*.runs"):
        digest, runs = _runs_of(file)
        if digest in digests and runs and done.issuperset(runs):
            for suffix in (".steps", *KEPT):
                file.with_suffix(suffix).unlink(missing_ok=True)


def _do(
    tasks: Iterable[Task], rows: pd.DataFrame, results: Path, place: Placement, workers: int
) -> pd.DataFrame:
    """Do the tasks and append each finished run to `results`: `rows` and the new ones."""
    todo = {task.file("").name: task for task in tasks}
    if not todo:
        return rows
    for task in todo.values():
        task.folder.mkdir(exist_ok=True)
    finished = joblib.Parallel(
        n_jobs=min(workers, len(todo)), return_as="generator_unordered", batch_size=1
    )(joblib.delayed(do_task)(task, place) for task in list(todo.values()))
    try:
        with run_bar(todo, lambda: rows, workers) as bar:
            for key, new in finished:
                append_rows(results, new)
                new = typed(pd.DataFrame(new))
                rows = pd.concat([rows[~rows.run.isin(new.run)], new])
                task = todo.pop(key)
                failed = new.status.str.startswith("failed").all()  # they are tried again
                retry = failed and _begun(task.file(""))
                for suffix in (".steps", *(() if retry else KEPT)):
                    task.file(suffix).unlink(missing_ok=True)
                bar.update(len(new))
    except TerminatedWorkerError as error:
        raise RuntimeError(
            "a worker was killed, most likely for want of memory; what has ended is kept: repeat "
            "the call, with fewer workers (n_jobs) if it happens again"
        ) from error
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a worker could not take its runs over: networks and methods of your own must be "
            "defined in the notebook or script itself, or in a module that can be imported"
        ) from error
    finally:
        finished.close()  # ends the workers, before anybody else may write
    return rows


def _warn_of(rows: pd.DataFrame, selection: pd.Series, trouble: str, column: str) -> None:
    if selection.any():
        first = rows[selection].iloc[0]
        warnings.warn(
            f"{selection.sum()} of {len(rows)} {trouble}, see the column {column}; the first: "
            f"{first.model}, {first.method}, {first[column]}",
            UserWarning,
            stacklevel=3,
        )
