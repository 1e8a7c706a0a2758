"""§5.5, Fig. 3 and Table 3: which images connections are scored on, and with which initial weights.

LeNet-300-100 by the size of the scoring batch; four networks by the initialiser of the weights that
are scored; and, since masks scored under two of them ruin the GRU, what the biases of its gates and
the shuffling of its masks change. All at 90 % sparsity.

Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity. ICLR 2019.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from snipcore import MODELS
from sniplab.data import load_data
from sniplab.recipe import Recipe, recipe_for
from sniplab.runs import Config
from sniplab.sections import COMMITTED, Plan, check_counts, check_profile, chosen, collected
from sniplab.sections.data_and_initialization_masks import (
    OTHER,
    mean_overlaps,
    mean_shares,
    measure,
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
    NETWORK,
    PLAIN,
    batch_differences,
    gate_steps,
    initializer_differences,
    of_part,
    published_table_3,
    scored_rows,
    shuffle_differences,
)
from sniplab.stats import paired, points, quoted_table, summarize
from sniplab.verdicts import (
    CLOSE,
    RUINED,
    UNTRAINED,
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
SPARSITY = 0.9

# ------------------------------------------------------------------------------------ what is run


@dataclass(frozen=True)
class Length:
    """How long the runs of a part are, and how many seeds they have."""

    iterations: int
    seeds: int


@dataclass(frozen=True)
class Numbers:
    """What a profile says of this section."""

    scoring_batch: Length
    sizes: tuple[int, ...]  # of the scoring batches; 0: the whole train split
    initializers: Mapping[str, Length]  # by network
    gates: Length


SIZES = (1, 10, 100, 1000, 10_000, 0)
NUMBERS = {
    "smoke": Numbers(
        scoring_batch=Length(20, seeds=2),
        sizes=(1, 100, 0),
        initializers={"lenet-300-100": Length(20, seeds=2), "gru-s": Length(2, seeds=1)},
        gates=Length(2, seeds=1),
    ),
    "quick": Numbers(
        scoring_batch=Length(180, seeds=3),
        sizes=SIZES,
        initializers={
            "lenet-300-100": Length(180, seeds=3),
            "lenet-5-caffe": Length(40, seeds=2),
            "lstm-s": Length(45, seeds=1),
            "gru-s": Length(45, seeds=2),
        },
        gates=Length(45, seeds=1),
    ),
    "desktop": Numbers(
        scoring_batch=Length(75_000, seeds=10),
        sizes=SIZES,
        initializers={
            "lenet-300-100": Length(25_000, seeds=10),
            "lenet-5-caffe": Length(5_000, seeds=3),
            "lstm-s": Length(10_000, seeds=3),
            "gru-s": Length(10_000, seeds=3),
        },
        gates=Length(10_000, seeds=3),
    ),
    "paper": Numbers(
        scoring_batch=Length(75_000, seeds=20),
        sizes=SIZES,
        initializers=dict.fromkeys((*LENETS, "lstm-s", "gru-s"), Length(75_000, seeds=20)),
        gates=Length(75_000, seeds=20),
    ),
}
CHECKPOINTS = 75  # of Fig. 3's runs; of short ones, one for every 60 iterations
SHUFFLED = ("rn", PLAIN)  # initialisers under which the masks of the GRU are shuffled, too
GATED = ("rn", "tn", PLAIN)  # initialisers that are crossed with the biases of its gates


# Scored at 0 a bias has no sensitivity and is pruned, so that it trains from 0 either way: three
# cells, not four.
GATES = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))  # where biases start, scored and trained


def plan(
    profile: str,
    dataset: str = "mnist",
    models: str | Iterable[str] | None = None,
    seeds: int | None = None,
    iterations: int | None = None,
) -> dict[str, list[Config]]:
    """The runs: "scoring_batch", of NETWORK by the number of images that it is scored on (Fig. 3);
    "initializers", masks scored under each of INITS (Table 3), and those of GRU shuffled, too;
    "gates", GRU by where the biases of its gates start. Some runs are in two parts.

    Args:
        models: one or more of the networks of the profile; None: all of them.
        seeds, iterations: in place of the profile's own.

    Raises ValueError for an unknown profile or network, and for seeds or iterations below 1.
    """
    check_profile(profile)
    numbers = NUMBERS[profile]
    known = dict.fromkeys((NETWORK, *numbers.initializers, GRU))
    models = chosen(models, known, "network of this section", known)
    check_counts(seeds=seeds, iterations=iterations)

    def length(own: Length) -> Length:
        steps = own.iterations if iterations is None else iterations
        return Length(steps, own.seeds if seeds is None else seeds)

    parts = {"scoring_batch": [], "initializers": [], "gates": []}
    if NETWORK in models:
        parts["scoring_batch"] = _by_batch(length(numbers.scoring_batch), numbers.sizes, dataset)
    for model in models:
        if model in numbers.initializers:
            of_model = length(numbers.initializers[model])
            parts["initializers"] += _by_initializer(model, of_model, dataset)
    parts["initializers"].sort(key=lambda config: config.seed)
    if GRU in models:
        parts["gates"] = _by_gates(length(numbers.gates), dataset)
    return parts


def _by_batch(length: Length, sizes: Iterable[int], dataset: str) -> list[Config]:
    checkpoints = min(CHECKPOINTS, max(1, length.iterations // 60))
    recipe = recipe_for(NETWORK, length.iterations, checkpoints)
    return [
        Config(NETWORK, recipe, "snip", SPARSITY, seed, dataset, scoring_batch=size)
        for seed in range(length.seeds)
        for size in sizes
    ]


def _adam(model: str, iterations: int) -> Recipe:
    """Table 3's optimiser. The paper gives no schedule: three stages, but for recurrent networks on
    a short run, which need all of the rate."""
    constant = MODELS[model].family == "Recurrent" and iterations < 5000
    how = {"optimizer": "adam", "lr": 0.001, "weight_decay": 0.0, "stages": 1 if constant else 3}
    return Recipe(iterations, **how, checkpoints=min(10, max(1, iterations // 60)))


def _by_initializer(model: str, length: Length, dataset: str) -> list[Config]:
    recipe = _adam(model, length.iterations)
    cells = [("snip", init) for init in INITS]
    if model == GRU:
        cells += [("shuffled", init) for init in SHUFFLED]
    return [
        Config(model, recipe, method, SPARSITY, seed, dataset, init=init, reinit=PLAIN)
        for seed in range(length.seeds)
        for method, init in cells
    ]


@collected("more_seeds")
def more_seeds_plan() -> list[Config]:
    """More seeds of the rows of Table 3 that are not settled: five of LeNet-5-Caffe, seven of GRU.
    They are collected, and not shown before all are there; of the committed report alone."""
    runs = []
    for model, more, inits in (
        ("lenet-5-caffe", 5, ("vs-h", "vs-x")),
        (GRU, 7, ("rn", "tn", "vs-x")),
    ):
        there = NUMBERS[COMMITTED].initializers[model]
        wanted = _by_initializer(model, Length(there.iterations, there.seeds + more), "mnist")
        runs += [
            config
            for config in wanted
            if config.seed >= there.seeds and config.method == "snip" and config.init in inits
        ]
    return runs


def _by_gates(length: Length, dataset: str) -> list[Config]:
    recipe = _adam(GRU, length.iterations)
    usual = Config(GRU, recipe, "snip", SPARSITY, dataset=dataset, reinit=PLAIN)
    return [
        dataclasses.replace(usual, seed=seed, init=init, gates=scored, reinit_gates=trained)
        for seed in range(length.seeds)
        for init in GATED
        for scored, trained in GATES
    ]


# ---------------------------------------------------------------------------------- what is claimed

FEWER = (1, 100)  # images; MANY are claimed to be better


def claims(rows: pd.DataFrame, plan: Plan) -> list[dict]:
    """The rows of the table of claims. Where a run that `plan` asks for is missing, or where it
    does not ask for all that the paper compares, the claim is untested."""
    lstm = MODELS[LSTM].title
    return [
        *scoring_batch(rows, plan),
        initializers(rows, plan),
        compared(
            rows,
            plan,
            id=f"initializers.{LSTM}",
            cells={(LSTM, "rn"), (LSTM, "tn")},
            sign="higher",
            text=f"{lstm}: masks scored under RN or TN err more than under VS-X",
        ),
        compared(
            rows,
            plan,
            id="initializers.vs-h",
            cells={(model, "vs-h") for model in (*LENETS, LSTM)},
            sign="lower",
            text=f"VS-H errs less than VS-X in both LeNets and {lstm} (GRU-s: tied)",
        ),
        ruined(rows, plan),
    ]


def scoring_batch(rows: pd.DataFrame, plan: Plan) -> list[dict]:
    """§5.5, Fig. 3: scored on MANY images the error is lower than on FEWER. By the table of
    `batch_differences`, over all of which the correction is: so none of its runs may be missing. A
    comparison that lost a pair is undecided."""
    configs = plan["scoring_batch"]
    asked = {*FEWER, MANY} <= {config.scoring_batch for config in configs}
    batches = of_part(rows, "scoring_batch")
    absent = missing(batches, configs)
    table = batch_differences(rows)
    table = table[table.scoring_batch == MANY].set_index("minus")
    found = []
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
        found.append(claim)
        if n == 0:
            continue
        row = table.loc[size]
        claim["ours"] = row.text + (f"; {absent}" if absent else "")
        if absent or not asked:
            continue
        claim["verdict"], _ = directed(table.loc[[size]], "lower")
        if claim["verdict"] == "reproduced" and row["mean"] - row.half > row.published:
            claim["ours"] += ", smaller than published"
    return found


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
    asked = {(config.model, config.init) for config in configs} == cells
    return scored, f"; {absent}" if absent else "", asked and not absent


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


def compared(
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
    asked = needed <= {(config.model, config.init) for config in configs}
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
    if absent or not asked:
        return claim
    verdict, how = directed(table, sign)
    return claim | {"ours": claim["ours"] + how, "verdict": verdict}


def ruined(rows: pd.DataFrame, plan: Plan) -> dict:
    """§5.5, Table 3: masks scored under RN or TN ruin the GRU. A run that diverges is ruined; one
    that failed otherwise, by want of memory, say, is undecided."""
    inits = ("rn", "tn")
    scored, note, complete = of_table_3(rows, plan, (GRU,), (*inits, PLAIN))
    plain = scored[scored.init == PLAIN].set_index("seed").error
    pairs = scored[(scored.init != PLAIN) & scored.seed.isin(plain.dropna().index)]
    told = pairs[~pairs.status.str.startswith("failed")]
    seeds = int(told.groupby("init").size().reindex(inits, fill_value=0).min())
    claim = new_claim(
        id=f"ruined.{GRU}",
        group=GROUP,
        section="§5.5, Table 3",
        claim=f"{MODELS[GRU].title}: masks scored under RN or TN ruin it",
        published="+45.81 and +44.68",
        rule="ruin",
        runs=length_of(scored),
        seeds=seeds,
    )
    if told.empty:
        return claim
    differences = told.error - told.seed.map(plain)
    diverged = differences.isna()
    if not diverged.all():
        claim["ours"] = f"{from_to(differences.dropna())} points against VS-X"
    if diverged.any():
        claim["ours"] += f", {diverged.sum()} of {len(told)} diverged"
    claim["ours"] += note
    # An error under VS-X that is NaN, of a lost run, is no trained network either.
    if not complete or seeds < 2 or not (plain <= UNTRAINED).all():
        return claim
    holds = diverged | (differences >= RUINED)
    undecided = [False] * (len(pairs) - len(told))
    verdict, _ = judged([*holds, *undecided], [*~holds, *undecided])
    return claim | {"verdict": verdict}


# --------------------------------------------------------------------- what is stored, and measured


def write_stored(folder: Path) -> None:
    """Measure on the masks of the committed plan what needs no training, and write it to `folder`,
    a table a file: 4_<name>.csv."""
    data = load_data("mnist", device="cpu")
    for name, table in measure(plan(COMMITTED), data).items():
        table.to_csv(folder / f"4_{name}.csv", index=False)


# ------------------------------------------------------------------------------- numbers for prose


def values(rows: pd.DataFrame, plan: Plan) -> dict[str, str]:
    """The numbers that prose quotes, by name.

    By images scored on, "all" of them the whole split: "batch_minus.100.10000" (10,000 minus 100),
    "batch_gain_excluded" (a gain of 10,000 on 100 beyond its interval), "overlap_whole.100". By
    network and initialiser: "init_error.gru-s.snip.rn", "init_minus.gru-s.rn" (minus VS-X),
    "init_widest.lenet-300-100" (how much is not excluded). Of GRU-s: "shuffled_minus.rn",
    "gates_error.1.0.rn" (biases scored at 1, trained from 0), "gates_minus.both.vs-x". Errors are
    in percent, differences in points, with the endings of `quoted`. Of masks:
    "units_reached.gru-s.rn", "units_by_chance.gru-s.rn", "recurrent_share.gru-s.rn" (percent of
    what is kept).
    """
    started = of_part(rows, "initializers")
    gated = of_part(rows, "gates").astype({"gates": int, "reinit_gates": int})
    by_batch, by_init = batch_differences(rows), initializer_differences(rows)
    sizes = {column: {0: "all"} for column in ("minus", "scoring_batch")}
    cells, starts = ["model", "method", "init"], ["gates", "reinit_gates", "init"]
    found = {
        **quoted_table("batch_minus", by_batch.replace(sizes), ["minus", "scoring_batch"]),
        **quoted_table("init_error", summarize(started, cells), cells),
        **quoted_table("init_minus", by_init, ["model", "init"]),
        **quoted_table("shuffled_minus", shuffle_differences(rows), ["init"]),
        **quoted_table("gates_error", summarize(gated, starts), starts),
        **quoted_table("gates_minus", gate_steps(rows), ["step", "init"]),
    }
    many = by_batch[(by_batch.minus == 100) & (by_batch.scoring_batch == MANY)]
    excluded = many.half - many["mean"]
    found["batch_gain_excluded"] = f"{excluded.mean():.2f}" if len(many) else "–"
    for model, table in by_init.groupby("model"):
        found[f"init_widest.{model}"] = f"{(table['mean'].abs() + table.half).max():.2f}"
    found["ruined_verdict"] = ruined(rows, plan)["verdict"]
    return found | mask_values(stored())


def mask_values(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Those of `values` that are measured without training; `tables` as from `stored`."""
    initial = tables["initial_masks"]
    overlaps = mean_overlaps(tables["overlaps"])["mean"]
    found = {f"overlap_whole.{size}": f"{overlap:.2f}" for size, overlap in overlaps.items()}
    found["overlap_whole.other_weights"] = f"{reference_overlaps(tables['overlaps'])[OTHER]:.2f}"
    found["initial_masks_cut"] = str((initial.collapsed != "").sum())
    for row in recurrent_cells(initial).itertuples():
        found[f"units_reached.{row.model}.{row.init}"] = f"{row.units_reached:.0f}"
        found[f"units_by_chance.{row.model}.{row.init}"] = f"{row.by_chance:.0f}"
    kept = mean_shares(tables["layers"])["kept"]
    shares = 100 * kept / kept.groupby(["model", "init"]).transform("sum")
    for (model, init, layer), share in shares.items():
        if layer == "cell recurrent":
            found[f"recurrent_share.{model}.{init}"] = f"{share:.0f}"
    return found
