"""§5.6 without any training: how much so many parameters can remember, and how large the logits of
pruned networks are before it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from snipcore import apply_masks, build_model, prunable
from sniplab.data import draw_batch, load_data
from sniplab.methods import METHODS, make_masks
from sniplab.runs import hardware


def parameters(model: str) -> int:
    """How many parameters a network has that can be pruned."""
    return sum(weight.numel() for weight in prunable(build_model(model)).values())


def label_bits(error):
    """Bits that a network holds about each random label, one of ten, at an error, or several, of so
    many percent: at least these (rate–distortion bound); 0 for 90 % and above."""
    e = np.clip(np.asarray(error, dtype=float) / 100, 1e-12, 0.9)
    h = -e * np.log2(e) - (1 - e) * np.log2(1 - e)
    return np.log2(10) - h - e * np.log2(9)


def least_error(kept: int, images: int) -> float:
    """The smallest training error, in percent to a hundredth, at which what a network holds of so
    many random labels fits into so many parameters of 32 bits."""
    errors = np.linspace(0, 90, 9001)
    return float(errors[np.argmax(images * label_bits(errors) <= 32 * kept)])


LOGITS_OF = ("dense", "snip", "random", "shuffled", "magnitude", "rescaled")


@torch.no_grad()
def _logit_size(model: str, method: str, sparsity: float, x, y) -> float:
    network = build_model(model, seed=0).double()
    masks = make_masks(network, method, sparsity, x, y, seed=0)
    if masks is not None:
        apply_masks(network, masks)
    if adjust := METHODS[method].adjust:
        adjust(network, masks)
    return network(x).std().item()


def measure_logits(models: Sequence[str]) -> pd.DataFrame:
    """Standard deviation of the logits before training, of one network each: model, sparsity, and a
    column for each of LOGITS_OF; source, hardware. Taken on the embedded digits, in double
    precision."""
    digits = load_data("digits", device="cpu")
    x, y = draw_batch(digits, 100, seed=0)
    rows = []
    for model in models:
        for sparsity in (0.9, 0.99):
            row = {"model": model, "sparsity": sparsity}
            for method in LOGITS_OF:
                level = 0.0 if method == "dense" else sparsity
                row[method] = _logit_size(model, method, level, x.double(), y)
            rows.append({**row, "source": digits.source, "hardware": hardware()})
    return pd.DataFrame(rows)


def measure_train_images(datasets: Iterable[str]) -> pd.DataFrame:
    """How many train images there are, a row for each data set: dataset, images, data (the digest),
    source."""
    found = [load_data(name, device="cpu") for name in datasets]
    rows = [(data.name, len(data.y_train), data.digest, data.source) for data in found]
    return pd.DataFrame(rows, columns=["dataset", "images", "data", "source"])


def write_stored(folder: Path) -> None:
    """Write both tables of the committed report into a folder."""
    images = measure_train_images(("mnist", "fashion_mnist", "digits"))
    logits = measure_logits(("lenet-5-caffe", "lenet-300-100"))
    for name, table in (("5_train_images", images), ("5_logits", logits)):
        table.to_csv(folder / f"{name}.csv", index=False)


def times(ratio: float) -> str:
    """A ratio to two digits, in words: "5.8 times smaller"."""
    digits = float(f"{max(ratio, 1 / ratio):.2g}")
    return f"{digits:,g} times " + ("smaller" if ratio < 1 else "larger")
