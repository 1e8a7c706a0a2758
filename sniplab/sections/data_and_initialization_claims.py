"""§5.5: what the runs of `sniplab.sections.data_and_initialization` say of the claims, and their
numbers for prose."""

from collections.abc import Collection, Mapping

import pandas as pd

from snipcore import MODELS
from sniplab.sections import Plan
from sniplab.sections.data_and_initialization_masks import (
    OTHER,
    mean_overlaps,
    mean_shares,
    recurrent_cells,
    reference_overlaps,
    stored,
)
from sniplab.sections.data_and_initialization_tables import (
    FIG_3,
    GRU,
    INITS,
    LENETS,
    LSTM,
    MANY,
    PLAIN,
    batch_differences,
    gate_differences,
    gate_harms,
    initializer_differences,
    published_table_3,
    scored_rows,
    shuffle_differences,
)
from sniplab.stats import minus_twin, paired, points, quoted_table, summarize
from sniplab.verdicts import (
    CLOSE,
    RUINED,
    UNTRAINED,
    collected_claim,
    directed,
    equal,
    fewest,
    from_to,
    judged,
    length_of,
    missing,
    new_claim,
)

GROUP = "data and initialisation"  # of the claims

# ---------------------------------------------------------------------------------- what is claimed

FEWER = (1, 100)  # images; MANY are claimed to be better


def claims(rows: pd.DataFrame, plan: Plan) -> list[dict]:
    """The rows of the table of claims. Where a run that `plan` asks for is missing, or where it
    does not ask for all that the paper compares, the claim is untested."""
    lstm = MODELS[LSTM].title
    return [
        *scoring_batch(rows, plan),
        initializers(rows, plan),
        against_plain(
            rows,
            plan,
            id=f"initializers.{LSTM}",
            cells={(LSTM, "rn"), (LSTM, "tn")},
            sign="higher",
            text=f"{lstm}: masks scored with unscaled weights (RN, TN) err more than VS-X's",
        ),
        against_plain(
            rows,
            plan,
            id="initializers.vs-h",
            cells={(model, "vs-h") for model in (*LENETS, LSTM)},
            sign="lower",
            text=f"VS-H errs less than VS-X in both LeNets and {lstm} (GRU-s: tied)",
        ),
        ruined(rows, plan),
        over_shuffled(rows, plan),
    ]


def scoring_batch(rows: pd.DataFrame, plan: Plan) -> list[dict]:
    """§5.5, Fig. 3: scored on MANY images the error is lower than on FEWER. By the table of
    `batch_differences`, over all of which the correction is: so none of its runs may be missing. A
    comparison that lost a pair is undecided."""
    configs = plan["scoring_batch"]
    planned = {*FEWER, MANY} <= {config.scoring_batch for config in configs}
    batches = rows[rows.part == "scoring_batch"]
    absent = missing(batches, configs)
    table = batch_differences(rows)
    table = table[table.scoring_batch == MANY].set_index("minus")
    judged_claims = []
    for size in FEWER:
        n = int(table.n.get(size, 0))
        claim = new_claim(
            id=f"scoring_batch.{size}",
            group=GROUP,
            section="§5.5, Fig. 3",
            claim=f"Scored on {MANY:,} images, LeNet-300-100 errs less than on {size:,}",
            published=points(FIG_3[MANY] - FIG_3[size]),
            rule="direction",
            runs=length_of(batches),
            seeds=n,
        )
        judged_claims.append(claim)
        if n == 0:
            continue
        row = table.loc[size]
        claim["ours"] = row.text + (f"; {absent}" if absent else "")
        if absent or not planned:
            continue
        claim["verdict"], _ = directed(table.loc[[size]], "lower")
        if claim["verdict"] == "reproduced" and row["mean"] - row.half > row.published:
            claim["ours"] += ", smaller than published"
    return judged_claims


def of_table_3(
    rows: pd.DataFrame, plan: Plan, models: Collection[str], inits: Collection[str]
) -> tuple[pd.DataFrame, str, bool]:
    """The rows of some cells of Table 3, a note of how many of their runs are missing, and whether
    the plan asks for all of them and none is."""
    cells = {(model, init) for model in models for init in inits}
    configs = [c for c in plan["initializers"] if c.method == "snip" and (c.model, c.init) in cells]
    scored = scored_rows(rows)
    scored = scored[scored.model.isin(models) & scored.init.isin(inits)]
    absent = missing(scored, configs)
    planned = {(config.model, config.init) for config in configs} == cells
    return scored, f"; {absent}" if absent else "", planned and not absent


def initializers(rows: pd.DataFrame, plan: Plan) -> dict:
    """§5.5, Table 3: the initialiser of the scored weights matters little to the LeNets, by the
    differences from VS-X within a seed; every initialiser and both networks must have been run. A
    comparison that lost a pair is undecided."""
    scored, note, complete = of_table_3(rows, plan, LENETS, INITS)
    plain = scored.init == PLAIN
    table = paired(scored[~plain], scored[plain], ["model", "init"])
    titles = " and ".join(MODELS[name].title for name in LENETS)
    claim = new_claim(
        id="initializers.lenets",
        group=GROUP,
        section="§5.5, Table 3",
        claim=f"{titles}: the initialiser of the scored weights does not matter (± {CLOSE} points)",
        published="−0.03 to +0.05",
        rule="equality",
        runs=length_of(scored),
        seeds=fewest(table),
    )
    if table.empty:
        return claim
    claim["ours"] = f"{from_to(table['mean'])} points against VS-X{note}"
    if not complete or claim["seeds"] < 2:
        return claim
    return equal(claim, table, CLOSE)


def against_plain(
    rows: pd.DataFrame,
    plan: Plan,
    id: str,
    cells: Collection[tuple[str, str]],
    sign: str,
    text: str,
) -> dict:
    """§5.5, Table 3: in some cells, each a network and an initialiser, the error is "higher" or
    "lower" than under VS-X. By the table of `initializer_differences`, over all of which the
    correction is: so none of its runs may be missing. A comparison that lost a pair is undecided.
    """
    configs = [config for config in plan["initializers"] if config.method == "snip"]
    needed = {*cells, *((model, PLAIN) for model, _ in cells)}
    planned = needed <= {(config.model, config.init) for config in configs}
    scored, table = scored_rows(rows), initializer_differences(rows)
    absent = missing(scored, configs)
    table = table.loc[[cell in cells for cell in zip(table.model, table.init, strict=True)]]
    published = published_table_3().difference
    claim = new_claim(
        id=id,
        group=GROUP,
        section="§5.5, Table 3",
        claim=text,
        published=from_to([published[cell] for cell in cells]),
        rule="direction",
        runs=length_of(scored[scored.model.isin({model for model, _ in cells})]),
        seeds=fewest(table) if len(table) == len(cells) else 0,
    )
    if table.n.sum() == 0:
        return claim
    claim["ours"] = f"{from_to(table['mean'].dropna())} points against VS-X"
    if absent:
        claim["ours"] += f"; {absent}"
    if absent or not planned:
        return claim
    verdict, tally = directed(table, sign)
    return claim | {"ours": claim["ours"] + tally, "verdict": verdict}


def ruined(rows: pd.DataFrame, plan: Plan) -> dict:
    """§5.5, Table 3: masks scored under RN or TN ruin the GRU. A run that diverges is ruined; one
    that failed otherwise, by want of memory, say, is undecided."""
    inits = ("rn", "tn")
    scored, note, complete = of_table_3(rows, plan, (GRU,), (*inits, PLAIN))
    plain = scored[scored.init == PLAIN].set_index("seed").error
    pairs = scored[(scored.init != PLAIN) & scored.seed.isin(plain.dropna().index)]
    decided = pairs[~pairs.status.str.startswith("failed")]
    seeds = int(decided.groupby("init").size().reindex(inits, fill_value=0).min())
    claim = new_claim(
        id=f"ruined.{GRU}",
        group=GROUP,
        section="§5.5, Table 3",
        claim=f"{MODELS[GRU].title}: masks scored with unscaled weights (RN, TN) ruin it",
        published="+45.81 and +44.68",
        rule="ruin",
        runs=length_of(scored),
        seeds=seeds,
    )
    if decided.empty:
        return claim
    differences = decided.error - decided.seed.map(plain)
    diverged = differences.isna()
    if not diverged.all():
        claim["ours"] = f"{from_to(differences.dropna())} points against VS-X"
    if diverged.any():
        claim["ours"] += f", {diverged.sum()} of {len(decided)} diverged"
    claim["ours"] += note
    # An error under VS-X that is NaN, of a lost run, is no trained network either.
    if not complete or seeds < 2 or not (plain <= UNTRAINED).all():
        return claim
    holds = diverged | (differences >= RUINED)
    undecided = [False] * (len(pairs) - len(decided))
    verdict, tally = judged([*holds, *undecided], [*~holds, *undecided])
    return claim | {"ours": claim["ours"] + tally, "verdict": verdict}


def over_shuffled(rows: pd.DataFrame, plan: Plan) -> dict:
    """What the paper left out: SNIP against its own shuffled mask in the GRU, scored under PLAIN.
    The correction is over all of `shuffle_differences`."""
    configs = [c for c in plan["initializers"] if (c.model, c.init) == (GRU, PLAIN)]
    started = rows[rows.part == "initializers"]
    started = started[(started.model == GRU) & (started.init == PLAIN)]
    table = shuffle_differences(rows)[lambda table: table.init == PLAIN]
    text = f"{MODELS[GRU].title}, 90 %, new weights: SNIP beats its own mask shuffled within layers"
    difference = "control − SNIP"
    return collected_claim(
        f"over_shuffled.{GRU}", "which connections", text, started, configs, table, difference
    )


# ------------------------------------------------------------------------------- numbers for prose


def values(rows: pd.DataFrame, plan: Plan) -> dict[str, str]:
    """The numbers that prose quotes, by name.

    By images scored on, "all" of them the whole split: "batch_minus.100.10000" (10,000 minus 100),
    "batch_gain_excluded" (a gain of 10,000 on 100 beyond its interval), "overlap_whole.100". By
    network and initialiser: "init_error.gru-s.snip.rn", "init_minus.gru-s.rn" (minus VS-X),
    "init_widest.lenet-300-100" (how much is not excluded). Of GRU-s: "ruined_pairs" ("17 of 20"),
    "shuffled_minus.rn", "gates_minus.vs-x" (gate biases at 1 minus at 0), "gate_harm.0.rn" (minus
    VS-X, gate biases at 0). Errors are in percent, differences in points, with the endings of
    `quoted`. Of masks: "units_reached.gru-s.rn", "units_by_chance.gru-s.rn", "gate_share.gru-s.rn"
    (percent of the weights that the cell keeps), "recurrent_share.gru-s.rn" (percent of all that
    is kept).
    """
    started = rows[rows.part == "initializers"]
    by_batch, by_init = batch_differences(rows), initializer_differences(rows)
    sizes = {column: {0: "all"} for column in ("minus", "scoring_batch")}
    cells = ["model", "method", "init"]
    numbers = {
        **quoted_table("batch_minus", by_batch.replace(sizes), ["minus", "scoring_batch"]),
        **quoted_table("init_error", summarize(started, cells), cells),
        **quoted_table("init_minus", by_init, ["model", "init"]),
        **quoted_table("shuffled_minus", shuffle_differences(rows), ["init"]),
        **quoted_table("gates_minus", gate_differences(rows), ["init"]),
        **quoted_table("gate_harm", gate_harms(rows), ["gates", "init"]),
    }
    gain = by_batch[(by_batch.minus == 100) & (by_batch.scoring_batch == MANY)]
    excluded = gain.half - gain["mean"]
    numbers["batch_gain_excluded"] = f"{excluded.mean():.2f}" if len(gain) else "–"
    for model, table in by_init.groupby("model"):
        numbers[f"init_widest.{model}"] = f"{(table['mean'].abs() + table.half).max():.2f}"
    scored = scored_rows(rows)[lambda table: table.model == GRU]
    unscaled = scored[scored.init.isin(("rn", "tn"))]
    harm = minus_twin(unscaled, scored[scored.init == PLAIN], ["seed"]).error
    numbers["ruined_pairs"] = f"{(harm >= RUINED).sum()} of {len(harm)}"
    numbers["ruined_verdict"] = ruined(rows, plan)["verdict"]
    return numbers | mask_values(stored())


def mask_values(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Those of `values` that are measured without training; `tables` as from `stored`."""
    initial = tables["initial_masks"]
    overlaps = mean_overlaps(tables["overlaps"])["mean"]
    numbers = {f"overlap_whole.{size}": f"{overlap:.2f}" for size, overlap in overlaps.items()}
    numbers["overlap_whole.other_weights"] = f"{reference_overlaps(tables['overlaps'])[OTHER]:.2f}"
    numbers["initial_masks_cut"] = str((initial.collapsed != "").sum())
    for row in recurrent_cells(initial).itertuples():
        numbers[f"units_reached.{row.model}.{row.init}"] = f"{row.units_reached:.0f}"
        numbers[f"units_by_chance.{row.model}.{row.init}"] = f"{row.reached_by_chance:.0f}"
        share = 100 * row.gate_weights / row.cell_weights
        numbers[f"gate_share.{row.model}.{row.init}"] = f"{share:.0f}"
    kept = mean_shares(tables["layers"])["kept"]
    shares = 100 * kept / kept.groupby(["model", "init"]).transform("sum")
    for (model, init, layer), share in shares.items():
        if layer == "cell recurrent":
            numbers[f"recurrent_share.{model}.{init}"] = f"{share:.0f}"
    return numbers
