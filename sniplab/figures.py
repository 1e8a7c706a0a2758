"""Statistics over rows, the line of provenance, and one look for all figures."""

import math
import textwrap
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy.stats
import seaborn as sns

from snipcore import MODELS

METHOD_LOOKS = {  # name: (how figures call it, colour, marker): the same in every figure
    "dense": ("dense", "#000000", "s"),
    "snip": ("SNIP", "#0072b2", "o"),
    "shuffled": ("SNIP, shuffled within layers", "#cc79a7", "D"),
    "magnitude": ("magnitude at initialisation", "#e69f00", "^"),
    "random": ("random", "#009e73", "v"),
}
ENGINE_LOOKS = {
    "masked": ("masked", "#d55e00", "s"),
    "sparse": ("sparse", "#56b4e9", "o"),
    "stacked": ("sparse and stacked", "#0072b2", "D"),
}


def t_interval(values: Iterable[float]) -> tuple[float, float]:
    """The 95 % interval of the mean, by Student's t; (NaN, NaN) for fewer than two values."""
    values = np.asarray(list(values), dtype=float)
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    half = scipy.stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)
    return values.mean() - half, values.mean() + half


def summarize(rows: pd.DataFrame, by: list[str], value: str = "error") -> pd.DataFrame:
    """Mean, half-width of the 95 % interval and count `n` of `value` over the runs that ended well,
    `lost` for those that did not, and all of it as `text`; one row for each group."""

    def group(runs: pd.DataFrame) -> pd.Series:
        good = runs.loc[runs.status == "ok", value].dropna()
        low, high = t_interval(good)
        mean, half, lost = good.mean(), (high - low) / 2, len(runs) - len(good)
        text = "–" if math.isnan(mean) else f"{mean:.2f}"
        text += "" if math.isnan(half) else f" ± {half:.2f}"
        text += f" ({lost} of {len(runs)} lost)" if lost else ""
        return pd.Series({"mean": mean, "half": half, "n": len(good), "lost": lost, "text": text})

    if rows.empty:  # no group to apply it to
        return pd.DataFrame(columns=[*by, "mean", "half", "n", "lost", "text"])
    table = rows.groupby(by, sort=False)[["status", value]].apply(group)
    return table.astype({"mean": float, "half": float, "n": int, "lost": int}).reset_index()


def provenance(rows: pd.DataFrame, profile: str) -> str:
    """The line under a figure or table: data, seeds, iterations, profile and hardware of `rows`."""
    parts, runs = [f"Data: {'; '.join(rows.source.unique())}."], {}
    for model, of_model in rows.groupby("model", sort=False):
        seeds = ", ".join(map(str, sorted(of_model.seed.unique())))
        iterations = " and ".join(f"{i:,}" for i in sorted(of_model.iterations.unique()))
        how = f"seed{'s' * (len(seeds) > 1)} {seeds}; {iterations} iterations"
        runs.setdefault(how, []).append(MODELS[model].title)
    parts += [f"{', '.join(titles)}: {how}." for how, titles in runs.items()]
    if (rows.precision != "float32").any():
        trained = sorted(set(rows.trained_in) - {""})
        parts.append(f"Trained in {' and '.join(trained)}.")
    return " ".join([*parts, f"Profile {profile}. {'; '.join(rows.hardware.unique())}."])


def plot_style() -> None:
    """One look for all figures."""
    sns.set_theme(style="whitegrid", context="notebook", font_scale=0.9)
    plt.rcParams.update({"figure.dpi": 110, "axes.titleweight": "bold"})
    plt.rcParams["figure.constrained_layout.use"] = True


def save_figure(
    figure: plt.Figure, name: str, folder: Path, table: pd.DataFrame, note: str
) -> None:
    """Write `<folder>/figures/<name>` as .png, .pdf and, of the data behind it, .csv; `note`, the
    provenance, is set under the figure."""
    width = int(figure.get_figwidth() * 15)  # characters of this size in the width of the figure
    figure.supxlabel(textwrap.fill(note, width), fontsize=7.5, x=0.01, ha="left", color="0.35")
    stem = Path(folder) / "figures" / name
    for suffix in (".png", ".pdf"):
        figure.savefig(stem.with_suffix(suffix), dpi=150, bbox_inches="tight")
    table.to_csv(stem.with_suffix(".csv"), index=False)
