"""§5.5: the published numbers of Fig. 3 and Table 3, and differences of our errors in a seed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.stats

from sniplab.stats import paired

NETWORK = "lenet-300-100"  # of Fig. 3
LENETS = ("lenet-300-100", "lenet-5-caffe")
GRU = "gru-s"
INITS = {"rn": "RN", "tn": "TN", "vs-x": "VS-X", "vs-h": "VS-H"}  # of Table 3; as it names them
PLAIN = "vs-x"  # what the others are compared with; all train weights that are drawn from it


@dataclass(frozen=True)
class Gates:
    """What the biases of a recurrent network's gates start at."""

    scored: float
    trained: float


# ---------------------------------------------------------------------------- what was published

FIG_3 = {1: 1.94, 10: 1.72, 100: 1.64, 1000: 1.56, 10_000: 1.40}  # percent, by images scored on
PUBLISHED_RUNS = 20  # of each cell of Table 3
TABLE_3 = {  # percent: mean and standard deviation
    "lenet-300-100": {
        "rn": (1.90, 0.09),
        "tn": (1.96, 0.11),
        "vs-x": (1.91, 0.10),
        "vs-h": (1.88, 0.10),
    },
    "lenet-5-caffe": {
        "rn": (0.89, 0.04),
        "tn": (0.87, 0.05),
        "vs-x": (0.88, 0.07),
        "vs-h": (0.85, 0.05),
    },
    "lstm-s": {"rn": (2.93, 0.20), "tn": (3.03, 0.17), "vs-x": (1.48, 0.09), "vs-h": (1.47, 0.08)},
    "gru-s": {
        "rn": (47.61, 20.49),
        "tn": (46.48, 22.25),
        "vs-x": (1.80, 0.10),
        "vs-h": (1.80, 0.14),
    },
}


def published_table_3() -> pd.DataFrame:
    """Table 3 for MNIST by model and init: mean and std of the error (percent), and minus VS-X's:
    the difference and half of its 95 % interval (points), as if the runs were independent."""
    cells = {(model, init): cell for model, row in TABLE_3.items() for init, cell in row.items()}
    table = pd.DataFrame.from_dict(cells, orient="index", columns=["mean", "std"])
    table.index = pd.MultiIndex.from_tuples(table.index, names=["model", "init"])
    plain = table.xs(PLAIN, level="init").reindex(table.index.get_level_values("model"))
    table["difference"] = table["mean"] - plain["mean"].to_numpy()
    t = 2.09  # Student's, of PUBLISHED_RUNS
    both = table["std"] ** 2 + plain["std"].to_numpy() ** 2
    table["half"] = t * np.sqrt(both / PUBLISHED_RUNS)
    return table


# ------------------------------------------------------------------- differences within a seed


def of_part(rows: pd.DataFrame, part: str) -> pd.DataFrame:
    """The rows of one part of the plan."""
    return rows[rows.part == part]


def scored_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs of Table 3: SNIP's masks, by initialiser."""
    started = of_part(rows, "initializers")
    return started[started.method == "snip"]


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """A table put together of several from `paired`: q and verdict anew, corrected over all of its
    rows, since a family is what one table shows (Benjamini & Hochberg, 1995)."""
    table, tested = table.copy(), table.p.notna()
    if tested.any():
        table.loc[tested, "q"] = scipy.stats.false_discovery_control(table.p[tested])
    table.loc[tested, "verdict"] = "undecided"
    table.loc[tested & (table.q < 0.05) & (table["mean"] > 0), "verdict"] = "higher"
    table.loc[tested & (table.q < 0.05) & (table["mean"] < 0), "verdict"] = "lower"
    return table


MANY = 10_000  # images
BASES = (0, 100)  # scoring batches that all others are compared with; 0: the whole train split


def batch_differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Error of the runs scored on `scoring_batch` images minus that of `minus` images, as from
    `paired` but corrected over all rows; `published`: the same by Fig. 3 where it has both.

    Every other batch minus each of BASES, and MANY minus 1. (The one base minus the other stands
    here twice, with opposite signs.)
    """
    batches = of_part(rows, "scoring_batch")
    tables = []
    for base in BASES:
        which = batches.scoring_batch == base
        table = paired(batches[~which], batches[which], ["scoring_batch"])
        published = table.scoring_batch.map(FIG_3) - FIG_3.get(base, np.nan)
        tables.append(table.assign(published=published, minus=base))
    many, one = (batches[batches.scoring_batch == size] for size in (MANY, 1))
    table = paired(many, one, ["scoring_batch"])
    tables.append(table.assign(published=FIG_3[MANY] - FIG_3[1], minus=1))
    filled = [table for table in tables if len(table)] or tables[:1]  # empty ones have no types
    return corrected(pd.concat(filled, ignore_index=True))


def initializer_differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Error by network and initialiser minus that of VS-X, as from `paired`; `published` and
    `published_half`: by Table 3."""
    scored = scored_rows(rows)
    plain = scored.init == PLAIN
    table = paired(scored[~plain], scored[plain], ["model", "init"])
    theirs = published_table_3()
    cells = list(zip(table.model, table.init, strict=True))
    table["published"] = [theirs.difference[cell] for cell in cells]
    table["published_half"] = [theirs.half[cell] for cell in cells]
    return table


def shuffle_differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Error of GRU under shuffled masks minus that under SNIP's own, by initialiser."""
    started = of_part(rows, "initializers")
    shuffled = started[started.method == "shuffled"]
    return paired(shuffled, scored_rows(rows), ["init"], on=("model", "init", "seed"))


@dataclass(frozen=True)
class Step:
    """A change of where the biases of the gates start."""

    name: str
    new: Gates
    old: Gates


STEPS = {
    "scored": Step("mask scored at 1, not 0", Gates(1.0, 0.0), Gates(0.0, 0.0)),
    "trained": Step("kept biases trained from 1, not 0", Gates(1.0, 1.0), Gates(1.0, 0.0)),
    "both": Step("both", Gates(1.0, 1.0), Gates(0.0, 0.0)),
}


def gate_steps(rows: pd.DataFrame) -> pd.DataFrame:
    """What each of STEPS changes in the error of GRU, by step and initialiser, as from `paired`."""
    gated = of_part(rows, "gates")

    def begun(at: Gates, step: Step) -> pd.DataFrame:
        which = (gated.gates == at.scored) & (gated.reinit_gates == at.trained)
        return gated[which].assign(step=step.name)

    new = pd.concat([begun(step.new, step) for step in STEPS.values()])
    old = pd.concat([begun(step.old, step) for step in STEPS.values()])
    return paired(new, old, ["step", "init"], on=("step", "init", "seed"))


def gates_beside_plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Error of GRU under RN and TN minus that under VS-X, by where the biases of the gates start
    (`gates`, `reinit_gates`), as from `paired`."""
    gated = of_part(rows, "gates")
    plain, at = gated.init == PLAIN, ["gates", "reinit_gates"]
    return paired(gated[~plain], gated[plain], [*at, "init"], on=(*at, "seed"))
