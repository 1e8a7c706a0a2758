"""Numbers in prose: what stands between markers in Markdown is renewed from the committed rows.

    costs <!--=cost.lenet-300-100.95-->0.67 ± 0.05<!--/--> points        the number, by its name
    <!--expect first_costly.lenet-300-100=80 %-->      what the words around take for granted

Names are those of the sections' `values`. No reader sees the markers. A line that begins with one
is HTML to Markdown: begin it with a word.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pandas as pd

from sniplab.sections import (
    COMMITTED,
    RESULTS,
    architectures,
    conclusion,
    conclusion_claims,
    connections,
    stored_rows,
    sweep_biases,
    sweep_paths,
    sweep_published_rate,
    sweep_time,
)
from sniplab.sections.connections_scored import read_tables
from sniplab.verdicts import tally_of

MARKER = re.compile(r"<!--=(\S+?)-->(.*?)<!--/-->", re.DOTALL)
EXPECTATION = re.compile(r"<!--expect (\S+?)=(.*?)-->")


def committed() -> tuple[dict[str, str], pd.DataFrame]:
    """By what RESULTS keeps: the numbers that prose may quote, formatted, by name, those of all
    sections; and the table of claims.

    Raises ValueError where two sections give a name to different numbers, or a name has a space.
    """
    rows = conclusion_claims.known_rows(COMMITTED, RESULTS)
    claims = conclusion_claims.claims_table(rows, COMMITTED, RESULTS)
    own = stored_rows("6_conclusion", conclusion.plan(COMMITTED), RESULTS)
    swept = rows["1_sparsity_sweep"]
    numbers = [
        sweep_biases.values(rows["1_biases"], rows["1_methods"], swept),
        sweep_paths.values(swept, rows["1_methods"]),
        sweep_published_rate.values(rows["1_published_rate"], swept),
        sweep_time.values(),
        architectures.values(rows["2_architectures"], rows["2_layers"]),
        connections.values(read_tables(RESULTS)),
        conclusion_claims.values(own, claims),
    ]
    for module, name in conclusion_claims.MAIN:
        numbers.append(module.values(rows[name], conclusion_claims.PLANS[name](COMMITTED)))
    for module, names in conclusion_claims.COLLECTED:
        numbers.append(module.values(*(rows[name] for name in names)))
    number_texts: dict[str, str] = {}
    for values in numbers:
        for name, text in values.items():
            if number_texts.setdefault(name, text) != text:
                raise ValueError(f"two sections give {name}: {number_texts[name]} and {text}")
            if re.search(r"\s", name):
                raise ValueError(f"the name {name!r} has a space")
    return number_texts, claims


def renewed(text: str, values: Mapping[str, str], where: str) -> str:
    """Markdown with its numbers renewed.

    Raises ValueError, naming `where`, for a name that `values` lacks, for a number that there is
    none of ("–"), and where the words expect another value than the rows give: they are to be
    written anew.
    """

    def value(name: str) -> str:
        if values.get(name, "–") == "–":
            raise ValueError(f"{where}: no number is called {name}")
        return values[name]

    for name, expected in EXPECTATION.findall(text):
        if value(name) != expected:
            raise ValueError(
                f"{where}: the words expect {name} to be {expected}; by the rows it is "
                f"{value(name)}. Write them anew, and then what they expect."
            )
    return MARKER.sub(lambda match: f"<!--={match[1]}-->{value(match[1])}<!--/-->", text)


def documents(root: Path) -> list[Path]:
    """The texts of the project that hold numbers: README, docs and notebooks."""
    return [
        root / "README.md",
        *sorted(root.glob("docs/*.md")),
        *sorted(root.glob("notebooks/[0-9]*.ipynb")),
    ]


def texts(path: Path) -> list[tuple[str, str]]:
    """The Markdown of a document, each piece with where it stands."""
    if path.suffix != ".ipynb":
        return [(path.name, path.read_text(encoding="utf-8"))]
    cells = enumerate(nbformat.read(path, 4).cells)
    return [
        (f"{path.name}, cell {number}", cell.source)
        for number, cell in cells
        if cell.cell_type == "markdown"
    ]


def renew(path: Path, values: Mapping[str, str]) -> bool:
    """Renew the numbers in a document, a Markdown file or a notebook; whether any changed. Errors
    as for `renewed`."""
    old = texts(path)
    new = [renewed(text, values, where) for where, text in old]
    if new == [text for _, text in old]:
        return False
    if path.suffix == ".ipynb":
        notebook = nbformat.read(path, 4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
        for cell, text in zip(cells, new, strict=True):
            cell.source = text
        nbformat.write(notebook, path)
    else:
        path.write_text(new[0], encoding="utf-8")
    return True


SHOWN = (  # the claims of the README, by id
    "cost.lenet-300-100.95",
    "cost.lenet-5-caffe.98",
    "over_shuffled.lenet-300-100",
    "over_shuffled.lenet-5-caffe",
    "connected",
    "within_a_point.convolutional",
    "ruined.gru-s",
    "memory.pruned_random",
)


def as_markdown(table: pd.DataFrame) -> str:
    """A table in Markdown. A bar in a cell would end it."""
    lines = [list(table), ["---"] * table.shape[1], *table.astype(str).to_numpy().tolist()]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def claims_as_markdown(claims: pd.DataFrame) -> str:
    """The whole table of claims: the tally, then the claims group by group, the main result first,
    each with where the paper makes it."""
    heads = ["claim", "paper", "ours", "verdict", "seeds", "runs"]
    parts = [as_markdown(tally_of(claims))]
    claims = claims.rename(columns={"published": "paper"})
    claims = claims.assign(claim=claims.claim + " (" + claims.section + ")")
    for group, rows in claims.groupby("group", sort=False):
        parts.append(f"## {group[0].upper()}{group[1:]}\n\n{as_markdown(rows[heads])}")
    return "\n".join(parts)


def verdicts_as_markdown(claims: pd.DataFrame) -> str:
    """The verdicts that the README shows, those of SHOWN."""
    rows = claims.set_index("id").loc[list(SHOWN)]
    return as_markdown(rows[["claim", "verdict"]])


def with_table(text: str, mark: str, table: str) -> str:
    """A text with a table between "<!-- mark -->" and "<!-- end of mark -->"."""
    start, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
    before, remainder = text.split(start)
    return f"{before}{start}\n{table}\n{end}{remainder.split(end)[1]}"


def renew_documents(root: Path) -> None:
    """Renew the numbers in README, docs and notebooks, and the tables of claims."""
    values, claims = committed()
    for path in documents(root):
        if renew(path, values):
            print(f"{path.relative_to(root)}: renewed")
    for name, mark, table in (
        ("README.md", "verdicts", verdicts_as_markdown(claims)),
        ("docs/claims.md", "claims", claims_as_markdown(claims)),
    ):
        path = root / name
        old = path.read_text(encoding="utf-8")
        new = with_table(old, mark, table)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"{name}: table of {mark} renewed")
