"""The rules by which rows give a verdict on a claim, and the words for it.

Verdicts: "reproduced", "in part", "not reproduced", "inconclusive", where the runs are there and
their intervals are too wide to tell, and "untested", where runs that the claim needs are missing or
of one seed, or where the dense network that is pruned is not trained out. Then a comparison with a
published error, or of a pruned network with a dense one, measures how fast a network learns. Why
may follow after a colon.
"""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from snipcore import check_known
from sniplab.runs import Config, identity
from sniplab.show import spanned
from sniplab.stats import points

CLOSE = 0.3  # points: a number within them is the published one
LEARNED, FAILED = 10.0, 80.0  # percent of training error: at most, at least
RUINED = 10.0  # points of test error
ROUNDING = 0.01  # points: of a published difference of two errors with two digits
TRAINED_OUT = 1.0  # points: a dense network within them of its published error is trained out
UNTRAINED = 40.0  # percent: a dense network that errs by more is hardly trained

ADDED = "not in the paper"  # the section of a question that it did not ask, answered by HOLDS
HOLDS = {"reproduced": "holds", "in part": "holds in part", "not reproduced": "does not hold"}
GROUPS = (  # what claims are about, so that no tally of dense networks hides the main result
    "pruned beside dense",
    "which connections",
    "architectures",
    "data and initialisation",
    "random labels",
    "dense networks and implementation",
)
VERDICTS = ("reproduced", "in part", "not reproduced", "inconclusive", "untested")

RULES = {
    "number": f"Reproduced: the whole 95 % interval lies within {CLOSE} points of the published "
    "number. In part: the mean does, or that of the best of the last five checkpoints, and the "
    f"interval is no wider than ± {CLOSE}. Not reproduced: neither, and the interval excludes the "
    "published number. Untested, for a pruned network: the dense one errs by more than "
    f"{TRAINED_OUT:g} point above its own published error.",
    "difference": "The same, for the difference pruned − dense within a seed; there is no best "
    "checkpoint.",
    "direction": "Reproduced: every comparison has the claimed sign, at q < 0.05 after the "
    "correction of Benjamini & Hochberg over what one table shows. In part: some have. Not "
    "reproduced: none has, and some have the opposite one or exclude the published difference, "
    f"which is rounded to ± {ROUNDING}. Untested: a comparison that the claim needs is missing.",
    "equality": f"Reproduced: every 95 % interval lies within ± {CLOSE} points, or ± 1 where the "
    "claim says a point. In part: some do. Not reproduced: none does, and some lie wholly outside. "
    "Untested: a comparison that the claim needs is missing (of architectures, where none refutes "
    f"it), or the dense network errs by more than {TRAINED_OUT:g} point above its own published "
    "error.",
    "ruin": f"Reproduced: the error is higher by at least {RUINED:g} points in every seed, or the "
    "run diverges; the more seeds there are, the harder this is to meet. In part: in some. Not "
    "reproduced: in none. Untested where the network that it is compared with errs by more than "
    f"{UNTRAINED:g} %: it is hardly trained, and may only be slower.",
    "memory": f"Learned: a training error of at most {LEARNED:g} % in every seed. Failed: of at "
    f"least {FAILED:g} % in every seed, where the dense network has learned the same labels. In "
    "part: what lies between. Not reproduced: the opposite of the claim, in every seed.",
    "count": "Reproduced: all of them (networks, by the masks of every seed; of pictures all ten, "
    "at every sparsity and by both measures). In part: some. Not reproduced: none.",
    "every rule": "Inconclusive: the runs are there, but no comparison holds and none fails: they "
    "are not significant after the correction, or their intervals reach across the limit. A "
    "number that lost a run, which diverged or failed, is reproduced in part at most; a difference "
    "that lost a pair does not hold.",
}


def from_to(differences: Iterable[float]) -> str:
    """ "+0.30 to +4.02", or "+0.30" where there is no more to tell."""
    return " to ".join(dict.fromkeys((points(min(differences)), points(max(differences)))))


def fewest(table: pd.DataFrame) -> int:
    """The smallest number of pairs of a row of `paired`; 0 without any row."""
    return int(table.n.min()) if len(table) else 0


def judged(holds: Iterable[bool], fails: Iterable[bool] | None = None) -> tuple[str, str]:
    """The verdict on several comparisons, which hold, fail (if not said: do not hold), or cannot
    tell; and, of more than one, how it came about: ": 5 of 6 hold, 1 undecided"."""
    holds = np.array(list(holds), dtype=bool)
    fails = ~holds if fails is None else np.array(list(fails), dtype=bool)
    undecided = (~holds & ~fails).sum()
    tally = f": {holds.sum()} of {len(holds)} hold" if len(holds) > 1 else ""
    if tally and undecided:
        tally += f", {undecided} undecided"
    if holds.any():
        return "reproduced" if holds.all() else "in part", tally
    if fails.any():
        return "not reproduced", tally
    return "inconclusive" if len(holds) else "untested", tally


def new_claim(
    id: str, group: str, section: str, claim: str, published: str, rule: str, runs: str, seeds: int
) -> dict:
    """A row of the table of claims, untested as yet.

    Args:
        id: names it for code, such as "cost_95.lenet-300-100"; what is printed may change.
        group: one of GROUPS.
        section: of the paper, such as "§5.2, Table 1", or ADDED.
        rule: one of RULES.
        runs: how long they were, as from `length_of`; seeds: the smallest number of any comparison.
    """
    check_known(group, GROUPS, "group of claims")
    check_known(rule, RULES, "rule")
    row = {"id": id, "group": group, "section": section, "claim": claim, "published": published}
    return row | {"rule": rule, "runs": runs, "seeds": seeds, "ours": "–", "verdict": "untested"}


def undertrained(dense_error: float, published: float) -> str:
    """Why a comparison with a published error says nothing yet: "dense network not trained out
    (16.5 %, published 8.2)"; or "" where the dense network's mean error is at most one point above
    the published dense error, both in percent."""
    if dense_error <= published + TRAINED_OUT + 1e-9:  # false for NaN, too
        return ""
    if math.isnan(dense_error):
        return "no dense network ended well"
    return f"dense network not trained out ({dense_error:.1f} %, published {published:g})"


def close(difference):
    """Whether a difference, or each of several, is within CLOSE points."""
    return abs(difference) <= CLOSE + 1e-9  # 1.1 − 0.8 is more than 0.3 to a computer


def near(ours: pd.Series, published: float, best: float = math.nan) -> str:
    """The verdict on a number beside a published one.

    Args:
        ours: a row of `summarize` or `paired`.
        best: what the reference implementation reports, the smallest test error over the last five
            checkpoints, in the mean over seeds. The smallest over all of them would be lower, and
            easier to come near by, the more often a run is tested.
    """
    distance, half = abs(ours["mean"] - published), ours.half  # NaN of one seed: nothing holds
    if close(distance + half):
        return "in part" if ours.lost else "reproduced"
    if close(half) and (close(distance) or close(best - published)):
        return "in part"
    if distance > half and not close(distance) and not close(best - published):
        return "not reproduced"
    return "untested" if math.isnan(half) else "inconclusive"  # of one seed


def length_of(rows: pd.DataFrame) -> str:
    """ "75,000 iterations", and whether they follow the reference's defaults."""
    if rows.empty:
        return "no runs yet"
    defaults = bool((rows.reinit == "vs").all())
    length = f"{spanned(rows.iterations)} iterations"
    return f"{length}, the code's defaults" if defaults else length


def at(sparsity: float) -> str:
    """ "at 95 %", or "dense"."""
    return f"at {100 * sparsity:.0f} %" if sparsity else "dense"


def equal(claim: dict, table: pd.DataFrame, tolerance: float) -> dict:
    """A claim with the verdict on differences that are to be none, and how it came about. One that
    lost a pair is undecided."""
    distance, complete_pairs = table["mean"].abs(), table.lost == 0
    limit = tolerance + 1e-9  # 1.1 − 0.8 is more than 0.3 to a computer
    within, beyond = distance + table.half <= limit, distance - table.half > limit
    verdict, tally = judged(complete_pairs & within, complete_pairs & beyond)
    if verdict == "inconclusive" and table.half.isna().any():  # of one seed
        verdict = "untested"
    return claim | {"ours": claim["ours"] + tally, "verdict": verdict}


def directed(table: pd.DataFrame, sign: str) -> tuple[str, str]:
    """As from `judged`, of differences that are all to be "higher", or "lower". One fails by the
    other sign, or by an interval that excludes the `published` difference, where there is one; one
    that lost a pair is undecided."""
    complete_pairs, way = table.lost == 0, 1 if sign == "lower" else -1
    fails = table.verdict == {"higher": "lower", "lower": "higher"}[sign]
    if "published" in table:
        fails |= way * (table["mean"] - table.published) > table.half + ROUNDING
    return judged(complete_pairs & (table.verdict == sign), complete_pairs & fails)


def missing(rows: pd.DataFrame, configs: Iterable[Config]) -> str:
    """Why a claim on planned runs has no verdict yet: "3 of 40 runs missing"; "" where none is.

    Raises ValueError where two of `rows` are of one run: they would count as two seeds.
    """
    if rows.run.duplicated().any():
        raise ValueError(f"two rows of one run: {rows.run[rows.run.duplicated()].iloc[0]}")
    planned_runs = {identity(config) for config in configs}
    left = len(planned_runs - set(rows.run))
    return f"{left} of {len(planned_runs)} runs missing" if left else ""


def collected_claim(
    id: str,
    group: str,
    text: str,
    rows: pd.DataFrame,
    configs: Iterable[Config],
    table: pd.DataFrame,
    difference: str,
    holds: str = "higher",
) -> dict:
    """A question of this report about runs that are collected over many days: untested while some
    are missing, else by how many comparisons have the verdict `holds`.

    Args:
        id, group: as for `new_claim`; text: the claim.
        rows: of the runs that there are; configs: those that are planned.
        table: the comparisons, as from `paired`; difference: what they are, in words.
    """
    claim = new_claim(id, group, ADDED, text, "–", "direction", length_of(rows), fewest(table))
    if reason := missing(rows, configs):
        return claim | {"verdict": f"untested: {reason}"}
    if table.empty or (table.n < 2).any():
        return claim
    verdict, tally = directed(table, holds)
    numbers = table.text.iloc[0] if len(table) == 1 else from_to(table["mean"])
    return claim | {"ours": f"{difference}: {numbers} points{tally}", "verdict": verdict}


COLUMNS = [
    "id", "group", "section", "claim", "published", "ours", "verdict", "seeds", "runs", "rule",
]  # fmt: skip


def table_of(claims: Iterable[dict]) -> pd.DataFrame:
    """A table of claims, as from `new_claim`, the main result first: COLUMNS, group by group in the
    order of GROUPS. What this report asked by itself "holds" or does not.

    Raises ValueError where two claims share an id, which names one for code.
    """
    table = pd.DataFrame(list(claims), columns=COLUMNS)
    if table.id.duplicated().any():
        raise ValueError(f"two claims are called {table.id[table.id.duplicated()].iloc[0]}")
    order = table.group.map(GROUPS.index).sort_values(kind="stable").index
    table = table.loc[order].reset_index(drop=True)
    added = table.section == ADDED
    table.loc[added, "verdict"] = table.verdict[added].map(_answer)
    return table


def _answer(verdict: str) -> str:
    """The verdict on a question of this report: HOLDS, and the reason, if one is given."""
    word, colon, reason = verdict.partition(":")
    return HOLDS.get(word, word) + colon + reason


def tally_of(claims: pd.DataFrame) -> pd.DataFrame:
    """How many claims of the paper have which of VERDICTS, and how many questions this report asked
    by itself (ADDED): a row for each group, the main result first. One tally of all would let what
    is said of pictures and dense networks hide what is said of pruned ones."""
    word = claims.verdict.str.partition(":")[0].where(claims.section != ADDED, ADDED)
    table = pd.crosstab(claims.group, word)
    groups = [group for group in GROUPS if group in table.index]
    columns = [*VERDICTS, ADDED]
    table = table.reindex(index=groups, columns=columns, fill_value=0)
    return table.rename_axis(columns=None).reset_index()
