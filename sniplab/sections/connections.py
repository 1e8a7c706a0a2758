"""§5.4: what the surviving connections of a network look like, scored on images of one class.

Nothing is trained, so there is no plan of runs: `connections_scored` measures or reads `tables`,
from which everything here is drawn and judged.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import scipy.stats

from sniplab.sections.connections_scored import (
    CHECKED,
    CHECKS,
    KERNEL_SPARSITIES,
    MAGNITUDE,
    MEAN_IMAGE,
    PLAIN,
    SPARSITIES,
    TITLES,
    UNIT_PIXELS,
    WITH,
    Tables,
)
from sniplab.sections.connections_scored import read_tables as read_tables  # for the conclusion
from sniplab.sections.connections_scored import write_stored as write_stored  # for `make rows`
from sniplab.show import counted, seeds_said, spanned
from sniplab.stats import paired, summarize
from sniplab.verdicts import judged as verdict_of
from sniplab.verdicts import new_claim

CHANCE = 1  # of ten pictures, by luck the nearest to its own class
BY = ["data", "with", "sparsity"]
CLOTHES = tuple("T-shirt trousers pullover dress coat sandal shirt sneaker bag boot".split())

# ----------------------------------------------------------------------------------------- claims


def claims(tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """The rows of the table of claims on Fig. 2, untested where `tables` lacks `likeness`. Digits
    that stand in for a data set have another title, and say nothing."""
    likeness = tables.get("likeness", pd.DataFrame())
    return [drawn(likeness, name) for name in TITLES]


def drawn(likeness: pd.DataFrame, name: str) -> dict:
    """Fig. 2: scored on one class, the first layer draws that class. All ten pictures are to look
    most like their own class, by mean image and by its magnitude, in which dark and bright pixels
    count alike, at every one of SPARSITIES and with several seeds.

    Raises ValueError where a picture of one seed is in the table twice.
    """
    title, cells = TITLES[name], ["with", "sparsity"]
    text = f"{title}: the kept connections draw the class they were scored on"
    about = (f"drawn.{name}", "which connections", "§5.4, Fig. 2", text, "by eye", "count")
    claim = new_claim(*about, runs="scored only", seeds=0)
    if likeness.empty:
        return claim
    rows = likeness[(likeness.data == title) & (likeness.scored == PLAIN)]
    if rows.duplicated([*cells, "seed"]).any():
        raise ValueError(f"{title}: two rows share one comparison, sparsity and seed")
    if rows.empty:
        return claim
    planned = pd.MultiIndex.from_product([WITH, SPARSITIES], names=cells)
    seeds = int(rows.groupby(cells).seed.nunique().reindex(planned, fill_value=0).min())
    means = rows.groupby(cells).hits.mean()
    plain, magnitude = (
        spanned(means[kind].round(1), "{:g}") if kind in means else "none" for kind in WITH
    )
    ours = f"{plain} of 10 are nearest to the mean image of their own class, {magnitude} to its "
    ours += "magnitude, in which dark and bright pixels count alike; chance is 1"
    if seeds == 0:
        ours += f"; {rows.sparsity.nunique()} of {len(SPARSITIES)} sparsities"
    verdict = verdict_of(means == 10)[0] if seeds > 1 else "untested"
    return claim | {"ours": ours, "verdict": verdict, "seeds": seeds}


# ----------------------------------------------------------------------------------------- tables


def pixels(text: str) -> np.ndarray:
    """A picture that a table keeps as numbers separated by spaces: (28, 28)."""
    return np.array(text.split(), float).reshape(28, 28)


def pictures_of(tables: Tables, title: str, sparsity: float) -> np.ndarray:
    """Fraction kept of each pixel's connections, mean over the seeds: (10, 28, 28)."""
    table = tables["pictures"]
    table = table[(table.data == title) & (table.sparsity == sparsity)].sort_values("class")
    return np.stack([pixels(k) / n for k, n in zip(table.kept, table.connections, strict=True)])


def means_of(tables: Tables, title: str) -> np.ndarray:
    """The mean image of each class, in the network's normalised units: (10, 28, 28)."""
    table = tables["mean_images"]
    return np.stack([pixels(text) for text in table.pixels[table.data == title]])


def classes(title: str) -> tuple[str, ...]:
    """The names of a data set's ten classes."""
    return CLOTHES if title == TITLES["fashion_mnist"] else tuple(map(str, range(10)))


def tidy_pictures(tables: Tables, title: str) -> pd.DataFrame:
    """One row for each pixel; those without a sparsity are the mean images, as normalised."""
    shown = {sparsity: pictures_of(tables, title, sparsity) for sparsity in SPARSITIES}
    parts = []
    for sparsity, tiles in [*shown.items(), ("", means_of(tables, title))]:
        index = pd.MultiIndex.from_product(
            map(range, tiles.shape), names=["class", "row", "column"]
        )
        part = pd.DataFrame({"value": tiles.ravel().round(4)}, index).reset_index()
        parts.append(part.assign(sparsity=sparsity))
    return pd.concat(parts)[["class", "sparsity", "row", "column", "value"]]


def of_pictures(likeness: pd.DataFrame) -> pd.DataFrame:
    """The rows of the pictures themselves, without the checks, as `summarize` takes them."""
    return likeness[likeness.scored == PLAIN].assign(status="ok")


def summaries(likeness: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean and interval over the seeds of `hits` or `contrast`, as from `summarize`, indexed by
    data, comparison and sparsity."""
    return summarize(of_pictures(likeness), BY, value).set_index(BY).sort_index()


def by_seed(likeness: pd.DataFrame) -> pd.DataFrame:
    """The pictures' hits and correlations seed by seed, those with magnitudes beside the others."""
    table = of_pictures(likeness).drop(columns=["scored", "status"])
    plain, magnitude = (table[table["with"] == kind].drop(columns="with") for kind in WITH)
    return plain.merge(magnitude, on=["data", "sparsity", "seed"], suffixes=("", "_magnitude"))


def matrix(correlations: pd.DataFrame, title: str, kind: str, sparsity: float, value: str = "r"):
    """`value` of each picture, down, with each mean image, across: (10, 10)."""
    rows = correlations[
        (correlations.data == title)
        & (correlations["with"] == kind)
        & (correlations.sparsity == sparsity)
    ]
    return rows.pivot(index="picture", columns="mean_image", values=value).to_numpy()


def tidy_correlations(correlations: pd.DataFrame) -> pd.DataFrame:
    """Correlations with mean images at 90 %, a row for each pair of picture and mean image."""
    rows = correlations[(correlations["with"] == MEAN_IMAGE) & (correlations.sparsity == CHECKED)]
    return rows[["picture", "mean_image", "r", "data"]]


def against_luck(table: np.ndarray) -> tuple[float, bool]:
    """Ten pictures by ten classes, (10, 10): how likely luck gives the own classes as much, or as
    little, as they have: p, two-sided, and whether they have more. The classes are dealt out to
    the pictures at random, 9,999 times. NaN (a picture of one shade) tells nothing: p is 1."""
    own = table.trace()
    if np.isnan(table).any():
        return 1.0, False
    dealt = np.random.default_rng(0).permuted(np.tile(np.arange(10), (9999, 1)), axis=1)
    lucky = table[np.arange(10), dealt].sum(1)
    more, less = (
        ((side > -1e-9).sum() + 1) / (len(dealt) + 1) for side in (lucky - own, own - lucky)
    )
    return min(1.0, 2 * min(more, less)), bool(more < less)


def beyond_luck(correlations: pd.DataFrame) -> pd.DataFrame:
    """Whether `hits` and `contrast` are more, or less, than chance: p, q (corrected over data sets,
    comparisons and sparsities together) and the verdict of each, by data, comparison, sparsity."""
    keys = correlations[BY].drop_duplicates()
    parts = []
    for measure, value in (("hits", "nearest"), ("contrast", "r")):
        part = keys.assign(measure=measure)
        cells = keys.itertuples(index=False, name=None)
        found = [against_luck(matrix(correlations, *key, value)) for key in cells]
        part["p"] = [p for p, _ in found]
        part["q"] = scipy.stats.false_discovery_control(part.p)
        more = np.array([more for _, more in found])
        part["verdict"] = np.where(more, "higher", "lower")
        part.loc[part.q >= 0.05, "verdict"] = "undecided"
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def layer_shares(tables: Tables) -> pd.DataFrame:
    """By data set (its name), sparsity and layer, means over classes and seeds: connections
    `kept`, its `share` of all that are kept, and the `fraction` kept of the layer itself."""
    names = tables["data"].set_index("data").name
    table = tables["layers"].assign(data=tables["layers"].data.map(names))
    table = table.sort_values(["data", "sparsity", "layer"], ignore_index=True)
    table["kept"] /= table.masks
    table["size"] = table["size"].astype(float)
    table["share"] = table.kept / table.groupby(["data", "sparsity"]).kept.transform("sum")
    table["fraction"] = table.kept / table["size"]
    return table[["data", "sparsity", "layer", "kept", "size", "share", "fraction"]]


def kernel_percent(kernel: pd.DataFrame) -> pd.DataFrame:
    """The table `kernel` with a column `percent`: kept of each position, (5, 5)."""
    shares = [
        100 * (np.array(text.split(), int).reshape(5, 5) / n)
        for text, n in zip(kernel.kept, kernel.kernels, strict=True)
    ]
    return kernel.assign(percent=shares)


def mean_kernel(kernel: pd.DataFrame, title: str, sparsity: float) -> np.ndarray:
    """Percentage kept of each position, mean over the seeds: (5, 5)."""
    rows = kernel[(kernel.data == title) & (kernel.sparsity == sparsity)]
    return np.stack(kernel_percent(rows).percent).mean(0)


def tidy_kernel(kernel: pd.DataFrame) -> pd.DataFrame:
    """One row for each position of the kernel: percentage kept, mean over the seeds."""
    titles = kernel.data.unique()
    index = pd.MultiIndex.from_product(
        [titles, KERNEL_SPARSITIES, range(5), range(5)],
        names=["data", "sparsity", "row", "column"],
    )
    shares = [mean_kernel(kernel, t, s) for t in titles for s in KERNEL_SPARSITIES]
    return pd.DataFrame({"kept_percent": np.ravel(shares).round(2)}, index).reset_index()


def inner_and_border(kernel: pd.DataFrame) -> pd.DataFrame:
    """Percentage kept of the inner 3×3 minus that of the border, within seeds, as from `paired`,
    by data and sparsity, with the means of both."""
    inside = np.pad(np.ones((3, 3), bool), 1)
    shares = kernel_percent(kernel).percent
    rows = kernel.assign(status="ok")
    inner = rows.assign(kept=[share[inside].mean() for share in shares])
    border = rows.assign(kept=[share[~inside].mean() for share in shares])
    by = ["data", "sparsity"]
    table = paired(inner, border, by, (*by, "seed"), "kept")
    for column, part in (("inner", inner), ("border", border)):
        table.insert(2, column, part.groupby(by, sort=False).kept.mean().to_numpy())
    return table


CHECK = ["data", "scored", "with"]  # what a row of `checks` and of `changes` is of


def _in_order(table: pd.DataFrame, likeness: pd.DataFrame, scored: Iterable[str]) -> pd.DataFrame:
    """A table indexed by CHECK: data sets as they come, then `scored`, then WITH, as given."""
    return table.reindex(pd.MultiIndex.from_product([likeness.data.unique(), scored, WITH]))


def checks(likeness: pd.DataFrame) -> pd.DataFrame:
    """Pictures, wrong labels and pixels from 0 to 1 at 90 %, means over the seeds: hits, own and
    other r, and Δ with its interval, indexed by CHECK."""
    rows = likeness[likeness.sparsity == CHECKED].assign(status="ok")
    table = rows.groupby(CHECK)[["hits", "own", "other"]].mean()
    contrast = summarize(rows, CHECK, "contrast").set_index(CHECK)
    table = table.join(contrast[["mean", "half"]])
    table = _in_order(table, likeness, (PLAIN, *CHECKS))
    return table.rename_axis(CHECK)


def changes(likeness: pd.DataFrame) -> pd.DataFrame:
    """How the checks change Δ, within seeds, as from `paired`, by data, check and comparison."""
    rows = likeness[likeness.sparsity == CHECKED].assign(status="ok")
    plain, changed = rows[rows.scored == PLAIN], rows[rows.scored != PLAIN]
    table = paired(changed, plain, CHECK, ("data", "with", "seed"), "contrast")
    table = _in_order(table.set_index(CHECK), likeness, CHECKS)
    return table.rename_axis(CHECK).reset_index()


def hits_and_contrasts(likeness: pd.DataFrame) -> pd.DataFrame:
    """Hits and Δ with their intervals as texts: a row for each sparsity, columns by data set and
    measure."""
    hits, contrasts = (summaries(likeness, value) for value in ("hits", "contrast"))
    columns = {}
    for title in likeness.data.unique():
        for kind in WITH:
            ours, apart = hits.loc[title, kind], contrasts.loc[title, kind]
            texts = [interval(*ends, 1).lstrip("+") for ends in ours[["mean", "half"]].to_numpy()]
            columns[title, f"nearest, {kind}"] = texts
            texts = [interval(*ends) for ends in apart[["mean", "half"]].to_numpy()]
            columns[title, f"Δ, {kind}"] = texts
    index = pd.Index([level(s) for s in ours.index], name="sparsity")
    return pd.DataFrame(columns, index)


def layers_in_percent(shares: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """The shares of `layer_shares` at three sparsities, in percent: a row for each data set and
    sparsity, columns by measure and layer. `titles` of the data sets, in the order of the rows."""
    shown = shares[shares.sparsity.isin([0.1, 0.5, 0.9])]
    shown = shown.assign(data=shown.data.map(titles), sparsity=shown.sparsity.map(level))
    shown = shown.pivot(index=["data", "sparsity"], columns="layer", values=["share", "fraction"])
    heads = {"share": "share of all kept", "fraction": "kept of the layer"}
    shown = 100 * shown.reindex(titles.values(), level=0).rename(columns=heads)
    shown.columns.names = shown.index.names = [None, None]
    return shown


def provenance(
    tables: Tables,
    profile: str,
    title: str | None = None,
    network: str = "LeNet-300-100",
    batch: str = "100 images of one class",
) -> str:
    """The line under a figure: data (of one data set, or of both), seeds, profile and hardware."""
    about = tables["data"]
    about = about if title is None else about[about["data"] == title]
    return (
        f"Data: {'; '.join(about.source.unique())}. {network}: "
        f"{seeds_said(range(about.seeds.max()))}, scored on {batch}; nothing is trained. "
        f"Profile {profile}. {'; '.join(about.hardware.unique())}."
    )


# ----------------------------------------------------------------------------------------- numbers


def interval(mean: float, half: float, digits: int = 3) -> str:
    """ "+0.404 ± 0.003"; without ± where there is no interval."""
    text = f"{mean:+.{digits}f}" + ("" if np.isnan(half) else f" ± {half:.{digits}f}")
    return text.replace("-", "−")


def span(values: Iterable[float], form: str = "{:.1f}") -> str:
    """ "4.6 to 10.0"."""
    return spanned(values, form).replace("-", "−")


def tens(values: Iterable[float]) -> str:
    """ "1.3 to 10" of ten classes."""
    low, high = (f"{end(values):.1f}".removesuffix(".0") for end in (min, max))
    return low if low == high else f"{low} to {high}"


def level(sparsity: float) -> str:
    """ "90 %"."""
    return f"{100 * sparsity:.0f} %"


def levels(sparsities: Iterable[float]) -> str:
    """Some of SPARSITIES in words: "10 %", "20 to 90 %", "10, 30 %", "every sparsity"; or ""."""
    has = np.isin(SPARSITIES, list(sparsities))
    if has.all():
        return "every sparsity"
    told = [f"{100 * s:.0f}" for s in np.array(SPARSITIES)[has]]
    if len(told) > 2 and np.diff(np.flatnonzero(has)).max() == 1:
        told = [f"{told[0]} to {told[-1]}"]
    return f"{', '.join(told)} %" if told else ""


PREFIXES = {MEAN_IMAGE: "", MAGNITUDE: "magnitude_"}  # in the names of `values`


def values(tables: Tables) -> dict[str, str]:
    """The numbers of the section's prose, formatted. `_mnist` and `_fashion_mnist` are data sets;
    `magnitude_` compares with |mean image|, not the mean image; a number at the end is a sparsity.
    """
    likeness, scorings = tables["likeness"], tables["scorings"]
    hits, contrasts = (summaries(likeness, value) for value in ("hits", "contrast"))
    luck, r_wrong = beyond_luck(tables["correlations"]), scorings.groupby("data").r_wrong_labels
    checked, layers = checks(likeness), layer_shares(tables)
    inside = inner_and_border(tables["kernel"])
    found = {
        "seeds": counted(int(tables["data"].seeds.iloc[0]), "seed"),
        "alike": span(r_wrong.mean(), "{:.3f}"),
        "alike_least": span([scorings.r_wrong_labels.min()], "{:.3f}"),
    }
    fc1 = layers[(layers.layer == "fc1") & (layers.sparsity == 0.9)].share
    found["fc1_share_90"] = span(100 * fc1, "{:.0f}") + " %"
    for part in ("inner", "border"):
        found[f"kernel_{part}_99"] = span(inside[part][inside.sparsity == 0.99]) + " %"
    for row in tables["data"].itertuples():
        name, title = row.name, row.data
        found[f"background_{name}"] = span([row.background], "{:.2f}")
        found[f"alike_{name}"] = span([r_wrong.mean()[title]], "{:.3f}")
        found[f"unit_pixels_{name}"] = tens([checked.hits[title, UNIT_PIXELS, MEAN_IMAGE]])
        found |= _ties(tables, title, name)
        for kind, prefix in PREFIXES.items():
            mean, contrast = hits["mean"][title, kind], contrasts.loc[title, kind]
            found[f"hits_{prefix}{name}"] = tens(mean)
            found[f"hits_{prefix}{name}_90"] = f"{mean[0.9]:.1f}"
            for s in (0.1, 0.9):
                ends = contrast.loc[s]
                found[f"contrast_{prefix}{name}_{100 * s:.0f}"] = interval(ends["mean"], ends.half)
            same = luck[(luck.data == title) & (luck["with"] == kind)]
            for measure in ("hits", "contrast"):
                for verdict in ("higher", "lower", "undecided"):
                    of = same.sparsity[(same.measure == measure) & (same.verdict == verdict)]
                    key = f"{measure}_{verdict.replace(' ', '_')}_{prefix}{name}"
                    found[key] = levels(of)
        most = hits["mean"][title, MEAN_IMAGE]
        found[f"most_at_{name}"] = "every sparsity" if most.nunique() == 1 else level(most.idxmax())
    return found


def _ties(tables: Tables, title: str, name: str) -> dict[str, str]:
    """In how many scorings position decides which scores of 0 the masks keep at 10 %, the largest
    share of scores of 0 among them, the class, and Δ without the seeds of these scorings."""
    scorings = tables["scorings"][tables["scorings"].data == title]
    tied = scorings[scorings.zeros_kept > 0]
    rows = of_pictures(tables["likeness"])
    rows = rows[(rows.data == title) & (rows["with"] == MEAN_IMAGE)]
    rows = rows[(rows.sparsity == SPARSITIES[0]) & ~rows.seed.isin(tied.seed)]
    share = tied.zeros / tied.scores
    return {
        f"tied_{name}": f"{len(tied)} of {len(scorings)}",
        f"tied_zeros_{name}": f"{100 * share.max():.0f} %" if len(tied) else "–",
        f"tied_class_{name}": ", ".join(classes(title)[label] for label in tied["class"].unique()),
        f"contrast_untied_{name}_10": span([rows.contrast.mean()], "{:+.3f}") if len(rows) else "–",
    }


def draws_class(found: dict[str, str], name: str) -> str:
    """By `values`, whether pictures draw their classes: "yes", all ten do; "in part", more than by
    chance do at some sparsity; or "no"."""
    if found[f"hits_{name}"] == "10":
        return "yes"
    return "in part" if found[f"hits_higher_{name}"] else "no"
