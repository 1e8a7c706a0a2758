"""§5.6: the final training errors of dense and pruned networks, compared within seeds and with what
so many parameters can remember.

`rows` are those of the section's plan, with column `part`; `usual` are as from `usual_runs`. A
table is one family: what it says is corrected over all that it has a verdict on.
"""

import math

import numpy as np
import pandas as pd

from snipcore import MODELS
from sniplab.methods import METHODS
from sniplab.sections import cut_in_two
from sniplab.stats import paired
from sniplab.verdicts import FAILED, LEARNED

PRUNED = ("snip", "shuffled", "magnitude", "random", "rescaled")
TRIED = ("dense", *PRUNED)
JUDGED = ("higher", "lower", "undecided")  # verdicts of `paired` on several pairs
BOTH_FAIL = "both fit hardly any"  # in place of a verdict
KIND = ["labels", "network", "model", "sparsity"]  # what a comparison of training errors is of
TWIN = ["model", "sparsity", "labels", "seed"]  # what two pruned networks that are compared share


def usual_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of part "usual", and how they are compared: the title of the `network`, the mean
    training error over the seeds (`level`, percent), and why this tells nothing (`why_not`): the
    dense network does not fit such labels in every seed, either."""
    rows = rows[rows.part == "usual"]
    rows = rows.assign(network=[MODELS[name].title for name in rows.model])
    dense = rows[rows.method == "dense"].groupby(["network", "labels"]).train_error
    reasons = {key: "" if (e <= LEARNED).all() else "dense does not fit" for key, e in dense}
    labels = zip(rows.network, rows.labels, strict=True)
    return rows.assign(
        level=rows.groupby([*KIND, "method"]).train_error.transform("mean"),
        why_not=[reasons.get(key, "dense not run") for key in labels],
    )


def other_choices(usual: pd.DataFrame) -> pd.DataFrame:
    """Training errors of the controls minus SNIP's at equal sparsity, as from `paired`, but for
    networks that a mask cuts in two; in place of a verdict, why there is none: the dense network
    does not fit such labels, or both fit hardly any. One correction over all that have a
    verdict."""
    snip = usual[usual.method == "snip"]
    controls = usual[~usual.method.isin(("dense", "snip")) & ~cut_in_two(usual)]
    twin = controls.join(snip.set_index(TWIN).level.rename("twin"), on=TWIN).twin
    reasons = controls.why_not.mask(np.minimum(controls.level, twin) >= FAILED, BOTH_FAIL)
    options = {"by": [*KIND, "method"], "on": TWIN, "value": "train_error"}
    tables = []
    for reason, part in controls.groupby(reasons.mask(controls.why_not != "", controls.why_not)):
        table = paired(part, snip, **options)
        if reason:
            table = table.assign(q=math.nan, verdict=reason)
        if len(table):
            tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else paired(controls[:0], snip, **options)


def snip_first(usual: pd.DataFrame) -> str:
    """In how many cases, a network at a sparsity where any fits something, SNIP's network memorises
    most: "5 of 5"."""
    pruned = usual[(usual.labels == "random") & (usual.method != "dense")]
    best = pruned.sort_values("level").groupby(["network", "sparsity"])[["method", "level"]].first()
    best = best[best.level < FAILED]
    return f"{(best.method == 'snip').sum()} of {len(best)}" if len(best) else "–"


def shown_pairs(pairs: pd.DataFrame) -> dict:
    """What `Section.table` shows of comparisons of controls with SNIP."""
    columns = {"network": "network", "sparsity": "sparsity", "method": "control"}
    columns |= {"text": "points", "n": "pairs", "verdict": "verdict"}
    rows = pairs.sort_values(["network", "sparsity"], ascending=[False, True], kind="stable")
    labels = {name: method.label for name, method in METHODS.items()}
    rows = rows.assign(method=rows.method.map(labels))
    table = rows[rows.sparsity.isin((0.9, 0.99))][list(columns)].rename(columns=columns)
    return {"shown": table, "form": {"sparsity": "{:.0%}"}}


BITS = 32  # of a parameter


def label_bits(error):
    """Bits that a network holds about each random label, one of ten, at an error, or several, of so
    many percent: at least these (rate–distortion bound); 0 for 90 % and above."""
    e = np.clip(np.asarray(error, dtype=float) / 100, 1e-12, 0.9)
    h = -e * np.log2(e) - (1 - e) * np.log2(1 - e)
    return np.log2(10) - h - e * np.log2(9)


def least_error(kept: int, images: int, bits: float = BITS) -> float:
    """The smallest training error, in percent to a hundredth, at which what a network holds of so
    many random labels fits into so many parameters of so many bits."""
    errors = np.linspace(0, 90, 9001)
    return float(errors[np.argmax(images * label_bits(errors) <= bits * kept)])


def bits_per_parameter(usual: pd.DataFrame, images: int) -> pd.DataFrame:
    """Bits about random labels in each parameter that is kept: how many all labels `need`, and how
    many were learned (means over seeds), a column for each method. `images`: of a run on all."""
    good = usual[(usual.status == "ok") & (usual.labels == "random")]
    count = good.train_images.where(good.train_images > 0, images)
    bits = good.assign(used=count * label_bits(good.train_error) / good.kept)
    place = ["network", "sparsity", "kept"]
    means = bits.groupby([*place, "method"], sort=False).used.mean().reset_index()
    means["need"] = images * np.log2(10) / means.kept
    table = means.pivot(index=[*place, "need"], columns="method", values="used")
    return table.reindex(columns=TRIED).reset_index().rename_axis(columns=None)


def shown_bits(bits: pd.DataFrame) -> dict:
    """What `Section.table` shows of `bits_per_parameter`: the paper's network first."""
    table = bits.sort_values(["network", "sparsity"], ascending=[False, True])
    table = table.rename(columns={"kept": "κ", "need": "needed", "snip": "SNIP"})
    return {"shown": table, "form": {"sparsity": "{:.0%}", "κ": "{:,}"}}
