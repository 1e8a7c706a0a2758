"""How numbers and figures are shown: one look, and words for counts."""

from collections.abc import Iterable, Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist

from sniplab.methods import METHODS

PUBLISHED = {"c": "#f0e442", "ec": "black", "lw": 0.7, "zorder": 5}  # markers of published values

DATA_TITLES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "kmnist": "KMNIST",
    "cifar10": "CIFAR-10",
    "digits": "embedded digits",
}
# Of figures that compare data sets: colour and marker of each.
DATA_LOOKS = {"mnist": ("#0072b2", "o"), "fashion_mnist": ("#d55e00", "s")}


def counted(number: int, noun: str) -> str:
    """ "1 seed", "20 seeds", "75,000 iterations"."""
    ending = "" if number == 1 else "s"
    return f"{number:,} {noun}{ending}"


def spanned(values: Iterable[float], form: str = "{:,}") -> str:
    """ "3", or "3 to 20" where the values differ; with a minus sign, not a hyphen."""
    low, high = (form.format(limit(values)).replace("-", "−") for limit in (min, max))
    return low if low == high else f"{low} to {high}"


def level(sparsity: float) -> str:
    """ "95 %"."""
    return f"{100 * sparsity:g} %"


def say_if_empty(axis: plt.Axes, table: pd.DataFrame) -> None:
    """Write "not run" into a panel without rows."""
    if table.empty:
        place = {"ha": "center", "va": "center", "transform": axis.transAxes, "color": "0.35"}
        axis.text(0.5, 0.5, "not run", **place)


def handles_of(figure: plt.Figure) -> dict[str, Artist]:
    """What a legend of all panels lists: by label, each once."""
    legends = [axis.get_legend_handles_labels() for axis in figure.axes]
    return {label: handle for pair in legends for handle, label in zip(*pair, strict=True)}


def legend_above(figure: plt.Figure, columns: int) -> None:
    """One legend for all panels."""
    if handles := handles_of(figure):
        figure.legend(handles.values(), handles, loc="outside upper center", ncols=columns)


def draw_forest(panels: Mapping[str, pd.DataFrame], label: str) -> plt.Figure:
    """Differences by method with their intervals, a panel for each title; hollow where undecided.

    Args:
        panels: by title, as from `paired` by method; label: what the differences are.
    """
    panels = panels or {"": pd.DataFrame(columns=["method"])}
    methods = {method for table in panels.values() for method in table.method}
    names = [name for name in METHODS if name in methods]
    size = (1.5 + 3.5 * len(panels), 1.1 + 0.35 * max(1, len(names)))
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    for axis, (title, table) in zip(axes.flat, panels.items(), strict=True):
        for row in table.itertuples():
            method = METHODS[row.method]
            apart = row.verdict in ("higher", "lower")
            style = {"color": method.colour, "ms": 7, "capsize": 3}
            style["mfc"] = method.colour if apart else "white"
            half = 0 if pd.isna(row.half) else row.half
            axis.errorbar(row.mean, names.index(row.method), xerr=half, fmt=method.marker, **style)
        axis.axvline(0, color="black", lw=1)
        axis.set(xlabel=label, title=title)
        axis.set_yticks(range(len(names)), [METHODS[name].label for name in names])
        axis.set_ylim(max(1, len(names)) - 0.5, -0.5)
    return figure


def plot_style() -> None:
    """One look for all figures."""
    sns.set_theme(style="whitegrid", context="notebook", font_scale=0.9)
    plt.rcParams.update({"figure.dpi": 110, "axes.titleweight": "bold"})
    plt.rcParams["figure.constrained_layout.use"] = True
