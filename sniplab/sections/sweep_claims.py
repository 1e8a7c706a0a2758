"""§5.1 and §5.2: what the runs of `sniplab.sections.sweep` say of the claims, and their numbers for
prose."""

from collections.abc import Collection, Iterable

import pandas as pd

from snipcore import MODELS
from sniplab.sections import COMMITTED, RESULTS, Plan, stored_rows
from sniplab.sections.sweep import ABOVE, DENSE_CELL, FIG_1, rates_plan
from sniplab.sections.sweep_tables import (
    BY,
    CONTROLS,
    ENDING,
    LENET_5,
    LENET_300,
    PUBLISHED,
    controls,
    costs,
    curve_name,
    lost_trials,
    main_part,
    protocol_rows,
    recipes_near,
    swept_rows,
    title,
    variant_costs,
    variants_of,
    with_curves,
)
from sniplab.show import level, spanned
from sniplab.stats import paired, percent, points, pooled, quoted_table, summarize, unsigned
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

# ---------------------------------------------------------------------------------- what is claimed

PRUNED, CHOICE = "pruned beside dense", "which connections"
DENSE = "dense networks and implementation"
BEATEN = {"random": "random pruning", "shuffled": "its own mask shuffled within layers"}


def main_curve(
    rows: pd.DataFrame, plan: Plan, model: str, methods: Collection[str] = ("snip",)
) -> pd.DataFrame:
    """The rows of a network's sweep, those of its `main_part`; arguments as for that."""
    return rows[(rows.part == main_part(plan, model, methods)) & (rows.model == model)]


def claims(rows: pd.DataFrame, plan: Plan) -> list[dict]:
    """The rows of the table of claims; `rows` as from `rows_of`. A claim whose runs, by `plan`, are
    not all there, or that stands beside an undertrained dense network, is untested."""
    table_1, judged_claims = rows[rows.part == "table_1"], []

    def add(claim: dict, part: str, model: str, cells: Iterable[tuple[str, float]]) -> None:
        reason = missing_cells(rows, plan, part, model, cells)
        if reason and claim["ours"] != "–":
            claim["verdict"] = f"untested: {reason}"
        judged_claims.append(claim)

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
            add(claim, main_part(plan, model, [method]), model, cells)
    return judged_claims


def missing_cells(
    rows: pd.DataFrame, plan: Plan, part: str, model: str, cells: Iterable[tuple[str, float]]
) -> str:
    """Why a claim on some cells, each a method at a sparsity, of a network in a part has no verdict
    yet: as from `missing`, or that the plan does not ask for one: "not run at 95 %"; else ""."""
    cells = set(cells)
    configs = [c for c in plan[part] if c.model == model and (c.method, c.sparsity) in cells]
    if reason := missing(rows[(rows.part == part) & (rows.model == model)], configs):
        return reason
    never = sorted({sparsity for _, sparsity in cells - {(c.method, c.sparsity) for c in configs}})
    return f"not run at {', '.join(map(level, never))}" if never else ""


def _untrained(rows: pd.DataFrame, model: str) -> str:
    """Why its rows cannot be held against a published error; "" where they can."""
    dense = rows[(rows.model == model) & (rows.method == "dense") & (rows.status == "ok")]
    return undertrained(dense.error.mean(), PUBLISHED[model, 0.0])


def number(rows: pd.DataFrame, model: str, sparsity: float) -> dict:
    """A cell of Table 1: the error of a dense network (sparsity 0) or of SNIP's."""
    published = PUBLISHED[model, sparsity]
    reason = _untrained(rows, model)
    method, group = ("snip", PRUNED) if sparsity else ("dense", DENSE)
    cell = (rows.model == model) & (rows.sparsity == sparsity) & (rows.method == method)
    rows = rows[cell]
    text = f"{title(model)}, {at(sparsity)}: {published:g} % test error"
    claim = new_claim(
        f"error.{model}.{100 * sparsity:g}", group, "§5.2, Table 1", text, f"{published:g} %",
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
    verdict = f"untested: {reason}" if reason else near(last, published, best["mean"])
    return claim | {"ours": ours, "seeds": int(last.n), "verdict": verdict}


def change(rows: pd.DataFrame, model: str, sparsity: float) -> dict:
    """What pruning costs by Table 1: SNIP minus dense, within a seed."""
    rows = rows[rows.model == model]
    published = PUBLISHED[model, sparsity] - PUBLISHED[model, 0.0]
    word = "better" if published < 0 else "worse"
    text = f"{title(model)} {at(sparsity)}: {abs(published):.1f} points {word} than dense"
    snips = rows[(rows.method == "snip") & (rows.sparsity == sparsity)]
    table = paired(snips, rows[rows.method == "dense"], ["model"])
    claim = new_claim(
        f"cost.{model}.{100 * sparsity:g}", PRUNED, "§5.2, Table 1",
        text, points(published), "difference", length_of(rows), int(table.n.sum()),
    )  # fmt: skip
    if table.empty:
        return claim
    row = table.iloc[0]
    reason = _untrained(rows, model)
    verdict = f"untested: {reason}" if reason else near(row, published)
    return claim | {"ours": row.text, "verdict": verdict}


def every_level(rows: pd.DataFrame, model: str) -> dict:
    """Fig. 1: SNIP is as good as dense at every sparsity, each of which must have been run."""
    snips = rows[(rows.method == "snip") & rows.sparsity.isin(FIG_1)]
    table = paired(snips, rows[rows.method == "dense"], ["sparsity"])
    levels = spanned([100 * sparsity for sparsity in FIG_1], "{:g}")
    text = f"{title(model)} is as good as dense (± {CLOSE} points) at every sparsity of "
    text += f"Fig. 1, {levels} %"
    claim = new_claim(
        f"every_level.{model}", PRUNED, "§5.1, Fig. 1", text, "by eye", "equality",
        length_of(rows), fewest(table),
    )  # fmt: skip
    present_rows = table[table.n > 0]  # the others are lost
    if present_rows.empty:
        return claim
    levels = spanned(100 * present_rows.sparsity, "{:g}")
    claim["ours"] = f"{from_to(present_rows['mean'])} at {levels} %"
    if claim["seeds"] < 2 or set(FIG_1) > set(present_rows.sparsity):
        return claim
    if table.lost.any():
        return claim | {"verdict": f"untested: {table.lost.sum()} of {len(snips)} pairs lost"}
    if reason := _untrained(rows, model):
        return claim | {"verdict": f"untested: {reason}"}
    return equal(claim, table, CLOSE)


def over_control(
    rows: pd.DataFrame, compared: pd.DataFrame, plan: Plan, model: str, method: str
) -> dict:
    """What the paper left out: SNIP against a control at each sparsity ABOVE. `compared`: as from
    `controls`, whose correction is over all of its comparisons."""
    part, pair = main_part(plan, model, [method]), ("snip", method)
    curve = main_curve(rows, plan, model, [method])
    curve = curve[curve.sparsity.isin(ABOVE) & curve.method.isin(pair)]
    configs = [c for c in plan[part] if c.model == model and c.sparsity in ABOVE]
    configs = [config for config in configs if config.method in pair]
    table = compared[(compared.curve == curve_name(model, part)) & (compared.method == method)]
    text = f"{title(model)}, {level(ABOVE[0])} and above: SNIP beats {BEATEN[method]}"
    name, table = f"over_{method}.{model}", table[table.sparsity.isin(ABOVE)]
    return collected_claim(name, CHOICE, text, curve, configs, table, "control − SNIP")


# --------------------------------------------------------------------------- numbers of the prose


def values(rows: pd.DataFrame, plan: Plan) -> dict[str, str]:
    """The numbers that prose quotes, by name; "–" where there are none.

    "error.lenet-300-100.95", "best_of_last_five.…" and "cost.…" of the published cells; along the
    curve of a network by the published protocol "sweep_error.lenet-300-100.snip.95",
    "sweep_train_error.…", "sweep_cost.lenet-300-100.90", "sweep_control.lenet-300-100.random.99",
    and by the defaults of the reference implementation "defaults_…" alike;
    "magnitude_minus_shuffled.lenet-300-100.90"; "pooled_control.lenet-5-caffe.shuffled", of
    `pooled`; "variant.flips.95", "variant_cost.flips.95".
    The endings are those of `quoted`.
    """
    rows = with_curves(rows)
    full, swept, variants = rows[rows.part == "table_1"], swept_rows(rows), variants_of(rows)
    numbers = quoted_table("error", summarize(full, BY), BY)
    numbers |= quoted_table("best_of_last_five", summarize(full, BY, "error_last_five"), BY)
    numbers |= quoted_table("cost", costs(full, "model"), BY)
    names = {curve_name(model, part): (model, part) for model in MODELS for part in ENDING}
    errors = summarize(swept, ["curve", "method", "sparsity"])
    fitted = summarize(swept, ["curve", "method", "sparsity"], "train_error")
    for kind, table in (
        ("error", errors),
        ("train_error", fitted),
        ("cost", costs(swept)),
        ("control", controls(swept)),
    ):
        by = ["model", *(["method"] if "method" in table else []), "sparsity"]
        for curve, group in table.groupby("curve"):
            model, part = names[curve]
            numbers |= quoted_table(f"{part}_{kind}", group.assign(model=model), by)
    main = protocol_rows(swept)
    magnitude, shuffled = (main[main.method == method] for method in ("magnitude", "shuffled"))
    beside = paired(magnitude, shuffled, BY, (*BY, "seed"))
    numbers |= quoted_table("magnitude_minus_shuffled", beside, BY)
    cost, by = variant_costs(variants), ["part", "sparsity"]
    numbers |= quoted_table("variant", summarize(variants, by), by)
    numbers |= quoted_table("variant_cost", cost, by)
    for model in (LENET_300, LENET_5):
        table = costs(main_curve(rows, plan, model))
        costly = table[table.verdict == "higher"]
        numbers[f"first_costly.{model}"] = level(costly.sparsity.min()) if len(costly) else "–"
    near = recipes_near(variants)
    numbers["recipes"] = str(len(near))
    numbers["recipes_near"] = str(int(near["all"].sum()))
    numbers["recipes_near_when_pruned"] = ", ".join(near.part[near.pruned]) or "–"
    numbers["least_cost_of_recipes"] = unsigned(points(cost["mean"][cost.sparsity == 0.95].min()))
    gains = full.assign(gain=full.error - full.error_best)  # of the best of all checkpoints
    numbers["largest_gain"] = unsigned(points(summarize(gains, BY, "gain")["mean"].max()))
    curve = main_curve(rows, plan, LENET_5, ["shuffled"])
    snips = curve[curve.method == "snip"]
    below_99 = pooled(curve[curve.method.isin(CONTROLS)], snips, ABOVE[:-1], ["method"])
    numbers |= quoted_table("pooled_control.lenet-5-caffe", below_99, ["method"])
    tried = stored_rows("1_learning_rates", rates_plan(COMMITTED), RESULTS)
    for row in lost_trials(tried).itertuples():
        if row.momentum == 0.9:
            kind = "diverged" if row.sparsity == level(0) else "diverged_pruned"
            numbers[f"{kind}.{row.start.replace(' ', '_')}.{row.lr:g}"] = row.diverged
    return numbers
