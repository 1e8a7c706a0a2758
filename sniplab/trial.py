"""A first trial of a mask: what each layer keeps, and some steps of training beside dense."""

import dataclasses
import warnings
from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import torch
from torch import Tensor, nn

from snipcore import MODELS, build_model, check_known, prunable
from sniplab.data import DATASETS, Data, load_data
from sniplab.methods import METHODS
from sniplab.recipe import recipe_for
from sniplab.training import progress, train


def load_data_for(
    network: str, dataset: str | None = None, device: str | torch.device | None = None
) -> Data:
    """The data set where its images fit a network of MODELS, else, with a warning, the network's
    own: images of CIFAR-10 for AlexNet-s, whatever a notebook is about. None: the network's own.

    Raises ValueError for an unknown network or data set, and as `load_data` does.
    """
    check_known(network, MODELS, "model")
    own = MODELS[network].dataset
    dataset = own if dataset is None else dataset
    check_known(dataset, DATASETS, "data set")
    if DATASETS[dataset][0] == DATASETS[own][0]:
        return load_data(dataset, device=device)
    warnings.warn(f"{network} does not take images of {dataset}: {own} is loaded", stacklevel=2)
    return load_data(own, device=device)


def layers(model: nn.Module, masks: Mapping[str, Tensor] | None) -> pd.DataFrame:
    """What each tensor keeps, in the order of the network: layer, connections, kept, sparsity (a
    fraction); and all of them together. Without masks all is kept."""
    counts = [
        (name, weight.numel(), weight.numel() if masks is None else int(masks[name].sum()))
        for name, weight in prunable(model).items()
    ]
    table = pd.DataFrame(counts, columns=["layer", "connections", "kept"])
    total = {"layer": "all", **table[["connections", "kept"]].sum()}
    table = pd.concat([table, pd.DataFrame([total])], ignore_index=True)
    return table.assign(sparsity=1 - table.kept / table.connections)


def compare(
    network: str,
    masks: Mapping[str, Tensor] | None,
    data: Data,
    steps: int,
    images: int = 500,
    method: str = "snip",
) -> pd.DataFrame:
    """Train a network of MODELS dense and under masks, from the same weights and on the same
    batches: `iteration`, `network` ("dense" or "pruned"), `error` (percent, of the first `images`
    test images).

    Args:
        masks: None trains the dense network alone.
        steps: of training.
        method: what made the masks; some change the weights, too ("rescaled").
    """
    recipe = recipe_for(network, steps, checkpoints=4)
    data = dataclasses.replace(data, x_test=data.x_test[:images], y_test=data.y_test[:images])
    networks = {"dense": None} if masks is None else {"dense": None, "pruned": masks}
    courses = []
    with progress(None, total=len(networks) * steps, unit="step") as bar:
        for name, kept in networks.items():
            before = bar.n
            model = build_model(network).to(data.x_train.device)
            if kept is not None and (adjust := METHODS[method].adjust):
                adjust(model, kept)

            def watch(done: int, _, before: int = before) -> None:
                bar.update(before + done - bar.n)

            history = train(model, data, recipe, kept, watch=watch)
            bar.update(before + steps - bar.n)
            course = {"iteration": history.iteration, "network": name, "error": history.test_error}
            courses.append(pd.DataFrame(course))
    return pd.concat(courses, ignore_index=True)


def draw_course(course: pd.DataFrame, label: str = "test error (%)") -> plt.Figure:
    """Error while networks train; `course` as from `compare`."""
    figure, axis = plt.subplots(figsize=(6, 3))
    style = {"hue": "network", "style": "network", "markers": {"dense": "s", "pruned": "o"}}
    style["dashes"] = {"dense": "", "pruned": (4, 2)}
    style["palette"] = {"dense": METHODS["dense"].colour, "pruned": METHODS["snip"].colour}
    sns.lineplot(course, x="iteration", y="error", ax=axis, **style)
    top = course.error.max()
    axis.set(ylabel=label, ylim=(-0.04 * top, 1.08 * top))  # whole markers at either end
    axis.xaxis.get_major_locator().set_params(integer=True)
    sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure
