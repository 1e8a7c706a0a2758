"""What is published of the architectures of §5.3: counts of parameters, errors dense and pruned.

The paper: Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity.
ICLR 2019. The class report: Gong, Du & Dong, "O4MLproj", its draft and its final text of
16 June 2022.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import torch
from torch import nn

from snipcore import MODELS, ModelSpec, kept_count, prunable


@dataclass(frozen=True)
class Errors:
    """Published test errors of a network, in percent."""

    dense: float
    pruned: float


@dataclass(frozen=True)
class Parameters:
    """Published numbers of prunable parameters, to three digits."""

    dense: float
    pruned: float


TABLE_2 = {  # of the paper; CIFAR-10, and for the recurrent networks MNIST row by row
    "alexnet-s": Errors(14.12, 14.99),
    "alexnet-b": Errors(13.92, 14.50),
    "vgg-c": Errors(6.82, 7.27),
    "vgg-d": Errors(6.76, 7.09),
    "vgg-like": Errors(8.26, 8.00),
    "wrn-16-8": Errors(6.21, 6.63),
    "wrn-16-10": Errors(5.91, 6.43),
    "wrn-22-8": Errors(6.14, 5.85),
    "lstm-s": Errors(1.88, 1.57),
    "lstm-b": Errors(1.15, 1.35),
    "gru-s": Errors(1.87, 2.41),
    "gru-b": Errors(1.71, 1.52),
}

TABLE_I = {  # of the class report's draft
    "alexnet-s": Parameters(5.07e6, 5.07e5),
    "alexnet-b": Parameters(8.49e6, 8.49e5),
    "vgg-c": Parameters(1.05e7, 5.26e5),
    "vgg-d": Parameters(1.52e7, 7.62e5),
    "vgg-like": Parameters(1.50e7, 4.49e5),
    "resnet-18": Parameters(1.10e7, 5.50e5),
    "resnet-34": Parameters(2.11e7, 1.06e6),
    "squeezenet-vanilla": Parameters(7.41e5, 3.70e4),
    "squeezenet-bypass": Parameters(7.41e5, 3.70e4),
    "googlenet": Parameters(2.75e6, 1.38e5),
    "densenet-121": Parameters(4.40e6, 2.20e5),
    "densenet-169": Parameters(7.84e6, 3.92e5),
    "densenet-201": Parameters(1.11e7, 5.55e5),
    "densenet-264": Parameters(1.87e7, 9.33e5),
}
TABLE_I_ERRORS = {"resnet-18": Errors(8.32, 8.47)}  # of it, the only row with errors

# Of the class report's final text: dense test errors of networks that the paper did not try, in
# percent. One run each by the paper's own code on the original CIFAR-10, 37,500 iterations of batch
# 512, which is as many images as the protocol has.
CLASS_REPORT_DENSE = {
    "resnet-18": 8.20,
    "resnet-34": 12.68,
    "squeezenet-vanilla": 14.49,
    "squeezenet-bypass": 13.53,
    "googlenet": 14.11,
    "densenet-121": 14.51,
    "densenet-169": 12.97,
    "densenet-201": 18.36,
    "densenet-264": 16.79,
}


def dense_error(name: str) -> float | None:
    """The published test error of a dense network, in percent; None where there is none."""
    return TABLE_2[name].dense if name in TABLE_2 else CLASS_REPORT_DENSE.get(name)


KINDS = {
    "convolutional": "Convolutional networks",
    "recurrent": "Recurrent networks",
    "other": "Networks that the paper did not try",
}


def kind_of(name: str) -> str:
    """One of KINDS: of a network of Table 2 its family, of any other "other"."""
    if name not in TABLE_2:
        return "other"
    return "recurrent" if MODELS[name].family == "Recurrent" else "convolutional"


def systems() -> dict[str, ModelSpec]:
    """The networks of this section: those of MODELS that are pruned to one sparsity, so not the
    LeNets."""
    return {name: spec for name, spec in MODELS.items() if spec.sparsity}


def in_order() -> list[str]:
    """The names of `systems`, those of the class report first, as it has them."""
    return [*TABLE_I, *(name for name in systems() if name not in TABLE_I)]


def titled(names: Collection[str]) -> str:
    """ "AlexNet-s, AlexNet-b and GRU-s"; "none"."""
    titles = [systems()[name].title for name in names]
    if len(titles) < 2:
        return titles[0] if titles else "none"
    return f"{', '.join(titles[:-1])} and {titles[-1]}"


@lru_cache
def shapes(name: str) -> nn.Module:
    """A network for ten classes of which there are only the shapes: nothing is stored or drawn."""
    with torch.device("meta"):
        return MODELS[name].build(10)


def parameter_counts() -> pd.DataFrame:
    """The prunable parameters of each network of `systems` (the index), weights and biases.

    Returns:
        Columns m and kept; of TABLE_I `published` and `published_kept` (else NaN), and whether ours
        agree: `m_right`, to all three digits, `kept_right`, to half a percent.
    """
    lines = []
    for name, spec in systems().items():
        m = sum(weight.numel() for weight in prunable(shapes(name)).values())
        kept, theirs = kept_count(m, spec.sparsity), TABLE_I.get(name)
        line = {"model": name, "m": m, "kept": kept, "m_right": False, "kept_right": False}
        if theirs:
            line |= {"published": theirs.dense, "published_kept": theirs.pruned}
            line["m_right"] = float(f"{m:.2e}") == theirs.dense
            line["kept_right"] = abs(kept / theirs.pruned - 1) < 0.005
        lines.append(line)
    return pd.DataFrame(lines).set_index("model")


def counts_right(counts: pd.DataFrame) -> int:
    """How many networks of TABLE_I have both its counts; `counts`: of `parameter_counts`."""
    return int((counts.m_right & counts.kept_right).sum())


def published_errors() -> pd.DataFrame:
    """The published pairs by network: error_dense, error_pruned (percent), `by` whom, and `change`,
    pruned minus dense, in points."""
    lines = []
    sources = (("the paper", TABLE_2), ("the class report", TABLE_I_ERRORS))
    for by, errors in sources:
        for name, e in errors.items():
            line = {"model": name, "error_dense": e.dense, "error_pruned": e.pruned, "by": by}
            lines.append(line | {"change": e.pruned - e.dense})
    return pd.DataFrame(lines).set_index("model")
