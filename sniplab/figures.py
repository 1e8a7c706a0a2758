"""Statistics over rows, sentences made of them, and one look for all figures."""

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import PIL.Image
import scipy.stats
import seaborn as sns
from IPython.display import Image, Markdown, display

from snipcore import MODELS

METHOD_LOOKS = {  # name: (how figures call it, colour, marker): the same in every figure
    "dense": ("dense", "#000000", "s"),
    "snip": ("SNIP", "#0072b2", "o"),
    "shuffled": ("SNIP, shuffled within layers", "#cc79a7", "D"),
    "magnitude": ("magnitude at initialisation", "#e69f00", "^"),
    "random": ("random", "#009e73", "v"),
    "rescaled": ("random, rescaled", "#56b4e9", "P"),
    "gradient": ("gradient alone", "#d55e00", "X"),
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
    """Mean, half-width and ends (`low`, `high`) of the 95 % interval and count `n` of `value` over
    the runs that ended well, `lost` for those that did not (diverged or failed), and all of it as
    `text`; one row for each group. Where the interval of a value that is never negative reaches
    below 0, the smallest and the largest are its ends: "48.63 (21.30 to 87.02)"."""

    def group(runs: pd.DataFrame) -> pd.Series:
        good = runs.loc[runs.status == "ok", value].dropna()
        low, high = t_interval(good)
        mean, half, lost = good.mean(), (high - low) / 2, len(runs) - len(good)
        text = "–" if math.isnan(mean) else f"{mean:.2f}"
        if low < 0 <= good.min():
            low, high = good.min(), good.max()
            text += f" ({low:.2f} to {high:.2f})"
        elif not math.isnan(half):
            text += f" ± {half:.2f}"
        text += f" ({lost} of {len(runs)} lost)" if lost else ""
        found = {"mean": mean, "half": half, "low": low, "high": high}
        return pd.Series({**found, "n": len(good), "lost": lost, "text": text})

    types = {**dict.fromkeys(("mean", "half", "low", "high"), float), "n": int, "lost": int}
    if rows.empty:  # no group to apply it to
        return pd.DataFrame(columns=[*by, *types, "text"])
    table = rows.groupby(by, sort=False)[["status", value]].apply(group)
    return table.astype(types).reset_index()


def paired(
    rows: pd.DataFrame,
    base: pd.DataFrame,
    by: list[str],
    on: tuple[str, ...] = ("model", "seed"),
    value: str = "error",
) -> pd.DataFrame:
    """`value` of `rows` minus that of the run of `base` with the same `on`, within each pair.

    One row for each group `by` of `rows`: mean, half-width of the 95 % interval, the `least` and
    the `most` of single pairs, number of pairs `n`, pairs `lost` because either run did not end
    well, p of a t-test against 0 (two-sided; of the sign test where all differences are equal, as
    counts of wrong images may be by chance), q (p corrected over all groups of this table by
    Benjamini & Hochberg, 1995), `text`, and the verdict: "higher" or "lower" where q < 0.05, else
    "not told apart", or "one pair".

    Raises:
        ValueError: `base` holds two runs with the same `on`.
    """
    on, span = list(on), ["least", "most"]
    heads = ["mean", "half", *span, "n", "lost", "p", "q", "text", "verdict"]
    good = [runs.assign(value=runs[value].where(runs.status == "ok")) for runs in (rows, base)]
    if good[1].duplicated(on).any():
        raise ValueError(f"two runs of the base share one {', '.join(on)}: which is the twin?")
    pairs = good[0].merge(good[1][[*on, "value"]].rename(columns={"value": "twin"}), on=on)
    if pairs.empty:
        return pd.DataFrame(columns=[*by, *heads])

    def group(part: pd.DataFrame) -> pd.Series:
        difference = (part.value - part.twin).dropna()
        low, high = t_interval(difference)
        mean, half, n = difference.mean(), (high - low) / 2, len(difference)
        p = math.nan
        if n > 1 and half > 1e-9:
            p = scipy.stats.ttest_1samp(difference, 0).pvalue
        elif n > 1:  # no scatter, but for rounding: t is 0/0 or infinite, the sign test is neither
            p = 1.0 if abs(mean) < 1e-9 else 2 * 0.5**n
        lost = len(part) - n
        text = points(mean, half) + (f" ({lost} of {len(part)} pairs lost)" if lost else "")
        ends = {"least": difference.min(), "most": difference.max()}
        found = {"mean": mean, "half": half, **ends, "n": n, "lost": lost, "p": p, "text": text}
        return pd.Series(found)

    table = pairs.groupby(by, sort=False)[["value", "twin"]].apply(group).reset_index()
    table = table.astype(dict.fromkeys(("mean", "half", *span, "p"), float))
    table = table.astype({"n": int, "lost": int})
    tested = table.p.notna()
    table["q"] = math.nan
    if tested.any():
        table.loc[tested, "q"] = scipy.stats.false_discovery_control(table.p[tested])
    table["verdict"] = np.where(tested, "not told apart", "one pair")
    table.loc[table.n == 0, "verdict"] = "no pair"
    sure = table.q < 0.05
    table.loc[sure, "verdict"] = np.where(table["mean"][sure] > 0, "higher", "lower")
    return table[[*by, *heads]]


def percent(mean: float, half: float = math.nan) -> str:
    """An error for a sentence: "2.36 ± 0.14 %"; without ± where there is no interval."""
    if math.isnan(mean):
        return "–"
    return f"{mean:.2f}" + ("" if math.isnan(half) else f" ± {half:.2f}") + " %"


def points(mean: float, half: float = math.nan) -> str:
    """A difference of errors, in points: "+0.39 ± 0.30"; with a minus sign, not a hyphen."""
    if math.isnan(mean):
        return "–"
    text = f"{mean:+.2f}" + ("" if math.isnan(half) else f" ± {half:.2f}")
    return text.replace("-", "−")


def counted(number: int, noun: str) -> str:
    """ "1 seed", "20 seeds", "75,000 iterations"."""
    return f"{number:,} {noun}" + "s" * int(number != 1)


def spanned(values: Iterable[float], form: str = "{:,}") -> str:
    """ "3", or "3 to 20" where the values differ."""
    low, high = (form.format(limit(values)) for limit in (min, max))
    return low if low == high else f"{low} to {high}"


def seeds_said(seeds: Iterable[int]) -> str:
    """ "seed 0", "seeds 0, 1, 2", "seeds 0 to 9"."""
    seeds = sorted(seeds)
    text = ", ".join(map(str, seeds))
    if len(seeds) > 3 and seeds[-1] - seeds[0] == len(seeds) - 1:
        text = f"{seeds[0]} to {seeds[-1]}"
    return f"seed{'s' * (len(seeds) > 1)} {text}"


def say(*sentences: str) -> None:
    """Show sentences, of Markdown, that were computed from rows; the empty ones are left out."""
    display(Markdown(" ".join(sentence for sentence in sentences if sentence)))


def provenance(rows: pd.DataFrame, profile: str) -> str:
    """The line under a figure or table: data, seeds, iterations, profile and hardware of `rows`."""
    if rows.empty:
        return f"No runs yet. Profile {profile}."
    parts, runs = [f"Data: {'; '.join(rows.source.unique())}."], {}
    for model, of_model in rows.groupby("model", sort=False):
        iterations = " and ".join(f"{i:,}" for i in sorted(of_model.iterations.unique()))
        how = f"{seeds_said(of_model.seed.unique())}; {iterations} iterations"
        runs.setdefault(how, []).append(MODELS[model].title)
    parts += [f"{', '.join(titles)}: {how}." for how, titles in runs.items()]
    if (rows.precision != "float32").any():
        trained = sorted(set(rows.trained_in) - {""})
        parts.append(f"Trained in {' and '.join(trained)}.")
    return " ".join([*parts, f"Profile {profile}. {'; '.join(rows.hardware.unique())}."])


def tally(rows: pd.DataFrame, configs: Sequence) -> str:
    """How many of the runs `configs` there are rows of, by network, what they took, and how many
    were lost: a sentence."""
    if rows.empty:
        return f"None of the {len(configs):,} runs has been done yet."
    wanted, there = Counter(config.model for config in configs), Counter(rows.model)
    parts = [
        f"{MODELS[name].title} {there[name]}" + f" of {n}" * (there[name] < n)
        for name, n in wanted.items()
        if there[name]
    ]
    if rest := sum(name not in there for name in wanted):
        parts.append(f"none yet of {counted(rest, 'other network')}")
    kinds = Counter(rows.status.str.split(":").str[0])
    lost = ", ".join(f"{kinds[kind]} {kind}" for kind in ("diverged", "failed") if kinds[kind])
    return (
        f"{counted(len(rows), 'run')} ({'; '.join(parts)}), {rows.seconds.sum() / 3600:.2f} hours "
        f"of training, {lost or 'none lost'}."
        + " The others have not been done yet."
        * (len(rows) < len(configs))
    )


def plot_style() -> None:
    """One look for all figures."""
    sns.set_theme(style="whitegrid", context="notebook", font_scale=0.9)
    plt.rcParams.update({"figure.dpi": 110, "axes.titleweight": "bold"})
    plt.rcParams["figure.constrained_layout.use"] = True


def save_figure(
    figure: plt.Figure, name: str, folder: Path, table: pd.DataFrame, note: str, alt: str
) -> None:
    """Show a figure, once, and write `<folder>/figures/<name>` as .png, .pdf and, of the data
    behind it, .csv.

    Args:
        note: the provenance; it is set under the figure.
        alt: what is to be seen, in words, for those who cannot see it.
    """
    width = int(figure.get_figwidth() * 15)  # characters of this size in the width of the figure
    figure.supxlabel(textwrap.fill(note, width), fontsize=7.5, x=0.01, ha="left", color="0.35")
    stem = Path(folder) / "figures" / name
    for suffix, words in ((".png", {"Description": alt}), (".pdf", {"Subject": alt})):
        figure.savefig(stem.with_suffix(suffix), dpi=150, bbox_inches="tight", metadata=words)
    table.to_csv(stem.with_suffix(".csv"), index=False)
    display(figure, metadata={"image/png": {"alt": alt}})
    plt.close(figure)  # or the notebook shows it once more, without the text


def show_figure(name: str, folder: Path) -> None:
    """Show what `save_figure` wrote, with its text alternative; or say that it is not there."""
    path = Path(folder) / "figures" / f"{name}.png"
    if not path.exists():
        say(f"*Figure {name} has not been drawn yet: run notebook {name[0]} first.*")
        return
    with PIL.Image.open(path) as picture:
        alt = picture.text["Description"]
    display(Image(path, width=900), metadata={"image/png": {"alt": alt}})
