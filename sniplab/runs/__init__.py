"""Many runs: what each is, doing them in parallel, and the files that hold a row of each."""

from sniplab.runs.grid import (
    COLUMNS,
    CURVE_POINTS,
    Config,
    curve_text,
    hardware,
    layer_counts,
    parts_of,
    read_results,
    run_grid,
    select,
)
