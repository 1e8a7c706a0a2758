"""What each section runs: complete, paired, and at the lengths that are promised."""

import dataclasses
import os

import pytest

import snipcore as snip
import sniplab as lab


def test_the_sweep_is_paired_and_complete():
    configs = lab.sweep_configs("paper")
    cells = {(c.model, c.method, c.sparsity) for c in configs}
    assert len(cells) == 2 * (1 + 4 * 12)  # dense, and four methods at twelve sparsities
    assert len(configs) == len(set(configs)) == 98 * 20
    assert len(lab.sweep_configs("paper", seeds=1, iterations=5)) == 98
    for profile in lab.PROFILES:
        methods = {c.method for c in lab.sweep_configs(profile)}
        assert methods == {"dense", "snip", *lab.CONTROLS}


@pytest.mark.parametrize("profile", lab.PROFILES)
def test_architectures_come_in_pairs(profile):
    configs = lab.architecture_configs(profile)
    assert len(configs) == len(set(configs))
    recipes = {}
    for c in configs:
        assert recipes.setdefault((c.model, c.seed), c.recipe) == c.recipe
        assert c.sparsity == (0 if c.method == "dense" else snip.MODELS[c.model].sparsity)
    dense = {(c.model, c.seed) for c in configs if c.method == "dense"}
    pruned = {(c.model, c.seed) for c in configs if c.method == "snip" and c.norm == "running"}
    assert dense == pruned == set(recipes)
    assert {c.model for c in configs if c.norm == "batch"} <= set(lab.CUT)


def test_the_committed_table_has_the_lengths_it_says():
    configs = lab.architecture_configs("desktop")
    lengths = {c.model: (c.recipe.iterations, c.recipe.schedule) for c in configs}
    assert lengths["alexnet-s"] == (12 * 351, "linear") and lengths["vgg-d"] == (6 * 351, "linear")
    assert lengths["resnet-34"] == (4 * 351, "linear") and lengths["gru-s"] == (15_000, "stages")
    seeds = {name: {c.seed for c in configs if c.model == name} for name in lengths}
    assert seeds["lstm-s"] == seeds["googlenet"] == {0, 1, 2} and seeds["alexnet-b"] == {0}
    longer = lab.architecture_configs("desktop", ["alexnet-s"], epochs=2, seeds=2)
    assert {c.recipe.iterations for c in longer} == {702} and len(longer) == 4


def test_the_committed_sweep_follows_the_protocol_and_the_defaults_the_reference():
    published = lab.table_1_configs("desktop")
    assert len(published) == 3 * 20 + 3 * 3
    assert {(c.recipe.iterations, c.recipe.schedule) for c in published} == {(75_000, "stages")}
    assert {c.recipe.lr for c in published if c.model == "lenet-5-caffe"} == {0.02}
    configs = lab.sweep_configs("desktop")
    assert len(configs) == 5 * (13 + 18) and {c.recipe for c in configs} == {published[0].recipe}
    assert len(set(configs) & set(published)) == 5 * 3  # which are trained once
    configs = lab.defaults_configs("desktop")
    assert len(configs) == 5 * (13 + 18) + 3 * (13 + 15)
    assert {c.recipe for c in configs} == {lab.REFERENCE} and {c.reinit for c in configs} == {"vs"}
    short = lab.defaults_configs("desktop", seeds=1, iterations=5)
    assert {c.recipe.iterations for c in short} == {5} and len(short) == 31 + 28
    assert lab.defaults_configs("quick") == []
    configs = lab.scoring_batch_configs("desktop")
    assert len(set(configs)) == 60 and {c.recipe.iterations for c in configs} == {75_000}


@pytest.mark.parametrize("profile", lab.PROFILES)
def test_every_network_of_the_table_is_scored_both_ways(profile):
    configs = lab.survival_configs(profile)
    runs = {(c.model, c.seed, c.norm) for c in configs}
    models, seeds, norms = map(set, zip(*runs, strict=True))
    assert len(configs) == len(runs) == len(models) * len(seeds) * len(norms) and len(norms) == 2
    if profile != "smoke":
        assert models == {name for name, spec in snip.MODELS.items() if spec.sparsity}
    assert {c.recipe.iterations for c in configs} == {0}
    trained = lab.architecture_configs(profile, models)
    sizes = {(c.model, c.scoring_batch) for c in trained}  # the trained networks' own masks
    assert {(c.model, c.scoring_batch) for c in configs} == sizes


@pytest.mark.parametrize("profile", lab.PROFILES)
def test_a_variant_changes_one_thing(profile):
    variants = lab.variant_configs(profile)
    plain = variants.pop("as published")
    if profile in ("desktop", "paper"):  # nothing is trained twice
        assert set(plain) <= set(lab.table_1_configs(profile))
    for name, configs in variants.items():
        assert len(configs) == len(plain), name
        for config, twin in zip(configs, plain, strict=True):
            a, b = dataclasses.asdict(config), dataclasses.asdict(twin)
            flat = [part.pop("recipe") | part for part in (a, b)]
            assert sum(flat[0][key] != flat[1][key] for key in flat[0]) == 1, name


def test_gates_are_crossed_and_meet_the_initialisers():
    gates = set(lab.gate_configs("desktop"))
    assert len(gates) == 3 * 3 * 3
    shared = gates & set(lab.initializer_configs("desktop"))
    assert {(c.init, c.gates, c.reinit_gates) for c in shared} == {
        (init, 1.0, 1.0) for init in ("rn", "tn", "vs-x")
    }


def test_random_labels_see_all_images_on_a_desktop():
    configs = lab.random_label_configs("desktop")
    assert {c.train_images for c in configs} == {0} and {c.seed for c in configs} == {0, 1, 2}
    assert {c.recipe.weight_decay for c in configs if c.method != "dense"} == {0.0}
    longest = [c for c in configs if c.recipe.iterations == 300_000]
    assert {(c.model, c.method, c.sparsity, c.labels) for c in longest} == {
        ("lenet-300-100", "snip", 0.99, "random")
    }


@pytest.mark.parametrize("section", lab.SECTIONS)
def test_stored_rows_are_those_of_the_committed_report(section):
    configs = lab.SECTIONS[section]()
    assert len(configs) == len(set(configs))
    rows = lab.read_results(lab.RESULTS / f"{section}.csv")
    lost = rows[rows.status != "ok"]
    assert rows.run.is_unique and lost.status.str.startswith("diverged").all()
    # Notebook 1 shows that and when it does: with more than the 0.02 of its protocol.
    assert set(lost.model) <= {"lenet-5-caffe"} and (lost.lr > 0.02).all()
    digests = dict(zip(rows.dataset, rows.data, strict=True))
    wanted = {lab.runs.grid._identity(c, digests.get(c.dataset, ""))["run"] for c in configs}
    assert set(rows.run) <= wanted
    for _, run in rows[rows.status == "ok"].groupby(["model", "seed", "iterations", "reinit"]):
        assert run.trained_in.nunique() == run.threads.nunique() == 1  # pairs share both
        assert run.hardware.str.extract(r"(torch \S+)")[0].nunique() == 1  # and the version


def test_a_desktop_shows_stored_rows_and_trains_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(lab.profiles, "RESULTS", tmp_path)
    recipe = lab.Recipe(2, checkpoints=1)
    configs = [lab.Config("lenet-300-100", recipe, seed=s, dataset="digits") for s in (0, 1)]
    lab.run_grid(configs[:1], tmp_path / "some.csv", n_jobs=1)
    folder = lab.output_folder("smoke", tmp_path / "out")
    assert list(lab.section_rows("some", configs, "desktop", folder, 1).seed) == [0]
    assert list(lab.section_rows("some", configs, "smoke", folder, 1).seed) == [0, 1]
    assert list(lab.read_results(folder / "some.csv").seed) == [1]  # the other was known


@pytest.mark.parametrize(
    "plan",
    [
        *(lab.sweep_configs, lab.defaults_configs, lab.table_1_configs, lab.variant_configs),
        *(lab.scoring_batch_configs, lab.initializer_configs, lab.gate_configs),
        *(lab.random_label_configs, lab.choice_configs, lab.architecture_configs),
        lab.profiles.learning_rate_configs,
    ],
)
def test_an_unknown_profile_is_named(plan):
    with pytest.raises(ValueError, match="unknown profile 'night'; known: smoke, quick"):
        plan("night")


def test_an_unknown_network_is_named():
    with pytest.raises(ValueError, match="unknown model 'resnet18'"):
        lab.architecture_configs("smoke", ["resnet18"])


def test_folders(tmp_path):
    assert (lab.output_folder("smoke", tmp_path / "out") / "figures").is_dir()
    with pytest.raises(
        ValueError, match="unknown profile 'night'; known: smoke, quick, desktop, paper"
    ):
        lab.output_folder("night", tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        lab.output_folder("smoke", tmp_path / "file" / "out")
    assert sorted(os.listdir(tmp_path)) == ["file", "out"]


def test_the_stored_masks_of_what_is_only_scored_are_those_that_were_trained():
    """Two files, made by runs of their own. Left out: rows of PyTorch 2.11, which drew other
    weights, and VGG-like, whose row is of another processor and whose digest differs."""
    scored, trained = (
        lab.read_results(lab.RESULTS / f"{name}.csv") for name in ("2_layers", "2_architectures")
    )
    keys = ["model", "norm", "seed", "sparsity", "scoring_batch", "data"]
    both = scored.merge(trained[trained.method == "snip"], on=keys, suffixes=("", "_trained"))
    both = both[~both.hardware_trained.str.contains("torch 2.11.", regex=False)]
    both = both[both.model != "vgg-like"]
    assert len(both) >= 12 and (both.masks == both.masks_trained).all()
    assert (both.collapsed == both.collapsed_trained).all()
