"""Does the choice of connections matter in convolutional networks? Other masks beside SNIP's.

SNIP's runs are the section's own, trained once more beside the others. LeNet-300-100 is asked the
same in `sweep_methods`.
"""

from collections.abc import Mapping
from functools import lru_cache

import matplotlib.pyplot as plt
import pandas as pd
from torch import Tensor, nn

from snipcore import MODELS, build_model, load_masks
from sniplab.methods import make_masks
from sniplab.runs import Config
from sniplab.runs.config import shapes
from sniplab.sections import COMMITTED, RESULTS, Plan, architectures, collected
from sniplab.sections.architectures_costs import initial_runs
from sniplab.show import draw_forest, spanned
from sniplab.stats import paired, quoted_table
from sniplab.verdicts import collected_claim

LATER = ("synflow", "iterative-snip", "grasp", "erk", "shuffled", "random")
QUESTIONS = {  # what is claimed of a control
    "shuffled": "SNIP beats its own mask shuffled within layers",
    "random": "SNIP beats random pruning",
}
ON = ["model", "sparsity", "iterations", "seed"]  # what the runs of a pair share


@collected("methods")
def methods_plan() -> list[Config]:
    """SNIP and LATER on two networks, 12 epochs, three seeds. SNIP's are trained here once more,
    since on another machine an error may change by points."""
    networks, methods = ("alexnet-s", "squeezenet-vanilla"), ("snip", *LATER)
    runs = architectures.plan(COMMITTED, networks, methods, epochs=12, seeds=3)["trained"]
    return [config for config in runs if config.method != "dense" and config.norm == "running"]


def compared(rows: pd.DataFrame, built: pd.DataFrame | None = None) -> pd.DataFrame:
    """Each method − SNIP within seeds, as from `paired`, by model and method.

    Args:
        rows: of `methods_plan`, SNIP's among them; built: the runs whose SNIP they are compared
            with; default `rows`.
    """
    snips = rows if built is None else built
    methods, snips = rows[rows.method != "snip"], snips[snips.method == "snip"]
    return paired(methods, snips, ["model", "method"], ON)


def repeated(rows: pd.DataFrame, built: pd.DataFrame) -> pd.DataFrame:
    """What training SNIP's networks once more, on another machine, changes in their errors, as from
    `paired` by model; `rows`: of `methods_plan`; `built`: of the section's own plan."""
    return paired(rows[rows.method == "snip"], initial_runs(built), ["model"], ON)


def linear_share(model: str, masks: Mapping[str, Tensor]) -> float:
    """Percent of the kept parameters that lie in linear layers; the others are convolutions'."""
    modules = shapes(model).named_modules()
    linear = {name for name, module in modules if isinstance(module, nn.Linear)}
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    kept = sum(n for name, n in counts.items() if name.rpartition(".")[0] in linear)
    return 100 * kept / sum(counts.values())


@lru_cache
def linear_shares(model: str) -> dict[str, float]:
    """The `linear_share` of ERK, and of SNIP by its stored mask of seed 0."""
    erk = make_masks(build_model(model), "erk", MODELS[model].sparsity, None, None, seed=0)
    stored = load_masks(RESULTS / "masks" / f"{model}.npz")
    return {"erk": linear_share(model, erk), "snip": linear_share(model, stored)}


def draw_methods(table: pd.DataFrame) -> plt.Figure:
    """Each method's error minus SNIP's, a panel for each network; `table` as from `compared`."""
    models = list(dict.fromkeys(table.model))
    panels = {MODELS[model].title: table[table.model == model] for model in models}
    return draw_forest(panels, "error minus SNIP's (points)")


def claims(rows: pd.DataFrame, built: pd.DataFrame, plan: Plan) -> list[dict]:
    """A row of the table of claims for each network and each of QUESTIONS, untested while its
    planned runs, or SNIP's, are missing. `rows`: of `methods_plan`; `built` is there because the
    claims on all collected runs are called alike."""
    table, judged_claims = compared(rows), []
    for model in dict.fromkeys(config.model for config in plan["methods"]):
        for method, question in QUESTIONS.items():
            both = (method, "snip")
            configs = [c for c in plan["methods"] if c.model == model and c.method in both]
            stored = rows[(rows.model == model) & rows.method.isin(both)]
            comparisons = table[(table.model == model) & (table.method == method)]
            text = f"{MODELS[model].title} on CIFAR-10: {question}"
            name, difference = f"over_{method}.{model}", "control − SNIP"
            judged_claims.append(
                collected_claim(
                    name, "which connections", text, stored, configs, comparisons, difference
                )
            )
    return judged_claims


def values(rows: pd.DataFrame, built: pd.DataFrame) -> dict[str, str]:
    """The numbers for prose: differences ("beside_conv.alexnet-s.shuffled", with ".mean",
    ".verdict" and so on), and the percent of what a mask keeps that lies in linear layers
    ("linear_share.alexnet-s.erk"), how many layers it empties
    ("emptied.squeezenet-vanilla.synflow"), and what another machine changes in SNIP's errors
    ("trained_again.squeezenet-vanilla") and so in the differences ("beside_first.alexnet-s.erk",
    from SNIP's runs of the section's own plan)."""
    shares = linear_shares("alexnet-s")
    emptied = rows.collapsed.fillna("").str.count("weight").groupby([rows.model, rows.method])
    return {
        **quoted_table("beside_conv", compared(rows), ["model", "method"]),
        **quoted_table("beside_first", compared(rows, initial_runs(built)), ["model", "method"]),
        **quoted_table("trained_again", repeated(rows, built), ["model"]),
        **{f"linear_share.alexnet-s.{name}": f"{share:.0f}" for name, share in shares.items()},
        **{
            f"emptied.{model}.{method}": spanned(layers, "{:.0f}")
            for (model, method), layers in emptied
        },
    }
