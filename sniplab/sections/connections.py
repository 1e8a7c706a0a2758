"""§5.4: what the surviving connections of a network look like, scored on images of one class.

Nothing is trained for them, so there is no plan of runs: `connections_scored` measures or reads
`tables`, from which everything here is drawn and judged. `connections_labels` trains.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import scipy.stats

from snipcore import check_known
from sniplab.data import DATASETS
from sniplab.sections import stored_table
from sniplab.sections.connections_scored import (
    CHECKED,
    CHECKS,
    MAGNITUDE,
    MEAN_IMAGE,
    MIXED_IMAGES,
    MIXED_LABELS,
    OTHER_IMAGES,
    OTHER_LABEL,
    PLAIN,
    SPARSITIES,
    TITLES,
    UNIT_PIXELS,
    WITH,
    WRONG_LABELS,
    Tables,
)
from sniplab.show import level, spanned
from sniplab.stats import paired, quoted, summarize
from sniplab.verdicts import judged, new_claim

CHANCE = 1  # of ten pictures, by luck the nearest to its own class
DRAWN = (0.1, 0.5, 0.9)  # sparsities of the figure of pictures
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
    ours = f"{plain} of 10 nearest to their own mean image, {magnitude} to its magnitude; chance 1"
    if seeds == 0:
        ours += f"; {rows.sparsity.nunique()} of {len(SPARSITIES)} sparsities"
    verdict = judged(means == 10)[0] if seeds > 1 else "untested"
    return claim | {"ours": ours, "verdict": verdict, "seeds": seeds}


# ----------------------------------------------------------------------------------------- tables


def pixels(text: str) -> np.ndarray:
    """A picture that a table keeps as numbers separated by spaces: (28, 28)."""
    return np.array(text.split(), float).reshape(28, 28)


def pictures_of(table: pd.DataFrame, title: str, sparsity: float) -> np.ndarray:
    """Fraction kept of each pixel's connections, mean over the seeds: (10, 28, 28). `table`:
    "pictures", or "wrong_labels"."""
    table = table[(table.data == title) & (table.sparsity == sparsity)].sort_values("class")
    return np.stack([pixels(k) / n for k, n in zip(table.kept, table.connections, strict=True)])


def classes(title: str) -> tuple[str, ...]:
    """The names of a data set's ten classes."""
    return CLOTHES if title == TITLES["fashion_mnist"] else tuple(map(str, range(10)))


def class_number(dataset: str, name: str | int) -> int:
    """The number of a class of a data set by its name: 5 of "sandal" in "fashion_mnist".

    Raises ValueError for a name that is not one of the ten, and for images that are not MNIST's in
    shape, of which there are no pictures.
    """
    drawn = [name for name, (shape, _) in DATASETS.items() if shape == DATASETS["mnist"][0]]
    check_known(dataset, drawn, "data set of grey images")
    names = classes(TITLES.get(dataset, dataset))
    check_known(str(name), names, "class")  # papermill makes a number of "3"
    return names.index(str(name))


def tiles_of(tables: Tables, title: str) -> dict[str, np.ndarray]:
    """The rows of the figure of pictures, (10, 28, 28) each: fractions kept at three sparsities,
    and at CHECKED with wrong labels, the mean images, as normalised, and their magnitudes."""
    images, pictures = tables["mean_images"], tables["pictures"]
    means = np.stack([pixels(text) for text in images.pixels[images.data == title]])
    tiles = {level(sparsity): pictures_of(pictures, title, sparsity) for sparsity in DRAWN}
    tiles[f"{level(CHECKED)}, {WRONG_LABELS}"] = pictures_of(tables["wrong_labels"], title, CHECKED)
    return {**tiles, MEAN_IMAGE: means, MAGNITUDE: np.abs(means)}


def rows_of_scorings(tables: Tables) -> pd.DataFrame:
    """One row for each scoring of LeNet-300-100, as captions take the rows of runs."""
    about = tables["data"].set_index("data")[["name", "source"]]
    rows = tables["scorings"].join(about, on="data").rename(columns={"name": "dataset"})
    return rows.assign(model="lenet-300-100", iterations=0)


def hits_of(likeness: pd.DataFrame) -> pd.DataFrame:
    """How many of ten pictures are nearest to their own class, mean and interval over the seeds,
    as from `summarize`, by data, comparison and sparsity."""
    pictures = likeness[likeness.scored == PLAIN].assign(status="ok")
    return summarize(pictures, BY, "hits").set_index(BY).sort_index()


def matrix(correlations: pd.DataFrame, title: str, kind: str, sparsity: float, value: str = "r"):
    """`value` of each picture, down, with each mean image, across: (10, 10)."""
    rows = correlations[
        (correlations.data == title)
        & (correlations["with"] == kind)
        & (correlations.sparsity == sparsity)
    ]
    return rows.pivot(index="picture", columns="mean_image", values=value).to_numpy()


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
    """Whether more, or fewer, pictures than by chance are nearest to their own class: p, q
    (corrected over data sets, comparisons and sparsities together) and the verdict, by data,
    comparison and sparsity."""
    table = correlations[BY].drop_duplicates(ignore_index=True)
    cells = table.itertuples(index=False, name=None)
    outcomes = [against_luck(matrix(correlations, *key, "nearest")) for key in cells]
    table["p"] = [p for p, _ in outcomes]
    table["q"] = scipy.stats.false_discovery_control(table.p)
    table["verdict"] = ["higher" if more else "lower" for _, more in outcomes]
    table.loc[table.q >= 0.05, "verdict"] = "undecided"
    return table


def inner_and_border(kernel: pd.DataFrame) -> pd.DataFrame:
    """Percentage kept of the inner 3×3 minus that of the border, within seeds, as from `paired`,
    by data and sparsity, with the means of both."""
    inside = np.pad(np.ones((3, 3), bool), 1)
    counts = [np.array(text.split(), int).reshape(5, 5) for text in kernel.kept]
    shares = [100 * (kept / n) for kept, n in zip(counts, kernel.kernels, strict=True)]
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
    """Pictures, wrong labels and pixels from 0 to 1 at 90 %, means over the seeds: `hits`, `own`
    and `other` r, by data, what was scored, and comparison."""
    rows = likeness[likeness.sparsity == CHECKED]
    table = rows.groupby(CHECK)[["hits", "own", "other"]].mean()
    return _in_order(table, likeness, (PLAIN, *CHECKS)).rename_axis(CHECK).reset_index()


def changes(likeness: pd.DataFrame) -> pd.DataFrame:
    """How the checks change Δ, within seeds, as from `paired`, by data, check and comparison."""
    rows = likeness[likeness.sparsity == CHECKED].assign(status="ok")
    plain, changed = rows[rows.scored == PLAIN], rows[rows.scored != PLAIN]
    table = paired(changed, plain, CHECK, ("data", "with", "seed"), "contrast")
    table = _in_order(table.set_index(CHECK), likeness, CHECKS)
    return table.rename_axis(CHECK).reset_index()


def checks_text(likeness: pd.DataFrame) -> pd.DataFrame:
    """`checks` as they are shown."""
    heads = {"with": "compared with", "hits": "nearest, of 10", "own": "own r", "other": "other r"}
    return checks(likeness).rename(columns=heads)


def mixed_text(mixed: pd.DataFrame) -> pd.DataFrame:
    """How far a mask scored on all classes stays when its images or its labels change, as shown:
    means and intervals over the seeds."""
    rows, by = mixed.assign(status="ok"), ["data", "change"]
    rows["kept again"] *= 100
    kept, r = (summarize(rows, by, value) for value in ("kept again", "r"))
    return kept[by].assign(**{"kept again (%)": kept.text, "r": r.text})


def mixed_changes(mixed: pd.DataFrame) -> pd.DataFrame:
    """Percentage of the first layer kept again with permuted labels minus that with other images,
    within seeds, as from `paired`, by data."""
    rows = mixed.assign(status="ok", kept=100 * mixed["kept again"])
    labels, images = (rows[rows.change == change] for change in (MIXED_LABELS, MIXED_IMAGES))
    return paired(labels, images, ["data"], ("data", "seed"), "kept")


def kernel_text(inside: pd.DataFrame) -> pd.DataFrame:
    """`inner_and_border` as it is shown."""
    heads = {"inner": "inner 3×3 (%)", "border": "border (%)", "text": "inner − border"}
    table = inside.assign(sparsity=inside.sparsity.map(level)).rename(columns=heads)
    return table[["data", "sparsity", *heads.values(), "verdict"]]


# ----------------------------------------------------------------------------------------- numbers


def levels(sparsities: Iterable[float]) -> str:
    """Some of SPARSITIES in words: "10 %", "20 to 90 %", "10, 30 %", "every sparsity"; or ""."""
    has = np.isin(SPARSITIES, list(sparsities))
    if has.all():
        return "every sparsity"
    percents = [f"{100 * s:.0f}" for s in np.array(SPARSITIES)[has]]
    if len(percents) > 2 and np.diff(np.flatnonzero(has)).max() == 1:
        percents = [f"{percents[0]} to {percents[-1]}"]
    return f"{', '.join(percents)} %" if percents else ""


def values(tables: Tables) -> dict[str, str]:
    """The numbers that prose quotes, by name; "–" where there are none.

    "pictures.nearest.mnist" is how many of ten pictures are nearest to the mean image of their own
    class, over the sparsities, "pictures.nearest.mnist.90" at one; ".magnitude" after the data set
    compares with the magnitude.
    """
    likeness, scorings = tables["likeness"], tables["scorings"]
    hits, luck = hits_of(likeness)["mean"], beyond_luck(tables["correlations"])
    checked, changed = checks(likeness).set_index(CHECK).hits, changes(likeness)
    changed = changed[(changed.scored == WRONG_LABELS) & (changed.verdict != "undecided")]
    inside, layers = inner_and_border(tables["kernel"]), tables["layers"]
    kept = layers[layers.sparsity == CHECKED].pivot(index="data", columns="layer", values="kept")
    size = layers["size"][layers.layer == "fc1"].max()
    first = layers[(layers.sparsity == CHECKED) & (layers.layer == "fc1")]
    density = 100 * first.kept / (first["size"] * first.masks)
    numbers = {
        "pictures.wrong_labels.changes": str(len(changed)),
        "pictures.first_layer.kept": spanned(100 * kept.fc1 / kept.sum(axis=1), "{:.0f}"),
        "pictures.first_layer.density": spanned(density, "{:.0f}"),
        "pictures.first_layer.size": f"{100 * size / scorings.scores.max():.0f}",
    }
    for claim in claims(tables):
        numbers[f"pictures.verdict.{claim['id'].removeprefix('drawn.')}"] = claim["verdict"]
    for title, name in zip(tables["data"].data, tables["data"].name, strict=True):
        for kind, ending in ((MEAN_IMAGE, ""), (MAGNITUDE, ".magnitude")):
            mean = hits[title, kind].round(1)
            numbers[f"pictures.nearest.{name}{ending}"] = spanned(mean, "{:g}")
            for sparsity in DRAWN:
                key = f"pictures.nearest.{name}{ending}.{100 * sparsity:.0f}"
                numbers[key] = f"{mean[sparsity]:g}"
            rows = luck[(luck.data == title) & (luck["with"] == kind)]
            text = levels(rows.sparsity[rows.verdict == "higher"])
            numbers[f"pictures.beyond_chance.{name}{ending}"] = text or "–"
        group = scorings[scorings.data == title]
        numbers[f"pictures.wrong_labels.{name}"] = f"{group.r_wrong_labels.mean():.2f}"
        unit = checked[title, UNIT_PIXELS, MEAN_IMAGE].round(1)
        numbers[f"pictures.unit_pixels.{name}"] = f"{unit:g}"
        own = matrix(tables["correlations"], title, MEAN_IMAGE, CHECKED).diagonal()
        for label, r in zip(classes(title), own, strict=True):
            numbers[f"pictures.own.{name}.{label}"] = spanned([r], "{:.2f}")
        numbers |= _ties(group, name) | _kernel(inside[inside.data == title], name)
    names = {title: name for name, title in TITLES.items()}
    endings = {OTHER_IMAGES: "other_images", OTHER_LABEL: "wrong_label"}
    again = stored_table("3_kept_again").groupby(["data", "change"])[["kept again", "r"]].mean()
    for (title, change), means in again.iterrows():
        if change in endings:
            name = f"pictures.kept_again.{names[title]}.{endings[change]}"
            numbers[name] = f"{100 * means['kept again']:.0f}"
            numbers[f"{name}.r"] = f"{means.r:.2f}"
    return numbers | _mixed(tables["mixed"], names)


def _mixed(mixed: pd.DataFrame, names: Mapping[str, str]) -> dict[str, str]:
    """What a batch of all classes keeps again of the first layer, in percent, and r of its
    pictures, by the data's name: "pictures.mixed.mnist.labels" and "….labels.r", "….images"; and
    "pictures.mixed_change.mnist", labels minus images in points."""
    numbers: dict[str, str] = {}
    endings = {MIXED_IMAGES: "images", MIXED_LABELS: "labels"}
    for (title, change), group in mixed.groupby(["data", "change"]):
        name = f"pictures.mixed.{names[title]}.{endings[change]}"
        numbers[name] = f"{100 * group['kept again'].mean():.0f}"
        numbers[f"{name}.r"] = f"{group.r.mean():.2f}"
    for row in mixed_changes(mixed).to_dict("records"):
        numbers |= quoted(f"pictures.mixed_change.{names[row['data']]}", row)
    return numbers


def _ties(scorings: pd.DataFrame, name: str) -> dict[str, str]:
    """In how many scorings of a data set position decides which scores of 0 the masks keep at
    10 %, the classes, and the largest share of scores of 0 among them."""
    tied = scorings[scorings.zeros_kept > 0]
    named = [classes(TITLES[name])[label] for label in tied["class"].unique()]
    zeros = f"{100 * (tied.zeros / tied.scores).max():.0f}" if len(tied) else "–"
    return {
        f"pictures.tied.{name}": f"{len(tied)} of {len(scorings)}",
        f"pictures.tied_classes.{name}": ", ".join(named) or "–",
        f"pictures.tied_zeros.{name}": zeros,
    }


def _kernel(inside: pd.DataFrame, name: str) -> dict[str, str]:
    """By how many points, and where, the inner kernel of a data set keeps more than the border,
    and up to how many cannot be excluded where that is undecided."""
    more, unsure = (inside[inside.verdict == verdict] for verdict in ("higher", "undecided"))
    excluded = (unsure["mean"].abs() + unsure.half).max()
    return {
        f"pictures.kernel.{name}": spanned(more["mean"], "{:.1f}") if len(more) else "–",
        f"pictures.kernel_at.{name}": ", ".join(more.sparsity.map(level)) or "nowhere",
        f"pictures.kernel_open.{name}": f"{excluded:.1f}" if len(unsure) else "–",
    }
