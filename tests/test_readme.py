"""What the README shows is run as it stands."""

import re
from pathlib import Path

import snipcore as snip
import sniplab as lab

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_example_on_ones_own_network_runs():
    (code,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    names = {}
    exec(code, names)
    model, masks = names["model"], names["masks"]
    weights = snip.prunable(model)
    assert all(not weight[~masks[name]].any() for name, weight in weights.items())
    m = sum(weight.numel() for weight in weights.values())
    assert sum(int(mask.sum()) for mask in masks.values()) == snip.kept_count(m, 0.95)


def test_every_file_and_target_it_names_is_there():
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / path).exists(), path
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z]+)", README)) <= set(targets)


def test_every_profile_is_in_its_table():
    assert re.findall(r"^\| `([a-z]+)` \|", README, re.MULTILINE) == list(lab.PROFILES)
