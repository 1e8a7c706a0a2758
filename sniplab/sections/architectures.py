"""§5.3: can every architecture be pruned, and what does it cost?

The paper prunes twelve networks to 3 to 10 % of their parameters (Table 2), the class report
fourteen (Table I). Here every network is scored under two kinds of normalisation, and most are
trained, dense and pruned.

Lee, Ajanthan & Torr. SNIP: Single-shot network pruning based on connection sensitivity. ICLR 2019.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from snipcore import MODELS, check_known
from sniplab.methods import METHODS
from sniplab.recipe import PROTOCOLS, Recipe, recipe_for
from sniplab.runs import Config
from sniplab.sections import Length, check_counts, check_profile, chosen, several
from sniplab.sections.architectures_costs import (
    CUT,
    cost_values,
    dense_runs,
    initial_runs,
    not_trained_out,
)
from sniplab.sections.architectures_layers import layer_counts, normalises, survival_values
from sniplab.sections.architectures_published import (
    KINDS,
    TABLE_2,
    dense_error,
    disagreeing,
    kind_of,
    own_sparsity,
    parameter_counts,
    systems,
)
from sniplab.show import counted, spanned
from sniplab.stats import paired
from sniplab.verdicts import ADDED, fewest, from_to, judged, length_of, new_claim, undertrained

# ------------------------------------------------------------------------------------ what is run

EPOCH = {"mnist": 540, "cifar10": 351}  # iterations, of the whole train split


@dataclass(frozen=True)
class Numbers:
    """What a profile says of this section."""

    trained: Mapping[str, Length]  # by network
    scored_seeds: int  # of every network, scored and not trained
    only_small: bool = False  # of those that are scored; the large ones take a minute
    scoring_batch: int = 0  # images; 0: as in the protocol
    batch_size: int = 0  # of training; 0: as in the protocol
    test_images: int = 0  # 0: all
    recurrent_schedule: str = ""  # default: by the length
    other_iterations: int = 0  # of networks that it does not train; 0: as in the protocol


def _cifar_epochs(count: int, seeds: int = 1) -> Length:
    """So many epochs of CIFAR-10, one checkpoint each."""
    return Length(count * EPOCH["cifar10"], count, seeds)


SMOKE = dict.fromkeys(("squeezenet-vanilla", "gru-s"), Length(3))
QUICK = dict.fromkeys(("alexnet-s", *CUT, "lstm-s", "gru-s"), Length(10))
DESKTOP = {
    "alexnet-s": _cifar_epochs(12, seeds=3),
    "alexnet-b": _cifar_epochs(12),
    "squeezenet-vanilla": _cifar_epochs(12, seeds=3),
    "squeezenet-bypass": _cifar_epochs(12, seeds=3),
    "googlenet": _cifar_epochs(12, seeds=3),
    # In 6 epochs the losses of DenseNet-201 rise above guessing and end too high to compare:
    # 54.07 % test error dense, 44.81 % pruned. So all four take 12.
    "densenet-121": _cifar_epochs(12),
    "densenet-169": _cifar_epochs(12),
    "densenet-201": _cifar_epochs(12),
    "densenet-264": _cifar_epochs(12),
    "vgg-c": _cifar_epochs(6),
    "vgg-d": _cifar_epochs(6),
    "vgg-like": _cifar_epochs(6),
    "resnet-18": _cifar_epochs(6),
    "resnet-34": _cifar_epochs(4),
    "lstm-s": Length(37_500, checkpoints=15, seeds=5),
    "gru-s": Length(37_500, checkpoints=15, seeds=5),
    "lstm-b": Length(10_000, checkpoints=10),
    "gru-b": Length(10_000, checkpoints=10),
    "googlenet-full": _cifar_epochs(12),
    "wrn-16-8": _cifar_epochs(3),  # the step of a Wide ResNet takes 3 to 6 of a ResNet-18's
}
PAPER = {
    name: Length(PROTOCOLS[spec.dataset].iterations, checkpoints=75, seeds=20)
    for name, spec in systems().items()
}
NUMBERS = {
    "smoke": Numbers(
        SMOKE,
        scored_seeds=1,
        only_small=True,
        scoring_batch=8,
        batch_size=8,
        test_images=100,
        other_iterations=3,
    ),
    "quick": Numbers(
        QUICK, scored_seeds=1, scoring_batch=8, batch_size=16, test_images=500, other_iterations=10
    ),
    # The published shape, shortened.
    "desktop": Numbers(DESKTOP, scored_seeds=5, recurrent_schedule="stages"),
    "paper": Numbers(PAPER, scored_seeds=20),
}


def plan(
    profile: str,
    models: str | Iterable[str] | None = None,
    methods: str | Iterable[str] | None = None,
    sparsities: float | Iterable[float] | None = None,
    epochs: int | None = None,
    seeds: int | None = None,
) -> dict[str, list[Config]]:
    """The runs that are trained, seed by seed: each network dense and pruned, and those of CUT with
    SNIP's mask of batch statistics, too.

    Args:
        models: one or more of MODELS; None: those of the profile.
        methods: in place of SNIP; sparsities: in place of the network's own.
        epochs, seeds: in place of the profile's own.

    Raises ValueError for an unknown profile, network or method, and for epochs or seeds below 1.
    """
    check_profile(profile)
    check_counts(epochs=epochs, seeds=seeds)
    numbers = NUMBERS[profile]
    models = chosen(models, MODELS, "model", numbers.trained)
    if not models:
        raise ValueError("models names no network; None for those of the profile")
    methods = chosen(methods, METHODS, "method", ("snip",))
    sparsities = several(sparsities)
    configs = []
    for name in models:
        cells = [
            (method, sparsity, norm)
            for method in methods
            for sparsity in sparsities or (own_sparsity(name),)
            for norm in ("running", "batch")
            if method != "dense" and (norm == "running" or (method == "snip" and name in CUT))
        ]
        length = _length_of(name, numbers, epochs)
        recipe = _recipe_of(name, numbers, length)
        options = {
            "scoring_batch": numbers.scoring_batch or recipe.batch_size,
            "test_images": numbers.test_images,
        }
        for seed in range(length.seeds if seeds is None else seeds):
            configs.append(Config(name, recipe, "dense", 0.0, seed, **options))
            for method, sparsity, norm in cells:
                configs.append(Config(name, recipe, method, sparsity, seed, norm=norm, **options))
    return {"trained": sorted(configs, key=lambda config: config.seed)}


def _length_of(name: str, numbers: Numbers, epochs: int | None) -> Length:
    dataset = MODELS[name].dataset
    iterations = numbers.other_iterations or PROTOCOLS[dataset].iterations
    length = numbers.trained.get(name, Length(iterations))
    if epochs is not None:
        length = Length(epochs * EPOCH[dataset], epochs, length.seeds)
    return length


def _recipe_of(name: str, numbers: Numbers, length: Length) -> Recipe:
    recipe = recipe_for(name, length.iterations, length.checkpoints)
    if MODELS[name].family == "Recurrent" and numbers.recurrent_schedule:
        recipe = dataclasses.replace(recipe, schedule=numbers.recurrent_schedule)
    return dataclasses.replace(recipe, batch_size=numbers.batch_size or recipe.batch_size)


def survival_plan(profile: str) -> dict[str, list[Config]]:
    """The runs that only score, seed by seed: each network under both kinds of normalisation.

    Raises ValueError for an unknown profile.
    """
    check_profile(profile)
    numbers, configs = NUMBERS[profile], []
    for seed in range(numbers.scored_seeds):
        for name, spec in systems().items():
            if numbers.only_small and name not in CUT and normalises(name):
                continue
            size = numbers.scoring_batch or PROTOCOLS[spec.dataset].batch_size
            options = {"scoring_batch": size, "sparsity": spec.sparsity, "seed": seed}
            nothing = Recipe(0, checkpoints=0)
            configs += [
                Config(name, nothing, norm=norm, **options) for norm in ("running", "batch")
            ]
    return {"scored": configs}


# ---------------------------------------------------------------------------------- what is claimed


def claims(rows: pd.DataFrame, scored: pd.DataFrame) -> list[dict]:
    """The rows of the table of claims; `rows` of `plan`, `scored` of `survival_plan`.

    Raises ValueError where a run is there twice.
    """
    within = [within_a_point(rows, kind) for kind in ("convolutional", "recurrent")]
    return [*within, connected(layer_counts(scored)), within_a_point(rows, "other")]


POINT = 1.0  # of test error


def within_a_point(rows: pd.DataFrame, kind: str) -> dict:
    """Table 2: pruned networks are as good as dense ones, within a point. `kind`: of KINDS.

    A network is told by pairs of several seeds, none of them lost, where its dense one is trained
    out, by the rule of `undertrained`. One network refutes the claim; it takes all of its kind to
    confirm it, but for those of which no dense error is published.
    """
    check_known(kind, KINDS, "kind of networks")
    names = [name for name in systems() if kind_of(name) == kind]
    rows = rows[rows.model.isin(names)]
    theirs = [TABLE_2[name].pruned - TABLE_2[name].dense for name in names if name in TABLE_2]
    levels = spanned([100 * systems()[name].sparsity for name in names], "{:.0f}")
    table = paired(initial_runs(rows), dense_runs(rows), ["model"]).set_index("model")
    untrained_errors, unknown = not_trained_out(rows, table.index)
    trained = table.drop([*untrained_errors, *unknown])
    repeated, single = trained[trained.n > 1], trained[trained.n == 1]
    claim = new_claim(
        id=f"within_a_point.{kind}",
        group="architectures",
        section="§5.3, Table 2" if theirs else ADDED,
        claim=f"{KINDS[kind]} are within a point of dense, at {levels} %",
        published=from_to(theirs) if theirs else "–",
        rule="equality",
        runs=length_of(rows),
        seeds=fewest(repeated if len(repeated) else single),
    )
    if table.empty:
        return claim
    distance, complete_pairs = repeated["mean"].abs(), repeated.lost == 0
    holds = complete_pairs & (distance + repeated.half < POINT)
    fails = complete_pairs & (distance - repeated.half > POINT)
    verdict, tally = judged(holds, fails)
    texts = []
    if len(repeated):
        texts.append(f"{from_to(repeated['mean'])} in {counted(len(repeated), 'network')}{tally}")
    if len(single):
        texts.append(f"{from_to(single['mean'])} in {len(single)} of one seed")
    claim["ours"] = "; ".join(texts) or "–"
    published_names = [name for name in names if dense_error(name) is not None]
    if trained.empty:
        verdict = f"untested: {_in_short(untrained_errors)}"
        absent = len(set(published_names) - set(table.index))
        if untrained_errors and absent:
            verdict += f", {absent} not trained"
    elif len(repeated) < len(published_names) and not fails.any():
        verdict = f"untested: {len(repeated)} of {len(published_names)} networks have several seeds"
    return claim | {"verdict": verdict}


def _in_short(untrained_errors: Mapping[str, float]) -> str:
    """Why no network of a claim can be judged."""
    if not untrained_errors:
        return "nothing published says whether the dense network is trained out"
    if len(untrained_errors) > 1:
        return f"{len(untrained_errors)} dense networks not trained out"
    ((name, error),) = untrained_errors.items()
    return undertrained(error, dense_error(name))


def connected(kept: pd.DataFrame) -> dict:
    """§5.3: no architecture of Table 2 needs tuning, with any seed. One refutes it; it takes all to
    confirm it. `kept`: as from `layer_counts`."""
    kept = kept[(kept.norm == "running") & kept.model.isin(TABLE_2)]
    outcomes = kept.groupby("model").kept.min() > 0
    claim = new_claim(
        id="connected",
        group="architectures",
        section="§5.3",
        claim="Every architecture of Table 2 keeps something of every layer, without tuning",
        published="all",
        rule="count",
        runs="scored only",
        seeds=int(kept.groupby("model").seed.nunique().min()) if len(outcomes) else 0,
    )
    if outcomes.empty:
        return claim
    claim["ours"] = f"{outcomes.sum()} of {len(outcomes)}"
    absent = len(TABLE_2) - len(outcomes)
    if absent and outcomes.all():
        return claim | {"verdict": f"untested: {absent} of {len(TABLE_2)} networks not scored"}
    return claim | {"verdict": judged(outcomes)[0]}


# ------------------------------------------------------------------------------ numbers for prose


def values(rows: pd.DataFrame, scored: pd.DataFrame) -> dict[str, str]:
    """The numbers that prose quotes, by name; "–" where there are none. Errors in percent,
    differences in points. Arguments as for `claims`."""
    counts = parameter_counts()
    numbers = {"m.wrn-16-8": f"{counts.set_index('model').m['wrn-16-8'] / 1e6:.2f}"}
    for source in ("paper", "class_report"):
        printed = counts[[source, f"{source}_kept"]].ne("").to_numpy().sum()
        wrong = disagreeing(counts, source)
        numbers[f"counts.{source}"] = str(printed)
        numbers[f"counts.{source}.right"] = str(printed - len(wrong))
        numbers[f"counts.{source}.wrong"] = ", ".join(wrong) or "none"
    return numbers | survival_values(layer_counts(scored)) | cost_values(rows)
