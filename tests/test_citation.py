"""CITATION.cff is of the form of citation-file-format.github.io, version 1.2.0."""

import datetime
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
KEYS = {  # of its schema; the first four are asked for
    *("cff-version", "message", "title", "authors", "abstract", "commit", "contact", "doi"),
    *("date-released", "identifiers", "keywords", "license", "license-url", "preferred-citation"),
    *("references", "repository", "repository-artifact", "repository-code", "type", "url"),
    "version",
}
KINDS = {"article", "book", "conference-paper", "data", "report", "software", "thesis"}


def is_person(author: dict) -> bool:
    return "name" in author or {"family-names"} <= set(author) <= {"family-names", "given-names"}


def test_it_is_well_formed():
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION) <= KEYS
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    assert CITATION["authors"] and all(map(is_person, CITATION["authors"]))
    for reference in CITATION["references"]:
        assert reference["type"] in KINDS and reference["title"]
        assert all(map(is_person, reference["authors"]))


def test_it_names_this_version_and_its_date():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert CITATION["version"] == project["version"]
    released = CITATION["date-released"]
    assert type(released) is datetime.date and released >= datetime.date(2026, 11, 29)
