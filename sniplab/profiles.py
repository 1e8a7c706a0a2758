"""What each section of the report runs under each profile, and where it writes."""

import dataclasses
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from snipcore import MODELS, check_known
from sniplab.grid import Config
from sniplab.training import PROTOCOLS, REFERENCE, recipe_for

ALL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)

CONTROLS = ("shuffled", "magnitude", "random")

EPOCH = {"mnist": 540, "cifar10": 351}  # iterations, of the whole train split

# Table I by what a step costs; the Wide ResNets' take 3 to 6 of a ResNet-18's.
CHEAP = ("alexnet-s", "alexnet-b", "squeezenet-vanilla", "squeezenet-bypass", "googlenet")
DEAR = ("vgg-c", "vgg-d", "vgg-like", "resnet-18", "densenet-201", "densenet-264")


def _epochs(count: int, seeds: int = 1) -> tuple[int, int, int]:
    """Iterations, checkpoints and seeds of so many epochs of CIFAR-10, one checkpoint each."""
    return count * EPOCH["cifar10"], count, seeds


# What each section runs under each profile. The sweep: iterations, seeds, checkpoints, and the
# sparsities for each method; a dense run for each seed is always among them. The connections of the
# first layer: seeds; each scores once for every class, and nothing is trained. Architectures:
# images of a scoring batch and of a training batch (0: as in the protocol), test images (0: all),
# and for each network that is trained iterations, checkpoints and seeds; every network is scored.
# Data and initialisation: iterations, seeds and scoring batches (0: the whole train split); and,
# for each network of the initialisers, iterations and seeds. Random labels: iterations, seeds,
# train images (0: all) and sparsities, of SNIP and of random pruning alike; few images, because a
# network must see each of them often to learn it by heart.
PROFILES = {
    "smoke": {
        "sweep": {
            "lenet-300-100": (
                40,
                2,
                2,
                {"snip": (0.5, 0.9, 0.98), **dict.fromkeys(CONTROLS, (0.9,))},
            ),
            "lenet-5-caffe": (10, 2, 1, {"snip": (0.9,), "random": (0.9,)}),
        },
        "connections": 1,
        "architectures": (8, 8, 100, dict.fromkeys(("squeezenet-vanilla", "gru-s"), (3, 1, 1))),
        "random_labels": {
            "lenet-5-caffe": (5, 1, 200, (0.99,)),
            "lenet-300-100": (20, 2, 200, (0.99,)),
        },
        "data_and_init": ((20, 2, (1, 100, 0)), {"lenet-300-100": (20, 2), "gru-s": (6, 1)}),
    },
    "quick": {
        "sweep": {
            "lenet-300-100": (1080, 3, 4, {"snip": ALL, **dict.fromkeys(CONTROLS, (0.9, 0.99))}),
            "lenet-5-caffe": (900, 3, 2, {"snip": (0.9,), "random": (0.9,)}),
        },
        "connections": 3,
        "architectures": (32, 24, 1000, dict.fromkeys((*CHEAP, "lstm-s", "gru-s"), (40, 1, 1))),
        "random_labels": {
            "lenet-5-caffe": (150, 2, 500, (0.9, 0.99)),
            "lenet-300-100": (200, 3, 500, (0.9, 0.99)),
        },
        "data_and_init": (
            (360, 3, (1, 10, 100, 1000, 10_000, 0)),
            {
                "lenet-300-100": (360, 3),
                "lenet-5-caffe": (60, 2),
                "lstm-s": (140, 2),
                "gru-s": (140, 2),
            },
        ),
    },
    "desktop": {
        "sweep": {
            "lenet-300-100": (2700, 3, 10, dict.fromkeys(("snip", *CONTROLS), ALL)),
            "lenet-5-caffe": (
                1080,
                3,
                4,
                {"snip": ALL, **dict.fromkeys(CONTROLS, (0.9, 0.95, 0.98, 0.99))},
            ),
        },
        "connections": 10,
        "architectures": (
            *(0, 0, 0),
            {
                **dict.fromkeys((*CHEAP, "densenet-121", "densenet-169"), _epochs(12)),
                **dict.fromkeys(DEAR, _epochs(6)),
                "resnet-34": _epochs(4),
                **dict.fromkeys(("lstm-s", "gru-s"), (15_000, 15, 3)),
                **dict.fromkeys(("lstm-b", "gru-b"), (10_000, 10, 1)),
                "googlenet-full": _epochs(12),
                "wrn-16-8": _epochs(3),
            },
        ),
        "random_labels": {
            "lenet-5-caffe": (900, 3, 3000, (0.5, 0.8, 0.9, 0.95, 0.99)),
            "lenet-300-100": (1500, 5, 3000, (0.5, 0.8, 0.9, 0.95, 0.99)),
        },
        "data_and_init": (
            (1620, 5, (1, 10, 100, 1000, 10_000, 0)),
            {
                "lenet-300-100": (1080, 5),
                "lenet-5-caffe": (300, 3),
                "lstm-s": (720, 3),
                "gru-s": (720, 3),
            },
        ),
    },
    "paper": {
        "sweep": {
            "lenet-300-100": (75_000, 20, 75, dict.fromkeys(("snip", *CONTROLS), ALL)),
            "lenet-5-caffe": (75_000, 20, 75, dict.fromkeys(("snip", *CONTROLS), ALL)),
        },
        "connections": 20,
        "architectures": (
            *(0, 0, 0),
            {
                name: (PROTOCOLS[spec.dataset].iterations, 75, 20)
                for name, spec in MODELS.items()
                if spec.sparsity
            },
        ),
        "random_labels": {
            "lenet-5-caffe": (75_000, 20, 0, (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)),
            "lenet-300-100": (75_000, 20, 0, (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)),
        },
        "data_and_init": (
            (75_000, 20, (1, 10, 100, 1000, 10_000, 0)),
            dict.fromkeys(("lenet-300-100", "lenet-5-caffe", "lstm-s", "gru-s"), (75_000, 20)),
        ),
    },
}


def sweep_configs(
    profile: str, dataset: str = "mnist", seeds: int | None = None, iterations: int | None = None
) -> list[Config]:
    """The runs of the sparsity sweep (§5.1, §5.2), seed by seed.

    Args:
        profile: one of PROFILES.
        seeds, iterations: in place of the profile's own.
    """
    check_known(profile, PROFILES, "profile")
    configs = []
    for model, plan in PROFILES[profile]["sweep"].items():
        steps, repeats, checkpoints, pruned = plan
        recipe = recipe_for(model, iterations or steps, checkpoints)
        cells = [("dense", 0.0), *((m, s) for m, sparsities in pruned.items() for s in sparsities)]
        configs += [
            Config(model, recipe, method, sparsity, seed, dataset)
            for seed in range(seeds or repeats)
            for method, sparsity in cells
        ]
    return sorted(configs, key=lambda config: config.seed)


# Networks that batch statistics cut, and that are cheap to train.
CUT = ("squeezenet-vanilla", "squeezenet-bypass", "googlenet")


def architecture_configs(
    profile: str,
    models: Iterable[str] | None = None,
    epochs: int | None = None,
    seeds: int | None = None,
) -> list[Config]:
    """The runs of Table I (§5.3), seed by seed: each network dense and pruned, and those of CUT
    with the mask of batch statistics, too.

    Args:
        profile: one of PROFILES.
        models, epochs, seeds: in place of the profile's own.
    """
    check_known(profile, PROFILES, "profile")
    scoring, training, tested, lengths = PROFILES[profile]["architectures"]
    configs = []
    for name in models or lengths:
        spec = MODELS[name]
        iterations, checkpoints, repeats = lengths.get(name, (EPOCH[spec.dataset], 1, 1))
        if epochs:
            iterations, checkpoints = epochs * EPOCH[spec.dataset], epochs
        recipe = recipe_for(name, iterations, checkpoints)
        if spec.family == "Recurrent" and profile == "desktop":  # the published shape, shortened
            recipe = dataclasses.replace(recipe, schedule="stages")
        options = {
            "recipe": dataclasses.replace(recipe, batch_size=training or recipe.batch_size),
            "scoring_batch": scoring or recipe.batch_size,
            "test_images": tested,
        }
        for seed in range(seeds or repeats):
            options["seed"] = seed
            configs.append(Config(name, method="dense", sparsity=0.0, **options))
            configs.append(Config(name, sparsity=spec.sparsity, **options))
            if name in CUT:
                configs.append(Config(name, sparsity=spec.sparsity, norm="batch", **options))
    return sorted(configs, key=lambda config: config.seed)


TABLE_1 = {  # the published cells of SNIP, under the published protocol: sparsities, seeds
    "lenet-300-100": ((0.95, 0.98), 20),
    "lenet-5-caffe": ((0.98, 0.99), 3),
}
SOME = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
REFERENCE_SWEEP = {  # what the reference does by default: sparsities of the controls, seeds
    "lenet-300-100": (SOME, 5),
    "lenet-5-caffe": ((0.5, 0.9, 0.95, 0.98, 0.99), 3),
}
SCORING_BATCHES = (1, 10, 100, 1000, 10_000, 0)  # Fig. 3; 0: the whole train split


def table_1_configs() -> list[Config]:
    """Table 1 at full length: dense, and SNIP at the sparsities that are published."""
    configs = []
    for model, (sparsities, seeds) in TABLE_1.items():
        recipe = recipe_for(model, 75_000, 75)
        for seed in range(seeds):
            configs.append(Config(model, recipe, "dense", 0.0, seed))
            configs += [Config(model, recipe, "snip", s, seed) for s in sparsities]
    return configs


def reference_configs() -> list[Config]:
    """The sweep under the reference's own defaults: 10,000 steps of plain SGD, and new weights
    under the mask, which all runs of a seed share."""
    configs = []
    for model, (controlled, seeds) in REFERENCE_SWEEP.items():
        cells = [("dense", 0.0), *(("snip", s) for s in ALL)]
        cells += [(method, s) for method in CONTROLS for s in controlled]
        for seed in range(seeds):
            configs += [Config(model, REFERENCE, *cell, seed, reinit="vs") for cell in cells]
    return configs


def scoring_batch_configs() -> list[Config]:
    """Fig. 3 at full length: LeNet-300-100 at 90 % by the number of images it is scored on."""
    recipe = recipe_for("lenet-300-100", 75_000, 75)
    return [
        Config("lenet-300-100", recipe, "snip", 0.9, seed, scoring_batch=size)
        for seed in range(10)
        for size in SCORING_BATCHES
    ]


RESULTS = Path(__file__).resolve().parent.parent / "results"  # the committed report's rows

SECTIONS = {  # the runs of the committed report, by the file in RESULTS that keeps their rows
    "1_sparsity_sweep": lambda: [*table_1_configs(), *reference_configs()],
    "2_architectures": lambda: architecture_configs("desktop"),
    "4_data_and_initialization": scoring_batch_configs,
}


def output_folder(profile: str, out: str | os.PathLike | None = None) -> Path:
    """The folder of a profile's results and figures, made if need be: `out`, or build/<profile>
    beside this module.

    Raises ValueError for an unknown profile, OSError where the folder cannot be written.
    """
    check_known(profile, PROFILES, "profile")
    folder = (
        Path(out).expanduser()
        if out
        else Path(__file__).resolve().parent.parent / "build" / profile
    )
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):  # found out now, not after an hour of training
        pass
    return folder
