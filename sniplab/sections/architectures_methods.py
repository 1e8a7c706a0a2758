"""Does the choice of connections matter in convolutional networks? Other masks beside SNIP's.

The runs are those of `architectures_collected.methods_plan`; SNIP's, of the same length and seeds,
are the section's own. LeNet-300-100 is asked the same in `sweep_methods`.
"""

import matplotlib.pyplot as plt
import pandas as pd

from snipcore import MODELS
from sniplab.methods import METHODS
from sniplab.sections import Plan
from sniplab.sections.architectures_costs import initial_runs
from sniplab.stats import paired, quoted_table
from sniplab.verdicts import collected_claim

QUESTIONS = {  # what is claimed of a control
    "shuffled": "SNIP beats its own mask shuffled within layers",
    "random": "SNIP beats random pruning",
}


def compared(rows: pd.DataFrame, built: pd.DataFrame) -> pd.DataFrame:
    """Each method − SNIP within seeds, as from `paired`, by model and method.

    Args:
        rows: of `methods_plan`; built: of the section's own plan.
    """
    on = ("model", "sparsity", "iterations", "seed")
    return paired(rows, initial_runs(built), ["model", "method"], on)


def draw_methods(table: pd.DataFrame) -> plt.Figure:
    """Each method's error minus SNIP's, a panel for each network; hollow where undecided.
    `table` as from `compared`."""
    models = list(dict.fromkeys(table.model)) or [""]
    names = [name for name in METHODS if (table.method == name).any()]
    size = (1.5 + 3.5 * len(models), 1.1 + 0.35 * max(1, len(names)))
    figure, axes = plt.subplots(1, len(models), figsize=size, sharey=True, squeeze=False)
    for axis, model in zip(axes.flat, models, strict=True):
        for row in table[table.model == model].itertuples():
            method = METHODS[row.method]
            apart = row.verdict in ("higher", "lower")
            look = {"color": method.colour, "ms": 7, "capsize": 3}
            look["mfc"] = method.colour if apart else "white"
            half = 0 if pd.isna(row.half) else row.half
            axis.errorbar(row.mean, names.index(row.method), xerr=half, fmt=method.marker, **look)
        axis.axvline(0, color="black", lw=1)
        axis.set(xlabel="error minus SNIP's (points)", title=MODELS[model].title if model else "")
        axis.set_yticks(range(len(names)), [METHODS[name].label for name in names])
        axis.set_ylim(max(1, len(names)) - 0.5, -0.5)
    return figure


def claims(rows: pd.DataFrame, built: pd.DataFrame, plan: Plan) -> list[dict]:
    """A row of the table of claims for each network and each of QUESTIONS, untested while its
    planned runs are missing; `rows`, `built` as for `compared`."""
    table, found = compared(rows, built), []
    for model in dict.fromkeys(config.model for config in plan["methods"]):
        for method, question in QUESTIONS.items():
            configs = [c for c in plan["methods"] if (c.model, c.method) == (model, method)]
            there, some = (of[(of.model == model) & (of.method == method)] for of in (rows, table))
            text = f"{MODELS[model].title} on CIFAR-10: {question}"
            name, difference = f"over_{method}.{model}", "control − SNIP"
            found.append(
                collected_claim(name, "which connections", text, there, configs, some, difference)
            )
    return found


def values(rows: pd.DataFrame, built: pd.DataFrame) -> dict[str, str]:
    """The differences for prose: "beside_conv.alexnet-s.shuffled", with ".mean", ".verdict" and so
    on."""
    return quoted_table("beside_conv", compared(rows, built), ["model", "method"])
