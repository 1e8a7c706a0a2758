"""The introduction: what SNIP's scores look like, and where the threshold cuts."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sniplab.methods import METHODS

EDGES = 60  # of the bins, one more than these


def spread(scores: Mapping[str, Tensor], masks: Mapping[str, Tensor] | None) -> pd.DataFrame:
    """How many connections of a sensitivity from `low` to `high` are kept and pruned; those of 0,
    biases that start at 0 for instance, are left out. Without masks all is kept."""
    flat = torch.cat([score.flatten() for score in scores.values()]).cpu().numpy()
    kept = np.full(len(flat), True)
    if masks is not None:
        kept = torch.cat([masks[name].flatten() for name in scores]).cpu().numpy()
    edges = np.geomspace(flat[flat > 0].min(), flat.max(), EDGES)
    counts = {
        "kept": np.histogram(flat[kept], edges)[0],
        "pruned": np.histogram(flat[~kept], edges)[0],
    }
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], **counts})


def draw_spread(table: pd.DataFrame) -> plt.Figure:
    """Histogram of the sensitivities, kept and pruned; `table` as from `spread`."""
    figure, axis = plt.subplots(figsize=(6, 2.8))
    edges = [*table.low, table.high.iloc[-1]]
    for name, colour in (("pruned", "0.75"), ("kept", METHODS["snip"].colour)):
        axis.hist(table.low, edges, weights=table[name], color=colour, label=name)
    axis.set(xscale="log", xlabel="sensitivity of a connection", ylabel="connections")
    axis.legend(loc="upper left")
    return figure
