"""The table of ways to choose connections: SNIP's, the controls that the paper left out, and what
came after it.

To add a method: write a function that makes its masks, in `sniplab.pruners` or `sniplab.controls`,
say, and give it a line in METHODS. `run_grid`, tables and figures take it from there.

Frankle, Dziugaite, Roy & Carbin. Pruning neural networks at initialization: why are we missing the
mark? ICLR 2021, arXiv:2009.08576.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from snipcore import check_known
from sniplab.controls import (
    degrees_masks,
    erk_masks,
    inputs_masks,
    permuted_labels_masks,
    random_masks,
    rescale,
    shuffled_masks,
    uniform_masks,
    units_masks,
)
from sniplab.pruners import (
    force_masks,
    gradient_masks,
    grasp_masks,
    iterative_snip_masks,
    magnitude_masks,
    snip_masks,
    synflow_masks,
)


@dataclass(frozen=True)
class Method:
    """A row of METHODS: how connections are chosen, and how the report calls and draws it."""

    name: str  # of `Config.method` and of the column of the rows
    label: str  # in legends and tables
    # Told apart by a colour-blind reader, too (Okabe & Ito). What came after SNIP, and controls of
    # its controls, take colours again, with markers of their own: no figure shows all.
    colour: str
    marker: str
    line: str  # matplotlib's line style
    # From (model, x, y, sparsity, seed, norm, biases), as `make_masks` has them, to masks.
    masks: Callable[..., dict[str, Tensor]] | None
    adjust: Callable[[nn.Module, Mapping[str, Tensor]], None] | None = None  # weights, once pruned


_ROWS = (  # as the fields of Method
    ("dense", "dense", "#000000", "s", "-", None),
    ("snip", "SNIP", "#0072b2", "o", "-", snip_masks),
    ("shuffled", "SNIP, shuffled within layers", "#cc79a7", "D", "--", shuffled_masks),
    ("magnitude", "magnitude at initialisation", "#e69f00", "^", "-.", magnitude_masks),
    ("random", "random", "#009e73", "v", ":", random_masks),
    ("rescaled", "random, rescaled", "#56b4e9", "P", ":", random_masks, rescale),
    ("gradient", "gradient alone", "#d55e00", "X", ":", gradient_masks),
    # What came after SNIP.
    ("iterative-snip", "iterative SNIP", "#56b4e9", "p", "-", iterative_snip_masks),
    ("force", "FORCE", "#cc79a7", "h", "-", force_masks),
    ("grasp", "GraSP", "#d55e00", "<", "-", grasp_masks),
    ("synflow", "SynFlow", "#009e73", ">", "-", synflow_masks),
    # Random, but fair: no layer is left with too few.
    ("erk", "random, ERK", "#e69f00", "8", "-", erk_masks),
    ("uniform", "random, the same in each layer", "#56b4e9", "s", "--", uniform_masks),
    # What it is in SNIP's mask that shuffling within layers takes away.
    ("shuffled-units", "SNIP, shuffled within units", "#e69f00", "d", "--", units_masks),
    ("shuffled-inputs", "SNIP, shuffled within inputs", "#56b4e9", "*", "--", inputs_masks),
    ("shuffled-degrees", "SNIP, shuffled at equal degrees", "#d55e00", ".", "--", degrees_masks),
    # What is left of SNIP without the labels.
    ("permuted-labels", "SNIP, labels permuted", "#d55e00", "H", "--", permuted_labels_masks),
)
METHODS = {row[0]: Method(*row) for row in _ROWS}


def make_masks(
    model: nn.Module,
    method: str,
    sparsity: float,
    x: Tensor,
    y: Tensor,
    seed: int,
    norm: str = "running",
    biases: bool = True,
) -> dict[str, Tensor] | None:
    """The masks of one of METHODS; None for "dense".

    Arguments as for `sensitivity` and `keep_top`; without `biases`, they all stay and do not count.
    Methods that look at no images use of x the shape, and none of y.
    """
    check_known(method, METHODS, "method")
    function = METHODS[method].masks
    return function and function(model, x, y, sparsity, seed, norm, biases)
