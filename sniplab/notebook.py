"""How a notebook of the report is opened: its rows, claims, figures and tables, a line each."""

import html
import os
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from bs4 import BeautifulSoup
from IPython.display import HTML, Markdown, display

from snipcore import MODELS, pick_device
from sniplab.runs.config import CONFIG_FIELDS, RECIPE_FIELDS
from sniplab.runs.grid import CUT, LOST
from sniplab.sections import COMMITTED, Plan, output_folder, rows_of
from sniplab.show import DATA_TITLES, counted, plot_style, spanned
from sniplab.verdicts import table_of

STEPS = {  # by network, or by its data
    "lenet-300-100": 540,
    "squeezenet-vanilla": 60,
    "mnist": 120,
    "cifar10": 3,
}


@dataclass(frozen=True)
class Section:
    """A section of the report under one profile, as from `open_section`."""

    name: str  # of its notebook and of its file of rows
    profile: str
    device: torch.device
    n_jobs: int
    folder: Path  # of results and figures

    def rows(self, plan: Plan, name: str | None = None) -> pd.DataFrame:
        """The rows of a plan, as from `rows_of`, of this section's file or of another, `name`; one
        line says how many there are, how many did not end well, and how many masks empty a
        layer."""
        with warnings.catch_warnings():  # of what the line says
            warnings.filterwarnings("ignore", f".* ({CUT}|{LOST})", UserWarning)
            name = name or self.name
            rows = rows_of(name, plan, self.profile, self.folder, self.n_jobs, self.device)
        runs = rows.drop_duplicates(["run", "data"])
        planned = len({config for part in plan.values() for config in part})
        line = f"{len(runs):,} of {counted(planned, 'run')}"
        if lost := int((runs.status != "ok").sum()):
            line += f", {lost} of them diverged or failed"
        if cut := int((runs.collapsed != "").sum()):
            line += f", {cut} with a mask that empties a layer or cuts the network"
        if self.profile == COMMITTED and len(runs) < planned:
            line += f". Profile {COMMITTED} trains nothing: for runs of your own take quick"
        print(line)
        return rows

    def steps(self, network: str) -> int:
        """How long `compare` trains a network of MODELS in this profile: some seconds."""
        steps = STEPS.get(network, STEPS[MODELS[network].dataset])
        return min(steps, 8) if self.profile == "smoke" else steps

    def claims(self, claims: list[dict]) -> None:
        """Show rows of the table of claims."""
        table = table_of(claims).rename(columns={"published": "paper"})
        caption = "What the paper says, and what we find. Differences of errors are in points."
        if self.profile != COMMITTED:
            caption += " These numbers are of this run, those in the text of the committed report."
        self.table(table, "", caption, shown=table[["claim", "paper", "ours", "verdict"]])

    def _lacks_runs(self, kind: str, rows: pd.DataFrame | None, caption: str) -> bool:
        """Whether there are no runs behind a figure or table, such as those that are collected for
        the committed report; a line says so."""
        lacking = rows is not None and rows.empty
        if lacking:
            print(f"No {kind}: profile {self.profile} has no runs for it. {caption}")
        return lacking

    def figure(
        self,
        figure: plt.Figure,
        name: str,
        table: pd.DataFrame,
        caption: str,
        rows: pd.DataFrame | None = None,
    ) -> None:
        """Show a figure over its caption, and write figures/<name>.png, and .csv of the data behind
        it; with SNIP_PDF set, .pdf, too. Where a profile has no runs for it, a line says so.

        Args:
            caption: says what is to be seen, in Markdown, true under any profile.
            rows: the runs behind it, whose seeds and lengths end the caption.
        """
        if self._lacks_runs("figure", rows, caption):
            plt.close(figure)
            return
        stem, text = self.folder / "figures" / name, _with_facts(caption, rows)
        figure.savefig(stem.with_suffix(".png"), dpi=150, bbox_inches="tight")
        if os.environ.get("SNIP_PDF"):
            figure.savefig(stem.with_suffix(".pdf"), bbox_inches="tight")
        table.to_csv(stem.with_suffix(".csv"), index=False)
        fields = {"alt": caption[:300], "caption": text, "name": name}
        display(figure, metadata={"image/png": fields})
        plt.close(figure)  # or the notebook shows it once more
        display(Markdown(f"*{text}*"), metadata={"caption": name})

    def table(
        self,
        table: pd.DataFrame,
        name: str,
        caption: str,
        rows: pd.DataFrame | None = None,
        shown: pd.DataFrame | None = None,
        form: str | Mapping[str, str | Callable] | None = None,
        index: bool = False,
    ) -> None:
        """Show a table over its caption, and write it to figures/<name>.csv. Where a profile has no
        runs for it, a line says so.

        Args:
            name: "" for a table that is not kept.
            caption, rows: as for `figure`.
            shown: what of it is shown, all by default.
            form: format of the cells, such as "{:,}", or of each of some columns by name; a
                function from a value to its text does as well.
            index: whether to show it.
        """
        if self._lacks_runs("table", rows, caption):
            return
        if name:
            table.to_csv(self.folder / "figures" / f"{name}.csv", index=index)
        text = _with_facts(caption, rows)
        shown = table if shown is None else shown
        style = shown.style.format(na_rep="–", precision=2, thousands=",", escape="html")
        if form is not None:  # the other columns stay as above
            columns = list(form) if isinstance(form, Mapping) else None
            style = style.format(form, columns, na_rep="–", escape="html")
        style = style.set_uuid(name or f"{self.name}_{zlib.crc32(caption.encode())}")
        if not index:
            style = style.hide(axis="index")
        style = style.set_caption(html.escape(text, quote=False))
        text_columns = [
            number for number, column in enumerate(shown.dtypes)
            if not pd.api.types.is_numeric_dtype(column)
        ]  # fmt: skip
        aligned = with_text_to_the_left(style.to_html(), text_columns)
        display(HTML(aligned), metadata={"text/html": {"name": name, "caption": text}})


def with_text_to_the_left(table: str, columns: Iterable[int]) -> str:
    """A Styler's HTML with some columns, and the index, aligned to the left, cell by cell: what
    JupyterLab shows of a notebook that it does not trust has no style sheet."""
    soup = BeautifulSoup(table, "html.parser")
    for cell in soup.select(", ".join([".row_heading", *(f".col{n}" for n in columns)])):
        cell["style"] = "text-align: left"
    for sheet in soup("style"):
        sheet.decompose()
    return str(soup)


def open_section(
    name: str,
    profile: str = "quick",
    device: str | None = None,
    n_jobs: int = -1,
    out: str | os.PathLike | None = None,
) -> Section:
    """Open a section of the report: its folder, its device, and one look for all its figures.

    Args:
        name: of the notebook, such as "1_sparsity_sweep".
        profile: "smoke", "quick", "desktop" (stored rows, nothing is trained) or "paper".
        device: "cpu" or "cuda"; None: CUDA where there is one.
        n_jobs: runs at a time; -1: one for each core.
        out: folder of results and figures; None: build/<profile> in the project.

    Raises ValueError for an unknown profile or device, OSError where the folder cannot be written.
    """
    plot_style()
    return Section(name, profile, pick_device(device), n_jobs, output_folder(profile, out))


def facts(rows: pd.DataFrame) -> str:
    """How many seeds, which length and which data are behind rows: "5 to 20 seeds; 75,000
    iterations; MNIST". Seeds are those of runs that differ in nothing else."""
    if rows.empty:
        return "No runs"
    fields = [field.name for field in (*CONFIG_FIELDS, *RECIPE_FIELDS) if field.name != "seed"]
    seeds = rows.groupby([name for name in fields if name in rows]).seed.nunique()
    parts = [f"{spanned(seeds)} seed{'' if seeds.max() == 1 else 's'}"]
    if rows.iterations.max() > 0:
        parts.append(f"{spanned(rows.iterations)} iterations")
    else:
        parts.append("scored, not trained")
    named = rows[["dataset", "source"]].drop_duplicates()
    stand_in = named.source.str.contains("standing in").any()
    titles = ", ".join(dict.fromkeys(named.dataset.map(DATA_TITLES)))
    parts.append(f"digits in place of {titles}" if stand_in else titles)
    return "; ".join(parts)


def _with_facts(caption: str, rows: pd.DataFrame | None) -> str:
    return caption if rows is None else f"{caption} {facts(rows)}."
