"""Files that hold a row of each run, and beside each the curves of its runs."""

import csv
import io
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path

import numpy as np
import pandas as pd

from sniplab.checkpoint import replacing
from sniplab.runs.config import COLUMNS, CURVES, Config, identity

KEY = ["run", "data"]  # one row for each: the same configuration on other data is another row


def curves_of(path: Path) -> Path:
    """The file of the curves of the runs in `path`: "sweep.csv" has "sweep.curves.csv"."""
    return path.with_name(f"{path.stem}.curves{path.suffix}")


# ----------------------------------------------------------------------------------------- reading


def read_results(path: str | os.PathLike) -> pd.DataFrame:
    """The rows that `run_grid` wrote to `path`, with their curves; none if there is no such file.

    A column that the file lacks is read as its default. A last line without an end, as a kill
    leaves one, is no row yet; where it might be whole, a warning says so.

    Raises ValueError for a column that is not known, by name, for a damaged or foreign file, and
    where two lines are of the same run; a failed one gives way to the line of its repetition.
    """
    path = Path(path).expanduser()
    heads, lines = _read_lines(path, "results")
    if unknown := [name for name in heads if name not in COLUMNS]:
        raise ValueError(
            f"{path} has a column that this version of sniplab does not know: "
            f"{', '.join(unknown)}; read it with the version that wrote it"
        )
    missing = [name for name, (_, d) in COLUMNS.items() if d is MISSING and name not in heads]
    if lines and missing:
        raise ValueError(f"{path} is no file of results: it lacks {', '.join(missing)}")
    columns = dict(zip(heads, zip(*lines, strict=True), strict=True)) if lines else {}
    rows = pd.DataFrame({
        name: columns[name] if name in columns else [_text(default)] * len(lines)
        for name, (_, default) in COLUMNS.items()
    })  # fmt: skip
    try:
        rows = typed(rows)
    except ValueError as error:
        raise ValueError(f"{path} holds what is no result: {error}; move it away") from error
    failed = rows.status.str.startswith("failed") & rows.duplicated(KEY, keep="last")
    rows = rows[~failed]
    if (duplicates := rows.duplicated(KEY)).any():
        n = duplicates.idxmax() + 2
        raise ValueError(f"line {n} of {path} is of a run that an earlier line is of: delete one")
    return _with_curves(rows.reset_index(drop=True), curves_of(path))


def _with_curves(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    heads, lines = _read_lines(path, "curves")
    if lines and heads != [*KEY, *CURVES]:
        raise ValueError(f"{path} is no file of curves; move it away")
    curves = {(run, data): texts for run, data, *texts in lines}  # the last of each run
    cells = [curves.get(key, [""] * len(CURVES)) for key in zip(rows.run, rows.data, strict=True)]
    return rows.join(pd.DataFrame(cells, rows.index, list(CURVES), dtype=str))


def _read_lines(path: Path, kind: str) -> tuple[list[str], list[list[str]]]:
    """The heads and the whole lines of a file; a line without an end is left out."""
    if not path.exists():
        return [], []
    text = path.read_bytes().decode("utf-8", errors="replace")
    end = text.rfind("\n") + 1
    try:
        lines = list(csv.reader(io.StringIO(text[:end], newline=""), strict=True))
    except csv.Error as error:  # a field without end
        raise ValueError(
            f"{path} is damaged, as by a power cut ({error}); delete what follows its last whole "
            "line, and what is lost is done again"
        ) from error
    # Of a file that was killed at its first line there is a beginning.
    if lines[0][:1] != ["run"] if lines else not "run,".startswith(text[:4]):
        raise ValueError(f"{path} is no file of {kind}; move it away, or write elsewhere")
    for number, line in enumerate(lines, 1):
        if len(line) != len(lines[0]):
            raise ValueError(
                f"line {number} of {path} is torn, as by a copy cut short; delete that line, and "
                "its run is done again"
            )
    if lines and len(next(csv.reader([text[end:]]), [])) == len(lines[0]):
        warnings.warn(
            f"the last line of {path} has no end and is left out: if it is whole, as where an "
            "editor took the end away, add one; else its run is done again",
            UserWarning,
            stacklevel=4,
        )
    return (lines[0], lines[1:]) if lines else ([], [])


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Each column as its type, read from text or not, in the order of COLUMNS; then the curves."""
    rows = rows[[name for name in (*COLUMNS, *CURVES) if name in rows]]
    columns = {}
    for name, (kind, _) in COLUMNS.items():
        if kind is bool:
            if wrong := set(rows[name].astype(str)) - {"True", "False"}:
                raise ValueError(f"{name} {min(wrong)!r}, neither True nor False")
            columns[name] = rows[name].astype(str) == "True"
        elif kind is str:
            columns[name] = pd.Series(list(map(str, rows[name])), rows.index, dtype=str)
        else:  # "" is written for NaN
            values = [kind("nan" if value == "" else value) for value in rows[name]]
            columns[name] = np.array(values, dtype=kind)
    return rows.assign(**columns)


# ----------------------------------------------------------------------------------------- writing


def append_rows(path: Path, rows: Iterable[Mapping]) -> None:
    """Add finished runs to `path`, and their curves to the file beside it. Whoever reads meanwhile,
    or after a kill at any byte, finds each row whole or not at all.

    Raises OSError, naming the file, where it cannot be written; then it is as it was.
    """
    rows = list(rows)
    _widen(path)
    # Curves first: a row that is there has its curves.
    _append(curves_of(path), [*KEY, *CURVES], [row for row in rows if any(map(row.get, CURVES))])
    _append(path, list(COLUMNS), rows)


def _widen(path: Path) -> None:
    """Give an older file the columns that have come since; its rows get their defaults."""
    if not path.exists():
        return
    with path.open("rb") as file:
        heads = file.readline().decode(errors="replace")
    if heads.endswith("\n") and heads != _as_text([COLUMNS]):
        lines = read_results(path)[list(COLUMNS)].to_numpy(object).tolist()
        with replacing(path, "w", encoding="utf-8", newline="") as file:
            file.write(_as_text([COLUMNS, *lines]))


def _append(path: Path, heads: Sequence[str], rows: Sequence[Mapping]) -> None:
    if not rows:
        return
    lines = [[row[name] for name in heads] for row in rows]
    with path.open("ab+", buffering=0) as file:
        file.seek(0)
        end = file.read().rfind(b"\n") + 1  # of the last whole line
        file.truncate(end)  # of a line that a kill has torn
        data = _as_text([heads, *lines] if end == 0 else lines).encode()
        try:
            while data:
                data = data[file.write(data) :]
            os.fsync(file.fileno())
        except OSError as error:  # a full disk, say: what was there stays readable
            file.truncate(end)
            message = f"{error.strerror}; a finished run could not be written"
            raise OSError(error.errno, message, str(path)) from error


def _as_text(lines: Iterable[Iterable]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(map(_text, line) for line in lines)
    return out.getvalue()


def _text(value) -> str:
    """A value as a line keeps it: "" for NaN, a number in the digits that give it back."""
    if isinstance(value, float):
        return "" if value != value else repr(float(value))
    return " ".join(str(value).split())  # a row is one line


# --------------------------------------------------------------------------------- rows of a plan


def parts_of(rows: pd.DataFrame, plan: Mapping[str, Sequence[Config]]) -> pd.DataFrame:
    """Rows of the runs of `plan`, one for each part that a run is in, named in column `part`, in
    the order of the plan; runs without a row are left out."""
    places = dict(zip(rows.run, range(len(rows)), strict=True))
    pairs = [
        (part, places[run])
        for part, configs in plan.items()
        for run in map(identity, configs)
        if run in places
    ]
    planned_rows = rows.iloc[[place for _, place in pairs]].reset_index(drop=True)
    return planned_rows.assign(part=pd.Series([part for part, _ in pairs], dtype=str))


def select(plan: Mapping[str, Sequence[Config]], *paths: str | os.PathLike) -> pd.DataFrame:
    """The rows of a plan in files of results, as `parts_of` gives them; no image is loaded, nothing
    is run.

    Of a run that is in several files the row of the first is taken. Rows of one data set under two
    digests are never mixed: those of the first row stay, and a warning names the others.
    """
    rows = pd.concat([read_results(path) for path in paths], ignore_index=True)
    runs = {identity(config) for configs in plan.values() for config in configs}
    rows = rows[rows.run.isin(runs)]
    first = rows.drop_duplicates("dataset").set_index("dataset").data
    other_data = rows.data != rows.dataset.map(first)
    if other_data.any():
        names = ", ".join(sorted(set(rows.dataset[other_data] + " " + rows.data[other_data])))
        digest_text = ", ".join(f"{name} {digest}" for name, digest in first.items())
        text = f"rows of other data are left out ({names}); those shown are of {digest_text}"
        warnings.warn(text, UserWarning, stacklevel=2)
    rows = rows[~other_data]
    failed = rows.status.str.startswith("failed")
    ended = pd.concat([rows[~failed], rows[failed]])  # a failed one hides no good one
    return parts_of(ended.drop_duplicates("run"), plan)
