"""§5.5: pictures of masks, errors by scoring batch and by initialiser, and the layers' shares."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from snipcore import MODELS
from sniplab.methods import METHODS
from sniplab.sections.data_and_initialization_comparisons import INITS, PLAIN, published_table_3
from sniplab.show import counted

SNIP = METHODS["snip"]
OURS = {"fmt": SNIP.marker, "color": SNIP.colour, "capsize": 3}
PAPER = {"fmt": "*", "color": "#f0e442", "mec": "black", "ecolor": "0.3", "ms": 11, "capsize": 3}
PAPER["zorder"] = 5
LAYERS = (("#56b4e9", ""), ("#e69f00", "//"), ("#cc79a7", ".."), ("#004d40", ""))  # colour, hatch
LEVELS = {"other initial weights": "--", "shuffled within layers": "-.", "chance": ":"}


def _not_run_yet(axis: plt.Axes, means: pd.Series, height: float = 0.5) -> None:
    """Say so where nothing was run."""
    if not means.notna().any():
        box = {"facecolor": "white", "edgecolor": "0.8"}
        where = {"transform": axis.transAxes, "ha": "center", "va": "center"}
        axis.text(0.5, height, "not run yet", bbox=box, zorder=4, **where)


def draw_pictures(
    pictures: np.ndarray, mean_image: np.ndarray, summary: pd.DataFrame, seeds: list[int]
) -> plt.Figure:
    """Masks of the first layer as pictures, by scoring batch: of the first seed, and their mean.

    Args:
        pictures: (seeds, scoring batches, rows, columns), fractions of units.
        mean_image: (rows, columns); it is stretched to the grey scale of the pictures.
        summary: as from `batch_summary`.
    """
    columns, means = pictures.shape[1], pictures.mean(0)
    top = max(pictures[0].max(), means.max())
    figure, axes = plt.subplots(2, columns + 1, figsize=(10, 18 / (columns + 1) + 1.4))
    options = {"cmap": "gray_r", "vmin": 0, "vmax": top, "interpolation": "nearest"}
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for column, row in enumerate(summary.itertuples()):
        axes[0, column].imshow(pictures[0, column], **options)
        image = axes[1, column].imshow(means[column], **options)
        axes[0, column].set_title(row.name.replace("all ", "all\n"), fontsize=10)
        published = "–" if np.isnan(row.published) else f"{row.published:.2f}"
        axes[1, column].set_xlabel(f"{row.text}\n{published}", fontsize=10)
    axes[0, 0].set_ylabel(f"seed {seeds[0]}")
    axes[1, 0].set_ylabel(f"mean of {counted(len(seeds), 'seed')}")
    span = (mean_image - mean_image.min()) / np.ptp(mean_image)
    axes[0, -1].imshow(top * span, **options)
    axes[0, -1].set_title("mean train\nimage", fontsize=10)
    axes[1, -1].spines[:].set_visible(False)
    axes[1, -1].set_box_aspect(1)
    axes[1, -1].set_xlabel("error, ours (%)\npublished", fontsize=10)
    figure.suptitle("images in the scoring batch", fontsize=10)
    figure.colorbar(image, ax=axes, label="fraction of 300 kept", shrink=0.7, pad=0.01)
    return figure


def draw_batches(
    summary: pd.DataFrame, differences: pd.DataFrame, levels: Mapping[str, float]
) -> plt.Figure:
    """Error, overlap with the whole split's mask, and differences of the error, by scoring batch.

    Args:
        summary: as from `batch_summary`.
        differences: as from `batch_differences`.
        levels: overlaps to judge by, as from `levels`.
    """
    figure, axes = plt.subplots(2, 2, figsize=(9.5, 7), sharex=True)
    (error, overlap), below = axes
    place = pd.Series(range(len(summary)), summary.index)

    def dots(axis, means, halves, shift, label=None):
        x = place[means.index] + shift
        axis.errorbar(x, means, halves.fillna(0), label=label, **OURS)
        _not_run_yet(axis, means)

    def stars(axis, values):
        x = place[values.index] + 0.12
        axis.errorbar(x, values, label="published for MNIST", **PAPER)

    published = summary.published.dropna()
    dots(error, summary["mean"], summary.half, -0.12, "this notebook")
    stars(error, published)
    error.set(title="Test error", ylabel="error (%)", ylim=(0, 1.05 * error.get_ylim()[1]))
    some = summary[summary.overlap.notna()]
    dots(overlap, some.overlap, some.overlap_half, 0, "the same initial weights")
    for label, level in levels.items():
        overlap.axhline(level, c="0.25", ls=LEVELS[label], label=label)
    overlap.set(title="Overlap with the whole split's mask", ylabel="Jaccard overlap J")
    overlap.set_ylim(0, 1)
    for axis, base, shift in ((below[0], 0, 0.0), (below[1], 100, -0.12)):
        of_base = differences[differences.minus == base].set_index("scoring_batch")
        dots(axis, of_base["mean"], of_base.half, shift)
        than = "100 images" if base else "the whole split"
        axis.set(title=f"Difference from {than}", ylabel="difference of errors (points)")
        axis.axhline(0, c="black", lw=1)
        axis.set_xticks(place, summary.name.str.replace("all ", "all\n"))
        axis.set(xlabel="images in the scoring batch", xlim=(-0.5, len(summary) - 0.5))
    if 100 in published:
        stars(below[1], published.drop(100) - published[100])
    entries = error.get_legend_handles_labels()
    figure.legend(*entries, loc="outside upper center", ncols=2, fontsize=9)
    overlap.legend(loc="upper left", fontsize=9)
    return figure


def draw_initializers(
    errors: pd.DataFrame, differences: pd.DataFrame, models: list[str]
) -> plt.Figure:
    """Errors and differences from VS-X by initialiser, a column of panels for each network.

    Args:
        errors: as from `initializer_errors`.
        differences: as from `initializer_differences`.
    """
    shape = {"figsize": (10.5, 6.2), "sharex": True, "squeeze": False}
    figure, axes = plt.subplots(2, len(models), **shape)
    published, x = published_table_3(), np.arange(len(INITS))
    for column, model in enumerate(models):
        ours = errors.reindex([(model, init) for init in INITS])
        apart = differences[differences.model == model].set_index("init").reindex(INITS)
        apart = apart.astype({"mean": float, "half": float})
        paper = published.loc[model].reindex(INITS)
        above, below = axes[:, column]
        for table, shift, look, label in (
            (ours, -0.17, OURS, "this notebook"),
            (paper, 0.17, PAPER, "published for MNIST"),
        ):
            bar = table["std"].fillna(0)
            low = np.minimum(bar, table["mean"] - 0.3)  # a log axis has no place for a bar to zero
            above.errorbar(x + shift, table["mean"], [low, bar], label=label, **look)
        _not_run_yet(above, ours["mean"])
        above.set(title=MODELS[model].title, yscale="log", ylim=(0.45, 130))
        ticks = [0.5, 1, 2, 5, 10, 20, 50, 90]
        above.set_yticks(ticks, ticks)
        above.minorticks_off()
        below.errorbar(x - 0.17, apart["mean"], apart.half.fillna(0), **OURS)
        theirs = paper.difference.where(paper.index != PLAIN)
        below.errorbar(x + 0.17, theirs, paper.half, **PAPER)
        _not_run_yet(below, apart["mean"], 0.63)  # where no star is
        below.axhline(0, c="black", lw=1)
        below.set_xticks(x, INITS.values())
        below.set_xlim(-0.5, 3.5)
    axes[0, 0].set_ylabel("test error (%)\nbars: ± standard deviation")
    axes[1, 0].set_ylabel("minus VS-X's (points)\nbars: 95 % intervals")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9)
    return figure


def _stack(axis: plt.Axes, shares: pd.DataFrame, column: str) -> None:
    """Bars of the layers' shares of a column, by initialiser, and of all parameters."""
    wide = shares[column].unstack(sort=False).reindex(INITS)
    wide.loc["all"] = shares.loc["rn"]["size"]
    wide = 100 * wide.div(wide.sum(axis=1), axis=0)
    base, places = np.zeros(5), [0, 1, 2, 3, 4.4]
    for name, (colour, hatch) in zip(wide, LAYERS[: wide.shape[1]], strict=True):
        look = {"color": colour, "hatch": hatch, "ec": "white", "lw": 0.6}
        axis.bar(places, wide[name], bottom=base, label=name, **look)
        base += wide[name].to_numpy()
    axis.set_xticks(places, [*INITS.values(), "all"], fontsize=9)
    axis.grid(axis="x", visible=False)


def draw_shares(shares: pd.DataFrame, models: list[str]) -> plt.Figure:
    """Which layers have the sensitivity, and which are kept, by initialiser. `shares`: as from
    `mean_shares`."""
    shape = {"figsize": (10.5, 6.4), "sharex": True, "sharey": True, "squeeze": False}
    figure, axes = plt.subplots(2, len(models), **shape)
    for (above, below), model in zip(axes.T, models, strict=True):
        _stack(above, shares.loc[model], "sensitivity")
        _stack(below, shares.loc[model], "kept")
        above.set_title(MODELS[model].title)
        handles, labels = below.get_legend_handles_labels()
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.1), "fontsize": 9}
        below.legend(handles[::-1], labels[::-1], **place)  # in the order of the bars
    axes[0, 0].set(ylabel="share of all sensitivity (%)", ylim=(0, 100))
    axes[1, 0].set_ylabel("share of all kept (%)")
    return figure
