"""What a run is known by, and the files that keep the rows."""

import csv
import dataclasses
import math
import os
import stat

import numpy as np
import pytest
from conftest import config, configs_of

import sniplab as lab
from sniplab.runs import config as config_file
from sniplab.runs import store


def row(**changes):
    """A finished row of a run, with the columns that are asked for."""
    fields = {n: v for n, v in changes.items() if n in lab.runs.config.COLUMNS}
    own = config(seed=changes.get("seed", 0))
    outcome = config_file.OUTCOME | config_file.CURVES | {"data": "d1", "error": 2.5}
    outcome |= {"test_curve": "3 2.5", "loss_curve": "2 1"}
    return {"run": lab.identity(own), **config_file.flat_fields(own), **outcome} | fields


# --------------------------------------------------------------------------------------- identity


def test_a_run_is_known_by_what_differs_from_the_defaults():
    plain = config(dataset="mnist")  # the model's own
    assert config_file.differences(plain) == {
        "model": "lenet-300-100", "iterations": 4, "checkpoints": 2,
    }  # fmt: skip
    changed = dataclasses.replace(plain, sparsity=0.95, dataset="digits", gates=0.0)
    own = config_file.differences(changed)
    assert own["sparsity"] == 0.95 and own["dataset"] == "digits" and own["gates"] == 0
    # By hand: SHA-256 of the sorted JSON.
    text = b'{"checkpoints": 2, "iterations": 4, "model": "lenet-300-100"}'
    assert lab.identity(plain) == config_file.hashlib.sha256(text).hexdigest()[:16]


def test_equal_values_of_other_types_are_one_run():
    assert lab.identity(config(sparsity=-0.0, method="dense")) == lab.identity(
        config(sparsity=0.0, method=np.str_("dense"))
    )
    assert lab.identity(config(seed=np.int64(3))) == lab.identity(config(seed=3))
    assert lab.identity(config(seed=3)) != lab.identity(config(seed=4))
    every = {lab.identity(config(**{name: value})) for name, value in (
        ("method", "random"), ("sparsity", 0.5), ("seed", 1), ("dataset", "mnist"), ("init", "tn"),
        ("gates", 0.0), ("reinit", "vs"), ("scoring_batch", 10), ("norm", "batch"),
        ("biases", False), ("inputs", "unit"), ("validation", True), ("labels", "random"),
        ("train_images", 5), ("test_images", 5), ("tested", "validation"), ("width", 0.5),
        ("pretrain", 5),
    )}  # fmt: skip
    assert len(every) == 18  # each field counts


STORED = sorted(
    path for path in (lab.RESULTS).glob("*.csv")
    if not path.stem.endswith(".curves") and path.open().readline().startswith("run,")
)  # fmt: skip


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_rows_have_the_identity_of_their_fields(path):
    rows = lab.read_results(path)
    assert len(rows) and rows.run.tolist() == [lab.identity(c) for c in configs_of(rows)]


def test_a_new_field_leaves_every_identity_as_it_was(monkeypatch):
    grown = dataclasses.make_dataclass(
        "Grown", [("rounds", int, dataclasses.field(default=100))], bases=(lab.Config,), frozen=True
    )
    (rounds,) = (field for field in dataclasses.fields(grown) if field.name == "rounds")
    stored = {path: lab.read_results(path) for path in STORED}
    before = {path: configs_of(rows) for path, rows in stored.items()}
    monkeypatch.setattr(config_file, "CONFIG_FIELDS", [*config_file.CONFIG_FIELDS, rounds])
    for path, rows in stored.items():
        fields = [{f.name: getattr(c, f.name) for f in dataclasses.fields(c)} for c in before[path]]
        after = [lab.identity(grown(**some)) for some in fields]
        assert after == rows.run.tolist()
    assert lab.identity(grown(**fields[0], rounds=3)) not in after  # but it does count
    # And a file without the column is read, with its default.
    monkeypatch.setitem(store.COLUMNS, "rounds", (int, 100))
    assert set(lab.read_results(STORED[0]).rounds) == {100}


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_columns_that_come_later_leave_the_others_as_they_were(path, tmp_path):
    """Of a stored file, widened as by a row that is added, to the byte."""
    old = tmp_path / path.name
    with path.open(newline="") as file:
        before = list(csv.DictReader(file))
    later = {"effective", "tested", "width", "pretrain", "rewind"}
    heads = [name for name in before[0] if name not in later]
    with old.open("w", newline="") as file:
        writer = csv.DictWriter(file, heads, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(before)
    store.append_rows(old, [row(seed=99)])
    with old.open(newline="") as file:
        *after, new = csv.DictReader(file)
    assert list(new) == list(lab.COLUMNS) and new["seed"] == "99"
    assert [{n: line[n] for n in heads} for line in after] == [
        {n: line[n] for n in heads} for line in before
    ]
    defaults = {"effective": "", "tested": "test", "width": "1.0", "pretrain": "0"}
    assert all(line[name] == text for line in after for name, text in defaults.items())


# ---------------------------------------------------------------------------------------- the file


def test_rows_are_appended_and_read_back(tmp_path):
    path = tmp_path / "r.csv"
    store.append_rows(path, [row(seed=1)])
    first = path.read_bytes()
    store.append_rows(path, [row(seed=2, status="diverged: the loss is nan", error=math.nan)])
    assert path.read_bytes().startswith(first)  # nothing is written twice
    rows = lab.read_results(path)
    assert rows.seed.tolist() == [1, 2] and rows.error.isna().tolist() == [False, True]
    assert rows.test_curve.tolist() == ["3 2.5", "3 2.5"]
    assert "3 2.5" not in path.read_text()  # a row is a line that a person can read
    assert store.curves_of(path).name == "r.curves.csv"
    assert max(map(len, path.read_text().splitlines()[1:])) < 400


def test_a_file_is_whole_wherever_a_kill_ends_it(tmp_path):
    path = tmp_path / "r.csv"
    store.append_rows(path, [row(seed=1)])
    one = path.read_bytes()
    store.append_rows(path, [row(seed=2)])
    two = path.read_bytes()
    for end in range(len(one), len(two) - 4, 17):
        path.write_bytes(two[:end])
        assert lab.read_results(path).seed.tolist() == [1]
        store.append_rows(path, [row(seed=2)])
        assert path.read_bytes() == two
    path.unlink()
    last = row(seed=2, source="MNIST, original")
    store.append_rows(path, [row(seed=1), last])
    two = path.read_bytes()
    for end in (len(two) - 4, len(two) - 1):  # in the last field, or behind it: nobody can tell
        path.write_bytes(two[:end])
        with pytest.warns(UserWarning, match="no end and is left out: if it is whole, .*add one"):
            assert lab.read_results(path).seed.tolist() == [1]
        store.append_rows(path, [last])
        assert path.read_bytes() == two
    for end in range(0, len(one) - 1, 31):  # of the first row, or of the heads
        path.write_bytes(one[:end])
        assert lab.read_results(path).empty
        store.append_rows(path, [row(seed=1)])
        assert path.read_bytes() == one


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "r.csv"
    store.append_rows(path, [row(seed=1)])
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store.os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device; a finished run .*r.*\.csv"):
            store.append_rows(path, [row(seed=2)])
    assert path.read_bytes() == before
    store.append_rows(path, [row(seed=2)])  # there is room again
    assert lab.read_results(path).seed.tolist() == [1, 2]


def test_a_link_stays_a_link_and_has_the_lock_and_the_mode_of_its_target(tmp_path):
    target, link = tmp_path / "far" / "r.csv", tmp_path / "link.csv"
    target.parent.mkdir()
    lab.run_grid([config()], target, n_jobs=1)
    target.chmod(0o640)
    link.symlink_to(target)
    lab.run_grid([config(), config(seed=1)], link, n_jobs=1)
    assert link.is_symlink() and len(lab.read_results(target)) == 2
    assert stat.S_IMODE(os.stat(target).st_mode) == 0o640
    with (
        lab.runs.grid.filelock.FileLock(f"{target}.lock"),
        pytest.raises(RuntimeError, match="another process is writing"),
    ):
        lab.run_grid([config(seed=2)], link, n_jobs=1)


def test_a_failed_line_gives_way_to_that_of_its_repetition(tmp_path):
    path = tmp_path / "r.csv"
    store.append_rows(path, [row(status="failed: MemoryError", error=math.nan), row(seed=1)])
    store.append_rows(path, [row(error=1.5)])
    rows = lab.read_results(path)
    assert rows.status.tolist() == ["ok", "ok"] and sorted(rows.error) == [1.5, 2.5]
    store.append_rows(path, [row(error=1.6)])
    with pytest.raises(ValueError, match=r"line 5 of .* is of a run that an earlier line is of"):
        lab.read_results(path)


def test_other_data_are_another_row_and_never_mixed(tmp_path):
    path = tmp_path / "r.csv"
    store.append_rows(path, [row(), row(data="d2", error=9.0), row(seed=1)])
    assert len(lab.read_results(path)) == 3
    plan = {"all": [config(), config(seed=1)]}
    with pytest.warns(UserWarning, match=r"left out \(digits d2\); those shown are of digits d1"):
        assert lab.select(plan, path).error.tolist() == [2.5, 2.5]


def test_a_column_that_came_later_has_its_default_and_is_added(tmp_path, monkeypatch):
    path = tmp_path / "r.csv"
    store.append_rows(path, [row(seed=1)])
    lines = [line.split(",") for line in path.read_text().splitlines()]
    place = lines[0].index("norm")
    path.write_text("".join(",".join(x[:place] + x[place + 1 :]) + "\n" for x in lines))
    assert lab.read_results(path).norm.tolist() == ["running"]
    store.append_rows(path, [row(seed=2)])
    assert path.read_text().splitlines()[0] == ",".join(lab.COLUMNS)
    assert lab.read_results(path).seed.tolist() == [1, 2]


def test_a_run_in_two_parts_has_a_row_in_each(tmp_path):
    path = tmp_path / "r.csv"
    store.append_rows(path, [row(seed=2), row(seed=1)])
    one, two, three = (config(seed=seed) for seed in (1, 2, 3))
    rows = lab.select({"a": [one, two], "b": [two, three], "c": [three]}, path)
    assert rows.part.tolist() == ["a", "a", "b"] and rows.seed.tolist() == [1, 2, 2]
    assert lab.select({"c": [three]}, path).empty and "part" in lab.select({"c": [three]}, path)


def test_curves_are_written_before_their_rows(tmp_path, monkeypatch):
    """A kill between the two would leave a row whose curves nobody does again."""
    written = []
    monkeypatch.setattr(store, "_append", lambda path, *_: written.append(path.name))
    store.append_rows(tmp_path / "r.csv", [row()])
    assert written == ["r.curves.csv", "r.csv"]
