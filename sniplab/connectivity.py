"""Effective sparsity: which of the weights that a mask keeps lie on a path from input to output.

A kept weight whose unit has no inputs left, or leads nowhere, computes nothing that depends on the
image, and training never moves what the image does to the output through it. Counted alone, without
those, kept weights give the *effective* sparsity of a mask; all kept weights its direct sparsity.

Vysogorets & Kempe. Connectivity matters: neural network pruning through the lens of effective
sparsity. JMLR 24(99), 2023, arXiv:2107.02306.
"""

import copy
from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from snipcore import NORM_LAYERS, PRUNABLE_LAYERS, check_masks, prunable

_MEANS = {  # of what has a maximum, the mean: it hands something back to each input, not to one
    nn.MaxPool1d: F.avg_pool1d,
    nn.MaxPool2d: F.avg_pool2d,
    nn.MaxPool3d: F.avg_pool3d,
}
_ADAPTIVE_MEANS = {
    nn.AdaptiveMaxPool1d: F.adaptive_avg_pool1d,
    nn.AdaptiveMaxPool2d: F.adaptive_avg_pool2d,
    nn.AdaptiveMaxPool3d: F.adaptive_avg_pool3d,
}


class _Reached(torch.autograd.Function):
    """1 where something arrives, 0 elsewhere, in both directions; backwards only where something
    arrived forwards: gradients are then 1 exactly at units on a path from input to output."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        reached = (x > 0).to(x)
        ctx.save_for_backward(reached)
        return reached

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (reached,) = ctx.saved_tensors
        return (gradient > 0).to(gradient) * reached


def _states(layer: nn.RNNBase, x: Tensor) -> tuple[Tensor, Tensor]:
    """What reaches the states of a recurrent layer, (B, T, H), and the last, (1, B, H).

    A state is reached through any gate of its unit: gates multiply, and a product changes with each
    of its factors. What a state keeps of the one before needs no path of its own: where an input
    came from a step before, it comes at this one, too."""
    x = x if layer.batch_first else x.transpose(0, 1)
    state, states = x.new_zeros(len(x), layer.hidden_size), []
    for step in x.unbind(1):
        inputs = F.linear(step, layer.weight_ih_l0, layer.bias_ih_l0 if layer.bias else None)
        gates = _Reached.apply(inputs + F.linear(state, layer.weight_hh_l0))  # (B, gates × H)
        state = _Reached.apply(gates.unflatten(1, (-1, layer.hidden_size)).sum(1))
        states.append(state)
    states = torch.stack(states, 1)
    return (states if layer.batch_first else states.transpose(0, 1)), state[None]


def _check_followed(layer: nn.Module, name: str) -> None:
    """Raise ValueError for a layer whose paths we do not follow."""
    recurrent = isinstance(layer, nn.RNNBase)
    if recurrent and (layer.num_layers > 1 or layer.bidirectional or layer.proj_size):
        raise ValueError(f"cannot follow paths through {name}: stacked, bidirectional or projected")
    if isinstance(layer, nn.RNNCellBase | nn.MultiheadAttention):
        raise ValueError(f"cannot follow paths through {name}: a {type(layer).__name__}")
    if isinstance(layer, tuple(_MEANS)) and layer.dilation not in (1, (1, 1), (1, 1, 1)):
        raise ValueError(f"cannot follow paths through {name}: pooling with gaps")


def _follow_paths(layer: nn.Module) -> None:
    """Have a layer hand on what reaches it: 0 or 1 for every unit, with masks as its weights."""
    kind = type(layer)
    activation = kind.__module__ == "torch.nn.modules.activation" and kind is not nn.GLU
    if isinstance(layer, nn.RNNBase):
        lstm = isinstance(layer, nn.LSTM)

        def forward(x: Tensor):
            states, last = _states(layer, x)
            return states, (last, last) if lstm else last

        layer.forward = forward
    elif isinstance(layer, PRUNABLE_LAYERS):
        layer.register_forward_hook(lambda _, inputs, output: _Reached.apply(output))
    elif kind in _MEANS:
        window = (layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
        layer.forward = lambda x: _MEANS[kind](x, *window)
    elif kind in _ADAPTIVE_MEANS:
        layer.forward = partial(_ADAPTIVE_MEANS[kind], output_size=layer.output_size)
    elif isinstance(layer, NORM_LAYERS) or activation:
        layer.forward = lambda x: x


def effective_masks(model: nn.Module, masks: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Of the kept weights, those on a path of kept weights from an input to an output.

    Masks take the place of the weights, and every layer hands on 0 or 1: whether anything reaches a
    unit from the input, and, on the way back, whether it reaches the output. In between, nothing is
    negative, so nothing cancels, and no product of many factors could under- or overflow: the
    answer is exact. A unit is what has a value: a pixel of a channel, a unit at one time step. A
    weight shared by many places is effective if it is in one of them; one that only ever meets the
    padding, as most of a 3×3 kernel on an image of one pixel, is not.

    What is a path, where opinions differ:

    - Every input is one, though pixels at the border of a digit are always the same.
    - A unit without inputs is a constant, by its bias or by its normalisation: no path begins
      there, though a constant can change the output, and be trained. Such weights, those that lead
      from it, are not effective.
    - A bias is effective where its unit is on a path: it has inputs and leads to the output.
    - Normalisation, dropout and activation functions hand on each unit by itself; pooling and
      padding, all that is in a window. All gates of a recurrent unit lead to its state.

    Vysogorets & Kempe count weights alone: biases have no mask. In their public code one version
    follows convolutions by channels, so that what meets only the padding is effective; the other,
    which their pruning calls, differentiates a network without normalisation, with mean pooling
    and |w| as weights, on an input of ones. Its paths are those found here as long as no product of
    weights underflows.

    Args:
        x: (B, …) inputs, of which only the shape counts.

    Returns:
        {name: bool tensor of the shape of the mask}; nothing that `masks` do not keep.

    Raises ValueError when masks and model do not fit, or masks are of what is not prunable; for
    stacked, bidirectional or projected recurrent layers, cells and attention; where something comes
    out though nothing goes in, as from a sigmoid that is called as a function; where the forward
    pass raises, in float64 or at inputs of 0, say.
    """
    check_masks(model, masks)
    for name, layer in model.named_modules():
        _check_followed(layer, name)
    probe = copy.deepcopy(model).eval().double()
    weights = prunable(probe)
    if odd := masks.keys() - weights.keys():
        raise ValueError(f"cannot follow paths through {', '.join(sorted(odd))}: not prunable")
    probe.requires_grad_(False)
    for layer in probe.modules():
        _follow_paths(layer)
    with torch.no_grad():
        for name, weight in weights.items():
            kept = masks.get(name, torch.ones_like(weight))
            weight.copy_(kept if weight.ndim > 1 else torch.zeros_like(weight))
            weight.requires_grad_(True)
    ones = torch.ones_like(x[:1], dtype=torch.float64)
    try:
        with torch.no_grad():
            constant = any(bool(t.any()) for t in tree_leaves(probe(0 * ones)))
        with torch.enable_grad():
            reached = sum(t.sum() for t in tree_leaves(probe(ones)))
        gradients = torch.autograd.grad(reached, list(weights.values()), materialize_grads=True)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # an operation that takes float32 alone, a network's own check, …
        raise ValueError(f"cannot follow the paths: {error}") from error
    if constant:
        raise ValueError("something comes out though nothing goes in: cannot follow the paths")
    reaches = {name: gradient > 0 for name, gradient in zip(weights, gradients, strict=True)}
    return {name: mask & reaches[name].to(mask.device) for name, mask in masks.items()}


def effective_fraction(model: nn.Module, masks: Mapping[str, Tensor], x: Tensor) -> float:
    """The share of the kept weights that are effective, 0 to 1, as `effective_masks` has it."""
    effective = effective_masks(model, masks, x)
    kept = sum(int(mask.sum()) for mask in masks.values())
    return sum(int(mask.sum()) for mask in effective.values()) / kept
