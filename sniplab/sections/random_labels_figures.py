"""§5.6: the published curves, and the final training error by method, drawn."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.lines import Line2D

from sniplab.methods import METHODS, Method

LOOKS = {  # of the published curves: by method, and dashed with true labels
    "dense, true labels": (METHODS["dense"].colour, "--", "s"),
    "dense, random labels": (METHODS["dense"].colour, "-", "o"),
    "dense, random labels, L2": ("0.55", "-", "^"),
    "pruned, true labels": (METHODS["snip"].colour, "--", "D"),
    "pruned, random labels": (METHODS["snip"].colour, "-", "v"),
}
GUESSING = 90  # percent


def _draw_value(axis: plt.Axes, curves: pd.DataFrame, value: str) -> None:
    """A panel: means over seeds, and bands from the smallest to the largest seed."""
    for place, (name, (colour, line, marker)) in enumerate(LOOKS.items()):
        seeds = curves[curves.curve == name].pivot(index="iteration", columns="seed", values=value)
        if seeds.empty:
            continue
        low, high = seeds.min(axis=1), seeds.max(axis=1)
        axis.fill_between(low.index, low, high, color=colour, alpha=0.2, lw=0)
        every = max(1, len(low) // 5)
        marks = {"marker": marker, "ms": 5, "markevery": (place * every // 5, every)}
        axis.plot(seeds.mean(axis=1), color=colour, ls=line, lw=1.6, label=name, **marks)
    axis.set(xlabel="iteration")
    axis.locator_params(axis="x", nbins=4)
    axis.xaxis.set_major_formatter("{x:,.0f}")


def draw_curves(curves: pd.DataFrame) -> plt.Figure:
    """Training error and loss by iteration. `curves`: as from `curve_points`."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    _draw_value(left, curves, "error")
    left.axhline(GUESSING, color="0.5", ls=":", lw=1.2, label="guessing")
    left.set(ylabel="training error (%)", ylim=(-2, 100))
    right.set(yscale="log", ylabel="training loss")
    _draw_value(right, curves, "loss")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def draw_memory(runs: pd.DataFrame) -> plt.Figure:
    """Final training error by method, a panel for each network: means over seeds, bars from the
    smallest to the largest. Above each point its sparsity in percent; true labels hollow, below.
    `runs`: those that ended well, as from `usual_runs`."""
    networks = list(dict.fromkeys(runs.network)) or [""]
    methods = [method for name, method in METHODS.items() if name in set(runs.method)]
    size = (8.4, 1 + len(networks) * (0.6 + 0.42 * len(methods)))
    figure, axes = plt.subplots(len(networks), figsize=size, sharex=True, squeeze=False)
    for axis, network in zip(axes[:, 0], networks, strict=True):
        group = runs[runs.network == network]
        for row, method in enumerate(methods):
            _draw_row(axis, row, method, group[group.method == method.name])
        axis.axvline(GUESSING, color="0.5", ls=":", lw=1.2, zorder=0)
        axis.set_yticks(range(len(methods)), [method.label for method in methods])
        axis.set(xlim=(-2, 100), ylim=(len(methods) - 0.4, -0.6), title=network)
    axes[-1, 0].set_xlabel("training error (%)")
    plain = {"color": "0.3", "marker": "o", "ls": ""}
    handles = [
        Line2D([], [], **plain, label="random labels"),
        Line2D([], [], **plain, mfc="white", label="true labels"),
        Line2D([], [], color="0.5", ls=":", lw=1.2, label="guessing"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _draw_row(axis: plt.Axes, row: int, method: Method, runs: pd.DataFrame) -> None:
    """The points of one method in a panel."""
    for labels, part in runs.groupby("labels"):
        errors = part.groupby("sparsity").train_error.agg(["mean", "min", "max"])
        spread = [errors["mean"] - errors["min"], errors["max"] - errors["mean"]]
        true = labels == "true"
        height = row + 0.2 if true else row
        style = {"fmt": method.marker, "color": method.colour, "ms": 6, "lw": 1.2}
        style["mfc"] = "white" if true else method.colour
        axis.errorbar(errors["mean"], [height] * len(errors), xerr=spread, **style)
        if true or method.name == "dense":
            continue
        axis.plot(errors["mean"], [row] * len(errors), color=method.colour, lw=0.8, zorder=1)
        for sparsity, error in errors["mean"].items():
            where = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center"}
            where["bbox"] = {"fc": "white", "ec": "none", "pad": 0.3}  # over the line of guessing
            axis.annotate(f"{100 * sparsity:.0f}", (error, row), fontsize=8, **where)
