"""§5.6, Fig. 4: can a pruned network learn random labels by heart?

The paper shows LeNet-5-Caffe, dense and pruned by SNIP to 99 %, in one figure without a table. Here
are its five curves, other choices of as many connections, and a second network.

Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity. ICLR 2019.
Zhang, Bengio, Hardt, Recht & Vinyals. Understanding deep learning requires rethinking
generalization. ICLR 2017.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from snipcore import MODELS, kept_count
from sniplab.data import Data, load_data, random_labels
from sniplab.recipe import recipe_for
from sniplab.runs import Config, parameter_count
from sniplab.sections import COMMITTED, Plan, check_counts, check_profile, chosen
from sniplab.sections.random_labels_comparisons import (
    BITS,
    JUDGED,
    KIND,
    PRUNED,
    TRIED,
    bits_per_parameter,
    least_error,
    other_choices,
    snip_first,
    usual_runs,
)
from sniplab.show import spanned
from sniplab.stats import paired, quoted_table, summarize
from sniplab.verdicts import FAILED, LEARNED, at, collected_claim, length_of, missing, new_claim

GROUP = "random labels"  # of the claims
NETWORK = "lenet-5-caffe"  # the paper's
SECOND = "lenet-300-100"  # not in the paper

# ------------------------------------------------------------------------------------ what is run


@dataclass(frozen=True)
class Numbers:
    """What a profile says of one network.

    With few train images a network sees each often enough to learn it by heart. The rates come from
    trials on one seed, so that the dense network does: at the published 0.1 LeNet-5-Caffe diverges.
    Dense LeNet-300-100 had 80, 64, 41, 28 and 34 % of 54,000 labels wrong after 25,000 iterations
    at 0.2, 0.1, 0.05, 0.02 and 0.01; after 75,000 at the last two, 6 and 4 %. Pruned networks were
    not tuned for.
    """

    iterations: int
    rate: float
    seeds: int
    train_images: int  # 0: all
    on_random: tuple[float, ...]  # sparsities of the pruned networks, by labels
    on_true: tuple[float, ...]


NUMBERS = {  # by profile and network
    "smoke": {
        NETWORK: Numbers(5, 0.02, 1, 200, (0.99,), (0.99,)),
        SECOND: Numbers(20, 0.05, 2, 200, (0.99,), (0.99,)),
    },
    "quick": {
        NETWORK: Numbers(40, 0.02, 2, 200, (0.99,), (0.99,)),
        SECOND: Numbers(100, 0.05, 3, 200, (0.9, 0.99), (0.99,)),
    },
    "desktop": {
        NETWORK: Numbers(15_000, 0.02, 3, 0, (0.9, 0.99), (0.99,)),
        SECOND: Numbers(75_000, 0.01, 3, 0, (0.5, 0.8, 0.9, 0.95, 0.99), (0.99,)),
    },
    "paper": {
        NETWORK: Numbers(75_000, 0.02, 20, 0, (0.5, 0.8, 0.9, 0.95, 0.98, 0.99), (0.9, 0.99)),
        SECOND: Numbers(75_000, 0.01, 20, 0, (0.5, 0.8, 0.9, 0.95, 0.98, 0.99), (0.9, 0.99)),
    },
}
DECAY = 5e-4  # of the dense network with L2: the training protocol's, since the paper names none
LONGER = 4  # times as long SECOND, pruned to HARDEST by SNIP, also trains on random labels
HARDEST = 0.99  # the paper's sparsity
TRAIN_IMAGES = 54_000  # of MNIST and of Fashion-MNIST


def plan(
    profile: str,
    dataset: str = "mnist",
    models: str | Iterable[str] | None = None,
    seeds: int | None = None,
    iterations: int | None = None,
    train_images: int | None = None,
) -> dict[str, list[Config]]:
    """The runs, seed by seed: "usual", dense and pruned on random and on true labels, without
    weight decay; "decayed", the dense network of Fig. 4 with it; "longer", one network LONGER.

    Args:
        models: one or more of the networks of the profile; None: all of them.
        seeds, iterations, train_images: in place of the profile's own; 0 train images: all.

    Raises ValueError for an unknown profile or network, and for seeds or iterations below 1.
    """
    check_profile(profile)
    numbers = NUMBERS[profile]
    models = chosen(models, numbers, "network of this section", numbers)
    check_counts(seeds=seeds, iterations=iterations)
    parts = {"usual": [], "decayed": [], "longer": []}
    for model in models:
        _add_runs(parts, model, numbers[model], dataset, seeds, iterations, train_images)
    return {part: sorted(configs, key=lambda c: c.seed) for part, configs in parts.items()}


def _add_runs(parts, model, numbers, dataset, seeds, iterations, train_images) -> None:
    """Put the runs of one network into the parts of a plan; `numbers`: its Numbers."""
    length = numbers.iterations if iterations is None else iterations
    checkpoints = min(10, max(1, length // 60))  # a test takes as long as some steps
    recipe = recipe_for(model, length, checkpoints)
    recipe = dataclasses.replace(recipe, lr=numbers.rate, weight_decay=0.0)
    if model == SECOND:  # at any length as its rates were tried
        recipe = dataclasses.replace(recipe, schedule="linear")
    cells = [("dense", 0.0, "random"), ("dense", 0.0, "true")]
    cells += [(method, s, "random") for s in numbers.on_random for method in PRUNED]
    cells += [(method, s, "true") for s in numbers.on_true for method in PRUNED]
    fields = {"dataset": dataset, "train_images": numbers.train_images}
    if train_images is not None:
        fields["train_images"] = train_images
    for seed in range(numbers.seeds if seeds is None else seeds):
        parts["usual"] += [
            Config(model, recipe, method, sparsity, seed, labels=labels, **fields)
            for method, sparsity, labels in cells
        ]
        on_random = {"labels": "random", **fields}
        if model == NETWORK:
            decayed = dataclasses.replace(recipe, weight_decay=DECAY)
            parts["decayed"].append(Config(model, decayed, "dense", 0.0, seed, **on_random))
        else:
            longer = dataclasses.replace(recipe, iterations=LONGER * length)
            parts["longer"].append(Config(model, longer, "snip", HARDEST, seed, **on_random))


def images_seen(plan: Plan, profile: str) -> int:
    """How many train images the runs of a plan see; those of the committed report see all of MNIST,
    and no images are looked for."""
    config = plan["usual"][0]
    if config.train_images:
        return config.train_images
    if profile == COMMITTED:
        return TRAIN_IMAGES
    return len(load_data(config.dataset, device="cpu").y_train)


# ----------------------------------------------------------------------------------- a first trial


def relabelled(data: Data, images: int) -> Data:
    """The first train images with random labels, to be trained and tested on: the test error that
    `sniplab.compare` follows is then the training error."""
    x, y = data.x_train[:images], random_labels(data.y_train[:images], seed=0)
    return dataclasses.replace(data, x_train=x, y_train=y, x_test=x, y_test=y)


# ---------------------------------------------------------------------------------- what is claimed


@dataclass(frozen=True)
class Curve:
    """One curve of the paper's Fig. 4, of NETWORK: which runs, and what §5.6 says of it."""

    name: str
    part: str
    method: str
    sparsity: float
    labels: str
    statement: str
    fits: bool = True  # by the paper

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Its rows."""
        cell = (rows.part == self.part) & (rows.model == NETWORK) & (rows.method == self.method)
        return rows[cell & (rows.sparsity == self.sparsity) & (rows.labels == self.labels)]


CURVES = {
    "dense_true": Curve(
        "dense, true labels", "usual", "dense", 0.0, "true", "quickly almost zero training loss"
    ),
    "dense_random": Curve(
        "dense, random labels", "usual", "dense", 0.0, "random", "very low training loss"
    ),
    "dense_random_l2": Curve(
        "dense, random labels, L2", "decayed", "dense", 0.0, "random", "very low training loss, too"
    ),
    "pruned_true": Curve(
        "pruned, true labels", "usual", "snip", HARDEST, "true", "quickly almost zero training loss"
    ),
    "pruned_random": Curve(
        "pruned, random labels", "usual", "snip", HARDEST, "random", "fails to fit", fits=False
    ),
}
# That a dense network learns true labels, every other section shows.
CLAIMED = ("dense_random", "dense_random_l2", "pruned_true", "pruned_random")


def claims(rows: pd.DataFrame, plan: Plan) -> list[dict]:
    """The rows of the table of claims. Where a run that `plan` asks for is missing, the claim is
    untested."""
    judged_claims = [memory(rows, plan, key) for key in CLAIMED]
    return [*judged_claims, held_back(rows, plan)]


def memory(rows: pd.DataFrame, plan: Plan, key: str) -> dict:
    """§5.6, Fig. 4: NETWORK learns random labels by heart when dense, not when pruned. `key`: one
    of CURVES."""
    curve = CURVES[key]
    dense = rows[(rows.part == "usual") & (rows.model == NETWORK) & (rows.method == "dense")]
    dense = dense[dense.labels == curve.labels].set_index("seed").train_error
    cell = (NETWORK, curve.method, curve.sparsity, curve.labels)
    planned = [c for c in plan[curve.part] if (c.model, c.method, c.sparsity, c.labels) == cell]
    rows = curve.of(rows)
    absent = missing(rows, planned)
    does = "learns" if curve.fits else "fails to learn"
    decay = " with L2" if curve.part == "decayed" else ""
    claim = new_claim(
        id=f"memory.{key}",
        group=GROUP,
        section="§5.6, Fig. 4",
        claim=f"LeNet-5-Caffe {at(curve.sparsity)}{decay} {does} {curve.labels} labels",
        published="low loss" if curve.fits else "high error",
        rule="memory",
        runs=length_of(rows),
        seeds=len(rows),
    )
    if rows.empty:
        return claim
    errors, lost = rows.train_error, rows.train_error.isna()
    claim["ours"] = "–" if lost.all() else f"{spanned(errors.dropna(), '{:.1f}')} % training error"
    if lost.any():
        claim["ours"] += f" ({lost.sum()} of {len(rows)} lost)"
    if absent:
        return claim | {"verdict": f"untested: {absent}"}
    if len(rows) < 2 or lost.all():
        return claim
    # What the dense network does not learn either, no choice of connections prevents.
    if not curve.fits and not (rows.seed.map(dense) <= LEARNED).all():
        return claim | {"verdict": "untested: dense network does not learn them"}
    low, high = errors <= LEARNED, errors >= FAILED
    holds, fails = (low, high) if curve.fits else (high, low)
    verdict = "reproduced" if holds.all() else "not reproduced" if fails.all() else "in part"
    return claim | {"verdict": verdict}


def held_back(rows: pd.DataFrame, plan: Plan) -> dict:
    """What the paper left out: whether SNIP's choice of connections, and not their number alone,
    keeps random labels from being learned by heart. Of the table of `other_choices`, whose
    correction is over all of it, those on random labels; a comparison that lost a pair is
    undecided."""
    usual = usual_runs(rows)
    table = other_choices(usual)
    table = table[(table.labels == "random") & table.verdict.isin(JUDGED)]
    text = "Other choices of as many connections learn more random labels by heart than SNIP's"
    if len(table):
        text += f", at {spanned(100 * table.sparsity, '{:.0f}')} %"
    name, configs = "memory.other_choices", plan["usual"]
    return collected_claim(name, GROUP, text, usual, configs, table, "training error", "lower")


def published_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs of the five curves, seed by seed, named in column `curve`."""
    runs = pd.concat([curve.of(rows).assign(curve=curve.name) for curve in CURVES.values()])
    return runs.sort_index().sort_values("seed", kind="stable")


def curve_points(published: pd.DataFrame) -> pd.DataFrame:
    """Loss and error (percent) of mini-batches before their steps, over equal parts of each run:
    curve, seed, iteration, loss, error."""
    parts = []
    for run in published[published.status == "ok"].itertuples():
        loss, error = (np.array(t.split(), dtype=float) for t in (run.loss_curve, run.error_curve))
        step = (np.arange(len(loss)) + 0.5) * run.iterations / len(loss)
        key = {"curve": run.curve, "seed": run.seed}
        parts.append(pd.DataFrame({**key, "iteration": step, "loss": loss, "error": error}))
    columns = ["curve", "seed", "iteration", "loss", "error"]
    return pd.concat(parts) if parts else pd.DataFrame(columns=columns)


def beside_published(rows: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """What the paper says of the five curves, how ours end, and whether they agree."""
    published = published_runs(rows)
    names = [curve.name for curve in CURVES.values()]
    statements = [curve.statement for curve in CURVES.values()]
    table = pd.DataFrame({"curve": names, "published, for MNIST": statements})
    heads = {"train_loss": "training loss", "train_error": "training error (%)"}
    for column, head in {**heads, "error": "test error (%)"}.items():
        text = summarize(published, ["curve"], column).set_index("curve").text
        table[head] = [text.get(name, "–") for name in names]
    return table.assign(verdict=[memory(rows, plan, key)["verdict"] for key in CURVES])


def longer_minus_usual(rows: pd.DataFrame) -> pd.DataFrame:
    """What LONGER training changes in the training error of SECOND, pruned by SNIP to HARDEST, on
    random labels: as from `paired`."""
    hard = (rows.method == "snip") & (rows.sparsity == HARDEST) & (rows.labels == "random")
    hard = rows[hard & (rows.model == SECOND)]
    longer, usual = hard[hard.part == "longer"], hard[hard.part == "usual"]
    return paired(longer, usual, ["model"], ("model", "seed"), "train_error")


# ------------------------------------------------------------------------------ numbers for prose


def values(rows: pd.DataFrame, plan: Plan) -> dict[str, str]:
    """The numbers that prose quotes, by name; "–" where there are none.

    "memory.error.lenet-5-caffe.snip.random.99" is a training error, in percent, on random labels at
    99 %; "memory.control.lenet-5-caffe.shuffled.random.90" what a control adds to SNIP's, in
    points. Each is there as "….mean" and "….tenths" without the interval, too, with two digits and
    one, and a control has a "….verdict".
    """
    usual, longer = usual_runs(rows), longer_minus_usual(rows)
    errors = summarize(usual, [*KIND, "method"], "train_error")
    controls, by = other_choices(usual), ["model", "method", "labels", "sparsity"]
    numbers = quoted_table("memory.error", errors, by)
    numbers |= quoted_table("memory.control", controls, by)
    on_random = controls[controls.labels == "random"]
    judged = on_random[on_random.verdict.isin(JUDGED)]
    numbers |= {f"memory.controls.{word}": str((judged.verdict == word).sum()) for word in JUDGED}
    return numbers | {
        "memory.controls.compared": str(len(judged)),
        "memory.controls.span": spanned(judged["mean"], "{:.1f}") if len(judged) else "–",
        "memory.snip_first": snip_first(usual),
        "memory.longer.gain": f"{-longer['mean'][0]:.1f}" if len(longer) else "–",
        "memory.longer.verdict": longer.verdict[0] if len(longer) else "–",
        **_capacity(usual, plan),
    }


def _capacity(usual: pd.DataFrame, plan: Plan) -> dict[str, str]:
    """Iterations of each network, what counting says of HARDEST, and the most that was learned."""
    images = images_seen(plan, COMMITTED)
    numbers = {"memory.images": f"{images:,}"}
    learned = bits_per_parameter(usual, images)
    most = learned[list(TRIED)].max(axis=None)
    numbers["memory.bits.learned"] = "–" if pd.isna(most) else f"{most:.2f}"
    hardest = learned[learned.sparsity == HARDEST].set_index("network").snip
    for model, iterations in {c.model: c.recipe.iterations for c in plan["usual"]}.items():
        kept = kept_count(parameter_count(model), HARDEST)
        numbers[f"memory.iterations.{model}"] = f"{iterations:,}"
        numbers[f"memory.kept.{model}"] = f"{kept:,}"
        own = hardest.get(MODELS[model].title, np.nan)
        numbers[f"memory.bits.snip.{model}"] = "–" if pd.isna(own) else f"{own:.2f}"
        numbers[f"memory.bits.needed.{model}"] = f"{images * np.log2(10) / kept:.1f}"
        for name, bits in (("all_bits", BITS), ("learned_bits", most)):
            known = not pd.isna(bits)
            least = f"{least_error(kept, images, bits):.1f}" if known else "–"
            numbers[f"memory.least_error.{name}.{model}"] = least
    return numbers
