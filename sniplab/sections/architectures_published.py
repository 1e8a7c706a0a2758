"""What is published of the architectures of §5.3: counts of parameters, errors dense and pruned.

The paper: Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity.
ICLR 2019. The class report that this one began from: Gong, Du & Dong, EPFL, CS-439, code of June
2022, github.com/aygong/O4MLproj.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from snipcore import MODELS, ModelSpec, kept_count
from sniplab.runs import parameter_count


@dataclass(frozen=True)
class Published:
    """What is printed of a network: test errors in percent, dense and pruned, and how many prunable
    parameters it has and keeps: "5.1m" million, "507k" thousand."""

    dense: float
    pruned: float
    m: str
    kept: str


TABLE_2 = {  # of the paper; CIFAR-10, and for the recurrent networks MNIST row by row
    "alexnet-s": Published(14.12, 14.99, "5.1m", "507k"),
    "alexnet-b": Published(13.92, 14.50, "8.5m", "849k"),
    "vgg-c": Published(6.82, 7.27, "10.5m", "526k"),
    "vgg-d": Published(6.76, 7.09, "15.2m", "762k"),
    "vgg-like": Published(8.26, 8.00, "14.9m", "449k"),
    "wrn-16-8": Published(6.21, 6.63, "10.0m", "548k"),
    "wrn-16-10": Published(5.91, 6.43, "17.1m", "856k"),
    "wrn-22-8": Published(6.14, 5.85, "17.2m", "858k"),
    "lstm-s": Published(1.88, 1.57, "137k", "6.8k"),
    "lstm-b": Published(1.15, 1.35, "536k", "26.8k"),
    "gru-s": Published(1.87, 2.41, "104k", "5.2k"),
    "gru-b": Published(1.71, 1.52, "404k", "20.2k"),
}

# Of the class report, counts by its Table I. Errors are of one run each, with the paper's own code
# for scoring and training, on the original CIFAR-10: 37,500 iterations of batch 512, as many images
# as the protocol has and a quarter of its updates. Its GoogLeNet keeps dropout on at test.
CLASS_REPORT = {
    "alexnet-s": Published(14.42, 16.66, "5.07m", "507k"),
    "alexnet-b": Published(14.52, 16.68, "8.49m", "849k"),
    "vgg-c": Published(7.56, 9.64, "10.5m", "526k"),
    "vgg-d": Published(7.18, 9.24, "15.2m", "762k"),
    "vgg-like": Published(7.35, 9.73, "15.0m", "449k"),
    "resnet-18": Published(8.20, 8.45, "11.0m", "550k"),
    "resnet-34": Published(12.68, 8.26, "21.1m", "1.06m"),
    "squeezenet-vanilla": Published(14.49, 20.95, "741k", "37.0k"),
    "squeezenet-bypass": Published(13.53, 18.88, "741k", "37.0k"),
    "googlenet": Published(14.11, 19.23, "2.75m", "138k"),
    "densenet-121": Published(14.51, 14.75, "4.40m", "220k"),
    "densenet-169": Published(12.97, 14.12, "7.84m", "392k"),
    "densenet-201": Published(18.36, 14.50, "11.1m", "555k"),
    "densenet-264": Published(16.79, 13.79, "18.7m", "933k"),
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


def listed_titles(names: Collection[str]) -> str:
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
        m = parameter_count(name)
        line = {"model": name, "m": m, "kept": kept_count(m, spec.sparsity)}
        for source, table in (("paper", TABLE_2), ("class_report", CLASS_REPORT)):
            printed = table.get(name)
            line |= {source: printed.m if printed else ""}
            line |= {f"{source}_kept": printed.kept if printed else ""}
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
