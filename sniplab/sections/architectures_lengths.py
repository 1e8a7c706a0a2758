"""Does what SNIP costs on CIFAR-10 shrink with longer training? AlexNet-s, from 12 epochs on.

The runs are those of `architectures_collected.lengths_plan`; those of 12 epochs are the section's.
"""

import matplotlib.pyplot as plt
import pandas as pd

from snipcore import MODELS
from sniplab.methods import METHODS
from sniplab.recipe import PROTOCOLS
from sniplab.sections import Plan
from sniplab.sections.architectures import EPOCH
from sniplab.sections.architectures_collected import ALEXNET
from sniplab.sections.architectures_costs import (
    PUBLISHED_MARKERS,
    dense_runs,
    initial_runs,
)
from sniplab.sections.architectures_published import SOURCES
from sniplab.stats import minus_twin, paired, quoted, summarize
from sniplab.verdicts import ADDED, collected_claim, fewest, length_of, new_claim

PUBLISHED_EPOCHS = PROTOCOLS["cifar10"].iterations / EPOCH["cifar10"]  # 427
SHOWN = ["method", "epochs", "seed", "error", "train_error"]  # of the runs, in the figure
SHORTEST = 12  # epochs: what longer runs are compared with


def by_length(longer: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The runs of AlexNet-s of all lengths, dense and by SNIP, with column `epochs`; none where
    there are no longer ones.

    Args:
        longer: of `lengths_plan`; rows: of the section's own plan.
    """
    short = rows[(rows.model == ALEXNET) & (len(longer) > 0)]
    runs = pd.concat([short, longer], ignore_index=True)
    runs = pd.concat([dense_runs(runs), initial_runs(runs)], ignore_index=True)
    return runs.assign(epochs=runs.iterations // EPOCH["cifar10"])


def costs(runs: pd.DataFrame) -> pd.DataFrame:
    """SNIP − dense by `epochs`, as from `paired`; `runs` as from `by_length`."""
    table = paired(initial_runs(runs), dense_runs(runs), ["epochs"], ("epochs", "seed"))
    return table.sort_values("epochs", ignore_index=True)


def changes(runs: pd.DataFrame) -> pd.DataFrame:
    """What SNIP costs by `epochs` minus what it costs in SHORTEST at the same seed, as from
    `paired`; `runs` as from `by_length`."""
    pruned = minus_twin(initial_runs(runs), dense_runs(runs), ["epochs", "seed"])
    shortest = pruned.epochs == SHORTEST
    table = paired(pruned[~shortest], pruned[shortest], ["epochs"], ("seed",))
    return table.sort_values("epochs", ignore_index=True)


def errors(runs: pd.DataFrame) -> pd.DataFrame:
    """Errors on test images and, as they were in the last epoch, on training images, by `method`,
    `epochs` and `images` ("test", "training"), as from `summarize`."""
    by = ["method", "epochs"]
    found = [
        summarize(runs, by, value).assign(images=images)
        for images, value in (("test", "error"), ("training", "train_error"))
    ]
    return pd.concat(found, ignore_index=True).sort_values([*by, "images"], ignore_index=True)


def draw_lengths(runs: pd.DataFrame) -> plt.Figure:
    """Errors by length at the left, SNIP − dense at the right, a point for each seed; the published
    ones at their length. `runs` as from `by_length`."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8))
    for (method, images), some in errors(runs).groupby(["method", "images"], sort=False):
        of, test = METHODS[method], images == "test"
        look = {"color": of.colour, "marker": of.marker, "ls": "-" if test else ":", "capsize": 3}
        text = f"{of.label}, {images} images"
        left.errorbar(some.epochs, some["mean"], some.half.fillna(0), label=text, **look)
    pruned = minus_twin(initial_runs(runs), dense_runs(runs), ["epochs", "seed"])
    snip = METHODS["snip"]
    right.plot(
        pruned.epochs, pruned.error, "o", mfc="white", mec=snip.colour, label="SNIP − dense, a seed"
    )
    table = costs(runs)
    look = {"color": snip.colour, "marker": "_", "ms": 14, "mew": 2, "lw": 1.5, "capsize": 3}
    right.errorbar(
        table.epochs, table["mean"], table.half.fillna(0), label="SNIP − dense, mean", **look
    )
    for source, known in ((name, errors[ALEXNET]) for name, errors in SOURCES.items()):
        marker = PUBLISHED_MARKERS[source.replace(" ", "_")]
        star = {"marker": marker, "c": "#f0e442", "ec": "black", "s": 90, "lw": 0.7, "zorder": 5}
        for axis, found in (
            (left, (known.dense, known.pruned)),
            (right, (known.pruned - known.dense,)),
        ):
            text = f"published: {source}"
            axis.scatter([PUBLISHED_EPOCHS] * len(found), found, label=text, **star)
    right.axhline(0, color="0.3", lw=1)
    ticks = [*sorted(runs.epochs.unique()), round(PUBLISHED_EPOCHS)]
    for axis in (left, right):
        axis.set(xscale="log", xlabel="training (epochs)")
        axis.set_xticks(ticks, ticks)
        axis.minorticks_off()
    found = [axis.get_legend_handles_labels() for axis in (left, right)]
    handles = {text: handle for pair in found for handle, text in zip(*pair, strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=4, fontsize=9)
    left.set_ylabel("error (%)")
    right.set_ylabel("SNIP − dense (points)")
    return figure


def claims(longer: pd.DataFrame, rows: pd.DataFrame, plan: Plan) -> list[dict]:
    """A row of the table of claims, untested while planned runs are missing. `longer` and `rows` as
    for `by_length`."""
    table = changes(by_length(longer, rows))
    claim = new_claim(
        *("longer.alexnet-s", "architectures", ADDED),
        f"{MODELS[ALEXNET].title} on CIFAR-10: SNIP costs less after longer training",
        *("–", "direction", length_of(longer), fewest(table)),
    )
    wanted = sum(len(part) for part in plan.values())
    left, what = wanted - len(longer), f"cost minus that in {SHORTEST} epochs"
    return [collected_claim(claim, left, wanted, table, what, "lower")]


def values(longer: pd.DataFrame, rows: pd.DataFrame) -> dict[str, str]:
    """The numbers for prose, by epochs: errors ("length.dense.24", on training images
    "length.dense.24.training"), costs ("length_cost.24"), and how these differ from those of
    SHORTEST ("length_change.24")."""
    runs = by_length(longer, rows)
    found: dict[str, str] = {}
    for row in errors(runs).to_dict("records"):
        images = "" if row["images"] == "test" else f".{row['images']}"
        found |= quoted(f"length.{row['method']}.{row['epochs']}{images}", row)
    for name, table in (("length_cost", costs(runs)), ("length_change", changes(runs))):
        for row in table.to_dict("records"):
            found |= quoted(f"{name}.{row['epochs']}", row)
    return found
