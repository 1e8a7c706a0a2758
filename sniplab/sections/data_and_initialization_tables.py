"""§5.5: the tables that the notebook shows, and what lies behind its figures."""

from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd

from snipcore import MODELS
from sniplab.sections import Plan
from sniplab.sections.data_and_initialization_comparisons import (
    BASES,
    FIG_3,
    GRU,
    INITS,
    MANY,
    PLAIN,
    STEPS,
    of_part,
    published_table_3,
    scored_rows,
)
from sniplab.sections.data_and_initialization_masks import (
    INSIDE,
    WHOLE,
    batch_names,
    mean_overlaps,
    mean_shares,
    picture_correlations,
)
from sniplab.show import counted, seeds_said
from sniplab.stats import points, summarize

NOT_RUN = "not run yet"
DROPPED = ["part", "loss_curve", "error_curve", "test_curve"]  # of rows behind a figure


def family_note(differences: pd.DataFrame) -> str:
    """What the q of a table of differences are corrected over, for its caption."""
    tested = int(differences.q.notna().sum())
    return f"One correction (q) over all of this table: {counted(tested, 'comparison')}."


def scored_note(tables: Mapping[str, pd.DataFrame], profile: str, models: list[str]) -> str:
    """The line under what is only scored, of some networks."""
    seeds, drawn = tables["initial_masks"].groupby("model").seed.unique(), {}
    for model in models:
        drawn.setdefault(_listed(seeds[model]), []).append(MODELS[model].title)
    which = "; ".join(f"{', '.join(titles)}: {some}" for some, titles in drawn.items())
    data = tables["data"].iloc[0]
    return (
        f"Data: {data.source}. {which}; scored on 100 images, nothing is trained. "
        f"Profile {profile}. {data.hardware}."
    )


def _listed(seeds) -> str:
    """ "seed 0", "seeds 0, 1, 2, 3": all by name."""
    return f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}"


def masks_note(tables: Mapping[str, pd.DataFrame]) -> str:
    """The line under what is measured of the masks of scoring batches."""
    which = seeds_said(set(tables["pictures"].seed))
    return f"Masks and their overlaps: {which}; nothing is trained for them."


def difference_table(
    differences: pd.DataFrame, by: list[str], wanted: Mapping[tuple[Hashable, ...], dict]
) -> pd.DataFrame:
    """Differences as they are shown, a row for each key in columns `by`; `wanted` says what the row
    of each key begins with, and what is to stand there in place of a difference."""
    heads = ["difference (points)", "pairs", "lost", "q", "verdict"]
    keys = differences[by].itertuples(index=False, name=None)
    rows, shown = dict(zip(keys, differences.itertuples(), strict=True)), []
    for key, words in wanted.items():
        ours, row = [NOT_RUN, 0, 0, "–", ""], rows.get(key)
        if row:
            q = f"{row.q:.3f}" if row.q >= 0.001 else "< 0.001"
            if np.isnan(row.q):
                q = "–"
            ours = [points(row.mean, row.half), row.n, row.lost, q, row.verdict]
        shown.append({**words, **dict(zip(heads, ours, strict=True)), **words})
    return pd.DataFrame(shown)


# ------------------------------------------------------------------------------- scoring batches


def batch_summary(rows: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """By scoring batch (the index): its name; the error as from `summarize`, and as `published`;
    the overlap with the whole split's mask, its half-width and text; r with the mean image."""
    names = batch_names(tables)
    table = summarize(of_part(rows, "scoring_batch"), ["scoring_batch"])
    table = table.set_index("scoring_batch").reindex(list(names))
    table = table.fillna({"text": NOT_RUN, "n": 0}).astype({"mean": float, "half": float, "n": int})
    overlaps = mean_overlaps(tables["overlaps"])
    return table.assign(
        name=pd.Series(names),
        published=pd.Series(FIG_3),
        overlap=overlaps["mean"],
        overlap_half=overlaps.half,
        overlap_text=overlaps.text,
        r=picture_correlations(tables),
    )


def batch_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Error, overlap and correlation by scoring batch, as they are shown."""
    return pd.DataFrame(
        {
            "scoring batch": summary.name,
            "error (%)": summary.text,
            "seeds": summary.n,
            "published for MNIST": [f"{e:.2f}" if e == e else "–" for e in summary.published],
            "overlap J": summary.overlap_text.fillna("1"),
            "r with mean image": [f"{r:.2f}" for r in summary.r],
        }
    )


def runs_and_overlaps(rows: pd.DataFrame, overlaps: pd.DataFrame) -> pd.DataFrame:
    """The runs by scoring batch, and the overlaps of their masks with that of the whole split."""
    keys = ["scoring_batch", "seed"]
    whole = overlaps[overlaps.level == WHOLE][[*keys, "overlap"]]
    return of_part(rows, "scoring_batch").drop(columns=DROPPED).merge(whole, how="outer", on=keys)


def batch_difference_table(differences: pd.DataFrame, names: Mapping[int, str]) -> pd.DataFrame:
    """`batch_differences`, as they are shown; `names`: of the scoring batches."""
    cells = [(base, size) for base in BASES for size in names if size != base]
    if {1, MANY} <= set(names):
        cells.append((1, MANY))
    wanted = {}
    for base, size in cells:
        known = base in FIG_3 and size in FIG_3
        published = points(FIG_3[size] - FIG_3[base]) if known else "–"
        words = {"scoring batch": names[size], "minus": names[base], "published": published}
        wanted[base, size] = words
    return difference_table(differences, ["minus", "scoring_batch"], wanted)


# ----------------------------------------------------------------------------------- initialisers


def initializer_errors(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation of the error by model and init, of the runs that ended well."""
    scored = scored_rows(rows)
    good = scored[scored.status == "ok"]
    return good.groupby(["model", "init"], sort=False).error.agg(["mean", "std"])


def _with_std(mean: float, std: float) -> str:
    return f"{mean:.2f}" + ("" if np.isnan(std) else f" ± {std:.2f}")


def _error_text(runs: pd.DataFrame) -> str:
    """Mean ± standard deviation of runs of one cell, and how many were lost."""
    if runs.empty:
        return NOT_RUN
    good = runs[runs.status == "ok"].error
    text = _with_std(good.mean(), good.std()) if len(good) else "–"
    lost = len(runs) - len(good)
    return text + (f" ({lost} of {len(runs)} lost)" if lost else "")


def initializer_table(
    rows: pd.DataFrame, differences: pd.DataFrame, models: list[str]
) -> pd.DataFrame:
    """Table 3, ours and published, with `initializer_differences`, as it is shown."""
    scored, published, wanted = scored_rows(rows), published_table_3(), {}
    for model in models:
        for init in INITS:
            runs = scored[(scored.model == model) & (scored.init == init)]
            paper = published.loc[(model, init)]
            words = {
                "network": MODELS[model].title,
                "initialiser": INITS[init],
                "error ± std (%)": _error_text(runs),
                "published for MNIST": _with_std(paper["mean"], paper["std"]),
            }
            if init == PLAIN:  # what the others are compared with
                words |= {"difference (points)": "–", "pairs": "", "lost": "", "verdict": ""}
            wanted[model, init] = words
    return difference_table(differences, ["model", "init"], wanted)


def shuffle_table(rows: pd.DataFrame, differences: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """GRU under SNIP's masks and the same shuffled, with `shuffle_differences`, as it is shown."""
    started = of_part(rows, "initializers")
    started = started[started.model == GRU]
    texts = summarize(started, ["method", "init"]).set_index(["method", "init"]).text
    wanted = {}
    for init in dict.fromkeys(c.init for c in plan["initializers"] if c.method == "shuffled"):
        wanted[(init,)] = {
            "GRU-s scored with": INITS[init],
            "error (%), shuffled": texts.get(("shuffled", init), NOT_RUN),
            "error (%), SNIP": texts.get(("snip", init), NOT_RUN),
        }
    return difference_table(differences, ["init"], wanted)


# ------------------------------------------------------------------------------------------- gates


def gate_table(rows: pd.DataFrame, gate_biases: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Error of GRU by initialiser and where the biases of its gates start, and how many of these
    its masks keep, as it is shown."""
    by = ["init", "gates", "reinit_gates"]
    texts = summarize(of_part(rows, "gates"), by).set_index(by).text
    kept = gate_biases.groupby(["init", "gates"])[["reset", "update"]].mean()
    reset, update = kept["reset"], kept["update"]
    cells = dict.fromkeys((c.init, c.gates, c.reinit_gates) for c in plan["gates"])
    return pd.DataFrame(
        {
            "scored with": INITS[init],
            "gates scored at": f"{scored:.0f}",
            "trained from": f"{trained:.0f}",
            "reset biases kept, of 128": f"{reset[init, scored]:.0f}",
            "update biases kept, of 128": f"{update[init, scored]:.0f}",
            "error (%)": texts.get((init, scored, trained), NOT_RUN),
        }
        for init, scored, trained in cells
    )


def gate_step_table(differences: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """`gate_steps`, as they are shown."""
    inits = dict.fromkeys(config.init for config in plan["gates"])
    wanted = {
        (step.name, init): {"change": step.name, "scored with": INITS[init]}
        for step in STEPS.values()
        for init in inits
    }
    return difference_table(differences, ["step", "init"], wanted)


# ---------------------------------------------------------------------- what masks keep, and where


def recurrent_table(initial_masks: pd.DataFrame) -> pd.DataFrame:
    """What masks keep inside of the recurrent cells, means over the seeds, as it is shown."""
    heads = ["weights of the gates", "recurrent weights"]
    heads += ["units reached, of 128", "units read, of 128"]
    inside = initial_masks.dropna(subset=INSIDE)
    table = inside.groupby(["model", "init"], sort=False)[INSIDE].mean().reset_index()
    table["model"] = [MODELS[name].title for name in table.model]
    table["init"] = table.init.map(INITS)
    table.columns = ["network", "initialiser", *heads]
    return table


def kept_table(layers: pd.DataFrame) -> pd.DataFrame:
    """How much of itself each layer keeps, percent, by initialiser; means over the seeds."""
    means = mean_shares(layers)
    kept = (100 * means["kept"] / means["size"]).unstack("init", sort=False)[list(INITS)]
    kept.index = [f"{MODELS[model].title}, {layer}" for model, layer in kept.index]
    kept.columns = INITS.values()
    return kept


def largest_shares(layers: pd.DataFrame) -> str:
    """The layer with the largest share of what is kept, by network, under RN and VS-X: a list."""
    kept = mean_shares(layers)["kept"]
    share = 100 * kept / kept.groupby(["model", "init"]).transform("sum")
    return "; ".join(
        f"{MODELS[model].title} under {INITS[init]}, {part.idxmax()[2]} {part.max():.0f} %"
        for (model, init), part in share.groupby(["model", "init"], sort=False)
        if init in ("rn", "vs-x")
    )
