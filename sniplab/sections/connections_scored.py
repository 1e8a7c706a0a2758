"""§5.4, measured: networks scored on one class at a time, and what their masks keep, as tables.

Nothing is trained. The committed report's tables lie in RESULTS as 3_<table>.csv, written by
`write_stored`; whoever has them needs no data. `connections` judges and draws them.

    data          a data set: its title (the column `data` of all tables), name, source, digest, how
                  the background is normalised, the number of seeds, the hardware
    pictures      by data, class and sparsity: how many connections of each pixel are kept, summed
                  over the seeds (784 integers, each of `connections`)
    wrong_labels  the same of the scoring of WRONG_LABELS, at CHECKED alone
    mean_images   by data and class: the mean train image as normalised (784 numbers)
    correlations  by data, comparison, sparsity, class of the picture and of the mean image:
                  Pearson's r, mean over the seeds, and in how many seeds (`nearest`) it is the
                  largest of ten
    likeness      the same, summed up by seed: `likeness_of`, for the pictures and for the CHECKS
    scorings      by data, seed and class: how many scores are exactly 0; how many of these the
                  masks keep at 10 %, where position alone decides which; and r of the picture at
                  90 % with that of wrong labels
    layers        by data, sparsity and layer: connections kept, summed over all `masks`
    mixed         by data, seed and change of a scoring batch of all classes: as from `kept_again`
    kernel        by data, sparsity and seed: how many of LeNet-5-Caffe's 20 kernels keep each of
                  their 25 positions
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import snipcore as snip
from sniplab.controls import permute_labels
from sniplab.data import Data, draw_batch, load_data
from sniplab.runs import hardware
from sniplab.runs.machine import computing_with
from sniplab.sections import COMMITTED, RESULTS, check_counts, check_profile
from sniplab.show import DATA_TITLES

SEEDS = {"smoke": 1, "quick": 2, "desktop": 10, "paper": 20}  # each scores once for every class
TITLES = {name: DATA_TITLES[name] for name in ("mnist", "fashion_mnist")}
SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of Fig. 2
SHOWN = (*SPARSITIES, 0.95, 0.98, 0.99)  # pictures of the last three are only looked at
CHECKED = 0.9  # the sparsity of the checks
KERNEL_SPARSITIES = (0.5, 0.7, 0.9, 0.95, 0.98, 0.99)  # below, next to nothing of it is pruned
BATCH = 100  # images

PLAIN, WRONG_LABELS, UNIT_PIXELS = "as above", "wrong labels", "pixels from 0 to 1"
CHECKS = (WRONG_LABELS, UNIT_PIXELS)
MEAN_IMAGE, MAGNITUDE = "mean image", "|mean image|"
WITH = {MEAN_IMAGE: lambda mean: mean, MAGNITUDE: np.abs}  # what a picture is compared with

LAYERS = ("fc1", "fc2", "fc3")
UNITS = 300  # of the first layer of LeNet-300-100
OTHER_IMAGES = "other images of the class"  # changes of `kept_again`
OTHER_LABEL = "the same images, labelled as the next class"
MIXED_IMAGES = "other images of all classes"
MIXED_LABELS = "the same images, their labels permuted"

TABLES = (
    "data", "pictures", "wrong_labels", "mean_images", "correlations",
    "likeness", "scorings", "layers", "mixed", "kernel",
)  # fmt: skip

Tables = dict[str, pd.DataFrame]


def class_batch(data: Data, label: int, seed: int) -> tuple[Tensor, Tensor]:
    """A scoring batch of one class only: (100, 1, 28, 28) and (100,)."""
    of_class = data.y_train == label
    part = dataclasses.replace(data, x_train=data.x_train[of_class], y_train=data.y_train[of_class])
    return draw_batch(part, BATCH, seed)


def mean_images(data: Data) -> np.ndarray:
    """Mean of the train images of each class, in the network's normalised units: (10, 784)."""
    return np.stack([
        data.x_train[data.y_train == label].double().mean((0, 1)).cpu().numpy().ravel()
        for label in range(10)
    ])  # fmt: skip


def correlate(pictures: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Pearson's r over the pixels of each of n pictures with each of n images, (n, 784) each:
    (n, n). NaN for a picture of one shade: its scatter is that of rounding."""
    r = np.corrcoef(pictures, images)[: len(pictures), len(pictures) :]
    r[np.ptp(pictures, axis=1) == 0] = np.nan
    return r


def nearest(r: np.ndarray) -> np.ndarray:
    """Which class each picture correlates with most: (10, 10), boolean; for NaN none."""
    return r == r.max(1, keepdims=True)


def likeness_of(r: np.ndarray) -> dict:
    """Of ten pictures with ten mean images, (10, 10): how many pictures correlate most with their
    own class (`hits`), mean r with the `own` class and with the `other` ones, and their difference
    Δ (`contrast`)."""
    own, hits = r.trace() / 10, int(nearest(r).trace())
    other = (r.sum() - r.trace()) / 90
    return {"hits": hits, "own": own, "other": other, "contrast": own - other}


def picture_of(mask: Tensor, data: Data, label: int) -> pd.DataFrame:
    """Picture of one mask of the first layer, (300, 784), beside its class, a row for each pixel:
    the fraction `kept` of its connections, and its `mean_image` and the `magnitude` of that."""
    pixels = pd.MultiIndex.from_product([range(28), range(28)], names=["row", "column"])
    columns = {"kept": mask.double().mean(0).cpu().numpy(), "mean_image": mean_images(data)[label]}
    table = pd.DataFrame(columns, pixels).reset_index()
    return table.assign(magnitude=table.mean_image.abs())


def kept_again(
    model: nn.Module, data: Data, label: int | None, sparsity: float, seed: int = 0
) -> pd.DataFrame:
    """What the first layer keeps when one thing of the scoring batch changes: the fraction of its
    connections `kept again`, and `r` of the two pictures, by `change`. `label`: the class of the
    batch; None: a batch of all classes, whose labels are then permuted among its images."""
    if label is None:
        x, y = draw_batch(data, BATCH, seed)
        batches = {
            MIXED_IMAGES: draw_batch(data, BATCH, seed + 1),
            MIXED_LABELS: (x, permute_labels(y, seed)),
        }
    else:
        x, y = class_batch(data, label, seed)
        next_class = (label + 1) % 10
        batches = {
            OTHER_IMAGES: class_batch(data, label, seed + 1),
            OTHER_LABEL: (x, torch.full_like(y, next_class)),
            "images of the next class": class_batch(data, next_class, seed),
        }
    masks = {
        change: snip.keep_top(snip.sensitivity(model, *batch), sparsity)["fc1.weight"]
        for change, batch in {"none": (x, y), **batches}.items()
    }
    plain = masks.pop("none")
    rows = []
    for change, mask in masks.items():
        pictures = np.stack([m.double().mean(0).cpu().numpy() for m in (plain, mask)])
        share = float((plain & mask).sum() / plain.sum())
        rows.append((change, share, float(correlate(*pictures[:, None])[0, 0])))
    return pd.DataFrame(rows, columns=["change", "kept again", "r"])


def write_kept_again(folder: Path) -> None:
    """Measure `kept_again` at CHECKED for every class of both data sets, from two seeds each, into
    3_kept_again.csv of a folder, on the CPU: data, class, seed and its columns."""
    tables = []
    for name, title in TITLES.items():
        data = load_data(name, device="cpu")
        for seed in range(2):
            model = snip.build_model("lenet-300-100", seed=seed)
            for label in range(10):
                table = kept_again(model, data, label, CHECKED, seed)
                tables.append(table.assign(**{"data": title, "class": label, "seed": seed}))
    pd.concat(tables).to_csv(folder / "3_kept_again.csv", index=False)


def _text(values: np.ndarray) -> str:
    """Numbers of a picture as one cell of a table, separated by spaces, to the last digit."""
    return " ".join(map(repr, np.ravel(values).tolist()))


def _score_classes(data: Data, seeds: range) -> Tables:
    """LeNet-300-100 scored on each class with each seed: every single picture, as an array in the
    column `kept`, (784,); `scorings`; and `layers`, one row for each mask."""
    pictures, scorings, layers = [], [], []
    low, high = data.x_train.min(), data.x_train.max()

    def keep(scores: Mapping[str, Tensor], sparsity: float, scored: str, seed: int, label: int):
        masks = snip.keep_top(scores, sparsity)
        kept = masks["fc1.weight"].sum(0).cpu().numpy()
        pictures.append((scored, sparsity, seed, label, kept))
        return masks

    for seed in seeds:
        model = snip.build_model("lenet-300-100", seed=seed).to(data.x_train.device)
        for label in range(10):
            x, y = class_batch(data, label, seed)
            scores = snip.sensitivity(model, x, y)
            for sparsity in SHOWN:
                masks = keep(scores, sparsity, PLAIN, seed, label)
                for layer in LAYERS:
                    parts = [masks[f"{layer}.weight"], masks[f"{layer}.bias"]]
                    size, count = sum(p.numel() for p in parts), sum(int(p.sum()) for p in parts)
                    layers.append((sparsity, layer, size, count))
            unit = (x - low) / (high - low)
            for scored, batch in ((WRONG_LABELS, (x, (y + 1) % 10)), (UNIT_PIXELS, (unit, y))):
                keep(snip.sensitivity(model, *batch), CHECKED, scored, seed, label)
            size = sum(score.numel() for score in scores.values())
            zeros = sum(int((score == 0).sum()) for score in scores.values())
            zeros_kept = max(0, snip.kept_count(size, SPARSITIES[0]) - (size - zeros))
            scorings.append((seed, label, size, zeros, zeros_kept))

    layers = pd.DataFrame(layers, columns=["sparsity", "layer", "size", "kept"])
    pictures = pd.DataFrame(pictures, columns=["scored", "sparsity", "seed", "class", "kept"])
    heads = ["seed", "class", "scores", "zeros", "zeros_kept"]
    scorings = pd.DataFrame(scorings, columns=heads)
    at_checked = pictures[pictures.sparsity == CHECKED].set_index(["scored", "seed", "class"]).kept
    scorings["r_wrong_labels"] = [
        np.corrcoef(right / UNITS, wrong / UNITS)[0, 1]
        for right, wrong in zip(at_checked[PLAIN], at_checked[WRONG_LABELS], strict=True)
    ]
    return {
        "pictures": pictures,
        "scorings": scorings,
        "layers": layers[layers.sparsity.isin(SPARSITIES)],
    }


def _compare(pictures: pd.DataFrame, means: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `correlations` and `likeness` of single pictures and mean images, (10, 784)."""
    compared = pictures[pictures.sparsity.isin(SPARSITIES)]
    likeness, matrices = [], {}  # by comparison and sparsity: (10, 10) of each seed
    for kind, reference in WITH.items():
        images = reference(means)
        for (scored, sparsity, seed), ten in compared.groupby(["scored", "sparsity", "seed"]):
            r = correlate(np.stack(ten.sort_values("class").kept) / UNITS, images)
            key = {"scored": scored, "with": kind, "sparsity": sparsity, "seed": seed}
            likeness.append(key | likeness_of(r))
            if scored == PLAIN:
                matrices.setdefault((kind, sparsity), []).append(r)
    correlations = []
    for (kind, sparsity), of_seeds in matrices.items():
        r, hits = np.stack(of_seeds).mean(0), sum(nearest(r).astype(int) for r in of_seeds)
        correlations += [
            (kind, sparsity, picture, image, r[picture, image], hits[picture, image])
            for picture in range(10)
            for image in range(10)
        ]
    heads = ["with", "sparsity", "picture", "mean_image", "r", "nearest"]
    return pd.DataFrame(correlations, columns=heads), pd.DataFrame(likeness)


def _measure_classes(data: Data, title: str, seeds: range) -> Tables:
    """All tables of a data set but `data` and `kernel`."""
    tables = _score_classes(data, seeds)
    means = mean_images(data)
    tables["mean_images"] = pd.DataFrame(
        {"class": range(10), "pixels": [_text(mean) for mean in means]}
    )
    tables["correlations"], tables["likeness"] = _compare(tables["pictures"], means)
    single = tables["pictures"]
    for name, scored in (("pictures", PLAIN), ("wrong_labels", WRONG_LABELS)):
        groups = single[single.scored == scored].groupby(["class", "sparsity"]).kept
        summed = groups.agg(lambda kept: _text(sum(kept))).reset_index()
        tables[name] = summed.assign(connections=UNITS * len(seeds))
    layers = tables["layers"].groupby(["sparsity", "layer", "size"]).kept
    tables["layers"] = layers.agg(["size", "sum"]).set_axis(["masks", "kept"], axis=1).reset_index()
    for table in tables.values():
        table.insert(0, "data", title)
    return tables


def _measure_mixed(data: Data, title: str, seeds: range) -> pd.DataFrame:
    """LeNet-300-100 scored on images of all classes, and again with other images or labels."""
    tables = []
    for seed in seeds:
        model = snip.build_model("lenet-300-100", seed=seed).to(data.x_train.device)
        table = kept_again(model, data, None, CHECKED, seed)
        tables.append(table.assign(data=title, seed=seed))
    return pd.concat(tables)[["data", "seed", "change", "kept again", "r"]]


def _measure_kernel(data: Data, title: str, seeds: range) -> pd.DataFrame:
    """LeNet-5-Caffe's first layer, scored on images of all classes."""
    rows = []
    for seed in seeds:
        model = snip.build_model("lenet-5-caffe", seed=seed).to(data.x_train.device)
        scores = snip.sensitivity(model, *draw_batch(data, BATCH, seed))
        for sparsity in KERNEL_SPARSITIES:
            mask = snip.keep_top(scores, sparsity)["conv1.weight"]  # (20, 1, 5, 5)
            counts = mask.sum((0, 1)).cpu().numpy()
            rows.append((title, sparsity, seed, len(mask), _text(counts)))
    table = pd.DataFrame(rows, columns=["data", "sparsity", "seed", "kernels", "kept"])
    return table.sort_values(["sparsity", "seed"])


def measure_connections(seeds: int, device: str | torch.device | None) -> Tables:
    """The tables of this section, by name, all of them scored anew with so many seeds; `device`:
    None for CUDA where there is one. Warns where the embedded digits stand in for a data set, whose
    title then says so."""
    device, chosen = snip.pick_device(device), range(seeds)
    measured: list[Tables] = []
    for name, title in TITLES.items():
        data = load_data(name, device=device)
        if "standing in" in data.source:
            title += " (digits instead)"
        about = {
            "data": title, "name": name, "source": data.source, "digest": data.digest,
            "background": float(data.x_train.min()), "seeds": len(chosen),
            "hardware": hardware(device),
        }  # fmt: skip
        tables_of_data = _measure_classes(data, title, chosen)
        tables_of_data["data"] = pd.DataFrame([about])
        tables_of_data["mixed"] = _measure_mixed(data, title, chosen)
        tables_of_data["kernel"] = _measure_kernel(data, title, chosen)
        measured.append(tables_of_data)
    return {name: pd.concat([t[name] for t in measured], ignore_index=True) for name in TABLES}


def write_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write each table as <folder>/3_<name>.csv, numbers to their last digit."""
    for name, table in tables.items():
        table.to_csv(folder / f"3_{name}.csv", index=False)


def read_tables(folder: Path) -> Tables:
    """What `write_tables` wrote, to the last bit; a table that is not there is left out."""
    paths = {name: folder / f"3_{name}.csv" for name in TABLES}
    return {name: pd.read_csv(path) for name, path in paths.items() if path.exists()}


def write_stored(folder: Path) -> None:
    """Measure the tables of the committed report and write them into `folder`, on the CPU with one
    thread: the last digits depend on it."""
    with computing_with(1, torch.device("cpu")):
        write_tables(measure_connections(SEEDS[COMMITTED], "cpu"), folder)


def connection_tables(
    profile: str, folder: Path, seeds: int | None = None, device: str | torch.device | None = None
) -> Tables:
    """The tables of this section under a profile.

    Under the committed one they are read from RESULTS, without any data, unless another number of
    seeds is asked for; else they are measured, and kept in `folder` for those who read them there.

    Raises ValueError for an unknown profile or fewer than one seed.
    """
    check_profile(profile)
    check_counts(seeds=seeds)
    count = SEEDS[profile] if seeds is None else seeds
    if profile == COMMITTED and count == SEEDS[profile]:
        return read_tables(RESULTS)
    tables = measure_connections(count, device)
    write_tables(tables, folder)
    return tables
