"""Exact versions for pip, and the files that use them."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
ABOUT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_stored_versions_are_those_that_the_project_asks_for():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    stored = dict(line.split("==") for line in lines)
    assert all(Version(version).local is None for version in stored.values())  # no "+cu130"
    stored = {canonicalize_name(name): version for name, version in stored.items()}
    asked = [Requirement(r) for r in ABOUT["dependencies"]]
    asked += [Requirement(r) for of in ABOUT["optional-dependencies"].values() for r in of]
    for wanted in asked:
        if wanted.name != ABOUT["name"]:
            assert wanted.specifier.contains(stored[canonicalize_name(wanted.name)]), wanted.name


def imported(files):
    """Modules that files import, those of the project and of Python apart."""
    names = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module)
    names = {name.split(".")[0] for name in names}
    own = {"snipcore", "sniplab", *(path.stem for path in ROOT.glob("tests/*.py"))}
    return names - own - set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("files", "extras"),
    [
        (["snipcore.py"], []),
        (ROOT.glob("sniplab/**/*.py"), ["report"]),
        (ROOT.glob("tests/[ct]*.py"), ["report", "cluster", "test"]),
    ],
    ids=["snipcore", "sniplab", "tests"],
)
def test_what_is_imported_is_asked_for(files, extras):
    asked = [Requirement(text) for text in ABOUT["dependencies"]]
    asked += [Requirement(r) for extra in extras for r in ABOUT["optional-dependencies"][extra]]
    asked = {canonicalize_name(wanted.name) for wanted in asked}
    sold_as = packages_distributions()
    for module in imported([ROOT / file for file in files]):
        assert asked & {canonicalize_name(name) for name in sold_as[module]}, module


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
