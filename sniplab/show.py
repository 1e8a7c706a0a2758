"""How numbers, tables and figures are shown: one look, one formatter, one way of saving."""

import html
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import PIL.Image
import seaborn as sns
from IPython.display import Image, Markdown, display

from snipcore import MODELS

ENGINE_LOOKS = {
    "masked": ("masked", "#d55e00", "s"),
    "sparse": ("sparse", "#56b4e9", "o"),
    "stacked": ("sparse and stacked", "#0072b2", "D"),
}


def counted(number: int, noun: str) -> str:
    """ "1 seed", "20 seeds", "75,000 iterations"."""
    ending = "" if number == 1 else "s"
    return f"{number:,} {noun}{ending}"


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
    return f"{'seeds' if len(seeds) > 1 else 'seed'} {text}"


def say(*sentences: str) -> None:
    """Show sentences, of Markdown, that were computed from rows; the empty ones are left out.

    HTML in them is shown as text: what an archive says of its source is not ours.
    """
    text = " ".join(sentence for sentence in sentences if sentence)
    display(Markdown(re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", text)))  # a bare "<" opens no tag


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
        f"{MODELS[name].title} {there[name]}" + (f" of {n}" if there[name] < n else "")
        for name, n in wanted.items()
        if there[name]
    ]
    if rest := sum(name not in there for name in wanted):
        parts.append(f"none yet of {counted(rest, 'other network')}")
    kinds = Counter(rows.status.str.split(":").str[0])
    lost = ", ".join(f"{kinds[kind]} {kind}" for kind in ("diverged", "failed") if kinds[kind])
    text = f"{counted(len(rows), 'run')} ({'; '.join(parts)}), {rows.seconds.sum() / 3600:.2f} "
    text += f"hours of training, {lost or 'none lost'}."
    return text + (" The others have not been done yet." if len(rows) < len(configs) else "")


def plot_style() -> None:
    """One look for all figures."""
    sns.set_theme(style="whitegrid", context="notebook", font_scale=0.9)
    plt.rcParams.update({"figure.dpi": 110, "axes.titleweight": "bold"})
    plt.rcParams["figure.constrained_layout.use"] = True


def show_table(
    table: pd.DataFrame,
    caption: str,
    form: str | Mapping[str, str | Callable] | None = None,
    index: bool = False,
) -> None:
    """Show a table under its caption, a dash where there is no value. HTML in either is shown as
    text: what an archive says of its source is not ours.

    Args:
        form: format of the cells, such as "{:,}", or of each of some columns by name; a function
            from a value to its text does as well.
        index: whether to show it.
    """
    style = table.style.format(form, na_rep="–", escape="html")
    if not index:
        style = style.hide(axis="index")
    display(style.set_caption(html.escape(caption, quote=False)))


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
    look = {"fontsize": 7.5, "x": 0.01, "ha": "left", "color": "0.35"}
    figure.supxlabel(textwrap.fill(note, width), **look, parse_math=False)  # "$" in it is money
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
