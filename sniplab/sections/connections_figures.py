"""The figures of §5.4, drawn from the tables of `connections`."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from sniplab.sections.connections import (
    CHANCE,
    MEAN_IMAGE,
    WITH,
    classes,
    level,
    matrix,
    mean_kernel,
    means_of,
    pictures_of,
    span,
    summaries,
)
from sniplab.sections.connections_scored import CHECKED, LAYERS, SPARSITIES, Tables

SHOWN_KERNELS = (0.5, 0.9, 0.99)


def draw_pictures(tables: Tables, title: str) -> plt.Figure:
    """Nine rows of ten pictures and, apart, the mean images, each row on a grey scale of its own
    from its smallest to its largest value."""
    rows = [*(pictures_of(tables, title, s) for s in SPARSITIES), means_of(tables, title)]
    ends = [(tiles.min(), tiles.max()) for tiles in rows]
    canvas = np.full((30 * len(rows) + 6, 30 * 10), np.nan)  # gaps are NaN
    for row, (tiles, (low, high)) in enumerate(zip(rows, ends, strict=True)):
        top = 30 * row + (6 if row == len(SPARSITIES) else 0)
        for label, tile in enumerate(tiles):
            scaled = (tile - low) / (high - low)
            canvas[top : top + 28, 30 * label : 30 * label + 28] = scaled
    figure, axis = plt.subplots(figsize=(8, 7.1), layout="constrained")
    image = axis.imshow(canvas, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    names = [*(rf"$\bar\kappa$ = {100 * s:.0f} %" for s in SPARSITIES), "mean image"]
    labels = [f"{name}\n{span(end, '{:.2f}')}" for name, end in zip(names, ends, strict=True)]
    centres = 13.5 + 30 * np.arange(10)
    axis.set_xticks(centres, classes(title), fontsize=9)
    axis.set_yticks(centres + 6 * (np.arange(10) == 9), labels, fontsize=9)
    axis.tick_params(top=False, labeltop=True, labelbottom=False, length=0)
    axis.grid(False)
    axis.set_frame_on(False)
    axis.set_title(f"{title}: fraction kept of each pixel's 300 connections", pad=10)
    bar = figure.colorbar(image, ticks=[0, 1], shrink=0.4, aspect=15, pad=0.02)
    bar.ax.set_yticklabels(["the row's\nsmallest", "the row's\nlargest"], fontsize=8.5)
    return figure


def _draw_matrix(axis: plt.Axes, r: np.ndarray, title: str) -> None:
    """Correlations of ten pictures with ten mean images; a frame marks the largest of a row."""
    names = classes(title)
    cells = [
        [f"{v:.2f}".replace("0.", ".").replace("-", "−") for v in row] for row in r.round(2) + 0.0
    ]
    look = {"cmap": "vlag", "vmin": -1.7, "vmax": 1.7}  # light: the text is black
    text = {"annot": cells, "fmt": "", "annot_kws": {"size": 7.5, "color": "black"}}
    sns.heatmap(r, ax=axis, square=True, cbar=False, **look, **text)
    axis.set_xticks(np.arange(10) + 0.5, names, fontsize=8.5)
    axis.tick_params("x", rotation=90 if len(names[0]) > 1 else 0)
    axis.set_yticks(np.arange(10) + 0.5, names, fontsize=8.5, rotation=0)
    axis.set(title=f"{title}, κ̄ = {level(CHECKED)}", xlabel="mean image of", ylabel="scored on")
    for label, best in enumerate(r.argmax(1)):
        axis.add_patch(plt.Rectangle((best, label), 1, 1, fill=False, ec="black", lw=1.8))


def _draw_lines(axis: plt.Axes, summary: pd.DataFrame) -> None:
    """Mean and 95 % interval by sparsity, for either data set and either comparison, side by side:
    three of the curves may coincide."""
    titles = summary.index.get_level_values("data").unique()
    beside = iter((-1.5, -0.5, 0.5, 1.5))  # percent
    for title, colour, marker in zip(titles, ("#0072b2", "#d55e00"), "os", strict=True):
        for kind, line in zip(WITH, ("-", "--"), strict=True):
            part = summary.loc[title, kind]
            look = {"ls": line, "marker": marker, "c": colour, "ms": 5, "capsize": 2}
            look |= {"mfc": None if line == "-" else "white", "clip_on": False}
            where = 100 * part.index + next(beside)
            label = f"{title}, with the {kind}"
            axis.errorbar(where, part["mean"], part.half.fillna(0), label=label, **look)
    axis.set_xlabel(r"sparsity $\bar\kappa$ (%)")


def draw_correlations(tables: Tables) -> plt.Figure:
    """Above, the correlations at 90 % of either data set; below, Δ and hits by sparsity."""
    figure, axes = plt.subplots(
        2, 2, figsize=(8.4, 8.2), height_ratios=[5, 3.6], layout="constrained"
    )
    for axis, title in zip(axes[0], tables["data"].data, strict=True):
        r = matrix(tables["correlations"], title, MEAN_IMAGE, CHECKED)
        _draw_matrix(axis, r, title)
    contrast, hits = axes[1]
    for axis, value, luck in ((contrast, "contrast", 0), (hits, "hits", CHANCE)):
        table = summaries(tables["likeness"], value)
        table = table.reindex(tables["data"].data, level="data")
        _draw_lines(axis, table)
        axis.axhline(luck, c="0.25", ls=":", lw=1.5, zorder=1)
        text = f"chance: {luck} of 10" if luck else "chance: 0"
        look = {"textcoords": "offset points", "ha": "right", "va": "top", "fontsize": 8.5}
        axis.annotate(text, (90, luck), (0, -3), **look)
    contrast.set(title="Own class against the others", ylabel=r"$\Delta$: own minus other $r$")
    hits.set(title="Nearest to their own class", ylabel="classes of 10", ylim=(0, 10.4))
    figure.get_layout_engine().set(hspace=0.07)
    handles, labels = contrast.get_legend_handles_labels()
    place = {"loc": "outside upper center", "ncols": 2, "fontsize": 9, "frameon": False}
    figure.legend(handles, labels, **place)
    return figure


def draw_layers(shares: pd.DataFrame, titles: dict[str, str]) -> plt.Figure:
    """Above, each layer's share of all that is kept; below, how much of itself it keeps. `shares`
    as from `layer_shares`; `titles` of its data sets."""
    figure, axes = plt.subplots(
        2, 2, figsize=(8, 6.4), sharex=True, sharey="row", layout="constrained"
    )
    colours, percent = ["#b8dcf2", "#d98c00", "#003b32"], 100 * np.array(SPARSITIES)
    lines = ["#56a5d8", *colours[1:]]
    sizes = shares.groupby("layer")["size"].first().astype(int)
    names = [f"{layer} ({size:,} parameters)" for layer, size in sizes.items()]
    for (above, below), (name, title) in zip(axes.T, titles.items(), strict=True):
        wide = shares[shares.data == name].pivot(index="sparsity", columns="layer")
        above.stackplot(percent, 100 * wide["share"].T, colors=colours, labels=names, lw=0)
        looks = zip(LAYERS, lines, "osD", ("-", "--", "-."), strict=True)
        for layer, colour, marker, line in looks:
            look = {"marker": marker, "ls": line, "c": colour, "clip_on": False, "zorder": 3}
            below.plot(percent, 100 * wide["fraction"][layer], label=layer, **look)
        below.plot(percent, 100 - percent, ":", c="0.4", label="every layer alike")
        above.set(title=title, xlim=(10, 90), ylim=(0, 100))
        below.set(xlabel=r"sparsity $\bar\kappa$ (%)", ylim=(0, 103))
    axes[0, 0].set_ylabel("share of all kept (%)")
    axes[1, 0].set_ylabel("kept of the layer (%)")
    axes[0, 0].legend(loc="lower left", fontsize=8.5)
    axes[1, 0].legend(loc="lower left", fontsize=8.5)
    return figure


def draw_kernel(kernel: pd.DataFrame) -> plt.Figure:
    """LeNet-5-Caffe's kernels at three sparsities: each position's kept percentage minus the
    panel's mean, on one scale."""
    titles = kernel.data.unique()
    figure, axes = plt.subplots(
        len(titles), len(SHOWN_KERNELS), figsize=(8, 5.4), layout="constrained"
    )
    shown = [[mean_kernel(kernel, title, s) for s in SHOWN_KERNELS] for title in titles]
    limit = max(1, np.ceil(max(np.abs(k - k.mean()).max() for row in shown for k in row)))
    shades = sns.diverging_palette(40, 245, s=80, l=65, as_cmap=True)  # orange below, blue above
    for title, kernels, row in zip(titles, shown, axes, strict=True):
        for axis, sparsity, percent in zip(row, SHOWN_KERNELS, kernels, strict=True):
            apart = (percent - percent.mean()).round(1) + 0.0  # no −0.0
            cells = [[f"{v:+.1f}".replace("-", "−") for v in line] for line in apart]
            look = {"cmap": shades, "vmin": -limit, "vmax": limit, "cbar": False}
            text = {"annot": cells, "fmt": "", "annot_kws": {"size": 8, "color": "black"}}
            sns.heatmap(apart, ax=axis, square=True, **look, **text)
            axis.add_patch(plt.Rectangle((1, 1), 3, 3, fill=False, ec="black", lw=2))
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"κ̄ = {level(sparsity)}: mean {percent.mean():.1f} %", fontsize=10)
        row[0].set_ylabel(title)
    label = f"points above the panel's mean (−{limit:.0f} to {limit:.0f})"
    figure.colorbar(axes[0, 0].collections[0], ax=axes, label=label, shrink=0.8)
    return figure


def draw_choice(tables: Tables, title: str, label: int, sparsity: float, note: str) -> plt.Figure:
    """Picture of one class, its mean image, and the picture's correlation with all ten of them;
    below, the provenance."""
    shown, means = pictures_of(tables, title, sparsity)[label], means_of(tables, title)
    r = [np.corrcoef(shown.ravel(), mean.ravel())[0, 1] for mean in means]
    names = classes(title)
    figure, axes = plt.subplots(
        1, 3, figsize=(8.4, 3), width_ratios=[1, 1, 1.2], layout="constrained"
    )
    heads = (f"{title}, {names[label]}, κ̄ = {level(sparsity)}", "its mean image")
    for axis, picture, head in zip(axes[:2], (shown, means[label]), heads, strict=True):
        image = axis.imshow(picture, cmap="gray_r")
        figure.colorbar(image, ax=axis, shrink=0.6, orientation="horizontal")
        axis.set(title=head, xticks=[], yticks=[])
    axes[2].barh(names, r, color=["#0072b2" if d == label else "0.7" for d in range(10)])
    axes[2].invert_yaxis()
    axes[2].set(title="r with the mean image of", xlim=(min(0, *r) - 0.05, 1))
    figure.supxlabel(textwrap.fill(note, 125), fontsize=7.5, x=0.01, ha="left", color="0.35")
    return figure
