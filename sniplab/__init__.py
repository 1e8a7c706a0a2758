"""The laboratory around `snipcore`: data, training, many runs, and the sections of the report.

    data, methods, connectivity, capture <- training <- sparse <- runs <- stats, show, verdicts
        <- sections <- notebook, explorer, prose, page <- report

Each room imports only rooms before it, and each is read alone. `import sniplab as lab` gives the
names below; a section is imported by name: `from sniplab.sections import sweep`; `report` is run by
itself: `python -m sniplab.report`; so is `gpu`, a first trial on a GPU. A room is imported when one
of its names is first asked for: who only loads data waits for no library of statistics or figures.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # never run: editors read the names here, and so does `_rooms`
    from snipcore import digest
    from sniplab.connectivity import effective_fraction, effective_masks
    from sniplab.data import DATASETS, Data, augment, draw_batch, load_data, random_labels
    from sniplab.methods import (
        METHODS,
        Method,
        keep,
        magnitude_scores,
        make_masks,
        random_scores,
        shuffle_masks,
    )
    from sniplab.notebook import Section, facts, open_section
    from sniplab.runs import (
        COLUMNS,
        CURVE_POINTS,
        CURVES,
        Config,
        curve_text,
        hardware,
        identity,
        parts_of,
        read_results,
        run_grid,
        select,
    )
    from sniplab.sections import COMMITTED, PROFILES, RESULTS, output_folder, rows_of
    from sniplab.show import ENGINE_LOOKS, counted, plot_style, spanned
    from sniplab.sparse import (
        ENGINES,
        SparseLinear,
        sparse_linears,
        stackable,
        step_costs,
        train_stacked,
    )
    from sniplab.stats import paired, percent, points, summarize, t_interval
    from sniplab.training import PROTOCOLS, REFERENCE, History, Recipe, evaluate, recipe_for, train
    from sniplab.trial import compare, draw_course, layers, load_data_for
    from sniplab.verdicts import CLOSE, RULES, tally_of


def _rooms() -> dict[str, str]:
    """The room of each name above."""
    parsed = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    (block,) = (statement for statement in parsed.body if isinstance(statement, ast.If))
    return {alias.name: line.module for line in block.body for alias in line.names}


_ROOMS = _rooms()


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    if not name.startswith("_"):
        try:
            return import_module(f"sniplab.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"sniplab.{name}":
                raise
    raise AttributeError(f"module 'sniplab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})
