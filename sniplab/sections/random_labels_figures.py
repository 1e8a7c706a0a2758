"""§5.6: the published curves, and the final training error by sparsity, drawn."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from snipcore import MODELS
from sniplab.methods import METHODS

LOOKS = {  # of the published curves: their colours; lines and markers tell them apart in grey
    "dense, true labels": ("#e8452c", "solid", "s"),
    "dense, random labels": ("#1b7837", "dashed", "o"),
    "dense, random labels, L2": ("#7b3294", "dotted", "^"),
    "pruned, true labels": ("#2b83ba", "dashdot", "D"),
    "pruned, random labels": ("#f28e00", (0, (8, 2)), "v"),
}
GUESSING = 90  # percent


def _not_run_yet(axis: plt.Axes) -> None:
    box = {"fc": "white", "ec": "none"}
    where = {"ha": "center", "va": "center", "transform": axis.transAxes}
    axis.text(0.5, 0.5, "not run yet", bbox=box, **where)


def _guessing(axis: plt.Axes, x: float, side: str) -> None:
    """The line of guessing, and at `x` its name."""
    axis.axhline(GUESSING, color="0.5", ls=(0, (1, 3)), lw=1)
    if side:
        axis.text(x, GUESSING + 1, "guessing", ha=side, va="bottom", fontsize=8)


def _apart(values: Sequence[float], gap: float) -> np.ndarray:
    """Sorted positions, neighbours pushed apart until they have the gap."""
    moved = np.array(values, dtype=float)
    for _ in range(100):
        push = np.maximum(gap - np.diff(moved), 0) / 2
        moved += np.append(0, push) - np.append(push, 0)
    return moved


def _draw_value(axis: plt.Axes, curves: pd.DataFrame, value: str, length: int) -> None:
    """A panel: means over seeds, and bands from the smallest to the largest seed."""
    for i, (name, (colour, line, marker)) in enumerate(LOOKS.items()):
        seeds = curves[curves.curve == name].pivot(index="iteration", columns="seed", values=value)
        if seeds.empty:
            continue
        low, high = seeds.min(axis=1), seeds.max(axis=1)
        axis.fill_between(low.index, low, high, color=colour, alpha=0.25, lw=0)
        every = max(1, len(low) // 5)
        marks = {"marker": marker, "ms": 5, "markevery": (i * every // 5, every)}
        axis.plot(seeds.mean(axis=1), color=colour, linestyle=line, lw=1.6, **marks)
    if curves.empty:
        _not_run_yet(axis)
    axis.grid(axis="x", visible=False)
    axis.set(xlim=(0, length), xlabel="iteration")
    axis.locator_params(axis="x", nbins=4)
    axis.xaxis.set_major_formatter("{x:,.0f}")


def _name_lines(axis: plt.Axes, last: pd.Series, length: int) -> None:
    """The names of lines beside their ends; `last`: their last values, on a log scale."""
    bottom, top = np.log(axis.get_ylim())
    heights = _apart(np.log(last.astype(float)), 0.1 * (top - bottom))
    for (name, value), height in zip(last.items(), heights, strict=True):
        axis.annotate(
            name.replace(", ", ",\n", 1),
            xy=(length, value),
            xytext=(1.08 * length, np.exp(height)),
            arrowprops={"arrowstyle": "-", "color": LOOKS[name][0], "lw": 1, "relpos": (0, 0.5)},
            annotation_clip=False,
            va="center",
            fontsize=8,
            linespacing=0.95,
        )


def draw_curves(curves: pd.DataFrame, length: int) -> plt.Figure:
    """Training error and loss over `length` iterations. `curves`: as from `curve_points`."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.9))
    _draw_value(left, curves, "error", length)
    _guessing(left, 0.98 * length, "right")
    left.set(ylabel="training error (%)", ylim=(-2, 100), title="Training error")
    right.set(yscale="log", ylabel="training loss, on a log scale", title="Training loss")
    _draw_value(right, curves, "loss", length)
    last = curves.groupby(["curve", "seed"]).loss.last().groupby("curve").mean().sort_values()
    _name_lines(right, last, length)
    return figure


def _draw_method(axis: plt.Axes, runs: pd.DataFrame, levels: Sequence[float], offset: float):
    """One method in a panel: on random labels a line, on true ones hollow markers beside it."""
    method = METHODS[runs.method.iloc[0]]
    planned = [s for s in levels if (s == 0) == (method.name == "dense")]
    for labels, part in runs.groupby("labels"):
        error = part.groupby("sparsity").train_error.agg(["mean", "min", "max"])
        error = error.reindex(planned)  # no line across what was not run
        spread = [error["mean"] - error["min"], error["max"] - error["mean"]]
        look = {"color": method.colour, "marker": method.marker, "ms": 5.5, "capsize": 2, "lw": 1.4}
        x = np.array([levels.index(s) for s in planned]) + offset
        if labels == "true":  # to the right, or one hides the other
            axis.errorbar(x + 0.3, error["mean"], spread, **look, ls="", mfc="white")
        else:
            axis.errorbar(x, error["mean"], spread, **look, ls=method.line)


def draw_sparsity(runs: pd.DataFrame, levels: Mapping[str, Sequence[float]]) -> plt.Figure:
    """Final training error by sparsity, a panel for each network; bars from the smallest to the
    largest seed.

    Args:
        runs: those that ended well: model, method, sparsity, labels, train_error (percent).
        levels: for each network the sparsities that are planned, 0 among them, in order.
    """
    shape = {"figsize": (3.8 * len(levels), 4.4), "sharey": True, "squeeze": False}
    figure, (axes,) = plt.subplots(1, len(levels), **shape)
    methods = [name for name in METHODS if name in set(runs.method)]
    pruned = [name for name in methods if name != "dense"]
    for axis, (model, sparsities) in zip(axes, levels.items(), strict=True):
        for name, part in runs[runs.model == model].groupby("method"):
            # Markers of one sparsity stand side by side.
            offset = 0 if name == "dense" else 0.1 * (pruned.index(name) - (len(pruned) - 1) / 2)
            _draw_method(axis, part, list(sparsities), offset)
        _guessing(axis, -0.45, "left" if axis is axes[0] else "")
        axis.set(xlim=(-0.5, len(sparsities) - 0.35), ylim=(-4, 100), title=MODELS[model].title)
        axis.set_xticks(range(len(sparsities)), [f"{100 * s:.0f}" for s in sparsities])
        axis.set_xlabel("sparsity (%)")
        if runs[runs.model == model].empty:
            _not_run_yet(axis)
    axes[0].set_ylabel("final training error (%)")
    handles = [
        Line2D([], [], color=m.colour, marker=m.marker, ls=m.line, ms=5.5, label=m.label)
        for m in (METHODS[name] for name in methods)
    ]
    plain = {"color": "0.4", "marker": "o", "ls": "", "mfc": "white"}
    handles.append(Line2D([], [], **plain, label="any, true labels"))
    place = {"loc": "outside upper center", "ncols": 3, "frameon": False}
    figure.legend(handles=handles, fontsize=8.5, handlelength=3.5, **place)
    return figure
