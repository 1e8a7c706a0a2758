import math

import numpy as np
import pandas as pd
import pytest
import torch

import snipcore as snip
import sniplab as lab
from sniplab.sections import RESULTS, connections, connections_figures, connections_scored
from sniplab.sections.connections_scored import MAGNITUDE, MEAN_IMAGE, PLAIN, SPARSITIES, UNITS


@pytest.fixture(scope="module")
def measured(device, tmp_path_factory):
    """The tables of one seed, of the embedded digits in place of both data sets."""
    with pytest.MonkeyPatch.context() as patch, pytest.warns(lab.data.FallbackWarning):
        patch.setenv("SNIP_DATA", str(tmp_path_factory.mktemp("no-data")))
        patch.setattr(lab.data, "_from_torchvision", lambda *_: (_ for _ in ()).throw(OSError()))
        return connections_scored.measure_connections(1, device)


@pytest.fixture(scope="module")
def stored():
    return connections_scored.read_tables(RESULTS)


# --- claims


def pictures(plain, magnitude, sparsities=SPARSITIES, seeds=2, title="MNIST"):
    """Rows of the table `likeness` with so many hits, everywhere alike."""
    return pd.DataFrame([
        {"data": title, "scored": PLAIN, "with": kind, "sparsity": s, "seed": seed, "hits": hits}
        for kind, hits in ((MEAN_IMAGE, plain), (MAGNITUDE, magnitude))
        for s in sparsities
        for seed in range(seeds)
    ])  # fmt: skip


def verdict(likeness):
    return connections.drawn(likeness, "mnist")["verdict"]


def test_pictures_are_judged_by_mean_image_and_magnitude():
    judged = [verdict(pictures(*hits)) for hits in ((10, 10), (4, 10), (4, 9))]
    assert judged == ["reproduced", "in part", "not reproduced"]
    one = pictures(10, 10)
    one.loc[0, "hits"] = 9  # one picture of one seed at one sparsity
    assert verdict(one) == "in part"


@pytest.mark.parametrize("lacking", ({"sparsities": SPARSITIES[-1:]}, {"seeds": 1}))
def test_some_sparsities_or_one_seed_prove_nothing(lacking):
    assert verdict(pictures(10, 10, **lacking)) == "untested"


def test_each_sparsity_and_comparison_counts_its_own_seeds():
    rows = pictures(10, 10)
    lacks = (rows.sparsity == 0.5) & (rows["with"] == MAGNITUDE)
    assert verdict(rows[~(lacks & (rows.seed == 1))]) == "untested"  # one seed is left there
    claim = connections.drawn(rows[~lacks], "mnist")
    assert claim["verdict"] == "untested" and claim["seeds"] == 0
    assert verdict(rows[rows["with"] == MEAN_IMAGE]) == "untested"
    claim = connections.drawn(pictures(10, 10, SPARSITIES[:2]), "mnist")
    assert claim["ours"].endswith("; 2 of 9 sparsities")


def test_a_repeated_row_is_no_second_seed():
    rows = pictures(10, 10, seeds=1)
    with pytest.raises(ValueError, match="two rows share one comparison, sparsity and seed"):
        verdict(pd.concat([rows, rows]))


def test_claims_are_of_the_real_data_sets(measured):
    for tables in (measured, {}):  # digits instead, and nothing yet
        claims = connections.claims(tables)
        assert [c["id"] for c in claims] == ["drawn.mnist", "drawn.fashion_mnist"]
        assert {(c["verdict"], c["ours"], c["seeds"]) for c in claims} == {("untested", "–", 0)}


def test_the_checks_are_not_judged_as_pictures():
    checks = pictures(0, 0, (0.9,)).assign(scored=connections_scored.WRONG_LABELS)
    assert verdict(pd.concat([pictures(10, 10), checks])) == "reproduced"


# --- numbers by hand


def test_correlations_are_summed_up():
    r = np.full((10, 10), 0.25)
    np.fill_diagonal(r, 0.75)
    r[0, 1] = 0.85  # class 0 is nearest to class 1
    found = connections_scored.likeness_of(r)
    assert found["hits"] == 9 and found["own"] == 0.75
    assert found["other"] == pytest.approx((89 * 0.25 + 0.85) / 90)
    assert found["contrast"] == pytest.approx(0.75 - (89 * 0.25 + 0.85) / 90)


def test_a_picture_of_one_shade_is_like_nothing():
    images = np.random.default_rng(0).random((10, 784))
    shown = images.copy()
    shown[0] = 272 / 300  # of whose mean it differs by rounding
    r = connections_scored.correlate(shown, images)
    assert np.isnan(r[0]).all() and np.allclose(r.diagonal()[1:], 1)
    assert connections_scored.likeness_of(r)["hits"] == 9
    assert connections.against_luck(r) == (1.0, False)


def test_more_and_less_than_luck():
    diagonal = np.eye(10)
    p, more = connections.against_luck(diagonal)
    assert p <= 0.001 and more
    p, more = connections.against_luck(1 - diagonal)
    assert p <= 0.001 and not more
    p, more = connections.against_luck(np.roll(diagonal, 1, axis=1))
    assert p > 0.5 and not more  # no hit at all: every third deal has none, either
    assert connections.against_luck(np.ones((10, 10)))[0] == 1


def test_sparsities_in_words():
    assert connections.levels([]) == "" and connections.levels(SPARSITIES) == "every sparsity"
    assert connections.levels([0.1]) == "10 %" and connections.levels([0.3, 0.1]) == "10, 30 %"
    assert connections.levels([0.3, 0.4, 0.5]) == "30 to 50 %"
    assert connections.levels([0.3, 0.4, 0.6]) == "30, 40, 60 %"


def test_the_inner_kernel_is_compared_with_the_border():
    counts = np.full((5, 5), 10)
    counts[1:4, 1:4] = 20
    text = " ".join(map(str, counts.ravel()))
    kernel = pd.DataFrame({"data": "MNIST", "sparsity": 0.9, "seed": [0, 1], "kernels": 20})
    kernel["kept"] = text
    row = connections.inner_and_border(kernel).iloc[0]
    assert (row.inner, row.border, row["mean"], row.n) == (100, 50, 50, 2)


# --- ties


def test_scores_of_0_that_are_kept_are_counted(monkeypatch, digits):
    """Where more scores are 0 than are pruned at 10 %, some of them are kept, by position."""
    real = snip.sensitivity

    def with_zeros(model, x, y):
        scores = real(model, x, y)
        share = 0.3 if y[0] == 3 else 0.0
        flat = scores["fc1.weight"].view(-1)
        flat[: int(share * len(flat))] = 0
        return scores

    monkeypatch.setattr(snip, "sensitivity", with_zeros)
    scorings = connections_scored._score_classes(digits, range(1))["scorings"]
    tied = scorings[scorings["class"] == 3].iloc[0]
    assert tied.scores == 266_610 and tied.zeros >= 70_650
    model = snip.build_model("lenet-300-100", seed=0).to(digits.x_train.device)
    scores = with_zeros(model, *connections_scored.class_batch(digits, 3, 0))
    masks = snip.keep_top(scores, 0.1)
    kept = sum(int((masks[name] & (score == 0)).sum()) for name, score in scores.items())
    assert tied.zeros_kept == kept > 0
    assert (scorings.zeros_kept[scorings["class"] != 3] == 0).all()


def test_the_numbers_of_the_prose_are_those_of_the_tables(stored):
    found = connections.values(stored)
    scorings = stored["scorings"][stored["scorings"].data == "Fashion-MNIST"]
    (tied,) = scorings[scorings.zeros_kept > 0].itertuples()
    assert found["pictures.tied.fashion_mnist"] == "1 of 100"
    assert found["pictures.tied_classes.fashion_mnist"] == "sneaker"
    assert found["pictures.tied_zeros.fashion_mnist"] == f"{100 * tied.zeros / tied.scores:.0f}"
    assert found["pictures.tied_zeros.mnist"] == "–"
    # A tenth of all is kept, and of it 67 to 76 % lie in the first layer, which has 88 % of all.
    assert found["pictures.first_layer.density"] == f"{10 * 67 / 88:.0f} to {10 * 76 / 88:.0f}"
    mean = scorings.r_wrong_labels.mean()
    assert found["pictures.wrong_labels.fashion_mnist"] == f"{mean:.2f}" == "0.95"
    rows = stored["likeness"].query("data == 'Fashion-MNIST' and scored == @PLAIN")
    hits = rows[(rows["with"] == MEAN_IMAGE) & (rows.sparsity == 0.9)].hits
    assert found["pictures.nearest.fashion_mnist.90"] == f"{hits.mean():.1f}"
    names = ("pictures.kernel.mnist", "pictures.kernel_at.mnist")
    assert [found[name] for name in names] == ["–", "nowhere"]


def test_a_class_is_known_by_its_name():
    assert connections.class_number("fashion_mnist", "sandal") == 5
    assert connections.class_number("mnist", "7") == connections.class_number("digits", "7") == 7
    assert connections.class_number("mnist", 7) == 7  # as papermill reads it
    with pytest.raises(ValueError, match="sandal"):
        connections.class_number("mnist", "sandal")
    with pytest.raises(ValueError, match="unknown data set of grey images 'cifar10'; known: mnist"):
        connections.class_number("cifar10", "3")


def test_the_label_changes_the_mask_and_not_the_picture(digits):
    model = snip.build_model("lenet-300-100", seed=0).to(digits.x_train.device)
    again = connections_scored.kept_again(model, digits, 3, 0.9).set_index("change")
    x, y = connections_scored.class_batch(digits, 3, 0)
    right, wrong = (
        snip.keep_top(snip.sensitivity(model, x, labels), 0.9)["fc1.weight"]
        for labels in (y, y + 1)
    )
    row = again.loc["the same images, labelled as the next class"]
    assert row["kept again"] == pytest.approx(int((right & wrong).sum()) / int(right.sum()))
    assert row.r > 0.9 > 0.6 > row["kept again"]
    assert again.loc["other images of the class", "kept again"] > 0.8


def test_labels_of_a_mixed_batch_are_permuted_among_its_images(digits, monkeypatch):
    model = snip.build_model("lenet-300-100", seed=0).to(digits.x_train.device)
    batches, sensitivity = [], snip.sensitivity
    monkeypatch.setattr(
        snip, "sensitivity", lambda of, *batch: batches.append(batch) or sensitivity(of, *batch)
    )
    again = connections_scored.kept_again(model, digits, None, 0.9).set_index("change")
    (x, y), (_, others), (same, permuted) = batches
    assert len(y.unique()) == 10 and torch.equal(x, same) and not torch.equal(y, others)
    assert torch.equal(y.sort()[0], permuted.sort()[0]) and (y != permuted).float().mean() > 0.7
    first, _, third = (snip.keep_top(sensitivity(model, *b), 0.9)["fc1.weight"] for b in batches)
    kept = again.loc["the same images, their labels permuted", "kept again"]
    assert kept == pytest.approx(int((first & third).sum()) / int(first.sum()))


def test_mixed_batches_are_compared_within_a_seed():
    mixed = pd.DataFrame({
        "data": "MNIST", "seed": [0, 0, 1, 1], "kept again": [0.5, 0.4, 0.5, 0.42], "r": 0.9,
        "change": [connections_scored.MIXED_IMAGES, connections_scored.MIXED_LABELS] * 2,
    })  # fmt: skip
    (row,) = connections.mixed_changes(mixed).to_dict("records")
    assert (row["mean"], row["least"], row["most"]) == pytest.approx((-9, -10, -8))
    shown = connections.mixed_text(mixed).set_index("change")["kept again (%)"]
    # By hand: 40 and 42, s = sqrt(2), t = 12.706, 12.706 * s / sqrt(2).
    assert shown["the same images, their labels permuted"] == "41.00 ± 12.71"


def test_a_picture_stands_beside_its_class(digits):
    mask = torch.zeros(300, 784, dtype=bool, device=digits.x_train.device)
    mask[:150, 28 + 2] = True
    table = connections_scored.picture_of(mask, digits, 3).set_index(["row", "column"])
    assert table.kept[1, 2] == 0.5 == table.kept.sum()
    mean = connections_scored.mean_images(digits)[3].reshape(28, 28)
    assert table.mean_image[1, 2] == mean[1, 2] and table.magnitude[1, 2] == abs(mean[1, 2])


# --- what is measured and stored


def test_the_masks_keep_as_many_as_they_should(measured):
    kept = measured["layers"].groupby(["data", "sparsity"])[["size", "kept"]].sum()
    masks = measured["layers"].masks.iloc[0]
    for (_, sparsity), row in kept.iterrows():
        assert row["size"] == 266_610
        assert row.kept == masks * snip.kept_count(266_610, sparsity)
    assert masks == 10 * measured["data"].seeds.iloc[0] == 10
    first = measured["layers"].query("layer == 'fc1' and sparsity == 0.9").kept.to_numpy()
    pictures = measured["pictures"].query("sparsity == 0.9")
    counts = pictures.kept.map(lambda text: sum(map(int, text.split())))
    by_data = counts.groupby(pictures.data, sort=False).sum().to_numpy()
    assert (0 <= first - by_data).all() and (first - by_data <= 10 * UNITS).all()  # the biases


def test_the_sums_over_seeds_are_those_of_single_masks(measured, digits):
    x, y = connections_scored.class_batch(digits, 3, 0)
    assert len(y) == 100 and (y == 3).all()
    model = snip.build_model("lenet-300-100", seed=0).to(digits.x_train.device)
    mask = snip.keep_top(snip.sensitivity(model, x, y), 0.5)["fc1.weight"]
    title = measured["data"]["data"].iloc[0]
    shown = connections.pictures_of(measured["pictures"], title, 0.5)[3]
    assert np.allclose(shown.ravel(), mask.double().mean(0).cpu())
    means = connections.tiles_of(measured, title)[MEAN_IMAGE]
    of_class = digits.x_train[digits.y_train == 3].double().mean((0, 1)).cpu()
    assert np.array_equal(means[3], of_class)
    r = connections.matrix(measured["correlations"], title, MEAN_IMAGE, 0.5)
    assert r[3, 3] == pytest.approx(np.corrcoef(shown.ravel(), of_class.ravel())[0, 1])


def test_tables_are_read_as_they_were_written(measured, tmp_path):
    connections_scored.write_tables(measured, tmp_path)
    for name, table in connections_scored.read_tables(tmp_path).items():
        pd.testing.assert_frame_equal(table, measured[name], check_exact=True)
    assert len(list(tmp_path.iterdir())) == len(connections_scored.TABLES)
    one_shade = {"mixed": measured["mixed"].assign(r=math.nan)}  # r of a picture of one shade
    connections_scored.write_tables(one_shade, tmp_path)
    assert connections_scored.read_tables(tmp_path)["mixed"].r.isna().all()


def test_the_committed_report_needs_no_data(stored, monkeypatch, tmp_path):
    monkeypatch.setattr(connections_scored, "load_data", lambda *_, **__: pytest.fail("loaded"))
    tables = connections_scored.connection_tables("desktop", tmp_path)
    assert set(tables) == set(connections_scored.TABLES) and not list(tmp_path.iterdir())
    assert (tables["data"].seeds == connections_scored.SEEDS["desktop"]).all()
    assert tables["data"]["data"].tolist() == list(connections_scored.TITLES.values())
    judged = [claim["verdict"] for claim in connections.claims(tables)]
    assert judged == ["reproduced", "in part"]


def test_another_profile_or_number_of_seeds_is_measured_and_kept(measured, monkeypatch, tmp_path):
    asked = []

    def measure(seeds, device):
        asked.append(seeds)
        return measured

    monkeypatch.setattr(connections_scored, "measure_connections", measure)
    assert connections_scored.read_tables(tmp_path) == {}
    for profile, seeds in (("smoke", None), ("desktop", 2), ("desktop", 10)):
        connections_scored.connection_tables(profile, tmp_path, seeds)
    assert asked == [connections_scored.SEEDS["smoke"], 2]
    kept = connections_scored.read_tables(tmp_path)
    assert len(kept["likeness"]) == len(measured["likeness"])


def test_no_seeds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="seeds 0: at least 1"):
        connections_scored.connection_tables("quick", tmp_path, 0)
    with pytest.raises(ValueError, match="profile"):
        connections_scored.connection_tables("fast", tmp_path)


# --- figures


def test_figures_are_drawn_of_one_seed(measured, digits):
    title = measured["data"]["data"].iloc[1]
    tiles = connections.tiles_of(measured, title)
    assert len(tiles) == len(connections.DRAWN) + 3
    assert np.array_equal(tiles["90 %"], connections.pictures_of(measured["pictures"], title, 0.9))
    assert connections.classes(title)[5] == "5"
    assert connections.classes("Fashion-MNIST")[5] == "sandal"
    mask = torch.ones(300, 784, dtype=bool, device=digits.x_train.device)
    figures = [
        connections_figures.draw_pictures(measured),
        connections_figures.draw_correlations(measured),
        connections_figures.draw_hits(measured),
        connections_figures.draw_picture(connections_scored.picture_of(mask, digits, 3)),
    ]
    for figure in figures:
        figure.canvas.draw()


def test_pictures_of_wrong_labels_are_those_that_were_compared(stored):
    """Their r with the right ones, seed by seed, is what the table of scorings keeps."""
    for title in stored["data"].data:
        right, wrong = (
            connections.pictures_of(stored[name], title, 0.9).reshape(10, 784)
            for name in ("pictures", "wrong_labels")
        )
        of_means = [np.corrcoef(pair)[0, 1] for pair in zip(right, wrong, strict=True)]
        scorings = stored["scorings"][stored["scorings"].data == title]
        by_class = scorings.groupby("class").r_wrong_labels.mean()
        assert min(np.array(of_means) - by_class) > -0.01 and max(of_means) < 1
        shown = connections.tiles_of(stored, title)["90 %, wrong labels"]
        assert np.array_equal(shown.reshape(10, 784), wrong)


def test_captions_count_the_seeds_of_the_scorings(measured, stored):
    facts = [lab.notebook.facts(connections.rows_of_scorings(t)) for t in (stored, measured)]
    assert facts[0] == "10 seeds; scored, not trained; MNIST, Fashion-MNIST"
    assert facts[1].startswith("1 seed; ") and "digits in place of" in facts[1]
