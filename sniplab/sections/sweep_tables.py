"""The published numbers on sparsity, and the tables of our rows beside them.

Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity. ICLR 2019,
Table 1.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd

from snipcore import MODELS
from sniplab.recipe import recipe_for
from sniplab.sections import Plan, cut_in_two
from sniplab.show import level
from sniplab.stats import paired, points, summarize
from sniplab.verdicts import close

LENET_300, LENET_5 = "lenet-300-100", "lenet-5-caffe"
FULL = recipe_for(LENET_300, 75_000, 75)  # the published protocol
CONTROLS = ("shuffled", "magnitude", "random")

PUBLISHED = {  # Table 1: percent, by network and sparsity
    (LENET_300, 0.0): 1.7,
    (LENET_300, 0.95): 1.6,
    (LENET_300, 0.98): 2.4,
    (LENET_5, 0.0): 0.9,
    (LENET_5, 0.98): 0.8,
    (LENET_5, 0.99): 1.1,
}
OTHERS = pd.DataFrame(  # what Table 1 lists of methods that prune trained networks
    [
        ("LWC", LENET_300, 0.917, 1.6),
        ("LWC", LENET_5, 0.917, 0.8),
        ("DNS", LENET_300, 0.982, 2.0),
        ("DNS", LENET_5, 0.991, 0.9),
        ("LC", LENET_300, 0.99, 3.2),
        ("LC", LENET_5, 0.99, 1.1),
        ("SWS", LENET_300, 0.956, 1.9),
        ("SWS", LENET_5, 0.995, 1.0),
        ("SVD", LENET_300, 0.985, 1.9),
        ("SVD", LENET_5, 0.996, 0.8),
        ("OBD", LENET_300, 0.92, 2.0),
        ("OBD", LENET_5, 0.92, 2.7),
        ("L-OBS", LENET_300, 0.985, 2.0),
        ("L-OBS", LENET_5, 0.99, 2.1),
    ],
    columns=["method", "model", "sparsity", "error"],
)

UNCHANGED = "unchanged"
VARIANT = "variant: "  # begins the names of these parts of the plan

ENDING = {"sweep": "", "defaults": ", defaults"}  # of a curve's name, by part
BY = ["model", "sparsity"]


def title(model: str) -> str:
    return MODELS[model].title


def curve_name(model: str, part: str) -> str:
    """A network by the published protocol, or by the reference's defaults."""
    return title(model) + ENDING[part]


def curves_shown(plan: Plan, part: str) -> dict[str, str]:
    """The curves of a part, by name, each with its network."""
    models = dict.fromkeys(config.model for config in plan[part])
    return {curve_name(model, part): model for model in models}


def control_curves(plan: Plan) -> list[str]:
    """One curve for each network, that by which its controls are judged."""
    models = dict.fromkeys(config.model for part in ENDING for config in plan[part])
    return [curve_name(model, main_part(plan, model, CONTROLS)) for model in models]


def main_part(plan: Plan, model: str, methods: Collection[str] = ("snip",)) -> str:
    """The part by which some methods in a network are judged: the published protocol's where the
    plan has runs of them, else that of the defaults of the reference implementation."""
    planned = any(c.model == model and c.method in methods for c in plan["sweep"])
    return "sweep" if planned else "defaults"


def with_curves(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the `curve` that they are on, or the title of their network."""
    titles = rows.model.map({name: spec.title for name, spec in MODELS.items()})
    curve = (titles + rows.part.map(ENDING)).fillna(titles)
    return rows.assign(curve=curve)


def swept_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the curves."""
    return rows[rows.part.isin(list(ENDING))]


def protocol_rows(swept: pd.DataFrame) -> pd.DataFrame:
    """Of the plan of the sweep, the runs of LeNet-300-100 by the published protocol."""
    return swept[(swept.part == "sweep") & (swept.model == LENET_300)]


def costs(rows: pd.DataFrame, per: str = "curve") -> pd.DataFrame:
    """SNIP − dense at every sparsity within seeds, as from `paired`, for each `per`."""
    pruned, dense = (rows[rows.method == method] for method in ("snip", "dense"))
    table = paired(pruned, dense, [per, "sparsity"], (per, "seed"))
    return table.sort_values([per, "sparsity"], ignore_index=True)


def controls(rows: pd.DataFrame) -> pd.DataFrame:
    """Each control − SNIP at equal sparsity within seeds, as from `paired`, along each curve."""
    along = ["curve", "sparsity"]
    snips = rows[rows.method == "snip"]
    control_rows = rows[~rows.method.isin(("dense", "snip"))]
    table = paired(control_rows, snips, [*along, "method"], (*along, "seed"))
    return table.sort_values([*along, "method"], ignore_index=True)


def severed(rows: pd.DataFrame) -> set[tuple[str, float, str]]:
    """Curve, sparsity and method of masks that leave no path from input to output."""
    cut = rows[cut_in_two(rows)]
    return set(zip(cut.curve, cut.sparsity, cut.method, strict=True))


def published_table() -> pd.DataFrame:
    """Table 1's own cells: method ("SNIP" or "reference"), model, sparsity, error (percent)."""
    cells = [("SNIP" if s else "reference", model, s, e) for (model, s), e in PUBLISHED.items()]
    return pd.DataFrame(cells, columns=OTHERS.columns)


def beside_published(rows: pd.DataFrame) -> pd.DataFrame:
    """Our errors of the published cells, at the last iteration and the best of the last five
    checkpoints, which the reference implementation reports; whether each is `near` the published
    `error`; and what pruning costs, ours (`cost`) and `published`, in points."""
    rows = rows[rows.method.isin(["dense", "snip"])]
    last, best = summarize(rows, BY), summarize(rows, BY, "error_last_five")
    cells = published_table().merge(last, "left", on=BY)
    cells = cells.merge(best[[*BY, "mean", "text"]], "left", on=BY, suffixes=("", "_best"))
    cells["n"] = cells.n.fillna(0).astype(int)
    agreement = close(cells[["mean", "mean_best"]].sub(cells.error, axis=0))
    cells["near"] = np.select(
        [cells.n == 0, agreement.all(axis=1), agreement["mean"], agreement.mean_best],
        ["not run yet", "both", "last iteration", "best of last five"],
        "neither",
    )
    cost = published_costs(rows).rename(columns={"text": "cost"})
    return cells.merge(cost[[*BY, "cost", "published"]], "left", on=BY)


def published_costs(rows: pd.DataFrame) -> pd.DataFrame:
    """SNIP − dense in the published cells, as from `costs`, beside the `published` difference."""
    theirs = published_table()
    dense = theirs[theirs.sparsity == 0].set_index("model").error
    theirs = theirs.assign(published=theirs.error - theirs.model.map(dense))
    return costs(rows, "model").merge(theirs[[*BY, "published"]], "left")


HEADLINE = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)  # sparsities of the tables that are shown


def shown_pairs(pairs: pd.DataFrame, curves: Collection[str]) -> dict:
    """What `Section.table` shows of paired differences along curves: the headline sparsities."""
    lines = pairs[pairs.curve.isin(list(curves)) & pairs.sparsity.isin(HEADLINE)]
    names = {"curve": "network", "text": "points", "n": "pairs"}
    lines = lines[["curve", "sparsity", "text", "n", "verdict"]].rename(columns=names)
    return {"shown": lines, "form": {"sparsity": level}}


def published_text(cells: pd.DataFrame) -> pd.DataFrame:
    """`beside_published` as it is shown."""
    lines = cells[cells.n > 0]
    return pd.DataFrame(
        {
            "network": lines.model.map(title),
            "sparsity": lines.sparsity.map(level),
            "published": lines.error.map("{:.1f}".format),
            "ours, last iteration": lines.text,
            "ours, best of the last five": lines.text_best,
            "cost, published": lines.published.map(points),
            "cost, ours": lines.cost,
            "seeds": lines.n,
        }
    )


def variants_of(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the variants, with the name of the change alone as their part."""
    variants = rows[rows.part.str.startswith(VARIANT)]
    return variants.assign(part=variants.part.str.removeprefix(VARIANT))


def variant_costs(rows: pd.DataFrame) -> pd.DataFrame:
    """SNIP − dense within each variant and seed, as from `paired`, where the network learns."""
    table = costs(rows, "part")
    return table[~table.part.isin(guessing(summarize(rows, ["part", "sparsity"])).part)]


def guessing(errors: pd.DataFrame) -> pd.DataFrame:
    """Those of a summary's rows that hardly do better than chance among ten classes."""
    return errors[errors["mean"] > 80]  # percent


def recipes_near(rows: pd.DataFrame) -> pd.DataFrame:
    """Which variants of several seeds come to the published errors of LeNet-300-100 in the mean:
    `part`, `all` three within CLOSE points, `pruned`: the two pruned ones."""
    published = {s: error for (model, s), error in PUBLISHED.items() if model == LENET_300}
    errors = summarize(rows, ["part", "sparsity"])
    errors = errors[(errors.part != UNCHANGED) & (errors.n > 1)]
    errors = errors.groupby("part").filter(lambda group: len(group) == len(published))
    agreement = close(errors["mean"] - errors.sparsity.map(published)).astype(bool)
    every = agreement.groupby(errors.part, sort=False).all()
    pruned = agreement[errors.sparsity > 0].groupby(errors.part, sort=False).all()
    return pd.DataFrame({"all": every, "pruned": pruned}).rename_axis("part").reset_index()


def cut_masks(rows: pd.DataFrame) -> pd.DataFrame:
    """Masks that keep nothing of a weight tensor, or leave no path: what is cut, in how many runs,
    their mean error; networks by title."""
    apart = ["model", "iterations", "method", "sparsity", "collapsed"]
    runs = rows.drop_duplicates(["run", "data"])  # of a run in two parts one
    runs = runs.assign(model=runs.model.map(title))
    cut = runs[runs.collapsed != ""].groupby(apart, sort=False)
    table = cut.agg(runs=("seed", "size"), error=("error", "mean")).reset_index()
    return table.rename(columns={"model": "network", "collapsed": "lost"})


STARTED = {  # initialiser and scale of the pixels: how a trial begins
    ("vs", "standard"): "as the reference",
    ("vs-x", "standard"): "Glorot's weights",
    ("vs", "unit"): "pixels from 0 to 1",
}
TRIAL = ["sparsity", "momentum", "start", "lr"]


def lost_trials(rows: pd.DataFrame) -> pd.DataFrame:
    """How many of the trials of `rates_plan` diverge by TRIAL: "7 of 10"."""
    starts = [STARTED[i] for i in zip(rows.init, rows.inputs, strict=True)]
    rates = summarize(rows.assign(start=starts), TRIAL)
    diverged = [f"{row.lost} of {row.lost + row.n}" for row in rates.itertuples()]
    return rates[TRIAL].assign(sparsity=rates.sparsity.map(level), diverged=diverged)
