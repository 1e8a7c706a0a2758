"""How many of the kept weights lie on a path from input to output (effective sparsity)."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from sniplab.methods import METHODS
from sniplab.sections.sweep_tables import LENET_300

SHOWN = 0.7  # sparsity from which on


def on_paths(rows: pd.DataFrame) -> pd.DataFrame:
    """The pruned runs of LeNet-300-100 in the sweep, from SHOWN on, with `on_a_path`: how much of
    what they keep lies on a path, in percent."""
    pruned = rows[(rows.part == "sweep") & (rows.model == LENET_300) & (rows.method != "dense")]
    pruned = pruned[pruned.sparsity >= SHOWN]
    return pruned.assign(on_a_path=100 * pruned.effective)


def draw_paths(runs: pd.DataFrame) -> plt.Figure:
    """Share of kept weights on a path by sparsity, a line for each method; bars are 95 % intervals.
    `runs` as from `on_paths`."""
    names = [name for name in METHODS if (runs.method == name).any()]
    labels = [METHODS[name].label for name in names]
    table = runs.assign(
        method=runs.method.map(dict(zip(names, labels, strict=True))),
        sparsity=(100 * runs.sparsity).map("{:g}".format),
    ).sort_values("sparsity")
    options = {"hue_order": labels, "style_order": labels, "dashes": False, "err_style": "bars"}
    options["seed"] = 0  # of the bootstrap: the same figure each time
    options |= {"palette": [METHODS[name].colour for name in names]}
    options |= {"markers": [METHODS[name].marker for name in names]}
    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    sns.lineplot(
        table, x="sparsity", y="on_a_path", hue="method", style="method", ax=axis, **options
    )
    axis.set(xlabel="sparsity (%)", ylabel="kept weights on a path (%)", ylim=(-3, 103))
    axis.legend(loc="lower left")
    return figure


def values(rows: pd.DataFrame) -> dict[str, str]:
    """The shares that prose quotes, in the mean over seeds: "on_a_path.random.99" is "9.9"."""
    means = on_paths(rows).groupby(["method", "sparsity"]).on_a_path.mean()
    return {f"on_a_path.{m}.{100 * s:g}": f"{mean:.1f}" for (m, s), mean in means.items()}
