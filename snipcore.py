"""SNIP: prune a network once, before training, by connection sensitivity.

    masks = keep_top(sensitivity(model, x, y), sparsity=0.95)
    print(collapsed(model, masks, x))  # what they cut: [] if all is well
    hold(optimizer, model, masks)  # zero, and zero after every step: now train as ever

The networks of the tables, initialisation, sensitivity and masks, in that order. The source:

- Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity.
  ICLR 2019, arXiv:1810.02340. "Eq.", "§", "Table" and "Fig." below are those of this paper.

Words: m is the number of prunable parameters, sparsity (the paper's κ̄) the fraction of them that
is removed, κ the number kept. Sparsity is a fraction, 0 ≤ κ̄ < 1.
"""

import contextlib
import copy
import inspect
import math
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only
from torch.utils.hooks import RemovableHandle


def check_known(value, known: Iterable, what: str) -> None:
    """Raise ValueError that lists the known values unless `value` is one of them."""
    if value not in known:
        raise ValueError(f"unknown {what} {value!r}; known: {', '.join(map(str, known))}")


def derive_seed(seed: int, purpose: str) -> int:
    """A 32-bit seed of its own for each purpose: the same stream drawn twice would tie, say, the
    random scores of a network to the sizes of its weights."""
    words = [seed, zlib.crc32(purpose.encode())]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """Always on the CPU, so that every device sees the same numbers."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or CUDA where there is one, else the CPU.

    Raises RuntimeError when CUDA is asked for and PyTorch sees none.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(f"device={str(device)!r}, but PyTorch sees no CUDA here: use 'cpu'")
    return device


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
            known = (
                n for n, s in MODELS.items() if "scale" in inspect.signature(s.build).parameters
            )
            raise ValueError(f"{self.title} has one width only; others have {', '.join(known)}")
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
        *(_conv(3, a, 11, 2), _conv(a, b, 5, 2), _conv(b, c, 3, 2)),
        *(_conv(c, c, 3, 2), _conv(c, b, 3, 2), nn.Flatten()),  # (B, 256)
        *(_dense(b, width), _dense(width, width), nn.Linear(width, classes)),
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
        *((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64)),
        *((160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64)),
        *((256, 160, 320, 32, 128, 128), (256, 160, 320, 32, 128, 128)),
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


def _preactivated(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Batch norm, ReLU, convolution."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
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
        # One bias vector a gate: PyTorch's second is not trained; see `initialize`.
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
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):  # what PyTorch draws is not kept
        model = MODELS[name].network(classes, width)
    model.snip_input_shape = MODELS[name].input_shape  # lets a wrong input be named as such
    # What convolutions are fastest in, or no slower: figures/benchmark.csv has the ratio.
    model.to(memory_format=torch.channels_last)
    return initialize(model, init, seed, gates=gates)


PRUNABLE_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.RNNBase, nn.RNNCellBase)
PRUNABLE_LAYERS += (nn.MultiheadAttention,)  # its own are three linear maps in one tensor
BATCH_NORM = nn.modules.batchnorm._BatchNorm
NORM_LAYERS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The m prunable parameters, in module order: weights and biases of every convolutional,
    linear and recurrent layer, as the reference implementation counts; of attention, too, which is
    four linear maps.

    Normalisation layers are not among them, nor the second bias vector (`bias_hh…`) that PyTorch
    gives its recurrent layers and the paper's do not have. A tensor that two layers share is
    listed once.

    Raises ValueError for a layer whose weight is computed from others, or that cannot be looked at.
    """
    found: dict[str, nn.Parameter] = {}
    seen = set()
    for prefix, module in model.named_modules():
        if isinstance(module, nn.modules.lazy.LazyModuleMixin | torch.jit.ScriptModule):
            raise ValueError(f"layer {prefix!r} is scripted, or has no shape before a first run")
        if not isinstance(module, PRUNABLE_LAYERS):
            continue
        # The older weight_norm, spectral_norm and prune put a plain tensor where the weight was.
        names = {k.removesuffix(end) for k in module._parameters for end in ("_orig", "_g", "_v")}
        plain = any(isinstance(vars(module).get(name), Tensor) for name in names)
        if plain or parametrize.is_parametrized(module):
            raise ValueError(
                f"the weight of layer {prefix or type(module).__name__} is parametrised, computed "
                "from other tensors: it cannot be pruned before the parametrisation is removed"
            )
        for name, weight in module.named_parameters(recurse=False):
            if id(weight) not in seen and not name.startswith("bias_hh"):
                found[f"{prefix}.{name}" if prefix else name] = weight
                seen.add(id(weight))
    return found


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
    are 0, but for gates. Normalisation is reset; all else, an embedding, say, stays.

    Args:
        scheme: "vs" variance scaling (scale 1, fan-in: the reference's default), "vs-x" Glorot,
            "vs-h" He, each a truncated normal of the variance that its formula names;
            "rn", "tn": (truncated) normal of standard deviation `std`.
        seed: the same seed gives the same weights on every device.
        std: the paper names none for "rn" and "tn"; 1 is the default of its framework.
        gates: where the gates of recurrent layers start, as in that framework: the bias of both
            gates of a GRU; what an LSTM adds to its forget gate, a constant that is not pruned.

    Raises ValueError for an unknown scheme.
    """
    check_known(scheme, INITIALIZERS, "initialiser")
    generator = generator_for(seed, "initial weights")
    for module in model.modules():
        if isinstance(module, NORM_LAYERS):
            module.reset_parameters()  # ones and zeros: nothing is drawn
    for weight in prunable(model).values():
        if weight.ndim < 2:
            weight.zero_()
            continue
        fans = weight[0].numel(), weight.numel() // weight.shape[1]
        variance = INITIALIZERS[scheme]
        sigma = math.sqrt(variance(*fans)) / TRUNCATED_STD if variance else std
        # Drawn as float64 and rounded, so that processors with other vector units agree; and not
        # by trunc_normal_, which draws otherwise in PyTorch 2.11 than in 2.14.
        how = {"dtype": torch.float64, "generator": generator, "device": "cpu"}
        drawn = torch.normal(0.0, sigma, weight.shape, **how)
        while scheme != "rn" and (far := drawn.abs() > 2 * sigma).any():
            drawn = torch.where(far, torch.normal(0.0, sigma, weight.shape, **how), drawn)
        weight.copy_(drawn)
    for layer in model.modules():
        for name, bias in layer.named_parameters(recurse=False):
            if name.startswith("bias_hh"):
                bias.zero_()
                if isinstance(layer, nn.LSTM | nn.LSTMCell):  # input, forget, cell, output
                    bias.view(4, -1)[1] = gates
            elif name.startswith("bias_ih") and isinstance(layer, nn.GRU | nn.GRUCell):
                bias.view(3, -1)[:2] = gates  # reset, update; the candidate
    return model


# -------------------------------------------------------------------------------------- sensitivity


def check_inputs(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Raise ValueError on what would otherwise fail later, or train on garbage."""
    expected = getattr(model, "snip_input_shape", ())
    if len(x) == 0:
        raise ValueError("the batch is empty: it needs at least one image")
    if y.shape[:1] != x.shape[:1]:
        raise ValueError(f"{len(x)} images need as many labels, not shape {tuple(y.shape)}")
    if expected and tuple(x.shape[1:]) != expected:
        # Average pooling before the classifier makes one vector of an image of any size.
        larger = any(isinstance(module, nn.AdaptiveAvgPool2d) for module in model.modules())
        fits = x.ndim == len(expected) + 1 and x.shape[1] == expected[0]
        if not (larger and fits and min(x.shape[2:]) >= min(expected[1:])):
            takes = f"(batch, {', '.join(map(str, expected))}){' or larger' if larger else ''}"
            raise ValueError(f"inputs of shape {tuple(x.shape)}; this model takes {takes}")
    if not torch.stack(x.aminmax()).isfinite().all():  # one pass over the images, no copy of them
        raise ValueError("the inputs hold NaN or Inf")


def check_batch(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """`check_inputs`, and the labels are one integer an image."""
    check_inputs(model, x, y)
    if y.ndim != 1 or y.dtype != torch.int64:
        found = f"{y.dtype} of shape {tuple(y.shape)}"
        raise ValueError(f"labels are {found}; they must be integers, torch.int64, one an image")


def check_statistics(model: nn.Module, images: int) -> None:
    """Raise ValueError if a batch of so many has no spread for batch normalisation to divide by."""
    if images == 1 and any(isinstance(module, BATCH_NORM) for module in model.modules()):
        raise ValueError("one image cannot be normalised by its own statistics: take two or more")


def checked_logits(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Logits (B, classes), once the labels are known to be among the classes."""
    logits = model(x)
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= logits.shape[1]:
        raise ValueError(
            f"labels run from {low} to {high}; the model has classes 0 to {logits.shape[1] - 1}"
        )
    return logits


@contextlib.contextmanager
def _scoring(model: nn.Module, weights: Iterable[nn.Parameter], norm: str) -> Iterator[None]:
    """No dropout, normalisation as asked, running statistics out of reach; then all is put back."""
    before = [(m, dict(vars(m)), dict(m._buffers)) for m in model.modules()]
    frozen = [weight for weight in weights if not weight.requires_grad]
    for module, _, _ in before:
        by_batch = norm == "batch" and isinstance(module, nn.modules.batchnorm._NormBase)
        # cuDNN has no backward pass of a recurrent layer in evaluation mode.
        module.training = by_batch or isinstance(module, nn.RNNBase)
        if isinstance(module, nn.RNNBase):
            module.dropout = 0.0
        if by_batch:  # and nothing is written down
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    try:
        for weight in frozen:
            weight.requires_grad_(True)
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)
        for module, attributes, buffers in before:
            vars(module).clear()  # of activations that it keeps, too, and their graph
            vars(module).update(attributes)
            module._buffers.update(buffers)


def _total(scores: Mapping[str, Tensor], what: str) -> float:
    """The sum over all tensors. Raises FloatingPointError for NaN or Inf, naming the tensor."""
    sums = [score.sum() for score in scores.values()]
    total = float(torch.stack([part.cpu() for part in sums]).sum(dtype=torch.float64))
    if not math.isfinite(total):
        for name, score in scores.items():
            if not score.isfinite().all():
                raise FloatingPointError(f"NaN or Inf in the {what} of {name}")
        # All are finite; only their sum is beyond float32.
        total = sum(float(score.cpu().sum(dtype=torch.float64)) for score in scores.values())
    return total


def sensitivity_of(
    model: nn.Module, closure: Callable[[], Tensor | Iterable[Tensor]], norm: str = "running"
) -> dict[str, Tensor]:
    """Connection sensitivity of every prunable parameter (Eqs. 5 and 6), for any input and loss.

    g_j = ∂L(c ⊙ w; D^b)/∂c_j at c = 1 equals w_j · ∂L/∂w_j, so one forward and one backward pass
    give all of them; s_j = |g_j| / Σ_k |g_k|. The model is left as it was: weights, running
    statistics, mode and gradients.

    Args:
        closure: runs the model and returns its mean loss over the scoring batch D^b, one number;
            or yields several that add up to it. The signed g of these are added up before the
            magnitude is taken, so memory is that of one of them.
        norm: "running" normalises by running statistics as they stand, as in evaluation mode: in a
            fresh network mean 0 and variance 1, as in the reference; "batch" by the batch.

    Returns:
        {name: tensor of the parameter's shape}, non-negative, summing to 1 over all of them.

    Raises:
        ValueError: nothing prunable; a parametrised weight, or one below float32; an unknown
            `norm`; "running" where a layer keeps no statistics; all sensitivities zero.
        FloatingPointError: NaN or Inf in a sensitivity.
    """
    check_known(norm, ("running", "batch"), "norm")
    weights = prunable(model)
    if not weights:
        raise ValueError("nothing to prune: no convolutional, linear or recurrent layer")
    for name, weight in weights.items():
        if weight.dtype.itemsize < 4:  # small sensitivities would become 0, or alike
            raise ValueError(f"{name} is {weight.dtype}: score in float32, model.float()")
    for name, layer in model.named_modules():
        if norm == "running" and isinstance(layer, BATCH_NORM) and layer.running_mean is None:
            raise ValueError(f"layer {name} keeps no running statistics: score with norm='batch'")
    gradients: list[Tensor] = []
    own = torch.random.fork_rng({w.device.index for w in weights.values() if w.is_cuda})
    with own, _scoring(model, weights.values(), norm), torch.enable_grad():
        losses = closure()
        for loss in [losses] if isinstance(losses, Tensor) else losses:
            if not loss.requires_grad:
                raise ValueError("the loss does not depend on any weight")
            part = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
            # Never in place: autograd may hand out one tensor for two weights.
            pairs = zip(gradients, part, strict=True)
            gradients = [a + b for a, b in pairs] if gradients else list(part)
    with torch.no_grad():
        scores = {
            name: (gradient * weight).abs_()
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
        total = _total(scores, "sensitivity")
        if total == 0:
            raise ValueError("all sensitivities are 0: the loss does not depend on any weight")
        return {name: score.div_(total) for name, score in scores.items()}


def sensitivity(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    norm: str = "running",
    chunk_size: int | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> dict[str, Tensor]:
    """`sensitivity_of` a model of one input tensor, whose scores and errors these are.

    Args:
        x: (B, …) the inputs of the scoring batch D^b.
        y: (B,) integer labels; (B, …) the targets of another loss.
        norm: as for `sensitivity_of`; "batch" normalises by each chunk, if there are several.
        chunk_size: inputs per pass; default: all at once.
        loss: of (output, target), a mean over the batch.

    Raises ValueError, besides, for an empty batch, or one image (in a chunk) to be normalised by
    its own statistics; inputs or targets that do not fit; NaN or Inf in the inputs.
    """
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size {chunk_size} is below 1")
    classes = loss is F.cross_entropy
    (check_batch if classes else check_inputs)(model, x, y)
    size = chunk_size or len(x)
    if norm == "batch":
        check_statistics(model, min(size, len(x) % size or size))

    def losses() -> Iterator[Tensor]:
        for part_x, part_y in zip(x.split(size), y.split(size), strict=True):
            output = checked_logits(model, part_x, part_y) if classes else model(part_x)
            yield loss(output, part_y) * len(part_x) / len(x)

    return sensitivity_of(model, losses, norm)


# -------------------------------------------------------------------------------------------- masks


def kept_count(m: int, sparsity: float) -> int:
    """κ = round((1 − κ̄) · m). Raises ValueError unless 0 ≤ κ̄ < 1 and at least one is kept."""
    if not 0 <= sparsity < 1:  # false for NaN, too
        percent = f"; for {sparsity:g} % write {sparsity / 100:g}" if 1 < sparsity < 100 else ""
        raise ValueError(f"sparsity {sparsity} is not a fraction, 0 ≤ sparsity < 1{percent}")
    kept = round((1 - sparsity) * m)
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

    Raises:
        ValueError: sparsity out of range or so high that nothing is kept; no scores, or all zero.
        FloatingPointError: NaN or Inf among the scores.
    """
    if not scores:
        raise ValueError("no scores: there is nothing to prune")
    if _total(scores, "score") == 0 and not any(score.any() for score in scores.values()):
        raise ValueError("all scores are 0: they tell no parameter from another")
    flat = torch.cat([score.detach().flatten().cpu() for score in scores.values()])
    flat = flat if flat.dtype.itemsize >= 4 else flat.float()  # NumPy has no bfloat16
    kept = kept_count(len(flat), sparsity)
    # The smallest score kept. NumPy finds it in a quarter of the time of `kthvalue`.
    threshold = np.partition(flat.numpy(), len(flat) - kept)[len(flat) - kept].item()
    mask = flat > threshold
    mask[(flat == threshold).nonzero()[: kept - int(mask.count_nonzero()), 0]] = True  # in order
    parts = mask.split([score.numel() for score in scores.values()])
    pairs = zip(scores.items(), parts, strict=True)
    return {name: part.view(s.shape).to(s.device, copy=True) for (name, s), part in pairs}


def check_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    weights = prunable(model)
    if odd := sorted(set(weights) ^ set(masks)):
        raise ValueError(f"masks and model do not fit; only in one of them: {', '.join(odd)}")
    for name, weight in weights.items():
        if masks[name].shape != weight.shape or masks[name].dtype != torch.bool:
            raise ValueError(
                f"the mask of {name} is {masks[name].dtype} of shape {tuple(masks[name].shape)}; "
                f"it must be torch.bool of shape {tuple(weight.shape)}"
            )


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set every pruned parameter to zero, in place.

    Raises ValueError when the names or shapes of `masks` are not those of `prunable(model)`.
    """
    check_masks(model, masks)
    for name, weight in prunable(model).items():
        weight.masked_fill_(~masks[name].to(weight.device), 0)


def hold(
    optimizer: torch.optim.Optimizer, model: nn.Module, masks: Mapping[str, Tensor]
) -> RemovableHandle:
    """Set every pruned parameter to zero, now and after every `optimizer.step()`, whatever the
    optimiser remembers of it, until `.remove()` is called on the handle returned. The parameters
    themselves are held: they may move to another device or type. Of several optimisers, or copies
    of one, hold each. Gradients of pruned parameters stay: multiply them by the masks before
    clipping by norm, and in a closure that one step calls several times (LBFGS).

    Raises ValueError as `apply_masks` does.
    """
    apply_masks(model, masks)
    held = [  # a mask in the memory layout of its weight is multiplied fastest
        [weight, torch.empty_like(weight).copy_(masks[name])]
        for name, weight in prunable(model).items()
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

    hooked = getattr(type(optimizer).step, "hooked", False)  # PyTorch's mark: step calls its hooks
    inner = optimizer if hooked else optimizer.optimizer  # of one wrapped by Accelerate, say
    return inner.register_step_post_hook(zero)


def _follow(forward: Callable, dtype: torch.dtype, *args, **kwargs):
    """What a layer gives, as `dtype`: NaN where it changes with those of its inputs that are NaN.
    `forward` is that of the layer in float64, with no negative weight, so that nothing cancels."""

    def output(factor: int):
        def fill(t: Tensor) -> Tensor:
            if not t.is_floating_point():
                return t
            numbers = torch.linspace(1, 2, t.numel(), dtype=torch.float64, device=t.device)
            return torch.where(t.isnan(), factor * numbers.view(t.shape), t.double())

        return forward(*tree_map_only(Tensor, fill, args), **tree_map_only(Tensor, fill, kwargs))

    def compare(one, other):
        same = isinstance(one, Tensor)
        return torch.where(one == other, one, math.nan).to(dtype) if same else one

    with torch.no_grad():
        return tree_map(compare, output(1), output(2))


def collapsed(model: nn.Module, masks: Mapping[str, Tensor], x) -> list[str]:
    """What a mask cuts: names of weights it keeps none of, and "no path from input to output".

    NaN is sent through a copy of the network, whose prunable layers hand it on along kept weights
    alone; all else does so by itself. Where that tells nothing (NaN comes out though none went in,
    or gets lost though all is kept, as by `torch.where`; inputs are integers; a weight is used
    outside its layer), the list ends in "cannot tell whether a path leads from input to output". A
    path through what loses NaN is not seen where another, which is cut, would hand it on.

    Args:
        x: (B, …) inputs of the network, or what else it takes: a dict, say; a tuple of several.
    """
    check_masks(model, masks)
    cut = [name for name, mask in masks.items() if mask.ndim > 1 and not mask.any()]
    probe = copy.deepcopy(model).eval().requires_grad_(False)
    twin = copy.deepcopy(probe).double()
    for layer, precise in zip(probe.modules(), twin.modules(), strict=True):
        if isinstance(layer, PRUNABLE_LAYERS):
            layer.forward = partial(_follow, precise.forward, next(layer.parameters()).dtype)
    for weight in prunable(probe).values():
        weight.requires_grad_(True)  # so that an output shows a weight used outside its layer
    x = x.detach()[:2] if isinstance(x, Tensor) else x  # two: one alone has no statistics

    def passes(kept: Mapping[str, Tensor], mark: float) -> tuple[bool, bool]:
        """Whether NaN comes out of inputs times `mark`, and whether a layer was passed by."""
        with torch.no_grad():
            for name, weight in prunable(twin).items():
                weight.copy_(kept[name] / weight[:1].numel() if weight.numel() else weight)
        marked = tree_map_only(Tensor, lambda t: t * mark if t.is_floating_point() else t, x)
        with torch.enable_grad():
            out = probe(*(marked if isinstance(marked, tuple) else (marked,)))
            out = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        return any(bool(t.isnan().any()) for t in out), any(t.requires_grad for t in out)

    path, passed_by = passes(masks, math.nan)
    whole = {name: torch.ones_like(mask) for name, mask in masks.items()}
    control, _ = passes(masks, 1.0) if path else passes(whole, math.nan)
    if control == path or passed_by:
        cut.append("cannot tell whether a path leads from input to output")
    elif not path:
        cut.append("no path from input to output")
    return cut
