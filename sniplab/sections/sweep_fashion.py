"""Does SNIP cost more on harder data? LeNet-300-100 on Fashion-MNIST beside MNIST.

The runs on MNIST are those of the sweep, by the same protocol. The question is that of Gong, Du &
Dong (2022), who asked it of KMNIST.
"""

import matplotlib.pyplot as plt
import pandas as pd

from sniplab.runs import Config
from sniplab.sections import Plan, collected
from sniplab.sections.sweep_figures import sparsity_axis
from sniplab.sections.sweep_tables import FULL, LENET_300, costs, protocol_rows
from sniplab.show import DATA_LOOKS, DATA_TITLES
from sniplab.stats import minus_twin, paired, quoted_table, summarize
from sniplab.verdicts import collected_claim


@collected("fashion")
def fashion_plan() -> list[Config]:
    """LeNet-300-100 on Fashion-MNIST, dense and SNIP, five seeds, by the published protocol."""
    cells = [("dense", 0.0), *(("snip", s) for s in (0.5, 0.7, 0.8, 0.9, 0.95, 0.98))]
    return [
        Config(LENET_300, FULL, *cell, seed, "fashion_mnist") for seed in range(5) for cell in cells
    ]


def on_both(rows: pd.DataFrame, swept: pd.DataFrame) -> pd.DataFrame:
    """Runs on both data sets, dense and by SNIP, at the sparsities that both have.

    Args:
        rows: of `fashion_plan`; swept: of the plan of the sweep, of which those on MNIST by the
            published protocol count.
    """
    mnist = protocol_rows(swept)[lambda table: table.dataset == "mnist"]
    mnist = mnist[mnist.method.isin(["dense", "snip"]) & mnist.sparsity.isin(rows.sparsity)]
    return pd.concat([mnist, rows], ignore_index=True)


def harder(runs: pd.DataFrame) -> pd.DataFrame:
    """What SNIP costs on Fashion-MNIST minus what it costs on MNIST at the same seed, as from
    `paired`, by sparsity."""
    dense, pruned = (runs[runs.method == method] for method in ("dense", "snip"))
    pruned = minus_twin(pruned, dense, ["dataset", "seed"])
    fashion, mnist = (pruned[pruned.dataset == name] for name in ("fashion_mnist", "mnist"))
    return paired(fashion, mnist, ["sparsity"], ("sparsity", "seed"))


def draw_costs(table: pd.DataFrame) -> plt.Figure:
    """What SNIP costs by sparsity, a line for each data set; `table` as from `costs`."""
    figure, axis = plt.subplots(figsize=(6.5, 3.4))
    for name, (colour, marker) in DATA_LOOKS.items():
        group = table[table.dataset == name]
        style = {"color": colour, "marker": marker, "ms": 6, "lw": 1.5, "capsize": 3}
        axis.errorbar(
            100 - 100 * group.sparsity, group["mean"], group.half, label=DATA_TITLES[name], **style
        )
    axis.axhline(0, color="black", lw=1)
    sparsity_axis(axis)
    axis.set(xlim=(60, 1.6), ylabel="SNIP − dense (points)")
    axis.legend(loc="upper left")
    return figure


def claims(rows: pd.DataFrame, swept: pd.DataFrame, plan: Plan) -> list[dict]:
    """A row of the table of claims, untested while planned runs are missing; `rows`, `swept` as for
    `on_both`."""
    text = "LeNet-300-100, 50 to 98 %: SNIP costs more on Fashion-MNIST than on MNIST"
    table, difference = harder(on_both(rows, swept)), "difference of the costs"
    name, group = f"harder.{LENET_300}", "pruned beside dense"
    return [collected_claim(name, group, text, rows, plan["fashion"], table, difference)]


def values(rows: pd.DataFrame, swept: pd.DataFrame) -> dict[str, str]:
    """The numbers for prose: errors ("fashion_error.0.mean" of the dense network), costs
    ("fashion_cost.95") and how they differ from those on MNIST ("harder.95")."""
    runs = on_both(rows, swept)
    cost = costs(runs, "dataset")
    return {
        **quoted_table("fashion_error", summarize(rows, ["sparsity"]), ["sparsity"]),
        **quoted_table("fashion_cost", cost[cost.dataset == "fashion_mnist"], ["sparsity"]),
        **quoted_table("harder", harder(runs), ["sparsity"]),
    }
