"""What the paper claims, what the rows say to it, and the rule behind each verdict.

Verdicts: "reproduced", "in part", "not", and "untested", where there are no runs, or none that
could tell: one seed only, or runs below half of the published length where a number is compared.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from snipcore import MODELS
from sniplab.figures import counted, paired, percent, points, spanned, summarize
from sniplab.grid import run_grid
from sniplab.profiles import (
    RESULTS,
    architecture_configs,
    initializer_configs,
    random_label_configs,
    scoring_batch_configs,
    sweep_configs,
    table_1_configs,
)
from sniplab.training import PROTOCOLS

CLOSE = 0.3  # points: a number within them is the published one
LEARNED, FAILED = 5.0, 50.0  # percent of training error: at most, at least

RULES = {
    "number": f"Reproduced: the mean over seeds is within {CLOSE} points of the published number, "
    f"and its 95 % interval is no wider than ± {CLOSE}. In part: only the best checkpoint is that "
    "near, or the interval is wider. Not: neither is near.",
    "difference": f"The same, for the difference pruned − dense within a seed: reproduced within "
    f"{CLOSE} points; in part where the interval holds the published difference; else not.",
    "direction": "Reproduced: every comparison has the claimed sign, at q < 0.05 after the "
    "correction of Benjamini & Hochberg. In part: some have. Not: none has.",
    "equality": f"Reproduced: every 95 % interval lies within ± {CLOSE} points, or ± 1 where the "
    "claim says a point. In part: some do. Not: none does.",
    "memory": f"Learned: a training error of at most {LEARNED:g} % in every seed. Failed: of at "
    f"least {FAILED:g} % in every seed. In part: in some seeds, or some networks.",
    "count": "Reproduced: all of them (networks; of pictures all ten, at every sparsity and by "
    "either measure). In part: some. Not: none.",
}

PUBLISHED = {  # Table 1 of the paper: percent
    ("lenet-300-100", 0.0): 1.7,
    ("lenet-300-100", 0.95): 1.6,
    ("lenet-300-100", 0.98): 2.4,
    ("lenet-5-caffe", 0.0): 0.9,
    ("lenet-5-caffe", 0.98): 0.8,
    ("lenet-5-caffe", 0.99): 1.1,
}


def known_rows(profile: str, folder: Path, device: str | None = None) -> dict[str, pd.DataFrame]:
    """The rows that there are, in results/ and in `folder`, by what they are of; nothing is run."""
    files = {
        "1_sparsity_sweep": {
            "table_1": table_1_configs(profile),
            "sweep": sweep_configs(profile),
        },
        "2_architectures": {"architectures": architecture_configs(profile)},
        "4_data_and_initialization": {
            "scoring_batch": scoring_batch_configs(profile),
            "initializers": initializer_configs(profile),
        },
        "5_random_labels": {"random_labels": random_label_configs(profile)},
    }
    rows = {}
    for file, sets in files.items():
        path, stored = folder / f"{file}.csv", RESULTS / f"{file}.csv"
        for name, configs in sets.items():
            rows[name] = run_grid(configs, path, 1, device, stored, train=False)
    return rows


def _share(holds: list[bool]) -> str:
    """The verdict on several comparisons."""
    if not holds:
        return "untested"
    return "reproduced" if all(holds) else "in part" if any(holds) else "not"


def _too_short(rows: pd.DataFrame) -> bool:
    """Whether any run is below half of the published length."""
    full = rows.model.map(lambda name: PROTOCOLS[MODELS[name].dataset].iterations)
    return bool((2 * rows.iterations < full).any())


def _length(rows: pd.DataFrame) -> str:
    return f"{spanned(rows.iterations)} iterations" if len(rows) else "no runs yet"


def _at(sparsity: float) -> str:
    return f"at {100 * sparsity:.0f} %" if sparsity else "dense"


def _claim(claim: str, published: str, rule: str, runs: str, seeds: int) -> dict:
    """A row of the table, untested as yet."""
    row = {"claim": claim, "published": published, "rule": rule, "runs": runs, "seeds": seeds}
    return row | {"ours": "–", "verdict": "untested"}


def number(rows: pd.DataFrame, model: str, sparsity: float) -> dict:
    """A cell of Table 1: an error of a dense network (sparsity 0) or of SNIP's."""
    rows = rows[(rows.model == model) & (rows.sparsity == sparsity) & (rows.status == "ok")]
    published = PUBLISHED[model, sparsity]
    text = f"{MODELS[model].title}, {_at(sparsity)}: {published:g} % test error"
    claim = _claim(text, f"{published:g} %", "number", _length(rows), rows.seed.nunique())
    if rows.empty:
        return claim
    last, best = (summarize(rows, ["model"], v).iloc[0] for v in ("error", "error_best"))
    ours = f"{percent(last['mean'], last.half)} (best {best['mean']:.2f})"
    near, sure = abs(last["mean"] - published) <= CLOSE, last.half <= CLOSE
    verdict = "reproduced" if near and sure else "in part"
    if not near and abs(best["mean"] - published) > CLOSE:
        verdict = "not"
    short = _too_short(rows) or math.isnan(last.half)
    return claim | {"ours": ours, "verdict": "untested" if short else verdict}


def change(rows: pd.DataFrame, model: str, sparsity: float) -> dict:
    """What pruning costs by Table 1: SNIP minus dense, within a seed."""
    rows = rows[rows.model == model]
    published = PUBLISHED[model, sparsity] - PUBLISHED[model, 0.0]
    table = paired(rows[rows.sparsity == sparsity], rows[rows.method == "dense"], ["model"])
    text = f"{MODELS[model].title} {_at(sparsity)} is as good as dense"
    claim = _claim(text, points(published), "difference", _length(rows), int(table.n.sum()))
    if table.empty:
        return claim
    row = table.iloc[0]
    away = abs(row["mean"] - published)
    verdict = "reproduced" if away <= CLOSE and row.half <= CLOSE else "not"
    if verdict == "not" and (away <= row.half or away <= CLOSE):
        verdict = "in part"
    short = _too_short(rows) or math.isnan(row.half)
    return claim | {"ours": row.text, "verdict": "untested" if short else verdict}


def architectures(rows: pd.DataFrame, family: str) -> dict:
    """Table 2: pruned networks as good as dense ones, within a point. `family`: "Recurrent", or
    "" for all others."""
    chosen = rows.model.map(lambda name: (MODELS[name].family == "Recurrent") == bool(family))
    rows = rows[chosen.astype(bool) & (rows.norm == "running")]
    table = paired(rows[rows.method == "snip"], rows[rows.method == "dense"], ["model"])
    names = "Recurrent" if family else "Convolutional"
    text = f"{names} networks at 90 to 97 % are within a point of dense"
    published = "−0.31 to +0.54" if family else "−0.29 to +0.87"
    seeds = int(table.n.max()) if len(table) else 0
    claim = _claim(text, published, "equality", _length(rows), seeds)
    if table.empty:
        return claim
    low, high = points(table["mean"].min()), points(table["mean"].max())
    claim["ours"] = f"{low} to {high} in {counted(len(table), 'network')}"
    tested = table[table.half.notna()]
    inside = (tested["mean"] - tested.half > -1) & (tested["mean"] + tested.half < 1)
    return claim | {"verdict": _share(list(inside))}


def connected(layers: pd.DataFrame) -> dict:
    """§5.3: no architecture needs tuning. `layers`: the table behind figure 2_layers."""
    text = "Every architecture keeps something of every layer, without tuning"
    claim = _claim(text, "all", "count", "scored only", int(len(layers) > 0))
    if layers.empty:
        return claim
    whole = layers[layers.norm == "running"].groupby("model").kept.min() > 0
    return claim | {"ours": f"{whole.sum()} of {len(whole)}", "verdict": _share(list(whole))}


def drawn(hits: pd.DataFrame, data: str) -> dict:
    """§5.4, Fig. 2: scored on one class, the first layer draws that class. `hits`: for each seed
    and sparsity how many of ten classes look most like their own mean image, and how many like its
    magnitude, in which dark and bright pixels count alike."""
    hits = hits[hits.data == data] if len(hits) else hits
    text = f"{data}: the kept connections draw the class they were scored on"
    seeds = hits.seed.nunique() if len(hits) else 0
    claim = _claim(text, "by eye", "count", "scored only", seeds)
    if hits.empty:
        return claim
    means = hits.groupby("sparsity")[["hits", "hits_magnitude"]].mean()
    plain, magnitude = (spanned(means[column], "{:.1f}") for column in means)
    ours = f"{plain} of 10 are nearest to their mean image, {magnitude} to its magnitude"
    return claim | {"ours": ours, "verdict": _share(list((means == 10).to_numpy().ravel()))}


def scoring_batch(rows: pd.DataFrame, small: int, large: int, published: float) -> dict:
    """Fig. 3: with more images in the scoring batch the error falls."""
    base = rows[rows.scoring_batch == small]
    table = paired(rows[rows.scoring_batch == large], base, ["model"])
    text = f"Scored on {large:,} images, LeNet-300-100 errs less than on {small:,}"
    claim = _claim(text, points(published), "direction", _length(rows), int(table.n.sum()))
    if table.empty:
        return claim
    verdict = _share(list(table.verdict == "lower")) if (table.n > 1).all() else "untested"
    return claim | {"ours": table.text.iloc[0], "verdict": verdict}


def initializers(rows: pd.DataFrame, models: tuple[str, ...], ruined: bool) -> dict:
    """Table 3: the initialiser of the scored weights matters little in the LeNets; RN and TN ruin
    the GRU. Differences from VS-X within a seed."""
    rows = rows[rows.model.isin(models) & (rows.method == "snip")]
    others = rows[rows.init.isin(("rn", "tn"))] if ruined else rows[rows.init != "vs-x"]
    table = paired(others, rows[rows.init == "vs-x"], ["model", "init"])
    titles = " and ".join(MODELS[name].title for name in models)
    text = "the initialiser of the scored weights does not matter"
    published, rule = "−0.03 to +0.05", "equality"
    if ruined:
        text = "masks scored under RN or TN ruin it"
        published, rule = "+44.68 and +45.81", "direction"
    seeds = int(table.n.min()) if len(table) else 0
    claim = _claim(f"{titles}: {text}", published, rule, _length(rows), seeds)
    if table.empty:
        return claim
    low, high = points(table["mean"].min()), points(table["mean"].max())
    claim["ours"] = f"{low} to {high} points against VS-X"
    if (table.n < 2).any():
        return claim
    inside = (table["mean"] - table.half > -CLOSE) & (table["mean"] + table.half < CLOSE)
    return claim | {"verdict": _share(list(table.verdict == "higher" if ruined else inside))}


def memory(
    rows: pd.DataFrame, method: str, sparsity: float, labels: str, learned: bool, decay: float = 0.0
) -> dict:
    """§5.6, Fig. 4: LeNet-5-Caffe learns random labels by heart when dense, not when pruned."""
    rows = rows[(rows.model == "lenet-5-caffe") & (rows.method == method) & (rows.status == "ok")]
    rows = rows[(rows.sparsity == sparsity) & (rows.labels == labels)]
    errors = rows[rows.weight_decay == decay].train_error
    what = _at(sparsity) + " with L2" * (decay > 0)
    text = f"LeNet-5-Caffe {what} {'learns' if learned else 'cannot learn'} {labels} labels"
    published = "low loss" if learned else "high error"
    claim = _claim(text, published, "memory", _length(rows), len(errors))
    if errors.empty:
        return claim
    ours = f"{spanned(errors, '{:.1f}')} % training error"
    holds = list(errors <= LEARNED if learned else errors >= FAILED)
    return claim | {"ours": ours, "verdict": _share(holds) if len(errors) > 1 else "untested"}


def over_random(rows: pd.DataFrame, model: str) -> dict:
    """The control that the paper left out: SNIP against random pruning, 90 % and above."""
    rows = rows[(rows.model == model) & (rows.sparsity >= 0.9)]
    on = ("model", "sparsity", "seed")
    snips, random = (rows[rows.method == method] for method in ("snip", "random"))
    table = paired(random, snips, ["sparsity"], on)
    text = f"{MODELS[model].title}, 90 % and above: SNIP beats random pruning (implied)"
    seeds = int(table.n.min()) if len(table) else 0
    claim = _claim(text, "–", "direction", _length(rows), seeds)
    if table.empty or (table.n < 2).any():
        return claim
    low, high = points(table["mean"].min()), points(table["mean"].max())
    ours = f"random pruning ends {low} to {high} points from it"
    return claim | {"ours": ours, "verdict": _share(list(table.verdict == "higher"))}


def recipes(errors: pd.DataFrame) -> str:
    """Whether LeNet-300-100 comes to its published errors by another recipe: sentences.

    Args:
        errors: the table behind figure 1_variants: part (the change), sparsity, mean and half (of
            the test error, percent), n (seeds). A change of one seed is not judged.
    """
    published = {level: e for (model, level), e in PUBLISHED.items() if model == "lenet-300-100"}
    if len(errors):
        errors = errors[(errors.part != "as published") & (errors.n > 1)]
        errors = errors.groupby("part").filter(lambda one: len(one) == len(published))
    if errors.empty:
        return "No change of its recipe has been run with several seeds yet."
    near = (errors["mean"] - errors.sparsity.map(published)).abs() <= CLOSE + 1e-9
    every = near.groupby(errors.part, sort=False).all()
    pruned = near[errors.sparsity > 0].groupby(errors.part, sort=False).all()
    dense = errors[errors.sparsity == 0].set_index("part")
    alone = [
        f"“{part}” (dense {percent(dense['mean'][part], dense.half[part])})"
        for part in every.index[pruned & ~every]
    ]
    count = every.sum()
    return (
        f"Of {counted(len(every), 'change')} of the recipe, one at a time, {count or 'none'} "
        f"{'give' if count > 1 else 'gives'} all three published errors of LeNet-300-100 within "
        f"{CLOSE} points{': ' if count else ''}{', '.join(every.index[every])}."
        + (f" SNIP's two alone come out with {'; '.join(alone)}." if alone else "")
    )


def table_behind(folder: Path, name: str) -> pd.DataFrame:
    """The table behind a figure; empty where it has not been drawn."""
    path = Path(folder) / "figures" / f"{name}.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def claims_table(rows: Mapping[str, pd.DataFrame], folder: Path) -> pd.DataFrame:
    """The table of claims.

    Args:
        rows: as from `known_rows`.
        folder: where notebooks 2 and 3 left the tables behind their figures.

    Returns:
        One row for each claim: section, claim, published, ours, verdict, seeds, runs, rule.
    """
    table_1, labels = rows["table_1"], rows["random_labels"]
    found = [("§5.1, Table 1", number(table_1, *cell)) for cell in PUBLISHED]
    for cell in (("lenet-300-100", 0.95), ("lenet-5-caffe", 0.98)):
        found.append(("abstract", change(table_1, *cell)))
    found += [("§5.1", over_random(rows["sweep"], m)) for m in ("lenet-300-100", "lenet-5-caffe")]
    found += [("§5.3, Table 2", architectures(rows["architectures"], f)) for f in ("", "Recurrent")]
    found.append(("§5.3", connected(table_behind(folder, "2_layers"))))
    hits = table_behind(folder, "3_hits")
    found += [("§5.4, Fig. 2", drawn(hits, name)) for name in ("MNIST", "Fashion-MNIST")]
    for sizes in ((1, 10_000, -0.54), (100, 10_000, -0.24)):
        found.append(("§5.5, Fig. 3", scoring_batch(rows["scoring_batch"], *sizes)))
    lenets = ("lenet-300-100", "lenet-5-caffe")
    found.append(("§5.5, Table 3", initializers(rows["initializers"], lenets, False)))
    found.append(("§5.5, Table 3", initializers(rows["initializers"], ("gru-s",), True)))
    for cell in (
        ("dense", 0.0, "random", True),
        ("dense", 0.0, "random", True, 5e-4),
        ("snip", 0.99, "true", True),
        ("snip", 0.99, "random", False),
    ):
        found.append(("§5.6, Fig. 4", memory(labels, *cell)))
    table = pd.DataFrame([{"section": section, **claim} for section, claim in found])
    return table[["section", "claim", "published", "ours", "verdict", "seeds", "runs", "rule"]]
