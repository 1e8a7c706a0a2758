"""How networks are trained and tested, dense and pruned alike."""

import contextlib
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from snipcore import check_batch, check_statistics, checked_logits, derive_seed, hold, prunable
from sniplab.batches import CHUNK, Batches
from sniplab.capture import captured
from sniplab.checkpoint import Checkpoint, fingerprint
from sniplab.data import Data
from sniplab.recipe import Recipe


def progress(iterable: Iterable | None, **options) -> tqdm:
    """A bar on what takes more than three seconds, where somebody looks: on a terminal or in an
    open notebook, not in a worker, in papermill's logs or in nbconvert."""
    watched = sys.stderr.isatty() or any(
        name in os.environ for name in ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG")
    )
    worker = multiprocessing.current_process().name != "MainProcess"
    return tqdm(iterable, disable=worker or not watched, delay=3, leave=False, **options)


@dataclass
class History:
    """What a training run went through."""

    loss: np.ndarray  # (iterations,) mini-batch loss before each step
    train_error: np.ndarray  # (iterations,) mini-batch error before each step, percent
    iteration: list[int]  # steps done at each checkpoint
    test_error: list[float]  # percent, at each checkpoint
    seconds: float
    step_seconds: float  # of a training step, in the mean, without the evaluations
    precision: str = "float32"  # what "auto" came to

    @property
    def error(self) -> float:
        """Test error in percent at the last iteration: the honest one."""
        return self.test_error[-1]

    @property
    def error_best(self) -> float:
        """Smallest test error in percent over all checkpoints: picked on the test set, so too
        good."""
        return min(self.test_error)

    @property
    def error_last_five(self) -> float:
        """Smallest test error in percent over the last five checkpoints, or over all if they are
        fewer: what the reference implementation reports. Picked on the test set, too."""
        return min(self.test_error[-5:])


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """In evaluation mode; then each layer's mode is put back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@torch.no_grad()
def evaluate(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Error in percent, in evaluation mode; the model's mode is put back.

    Args:
        x: (N, …) inputs, y: (N,) integer labels.

    Raises:
        ValueError: inputs or labels that do not fit the model.
        FloatingPointError: NaN or Inf in the logits.
    """
    check_batch(model, x, y)
    wrong = 0
    with evaluating(model):
        for part_x, part_y in zip(x.split(500), y.split(500), strict=True):
            logits = checked_logits(model, part_x, part_y)  # (500, classes)
            if not logits.isfinite().all():
                raise FloatingPointError("NaN or Inf in the logits")
            wrong += int((logits.argmax(1) != part_y).sum())
    return 100 * wrong / len(y)


def check_training(model: nn.Module, data: Data, recipe: Recipe) -> None:
    """Raise ValueError where the data do not fit the model or the recipe."""
    if recipe.iterations == 0:
        raise ValueError("a recipe of 0 iterations trains nothing")
    check_batch(model, data.x_train, data.y_train)
    check_statistics(model, recipe.batch_size)
    if recipe.batch_size > len(data.y_train):
        raise ValueError(
            f"batch_size {recipe.batch_size} is more than the {len(data.y_train)} train images"
        )
    check_batch(model, data.x_test, data.y_test)
    with torch.no_grad(), evaluating(model):  # are all labels among the classes?
        for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
            checked_logits(model, x[:2], y)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the processor has units for bfloat16; one without them emulates it, many times
    slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    try:  # Linux, on Intel or AMD, and on Arm
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) is not None


def settled_precision(recipe: Recipe, device: torch.device) -> str:
    """The precision of a recipe, with "auto" decided by what the processor can do."""
    if recipe.precision != "auto":
        return recipe.precision
    return "bfloat16" if has_bfloat16(device) else "float32"


def make_optimizer(model: nn.Module, recipe: Recipe, **options) -> torch.optim.Optimizer:
    """The optimiser of a recipe, with weight decay on prunable parameters alone; `options` say
    with which of PyTorch's implementations."""

    def parametrised(_, layer: nn.Module, __) -> bool:  # by parametrizations.weight_norm, say
        return nn.utils.parametrize.is_parametrized(layer)

    decayed = list(prunable(model, exclude=parametrised).values())
    undecayed = [p for p in model.parameters() if all(p is not weight for weight in decayed)]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": undecayed, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, recipe.lr, recipe.momentum, **options)
    capturable = any(p.is_cuda for p in model.parameters())
    return torch.optim.Adam(groups, recipe.lr, capturable=capturable, **options)


# ---------------------------------------------------------------------------------- the one loop


@dataclass
class RunState:
    """Where a run stands: all that a checkpoint holds besides network and optimiser."""

    losses: Tensor  # (iterations,) or (iterations, K), filled up to `read`
    wrong: Tensor  # the same: how many of the batch
    errors: list  # of the tests so far
    done: int = 0  # steps
    read: int = 0  # steps whose losses and wrong answers are filled in
    seconds: float = 0.0  # of steps and tests
    step_seconds: float = 0.0  # of steps alone, all together
    test_seconds: float = 0.0  # of the last test; 0 before the first


@contextlib.contextmanager
def own_randomness(device: torch.device, seed: int) -> Iterator[torch.Generator]:
    """PyTorch's global generator, from which dropout draws, seeded by the run and put back as it
    was found."""
    generator = torch.default_generator
    if device.type == "cuda":
        torch.cuda.init()
        index = torch.cuda.current_device() if device.index is None else device.index
        generator = torch.cuda.default_generators[index]
    before = generator.get_state()
    generator.manual_seed(derive_seed(seed, "dropout"))
    try:
        yield generator
    finally:
        generator.set_state(before)


def fit(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    forward: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    mistakes: Callable[[Tensor, Tensor], Tensor],
    test: Callable[[], float | list[float]],
    data: Data,
    recipe: Recipe,
    masks: Mapping[str, Tensor],
    seed: int,
    count: tuple[int, ...] = (),
    checkpoint: str | os.PathLike | None = None,
    checkpoint_seconds: float = 30.0,
    watch: Callable[[int, float], None] | None = None,
    graph: bool = True,
) -> RunState:
    """The training loop of one network, or of K stacked into one.

    Args:
        forward: from images and labels to the loss, of shape `count`, and the logits.
        mistakes: from the logits and the labels, (B,), to the numbers of wrong answers, of shape
            `count`.
        test: the test error in percent, of each network if they are stacked.
        count: () for one network, (K,) for K.
        checkpoint, checkpoint_seconds, graph: as for `train`.
        watch: told, at most every two seconds, the steps done and the seconds of a step.

    Raises FloatingPointError when the loss of a network by itself is NaN or Inf; where those of all
    K are, training ends.
    """
    device = data.x_train.device
    shape = (recipe.iterations, *count)
    run = RunState(torch.empty(shape, device=device), torch.empty(shape, device=device), [])
    batches, at = Batches(data, recipe, seed), set(recipe.at)
    # Of a chunk: losses and numbers of wrong answers, written down at the counter.
    losses = torch.zeros(CHUNK, *count, device=device)
    wrong = torch.zeros_like(losses, dtype=torch.int64)
    places = torch.arange(CHUNK, device=device).view(-1, *(1 for _ in count))
    saver = None
    if checkpoint:
        settings = (recipe, seed, settled_precision(recipe, device))
        mark = fingerprint(network, masks, data, *settings)
        saver = Checkpoint(checkpoint, checkpoint_seconds, mark)

    def step() -> None:
        """Of the batch at the counter; nothing in it depends on which that is."""
        x, y, rate = batches.at_counter()  # (B, C, H, W), (B,), (1,)
        for group in optimizer.param_groups:
            group["lr"] = rate.item() if group["foreach"] else rate  # on the CPU alone: `fused`
        loss, logits = forward(x, y)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        place = places == batches.counter
        for record, value in ((losses, loss.detach()), (wrong, mistakes(logits.detach(), y))):
            torch.where(place, value, record, out=record)
        batches.counter.add_(1)

    def read() -> bool:
        """Read the losses since the last time: to do so after each step would wait for it. Whether
        any network is left whose losses are finite."""
        part = slice(run.read - batches.first, run.done - batches.first)
        run.losses[run.read : run.done], run.wrong[run.read : run.done] = losses[part], wrong[part]
        finite = losses[part].isfinite()
        if not count and not finite.all():  # of K, others go on
            first = run.read + int((~finite).nonzero()[0])
            value = run.losses[first].item()
            raise FloatingPointError(f"the loss is {value} at iteration {first}")
        run.read = run.done
        return bool(finite.all(0).any())

    def take_test() -> None:
        start = time.perf_counter()
        run.errors.append(test())
        run.test_seconds = time.perf_counter() - start
        run.seconds += run.test_seconds

    def whole_state() -> dict:
        if run.read < run.done:
            read()
        state = optimizer.state_dict()
        for group in state["param_groups"]:
            group["lr"] = recipe.rate(run.done - 1)  # not where it lies on the device
        return {
            "batches": batches.state(run.done),
            "dropout": dropout.get_state(),
            "network": network.state_dict(),
            "optimizer": state,
            **vars(run),
            **{name: getattr(run, name)[: run.done].clone() for name in ("losses", "wrong")},
        }

    with own_randomness(device, seed) as dropout:
        if saver and (state := saver.load()):
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
            batches.go_on(state["batches"])
            dropout.set_state(state["dropout"])
            for name, value in vars(run).items():
                if isinstance(value, Tensor):
                    value[: state["done"]] = state[name]
                else:
                    setattr(run, name, state[name])
        network.train()
        if len(run.errors) < sum(step <= run.done for step in at):  # saved before a test
            take_test()
        if graph:  # on batches of the first image: it is all undone
            step = captured(step, network, optimizer, dropout, batches.counter)
        last_report = begun = time.perf_counter()
        steps = range(run.done, recipe.iterations)
        for i in progress(
            steps, initial=run.done, total=recipe.iterations, desc="training", unit="step"
        ):
            batches.prepare(i)
            step()
            run.done = i + 1
            if (run.done in at or run.done % CHUNK == 0) and not read():
                break  # all K are lost
            now = time.perf_counter()
            run.step_seconds += now - begun
            run.seconds += now - begun
            begun = now
            if run.done in at:
                # A test may last minutes, so save before it rather than lose what is not saved
                # besides. The first is taken to last as long as steps on as many images, at most.
                steps_alike = run.step_seconds / run.done * len(data.y_test) / recipe.batch_size
                if saver and saver.due(ahead=run.test_seconds or steps_alike):
                    saver.save(whole_state())
                take_test()
                begun = time.perf_counter()
            if watch and begun - last_report > 2:
                last_report = begun
                watch(run.done, run.step_seconds / run.done)
            if saver and saver.due():
                saver.save(whole_state())
                begun = time.perf_counter()
    run.step_seconds /= recipe.iterations
    return run


def train(
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    masks: Mapping[str, Tensor] | None = None,
    seed: int = 0,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_seconds: float = 30.0,
    watch: Callable[[int, float], None] | None = None,
    graph: bool = True,
) -> History:
    """Train `model` in place on the device of `data`; pruned entries are zero after every step.

    Args:
        masks: as from `keep_top`; None trains the dense network. `collapsed` says whether they
            cut it.
        seed: of the order of the batches, of their augmentation and of dropout. On one machine,
            with one number of threads, the same seed gives the same weights to the bit.
        checkpoint: a file in which the run's state is kept, every `checkpoint_seconds`, and before
            a test that would last beyond them. Called again with the same arguments, the run goes
            on from there and ends as it would have without the interruption, to the bit. A file of
            another run is put aside. Where it cannot be written, a warning says so once, and
            training goes on.
        watch: told now and then the steps done and the seconds of a step.
        graph: on CUDA, record the operations of a step once and start them together (`captured`);
            on the CPU it changes nothing.

    In bfloat16, products and convolutions are computed and activations passed on, of steps and
    evaluations alike; weights, statistics of normalisation, loss and optimiser stay in float32.

    Raises:
        ValueError: data, masks and model that do not fit; NaN or Inf in the images; batches of one
            image for a model with batch normalisation.
        FloatingPointError: the loss is NaN or Inf, with the iteration where it became so.
    """
    device = data.x_train.device
    model.to(device)
    check_training(model, data, recipe)
    optimizer = make_optimizer(model, recipe, fused=True)
    precision = settled_precision(recipe, device)
    options = {"dtype": torch.bfloat16, "enabled": precision == "bfloat16"}

    def forward(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        # The cache of cast weights is not captured: its entries would be those of one step.
        with torch.autocast(device.type, cache_enabled=device.type != "cuda", **options):
            logits = model(x).float()  # (B, classes)
        return F.cross_entropy(logits, y), logits

    def mistakes(logits: Tensor, y: Tensor) -> Tensor:  # (B, classes), (B,) -> ()
        return (logits.argmax(1) != y).sum()

    def test() -> float:
        with torch.autocast(device.type, **options):
            return evaluate(model, data.x_test, data.y_test)

    keeping = hold(optimizer, model, masks) if masks is not None else None
    try:
        keep = {"checkpoint": checkpoint, "checkpoint_seconds": checkpoint_seconds}
        keep |= {"watch": watch, "graph": graph}
        run = fit(model, optimizer, forward, mistakes, test, data, recipe, masks, seed, **keep)
    finally:
        if keeping:
            keeping.remove()
    losses, errors = run.losses.cpu().numpy(), 100 * run.wrong.cpu().numpy() / recipe.batch_size
    return History(losses, errors, recipe.at, run.errors, run.seconds, run.step_seconds, precision)
