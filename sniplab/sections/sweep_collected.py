"""Runs beside those of the sweep that no table or figure reads yet: `make rows SECTION=1_defaults`.

Each plan is of the committed report, and empty under other profiles.
"""

import dataclasses

from sniplab.recipe import PROTOCOLS, recipe_for
from sniplab.runs import Config
from sniplab.sections import COMMITTED, collected, sweep
from sniplab.sections.sweep_tables import LENET_5


@collected("published_rate")
def published_rate_plan() -> list[Config]:
    """Table 1's LeNet-5-Caffe at the published rate, which its dense network bears on pixels from 0
    to 1: dense, 98 and 99 %, five seeds."""
    recipe = dataclasses.replace(recipe_for(LENET_5, 75_000, 75), lr=PROTOCOLS["mnist"].lr)
    return [
        Config(LENET_5, recipe, *cell, seed, inputs="unit")
        for seed in range(5)
        for cell in (("dense", 0.0), ("snip", 0.98), ("snip", 0.99))
    ]


@collected("defaults")
def defaults_plan() -> list[Config]:
    """LeNet-5-Caffe's controls, and SNIP beside them, by the reference's defaults: what the sweep
    lacks of eight seeds."""
    levels = sweep.SETTINGS[COMMITTED].defaults[LENET_5].sparsities["random"]
    methods = ("snip", *sweep.CONTROLS)
    wanted = sweep.plan(COMMITTED, "mnist", LENET_5, methods, levels, seeds=8)["defaults"]
    has = set(sweep.plan(COMMITTED)["defaults"])
    return [config for config in wanted if config not in has and config.method != "dense"]
