"""Statistics over rows: intervals, paired differences, corrected for how many there are."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.stats


def percent(mean: float, half: float = math.nan) -> str:
    """An error for a sentence: "2.36 ± 0.14 %"; without ± where there is no interval."""
    if math.isnan(mean):
        return "–"
    return f"{mean:.2f}" + ("" if math.isnan(half) else f" ± {half:.2f}") + " %"


def points(mean: float, half: float = math.nan) -> str:
    """A difference of errors, in points: "+0.39 ± 0.30"; with a minus sign, not a hyphen."""
    if math.isnan(mean):
        return "–"
    text = f"{mean:+z.2f}" + ("" if math.isnan(half) else f" ± {half:.2f}")
    return text.replace("-", "−")


def unsigned(text: str) -> str:
    """A difference without its plus sign, for "costs 0.67 points"."""
    return text.removeprefix("+")


def quoted(name: str, row: Mapping) -> dict[str, str]:
    """A row of `summarize` or `paired` as prose quotes it, by name: `name` with the interval;
    without it "….mean", "….size", which has no sign, and "….tenths", in one digit; and the ends of
    the interval, "….low" and "….open", what it does not exclude. Of differences, too, the
    "….verdict"; "….span", from the least to the most of single pairs; and "….pairs", whether
    "all 3 higher"."""
    numbers = {
        name: unsigned(row["text"]) or "–",
        f"{name}.mean": unsigned(points(row["mean"])),
        f"{name}.size": points(row["mean"]).lstrip("+−"),
        f"{name}.tenths": "–" if math.isnan(row["mean"]) else tenths(row["mean"]),
    }
    if not math.isnan(row["half"]):
        low, high = (
            row.get("low", row["mean"] - row["half"]),
            row.get("high", row["mean"] + row["half"]),
        )
        numbers[f"{name}.low"] = unsigned(points(low))
        numbers[f"{name}.open"] = unsigned(points(high))
    if "verdict" in row:
        low, high, n = row["least"], row["most"], row["n"]
        ends = sorted((abs(low), abs(high))) if low * high > 0 else (low, high)
        numbers[f"{name}.verdict"] = row["verdict"]
        numbers[f"{name}.span"] = " to ".join(map(tenths, ends)) if n else "–"
        pairs = f"all {n} higher" if low > 0 else f"all {n} lower" if high < 0 else "mixed"
        numbers[f"{name}.pairs"] = pairs if n else "–"
    return numbers


def tenths(value: float) -> str:
    """A number in one digit after the point, with a minus sign: "−0.3"."""
    return f"{value:z.1f}".replace("-", "−")


def quoted_table(kind: str, table: pd.DataFrame, by: Iterable[str]) -> dict[str, str]:
    """Every row of a table as `quoted`, named by `kind` and by its columns `by`, a sparsity in
    percent: "sweep_error.lenet-300-100.snip.95"."""
    numbers: dict[str, str] = {}
    for row in table.to_dict("records"):
        words = [
            f"{100 * row[column]:g}" if column == "sparsity" else str(row[column]) for column in by
        ]
        numbers |= quoted(".".join([kind, *words]).replace(" ", "_"), row)
    return numbers


def t_interval(values: Iterable[float]) -> tuple[float, float]:
    """The 95 % interval of the mean, by Student's t; (NaN, NaN) for fewer than two values."""
    values = np.asarray(list(values), dtype=float)
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    half = scipy.stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)
    return values.mean() - half, values.mean() + half


def refuse_repeated(rows: pd.DataFrame, by: list[str]) -> None:
    """Raise ValueError where one run is in a group twice: it would count as two seeds, and narrow
    the interval. A run is known by its columns `run` and `data` where there are such, else by all
    columns but those that hold arrays. That it is in several groups is fine."""
    if "run" in rows:
        known_by = [name for name in ("run", "data") if name in rows]
    else:
        known_by = [name for name in rows if rows[name].map(pd.api.types.is_hashable).all()]
    repeated = rows[rows.duplicated([*by, *known_by])]
    if len(repeated):
        columns = dict.fromkeys([*by, "run", "model", "method", "sparsity", "seed"])
        first = repeated.iloc[0]
        key = ", ".join(f"{name} {first[name]}" for name in columns if name in rows)
        raise ValueError(f"a run is twice in one group by {', '.join(by)}: {key}")


def summarize(rows: pd.DataFrame, by: list[str], value: str = "error") -> pd.DataFrame:
    """Mean, half-width and ends (`low`, `high`) of the 95 % interval and count `n` of `value` over
    the runs that ended well, `lost` for those that did not (diverged or failed), and all of it as
    `text`; one row for each group. Where the interval of a value that is never negative reaches
    below 0, the smallest and the largest are its ends: "48.63 (21.30 to 87.02)".

    Raises ValueError where one run is in a group twice."""
    refuse_repeated(rows, by)

    def described(good: np.ndarray, statistics: dict) -> dict:
        mean, half, low, high, lost = (
            statistics[k] for k in ("mean", "half", "low", "high", "lost")
        )
        text = "–" if math.isnan(mean) else f"{mean:.2f}"
        if low < 0 <= good.min(initial=math.inf):
            low, high = good.min(), good.max()
            text += f" ({low:.2f} to {high:.2f})"
        elif not math.isnan(half):
            text += f" ± {half:.2f}"
        text += f" ({lost} of {len(good) + lost} lost)" if lost else ""
        return {"low": low, "high": high, "text": text}

    types = {**dict.fromkeys(("mean", "half", "low", "high"), float), "n": int, "lost": int}
    good = rows[value].where(rows.status == "ok").astype(float)
    return _by_group(good, rows[by], described, {**types, "text": str})


def _by_group(
    values: pd.Series, groups: pd.DataFrame, described: Callable[..., dict], types: dict
) -> pd.DataFrame:
    """Mean, half-width and ends of the 95 % interval, count `n` and how many are `lost` (NaN) of
    each group, in the order in which groups appear, and what `described` says from the values that
    are not lost and these; columns as in `types`. On arrays, since `DataFrameGroupBy.apply` makes a
    frame of each group."""
    heads = groups.dropna().drop_duplicates(ignore_index=True)
    lines = []
    for _, group in values.groupby([groups[name] for name in groups], sort=False):
        good = group.dropna().to_numpy()
        low, high = t_interval(good)
        statistics = {"mean": good.mean() if len(good) else math.nan, "half": (high - low) / 2}
        statistics |= {"low": low, "high": high, "lost": len(group) - len(good)}
        lines.append({**statistics, "n": len(good), **described(good, statistics)})
    return heads.join(pd.DataFrame(lines, columns=list(types)).astype(types))


def minus_twin(rows: pd.DataFrame, base: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    """The runs of `rows` whose twin in `base`, the run with the same `on`, ended well, with their
    error minus the twin's: what pruning costs a run, so that costs can be `paired` in their turn.

    Raises ValueError where two runs of `base` share the same `on`.
    """
    twins = base.loc[base.status == "ok", [*on, "error"]].rename(columns={"error": "twin"})
    pairs = rows.merge(twins, on=on, validate="many_to_one")
    return pairs.assign(error=pairs.error - pairs.twin).drop(columns="twin")


def paired(
    rows: pd.DataFrame,
    base: pd.DataFrame,
    by: list[str],
    on: tuple[str, ...] = ("model", "seed"),
    value: str = "error",
) -> pd.DataFrame:
    """`value` of `rows` minus that of the run of `base` with the same `on`, within each pair. A run
    without a twin in `base` is left out, and not counted as lost.

    One row for each group `by` of `rows`: mean, half-width of the 95 % interval, the `least` and
    the `most` of single pairs, number of pairs `n`, pairs `lost` because either run did not end
    well, p of a t-test against 0 (two-sided; of the sign test where all differences are equal, as
    counts of wrong images may be by chance), q (p corrected over all groups of this table by
    Benjamini & Hochberg, 1995), `text`, and the verdict: "higher" or "lower" where q < 0.05, else
    "undecided", or "one pair".

    Raises:
        ValueError: `base` holds two runs with the same `on`, or a group of `rows` does: pairs that
            share a run are no pairs of seeds.
    """
    on = list(on)
    heads = ["mean", "half", "least", "most", "n", "lost", "p", "q", "text", "verdict"]
    good = [runs.assign(value=runs[value].where(runs.status == "ok")) for runs in (rows, base)]
    if good[1].duplicated(on).any():
        raise ValueError(f"two runs of the base share one {', '.join(on)}: which is the twin?")
    refuse_repeated(rows, by)
    pairs = good[0].merge(good[1][[*on, "value"]].rename(columns={"value": "twin"}), on=on)
    if pairs.empty:
        return pd.DataFrame(columns=[*by, *heads])
    shared = [*dict.fromkeys([*by, *on])]
    if pairs.duplicated(shared).any():
        first = pairs[pairs.duplicated(shared)].iloc[0]
        key = ", ".join(f"{name} {first[name]}" for name in shared)
        raise ValueError(f"two runs of a group by {', '.join(by)} share one of the base: {key}")

    def described(differences: np.ndarray, statistics: dict) -> dict:
        mean, half, lost = (statistics[key] for key in ("mean", "half", "lost"))
        n, p = len(differences), math.nan
        if n > 1 and half > 1e-9:
            p = scipy.stats.ttest_1samp(differences, 0).pvalue
        elif n > 1:  # no scatter, but for rounding: t is 0/0 or infinite, the sign test is neither
            p = 1.0 if abs(mean) < 1e-9 else 2 * 0.5**n
        text = points(mean, half) + (f" ({lost} of {n + lost} pairs lost)" if lost else "")
        least, most = (differences.min(), differences.max()) if n else (math.nan, math.nan)
        return {"least": least, "most": most, "p": p, "text": text}

    types = dict.fromkeys(("mean", "half", "least", "most"), float)
    types |= {"n": int, "lost": int, "p": float, "text": str}
    table = _by_group(pairs.value - pairs.twin, pairs[by], described, types)
    table["verdict"] = table.n.map({0: "no pair", 1: "one pair"})  # where nothing can be tested
    return corrected(table)[[*by, *heads]]


def pooled(
    rows: pd.DataFrame,
    base: pd.DataFrame,
    sparsities: Sequence[float],
    by: list[str],
    on: tuple[str, ...] = ("seed",),
) -> pd.DataFrame:
    """Error of `rows` minus that of `base`, each in the mean over some sparsities, as from
    `paired`: what a single sparsity leaves undecided may show in all of them. A mean that lacks a
    run, or has one that did not end well, is lost."""
    names = list(dict.fromkeys([*by, *on]))

    def means(runs: pd.DataFrame) -> pd.DataFrame:
        runs = runs[runs.sparsity.isin(sparsities)]
        runs = runs.assign(error=runs.error.where(runs.status == "ok"))
        cells = runs.pivot(index=names, columns="sparsity", values="error")
        mean = cells.reindex(columns=sparsities).mean(axis=1, skipna=False).rename("error")
        return mean.reset_index().assign(status=np.where(mean.isna(), "lost", "ok"))

    return paired(means(rows), means(base), by, on)


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Comparisons with `mean` and `p`, and what follows from all of them together, since a family
    is what one table shows: q (Benjamini & Hochberg, 1995), and, where there is a p, the verdict:
    "higher" or "lower" where q < 0.05, else "undecided"."""
    tested = table.p.notna()
    table = table.assign(q=math.nan)
    if tested.any():
        table.loc[tested, "q"] = scipy.stats.false_discovery_control(table.p[tested])
    sure = table.q < 0.05
    table.loc[tested, "verdict"] = "undecided"
    table.loc[sure & (table["mean"] > 0), "verdict"] = "higher"
    table.loc[sure & (table["mean"] < 0), "verdict"] = "lower"
    return table
