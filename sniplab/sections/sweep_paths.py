"""How many of the kept weights lie on a path from input to output (effective sparsity)."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from sniplab.methods import METHODS
from sniplab.sections.sweep_tables import protocol_rows
from sniplab.stats import t_interval

FROM = 0.9  # the least sparsity
SHOWN = ["method", "sparsity", "seed", "on_a_path"]  # of the runs, in the figure
PANELS = {
    "SNIP and its controls": ("snip", "shuffled", "magnitude", "random"),
    "other shuffles": ("snip", "shuffled-units", "shuffled-inputs", "shuffled-degrees"),
    "later methods, and ERK": ("snip", "grasp", "synflow", "iterative-snip", "force", "erk"),
}


def on_paths(rows: pd.DataFrame, later: pd.DataFrame) -> pd.DataFrame:
    """The runs of LeNet-300-100 that are pruned before training, from FROM on, with `on_a_path`:
    how much of what they keep lies on a path, in percent.

    Args:
        rows: of the sweep, of which `protocol_rows` count; later: of `sweep_methods.methods_plan`.
    """
    runs = pd.concat([protocol_rows(rows), later[later.pretrain == 0]], ignore_index=True)
    pruned = runs[(runs.method != "dense") & (runs.sparsity >= FROM)]
    return pruned.assign(on_a_path=100 * pruned.effective)


def draw_paths(runs: pd.DataFrame) -> plt.Figure:
    """Share of kept weights on a path by sparsity, a line for each method; bars are 95 % intervals.
    `runs` as from `on_paths`."""
    runs = runs.assign(level=(100 * runs.sparsity).map("{:g}".format)).sort_values("sparsity")
    figure, axes = plt.subplots(1, len(PANELS), figsize=(11, 4.2), sharey=True)
    for axis, (title, methods) in zip(axes, PANELS.items(), strict=True):
        names = [name for name in methods if (runs.method == name).any()]
        options = {"hue_order": names, "style_order": names, "dashes": False, "err_style": "bars"}
        options["errorbar"] = t_interval  # in place of a bootstrap
        options |= {"palette": [METHODS[name].colour for name in names]}
        options |= {"markers": [METHODS[name].marker for name in names]}
        options |= {"hue": "method", "style": "method"}
        table = runs[runs.method.isin(names)]
        sns.lineplot(table, x="level", y="on_a_path", ax=axis, **options)
        axis.set(title=title, xlabel="sparsity (%)", ylabel="kept weights on a path (%)")
        handles, _ = axis.get_legend_handles_labels()
        place = {"loc": "upper left", "bbox_to_anchor": (-0.05, -0.2), "frameon": False}
        axis.legend(handles, [METHODS[name].label for name in names], **place)
    axes[0].set_ylim(-3, 103)
    return figure


def values(rows: pd.DataFrame, later: pd.DataFrame) -> dict[str, str]:
    """The shares that prose quotes, in the mean over seeds: "on_a_path.random.99" is "9.9"."""
    means = on_paths(rows, later).groupby(["method", "sparsity"]).on_a_path.mean()
    return {f"on_a_path.{m}.{100 * s:g}": f"{mean:.1f}" for (m, s), mean in means.items()}
