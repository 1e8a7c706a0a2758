"""The first trial on a GPU, as far as it can be tested without one."""

import io
import types
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import snipcore as snip
import sniplab as lab
from sniplab import gpu, packing


@pytest.fixture
def mnist(monkeypatch, tmp_path):
    """A few random images by that name; a process of its own reads them, too."""
    rng = np.random.default_rng(0)
    images = {part: rng.integers(0, 256, (200, 28, 28), dtype=np.uint8) for part in packing.IMAGES}
    labels = {f"y_{part}": np.arange(200, dtype=np.uint8) % 10 for part in ("train", "test")}
    np.savez(tmp_path / "mnist.npz", **images, **labels)
    monkeypatch.setenv("SNIP_DATA", str(tmp_path))


def through_jpeg(images):
    """Smooth images as they come out of JPEG files."""
    decoded = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=75)
        decoded.append(np.asarray(Image.open(file)))
    return np.stack(decoded)


def smooth_images(count):
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 190, (count, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    steps = np.linspace(-20, 20, 32)
    return (coarse + steps[:, None, None] + steps[:, None]).astype(np.uint8)


def arrays_of(images):
    y = np.arange(len(images), dtype=np.uint8) % 10
    return {
        **{"x_train": images[:20], "y_train": y[:20], "x_test": images[20:], "y_test": y[20:]},
        "source": np.array("random images"),
    }


@pytest.mark.parametrize("kind", ["through JPEG", "as they are", "noise"])
def test_what_is_packed_comes_back_to_the_bit(tmp_path, kind):
    images = smooth_images(30)
    if kind == "through JPEG":
        images = through_jpeg(images)
    elif kind == "noise":
        images = np.random.default_rng(1).integers(0, 256, images.shape, dtype=np.uint8)
    arrays = arrays_of(images)
    packing.pack(arrays, tmp_path / "packed")
    back = packing.unpack(tmp_path / "packed")
    assert set(back) == set(arrays)
    assert all(back[name].dtype == array.dtype for name, array in arrays.items())
    assert all(np.array_equal(back[name], array) for name, array in arrays.items())
    with np.load(tmp_path / "packed") as file:
        packed = dict(file)
    packed["x_test wrong"] += 1  # another decoder's pixels
    np.savez(tmp_path / "other.npz", **packed)
    with pytest.raises(ValueError, match=r"x_test of .* decodes otherwise here"):
        packing.unpack(tmp_path / "other.npz")
    with np.load(tmp_path / "packed") as file:
        wrong = (file["x_train wrong"] != 0).any((1, 2, 3)).mean()
    assert wrong < 0.5 if kind == "through JPEG" else wrong > 0.5


def test_colour_is_doubled_as_pillow_does():
    """A file of halved colour alone, decoded by Pillow and by the matrix."""
    rng = np.random.default_rng(0)
    halved = rng.integers(100, 150, (16, 16)).astype(float)
    halved[:] = halved[:8, :8].repeat(2, 0).repeat(2, 1)  # smooth, so that little is lost
    planes = np.stack([np.full((32, 32), 128.0), halved.repeat(2, 0).repeat(2, 1)], -1)
    planes = np.concatenate([planes, planes[..., :1]], -1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(planes, "YCbCr").save(file, "JPEG", quality=100, subsampling=2)
    decoded = np.asarray(Image.open(file).convert("RGB")).astype(float)
    blue = (decoded[..., 2] - 128) / 1.772 + 128
    matrix = packing._upsampling(16)
    assert np.abs(blue - matrix @ halved @ matrix.T).max() < 2.5
    assert np.abs(blue - halved.repeat(2, 0).repeat(2, 1)).max() > 5


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
        def measure(name, number, device, *_):
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


def test_a_group_that_does_not_fit_waits_for_the_next_call(tmp_path, monkeypatch):
    now, groups = [0.0], []
    monkeypatch.setattr(gpu, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(gpu, "equality", lambda *_: {})
    monkeypatch.setattr(gpu, "side_by_side", lambda *_: {"seconds": 3e-3})  # 225 s a run

    def run_grid(group, path, **_):
        groups.append(now[0])
        now[0] += 225

    monkeypatch.setattr(gpu, "run_grid", run_grid)
    assert not gpu.trial(tmp_path, "cpu", minutes=9)
    assert groups == [0.0, 225.0]


def test_packing_by_command_for_another_machine(tmp_path, monkeypatch):
    arrays = arrays_of(through_jpeg(smooth_images(30)))
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    np.savez(tmp_path / "here" / "cifar10.npz", **arrays)
    for folder, what in (("here", "pack"), ("there", "unpack")):
        monkeypatch.setenv("SNIP_DATA", str(tmp_path / folder))
        monkeypatch.setattr("sys.argv", ["gpu", what, str(tmp_path / "packed")])
        gpu.main()
    one, other = (
        lab.load_data("cifar10", tmp_path / folder, torch.device("cpu"))
        for folder in ("here", "there")
    )
    assert one.digest == other.digest and one.source == other.source
