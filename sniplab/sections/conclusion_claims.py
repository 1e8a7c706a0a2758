"""The table of claims of all sections, and what was run for them.

The conclusion reads the other sections; none reads it, nor another.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from sniplab.sections import (
    COMMITTED,
    RESULTS,
    architectures,
    architectures_lengths,
    architectures_methods,
    architectures_tuning,
    connections,
    connections_labels,
    data_and_initialization,
    data_and_initialization_batches,
    data_and_initialization_claims,
    random_labels,
    stored_rows,
    stored_table,
    sweep,
    sweep_biases,
    sweep_claims,
    sweep_collected,
    sweep_fashion,
    sweep_methods,
    sweep_published_rate,
)
from sniplab.sections.conclusion import effects, leak_difference
from sniplab.sections.connections_scored import read_tables
from sniplab.show import spanned
from sniplab.stats import quoted_table, unsigned
from sniplab.verdicts import ADDED, VERDICTS, table_of, tally_of

# The runs of each section, by the file that keeps their rows.
PLANS: dict[str, Callable[[str], Mapping]] = {
    "1_sparsity_sweep": sweep.plan,
    "1_learning_rates": sweep.rates_plan,
    "1_methods": sweep_methods.methods_plan,
    "1_biases": sweep_biases.biases_plan,
    "1_published_rate": sweep_published_rate.published_rate_plan,
    "1_defaults": sweep_collected.defaults_plan,
    "1_fashion": sweep_fashion.fashion_plan,
    "2_architectures": architectures.plan,
    "2_layers": architectures.survival_plan,
    "2_lengths": architectures_lengths.lengths_plan,
    "2_methods": architectures_methods.methods_plan,
    "2_tuning": architectures_tuning.tuning_plan,
    "3_labels": connections_labels.labels_plan,
    "4_data_and_initialization": data_and_initialization.plan,
    "4_batches": data_and_initialization_batches.batches_plan,
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
    of_pictures = read_tables(RESULTS if profile == COMMITTED else folder)
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

    A name has no spaces: "in_part.pruned_beside_dense", "effect.new_weights_under_the_mask.95",
    and by sparsity what no interval of these goes beyond, "effect_widest.95".
    """
    of_paper = claims[claims.section != ADDED]
    numbers = {"claims": str(len(of_paper))}
    words = of_paper.verdict.str.partition(":")[0]
    numbers |= {f"{verdict}.all": str((words == verdict).sum()) for verdict in VERDICTS}
    for row in tally_of(claims).to_dict("records"):
        numbers |= {f"{word}.{row['group']}": str(row[word]) for word in VERDICTS}
    for claim in claims.itertuples():
        numbers[f"verdict.{claim.id}"] = claim.verdict
    effect = effects(rows)
    numbers |= quoted_table("effect", effect, ["choice", "sparsity"])
    widest = (effect["mean"].abs() + effect.half).groupby(effect.sparsity).max()
    numbers |= {f"effect_widest.{100 * s:g}": f"{most:.2f}" for s, most in widest.items()}
    for row in stored_table("6_overlaps").itertuples():
        numbers[f"overlap.{row.choice}"] = f"{row.overlap:.2f}"
    leaks = stored_table("6_leak")
    numbers["leak_difference"] = unsigned(leak_difference(leaks)) if len(leaks) else "–"
    numbers["leak_alive"] = spanned(leaks.alive) if len(leaks) else "–"
    return {name.replace(" ", "_"): text for name, text in numbers.items()}
