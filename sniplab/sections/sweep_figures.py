"""The figures of the sparsity sweep, each from tables of `sniplab.sections.sweep_tables`."""

from collections.abc import Collection, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sniplab.methods import METHODS, Method
from sniplab.sections.sweep_tables import OTHERS, guessing, published_table
from sniplab.show import PUBLISHED, legend_above, level, say_if_empty

SPARSITY = r"sparsity $\bar\kappa$ (%)"
SMALL = {  # of panels side by side
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "axes.titlesize": 10,
    "lines.markersize": 5,
}


def _panels(names: Collection[str], height: float) -> tuple[plt.Figure, list[plt.Axes]]:
    count = max(1, len(names))
    size = (max(7.5, 4.2 * count), height)
    figure, axes = plt.subplots(1, count, figsize=size, sharey=True, squeeze=False)
    return figure, list(axes[0])


def sparsity_axis(axis: plt.Axes) -> None:
    """Sparsities in percent, on a logarithmic scale of what is left."""
    ticks = np.array([0, 50, 80, 90, 95, 98, 99])
    axis.set(xscale="log", xlim=(125, 0.55), xlabel=SPARSITY)
    axis.set_xticks(100 - ticks, ticks)
    axis.minorticks_off()


CEILING = 10.0  # percent, or BEYOND times the dense error where that is more: what errs by more
BEYOND = 4.0  # is marked at the edge


def draw_curves(
    means: pd.DataFrame, models: Mapping[str, str], cells: pd.DataFrame | None = None
) -> plt.Figure:
    """Test error against sparsity, both on logarithmic scales, a panel for each curve; what lies
    above the ceiling is marked at the upper edge with its value.

    Args:
        means: as from `summarize` by curve, method and sparsity; models: the network of each curve.
        cells: of Table 1, as from `beside_published`; those beyond a curve are drawn hollow.
    """
    with plt.rc_context(SMALL):
        figure, axes = _panels(models, 4.4)
        drawn = means[means.curve.isin(list(models))]
        top = max([CEILING, *(BEYOND * drawn["mean"][drawn.method == "dense"])])
        published = published_table()[lambda table: table.model.isin(list(models.values()))].error
        bottom = 0.8 * min([1.5, *published, *drawn["mean"]])
        errors = np.array([0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50])
        errors = errors[(errors > bottom) & (errors <= top)]
        for axis, (curve, model) in zip(axes, (models or {"": ""}).items(), strict=True):
            group = means[means.curve == curve]
            _draw_published(axis, model)
            sparsity_axis(axis)
            axis.set(yscale="log", ylim=(bottom, top), title=curve)
            axis.set_yticks(errors, [f"{error:g}" for error in errors])
            axis.minorticks_off()
            _draw_methods(axis, group, top)
            if cells is not None:
                beyond = cells[(cells.model == model) & (cells.n > 0)]
                _draw_beyond(axis, beyond[~beyond.sparsity.isin(group.sparsity)])
            for dense in group[group.method == "dense"].itertuples():
                axis.axhline(dense.mean, color="black", ls=":", lw=1)
                if dense.lost:
                    text = f"dense: {dense.lost} of {dense.n + dense.lost} runs lost"
                    place = {"transform": axis.transAxes, "fontsize": 8, "ha": "right"}
                    axis.text(0.72, 0.03, text, **place)
            say_if_empty(axis, group)
        axes[0].set_ylabel("test error (%)")
        legend_above(figure, 3)
    return figure


def _draw_methods(axis: plt.Axes, means: pd.DataFrame, top: float) -> None:
    names = [name for name in METHODS if name != "dense" and (means.method == name).any()]
    high = 0.97  # of the axis, where the next value beyond it is written
    # SNIP above its controls, and the dense square above the star of the published error.
    for name in [*reversed(names), "dense"]:
        method = METHODS[name]
        group = means[means.method.isin(["dense", name])].sort_values("sparsity")
        kept, mean = 100 * (1 - group.sparsity), group["mean"]
        low, upper = group.low.fillna(mean), group.high.fillna(mean)
        style = {"color": method.colour, "marker": method.marker, "mew": 0, "label": method.label}
        style["ls"] = "none" if name == "dense" else method.line
        axis.plot(kept, mean, zorder=6 if name == "dense" else 2, **style)
        axis.fill_between(kept, low, upper, color=method.colour, alpha=0.15, lw=0)
        beyond = group[mean > top]
        if len(beyond):
            cells = zip(beyond["mean"], beyond.sparsity, strict=True)
            text = ", ".join(f"{error:.0f} % at {level(sparsity)}" for error, sparsity in cells)
            place = {"transform": axis.transAxes, "va": "top", "fontsize": 8, "zorder": 7}
            place["bbox"] = {"fc": "white", "ec": "none", "pad": 1}  # the grid is behind it
            axis.text(0.02, high, f"↑ {method.label}\n    {text}", color=method.colour, **place)
            high -= 0.1


def _draw_beyond(axis: plt.Axes, cells: pd.DataFrame) -> None:
    """Our errors of the published cells that a curve does not reach, hollow and unjoined."""
    if len(cells):
        snips = METHODS["snip"]
        style = {"fmt": snips.marker, "color": snips.colour, "mfc": "white", "zorder": 6}
        kept, half = 100 * (1 - cells.sparsity), cells.half.fillna(0)
        axis.errorbar(kept, cells["mean"], half, label="SNIP, runs of Table 1", **style)


def _draw_published(axis: plt.Axes, model: str) -> None:
    """Stars and crosses of the published errors."""
    star = {"s": 130, "marker": "*", **PUBLISHED}
    cross = {"s": 22, "c": "0.45", "marker": "x", "lw": 1.2, "zorder": 3}
    for table, label, style in (
        (published_table(), "published: dense and SNIP", star),
        (OTHERS, "published: pruned after training", cross),
    ):
        group = table[table.model == model]
        if len(group):
            axis.scatter(100 * (1 - group.sparsity), group.error, label=label, **style)


def draw_controls(controls: pd.DataFrame, cut: Collection[tuple[str, float, str]]) -> plt.Figure:
    """Each control's error minus SNIP's by sparsity, a panel for each curve: filled where it is
    told apart from zero, crossed where the mask leaves no path.

    Args:
        controls: as from `controls`; cut: as from `severed`.
    """
    curves = list(dict.fromkeys(controls.curve))
    with plt.rc_context(SMALL):
        figure, axes = _panels(curves, 3.8)
        for axis, curve in zip(axes, curves or [""], strict=True):
            table = controls[controls.curve == curve]
            draw_differences(axis, table, {cell[1:] for cell in cut if cell[0] == curve})
            axis.set(title=curve, xlabel=SPARSITY)
            say_if_empty(axis, table)
        axes[0].set_ylabel("error minus SNIP's (points)")
        legend_above(figure, 4)
    return figure


def draw_differences(
    axis: plt.Axes,
    table: pd.DataFrame,
    cut: Collection[tuple[float, str]] = (),
    methods: Mapping[str, Method] = METHODS,
) -> None:
    """One panel of `draw_controls`; `cut`: sparsity and method of masks that leave no path;
    `methods`: by name."""
    ticks = sorted(table.sparsity.unique())
    names = [name for name in methods if (table.method == name).any()]
    shifts = 0.2 * (np.arange(len(names)) - (len(names) - 1) / 2)  # side by side at each sparsity
    for shift, name in zip(shifts, names, strict=True):
        method, group = methods[name], table[table.method == name]
        style = {"fmt": method.marker, "color": method.colour, "ms": 6, "mec": method.colour}
        for apart, part in group.groupby(group.verdict.isin(["higher", "lower"])):
            x = [ticks.index(sparsity) + shift for sparsity in part.sparsity]
            face = method.colour if apart else "white"
            axis.errorbar(x, part["mean"], part.half.fillna(0), mfc=face, **style)
        axis.errorbar([], [], [], label=method.label, mfc=method.colour, **style)
    crossed = [
        (ticks.index(row.sparsity) + shifts[names.index(row.method)], row.mean)
        for row in table.itertuples()
        if (row.sparsity, row.method) in cut
    ]
    if crossed:
        cross = {"color": "black", "ms": 9, "label": "no path left: guessing", "zorder": 5}
        axis.plot(*zip(*crossed, strict=True), "x", **cross)
    axis.axhline(0, color="black", lw=1)
    axis.set_xticks(range(len(ticks)), [f"{100 * s:g}" for s in ticks])
    axis.set_xlim(-0.6, max(1, len(ticks)) - 0.4)
    axis.set_yscale("symlog", linthresh=1)
    ticks = (-2, -1, -0.5, 0, 0.5, 1, 2, 5, 10, 20, 50, 100)
    axis.set_yticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    axis.set_ylim(-1.3, 150)


def draw_variants(errors: pd.DataFrame, costs: pd.DataFrame) -> plt.Figure:
    """Errors of LeNet-300-100 by change of the recipe, and SNIP − dense, with the published values
    as lines.

    Args:
        errors: as from `summarize` by part and sparsity; costs: as from `variant_costs`.
    """
    names = list(dict.fromkeys(errors.part))
    styles = {0: ("black", "s", "-"), 0.95: ("#0072b2", "o", "--"), 0.98: ("#d55e00", "^", ":")}
    published = published_table()
    published = published[published.model == "lenet-300-100"].set_index("sparsity").error
    lost = guessing(errors)
    with plt.rc_context(SMALL):
        figure, axes = plt.subplots(1, 2, figsize=(7.5, 5.2), sharey=True, width_ratios=(3, 2))
        learned = errors[~errors.index.isin(lost.index)]
        _draw_by_variant(axes[0], learned, names, published, styles)
        beside = {"transform": axes[0].get_yaxis_transform(), "ha": "right", "va": "center"}
        beside |= {"fontsize": 8, "bbox": {"fc": "white", "ec": "none", "pad": 1}}
        for part, sparsity in zip(lost.part, lost.sparsity, strict=True):
            label = level(sparsity) if sparsity else "dense"
            axes[0].text(0.98, names.index(part), f"{label} only guesses", color="0.35", **beside)
        del styles[0]  # what follows is beside the dense network
        _draw_by_variant(axes[1], costs, names, published - published[0], styles)
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
        axes[0].set_xlabel("test error (%)")
        axes[1].set_xlabel("SNIP − dense (points)")
        legend_above(figure, 3)
    return figure


def _draw_by_variant(axis, table, names, lines, styles) -> None:
    for sparsity, (colour, marker, dash) in styles.items():
        group = table[table.sparsity == sparsity]
        y = [names.index(name) for name in group.part]
        label = level(sparsity) if sparsity else "dense"
        half, style = group.half.fillna(0), {"fmt": marker, "color": colour, "ms": 5}
        axis.errorbar(group["mean"], y, xerr=half, label=label, **style)
        axis.axvline(lines[sparsity], color=colour, ls=dash, lw=1.2, label=f"{label}, published")
    axis.grid(axis="x", visible=False)
