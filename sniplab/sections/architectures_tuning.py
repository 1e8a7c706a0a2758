"""Does what SNIP costs depend on weight decay and rate? No table or figure reads these runs yet:
`make rows SECTION=2_tuning`."""

import dataclasses

from sniplab.runs import Config
from sniplab.sections import COMMITTED, architectures, collected

# The recipe as it is; then two other decays and two other rates, one at a time.
TUNED = ({}, {"weight_decay": 1e-4}, {"weight_decay": 2e-3}, {"lr": 0.03}, {"lr": 0.3})


@collected("tuning")
def tuning_plan() -> list[Config]:
    """AlexNet-s, dense and SNIP, 12 epochs, under TUNED, three seeds, tested on validation images:
    each arm is to have its own best."""
    return [
        dataclasses.replace(
            config, recipe=dataclasses.replace(config.recipe, **changed), tested="validation"
        )
        for config in architectures.plan(COMMITTED, "alexnet-s", epochs=12, seeds=3)["trained"]
        for changed in TUNED
    ]
