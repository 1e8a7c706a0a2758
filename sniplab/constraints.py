"""The exact versions behind the committed report, as a file of constraints for pip.

python -m sniplab.constraints    writes constraints.txt beside pyproject.toml
"""

import platform
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def installed(requirements: list[str]) -> dict[str, str]:
    """Version by name, in the order of the alphabet, of every package here that some requirements
    need, directly or through others; what is asked for and not installed is left out."""
    versions: dict[str, str] = {}
    asked, left = set(), [Requirement(text) for text in requirements]
    while left:
        wanted = left.pop()
        name = canonicalize_name(wanted.name)
        for extra in {"", *wanted.extras} - {had for of, had in asked if of == name}:
            asked.add((name, extra))
            try:
                found = distribution(name)
            except PackageNotFoundError:
                continue
            versions[name] = Version(found.version).public  # "2.9.1", of the CPU build "2.9.1+cpu"
            needed = map(Requirement, found.requires or ())
            left += [r for r in needed if r.marker is None or r.marker.evaluate({"extra": extra})]
    return dict(sorted(versions.items()))


def constraints(project: Path = PROJECT) -> str:
    """A line "name==version" for each package behind the dependencies and extras of a project's
    pyproject.toml, under a comment that names the release of Python."""
    about = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    extras = about["optional-dependencies"].values()
    requirements = [*about["dependencies"], *(line for lines in extras for line in lines)]
    others = [line for line in requirements if Requirement(line).name != about["name"]]
    lines = [f"# Python {platform.python_version()}. Written by `make publish`."]
    lines += [f"{name}=={version}" for name, version in installed(others).items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PROJECT.with_name("constraints.txt").write_text(constraints(), encoding="utf-8")
