"""The laboratory around `snipcore`: data, training, many runs, and the figures of the report.

    controls <- data <- training <- sparse <- grid <- profiles <- figures
             <- claims <- report

Each room imports only rooms before it, and each is read alone. `import sniplab as lab` gives the
names below; `report` is run by itself: `python -m sniplab.report`.
"""

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
from sniplab.profiles import (
    ALL,
    CHOICES,
    CONTROLS,
    CUT,
    LONGER,
    PROFILES,
    RESULTS,
    SECTIONS,
    VARIANTS,
    architecture_configs,
    choice_configs,
    defaults_configs,
    gate_configs,
    initializer_configs,
    learning_rate_configs,
    output_folder,
    random_label_configs,
    scoring_batch_configs,
    section_rows,
    survival_configs,
    sweep_configs,
    table_1_configs,
    variant_configs,
)
from sniplab.runs import (
    COLUMNS,
    CURVE_POINTS,
    CURVES,
    Config,
    curve_text,
    hardware,
    identity,
    layer_counts,
    parts_of,
    read_results,
    run_grid,
    select,
)
from sniplab.show import (
    ENGINE_LOOKS,
    counted,
    plot_style,
    provenance,
    save_figure,
    say,
    show_figure,
    show_table,
    spanned,
    tally,
)
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
from sniplab.verdicts import PUBLISHED, RULES, claims_table, known_rows
