"""How to train: the recipe, the published protocols, and the defaults of the reference."""

import dataclasses
import math
import numbers
from dataclasses import dataclass

from snipcore import MODELS, check_known


def settle_types(config) -> None:
    """Give every field of a frozen dataclass its declared type, so that equal configurations, such
    as a sparsity of 0 and of 0.0, are one and the same in a table, too.

    Raises ValueError for a value that is none of that type: 1e3 iterations, say.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.type is int and isinstance(value, numbers.Integral):
            settled = int(value) if abs(value) < 2**63 else None
        elif field.type is float and isinstance(value, numbers.Real):
            settled = float(value) + 0.0 if math.isfinite(value) else None  # not -0.0
        elif field.type is bool and value in (0, 1):
            settled = bool(value)
        elif field.type is str and isinstance(value, str):
            settled = str(value)  # NumPy's strings are another type
        else:
            settled = value if isinstance(value, field.type) else None
        if settled is None:
            kind = {int: "a whole number below 2**63", float: "a finite number"}
            kind = kind.get(field.type, f"of type {field.type.__name__}")
            raise ValueError(f"{field.name} {value!r} must be {kind}")
        object.__setattr__(config, field.name, settled)


@dataclass(frozen=True)
class Recipe:
    """How to train. The learning rate follows a schedule: "stages" of equal length, times `decay`
    from one to the next; or "linear", up over the first tenth of the run, then straight down to 0,
    which beats shortened stages on a budget (Li, Yumer & Ramanan, Budgeted training, ICLR 2020).
    Weight decay is on prunable parameters only."""

    iterations: int  # 0, with 0 checkpoints: `run_grid` scores and prunes only
    batch_size: int = 100
    optimizer: str = "sgd"  # or "adam"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "stages"  # or "linear"
    stages: int = 3  # one: a constant rate
    decay: float = 0.1
    shift: int = 0  # pixels by which a train image is moved, at most
    flip: bool = False  # half of the train images are mirrored
    checkpoints: int = 10  # evenly spaced; the test error is taken at each
    precision: str = "float32"  # of products; "bfloat16"; "auto": that where there are units for it

    def __post_init__(self):
        settle_types(self)
        check_known(self.optimizer, ("sgd", "adam"), "optimizer")
        check_known(self.schedule, ("stages", "linear"), "schedule")
        check_known(self.precision, ("float32", "bfloat16", "auto"), "precision")
        least = {"iterations": 0, "batch_size": 1, "stages": 1}
        least["checkpoints"] = min(1, self.iterations)
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise ValueError(f"{name} {getattr(self, name)} is below {limit}")
        for name in ("lr", "momentum", "weight_decay", "decay", "shift"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)} is below 0")
        if self.checkpoints > self.iterations:
            raise ValueError(f"{self.checkpoints} checkpoints in {self.iterations} iterations")

    @property
    def at(self) -> list[int]:
        """The numbers of steps after which the checkpoints come."""
        parts = range(1, self.checkpoints + 1)
        return [part * self.iterations // self.checkpoints for part in parts]

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if self.schedule == "stages":
            return self.lr * self.decay ** (step * self.stages // self.iterations)
        rise = max(1, self.iterations // 10)
        fall = max(1, self.iterations - rise)
        return self.lr * min((step + 1) / rise, (self.iterations - step) / fall)


# §5, by data set, but for a model that needs its own. The paper does not say how long it trains:
# 75,000 is three of its stages; the length and the decay for CIFAR-10 are those of an example in
# the reference implementation's README.
PROTOCOLS = {
    "mnist": Recipe(iterations=75_000),
    "cifar10": Recipe(
        iterations=150_000,
        batch_size=128,
        stages=5,
        decay=0.2,
        shift=4,
        flip=True,
        precision="auto",
    ),
    # At the published 0.1 with momentum 0.9 the dense network's loss is NaN or Inf within ten steps
    # (results/1_learning_rates.csv). The reference's default is SGD without momentum.
    "lenet-5-caffe": Recipe(iterations=75_000, lr=0.02),
}

# What the reference implementation does when it is started without options; it also draws new
# weights under the mask (`Config.reinit`) and reports the best of the last five checkpoints.
REFERENCE = Recipe(iterations=10_000, momentum=0.0, stages=1)


def recipe_for(model: str, iterations: int, checkpoints: int) -> Recipe:
    """The protocol of `model` at another length; with the linear schedule below half of its own.

    Raises ValueError for an unknown model, and for one of your own on a data set without protocol.
    """
    check_known(model, MODELS, "model")
    dataset = MODELS[model].dataset
    if model not in PROTOCOLS and dataset not in PROTOCOLS:
        raise ValueError(f"no protocol for {model} on {dataset}: give PROTOCOLS one, or a Recipe")
    protocol = PROTOCOLS.get(model) or PROTOCOLS[dataset]
    return dataclasses.replace(
        protocol,
        iterations=iterations,
        checkpoints=min(checkpoints, iterations),
        schedule="stages" if 2 * iterations >= protocol.iterations else "linear",
    )
