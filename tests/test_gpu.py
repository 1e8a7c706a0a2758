"""The first trial on a GPU, as far as it can be tested without one."""

import types
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest

import snipcore as snip
import sniplab as lab
from sniplab import gpu


@pytest.fixture
def mnist(monkeypatch, tmp_path):
    """A few random images by that name; a process of its own reads them, too."""
    rng = np.random.default_rng(0)
    images = {
        part: rng.integers(0, 256, (200, 28, 28), dtype=np.uint8) for part in ("x_train", "x_test")
    }
    labels = {f"y_{part}": np.arange(200, dtype=np.uint8) % 10 for part in ("train", "test")}
    np.savez(tmp_path / "mnist.npz", **images, **labels)
    monkeypatch.setenv("SNIP_DATA", str(tmp_path))


def test_captured_steps_that_differ_are_seen(mnist, device, monkeypatch):
    """A stand-in for capturing that forgets to put the weights back."""
    row = gpu.equality("lenet-300-100", 0.5, str(device), steps=12)
    assert row["losses_equal"] == 12 and row["largest_difference"] == 0 and row["weights_equal"]
    assert row["engine"] == "masked" and row["seconds_captured"] > 0

    def careless(step, network, optimizer, dropout, counter):
        step()
        counter.zero_()
        return step

    monkeypatch.setattr(lab.training, "captured", careless)
    row = gpu.equality("lenet-300-100", 0.95, str(device), steps=12)
    assert row["engine"] == "stacked"
    assert row["losses_equal"] < 12 and row["largest_difference"] > 0 and not row["weights_equal"]


def test_a_step_that_is_not_captured_is_no_equal_one(mnist, monkeypatch):
    def refused(step, *_):
        warnings.warn("the step cannot be captured (why)", UserWarning, stacklevel=1)
        return step

    monkeypatch.setattr(lab.training, "captured", refused)
    with pytest.raises(UserWarning, match="cannot be captured"):
        gpu.equality("lenet-300-100", 0.5, "cpu", steps=3)
    with pytest.raises(UserWarning, match="cannot be captured"):
        gpu.step_seconds("lenet-300-100", "cpu", steps=3)


def test_processes_side_by_side(mnist):
    with joblib.parallel_config(backend="sequential"):  # one after the other: no start of processes
        row = gpu.side_by_side("lenet-300-100", 2, "cpu", steps=20)
    assert 0 < row["seconds_of_all"] < row["seconds"]


def test_the_families_are_all_there():
    families = {snip.MODELS[name].family for name, _ in gpu.FAMILIES}
    assert families == {spec.family for spec in snip.MODELS.values()}
    for group in gpu.plan():
        assert all(config.recipe.iterations == 75_000 for config in group)
        assert {config.method for config in group} == {"dense", "snip"}
    first, *_, last = gpu.plan()
    assert {config.model for config in first} == {"alexnet-s", "vgg-d", "resnet-18"}
    assert len(first) == 6 and {config.model for config in last} >= {"resnet-34", "densenet-201"}


def test_a_trial_that_is_cut_off_goes_on(tmp_path, monkeypatch):
    """By a clock that the measurements turn: each case is measured once, whatever happens."""
    now, done = [0.0], []
    monkeypatch.setattr(gpu, "time", types.SimpleNamespace(monotonic=lambda: now[0]))

    def measured(kind, seconds):
        def measure(name, number, device):
            done.append((kind, name, number))
            now[0] += seconds
            if (kind, name) == ("same", "lstm-s"):
                raise RuntimeError("no such kernel")
            return {"seconds": 1e-3}

        return measure

    def run_grid(group, path, **_):
        case = ("rows", group[0].model, group[0].seed)
        if case not in done:
            done.append(case)
            now[0] += 100

    monkeypatch.setattr(gpu, "equality", measured("same", 50))
    monkeypatch.setattr(gpu, "side_by_side", measured("timed", 30))
    monkeypatch.setattr(gpu, "run_grid", run_grid)
    monkeypatch.setattr(gpu, "SIDE_BY_SIDE", (1, 16))
    calls = [0.0]
    while not gpu.trial(tmp_path, "cpu", minutes=9):
        assert now[0] - calls[-1] <= 9 * 60 + 50  # begun, it is measured to the end
        calls.append(now[0])
    assert len(calls) == 8
    assert len(done) == len(set(done))
    assert len(done) == len(gpu.FAMILIES) + 2 * len(snip.MODELS) + gpu.SEEDS * len(gpu.ROWS)
    status = pd.read_csv(tmp_path / "equality.csv").set_index("network").status
    assert status.pop("lstm-s") == "failed: RuntimeError: no such kernel"
    assert set(status) == {"ok"}


def test_a_trial_whose_measurements_all_fail_still_trains(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("CUDA out of memory")

    groups = []
    monkeypatch.setattr(gpu, "equality", fail)
    monkeypatch.setattr(gpu, "side_by_side", fail)
    monkeypatch.setattr(gpu, "run_grid", lambda group, path, **_: groups.append(group))
    assert gpu.trial(tmp_path, "cpu", minutes=9)
    assert len(groups) == gpu.SEEDS * len(gpu.ROWS)


def test_a_group_that_does_not_fit_waits_for_the_next_call(tmp_path, monkeypatch):
    now, groups = [0.0], []
    monkeypatch.setattr(gpu, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(gpu, "equality", lambda *_, **__: {})
    monkeypatch.setattr(gpu, "side_by_side", lambda *_, **__: {"seconds": 3e-3})  # 225 s a run

    def run_grid(group, path, **_):
        groups.append(now[0])
        now[0] += 225

    monkeypatch.setattr(gpu, "run_grid", run_grid)
    assert not gpu.trial(tmp_path, "cpu", minutes=9)
    assert groups == [0.0, 225.0]


def test_no_digits_stand_in_for_the_images_of_a_trial(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["gpu", str(tmp_path)])
    monkeypatch.setattr(gpu, "trial", lambda *_: lab.load_data("cifar10"))
    with pytest.raises(lab.data.FallbackWarning, match="going on with"):
        gpu.main()
