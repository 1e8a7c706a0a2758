"""What pruning costs each architecture in test error: differences, tables and their figure."""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from snipcore import MODELS
from sniplab.methods import METHODS
from sniplab.recipe import PROTOCOLS
from sniplab.sections import cut_in_two
from sniplab.sections.architectures_layers import STATISTICS
from sniplab.sections.architectures_published import SOURCES, by_family, dense_error, own_sparsity
from sniplab.show import PUBLISHED, handles_of, level, spanned
from sniplab.stats import paired, points, quoted_table, summarize
from sniplab.verdicts import from_to, undertrained

# Networks that batch statistics cut, and that are cheap to train.
CUT = ("squeezenet-vanilla", "squeezenet-bypass", "googlenet")
BY = ["model", "method", "sparsity", "norm"]  # what tells one mask from another


def dense_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of `rows` that are of dense networks."""
    return rows[rows.method == "dense"]


def is_own(rows: pd.DataFrame) -> pd.Series:
    """Which rows are as the tables have it: SNIP, at the sparsity of the network."""
    return (rows.method == "snip") & (rows.sparsity == rows.model.map(own_sparsity))


def initial_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of `rows` that SNIP pruned as the tables have it, by initial statistics."""
    return rows[is_own(rows) & (rows.norm == "running")]


def not_trained_out(rows: pd.DataFrame, names: Iterable[str]) -> tuple[dict[str, float], list[str]]:
    """The networks whose pruned error says nothing yet beside a published one, by the rule of
    `undertrained`: with the mean error of the dense network, percent (NaN: none ended well). And
    those of which nothing published says whether they are trained out."""
    dense = dense_runs(rows)
    errors = dense[dense.status == "ok"].groupby("model").error.mean()
    untrained_errors, unknown = {}, []
    for name in dict.fromkeys(names):
        error, published = errors.get(name, np.nan), dense_error(name)
        if published is None:
            unknown.append(name)
        elif undertrained(error, published):
            untrained_errors[name] = error
    return untrained_errors, unknown


def label(model: str, method: str, sparsity: float) -> str:
    """A network, and what of its pruning is not as in the tables: "AlexNet-s, random, 99 %"."""
    parts = [MODELS[model].title]
    if method != "snip":
        parts.append(METHODS[method].label)
    if sparsity != own_sparsity(model):
        parts.append(level(sparsity))
    return ", ".join(parts)


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Pruned minus dense within seeds, as from `paired` by BY, family by family.

    Further columns: `network` (as from `label`), `share` (of the full length, percent),
    `trained_out` (of the dense network: "yes", "no", or "unknown", where no error of it is
    published), and, for what the tables have, the published differences `paper` and `class_report`.

    Raises ValueError where a run is there twice.
    """
    table = paired(rows[rows.method != "dense"], dense_runs(rows), BY).astype({"sparsity": float})
    table = table.sort_values(
        "model", key=lambda names: names.map(by_family().index), kind="stable"
    )
    cells = table[["model", "method", "sparsity"]].to_numpy()
    table.insert(0, "network", [label(*cell) for cell in cells])
    lengths = rows.groupby("model").iterations.max()
    full = {name: PROTOCOLS[MODELS[name].dataset].iterations for name in table.model}
    table["share"] = [100 * lengths[name] / full[name] for name in table.model]
    untrained_errors, unknown = not_trained_out(rows, table.model)
    words = dict.fromkeys(untrained_errors, "no") | dict.fromkeys(unknown, "unknown")
    table["trained_out"] = [words.get(model, "yes") for model in table.model]
    for source, errors in SOURCES.items():
        changes = table.model.map({name: e.pruned - e.dense for name, e in errors.items()})
        table[source.replace(" ", "_")] = changes.where(is_own(table))
    return table.reset_index(drop=True)


def costs(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of `differences` that are as the tables have it, with initial statistics, and of which
    any pair ended well; by model, the index."""
    table = differences(rows)
    table = table[is_own(table) & (table.norm == "running") & (table.n > 0)]
    return table.set_index("model")


def between_statistics(rows: pd.DataFrame) -> pd.DataFrame:
    """Test error of networks pruned by masks of batch statistics, minus that by masks of initial
    ones, by `model`, as from `paired`.

    Raises ValueError where a run is there twice.
    """
    return paired(rows[is_own(rows) & (rows.norm == "batch")], initial_runs(rows), ["model"])


# ------------------------------------------------------------------------------------------ tables


def error_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Table 2, Table I and ours in one, family by family: test errors dense and pruned and their
    difference, published and ours, the latter as text."""
    table = differences(rows)
    table = table[table.norm == "running"]
    dense = summarize(dense_runs(rows), ["model"])[["model", "text"]]
    pruned = summarize(rows[rows.method != "dense"], BY)[[*BY, "text"]]
    table = table.merge(dense.rename(columns={"text": "dense"}), "left", on="model")
    table = table.merge(pruned.rename(columns={"text": "pruned"}), "left", on=BY)
    table = table.rename(columns={"text": "difference"})
    columns = ["network", "model", "sparsity", "share", "dense", "pruned", "difference", "verdict"]
    own, table = is_own(table), table[columns].astype(object)
    for source, errors in SOURCES.items():
        column = source.replace(" ", "_")
        pruned = table.model.map({name: error.pruned for name, error in errors.items()})
        table[f"{column}_dense"] = table.model.map({name: e.dense for name, e in errors.items()})
        table[f"{column}_pruned"] = pruned.where(own)
    return table


def error_text(table: pd.DataFrame) -> pd.DataFrame:
    """`error_table` as it is shown."""
    columns = {
        "network": table.network,
        "sparsity": table.sparsity.map(level),
        "dense": table.dense,
        "pruned": table.pruned,
        "Δ": table.difference,
    }
    for source in SOURCES:
        errors = {k: table[f"{source.replace(' ', '_')}_{k}"] for k in ("dense", "pruned")}
        for kind, column in errors.items():
            columns[f"{source}, {kind}"] = [f"{e:.2f}" if e == e else "–" for e in column]
        columns[f"{source}, Δ"] = (errors["pruned"] - errors["dense"]).map(points)
    return pd.DataFrame(columns)


def batch_mask_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The networks of CUT dense and with either mask, for a reader: layers lost, whether a path is
    left, and how they end. Empty where none was trained with a mask of batch statistics."""
    rows = rows[rows.model.isin(CUT) & (is_own(rows) | (rows.method == "dense"))]
    if not (rows.norm == "batch").any():
        rows = rows[:0]
    rows = rows.assign(
        path=np.where(cut_in_two(rows), "no", "yes"), lost=rows.collapsed.str.count("weight")
    )
    by = ["model", "method", "norm", "path"]
    table = summarize(rows, by)
    table["layers lost"] = rows.groupby(by, sort=False).lost.apply(spanned).to_numpy()
    table = table.sort_values("model", key=lambda names: names.map(CUT.index), kind="stable")
    scored = [STATISTICS[norm][0] for norm in table.norm]
    return pd.DataFrame({
        "network": [MODELS[name].title for name in table.model],
        "method": [METHODS[name].label for name in table.method],
        "scored with": pd.Series(scored, table.index, dtype=str).where(table.method == "snip", ""),
        "layers lost": table["layers lost"],
        "path": table.path,
        "seeds": table.n,
        "test error (%)": table.text,
    })  # fmt: skip


# ------------------------------------------------------------------------------ numbers for prose


def cost_values(rows: pd.DataFrame) -> dict[str, str]:
    """Numbers of prose: differences of each network, as "cost.gru-s", and the error when it is
    pruned, as "pruned_error.gru-s"; by data set the spans of lengths, errors and differences, as
    "costs.mnist"."""
    cost = costs(rows)
    numbers = {"networks_trained": str(len(cost)), "of_one_seed": str((cost.n == 1).sum())}
    numbers |= quoted_table("cost", cost.reset_index(), ["model"])
    numbers |= quoted_table("pruned_error", summarize(initial_runs(rows), ["model"]), ["model"])
    numbers |= quoted_table("batch_minus_initial", between_statistics(rows), ["model"])
    for dataset in ("cifar10", "mnist"):
        numbers |= _of_data(rows[rows.dataset == dataset], cost, dataset)
    return numbers


def _of_data(rows: pd.DataFrame, cost: pd.DataFrame, dataset: str) -> dict[str, str]:
    """Spans over the networks of a data set."""
    group = cost[cost.index.isin(rows.model)]
    rows = rows[rows.model.isin(group.index) & (rows.status == "ok")]
    numbers = {"trained_out": str((group.trained_out == "yes").sum())}
    if len(group):
        dense, pruned = (runs.groupby("model") for runs in (dense_runs(rows), initial_runs(rows)))
        spans = {
            "share": group.share,
            "dense_errors": dense.error.mean(),
            "dense_train_errors": dense.train_error.mean(),
            "pruned_train_errors": pruned.train_error.mean(),
        }
        numbers |= {name: spanned(values, "{:.1f}") for name, values in spans.items()}
        text = from_to(group["mean"])
        numbers["costs"] = text.replace("+", "") if (group["mean"] > 0).all() else text
    return {f"{name}.{dataset}": text for name, text in numbers.items()}


# ----------------------------------------------------------------------------------------- figure

FAMILIES = {"Convolutional": "Plain", "Squeeze": "SqueezeNet", "Dense": "DenseNet"}  # in the figure
OURS = {  # by whether the dense network is trained out, and whether there are several seeds
    ("yes", True): "ours",
    ("yes", False): "ours, one seed",
    ("no", True): "ours, dense not trained out",
    ("no", False): "ours, dense not trained out, one seed",
    ("unknown", True): "ours, no dense error published",
    ("unknown", False): "ours, no dense error published, one seed",
}
PUBLISHED_MARKERS = {"paper": "*", "class_report": "P"}


def draw_delta(changes: pd.DataFrame) -> plt.Figure:
    """Pruned minus dense of each network, ours and published, a panel for each family; at the right
    the share of the full length that ours were trained for. Hollow: one seed.

    Args:
        changes: as from `differences`.
    """
    changes = changes[(changes.norm == "running") & (changes.n > 0)]
    families = changes.model.map(lambda name: MODELS[name].family)
    groups = dict(list(changes.groupby(families, sort=False))) or {"": changes}
    heights = [0.3 + len(group) for group in groups.values()]
    size = (8, 1.6 + 0.32 * sum(heights) + 0.2 * len(groups))
    figure, axes = plt.subplots(
        len(groups), 1, figsize=size, sharex=True, squeeze=False, height_ratios=heights
    )
    for axis, (family, group) in zip(axes.flat, groups.items(), strict=True):
        _draw_family(axis, group.reset_index(drop=True))
        axis.set_title(FAMILIES.get(family, family), loc="left", fontsize=10, pad=3)
    axes[0, 0].set_title("of full length", loc="right", fontsize=9, pad=3, weight="normal", x=1.11)
    axes[-1, 0].set_xlabel("test error, pruned − dense (points)")
    handles = handles_of(figure)
    order = sorted(handles, key=[*OURS.values(), *handles].index)  # ours first
    if order:
        lines = [handles[text] for text in order]
        figure.legend(lines, order, loc="outside upper center", ncols=2, fontsize=9)
    return figure


def _draw_family(axis: plt.Axes, changes: pd.DataFrame) -> None:
    """Ours a little above the published ones of the same network."""
    for (state, several), group in changes.groupby(["trained_out", changes.n > 1], sort=False):
        style = {"fmt": "o", "ms": 6.5, "capsize": 3, "zorder": 6, "label": OURS[state, several]}
        style["xerr"] = group.half if several else None
        style["color"] = METHODS["snip"].colour if state == "yes" else "0.55"
        style["mfc"] = style["color"] if several else "white"
        axis.errorbar(group["mean"], group.index - 0.17, **style)
    for source, marker in PUBLISHED_MARKERS.items():
        style = {"marker": marker, "s": 90, **PUBLISHED}
        text = f"published: {source.replace('_', ' ')}"
        axis.scatter(changes[source], changes.index + 0.17, label=text, **style)
    axis.axvline(0, color="0.3", lw=1)
    where = {"transform": axis.get_yaxis_transform(), "va": "center", "fontsize": 9}
    for y, length in changes["share"].items():
        axis.text(1.015, y, f"{round(length, 1):g} %", color="0.35", **where)
    axis.set_yticks(changes.index, changes.network)
    axis.set_ylim(len(changes) - 0.4, -0.6)
    axis.grid(axis="x", visible=True)
