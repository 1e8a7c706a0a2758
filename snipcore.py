"""SNIP: prune a network once, before training, by connection sensitivity.

    masks = keep_top(sensitivity(model, x, y), sparsity=0.95)
    print(collapsed(model, masks, x))  # what they cut: [] if all is well
    hold(optimizer, model, masks)  # zero, and zero after every step: now train as ever

What is prunable, initialisation, sensitivity, masks, what they cut, and the networks of the tables,
in that order. The source:

- Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity.
  ICLR 2019, arXiv:1810.02340. "Eq.", "§", "Table" and "Fig." below are those of this paper.

Notation: m is the number of prunable parameters, sparsity (the paper's κ̄) the fraction of them that
is removed, κ the number kept. Sparsity is a fraction, 0 ≤ κ̄ < 1.
"""

import contextlib
import copy
import hashlib
import inspect
import json
import math
import os
import warnings
import zipfile
import zlib
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial, wraps
from pathlib import Path
from types import FunctionType, MethodType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only


def check_known(value, choices: Iterable, kind: str) -> None:
    """Raise ValueError that lists the known values unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f"unknown {kind} {value!r}; known: {', '.join(map(str, choices))}")


def derive_seed(seed: int, purpose: str) -> int:
    """A 32-bit seed of its own for each purpose: the same stream drawn twice would tie, say, the
    random scores of a network to the sizes of its weights."""
    words = [seed, zlib.crc32(purpose.encode())]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """A random generator for one purpose, on the CPU so that all devices get the same numbers."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or CUDA where there is one, else the CPU.

    Raises ValueError for an unknown device, RuntimeError for CUDA where PyTorch sees none.
    """
    try:
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise ValueError(f"device {device!r}: 'cpu', 'cuda' or another of PyTorch's") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(f"device={str(device)!r}, but PyTorch sees no CUDA here: use 'cpu'")
    return device


# -------------------------------------------------------------------------------- what is prunable

PRUNABLE_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.RNNBase, nn.RNNCellBase)
PRUNABLE_LAYERS += (nn.MultiheadAttention,)  # its own are three linear maps in one tensor
BATCH_NORM = nn.modules.batchnorm._BatchNorm
NORM_LAYERS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)

# What picks parameters: a name, a type, or a function of (name, module, parameter); see `prunable`.
Pick = str | type[nn.Module] | Callable[[str, nn.Module, Tensor], bool]
Picks = Pick | Iterable[Pick] | None


def prunable(
    model: nn.Module, include: Picks = None, exclude: Picks = None
) -> dict[str, nn.Parameter]:
    """The trainable weights and biases of all convolutional, linear and recurrent layers, in module
    order: the m parameters that the reference implementation counts. Attention counts, too: it is
    four linear maps. So does whatever a subclass of such a layer adds.

    Left out unless included: normalisation, embeddings and other types of layer; parameters that
    any other module holds itself, even if a layer shares them; frozen parameters; the second bias
    vector (`bias_hh…`), which PyTorch's recurrent layers have and the paper's do not. A tensor that
    two layers share is listed once.

    Args:
        include: what is prunable, too: one or several of
            a name of a parameter or of a module around it, with wildcards: "head", "*.experts.*";
            a type of module: transformers.pytorch_utils.Conv1D;
            a function of (name, module, parameter) that says yes or no.
            What the scoring batch does not use scores 0, rows of an embedding, say, and experts:
            include those with a batch that uses them all.
        exclude: what is not, said in the same way; it outweighs `include`, by whatever name.

    Raises ValueError for a name that nothing has; a layer whose weight is computed from others and
    not excluded, that cannot be looked at, or that is spread over processes; two parameters in one
    memory.
    """
    included, excluded = _picked(model, include), _excluded(model, exclude)
    other_modules = (m for m in model.modules() if not isinstance(m, PRUNABLE_LAYERS))
    elsewhere = {id(weight) for module in other_modules for weight in module._parameters.values()}
    weights: dict[str, nn.Parameter] = {}
    handled = set(excluded)
    for prefix, module in model.named_modules():
        if isinstance(module, nn.modules.lazy.LazyModuleMixin | torch.jit.ScriptModule):
            raise ValueError(f"layer {prefix!r} is scripted, or has no shape before a first run")
        if type(module).__name__ == "FullyShardedDataParallel":
            raise ValueError(
                "the model is wrapped in FSDP, which flattens weights: they can be neither scored "
                "nor held; score it before that, wrap it by fully_shard (FSDP2), and hold it then"
            )
        is_layer = isinstance(module, PRUNABLE_LAYERS)
        sources = [source for several in _computed(module).values() for source in several]
        if is_layer and not excluded.issuperset(map(id, sources)):
            raise ValueError(
                f"the weight of layer {prefix or type(module).__name__} is parametrised, computed "
                "from other tensors (as by weight_norm, spectral_norm or prune): remove that first "
                f"or leave the layer out, exclude={prefix!r}"
            )
        for name, weight in module.named_parameters(recurse=False):
            full_name = f"{prefix}.{name}" if prefix else name
            taken = is_layer and weight.requires_grad and not name.startswith("bias_hh")
            taken = (taken and id(weight) not in elsewhere) or (module, name) in included
            if taken and id(weight) not in handled:
                if hasattr(weight, "full_tensor"):  # a DTensor
                    raise ValueError(
                        f"{full_name} is spread over processes, as by FSDP2: make the masks before "
                        "that; `hold` takes them afterwards"
                    )
                weights[full_name] = weight
                handled.add(id(weight))
    _check_memory(model, weights, excluded)
    return weights


def _computed(module: nn.Module) -> dict[str, list[nn.Parameter]]:
    """{name: its parameters} for each tensor of a module that is computed from parameters: by a
    parametrisation, or by the older weight_norm, spectral_norm and prune, which put a plain tensor
    in the weight's place."""
    if parametrize.is_parametrized(module):
        return {name: list(parts.parameters()) for name, parts in module.parametrizations.items()}
    sources = {}
    for name, source in module._parameters.items():
        for end in ("_orig", "_g", "_v"):
            weight = name.removesuffix(end)
            if weight != name and isinstance(vars(module).get(weight), Tensor):
                sources.setdefault(weight, []).append(source)
    return sources


def _picked(model: nn.Module, picks: Picks) -> set[tuple[nn.Module, str]]:
    """What `picks` select, by any name in the model: parameters, and tensors computed from them,
    each as (module, name in it).

    Raises ValueError for a name that no parameter and no module has, TypeError for what is no pick.
    """
    if picks is None:
        return set()
    modules = dict(model.named_modules(remove_duplicate=False))
    tensors = []  # (name in the model, module, name in the module, tensor)
    for prefix, module in modules.items():
        own = dict(module.named_parameters(recurse=False))
        if computed := _computed(module):  # computing it may draw numbers, or write
            with _put_back(module):
                own |= {name: getattr(module, name) for name in computed}
        before = prefix and f"{prefix}."
        tensors += [(before + name, module, name, tensor) for name, tensor in own.items()]

    def fits(pick: Pick, full_name: str, module: nn.Module, tensor: Tensor) -> bool:
        parts = full_name.split(".")
        around = [".".join(parts[:n]) for n in range(len(parts) + 1)]  # a.b.c: "", a, a.b, a.b.c
        if isinstance(pick, str):
            return any(fnmatchcase(name, pick) for name in around)
        if isinstance(pick, type):
            return any(isinstance(modules.get(name), pick) for name in around)
        return pick(full_name, module, tensor)

    chosen = set()
    several = isinstance(picks, Iterable) and not isinstance(picks, str | type | nn.Module)
    for pick in picks if several else [picks]:
        if isinstance(pick, nn.Module) or not (isinstance(pick, str) or callable(pick)):
            raise TypeError(
                "parameters are picked by names, types of module or functions, not by "
                f"{type(pick).__name__}"
            )
        matches = {(m, name) for full, m, name, tensor in tensors if fits(pick, full, m, tensor)}
        if isinstance(pick, str) and not matches:
            raise ValueError(f"no parameter and no module of the model is called {pick!r}")
        chosen |= matches
    return chosen


def _excluded(model: nn.Module, picks: Picks) -> set[int]:
    """The ids of the picked parameters, and of those that picked tensors are computed from."""
    ids = set()
    for module, name in _picked(model, picks):
        own = module._parameters
        sources = [own[name]] if name in own else _computed(module)[name]
        ids |= {id(source) for source in sources}
    return ids


def _check_memory(model: nn.Module, weights: Mapping[str, Tensor], excluded: set[int]) -> None:
    """Raise ValueError where a weight lies in the memory of another parameter, as a transpose of it
    does, and neither is excluded: a mask of one would prune the other."""
    weight_ids, spans = {id(weight) for weight in weights.values()}, []
    for name, weight in model.named_parameters():
        try:
            storage = weight.untyped_storage().data_ptr()
        except RuntimeError:  # a kind of tensor without storage of its own
            continue
        steps = zip(weight.shape, weight.stride(), strict=True)
        first = weight.storage_offset()
        last = first + sum((size - 1) * step for size, step in steps)
        # Of tensors without gaps elements coincide where they cross; of others, not in columns.
        if storage and weight.numel() == last - first + 1 and id(weight) not in excluded:
            spans.append((storage, first, last, name, id(weight) in weight_ids))
    spans.sort()
    for number, (storage, _, last, name, is_weight) in enumerate(spans):
        for next_storage, next_first, _, next_name, next_is_weight in spans[number + 1 :]:
            if next_storage != storage or next_first > last:
                break
            if is_weight or next_is_weight:
                raise ValueError(
                    f"{name} and {next_name} are two parameters in one memory: make them one "
                    f"parameter that is used twice, or leave one out, exclude={next_name!r}"
                )


def _warn_of_left_out(model: nn.Module, weights: Mapping[str, Tensor], exclude: Picks) -> None:
    """Warn where more than 5 % of the trainable weights are left out by kind, not by `exclude`."""
    weight_ids, excluded = {id(weight) for weight in weights.values()}, _excluded(model, exclude)
    trained = {
        name: weight
        for name, weight in model.named_parameters()
        if weight.requires_grad and weight.ndim > 1 and id(weight) not in excluded
    }
    left = {name: w.numel() for name, w in trained.items() if id(w) not in weight_ids}
    share = sum(left.values()) / max(1, sum(weight.numel() for weight in trained.values()))
    if share > 0.05:
        largest = sorted(left, key=left.get, reverse=True)[:3]
        warnings.warn(
            f"{share:.0%} of the trainable weights lie in no convolutional, linear or recurrent "
            f"layer and are not pruned, the largest {', '.join(largest)}: prune them by include=…, "
            "or say by exclude=… that they are to stay",
            stacklevel=4,  # where `sensitivity` or `sensitivity_of` is called
        )


# ----------------------------------------------------------------------------------- initialisation

# The standard deviation of a normal distribution cut off at two of its standard deviations.
TRUNCATED_STD = 0.8796256610342398

INITIALIZERS = {  # name: variance of a weight with this fan-in and fan-out; None: it is given
    "rn": None,
    "tn": None,
    "vs": lambda fan_in, fan_out: 1 / fan_in,
    "vs-x": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "vs-h": lambda fan_in, fan_out: 2 / fan_in,
}


@torch.no_grad()
def initialize(
    model: nn.Module, scheme: str, seed: int, std: float = 1.0, gates: float = 1.0
) -> nn.Module:
    """Draw new weights of `prunable` layers in place (§5.5, Table 3) and return the model; biases
    are 0, but for gates. Normalisation is reset. Frozen layers and all else, an embedding, say,
    stay.

    Args:
        scheme: "vs" variance scaling (scale 1, fan-in: the reference's default), "vs-x" Glorot,
            "vs-h" He, each a truncated normal of the variance that its formula names;
            "rn", "tn": (truncated) normal of standard deviation `std`.
        seed: the same seed gives the same weights on every device.
        std: the paper names none for "rn" and "tn"; 1 is the default of its framework.
        gates: the initial bias of recurrent gates, 1 in that framework: of both gates of a GRU; of
            the forget gate of an LSTM, there a constant that is not pruned.

    Raises ValueError for an unknown scheme, and as `prunable` does, with nothing changed.
    """
    check_known(scheme, INITIALIZERS, "initialiser")
    generator = generator_for(seed, "initial weights")
    weights = prunable(model)  # raises, if at all, before anything is changed
    for module in model.modules():
        own = [weight.requires_grad for weight in module.parameters(recurse=False)]
        if isinstance(module, NORM_LAYERS) and (any(own) or not own):  # not a frozen one
            module.reset_parameters()  # ones and zeros: nothing is drawn
    for weight in weights.values():
        if weight.ndim < 2 or weight.numel() == 0:
            weight.zero_()
            continue
        fans = weight[0].numel(), weight.numel() // weight.shape[1]
        variance = INITIALIZERS[scheme]
        sigma = math.sqrt(variance(*fans)) / TRUNCATED_STD if variance else std
        # Drawn as float64 and rounded, so that processors with other vector units agree; and not
        # by trunc_normal_, which draws otherwise in PyTorch 2.11 than in 2.14.
        options = {"dtype": torch.float64, "generator": generator, "device": "cpu"}
        drawn = torch.normal(0.0, sigma, (weight.numel(),), **options)
        far = (drawn.abs() > 2 * sigma).nonzero().squeeze(1) if scheme != "rn" else ()
        while len(far):  # of as many numbers again, those at their places
            drawn[far] = torch.normal(0.0, sigma, drawn.shape, **options)[far]
            far = far[drawn[far].abs() > 2 * sigma]
        weight.copy_(drawn.view(weight.shape))
    weight_ids = {id(weight) for weight in weights.values()}
    for layer in model.modules():
        own = dict(layer.named_parameters(recurse=False))
        if weight_ids.isdisjoint(map(id, own.values())):  # no layer, or a frozen one
            continue
        for name, bias in own.items():
            if name.startswith("bias_hh"):
                bias.zero_()
                if isinstance(layer, nn.LSTM | nn.LSTMCell):  # input, forget, cell, output
                    bias.view(4, -1)[1] = gates
            elif name.startswith("bias_ih") and isinstance(layer, nn.GRU | nn.GRUCell):
                bias.view(3, -1)[:2] = gates  # reset and update, not the candidate
    return model


# -------------------------------------------------------------------------------------- sensitivity


def sensitivity(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    norm: str = "running",
    chunk_size: int | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    include: Picks = None,
    exclude: Picks = None,
) -> dict[str, Tensor]:
    """Connection sensitivity of every prunable parameter (Eqs. 5 and 6) of a model that takes one
    tensor, by one forward and one backward pass.

    `sensitivity_of` is the same for any inputs. What it says of the model, the result and errors
    holds here, too.

    Args:
        x: (B, …) the inputs of the scoring batch D^b.
        y: (B,) integer labels; (B, …) the targets of another loss.
        norm: as for `sensitivity_of`; "batch" normalises by each chunk, if there are several.
        chunk_size: inputs per pass; default: all at once.
        loss: of (output, target), a mean over the batch. Chunks are weighted by their number of
            inputs, and only the default makes allowance for labels of −100; so with `chunk_size`
            the inputs must weigh the same in any other loss. The default also takes a label per
            pixel, or probabilities; for class weights or another label to be ignored pass, for
            instance, `functools.partial(F.cross_entropy, ignore_index=255)`.
        include, exclude: as for `prunable`.

    Raises ValueError, besides, for an empty batch, or one input (in a chunk) to be normalised by
    its own statistics; inputs or targets that do not fit; NaN or Inf in the inputs. Raises
    TypeError for inputs, targets or, by the default loss, outputs that are no tensors.
    """
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size {chunk_size} is below 1")
    check_inputs(model, x, y)
    size = chunk_size or len(x)
    if norm == "batch":
        check_statistics(model, min(size, len(x) % size or size))

    # Of how many targets each loss is the mean: cross-entropy passes over labels of -100.
    default = loss is F.cross_entropy
    counts = [int((part != -100).sum()) if default else len(part) for part in y.split(size)]
    if not any(counts):
        raise ValueError("all labels are -100, and none counts")

    def losses() -> Iterator[Tensor]:
        for part_x, part_y, count in zip(x.split(size), y.split(size), counts, strict=True):
            if not count:
                continue
            output = model(part_x)
            if default:
                check_targets(output, part_y)
            yield loss(output, part_y) * count / sum(counts)

    return _scores(model, losses, norm, include, exclude)


def sensitivity_of(
    model: nn.Module,
    closure: Callable[[], Tensor | Iterable[Tensor]],
    norm: str = "running",
    include: Picks = None,
    exclude: Picks = None,
) -> dict[str, Tensor]:
    """Connection sensitivity of every prunable parameter (Eqs. 5 and 6), for any input and loss.

    g_j = ∂L(c ⊙ w; D^b)/∂c_j at c = 1 equals w_j · ∂L/∂w_j, so one forward and one backward pass
    give all of them; s_j = |g_j| / Σ_k |g_k|. The model is left as it was: weights, running
    statistics, mode and gradients, and what its modules hold. (Weights that a layer rewrites in
    its own forward pass, to bound their norm, say, stay rewritten: score a copy.)

    Args:
        closure: runs the model and returns its mean loss over the scoring batch D^b, one number,
            or a list of several that add up to it; it does not call backward(). Or it yields
            several, each of a forward pass of its own: their signed g are added up before the
            magnitude is taken, so memory is that of one of them. Without float16 autocast, in which
            small gradients become 0. The model is in evaluation mode; where it has losses in
            training mode only, as detectors have, let the closure set `part.training = True` of
            every module that asks for it (`model`, `model.rpn` and `model.roi_heads` of
            torchvision's Faster R-CNN): `model.train()` would switch dropout on and normalise by
            the batch.
        norm: "running" normalises by running statistics as they stand, as in evaluation mode: in a
            fresh network mean 0 and variance 1, as in the reference; "batch" by the batch.
        include, exclude: as for `prunable`, which lists what is scored.

    Returns:
        {name: tensor of the parameter's shape}, non-negative, summing to 1 over all of them.

    What is 0 scores 0 and is pruned first, as biases that start there; to keep these, leave them
    out by `exclude=lambda name, module, weight: weight.ndim < 2`.

    Warns where more than 5 % of the trainable weights of two dimensions or more are left out, and
    of those that score 0 throughout.

    Raises:
        ValueError: nothing prunable; a parametrised weight, or one that is complex, below float32
            or without values; a model that several processes share; an unknown `norm`; "running"
            where a layer keeps no statistics; all sensitivities zero; a layer in a reentrant
            checkpoint; a closure that calls backward().
        TypeError: no closure, or one that gives something else than losses.
        FloatingPointError: NaN or Inf in the loss or in a sensitivity.
    """
    return _scores(model, closure, norm, include, exclude)


def _scores(
    model: nn.Module, closure: Callable, norm: str, include: Picks, exclude: Picks
) -> dict[str, Tensor]:
    """The scores that `sensitivity_of` and `sensitivity` return."""
    if not callable(closure):
        raise TypeError(
            f"the closure is a {type(closure).__name__}: it must be a function without arguments "
            "that runs the model and returns its loss"
        )
    check_known(norm, ("running", "batch"), "norm")
    if isinstance(exclude, Iterator):  # it is gone through twice
        exclude = list(exclude)
    weights = prunable(model, include, exclude)
    parallel = [m for m in model.modules() if isinstance(m, nn.parallel.DistributedDataParallel)]
    if any(module.process_group.size() > 1 for module in parallel):
        raise ValueError(
            "each process would make masks of its own, from its part of the data: score "
            "model.module in one, and send its masks, on the CPU, to the others by "
            "torch.distributed.broadcast_object_list"
        )
    if not weights:
        raise ValueError(
            "nothing to prune: no trainable convolutional, linear or recurrent layer; "
            "include=… takes other parameters"
        )
    _warn_of_left_out(model, weights, exclude)
    for name, weight in weights.items():
        if weight.dtype.itemsize < 4:  # small sensitivities would become 0, or alike
            raise ValueError(f"{name} is {weight.dtype}: score in float32, model.float()")
        if weight.is_meta:
            raise ValueError(f"{name} is on the meta device, without values: load the whole model")
        if weight.is_complex():
            raise ValueError(f"{name} is {weight.dtype}: only real weights can be scored")
    for name, layer in model.named_modules():
        if norm == "running" and isinstance(layer, BATCH_NORM) and layer.running_mean is None:
            raise ValueError(f"layer {name} keeps no running statistics: score with norm='batch'")
    gradients: list[Tensor] = []
    with _scoring(model, weights.values(), norm):
        for losses in _losses(closure()):
            if not all(loss.isfinite() for loss in losses):
                bad = [name for name, weight in weights.items() if not weight.isfinite().all()]
                where = f", as are weights of {', '.join(bad)}" if bad else ""
                raise FloatingPointError(f"the loss is NaN or Inf{where}")
            _check_checkpoints(losses, weights)
            part = _gradients(losses, weights.values())
            # Never in place: autograd may hand out one tensor for two weights.
            pairs = zip(gradients, part, strict=True)
            gradients = [a + b for a, b in pairs] if gradients else part
    if not gradients:
        raise ValueError("the closure gave no loss")
    with torch.no_grad():
        scores = {
            name: (gradient * weight).abs_()
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
        total = _total(scores, "sensitivity")
        if total == 0:
            raise ValueError(_why_zero(weights, gradients))
        _warn_of_zeros(scores)
        if total > torch.finfo(torch.float32).max:  # float32 would divide by Inf
            return {n: (score.cpu().double() / total).to(score) for n, score in scores.items()}
        return {name: score.div_(total) for name, score in scores.items()}


def _warn_of_zeros(scores: Mapping[str, Tensor]) -> None:
    """Warn of weights that score 0 throughout."""
    zeros = [name for name, score in scores.items() if score.ndim > 1 and not score.any()]
    if zeros:
        names = ", ".join(zeros if len(zeros) <= 3 else [*zeros[:3], "…"])
        warnings.warn(
            f"{len(zeros)} of the weights score 0 throughout and are pruned first: {names}. They "
            "are 0, or no gradient reaches them: because of a gain of 0 behind them "
            "(zero_init_last=False in timm), or since they are used in training mode only, as "
            "auxiliary heads are. Draw them, let the closure use them, or leave them out by "
            "exclude=…",
            stacklevel=4,  # where `sensitivity` or `sensitivity_of` is called
        )


def _why_zero(weights: Mapping[str, Tensor], gradients: Iterable[Tensor]) -> str:
    """What stops every gradient, and what to do."""
    empty = [name for name, weight in weights.items() if weight.ndim > 1 and not weight.any()]
    if empty:
        return (
            f"all sensitivities are 0: {', '.join(empty)} has only zeros, and no gradient passes "
            "it; draw its weights before scoring, by nn.init (`initialize` draws all layers anew)"
        )
    if any(gradient.any() for gradient in gradients):
        return "all sensitivities are 0: only weights that are 0 have a gradient; draw them first"
    return (
        "all sensitivities are 0, and so are all gradients: the signal dies or underflows on the "
        "way, or the loss does not depend on the weights: try norm='batch' or other weights"
    )


def _total(scores: Mapping[str, Tensor], quantity: str) -> float:
    """The sum over all tensors. Raises FloatingPointError for NaN or Inf, naming the tensor."""
    sums = [score.sum() for score in scores.values()]
    total = float(torch.stack([part.cpu() for part in sums]).sum(dtype=torch.float64))
    if not math.isfinite(total):
        for name, score in scores.items():
            if not score.isfinite().all():
                raise FloatingPointError(f"NaN or Inf in the {quantity} of {name}")
        # All are finite; only their sum is beyond float32.
        total = sum(float(score.cpu().sum(dtype=torch.float64)) for score in scores.values())
    return total


def _losses(result) -> Iterator[list[Tensor]]:
    """The parts of a closure's loss, checked, in groups: those given as a list, which may share a
    forward pass, stay together."""
    for part in result if isinstance(result, Iterator) else [result]:
        losses = list(part) if isinstance(part, list | tuple) else [part]
        for loss in losses:
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                kind = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise TypeError(
                    f"the closure gave {kind} for a loss; it must return its loss, a tensor of "
                    "one number, or return or yield several that add up to it (a detector has none "
                    "in evaluation mode: see `sensitivity_of`)"
                )
            if not loss.requires_grad:
                raise ValueError(
                    "the loss does not depend on any weight, or was computed without gradients"
                )
        if losses:
            yield losses


def _gradients(losses: list[Tensor], weights: Iterable[Tensor]) -> list[Tensor]:
    """∂ Σ losses / ∂ weight of each, 0 where there is none."""
    try:
        gradients = torch.autograd.grad(losses, list(weights), materialize_grads=True)
    except RuntimeError as error:
        if "backward through the graph a second time" not in str(error):
            raise
        raise ValueError(
            "the closure called backward(), or yields losses that share a forward pass: it must "
            "only compute them; those that share one, return or yield as a list"
        ) from error
    # An embedding with sparse=True has a sparse one.
    return [part if part.layout == torch.strided else part.to_dense() for part in gradients]


def _check_checkpoints(losses: list[Tensor], weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError where a reentrant checkpoint hides weights from the graph of the losses."""
    nodes = {loss.grad_fn for loss in losses if loss.grad_fn}
    todo = list(nodes)
    while todo:
        new = {node for node, _ in todo.pop().next_functions if node} - nodes
        nodes |= new
        todo += new
    if any(type(node).__name__ == "CheckpointFunctionBackward" for node in nodes):
        reached = {id(getattr(node, "variable", None)) for node in nodes}
        names = [name for name, weight in weights.items() if id(weight) not in reached]
        names = names if len(names) <= 3 else [*names[:3], "…"]
        raise ValueError(
            "torch.utils.checkpoint(…, use_reentrant=True) keeps the gradients of "
            f"{', '.join(names) or 'a layer'} from being seen: score with use_reentrant=False, or "
            "with checkpointing off"
        )


@contextlib.contextmanager
def _scoring(model: nn.Module, weights: Collection[nn.Parameter], norm: str) -> Iterator[None]:
    """No dropout, normalisation as asked, running statistics out of reach; then all is put back."""
    with torch.inference_mode(False), _put_back(model, weights):  # whatever the caller is in
        for module in model.modules():
            by_batch = norm == "batch" and isinstance(module, nn.modules.batchnorm._NormBase)
            # cuDNN has no backward pass of a recurrent layer in evaluation mode.
            recurrent = isinstance(module, nn.RNNBase) and next(module.parameters()).is_cuda
            module.training = by_batch or recurrent
            if recurrent:
                module.dropout = 0.0
            if by_batch:  # and nothing is written down
                module.track_running_stats = False
                module.running_mean = module.running_var = None
        for weight in model.parameters():  # a closure may call backward()
            weight.grad = None
        for weight in weights:
            weight.requires_grad_(True)
        yield


_CONTAINERS = {dict, OrderedDict, defaultdict, Counter, list, set, deque}


@contextlib.contextmanager
def _put_back(model: nn.Module, weights: Iterable[Tensor] = ()) -> Iterator[None]:
    """Undo at the end what a pass leaves behind: attributes, hooks and submodules added to modules;
    writes to their dicts, lists, sets and tensors, except `weights` and own parameters of layers
    of PRUNABLE_LAYERS; gradients, `requires_grad` and PyTorch's random states, global and held."""
    layers = [module for module in model.modules() if isinstance(module, PRUNABLE_LAYERS)]
    own = [weight for layer in layers for weight in layer._parameters.values()]  # frozen ones, too
    spared = {id(weight) for weight in [*weights, *own]}  # a copy would be as large as the model
    parameters = [(weight, weight.requires_grad, weight.grad) for weight in model.parameters()]
    devices = {weight.device.index for weight, *_ in parameters if weight.is_cuda}
    containers: dict[int, tuple] = {}
    tensors: dict[int, tuple] = {}
    generators: dict[torch.Generator, Tensor] = {}
    todo = [vars(module) for module in model.modules()]
    while todo:
        value = todo.pop()
        if type(value) in _CONTAINERS:
            if id(value) not in containers:
                containers[id(value)] = value, value.copy()
                todo += value.values() if isinstance(value, dict) else value
        elif isinstance(value, tuple):
            todo += value
        elif isinstance(value, torch.Generator):
            generators[value] = value.get_state()
        elif isinstance(value, Tensor) and id(value) not in spared:
            if not (value.is_inference() or value.is_meta):
                tensors[id(value)] = value, value._version, value.detach().clone()
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            for value, before in containers.values():
                value.clear()
                (value.extend if isinstance(value, list | deque) else value.update)(before)
            for generator, state in generators.items():
                generator.set_state(state)
            for value, version, before in tensors.values():
                if value.shape != before.shape:  # resized, as by an observer of quantisation
                    value.data = before
                # Batch normalisation's kernel and `.data` write without counting a version.
                unseen = value.layout == torch.strided and not torch.equal(value, before)
                if unseen or value._version != version:
                    value.detach().copy_(before)
            for weight, flag, gradient in parameters:
                if weight.requires_grad != flag:
                    weight.requires_grad_(flag)
                weight.grad = None if gradient is None else gradient.to(weight)  # it may have moved


def check_inputs(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Raise ValueError or TypeError on what would otherwise fail later, or train on garbage."""
    for name, value in (("inputs", x), ("labels", y)):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"the {name} are a {type(value).__name__}, not a tensor; "
                "`sensitivity_of(model, closure)` scores on anything that a model takes"
            )
    expected = getattr(model, "snip_input_shape", ())
    if len(x) == 0:
        raise ValueError("the batch is empty: it needs at least one input")
    if y.shape[:1] != x.shape[:1]:
        raise ValueError(f"{len(x)} inputs need as many labels, not shape {tuple(y.shape)}")
    if expected and tuple(x.shape[1:]) != expected:
        # Average pooling before the classifier makes one vector of an image of any size.
        larger = any(isinstance(module, nn.AdaptiveAvgPool2d) for module in model.modules())
        fits = x.ndim == len(expected) + 1 and x.shape[1] == expected[0]
        if not (larger and fits and min(x.shape[2:]) >= min(expected[1:])):
            takes = f"(batch, {', '.join(map(str, expected))}){' or larger' if larger else ''}"
            raise ValueError(f"inputs of shape {tuple(x.shape)}; this model takes {takes}")
    parts = torch.view_as_real(x.resolve_conj()) if x.is_complex() else x
    if not torch.stack(parts.aminmax()).isfinite().all():  # one pass, no copy of the images
        raise ValueError("the inputs hold NaN or Inf")


def check_batch(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """As `check_inputs`, and labels are one integer per image."""
    check_inputs(model, x, y)
    if y.ndim != 1 or y.dtype != torch.int64:
        kind = f"{y.dtype} of shape {tuple(y.shape)}"
        raise ValueError(f"labels are {kind}; they must be integers, torch.int64, one per image")


def check_statistics(model: nn.Module, images: int) -> None:
    """Raise ValueError if a batch of so many has no spread for batch normalisation to divide by."""
    if images == 1 and any(isinstance(module, BATCH_NORM) for module in model.modules()):
        raise ValueError("one image cannot be normalised by its own statistics: take two or more")


def check_targets(logits: Tensor, y: Tensor) -> None:
    """Raise ValueError unless cross-entropy takes these targets of logits (B, classes, …): integers
    (B, …), of which −100 is passed over, or probabilities of the logits' shape; TypeError for
    logits that are no tensor."""
    if not isinstance(logits, Tensor):
        raise TypeError(
            f"the model gives a {type(logits).__name__}, not a tensor of logits: pick what counts "
            "by loss=lambda output, y: F.cross_entropy(output[…], y), or use `sensitivity_of`"
        )
    if logits.ndim < 2:
        raise ValueError(
            f"the model gives shape {tuple(logits.shape)}, no logits (batch, classes, …): say by "
            "loss=… what its loss is"
        )
    shape = logits.shape[:1] + logits.shape[2:]
    if y.is_floating_point() and y.shape == logits.shape:
        total = y.sum(1)
        if y.min() < 0 or not torch.allclose(total, torch.ones_like(total), atol=1e-2):
            raise ValueError(
                "targets of the logits' shape must be probabilities, which add up to 1 over the "
                "classes: say by loss=… what the loss of others is; "
                "functools.partial(F.cross_entropy) takes them unchecked"
            )
        return
    if y.dtype != torch.int64 or y.shape != shape:
        hint = ""
        if logits.ndim > 2 and y.shape == logits.shape[:-1]:
            hint = "; where classes come last, as in language models, score with loss=lambda "
            hint += "output, y: F.cross_entropy(output.movedim(-1, 1), y)"
        raise ValueError(
            f"labels are {y.dtype} of shape {tuple(y.shape)}; they must be integers, torch.int64, "
            f"of shape {tuple(shape)}, or probabilities of shape {tuple(logits.shape)}{hint}"
        )
    _check_classes(logits, y[y != -100])


def _check_classes(logits: Tensor, y: Tensor) -> None:
    if y.numel() and (y.min() < 0 or y.max() >= logits.shape[1]):
        raise ValueError(
            f"labels run from {int(y.min())} to {int(y.max())}; the model has classes 0 to "
            f"{logits.shape[1] - 1}"
        )


def checked_logits(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Logits (B, classes), once the labels are known to be among the classes."""
    logits = model(x)
    _check_classes(logits, y)
    return logits


# -------------------------------------------------------------------------------------------- masks


def kept_count(m: int, sparsity: float) -> int:
    """κ = round((1 − κ̄) · m). Raises ValueError unless 0 ≤ κ̄ < 1 and at least one is kept."""
    if not 0 <= sparsity < 1:  # false for NaN, too
        percent = f"; for {sparsity:g} % write {sparsity / 100:g}" if 1 < sparsity < 100 else ""
        percent = "; 0.99 keeps one in a hundred" if sparsity == 1 else percent
        raise ValueError(f"sparsity {sparsity} is not a fraction, 0 ≤ sparsity < 1{percent}")
    kept = round((1 - float(sparsity)) * m)  # of a tensor of one number, too
    if kept == 0:
        raise ValueError(f"sparsity {sparsity} keeps none of {m} parameters; at most {1 - 1 / m}")
    return kept


def keep_top(scores: Mapping[str, Tensor], sparsity: float) -> dict[str, Tensor]:
    """Masks that keep the κ largest scores over all tensors together, exactly κ of them.

    Equal scores are kept in the order of their position, on every device alike.

    Args:
        scores: {name: tensor}, as `sensitivity` gives them.
        sparsity: fraction removed, 0 ≤ sparsity < 1.

    Returns:
        {name: bool tensor of the same shape}, True where kept.

    Warns where scores of 0 have to be kept, for these are kept by position alone.

    Raises:
        ValueError: sparsity out of range or so high that nothing is kept; no scores, or all zero.
        FloatingPointError: NaN or Inf among the scores.
    """
    if not scores:
        raise ValueError("no scores: there is nothing to prune")
    scores = {name: score.detach() for name, score in scores.items()}
    flat = torch.cat([score.flatten().cpu() for score in scores.values()])
    if _total(scores, "score") == 0 and not flat.any():
        raise ValueError("all scores are 0: they tell no parameter from another")
    flat = flat if flat.dtype.itemsize >= 4 else flat.float()  # NumPy has no bfloat16
    kept = kept_count(len(flat), sparsity)
    # The smallest score kept. NumPy finds it in a quarter of the time of `kthvalue`.
    threshold = np.partition(flat.numpy(), len(flat) - kept)[len(flat) - kept].item()
    mask = flat > threshold
    equal = (flat == threshold).nonzero()[:, 0]
    missing = kept - int(mask.count_nonzero())
    if threshold == 0 and missing < len(equal):
        warnings.warn(
            f"{missing:,} of the {kept:,} kept have a score of 0, as have {len(equal) - missing:,} "
            "that are not: they are kept by their position alone",
            stacklevel=2,
        )
    mask[equal[:missing]] = True  # in order
    parts = mask.split([score.numel() for score in scores.values()])
    pairs = zip(scores.items(), parts, strict=True)
    return {name: part.view(s.shape).to(s.device, copy=True) for (name, s), part in pairs}


# What DataParallel, torch.compile and checkpoint_wrapper put into names.
_WRAPPERS = {"module", "_orig_mod", "_checkpoint_wrapped_module"}


def _bare(name: str) -> str:
    """A parameter's name without what wrappers of a model or of its parts put into it."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def check_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    """{name of a mask: its parameter}, prunable or not. A model takes the masks of its wrapper, by
    DataParallel, say, and a wrapper those of its model.

    Raises ValueError for no masks, a name that the model lacks, another shape, no boolean.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    weights = {name: parameters.get(name) for name in masks}
    if not weights:
        raise ValueError("masks and model do not fit; there are no masks")
    # Those of its wrapper, or of what it wraps, have other names.
    if any(weight is None for weight in weights.values()):
        bare = defaultdict(dict)  # {bare name: {id of a parameter of this name: itself}}
        for name, weight in parameters.items():
            bare[_bare(name)][id(weight)] = weight
        candidates = {name: list(bare[_bare(name)].values()) for name in masks}
        if odd := [name for name, several in candidates.items() if len(several) != 1]:
            lacks = "knows two of" if candidates[odd[0]] else "lacks"
            raise ValueError(f"masks and model do not fit; the model {lacks} {', '.join(odd)}")
        weights = {name: weight for name, [weight] in candidates.items()}
    for name, weight in weights.items():
        if masks[name].shape != weight.shape or masks[name].dtype != torch.bool:
            raise ValueError(
                f"the mask of {name} is {masks[name].dtype} of shape {tuple(masks[name].shape)}; "
                f"it must be torch.bool of shape {tuple(weight.shape)}"
            )
    return weights


def _beside(mask: Tensor, weight: Tensor) -> Tensor:
    """A mask on the device of its weight, and in the same parts where that is spread by FSDP2."""
    if not hasattr(weight, "full_tensor"):
        return mask.to(weight.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(mask.to(weight.device), weight.device_mesh, weight.placements)


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set every pruned parameter to zero, in place; what has no mask is kept whole.

    Raises ValueError, with nothing changed, for no masks, a name that the model lacks, a wrong
    shape, or masks that are not boolean.
    """
    for name, weight in check_masks(model, masks).items():
        weight.masked_fill_(~_beside(masks[name], weight), 0)


@dataclass(frozen=True)
class Held:
    """What `hold` returns: `remove()` ends it."""

    remove: Callable[[], None]


def _steppers(optimizer) -> list:
    """An optimiser and those in it, as some wrap others: a loop may step any of them.

    Raises TypeError for what has no step.
    """
    steppers = [optimizer]
    for stepper in steppers:  # which grows meanwhile
        if not callable(getattr(stepper, "step", None)):
            raise TypeError(f"hold takes an optimiser; {type(stepper).__name__} has no step()")
        for part in getattr(stepper, "__dict__", {}).values():
            if isinstance(part, torch.optim.Optimizer) and all(part is not s for s in steppers):
                steppers.append(part)
    return steppers


def hold(optimizer: torch.optim.Optimizer, model: nn.Module, masks: Mapping[str, Tensor]) -> Held:
    """Set every pruned parameter to zero, now and after every `optimizer.step()`, whatever momentum
    the optimiser holds, until `.remove()` is called on the result. The parameter objects are held,
    so they may move to another device or type. If an optimiser wraps another (Accelerate, SAM,
    Lookahead), the steps of both count. Hold each of several optimisers, and each copy of one.

    Gradients of pruned parameters are kept. Where those of many are used together (clipping by
    norm, LBFGS, SAM, LAMB, Adafactor), clear them as they arise; but for FSDP2:

        for name, weight in snip.check_masks(model, masks).items():
            if weight.requires_grad:
                weight.register_hook(masks[name].to(weight).mul)

    Weights written outside these steps are not held. Start a moving average after this call, or
    call `apply_masks` on it; where an optimiser's `eval()` rewrites weights, do so after that.

    Call `hold` again for a new optimiser, or after `load_state_dict(…, assign=True)` has replaced
    the parameters. Weights loaded into the same parameters are pruned by the next step. No
    `state_dict` holds the masks: keep them by `save_masks`, and resume with these, not with new
    scores of trained weights.

    Where a framework makes the optimiser, take that: `hold(trainer.create_optimizer(), model,
    masks)` before `trainer.train()` of Hugging Face; at the end of Lightning's
    `configure_optimizers`.
    Several processes (DDP) must hold the same masks: score in one, and send its masks, on the CPU,
    to the others by torch.distributed.broadcast_object_list.

    Warns where the optimiser trains none of the masked parameters.

    Raises ValueError as `apply_masks` does, TypeError for what has no step, with nothing changed.
    """
    steppers = _steppers(optimizer)
    weights = check_masks(model, masks)
    groups = [group for stepper in steppers for group in getattr(stepper, "param_groups", ())]
    trained = {id(weight) for group in groups for weight in group["params"]}
    if groups and not any(id(weight) in trained for weight in weights.values()):
        warnings.warn(
            "the optimiser trains none of the masked parameters: is it that of another model, "
            "of a copy, say?",
            stacklevel=2,
        )
    apply_masks(model, masks)
    held = [  # a mask in the memory layout of its weight is multiplied fastest
        [weight, torch.empty_like(weight).copy_(_beside(masks[name], weight))]
        for name, weight in weights.items()
        if not masks[name].all()
    ]

    @torch.no_grad()
    def zero(*_) -> None:
        for pair in held:
            weight, kept = pair
            if kept.device != weight.device or kept.dtype != weight.dtype:  # moved since
                pair[1] = kept = kept.to(weight)
            # Ten times as fast as masked_fill_. NaN stays NaN: training has diverged, and shows it.
            weight.mul_(kept)

    def hook(stepper) -> Callable[[], None]:
        """Call `zero` after the steps of `stepper`; a function that ends it."""
        # PyTorch's mark that step calls its hooks, and where they are kept.
        hooked = getattr(getattr(type(stepper), "step", None), "hooked", False)
        if hooked and hasattr(stepper, "_optimizer_step_post_hooks"):
            return stepper.register_step_post_hook(zero).remove
        step, own = stepper.step, "step" in vars(stepper)

        @wraps(step)
        def step_and_zero(self, *args, **kwargs):
            if self is not stepper:  # a copy, which is not held
                return type(self).step(self, *args, **kwargs)
            result = step(*args, **kwargs)
            zero()
            return result

        wrapper = stepper.step = MethodType(step_and_zero, stepper)  # schedules ask for a method

        def end() -> None:
            if vars(stepper).get("step") is wrapper:  # not wrapped again since
                del stepper.step
                if own:
                    stepper.step = step

        return end

    undo = contextlib.ExitStack()
    for end in (held.clear, *map(hook, steppers)):
        undo.callback(end)
    return Held(undo.close)


def summary(model: nn.Module, masks: Mapping[str, Tensor]) -> str:
    """A table to be printed: what the masks keep of each tensor, and weights without a mask.

    Raises ValueError as `apply_masks` does.
    """
    masked = {id(weight): masks[name] for name, weight in check_masks(model, masks).items()}
    rows = [("parameter", "shape", "size", "kept", "sparsity")]

    def add(name: str, shape: str, size: int, kept: int) -> None:
        rows.append((name, shape, f"{size:,}", f"{kept:,}", f"{1 - kept / max(1, size):.2%}"))

    for name, weight in model.named_parameters():
        mask, shape = masked.get(id(weight)), "×".join(map(str, weight.shape))
        if mask is not None:
            add(name, shape, mask.numel(), int(mask.sum()))
        elif weight.ndim > 1:
            rows.append((name, shape, f"{weight.numel():,}", "all", "no mask"))
    m = sum(mask.numel() for mask in masked.values())
    kept = sum(int(mask.sum()) for mask in masked.values())
    every = sum(weight.numel() for weight in model.parameters())
    add("all with a mask", "", m, kept)
    add("all of the model", "", every, every - m + kept)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    line = "  ".join(f"{{:{side}{w}}}" for side, w in zip("<<>>>", widths, strict=True))
    return "\n".join(line.format(*row) for row in rows)


# -------------------------------------------------------------------------------- masks in a file


def digest(masks: Mapping[str, Tensor]) -> str:
    """Twelve hexadecimal digits of the names and entries of masks, by which two sets for one model
    are compared. Shapes do not count.

    Raises ValueError for masks that are not of booleans.
    """
    bits = hashlib.sha256()
    for name, mask in masks.items():
        if mask.dtype != torch.bool:
            raise ValueError(f"the mask of {name} is {mask.dtype}; it must be torch.bool")
        bits.update(name.encode() + np.packbits(mask.cpu().numpy()).tobytes())
    return bits.hexdigest()[:12]


def save_masks(path: str | os.PathLike, masks: Mapping[str, Tensor]) -> None:
    """Write masks to a file: one bit per parameter, compressed, with names, shapes, κ, sparsity and
    digest as JSON, as a zip archive of NumPy arrays (.npz, whatever the suffix of the path). An
    existing file is replaced only once the new one is complete."""
    m = sum(mask.numel() for mask in masks.values())
    kept = sum(int(mask.sum()) for mask in masks.values())
    head = {"shapes": {name: list(mask.shape) for name, mask in masks.items()}}
    head |= {"kept": kept, "sparsity": 1 - kept / max(1, m), "digest": digest(masks)}
    bits = b"".join(np.packbits(mask.cpu().numpy()).tobytes() for mask in masks.values())
    text = np.frombuffer(json.dumps(head).encode(), np.uint8)
    part = Path(f"{os.fspath(path)}.{os.getpid()}.part")  # other processes may write it, too
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, head=text, bits=np.frombuffer(bits, np.uint8))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_masks(path: str | os.PathLike) -> dict[str, Tensor]:
    """The masks that `save_masks` wrote, on the CPU. Nothing in the file is run as code.

    Raises FileNotFoundError; ValueError for another file, or one that is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            head, bits = json.loads(file["head"].tobytes()), file["bits"]
        masks, start = {}, 0
        for name, shape in head["shapes"].items():
            size = math.prod(shape)
            end = start + (size + 7) // 8  # bytes
            if not start <= end <= len(bits):
                raise ValueError(f"too few bits for {name}")
            flat = np.unpackbits(bits[start:end], count=size).astype(bool)
            masks[name], start = torch.from_numpy(flat).view(shape), end
        whole = start == len(bits) and digest(masks) == head["digest"]
    except (ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise ValueError(f"{path} holds no masks of save_masks") from error
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OverflowError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not whole:
        raise ValueError(f"{path} is damaged: its masks are not those that its digest is of")
    return masks


# ---------------------------------------------------------------------------- what a mask cuts

UNKNOWN = "cannot tell whether a path leads from input to output"


class _Unclear(Exception):
    """Why `collapsed` cannot tell."""


def _follow(layer: nn.Module, dtype: torch.dtype, strays: list, *args, **kwargs):
    """What a layer gives, as `dtype`: NaN where it changes with those of its inputs that are NaN.
    `layer` is a copy in float64 on the CPU, with no negative weight, so that nothing cancels."""
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    strays += [t for t in tensors if t.requires_grad]  # they come from a weight outside its layer
    device = tensors[0].device

    def output(factor: int):
        def fill(t: Tensor) -> Tensor:
            if not t.is_floating_point():
                return t.cpu()
            numbers = torch.linspace(1, 2, t.numel(), dtype=torch.float64, device="cpu")
            return torch.where(t.isnan().cpu(), factor * numbers.view(t.shape), t.cpu().double())

        filled_args, filled_kwargs = tree_map_only(Tensor, fill, (args, kwargs))
        return layer.forward(*filled_args, **filled_kwargs)

    def compare(value, other_value):
        if not isinstance(value, Tensor):
            return value
        return torch.where(value == other_value, value, math.nan).to(device, dtype)

    with torch.no_grad():
        return tree_map(compare, output(1), output(2))


def _follow_masks(model: nn.Module, masks: Mapping[int, Tensor]) -> list[Tensor]:
    """Let the layers with pruned weights hand NaN on along kept weights alone; the list returned
    fills where a weight is used outside its layer. `masks`: {id of a parameter: its mask}."""
    strays: list[Tensor] = []
    for layer in list(model.modules()):
        if not isinstance(layer, PRUNABLE_LAYERS) and any(layer.children()):
            continue
        if not any(id(weight) in masks for weight in layer.parameters()):
            continue
        precise = copy.deepcopy(layer).cpu().double()  # Apple GPUs have no float64
        with torch.no_grad():
            for weight, copied in zip(layer.parameters(), precise.parameters(), strict=True):
                mask = masks.get(id(weight), torch.ones_like(weight, dtype=torch.bool)).cpu()
                # Of different sizes, so that something is left where a layer standardises them.
                values = torch.linspace(1, 2, copied.numel(), dtype=torch.float64, device="cpu")
                copied.copy_(mask * values.view(mask.shape) / max(1, math.prod(copied.shape[1:])))
        layer.forward = partial(_follow, precise, next(layer.parameters()).dtype, strays)
    return strays


def _other(generator: torch.Generator, t: Tensor) -> Tensor:
    """Other numbers in the range of these; of a generator of their own, so that a model that draws
    draws the same."""
    if t.dtype == torch.uint8:
        return torch.randint(256, t.shape, generator=generator, device="cpu").to(t)
    if t.numel() == 0:
        return t
    low, high = t.aminmax()
    drawn = torch.rand(t.shape, generator=generator, device="cpu").to(t)
    return low + drawn * torch.where(high > low, high - low, 1)


def _nan(t: Tensor) -> Tensor:
    return torch.full_like(t, math.nan, dtype=t.dtype if t.is_floating_point() else torch.float32)


def _outputs(model: nn.Module, run: Callable, change: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """The tensors that come out of a pass with changed inputs: floats and bytes are changed as they
    enter the model; where integers enter, the outputs of embeddings are changed, too.

    Raises _Unclear if nothing goes in that could be changed, or no tensor comes out.
    """
    changed, tokens = [], []

    def enter(_, args, kwargs):
        def replace(t: Tensor) -> Tensor:
            if t.dtype in (torch.int32, torch.int64):
                tokens.append(t)
            if not t.is_floating_point() and t.dtype != torch.uint8:
                return t
            changed.append(t)
            return change(t.detach()).requires_grad_(t.requires_grad)

        return tree_map_only(Tensor, replace, (args, kwargs))

    def embed(_, args, out):
        if not tokens:
            return out
        changed.append(out)
        return change(out)

    devices = {weight.device.index for weight in model.parameters() if weight.is_cuda}
    with contextlib.ExitStack() as hooks:
        hooks.callback(model.register_forward_pre_hook(enter, with_kwargs=True).remove)
        for module in model.modules():
            if isinstance(module, nn.Embedding | nn.EmbeddingBag):
                hooks.callback(module.register_forward_hook(embed).remove)
        hooks.enter_context(torch.random.fork_rng(devices))  # a model that draws draws the same
        outputs = [t for t in tree_leaves(run()) if isinstance(t, Tensor)]
    if not changed:
        raise _Unclear("no floats, bytes or tokens go into the model itself")
    if not outputs:
        raise _Unclear("no tensor comes out")
    return outputs


@contextlib.contextmanager
def _failure_is_unclear(inputs: str) -> Iterator[None]:
    """Raise _Unclear for what a network raises on such inputs: one that checks its numbers, say."""
    try:
        yield
    except _Unclear:
        raise
    except Exception as error:
        raise _Unclear(f"on {inputs} it ends in {type(error).__name__}: {error}") from error


def _same(tensors: list[Tensor], other_tensors: list[Tensor]) -> bool:
    return len(tensors) == len(other_tensors) and all(
        a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
        for a, b in zip(tensors, other_tensors, strict=True)
    )


def _restore(saved: list[tuple[Tensor, Tensor]]) -> None:
    for weight, before in saved:
        weight.data.copy_(before)


def _path_by_nan(
    model: nn.Module, pruned: list[tuple[Tensor, Tensor]], run: Callable, usual: list[Tensor]
) -> bool:
    """Whether NaN, sent in, comes out along kept weights; `usual` is what comes out without.

    Raises _Unclear where that tells nothing.
    """
    if any(t.isnan().any() for t in usual):
        raise _Unclear("NaN comes out of it")
    masks = {id(weight): mask for weight, mask in pruned}
    with _failure_is_unclear("NaN"):
        if not any(t.isnan().any() for t in _outputs(model, run, _nan)):
            raise _Unclear("NaN gets lost on the way, even if nothing is pruned")
        for weight in model.parameters():  # so that an output shows a weight used outside its layer
            weight.requires_grad_(id(weight) in masks)
        strays = _follow_masks(model, masks)
        outputs = _outputs(model, run, _nan)
    if strays or any(t.requires_grad for t in outputs):
        raise _Unclear("a weight with a mask is used outside its layer")
    return any(t.isnan().any() for t in outputs)


def collapsed(model: nn.Module, masks: Mapping[str, Tensor], x) -> list[str]:
    """What a mask cuts: names of weights it keeps none of, and "no path from input to output".

    There is a path where the output of the pruned network changes with its input. Where it does not
    change, units may only be dead, and NaN decides: it is sent in, and layers with pruned weights
    hand it on along kept ones alone; all else does so by itself. Where that tells nothing (NaN gets
    lost though all is kept, as by `torch.where`; a weight is used outside its layer; the network
    fails on NaN; no floats, bytes or tokens go in), the list ends in "cannot tell whether a path
    leads from input to output", and why. Missed are cuts that NaN gets around: a product hands it
    on even if its other factor is cut, attention takes it from a float mask that goes in, positions
    are embedded beside the tokens. The model is in evaluation mode meanwhile, and left as it was,
    but for weights that a layer rewrites in its own forward pass.

    Args:
        x: what goes in: a tensor; a tuple of several; a mapping of keyword arguments, as tokenisers
            make it; or a function without arguments that runs the model and returns what counts
            as its output.

    Raises ValueError as `apply_masks` does, and what the model raises of itself.
    """
    weights = check_masks(model, masks)
    cut = [n for n, mask in masks.items() if mask.ndim > 1 and mask.numel() and not mask.any()]
    pruned = [(w, masks[name].to(w.device)) for name, w in weights.items() if not masks[name].all()]

    def run():
        if isinstance(x, FunctionType | MethodType | partial):
            return x()
        if isinstance(x, Mapping):
            return model(**x)
        several = isinstance(x, tuple) and not isinstance(x, nn.utils.rnn.PackedSequence)
        return model(*(x if several else (x,)))

    saved = [(weight, weight.detach().clone()) for weight, _ in pruned]
    mode = torch.inference_mode(any(weight.is_inference() for weight in model.parameters()))
    with mode, torch.enable_grad(), _put_back(model, [weight for weight, _ in pruned]):
        for module in model.modules():
            module.training = False
        for weight in model.parameters():
            weight.requires_grad_(False)
        try:
            for weight, mask in pruned:
                weight.data.masked_fill_(~mask, 0)  # by .data: graphs that hold it stay good
            other = partial(_other, generator_for(0, "other inputs"))
            outputs = _outputs(model, run, torch.clone)
            with _failure_is_unclear("other inputs"):
                variant = _outputs(model, run, other)
            responds = (
                not _same(outputs, variant)
                # NaN, as of an input that holds Inf, passes weights of 0, too.
                and not any(t.isnan().any() for t in variant)
                # On some devices no two passes are alike.
                and _same(outputs, _outputs(model, run, torch.clone))
            )
            if not responds:
                _restore(saved)
                if not _path_by_nan(model, pruned, run, outputs):
                    cut.append("no path from input to output")
        except _Unclear as reason:
            cut.append(f"{UNKNOWN}: {reason}")
        finally:
            _restore(saved)
    return cut


# ------------------------------------------------------------------------------------------- models


@dataclass(frozen=True)
class ModelSpec:
    """A row of the tables: which network, on what data, pruned to which sparsity (None: swept)."""

    family: str
    title: str
    dataset: str
    sparsity: float | None
    input_shape: tuple[int, int, int]  # (C, H, W)
    build: Callable[..., nn.Module]  # from the number of classes, and perhaps a `scale` of widths

    def network(self, classes: int, width: float = 1.0) -> nn.Module:
        """The network, its hidden widths times `width`.

        Raises ValueError where `build` takes no `scale`.
        """
        if width == 1:
            return self.build(classes)
        if "scale" not in inspect.signature(self.build).parameters:
            names = (
                n for n, s in MODELS.items() if "scale" in inspect.signature(s.build).parameters
            )
            raise ValueError(f"{self.title} has one width only; others have {', '.join(names)}")
        return self.build(classes, scale=width)


def _stack(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def _scaled(width: int, scale: float, classes: int = 1) -> int:
    """A width times `scale`; that of the layer before the output not below the number of `classes`,
    which would be a bottleneck that nobody builds."""
    return max(round(scale * width), min(width, classes))


def lenet_300_100(classes: int, scale: float = 1.0) -> nn.Module:
    first, second = _scaled(300, scale), _scaled(100, scale, classes)
    return _stack(
        flatten=nn.Flatten(),  # (B, 784)
        fc1=nn.Linear(784, first),
        relu1=nn.ReLU(),
        fc2=nn.Linear(first, second),
        relu2=nn.ReLU(),
        fc3=nn.Linear(second, classes),
    )


def lenet_5_caffe(classes: int, scale: float = 1.0) -> nn.Module:
    """As in Caffe's example: no padding, and no ReLU after the convolutions."""
    first, second, third = _scaled(20, scale), _scaled(50, scale), _scaled(500, scale, classes)
    return _stack(
        conv1=nn.Conv2d(1, first, 5),  # (B, 20, 24, 24)
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(first, second, 5),  # (B, 50, 8, 8)
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),  # (B, 800)
        fc1=nn.Linear(16 * second, third),
        relu1=nn.ReLU(),
        fc2=nn.Linear(third, classes),
    )


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution with "same" padding, batch norm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def _dense(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())


def _pool_and_classify(width: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def alexnet(width: int, classes: int, scale: float = 1.0) -> nn.Module:
    """Every convolution has stride 2: 32×32 becomes 1×1 after the fifth."""
    a, b, c = (_scaled(filters, scale) for filters in (96, 256, 384))
    width = _scaled(width, scale, classes)
    return nn.Sequential(
        _conv(3, a, 11, 2),
        _conv(a, b, 5, 2),
        _conv(b, c, 3, 2),
        _conv(c, c, 3, 2),
        _conv(c, b, 3, 2),
        nn.Flatten(),  # (B, 256)
        _dense(b, width),
        _dense(width, width),
        nn.Linear(width, classes),
    )


def vgg(third_kernel: int, hidden: int, classes: int) -> nn.Module:
    """VGG-16's 13 convolutions; the third of blocks 3 to 5 with its own kernel; `hidden` layers."""
    layers, width = [], 3
    for outputs, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for number in range(depth):
            layers.append(_conv(width, outputs, third_kernel if number == 2 else 3))
            width = outputs
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), *(_dense(512, 512) for _ in range(hidden))]  # (B, 512)
    return nn.Sequential(*layers, nn.Linear(512, classes))


class BasicBlock(nn.Module):
    """ResNet's block; its shortcut has no parameters: average-pool, and pad with channels of 0."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.residual = nn.Sequential(
            _conv(inputs, outputs, 3, stride),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
        )
        self.stride, self.added = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.avg_pool2d(x, self.stride) if self.stride > 1 else x
        shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.added))  # at the end of the channels
        return F.relu(self.residual(x) + shortcut)


def resnet(depths: tuple[int, ...], classes: int) -> nn.Module:
    """CIFAR's stem and four stages of `depths` blocks."""
    layers, width = [_conv(3, 64, 3)], 64
    for stage, depth in enumerate(depths):
        for block in range(depth):
            outputs = 64 * 2**stage
            layers.append(BasicBlock(width, outputs, 2 if stage and block == 0 else 1))
            width = outputs
    return nn.Sequential(*layers, _pool_and_classify(512, classes))


class Fire(nn.Module):
    """Squeeze to few channels by 1×1, expand by 1×1 and 3×3; with a bypass, if asked for."""

    def __init__(self, inputs: int, squeeze: int, expand: int, bypass: bool):
        super().__init__()
        self.squeeze = _conv(inputs, squeeze, 1)
        self.expand_1 = _conv(squeeze, expand, 1)
        self.expand_3 = _conv(squeeze, expand, 3)
        self.bypass = bypass

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze(x)
        out = torch.cat([self.expand_1(squeezed), self.expand_3(squeezed)], 1)
        return out + x if self.bypass else out


def squeezenet(bypass: bool, classes: int) -> nn.Module:
    """Version 1.0; the simple bypass runs around fire modules 3, 5, 7 and 9."""
    fires = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    layers, width = [_conv(3, 96, 7, 2), nn.MaxPool2d(3, 2, 1)], 96
    for number, (squeeze, expand) in enumerate(fires, 2):
        layers.append(Fire(width, squeeze, expand, bypass and number in (3, 5, 7, 9)))
        width = 2 * expand
        if number in (4, 8):
            layers.append(nn.MaxPool2d(3, 2, 1))
    head = (nn.Conv2d(width, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*layers, *head)


class Inception(nn.Module):
    """Four branches side by side; `kernels` are those of the "3×3" and "5×5" branches."""

    def __init__(self, inputs: int, filters: tuple[int, ...], kernels: tuple[int, int]):
        super().__init__()
        one, reduce_3, three, reduce_5, five, pool = filters
        self.one = _conv(inputs, one, 1)
        self.three = nn.Sequential(_conv(inputs, reduce_3, 1), _conv(reduce_3, three, kernels[0]))
        self.five = nn.Sequential(_conv(inputs, reduce_5, 1), _conv(reduce_5, five, kernels[1]))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), _conv(inputs, pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


def googlenet(kernels: tuple[int, int], classes: int) -> nn.Module:
    """The published count arises with `kernels` 1, 1; the network as its paper has it with 3, 5."""
    filters = (  # 1×1, 3×3 reduced, 3×3, 5×5 reduced, 5×5, pooled: modules 3a, 3b, 4a … 5b
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    )
    layers = [_conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1), _conv(64, 64, 1), _conv(64, 192, 3)]
    layers, width = [*layers, nn.MaxPool2d(3, 2, 1)], 192
    for number, row in enumerate(filters):
        layers.append(Inception(width, row, kernels))
        width = row[0] + row[2] + row[4] + row[5]
        if number in (1, 6):
            layers.append(nn.MaxPool2d(3, 2, 1))
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(width, classes))
    return nn.Sequential(*layers, *head)


def _preactivated(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Batch norm, ReLU, convolution."""
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), convolution)


class DenseLayer(nn.Module):
    """DenseNet's bottleneck: its 32 new channels are added to those it was given."""

    def __init__(self, inputs: int):
        super().__init__()
        self.new = nn.Sequential(_preactivated(inputs, 128, 1), _preactivated(128, 32, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.new(x)], 1)


def densenet(depths: tuple[int, ...], classes: int) -> nn.Module:
    """Growth rate 32. The published counts arise if every transition reduces to 32 channels."""
    layers, width = [_conv(3, 32, 7, 2), nn.MaxPool2d(3, 2, 1)], 32
    for block, depth in enumerate(depths):
        if block:
            layers += [_preactivated(width, 32, 1), nn.AvgPool2d(2)]
            width = 32
        layers += [DenseLayer(width + 32 * layer) for layer in range(depth)]
        width += 32 * depth
    layers += [nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, _pool_and_classify(width, classes))


class WideBlock(nn.Module):
    """Wide ResNet's block, activated before its convolutions; 1×1 where the width changes."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.activate = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1), _preactivated(outputs, outputs, 3)
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        active = self.activate(x)
        return self.residual(active) + (self.shortcut(active) if self.shortcut else x)


def wide_resnet(depth: int, factor: int, classes: int) -> nn.Module:
    layers, width = [nn.Conv2d(3, 16, 3, padding=1)], 16
    for stage in range(3):
        outputs = 16 * factor * 2**stage
        for block in range((depth - 4) // 6):
            layers.append(WideBlock(width, outputs, 2 if stage and block == 0 else 1))
            width = outputs
    layers += [nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, _pool_and_classify(width, classes))


class RowReader(nn.Module):
    """A linear map, one recurrent cell and a classifier over the rows of an image."""

    def __init__(self, cell: type[nn.RNNBase], width: int, classes: int, scale: float = 1.0):
        super().__init__()
        width = _scaled(width, scale, classes)
        self.embed = nn.Linear(28, width)
        self.cell = cell(width, width, batch_first=True)
        self.classify = nn.Linear(width, classes)
        # One bias vector per gate: PyTorch's second is not trained; see `initialize`.
        self.cell.bias_hh_l0.requires_grad_(False).zero_()

    def forward(self, x: Tensor) -> Tensor:  # (B, 1, 28, 28)
        states, _ = self.cell(self.embed(x.squeeze(1)))  # (B, 28, width)
        return self.classify(states[:, -1])


_ROWS = (  # name, family, title, data set, sparsity, network: in the order of the tables
    ("lenet-300-100", "LeNet", "LeNet-300-100", "mnist", None, lenet_300_100),
    ("lenet-5-caffe", "LeNet", "LeNet-5-Caffe", "mnist", None, lenet_5_caffe),
    ("alexnet-s", "Convolutional", "AlexNet-s", "cifar10", 0.9, alexnet, 1024),
    ("alexnet-b", "Convolutional", "AlexNet-b", "cifar10", 0.9, alexnet, 2048),
    ("vgg-c", "Convolutional", "VGG-C", "cifar10", 0.95, vgg, 1, 2),
    ("vgg-d", "Convolutional", "VGG-D", "cifar10", 0.95, vgg, 3, 2),
    ("vgg-like", "Convolutional", "VGG-like", "cifar10", 0.97, vgg, 3, 1),
    ("resnet-18", "Residual", "ResNet-18", "cifar10", 0.95, resnet, (2, 2, 2, 2)),
    ("resnet-34", "Residual", "ResNet-34", "cifar10", 0.95, resnet, (3, 4, 6, 3)),
    ("squeezenet-vanilla", "Squeeze", "SqueezeNet-vanilla", "cifar10", 0.95, squeezenet, False),
    ("squeezenet-bypass", "Squeeze", "SqueezeNet-bypass", "cifar10", 0.95, squeezenet, True),
    ("googlenet", "Inception", "GoogLeNet", "cifar10", 0.95, googlenet, (1, 1)),
    ("googlenet-full", "Inception", "GoogLeNet-full", "cifar10", 0.95, googlenet, (3, 5)),
    ("densenet-121", "Dense", "DenseNet-121", "cifar10", 0.95, densenet, (6, 12, 24, 16)),
    ("densenet-169", "Dense", "DenseNet-169", "cifar10", 0.95, densenet, (6, 12, 32, 32)),
    ("densenet-201", "Dense", "DenseNet-201", "cifar10", 0.95, densenet, (6, 12, 48, 32)),
    ("densenet-264", "Dense", "DenseNet-264", "cifar10", 0.95, densenet, (6, 12, 64, 48)),
    ("wrn-16-8", "Residual", "WRN-16-8", "cifar10", 0.95, wide_resnet, 16, 8),
    ("wrn-16-10", "Residual", "WRN-16-10", "cifar10", 0.95, wide_resnet, 16, 10),
    ("wrn-22-8", "Residual", "WRN-22-8", "cifar10", 0.95, wide_resnet, 22, 8),
    ("lstm-s", "Recurrent", "LSTM-s", "mnist", 0.95, RowReader, nn.LSTM, 128),
    ("lstm-b", "Recurrent", "LSTM-b", "mnist", 0.95, RowReader, nn.LSTM, 256),
    ("gru-s", "Recurrent", "GRU-s", "mnist", 0.95, RowReader, nn.GRU, 128),
    ("gru-b", "Recurrent", "GRU-b", "mnist", 0.95, RowReader, nn.GRU, 256),
)  # fmt: skip

_SHAPES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32)}

MODELS = {
    name: ModelSpec(family, title, dataset, sparsity, _SHAPES[dataset], partial(*network))
    for name, family, title, dataset, sparsity, *network in _ROWS
}


def build_model(
    name: str,
    init: str = "vs",
    seed: int = 0,
    classes: int = 10,
    gates: float = 1.0,
    width: float = 1.0,
) -> nn.Module:
    """A network of MODELS on the CPU, its hidden widths times `width`; `init`, `seed` and `gates`
    are those of `initialize`.

    Raises ValueError for an unknown model or initialiser, or a width that the model cannot have.
    """
    check_known(name, MODELS, "model")
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        # What PyTorch draws stays only where `initialize` draws nothing: an embedding of your own.
        torch.default_generator.manual_seed(derive_seed(seed, "other weights"))
        model = MODELS[name].network(classes, width)
    model.snip_input_shape = MODELS[name].input_shape  # lets a wrong input be named as such
    # What convolutions are fastest in, or no slower: figures/benchmark.csv has the ratio.
    model.to(memory_format=torch.channels_last)
    return initialize(model, init, seed, gates=gates)
