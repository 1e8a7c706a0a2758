"""§5.5, Fig. 3 and Table 3: which images connections are scored on, and with which initial weights.

LeNet-300-100 by the size of the scoring batch; four networks by the initialiser of the weights that
are scored; and, since masks scored under two of them ruin the GRU, what the biases of its gates and
the shuffling of its masks change. All at 90 % sparsity.

Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity. ICLR 2019.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from snipcore import MODELS
from sniplab.data import load_data
from sniplab.recipe import Recipe, recipe_for
from sniplab.runs import Config
from sniplab.sections import COMMITTED, Length, check_counts, check_profile, chosen
from sniplab.sections.data_and_initialization_masks import measure
from sniplab.sections.data_and_initialization_tables import GRU, INITS, LENETS, NETWORK, PLAIN

SPARSITY = 0.9

# ------------------------------------------------------------------------------------ what is run


@dataclass(frozen=True)
class Numbers:
    """What a profile says of this section."""

    scoring_batch: Length
    sizes: tuple[int, ...]  # of the scoring batches; 0: the whole train split
    initializers: Mapping[str, Length]  # by network
    gates: Length


SIZES = (1, 10, 100, 1000, 10_000, 0)
NUMBERS = {
    "smoke": Numbers(
        scoring_batch=Length(20, seeds=2),
        sizes=(1, 100, 0),
        initializers={"lenet-300-100": Length(20, seeds=2), "gru-s": Length(2, seeds=1)},
        gates=Length(2, seeds=1),
    ),
    "quick": Numbers(
        scoring_batch=Length(180, seeds=3),
        sizes=SIZES,
        initializers={
            "lenet-300-100": Length(180, seeds=3),
            "lenet-5-caffe": Length(40, seeds=2),
            "lstm-s": Length(45, seeds=1),
            "gru-s": Length(45, seeds=2),
        },
        gates=Length(45, seeds=1),
    ),
    "desktop": Numbers(
        scoring_batch=Length(75_000, seeds=10),
        sizes=SIZES,
        initializers={
            "lenet-300-100": Length(25_000, seeds=10),
            "lenet-5-caffe": Length(5_000, seeds=8),
            "lstm-s": Length(10_000, seeds=3),
            "gru-s": Length(10_000, seeds=10),
        },
        gates=Length(10_000, seeds=3),
    ),
    "paper": Numbers(
        scoring_batch=Length(75_000, seeds=20),
        sizes=SIZES,
        initializers=dict.fromkeys((*LENETS, "lstm-s", "gru-s"), Length(75_000, seeds=20)),
        gates=Length(75_000, seeds=20),
    ),
}
CHECKPOINTS = 75  # of Fig. 3's runs; of short ones, one for every 60 iterations
SHUFFLED = ("rn", PLAIN)  # initialisers under which the masks of the GRU are shuffled, too
GATED = ("rn", "tn", PLAIN)  # initialisers that are crossed with the biases of its gates


# Scored at 0 a bias has no sensitivity and is pruned, so that it trains from 0 either way: three
# cells, not four.
GATES = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))  # where biases start, scored and trained


def plan(
    profile: str,
    dataset: str = "mnist",
    models: str | Iterable[str] | None = None,
    seeds: int | None = None,
    iterations: int | None = None,
) -> dict[str, list[Config]]:
    """The runs: "scoring_batch", of NETWORK by the number of images that it is scored on (Fig. 3);
    "initializers", masks scored under each of INITS (Table 3), and those of GRU shuffled, too;
    "gates", GRU by where the biases of its gates start. Some runs are in two parts.

    Args:
        models: one or more of the networks of the profile; None: all of them.
        seeds, iterations: in place of the profile's own.

    Raises ValueError for an unknown profile or network, and for seeds or iterations below 1.
    """
    check_profile(profile)
    numbers = NUMBERS[profile]
    networks = dict.fromkeys((NETWORK, *numbers.initializers, GRU))
    models = chosen(models, networks, "network of this section", networks)
    check_counts(seeds=seeds, iterations=iterations)

    def length(own: Length) -> Length:
        steps = own.iterations if iterations is None else iterations
        return Length(steps, seeds=own.seeds if seeds is None else seeds)

    parts = {"scoring_batch": [], "initializers": [], "gates": []}
    if NETWORK in models:
        parts["scoring_batch"] = _by_batch(length(numbers.scoring_batch), numbers.sizes, dataset)
    for model in models:
        if model in numbers.initializers:
            of_model = length(numbers.initializers[model])
            parts["initializers"] += _by_initializer(model, of_model, dataset)
    parts["initializers"].sort(key=lambda config: config.seed)
    if GRU in models:
        parts["gates"] = _by_gates(length(numbers.gates), dataset)
    return parts


def _by_batch(length: Length, sizes: Iterable[int], dataset: str) -> list[Config]:
    checkpoints = min(CHECKPOINTS, max(1, length.iterations // 60))
    recipe = recipe_for(NETWORK, length.iterations, checkpoints)
    return [
        Config(NETWORK, recipe, "snip", SPARSITY, seed, dataset, scoring_batch=size)
        for seed in range(length.seeds)
        for size in sizes
    ]


def _adam(model: str, iterations: int) -> Recipe:
    """Table 3's optimiser. The paper gives no schedule: three stages, but for recurrent networks on
    a short run, which need all of the rate."""
    constant = MODELS[model].family == "Recurrent" and iterations < 5000
    adam = {"optimizer": "adam", "lr": 0.001, "weight_decay": 0.0, "stages": 1 if constant else 3}
    return Recipe(iterations, **adam, checkpoints=min(10, max(1, iterations // 60)))


def _by_initializer(model: str, length: Length, dataset: str) -> list[Config]:
    recipe = _adam(model, length.iterations)
    cells = [("snip", init) for init in INITS]
    if model == GRU:
        cells += [("shuffled", init) for init in SHUFFLED]
    return [
        Config(model, recipe, method, SPARSITY, seed, dataset, init=init, reinit=PLAIN)
        for seed in range(length.seeds)
        for method, init in cells
    ]


def _by_gates(length: Length, dataset: str) -> list[Config]:
    recipe = _adam(GRU, length.iterations)
    usual = Config(GRU, recipe, "snip", SPARSITY, dataset=dataset, reinit=PLAIN)
    return [
        dataclasses.replace(usual, seed=seed, init=init, gates=scored, reinit_gates=trained)
        for seed in range(length.seeds)
        for init in GATED
        for scored, trained in GATES
    ]


# --------------------------------------------------------------------- what is stored, and measured


def write_stored(folder: Path) -> None:
    """Measure on the masks of the committed plan what needs no training, and write it to `folder`,
    a table a file: 4_<name>.csv."""
    data = load_data("mnist", device="cpu")
    for name, table in measure(plan(COMMITTED), data).items():
        table.to_csv(folder / f"4_{name}.csv", index=False)
