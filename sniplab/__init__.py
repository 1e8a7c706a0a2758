"""The laboratory around `snipcore`: data, training, many runs, and the sections of the report.

    data, methods, connectivity, capture <- training <- sparse <- runs <- stats, show, verdicts
        <- sections <- notebook, explorer, prose, page <- report

Each room imports only rooms before it, and each is read alone. `import sniplab as lab` gives the
names below; a section is imported by name: `from sniplab.sections import sweep`; `report` is run by
itself: `python -m sniplab.report`; so is `gpu`, a first trial on a GPU.
"""

from sniplab.connectivity import effective_fraction, effective_masks
from sniplab.data import DATASETS, Data, augment, draw_batch, load_data, random_labels
from sniplab.methods import (
    METHODS,
    Method,
    digest,
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
