"""Does SNIP cost less after longer training? AlexNet-s and the small recurrent networks.

Runs of other lengths than the section's are those of `lengths_plan`.
"""

import dataclasses

import matplotlib.pyplot as plt
import pandas as pd

from snipcore import MODELS
from sniplab.methods import METHODS
from sniplab.recipe import PROTOCOLS
from sniplab.runs import Config
from sniplab.sections import COMMITTED, Plan, architectures, collected
from sniplab.sections.architectures import EPOCH
from sniplab.sections.architectures_costs import PUBLISHED_MARKERS, dense_runs, initial_runs
from sniplab.sections.architectures_published import SOURCES
from sniplab.show import PUBLISHED, handles_of
from sniplab.stats import minus_twin, paired, quoted_table, summarize
from sniplab.verdicts import collected_claim

SHOWN = ["model", "method", "epochs", "seed", "error", "train_error"]  # of the runs, in the figure
BY = ["model", "epochs"]
SEEDS = 3  # of fewer no interval is drawn: it would be too wide


@collected("lengths")
def lengths_plan() -> list[Config]:
    """Dense and pruned, three seeds: AlexNet-s in 24, 48 and 96 epochs beside the 12 of the
    committed runs; LSTM-s and GRU-s for a fifth of the full length beside the half of the committed
    runs; LSTM-s for all of it. Seed by seed: what a day leaves undone is a seed, not a cell."""
    runs = [
        config
        for epochs in (24, 48, 96)
        for config in architectures.plan(COMMITTED, "alexnet-s", epochs=epochs, seeds=3)["trained"]
    ]
    runs += [
        dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, iterations=length))
        for length, models in ((15_000, ("lstm-s", "gru-s")), (75_000, ("lstm-s",)))
        for config in architectures.plan(COMMITTED, models, seeds=3)["trained"]
    ]
    return sorted(runs, key=lambda config: config.seed)


def by_length(other_lengths: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The runs of all lengths, dense and by SNIP, of the networks that have several, with column
    `epochs`.

    Args:
        other_lengths: of `lengths_plan`; rows: of the section's own plan.
    """
    own = rows[rows.model.isin(other_lengths.model)]
    runs = pd.concat([own, other_lengths], ignore_index=True)
    runs = pd.concat([dense_runs(runs), initial_runs(runs)], ignore_index=True)
    epochs = (runs.iterations / runs.dataset.map(EPOCH).astype(float)).round()
    return runs.assign(epochs=epochs.astype(int))


def costs(runs: pd.DataFrame) -> pd.DataFrame:
    """SNIP − dense by model and epochs, as from `paired`; `runs` as from `by_length`."""
    table = paired(initial_runs(runs), dense_runs(runs), BY, (*BY, "seed"))
    return table.sort_values(BY, ignore_index=True)


def changes(runs: pd.DataFrame) -> pd.DataFrame:
    """What SNIP costs by model and epochs minus what it costs in the shortest runs at the same
    seed, as from `paired`; `runs` as from `by_length`."""
    pruned = minus_twin(initial_runs(runs), dense_runs(runs), [*BY, "seed"])
    shortest = pruned.epochs == pruned.groupby("model").epochs.transform("min")
    table = paired(pruned[~shortest], pruned[shortest], BY, ("model", "seed"))
    return table.sort_values(BY, ignore_index=True)


def errors(runs: pd.DataFrame) -> pd.DataFrame:
    """Errors on test images and, as they were in the last tenth of the run, on training images, by
    model, method, epochs and `images` ("test", "training"), as from `summarize`."""
    by = ["model", "method", "epochs"]
    tables = [
        summarize(runs, by, value).assign(images=images)
        for images, value in (("test", "error"), ("training", "train_error"))
    ]
    return pd.concat(tables, ignore_index=True).sort_values([*by, "images"], ignore_index=True)


def draw_lengths(runs: pd.DataFrame) -> plt.Figure:
    """Errors by length above, SNIP − dense below, a point for each seed, a column for each network;
    the published ones at the full length. `runs` as from `by_length`."""
    models = list(dict.fromkeys(runs.model)) or [""]
    size = (1.5 + 3.5 * len(models), 6.2)
    figure, axes = plt.subplots(2, len(models), figsize=size, sharex="col", squeeze=False)
    for (above, below), model in zip(axes.T, models, strict=True):
        group = runs[runs.model == model]
        _draw_errors(above, group)
        _draw_costs(below, group)
        if model:
            _draw_published(above, below, model)
            above.set_title(MODELS[model].title)
        below.set(xscale="log", xlabel="training (epochs, logarithmic)")
        ticks = [*sorted(group.epochs.unique()), *([published_epochs(model)] if model else [])]
        below.set_xticks(ticks, ticks)
        below.minorticks_off()
    handles = handles_of(figure)
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=4, fontsize=9)
    axes[0, 0].set_ylabel("error (%)")
    axes[1, 0].set_ylabel("SNIP − dense (points)")
    return figure


def published_epochs(model: str) -> int:
    """How long a network is trained by the protocol: 427 epochs of CIFAR-10, 139 of MNIST."""
    dataset = MODELS[model].dataset
    return round(PROTOCOLS[dataset].iterations / EPOCH[dataset])


def _draw_errors(axis: plt.Axes, runs: pd.DataFrame) -> None:
    for (method, images), group in errors(runs).groupby(["method", "images"], sort=False):
        spec = METHODS[method]
        style = {"color": spec.colour, "marker": spec.marker, "capsize": 3}
        style["ls"] = "-" if images == "test" else ":"
        text = f"{spec.label}, {images} images"
        half = group.half.where(group.n >= SEEDS, 0)
        axis.errorbar(group.epochs, group["mean"], half, label=text, **style)


def _draw_costs(axis: plt.Axes, runs: pd.DataFrame) -> None:
    pruned = minus_twin(initial_runs(runs), dense_runs(runs), [*BY, "seed"])
    table, colour = costs(runs), METHODS["snip"].colour
    table = table[table.n >= SEEDS]  # of fewer there are the points
    style = {"mfc": "white", "mec": colour, "label": "SNIP − dense, a seed"}
    axis.plot(pruned.epochs, pruned.error, "o", **style)
    style = {"color": colour, "marker": "_", "ms": 14, "mew": 2, "lw": 1.5, "capsize": 3}
    style["label"] = "SNIP − dense, mean"
    axis.errorbar(table.epochs, table["mean"], table.half, **style)
    axis.axhline(0, color="0.3", lw=1)


def _draw_published(above: plt.Axes, below: plt.Axes, model: str) -> None:
    """At the full length; of two sources one a little to the left, one to the right."""
    sources = [source for source, published in SOURCES.items() if model in published]
    for source, shift in zip(sources, (0.93, 1.075) if len(sources) > 1 else (1,), strict=True):
        epochs, entry = shift * published_epochs(model), SOURCES[source][model]
        style = PUBLISHED | {"marker": PUBLISHED_MARKERS[source.replace(" ", "_")], "s": 100}
        for error, method in ((entry.dense, "dense"), (entry.pruned, "snip")):
            ink = {"c": METHODS[method].colour, "ec": PUBLISHED["c"]}
            label = f"{source}, {METHODS[method].label}"
            above.scatter([epochs], [error], label=label, **(style | ink))
        difference = entry.pruned - entry.dense
        below.scatter([epochs], [difference], label=f"{source}, SNIP − dense", **style)


def claims(other_lengths: pd.DataFrame, rows: pd.DataFrame, plan: Plan) -> list[dict]:
    """A row of the table of claims for each network, untested while runs of `plan`, or those
    of the section at the same seeds, are missing. `other_lengths` and `rows` as for `by_length`."""
    runs, judged_claims = by_length(other_lengths, rows), []
    table = changes(runs)
    for model in dict.fromkeys(config.model for config in plan["lengths"]):
        configs = [config for config in plan["lengths"] if config.model == model]
        stored, comparisons = (frame[frame.model == model] for frame in (runs, table))
        text = f"{MODELS[model].title}: SNIP costs less after longer training"
        name, difference = f"longer.{model}", "cost minus that of the shortest runs"
        claim = collected_claim(
            name, "architectures", text, stored, configs, comparisons, difference, "lower"
        )
        seeds = len({config.seed for config in configs})
        # `configs` are of the other lengths: the section's own may be missing as well.
        if claim["ours"] != "–" and (comparisons.n + comparisons.lost < seeds).any():
            claim |= {"ours": "–", "verdict": "untested: runs of the section's own length missing"}
        judged_claims.append(claim)
    return judged_claims


def values(other_lengths: pd.DataFrame, rows: pd.DataFrame) -> dict[str, str]:
    """The numbers for prose, by model and epochs: errors ("length.test.alexnet-s.dense.24", or
    "length.training.…"), costs ("length_cost.alexnet-s.24"), and how these differ from those of the
    shortest runs ("length_change.alexnet-s.24"); and of each network the longest runs of SEEDS
    pairs, "longest_epochs.alexnet-s", and in percent of the protocol, "longest_share.…"."""
    runs = by_length(other_lengths, rows)
    table = costs(runs)
    longest = table[table.n >= SEEDS].groupby("model").epochs.max()
    return {
        **{f"longest_epochs.{model}": str(epochs) for model, epochs in longest.items()},
        **{
            f"longest_share.{model}": f"{100 * epochs / published_epochs(model):.0f}"
            for model, epochs in longest.items()
        },
        **quoted_table("length", errors(runs), ["images", "model", "method", "epochs"]),
        **quoted_table("length_cost", table, BY),
        **quoted_table("length_change", changes(runs), BY),
    }
