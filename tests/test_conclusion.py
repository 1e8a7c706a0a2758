"""The table of claims and its tally; choices on which implementations differ."""

import pandas as pd
import pytest
from conftest import no_images

import sniplab as lab
from sniplab import verdicts
from sniplab.sections import COMMITTED, RESULTS, conclusion, conclusion_claims, stored_table


def claim(id, group=0, verdict="reproduced", section="§5.1"):
    where = {"group": verdicts.GROUPS[group], "section": section, "rule": "number"}
    words = {"claim": f"Claim {id}.", "published": "1 %", "runs": "none", "seeds": 3}
    return verdicts.new_claim(id, **where, **words) | {"verdict": verdict}


def test_the_claims_stand_in_groups_with_the_main_result_first():
    table = verdicts.table_of([claim("a", 5), claim("b", 0), claim("c", 5), claim("d", 0)])
    assert list(table) == verdicts.COLUMNS and list(table.id) == ["b", "d", "a", "c"]
    with pytest.raises(ValueError, match="two claims are called a"):
        verdicts.table_of([claim("a"), claim("b"), claim("a", 2)])
    assert list(verdicts.table_of([])) == verdicts.COLUMNS


def test_what_the_paper_did_not_claim_holds_or_does_not():
    verdict = {
        "a": "reproduced",
        "b": "in part",
        "c": "not reproduced",
        "d": "untested: no runs",
        "e": "not reproduced",
    }
    claims = [claim(id, 1, word, verdicts.ADDED) for id, word in verdict.items()]
    claims[4]["section"] = "§5.2"
    assert list(verdicts.table_of(claims).verdict) == [
        "holds",
        "holds in part",
        "does not hold",
        "untested: no runs",
        "not reproduced",
    ]


def test_the_tally_of_one_group_hides_no_other():
    """Nine "reproduced" of pictures and dense networks said nothing of pruned ones."""
    claims = [
        claim("a", 0, "not reproduced"),
        claim("b", 0, "untested: dense network not trained out"),
    ]
    claims += [claim(f"c{i}", 4) for i in range(9)]
    claims += [claim("d", 1, "reproduced", verdicts.ADDED)]
    tally = verdicts.tally_of(verdicts.table_of(claims))
    none = dict.fromkeys([*verdicts.VERDICTS, verdicts.ADDED], 0)
    assert tally.to_dict("records") == [
        {"group": "pruned beside dense", **none, "not reproduced": 1, "untested": 1},
        {"group": "which connections", **none, verdicts.ADDED: 1},
        {"group": "random labels", **none, "reproduced": 9},
    ]


@pytest.mark.parametrize(
    "profile",
    ["smoke", COMMITTED, *(pytest.param(p, marks=pytest.mark.slow) for p in ("quick", "paper"))],
)
def test_without_rows_every_claim_is_untested(profile, tmp_path, monkeypatch):
    monkeypatch.setattr("sniplab.sections.RESULTS", tmp_path)
    if profile == COMMITTED:  # the others take no stored table for their own
        monkeypatch.setattr(conclusion_claims, "RESULTS", tmp_path)
    rows = conclusion_claims.known_rows(profile, tmp_path)
    table = conclusion_claims.claims_table(rows, profile, tmp_path)
    assert set(table.verdict.str.partition(":")[0]) == {"untested"}
    assert (table.seeds == 0).all() and set(table.group) == set(verdicts.GROUPS)
    tally = verdicts.tally_of(table)
    assert list(tally.group) == list(verdicts.GROUPS)
    assert tally.drop(columns="group").to_numpy().sum() == len(table)


def test_the_committed_choices_are_of_five_pairs():
    rows = lab.select(conclusion.plan(COMMITTED), RESULTS / "6_conclusion.csv")
    assert set(conclusion.effects(rows).n) == {5}


def test_other_choices_are_compared_with_the_usual_one_of_their_seed():
    def runs(choice, **errors):
        rows = [
            {"part": choice, "seed": seed, "sparsity": level, "error": error}
            for level, of in ((0.95, errors["low"]), (0.98, errors["high"]))
            for seed, error in enumerate(of)
        ]
        return pd.DataFrame(rows).assign(model="lenet-300-100", status="ok")

    usual, changed, other = list(conclusion.CHOICES)[:3]
    rows = pd.concat([
        runs(usual, low=[1.0, 2.0], high=[3.0, 4.0]),
        runs(changed, low=[1.5, 2.7], high=[3.0, 4.0]),
        runs(other, low=[1.0, 2.0], high=[2.0, 3.4]),
    ])  # fmt: skip
    table = conclusion.effects(rows)
    found = list(zip(table.choice, table.sparsity, table["mean"].round(9), table.n, strict=True))
    expected = [(changed, 0.95, 0.6, 2), (changed, 0.98, 0.0, 2)]
    expected += [(other, 0.95, 0.0, 2), (other, 0.98, -0.8, 2)]
    assert found == expected
    assert conclusion.effects(rows[rows.part == usual]).empty


def test_every_choice_differs_from_the_usual_run_of_its_seed():
    plan = conclusion.plan("smoke")
    assert list(plan) == list(conclusion.CHOICES)
    usual, *others = plan.values()
    for configs in others:
        for one, other in zip(usual, configs, strict=True):
            assert one != other and (one.seed, one.sparsity) == (other.seed, other.sparsity)


def test_overlaps_of_masks(digits):
    overlap = conclusion.measure_overlaps(digits).set_index("choice").overlap
    assert overlap[conclusion.USUAL] == overlap["new weights under the mask"] == 1
    assert 0.9 < overlap["biases neither pruned nor counted"] < 1
    assert overlap["gradient without the weight"] < 0.6


def test_a_leaking_mask(digits):
    found = conclusion.leak(digits, steps=30, seed=1)
    assert found["seed"] == 1 and found["as it stands"] != found["mask applied"]
    table = conclusion.measure_leak(digits, "smoke")
    assert list(table.seed) == [0, 1] and (table.test_images == len(digits.y_test)).all()
    # 98 % of 266,610. Were the mask not applied before each pass, all of them would be alive.
    assert (table.pruned == 261_278).all() and table.alive.between(1e5, 2e5).all()
    leaks = pd.DataFrame({"as it stands": [9.0, 12.0], "mask applied": [7.0, 9.0]})
    assert conclusion.leak_difference(leaks) == "+2.50 ± 6.35"  # 12.706 · 0.7071 / √2


def test_the_committed_measurements_are_stored(monkeypatch):
    monkeypatch.setattr(conclusion, "load_data", no_images)
    overlaps = stored_table("6_overlaps")
    assert set(overlaps.choice) == set(conclusion.CHOICES)
    leaks = conclusion.leaks_of(COMMITTED, "mnist", None)
    with pytest.raises(AssertionError, match="images were read"):  # not shown for other data
        conclusion.leaks_of(COMMITTED, "fashion_mnist", None)
    assert len(leaks) == conclusion.NUMBERS[COMMITTED].leak_seeds
    for table in (overlaps, leaks):
        assert table.source.str.startswith("MNIST").all() and table.hardware.str.len().all()
