"""Do the labels of the scoring batch matter to the trained network? SNIP on permuted labels.

LeNet-300-100 by the published protocol on two data sets. SNIP beside it is that of the sweep, and
of `sweep_fashion`, at the same seeds.

Su et al. Sanity-checking pruning methods: random tickets can win the jackpot. NeurIPS 2020,
arXiv:2009.11094, who score convolutional networks on wrong labels, and on wrong images.
"""

import matplotlib.pyplot as plt
import pandas as pd

from sniplab.recipe import recipe_for
from sniplab.runs import Config
from sniplab.sections import Plan, collected
from sniplab.show import DATA_LOOKS, DATA_TITLES
from sniplab.stats import paired, pooled, quoted_table
from sniplab.verdicts import collected_claim

NETWORK, METHOD = "lenet-300-100", "permuted-labels"
LEVELS = {"mnist": (0.9, 0.95, 0.98, 0.99), "fashion_mnist": (0.9, 0.95, 0.98)}  # SNIP's, too
SEEDS = {"mnist": 20, "fashion_mnist": 5}  # as many as SNIP has


@collected("labels")
def labels_plan() -> list[Config]:
    """METHOD on NETWORK at LEVELS, SEEDS of each data set, seed by seed."""
    recipe = recipe_for(NETWORK, 75_000, 75)
    return [
        Config(NETWORK, recipe, METHOD, sparsity, seed, dataset)
        for dataset, levels in LEVELS.items()
        for seed in range(SEEDS[dataset])
        for sparsity in levels
    ]


def snip_beside(swept: pd.DataFrame, fashion: pd.DataFrame) -> pd.DataFrame:
    """SNIP's runs on both data sets.

    Args:
        swept: of the plan of the sweep, of which those by the published protocol count; fashion: of
            `fashion_plan`.
    """
    snips = pd.concat([swept[swept.part == "sweep"], fashion], ignore_index=True)
    return snips[(snips.method == "snip") & (snips.model == NETWORK)]


def compared(rows: pd.DataFrame, swept: pd.DataFrame, fashion: pd.DataFrame) -> pd.DataFrame:
    """SNIP on permuted labels − SNIP within seeds, as from `paired`, by dataset and sparsity;
    `rows`: of `labels_plan`; `swept`, `fashion`: as for `snip_beside`."""
    snips = snip_beside(swept, fashion)
    return paired(rows, snips, ["dataset", "sparsity"], ("dataset", "sparsity", "seed"))


def draw_labels(table: pd.DataFrame) -> plt.Figure:
    """SNIP on permuted labels − SNIP by sparsity, a line for each data set; `table` as from
    `compared`."""
    figure, axis = plt.subplots(figsize=(6.5, 3.4))
    ticks = sorted(table.sparsity.unique())
    for shift, (name, (colour, marker)) in zip((-0.04, 0.04), DATA_LOOKS.items(), strict=True):
        group = table[table.dataset == name].sort_values("sparsity")
        style = {"color": colour, "marker": marker, "ms": 6, "lw": 1.5, "capsize": 3}
        x = [ticks.index(sparsity) + shift for sparsity in group.sparsity]  # side by side
        axis.errorbar(x, group["mean"], group.half, label=DATA_TITLES[name], **style)
    axis.axhline(0, color="black", lw=1)
    axis.set_xticks(range(len(ticks)), [f"{100 * sparsity:g}" for sparsity in ticks])
    axis.set(xlabel="sparsity (%)", ylabel="permuted labels − SNIP (points)")
    axis.legend(loc="upper left")
    return figure


def claims(
    rows: pd.DataFrame, swept: pd.DataFrame, fashion: pd.DataFrame, plan: Plan
) -> list[dict]:
    """A row of the table of claims for each data set, untested while its planned runs are missing;
    `rows`, `swept`, `fashion` as for `compared`."""
    table, judged_claims = compared(rows, swept, fashion), []
    for name in LEVELS:
        configs = [config for config in plan["labels"] if config.dataset == name]
        stored, pairs = (frame[frame.dataset == name] for frame in (rows, table))
        text = (
            f"LeNet-300-100 on {DATA_TITLES[name]}, 90 % and above: right labels beat permuted ones"
        )
        id, group, difference = f"labels.{name}", "which connections", "permuted − SNIP"
        judged_claims.append(collected_claim(id, group, text, stored, configs, pairs, difference))
    return judged_claims


def values(rows: pd.DataFrame, swept: pd.DataFrame, fashion: pd.DataFrame) -> dict[str, str]:
    """The differences for prose: "labels.mnist.95", with ".mean", ".verdict" and so on; in the mean
    over sparsities "pooled_labels.fashion_mnist"; and beside SNIP's shuffled mask, on MNIST,
    "labels_minus_shuffled.95"."""
    snips = snip_beside(swept, fashion)
    below_99 = pooled(rows, snips, LEVELS["fashion_mnist"], ["dataset"], ("dataset", "seed"))
    shuffled = swept[(swept.part == "sweep") & (swept.method == "shuffled")]
    on = ["model", "dataset", "sparsity", "seed"]
    beside_shuffled = paired(rows, shuffled, ["sparsity"], on)
    return {
        **quoted_table("labels", compared(rows, swept, fashion), ["dataset", "sparsity"]),
        **quoted_table("pooled_labels", below_99, ["dataset"]),
        **quoted_table("labels_minus_shuffled", beside_shuffled, ["sparsity"]),
    }
