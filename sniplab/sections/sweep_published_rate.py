"""Table 1's LeNet-5-Caffe at the published rate, on pixels from 0 to 1.

The sweep trains it on standardised pixels, at a fifth of that rate: dense, it diverges there. The
paper says neither how pixels are scaled nor that training ever diverged.
"""

import dataclasses

import pandas as pd

from sniplab.recipe import PROTOCOLS, recipe_for
from sniplab.runs import Config
from sniplab.sections import collected
from sniplab.sections.sweep_tables import LENET_5, costs
from sniplab.stats import paired, quoted_table, summarize

BY = ["sparsity"]


@collected("published_rate")
def published_rate_plan() -> list[Config]:
    """LeNet-5-Caffe at the published rate, on pixels from 0 to 1: dense, 98 and 99 %, five
    seeds."""
    recipe = dataclasses.replace(recipe_for(LENET_5, 75_000, 75), lr=PROTOCOLS["mnist"].lr)
    return [
        Config(LENET_5, recipe, *cell, seed, inputs="unit")
        for seed in range(5)
        for cell in (("dense", 0.0), ("snip", 0.98), ("snip", 0.99))
    ]


def change(rows: pd.DataFrame, swept: pd.DataFrame) -> pd.DataFrame:
    """Error at the published rate minus that in our Table 1, within seeds, as from `paired`, by
    sparsity.

    Args:
        rows: of `published_rate_plan`; swept: of the plan of the sweep, of which LeNet-5-Caffe's
            part in Table 1 counts.
    """
    table_1 = swept[(swept.part == "table_1") & (swept.model == LENET_5)]
    return paired(rows, table_1, BY, ("sparsity", "seed"))


def values(rows: pd.DataFrame, swept: pd.DataFrame) -> dict[str, str]:
    """The numbers for prose, arguments as for `change`: "published_rate_error.98", at the last
    iteration, "published_rate_last_five.98", the best of the last five checkpoints,
    "published_rate_cost.98", SNIP − dense, and "published_rate_change.98", minus our Table 1."""
    best = summarize(rows, BY, "error_last_five")
    return {
        **quoted_table("published_rate_error", summarize(rows, BY), BY),
        **quoted_table("published_rate_last_five", best, BY),
        **quoted_table("published_rate_cost", costs(rows, "model"), BY),
        **quoted_table("published_rate_change", change(rows, swept), BY),
    }
