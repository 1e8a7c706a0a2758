"""What masks keep of each layer of an architecture, scored under two kinds of normalisation."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import Tensor

from snipcore import MODELS, build_model, keep_top, prunable, save_masks, sensitivity
from sniplab.data import draw_batch, load_data
from sniplab.recipe import PROTOCOLS
from sniplab.runs.config import shapes
from sniplab.sections.architectures_published import by_family, listed_titles, systems
from sniplab.show import spanned

STATISTICS = {  # that normalisation takes while scoring, by `Config.norm`: label, colour, marker
    "running": ("initial statistics", "#0072b2", "o"),
    "batch": ("batch statistics", "#d55e00", "s"),
}


def write_masks(folder: Path) -> None:
    """Write the masks of seed 0 of every network of the tables, at the published sparsity, into the
    subfolder `masks`, so that each can be trained without being scored."""
    (folder / "masks").mkdir(exist_ok=True)
    for name, spec in systems().items():
        data = load_data(spec.dataset, device="cpu")
        x, y = draw_batch(data, PROTOCOLS[spec.dataset].batch_size, seed=0)
        scores = sensitivity(build_model(name), x, y)
        save_masks(folder / "masks" / f"{name}.npz", keep_top(scores, spec.sparsity))


def normalises(name: str) -> bool:
    """Whether a network has normalisation layers, so that STATISTICS matter to it."""
    return MODELS[name].family not in ("Recurrent", "LeNet")


def layer_sizes(name: str) -> tuple[tuple[str, int], ...]:
    """The layers of a network and how many weights each has; biases are left out."""
    weights = prunable(shapes(name)).items()
    return tuple((layer, weight.numel()) for layer, weight in weights if weight.ndim > 1)


def layer_counts(rows: pd.DataFrame) -> pd.DataFrame:
    """What the masks of runs that only scored keep, a line for each layer of each run.

    Returns:
        Columns model, norm, seed, scoring_batch, path (whether one leads through the network),
        number (of the layer, from the input), layer, kept, size and fraction, all of weights;
        biases are left out.
    """
    lines = []
    for row in rows[rows.layers != ""].itertuples():
        run = (row.model, row.norm, row.seed, row.scoring_batch, "no path" not in row.collapsed)
        layers = zip(map(int, row.layers.split()), layer_sizes(row.model), strict=True)
        lines += [
            (*run, number, layer, kept, size, kept / size)
            for number, (kept, (layer, size)) in enumerate(layers, 1)
        ]
    columns = ["model", "norm", "seed", "scoring_batch", "path", "number", "layer", "kept", "size"]
    return pd.DataFrame(lines, columns=[*columns, "fraction"])


def survival(kept: pd.DataFrame) -> pd.DataFrame:
    """What either kind of statistics leaves of each network; networks that normalise nothing have
    initial statistics only.

    Args:
        kept: as from `layer_counts`.

    Returns:
        One row for each model and norm: its number of `layers`, the most layers `lost` with any
        seed (and `lost_text`, "0 to 2", over the seeds), the `smallest` fraction kept of any layer,
        whether a `path` is left with every seed, with how many seeds (`paths`), of how many.
    """
    kept = kept[(kept.norm == "running") | kept.model.map(normalises).astype(bool)]
    by_seed = kept.groupby(["model", "norm", "seed"], sort=False).agg(
        layers=("number", "max"),
        lost=("kept", lambda layer: int((layer == 0).sum())),
        smallest=("fraction", "min"),
        path=("path", "first"),
    )
    over_seeds = by_seed.groupby(["model", "norm"], sort=False).agg(
        layers=("layers", "first"),
        lost=("lost", "max"),
        lost_text=("lost", spanned),
        smallest=("smallest", "min"),
        path=("path", "min"),
        paths=("path", "sum"),
        seeds=("path", "size"),
    )
    return over_seeds.reset_index()


def towards_input(kept: pd.DataFrame) -> pd.Series:
    """Whether batch statistics move what a network keeps towards its input: a lower rank
    correlation of the fraction kept with the layer's number, by network that normalises."""
    slope = {
        key: part.number.corr(part.fraction, "spearman")
        for key, part in kept.groupby(["model", "norm"], sort=False)
    }
    names = [name for name, norm in slope if norm == "batch" and (name, "running") in slope]
    lower = {n: slope[n, "batch"] < slope[n, "running"] for n in names if normalises(n)}
    return pd.Series(lower, dtype=bool)


def most_pruned(kept: pd.DataFrame, count: int = 10) -> pd.DataFrame:
    """The weight tensors of which least is kept, and all together; biases, which start at zero and
    go first, are left out. `kept`: as from `sniplab.trial.layers`."""
    weights = kept[kept.layer.str.contains("weight")]
    return pd.concat([weights.nlargest(count, "sparsity"), kept.tail(1)])


def fitted(x: Tensor, name: str) -> Tensor:
    """Grey images of 28×28 pixels as a network of MODELS takes them: padded by their edges and in
    three channels for those of CIFAR-10. x: (B, 1, 28, 28)."""
    if MODELS[name].dataset == "mnist":
        return x
    return torch.nn.functional.pad(x, (2, 2, 2, 2), mode="replicate").repeat(1, 3, 1, 1)


def survival_values(kept: pd.DataFrame) -> dict[str, str]:
    """How many networks keep something of every layer, and a path, with every seed: numbers of
    prose. `kept`: as from `layer_counts`."""
    survived = survival(kept)
    initial, batch = (survived[survived.norm == norm] for norm in ("running", "batch"))
    towards = towards_input(kept)
    numbers = {"towards_input": str(towards.sum()), "smallest_kept": "–", "smallest_in": "–"}
    for name, part in (("initial", initial), ("batch", batch)):
        numbers[f"scored_{name}"] = str(len(part))
        numbers[f"whole_{name}"] = str((part.lost == 0).sum())
    numbers["path_batch"] = str((batch.paths == batch.seeds).sum())
    cut = batch[batch.paths < batch.seeds]
    numbers["cut_by_batch"] = listed_titles(cut.model)
    if len(cut):
        numbers["cut_seeds"] = spanned(cut.seeds - cut.paths, "{:.0f}")
    if len(initial):
        least = initial.loc[initial.smallest.idxmin()]
        numbers["smallest_kept"] = f"{100 * least.smallest:.2f}"
        numbers["smallest_in"] = listed_titles([least.model])
    return numbers


def draw_smallest(survived: pd.DataFrame) -> plt.Figure:
    """The smallest fraction kept of any layer of each network, with initial and with batch
    statistics, a dumbbell a network; crossed where some mask leaves no path.

    Args:
        survived: as from `survival`.
    """
    names = [name for name in by_family() if name in set(survived.model)]
    size = (7.5, 1.2 + 0.24 * len(names))
    figure, axis = plt.subplots(figsize=size)
    shares = survived[survived.lost == 0].smallest
    floor = 0.3 * (shares.min() if len(shares) else 1)  # where "nothing" stands on the log axis
    at = survived.assign(
        y=survived.model.map(names.index), x=survived.smallest.where(survived.lost == 0, floor)
    )
    for _, pair in at.groupby("model"):
        axis.plot(pair.x, pair.y, color="0.7", lw=2, zorder=1)
    for norm, (label, colour, marker) in STATISTICS.items():
        group = at[at.norm == norm]
        style = {"c": colour, "marker": marker, "s": 42, "zorder": 3, "label": label}
        axis.scatter(group.x, group.y, **style)
    cut = at[~at.path.astype(bool)]
    if len(cut):
        style = {"c": "black", "marker": "x", "s": 42, "zorder": 4, "label": "no path left"}
        axis.scatter(cut.x, cut.y, **style)
    axis.set(xscale="log", xlabel="smallest fraction kept of any layer", xlim=(0.6 * floor, 0.15))
    ticks = [10**-k for k in (1, 2, 3, 4) if 10**-k > 2 * floor]
    axis.set_xticks([*ticks, floor], [*(f"{100 * tick:g} %" for tick in ticks), "nothing"])
    axis.minorticks_off()
    axis.set_yticks(range(len(names)), [MODELS[name].title for name in names])
    axis.set_ylim(len(names) - 0.4, -0.6)
    _write_lost(axis, at[at.norm == "batch"])
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def _write_lost(axis: plt.Axes, batch: pd.DataFrame) -> None:
    """At the right, how many layers of how many batch statistics lose with some seed."""
    where = {"transform": axis.get_yaxis_transform(), "fontsize": 9, "color": "0.35"}
    axis.set_title("layers lost", loc="right", x=1.16, pad=3, fontsize=9, weight="normal")
    for row in batch[batch.lost > 0].itertuples():
        axis.text(1.02, row.y, f"{row.lost_text} of {row.layers}", va="center", **where)
