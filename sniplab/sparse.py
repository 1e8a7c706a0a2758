"""Linear layers that hold their kept weights alone, and networks stacked into one.

Each step is that of training with masks, up to rounding, and takes less time where few connections
are left.
"""

import contextlib
import itertools
import math
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snipcore import apply_masks, check_masks, hold, prunable
from sniplab.data import Data
from sniplab.recipe import Recipe
from sniplab.training import History, check_training, fit, make_optimizer, settled_precision


class SparseProduct(torch.autograd.Function):
    """Wx + b of a sparse W, and the gradient of its kept values alone."""

    @staticmethod
    def forward(ctx, values: Tensor, bias: Tensor, x: Tensor, layer: "SparseLinear") -> Tensor:
        ctx.save_for_backward(values, x)  # (nnz,), (I, B)
        ctx.layer = layer
        product = _sparse_dense(layer.ends, layer.columns, values, x)
        return product.add_(bias.unsqueeze(1))  # (O, B)

    @staticmethod
    def backward(ctx, d_out: Tensor) -> tuple[Tensor | None, ...]:  # (O, B)
        (values, x), layer = ctx.saved_tensors, ctx.layer
        d_out, d_values, d_bias, d_x = d_out.contiguous(), None, None, None
        if ctx.needs_input_grad[0]:  # d_out xᵀ where W is kept
            product = torch.sparse.sampled_addmm(layer.pattern(), d_out, x.t(), beta=0)
            d_values = product.values()
        if ctx.needs_input_grad[1]:
            d_bias = d_out.sum(1)
        if ctx.needs_input_grad[2]:
            transposed = values.index_select(0, layer.order)
            places = layer.transposed_ends, layer.transposed_columns
            d_x = _sparse_dense(*places, transposed, d_out)  # Wᵀ d_out (I, B)
        return d_values, d_bias, d_x, None


def _ends(rows: Tensor, size: int) -> Tensor:
    """Where each of `size` rows ends among sorted entries, after a 0: (size + 1,)."""
    return F.pad(rows.bincount(minlength=size).cumsum(0), (1, 0)).int()


def _sparse_dense(ends: Tensor, columns: Tensor, values: Tensor, x: Tensor) -> Tensor:
    """Sparse (O, I) times dense (I, B). A bag of weighted embeddings is just that, and takes less
    than half the time of `addmm` with a CSR tensor."""
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
        # Row by row (nnz,); frozen, if the layer is.
        self.values = nn.Parameter(torch.cat(values), layers[0].weight.requires_grad)
        self.bias = None
        if layers[0].bias is not None:
            biases = torch.cat([layer.bias.detach() for layer in layers])  # (O,)
            self.bias = nn.Parameter(biases, layers[0].bias.requires_grad)
        order = torch.argsort(columns, stable=True)  # of the values, by rows of the transpose
        for name, places in {
            "ends": _ends(rows, shape[0]),
            "columns": columns.int(),
            "order": order,
            "transposed_ends": _ends(columns[order], shape[1]),
            "transposed_columns": rows[order].int(),
        }.items():
            self.register_buffer(name, places, persistent=False)
        self._pattern = None

    def pattern(self) -> Tensor:
        """Where the kept weights are, as a CSR tensor of zeros, (O, I)."""
        if self._pattern is None:
            with warnings.catch_warnings():  # PyTorch says once that this layout is "in beta state"
                warnings.filterwarnings("ignore", "Sparse", UserWarning)
                csr = (self.ends, self.columns, torch.zeros_like(self.values.detach()))
                shape = (self.out_features, self.in_features)
                self._pattern = torch.sparse_csr_tensor(*csr, shape, check_invariants=False)
        return self._pattern

    def _apply(self, change: Callable, recurse: bool = True) -> "SparseLinear":
        self._pattern = None  # made anew on the new device or of the new type
        return super()._apply(change, recurse)

    def __getstate__(self) -> dict:  # for copies: a CSR tensor cannot be copied
        return {**self.__dict__, "_pattern": None}

    @property
    def weight(self) -> Tensor:
        """The weights as the dense layer has them, (O, I): for code that looks at them."""
        rows = torch.arange(self.out_features, device=self.ends.device)
        dense = self.values.new_zeros(self.out_features, self.in_features)
        rows = rows.repeat_interleave(self.ends.diff())
        return dense.index_put((rows, self.columns.long()), self.values)

    def product(self, x: Tensor) -> Tensor:  # (I, B) -> (O, B)
        bias = x.new_zeros(self.out_features) if self.bias is None else self.bias
        return SparseProduct.apply(self.values, bias, x.contiguous(), self)

    def forward(self, x: Tensor) -> Tensor:  # (…, I) -> (…, O)
        flat = x.to(self.values.dtype).reshape(-1, self.in_features).t()
        with torch.autocast(x.device.type, enabled=False):  # there is no sparse bfloat16 product
            return self.product(flat).t().reshape(*x.shape[:-1], self.out_features)

    @torch.no_grad()
    def write_back(self) -> None:
        parts = self.values.split([len(rows) for rows, _ in self.kept])
        for layer, kept, values in zip(self.layers, self.kept, parts, strict=True):
            layer.to(values)  # where the model was moved to, as what it was cast to
            layer.weight.zero_()[kept] = values
        if self.bias is not None:
            for layer, bias in zip(self.layers, self.bias.chunk(len(self.layers)), strict=True):
                layer.bias.copy_(bias)


def _hooked(layer: nn.Module) -> bool:
    return any(key.endswith("_hooks") and value for key, value in vars(layer).items())


def _put(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, layer)


def _refuse(name: str, *_) -> None:
    raise RuntimeError(
        f"the model calls layer {name} by a reference of its own, from a list, say, and would "
        "train nothing there: use an nn.ModuleList, or train with masks alone"
    )


@contextlib.contextmanager
def sparse_linears(model: nn.Module, masks: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Inside the block, the linear layers of `model` hold their kept weights alone, but for those
    that share a parameter or have hooks: they stay, for training with masks.

        with sparse_linears(model, masks) as inner_masks:
            train(model, data, recipe, inner_masks)

    Gives the masks of the model as it is inside. After the block it is made as before, trained.

    Raises RuntimeError where the model calls such a layer from elsewhere than its place.
    """
    check_masks(model, masks)
    uses = Counter(id(weight) for _, weight in model.named_parameters(remove_duplicate=False))
    swapped, inner_masks = [], dict(masks)
    for name, layer in list(model.named_modules()):
        alone = all(uses[id(weight)] == 1 for weight in layer.parameters())
        pruned = f"{name}.weight" in inner_masks
        if name and type(layer) is nn.Linear and alone and pruned and not _hooked(layer):
            mask = inner_masks.pop(f"{name}.weight").to(layer.weight.device)
            sparse = SparseLinear([layer], [mask])
            inner_masks[f"{name}.values"] = torch.ones_like(sparse.values, dtype=torch.bool)
            swapped.append((name, layer, sparse))
    guards = []
    try:
        for name, layer, sparse in swapped:
            _put(model, name, sparse)
            guards.append(layer.register_forward_pre_hook(partial(_refuse, name)))
        yield inner_masks
    finally:
        for guard in guards:
            guard.remove()
        for name, layer, sparse in swapped:
            sparse.write_back()
            _put(model, name, layer)


def stackable(model: nn.Module) -> bool:
    """Whether `train_stacked` takes it: perhaps a Flatten, then linear layers with ReLU between
    them, of widths that fit, all trained and each used once, none with hooks."""
    layers = list(model) if type(model) is nn.Sequential else []
    if any(map(_hooked, model.modules())):
        return False
    if layers and type(layers[0]) is nn.Flatten:
        if (layers[0].start_dim, layers[0].end_dim) != (1, -1):
            return False
        layers = layers[1:]
    linear, between = layers[::2], layers[1::2]
    if any(type(layer) is not nn.Linear for layer in linear):
        return False
    if any(type(layer) is not nn.ReLU for layer in between) or len(linear) != len(between) + 1:
        return False
    weights = [weight for layer in linear for weight in layer.parameters()]
    return (
        all(a.out_features == b.in_features for a, b in itertools.pairwise(linear))
        and all(weight.requires_grad for weight in weights)
        and len({id(weight) for weight in weights}) == len(weights)
        and len({layer.bias is None for layer in linear}) == 1
    )


def _stack_networks(
    models: Sequence[nn.Module], masks: Sequence[Mapping[str, Tensor]]
) -> tuple[nn.Sequential, dict[str, Tensor]]:
    """Networks of one shape as one, for `_stacked_logits`, and the masks of that one."""
    stack, stacked_masks = OrderedDict(), {}
    for name, layer in models[0].named_modules(remove_duplicate=False):
        if isinstance(layer, nn.Linear):
            layers = [model.get_submodule(name) for model in models]
            parts = [mask[f"{name}.weight"] for mask in masks]
            layer = SparseLinear(layers, parts, shared=not stacked_masks)
            stacked_masks[f"{name}.values"] = torch.ones_like(layer.values, dtype=torch.bool)
            if layer.bias is not None:
                stacked_masks[f"{name}.bias"] = torch.cat([mask[f"{name}.bias"] for mask in masks])
        if isinstance(layer, (SparseLinear, nn.ReLU)):
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


def train_stacked(
    models: Sequence[nn.Module],
    data: Data,
    recipe: Recipe,
    masks: Sequence[Mapping[str, Tensor]],
    seed: int = 0,
    **keep,
) -> list[History | FloatingPointError]:
    """`train` for K pruned networks of one shape, as one network: they see the same batches.

    Their first layers read one input, later layers are block-diagonal; there is one sparse product
    for all, and one optimiser. Each network trains as it would by `train`, up to rounding, and as
    it would in any other stack, a stack of one too, to the bit. One whose loss is NaN or Inf gets
    the error in place of its history, and the others go on.

    Args:
        models: of one architecture, for which `stackable` is true; trained in place.
        masks: of each.
        keep: the checkpoint and more, as for `train`, for all of them together.

    Raises ValueError as `train` does, and for networks that cannot be stacked.
    """
    device, count = data.x_train.device, len(models)
    shapes = {tuple(weight.shape for weight in model.parameters()) for model in models}
    if len(set(models)) < count:
        raise ValueError("one network is given twice: each is trained in place, so take copies")
    if not all(stackable(model) for model in models) or len(shapes) > 1:
        raise ValueError(
            "only networks of one shape can be stacked, of linear layers with ReLU between them"
        )
    if settled_precision(recipe, device) != "float32":
        raise ValueError(
            "stacked networks train in float32: PyTorch has no sparse bfloat16 product"
        )
    if data.x_train.ndim > 2 and type(models[0][0]) is not nn.Flatten:
        raise ValueError("stacked networks take images only if they begin with nn.Flatten")
    for model, mask in zip(models, masks, strict=True):
        model.to(device)
        check_training(model, data, recipe)
        apply_masks(model, mask)
    every = [
        {n: torch.ones_like(w, dtype=torch.bool) for n, w in prunable(m).items()} for m in models
    ]
    masks = [ones | dict(mask) for ones, mask in zip(every, masks, strict=True)]
    network, stacked_masks = _stack_networks(models, masks)
    # Not fused: on the CPU that rounds the last few numbers of a tensor otherwise, and a network at
    # the end of a stack would come out otherwise than in its middle. On CUDA it does not, and what
    # is not fused asks for the learning rate in mid-step.
    options = {"fused": True} if device.type == "cuda" else {"foreach": True}
    optimizer = make_optimizer(network, recipe, **options)
    hold(optimizer, network, stacked_masks)

    def forward(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        logits = _stacked_logits(network, x, count)  # (K, classes, B)
        loss = F.cross_entropy(logits, y.expand(count, -1), reduction="none").mean(1)
        return loss, logits  # (K,), (K, classes, B)

    def mistakes(logits: Tensor, y: Tensor) -> Tensor:  # (K, classes, B), (B,) -> (K,)
        answers = logits.max(1).indices  # `argmax` takes ten times as long
        return (answers != y).sum(1)

    def test() -> list[float]:
        return _evaluate_stacked(network, data, count)

    parts = (network, optimizer, forward, mistakes, test, data, recipe, stacked_masks, seed)
    run = fit(*parts, (count,), **keep)
    for layer in network:
        if isinstance(layer, SparseLinear):
            layer.write_back()
    seconds = (run.seconds / count, run.step_seconds / count)
    losses, wrong = run.losses.cpu().numpy(), 100 * run.wrong.cpu().numpy() / recipe.batch_size
    histories = []
    for k in range(count):
        bad = np.flatnonzero(~np.isfinite(losses[:, k]))
        test_error = [error[k] for error in run.errors]
        if len(bad):
            text = f"the loss is {losses[bad[0], k]} at iteration {bad[0]}"
            histories.append(FloatingPointError(text))
        elif not np.isfinite(test_error).all():
            histories.append(FloatingPointError("NaN or Inf in the logits"))
        else:
            histories.append(History(losses[:, k], wrong[:, k], recipe.at, test_error, *seconds))
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
