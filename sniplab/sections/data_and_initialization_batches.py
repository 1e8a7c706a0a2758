"""Does SNIP get worse with larger batches, for scoring and training alike?

LeNet-300-100, as many images in the scoring batch as in a step, and as many seen in all: the larger
the batch, the fewer steps. The question is that of Gong, Du & Dong (2022), Table II.
"""

import dataclasses

import matplotlib.pyplot as plt
import pandas as pd

from sniplab.recipe import recipe_for
from sniplab.runs import Config
from sniplab.sections import Plan, collected
from sniplab.show import PUBLISHED, legend_above, level
from sniplab.stats import minus_twin, paired, quoted_table, summarize
from sniplab.verdicts import collected_claim

NETWORK = "lenet-300-100"
SIZES = (50, 100, 500, 1000)  # images in a batch
IMAGES_SEEN = 7_500_000  # of a run, as by the published protocol
LOOKS = {  # by sparsity: colour, marker, and a factor of the size that sets bars side by side
    0.0: ("#000000", "s", 0.94), 0.1: ("#56b4e9", "^", 0.98),
    0.5: ("#009e73", "v", 1.02), 0.9: ("#0072b2", "o", 1.06),
}  # fmt: skip
# Table II: test errors in percent by sparsity, in the order of SIZES. Of twice as many images,
# flipped and shifted, with the best of the last ten checkpoints on the test set.
CLASS_REPORT = {
    0.1: (1.43, 1.26, 1.35, 1.50),
    0.5: (1.40, 1.32, 1.47, 1.67),
    0.9: (1.99, 2.09, 2.30, 2.62),
}
BY = ["batch_size", "sparsity"]


@collected("batches")
def batches_plan() -> list[Config]:
    """NETWORK, dense and by SNIP, at the sparsities of LOOKS in batches of SIZES, five seeds."""
    plain, configs = recipe_for(NETWORK, 75_000, 75), []
    for size in SIZES:
        recipe = dataclasses.replace(plain, batch_size=size, iterations=IMAGES_SEEN // size)
        configs += [
            Config(NETWORK, recipe, "snip" if s else "dense", s, seed, scoring_batch=size)
            for seed in range(5)
            for s in LOOKS
        ]
    return configs


def costs(rows: pd.DataFrame) -> pd.DataFrame:
    """SNIP − dense within seeds, as from `paired`, by batch_size and sparsity; `rows` of
    `batches_plan`."""
    dense = rows.method == "dense"
    return paired(rows[~dense], rows[dense], BY, ("batch_size", "seed"))


def changes(rows: pd.DataFrame, beside: int = min(SIZES), images: int = max(SIZES)) -> pd.DataFrame:
    """What SNIP costs in batches of `images` minus what it costs in those of `beside` images at the
    same seed, as from `paired`, by sparsity; `rows` of `batches_plan`."""
    dense = rows.method == "dense"
    pruned = minus_twin(rows[~dense], rows[dense], ["batch_size", "seed"])
    small, large = (pruned[pruned.batch_size == size] for size in (beside, images))
    return paired(large, small, ["sparsity"], ("sparsity", "seed"))


def draw_batches(rows: pd.DataFrame) -> plt.Figure:
    """Left errors, beside those of the class report, right what SNIP costs, by the images in a
    batch, a line for each sparsity; `rows` of `batches_plan`."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8))
    for axis, table in ((left, summarize(rows, BY)), (right, costs(rows))):
        for sparsity, (colour, marker, factor) in LOOKS.items():
            group = table[table.sparsity == sparsity].sort_values("batch_size")
            if len(group):
                style = {"color": colour, "marker": marker, "capsize": 3}
                label = level(sparsity) if sparsity else "dense"
                sizes = factor * group.batch_size
                axis.errorbar(sizes, group["mean"], group.half, label=label, **style)
        axis.set(xscale="log", xlabel="images in a batch")
        axis.set_xticks(SIZES, SIZES)
        axis.minorticks_off()
    for sparsity, errors in CLASS_REPORT.items():
        colour, _, factor = LOOKS[sparsity]
        style = PUBLISHED | {"marker": "*", "s": 90}
        left.scatter([factor * size for size in SIZES], errors, **style | {"c": colour})
    left.scatter([], [], label="class report", **style | {"c": "white"})  # of any colour
    right.axhline(0, color="black", lw=1)
    left.set_ylabel("test error (%)")
    right.set_ylabel("SNIP − dense (points)")
    legend_above(figure, 5)
    return figure


def claims(rows: pd.DataFrame, plan: Plan) -> list[dict]:
    """A row of the table of claims, untested while planned runs are missing; `rows` of
    `batches_plan`."""
    text = f"LeNet-300-100, 10 to 90 %: SNIP costs more in batches of {max(SIZES):,} images than of"
    text += f" {min(SIZES)}, for scoring and training alike"
    name, group = f"batches.{NETWORK}", "data and initialisation"
    difference = "difference of the costs"
    return [collected_claim(name, group, text, rows, plan["batches"], changes(rows), difference)]


def values(rows: pd.DataFrame) -> dict[str, str]:
    """The numbers for prose: errors ("batches_error.1000.90.mean", of the dense network
    "batches_error.1000.0.mean"), costs ("batches_cost.1000.90") and what the largest batches change
    in them beside the smallest ("batches_change.90") and batches of 100
    ("batches_change_from_100.90"), and these beside the smallest ("batches_change_to_100.90"); and
    by the images in a batch the gap from 10 to 90 % ("batches_gap.50")."""
    at_10, at_90 = (rows[rows.sparsity == sparsity] for sparsity in (0.1, 0.9))
    gaps = paired(at_90, at_10, ["batch_size"], ("batch_size", "seed"))
    return {
        **quoted_table("batches_gap", gaps, ["batch_size"]),
        **quoted_table("batches_error", summarize(rows, BY), BY),
        **quoted_table("batches_cost", costs(rows), BY),
        **quoted_table("batches_change", changes(rows), ["sparsity"]),
        **quoted_table("batches_change_from_100", changes(rows, 100), ["sparsity"]),
        **quoted_table("batches_change_to_100", changes(rows, images=100), ["sparsity"]),
    }
