"""The rules by which rows give a verdict on a claim, and the words for it.

Verdicts: "reproduced", "in part", "not", and "untested", where runs that the claim needs are
missing, or cannot tell: they are of one seed, their interval is too wide, or the dense network that
is pruned is not trained out. Then a comparison with a published error, or of a pruned network with
a dense one, measures how fast a network learns. Why may follow after a colon.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from snipcore import MODELS, check_known
from sniplab.profiles import (
    ALL,
    architecture_configs,
    defaults_configs,
    initializer_configs,
    random_label_configs,
    scoring_batch_configs,
    stored,
    sweep_configs,
    table_1_configs,
)
from sniplab.runs import run_grid
from sniplab.show import counted, spanned
from sniplab.stats import paired, percent, points, summarize
from sniplab.training import PROTOCOLS

CLOSE = 0.3  # points: a number within them is the published one
LEARNED, FAILED = 10.0, 80.0  # percent of training error: at most, at least
RUINED = 10.0  # points of test error
TRAINED_OUT = 1.0  # points: a dense network within them of its published error is trained out
UNTRAINED = 40.0  # percent: a dense network that errs by more is hardly trained

ADDED = "not in the paper"  # the section of a question that it did not ask
HOLDS = {"reproduced": "holds", "in part": "holds in part", "not": "does not hold"}  # such a one
VERDICTS = ("reproduced", "in part", "not", "untested")

LEGEND = (  # of the table of claims, in the README and in notebook 0
    "Errors in percent, differences in points; ± is half of the 95 % interval over seeds, whose "
    "number is the smallest of any comparison in a line; “best of the last five” is the smallest "
    "test error over so many checkpoints, which the reference implementation reports. “Untested” "
    "means that runs are missing or of one seed, or that their interval is too wide to tell; "
    "where the error of a pruned network is compared with a published or a dense one, also that "
    f"the dense network is not trained out: it errs by more than {TRAINED_OUT:g} point above the "
    "published dense error. “Undecided” is a comparison whose interval reaches across the limit "
    "of its rule, or whose sign is not told apart. “The code's defaults”: the runs follow what "
    "the reference implementation does unless told otherwise, plain SGD at a constant rate and "
    "new weights under the mask. RN and TN draw the scored weights from a normal distribution, "
    "whole and truncated, of standard deviation 1 in every layer, before the cut; VS-X scales it "
    "with the layer's size. “Batch statistics”: scored with those of the scoring batch in place "
    "of mean 0 and variance 1. The lines “not in the paper” ask what it did not."
)

RULES = {
    "number": f"Reproduced: the whole 95 % interval lies within {CLOSE} points of the published "
    "number. In part: the mean does, or that of the best of the last five checkpoints, and the "
    f"interval is no wider than ± {CLOSE}. Not: neither, and the interval excludes the published "
    "number. Untested, for a pruned network: the dense one errs by more than "
    f"{TRAINED_OUT:g} point above its own published error.",
    "difference": "The same, for the difference pruned − dense within a seed; there is no best "
    "checkpoint.",
    "direction": "Reproduced: every comparison has the claimed sign, at q < 0.05 after the "
    "correction of Benjamini & Hochberg over what one table shows. In part: some have. Not: none "
    "has, and some have the opposite one or exclude the published difference. Untested: a "
    "comparison that the claim needs has not been made.",
    "equality": f"Reproduced: every 95 % interval lies within ± {CLOSE} points, or ± 1 where the "
    "claim says a point. In part: some do. Not: none does, and some lie wholly outside. Untested: "
    "a comparison that the claim needs has not been made, or is with a dense network that errs by "
    f"more than {TRAINED_OUT:g} point above its published error.",
    "ruin": f"Reproduced: the error is higher by at least {RUINED:g} points in every seed, or the "
    "run diverges. In part: in some. Not: in none. Untested where the network that it is compared "
    f"with errs by more than {UNTRAINED:g} %: it is hardly trained, and may only be slower.",
    "memory": f"Learned: a training error of at most {LEARNED:g} % in every seed. Failed: of at "
    f"least {FAILED:g} % in every seed, where the dense network has learned the same labels. In "
    "part: what lies between. Not: the opposite of the claim, in every seed.",
    "count": "Reproduced: all of them (networks, by the masks of every seed; of pictures all ten, "
    "at every sparsity and by both measures). In part: some. Not: none.",
}

PUBLISHED = {  # Table 1 of the paper: percent
    ("lenet-300-100", 0.0): 1.7,
    ("lenet-300-100", 0.95): 1.6,
    ("lenet-300-100", 0.98): 2.4,
    ("lenet-5-caffe", 0.0): 0.9,
    ("lenet-5-caffe", 0.98): 0.8,
    ("lenet-5-caffe", 0.99): 1.1,
}


TABLE_2 = {  # of the paper: percent, dense and pruned
    "alexnet-s": (14.12, 14.99),
    "alexnet-b": (13.92, 14.50),
    "vgg-c": (6.82, 7.27),
    "vgg-d": (6.76, 7.09),
    "vgg-like": (8.26, 8.00),
    "wrn-16-8": (6.21, 6.63),
    "wrn-16-10": (5.91, 6.43),
    "wrn-22-8": (6.14, 5.85),
    "lstm-s": (1.88, 1.57),
    "lstm-b": (1.15, 1.35),
    "gru-s": (1.87, 2.41),
    "gru-b": (1.71, 1.52),
}

FIG_1 = tuple(sparsity for sparsity in ALL if sparsity <= 0.9)  # Table 1 goes beyond

FIG_3 = {1: 1.94, 10: 1.72, 100: 1.64, 1000: 1.56, 10_000: 1.40}  # percent, by images scored on


def known_rows(profile: str, folder: Path, device: str | None = None) -> dict[str, pd.DataFrame]:
    """The rows that there are, in results/ and in `folder`, by what they are of; nothing is run."""
    sections = {
        "1_sparsity_sweep": {
            "table_1": table_1_configs(profile),
            "sweep": sweep_configs(profile),
            "defaults": defaults_configs(profile),
        },
        "2_architectures": {"architectures": architecture_configs(profile)},
        "4_data_and_initialization": {
            "scoring_batch": scoring_batch_configs(profile),
            "initializers": initializer_configs(profile),
        },
        "5_random_labels": {"random_labels": random_label_configs(profile)},
    }
    rows = {}
    for section, sets in sections.items():
        for name, configs in sets.items():
            path = folder / f"{section}.csv"
            rows[name] = run_grid(configs, path, 1, device, stored(section), train=False)
    return rows


def from_to(differences: Iterable[float]) -> str:
    """ "+0.30 to +4.02", or "+0.30" where there is no more to tell."""
    return " to ".join(dict.fromkeys((points(min(differences)), points(max(differences)))))


def fewest(table: pd.DataFrame) -> int:
    """The smallest number of pairs of a row of `paired`; 0 without any row."""
    return int(table.n.min()) if len(table) else 0


def judged(holds: Iterable[bool], fails: Iterable[bool] | None = None) -> tuple[str, str]:
    """The verdict on several comparisons, which hold, fail (if not said: do not hold), or cannot
    tell; and, of more than one, how it came about: ": 5 of 6 hold, 1 undecided"."""
    holds = np.array(list(holds), dtype=bool)
    fails = ~holds if fails is None else np.array(list(fails), dtype=bool)
    undecided = (~holds & ~fails).sum()
    how = f": {holds.sum()} of {len(holds)} hold" * (len(holds) > 1)
    how += f", {undecided} undecided" * bool(how and undecided)
    if holds.any():
        return "reproduced" if holds.all() else "in part", how
    return "not" if fails.any() else "untested", how


GROUPS = (  # what claims are about, so that no tally of dense networks hides the main result
    "pruned beside dense",
    "which connections",
    "architectures",
    "data and initialisation",
    "random labels",
    "dense networks and implementation",
)


def new_claim(
    id: str, group: str, section: str, claim: str, published: str, rule: str, runs: str, seeds: int
) -> dict:
    """A row of the table of claims, untested as yet.

    Args:
        id: names it for code, such as "cost_95.lenet-300-100"; what is printed may change.
        group: one of GROUPS.
        section: of the paper, such as "§5.2, Table 1", or ADDED.
        rule: one of RULES.
        runs: how long they were, as from `length_of`; seeds: the smallest number of any comparison.
    """
    check_known(group, GROUPS, "group of claims")
    check_known(rule, RULES, "rule")
    row = {"id": id, "group": group, "section": section, "claim": claim, "published": published}
    return row | {"rule": rule, "runs": runs, "seeds": seeds, "ours": "–", "verdict": "untested"}


def undertrained(dense_error: float, published: float) -> str:
    """Why a comparison with a published error says nothing yet: "dense network not trained out
    (16.5 %, published 8.2)"; or "" where the dense network's mean error is at most one point above
    the published dense error, both in percent."""
    if dense_error <= published + TRAINED_OUT + 1e-9:  # false for NaN, too
        return ""
    if math.isnan(dense_error):
        return "no dense network ended well"
    return f"dense network not trained out ({dense_error:.1f} %, published {published:g})"


def close(difference):
    """Whether a difference, or each of several, is within CLOSE points."""
    return abs(difference) <= CLOSE + 1e-9  # 1.1 − 0.8 is more than 0.3 to a computer


def near(ours: pd.Series, published: float, best: float = math.nan) -> str:
    """The verdict on a number beside a published one.

    Args:
        ours: a row of `summarize` or `paired`.
        best: what the reference implementation reports, the smallest test error over the last five
            checkpoints, in the mean over seeds. The smallest over all of them would be lower, and
            easier to come near by, the more often a run is tested.
    """
    away, half = abs(ours["mean"] - published), ours.half
    if ours.n < 2:
        return "untested"
    if close(away + half):
        return "in part" if ours.lost else "reproduced"
    if close(half) and (close(away) or close(best - published)):
        return "in part"
    return "not" if away > half and not close(away) else "untested"


def _published_length(model: str) -> int:
    return PROTOCOLS[MODELS[model].dataset].iterations


def _too_short(rows: pd.DataFrame) -> bool:
    """Whether any run is below half of the published length."""
    return bool((2 * rows.iterations < rows.model.map(_published_length)).any())


def length_of(rows: pd.DataFrame) -> str:
    """ "75,000 iterations", and whether they follow the reference's defaults."""
    if rows.empty:
        return "no runs yet"
    defaults = bool((rows.reinit == "vs").all())
    return f"{spanned(rows.iterations)} iterations" + ", the code's defaults" * defaults


def at(sparsity: float) -> str:
    return f"at {100 * sparsity:.0f} %" if sparsity else "dense"


def _claim(claim: str, published: str, rule: str, runs: str, seeds: int) -> dict:
    """A row of the table, untested as yet."""
    row = {"claim": claim, "published": published, "rule": rule, "runs": runs, "seeds": seeds}
    return row | {"ours": "–", "verdict": "untested"}


def number(rows: pd.DataFrame, model: str, sparsity: float) -> dict:
    """A cell of Table 1: an error of a dense network (sparsity 0) or of SNIP's."""
    rows = rows[(rows.model == model) & (rows.sparsity == sparsity)]
    published = PUBLISHED[model, sparsity]
    text = f"{MODELS[model].title}, {at(sparsity)}: {published:g} % test error"
    claim = _claim(text, f"{published:g} %", "number", length_of(rows), 0)
    if rows.empty:
        return claim
    last, best = (summarize(rows, ["model"], v).iloc[0] for v in ("error", "error_best"))
    ours = percent(last["mean"], last.half)
    if last.n:
        ours += f" (best {best['mean']:.2f})"
    if last.lost:
        ours += f" ({last.lost} of {len(rows)} lost)"
    if last["mean"] + CLOSE < published:
        ours += ", lower than published"
    verdict = "untested" if _too_short(rows) else near(last, published, best["mean"])
    return claim | {"ours": ours, "verdict": verdict, "seeds": int(last.n)}


def change(rows: pd.DataFrame, model: str, sparsity: float) -> dict:
    """What pruning costs by Table 1: SNIP minus dense, within a seed."""
    rows = rows[rows.model == model]
    published = PUBLISHED[model, sparsity] - PUBLISHED[model, 0.0]
    table = paired(rows[rows.sparsity == sparsity], rows[rows.method == "dense"], ["model"])
    text = f"{MODELS[model].title} {at(sparsity)} is as good as dense"
    claim = _claim(text, points(published), "difference", length_of(rows), int(table.n.sum()))
    if table.empty:
        return claim
    row = table.iloc[0]
    verdict = "untested" if _too_short(rows) else near(row, published)
    return claim | {"ours": row.text, "verdict": verdict}


def every_level(rows: pd.DataFrame, model: str) -> dict:
    """Fig. 1: SNIP is as good as dense at every sparsity, each of which must have been run."""
    rows = rows[rows.model == model]
    snips = rows[(rows.method == "snip") & rows.sparsity.isin(FIG_1)]
    table = paired(snips, rows[rows.method == "dense"], ["sparsity"])
    levels = spanned([100 * sparsity for sparsity in FIG_1], "{:g}")
    text = f"{MODELS[model].title} is as good as dense (± {CLOSE} points) at every sparsity of "
    text += f"Fig. 1, {levels} %"
    claim = _claim(text, "by eye", "equality", length_of(rows), fewest(table))
    there = table[table.n > 0]  # the others are lost
    if there.empty:
        return claim
    levels = spanned(100 * there.sparsity, "{:g}")
    claim["ours"] = f"{from_to(there['mean'])} at {levels} %"
    if claim["seeds"] < 2 or set(FIG_1) > set(table.sparsity) or _too_short(rows):
        return claim
    return equal(claim, table, CLOSE)


def untrained(dense: pd.DataFrame) -> pd.Index:
    """The networks of some dense runs that are hardly trained: pruned ones are not compared with
    them."""
    errors = dense.groupby("model").error.mean()
    return errors.index[errors > UNTRAINED]


def costs(rows: pd.DataFrame) -> pd.DataFrame:
    """Pruned minus dense by network, as from `paired`, but for networks that are hardly trained."""
    rows = rows[rows.norm == "running"]
    dense = rows[rows.method == "dense"]
    pruned = rows[(rows.method == "snip") & ~rows.model.isin(untrained(dense))]
    table = paired(pruned, dense, ["model"])
    return table[table.n > 0]


def between_statistics(rows: pd.DataFrame) -> pd.DataFrame:
    """Test error of networks pruned by masks of batch statistics, minus that by masks of initial
    ones, by network, as from `paired`."""
    pruned = rows[rows.method == "snip"]
    batch, initial = (pruned[pruned.norm == norm] for norm in ("batch", "running"))
    return paired(batch, initial, ["model"])


CONVOLUTIONAL, RECURRENT = "Convolutional networks", "Recurrent networks"
OTHER = "Networks that the paper did not try"


def _kind(name: str) -> str:
    """CONVOLUTIONAL or RECURRENT, of Table 2, or OTHER."""
    if name not in TABLE_2:
        return OTHER
    return RECURRENT if MODELS[name].family == "Recurrent" else CONVOLUTIONAL


def architectures(rows: pd.DataFrame, kind: str) -> dict:
    """Table 2: pruned networks are as good as dense ones, within a point. `kind`: of `_kind`."""
    rows = rows[rows.model.map(_kind) == kind]
    table = costs(rows)
    levels = [100 * m.sparsity for name, m in MODELS.items() if m.sparsity and _kind(name) == kind]
    text = f"{kind} are within a point of dense, at {spanned(levels, '{:.0f}')} %"
    theirs = [after - before for name, (before, after) in TABLE_2.items() if _kind(name) == kind]
    published = from_to(theirs) if theirs else "–"
    several = table[table.n > 1]
    judged = several if len(several) else table
    claim = _claim(text, published, "equality", length_of(rows), fewest(judged))
    if judged.empty:
        return claim
    claim["ours"] = f"{from_to(judged['mean'])} in {counted(len(judged), 'network')}"
    if len(table) > len(judged):
        claim["ours"] += f"; {len(table) - len(judged)} more of one seed"
    if _too_short(rows[rows.model.isin(judged.model)]):
        shares = rows.iterations / rows.model.map(_published_length)
        claim["ours"] += f"; {spanned(100 * shares, '{:.0f}')} % of the protocol's length"
        return claim
    return equal(claim, several, 1.0)


def equal(claim: dict, table: pd.DataFrame, tolerance: float) -> dict:
    """A claim with the verdict on differences that are to be none, and how it came about."""
    away = table["mean"].abs()
    verdict, how = judged(away + table.half < tolerance, away - table.half > tolerance)
    return claim | {"ours": claim["ours"] + how, "verdict": verdict}


def connected(layers: pd.DataFrame) -> dict:
    """§5.3: no architecture needs tuning, with any seed. `layers`: the table behind figure
    2_layers."""
    text = "Every architecture of Table 2 keeps something of every layer, without tuning"
    seeds = layers.seed.nunique() if len(layers) else 0
    claim = _claim(text, "all", "count", "scored only", seeds)
    if layers.empty:
        return claim
    whole = layers.groupby(["norm", "model"]).kept.min() > 0
    initial = whole["running"]
    asked, others = (initial[initial.index.isin(TABLE_2) == said] for said in (True, False))
    batch = whole.get("batch", initial[:0])
    batch = batch[[MODELS[name].family != "Recurrent" for name in batch.index]]
    ours = f"{asked.sum()} of {len(asked)}"
    if len(others):
        ours += f", and {others.sum()} of {counted(len(others), 'other')}"
    if len(batch):
        ours += f"; with batch statistics {batch.sum()} of the {len(batch)} that normalise"
    return claim | {"ours": ours, "verdict": judged(asked)[0]}


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
    plain, magnitude = (spanned(means[column].round(1), "{:g}") for column in means)
    ours = f"{plain} of 10 are nearest to the mean image of their own class, {magnitude} to its "
    ours += "magnitude, in which dark and bright pixels count alike; chance is 1"
    return claim | {"ours": ours, "verdict": judged((means == 10).to_numpy().ravel())[0]}


MANY, FEWER = 10_000, (1, 100)  # images


def more_images(rows: pd.DataFrame) -> pd.DataFrame:
    """Fig. 3: the error scored on MANY images minus that on FEWER, as from `paired`, corrected
    over both; the index is the smaller number, and `published` the paper's difference."""
    base = rows[rows.scoring_batch.isin(FEWER)].assign(base=lambda r: r.scoring_batch)
    many = pd.concat(rows[rows.scoring_batch == MANY].assign(base=size) for size in FEWER)
    table = paired(many, base, ["base"], ("model", "seed", "base")).set_index("base")
    return table.assign(published=[FIG_3[MANY] - FIG_3[size] for size in table.index])


def scoring_batch(rows: pd.DataFrame) -> list[dict]:
    """Fig. 3: scored on more images the error is lower."""
    claims, table = [], more_images(rows)
    for size in FEWER:
        text = f"Scored on {MANY:,} images, LeNet-300-100 errs less than on {size:,}"
        published, n = points(FIG_3[MANY] - FIG_3[size]), int(table.n.get(size, 0))
        claims.append(_claim(text, published, "direction", length_of(rows), n))
        if n:
            row = table.loc[size]
            excluded = row["mean"] - row.half > row.published
            verdict = judged([row.verdict == "lower"], [row.verdict == "higher" or excluded])[0]
            smaller = ", smaller than published" if verdict == "reproduced" and excluded else ""
            claims[-1] |= {"ours": row.text + smaller, "verdict": verdict}
    return claims


def initializers(rows: pd.DataFrame, models: tuple[str, ...]) -> dict:
    """Table 3: the initialiser of the scored weights matters little. Differences from VS-X within
    a seed."""
    rows = rows[rows.model.isin(models) & (rows.method == "snip")]
    others = rows[rows.init != "vs-x"]
    table = paired(others, rows[rows.init == "vs-x"], ["model", "init"])
    titles = " and ".join(MODELS[name].title for name in models)
    text = f"{titles}: the initialiser of the scored weights does not matter (± {CLOSE} points)"
    claim = _claim(text, "−0.03 to +0.05", "equality", length_of(rows), fewest(table))
    if table.empty:
        return claim
    claim["ours"] = f"{from_to(table['mean'])} points against VS-X"
    if claim["seeds"] < 2 or set(table.model) != set(models):
        return claim
    return equal(claim, table, CLOSE)


def ruined(rows: pd.DataFrame, model: str) -> dict:
    """Table 3: masks scored under RN or TN ruin the GRU."""
    rows = rows[(rows.model == model) & (rows.method == "snip")]
    plain = rows[rows.init == "vs-x"].set_index("seed").error.dropna()
    pairs = rows[rows.init.isin(("rn", "tn")) & rows.seed.isin(plain.index)]
    pairs = pairs[~pairs.status.str.startswith("failed")]  # by want of memory, say
    differences = pairs.error - pairs.seed.map(plain)
    text = f"{MODELS[model].title}: masks scored under RN or TN ruin it"
    seeds = int(pairs.groupby("init").size().min()) if len(pairs) else 0
    claim = _claim(text, "+45.81 and +44.68", "ruin", length_of(rows), seeds)
    if pairs.empty:
        return claim
    lost = differences.isna()
    ours = f"{from_to(differences.dropna())} points against VS-X" if not lost.all() else "–"
    ours += f", {lost.sum()} of {len(pairs)} diverged" * bool(lost.any())
    told = seeds > 1 and pairs.init.nunique() == 2 and (plain <= UNTRAINED).all()
    verdict, _ = judged(lost | (differences >= RUINED))
    return claim | {"ours": ours, "verdict": verdict if told else "untested"}


def memory(
    rows: pd.DataFrame, method: str, sparsity: float, labels: str, learned: bool, decay: float = 0.0
) -> dict:
    """§5.6, Fig. 4: LeNet-5-Caffe learns random labels by heart when dense, not when pruned."""
    rows = rows[(rows.model == "lenet-5-caffe") & (rows.labels == labels)]
    what = (rows.method == method) & (rows.sparsity == sparsity) & (rows.weight_decay == decay)
    dense = rows[(rows.method == "dense") & (rows.weight_decay == 0)].set_index("seed").train_error
    rows = rows[what]
    text = f"LeNet-5-Caffe {at(sparsity)}{' with L2' * (decay > 0)} "
    text += f"{'learns' if learned else 'fails to learn'} {labels} labels"
    published = "low loss" if learned else "high error"
    claim = _claim(text, published, "memory", length_of(rows), len(rows))
    if rows.empty:
        return claim
    errors, lost = rows.train_error, rows.train_error.isna()
    ours = "–" if lost.all() else f"{spanned(errors.dropna(), '{:.1f}')} % training error"
    ours += f" ({lost.sum()} of {len(rows)} lost)" * bool(lost.any())
    low, high = errors <= LEARNED, errors >= FAILED
    holds, fails = (low, high) if learned else (high, low)
    verdict = "reproduced" if holds.all() else "not" if fails.all() else "in part"
    # What the dense network does not learn either, no choice of connections prevents.
    able = learned or (rows.seed.map(dense) <= LEARNED).all()
    told = len(rows) > 1 and able and not lost.all()
    return claim | {"ours": ours, "verdict": verdict if told else "untested"}


TOLD = ("higher", "lower", "not told apart")  # verdicts of `paired` on several pairs
HARDLY = "both fit hardly any"  # in place of a verdict
KIND = ["labels", "network", "sparsity"]  # what a comparison of training errors is of


def usual_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs of §5.6 without weight decay, and how they are compared: the title of the `network`,
    the mean training error over the seeds (`level`), and why this tells nothing (`silent`): the
    dense network does not fit such labels in every seed, either."""
    rows = rows[rows.weight_decay == 0]
    rows = rows.assign(network=[MODELS[name].title for name in rows.model])
    dense = rows[rows.method == "dense"].groupby(["network", "labels"]).train_error
    why = {key: "" if (e <= LEARNED).all() else "dense does not fit" for key, e in dense}
    labels = zip(rows.network, rows.labels, strict=True)
    return rows.assign(
        level=rows.groupby([*KIND, "method"]).train_error.transform("mean"),
        silent=[why.get(key, "dense not run") for key in labels],
    )


def compare_memory(runs: pd.DataFrame, base: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    """Training errors of usual runs minus those of `base` with the same `on`, as from `paired`; in
    place of a verdict, why there is none: the runs are silent, or both fit hardly any labels."""
    twin = runs.join(base.set_index(on).level.rename("twin"), on=on).twin
    why = runs.silent.mask(np.minimum(runs.level, twin) >= FAILED, HARDLY)
    tables, how = [], (base, [*KIND, "method"], on, "train_error")
    for reason, part in runs.groupby(why.mask(runs.silent != "", runs.silent)):
        table = paired(part, *how)
        if len(table):
            tables.append(table.assign(q=math.nan, verdict=reason) if reason else table)
    return pd.concat(tables) if tables else paired(runs[:0], *how)


def other_choices(usual: pd.DataFrame) -> pd.DataFrame:
    """Controls minus SNIP at equal sparsity, as from `compare_memory`, but for networks that a mask
    cuts in two: they cannot learn anything."""
    cut = usual.collapsed.str.contains("no path").astype(bool)
    controls = usual[~usual.method.isin(("dense", "snip")) & ~cut]
    on = ["model", "sparsity", "labels", "seed"]
    return compare_memory(controls, usual[usual.method == "snip"], on)


def held_back(rows: pd.DataFrame) -> dict:
    """What the paper left out: whether SNIP's choice of connections, and not their number alone,
    keeps random labels from being learned by heart."""
    length = rows.groupby("model").iterations.transform("min")  # one run is also made longer
    usual = usual_runs(rows[rows.iterations == length])
    table = other_choices(usual)
    table = table[(table.labels == "random") & table.verdict.isin(TOLD)]
    text = "Other choices of as many connections learn more random labels by heart than SNIP's"
    lengths = length_of(usual[usual.network.isin(table.network)])
    claim = _claim(text, "–", "direction", lengths, fewest(table))
    if table.empty:
        return claim
    verdict, how = judged(table.verdict == "lower", table.verdict == "higher")
    ours = f"control − SNIP: {from_to(table['mean'])} points of training error in "
    ours += f"{' and '.join(table.network.unique())}{how}"
    return claim | {"ours": ours, "verdict": verdict}


BEATEN = {"random": "random pruning", "shuffled": "its own mask shuffled within layers"}


def _control(rows: pd.DataFrame, model: str, method: str) -> pd.DataFrame:
    """A control minus SNIP at equal sparsity, 90 % and above, within a seed."""
    rows = rows[(rows.model == model) & (rows.sparsity >= 0.9)]
    snips, control = (rows[rows.method == name] for name in ("snip", method))
    table = paired(control, snips, ["sparsity"], ("model", "sparsity", "seed"))
    return table.sort_values("sparsity", ignore_index=True)


def over_control(rows: pd.DataFrame, model: str, method: str) -> dict:
    """What the paper left out: SNIP against a control, one of BEATEN."""
    rows, table = rows[rows.model == model], _control(rows, model, method)
    text = f"{MODELS[model].title}, 90 % and above: SNIP beats {BEATEN[method]}"
    claim = _claim(text, "–", "direction", length_of(rows), fewest(table))
    if table.empty or (table.n < 2).any():
        return claim
    verdict, how = judged(table.verdict == "higher", table.verdict == "lower")
    ours = f"control − SNIP: {from_to(table['mean'])} points{how}"
    return claim | {"ours": ours, "verdict": verdict}


def swept(rows: Mapping[str, pd.DataFrame], model: str) -> pd.DataFrame:
    """The rows of a network's sparsity sweep: by the published protocol where the profile has one,
    else by the defaults of the reference implementation."""
    parts = [rows[part][rows[part].model == model] for part in ("sweep", "defaults")]
    return parts[0] if len(parts[0]) else parts[1]


def beyond_layers(rows: Mapping[str, pd.DataFrame], model: str) -> str:
    """Whether it matters which connections SNIP keeps, or only how many in each layer: a
    sentence. `rows` as from `known_rows`."""
    rows = swept(rows, model)
    table = _control(rows, model, "shuffled")
    if table.empty or (table.n < 2).any():
        return ""
    first, last = table.iloc[0], table.iloc[-1]
    runs = f"{counted(int(table.n.min()), 'seed')}, {length_of(rows)}"
    count = table.verdict.value_counts()
    told = [f"{word} at {count[word]}" for word in TOLD if word in count]
    return (
        f"Shuffling SNIP's mask within its layers changes the error of {MODELS[model].title} by "
        f"{first.text} points at {100 * first.sparsity:.0f} % and by {last.text} at "
        f"{100 * last.sparsity:.0f} % ({runs}; "
        f"{', '.join(told)} of {len(table)} sparsities)."
    )


def tally_of(claims: pd.DataFrame) -> str:
    """How many claims of the paper have which verdict: a sentence."""
    asked = claims.verdict[claims.section != ADDED]
    count = {word: n or "none" for word in VERDICTS for n in [(asked == word).sum()]}
    return (
        f"By the rules of the conclusion, of {len(asked)} claims of the paper "
        f"{count['reproduced']} are reproduced, {count['in part']} in part and {count['not']} not; "
        f"{count['untested']} are untested."
    )


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
    near = close(errors["mean"] - errors.sparsity.map(published))
    every = near.groupby(errors.part, sort=False).all()
    pruned = near[errors.sparsity > 0].groupby(errors.part, sort=False).all()
    dense = errors[errors.sparsity == 0].set_index("part")
    alone = []
    for part in every.index[pruned & ~every]:
        some = errors[(errors.part == part) & (errors.sparsity > 0)].sort_values("sparsity")
        both = " and ".join(percent(r["mean"], r.half)[:-2] for _, r in some.iterrows())
        dense_error = percent(dense["mean"][part], dense.half[part])
        alone.append(f"“{part}” ({both} %; dense {dense_error}; {counted(some.n.min(), 'seed')})")
    count = every.sum()
    return (
        f"Of {counted(len(every), 'change')} of the recipe, one at a time, {count or 'none'} "
        f"{'gives' if count <= 1 else 'give'} all three published errors of LeNet-300-100 within "
        f"{CLOSE} points in the mean{': ' if count else ''}{', '.join(every.index[every])}."
        + f" The two pruned errors, but not the dense one, come with {'; '.join(alone)}."
        * bool(alone)
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
    table_1, labels, trained = rows["table_1"], rows["random_labels"], rows["architectures"]
    lenets = ("lenet-300-100", "lenet-5-caffe")
    found = [("§5.1, Fig. 1", every_level(swept(rows, model), model)) for model in lenets]
    found += [("§5.2, Table 1", number(table_1, *cell)) for cell in PUBLISHED]
    for cell in (("lenet-300-100", 0.95), ("lenet-5-caffe", 0.98)):
        found.append(("§5.2, Table 1", change(table_1, *cell)))
    for kind in (CONVOLUTIONAL, RECURRENT):
        found.append(("§5.3, Table 2", architectures(trained, kind)))
    found.append(("§5.3", connected(table_behind(folder, "2_layers"))))
    hits = table_behind(folder, "3_hits")
    found += [("§5.4, Fig. 2", drawn(hits, name)) for name in ("MNIST", "Fashion-MNIST")]
    found += [("§5.5, Fig. 3", claim) for claim in scoring_batch(rows["scoring_batch"])]
    found.append(("§5.5, Table 3", initializers(rows["initializers"], lenets)))
    found.append(("§5.5, Table 3", ruined(rows["initializers"], "gru-s")))
    for cell in (
        ("dense", 0.0, "random", True),
        ("dense", 0.0, "random", True, 5e-4),
        ("snip", 0.99, "true", True),
        ("snip", 0.99, "random", False),
    ):
        found.append(("§5.6, Fig. 4", memory(labels, *cell)))
    for model in lenets:
        found += [(ADDED, over_control(swept(rows, model), model, method)) for method in BEATEN]
    found += [(ADDED, held_back(labels)), (ADDED, architectures(trained, OTHER))]
    table = pd.DataFrame([{"section": section, **claim} for section, claim in found])
    added = table.section == ADDED
    table.loc[added, "verdict"] = table.verdict[added].replace(HOLDS)
    return table[["section", "claim", "published", "ours", "verdict", "seeds", "runs", "rule"]]
