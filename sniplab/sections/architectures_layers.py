"""What masks keep of each layer of an architecture, scored under two kinds of normalisation."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd

from snipcore import prunable
from sniplab.sections.architectures_published import shapes, systems, titled
from sniplab.show import spanned


@dataclass(frozen=True)
class Statistics:
    """The mean and variance that normalisation takes while scoring, and how they are drawn."""

    label: str
    colour: str
    marker: str
    line: str
    lost: str  # the mark of a layer of which nothing is kept


STATISTICS = {  # by `Config.norm`
    "running": Statistics("initial statistics", "#0072b2", "o", "-", "+"),
    "batch": Statistics("batch statistics", "#d55e00", "s", "--", "x"),
}


def normalises(name: str) -> bool:
    """Whether a network has normalisation layers, so that STATISTICS matter to it."""
    return systems()[name].family != "Recurrent"


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
        weights = prunable(shapes(row.model)).items()
        sizes = [(name, weight.numel()) for name, weight in weights if weight.ndim > 1]
        layers = zip(map(int, row.layers.split()), sizes, strict=True)
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


def of(part: int, whole: int) -> str:
    """ "all 22", "none of the 22" or "14 of the 22"."""
    return f"all {whole}" if part == whole > 2 else f"{part or 'none'} of the {whole}"


def survival_table(survived: pd.DataFrame) -> pd.DataFrame:
    """For a reader: layers, and for each of STATISTICS the smallest fraction kept, layers lost and
    with how many seeds a path is left. `survived`: as from `survival`."""
    parts = {}
    for norm, statistics in STATISTICS.items():
        part = survived[survived.norm == norm].set_index("model")
        if (part.seeds > 1).any():
            path = [of(n, seeds) for n, seeds in zip(part.paths, part.seeds, strict=True)]
        else:
            path = ["yes" if n else "no" for n in part.paths]
        parts[statistics.label] = pd.DataFrame({
            "smallest kept": part.smallest.map(lambda share: f"{100 * share:.2f} %"),
            "layers lost": part.lost_text,
            "path": pd.Series(path, part.index, dtype=str),
        })  # fmt: skip
    table = pd.concat(parts, axis=1)
    initial = survived[survived.norm == "running"].set_index("model")
    table.insert(0, ("", "layers"), initial.layers)
    table = table.fillna({("batch statistics", "smallest kept"): "nothing to normalise"})
    return table.fillna("").rename(index=lambda name: systems()[name].title).rename_axis(None)


def towards_input(kept: pd.DataFrame) -> pd.Series:
    """Whether batch statistics move what a network keeps towards its input: a lower rank
    correlation of the fraction kept with the layer's number, by network that normalises."""
    slope = {
        key: part.number.corr(part.fraction, "spearman")
        for key, part in kept.groupby(["model", "norm"], sort=False)
    }
    both = [name for name, norm in slope if norm == "batch" and (name, "running") in slope]
    lower = {n: slope[n, "batch"] < slope[n, "running"] for n in both if normalises(n)}
    return pd.Series(lower, dtype=bool)


def survival_values(kept: pd.DataFrame) -> dict[str, str]:
    """How many networks keep something of every layer, and a path, with every seed: numbers of
    prose. `kept`: as from `layer_counts`."""
    survived = survival(kept)
    initial, batch = (survived[survived.norm == norm] for norm in ("running", "batch"))
    found = {"scored_seeds": str(kept.seed.nunique()), "smallest_kept": "–", "smallest_in": "–"}
    for name, part in (("initial", initial), ("batch", batch)):
        found[f"scored_{name}"] = str(len(part))
        found[f"whole_{name}"] = str((part.lost == 0).sum())
        found[f"path_{name}"] = str((part.paths == part.seeds).sum())
    found["cut_by_batch"] = titled(batch.model[batch.paths < batch.seeds])
    if len(initial):
        least = initial.loc[initial.smallest.idxmin()]
        found["smallest_kept"] = f"{100 * least.smallest:.2f}"
        found["smallest_in"] = titled([least.model])
    return found


def draw_layers(kept: pd.DataFrame, names: list[str]) -> plt.Figure:
    """The fraction kept of each layer, from input to output, one panel a network, a line a seed.
    `kept`: as from `layer_counts`; `names`: an even number of networks."""
    size = (8, 8.4 * (len(names) // 2) / 3)
    figure, axes = plt.subplots(len(names) // 2, 2, figsize=size, sharey=True, squeeze=False)
    floor = 0.3 * kept[kept.kept > 0].fraction.min()  # where lost layers are marked
    for axis, name in zip(axes.flat, names, strict=True):
        _draw_network(axis, kept[kept.model == name], name, floor)
    figure.supylabel("fraction of the layer's weights kept", fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("layer, from the input")
    handles = [
        plt.Line2D([], [], color=s.colour, marker=s.marker, ls=s.line, label=s.label)
        for s in STATISTICS.values()
    ]
    handles.append(plt.Line2D([], [], color="0.4", ls=":", label="whole network"))
    for norm, s in STATISTICS.items():
        if (kept.kept[kept.norm == norm] == 0).any():
            look = {"color": s.colour, "marker": s.lost, "ls": "", "mew": 1.2}
            handles.append(plt.Line2D([], [], **look, label=f"nothing kept, {s.label}"))
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=9, frameon=False)
    return figure


def _draw_network(axis: plt.Axes, kept: pd.DataFrame, name: str, floor: float) -> None:
    for norm, s in STATISTICS.items():
        if norm == "batch" and not normalises(name):
            continue
        part = kept[kept.norm == norm]
        size = 4 if part.number.max() < 60 else 2
        for _, run in part.groupby("seed"):
            fraction = run.fraction.where(run.kept > 0)
            look = {"color": s.colour, "ms": size, "lw": 0.8, "mew": 0, "alpha": 0.5}
            axis.plot(run.number, fraction, s.line, marker=s.marker, **look)
        lost = part.number[part.kept == 0].unique()
        axis.plot(lost, [floor] * len(lost), s.lost, color=s.colour, ms=6, mew=1.2)
    if kept.empty:
        axis.text(0.5, 0.5, "not run yet", ha="center", va="center", transform=axis.transAxes)
    axis.axhline(1 - systems()[name].sparsity, color="0.4", ls=":", lw=1.2)
    axis.set(title=systems()[name].title, yscale="log", ylim=(0.5 * floor, 1.6))
    axis.xaxis.get_major_locator().set_params(integer=True)
