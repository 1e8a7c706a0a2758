"""Runs of the architectures whose rows are collected over many days, and not shown before all of a
plan are there.

Each is a plan of the committed report, empty under other profiles: `make rows SECTION=2_lengths`.
Runs are in the order of their seeds, so that what a day leaves undone is a seed, not a cell.
"""

import dataclasses

from sniplab.runs import Config
from sniplab.sections import COMMITTED, architectures, collected

ALEXNET = "alexnet-s"
LATER = ("synflow", "iterative-snip", "grasp", "erk", "shuffled", "random")
# The recipe as it is; then two other decays and two other rates, one at a time.
TUNED = ({}, {"weight_decay": 1e-4}, {"weight_decay": 2e-3}, {"lr": 0.03}, {"lr": 0.3})


@collected("lengths")
def lengths_plan() -> list[Config]:
    """What SNIP costs as a function of length, dense and pruned, three seeds: AlexNet-s in 24, 48
    and 96 epochs beside the 12 of the committed runs; LSTM-s and GRU-s for a fifth of the
    full length beside the half of the committed runs."""
    runs = [
        config
        for epochs in (24, 48, 96)
        for config in architectures.plan(COMMITTED, ALEXNET, epochs=epochs, seeds=3)["trained"]
    ]
    runs += [
        dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, iterations=15_000))
        for config in architectures.plan(COMMITTED, ("lstm-s", "gru-s"), seeds=3)["trained"]
    ]
    return sorted(runs, key=lambda config: config.seed)


@collected("methods")
def methods_plan() -> list[Config]:
    """Do the methods differ on convolutional networks? SNIP and LATER, 12 epochs, three seeds.
    SNIP's are runs of the section, trained here once more, beside the others: on another machine
    an error may change by points."""
    networks, methods = (ALEXNET, "squeezenet-vanilla"), ("snip", *LATER)
    runs = architectures.plan(COMMITTED, networks, methods, epochs=12, seeds=3)["trained"]
    return [config for config in runs if config.method != "dense" and config.norm == "running"]


@collected("tuning")
def tuning_plan() -> list[Config]:
    """Does what SNIP costs depend on weight decay and rate? AlexNet-s, dense and SNIP, 12 epochs,
    under TUNED, three seeds, tested on validation images: each arm is to have its own best."""
    return [
        dataclasses.replace(
            config, recipe=dataclasses.replace(config.recipe, **changed), tested="validation"
        )
        for config in architectures.plan(COMMITTED, ALEXNET, epochs=12, seeds=3)["trained"]
        for changed in TUNED
    ]


PLANS = {  # by the file in RESULTS that keeps the rows
    "2_lengths": lengths_plan,
    "2_methods": methods_plan,
    "2_tuning": tuning_plan,
}
