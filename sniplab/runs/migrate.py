"""Bring files of results that older versions wrote up to date.

    python -m sniplab.runs.migrate FILE …
    python -m sniplab.runs.migrate --effective [--model NAME] FILE …

Version 6 knew a run by a hash of all its fields and its data, and kept the curves in the rows. The
old identity of each row is checked before it gets its new one; nothing else of it changes.

Rows older than the column `effective` lack it; with --effective their masks are made anew to fill
it.
"""

import argparse
import csv
import dataclasses
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import torch

from sniplab.data import load_data
from sniplab.recipe import Recipe
from sniplab.runs.config import (
    COLUMNS,
    CONFIG_FIELDS,
    OUTCOME,
    RECIPE_FIELDS,
    Config,
    flat_fields,
    identity,
)
from sniplab.runs.grid import alone
from sniplab.runs.store import append_rows, curves_of, read_results, rewrite
from sniplab.runs.worker import computing_with, images_of, prepare

LAST = 5  # checkpoints, of which the reference implementation reports the best


def _value(text: str, kind: type):
    return text == "True" if kind is bool else kind(text)


def from_version_6(line: Mapping[str, str]) -> dict:
    """A row of version 6, column by column as text, as a row of today.

    Raises ValueError where the row's identity is not that of its fields.
    """
    heads = list(line)
    fields = {n: _value(line[n], COLUMNS[n][0]) for n in heads[2 : heads.index("data")]}
    old = json.dumps({"version": 6, **fields, "data": line["data"]}, sort_keys=True)
    if hashlib.sha256(old.encode()).hexdigest()[:16] != line["run"]:
        raise ValueError(f"row {line['run']} does not fit its identity: it was changed by hand")
    own = {field.name: fields.pop(field.name) for field in CONFIG_FIELDS if field.name in fields}
    config = Config(recipe=Recipe(**fields), **own)
    outcome = {}
    for name, value in OUTCOME.items():
        text = line.get(name, "")
        outcome[name] = value if text == "" else _value(text, type(value))
    if line["test_curve"]:
        outcome["error_last_five"] = min(map(float, line["test_curve"].split()[-LAST:]))
    curves = {name: line[name] for name in ("loss_curve", "error_curve", "test_curve")}
    return {"run": identity(config), **flat_fields(config), **outcome, **curves}


def migrate(path: Path) -> int:
    """Rewrite a file of version 6, and its curves beside it; the number of its rows, 0 where it is
    up to date. The file as it was is kept as `<name>.version-6`.

    Raises ValueError where a row does not fit its identity, or the file is of no known version.
    """
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    if not lines or "version" not in lines[0]:
        return 0
    if versions := {line["version"] for line in lines} - {"6"}:
        raise ValueError(f"{path} is of version {', '.join(sorted(versions))}; only 6 is known")
    rows = [from_version_6(line) for line in lines]
    draft = path.with_name(f"{path.stem}.new.csv")
    append_rows(draft, rows)
    path.rename(path.with_name(f"{path.name}.version-6"))
    if curves_of(draft).exists():  # not of runs that only score
        curves_of(draft).rename(curves_of(path))
    draft.rename(path)
    return len(rows)


FILLED, OTHER_MASKS, OTHER_DATA = "filled", "other masks here", "other data here"


def config_of(row: Mapping) -> Config:
    """The configuration of a row that `read_results` gave."""
    own = {field.name: row[field.name] for field in CONFIG_FIELDS}
    return Config(recipe=Recipe(**{field.name: row[field.name] for field in RECIPE_FIELDS}), **own)


@lru_cache(maxsize=64)
def _masks_again(config: Config, threads: int, data: str) -> dict | None:
    """The outcome columns of a run that only scores; None where its data here are not `data`."""
    found = _data(config.dataset)
    if found.digest != data:
        return None
    with computing_with(threads, torch.device("cpu")):
        return prepare(config, images_of(config, found)[0])[2]


@lru_cache
def _data(name: str):
    return load_data(name, device="cpu")


def fill_effective(path: Path, models: Iterable[str] | None = None) -> Counter:
    """Fill the column `effective` of the rows of a file that have masks but lack it. The masks are
    made anew, on the CPU, with as many threads, and what is measured on them is written only where
    their digest is the row's: processors round scores otherwise. Nothing else changes, and nothing
    is trained: rows that were pruned after training are left out.

    Args:
        models: only of these networks; None: of all.

    Returns how many rows are FILLED, and of how many the masks or the data here are others.
    """
    counts = Counter()
    with alone(path.resolve()):
        rows = read_results(path)
        lacking = (rows.masks != "") & rows.effective.isna() & (rows.pretrain == 0)
        if models is not None:
            lacking &= rows.model.isin(models)
        for place, row in zip(rows.index[lacking], rows[lacking].to_dict("records"), strict=True):
            # What only training asks for is left out: rows that share their masks share the work.
            config = dataclasses.replace(
                config_of(row),
                recipe=Recipe(0, checkpoints=0),
                reinit="",
                validation=False,
                labels="true",
                train_images=0,
                test_images=0,
            )
            again = _masks_again(config, row["threads"], row["data"])
            if again is None:
                counts[OTHER_DATA] += 1
            elif again["masks"] != row["masks"]:
                counts[OTHER_MASKS] += 1
            elif not math.isnan(again["effective"]):
                rows.loc[place, "effective"] = again["effective"]
                counts[FILLED] += 1
        if counts[FILLED]:
            rewrite(path, rows)
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE", type=Path)
    parser.add_argument(
        "--effective", action="store_true", help="fill the column, training nothing"
    )
    parser.add_argument("--model", action="append", help="with --effective: only rows of this one")
    given = parser.parse_args()
    for path in given.files:
        print(f"{path}: {migrate(path)} rows brought up to date")
        if given.effective:
            found = fill_effective(path, given.model)
            print(f"{path}: effective: {', '.join(f'{n} {w}' for w, n in found.items()) or 'none'}")
