"""What pruning costs each architecture in test error: differences, tables and their figure."""

from collections.abc import Collection

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sniplab.methods import METHODS
from sniplab.sections.architectures_layers import STATISTICS
from sniplab.sections.architectures_published import (
    TABLE_I,
    in_order,
    parameter_counts,
    published_errors,
    systems,
    titled,
)
from sniplab.show import spanned
from sniplab.stats import paired, points, summarize
from sniplab.training import PROTOCOLS
from sniplab.verdicts import UNTRAINED, from_to

LEFT_OUT = "dense hardly trained"  # in place of a verdict

# Networks that batch statistics cut, and that are cheap to train.
CUT = ("squeezenet-vanilla", "squeezenet-bypass", "googlenet")


def dense_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of `rows` that are of dense networks."""
    return rows[rows.method == "dense"]


def initial_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of `rows` that SNIP pruned by initial statistics."""
    return rows[(rows.method == "snip") & (rows.norm == "running")]


def untrained(rows: pd.DataFrame) -> list[str]:
    """The networks that err by more than UNTRAINED when dense, in the mean: they are hardly
    trained, and what pruning costs them is not told."""
    errors = dense_runs(rows).groupby("model", sort=False).error.mean()
    return list(errors.index[errors > UNTRAINED])


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Pruned minus dense by network and norm, as from `paired`; LEFT_OUT is the verdict on networks
    that are hardly trained.

    Raises ValueError where a run is there twice.
    """
    table = paired(rows[rows.method == "snip"], dense_runs(rows), ["model", "norm"])
    table.loc[table.model.isin(untrained(rows)), "verdict"] = LEFT_OUT
    return table


def pairs(changes: pd.DataFrame) -> pd.DataFrame:
    """Those of `differences` with initial statistics of which any pair ended well, by model."""
    initial = changes[changes.norm == "running"]
    return initial.dropna(subset="mean").set_index("model")


def costs(rows: pd.DataFrame) -> pd.DataFrame:
    """Pruned minus dense by `model`, as from `paired`, with initial statistics alone; without
    networks that are hardly trained.

    Raises ValueError where a run is there twice.
    """
    table = paired(initial_runs(rows), dense_runs(rows), ["model"])
    return table[(table.n > 0) & ~table.model.isin(untrained(rows))]


def between_statistics(rows: pd.DataFrame) -> pd.DataFrame:
    """Test error of networks pruned by masks of batch statistics, minus that by masks of initial
    ones, by `model`, as from `paired`.

    Raises ValueError where a run is there twice.
    """
    batch = rows[(rows.method == "snip") & (rows.norm == "batch")]
    return paired(batch, initial_runs(rows), ["model"])


# ------------------------------------------------------------------------------------------ tables


def cost_table(rows: pd.DataFrame, planned: Collection[str]) -> pd.DataFrame:
    """Table I and Table 2 in one, by network: parameters, test errors dense and pruned and their
    difference, ours and published, as text. The index is the model, in the order of `in_order`.

    Args:
        planned: the networks that are trained; of these a missing run is "not yet", of others "not
            planned".
    """
    names, counts, published = in_order(), parameter_counts(), published_errors()
    table = pd.DataFrame({"network": [systems()[name].title for name in names]}, names)
    table["κ̄ (%)"] = [f"{100 * systems()[name].sparsity:.0f}" for name in names]
    table["m"], table["κ"] = counts.m, counts.kept
    for key, runs in (("dense", dense_runs(rows)), ("pruned", initial_runs(rows))):
        text = summarize(runs, ["model"]).set_index("model").text
        table[f"{key} (%)"] = text.reindex(names)
    changes = differences(rows)
    changes = changes[changes.norm == "running"].set_index("model")
    hardly = changes.text + f" ({LEFT_OUT})"
    change = changes.text.mask(changes.verdict == LEFT_OUT, hardly)
    table["Δ"] = change.reindex(names)
    absent = pd.Series({name: "not yet" if name in planned else "not planned" for name in names})
    for column in ("dense (%)", "pruned (%)", "Δ"):
        table[column] = table[column].fillna(absent)
    for key in ("dense", "pruned"):
        errors = published[f"error_{key}"].reindex(names)
        table[f"{key}, published"] = errors.map("{:.2f}".format, na_action="ignore")
    table["Δ, published"] = published.change.reindex(names).map(points)
    table["published by"] = published.by.reindex(names)
    return table.astype(object).where(table.notna(), "–")


def paired_table(rows: pd.DataFrame) -> pd.DataFrame:
    """`differences` beside the mean training losses ("dense loss", "pruned loss") and the
    published difference ("published")."""
    table = differences(rows)
    table["dense loss"] = table.model.map(dense_runs(rows).groupby("model").train_loss.mean())
    pruned = rows[rows.method == "snip"]
    losses = pruned.groupby(["model", "norm"]).train_loss.mean().rename("pruned loss")
    table = table.join(losses, on=["model", "norm"])
    return table.assign(published=table.model.map(published_errors().change))


def batch_mask_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The networks of CUT dense and with either mask, for a reader: layers lost, whether a path is
    left, and how they end. Empty where none was trained with a mask of batch statistics."""
    rows = rows[rows.model.isin(CUT)]
    if not (rows.norm == "batch").any():
        return pd.DataFrame()
    rows = rows.assign(
        path=np.where(rows.collapsed.str.contains("no path"), "no", "yes"),
        lost=rows.collapsed.str.count("weight"),
    )
    by = ["model", "method", "norm", "path"]
    table = summarize(rows, by)
    table["training loss"] = summarize(rows, by, "train_loss")["mean"]
    table["layers lost"] = rows.groupby(by, sort=False).lost.apply(spanned).to_numpy()
    table = table.sort_values("model", key=lambda names: names.map(CUT.index), kind="stable")
    scored = table.norm.map(lambda norm: STATISTICS[norm].label)
    return pd.DataFrame({
        "model": [systems()[name].title for name in table.model],
        "method": [METHODS[name].label for name in table.method],
        "scored with": scored.where(table.method == "snip", ""),
        "layers lost": table["layers lost"],
        "path": table.path,
        "seeds": table.n,
        "training loss": table["training loss"],
        "test error (%)": table.text,
    })  # fmt: skip


def stored_costs(rows: pd.DataFrame) -> pd.DataFrame:
    """What pruning costs each network, for a reader: iterations, errors, Δ, n and lost by title."""
    table = paired(initial_runs(rows), dense_runs(rows), ["model", "iterations"])
    table = table.set_index("model")
    for key, runs in (("pruned (%)", initial_runs(rows)), ("dense (%)", dense_runs(rows))):
        text = summarize(runs, ["model"]).set_index("model").text
        table.insert(1, key, text.reindex(table.index))
    table.loc[table.index.isin(untrained(rows)), "text"] += f" ({LEFT_OUT})"
    table = table.rename(index=lambda name: systems()[name].title, columns={"text": "Δ"})
    return table[["iterations", "dense (%)", "pruned (%)", "Δ", "n", "lost"]].rename_axis(None)


# ------------------------------------------------------------------------------ numbers for prose


def cost_values(rows: pd.DataFrame) -> dict[str, str]:
    """What pruning costs, from the least to the most, all in all and by data set: numbers of
    prose."""
    found = pairs(differences(rows))
    cost = found[found.verdict != LEFT_OUT]
    values = {
        "trained": str(len(found)),
        "hours": f"{rows.seconds.sum() / 3600:.2f}",
        "iterations": spanned(rows.iterations) if len(rows) else "–",
        "of_one_seed": str((cost.n == 1).sum()),
    }
    for name, index in (("least", cost["mean"].idxmin), ("most", cost["mean"].idxmax)):
        model = index() if len(cost) else ""
        values[f"cost_{name}"] = points(cost["mean"][model]) if model else "–"
        values[f"cost_{name}_in"] = titled([model]) if model else "–"
    for dataset in ("cifar10", "mnist"):
        names = [name for name in cost.index if systems()[name].dataset == dataset]
        dense = dense_runs(rows)[dense_runs(rows).model.isin(names)]
        dense = dense[dense.status == "ok"]
        shares = 100 * dense.iterations / PROTOCOLS[dataset].iterations
        values[f"networks.{dataset}"] = str(len(names))
        values[f"share.{dataset}"] = spanned(shares, "{:.1f}") if names else "–"
        values[f"dense_errors.{dataset}"] = spanned(dense.error, "{:.1f}") if names else "–"
        values[f"costs.{dataset}"] = from_to(cost["mean"][names]) if names else "–"
    known = published_errors().change.reindex(cost.index).dropna()
    beyond = (cost["mean"][known.index] - known).round(2)  # digits, as the errors are published
    return values | {
        "published_differences": str(len(known)),
        "larger_than_published": str((beyond > 0).sum()),
        "equal_to_published": str((beyond == 0).sum()),
        "worse": titled(cost.index[cost.verdict == "higher"]),
        "better": titled(cost.index[cost.verdict == "lower"]),
    }


def network_values(rows: pd.DataFrame) -> dict[str, str]:
    """Errors and differences of each network, as "dense.alexnet-s", "cost.alexnet-s": numbers of
    prose."""
    tables = {
        "dense": summarize(dense_runs(rows), ["model"]),
        "pruned": summarize(initial_runs(rows), ["model"]),
        "cost": pairs(differences(rows)).reset_index(),
        "batch_minus_initial": between_statistics(rows),
    }
    found = {}
    for name, table in tables.items():
        texts = table.set_index("model").text
        asked = CUT if name == "batch_minus_initial" else systems()
        found |= {f"{name}.{model}": texts.get(model, "–") for model in asked}
    return found


# ----------------------------------------------------------------------------------------- figure


def draw_costs(changes: pd.DataFrame, names: list[str]) -> plt.Figure:
    """Pruned minus dense of each network, ours and published, a line a network.

    Args:
        changes: as from `differences`.
        names: the networks, from the top.
    """
    found, published = pairs(changes), published_errors()
    hardly = found[found.verdict == LEFT_OUT]
    ours = found.drop(hardly.index)
    place = {name: y for y, name in enumerate(reversed(names))}
    figure, axis = plt.subplots(figsize=(8, 1.6 + 0.29 * len(names)))
    blue = METHODS["snip"].colour
    ours = ours.reindex(names).dropna(subset="mean")
    _draw_intervals(axis, ours, place, color=blue, label="ours")
    if len(hardly):
        look = {"color": "0.55", "mfc": "white", "label": f"ours, {LEFT_OUT}"}
        _draw_intervals(axis, hardly, place, **look)
    for by, data, marker in (
        ("the paper", "CIFAR-10 or MNIST", "*"),
        ("the class report", "CIFAR-10", "P"),
    ):
        part = published[(published.by == by) & published.index.isin(names)]
        look = {"marker": marker, "c": "#f0e442", "ec": "black", "s": 150, "zorder": 5}
        label = f"{by} (full length, {data})"
        axis.scatter(part.change, part.index.map(place), **look, label=label)
    axis.axvline(0, color="0.3", lw=1)
    for name in place.keys() - set(found.index):
        look = {"fontsize": 8, "color": "0.35", "va": "center"}
        where = axis.get_yaxis_transform()
        axis.text(1.01, place[name], "not run yet", transform=where, **look)
    axis.margins(x=0.12)
    axis.set_ylim(-0.6, len(names) - 0.4)
    axis.set_yticks(list(place.values()), [systems()[name].title for name in place])
    axis.set_xlabel("error, pruned minus dense (points)")
    handles, labels = axis.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i] != "ours")  # ours first
    look = {"fontsize": 8.5, "frameon": False, "columnspacing": 1.2}
    figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="outside upper center",
        ncols=3 if len(labels) < 4 else 2,
        **look,
    )
    return figure


def _draw_intervals(axis: plt.Axes, table: pd.DataFrame, place: dict[str, int], **look) -> None:
    """Means with 95 % intervals, where there are several seeds."""
    look = {"fmt": "o", "ms": 6.5, "capsize": 3, "zorder": 6} | look
    axis.errorbar(table["mean"], table.index.map(place), xerr=table.half.fillna(0), **look)


# ------------------------------------------------------------------------------------------ LaTeX

HEAD = r"""% In the preamble: \usepackage{booktabs} and \usepackage{siunitx} (version 2 or later).
% 22.41(12) is 22.41 ± 0.12. As wide as the text of an article with margins of 2 cm.
\begingroup\footnotesize\setlength{\tabcolsep}{3pt}\sisetup{retain-explicit-plus}
\begin{tabular}{lr*{2}{S[table-format=1.2e1]}
  *{2}{S[table-format=2.2(3)]}S[table-format=+1.2(3)]*{2}{S[table-format=2.2]}S[table-format=+1.2]}
\toprule
& & \multicolumn{2}{c}{parameters} & \multicolumn{3}{c}{test error (\%)}
  & \multicolumn{3}{c}{published (\%)} \\
\cmidrule(lr){3-4} \cmidrule(lr){5-7} \cmidrule(lr){8-10}
network & {$\bar\kappa$ (\%)} & {$m$} & {$\kappa$} & {dense} & {pruned} & {$\Delta$}
  & {dense} & {pruned} & {$\Delta$} \\
\midrule
"""
FOOT = r"""\bottomrule
\end{tabular}\par\smallskip
\parbox{0.9\linewidth}{\footnotesize NOTE}
\endgroup
"""
TEXTS = [  # the columns of `cost_table` that are numbers as text
    *("dense (%)", "pruned (%)", "Δ", "dense, published", "pruned, published", "Δ, published"),
]


def latex(table: pd.DataFrame, rows: pd.DataFrame, note: str) -> str:
    """`cost_table` for LaTeX, of `rows`; `note`: their provenance, set under it."""
    lines = [_latex_row(row) for row in table.to_dict("records")]
    lines.insert(len(TABLE_I), r"\midrule")  # below it, what the class report does not have
    found = pairs(differences(rows))
    lost = int((rows.status != "ok").sum())
    foot = (
        f"Pruned before training, scored with initial statistics. {note} Lost runs: "
        f"{lost or 'none'}. Published: the paper's Table 2, for ResNet-18 the class report's Table "
        r"I, at full length. \dots: not run yet; --: not planned, or nothing published. "
        f"{LEFT_OUT.capitalize()} (above {UNTRAINED:g} %): "
        f"{titled(found.index[found.verdict == LEFT_OUT])}."
    )
    for sign in "%&_#":
        foot = foot.replace(sign, rf"\{sign}")
    return HEAD + "\n".join(lines) + "\n" + FOOT.replace("NOTE", foot)


def _latex_row(row: dict[str, str]) -> str:
    cells = [row["network"], row["κ̄ (%)"], *(f"{row[head]:.2e}" for head in ("m", "κ"))]
    cells += [_latex_number(row[head]) for head in TEXTS]
    return " & ".join(cells).replace("e+0", "e") + r" \\"


def _latex_number(text: str) -> str:
    """A cell for siunitx, without what is in brackets; a run to come is dots."""
    if text == "not yet":
        return r"{\dots}"
    text = text.partition(" (")[0].replace("−", "-").replace("±", "+-")
    return text if any(map(str.isdigit, text)) else "{--}"
