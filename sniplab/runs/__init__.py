"""Many runs: what each is, doing them in parallel, and the files that hold a row of each."""

from sniplab.runs.config import COLUMNS, CURVES, Config, identity, parameter_count
from sniplab.runs.grid import run_grid
from sniplab.runs.machine import hardware
from sniplab.runs.store import parts_of, read_results, select
from sniplab.runs.worker import CURVE_POINTS, curve_text
