"""§5.1 and §5.2: how far can SNIP prune the LeNets, and does its choice matter?

Fig. 1 (every sparsity) and Table 1 (the published cells) by the published protocol and by what the
reference implementation does by default, with controls that the paper left out, and with changes of
the recipe, one at a time.

Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity. ICLR 2019.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from snipcore import MODELS
from sniplab.methods import METHODS
from sniplab.recipe import REFERENCE, Recipe, recipe_for
from sniplab.runs import Config
from sniplab.sections import check_counts, check_profile, chosen, several
from sniplab.sections.sweep_tables import CONTROLS, LENET_5, LENET_300, UNCHANGED, VARIANT

ALL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
FIG_1 = tuple(sparsity for sparsity in ALL if sparsity <= 0.9)  # Table 1 goes beyond
DENSE_CELL = ("dense", 0.0)
ABOVE = tuple(sparsity for sparsity in ALL if sparsity >= 0.9)  # of the claims on controls

# ------------------------------------------------------------------------------------ what is run


@dataclass(frozen=True)
class Numbers:
    """What a profile says of one network in one part."""

    iterations: int
    seeds: int
    checkpoints: int
    sparsities: Mapping[str, tuple[float, ...]]  # by method; a dense run for each seed besides
    seeds_above: int = 0  # of the dense network and from 90 % on, where it is more than `seeds`


@dataclass(frozen=True)
class Profile:
    """What a profile says of this section."""

    sweep: Mapping[str, Numbers]  # by network
    defaults: Mapping[str, Numbers]  # the same by REFERENCE
    table_1: Mapping[str, Numbers]
    variants: Numbers  # of LENET_300, checkpoints as in table_1, whose runs are the unchanged ones
    variant_names: tuple[str, ...]
    rate_seeds: int  # of the trials of learning rates
    rates: tuple[float, ...] = (0.1, 0.05, 0.02)  # that are tried, each from all of `starts`
    starts: tuple[Mapping, ...] = ({}, {"init": "vs-x"}, {"inputs": "unit"})


def _snip(*sparsities: float) -> dict[str, tuple[float, ...]]:
    return {"snip": sparsities}


def _with_controls(snip: tuple[float, ...], controls: tuple[float, ...]) -> dict:
    return {"snip": snip, **dict.fromkeys(CONTROLS, controls)}


# What might stand between LeNet-300-100 and its published errors: changes of the recipe, and of the
# rest of a Config.
VARIANTS = {
    UNCHANGED: ({}, {}),
    "no momentum": ({"momentum": 0.0}, {}),
    "learning rate 0.03": ({"lr": 0.03}, {}),
    "batches of 25": ({"batch_size": 25}, {}),
    "no weight decay": ({"weight_decay": 0.0}, {}),
    "weight decay 0.0001": ({"weight_decay": 1e-4}, {}),
    "shifts by 1 pixel": ({"shift": 1}, {}),
    "shifts by 2 pixels": ({"shift": 2}, {}),
    "shifts by 4 pixels": ({"shift": 4}, {}),
    "flips": ({"flip": True}, {}),
    "new weights under the mask": ({}, {"reinit": "vs"}),
    "Glorot's initial weights": ({}, {"init": "vs-x"}),
    "scored on 1,000 images": ({}, {"scoring_batch": 1000}),
    "biases neither pruned nor counted": ({}, {"biases": False}),
    "validation images trained on": ({}, {"validation": True}),
    "pixels from 0 to 1": ({}, {"inputs": "unit"}),
}

PUBLISHED_CELLS = {LENET_300: _snip(0.95, 0.98), LENET_5: _snip(0.98, 0.99)}
VARIANT_CELLS = _snip(0.95, 0.98)
COARSE = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)  # where ALL would take too long

SETTINGS = {
    "smoke": Profile(
        sweep={
            LENET_300: Numbers(20, 2, 2, _with_controls((0.5, 0.9, 0.98), (0.9,))),
            LENET_5: Numbers(4, 2, 1, {"snip": (0.9,), "random": (0.9,)}),
        },
        defaults={LENET_300: Numbers(20, 2, 2, _with_controls((0.9,), (0.9,)))},
        table_1={LENET_300: Numbers(20, 2, 2, _snip(0.98)), LENET_5: Numbers(4, 2, 1, _snip(0.98))},
        variants=Numbers(10, 1, 2, VARIANT_CELLS),
        variant_names=(UNCHANGED, "shifts by 1 pixel", "pixels from 0 to 1"),
        rate_seeds=1,
        rates=(0.1,),
        starts=({},),
    ),
    "quick": Profile(
        sweep={
            LENET_300: Numbers(540, 3, 2, _with_controls((0.3, *COARSE), (0.9, 0.99))),
            LENET_5: Numbers(90, 2, 2, {"snip": (0.9,), "random": (0.9,)}),
        },
        defaults={},  # too few steps for a constant rate
        table_1={
            LENET_300: Numbers(540, 3, 2, _snip(0.95, 0.98)),
            LENET_5: Numbers(90, 2, 2, _snip(0.98)),
        },
        variants=Numbers(120, 1, 2, VARIANT_CELLS),
        variant_names=tuple(VARIANTS),
        rate_seeds=1,
        rates=(0.1, 0.02),
        starts=({},),
    ),
    "desktop": Profile(  # the committed report
        sweep={
            LENET_300: Numbers(
                75_000, 5, 75, _with_controls(ALL, (0.7, 0.8, *ABOVE)), seeds_above=20
            ),
            LENET_5: Numbers(37_500, 3, 15, {"snip": FIG_1}),
        },
        defaults={
            LENET_300: Numbers(10_000, 5, 10, _with_controls(ALL, COARSE)),
            LENET_5: Numbers(10_000, 3, 10, _with_controls(ALL, (0.5, *ABOVE)), seeds_above=6),
        },
        table_1={
            LENET_300: Numbers(75_000, 20, 75, PUBLISHED_CELLS[LENET_300]),
            LENET_5: Numbers(75_000, 3, 75, PUBLISHED_CELLS[LENET_5]),
        },
        variants=Numbers(75_000, 3, 75, VARIANT_CELLS),
        variant_names=tuple(VARIANTS),
        rate_seeds=10,
    ),
    "paper": Profile(
        sweep=dict.fromkeys(
            (LENET_300, LENET_5), Numbers(75_000, 20, 75, _with_controls(ALL, ALL))
        ),
        defaults=dict.fromkeys(
            (LENET_300, LENET_5), Numbers(10_000, 20, 10, _with_controls(ALL, ALL))
        ),
        table_1={name: Numbers(75_000, 20, 75, cells) for name, cells in PUBLISHED_CELLS.items()},
        variants=Numbers(75_000, 20, 75, VARIANT_CELLS),
        variant_names=tuple(VARIANTS),
        rate_seeds=20,
    ),
}


def plan(
    profile: str,
    dataset: str = "mnist",
    models: str | Iterable[str] | None = None,
    methods: str | Iterable[str] | None = None,
    sparsities: float | Iterable[float] | None = None,
    seeds: int | None = None,
    iterations: int | None = None,
) -> dict[str, list[Config]]:
    """The runs of the section by part: "sweep" by the published protocol, "defaults" by that of the
    reference implementation, "table_1" with the published cells, and one for each of VARIANTS.

    Args:
        models: one or more networks in place of the profile's own; one that it lacks is swept as
            LeNet-300-100 is.
        methods, sparsities: in place of the profile's own, in the sweeps; the published cells and
            the variants are then left out.
        seeds, iterations: in place of the profile's own.

    Raises ValueError for an unknown profile, network or method, for a sparsity that is no number,
    and for numbers below 1.
    """
    check_profile(profile)
    check_counts(seeds=seeds, iterations=iterations)
    settings = SETTINGS[profile]
    models = chosen(models, MODELS, "model")
    methods = chosen(methods, METHODS, "method")
    sparsities = several(sparsities)
    for sparsity in sparsities or ():
        if isinstance(sparsity, str):  # whose letters would be sparsities
            raise ValueError(f"sparsity {sparsity!r} is no number")

    def swept(part: Mapping[str, Numbers]) -> dict[str, Numbers]:
        """The networks of a sweep, with methods and sparsities as asked for."""
        names = list(part) if models is None else models
        networks = {}
        for name in names if part else ():
            numbers = part.get(name, part[LENET_300])
            cells = numbers.sparsities
            if methods is not None:
                own = cells["snip"]
                cells = {method: cells.get(method, own) for method in methods if method != "dense"}
            if sparsities is not None:
                cells = dict.fromkeys(cells, sparsities)
            networks[name] = dataclasses.replace(numbers, sparsities=cells)
        return networks

    def runs(
        numbers: Numbers, model: str, recipe: Recipe, changes: Mapping | None = None
    ) -> list[Config]:
        cells = [DENSE_CELL]
        cells += [(method, s) for method, levels in numbers.sparsities.items() for s in levels]
        above = [cell for cell in cells if cell == DENSE_CELL or cell[1] in ABOVE]
        count, count_above = numbers.seeds, max(numbers.seeds, numbers.seeds_above)
        if seeds is not None:
            count = count_above = seeds
        return [
            Config(model, recipe, *cell, seed, dataset, **(changes or {}))
            for seed in range(count_above)
            for cell in (cells if seed < count else above)
        ]

    def protocol(model: str, numbers: Numbers) -> Recipe:
        return recipe_for(model, iterations or numbers.iterations, numbers.checkpoints)

    parts = {"sweep": [], "defaults": [], "table_1": []}
    for model, numbers in swept(settings.sweep).items():
        parts["sweep"] += runs(numbers, model, protocol(model, numbers))
    for model, numbers in swept(settings.defaults).items():
        length = protocol(model, numbers)
        lengths = {"iterations": length.iterations, "checkpoints": length.checkpoints}
        recipe = dataclasses.replace(REFERENCE, **lengths)
        parts["defaults"] += runs(numbers, model, recipe, {"reinit": "vs"})
    for part in ("sweep", "defaults"):
        parts[part].sort(key=lambda config: config.seed)
    # What was published is of SNIP at sparsities of its own.
    own_cells = methods is None and sparsities is None
    for model, numbers in settings.table_1.items():
        if own_cells and (models is None or model in models):
            parts["table_1"] += runs(numbers, model, protocol(model, numbers))
    if own_cells and (models is None or LENET_300 in models):
        plain = protocol(LENET_300, settings.variants)
        for name in settings.variant_names:
            recipe, config_changes = VARIANTS[name]
            changed = dataclasses.replace(plain, **recipe)
            parts[VARIANT + name] = runs(settings.variants, LENET_300, changed, config_changes)
    return parts


def rates_plan(profile: str, dataset: str = "mnist") -> dict[str, list[Config]]:
    """Trials of LeNet-5-Caffe, in part "trials": at which rates it diverges, with momentum and
    without, and whether by the scale of its initial weights or of its inputs; and, at the highest
    rate with momentum, whether it does so pruned to 98 %, too. The rate is constant: in the stages
    of so short a run it would fall before the network diverges."""
    check_profile(profile)
    settings = SETTINGS[profile]
    dense = itertools.product([DENSE_CELL], (0.9, 0.0), settings.starts, settings.rates)
    pruned = itertools.product([("snip", 0.98)], (0.9,), settings.starts, [max(settings.rates)])
    return {
        "trials": [
            Config(
                LENET_5,
                Recipe(200, lr=lr, momentum=momentum, stages=1, checkpoints=1),
                *cell,
                seed,
                dataset,
                test_images=1000,
                **changed,
            )
            for cell, momentum, changed, lr in (*dense, *pruned)
            for seed in range(settings.rate_seeds)
        ]
    }
