"""`run_grid`: resumable, exact about what it did, and never a damaged file."""

import copy
import dataclasses
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import filelock
import joblib
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from conftest import RECIPE, TIMES, config

import snipcore as snip
import sniplab as lab
from sniplab.connectivity import effective_fraction
from sniplab.engines import train_with
from sniplab.runs.config import shapes, width_for
from sniplab.sections.architectures_layers import layer_counts


def noted(monkeypatch, look):
    """A list that fills with what `look` says of the runs, each time that some are to be done."""
    seen, real = [], lab.runs.worker.run

    def run(configs, *how, **keep):
        seen.append(look(configs))
        return real(configs, *how, **keep)

    monkeypatch.setattr(lab.runs.worker, "run", run)
    return seen


GRID = [config(seed=s, sparsity=k) for s in (0, 1) for k in (0.5, 0.9, 0.99)]
TEN = lab.Recipe(2, batch_size=10, checkpoints=1)
SMALL = {"dataset": "mnist", "recipe": TEN, "scoring_batch": 10}  # forty images are enough


def test_rows_say_what_was_run(tmp_path, digits):
    configs = [
        config(),
        config(method="dense", sparsity=0.0),
        config(method="random"),
        config(reinit="vs-x"),
    ]
    rows = lab.run_grid(configs, tmp_path / "deep" / "results.csv", n_jobs=1)
    assert list(rows.columns) == [*lab.COLUMNS, *lab.CURVES]
    assert rows.status.tolist() == ["ok"] * 4 and rows.source.unique().tolist() == [digits.source]
    assert (
        rows.m.unique().tolist() == [266_610]
        and rows.kept.tolist() == [26_661, 266_610] + [26_661] * 2
    )
    assert rows.masks[0] == rows.masks[3] != rows.masks[2] and rows.masks[1] == ""
    assert rows.error[0] != rows.error[3]  # other weights under the same mask
    assert (rows.error_best <= rows.error).all() and rows.iterations.unique().tolist() == [4]
    assert rows.run.is_unique and (rows.seconds > 0).all()
    files = sorted(path.name for path in (tmp_path / "deep").glob("*.csv"))
    assert files == ["results.csv", "results.curves.csv"]

    model = snip.build_model("lenet-300-100")
    x, y = lab.draw_batch(digits, 100, seed=0)
    masks = snip.keep_top(snip.sensitivity(model.to(x.device), x, y), 0.9)
    assert lab.digest(masks) == rows.masks[0]
    history = lab.train(model, digits, RECIPE, masks, seed=0)
    assert abs(history.error - rows.error[0]) < 1  # but for the number of threads


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*masks empty a layer or cut their network")
def test_runs_that_only_score(tmp_path, digits):
    """Counts of the layers against masks made by hand; two kinds of statistics, and again."""
    scored = lab.Recipe(0, checkpoints=0)
    configs = [
        config(model="gru-s", recipe=scored, norm=norm, sparsity=0.99)
        for norm in ("running", "batch")
    ]
    configs += [config(recipe=scored), config(recipe=scored, method="dense", sparsity=0.0)]
    configs += [config(model="gru-s", recipe=scored, method="magnitude", sparsity=0.9999)]
    rows = lab.run_grid(configs, tmp_path / "r.csv", n_jobs=2)
    assert rows.status.tolist() == ["ok"] * 5 and rows.error.isna().all()
    assert rows.engine.tolist() == [""] * 5 and rows.trained_in.tolist() == [""] * 5
    assert rows.layers[0] == rows.layers[1] and rows.layers[3] == ""  # a GRU normalises nothing

    model = snip.build_model("lenet-300-100")
    x, y = lab.draw_batch(digits, 100, seed=0)
    masks = snip.keep_top(snip.sensitivity(model.to(x.device), x, y), 0.9)
    counts = layer_counts(rows)
    lenet = counts[counts.model == "lenet-300-100"].reset_index(drop=True)
    weights = {name: mask for name, mask in masks.items() if name.endswith("weight")}
    assert lenet.layer.tolist() == list(weights) and lenet.number.tolist() == [1, 2, 3]
    assert lenet.kept.tolist() == [int(mask.sum()) for mask in weights.values()]
    assert lenet["size"].tolist() == [784 * 300, 300 * 100, 100 * 10]
    assert lenet.path.all()
    whole, cut = counts[counts.model == "gru-s"].iloc[:8], counts.iloc[-4:]
    assert len(counts) == 8 + 3 + 4 and whole.path.all() and (whole.kept > 0).all()
    assert not cut.path.any() and (cut.kept == 0).any() and cut.kept.sum() <= 10  # of 103,690

    again = lab.run_grid(configs, tmp_path / "r.csv", n_jobs=1)  # other threads, and nothing to do
    pd.testing.assert_frame_equal(again, rows)
    more = [dataclasses.replace(c, seed=1) for c in configs]
    assert len(lab.run_grid(configs + more, tmp_path / "r.csv", n_jobs=1)) == 10
    half = lab.run_grid(configs[:1], tmp_path / "half.csv", n_jobs=1)
    both = lab.run_grid(configs[:2], tmp_path / "half.csv", n_jobs=2)  # not compared: no pair
    assert both.threads[0] == half.threads[0]


def test_a_network_is_drawn_once_for_all_that_scores_it(tmp_path, monkeypatch):
    """By its seed and initialiser; to draw a large one takes longer than to score it."""
    drawn, real = [], lab.runs.worker.build_model

    def recorded(name, init, seed, **gates_and_width):
        drawn.append((init, seed))
        return real(name, init, seed, **gates_and_width)

    monkeypatch.setattr(lab.runs.worker, "build_model", recorded)
    scored = {"recipe": lab.Recipe(0, checkpoints=0), "scoring_batch": 10}
    configs = [
        config(**scored, init=init, seed=seed, method=method, sparsity=sparsity, reinit=reinit)
        for init, seed in (("vs", 0), ("vs", 1), ("rn", 0))
        for method, sparsity, reinit in (
            ("snip", 0.9, "rn"),
            ("snip", 0.5, ""),
            ("random", 0.5, ""),
        )
    ]
    together = lab.run_grid(configs, tmp_path / "together.csv", n_jobs=1)
    assert sorted(drawn) == [("rn", 0), ("vs", 0), ("vs", 1)]
    for number, one in enumerate(configs):
        alone = lab.run_grid([one], tmp_path / f"{number}.csv", n_jobs=1)
        pd.testing.assert_frame_equal(
            alone, together[together.run == alone.run[0]].reset_index(drop=True)
        )


@pytest.mark.slow
def test_the_hardware_names_the_vector_units():
    """Rows of two processors differ in their last digits by these, not by the name."""
    assert f", {torch.backends.cpu.get_cpu_capability()}, torch" in lab.hardware()
    code, without = "import sniplab; print(sniplab.hardware())", {"ATEN_CPU_CAPABILITY": "default"}
    ask = {"capture_output": True, "text": True, "check": True, "timeout": 300}
    told = subprocess.run([sys.executable, "-c", code], env=os.environ | without, **ask).stdout
    assert ", DEFAULT, torch" in told


def test_rows_that_are_there_are_not_run_again(tmp_path, monkeypatch):
    runs = noted(monkeypatch, lambda configs: [config.sparsity for config in configs])
    path = tmp_path / "results.csv"
    first = lab.run_grid(GRID[:2], path, n_jobs=1)
    both = lab.run_grid([GRID[2], GRID[1], GRID[1], GRID[2]], path, n_jobs=1)  # each of them twice
    assert sorted(runs) == [[0.5], [0.9], [0.99]]
    assert both.sparsity.tolist() == [0.99, 0.9, 0.9, 0.99] and len(lab.read_results(path)) == 3
    for row in (1, 2):
        pd.testing.assert_series_equal(both.iloc[row], first.iloc[1], check_names=False)
    again = lab.run_grid([dataclasses.replace(c, seed=np.int64(0)) for c in GRID[:2]], path)
    pd.testing.assert_frame_equal(again, first)  # a NumPy seed will do, and nothing is lost on disk
    assert len(runs) == 3


def test_random_labels_train_alone_and_leave_the_mask(tmp_path, digits):
    configs = [
        config(labels=labels, train_images=200, recipe=lab.Recipe(150, checkpoints=1, lr=0.05))
        for labels in ("true", "random")
    ]
    rows = lab.run_grid(configs, tmp_path / "results.csv", n_jobs=1)
    true, noise = rows.iloc[0], rows.iloc[1]
    assert true.masks == noise.masks  # scored on the true labels of the whole train split
    assert true.error < 40 and noise.error > 70  # tested on true labels, and 200 images are few
    assert true.train_error < 1 and true.train_loss < noise.train_loss
    for row in (true, noise):
        loss, wrong = (np.array(c.split(), float) for c in (row.loss_curve, row.error_curve))
        assert len(loss) == len(wrong) == lab.CURVE_POINTS
        assert abs(loss[-10:].mean() - row.train_loss) < 0.01
        assert abs(wrong[-10:].mean() - row.train_error) < 1
        assert 2 < loss[0] < 3 and 60 < wrong[0] <= 100


def test_curves_are_means_of_equal_parts():
    assert lab.curve_text(np.arange(1000.0)).split()[:2] == ["4.5", "14.5"]
    assert lab.curve_text(np.array([1.5, 2.0])) == "1.5 2"


def test_each_outcome_has_its_own_column():
    errors = [3.0, 1.0, 7.0, 5.0, 4.0, 8.0, 6.0]
    history = lab.History(np.zeros(7), np.ones(7), [*range(7)], errors, 70.0, 0.1, "bfloat16")
    row = lab.runs.worker._result(history, "sparse")
    assert (row["error"], row["error_best"], row["error_last_five"]) == (6.0, 1.0, 4.0)
    assert (row["train_loss"], row["train_error"], row["test_curve"]) == (0, 1, "3 1 7 5 4 8 6")
    assert (row["seconds"], row["step_seconds"]) == (70.0, 0.1)


def test_what_collapsed_is_in_the_row(tmp_path):
    configs = [config(method="magnitude", sparsity=0.98), config(sparsity=0.98)]
    warning = "1 of 2 masks empty a layer or cut.*lenet-300-100, magnitude, fc1.weight; no path"
    with pytest.warns(UserWarning, match=warning):
        rows = lab.run_grid(configs, tmp_path / "results.csv", n_jobs=1)
    assert rows.collapsed.tolist() == ["fc1.weight; no path from input to output", ""]
    assert rows.status.tolist() == ["ok", "ok"]  # trained all the same


def test_other_data_are_another_run(tmp_path, monkeypatch, archive):
    path = tmp_path / "results.csv"
    mnist = config(**SMALL)
    with pytest.warns(UserWarning, match="going on with 5,000 real MNIST digits"):
        before = lab.run_grid([mnist], path, n_jobs=1)
    np.savez(tmp_path / "mnist.npz", **archive, source="forty random images")
    monkeypatch.setenv("SNIP_DATA", str(tmp_path))
    after = lab.run_grid([mnist], path, n_jobs=1)
    assert after.source[0] == "forty random images" != before.source[0]
    assert len(lab.read_results(path)) == 2


def test_a_run_that_fails_or_diverges_is_a_row_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    path = tmp_path / "results.csv"
    diverging = config(recipe=dataclasses.replace(RECIPE, lr=1e20))
    impossible = config(method="random")

    def broken(*how):
        raise MemoryError("no room")

    method = dataclasses.replace(lab.METHODS["random"], masks=broken)
    monkeypatch.setitem(lab.METHODS, "random", method)
    with pytest.warns(UserWarning, match="2 of 3 runs did not end well.*diverged: "):
        rows = lab.run_grid([diverging, impossible, config()], path, n_jobs=1)
    assert rows.status[0].startswith("diverged: the loss is ")
    assert rows.status[1] == "failed: MemoryError: no room"
    assert "in broken" in capsys.readouterr().err  # where: a method of one's own
    assert rows.status[2] == "ok" and rows.error.isna().tolist() == [True, True, False]
    summary = lab.summarize(rows, ["model"])
    assert summary.n[0] == 1 and summary.lost[0] == 2 and summary["mean"][0] == rows.error[2]

    # called again, it tries what failed once more, and nothing else
    tried = []
    monkeypatch.setattr(
        lab.runs.worker, "run", lambda cs, *_, **__: tried.extend(cs) or [{"error": 1.0}]
    )
    with pytest.warns(UserWarning, match="1 of 3"):
        rows = lab.run_grid([diverging, impossible, config()], path, n_jobs=1)
    assert tried == [impossible] and rows.status[1] == "ok"
    assert len(lab.read_results(path)) == 3

    with warnings.catch_warnings(action="error"):  # who only reads was warned when they were done
        assert len(lab.select({"both": [diverging, impossible]}, path)) == 2


def test_a_run_has_its_threads_and_the_caller_his_own_back(tmp_path, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(lab.runs.grid.joblib, "cpu_count", lambda: before + 1)
    seen = noted(monkeypatch, lambda _: torch.get_num_threads())
    rows = lab.run_grid([config()], tmp_path / "results.csv", n_jobs=1)
    assert seen == [before + 1] == rows.threads.tolist() and torch.get_num_threads() == before


def test_known_rows_are_not_run_again(tmp_path):
    known, path = tmp_path / "known.csv", tmp_path / "results.csv"
    first = lab.run_grid(GRID[:2], known, n_jobs=1)
    rows = lab.run_grid(GRID[:3], path, n_jobs=1, known=known)
    pd.testing.assert_frame_equal(rows.iloc[:2], first)  # seconds and all
    assert lab.read_results(path).run.tolist() == [rows.run[2]]
    assert len(lab.read_results(known)) == 2
    # One of our own that failed, by want of memory, say, does not hide it; one that ended does.
    failed = first.assign(status=["failed: MemoryError", "ok"], error=[math.nan, 7.0])
    own = tmp_path / "own.csv"
    lab.runs.store.append_rows(own, failed.to_dict("records"))
    for rows in (
        lab.run_grid(GRID[:2], own, n_jobs=1, known=known),
        lab.select({"both": GRID[:2]}, own, known),
    ):
        assert rows.status.tolist() == ["ok", "ok"]
        assert rows.error.tolist() == [first.error[0], 7.0]
    with pytest.raises(FileNotFoundError, match=r"there is no .*typo.csv"):
        lab.run_grid(GRID[:3], path, n_jobs=1, known=tmp_path / "typo.csv")
    nowhere = tmp_path / "nowhere"
    assert lab.select({"one": GRID[:1]}, nowhere / "results.csv").empty
    assert not nowhere.exists()  # who only reads makes no folder


def test_known_rows_that_make_no_pair_with_new_ones_are_done_anew(tmp_path):
    """A sweep that went on from stored rows of one thread stopped where it had several."""
    known, pair = tmp_path / "known.csv", [config(method="dense", sparsity=0.0), config()]
    first = lab.run_grid(pair[:1], known, n_jobs=1)
    other = tmp_path / "other.csv"
    lab.runs.store.append_rows(other, first.assign(threads=99).to_dict("records"))
    with pytest.warns(UserWarning, match="1 stored rows were trained in another precision or with"):
        rows = lab.run_grid(pair, tmp_path / "results.csv", n_jobs=1, known=other)
    assert rows.threads.nunique() == 1 and rows.threads[0] != 99
    pd.testing.assert_series_equal(rows.error[:1], first.error)
    # A run that diverged has no precision to differ in: it is known, and no warning is said of it.
    status = ["diverged: the loss is nan at iteration 1"]
    diverged = first.assign(status=status, error=math.nan, trained_in="", threads=99)
    lab.runs.store.append_rows(tmp_path / "diverged.csv", diverged.to_dict("records"))
    with pytest.warns(UserWarning, match="did not end well") as said:
        rows = lab.run_grid(
            pair[:1], tmp_path / "again.csv", n_jobs=1, known=tmp_path / "diverged.csv"
        )
    assert rows.status.tolist() == status and len(said) == 1


def test_known_rows_of_other_data_are_named_and_run_again(tmp_path, monkeypatch, archive):
    small = config(**SMALL)
    monkeypatch.setenv("SNIP_DATA", str(tmp_path))
    np.savez(tmp_path / "mnist.npz", **archive)
    lab.run_grid([small], tmp_path / "known.csv", n_jobs=1)
    other = archive | {"x_train": archive["x_train"][::-1]}
    np.savez(tmp_path / "mnist.npz", **other)
    with pytest.warns(UserWarning, match="stored rows are of other data .* so the runs are done"):
        lab.run_grid([small], tmp_path / "results.csv", n_jobs=1, known=tmp_path / "known.csv")
    # Known rows that nobody asks for are no reason to warn, which would be an error here.
    unknown = dataclasses.replace(small, seed=1)
    lab.run_grid([unknown], tmp_path / "more.csv", n_jobs=1, known=tmp_path / "known.csv")


def test_the_same_images_from_two_places_are_the_same_data(tmp_path, monkeypatch, archive):
    np.savez(tmp_path / "mnist.npz", **archive, source="one place")
    one = lab.load_data("mnist", tmp_path, "cpu")
    monkeypatch.setattr(lab.data, "_from_torchvision", lambda name, root: archive)
    two = lab.load_data("mnist", tmp_path / "nothing", "cpu")
    assert one.source != two.source and one.digest == two.digest != ""
    changed = archive | {"y_test": archive["y_test"][::-1].astype(np.int64)}
    monkeypatch.setattr(lab.data, "_from_torchvision", lambda name, root: changed)
    assert lab.load_data("mnist", tmp_path / "nothing", "cpu").digest != one.digest


def test_a_pair_is_never_of_two_precisions(tmp_path):
    both = [
        config(method="dense", sparsity=0.0),
        config(recipe=dataclasses.replace(RECIPE, precision="bfloat16")),
    ]
    with pytest.raises(
        ValueError, match=r"in float32 with .* and some in bfloat16 with .*: name one"
    ):
        lab.run_grid(both, tmp_path / "results.csv", n_jobs=1)
    for units in (True, False):  # of the first processor
        auto = [dataclasses.replace(c, recipe=dataclasses.replace(RECIPE, precision="auto"))
                for c in (config(method="dense", sparsity=0.0), config())]  # fmt: skip
        path = tmp_path / f"{units}.csv"
        with pytest.MonkeyPatch.context() as patch:  # another processor goes on with the rest
            patch.setattr(lab.training, "has_bfloat16", lambda device, has=units: has)
            lab.run_grid(auto[:1], path, n_jobs=1)
            patch.setattr(lab.training, "has_bfloat16", lambda device, has=not units: has)
            with pytest.raises(ValueError, match="name one precision"):
                lab.run_grid(auto, path, n_jobs=1)


def test_a_pair_is_never_of_two_numbers_of_threads(tmp_path, monkeypatch):
    pair = [config(method="dense", sparsity=0.0), config()]
    monkeypatch.setattr(lab.runs.grid.joblib, "cpu_count", lambda: 1)
    lab.run_grid(pair[:1], tmp_path / "results.csv", n_jobs=1)
    monkeypatch.setattr(lab.runs.grid.joblib, "cpu_count", lambda: 2)
    with pytest.raises(ValueError, match="with 1 thread and some in float32 with 2 threads: name"):
        lab.run_grid(pair, tmp_path / "results.csv", n_jobs=1)


def test_what_is_not_run_has_no_precision(tmp_path, monkeypatch):
    # Half of a pair, trained where there are bfloat16 units, is read where there are none.
    recipe = dataclasses.replace(RECIPE, precision="auto")
    pair = [config(recipe=recipe, method="dense", sparsity=0.0), config(recipe=recipe)]
    path = tmp_path / "results.csv"
    monkeypatch.setattr(lab.training, "has_bfloat16", lambda device: True)
    lab.run_grid(pair[:1], path, n_jobs=1)
    monkeypatch.setattr(lab.training, "has_bfloat16", lambda device: False)
    rows = lab.select({"pair": pair}, tmp_path / "mine.csv", path)
    assert rows.trained_in.tolist() == ["bfloat16"]


def test_a_checkpoint_that_no_call_can_open_is_not_left(tmp_path, monkeypatch):
    # One of a stack fails: repeated, it is alone, and has a checkpoint of another name.
    real = lab.runs.worker.make_masks

    def broken(model, method, sparsity, *how):
        if sparsity == 0.99:
            raise ValueError("no such mask")
        return real(model, method, sparsity, *how)

    monkeypatch.setattr(lab.runs.worker, "make_masks", broken)
    stack = [config(sparsity=s) for s in (0.95, 0.98, 0.99)]
    with pytest.warns(UserWarning, match="1 of 3 runs did not end well"):
        rows = lab.run_grid(stack, tmp_path / "results.csv", n_jobs=1, checkpoint_seconds=0)
    assert rows.engine.tolist() == ["stacked", "stacked", ""]
    assert not (tmp_path / "results.checkpoints").exists()


def test_float32_is_not_rounded_to_tf32(tmp_path, monkeypatch):
    seen = noted(monkeypatch, lambda _: torch.get_float32_matmul_precision())
    torch.set_float32_matmul_precision("high")
    try:
        lab.run_grid([config()], tmp_path / "results.csv", n_jobs=1)
        assert seen == ["highest"] and torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_convolutions_on_cuda_are_neither_rounded_nor_chosen_by_a_clock(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    names = ("enabled", "benchmark", "deterministic", "allow_tf32")

    def switches():
        return [getattr(torch.backends.cudnn, name) for name in names]

    before = switches()
    with lab.runs.machine.computing_with(
        1, torch.device("cuda")
    ):  # switches alone: no GPU is needed
        assert switches() == [True, False, True, False]
    assert switches() == before


def test_unit_inputs_are_the_stored_pixels_of_every_channel(small_data):
    stored = torch.rand(40, 3, 4, 4)
    stored *= 0.5  # of images without a white pixel, too
    mean, std = torch.tensor([[0.4, 0.5, 0.6], [0.1, 0.3, 0.2]]).view(2, 3, 1, 1)
    images = dict.fromkeys(("x_train", "x_val", "x_test"), (stored - mean) / std)
    ends = {"black": (0 - mean) / std, "white": (1 - mean) / std}
    unit = lab.runs.worker._from_0_to_1(dataclasses.replace(small_data, **images, **ends))
    torch.testing.assert_close(unit.x_test, stored)


def test_operations_are_deterministic_on_cuda(tmp_path, monkeypatch, device):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    seen = noted(monkeypatch, lambda _: torch.are_deterministic_algorithms_enabled())
    rows = lab.run_grid([config()], tmp_path / "results.csv", n_jobs=1, device=device)
    assert rows.status[0] == "ok" and seen == [device.type == "cuda"]
    with lab.runs.machine.computing_with(
        1, torch.device("cuda")
    ):  # switches alone: no GPU is needed
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with lab.runs.machine.computing_with(1, torch.device("cuda")):
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def alone(config, folder):
    """A task of one run."""
    spec = snip.MODELS[config.model]
    precision = config.recipe.precision
    return lab.runs.worker.Task((config,), "masked", precision, "", "", folder, spec, ())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_worker_trains_in_the_precision_that_was_settled_for_all(tmp_path, precision):
    """Not in what "auto" comes to on its own processor: the machines of a cluster differ."""
    auto = config(recipe=dataclasses.replace(RECIPE, precision="auto"))
    data = lab.load_data("digits", device="cpu").digest
    task = dataclasses.replace(alone(auto, tmp_path), precision=precision, data=data)
    place = lab.runs.worker.Placement("cpu", 1, os.getpid(), None, 30.0)
    _, (row,) = lab.runs.worker.do_task(task, place)
    assert (row["status"], row["trained_in"], row["precision"]) == ("ok", precision, "auto")
    assert row["run"] == lab.identity(auto)


def test_how_long_is_left(tmp_path):
    bar = lab.runs.bar
    configs = [config(recipe=lab.Recipe(100), sparsity=s) for s in (0.5, 0.6, 0.7)]
    tasks = [alone(c, tmp_path) for c in configs]
    rows = lab.read_results(tmp_path / "none.csv")
    assert np.isnan(bar.seconds_left(tasks, rows, 1))
    tasks[0].file(".steps").write_text("40 0.5")  # 60 steps of 0.5 s; the others are as long
    assert bar.seconds_left(tasks, rows, 1) == pytest.approx(30 + 50 + 50)
    assert bar.seconds_left(tasks, rows, 2) == pytest.approx(65)
    assert bar.seconds_left(tasks[1:2], rows, 2) == pytest.approx(math.nan, nan_ok=True)
    scored = {"model": "lenet-300-100", "engine": "", "step_seconds": math.nan}  # spoils nothing
    trained = scored | {"engine": "masked", "step_seconds": 2.0}
    rows = pd.DataFrame([scored, trained])
    assert bar.seconds_left(tasks[1:2], rows, 1) == pytest.approx(200)
    tasks[1].file(".steps").write_text("")  # read while it is written
    assert bar.seconds_left(tasks[1:2], rows, 1) == pytest.approx(200)
    assert [bar.hours(s) for s in (40, 720, 12_000)] == ["40 s", "12 min", "3.3 h"]


# ----------------------------------------------------------------------------------- bad input


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    path = tmp_path_factory.mktemp("two_runs") / "results.csv"
    lab.run_grid(GRID[:2], path, n_jobs=1)
    return path.parent


@pytest.fixture
def written(two_runs, tmp_path):
    shutil.copytree(two_runs, tmp_path, dirs_exist_ok=True)
    return tmp_path / "results.csv"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[: text.rindex("stacked")] + "\n", "line 3 of .* torn.*delete that line"),
        (lambda text: text[:-40] + "\n", "is damaged"),
        (lambda text: text.replace("error_best", "best"), "does not know: best; read it"),
        (lambda text: text.replace(",model,", ",sparsity,"), "is no file of results.*model"),
        (lambda text: "name,age\nAda,36\n", "is no file of results"),
        (lambda text: "\x00\x01 no text at all", "is no file of results"),
        (lambda text: text + "\0" * 200_000 + "\n", "is damaged, as by a power cut"),
        (lambda text: text.replace("True", "TRUE"), "biases 'TRUE', neither True nor False"),
        (lambda text: text + text.splitlines(keepends=True)[1], "line 4 of .* an earlier line"),
    ],
)
def test_files_that_cannot_be_gone_on_with(written, spoil, message):
    written.write_text(spoil(written.read_text()))
    before = written.read_text()
    with pytest.raises(ValueError, match=message):
        lab.run_grid(GRID, written, n_jobs=1)
    assert written.read_text() == before


@pytest.mark.parametrize(
    "source", ["a\u2028b", "a\x85b", "a\x0cb", "a\rb", "a\nb", 'a,"b"', "a\r\nb"]
)
def test_any_sentence_survives_the_file(tmp_path, monkeypatch, archive, source):
    monkeypatch.setenv("SNIP_DATA", str(tmp_path))
    np.savez(tmp_path / "mnist.npz", **archive, source=source)
    small = config(**SMALL)
    for _ in range(2):  # written, then read
        rows = lab.run_grid([small], tmp_path / "results.csv", n_jobs=1)
        assert rows.source[0] == " ".join(source.split())  # a row is one line
    assert (tmp_path / "results.csv").read_bytes().count(b"\n") == 2


def test_a_column_keeps_its_type_beside_a_failed_row(tmp_path):
    path = tmp_path / "results.csv"
    diverging = config(recipe=dataclasses.replace(RECIPE, lr=1e20))
    with pytest.warns(UserWarning, match="1 of 2 runs did not end well"):
        rows = lab.run_grid([diverging, config()], path, n_jobs=1)
    for table in (rows, lab.read_results(path)):
        for name, (kind, _) in lab.COLUMNS.items():
            text = pd.api.types.is_string_dtype(table[name])
            assert text if kind is str else table[name].dtype == np.dtype(kind), name
    assert lab.run_grid([config()], path, n_jobs=1).status[0] == "ok"


def test_new_weights_under_the_mask_are_not_those_scored(digits):
    prepare = lab.runs.worker.prepare
    model, _, _ = prepare(config(reinit="vs"), digits)
    scored = snip.build_model("lenet-300-100", "vs", 0).to(digits.x_train.device)
    assert not model.fc1.weight.equal(scored.fc1.weight)
    again, _, _ = prepare(config(reinit="vs"), digits)
    assert model.fc1.weight.equal(again.fc1.weight)


def test_rescaled_weights_are_rescaled(digits):
    plain, masks, _ = lab.runs.worker.prepare(config(method="random"), digits)
    rescaled, same, _ = lab.runs.worker.prepare(config(method="rescaled"), digits)
    assert lab.digest(masks) == lab.digest(same)
    share = masks["fc1.weight"].double().mean().item()
    ratio = rescaled.fc1.weight / plain.fc1.weight
    torch.testing.assert_close(ratio, torch.full_like(ratio, share**-0.5))


def test_data_that_change_during_the_runs_are_noticed(tmp_path, monkeypatch, archive):
    monkeypatch.setenv("SNIP_DATA", str(tmp_path))
    np.savez(tmp_path / "mnist.npz", **archive)
    with pytest.raises(
        RuntimeError, match=r"the data changed during the runs: [0-9a-f]+, not 0000"
    ):
        lab.runs.worker._worker_data.__wrapped__("mnist", None, "cpu", "0000")


def _one_run(path):
    lab.run_grid([GRID[0]], path, n_jobs=1)


@pytest.mark.slow
def test_one_job_in_a_child_process(tmp_path):
    path = tmp_path / "results.csv"
    child = multiprocessing.get_context("spawn").Process(target=_one_run, args=(path,))
    child.start()
    child.join()
    assert child.exitcode == 0 and len(lab.read_results(path)) == 1


@pytest.mark.slow
def test_workers_that_are_used_again_load_the_data_of_today(tmp_path, monkeypatch, archive):
    pair = [config(**SMALL, seed=s) for s in (0, 1)]
    for day in ("first", "second"):
        (tmp_path / day).mkdir()
        np.savez(tmp_path / day / "mnist.npz", **archive)
        archive["x_train"] = archive["x_train"][::-1]
        monkeypatch.setenv("SNIP_DATA", str(tmp_path / day))
        rows = lab.run_grid(pair, tmp_path / f"{day}.csv", n_jobs=2)
        assert (rows.status == "ok").all()


def test_a_torn_line_once_deleted_is_run_again(written):
    whole = lab.read_results(written)
    lines = written.read_text().splitlines(keepends=True)
    written.write_text("".join(lines[:2]))
    rows = lab.run_grid(GRID[:2], written, n_jobs=1)
    pd.testing.assert_frame_equal(rows.drop(columns=TIMES), whole.drop(columns=TIMES))


def test_who_only_reads_does_not_wait(written):
    with filelock.FileLock(f"{written}.lock"):
        rows = lab.select({"both": GRID[:2]}, written)
    assert len(rows) == 2


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        lab.run_grid(GRID, tmp_path / "file" / "results.csv", n_jobs=1)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "lenet-5-caffe", "dataset": "cifar10"}, r"images of \(1, 28, 28\), these are"),
        ({"model": "squeezenet-vanilla"}, r"images of \(3, 32, 32\), these are \(1, 28, 28\)"),
        ({"sparsity": 0.999999}, "keeps none of 266610 parameters"),
        ({"sparsity": 0.999998123, "biases": False}, "keeps none of 266200 parameters"),
        ({"scoring_batch": 3601}, "scoring_batch 3601 is more than the 3600 images there are"),
        ({"train_images": 3601}, "train_images 3601 is more than the 3600"),
        ({"test_images": 1001}, "test_images 1001 is more than the 1000"),
        ({"test_images": 401, "tested": "validation"}, "test_images 401 is more than the 400"),
        (
            {"recipe": lab.Recipe(0, batch_size=3601, checkpoints=0), "pretrain": 1},
            "batch_size 3601 is more",
        ),
        ({"sparsity": 0.99995, "width": 0.022}, "keeps none of 5685 parameters"),
        ({"recipe": lab.Recipe(1, batch_size=3601, checkpoints=1)}, "batch_size 3601 is more"),
        (
            {"recipe": lab.Recipe(1, batch_size=60, checkpoints=1), "train_images": 50},
            "batch_size 60 is more than the 50",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::sniplab.data.FallbackWarning")
def test_what_cannot_be_right_is_found_before_anything_runs(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        lab.run_grid([config(), config(**changes)], tmp_path / "results.csv", n_jobs=1)
    assert not (tmp_path / "results.csv").exists()
    whole = config(recipe=lab.Recipe(1, batch_size=4000, checkpoints=1), validation=True)
    digits = lab.runs.grid.facts_of(lab.load_data("digits", device="cpu"))
    lab.runs.grid.check_fits(whole, digits)  # with the validation images there are enough


def test_configurations_that_cannot_be_right():
    for changes, message in (
        ({"model": "resnet"}, "unknown model 'resnet'"),
        ({"method": "grasq"}, "unknown method 'grasq'"),
        ({"dataset": "svhn"}, "unknown data set 'svhn'"),
        ({"init": "he"}, "unknown initialiser 'he'"),
        ({"reinit": "he"}, "unknown initialiser 'he'"),
        ({"sparsity": 90}, "for 90 % write 0.9"),
        ({"method": "dense"}, "a dense network has sparsity 0, not 0.9"),
        ({"method": "gradient", "norm": "batch"}, "with running statistics only"),
        ({"seed": -1}, "seed -1 is below 0"),
        ({"train_images": -1}, "train_images -1 is below 0"),
        ({"pretrain": -1}, "pretrain -1 is below 0"),
        ({"rewind": True}, "nothing to rewind"),
        ({"width": 0}, "width 0.0 leaves no unit"),
        ({"model": "vgg-d", "width": 0.5}, "VGG-D has one width only; others have lenet-300-100"),
        ({"tested": "train"}, "unknown images to test on 'train'; known: test, validation"),
        ({"tested": "validation", "validation": True}, "cannot be tested on, too"),
        ({"labels": "shuffled"}, "unknown kind of labels 'shuffled'; known: true, random"),
        ({"seed": 2**63}, r"seed 9223372036854775808 must be a whole number below 2.*63"),
        ({"seed": 1.0}, "seed 1.0 must be a whole number"),
        ({"norm": "initial"}, "unknown norm 'initial'; known: running, batch"),
        ({"recipe": {"iterations": 3}}, "recipe .* must be of type Recipe"),
    ):
        with pytest.raises(ValueError, match=message):
            config(**changes)
    with pytest.raises(ValueError, match="n_jobs 0 does nothing"):
        lab.run_grid(GRID, "never.csv", n_jobs=0)
    threads = joblib.parallel_config(backend="threading")
    with threads, pytest.raises(ValueError, match="backend 'threading' cannot do runs"):
        lab.run_grid(GRID, "never.csv", n_jobs=2)


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_network_and_a_method_of_ones_own_run_with_any_number_of_workers(
    tmp_path, monkeypatch, n_jobs
):
    """A worker is a fresh interpreter, whose tables lacked them."""

    def tiny(classes):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, classes))

    def first_columns(model, x, y, sparsity, seed, norm, biases):
        scores = {
            name: torch.arange(weight.numel(), 0, -1.0).view(weight.shape)
            for name, weight in snip.prunable(model).items()
        }
        return lab.keep(scores, sparsity, biases)

    spec = dataclasses.replace(snip.MODELS["lenet-300-100"], title="Tiny", build=tiny)
    method = lab.Method("first", "first", "#999999", "h", ":", first_columns)
    monkeypatch.setitem(snip.MODELS, "tiny", spec)
    monkeypatch.setitem(lab.METHODS, "first", method)
    configs = [config(model="tiny", method="first", seed=seed) for seed in (0, 1)]
    rows = lab.run_grid(configs, tmp_path / "results.csv", n_jobs=n_jobs)
    assert rows.status.tolist() == ["ok", "ok"] and rows.kept.tolist() == [785, 785]
    assert rows.masks.nunique() == 1


def test_a_worker_that_is_used_again_takes_methods_and_networks_as_they_are_now(
    tmp_path, monkeypatch
):
    """The first one of a name stayed."""

    def columns(first):
        def masks(model, x, y, sparsity, seed, norm, biases):
            order = 1.0 if first else -1.0
            scores = {
                name: order * torch.arange(weight.numel(), 0, -1.0).view(weight.shape)
                for name, weight in snip.prunable(model).items()
            }
            return lab.keep(scores, sparsity, biases)

        return lab.Method("mine", "mine", "#999999", "h", ":", masks)

    monkeypatch.setitem(lab.METHODS, "mine", columns(True))
    data, task = lab.load_data("digits").digest, alone(config(method="mine"), tmp_path)
    task = dataclasses.replace(task, data=data, methods=(columns(False),))
    place = lab.runs.worker.Placement("cpu", 1, os.getpid(), None, 30.0)
    _, (row,) = lab.runs.worker.do_task(task, place)
    model = snip.build_model("lenet-300-100")
    wanted = columns(False).masks(model, None, None, 0.9, 0, "running", True)
    assert row["masks"] == snip.digest(wanted)


def test_a_network_that_is_defined_anew_has_its_own_shapes(monkeypatch):
    spec = snip.MODELS["lenet-300-100"]

    def network(width):
        return dataclasses.replace(
            spec, build=lambda classes: torch.nn.Sequential(torch.nn.Linear(width, classes))
        )

    for width in (3, 4):
        monkeypatch.setitem(snip.MODELS, "mine", network(width))
        assert lab.parameter_count("mine") == 10 * width + 10


# --------------------------------------------------------------------------------- other machines


def test_every_worker_takes_a_gpu_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(lab.runs.machine.tempfile, "gettempdir", lambda: str(tmp_path))
    own = lab.runs.machine.own_gpu
    with own() as a, own() as b, own() as c, own() as d:  # as four workers would: two on each
        assert [a, b, c, d] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    with own() as again:
        assert again == "cuda:0"  # given back when the run has ended
    with monkeypatch.context() as patch:  # another user's locks are in nobody's way
        patch.setattr(lab.runs.machine.os, "getuid", lambda: 1001)
        with own() as hers, monkeypatch.context() as other:
            other.setattr(lab.runs.machine.os, "getuid", lambda: 1002)
            with own() as his:
                assert hers == his == "cuda:0"


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    lab.run_grid([config()], "~/deep/results.csv", n_jobs=1)
    assert len(lab.read_results("~/deep/results.csv")) == 1
    assert (tmp_path / "deep" / "results.csv").exists()


def test_inputs_and_train_images_as_asked(digits):
    plain = lab.Config("lenet-300-100", lab.Recipe(2, checkpoints=1), dataset="digits")
    unit = dataclasses.replace(plain, inputs="unit")
    more = dataclasses.replace(plain, validation=True)
    scored, same = lab.runs.worker.images_of(plain, digits)
    assert scored is same is digits  # no second copy of the images
    scaled, _ = lab.runs.worker.images_of(unit, digits)
    assert (scaled.x_train.min(), scaled.x_train.max()) == (0, 1)
    levels = 255 * scaled.x_test
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)  # x/255, exactly
    scored, whole = lab.runs.worker.images_of(more, digits)
    assert len(whole.y_train) == len(digits.y_train) + len(digits.y_val)
    assert scored is digits  # the same scoring batch
    few = dataclasses.replace(plain, train_images=7)
    assert lab.runs.worker.images_of(few, digits)[0] is digits
    tasks = tasks_of([plain, unit, more, few, dataclasses.replace(plain, test_images=7)])
    assert [len(task.configs) for task in tasks] == [1] * 5  # other images: no common batches


def test_validation_images_are_tested_on_as_asked(digits):
    chosen = config(tested="validation", test_images=50)
    scored, data = lab.runs.worker.images_of(chosen, digits)
    assert scored is digits and data.y_train is digits.y_train
    assert data.x_test.equal(digits.x_val[:50]) and data.y_test.equal(digits.y_val[:50])
    assert len(tasks_of([config(), config(tested="validation")])) == 2  # no common stack


def tasks_of(configs, folder=Path("nowhere"), workers=1):
    there = lab.runs.grid.DataFacts("", "", (1, 28, 28), 3600, 400, 1000)
    left = {lab.identity(config): config for config in configs}
    return lab.runs.grid.tasks_of(left, {"digits": there}, folder, "cpu", workers)


def test_a_stack_holds_its_images_once(tmp_path, monkeypatch):
    """With other images than the data set's own, a copy was made for each network."""
    made, real = [], lab.runs.worker.images_of
    monkeypatch.setattr(lab.runs.worker, "images_of", lambda *how: made.append(how) or real(*how))
    configs = [config(sparsity=s, validation=True) for s in (0.9, 0.95, 0.98)]
    rows = lab.run_grid(configs, tmp_path / "results.csv", n_jobs=1)
    assert set(rows.engine) == {"stacked"} and len(made) == 1


def test_a_stack_that_was_begun_goes_on_when_the_sweep_has_grown(tmp_path, stop_at):
    """One more sparsity made another stack of all of them, whose checkpoint had another name."""
    recipe = lab.Recipe(30, checkpoints=1)
    configs = [config(sparsity=s, recipe=recipe) for s in (0.9, 0.95, 0.98, 0.99)]
    whole = lab.run_grid(configs, tmp_path / "whole.csv", n_jobs=1)
    steps = stop_at((20,))
    path = tmp_path / "results.csv"
    with pytest.raises(KeyboardInterrupt):
        lab.run_grid([configs[0], configs[2]], path, n_jobs=1, checkpoint_seconds=0)
    rows = lab.run_grid(configs, path, n_jobs=1, checkpoint_seconds=0)
    assert len(steps) == 20 + (30 - 19) + 30  # the begun one went on, two more are another stack
    pd.testing.assert_frame_equal(rows.drop(columns=TIMES), whole.drop(columns=TIMES))
    assert not (tmp_path / "results.checkpoints").exists()


def test_gates_of_the_new_weights(digits):
    recipe = lab.Recipe(2, checkpoints=1)
    config = lab.Config("gru-s", recipe, gates=0.0, reinit="vs-x")
    assert config.reinit_gates == 0.0 and lab.Config("gru-s", recipe).reinit_gates == 1.0
    apart = lab.Config("gru-s", recipe, gates=0.0, reinit="vs-x", reinit_gates=1.0)
    assert apart != config
    model, _, _ = lab.runs.worker.prepare(apart, digits)
    assert model.cell.bias_ih_l0.any()  # begun at 1, though scored at 0


# ---------------------------------------------------------------- narrower, and pruned once trained


def test_a_narrow_network_has_as_many_parameters_as_pruning_leaves(tmp_path):
    """By hand: 784·33 + 33, 33·11 + 11 and 11·10 + 10 of 26,661 that 90 % leaves."""
    width = width_for("lenet-300-100", 0.9)
    assert round(300 * width) == 33 and round(100 * width) == 11
    narrow = config(method="dense", sparsity=0.0, width=width)
    rows = lab.run_grid([narrow, config(width=0.5)], tmp_path / "results.csv", n_jobs=1)
    assert rows.m.tolist() == [784 * 33 + 33 + 33 * 11 + 11 + 11 * 10 + 10, 125_810]
    assert rows.kept[0] == rows.m[0] and rows.kept[1] == round(rows.m[1] / 10)
    assert len(tasks_of([config(), config(width=0.5)])) == 2  # of two shapes: no stack


@pytest.mark.parametrize("model", ["lenet-300-100", "lenet-5-caffe", "gru-s"])
def test_no_other_width_is_nearer(model):
    def count(width):
        return sum(w.numel() for w in snip.prunable(shapes(model, width)).values())

    kept = snip.kept_count(count(1.0), 0.98)
    chosen = abs(count(width_for(model, 0.98)) - kept)
    assert chosen == min(abs(count(k / 1000) - kept) for k in range(1, 300)) < 0.07 * kept
    assert count(width_for(model, 0.0)) == count(1.0)


@pytest.mark.parametrize("sparsity", [0.5, 0.9])  # with masks; stacked
def test_pruned_after_training(digits, sparsity):
    """Step by step: the dense run, the mask of its largest weights, the same recipe again."""
    recipe = lab.Recipe(20, checkpoints=2)
    changes = {"recipe": recipe, "method": "magnitude", "sparsity": sparsity, "pretrain": 20}
    dense = snip.build_model("lenet-300-100").to(digits.x_train.device)
    before = copy.deepcopy(dense)
    lab.train(dense, digits, recipe)
    masks = snip.keep_top(lab.magnitude_scores(dense), sparsity)
    (task,) = tasks_of([config(**changes)])
    for start, rewind in ((dense, False), (before, True)):
        run = config(**changes, rewind=rewind)
        (outcome,) = lab.runs.worker.run([run], digits, task.engine)
        model = copy.deepcopy(start)
        (history,) = train_with(task.engine, [model], digits, recipe, [masks])
        assert outcome["masks"] == lab.digest(masks)
        assert outcome["error"] == history.error
        assert outcome["loss_curve"] == lab.curve_text(history.loss)
        first = F.cross_entropy(_first_logits(start, masks, digits), _first_batch(digits)[1])
        assert history.loss[0] == pytest.approx(first.item(), rel=1e-4)


def _first_batch(data):
    return lab.batches.Batches(data, RECIPE, seed=0).take(0)


@torch.no_grad()
def _first_logits(model, masks, data):
    model = copy.deepcopy(model)
    for name, weight in snip.prunable(model).items():
        weight.mul_(masks[name])
    return model(_first_batch(data)[0])


def test_what_is_pruned_after_training_is_trained_once(tmp_path, stop_at):
    """And after a kill the same rows come out, to the bit, and no file is left."""
    recipe = lab.Recipe(12, checkpoints=1)
    base = {"recipe": recipe, "method": "magnitude", "pretrain": 20}
    runs = [config(**base, sparsity=s, rewind=r) for r in (False, True) for s in (0.9, 0.95)]
    runs.append(config(**base | {"method": "random"}))
    assert len(tasks_of(runs)) == 1
    assert (
        len(tasks_of([*runs, config(**base, init="vs-x"), config(**base | {"pretrain": 9})])) == 3
    )
    ends = []
    steps = stop_at(ends)
    whole = lab.run_grid(runs, tmp_path / "whole.csv", n_jobs=1)
    assert len(steps) == 20 + 12 and whole.status.tolist() == ["ok"] * 5
    assert whole.masks[0] == whole.masks[2] != whole.masks[1] and whole.error.nunique() > 2
    steps.clear()
    ends[:] = 15, 15 + 6 + 5  # in the first training, in the second
    path = tmp_path / "results.csv"
    for _ in ends:
        with pytest.raises(KeyboardInterrupt):
            lab.run_grid(runs, path, n_jobs=1, checkpoint_seconds=0)
    rows = lab.run_grid(runs, path, n_jobs=1, checkpoint_seconds=0)
    assert len(steps) == 15 + (6 + 5) + (12 - 4)
    pd.testing.assert_frame_equal(rows.drop(columns=TIMES), whole.drop(columns=TIMES))
    assert not (tmp_path / "results.checkpoints").exists()


@pytest.mark.parametrize("phase", [15, 20 + 5], ids=["dense", "pruned"])
def test_a_stack_that_was_begun_stays_one_whatever_is_left_beside_it(
    tmp_path, stop_at, phase, monkeypatch
):
    """Of 8 runs beside 16 others a stack of 8 was begun; alone they would be two stacks of 4."""
    base = {"recipe": lab.Recipe(12, checkpoints=1), "method": "magnitude", "pretrain": 20}
    levels = [0.9 + 0.01 * k for k in range(4)]
    mine = [config(**base, sparsity=s, rewind=r) for r in (False, True) for s in levels]
    others = [config(**base, sparsity=s, seed=k) for k in (1, 2, 3, 4) for s in levels]
    data = lab.load_data("digits", device="cpu")

    def tasks(configs):
        left = {lab.identity(config): config for config in configs}
        facts = {"digits": lab.runs.grid.facts_of(data)}
        return lab.runs.grid.tasks_of(left, facts, tmp_path, "cpu", workers=2)

    stack = tasks([*mine, *others])[0]
    assert len(stack.runs) == 8 and len(tasks(mine)) == 2
    stop_at([phase])
    stack.file(".runs").write_text(" ".join([stack.data, *stack.runs]))
    keep = {"checkpoint": stack.file(".pt"), "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        lab.runs.worker.run(stack.configs, data, stack.engine, **keep)
    (again,) = tasks(mine)
    assert again.runs == stack.runs
    # On another device they are not stacked, and one by one they cannot go on from it.
    monkeypatch.setattr(lab.runs.grid, "engine_for", lambda *_: "masked")
    assert sorted(len(task.runs) for task in tasks(mine)) == [1] * 8


def test_what_fails_on_the_way_goes_on_from_its_checkpoint(tmp_path, monkeypatch, stop_at):
    """In another grid, too, where it is grouped otherwise."""
    base = {"recipe": lab.Recipe(12, checkpoints=1), "method": "magnitude", "pretrain": 20}
    runs = [config(**base, sparsity=s) for s in (0.9, 0.95, 0.98)]
    ends = [20 + 5]
    steps = stop_at(ends, MemoryError("no room"))
    path = tmp_path / "results.csv"
    with pytest.warns(UserWarning, match="2 of 2 runs did not end well"):
        rows = lab.run_grid(runs[:2], path, n_jobs=1, checkpoint_seconds=0)
    assert (rows.status == "failed: MemoryError: no room").all()
    steps.clear()
    ends.clear()
    rows = lab.run_grid(runs, path, n_jobs=1, checkpoint_seconds=0)
    assert (rows.status == "ok").all() and not (tmp_path / "results.checkpoints").exists()
    assert len(steps) == (12 - 4) + (20 + 12)  # the third is alone


def test_the_scoring_batch_can_be_the_whole_train_split_in_parts(digits, monkeypatch):
    seen, real = [], lab.runs.worker.collapsed
    monkeypatch.setattr(
        lab.runs.worker, "collapsed", lambda m, masks, x: seen.append(len(x)) or real(m, masks, x)
    )
    _, masks, _ = lab.runs.worker.prepare(config(scoring_batch=0), digits)
    assert seen == [128]  # never passed as a whole
    model = snip.build_model("lenet-300-100").to(digits.x_train.device)
    scores = snip.sensitivity(model, digits.x_train, digits.y_train)  # in one piece
    whole = snip.keep_top(scores, 0.9)
    assert sum(int((masks[n] == whole[n]).sum()) for n in whole) > 266_600  # but for rounding


def test_a_dense_network_that_diverges_is_never_pruned(tmp_path):
    recipe = lab.Recipe(20, checkpoints=1, lr=1e6)
    run = config(recipe=recipe, method="magnitude", pretrain=20)
    with pytest.warns(UserWarning, match="runs did not end well"):
        rows = lab.run_grid([run], tmp_path / "results.csv", n_jobs=1)
    assert rows.status[0].startswith("diverged") and rows.masks[0] == ""


def test_the_effective_share_is_in_the_row(tmp_path, digits):
    scored = lab.Recipe(0, checkpoints=0)
    runs = [config(recipe=scored, method=m, sparsity=0.98) for m in ("snip", "random")]
    runs.append(config(recipe=scored, method="dense", sparsity=0.0))
    rows = lab.run_grid(runs, tmp_path / "results.csv", n_jobs=1)
    model = snip.build_model("lenet-300-100").to(digits.x_train.device)
    x, y = lab.draw_batch(digits, 100, 0)
    for method, found in zip(("snip", "random"), rows.effective, strict=False):
        masks = lab.make_masks(model, method, 0.98, x, y, 0)
        assert found == effective_fraction(model, masks, x)
    assert rows.effective[0] > 0.85 > 0.6 > rows.effective[1] and math.isnan(rows.effective[2])


def test_a_network_whose_paths_cannot_be_followed_has_no_effective_share(digits, monkeypatch):
    def refuse(*_):
        raise ValueError("no rule for this layer")

    monkeypatch.setattr(lab.runs.worker, "effective_fraction", refuse)
    _, masks, outcome = lab.runs.worker.prepare(config(), digits)
    assert masks and "effective" not in outcome  # the row has NaN, its default
