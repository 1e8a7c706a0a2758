"""The conclusion: the table of claims, and choices on which implementations of SNIP differ.

It reads the other sections; none reads it, nor another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F

from snipcore import apply_masks, build_model, kept_count, prunable
from sniplab.batches import Batches
from sniplab.data import Data, draw_batch, load_data
from sniplab.methods import make_masks
from sniplab.recipe import Recipe, recipe_for
from sniplab.runs import Config, hardware, parameter_count
from sniplab.runs.worker import computing_with
from sniplab.sections import (
    COMMITTED,
    RESULTS,
    architectures,
    architectures_collected,
    architectures_lengths,
    architectures_methods,
    check_profile,
    connections,
    connections_labels,
    data_and_initialization,
    data_and_initialization_batches,
    data_and_initialization_claims,
    random_labels,
    stored_rows,
    stored_table,
    sweep,
    sweep_claims,
    sweep_collected,
    sweep_fashion,
    sweep_methods,
)
from sniplab.sections.data_and_initialization_masks import jaccard
from sniplab.show import spanned
from sniplab.stats import paired, points, t_interval, unsigned
from sniplab.training import evaluate
from sniplab.verdicts import ADDED, VERDICTS, table_of, tally_of

NETWORK = "lenet-300-100"
SPARSITIES = (0.95, 0.98)  # of Table 1


# ------------------------------------------------------------------------------------- what is run


@dataclass(frozen=True)
class Numbers:
    """What a profile says of this section."""

    iterations: int
    seeds: int
    leak_iterations: int = 540  # one epoch: a second or two for each seed
    leak_seeds: int = 10


NUMBERS = {
    "smoke": Numbers(iterations=20, seeds=2, leak_iterations=20, leak_seeds=2),
    "quick": Numbers(iterations=180, seeds=3, leak_iterations=180, leak_seeds=3),
    "desktop": Numbers(iterations=25_000, seeds=5),
    "paper": Numbers(iterations=75_000, seeds=20),
}

USUAL = "as elsewhere"
CHOICES = {  # where public implementations differ: changes of a Config
    USUAL: {},
    "gradient without the weight": {"method": "gradient"},
    "biases neither pruned nor counted": {"biases": False},
    "new weights under the mask": {"reinit": "vs"},
}


def plan(profile: str, dataset: str = "mnist") -> dict[str, list[Config]]:
    """NETWORK pruned to SPARSITIES by each of CHOICES: by its name, the runs.

    Raises ValueError for an unknown profile.
    """
    check_profile(profile)
    numbers = NUMBERS[profile]
    recipe = recipe_for(NETWORK, numbers.iterations, 10)
    return {
        name: [
            Config(NETWORK, recipe, sparsity=sparsity, seed=seed, dataset=dataset, **changed)
            for seed in range(numbers.seeds)
            for sparsity in SPARSITIES
        ]
        for name, changed in CHOICES.items()
    }


def effects(rows: pd.DataFrame) -> pd.DataFrame:
    """The test error by each other choice minus that by the usual one, as from `paired`, for each
    `choice` and sparsity. Rows as from `rows_of`."""
    usual = rows[rows.part == USUAL]
    other_choices = rows[rows.part != USUAL].rename(columns={"part": "choice"})
    return paired(other_choices, usual, ["choice", "sparsity"], ("model", "sparsity", "seed"))


# ------------------------------------------------------------------ what is measured in no run


def measure_overlaps(data: Data) -> pd.DataFrame:
    """How far the mask of each choice is that of the usual one, by the Jaccard overlap, at 95 %
    with seed 0: choice, overlap, source, hardware."""
    device, masks = data.x_train.device, {}
    x, y = draw_batch(data, 100, seed=0)
    for name, changed in CHOICES.items():
        model = build_model(NETWORK, seed=0).to(device)
        options = {"method": changed.get("method", "snip"), "biases": changed.get("biases", True)}
        masks[name] = make_masks(model, sparsity=0.95, x=x, y=y, seed=0, **options)
    rows = [(name, jaccard(mask, masks[USUAL])) for name, mask in masks.items()]
    table = pd.DataFrame(rows, columns=["choice", "overlap"])
    return table.assign(source=data.source, hardware=hardware(device))


LEAKY = 0.98  # sparsity


def leak(data: Data, steps: int, seed: int) -> dict:
    """Train with the mask before each forward pass only, as some implementations do: how many
    pruned weights are `alive`, not zero, after the last step, the test error in percent as the
    network stands, and that with the mask applied."""
    device = data.x_train.device
    recipe = Recipe(steps, stages=1, checkpoints=1)  # a constant rate, as the reference has
    model = build_model(NETWORK, seed=seed).to(device)
    masks = make_masks(model, "snip", LEAKY, *draw_batch(data, 100, seed), seed)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay
    )
    batches = Batches(data, recipe, seed)
    for step in range(steps):
        apply_masks(model, masks)
        images, labels = batches.take(step)
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    alive = sum(int((w[~masks[name]] != 0).sum()) for name, w in prunable(model).items())
    as_it_stands = evaluate(model, data.x_test, data.y_test)
    apply_masks(model, masks)
    masked = evaluate(model, data.x_test, data.y_test)
    return {"seed": seed, "alive": alive, "as it stands": as_it_stands, "mask applied": masked}


def measure_leak(data: Data, profile: str) -> pd.DataFrame:
    """`leak` for each seed, with iterations, pruned (parameters), test_images, source and
    hardware."""
    numbers = NUMBERS[profile]
    table = pd.DataFrame(
        [leak(data, numbers.leak_iterations, seed) for seed in range(numbers.leak_seeds)]
    )
    m = parameter_count(NETWORK)
    return table.assign(
        iterations=numbers.leak_iterations,
        pruned=m - kept_count(m, LEAKY),
        test_images=len(data.y_test),
        source=data.source,
        hardware=hardware(data.x_train.device),
    )


def leaks_of(profile: str, dataset: str, device: str | None) -> pd.DataFrame:
    """`measure_leak`; under the committed profile, of MNIST, as it is stored."""
    if profile == COMMITTED and dataset == "mnist":
        return stored_table("6_leak")
    return measure_leak(load_data(dataset, device=device), profile)


def leak_difference(leaks: pd.DataFrame) -> str:
    """The test error as the network stands minus that with the mask applied, in points."""
    differences = leaks["as it stands"] - leaks["mask applied"]
    low, high = t_interval(differences)
    return points(differences.mean(), (high - low) / 2)


def write_stored(folder: Path) -> None:
    """Measure the small tables of the committed report into a folder, on MNIST, on the CPU with one
    thread."""
    data = load_data("mnist", device="cpu")
    with computing_with(1, torch.device("cpu")):  # last digits depend on it
        measure_overlaps(data).to_csv(folder / "6_overlaps.csv", index=False)
        measure_leak(data, COMMITTED).to_csv(folder / "6_leak.csv", index=False)


# --------------------------------------------------------------------------- the table of claims

# The runs of each section, by the file that keeps their rows.
PLANS: dict[str, Callable[[str], Mapping]] = {
    "1_sparsity_sweep": sweep.plan,
    "1_learning_rates": sweep.rates_plan,
    **sweep_collected.PLANS,
    "2_architectures": architectures.plan,
    "2_layers": architectures.survival_plan,
    **architectures_collected.PLANS,
    "3_labels": connections_labels.labels_plan,
    "4_data_and_initialization": data_and_initialization.plan,
    "4_batches": data_and_initialization_batches.batches_plan,
    "4_more_seeds": data_and_initialization.more_seeds_plan,
    "5_random_labels": random_labels.plan,
}


def known_rows(profile: str, folder: Path) -> dict[str, pd.DataFrame]:
    """The rows that there are of the other sections' runs, by the file that keeps them, in `folder`
    and in RESULTS; nothing is run."""
    return {name: stored_rows(name, plan(profile), folder) for name, plan in PLANS.items()}


# Sections with claims and numbers of their own runs, by the file of these.
MAIN = (
    (sweep_claims, "1_sparsity_sweep"),
    (data_and_initialization_claims, "4_data_and_initialization"),
    (random_labels, "5_random_labels"),
)
# The same of runs that are collected over many days, and of others that they stand beside.
COLLECTED = (
    (sweep_methods, ("1_methods", "1_sparsity_sweep")),
    (sweep_fashion, ("1_fashion", "1_sparsity_sweep")),
    (architectures_lengths, ("2_lengths", "2_architectures")),
    (architectures_methods, ("2_methods", "2_architectures")),
    (connections_labels, ("3_labels", "1_sparsity_sweep", "1_fashion")),
    (data_and_initialization_batches, ("4_batches",)),
)


def claims_table(rows: Mapping[str, pd.DataFrame], profile: str, folder: Path) -> pd.DataFrame:
    """The claims of all sections under a profile, as from `table_of`.

    Args:
        rows: as from `known_rows`.
        folder: of the profile, where tables are that were measured in no run.
    """
    of_pictures = connections.read_tables(RESULTS if profile == COMMITTED else folder)
    claims = architectures.claims(rows["2_architectures"], rows["2_layers"])
    claims += connections.claims(of_pictures)
    for module, name in MAIN:
        claims += module.claims(rows[name], PLANS[name](profile))
    for module, names in COLLECTED:
        claims += module.claims(*(rows[name] for name in names), PLANS[names[0]](profile))
    return table_of(claims)


# ------------------------------------------------------------------------------- runs and data


def runs_and_data(rows: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What was run, by file of rows: a line for each data set and machine, with networks, runs,
    seeds, iterations and hours of training."""
    lines = []
    for name, rows_of_file in rows.items():
        runs = rows_of_file.drop_duplicates(["run", "data"])
        # Older rows say "1 cores".
        runs = runs.assign(hardware=runs.hardware.str.replace(r"\b1 cores", "1 core", regex=True))
        for (source, machine), group in runs.groupby(["source", "hardware"], sort=False):
            lines.append(
                {
                    "rows": name,
                    "networks": group.model.nunique(),
                    "runs": len(group),
                    "seeds": spanned(group.groupby("model").seed.nunique()),
                    "iterations": spanned(group.iterations),
                    "hours": group.seconds.sum() / 3600,
                    "data": source,
                    "machine": machine,
                }
            )
    return pd.DataFrame(lines)


# ------------------------------------------------------------------------------ numbers for prose


def values(rows: pd.DataFrame, claims: pd.DataFrame) -> dict[str, str]:
    """The numbers that prose quotes, formatted; "–" where there are none.

    Args:
        rows: of this section's plan.
        claims: of all sections, as from `claims_table`.

    A name has no spaces: "in_part.pruned_beside_dense", "effect.new_weights_under_the_mask.95".
    """
    of_paper = claims[claims.section != ADDED]
    numbers = {"claims": str(len(of_paper))}
    words = of_paper.verdict.str.partition(":")[0]
    numbers |= {f"{verdict}.all": str((words == verdict).sum()) for verdict in VERDICTS}
    for row in tally_of(claims).to_dict("records"):
        numbers |= {f"{word}.{row['group']}": str(row[word]) for word in VERDICTS}
    for claim in claims.itertuples():
        numbers[f"verdict.{claim.id}"] = claim.verdict
    for row in effects(rows).itertuples():
        name = f"{row.choice}.{100 * row.sparsity:.0f}"
        numbers |= {f"effect.{name}": row.text, f"effect_verdict.{name}": row.verdict}
    for row in stored_table("6_overlaps").itertuples():
        numbers[f"overlap.{row.choice}"] = f"{row.overlap:.2f}"
    leaks = stored_table("6_leak")
    numbers["leak_difference"] = unsigned(leak_difference(leaks)) if len(leaks) else "–"
    numbers["leak_alive"] = spanned(leaks.alive) if len(leaks) else "–"
    return {name.replace(" ", "_"): text for name, text in numbers.items()}
