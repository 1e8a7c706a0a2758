"""§5.5: the numbers that prose quotes, formatted; `values` of the section puts them together."""

from collections.abc import Mapping

import pandas as pd

from sniplab.sections.data_and_initialization_comparisons import (
    LENETS,
    STEPS,
    batch_differences,
    gate_steps,
    gates_beside_plain,
    initializer_differences,
    of_part,
    shuffle_differences,
)
from sniplab.sections.data_and_initialization_masks import (
    OTHER,
    SHUFFLED,
    correlation,
    cuts,
    image_of,
    levels,
    mean_overlaps,
    picture_correlations,
    pictures_of,
)
from sniplab.stats import points, summarize


def widest(table: pd.DataFrame) -> str:
    """How many points the intervals of the differences that are undecided allow at most."""
    rest = table[table.verdict == "undecided"]
    return f"{(rest['mean'].abs() + rest.half).max():.2f}" if len(rest) else "–"


def batch_values(rows: pd.DataFrame) -> dict[str, str]:
    """Errors by scoring batch, and differences: "minus_100.1" is that of 1 image minus 100; "all"
    is the whole split."""
    names = {0: "all"}
    differences, found = batch_differences(rows), {}
    for r in summarize(of_part(rows, "scoring_batch"), ["scoring_batch"]).itertuples():
        found[f"error.{names.get(r.scoring_batch, r.scoring_batch)}"] = r.text
    for r in differences.itertuples():
        base, size = (names.get(size, size) for size in (r.minus, r.scoring_batch))
        found[f"minus_{base}.{size}"] = r.text
        found[f"minus_{base}_verdict.{size}"] = r.verdict
    for base, table in differences.groupby("minus"):
        undecided = table.verdict == "undecided"
        found[f"minus_{names.get(base, base)}_undecided"] = str(undecided.sum())
        found[f"minus_{names.get(base, base)}_widest"] = widest(table)
    return found


def mask_values(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Overlaps with the whole split's mask by scoring batch, what to judge them by, how pictures
    of masks correlate with images, and how many biases of the GRU's gates are kept: "scored_1" are
    those of masks scored with biases at 1."""
    beside = levels(tables["overlaps"])
    r, overlaps = picture_correlations(tables), mean_overlaps(tables["overlaps"])["mean"]
    ones, initial = tables["single_images"], tables["initial_masks"]
    whole = pictures_of(tables["pictures"]).mean(0)[-1]
    found = {f"overlap.{size}": f"{overlap:.2f}" for size, overlap in overlaps.items()}
    found |= {f"r.{size or 'all'}": f"{value:.2f}" for size, value in r.items()}
    means = tables["gate_biases"].groupby(["init", "gates"])[["reset", "update"]].mean()
    for (init, gates), kept in means.iterrows():
        for gate in ("reset", "update"):
            found[f"{gate}_biases_scored_{gates:.0f}.{init}"] = f"{kept[gate]:.0f}"
    return found | {
        "overlap.other_weights": f"{beside[OTHER]:.2f}",
        "overlap.shuffled": f"{beside[SHUFFLED]:.2f}",
        "r.own_image": f"{ones.r.mean():.2f}",
        "r.all_mean_picture": f"{correlation(whole, image_of(tables['mean_image'])):.2f}",
        "digit": str(ones.digit[0]),
        "train_images": f"{tables['data'].train_images[0]:,}",
        "initial_masks": str(len(initial)),
        "initial_masks_cut": str(len(cuts(initial))),
    }


def initializer_values(rows: pd.DataFrame) -> dict[str, str]:
    """Differences from VS-X by network and initialiser, and of shuffled masks from SNIP's."""
    differences, found = initializer_differences(rows), {}
    for r in differences.itertuples():
        key = f"{r.init}.{r.model}"
        found |= {f"minus_vs-x.{key}": r.text, f"minus_vs-x_verdict.{key}": r.verdict}
        found[f"minus_vs-x_pairs.{key}"] = f"{points(r.least)} to {points(r.most)}"
    found["minus_vs-x_widest.lenets"] = widest(differences[differences.model.isin(LENETS)])
    for r in shuffle_differences(rows).itertuples():
        found |= {f"shuffled_minus_snip.{r.init}": r.text}
        found[f"shuffled_minus_snip_verdict.{r.init}"] = r.verdict
    return found


def gate_values(rows: pd.DataFrame) -> dict[str, str]:
    """What STEPS change by initialiser, and RN and TN minus VS-X by where the biases start."""
    keys, found = {step.name: key for key, step in STEPS.items()}, {}
    for r in gate_steps(rows).itertuples():
        found[f"gates_{keys[r.step]}.{r.init}"] = r.text
        found[f"gates_{keys[r.step]}_verdict.{r.init}"] = r.verdict
    for r in gates_beside_plain(rows).itertuples():
        key = f"gates_{r.gates:.0f}_{r.reinit_gates:.0f}_minus_vs-x"
        found |= {f"{key}.{r.init}": r.text, f"{key}_verdict.{r.init}": r.verdict}
    return found
