"""The figures of the sparsity sweep, each from tables of `sniplab.sections.sweep_tables`."""

from collections.abc import Collection, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from snipcore import MODELS
from sniplab.methods import METHODS
from sniplab.sections.sweep import ALL
from sniplab.sections.sweep_tables import OTHERS, guessing, level, published_table
from sniplab.show import ENGINE_LOOKS

SPARSITY = r"sparsity $\bar\kappa$ (%)"
SMALL = {  # of panels side by side
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.titlesize": 10,
    "lines.markersize": 5,
}


def _legend_above(figure: plt.Figure, columns: int) -> None:
    """One legend for all panels."""
    found = [axis.get_legend_handles_labels() for axis in figure.axes]
    handles = {label: handle for pair in found for handle, label in zip(*pair, strict=True)}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=columns)


def _say_if_empty(axis: plt.Axes, table: pd.DataFrame) -> None:
    if table.empty:
        axis.text(
            *(0.5, 0.5, "not run yet"), ha="center", va="center", transform=axis.transAxes,
            color="0.35",
        )  # fmt: skip


def _panels(curves: Mapping[str, str], height: float) -> tuple[plt.Figure, Collection[plt.Axes]]:
    size = (max(7.5, 3 * len(curves)), height)
    figure, axes = plt.subplots(1, len(curves), figsize=size, sharey=True, squeeze=False)
    return figure, axes[0]


def _bars(table: pd.DataFrame) -> np.ndarray:
    """The lengths of the bars below and above each mean."""
    return np.nan_to_num([table["mean"] - table.low, table.high - table["mean"]])


def draw_curves(
    means: pd.DataFrame,
    published_cells: pd.DataFrame,
    curves: Mapping[str, str],
    lengths: Mapping[str, int],
    cells_label: str,
) -> plt.Figure:
    """Test error against sparsity, both on logarithmic scales, a panel for each curve.

    Args:
        means: as from `summarize` by curve, method and sparsity.
        published_cells: the same by curve, sparsity and model of the published protocol, where the
            curve itself does not show them; `cells_label` is their entry in the legend.
        curves: the network of each curve; lengths: its iterations.
    """
    with plt.rc_context(SMALL):
        figure, axes = _panels(curves, 5)
        ticks, errors = np.array([0, 50, 80, 90, 95, 98, 99]), [0.5, 1, 2, 5, 10, 20, 50, 90]
        for axis, (curve, model) in zip(axes, curves.items(), strict=True):
            here = means[means.curve == curve]
            _draw_methods(axis, here)
            cells = published_cells[published_cells.curve == curve]
            if len(cells):
                look = {"fmt": "h", "ms": 8, "mfc": "white", "mec": "black", "mew": 1.2}
                look |= {"ecolor": "black", "zorder": 4, "label": cells_label}
                axis.errorbar(100 * (1 - cells.sparsity), cells["mean"], _bars(cells), **look)
            _draw_published(axis, model)
            _say_if_empty(axis, here)
            axis.set(xscale="log", yscale="log", xlim=(125, 0.33), ylim=(0.45, 110))
            axis.set(title=f"{curve}\n{lengths[curve]:,} iterations", xlabel=SPARSITY)
            axis.set_xticks(100 - ticks, ticks)
            axis.set_yticks(errors, errors)
            axis.minorticks_off()
        axes[0].set_ylabel("test error (%)")
        _legend_above(figure, 2)
    return figure


def _draw_methods(axis: plt.Axes, means: pd.DataFrame) -> None:
    grid = np.array(sorted({0.0, *ALL, *means.sparsity}))
    there = [name for name in METHODS if name != "dense" and (means.method == name).any()]
    # SNIP above its controls, and the dense square above the star of the published error.
    for name in [*reversed(there), "dense"]:
        method = METHODS[name]
        some = means[means.method.isin(["dense", name])]
        # Sparsities that were not run are gaps, and no line crosses a gap.
        some = some.set_index("sparsity").reindex(grid)
        mean, kept = some["mean"], 100 * (1 - grid)
        low, high = some.low.fillna(mean), some.high.fillna(mean).clip(upper=100)  # percent
        look = {"color": method.colour, "marker": method.marker, "mew": 0, "label": method.label}
        look["ls"] = "none" if name == "dense" else method.line
        axis.plot(kept, mean, zorder=6 if name == "dense" else 2, **look)
        axis.fill_between(kept, low, high, color=method.colour, alpha=0.15, lw=0)
        bars = [mean - low, high - mean]
        axis.errorbar(kept, mean, bars, fmt="none", ecolor=method.colour, elinewidth=1)


def _draw_published(axis: plt.Axes, model: str) -> None:
    star = {"s": 130, "c": "#f0e442", "marker": "*", "ec": "black", "lw": 0.7, "zorder": 5}
    cross = {"s": 22, "c": "0.45", "marker": "x", "lw": 1.2, "zorder": 3}
    for table, label, look in (
        (published_table(), "published for MNIST: dense and SNIP", star),
        (OTHERS, "published for MNIST: other methods", cross),
    ):
        some = table[table.model == model]
        axis.scatter(100 * (1 - some.sparsity), some.error, label=label, **look)


def draw_controls(
    controls: pd.DataFrame,
    severed: Collection[tuple[str, float, str]],
    curves: Mapping[str, str],
    lengths: Mapping[str, int],
) -> plt.Figure:
    """Each control's error minus SNIP's by sparsity, a panel for each curve: filled where it is
    told apart from zero, crossed where the mask leaves no path.

    Args:
        controls: as from `controls`; severed: as from `severed`.
    """
    with plt.rc_context(SMALL):
        figure, axes = _panels(curves, 4)
        for axis, curve in zip(axes, curves, strict=True):
            table = controls[controls.curve == curve]
            _draw_differences(axis, table, curve, severed)
            axis.set(title=f"{curve}\n{lengths[curve]:,} iterations", xlabel=SPARSITY)
            _say_if_empty(axis, table)
        axes[0].set_ylabel("error minus SNIP's (points)")
        if controls.empty:
            axes[0].set_ylim(-1, 1)
        _legend_above(figure, 4)
    return figure


def _draw_differences(
    axis: plt.Axes,
    table: pd.DataFrame,
    curve: str,
    severed: Collection[tuple[str, float, str]],
) -> None:
    ticks = sorted(table.sparsity.unique())
    there = [name for name in METHODS if (table.method == name).any()]
    shifts = 0.2 * (np.arange(len(there)) - (len(there) - 1) / 2)  # side by side at each sparsity
    for shift, name in zip(shifts, there, strict=True):
        method, some = METHODS[name], table[table.method == name]
        look = {"fmt": method.marker, "color": method.colour, "ms": 6, "mec": method.colour}
        for apart, part in some.groupby(some.verdict.isin(["higher", "lower"])):
            x = [ticks.index(sparsity) + shift for sparsity in part.sparsity]
            face = method.colour if apart else "white"
            axis.errorbar(x, part["mean"], part.half.fillna(0), mfc=face, **look)
        for one in some.itertuples():
            if (curve, one.sparsity, name) in severed:
                cut = {"color": "black", "ms": 9, "label": "leaves no path: guesses", "zorder": 5}
                axis.plot(ticks.index(one.sparsity) + shift, one.mean, "x", **cut)
        axis.errorbar([], [], [], label=method.label, mfc=method.colour, **look)
    if len(table):
        axis.axhline(0, color="black", lw=1)
    axis.set_xticks(range(len(ticks)), [level(s)[:-2] for s in ticks])
    axis.set_xlim(-0.6, max(1, len(ticks)) - 0.4)
    axis.set_yscale("symlog", linthresh=1)
    axis.yaxis.set_major_formatter("{x:g}")


def draw_gains(means: pd.DataFrame, gains: pd.DataFrame, models: Collection[str]) -> plt.Figure:
    """What the best checkpoint gains on the last iteration, in the mean and run by run.

    Args:
        means: as from `summarize` of `gains` by model and sparsity; gains: as from `gains`.
    """
    levels = sorted(means.sparsity.unique())
    looks = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "D"), ("#cc79a7", "^"))
    with plt.rc_context(SMALL):
        figure, axis = plt.subplots(figsize=(7.5, 3.4))
        shifts = 0.3 * (np.arange(len(models)) - (len(models) - 1) / 2)
        for shift, model, look in zip(shifts, models, looks, strict=False):
            (colour, marker), name = look, MODELS[model].title
            some, one = means[means.model == model], gains[gains.model == model]
            if some.empty:
                continue
            x = [levels.index(s) + shift for s in some.sparsity]
            how = {"fmt": marker, "color": colour, "clip_on": False, "zorder": 3}
            axis.errorbar(x, some["mean"], _bars(some), label=f"{name}, mean", **how)
            x = [levels.index(s) + shift - 0.1 for s in one.sparsity]
            axis.plot(x, one.gain, "_", color=colour, ms=6, label=f"{name}, one run")
        axis.set_xticks(range(len(levels)), [level(s)[:-2] for s in levels])
        axis.set_xlim(-0.6, max(1, len(levels)) - 0.4)
        axis.set(xlabel=SPARSITY, ylabel="gain (points)")
        axis.set_ylim(bottom=0)
        _say_if_empty(axis, gains)
        _legend_above(figure, 4)
    return figure


def draw_variants(errors: pd.DataFrame, costs: pd.DataFrame, names: list[str]) -> plt.Figure:
    """Errors of LeNet-300-100 by change of the recipe, and SNIP − dense, with the published values
    as lines.

    Args:
        errors: as from `summarize` by part and sparsity; costs: as from `variant_costs`.
        names: of the variants, from top to bottom.
    """
    looks = {0: ("black", "s", "-"), 0.95: ("#0072b2", "o", "--"), 0.98: ("#d55e00", "^", ":")}
    published = published_table()
    published = published[published.model == "lenet-300-100"].set_index("sparsity").error
    lost = guessing(errors)
    with plt.rc_context(SMALL):
        figure, axes = plt.subplots(1, 2, figsize=(7.5, 5.2), sharey=True, width_ratios=(3, 2))
        learned = errors[~errors.index.isin(lost.index)]
        _draw_by_variant(axes[0], learned, names, published, looks)
        beside = {"transform": axes[0].get_yaxis_transform(), "ha": "right", "va": "center"}
        beside |= {"fontsize": 8, "bbox": {"fc": "white", "ec": "none", "pad": 1}}
        for part, sparsity in zip(lost.part, lost.sparsity, strict=True):
            what = level(sparsity) if sparsity else "dense"
            axes[0].text(0.98, names.index(part), f"{what} only guesses", color="0.35", **beside)
        del looks[0]  # what follows is beside the dense network
        _draw_by_variant(axes[1], costs, names, published - published[0], looks)
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
        axes[0].set_xlabel("test error (%)")
        axes[1].set_xlabel("SNIP − dense (points)")
        _legend_above(figure, 3)
    return figure


def _draw_by_variant(axis, table, names, lines, looks) -> None:
    for sparsity, (colour, marker, dash) in looks.items():
        some = table[table.sparsity == sparsity]
        y = [names.index(name) for name in some.part]
        what = level(sparsity) if sparsity else "dense"
        half, look = some.half.fillna(0), {"fmt": marker, "color": colour, "ms": 5}
        axis.errorbar(some["mean"], y, xerr=half, label=what, **look)
        axis.axvline(lines[sparsity], color=colour, ls=dash, lw=1.2, label=f"{what}, published")
    axis.grid(axis="x", visible=False)


def speeds(costs: pd.DataFrame) -> pd.DataFrame:
    """Quartiles of how many times as fast as a dense step a step is, by engine and sparsity."""
    return costs.groupby(["engine", "sparsity"]).speed.quantile([0.25, 0.5, 0.75]).unstack()


def draw_speeds(costs: pd.DataFrame) -> plt.Figure:
    """How many times as fast as a dense step a step is, by engine and sparsity; bars are quartiles.
    `costs`: as from `step_costs`."""
    speed, levels = speeds(costs), sorted(costs.sparsity.unique())
    with plt.rc_context(SMALL):
        figure, axis = plt.subplots(figsize=(7.5, 3.4))
        for shift, (engine, look) in zip((-0.12, 0, 0.12), ENGINE_LOOKS.items(), strict=True):
            label, colour, marker = look
            low, middle, high = speed.loc[engine].to_numpy().T
            x, how = np.arange(len(levels)) + shift, {"fmt": f"{marker}-", "color": colour}
            axis.errorbar(x, middle, [middle - low, high - middle], label=label, **how)
        axis.axhline(1, color="black", lw=1, ls="--", label="dense")
        axis.set_yscale("log", base=2)
        axis.yaxis.set_major_formatter("{x:g}")
        axis.set_xticks(range(len(levels)), [level(s)[:-2] for s in levels])
        axis.set(xlabel=SPARSITY, ylabel="times as fast as a dense step")
        _legend_above(figure, 4)
    return figure
