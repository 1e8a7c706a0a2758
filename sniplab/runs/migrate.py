"""Bring files of results that older versions wrote up to date: `python -m sniplab.runs.migrate FILE
…`.

Version 6 knew a run by a hash of all its fields and its data, and kept the curves in the rows. The
old identity of each row is checked before it gets its new one; nothing else of it changes.
"""

import csv
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from sniplab.runs.config import COLUMNS, CONFIG_FIELDS, OUTCOME, Config, flat_fields, identity
from sniplab.runs.store import append_rows, curves_of
from sniplab.training import Recipe

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


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {migrate(Path(name))} rows brought up to date")
