"""The figures of §5.4, drawn from the tables of `connections`."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from sniplab.methods import METHODS
from sniplab.sections.connections import (
    CHANCE,
    MAGNITUDE,
    MEAN_IMAGE,
    WITH,
    classes,
    hits_of,
    matrix,
    tiles_of,
)
from sniplab.sections.connections_scored import CHECKED, Tables

GAP = 2  # pixels between two tiles


def draw_pictures(tables: Tables) -> plt.Figure:
    """For each data set, a row of ten tiles for each of `tiles_of`, each row on a grey scale of its
    own from its smallest to its largest value, which stand beside its name where they are shares.
    """
    titles = tables["data"].data
    figure, axes = plt.subplots(len(titles), figsize=(8.6, 10.2))
    for axis, title in zip(axes, titles, strict=True):
        rows = tiles_of(tables, title)
        step, heads = 28 + GAP, []
        canvas = np.full((step * len(rows) - GAP, step * 10 - GAP), np.nan)
        for row, (name, tiles) in enumerate(rows.items()):
            low, high = tiles.min(), tiles.max()
            share = f"\n{100 * low:.0f} to {100 * high:.0f} % kept"
            heads.append(name if name in (MEAN_IMAGE, MAGNITUDE) else name + share)
            scaled = (tiles - low) / (high - low)
            for label, tile in enumerate(scaled):
                top, left = step * row, step * label
                canvas[top : top + 28, left : left + 28] = tile
        axis.imshow(canvas, cmap="gray_r", interpolation="nearest")
        axis.set_xticks(13.5 + step * np.arange(10), classes(title))
        axis.set_yticks(13.5 + step * np.arange(len(rows)), heads)
        axis.tick_params(top=False, labeltop=True, labelbottom=False, length=0)
        axis.grid(visible=False)
        axis.set_frame_on(False)
        axis.set_title(title, loc="left", pad=8)
    return figure


def draw_correlations(tables: Tables) -> plt.Figure:
    """Correlations of ten pictures with ten mean images for each data set; a frame marks the
    largest of a row."""
    titles = tables["data"].data
    figure, axes = plt.subplots(1, len(titles), figsize=(8.4, 4.6))
    for axis, title in zip(axes, titles, strict=True):
        r, names = matrix(tables["correlations"], title, MEAN_IMAGE, CHECKED), classes(title)
        cells = [[_short(value) for value in row] for row in r]
        fill = {"cmap": "vlag", "vmin": -1.7, "vmax": 1.7, "cbar": False}  # light: the text is dark
        text = {"annot": cells, "fmt": "", "annot_kws": {"size": 7.5, "color": "black"}}
        sns.heatmap(r, ax=axis, square=True, xticklabels=names, yticklabels=names, **fill, **text)
        axis.tick_params("x", rotation=90 if len(names[0]) > 1 else 0)
        axis.tick_params("y", rotation=0)
        axis.set(title=title, xlabel="mean image of", ylabel="scored on")
        for label, best in enumerate(r.argmax(1)):
            axis.add_patch(plt.Rectangle((best, label), 1, 1, fill=False, ec="black", lw=1.8))
    return figure


def _short(r: float) -> str:
    """ ".85", "−.05"."""
    return f"{round(r, 2) + 0.0:.2f}".replace("0.", ".").replace("-", "−")  # + 0.0: no −0.00


def draw_hits(tables: Tables) -> plt.Figure:
    """How many of ten pictures are nearest to their own class by sparsity: means over the seeds and
    95 % intervals, a panel for each data set."""
    hits, titles = hits_of(tables["likeness"]), tables["data"].data
    figure, axes = plt.subplots(1, len(titles), figsize=(8, 3.1), sharey=True)
    styles = (  # the curves of MNIST coincide
        {"color": METHODS["snip"].colour, "marker": "o", "ms": 9, "mfc": "white", "ls": "-"},
        {"color": METHODS["gradient"].colour, "marker": "s", "ms": 4, "ls": "--"},
    )
    for axis, title in zip(axes, titles, strict=True):
        for kind, style in zip(reversed(WITH), styles, strict=True):
            part = hits.loc[title, kind]
            x, half = 100 * part.index, part.half.fillna(0)
            axis.errorbar(x, part["mean"], half, label=kind, capsize=2, zorder=3, **style)
        axis.axhline(CHANCE, color="0.4", ls=":", label="chance")
        axis.set(title=title, xlabel="sparsity (%)", ylim=(0, 10.6), xticks=range(10, 100, 20))
    axes[0].set_ylabel("nearest, of 10")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=3, frameon=False)
    return figure


def draw_picture(picture: pd.DataFrame) -> plt.Figure:
    """What one mask keeps of each pixel, beside its class. `picture`: as from `picture_of`."""
    figure, axes = plt.subplots(1, 3, figsize=(8, 3.1))
    heads = {"kept": "kept", "mean_image": MEAN_IMAGE, "magnitude": MAGNITUDE}
    for axis, (column, head) in zip(axes, heads.items(), strict=True):
        tile = picture.pivot(index="row", columns="column", values=column)
        style = {"cmap": "gray_r", "square": True, "cbar_kws": {"shrink": 0.6}}
        sns.heatmap(tile, ax=axis, xticklabels=False, yticklabels=False, **style)
        axis.set(title=head, xlabel="", ylabel="")
    return figure
