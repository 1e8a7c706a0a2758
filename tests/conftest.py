import gc
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import snipcore as snip
import sniplab as lab
from sniplab.runs.config import CONFIG_FIELDS, OUTCOME, RECIPE_FIELDS, flat_fields

# ------------------------------------------------------------------------------------ rows of runs


RECIPE = lab.Recipe(iterations=4, checkpoints=2)
TIMES = ["seconds", "step_seconds"]  # columns in which no two runs are equal


def config(**changes):
    """A short run of LeNet-300-100, but for changes."""
    return lab.Config(**{"model": "lenet-300-100", "recipe": RECIPE, "dataset": "digits"} | changes)


def rows_for(configs, errors, **columns):
    """A finished row of each run, with its error; `columns` say what else stands in them."""
    rows = [
        {"run": lab.identity(config), **flat_fields(config), **OUTCOME, "error": error}
        for config, error in zip(configs, errors, strict=True)
    ]
    return pd.DataFrame(rows).assign(**{"data": "d"} | columns)


def configs_of(rows):
    """The run that each row is of."""

    def among(line, fields):
        return {field.name: line[field.name] for field in fields}

    return [
        lab.Config(recipe=lab.Recipe(**among(line, RECIPE_FIELDS)), **among(line, CONFIG_FIELDS))
        for line in rows.to_dict("records")
    ]


# --------------------------------------------------------------------------------- bits of networks


def bits(model):
    return [value.clone() for value in model.state_dict().values()]


def same_run(one, other):
    """Whether two runs, each a history and `bits`, are equal to the bit."""
    curves = [[h.loss, h.train_error, h.test_error, h.iteration] for h, _ in (one, other)]
    pairs = zip(one[1], other[1], strict=True)
    return all(map(np.array_equal, *curves)) and all(a.equal(b) for a, b in pairs)


def full_masks(model):
    """Masks that keep all."""
    return {name: torch.ones_like(w, dtype=torch.bool) for name, w in snip.prunable(model).items()}


def no_images(*_, **__):
    """In place of `load_data` where no images are to be read."""
    raise AssertionError("images were read")


def write(path, *cells):
    """A notebook of some cells; gives its path."""
    import nbformat  # takes a second, for few tests

    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=list(cells), metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)
    return path


# ----------------------------------------------------------------------------------------- fixtures


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="where the unit tests compute: cpu or cuda")


def pytest_collection_finish():
    """The collector of garbage passes over what imports have brought: a tenth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def device(request):
    return snip.pick_device(request.config.getoption("--device"))


@pytest.fixture(autouse=True)
def no_network_no_home(monkeypatch, tmp_path):
    """No test reads the user's data or the network; workers inherit the same."""
    monkeypatch.setenv("SNIP_DATA", str(tmp_path / "no-data"))

    def refuse(name, root):
        raise OSError("the tests have no network")

    monkeypatch.setattr(lab.data, "_from_torchvision", refuse)


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    if plt := sys.modules.get("matplotlib.pyplot"):  # not imported here: few tests draw
        plt.close("all")


@pytest.fixture(scope="session")
def digits(device):
    return lab.load_data("digits", device=device)


@pytest.fixture
def tiny(device):
    """Convolution, normalisation, dropout and linear layers, on 8×8 images in three classes."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4 * 6 * 6, 3),
    )
    return model.double().to(device)


@pytest.fixture
def batch(device):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(12, 2, 8, 8, generator=generator, dtype=torch.float64)
    return x.to(device), (torch.arange(12) % 3).to(device)


@pytest.fixture
def small_data(device):
    """60 random images that a linear layer can learn by heart."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(60, 1, 4, 4, generator=generator).to(device)
    y = (torch.arange(60) % 3).to(device)
    return lab.Data("random", x[:40], y[:40], x[40:50], y[40:50], x[50:], y[50:], "random numbers")


@pytest.fixture
def archive():
    """The arrays of a well-formed mnist.npz, with random pixels."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (40, 28, 28), dtype=np.uint8),
        "y_train": np.arange(40, dtype=np.uint8) % 10,
        "x_test": rng.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        "y_test": np.arange(20, dtype=np.uint8) % 10,
    }


@pytest.fixture
def stop_at(monkeypatch):
    """A function that lets the steps of training raise, those of the given places in the order of
    all that are begun; it gives the list that fills with the numbers of the steps."""

    def stop(places, error=KeyboardInterrupt):
        steps, real = [], lab.batches.Batches.prepare

        def prepare(self, step):
            steps.append(step)
            if len(steps) in places:
                raise error
            return real(self, step)

        monkeypatch.setattr(lab.batches.Batches, "prepare", prepare)
        return steps

    return stop
