"""Runs beside those of the sweep that no table or figure reads yet: `make rows SECTION=1_defaults`.

Each plan is of the committed report, and empty under other profiles.
"""

from sniplab.runs import Config
from sniplab.sections import COMMITTED, collected, sweep
from sniplab.sections.sweep_tables import LENET_5


@collected("defaults")
def defaults_plan() -> list[Config]:
    """LeNet-5-Caffe's controls, and SNIP beside them, by the reference's defaults: what the sweep
    lacks of eight seeds."""
    levels = sweep.SETTINGS[COMMITTED].defaults[LENET_5].sparsities["random"]
    methods = ("snip", *sweep.CONTROLS)
    wanted = sweep.plan(COMMITTED, "mnist", LENET_5, methods, levels, seeds=8)["defaults"]
    has = set(sweep.plan(COMMITTED)["defaults"])
    return [config for config in wanted if config not in has and config.method != "dense"]
