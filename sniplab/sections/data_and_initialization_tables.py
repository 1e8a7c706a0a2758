"""§5.5: the published numbers of Fig. 3 and Table 3, differences of our errors within a seed, and
the tables of both.

Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity. ICLR 2019.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from snipcore import MODELS
from sniplab.sections.data_and_initialization_masks import (
    batch_names,
    mean_overlaps,
    mean_shares,
    picture_correlations,
    recurrent_cells,
)
from sniplab.stats import corrected, paired, points, summarize

NETWORK = "lenet-300-100"  # of Fig. 3
LENETS = ("lenet-300-100", "lenet-5-caffe")
LSTM, GRU = "lstm-s", "gru-s"
INITS = {"rn": "RN", "tn": "TN", "vs-x": "VS-X", "vs-h": "VS-H"}  # of Table 3; as it names them
PLAIN = "vs-x"  # what the others are compared with; all train weights that are drawn from it


# ---------------------------------------------------------------------------- what was published

FIG_3 = {1: 1.94, 10: 1.72, 100: 1.64, 1000: 1.56, 10_000: 1.40}  # percent, by images scored on
TABLE_3 = {  # percent: mean and standard deviation of 20 runs, in the order of INITS
    "lenet-300-100": ((1.90, 0.09), (1.96, 0.11), (1.91, 0.10), (1.88, 0.10)),
    "lenet-5-caffe": ((0.89, 0.04), (0.87, 0.05), (0.88, 0.07), (0.85, 0.05)),
    "lstm-s": ((2.93, 0.20), (3.03, 0.17), (1.48, 0.09), (1.47, 0.08)),
    "gru-s": ((47.61, 20.49), (46.48, 22.25), (1.80, 0.10), (1.80, 0.14)),
}


def published_table_3() -> pd.DataFrame:
    """Table 3 for MNIST by model and init: mean and std of the error (percent), and minus VS-X's:
    the difference (points)."""
    cells = pd.MultiIndex.from_product([TABLE_3, INITS], names=["model", "init"])
    numbers = [cell for row in TABLE_3.values() for cell in row]
    table = pd.DataFrame(numbers, cells, columns=["mean", "std"])
    plain = table["mean"].xs(PLAIN, level="init").reindex(cells.get_level_values("model"))
    return table.assign(difference=table["mean"] - plain.to_numpy())


# ------------------------------------------------------------------- differences within a seed


def scored_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs of Table 3: SNIP's masks, by initialiser."""
    started = rows[rows.part == "initializers"]
    return started[started.method == "snip"]


MANY = 10_000  # images
BASES = (0, 100)  # scoring batches that all others are compared with; 0: the whole train split


def batch_differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Error of the runs scored on `scoring_batch` images minus that of `minus` images, as from
    `paired` but corrected over all rows; `published`: the same by Fig. 3 where it has both.

    Every other batch minus each of BASES, and MANY minus 1. (The one base minus the other stands
    here twice, with opposite signs.)
    """
    batches = rows[rows.part == "scoring_batch"]
    tables = []
    for base in BASES:
        baseline = batches.scoring_batch == base
        table = paired(batches[~baseline], batches[baseline], ["scoring_batch"])
        published = table.scoring_batch.map(FIG_3) - FIG_3.get(base, np.nan)
        tables.append(table.assign(published=published, minus=base))
    many_images, one_image = (batches[batches.scoring_batch == size] for size in (MANY, 1))
    table = paired(many_images, one_image, ["scoring_batch"])
    tables.append(table.assign(published=FIG_3[MANY] - FIG_3[1], minus=1))
    filled = [table for table in tables if len(table)] or tables[:1]  # empty ones have no types
    return corrected(pd.concat(filled, ignore_index=True))


def initializer_differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Error by network and initialiser minus that of VS-X, as from `paired`; `published`: by
    Table 3."""
    scored = scored_rows(rows)
    plain = scored.init == PLAIN
    table = paired(scored[~plain], scored[plain], ["model", "init"])
    theirs = published_table_3().difference
    cells = zip(table.model, table.init, strict=True)
    return table.assign(published=[theirs[cell] for cell in cells])


def shuffle_differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Error of GRU under shuffled masks minus that under SNIP's own, by initialiser."""
    started = rows[rows.part == "initializers"]
    shuffled = started[started.method == "shuffled"]
    return paired(shuffled, scored_rows(rows), ["init"], on=("model", "init", "seed"))


def gate_differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Error of GRU with gate biases that start at 1 minus that with biases at 0, scored and trained
    alike, by initialiser, as from `paired`."""
    gated = rows[rows.part == "gates"]
    alike = gated[gated.gates == gated.reinit_gates]
    return paired(alike[alike.gates == 1], alike[alike.gates == 0], ["init"], ("init", "seed"))


def gate_harms(rows: pd.DataFrame) -> pd.DataFrame:
    """Error of GRU by initialiser minus that under VS-X, scored and trained with gate biases that
    start alike, at 0 (so that every mask prunes them) or at 1; as from `paired`, by gates and
    init."""
    gated = rows[rows.part == "gates"].astype({"gates": int})
    alike = gated[gated.gates == gated.reinit_gates]
    plain = alike.init == PLAIN
    return paired(alike[~plain], alike[plain], ["gates", "init"], ("gates", "seed"))


# ------------------------------------------------------------------------------------- the tables


def batch_summary(rows: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """By scoring batch: its `name`; the error as from `summarize`, and as `published`; the overlap
    with the whole split's mask and its half-width; r of the picture with the mean image; and the
    error minus that of 100 images, from `batch_differences`, in columns `difference…`."""
    names, overlaps = batch_names(tables), mean_overlaps(tables["overlaps"])
    table = summarize(rows[rows.part == "scoring_batch"], ["scoring_batch"])
    table = table.set_index("scoring_batch").reindex(pd.Index(names, name="scoring_batch"))
    table = table.fillna({"text": "–", "n": 0, "lost": 0})
    differences = batch_differences(rows)
    beside = differences[differences.minus == 100].set_index("scoring_batch")
    return table.assign(
        name=list(names.values()),
        published=[FIG_3.get(size, np.nan) for size in names],
        overlap=overlaps["mean"],
        overlap_half=overlaps.half,
        r=picture_correlations(tables),
        difference=beside["mean"].astype(float),
        difference_half=beside.half.astype(float),
        difference_text=beside.text,
        difference_verdict=beside.verdict,
        difference_published=beside.published.astype(float),
    ).reset_index()


def batch_text(summary: pd.DataFrame) -> pd.DataFrame:
    """`batch_summary` as it is shown."""
    return pd.DataFrame(
        {
            "images": summary.name,
            "error (%)": summary.text,
            "paper (%)": summary.published,
            "minus 100 images (points)": summary.difference_text,
            "paper (points)": summary.difference_published.map(points),
            "verdict": summary.difference_verdict,
            "overlap with all images": summary.overlap,
            "r with the mean image": summary.r,
        }
    )


def initializer_text(rows: pd.DataFrame) -> pd.DataFrame:
    """Table 3, ours beside the published, as it is shown."""
    errors = summarize(scored_rows(rows), ["model", "init"])
    table = errors.merge(
        initializer_differences(rows), "left", on=["model", "init"], suffixes=("", "_minus")
    )
    theirs = published_table_3()
    cells = list(zip(table.model, table.init, strict=True))
    return pd.DataFrame(
        {
            "network": [MODELS[model].title for model, _ in cells],
            "scored with": [INITS[init] for _, init in cells],
            "error (%)": table.text,
            "paper (%)": [theirs["mean"][cell] for cell in cells],
            "minus VS-X (points)": table.text_minus,
            "paper (points)": table.published.astype(float).map(points),
            "verdict": table.verdict,
        }
    )


def gate_table(rows: pd.DataFrame, gate_biases: pd.DataFrame) -> pd.DataFrame:
    """Error of GRU by initialiser and where the biases of its gates start, and how many of these
    its masks keep, as it is shown."""
    errors = summarize(rows[rows.part == "gates"], ["init", "gates", "reinit_gates"])
    kept = gate_biases.groupby(["init", "gates"])[["reset", "update"]].mean()
    table = errors.merge(kept.reset_index(), on=["init", "gates"])
    return pd.DataFrame(
        {
            "scored with": table.init.map(INITS),
            "gate biases when scored": table.gates.map("{:.0f}".format),
            "when trained": table.reinit_gates.map("{:.0f}".format),
            "reset biases kept": table.reset.map("{:.0f}".format),
            "update biases kept": table["update"].map("{:.0f}".format),
            "error (%)": table.text,
        }
    )


def pairs_text(pairs: pd.DataFrame, heads: Mapping[str, str]) -> pd.DataFrame:
    """Differences from `paired` as they are shown; `heads`: of the columns that say of what."""
    table = pairs[[*heads, "text", "n", "verdict"]].rename(columns={"text": "points", "n": "pairs"})
    return table.assign(init=table.init.map(INITS)).rename(columns=heads)


def recurrent_table(initial_masks: pd.DataFrame) -> pd.DataFrame:
    """What masks keep inside of the recurrent cells, means over the seeds, as it is shown."""
    table = recurrent_cells(initial_masks)
    table["model"] = [MODELS[name].title for name in table.model]
    table["init"] = table.init.map(INITS)
    heads = {
        "model": "network",
        "init": "scored with",
        "gate_weights": "weights of the gates",
        "gates_by_chance": "by chance",
        "recurrent_weights": "recurrent weights",
        "units_reached": "units reached",
        "reached_by_chance": "reached by chance",
        "units_read": "units read",
    }
    return table[list(heads)].rename(columns=heads)


def kept_table(layers: pd.DataFrame) -> pd.DataFrame:
    """How much of itself each layer keeps, percent, by initialiser; means over the seeds."""
    means = mean_shares(layers)
    kept = (100 * means["kept"] / means["size"]).unstack("init", sort=False)[list(INITS)]
    kept = kept.rename(columns=INITS).rename_axis(columns=None).reset_index()
    return kept.assign(model=[MODELS[name].title for name in kept.model])
