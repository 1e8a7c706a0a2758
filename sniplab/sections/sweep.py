"""§5.1 and §5.2: how far can SNIP prune the LeNets, and does its choice matter?

Fig. 1 (every sparsity) and Table 1 (the published cells) by the published protocol and by what the
reference implementation does by default, with controls that the paper left out, and with changes of
the recipe, one at a time.

Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity. ICLR 2019.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from snipcore import MODELS
from sniplab.methods import METHODS
from sniplab.recipe import REFERENCE, Recipe, recipe_for
from sniplab.runs import Config
from sniplab.sections import (
    COMMITTED,
    RESULTS,
    Plan,
    check_counts,
    check_profile,
    chosen,
    several,
    stored_rows,
    stored_table,
)
from sniplab.sections.sweep_tables import (
    BY,
    ENDING,
    LENET_5,
    LENET_300,
    PUBLISHED,
    UNCHANGED,
    VARIANT,
    controls,
    costs,
    curve_name,
    lost_trials,
    main_part,
    recipes_near,
    swept_rows,
    title,
    trials,
    variant_costs,
    variants_of,
    with_curves,
)
from sniplab.show import level, spanned
from sniplab.stats import (
    paired,
    percent,
    points,
    quoted_table,
    summarize,
    t_interval,
    unsigned,
)
from sniplab.verdicts import (
    CLOSE,
    at,
    collected_claim,
    equal,
    fewest,
    from_to,
    length_of,
    missing,
    near,
    new_claim,
    undertrained,
)

ALL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
FIG_1 = tuple(sparsity for sparsity in ALL if sparsity <= 0.9)  # Table 1 goes beyond
CONTROLS = ("shuffled", "magnitude", "random")
DENSE_CELL = ("dense", 0.0)
ABOVE = tuple(sparsity for sparsity in ALL if sparsity >= 0.9)  # of the claims on controls

# ------------------------------------------------------------------------------------ what is run


@dataclass(frozen=True)
class Numbers:
    """What a profile says of one network in one part."""

    iterations: int
    seeds: int
    checkpoints: int
    sparsities: Mapping[str, tuple[float, ...]]  # by method; a dense run for each seed besides
    seeds_above: int = 0  # of the dense network and from 90 % on, where it is more than `seeds`


@dataclass(frozen=True)
class Profile:
    """What a profile says of this section."""

    sweep: Mapping[str, Numbers]  # by network
    defaults: Mapping[str, Numbers]  # the same by REFERENCE
    table_1: Mapping[str, Numbers]
    variants: Numbers  # of LENET_300
    variant_names: tuple[str, ...]
    rate_seeds: int  # of the trials of learning rates
    rates: tuple[float, ...] = (0.1, 0.05, 0.02)  # that are tried, each from all of `starts`
    starts: tuple[Mapping, ...] = ({}, {"init": "vs-x"}, {"inputs": "unit"})


def _snip(*sparsities: float) -> dict[str, tuple[float, ...]]:
    return {"snip": sparsities}


def _with_controls(snip: tuple[float, ...], controls: tuple[float, ...]) -> dict:
    return {"snip": snip, **dict.fromkeys(CONTROLS, controls)}


# What might stand between LeNet-300-100 and its published errors: changes of the recipe, and of the
# rest of a Config.
VARIANTS = {
    UNCHANGED: ({}, {}),
    "no momentum": ({"momentum": 0.0}, {}),
    "learning rate 0.03": ({"lr": 0.03}, {}),
    "batches of 25": ({"batch_size": 25}, {}),
    "no weight decay": ({"weight_decay": 0.0}, {}),
    "weight decay 0.0001": ({"weight_decay": 1e-4}, {}),
    "shifts by 1 pixel": ({"shift": 1}, {}),
    "shifts by 2 pixels": ({"shift": 2}, {}),
    "shifts by 4 pixels": ({"shift": 4}, {}),
    "flips": ({"flip": True}, {}),
    "new weights under the mask": ({}, {"reinit": "vs"}),
    "Glorot's initial weights": ({}, {"init": "vs-x"}),
    "scored on 1,000 images": ({}, {"scoring_batch": 1000}),
    "biases neither pruned nor counted": ({}, {"biases": False}),
    "validation images trained on": ({}, {"validation": True}),
    "pixels from 0 to 1": ({}, {"inputs": "unit"}),
}

PUBLISHED_CELLS = {LENET_300: _snip(0.95, 0.98), LENET_5: _snip(0.98, 0.99)}
VARIANT_CELLS = _snip(0.95, 0.98)
SOME = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)

PROFILES = {
    "smoke": Profile(
        sweep={
            LENET_300: Numbers(20, 2, 2, _with_controls((0.5, 0.9, 0.98), (0.9,))),
            LENET_5: Numbers(4, 2, 1, {"snip": (0.9,), "random": (0.9,)}),
        },
        defaults={LENET_300: Numbers(20, 2, 2, _with_controls((0.9,), (0.9,)))},
        table_1={
            LENET_300: Numbers(20, 2, 2, _snip(0.98)),
            LENET_5: Numbers(4, 2, 1, _snip(0.98)),
        },
        variants=Numbers(10, 1, 2, VARIANT_CELLS),
        variant_names=(UNCHANGED, "shifts by 1 pixel", "pixels from 0 to 1"),
        rate_seeds=1,
        rates=(0.1,),
        starts=({},),
    ),
    "quick": Profile(
        sweep={
            LENET_300: Numbers(540, 3, 2, _with_controls((0.3, *SOME), (0.9, 0.99))),
            LENET_5: Numbers(90, 2, 2, {"snip": (0.9,), "random": (0.9,)}),
        },
        defaults={},  # too few steps for a constant rate
        table_1={
            LENET_300: Numbers(540, 3, 2, _snip(0.95, 0.98)),
            LENET_5: Numbers(90, 2, 2, _snip(0.98)),
        },
        variants=Numbers(120, 1, 2, VARIANT_CELLS),
        variant_names=tuple(VARIANTS),
        rate_seeds=1,
        rates=(0.1, 0.02),
        starts=({},),
    ),
    "desktop": Profile(  # the committed report
        sweep={
            LENET_300: Numbers(
                75_000, 5, 75, _with_controls(ALL, (0.7, 0.8, *ABOVE)), seeds_above=20
            ),
        },
        defaults={
            LENET_300: Numbers(10_000, 5, 10, _with_controls(ALL, SOME)),
            LENET_5: Numbers(10_000, 3, 10, _with_controls(ALL, (0.5, 0.9, 0.95, 0.98, 0.99))),
        },
        table_1={
            LENET_300: Numbers(75_000, 20, 75, PUBLISHED_CELLS[LENET_300]),
            LENET_5: Numbers(75_000, 3, 75, PUBLISHED_CELLS[LENET_5]),
        },
        variants=Numbers(75_000, 3, 75, VARIANT_CELLS),
        variant_names=tuple(VARIANTS),
        rate_seeds=10,
    ),
    "paper": Profile(
        sweep=dict.fromkeys(
            (LENET_300, LENET_5), Numbers(75_000, 20, 75, _with_controls(ALL, ALL))
        ),
        defaults=dict.fromkeys(
            (LENET_300, LENET_5), Numbers(10_000, 20, 10, _with_controls(ALL, ALL))
        ),
        table_1={name: Numbers(75_000, 20, 75, cells) for name, cells in PUBLISHED_CELLS.items()},
        variants=Numbers(75_000, 20, 75, VARIANT_CELLS),
        variant_names=tuple(VARIANTS),
        rate_seeds=20,
    ),
}


def plan(
    profile: str,
    dataset: str = "mnist",
    models: str | Iterable[str] | None = None,
    methods: str | Iterable[str] | None = None,
    sparsities: float | Iterable[float] | None = None,
    seeds: int | None = None,
    iterations: int | None = None,
) -> dict[str, list[Config]]:
    """The runs of the section by part: "sweep" by the published protocol, "defaults" by that of the
    reference implementation, "table_1" with the published cells, and one for each of VARIANTS.

    Args:
        models: one or more networks in place of the profile's own; one that it lacks is swept as
            LeNet-300-100 is.
        methods, sparsities: in place of the profile's own, in the sweeps; the published cells and
            the variants are then left out.
        seeds, iterations: in place of the profile's own.

    Raises ValueError for an unknown profile, network or method, for a sparsity that is no number,
    and for numbers below 1.
    """
    check_profile(profile)
    check_counts(seeds=seeds, iterations=iterations)
    of = PROFILES[profile]
    models = chosen(models, MODELS, "model")
    methods = chosen(methods, METHODS, "method")
    sparsities = several(sparsities)
    for sparsity in sparsities or ():
        if isinstance(sparsity, str):  # whose letters would be sparsities
            raise ValueError(f"sparsity {sparsity!r} is no number")

    def swept(part: Mapping[str, Numbers]) -> dict[str, Numbers]:
        """The networks of a sweep, with methods and sparsities as asked for."""
        names = list(part) if models is None else models
        found = {}
        for name in names if part else ():
            numbers = part.get(name, part[LENET_300])
            cells = numbers.sparsities
            if methods is not None:
                own = cells["snip"]
                cells = {method: cells.get(method, own) for method in methods if method != "dense"}
            if sparsities is not None:
                cells = dict.fromkeys(cells, sparsities)
            found[name] = dataclasses.replace(numbers, sparsities=cells)
        return found

    def runs(
        numbers: Numbers, model: str, recipe: Recipe, changes: Mapping | None = None
    ) -> list[Config]:
        cells = [DENSE_CELL]
        cells += [(method, s) for method, levels in numbers.sparsities.items() for s in levels]
        above = [cell for cell in cells if cell == DENSE_CELL or cell[1] in ABOVE]
        few, many = numbers.seeds, max(numbers.seeds, numbers.seeds_above)
        if seeds is not None:
            few = many = seeds
        return [
            Config(model, recipe, *cell, seed, dataset, **(changes or {}))
            for seed in range(many)
            for cell in (cells if seed < few else above)
        ]

    def protocol(model: str, numbers: Numbers) -> Recipe:
        return recipe_for(model, iterations or numbers.iterations, numbers.checkpoints)

    parts = {"sweep": [], "defaults": [], "table_1": []}
    for model, numbers in swept(of.sweep).items():
        parts["sweep"] += runs(numbers, model, protocol(model, numbers))
    for model, numbers in swept(of.defaults).items():
        length = protocol(model, numbers)
        lengths = {"iterations": length.iterations, "checkpoints": length.checkpoints}
        recipe = dataclasses.replace(REFERENCE, **lengths)
        parts["defaults"] += runs(numbers, model, recipe, {"reinit": "vs"})
    for part in ("sweep", "defaults"):
        parts[part].sort(key=lambda config: config.seed)
    # What was published is of SNIP at sparsities of its own.
    own_cells = methods is None and sparsities is None
    for model, numbers in of.table_1.items():
        if own_cells and (models is None or model in models):
            parts["table_1"] += runs(numbers, model, protocol(model, numbers))
    if own_cells and (models is None or LENET_300 in models):
        # As many checkpoints as Table 1's, so that unchanged runs are those of it.
        numbers = dataclasses.replace(of.variants, checkpoints=of.table_1[LENET_300].checkpoints)
        plain = protocol(LENET_300, numbers)
        for name in of.variant_names:
            recipe, rest = VARIANTS[name]
            changed = dataclasses.replace(plain, **recipe)
            parts[VARIANT + name] = runs(numbers, LENET_300, changed, rest)
    return parts


def rates_plan(profile: str, dataset: str = "mnist") -> dict[str, list[Config]]:
    """Trials of dense LeNet-5-Caffe, in part "trials": at which rates it diverges, with momentum
    and without, and whether by the scale of its initial weights or of its inputs."""
    check_profile(profile)
    of = PROFILES[profile]
    return {
        "trials": [
            Config(
                LENET_5,
                Recipe(60, lr=lr, momentum=momentum, checkpoints=1),
                "dense",
                0.0,
                seed,
                dataset,
                test_images=1000,
                **changed,
            )
            for momentum in (0.9, 0.0)
            for changed in of.starts
            for lr in of.rates
            for seed in range(of.rate_seeds)
        ]
    }


# ---------------------------------------------------------------------------------- what is claimed

PRUNED, CHOICE = "pruned beside dense", "which connections"
DENSE = "dense networks and implementation"
BEATEN = {"random": "random pruning", "shuffled": "its own mask shuffled within layers"}


def main_curve(rows: pd.DataFrame, plan: Plan, model: str) -> pd.DataFrame:
    """The rows of a network's sweep, those of its `main_part`."""
    return rows[(rows.part == main_part(plan, model)) & (rows.model == model)]


def claims(rows: pd.DataFrame, plan: Plan) -> list[dict]:
    """The rows of the table of claims; `rows` as from `rows_of`. A claim whose runs, by `plan`, are
    not all there, or that stands beside an undertrained dense network, is untested."""
    table_1, found = rows[rows.part == "table_1"], []

    def add(claim: dict, part: str, model: str, cells: Iterable[tuple[str, float]]) -> None:
        why = missing_cells(rows, plan, part, model, cells)
        there = claim["ours"] != "–"
        found.append(claim | _verdict(why if there else "", claim["verdict"]))

    for model in (LENET_300, LENET_5):
        claim = every_level(main_curve(rows, plan, model), model)
        add(claim, main_part(plan, model), model, [DENSE_CELL, *(("snip", s) for s in FIG_1)])
    for model, sparsity in PUBLISHED:
        cells = {DENSE_CELL, ("snip", sparsity) if sparsity else DENSE_CELL}
        add(number(table_1, model, sparsity), "table_1", model, cells)
    for model, sparsity in ((LENET_300, 0.95), (LENET_5, 0.98)):
        cells = [DENSE_CELL, ("snip", sparsity)]
        add(change(table_1, model, sparsity), "table_1", model, cells)
    compared = controls(with_curves(swept_rows(rows)))
    for model in (LENET_300, LENET_5):
        for method in BEATEN:
            cells = [(name, s) for name in ("snip", method) for s in ABOVE]
            claim = over_control(rows, compared, plan, model, method)
            add(claim, main_part(plan, model), model, cells)
    return found


def missing_cells(
    rows: pd.DataFrame, plan: Plan, part: str, model: str, cells: Iterable[tuple[str, float]]
) -> str:
    """Why a claim on some cells, each a method at a sparsity, of a network in a part has no verdict
    yet: as from `missing`, or that the plan does not ask for one: "not run at 95 %"; else ""."""
    cells = set(cells)
    configs = [c for c in plan[part] if c.model == model and (c.method, c.sparsity) in cells]
    if why := missing(rows[(rows.part == part) & (rows.model == model)], configs):
        return why
    never = sorted({sparsity for _, sparsity in cells - {(c.method, c.sparsity) for c in configs}})
    return f"not run at {', '.join(map(level, never))}" if never else ""


def _untrained(rows: pd.DataFrame, model: str) -> str:
    """Why its rows cannot be held against a published error; "" where they can."""
    dense = rows[(rows.model == model) & (rows.method == "dense") & (rows.status == "ok")]
    return undertrained(dense.error.mean(), PUBLISHED[model, 0.0])


def _name(what: str, model: str, sparsity: float | None = None) -> str:
    """The id of a claim: "error.lenet-300-100.95"."""
    ending = "" if sparsity is None else f".{100 * sparsity:g}"
    return f"{what}.{model}{ending}"


def number(rows: pd.DataFrame, model: str, sparsity: float) -> dict:
    """A cell of Table 1: the error of a dense network (sparsity 0) or of SNIP's."""
    published = PUBLISHED[model, sparsity]
    why = _untrained(rows, model)
    method, group = ("snip", PRUNED) if sparsity else ("dense", DENSE)
    cell = (rows.model == model) & (rows.sparsity == sparsity) & (rows.method == method)
    rows = rows[cell]
    text = f"{title(model)}, {at(sparsity)}: {published:g} % test error"
    claim = new_claim(
        _name("error", model, sparsity), group, "§5.2, Table 1", text, f"{published:g} %",
        "number", length_of(rows), 0,
    )  # fmt: skip
    if rows.empty:
        return claim
    last, best = (summarize(rows, ["model"], v).iloc[0] for v in ("error", "error_last_five"))
    ours = percent(last["mean"], last.half)
    if last.n:
        ours += f" (best of the last five {best['mean']:.2f})"
    if last.lost:
        ours += f" ({last.lost} of {len(rows)} lost)"
    if last["mean"] + CLOSE < published:
        ours += ", lower than published"
    claim |= {"ours": ours, "seeds": int(last.n)}
    return claim | _verdict(why, near(last, published, best["mean"]))


def _verdict(why: str, verdict: str) -> dict:
    """A verdict, or that and why there is none."""
    return {"verdict": f"untested: {why}" if why else verdict}


def change(rows: pd.DataFrame, model: str, sparsity: float) -> dict:
    """What pruning costs by Table 1: SNIP minus dense, within a seed."""
    rows = rows[rows.model == model]
    published = PUBLISHED[model, sparsity] - PUBLISHED[model, 0.0]
    snips = rows[(rows.method == "snip") & (rows.sparsity == sparsity)]
    table = paired(snips, rows[rows.method == "dense"], ["model"])
    claim = new_claim(
        _name("cost", model, sparsity), PRUNED, "§5.2, Table 1",
        f"{title(model)} {at(sparsity)} is as good as dense", points(published), "difference",
        length_of(rows), int(table.n.sum()),
    )  # fmt: skip
    if table.empty:
        return claim
    row = table.iloc[0]
    verdict = _verdict(_untrained(rows, model), near(row, published))
    return claim | {"ours": row.text} | verdict


def every_level(rows: pd.DataFrame, model: str) -> dict:
    """Fig. 1: SNIP is as good as dense at every sparsity, each of which must have been run."""
    snips = rows[(rows.method == "snip") & rows.sparsity.isin(FIG_1)]
    table = paired(snips, rows[rows.method == "dense"], ["sparsity"])
    levels = spanned([100 * sparsity for sparsity in FIG_1], "{:g}")
    text = f"{title(model)} is as good as dense (± {CLOSE} points) at every sparsity of "
    text += f"Fig. 1, {levels} %"
    claim = new_claim(
        _name("every_level", model), PRUNED, "§5.1, Fig. 1", text, "by eye", "equality",
        length_of(rows), fewest(table),
    )  # fmt: skip
    there = table[table.n > 0]  # the others are lost
    if there.empty:
        return claim
    levels = spanned(100 * there.sparsity, "{:g}")
    claim["ours"] = f"{from_to(there['mean'])} at {levels} %"
    if claim["seeds"] < 2 or set(FIG_1) > set(there.sparsity):
        return claim
    if table.lost.any():
        return claim | _verdict(f"{table.lost.sum()} of {len(snips)} pairs lost", "")
    if why := _untrained(rows, model):
        return claim | _verdict(why, "")
    return equal(claim, table, CLOSE)


def over_control(
    rows: pd.DataFrame, compared: pd.DataFrame, plan: Plan, model: str, method: str
) -> dict:
    """What the paper left out: SNIP against a control at each sparsity ABOVE. `compared`: as from
    `controls`, whose correction is over all of its comparisons."""
    part, pair = main_part(plan, model), ("snip", method)
    curve = main_curve(rows, plan, model)
    curve = curve[curve.sparsity.isin(ABOVE) & curve.method.isin(pair)]
    configs = [c for c in plan[part] if c.model == model and c.sparsity in ABOVE]
    configs = [config for config in configs if config.method in pair]
    table = compared[(compared.curve == curve_name(model, part)) & (compared.method == method)]
    text = f"{title(model)}, {level(ABOVE[0])} and above: SNIP beats {BEATEN[method]}"
    name, table = _name(f"over_{method}", model), table[table.sparsity.isin(ABOVE)]
    return collected_claim(name, CHOICE, text, curve, configs, table, "control − SNIP")


# --------------------------------------------------------------------------- numbers of the prose


def values(rows: pd.DataFrame, plan: Plan) -> dict[str, str]:
    """The numbers that prose quotes, by name; "–" where there are none.

    "error.lenet-300-100.95", "best_of_last_five.…" and "cost.…" of the published cells; along the
    curve of a network by the published protocol "sweep_error.lenet-300-100.snip.95",
    "sweep_cost.lenet-300-100.90", "sweep_control.lenet-300-100.random.99", and by the defaults of
    the reference implementation "defaults_…" alike; "variant.flips.95", "variant_cost.flips.95".
    The endings are those of `quoted`.
    """
    rows = with_curves(rows)
    full, swept, variants = rows[rows.part == "table_1"], swept_rows(rows), variants_of(rows)
    found = quoted_table("error", summarize(full, BY), BY)
    found |= quoted_table("best_of_last_five", summarize(full, BY, "error_last_five"), BY)
    found |= quoted_table("cost", costs(full, "model"), BY)
    names = {curve_name(model, part): (model, part) for model in MODELS for part in ENDING}
    errors = summarize(swept, ["curve", "method", "sparsity"])
    for kind, table in (("error", errors), ("cost", costs(swept)), ("control", controls(swept))):
        by = ["model", *(["method"] if "method" in table else []), "sparsity"]
        for curve, some in table.groupby("curve"):
            model, part = names[curve]
            found |= quoted_table(f"{part}_{kind}", some.assign(model=model), by)
    by = ["part", "sparsity"]
    found |= quoted_table("variant", summarize(variants, by), by)
    found |= quoted_table("variant_cost", variant_costs(variants), by)
    for model in (LENET_300, LENET_5):
        table = costs(main_curve(rows, plan, model))
        costly = table[table.verdict == "higher"]
        found[f"first_costly.{model}"] = level(costly.sparsity.min()) if len(costly) else "–"
    pruned = variant_costs(variants)
    pruned = pruned[pruned.sparsity == 0.95].set_index("part")["mean"]
    near = recipes_near(variants)
    found["recipes"] = str(len(near))
    found["recipes_near"] = str(int(near["all"].sum()))
    found["recipes_near_when_pruned"] = ", ".join(near.part[near.pruned]) or "–"
    found["least_cost_of_recipes"] = unsigned(points(pruned.min()))
    gains = full.assign(gain=full.error - full.error_best)  # of the best of all checkpoints
    found["largest_gain"] = unsigned(points(summarize(gains, BY, "gain")["mean"].max()))
    found["pooled_shuffle.lenet-5-caffe"] = pooled_shuffle(main_curve(rows, plan, LENET_5))
    for row in lost_trials(
        trials(stored_rows("1_learning_rates", rates_plan(COMMITTED), RESULTS))
    ).itertuples():
        if row.momentum == 0.9:
            found[f"diverged.{row.start.replace(' ', '_')}.{row.lr:g}"] = row.text
    speed = stored_table("1_time").groupby(["engine", "sparsity"]).speed.median()
    found |= {f"speed.{engine}.{100 * s:g}": f"{v:.1f}" for (engine, s), v in speed.items()}
    return found


def pooled_shuffle(curve: pd.DataFrame) -> str:
    """What shuffling changes in the mean over the sparsities ABOVE, in points, over seeds; `curve`
    as from `main_curve`."""
    some = curve[curve.sparsity.isin(ABOVE) & curve.method.isin(("shuffled", "snip"))]
    if set(some.method) != {"shuffled", "snip"}:
        return "–"
    some = some.assign(error=some.error.where(some.status == "ok"))
    cells = some.pivot(index="seed", columns=["method", "sparsity"], values="error")
    cells = cells.dropna()  # a seed that lost a run would be a mean of other sparsities
    difference = cells["shuffled"].mean(axis=1) - cells["snip"].mean(axis=1)
    low, high = t_interval(difference)
    return unsigned(points(difference.mean(), (high - low) / 2))
