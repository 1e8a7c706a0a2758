"""Linear layers that hold their kept weights alone, and networks stacked into one.

They train to the same weights, up to rounding, in less time where few connections are left.
"""

import contextlib
import copy
import dataclasses
import itertools
import math
import time
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snipcore import apply_masks, build_model, check_known, check_masks, keep_top, sensitivity
from sniplab.data import Data, draw_batch
from sniplab.training import (
    History,
    Recipe,
    _optimizer,
    _pruning,
    _steps,
    check_training,
    progress,
    recipe_for,
    train,
)


class SparseProduct(torch.autograd.Function):
    """Wx + b of a sparse W, and the gradient of its kept values alone."""

    @staticmethod
    def forward(ctx, values: Tensor, bias: Tensor, x: Tensor, layer: "SparseLinear") -> Tensor:
        ctx.save_for_backward(values, x)  # (nnz,), (I, B)
        ctx.layer = layer
        return _sparse_dense(layer.places, values, x).add_(bias.unsqueeze(1))  # (O, B)

    @staticmethod
    def backward(ctx, d_out: Tensor) -> tuple[Tensor | None, ...]:  # (O, B)
        (values, x), layer, d_x = ctx.saved_tensors, ctx.layer, None
        d_out = d_out.contiguous()
        if ctx.needs_input_grad[2]:
            transposed = values.index_select(0, layer.order)
            d_x = _sparse_dense(layer.transposed_places, transposed, d_out)  # Wᵀ d_out (I, B)
        product = torch.sparse.sampled_addmm(layer.pattern, d_out, x.t(), beta=0)
        return product.values(), d_out.sum(1), d_x, None  # d_out xᵀ where W is kept


def _sparse_dense(places: tuple[Tensor, Tensor], values: Tensor, x: Tensor) -> Tensor:
    """Sparse (O, I) times dense (I, B). A bag of weighted embeddings is just that, and takes less
    than half the time of `addmm` with a CSR tensor."""
    ends, columns = places
    options = {"mode": "sum", "include_last_offset": True}
    return F.embedding_bag(columns, x, ends, per_sample_weights=values, **options)


class SparseLinear(nn.Linear):
    """One linear layer, or K of one shape side by side, that holds the kept weights alone.

    K layers I → O, with their masks (O, I), take (B, I) if they share their input, else (B, K·I),
    and give (B, K·O). `write_back` returns the trained values to them.
    """

    def __init__(self, layers: Sequence[nn.Linear], masks: Sequence[Tensor], shared: bool = True):
        nn.Module.__init__(self)
        outputs, inputs = layers[0].weight.shape
        self.layers, self.kept = tuple(layers), [m.nonzero(as_tuple=True) for m in masks]
        apart = 0 if shared else inputs
        rows = torch.cat([row + k * outputs for k, (row, _) in enumerate(self.kept)])  # (nnz,)
        columns = torch.cat([column + k * apart for k, (_, column) in enumerate(self.kept)])
        shape = (len(layers) * outputs, inputs if shared else len(layers) * inputs)
        self.out_features, self.in_features = shape
        values = [layer.weight.detach()[k] for layer, k in zip(layers, self.kept, strict=True)]
        self.values = nn.Parameter(torch.cat(values))  # (nnz,), row by row
        self.bias = None
        if layers[0].bias is not None:
            self.bias = nn.Parameter(torch.cat([layer.bias.detach() for layer in layers]))  # (O,)
        self.places = self._places(rows, columns, shape[0])
        self.order = torch.argsort(columns, stable=True)  # of the values, by rows of the transpose
        self.transposed_places = self._places(columns[self.order], rows[self.order], shape[1])
        with warnings.catch_warnings():  # PyTorch says once that this layout is "in beta state"
            warnings.filterwarnings("ignore", "Sparse", UserWarning)
            csr = (*self.places, torch.zeros_like(self.values.detach()), shape)
            self.pattern = torch.sparse_csr_tensor(*csr, check_invariants=False)

    @staticmethod
    def _places(rows: Tensor, columns: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Where each of `size` rows ends, after a 0, (size + 1,), and the columns, (nnz,)."""
        return F.pad(rows.bincount(minlength=size).cumsum(0), (1, 0)).int(), columns.int()

    def product(self, x: Tensor) -> Tensor:  # (I, B) -> (O, B)
        bias = x.new_zeros(self.out_features) if self.bias is None else self.bias
        return SparseProduct.apply(self.values, bias, x.contiguous(), self)

    def forward(self, x: Tensor) -> Tensor:  # (…, I) -> (…, O)
        flat = x.to(self.values.dtype).reshape(-1, self.in_features).t()
        with torch.autocast(x.device.type, enabled=False):  # there is no sparse bfloat16 product
            return self.product(flat).t().unflatten(0, x.shape[:-1])

    @torch.no_grad()
    def write_back(self) -> None:
        parts = self.values.split([len(rows) for rows, _ in self.kept])
        for layer, kept, values in zip(self.layers, self.kept, parts, strict=True):
            layer.weight.zero_()[kept] = values
        if self.bias is not None:
            for layer, bias in zip(self.layers, self.bias.chunk(len(self.layers)), strict=True):
                layer.bias.copy_(bias)


@contextlib.contextmanager
def sparse_linears(model: nn.Module, masks: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Inside the block, the linear layers of `model` hold their kept weights alone.

        with sparse_linears(model, masks) as rest:
            train(model, data, recipe, rest)

    Gives the masks of the model as it is inside. After the block it is made as before, trained.
    """
    check_masks(model, masks)
    uses = [id(weight) for _, weight in model.named_parameters(remove_duplicate=False)]
    swapped, rest = [], dict(masks)
    for name, layer in list(model.named_modules()):
        if name and type(layer) is nn.Linear and uses.count(id(layer.weight)) == 1:
            sparse = SparseLinear([layer], [rest.pop(f"{name}.weight").to(layer.weight.device)])
            rest[f"{name}.values"] = torch.ones_like(sparse.values, dtype=torch.bool)
            parent, _, leaf = name.rpartition(".")
            swapped.append((model.get_submodule(parent), leaf, layer, sparse))
    try:
        for parent, leaf, _, sparse in swapped:
            setattr(parent, leaf, sparse)
        yield rest
    finally:
        for parent, leaf, layer, sparse in swapped:
            sparse.write_back()
            setattr(parent, leaf, layer)


def _stack_networks(
    models: Sequence[nn.Module], masks: Sequence[Mapping[str, Tensor]]
) -> tuple[nn.Sequential, dict[str, Tensor]]:
    """Networks of one shape as one, for `_stacked_logits`, and the masks of that one."""
    stack, stacked_masks = OrderedDict(), {}
    for name, layer in models[0].named_children():
        if isinstance(layer, nn.Linear):
            layers = [model.get_submodule(name) for model in models]
            parts = [mask[f"{name}.weight"] for mask in masks]
            layer = SparseLinear(layers, parts, shared=not stacked_masks)
            stacked_masks[f"{name}.values"] = torch.ones_like(layer.values, dtype=torch.bool)
            if layer.bias is not None:
                stacked_masks[f"{name}.bias"] = torch.cat([mask[f"{name}.bias"] for mask in masks])
        stack[name] = layer
    return nn.Sequential(stack), stacked_masks


def _stacked_logits(network: nn.Sequential, x: Tensor, count: int) -> Tensor:
    """Logits (K, classes, B) of K networks that read one batch, (B, …). Features come first all the
    way, as the products have them, and ReLU takes no memory of its own."""
    h = x.flatten(1).t().clone(memory_format=torch.contiguous_format)  # (features, B)
    for layer in network:
        if isinstance(layer, SparseLinear):
            h = layer.product(h)
        elif isinstance(layer, nn.ReLU):
            h = h.relu_()
    return h.unflatten(0, (count, -1))


def stackable(model: nn.Module) -> bool:
    """Whether `train_stacked` takes it: linear layers and ReLU one after the other, no more."""
    kinds = (nn.Flatten, nn.Linear, nn.ReLU)
    return type(model) is nn.Sequential and all(type(layer) in kinds for layer in model)


def train_stacked(
    models: Sequence[nn.Module],
    data: Data,
    recipe: Recipe,
    masks: Sequence[Mapping[str, Tensor]],
    seed: int = 0,
) -> list[History | FloatingPointError]:
    """`train` for K pruned networks of one shape, as one network: they see the same batches.

    Their first layers read one input, later layers are block-diagonal; there is one sparse product
    for all, and one optimiser. Each network trains as it would alone, up to rounding; one whose
    loss is NaN or Inf gets the error in place of its history, and the others go on.

    Args:
        models: of one architecture, for which `stackable` is true; trained in place.
        masks: of each.

    Raises ValueError as `train` does, and for networks that cannot be stacked.
    """
    started = time.perf_counter()
    device, count = data.x_train.device, len(models)
    if not all(stackable(model) for model in models):
        raise ValueError("only networks of linear layers and ReLU can be stacked")
    for model, mask in zip(models, masks, strict=True):
        model.to(device)
        apply_masks(model, mask)
    check_training(models[0], data, recipe)
    network, stacked_masks = _stack_networks(models, masks)
    pruning = _pruning(network, stacked_masks)
    optimizer = _optimizer(network, recipe)

    losses, wrong = torch.empty(2, recipe.iterations, count, device=device)
    at, errors, evaluating = recipe.at, [], 0.0
    begun = time.perf_counter()
    for i, x, y in _steps(data, recipe, seed, optimizer):
        logits = _stacked_logits(network, x, count)  # (K, classes, B)
        labels = y.expand(count, -1)  # (K, B)
        loss = F.cross_entropy(logits, labels, reduction="none").mean(1)  # (K,)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        for weight, mask in pruning:
            weight.mul_(mask)
        losses[i] = loss.detach()
        wrong[i] = (logits.detach().max(1).indices != labels).sum(
            1
        )  # `argmax` takes ten times as long
        if i + 1 in at:
            paused = time.perf_counter()
            errors.append(_evaluate_stacked(network, data, count))
            evaluating += time.perf_counter() - paused
    for layer in network:
        if isinstance(layer, SparseLinear):
            layer.write_back()
    ended = time.perf_counter()
    seconds = np.array([ended - started, (ended - begun - evaluating) / recipe.iterations]) / count
    losses, wrong = losses.cpu().numpy(), 100 * wrong.cpu().numpy() / recipe.batch_size
    histories = []
    for k in range(count):
        bad = np.flatnonzero(~np.isfinite(losses[:, k]))
        test_error = [error[k] for error in errors]
        if len(bad):
            text = f"the loss is {losses[bad[0], k]} at iteration {bad[0]}"
            histories.append(FloatingPointError(text))
        elif not np.isfinite(test_error).all():
            histories.append(FloatingPointError("NaN or Inf in the logits"))
        else:
            histories.append(History(losses[:, k], wrong[:, k], at, test_error, *seconds))
    return histories


@torch.no_grad()
def _evaluate_stacked(network: nn.Module, data: Data, count: int) -> list[float]:
    """Test error in percent of each of the `count` networks; NaN where a logit is NaN or Inf."""
    wrong = torch.zeros(count, device=data.y_test.device)
    for x, y in zip(data.x_test.split(500), data.y_test.split(500), strict=True):
        logits = _stacked_logits(network, x, count)  # (K, classes, 500)
        wrong += (logits.argmax(1) != y).sum(1)
        wrong[~logits.isfinite().flatten(1).all(1)] = math.nan
    return [100 * number / len(data.y_test) for number in wrong.tolist()]


def train_with(
    engine: str,
    models: Sequence[nn.Module],
    data: Data,
    recipe: Recipe,
    masks: Sequence[Mapping[str, Tensor] | None],
    seed: int = 0,
) -> list[History | FloatingPointError]:
    """Train networks by one of ENGINES: a history of each, or why it has none."""
    check_known(engine, ENGINES, "engine")
    if engine == "stacked":
        return train_stacked(models, data, recipe, masks, seed)
    histories = []
    for model, mask in zip(models, masks, strict=True):
        sparse = sparse_linears(model, mask) if engine == "sparse" else None
        with sparse or contextlib.nullcontext(mask) as fitting:
            try:
                histories.append(train(model, data, recipe, fitting, seed))
            except FloatingPointError as error:
                histories.append(error)
    return histories


ENGINES = {  # name: (how figures call it, colour, marker)
    "masked": ("masked", "#d55e00", "s"),
    "sparse": ("sparse", "#56b4e9", "o"),
    "stacked": ("sparse and stacked", "#0072b2", "D"),
}

TRIAL_STEPS = 8  # of each engine, twice; a run of fewer than TRIAL_WORTH steps is not worth them

TRIAL_WORTH = 200

TRIAL_SPARSITY = 0.9  # below, no engine gains much on one network alone: see `step_costs`

STACK_SPARSITY = 0.7  # the same for several


def fastest_engine(models: list, data: Data, recipe: Recipe, masks: list, seed: int) -> str:
    """The engine that trains these networks in the least time here and now, by a few timed steps of
    each on copies: "masked", "sparse" where linear layers are sparse, "stacked" for several."""
    linear = [
        mask[f"{name}.weight"]
        for model, mask in zip(models, masks, strict=True)
        for name, layer in model.named_modules()
        if mask is not None and type(layer) is nn.Linear
    ]
    size = sum(mask.numel() for mask in linear)
    m = sum(mask.numel() for every in masks if every is not None for mask in every.values())
    kept = sum(int(mask.sum()) for mask in linear)
    together = len(models) > 1 and all(stackable(model) for model in models)
    least = STACK_SPARSITY if together else TRIAL_SPARSITY
    worth = size > m / 2 and kept < (1.01 - least) * size
    if not worth or recipe.iterations < TRIAL_WORTH or recipe.precision != "float32":
        return "masked"  # PyTorch's sparse products are in float32
    short = dataclasses.replace(recipe, iterations=TRIAL_STEPS, checkpoints=1)
    few = dataclasses.replace(data, x_test=data.x_test[:10], y_test=data.y_test[:10])
    seconds = {}
    for engine in ("masked", "sparse", *(["stacked"] if together else [])) * 2:
        some = len(models) if engine == "stacked" else 1
        trial = (copy.deepcopy(models[:some]), few, short, masks[:some], seed)
        history = train_with(engine, *trial)[0]
        if isinstance(history, History):  # else it diverges at once, by whatever engine
            seconds[engine] = min(history.step_seconds, seconds.get(engine, math.inf))
    return min(seconds, key=seconds.get, default="masked")


STACK = 16  # networks trained as one, at most: a kill loses them together


def step_costs(
    model: str,
    sparsities: Iterable[float],
    data: Data,
    rounds: int = 5,
    steps: int = 20,
    networks: int = STACK,
    threads: int = 1,
) -> pd.DataFrame:
    """What a training step costs, by engine and sparsity, each beside dense steps of its round.

    Args:
        model: one for which `stackable` is true.
        networks: how many are stacked.

    Returns:
        Columns round, sparsity, engine, seconds (of a step of one network) and speed: the dense
        step's seconds over these.
    """
    few = dataclasses.replace(data, x_test=data.x_test[:10], y_test=data.y_test[:10])
    recipe = dataclasses.replace(recipe_for(model, steps, 1), lr=0.01)
    device, rows = data.x_train.device, []
    x, y = draw_batch(data, 100, seed=0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        models = [build_model(model, seed=seed).to(device) for seed in range(networks)]
        scores = [sensitivity(m, x, y) for m in models]
        masks = {s: [keep_top(score, s) for score in scores] for s in sparsities}
        for number in progress(range(rounds + 1), desc="timing", unit="round"):
            dense = train_with("masked", copy.deepcopy(models[:1]), few, recipe, [None])
            for sparsity, engine in itertools.product(masks, ENGINES):
                some = networks if engine == "stacked" else 1
                trial = (copy.deepcopy(models[:some]), few, recipe, masks[sparsity][:some])
                seconds = train_with(engine, *trial)[0].step_seconds
                speed = dense[0].step_seconds / seconds
                rows.append((number, sparsity, engine, seconds, speed))
    finally:
        torch.set_num_threads(before)
    table = pd.DataFrame(rows, columns=["round", "sparsity", "engine", "seconds", "speed"])
    return table[table["round"] > 0]  # the first round warms up
