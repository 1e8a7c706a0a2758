"""What is published of the architectures of §5.3: counts of parameters, errors dense and pruned.

The paper: Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity.
ICLR 2019. The class report that this one began from: Gong, Du & Dong, EPFL, CS-439, code of June
2022, github.com/aygong/O4MLproj.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from snipcore import MODELS, ModelSpec, kept_count, prunable
from sniplab.runs.config import shapes


@dataclass(frozen=True)
class Errors:
    """Published test errors of a network, in percent."""

    dense: float
    pruned: float


@dataclass(frozen=True)
class Parameters:
    """Published numbers of prunable parameters, as printed: "5.1m" million, "507k" thousand."""

    dense: str
    pruned: str


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

PARAMETERS = {  # of the paper's Table 2
    "alexnet-s": Parameters("5.1m", "507k"),
    "alexnet-b": Parameters("8.5m", "849k"),
    "vgg-c": Parameters("10.5m", "526k"),
    "vgg-d": Parameters("15.2m", "762k"),
    "vgg-like": Parameters("14.9m", "449k"),
    "wrn-16-8": Parameters("10.0m", "548k"),
    "wrn-16-10": Parameters("17.1m", "856k"),
    "wrn-22-8": Parameters("17.2m", "858k"),
    "lstm-s": Parameters("137k", "6.8k"),
    "lstm-b": Parameters("536k", "26.8k"),
    "gru-s": Parameters("104k", "5.2k"),
    "gru-b": Parameters("404k", "20.2k"),
}

TABLE_I = {  # of the class report
    "alexnet-s": Parameters("5.07m", "507k"),
    "alexnet-b": Parameters("8.49m", "849k"),
    "vgg-c": Parameters("10.5m", "526k"),
    "vgg-d": Parameters("15.2m", "762k"),
    "vgg-like": Parameters("15.0m", "449k"),
    "resnet-18": Parameters("11.0m", "550k"),
    "resnet-34": Parameters("21.1m", "1.06m"),
    "squeezenet-vanilla": Parameters("741k", "37.0k"),
    "squeezenet-bypass": Parameters("741k", "37.0k"),
    "googlenet": Parameters("2.75m", "138k"),
    "densenet-121": Parameters("4.40m", "220k"),
    "densenet-169": Parameters("7.84m", "392k"),
    "densenet-201": Parameters("11.1m", "555k"),
    "densenet-264": Parameters("18.7m", "933k"),
}

# Errors of the class report, one run each, with the paper's own code for scoring and training, on
# the original CIFAR-10: 37,500 iterations of batch 512, as many images as the protocol has and a
# quarter of its updates. Its GoogLeNet keeps dropout on at test.
CLASS_REPORT = {
    "alexnet-s": Errors(14.42, 16.66),
    "alexnet-b": Errors(14.52, 16.68),
    "vgg-c": Errors(7.56, 9.64),
    "vgg-d": Errors(7.18, 9.24),
    "vgg-like": Errors(7.35, 9.73),
    "resnet-18": Errors(8.20, 8.45),
    "resnet-34": Errors(12.68, 8.26),
    "squeezenet-vanilla": Errors(14.49, 20.95),
    "squeezenet-bypass": Errors(13.53, 18.88),
    "googlenet": Errors(14.11, 19.23),
    "densenet-121": Errors(14.51, 14.75),
    "densenet-169": Errors(12.97, 14.12),
    "densenet-201": Errors(18.36, 14.50),
    "densenet-264": Errors(16.79, 13.79),
}
SOURCES = {"paper": TABLE_2, "class report": CLASS_REPORT}


def dense_error(name: str) -> float | None:
    """The published test error of a dense network, in percent; None where there is none."""
    for errors in SOURCES.values():
        if name in errors:
            return errors[name].dense
    return None


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
    """The networks of the tables: those of MODELS that are pruned to one sparsity, so not the
    LeNets."""
    return {name: spec for name, spec in MODELS.items() if spec.sparsity}


def own_sparsity(name: str) -> float:
    """To which sparsity the tables prune a network; of a LeNet, which they lack, 0.95."""
    return MODELS[name].sparsity or 0.95


def by_family() -> list[str]:
    """The names of MODELS, family by family."""
    families = list(dict.fromkeys(spec.family for spec in MODELS.values()))
    return sorted(MODELS, key=lambda name: families.index(MODELS[name].family))


def titled(names: Collection[str]) -> str:
    """ "AlexNet-s, AlexNet-b and GRU-s"; "none"."""
    titles = [MODELS[name].title for name in names]
    if len(titles) < 2:
        return titles[0] if titles else "none"
    return f"{', '.join(titles[:-1])} and {titles[-1]}"


def agrees(count: int, printed: str) -> bool:
    """Whether a count is a printed one, to less than one in its last digit: papers round, or cut.

    Raises ValueError for what is not printed as "5.07m" or "507k".
    """
    form = re.fullmatch(r"(\d+)(?:\.(\d+))?([mk])", printed)
    if not form:
        raise ValueError(f"{printed!r} is no count such as '5.07m' or '507k'")
    unit = {"m": 1e6, "k": 1e3}[form[3]]
    return abs(count - float(printed[:-1]) * unit) < unit / 10 ** len(form[2] or "")


def parameter_counts() -> pd.DataFrame:
    """The prunable parameters of each network of `systems`, weights and biases.

    Returns:
        Columns model, m, kept; and those printed by the paper and by the class report: `paper`,
        `paper_kept`, `class_report`, `class_report_kept` ("" where there are none).
    """
    lines = []
    for name, spec in systems().items():
        m = sum(weight.numel() for weight in prunable(shapes(name)).values())
        line = {"model": name, "m": m, "kept": kept_count(m, spec.sparsity)}
        for source, table in (("paper", PARAMETERS), ("class_report", TABLE_I)):
            printed = table.get(name, Parameters("", ""))
            line |= {source: printed.dense, f"{source}_kept": printed.pruned}
        lines.append(line)
    return pd.DataFrame(lines)


def disagreeing(counts: pd.DataFrame, source: str) -> list[str]:
    """The printed counts that ours do not agree with, as "wrn-16-8: 10.0m".

    Args:
        counts: as from `parameter_counts`.
        source: "paper" or "class_report".
    """
    return [
        f"{row['model']}: {row[printed]}"
        for row in counts.to_dict("records")
        for ours, printed in (("m", source), ("kept", f"{source}_kept"))
        if row[printed] and not agrees(row[ours], row[printed])
    ]


def published_errors() -> pd.DataFrame:
    """The published pairs: source ("paper", "class report"), model, dense, pruned (percent) and
    `change`, pruned minus dense, in points."""
    lines = [
        (source, name, errors.dense, errors.pruned, errors.pruned - errors.dense)
        for source, table in SOURCES.items()
        for name, errors in table.items()
    ]
    return pd.DataFrame(lines, columns=["source", "model", "dense", "pruned", "change"])
