"""The introduction: one network, pruned and trained before the reader's eyes."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from snipcore import apply_masks, build_model, keep_top, pick_device, sensitivity
from sniplab.data import Data, draw_batch, load_data
from sniplab.methods import METHODS
from sniplab.runs import hardware
from sniplab.sections import check_profile, stored_table
from sniplab.training import evaluate, recipe_for, train

NETWORK, SPARSITY, SEED = "lenet-300-100", 0.95, 0
SCORED_ON = 100  # images
BINS = 59  # of the histogram of sensitivities

# What the demonstration leaves: a small table for each of these.
TABLES = ("0_training", "0_layers", "0_sensitivities", "0_pixels")


def length(profile: str) -> int:
    """Iterations that the demonstration trains: two epochs, some seconds."""
    check_profile(profile)
    return 20 if profile == "smoke" else 1080


def measure_demonstration(
    data: Data, model: nn.Module, scores: dict[str, Tensor], masks: dict[str, Tensor], steps: int
) -> dict[str, pd.DataFrame]:
    """Train a network of NETWORK under masks, and a dense one beside it on the same batches; the
    TABLES by name.

    "0_training": iteration, test error in percent dense and pruned; the same of the network pruned
    and `untrained`; source, hardware. "0_layers": parameters before and after, by layer.
    "0_sensitivities": how many connections of a sensitivity from `low` to `high` are kept and
    pruned; those of 0 are left out. "0_pixels": connections kept of each pixel to the first layer.
    """
    apply_masks(model, masks)
    recipe = recipe_for(NETWORK, steps, checkpoints=4)
    untrained = evaluate(model, data.x_test, data.y_test)
    dense = build_model(NETWORK, seed=SEED).to(data.x_train.device)
    full, sparse = train(dense, data, recipe), train(model, data, recipe, masks)
    training = pd.DataFrame(
        {"iteration": full.iteration, "dense": full.test_error, "pruned": sparse.test_error}
    )
    where = {"source": data.source, "hardware": hardware(data.x_train.device)}
    layers = pd.DataFrame(
        [(name, mask.numel(), int(mask.sum())) for name, mask in masks.items()],
        columns=["layer", "before", "after"],
    )
    flat = torch.cat([score.flatten() for score in scores.values()]).cpu().numpy()
    kept = torch.cat([mask.flatten() for mask in masks.values()]).cpu().numpy()
    edges = np.geomspace(flat[flat > 0].min(), flat.max(), BINS + 1)
    counts = {"kept": flat[kept], "pruned": flat[~kept]}
    counts = {name: np.histogram(some, edges)[0] for name, some in counts.items()}
    pixels = masks["fc1.weight"].sum(0).view(28, 28).cpu().numpy()
    row, column = np.indices(pixels.shape).reshape(2, -1)
    tables = (
        training.assign(untrained=untrained, **where),
        layers,
        pd.DataFrame({"low": edges[:-1], "high": edges[1:], **counts}),
        pd.DataFrame({"row": row, "column": column, "kept": pixels.ravel()}),
    )
    return dict(zip(TABLES, tables, strict=True))


def stored_demonstration() -> dict[str, pd.DataFrame]:
    """The TABLES of the committed report, on MNIST."""
    return {name: stored_table(name) for name in TABLES}


def write_stored(folder: Path) -> None:
    """Measure the TABLES of the committed report into a folder, on the CPU with one thread."""
    device, threads = pick_device("cpu"), torch.get_num_threads()
    torch.set_num_threads(1)  # last digits depend on it
    try:
        data = load_data("mnist", device=device)
        model = build_model(NETWORK, seed=SEED).to(device)
        scores = sensitivity(model, *draw_batch(data, SCORED_ON, seed=SEED))
        masks = keep_top(scores, SPARSITY)
        tables = measure_demonstration(data, model, scores, masks, length("desktop"))
    finally:
        torch.set_num_threads(threads)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)


def layer_table(layers: pd.DataFrame) -> pd.DataFrame:
    """Parameters before and after pruning, a column for each layer and one for all of them."""
    table = layers.set_index("layer")[["before", "after"]].T.rename_axis(columns=None)
    return table.assign(all=table.sum(axis=1))


def draw_demonstration(tables: dict[str, pd.DataFrame]) -> plt.Figure:
    """How the sensitivity is spread and where the threshold cuts; the connections that each pixel
    keeps; and the test error while both networks train."""
    figure, (spread, picture, course) = plt.subplots(1, 3, figsize=(13, 4), width_ratios=[4, 3, 4])
    scores = tables["0_sensitivities"]
    edges = [*scores.low, scores.high.iloc[-1]]
    for name, colour in (("pruned", "0.75"), ("kept", METHODS["snip"].colour)):
        spread.hist(scores.low, edges, weights=scores[name], color=colour, label=name)
    spread.set(xscale="log", title="Connection sensitivity", xlabel="sensitivity of a connection")
    spread.set_ylabel("connections")
    spread.legend(loc="upper left")
    pixels = tables["0_pixels"].pivot(index="row", columns="column", values="kept")
    image = picture.imshow(pixels, cmap="gray_r")
    picture.set(title="Kept in the first layer", xticks=[], yticks=[])
    figure.colorbar(image, ax=picture, label="connections of a pixel, of 300")
    training = tables["0_training"]
    for name, label, look in (("dense", "dense", "k--s"), ("pruned", "pruned to 95 %", "-o")):
        course.plot(training.iteration, training[name], look, label=label)
    course.set(title="Training", xlabel="iteration", ylabel="test error (%)", ylim=(0, None))
    course.legend()
    return figure
