"""§5.5: the figures, masks as pictures, errors by scoring batch, and errors by initialiser."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from snipcore import MODELS
from sniplab.methods import METHODS
from sniplab.sections.data_and_initialization_masks import (
    batch_names,
    image_of,
    pictures_of,
    reference_overlaps,
)
from sniplab.sections.data_and_initialization_tables import INITS, published_table_3
from sniplab.show import say_if_empty

SNIP = METHODS["snip"]
OURS = {"fmt": SNIP.marker, "color": SNIP.colour, "capsize": 3, "label": "ours"}
PAPER = {"fmt": "*", "mfc": "#f0e442", "mec": "black", "ms": 10, "ecolor": "0.3", "zorder": 5}
PAPER |= {"capsize": 3, "label": "published"}
LEVELS = {"other initial weights": "--", "shuffled within layers": "-.", "chance": ":"}


def draw_pictures(tables: Mapping[str, pd.DataFrame]) -> plt.Figure:
    """Masks of the first layer as pictures, by scoring batch: of the first seed, and their mean;
    beside them the mean train image, stretched to their grey scale. `tables`: as from `measured`.
    """
    pictures, image = pictures_of(tables["pictures"]), image_of(tables["mean_image"])
    seeds, names = sorted(set(tables["pictures"].seed)), list(batch_names(tables).values())
    columns = len(names) + 1
    figure, axes = plt.subplots(2, columns, figsize=(10, 18 / columns + 0.8), squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    axes[1, -1].axis("off")
    top = pictures[:1].max(initial=0) or 1
    style = {"cmap": "gray_r", "vmin": 0, "vmax": top, "interpolation": "nearest"}
    for column, name in enumerate(names):
        axes[0, column].imshow(pictures[0, column], **style)
        axes[1, column].imshow(pictures.mean(0)[column], **style)
        axes[0, column].set_title(name.replace("all ", "all\n"), fontsize=10)
    drawn = axes[0, -1].imshow(top * (image - image.min()) / np.ptp(image), **style)
    axes[0, -1].set_title("mean train\nimage", fontsize=10)
    axes[0, 0].set_ylabel(f"seed {seeds[0]}" if seeds else "")
    axes[1, 0].set_ylabel(f"mean of {len(seeds)}" if seeds else "")
    figure.suptitle("images in the scoring batch", fontsize=10)
    figure.colorbar(drawn, ax=axes, label="fraction of 300 kept", shrink=0.7, pad=0.01)
    return figure


def draw_batches(summary: pd.DataFrame, overlaps: pd.DataFrame) -> plt.Figure:
    """By scoring batch the overlap with the whole split's mask, and the error minus that of 100
    images.

    Args:
        summary: as from `batch_summary`; overlaps: as from `measure_overlaps`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8))
    rows = summary[summary.overlap.notna()]
    style = OURS | {"label": "the same initial weights"}
    left.errorbar(rows.index, rows.overlap, rows.overlap_half.fillna(0), **style)
    for label, level in reference_overlaps(overlaps).items():
        left.axhline(level, color="0.25", ls=LEVELS[label], label=label)
    left.set(title="Overlap with the mask of all images", ylabel="overlap", ylim=(0, 1))
    rows = summary[summary.difference.notna()]
    right.errorbar(rows.index - 0.1, rows.difference, rows.difference_half.fillna(0), **OURS)
    theirs = summary.difference_published.dropna()
    right.errorbar(theirs.index + 0.1, theirs, **PAPER)
    right.axhline(0, color="black", lw=1)
    right.set(title="Error minus that of 100 images", ylabel="difference (points)")
    for axis in (left, right):
        axis.set_xticks(
            range(len(summary)), [name.replace("all ", "all\n") for name in summary.name]
        )
        axis.set(xlabel="images in the scoring batch", xlim=(-0.5, max(1, len(summary)) - 0.5))
        axis.legend(loc="best", fontsize=9)
    say_if_empty(right, rows)
    return figure


def draw_initializers(errors: pd.DataFrame) -> plt.Figure:
    """Test errors of single seeds by network and initialiser of the scored weights, under SNIP's
    masks and the same shuffled, beside the published ones. `errors`: the runs of part
    "initializers".
    """
    models = list(dict.fromkeys(errors.model))
    cells = [(model, init) for model in models for init in INITS]
    figure, axis = plt.subplots(figsize=(8.5, 1.4 + 0.3 * len(cells)))
    published = published_table_3().reindex(cells)
    y = np.arange(len(cells))
    std = published["std"].to_numpy()
    axis.errorbar(
        published["mean"], y + 0.22, xerr=std, **(PAPER | {"label": "published (20 runs)"})
    )
    for name, shift in (("snip", -0.22), ("shuffled", 0.0)):
        runs, method = errors[errors.method == name], METHODS[name]
        place = [cells.index(cell) + shift for cell in zip(runs.model, runs.init, strict=True)]
        style = {"color": method.colour, "marker": method.marker, "alpha": 0.7, "zorder": 6}
        axis.scatter(runs.error, place, s=28, lw=0, label=method.label, **style)
    for edge in range(len(INITS), len(cells), len(INITS)):
        axis.axhline(edge - 0.5, color="0.5", lw=1)
    names = [f"{MODELS[m].title}   {INITS[i]}" if i == "rn" else INITS[i] for m, i in cells]
    axis.set_yticks(y, names)
    axis.set(xscale="log", xlim=(0.7, 100), ylim=(max(1, len(cells)) - 0.5, -0.5))
    ticks = [1, 2, 5, 10, 20, 50]
    axis.set_xticks(ticks, ticks)
    axis.minorticks_off()
    axis.set_xlabel("test error (%)")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    say_if_empty(axis, errors)
    return figure
