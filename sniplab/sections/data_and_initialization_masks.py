"""§5.5 without any training: how the masks of scoring batches overlap and what they look like, and
where in the network they keep connections under each initialiser."""

import itertools
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from snipcore import MODELS, build_model, digest, pick_device, prunable
from sniplab.controls import shuffle_masks
from sniplab.data import Data, load_data
from sniplab.methods import make_masks
from sniplab.runs import Config, hardware
from sniplab.runs.worker import prepare
from sniplab.sections import COMMITTED, Plan, stored_table
from sniplab.stats import summarize

Masks = Mapping[str, Tensor]
UNITS, SIDE = 300, 28  # of the first layer of LeNet-300-100; pixels of the images that it reads
CELLS = 128  # units of the small recurrent networks

# --------------------------------------------------------------------------------- of two masks


def flat(masks: Masks) -> Tensor:
    """All entries of the masks of a network, one after the other."""
    return torch.cat([mask.flatten() for mask in masks.values()])


def jaccard(a: Masks, b: Masks) -> float:
    """Of what either mask keeps, the part that both keep."""
    a, b = flat(a), flat(b)
    return float((a & b).sum() / (a | b).sum())


def rescaling(name: str, init: str, x: Tensor, y: Tensor) -> tuple[float, float, float]:
    """By what product the layers of an initialiser are larger than those of VS-X; how far its mask
    and that of VS-X overlap; and how far when the last layer of VS-X is multiplied by that product.
    Seed 0, double precision, biases of the gates at 0."""
    model, other_model = (build_model(name, i, seed=0, gates=0).double() for i in ("vs-x", init))
    before, theirs = (make_masks(m, "snip", 0.9, x, y, seed=0) for m in (model, other_model))
    pairs = zip(prunable(model).values(), prunable(other_model).values(), strict=True)
    factor = torch.stack([(b / a).detach().median() for a, b in pairs if a.ndim > 1]).prod()
    last = [weight for weight in prunable(model).values() if weight.ndim > 1][-1]
    with torch.no_grad():
        last.mul_(factor)
    after = make_masks(model, "snip", 0.9, x, y, seed=0)
    return float(factor), jaccard(before, theirs), jaccard(after, theirs)


# ------------------------------------------------------------------------------- what is measured


def measure(plan: Plan, data: Data) -> dict[str, pd.DataFrame]:
    """Everything that this section measures on the masks of a plan, scored on `data`: by the names
    of the tables, which are stored as 4_<name>.csv."""
    masks = {(c.scoring_batch, c.seed): prepare(c, data)[1] for c in plan["scoring_batch"]}
    drawn, layers = measure_initializers(plan["initializers"], data)
    return {
        "data": measure_data(data),
        "pictures": measure_pictures(masks),
        "overlaps": measure_overlaps(masks),
        "mean_image": measure_mean_image(data),
        "initial_masks": drawn,
        "layers": layers,
        "gate_biases": measure_gate_biases(plan["gates"], data),
    }


TABLES = (
    "data", "pictures", "overlaps", "mean_image", "initial_masks", "layers", "gate_biases",
)  # fmt: skip


def measured(
    plan: Plan, profile: str, dataset: str, device: str | torch.device | None = None
) -> dict[str, pd.DataFrame]:
    """The tables of `measure`: those `stored`, under the committed profile, where they are of the
    data set; else measured here and now, but for scoring batches that the train split is too small
    for."""
    if profile == COMMITTED and stored()["data"].dataset[0] == dataset:
        return stored()
    data = load_data(dataset, device=pick_device(device))
    return measure(fitting(plan, len(data.y_train)), data)


def fitting(plan: Plan, images: int) -> dict[str, list[Config]]:
    """A plan without the scoring batches that a train split of so many images is too small for: the
    embedded digits have fewer than the largest."""
    kept = [config for config in plan["scoring_batch"] if config.scoring_batch <= images]
    return {**plan, "scoring_batch": kept}


def stored() -> dict[str, pd.DataFrame]:
    """The tables of `measure` in RESULTS: of all masks of the committed report."""
    tables = {name: stored_table(f"4_{name}") for name in TABLES}
    drawn = tables["initial_masks"]
    tables["initial_masks"] = drawn.assign(collapsed=drawn.collapsed.astype(object).fillna(""))
    return tables


def measure_data(data: Data) -> pd.DataFrame:
    """What all of it is measured on, one row: dataset, source, data (the digest), train_images, and
    the hardware."""
    row = {"dataset": data.name, "source": data.source, "data": data.digest}
    row |= {"train_images": len(data.y_train), "hardware": hardware(data.x_train.device)}
    return pd.DataFrame([row])


def measure_pictures(masks: Mapping[tuple[int, int], Masks]) -> pd.DataFrame:
    """Of each mask by size and seed its digest and how many of the UNITS of the first layer keep
    each pixel: scoring_batch, seed, masks, kept (row by row of the image, separated by spaces)."""
    rows = []
    for (size, seed), mask in masks.items():
        counts = " ".join(map(str, mask["fc1.weight"].sum(0).tolist()))
        rows.append((size, seed, digest(mask), counts))
    return pd.DataFrame(rows, columns=["scoring_batch", "seed", "masks", "kept"])


WHOLE, OTHER, SHUFFLED = "whole split", "other initial weights", "shuffled within layers"


def measure_overlaps(masks: Mapping[tuple[int, int], Masks]) -> pd.DataFrame:
    """Jaccard overlaps: of each mask with that of the WHOLE split, and, to judge them by, of the
    latter with those of OTHER seeds and with itself SHUFFLED: level, scoring_batch, seed,
    other_seed, overlap."""
    seeds = sorted({seed for _, seed in masks})
    sizes = [size for size in dict.fromkeys(size for size, _ in masks) if size]
    rows = [
        (WHOLE, size, seed, seed, jaccard(masks[size, seed], masks[0, seed]))
        for size in sizes
        for seed in seeds
    ]
    for a, b in itertools.combinations(seeds, 2):
        rows.append((OTHER, 0, a, b, jaccard(masks[0, a], masks[0, b])))
    for seed in seeds:
        overlap = jaccard(shuffle_masks(masks[0, seed], seed), masks[0, seed])
        rows.append((SHUFFLED, 0, seed, seed, overlap))
    columns = ["level", "scoring_batch", "seed", "other_seed", "overlap"]
    return pd.DataFrame(rows, columns=columns)


def measure_mean_image(data: Data) -> pd.DataFrame:
    """The mean of the train images, as normalised: row, column, value."""
    image = data.x_train.double().mean((0, 1)).cpu().numpy()
    row, column = np.indices(image.shape)
    return pd.DataFrame({"row": row.ravel(), "column": column.ravel(), "value": image.ravel()})


def _layer(name: str) -> str:
    """The layer of a weight or bias; those of a recurrent cell by what they read."""
    owner, _, part = name.rpartition(".")
    if "_hh_" in part:
        return owner + " recurrent"
    return owner + " input" if "_ih_" in part else owner


INSIDE = ["cell_weights", "gate_weights", "recurrent_weights", "units_reached", "units_read"]
BLOCKS = {"lstm-s": 4, "gru-s": 3}  # of a cell's weights: its gates and the candidate state


def _inside(mask: Masks) -> dict[str, int]:
    """What a mask keeps inside of a recurrent cell: weights, those of the gates (all but those of
    the candidate state), recurrent weights, units to which one of them leads, and units that the
    classifier reads."""
    # (gates, to, from); in both cells the third is the candidate state
    input_weights = mask["cell.weight_ih_l0"].view(-1, CELLS, CELLS)
    recurrent = mask["cell.weight_hh_l0"].view(-1, CELLS, CELLS)
    counts = (
        input_weights.sum() + recurrent.sum(),
        sum(part.sum() - part[2].sum() for part in (input_weights, recurrent)),
        recurrent.sum(),
        recurrent.any(2).any(0).sum(),
        mask["classify.weight"].any(0).sum(),
    )
    return dict(zip(INSIDE, map(int, counts), strict=True))


def measure_initializers(
    configs: Iterable[Config], data: Data
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """SNIP's masks by network, initialiser and seed.

    Returns:
        A row for each mask: model, init, seed, masks (their digest), collapsed (what they cut), and
        of recurrent networks what they keep inside of the cell; and a row for each layer of each:
        model, init, seed, layer, size, kept.
    """
    drawn, layers = [], []
    cells = {(c.model, c.init, c.seed): c for c in configs if c.method == "snip"}
    for (name, init, seed), c in cells.items():
        _, mask, outcome = prepare(c, data)
        key = {"model": name, "init": init, "seed": seed}
        fields = {column: outcome[column] for column in ("masks", "collapsed")}
        if MODELS[name].family == "Recurrent":
            fields |= _inside(mask)
        drawn.append(key | fields)
        for part, kept in mask.items():
            of_part = {"layer": _layer(part), "size": kept.numel(), "kept": int(kept.sum())}
            layers.append(key | of_part)
    heads = ["model", "init", "seed"]
    drawn = pd.DataFrame(drawn, columns=[*heads, "masks", "collapsed", *INSIDE])
    layers = pd.DataFrame(layers, columns=[*heads, "layer", "size", "kept"])
    return drawn, layers.groupby([*heads, "layer"], sort=False).sum().reset_index()


def measure_gate_biases(configs: Iterable[Config], data: Data) -> pd.DataFrame:
    """How many biases of the reset and of the update gates SNIP keeps: init, gates (what they start
    at when scored), seed, reset, update."""
    rows = []
    for c in {(c.init, c.gates, c.seed): c for c in configs}.values():
        _, mask, _ = prepare(c, data)
        reset, update, _ = mask["cell.bias_ih_l0"].view(3, CELLS).sum(1).tolist()
        rows.append((c.init, c.gates, c.seed, reset, update))
    table = pd.DataFrame(rows, columns=["init", "gates", "seed", "reset", "update"])
    return table.astype({"gates": float})  # without rows, too


# --------------------------------------------------------------------------- what follows from it


def mean_overlaps(overlaps: pd.DataFrame) -> pd.DataFrame:
    """Mean overlap with the whole split's mask by scoring batch, as from `summarize`."""
    rows = overlaps[overlaps.level == WHOLE].assign(status="ok")
    return summarize(rows, ["scoring_batch"], "overlap").set_index("scoring_batch")


CHANCE = 0.1 / (2 - 0.1)  # overlap of two masks that keep a tenth, each at random


def reference_overlaps(overlaps: pd.DataFrame) -> dict[str, float]:
    """What overlaps may be judged by: OTHER (if there are two seeds), SHUFFLED, and chance."""
    means = overlaps.groupby("level").overlap.mean()
    references = {level: float(means[level]) for level in (OTHER, SHUFFLED) if level in means.index}
    return references | {"chance": CHANCE}


def pictures_of(pictures: pd.DataFrame) -> np.ndarray:
    """Fractions of the units that keep each pixel: (seeds, scoring batches, rows, columns)."""
    counts = np.array([text.split() for text in pictures.kept], dtype=float)
    seeds, sizes = pictures.seed.nunique(), pictures.scoring_batch.nunique()
    return counts.reshape(seeds, sizes, SIDE, SIDE) / UNITS


def image_of(mean_image: pd.DataFrame) -> np.ndarray:
    """The mean train image: (rows, columns)."""
    return mean_image.value.to_numpy().reshape(SIDE, SIDE)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's, over pixels."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def batch_names(tables: Mapping[str, pd.DataFrame]) -> dict[int, str]:
    """Sizes of the scoring batches in words: "1", "10,000", "all 54,000"."""
    whole_split = f"all {tables['data'].train_images[0]:,}"
    sizes = dict.fromkeys(tables["pictures"].scoring_batch)
    return {size: f"{size:,}" if size else whole_split for size in sizes}


def picture_correlations(tables: Mapping[str, pd.DataFrame]) -> pd.Series:
    """Correlation of the pictures with the mean train image, by scoring batch: means over seeds."""
    pictures, image = pictures_of(tables["pictures"]), image_of(tables["mean_image"])
    sizes = list(batch_names(tables))
    r = [np.mean([correlation(p, image) for p in pictures[:, k]]) for k in range(len(sizes))]
    return pd.Series(r, sizes)


def mean_shares(layers: pd.DataFrame) -> pd.DataFrame:
    """Size and kept by model, init and layer: means over seeds."""
    means = layers.drop(columns="seed").groupby(["model", "init", "layer"], sort=False)
    return means.mean()


def recurrent_cells(initial_masks: pd.DataFrame) -> pd.DataFrame:
    """INSIDE by model and init, means over seeds; and of as many weights at random places those of
    the gates, `gates_by_chance`, and the units reached, `reached_by_chance`."""
    inside = initial_masks.dropna(subset=INSIDE)
    table = inside.groupby(["model", "init"], sort=False)[INSIDE].mean().reset_index()
    blocks = table.model.map(BLOCKS)
    into = CELLS * blocks  # recurrent weights of each unit
    unreached = (1 - table.recurrent_weights / (CELLS * into)) ** into
    return table.assign(
        gates_by_chance=table.cell_weights * (blocks - 1) / blocks,
        reached_by_chance=CELLS * (1 - unreached),
    )


# ------------------------------------------------------------------------------------- to be tried


def beside(masks: Masks, default: Masks) -> pd.DataFrame:
    """What each tensor keeps under two masks of a network, and how far they agree: layer, kept,
    by default, overlap; and all of them together."""
    parts = {name: ({name: mask}, {name: default[name]}) for name, mask in masks.items()}
    parts["all"] = masks, default
    rows = [
        (n, int(flat(a).sum()), int(flat(b).sum()), jaccard(a, b)) for n, (a, b) in parts.items()
    ]
    return pd.DataFrame(rows, columns=["layer", "kept", "kept by default", "overlap"])
