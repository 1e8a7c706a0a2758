"""Other masks beside SNIP's in convolutional networks."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import rows_for

from sniplab.recipe import Recipe
from sniplab.runs import Config
from sniplab.sections import COMMITTED
from sniplab.sections import architectures_methods as methods

LEVELS = {"alexnet-s": 0.9, "squeezenet-vanilla": 0.95}


def config(model, method, seed):
    return Config(model, Recipe(4212), method, 0 if method == "dense" else LEVELS[model], seed)


def runs(model, method, *errors, **changed):
    """A run for each error, seed by seed, at the sparsity of the network."""
    configs = [config(model, method, seed) for seed in range(len(errors))]
    return rows_for(configs, errors, sparsity=LEVELS[model], **changed)


BUILT = pd.concat([
    runs("alexnet-s", "snip", 23.0, 23.1, 23.2),
    runs("alexnet-s", "dense", 20.0, 20.0, 20.0),
    runs("squeezenet-vanilla", "snip", 30.0, 30.1, 30.2),
    runs("squeezenet-vanilla", "snip", 90.0, 90.0, 90.0, norm="batch"),
])  # fmt: skip
ROWS = pd.concat([  # SNIP's of a machine on which SqueezeNet comes out otherwise
    runs("alexnet-s", "snip", 23.0, 23.1, 23.2),
    runs("squeezenet-vanilla", "snip", 31.5, 29.0, 30.2),
    runs("alexnet-s", "shuffled", 24.0, 24.2, 24.1), runs("alexnet-s", "random", 23.0, 23.3),
    runs("squeezenet-vanilla", "shuffled", 29.0),
])  # fmt: skip


def claims_of(rows):
    plan = [
        config(model, method, seed)
        for model in LEVELS
        for method in ("snip", "shuffled", "random")
        for seed in range(3)
    ]
    claims = methods.claims(rows, BUILT, {"methods": plan})
    return {claim["id"]: claim for claim in claims}


def test_masks_are_compared_with_snips_trained_beside_them():
    table = methods.compared(ROWS).set_index(["model", "method"])
    assert table["mean"].to_dict() == pytest.approx({
        ("alexnet-s", "shuffled"): 1.0, ("alexnet-s", "random"): 0.1,
        ("squeezenet-vanilla", "shuffled"): -2.5,
    })  # fmt: skip
    # By hand: 1.0, 1.1, 0.9; s = 0.1, t = 4.303, 4.303 * 0.1 / sqrt(3).
    assert methods.values(ROWS, BUILT)["beside_conv.alexnet-s.shuffled"] == "1.00 ± 0.25"
    longer = ROWS.assign(iterations=ROWS.iterations * np.where(ROWS.method == "snip", 2, 1))
    assert methods.compared(longer).empty  # of another length


def test_another_machine_changes_snip_within_seeds_of_initial_statistics():
    repeated = methods.repeated(ROWS, BUILT).set_index("model").loc["squeezenet-vanilla"]
    assert (repeated.least, repeated.most) == pytest.approx((-1.1, 1.5))
    emptying = ROWS.method == "shuffled"
    rows = ROWS.assign(collapsed=np.where(emptying, "3.weight; 8.expand.weight", ""))
    found = methods.values(rows, BUILT)
    assert found["emptied.squeezenet-vanilla.shuffled"] == "2"
    assert found["emptied.squeezenet-vanilla.snip"] == "0"
    assert found["trained_again.squeezenet-vanilla.span"] == "−1.1 to 1.5"
    # And so the difference beside it: 29.0 − 31.5, or − 30.0 as first trained.
    assert found["beside_conv.squeezenet-vanilla.shuffled.mean"] == "−2.50"
    assert found["beside_first.squeezenet-vanilla.shuffled.mean"] == "−1.00"


def test_a_control_is_judged_when_all_its_runs_are_there():
    claims = claims_of(ROWS)
    assert claims["over_shuffled.alexnet-s"]["verdict"] == "reproduced"
    assert claims["over_shuffled.alexnet-s"]["ours"] == "control − SNIP: +1.00 ± 0.25 points"
    assert claims["over_random.alexnet-s"]["verdict"] == "untested: 1 of 6 runs missing"
    assert claims["over_shuffled.squeezenet-vanilla"]["verdict"] == "untested: 2 of 6 runs missing"
    snip = ROWS[(ROWS.model == "alexnet-s") & (ROWS.method == "snip")]
    better = pd.concat([snip, runs("alexnet-s", "shuffled", 22.0, 22.2, 22.1)])
    assert claims_of(better)["over_shuffled.alexnet-s"]["verdict"] == "not reproduced"
    level = pd.concat([snip, runs("alexnet-s", "shuffled", 23.1, 23.0, 23.2)])
    assert claims_of(level)["over_shuffled.alexnet-s"]["verdict"] == "inconclusive"
    alone = claims_of(level[level.method != "snip"])["over_shuffled.alexnet-s"]
    assert alone["verdict"] == "untested: 3 of 6 runs missing"


def test_a_panel_for_each_network():
    figure = methods.draw_methods(methods.compared(ROWS))
    assert [axis.get_title() for axis in figure.axes] == ["AlexNet-s", "SqueezeNet-vanilla"]
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["SNIP, shuffled within layers", "random"]
    methods.draw_methods(methods.compared(ROWS[:0]))  # of a profile without them
    (planned,) = methods.methods_plan(COMMITTED).values()
    assert {c.model for c in planned} == set(LEVELS) and len(planned) == 42


def test_erk_keeps_more_in_linear_layers_than_snip():
    masks = {
        "0.0.weight": torch.ones(6),
        "8.weight": torch.tensor([1, 1, 0]),
        "8.bias": torch.zeros(2),
    }
    assert methods.linear_share("alexnet-s", masks) == 25
    # By hand: ε · Σ dims of the layers of AlexNet-s, the last of which is whole.
    convolutions = [96 + 3 + 22, 256 + 96 + 10, 384 + 256 + 6, 768 + 6, 640 + 6]
    linear = [1024 + 256, 2048]
    shares = methods.linear_shares("alexnet-s")
    whole = 10_240 / 507_022
    part = (1 - whole) * sum(linear) / sum(linear + convolutions)
    assert shares["erk"] == pytest.approx(100 * (whole + part), abs=0.2)  # but for biases
    assert 20 < shares["snip"] < 30
