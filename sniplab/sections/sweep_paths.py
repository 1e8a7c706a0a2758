"""How many of the kept weights lie on a path from input to output: measured, not trained for."""

from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from snipcore import build_model
from sniplab.connectivity import effective_fraction
from sniplab.data import Data, draw_batch, load_data
from sniplab.methods import METHODS, make_masks
from sniplab.sections import COMMITTED, stored_table
from sniplab.training import progress

NETWORK = "lenet-300-100"
MASKS = ("snip", "shuffled", "magnitude", "random")
MEASURED = (0.7, 0.8, 0.9, 0.95, 0.98, 0.99)  # sparsities
SEEDS = {"smoke": 1, "quick": 2, COMMITTED: 5, "paper": 20}


def measure_paths(data: Data, seeds: Iterable[int]) -> pd.DataFrame:
    """The share of kept weights on a path, in percent, for masks of NETWORK: method, sparsity,
    seed, on_a_path, source."""
    rows = []
    cells = [(seed, method, s) for seed in seeds for method in MASKS for s in MEASURED]
    for seed, method, sparsity in progress(cells, unit="mask"):
        model = build_model(NETWORK, seed=seed).to(data.x_train.device)
        x, y = draw_batch(data, 100, seed)
        masks = make_masks(model, method, sparsity, x, y, seed)
        rows.append((method, sparsity, seed, 100 * effective_fraction(model, masks, x[:1])))
    table = pd.DataFrame(rows, columns=["method", "sparsity", "seed", "on_a_path"])
    return table.assign(source=data.source)


def paths_of(profile: str, dataset: str, device: str | None = None) -> pd.DataFrame:
    """`measure_paths`; under the committed profile as it is stored."""
    if profile == COMMITTED:
        return stored_table("1_paths")
    return measure_paths(load_data(dataset, device=device), range(SEEDS[profile]))


def write_stored(folder: Path) -> None:
    """Measure the small table of the committed report into a folder, on MNIST, on the CPU."""
    data = load_data("mnist", device="cpu")
    measure_paths(data, range(SEEDS[COMMITTED])).to_csv(folder / "1_paths.csv", index=False)


def draw_paths(table: pd.DataFrame) -> plt.Figure:
    """Share of kept weights on a path by sparsity, a line for each method; bands are 95 %
    intervals. `table` as from `measure_paths`."""
    there = [name for name in METHODS if (table.method == name).any()]
    labels = [METHODS[name].label for name in there]
    shown = table.assign(
        method=table.method.map(dict(zip(there, labels, strict=True))),
        sparsity=(100 * table.sparsity).map("{:g}".format),
    )
    look = {"hue_order": labels, "style_order": labels, "dashes": False, "err_style": "bars"}
    look["seed"] = 0  # of the bootstrap: the same figure each time
    look |= {"palette": [METHODS[name].colour for name in there]}
    look |= {"markers": [METHODS[name].marker for name in there]}
    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    sns.lineplot(shown, x="sparsity", y="on_a_path", hue="method", style="method", ax=axis, **look)
    axis.set(xlabel="sparsity (%)", ylabel="kept weights on a path (%)", ylim=(-3, 103))
    axis.legend(loc="lower left")
    return figure


def values() -> dict[str, str]:
    """The shares that prose quotes, in the mean over seeds: "on_a_path.random.99" is "9.9"."""
    table = stored_table("1_paths")
    means = table.groupby(["method", "sparsity"]).on_a_path.mean()
    return {f"on_a_path.{m}.{100 * s:g}": f"{mean:.1f}" for (m, s), mean in means.items()}
