"""What a run is known by, and the files that keep the rows."""

import csv
import dataclasses
import math
import os
import stat

import numpy as np
import pandas as pd
import pytest

import sniplab as lab
from sniplab.runs import config as config_file
from sniplab.runs import migrate, store

RECIPE = lab.Recipe(20, checkpoints=2)


def config(**changes):
    return lab.Config(
        **({"model": "lenet-300-100", "recipe": RECIPE, "dataset": "digits"} | changes)
    )


def row(**changes):
    """A finished row of a run with so many iterations and what else is asked for."""
    fields = {n: v for n, v in changes.items() if n in lab.runs.config.COLUMNS}
    own = config(seed=changes.get("seed", 0))
    outcome = config_file.OUTCOME | config_file.CURVES | {"data": "d1", "error": 2.5}
    outcome |= {"test_curve": "3 2.5", "loss_curve": "2 1"}
    return {"run": lab.identity(own), **config_file.flat_fields(own), **outcome} | fields


# --------------------------------------------------------------------------------------- identity


def test_a_run_is_known_by_what_differs_from_the_defaults():
    plain = config(dataset="mnist")  # the model's own
    assert config_file.differences(plain) == {
        "model": "lenet-300-100", "iterations": 20, "checkpoints": 2,
    }  # fmt: skip
    changed = dataclasses.replace(plain, sparsity=0.95, dataset="digits", gates=0.0)
    own = config_file.differences(changed)
    assert own["sparsity"] == 0.95 and own["dataset"] == "digits" and own["gates"] == 0
    # By hand: SHA-256 of the sorted JSON.
    text = b'{"checkpoints": 2, "iterations": 20, "model": "lenet-300-100"}'
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


def as_configs(rows):
    """The configuration of each stored row."""
    names = [field.name for field in config_file.CONFIG_FIELDS]
    recipe = [field.name for field in config_file.RECIPE_FIELDS]
    for line in rows.to_dict("records"):
        fields = {name: line[name] for name in names}
        yield lab.Config(recipe=lab.Recipe(**{name: line[name] for name in recipe}), **fields)


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_rows_have_the_identity_of_their_fields(path):
    rows = lab.read_results(path)
    assert len(rows) and rows.run.tolist() == [lab.identity(c) for c in as_configs(rows)]


def test_a_new_field_leaves_every_identity_as_it_was(monkeypatch):
    grown = dataclasses.make_dataclass(
        "Grown", [("rounds", int, dataclasses.field(default=100))], bases=(lab.Config,), frozen=True
    )
    (rounds,) = (field for field in dataclasses.fields(grown) if field.name == "rounds")
    stored = {path: lab.read_results(path) for path in STORED}
    before = {path: list(as_configs(rows)) for path, rows in stored.items()}
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
    for end in range(len(one), len(two), 3):
        path.write_bytes(two[:end])
        assert lab.read_results(path).seed.tolist() == [1]
        store.append_rows(path, [row(seed=2)])
        assert path.read_bytes() == two
    for end in range(0, len(one), 7):  # of the first row, or of the heads
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


# --------------------------------------------------------------------------------------- migration


def version_6(own, **changes):
    """A row as version 6 wrote it."""
    fields = config_file.flat_fields(own)
    identity = {"version": 6, **fields, "data": "d1"}
    text = config_file.json.dumps(identity, sort_keys=True).encode()
    run = config_file.hashlib.sha256(text).hexdigest()[:16]
    names = [name for name in config_file.OUTCOME if name not in ("data", "error_last_five")]
    outcome = {name: config_file.OUTCOME[name] for name in names} | config_file.CURVES
    return {"run": run, **identity, **outcome} | changes


def write_version_6(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), quoting=csv.QUOTE_NONNUMERIC)
        writer.writeheader()
        writer.writerows({n: "" if v != v else v for n, v in some.items()} for some in rows)


def test_rows_of_version_6_get_their_new_identity(tmp_path):
    path, own = tmp_path / "r.csv", [config(), config(seed=1, biases=False)]
    curve = "9 1 7 6 5 4 3 3.5"
    write_version_6(path, [
        version_6(own[0], error=3.5, error_best=1.0, test_curve=curve),
        version_6(own[1], status="diverged: the loss is nan"),
    ])  # fmt: skip
    with pytest.raises(ValueError, match=r"version, .*python -m sniplab.runs.migrate"):
        lab.read_results(path)
    assert migrate.migrate(path) == 2
    rows = lab.read_results(path)
    assert rows.run.tolist() == [lab.identity(c) for c in own] and set(rows.data) == {"d1"}
    assert rows.error_last_five[0] == 3.0 and rows.error_best[0] == 1.0
    assert rows.test_curve.tolist() == [curve, ""] and rows.biases.tolist() == [True, False]
    assert math.isnan(rows.error_last_five[1])
    assert migrate.migrate(path) == 0  # up to date
    pd.testing.assert_frame_equal(lab.read_results(path), rows)


def test_a_row_that_was_changed_by_hand_is_refused(tmp_path):
    path = tmp_path / "r.csv"
    write_version_6(path, [version_6(config()) | {"sparsity": 0.5}])
    before = path.read_bytes()
    with pytest.raises(ValueError, match="does not fit its identity: it was changed by hand"):
        migrate.migrate(path)
    assert path.read_bytes() == before


def test_the_effective_share_is_filled_in_where_the_masks_are_the_same(tmp_path, monkeypatch):
    """Of old rows: one as it was run, one of another processor's mask, one dense, one of other
    data, one pruned after training, and one that shares its mask with the first."""
    short = lab.Recipe(2, checkpoints=1)
    runs = [
        config(recipe=short, method="random", sparsity=0.98),
        config(recipe=short, method="random", sparsity=0.95),
        config(recipe=short, method="dense", sparsity=0.0),
        config(recipe=short, method="random", sparsity=0.9),
        config(recipe=short, method="random", sparsity=0.98, pretrain=2),
        config(recipe=short, method="random", sparsity=0.98, reinit="vs", train_images=500),
    ]
    path = tmp_path / "r.csv"
    rows = lab.run_grid(runs, path, n_jobs=1).assign(effective=math.nan)
    share = lab.read_results(path).effective[0]
    rows.loc[1, "masks"], rows.loc[3, "data"] = "0123456789ab", "other"
    store.rewrite(path, rows)
    made, real = [], migrate.prepare
    monkeypatch.setattr(migrate, "prepare", lambda *how: made.append(how) or real(*how))
    assert migrate.fill_effective(path, ["lenet-5-caffe"]) == {}
    counts = {migrate.FILLED: 2, migrate.OTHER_MASKS: 1, migrate.OTHER_DATA: 1}
    assert migrate.fill_effective(path) == counts and len(made) == 2
    filled = lab.read_results(path)
    assert filled.effective.isna().tolist() == [False, True, True, True, True, False]
    assert filled.effective[0] == filled.effective[5] == share
    rest = [name for name in lab.COLUMNS if name != "effective"]
    pd.testing.assert_frame_equal(filled[rest], rows[rest])
    curves = store.curves_of(path).read_bytes()
    assert migrate.fill_effective(path)[migrate.FILLED] == 0  # nothing is left that could be
    assert store.curves_of(path).read_bytes() == curves
