"""Exact versions for pip, and the files that use them."""

import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from sniplab import constraints

ROOT = Path(__file__).resolve().parent.parent
ABOUT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_what_a_package_needs_comes_with_it_and_nothing_else():
    found = constraints.installed(["pytest"])
    assert found["pytest"] == version("pytest") and found["pluggy"] == version("pluggy")
    assert list(found) == sorted(found) and "torch" not in found
    assert "colorama" not in found  # on Windows alone


def test_what_an_extra_needs_comes_with_the_extra_alone():
    assert "distributed" not in constraints.installed(["dask"])
    for asked in (["dask[distributed]"], ["dask", "dask[distributed]"]):
        found = constraints.installed(asked)
        assert {"dask", "distributed", "tornado"} <= set(found)
    assert constraints.installed(["no-such-package"]) == {}


def test_a_build_for_the_cpu_is_named_as_the_release_that_it_is(monkeypatch):
    class Torch:
        version, requires = "2.9.1+cpu", None

    monkeypatch.setattr(constraints, "distribution", lambda name: Torch)
    assert constraints.installed(["torch>=2.4"]) == {"torch": "2.9.1"}


def test_the_stored_versions_are_those_that_the_project_asks_for():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines[0].startswith("# Python 3.")
    stored = dict(line.split("==") for line in lines[1:])
    asked = [Requirement(r) for r in ABOUT["dependencies"]]
    asked += [Requirement(r) for of in ABOUT["optional-dependencies"].values() for r in of]
    for wanted in asked:
        if wanted.name != ABOUT["name"]:
            assert wanted.specifier.contains(stored[wanted.name]), wanted.name


@pytest.mark.parametrize("given", [True, False])
def test_make_installs_them_when_asked(given, tmp_path):
    asked = ["CONSTRAINTS=constraints.txt"] if given else []
    command = ["make", "--dry-run", "--always-make", "lab", *asked]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in told.splitlines() if "pip install" in line)
    assert ("--constraint 'constraints.txt'" in line) == given


def test_conda_and_the_workflow_use_them():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert conda["dependencies"][-1]["pip"] == ["-c constraints.txt", "-e .[test]"]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert steps[-1]["run"] == "make test CONSTRAINTS=constraints.txt"
    assert any("whl/cpu" in step.get("run", "") for step in steps)


def test_before_a_commit_ruff_is_run_and_nothing_else():
    given = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook["entry"] for repository in given["repos"] for hook in repository["hooks"]]
    assert [entry.split()[:2] for entry in hooks] == [
        [".venv/bin/ruff", "check"],
        [".venv/bin/ruff", "format"],
    ]
