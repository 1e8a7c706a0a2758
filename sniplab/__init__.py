"""The laboratory around `snipcore`: data, training, many runs, and the sections of the report.

    data, pruners, controls, methods, connectivity, capture, checkpoint <- recipe, batches
        <- training <- sparse <- engines <- trial, runs <- stats, show, verdicts <- sections
        <- explorer, notebook, prose, page_tables, page <- report

Each room imports only rooms before it, and each is read alone. `import sniplab as lab` gives the
names below; a section is imported by name: `from sniplab.sections import sweep`; `report` is run by
itself: `python -m sniplab.report`; so is `gpu`, a first trial on a GPU. A room is imported when one
of its names is first asked for: who only loads data waits for no library of statistics or figures.
"""

from importlib import import_module

_NAMES = {  # by room
    "snipcore": "digest",
    "sniplab.data": "DATASETS Data draw_batch load_data random_labels",
    "sniplab.engines": "ENGINES",
    "sniplab.pruners": "keep magnitude_scores",
    "sniplab.controls": "random_scores shuffle_masks",
    "sniplab.methods": "METHODS Method make_masks",
    "sniplab.notebook": "facts open_section",
    "sniplab.recipe": "PROTOCOLS REFERENCE Recipe recipe_for",
    "sniplab.runs": "COLUMNS CURVE_POINTS CURVES Config curve_text "
    "hardware identity parameter_count parts_of read_results run_grid select",
    "sniplab.sections": "PROFILES RESULTS output_folder rows_of",
    "sniplab.show": "counted spanned",
    "sniplab.sparse": "SparseLinear sparse_linears stackable train_stacked",
    "sniplab.stats": "paired percent points summarize t_interval",
    "sniplab.training": "History evaluate train",
    "sniplab.trial": "compare draw_course layers load_data_for",
    "sniplab.verdicts": "RULES tally_of",
}
_ROOMS = {name: room for room, names in _NAMES.items() for name in names.split()}


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
