"""What a run is: its configuration, its identity, and the columns of its row."""

import bisect
import dataclasses
import hashlib
import json
import math
from dataclasses import MISSING, dataclass
from functools import lru_cache

import torch
from torch import nn

from snipcore import INITIALIZERS, MODELS, ModelSpec, check_known, kept_count, prunable
from sniplab.data import DATASETS
from sniplab.methods import METHODS
from sniplab.recipe import Recipe, settle_types


@dataclass(frozen=True)
class Config:
    """One run: build, perhaps train, score, prune, train. Two runs with one seed share initial
    weights, scoring batch and order of batches, whatever their method and sparsity: they are
    paired.

    Unless given, `dataset` and `reinit_gates` are settled once, by the other fields: with
    `dataclasses.replace` give them again where these change.

    A new field needs a default that means "as before"; then no stored row changes its identity.
    """

    model: str
    recipe: Recipe
    method: str = "snip"
    sparsity: float = 0.9  # 0 for "dense"
    seed: int = 0
    dataset: str = ""  # default: the model's own
    init: str = "vs"
    gates: float = 1.0  # what the biases of a recurrent network's gates start at
    reinit: str = ""  # initialiser of new weights under the mask; default: train those scored
    reinit_gates: float = -1.0  # the same for the new weights; below 0: as `gates`
    scoring_batch: int = 100  # images; 0: the whole train split
    norm: str = "running"  # or "batch": statistics of normalisation while scoring
    biases: bool = True  # pruned and counted; if not, all stay
    inputs: str = "standard"  # or "unit": pixels over 255, from 0 to 1
    validation: bool = False  # train on the validation images, too
    labels: str = "true"  # "random": train on labels dealt out anew; scored on true ones always
    train_images: int = 0  # train on so many of the train images, drawn by the seed; 0: on all
    test_images: int = 0  # test on the first so many; 0: on all
    tested: str = "test"  # or "validation": the images that every test error is of
    width: float = 1.0  # of hidden layers: times this
    pretrain: int = 0  # iterations that the dense network is trained before it is scored, pruned
    rewind: bool = False  # what is left then begins at its initial weights again, not as trained

    def __post_init__(self):
        settle_types(self)
        check_known(self.model, MODELS, "model")
        check_known(self.method, METHODS, "method")
        check_known(self.init, INITIALIZERS, "initialiser")
        if self.reinit:
            check_known(self.reinit, INITIALIZERS, "initialiser")
        if not self.dataset:
            object.__setattr__(self, "dataset", MODELS[self.model].dataset)
        check_known(self.dataset, DATASETS, "data set")
        kept_count(2**62, self.sparsity)  # raises for what is no fraction, whatever the network
        if self.method == "dense" and self.sparsity:
            raise ValueError(f"a dense network has sparsity 0, not {self.sparsity}")
        check_known(self.norm, ("running", "batch"), "norm")
        if self.method == "gradient" and self.norm == "batch":
            raise ValueError("the gradient alone is taken with running statistics only")
        check_known(self.inputs, ("standard", "unit"), "scale of the inputs")
        if self.reinit_gates < 0 or not self.reinit:
            object.__setattr__(self, "reinit_gates", self.gates)
        check_known(self.labels, ("true", "random"), "kind of labels")
        for name in ("seed", "scoring_batch", "train_images", "test_images", "pretrain"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)} is below 0")
        check_known(self.tested, ("test", "validation"), "images to test on")
        if self.validation and self.tested == "validation":
            raise ValueError("the validation images are trained on: they cannot be tested on, too")
        if self.width <= 0:
            raise ValueError(f"width {self.width} leaves no unit: give a factor above 0")
        if self.width != 1:
            shapes(self.model, self.width)  # raises where the model has no other
        if self.rewind and not self.pretrain:
            raise ValueError("nothing to rewind: weights are rewound after training, see pretrain")


def shapes(model: str, width: float = 1.0) -> nn.Module:
    """A network of which there are only the shapes: nothing is stored or drawn."""
    return _shapes(MODELS[model], width)  # the network may be another than before


@lru_cache
def _shapes(spec: ModelSpec, width: float) -> nn.Module:
    with torch.device("meta"):
        return spec.network(10, width)


def parameter_count(model: str, width: float = 1.0) -> int:
    """How many prunable parameters a network of MODELS has, m of the paper."""
    return sum(weight.numel() for weight in prunable(shapes(model, width)).values())


def width_for(model: str, sparsity: float) -> float:
    """The width, in thousandths, at which a dense network has as many parameters as the whole one
    keeps at a sparsity, or as nearly as many as its layers of whole units allow.

    Raises ValueError for a network of one width.
    """

    def count(thousandths: int) -> int:
        return parameter_count(model, thousandths / 1000)

    kept = kept_count(count(1000), sparsity)
    above = 1 + bisect.bisect_left(range(1, 1000), kept, key=count)
    return min((above, max(1, above - 1)), key=lambda k: abs(count(k) - kept)) / 1000


CONFIG_FIELDS = [field for field in dataclasses.fields(Config) if field.name != "recipe"]
RECIPE_FIELDS = list(dataclasses.fields(Recipe))


def flat_fields(config: Config) -> dict:
    """The fields of a Config and of its Recipe side by side, by name: the columns of a row that say
    what was run."""
    own = {field.name: getattr(config, field.name) for field in CONFIG_FIELDS}
    return own | {field.name: getattr(config.recipe, field.name) for field in RECIPE_FIELDS}


def differences(config: Config) -> dict:
    """The fields of a Config and its Recipe that differ from their defaults, by name."""
    defaults = {field.name: field.default for field in (*CONFIG_FIELDS, *RECIPE_FIELDS)}
    defaults["dataset"], defaults["reinit_gates"] = MODELS[config.model].dataset, config.gates
    return {name: v for name, v in flat_fields(config).items() if v != defaults[name]}


def identity(config: Config) -> str:
    """Hash of everything that determines a run but its data, in 16 hexadecimal digits.

    Only what differs from the defaults is hashed, so that a new field leaves it as it was."""
    return hashlib.sha256(json.dumps(differences(config), sort_keys=True).encode()).hexdigest()[:16]


OUTCOME = {  # column: value until the run has one
    "status": "ok",  # else "diverged: …" or "failed: …"
    "error": math.nan,  # of the test images at the last iteration, percent
    "error_best": math.nan,  # the smallest over all checkpoints
    "error_last_five": math.nan,  # the smallest over the last five: the reference's own
    "train_loss": math.nan,  # mini-batches of the last tenth of the iterations
    "train_error": math.nan,  # the same
    "m": 0,
    "kept": 0,
    "masks": "",  # their digest
    "collapsed": "",  # what they cut: see `collapsed`
    "effective": math.nan,  # the share of what is kept that lies on a path, 0 to 1
    "layers": "",  # of a run that only scores: how many of each layer's weights they keep
    "engine": "",  # how it was trained: "masked", "sparse" or "stacked"
    "trained_in": "",  # the precision: what "auto" came to
    "seconds": math.nan,  # of the training that follows the pruning, with its tests
    "step_seconds": math.nan,  # of a training step, in the mean
    "threads": 0,
    "hardware": "",
    "data": "",  # digest of the data set: the same configuration on other data is another row
    "source": "",  # of the data, in a sentence
}
CURVES = {  # kept in a file of their own, so that a row is a line that a person can read
    "loss_curve": "",  # means over CURVE_POINTS equal parts of the run, separated by spaces
    "error_curve": "",  # the same of the train error
    "test_curve": "",  # test error at each checkpoint, separated by spaces
}
_ALL = {
    "run": (str, MISSING),
    **{field.name: (field.type, field.default) for field in (*CONFIG_FIELDS, *RECIPE_FIELDS)},
    **{name: (type(value), value) for name, value in OUTCOME.items()},
}
_FIRST = ("run", "model", "method", "sparsity", "seed", "status", "error", "error_best")
# Column: its type and the value that rows older than it have; MISSING: each row must say it.
COLUMNS = {name: _ALL[name] for name in (*_FIRST, *_ALL)}
