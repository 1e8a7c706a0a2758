"""Runs whose rows are collected over many days, and not shown before all of a plan are there.

Each is a plan of the committed report, empty under other profiles: `make rows SECTION=1_methods`.
"""

import dataclasses

from sniplab.runs import Config
from sniplab.sections import COMMITTED, check_profile, sweep
from sniplab.sections.sweep_tables import LENET_300
from sniplab.training import PROTOCOLS, Recipe, recipe_for

LATER = (  # methods after SNIP, fair random masks, and shuffles that keep more than layer counts
    *("synflow", "iterative-snip", "force", "grasp", "erk", "uniform"),
    *("shuffled-inputs", "shuffled-units", "shuffled-degrees"),
)
IMAGES_SEEN = 7_500_000  # of a run of the published protocol


def _protocol() -> Recipe:
    return recipe_for(LENET_300, PROTOCOLS["mnist"].iterations, 75)


def more_seeds_plan(profile: str) -> dict[str, list[Config]]:
    """SNIP and its controls of LeNet-300-100 from 90 % on, at the seeds that the committed sweep
    lacks of twenty."""
    check_profile(profile)
    if profile != COMMITTED:
        return {"more_seeds": []}
    known = sweep.plan(profile)
    there = {config for configs in known.values() for config in configs}
    methods = ("snip", *sweep.CONTROLS)
    wanted = sweep.plan(profile, "mnist", LENET_300, methods, sweep.ABOVE, seeds=20)
    runs = [c for c in wanted["sweep"] if c.method != "dense" and c not in there]
    return {"more_seeds": runs}


def methods_plan(profile: str) -> dict[str, list[Config]]:
    """LATER on LeNet-300-100 from 90 % on, ten seeds, by the published protocol."""
    check_profile(profile)
    if profile != COMMITTED:
        return {"methods": []}
    runs = [
        Config(LENET_300, _protocol(), method, sparsity, seed)
        for seed in range(10)
        for method in LATER
        for sparsity in sweep.ABOVE
    ]
    return {"methods": runs}


def fashion_plan(profile: str) -> dict[str, list[Config]]:
    """Is SNIP worse on harder data? LeNet-300-100 on Fashion-MNIST, dense and SNIP, five seeds, by
    the published protocol."""
    check_profile(profile)
    if profile != COMMITTED:
        return {"fashion": []}
    cells = [("dense", 0.0), *(("snip", s) for s in (0.5, 0.7, 0.8, 0.9, 0.95, 0.98))]
    runs = [
        Config(LENET_300, _protocol(), *cell, seed, "fashion_mnist")
        for seed in range(5)
        for cell in cells
    ]
    return {"fashion": runs}


def batches_plan(profile: str) -> dict[str, list[Config]]:
    """Does SNIP get worse with larger batches? As many images for scoring as for a step, and as
    many seen in all; LeNet-300-100, dense and SNIP, five seeds (Gong, Du & Dong, 2022, Table
    II)."""
    check_profile(profile)
    if profile != COMMITTED:
        return {"batches": []}
    cells = [("dense", 0.0), *(("snip", s) for s in (0.1, 0.5, 0.9))]
    runs = []
    for size in (50, 100, 500, 1000):
        steps = IMAGES_SEEN // size
        recipe = dataclasses.replace(_protocol(), batch_size=size, iterations=steps)
        runs += [
            Config(LENET_300, recipe, *cell, seed, scoring_batch=size)
            for seed in range(5)
            for cell in cells
        ]
    return {"batches": runs}


PLANS = {  # by the file in RESULTS that keeps the rows
    "1_more_seeds": more_seeds_plan,
    "1_methods": methods_plan,
    "1_fashion": fashion_plan,
    "1_batches": batches_plan,
}
