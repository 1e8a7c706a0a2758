"""What things cost, each as a ratio of two sides timed in turn: `make bench`.

Writes figures/benchmark.csv, with the version that it measured. Nothing in the tests depends on a
time.
"""

import copy
import dataclasses
import importlib.util
import multiprocessing
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
import torch.nn.functional as F
import torchvision
from test_gallery import GALLERY, built, drawn, loss_of
from torch.nn.utils import prune
from torchvision import datasets, transforms
from tqdm import tqdm

import snipcore as snip
import sniplab as lab
from sniplab.runs.bar import repeating
from sniplab.runs.machine import computing_with
from sniplab.sections import sweep, sweep_time

FOLDER = Path(__file__).resolve().parent.parent / "figures"
CPU = torch.device("cpu")


def compare(what: str, goal: str, ours: Callable, other: Callable, rounds: int = 9) -> dict:
    """The seconds of `ours` over those of `other`, in pairs, one after the other: those that a
    side returns, or those that it took."""
    seconds = []
    for _ in tqdm(range(rounds + 1), desc=what, leave=False):
        pair = []
        for side in (ours, other):
            started = time.perf_counter()
            returned = side()
            pair.append(time.perf_counter() - started if returned is None else returned)
        seconds.append(pair)
    return spread(what, goal, [a / b for a, b in seconds[1:]])  # the first pair warms up


def spread(what: str, goal: str, ratios: list[float]) -> dict:
    """A row on some ratios, printed at once."""
    low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    print(f"{median:8.3f}  ({low:.3f} to {high:.3f})  {what}")
    row = {"what": what, "goal": goal, "ratio": median, "quartile_1": low, "quartile_3": high}
    return row | {"pairs": len(ratios), "threads": torch.get_num_threads()}


def few_tests(data: lab.Data) -> lab.Data:
    return dataclasses.replace(data, x_test=data.x_test[:10], y_test=data.y_test[:10])


def some_masks(model: torch.nn.Module, data: lab.Data, sparsity: float) -> dict:
    x, y = lab.draw_batch(data, 100, seed=0)
    return snip.keep_top(snip.sensitivity(model, x, y), sparsity)


# ------------------------------------------------------------------------------------ the plain way


def bare_steps(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int) -> None:
    """Forward, backward and SGD on one batch that is already in memory: nothing can be less."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9, weight_decay=5e-4, fused=True)
    for _ in range(steps):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def torchvision_images(name: str) -> torch.utils.data.Dataset:
    """torchvision's data set, images as PIL and all, filled with random pixels: what they show
    does not change what they cost."""
    rng, transform = np.random.default_rng(0), [transforms.ToTensor()]
    if name == "mnist":
        images = datasets.MNIST.__new__(datasets.MNIST)
        images.data = torch.from_numpy(rng.integers(0, 256, (54_000, 28, 28), dtype=np.uint8))
        images.targets = torch.from_numpy(rng.integers(0, 10, 54_000))
        transform.append(transforms.Normalize((0.13,), (0.31,)))
    else:
        images = datasets.CIFAR10.__new__(datasets.CIFAR10)
        images.data = rng.integers(0, 256, (45_000, 32, 32, 3), dtype=np.uint8)
        images.targets = rng.integers(0, 10, 45_000).tolist()
        flip = transforms.RandomHorizontalFlip()
        normalize = transforms.Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26))
        transform = [transforms.RandomCrop(32, padding=4), flip, *transform, normalize]
    images.transform, images.target_transform = transforms.Compose(transform), None
    return images


def usual_steps(name: str, masks: dict, images: torch.utils.data.Dataset, steps: int) -> float:
    """Seconds of a training step as it is usually written: a DataLoader with two workers, masks of
    torch.nn.utils.prune, SGD. Counted from the first batch on."""
    model = snip.initialize(snip.MODELS[name].build(10), "vs", seed=0)
    for key, mask in masks.items():
        layer, _, parameter = key.rpartition(".")
        prune.custom_from_mask(model.get_submodule(layer), parameter, mask)
    recipe = lab.recipe_for(name, steps, 1)
    loader = torch.utils.data.DataLoader(
        images, batch_size=recipe.batch_size, shuffle=True, num_workers=2
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9, weight_decay=5e-4)
    batches = iter(loader)
    next(batches)
    started = time.perf_counter()
    for _ in range(steps):
        x, y = next(batches)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return (time.perf_counter() - started) / steps


def drawn_in_turn(
    model: torch.nn.Module, data: lab.Data, recipe: lab.Recipe
) -> tuple[torch.Tensor, float]:
    """The losses and the seconds of a step of `lab.train` as it was before steps were made static:
    each batch is drawn when it is needed, the rate is a number, and mistakes are counted every
    hundred steps."""
    generator, losses, recent, wrong = snip.generator_for(0, "batches"), [], [], 0
    optimizer = lab.training.make_optimizer(model, recipe, fused=True)
    per_epoch = len(data.y_train) // recipe.batch_size
    started = time.perf_counter()
    for i in range(recipe.iterations):
        if i % per_epoch == 0:
            order = torch.randperm(len(data.y_train), generator=generator)
        index = order[i % per_epoch * recipe.batch_size :][: recipe.batch_size]
        x, y = data.x_train[index], data.y_train[index]
        if recipe.shift or recipe.flip:
            moves = lab.data.draw_moves(len(x), generator, recipe.shift, recipe.flip)
            x = lab.data.moved(x, moves.to(x.device), recipe.shift)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(i)
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        recent.append((logits.detach(), y))
        if len(recent) == 100 or i + 1 == recipe.iterations:
            stacked, labels = (torch.stack(part) for part in zip(*recent, strict=True))
            wrong += int((stacked.argmax(2) != labels).sum())
            recent.clear()
    return torch.stack(losses), (time.perf_counter() - started) / recipe.iterations


# ------------------------------------------------------------------------------------------- items


def step_cost(name: str, data: lab.Data, steps: int, masked: bool) -> dict:
    few, recipe = few_tests(data), lab.recipe_for(name, steps, checkpoints=1)
    x, y = data.x_train[:100].clone(), data.y_train[:100].clone()
    model = snip.build_model(name).to(x.device)
    masks = some_masks(model, data, 0.9) if masked else None

    def ours():
        lab.train(snip.build_model(name), few, recipe, masks)

    def bare():
        bare_steps(snip.build_model(name).to(x.device), x, y, steps)

    kind = "masked (90 %)" if masked else "dense"
    return compare(f"{name}: {kind} training / bare forward + backward + SGD", "", ours, bare)


def static_cost(name: str, data: lab.Data, steps: int, rounds: int) -> dict:
    """The seconds of a step, the losses being equal to the bit."""
    few, recipe, losses = few_tests(data), lab.recipe_for(name, steps, checkpoints=1), {}

    def static() -> float:
        history = lab.train(snip.build_model(name), few, recipe)
        losses["static"] = history.loss
        return history.step_seconds

    def in_turn() -> float:
        losses["in turn"], seconds = drawn_in_turn(snip.build_model(name).train(), few, recipe)
        return seconds

    what = f"{name}: static step / step on a batch drawn in turn"
    row = compare(what, "", static, in_turn, rounds)
    np.testing.assert_array_equal(losses["static"], losses["in turn"].numpy())
    return row


def layout_cost(data: lab.Data) -> dict:
    x, y = data.x_train[:100].clone(), data.y_train[:100].clone()

    default = snip.initialize(snip.lenet_5_caffe(10), "vs", seed=0).to(x.device)
    ours = snip.build_model("lenet-5-caffe").to(x.device)
    return compare(
        *("lenet-5-caffe: step in channels-last / in the default layout", ""),
        lambda: bare_steps(ours, x, y, 20),
        lambda: bare_steps(default, x, y, 20),
    )


def scoring_cost(name: str, data: lab.Data, size: int, rounds: int, repeat: int) -> dict:
    x, y = lab.draw_batch(data, size, seed=0)
    x = x.contiguous(memory_format=torch.channels_last)
    model = snip.build_model(name).to(x.device).train()
    sparsity = snip.MODELS[name].sparsity or 0.9

    def ours():
        for _ in range(repeat):
            snip.keep_top(snip.sensitivity(model, x, y), sparsity)

    def plain():
        for _ in range(repeat):
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()

    what = f"{name}, batch {size}: sensitivity + keep_top / one forward + backward"
    goal = "≤ 1.10" if name in ("resnet-18", "densenet-264") else ""
    return compare(what, goal, ours, plain, rounds)


def gallery_costs(what: str, networks: list[Callable], rounds: int) -> list[dict]:
    """Scoring, and `collapsed` on whole masks and on half, over loss and gradients of one batch:
    the median of each network, and the spread of these over the networks.

    Args:
        networks: functions that give (model, inputs, include, exclude), one at a time.
    """
    ratios = []
    for network in tqdm(networks, desc=what, leave=False):
        model, inputs, include, exclude = network()

        def loss(model=model, inputs=inputs):
            return loss_of(model, inputs)

        def one(model=model, loss=loss):
            loss().backward()
            model.zero_grad(set_to_none=True)

        def score(model=model, loss=loss, picks=(include, exclude)):
            return snip.sensitivity_of(model, loss, "running", *picks)

        with warnings.catch_warnings(action="ignore"):  # of what is left out, of scores of 0
            half = snip.keep_top(score(), 0.5)
        whole = {key: torch.ones_like(mask) for key, mask in half.items()}
        sides = {
            "pass": one,
            "scoring": score,
            "collapsed, all kept": lambda a=(model, whole, inputs): snip.collapsed(*a),
            "collapsed, half kept": lambda a=(model, half, inputs): snip.collapsed(*a),
        }
        seconds = []
        for _ in range(rounds + 1):
            seconds.append({})
            for side, call in sides.items():
                model.train().eval()  # empties what timm's attentions keep of the last graph
                started = time.perf_counter()
                call()
                seconds[-1][side] = time.perf_counter() - started
        seconds = pd.DataFrame(seconds[1:])  # the first round warms up
        ratios.append(seconds.drop(columns="pass").div(seconds["pass"], axis=0).median())
    ratios = pd.DataFrame(ratios)
    goals = {"scoring": "≤ 1.10", "collapsed, all kept": "≤ 3", "collapsed, half kept": "≤ 3"}
    return [
        spread(f"{what}: {side} / one forward + backward", goals[side], ratios[side].to_list())
        for side in ratios
    ]


def small_networks() -> list[Callable]:
    """Those of the gallery."""
    return [lambda n=n: (built(n).eval(), drawn(n), n.include, n.exclude) for n in GALLERY]


def published_networks() -> list[Callable]:
    """torchvision's, of their published sizes, on batches of 16 images of 64 x 64 pixels."""
    names = (
        *("alexnet", "densenet121", "efficientnet_b0", "mnasnet1_0", "mobilenet_v2"),
        *("regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x1_0"),
        *("squeezenet1_1", "swin_t", "vgg11_bn", "convnext_tiny"),
    )

    def network(name: str) -> tuple:
        torch.manual_seed(0)
        model = torchvision.models.get_model(name, weights=None, num_classes=10).eval()
        return model, (torch.randn(16, 3, 64, 64),), None, None

    return [lambda name=name: network(name) for name in names]


def known_configurations(count: int = 10_000) -> dict:
    """A sweep that is done: what it takes to see that, over what pandas takes to read its rows."""
    recipe = lab.recipe_for("lenet-300-100", 1, 1)
    configs = [lab.Config("lenet-300-100", recipe, seed=seed) for seed in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        lab.run_grid([dataclasses.replace(configs[0], test_images=10)], path, 1, "cpu")
        first = pd.read_csv(path)
        rows = pd.concat([first] * count, ignore_index=True)
        rows["run"], rows["seed"] = [lab.identity(config) for config in configs], range(count)
        rows["test_images"] = configs[0].test_images
        rows.to_csv(path, index=False)
        curves = lab.runs.store.curves_of(path)
        lines = pd.concat([pd.read_csv(curves)] * count, ignore_index=True)
        lines.assign(run=rows.run).to_csv(curves, index=False)
        return compare(
            *(f"run_grid of {count:,} runs that are done / pandas.read_csv of their rows", ""),
            lambda: check_done(lab.run_grid(configs, path, 1, "cpu"), count),
            lambda: check_done(pd.read_csv(path), count),
            rounds=5,
        )


def check_done(rows: pd.DataFrame, count: int) -> None:
    assert len(rows) == count


def import_costs() -> list[dict]:
    """In a new process each; the rooms of sniplab are entered when they are asked for."""

    def process(statement):
        return lambda: subprocess.run([sys.executable, "-c", statement], check=True) and None

    statements = {
        "import snipcore": "",
        "import sniplab": "≤ 1.50",
        "from sniplab import load_data, run_grid, train": "",
    }
    return [
        compare(f"{statement} / import torch", goal, process(statement), process("import torch"), 5)
        for statement, goal in statements.items()
    ]


def sparselab_cost() -> list[dict]:
    """Another library's sparse linear layer beside ours, of one mask and the same weights."""
    if not importlib.util.find_spec("sparselab"):
        warnings.warn("sparselab is not installed: its row is left out", stacklevel=2)
        return []
    import sparselab

    torch.manual_seed(0)
    with computing_with(1, CPU):
        theirs = sparselab.SparseLinear(784, 300, sparsity=0.95)
        dense = torch.nn.Linear(784, 300)
        x = torch.randn(100, 784)
        with torch.no_grad():
            dense.weight.copy_((theirs(torch.eye(784)) - theirs.bias).T)
            dense.weight[dense.weight.abs() < 1e-6] = 0  # what the subtraction leaves
            dense.bias.copy_(theirs.bias)
        ours = lab.sparse.SparseLinear([dense], [dense.weight != 0])
        assert len(ours.values) == theirs.nnz
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)

        def repeated(layer):
            return lambda: [layer(x).square().mean().backward() for _ in range(50)] and None

        what = "784 → 300 at 95 %, batch 100, forward + backward: sparselab / our SparseLinear"
        return [compare(what, "", repeated(theirs), repeated(ours))]


def _peak(name: str, size: int, scoring: bool, pipe) -> None:
    """In a process of its own: the most memory it took, in bytes, above that of model and batch."""
    model = snip.build_model(name).train()
    shape = snip.MODELS[name].input_shape
    x, y = torch.randn(size, *shape).to(memory_format=torch.channels_last), torch.arange(size) % 10
    process = psutil.Process()
    seen = [process.memory_info().rss]
    with repeating(0.002, lambda: seen.append(process.memory_info().rss)):
        if scoring:
            snip.keep_top(snip.sensitivity(model, x, y), 0.95)
        else:
            F.cross_entropy(model(x), y).backward()
    pipe.send(max(seen) - seen[0])


def scoring_memory(name: str, size: int, rounds: int) -> dict:
    context = multiprocessing.get_context("spawn")

    def side(scoring):
        here, there = context.Pipe()
        process = context.Process(target=_peak, args=(name, size, scoring, there))
        process.start()
        taken = here.recv()
        process.join()
        return taken

    what = f"{name}, batch {size}: peak memory of scoring / of one forward + backward"
    return compare(what, "≤ 1.10", lambda: side(True), lambda: side(False), rounds)


def masking_cost(name: str, data: lab.Data, precision: str, rounds: int) -> dict:
    few = few_tests(data)
    recipe = dataclasses.replace(lab.recipe_for(name, 3, 1), precision=precision)
    model = snip.build_model(name).to(data.x_train.device)
    masks = some_masks(model, data, snip.MODELS[name].sparsity)
    what = f"{name}: masked step / dense step, {precision}"
    return compare(
        *(what, "≤ 1.03"),
        lambda: lab.train(model, few, recipe, masks).step_seconds,
        lambda: lab.train(model, few, recipe).step_seconds,
        rounds,
    )


def engine_costs(data: lab.Data) -> list[dict]:
    """How many times as fast as dense each engine is, on one thread, as in a sweep's worker; and
    what that promises for the sweep of notebook 1, beside what the sweep gains."""
    configs = sweep.plan("quick", data.name, seeds=1, iterations=540)["sweep"]
    configs = [config for config in configs if config.model == "lenet-300-100"]
    stacked = [config.sparsity for config in configs if config.sparsity >= lab.engines.STACKED_FROM]
    costs = sweep_time.step_costs(sorted({*stacked}), data, rounds=9)
    goals, rows = {("stacked", 0.95): "≥ 3.5", ("stacked", 0.98): "≥ 8"}, []
    with computing_with(1, CPU):
        for (sparsity, engine), part in costs.groupby(["sparsity", "engine"]):
            what = f"lenet-300-100 at {sparsity:.0%}: networks per second, {engine} / dense"
            goal = goals.get((engine, sparsity), "")
            rows.append(spread(what, goal, part.speed.to_list()))
        steps = costs[costs.engine == "stacked"].pivot(
            index="round", columns="sparsity", values="speed"
        )
        taken = len(configs) - len(stacked) + sum(1 / steps[sparsity] for sparsity in stacked)
        what = f"lenet-300-100, the {len(configs)} runs of a seed in notebook 1, masked / as chosen"
        rows.append(spread(f"{what}: by the steps above", "", (len(configs) / taken).to_list()))
        left = {lab.identity(config): config for config in configs}
        there = {data.name: lab.runs.grid.facts_of(data)}
        tasks = lab.runs.grid.tasks_of(left, there, Path(), str(data.x_train.device), workers=2)

        def masked():
            for config in configs:
                lab.runs.worker.run([config], data, "masked")

        def chosen():
            for task in tasks:
                lab.runs.worker.run(task.configs, data, task.engine)

        rows.append(compare(f"{what}: measured", "", masked, chosen, rounds=4))
    return rows


def thresholds(data: lab.Data) -> list[dict]:
    """What `engine_for` decides by: a step with masks over one of a single network that holds its
    kept weights alone, on one thread. Above 1, the latter gains."""
    few, rows = few_tests(data), []
    for name, engine, sparsities in (
        ("lenet-300-100", "stacked", (0.7, 0.8, 0.9)),
        ("lenet-5-caffe", "sparse", (0.8, 0.9, 0.95, 0.99)),
    ):
        recipe = dataclasses.replace(lab.recipe_for(name, 60, 1), lr=0.01)
        model = snip.build_model(name).to(data.x_train.device)
        for sparsity in sparsities:
            masks = some_masks(model, data, sparsity)

            def step(engine, masks=masks, model=model, recipe=recipe):
                trial = ([copy.deepcopy(model)], few, recipe, [masks])
                return lab.engines.train_with(engine, *trial)[0].step_seconds

            what = f"{name} at {sparsity:.0%}, one network: step masked / {engine}"
            with computing_with(1, CPU):
                sides = (lambda: step("masked"), lambda engine=engine: step(engine))
                rows.append(compare(what, "", *sides, rounds=5))
    return rows


def worker_gains(data: lab.Data) -> list[dict]:
    """Two workers of one thread beside one of two; and twice a step of two threads over a step of
    one, which is the most that they could gain."""
    recipe = lab.recipe_for("lenet-5-caffe", 150, 1)
    configs = [
        lab.Config("lenet-5-caffe", recipe, seed=seed, test_images=100, dataset=data.name)
        for seed in range(4)
    ]

    def sweep(n_jobs):
        with tempfile.TemporaryDirectory() as folder:
            lab.run_grid(configs, Path(folder) / "rows.csv", n_jobs, "cpu")

    def step(number):
        with computing_with(number, CPU):
            model, few = snip.build_model("lenet-5-caffe"), few_tests(data)
            return lab.train(model, few, recipe).step_seconds

    what = "lenet-5-caffe: four runs in one worker with two threads / in two with one"
    most = "lenet-5-caffe: twice a step of two threads / a step of one"
    return [
        compare(what, "≥ 1.25", lambda: sweep(1), lambda: sweep(2), rounds=5),
        compare(most, "", lambda: 2 * step(2), lambda: step(1), rounds=5),
    ]


def usual_cost(name: str, data: lab.Data, steps: int, rounds: int, stacked: bool) -> dict:
    """Ours against the usual way, both on all threads."""
    few, recipe = few_tests(data), lab.recipe_for(name, steps, 1)
    recipe = dataclasses.replace(recipe, lr=0.01)
    model = snip.build_model(name).to(data.x_train.device)
    masks, images = some_masks(model, data, 0.95), torchvision_images(snip.MODELS[name].dataset)
    count = lab.engines.STACK if stacked else 1
    engine = "stacked" if stacked else "sparse" if name == "lenet-300-100" else "masked"

    def ours():
        models = [copy.deepcopy(model) for _ in range(count)]
        return lab.engines.train_with(engine, models, few, recipe, [masks] * count)[0].step_seconds

    what = f"{name} at 95 %: DataLoader + torch.nn.utils.prune / ours, {engine}"
    return compare(what, "", lambda: usual_steps(name, masks, images, steps), ours, rounds)


def version() -> str:
    """The commit that is measured, with "-dirty" where files differ from it."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True).stdout.strip()


def measured(mnist: lab.Data, cifar: lab.Data) -> Iterator[dict]:
    """The rows, one after the other."""
    yield step_cost("lenet-300-100", mnist, steps=540, masked=False)
    yield step_cost("lenet-300-100", mnist, steps=540, masked=True)
    yield step_cost("lenet-5-caffe", mnist, steps=60, masked=False)
    yield static_cost("lenet-300-100", mnist, steps=540, rounds=9)
    yield static_cost("lenet-5-caffe", mnist, steps=60, rounds=9)
    yield static_cost("resnet-18", cifar, steps=3, rounds=5)
    yield layout_cost(mnist)
    yield scoring_cost("lenet-300-100", mnist, 100, rounds=9, repeat=5)
    yield scoring_cost("lenet-5-caffe", mnist, 100, rounds=9, repeat=5)
    yield scoring_cost("resnet-18", cifar, 128, rounds=5, repeat=1)
    yield scoring_cost("densenet-264", cifar, 128, rounds=3, repeat=1)
    yield from gallery_costs("14 networks of torchvision", published_networks(), rounds=5)
    small = f"{len(GALLERY)} small networks of the gallery"
    yield from gallery_costs(small, small_networks(), rounds=9)
    yield scoring_memory("resnet-18", 128, rounds=2)
    yield scoring_memory("densenet-264", 128, rounds=1)
    here = lab.training.settled_precision(lab.recipe_for("resnet-18", 3, 1), cifar.x_train.device)
    for precision in dict.fromkeys(["float32", here]):  # each once
        yield masking_cost("resnet-18", cifar, precision, rounds=5)
    yield from engine_costs(mnist)
    yield from thresholds(mnist)
    yield from worker_gains(mnist)
    yield known_configurations()
    yield from import_costs()
    yield from sparselab_cost()
    yield usual_cost("lenet-300-100", mnist, steps=100, rounds=5, stacked=False)
    yield usual_cost("lenet-300-100", mnist, steps=100, rounds=5, stacked=True)
    yield usual_cost("resnet-18", cifar, steps=3, rounds=3, stacked=False)


def main() -> None:
    mnist, cifar = lab.load_data("mnist"), lab.load_data("cifar10")
    device, rows, path = mnist.x_train.device, [], FOLDER / "benchmark.csv"
    sources = "; ".join(dict.fromkeys([mnist.source, cifar.source]))
    where = {"version": version(), "hardware": lab.hardware(device), "data": sources}
    FOLDER.mkdir(exist_ok=True)
    for row in measured(mnist, cifar):
        rows.append(row | where)
        pd.DataFrame(rows).to_csv(path.with_suffix(".part"), index=False)  # what an end leaves
    path.with_suffix(".part").replace(path)
    shown = pd.DataFrame(rows)[["what", "goal", "ratio", "quartile_1", "quartile_3"]].round(3)
    print(shown.to_string(index=False))
    print(f"{where['hardware']}. {sources}. Version {where['version']}.")


if __name__ == "__main__":
    main()
