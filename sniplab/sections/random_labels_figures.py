"""§5.6: the published curves, and the final training error by method, drawn."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from snipcore import MODELS
from sniplab.methods import METHODS

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
    """Final training error by method, a panel for each network and a dot for each seed, coloured by
    sparsity. `runs`: those on random labels that ended well."""
    models = list(dict.fromkeys(runs.model)) or ["lenet-5-caffe"]
    figure, axes = plt.subplots(
        1, len(models), figsize=(4.6 * len(models), 3.2), sharey=True, squeeze=False
    )
    shown = runs.assign(
        method=runs.method.map({name: method.label for name, method in METHODS.items()}),
        sparsity=(100 * runs.sparsity).map("{:.0f} %".format),
    )
    order = [method.label for name, method in METHODS.items() if name in set(runs.method)]
    levels = [f"{100 * s:.0f} %" for s in sorted(runs.sparsity.unique())]
    look = {"order": order, "hue_order": levels, "palette": "viridis_r", "jitter": False}
    for axis, model in zip(axes[0], models, strict=True):
        some = shown[shown.model == model]
        if len(some):
            sns.stripplot(some, x="train_error", y="method", hue="sparsity", ax=axis, **look)
            axis.get_legend().remove()
        axis.axvline(GUESSING, color="0.5", ls=":", lw=1.2)
        axis.set(xlim=(-4, 100), xlabel="training error (%)", ylabel="", title=MODELS[model].title)
    if len(runs):
        handles = axes[0][0].get_legend_handles_labels()
        figure.legend(*handles, title="sparsity", loc="outside right center")
    return figure
