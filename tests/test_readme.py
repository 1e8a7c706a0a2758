"""What the README shows is run as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *ROOT.glob("docs/*.md")], ids=lambda p: p.name
)
def test_every_file_and_target_that_is_named_is_there(path):
    text = path.read_text()
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", text):
        assert (path.parent / link).exists(), link
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z]+)", text)) <= {*targets, "test-all"}


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("data", f"{ROOT}/data"),
        ("../my data/mnist  1", f"{ROOT.parent}/my data/mnist  1"),
        ("/data of all/", "/data of all"),
        ("~", "{home}"),
        ("~/my data", "{home}/my data"),
        ('it\'s $HOME, `pwd` (#1) & "more"; \\', f'{ROOT}/it\'s $HOME, `pwd` (#1) & "more"; \\'),
    ],
)
def test_a_folder_of_data_is_that_of_the_caller(tmp_path, before, given, meant):
    """`SNIP_DATA=data make report` and `make report SNIP_DATA=data` alike."""
    (tmp_path / "probe.mk").write_text("include Makefile\nprobe:\n\t@printenv SNIP_DATA\n")
    command = ["make", "--silent", "--file", str(tmp_path / "probe.mk"), "probe"]
    plain = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "SNIP_DATA")}
    plain |= {"HOME": str(tmp_path)}
    env = plain | {"SNIP_DATA": given} if before else plain
    command += [f"PYTHON={sys.executable}"]
    command += [] if before else [f"SNIP_DATA={given}"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.removesuffix("\n") == meant.replace("{home}", str(tmp_path))


def test_no_folder_of_data_is_lost_where_python_is_not_found(tmp_path):
    """Else digits would stand in for them."""
    command = ["make", "--dry-run", "report", "SNIP_DATA=data", f"PYTHON={tmp_path}/none"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode and "SNIP_DATA cannot be made a path by" in done.stderr


def test_copies_for_jupyter_are_made_once(tmp_path):
    """Where `cp -n` ends with an error if the file is there, as on macOS, too."""
    (tmp_path / "notebooks").mkdir()
    for name in ("cp", "jupyter"):
        (tmp_path / name).touch(mode=0o755)
    (tmp_path / "cp").write_text('#!/bin/sh\ntest "$1" != -n && /bin/cp "$@"\n')
    (tmp_path / "jupyter").write_text("#!/bin/sh\n")
    command = ["make", "--file", str(ROOT / "Makefile"), "lab", "READY=", f"BIN={tmp_path}"]
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for text in ("first", "second"):
        (tmp_path / "notebooks" / "a.ipynb").write_text(text)
        subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=True)
    assert (tmp_path / "build" / "lab" / "a.ipynb").read_text() == "first"


def test_it_is_read_in_five_minutes():
    assert len(README.split()) <= 900  # code, tables and markers, too
    assert README.index("make page") < 2500 and README.index("make report") < 2500  # characters


def test_every_profile_is_named():
    (line,) = re.findall(r"PROFILE=…` takes (.+)", README)
    assert re.findall(r"`([a-z]+)`(?= \()", line) == list(lab.PROFILES)
