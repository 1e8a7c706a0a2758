"""A first trial of a mask: any network of MODELS, any method."""

import pytest

import snipcore as snip
import sniplab as lab


def test_what_each_layer_keeps():
    model = snip.build_model("lenet-300-100")
    masks = {name: weight > 0 for name, weight in snip.prunable(model).items()}
    masks["fc3.bias"][:] = True
    table = lab.layers(model, masks).set_index("layer")
    assert list(table.loc["fc3.bias"]) == [10, 10, 0]
    assert table.connections["all"] == 266_610
    assert table.kept["all"] == sum(int(mask.sum()) for mask in masks.values())
    assert table.sparsity["all"] == pytest.approx(1 - table.kept["all"] / 266_610)
    assert (lab.layers(model, None).sparsity == 0).all()


def test_images_that_do_not_fit_are_the_networks_own():
    assert lab.load_data_for("lenet-5-caffe", "digits").name == "digits"
    with pytest.warns(lab.data.FallbackWarning), pytest.warns(UserWarning, match="not take images"):
        assert lab.load_data_for("alexnet-s", "digits").name == "cifar10"


def test_names_that_nothing_has_list_the_known():
    with pytest.raises(ValueError, match="unknown model 'lenet-300-10'; known: lenet-300-100"):
        lab.load_data_for("lenet-300-10", "digits")
    with pytest.raises(ValueError, match="unknown data set 'fashion-mnist'; known: mnist"):
        lab.load_data_for("alexnet-s", "fashion-mnist")
    with pytest.raises(ValueError, match="unknown model 'lenet'; known: lenet-300-100"):
        lab.recipe_for("lenet", 100, 4)


def test_dense_and_pruned_train_on_the_same_batches(digits):
    model = snip.build_model("lenet-300-100")
    full = {name: weight == weight for name, weight in snip.prunable(model).items()}
    course = lab.compare("lenet-300-100", full, digits, steps=8, images=100)
    dense, pruned = (course[course.network == name] for name in ("dense", "pruned"))
    assert list(dense.error) == list(pruned.error)  # masks that prune nothing change nothing
    assert list(dense.iteration) == [2, 4, 6, 8]
    assert set(lab.compare("lenet-300-100", None, digits, steps=2).network) == {"dense"}
    assert len(lab.draw_course(course).axes[0].get_lines()) >= 2


def test_a_method_that_changes_weights_is_trained_with_them(digits):
    """ "Rescaled" was trained as "random", whose mask it has."""
    model = snip.build_model("lenet-300-100").to(digits.x_train.device)
    masks = lab.make_masks(model, "rescaled", 0.95, None, None, seed=0)
    plain, rescaled = (
        lab.compare("lenet-300-100", masks, digits, steps=20, method=method)
        for method in ("random", "rescaled")
    )
    ends = [course[course.network == "pruned"].error.iloc[-1] for course in (plain, rescaled)]
    assert ends[1] < ends[0]
