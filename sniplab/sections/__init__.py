"""What the sections of the report share: names of profiles, where results lie, how rows are had.

A section is the files that begin with its name: what it runs under each profile (`plan`), what it
claims (`claims`), its tables, its figures (`draw_…`) and the numbers of its prose (`values`). A
plan is a dictionary from the name of a part to the runs of that part; one run may be in several
parts.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path

import numpy as np
import pandas as pd

from snipcore import check_known
from sniplab.runs import Config, parts_of, run_grid, select

PROFILES = ("smoke", "quick", "desktop", "paper")
COMMITTED = "desktop"  # the profile of the committed report: drawn from RESULTS, nothing is run
RESULTS = Path(__file__).resolve().parents[2] / "results"  # the committed report's rows

Plan = Mapping[str, Sequence[Config]]


@dataclass(frozen=True)
class Length:
    """How long a profile trains a network, and with how many seeds."""

    iterations: int
    checkpoints: int = 1
    seeds: int = 1


def check_profile(profile: str) -> None:
    """Raise ValueError for an unknown profile."""
    check_known(profile, PROFILES, "profile")


def collected(part: str) -> Callable[[Callable[[], list[Config]]], Callable[[str], Plan]]:
    """Of a function that lists runs, make a plan of one part: of the committed report, and empty
    under other profiles. Rows of such a plan are collected over many days; no claim is judged
    before all of its own are there."""

    def decorator(runs: Callable[[], list[Config]]) -> Callable[[str], Plan]:
        @wraps(runs)
        def plan(profile: str) -> Plan:
            check_profile(profile)
            return {part: runs() if profile == COMMITTED else []}

        return plan

    return decorator


def check_counts(**counts: int | None) -> None:
    """Raise ValueError for a number of seeds or steps that is not whole, or below 1; None is the
    profile's own."""
    for name, value in counts.items():
        if value is not None and (not isinstance(value, int | np.integer) or value < 1):
            raise ValueError(f"{name} {value!r}: at least 1, and whole; None for the profile's own")


def several(values: object) -> tuple | None:
    """One name or number, as papermill's -p gives it, or several, as a tuple without repetitions;
    None: the profile's own."""
    if values is None:
        return None
    alone = isinstance(values, str) or not isinstance(values, Iterable)
    return tuple(dict.fromkeys([values] if alone else values))


def chosen(
    choice: str | Iterable[str] | None,
    known_names: Iterable[str],
    kind: str,
    own: Iterable[str] | None = None,
) -> Iterable[str] | None:
    """The names that are asked for, or the profile's own. Raises ValueError for an unknown one."""
    names = own if choice is None else several(choice)
    for name in names or ():
        check_known(name, known_names, kind)
    return names


def output_folder(profile: str, out: str | os.PathLike | None = None) -> Path:
    """The folder of a profile's results and figures, made if need be: `out`, or build/<profile>
    beside this package.

    Raises ValueError for an unknown profile, OSError where the folder cannot be written.
    """
    check_profile(profile)
    folder = Path(out).expanduser() if out else RESULTS.parent / "build" / profile
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):  # found out now, not after an hour of training
        pass
    return folder


def rows_of(
    section: str,
    plan: Plan,
    profile: str,
    folder: Path,
    n_jobs: int = -1,
    device: str | None = None,
) -> pd.DataFrame:
    """The rows of a section's plan, a row for each part that a run is in, named in column `part`.

    Under the committed profile they are read from RESULTS/<section>.csv, and what is missing there
    is left out; under the others what is missing is run and kept in `folder`. Errors as for
    `run_grid`.
    """
    stored = RESULTS / f"{section}.csv"
    if profile == COMMITTED:
        return select(plan, stored)
    configs = list(dict.fromkeys(config for part in plan.values() for config in part))
    known_rows = stored if stored.exists() else None  # not before the first of its rows is in
    rows = run_grid(configs, folder / f"{section}.csv", n_jobs, device, known_rows)
    return parts_of(rows, plan)


def stored_rows(section: str, plan: Plan, folder: Path) -> pd.DataFrame:
    """The rows of a plan that there are, in `folder` and in RESULTS; nothing is run. For those who
    read another section."""
    folders = dict.fromkeys((folder, RESULTS))
    return select(plan, *(folder / f"{section}.csv" for folder in folders))


def cut_in_two(rows: pd.DataFrame) -> pd.Series:
    """The rows whose masks leave no path from input to output: such networks guess."""
    return rows.collapsed.str.contains("no path").astype(bool)


def stored_table(name: str) -> pd.DataFrame:
    """A small table of what was measured without training, RESULTS/<name>.csv; empty where there is
    none."""
    path = RESULTS / f"{name}.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame()
