"""The report's main figure: what pruning costs, which connections matter, and the verdicts."""

import textwrap
from collections.abc import Collection

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sniplab.methods import METHODS
from sniplab.sections.sweep_figures import SMALL, draw_differences, sparsity_axis
from sniplab.show import PUBLISHED
from sniplab.verdicts import CLOSE, VERDICTS

LOOKS = {  # of verdicts: colour, and colour of the number on it
    "reproduced": ("#0072b2", "white"),
    "in part": ("#56b4e9", "black"),
    "not reproduced": ("#d55e00", "white"),
    "inconclusive": ("0.7", "black"),
    "untested": ("0.9", "black"),
}


def draw_summary(
    costs: pd.DataFrame,
    published: pd.DataFrame,
    controls: pd.DataFrame,
    cut: Collection[tuple[float, str]],
    tally: pd.DataFrame,
) -> plt.Figure:
    """Three panels: SNIP − dense by sparsity, control − SNIP, and the verdicts by group.

    Args:
        costs: as from `sweep_tables.costs`, of one curve; controls: as from
            `sweep_tables.controls`, of the same; cut: its sparsities and methods without a path.
        published: the paper's differences, `sparsity` and `published`, in points.
        tally: as from `tally_of`.
    """
    with plt.rc_context(SMALL):
        figure, (cost, choice, verdicts) = plt.subplots(
            1, 3, figsize=(12, 3.7), width_ratios=(4, 4, 3)
        )
        _draw_costs(cost, costs, published)
        if len(controls):
            draw_differences(choice, controls, cut)
            choice.legend(loc="upper left", fontsize=7)
            choice.set_ylim(-0.4, 150)
        choice.set(ylabel="error minus SNIP's (points)", xlabel="sparsity (%)")
        choice.set_title("b  Other masks, LeNet-300-100", loc="left")
        _draw_verdicts(verdicts, tally)
    return figure


def _draw_costs(axis: plt.Axes, costs: pd.DataFrame, published: pd.DataFrame) -> None:
    sparsity_axis(axis)
    axis.axhspan(-CLOSE, CLOSE, color="0.9", lw=0, label=f"within {CLOSE} points of dense")
    axis.axhline(0, color="black", lw=1)
    method = METHODS["snip"]
    style = {"fmt": f"{method.marker}-", "color": method.colour, "label": "SNIP, ours"}
    axis.errorbar(100 * (1 - costs.sparsity), costs["mean"], costs.half.fillna(0), **style)
    star = {"s": 130, "marker": "*", "label": "published", **PUBLISHED}
    axis.scatter(100 * (1 - published.sparsity), published.published, **star)
    axis.set(ylabel="test error, pruned − dense (points)", xlabel="sparsity (%)")
    axis.set_title("a  What pruning costs LeNet-300-100", loc="left")
    axis.legend(loc="upper left")


def _draw_verdicts(axis: plt.Axes, tally: pd.DataFrame) -> None:
    """The claims of the paper, a bar for each group, the main result on top."""
    groups = [textwrap.fill(group, 18) for group in tally.group]
    left = np.zeros(len(tally))
    for verdict in [verdict for verdict in VERDICTS if tally[verdict].any()]:
        counts, (colour, ink) = tally[verdict].to_numpy(), LOOKS[verdict]
        bars = axis.barh(groups, counts, left=left, color=colour, label=verdict, height=0.7)
        axis.bar_label(bars, [str(n) if n else "" for n in counts], label_type="center", color=ink)
        left += counts
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.set(xticks=[], xlim=(0, 1.45 * tally[list(VERDICTS)].sum(axis=1).max()))
    axis.set_title("c  The paper's claims", loc="left")
    axis.legend(loc="lower right", fontsize=7)
