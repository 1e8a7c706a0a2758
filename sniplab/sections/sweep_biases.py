"""What it changes that biases are pruned and counted: LeNet-300-100 by the published protocol.

Biases start at 0, so that every method that multiplies a score by the weight gives them 0. The runs
that keep all biases are those of `biases_plan`; their twins, which prune them, are of the sweep and
of `sweep_methods.methods_plan`.
"""

import matplotlib.pyplot as plt
import pandas as pd

from sniplab.runs import Config
from sniplab.sections import collected, cut_in_two
from sniplab.sections.sweep_tables import FULL, LENET_300, protocol_rows
from sniplab.show import draw_forest, level
from sniplab.stats import paired, quoted_table

BY = ["method", "sparsity"]
SCORED = ("snip", "magnitude", "synflow", "iterative-snip", "force", "grasp")  # biases at 0 get 0


@collected("biases")
def biases_plan() -> list[Config]:
    """SCORED with all biases kept, at 95 and 99 %, five seeds."""
    return [
        Config(LENET_300, FULL, method, sparsity, seed, biases=False)
        for seed in range(5)
        for method in SCORED
        for sparsity in (0.95, 0.99)
    ]


def compared(rows: pd.DataFrame, later: pd.DataFrame, swept: pd.DataFrame) -> pd.DataFrame:
    """Each method's error with all biases kept minus that with biases pruned, within seeds, as from
    `paired`, by method and sparsity, but for masks that leave no path: both networks guess.

    Args:
        rows: of `biases_plan`; later: of `methods_plan`; swept: of the plan of the sweep, of which
            `protocol_rows` count.
    """
    pruned = pd.concat([protocol_rows(swept), later[later.pretrain == 0]], ignore_index=True)
    pruned = pruned[pruned.method.isin(SCORED) & ~cut_in_two(pruned)]
    return paired(rows[~cut_in_two(rows)], pruned, BY, (*BY, "seed"))


def beside_snip(rows: pd.DataFrame) -> pd.DataFrame:
    """Each method − SNIP within seeds, all biases kept, as from `paired`, by method and sparsity;
    `rows` of `biases_plan`."""
    snip = rows.method == "snip"
    return paired(rows[~snip], rows[snip], BY, ("sparsity", "seed"))


def draw_biases(table: pd.DataFrame) -> plt.Figure:
    """What keeping all biases changes, a panel for each sparsity; `table` as from `compared`."""
    panels = {level(s): table[table.sparsity == s] for s in sorted(table.sparsity.unique())}
    return draw_forest(panels, "biases kept − pruned (points)")


def values(rows: pd.DataFrame, later: pd.DataFrame, swept: pd.DataFrame) -> dict[str, str]:
    """The differences for prose: "biases_kept.force.99" minus the same with biases pruned, and
    "biases_kept_beside.force.99" minus SNIP's; and by sparsity what no interval of the former goes
    beyond, "biases_kept_widest.95"."""
    table = compared(rows, later, swept)
    widest = (table["mean"].abs() + table.half).groupby(table.sparsity).max()
    return {
        **quoted_table("biases_kept", table, BY),
        **quoted_table("biases_kept_beside", beside_snip(rows), BY),
        **{f"biases_kept_widest.{100 * s:g}": f"{most:.2f}" for s, most in widest.items()},
    }
